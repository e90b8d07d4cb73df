/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/relay/relay-table.h"

static void relay_table_freep(RelayTable **t) {
        relay_table_free(*t);
}

static uint32_t reserve(RelayTable *t, uint32_t random) {
        uint32_t number = 0;

        assert_int_equal(relay_table_reserve(t, random, &number), 0);
        assert_int_not_equal(number, 0);
        return number;
}

static void test_life(void **state) {
        _cleanup_(relay_table_freep) RelayTable *t = relay_table_new();
        uint32_t a = reserve(t, 0xabcdef01), b = reserve(t, 0xabcdef01);
        RelayRoute one = { .number = a }, other = { .number = a };

        assert_int_not_equal(a, b);
        assert_int_equal(relay_table_used(t), 2);
        assert_null(relay_table_lookup(t, a)); /* leads nowhere yet */
        assert_null(relay_table_publish(t, a, &one));
        assert_ptr_equal(relay_table_lookup(t, a), &one);
        for (unsigned bit = 0; bit < 32; bit++)
                assert_null(relay_table_lookup(t, a ^ UINT32_C(1) << bit));
        assert_ptr_equal(relay_table_publish(t, a, &other), &one);
        assert_ptr_equal(relay_table_lookup(t, a), &other);
        assert_ptr_equal(relay_table_publish(t, a, NULL), &other);
        assert_null(relay_table_lookup(t, a));
        relay_table_release(t, a);
        relay_table_release(t, b);
        assert_int_equal(relay_table_used(t), 0);
        assert_null(relay_table_lookup(t, 0));
}

static void test_full_and_reuse(void **state) {
        _cleanup_(relay_table_freep) RelayTable *t = relay_table_new();
        g_autofree uint32_t *number = g_new0(uint32_t, RELAY_NUMBERS_MAX);
        uint32_t more;

        for (unsigned i = 0; i < RELAY_NUMBERS_MAX; i++)
                number[i] = reserve(t, 0);
        assert_int_equal(relay_table_reserve(t, 0, &more), -ENOBUFS);
        /* The slot longest free comes first, and not with the number it had. */
        relay_table_release(t, number[7]);
        relay_table_release(t, number[3]);
        more = reserve(t, 0);
        assert_int_equal(more % RELAY_NUMBERS_MAX, number[7] % RELAY_NUMBERS_MAX);
        assert_int_not_equal(more, number[7]);
        assert_null(relay_table_lookup(t, number[7]));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_life),
                cmocka_unit_test(test_full_and_reuse),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
