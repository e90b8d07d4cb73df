/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macros.h"
#include "network/part-list.h"

/* A network of three parts that start, break and heal as the test says, on a clock of its own.
 * Whatever happens to one is written down: "+a" started, "-a" stopped, "~a" made anew, "?a:8" told
 * what changed, "a=failed" reported. */
typedef struct World World;

typedef struct Fake {
        World *world;
        const char *name;
        PartOps ops;
        Part part;
        int start_result, repair_result;
        bool is_broken;
        bool takes_down; /* made anew with all that is above it */
        void (*during_start)(World *w);
} Fake;

struct World {
        MeshEnv env;
        usec_t now;
        PartList list;
        Fake fakes[3];
        GString *log;
        bool is_quiet; /* told and reported are not written down */
        unsigned n_reported;
};

static usec_t fake_now(void *userdata) {
        return ((World *) userdata)->now;
}

static void note(Fake *f, const char *what) {
        g_string_append_printf(f->world->log, "%s%s ", what, f->name);
}

static int result(Fake *f, int r, char **ret_reason) {
        if (r != 0)
                *ret_reason = g_strdup_printf(
                                r < 0 ? "%s cannot be made" : "%s lacks a little", f->name);
        return r;
}

static int fake_start(void *userdata, char **ret_reason) {
        Fake *f = userdata;

        note(f, "+");
        if (f->during_start)
                f->during_start(f->world);
        return result(f, f->start_result, ret_reason);
}

static void fake_stop(void *userdata, bool for_good) {
        note(userdata, for_good ? "-" : "(-)");
}

static int fake_check(void *userdata, char **ret_reason) {
        Fake *f = userdata;

        if (!f->is_broken)
                return 0;
        *ret_reason = g_strdup_printf("%s is gone", f->name);
        return -ENODEV;
}

static int fake_repair(void *userdata, char **ret_reason) {
        Fake *f = userdata;

        if (f->takes_down)
                part_stop_above(&f->part, true);
        note(f, "~");
        f->is_broken = f->repair_result < 0;
        if (f->takes_down && !f->is_broken)
                part_start_above(&f->part);
        return result(f, f->repair_result, ret_reason);
}

static void fake_changed(void *userdata, unsigned what) {
        Fake *f = userdata;

        if (!f->world->is_quiet)
                g_string_append_printf(f->world->log, "?%s:%x ", f->name, what);
        if (what & PART_CHANGED_INTERFACE)
                part_check(&f->part);
}

static void on_reported(void *userdata, const Part *p) {
        World *w = userdata;

        w->n_reported++;
        if (!w->is_quiet)
                g_string_append_printf(w->log, "%s=%s ", p->ops->name, part_state_to_string(p->state));
}

static int setup(void **state) {
        static const char *const names[] = { "a", "b", "c" };
        World *w = NEW(World);

        w->now = USEC_PER_HOUR;
        w->env = (MeshEnv){ .userdata = w, .timers = timer_queue_new(), .now = fake_now };
        w->log = g_string_new(NULL);
        part_list_init(&w->list, on_reported, w);
        for (unsigned i = 0; i < ELEMENTSOF(w->fakes); i++) {
                Fake *f = &w->fakes[i];

                f->world = w;
                f->name = names[i];
                f->ops = (PartOps){
                        .name = names[i],
                        .start = fake_start,
                        .stop = fake_stop,
                        .check = fake_check,
                        .repair = fake_repair,
                        .changed = fake_changed,
                };
                part_init(&f->part, &f->ops, f, &w->env);
                part_list_add(&w->list, &f->part);
        }
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        part_list_stop(&w->list, true);
        assert_int_equal(timer_queue_next(w->env.timers), USEC_INFINITY);
        part_list_done(&w->list);
        timer_queue_free(w->env.timers);
        g_string_free(w->log, TRUE);
        g_free(w);
        return 0;
}

static void expect(World *w, const char *log) {
        assert_string_equal(w->log->str, log);
        g_string_truncate(w->log, 0);
}

static void start(World *w) {
        g_autofree char *reason = NULL;

        w->is_quiet = true;
        assert_int_equal(part_list_start(&w->list, false, &reason), 0);
        assert_null(reason);
        w->is_quiet = false;
        g_string_truncate(w->log, 0);
        w->n_reported = 0;
}

static void pass(World *w, usec_t time) {
        usec_t end = w->now + time;

        while (timer_queue_next(w->env.timers) <= end) {
                w->now = MAX(w->now, timer_queue_next(w->env.timers));
                timer_queue_run(w->env.timers, w->now);
        }
        w->now = end;
}

static void test_order(void **state) {
        World *w = *state;
        g_autofree char *reason = NULL;

        assert_int_equal(part_list_start(&w->list, false, &reason), 0);
        /* Nobody above is there yet to be told. */
        expect(w, "+a a=up +b b=up +c c=up ");
        /* Those that are there are left alone. */
        assert_int_equal(part_list_start(&w->list, false, &reason), 0);
        expect(w, "");
        part_list_stop(&w->list, false);
        expect(w, "(-)c (-)b (-)a ");
        part_list_stop(&w->list, false);
        expect(w, "");
}

static void test_changed_reaches_all(void **state) {
        World *w = *state;

        part_list_changed(&w->list, PART_CHANGED_LEASE);
        expect(w, "");
        start(w);
        part_list_changed(&w->list, PART_CHANGED_LEASE);
        expect(w, "?a:2 ?b:2 ?c:2 ");
        /* One that is broken too: it may be what it waits for. */
        part_report(&w->fakes[1].part, PART_FAILED, g_strdup("no"));
        expect(w, "b=failed ?c:80 ");
        part_list_changed(&w->list, PART_CHANGED_ADDRESS | PART_CHANGED_SLEEP);
        expect(w, "?a:11 ?b:11 ?c:11 ");
        part_stop(&w->fakes[1].part, true);
        expect(w, "-b ");
        part_list_changed(&w->list, PART_CHANGED_MEMBER);
        expect(w, "?a:4 ?c:4 ");
}

static void test_needed_does_not_start(void **state) {
        World *w = *state;
        g_autofree char *reason = NULL;

        w->is_quiet = true;
        w->fakes[1].ops.is_needed = true;
        w->fakes[1].start_result = -EPERM;
        assert_int_equal(part_list_start(&w->list, false, &reason), -EPERM);
        assert_string_equal(reason, "b cannot be made");
        /* Also what there is of it goes; the third was not begun. */
        expect(w, "+a +b -b -a ");
        assert_int_equal(w->n_reported, 1);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(w->fakes[i].part.state, PART_STOPPED);
        pass(w, USEC_PER_HOUR);
        expect(w, "");

        w->fakes[1].start_result = 0;
        start(w);
        assert_int_equal(w->fakes[2].part.state, PART_UP);
}

static void test_other_does_not_start(void **state) {
        World *w = *state;
        g_autofree char *reason = NULL;

        w->is_quiet = true;
        w->fakes[1].start_result = w->fakes[1].repair_result = -EPERM;
        assert_int_equal(part_list_start(&w->list, false, &reason), 0);
        expect(w, "+a +b +c ");
        assert_ptr_equal(part_list_find(&w->list, PART_FAILED, false), &w->fakes[1].part);
        assert_string_equal(w->fakes[1].part.reason, "b cannot be made");
        /* Tried again by itself. */
        pass(w, PART_PAUSE_MIN_USEC);
        expect(w, "~b ");
        w->fakes[1].repair_result = 0;
        w->is_quiet = false;
        pass(w, PART_PAUSE_MAX_USEC);
        expect(w, "~b b=up ?c:80 ");
        assert_null(w->fakes[1].part.reason);
}

static void test_fails_and_is_repaired(void **state) {
        World *w = *state;
        Fake *a = &w->fakes[0];

        a->takes_down = true;
        start(w);
        a->is_broken = true;
        a->repair_result = -ENODEV;
        part_list_changed(&w->list, PART_CHANGED_INTERFACE);
        /* Those above are down with it, and not told of what they have no more part in. */
        expect(w, "?a:40 -c -b ~a a=failed ");
        assert_int_equal(w->fakes[1].part.state, PART_STOPPED);

        a->repair_result = 0;
        pass(w, PART_PAUSE_MIN_USEC);
        expect(w, "~a +b b=up ?b:1 +c c=up ?c:1 a=up ?b:80 ?c:80 ");
        /* At once, where it is the first time for long. */
        pass(w, PART_CALM_USEC + PART_PAUSE_MAX_USEC);
        w->is_quiet = true;
        a->is_broken = true;
        part_list_changed(&w->list, PART_CHANGED_INTERFACE);
        expect(w, "-c -b ~a +b +c ");
        assert_int_equal(a->part.state, PART_UP);
}

/* One above that does not come back is its own trouble. */
static void test_above_does_not_come_back(void **state) {
        World *w = *state;

        w->fakes[0].takes_down = true;
        w->fakes[1].ops.is_needed = true;
        start(w);
        w->is_quiet = true;
        w->fakes[0].is_broken = true;
        w->fakes[1].start_result = w->fakes[1].repair_result = -EPERM;
        part_list_changed(&w->list, PART_CHANGED_INTERFACE);
        expect(w, "-c -b ~a +b +c ");
        assert_int_equal(w->fakes[0].part.state, PART_UP);
        assert_int_equal(w->fakes[1].part.state, PART_FAILED);
        assert_int_equal(w->fakes[2].part.state, PART_UP);
        w->fakes[1].repair_result = 0;
        pass(w, PART_PAUSE_MIN_USEC);
        expect(w, "~b ");
        assert_int_equal(w->fakes[1].part.state, PART_UP);
}

static void fail_first(World *w) {
        part_done(&w->fakes[0].part, -EIO, g_strdup("a broke meanwhile"));
}

static void test_fails_while_another_starts(void **state) {
        World *w = *state;
        g_autofree char *reason = NULL;

        w->is_quiet = true;
        w->fakes[1].during_start = fail_first;
        assert_int_equal(part_list_start(&w->list, false, &reason), 0);
        expect(w, "+a +b +c ");
        assert_int_equal(w->fakes[0].part.state, PART_FAILED);
        assert_string_equal(w->fakes[0].part.reason, "a broke meanwhile");
        assert_int_equal(w->fakes[1].part.state, PART_UP);
        assert_int_equal(w->fakes[2].part.state, PART_UP);
        pass(w, PART_PAUSE_MIN_USEC);
        expect(w, "~a ");
        assert_int_equal(w->fakes[0].part.state, PART_UP);
}

static void stop_second(World *w) {
        part_stop(&w->fakes[1].part, true);
}

/* What was being made goes again. */
static void test_stopped_while_it_starts(void **state) {
        World *w = *state;
        g_autofree char *reason = NULL;

        w->is_quiet = true;
        w->fakes[1].during_start = stop_second;
        assert_int_equal(part_list_start(&w->list, false, &reason), 0);
        expect(w, "+a +b -b -b +c ");
        assert_int_equal(w->fakes[1].part.state, PART_STOPPED);
        w->fakes[1].start_result = -EPERM;
        w->fakes[1].ops.is_needed = true;
        assert_int_equal(part_list_start(&w->list, false, &reason), -EPERM);
        assert_string_equal(reason, "b cannot be made");
}

/* A part that mends itself is not repaired, whatever is said of it. */
static void test_mends_itself(void **state) {
        World *w = *state;
        Part *b = &w->fakes[1].part;

        start(w);
        w->is_quiet = true;
        part_report(b, PART_DEGRADED, g_strdup("b is started again"));
        assert_string_equal(b->reason, "b is started again");
        part_report(b, PART_DEGRADED, g_strdup("b is started again"));
        assert_int_equal(w->n_reported, 1);
        part_list_changed(&w->list, PART_CHANGED_INTERFACE);
        pass(w, USEC_PER_HOUR);
        expect(w, "");
        part_report(b, PART_UP, NULL);
        assert_int_equal(w->n_reported, 2);
        assert_null(b->reason);
        /* But what is broken is broken. */
        part_report(b, PART_DEGRADED, g_strdup("b is started again"));
        w->fakes[1].is_broken = true;
        part_list_changed(&w->list, PART_CHANGED_INTERFACE);
        expect(w, "~b ");
        assert_int_equal(b->state, PART_UP);

        part_stop(b, true);
        expect(w, "-b ");
        part_report(b, PART_FAILED, g_strdup("late"));
        part_done(b, -EIO, g_strdup("late"));
        assert_int_equal(b->state, PART_STOPPED);
}

static void say_more(World *w) {
        part_report(&w->fakes[1].part, PART_DEGRADED, g_strdup("b said so"));
}

static void test_reports_while_it_starts(void **state) {
        World *w = *state;

        w->fakes[1].during_start = say_more;
        start(w);
        assert_int_equal(w->fakes[1].part.state, PART_DEGRADED);
        assert_string_equal(w->fakes[1].part.reason, "b said so");
}

static void test_find(void **state) {
        World *w = *state;
        Part *a = &w->fakes[0].part, *b = &w->fakes[1].part, *c = &w->fakes[2].part;

        w->fakes[2].ops.word = "conflict";
        start(w);
        assert_null(part_list_find(&w->list, PART_FAILED, false));
        assert_null(part_list_find(&w->list, PART_DEGRADED, false));
        part_report(c, PART_DEGRADED, g_strdup("c"));
        part_report(b, PART_DEGRADED, g_strdup("b"));
        assert_ptr_equal(part_list_find(&w->list, PART_DEGRADED, false), b);
        assert_ptr_equal(part_list_find(&w->list, PART_DEGRADED, true), c);
        part_report(c, PART_FAILED, g_strdup("c"));
        assert_ptr_equal(part_list_find(&w->list, PART_FAILED, false), c);
        part_report(a, PART_FAILED, g_strdup("a"));
        assert_ptr_equal(part_list_find(&w->list, PART_FAILED, false), a);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_changed_reaches_all, setup, teardown),
                cmocka_unit_test_setup_teardown(test_needed_does_not_start, setup, teardown),
                cmocka_unit_test_setup_teardown(test_other_does_not_start, setup, teardown),
                cmocka_unit_test_setup_teardown(test_fails_and_is_repaired, setup, teardown),
                cmocka_unit_test_setup_teardown(test_above_does_not_come_back, setup, teardown),
                cmocka_unit_test_setup_teardown(test_fails_while_another_starts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stopped_while_it_starts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_mends_itself, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reports_while_it_starts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
