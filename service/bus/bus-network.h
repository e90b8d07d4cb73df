/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods of org.omerta.Mesh1.Network that say who may be in it: bus-network-members.c. The
 * others are in bus-network.c, with the table of all. */

#include "bus/bus-internal.h"
#include "network/admin.h"

int bus_network_invite(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_network_list_invites(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_network_delete_invite(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_network_list_pending(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_network_approve(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_network_refuse(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_network_rename(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_network_revoke(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_network_list_revoked(sd_bus_message *call, void *userdata, sd_bus_error *error);
int bus_network_list_refused(sd_bus_message *call, void *userdata, sd_bus_error *error);

/* bus-counters.c */
int bus_network_watch_counters(sd_bus_message *call, void *userdata, sd_bus_error *error);

/* bus-hold.c */
int bus_network_hold_addresses(sd_bus_message *call, void *userdata, sd_bus_error *error);

/* NULL: this machine is not in it any more. */
ManagedNetwork *bus_find_network_by_id(const Bus *b, const NetworkId *id);
/* The network @call is about. NULL, with @error set, if it went while polkit was asked. */
ManagedNetwork *bus_network_of_call(Bus *b, sd_bus_message *call, sd_bus_error *error);

/* The network of @call, a gateway's, after authorisation. Return: 1 with *ret set, 0: the answer of
 * polkit is on its way, negative with @error set. */
int bus_network_gateway_call(Bus *b, sd_bus_message *call, ManagedNetwork **ret, sd_bus_error *error);
/* For the journal: who did what to whom. */
void bus_network_log_act_on(
                sd_bus_message *call,
                ManagedNetwork *n,
                const char *what,
                const AdminSubject *s);
