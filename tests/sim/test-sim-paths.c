/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which way datagrams go: promotion, liveness, moving, punching (docs/protocol.md, "Paths"). */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/mesh/link/link.h"
#include "sim-mesh-assert.h"

#define RTT (20 * MSEC) /* SIM_MODEL_DEFAULT */

static Endpoint at(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 18002, &e), 0);
        return e;
}

/* --- a relay: what a member with that role does, for one pair --- */

typedef struct Relay {
        SimNode *node;
        TestMachine *end[2];
        Endpoint seen[2]; /* where each was heard from last */
        MeshEnv env[2];   /* as they were */
        bool off;
        unsigned forwarded;
} Relay;

static Relay relay; /* the environment of a node has no room for it */

static unsigned relay_index(const void *node) {
        return relay.env[1].userdata == node ? 1 : 0;
}

static int send_through(void *userdata, const Endpoint *to, const uint8_t *data, size_t len) {
        const MeshEnv *env = &relay.env[relay_index(userdata)];
        uint8_t buf[2048] = { 5 };
        Endpoint hop = *to;

        if (to->relay == 0)
                return env->send(userdata, to, data, len);
        hop.relay = 0;
        write_le32(buf + 4, to->relay);
        if (len > 0)
                memcpy(buf + 8, data, len);
        return env->send(userdata, &hop, buf, len + 8);
}

static void unwrap(void *userdata, uint8_t *data, size_t len, const Endpoint *from) {
        TestMachine *m = userdata;
        Endpoint e = *from;

        if (len > 8 && data[0] == 5) {
                e.relay = read_le32(data + 4);
                data += 8;
                len -= 8;
        }
        (void) mesh_handle_datagram(m->mesh, data, len, &e);
}

static void forward(void *userdata, uint8_t *data, size_t len, const Endpoint *from) {
        const MeshEnv *env = sim_node_env(relay.node);
        unsigned to = read_le32(data + 4) == 1 ? 1 : 0;
        Endpoint e = relay.seen[to];

        relay.seen[1 - to] = *from;
        if (relay.off || len == 8 || !endpoint_is_set(&e))
                return;
        e.local = (IpAddr){};
        relay.forwarded++;
        write_le32(data + 4, to + 1);
        (void) env->send(env->userdata, &e, data, len);
}

static Endpoint relay_endpoint(unsigned i) {
        Endpoint e = at("198.51.100.250:9000");

        e.relay = i + 1;
        return e;
}

static void relay_init(TestNet *t, TestMachine *a, TestMachine *b) {
        TestMachine *ends[2] = { a, b };
        Endpoint to;

        relay = (Relay){ .node = sim_node_new(t->sim, "relay", "198.51.100.250:9000") };
        sim_node_on_receive(relay.node, forward, NULL);
        for (unsigned i = 0; i < 2; i++) {
                MeshEnv *env = (MeshEnv *) sim_node_env(ends[i]->node);

                relay.end[i] = ends[i];
                relay.env[i] = *env;
                env->send = send_through;
                sim_node_on_receive(ends[i]->node, unwrap, ends[i]);
                /* As one who has a link with it. */
                to = relay_endpoint(i);
                (void) env->send(env->userdata, &to, NULL, 0);
        }
        sim_run_for(t->sim, RTT);
}

/* Only @from knows it: the other hears of it by what comes. */
static void offer_relay(unsigned from) {
        TestMachine *m = relay.end[from], *other = relay.end[1 - from];
        Endpoint e = relay_endpoint(from);
        Link *link;

        assert_int_equal(link_get(m->mesh, &other->identity->id, &link), 0);
        link_offer_path(link, PATH_RELAY, &e);
}

static bool is_relayed(TestMachine *m, const TestMachine *to) {
        MeshLinkInfo info;

        assert_true(mesh_link_info(m->mesh, &to->identity->id, &info));
        return info.is_relayed;
}

typedef struct Wanted {
        Endpoint endpoint;
        MeshPathInfo info;
        unsigned n, active;
} Wanted;

static void look(void *userdata, const MeshPathInfo *info) {
        Wanted *w = userdata;

        w->n++;
        w->active += info->is_active;
        if (endpoint_equal(&info->endpoint, &w->endpoint))
                w->info = *info;
}

static MeshPathInfo path_info(TestMachine *m, const TestMachine *to, const Endpoint *endpoint) {
        Wanted w = { .endpoint = *endpoint };

        assert_true(mesh_foreach_path(m->mesh, &to->identity->id, look, &w));
        assert_true(w.active <= 1);
        return w.info;
}

/* --- what is lost on the way --- */

typedef struct Cut {
        const TestMachine *a, *b;
        bool direct; /* nothing passes between them but through the relay */
        Endpoint victim;
        unsigned to_victim;
        size_t bytes_to_victim;
        /* What b sends to a comes from here too, or (@instead) only. */
        Endpoint forged;
        bool instead;
        unsigned forge_left;
        bool vary; /* each from another port */
} Cut;

static bool
on_sent(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Cut *c = userdata;
        Endpoint a = sim_node_endpoint(c->a->node), b = sim_node_endpoint(c->b->node);

        if (endpoint_is_set(&c->victim) && endpoint_same_address(to, &c->victim)) {
                c->to_victim++;
                c->bytes_to_victim += len;
        }
        if (from == c->b->node && endpoint_equal(to, &a) && c->forge_left > 0) {
                c->forge_left--;
                if (c->vary)
                        endpoint_set_port(&c->forged, (uint16_t) (endpoint_port(&c->forged) + 1));
                sim_inject(c->a->net->sim, &c->forged, to, data, len);
                if (c->instead)
                        return false;
        }
        return !c->direct || !((from == c->a->node && endpoint_equal(to, &b)) ||
                               (from == c->b->node && endpoint_equal(to, &a)));
}

/* --- packets --- */

static int send_packet(TestMachine *from, const TestMachine *to) {
        uint8_t packet[100] = { 0x45 };

        return mesh_send_packet(
                        from->mesh, mesh_packet_peer(from->mesh, &to->identity->id), 0, packet,
                        sizeof packet);
}

/* Each sends one every @interval for @duration. Return: the longest that @b got none. */
static usec_t talk(TestMachine *a, TestMachine *b, usec_t interval, usec_t duration) {
        Sim *sim = a->net->sim;
        usec_t end = sim_now(sim) + duration, last = sim_now(sim), longest = 0;
        unsigned n = b->packets->len;

        while (sim_now(sim) < end) {
                (void) send_packet(a, b);
                (void) send_packet(b, a);
                sim_run_for(sim, interval);
                if (b->packets->len != n)
                        last = sim_now(sim);
                n = b->packets->len;
                longest = MAX(longest, sim_now(sim) - last);
        }
        return longest;
}

static void open_packets(TestMachine *a, TestMachine *b) {
        assert_int_equal(test_connect(a, b), 0);
        assert_true(test_wait_up(a, b, 5 * SEC));
        set_packets(a, b, true);
        set_packets(b, a, true);
        sim_run_for(a->net->sim, 200 * MSEC);
}

/* --- promotion --- */

/* What b says arrives from a place where it hears nothing (nebula#893). */
static void test_one_way_is_never_promoted(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Cut cut = { .a = a, .b = b, .forged = at("203.0.113.66:4000"), .instead = true };
        Endpoint real = sim_node_endpoint(b->node);

        test_net_introduce(t);
        open_packets(a, b);
        sim_set_tap(t->sim, on_sent, &cut);
        cut.forge_left = UINT_MAX;
        for (unsigned i = 0; i < 120; i++) {
                (void) send_packet(b, a);
                (void) send_packet(a, b);
                sim_run_for(t->sim, 100 * MSEC);
                assert_reached_at(a, b, &real);
        }
        assert_string_equal(
                        path_info(a, b, &cut.forged).reason,
                        path_reason_to_string(PATH_REASON_ONE_WAY));
        /* Nor does it count for the one in use, of which no answer comes. */
        assert_string_equal(
                        path_info(a, b, &real).reason, path_reason_to_string(PATH_REASON_DISTRESS));
}

/* Somebody on the way sends a datagram on from elsewhere, before it arrives. */
static void test_forged_source(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Cut cut = { .a = a, .b = b, .forged = at("203.0.113.66:4000") };
        Endpoint real = sim_node_endpoint(b->node);

        test_net_introduce(t);
        open_packets(a, b);
        cut.victim = cut.forged;
        sim_set_tap(t->sim, on_sent, &cut);
        cut.forge_left = 1;
        assert_int_equal(send_packet(b, a), 0);
        sim_run_for(t->sim, 5 * SEC);
        assert_in_range(cut.to_victim, 1, 3); /* short, long, and the answer to what was copied */
        assert_reached_at(a, b, &real);
        /* As often as it likes: of long ones that was all. */
        cut.forge_left = UINT_MAX;
        cut.to_victim = 0;
        cut.bytes_to_victim = 0;
        for (unsigned i = 0; i < 300; i++) {
                (void) send_packet(b, a);
                sim_run_for(t->sim, 100 * MSEC);
        }
        assert_true(cut.to_victim > 20);
        assert_in_range(cut.bytes_to_victim, 1, cut.to_victim * 80);
        /* All of them, each from another place: what is asked there is bounded. */
        cut.forge_left = UINT_MAX;
        cut.vary = true;
        cut.to_victim = 0;
        for (unsigned i = 0; i < 1000; i++) {
                (void) send_packet(b, a);
                sim_run_for(t->sim, 10 * MSEC);
                assert_reached_at(a, b, &real);
        }
        /* 48 at once and 20 a second, of which half are long. */
        assert_in_range(cut.to_victim, 1, 48 + 20 * 10 + 1);
        assert_true(test_drops(a, DROP_PROBE_BUDGET) > 0);
        assert_int_equal(a->downs + b->downs, 0);
}

/* Large datagrams do not pass the second way: it is asked, and not taken where the least that has
 * to pass does not. */
static bool
no_large_through_relay(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        return data[0] != 5 || len < *(const size_t *) userdata;
}

static void test_size_is_asked(size_t lost_from, PathReason reason, uint16_t mtu) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Endpoint direct = sim_node_endpoint(b->node), e;

        test_net_introduce(t);
        relay_init(t, a, b);
        sim_set_tap(t->sim, no_large_through_relay, &lost_from);
        open_packets(a, b);
        offer_relay(0);
        e = relay_endpoint(0);
        talk(a, b, 50 * MSEC, 10 * SEC);
        assert_reached_at(a, b, &direct);
        assert_string_equal(path_info(a, b, &e).state, "works");
        assert_string_equal(path_info(a, b, &e).reason, path_reason_to_string(reason));
        assert_int_equal(path_info(a, b, &e).mtu, mtu);
}

static void test_full_size_is_asked(void **state) {
        test_size_is_asked(1400, PATH_REASON_WORSE_KIND, OMERTA_MTU_MIN);
        test_size_is_asked(OMERTA_MTU_MIN + DATA_OVERHEAD + 8, PATH_REASON_SMALL_ONLY, 0);
}

/* --- moving --- */

static void test_roaming_takes_one_round_trip(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Endpoint old, new;

        test_net_introduce(t);
        open_packets(a, b);
        talk(a, b, 50 * MSEC, 5 * SEC);
        old = sim_node_endpoint(b->node);
        sim_node_move(b->node, "198.51.100.7:4444");
        new = sim_node_endpoint(b->node);
        assert_int_equal(send_packet(b, a), 0);
        sim_run_for(t->sim, RTT / 2);
        assert_reached_at(a, b, &old);
        sim_run_for(t->sim, RTT);
        assert_reached_at(a, b, &new);
        assert_true(talk(a, b, 50 * MSEC, 10 * SEC) <= 100 * MSEC);
        assert_int_equal(a->downs + b->downs, 0);
}

/* Neither finds the other where it was; each tells the other by the relay where it is. */
static void test_both_move_at_once(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(3, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Endpoint new_a, new_b;

        test_net_introduce(t);
        relay_init(t, a, b);
        open_packets(a, b);
        offer_relay(0);
        offer_relay(1);
        talk(a, b, 50 * MSEC, 5 * SEC);
        assert_false(is_relayed(a, b));
        sim_node_move(a->node, "198.51.100.7:4444");
        sim_node_move(b->node, "198.51.100.8:5555");
        new_a = sim_node_endpoint(a->node);
        new_b = sim_node_endpoint(b->node);
        mesh_set_local_endpoints(a->mesh, &new_a, 1);
        mesh_set_local_endpoints(b->mesh, &new_b, 1);
        mesh_network_changed(a->mesh);
        mesh_network_changed(b->mesh);
        assert_true(talk(a, b, 50 * MSEC, 5 * SEC) <= SEC + 4 * RTT);
        assert_reached_at(a, b, &new_b);
        assert_reached_at(b, a, &new_a);
        assert_int_equal(a->downs + b->downs, 0);
}

/* --- liveness --- */

/* The direct way dies while packets flow: the spare carries them within a second, and what comes by
 * it does not count for the one that is dead (nebula#1748). */
static void test_failover(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Cut cut = { .a = a, .b = b };
        unsigned n;

        test_net_introduce(t);
        relay_init(t, a, b);
        sim_set_tap(t->sim, on_sent, &cut);
        open_packets(a, b);
        offer_relay(0);
        offer_relay(1);
        assert_true(talk(a, b, 50 * MSEC, 30 * SEC) <= 100 * MSEC);
        assert_false(is_relayed(a, b));
        cut.direct = true;
        assert_true(talk(a, b, 50 * MSEC, 5 * SEC) <= SEC + 4 * RTT);
        assert_true(is_relayed(a, b));
        assert_true(is_relayed(b, a));
        assert_int_equal(a->downs + b->downs, 0);
        /* One copy of each goes there by now, and none is taken twice. */
        n = b->packets->len;
        talk(a, b, 50 * MSEC, SEC);
        assert_in_range(b->packets->len - n, 19, 20);
        n = relay.forwarded;
        talk(a, b, 50 * MSEC, SEC);
        assert_in_range(relay.forwarded - n, 40, 60);
        /* It comes back. */
        cut.direct = false;
        assert_true(talk(a, b, 50 * MSEC, 60 * SEC) <= 100 * MSEC);
        assert_false(is_relayed(a, b));
        assert_false(is_relayed(b, a));
}

/* One that was idle for minutes has something to say, and the way is gone. */
static void test_failover_after_a_rest(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Cut cut = { .a = a, .b = b };
        uint64_t sent;

        test_net_introduce(t);
        relay_init(t, a, b);
        sim_set_tap(t->sim, on_sent, &cut);
        open_packets(a, b);
        offer_relay(0);
        offer_relay(1);
        talk(a, b, 50 * MSEC, SEC);
        sim_run_for(t->sim, MINUTE);
        sent = sim_node_sent(a->node);
        sim_run_for(t->sim, MINUTE);
        /* A spare, a neighbour and its answers; gossip. */
        assert_in_range(sim_node_sent(a->node) - sent, 0, 30);
        cut.direct = true;
        assert_true(talk(a, b, 50 * MSEC, 5 * SEC) <= SEC + 4 * RTT);
        assert_true(is_relayed(a, b));
}

/* Round trips go up and down, nobody moves. */
static void test_no_flapping(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(5, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Endpoint first, second, now;
        unsigned moves = 0;
        MeshLinkInfo info;

        test_net_introduce(t);
        sim_node_set_second(b->node, "203.0.113.9");
        second = at("203.0.113.9:18002");
        sim_set_model(t->sim, &(SimModel){ .latency = 20 * MSEC, .jitter = 12 * MSEC });
        open_packets(a, b);
        mesh_add_hint(a->mesh, &b->identity->id, &second);
        link_offer_path(link_find(a->mesh, &b->identity->id), PATH_HINT, &second);
        talk(a, b, 100 * MSEC, 10 * SEC);
        assert_string_equal(path_info(a, b, &second).state, "works");
        assert_true(mesh_link_info(a->mesh, &b->identity->id, &info));
        first = info.endpoint;
        for (unsigned i = 0; i < 300; i++) {
                talk(a, b, 500 * MSEC, 2 * SEC);
                assert_true(mesh_link_info(a->mesh, &b->identity->id, &info));
                now = info.endpoint;
                moves += !endpoint_equal(&now, &first);
                first = now;
        }
        assert_int_equal(moves, 0);
}

/* --- punching --- */

/* Two behind translators that let in only whom they have sent to; they begin through the relay. */
static void test_punched(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 3);
        TestMachine *g = &t->machines[0], *a = &t->machines[1], *b = &t->machines[2];
        SimNat *nat_a = sim_nat_new(t->sim, "198.51.100.1", false, 60 * SEC),
               *nat_b = sim_nat_new(t->sim, "198.51.100.2", false, 60 * SEC);

        sim_node_set_nat(a->node, nat_a);
        sim_node_set_nat(b->node, nat_b);
        test_net_introduce(t);
        relay_init(t, a, b);
        assert_int_equal(test_connect(a, g), 0);
        assert_int_equal(test_connect(b, g), 0);
        assert_true(test_wait_up(a, g, 5 * SEC));
        assert_true(test_wait_up(b, g, 5 * SEC));
        offer_relay(0);
        set_packets(a, b, true);
        set_packets(b, a, true);
        assert_true(test_wait_up(a, b, 5 * SEC));
        sim_run_for(t->sim, 3 * SEC);
        assert_false(is_relayed(a, b));
        assert_false(is_relayed(b, a));
        assert_true(talk(a, b, 50 * MSEC, 10 * SEC) <= 100 * MSEC);
}

/* A member has the ports tried that come after one of a mapping: outside, and not in our LAN. */
static void test_guessed_ports(void **state) {
        static const struct {
                const char *last;
                unsigned n; /* datagrams to there */
        } cases[] = {
                { "203.0.113.66:40000", 20 },  { "203.0.113.66:65530", 5 },
                { "192.168.7.7:40000", 0 },    { "127.0.0.1:40000", 0 },
                { "[2001:db8::66]:40000", 0 },
        };

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
                TestMachine *a = &t->machines[0], *b = &t->machines[1];
                Cut cut = { .a = a, .b = b, .direct = true, .victim = at(cases[i].last) };
                PathMessage m = { .op = PATH_ANSWER, .last = cut.victim, .step = 1 };
                ChannelProvider *p = test_channels(b);
                g_autoptr(GBytes) payload = NULL;
                Endpoint other = at("203.0.113.77:18002");

                test_net_introduce(t);
                relay_init(t, a, b);
                sim_set_tap(t->sim, on_sent, &cut);
                offer_relay(0);
                set_packets(a, b, true);
                assert_int_equal(test_connect(a, b), 0);
                assert_true(test_wait_up(a, b, 10 * SEC));
                sim_run_for(t->sim, 2 * SEC);
                assert_true(path_message_add(&m, PATH_CANDIDATE_HOST, &other));
                payload = path_message_encode(&m);
                (void) p->ops->send(
                                p->self, &a->identity->id, "path", g_bytes_get_data(payload, NULL),
                                g_bytes_get_size(payload));
                sim_run_for(t->sim, 500 * MSEC);
                assert_int_equal(cut.to_victim, cases[i].n);
                assert_int_equal(cut.bytes_to_victim, cases[i].n * 32);
        }
}

/* A member tells us all the time that it can be reached at somebody else's address. */
static void test_forged_candidates(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Cut cut = { .a = a, .b = b, .direct = true, .victim = at("203.0.113.66:53") };
        ChannelProvider *p = test_channels(b);

        test_net_introduce(t);
        relay_init(t, a, b);
        sim_set_tap(t->sim, on_sent, &cut);
        offer_relay(0);
        set_packets(a, b, true);
        assert_int_equal(test_connect(a, b), 0);
        assert_true(test_wait_up(a, b, 10 * SEC));
        for (unsigned i = 0; i < 120; i++) {
                /* And that its router's next ports are there. */
                PathMessage m = { .op = PATH_CALL, .last = cut.victim, .step = 1 };
                g_autoptr(GBytes) payload = NULL;

                endpoint_set_port(&m.last, (uint16_t) (20000 + i * 30));
                for (unsigned k = 0; k < PATH_CANDIDATES_PER_KIND_MAX; k++) {
                        Endpoint e = cut.victim;

                        endpoint_set_port(&e, (uint16_t) (1000 + i * 6 + k));
                        assert_true(path_message_add(&m, PATH_CANDIDATE_HOST, &e));
                }
                payload = path_message_encode(&m);
                (void) p->ops->send(
                                p->self, &a->identity->id, "path", g_bytes_get_data(payload, NULL),
                                g_bytes_get_size(payload));
                sim_run_for(t->sim, 500 * MSEC);
        }
        /* 192 at once and 240 a minute, 41 bytes each: never a long one. */
        assert_in_range(cut.to_victim, 20, 192 + 240 + 24);
        assert_in_range(cut.bytes_to_victim, 1, cut.to_victim * 41);
        assert_true(test_drops(a, DROP_PROBE_BUDGET) > 0);
}

/* Links with ten machines in each of two networks, all of which name places where nobody is. */
static void test_budget_of_two_networks(void **state) {
        enum { N = 20, SECONDS = 5 };
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2 + N);
        TestMachine *a[2] = { &t->machines[0], &t->machines[1] };
        Cut cut = { .a = a[0], .b = a[1], .victim = at("203.0.113.66:1") };

        sim_node_share_probes(a[0]->node, a[1]->node);
        test_net_introduce(t);
        for (unsigned i = 0; i < N; i++) {
                TestMachine *to = &t->machines[2 + i];
                Link *link;

                assert_int_equal(test_connect(a[i % 2], to), 0);
                assert_true(test_wait_up(a[i % 2], to, 5 * SEC));
                link = link_find(a[i % 2]->mesh, &to->identity->id);
                for (unsigned k = 0; k < PATHS_MAX - 4; k++) {
                        Endpoint e = cut.victim;

                        endpoint_set_port(&e, (uint16_t) (1000 + 100 * i + k));
                        assert_non_null(path_set_add(&link->paths, PATH_HINT, &e, 0));
                }
        }
        sim_run_for(t->sim, 5 * SEC);
        sim_set_tap(t->sim, on_sent, &cut);
        for (unsigned i = 0; i < SECONDS * 100; i++) {
                for (unsigned k = 0; k < N; k++)
                        paths_ask_all(link_find(a[k % 2]->mesh, &t->machines[2 + k].identity->id));
                sim_run_for(t->sim, 10 * MSEC);
        }
        /* 100 at once and 100 a second, together. */
        assert_in_range(cut.to_victim, 100 * SECONDS, 100 + 100 * SECONDS);
        sim_set_tap(t->sim, NULL, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_way_is_never_promoted),
                cmocka_unit_test(test_forged_source),
                cmocka_unit_test(test_full_size_is_asked),
                cmocka_unit_test(test_roaming_takes_one_round_trip),
                cmocka_unit_test(test_both_move_at_once),
                cmocka_unit_test(test_failover),
                cmocka_unit_test(test_failover_after_a_rest),
                cmocka_unit_test(test_no_flapping),
                cmocka_unit_test(test_punched),
                cmocka_unit_test(test_forged_candidates),
                cmocka_unit_test(test_budget_of_two_networks),
                cmocka_unit_test(test_guessed_ports),
        };

        return cmocka_run_group_tests_name("sim-paths", tests, NULL, NULL);
}
