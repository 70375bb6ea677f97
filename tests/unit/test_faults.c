/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each call of the operating system that the library makes fails in turn: the function says so by its status
 * and a message of one line, or gets along without and does the very same; files are old or new and whole;
 * no descriptor stays open, and nothing leaks (the sanitizers watch). LUTRA_FAULT_STRIDE=1 tries every
 * allocation.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "lutra/lutra.h"
#include "model_fixture.h"

#define MODEL "timm-finetuned"
#define SHARDED "hf-vit-sharded"
#define MAX_BYTES ((size_t)1 << 20)

enum { N_CALIBRATION = 16, N_VALIDATION = 4, SIDE = 24 };

static char *folder, *dense, *sharded, *clustered, *output, *temporary, *device_path, *labels, *picture;
static uint8_t pixels[(N_CALIBRATION + N_VALIDATION) * SIDE * SIDE * 3];

/* What an operation has made, as a sum over its bytes (FNV-1a). Operations call nothing that allocates but
 * the library. */
static uint64_t sum;

static void note(const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        sum = (sum ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
}

/* ---- operations -------------------------------------------------------------------------------- */

static lutra_status open_and_run(const char *path, const lutra_model_options *options, lutra_mode mode,
                                 size_t n_threads, lutra_error *error)
{
    static float logits[64];
    static uint64_t bytes[256];
    lutra_model *model = NULL;
    lutra_context *context = NULL;
    const lutra_context_options wanted = {.n_threads = n_threads, .mode = mode};
    lutra_status status = lutra_model_open(path, options, &model, error);
    if (status == LUTRA_OK)
        status = lutra_context_create(model, &wanted, &context, error);
    if (status == LUTRA_OK)
        status = lutra_context_run(context, pixels, 1, logits, NULL, error);
    if (status == LUTRA_OK)
        status = lutra_model_traffic(model, mode, 1, 4096, bytes, error);
    if (status == LUTRA_OK) {
        const lutra_model_info *info = lutra_model_get_info(model);
        note(logits, info->n_classes * sizeof *logits);
        note(bytes, lutra_model_n_steps(model) * sizeof *bytes);
        for (size_t i = 0; i < info->n_classes && lutra_model_label(model, i); i++)
            note(lutra_model_label(model, i), strlen(lutra_model_label(model, i)));
    }
    lutra_context_free(context);
    lutra_model_close(model);
    return status;
}

static lutra_status run_clustered(lutra_error *error)
{
    return open_and_run(clustered, NULL, LUTRA_MODE_INT8, 3, error);
}

static lutra_status run_shards(lutra_error *error)
{
    return open_and_run(sharded, NULL, LUTRA_MODE_F32, 1, error);
}

static lutra_status run_with_labels(lutra_error *error)
{
    return open_and_run(dense, &(lutra_model_options){.labels = labels, .image_size = 32, .copy = true},
                        LUTRA_MODE_INT8, 2, error);
}

static lutra_status cluster(const lutra_cluster_options *options, lutra_error *error)
{
    lutra_cluster_report report;
    lutra_status status = lutra_cluster_file(dense, output, options, &report, error);
    if (status == LUTRA_OK) {
        note(report.source_sha256, sizeof report.source_sha256);
        for (size_t i = 0; i < report.n_tensors; i++)
            note(&report.tensors[i].squared_error, sizeof report.tensors[i].squared_error);
        lutra_cluster_report_free(&report);
    }
    return status;
}

static lutra_status cluster_rows(lutra_error *error)
{
    return cluster(&(lutra_cluster_options){.n_clusters = 7, .n_threads = 2}, error);
}

static lutra_status cluster_whole(lutra_error *error)
{
    return cluster(&(lutra_cluster_options){.n_clusters = 5,
                                            .n_threads = 1,
                                            .scope = LUTRA_SCOPE_MODEL,
                                            .exact = true,
                                            .model = {.labels = labels}},
                   error);
}

static lutra_status cluster_calibrated(lutra_error *error)
{
    return cluster(&(lutra_cluster_options){.n_clusters = 4,
                                            .n_threads = 1,
                                            .calibration_pixels = pixels,
                                            .n_calibration_pictures = N_CALIBRATION},
                   error);
}

static lutra_status cluster_for_budget(lutra_error *error)
{
    return cluster(&(lutra_cluster_options){.budget_unit = LUTRA_BUDGET_BITS,
                                            .budget = 4,
                                            .n_threads = 1,
                                            .calibration_pixels = pixels,
                                            .n_calibration_pictures = N_CALIBRATION,
                                            .n_validation_pictures = N_VALIDATION},
                   error);
}

static lutra_status export_halves(lutra_error *error)
{
    return lutra_export_file(clustered, output, LUTRA_BF16, NULL, NULL, error);
}

static lutra_status list_tensors(lutra_error *error)
{
    lutra_tensor_file *file = NULL;
    lutra_status status = lutra_tensor_file_open(clustered, &file, error);
    if (status)
        return status;
    status = lutra_tensor_file_verify(file, error);
    for (size_t i = 0; i < lutra_tensor_file_n_tensors(file); i++)
        note(lutra_tensor_file_tensor(file, i)->name, strlen(lutra_tensor_file_tensor(file, i)->name));
    lutra_tensor_file_close(file);
    return status;
}

static lutra_status read_and_write_device(lutra_error *error)
{
    static lutra_device device;
    const lutra_status status = lutra_device_read(device_path, &device, error);
    return status ? status : lutra_device_write(output, &device, error);
}

#ifdef LUTRA_IMAGES
static lutra_status read_picture(lutra_error *error)
{
    static const lutra_preprocessing preprocessing = {
        .width = 16, .height = 16, .crop_pct = 0.9, .resample = 3};
    static uint8_t prepared[16 * 16 * 3];
    const lutra_status status = lutra_image_read(picture, &preprocessing, prepared, error);
    if (status == LUTRA_OK)
        note(prepared, sizeof prepared);
    return status;
}
#endif

static const struct operation {
    const char *name;
    lutra_status (*run)(lutra_error *error);
    bool writes;
    size_t stride; /* of the allocations that fail: some operations take long */
} operations[] = {
    {"run a clustered model", run_clustered, false, 5},
    {"run shards", run_shards, false, 5},
    {"run with labels", run_with_labels, false, 5},
    {"cluster by rows", cluster_rows, true, 11},
    {"cluster as a whole", cluster_whole, true, 11},
    {"cluster calibrated", cluster_calibrated, true, 83},
    {"cluster for a budget", cluster_for_budget, true, 211},
    {"export", export_halves, true, 5},
    {"list tensors", list_tensors, false, 5},
    {"read and write a device", read_and_write_device, true, 5},
#ifdef LUTRA_IMAGES
    {"read a picture", read_picture, false, 1},
#endif
};
enum { N_OPERATIONS = sizeof operations / sizeof *operations };

/* ---- what must hold ---------------------------------------------------------------------------- */

static size_t count_entries(const char *path)
{
    size_t n = 0;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    while (readdir(directory))
        n++;
    closedir(directory);
    return n;
}

/* The file's bytes, or a size of SIZE_MAX where there is none. */
static size_t read_output(uint8_t *data)
{
    FILE *file = fopen(output, "rb");
    if (!file)
        return SIZE_MAX;
    const size_t n = fread(data, 1, MAX_BYTES, file);
    fclose(file);
    return n;
}

static void write_old(void)
{
    FILE *file = fopen(output, "wb");
    assert_non_null(file);
    fputs("old", file);
    fclose(file);
}

static struct expected {
    uint64_t sum;
    size_t n_entries, n_descriptors, n_bytes;
    uint8_t bytes[1 << 20];
} expected;

/* A run without faults. */
static void expect(const struct operation *operation)
{
    lutra_error error;
    write_old();
    sum = 0xcbf29ce484222325u;
    expected.n_descriptors = count_entries("/proc/self/fd");
    if (operation->run(&error))
        fail_msg("%s: %s", operation->name, error.message);
    expected.sum = sum;
    expected.n_entries = count_entries(folder);
    expected.n_bytes = read_output(expected.bytes);
    assert_true(!operation->writes || (expected.n_bytes > 3 && expected.n_bytes < MAX_BYTES));
}

static bool holds_old(const uint8_t *data, size_t n)
{
    return n == 3 && memcmp(data, "old", 3) == 0;
}

static bool holds_new(const uint8_t *data, size_t n)
{
    return n == expected.n_bytes && memcmp(data, expected.bytes, n) == 0;
}

static void check_file(const fault *wanted, lutra_status status, const char *what)
{
    static uint8_t data[1 << 20];
    const size_t n = read_output(data);
    if (status == LUTRA_OK && !holds_new(data, n))
        fail_msg("%s: done, but the file is not what it should be", what);
    /* The folder is synced when the new file is in place already. */
    if (status != LUTRA_OK && !holds_old(data, n) && !(wanted->kind == FAULT_SYNC && holds_new(data, n)))
        fail_msg("%s: failed, but the old file is not there any more", what);
}

static void check_message(const fault *wanted, lutra_status status, const lutra_error *error,
                          const char *what)
{
    const bool memory = wanted->kind == FAULT_ALLOCATE || wanted->kind == FAULT_THREAD;
    if (status != (memory ? LUTRA_ERROR_MEMORY : LUTRA_ERROR_IO) || wanted->error == FAULT_SHORT)
        fail_msg("%s: %s: %s", what, lutra_status_name(status), error->message);
    if (error->status != status || !error->message[0] || strchr(error->message, '\n'))
        fail_msg("%s: the error is not filled: %s", what, error->message);
}

/* One run with the fault; false where it was not hit. */
static bool try_fault(const struct operation *operation, fault wanted)
{
    char what[200];
    lutra_error error = {.message = ""};
    snprintf(what, sizeof what, "%s, kind %d, call %zu and %zu more, error %d", operation->name, wanted.kind,
             wanted.first, wanted.count - 1, wanted.error);
    if (operation->writes)
        write_old();
    sum = 0xcbf29ce484222325u;
    fault_arm(wanted);
    const lutra_status status = operation->run(&error);
    const bool hit = fault_disarm();
    if (status != LUTRA_OK)
        check_message(&wanted, status, &error, what);
    else if (sum != expected.sum)
        fail_msg("%s: done, but not the same", what);
    if (operation->writes)
        check_file(&wanted, status, what);
    /* A temporary that could not be locked or looked at may be another writer's: it stays. */
    if (wanted.kind == FAULT_LOCK || wanted.kind == FAULT_EXAMINE)
        unlink(temporary);
    if (count_entries(folder) != expected.n_entries)
        fail_msg("%s: a file was left behind", what);
    if (count_entries("/proc/self/fd") != expected.n_descriptors)
        fail_msg("%s: a descriptor was left open", what);
    return hit;
}

static size_t n_faults;

/* The first call of the kind fails, then the second, until there is none such; alone, or with all that
 * follow. */
static void try_all(const struct operation *operation, fault_kind kind, int number, size_t stride)
{
    for (size_t alone = 0; alone < 2; alone++)
        for (size_t first = alone;
             try_fault(operation,
                       (fault){.kind = kind, .first = first, .count = alone ? 1 : SIZE_MAX, .error = number});
             first += stride)
            n_faults++;
}

static size_t stride_of(size_t standard)
{
    const char *text = getenv("LUTRA_FAULT_STRIDE");
    return text && atoi(text) > 0 ? (size_t)atoi(text) : standard;
}

/* What takes long reads and writes as the others do. */
static bool is_left_out(const struct operation *operation)
{
    return operation->stride > 50 && stride_of(operation->stride) > 1;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    n_faults = 0;
    for (size_t i = 0; i < N_OPERATIONS; i++) {
        const size_t before = n_faults;
        expect(&operations[i]);
        try_all(&operations[i], FAULT_ALLOCATE, ENOMEM, stride_of(operations[i].stride));
        printf("# %s: %zu allocations failed\n", operations[i].name, n_faults - before);
    }
}

static void every_call_may_fail(void **state)
{
    (void)state;
    static const struct {
        fault_kind kind;
        int number;
    } faults[] = {
        {FAULT_OPEN, EMFILE},   {FAULT_OPEN, EACCES}, {FAULT_READ, EIO},      {FAULT_READ, FAULT_SHORT},
        {FAULT_WRITE, ENOSPC},  {FAULT_WRITE, EIO},   {FAULT_SYNC, EIO},      {FAULT_WRITE, FAULT_SHORT},
        {FAULT_RENAME, EACCES}, {FAULT_MAP, ENOMEM},  {FAULT_THREAD, EAGAIN}, {FAULT_LOCK, EWOULDBLOCK},
        {FAULT_LOCK, ENOLCK},   {FAULT_EXAMINE, EIO},
    };
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++) {
        n_faults = 0;
        for (size_t i = 0; i < N_OPERATIONS; i++) {
            if (is_left_out(&operations[i]))
                continue;
            expect(&operations[i]);
            try_all(&operations[i], faults[f].kind, faults[f].number, 1);
        }
        assert_true(n_faults > 0);
        printf("# kind %d with error %d: %zu calls failed\n", faults[f].kind, faults[f].number, n_faults);
    }
}

static void an_interrupted_write_goes_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OPERATIONS; i++) {
        if (!operations[i].writes || is_left_out(&operations[i]))
            continue;
        expect(&operations[i]);
        for (size_t first = 0;; first++) {
            const fault wanted = {.kind = FAULT_WRITE, .first = first, .count = 1, .error = EINTR};
            if (!try_fault(&operations[i], wanted))
                break;
        }
    }
}

/* ---- */

static int prepare(void **state)
{
    (void)state;
    lutra_error error;
    uint32_t random = 1;
    json_set_alloc_funcs(fault_malloc, free);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)((random = random * 1664525u + 1013904223u) >> 24);
    folder = fixture_folder();
    dense = fixture_golden(MODEL, "model.safetensors");
    sharded = fixture_golden(SHARDED, "model.safetensors.index.json");
    clustered = fixture_path(folder, "clustered.safetensors");
    output = fixture_path(folder, "output.safetensors");
    temporary = fixture_path(folder, ".output.safetensors.lutra-tmp");
    labels = fixture_path(folder, "labels.txt");
    fixture_write_text(folder, "labels.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    device_path = fixture_golden("../../../data/devices", "pi5.json");
    picture = fixture_golden("../images", "exif_6.jpg");
    const lutra_cluster_options options = {.n_clusters = 16, .n_threads = 1};
    return lutra_cluster_file(dense, clustered, &options, NULL, &error) != LUTRA_OK;
}

static int tidy(void **state)
{
    (void)state;
    free(dense);
    free(sharded);
    free(clustered);
    free(output);
    free(temporary);
    free(labels);
    free(device_path);
    free(picture);
    fixture_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(an_interrupted_write_goes_on),
    };
    return cmocka_run_group_tests_name("faults", tests, prepare, tidy);
}
