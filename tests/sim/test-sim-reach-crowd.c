/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Two hundred machines, of which ten can be reached and a third moves. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/macros.h"
#include "reach-world.h"

#define SEC USEC_PER_SEC
#define CROWD 200U
#define REACHABLE 10U
#define MOVES 3U
/* Of those that need a relay, so many are tried. */
#define HIDDEN_PAIRS 20U

/* Anything but what can be reached, or reaches nothing. */
static End draw_hidden(Reach *r) {
        static const End ends[] = { END_FIREWALL, END_EASY,    END_PREDICTABLE, END_RANDOM,
                                    END_DOUBLE,   END_CARRIER, END_DUAL };

        return ends[sim_random(r->sim) % ELEMENTSOF(ends)];
}

static End draw_open(Reach *r) {
        return END_OPEN;
}

static bool moves(unsigned i) {
        return i >= REACHABLE && i % 3 == 0;
}

static bool reach_each_other(Machine *a, Machine *b) {
        return machine_reaches(a, b, 5 * SEC) && machine_reaches(b, a, SEC);
}

static Machine *draw_machine(Reach *r) {
        return r->machine[REACHABLE + sim_random(r->sim) % (CROWD - REACHABLE)];
}

static void test_crowd(void **state) {
        _cleanup_(reach_freep) Reach *r = reach_new(1);
        unsigned n = 0;

        printf("SIM_SEED=%llu\n", (unsigned long long) sim_seed(r->sim));
        reach_join_many(r, REACHABLE, draw_open);
        while (r->n < CROWD)
                reach_join_many(r, MIN(20U, CROWD - r->n), draw_hidden);
        for (unsigned round = 0; round < MOVES; round++) {
                sim_run_for(r->sim, 20 * SEC);
                for (unsigned i = 0; i < CROWD; i++)
                        if (moves(i))
                                reach_move(r, r->machine[i], draw_hidden(r));
        }
        sim_run_for(r->sim, 20 * SEC);
        for (unsigned i = 0; i < CROWD; i++)
                assert_int_equal(network_state(r->machine[i]->network), NETWORK_ONLINE);
        /* Those that can be reached are, by everybody. */
        for (unsigned i = 0; i < 50; i++)
                assert_true(reach_each_other(draw_machine(r), r->machine[i % REACHABLE]));
        for (unsigned i = 0; i < HIDDEN_PAIRS; i++) {
                Machine *a = draw_machine(r), *b = draw_machine(r);

                n += a == b || reach_each_other(a, b);
                assert_true(a == b || reach_kind(a, b) >= RELAYS_NOW);
        }
        printf("%u of %u pairs that cannot be reached reach each other\n", n, HIDDEN_PAIRS);
        assert_int_equal(n, HIDDEN_PAIRS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_crowd),
        };

        return cmocka_run_group_tests_name("sim-reach-crowd", tests, NULL, NULL);
}
