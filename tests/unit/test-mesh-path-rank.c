/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which path is better, when that is worth a move, and what is known of one that does not answer. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/link/path.h"

#define MSEC USEC_PER_MSEC
#define SEC USEC_PER_SEC
#define MTU 1420U

static Endpoint at(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 18002, &e), 0);
        return e;
}

static Path path(const char *text, PathTier theirs, PathTier ours, usec_t rtt) {
        return (Path){
                .origin = PATH_TOLD,
                .state = PATH_WORKS,
                .endpoint = at(text),
                .theirs = theirs,
                .ours = ours,
                .srtt = rtt,
                .last_answered = SEC,
                .mtu = { .state = PATH_MTU_STATE_COMPLETE, .max = MTU, .size = MTU },
        };
}

static Path public(usec_t rtt) {
        return path("203.0.113.1", PATH_TIER_PUBLIC, PATH_TIER_PUBLIC, rtt);
}

static void test_tiers(void **state) {
        static const struct {
                const char *address;
                PathOrigin origin;
                uint32_t relay;
                PathTier tier;
        } cases[] = {
                { "10.1.2.3", PATH_PRESENCE, 0, PATH_TIER_LAN },
                { "172.16.0.1", PATH_PRESENCE, 0, PATH_TIER_LAN },
                { "172.31.255.255", PATH_PRESENCE, 0, PATH_TIER_LAN },
                { "172.32.0.1", PATH_PRESENCE, 0, PATH_TIER_PUBLIC },
                { "192.168.4.4", PATH_PRESENCE, 0, PATH_TIER_LAN },
                { "192.169.0.1", PATH_PRESENCE, 0, PATH_TIER_PUBLIC },
                { "169.254.1.1", PATH_PRESENCE, 0, PATH_TIER_LAN },
                { "127.0.0.1", PATH_PRESENCE, 0, PATH_TIER_LAN },
                { "fd00::1", PATH_PRESENCE, 0, PATH_TIER_LAN },
                { "fe80::1", PATH_PRESENCE, 0, PATH_TIER_LAN },
                { "2001:db8::1", PATH_PRESENCE, 0, PATH_TIER_PUBLIC },
                { "203.0.113.1", PATH_SEEN, 0, PATH_TIER_PUBLIC },
                { "203.0.113.1", PATH_LAN, 0, PATH_TIER_LAN },
                { "203.0.113.1", PATH_MAPPED, 0, PATH_TIER_TRANSLATED },
                { "10.1.2.3", PATH_RELAY, 7, PATH_TIER_RELAYED },
                { "203.0.113.1", PATH_SEEN, 7, PATH_TIER_RELAYED },
        };

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                PathSet set = PATH_SET_EMPTY;
                bool v6 = strchr(cases[i].address, ':');
                g_autofree char *text = g_strdup_printf(v6 ? "[%s]" : "%s", cases[i].address);
                Endpoint e = at(text);

                e.relay = cases[i].relay;
                assert_int_equal(path_tier_of(cases[i].origin, &e), cases[i].tier);
                assert_int_equal(path_set_add(&set, cases[i].origin, &e, 1)->theirs, cases[i].tier);
        }
}

static void test_kinds(void **state) {
        /* Best first: the worse end decides, then the better one. */
        static const PathTier order[][2] = {
                { PATH_TIER_LAN, PATH_TIER_LAN },
                { PATH_TIER_LAN, PATH_TIER_PUBLIC },
                { PATH_TIER_PUBLIC, PATH_TIER_PUBLIC },
                { PATH_TIER_TRANSLATED, PATH_TIER_LAN },
                { PATH_TIER_TRANSLATED, PATH_TIER_PUBLIC },
                { PATH_TIER_TRANSLATED, PATH_TIER_TRANSLATED },
                { PATH_TIER_RELAYED, PATH_TIER_RELAYED },
        };

        for (unsigned i = 0; i < ELEMENTSOF(order); i++)
                for (unsigned k = 0; k < ELEMENTSOF(order); k++) {
                        Path a = path("203.0.113.1", order[i][0], order[i][1], 90 * MSEC);
                        Path b = path("203.0.113.2", order[k][1], order[k][0], 5 * MSEC);
                        int c = path_compare_kind(&a, &b);

                        assert_true(i < k ? c < 0 : i > k ? c > 0 : c == 0);
                        /* Kind comes before speed. */
                        if (i < k)
                                assert_true(path_is_worth_moving(&a, &b));
                        if (i > k)
                                assert_false(path_is_worth_moving(&a, &b));
                }
}

static void test_hysteresis(void **state) {
        Path a = public(100 * MSEC), b = public(80 * MSEC), c = public(79 * MSEC);
        Path near = public(12 * MSEC), nearer = public(3 * MSEC), nearest = public(MSEC);
        Path v6 = path("[2001:db8::1]", PATH_TIER_PUBLIC, PATH_TIER_PUBLIC, 100 * MSEC);

        assert_false(path_is_worth_moving(&b, &a)); /* a fifth, and not more */
        assert_true(path_is_worth_moving(&c, &a));
        assert_false(path_is_worth_moving(&nearer, &near)); /* 10 ms, whatever part that is */
        assert_true(path_is_worth_moving(&nearest, &near));
        assert_false(path_is_worth_moving(&a, &a));
        /* IPv6 where it is no slower, and no way back for that. */
        assert_true(path_is_worth_moving(&v6, &a));
        assert_false(path_is_worth_moving(&a, &v6));
        v6.srtt = 101 * MSEC;
        assert_false(path_is_worth_moving(&v6, &a));
        assert_false(path_is_worth_moving(&a, &v6));
        /* Not known is no reason. */
        c.srtt = 0;
        assert_false(path_is_worth_moving(&c, &a));
}

static Path relayed(const char *text, usec_t srtt) {
        Path p = path(text, PATH_TIER_RELAYED, PATH_TIER_RELAYED, srtt);

        p.endpoint.relay = 7;
        return p;
}

/* From one relay to another: a third and 10 ms, and no family is worth it. */
static void test_relays(void **state) {
        Path a = relayed("203.0.113.1", 90 * MSEC), b = relayed("203.0.113.2", 60 * MSEC);
        Path c = relayed("203.0.113.3", 59 * MSEC), v6 = relayed("[2001:db8::1]", 80 * MSEC);
        Path near = relayed("203.0.113.4", 12 * MSEC), nearer = relayed("203.0.113.5", 3 * MSEC);
        Path direct = public(80 * MSEC);

        assert_int_equal(path_relay_limit(&a), 60 * MSEC);
        assert_int_equal(path_relay_limit(&near), 2 * MSEC);
        assert_false(path_is_worth_moving(&b, &a));
        assert_true(path_is_worth_moving(&c, &a));
        assert_false(path_is_worth_moving(&nearer, &near));
        assert_false(path_is_worth_moving(&v6, &a));
        assert_true(path_is_worth_moving(&direct, &c));
        near.srtt = 5 * MSEC;
        assert_int_equal(path_relay_limit(&near), 0);
}

static void test_ready(void **state) {
        Path p = public(10 * MSEC);

        assert_true(path_is_ready(&p, MTU, SEC));
        assert_false(path_is_ready(&p, MTU + 1, SEC));
        assert_true(path_is_ready(&p, MTU, SEC + PATH_FRESH_USEC));
        assert_false(path_is_ready(&p, MTU, SEC + PATH_FRESH_USEC + 1));
        p.state = PATH_DOUBTED;
        assert_false(path_is_ready(&p, 0, SEC));
        p.state = PATH_UNTRIED;
        assert_false(path_is_ready(&p, 0, SEC));
}

static void test_best(void **state) {
        PathSet set = PATH_SET_EMPTY;

        assert_null(path_set_best(&set, 0, 0, SEC));
        set.path[0] = path("203.0.113.1", PATH_TIER_RELAYED, PATH_TIER_RELAYED, MSEC);
        set.path[1] = public(50 * MSEC);
        set.path[2] = path("[2001:db8::1]", PATH_TIER_PUBLIC, PATH_TIER_PUBLIC, 52 * MSEC);
        set.path[3] = public(20 * MSEC);
        set.path[3].mtu = (PathMtu){};
        set.n = 4;
        assert_ptr_equal(path_set_best(&set, 0, MTU, SEC), &set.path[2]);
        assert_ptr_equal(path_set_best(&set, 0, 0, SEC), &set.path[3]);
        assert_ptr_equal(path_set_best(&set, 1U << 2, MTU, SEC), &set.path[1]);
        assert_ptr_equal(path_set_best(&set, 1U << 2 | 1U << 1, MTU, SEC), &set.path[0]);
        assert_null(path_set_best(&set, 0xf, 0, SEC));
}

/* Of one kind the one that large packets pass is better, once that was found out. */
static void test_size(void **state) {
        PathSet set = PATH_SET_EMPTY;
        Path *full = &set.path[0], *small = &set.path[1];

        *full = public(100 * MSEC);
        *small = public(20 * MSEC);
        set.n = 2;
        small->mtu.size = 1400;
        small->mtu.over = 1412;
        assert_ptr_equal(path_set_best(&set, 0, OMERTA_MTU_MIN, SEC), full);
        assert_true(path_is_worth_moving(full, small));
        assert_false(path_is_worth_moving(small, full));
        set.active = 0;
        assert_int_equal(path_set_reason(&set, small, SEC), PATH_REASON_SMALLER);
        small->mtu.state = PATH_MTU_STATE_SEARCH;
        small->mtu.over = MTU + 1;
        assert_ptr_equal(path_set_best(&set, 0, OMERTA_MTU_MIN, SEC), small);
        assert_false(path_is_worth_moving(full, small));
        assert_true(path_is_worth_moving(small, full));
        small->mtu.over = 1412;
        full->theirs = PATH_TIER_RELAYED;
        assert_ptr_equal(path_set_best(&set, 0, OMERTA_MTU_MIN, SEC), small);
        small->mtu.state = PATH_MTU_STATE_ERROR;
        small->mtu.size = OMERTA_MTU_LEAST;
        assert_ptr_equal(path_set_best(&set, 0, OMERTA_MTU_MIN, SEC), full);
        set.active = 1;
        assert_int_equal(path_set_reason(&set, small, SEC), PATH_REASON_ACTIVE_SMALL);
}

static void test_missed(void **state) {
        Path p = public(10 * MSEC), never = public(0);
        IpAddr local = {};

        never.last_answered = 0;
        never.state = PATH_UNTRIED;
        path_missed(&never, true);
        assert_int_equal(never.state, PATH_SILENT);
        path_missed(&p, false);
        assert_int_equal(p.state, PATH_DOUBTED);
        path_missed(&p, false);
        assert_int_equal(p.state, PATH_SILENT);
        assert_int_equal(p.n_lost, 2);
        path_answered(&p, &local, 2 * SEC);
        assert_int_equal(p.state, PATH_WORKS);
        assert_int_equal(p.last_answered, 2 * SEC);
        /* Something comes by it: answers may be lost, but not all. */
        path_missed(&p, true);
        path_missed(&p, true);
        assert_int_equal(p.state, PATH_WORKS);
        path_missed(&p, true);
        assert_int_equal(p.state, PATH_DOUBTED);
        for (unsigned i = 0; i < 3; i++)
                path_missed(&p, true);
        assert_int_equal(p.state, PATH_SILENT);
}

static void test_reflexive_are_few(void **state) {
        PathSet set = PATH_SET_EMPTY;
        Endpoint named = at("203.0.113.200"), e = at("198.51.100.1");
        IpAddr local = {};

        path_set_add(&set, PATH_TOLD, &named, 1);
        /* One that answered is none of them. */
        path_answered(path_set_heard(&set, &e, 1), &local, 1);
        for (unsigned i = 0; i < 50; i++) {
                endpoint_set_port(&e, (uint16_t) (1000 + i));
                assert_non_null(path_set_heard(&set, &e, 2 + i));
                assert_true(set.n <= 2 + PATHS_REFLEXIVE_MAX);
        }
        assert_non_null(path_set_find(&set, &named));
        assert_non_null(path_set_find(&set, &e));
        endpoint_set_port(&e, 1049 - PATHS_REFLEXIVE_MAX);
        assert_null(path_set_find(&set, &e));
        endpoint_set_port(&e, 18002);
        assert_non_null(path_set_find(&set, &e));
        assert_int_equal(path_set_find(&set, &e)->state, PATH_WORKS);
}

static void test_forget_told(void **state) {
        PathSet set = PATH_SET_EMPTY;
        Endpoint a = at("203.0.113.1"), b = at("203.0.113.2"), c = at("203.0.113.3"),
                 d = at("203.0.113.4");
        IpAddr local = {};

        path_set_add(&set, PATH_TOLD, &a, 1);
        path_set_add(&set, PATH_TOLD, &b, 1);
        path_set_add(&set, PATH_PRESENCE, &c, 1);
        path_answered(path_set_add(&set, PATH_TOLD, &d, 1), &local, 1);
        path_set_forget_told(&set, &b, 1);
        assert_null(path_set_find(&set, &a));
        assert_non_null(path_set_find(&set, &b));
        assert_non_null(path_set_find(&set, &c));
        assert_non_null(path_set_find(&set, &d));
}

static void test_reasons(void **state) {
        PathSet set = PATH_SET_EMPTY;
        Path *active = &set.path[0], *p = &set.path[1];

        set.n = 2;
        set.active = 0;
        *active = public(30 * MSEC);
        *p = public(30 * MSEC);
        assert_int_equal(path_set_reason(&set, active, SEC), PATH_REASON_ACTIVE);
        assert_int_equal(path_set_reason(&set, p, SEC), PATH_REASON_SPARE);
        p->srtt = 200 * MSEC;
        assert_int_equal(path_set_reason(&set, p, SEC), PATH_REASON_SLOWER);
        p->theirs = PATH_TIER_RELAYED;
        assert_int_equal(path_set_reason(&set, p, SEC), PATH_REASON_WORSE_KIND);
        assert_int_equal(path_set_reason(&set, p, 1000 * SEC), PATH_REASON_STALE);
        p->mtu.state = PATH_MTU_STATE_ERROR;
        assert_int_equal(path_set_reason(&set, p, SEC), PATH_REASON_SMALL_ONLY);
        p->state = PATH_SILENT;
        assert_int_equal(path_set_reason(&set, p, SEC), PATH_REASON_LOST);
        p->last_answered = 0;
        assert_int_equal(path_set_reason(&set, p, SEC), PATH_REASON_NO_ANSWER);
        p->last_received = 5;
        assert_int_equal(path_set_reason(&set, p, SEC), PATH_REASON_ONE_WAY);
        active->state = PATH_DOUBTED;
        assert_int_equal(path_set_reason(&set, active, SEC), PATH_REASON_DISTRESS);
        for (unsigned i = 0; i < _PATH_REASON_MAX; i++)
                assert_non_null(path_reason_to_string((PathReason) i));
        for (unsigned i = 0; i < _PATH_ORIGIN_MAX; i++)
                assert_non_null(path_origin_to_string((PathOrigin) i));
        for (unsigned i = 0; i < _PATH_STATE_MAX; i++)
                assert_non_null(path_state_to_string((PathState) i));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tiers),
                cmocka_unit_test(test_kinds),
                cmocka_unit_test(test_hysteresis),
                cmocka_unit_test(test_relays),
                cmocka_unit_test(test_ready),
                cmocka_unit_test(test_best),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_missed),
                cmocka_unit_test(test_reflexive_are_few),
                cmocka_unit_test(test_forget_told),
                cmocka_unit_test(test_reasons),
        };

        return cmocka_run_group_tests_name("mesh-path-rank", tests, NULL, NULL);
}
