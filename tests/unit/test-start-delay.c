/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib/gstdio.h>

#include "base/limits.h"
#include "base/macros.h"
#include "start-delay.h"

static int setup(void **state) {
        *state = g_dir_make_tmp("omerta-XXXXXX", NULL);
        return *state ? 0 : -1;
}

static int teardown(void **state) {
        g_autofree char *file = g_build_filename(*state, "starts", NULL);

        (void) g_unlink(file);
        (void) g_rmdir(*state);
        g_free(*state);
        return 0;
}

static void test_grows_and_never_ends(void **state) {
        static const unsigned seconds[] = { 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30 };
        usec_t now = USEC_PER_MINUTE;

        for (size_t i = 0; i < ELEMENTSOF(seconds); i++) {
                usec_t delay = start_delay_next(*state, now);

                assert_int_equal(delay, seconds[i] * USEC_PER_SEC);
                now += delay + 100 * USEC_PER_MSEC;
        }
        /* It does not run over either. */
        for (unsigned i = 0; i < 2 * START_DELAY_COUNT_MAX; i++) {
                assert_int_equal(start_delay_next(*state, now), START_DELAY_MAX_USEC);
                now += START_DELAY_MAX_USEC;
        }
}

/* The delay is not taken for service, and a run that lasted owes nothing. */
static void test_lasting_run(void **state) {
        usec_t now = USEC_PER_MINUTE;

        for (unsigned i = 0; i < 20; i++)
                now += start_delay_next(*state, now);
        assert_int_equal(start_delay_next(*state, now + START_LASTS_USEC - 1), START_DELAY_MAX_USEC);
        now += START_LASTS_USEC - 1 + START_DELAY_MAX_USEC;
        assert_int_equal(start_delay_next(*state, now + START_LASTS_USEC), 0);
}

static void test_told_to_end(void **state) {
        usec_t now = USEC_PER_MINUTE;

        for (unsigned i = 0; i < 20; i++)
                now += start_delay_next(*state, now);
        start_delay_clear(*state);
        assert_int_equal(start_delay_next(*state, now), 0);
}

static void test_what_cannot_be_read(void **state) {
        static const char *const texts[] = { "", "x", "-1 5", "5", "7 ", "9999999999999999999 1",
                                             /* of another boot */
                                             "20 999999999999", "\n\n\n" };
        g_autofree char *file = g_build_filename(*state, "starts", NULL);

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                assert_true(g_file_set_contents(file, texts[i], -1, NULL));
                assert_in_range(start_delay_next(*state, USEC_PER_HOUR), 0, START_DELAY_MAX_USEC);
        }
        assert_true(g_file_set_contents(file, "20 999999999999", -1, NULL));
        assert_int_equal(start_delay_next(*state, USEC_PER_HOUR), 0);
        assert_int_equal(start_delay_next(NULL, 1), 0);
        assert_int_equal(start_delay_next("/nonexistent", 1), 0);
        start_delay_clear(NULL);
        start_delay_clear("/nonexistent");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_grows_and_never_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lasting_run, setup, teardown),
                cmocka_unit_test_setup_teardown(test_told_to_end, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_cannot_be_read, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
