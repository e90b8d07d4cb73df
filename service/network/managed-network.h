/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One network of this daemon: its core (core/network.h), its row in the store, and its parts that
 * can fail (network/part-list.h). The manager has them all; bus/ shows them. How one begins and ends
 * is in network/join.h, what a gateway's administrator does in network/admin.h. Control thread only.
 */

#include "core/network.h"
#include "manager/manager-error.h"
#include "netif/netstack.h"
#include "proxy/forward.h"

typedef struct Manager Manager;
typedef struct ManagedNetwork ManagedNetwork;

Network *managed_network_core(ManagedNetwork *n); /* NULL while down */
Manager *managed_network_manager(ManagedNetwork *n);
const Membership *managed_network_membership(const ManagedNetwork *n);
const char *managed_network_state(const ManagedNetwork *n);  /* of the D-Bus property */
const char *managed_network_reason(const ManagedNetwork *n); /* never NULL */
/* Of this machine; never NULL; "" in user mode, where it is nobody else's. */
const char *managed_network_interface(const ManagedNetwork *n);
/* Where this machine has IPv6 switched off there, it has not. */
bool managed_network_has_ipv6(const ManagedNetwork *n);
unsigned managed_network_mtu(const ManagedNetwork *n);
/* Somebody else gives the interface its addresses and routes. */
bool managed_network_addresses_held(const ManagedNetwork *n);
/* From now on, until @held is false: then they become again what they are to be. Not remembered.
 * Return: 0, or negative errno and @error: there is no interface in user mode. */
int managed_network_hold_addresses(ManagedNetwork *n, bool held, ManagerError *error);
/* This machine, in this network. */
const MachineId *managed_network_machine_id(const ManagedNetwork *n);
int managed_network_up(ManagedNetwork *n, ManagerError *error);
int managed_network_down(ManagedNetwork *n, ManagerError *error);
/* Whom a person means: a name, an id or its unique beginning. Return: 0, or negative errno and @error. */
int managed_network_find_machine(ManagedNetwork *n, const char *text, MachineId *ret, ManagerError *error);

/* --- time --- */

#define POLICY_ABSENCE_MIN (30 * USEC_PER_DAY)
/* What the gateway's administrator says of absence: see EnrolServiceConfig. */
typedef struct NetworkPolicy {
        usec_t max_absence; /* 0: no limit; else at least POLICY_ABSENCE_MIN */
        usec_t grace;
} NetworkPolicy;
NetworkPolicy managed_network_policy(const ManagedNetwork *n);
/* Stored before it returns. Gateway only. Return: 0, or negative errno and @error. */
int managed_network_set_policy(ManagedNetwork *n, const NetworkPolicy *policy, ManagerError *error);
/* Stored, and in use, before it returns; this machine only. Return: 0, or negative errno and
 * @error. */
int managed_network_set_mtu(ManagedNetwork *n, unsigned mtu, ManagerError *error);
bool managed_network_lan_discovery(const ManagedNetwork *n);
/* Whether members in the same LAN are found by beacons. As before. */
int managed_network_set_lan_discovery(ManagedNetwork *n, bool on, ManagerError *error);
/* Where the gateway is found when its address changed; borrowed. Return: how many. */
unsigned managed_network_names(const ManagedNetwork *n, const HostPort **ret);
/* At most GATEWAY_NAMES_MAX in place of those; a gateway's own go into its invites. As before. */
int managed_network_set_names(
                ManagedNetwork *n,
                const HostPort *names,
                unsigned n_names,
                ManagerError *error);
/* Members heard in a LAN of this machine lately. */
unsigned managed_network_lan_machines(const ManagedNetwork *n);
/* What this machine calls it. As before. */
int managed_network_set_name(ManagedNetwork *n, const char *name, ManagerError *error);
/* For what the network must not sign while its clock cannot be right; it is up. Return: -ETIME. */
int managed_network_fail_clock(const ManagedNetwork *n, ManagerError *error);
/* A person says that this machine's clock is right. */
int managed_network_repair_time(ManagedNetwork *n, NetworkRepair *ret, ManagerError *error);

/* --- the way out --- */

/**
 * managed_network_use_exit() - send this machine's traffic through a member of the network
 * @text: "none", "auto", or machines with commas between them, the preferred one first
 * @lan: what this machine has a route for stays reachable besides, but for its default route
 *
 * Stored before it returns; of one network at a time.
 * Return: 0, or negative errno and @error: -EBUSY: another network's is used.
 */
int managed_network_use_exit(ManagedNetwork *n, const char *text, bool lan, ManagerError *error);
/* Texts are the network's until it changes. */
typedef struct ManagedWayOut {
        const char *wanted;         /* "none", "auto", or ids with commas between them */
        const char *state, *reason; /* network_exit_info() */
        bool lan, is_chosen;
        MachineId machine; /* of the chosen one */
} ManagedWayOut;
ManagedWayOut managed_network_way_out(const ManagedNetwork *n);

/* --- connections into it --- */

/* As netif/netstack.h has them. -ENETUNREACH also for a network that is down, or goes down
 * meanwhile. A call ends by itself with its callback, which must not cancel it any more. */
typedef struct ManagerCall ManagerCall;
int managed_network_dial(
                ManagedNetwork *n,
                const IpAddr *address,
                uint16_t port,
                usec_t timeout,
                NetstackDialed done,
                void *userdata,
                ManagerCall **ret);
/* Until it is cancelled, which is before the network goes down. */
int managed_network_listen(
                ManagedNetwork *n,
                uint16_t port,
                unsigned backlog,
                NetstackAccepted accepted,
                void *userdata,
                uint16_t *ret_port,
                ManagerCall **ret);
int managed_network_udp(ManagedNetwork *n, NetstackDialed done, void *userdata, ManagerCall **ret);
int managed_network_echo(
                ManagedNetwork *n,
                const IpAddr *address,
                usec_t timeout,
                NetstackEchoed done,
                void *userdata,
                ManagerCall **ret);
/* netstack_namespaces(), once there is an address. Return: 0, or negative errno and @error. */
int managed_network_namespaces(ManagedNetwork *n, int *ret_user_fd, int *ret_net_fd, ManagerError *error);
ManagerCall *manager_call_cancel(ManagerCall *c);

/* --- port forwards --- */

/**
 * managed_network_add_forward() - make one
 * @direction, @listen, @target: forward_spec_parse()
 * @persistent: is there again after a restart; durable before this returns
 * @ret: borrowed
 *
 * Return: 0, or negative errno and @error.
 */
int managed_network_add_forward(
                ManagedNetwork *n,
                const char *direction,
                const char *listen,
                const char *target,
                bool persistent,
                Forward **ret,
                ManagerError *error);
int managed_network_remove_forward(ManagedNetwork *n, Forward *f, ManagerError *error);
/* Borrowed; NULL: there are none. */
Forwards *managed_network_forwards(const ManagedNetwork *n);
/* Why it does not listen, for people; "": it does. The caller frees. */
char *managed_network_forward_reason(const Forward *f);
