/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim-mesh-assert.h"

#include "core/mesh/link/answers.h"

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

/* The wire between two machines of which one opens a link. */
typedef struct Copies {
        Wire wire;
        unsigned n;    /* responses, wherever to */
        unsigned lost; /* of the next ones */
        unsigned asked_back;
        GByteArray *response;
        bool differ; /* not all were the same */
} Copies;

static bool
on_copies(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Copies *c = userdata;

        (void) on_wire(&c->wire, from, to, data, len);
        c->asked_back += from == c->wire.a->node && data[0] == MESSAGE_HANDSHAKE_INITIATION;
        if (from != c->wire.a->node || data[0] != MESSAGE_HANDSHAKE_RESPONSE)
                return true;
        c->n++;
        if (c->response->len == 0)
                g_byte_array_append(c->response, data, (guint) len);
        c->differ = c->differ || c->response->len != len || memcmp(c->response->data, data, len) != 0;
        if (c->lost == 0)
                return true;
        c->lost--;
        return false;
}

/* The same initiation again, as it came by other paths or was sent again, has the same answer. */
static void test_copies_have_one_answer(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        g_autoptr(GByteArray) initiation = g_byte_array_new(), response = g_byte_array_new();
        Copies c = {
                .wire = { .a = a, .b = b, .initiation = initiation },
                .lost = UINT_MAX,
                .response = response,
        };
        Endpoint to = sim_node_endpoint(a->node), from[3] = { sim_node_endpoint(b->node) };

        test_net_introduce(t);
        sim_node_add_address(b->node, "198.51.100.9");
        sim_node_add_address(b->node, "198.51.100.10");
        assert_int_equal(sim_node_endpoints(b->node, from, ELEMENTSOF(from)), ELEMENTSOF(from));
        sim_set_tap(t->sim, on_copies, &c);
        assert_int_equal(test_send(b, a, "one"), 0);
        sim_run_for(t->sim, 50 * MSEC);
        assert_int_equal(c.n, 1);
        for (unsigned i = 0; i < 100; i++)
                sim_inject(t->sim, &from[i % ELEMENTSOF(from)], &to, initiation->data,
                           initiation->len);
        sim_run_for(t->sim, 20 * MSEC);
        /* Wherever they come from, but not without end. */
        assert_int_equal(c.n, 1 + ANSWER_COPIES_MAX);
        assert_false(c.differ);
        /* Nobody asked back, and no other keys were made. */
        assert_int_equal(c.asked_back, 0);
        assert_non_null(index_table_owner(a->indices, read_le32(response->data + 4)));

        /* The next one is answered anew, and that answer arrives, to a copy. */
        g_byte_array_set_size(response, 0);
        c.n = 0;
        c.lost = 1;
        sim_run_for(t->sim, 700 * MSEC);
        assert_int_equal(c.n, 1);
        sim_inject(t->sim, &from[1], &to, initiation->data, initiation->len);
        sim_run_for(t->sim, 50 * MSEC);
        assert_int_equal(c.n, 2);
        assert_false(c.differ);
        assert_int_equal(test_link_state(a, b), LINK_UP);
        assert_int_equal(test_link_state(b, a), LINK_UP);
        assert_int_equal(a->messages->len, 1);

        /* Who has an answer needs no other: these come from somebody who has seen it pass. */
        c.n = 0;
        for (unsigned i = 0; i < 5; i++)
                sim_inject(t->sim, &from[1], &to, initiation->data, initiation->len);
        sim_run_for(t->sim, 50 * MSEC);
        assert_int_equal(c.n, 0);
        assert_int_equal(c.asked_back, 0);
        assert_true(test_drops(a, DROP_HANDSHAKE_REPLAYED) >= 5);
        sim_set_tap(t->sim, NULL, NULL);
}

static void test_packets_need_a_session(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        uint8_t packet[20] = { 0x45 };
        PacketPeer *peer;

        test_net_introduce(t);
        set_packets(b, a, true);
        assert_true(test_wait_up(a, b, SEC));
        peer = mesh_packet_peer(b->mesh, &a->identity->id);
        assert_int_equal(mesh_send_packet(b->mesh, peer, 0, packet, sizeof packet), 0);
        sim_run_for(t->sim, SEC);
        assert_int_equal(a->packets->len, 0);
        assert_int_equal(test_drops(a, DROP_NO_SESSION), 1);
        assert_int_equal(
                        mesh_send_packet(
                                        a->mesh, mesh_packet_peer(a->mesh, &b->identity->id), 0,
                                        packet, sizeof packet),
                        -ENOTCONN);
        set_packets(a, b, true);
        assert_int_equal(mesh_send_packet(b->mesh, peer, 0, packet, sizeof packet), 0);
        sim_run_for(t->sim, SEC);
        assert_int_equal(a->packets->len, 1);
        set_packets(b, a, false);
        assert_int_equal(mesh_send_packet(b->mesh, peer, 0, packet, sizeof packet), -ENOTCONN);
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
        sim_run_for(t->sim, 10 * SEC);
        for (unsigned i = 0; i < 20 * 60; i++) {
                sim_run_for(t->sim, SEC);
                assert_true(sim_nat_is_open(nat, b->node));
        }
        assert_int_equal(test_link_state(gateway, b), LINK_UP);
        /* The gateway cannot open a mapping: it is there only because b keeps it. */
        assert_int_equal(test_send(gateway, b, "are you there"), 0);
        sim_run_for(t->sim, 200 * MSEC);
        assert_message(b, 0, "are you there");
        assert_int_equal(gateway->downs, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rekey_without_loss),
                cmocka_unit_test(test_copies_have_one_answer),
                cmocka_unit_test(test_packets_need_a_session),
                cmocka_unit_test(test_idle_link_is_silent),
                cmocka_unit_test(test_overlay_without_gateway),
                cmocka_unit_test(test_translator_is_kept_open),
        };

        return cmocka_run_group_tests_name("sim-mesh-keys", tests, NULL, NULL);
}
