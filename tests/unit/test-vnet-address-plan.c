/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macros.h"
#include "core/vnet/address-pool.h"
#include "core/vnet/vnet.h"

static IpPrefix prefix(const char *text) {
        IpPrefix p;

        assert_int_equal(ip_prefix_parse(text, &p), 0);
        return p;
}

static void test_plan(void **state) {
        static const struct {
                const char *subnet, *gateway, *first, *last;
        } cases[] = {
                { "10.0.0.0/16", "10.0.0.1", "10.0.0.100", "10.0.255.254" },
                { "10.0.0.0/8", "10.0.0.1", "10.0.0.100", "10.255.255.254" },
                { "192.168.7.0/24", "192.168.7.1", "192.168.7.100", "192.168.7.254" },
                { "192.168.7.128/25", "192.168.7.129", "192.168.7.228", "192.168.7.254" },
                { "192.168.7.64/26", "192.168.7.65", "192.168.7.66", "192.168.7.126" },
                { "192.168.7.4/30", "192.168.7.5", "192.168.7.6", "192.168.7.6" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                IpPrefix p = prefix(cases[i].subnet);
                IpAddr gateway = vnet_plan_gateway(&p), first = vnet_plan_first(&p),
                       last = vnet_plan_last(&p);

                assert_string_equal(ip_format(&gateway).text, cases[i].gateway);
                assert_string_equal(ip_format(&first).text, cases[i].first);
                assert_string_equal(ip_format(&last).text, cases[i].last);
        }
}

static void test_choose_subnet(void **state) {
        static const struct {
                const char *used[4];
                const char *subnet;
        } cases[] = {
                { { NULL }, "10.0.0.0/16" },
                { { "192.168.1.0/24" }, "10.0.0.0/16" },
                { { "0.0.0.0/0" }, "10.0.0.0/16" },
                { { "10.0.0.0/24" }, "10.1.0.0/16" },
                { { "10.0.5.0/24", "10.1.0.0/16", "10.2.3.4/32" }, "10.3.0.0/16" },
                { { "10.0.0.0/9" }, "10.128.0.0/16" },
                { { "10.0.0.0/8" }, "172.16.0.0/16" },
                { { "10.0.0.0/8", "172.17.0.0/16", "172.16.0.0/16" }, "172.18.0.0/16" },
                { { "10.0.0.0/8", "172.16.0.0/12" }, NULL },
        };
        IpPrefix used[4], got;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                unsigned n = 0;
                int r;

                while (n < ELEMENTSOF(used) && cases[i].used[n]) {
                        used[n] = prefix(cases[i].used[n]);
                        n++;
                }
                r = vnet_choose_subnet(used, n, 0, &got);
                if (cases[i].subnet) {
                        assert_int_equal(r, 0);
                        assert_string_equal(ip_prefix_format(&got).text, cases[i].subnet);
                } else
                        assert_int_equal(r, -EADDRNOTAVAIL);
        }
}

/* Each of those that are free, none of the others. */
static void test_choices(void **state) {
        const IpPrefix used[] = { prefix("10.0.0.0/9"), prefix("10.200.3.0/24") };
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        IpPrefix got;

        for (uint32_t choice = 0; choice < 254; choice++) {
                assert_int_equal(vnet_choose_subnet(used, 2, choice, &got), 0);
                for (unsigned i = 0; i < ELEMENTSOF(used); i++)
                        assert_false(ip_prefix_overlaps(&got, &used[i]));
                g_hash_table_add(seen, g_strdup(ip_prefix_format(&got).text));
        }
        assert_int_equal(g_hash_table_size(seen), 127);
        assert_int_equal(vnet_choose_subnet(used, 2, UINT32_MAX, &got), 0);
}

static uint32_t lowest(const AddressPool *p) {
        uint32_t a;

        assert_true(address_pool_lowest(p, &a));
        return a;
}

static void test_pool(void **state) {
        AddressPool *p = address_pool_new(100, 299);
        uint32_t a;

        assert_false(address_pool_contains(p, 99));
        assert_true(address_pool_contains(p, 100));
        assert_true(address_pool_contains(p, 299));
        assert_false(address_pool_contains(p, 300));
        assert_false(address_pool_is_free(p, 99));
        address_pool_set(p, 99, true);
        address_pool_set(p, 300, false);
        for (a = 100; a <= 299; a++) {
                assert_int_equal(lowest(p), a);
                assert_true(address_pool_is_free(p, a));
                address_pool_set(p, a, true);
                address_pool_set(p, a, true);
                assert_false(address_pool_is_free(p, a));
        }
        assert_false(address_pool_lowest(p, &a));
        address_pool_set(p, 250, false);
        address_pool_set(p, 163, false);
        assert_int_equal(lowest(p), 163);
        address_pool_set(p, 163, true);
        assert_int_equal(lowest(p), 250);
        address_pool_free(p);
}

/* Sizes around the powers of 64, where levels begin. */
static void test_pool_sizes(void **state) {
        static const uint32_t sizes[] = { 1, 2, 63, 64, 65, 4095, 4096, 4097, 65435, 262145 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                AddressPool *p = address_pool_new(7, 7 + sizes[i] - 1);
                uint32_t a;

                for (uint32_t j = 0; j < sizes[i]; j++) {
                        assert_int_equal(lowest(p), 7 + j);
                        address_pool_set(p, 7 + j, true);
                }
                assert_false(address_pool_lowest(p, &a));
                address_pool_set(p, 7 + sizes[i] - 1, false);
                assert_int_equal(lowest(p), 7 + sizes[i] - 1);
                address_pool_free(p);
        }
}

/* Against an array that is searched from its beginning. */
static void test_pool_against_twin(void **state) {
        guint32 seed = g_random_int();
        GRand *rand = g_rand_new_with_seed(seed);
        AddressPool *p = address_pool_new(0x0a000064, 0x0a000064 + 4999);
        bool twin[5000] = {};

        for (unsigned step = 0; step < 40000; step++) {
                uint32_t i = (uint32_t) g_rand_int_range(rand, 0, 5000), first = 0, got = 0;
                bool taken = g_rand_int_range(rand, 0, 100) < (step < 20000 ? 95 : 30);

                twin[i] = taken;
                address_pool_set(p, 0x0a000064 + i, taken);
                while (first < 5000 && twin[first])
                        first++;
                if (address_pool_lowest(p, &got) != (first < 5000) ||
                    (first < 5000 && got != 0x0a000064 + first))
                        fail_msg("seed %u step %u", seed, step);
        }
        address_pool_free(p);
        g_rand_free(rand);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plan),       cmocka_unit_test(test_choose_subnet),
                cmocka_unit_test(test_choices),    cmocka_unit_test(test_pool),
                cmocka_unit_test(test_pool_sizes), cmocka_unit_test(test_pool_against_twin),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
