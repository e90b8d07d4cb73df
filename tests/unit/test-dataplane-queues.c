/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The three queues of the packet path: datagrams on their way out, messages to the control
 * thread, packets that wait for a session. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "dataplane/control-queue.h"
#include "dataplane/pending.h"
#include "dataplane/tx-batch.h"

static int setup_group(void **state) {
        const char *given = getenv("OMERTA_TEST_SEED");
        guint32 seed = given ? (guint32) strtoul(given, NULL, 0) : (guint32) time(NULL);

        print_message("OMERTA_TEST_SEED=%u\n", seed);
        srand(seed);
        return 0;
}

static Endpoint endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 0, &e), 0);
        return e;
}

/* --- trains --- */

static TxBatch *batch_new(void) {
        TxBatch *b = g_new0(TxBatch, 1);

        b->buffer = g_malloc(TX_BUFFER_SIZE);
        return b;
}

static void batch_free(TxBatch *b) {
        g_free(b->buffer);
        g_free(b);
}

static void test_train_grows(void **state) {
        Endpoint to = endpoint("192.0.2.1:1");
        TxBatch *b = batch_new();
        int key, other;

        for (unsigned i = 0; i < 5; i++)
                assert_non_null(tx_batch_append(b, &key, &to, NULL, NULL, false, 1000));
        assert_int_equal(b->n, 1);
        assert_int_equal(b->train[0].n, 5);
        assert_int_equal(b->train[0].n_iov, 1);
        /* A shorter one ends it. */
        assert_non_null(tx_batch_append(b, &key, &to, NULL, NULL, false, 999));
        assert_int_equal(b->n, 1);
        assert_non_null(tx_batch_append(b, &key, &to, NULL, NULL, false, 999));
        assert_int_equal(b->n, 2);
        /* A longer one does not fit in. */
        assert_non_null(tx_batch_append(b, &key, &to, NULL, NULL, false, 1000));
        assert_int_equal(b->n, 3);
        assert_non_null(tx_batch_append(b, &other, &to, NULL, NULL, false, 1000));
        assert_int_equal(b->n, 4);
        /* The former is still open. */
        assert_non_null(tx_batch_append(b, &key, &to, NULL, NULL, false, 1000));
        assert_int_equal(b->n, 4);
        assert_int_equal(b->train[2].n_iov, 2);
        batch_free(b);
}

static void test_train_limits(void **state) {
        Endpoint to = endpoint("192.0.2.1:1");
        TxBatch *b = batch_new();
        int key, keys[TX_TRAINS_MAX];

        for (unsigned i = 0; i < TX_SEGMENTS_MAX + 1; i++)
                assert_non_null(tx_batch_append(b, &key, &to, NULL, NULL, false, 100));
        assert_int_equal(b->n, 2);
        assert_int_equal(b->train[0].n, TX_SEGMENTS_MAX);
        tx_batch_reset(b);
        for (unsigned i = 0; i < 46; i++)
                assert_non_null(tx_batch_append(b, &key, &to, NULL, NULL, false, 1452));
        assert_int_equal(b->n, 2);
        assert_true(b->train[0].len <= TX_TRAIN_SIZE_MAX);
        assert_true(b->train[0].len + 1452 > TX_TRAIN_SIZE_MAX);
        while (tx_batch_append(b, &key, &to, NULL, NULL, false, 1452))
                ;
        assert_true(b->used > TX_BUFFER_SIZE - 1452);
        tx_batch_reset(b);
        for (unsigned i = 0; i < TX_TRAINS_MAX; i++)
                assert_non_null(tx_batch_append(b, &keys[i], &to, NULL, NULL, false, 10));
        assert_null(tx_batch_append(b, &key, &to, NULL, NULL, false, 10));
        assert_non_null(tx_batch_append(b, &keys[0], &to, NULL, NULL, false, 10));
        batch_free(b);
}

/* Against a list: every datagram comes out of its train as it went in, in order per machine. */
static void test_trains_against_twin(void **state) {
        for (unsigned round = 0; round < 200; round++) {
                TxBatch *b = batch_new();
                GArray *sent[4] = {};
                Endpoint to[4];
                unsigned tag = 0, got[4] = {};

                for (unsigned k = 0; k < 4; k++) {
                        to[k] = (Endpoint){ .in = { .sin_family = AF_INET,
                                                    .sin_port = (in_port_t) (k + 1) } };
                        sent[k] = g_array_new(FALSE, FALSE, sizeof(uint32_t));
                }
                for (;;) {
                        static const unsigned sizes[] = { 100, 100, 100, 1452, 1452, 60, 8 };
                        unsigned k = (unsigned) rand() % 4, len = sizes[rand() % 7];
                        uint8_t *p = tx_batch_append(b, &to[k], &to[k], NULL, NULL, false, len);
                        uint32_t what = tag << 12 | len;

                        if (!p)
                                break;
                        memset(p, 0, len);
                        memcpy(p, &tag, 4);
                        g_array_append_val(sent[k], what);
                        tag++;
                }
                for (unsigned t = 0; t < b->n; t++) {
                        const TxTrain *train = &b->train[t];
                        unsigned k = train->to.in.sin_port - 1U, n = 0;
                        TxCursor c = {};
                        struct iovec v;

                        while (tx_train_next(train, &c, &v)) {
                                uint32_t what, it;

                                memcpy(&it, v.iov_base, 4);
                                what = g_array_index(sent[k], uint32_t, got[k]);
                                assert_int_equal(it, what >> 12);
                                assert_int_equal(v.iov_len, what & 0xfff);
                                n++;
                                got[k]++;
                                if (n < train->n)
                                        assert_int_equal(v.iov_len, train->segment);
                        }
                        assert_int_equal(n, train->n);
                }
                for (unsigned k = 0; k < 4; k++) {
                        assert_int_equal(got[k], sent[k]->len);
                        g_array_unref(sent[k]);
                }
                batch_free(b);
        }
}

/* --- messages --- */

static bool readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, 0) == 1;
}

static void test_control_queue(void **state) {
        Endpoint from = endpoint("[2001:db8::1]:7");
        ControlItem *m;
        ControlQueue *q;
        uint64_t before;

        assert_int_equal(control_queue_new(&q), 0);
        assert_false(readable(control_queue_fd(q)));
        assert_null(control_queue_peek(q));
        before = control_queue_position(q);
        assert_true(control_queue_is_past(q, before));
        assert_true(control_queue_post(q, CONTROL_FRAME, q, -5, &from, (const uint8_t *) "frame", 5));
        assert_true(control_queue_post(q, CONTROL_ARRIVAL, q, 0, NULL, NULL, 0));
        assert_true(readable(control_queue_fd(q)));
        control_queue_clear(q);
        assert_false(readable(control_queue_fd(q)));
        m = control_queue_peek(q);
        assert_int_equal(m->kind, CONTROL_FRAME);
        assert_ptr_equal(m->object, q);
        assert_int_equal(m->error, -5);
        assert_int_equal(m->len, 5);
        assert_memory_equal(m->data, "frame", 5);
        assert_true(endpoint_equal(&m->from, &from));
        before = control_queue_position(q);
        control_queue_pop(q);
        assert_false(control_queue_is_past(q, before));
        assert_int_equal(control_queue_peek(q)->kind, CONTROL_ARRIVAL);
        control_queue_pop(q);
        assert_true(control_queue_is_past(q, before));
        assert_null(control_queue_peek(q));
        /* Awake: nobody needs to be told. Asleep: once. */
        assert_true(control_queue_post(q, CONTROL_ARRIVAL, NULL, 0, NULL, NULL, 0));
        assert_false(readable(control_queue_fd(q)));
        assert_false(control_queue_sleep(q));
        control_queue_pop(q);
        assert_true(control_queue_sleep(q));
        assert_true(control_queue_post(q, CONTROL_ARRIVAL, NULL, 0, NULL, NULL, 0));
        assert_true(readable(control_queue_fd(q)));
        control_queue_free(q);
}

/* Strangers' datagrams do not take the room of our own machines' messages. */
static void test_control_queue_limits(void **state) {
        uint8_t data[1000] = {};
        ControlQueue *q;
        unsigned n = 0, more = 0;

        assert_int_equal(control_queue_new(&q), 0);
        while (control_queue_post(q, CONTROL_DATAGRAM, NULL, 0, NULL, data, sizeof data))
                n++;
        assert_in_range(n, 100, CONTROL_QUEUE_SIZE / 2 / 1000);
        while (control_queue_post(q, CONTROL_FRAME, NULL, 0, NULL, data, sizeof data))
                more++;
        assert_in_range(more, 100, CONTROL_QUEUE_SIZE / 1000);
        assert_false(control_queue_post(q, CONTROL_FRAME, NULL, 0, NULL, data, sizeof data));
        for (; n + more > 0; more > 0 ? more-- : n--) {
                assert_non_null(control_queue_peek(q));
                control_queue_pop(q);
        }
        assert_null(control_queue_peek(q));
        assert_false(control_queue_post(q, CONTROL_FRAME, NULL, 0, NULL, data, CONTROL_DATA_MAX + 1));
        control_queue_free(q);
}

static unsigned
fill_as(ControlQueue *q,
        ControlRoom room,
        _Atomic uint32_t *waiting,
        size_t len,
        unsigned max,
        DropReason *ret) {
        uint8_t data[1200] = {};
        Endpoint from = endpoint("192.0.2.1:7");
        unsigned n = 0;

        *ret = DROP_NONE;
        while (n < max && *ret == DROP_NONE) {
                *ret = control_queue_post_of(q, room, waiting, CONTROL_FRAME, q, &from, data, len);
                n += *ret == DROP_NONE;
        }
        return n;
}

static void take_all(ControlQueue *q) {
        while (control_queue_peek(q))
                control_queue_pop(q);
}

/* One member's frames take neither the handshakes' room nor the others'. */
static void test_control_queue_shares(void **state) {
        _Atomic uint32_t hostile = 0, waiting[100] = {}, stranger[20] = {};
        uint8_t data[1000] = {};
        DropReason reason;
        ControlQueue *q;
        unsigned n;

        assert_int_equal(control_queue_new(&q), 0);
        /* Five times: also where the ring's end lies in between. */
        for (unsigned round = 0; round < 5; round++) {
                n = fill_as(q, CONTROL_ROOM_MEMBERS, &hostile, 1111, UINT_MAX, &reason);
                assert_int_equal(reason, DROP_CONTROL_SHARE);
                /* Alone it has more than a window. */
                assert_in_range(n, SEGMENT_WINDOW, CONTROL_MEMBERS_BYTES_MAX / 1111 * 7 / 10);
                /* Most of a window of somebody else, and more of a third. */
                n = fill_as(q, CONTROL_ROOM_MEMBERS, &waiting[0], 1111, 40, &reason);
                assert_int_equal(n, 40);
                n = fill_as(q, CONTROL_ROOM_MEMBERS, &waiting[1], 1111, 10, &reason);
                assert_int_equal(n, 10);
                n = fill_as(q, CONTROL_ROOM_MEMBERS, &hostile, 9, UINT_MAX, &reason);
                assert_int_equal(n, 0);
                assert_int_equal(reason, DROP_CONTROL_SHARE);
                /* What our own programs cause, and handshakes. */
                assert_true(control_queue_post(q, CONTROL_WANT_SESSION, NULL, 0, NULL, NULL, 0));
                for (n = 0; n < 100; n++)
                        assert_true(control_queue_post(
                                        q, CONTROL_DATAGRAM, NULL, 0, NULL, data, sizeof data));
                take_all(q);
                assert_int_equal(hostile, 0);
                assert_int_equal(waiting[0], 0);
        }
        /* Three alone have their windows. */
        for (n = 0; n < SEGMENT_WINDOW; n++)
                for (unsigned i = 0; i < 3; i++)
                        assert_int_equal(
                                        fill_as(q, CONTROL_ROOM_MEMBERS, &waiting[i], 1111, 1,
                                                &reason),
                                        1);
        take_all(q);
        /* While the other side reads: who sends ten times what it takes loses, fifty who send
         * little lose nothing. */
        for (unsigned round = 0; round < 1000; round++) {
                (void) fill_as(q, CONTROL_ROOM_MEMBERS, &hostile, 300, 100, &reason);
                assert_int_equal(
                                fill_as(q, CONTROL_ROOM_MEMBERS, &waiting[round % 50], 300, 2,
                                        &reason),
                                2);
                for (n = 0; n < 10; n++) {
                        assert_non_null(control_queue_peek(q));
                        control_queue_pop(q);
                }
        }
        take_all(q);
        /* Strangers, however many they are, keep to their own room, and news of ours gets through
         * when every room is full. */
        for (unsigned i = 0; i < 20; i++)
                (void) fill_as(q, CONTROL_ROOM_STRANGERS, &stranger[i], 100, UINT_MAX, &reason);
        assert_true(fill_as(q, CONTROL_ROOM_MEMBERS, &hostile, 1111, UINT_MAX, &reason) >=
                    SEGMENT_WINDOW);
        while (control_queue_post(q, CONTROL_ARRIVAL, NULL, 0, NULL, NULL, 0))
                ;
        while (control_queue_post(q, CONTROL_DATAGRAM, NULL, 0, NULL, data, sizeof data))
                ;
        assert_true(control_queue_post(q, CONTROL_FAILED, NULL, -EIO, NULL, NULL, 0));
        take_all(q);
        assert_int_equal(hostile, 0);
        assert_int_equal(stranger[19], 0);
        control_queue_free(q);
}

enum { MESSAGES = 100000 };

static size_t length_of(uint32_t i) {
        return i * 2654435761U % 1237 + 4;
}

static void *produce(void *arg) {
        uint8_t data[1300] = {};

        for (uint32_t i = 0; i < MESSAGES;) {
                memcpy(data, &i, 4);
                data[length_of(i) - 1] = (uint8_t) i;
                memcpy(data, &i, 4);
                if (control_queue_post(arg, CONTROL_FRAME, NULL, 0, NULL, data, length_of(i)))
                        i++;
                else
                        sched_yield();
        }
        return NULL;
}

/* Two threads: everything comes, in order, and a sleeping consumer is always woken. */
static void test_control_queue_threads(void **state) {
        ControlQueue *q;
        pthread_t thread;
        uint32_t seen = 0;

        assert_int_equal(control_queue_new(&q), 0);
        assert_int_equal(pthread_create(&thread, NULL, produce, q), 0);
        while (seen < MESSAGES) {
                struct pollfd p = { .fd = control_queue_fd(q), .events = POLLIN };

                assert_int_equal(poll(&p, 1, 20000), 1);
                control_queue_clear(q);
                do {
                        ControlItem *m;

                        while ((m = control_queue_peek(q))) {
                                uint32_t i;

                                memcpy(&i, m->data, 4);
                                assert_int_equal(i, seen);
                                assert_int_equal(m->len, length_of(i));
                                if (m->len > 4)
                                        assert_int_equal(m->data[m->len - 1], (uint8_t) i);
                                control_queue_pop(q);
                                seen++;
                        }
                } while (!control_queue_sleep(q));
        }
        pthread_join(thread, NULL);
        control_queue_free(q);
}

/* --- waiting packets --- */

static PacketIn packet(uint8_t *data, size_t len) {
        return (PacketIn){ .data = data, .len = len, .offload = { .gso_size = 7 } };
}

static void test_pending(void **state) {
        g_autofree uint8_t *data = g_malloc0(PENDING_BYTES_MAX + 1);
        PacketPeer a = {}, b = {}, *expired;
        PendingQueues *q = pending_new();
        PacketIn p = packet(data, 100);
        PendingPacket *got;

        assert_true(pending_next_expiry(q) == USEC_INFINITY);
        for (unsigned i = 0; i < PENDING_PACKETS_MAX; i++) {
                data[0] = (uint8_t) i;
                assert_true(pending_push(q, &a, &p, i));
        }
        assert_false(pending_push(q, &a, &p, 0));
        assert_int_equal(pending_count(&a), PENDING_PACKETS_MAX);
        assert_true(pending_next_expiry(q) == PENDING_USEC);
        /* By bytes, another machine. */
        p.len = PENDING_BYTES_MAX + 1;
        assert_false(pending_push(q, &b, &p, 0));
        assert_null(b.pending);
        p.len = PENDING_BYTES_MAX;
        assert_true(pending_push(q, &b, &p, 1000));
        p.len = 1;
        assert_false(pending_push(q, &b, &p, 0));
        for (unsigned i = 0; i < PENDING_PACKETS_MAX; i++) {
                got = pending_pop(q, &a);
                assert_int_equal(got->packet.data[0], i);
                assert_int_equal(got->packet.len, 100);
                assert_int_equal(got->packet.offload.gso_size, 7);
                g_free(got);
        }
        assert_null(pending_pop(q, &a));
        assert_null(a.pending);
        assert_null(pending_pop_expired(q, 999 + PENDING_USEC, &expired));
        got = pending_pop_expired(q, 1000 + PENDING_USEC, &expired);
        assert_non_null(got);
        assert_ptr_equal(expired, &b);
        g_free(got);
        assert_true(pending_next_expiry(q) == USEC_INFINITY);
        pending_free(q);
}

static void test_pending_bounded_in_all(void **state) {
        g_autofree PacketPeer *peer = g_new0(PacketPeer, PENDING_QUEUES_MAX + 1);
        g_autofree uint8_t *data = g_malloc0(PENDING_BYTES_MAX);
        PendingQueues *q = pending_new();
        struct Mesh *mesh = (struct Mesh *) data; /* a name, no more */
        PacketIn p = packet(data, 1);
        unsigned n = 0;

        for (unsigned i = 0; i < PENDING_QUEUES_MAX; i++) {
                peer[i].mesh = i % 2 ? mesh : NULL;
                assert_true(pending_push(q, &peer[i], &p, 0));
        }
        assert_false(pending_push(q, &peer[PENDING_QUEUES_MAX], &p, 0));
        p.len = PENDING_BYTES_MAX - 1;
        for (unsigned i = 0; i < PENDING_QUEUES_MAX; i++)
                n += pending_push(q, &peer[i], &p, 0);
        assert_in_range(n, 1, PENDING_TOTAL_BYTES_MAX / PENDING_BYTES_MAX);
        n = pending_count(&peer[0]);
        assert_int_equal(pending_drop_peer(q, &peer[0]), n);
        assert_null(peer[0].pending);
        assert_int_equal(pending_drop_peer(q, &peer[0]), 0);
        assert_int_equal(pending_drop_peer(q, data), 0);
        assert_true(pending_drop_mesh(q, mesh) >= PENDING_QUEUES_MAX / 2);
        for (unsigned i = 0; i < PENDING_QUEUES_MAX; i++)
                assert_int_equal(peer[i].pending != NULL, i % 2 == 0 && i > 0);
        pending_free(q);
        assert_null(peer[2].pending);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_train_grows),
                cmocka_unit_test(test_train_limits),
                cmocka_unit_test(test_trains_against_twin),
                cmocka_unit_test(test_control_queue),
                cmocka_unit_test(test_control_queue_limits),
                cmocka_unit_test(test_control_queue_shares),
                cmocka_unit_test(test_control_queue_threads),
                cmocka_unit_test(test_pending),
                cmocka_unit_test(test_pending_bounded_in_all),
        };

        return cmocka_run_group_tests(tests, setup_group, NULL);
}
