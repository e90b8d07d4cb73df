/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/cookie.h"

#define NOW (1000000 * USEC_PER_SEC)
#define LEN 960U

/* Not random, but never the same twice. */
static void count_up(void *userdata, void *buf, size_t n) {
        uint64_t *counter = userdata;

        memset(buf, 0, n);
        memcpy(buf, counter, MIN(n, sizeof *counter));
        (*counter)++;
}

typedef struct Fixture {
        uint64_t counter;
        CookieChecker checker;
        CookieMaker maker;
        Endpoint from;
        uint8_t message[LEN], reply[COOKIE_REPLY_SIZE];
} Fixture;

static const uint8_t static_public[32] = { 1, 2, 3 };
static const NetworkId network = { { 4, 5, 6 } };

static Endpoint endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 0, &e), 0);
        return e;
}

static void start(Fixture *f) {
        *f = (Fixture){ .counter = 1, .from = endpoint("203.0.113.5:18002") };
        cookie_checker_init(&f->checker, &network, static_public, count_up, &f->counter);
        cookie_maker_init(&f->maker, &network, static_public);
        for (size_t i = 0; i < LEN; i++)
                f->message[i] = (uint8_t) i;
        f->message[0] = MESSAGE_HANDSHAKE_INITIATION;
}

static CookieVerdict check(Fixture *f, usec_t now) {
        return cookie_check(&f->checker, f->message, LEN, &f->from, now);
}

static void mark(Fixture *f, usec_t now) {
        cookie_maker_mark(&f->maker, f->message, LEN, now);
}

static void make_reply(Fixture *f, usec_t now) {
        cookie_make_reply(&f->checker, f->message, LEN, &f->from, now, f->reply);
}

/* A maker that has a cookie since @now. */
static void start_with_cookie(Fixture *f, usec_t now) {
        start(f);
        mark(f, now);
        make_reply(f, now);
        assert_int_equal(cookie_maker_take_reply(&f->maker, f->reply, now), 0);
}

static void test_round_trip(void **state) {
        Fixture f;

        start(&f);
        mark(&f, NOW);
        assert_int_equal(check(&f, NOW), COOKIE_VALID_MAC1);
        assert_true(sodium_is_zero(f.message + LEN - 16, 16));
        make_reply(&f, NOW);
        assert_int_equal(f.reply[0], MESSAGE_COOKIE_REPLY);
        assert_true(sodium_is_zero(f.reply + 1, 3));
        assert_memory_equal(f.reply + COOKIE_RECEIVER_OFFSET, f.message + INITIATION_SENDER_OFFSET, 4);
        assert_int_equal(cookie_maker_take_reply(&f.maker, f.reply, NOW), 0);
        f.message[200] ^= 1; /* a new message */
        mark(&f, NOW + 1);
        assert_int_equal(check(&f, NOW + 1), COOKIE_VALID_MAC2);
        /* Its macs are by the page: docs/protocol.md, "mac1, mac2, cookies". */
        {
                uint8_t key[32], input[11 + 64], expected[16];

                memcpy(input, "omerta mac1", 11);
                memcpy(input + 11, &network, 32);
                memcpy(input + 43, static_public, 32);
                crypto_generichash(key, 32, input, sizeof input, NULL, 0);
                crypto_generichash(expected, 16, f.message, LEN - 32, key, 32);
                assert_memory_equal(f.message + LEN - 32, expected, 16);
        }
}

static void test_forged(void **state) {
        Fixture f;

        start_with_cookie(&f, NOW);
        mark(&f, NOW);
        for (size_t bit = 0; bit < 8 * LEN; bit++) {
                CookieVerdict expected = bit / 8 < LEN - 16 ? COOKIE_INVALID_MAC1 : COOKIE_VALID_MAC1;

                f.message[bit / 8] ^= (uint8_t) (1U << bit % 8);
                assert_int_equal(check(&f, NOW), expected);
                f.message[bit / 8] ^= (uint8_t) (1U << bit % 8);
        }
        assert_int_equal(check(&f, NOW), COOKIE_VALID_MAC2);
        for (size_t len = 0; len < LEN; len++) {
                g_autofree uint8_t *cut = g_memdup2(f.message, len);

                assert_int_equal(cookie_check(&f.checker, cut, len, &f.from, NOW), COOKIE_INVALID_MAC1);
        }
}

static void test_other_network_or_key(void **state) {
        static const uint8_t other_key[32] = { 9 };
        static const NetworkId other_network = { { 9 } };
        Fixture f;

        start(&f);
        cookie_maker_init(&f.maker, &other_network, static_public);
        mark(&f, NOW);
        assert_int_equal(check(&f, NOW), COOKIE_INVALID_MAC1);
        cookie_maker_init(&f.maker, &network, other_key);
        mark(&f, NOW);
        assert_int_equal(check(&f, NOW), COOKIE_INVALID_MAC1);
}

static void test_wrong_source(void **state) {
        static const char *const others[] = { "203.0.113.6:18002", "203.0.113.5:18003",
                                              "[2001:db8::1]:18002" };
        Fixture f;

        start_with_cookie(&f, NOW);
        mark(&f, NOW);
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                f.from = endpoint(others[i]);
                assert_int_equal(check(&f, NOW), COOKIE_VALID_MAC1);
        }
        f.from = endpoint("203.0.113.5:18002");
        assert_int_equal(check(&f, NOW), COOKIE_VALID_MAC2);
}

static void test_expiry(void **state) {
        Fixture f;

        /* The maker uses it for 120 s. */
        start_with_cookie(&f, NOW);
        mark(&f, NOW + COOKIE_SECRET_LIFETIME - 1);
        assert_int_equal(check(&f, NOW + COOKIE_SECRET_LIFETIME - 1), COOKIE_VALID_MAC2);
        mark(&f, NOW + COOKIE_SECRET_LIFETIME);
        assert_true(sodium_is_zero(f.message + LEN - 16, 16));
        assert_int_equal(check(&f, NOW + COOKIE_SECRET_LIFETIME), COOKIE_VALID_MAC1);

        /* The checker takes it as long as that at least, wherever in the life of its secret it was
         * made, and not twice as long, whenever else it was asked. */
        for (usec_t at = NOW; at < NOW + COOKIE_SECRET_LIFETIME; at += 7 * USEC_PER_SEC)
                for (usec_t step = 40 * USEC_PER_SEC; step <= 240 * USEC_PER_SEC;
                     step += 33 * USEC_PER_SEC - 1) {
                        start_with_cookie(&f, at);
                        mark(&f, at);
                        for (usec_t t = at + step; t < at + 2 * COOKIE_SECRET_LIFETIME; t += step)
                                if (check(&f, t) != COOKIE_VALID_MAC2)
                                        assert_true(t > at + COOKIE_SECRET_LIFETIME);
                        assert_int_equal(check(&f, at + 2 * COOKIE_SECRET_LIFETIME), COOKIE_VALID_MAC1);
                }
}

static void test_reply_refused(void **state) {
        uint8_t first[COOKIE_REPLY_SIZE];
        Fixture f;

        /* Nothing sent yet. */
        start(&f);
        make_reply(&f, NOW);
        assert_int_equal(cookie_maker_take_reply(&f.maker, f.reply, NOW), -EBADMSG);
        /* An answer to another message than the last. */
        mark(&f, NOW);
        make_reply(&f, NOW);
        memcpy(first, f.reply, sizeof first);
        f.message[100] ^= 1;
        mark(&f, NOW);
        assert_int_equal(cookie_maker_take_reply(&f.maker, first, NOW), -EBADMSG);
        /* Every bit but those of the receiver index, which is the caller's to look at. */
        make_reply(&f, NOW);
        for (size_t bit = 0; bit < 8 * sizeof f.reply; bit++) {
                if (bit / 8 >= COOKIE_RECEIVER_OFFSET && bit / 8 < COOKIE_NONCE_OFFSET)
                        continue;
                f.reply[bit / 8] ^= (uint8_t) (1U << bit % 8);
                assert_int_equal(cookie_maker_take_reply(&f.maker, f.reply, NOW), -EBADMSG);
                f.reply[bit / 8] ^= (uint8_t) (1U << bit % 8);
        }
        assert_false(f.maker.has_cookie);
        /* Taken once; again it does not make the cookie younger. */
        assert_int_equal(cookie_maker_take_reply(&f.maker, f.reply, NOW), 0);
        assert_int_equal(cookie_maker_take_reply(&f.maker, f.reply, NOW + 50), -EBADMSG);
        assert_int_equal(f.maker.cookie_born, NOW);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_forged),
                cmocka_unit_test(test_other_network_or_key),
                cmocka_unit_test(test_wrong_source),
                cmocka_unit_test(test_expiry),
                cmocka_unit_test(test_reply_refused),
        };

        if (sodium_init() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
