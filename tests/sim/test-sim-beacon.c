/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Members in one broadcast domain find each other by beacons (docs/protocol.md, "Type 6"), and
 * nobody gains anything by theirs. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/mesh/lan/beacon.h"
#include "lan.h"

#define HOME 1
#define ELSEWHERE 2
#define N 3U
/* Where somebody is that is no member. */
#define STRANGER "203.0.113.66:4000"

typedef struct World {
        Lan lan;
        Machine **member;
        GPtrArray *beacons; /* of GBytes: all that were sent, each once */
        Endpoint stranger;
        unsigned to_stranger; /* datagrams sent there */
        unsigned answers_to_stranger;
        const SimNode *silent; /* its beacons do not arrive */
} World;

static bool is_synchronised(void *userdata) {
        return true;
}

static void set_synchronised(Machine *m, bool on) {
        ((MeshEnv *) sim_node_env(m->node))->is_synchronised = on ? is_synchronised : NULL;
}

static bool
on_wire(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        World *w = userdata;
        GBytes *last = w->beacons->len > 0 ? w->beacons->pdata[w->beacons->len - 1] : NULL;

        if (endpoint_same_address(to, &w->stranger)) {
                w->to_stranger++;
                w->answers_to_stranger += data[0] == MESSAGE_BEACON;
        }
        if (data[0] != MESSAGE_BEACON)
                return true;
        assert_int_equal(len, BEACON_SIZE);
        if (!last || memcmp(g_bytes_get_data(last, NULL), data, len) != 0)
                g_ptr_array_add(w->beacons, g_bytes_new(data, len));
        return from != w->silent;
}

static Mesh *mesh_of(Machine *m) {
        return network_mesh(m->network);
}

static void set_discovery(Machine *m, bool on) {
        mesh_set_lan_discovery(mesh_of(m), on);
}

/* A gateway and three members somewhere; nobody sends beacons yet. */
static void world_init(World *w) {
        *w = (World){ .lan = lan_new(1) };
        w->beacons = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
        assert_int_equal(endpoint_parse(STRANGER, 0, &w->stranger), 0);
        sim_set_tap(w->lan.sim, on_wire, w);
        for (unsigned i = 0; i < N; i++)
                (void) lan_join(&w->lan);
        w->member = w->lan.member;
        sim_run_for(w->lan.sim, 10 * USEC_PER_SEC);
}

static void world_done(World *w) {
        sim_set_tap(w->lan.sim, NULL, NULL);
        lan_free(&w->lan);
        g_ptr_array_unref(w->beacons);
}

/* The members are carried to a place of which nobody knows, and which has no way out. */
static void take_away(World *w) {
        for (unsigned i = 0; i < N; i++) {
                g_autofree char *at = g_strdup_printf("10.99.0.%u:18002", i + 1);
                Endpoint e;

                sim_partition(w->lan.sim, w->member[i]->node, 1);
                sim_node_move(w->member[i]->node, at);
                sim_node_set_lan(w->member[i]->node, HOME);
                e = sim_node_endpoint(w->member[i]->node);
                network_set_endpoints(w->member[i]->network, &e, 1);
                network_changed(w->member[i]->network);
                mesh_lan_changed(mesh_of(w->member[i]));
        }
}

/* Each reaches each; a packet that went where the other was is lost, and there is another. */
static bool all_reach(World *w, usec_t wait) {
        usec_t end = sim_now(w->lan.sim) + wait;
        unsigned n = 0;

        while (n < N * N && sim_now(w->lan.sim) < end)
                for (n = 0; n < N * N; n++) {
                        Machine *from = w->member[n / N], *to = w->member[n % N];

                        if (from != to && !machine_reaches(from, to, 250 * USEC_PER_MSEC))
                                break;
                }
        return n == N * N;
}

static void test_found(void **state) {
        World w;

        world_init(&w);
        take_away(&w);
        /* Without beacons they never would. */
        assert_false(machine_reaches(w.member[0], w.member[1], 30 * USEC_PER_SEC));
        for (unsigned i = 0; i < N; i++)
                set_discovery(w.member[i], true);
        assert_true(all_reach(&w, 5 * USEC_PER_SEC));
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(mesh_lan_info(mesh_of(w.member[i])).machines, N - 1);
        assert_int_equal(mesh_lan_info(mesh_of(w.lan.gateway)).machines, 0);
        world_done(&w);
}

/* It was on all the time when the addresses change. */
static void test_moved(void **state) {
        World w;

        world_init(&w);
        for (unsigned i = 0; i < N; i++)
                set_discovery(w.member[i], true);
        sim_run_for(w.lan.sim, USEC_PER_MINUTE);
        take_away(&w);
        assert_true(all_reach(&w, 8 * USEC_PER_SEC));
        world_done(&w);
}

/* Their clocks are years apart, and nobody keeps them; also when they start anew with less. */
static void test_clocks(void **state) {
        World w;

        world_init(&w);
        for (unsigned i = 0; i < N; i++)
                sim_node_set_realtime_offset(w.member[i]->node, -(int64_t) (i * 30 * USEC_PER_DAY));
        take_away(&w);
        for (unsigned i = 0; i < N; i++)
                set_discovery(w.member[i], true);
        sim_run_for(w.lan.sim, 10 * USEC_PER_SEC);
        for (unsigned i = 0; i < N; i++)
                assert_int_equal(mesh_lan_info(mesh_of(w.member[i])).machines, N - 1);
        world_done(&w);
}

/* Who asks is told by all who hear it, however long it is until they speak by themselves. */
static void test_answer(void **state) {
        World w;

        world_init(&w);
        take_away(&w);
        set_discovery(w.member[1], true);
        sim_run_for(w.lan.sim, 20 * USEC_PER_SEC);
        set_discovery(w.member[0], true);
        sim_run_for(w.lan.sim, 3 * USEC_PER_SEC);
        assert_int_equal(mesh_lan_info(mesh_of(w.member[0])).machines, 1);
        assert_int_equal(mesh_lan_info(mesh_of(w.member[1])).machines, 1);
        assert_true(mesh_lan_info(mesh_of(w.member[1])).answered > 0);
        world_done(&w);
}

/* A stranger can tell neither machine nor network, nor that two are of one machine. */
static void test_stranger_sees_nothing(void **state) {
        World w;

        world_init(&w);
        take_away(&w);
        for (unsigned i = 0; i < N; i++)
                set_discovery(w.member[i], true);
        sim_run_for(w.lan.sim, 30 * USEC_PER_MINUTE);
        assert_true(w.beacons->len > 20);
        for (unsigned i = 0; i < w.beacons->len; i++) {
                const uint8_t *a = g_bytes_get_data(w.beacons->pdata[i], NULL);

                assert_int_equal(read_be32(a), (uint32_t) MESSAGE_BEACON << 24);
                for (unsigned k = 0; k < i; k++) {
                        const uint8_t *b = g_bytes_get_data(w.beacons->pdata[k], NULL);

                        /* No 4 bytes at the same place are alike: by chance that would be once in
                         * some million beacons. */
                        for (size_t at = BEACON_NONCE_OFFSET; at + 4 <= BEACON_SIZE; at++)
                                assert_true(memcmp(a + at, b + at, 4) != 0);
                }
        }
        world_done(&w);
}

/* All that was recorded is sent again, from elsewhere, at once and later. */
static void test_replays(void **state) {
        unsigned n;
        World w;

        world_init(&w);
        take_away(&w);
        for (unsigned i = 0; i < N; i++)
                set_synchronised(w.member[i], true);
        for (unsigned i = 0; i < N; i++)
                set_discovery(w.member[i], true);
        assert_true(all_reach(&w, 5 * USEC_PER_SEC));
        n = w.beacons->len;
        for (unsigned later = 0; later < 3; later++) {
                for (unsigned i = 0; i < n; i++)
                        for (unsigned k = 0; k < N; k++) {
                                Endpoint to = sim_node_endpoint(w.member[k]->node);
                                size_t len;
                                const void *data = g_bytes_get_data(w.beacons->pdata[i], &len);

                                sim_inject(w.lan.sim, &w.stranger, &to, data, len);
                        }
                sim_run_for(w.lan.sim, 20 * USEC_PER_MINUTE);
        }
        assert_int_equal(w.to_stranger, 0);
        assert_true(drop_counter(network_drops(w.member[0]->network), DROP_REPLAYED) >= n / 2);
        assert_true(all_reach(&w, 5 * USEC_PER_SEC));
        world_done(&w);
}

/* Recorded here, and played to a member at another place that never heard of the sender: within the
 * window it can be told that they belong together (docs/security.md), by one answer; then not. */
static void test_replay_elsewhere(void **state) {
        Machine *a, *far;
        Endpoint to;
        World w;

        world_init(&w);
        for (unsigned i = 0; i < N; i++)
                set_synchronised(w.member[i], true);
        a = w.member[0], far = w.member[1];
        sim_node_set_lan(a->node, HOME);
        sim_node_set_lan(far->node, ELSEWHERE);
        set_discovery(a, true);
        sim_run_for(w.lan.sim, 10 * USEC_PER_SEC);
        assert_true(w.beacons->len > 1);
        set_discovery(far, true);
        to = sim_node_endpoint(far->node);
        for (unsigned i = 0; i < 2; i++) {
                size_t len;
                const void *data = g_bytes_get_data(w.beacons->pdata[0], &len);

                sim_inject(w.lan.sim, &w.stranger, &to, data, len);
                sim_inject(w.lan.sim, &w.stranger, &to, data, len);
                sim_run_for(w.lan.sim, 5 * USEC_PER_SEC);
                assert_int_equal(w.answers_to_stranger, 1);
        }
        /* Another life that forgot all of it, an hour later. */
        sim_run_for(w.lan.sim, USEC_PER_HOUR);
        machine_stop(far, true, false);
        machine_start(far);
        set_discovery(far, true);
        for (unsigned i = 0; i < w.beacons->len && i < 3; i++) {
                size_t len;
                const void *data = g_bytes_get_data(w.beacons->pdata[i], &len);

                sim_inject(w.lan.sim, &w.stranger, &to, data, len);
        }
        sim_run_for(w.lan.sim, USEC_PER_MINUTE);
        assert_int_equal(w.answers_to_stranger, 1);
        world_done(&w);
}

/* A beacon that is relayed before its receiver has it: one hint, and nothing but handshakes leave
 * to there. */
static void test_relayed(void **state) {
        Endpoint to;
        size_t len;
        const void *data;
        World w;

        world_init(&w);
        take_away(&w);
        set_discovery(w.member[1], true);
        w.silent = w.member[0]->node;
        set_discovery(w.member[0], true);
        sim_run_for(w.lan.sim, USEC_PER_SEC);
        to = sim_node_endpoint(w.member[1]->node);
        data = g_bytes_get_data(w.beacons->pdata[w.beacons->len - 1], &len);
        for (unsigned i = 0; i < 100; i++)
                sim_inject(w.lan.sim, &w.stranger, &to, data, len);
        sim_run_for(w.lan.sim, 10 * USEC_PER_SEC);
        assert_true(w.answers_to_stranger <= 1);
        assert_true(w.to_stranger <= 12);
        world_done(&w);
}

/* A member that has the others ask a victim: by as many beacons as it likes, in another's name. */
static void test_forged_by_member(void **state) {
        Secret *key;
        Endpoint to;
        World w;

        world_init(&w);
        take_away(&w);
        for (unsigned i = 0; i < N; i++)
                set_discovery(w.member[i], true);
        assert_true(all_reach(&w, 5 * USEC_PER_SEC));
        sim_run_for(w.lan.sim, 2 * USEC_PER_MINUTE);
        assert_true(all_reach(&w, 5 * USEC_PER_SEC));
        key = beacon_derive_key(&w.member[0]->membership.id, w.member[0]->membership.secret);
        to = sim_node_endpoint(w.member[1]->node);
        for (unsigned i = 0; i < 400; i++) {
                uint8_t nonce[BEACON_NONCE_SIZE], data[BEACON_SIZE];
                Beacon b = {
                        .machine = *machine_id(w.member[0]),
                        .stamp = i + 1,
                        .port = (uint16_t) (1000 + i),
                        .unsure = true,
                        .asks = true,
                };

                env_random(sim_node_env(w.member[2]->node), nonce, sizeof nonce);
                beacon_seal(key, nonce, &b, data);
                sim_inject(w.lan.sim, &w.stranger, &to, data, sizeof data);
        }
        sim_run_for(w.lan.sim, USEC_PER_SEC);
        assert_in_range(w.to_stranger, 2, 1 + 4);
        assert_int_equal(w.answers_to_stranger, 1);
        assert_true(all_reach(&w, 5 * USEC_PER_SEC));
        secret_unref(key);
        world_done(&w);
}

static void test_foreign(void **state) {
        uint8_t junk[BEACON_SIZE] = { MESSAGE_BEACON };
        Endpoint to;
        World w;

        world_init(&w);
        set_discovery(w.member[0], true);
        to = sim_node_endpoint(w.member[0]->node);
        for (unsigned i = 0; i < 2000; i++) {
                env_random(sim_node_env(w.member[1]->node), junk + 4, sizeof junk - 4);
                sim_inject(w.lan.sim, &w.stranger, &to, junk, sizeof junk);
        }
        sim_run_for(w.lan.sim, USEC_PER_SEC);
        assert_int_equal(w.to_stranger, 0);
        assert_true(drop_counter(network_drops(w.member[0]->network), DROP_BEACON_FOREIGN) >=
                    BEACONS_BURST);
        assert_true(drop_counter(network_drops(w.member[0]->network), DROP_RATE_LIMITED) > 0);
        world_done(&w);
}

static void test_off(void **state) {
        World w;

        world_init(&w);
        take_away(&w);
        set_discovery(w.member[0], true);
        set_discovery(w.member[0], false);
        set_discovery(w.member[1], true);
        sim_run_for(w.lan.sim, 10 * USEC_PER_MINUTE);
        assert_int_equal(mesh_lan_info(mesh_of(w.member[0])).heard, 0);
        assert_int_equal(mesh_lan_info(mesh_of(w.member[0])).answered, 0);
        assert_int_equal(mesh_lan_info(mesh_of(w.member[1])).machines, 0);
        world_done(&w);
}

/* Nobody is there and nothing changes. */
static void test_idle(void **state) {
        uint64_t before;
        World w;

        world_init(&w);
        sim_node_set_lan(w.member[0]->node, HOME);
        set_discovery(w.member[0], true);
        sim_run_for(w.lan.sim, 10 * USEC_PER_MINUTE);
        before = mesh_lan_info(mesh_of(w.member[0])).sent;
        sim_run_for(w.lan.sim, 2 * USEC_PER_HOUR);
        assert_in_range(mesh_lan_info(mesh_of(w.member[0])).sent - before, 20, 31);
        world_done(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_found),
                cmocka_unit_test(test_moved),
                cmocka_unit_test(test_clocks),
                cmocka_unit_test(test_answer),
                cmocka_unit_test(test_stranger_sees_nothing),
                cmocka_unit_test(test_replays),
                cmocka_unit_test(test_replay_elsewhere),
                cmocka_unit_test(test_relayed),
                cmocka_unit_test(test_forged_by_member),
                cmocka_unit_test(test_foreign),
                cmocka_unit_test(test_off),
                cmocka_unit_test(test_idle),
        };

        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
