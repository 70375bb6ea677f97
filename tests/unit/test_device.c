/* SPDX-License-Identifier: Apache-2.0 */
/* Device descriptions: those that come with Lutra are read, and whatever is wrong with one is said by name.
 */
#include "model_fixture.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/device.h"
#include "profile/measure.h"

static char *devices_folder(void)
{
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    return fixture_path(root ? root : ".", "data/devices");
}

static void those_that_come_with_lutra(void **state)
{
    (void)state;
    char *folder = devices_folder();
    DIR *directory = opendir(folder);
    const struct dirent *entry;
    size_t n = 0;
    assert_non_null(directory);
    while ((entry = readdir(directory))) {
        lutra_device device;
        lutra_error error;
        if (entry->d_name[0] == '.')
            continue;
        char *path = fixture_path(folder, entry->d_name);
        if (lutra_device_read(path, &device, &error))
            fail_msg("%s", error.message);
        assert_int_equal(strncmp(device.name, entry->d_name, strlen(device.name)), 0);
        assert_true(device.clock_all <= device.clock && device.dram_one_core <= device.dram_all_cores);
        free(path);
        n++;
    }
    closedir(directory);
    free(folder);
    assert_true(n >= 8);
}

static void numbers_arrive(void **state)
{
    (void)state;
    char *folder = devices_folder(), *path = fixture_path(folder, "pi5.json");
    lutra_device device;
    lutra_error error;
    assert_int_equal(lutra_device_read(path, &device, &error), LUTRA_OK);
    assert_string_equal(device.core, "Cortex-A76");
    assert_string_equal(device.isa, "neondot");
    assert_int_equal(device.n_cores, 4);
    assert_true(device.clock == 1e9 * 2.4 && device.clock_all == device.clock);
    assert_true(device.macs_per_cycle_f32 == 8 && device.macs_per_cycle_i8 == 32);
    assert_true(device.macs_per_cycle_bf16 == 8); /* it has none: those of f32 */
    assert_int_equal(device.n_caches, 3);
    assert_int_equal(device.caches[2].bytes, 2097152);
    assert_int_equal(device.caches[2].shared_by, 4);
    assert_true(device.dram_one_core == 1e9 * 14.9 && device.dram_all_cores == 1e9 * 17.1);
    free(path);
    free(folder);
}

/* Reads pi4.json with `from` replaced by `to`: must be refused with a message that has `says`. */
static void refused(const char *from, const char *to, const char *says)
{
    char *folder = devices_folder(), *path = fixture_path(folder, "pi4.json"), *own = fixture_folder();
    size_t size;
    char *text = (char *)fixture_read(path, &size), *found = strstr(text, from);
    char *changed = malloc(size + strlen(to) + 1), *changed_path = fixture_path(own, "changed.json");
    lutra_device device;
    lutra_error error;
    assert_non_null(found);
    snprintf(changed, size + strlen(to) + 1, "%.*s%s%s", (int)(found - text), text, to, found + strlen(from));
    fixture_write_bytes(own, "changed.json", changed, strlen(changed));
    assert_int_equal(lutra_device_read(changed_path, &device, &error), LUTRA_ERROR_FORMAT);
    if (!strstr(error.message, says) || !strstr(error.message, changed_path))
        fail_msg("expected %s: %s", says, error.message);
    fixture_remove(own);
    free(changed);
    free(changed_path);
    free(text);
    free(path);
    free(folder);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    refused("\"cores\":", "\"cores\" ", "byte ");
    refused("\"name\": \"pi4\"", "\"name\": 4", "\"name\"");
    refused("\"name\": \"pi4\"", "\"name\": \"\"", "\"name\"");
    refused("\"title\": \"",
            "\"title\": \"0123456789012345678901234567890123456789012345678901234567890123456789"
            "01234567890123456789012345678901234567890123456789012345",
            "too long");
    refused("\"cores\": {\"value\": 4", "\"cores\": {\"value\": 4.5", "\"cores\"");
    refused("\"cores\": {\"value\": 4", "\"cores\": {\"value\": 1e300", "\"cores\"");
    refused("\"clock_ghz\": {\"value\": 1.8", "\"clock_ghz\": {\"value\": 0", "\"clock_ghz\"");
    refused("\"clock_ghz\": {\"value\": 1.8", "\"clock_ghz\": {\"value\": -1.8", "\"clock_ghz\"");
    refused("\"clock_ghz\": {\"value\": 1.8", "\"clock_ghz\": {\"value\": \"1.8\"", "\"clock_ghz\"");
    refused("\"clock_ghz\": {\"value\": 1.8, \"source\"", "\"clock_ghz\": {\"value\": 1.8, \"sauce\"",
            "\"source\"");
    refused("\"clock_ghz\"", "\"clock\"", "\"clock_ghz\" is missing");
    refused("\"f32\": {", "\"f33\": {", "macs_per_cycle.f32");
    refused("\"macs_per_cycle\"", "\"macs\"", "\"macs_per_cycle\" must be an object");
    refused("\"level\": 2", "\"level\": 3", "levels 1, 2");
    refused("\"shared_by\": 4", "\"shared_by\": 0", "shared_by");
    refused("\"caches\"", "\"caches_of\"", "\"caches\" must be a list");
    refused("\"all_cores\"", "\"every_core\"", "dram_gb_per_s.all_cores");
    refused("\"dram_byte\"", "\"byte\"", "pj.dram_byte");
}

static void no_file(void **state)
{
    (void)state;
    lutra_device device;
    lutra_error error;
    assert_int_equal(lutra_device_read("/nowhere/at/all.json", &device, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "/nowhere/at/all.json"));
}

/* ---- what is measured can be written, and what is written read ------------------------------------- */

static lutra_device pi4(void)
{
    char *folder = devices_folder(), *path = fixture_path(folder, "pi4.json");
    lutra_device device;
    assert_int_equal(lutra_device_read(path, &device, NULL), LUTRA_OK);
    free(path);
    free(folder);
    return device;
}

static void arrives(const char *path, const lutra_device *device)
{
    lutra_device read;
    lutra_error error;
    if (lutra_device_write(path, device, &error) || lutra_device_read(path, &read, &error))
        fail_msg("%s", error.message);
    assert_string_equal(read.title, device->title);
    assert_int_equal(read.n_cores, device->n_cores);
    assert_int_equal(read.n_caches, device->n_caches);
    for (size_t i = 0; i < read.n_caches; i++) {
        assert_int_equal(read.caches[i].bytes, device->caches[i].bytes);
        assert_int_equal(read.caches[i].shared_by, device->caches[i].shared_by);
    }
}

/* What reading would refuse is not written, and what was there stays. */
static void what_is_written_can_be_read(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *path = fixture_path(folder, "device.json");
    lutra_device device = pi4(), read;
    const struct {
        const char *says;
        double *number, bad;
    } numbers[] = {{"clock_ghz", &device.clock, 0},
                   {"clock_all_ghz", &device.clock_all, NAN},
                   {"macs_per_cycle.f32", &device.macs_per_cycle_f32, INFINITY},
                   {"macs_per_cycle.int8", &device.macs_per_cycle_i8, -1},
                   {"dram_gb_per_s.one_core", &device.dram_one_core, 0},
                   {"pj.dram_byte", &device.pj_dram_byte, 1e300},
                   {"efficiency.norm", &device.efficiency.norm, 0}};
    const struct {
        const char *says;
        size_t *count, bad;
    } counts[] = {{"cores", &device.n_cores, 0},
                  {"cores", &device.n_cores, LUTRA_MAX_CORES + 1},
                  {"shared_by", &device.caches[0].shared_by, 0},
                  {"shared_by", &device.caches[0].shared_by, LUTRA_MAX_CORES + 1},
                  {"5 caches", &device.n_caches, LUTRA_MAX_CACHES + 1}};
    const struct {
        const char *says;
        char *text;
        const char *bad;
    } texts[] = {{"name", device.name, ""},
                 {"title", device.title, ""},
                 {"core", device.core, "\xff"},
                 {"isa", device.isa, ""}};
    lutra_error error;
    device.efficiency_is_own = true;
    arrives(path, &device);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const double kept = *numbers[i].number;
        *numbers[i].number = numbers[i].bad;
        assert_int_equal(lutra_device_write(path, &device, &error), LUTRA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, numbers[i].says));
        *numbers[i].number = kept;
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const size_t kept = *counts[i].count;
        *counts[i].count = counts[i].bad;
        assert_int_equal(lutra_device_write(path, &device, &error), LUTRA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, counts[i].says));
        *counts[i].count = kept;
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char kept[2];
        memcpy(kept, texts[i].text, sizeof kept);
        memcpy(texts[i].text, texts[i].bad, strlen(texts[i].bad) + 1);
        assert_int_equal(lutra_device_write(path, &device, &error), LUTRA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, texts[i].says));
        memcpy(texts[i].text, kept, sizeof kept);
    }
    assert_int_equal(lutra_device_read(path, &read, NULL), LUTRA_OK);
    assert_int_equal(read.n_caches, device.n_caches);
    device.n_caches = 0;
    arrives(path, &device);
    fixture_remove(folder);
    free(path);
}

static void run(const char *format, const char *folder)
{
    char command[512];
    snprintf(command, sizeof command, format, folder);
    assert_int_equal(system(command), 0);
}

/* A machine of which /proc/cpuinfo and /sys say what is given, measured as a Raspberry Pi. */
static lutra_device look(const char *folder, const char *cpuinfo, const char *size, const char *cpus)
{
    const lutra_world world = {.root = folder};
    const lutra_device measured = pi4();
    lutra_device device;
    fixture_write_text(folder, "proc/cpuinfo", cpuinfo);
    fixture_write_text(folder, "sys/devices/system/cpu/cpu0/cache/index0/size", size);
    fixture_write_text(folder, "sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list", cpus);
    lutra_device_look_in(&world, 0, &device);
    device.clock = measured.clock;
    device.clock_all = measured.clock_all;
    device.macs_per_cycle_f32 = measured.macs_per_cycle_f32;
    device.macs_per_cycle_bf16 = measured.macs_per_cycle_bf16;
    device.macs_per_cycle_i8 = measured.macs_per_cycle_i8;
    device.dram_one_core = measured.dram_one_core;
    device.dram_all_cores = measured.dram_all_cores;
    return device;
}

static void whatever_the_system_tells(void **state)
{
    static const struct {
        const char *cpuinfo, *title;
    } titles[] = {{"processor\t: 0\nmodel name\t: A Processor\nHardware\t: A Board\n", "A Processor"},
                  {"model name\t: \nHardware\t: A Board\n", "A Board"},
                  {"model name\t: \n", "this machine"},
                  {"model name\t: \xff\xfe\n", "this machine"},
                  {"", "this machine"}};
    static const struct {
        const char *size;
        uint64_t bytes; /* 0: no cache */
    } sizes[] = {{"32K\n", 32768},    {"4096\n", 4096}, {"2M\n", 2097152}, {"1G\n", 1073741824},
                 {"1\n", 0},          {"0K\n", 0},      {"1T\n", 0},       {"2G\n", 0},
                 {"999999999G\n", 0}, {"-1K\n", 0},     {"large\n", 0},    {"", 0}};
    static const struct {
        const char *cpus;
        size_t n;
    } cpus[] = {{"0-3,8-11\n", 8}, {"0-9999999\n", LUTRA_MAX_CORES}, {"\n", 1}, {"3-1\n", 1}};
    (void)state;
    char *folder = fixture_folder(), *path = fixture_path(folder, "device.json");
    run("mkdir -p '%s/proc'", folder);
    run("mkdir -p '%s/sys/devices/system/cpu/cpu0/cache/index0'", folder);
    fixture_write_text(folder, "sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n");
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        const lutra_device device = look(folder, titles[i].cpuinfo, "32K\n", "0\n");
        assert_string_equal(device.title, titles[i].title);
        arrives(path, &device);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const lutra_device device = look(folder, "", sizes[i].size, "0\n");
        assert_int_equal(device.n_caches, sizes[i].bytes != 0);
        assert_int_equal(device.caches[0].bytes, sizes[i].bytes);
        arrives(path, &device);
    }
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        const lutra_device device = look(folder, "", "32K\n", cpus[i].cpus);
        assert_int_equal(device.caches[0].shared_by, cpus[i].n);
        arrives(path, &device);
    }
    run("rm -rf '%s'", folder);
    free(path);
    free(folder);
}

static void caches_are_those_of_the_core(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    const lutra_world world = {.root = folder};
    lutra_device device;
    run("mkdir -p '%s/sys/devices/system/cpu/cpu0/cache/index0'", folder);
    run("mkdir -p '%s/sys/devices/system/cpu/cpu4/cache/index0'", folder);
    fixture_write_text(folder, "sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n");
    fixture_write_text(folder, "sys/devices/system/cpu/cpu0/cache/index0/size", "32K\n");
    fixture_write_text(folder, "sys/devices/system/cpu/cpu4/cache/index0/type", "Data\n");
    fixture_write_text(folder, "sys/devices/system/cpu/cpu4/cache/index0/size", "64K\n");
    lutra_device_look_in(&world, 0, &device);
    assert_int_equal(device.caches[0].bytes, 32768);
    lutra_device_look_in(&world, 4, &device);
    assert_int_equal(device.caches[0].bytes, 65536);
    run("rm -rf '%s'", folder);
    free(folder);
}

/* Character by character, so that one of them is cut where the name of the core ends. */
static void a_name_that_is_cut(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *path = fixture_path(folder, "device.json");
    run("mkdir -p '%s/proc'", folder);
    run("mkdir -p '%s/sys/devices/system/cpu/cpu0/cache/index0'", folder);
    for (int n = 61; n <= 63; n++) {
        char cpuinfo[128];
        snprintf(cpuinfo, sizeof cpuinfo, "model name\t: %.*s\u00ae end\n", n,
                 "0123456789012345678901234567890123456789012345678901234567890123");
        const lutra_device device = look(folder, cpuinfo, "", "");
        assert_non_null(strstr(device.title, " end"));
        arrives(path, &device);
    }
    run("rm -rf '%s'", folder);
    free(path);
    free(folder);
}

static void the_smallest_cache(void **state)
{
    (void)state;
    double bytes_per_second;
    assert_int_equal(lutra_measure_reading(1, 0, &bytes_per_second, NULL), LUTRA_OK);
    assert_true(bytes_per_second > 0 && isfinite(bytes_per_second));
}

/* Two cores have each of four last caches: what all read is to fit in none of them, nor in all. */
static void memory_is_read_beyond_all_caches(void **state)
{
    static const uint64_t mib = 1 << 20, much = (uint64_t)1 << 40;
    lutra_device device = {.n_cores = 8, .n_caches = 1, .caches = {{.bytes = 32 * mib, .shared_by = 2}}};
    (void)state;
    assert_int_equal(lutra_bytes_beyond_caches(&device, 1, much), 128 * mib);
    assert_int_equal(lutra_bytes_beyond_caches(&device, 8, much), 512 * mib);
    assert_int_equal(lutra_bytes_beyond_caches(&device, 8, 1024 * mib), 256 * mib);
    device.caches[0].bytes = 96 * mib;
    assert_int_equal(lutra_bytes_beyond_caches(&device, 8, much), (sizeof(size_t) > 4 ? 1536 : 512) * mib);
    device.caches[0].bytes = mib;
    assert_int_equal(lutra_bytes_beyond_caches(&device, 8, much), 64 * mib);
    device.n_caches = 0;
    assert_int_equal(lutra_bytes_beyond_caches(&device, 8, 0), 64 * mib);
}

static void no_peak_to_calibrate_against(void **state)
{
    (void)state;
    lutra_device device = pi4();
    lutra_efficiency efficiency;
    lutra_error error;
    device.macs_per_cycle_bf16 = 0;
    assert_int_equal(lutra_calibrate(&device, &efficiency, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "bf16"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_that_come_with_lutra),
        cmocka_unit_test(numbers_arrive),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(no_file),
        cmocka_unit_test(what_is_written_can_be_read),
        cmocka_unit_test(whatever_the_system_tells),
        cmocka_unit_test(a_name_that_is_cut),
        cmocka_unit_test(caches_are_those_of_the_core),
        cmocka_unit_test(the_smallest_cache),
        cmocka_unit_test(no_peak_to_calibrate_against),
        cmocka_unit_test(memory_is_read_beyond_all_caches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
