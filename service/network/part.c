/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/part.h"

#include "base/macros.h"

static const char *const state_table[] = {
        [PART_STOPPED] = "stopped",
        [PART_UP] = "up",
        [PART_DEGRADED] = "degraded",
        [PART_FAILED] = "failed",
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
        if (old != state || g_strcmp0(old_reason, reason) != 0 || why)
                p->ops->changed(p->userdata, old, why);
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
        if (r < 0) {
                arm(p);
                set_state(p, PART_FAILED, reason, NULL);
                return;
        }
        timer_clear(&p->timer);
        set_state(p, r > 0 ? PART_DEGRADED : PART_UP, reason, why);
}

static void repair(Part *p, const char *why) {
        char *reason = NULL;
        int r;

        p->repaired = env_now(p->env);
        p->repairs++;
        r = p->ops->repair(p->userdata, &reason);
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

void part_start(Part *p) {
        timer_clear(&p->timer);
        p->repairs = 0;
        set_state(p, PART_UP, NULL, NULL);
}

void part_done(Part *p, int r, char *reason) {
        if (r < 0) {
                p->repaired = env_now(p->env);
                p->repairs++;
        }
        take_result(p, r, reason, NULL);
}

void part_stop(Part *p) {
        timer_clear(&p->timer);
        g_clear_pointer(&p->reason, g_free);
        p->state = PART_STOPPED;
}

void part_changed(Part *p) {
        char *reason = NULL;

        /* A repair that is due looks for itself. */
        if (p->state == PART_STOPPED || timer_is_set(&p->timer))
                return;
        if (p->ops->check(p->userdata, &reason) < 0 || p->state == PART_DEGRADED)
                broken(p, reason);
}
