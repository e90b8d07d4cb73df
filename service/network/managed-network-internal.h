/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inside of a network of this daemon, for network/ and manager/. */

#include "manager/manager-internal.h"
#include "network/managed-network.h"
#include "network/part.h"

struct ManagedNetwork {
        Manager *manager;
        MeshStore store;
        NetworkId id;
        StoredNetwork stored; /* as on disk, once a member */
        bool is_stored;
        Identity *identity; /* ours in this network alone; NULL: the machine's */
        Network *core;      /* NULL while down */
        Netif *netif;
        Netstack *netstack;   /* while there is an interface; user mode: owns it */
        bool netstack_broken; /* and that was logged */
        GQueue calls;         /* ManagerCall.link */
        Forwards *forwards;   /* NULL: never one */
        ManagerDialer dialer;
        bool in_dataplane;
        Part interface;        /* the interface with all that is on it: network/part-interface.c */
        bool dataplane_failed; /* the packet thread could not read or write it */
        char *down_reason;
        bool any_subnet; /* while joining: root said so */
        /* What on this machine is in the way of its addresses, a sentence; NULL: nothing. */
        char *conflict;
        IpPrefix conflict_prefix;
        bool is_shut_out;  /* so much that the interface has no IPv4 address */
        char *last_logged; /* state logged last, so that flapping is not */

        Timer certificate_timer; /* says when it is not renewed */
        NetworkTrouble last_trouble;

        ManagerJoinDone join_done;
        void *join_userdata;
        Timer forget_timer; /* a failed join is freed outside its own callback */

        ManagerLeaveDone leave_done; /* NULL: it is not being left */
        void *leave_userdata;
        usec_t listed_until;
};

/* --- manager/sockets.c --- */
/* Endpoints that people name: -EINVAL if one lies inside a virtual network. */
int managed_network_check_endpoints(
                ManagedNetwork *n,
                const Endpoint *endpoints,
                unsigned n_endpoints,
                ManagerError *error);

/* --- manager/subnet.c --- */
/* Looks at the routes again, for .conflict. Return: whether it changed. */
bool managed_network_find_conflict(ManagedNetwork *n);
/* Whether the kernel sends what goes to @address elsewhere. */
bool managed_network_is_diverted(const ManagedNetwork *n, const IpAddr *address);

/* --- network/part-netstack.c --- */
/* Beside the tun, or in user mode in its place: then @n->netif is set too. */
int managed_network_open_netstack(ManagedNetwork *n, NetstackEngine engine, ManagerError *error);
/* The packet thread does not use @n->netif any more. Calls under way fail, forwards wait. */
void managed_network_close_netstack(ManagedNetwork *n);

/* An answer to an echo of ours that did not go through the stack. */
void managed_network_echo_answered(ManagedNetwork *n, uint64_t number);

/* --- network/part-forward.c --- */
/* Those the store has. */
void managed_network_load_forwards(ManagedNetwork *n);
/* The network has a netstack now, or is about to lose it. */
void managed_network_resume_forwards(ManagedNetwork *n);
void managed_network_suspend_forwards(ManagedNetwork *n);

/* --- network/time.c --- */
/* Looks at our certificate now and then, and says so when it is not renewed. */
void managed_network_watch_certificate(ManagedNetwork *n);
/* The state changed: what is news about clock and certificate goes into the journal. */
void managed_network_note_trouble(ManagedNetwork *n, const Network *core);
/* NetworkHandler.sign_by_root. */
int managed_network_sign_by_root(void *userdata, Network *core, const RecordBody *body, Record **ret);

/* --- network/part-interface.c --- */
void managed_network_init_interface(ManagedNetwork *n);
int managed_network_open_interface(ManagedNetwork *n, ManagerError *error);
/* @forget: it does not outlive the daemon. */
void managed_network_close_interface(ManagedNetwork *n, bool forget);
/* Gives it the addresses that there are. */
void managed_network_configure_interface(ManagedNetwork *n);
/* The routes of the machine changed. */
void managed_network_routes_changed(ManagedNetwork *n);
/* Somebody may have touched it. */
void managed_network_interface_changed(ManagedNetwork *n);

/* --- network/managed-network.c --- */
/* @id: of base/log-ids.h, or NULL. */
void managed_network_log(const ManagedNetwork *n, int level, const char *id, const char *format, ...)
                _printf_(4, 5);
/* Without core and interface, in the manager's list. */
ManagedNetwork *managed_network_new(Manager *m, const NetworkId *id);
ManagedNetwork *managed_network_free(ManagedNetwork *n);
/* With the identity @n has now. */
NetworkConfig managed_network_core_config(ManagedNetwork *n);
/* Starts what the store has. */
int managed_network_load(Manager *m, const StoredNetwork *stored);
