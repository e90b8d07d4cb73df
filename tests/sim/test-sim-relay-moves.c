/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Two machines that need a relay, and three that relay: which one is used, as round trips change.
 * All on a virtual clock; a failure is repeated with the seed it prints.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/crypto/aead.h"
#include "core/mesh/relay/relay.h"
#include "lan.h"

#define SEC USEC_PER_SEC
#define MSEC USEC_PER_MSEC
#define N_RELAYS 3U

typedef struct Crossing {
        Lan lan;
        Machine *a, *b, *relay[N_RELAYS];
        unsigned n_moves;
        int last; /* relay that was used when last looked; -1: none */
} Crossing;

static MeshLinkInfo link_info(Machine *m, Machine *to) {
        MeshLinkInfo info = {};

        (void) mesh_link_info(network_mesh(m->network), machine_id(to), &info);
        return info;
}

/* One way between a relay and one of the two. */
static void set_latency(Crossing *c, unsigned relay, Machine *m, usec_t latency) {
        sim_set_model_between(
                        c->lan.sim, c->relay[relay]->node, m->node,
                        &(SimModel){ .latency = latency });
}

/* As at first: each relay so far from @a and from @b. */
static Crossing
crossing_draw(uint64_t seed, const usec_t a[static N_RELAYS], const usec_t b[static N_RELAYS]) {
        Crossing c = { .lan = lan_new(seed), .last = -1 };

        c.relay[0] = c.lan.gateway;
        c.a = lan_join(&c.lan);
        c.b = lan_join(&c.lan);
        for (unsigned i = 1; i < N_RELAYS; i++)
                c.relay[i] = lan_join(&c.lan);
        for (unsigned i = 0; i < N_RELAYS; i++) {
                set_latency(&c, i, c.a, a[i]);
                set_latency(&c, i, c.b, b[i]);
        }
        /* Round trips to relays are known, as the mean of several. */
        sim_run_for(c.lan.sim, 20 * USEC_PER_MINUTE);
        return c;
}

/* All relays are neighbours of @a, and @b has links with all of them. */
static bool is_good(Crossing *c) {
        Endpoint at;

        for (unsigned i = 0; i < N_RELAYS; i++)
                if ((i > 0 && !mesh_keeps_link(network_mesh(c->a->network), machine_id(c->relay[i]))) ||
                    !relay_is_near(network_mesh(c->b->network), machine_id(c->relay[i]), &at))
                        return false;
        return true;
}

/* Who is whose neighbour is by chance: worlds are drawn until one is as it must be. */
static Crossing
crossing_new(uint64_t seed, const usec_t a[static N_RELAYS], const usec_t b[static N_RELAYS]) {
        Crossing c = crossing_draw(seed, a, b);

        while (!is_good(&c)) {
                lan_free(&c.lan);
                if (g_getenv("SIM_SEED"))
                        skip(); /* it is the same each time */
                seed += 100;
                c = crossing_draw(seed, a, b);
        }
        sim_set_model_between(c.lan.sim, c.a->node, c.b->node, &(SimModel){ .loss = 1 });
        sim_run_for(c.lan.sim, USEC_PER_MINUTE);
        /* Both have asked relays. Now one has. */
        mesh_disconnect(network_mesh(c.a->network), machine_id(c.b), CLOSE_SHUTDOWN);
        sim_run_for(c.lan.sim, 100 * MSEC);
        assert_true(machine_reaches(c.a, c.b, 2 * SEC));
        return c;
}

/* By which relay @a sends to @b; -1: none. */
static int relay_of(Crossing *c) {
        MeshLinkInfo info = link_info(c->a, c->b);

        for (int i = 0; info.is_relayed && i < (int) N_RELAYS; i++)
                if (machine_id_equal(&info.relay, machine_id(c->relay[i])))
                        return i;
        return -1;
}

/* Where @from has @to by that relay; NULL: it does not. */
static Path *path_by(Machine *from, Machine *to, Machine *relay) {
        Mesh *m = network_mesh(from->network);
        Link *link = link_find(m, machine_id(to));
        MachineId machine;

        for (unsigned i = 0; i < link->paths.n; i++)
                if (mesh_relay_find(m, &link->paths.path[i].endpoint, &machine) &&
                    machine_id_equal(&machine, machine_id(relay)))
                        return &link->paths.path[i];
        return NULL;
}

/* Whether @a could use it at once. */
static bool is_at_hand(Crossing *c, unsigned relay) {
        return path_by(c->a, c->b, c->relay[relay]) != NULL;
}

/* One second of traffic both ways, of which nothing may be lost. */
static void talk(Crossing *c) {
        usec_t until = sim_now(c->lan.sim) + SEC;
        int relay;

        assert_true(machine_reaches(c->a, c->b, SEC));
        assert_true(machine_reaches(c->b, c->a, SEC));
        if (sim_now(c->lan.sim) < until)
                sim_run_for(c->lan.sim, until - sim_now(c->lan.sim));
        relay = relay_of(c);
        assert_true(relay >= 0);
        c->n_moves += c->last >= 0 && relay != c->last;
        c->last = relay;
}

static void talk_for(Crossing *c, unsigned seconds) {
        for (unsigned i = 0; i < seconds; i++)
                talk(c);
}

/* One that is next door for @a, and far from @b. */
static const usec_t to_a[N_RELAYS] = { 30 * MSEC, MSEC, 30 * MSEC };
static const usec_t to_b[N_RELAYS] = { 30 * MSEC, 300 * MSEC, 30 * MSEC };
static const usec_t all_near[N_RELAYS] = { 10 * MSEC, 10 * MSEC, 10 * MSEC };

/* Both that were chosen become slow, where only they can see it. */
static void test_becomes_slow(void **state) {
        for (uint64_t seed = 1; seed < 4; seed++) {
                Crossing c = crossing_new(seed, all_near, all_near);
                unsigned third = N_RELAYS, i;

                talk_for(&c, 30);
                for (i = 0; i < N_RELAYS; i++) {
                        if (is_at_hand(&c, i))
                                set_latency(&c, i, c.b, 120 * MSEC);
                        else
                                third = i;
                }
                assert_true(third < N_RELAYS);
                c.n_moves = 0;
                for (i = 0; i < 120 && relay_of(&c) != (int) third; i++)
                        talk(&c);
                assert_int_equal(relay_of(&c), third);
                talk_for(&c, 600);
                assert_int_equal(relay_of(&c), third);
                assert_int_equal(c.n_moves, 1);
                lan_free(&c.lan);
        }
}

/* Better, but not by a third. */
static void test_slightly_better(void **state) {
        for (uint64_t seed = 1; seed < 4; seed++) {
                Crossing c = crossing_new(seed, all_near, all_near);
                int relay;

                talk_for(&c, 30);
                relay = relay_of(&c);
                for (unsigned i = 0; i < N_RELAYS; i++)
                        set_latency(&c, i, c.b, (int) i == relay ? 35 * MSEC : 25 * MSEC);
                c.n_moves = 0;
                talk_for(&c, 600);
                assert_int_equal(c.n_moves, 0);
                assert_int_equal(relay_of(&c), relay);
                lan_free(&c.lan);
        }
}

/* Now this one is far, now that one. Each side moves once in three minutes of its own accord, and
 * the other may follow. */
static void test_flaps(void **state) {
        for (uint64_t seed = 1; seed < 4; seed++) {
                Crossing c = crossing_new(seed, all_near, all_near);

                for (unsigned turn = 0; turn < 30; turn++) {
                        for (unsigned i = 0; i < N_RELAYS; i++)
                                set_latency(&c, i, c.b, (turn + i) % 2 ? 100 * MSEC : 10 * MSEC);
                        talk_for(&c, 40);
                }
                assert_in_range(c.n_moves, 1, 30 * 40 / 120);
                lan_free(&c.lan);
        }
}

/* One that answers at once itself, and takes its time with what it carries. */
static void test_pretends(void **state) {
        for (uint64_t seed = 1; seed < 4; seed++) {
                Crossing c = crossing_new(seed, to_a, to_b);

                talk_for(&c, 90);
                assert_int_not_equal(relay_of(&c), 1);
                c.n_moves = 0;
                talk_for(&c, 900);
                assert_int_equal(c.n_moves, 0);
                lan_free(&c.lan);
        }
}

/* The other side asks by a slow relay that this one has given up: that it is heard there is no
 * reason to go there, however often and whatever is answered first. */
static void test_heard_by_a_slow_one(void **state) {
        for (uint64_t seed = 1; seed < 4; seed++) {
                Crossing c = crossing_new(seed, to_a, to_b);
                Link *link = link_find(network_mesh(c.b->network), machine_id(c.a));
                Path *known;

                talk_for(&c, 120);
                known = path_by(c.a, c.b, c.relay[1]);
                if (known) {
                        Endpoint at = known->endpoint;

                        link_withdraw_path(
                                        link_find(network_mesh(c.a->network), machine_id(c.b)), &at);
                }
                for (unsigned i = 0; i < 1000; i++) {
                        Path *path = path_by(c.b, c.a, c.relay[1]);

                        assert_non_null(path);
                        if (i % 10 == 0)
                                assert_true(paths_ask(link, path));
                        if (i % 100 == 0)
                                assert_true(machine_reaches(c.a, c.b, SEC));
                        sim_run_for(c.lan.sim, 10 * MSEC);
                        assert_int_not_equal(relay_of(&c), 1);
                }
                lan_free(&c.lan);
        }
}

/* Nobody is tried for a link that is not used, whatever there is to gain. */
static void test_idle(void **state) {
        Crossing c = crossing_new(1, all_near, all_near);
        MeshRelayStats before, stats;
        unsigned third = N_RELAYS;

        talk_for(&c, 10);
        for (unsigned i = 0; i < N_RELAYS; i++) {
                if (is_at_hand(&c, i))
                        set_latency(&c, i, c.b, 120 * MSEC);
                else
                        third = i;
        }
        assert_true(third < N_RELAYS);
        mesh_relay_stats(network_mesh(c.relay[third]->network), &before);
        /* As long as the session lasts: then relays are chosen anew. */
        for (unsigned i = 0; i < 4 * 60; i++) {
                sim_run_for(c.lan.sim, SEC);
                mesh_relay_stats(network_mesh(c.relay[third]->network), &stats);
                assert_true(stats.pairs <= before.pairs);
        }
        lan_free(&c.lan);
}

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_becomes_slow),
                cmocka_unit_test(test_slightly_better),
                cmocka_unit_test(test_flaps),
                cmocka_unit_test(test_pretends),
                cmocka_unit_test(test_heard_by_a_slow_one),
                cmocka_unit_test(test_idle),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
