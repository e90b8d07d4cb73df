/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "proxy/poller.h"

#define N 8

typedef struct World {
        sd_event *event;
        Poller *poller;
        struct Item {
                struct World *world;
                PollerWatch watch;
                int fd, other;
                unsigned called;
                uint32_t events;
        } item[N];
        void (*act)(struct Item *i);
} World;

static void on_event(void *userdata, uint32_t events) {
        struct Item *i = userdata;

        i->called++;
        i->events = events;
        if (i->world->act)
                i->world->act(i);
}

static int setup(void **state) {
        World *w = NEW(World);

        assert_true(sd_event_new(&w->event) >= 0);
        assert_int_equal(poller_new(w->event, 0, &w->poller), 0);
        for (unsigned i = 0; i < N; i++) {
                int fds[2];

                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
                w->item[i] = (struct Item){ .world = w, .fd = fds[0], .other = fds[1] };
                assert_int_equal(
                                poller_add(w->poller, &w->item[i].watch, fds[0], EPOLLIN, on_event,
                                           &w->item[i]),
                                0);
        }
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        for (unsigned i = 0; i < N; i++) {
                poller_watch_remove(&w->item[i].watch);
                close(w->item[i].fd);
                if (w->item[i].other >= 0)
                        close(w->item[i].other);
        }
        poller_free(w->poller);
        sd_event_unref(w->event);
        g_free(w);
        return 0;
}

static unsigned called(const World *w) {
        unsigned n = 0;

        for (unsigned i = 0; i < N; i++)
                n += w->item[i].called;
        return n;
}

static void ring_all(World *w) {
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(write(w->item[i].other, "x", 1), 1);
}

static void remove_all(struct Item *me) {
        for (unsigned i = 0; i < N; i++)
                poller_watch_remove(&me->world->item[i].watch);
}

static void turn_all_off(struct Item *me) {
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(poller_watch_set(&me->world->item[i].watch, POLLER_OFF), 0);
}

/* All are ready in one batch; whoever is called first removes the others, who are not called. */
static void test_removed_in_batch(void **state) {
        World *w = *state;

        for (unsigned off = 0; off < 2; off++) {
                ring_all(w);
                w->act = off ? remove_all : turn_all_off;
                assert_true(sd_event_run(w->event, 0) > 0);
                assert_int_equal(called(w), off + 1);
                assert_int_equal(sd_event_run(w->event, 0), 0);
                for (unsigned i = 0; i < N && !off; i++)
                        assert_int_equal(poller_watch_set(&w->item[i].watch, EPOLLIN), 0);
        }
}

static void test_events(void **state) {
        World *w = *state;
        struct Item *i = &w->item[3];

        ring_all(w);
        assert_true(sd_event_run(w->event, 0) > 0);
        assert_int_equal(called(w), N); /* one turn of the loop for all */
        for (unsigned k = 0; k < N; k++)
                assert_int_equal(poller_watch_set(&w->item[k].watch, 0), 0);
        assert_int_equal(sd_event_run(w->event, 0), 0);
        assert_int_equal(poller_watch_set(&i->watch, EPOLLOUT), 0);
        assert_true(sd_event_run(w->event, 0) > 0);
        assert_int_equal(i->events, EPOLLOUT);
        assert_int_equal(poller_watch_set(&i->watch, 0), 0);
        /* A hang-up is told whether wanted or not, unless it is off. */
        close(i->other);
        i->other = -EBADF;
        assert_true(sd_event_run(w->event, 0) > 0);
        assert_int_equal(i->events, EPOLLHUP);
        assert_int_equal(poller_watch_set(&i->watch, POLLER_OFF), 0);
        assert_int_equal(sd_event_run(w->event, 0), 0);
        assert_int_equal(called(w), N + 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_removed_in_batch, setup, teardown),
                cmocka_unit_test_setup_teardown(test_events, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
