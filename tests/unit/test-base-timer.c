/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "base/timer.h"

static char ran[256];

static void on_timer(void *userdata) {
        size_t n = strlen(ran);

        assert_true(n + 1 < sizeof ran);
        ran[n] = *(const char *) userdata;
}

static int setup(void **state) {
        memset(ran, 0, sizeof ran);
        *state = timer_queue_new();
        return 0;
}

static int teardown(void **state) {
        timer_queue_free(*state);
        return 0;
}

static void test_order(void **state) {
        TimerQueue *q = *state;
        Timer t[4] = {};

        assert_true(timer_queue_next(q) == USEC_INFINITY);
        timer_queue_run(q, USEC_INFINITY);
        timer_set(q, &t[0], 20, on_timer, (void *) "a");
        timer_set(q, &t[1], 10, on_timer, (void *) "b");
        timer_set(q, &t[2], 20, on_timer, (void *) "c");
        timer_set(q, &t[3], 30, on_timer, (void *) "d");
        assert_int_equal(timer_queue_next(q), 10);
        timer_queue_run(q, 9);
        assert_string_equal(ran, "");
        timer_queue_run(q, 20); /* 20 itself is due; equal ones in the order of setting */
        assert_string_equal(ran, "bac");
        assert_false(timer_is_set(&t[0]));
        assert_true(timer_is_set(&t[3]));
        assert_int_equal(timer_queue_next(q), 30);
        timer_set(q, &t[3], 40, on_timer, (void *) "e"); /* instead of the old time */
        timer_queue_run(q, 39);
        assert_string_equal(ran, "bac");
        timer_clear(&t[3]);
        timer_clear(&t[3]);
        timer_queue_run(q, 100);
        assert_string_equal(ran, "bac");
}

typedef struct Chain {
        TimerQueue *q;
        Timer timer, other;
        unsigned runs;
} Chain;

static void on_again(void *userdata) {
        Chain *c = userdata;

        c->runs++;
        timer_set(c->q, &c->timer, 5, on_again, c);
}

static void on_clear_other(void *userdata) {
        Chain *c = userdata;

        c->runs++;
        timer_clear(&c->other);
}

static void on_free(void *userdata) {
        g_free(userdata);
}

/* Set again for a time that has passed: runs in the next call, not for ever in this one. */
static void test_again(void **state) {
        Chain c = { .q = *state };

        timer_set(c.q, &c.timer, 5, on_again, &c);
        timer_queue_run(c.q, 10);
        assert_int_equal(c.runs, 1);
        assert_int_equal(timer_queue_next(c.q), 5);
        timer_queue_run(c.q, 10);
        assert_int_equal(c.runs, 2);
        /* It does not hide a later one that was set before. */
        timer_set(c.q, &c.other, 7, on_timer, (void *) "x");
        timer_queue_run(c.q, 10);
        assert_int_equal(c.runs, 3);
        assert_string_equal(ran, "x");
        timer_clear(&c.timer);
}

static void test_callback_clears(void **state) {
        Chain c = { .q = *state }, *owner = NEW(Chain);

        timer_set(c.q, &c.timer, 5, on_clear_other, &c);
        timer_set(c.q, &c.other, 5, on_timer, (void *) "x");
        timer_set(c.q, &owner->timer, 5, on_free, owner);
        timer_queue_run(c.q, 5);
        assert_int_equal(c.runs, 1);
        assert_string_equal(ran, "");
        assert_true(timer_queue_next(c.q) == USEC_INFINITY);
}

static void test_free_disarms(void **state) {
        TimerQueue *q = timer_queue_new();
        Timer t = {};

        timer_set(q, &t, 5, on_timer, (void *) "x");
        assert_null(timer_queue_free(q));
        assert_false(timer_is_set(&t));
        timer_clear(&t);
        assert_null(timer_queue_free(NULL));
}

/* The obvious twin: an array that is searched for the earliest. */
typedef struct Slot {
        Timer timer;
        bool set;
        usec_t due;
        unsigned order, id;
} Slot;
static unsigned expected, n_runs;

static void on_slot(void *userdata) {
        Slot *s = userdata;

        assert_int_equal(s->id, expected);
        s->set = false;
        n_runs++;
}

static Slot *earliest(Slot *slots, unsigned n) {
        Slot *best = NULL;

        for (unsigned i = 0; i < n; i++)
                if (slots[i].set && (!best || slots[i].due < best->due ||
                                     (slots[i].due == best->due && slots[i].order < best->order)))
                        best = &slots[i];
        return best;
}

static void test_against_array(void **state) {
        TimerQueue *q = *state;
        unsigned seed = g_random_int(), order = 0;
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        Slot slots[40] = {}, *s;
        usec_t now = 0;

        print_message("seed %u\n", seed);
        n_runs = 0;
        for (unsigned i = 0; i < 50000; i++) {
                s = &slots[g_rand_int_range(rand, 0, ELEMENTSOF(slots))];
                switch (g_rand_int_range(rand, 0, 3)) {
                case 0:
                        s->id = (unsigned) (s - slots);
                        s->set = true;
                        s->due = now + (usec_t) g_rand_int_range(rand, 0, 30);
                        s->order = order++;
                        timer_set(q, &s->timer, s->due, on_slot, s);
                        break;
                case 1:
                        s->set = false;
                        timer_clear(&s->timer);
                        break;
                case 2:
                        /* Step by step, so that each run has one expected timer. */
                        s = earliest(slots, ELEMENTSOF(slots));
                        assert_true(timer_queue_next(q) == (s ? s->due : USEC_INFINITY));
                        if (!s)
                                break;
                        now = MAX(now, s->due);
                        expected = s->id;
                        for (Slot *o = slots; o < slots + ELEMENTSOF(slots); o++)
                                if (o != s && o->set && o->due <= now) {
                                        o->due = now + 1;
                                        o->order = order++;
                                        timer_set(q, &o->timer, o->due, on_slot, o);
                                }
                        timer_queue_run(q, now);
                        assert_false(s->set);
                        break;
                }
                for (unsigned j = 0; j < ELEMENTSOF(slots); j++)
                        assert_int_equal(timer_is_set(&slots[j].timer), slots[j].set);
        }
        assert_true(n_runs > 1000);
        for (unsigned j = 0; j < ELEMENTSOF(slots); j++)
                timer_clear(&slots[j].timer);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_again, setup, teardown),
                cmocka_unit_test_setup_teardown(test_callback_clears, setup, teardown),
                cmocka_unit_test_setup_teardown(test_free_disarms, setup, teardown),
                cmocka_unit_test_setup_teardown(test_against_array, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
