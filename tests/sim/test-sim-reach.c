/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The matrix: machines of every kind reach machines of every kind, how, and whether packets
 * arrive. docs/reach.md shows the table; both change together.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/macros.h"
#include "reach-world.h"

#define SEC USEC_PER_SEC
/* To find a way; to be promoted is to take 3 s. */
#define SETTLE_SECONDS 12U
/* All of what is said then arrives. */
#define TALK_SECONDS 5U

/* Whether the gateway sees what they say, which only those who are relayed by it may need. */
static bool passes_gateway(Reach *w, Machine *a, Machine *b) {
        uint64_t before = sim_node_received(w->gateway->node);
        unsigned n = 0;

        for (unsigned i = 0; i < 50; i++)
                n += machine_reaches(a, b, USEC_PER_SEC / 10);
        return n > 25 && sim_node_received(w->gateway->node) - before >= n;
}

typedef struct Got {
        Kind there, back;
        unsigned arrived; /* of TALK_SECONDS */
        bool by_gateway;
} Got;

static Got try_pair(End from, End to) {
        _cleanup_(reach_freep) Reach *w = reach_new(1 + from * _END_MAX + to);
        Machine *a = reach_join(w, from), *b = reach_join(w, to);
        Got got;

        sim_run_for(w->sim, 5 * SEC);
        (void) reach_talk(a, b, SETTLE_SECONDS);
        got.arrived = reach_talk(a, b, TALK_SECONDS);
        got.there = reach_kind(a, b);
        got.back = reach_kind(b, a);
        got.by_gateway = passes_gateway(w, a, b);
        return got;
}

static void test_matrix(void **state) {
        unsigned n_worse = 0, n_open = 0;

        for (End from = 0; from < _END_MAX; from++) {
                printf("%-12s", end_name(from));
                for (End to = 0; to < _END_MAX; to++) {
                        const Expected *e = reach_expected(from, to);
                        Got got = try_pair(from, to);
                        Kind worse = MIN(got.there, got.back);
                        bool arrives = got.arrived == TALK_SECONDS;
                        bool honest = !arrives || got.by_gateway == (worse == RELAYED);

                        printf(" %s%s", kind_name(worse), arrives ? "" : "(silent)");
                        n_open += worse < e->goal || (e->goal != NONE && !arrives);
                        if (arrives && worse >= e->goal && e->now < e->goal)
                                fprintf(stderr, "%s to %s: %s, better than expected\n",
                                        end_name(from), end_name(to), kind_name(worse));
                        if (worse >= e->now && honest && (e->now == NONE || arrives))
                                continue;
                        n_worse++;
                        fprintf(stderr,
                                "%s to %s: %s there, %s back, %u of %u arrived%s; expected %s\n",
                                end_name(from), end_name(to), kind_name(got.there),
                                kind_name(got.back), got.arrived, TALK_SECONDS,
                                got.by_gateway ? ", by the gateway" : "", kind_name(e->now));
                }
                printf("\n");
        }
        printf("%u of %u pairs are not what they are to be\n", n_open, _END_MAX * _END_MAX);
        assert_int_equal(n_worse, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_matrix),
        };

        return cmocka_run_group_tests_name("sim-reach", tests, NULL, NULL);
}
