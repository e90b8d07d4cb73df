/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim-mesh-assert.h"

/* --- connecting --- */

static void test_two_connect(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        _cleanup_(answer_clear) Answer answer = {}, refused = {}, nobody = {};
        ChannelProvider *p;

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "hello"), 0);
        assert_true(test_wait_up(a, b, SEC));
        sim_run_for(t->sim, SEC);
        assert_int_equal(b->messages->len, 1);
        assert_message(b, 0, "hello");
        assert_int_equal(test_send(b, a, "and back"), 0);
        assert_int_equal(ask(b, a, "stressed", SEC, &answer), 0);
        assert_int_equal(ask(b, a, "fail", SEC, &refused), 0);
        sim_run_for(t->sim, SEC);
        assert_message(a, 0, "and back");
        assert_answer(&answer, "desserts");
        assert_string_equal(refused.error, "NotPermitted");
        /* What nobody serves is counted, whatever way it comes. */
        p = test_channels(b);
        assert_int_equal(p->ops->send(p->self, &a->identity->id, "nobody", "x", 1), 0);
        assert_int_equal(p->ops->send_datagram(p->self, &a->identity->id, "nobody", "x", 1), 0);
        assert_int_equal(
                        p->ops->request(p->self, &a->identity->id, "nobody", "x", 1, SEC, on_answer,
                                        &nobody, NULL),
                        0);
        sim_run_for(t->sim, SEC);
        assert_string_equal(nobody.error, "NoSuchChannel");
        assert_int_equal(test_drops(a, DROP_NO_CHANNEL), 3);
        assert_int_equal(a->ups, 1);
        assert_int_equal(b->ups, 1);
        assert_int_equal(a->downs + b->downs, 0);
}

static void test_simultaneous_open(void **state) {
        /* Several spacings of the two initiations, the first exactly at once. */
        static const usec_t later[] = { 0, 1, 5 * MSEC, 10 * MSEC, 15 * MSEC, 25 * MSEC };

        for (unsigned i = 0; i < ELEMENTSOF(later); i++) {
                _cleanup_(test_net_freep) TestNet *t = test_net_new(i + 1, 2);
                TestMachine *a = &t->machines[0], *b = &t->machines[1];

                test_net_introduce(t);
                assert_int_equal(test_send(a, b, "from a"), 0);
                sim_run_for(t->sim, later[i]);
                assert_int_equal(test_send(b, a, "from b"), 0);
                assert_true(test_wait_up(a, b, SEC));
                for (unsigned k = 0; k < 20; k++) {
                        assert_int_equal(test_send(a, b, "more"), 0);
                        assert_int_equal(test_send(b, a, "more"), 0);
                        sim_run_for(t->sim, 7 * MSEC);
                }
                sim_run_for(t->sim, SEC);
                assert_int_equal(a->messages->len, 21);
                assert_int_equal(b->messages->len, 21);
                assert_message(a, 0, "from b");
                assert_message(b, 0, "from a");
                assert_int_equal(a->restarts + b->restarts, 0);
                assert_int_equal(test_drops(a, DROP_UNKNOWN_INDEX), 0);
                assert_int_equal(test_drops(b, DROP_UNKNOWN_INDEX), 0);
                /* No timer of either side fired for it. */
                assert_int_equal(a->downs + b->downs, 0);
        }
}

static void test_unreachable(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        _cleanup_(answer_clear) Answer timed_out = {}, given_up = {};
        MachineId nobody = { .bytes = { 9 } };
        ChannelProvider *p = test_channels(a);

        test_net_introduce(t);
        test_machine_stop(b);
        assert_int_equal(ask(a, b, "anybody", 10 * SEC, &timed_out), 0);
        assert_int_equal(ask(a, b, "anybody", USEC_INFINITY, &given_up), 0);
        sim_run_for(t->sim, 10 * SEC);
        assert_string_equal(timed_out.error, "Timeout");
        assert_int_equal(given_up.n, 0);
        assert_int_equal(test_link_state(a, b), LINK_CONNECTING);
        sim_run_for(t->sim, 100 * SEC);
        assert_string_equal(given_up.error, "Unreachable");
        assert_true(a->downs > 0);
        assert_int_equal(p->ops->send(p->self, &nobody, TEST_CHANNEL, "x", 1), -ENXIO);
        assert_int_equal(p->ops->connect(p->self, &a->identity->id), -ENXIO);
        /* For the test to free. */
        test_machine_start(b, true);
}

/* --- reliable messages --- */

typedef struct Flow {
        GPtrArray *sent;
} Flow;

static void send_random(TestNet *t, TestMachine *from, TestMachine *to, GPtrArray *sent) {
        ChannelProvider *p = test_channels(from);
        /* Mostly small, some of many segments, the largest there is. */
        unsigned kind = sim_random(t->sim) % 20;
        size_t len = kind == 0  ? 60000
                     : kind < 5 ? 1 + sim_random(t->sim) % 5000
                                : 1 + sim_random(t->sim) % 50;
        uint8_t *data = g_malloc(len);
        int r;

        for (size_t i = 0; i < len; i++)
                data[i] = (uint8_t) sim_random(t->sim);
        r = p->ops->send(p->self, &to->identity->id, TEST_CHANNEL, data, len);
        if (r == -ENOBUFS) {
                g_free(data);
                return;
        }
        assert_int_equal(r, 0);
        g_ptr_array_add(sent, g_bytes_new_take(data, len));
}

static void assert_same(const GPtrArray *sent, const TestMachine *m) {
        assert_int_equal(m->messages->len, sent->len);
        for (unsigned i = 0; i < sent->len; i++)
                assert_true(g_bytes_equal(sent->pdata[i], m->messages->pdata[i]));
}

static void test_lossy(void **state) {
        for (unsigned seed = 1; seed <= 5; seed++) {
                _cleanup_(test_net_freep) TestNet *t = test_net_new(seed, 2);
                TestMachine *a = &t->machines[0], *b = &t->machines[1];
                g_autoptr(GPtrArray) from_a =
                                g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
                g_autoptr(GPtrArray) from_b =
                                g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);

                sim_set_model(t->sim, &(SimModel){ .latency = 30 * MSEC,
                                                   .jitter = 40 * MSEC,
                                                   .loss = 0.2,
                                                   .duplicate = 0.1,
                                                   .reorder = 0.1 });
                test_net_introduce(t);
                for (unsigned i = 0; i < 100; i++) {
                        send_random(t, a, b, from_a);
                        send_random(t, b, a, from_b);
                        sim_run_for(t->sim, sim_random(t->sim) % (500 * MSEC));
                }
                sim_run_for(t->sim, 120 * SEC);
                assert_same(from_a, b);
                assert_same(from_b, a);
                assert_true(from_a->len > 80);
                assert_int_equal(a->downs + b->downs, 0);
        }
}

static void test_queue_is_bounded(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        ChannelProvider *p = test_channels(a);
        g_autofree uint8_t *big = g_malloc0(CONTROL_MESSAGE_MAX);
        unsigned n = 0;
        int r;

        test_net_introduce(t);
        assert_int_equal(
                        p->ops->send(p->self, &b->identity->id, TEST_CHANNEL, big,
                                     CONTROL_MESSAGE_MAX),
                        -EMSGSIZE);
        do
                r = p->ops->send(p->self, &b->identity->id, TEST_CHANNEL, big, 60000);
        while (r == 0 && ++n < 100);
        assert_int_equal(r, -ENOBUFS);
        assert_in_range(n, 15, 17);
        sim_run_for(t->sim, 30 * SEC);
        assert_int_equal(b->messages->len, n);
        assert_int_equal(p->ops->send(p->self, &b->identity->id, TEST_CHANNEL, big, 60000), 0);
}

/* --- things that break --- */

static void test_short_partition(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "before"), 0);
        assert_true(test_wait_up(a, b, SEC));
        sim_run_for(t->sim, SEC);
        sim_partition(t->sim, b->node, 1);
        assert_int_equal(test_send(a, b, "during"), 0);
        sim_run_for(t->sim, 15 * SEC);
        assert_int_equal(b->messages->len, 1);
        sim_partition(t->sim, b->node, 0);
        assert_int_equal(test_send(a, b, "after"), 0);
        sim_run_for(t->sim, 10 * SEC);
        assert_int_equal(b->messages->len, 3);
        assert_message(b, 1, "during");
        assert_message(b, 2, "after");
        assert_int_equal(a->downs, 0);
        assert_int_equal(a->restarts + b->restarts, 0);
}

static void test_long_partition(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        _cleanup_(answer_clear) Answer answer = {}, again = {};

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "before"), 0);
        assert_true(test_wait_up(a, b, SEC));
        sim_run_for(t->sim, SEC);
        sim_partition(t->sim, b->node, 1);
        assert_int_equal(ask(a, b, "lost", USEC_INFINITY, &answer), 0);
        sim_run_for(t->sim, 29 * SEC);
        assert_int_equal(answer.n, 0);
        sim_run_for(t->sim, 10 * SEC);
        assert_string_equal(answer.error, "Unreachable");
        assert_true(a->downs > 0);
        sim_run_for(t->sim, 5 * MINUTE);
        sim_partition(t->sim, b->node, 0);
        assert_int_equal(ask(a, b, "again", 10 * SEC, &again), 0);
        assert_int_equal(test_send(b, a, "too"), 0);
        sim_run_for(t->sim, 10 * SEC);
        assert_answer(&again, "niaga");
        assert_message(a, 0, "too");
        assert_int_equal(b->messages->len, 1);
}

static void test_restart(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        _cleanup_(answer_clear) Answer unanswered = {}, during = {};

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "one"), 0);
        assert_int_equal(test_send(b, a, "uno"), 0);
        /* Acknowledged by the first life, never answered by it. */
        assert_int_equal(ask(a, b, "never", 60 * SEC, &unanswered), 0);
        sim_run_for(t->sim, SEC);
        assert_int_equal(a->messages->len, 1);
        test_machine_restart(b);
        test_hint(b, a);
        g_ptr_array_set_size(b->messages, 0);
        /* Only a, which does not know yet, sends. */
        assert_int_equal(test_send(a, b, "two"), 0);
        assert_int_equal(ask(a, b, "quick", 20 * SEC, &during), 0);
        sim_run_for(t->sim, 10 * SEC);
        assert_int_equal(a->restarts, 1);
        assert_int_equal(b->messages->len, 1);
        assert_message(b, 0, "two");
        assert_answer(&during, "kciuq");
        assert_int_equal(unanswered.n, 0);
        /* Each life was asked what it was meant to be asked, once. */
        assert_int_equal(b->requests, 1 + 2);
        assert_int_equal(test_send(b, a, "dos"), 0);
        sim_run_for(t->sim, SEC);
        assert_message(a, 1, "dos");
        /* The second life was asked again: it does not answer either. */
        sim_run_for(t->sim, 60 * SEC);
        assert_string_equal(unanswered.error, "Timeout");
        assert_int_equal(a->downs, 0);
}

/* The one that restarted speaks first. */
static void test_restart_speaks(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "one"), 0);
        sim_run_for(t->sim, SEC);
        for (unsigned i = 0; i < 3; i++) {
                test_machine_restart(b);
                test_hint(b, a);
                assert_int_equal(test_send(b, a, "I am back"), 0);
                sim_run_for(t->sim, SEC);
                assert_int_equal(a->messages->len, i + 1);
                assert_int_equal(a->restarts, i + 1);
                assert_int_equal(test_send(a, b, "welcome"), 0);
                sim_run_for(t->sim, SEC);
                assert_int_equal(b->messages->len, i + 2);
        }
}

/* Who waits for an answer when the link is closed asks again from the callback. */
static void on_closed(void *userdata, WireError error, const uint8_t *data, size_t len) {
        TestMachine *m = userdata;

        assert_int_equal(error, WIRE_ERROR_UNREACHABLE);
        m->revoked++;
        (void) test_send(m, &m->net->machines[1 - m->index], "again");
}

static void test_closed_while_waiting(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        ChannelProvider *p = test_channels(a);

        test_net_introduce(t);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(
                                p->ops->request(p->self, &b->identity->id, TEST_CHANNEL, "never", 5,
                                                USEC_INFINITY, on_closed, a, NULL),
                                0);
        sim_run_for(t->sim, SEC);
        mesh_disconnect(a->mesh, &b->identity->id, CLOSE_SHUTDOWN);
        assert_int_equal(a->revoked, 3);
        a->revoked = 0;
        sim_run_for(t->sim, SEC);
        assert_int_equal(b->messages->len, 3);
        assert_int_equal(b->restarts + b->downs, 1);
        /* From the other side. */
        assert_int_equal(
                        p->ops->request(p->self, &b->identity->id, TEST_CHANNEL, "never", 5,
                                        USEC_INFINITY, on_closed, a, NULL),
                        0);
        sim_run_for(t->sim, SEC);
        mesh_disconnect(b->mesh, &a->identity->id, CLOSE_SHUTDOWN);
        sim_run_for(t->sim, SEC);
        assert_int_equal(a->revoked, 1);
        assert_int_equal(b->messages->len, 4);
}

static void on_probe(void *userdata, bool lost, usec_t rtt) {
        unsigned *n = userdata;

        n[lost]++;
        if (!lost)
                assert_in_range(rtt, 20 * MSEC, 21 * MSEC);
}

/* Each probe is answered once: in time, too late, and when the mesh goes before. */
static void test_probe(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        ChannelProvider *p = test_channels(a);
        const MachineId *to = &b->identity->id;
        unsigned n[2] = {};
        MeshLinkInfo info;

        test_net_introduce(t);
        assert_int_equal(p->ops->probe(p->self, to, SEC, on_probe, n), -ENOTCONN);
        assert_int_equal(test_connect(a, b), 0);
        assert_true(test_wait_up(a, b, SEC));
        assert_int_equal(p->ops->probe(p->self, to, SEC, on_probe, n), 0);
        assert_int_equal(p->ops->probe(p->self, to, 5 * MSEC, on_probe, n), 0);
        sim_run_for(t->sim, SEC);
        assert_int_equal(n[false], 1);
        assert_int_equal(n[true], 1);
        assert_true(mesh_link_info(a->mesh, to, &info));
        assert_in_range(info.rtt, 20 * MSEC, 21 * MSEC);
        assert_int_equal(p->ops->probe(p->self, to, SEC, on_probe, n), 0);
        test_machine_stop(a);
        assert_int_equal(n[true], 2);
        test_machine_start(a, true);
        sim_run_for(t->sim, 2 * SEC);
        assert_int_equal(n[false] + n[true], 3);
}

static void test_stored_endpoint(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "one"), 0);
        sim_run_for(t->sim, 2 * MINUTE);
        /* Without any hint: a's endpoint comes from b's own store. */
        test_machine_restart(b);
        assert_int_equal(test_send(b, a, "I remember"), 0);
        sim_run_for(t->sim, 5 * SEC);
        assert_message(a, 0, "I remember");
}

static void test_roaming(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        PacketPeer *peer;
        PacketTx *tx;
        Endpoint now;

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "one"), 0);
        assert_true(test_wait_up(a, b, SEC));
        set_packets(a, b, true);
        peer = mesh_packet_peer(a->mesh, &b->identity->id);
        tx = atomic_load(&peer->tx);
        assert_non_null(tx);
        sim_node_move(b->node, "198.51.100.7:4444");
        now = sim_node_endpoint(b->node);
        assert_false(endpoint_equal(&tx->endpoint, &now));
        mesh_network_changed(b->mesh);
        sim_run_for(t->sim, 100 * MSEC);
        tx = atomic_load(&peer->tx);
        assert_true(endpoint_equal(&tx->endpoint, &now));
        assert_reached_at(a, b, &now);
        assert_int_equal(test_send(a, b, "two"), 0);
        /* Behind what gossip had on the way to the old place: one timeout. */
        sim_run_for(t->sim, 500 * MSEC);
        assert_message(b, 1, "two");
        assert_int_equal(a->downs + b->downs, 0);
        /* And it knows how others see it. */
        sim_run_for(t->sim, SEC);
        now = mesh_observed_endpoint(b->mesh);
        assert_string_equal(endpoint_format(&now).text, "198.51.100.7:4444");
}

/* --- a machine with two addresses, of which the other knows the second --- */

static const char second[] = "203.0.113.9";

static TestNet *net_with_second(void) {
        TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Endpoint e;

        test_net_introduce(t);
        assert_int_equal(endpoint_parse(second, 18002, &e), 0);
        sim_node_set_second(a->node, second);
        mesh_add_hint(b->mesh, &a->identity->id, &e);
        /* The first one cannot be used. */
        sim_node_move(a->node, "192.0.2.77:18002");
        return t;
}

static PacketTx *tx_of(TestMachine *m, const TestMachine *to) {
        return atomic_load(&mesh_packet_peer(m->mesh, &to->identity->id)->tx);
}

/* Nothing passes the translator but from where it was asked. */
static void test_answers_from_where_it_was_asked(void **state) {
        _cleanup_(test_net_freep) TestNet *t = net_with_second();
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        SimNat *nat = sim_nat_new(t->sim, "198.51.100.1", false, 60 * SEC);

        sim_node_set_nat(b->node, nat);
        assert_int_equal(test_connect(b, a), 0);
        assert_true(test_wait_up(a, b, 5 * SEC));
        set_packets(a, b, true);
        assert_string_equal(ip_format(&tx_of(a, b)->endpoint.local).text, second);
        assert_int_equal(test_send(a, b, "from the second"), 0);
        sim_run_for(t->sim, SEC);
        assert_message(b, 0, "from the second");
        /* New keys, whoever begins. */
        sim_run_for(t->sim, 10 * MINUTE);
        assert_int_equal(test_send(a, b, "still"), 0);
        sim_run_for(t->sim, SEC);
        assert_message(b, 1, "still");
        assert_int_equal(a->downs + b->downs, 0);
}

static void test_second_address_goes(void **state) {
        _cleanup_(test_net_freep) TestNet *t = net_with_second();
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Endpoint first;
        IpAddr local;

        assert_int_equal(ip_parse(second, &local), 0);
        assert_int_equal(test_connect(b, a), 0);
        assert_true(test_wait_up(a, b, 5 * SEC));
        set_packets(a, b, true);
        assert_true(ip_equal(&tx_of(a, b)->endpoint.local, &local));
        sim_node_set_second(a->node, NULL);
        mesh_forget_local(a->mesh, &local);
        assert_false(ip_is_set(&tx_of(a, b)->endpoint.local));
        /* It roamed, for b: to where the rest comes from. */
        assert_int_equal(test_send(a, b, "from the first"), 0);
        sim_run_for(t->sim, SEC);
        assert_message(b, 0, "from the first");
        first = sim_node_endpoint(a->node);
        assert_reached_at(b, a, &first);
        assert_string_equal(ip_format(&tx_of(a, b)->endpoint.local).text, "192.0.2.77");
        assert_int_equal(a->downs + b->downs, 0);
}

static void test_mtu(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        uint8_t packet[OMERTA_MTU_DEFAULT] = { 0x45 };
        PacketPeer *peer;

        test_net_introduce(t);
        assert_int_equal(test_connect(a, b), 0);
        assert_true(test_wait_up(a, b, SEC));
        set_packets(a, b, true);
        set_packets(b, a, true);
        peer = mesh_packet_peer(a->mesh, &b->identity->id);
        assert_int_equal(mesh_send_packet(a->mesh, peer, 0, packet, OMERTA_MTU_DEFAULT), 0);
        mesh_set_mtu(a->mesh, 1300);
        assert_int_equal(tx_of(a, b)->mtu, 1300);
        assert_int_equal(mesh_send_packet(a->mesh, peer, 0, packet, 1300), 0);
        assert_int_equal(mesh_send_packet(a->mesh, peer, 0, packet, 1301), -EMSGSIZE);
        /* With new keys as well, and the other end is not bound by it. */
        sim_run_for(t->sim, 10 * MINUTE);
        assert_int_equal(test_connect(a, b), 0);
        assert_true(test_wait_up(a, b, SEC));
        assert_int_equal(tx_of(a, b)->mtu, 1300);
        assert_int_equal(tx_of(b, a)->mtu, OMERTA_MTU_DEFAULT);
        mesh_set_mtu(a->mesh, 0);
        assert_int_equal(tx_of(a, b)->mtu, OMERTA_MTU_DEFAULT);
}

/* Both move at once, neither knows where the other is but by a third. Here: one moves while the
 * other sends; the other finds it by the hint. */
static void test_repair_over_another_path(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Endpoint e;

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "one"), 0);
        assert_true(test_wait_up(a, b, SEC));
        sim_run_for(t->sim, SEC);
        sim_node_move(b->node, "198.51.100.7:4444");
        e = sim_node_endpoint(b->node);
        mesh_add_hint(a->mesh, &b->identity->id, &e);
        /* b does not notice, a has something to say. */
        assert_int_equal(test_send(a, b, "where are you"), 0);
        sim_run_for(t->sim, 3 * SEC);
        assert_message(b, 1, "where are you");
        assert_int_equal(a->downs, 0);
        assert_reached_at(a, b, &e);
}

/* --- all at once --- */

static void test_chaos(void **state) {
        for (unsigned seed = 1; seed <= 6; seed++) {
                _cleanup_(test_net_freep) TestNet *t = test_net_new(seed, 5);

                sim_set_model(t->sim, &(SimModel){ .latency = 20 * MSEC,
                                                   .jitter = 30 * MSEC,
                                                   .loss = 0.05,
                                                   .duplicate = 0.02,
                                                   .reorder = 0.05 });
                test_net_introduce(t);
                for (unsigned i = 0; i < 400; i++) {
                        TestMachine *a = &t->machines[sim_random(t->sim) % t->n];
                        TestMachine *b = &t->machines[sim_random(t->sim) % t->n];
                        g_autofree char *at = NULL;

                        switch (sim_random(t->sim) % 12) {
                        case 0:
                                sim_partition(t->sim, a->node, sim_random(t->sim) % 2);
                                break;
                        case 1:
                                at = g_strdup_printf(
                                                "198.51.%u.%u:18002", a->index,
                                                (unsigned) (sim_random(t->sim) % 250) + 1);
                                sim_node_move(a->node, at);
                                if (sim_random(t->sim) % 2)
                                        mesh_network_changed(a->mesh);
                                break;
                        case 2:
                                test_machine_restart(a);
                                for (unsigned k = 0; k < t->n; k++)
                                        if (k != a->index)
                                                test_hint(a, &t->machines[k]);
                                break;
                        case 3:
                                sim_node_sleep(a->node, sim_random(t->sim) % 2);
                                break;
                        default:
                                if (a != b)
                                        (void) test_send(a, b, "chaos");
                        }
                        sim_run_for(t->sim, sim_random(t->sim) % (3 * SEC));
                }
                for (unsigned i = 0; i < t->n; i++) {
                        sim_partition(t->sim, t->machines[i].node, 0);
                        sim_node_sleep(t->machines[i].node, false);
                        for (unsigned k = 0; k < t->n; k++)
                                if (k != i)
                                        test_hint(&t->machines[k], &t->machines[i]);
                }
                sim_run_for(t->sim, 5 * MINUTE);
                for (unsigned i = 0; i < t->n; i++)
                        g_ptr_array_set_size(t->machines[i].messages, 0);
                /* Peace: everybody reaches everybody. */
                for (unsigned i = 0; i < t->n; i++)
                        for (unsigned k = 0; k < t->n; k++)
                                if (i != k)
                                        assert_int_equal(
                                                        test_send(&t->machines[i], &t->machines[k],
                                                                  "peace"),
                                                        0);
                sim_run_for(t->sim, 30 * SEC);
                for (unsigned i = 0; i < t->n; i++)
                        assert_int_equal(t->machines[i].messages->len, t->n - 1);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_two_connect),
                cmocka_unit_test(test_simultaneous_open),
                cmocka_unit_test(test_unreachable),
                cmocka_unit_test(test_lossy),
                cmocka_unit_test(test_queue_is_bounded),
                cmocka_unit_test(test_short_partition),
                cmocka_unit_test(test_long_partition),
                cmocka_unit_test(test_restart),
                cmocka_unit_test(test_restart_speaks),
                cmocka_unit_test(test_closed_while_waiting),
                cmocka_unit_test(test_probe),
                cmocka_unit_test(test_stored_endpoint),
                cmocka_unit_test(test_roaming),
                cmocka_unit_test(test_repair_over_another_path),
                cmocka_unit_test(test_answers_from_where_it_was_asked),
                cmocka_unit_test(test_second_address_goes),
                cmocka_unit_test(test_mtu),
                cmocka_unit_test(test_chaos),
        };

        return cmocka_run_group_tests_name("sim-mesh", tests, NULL, NULL);
}
