/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Look-ups by a thread: none waits for it, and what comes too late hurts nobody. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <semaphore.h>
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "host/name-lookup.h"

static sem_t may_answer, has_begun, has_ended;

/* As a name service that takes its time: "slow" waits for may_answer. */
static int fake_look(const char *name, IpAddr *ret, unsigned max) {
        int r = 1;

        sem_post(&has_begun);
        if (g_str_has_prefix(name, "slow"))
                sem_wait(&may_answer);
        if (strcmp(name, "none.example") == 0)
                r = -ENOENT;
        else if (strcmp(name, "many.example") == 0)
                for (r = 0; r < (int) max; r++)
                        ret[r] = ip_from_v4(0xc0000201U + (unsigned) r);
        else
                ret[0] = ip_from_v4(0xc0000207U);
        sem_post(&has_ended);
        return r;
}

typedef struct Asked {
        sd_event *event;
        unsigned n_answers, n;
        int error;
        IpAddr first;
} Asked;

static void on_done(void *userdata, int error, const IpAddr *addresses, unsigned n) {
        Asked *a = userdata;

        a->n_answers++;
        a->error = error;
        a->n = n;
        a->first = n > 0 ? addresses[0] : (IpAddr){};
}

typedef struct World {
        sd_event *event;
        NameLookup *lookup;
        const Resolver *resolver;
} World;

static World world_new(NameLookupFunction look) {
        World w = {};

        assert_return_code(sd_event_new(&w.event), 0);
        w.lookup = name_lookup_new(w.event, look);
        w.resolver = name_lookup_resolver(w.lookup);
        sem_init(&may_answer, 0, 0);
        sem_init(&has_begun, 0, 0);
        sem_init(&has_ended, 0, 0);
        return w;
}

static void world_free(World *w) {
        w->lookup = name_lookup_free(w->lookup);
        w->event = sd_event_unref(w->event);
}

static int ask(World *w, const char *name, Asked *a) {
        return w->resolver->ops->start(w->resolver->self, name, on_done, a);
}

static void wait_for(World *w, const Asked *a) {
        while (a->n_answers == 0)
                assert_return_code(sd_event_run(w->event, UINT64_MAX), 0);
}

/* Until the thread has begun. */
static void wait_begun(World *w) {
        while (sem_trywait(&has_begun) < 0)
                assert_return_code(sd_event_run(w->event, USEC_PER_MSEC), 0);
}

static void test_answers(void **state) {
        World w = world_new(fake_look);
        Asked one = {}, none = {}, many = {};

        assert_return_code(ask(&w, "one.example", &one), 0);
        assert_return_code(ask(&w, "none.example", &none), 0);
        assert_return_code(ask(&w, "many.example", &many), 0);
        assert_int_equal(one.n_answers + none.n_answers + many.n_answers, 0);
        wait_for(&w, &many);
        assert_int_equal(one.n_answers, 1);
        assert_int_equal(one.n, 1);
        assert_int_equal(ip_to_v4(&one.first), 0xc0000207U);
        assert_int_equal(none.n_answers, 1);
        assert_int_equal(none.error, -ENOENT);
        assert_int_equal(many.n, RESOLVED_MAX);
        world_free(&w);
}

/* The loop goes on while a name server thinks, and the daemon ends without it. */
static void test_end_in_the_middle(void **state) {
        World w = world_new(fake_look);
        Asked a = {}, b = {};

        assert_return_code(ask(&w, "slow.example", &a), 0);
        assert_return_code(ask(&w, "slow.example", &b), 0);
        wait_begun(&w);
        world_free(&w);
        sem_post(&may_answer);
        sem_wait(&has_ended);
        assert_int_equal(a.n_answers + b.n_answers, 0);
}

/* Who asked is gone; the next one is answered, and never two are under way. */
static void test_cancel(void **state) {
        World w = world_new(fake_look);
        Asked gone = {}, second = {}, third = {};

        assert_return_code(ask(&w, "slow.example", &gone), 0);
        assert_return_code(ask(&w, "second.example", &second), 0);
        assert_return_code(ask(&w, "third.example", &third), 0);
        wait_begun(&w);
        w.resolver->ops->cancel(w.resolver->self, &gone);
        w.resolver->ops->cancel(w.resolver->self, &second);
        w.resolver->ops->cancel(w.resolver->self, &w);
        while (sd_event_run(w.event, 0) > 0)
                ;
        assert_int_equal(sem_trywait(&has_begun), -1);
        sem_post(&may_answer);
        wait_for(&w, &third);
        assert_int_equal(gone.n_answers + second.n_answers, 0);
        assert_int_equal(third.n, 1);
        world_free(&w);
}

/* Cancelled before its thread began: no name server hears of it. */
static void test_cancel_at_once(void **state) {
        World w = world_new(fake_look);
        Asked gone = {}, next = {};

        assert_return_code(ask(&w, "slow.example", &gone), 0);
        w.resolver->ops->cancel(w.resolver->self, &gone);
        assert_return_code(ask(&w, "next.example", &next), 0);
        wait_for(&w, &next);
        assert_int_equal(gone.n_answers, 0);
        assert_int_equal(sem_trywait(&has_begun), 0);
        assert_int_equal(sem_trywait(&has_begun), -1);
        world_free(&w);
}

static void test_line_is_bounded(void **state) {
        World w = world_new(fake_look);
        Asked a = {};

        for (unsigned i = 0; i < LOOKUPS_MAX; i++)
                assert_return_code(ask(&w, "slow.example", &a), 0);
        assert_int_equal(ask(&w, "slow.example", &a), -ENOBUFS);
        world_free(&w);
}

/* By the real name service, which knows this one without asking anybody (RFC 6761). */
static void test_localhost(void **state) {
        World w = world_new(NULL);
        Asked a = {};

        assert_return_code(ask(&w, "localhost", &a), 0);
        wait_for(&w, &a);
        assert_int_equal(a.error, 0);
        assert_true(a.n > 0);
        world_free(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),         cmocka_unit_test(test_end_in_the_middle),
                cmocka_unit_test(test_cancel),          cmocka_unit_test(test_cancel_at_once),
                cmocka_unit_test(test_line_is_bounded), cmocka_unit_test(test_localhost),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
