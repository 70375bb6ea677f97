/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "terminal.h"

#ifdef LUTRA_REPORT
#include <report_page.h> /* made by report/build.mjs */

#define MARK "/*DATA*/" /* stands where the data belongs, inside of a <script> */

bool tool_report_is_built(void)
{
    return true;
}

/* Dumps JSON so that no text in it can end the <script>: its '<' are all in strings, where \u003c means the
 * same. Allocated; NULL when out of memory. */
static char *dump_for_script(const json_t *data)
{
    char *plain = tool_json_dump(data, JSON_COMPACT | JSON_REAL_PRECISION(9));
    size_t n = 0;
    for (const char *at = plain; at && *at; at++)
        n += *at == '<' ? 6 : 1;
    char *escaped = plain ? malloc(n + 1) : NULL, *to = escaped;
    for (const char *at = plain; escaped && *at; at++) {
        if (*at == '<')
            memcpy(to, "\\u003c", 6);
        else
            *to = *at;
        to += *at == '<' ? 6 : 1;
    }
    if (escaped)
        *to = 0;
    free(plain);
    return escaped;
}

/* `head` is the page up to where the data belongs, with the data. Allocated; NULL when out of memory. */
static char *join_head(const char *data, size_t n_before)
{
    char *head = malloc(n_before + strlen(data) + 1);
    if (head) {
        memcpy(head, report_page, n_before);
        memcpy(head + n_before, data, strlen(data) + 1);
    }
    return head;
}

static size_t find_mark(void)
{
    for (size_t i = 0; i + strlen(MARK) <= sizeof report_page; i++)
        if (memcmp(report_page + i, MARK, strlen(MARK)) == 0)
            return i;
    return 0; /* build.mjs has checked that it is there */
}

int tool_report_write(const char *path, json_t *data)
{
    lutra_error error;
    const size_t n_before = find_mark(), n_rest = sizeof report_page - n_before - strlen(MARK);
    char *text = dump_for_script(data), *head = text ? join_head(text, n_before) : NULL;
    int result = head ? TOOL_DONE : tool_out_of_memory();
    if (head && lutra_write_file(path, head, n_before + strlen(text), report_page + n_before + strlen(MARK),
                                 n_rest, &error))
        result = tool_fail(&error);
    json_decref(data);
    free(head);
    free(text);
    return result;
}
#else
bool tool_report_is_built(void)
{
    tool_error("this build of Lutra has no HTML report: it was built without Node.js or the packages of "
               "tools/report (docs/profiling.md)");
    return false;
}

int tool_report_write(const char *path, json_t *data)
{
    (void)path;
    json_decref(data);
    return tool_report_is_built() ? TOOL_DONE : TOOL_FAILED;
}
#endif
