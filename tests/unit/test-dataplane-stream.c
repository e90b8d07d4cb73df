/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Datagrams by TCP: the frames, and the connections over loopback. Time is the test's own; the
 * kernel's events are awaited. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "core/wire/relayed.h"
#include "core/wire/stream-frame.h"
#include "dataplane/stream.h"

#define GIVE_UP_MS 20000
#define STREAM_SOURCE (UINT64_C(1) << 32)
#define LISTENER_SOURCE (UINT64_C(2) << 32)
#define SEC USEC_PER_SEC

/* --- frames --- */

/* A datagram of @type and @len bytes, as a frame. Return: its length. */
static size_t frame(uint8_t *buf, uint8_t type, size_t len) {
        write_be16(buf, (uint16_t) len);
        memset(buf + STREAM_HEADER_SIZE, (int) len & 0xff, len);
        buf[STREAM_HEADER_SIZE] = type;
        return STREAM_HEADER_SIZE + len;
}

static void test_frames(void **state) {
        static const struct {
                const char *bytes;
                size_t len;
                StreamFrame verdict;
        } table[] = {
                { "", 0, STREAM_FRAME_PARTIAL },
                { "\x00", 1, STREAM_FRAME_PARTIAL },
                { "\x00\x00", 2, STREAM_FRAME_BAD },     /* nothing in it */
                { "\x00\x1f", 2, STREAM_FRAME_BAD },     /* shorter than any datagram */
                { "\x00\x20", 2, STREAM_FRAME_PARTIAL }, /* the shortest */
                { "\x08\x00", 2, STREAM_FRAME_PARTIAL }, /* the longest */
                { "\x08\x01", 2, STREAM_FRAME_BAD },
                { "\xff\xff", 2, STREAM_FRAME_BAD },
                { "\x00\x20\x00", 3, STREAM_FRAME_BAD }, /* no such type */
                { "\x00\x20\x01", 3, STREAM_FRAME_PARTIAL },
                { "\x00\x20\x05", 3, STREAM_FRAME_PARTIAL },
                { "\x00\x20\x06", 3, STREAM_FRAME_BAD }, /* a beacon is for a LAN */
                { "GET / HTTP/1.1\r\n", 16, STREAM_FRAME_BAD },
                { "SSH-2.0-x\r\n", 11, STREAM_FRAME_BAD },
                { "\x16\x03\x01\x02\x00\x01", 6, STREAM_FRAME_BAD }, /* TLS */
        };
        uint8_t buf[STREAM_HEADER_SIZE + STREAM_FRAME_MAX];
        size_t len = 0, whole;

        for (unsigned i = 0; i < ELEMENTSOF(table); i++)
                if (stream_frame_next((const uint8_t *) table[i].bytes, table[i].len, &len) !=
                    table[i].verdict)
                        fail_msg("row %u", i);
        whole = frame(buf, MESSAGE_DATA, STREAM_FRAME_MAX);
        for (size_t n = 0; n < whole; n++)
                assert_int_equal(stream_frame_next(buf, n, &len), STREAM_FRAME_PARTIAL);
        assert_int_equal(stream_frame_next(buf, whole, &len), STREAM_FRAME_WHOLE);
        assert_int_equal(len, STREAM_FRAME_MAX);
}

/* --- connections --- */

typedef struct Side {
        StreamTable *t;
        DropCounters drops;
        int epoll_fd, listener;
        Endpoint at;     /* where it listens, by TCP */
        Endpoint from;   /* of the last frame */
        GByteArray *got; /* lengths (2, BE) and datagrams */
        unsigned n_frames, n_ended;
        bool distrusts; /* nothing is authentic */
        usec_t now;
} Side;

static bool on_frame(void *userdata, uint8_t *data, size_t len, const Endpoint *from) {
        Side *s = userdata;
        uint8_t head[2];

        write_be16(head, (uint16_t) len);
        g_byte_array_append(s->got, head, sizeof head);
        g_byte_array_append(s->got, data, (unsigned) len);
        memset(data, 0, len); /* ours to overwrite */
        s->from = *from;
        s->n_frames++;
        return !s->distrusts;
}

static void on_deliver(void *userdata) {
}

static void on_ended(void *userdata, const Endpoint *peer) {
        ((Side *) userdata)->n_ended++;
}

static void side_init(Side *s, const char *address) {
        const StreamSink sink = { s, on_frame, on_deliver, on_ended };
        socklen_t len = sizeof s->at.in6;

        *s = (Side){ .now = SEC, .got = g_byte_array_new() };
        s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        assert_true(s->epoll_fd >= 0);
        s->t = stream_table_new(&sink, s->epoll_fd, STREAM_SOURCE, LISTENER_SOURCE, &s->drops);
        assert_int_equal(endpoint_parse(address, 1, &s->at), 0);
        endpoint_set_port(&s->at, 0);
        s->listener = socket(s->at.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(s->listener >= 0);
        assert_int_equal(bind(s->listener, &s->at.sa, endpoint_len(&s->at)), 0);
        assert_int_equal(listen(s->listener, 64), 0);
        assert_int_equal(getsockname(s->listener, &s->at.sa, &len), 0);
        s->at.transport = ENDPOINT_TCP;
        assert_int_equal(stream_table_listen(s->t, s->listener), 0);
}

static void side_done(Side *s) {
        assert_int_equal(stream_table_unlisten(s->t, s->listener), 0);
        stream_table_free(s->t);
        close(s->listener);
        close(s->epoll_fd);
        g_byte_array_unref(s->got);
}

/* One round of what is ready, within @ms. Return: whether something was. @s NULL: nobody. */
static bool turn(Side *s, int ms) {
        struct epoll_event events[16];
        int n = s ? epoll_wait(s->epoll_fd, events, ELEMENTSOF(events), ms) : 0;

        for (int i = 0; i < n; i++) {
                unsigned number = (unsigned) (events[i].data.u64 & UINT32_MAX);

                if (events[i].data.u64 >= LISTENER_SOURCE)
                        stream_table_accept(s->t, number, s->now);
                else
                        stream_table_serve(s->t, number, s->now);
        }
        if (s)
                (void) stream_table_look(s->t, s->now);
        return n > 0;
}

/* Both go on until @what is true. */
#define AWAIT(a, b, what)                                                                          \
        for (unsigned _i = 0; !(what); _i++) {                                                     \
                if (_i > GIVE_UP_MS)                                                               \
                        fail_msg("not within %u ms: %s", GIVE_UP_MS, #what);                       \
                (void) turn(a, 1);                                                                 \
                (void) turn(b, 0);                                                                 \
        }

#define NOBODY ((Side *) NULL)

static void send_datagram(Side *s, const Endpoint *to, size_t len) {
        uint8_t buf[STREAM_HEADER_SIZE + STREAM_FRAME_MAX];

        frame(buf, MESSAGE_DATA, len);
        stream_table_send_one(s->t, to, buf + STREAM_HEADER_SIZE, len, s->now);
}

/* A program that speaks as it likes. */
static int stranger(const Side *to) {
        int fd = socket(to->at.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(connect(fd, &to->at.sa, endpoint_len(&to->at)), 0);
        return fd;
}

static bool is_closed(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };
        uint8_t byte;

        return poll(&p, 1, 0) > 0 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

static void test_both_ways(void **state) {
        static const char *const addresses[] = { "127.0.0.1", "::1" };

        for (unsigned i = 0; i < ELEMENTSOF(addresses); i++) {
                Endpoint behind;
                Side a, b;

                side_init(&a, addresses[i]);
                side_init(&b, addresses[i]);
                /* What is sent before the connection is there goes by it. */
                send_datagram(&a, &b.at, 100);
                send_datagram(&a, &b.at, STREAM_FRAME_MAX);
                AWAIT(&a, &b, b.n_frames == 2);
                assert_int_equal(b.from.transport, ENDPOINT_TCP_ACCEPTED);
                assert_true(endpoint_same_address(&b.from, &a.at));
                assert_int_equal(b.got->len, 2 + 100 + 2 + STREAM_FRAME_MAX);
                assert_int_equal(b.got->data[2 + 99], 100);
                /* Answers go where it came from. */
                send_datagram(&b, &b.from, 50);
                AWAIT(&a, &b, a.n_frames == 1);
                assert_true(endpoint_equal(&a.from, &b.at));
                /* By the same connection, with the header of a relay. */
                behind = b.at;
                behind.relay = 7;
                send_datagram(&a, &behind, 100);
                AWAIT(&a, &b, b.n_frames == 3);
                assert_int_equal(read_be16(b.got->data + b.got->len - 110), 108);
                assert_int_equal(relayed_allocation(b.got->data + b.got->len - 108), 7);
                assert_int_equal(stream_table_count(a.t), 1);
                assert_int_equal(stream_table_count(b.t), 1);
                side_done(&a);
                side_done(&b);
        }
}

/* TCP knows no frames. */
static void test_every_split(void **state) {
        uint8_t buf[256];
        size_t len = frame(buf, MESSAGE_HANDSHAKE_INITIATION, 40);

        len += frame(buf + len, MESSAGE_RELAYED, 32);
        len += frame(buf + len, MESSAGE_DATA, 90);
        for (size_t at = 1; at < len; at++) {
                Side b;
                int fd;

                side_init(&b, "127.0.0.1");
                fd = stranger(&b);
                assert_int_equal(send(fd, buf, at, 0), at);
                AWAIT(&b, NOBODY, stream_table_count(b.t) == 1);
                while (turn(&b, 0))
                        ;
                assert_int_equal(send(fd, buf + at, len - at, 0), len - at);
                AWAIT(&b, NOBODY, b.n_frames == 3);
                assert_int_equal(b.got->len, len);
                assert_memory_equal(b.got->data, buf, len);
                close(fd);
                AWAIT(&b, NOBODY, stream_table_count(b.t) == 0);
                assert_int_equal(b.n_ended, 1);
                side_done(&b);
        }
}

static void test_garbage(void **state) {
        static const struct {
                const char *bytes;
                size_t len;
        } table[] = {
                { "GET / HTTP/1.1\r\n\r\n", 18 },
                { "\x00\x00", 2 },
                { "\xff\xff", 2 },
                { "\x00\x20\x06", 3 },
                { "\x00\x20\x00", 3 },
        };
        uint8_t response[STREAM_HEADER_SIZE + 64];
        Side b;
        int fd;

        side_init(&b, "127.0.0.1");
        b.distrusts = true;
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                fd = stranger(&b);
                assert_int_equal(send(fd, table[i].bytes, table[i].len, 0), table[i].len);
                AWAIT(&b, NOBODY, is_closed(fd));
                close(fd);
                assert_int_equal(drop_counter(&b.drops, DROP_STREAM_MALFORMED), i + 1);
        }
        /* An answer, where nothing was asked. */
        fd = stranger(&b);
        frame(response, MESSAGE_HANDSHAKE_RESPONSE, 64);
        assert_int_equal(send(fd, response, sizeof response, 0), sizeof response);
        AWAIT(&b, NOBODY, is_closed(fd));
        close(fd);
        assert_int_equal(b.n_frames, 0);
        assert_int_equal(b.n_ended, 0);
        side_done(&b);
}

/* Who brings nothing authentic has so long, whatever he sends meanwhile; who has brought something
 * until he is silent. */
static void test_time(void **state) {
        uint8_t buf[64];
        size_t len = frame(buf, MESSAGE_HANDSHAKE_INITIATION, 40);
        int silent, slow, known;
        Side b;

        side_init(&b, "127.0.0.1");
        known = stranger(&b);
        assert_int_equal(send(known, buf, len, 0), len);
        AWAIT(&b, NOBODY, b.n_frames == 1);
        b.distrusts = true;
        silent = stranger(&b);
        slow = stranger(&b);
        AWAIT(&b, NOBODY, stream_table_count(b.t) == 3);
        for (unsigned i = 0; i < 9; i++) {
                b.now += SEC;
                assert_int_equal(send(slow, buf + i, 1, 0), 1);
                while (turn(&b, 1))
                        ;
        }
        assert_int_equal(stream_table_count(b.t), 3);
        b.now += SEC;
        AWAIT(&b, NOBODY, is_closed(silent) && is_closed(slow));
        assert_false(is_closed(known));
        assert_int_equal(drop_counter(&b.drops, DROP_STREAM_REFUSED), 2);
        assert_int_equal(b.n_ended, 0);
        b.now += STREAM_IDLE_USEC;
        AWAIT(&b, NOBODY, is_closed(known));
        assert_int_equal(b.n_ended, 1);
        assert_int_equal(stream_table_look(b.t, b.now), USEC_INFINITY);
        close(silent);
        close(slow);
        close(known);
        side_done(&b);
}

/* Strangers make room for one another, and never take the place of one that is known. */
static void test_crowd(void **state) {
        uint8_t buf[64];
        size_t len = frame(buf, MESSAGE_DATA, 40);
        int fd[3 * STREAMS_STRANGERS_PER_ADDRESS_MAX], known;
        Side b;

        side_init(&b, "127.0.0.1");
        known = stranger(&b);
        assert_int_equal(send(known, buf, len, 0), len);
        AWAIT(&b, NOBODY, b.n_frames == 1);
        b.distrusts = true;
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++) {
                fd[i] = stranger(&b);
                b.now += 1;
                AWAIT(&b, NOBODY,
                      drop_counter(&b.drops, DROP_STREAM_REFUSED) + stream_table_count(b.t) == i + 2);
                assert_true(stream_table_count(b.t) <= STREAMS_STRANGERS_PER_ADDRESS_MAX + 1);
        }
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++) {
                assert_int_equal(
                                is_closed(fd[i]),
                                i < ELEMENTSOF(fd) - STREAMS_STRANGERS_PER_ADDRESS_MAX);
                close(fd[i]);
        }
        assert_false(is_closed(known));
        close(known);
        side_done(&b);
}

/* One address has a share of the places, whatever it knows. */
static void test_address_share(void **state) {
        uint8_t buf[64];
        size_t len = frame(buf, MESSAGE_DATA, 40);
        int fd[STREAMS_PER_ADDRESS_MAX + 5];
        Side b;

        side_init(&b, "::1");
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++) {
                b.now += SEC / 10;
                fd[i] = stranger(&b);
                assert_int_equal(send(fd[i], buf, len, 0), len);
                AWAIT(&b, NOBODY, b.n_frames == i + 1);
        }
        assert_int_equal(stream_table_count(b.t), STREAMS_PER_ADDRESS_MAX);
        assert_int_equal(b.n_ended, 5);
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++) {
                assert_int_equal(is_closed(fd[i]), i < 5);
                close(fd[i]);
        }
        side_done(&b);
}

/* The other side reads nothing: what is beyond the queue is dropped in whole frames. */
static void test_full(void **state) {
        size_t got, at, len = 0;
        static uint8_t buf[8U << 20];
        uint64_t dropped;
        Side b;
        int fd;

        side_init(&b, "127.0.0.1");
        fd = stranger(&b);
        frame(buf, MESSAGE_HANDSHAKE_INITIATION, 40);
        assert_int_equal(send(fd, buf, 42, 0), 42);
        AWAIT(&b, NOBODY, b.n_frames == 1);
        for (unsigned i = 0; i < 8000; i++)
                send_datagram(&b, &b.from, 1000 + i % 400);
        dropped = drop_counter(&b.drops, DROP_STREAM_FULL);
        assert_true(dropped > 0);
        for (got = 0; got < sizeof buf;) {
                ssize_t n;

                (void) turn(&b, 0);
                n = recv(fd, buf + got, sizeof buf - got, MSG_DONTWAIT);
                if (n > 0)
                        got += (size_t) n;
                else if (!turn(&b, 10))
                        break;
        }
        for (at = 0; at < got; at += STREAM_HEADER_SIZE + len, dropped++)
                assert_int_equal(stream_frame_next(buf + at, got - at, &len), STREAM_FRAME_WHOLE);
        assert_int_equal(dropped, 8000);
        close(fd);
        side_done(&b);
}

/* What the packet thread sends goes by a connection there is, and makes none. */
static void test_trains(void **state) {
        uint8_t buf[2 * 100 + 60];
        DropCounters drops = {};
        TxTrain train = {
                .drops = &drops,
                .segment = 100,
                .n = 3,
                .len = sizeof buf,
                .n_iov = 1,
                .iov = { { buf, sizeof buf } },
        };
        Side a, b;

        memset(buf, 7, sizeof buf);
        side_init(&a, "127.0.0.1");
        side_init(&b, "127.0.0.1");
        train.to = b.at;
        stream_table_send(a.t, &train);
        assert_int_equal(drop_counter(&drops, DROP_SEND_FAILED), 3);
        buf[0] = buf[100] = buf[200] = MESSAGE_DATA;
        send_datagram(&a, &b.at, 50);
        AWAIT(&a, &b, b.n_frames == 1);
        /* To somebody behind it: the header is there already. */
        train.to.relay = 9;
        stream_table_send(a.t, &train);
        AWAIT(&a, &b, b.n_frames == 4);
        assert_int_equal(b.got->len, 2 + 50 + 2 + 100 + 2 + 100 + 2 + 60);
        assert_memory_equal(b.got->data + 2 + 50 + 2, buf, 100);
        assert_memory_equal(b.got->data + b.got->len - 60, buf + 200, 60);
        assert_int_equal(drop_counter(&drops, DROP_SEND_FAILED), 3);
        side_done(&a);
        side_done(&b);
}

/* Nobody listens there: it is not tried again with each datagram. */
static void test_refused(void **state) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        Endpoint nobody;
        Side a;
        int fd;

        side_init(&a, "127.0.0.1");
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        nobody = a.at;
        endpoint_set_port(&nobody, 0);
        assert_int_equal(bind(fd, &nobody.sa, endpoint_len(&nobody)), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *) &ss, &len), 0);
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *) &ss, len, &nobody), 0);
        nobody.transport = ENDPOINT_TCP;
        send_datagram(&a, &nobody, 100);
        assert_true(turn(&a, GIVE_UP_MS));
        assert_int_equal(stream_table_count(a.t), 0);
        assert_int_equal(listen(fd, 1), 0);
        a.now += SEC;
        send_datagram(&a, &nobody, 100);
        assert_int_equal(drop_counter(&a.drops, DROP_SEND_FAILED), 1);
        a.now += SEC;
        (void) turn(&a, 0);
        send_datagram(&a, &nobody, 100);
        AWAIT(&a, NOBODY, stream_table_count(a.t) == 1);
        /* A connection that was made to us is never made by us. */
        nobody.transport = ENDPOINT_TCP_ACCEPTED;
        send_datagram(&a, &nobody, 100);
        assert_int_equal(drop_counter(&a.drops, DROP_SEND_FAILED), 2);
        assert_int_equal(a.n_ended, 0);
        close(fd);
        side_done(&a);
}

/* After a change of addresses one that still answers stays. */
static void test_doubt(void **state) {
        Side a, b;

        side_init(&a, "127.0.0.1");
        side_init(&b, "127.0.0.1");
        send_datagram(&a, &b.at, 100);
        AWAIT(&a, &b, b.n_frames == 1);
        send_datagram(&b, &b.from, 100);
        AWAIT(&a, &b, a.n_frames == 1);
        stream_table_doubt(a.t, a.now);
        stream_table_doubt(b.t, b.now);
        a.now += SEC;
        send_datagram(&b, &b.from, 100);
        AWAIT(&a, &b, a.n_frames == 2);
        a.now += 5 * SEC;
        b.now += 5 * SEC;
        (void) stream_table_look(a.t, a.now);
        (void) stream_table_look(b.t, b.now);
        assert_int_equal(a.n_ended + b.n_ended, 0);
        stream_table_doubt(a.t, a.now);
        a.now += 5 * SEC;
        (void) stream_table_look(a.t, a.now);
        assert_int_equal(a.n_ended, 1);
        AWAIT(&a, &b, b.n_ended == 1);
        side_done(&a);
        side_done(&b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_frames),        cmocka_unit_test(test_both_ways),
                cmocka_unit_test(test_every_split),   cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_time),          cmocka_unit_test(test_crowd),
                cmocka_unit_test(test_address_share), cmocka_unit_test(test_full),
                cmocka_unit_test(test_trains),        cmocka_unit_test(test_refused),
                cmocka_unit_test(test_doubt),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
