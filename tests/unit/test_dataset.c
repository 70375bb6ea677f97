/* SPDX-License-Identifier: Apache-2.0 */
/* What is there but cannot be had, for lack of memory or descriptors, is not taken for absent: other classes
 * would come of it. */
#define _GNU_SOURCE /* mkdtemp */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataset.h"

/* Pictures of one class in its folder, and a table that says otherwise. */
#define PICTURE "7/a.png"
#define LABELS "labels.tsv"
#define MODEL "tests/golden/models/timm-finetuned"

static bool joins_fail, reads_fail; /* the next one */
static char folder[512];
static lutra_model *model;

char *__real_tool_join(const char *folder, const char *name);
char *__wrap_tool_join(const char *folder, const char *name);
lutra_status __real_tool_read_text(const char *path, char **text, lutra_error *error);
lutra_status __wrap_tool_read_text(const char *path, char **text, lutra_error *error);

char *__wrap_tool_join(const char *where, const char *name)
{
    const bool fails = joins_fail;
    joins_fail = false;
    return fails ? NULL : __real_tool_join(where, name);
}

lutra_status __wrap_tool_read_text(const char *path, char **text, lutra_error *error)
{
    const bool fails = reads_fail;
    reads_fail = false;
    *text = NULL;
    return fails ? tool_io_error(error, path, "open it", EMFILE) : __real_tool_read_text(path, text, error);
}

static char *inside(const char *name)
{
    char *path = __real_tool_join(folder, name);
    assert_non_null(path);
    return path;
}

static void write_text(const char *name, const char *text)
{
    char *path = inside(name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static int set_up(void **state)
{
    (void)state;
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    const char *temporary = getenv("TMPDIR");
    char *path = __real_tool_join(root ? root : ".", MODEL),
         *data = __real_tool_join(root ? root : ".", "data");
    lutra_error error;
    snprintf(folder, sizeof folder, "%.480s/lutra-test-XXXXXX", temporary ? temporary : "/tmp");
    if (!path || !data || !mkdtemp(folder) || lutra_model_open(path, NULL, &model, &error))
        return -1;
    setenv("LUTRA_DATA_DIR", data, 1);
    for (char name[] = "0"; name[0] <= '9'; name[0]++) {
        char *class = inside(name);
        mkdir(class, 0700);
        free(class);
    }
    write_text(PICTURE, "");
    write_text(LABELS, "file\tindex\n" PICTURE "\t3\n");
    free(path);
    free(data);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const files[] = {PICTURE, LABELS};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = inside(files[i]);
        unlink(path);
        free(path);
    }
    for (char name[] = "0"; name[0] <= '9'; name[0]++) {
        char *class = inside(name);
        rmdir(class);
        free(class);
    }
    rmdir(folder);
    lutra_model_close(model);
    return 0;
}

/* The class of the picture, as a model of `arch` with so many classes has it; -1 where that fails, with
 * `number` (of errno) as the reason. */
static int class_of_picture(const char *arch, size_t n_classes, int number)
{
    lutra_model_info info = *lutra_model_get_info(model);
    const tool_session session = {.model = model, .info = &info};
    const tool_arguments arguments = {.images = folder};
    tool_dataset dataset;
    lutra_error error;
    info.arch = arch;
    info.n_classes = n_classes;
    if (tool_dataset_open(&dataset, &arguments, &session, &error)) {
        if (!strstr(error.message, strerror(number)))
            fail_msg("%s", error.message);
        return -1;
    }
    assert_int_equal(dataset.files.n, 1);
    const int class = (int)dataset.truth[0];
    tool_dataset_free(&dataset);
    return class;
}

static void no_memory_for_the_table_s_name(void **state)
{
    (void)state;
    assert_int_equal(class_of_picture("a", 10, 0), 3);
    joins_fail = true;
    assert_int_equal(class_of_picture("a", 10, ENOMEM), -1);
}

static void a_table_that_cannot_be_examined(void **state)
{
    (void)state;
    char *labels = inside(LABELS);
    unlink(labels);
    assert_int_equal(class_of_picture("a", 10, 0), 7); /* by its folder */
    assert_int_equal(symlink(LABELS, labels), 0);      /* to itself */
    assert_int_equal(class_of_picture("a", 10, ELOOP), -1);
    unlink(labels);
    assert_int_equal(symlink("nowhere", labels), 0);
    assert_int_equal(class_of_picture("a", 10, ENOENT), -1);
    unlink(labels);
    write_text(LABELS, "file\tindex\n" PICTURE "\t3\n");
    free(labels);
}

static void names_of_imagenet(void **state)
{
    (void)state;
    static const char arch[] = "vit_tiny_patch16_224";
    assert_int_equal(class_of_picture(arch, 1000, 0), 3);
    reads_fail = true;
    assert_int_equal(class_of_picture(arch, 1000, EMFILE), -1);
    joins_fail = true;
    assert_int_equal(class_of_picture(arch, 1000, ENOMEM), -1);
    /* They may be missing: indices tell classes too. */
    setenv("LUTRA_DATA_DIR", folder, 1);
    assert_int_equal(class_of_picture(arch, 1000, 0), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_for_the_table_s_name),
        cmocka_unit_test(a_table_that_cannot_be_examined),
        cmocka_unit_test(names_of_imagenet),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
