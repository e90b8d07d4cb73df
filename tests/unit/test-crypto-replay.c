/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/macros.h"
#include "core/crypto/replay.h"

static bool take(ReplayWindow *w, uint64_t counter) {
        return replay_check_and_update(w, counter);
}

static void test_in_order(void **state) {
        ReplayWindow w = {};

        for (uint64_t c = 0; c < 5 * REPLAY_BITS; c++) {
                assert_true(take(&w, c));
                assert_false(take(&w, c));
                assert_int_equal(w.next, c + 1);
        }
}

static void test_reverse(void **state) {
        ReplayWindow w = {};
        uint64_t top = 3 * REPLAY_BITS + 17;

        assert_true(take(&w, top));
        for (uint64_t d = 1; d <= REPLAY_WINDOW; d++)
                assert_true(take(&w, top - d));
        for (uint64_t c = top - REPLAY_WINDOW - 1; c-- > 0;)
                assert_false(take(&w, c));
        for (uint64_t d = 0; d <= REPLAY_WINDOW; d++)
                assert_false(take(&w, top - d));
}

static void test_edges(void **state) {
        /* At every position of the highest counter inside its word. */
        for (uint64_t base = 0; base < 130; base++) {
                uint64_t top = 10 * REPLAY_BITS + base;
                ReplayWindow w = {};

                assert_true(take(&w, top));
                assert_true(take(&w, top - REPLAY_WINDOW));
                assert_false(take(&w, top - REPLAY_WINDOW));
                assert_false(take(&w, top - REPLAY_WINDOW - 1));
                assert_true(take(&w, top + 1));
                assert_false(take(&w, top - REPLAY_WINDOW));
                assert_true(take(&w, top + 1 - REPLAY_WINDOW));
                assert_true(take(&w, top - 1));
        }
}

static void test_first_counter(void **state) {
        static const uint64_t firsts[] = { 0, 1, 63, 64, 8127, 8128, 8191, 8192, UINT64_C(1) << 40 };

        for (size_t i = 0; i < ELEMENTSOF(firsts); i++) {
                ReplayWindow w = {};

                assert_true(take(&w, firsts[i]));
                assert_false(take(&w, firsts[i]));
                if (firsts[i] > 0)
                        assert_int_equal(take(&w, 0), firsts[i] <= REPLAY_WINDOW);
        }
}

static void test_jumps(void **state) {
        static const uint64_t jumps[] = { 63,   64,   65,   8127,  8128,   8129,
                                          8191, 8192, 8193, 16384, 100000, UINT64_C(1) << 33 };

        for (size_t i = 0; i < ELEMENTSOF(jumps); i++) {
                ReplayWindow w = {};
                uint64_t c = 0;

                /* Fill the ring, jump, and nothing of the old must be left in it. */
                for (; c < 2 * REPLAY_BITS; c++)
                        assert_true(take(&w, c));
                c += jumps[i];
                assert_true(take(&w, c));
                for (uint64_t d = 1; d <= MIN(jumps[i], (uint64_t) REPLAY_WINDOW); d++)
                        assert_true(take(&w, c - d));
                if (jumps[i] < REPLAY_WINDOW)
                        assert_false(take(&w, c - jumps[i] - 1)); /* seen before the jump */
        }
}

static void test_reject_after_messages(void **state) {
        ReplayWindow w = {};

        assert_true(REJECT_AFTER_MESSAGES == UINT64_MAX - 8192); /* 2^64 - 8193 */
        assert_false(take(&w, UINT64_MAX));
        assert_false(take(&w, REJECT_AFTER_MESSAGES));
        assert_int_equal(w.next, 0);
        assert_true(take(&w, REJECT_AFTER_MESSAGES - 1));
        assert_false(take(&w, REJECT_AFTER_MESSAGES - 1));
        assert_false(take(&w, REJECT_AFTER_MESSAGES));
        assert_false(take(&w, UINT64_MAX));
        assert_true(take(&w, REJECT_AFTER_MESSAGES - 1 - REPLAY_WINDOW));
        assert_false(take(&w, REJECT_AFTER_MESSAGES - 2 - REPLAY_WINDOW));
}

/* The slow twin: one byte for each counter there may be. */
#define TWIN_SIZE (1U << 20)
typedef struct Twin {
        uint64_t next;
        uint8_t seen[TWIN_SIZE];
} Twin;

static bool twin_take(Twin *t, uint64_t counter) {
        assert_true(counter < TWIN_SIZE);
        if (counter + REPLAY_WINDOW + 1 < t->next || t->seen[counter])
                return false;
        t->seen[counter] = 1;
        t->next = MAX(t->next, counter + 1);
        return true;
}

static uint64_t xorshift(uint64_t *x) {
        *x ^= *x << 13;
        *x ^= *x >> 7;
        *x ^= *x << 17;
        return *x;
}

static void test_twin(void **state) {
        const char *fixed = getenv("OMERTA_TEST_SEED");
        uint64_t seed = fixed ? strtoull(fixed, NULL, 0) : (uint64_t) time(NULL) | 1;
        uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
        g_autofree Twin *twin = NEW(Twin);

        printf("OMERTA_TEST_SEED=%llu\n", (unsigned long long) seed);
        for (unsigned round = 0; round < 40; round++) {
                ReplayWindow w = {};
                uint64_t c = xorshift(&x) % 1000;

                memset(twin, 0, sizeof *twin);
                for (unsigned i = 0; i < 20000; i++) {
                        uint64_t r = xorshift(&x), magnitude = UINT64_C(1) << (r >> 8) % 15;
                        uint64_t jump = xorshift(&x) % magnitude;

                        switch (r % 4) {
                        case 0:
                                c = c + jump < TWIN_SIZE ? c + jump : c;
                                break;
                        case 1:
                                c = c > jump ? c - jump : 0;
                                break;
                        case 2: /* around the far edge of the window */
                                c = twin->next + 3 > REPLAY_WINDOW + jump % 8
                                                    ? twin->next + 3 - REPLAY_WINDOW - jump % 8
                                                    : c;
                                break;
                        case 3:
                                c = MIN(twin->next + r % 3, (uint64_t) TWIN_SIZE - 1);
                                break;
                        }
                        if (take(&w, c) != twin_take(twin, c))
                                fail_msg("seed %llu, round %u, step %u, counter %llu",
                                         (unsigned long long) seed, round, i, (unsigned long long) c);
                        assert_int_equal(w.next, twin->next);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_in_order), cmocka_unit_test(test_reverse),
                cmocka_unit_test(test_edges),    cmocka_unit_test(test_first_counter),
                cmocka_unit_test(test_jumps),    cmocka_unit_test(test_reject_after_messages),
                cmocka_unit_test(test_twin),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
