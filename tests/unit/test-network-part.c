/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macros.h"
#include "network/part.h"

/* A part that breaks and heals as the test says, on a clock of the test's. */
typedef struct Fake {
        MeshEnv env;
        usec_t now;
        Part part;
        bool is_broken;    /* what .check() finds */
        int repair_result; /* what .repair() returns; 0 mends it */
        unsigned n_repairs, n_changed, n_told;
} Fake;

static usec_t fake_now(void *userdata) {
        return ((Fake *) userdata)->now;
}

static int fake_check(void *userdata, char **ret_reason) {
        Fake *f = userdata;

        if (!f->is_broken)
                return 0;
        *ret_reason = g_strdup("it is gone");
        return -ENODEV;
}

static int fake_repair(void *userdata, char **ret_reason) {
        Fake *f = userdata;

        f->n_repairs++;
        if (f->repair_result != 0)
                *ret_reason = g_strdup(f->repair_result < 0 ? "it cannot be made" : "not all of it");
        f->is_broken = f->repair_result < 0;
        return f->repair_result;
}

static void fake_reported(void *userdata, PartState old, const char *why) {
        Fake *f = userdata;

        f->n_changed++;
        f->n_told += why != NULL;
}

static int setup(void **state) {
        static const PartOps ops = {
                .check = fake_check,
                .repair = fake_repair,
                .reported = fake_reported,
        };
        Fake *f = NEW(Fake);

        f->now = USEC_PER_HOUR;
        f->env = (MeshEnv){ .userdata = f, .timers = timer_queue_new(), .now = fake_now };
        part_init(&f->part, &ops, f, &f->env);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fake *f = *state;

        part_stop(&f->part, true);
        assert_int_equal(timer_queue_next(f->env.timers), USEC_INFINITY);
        timer_queue_free(f->env.timers);
        g_free(f);
        return 0;
}

static void pass(Fake *f, usec_t time) {
        usec_t end = f->now + time;

        while (timer_queue_next(f->env.timers) <= end) {
                f->now = MAX(f->now, timer_queue_next(f->env.timers));
                timer_queue_run(f->env.timers, f->now);
        }
        f->now = end;
}

static void break_it(Fake *f) {
        f->is_broken = true;
        part_check(&f->part);
}

static void test_repaired_at_once(void **state) {
        Fake *f = *state;

        /* Not wanted: nobody looks. */
        break_it(f);
        assert_int_equal(f->n_repairs, 0);
        f->is_broken = false;
        part_start(&f->part);
        assert_int_equal(f->part.state, PART_UP);
        part_check(&f->part);
        assert_int_equal(f->n_repairs, 0);

        f->n_changed = 0;
        break_it(f);
        assert_int_equal(f->part.state, PART_UP);
        assert_int_equal(f->n_repairs, 1);
        assert_int_equal(f->n_changed, 1);
        assert_int_equal(f->n_told, 1);
        assert_null(f->part.reason);
        /* What the repair itself changed is looked at, and is fine. */
        part_check(&f->part);
        assert_int_equal(f->n_repairs, 1);
        assert_int_equal(f->n_changed, 1);
}

static void test_pauses_grow(void **state) {
        static const unsigned seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
        Fake *f = *state;

        part_start(&f->part);
        f->repair_result = -EPERM;
        f->n_changed = 0;
        break_it(f);
        assert_int_equal(f->part.state, PART_FAILED);
        assert_string_equal(f->part.reason, "it cannot be made");
        for (unsigned i = 0; i < ELEMENTSOF(seconds); i++) {
                unsigned n = f->n_repairs;

                pass(f, seconds[i] * USEC_PER_SEC - 1);
                part_check(&f->part); /* whatever is said of it meanwhile */
                assert_int_equal(f->n_repairs, n);
                pass(f, 1);
                assert_int_equal(f->n_repairs, n + 1);
        }
        /* The same is said once. */
        assert_int_equal(f->n_changed, 1);
        f->repair_result = 0;
        pass(f, PART_PAUSE_MAX_USEC);
        assert_int_equal(f->part.state, PART_UP);
        assert_null(f->part.reason);
        assert_int_equal(f->n_changed, 2);
        assert_int_equal(f->n_told, 1);
}

/* Somebody takes it away whenever it is there. */
static void test_not_fought_all_day(void **state) {
        Fake *f = *state;
        unsigned n;

        part_start(&f->part);
        for (usec_t end = f->now + USEC_PER_HOUR; f->now < end; pass(f, 100 * USEC_PER_MSEC))
                if (!f->is_broken)
                        break_it(f);
        assert_true(f->n_repairs >= 60 && f->n_repairs <= 67);
        assert_int_equal(f->part.state, PART_FAILED);
        assert_string_equal(f->part.reason, "it is gone");

        /* A repair that held is a repair. */
        pass(f, PART_PAUSE_MAX_USEC + PART_CALM_USEC);
        assert_int_equal(f->part.state, PART_UP);
        n = f->n_repairs;
        break_it(f);
        assert_int_equal(f->n_repairs, n + 1);
        assert_int_equal(f->part.state, PART_UP);
        /* The pauses begin anew with it. */
        break_it(f);
        assert_int_equal(f->part.state, PART_FAILED);
        pass(f, PART_PAUSE_MIN_USEC);
        assert_int_equal(f->part.state, PART_UP);
}

static void test_degraded(void **state) {
        Fake *f = *state;
        unsigned n;

        part_start(&f->part);
        f->repair_result = 1;
        break_it(f);
        assert_int_equal(f->part.state, PART_DEGRADED);
        assert_string_equal(f->part.reason, "not all of it");
        /* Its own changes do not make it try for ever, and say nothing new. */
        n = f->n_changed;
        for (usec_t end = f->now + USEC_PER_HOUR; f->now < end; pass(f, 100 * USEC_PER_MSEC))
                part_check(&f->part);
        assert_true(f->n_repairs <= 67);
        assert_int_equal(f->part.state, PART_DEGRADED);
        assert_int_equal(f->n_changed, n);
        f->repair_result = 0;
        pass(f, PART_PAUSE_MAX_USEC);
        assert_int_equal(f->part.state, PART_UP);
        assert_int_equal(f->n_changed, n + 1);
}

static void test_owner_changes_it(void **state) {
        Fake *f = *state;

        part_start(&f->part);
        part_done(&f->part, -ENOBUFS, g_strdup("no room"));
        assert_int_equal(f->part.state, PART_FAILED);
        assert_string_equal(f->part.reason, "no room");
        part_done(&f->part, 0, NULL);
        assert_int_equal(f->part.state, PART_UP);
        pass(f, USEC_PER_HOUR);
        assert_int_equal(f->n_repairs, 0);
        part_done(&f->part, -ENOBUFS, g_strdup("no room"));
        pass(f, PART_PAUSE_MAX_USEC);
        assert_int_equal(f->part.state, PART_UP);
        assert_int_equal(f->n_repairs, 1);
}

/* What was in the way may be gone, so somebody who knows nothing waits less; but not for ever less. */
static void test_hint(void **state) {
        Fake *f = *state;
        unsigned n;

        part_hint(&f->part);
        assert_int_equal(timer_queue_next(f->env.timers), USEC_INFINITY);
        /* It was never there. */
        f->is_broken = true;
        f->repair_result = -EPERM;
        part_start(&f->part);
        part_done(&f->part, -EPERM, g_strdup("it cannot be made"));
        assert_int_equal(f->part.state, PART_FAILED);
        pass(f, 10 * PART_PAUSE_MAX_USEC);
        n = f->n_repairs;
        part_hint(&f->part);
        pass(f, PART_HINT_USEC);
        assert_int_equal(f->n_repairs, n + 1);
        /* As often as they like. */
        for (usec_t end = f->now + USEC_PER_MINUTE; f->now < end; pass(f, 100 * USEC_PER_MSEC))
                part_hint(&f->part);
        assert_true(f->n_repairs - n <= 2 + USEC_PER_MINUTE / PART_HINT_USEC);
        f->repair_result = 0;
        part_hint(&f->part);
        pass(f, PART_HINT_USEC);
        assert_int_equal(f->part.state, PART_UP);
        n = f->n_repairs;
        part_hint(&f->part);
        pass(f, USEC_PER_MINUTE);
        assert_int_equal(f->n_repairs, n);
        /* Who takes it away whenever it is there is not helped by hints. */
        for (usec_t end = f->now + USEC_PER_HOUR; f->now < end; pass(f, 100 * USEC_PER_MSEC)) {
                if (!f->is_broken)
                        break_it(f);
                part_hint(&f->part);
        }
        assert_true(f->n_repairs - n <= 67);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_repaired_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pauses_grow, setup, teardown),
                cmocka_unit_test_setup_teardown(test_not_fought_all_day, setup, teardown),
                cmocka_unit_test_setup_teardown(test_degraded, setup, teardown),
                cmocka_unit_test_setup_teardown(test_owner_changes_it, setup, teardown),
                cmocka_unit_test_setup_teardown(test_hint, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
