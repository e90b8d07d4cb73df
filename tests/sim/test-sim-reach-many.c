/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reaching each other in networks nobody has drawn: hundreds of them, each from a seed. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/macros.h"
#include "reach-world.h"

#define SEC USEC_PER_SEC
#define TOPOLOGIES 200U

static bool is_site(End end) {
        return end != END_OPEN && end != END_FIREWALL && end != END_BLOCKED && end != END_ONLY6;
}

/* Some of them inside the site of the one before. */
static void draw(Reach *r) {
        unsigned n = 2 + (unsigned) (sim_random(r->sim) % 4);

        for (unsigned i = 0; i < n; i++) {
                End end = (End) (sim_random(r->sim) % _END_MAX);
                Machine *last = r->n > 0 ? r->machine[r->n - 1] : NULL;

                if (last && last->site && is_site(r->end[r->n - 1]) && sim_random(r->sim) % 3 == 0) {
                        g_autofree char *at = g_strdup_printf("192.168.1.%u:18002", 10 + i);

                        (void) reach_join_inside(r, last->site, at);
                } else
                        (void) reach_join(r, end);
        }
}

typedef struct Tally {
        unsigned n, n_now, n_goal;
} Tally;

static unsigned check(Reach *r, unsigned i, unsigned k, Tally *t) {
        Machine *a = r->machine[i], *b = r->machine[k];
        const Expected *e = reach_expected(r->end[i], r->end[k]);
        Expected wanted = *e;
        Kind got;
        bool arrives;

        /* Who shares a site needs no router. Nothing says yet that the others are there. */
        if (a->site && a->site == b->site)
                wanted = (Expected){ NONE, LAN };
        /* All talk to all at once: a router that gives out its ports in sequence is further on than
         * is guessed, now and then. */
        if (r->end[i] == END_PREDICTABLE || r->end[k] == END_PREDICTABLE)
                wanted.now = MIN(wanted.now, RELAYED);
        /* Who began through a relay leaves it by what punching brings. */
        if (PUNCHED_NOW != DIRECT)
                wanted.now = MIN(wanted.now, RELAYED);
        arrives = reach_talk(a, b, 2) == 2;
        got = MIN(reach_kind(a, b), reach_kind(b, a));
        t->n++;
        t->n_now += wanted.now != NONE;
        t->n_goal += arrives && got >= wanted.goal;
        if (wanted.now == NONE || (arrives && got >= wanted.now))
                return 0;
        fprintf(stderr, "SIM_SEED=%llu: %s to %s: %s, expected %s\n",
                (unsigned long long) sim_seed(r->sim), a->name, b->name,
                arrives ? kind_name(got) : "silent", kind_name(wanted.now));
        return 1;
}

static void test_topologies(void **state) {
        unsigned n_worse = 0;
        Tally t = {};

        for (unsigned seed = 1; seed <= (getenv("SIM_SEED") ? 1 : TOPOLOGIES); seed++) {
                _cleanup_(reach_freep) Reach *r = reach_new(seed);

                draw(r);
                /* All at once, for a while. */
                for (unsigned round = 0; round < 15; round++) {
                        for (unsigned i = 0; i < r->n; i++)
                                for (unsigned k = 0; k < r->n; k++)
                                        if (i != k)
                                                (void) machine_reaches(
                                                                r->machine[i], r->machine[k], 0);
                        sim_run_for(r->sim, SEC);
                }
                for (unsigned i = 0; i < r->n; i++)
                        for (unsigned k = i + 1; k < r->n; k++)
                                n_worse += check(r, i, k, &t);
        }
        printf("%u pairs: %u had to reach each other, %u do as they are to\n", t.n, t.n_now,
               t.n_goal);
        assert_int_equal(n_worse, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_topologies),
        };

        return cmocka_run_group_tests_name("sim-reach-many", tests, NULL, NULL);
}
