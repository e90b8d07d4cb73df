/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <glib.h>
#include <string.h>

#include "base/host-port.h"
#include "base/macros.h"

static void test_names(void **state) {
        static const char *const good[] = {
                "a",           "gw.example.org", "xn--bcher-kva.example", "1.2.a", "3com.example",
                "a-b.c--d.e9", "GW.Example.ORG"
        };
        static const char *const bad[] = {
                "",          ".",           "a.",        ".a",           "a..b",   "-a.b",
                "a-.b",      "a.b-",        "a_b.c",     "a b.c",        "a\nb.c", "a\033[m.b",
                "b\xc3\xbc", "192.0.2.1",   "1",         "2001:db8::1",  "a/b",    "a@b",
                "a.b:80",    "gw.example.", "a\x7f.org", "300.300.1.999"
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(dns_name_is_valid(good[i]));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_false(dns_name_is_valid(bad[i]));
}

static void test_lengths(void **state) {
        g_autofree char *label = g_strnfill(DNS_LABEL_MAX_LEN, 'a');
        g_autofree char *long_label = g_strconcat(label, "a", NULL);
        g_autofree char *three = g_strconcat(label, ".", label, ".", label, ".", NULL);
        g_autofree char *longest = g_strdup_printf("%s%.61s", three, label);
        g_autofree char *too_long = g_strconcat(longest, "a", NULL);
        g_autofree char *endless = g_strnfill(100000, 'a');
        g_autofree char *text = g_strconcat(longest, ":65535", NULL);
        HostPort h;

        assert_true(dns_name_is_valid(label));
        assert_false(dns_name_is_valid(long_label));
        assert_int_equal(strlen(longest), DNS_NAME_MAX_LEN);
        assert_true(dns_name_is_valid(longest));
        assert_false(dns_name_is_valid(too_long));
        assert_false(dns_name_is_valid(endless));
        assert_int_equal(host_port_parse(text, 0, &h), 0);
        assert_string_equal(host_port_format(&h).text, text);
        assert_int_equal(host_port_parse(too_long, 1, &h), -EINVAL);
        assert_int_equal(host_port_parse(endless, 1, &h), -EINVAL);
}

static void test_ports(void **state) {
        static const char *const bad[] = { "a.b:",    "a.b:0",           "a.b:65536", "a.b:080",
                                           "a.b:+80", "a.b:80:80",       "a.b: 80",   "a.b:80 ",
                                           ":80",     "a.b:99999999999", "[::1]:80",  "1.2.3.4:80" };
        HostPort h;

        assert_int_equal(host_port_parse("GW.Example.org:65535", 0, &h), 0);
        assert_string_equal(h.host, "gw.example.org");
        assert_int_equal(h.port, 65535);
        assert_int_equal(host_port_parse("gw.example.org", 18002, &h), 0);
        assert_int_equal(h.port, 18002);
        assert_int_equal(host_port_parse("gw.example.org", 0, &h), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(host_port_parse(bad[i], 18002, &h), -EINVAL);
}

static void test_lists(void **state) {
        HostPort h[2];
        g_autofree char *text = NULL, *none = NULL;

        assert_int_equal(host_port_list_parse("", 1, h, 2), 0);
        assert_int_equal(host_port_list_parse("b.example, A.example:7,b.example:1", 1, h, 2), 2);
        text = host_port_list_format(h, 2);
        assert_string_equal(text, "b.example:1,a.example:7");
        none = host_port_list_format(h, 0);
        assert_string_equal(none, "");
        assert_int_equal(host_port_list_parse("a.b,c.d,e.f", 1, h, 2), -E2BIG);
        assert_int_equal(host_port_list_parse("a.b,", 1, h, 2), -EINVAL);
        assert_int_equal(host_port_list_parse("a.b c.d", 1, h, 2), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_lengths),
                cmocka_unit_test(test_ports),
                cmocka_unit_test(test_lists),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
