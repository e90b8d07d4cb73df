/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "cli/format.h"
#include "cli/invite.h"

#define NOW (UINT64_C(1893456000) * USEC_PER_SEC)

static void test_escape(void **state) {
        static const struct {
                const char *in, *out;
        } table[] = {
                { "", "" },
                { "host-1.example", "host-1.example" },
                { "zwei Wörter", "zwei Wörter" },
                { "日本語 🙂", "日本語 🙂" },
                { "a\nb\tc", "a\\nb\\tc" },
                { "a\\nb", "a\\\\nb" }, /* else it could pretend to have been escaped */
                { "\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m" },
                { "\x7f", "\\x7f" },
                { "\xc2\x9b"
                  "31m",
                  "\\u009b31m" }, /* CSI in one character */
                { "\xe2\x80\xae"
                  "exe.txt",
                  "\\u202eexe.txt" }, /* right-to-left override */
                { "a\xe2\x80\x8b"
                  "b",
                  "a\\u200bb" },               /* zero width space */
                { "\xe2\x80\xa8", "\\u2028" }, /* line separator */
                { "\xf3\xa0\x80\x81", "\\U000e0001" },
                { "\xff\xc3", "\\xff\\xc3" }, /* not UTF-8 */
                { "\xed\xa0\x80", "\\xed\\xa0\\x80" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *out = cli_escape(table[i].in);

                assert_string_equal(out, table[i].out);
        }
        for (unsigned c = 1; c < 0x20; c++) {
                g_autofree char *out = cli_escape((char[]){ (char) c, 0 });

                assert_int_equal(out[0], '\\');
        }
}

static void test_text(void **state) {
        g_autofree char *none = cli_format_text(""), *some = cli_format_text("a\x01");

        assert_string_equal(none, "-");
        assert_string_equal(some, "a\\x01");
}

static void test_id(void **state) {
        g_autofree char *id = cli_format_id("abcdefghijkl"), *none = cli_format_id("");

        assert_string_equal(id, "abcdefgh");
        assert_string_equal(none, "-");
}

static void test_width(void **state) {
        assert_int_equal(cli_text_width(""), 0);
        assert_int_equal(cli_text_width("abc"), 3);
        assert_int_equal(cli_text_width("Wörter"), 6);
        assert_int_equal(cli_text_width("日本"), 4);
        assert_int_equal(cli_text_width("e\xcc\x81"), 1); /* combining accent */
}

static void test_relative(void **state) {
        static const struct {
                usec_t t;
                const char *out;
        } table[] = {
                { 0, "-" },
                { NOW, "now" },
                { NOW - USEC_PER_SEC + 1, "now" },
                { NOW - USEC_PER_SEC, "1 s ago" },
                { NOW + USEC_PER_SEC - 1, "now" },
                { NOW + USEC_PER_SEC, "in 1 s" },
                { NOW - 99 * USEC_PER_SEC, "99 s ago" },
                { NOW - 100 * USEC_PER_SEC, "1 min ago" },
                { NOW - 99 * USEC_PER_MINUTE, "99 min ago" },
                { NOW - 100 * USEC_PER_MINUTE, "1 h ago" },
                { NOW + 47 * USEC_PER_HOUR, "in 47 h" },
                { NOW + 48 * USEC_PER_HOUR, "in 2 d" },
                { NOW - 400 * USEC_PER_DAY, "400 d ago" },
                { 1, "21914 d ago" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *out = cli_format_relative(table[i].t, NOW);

                assert_string_equal(out, table[i].out);
        }
}

static void test_rtt(void **state) {
        static const struct {
                usec_t rtt;
                const char *out;
        } table[] = {
                { 0, "-" },           { 40, "0.0 ms" },     { 260, "0.3 ms" },
                { 9900, "9.9 ms" },   { 10000, "10 ms" },   { 48200, "48 ms" },
                { 999400, "999 ms" }, { 1000000, "1.0 s" }, { 2500000, "2.5 s" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *out = cli_format_rtt(table[i].rtt);

                assert_string_equal(out, table[i].out);
        }
}

static void test_bytes(void **state) {
        static const struct {
                uint64_t n;
                const char *out;
        } table[] = {
                { 0, "0 B" },
                { 1023, "1023 B" },
                { 1024, "1.0 KiB" },
                { 1024 * 1024 - 1, "1.0 MiB" }, /* never 1024.0 KiB */
                { 3 * 1024 * 1024, "3.0 MiB" },
                { UINT64_C(1) << 40, "1.0 TiB" },
                { UINT64_MAX, "16.0 EiB" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *out = cli_format_bytes(table[i].n);

                assert_string_equal(out, table[i].out);
        }
}

static void test_iso(void **state) {
        g_autofree char *t = cli_format_iso(NOW + 999999), *none = cli_format_iso(0);
        g_autofree char *never = cli_format_iso(USEC_INFINITY);

        assert_string_equal(t, "2030-01-01T00:00:00Z");
        assert_null(none);
        assert_null(never);
}

static void test_parse_duration(void **state) {
        static const struct {
                const char *in;
                usec_t out; /* 0: refused */
        } table[] = {
                { "1s", USEC_PER_SEC },
                { "90 s", 90 * USEC_PER_SEC },
                { "5m", 5 * USEC_PER_MINUTE },
                { "5min", 5 * USEC_PER_MINUTE },
                { "24h", USEC_PER_DAY },
                { "1h30min", 90 * USEC_PER_MINUTE },
                { " 1h 30 min ", 90 * USEC_PER_MINUTE },
                { "7d", 7 * USEC_PER_DAY },
                { "2 weeks", 14 * USEC_PER_DAY },
                { "36525d", 36525 * USEC_PER_DAY },
                { "", 0 },
                { " ", 0 },
                { "0h", 0 },
                { "24", 0 },
                { "h", 0 },
                { "-1h", 0 },
                { "1.5h", 0 },
                { "1H", 0 },
                { "1hh", 0 },
                { "1h x", 0 },
                { "36526d", 0 },
                { "36525d1s", 0 },
                { "18446744073709551616s", 0 },
                { "18446744073709551615w", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                usec_t d = 1;
                int r = cli_parse_duration(table[i].in, &d);

                assert_int_equal(r, table[i].out ? 0 : -EINVAL);
                assert_int_equal(d, table[i].out ? table[i].out : 1);
        }
}

static void test_parse_count(void **state) {
        static const struct {
                const char *in;
                unsigned out; /* 0: refused */
        } table[] = {
                { "1", 1 },
                { "007", 7 },
                { "4294967295", UINT32_MAX },
                { "4294967296", 0 },
                { "0", 0 },
                { "", 0 },
                { "-1", 0 },
                { "+1", 0 },
                { "1 ", 0 },
                { " 1", 0 },
                { "99999999999999999999", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                unsigned n = 42;
                int r = cli_parse_count(table[i].in, &n);

                assert_int_equal(r, table[i].out ? 0 : -EINVAL);
                assert_int_equal(n, table[i].out ? table[i].out : 42);
        }
}

static void test_endpoints(void **state) {
        static const struct {
                const char *in, *out; /* no out: refused */
        } table[] = {
                { "192.0.2.1:5", "192.0.2.1:5" },
                { "192.0.2.1", "192.0.2.1:18002" },
                { "[2001:db8::1]:5", "[2001:db8::1]:5" },
                { "2001:db8::1", "[2001:db8::1]:18002" },
                { "", NULL },
                { ":5", NULL },
                { "192.0.2.1:", NULL },
                { "192.0.2.1:0", NULL },
                { "192.0.2.1:65536", NULL },
                { "192.0.2.1:65541", NULL },
                { "192.0.2.1:port", NULL },
                { "224.0.0.1:5", NULL },
                { "[2001:db8::1", NULL },
                { "two words:5", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
                g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
                CliExit e = cli_invite_add_endpoints(table[i].in, list, names);

                assert_int_equal(e == CLI_OK, table[i].out != NULL);
                assert_int_equal(list->len, table[i].out ? 1 : 0);
                assert_int_equal(names->len, 0);
                if (table[i].out)
                        assert_string_equal(g_ptr_array_index(list, 0), table[i].out);
        }
}

static void test_endpoints_bounded(void **state) {
        g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < 2; i++)
                assert_int_equal(cli_invite_add_endpoints("192.0.2.1:5", list, names), CLI_OK);
        assert_int_equal(list->len, 1);
        for (unsigned i = 6; i < 30; i++) {
                g_autofree char *text = g_strdup_printf("192.0.2.1:%u", i);

                (void) cli_invite_add_endpoints(text, list, names);
        }
        assert_int_equal(list->len, 8); /* ENDPOINTS_MAX: what a link holds */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escape),
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_id),
                cmocka_unit_test(test_width),
                cmocka_unit_test(test_relative),
                cmocka_unit_test(test_rtt),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_iso),
                cmocka_unit_test(test_parse_duration),
                cmocka_unit_test(test_parse_count),
                cmocka_unit_test(test_endpoints),
                cmocka_unit_test(test_endpoints_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
