/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread_pool.h"
#include "format/atomic_file.h"
#include "format/safetensors.h"
#include "format/safetensors_writer.h"

/* Each test runs in an empty folder of its own. */
static char folder[] = "/tmp/lutra-writer-XXXXXX";

static int enter_folder(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
    (void)state;
    DIR *directory = opendir(".");
    for (struct dirent *entry; (entry = readdir(directory));) {
        unlink(entry->d_name);
        rmdir(entry->d_name);
    }
    closedir(directory);
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static size_t count_entries(void)
{
    size_t n = 0;
    DIR *directory = opendir(".");
    while (readdir(directory))
        n++;
    closedir(directory);
    return n - 2; /* "." and ".." */
}

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *data = malloc(1 << 20);
    *size = fread(data, 1, 1 << 20, file);
    fclose(file);
    return data;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_holds(const char *path, const char *text)
{
    size_t size;
    char *data = read_file(path, &size);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(data, text, size);
    free(data);
}

/* A writer with one U8 tensor "x" of `n` bytes, begun. */
static lutra_writer *begin_simple(const char *path, size_t n)
{
    lutra_writer *writer;
    lutra_error error;
    size_t slot;
    assert_int_equal(lutra_writer_create(path, &writer, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_declare(writer, "x", LUTRA_U8, 1, &n, &slot, &error), LUTRA_OK);
    assert_int_equal(slot, 0);
    assert_int_equal(lutra_writer_begin(writer, NULL, NULL, 0, &error), LUTRA_OK);
    return writer;
}

static json_int_t offset_of(json_t *header, const char *name, int which)
{
    json_t *entry = json_object_get(header, name);
    assert_non_null(entry);
    return json_integer_value(json_array_get(json_object_get(entry, "data_offsets"), (size_t)which));
}

static void test_order_alignment_and_strange_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        lutra_dtype dtype;
        size_t rank, shape[2];
        size_t bytes;
        json_int_t start; /* where it must lie */
    } tensors[] = {
        {"bytes.indices", LUTRA_U8, 1, {63}, 63, 64 + 24 + 12 + 6}, /* no multiple of 64: no packed indices */
        {"half \"quoted\"\n\\", LUTRA_BF16, 1, {3}, 6, 64 + 24 + 12},
        {"\xc3\xa9\xf0\x9f\xa6\xa6", LUTRA_F32, 2, {3, 1}, 12, 64 + 24},
        {"double", LUTRA_F64, 2, {1, 3}, 24, 64},
        {"a.indices", LUTRA_U8, 1, {64}, 64, 0},
        {"empty", LUTRA_I8, 1, {0}, 0, 64 + 24 + 12 + 6 + 63},
        {"scalar", LUTRA_I8, 0, {0}, 1, 64 + 24 + 12 + 6 + 63},
    };
    enum { N = sizeof tensors / sizeof *tensors };
    static const char *const keys[] = {"lutra.config", "\"\n"};
    static const char *const values[] = {"{\"a\": \"\\u0000\"}", "\xe2\x82\xac\x01"};
    lutra_writer *writer;
    lutra_error error;
    uint8_t data[64];
    uint64_t file_bytes;
    assert_int_equal(lutra_writer_create("m.safetensors", &writer, &error), LUTRA_OK);
    for (size_t i = 0; i < N; i++) {
        size_t slot;
        assert_int_equal(lutra_writer_declare(writer, tensors[i].name, tensors[i].dtype, tensors[i].rank,
                                              tensors[i].shape, &slot, &error),
                         LUTRA_OK);
        assert_int_equal(slot, i);
    }
    assert_int_equal(lutra_writer_begin(writer, keys, values, 2, &error), LUTRA_OK);
    for (size_t i = 0; i < N; i++) {
        memset(data, (int)i + 1, sizeof data);
        assert_int_equal(lutra_writer_write(writer, i, 0, data, tensors[i].bytes, &error), LUTRA_OK);
    }
    assert_int_equal(lutra_writer_commit(writer, &file_bytes, &error), LUTRA_OK);
    lutra_writer_free(writer);
    assert_int_equal(count_entries(), 1);

    size_t size;
    char *file = read_file("m.safetensors", &size);
    assert_int_equal(size, file_bytes);
    size_t header_bytes = 0;
    for (int i = 7; i >= 0; i--)
        header_bytes = header_bytes << 8 | (uint8_t)file[i];
    const size_t start = 8 + header_bytes;
    assert_int_equal(start % 64, 0);
    assert_int_equal(size, start + 64 + 24 + 12 + 6 + 63 + 1);
    json_t *header = json_loadb(file + 8, header_bytes, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(header);
    json_t *metadata = json_object_get(header, "__metadata__");
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(json_string_value(json_object_get(metadata, keys[i])), values[i]);
    assert_int_equal(json_object_size(header), N + 1);
    for (size_t i = 0; i < N; i++) {
        json_t *entry = json_object_get(header, tensors[i].name);
        assert_int_equal(offset_of(header, tensors[i].name, 0), tensors[i].start);
        assert_int_equal(offset_of(header, tensors[i].name, 1),
                         tensors[i].start + (json_int_t)tensors[i].bytes);
        assert_string_equal(json_string_value(json_object_get(entry, "dtype")),
                            lutra_dtype_name(tensors[i].dtype));
        assert_int_equal(json_array_size(json_object_get(entry, "shape")), tensors[i].rank);
        for (size_t j = 0; j < tensors[i].bytes; j++)
            assert_int_equal(file[start + (size_t)tensors[i].start + j], i + 1);
    }
    json_decref(header);
    free(file);
}

static void test_without_commit_the_old_file_survives(void **state)
{
    (void)state;
    lutra_error error;
    write_text("m", "old");
    lutra_writer *writer = begin_simple("m", 4);
    assert_int_equal(lutra_writer_write(writer, 0, 0, "new", 3, &error), LUTRA_OK);
    assert_int_equal(count_entries(), 2);
    /* One byte is missing. */
    assert_int_equal(lutra_writer_commit(writer, NULL, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "3 of the 4 bytes of tensor x"));
    lutra_writer_free(writer);
    assert_int_equal(count_entries(), 1);
    assert_holds("m", "old");
}

static void test_bytes_beyond_a_tensor_are_refused(void **state)
{
    (void)state;
    lutra_error error;
    lutra_writer *writer = begin_simple("m", 4);
    assert_int_equal(lutra_writer_write(writer, 0, 2, "abc", 3, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_write(writer, 0, SIZE_MAX, "a", 1, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_write(writer, 1, 0, "a", 1, &error), LUTRA_ERROR_ARGUMENT);
    lutra_writer_free(writer);
}

/* A full disk, as far as a test can make one: the kernel refuses with EFBIG and sends SIGXFSZ, whose default
 * is to end the program. */
static void test_a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    struct rlimit before, limit;
    sigset_t mask;
    static char data[100000];
    lutra_error error;
    write_text("m", "old");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    lutra_writer *writer = begin_simple("m", sizeof data);
    limit = before;
    limit.rlim_cur = 50000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    lutra_status status = lutra_writer_write(writer, 0, 0, data, sizeof data, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, LUTRA_ERROR_IO);
    assert_string_equal(error.path, "m");
    assert_non_null(strstr(error.message, "File too large"));
    lutra_writer_free(writer);
    assert_int_equal(count_entries(), 1);
    assert_holds("m", "old");
    sigpending(&mask);
    assert_int_equal(sigismember(&mask, SIGXFSZ), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGXFSZ), 0);
}

static void test_two_writers_at_once(void **state)
{
    (void)state;
    lutra_writer *second;
    lutra_error error;
    lutra_writer *first = begin_simple("m", 1);
    assert_int_equal(lutra_writer_create("m", &second, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "another program is writing it"));
    assert_null(second);
    /* The one that was turned away has not removed the other's file. */
    assert_int_equal(lutra_writer_write(first, 0, 0, "x", 1, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_commit(first, NULL, &error), LUTRA_OK);
    lutra_writer_free(first);
    assert_int_equal(count_entries(), 1);
    lutra_writer_free(begin_simple("m", 1));
}

/* Nothing is left of what was written before, and nobody else could get in. */
static void test_a_writer_that_starts_again(void **state)
{
    (void)state;
    lutra_writer *other;
    lutra_error error;
    size_t size, expected_size, slot;
    const size_t two = 2;
    static char long_data[3000];
    lutra_writer *writer = begin_simple("m", 2);
    assert_int_equal(lutra_writer_write(writer, 0, 0, "no", 2, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_commit(writer, NULL, &error), LUTRA_OK);
    lutra_writer_free(writer);
    char *expected = read_file("m", &expected_size);
    writer = begin_simple("m", sizeof long_data);
    assert_int_equal(lutra_writer_write(writer, 0, 0, long_data, sizeof long_data, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_restart(writer, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_create("m", &other, &error), LUTRA_ERROR_IO);
    assert_int_equal(lutra_writer_commit(writer, NULL, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_declare(writer, "x", LUTRA_U8, 1, &two, &slot, &error), LUTRA_OK);
    assert_int_equal(slot, 0);
    assert_int_equal(lutra_writer_begin(writer, NULL, NULL, 0, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_commit(writer, NULL, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_write(writer, 0, 0, "no", 2, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_commit(writer, NULL, &error), LUTRA_OK);
    lutra_writer_free(writer);
    char *made = read_file("m", &size);
    assert_int_equal(size, expected_size);
    assert_memory_equal(made, expected, size);
    free(made);
    free(expected);
}

static void test_a_stale_temporary_is_used_again(void **state)
{
    (void)state;
    lutra_error error;
    char stale[2000];
    size_t size;
    uint64_t file_bytes;
    memset(stale, 'z', sizeof stale - 1);
    stale[sizeof stale - 1] = 0;
    write_text(".m.lutra-tmp", stale);
    lutra_writer *writer = begin_simple("m", 1);
    assert_int_equal(lutra_writer_write(writer, 0, 0, "x", 1, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_commit(writer, &file_bytes, &error), LUTRA_OK);
    lutra_writer_free(writer);
    free(read_file("m", &size));
    assert_int_equal(size, file_bytes);
    assert_true(size < sizeof stale);
}

/* Some file systems give files to somebody else: shares with one user for all, disks of other systems. */
static bool others_own_files;
uid_t __real_geteuid(void);
uid_t __wrap_geteuid(void);
uid_t __wrap_geteuid(void)
{
    return __real_geteuid() + others_own_files;
}

static void test_a_new_temporary_is_ones_own(void **state)
{
    (void)state;
    lutra_writer *writer;
    lutra_error error;
    others_own_files = true;
    lutra_writer_free(begin_simple("m", 1));
    assert_int_equal(count_entries(), 0);
    write_text(".m.lutra-tmp", "stale");
    assert_int_equal(lutra_writer_create("m", &writer, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, ".m.lutra-tmp is in the way"));
    others_own_files = false;
    assert_holds(".m.lutra-tmp", "stale");
    lutra_writer_free(begin_simple("m", 1));
}

static void test_a_replaced_file_keeps_its_permissions(void **state)
{
    (void)state;
    struct stat info;
    lutra_error error;
    write_text("m", "old");
    assert_int_equal(chmod("m", 0640), 0);
    lutra_writer *writer = begin_simple("m", 1);
    assert_int_equal(lutra_writer_write(writer, 0, 0, "x", 1, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_commit(writer, NULL, &error), LUTRA_OK);
    lutra_writer_free(writer);
    assert_int_equal(stat("m", &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
}

/* Else nobody could open what was written. */
static void test_no_more_tensors_than_are_read(void **state)
{
    (void)state;
    lutra_writer *writer;
    lutra_error error;
    char name[16];
    const size_t none = 0;
    size_t slot;
    assert_int_equal(lutra_writer_create("m", &writer, &error), LUTRA_OK);
    for (size_t i = 0; i <= LUTRA_MAX_TENSORS; i++) {
        snprintf(name, sizeof name, "%zu", i);
        assert_int_equal(lutra_writer_declare(writer, name, LUTRA_U8, 1, &none, &slot, &error),
                         i < LUTRA_MAX_TENSORS ? LUTRA_OK : LUTRA_ERROR_UNSUPPORTED);
    }
    assert_non_null(strstr(error.message, "more than 65536 tensors"));
    lutra_writer_free(writer);
}

static void assert_refused(const char *path, lutra_status expected, const char *part)
{
    lutra_writer *writer;
    lutra_error error;
    assert_int_equal(lutra_writer_create(path, &writer, &error), expected);
    assert_null(writer);
    if (!strstr(error.message, part))
        fail_msg("\"%s\" does not say \"%s\"", error.message, part);
}

static void test_links_in_the_way_are_not_followed(void **state)
{
    (void)state;
    write_text("victim", "safe");
    assert_int_equal(symlink("victim", ".m.lutra-tmp"), 0);
    assert_refused("m", LUTRA_ERROR_IO, "create its temporary file");
    unlink(".m.lutra-tmp");
    assert_int_equal(link("victim", ".m.lutra-tmp"), 0);
    assert_refused("m", LUTRA_ERROR_IO, ".m.lutra-tmp is in the way");
    unlink(".m.lutra-tmp");
    assert_int_equal(mkfifo(".m.lutra-tmp", 0600), 0);
    assert_refused("m", LUTRA_ERROR_IO, ".m.lutra-tmp is in the way");
    assert_holds("victim", "safe");
}

static void test_outputs_that_are_no_files(void **state)
{
    (void)state;
    assert_int_equal(mkdir("d", 0700), 0);
    assert_refused("d", LUTRA_ERROR_IO, "it is a folder");
    assert_refused("d/", LUTRA_ERROR_IO, "it is a folder");
    assert_refused("new/", LUTRA_ERROR_IO, "it names a folder");
    assert_refused("missing/m", LUTRA_ERROR_IO, "open its folder");
    assert_refused("/dev/null", LUTRA_ERROR_IO, "not a regular file");
    assert_refused("-", LUTRA_ERROR_ARGUMENT, "name of a file");
    assert_refused("", LUTRA_ERROR_ARGUMENT, "name of a file");
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_refused(name, LUTRA_ERROR_IO, "name too long");
}

static void test_bad_declarations(void **state)
{
    (void)state;
    lutra_writer *writer;
    lutra_error error;
    size_t slot;
    const size_t huge[] = {SIZE_MAX / 2, 3}, one = 1;
    assert_int_equal(lutra_writer_create("m", &writer, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_declare(writer, "x", LUTRA_F32, 2, huge, &slot, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_declare(writer, "x", LUTRA_F32, 1, &one, &slot, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_declare(writer, "x", LUTRA_F32, 1, &one, &slot, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "two tensors would be called x"));
    assert_int_equal(lutra_writer_declare(writer, "\xff", LUTRA_F32, 1, &one, &slot, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_declare(writer, "__metadata__", LUTRA_F32, 1, &one, &slot, &error),
                     LUTRA_ERROR_ARGUMENT);
    lutra_writer_free(writer);
    assert_int_equal(count_entries(), 0);
}

/* Sums beyond what an offset holds; each tensor alone would not be. */
static void test_tensors_too_large_together(void **state)
{
    (void)state;
    lutra_writer *writer;
    lutra_error error;
    size_t slot;
    const size_t half = PTRDIFF_MAX / 2 + 1, most = PTRDIFF_MAX, more = most + 1;
    assert_int_equal(lutra_writer_create("m", &writer, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_declare(writer, "x", LUTRA_U8, 1, &more, &slot, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "tensor x is too large"));
    assert_int_equal(lutra_writer_declare(writer, "a", LUTRA_U8, 1, &half, &slot, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_declare(writer, "b", LUTRA_U8, 1, &most, &slot, &error), LUTRA_OK);
    if (sizeof(size_t) == sizeof(uint64_t)) {
        assert_int_equal(lutra_writer_begin(writer, NULL, NULL, 0, &error), LUTRA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, "its tensors are too large"));
    }
    lutra_writer_free(writer);
}

static void test_calls_out_of_order(void **state)
{
    (void)state;
    static const char *const keys[] = {"key"}, *const values[] = {"value"}, *const no_text[] = {"\xff"};
    lutra_writer *writer;
    lutra_error error;
    size_t slot;
    const size_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    assert_int_equal(lutra_writer_create("m", &writer, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_declare(writer, "x", LUTRA_U8, 9, nine, &slot, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_declare(writer, "x", (lutra_dtype)99, 1, nine, &slot, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_declare(writer, "x", LUTRA_U8, 8, nine, &slot, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_write(writer, slot, 0, "x", 1, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_commit(writer, NULL, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "nothing was written to it"));
    assert_int_equal(lutra_writer_begin(writer, keys, no_text, 1, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "\"key\" is not UTF-8"));
    assert_int_equal(lutra_writer_begin(writer, keys, values, 1, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_begin(writer, keys, values, 1, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_declare(writer, "y", LUTRA_U8, 1, nine, &slot, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_write(writer, slot + 1, 0, "x", 1, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_writer_write(writer, slot, 0, "x", 1, &error), LUTRA_OK);
    assert_int_equal(lutra_writer_commit(writer, NULL, &error), LUTRA_OK);
    lutra_writer_free(writer);
    lutra_writer_free(NULL);
    unlink("m");
}

enum { N_PIECES = 64, PIECE = 1000 };

static void write_piece(void *job, size_t task, size_t worker)
{
    (void)worker;
    uint8_t piece[PIECE];
    lutra_error error;
    memset(piece, (int)task, sizeof piece);
    assert_int_equal(lutra_writer_write(job, 0, task * PIECE, piece, PIECE, &error), LUTRA_OK);
}

static void test_many_threads_write_one_tensor(void **state)
{
    (void)state;
    lutra_thread_pool *pool;
    lutra_error error;
    size_t size;
    lutra_writer *writer = begin_simple("m", N_PIECES * PIECE);
    assert_int_equal(lutra_thread_pool_create(4, &pool, &error), LUTRA_OK);
    lutra_thread_pool_run(pool, N_PIECES, write_piece, writer);
    assert_int_equal(lutra_writer_commit(writer, NULL, &error), LUTRA_OK);
    lutra_writer_free(writer);
    lutra_thread_pool_free(pool);
    char *file = read_file("m", &size);
    for (size_t i = 0; i < N_PIECES * PIECE; i++)
        assert_int_equal(file[size - N_PIECES * PIECE + i], i / PIECE);
    free(file);
}

/* A program without standard streams: what it prints must not go into the file. */
static void test_no_standard_stream_leads_to_the_file(void **state)
{
    (void)state;
    int kept[STDERR_FILENO + 1];
    size_t size;
    lutra_error error;
    lutra_atomic_file *out;
    for (int stream = 0; stream <= STDERR_FILENO; stream++) {
        kept[stream] = fcntl(stream, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(stream);
    }
    const lutra_status opened = lutra_atomic_file_open("m", &out, &error);
    for (int stream = 0; !opened && stream <= STDERR_FILENO; stream++)
        (void)!write(stream, "printed", 7);
    const lutra_status written = opened ? opened : lutra_atomic_file_write(out, 7, "model", 5, &error);
    const lutra_status committed = written ? written : lutra_atomic_file_commit(out, &error);
    lutra_atomic_file_close(out);
    for (int stream = 0; stream <= STDERR_FILENO; stream++) {
        dup2(kept[stream], stream);
        close(kept[stream]);
    }
    assert_int_equal(committed, LUTRA_OK);
    char *file = read_file("m", &size);
    assert_int_equal(size, 12);
    assert_memory_equal(file, "\0\0\0\0\0\0\0model", 12);
    free(file);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_order_alignment_and_strange_names),
        IN_FOLDER(test_without_commit_the_old_file_survives),
        IN_FOLDER(test_bytes_beyond_a_tensor_are_refused),
        IN_FOLDER(test_a_full_disk_leaves_the_old_file),
        IN_FOLDER(test_two_writers_at_once),
        IN_FOLDER(test_a_writer_that_starts_again),
        IN_FOLDER(test_a_stale_temporary_is_used_again),
        IN_FOLDER(test_a_new_temporary_is_ones_own),
        IN_FOLDER(test_a_replaced_file_keeps_its_permissions),
        IN_FOLDER(test_no_more_tensors_than_are_read),
        IN_FOLDER(test_links_in_the_way_are_not_followed),
        IN_FOLDER(test_outputs_that_are_no_files),
        IN_FOLDER(test_bad_declarations),
        IN_FOLDER(test_tensors_too_large_together),
        IN_FOLDER(test_calls_out_of_order),
        IN_FOLDER(test_many_threads_write_one_tensor),
        IN_FOLDER(test_no_standard_stream_leads_to_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
