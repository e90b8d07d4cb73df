/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two machines that reach each other through a third, whose packet router passes trains on. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/wire/relayed.h"
#include "packet-world.h"

#define NUMBER_A 0x0a0a0a0aU
#define NUMBER_B 0x0b0b0b0bU

/* What the relay's router sent: trains as they were handed over. */
typedef struct Relay {
        RelayTable *table;
        PacketRouter *router;
        DropCounters drops;
        RelayShare share[2]; /* of A and B */
        RelayUse use;
        uint32_t number[2];
        Endpoint at;
        unsigned n_trains;
        TxTrain train[TX_TRAINS_MAX];
        unsigned n_unknown;
        Endpoint unknown;
        unsigned full; /* so many trains from now on are not sent */
        Machine *to[2];
        World *world;
} Relay;

static void on_send(void *userdata, const TxTrain *trains, unsigned n) {
        Relay *r = userdata;

        for (unsigned i = 0; i < n; i++) {
                assert_true(r->n_trains < TX_TRAINS_MAX);
                r->train[r->n_trains++] = trains[i];
                if (r->full > 0) {
                        r->full--;
                        drop_count_n(trains[i].drops, DROP_SEND_FAILED, trains[i].n);
                }
        }
}
static bool on_datagram(void *userdata, const uint8_t *data, size_t len, const Endpoint *from) {
        return true;
}
static bool on_unknown(void *userdata, const Endpoint *from) {
        Relay *r = userdata;

        r->n_unknown++;
        r->unknown = *from;
        return true;
}

static void publish(Relay *r, unsigned side, const Machine *from, const Machine *to) {
        RelayRoute *route = NEW(RelayRoute);

        *route = (RelayRoute){
                .number = r->number[side],
                .n_from = 1,
                .from = { from->endpoint },
                .to = to->endpoint,
                .share = &r->share[side],
                .use = &r->use,
        };
        route->to.relay = r->number[!side];
        g_free(relay_table_publish(r->table, r->number[side], route));
}

static void relay_init(Relay *r, World *w) {
        const PacketSink sink = {
                .userdata = r, .send = on_send, .datagram = on_datagram, .relay_unknown = on_unknown
        };

        *r = (Relay){ .table = relay_table_new(), .world = w };
        r->router = packet_router_new(&sink, w->a.indices, &r->drops);
        packet_router_set_relays(r->router, r->table);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(relay_table_reserve(r->table, NUMBER_A + i, &r->number[i]), 0);
                r->share[i].rate = RELAY_BYTES_PER_SEC;
                r->share[i].burst = RELAY_BURST_BYTES;
        }
        publish(r, 0, &w->a, &w->b);
        publish(r, 1, &w->b, &w->a);
        assert_int_equal(endpoint_parse("198.51.100.1:18002", 0, &r->at), 0);
        w->a.tx.endpoint = r->at;
        w->a.tx.endpoint.relay = r->number[0];
        w->b.tx.endpoint = r->at;
        w->b.tx.endpoint.relay = r->number[1];
}

static void relay_done(Relay *r) {
        for (unsigned i = 0; i < 2; i++)
                g_free(relay_table_publish(r->table, r->number[i], NULL));
        packet_router_free(r->router);
        relay_table_free(r->table);
}

#define WORLD(w, r)                                                                                \
        _cleanup_(world_done) World w;                                                             \
        _cleanup_(relay_done) Relay r;                                                             \
        world_init(&w);                                                                            \
        relay_init(&r, &w)

/* What @m has on the wire, in one receive buffer. The caller frees. */
static uint8_t *gather(Machine *m, size_t *ret_len, size_t *ret_segment) {
        uint8_t *buf = g_malloc(UINT16_MAX + 1);
        Datagram *d;

        *ret_len = *ret_segment = 0;
        while ((d = g_queue_pop_head(&m->wire))) {
                if (*ret_segment == 0)
                        *ret_segment = d->len;
                memcpy(buf + *ret_len, d->data, d->len);
                *ret_len += d->len;
                datagram_free(d);
        }
        return buf;
}

static void give(Relay *r, uint8_t *data, size_t len, size_t segment, const Endpoint *from) {
        r->n_trains = 0;
        packet_router_begin(r->router, r->world->now);
        packet_router_ingress(r->router, data, len, segment, from);
        (void) packet_router_end(r->router);
}

/* The trains arrive at @to as they are. */
static void deliver(Relay *r, Machine *to) {
        packet_router_begin(to->router, r->world->now);
        for (unsigned i = 0; i < r->n_trains; i++)
                for (unsigned k = 0; k < r->train[i].n_iov; k++)
                        packet_router_ingress(
                                        to->router, r->train[i].iov[k].iov_base,
                                        r->train[i].iov[k].iov_len, r->train[i].segment, &r->at);
        (void) packet_router_end(to->router);
}

#define assert_drops(r, reason, n) assert_int_equal(drop_counter(&(r).drops, reason), n)

/* A super-packet goes out as one train, is passed on as one from the same memory, and comes out of
 * the other interface as it went in. */
static void test_train(void **state) {
        WORLD(w, r);
        g_autofree uint8_t *payload = g_malloc0(20000), *buf = NULL;
        Build b = world_build(&w.a, &w.b);
        size_t len, segment;

        b.udp = false;
        b.payload = payload;
        b.payload_len = 20000;
        w.b.keypair->confirmed = true;
        world_app_send(&w.a, &b, 1300);
        world_egress(&w, &w.a);
        assert_int_equal(w.a.trains, 1);
        buf = gather(&w.a, &len, &segment);
        assert_int_equal(relayed_allocation(buf), r.number[0]);
        give(&r, buf, len, segment, &w.a.endpoint);
        assert_int_equal(r.n_trains, 1);
        assert_int_equal(r.train[0].n_iov, 1);
        assert_ptr_equal(r.train[0].iov[0].iov_base, buf); /* not copied */
        assert_int_equal(r.train[0].len, len);
        assert_int_equal(r.train[0].segment, segment);
        assert_int_equal(r.train[0].n, 16);
        assert_true(endpoint_equal(&r.train[0].to, &w.b.tx.endpoint) ||
                    endpoint_same_address(&r.train[0].to, &w.b.endpoint));
        for (size_t at = 0; at < len; at += segment)
                assert_int_equal(relayed_allocation(buf + at), r.number[1]);
        assert_int_equal(r.use.datagrams, 16);
        assert_int_equal(r.use.bytes, len - 16 * RELAY_HEADER_SIZE);
        assert_true(r.use.last == w.now);
        deliver(&r, &w.b);
        world_expect(&w.b, &b, 1300);
        /* From where it answers, so nothing is news. */
        assert_int_equal(w.b.arrivals, 0);
}

/* Datagrams of several numbers in one buffer, as UDP_GRO puts them together, leave apart, each in
 * its order; what is for the relay itself, or nobody, is not passed on. */
static void test_mixed_buffer(void **state) {
        WORLD(w, r);
        uint8_t buf[6 * 100] = {};
        static const unsigned order[] = { 0, 0, 1, 0, 2, 0 };
        Endpoint both = w.a.endpoint;

        w.b.endpoint = both; /* two machines behind one translator */
        publish(&r, 1, &w.b, &w.a);
        for (unsigned i = 0; i < 6; i++) {
                uint8_t *d = buf + (size_t) i * 100;

                relayed_write(d, order[i] < 2 ? r.number[order[i]] : 77);
                d[RELAY_HEADER_SIZE] = MESSAGE_DATA;
                d[99] = (uint8_t) i;
        }
        give(&r, buf, sizeof buf, 100, &both);
        assert_int_equal(r.n_trains, 2);
        assert_int_equal(r.train[0].n, 4);
        assert_int_equal(r.train[0].n_iov, 3);
        assert_ptr_equal(r.train[0].iov[0].iov_base, buf);
        assert_int_equal(r.train[0].iov[0].iov_len, 200);
        assert_ptr_equal(r.train[0].iov[1].iov_base, buf + 300);
        assert_ptr_equal(r.train[0].iov[2].iov_base, buf + 500);
        assert_int_equal(r.train[1].n, 1);
        assert_int_equal(relayed_allocation(buf + 200), r.number[0]);
        assert_int_equal(relayed_allocation(buf + 400), 77);
        assert_drops(r, DROP_RELAY_UNKNOWN, 1);
        assert_int_equal(r.n_unknown, 1);
        assert_int_equal(r.unknown.relay, 77);
        assert_true(endpoint_same_address(&r.unknown, &both));
}

static void test_forged(void **state) {
        WORLD(w, r);
        uint8_t buf[100] = {};

        /* From elsewhere than where A is: B's place is no better than any other. */
        relayed_write(buf, r.number[0]);
        buf[RELAY_HEADER_SIZE] = MESSAGE_DATA;
        give(&r, buf, sizeof buf, sizeof buf, &w.b.endpoint);
        assert_int_equal(r.n_trains, 0);
        assert_drops(r, DROP_RELAY_SOURCE, 1);
        /* Inside another one, of no known type, with a flag, of number 0, empty. */
        buf[RELAY_HEADER_SIZE] = MESSAGE_RELAYED;
        give(&r, buf, sizeof buf, sizeof buf, &w.a.endpoint);
        buf[RELAY_HEADER_SIZE] = 6;
        give(&r, buf, sizeof buf, sizeof buf, &w.a.endpoint);
        buf[RELAY_HEADER_SIZE] = MESSAGE_DATA;
        buf[1] = 1;
        give(&r, buf, sizeof buf, sizeof buf, &w.a.endpoint);
        relayed_write(buf, 0);
        give(&r, buf, sizeof buf, sizeof buf, &w.a.endpoint);
        relayed_write(buf, r.number[0]);
        give(&r, buf, RELAY_HEADER_SIZE, RELAY_HEADER_SIZE, &w.a.endpoint);
        assert_int_equal(r.n_trains, 0);
        assert_drops(r, DROP_MALFORMED, 5);
        assert_int_equal(r.use.datagrams, 0);
}

static void send_bytes(Relay *r, unsigned side, size_t len) {
        g_autofree uint8_t *buf = g_malloc0(len);
        Machine *m = side == 0 ? &r->world->a : &r->world->b;

        relayed_write(buf, r->number[side]);
        buf[RELAY_HEADER_SIZE] = MESSAGE_DATA;
        give(r, buf, len, len, &m->endpoint);
}

static void test_budget(void **state) {
        WORLD(w, r);

        r.share[0].rate = 1000;
        r.share[0].burst = 2000;
        send_bytes(&r, 0, 1000);
        send_bytes(&r, 0, 1000);
        send_bytes(&r, 0, 1000);
        assert_int_equal(r.n_trains, 0);
        assert_drops(r, DROP_RELAY_BUDGET, 1);
        /* The other's is its own. */
        send_bytes(&r, 1, 1000);
        assert_int_equal(r.n_trains, 1);
        w.now += USEC_PER_SEC / 2;
        send_bytes(&r, 0, 400);
        assert_int_equal(r.n_trains, 1);
        send_bytes(&r, 0, 1000);
        assert_int_equal(r.n_trains, 0);
}

/* A sends ten times what B sends, and the line has room for half of it all. */
static void test_share(void **state) {
        WORLD(w, r);
        unsigned sent[2] = {}, passed[2] = {};

        for (unsigned window = 0; window < 100; window++) {
                size_t room = 500000;

                for (unsigned i = 0; i < 22; i++) {
                        unsigned side = i % 11 == 10;

                        r.full = room < 50000;
                        send_bytes(&r, side, 50000);
                        sent[side] += window >= 50;
                        if (r.n_trains > 0 && room >= 50000) {
                                passed[side] += window >= 50;
                                room -= 50000;
                        }
                }
                w.now += 20 * USEC_PER_MSEC;
        }
        assert_int_equal(sent[1], 100);
        assert_true(passed[1] >= 90);
        /* And what B leaves is A's. */
        assert_true(passed[0] >= 300);
        assert_true(drop_counter(&r.drops, DROP_RELAY_SHARE) > 0);
}

/* The datagram inside, where @d goes by a relay, and by which of its numbers; 0: directly. */
static const uint8_t *inner_of(const Datagram *d, size_t *ret_len, uint32_t *ret_number) {
        bool relayed = d->data[0] == MESSAGE_RELAYED;

        *ret_number = relayed ? relayed_allocation(d->data) : 0;
        *ret_len = d->len - (relayed ? RELAY_HEADER_SIZE : 0);
        return d->data + (relayed ? RELAY_HEADER_SIZE : 0);
}

/* A path in doubt and the other way, of which one goes by a relay or both do: the same goes there
 * and there, sealed once, also where the send buffer is full in between. */
static void test_second_way(void **state) {
        g_autofree uint8_t *payload = g_malloc(60000);

        for (unsigned i = 0; i < 60000; i++)
                payload[i] = (uint8_t) (i * 7 + i / 256);
        for (unsigned kind = 1; kind < 4; kind++) {
                g_autoptr(GHashTable) seen = g_hash_table_new(g_int64_hash, g_int64_equal);
                uint32_t numbers[2] = { kind & 1 ? 7 : 0, kind & 2 ? 9 : 0 };
                unsigned n[2] = {};
                _cleanup_(world_done) World w;
                Build b;

                world_init(&w);
                b = world_build(&w.a, &w.b);
                w.a.tx.second = w.b.endpoint;
                endpoint_set_port(&w.a.tx.second, 1234);
                w.a.tx.endpoint.relay = numbers[0];
                w.a.tx.second.relay = numbers[1];
                b.payload = payload;
                b.payload_len = 60000;
                for (unsigned i = 0; i < 4; i++)
                        world_app_send(&w.a, &b, 1000);
                world_egress(&w, &w.a);
                assert_int_equal(g_queue_get_length(&w.a.wire), 2 * 4 * 60);
                for (GList *l = w.a.wire.head; l; l = l->next) {
                        uint32_t number;
                        size_t len, other_len;
                        const uint8_t *inner = inner_of(l->data, &len, &number), *other;
                        Datagram *first;

                        assert_true(number == numbers[0] || number == numbers[1]);
                        n[number == numbers[1]]++;
                        first = g_hash_table_lookup(seen, inner + DATA_COUNTER_OFFSET);
                        if (!first) {
                                g_hash_table_insert(
                                                seen, (void *) (inner + DATA_COUNTER_OFFSET),
                                                l->data);
                                continue;
                        }
                        other = inner_of(first, &other_len, &number);
                        assert_int_equal(len, other_len);
                        assert_memory_equal(inner, other, len);
                }
                assert_int_equal(g_hash_table_size(seen), 4 * 60);
                assert_int_equal(n[0], 4 * 60);
                assert_int_equal(n[1], 4 * 60);
                assert_int_equal(atomic_load(&w.a.peer.tx_packets), 4 * 60);
        }
}

/* A machine that relays is reached through relays itself. */
static void test_for_us(void **state) {
        WORLD(w, r);
        Build b = world_build(&w.a, &w.b);
        g_autofree uint8_t *buf = NULL;
        size_t len, segment;

        packet_router_set_relays(w.b.router, r.table);
        w.a.tx.endpoint.relay = 4711;
        world_app_send(&w.a, &b, 0);
        world_egress(&w, &w.a);
        buf = gather(&w.a, &len, &segment);
        packet_router_begin(w.b.router, w.now);
        packet_router_ingress(w.b.router, buf, len, segment, &r.at);
        (void) packet_router_end(w.b.router);
        world_expect(&w.b, &b, 0);
        /* It came another way than it goes back. */
        assert_int_equal(w.b.arrivals, 1);
        assert_int_equal(w.b.last_from.relay, 4711);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_train),  cmocka_unit_test(test_mixed_buffer),
                cmocka_unit_test(test_forged), cmocka_unit_test(test_budget),
                cmocka_unit_test(test_share),  cmocka_unit_test(test_second_way),
                cmocka_unit_test(test_for_us),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
