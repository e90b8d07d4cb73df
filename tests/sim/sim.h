/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An internet in one process: nodes with clocks, timers and addresses, datagrams that take time,
 * get lost, come twice or out of order. All that happens follows from the seed, so a failure is
 * repeated with SIM_SEED=<the number it printed>.
 *
 * Nothing of omerta's protocol is known here but the header of relayed datagrams, which MeshEnv.send
 * is to write: a node has a MeshEnv to hand to whatever is to run
 * on it and gets datagrams by a callback.
 *
 *      Sim *sim = sim_new(1);
 *      SimNode *n = sim_node_new(sim, "anna", "192.0.2.1:18002");
 *      thing_new(sim_node_env(n), ...);
 *      sim_node_on_receive(n, receive, thing);
 *      sim_run_for(sim, 10 * USEC_PER_SEC);
 */

#include <stdbool.h>

#include "core/mesh/env.h"
#include "nat.h"

/* What happens to datagrams between two nodes; probabilities from 0 to 1. */
typedef struct SimModel {
        usec_t latency;                  /* one way */
        usec_t jitter;                   /* up to so much more, so datagrams overtake each other */
        double loss, duplicate, reorder; /* reorder: held back for another latency and jitter */
} SimModel;
#define SIM_MODEL_DEFAULT                                                                          \
        (SimModel) {                                                                               \
                .latency = 10 * USEC_PER_MSEC                                                      \
        }

/* @seed: 0 for one of the clock; $SIM_SEED overrides both. Clocks begin at 1 s. */
Sim *sim_new(uint64_t seed);
Sim *sim_free(Sim *s);
uint64_t sim_seed(const Sim *s);
usec_t sim_now(const Sim *s);
/* For what the test itself decides by chance. */
uint64_t sim_random(Sim *s);

/* Runs what is due until then; the clock is there afterwards. */
void sim_run_for(Sim *s, usec_t duration);
/* Return: true as soon as @predicate holds, false if it does not within @duration. */
bool sim_run_until(Sim *s, bool (*predicate)(void *userdata), void *userdata, usec_t duration);

void sim_set_model(Sim *s, const SimModel *model);
/* Both ways. @model NULL: the general one again. */
void sim_set_model_between(Sim *s, const SimNode *a, const SimNode *b, const SimModel *model);
/* Nothing passes between nodes of different sides. */
void sim_partition(Sim *s, SimNode *n, unsigned side);

/* Sees every datagram that is sent. Return: false to lose it. */
typedef bool (*SimTap)(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len);
void sim_set_tap(Sim *s, SimTap tap, void *userdata);
/* A datagram from an address that need not exist. */
void sim_inject(Sim *s, const Endpoint *from, const Endpoint *to, const uint8_t *data, size_t len);

/* @endpoint: numeric, with port. */
SimNode *sim_node_new(Sim *s, const char *name, const char *endpoint);
SimNode *sim_node_free(SimNode *n);
const char *sim_node_name(const SimNode *n);
const MeshEnv *sim_node_env(SimNode *n);
/* What it looks names up with from now on; borrowed. NULL: it has nothing. */
void sim_node_set_resolver(SimNode *n, const Resolver *resolver);
Endpoint sim_node_endpoint(const SimNode *n);

typedef void (*SimReceive)(void *userdata, uint8_t *data, size_t len, const Endpoint *from);
/* @receive NULL: as if nobody listened. */
void sim_node_on_receive(SimNode *n, SimReceive receive, void *userdata);
/* --- TCP: stream.c --- */

/* It takes connections at this port of its addresses; 0: no more. */
void sim_node_listen(SimNode *n, uint16_t port);
/* Called with the userdata of sim_node_on_receive(). */
typedef void (*SimStreamEnded)(void *userdata, const Endpoint *peer);
void sim_node_on_stream_ended(SimNode *n, SimStreamEnded ended);
/* How many it has; one by which nothing came for STREAM_IDLE_USEC is closed. */
unsigned sim_node_streams(const SimNode *n);
/* Whoever made them, since the beginning. */
unsigned sim_streams_made(const Sim *s);
/* Nothing that is sent by any arrives. */
void sim_stall_streams(Sim *s, bool stalled);
/* All of its connections end, and both ends are told. */
void sim_node_end_streams(SimNode *n);

/* --- addresses --- */

/* All it has, the first one first. Return: how many, at most @max. */
unsigned sim_node_endpoints(const SimNode *n, Endpoint *ret, unsigned max);
/* It receives there as well, at the same port, but sends from there only what is to leave from
 * there (Endpoint.local), or goes where only this address family goes. */
void sim_node_add_address(SimNode *n, const char *address);
/* This one and the first, no other. NULL: the first alone; what is to leave from another leaves
 * from it. */
void sim_node_set_second(SimNode *n, const char *address);
/* It and all others of the same @lan hear each other's multicasts; 0, as at first: nobody. Who is
 * in another partition does not. */
void sim_node_set_lan(SimNode *n, unsigned lan);
/* From now on it sends and receives there. */
void sim_node_move(SimNode *n, const char *endpoint);
/* From now on both are networks of one machine, as far as its probes go (MeshEnv.probes). */
void sim_node_share_probes(SimNode *n, SimNode *with);
/* Asleep: no timer runs, nothing is sent or received; clocks go on. */
void sim_node_sleep(SimNode *n, bool asleep);
/* Its idea of Unix time, apart from the others'. */
void sim_node_set_realtime_offset(SimNode *n, int64_t offset);
/* What becomes of trains on their way out of a node. */
typedef enum SimTrains {
        SIM_TRAINS_NONE,   /* it sends none (MeshEnv.send_train is NULL), as at first */
        SIM_TRAINS_CUT,    /* each is as many datagrams */
        SIM_TRAINS_LOST,   /* nothing of them arrives */
        SIM_TRAINS_SPOILT, /* all of it does, with one bit turned in each datagram */
} SimTrains;
void sim_node_set_trains(SimNode *n, SimTrains trains);
/* Trains that left it, of more than one datagram each. */
unsigned sim_node_trains_sent(const SimNode *n);
/* Datagrams that left it, and that arrived at it. */
uint64_t sim_node_sent(const SimNode *n);
uint64_t sim_node_received(const SimNode *n);
