/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/status.h"

#include "base/macros.h"

static const char *const state_table[] = {
        [MANAGED_DOWN] = "down",     [MANAGED_STARTING] = "starting",
        [MANAGED_UP] = "up",         [MANAGED_DEGRADED] = "degraded",
        [MANAGED_FAILED] = "failed", [MANAGED_REVOKED] = "revoked",
};
static_assert(ELEMENTSOF(state_table) == _MANAGED_STATE_MAX, "a name for every state");

static ManagedStatus of_stopped(const ManagedFacts *f) {
        if (f->is_revoked)
                return (ManagedStatus){
                        .state = MANAGED_REVOKED,
                        .word = network_state_to_string(NETWORK_REVOKED),
                        .reason = "this machine is no member any more",
                };
        return (ManagedStatus){
                .state = MANAGED_DOWN,
                .word = state_table[MANAGED_DOWN],
                .reason = f->down_reason ?: "switched off: 'omerta up' starts it",
        };
}

static ManagedStatus of_part(ManagedState state, const Part *p, const char *word) {
        return (ManagedStatus){ .state = state, .part = p, .word = word, .reason = p->reason ?: "" };
}

/* Member, with an address, and no part is in the way of it. What keeps others from answering goes
 * before what is not as it should be while packets flow, and that of the network and the daemon
 * before that of a part. */
static ManagedStatus of_member(const ManagedFacts *f) {
        const char *word = network_state_to_string(f->core);
        const Part *degraded = part_list_find(f->parts, PART_DEGRADED, false);
        const char *reason = f->core_reason;

        /* Whom it cannot reach by one family a machine may be reached by with the other. */
        if (f->sockets_trouble)
                reason = f->sockets_trouble;
        else if (f->core == NETWORK_ONLINE && f->daemon_trouble)
                reason = f->daemon_trouble;
        if (reason || f->core == NETWORK_OFFLINE)
                return (ManagedStatus){ MANAGED_DEGRADED, NULL, word, reason ?: "" };
        if (degraded)
                return of_part(MANAGED_DEGRADED, degraded, word);
        if (part_list_find(f->parts, PART_STARTING, false))
                return (ManagedStatus){ MANAGED_STARTING, NULL, word, "" };
        return (ManagedStatus){ MANAGED_UP, NULL, word, "" };
}

ManagedStatus managed_status(const ManagedFacts *f) {
        const char *word = network_state_to_string(f->core);
        const Part *p;

        if (!f->is_started)
                return of_stopped(f);
        if (f->core == NETWORK_REVOKED)
                return (ManagedStatus){ MANAGED_REVOKED, NULL, word, f->core_reason ?: "" };
        p = part_list_find(f->parts, PART_FAILED, false);
        if (p)
                return of_part(MANAGED_FAILED, p, state_table[MANAGED_FAILED]);
        if (f->is_without_sockets)
                return (ManagedStatus){ MANAGED_FAILED, NULL, state_table[MANAGED_FAILED],
                                        f->sockets_trouble ?: "" };
        switch (f->core) {
        case NETWORK_ONLINE:
        case NETWORK_OFFLINE:
                p = part_list_find(f->parts, PART_DEGRADED, true);
                return p ? of_part(MANAGED_DEGRADED, p, p->ops->word) : of_member(f);
        case NETWORK_JOINING:
        case NETWORK_WAITING:
        case NETWORK_CONNECTING:
        case NETWORK_REVOKED:
        case _NETWORK_STATE_MAX:
                break;
        }
        p = part_list_find(f->parts, PART_DEGRADED, false);
        return (ManagedStatus){
                .state = MANAGED_STARTING,
                .word = word,
                .reason = f->sockets_trouble ?: f->core_reason ?: (p && p->reason ? p->reason : ""),
        };
}

char *managed_status_describe(const ManagedStatus *s) {
        return g_strdup_printf(
                        "%s%s%s%s%s%s", state_table[s->state], s->part ? " (" : "",
                        s->part ? s->part->ops->name : "", s->part ? ")" : "",
                        s->reason[0] ? ": " : "", s->reason);
}
