/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Strangers who send in the name of others, and neighbours who send too much (docs/security.md,
 * "Denial of service"). */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim-mesh-assert.h"

#include "base/limits.h"
#include "core/crypto/cookie.h"
#include "core/mesh/link/link.h"

/* Initiations that cost nothing to make: the right mac1 and noise. */
typedef struct Forger {
        TestMachine *victim; /* to whom they are sent */
        Endpoint to, from;
        CookieMaker mac;
        uint8_t data[INITIATION_SIZE_MIN];
        uint64_t n;
} Forger;

static void forger_init(Forger *f, TestMachine *to, const Endpoint *from) {
        *f = (Forger){ .victim = to, .to = sim_node_endpoint(to->node), .from = *from };
        cookie_maker_init(&f->mac, &to->net->network.id, to->identity->static_public);
        f->data[0] = MESSAGE_HANDSHAKE_INITIATION;
        f->data[1] = OMERTA_PROTOCOL_VERSION;
}

static void forge(Forger *f, unsigned n) {
        Sim *sim = f->victim->net->sim;

        for (unsigned i = 0; i < n; i++) {
                uint64_t noise = sim_random(sim);

                f->n++;
                memcpy(f->data + 4, &noise, sizeof noise);
                cookie_maker_mark(&f->mac, f->data, sizeof f->data, sim_now(sim));
                sim_inject(sim, &f->from, &f->to, f->data, sizeof f->data);
        }
}

static bool is_up(TestMachine *a, TestMachine *b) {
        return test_link_state(a, b) == LINK_UP && test_link_state(b, a) == LINK_UP;
}

static bool is_asking(TestMachine *m, const TestMachine *to) {
        const Link *link = link_find(m->mesh, &to->identity->id);

        return link && link->attempt;
}

static void run_flood(Forger forger[static 2], unsigned per_msec, usec_t duration) {
        Sim *sim = forger->victim->net->sim;

        for (usec_t end = sim_now(sim) + duration; sim_now(sim) < end;) {
                forge(&forger[0], per_msec);
                forge(&forger[1], per_msec);
                sim_run_for(sim, MSEC);
        }
}

/* Connects under 20 a millisecond each way. Return: how long it took. */
static usec_t connect_in_flood(Forger forger[static 2], TestMachine *from, TestMachine *to) {
        usec_t start = sim_now(from->net->sim);

        assert_int_equal(test_connect(from, to), 0);
        while (!is_up(from, to) && sim_now(from->net->sim) < start + 10 * SEC)
                run_flood(forger, 20, MSEC);
        return sim_now(from->net->sim) - start;
}

/* Twenty thousand a second to each of the two, in the name of the other. Between rekeys only so
 * many as keep them under load: the rest would only make the test long. */
static void flood_a_pair(unsigned initiator) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[initiator], *b = &t->machines[1 - initiator];
        Wire wire = { .a = a, .b = b, .mute = b->node };
        Endpoint at[] = { sim_node_endpoint(a->node), sim_node_endpoint(b->node) };
        Forger forger[2];
        uint64_t sent[] = { sim_node_sent(a->node), sim_node_sent(b->node) };
        unsigned n = 0, downs;

        forger_init(&forger[0], a, &at[1]);
        forger_init(&forger[1], b, &at[0]);
        test_net_introduce(t);
        sim_set_tap(t->sim, on_wire, &wire);
        run_flood(forger, 20, 500 * MSEC);
        assert_true(connect_in_flood(forger, a, b) < SEC);
        downs = a->downs + b->downs;
        /* Used, so that it gets new keys every two minutes. */
        for (usec_t end = sim_now(t->sim) + 300 * SEC; sim_now(t->sim) < end; n++) {
                if (n % 1000 == 0)
                        assert_int_equal(test_send(a, b, "still here"), 0);
                forge(&forger[0], is_asking(a, b) ? 20 * 5 : 2);
                forge(&forger[1], is_asking(a, b) ? 20 * 5 : 2);
                sim_run_for(t->sim, 5 * MSEC);
        }
        assert_true(wire.responses >= 3);
        assert_true(is_up(a, b));
        assert_int_equal(a->downs + b->downs, downs);
        assert_int_equal(b->messages->len, (n + 999) / 1000);
        for (unsigned i = 0; i < 2; i++) {
                TestMachine *m = forger[i].victim;

                /* An X25519 is what shows that it is no handshake: hardly one was done. */
                assert_true(test_drops(m, DROP_HANDSHAKE_FAILED) <= HANDSHAKES_BURST + 1);
                assert_int_equal(test_drops(m, DROP_RATE_LIMITED), 0);
                assert_true(test_drops(m, DROP_COOKIE_REQUIRED) >= forger[i].n - HANDSHAKES_BURST - 1);
                /* A small answer to each at most, beside what the link itself needs. */
                assert_true(sim_node_sent(m->node) - sent[i] < forger[i].n + 2000);
        }
}

static void test_spoofed_initiator(void **state) {
        flood_a_pair(1);
}

static void test_spoofed_responder(void **state) {
        flood_a_pair(0);
}

/* So few that nobody is under load, but more than one address may send. */
static void test_spoofed_below_load(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Wire wire = { .a = a, .b = b, .mute = a->node };
        Endpoint at = sim_node_endpoint(b->node);
        usec_t start = 0;
        Forger f;

        forger_init(&f, a, &at);
        test_net_introduce(t);
        sim_set_tap(t->sim, on_wire, &wire);
        for (unsigned i = 0; i < 10; i++) {
                start = sim_now(t->sim);
                for (unsigned k = 0; k < 50; k++) {
                        forge(&f, 1);
                        sim_run_for(t->sim, 10 * MSEC);
                }
                test_machine_restart(b);
                test_hint(b, a);
                assert_int_equal(test_connect(b, a), 0);
                start = sim_now(t->sim);
                while (!is_up(b, a) && sim_now(t->sim) < start + 10 * SEC) {
                        forge(&f, 1);
                        sim_run_for(t->sim, 10 * MSEC);
                }
                /* Question, cookie, question, answer. */
                assert_true(sim_now(t->sim) - start < 100 * MSEC);
        }
        assert_true(wire.cookies >= 10);
}

/* Somebody on the way sees the cookie replies and sends them again, and others of his own. */
typedef struct Meddler {
        Wire wire;
        Sim *sim;
        Endpoint a, b;
        bool replay;
} Meddler;

static bool meddle(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Meddler *m = userdata;
        uint8_t reply[COOKIE_REPLY_SIZE] = { MESSAGE_COOKIE_REPLY };

        if (from == m->wire.a->node && data[0] == MESSAGE_COOKIE_REPLY && endpoint_equal(to, &m->b))
                for (unsigned i = 0; m->replay && i < 50; i++)
                        sim_inject(m->sim, &m->a, &m->b, data, len);
        if (from == m->wire.b->node && data[0] == MESSAGE_HANDSHAKE_INITIATION)
                for (unsigned i = 0; i < 50; i++) {
                        memcpy(reply + COOKIE_RECEIVER_OFFSET, data + INITIATION_SENDER_OFFSET, 4);
                        for (unsigned k = COOKIE_NONCE_OFFSET; k < sizeof reply; k++)
                                reply[k] = (uint8_t) sim_random(m->sim);
                        sim_inject(m->sim, &m->a, &m->b, reply, sizeof reply);
                }
        return on_wire(&m->wire, from, to, data, len);
}

static void test_cookie_replies_forged(void **state) {
        for (unsigned replay = 0; replay < 2; replay++) {
                _cleanup_(test_net_freep) TestNet *t = test_net_new(1 + replay, 2);
                TestMachine *a = &t->machines[0], *b = &t->machines[1];
                Meddler m = { .wire = { .a = a, .b = b, .mute = a->node },
                              .sim = t->sim,
                              .a = sim_node_endpoint(a->node),
                              .b = sim_node_endpoint(b->node),
                              .replay = replay };
                Endpoint elsewhere;
                Forger forger[2];

                assert_int_equal(endpoint_parse("198.51.100.1:9", 0, &elsewhere), 0);
                forger_init(&forger[0], a, &elsewhere);
                forger_init(&forger[1], a, &elsewhere);
                test_net_introduce(t);
                run_flood(forger, 1, 300 * MSEC);
                sim_set_tap(t->sim, meddle, &m);
                assert_true(connect_in_flood(forger, b, a) < 100 * MSEC);
                /* The question, and once more with the cookie, whatever else came. */
                assert_int_equal(m.wire.initiations, 2);
                assert_int_equal(m.wire.cookies, 1);
        }
}

/* Somebody behind the same address, who receives there and has cookies for his ports. */
typedef struct Neighbour {
        Forger port[64];
        unsigned n;
} Neighbour;

static bool
take_cookie(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Neighbour *n = userdata;

        for (unsigned i = 0; i < n->n; i++)
                if (data[0] == MESSAGE_COOKIE_REPLY && endpoint_equal(to, &n->port[i].from))
                        (void) cookie_maker_take_reply(
                                        &n->port[i].mac, data, sim_now(n->port[i].victim->net->sim));
        return true;
}

/* @b is behind the address that the neighbour floods from, and is let in. */
static void flood_beside(TestNet *t, unsigned n_ports, unsigned per_msec, usec_t within) {
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Neighbour n = { .n = n_ports };
        usec_t start = 0;

        for (unsigned i = 0; i < n.n; i++) {
                Endpoint at = sim_node_endpoint(b->node);

                endpoint_set_port(&at, (uint16_t) (5000 + i));
                forger_init(&n.port[i], a, &at);
        }
        sim_set_tap(t->sim, take_cookie, &n);
        for (unsigned i = 0; i < 3000; i++) {
                if (i == 1000) {
                        assert_int_equal(test_connect(b, a), 0);
                        start = sim_now(t->sim);
                }
                for (unsigned k = 0; k < per_msec; k++)
                        forge(&n.port[(i * per_msec + k) % n.n], 1);
                sim_run_for(t->sim, MSEC);
                if (i > 1000 && is_up(a, b))
                        break;
        }
        for (unsigned i = 0; i < n.n; i++)
                assert_true(n.port[i].mac.has_cookie);
        assert_true(test_drops(a, DROP_RATE_LIMITED) > 100);
        assert_true(is_up(a, b));
        assert_true(sim_now(t->sim) - start <= within);
        sim_set_tap(t->sim, NULL, NULL);
}

static void test_neighbour_floods(void **state) {
        static const unsigned ports[] = { 1, 4, 64 };

        for (unsigned i = 0; i < ELEMENTSOF(ports); i++) {
                _cleanup_(test_net_freep) TestNet *t = test_net_new(1 + i, 2);
                TestMachine *a = &t->machines[0];

                test_net_introduce(t);
                flood_beside(t, ports[i], 5, SEC);
                /* What it cost: the neighbour's ports have their shares, and together no more than
                 * one address has. */
                assert_true(test_drops(a, DROP_HANDSHAKE_FAILED) <
                            HANDSHAKES_BURST + 3 * 2 * (HANDSHAKES_PER_ADDRESS * 5 / 4));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_spoofed_initiator),
                cmocka_unit_test(test_spoofed_responder),
                cmocka_unit_test(test_spoofed_below_load),
                cmocka_unit_test(test_cookie_replies_forged),
                cmocka_unit_test(test_neighbour_floods),
        };

        return cmocka_run_group_tests_name("sim-mesh-flood", tests, NULL, NULL);
}
