/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Two machines whose datagrams to each other are all lost reach each other through a member,
 * whatever happens to that member or to them. All on a virtual clock; a failure is repeated with
 * the seed it prints.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/crypto/aead.h"
#include "core/mesh/relay/relay.h"
#include "core/wire/relayed.h"
#include "lan.h"

#define SEC USEC_PER_SEC

static MeshLinkInfo link_info(Machine *m, Machine *to) {
        MeshLinkInfo info = {};

        (void) mesh_link_info(network_mesh(m->network), machine_id(to), &info);
        return info;
}

static void part(Lan *lan, Machine *a, Machine *b) {
        sim_set_model_between(lan->sim, a->node, b->node, &(SimModel){ .loss = 1 });
}

static void assert_relayed_by(Machine *a, Machine *b, Machine *relay) {
        MeshLinkInfo info = link_info(a, b);

        assert_int_equal(info.state, LINK_UP);
        assert_true(info.is_relayed);
        assert_true(endpoint_is_relayed(&info.endpoint));
        assert_true(machine_id_equal(&info.relay, machine_id(relay)));
}

static MeshRelayStats stats(Machine *m) {
        MeshRelayStats s;

        mesh_relay_stats(network_mesh(m->network), &s);
        return s;
}

static bool machine_relayed_by(Machine *a, Machine *b, Machine *relay) {
        MeshLinkInfo info = link_info(a, b);

        return info.is_relayed && machine_id_equal(&info.relay, machine_id(relay));
}

/* A gateway and two members that cannot reach each other. */
typedef struct Pair {
        Lan lan;
        Machine *a, *b;
} Pair;

static Pair pair_new(uint64_t seed) {
        Pair p = { .lan = lan_new(seed) };

        p.a = lan_join(&p.lan);
        p.b = lan_join(&p.lan);
        part(&p.lan, p.a, p.b);
        sim_run_for(p.lan.sim, 5 * SEC); /* who relays is known */
        return p;
}

/* The first packet arrives after one round trip for the allocation, one for the handshake and one
 * for the session, all by the relay, and each way is twice 10 ms. */
static void test_through_the_gateway(void **state) {
        Pair p = pair_new(1);
        usec_t before;
        uint64_t bytes;

        /* They are neighbours, and have found each other before. */
        mesh_disconnect(network_mesh(p.a->network), machine_id(p.b), CLOSE_SHUTDOWN);
        sim_run_for(p.lan.sim, 100 * USEC_PER_MSEC);
        assert_int_equal(link_info(p.a, p.b).state, LINK_DOWN);
        assert_int_equal(stats(p.lan.gateway).pairs, 0); /* given back */
        before = sim_now(p.lan.sim);
        assert_true(machine_reaches(p.a, p.b, 2 * SEC));
        assert_true(sim_now(p.lan.sim) - before <= 2 * 40 * USEC_PER_MSEC + 100 * USEC_PER_MSEC);
        assert_relayed_by(p.a, p.b, p.lan.gateway);
        assert_relayed_by(p.b, p.a, p.lan.gateway);
        assert_true(machine_reaches(p.b, p.a, 2 * SEC));
        assert_int_equal(stats(p.lan.gateway).pairs, 1);
        bytes = stats(p.lan.gateway).bytes;
        assert_true(bytes > 0);
        for (unsigned i = 0; i < 10; i++)
                assert_true(machine_reaches(p.a, p.b, SEC));
        assert_true(stats(p.lan.gateway).bytes > bytes);
        /* It reads nothing of it: it has no keys of theirs. */
        assert_false(link_info(p.a, p.lan.gateway).is_relayed);
        lan_free(&p.lan);
}

/* Longer than a pair lasts that nobody uses, with little traffic and with none. */
static void test_lasts(void **state) {
        Pair p = pair_new(2);

        assert_true(machine_reaches(p.a, p.b, 2 * SEC));
        for (unsigned i = 0; i < 4; i++) {
                sim_run_for(p.lan.sim, 4 * USEC_PER_MINUTE);
                assert_true(machine_reaches(p.a, p.b, 3 * SEC));
        }
        sim_run_for(p.lan.sim, 30 * USEC_PER_MINUTE);
        assert_true(machine_reaches(p.b, p.a, 3 * SEC));
        assert_relayed_by(p.a, p.b, p.lan.gateway);
        lan_free(&p.lan);
}

/* It is a spare while there is a session; not longer. */
static void test_direct_is_released(void **state) {
        Lan lan = lan_new(3);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);

        sim_run_for(lan.sim, 5 * SEC);
        assert_true(machine_reaches(a, b, 2 * SEC));
        assert_false(link_info(a, b).is_relayed);
        sim_run_for(lan.sim, 30 * USEC_PER_MINUTE);
        assert_int_equal(stats(lan.gateway).pairs, 0);
        lan_free(&lan);
}

static unsigned count_relayed(Machine *m, Machine *to) {
        const Link *link = link_find(network_mesh(m->network), machine_id(to));
        unsigned n = 0;

        for (unsigned i = 0; i < link->paths.n; i++)
                n += endpoint_is_relayed(&link->paths.path[i].endpoint);
        return n;
}

/* Long after a relay was given back their direct way ends, without a word. What both still know of
 * the relay's number is no way any more; they ask for another as soon as nothing answers. */
static void test_direct_ends(void **state) {
        for (uint64_t seed = 40; seed < 44; seed++) {
                Lan lan = lan_new(seed);
                Machine *a = lan_join(&lan), *b = lan_join(&lan);
                usec_t since;

                sim_run_for(lan.sim, 5 * SEC);
                assert_true(machine_reaches(a, b, 2 * SEC));
                /* As neighbours both have asked; now one has, and the other was told. */
                mesh_disconnect(network_mesh(a->network), machine_id(b), CLOSE_SHUTDOWN);
                sim_run_for(lan.sim, 100 * USEC_PER_MSEC);
                assert_true(machine_reaches(a, b, 2 * SEC));
                /* Spares are asked meanwhile. */
                for (unsigned i = 0; i < 90; i++) {
                        sim_run_for(lan.sim, SEC);
                        assert_true(machine_reaches(a, b, SEC));
                }
                assert_int_equal(stats(lan.gateway).pairs, 0);
                assert_int_equal(count_relayed(a, b), 0);
                assert_int_equal(count_relayed(b, a), 0);
                part(&lan, a, b);
                since = sim_now(lan.sim);
                while (!machine_reaches(a, b, SEC / 2) && sim_now(lan.sim) < since + USEC_PER_MINUTE)
                        continue;
                assert_true(sim_now(lan.sim) - since <= 4 * SEC);
                /* Who has not sent anything meanwhile finds out now, and has the relay already. */
                since = sim_now(lan.sim);
                while (!machine_reaches(b, a, SEC / 2) && sim_now(lan.sim) < since + USEC_PER_MINUTE)
                        continue;
                assert_true(sim_now(lan.sim) - since <= 2 * SEC);
                assert_relayed_by(a, b, lan.gateway);
                lan_free(&lan);
        }
}

static bool reaches_within(Machine *a, Machine *b, unsigned seconds) {
        for (unsigned i = 0; i < seconds; i++)
                if (machine_reaches(a, b, SEC))
                        return true;
        return false;
}

/* The direct way opens: taken while they talk, and by an idle pair as soon as it says something. */
static void test_becomes_direct(void **state) {
        for (unsigned idle = 0; idle < 2; idle++) {
                Pair p = pair_new(4);

                assert_true(machine_reaches(p.a, p.b, 2 * SEC));
                assert_relayed_by(p.a, p.b, p.lan.gateway);
                if (idle)
                        sim_run_for(p.lan.sim, 20 * USEC_PER_MINUTE);
                sim_set_model_between(p.lan.sim, p.a->node, p.b->node, NULL);
                /* They try again once a minute at the latest. */
                for (unsigned i = 0; i < 90 && link_info(p.a, p.b).is_relayed; i++) {
                        assert_true(machine_reaches(p.a, p.b, 2 * SEC));
                        assert_true(machine_reaches(p.b, p.a, 2 * SEC));
                        sim_run_for(p.lan.sim, SEC);
                }
                assert_false(link_info(p.a, p.b).is_relayed);
                sim_run_for(p.lan.sim, 5 * SEC);
                assert_false(link_info(p.b, p.a).is_relayed);
                lan_free(&p.lan);
        }
}

/* With another member that relays, the one that dies is replaced. */
static void test_killed(void **state) {
        for (uint64_t seed = 5; seed < 8; seed++) {
                Pair p = pair_new(seed);
                Machine *other = lan_join(&p.lan), *relay, *left;

                sim_run_for(p.lan.sim, 20 * SEC);
                assert_true(machine_reaches(p.a, p.b, 2 * SEC));
                relay = machine_relayed_by(p.a, p.b, other) ? other : p.lan.gateway;
                left = relay == other ? p.lan.gateway : other;
                assert_relayed_by(p.a, p.b, relay);
                machine_stop(relay, false, false);
                for (unsigned i = 0; i < 20 && !machine_relayed_by(p.a, p.b, left); i++)
                        (void) machine_reaches(p.a, p.b, SEC);
                assert_true(machine_reaches(p.a, p.b, SEC));
                assert_true(machine_reaches(p.b, p.a, SEC));
                assert_relayed_by(p.a, p.b, left);
                machine_start(relay);
                lan_free(&p.lan);
        }
}

static bool none_is_bad(const void *userdata, const MachineId *relay) {
        return false;
}

/* Of two the nearer one; of two that are as near now this one, now that. */
static void test_choice(void **state) {
        Pair p = pair_new(20);
        Machine *other = lan_join(&p.lan);
        SimModel far = { .latency = 100 * USEC_PER_MSEC };
        Mesh *a = network_mesh(p.a->network);
        unsigned n_other = 0;
        MachineId relay;

        sim_run_for(p.lan.sim, 5 * USEC_PER_MINUTE); /* round trips are known */
        for (unsigned i = 0; i < 50; i++) {
                assert_true(relay_choose(a, machine_id(p.b), none_is_bad, NULL, false, &relay));
                n_other += machine_id_equal(&relay, machine_id(other));
        }
        assert_in_range(n_other, 10, 40);
        sim_set_model_between(p.lan.sim, p.a->node, p.lan.gateway->node, &far);
        sim_run_for(p.lan.sim, 30 * USEC_PER_MINUTE); /* the mean of several */
        for (unsigned i = 0; i < 50; i++) {
                assert_true(relay_choose(a, machine_id(p.b), none_is_bad, NULL, false, &relay));
                assert_true(machine_id_equal(&relay, machine_id(other)));
        }
        lan_free(&p.lan);
}

/* The only one starts anew and knows nothing any more. */
static void test_restarted(void **state) {
        Pair p = pair_new(8);
        bool reached = false;

        assert_true(machine_reaches(p.a, p.b, 2 * SEC));
        machine_stop(p.lan.gateway, false, false);
        sim_run_for(p.lan.sim, SEC);
        machine_start(p.lan.gateway);
        for (unsigned i = 0; i < 20 && !reached; i++)
                reached = machine_reaches(p.a, p.b, SEC);
        assert_true(reached);
        assert_true(machine_reaches(p.b, p.a, SEC));
        assert_relayed_by(p.a, p.b, p.lan.gateway);
        lan_free(&p.lan);
}

/* It has forgotten the pair, and says so. */
static void test_unknown(void **state) {
        Pair p = pair_new(9);

        assert_true(machine_reaches(p.a, p.b, 2 * SEC));
        sim_run_for(p.lan.sim, SEC);
        mesh_set_relay(network_mesh(p.lan.gateway->network), RELAY_OFF);
        mesh_set_relay(network_mesh(p.lan.gateway->network), RELAY_ON);
        assert_int_equal(stats(p.lan.gateway).pairs, 0);
        (void) machine_reaches(p.a, p.b, SEC); /* is lost, and tells */
        assert_int_equal(stats(p.lan.gateway).pairs, 1);
        assert_true(machine_reaches(p.a, p.b, SEC));
        assert_true(machine_reaches(p.b, p.a, SEC));
        assert_true(drop_counter(&p.lan.gateway->drops, DROP_RELAY_UNKNOWN) > 0);
        lan_free(&p.lan);
}

/* Nobody relays who does not want to. */
static void test_off(void **state) {
        Pair p = pair_new(10);
        Mesh *gateway = network_mesh(p.lan.gateway->network);

        assert_true(mesh_relays(gateway));
        mesh_set_relay(gateway, RELAY_OFF);
        assert_false(mesh_relays(gateway));
        sim_run_for(p.lan.sim, 5 * SEC);
        assert_false(machine_reaches(p.a, p.b, 10 * SEC));
        assert_int_equal(stats(p.lan.gateway).pairs, 0);
        mesh_set_relay(gateway, RELAY_ON);
        sim_run_for(p.lan.sim, 5 * SEC);
        assert_true(machine_reaches(p.a, p.b, 10 * SEC));
        lan_free(&p.lan);
}

static void on_moved(Machine *m, const char *endpoint) {
        Endpoint e;

        sim_node_move(m->node, endpoint);
        e = sim_node_endpoint(m->node);
        network_set_endpoints(m->network, &e, 1);
        network_changed(m->network);
}

/* Either side, and the relay, goes to another address; the pair goes with it. */
static void test_moves(void **state) {
        Pair p = pair_new(11);

        assert_true(machine_reaches(p.a, p.b, 2 * SEC));
        on_moved(p.a, "198.51.100.1:18002");
        assert_true(reaches_within(p.a, p.b, 3));
        assert_true(reaches_within(p.b, p.a, 3));
        assert_relayed_by(p.a, p.b, p.lan.gateway);
        on_moved(p.b, "198.51.100.2:18002");
        assert_true(reaches_within(p.a, p.b, 3));
        assert_true(reaches_within(p.b, p.a, 3));
        on_moved(p.a, "198.51.100.3:18002");
        on_moved(p.b, "198.51.100.4:18002");
        assert_true(reaches_within(p.a, p.b, 3));
        on_moved(p.lan.gateway, "198.51.100.5:18002");
        assert_true(reaches_within(p.a, p.b, 10));
        assert_true(reaches_within(p.b, p.a, 10));
        assert_relayed_by(p.a, p.b, p.lan.gateway);
        lan_free(&p.lan);
}

/* The relay is removed from the network: what it carried ends, and another one is found. */
static void test_relay_revoked(void **state) {
        Pair p = pair_new(12);
        Machine *relay = lan_join(&p.lan);

        mesh_set_relay(network_mesh(p.lan.gateway->network), RELAY_OFF);
        sim_run_for(p.lan.sim, 20 * SEC);
        assert_true(machine_reaches(p.a, p.b, 5 * SEC));
        assert_relayed_by(p.a, p.b, relay);
        mesh_set_relay(network_mesh(p.lan.gateway->network), RELAY_ON);
        assert_int_equal(
                        enrol_service_revoke(
                                        network_enrol_service(p.lan.gateway->network),
                                        machine_id(relay), REVOCATION_REMOVED),
                        0);
        sim_run_for(p.lan.sim, SEC);
        assert_true(reaches_within(p.a, p.b, 20));
        assert_relayed_by(p.a, p.b, p.lan.gateway);
        lan_free(&p.lan);
}

/* A member is removed: its allocations end at once. */
static void test_member_revoked(void **state) {
        Pair p = pair_new(13);

        assert_true(machine_reaches(p.a, p.b, 2 * SEC));
        assert_int_equal(stats(p.lan.gateway).pairs, 1);
        assert_int_equal(
                        enrol_service_revoke(
                                        network_enrol_service(p.lan.gateway->network),
                                        machine_id(p.b), REVOCATION_REMOVED),
                        0);
        assert_int_equal(stats(p.lan.gateway).pairs, 0);
        assert_false(machine_reaches(p.a, p.b, 5 * SEC));
        lan_free(&p.lan);
}

/* What the relay does to datagrams on their way. */
typedef struct Hostile {
        Lan *lan;
        const SimNode *relay;
        Endpoint to;
        unsigned n, garbled;
} Hostile;

static bool garble(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Hostile *h = userdata;
        g_autofree uint8_t *copy = NULL;

        if (from != h->relay || data[0] != MESSAGE_RELAYED)
                return true;
        h->n++;
        copy = g_memdup2(data, len);
        if (h->n % 4 == 0)
                return false;
        if (h->n % 4 == 1) { /* changed, and then the right one */
                Endpoint at = sim_node_endpoint(from);

                copy[RELAY_HEADER_SIZE + h->n % (len - RELAY_HEADER_SIZE)] ^= 0x40;
                sim_inject(h->lan->sim, &at, to, copy, len);
                h->garbled++;
        }
        if (h->n % 4 == 2) { /* twice */
                Endpoint at = sim_node_endpoint(from);

                sim_inject(h->lan->sim, &at, to, copy, len);
        }
        return true;
}

static void test_hostile_relay(void **state) {
        Pair p = pair_new(14);
        Hostile h = { .lan = &p.lan, .relay = p.lan.gateway->node };
        unsigned passed = 0;

        sim_set_tap(p.lan.sim, garble, &h);
        for (unsigned i = 0; i < 40; i++)
                passed += machine_reaches(p.a, p.b, SEC);
        assert_true(passed >= 20);
        assert_true(h.garbled > 0);
        assert_true(drop_counter(network_drops(p.b->network), DROP_NOT_AUTHENTIC) +
                                    drop_counter(network_drops(p.a->network), DROP_NOT_AUTHENTIC) >
                    0);
        assert_true(drop_counter(network_drops(p.b->network), DROP_REPLAYED) > 0);
        sim_set_tap(p.lan.sim, NULL, NULL);
        lan_free(&p.lan);
}

/* Somebody who knows the number, but is not where its owner is. */
static void test_forged(void **state) {
        Pair p = pair_new(15);
        uint8_t forged[100] = {}, other[100] = {};
        Endpoint gateway = sim_node_endpoint(p.lan.gateway->node), stranger;
        uint64_t bytes, sent;

        assert_true(machine_reaches(p.a, p.b, 2 * SEC));
        sim_run_for(p.lan.sim, 100 * USEC_PER_MSEC);
        assert_int_equal(endpoint_parse("203.0.113.66:7", 0, &stranger), 0);
        relayed_write(forged, link_info(p.a, p.b).endpoint.relay);
        forged[RELAY_HEADER_SIZE] = MESSAGE_DATA;
        relayed_write(other, 12345);
        other[RELAY_HEADER_SIZE] = MESSAGE_DATA;
        bytes = stats(p.lan.gateway).bytes;
        sent = sim_node_sent(p.lan.gateway->node);
        for (unsigned i = 0; i < 10; i++) {
                sim_inject(p.lan.sim, &stranger, &gateway, forged, sizeof forged);
                sim_inject(p.lan.sim, &stranger, &gateway, other, sizeof other);
        }
        sim_run_for(p.lan.sim, 0);
        assert_int_equal(drop_counter(&p.lan.gateway->drops, DROP_RELAY_SOURCE), 10);
        assert_int_equal(drop_counter(&p.lan.gateway->drops, DROP_RELAY_UNKNOWN), 10);
        assert_int_equal(stats(p.lan.gateway).bytes, bytes);
        assert_int_equal(sim_node_sent(p.lan.gateway->node), sent); /* no answer to strangers */
        lan_free(&p.lan);
}

typedef struct Answers {
        unsigned n, full, refused, given;
} Answers;

static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        Answers *a = userdata;

        a->n++;
        a->given += error == WIRE_ERROR_NONE;
        a->full += error == WIRE_ERROR_FULL;
        a->refused += error == WIRE_ERROR_NOT_LINKED;
}

static void ask(Machine *m, Machine *relay, const MachineId *machine, Answers *answers) {
        ChannelProvider *p = mesh_channels(network_mesh(m->network));
        RelayMessage message = { .op = RELAY_ALLOCATE, .machine = *machine };
        g_autoptr(GBytes) bytes = relay_message_encode(&message);

        assert_int_equal(
                        p->ops->request(p->self, machine_id(relay), RELAY_CHANNEL,
                                        g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                                        10 * SEC, on_answer, answers, NULL),
                        0);
}

/* Asked again and again it is one pair; to itself, to the relay or to nobody there is none; and
 * what is not used ends. */
static void test_requests(void **state) {
        Pair p = pair_new(16);
        MachineId nobody = *machine_id(p.b);
        Answers answers = {};

        nobody.bytes[3] ^= 1;
        for (unsigned i = 0; i < 20; i++) {
                ask(p.a, p.lan.gateway, machine_id(p.b), &answers);
                ask(p.a, p.lan.gateway, machine_id(p.a), &answers);
                ask(p.a, p.lan.gateway, machine_id(p.lan.gateway), &answers);
                ask(p.a, p.lan.gateway, &nobody, &answers);
        }
        sim_run_for(p.lan.sim, 5 * SEC);
        assert_int_equal(answers.n, 80);
        assert_int_equal(answers.given, 20);
        assert_int_equal(answers.refused, 60);
        assert_int_equal(stats(p.lan.gateway).pairs, 1);
        machine_stop(p.a, false, false);
        machine_stop(p.b, false, false);
        sim_run_for(p.lan.sim, RELAY_IDLE_USEC + USEC_PER_MINUTE);
        assert_int_equal(stats(p.lan.gateway).pairs, 0);
        lan_free(&p.lan);
}

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_through_the_gateway),
                cmocka_unit_test(test_lasts),
                cmocka_unit_test(test_direct_is_released),
                cmocka_unit_test(test_becomes_direct),
                cmocka_unit_test(test_direct_ends),
                cmocka_unit_test(test_killed),
                cmocka_unit_test(test_choice),
                cmocka_unit_test(test_restarted),
                cmocka_unit_test(test_unknown),
                cmocka_unit_test(test_off),
                cmocka_unit_test(test_moves),
                cmocka_unit_test(test_relay_revoked),
                cmocka_unit_test(test_member_revoked),
                cmocka_unit_test(test_hostile_relay),
                cmocka_unit_test(test_forged),
                cmocka_unit_test(test_requests),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
