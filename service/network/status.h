/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How one network of this daemon is: the one place where what the core says, how its parts are and
 * what troubles the whole daemon become a state, the word for it on D-Bus (docs/sessions.md,
 * "Networks") and a reason. Without I/O.
 *
 *   DOWN      switched off, or it could not start
 *   STARTING  on the way to an address and to somebody who answers
 *   UP        nothing is wrong
 *   DEGRADED  it works, or would if somebody answered; not as it should
 *   FAILED    a part does not work; it is tried again
 *   REVOKED   the network let this machine go
 */

#include "core/network.h"
#include "network/part-list.h"

typedef enum ManagedState {
        MANAGED_DOWN,
        MANAGED_STARTING,
        MANAGED_UP,
        MANAGED_DEGRADED,
        MANAGED_FAILED,
        MANAGED_REVOKED,
        _MANAGED_STATE_MAX,
} ManagedState;

/* All is borrowed; a text that says nothing is NULL. */
typedef struct ManagedFacts {
        bool is_started; /* there is a core; of it: */
        NetworkState core;
        const char *core_reason;

        bool is_revoked;         /* while it is not started */
        const char *down_reason; /* why it could not be */

        /* Of all networks: */
        const char *daemon_trouble;  /* the state directory */
        const char *sockets_trouble; /* one of the UDP sockets */
        bool is_without_sockets;     /* both */
        const PartList *parts;
} ManagedFacts;

typedef struct ManagedStatus {
        ManagedState state;
        const Part *part;   /* that is degraded or failed; NULL: that is not it */
        const char *word;   /* of the D-Bus property State */
        const char *reason; /* never NULL; borrowed of the facts */
} ManagedStatus;

ManagedStatus managed_status(const ManagedFacts *f);
/* "degraded (interface): omerta0 has no IPv6 address", for the journal; the caller frees. */
char *managed_status_describe(const ManagedStatus *s);
