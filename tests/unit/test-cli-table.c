/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cli/json.h"
#include "cli/table.h"

/* @cells: row by row, separated by '|'. */
static void check(const char *header, const char *cells, uint64_t hide, const char *expected) {
        g_autoptr(CliTable) t = cli_table_new(header);
        g_auto(GStrv) list = g_strsplit(cells, "|", -1);
        char *out = NULL;
        size_t size;
        FILE *f = open_memstream(&out, &size);

        for (char **p = list; *p; p++)
                cli_table_take(t, g_strdup(*p));
        for (unsigned i = 0; i < 64; i++)
                if (hide >> i & 1)
                        cli_table_hide(t, i);
        cli_table_print(t, f);
        fclose(f);
        assert_string_equal(out, expected);
        free(out);
}

static void test_print(void **state) {
        check("A|B", "", 0, "A  B\n");
        check("NAME|>N|X", "a|1|x|bbbbbb|22|y", 0,
              "NAME     N  X\n"
              "a        1  x\n"
              "bbbbbb  22  y\n");
        /* no blanks at the end of a line */
        check("A|LONG|B", "a||b|a|b|", 0,
              "A  LONG  B\n"
              "a        b\n"
              "a  b\n");
        check("A|>B", "aaa|", 0,
              "A    B\n"
              "aaa\n");
        /* columns of a terminal, not bytes or characters */
        check("A|B", "wörter|b|日本|b", 0,
              "A       B\n"
              "wörter  b\n"
              "日本    b\n");
}

static void check_fit(const char *header, const char *cells, unsigned line, const char *expected) {
        g_autoptr(CliTable) t = cli_table_new(header);
        g_auto(GStrv) list = g_strsplit(cells, "|", -1);
        char *out = NULL;
        size_t size;
        FILE *f = open_memstream(&out, &size);

        for (char **p = list; *p; p++)
                cli_table_take(t, g_strdup(*p));
        cli_table_fit(t, line);
        cli_table_print(t, f);
        fclose(f);
        assert_string_equal(out, expected);
        free(out);
}

static void test_fit(void **state) {
        const char *cells = "abcdefghijklmnopqrst|123456789012|b|x|1|c";

        check_fit("NAME|>N|X", cells, 80,
                  "NAME                             N  X\n"
                  "abcdefghijklmnopqrst  123456789012  b\n"
                  "x                                1  c\n");
        /* The text gives way, the number does not. */
        check_fit("NAME|>N|X", cells, 30,
                  "NAME                      N  X\n"
                  "abcdefghijkl\u2026  123456789012  b\n"
                  "x                         1  c\n");
        /* What cannot fit stays readable. */
        check_fit("NAME|>N|X", cells, 10,
                  "NAME                 N  X\n"
                  "abcdefg\u2026  123456789012  b\n"
                  "x                    1  c\n");
        /* Columns, not bytes or characters; the widest of several first. */
        check_fit("A|B", "日本日本日本日本日本|wörterwörter", 24,
                  "A            B\n"
                  "日本日本日\u2026  wörterwört\u2026\n");
}

static void test_hide(void **state) {
        check("A|B|C", "aaa|b|c", 1 << 0,
              "B  C\n"
              "b  c\n");
        check("A|B|C", "a|bbb|c", 1 << 1,
              "A  C\n"
              "a  c\n");
        check("A|B|C", "a|b|ccc", 1 << 2,
              "A  B\n"
              "a  b\n");
}

static void test_rows(void **state) {
        g_autoptr(CliTable) t = cli_table_new("A|B");

        assert_int_equal(cli_table_rows(t), 0);
        cli_table_take(t, g_strdup("a"));
        cli_table_take(t, g_strdup("b"));
        assert_int_equal(cli_table_rows(t), 1);
}

/* JSON stays what it was for a parser, and harmless for a terminal. */
static void test_json_text(void **state) {
        static const char *const strings[] = {
                "",     "plain",    "\"\\/\b\n",    "\x1b[31m",
                "\x7f", "\xc2\x9b", "\xe2\x80\xae", "zwei Wörter 日本 🙂",
        };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                g_autoptr(JsonNode) node = json_node_new(JSON_NODE_VALUE);
                g_autoptr(JsonNode) back = NULL;
                g_autofree char *text = NULL;

                json_node_set_string(node, strings[i]);
                text = cli_json_text(node);
                for (const char *p = text; *p; p = g_utf8_next_char(p)) {
                        gunichar c = g_utf8_get_char(p);

                        assert_false(c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x202e);
                }
                back = json_from_string(text, NULL);
                assert_non_null(back);
                assert_string_equal(json_node_get_string(back), strings[i]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_print),     cmocka_unit_test(test_fit),
                cmocka_unit_test(test_hide),      cmocka_unit_test(test_rows),
                cmocka_unit_test(test_json_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
