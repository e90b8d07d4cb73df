/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim-mesh.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/cookie.h"

#define MSEC USEC_PER_MSEC
#define SEC USEC_PER_SEC
#define MINUTE USEC_PER_MINUTE

static void assert_message(const TestMachine *m, unsigned i, const char *text) {
        size_t n;
        const char *data;

        assert_true(m->messages->len > i);
        data = g_bytes_get_data(m->messages->pdata[i], &n);
        assert_int_equal(n, strlen(text));
        assert_memory_equal(data, text, n);
}

static void assert_reached_at(TestMachine *m, const TestMachine *to, const Endpoint *at) {
        MeshLinkInfo info;

        assert_true(mesh_link_info(m->mesh, &to->identity->id, &info));
        assert_true(endpoint_equal(&info.endpoint, at));
}

static void count_link(void *userdata, const MeshLinkInfo *info) {
        (*(unsigned *) userdata)++;
}

static unsigned n_links(TestMachine *m) {
        unsigned n = 0;

        mesh_foreach_link(m->mesh, count_link, &n);
        return n;
}

typedef struct Answer {
        unsigned n;
        char *error;
        GBytes *data;
} Answer;

static void answer_clear(Answer *a) {
        g_free(a->error);
        g_clear_pointer(&a->data, g_bytes_unref);
}

static void on_answer(void *userdata, const char *error, const uint8_t *data, size_t len) {
        Answer *a = userdata;

        a->n++;
        a->error = g_strdup(error);
        if (!error)
                a->data = g_bytes_new(data, len);
}

static int ask(TestMachine *m, const TestMachine *to, const char *text, usec_t timeout, Answer *a) {
        ChannelProvider *p = test_channels(m);

        return p->ops->request(
                        p->self, &to->identity->id, TEST_CHANNEL, text, strlen(text), timeout,
                        on_answer, a, NULL);
}

static void assert_answer(const Answer *a, const char *text) {
        assert_int_equal(a->n, 1);
        assert_null(a->error);
        assert_int_equal(g_bytes_get_size(a->data), strlen(text));
        assert_memory_equal(g_bytes_get_data(a->data, NULL), text, strlen(text));
}

static void set_packets(TestMachine *m, const TestMachine *to, bool open) {
        ChannelProvider *p = test_channels(m);

        p->ops->set_packets(p->self, &to->identity->id, open);
}

/* Counts what the wire sees between two machines. */
typedef struct Wire {
        const TestMachine *a, *b;
        unsigned n, initiations, responses, cookies, data;
        GByteArray *initiation; /* the last */
} Wire;

static bool
on_wire(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Wire *w = userdata;
        Endpoint a = sim_node_endpoint(w->a->node), b = sim_node_endpoint(w->b->node);

        if (!((from == w->a->node && endpoint_equal(to, &b)) ||
              (from == w->b->node && endpoint_equal(to, &a))))
                return true;
        w->n++;
        w->initiations += data[0] == MESSAGE_HANDSHAKE_INITIATION;
        w->responses += data[0] == MESSAGE_HANDSHAKE_RESPONSE;
        w->cookies += data[0] == MESSAGE_COOKIE_REPLY;
        w->data += data[0] == MESSAGE_DATA;
        if (data[0] == MESSAGE_HANDSHAKE_INITIATION && w->initiation) {
                g_byte_array_set_size(w->initiation, 0);
                g_byte_array_append(w->initiation, data, (guint) len);
        }
        return true;
}

/* --- connecting --- */

static void test_two_connect(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        _cleanup_(answer_clear) Answer answer = {}, refused = {};

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
        sim_run_for(t->sim, 100 * MSEC);
        assert_message(b, 1, "two");
        assert_int_equal(a->downs + b->downs, 0);
        /* And it knows how others see it. */
        sim_run_for(t->sim, SEC);
        now = mesh_observed_endpoint(b->mesh);
        assert_string_equal(endpoint_format(&now).text, "198.51.100.7:4444");
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

/* --- keys --- */

static void test_rekey_without_loss(void **state) {
        for (unsigned seed = 1; seed <= 3; seed++) {
                _cleanup_(test_net_freep) TestNet *t = test_net_new(seed, 2);
                TestMachine *a = &t->machines[0], *b = &t->machines[1];
                Wire wire = { .a = a, .b = b };
                PacketPeer *to_b, *to_a;
                usec_t end;
                unsigned n = 0;

                sim_set_model(t->sim, &(SimModel){ .latency = 20 * MSEC, .jitter = 15 * MSEC });
                sim_set_tap(t->sim, on_wire, &wire);
                test_net_introduce(t);
                set_packets(a, b, true);
                set_packets(b, a, true);
                assert_true(test_wait_up(a, b, SEC));
                sim_run_for(t->sim, SEC);
                to_b = mesh_packet_peer(a->mesh, &b->identity->id);
                to_a = mesh_packet_peer(b->mesh, &a->identity->id);
                end = sim_now(t->sim) + 10 * MINUTE;
                while (sim_now(t->sim) < end) {
                        uint8_t packet[20] = { 0x45 };

                        write_le32(packet + 4, n++);
                        assert_int_equal(mesh_send_packet(a->mesh, to_b, 0, packet, sizeof packet), 0);
                        assert_int_equal(mesh_send_packet(b->mesh, to_a, 0, packet, sizeof packet), 0);
                        if (n % 50 == 0)
                                assert_int_equal(test_send(a, b, "reliable"), 0);
                        sim_run_for(t->sim, 17 * MSEC + sim_random(t->sim) % (10 * MSEC));
                }
                sim_run_for(t->sim, SEC);
                assert_int_equal(b->packets->len, n);
                assert_int_equal(a->packets->len, n);
                assert_int_equal(b->messages->len, n / 50);
                assert_int_equal(a->downs + b->downs, 0);
                /* One in two minutes, sometimes both at once; not more. */
                assert_in_range(wire.initiations, 5, 14);
                for (DropReason r = DROP_NONE + 1; r < DROP_PACKET_MALFORMED; r++)
                        assert_int_equal(test_drops(a, r) + test_drops(b, r), 0);
        }
}

static void test_idle_link_is_silent(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 8);
        TestMachine *a = NULL, *b = NULL;
        Wire wire = {};
        uint64_t sent = 0;

        test_net_introduce(t);
        /* Two who are no neighbours: nobody keeps a link between them. */
        sim_run_for(t->sim, 10 * SEC);
        for (unsigned i = 1; i < t->n && !a; i++)
                for (unsigned k = i + 1; k < t->n && !a; k++)
                        if (test_link_state(&t->machines[i], &t->machines[k]) == LINK_DOWN) {
                                a = &t->machines[i];
                                b = &t->machines[k];
                        }
        assert_non_null(a);
        wire = (Wire){ .a = a, .b = b };
        sim_set_tap(t->sim, on_wire, &wire);
        assert_int_equal(test_send(a, b, "once"), 0);
        sim_run_for(t->sim, 5 * SEC);
        assert_message(b, 0, "once");
        assert_int_equal(test_link_state(a, b), LINK_UP);
        wire.n = 0;
        sim_run_for(t->sim, USEC_PER_HOUR);
        assert_int_equal(wire.n, 0);
        assert_int_equal(test_link_state(a, b), LINK_DOWN);
        assert_int_equal(test_link_state(b, a), LINK_DOWN);
        assert_int_equal(test_send(b, a, "twice"), 0);
        sim_run_for(t->sim, SEC);
        assert_message(a, 0, "twice");
        /* What the kept links cost each machine in an hour: a probe a minute, both ways, and keys
         * every other minute, for the links it has (gateway, two successors, two predecessors). */
        for (unsigned i = 0; i < t->n; i++)
                sent += sim_node_sent(t->machines[i].node);
        sim_run_for(t->sim, USEC_PER_HOUR);
        for (unsigned i = 0; i < t->n; i++)
                sent -= sim_node_sent(t->machines[i].node);
        print_message("datagrams per machine and idle hour: %u\n", (unsigned) (-sent / t->n));
        assert_in_range(-sent / t->n, 100, 1500);
}

static void test_overlay_without_gateway(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 12);
        bool reached[12] = { [1] = true };

        test_net_introduce(t);
        test_machine_stop(&t->machines[0]);
        sim_run_for(t->sim, 20 * SEC);
        /* Everybody can be reached from machine 1 along links that are kept anyway. */
        for (unsigned round = 0; round < t->n; round++)
                for (unsigned i = 1; i < t->n; i++)
                        for (unsigned k = 1; k < t->n; k++)
                                if (reached[i] &&
                                    test_link_state(&t->machines[i], &t->machines[k]) == LINK_UP)
                                        reached[k] = true;
        for (unsigned i = 1; i < t->n; i++)
                assert_true(reached[i]);
        test_machine_start(&t->machines[0], true);
}

static void test_translator_is_kept_open(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *gateway = &t->machines[0], *b = &t->machines[1];
        SimNat *nat = sim_nat_new(t->sim, "203.0.113.9:1", false, 30 * SEC);

        sim_node_set_nat(b->node, nat);
        test_net_introduce(t);
        sim_run_for(t->sim, 20 * MINUTE);
        assert_int_equal(test_link_state(gateway, b), LINK_UP);
        /* The gateway cannot open a mapping: it is there only because b keeps it. */
        assert_int_equal(test_send(gateway, b, "are you there"), 0);
        sim_run_for(t->sim, 200 * MSEC);
        assert_message(b, 0, "are you there");
        assert_int_equal(gateway->downs, 0);
}

/* --- strangers and floods --- */

static void test_replayed_initiation(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        g_autoptr(GByteArray) copy = g_byte_array_new();
        Wire wire = { .a = a, .b = b, .initiation = copy };
        Endpoint to = sim_node_endpoint(a->node), from;
        uint64_t sent;

        sim_set_tap(t->sim, on_wire, &wire);
        test_net_introduce(t);
        assert_int_equal(test_send(b, a, "one"), 0);
        sim_run_for(t->sim, 500 * MSEC);
        assert_true(copy->len >= INITIATION_SIZE_MIN);
        wire.initiation = NULL;
        sent = sim_node_sent(a->node);
        assert_int_equal(endpoint_parse("198.51.100.66:666", 0, &from), 0);
        sim_inject(t->sim, &from, &to, copy->data, copy->len);
        sim_run_for(t->sim, 100 * MSEC);
        assert_int_equal(test_drops(a, DROP_HANDSHAKE_REPLAYED), 1);
        assert_int_equal(sim_node_sent(a->node), sent);
        /* Also when the link is long forgotten. */
        test_machine_stop(b);
        sim_run_for(t->sim, 20 * MINUTE);
        sim_inject(t->sim, &from, &to, copy->data, copy->len);
        sim_run_for(t->sim, 100 * MSEC);
        assert_int_equal(test_drops(a, DROP_HANDSHAKE_REPLAYED), 2);
        /* A life that knows nothing of it answers, but nothing else comes of it. */
        test_machine_restart(a);
        sim_inject(t->sim, &from, &to, copy->data, copy->len);
        sim_run_for(t->sim, 10 * SEC);
        assert_int_not_equal(test_link_state(a, b), LINK_UP);
        assert_int_equal(a->ups, 1);
        sim_run_for(t->sim, 5 * MINUTE);
        test_machine_start(b, true);
}

static void test_garbage(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Endpoint to = sim_node_endpoint(a->node), from;
        uint64_t sent, dropped = 0;

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "one"), 0);
        sim_run_for(t->sim, 20 * SEC);
        sent = sim_node_sent(a->node);
        assert_int_equal(endpoint_parse("198.51.100.66:666", 0, &from), 0);
        for (unsigned i = 0; i < 5000; i++) {
                uint8_t data[1400];
                size_t len = sim_random(t->sim) % sizeof data;

                for (size_t k = 0; k < len; k++)
                        data[k] = (uint8_t) sim_random(t->sim);
                if (len > 4 && i % 2) {
                        data[0] = (uint8_t) (1 + i % 4);
                        data[1] = data[0] <= 2;
                        data[2] = data[3] = 0;
                }
                sim_inject(t->sim, &from, &to, data, len);
        }
        sim_run_for(t->sim, MSEC);
        for (DropReason r = DROP_NONE + 1; r < _DROP_REASON_MAX; r++)
                dropped += test_drops(a, r);
        assert_int_equal(dropped, 5000);
        assert_int_equal(sim_node_sent(a->node), sent);
        assert_int_equal(n_links(a), 1);
        assert_int_equal(test_send(a, b, "two"), 0);
        sim_run_for(t->sim, SEC);
        assert_message(b, 1, "two");
}

static void test_flood_of_initiations(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Wire wire = { .a = a, .b = b };
        Endpoint to = sim_node_endpoint(a->node), from = { .in.sin_family = AF_INET };
        uint64_t sent = sim_node_sent(a->node);
        CookieMaker mac;
        usec_t end;

        sim_set_tap(t->sim, on_wire, &wire);
        cookie_maker_init(&mac, &t->network.id, a->identity->static_public);
        endpoint_set_port(&from, 1000);
        test_net_introduce(t);
        end = sim_now(t->sim) + 4 * SEC;
        for (unsigned i = 0; sim_now(t->sim) < end; i++) {
                uint8_t data[INITIATION_SIZE_MIN];

                for (size_t k = 0; k < sizeof data; k++)
                        data[k] = (uint8_t) sim_random(t->sim);
                memset(data, 0, 4);
                data[0] = 1;
                data[1] = 1;
                /* A thousand a second from everywhere, made by somebody who knows a's key. */
                from.in.sin_addr.s_addr = htonl(0x0a000000 + i * 7);
                cookie_maker_mark(&mac, data, sizeof data, sim_now(t->sim));
                sim_inject(t->sim, &from, &to, data, sizeof data);
                if (i == 2500)
                        assert_int_equal(test_send(b, a, "let me in"), 0);
                sim_run_for(t->sim, MSEC);
        }
        assert_true(test_drops(a, DROP_COOKIE_REQUIRED) > 2000);
        assert_true(test_drops(a, DROP_HANDSHAKE_FAILED) < 1000);
        /* A member gets through, by way of a cookie. */
        assert_int_equal(a->messages->len, 1);
        assert_true(wire.cookies > 0);
        assert_int_equal(n_links(a), 1);
        /* Never more than one small answer to each. */
        assert_true(sim_node_sent(a->node) - sent < 4200);
}

static void test_revoked_is_cut(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 3);
        TestMachine *a = &t->machines[0], *b = &t->machines[1], *c = &t->machines[2];
        g_autoptr(Record) revocation = NULL;
        PacketPeer *peer;

        test_net_introduce(t);
        set_packets(a, b, true);
        set_packets(c, b, true);
        set_packets(b, c, true);
        set_packets(b, a, true);
        assert_true(test_wait_up(a, b, SEC));
        assert_true(test_wait_up(c, b, SEC));
        peer = mesh_packet_peer(c->mesh, &b->identity->id);
        assert_non_null(atomic_load(&peer->tx));
        revocation = mock_revocation(&t->network, t->network.issuer, &b->identity->id, MOCK_NOW + 5);
        assert_int_equal(directory_offer(c->directory, revocation, false, NULL), DIRECTORY_NEWS);
        assert_null(atomic_load(&peer->tx));
        assert_false(atomic_load(&peer->accept));
        assert_int_equal(test_link_state(c, b), LINK_DOWN);
        assert_int_equal(test_send(c, b, "no"), -ENXIO);
        assert_null(mesh_packet_peer(c->mesh, &b->identity->id));
        sim_run_for(t->sim, SEC);
        /* c is no issuer: b does not believe it that it is out. */
        assert_int_equal(b->revoked, 0);
        assert_int_equal(test_send(b, c, "I want in"), 0);
        sim_run_for(t->sim, 10 * SEC);
        assert_int_equal(c->messages->len, 0);
        assert_true(test_drops(c, DROP_REVOKED) > 0);
        assert_int_equal(directory_offer(a->directory, revocation, false, NULL), DIRECTORY_NEWS);
        sim_run_for(t->sim, SEC);
        assert_int_equal(b->revoked, 1);
        assert_int_equal(n_links(b), 0);
        assert_int_equal(test_send(b, a, "please"), -ENXIO);
}

/* --- enrolment links --- */

static bool
lookup_invite(void *userdata,
              const uint8_t id[static INVITE_ID_SIZE],
              const MachineId *machine,
              uint8_t ret_psk[static 32]) {
        memset(ret_psk, 0x77, 32);
        return id[0] == 42;
}

static void on_enrol_request(
                void *userdata,
                const MachineId *sender,
                ChannelRequest *request,
                const uint8_t *data,
                size_t len) {
        ChannelProvider *p = test_channels(userdata);

        p->ops->reply(p->self, request, "welcome", 7);
}

static int ask_to_enrol(TestMachine *m, const TestMachine *to, const char *channel, Answer *a) {
        ChannelProvider *p = test_channels(m);

        return p->ops->request(
                        p->self, &to->identity->id, channel, "x", 1, 5 * SEC, on_answer, a, NULL);
}

static void test_enrol_links(void **state) {
        static const struct {
                bool invite;
                uint8_t id, psk;
                bool works;
        } table[] = {
                { true, 42, 0x77, true },  /* the invite */
                { true, 42, 0x78, false }, /* its id, not its token */
                { true, 41, 0x77, false }, /* no such invite */
                { false, 0, 0, true },     /* may ask */
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(test_net_freep) TestNet *t = test_net_new(i + 1, 2);
                TestMachine *a = &t->machines[0], *b = &t->machines[1];
                ChannelProvider *p = test_channels(a);
                _cleanup_(answer_clear) Answer answer = {}, other = {}, member = {};
                g_autoptr(Record) certificate = NULL;
                uint8_t id[INVITE_ID_SIZE] = { table[i].id }, psk[32];

                memset(psk, table[i].psk, sizeof psk);
                test_machine_stop(b);
                test_machine_start(b, false);
                test_hint(b, a);
                mesh_set_issuer(a->mesh, lookup_invite, a);
                p->ops->on_channel(p->self, "enrol", NULL, on_enrol_request, a);
                assert_int_equal(
                                mesh_connect_to_enrol(
                                                b->mesh, &a->identity->id, table[i].invite ? id : NULL,
                                                table[i].invite ? psk : NULL),
                                0);
                assert_int_equal(ask_to_enrol(b, a, "enrol", &answer), 0);
                assert_int_equal(ask_to_enrol(b, a, TEST_CHANNEL, &other), -ENXIO);
                sim_run_for(t->sim, 6 * SEC);
                if (!table[i].works) {
                        assert_string_equal(answer.error, "Timeout");
                        assert_int_equal(a->ups, 0);
                        continue;
                }
                assert_answer(&answer, "welcome");
                /* Nobody but the channel enrol hears of it. */
                assert_int_equal(a->ups, 0);
                assert_int_equal(test_send(a, b, "x"), -ENXIO);
                if (i == 0) {
                        certificate = mock_certificate(
                                        &t->network, t->network.issuer, &b->identity->id, "bob",
                                        ROLE_MEMBER, MOCK_NOW);
                        directory_offer(b->directory, certificate, false, NULL);
                        mesh_set_membership(
                                        b->mesh, certificate, t->network.issuer_certificate,
                                        t->secret);
                        assert_int_equal(ask(b, a, "abc", 5 * SEC, &member), 0);
                        sim_run_for(t->sim, SEC);
                        assert_answer(&member, "cba");
                        assert_int_equal(a->ups, 1);
                        sim_run_for(t->sim, 2 * MINUTE);
                        assert_int_equal(test_link_state(a, b), LINK_UP);
                } else {
                        /* It does not stay for ever, and can be asked for again. */
                        sim_run_for(t->sim, 70 * SEC);
                        assert_int_equal(n_links(a), 0);
                        answer_clear(&answer);
                        answer = (Answer){};
                        assert_int_equal(ask_to_enrol(b, a, "enrol", &answer), 0);
                        sim_run_for(t->sim, 5 * SEC);
                        assert_answer(&answer, "welcome");
                }
        }
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
                cmocka_unit_test(test_stored_endpoint),
                cmocka_unit_test(test_roaming),
                cmocka_unit_test(test_repair_over_another_path),
                cmocka_unit_test(test_rekey_without_loss),
                cmocka_unit_test(test_idle_link_is_silent),
                cmocka_unit_test(test_overlay_without_gateway),
                cmocka_unit_test(test_translator_is_kept_open),
                cmocka_unit_test(test_replayed_initiation),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_flood_of_initiations),
                cmocka_unit_test(test_revoked_is_cut),
                cmocka_unit_test(test_enrol_links),
                cmocka_unit_test(test_chaos),
        };

        return cmocka_run_group_tests_name("sim-mesh", tests, NULL, NULL);
}
