/* SPDX-License-Identifier: Apache-2.0 */
/* Every failure fills the whole error, names path and byte, and lets nothing reach the terminal unescaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"

static void message_names_path_and_byte(void **state)
{
    (void)state;
    lutra_error error;
    lutra_status status =
        lutra_fail(&error, LUTRA_ERROR_FORMAT, "a.safetensors", 17, "the header claims %d bytes", 99);
    assert_int_equal(status, LUTRA_ERROR_FORMAT);
    assert_int_equal(error.status, LUTRA_ERROR_FORMAT);
    assert_int_equal(error.offset, 17);
    assert_string_equal(error.path, "a.safetensors");
    assert_string_equal(error.message, "a.safetensors: byte 17: the header claims 99 bytes");
}

static void message_without_path_or_byte(void **state)
{
    (void)state;
    lutra_error error;
    assert_int_equal(lutra_fail(&error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "no"),
                     LUTRA_ERROR_ARGUMENT);
    assert_string_equal(error.path, "");
    assert_string_equal(error.message, "no");
}

static void error_may_be_null(void **state)
{
    (void)state;
    assert_int_equal(lutra_fail(NULL, LUTRA_ERROR_IO, "p", 1, "x"), LUTRA_ERROR_IO);
}

static void messages_are_escaped(void **state)
{
    (void)state;
    lutra_error error;
    lutra_fail(&error, LUTRA_ERROR_FORMAT, "a\033[2Jb", LUTRA_NO_OFFSET, "tensor \"%s\"", "x\n\x7fy");
    assert_string_equal(error.path, "a\\u001b[2Jb");
    assert_string_equal(error.message, "a\\u001b[2Jb: tensor \"x\\u000a\\u007fy\"");
}

static void what_steers_a_terminal_is_escaped(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\xa6", "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\xa6"},
        {"\033]0;title\a", "\\u001b]0;title\\u0007"},
        {"\xc2\x9b"
         "2J",
         "\\u009b2J"}, /* CSI of one character */
        {"\x9b"
         "2J\xff",
         "\\x9b2J\\xff"}, /* and of one byte, where text is Latin-1 */
        {"a\xe2\x80\xae"
         "b",
         "a\\u202eb"},                                         /* from right to left from here on */
        {"\xe2\x81\xa6\xe2\x80\xa8", "\\u2066\\u2028"},        /* so for a while; a new line */
        {"\xc0\xaf\xe0\x80\xaf", "\\xc0\\xaf\\xe0\\x80\\xaf"}, /* "/" in too many bytes */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},                   /* half of a surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},          /* beyond the last character */
        {"\xe2\x82", "\\xe2\\x82"},                            /* cut short */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i][0];
        char out[64];
        assert_int_equal(lutra_escape(&text, out, sizeof out), strlen(cases[i][1]));
        assert_string_equal(out, cases[i][1]);
        assert_int_equal(*text, 0);
    }
}

static void escaping_goes_on_where_room_ended(void **state)
{
    (void)state;
    const char *text = "a\033b\xc3\xa9";
    char out[7], whole[32] = "";
    while (*text) {
        lutra_escape(&text, out, sizeof out);
        strcat(whole, out);
    }
    assert_string_equal(whole, "a\\u001bb\xc3\xa9");
    assert_int_equal(lutra_escape(&(const char *){"x"}, out, 1), 0);
    assert_string_equal(out, "");
    out[0] = 'k';
    assert_int_equal(lutra_escape(&(const char *){"x"}, out, 0), 0);
    assert_int_equal(out[0], 'k');
}

static void long_texts_are_cut_and_terminated(void **state)
{
    (void)state;
    char path[2000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    lutra_error error;
    lutra_fail(&error, LUTRA_ERROR_FORMAT, path, 5, "%s", path);
    assert_int_equal(strlen(error.path), sizeof error.path - 1);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
}

static void errno_is_named(void **state)
{
    (void)state;
    lutra_error error;
    assert_int_equal(lutra_fail_errno(&error, ENOENT, "gone", "open"), LUTRA_ERROR_IO);
    assert_string_equal(error.message, "gone: cannot open: No such file or directory");
    lutra_fail_errno(&error, 123456, NULL, "open");
    assert_non_null(strstr(error.message, "123456"));
}

static void each_status_has_its_name(void **state)
{
    (void)state;
    for (int a = LUTRA_OK; a <= LUTRA_ERROR_CANCELLED; a++) {
        assert_string_not_equal(lutra_status_name((lutra_status)a), "unknown");
        for (int b = LUTRA_OK; b < a; b++)
            assert_string_not_equal(lutra_status_name((lutra_status)a), lutra_status_name((lutra_status)b));
    }
    assert_string_equal(lutra_status_name((lutra_status)999), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_names_path_and_byte),
        cmocka_unit_test(message_without_path_or_byte),
        cmocka_unit_test(error_may_be_null),
        cmocka_unit_test(messages_are_escaped),
        cmocka_unit_test(what_steers_a_terminal_is_escaped),
        cmocka_unit_test(escaping_goes_on_where_room_ended),
        cmocka_unit_test(long_texts_are_cut_and_terminated),
        cmocka_unit_test(errno_is_named),
        cmocka_unit_test(each_status_has_its_name),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
