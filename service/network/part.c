/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/part.h"

#include "base/macros.h"
#include "network/part-list.h"

static const char *const state_table[] = {
        [PART_STOPPED] = "stopped",   [PART_STARTING] = "starting", [PART_UP] = "up",
        [PART_DEGRADED] = "degraded", [PART_FAILED] = "failed",
};
static_assert(ELEMENTSOF(state_table) == PART_FAILED + 1, "a name for every state");

const char *part_state_to_string(PartState s) {
        return state_table[s];
}

void part_init(Part *p, const PartOps *ops, void *userdata, const MeshEnv *env) {
        *p = (Part){ .ops = ops, .userdata = userdata, .env = env };
}

/* Takes @reason. */
static void set_state(Part *p, PartState state, char *reason, const char *why) {
        g_autofree char *old_reason = p->reason;
        PartState old = p->state;

        p->state = state;
        p->reason = reason;
        if (old == state && g_strcmp0(old_reason, reason) == 0 && !why)
                return;
        if (p->ops->reported)
                p->ops->reported(p->userdata, old, why);
        if (p->list)
                part_list_reported(p->list, p);
}

static usec_t pause_after(const Part *p) {
        if (p->repairs == 0)
                return 0;
        return MIN(PART_PAUSE_MIN_USEC << MIN(p->repairs - 1, 10U), PART_PAUSE_MAX_USEC);
}

static void on_timer(void *userdata);

static void arm(Part *p) {
        timer_set(p->env->timers, &p->timer, usec_add(p->repaired, pause_after(p)), on_timer, p);
}

/* @r: of a repair or a start. */
static void take_result(Part *p, int r, char *reason, const char *why) {
        p->has_failed = r < 0;
        if (r < 0) {
                arm(p);
                p->is_reported = false;
                set_state(p, PART_FAILED, reason, NULL);
                return;
        }
        timer_clear(&p->timer);
        p->is_reported = false;
        set_state(p, r > 0 ? PART_DEGRADED : PART_UP, reason, why);
}

static void repair(Part *p, const char *why) {
        char *reason = NULL;
        int r;

        p->repaired = env_now(p->env);
        p->repairs++;
        r = (p->ops->repair ?: p->ops->start)(p->userdata, &reason);
        take_result(p, r, reason, why);
}

/* @why: a reason, taken; NULL: what it does without is tried again. Repairs at once, or when the
 * pause after the last time is over. */
static void broken(Part *p, char *why) {
        g_autofree char *found = why;

        if (p->repairs > 0 && env_now(p->env) >= usec_add(p->repaired, PART_CALM_USEC))
                p->repairs = 0;
        if (env_now(p->env) >= usec_add(p->repaired, pause_after(p))) {
                repair(p, found);
                return;
        }
        arm(p);
        /* What it can do without may be missing for a while. */
        if (p->state != PART_DEGRADED)
                set_state(p, PART_FAILED, TAKE_PTR(found), NULL);
}

static void on_timer(void *userdata) {
        Part *p = userdata;
        /* Nobody waits for what it does without. */
        g_autofree char *why = p->state == PART_FAILED ? g_strdup(p->reason) : NULL;

        repair(p, why);
}

/* Return: as of .start(). */
static int make(Part *p, char **ret_reason) {
        timer_clear(&p->timer);
        p->repairs = 0;
        p->is_reported = false;
        p->state = PART_STARTING;
        return p->ops->start ? p->ops->start(p->userdata, ret_reason) : 0;
}

/* @r, @reason: of make(). */
static void take_start(Part *p, int r, char *reason) {
        if (p->state == PART_STOPPED) {
                /* Meanwhile, by what happened to another one. */
                g_free(reason);
                if (p->ops->stop)
                        p->ops->stop(p->userdata, true);
                return;
        }
        if (r < 0) {
                p->repaired = env_now(p->env);
                p->repairs++;
        } else if (p->is_reported) {
                /* It has said more of itself meanwhile. */
                g_free(reason);
                return;
        }
        take_result(p, r, reason, NULL);
}

void part_start(Part *p) {
        char *reason = NULL;
        int r;

        if (p->state != PART_STOPPED)
                return;
        r = make(p, &reason);
        take_start(p, r, reason);
}

int part_try_start(Part *p, char **ret_reason) {
        char *reason = NULL;
        int r;

        r = make(p, &reason);
        if (r < 0) {
                *ret_reason = reason;
                return r;
        }
        take_start(p, r, reason);
        return 0;
}

void part_stop(Part *p, bool for_good) {
        if (p->state == PART_STOPPED)
                return;
        timer_clear(&p->timer);
        g_clear_pointer(&p->reason, g_free);
        p->state = PART_STOPPED;
        if (p->ops->stop)
                p->ops->stop(p->userdata, for_good);
}

void part_done(Part *p, int r, char *reason) {
        if (p->state == PART_STOPPED) {
                g_free(reason);
                return;
        }
        if (r < 0) {
                p->repaired = env_now(p->env);
                p->repairs++;
        }
        take_result(p, r, reason, NULL);
}

void part_report(Part *p, PartState state, char *reason) {
        if (p->state == PART_STOPPED) {
                g_free(reason);
                return;
        }
        timer_clear(&p->timer);
        p->is_reported = true;
        set_state(p, state, reason, NULL);
}

void part_check(Part *p) {
        g_autofree char *reason = NULL;
        int r;

        /* A repair that is due looks for itself. */
        if (p->state <= PART_STARTING || timer_is_set(&p->timer))
                return;
        r = p->ops->check ? p->ops->check(p->userdata, &reason) : 0;
        if (r < 0 || (p->state == PART_DEGRADED && !p->is_reported))
                broken(p, TAKE_PTR(reason));
}

void part_hint(Part *p) {
        usec_t at = usec_add(p->repaired, PART_HINT_USEC);

        /* Who takes away what was repaired gives hints as well. */
        if (p->state == PART_FAILED && p->has_failed && at < usec_add(p->repaired, pause_after(p)))
                timer_set(p->env->timers, &p->timer, at, on_timer, p);
}
