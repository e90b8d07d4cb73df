/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inside of one network: network.c wires its parts, network-state.c says how it is,
 * network-lease.c when leases end, network-exit.c how packets get outside, network-join.c makes it
 * one that this machine is a member of. */

#include "core/mesh/enrol/enrol.h"
#include "core/network.h"

/* network-exit.c */
typedef struct NetworkExit {
        unsigned offer;      /* ours; of PRESENCE_EXITS */
        GHashTable *offered; /* set of MachineId: the others that offer one, and are believed */
        NetworkExitWish wish;
        NetworkExitState state;
        char *reason; /* NULL: nothing is wrong */
        bool is_chosen;
        MachineId machine; /* that is used, or tried */
        unsigned families; /* by which it leads outside */
        usec_t since;      /* monotonic: it was chosen */
        usec_t wished;     /* monotonic */
        MachineId better;  /* preferred to it, and working */
        usec_t better_since;
        usec_t other_since; /* monotonic: another one answers, and it does not; 0: that is not so */
        Timer timer;
} NetworkExit;

struct Network {
        NetworkConfig config;
        const MeshEnv *env;
        Membership membership;
        bool is_member;
        NetworkExit exit;
        PrefixSet others_inside; /* what the daemon said of its other networks */

        Directory *directory;
        Mesh *mesh;
        DropCounters drops;

        /* Since membership. */
        SessionPool *sessions;
        Vnet *vnet;
        EnrolService *enrol_service; /* gateway */
        LeaseService *lease_service; /* gateway */
        LeaseClient *lease_client;   /* everybody else */
        CertClient *cert_client;     /* everybody else */

        NetworkState state;
        char *reason;
        WireError lease_error; /* why we have no address, or could not renew it */
        unsigned links_up;
        bool is_cut_off;   /* no address anybody could reach, as far as this machine knows */
        Timer quiet_timer; /* when a link that counts was silent for too long to count */
        Timer look_timer;  /* since the start, while nobody need have answered yet */
        NetworkTrouble trouble;
        Timer trouble_timer; /* when our certificate ends */
        Timer root_timer;    /* gateway: when that is to be looked at next */
        int root_error;      /* why the root did not sign it anew; 0: nothing is to be done */
        Timer expiry_timer;  /* when the next lease ends, or sooner */
        usec_t looked;       /* realtime: leases that ended until then are known to have */
        Timer clock_timer;   /* the clock was set: what follows, in a turn of its own */
        IpAddr address;      /* as last reported */

        /* While joining. */
        EnrolClient *enrol_client;
        NetworkJoinDone join_done;
        void *join_userdata;
        Timer join_timer;

        /* While leaving. */
        Record *farewell; /* that we leave; NULL: told, or given up */
        NetworkLeft left;
        void *left_userdata;
        bool told;
        Timer leave_timer;
};

#define CALL(n, member, ...)                                                                        \
        do {                                                                                        \
                if ((n)->config.handler.member)                                                     \
                        (n)->config.handler.member((n)->config.handler.userdata, n, ##__VA_ARGS__); \
        } while (0)

/* --- network.c --- */
/* Directory and links alone. Return: 0, or negative errno. */
int network_alloc(const NetworkConfig *config, const Membership *m, Network **ret);
/* Everything a member has besides links: our certificate is in the directory. Return: 0, or
 * negative errno. */
int network_start(Network *n);

/* --- network-state.c --- */
/* @reason: copied; NULL: none. */
void network_set_state(Network *n, NetworkState state, const char *reason);
/* What it follows from may have changed. */
void network_update_state(Network *n);
/* Gateway: looks whether the root has to sign its certificate anew, now and every hour. */
void network_renew_by_root(Network *n);

/* --- network-lease.c --- */
/* @lease: new, or NULL: its end is waited for. */
void network_watch_lease(Network *n, const Record *lease);
/* Tells of those that have ended since the last time, or not any more: a clock was set. */
void network_look_at_leases(Network *n);

/* --- network-exit.c --- */
void network_exit_init(Network *n);
void network_exit_done(Network *n);
/* Membership has begun. */
void network_exit_start(Network *n);
/* Certificate or presence of it are others, or gone. */
void network_exit_record_changed(Network *n, const MachineId *machine);
void network_exit_link_changed(Network *n, const MachineId *machine);

/* --- network-join.c --- */
/* Whoever joined is told, once. @detail: a sentence, or NULL. */
void network_join_finish(Network *n, WireError error, const char *detail);
