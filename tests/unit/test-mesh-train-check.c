/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether trains pass: what rounds of probes say, and when the next is due. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>

#include "base/macros.h"
#include "core/mesh/link/train-check.h"

#define SEC USEC_PER_SEC
#define ROUND SEC

/* The pause until a round is due; 0: at once. */
static usec_t due_after(const TrainCheck *c, usec_t changed, usec_t now) {
        for (usec_t t = 0; t <= 2 * USEC_PER_HOUR; t += SEC)
                if (train_check_is_due(c, changed, now + t))
                        return t;
        return USEC_INFINITY;
}

/* One round, at the end of which @now is; its answers in an order that is nobody's. */
static void ask_round(TrainCheck *c, unsigned trained, unsigned single, usec_t *now) {
        train_check_begin(c, true, *now);
        *now += ROUND;
        for (unsigned i = 0; i < TRAIN_PROBES; i++) {
                assert_false(train_check_is_due(c, *now, *now));
                assert_false(train_check_note(c, false, i < single));
                assert_int_equal(
                                train_check_note(c, true, i >= TRAIN_PROBES - trained),
                                i == TRAIN_PROBES - 1);
        }
}

typedef struct Round {
        unsigned trained, single;
} Round;

static void test_verdicts(void **state) {
        static const struct {
                const char *what;
                Round round[5];
                unsigned n;
                TrainVerdict verdict;
                usec_t due; /* after the last */
        } cases[] = {
                { "nothing was asked", {}, 0, TRAINS_UNKNOWN, 0 },
                { "all arrive", { { 4, 4 } }, 1, TRAINS_PASS, USEC_PER_HOUR },
                { "some loss", { { 2, 3 } }, 1, TRAINS_PASS, USEC_PER_HOUR },
                { "better than single", { { 4, 3 } }, 1, TRAINS_PASS, USEC_PER_HOUR },
                { "lost once", { { 0, 4 } }, 1, TRAINS_UNKNOWN, 0 },
                { "lost twice", { { 0, 4 }, { 0, 4 } }, 2, TRAINS_LOST, USEC_PER_HOUR },
                { "but for one", { { 1, 4 }, { 1, 3 } }, 2, TRAINS_LOST, USEC_PER_HOUR },
                { "a burst", { { 0, 4 }, { 4, 4 } }, 2, TRAINS_PASS, USEC_PER_HOUR },
                { "nothing arrives", { { 0, 0 } }, 1, TRAINS_UNKNOWN, USEC_PER_MINUTE },
                { "too little arrives", { { 0, 2 }, { 0, 2 } }, 2, TRAINS_UNKNOWN, USEC_PER_MINUTE },
                { "not in a row", { { 0, 4 }, { 0, 2 }, { 0, 4 } }, 3, TRAINS_UNKNOWN, 0 },
                { "the trains alone", { { 4, 0 } }, 1, TRAINS_UNKNOWN, USEC_PER_MINUTE },
                { "passed once", { { 4, 4 }, { 0, 4 } }, 2, TRAINS_PASS, 0 },
                { "no more", { { 4, 4 }, { 0, 4 }, { 0, 4 } }, 3, TRAINS_LOST, USEC_PER_HOUR },
                { "still lost", { { 0, 4 }, { 0, 4 }, { 0, 4 } }, 3, TRAINS_LOST, USEC_PER_HOUR },
                { "cannot be said", { { 0, 4 }, { 0, 4 }, { 0, 1 } }, 3, TRAINS_LOST, USEC_PER_HOUR },
                { "again", { { 0, 4 }, { 0, 4 }, { 4, 4 } }, 3, TRAINS_PASS, USEC_PER_HOUR },
        };

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                TrainCheck c = {};
                usec_t now = 10 * SEC, due = cases[i].due;

                for (unsigned k = 0; k < cases[i].n; k++)
                        ask_round(&c, cases[i].round[k].trained, cases[i].round[k].single, &now);
                if (c.verdict != cases[i].verdict)
                        fail_msg("%s: %s", cases[i].what, train_verdict_to_string(c.verdict));
                /* Counted from where the round began. */
                if (due_after(&c, 0, now) != (due > 0 ? due - ROUND : 0))
                        fail_msg("%s: due after %" PRIu64 " s", cases[i].what,
                                 due_after(&c, 0, now) / SEC);
        }
}

static void test_network_changes(void **state) {
        static const Round rounds[] = { { 4, 4 }, { 0, 4 } };

        for (unsigned i = 0; i < ELEMENTSOF(rounds); i++) {
                usec_t now = USEC_PER_DAY;
                TrainCheck c = {};

                for (unsigned k = 0; k < TRAIN_ROUNDS; k++)
                        ask_round(&c, rounds[i].trained, rounds[i].single, &now);
                assert_int_equal(due_after(&c, now - USEC_PER_HOUR, now), USEC_PER_HOUR - ROUND);
                assert_int_equal(due_after(&c, now, now), USEC_PER_MINUTE - ROUND);
                now += 10 * USEC_PER_MINUTE;
                assert_int_equal(due_after(&c, now, now), 0);
        }
}

/* Where the kernel cannot, and where it could not just now. */
static void test_not_sent(void **state) {
        usec_t now = 10 * SEC;
        TrainCheck c = {};

        ask_round(&c, 0, 4, &now);
        train_check_begin(&c, false, now);
        assert_int_equal(c.verdict, TRAINS_UNKNOWN);
        assert_int_equal(due_after(&c, 0, now), USEC_PER_MINUTE);
        /* What nobody waits for says nothing. */
        assert_false(train_check_note(&c, true, false));
}

static void test_loss(void **state) {
        static const struct {
                uint32_t probes, lost;
                bool is_lossy;
        } minutes[] = {
                { 20, 0, false }, { 20, 1, false }, { 5, 1, false },
                { 1, 1, false },  { 20, 2, true },  { 60, 3, false },
                { 60, 4, true },  { 3, 3, true },   { 0, 0, false },
        };

        for (unsigned i = 0; i < ELEMENTSOF(minutes); i++) {
                uint32_t probes = UINT32_MAX - 4, lost = UINT32_MAX;
                usec_t now = USEC_PER_DAY;
                TrainCheck c = {};

                ask_round(&c, 4, 4, &now);
                train_check_count(&c, probes, lost, now);
                train_check_count(&c, probes + 50, lost + 50, now + USEC_PER_MINUTE - 1);
                now += USEC_PER_MINUTE;
                train_check_count(&c, probes + minutes[i].probes, lost + minutes[i].lost, now);
                assert_int_equal(train_check_is_due(&c, 0, now), minutes[i].is_lossy);
                /* A minute later at the earliest; and it does not stay so. */
                ask_round(&c, 4, 4, &now);
                assert_int_equal(due_after(&c, 0, now), USEC_PER_HOUR - ROUND);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdicts),
                cmocka_unit_test(test_network_changes),
                cmocka_unit_test(test_not_sent),
                cmocka_unit_test(test_loss),
        };

        return cmocka_run_group_tests_name("mesh-train-check", tests, NULL, NULL);
}
