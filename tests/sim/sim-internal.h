/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the simulated internet share: sim.c has time and chance, route.c the way a
 * datagram takes, nat.c what a router does to it. */

#include <glib.h>

#include "sim.h"

struct Sim {
        uint64_t seed, state;
        bool ended;
        usec_t now;
        TimerQueue *flights; /* of Datagram */
        GPtrArray *nodes, *nats;
        SimModel model;
        GArray *between;
        SimTap tap;
        void *tap_userdata;
        GPtrArray *streams; /* stream.c */
        unsigned n_streams; /* that were ever made */
        bool streams_stalled;
};

/* What a stateful filter remembers: who was asked by whom, and when something passed. */
typedef struct SimFlow {
        Endpoint inside, outside;
        usec_t used;
} SimFlow;

struct SimNode {
        Sim *sim;
        char *name;
        MeshEnv env;
        RateLimit probes;
        GArray *addresses; /* of Endpoint; the first is always there */
        SimNat *nat;
        GArray *flows;   /* of SimFlow: of its own firewall */
        usec_t firewall; /* life of a flow; 0: no firewall */
        bool udp_blocked;
        uint16_t stream_port; /* 0: it does not listen */
        SimStreamEnded stream_ended;
        unsigned side, lan; /* lan: whom a multicast reaches; 0: nobody */
        bool asleep;
        int64_t realtime_offset;
        SimReceive receive;
        void *userdata;
        uint64_t sent, received;
        SimTrains trains;
        unsigned trains_sent;
        GArray *retired;
};

typedef struct SimMapping {
        Endpoint inside, outside, to; /* to: what the mapping depends on; else unset */
        usec_t used, until;           /* until: a mapped port, for all comers; 0: none */
        GArray *flows;                /* of SimFlow: to whom it sent */
} SimMapping;

struct SimNat {
        Sim *sim;
        SimNat *outer; /* NULL: the internet */
        Endpoint address;
        SimNatKind kind;
        uint16_t next_port;
        GPtrArray *mappings;
        GArray *flows6; /* of SimFlow */
};

/* Its endpoint of that address family; NULL: none. */
const Endpoint *sim_node_of_family(const SimNode *n, sa_family_t family);
bool sim_node_has(const SimNode *n, const Endpoint *endpoint);

/* --- stream.c --- */

/* Those by which nothing came for too long. */
void sim_streams_expire(Sim *s);
int sim_stream_send(SimNode *n, const Endpoint *to, const uint8_t *data, size_t len);

/* --- nat.c --- */

SimNat *sim_nat_free(SimNat *nat);
void sim_flow_note(GArray *flows, const Endpoint *inside, const Endpoint *outside, usec_t now);
bool sim_flow_admits(
                GArray *flows,
                const Endpoint *inside,
                const Endpoint *outside,
                SimNatBy by,
                usec_t now,
                usec_t lifetime,
                bool refresh);
/* Out of the inside: @from becomes what others see. Return: false: it does not let it out. */
bool sim_nat_out(SimNat *nat, Endpoint *from, const Endpoint *to);
/* Into the inside: @to becomes the inside's. Return: false: it does not let it in.
 * @refresh: it really comes, nobody only looks */
bool sim_nat_in(SimNat *nat, Endpoint *to, const Endpoint *from, bool refresh);

/* --- route.c --- */

/* Where a datagram is: seen from the inside of @place it goes @from @to. */
typedef struct SimWay {
        SimNat *place; /* NULL: the internet */
        SimNat *via;   /* the router it left last, if any: back in there is a hairpin */
        Endpoint from, to;
} SimWay;

/* From @n up to where @to is known. Return: false: lost on the way. */
bool sim_route_up(SimNode *n, const Endpoint *from, const Endpoint *to, SimWay *ret);
/* And down from there. Return: NULL: nobody there. */
SimNode *sim_route_down(Sim *s, SimWay *way, bool refresh);
