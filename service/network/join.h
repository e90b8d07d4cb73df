/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How a network of this daemon begins and ends: made, joined, left. Control thread only. */

#include "network/managed-network.h"

typedef struct CreateOptions {
        const char *name;
        const char *subnet;            /* NULL: chosen at random */
        bool usual_subnet;             /* chosen: 10.0.0.0/16 where nothing collides */
        bool any_subnet;               /* need not be private */
        const char *host_name, *owner; /* NULL: of the machine, none */
} CreateOptions;
/* Return: 0, or negative errno and @error. */
int manager_create_network(
                Manager *m,
                const CreateOptions *options,
                ManagedNetwork **ret,
                ManagerError *error);

typedef struct JoinOptions {
        const char *host_name, *owner; /* NULL: of the machine, none */
        bool any_subnet;               /* of the network: need not be private */
        bool member_ok;                /* being a member already is what was wanted */
} JoinOptions;
/* @error: NULL for success; valid during the call. Called once, from
 * manager_join() already for a member. @n is NULL when nothing of the attempt is left. */
typedef void (*ManagerJoinDone)(void *userdata, ManagedNetwork *n, const ManagerError *error);
int manager_join(
                Manager *m,
                const char *link,
                const JoinOptions *options,
                ManagerJoinDone done,
                void *userdata,
                ManagerError *error);

/* Ends the attempt that was begun with this @userdata, unless this machine is a member by now: its
 * @done is called from here. Another try by the same invite is the same machine's. */
void manager_cancel_join(Manager *m, void *userdata);

typedef struct LeaveResult {
        bool told;           /* some member has taken it down */
        usec_t listed_until; /* realtime: else how long the others list this machine; 0: not at all */
} LeaveResult;
/* @error NULL: the network is forgotten, and its object goes when this returns. Called once. */
typedef void (*ManagerLeaveDone)(void *userdata, const LeaveResult *result, const ManagerError *error);
/* Tells the others, at most 5 s, and forgets it. A gateway's needs @force.
 * Return: 0: @done will be called, not from here; or negative errno and @error. */
int managed_network_leave(
                ManagedNetwork *n,
                bool force,
                ManagerLeaveDone done,
                void *userdata,
                ManagerError *error);
