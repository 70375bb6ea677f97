/* SPDX-License-Identifier: Apache-2.0 */
/* Device descriptions: those that come with Lutra are read, and whatever is wrong with one is said by name.
 */
#include "model_fixture.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static lutra_device pi4(void)
{
    char *folder = devices_folder(), *path = fixture_path(folder, "pi4.json");
    lutra_device device;
    assert_int_equal(lutra_device_read(path, &device, NULL), LUTRA_OK);
    free(path);
    free(folder);
    return device;
}

static void the_smallest_cache(void **state)
{
    (void)state;
    double bytes_per_second;
    assert_int_equal(lutra_measure_reading(1, 0, &bytes_per_second, NULL), LUTRA_OK);
    assert_true(bytes_per_second > 0 && isfinite(bytes_per_second));
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
        cmocka_unit_test(the_smallest_cache),
        cmocka_unit_test(no_peak_to_calibrate_against),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
