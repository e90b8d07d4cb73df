/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Interfaces that lose or spoil trains of datagrams: found out by what is in use, by nobody's word
 * alone, and looked at again. */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/mesh/link/train-check.h"
#include "core/mesh/mesh.h"
#include "reach-world.h"

#define SEC USEC_PER_SEC
#define MSEC USEC_PER_MSEC
#define PACE (100 * MSEC)
#define SEGMENTS 8U
/* Two rounds, each as long as an answer is waited for, and what it takes to get there. */
#define FOUND_USEC (6 * SEC)

static void show(void *userdata, const MeshPathInfo *info) {
        if (info->is_active)
                *(const char **) userdata = info->trains;
}

static const char *trains(Machine *m, const Machine *to) {
        const char *text = "";

        assert_true(mesh_foreach_path(network_mesh(m->network), machine_id(to), show, &text));
        return text;
}

/* What the packet thread does. */
static bool sends_singly(Machine *m, const Machine *to) {
        PacketPeer *peer = mesh_packet_peer(network_mesh(m->network), machine_id(to));
        const PacketTx *tx = peer ? atomic_load(&peer->tx) : NULL;

        assert_non_null(tx);
        return tx->no_trains;
}

/* Super-packets one after the other. Return: how many of a thousand segments arrived. */
static unsigned flow(Machine *a, Machine *b, usec_t duration) {
        usec_t end = sim_now(a->sim) + duration;
        unsigned sent = 0, received = 0;

        (void) machine_received_bulk(b);
        while (sim_now(a->sim) < end) {
                machine_send_bulk(a, b, SEGMENTS);
                sent += SEGMENTS;
                sim_run_for(a->sim, PACE);
                received += machine_received_bulk(b);
        }
        return 1000 * received / sent;
}

/* So that a session is there, over a path that has settled. */
static void open_session(Machine *a, Machine *b) {
        assert_true(machine_reaches(a, b, 5 * SEC));
}

static void test_found(void **state) {
        static const struct {
                SimTrains trains;
                const char *text;
        } cases[] = {
                { SIM_TRAINS_CUT, "pass" },
                { SIM_TRAINS_LOST, "lost" },
                { SIM_TRAINS_SPOILT, "lost" },
                { SIM_TRAINS_NONE, "unknown" },
        };

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1);
                Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);
                bool lost = strcmp(cases[i].text, "lost") == 0;
                unsigned n;

                sim_node_set_trains(a->node, cases[i].trains);
                sim_node_set_trains(b->node, SIM_TRAINS_CUT);
                open_session(a, b);
                (void) flow(a, b, FOUND_USEC);
                assert_string_equal(trains(a, b), cases[i].text);
                assert_int_equal(sends_singly(a, b), lost);
                n = sim_node_trains_sent(a->node);
                assert_int_equal(flow(a, b, 10 * SEC), 1000);
                assert_int_equal(sim_node_trains_sent(a->node) > n, strcmp(cases[i].text, "pass") == 0);
                /* What they send each other is another matter. */
                assert_int_equal(flow(b, a, FOUND_USEC), 1000);
                assert_string_equal(trains(b, a), "pass");
                assert_false(sends_singly(b, a));
        }
}

/* A round is not enough, nor one in which nothing arrives. */
static void test_burst(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);

        sim_node_set_trains(a->node, SIM_TRAINS_LOST);
        open_session(a, b);
        sim_run_for(r->sim, SEC / 2);
        assert_true(sim_node_trains_sent(a->node) > 0);
        sim_node_set_trains(a->node, SIM_TRAINS_CUT);
        (void) flow(a, b, FOUND_USEC);
        assert_string_equal(trains(a, b), "pass");
}

static void test_lossy_line(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(5);
        Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);
        unsigned n;

        sim_node_set_trains(a->node, SIM_TRAINS_CUT);
        open_session(a, b);
        sim_set_model(r->sim, &(SimModel){ .latency = 10 * MSEC, .loss = 0.2 });
        n = sim_node_trains_sent(a->node);
        for (unsigned i = 0; i < 30; i++) {
                (void) machine_reaches(a, b, 5 * SEC);
                sim_run_for(r->sim, 20 * SEC);
                assert_string_not_equal(trains(a, b), "lost");
        }
        /* Looked at again, but not at each loss. */
        assert_in_range(sim_node_trains_sent(a->node) - n, 3, 12);
}

/* Nobody asks what nobody uses, and what was found is not asked again. */
static void test_is_quiet(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);
        unsigned n;

        sim_node_set_trains(a->node, SIM_TRAINS_CUT);
        open_session(a, b);
        (void) reach_talk(a, b, 10);
        assert_string_equal(trains(a, b), "pass");
        n = sim_node_trains_sent(a->node);
        (void) reach_talk(a, b, 600);
        assert_int_equal(sim_node_trains_sent(a->node), n);
        sim_run_for(r->sim, 5 * USEC_PER_HOUR);
        assert_int_equal(sim_node_trains_sent(a->node), n);
}

/* The driver was mended. */
static void test_recovers(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);

        sim_node_set_trains(a->node, SIM_TRAINS_LOST);
        open_session(a, b);
        (void) flow(a, b, FOUND_USEC);
        assert_string_equal(trains(a, b), "lost");
        sim_node_set_trains(a->node, SIM_TRAINS_CUT);
        (void) reach_talk(a, b, 30 * 60);
        assert_string_equal(trains(a, b), "lost");
        (void) reach_talk(a, b, 31 * 60);
        assert_string_equal(trains(a, b), "pass");
        assert_int_equal(flow(a, b, 10 * SEC), 1000);
        /* And when an interface comes. */
        sim_node_set_trains(a->node, SIM_TRAINS_LOST);
        (void) reach_talk(a, b, 90);
        assert_string_equal(trains(a, b), "pass");
        mesh_network_changed(network_mesh(a->network));
        (void) reach_talk(a, b, 10);
        assert_string_equal(trains(a, b), "lost");
        mesh_network_changed(network_mesh(a->network));
        sim_node_set_trains(a->node, SIM_TRAINS_CUT);
        (void) reach_talk(a, b, 70);
        assert_string_equal(trains(a, b), "pass");
}

/* Answers only what was sent singly. */
typedef struct Liars {
        const Machine *victim;
        const Machine *liar[2];
        unsigned n, seen[2];
} Liars;

static bool lie(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Liars *l = userdata;

        for (unsigned i = 0; i < l->n && from == l->victim->node; i++) {
                Endpoint at = sim_node_endpoint(l->liar[i]->node);

                if (endpoint_equal(to, &at) && len == TRAIN_PROBE_SIZE + DATA_OVERHEAD)
                        return l->seen[i]++ % (2 * TRAIN_PROBES) >= TRAIN_PROBES;
        }
        return true;
}

/* Who lies gets what he asks for, and others what is theirs. */
static void test_liars(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *m[5];
        Liars l = {};

        for (unsigned i = 0; i < ELEMENTSOF(m); i++)
                m[i] = reach_join(r, END_OPEN);
        l = (Liars){ .victim = m[0], .liar = { m[1], m[2] }, .n = 1 };
        sim_node_set_trains(m[0]->node, SIM_TRAINS_CUT);
        sim_set_tap(r->sim, lie, &l);
        open_session(m[0], m[1]);
        open_session(m[0], m[3]);
        (void) flow(m[0], m[1], FOUND_USEC);
        assert_string_equal(trains(m[0], m[1]), "lost");
        assert_string_equal(trains(m[0], m[3]), "pass");
        assert_false(sends_singly(m[0], m[3]));
        /* One that is new. */
        open_session(m[0], m[4]);
        assert_false(sends_singly(m[0], m[4]));
        (void) flow(m[0], m[4], FOUND_USEC);
        assert_string_equal(trains(m[0], m[4]), "pass");
        /* Two that lie hold for those only of whom nothing is known yet. */
        l.n = 2;
        open_session(m[0], m[2]);
        (void) flow(m[0], m[2], FOUND_USEC);
        assert_string_equal(trains(m[0], m[2]), "lost");
        assert_false(sends_singly(m[0], m[3]));
        assert_false(sends_singly(m[0], m[4]));
        /* When one of them is gone they are none. */
        machine_stop(m[2], true, false);
        sim_run_for(r->sim, SEC);
        assert_false(sends_singly(m[0], m[3]));
        assert_string_equal(trains(m[0], m[1]), "lost");
        sim_set_tap(r->sim, NULL, NULL);
}

/* Two agree: a third is spared the loss until it has said what it gets. */
static void test_suspected(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *m[4];

        for (unsigned i = 0; i < ELEMENTSOF(m); i++)
                m[i] = reach_join(r, END_OPEN);
        sim_node_set_trains(m[0]->node, SIM_TRAINS_LOST);
        for (unsigned i = 1; i < 3; i++) {
                open_session(m[0], m[i]);
                (void) flow(m[0], m[i], FOUND_USEC);
                assert_string_equal(trains(m[0], m[i]), "lost");
        }
        open_session(m[0], m[3]);
        assert_true(sends_singly(m[0], m[3]));
        assert_string_equal(trains(m[0], m[3]), "suspected");
        assert_int_equal(flow(m[0], m[3], FOUND_USEC), 1000);
        assert_string_equal(trains(m[0], m[3]), "lost");
        /* It was one of the two that kept it so. */
        machine_stop(m[1], true, false);
        machine_stop(m[2], true, false);
        sim_run_for(r->sim, SEC);
        assert_true(sends_singly(m[0], m[3]));
}

/* By a relay nothing is asked: what is known of the address holds. */
static void test_relayed(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_RANDOM), *b = reach_join(r, END_RANDOM);
        unsigned n;

        sim_node_set_trains(a->node, SIM_TRAINS_CUT);
        open_session(a, b);
        (void) reach_talk(a, b, 10);
        assert_int_equal(reach_kind(a, b), RELAYED);
        assert_string_equal(trains(a, b), "unknown");
        n = sim_node_trains_sent(a->node);
        (void) reach_talk(a, b, 60);
        assert_int_equal(sim_node_trains_sent(a->node), n);
        assert_int_equal(flow(a, b, SEC), 1000);
        assert_true(sim_node_trains_sent(a->node) > n);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_found),      cmocka_unit_test(test_burst),
                cmocka_unit_test(test_lossy_line), cmocka_unit_test(test_is_quiet),
                cmocka_unit_test(test_recovers),   cmocka_unit_test(test_liars),
                cmocka_unit_test(test_suspected),  cmocka_unit_test(test_relayed),
        };

        return cmocka_run_group_tests_name("sim-trains", tests, NULL, NULL);
}
