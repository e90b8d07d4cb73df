/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a machine may cost us. All numbers are far above what honest machines do in a network of
 * MACHINES_MAX, and low enough that a hostile one is no load.
 */
#include "base/macros.h"
#include "core/mesh/gossip/gossip-internal.h"

/* Accounts that say nothing are looked for so often. */
#define ACCOUNTS_SWEEP (10 * USEC_PER_MINUTE)
/* Silence is forgotten so long after the pause it led to. */
#define SILENCE_KEEP USEC_PER_HOUR
/* Time in which a machine may ask for all we have, about three times (records are of 300 bytes,
 * not 1024), and the least we allow for it. */
#define ANSWERS_PERIOD (10 * USEC_PER_MINUTE)
#define ANSWERS_MIN_KIB 1024U

typedef struct Rate {
        usec_t interval; /* time one token takes to come back */
        unsigned burst;
} Rate;

/* A newcomer gets the whole directory in one go. */
static Rate answers_rate(const Gossip *g) {
        unsigned n = ANSWERS_MIN_KIB;

        for (RecordKind k = RECORD_CERTIFICATE; k < _RECORD_KIND_MAX; k++)
                n += directory_count(g->directory, k);
        return (Rate){ .interval = ANSWERS_PERIOD / n, .burst = n };
}

static Rate rate_of(const Gossip *g, Budget b) {
        switch (b) {
        case BUDGET_ANSWERS:
                return answers_rate(g);
        case BUDGET_WASTE:
                /* 64 KiB/s: the hashes of a full network every 25 s. Burst: ten times those. */
                return (Rate){ .interval = USEC_PER_SEC / 64, .burst = 16U * 1024U };
        case BUDGET_CHECKS:
                /* A full network renews 40 presence records a second, and more after a power cut.
                 * At 100 us each 200 are 2 % of a core. */
                return (Rate){ .interval = USEC_PER_SEC / 200, .burst = 2000 };
        case BUDGET_PRESENCE:
                /* An honest machine makes one a second for as long as its interfaces change. */
                return (Rate){ .interval = 2 * USEC_PER_SEC, .burst = 8 };
        case _BUDGET_MAX:
                break;
        }
        assert(false);
        return (Rate){};
}

static usec_t debt(const Gossip *g, const Account *a, Budget b) {
        return usec_sub(a->full_at[b], env_now(g->env));
}

bool gossip_can_pay(const Gossip *g, const Account *a, Budget b) {
        Rate rate = rate_of(g, b);

        return debt(g, a, b) <= rate.interval * (rate.burst - 1);
}

usec_t gossip_can_pay_at(const Gossip *g, const Account *a, Budget b) {
        Rate rate = rate_of(g, b);

        return MAX(env_now(g->env), usec_sub(a->full_at[b], rate.interval * (rate.burst - 1)));
}

void gossip_charge(const Gossip *g, Account *a, Budget b, size_t n) {
        a->full_at[b] = MAX(a->full_at[b], env_now(g->env)) + n * rate_of(g, b).interval;
}

static bool says_nothing(const Gossip *g, const Account *a) {
        usec_t now = env_now(g->env);

        for (Budget b = 0; b < _BUDGET_MAX; b++)
                if (a->full_at[b] > now)
                        return false;
        return a->deaf_until <= now && !a->is_held &&
               (a->silences == 0 || usec_add(a->ask_after, SILENCE_KEEP) <= now) &&
               usec_add(a->passed_on, ACCOUNTS_SWEEP) <= now && !g_tree_lookup(g->peers, &a->id);
}

static void on_sweep(void *userdata);

static void arm_sweep(Gossip *g) {
        timer_set(g->env->timers, &g->accounts_timer, usec_add(env_now(g->env), ACCOUNTS_SWEEP),
                  on_sweep, g);
}

static void on_sweep(void *userdata) {
        Gossip *g = userdata;
        GHashTableIter i;
        void *a;

        g_hash_table_iter_init(&i, g->accounts);
        while (g_hash_table_iter_next(&i, NULL, &a))
                if (says_nothing(g, a))
                        g_hash_table_iter_remove(&i);
        if (g_hash_table_size(g->accounts) > 0)
                arm_sweep(g);
}

Account *gossip_account(Gossip *g, const MachineId *machine) {
        Account *a = g_hash_table_lookup(g->accounts, machine);

        if (a)
                return a;
        a = NEW(Account);
        a->id = *machine;
        g_hash_table_insert(g->accounts, &a->id, a);
        if (!timer_is_set(&g->accounts_timer))
                arm_sweep(g);
        return a;
}

void gossip_free_accounts(Gossip *g) {
        timer_clear(&g->accounts_timer);
        g_clear_pointer(&g->accounts, g_hash_table_unref);
}
