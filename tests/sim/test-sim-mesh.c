/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim-mesh.h"

#include <string.h>

#include "base/macros.h"

#define MSEC USEC_PER_MSEC
#define SEC USEC_PER_SEC

static void assert_message(const TestMachine *m, unsigned i, const char *text) {
        size_t n;
        const char *data;

        assert_true(m->messages->len > i);
        data = g_bytes_get_data(m->messages->pdata[i], &n);
        assert_int_equal(n, strlen(text));
        assert_memory_equal(data, text, n);
}

static void test_two_connect(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "hello"), 0);
        assert_true(test_wait_up(a, b, SEC));
        sim_run_for(t->sim, SEC);
        assert_int_equal(b->messages->len, 1);
        assert_message(b, 0, "hello");
        assert_int_equal(test_send(b, a, "and back"), 0);
        sim_run_for(t->sim, SEC);
        assert_message(a, 0, "and back");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_two_connect),
        };

        return cmocka_run_group_tests_name("sim-mesh", tests, NULL, NULL);
}
