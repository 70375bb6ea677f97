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
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "base/cpu.h"
#include "base/file_map.h"
#include "base/half.h"
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

/* An instruction set counts where the processor has all that it is made of and the operating system saves its
 * registers. */
static void instruction_sets_need_all_their_bits(void **state)
{
    (void)state;
    static const uint32_t fma_f16c = 1u << 12 | 1u << 29, avx2 = 1u << 5;
    static const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    const lutra_cpuid all = {.c1 = fma_f16c,
                             .b7 = avx2 | avx512,
                             .c7 = 1u << 1 | 1u << 11,
                             .a7_1 = 1u << 4 | 1u << 5,
                             .xcr0 = 0xe7};
    const lutra_cpu cpu = lutra_cpu_of_x86(&all);
    assert_true(cpu.avx2 && cpu.avx512 && cpu.avx512_vbmi && cpu.avx512_vnni && cpu.avx512_bf16 &&
                cpu.avx_vnni);
    assert_false(cpu.neon || cpu.neon_dot || cpu.neon_i8mm);
    for (unsigned bit = 0; bit < 32; bit++) { /* one bit less */
        const uint32_t others = ~(1u << bit);
        lutra_cpuid less = all;
        less.c1 &= others;
        assert_int_equal(lutra_cpu_of_x86(&less).avx2, (fma_f16c >> bit & 1) == 0);
        less = all;
        less.b7 &= others;
        assert_int_equal(lutra_cpu_of_x86(&less).avx2, bit != 5);
        assert_int_equal(lutra_cpu_of_x86(&less).avx512, ((avx2 | avx512) >> bit & 1) == 0);
        assert_int_equal(lutra_cpu_of_x86(&less).avx512_bf16, ((avx2 | avx512) >> bit & 1) == 0);
        less = all;
        less.c7 &= others;
        assert_int_equal(lutra_cpu_of_x86(&less).avx512_vbmi, bit != 1);
        assert_int_equal(lutra_cpu_of_x86(&less).avx512_vnni, bit != 11);
        less = all;
        less.a7_1 &= others;
        assert_int_equal(lutra_cpu_of_x86(&less).avx_vnni, bit != 4);
        assert_int_equal(lutra_cpu_of_x86(&less).avx512_bf16, bit != 5);
        less = all;
        less.xcr0 &= others;
        assert_int_equal(lutra_cpu_of_x86(&less).avx2, bit != 1 && bit != 2);
        assert_int_equal(lutra_cpu_of_x86(&less).avx512, (0xe6u >> bit & 1) == 0);
    }
    for (unsigned bits = 0; bits < 8; bits++) {
        const bool neon = bits & 1, dot = bits & 2, i8mm = bits & 4;
        const lutra_cpu arm =
            lutra_cpu_of_arm((uint64_t)neon << 1 | (uint64_t)dot << 20, (uint64_t)i8mm << 13);
        assert_int_equal(arm.neon, neon);
        assert_int_equal(arm.neon_dot, neon && dot);
        assert_int_equal(arm.neon_i8mm, neon && dot && i8mm);
        assert_false(arm.avx2);
    }
}

static void halves_round_to_even_and_overflow(void **state)
{
    (void)state;
    static const struct {
        float value;
        uint16_t f16, bf16;
    } cases[] = {
        {0.0f, 0, 0},
        {-0.0f, 0x8000, 0x8000},
        {1.0f, 0x3c00, 0x3f80},
        {-2.5f, 0xc100, 0xc020},
        {65504.0f, 0x7bff, 0x4780},
        {65520.0f, 0x7c00, 0x4780}, /* halfway to what would be the next number: even is infinity */
        {-1e30f, 0xfc00, 0xf14a},
        {0x1p-14f, 0x0400, 0x3880},
        {0x1p-24f, 0x0001, 0x3380}, /* the least */
        {0x1p-25f, 0x0000, 0x3300}, /* halfway to it */
        {0x1.8p-24f, 0x0002, 0x33c0},
        {1.0f + 0x1p-11f, 0x3c00, 0x3f80},
        {1.0f + 0x3p-11f, 0x3c02, 0x3f80},
        {1.0f + 0x1p-8f, 0x3c04, 0x3f80},
        {1.0f + 0x3p-8f, 0x3c0c, 0x3f82},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(lutra_f32_to_f16(cases[i].value), cases[i].f16);
        assert_int_equal(lutra_f32_to_bf16(cases[i].value), cases[i].bf16);
    }
    for (unsigned bits = 0; bits < 0x10000; bits++) { /* there and back */
        const float f16 = lutra_f16_to_f32((uint16_t)bits), bf16 = lutra_bf16_to_f32((uint16_t)bits);
        if ((bits & 0x7c00) != 0x7c00)
            assert_int_equal(lutra_f32_to_f16(f16), bits);
        if ((bits & 0x7f80) != 0x7f80)
            assert_int_equal(lutra_f32_to_bf16(bf16), bits);
    }
    assert_int_equal(lutra_bits_of_float(lutra_f16_to_f32(0x7c00)), 0x7f800000u);
    assert_int_equal(lutra_bits_of_float(lutra_f16_to_f32(0xfc00)), 0xff800000u);
    assert_int_equal(lutra_bits_of_float(lutra_f16_to_f32(0x7e00)), 0x7fc00000u);
}

#if defined(__SSE__)
/* As a host may set its threads for the sake of speed. */
static void halves_are_read_where_denormals_count_as_zero(void **state)
{
    const unsigned daz_and_ftz = 0x8040, before = _mm_getcsr();
    (void)state;
    for (unsigned bits = 0; bits < 0x10000; bits++) {
        volatile uint16_t half = (uint16_t)bits; /* so that nothing is computed before or after its time */
        const float want = lutra_f16_to_f32(half);
        _mm_setcsr(before | daz_and_ftz);
        volatile float got = lutra_f16_to_f32(half);
        _mm_setcsr(before);
        assert_int_equal(lutra_bits_of_float(got), lutra_bits_of_float(want));
    }
}
#endif

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
        cmocka_unit_test(instruction_sets_need_all_their_bits),
        cmocka_unit_test(halves_round_to_even_and_overflow),
#if defined(__SSE__)
        cmocka_unit_test(halves_are_read_where_denormals_count_as_zero),
#endif
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
