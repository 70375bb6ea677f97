/* SPDX-License-Identifier: Apache-2.0 */
/* The names in a folder. */
#define _GNU_SOURCE /* mkdtemp */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "inputs.h"

char *__real_strdup(const char *text);
/* Seen by ThreadSanitizer's library too, which calls it. */
__attribute__((visibility("default"))) char *__wrap_strdup(const char *text);

/* As glibc's allocations may, where they find memory in another way than first tried. */
char *__wrap_strdup(const char *text)
{
    char *copy = __real_strdup(text);
    errno = ENOMEM;
    return copy;
}

static void what_allocations_leave_in_errno_is_no_error(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    char folder[512], picture[520];
    tool_files files = {0};
    lutra_error error;
    snprintf(folder, sizeof folder, "%.480s/lutra-test-XXXXXX", temporary ? temporary : "/tmp");
    assert_non_null(mkdtemp(folder));
    snprintf(picture, sizeof picture, "%s/a.png", folder);
    FILE *file = fopen(picture, "w");
    assert_non_null(file);
    fclose(file);
    const lutra_status status = tool_files_add_folder(&files, folder, &error);
    unlink(picture);
    rmdir(folder);
    assert_int_equal(status, LUTRA_OK);
    assert_int_equal(files.n, 1);
    assert_string_equal(files.paths[0], picture);
    tool_files_free(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_allocations_leave_in_errno_is_no_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
