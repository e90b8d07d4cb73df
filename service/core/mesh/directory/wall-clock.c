/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Theory of operation
 *
 * Clocks are wrong in few ways: they start in the past (no battery), they are set once by hours to
 * decades (a mistyped year, a firmware) and some time later set right. Nothing that follows from a
 * wrong clock may outlive it. So there is no time here that only rises: what others signed moves
 * nobody's clock that can be right, and what is kept over a restart is only used against a clock
 * that nobody confirms.
 *
 * Time is measured against env_now(), which nobody sets: an offset is Unix time less env_now(). The
 * same instant said by a member a minute ago and by our clock now have the same offset, so what
 * members said stays comparable when our own clock is set in between.
 *
 * Who is believed:
 *  - our clock, unless it is earlier than EPOCH, or by more than the tolerance earlier than the time
 *    kept at the last stop while no member agrees with it ("behind"). Then the median of what
 *    members say, else the latest of what was kept and what authorities signed.
 *  - a member's word confirms a clock that agrees with it. One member alone contradicts nobody:
 *    two that are most of all who spoke lately do.
 * The time is kept for the next start only while it is confirmed.
 */
#include "core/mesh/directory/wall-clock.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/macros.h"

/* 1 November 2023: before the first line of this program. */
#define EPOCH (UINT64_C(1698796800) * USEC_PER_SEC)
/* A stop that was longer than this is told by somebody else. */
#define STOP_MAX (366 * USEC_PER_DAY)
#define LOOK_INTERVAL USEC_PER_MINUTE
/* What is less is no news: NTP slews and steps by fractions. */
#define STEP_MIN USEC_PER_SEC
/* Members keep links to each other and make new keys every two minutes, each time saying it. */
#define WORD_LIFETIME (10 * USEC_PER_MINUTE)
#define WORDS_MAX 64U
#define STORE_INTERVAL (6 * USEC_PER_HOUR)

typedef struct Word {
        MachineId machine;
        int64_t offset;
        usec_t heard; /* env_now() */
} Word;

struct WallClock {
        const MeshEnv *env;
        const MeshStore *store;
        usec_t kept;    /* of the last stop, or of the last time it was confirmed; 0: none */
        usec_t kept_at; /* env_now() of then; in a former life: of the start */
        usec_t written; /* as the store has it */
        usec_t latest_signed;
        bool alone, trusted; /* trusted: a person said so, until it is set */
        int64_t base;        /* our offset when it was confirmed last, or at the start */
        int64_t last_offset;
        WallClockState last_state;
        GArray *words; /* of Word */
        Timer timer;
        WallClockChanged changed;
        void *userdata;
};

/* --- what is known --- */

static int64_t own_offset(const WallClock *c) {
        return (int64_t) env_realtime(c->env) - (int64_t) env_now(c->env);
}

static bool agree(int64_t a, int64_t b) {
        return llabs(a - b) <= (int64_t) WALL_CLOCK_TOLERANCE;
}

static bool is_fresh(const WallClock *c, const Word *w) {
        return usec_sub(env_now(c->env), w->heard) <= WORD_LIFETIME;
}

static void count_words(const WallClock *c, unsigned *ret_for, unsigned *ret_against) {
        int64_t own = own_offset(c);

        *ret_for = *ret_against = 0;
        for (unsigned i = 0; i < c->words->len; i++) {
                const Word *w = &g_array_index(c->words, Word, i);

                if (is_fresh(c, w))
                        ++*(agree(own, w->offset) ? ret_for : ret_against);
        }
}

static bool is_synchronised(const WallClock *c) {
        return c->env->is_synchronised && c->env->is_synchronised(c->env->userdata);
}

static bool is_disputed(const WallClock *c) {
        unsigned n_for, n_against;

        count_words(c, &n_for, &n_against);
        return n_against >= 2 && n_against > n_for;
}

static bool is_confirmed(const WallClock *c) {
        unsigned n_for, n_against;

        if (c->trusted || is_synchronised(c))
                return true;
        count_words(c, &n_for, &n_against);
        return n_for > 0 && n_for >= n_against;
}

/* What the time kept at the last stop has become by now, if it was not off in between. */
static usec_t kept_now(const WallClock *c) {
        return c->kept == 0 ? 0 : usec_add(c->kept, usec_sub(env_now(c->env), c->kept_at));
}

static bool is_behind(const WallClock *c) {
        usec_t now = env_realtime(c->env);

        if (now < EPOCH)
                return true;
        return usec_add(now, WALL_CLOCK_TOLERANCE) < kept_now(c) && !is_confirmed(c);
}

WallClockState wall_clock_state(const WallClock *c) {
        if (is_behind(c))
                return WALL_CLOCK_BEHIND;
        if (c->trusted || is_synchronised(c))
                return WALL_CLOCK_FINE;
        if (is_disputed(c))
                return WALL_CLOCK_DISPUTED;
        if (is_confirmed(c) || c->alone)
                return WALL_CLOCK_FINE;
        if (!agree(own_offset(c), c->base))
                return WALL_CLOCK_JUMPED;
        if (c->kept != 0 && env_realtime(c->env) > usec_add(kept_now(c), STOP_MAX))
                return WALL_CLOCK_DOUBTFUL;
        return WALL_CLOCK_FINE;
}

/* --- what time it is --- */

static int compare_offsets(const void *a, const void *b) {
        int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

        return x < y ? -1 : x > y;
}

/* The median of what members say. Return: 0: nobody said anything that can be. */
static usec_t time_of_members(const WallClock *c) {
        int64_t offsets[WORDS_MAX];
        unsigned n = 0;

        for (unsigned i = 0; i < c->words->len; i++) {
                const Word *w = &g_array_index(c->words, Word, i);

                if (is_fresh(c, w) && w->offset + (int64_t) env_now(c->env) >= (int64_t) EPOCH)
                        offsets[n++] = w->offset;
        }
        if (n == 0)
                return 0;
        qsort(offsets, n, sizeof offsets[0], compare_offsets);
        return (usec_t) (offsets[(n - 1) / 2] + (int64_t) env_now(c->env));
}

usec_t wall_clock_now(const WallClock *c) {
        usec_t now = env_realtime(c->env), members;

        if (!is_behind(c))
                return now;
        members = time_of_members(c);
        if (members != 0)
                return members;
        return MAX(now, MAX(kept_now(c), c->latest_signed));
}

char *wall_clock_explain(const WallClock *c) {
        int64_t apart;
        unsigned n_for, n_against;

        switch (wall_clock_state(c)) {
        case WALL_CLOCK_FINE:
                return g_strdup("the clock is right, as far as anybody knows");
        case WALL_CLOCK_BEHIND:
                return g_strdup("this machine's clock is earlier than it can be");
        case WALL_CLOCK_JUMPED:
                apart = llabs(own_offset(c) - c->base);
                return g_strdup_printf(
                                "this machine's clock was set by %" PRId64
                                " days, and no member has confirmed it yet",
                                apart / (int64_t) USEC_PER_DAY);
        case WALL_CLOCK_DOUBTFUL:
                return g_strdup_printf(
                                "this machine's clock is %" PRIu64
                                " days later than when it was last known to be right, and no "
                                "member has confirmed it yet",
                                usec_sub(env_realtime(c->env), kept_now(c)) / USEC_PER_DAY);
        case WALL_CLOCK_DISPUTED:
                count_words(c, &n_for, &n_against);
                return g_strdup_printf(
                                "the clocks of %u of %u members are more than a day from this "
                                "machine's",
                                n_against, n_for + n_against);
        case _WALL_CLOCK_STATE_MAX:
                break;
        }
        return NULL;
}

/* --- keeping it --- */

usec_t wall_clock_trusted(const WallClock *c) {
        return kept_now(c);
}

/* Only what somebody confirmed is held against a clock later. */
static void keep(WallClock *c) {
        const MeshStore *s = c->store;

        if (wall_clock_state(c) != WALL_CLOCK_FINE || !is_confirmed(c))
                return;
        c->kept = env_realtime(c->env);
        c->kept_at = env_now(c->env);
        c->base = own_offset(c);
        if (!s || llabs((int64_t) c->kept - (int64_t) c->written) < (int64_t) STORE_INTERVAL)
                return;
        if (s->ops->begin(s->self) < 0)
                return;
        if (s->ops->put_trusted_time(s->self, c->kept) < 0)
                s->ops->rollback(s->self);
        else if (s->ops->commit(s->self) >= 0)
                c->written = c->kept;
}

static void on_timer(void *userdata) {
        wall_clock_look(userdata);
}

void wall_clock_look(WallClock *c) {
        int64_t offset = own_offset(c);
        bool stepped = llabs(offset - c->last_offset) > (int64_t) STEP_MIN;
        WallClockState state;

        /* Who said it was right meant the clock before it was set. */
        if (!agree(offset, c->last_offset))
                c->trusted = false;
        keep(c);
        state = wall_clock_state(c);
        c->last_offset = offset;
        timer_set(c->env->timers, &c->timer, usec_add(env_now(c->env), LOOK_INTERVAL), on_timer, c);
        if (!stepped && state == c->last_state)
                return;
        c->last_state = state;
        if (c->changed)
                c->changed(c->userdata);
}

void wall_clock_on_changed(WallClock *c, WallClockChanged changed, void *userdata) {
        c->changed = changed;
        c->userdata = userdata;
}

/* --- what others say --- */

static Word *find_word(WallClock *c, const MachineId *machine) {
        for (unsigned i = 0; i < c->words->len; i++) {
                Word *w = &g_array_index(c->words, Word, i);

                if (machine_id_equal(&w->machine, machine))
                        return w;
        }
        return NULL;
}

/* The one that is oldest makes room. */
static Word *add_word(WallClock *c, const MachineId *machine) {
        Word w = { .machine = *machine }, *oldest;

        if (c->words->len < WORDS_MAX) {
                g_array_append_val(c->words, w);
                return &g_array_index(c->words, Word, c->words->len - 1);
        }
        oldest = &g_array_index(c->words, Word, 0);
        for (unsigned i = 1; i < c->words->len; i++)
                if (g_array_index(c->words, Word, i).heard < oldest->heard)
                        oldest = &g_array_index(c->words, Word, i);
        *oldest = w;
        return oldest;
}

void wall_clock_hear(WallClock *c, const MachineId *machine, usec_t realtime) {
        Word *w;

        if (realtime > INT64_MAX)
                return;
        w = find_word(c, machine) ?: add_word(c, machine);
        w->offset = (int64_t) realtime - (int64_t) env_now(c->env);
        w->heard = env_now(c->env);
        wall_clock_look(c);
}

void wall_clock_forget(WallClock *c, const MachineId *machine) {
        for (unsigned i = 0; i < c->words->len; i++)
                if (machine_id_equal(&g_array_index(c->words, Word, i).machine, machine)) {
                        g_array_remove_index_fast(c->words, i);
                        return;
                }
}

void wall_clock_hear_signed(WallClock *c, usec_t version) {
        c->latest_signed = MAX(c->latest_signed, version);
}

void wall_clock_set_alone(WallClock *c, bool alone) {
        c->alone = alone;
}

void wall_clock_trust(WallClock *c) {
        c->trusted = true;
        c->written = 0; /* now, however little it differs */
        g_array_set_size(c->words, 0);
        wall_clock_look(c);
}

/* --- life --- */

int wall_clock_new(const MeshEnv *env, const MeshStore *store, WallClock **ret) {
        WallClock *c = NEW(WallClock);
        int r;

        *c = (WallClock){
                .env = env,
                .store = store,
                .words = g_array_new(FALSE, FALSE, sizeof(Word)),
                .kept_at = env_now(env),
                .alone = true,
        };
        if (store) {
                r = store->ops->get_trusted_time(store->self, &c->kept);
                if (r < 0) {
                        wall_clock_free(c);
                        return r;
                }
                c->written = c->kept;
        }
        c->base = c->last_offset = own_offset(c);
        c->last_state = wall_clock_state(c);
        timer_set(env->timers, &c->timer, usec_add(env_now(env), LOOK_INTERVAL), on_timer, c);
        *ret = c;
        return 0;
}

WallClock *wall_clock_free(WallClock *c) {
        if (!c)
                return NULL;
        timer_clear(&c->timer);
        g_array_unref(c->words);
        g_free(c);
        return NULL;
}
