/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "base/macros.h"
#include "core/crypto/handshake-limiter.h"

#define NOW (1000 * USEC_PER_SEC)
#define INTERVAL (USEC_PER_SEC / HANDSHAKES_PER_SECOND)

static void handshake_limiter_freep(HandshakeLimiter **l) {
        handshake_limiter_free(*l);
}
#define _cleanup_limiter_ _cleanup_(handshake_limiter_freep)

static Endpoint endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 1, &e), 0);
        return e;
}

static Endpoint source(uint32_t address) {
        return (Endpoint){ .in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) } };
}

static unsigned take_many(HandshakeLimiter *l, const char *from, usec_t now, unsigned n) {
        Endpoint e = endpoint(from);
        unsigned taken = 0;

        for (unsigned i = 0; i < n; i++)
                taken += handshake_limiter_take_unproven(l, &e, now);
        return taken;
}

static unsigned take_proven(HandshakeLimiter *l, const char *from, usec_t now, unsigned n) {
        Endpoint e = endpoint(from);
        unsigned taken = 0;

        for (unsigned i = 0; i < n; i++)
                taken += handshake_limiter_take_proven(l, &e, now);
        return taken;
}

static void count_many(HandshakeLimiter *l, usec_t now, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                handshake_limiter_count(l, now);
}

static void test_rate(void **state) {
        static const char *const froms[] = { "203.0.113.5", "[2001:db8::1]:7" };

        for (size_t i = 0; i < ELEMENTSOF(froms); i++) {
                _cleanup_limiter_ HandshakeLimiter *l = handshake_limiter_new();
                unsigned taken = 0;

                assert_int_equal(take_many(l, froms[i], NOW, 100), HANDSHAKES_BURST);
                assert_int_equal(take_many(l, froms[i], NOW + INTERVAL - 1, 100), 0);
                assert_int_equal(take_many(l, froms[i], NOW + INTERVAL, 100), 1);
                /* 20 a second for a minute. */
                for (usec_t t = NOW + INTERVAL; t < NOW + INTERVAL + 60 * USEC_PER_SEC; t += 1000)
                        taken += take_many(l, froms[i], t, 1);
                assert_in_range(taken, 60 * HANDSHAKES_PER_SECOND - 1, 60 * HANDSHAKES_PER_SECOND);
                /* After a rest the burst is there again, and no more. */
                assert_int_equal(take_many(l, froms[i], NOW + USEC_PER_HOUR, 100), HANDSHAKES_BURST);
        }
}

static void test_who_is_one_source(void **state) {
        static const struct {
                const char *a, *b;
                bool same;
        } table[] = {
                { "203.0.113.5:1000", "203.0.113.5:1001", true },
                { "203.0.113.5", "203.0.113.6", false },
                { "[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::2]:2", true },
                { "[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false },
                { "203.0.113.5", "[::ffff:203.0.113.5]:9", true },
                { "203.0.113.5", "[cb00:7105::]:9", false }, /* the same first bytes */
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_limiter_ HandshakeLimiter *l = handshake_limiter_new();

                assert_int_equal(take_many(l, table[i].a, NOW, 100), HANDSHAKES_BURST);
                assert_int_equal(
                                take_many(l, table[i].b, NOW, 100),
                                table[i].same ? 0 : HANDSHAKES_BURST);
                assert_int_equal(handshake_limiter_size(l), table[i].same ? 1 : 2);
        }
}

static void test_flood_is_bounded(void **state) {
        _cleanup_limiter_ HandshakeLimiter *l = handshake_limiter_new();
        usec_t now = NOW;

        /* All at once: nothing is full, yet the table does not grow. */
        for (uint32_t i = 0; i < 1000000; i++) {
                Endpoint e = source(i);

                assert_true(handshake_limiter_take_unproven(l, &e, now));
                assert_true(handshake_limiter_size(l) <= RATELIMIT_SOURCES_MAX);
        }
        assert_int_equal(handshake_limiter_size(l), RATELIMIT_SOURCES_MAX);
        /* When it is over the memory comes back, a little with each message. */
        now += USEC_PER_SEC;
        for (uint32_t i = 0; i < RATELIMIT_SOURCES_MAX; i++) {
                Endpoint e = source(i);

                now += INTERVAL;
                handshake_limiter_take_unproven(l, &e, now);
        }
        assert_int_equal(handshake_limiter_size(l), 1);
}

static void test_full_are_forgotten_first(void **state) {
        _cleanup_limiter_ HandshakeLimiter *l = handshake_limiter_new();

        /* One source has used up its burst; as many others as fit came once, before it. */
        for (uint32_t i = 0; i < RATELIMIT_SOURCES_MAX - 1; i++) {
                Endpoint e = source(i);

                assert_true(handshake_limiter_take_unproven(l, &e, NOW));
        }
        assert_int_equal(take_many(l, "203.0.113.5", NOW, 100), HANDSHAKES_BURST);
        /* A flood of strangers makes nobody forget it. */
        for (uint32_t i = 0; i < 3 * RATELIMIT_SOURCES_MAX; i++) {
                Endpoint e = source(0x20000000 + i);

                assert_true(handshake_limiter_take_unproven(l, &e, NOW + 1));
        }
        assert_int_equal(take_many(l, "203.0.113.5", NOW + 1, 100), 0);
}

static void test_under_load(void **state) {
        _cleanup_limiter_ HandshakeLimiter *l = handshake_limiter_new();
        usec_t step = USEC_PER_SEC / (HANDSHAKES_UNDER_LOAD + 1), t = NOW;

        assert_false(handshake_limiter_under_load(l, t));
        /* 200 at once are not more than 200; the next one is. */
        count_many(l, t, HANDSHAKES_UNDER_LOAD);
        assert_false(handshake_limiter_under_load(l, t));
        count_many(l, t, 1);
        assert_true(handshake_limiter_under_load(l, t));
        assert_true(handshake_limiter_under_load(l, t + USEC_PER_SEC - 1));
        assert_false(handshake_limiter_under_load(l, t + USEC_PER_SEC));
        /* Exactly 200 a second for long, then one more a second. */
        for (unsigned i = 0; i < 1000; i++) {
                t += USEC_PER_SEC / HANDSHAKES_UNDER_LOAD;
                count_many(l, t + 2 * USEC_PER_SEC, 1);
                assert_false(handshake_limiter_under_load(l, t + 2 * USEC_PER_SEC));
        }
        for (unsigned i = 0; i < 2 * HANDSHAKES_UNDER_LOAD; i++) {
                t += step;
                count_many(l, t + 2 * USEC_PER_SEC, 1);
        }
        assert_true(handshake_limiter_under_load(l, t + 2 * USEC_PER_SEC));
}

/* Those who have shown where they are. */
static void test_proven(void **state) {
        _cleanup_limiter_ HandshakeLimiter *l = handshake_limiter_new();

        /* What others send in its name costs an address nothing there. */
        take_many(l, "203.0.113.5:1", NOW, 100);
        assert_int_equal(take_proven(l, "203.0.113.5:1", NOW, 100), HANDSHAKES_BURST);
        assert_int_equal(take_proven(l, "203.0.113.5:2", NOW, 100), HANDSHAKES_BURST);
        assert_int_equal(take_proven(l, "[2001:db8::1]:1", NOW, 100), HANDSHAKES_BURST);
        assert_int_equal(take_proven(l, "[2001:db8::2]:1", NOW, 100), HANDSHAKES_BURST);
        /* Nor does what it did there keep it from the other account. */
        assert_int_equal(take_many(l, "[2001:db8::1]:1", NOW, 100), HANDSHAKES_BURST);
        /* Refused ones cost nothing. */
        assert_int_equal(
                        take_proven(l, "203.0.113.5:1", NOW + USEC_PER_SEC / HANDSHAKES_PER_PORT, 9),
                        1);
}

/* One address with every port there is, for ten seconds. */
static void test_all_ports(void **state) {
        _cleanup_limiter_ HandshakeLimiter *l = handshake_limiter_new();
        Endpoint e = endpoint("203.0.113.5:1");
        unsigned taken = 0, most = 0;
        usec_t now = NOW;

        for (unsigned i = 0; i < 10 * 65535; i++) {
                endpoint_set_port(&e, (uint16_t) (1 + i % 65535));
                now += 10 * USEC_PER_SEC / (10 * 65535);
                taken += handshake_limiter_take_proven(l, &e, now);
                most = MAX(most, handshake_limiter_size(l));
        }
        assert_true(taken <= 2 * (10 * HANDSHAKES_PER_ADDRESS + HANDSHAKES_PER_ADDRESS / 4));
        assert_true(most < 500);
        /* Another address, and this one a second later, are as before. */
        assert_int_equal(take_proven(l, "203.0.113.6:1", now, 9), HANDSHAKES_BURST);
        assert_int_equal(take_proven(l, "203.0.113.5:7", now + USEC_PER_SEC, 9), HANDSHAKES_BURST);
}

static void test_quiet_ports_first(void **state) {
        _cleanup_limiter_ HandshakeLimiter *l = handshake_limiter_new();
        usec_t now = NOW;

        /* Sixteen ports that never rest share what is for those; a new one has its own. */
        for (unsigned i = 0; i < 10000; i++) {
                g_autofree char *from = g_strdup_printf("203.0.113.5:%u", 1 + i % 16);

                now += USEC_PER_MSEC;
                take_proven(l, from, now, 1);
        }
        assert_int_equal(take_proven(l, "203.0.113.5:99", now, 1), 1);
}

static void test_trusted(void **state) {
        _cleanup_limiter_ HandshakeLimiter *l = handshake_limiter_new();
        Endpoint member = endpoint("203.0.113.5:18002"), e = member, forged = endpoint("192.0.2.9:1");
        usec_t now = NOW;
        unsigned denied = 0;

        /* Nobody has proved anything there. */
        handshake_limiter_trust(l, &forged, now);
        assert_int_equal(handshake_limiter_size(l), 0);
        assert_true(handshake_limiter_take_proven(l, &member, now));
        handshake_limiter_trust(l, &member, now);
        /* Two minutes of a neighbour with all the ports there are. */
        for (unsigned i = 0; i < 120 * 1000; i++) {
                now += USEC_PER_MSEC;
                endpoint_set_port(&e, (uint16_t) (1 + i % 18001));
                denied += !handshake_limiter_take_proven(l, &e, now);
        }
        assert_true(denied > 90 * 1000);
        for (unsigned i = 0; i < HANDSHAKES_BURST; i++)
                assert_true(handshake_limiter_take_proven(l, &member, now));
        assert_false(handshake_limiter_take_proven(l, &member, now));
        /* It is remembered for a while only. */
        now += 10 * USEC_PER_MINUTE;
        take_many(l, "192.0.2.1", now, 1);
        for (unsigned i = 0; i < 500; i++)
                take_many(l, "192.0.2.1", now += USEC_PER_SEC, 1);
        assert_int_equal(handshake_limiter_size(l), 1);
}

/* The slow twin: buckets that fill continuously, for ever remembered. */
static void test_twin(void **state) {
        const char *fixed = getenv("OMERTA_TEST_SEED");
        unsigned seed = fixed ? (unsigned) strtoul(fixed, NULL, 0) : (unsigned) time(NULL);
        _cleanup_limiter_ HandshakeLimiter *l = handshake_limiter_new();
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        struct {
                uint64_t level; /* in tokens times INTERVAL */
                usec_t last;
        } twin[50];
        usec_t now = NOW;

        printf("OMERTA_TEST_SEED=%u\n", seed);
        for (size_t i = 0; i < ELEMENTSOF(twin); i++) {
                twin[i].level = HANDSHAKES_BURST * INTERVAL;
                twin[i].last = now;
        }
        for (unsigned i = 0; i < 100000; i++) {
                uint32_t who = g_rand_int(rand) % ELEMENTSOF(twin);
                Endpoint e = source(who);
                bool expected;

                now += g_rand_int(rand) % 3000;
                twin[who].level =
                                MIN(twin[who].level + (now - twin[who].last),
                                    HANDSHAKES_BURST * INTERVAL);
                twin[who].last = now;
                expected = twin[who].level >= INTERVAL;
                if (expected)
                        twin[who].level -= INTERVAL;
                assert_int_equal(handshake_limiter_take_unproven(l, &e, now), expected);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rate),
                cmocka_unit_test(test_who_is_one_source),
                cmocka_unit_test(test_flood_is_bounded),
                cmocka_unit_test(test_full_are_forgotten_first),
                cmocka_unit_test(test_under_load),
                cmocka_unit_test(test_proven),
                cmocka_unit_test(test_all_ports),
                cmocka_unit_test(test_quiet_ports_first),
                cmocka_unit_test(test_trusted),
                cmocka_unit_test(test_twin),
        };

        if (sodium_init() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
