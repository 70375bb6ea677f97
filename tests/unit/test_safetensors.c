/* SPDX-License-Identifier: Apache-2.0 */
/* The reader takes what the format allows and refuses everything else by name and byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "format/safetensors.h"

/* A file in memory: the header's text and `n_data` bytes 0, 1, 2, ... behind it. */
struct image {
    uint8_t bytes[4096];
    size_t size;
};

static struct image make(const char *header, size_t n_data)
{
    struct image image = {.size = 8 + strlen(header) + n_data};
    assert_true(image.size <= sizeof image.bytes);
    image.bytes[0] = (uint8_t)(strlen(header) & 0xff);
    image.bytes[1] = (uint8_t)(strlen(header) >> 8);
    memcpy(image.bytes + 8, header, strlen(header));
    for (size_t i = 0; i < n_data; i++)
        image.bytes[8 + strlen(header) + i] = (uint8_t)i;
    return image;
}

static void reads_tensors_in_the_order_of_their_bytes(void **state)
{
    (void)state;
    lutra_safetensors *file;
    lutra_error error;
    const struct image image = make("{\"__metadata__\":{\"k\":\"v\"},"
                                    "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[8,10]},"
                                    "\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
                                    "\"none\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,8]}}   ",
                                    10);
    assert_int_equal(lutra_safetensors_open_memory(image.bytes, image.size, "memory", &file, &error),
                     LUTRA_OK);
    assert_int_equal(lutra_safetensors_count(file), 3);
    assert_string_equal(lutra_safetensors_at(file, 0)->name, "a");
    assert_string_equal(lutra_safetensors_at(file, 1)->name, "none");
    assert_string_equal(lutra_safetensors_at(file, 2)->name, "b");
    assert_null(lutra_safetensors_at(file, 3));
    const lutra_tensor *b = lutra_safetensors_find(file, "b");
    assert_int_equal(b->dtype, LUTRA_U8);
    assert_int_equal(b->data[0], 8);
    assert_int_equal(b->offset, image.size - 2);
    assert_int_equal(b->readable, 2);
    assert_int_equal(lutra_safetensors_find(file, "a")->shape[1], 2);
    assert_null(lutra_safetensors_find(file, "c"));
    assert_string_equal(lutra_safetensors_metadata(file, "k"), "v");
    assert_null(lutra_safetensors_metadata(file, "x"));
    assert_int_equal(lutra_safetensors_bytes(file), image.size);
    lutra_safetensors_close(file);
}

#define TENSOR(name, dtype, shape, offsets)                                                                  \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void refuses_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n_data;
        lutra_status status;
        const char *message; /* a part of it */
    } cases[] = {
        {"[]", 0, LUTRA_ERROR_FORMAT, "does not begin with {"},
        {"{\"a\":}", 0, LUTRA_ERROR_FORMAT, "invalid JSON"},
        {"{" TENSOR("a", "U8", "[1]", "[0,1]") "," TENSOR("a", "U8", "[1]", "[0,1]") "}", 1,
         LUTRA_ERROR_FORMAT, "duplicate"},
        {"{\"__metadata__\":{\"k\":1}}", 0, LUTRA_ERROR_FORMAT, "is not a string"},
        {"{\"__metadata__\":3}", 0, LUTRA_ERROR_FORMAT, "is not an object"},
        {"{\"a\":3}", 0, LUTRA_ERROR_FORMAT, "tensor \"a\": has no dtype"},
        {"{" TENSOR("a", "Q7", "[1]", "[0,1]") "}", 1, LUTRA_ERROR_UNSUPPORTED, "unknown dtype \"Q7\""},
        {"{" TENSOR("a", "U8", "3", "[0,1]") "}", 1, LUTRA_ERROR_FORMAT, "has no shape"},
        {"{" TENSOR("a", "U8", "[-1]", "[0,1]") "}", 1, LUTRA_ERROR_FORMAT, "not a count"},
        {"{" TENSOR("a", "U8", "[1.5]", "[0,1]") "}", 1, LUTRA_ERROR_FORMAT, "not a count"},
        {"{" TENSOR("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, LUTRA_ERROR_FORMAT, "more than 8"},
        {"{" TENSOR("a", "U8", "[4294967296,4294967296]", "[0,1]") "}", 1, LUTRA_ERROR_FORMAT, "overflows"},
        {"{" TENSOR("a", "F64", "[4611686018427387904]", "[0,0]") "}", 0, LUTRA_ERROR_FORMAT,
         sizeof(size_t) < sizeof(uint64_t) ? "overflows" : "do not fit"},
        {"{" TENSOR("a", "U8", "[4294967297]", "[0,1]") "}", 1, LUTRA_ERROR_FORMAT,
         sizeof(size_t) < sizeof(uint64_t) ? "overflows" : "do not fit"},
        {"{" TENSOR("a", "U8", "[1]", "[0]") "}", 1, LUTRA_ERROR_FORMAT, "no valid data_offsets"},
        {"{" TENSOR("a", "U8", "[1]", "[1,0]") "}", 1, LUTRA_ERROR_FORMAT, "no valid data_offsets"},
        {"{" TENSOR("a", "U8", "[2]", "[0,2]") "}", 1, LUTRA_ERROR_FORMAT, "truncated"},
        {"{" TENSOR("a", "U8", "[2]", "[0,9000000000000000000]") "}", 1, LUTRA_ERROR_FORMAT, "truncated"},
        {"{" TENSOR("a", "F32", "[1]", "[0,3]") "}", 3, LUTRA_ERROR_FORMAT, "do not fit its shape"},
        {"{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("b", "U8", "[2]", "[1,3]") "}", 3,
         LUTRA_ERROR_FORMAT, "\"b\" overlaps"},
        {"{" TENSOR("a", "U8", "[1]", "[0,1]") "," TENSOR("b", "U8", "[1]", "[2,3]") "}", 3,
         LUTRA_ERROR_FORMAT, "\"b\" leaves a hole"},
        {"{" TENSOR("a", "U8", "[1]", "[0,1]") "}", 3, LUTRA_ERROR_FORMAT, "2 bytes behind the last tensor"},
        {"{}", 1, LUTRA_ERROR_FORMAT, "1 bytes behind the last tensor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lutra_safetensors *file = NULL;
        lutra_error error = {0};
        const struct image image = make(cases[i].header, cases[i].n_data);
        const lutra_status status =
            lutra_safetensors_open_memory(image.bytes, image.size, "memory", &file, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].message))
            fail_msg("%s: status %d, message %s", cases[i].header, (int)status, error.message);
        assert_null(file);
        assert_non_null(strstr(error.message, "memory: byte "));
    }
}

static void refuses_every_truncation(void **state)
{
    (void)state;
    const struct image image =
        make("{" TENSOR("a", "F32", "[2]", "[0,8]") "," TENSOR("b", "U8", "[3]", "[8,11]") "}", 11);
    for (size_t size = 0; size < image.size; size++) {
        /* On the heap and just so long, so that the sanitizer sees a read behind the end. */
        uint8_t *copy = malloc(size ? size : 1);
        lutra_safetensors *file;
        lutra_error error;
        memcpy(copy, image.bytes, size);
        assert_int_equal(lutra_safetensors_open_memory(copy, size, "memory", &file, &error),
                         LUTRA_ERROR_FORMAT);
        free(copy);
    }
}

static void refuses_a_header_longer_than_the_file_or_the_limit(void **state)
{
    (void)state;
    lutra_safetensors *file;
    lutra_error error;
    struct image image = make("{}", 0);
    image.bytes[0] = 200;
    assert_int_equal(lutra_safetensors_open_memory(image.bytes, image.size, "memory", &file, &error),
                     LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "longer than the file"));
    image.bytes[7] = 0x80;
    assert_int_equal(lutra_safetensors_open_memory(image.bytes, image.size, "memory", &file, &error),
                     LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "is not a safetensors file"));
}

static void write_file(const char *folder, const char *name, const void *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(data, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
}

static void check_index(const char *folder, const char *index, lutra_status expected, const char *message)
{
    char path[512];
    lutra_safetensors *file;
    lutra_error error = {0};
    write_file(folder, "model.safetensors.index.json", index, strlen(index));
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
    const lutra_status status = lutra_safetensors_open(path, &file, &error);
    if (status != expected || (message && !strstr(error.message, message)))
        fail_msg("%s: status %d, message %s", index, (int)status, error.message);
    if (status == LUTRA_OK) {
        assert_int_equal(lutra_safetensors_count(file), 2);
        assert_int_equal(lutra_safetensors_find(file, "b")->bytes, 1);
        lutra_safetensors_close(file);
    }
}

static void reads_shards_and_keeps_them_in_their_folder(void **state)
{
    (void)state;
    char folder[] = "/tmp/lutra-shards-XXXXXX", command[256];
    assert_non_null(mkdtemp(folder));
    char long_name[4200] = "{\"weight_map\":{\"a\":\"";
    memset(long_name + strlen(long_name), 'n', 4100);
    strcat(long_name, "\"}}");
    const struct image a = make("{" TENSOR("a", "U8", "[2]", "[0,2]") "}", 2);
    const struct image b = make("{" TENSOR("b", "U8", "[1]", "[0,1]") "}", 1);
    write_file(folder, "1.safetensors", a.bytes, a.size);
    write_file(folder, "2.safetensors", b.bytes, b.size);
    write_file(folder, "twin.safetensors", a.bytes, a.size);
    check_index(folder, "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}", LUTRA_OK, NULL);
    check_index(folder, "{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"2.safetensors\"}}",
                LUTRA_ERROR_FORMAT, "\"c\" is missing from 2.safetensors");
    check_index(folder, "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"twin.safetensors\"}}",
                LUTRA_ERROR_FORMAT, "also in another shard");
    check_index(folder, "{\"weight_map\":{\"a\":\"../1.safetensors\"}}", LUTRA_ERROR_FORMAT,
                "beside the index");
    check_index(folder, "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", LUTRA_ERROR_FORMAT, "beside the index");
    check_index(folder, "{\"weight_map\":{\"a\":\"..\"}}", LUTRA_ERROR_FORMAT, "beside the index");
    check_index(folder, "{\"weight_map\":{\"a\":7}}", LUTRA_ERROR_FORMAT, "beside the index");
    check_index(folder, "{\"weight_map\":{\"a\":\"gone.safetensors\"}}", LUTRA_ERROR_IO, "No such file");
    check_index(folder, "{\"weight_map\":{\"a\":\"\"}}", LUTRA_ERROR_FORMAT, "beside the index");
    check_index(folder, "{\"weight_map\":{\"a\":\".\"}}", LUTRA_ERROR_FORMAT, "beside the index");
    const struct image none = make("{}", 0);
    write_file(folder, "empty.safetensors", none.bytes, none.size);
    write_file(folder, "void.safetensors", none.bytes, none.size);
    check_index(folder, "{\"weight_map\":{\"a\":\"empty.safetensors\",\"b\":\"void.safetensors\"}}",
                LUTRA_ERROR_FORMAT, "\"a\" is missing from empty.safetensors");
    check_index(
        folder,
        "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"empty.safetensors\",\"c\":\"void.safetensors\"}}",
        LUTRA_ERROR_FORMAT, "\"b\" is missing from empty.safetensors");
    check_index(
        folder,
        "{\"weight_map\":{\"c\":\"void.safetensors\",\"d\":\"empty.safetensors\",\"a\":\"1.safetensors\"}}",
        LUTRA_ERROR_FORMAT, "\"c\" is missing from void.safetensors");
    check_index(folder, "{\"weight_map\":[]}", LUTRA_ERROR_FORMAT, "weight_map");
    check_index(folder, "[]", LUTRA_ERROR_FORMAT, "is not a JSON object");
    check_index(folder, long_name, LUTRA_ERROR_IO, "too long a path");
    check_index(folder, "{}", LUTRA_ERROR_FORMAT, "weight_map");
    check_index(folder, "", LUTRA_ERROR_FORMAT, "invalid JSON");
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* Times of 32 bits end in 2038. */
static void files_of_later_days_are_read(void **state)
{
    (void)state;
    char path[] = "/tmp/lutra-later-XXXXXX";
    const struct timespec later[2] = {{.tv_sec = (time_t)2208988800u}, {.tv_sec = (time_t)2208988800u}};
    const struct image a = make("{" TENSOR("a", "U8", "[2]", "[0,2]") "}", 2);
    lutra_safetensors *file;
    const int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, a.bytes, a.size), a.size);
    assert_int_equal(futimens(descriptor, later), 0);
    close(descriptor);
    assert_int_equal(lutra_safetensors_open(path, &file, NULL), LUTRA_OK);
    lutra_safetensors_close(file);
    unlink(path);
}

static void reports_files_that_cannot_be_read(void **state)
{
    (void)state;
    lutra_safetensors *file;
    lutra_error error;
    assert_int_equal(lutra_safetensors_open("/nonexistent.safetensors", &file, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "/nonexistent.safetensors"));
    assert_int_equal(lutra_safetensors_open("/tmp", &file, &error), LUTRA_ERROR_IO);
    assert_int_equal(lutra_safetensors_open("/dev/null", &file, &error), LUTRA_ERROR_IO);
    assert_int_equal(lutra_safetensors_open("/nonexistent.index.json", &file, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "does not exist"));
    assert_int_equal(lutra_safetensors_open_memory(NULL, 0, "memory", &file, &error), LUTRA_ERROR_ARGUMENT);
    assert_null(file);
    lutra_safetensors_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_tensors_in_the_order_of_their_bytes),
        cmocka_unit_test(refuses_with_a_reason),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_a_header_longer_than_the_file_or_the_limit),
        cmocka_unit_test(reads_shards_and_keeps_them_in_their_folder),
        cmocka_unit_test(files_of_later_days_are_read),
        cmocka_unit_test(reports_files_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
