/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one aggregate: which networks there are, and who is wired to whom. It owns the store, the
 * machine's identity, the sockets, the packet thread, the timers and the networks with their
 * interfaces; main.c makes it, bus/ shows it. Control thread only.
 */

#include <systemd/sd-event.h>

#include "core/network.h"
#include "netif/netstack.h"
#include "proxy/forward.h"

typedef struct Manager Manager;
typedef struct ManagedNetwork ManagedNetwork;

typedef struct ManagerOptions {
        const char *state_dir;
        uint16_t port;              /* 0: any */
        bool vpn;                   /* make interfaces; else member without packets */
        const char *interface;      /* of the first network; NULL: "omerta0" */
        bool no_trains, no_merging; /* DataplaneConfig */
        /* Of an ordinary user: networks end in this process (netif/netstack.h), not in omerta0. */
        bool user_mode;
        NetstackEngine netstack; /* user mode: AUTO, KERNEL, LWIP */
        bool socks;              /* a proxy (proxy/server.h) on loopback */
        uint16_t socks_port;     /* 0: any */
        const char *socks_auth;  /* file with USER:PASSWORD, or NULL */
} ManagerOptions;

/* What happens, for bus/ and whoever else shows it. Any but @userdata may be NULL. */
typedef struct ManagerObserver {
        void *userdata; /* tells observers apart */
        void (*network_added)(void *userdata, ManagedNetwork *n);
        void (*network_removed)(void *userdata, ManagedNetwork *n);
        /* State, address, interface, counters of members: NULL-terminated names of properties of
         * org.omerta.Mesh1.Network. */
        void (*network_changed)(void *userdata, ManagedNetwork *n, const char *const *properties);
        void (*machine_changed)(void *userdata, ManagedNetwork *n, const MachineId *machine, bool gone);
        void (*lease_changed)(
                        void *userdata,
                        ManagedNetwork *n,
                        const MachineId *machine,
                        const Record *lease,
                        const Record *old);
        void (*session_changed)(void *userdata, ManagedNetwork *n, Session *s);
        void (*approval_requested)(
                        void *userdata,
                        ManagedNetwork *n,
                        const MachineId *machine,
                        const char *name,
                        bool pending);
        /* It came, went, or listens or does not any more. */
        void (*forward_changed)(void *userdata, ManagedNetwork *n, uint32_t id);
        /* manager_netstack() or its reason. */
        void (*netstack_changed)(void *userdata);
} ManagerObserver;

/**
 * manager_new() - open the state directory, take the sockets, start the packet thread
 *
 * Sockets and interfaces come from systemd where it passes some (sd_listen_fds_with_names(3):
 * "mesh4", "mesh6", "tun-NAME", "socks"), else they are opened here. Logs what is wrong.
 */
int manager_new(sd_event *event, const ManagerOptions *options, Manager **ret);
Manager *manager_free(Manager *m);
/* One more; copied. In no order. It and the removal of all of @userdata are fine while one is told. */
void manager_observe(Manager *m, const ManagerObserver *observer);
void manager_unobserve(Manager *m, const void *userdata);

/* Starts every network of the store. A network that cannot start is logged and shown as down. */
int manager_start(Manager *m);

/* Of the networks made here; in each that was joined this machine has another:
 * managed_network_machine_id(). */
const MachineId *manager_machine_id(const Manager *m);
uint16_t manager_port(const Manager *m);
const ManagerOptions *manager_options(const Manager *m);
/* All that was not taken since the daemon started: what belonged to no network, what all networks
 * there were dropped, and the kernel's drops at the sockets. */
void manager_drops(Manager *m, DropCounters *ret);
const MeshEnv *manager_env(const Manager *m);
/* "AES-256-GCM (libipsec-mb)" */
const char *manager_cipher(const Manager *m);

/* What connections into the networks go by: what was asked for until a network is up, then what
 * is in use; and why. Borrowed. */
NetstackEngine manager_netstack(const Manager *m);
const char *manager_netstack_reason(const Manager *m);

/* In the order they were joined; borrowed. */
unsigned manager_n_networks(const Manager *m);
ManagedNetwork *manager_network(const Manager *m, unsigned i);
/* Name, id or unique prefix; "" the only one. Return: 0, -ENOENT, -ENOTUNIQ, -ENOTCONN: there
 * are no networks. */
int manager_find_network(const Manager *m, const char *text, ManagedNetwork **ret);

/* Where this machine can be reached, as far as it knows itself, the best first (host/rtnl.h).
 * Return: how many there are, of which the first @max are in @ret. */
unsigned manager_local_endpoints(Manager *m, Endpoint *ret, unsigned max);
/* Where a machine may be reached besides what it says itself (--bootstrap), in all networks. */
void manager_add_hint(Manager *m, const MachineId *machine, const Endpoint *endpoint);
/* The machine is about to sleep: the others are told before this returns. It may go on all the same. */
void manager_sleep(Manager *m);
/* The machine woke up, or its connectivity changed in a way the kernel does not tell. */
void manager_wake(Manager *m);

/* A failure for people. What is wrong is said by @wire (a machine of the network said so, or said
 * nothing) or else by @name, an error name of ours without its prefix ("PortInUse"); @message is a
 * sentence. Both texts are owned by the caller: manager_error_clear(). */
typedef struct ManagerError {
        WireError wire;
        char *name, *message;
} ManagerError;
void manager_error_clear(ManagerError *e);

/* All that this machine is, for 'omertad restore': store_backup(). */
int manager_backup(Manager *m, int *ret_fd, ManagerError *error);

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
} JoinOptions;
/* @error: NULL for success; valid during the call. Called once. @n is NULL when nothing of the
 * attempt is left. */
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

/* --- one network --- */

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
/* This machine, in this network. */
const MachineId *managed_network_machine_id(const ManagedNetwork *n);
int managed_network_up(ManagedNetwork *n, ManagerError *error);
int managed_network_down(ManagedNetwork *n, ManagerError *error);
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
/* Hints an invite gets besides what the gateway knows of itself: "HOST:PORT". */
int managed_network_invite(
                ManagedNetwork *n,
                const InviteOptions *options,
                char **ret_link,
                ManagerError *error);

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
/* For what the network must not sign while its clock cannot be right; it is up. Return: -ETIME. */
int managed_network_fail_clock(const ManagedNetwork *n, ManagerError *error);
/* A person says that this machine's clock is right. */
int managed_network_repair_time(ManagedNetwork *n, NetworkRepair *ret, ManagerError *error);

/* --- connections into the networks --- */

/**
 * manager_resolve() - whom a person means
 * @only: NULL: any network
 * @host: address, host name of a member, HOST.omerta, id of a machine or its unique beginning
 *
 * Return: 0, or negative errno and @error.
 */
int manager_resolve(
                Manager *m,
                ManagedNetwork *only,
                const char *host,
                ManagedNetwork **ret_network,
                MachineId *ret_machine,
                IpAddr *ret_address,
                ManagerError *error);

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
/* What a negative errno of these means to a person. @port 0: an echo. Return: @r. */
int manager_call_error(int r, const char *host, uint16_t port, ManagerError *error);

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
