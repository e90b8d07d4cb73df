/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lines that carry less than 1500 bytes and say nothing of it: PPPoE, tunnels, and those that
 * change. Packets are as long as the sender is told they may be, all the way from one interface to
 * the other.
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/mesh/mesh.h"
#include "dataplane/packet.h"
#include "reach-world.h"

#define SEC USEC_PER_SEC
#define MSEC USEC_PER_MSEC
#define MINUTE USEC_PER_MINUTE
#define PACE (50 * MSEC)
#define TEXT_HEADERS (IPV4_HEADER_MIN + UDP_HEADER_SIZE)

/* What is longer is lost without a word, of one machine's traffic or everybody's. */
typedef struct Line {
        unsigned mtu;
        const Machine *of; /* NULL: of all */
        unsigned n_large;  /* datagrams as long as packets of OMERTA_MTU_LEAST, passed or not */
} Line;

static bool carry(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        size_t headers = to->sa.sa_family == AF_INET6 ? 48 : 28;
        Line *l = userdata;
        Endpoint here = {};

        l->n_large += len >= OMERTA_MTU_LEAST + DATA_OVERHEAD;
        if (l->of)
                here = sim_node_endpoint(l->of->node);
        if (l->of && from != l->of->node && !endpoint_equal(to, &here))
                return true;
        return headers + len <= l->mtu;
}

/* What the packet path tells programs of @m. */
static uint16_t told(Machine *m, const Machine *to) {
        PacketPeer *peer = mesh_packet_peer(network_mesh(m->network), machine_id(to));
        const PacketTx *tx = peer ? atomic_load(&peer->tx) : NULL;

        return tx ? tx->mtu : 0;
}

typedef struct Shown {
        uint16_t mtu;
        char state[32], reason[80];
} Shown;

static void show(void *userdata, const MeshPathInfo *info) {
        Shown *s = userdata;

        if (!info->is_active)
                return;
        s->mtu = info->mtu;
        (void) g_strlcpy(s->state, info->mtu_state, sizeof s->state);
        (void) g_strlcpy(s->reason, info->reason, sizeof s->reason);
}

static Shown shown(Machine *m, const Machine *to) {
        Shown s = {};

        assert_true(mesh_foreach_path(network_mesh(m->network), machine_id(to), show, &s));
        return s;
}

static void send_long(Machine *m, Machine *to, size_t len) {
        g_autofree char *text = g_strnfill(len - TEXT_HEADERS, 'x');
        IpAddr from = machine_address(m), at = machine_address(to);

        machine_send_text(m, &from, &at, text);
}

static bool got_long(Machine *m, Machine *from, size_t len) {
        g_autofree char *text = g_strnfill(len - TEXT_HEADERS, 'x');
        IpAddr at = machine_address(from);

        return machine_received_text(m, &at, text);
}

/* Each sends the other packets as long as it is told they may be. Return: the longest that @b or
 * @a got none. */
static usec_t flow(Machine *a, Machine *b, usec_t duration) {
        Machine *ends[] = { a, b };
        usec_t end = sim_now(a->sim) + duration, longest = 0;
        usec_t last[] = { sim_now(a->sim), sim_now(a->sim) };

        while (sim_now(a->sim) < end) {
                size_t len[2];

                for (unsigned i = 0; i < 2; i++) {
                        len[i] = MAX(told(ends[i], ends[1 - i]), (uint16_t) 100);
                        send_long(ends[i], ends[1 - i], len[i]);
                }
                sim_run_for(a->sim, PACE);
                for (unsigned i = 0; i < 2; i++) {
                        if (got_long(ends[1 - i], ends[i], len[i]))
                                last[i] = sim_now(a->sim);
                        longest = MAX(longest, sim_now(a->sim) - last[i]);
                }
        }
        return longest;
}

/* Up to what is told; the one beyond is answered with that. */
static void assert_every_size(Machine *a, Machine *b) {
        uint16_t mtu = told(a, b);
        const uint8_t *p;

        for (size_t len = TEXT_HEADERS; len <= mtu; len += len + 100 < mtu ? 61 : 1) {
                send_long(a, b, len);
                sim_run_for(a->sim, PACE);
                if (!got_long(b, a, len))
                        fail_msg("%zu of %u bytes are lost", len, mtu);
                assert_int_equal(told(a, b), mtu);
        }
        while (mock_netif_app_received(a->netif, NULL))
                ;
        send_long(a, b, mtu + 1U);
        sim_run_for(a->sim, PACE);
        assert_false(got_long(b, a, mtu + 1U));
        {
                g_autoptr(GBytes) icmp = mock_netif_app_received(a->netif, NULL);

                assert_non_null(icmp);
                p = g_bytes_get_data(icmp, NULL);
                assert_int_equal(p[20], 3);
                assert_int_equal(p[21], 4);
                assert_int_equal(read_be16(p + 26), mtu);
        }
}

static void test_lines(void **state) {
        static const struct {
                const char *what;
                End end;
                unsigned line;
                uint16_t inner;
                const char *state;
        } cases[] = {
                { "ethernet", END_OPEN, 1500, 1420, "search-complete" },
                { "PPPoE", END_OPEN, 1492, 1420, "search-complete" },
                { "a tunnel of IPv6 in IPv4, over IPv4", END_OPEN, 1480, 1420, "search-complete" },
                { "1460", END_OPEN, 1460, 1400, "search-complete" },
                { "1400", END_OPEN, 1400, 1340, "search-complete" },
                { "the least", END_OPEN, 1340, 1280, "search-complete" },
                { "less than that", END_OPEN, 1280, 1192, "error" },
                { "ethernet, IPv6", END_ONLY6, 1500, 1420, "search-complete" },
                { "PPPoE over IPv6", END_ONLY6, 1492, 1412, "search-complete" },
                { "a tunnel of IPv6 in IPv4", END_ONLY6, 1480, 1400, "search-complete" },
                { "a tunnel of 1400 over IPv6", END_ONLY6, 1400, 1320, "search-complete" },
                { "the least IPv6", END_ONLY6, 1280, 1192, "error" },
                { "relayed", END_RANDOM, 1500, 1412, "search-complete" },
                { "relayed by PPPoE", END_RANDOM, 1492, 1412, "search-complete" },
                { "relayed by a tunnel", END_RANDOM, 1480, 1412, "search-complete" },
                { "relayed by 1400", END_RANDOM, 1400, 1332, "search-complete" },
                { "relayed by the least", END_RANDOM, 1280, 1192, "error" },
        };

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1);
                Line line = { .mtu = cases[i].line };
                Machine *a = reach_join(r, cases[i].end), *b = reach_join(r, cases[i].end);
                usec_t gap;

                sim_set_tap(r->sim, carry, &line);
                (void) reach_talk(a, b, 5);
                assert_int_equal(reach_kind(a, b), cases[i].end == END_RANDOM ? RELAYED : DIRECT);
                (void) flow(a, b, 30 * SEC);
                gap = flow(a, b, 30 * SEC);
                printf("%s: %u inside, at most %" PRIu64 " ms without a packet\n", cases[i].what,
                       told(a, b), gap / MSEC);
                assert_int_equal(told(a, b), cases[i].inner);
                assert_int_equal(told(b, a), cases[i].inner);
                assert_true(gap <= 2 * PACE);
                assert_string_equal(shown(a, b).state, cases[i].state);
                assert_int_equal(shown(a, b).mtu, cases[i].inner);
                assert_every_size(a, b);
                if (strcmp(cases[i].state, "error") == 0)
                        assert_non_null(strstr(shown(a, b).reason, "1280"));
                sim_set_tap(r->sim, NULL, NULL);
        }
}

/* From the first packet on: nothing is swallowed for longer than one probe takes to be missed. */
static void test_begin(void **state) {
        for (unsigned i = 0; i < 20; i++) {
                _cleanup_(reach_freep) Reach *r = reach_new(i + 1);
                Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);
                Line line = { .mtu = 1400 };

                sim_set_tap(r->sim, carry, &line);
                assert_true(flow(a, b, 30 * SEC) <= 2 * SEC);
                assert_int_equal(told(a, b), 1340);
                sim_set_tap(r->sim, NULL, NULL);
        }
}

/* In the middle of a session, and back. */
static void test_shrinks_and_grows(void **state) {
        static const End ends[] = { END_OPEN, END_ONLY6, END_RANDOM };

        for (unsigned i = 0; i < ELEMENTSOF(ends); i++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1);
                Machine *a = reach_join(r, ends[i]), *b = reach_join(r, ends[i]);
                Line line = { .mtu = 1500 };
                uint16_t full, less;
                usec_t gap;

                sim_set_tap(r->sim, carry, &line);
                (void) reach_talk(a, b, 12);
                assert_true(flow(a, b, 20 * SEC) <= 2 * PACE);
                full = told(a, b);
                less = (uint16_t) (1400 - (ends[i] == END_ONLY6 ? 80 : 60) - (1420 - full));
                line.mtu = 1400;
                gap = flow(a, b, 30 * SEC);
                printf("%s, shrunk: %" PRIu64 " ms without a packet\n", end_name(ends[i]),
                       gap / MSEC);
                assert_in_range(gap, 2 * PACE, 7 * SEC);
                assert_int_equal(told(a, b), less);
                assert_every_size(a, b);
                line.mtu = 1500;
                assert_true(flow(a, b, 90 * SEC) <= 2 * PACE);
                assert_int_equal(told(a, b), full);
                assert_every_size(a, b);
                /* While nobody looks. */
                sim_run_for(r->sim, 10 * MINUTE);
                line.mtu = 1400;
                assert_true(flow(a, b, 30 * SEC) <= 7 * SEC);
                assert_int_equal(told(a, b), less);
                sim_set_tap(r->sim, NULL, NULL);
        }
}

/* To a place where less passes; the rest of the world carries 1500. */
static void test_moves(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);
        Line line = { .mtu = 1500, .of = b };
        usec_t gap;

        sim_set_tap(r->sim, carry, &line);
        (void) flow(a, b, 20 * SEC);
        assert_int_equal(told(a, b), 1420);
        for (unsigned i = 0; i < 3; i++) {
                reach_move(r, b, END_OPEN);
                line.mtu = i % 2 ? 1500 : 1400;
                gap = flow(a, b, 30 * SEC);
                printf("moved to %u: %" PRIu64 " ms without a packet\n", line.mtu, gap / MSEC);
                assert_true(gap <= 7 * SEC);
                (void) flow(a, b, 60 * SEC);
                assert_int_equal(told(a, b), i % 2 ? 1420 : 1340);
                assert_int_equal(told(b, a), i % 2 ? 1420 : 1340);
                assert_every_size(a, b);
        }
        /* Nobody else is concerned. */
        (void) flow(a, r->gateway, 10 * SEC);
        assert_int_equal(told(a, r->gateway), 1420);
        sim_set_tap(r->sim, NULL, NULL);
}

/* A link that is idle, or that carries nothing large, asks nothing large. */
static void test_is_quiet(void **state) {
        static const unsigned lines[] = { 1500, 1400, 1280 };

        for (unsigned i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_(reach_freep) Reach *r = reach_new(1);
                Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);
                Line line = { .mtu = lines[i] };

                sim_set_tap(r->sim, carry, &line);
                (void) flow(a, b, 40 * SEC);
                (void) reach_talk(a, b, 60);
                line.n_large = 0;
                sim_run_for(r->sim, 30 * MINUTE);
                assert_int_equal(line.n_large, 0);
                (void) reach_talk(a, b, 120);
                /* Where not even 1280 passes that is asked of the way there is besides, by a relay,
                 * once a minute. */
                assert_in_range(line.n_large, 0, lines[i] == 1280 ? 10 : 0);
                sim_set_tap(r->sim, NULL, NULL);
        }
}

/* One in twenty is lost, of any size. */
static void test_loss(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(3);
        Machine *a = reach_join(r, END_OPEN), *b = reach_join(r, END_OPEN);
        Line line = { .mtu = 1400 };

        sim_set_tap(r->sim, carry, &line);
        sim_set_model(r->sim, &(SimModel){ .latency = 10 * MSEC, .loss = 0.05 });
        (void) flow(a, b, MINUTE);
        for (unsigned i = 0; i < 20; i++) {
                assert_true(flow(a, b, MINUTE) <= SEC);
                assert_in_range(told(a, b), 1300, 1340);
        }
        sim_set_tap(r->sim, NULL, NULL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines),
                cmocka_unit_test(test_begin),
                cmocka_unit_test(test_shrinks_and_grows),
                cmocka_unit_test(test_moves),
                cmocka_unit_test(test_is_quiet),
                cmocka_unit_test(test_loss),
        };

        return cmocka_run_group_tests_name("sim-path-mtu", tests, NULL, NULL);
}
