/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The packet thread itself: two of them over loopback sockets, with mock interfaces. What is
 * waited for is an event, with a limit that only a failure reaches. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/timer.h"
#include "dataplane/dataplane.h"
#include "dataplane/udp-socket.h"
#include "netif/mock.h"
#include "packet-build.h"

#define GIVE_UP_MS 20000

typedef struct Side {
        Endpoint endpoint;
        int fd;
        Netif *netif;
        IndexTable *indices;
        RouteTable *routes;
        MeshEnv env;
        DropCounters drops, daemon_drops;
        PacketPeer peer;
        PacketTx tx;
        Keypair *keypair;
        Dataplane *d;
        GString *log; /* what the handler was told, a letter each */
        int error;
} Side;

static void on_datagram(void *userdata, uint8_t *data, size_t len, const Endpoint *from) {
        Side *s = userdata;

        data[0] = 0; /* ours to overwrite */
        g_string_append_c(s->log, 'd');
}
static void
on_frame(void *userdata, Keypair *kp, const uint8_t *frame, size_t len, const Endpoint *from) {
        g_string_append_c(((Side *) userdata)->log, 'f');
}
static void on_arrival(void *userdata, Keypair *kp, const Endpoint *from) {
        g_string_append_c(((Side *) userdata)->log, 'a');
}
static void on_want_session(void *userdata, PacketPeer *peer) {
        Side *s = userdata;

        assert_ptr_equal(peer, &s->peer);
        assert_false(peer->wanted);
        g_string_append_c(s->log, 'w');
}
static void on_local_lost(void *userdata, const IpAddr *local) {
        assert_string_equal(ip_format(local).text, "203.0.113.9");
        g_string_append_c(((Side *) userdata)->log, 'l');
}
static void on_failed(void *userdata, Netif *netif, int error) {
        Side *s = userdata;

        s->error = error;
        g_string_append_c(s->log, 'x');
}

static void retire_now(void *userdata, void *object, void (*destroy)(void *object)) {
        destroy(object);
}
static usec_t env_now_op(void *userdata) {
        return 0;
}

static IpPrefix host(uint32_t address) {
        return (IpPrefix){ .addr = ip_from_v4(address), .len = 32 };
}

/* The packet path compares it, no more: the address of anything is one. */
static struct Mesh *mesh_of(void *anything) {
        return anything;
}

static void side_init(Side *s, unsigned n, int family, bool plain) {
        const IpPrefix subnet = { .addr = ip_from_v4(0x0a000000), .len = 16 };
        const IpPrefix us = host(0x0a000000 + n), them = host(0x0a000003 - n);
        uint8_t keys[2][32];
        DataplaneConfig config;
        socklen_t len = sizeof s->endpoint;

        *s = (Side){ .log = g_string_new(NULL) };
        assert_int_equal(endpoint_parse(family == AF_INET ? "127.0.0.1" : "::1", 1, &s->endpoint), 0);
        endpoint_set_port(&s->endpoint, 0);
        s->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_true(s->fd >= 0);
        assert_int_equal(bind(s->fd, &s->endpoint.sa, endpoint_len(&s->endpoint)), 0);
        assert_int_equal(getsockname(s->fd, &s->endpoint.sa, &len), 0);
        s->netif = mock_netif_new("mock0");
        s->indices = index_table_new();
        s->env = (MeshEnv){ .timers = timer_queue_new(), .now = env_now_op, .retire = retire_now };
        assert_int_equal(route_table_new(&s->env, &subnet, &s->routes), 0);
        assert_int_equal(route_table_set_local(s->routes, &us), 0);
        assert_int_equal(route_table_set(s->routes, &them, &s->peer), 0);
        route_table_flush(s->routes);
        memset(keys[0], 1, 32);
        memset(keys[1], 2, 32);
        s->keypair =
                        keypair_new(CIPHER_CHACHA20_POLY1305, keys[n - 1], keys[2 - n], n == 1,
                                    now_usec(CLOCK_BOOTTIME));
        assert_int_equal(
                        index_table_reserve(
                                        s->indices, (uint16_t) n, mesh_of(s),
                                        &s->keypair->local_index),
                        0);
        s->keypair->remote_index = (3 - n) << 16;
        s->keypair->peer = &s->peer;
        index_table_bind(s->indices, s->keypair);
        s->tx = (PacketTx){ .keypair = s->keypair, .mtu = 1420 };
        s->peer.mesh = mesh_of(s);
        s->peer.accept = true;
        config = (DataplaneConfig){
                .indices = s->indices,
                .drops = &s->daemon_drops,
                .no_trains = plain,
                .no_merging = plain,
                .handler = { s, on_datagram, on_frame, on_arrival, on_want_session, on_failed, NULL,
                             on_local_lost },
        };
        assert_int_equal(dataplane_new(&config, &s->d), 0);
        assert_int_equal(dataplane_add_socket(s->d, s->fd), 0);
        assert_int_equal(
                        dataplane_add_network(
                                        s->d, &(DataplaneNetwork){ mesh_of(s), s->netif, s->routes,
                                                                   &s->drops }),
                        0);
}

static void side_done(Side *s) {
        (void) dataplane_remove_network(s->d, mesh_of(s));
        (void) dataplane_remove_socket(s->d, s->fd);
        dataplane_free(s->d);
        close(s->fd);
        netif_free(s->netif);
        route_table_free(s->routes);
        index_table_free(s->indices);
        keypair_free(s->keypair);
        timer_queue_free(s->env.timers);
        g_string_free(s->log, TRUE);
}

typedef struct Pair {
        Side a, b;
} Pair;

/* @plain: with nothing left to the kernel. */
static void pair_init(Pair *p, int family, bool plain) {
        side_init(&p->a, 1, family, plain);
        side_init(&p->b, 2, family, plain);
        p->a.tx.endpoint = p->b.endpoint;
        p->b.tx.endpoint = p->a.endpoint;
        p->a.tx.endpoint.local = endpoint_address(&p->a.endpoint);
        p->b.tx.endpoint.local = endpoint_address(&p->b.endpoint);
}
static void pair_connect(Pair *p) {
        atomic_store(&p->a.peer.tx, &p->a.tx);
        atomic_store(&p->b.peer.tx, &p->b.tx);
}
static void pair_done(Pair *p) {
        side_done(&p->a);
        side_done(&p->b);
}
#define PAIR(name, family)                                                                         \
        _cleanup_(pair_done) Pair name;                                                            \
        pair_init(&name, family, false)

/* Until the handler was told @log. */
static void dispatch_until(Side *s, const char *log) {
        struct pollfd p = { .fd = dataplane_fd(s->d), .events = POLLIN };

        while (!g_str_equal(s->log->str, log)) {
                if (poll(&p, 1, GIVE_UP_MS) != 1)
                        fail_msg("told \"%s\" instead of \"%s\"", s->log->str, log);
                (void) dataplane_dispatch(s->d, 64);
        }
}

static Build packet(const Side *from, const Side *to, const uint8_t *payload, size_t len) {
        return (Build){
                .udp = true,
                .source = from->keypair->is_initiator ? 0x0a000001 : 0x0a000002,
                .destination = to->keypair->is_initiator ? 0x0a000001 : 0x0a000002,
                .sport = 1000,
                .dport = 2000,
                .ttl = 64,
                .df = true,
                .payload = payload,
                .payload_len = len,
                .csum = BUILD_PARTIAL,
        };
}

static void app_send(Side *s, const Build *b, size_t gso_size) {
        g_autofree uint8_t *buf = g_malloc(BUILD_MAX);
        OffloadInfo o = build_offload(b, gso_size);

        mock_netif_app_send(s->netif, buf, build_packet(b, buf), &o);
}

static GBytes *received(Side *s) {
        for (unsigned i = 0; i < GIVE_UP_MS; i++) {
                GBytes *got = mock_netif_app_received(s->netif, NULL);

                if (got)
                        return got;
                g_usleep(1000);
        }
        fail_msg("nothing came");
        return NULL;
}

static void expect(Side *s, const Build *b) {
        g_autofree uint8_t *buf = g_malloc(BUILD_MAX);
        g_autoptr(GBytes) got = received(s);

        assert_int_equal(g_bytes_get_size(got), build_packet(b, buf));
        assert_memory_equal(g_bytes_get_data(got, NULL), buf, g_bytes_get_size(got));
}

static void expect_something(Side *s) {
        g_bytes_unref(received(s));
}

static void exchange(int family) {
        g_autofree uint8_t *payload = g_malloc0(60000);
        PAIR(p, family);
        Build ab = packet(&p.a, &p.b, payload, 100), ba = packet(&p.b, &p.a, payload, 60000);
        DataplaneStats s;

        pair_connect(&p);
        app_send(&p.a, &ab, 0);
        expect(&p.b, &ab);
        app_send(&p.b, &ba, 1300);
        expect(&p.a, &ba);
        dispatch_until(&p.a, "a");
        dispatch_until(&p.b, "a");
        s = dataplane_stats(p.a.d);
        assert_true(s.wakeups > 0);
        assert_int_equal(p.a.peer.tx_packets, 1);
        assert_int_equal(p.a.peer.rx_packets, 47);
}

static void test_exchange_v4(void **state) {
        exchange(AF_INET);
}
static void test_exchange_v6(void **state) {
        exchange(AF_INET6);
}

static void test_pending_and_flush(void **state) {
        uint8_t payload[100] = {};
        PAIR(p, AF_INET);
        Build ab = packet(&p.a, &p.b, payload, sizeof payload);

        app_send(&p.a, &ab, 0);
        dispatch_until(&p.a, "w");
        pair_connect(&p);
        dataplane_flush_pending(p.a.d, &p.a.peer);
        expect(&p.b, &ab);
}

static void test_control_sends(void **state) {
        uint8_t handshake[1000] = { MESSAGE_HANDSHAKE_INITIATION };
        PAIR(p, AF_INET);
        Endpoint v6 = {};

        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(dataplane_send(p.a.d, &p.b.endpoint, handshake, sizeof handshake), 0);
        dispatch_until(&p.b, "ddd");
        v6.in6.sin6_family = AF_INET6;
        assert_int_equal(dataplane_send(p.a.d, &v6, handshake, sizeof handshake), -EAFNOSUPPORT);
}

/* --- retiring --- */

static GString *destroyed;

static void destroy(void *object) {
        g_string_append_c(destroyed, *(char *) object);
        g_free(object);
}

static void retire(Side *s, char name) {
        char *object = g_malloc(1);

        *object = name;
        dataplane_retire(s->d, object, destroy);
}

/* In order, on this thread, and after the messages that were under way. */
static void test_retire(void **state) {
        uint8_t handshake[1000] = { MESSAGE_HANDSHAKE_INITIATION };
        PAIR(p, AF_INET);
        struct pollfd fd = { .fd = dataplane_fd(p.b.d), .events = POLLIN };

        destroyed = g_string_new(NULL);
        retire(&p.b, '1');
        retire(&p.b, '2');
        assert_string_equal(destroyed->str, "");
        while (destroyed->len < 2) {
                assert_int_equal(poll(&fd, 1, GIVE_UP_MS), 1);
                (void) dataplane_dispatch(p.b.d, 64);
        }
        assert_string_equal(destroyed->str, "12");

        /* A message is in the queue before the object is retired: it is dispatched first. */
        assert_int_equal(dataplane_send(p.a.d, &p.b.endpoint, handshake, sizeof handshake), 0);
        assert_int_equal(poll(&fd, 1, GIVE_UP_MS), 1);
        retire(&p.b, '3');
        /* Waits for the command before it. */
        assert_int_equal(dataplane_remove_network(p.b.d, mesh_of(&p.b)), 0);
        assert_int_equal(dataplane_dispatch(p.b.d, 0), 0);
        assert_string_equal(destroyed->str, "12");
        assert_int_equal(dataplane_dispatch(p.b.d, 64), 1);
        assert_string_equal(p.b.log->str, "d");
        assert_string_equal(destroyed->str, "123");
        /* What is left at the end is not lost. */
        retire(&p.b, '4');
        assert_int_equal(dataplane_remove_socket(p.b.d, p.b.fd), 0);
        p.b.d = dataplane_free(p.b.d);
        assert_string_equal(destroyed->str, "1234");
        g_string_free(destroyed, TRUE);
        {
                const DataplaneConfig config = { .handler = { &p.b, on_datagram } };

                assert_int_equal(dataplane_new(&config, &p.b.d), 0);
        }
}

static bool peer_destroyed;

static void destroy_peer(void *object) {
        assert_null(((PacketPeer *) object)->pending);
        peer_destroyed = true;
}

/* Packets that wait for a machine do not outlive it. */
static void test_retire_with_pending(void **state) {
        PAIR(p, AF_INET);
        Build ab = packet(&p.a, &p.b, (const uint8_t *) "x", 1);
        struct pollfd fd = { .fd = dataplane_fd(p.a.d), .events = POLLIN };

        app_send(&p.a, &ab, 0);
        dispatch_until(&p.a, "w");
        route_table_remove_peer(p.a.routes, &p.a.peer);
        route_table_flush(p.a.routes);
        peer_destroyed = false;
        dataplane_retire(p.a.d, &p.a.peer, destroy_peer);
        while (!peer_destroyed) {
                assert_int_equal(poll(&fd, 1, GIVE_UP_MS), 1);
                (void) dataplane_dispatch(p.a.d, 64);
        }
}

static PacketTx *new_tx(const Side *s) {
        PacketTx *tx = NEW(PacketTx);

        *tx = s->tx;
        return tx;
}

/* Paths, packets and retirements at once: what a sanitizer is to look at. */
static void test_busy(void **state) {
        uint8_t payload[1200] = {};
        PAIR(p, AF_INET);
        Build ab = packet(&p.a, &p.b, payload, sizeof payload);
        Build ba = packet(&p.b, &p.a, payload, sizeof payload);
        unsigned got = 0; /* UINT_MAX: the last one */

        pair_connect(&p);
        atomic_store(&p.a.peer.tx, new_tx(&p.a));
        for (unsigned i = 0; i < 2000; i++) {
                PacketTx *old;

                app_send(&p.a, &ab, 0);
                app_send(&p.b, &ba, 400);
                if (i % 3 == 0) {
                        old = atomic_exchange(&p.a.peer.tx, NULL);
                        dataplane_retire(p.a.d, old, g_free);
                        atomic_store(&p.a.peer.tx, new_tx(&p.a));
                        dataplane_flush_pending(p.a.d, &p.a.peer);
                }
                if (i % 500 == 100) {
                        assert_int_equal(dataplane_remove_network(p.b.d, mesh_of(&p.b)), 0);
                        assert_int_equal(
                                        dataplane_add_network(
                                                        p.b.d,
                                                        &(DataplaneNetwork){ mesh_of(&p.b),
                                                                             p.b.netif, p.b.routes,
                                                                             &p.b.drops }),
                                        0);
                }
                (void) dataplane_dispatch(p.a.d, 16);
                (void) dataplane_dispatch(p.b.d, 16);
                for (GBytes *g; (g = mock_netif_app_received(p.b.netif, NULL)); got++)
                        g_bytes_unref(g);
                (void) dataplane_stats(p.a.d);
        }
        ab.payload_len = 17;
        dataplane_retire(p.a.d, atomic_exchange(&p.a.peer.tx, &p.a.tx), g_free);
        /* A full socket loses some, so the last one is said again until it is heard. */
        for (unsigned i = 0; i < GIVE_UP_MS && got != UINT_MAX; i++) {
                app_send(&p.a, &ab, 0);
                g_usleep(1000);
                for (GBytes *g; (g = mock_netif_app_received(p.b.netif, NULL));) {
                        if (g_bytes_get_size(g) == 28 + 17)
                                got = UINT_MAX;
                        g_bytes_unref(g);
                }
        }
        assert_int_equal(got, UINT_MAX);
}

/* --- trouble --- */

static int gone_read(Netif *n, PacketIn *packets, unsigned max) {
        return -EBADFD;
}

static void test_interface_gone(void **state) {
        PAIR(p, AF_INET);
        Build ab = packet(&p.a, &p.b, (const uint8_t *) "x", 1);
        const NetifOps *good = p.a.netif->ops;
        NetifOps ops = *good;
        uint64_t wakeups;

        ops.read_batch = gone_read;
        assert_int_equal(dataplane_remove_network(p.a.d, mesh_of(&p.a)), 0);
        p.a.netif->ops = &ops;
        assert_int_equal(
                        dataplane_add_network(
                                        p.a.d, &(DataplaneNetwork){ mesh_of(&p.a), p.a.netif,
                                                                    p.a.routes, &p.a.drops }),
                        0);
        app_send(&p.a, &ab, 0);
        dispatch_until(&p.a, "x");
        assert_int_equal(p.a.error, -EBADFD);
        /* Readable as it is, it does not keep the thread awake: time for thousands of turns. */
        wakeups = dataplane_stats(p.a.d).wakeups;
        g_usleep(20 * USEC_PER_MSEC);
        assert_int_equal(dataplane_remove_socket(p.a.d, -1), -ENOENT);
        assert_int_equal(dataplane_remove_socket(p.a.d, -1), -ENOENT);
        assert_in_range(dataplane_stats(p.a.d).wakeups - wakeups, 1, 10);
        assert_int_equal(dataplane_remove_network(p.a.d, mesh_of(&p.a)), 0);
        p.a.netif->ops = good;
}

static void test_unreachable_endpoint(void **state) {
        uint8_t payload[4000] = {};
        PAIR(p, AF_INET);
        Build ab = packet(&p.a, &p.b, payload, sizeof payload);

        /* Not an address loopback sends to; and a family there is no socket for. */
        assert_int_equal(endpoint_parse("203.0.113.1:7", 0, &p.a.tx.endpoint), 0);
        pair_connect(&p);
        app_send(&p.a, &ab, 1000);
        for (unsigned i = 0; i < GIVE_UP_MS && drop_counter(&p.a.drops, DROP_SEND_FAILED) < 4; i++)
                g_usleep(1000);
        assert_int_equal(drop_counter(&p.a.drops, DROP_SEND_FAILED), 4);
}

/* Where the kernel or a device does not cut, trains leave datagram by datagram; a refused one
 * does not hold up the rest. */
static void test_trains_without_segmentation(void **state) {
        for (unsigned with = 0; with < 2; with++) {
                PAIR(p, AF_INET);
                uint8_t data[300] = {};
                TxTrain train[3] = {};
                UdpReceived received[UDP_RECEIVE_MAX];
                UdpReceiver *r = udp_receiver_new();
                DropCounters drops = {};
                UdpStats stats = {};
                unsigned got = 0;
                UdpSocket s;

                assert_int_equal(dataplane_remove_socket(p.a.d, p.a.fd), 0);
                assert_int_equal(dataplane_remove_socket(p.b.d, p.b.fd), 0);
                assert_int_equal(udp_socket_init(&s, p.a.fd), 0);
                s.segment = with;
                for (unsigned i = 0; i < 3; i++) {
                        train[i] = (TxTrain){ .to = p.b.endpoint,
                                              .drops = &drops,
                                              .segment = 100,
                                              .n = 3,
                                              .len = 250,
                                              .n_iov = 1 };
                        train[i].iov[0] = (struct iovec){ data, 250 };
                }
                assert_int_equal(endpoint_parse("203.0.113.1", 7, &train[1].to), 0);
                udp_socket_send(&s, train, 3, &stats);
                assert_int_equal(drop_counter(&drops, DROP_SEND_FAILED), 3);
                assert_int_equal(udp_socket_init(&s, p.b.fd), 0);
                while (got < 500) {
                        struct pollfd fd = { .fd = p.b.fd, .events = POLLIN };
                        int n;

                        assert_int_equal(poll(&fd, 1, GIVE_UP_MS), 1);
                        n = udp_socket_receive(&s, r, received, &stats, &drops);
                        for (int i = 0; i < n; i++) {
                                got += (unsigned) received[i].len;
                                assert_true(endpoint_equal(received[i].from, &p.a.endpoint));
                                assert_true(received[i].len == 50 || received[i].segment == 100);
                        }
                }
                assert_int_equal(got, 500);
                udp_receiver_free(r);
                assert_int_equal(dataplane_add_socket(p.a.d, p.a.fd), 0);
                assert_int_equal(dataplane_add_socket(p.b.d, p.b.fd), 0);
        }
}

/* Takes @bytes of datagrams. Return: how many came as a train: this kernel hands one on whole where
 * the sender left it to the kernel to cut. */
static unsigned receive_trains(int fd, unsigned bytes) {
        UdpReceived received[UDP_RECEIVE_MAX];
        UdpReceiver *r = udp_receiver_new();
        DropCounters drops = {};
        UdpSocket s = { .fd = fd };
        UdpStats stats = {};
        unsigned trains = 0;

        while (bytes > 0) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                int n;

                assert_int_equal(poll(&p, 1, GIVE_UP_MS), 1);
                n = udp_socket_receive(&s, r, received, &stats, &drops);
                for (int i = 0; i < n; i++) {
                        trains += received[i].len > received[i].segment;
                        assert_in_range(received[i].len, 1, bytes);
                        bytes -= (unsigned) received[i].len;
                }
        }
        udp_receiver_free(r);
        return trains;
}

static Endpoint receive_one(int fd, UdpReceiver *r, unsigned *ret_n) {
        UdpReceived received[UDP_RECEIVE_MAX];
        struct pollfd p = { .fd = fd, .events = POLLIN };
        UdpSocket s = { .fd = fd };
        DropCounters drops = {};
        UdpStats stats = {};
        int n;

        assert_int_equal(poll(&p, 1, GIVE_UP_MS), 1);
        n = udp_socket_receive(&s, r, received, &stats, &drops);
        assert_in_range(n, 1, UDP_RECEIVE_MAX);
        *ret_n = 0;
        for (int i = 0; i < n; i++)
                *ret_n +=
                                (unsigned) ((received[i].len + received[i].segment - 1) /
                                            received[i].segment);
        return *received[0].from;
}

static void bind_any(int *ret_fd, Endpoint *ret, UdpSocket *ret_socket, int family) {
        socklen_t len = sizeof *ret;

        *ret = (Endpoint){ .sa.sa_family = (sa_family_t) family };
        *ret_fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_true(*ret_fd >= 0);
        assert_int_equal(bind(*ret_fd, &ret->sa, endpoint_len(ret)), 0);
        assert_int_equal(getsockname(*ret_fd, &ret->sa, &len), 0);
        assert_int_equal(udp_socket_init(ret_socket, *ret_fd), 0);
}

static TxTrain train_to(const Endpoint *to, unsigned n, uint8_t *data, DropCounters *drops) {
        TxTrain t = { .to = *to, .drops = drops, .segment = 100, .n = (uint16_t) n };

        t.len = 100 * n;
        t.n_iov = 1;
        t.iov[0] = (struct iovec){ data, t.len };
        return t;
}

/* To whom trains are lost they are not sent; to others they are, in the same batch. */
static void test_single(void **state) {
        static const struct {
                const char *order; /* t: a train, s: one that is to leave singly, d: one datagram */
                unsigned trains, sends;
        } cases[] = {
                { "t", 1, 1 },   { "s", 0, 1 },     { "d", 0, 1 },     { "ts", 1, 2 },
                { "st", 1, 2 },  { "tst", 2, 3 },   { "ttdtt", 4, 1 }, { "ss", 0, 2 },
                { "dsd", 0, 3 }, { "ttstt", 4, 3 },
        };
        uint8_t data[400] = {};
        DropCounters drops = {};
        UdpSocket us, them;
        Endpoint our, their;
        int our_fd, their_fd;

        bind_any(&our_fd, &our, &us, AF_INET);
        bind_any(&their_fd, &their, &them, AF_INET);
        assert_int_equal(endpoint_parse("127.0.0.1", endpoint_port(&their), &their), 0);
        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                TxTrain trains[TX_TRAINS_MAX];
                UdpStats stats = {};
                unsigned n = 0, bytes = 0;

                for (const char *p = cases[i].order; *p; p++, n++) {
                        trains[n] = train_to(&their, *p == 'd' ? 1 : 4, data, &drops);
                        trains[n].single = *p == 's';
                        bytes += trains[n].len;
                }
                udp_socket_send(&us, trains, n, &stats);
                assert_int_equal(receive_trains(their_fd, bytes), cases[i].trains);
                assert_int_equal(stats.sends, cases[i].sends);
        }
        assert_int_equal(drop_counter(&drops, DROP_SEND_FAILED), 0);
        close(our_fd);
        close(their_fd);
}

/* As the control thread asks whether trains pass: as one, from where it says; not where trains are
 * switched off, nor to what is no UDP. */
static void test_control_train(void **state) {
        PAIR(p, AF_INET);
        uint8_t data[400] = {};
        Endpoint to, our, from = {};
        UdpSocket s;
        int fd;

        bind_any(&fd, &our, &s, AF_INET);
        assert_int_equal(endpoint_parse("127.0.0.1", endpoint_port(&our), &to), 0);
        for (unsigned i = 0; i < 3; i++) {
                UdpReceiver *r = udp_receiver_new();
                unsigned n;

                /* Unset, ours, nobody's. */
                if (i > 0)
                        to.local = ip_from_v4(i == 1 ? 0x7f000001 : 0xcb007101);
                assert_int_equal(dataplane_send_train(p.a.d, &to, data, 100, 4), 0);
                from = receive_one(fd, r, &n);
                assert_int_equal(n, 4);
                assert_true(endpoint_equal(&from, &p.a.endpoint));
                udp_receiver_free(r);
        }
        assert_int_equal(dataplane_send_train(p.a.d, &to, data, 100, 4), 0);
        assert_int_equal(receive_trains(fd, 400), 1);
        to.transport = ENDPOINT_TCP;
        assert_int_equal(dataplane_send_train(p.a.d, &to, data, 100, 4), -EOPNOTSUPP);
        to.transport = ENDPOINT_UDP;
        to.relay = 1;
        assert_int_equal(dataplane_send_train(p.a.d, &to, data, 100, 4), -EOPNOTSUPP);
        close(fd);
}

/* Asked at @asked, a socket bound to all addresses answers from there: trains, single datagrams,
 * with and without segmentation, and from the control thread. */
static void answers_from(int family, const char *asked) {
        UdpReceiver *r = udp_receiver_new();
        uint8_t data[400] = {};
        DropCounters drops = {};
        UdpStats stats = {};
        UdpSocket us, them;
        Endpoint our, their, to, from;
        int our_fd, their_fd;
        unsigned n;

        bind_any(&our_fd, &our, &us, family);
        bind_any(&their_fd, &their, &them, family);
        assert_int_equal(endpoint_parse(asked, endpoint_port(&our), &to), 0);
        assert_int_equal(udp_socket_send_one(their_fd, &to, data, 10), 0);
        from = receive_one(our_fd, r, &n);
        assert_string_equal(ip_format(&from.local).text, asked);
        for (unsigned k = 0; k < 4; k++) {
                TxTrain t = train_to(&from, k % 2 ? 4 : 1, data, &drops);
                unsigned got = 0;

                us.segment = us.segment && k < 2;
                udp_socket_send(&us, &t, 1, &stats);
                while (got < t.n) {
                        Endpoint answer = receive_one(their_fd, r, &n);

                        assert_true(endpoint_equal(&answer, &to));
                        got += n;
                }
                assert_int_equal(got, t.n);
        }
        assert_int_equal(udp_socket_send_one(our_fd, &from, data, 10), 0);
        from = receive_one(their_fd, r, &n);
        assert_true(endpoint_equal(&from, &to));
        assert_false(ip_is_set(&us.lost));
        assert_int_equal(drop_counter(&drops, DROP_SEND_FAILED), 0);
        udp_receiver_free(r);
        close(our_fd);
        close(their_fd);
}

/* Nothing is left to the kernel: datagrams leave one by one, packets come as they were sent. */
static void test_without_offloads(void **state) {
        g_autofree uint8_t *payload = g_malloc0(13000);
        _cleanup_(pair_done) Pair p;
        UdpReceiver *r = udp_receiver_new();
        UdpReceived got[UDP_RECEIVE_MAX];
        DropCounters drops = {};
        UdpStats stats = {};
        UdpSocket s;
        Build ba;

        pair_init(&p, AF_INET, true);
        pair_connect(&p);
        ba = packet(&p.b, &p.a, payload, 13000);
        app_send(&p.b, &ba, 1300);
        for (unsigned i = 0; i < 10; i++) {
                g_autoptr(GBytes) one = received(&p.a);

                assert_int_equal(g_bytes_get_size(one), 1300 + 28);
        }
        assert_int_equal(dataplane_remove_socket(p.a.d, p.a.fd), 0);
        assert_int_equal(udp_socket_init(&s, p.a.fd), 0);
        app_send(&p.b, &ba, 1300);
        for (int left = 10; left > 0;) {
                struct pollfd fd = { .fd = p.a.fd, .events = POLLIN };
                int n;

                assert_int_equal(poll(&fd, 1, GIVE_UP_MS), 1);
                n = udp_socket_receive(&s, r, got, &stats, &drops);
                for (int i = 0; i < n; i++)
                        assert_int_equal(got[i].len, 1300 + 28 + DATA_OVERHEAD);
                left -= n;
        }
        udp_receiver_free(r);
}

static void test_answers_from_where_it_was_asked(void **state) {
        answers_from(AF_INET, "127.0.0.9");
        answers_from(AF_INET6, "::1");
}

/* An address we do not have: what was to leave from there leaves, whatever is with it in the
 * batch, and it is said. What fails for another reason is not the address' fault. */
static void test_lost_local_address(void **state) {
        static const struct {
                int family;
                const char *to, *local, *bad;
        } cases[] = {
                { AF_INET, "127.0.0.1", "203.0.113.9", "203.0.113.1" },
                { AF_INET6, "::1", "2001:db8::9", "ff02::1" },
        };

        for (unsigned i = 0; i < 2 * ELEMENTSOF(cases); i++) {
                UdpReceiver *r = udp_receiver_new();
                int family = cases[i / 2].family, our_fd, their_fd;
                Endpoint our, their, to, gone, bad;
                DropCounters drops = {};
                uint8_t data[400] = {};
                UdpStats stats = {};
                UdpSocket us, them;
                unsigned n, got = 0;
                TxTrain t[3];

                bind_any(&our_fd, &our, &us, family);
                bind_any(&their_fd, &their, &them, family);
                us.segment = us.segment && i % 2 == 0;
                assert_int_equal(endpoint_parse(cases[i / 2].to, endpoint_port(&their), &to), 0);
                gone = to;
                assert_int_equal(ip_parse(cases[i / 2].local, &gone.local), 0);
                t[0] = train_to(&to, 1, data, &drops);
                t[1] = train_to(&gone, 4, data, &drops);
                t[2] = train_to(&gone, 1, data, &drops);
                udp_socket_send(&us, t, ELEMENTSOF(t), &stats);
                for (; got < 6; got += n) {
                        Endpoint from = receive_one(their_fd, r, &n);

                        assert_int_equal(endpoint_port(&from), endpoint_port(&our));
                }
                assert_int_equal(got, 6);
                assert_int_equal(drop_counter(&drops, DROP_SEND_FAILED), 0);
                assert_string_equal(ip_format(&us.lost).text, cases[i / 2].local);
                assert_int_equal(udp_socket_send_one(our_fd, &gone, data, 10), 0);
                (void) receive_one(their_fd, r, &n);
                /* Nowhere at all. */
                us.lost = (IpAddr){};
                assert_int_equal(endpoint_parse(cases[i / 2].bad, 0, &bad), 0);
                bad.local = gone.local;
                t[0] = train_to(&bad, 1, data, &drops);
                udp_socket_send(&us, t, 1, &stats);
                assert_int_equal(drop_counter(&drops, DROP_SEND_FAILED), 1);
                assert_false(ip_is_set(&us.lost));
                udp_receiver_free(r);
                close(our_fd);
                close(their_fd);
        }
}

/* The packet thread says so, once for all it sends in a while. */
static void test_control_thread_is_told(void **state) {
        PAIR(p, AF_INET);
        uint8_t payload[4000] = {};
        Build ab = packet(&p.a, &p.b, payload, sizeof payload);

        assert_int_equal(ip_parse("203.0.113.9", &p.a.tx.endpoint.local), 0);
        pair_connect(&p);
        app_send(&p.a, &ab, 1000);
        expect_something(&p.b);
        dispatch_until(&p.a, "l");
        assert_int_equal(drop_counter(&p.a.drops, DROP_SEND_FAILED), 0);
}

static void test_limits(void **state) {
        int fds[6];
        PAIR(p, AF_INET);
        unsigned n = 0;

        for (unsigned i = 0; i < ELEMENTSOF(fds); i++) {
                Endpoint any = { .in.sin_family = AF_INET };

                fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                assert_int_equal(bind(fds[i], &any.sa, sizeof any.in), 0);
                n += dataplane_add_socket(p.a.d, fds[i]) == 0;
        }
        assert_int_equal(n, 3);
        for (unsigned i = 0; i < ELEMENTSOF(fds); i++) {
                assert_int_equal(dataplane_remove_socket(p.a.d, fds[i]), i < n ? 0 : -ENOENT);
                close(fds[i]);
        }
        assert_int_equal(
                        dataplane_add_network(
                                        p.a.d, &(DataplaneNetwork){ mesh_of(&p.a), p.a.netif,
                                                                    p.a.routes, &p.a.drops }),
                        -EEXIST);
        assert_int_equal(dataplane_remove_network(p.a.d, mesh_of(&n)), -ENOENT);
        assert_true(dataplane_add_socket(p.a.d, 0x7fff) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_exchange_v4),
                cmocka_unit_test(test_exchange_v6),
                cmocka_unit_test(test_pending_and_flush),
                cmocka_unit_test(test_control_sends),
                cmocka_unit_test(test_retire),
                cmocka_unit_test(test_retire_with_pending),
                cmocka_unit_test(test_busy),
                cmocka_unit_test(test_interface_gone),
                cmocka_unit_test(test_unreachable_endpoint),
                cmocka_unit_test(test_trains_without_segmentation),
                cmocka_unit_test(test_single),
                cmocka_unit_test(test_control_train),
                cmocka_unit_test(test_without_offloads),
                cmocka_unit_test(test_answers_from_where_it_was_asked),
                cmocka_unit_test(test_lost_local_address),
                cmocka_unit_test(test_control_thread_is_told),
                cmocka_unit_test(test_limits),
        };

        if (aead_setup() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
