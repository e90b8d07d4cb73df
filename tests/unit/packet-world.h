/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Two machines of one network, 10.0.0.5 and 10.0.0.10, each with a packet router, a mock
 * interface and keys, joined by a wire that a test may look into. One thread, no sockets.
 */

#include "base/macros.h"
#include "base/timer.h"
#include "dataplane/packet-router.h"
#include "dataplane/packet.h"
#include "netif/mock.h"
#include "packet-build.h"

#define WORLD_MTU 1420U
#define WORLD_WIRE_MAX 4096U

typedef struct Datagram {
        uint8_t *data;
        size_t len;
} Datagram;

typedef struct Machine {
        uint32_t address;
        Endpoint endpoint;
        Netif *netif;
        IndexTable *indices;
        RouteTable *routes;
        MeshEnv env;
        DropCounters drops, daemon_drops;
        PacketPeer peer; /* the other one, as this one sees it */
        PacketTx tx;
        Keypair *keypair;
        PacketRouter *router;
        RouterNetwork *network;
        /* What its router said. */
        GQueue wire;      /* Datagram: sent, not yet delivered */
        unsigned singles; /* trains that are to leave datagram by datagram */
        unsigned trains, frames, datagrams, arrivals, wants, failures, refusals, sent;
        Endpoint last_to;
        size_t last_frame_len;
        Endpoint last_from;
        bool control_full; /* messages are refused */
        bool broken;       /* has no interface */
} Machine;

typedef struct World {
        usec_t now;
        Machine a, b;
} World;

static inline void machine_send(void *userdata, const TxTrain *trains, unsigned n) {
        Machine *m = userdata;

        for (unsigned i = 0; i < n; i++) {
                TxCursor c = {};
                struct iovec v;

                m->trains++;
                m->singles += trains[i].single;
                m->last_to = trains[i].to;
                while (tx_train_next(&trains[i], &c, &v)) {
                        Datagram *d = NEW(Datagram);

                        *d = (Datagram){ g_memdup2(v.iov_base, v.iov_len), v.iov_len };
                        g_queue_push_tail(&m->wire, d);
                }
        }
}
static inline bool
machine_datagram(void *userdata, const uint8_t *data, size_t len, const Endpoint *from) {
        Machine *m = userdata;

        m->datagrams += !m->control_full;
        return !m->control_full;
}
static inline DropReason
machine_frame(void *userdata, Keypair *kp, const uint8_t *frame, size_t len, const Endpoint *from) {
        Machine *m = userdata;

        m->frames += !m->control_full;
        m->last_frame_len = len;
        return m->control_full ? DROP_CONTROL_OVERFLOW : DROP_NONE;
}
static inline bool machine_arrival(void *userdata, Keypair *kp, const Endpoint *from) {
        Machine *m = userdata;

        m->arrivals += !m->control_full;
        m->last_from = *from;
        return !m->control_full;
}
static inline bool machine_want_session(void *userdata, PacketPeer *peer) {
        Machine *m = userdata;

        m->wants += !m->control_full;
        return !m->control_full;
}
static inline bool machine_sent(void *userdata, PacketPeer *peer) {
        Machine *m = userdata;

        m->sent += !m->control_full;
        return !m->control_full;
}
static inline void machine_failed(void *userdata, Netif *netif, int error) {
        ((Machine *) userdata)->failures++;
}

static inline void machine_refused(void *userdata, Netif *netif) {
        ((Machine *) userdata)->refusals++;
}

static inline void world_retire(void *userdata, void *object, void (*destroy)(void *object)) {
        destroy(object);
}
static inline usec_t world_now(void *userdata) {
        return ((World *) userdata)->now;
}

static inline IpPrefix world_host(uint32_t address, bool v6) {
        IpPrefix p = { .addr = ip_from_v4(address), .len = 32 };

        if (v6) {
                p = (IpPrefix){ .addr.family = AF_INET6, .len = 128 };
                build_address6(p.addr.bytes, address);
        }
        return p;
}

/* The packet path compares it, no more: the address of anything is one. */
static inline struct Mesh *mesh_of(void *anything) {
        return anything;
}

static inline void machine_init(World *w, Machine *m, uint32_t address, uint32_t other, unsigned n) {
        uint8_t keys[2][32];
        const PacketSink sink = {
                .userdata = m,
                .send = machine_send,
                .datagram = machine_datagram,
                .frame = machine_frame,
                .arrival = machine_arrival,
                .want_session = machine_want_session,
                .sent = machine_sent,
                .failed = machine_failed,
                .refused = machine_refused,
        };
        const IpPrefix subnet = { .addr = ip_from_v4(0x0a000000), .len = 16 };
        DataplaneNetwork network;
        IpPrefix p;

        m->address = address;
        m->endpoint.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(7000) };
        m->endpoint.in.sin_addr.s_addr = htonl(0xc0000200 + n);
        m->netif = mock_netif_new(n == 1 ? "a" : "b");
        m->indices = index_table_new();
        m->env = (MeshEnv){
                .userdata = w, .timers = timer_queue_new(), .now = world_now, .retire = world_retire
        };
        assert_int_equal(route_table_new(&m->env, &subnet, &m->routes), 0);
        for (unsigned six = 0; six < 2; six++) {
                p = world_host(address, six);
                assert_int_equal(route_table_set_local(m->routes, &p), 0);
                p = world_host(other, six);
                assert_int_equal(route_table_set(m->routes, &p, &m->peer), 0);
        }
        route_table_flush(m->routes);
        memset(keys[0], 1, 32);
        memset(keys[1], 2, 32);
        m->keypair = keypair_new(CIPHER_CHACHA20_POLY1305, keys[n - 1], keys[2 - n], n == 1, w->now);
        assert_int_equal(
                        index_table_reserve(
                                        m->indices, (uint16_t) n, mesh_of(m),
                                        &m->keypair->local_index),
                        0);
        m->keypair->remote_index = (3 - n) << 16;
        m->keypair->peer = &m->peer;
        index_table_bind(m->indices, m->keypair);
        m->tx = (PacketTx){ .keypair = m->keypair, .mtu = WORLD_MTU };
        m->peer.mesh = mesh_of(m);
        m->peer.tx = &m->tx;
        m->peer.accept = true;
        m->router = packet_router_new(&sink, m->indices, &m->daemon_drops);
        network = (DataplaneNetwork){ mesh_of(m), m->netif, m->routes, &m->drops };
        assert_int_equal(packet_router_add_network(m->router, &network, &m->network), 0);
}

static inline void world_init(World *w) {
        *w = (World){ .now = 1000 * USEC_PER_SEC };
        machine_init(w, &w->a, 0x0a000005, 0x0a00000a, 1);
        machine_init(w, &w->b, 0x0a00000a, 0x0a000005, 2);
        w->a.tx.endpoint = w->b.endpoint;
        w->b.tx.endpoint = w->a.endpoint;
}

static inline void datagram_free(void *data) {
        g_free(((Datagram *) data)->data);
        g_free(data);
}

static inline void machine_done(Machine *m) {
        packet_router_free(m->router);
        g_queue_clear_full(&m->wire, datagram_free);
        netif_free(m->netif);
        route_table_free(m->routes);
        index_table_free(m->indices);
        keypair_free(m->keypair);
        timer_queue_free(m->env.timers);
}
static inline void world_done(World *w) {
        machine_done(&w->a);
        machine_done(&w->b);
}

/* One turn: what the interface has goes out. */
static inline usec_t world_egress(World *w, Machine *m) {
        PacketIn packets[64];
        int n;

        packet_router_begin(m->router, w->now);
        while ((n = m->netif->ops->read_batch(m->netif, packets, ELEMENTSOF(packets))) > 0)
                packet_router_egress(m->router, m->network, packets, (unsigned) n);
        return packet_router_end(m->router);
}

/* One turn: one datagram comes in. */
static inline void
world_datagram(World *w, Machine *to, const Endpoint *from, const uint8_t *data, size_t len) {
        g_autofree uint8_t *copy = g_memdup2(data, len);

        packet_router_begin(to->router, w->now);
        packet_router_ingress(to->router, copy, len, len, from);
        (void) packet_router_end(to->router);
}

/* One turn: what @from has on the wire arrives, in receive buffers as UDP_GRO makes them.
 * Return: how many datagrams. */
static inline unsigned world_deliver(World *w, Machine *from, Machine *to) {
        g_autoptr(GPtrArray) kept = g_ptr_array_new_with_free_func(g_free);
        unsigned n = 0;

        packet_router_begin(to->router, w->now);
        while (!g_queue_is_empty(&from->wire)) {
                size_t segment = ((Datagram *) g_queue_peek_head(&from->wire))->len, len = 0;
                uint8_t *buf = g_malloc(65536);
                Datagram *d;

                while ((d = g_queue_peek_head(&from->wire)) && d->len <= segment &&
                       len + d->len <= 65536 && len % segment == 0) {
                        memcpy(buf + len, d->data, d->len);
                        len += d->len;
                        n++;
                        datagram_free(g_queue_pop_head(&from->wire));
                }
                packet_router_ingress(to->router, buf, len, segment, &from->endpoint);
                g_ptr_array_add(kept, buf);
        }
        (void) packet_router_end(to->router);
        return n;
}

static inline Build world_build(const Machine *from, const Machine *to) {
        static const uint8_t text[] = "packet of the tests, long enough to be looked at";

        return (Build){
                .udp = true,
                .source = from->address,
                .destination = to->address,
                .sport = 40000,
                .dport = 53,
                .ttl = 64,
                .df = true,
                .id = 9,
                .flags = 0x10,
                .window = 500,
                .payload = text,
                .payload_len = sizeof text,
                .csum = BUILD_PARTIAL,
        };
}

/* A local program of @m sends this; @gso_size 0: one packet. */
static inline void world_app_send(Machine *m, const Build *b, size_t gso_size) {
        g_autofree uint8_t *buf = g_malloc(BUILD_MAX);
        OffloadInfo o = b->csum == BUILD_PARTIAL ? build_offload(b, gso_size) : (OffloadInfo){};

        mock_netif_app_send(m->netif, buf, build_packet(b, buf), &o);
}

/* The next packet delivered to @m is @b. */
static inline void world_expect(Machine *m, const Build *b, size_t gso_size) {
        g_autofree uint8_t *buf = g_malloc(BUILD_MAX);
        g_autoptr(GBytes) got = NULL;
        OffloadInfo o;

        got = mock_netif_app_received(m->netif, &o);
        assert_non_null(got);
        assert_int_equal(g_bytes_get_size(got), build_packet(b, buf));
        assert_memory_equal(g_bytes_get_data(got, NULL), buf, g_bytes_get_size(got));
        assert_int_equal(o.needs_csum, b->csum == BUILD_PARTIAL);
        assert_int_equal(o.gso_size, gso_size);
}
static inline void world_expect_nothing(Machine *m) {
        assert_null(mock_netif_app_received(m->netif, NULL));
}
