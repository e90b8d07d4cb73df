/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inside of a network of this daemon, for network/ and manager/. */

#include "gateway/exit.h"
#include "manager/manager-internal.h"
#include "network/gateway.h"
#include "network/managed-network.h"
#include "network/part-list.h"

/* This machine as an exit of the network: what was set, and what came of it. */
typedef struct ManagedExit {
        bool is_set, is_on;
        bool has_failed; /* the kernel did not do it, and is asked again */
        ExitPolicy *policy;
        Exit *exit;   /* NULL: the kernel carries nothing */
        bool v4, v6;  /* what is offered */
        char *reason; /* why not, or not all; NULL: there is nothing to say */
        Timer timer;  /* gathers changes, and tries again */
        usec_t read;  /* its counters, not before that */
} ManagedExit;

struct ManagedNetwork {
        Manager *manager;
        MeshStore store;
        NetworkId id;
        StoredNetwork stored; /* as on disk, once a member */
        bool is_stored;
        Identity *identity; /* ours in this network alone; NULL: the machine's */
        Network *core;      /* NULL while down */
        Netif *netif;
        Netstack *netstack; /* while there is an interface; user mode: owns it */
        GQueue calls;       /* ManagerCall.link */
        Forwards *forwards; /* NULL: never one */
        ManagerDialer dialer;
        bool in_dataplane;
        PartList parts; /* without --vpn there are none */
        /* Each in network/part-NAME.c. */
        Part addresses, interface, stack, forwarding, exit_part, detour;
        ManagedExit exit;
        NetworkExitWish exit_wish; /* as stored */
        NetworkExitWish hand_made; /* as a route of somebody's says */
        bool detour_is_set;        /* this machine's routing is changed */
        bool dataplane_failed;     /* the packet thread could not read or write it */
        char *down_reason;
        char *status_logged; /* as managed_network_note_status() has it */
        bool any_subnet;     /* while joining: root said so */
        /* What on this machine is in the way of its addresses, a sentence; NULL: nothing. */
        char *conflict;
        IpPrefix conflict_prefix;
        bool is_shut_out;    /* so much that the interface has no IPv4 address */
        bool addresses_held; /* somebody else sets them */
        char *last_logged;   /* state logged last, so that flapping is not */

        Timer certificate_timer; /* says when it is not renewed */
        NetworkTrouble last_trouble;

        ManagerJoinDone join_done;
        void *join_userdata;
        Timer forget_timer; /* a failed join is freed outside its own callback */

        ManagerLeaveDone leave_done; /* NULL: it is not being left */
        void *leave_userdata;
        usec_t listed_until;
};

/* --- manager/subnet.c --- */
/* Looks at the routes again, for .conflict. Return: whether it changed. */
bool managed_network_find_conflict(ManagedNetwork *n);
/* Whether the kernel sends what goes to @address elsewhere. */
bool managed_network_is_diverted(const ManagedNetwork *n, const IpAddr *address);

/* --- network/part-netstack.c --- */
Part *managed_network_init_netstack(ManagedNetwork *n);
/* An answer to an echo of ours that did not go through the stack. */
void managed_network_echo_answered(ManagedNetwork *n, uint64_t number);

/* --- network/part-forward.c --- */
/* Those the store has. */
void managed_network_load_forwards(ManagedNetwork *n);
Part *managed_network_init_forwarding(ManagedNetwork *n);

/* --- network/time.c --- */
/* Looks at our certificate now and then, and says so when it is not renewed. */
void managed_network_watch_certificate(ManagedNetwork *n);
/* The state changed: what is news about clock and certificate goes into the journal. */
void managed_network_note_trouble(ManagedNetwork *n, const Network *core);
/* NetworkHandler.sign_by_root. */
int managed_network_sign_by_root(void *userdata, Network *core, const RecordBody *body, Record **ret);

/* --- network/part-exit.c --- */
Part *managed_network_init_exit(ManagedNetwork *n);
/* What was set is other than before: done at once. */
void managed_network_apply_exit(ManagedNetwork *n);

/* --- network/gateway.c --- */
/* What all its IPv6 addresses are in. */
IpPrefix managed_network_prefix6(const ManagedNetwork *n);
/* What the store has. */
void managed_network_load_exit(ManagedNetwork *n);
/* All of it, also what is stored. */
void managed_network_forget_exit(ManagedNetwork *n);

/* --- network/part-interface.c --- */
Part *managed_network_init_interface(ManagedNetwork *n);

/* --- network/part-detour.c --- */
Part *managed_network_init_detour(ManagedNetwork *n);
/* The wish changed. */
void managed_network_apply_detour(ManagedNetwork *n);

/* --- network/use-exit.c --- */
/* The wish as it is stored. */
void managed_network_load_wish(ManagedNetwork *n);
/* NetworkHandler.exit_changed. */
void managed_network_note_exit(ManagedNetwork *n);

/* --- network/part-addresses.c --- */
Part *managed_network_init_addresses(ManagedNetwork *n);
/* Looks at the routes of the machine again. */
void managed_network_look_for_conflict(ManagedNetwork *n);

/* --- network/managed-network.c --- */
/* @id: of base/log-ids.h, or NULL. */
void managed_network_log(const ManagedNetwork *n, int level, const char *id, const char *format, ...)
                _printf_(4, 5);
/* For .reported() of a part that has nothing of its own to say. */
void managed_network_log_part(const ManagedNetwork *n, const Part *p, const char *why);
/* Starts the parts, unless they are. @insist: what is needed and cannot be made is no error, but
 * tried again. Return: 0, or negative errno and @error. */
int managed_network_start_parts(ManagedNetwork *n, bool insist, ManagerError *error);
/* @for_good: nothing of them outlives the daemon. */
void managed_network_stop_parts(ManagedNetwork *n, bool for_good);
/* @what: of PartChange. */
void managed_network_changed(ManagedNetwork *n, unsigned what);
/* Its state or the reason may be another: tells everybody. */
void managed_network_note_status(ManagedNetwork *n);
/* Without core and interface, in the manager's list. */
ManagedNetwork *managed_network_new(Manager *m, const NetworkId *id);
ManagedNetwork *managed_network_free(ManagedNetwork *n);
/* With the identity @n has now. */
NetworkConfig managed_network_core_config(ManagedNetwork *n);
/* Starts what the store has. */
int managed_network_load(Manager *m, const StoredNetwork *stored);
