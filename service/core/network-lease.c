/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* When leases end. Nothing happens to them then (who has the address keeps it until somebody else
 * needs it), but they are shown, and what is shown has to be told. One timer stands for the next
 * that can end; most are renewed long before, so it finds nothing then and looks for the next. */

#include "base/macros.h"
#include "core/network-internal.h"

/* How much earlier a timer may be than the clock on the wall, which is slewed meanwhile: not to
 * look at all leases twice for each. */
#define EXPIRY_SLACK_USEC (10 * USEC_PER_MSEC)

static void on_expiry(void *userdata) {
        network_look_at_leases(userdata);
}

static void wait_until(Network *n, usec_t now, usec_t end) {
        usec_t at = usec_add(usec_add(env_now(n->env), usec_sub(end, now)), EXPIRY_SLACK_USEC);

        timer_set(n->env->timers, &n->expiry_timer, at, on_expiry, n);
}

void network_watch_lease(Network *n, const Record *lease) {
        usec_t now = directory_realtime(n->directory);
        usec_t left = lease ? usec_sub(lease->body.not_after, now) : 0;

        /* One that has ended is shown so from the start. */
        if (left == 0 || !n->is_member)
                return;
        if (!timer_is_set(&n->expiry_timer) || usec_add(env_now(n->env), left) < n->expiry_timer.due)
                wait_until(n, now, lease->body.not_after);
}

typedef struct Look {
        usec_t from, to; /* realtime; ended, or began again, in between */
        usec_t now, next;
        GPtrArray *changed; /* of Record, references */
} Look;

static void look_at(void *userdata, Record *lease) {
        usec_t end = lease->body.not_after;
        Look *l = userdata;

        if (end > l->from && end <= l->to)
                g_ptr_array_add(l->changed, record_ref(lease));
        if (end > l->now)
                l->next = MIN(l->next, end);
}

void network_look_at_leases(Network *n) {
        usec_t now = directory_realtime(n->directory);
        Look l = {
                .from = MIN(n->looked, now),
                .to = MAX(n->looked, now),
                .now = now,
                .next = USEC_INFINITY,
        };

        if (!n->is_member)
                return;
        l.changed = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
        directory_foreach(n->directory, RECORD_LEASE, look_at, &l);
        n->looked = now;
        timer_clear(&n->expiry_timer);
        if (l.next != USEC_INFINITY)
                wait_until(n, now, l.next);
        for (unsigned i = 0; i < l.changed->len; i++) {
                const Record *lease = l.changed->pdata[i];

                CALL(n, lease_changed, &lease->body.machine, lease, lease);
        }
        g_ptr_array_unref(l.changed);
}
