/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void fuzz_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

void fuzz_require_error(lutra_status status, const lutra_error *error)
{
    fuzz_require(status != LUTRA_OK && error->status == status);
    fuzz_require(memchr(error->message, 0, sizeof error->message) && error->message[0]);
    fuzz_require(memchr(error->path, 0, sizeof error->path));
    for (const char *c = error->message; *c; c++)
        fuzz_require((unsigned char)*c >= 0x20 && *c != 0x7f);
}

void fuzz_require_predictions(const lutra_model *model, const lutra_device *device)
{
    const size_t n = lutra_model_n_steps(model);
    lutra_step_prediction *steps = malloc(n * sizeof *steps);
    lutra_error error;
    fuzz_require(steps);
    for (lutra_mode mode = LUTRA_MODE_AUTO; mode <= LUTRA_MODE_INT8; mode++) {
        const lutra_prediction_options options = {.mode = mode};
        fuzz_require(lutra_predict(model, device, &options, steps, &error) == LUTRA_OK);
        for (size_t i = 0; i < n; i++) {
            fuzz_require(isfinite(steps[i].seconds) && steps[i].seconds >= 0);
            fuzz_require(isfinite(steps[i].millijoules) && steps[i].millijoules >= 0);
            fuzz_require(steps[i].bound);
        }
    }
    free(steps);
}

fuzz_file fuzz_open_file(const uint8_t *data, size_t size)
{
    fuzz_file file = {.descriptor = memfd_create("fuzz", MFD_CLOEXEC)};
    fuzz_require(file.descriptor >= 0);
    fuzz_require(write(file.descriptor, data, size) == (ssize_t)size);
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.descriptor);
    return file;
}

void fuzz_close_file(const fuzz_file *file)
{
    close(file->descriptor);
}

static char output_folder[32], output_path[48];

static void remove_output(void)
{
    unlink(output_path);
    rmdir(output_folder);
}

const char *fuzz_output_path(void)
{
    if (output_path[0])
        return output_path;
    /* In memory where that is possible: thousands are written and synced each second. */
    snprintf(output_folder, sizeof output_folder, "/dev/shm/lutra-fuzz-XXXXXX");
    if (!mkdtemp(output_folder)) {
        snprintf(output_folder, sizeof output_folder, "/tmp/lutra-fuzz-XXXXXX");
        fuzz_require(mkdtemp(output_folder));
    }
    snprintf(output_path, sizeof output_path, "%s/output", output_folder);
    atexit(remove_output);
    return output_path;
}

uint8_t fuzz_take(fuzz_bytes *bytes)
{
    if (bytes->size == 0)
        return 0;
    bytes->size--;
    return *bytes->data++;
}

size_t fuzz_take_below(fuzz_bytes *bytes, size_t limit)
{
    const size_t number = limit > 256 ? (size_t)fuzz_take(bytes) << 8 | fuzz_take(bytes) : fuzz_take(bytes);
    return number % limit;
}
