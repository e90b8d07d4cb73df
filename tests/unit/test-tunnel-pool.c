/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "core/wire/control.h"
#include "tunnel-world.h"

static void test_get_or_create_session(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s1, *s2;

        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "packets", &s1), 0);
        assert_int_equal(session_pool_count(w.pool[0]), 1);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "packets", &s2), 0);
        assert_ptr_equal(s1, s2);
        assert_int_equal(session_pool_count(w.pool[0]), 1);
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "packets", &s2), 0);
        assert_ptr_equal(s1, s2);
        assert_int_equal(session_pool_count(w.pool[1]), 1);
        assert_int_equal(mock_mesh_open_requests(w.mesh), 0);
}

static void test_get_refuses(void **state) {
        TUNNEL_WORLD(w, 2);
        MachineId nobody = mock_machine_id(99);
        g_autofree char *longest = g_strnfill(57, 'x'), *longer = g_strnfill(58, 'x');
        Session *s = NULL;

        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "", &s), -EINVAL);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "a b", &s), -EINVAL);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], longer, &s), -EINVAL);
        assert_int_equal(session_pool_get(w.pool[0], &nobody, "data", &s), -ENXIO);
        assert_null(s);
        assert_int_equal(session_pool_count(w.pool[0]), 0);
        assert_string_equal(w.changes->str, "");
        tunnel_open(&w, 0, 1, longest);
}

static void test_different_channels_different_sessions(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *control = tunnel_open(&w, 0, 1, "control"), *data = tunnel_open(&w, 0, 1, "data");

        assert_ptr_not_equal(control, data);
        assert_int_equal(session_pool_count(w.pool[0]), 2);
}

static void test_close_all_sessions_to_machine(void **state) {
        TUNNEL_WORLD(w, 3);

        tunnel_open(&w, 0, 1, "control");
        tunnel_open(&w, 0, 1, "data");
        tunnel_open(&w, 0, 2, "packets");
        assert_int_equal(session_pool_count(w.pool[0]), 3);
        session_pool_close_machine(w.pool[0], &w.id[1]);
        assert_int_equal(session_pool_count(w.pool[0]), 1);
        assert_non_null(tunnel_existing(&w, 0, 2, "packets"));
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_pool_count(w.pool[1]), 0);
        assert_int_equal(session_pool_count(w.pool[2]), 1);
}

static void append_key(void *userdata, Session *s) {
        g_string_append_printf(userdata, "%u/%s ", session_machine(s)->bytes[4], session_channel(s));
}

static void test_foreach_in_order(void **state) {
        TUNNEL_WORLD(w, 3);
        g_autoptr(GString) text = g_string_new(NULL);

        tunnel_open(&w, 0, 2, "b");
        tunnel_open(&w, 0, 1, "d");
        tunnel_open(&w, 0, 2, "a");
        tunnel_open(&w, 0, 1, "c");
        session_pool_foreach(w.pool[0], append_key, text);
        assert_string_equal(text->str, "2/c 2/d 3/a 3/b ");
}

static void close_one(void *userdata, Session *s) {
        session_pool_close(userdata, s);
}

static void test_close_while_iterating(void **state) {
        TUNNEL_WORLD(w, 2);

        tunnel_open(&w, 0, 1, "a");
        tunnel_open(&w, 0, 1, "b");
        session_pool_foreach(w.pool[0], close_one, w.pool[0]);
        assert_int_equal(session_pool_count(w.pool[0]), 0);
}

static void on_established(void *userdata, Session *s) {
        append_key(userdata, s);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
}

static void test_session_established_callback(void **state) {
        TUNNEL_WORLD(w, 2);
        g_autoptr(GString) here = g_string_new(NULL), there = g_string_new(NULL);

        session_pool_on_established(w.pool[0], on_established, here);
        session_pool_on_established(w.pool[1], on_established, there);
        tunnel_open(&w, 0, 1, "packets");
        assert_string_equal(here->str, "2/packets ");
        assert_string_equal(there->str, "1/packets ");
        assert_string_equal(w.changes->str, "packets=active;");
        tunnel_open(&w, 0, 1, "packets");
        assert_string_equal(here->str, "2/packets ");
}

static void receive_on_established(void *userdata, Session *s) {
        session_on_receive(s, tunnel_on_receive, userdata);
}

static void test_two_managers_communicate(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        session_pool_on_established(w.pool[1], receive_on_established, &w);
        s = tunnel_open(&w, 0, 1, "data");
        assert_int_equal(session_send(s, "hello", 5), 0);
        mock_mesh_run(w.mesh, 100 * USEC_PER_MSEC);
        assert_string_equal(w.received->str, "data:hello;");
}

static bool
lose_answers(void *userdata,
             MockNode *from,
             MockNode *to,
             MockKind kind,
             const char *channel,
             const uint8_t *data,
             size_t len) {
        return kind != MOCK_RESPONSE;
}

/* Data that overtakes the answer to our open. */
static void test_data_before_answer(void **state) {
        TUNNEL_WORLD(w, 2);
        const ChannelProvider *other = mock_node_provider(w.node[1]);
        Session *s;

        mock_mesh_set_tap(w.mesh, lose_answers, NULL);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "data", &s), 0);
        session_on_receive(s, tunnel_on_receive, &w);
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_state(s), SESSION_CONNECTING);
        assert_int_equal(other->ops->send_datagram(other->self, &w.id[0], "tunnel:data", "early", 5), 0);
        mock_mesh_settle(w.mesh);
        assert_string_equal(w.received->str, "data:early;");
        assert_int_equal(session_state(s), SESSION_CONNECTING);
}

static void test_limit_per_machine(void **state) {
        TUNNEL_WORLD(w, 3);
        Session *s;

        for (unsigned i = 0; i < SESSIONS_PER_MACHINE_MAX; i++) {
                g_autofree char *name = g_strdup_printf("c%u", i);

                tunnel_open(&w, 0, 1, name);
        }
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "more", &s), -EUSERS);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "c3", &s), 0);
        tunnel_open(&w, 0, 2, "more");
        session_pool_close(w.pool[0], s);
        tunnel_open(&w, 0, 1, "more");
}

static void test_limit_in_all(void **state) {
        SessionPoolConfig config = SESSION_POOL_CONFIG_DEFAULT;
        Session *s;

        assert_int_equal(config.total_max, 1000);
        assert_int_equal(config.per_machine_max, 10);
        config.total_max = 3;
        TUNNEL_WORLD_CONFIG(w, 3, &config);
        tunnel_open(&w, 0, 1, "a");
        tunnel_open(&w, 0, 1, "b");
        tunnel_open(&w, 0, 2, "a");
        assert_int_equal(session_pool_get(w.pool[0], &w.id[2], "b", &s), -EUSERS);
        assert_int_equal(session_pool_count(w.pool[0]), 3);
}

/* The one that was idle longest, never one that was used in the last seconds. */
static void test_idlest_makes_room(void **state) {
        SessionPoolConfig config = SESSION_POOL_CONFIG_DEFAULT;
        Session *s;

        config.total_max = 3;
        config.per_machine_max = 2;
        TUNNEL_WORLD_CONFIG(w, 4, &config);
        tunnel_open(&w, 0, 1, "a");
        tunnel_open(&w, 0, 1, "b");
        tunnel_open(&w, 0, 2, "a");
        mock_mesh_run(w.mesh, SESSION_SPARED_USEC / 2);
        tunnel_send(&w, 0, 1, "a", "x");
        mock_mesh_run(w.mesh, SESSION_SPARED_USEC / 2 - USEC_PER_SEC);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[3], "a", &s), -EUSERS);
        mock_mesh_run(w.mesh, 2 * USEC_PER_SEC);
        tunnel_send(&w, 0, 2, "a", "x");
        g_string_truncate(w.changes, 0);
        tunnel_open(&w, 0, 3, "a");
        assert_string_equal(w.changes->str, "b=closed;a=active;");
        assert_null(tunnel_existing(&w, 0, 1, "b"));
        assert_null(tunnel_existing(&w, 1, 0, "b"));
        assert_non_null(tunnel_existing(&w, 0, 1, "a"));
        assert_non_null(tunnel_existing(&w, 0, 2, "a"));

        /* A machine with as many as it may have takes nobody's place. */
        mock_mesh_run(w.mesh, 2 * SESSION_SPARED_USEC);
        tunnel_open(&w, 0, 3, "b");
        assert_int_equal(session_pool_count(w.pool[0]), 3);
        mock_mesh_run(w.mesh, 2 * SESSION_SPARED_USEC);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[3], "c", &s), -EUSERS);
        assert_int_equal(session_pool_count(w.pool[0]), 3);
}

/* Its own last one, with all that hangs on it, and one the other side asks for. */
static void test_room_for_itself_and_for_others(void **state) {
        SessionPoolConfig config = SESSION_POOL_CONFIG_DEFAULT;

        config.total_max = 1;
        TUNNEL_WORLD_CONFIG(w, 3, &config);
        tunnel_open(&w, 0, 1, "a");
        mock_mesh_run(w.mesh, SESSION_SPARED_USEC);
        tunnel_open(&w, 0, 1, "b");
        assert_int_equal(session_pool_count(w.pool[0]), 1);
        mock_mesh_run(w.mesh, SESSION_SPARED_USEC);
        tunnel_open(&w, 2, 0, "c");
        assert_null(tunnel_existing(&w, 0, 1, "b"));
        assert_int_equal(session_pool_count(w.pool[1]), 0);
}

/* Incoming sessions count, too: the one who asks hears "Full". */
static void test_open_refused_by_limit(void **state) {
        SessionPoolConfig config = SESSION_POOL_CONFIG_DEFAULT;
        Session *s;

        config.total_max = 2;
        TUNNEL_WORLD_CONFIG(w, 3, &config);
        tunnel_open(&w, 1, 2, "a");
        tunnel_open(&w, 1, 2, "b");
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "data", &s), 0);
        session_ref(s);
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_state(s), SESSION_CLOSED);
        assert_string_equal(session_close_reason(s), "refused by the other side: Full");
        assert_string_equal(w.changes->str, "data=closed;");
        assert_int_equal(session_pool_count(w.pool[0]), 0);
        assert_int_equal(session_pool_count(w.pool[1]), 2);
        session_unref(s);
}

static void refuse(void *userdata, Session *s) {
        session_pool_close(userdata, s);
}

static void test_open_refused_by_user(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        session_pool_on_established(w.pool[1], refuse, w.pool[1]);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "data", &s), 0);
        session_ref(s);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_state(s), SESSION_CLOSED);
        assert_int_equal(session_pool_count(w.pool[0]), 0);
        assert_int_equal(session_pool_count(w.pool[1]), 0);
        session_unref(s);
}

/* An older or stopped machine does not serve the channel. */
static void test_open_not_served(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        session_pool_stop(w.pool[1]);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "data", &s), 0);
        session_ref(s);
        mock_mesh_settle(w.mesh);
        assert_string_equal(session_close_reason(s), "refused by the other side: NoSuchChannel");
        session_unref(s);
}

/* Closes what is asked for again, and everything else with it. */
static void close_all_on_connecting(void *userdata, Session *s) {
        TunnelWorld *w = userdata;

        tunnel_on_changed(w, s);
        if (session_state(s) == SESSION_CONNECTING && session_stats(s).established > 0)
                session_pool_close_machine(w->pool[0], &w->id[1]);
}

/* The other side has started anew: sessions are asked for again, but not those that somebody
 * closes when he hears of it. */
static void test_closed_before_asking_again(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *a = session_ref(tunnel_open(&w, 0, 1, "a"));
        Session *b = session_ref(tunnel_open(&w, 0, 1, "b"));

        session_pool_on_changed(w.pool[0], close_all_on_connecting, &w);
        mock_node_restart(w.node[1]);
        session_pool_close_machine(w.pool[1], &w.id[0]);
        mock_mesh_link_up(w.mesh, w.node[0], w.node[1]);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_state(a), SESSION_CLOSED);
        assert_int_equal(session_state(b), SESSION_CLOSED);
        assert_int_equal(session_pool_count(w.pool[0]), 0);
        assert_int_equal(session_pool_count(w.pool[1]), 0);
        assert_int_equal(mock_mesh_open_requests(w.mesh), 0);
        session_unref(a);
        session_unref(b);
}

static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        g_string_append_printf(((TunnelWorld *) userdata)->received, "%s;", wire_error_name(error));
}

static void test_open_malformed(void **state) {
        static const uint8_t garbage[] = { 0xff, 0x00, 0xa1 };
        TUNNEL_WORLD(w, 2);
        const ChannelProvider *p = mock_node_provider(w.node[0]);
        TunnelRequest t = { .op = TUNNEL_OPEN };
        g_autoptr(GBytes) bytes = NULL;
        g_autofree char *too_long = g_strnfill(CHANNEL_NAME_MAX, 'x');
        const void *data;
        size_t len;

        g_strlcpy(t.channel, too_long, sizeof t.channel);
        bytes = tunnel_request_encode(&t);
        data = g_bytes_get_data(bytes, &len);
        (void) p->ops->request(
                        p->self, &w.id[1], "tunnel", garbage, sizeof garbage, USEC_PER_SEC,
                        on_answer, &w, NULL);
        (void) p->ops->request(
                        p->self, &w.id[1], "tunnel", data, len, USEC_PER_SEC, on_answer, &w, NULL);
        mock_mesh_settle(w.mesh);
        assert_string_equal(w.received->str, "Malformed;Malformed;");
        assert_int_equal(session_pool_count(w.pool[1]), 0);
}

static void test_open_unreachable(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        mock_mesh_set_reachable(w.mesh, w.node[0], w.node[1], false);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "data", &s), 0);
        session_ref(s);
        mock_mesh_run(w.mesh, 30 * USEC_PER_SEC - 1);
        assert_int_equal(session_state(s), SESSION_CONNECTING);
        mock_mesh_run(w.mesh, 1);
        assert_int_equal(session_state(s), SESSION_CLOSED);
        assert_string_equal(session_close_reason(s), "the other side does not answer");
        session_unref(s);
        /* What waited arrives at last: the open, and the close behind it. */
        mock_mesh_settle(w.mesh);
        mock_mesh_set_reachable(w.mesh, w.node[0], w.node[1], true);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_pool_count(w.pool[1]), 0);
}

static void test_open_makes_the_link(void **state) {
        TUNNEL_WORLD(w, 2);

        mock_mesh_link_down(w.mesh, w.node[0], w.node[1]);
        Session *s;

        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "packets", &s), 0);
        mock_mesh_run(w.mesh, 5 * USEC_PER_SEC);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
}

static void test_both_open_at_once(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *a, *b;

        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "data", &a), 0);
        assert_int_equal(session_pool_get(w.pool[1], &w.id[0], "data", &b), 0);
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_state(a), SESSION_ACTIVE);
        assert_int_equal(session_state(b), SESSION_ACTIVE);
        assert_int_equal(session_pool_count(w.pool[0]), 1);
        assert_int_equal(session_pool_count(w.pool[1]), 1);
        assert_string_equal(w.changes->str, "data=active;");
        session_on_receive(b, tunnel_on_receive, &w);
        tunnel_send(&w, 0, 1, "data", "x");
        assert_string_equal(w.received->str, "data:x;");
}

static void test_close_closes_the_other_side(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *a = session_ref(tunnel_open(&w, 0, 1, "data"));

        session_pool_close(w.pool[1], tunnel_existing(&w, 1, 0, "data"));
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_state(a), SESSION_CLOSED);
        assert_string_equal(session_close_reason(a), "closed by the other side");
        assert_int_equal(session_pool_count(w.pool[0]), 0);
        assert_int_equal(session_pool_count(w.pool[1]), 0);
        session_unref(a);
}

/* A close that crosses our new open means the session before. */
static void test_stale_close(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *a = tunnel_open(&w, 0, 1, "data");

        session_pool_close(w.pool[1], tunnel_existing(&w, 1, 0, "data"));
        session_pool_close(w.pool[0], a);
        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "data", &a), 0);
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_state(a), SESSION_ACTIVE);
        assert_non_null(tunnel_existing(&w, 1, 0, "data"));
}

static void test_close_while_opening(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *a;

        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "data", &a), 0);
        session_pool_close(w.pool[0], a);
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_pool_count(w.pool[0]), 0);
        assert_int_equal(session_pool_count(w.pool[1]), 0);
}

/* --- idle --- */

static void test_idle_timeout_exact(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = session_ref(tunnel_open(&w, 0, 1, "data"));
        usec_t established = session_stats(s).established;

        mock_mesh_run(w.mesh, established + SESSION_IDLE_USEC - 1 - mock_mesh_now(w.mesh));
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        /* The other side is a moment younger: ours closes first, and tells it. */
        mock_mesh_run(w.mesh, 1);
        assert_int_equal(session_state(s), SESSION_CLOSED);
        session_unref(s);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_pool_count(w.pool[1]), 0);
}

static void test_idle_timeout_counts_from_last_use(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = session_ref(tunnel_open(&w, 0, 1, "data"));
        usec_t last;

        mock_mesh_run(w.mesh, 200 * USEC_PER_SEC);
        tunnel_send(&w, 1, 0, "data", "x");
        last = mock_mesh_now(w.mesh);
        mock_mesh_run(w.mesh, SESSION_IDLE_USEC - 20 * USEC_PER_MSEC);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        mock_mesh_run(w.mesh, 20 * USEC_PER_MSEC);
        assert_int_equal(mock_mesh_now(w.mesh), last + SESSION_IDLE_USEC);
        assert_int_equal(session_state(s), SESSION_CLOSED);
        session_unref(s);
}

static void test_idle_timeout_of_packets(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = session_ref(tunnel_open(&w, 0, 1, "packets"));
        usec_t last;

        assert_true(mock_node_packets_open(w.node[0], &w.id[1]));
        for (unsigned i = 1; i <= 10; i++) {
                mock_mesh_run(w.mesh, 100 * USEC_PER_SEC);
                last = mock_mesh_now(w.mesh);
                mock_node_set_packet_stats(
                                w.node[0], &w.id[1], (uint64_t[]){ i, i }, (uint64_t[]){ 0, 0 },
                                last, 0);
                mock_node_set_packet_stats(
                                w.node[1], &w.id[0], (uint64_t[]){ 0, 0 }, (uint64_t[]){ i, i }, 0,
                                last);
        }
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        mock_mesh_run(w.mesh, SESSION_IDLE_USEC - 1);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        mock_mesh_run(w.mesh, 1);
        assert_int_equal(session_state(s), SESSION_CLOSED);
        assert_string_equal(session_close_reason(s), "idle");
        assert_false(mock_node_packets_open(w.node[0], &w.id[1]));
        session_unref(s);
}

/* --- restarts, lost links --- */

static void test_packets_follow_the_state(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s;

        assert_int_equal(session_pool_get(w.pool[0], &w.id[1], "packets", &s), 0);
        assert_false(mock_node_packets_open(w.node[0], &w.id[1]));
        mock_mesh_settle(w.mesh);
        assert_true(mock_node_packets_open(w.node[0], &w.id[1]));
        assert_true(mock_node_packets_open(w.node[1], &w.id[0]));
        session_pool_close(w.pool[0], s);
        assert_false(mock_node_packets_open(w.node[0], &w.id[1]));
        mock_mesh_settle(w.mesh);
        assert_false(mock_node_packets_open(w.node[1], &w.id[0]));
}

static void test_data_sessions_open_no_packets(void **state) {
        TUNNEL_WORLD(w, 2);

        tunnel_open(&w, 0, 1, "data");
        assert_false(mock_node_packets_open(w.node[0], &w.id[1]));
        assert_false(mock_node_packets_open(w.node[1], &w.id[0]));
}

/* The other daemon starts anew: it has forgotten us, we open again by ourselves. */
static void test_other_side_restarted(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = tunnel_open(&w, 0, 1, "data");

        tunnel_open(&w, 0, 1, "packets");
        session_on_receive(s, tunnel_on_receive, &w);
        w.pool[1] = session_pool_free(w.pool[1]);
        mock_node_restart(w.node[1]);
        assert_int_equal(session_pool_new(mock_node_provider(w.node[1]), NULL, &w.pool[1]), 0);
        assert_int_equal(session_pool_start(w.pool[1]), 0);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        mock_mesh_link_up(w.mesh, w.node[0], w.node[1]);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_pool_count(w.pool[1]), session_pool_count(w.pool[0]));
        if (session_pool_count(w.pool[0]) == 2) {
                tunnel_send(&w, 1, 0, "data", "again");
                assert_string_equal(w.received->str, "data:again;");
        }
}

/* As above, but it had no time to say goodbye: a power cut. */
static void test_other_side_crashed(void **state) {
        TUNNEL_WORLD(w, 2);
        SessionPool *crashed = w.pool[1];
        Session *s = tunnel_open(&w, 0, 1, "data");

        tunnel_open(&w, 0, 1, "packets");
        session_on_receive(s, tunnel_on_receive, &w);
        mock_mesh_set_reachable(w.mesh, w.node[0], w.node[1], false);
        mock_node_restart(w.node[1]);
        session_pool_free(crashed);
        mock_mesh_settle(w.mesh);
        mock_mesh_set_reachable(w.mesh, w.node[0], w.node[1], true);
        assert_int_equal(session_pool_new(mock_node_provider(w.node[1]), NULL, &w.pool[1]), 0);
        assert_int_equal(session_pool_start(w.pool[1]), 0);
        g_string_truncate(w.changes, 0);
        mock_mesh_link_up(w.mesh, w.node[0], w.node[1]);
        assert_int_equal(session_state(s), SESSION_CONNECTING);
        assert_false(mock_node_packets_open(w.node[0], &w.id[1]));
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        assert_int_equal(session_pool_count(w.pool[1]), 2);
        assert_true(mock_node_packets_open(w.node[0], &w.id[1]));
        assert_true(mock_node_packets_open(w.node[1], &w.id[0]));
        assert_string_equal(
                        w.changes->str,
                        "data=connecting;packets=connecting;data=active;packets=active;");
        tunnel_send(&w, 1, 0, "data", "again");
        assert_string_equal(w.received->str, "data:again;");
}

/* The other side closed while there was no link: our end must not stay alone. */
static void test_link_lost_and_back(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = tunnel_open(&w, 0, 1, "data");

        mock_mesh_link_down(w.mesh, w.node[0], w.node[1]);
        assert_int_equal(session_state(s), SESSION_DEGRADED);
        assert_int_equal(session_send(s, "x", 1), -ENOTCONN);
        session_pool_close(w.pool[1], tunnel_existing(&w, 1, 0, "data"));
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_pool_count(w.pool[1]), 0);
        mock_mesh_link_up(w.mesh, w.node[0], w.node[1]);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(session_state(s), SESSION_ACTIVE);
        assert_non_null(tunnel_existing(&w, 1, 0, "data"));
        assert_string_equal(w.changes->str, "data=active;data=degraded;data=active;");
}

/* Only a side that is not sure asks again: not after new keys of the same life, and once after the
 * link was lost. */
static void test_asks_again_only_in_doubt(void **state) {
        TUNNEL_WORLD(w, 2);
        unsigned asked;

        tunnel_open(&w, 0, 1, "data");
        tunnel_open(&w, 0, 1, "packets");
        asked = w.requests;
        for (unsigned i = 0; i < 3; i++) {
                mock_mesh_link_repaired(w.mesh, w.node[0], w.node[1]);
                mock_mesh_run(w.mesh, USEC_PER_SEC);
        }
        assert_int_equal(w.requests, asked);
        mock_mesh_link_down(w.mesh, w.node[0], w.node[1]);
        mock_mesh_link_up(w.mesh, w.node[0], w.node[1]);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(w.requests, asked + 2 * 2); /* both sides, both sessions */
        asked = w.requests;
        mock_mesh_link_repaired(w.mesh, w.node[0], w.node[1]);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(w.requests, asked);
        assert_int_equal(session_state(tunnel_existing(&w, 0, 1, "data")), SESSION_ACTIVE);
}

/* It closes while our question whether it still has the session is on its way: it must not be
 * left with an end that our question made. */
static void test_closed_while_asking_again(void **state) {
        TUNNEL_WORLD(w, 2);

        tunnel_open(&w, 0, 1, "data");
        mock_mesh_link_down(w.mesh, w.node[0], w.node[1]);
        mock_mesh_link_up(w.mesh, w.node[0], w.node[1]);
        session_pool_close(w.pool[1], tunnel_existing(&w, 1, 0, "data"));
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_pool_count(w.pool[0]), 0);
        assert_int_equal(session_pool_count(w.pool[1]), 0);
}

static void close_everything(void *userdata, Session *s) {
        TunnelWorld *w = userdata;

        session_pool_close_machine(w->pool[0], session_machine(s));
}

/* A handler may close anything, at any change. */
static void test_close_in_handlers(void **state) {
        TUNNEL_WORLD(w, 2);

        tunnel_open(&w, 0, 1, "a");
        tunnel_open(&w, 0, 1, "b");
        session_pool_on_changed(w.pool[0], close_everything, &w);
        mock_mesh_link_down(w.mesh, w.node[0], w.node[1]);
        assert_int_equal(session_pool_count(w.pool[0]), 0);
        mock_mesh_link_up(w.mesh, w.node[0], w.node[1]);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
}

static void test_stop_and_start(void **state) {
        TUNNEL_WORLD(w, 2);
        Session *s = session_ref(tunnel_open(&w, 0, 1, "data"));

        session_pool_stop(w.pool[0]);
        assert_string_equal(session_close_reason(s), "stopped");
        assert_int_equal(session_pool_count(w.pool[0]), 0);
        mock_mesh_settle(w.mesh);
        assert_int_equal(session_pool_count(w.pool[1]), 0);
        assert_int_equal(session_pool_start(w.pool[0]), 0);
        assert_int_equal(session_pool_start(w.pool[0]), 0);
        tunnel_open(&w, 1, 0, "data");
        session_unref(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_get_or_create_session),
                cmocka_unit_test(test_get_refuses),
                cmocka_unit_test(test_different_channels_different_sessions),
                cmocka_unit_test(test_close_all_sessions_to_machine),
                cmocka_unit_test(test_foreach_in_order),
                cmocka_unit_test(test_close_while_iterating),
                cmocka_unit_test(test_session_established_callback),
                cmocka_unit_test(test_two_managers_communicate),
                cmocka_unit_test(test_data_before_answer),
                cmocka_unit_test(test_limit_per_machine),
                cmocka_unit_test(test_limit_in_all),
                cmocka_unit_test(test_idlest_makes_room),
                cmocka_unit_test(test_room_for_itself_and_for_others),
                cmocka_unit_test(test_open_refused_by_limit),
                cmocka_unit_test(test_open_refused_by_user),
                cmocka_unit_test(test_open_not_served),
                cmocka_unit_test(test_open_malformed),
                cmocka_unit_test(test_open_unreachable),
                cmocka_unit_test(test_open_makes_the_link),
                cmocka_unit_test(test_both_open_at_once),
                cmocka_unit_test(test_close_closes_the_other_side),
                cmocka_unit_test(test_stale_close),
                cmocka_unit_test(test_close_while_opening),
                cmocka_unit_test(test_idle_timeout_exact),
                cmocka_unit_test(test_idle_timeout_counts_from_last_use),
                cmocka_unit_test(test_idle_timeout_of_packets),
                cmocka_unit_test(test_packets_follow_the_state),
                cmocka_unit_test(test_data_sessions_open_no_packets),
                cmocka_unit_test(test_other_side_restarted),
                cmocka_unit_test(test_other_side_crashed),
                cmocka_unit_test(test_link_lost_and_back),
                cmocka_unit_test(test_asks_again_only_in_doubt),
                cmocka_unit_test(test_closed_while_asking_again),
                cmocka_unit_test(test_closed_before_asking_again),
                cmocka_unit_test(test_close_in_handlers),
                cmocka_unit_test(test_stop_and_start),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
