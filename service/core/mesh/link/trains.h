/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Whether packets to a machine leave in trains (link/train-check.h). Each link finds out for
 * itself, by its active path while that is direct and in use, so nobody decides for others: who
 * answers only single probes gets single datagrams. What two machines say of one address of ours
 * holds there for those too of whom nothing is known, a relay among them.
 *
 * Control thread only.
 */

#include "base/endpoint.h"
#include "core/mesh/link/train-check.h"

typedef struct Link Link;
typedef struct Mesh Mesh;

/* So many machines must say so before it holds for others. */
#define TRAINS_WITNESSES 2U

typedef struct LinkTrains {
        TrainCheck check;
        Endpoint at;     /* the path it is about */
        uint32_t round;  /* of the mesh's; 0: none */
        bool is_counted; /* in Mesh.trains_lost, at at.local */
} LinkTrains;

/* Machines to which trains from an address of ours are lost. */
typedef struct TrainsLost {
        IpAddr local; /* AF_UNSPEC: it is not known from where */
        unsigned n;
} TrainsLost;

/* The link is in use: asks, if it is time to. */
void trains_look(Link *link);
/* A probe of @round was answered by the path, or was not. Observers may be told. */
void trains_probed(Link *link, uint32_t round, bool in_train, bool answered);
/* Nothing is known any more. */
void trains_forget(Link *link);
/* Of the active path, as its own probes say. */
TrainVerdict trains_verdict(const Link *link);
/* Whether packets by the active path go one by one. */
bool trains_are_off(const Link *link);
/* For status: the verdict; "suspected": nothing is known of the path itself, but trains are off. */
const char *trains_text(const Link *link);
/**
 * trains_send() - seals frames and sends them as one train
 * @frames: @n of @len bytes each, one behind the other; TRAIN_PROBES of TRAIN_PROBE_SIZE at most
 * Return: 0, -ENOTCONN, -EOPNOTSUPP: no trains are sent here, or other negative errno.
 */
int trains_send(Link *link, const Endpoint *to, const uint8_t *frames, size_t len, unsigned n);
