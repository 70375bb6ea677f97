/* SPDX-License-Identifier: Apache-2.0 */
/* Checked sizes, aligned memory, mapped files, and what is known about this machine. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/file_map.h"
#include "base/memory.h"
#include "base/size.h"

static void sizes_that_overflow_are_caught(void **state)
{
    (void)state;
    size_t result = 7;
    assert_true(lutra_size_add(SIZE_MAX - 1, 1, &result));
    assert_true(result == SIZE_MAX);
    assert_false(lutra_size_add(SIZE_MAX, 1, &result));
    assert_true(lutra_size_multiply(SIZE_MAX / 2, 2, &result));
    assert_true(result == SIZE_MAX - 1);
    assert_false(lutra_size_multiply(SIZE_MAX / 2 + 1, 2, &result));
    assert_true(lutra_size_from(SIZE_MAX, &result));
    assert_true(result == SIZE_MAX);
    assert_int_equal(lutra_size_from((uint64_t)1 << 32, &result), sizeof(size_t) > 4);
    assert_int_equal(lutra_round_up(0, 64), 0);
    assert_int_equal(lutra_round_up(1, 64), 64);
    assert_int_equal(lutra_round_up(64, 64), 64);
    assert_int_equal(lutra_round_up(65, 12), 72);
}

static void memory_is_aligned_and_zeroed(void **state)
{
    (void)state;
    for (size_t count = 0; count < 200; count += 7) {
        unsigned char *memory = NULL;
        assert_int_equal(lutra_allocate(count, 3, "test", &memory, NULL), LUTRA_OK);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % LUTRA_ALIGNMENT, 0);
        for (size_t i = 0; i < count * 3; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xff, count * 3); /* what is freed dirty must come back clean */
        free(memory);
    }
}

static void impossible_sizes_are_errors(void **state)
{
    (void)state;
    const size_t sizes[][2] = {
        {SIZE_MAX, 2}, {SIZE_MAX, 1}, {SIZE_MAX - 10, 1}, {PTRDIFF_MAX, 1}, {SIZE_MAX / 8 + 1, 8}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        lutra_error error;
        void *memory = NULL;
        assert_int_equal(lutra_allocate(sizes[i][0], sizes[i][1], "the moon", &memory, &error),
                         LUTRA_ERROR_MEMORY);
        assert_null(memory);
        assert_non_null(strstr(error.message, "the moon"));
    }
}

typedef struct folder {
    char path[64], file[96];
} folder;

static int make_folder(void **state)
{
    static folder made;
    strcpy(made.path, "/tmp/lutra-test-XXXXXX");
    if (!mkdtemp(made.path))
        return -1;
    snprintf(made.file, sizeof made.file, "%s/file", made.path);
    *state = &made;
    return 0;
}

static int remove_folder(void **state)
{
    const folder *made = *state;
    unlink(made->file);
    return rmdir(made->path);
}

static void a_file_is_mapped_whole(void **state)
{
    const folder *made = *state;
    FILE *file = fopen(made->file, "wb");
    assert_non_null(file);
    for (int i = 0; i < 10001; i++)
        fputc(i % 251, file);
    assert_int_equal(fclose(file), 0);

    lutra_file_map map;
    assert_int_equal(lutra_file_map_open(made->file, &map, NULL), LUTRA_OK);
    assert_int_equal(map.size, 10001);
    for (size_t i = 0; i < map.size; i++)
        assert_int_equal(map.data[i], i % 251);
    lutra_file_map_close(&map);
    assert_null(map.data);
    lutra_file_map_close(&map); /* a second time does no harm */
}

static void an_empty_file_has_no_bytes(void **state)
{
    const folder *made = *state;
    FILE *file = fopen(made->file, "wb");
    assert_non_null(file);
    fclose(file);
    lutra_file_map map;
    assert_int_equal(lutra_file_map_open(made->file, &map, NULL), LUTRA_OK);
    assert_int_equal(map.size, 0);
    lutra_file_map_close(&map);
}

static void what_is_no_file_is_an_error(void **state)
{
    const folder *made = *state;
    lutra_error error;
    lutra_file_map map;
    assert_int_equal(lutra_file_map_open(made->file, &map, &error), LUTRA_ERROR_IO);
    assert_string_equal(error.path, made->file);
    assert_non_null(strstr(error.message, "No such file"));

    assert_int_equal(lutra_file_map_open(made->path, &map, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "not a regular file"));

    /* Opening a FIFO that nobody writes to would wait for ever. */
    assert_int_equal(mkfifo(made->file, 0600), 0);
    assert_int_equal(lutra_file_map_open(made->file, &map, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "not a regular file"));
}

static void threads_follow_the_affinity(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    const size_t n = lutra_default_threads();
    assert_in_range(n, 1, CPU_COUNT(&before) < LUTRA_MAX_THREADS ? CPU_COUNT(&before) : LUTRA_MAX_THREADS);
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(lutra_default_threads(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void instruction_sets_imply_their_base(void **state)
{
    (void)state;
    const lutra_cpu *cpu = lutra_cpu_get();
    assert_ptr_equal(cpu, lutra_cpu_get());
    assert_true(cpu->avx2 || !(cpu->avx512 || cpu->avx_vnni));
    assert_true(cpu->avx512 || !(cpu->avx512_vbmi || cpu->avx512_vnni || cpu->avx512_bf16));
#if defined(__x86_64__)
    /* The compiler's own detection knows the same CPU. */
    assert_int_equal(cpu->avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    assert_int_equal(cpu->avx512_vnni, __builtin_cpu_supports("avx512vnni") && cpu->avx512);
    assert_int_equal(cpu->avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                      __builtin_cpu_supports("avx512dq") &&
                                      __builtin_cpu_supports("avx512vl"));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_that_overflow_are_caught),
        cmocka_unit_test(memory_is_aligned_and_zeroed),
        cmocka_unit_test(impossible_sizes_are_errors),
        cmocka_unit_test_setup_teardown(a_file_is_mapped_whole, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_empty_file_has_no_bytes, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_an_error, make_folder, remove_folder),
        cmocka_unit_test(threads_follow_the_affinity),
        cmocka_unit_test(instruction_sets_imply_their_base),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
