/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/drop-reason.h"
#include "base/macros.h"

/* The names are keys on D-Bus and in JSON. */
static void test_names(void **state) {
        for (int i = 0; i < _DROP_REASON_MAX; i++) {
                const char *name = drop_reason_to_string((DropReason) i);
                const char *text = drop_reason_describe((DropReason) i);

                assert_non_null(name);
                assert_non_null(text);
                assert_true(strlen(name) > 0 && strlen(text) > 0);
                assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(name));
                assert_string_not_equal(name, "unknown");
                for (int j = 0; j < i; j++)
                        assert_string_not_equal(name, drop_reason_to_string((DropReason) j));
        }
        assert_string_equal(drop_reason_to_string(DROP_NONE), "none");
        assert_string_equal(drop_reason_to_string(DROP_NOT_AUTHENTIC), "not-authentic");
        assert_string_equal(drop_reason_to_string(DROP_INTERFACE_FULL), "interface-full");
        assert_string_equal(drop_reason_to_string(_DROP_REASON_MAX), "unknown");
        assert_string_equal(drop_reason_describe((DropReason) -1), "unknown");
}

static void test_counters(void **state) {
        DropCounters c = {}, sum = {};

        drop_count(&c, DROP_REPLAYED);
        drop_count_n(&c, DROP_REPLAYED, 41);
        drop_count(&c, DROP_INTERFACE_FULL);
        assert_int_equal(drop_counter(&c, DROP_REPLAYED), 42);
        assert_int_equal(drop_counter(&c, DROP_INTERFACE_FULL), 1);
        assert_int_equal(drop_counter(&c, DROP_NONE), 0);
        drop_counters_add(&sum, &c);
        drop_counters_add(&sum, &c);
        assert_int_equal(drop_counter(&sum, DROP_REPLAYED), 84);
        assert_int_equal(drop_counter(&sum, DROP_INTERFACE_FULL), 2);
        assert_int_equal(drop_counter(&c, DROP_REPLAYED), 42);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_counters),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
