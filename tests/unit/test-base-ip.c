/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/ip.h"
#include "base/macros.h"

static void test_address(void **state) {
        static const char *const good[] = { "0.0.0.0", "10.0.0.100", "255.255.255.255",
                                            "::",      "fd00::1",    "2001:db8::ff" };
        static const char *const bad[] = { "",         "10.0.0",   "10.0.0.256", "10.0.0.1/8",
                                           " 1.2.3.4", "1.2.3.4 ", "fd00::g",    "fe80::1%lo" };
        IpAddr a = ip_from_v4(0x0a000064), b;

        for (unsigned i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(ip_parse(good[i], &b), 0);
                assert_string_equal(ip_format(&b).text, good[i]);
        }
        for (unsigned i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(ip_parse(bad[i], &b), -EINVAL);
        assert_string_equal(ip_format(&a).text, "10.0.0.100");
        assert_int_equal(ip_to_v4(&a), 0x0a000064);
        assert_string_equal(ip_format(&(IpAddr){}).text, "");
        assert_false(ip_is_set(&(IpAddr){}));

        assert_int_equal(ip_parse("10.0.0.100", &b), 0);
        assert_true(ip_equal(&a, &b));
        assert_int_equal(ip_parse("10.0.0.101", &b), 0);
        assert_false(ip_equal(&a, &b));
        /* The same first four bytes in the other family. */
        assert_int_equal(ip_parse("a00:64::", &b), 0);
        assert_false(ip_equal(&a, &b));
}

static void test_prefix(void **state) {
        static const char *const good[] = { "0.0.0.0/0",   "10.0.0.0/16",       "10.0.0.128/25",
                                            "10.0.0.1/32", "fd00::/8",          "::/0",
                                            "fd00::1/128", "2001:db8:8000::/33" };
        static const char *const bad[] = {
                "10.0.0.0",     "10.0.0.0/",
                "10.0.0.0/33",  "10.0.0.0/-1",
                "10.0.0.0/+8",  "10.0.0.0/ 8",
                "10.0.0.0/8x",  "10.0.0.1/31",
                "10.0.0.0/7/8", "10.1.0.0/8",
                "fd00::1/127",  "fd00::/129",
                "/8",           "10.0.0.0/99999999999999999999",
        };
        IpPrefix p;

        for (unsigned i = 0; i < ELEMENTSOF(good); i++) {
                assert_int_equal(ip_prefix_parse(good[i], &p), 0);
                assert_string_equal(ip_prefix_format(&p).text, good[i]);
        }
        for (unsigned i = 0; i < ELEMENTSOF(bad); i++)
                if (ip_prefix_parse(bad[i], &p) != -EINVAL)
                        fail_msg("\"%s\" is taken", bad[i]);
}

/* Obvious twins: bit by bit. */
static bool bit(const uint8_t *b, unsigned i) {
        return b[i / 8] >> (7 - i % 8) & 1;
}
static bool slow_same_bits(const uint8_t *a, const uint8_t *b, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if (bit(a, i) != bit(b, i))
                        return false;
        return true;
}

static void test_contains(void **state) {
        unsigned seed = g_random_int(), same = 0;
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

        print_message("seed %u\n", seed);
        for (unsigned n = 0; n < 20000; n++) {
                bool v6 = g_rand_boolean(rand);
                IpPrefix p = { .addr.family = v6 ? AF_INET6 : AF_INET }, q;
                unsigned bits = v6 ? 128 : 32, flip;
                IpAddr a;

                for (unsigned i = 0; i < bits / 8; i++)
                        p.addr.bytes[i] = (uint8_t) g_rand_int(rand);
                p.len = (uint8_t) g_rand_int_range(rand, 0, (int) bits + 1);
                a = p.addr;
                for (unsigned i = p.len; i < bits; i++)
                        p.addr.bytes[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
                /* One bit away, anywhere: on either side of the border. */
                flip = (unsigned) g_rand_int_range(rand, 0, (int) bits);
                a.bytes[flip / 8] ^= (uint8_t) (0x80 >> flip % 8);
                assert_int_equal(
                                ip_prefix_contains(&p, &a),
                                slow_same_bits(p.addr.bytes, a.bytes, p.len));
                same += ip_prefix_contains(&p, &a);

                q.addr = a;
                q.len = (uint8_t) g_rand_int_range(rand, 0, (int) bits + 1);
                assert_int_equal(
                                ip_prefix_overlaps(&p, &q),
                                slow_same_bits(p.addr.bytes, a.bytes, MIN(p.len, q.len)));
                assert_int_equal(ip_prefix_overlaps(&p, &q), ip_prefix_overlaps(&q, &p));

                a.family = v6 ? AF_INET : AF_INET6;
                assert_false(ip_prefix_contains(&p, &a));
        }
        assert_in_range(same, 1000, 19000); /* both answers occur */
}

static void test_prefix_set(void **state) {
        static const struct {
                const char *address;
                bool inside;
        } table[] = {
                { "10.7.0.0", true },
                { "10.7.255.255", true },
                { "10.8.0.1", false },
                { "fd12:3456:789a::9", true },
                { "fd12:3456:789a:1::9", false },
                { "192.0.2.1", false },
        };
        PrefixSet set = {};
        IpAddr a, none = {};

        assert_int_equal(ip_parse("10.7.1.2", &a), 0);
        assert_false(prefix_set_contains(&set, &a));
        prefix_set_add(&set, &a, 16); /* an address with its length, as interfaces have it */
        prefix_set_add(&set, &a, 24);
        prefix_set_add(&set, &a, 33);
        prefix_set_add(&set, &none, 0);
        assert_int_equal(set.n, 1);
        assert_int_equal(ip_parse("fd12:3456:789a::1", &a), 0);
        prefix_set_add(&set, &a, 64);
        assert_int_equal(set.n, 2);
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                assert_int_equal(ip_parse(table[i].address, &a), 0);
                assert_int_equal(prefix_set_contains(&set, &a), table[i].inside);
        }
        assert_false(prefix_set_contains(&set, &none));
        for (uint32_t i = 0; i < 2 * INSIDE_PREFIXES_MAX; i++) {
                a = ip_from_v4(i << 24);
                prefix_set_add(&set, &a, 32);
        }
        assert_int_equal(set.n, INSIDE_PREFIXES_MAX);
}

static void test_private(void **state) {
        static const struct {
                const char *prefix;
                bool is_private;
        } cases[] = {
                { "10.0.0.0/8", true },      { "10.255.0.0/16", true },
                { "11.0.0.0/16", false },    { "9.255.0.0/16", false },
                { "8.0.0.0/6", false },      { "172.16.0.0/12", true },
                { "172.31.255.0/24", true }, { "172.32.0.0/16", false },
                { "172.0.0.0/8", false },    { "192.168.0.0/16", true },
                { "192.169.0.0/16", false }, { "192.0.0.0/8", false },
                { "100.64.0.0/10", true },   { "100.127.0.0/16", true },
                { "100.128.0.0/16", false }, { "100.63.0.0/16", false },
                { "0.0.0.0/0", false },      { "8.8.8.0/24", false },
                { "fd00::/8", true },        { "fc00::/7", true },
                { "fe00::/16", false },      { "2001:db8::/32", false },
                { "::/0", false },
        };
        IpPrefix p;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(ip_prefix_parse(cases[i].prefix, &p), 0);
                assert_int_equal(ip_prefix_is_private(&p), cases[i].is_private);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_address),  cmocka_unit_test(test_prefix),
                cmocka_unit_test(test_contains), cmocka_unit_test(test_prefix_set),
                cmocka_unit_test(test_private),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
