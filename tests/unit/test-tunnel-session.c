/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/macros.h"
#include "core/tunnel/pool.h"
#include "tunnel-world.h"

static void test_session_key(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "packets", &s), 0);
        assert_true(machine_id_equal(session_machine(s), &w.id[1]));
        assert_string_equal(session_channel(s), "packets");
        assert_int_equal(session_state(s), SESSION_CONNECTING);
        assert_null(session_close_reason(s));
        assert_ptr_equal(session_pool_get_existing(w.pool[0], &w.id[1], "packets"), s);
        assert_null(session_pool_get_existing(w.pool[0], &w.id[1], "data"));
        assert_null(session_pool_get_existing(w.pool[0], &w.id[0], "packets"));
}

static void test_session_state_names(void **state) {
        assert_string_equal(session_state_to_string(SESSION_CONNECTING), "connecting");
        assert_string_equal(session_state_to_string(SESSION_ACTIVE), "active");
        assert_string_equal(session_state_to_string(SESSION_DEGRADED), "degraded");
        assert_string_equal(session_state_to_string(SESSION_CLOSED), "closed");
        assert_null(session_state_to_string(_SESSION_STATE_INVALID));
}

static void test_receive_callback(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = tunnel_open(&w, 0, 1, "data");

        session_on_receive(s, tunnel_on_receive, &w);
        tunnel_send(&w, 1, 0, "data", "hello");
        assert_string_equal(w.received->str, "data:hello;");
        session_on_receive(s, NULL, NULL);
        tunnel_send(&w, 1, 0, "data", "unheard");
        assert_string_equal(w.received->str, "data:hello;");
}

static void test_session_statistics(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = tunnel_open(&w, 0, 1, "data");
        SessionStats stats = session_stats(s);
        uint8_t data[100] = { 0x42 };

        assert_int_equal(stats.packets_sent, 0);
        assert_int_equal(stats.last_activity, 0);
        assert_true(stats.established > 0 && stats.established <= mock_mesh_now(w.mesh));
        assert_int_equal(session_send(s, data, sizeof data), 0);
        stats = session_stats(s);
        assert_int_equal(stats.packets_sent, 1);
        assert_int_equal(stats.bytes_sent, 100);
        assert_int_equal(stats.last_activity, mock_mesh_now(w.mesh));
        mock_mesh_settle(w.mesh);
        stats = session_stats(tunnel_existing(&w, 1, 0, "data"));
        assert_int_equal(stats.packets_received, 1);
        assert_int_equal(stats.bytes_received, 100);
        assert_int_equal(stats.packets_sent, 0);

        /* What did not leave does not count. */
        mock_node_fail_sends(w.node[0], -ENOBUFS);
        assert_int_equal(session_send(s, data, sizeof data), -ENOBUFS);
        assert_int_equal(session_stats(s).packets_sent, 1);
        mock_node_fail_sends(w.node[0], 0);
}

/* The packet path counts for the whole life of the machine's peer; a session shows its part. */
static void test_packets_statistics(void **state) {
        TUNNEL_WORLD(w, 2);
        usec_t old = mock_mesh_now(w.mesh) - 1;
        SessionStats stats;
        Session *s;

        mock_node_set_packet_stats(
                        w.node[0], &w.id[1], (uint64_t[]){ 10, 1000 }, (uint64_t[]){ 20, 2000 },
                        old, old);
        s = tunnel_open(&w, 0, 1, "packets");
        stats = session_stats(s);
        assert_int_equal(stats.packets_sent, 0);
        assert_int_equal(stats.bytes_received, 0);
        assert_int_equal(stats.last_activity, 0);
        mock_node_set_packet_stats(
                        w.node[0], &w.id[1], (uint64_t[]){ 11, 1100 }, (uint64_t[]){ 22, 2222 },
                        mock_mesh_now(w.mesh), old);
        session_ref(s);
        session_pool_close(w.pool[0], s);
        mock_node_set_packet_stats(
                        w.node[0], &w.id[1], (uint64_t[]){ 99, 9999 }, (uint64_t[]){ 99, 9999 },
                        old, old);
        stats = session_stats(s); /* as they were when it ended */
        assert_int_equal(stats.packets_sent, 1);
        assert_int_equal(stats.bytes_sent, 100);
        assert_int_equal(stats.packets_received, 2);
        assert_int_equal(stats.bytes_received, 222);
        assert_int_equal(stats.last_activity, mock_mesh_now(w.mesh));
        session_unref(s);
}

static void test_send_while_disconnected_throws(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "data", &s), 0);
        assert_int_equal(session_send(s, "test", 4), -ENOTCONN);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_send(s, "test", 4), 0);
        session_ref(s);
        session_pool_close(w.pool[0], s);
        assert_int_equal(session_send(s, "test", 4), -ENOTCONN);
        assert_int_equal(session_rtt(s), 0);
        session_unref(s);
}

/* Packets go the packet path, nothing else does. */
static void test_send_on_packets_session(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = tunnel_open(&w, 0, 1, "packets");

        assert_int_equal(session_send(s, "test", 4), -EOPNOTSUPP);
}

static void test_send_too_big(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = tunnel_open(&w, 0, 1, "data");
        static const uint8_t big[CONTROL_MESSAGE_MAX];

        assert_int_equal(session_send(s, big, sizeof big), -EMSGSIZE);
}

static void test_ignores_wrong_sender(void **state) {
        TUNNEL_WORLD(w, 3);
        const ChannelProvider *stranger = mock_node_provider(w.node[2]);
        Session *s = tunnel_open(&w, 0, 1, "data");

        session_on_receive(s, tunnel_on_receive, &w);
        assert_int_equal(
                        stranger->ops->send_datagram(
                                        stranger->self, &w.id[0], "tunnel:data", "hello", 5),
                        0);
        mock_mesh_settle(w.mesh);
        assert_string_equal(w.received->str, "");
        assert_int_equal(session_stats(s).packets_received, 0);
}

/* One channel name, several machines: each session gets its own machine's data. */
static void test_same_channel_different_machines(void **state) {
        TUNNEL_WORLD(w, 3);
        Session *s1 = tunnel_open(&w, 0, 1, "data"), *s2 = tunnel_open(&w, 0, 2, "data");

        session_on_receive(s1, tunnel_on_receive, &w);
        tunnel_send(&w, 2, 0, "data", "two");
        assert_string_equal(w.received->str, "");
        assert_int_equal(session_stats(s2).packets_received, 1);
        tunnel_send(&w, 1, 0, "data", "one");
        assert_string_equal(w.received->str, "data:one;");

        /* The handler of the channel outlives the first of its sessions. */
        session_pool_close(w.pool[0], s2);
        mock_mesh_settle(w.mesh);
        tunnel_send(&w, 1, 0, "data", "more");
        assert_string_equal(w.received->str, "data:one;data:more;");
}

static void test_session_over_mock_mesh(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s1 = tunnel_open(&w, 0, 1, "data");
        Session *s2 = tunnel_existing(&w, 1, 0, "data");

        session_on_receive(s2, tunnel_on_receive, &w);
        assert_int_equal(session_send(s1, "ping", 4), 0);
        mock_mesh_run(w.mesh, 50 * USEC_PER_MSEC);
        assert_string_equal(w.received->str, "data:ping;");
        session_on_receive(s1, tunnel_on_receive, &w);
        assert_int_equal(session_send(s2, "pong", 4), 0);
        mock_mesh_run(w.mesh, 50 * USEC_PER_MSEC);
        assert_string_equal(w.received->str, "data:ping;data:pong;");
}

static void test_multiple_channels_same_machine(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *control = tunnel_open(&w, 0, 1, "control"), *data = tunnel_open(&w, 0, 1, "data");

        assert_ptr_not_equal(control, data);
        session_on_receive(control, tunnel_on_receive, &w);
        session_on_receive(data, tunnel_on_receive, &w);
        tunnel_send(&w, 1, 0, "data", "d");
        tunnel_send(&w, 1, 0, "control", "c");
        assert_string_equal(w.received->str, "data:d;control:c;");
        session_pool_close(w.pool[0], control);
        mock_mesh_settle(w.mesh);
        tunnel_send(&w, 1, 0, "data", "still");
        assert_string_equal(w.received->str, "data:d;control:c;data:still;");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_session_key),
                cmocka_unit_test(test_session_state_names),
                cmocka_unit_test(test_receive_callback),
                cmocka_unit_test(test_session_statistics),
                cmocka_unit_test(test_packets_statistics),
                cmocka_unit_test(test_send_while_disconnected_throws),
                cmocka_unit_test(test_send_on_packets_session),
                cmocka_unit_test(test_send_too_big),
                cmocka_unit_test(test_ignores_wrong_sender),
                cmocka_unit_test(test_same_channel_different_machines),
                cmocka_unit_test(test_session_over_mock_mesh),
                cmocka_unit_test(test_multiple_channels_same_machine),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
