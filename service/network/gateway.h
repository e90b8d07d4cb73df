/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * This machine as an exit of a network to the internet: what its administrator says, and what came
 * of it. The kernel does it (gateway/exit.h); a user's daemon does not. What is said is stored
 * before anything returns. Control thread only.
 */

#include "core/network.h"
#include "gateway/exit.h"
#include "gateway/exit-policy.h"
#include "host/conntrack.h"
#include "manager/manager-error.h"

typedef struct ManagedNetwork ManagedNetwork;

/* Whether this machine may be one: its certificate says so, and it has an interface.
 * Return: 0, or negative errno and @error. */
int managed_network_check_exit(const ManagedNetwork *n, ManagerError *error);
bool managed_network_exit_is_on(const ManagedNetwork *n);
/* Return: 0, or negative errno and @error. */
int managed_network_set_exit(ManagedNetwork *n, bool on, ManagerError *error);
/* As that, unless somebody has ever said otherwise. */
int managed_network_set_exit_by_default(ManagedNetwork *n, ManagerError *error);

/* "off"; "waiting": for an address or a default route; "up"; "failed". */
const char *managed_network_exit_state(const ManagedNetwork *n);
/* Why it is not up, or what it does without; never NULL. */
const char *managed_network_exit_reason(const ManagedNetwork *n);
/* By which families it leads out. */
bool managed_network_exit_has(const ManagedNetwork *n, int family);

/* --- who may, and where to --- */

const ExitPolicy *managed_network_exit_policy(const ManagedNetwork *n);
/* @who: "*", "owner:NAME", or a machine as people name it. Return: 0, or negative errno and @error. */
int managed_network_allow_exit(ManagedNetwork *n, const char *who, bool allowed, ManagerError *error);
/* @prefix is no internet, and reached by @who all the same, or not any more. As before. */
int managed_network_grant_lan(
                ManagedNetwork *n,
                const char *prefix,
                const char *who,
                bool granted,
                ManagerError *error);

/* A member, and what it has done by this exit since it is up. */
typedef struct ExitMemberInfo {
        MachineId machine;
        const char *name; /* valid during the call */
        bool allowed;
        ExitUsage usage;
} ExitMemberInfo;
typedef void (*ExitMemberCallback)(void *userdata, const ExitMemberInfo *m);
/* All members but this machine. */
void managed_network_foreach_exit_member(ManagedNetwork *n, ExitMemberCallback callback, void *userdata);
/* Flows of members by this exit, at most EXIT_FLOWS_SHOWN_MAX of each family; @ret: of
 * ConntrackFlow, the caller unrefs. Return: how many there are, or negative errno and @error. */
int managed_network_list_exit_flows(ManagedNetwork *n, GArray **ret, ManagerError *error);
/* Packets refused, and new flows beyond what one member may have. */
void managed_network_exit_counters(ManagedNetwork *n, uint64_t *ret_refused, uint64_t *ret_too_many);
