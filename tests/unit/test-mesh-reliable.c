/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "core/mesh/link/reliable.h"
#include "core/wire/messages.h"

#define MSEC USEC_PER_MSEC

/* Two ends joined by a pipe that the test looks into. */
typedef struct End End;
typedef struct World {
        usec_t now;
        MeshEnv env;
        uint32_t random;
        unsigned loss; /* in 256 */
        usec_t latency, jitter;
        bool deaf; /* nothing passes */
        struct Flight *flights;
} World;

struct End {
        World *world;
        End *other;
        Reliable *r;
        GPtrArray *received; /* of GBytes */
        unsigned frames, segments, acks, stalled, dead, malformed;
        unsigned lose_next; /* so many segments */
        bool fail_in_delivery;
};

typedef struct Flight {
        Timer timer;
        End *to;
        struct Flight *next; /* all, for the end of the world */
        size_t len;
        bool done;
        uint8_t frame[SEGMENT_HEADER_SIZE + SEGMENT_DATA_MAX];
} Flight;

static usec_t world_now(void *userdata) {
        return ((World *) userdata)->now;
}

/* Numerical Recipes' generator: any will do, if it is the same each time. */
static uint32_t chance(World *w) {
        return (w->random = w->random * 1664525 + 1013904223) >> 8;
}

static void arrive(void *userdata) {
        Flight *f = userdata;
        DropReason reason = DROP_FRAME_MALFORMED;

        f->done = true;
        if (f->frame[0] == FRAME_SEGMENT)
                reason = reliable_handle_segment(f->to->r, f->frame, f->len);
        else if (f->frame[0] == FRAME_ACK)
                reason = reliable_handle_ack(f->to->r, f->frame, f->len);
        f->to->malformed += reason != DROP_NONE;
}

static void send_frame(void *userdata, const uint8_t *frame, size_t len) {
        End *e = userdata;
        World *w = e->world;
        Flight *f;

        e->frames++;
        e->segments += frame[0] == FRAME_SEGMENT;
        e->acks += frame[0] == FRAME_ACK;
        if (frame[0] == FRAME_SEGMENT && e->lose_next > 0) {
                e->lose_next--;
                return;
        }
        if (w->deaf || chance(w) % 256 < w->loss)
                return;
        f = NEW(Flight);
        f->to = e->other;
        f->next = w->flights;
        w->flights = f;
        f->len = len;
        memcpy(f->frame, frame, len);
        timer_set(w->env.timers, &f->timer,
                  w->now + w->latency + (w->jitter ? chance(w) % w->jitter : 0), arrive, f);
}

static void deliver(void *userdata, const uint8_t *message, size_t len) {
        End *e = userdata;

        g_ptr_array_add(e->received, g_bytes_new(message, len));
        if (e->fail_in_delivery)
                reliable_fail(e->r);
}

static void stalled(void *userdata) {
        ((End *) userdata)->stalled++;
}

static void dead(void *userdata) {
        End *e = userdata;

        e->dead++;
        reliable_fail(e->r);
}

static void world_init(World *w, End ends[static 2], uint32_t seed) {
        *w = (World){ .now = USEC_PER_SEC, .random = seed, .latency = 10 * MSEC };
        w->env = (MeshEnv){ .userdata = w, .timers = timer_queue_new(), .now = world_now };
        for (unsigned i = 0; i < 2; i++) {
                ends[i] = (End){ .world = w, .other = &ends[1 - i] };
                ends[i].received = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
                ends[i].r =
                                reliable_new(&w->env, &(ReliableHandler){ .userdata = &ends[i],
                                                                          .send_frame = send_frame,
                                                                          .deliver = deliver,
                                                                          .stalled = stalled,
                                                                          .dead = dead });
                reliable_set_open(ends[i].r, true);
        }
}

static void world_done(World *w, End ends[static 2]) {
        for (unsigned i = 0; i < 2; i++) {
                reliable_free(ends[i].r);
                g_ptr_array_unref(ends[i].received);
        }
        while (w->flights) {
                Flight *f = w->flights;

                w->flights = f->next;
                timer_clear(&f->timer);
                g_free(f);
        }
        assert_int_equal(timer_queue_next(w->env.timers), USEC_INFINITY);
        timer_queue_free(w->env.timers);
}

static void run_for(World *w, usec_t duration) {
        usec_t end = w->now + duration, next;

        while ((next = timer_queue_next(w->env.timers)) <= end) {
                w->now = MAX(w->now, next);
                timer_queue_run(w->env.timers, w->now);
        }
        w->now = end;
}

static GBytes *random_message(World *w, size_t len) {
        uint8_t *p = g_malloc(len);

        for (size_t i = 0; i < len; i++)
                p[i] = (uint8_t) chance(w);
        return g_bytes_new_take(p, len);
}

static void push(End *e, const char *text) {
        g_autoptr(GBytes) b = g_bytes_new(text, strlen(text));

        assert_int_equal(reliable_push(e->r, b), 0);
}

static void assert_text(const End *e, unsigned i, const char *text) {
        assert_true(e->received->len > i);
        assert_int_equal(g_bytes_get_size(e->received->pdata[i]), strlen(text));
        assert_memory_equal(g_bytes_get_data(e->received->pdata[i], NULL), text, strlen(text));
}

static void test_one_message(void **state) {
        World w;
        End e[2];

        world_init(&w, e, 1);
        push(&e[0], "hello");
        run_for(&w, USEC_PER_SEC);
        assert_int_equal(e[1].received->len, 1);
        assert_text(&e[1], 0, "hello");
        assert_true(reliable_is_idle(e[0].r));
        /* One segment, one acknowledgement, nothing again. */
        assert_int_equal(e[0].frames, 1);
        assert_int_equal(e[1].frames, 1);
        world_done(&w, e);
}

/* Lengths around the cuts. */
static void test_lengths(void **state) {
        static const size_t table[] = { 1, 1099, 1100, 1101, 2199, 2200, 2201, 9000, 65535, 65536 };
        World w;
        End e[2];

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(GBytes) b = NULL;

                world_init(&w, e, i + 1);
                b = random_message(&w, table[i]);
                assert_int_equal(reliable_push(e[0].r, b), 0);
                run_for(&w, 2 * USEC_PER_SEC);
                assert_int_equal(e[1].received->len, 1);
                assert_true(g_bytes_equal(b, e[1].received->pdata[0]));
                assert_int_equal(e[0].segments, (table[i] + 1099) / 1100);
                world_done(&w, e);
        }
        world_init(&w, e, 1);
        {
                g_autoptr(GBytes) none = g_bytes_new(NULL, 0);
                g_autoptr(GBytes) large = random_message(&w, CONTROL_MESSAGE_MAX + 1);

                assert_int_equal(reliable_push(e[0].r, none), -EMSGSIZE);
                assert_int_equal(reliable_push(e[0].r, large), -EMSGSIZE);
        }
        world_done(&w, e);
}

/* The slow and obvious twin of all of it is the list of what was pushed. */
static void test_random(void **state) {
        for (uint32_t seed = 1; seed <= 40; seed++) {
                GPtrArray *sent[2];
                World w;
                End e[2];

                world_init(&w, e, seed);
                w.loss = chance(&w) % 80; /* almost a third */
                w.jitter = chance(&w) % (60 * MSEC);
                for (unsigned i = 0; i < 2; i++)
                        sent[i] = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
                for (unsigned i = 0; i < 150; i++) {
                        unsigned from = chance(&w) % 2;
                        size_t len = 1 + chance(&w) % (i % 10 == 0 ? 20000 : 300);
                        GBytes *b = random_message(&w, len);

                        if (reliable_push(e[from].r, b) == 0)
                                g_ptr_array_add(sent[from], b);
                        else
                                g_bytes_unref(b);
                        run_for(&w, chance(&w) % (100 * MSEC));
                        /* The link closes and opens now and then (keys expired). */
                        if (chance(&w) % 40 == 0) {
                                reliable_set_open(e[from].r, false);
                                run_for(&w, chance(&w) % USEC_PER_SEC);
                                reliable_set_open(e[from].r, true);
                        }
                }
                run_for(&w, 10 * USEC_PER_MINUTE);
                for (unsigned i = 0; i < 2; i++) {
                        if (sent[i]->len != e[1 - i].received->len)
                                fail_msg("seed %u: %u sent, %u received", seed, sent[i]->len,
                                         e[1 - i].received->len);
                        for (unsigned k = 0; k < sent[i]->len; k++)
                                assert_true(g_bytes_equal(
                                                sent[i]->pdata[k], e[1 - i].received->pdata[k]));
                        assert_true(reliable_is_idle(e[i].r));
                        assert_int_equal(e[i].malformed, 0);
                        assert_int_equal(e[i].dead, 0);
                        g_ptr_array_unref(sent[i]);
                }
                world_done(&w, e);
        }
}

/* A lost segment is sent again when three later ones arrived, long before the timer. */
static void test_fast_retransmit(void **state) {
        g_autoptr(GBytes) b = NULL;
        World w;
        End e[2];

        world_init(&w, e, 1);
        push(&e[0], "for an RTT sample");
        run_for(&w, USEC_PER_SEC);
        b = random_message(&w, 8 * SEGMENT_DATA_MAX);
        e[0].lose_next = 1;
        assert_int_equal(reliable_push(e[0].r, b), 0);
        run_for(&w, 5 * w.latency); /* there, back, there, and the acks' delay */
        assert_int_equal(e[1].received->len, 2);
        assert_int_equal(e[0].segments, 1 + 8 + 1);
        assert_int_equal(e[0].stalled, 0);
        world_done(&w, e);
}

static void test_timer(void **state) {
        World w;
        End e[2];

        world_init(&w, e, 1);
        e[0].lose_next = 1;
        push(&e[0], "alone");
        run_for(&w, 249 * MSEC);
        assert_int_equal(e[0].segments, 1);
        run_for(&w, 2 * MSEC);
        assert_int_equal(e[0].segments, 2);
        run_for(&w, 100 * MSEC);
        assert_text(&e[1], 0, "alone");
        /* Intervals double: 250, 500, 1000, 2000, 4000, 5000 ms ... */
        w.deaf = true;
        e[0].segments = 0;
        push(&e[0], "to nobody");
        run_for(&w, 13 * USEC_PER_SEC);
        assert_in_range(e[0].segments, 6, 7);
        assert_true(e[0].stalled > 0);
        assert_int_equal(e[0].dead, 0);
        run_for(&w, 25 * USEC_PER_SEC);
        assert_int_equal(e[0].dead, 1);
        assert_true(reliable_is_idle(e[0].r));
        world_done(&w, e);
}

static void test_window(void **state) {
        g_autoptr(GBytes) b = NULL;
        World w;
        End e[2];

        world_init(&w, e, 1);
        for (unsigned i = 0; i < 6; i++) {
                g_autoptr(GBytes) big = random_message(&w, 60000);

                assert_int_equal(reliable_push(e[0].r, big), 0);
        }
        run_for(&w, MSEC);
        assert_int_equal(e[0].segments, 10); /* RFC 6928 */
        run_for(&w, 10 * USEC_PER_SEC);
        assert_int_equal(e[1].received->len, 6);
        /* When nothing comes back, never more than the window. */
        w.deaf = true;
        e[0].segments = 0;
        b = random_message(&w, CONTROL_MESSAGE_MAX);
        assert_int_equal(reliable_push(e[0].r, b), 0);
        assert_int_equal(reliable_push(e[0].r, b), 0);
        run_for(&w, 100 * MSEC);
        assert_int_equal(e[0].segments, SEGMENT_WINDOW);
        world_done(&w, e);
}

/* A loss halves what may be on the way at once. */
static void test_congestion(void **state) {
        g_autoptr(GBytes) b = NULL;
        World w;
        End e[2];

        world_init(&w, e, 1);
        b = random_message(&w, 60000);
        for (unsigned i = 0; i < 6; i++)
                assert_int_equal(reliable_push(e[0].r, b), 0);
        run_for(&w, 5 * USEC_PER_SEC);
        e[0].lose_next = 1;
        assert_int_equal(reliable_push(e[0].r, b), 0);
        run_for(&w, USEC_PER_SEC);
        assert_int_equal(e[1].received->len, 7);
        w.deaf = true;
        e[0].segments = 0;
        assert_int_equal(reliable_push(e[0].r, b), 0);
        assert_int_equal(reliable_push(e[0].r, b), 0);
        run_for(&w, 100 * MSEC);
        assert_in_range(e[0].segments, SEGMENT_WINDOW / 2 - 4, SEGMENT_WINDOW / 2 + 4);
        world_done(&w, e);
}

static void test_queue_bound(void **state) {
        World w;
        End e[2];
        unsigned n = 0;
        int r;

        world_init(&w, e, 1);
        reliable_set_open(e[0].r, false);
        do {
                g_autoptr(GBytes) b = g_bytes_new("x", 1);

                r = reliable_push(e[0].r, b);
        } while (r == 0 && ++n < CONTROL_QUEUE_MAX);
        assert_int_equal(r, -ENOBUFS);
        /* Tiny ones are counted with what they cost. */
        assert_true(n < CONTROL_QUEUE_MAX / 100);
        reliable_fail(e[0].r);
        assert_true(reliable_is_idle(e[0].r));
        push(&e[0], "room again");
        reliable_set_open(e[0].r, true);
        run_for(&w, USEC_PER_SEC);
        assert_text(&e[1], 0, "room again");
        world_done(&w, e);
}

/* Both sides start again: what was not acknowledged comes once more, in order, from 0. */
static void test_restart(void **state) {
        World w;
        End e[2];

        world_init(&w, e, 1);
        push(&e[0], "one");
        run_for(&w, USEC_PER_SEC);
        w.deaf = true;
        push(&e[0], "two");
        push(&e[0], "three");
        run_for(&w, USEC_PER_SEC);
        w.deaf = false;
        reliable_fail(e[1].r); /* a new life that knows nothing */
        reliable_restart(e[0].r);
        push(&e[0], "four");
        push(&e[1], "eins");
        run_for(&w, USEC_PER_SEC);
        assert_int_equal(e[1].received->len, 4);
        assert_text(&e[1], 1, "two");
        assert_text(&e[1], 2, "three");
        assert_text(&e[1], 3, "four");
        assert_text(&e[0], 0, "eins");
        world_done(&w, e);
}

static void test_end_in_delivery(void **state) {
        World w;
        End e[2];

        world_init(&w, e, 1);
        e[1].fail_in_delivery = true;
        e[0].lose_next = 1;
        for (unsigned i = 0; i < 5; i++)
                push(&e[0], "some");
        run_for(&w, USEC_PER_SEC);
        /* Those kept for later went with the life in which they came. */
        assert_true(e[1].received->len >= 1);
        world_done(&w, e);
}

static DropReason feed(End *e, uint8_t flags, uint32_t sequence, uint32_t ack, size_t len) {
        uint8_t frame[SEGMENT_HEADER_SIZE + SEGMENT_DATA_MAX + 1] = { FRAME_SEGMENT, flags };

        write_le32(frame + 2, sequence);
        write_le32(frame + 6, ack);
        return reliable_handle_segment(e->r, frame, SEGMENT_HEADER_SIZE + len);
}

static void test_malformed(void **state) {
        uint8_t frame[ACK_SIZE] = { FRAME_ACK };
        World w;
        End e[2];

        world_init(&w, e, 1);
        assert_int_equal(
                        reliable_handle_segment(e[0].r, frame, SEGMENT_HEADER_SIZE - 1),
                        DROP_FRAME_MALFORMED);
        assert_int_equal(feed(&e[0], 3, 0, 0, SEGMENT_DATA_MAX + 1), DROP_FRAME_MALFORMED);
        assert_int_equal(feed(&e[0], 3, SEGMENT_WINDOW, 0, 1), DROP_FRAME_MALFORMED);
        /* Acknowledges what was never sent. */
        assert_int_equal(feed(&e[0], 3, 0, 1, 1), DROP_FRAME_MALFORMED);
        assert_int_equal(reliable_handle_ack(e[0].r, frame, ACK_SIZE - 1), DROP_FRAME_MALFORMED);
        write_le32(frame + 1, 1);
        assert_int_equal(reliable_handle_ack(e[0].r, frame, ACK_SIZE), DROP_FRAME_MALFORMED);
        /* Bits for segments that do not exist. */
        write_le32(frame + 1, 0);
        write_le64(frame + 5, UINT64_MAX);
        assert_int_equal(reliable_handle_ack(e[0].r, frame, ACK_SIZE), DROP_NONE);
        assert_int_equal(e[0].received->len, 0);
        /* The last one that fits into the window waits for its turn. */
        assert_int_equal(feed(&e[0], 3, SEGMENT_WINDOW - 1, 0, 1), DROP_NONE);
        assert_int_equal(e[0].received->len, 0);
        world_done(&w, e);
}

/* A message of more than CONTROL_MESSAGE_MAX is left out, the next one is not. A middle part
 * without a beginning is nothing. */
static void test_too_large(void **state) {
        World w;
        End e[2];
        uint32_t n = 0;

        world_init(&w, e, 1);
        assert_int_equal(feed(&e[0], 0, n++, 0, 10), DROP_NONE);
        assert_int_equal(feed(&e[0], SEGMENT_FLAG_LAST, n++, 0, 10), DROP_NONE);
        for (unsigned i = 0; i < 70; i++)
                assert_int_equal(
                                feed(&e[0], i == 0 ? SEGMENT_FLAG_FIRST : 0, n++, 0, SEGMENT_DATA_MAX),
                                DROP_NONE);
        assert_int_equal(feed(&e[0], SEGMENT_FLAG_LAST, n++, 0, 1), DROP_NONE);
        assert_int_equal(e[0].received->len, 0);
        assert_int_equal(feed(&e[0], SEGMENT_FLAG_FIRST | SEGMENT_FLAG_LAST, n++, 0, 5), DROP_NONE);
        assert_int_equal(e[0].received->len, 1);
        world_done(&w, e);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_message),     cmocka_unit_test(test_lengths),
                cmocka_unit_test(test_random),          cmocka_unit_test(test_fast_retransmit),
                cmocka_unit_test(test_timer),           cmocka_unit_test(test_window),
                cmocka_unit_test(test_queue_bound),     cmocka_unit_test(test_restart),
                cmocka_unit_test(test_end_in_delivery), cmocka_unit_test(test_malformed),
                cmocka_unit_test(test_too_large),       cmocka_unit_test(test_congestion),
        };

        return cmocka_run_group_tests_name("mesh-reliable", tests, NULL, NULL);
}
