/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macros.h"
#include "base/ratelimit.h"

static void test_burst_and_refill(void **state) {
        RateLimit rl = { .interval = 50, .burst = 5 };
        usec_t now = 1000;

        for (unsigned i = 0; i < 5; i++)
                assert_true(ratelimit_take(&rl, now));
        assert_false(ratelimit_take(&rl, now));
        assert_false(ratelimit_take(&rl, now + 49));
        assert_true(ratelimit_take(&rl, now + 50));
        assert_false(ratelimit_take(&rl, now + 50));
        /* Refused ones cost nothing. */
        assert_true(ratelimit_take(&rl, now + 100));
        /* A full bucket is no fuller. */
        now += 1000 * 50;
        for (unsigned i = 0; i < 5; i++)
                assert_true(ratelimit_take(&rl, now));
        assert_false(ratelimit_take(&rl, now));
}

/* The obvious twin: a counter that gets one token at each multiple of the interval since the
 * bucket was last full. */
static void test_against_counting(void **state) {
        unsigned seed = g_random_int(), taken = 0;
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        RateLimit rl = { .interval = 50, .burst = 5 };
        usec_t now = 1000000, next = 0;
        unsigned tokens = 5;

        print_message("seed %u\n", seed);
        for (unsigned i = 0; i < 100000; i++) {
                bool wanted;

                now += (usec_t) g_rand_int_range(rand, 0, 80);
                while (tokens < 5 && next <= now) {
                        tokens++;
                        next += 50;
                }
                wanted = tokens > 0;
                if (wanted && tokens-- == 5)
                        next = now + 50;
                assert_int_equal(ratelimit_take(&rl, now), wanted);
                taken += wanted;
        }
        assert_in_range(taken, 10000, 99000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_burst_and_refill),
                cmocka_unit_test(test_against_counting),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
