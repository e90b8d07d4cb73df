/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tunnel-world.h"

/*
 * Machine 1's pool probes, too, and what it asks counts as a sign of life for machine 0. Tests of
 * what machine 0 does by itself let machine 1 be silent: its idle interval is made endless.
 */
static void silence_other(TunnelWorld *w) {
        SessionPoolConfig config = SESSION_POOL_CONFIG_DEFAULT;

        config.probe_interval = config.probe_interval_idle = config.idle_timeout = USEC_PER_DAY;
        session_pool_free(w->pool[1]);
        mock_mesh_run(w->mesh, PROBE_TIMEOUT_USEC);
        assert_int_equal(session_pool_new(mock_node_provider(w->node[1]), &config, &w->pool[1]), 0);
        assert_int_equal(session_pool_start(w->pool[1]), 0);
}

/* Packets in both directions: the session is in use. */
static void use_packets(TunnelWorld *w) {
        usec_t now = mock_mesh_now(w->mesh);
        uint64_t n[2] = { now, now };

        mock_node_set_packet_stats(w->node[0], &w->id[1], n, n, now, now);
}

static void test_no_probe_without_session(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        mock_mesh_run(w.mesh, 10 * USEC_PER_MINUTE);
        assert_int_equal(w.probes, 0);
        s = tunnel_open(&w, 0, 1, "data");
        mock_mesh_run(w.mesh, USEC_PER_MINUTE);
        assert_true(w.probes > 0);
        session_pool_close(w.pool[0], s);
        mock_mesh_settle(w.mesh);
        w.probes = 0;
        mock_mesh_run(w.mesh, 10 * USEC_PER_MINUTE);
        assert_int_equal(w.probes, 0);
        assert_true(timer_queue_next(mock_mesh_env(w.mesh)->timers) == USEC_INFINITY);
}

static void test_rtt(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        mock_mesh_set_latency(w.mesh, 15 * USEC_PER_MSEC);
        s = tunnel_open(&w, 0, 1, "packets");
        assert_int_equal(session_rtt(s), 0);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_rtt(s), 30 * USEC_PER_MSEC);
        mock_mesh_set_latency(w.mesh, 55 * USEC_PER_MSEC);
        session_pool_network_changed(w.pool[0]);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_rtt(s), 40 * USEC_PER_MSEC); /* 30 * 7/8 + 110 / 8 */
        /* Shared by all sessions of the machine. */
        assert_int_equal(session_rtt(tunnel_open(&w, 0, 1, "data")), 40 * USEC_PER_MSEC);
}

/* In use, but with nothing coming back: a probe every interval. */
static void test_probe_interval_in_use(void **state) {
        TUNNEL_WORLD(w, 2);

        silence_other(&w);
        tunnel_open(&w, 0, 1, "packets");
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        w.probes = 0;
        for (unsigned i = 0; i < 300; i++) {
                use_packets(&w);
                mock_mesh_run(w.mesh, USEC_PER_SEC);
        }
        /* The interval begins when the probe before is answered, 20 ms later. */
        assert_in_range(w.probes, 59, 60);
}

/* Whatever arrives shows that the machine is there: a busy link is not probed at all. */
static void test_busy_link_not_probed(void **state) {
        TUNNEL_WORLD(w, 2);

        silence_other(&w);
        tunnel_open(&w, 0, 1, "packets");
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        w.probes = 0;
        for (unsigned i = 0; i < 600; i++) {
                use_packets(&w);
                mock_node_set_last_received(w.node[0], &w.id[1], mock_mesh_now(w.mesh));
                mock_mesh_run(w.mesh, USEC_PER_SEC);
        }
        assert_int_equal(w.probes, 0);
}

/* Nothing in use: rarer and rarer, then once a minute; the session closes when idle. */
static void test_idle_machine_probed_rarely(void **state) {
        static const unsigned at[] = { 5, 15, 35, 75, 135, 195, 255 };
        TUNNEL_WORLD(w, 2);

        silence_other(&w);
        tunnel_open(&w, 0, 1, "packets");
        mock_mesh_run(w.mesh, USEC_PER_SEC / 2);
        for (size_t i = 0; i < ELEMENTSOF(at); i++) {
                usec_t due = (i == 0 ? at[0] : at[i] - at[i - 1]) * USEC_PER_SEC;

                w.probes = 0;
                mock_mesh_run(w.mesh, due - USEC_PER_SEC);
                assert_int_equal(w.probes, 0);
                mock_mesh_run(w.mesh, USEC_PER_SEC);
                assert_int_equal(w.probes, 1);
        }
}

/* Nobody wakes more often than once a minute then. */
static void test_idle_machine_wakes_rarely(void **state) {
        SessionPoolConfig config = SESSION_POOL_CONFIG_DEFAULT;
        unsigned wakeups = 0;
        usec_t end, next;

        config.idle_timeout = USEC_PER_DAY;
        TUNNEL_WORLD_CONFIG(w, 2, &config);
        silence_other(&w);
        tunnel_open(&w, 0, 1, "packets");
        mock_mesh_run(w.mesh, 5 * USEC_PER_MINUTE);
        end = mock_mesh_now(w.mesh) + USEC_PER_HOUR;
        while ((next = timer_queue_next(mock_mesh_env(w.mesh)->timers)) < end) {
                mock_mesh_run(w.mesh, next - mock_mesh_now(w.mesh));
                mock_mesh_run(w.mesh, USEC_PER_SEC); /* the probe and its answer are one */
                wakeups++;
        }
        assert_in_range(wakeups, 55, 60);
}

/* When it is used again the next look makes the interval short. */
static void test_short_interval_again_when_used(void **state) {
        TUNNEL_WORLD(w, 2);

        silence_other(&w);
        tunnel_open(&w, 0, 1, "packets");
        mock_mesh_run(w.mesh, 140 * USEC_PER_SEC);
        use_packets(&w);
        mock_mesh_run(w.mesh, 60 * USEC_PER_SEC);
        w.probes = 0;
        for (unsigned i = 0; i < 10; i++) {
                use_packets(&w);
                mock_mesh_run(w.mesh, USEC_PER_SEC);
        }
        assert_in_range(w.probes, 1, 2);
}

/* The two are cut apart, nobody says so. All sessions of the machine hear of it. */
static void test_degraded_when_cut_apart(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = tunnel_open(&w, 0, 1, "packets"), *data = tunnel_open(&w, 0, 1, "data");

        mock_mesh_run(w.mesh, USEC_PER_SEC);
        mock_mesh_set_reachable(w.mesh, w.node[0], w.node[1], false);
        mock_mesh_run(w.mesh, 17 * USEC_PER_SEC);
        assert_int_equal(session_state(s), SESSION_DEGRADED);
        assert_int_equal(session_state(data), SESSION_DEGRADED);
        assert_int_equal(mock_node_repairs(w.node[0], &w.id[1]), 1);
}

/* Degraded and repaired after exactly three misses, not before. */
static void test_degraded_after_three_misses(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;
        usec_t first;

        silence_other(&w);
        s = tunnel_open(&w, 0, 1, "packets");
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        w.lose_probes = true;
        w.probes = 0;
        while (w.probes == 0) {
                use_packets(&w);
                mock_mesh_run(w.mesh, USEC_PER_MSEC);
        }
        first = mock_mesh_now(w.mesh) - USEC_PER_MSEC; /* sent within this millisecond */
        mock_mesh_run(w.mesh, first + 2 * PROBE_TIMEOUT_USEC - mock_mesh_now(w.mesh));
        assert_int_equal(w.probes, 2);
        mock_mesh_run(w.mesh, 2 * USEC_PER_MSEC);
        assert_int_equal(w.probes, 3);
        mock_mesh_run(w.mesh, PROBE_TIMEOUT_USEC - 3 * USEC_PER_MSEC);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        assert_int_equal(mock_node_repairs(w.node[0], &w.id[1]), 0);
        mock_mesh_run(w.mesh, 3 * USEC_PER_MSEC);
        assert_int_equal(session_state(s), SESSION_DEGRADED);
        assert_int_equal(mock_node_repairs(w.node[0], &w.id[1]), 1);
        assert_int_equal(w.probes, 3);
        /* Packets still try their luck. */
        assert_true(mock_node_packets_open(w.node[0], &w.id[1]));

        /* Again after three more, at the slower pace: 5 s + 2 s each. */
        mock_mesh_run(w.mesh, 20 * USEC_PER_SEC);
        assert_int_equal(mock_node_repairs(w.node[0], &w.id[1]), 1);
        mock_mesh_run(w.mesh, 2 * USEC_PER_SEC);
        assert_int_equal(mock_node_repairs(w.node[0], &w.id[1]), 2);
        assert_string_equal(w.changes->str, "packets=active;packets=degraded;");
}

static void test_two_misses_are_forgiven(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        silence_other(&w);
        s = tunnel_open(&w, 0, 1, "packets");
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        for (unsigned i = 0; i < 5; i++) {
                w.lose_probes = true;
                w.probes = 0;
                while (w.probes < 3) { /* the third is answered */
                        use_packets(&w);
                        mock_mesh_run(w.mesh, USEC_PER_MSEC);
                        w.lose_probes = w.probes < 2;
                }
                mock_mesh_run(w.mesh, USEC_PER_SEC);
                assert_int_equal(session_state(s), SESSION_ACTIVE);
        }
        assert_int_equal(mock_node_repairs(w.node[0], &w.id[1]), 0);
}

/* Probes get lost, but while each is under way something else arrives. */
static void test_lost_probe_on_living_link(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        silence_other(&w);
        s = tunnel_open(&w, 0, 1, "packets");
        w.lose_probes = true;
        for (unsigned i = 0; i < 10; i++) {
                w.probes = 0;
                while (w.probes == 0) {
                        use_packets(&w);
                        mock_mesh_run(w.mesh, USEC_PER_MSEC);
                }
                mock_mesh_run(w.mesh, USEC_PER_MSEC);
                mock_node_set_last_received(w.node[0], &w.id[1], mock_mesh_now(w.mesh));
                mock_mesh_run(w.mesh, PROBE_TIMEOUT_USEC);
                assert_int_equal(w.probes, 1);
                assert_int_equal(session_state(s), SESSION_ACTIVE);
        }
        assert_int_equal(mock_node_repairs(w.node[0], &w.id[1]), 0);
}

static void test_recovery(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        silence_other(&w);
        s = tunnel_open(&w, 0, 1, "data");
        w.lose_probes = true;
        mock_mesh_run(w.mesh, 30 * USEC_PER_SEC);
        assert_int_equal(session_state(s), SESSION_DEGRADED);
        assert_int_equal(session_send(s, "x", 1), 0);
        w.lose_probes = false;
        mock_mesh_run(w.mesh, PROBE_INTERVAL_USEC + PROBE_TIMEOUT_USEC);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        assert_string_equal(w.changes->str, "data=active;data=degraded;data=active;");
        /* And three more misses are needed for the next time. */
        w.lose_probes = true;
        w.probes = 0;
        while (w.probes < 3)
                mock_mesh_run(w.mesh, USEC_PER_MSEC);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        mock_mesh_run(w.mesh, PROBE_TIMEOUT_USEC);
        assert_int_equal(session_state(s), SESSION_DEGRADED);
}

/* Degraded, and a packet comes in: seen at the next look, without an answer to a probe. */
static void test_recovery_by_any_message(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        silence_other(&w);
        s = tunnel_open(&w, 0, 1, "data");
        w.lose_probes = true;
        mock_mesh_run(w.mesh, 30 * USEC_PER_SEC);
        assert_int_equal(session_state(s), SESSION_DEGRADED);
        mock_node_set_last_received(w.node[0], &w.id[1], mock_mesh_now(w.mesh));
        mock_mesh_run(w.mesh, PROBE_INTERVAL_USEC);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
}

static void test_new_session_on_degraded_machine(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        silence_other(&w);
        tunnel_open(&w, 0, 1, "data");
        w.lose_probes = true;
        mock_mesh_run(w.mesh, 31 * USEC_PER_SEC);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "packets", &s), 0);
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_state(s), SESSION_DEGRADED);
        w.lose_probes = false;
        mock_mesh_run(w.mesh, PROBE_INTERVAL_USEC + PROBE_TIMEOUT_USEC);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
}

static void test_network_changed_probes_at_once(void **state) {
        TUNNEL_WORLD(w, 3);

        silence_other(&w);
        tunnel_open(&w, 0, 1, "packets");
        tunnel_open(&w, 0, 2, "packets");
        mock_mesh_run(w.mesh, 200 * USEC_PER_SEC);
        w.probes = 0;
        session_pool_network_changed(w.pool[0]);
        assert_int_equal(w.probes, 2);
        session_pool_network_changed(w.pool[1]);
        assert_int_equal(w.probes, 2);
}

/* The probe under way went out on the network that is gone: its loss says nothing. */
static void test_network_changed_during_probe(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        silence_other(&w);
        s = tunnel_open(&w, 0, 1, "packets");
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        w.lose_probes = true;
        for (unsigned i = 0; i < 10; i++) {
                session_pool_network_changed(w.pool[0]);
                mock_mesh_run(w.mesh, USEC_PER_SEC);
        }
        w.lose_probes = false;
        session_pool_network_changed(w.pool[0]);
        mock_mesh_run(w.mesh, 10 * USEC_PER_SEC);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        assert_int_equal(mock_node_repairs(w.node[0], &w.id[1]), 0);
}

/* Without a link a probe cannot even leave: that is a miss, too, and takes as long. */
static void test_link_down_is_repaired(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        silence_other(&w);
        s = tunnel_open(&w, 0, 1, "packets");
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        mock_mesh_link_down(w.mesh, w.node[0], w.node[1]);
        assert_int_equal(session_state(s), SESSION_DEGRADED);
        assert_int_equal(mock_node_repairs(w.node[0], &w.id[1]), 1);
        mock_mesh_run(w.mesh, 5 * USEC_PER_SEC + 3 * 7 * USEC_PER_SEC);
        assert_int_equal(mock_node_repairs(w.node[0], &w.id[1]), 2);
        mock_mesh_link_up(w.mesh, w.node[0], w.node[1]);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
}

static void test_free_with_probe_under_way(void **state) {
        TUNNEL_WORLD(w, 2);

        tunnel_open(&w, 0, 1, "packets");
        w.pool[0] = session_pool_free(w.pool[0]);
        mock_mesh_run(w.mesh, 10 * USEC_PER_SEC);
        assert_int_equal(session_pool_new(mock_node_provider(w.node[0]), NULL, &w.pool[0]), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_probe_without_session),
                cmocka_unit_test(test_rtt),
                cmocka_unit_test(test_probe_interval_in_use),
                cmocka_unit_test(test_busy_link_not_probed),
                cmocka_unit_test(test_idle_machine_probed_rarely),
                cmocka_unit_test(test_idle_machine_wakes_rarely),
                cmocka_unit_test(test_short_interval_again_when_used),
                cmocka_unit_test(test_degraded_when_cut_apart),
                cmocka_unit_test(test_degraded_after_three_misses),
                cmocka_unit_test(test_two_misses_are_forgiven),
                cmocka_unit_test(test_lost_probe_on_living_link),
                cmocka_unit_test(test_recovery),
                cmocka_unit_test(test_recovery_by_any_message),
                cmocka_unit_test(test_new_session_on_degraded_machine),
                cmocka_unit_test(test_network_changed_probes_at_once),
                cmocka_unit_test(test_network_changed_during_probe),
                cmocka_unit_test(test_link_down_is_repaired),
                cmocka_unit_test(test_free_with_probe_under_way),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
