/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where among our endpoints stands what a router has mapped. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "manager/manager-internal.h"

#define MAPPED "203.0.113.9:4660"
#define PINHOLE "[2001:db8::7]:18002"

/* @all: with blanks between; the first @max of them are kept. */
static void
assert_inserted(const char *mapped, const char *all, unsigned max, unsigned n, const char *expected) {
        g_auto(GStrv) words = g_strsplit(all, " ", 0);
        g_autoptr(GString) text = g_string_new(NULL);
        Endpoint e[16] = {}, one;
        unsigned there = *all ? g_strv_length(words) : 0, r;

        for (unsigned i = 0; i < MIN(there, max); i++)
                assert_return_code(endpoint_parse(words[i], 0, &e[i]), 0);
        assert_return_code(endpoint_parse(mapped, 0, &one), 0);
        r = endpoint_insert_mapped(&one, e, there, max);
        assert_int_equal(r, n);
        for (unsigned i = 0; i < MIN(r, max); i++)
                g_string_append_printf(text, "%s%s", i > 0 ? " " : "", endpoint_format(&e[i]).text);
        assert_string_equal(text->str, expected);
        assert_false(endpoint_is_set(&e[max]));
}

static void test_rank(void **state) {
        assert_inserted(MAPPED, "", 8, 1, MAPPED);
        assert_inserted(MAPPED, "192.168.1.7:1", 8, 2, MAPPED " 192.168.1.7:1");
        assert_inserted(MAPPED, "8.8.8.8:1 192.168.1.7:1 10.0.0.1:1", 8, 4,
                        "8.8.8.8:1 " MAPPED " 192.168.1.7:1 10.0.0.1:1");
        assert_inserted(MAPPED, "[2001:db8::8]:1 192.168.1.7:1", 8, 3,
                        "[2001:db8::8]:1 " MAPPED " 192.168.1.7:1");
        assert_inserted(MAPPED, "8.8.8.8:1", 8, 2, "8.8.8.8:1 " MAPPED);
        /* Most often a pinhole's is one of ours. */
        assert_inserted(PINHOLE, "192.168.1.7:1 " PINHOLE, 8, 2, "192.168.1.7:1 " PINHOLE);
}

static void test_no_room(void **state) {
        assert_inserted(MAPPED, "8.8.8.8:1 192.168.1.7:1 10.0.0.1:1", 3, 4,
                        "8.8.8.8:1 " MAPPED " 192.168.1.7:1");
        /* Not the only one of the other family. */
        assert_inserted(MAPPED, "192.168.1.7:1 10.0.0.1:1 [fd00::1]:1", 3, 4,
                        MAPPED " 192.168.1.7:1 [fd00::1]:1");
        assert_inserted(MAPPED, "[fd00::1]:1 [fd00::2]:1 [fd00::3]:1", 3, 4,
                        MAPPED " [fd00::1]:1 [fd00::2]:1");
        assert_inserted(MAPPED, "8.8.8.8:1 8.8.4.4:1", 2, 3, "8.8.8.8:1 8.8.4.4:1");
        /* Of more than fit. */
        assert_inserted(MAPPED, "192.168.1.7:1 10.0.0.1:1 10.0.0.2:1 10.0.0.3:1", 2, 5,
                        MAPPED " 192.168.1.7:1");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rank),
                cmocka_unit_test(test_no_room),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
