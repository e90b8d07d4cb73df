/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The one aggregate: which networks there are, and who is wired to whom. It owns the store, the
 * machine's identity, the sockets, the packet thread, the timers and the networks with their
 * interfaces; main.c makes it, bus/ shows it. Control thread only.
 */

#include <systemd/sd-event.h>

#include "core/network.h"
#include "manager/manager-error.h"
#include "netif/netstack.h"
#include "portmap/mapper.h"

typedef struct Manager Manager;
typedef struct ManagedNetwork ManagedNetwork;

typedef struct ManagerOptions {
        const char *state_dir;
        const char *runtime_dir;    /* gone after a stop, but not after a kill; NULL: @state_dir */
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
        /* manager_maps_ports(), manager_port_mapping(). */
        void (*port_mapping_changed)(void *userdata);
        /* manager_relay_mode(). */
        void (*relay_changed)(void *userdata);
        void (*tcp_port_changed)(void *userdata);
} ManagerObserver;

/**
 * manager_new() - open the state directory, take the sockets, start the packet thread
 *
 * Sockets and interfaces come from systemd where it passes some (sd_listen_fds_with_names(3):
 * "mesh4", "mesh6", "tun-NAME", "socks", "tcp"), else they are opened here. Logs what is wrong.
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

/* Whether this machine relays for members of its networks: what was set, and whether it does in one
 * at least. */
RelayMode manager_relay_mode(const Manager *m);
bool manager_relays(const Manager *m);
/* Of all networks that are up. */
void manager_relay_stats(const Manager *m, MeshRelayStats *ret);

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
/* How this machine is; borrowed but for .clock_trouble: manager_health_clear(). */
typedef struct ManagerHealth {
        const char *state_dir, *state_trouble; /* "": none */
        char *clock_trouble;                   /* NULL: none */
        bool clock_synchronised, ipv6;
        unsigned receive_buffer, receive_buffer_wanted; /* bytes, of the UDP sockets */
        usec_t started;                                 /* realtime */
} ManagerHealth;
void manager_health(Manager *m, ManagerHealth *ret);
void manager_health_clear(ManagerHealth *h);
/* Interfaces on which members in the same LAN are looked for; borrowed. Return: how many. */
unsigned manager_lan_interfaces(const Manager *m, const char *ret[static LAN_INTERFACES_MAX]);
/* Why there are none; never NULL, "": there are. */
const char *manager_lan_reason(const Manager *m);
/* Where a machine may be reached besides what it says itself (--bootstrap), in all networks. */
void manager_add_hint(Manager *m, const MachineId *machine, const Endpoint *endpoint);
/* The same by name, in place of those it has. */
void manager_add_name(Manager *m, const MachineId *machine, const HostPort *name);
/* The machine is about to sleep: the others are told before this returns. It may go on all the same. */
void manager_sleep(Manager *m);
/* The machine woke up, or its connectivity changed in a way the kernel does not tell. */
void manager_wake(Manager *m);

/* Whether routers are asked to map our UDP port. */
bool manager_maps_ports(const Manager *m);
/* What came of it. @family: AF_INET, AF_INET6. Borrowed. */
const Mapper *manager_port_mapping(const Manager *m, int family);

/* Stored before it returns. Return: 0, or negative errno and @error. */
int manager_set_port_mapping(Manager *m, bool on, ManagerError *error);

/* Stored, and in use, before it returns. Return: 0, or negative errno and @error. */
int manager_set_relay(Manager *m, RelayMode mode, ManagerError *error);

/* The TCP port at which members whose UDP is blocked may connect, as set or passed; 0: none. */
uint16_t manager_tcp_port(const Manager *m);
/* Why it is not open; "": it is. Borrowed. */
const char *manager_tcp_reason(const Manager *m);
/* TCP connections there are, made and accepted. */
unsigned manager_tcp_connections(const Manager *m);
/* Open, and stored, before it returns; 0: none. Return: 0, or negative errno and @error. */
int manager_set_tcp_port(Manager *m, uint16_t port, ManagerError *error);

/* All that this machine is, for 'omertad restore': store_backup(). */
int manager_backup(Manager *m, int *ret_fd, ManagerError *error);

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

/* What a negative errno of a ManagerCall means to a person. @port 0: an echo. Return: @r. */
int manager_call_error(int r, const char *host, uint16_t port, ManagerError *error);
