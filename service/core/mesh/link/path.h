/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ways to send datagrams to one machine. A link knows several (what invites, presence records,
 * the store and the machine's own datagrams say) and uses one, the active path: the one the last
 * authentic datagram came by (roaming). A path knows how it sends, so that other kinds (relays)
 * only need to be added here.
 *
 * It also knows from which of this machine's addresses (Endpoint.local): the one its last datagram
 * came to. Whoever asked at a second or a floating address gets the answer from there; a firewall
 * or a translator in between takes it from nowhere else.
 */

#include "core/mesh/env.h"

#define PATHS_MAX 8U
/* Candidates of one round are tried so far apart: the first that answers is usually enough. */
#define PATH_STAGGER_USEC (100 * USEC_PER_MSEC)

typedef enum PathKind {
        PATH_DIRECT,
        _PATH_KIND_MAX,
} PathKind;

/* Where we know it from, best first: a full set forgets the worst. */
typedef enum PathOrigin {
        PATH_SEEN,     /* authentic datagrams came from there */
        PATH_HINT,     /* an invite, --bootstrap */
        PATH_PRESENCE, /* the machine says so */
        PATH_STORED,   /* reached there in a former life */
        _PATH_ORIGIN_MAX,
} PathOrigin;

typedef struct Path {
        PathKind kind;
        PathOrigin origin;
        Endpoint endpoint;
        usec_t last_received; /* monotonic; 0: never */
} Path;

typedef struct PathSet {
        Path path[PATHS_MAX];
        unsigned n;
        int active; /* index, -1: none */
} PathSet;

#define PATH_SET_EMPTY                                                                             \
        (PathSet) {                                                                                \
                .active = -1                                                                       \
        }

/* Adds what is not there yet, or ennobles what is. Unusable endpoints are ignored. */
void path_set_add(PathSet *set, PathOrigin origin, const Endpoint *endpoint);
/**
 * path_set_arrived() - an authentic datagram came from @endpoint
 * Return: true if that changed the active path, or the address of ours it begins at.
 */
bool path_set_arrived(PathSet *set, const Endpoint *endpoint, usec_t now);
/* Takes those out that @is_bad says so of. Return: true if the active one was among them. */
bool path_set_purge(
                PathSet *set,
                bool (*is_bad)(const void *userdata, const Endpoint *endpoint),
                const void *userdata);
/* Nothing is sent from @local any more until something comes there again.
 * Return: true if that changed the active path. */
bool path_set_forget_local(PathSet *set, const IpAddr *local);
/* Borrowed; NULL: none. */
const Path *path_set_active(const PathSet *set);
static inline Endpoint path_set_endpoint(const PathSet *set) {
        return set->active >= 0 ? set->path[set->active].endpoint : (Endpoint){};
}
/**
 * path_set_candidates() - what to try, in this order: the active path, then the lately heard,
 * then by origin
 * @rotate: begin so many places later, so that a path that swallows what it is given does not
 *          stay the first for ever
 */
unsigned path_set_candidates(const PathSet *set, unsigned rotate, Path ret[static PATHS_MAX]);

/* Return: 0 or negative errno; nobody depends on it arriving. */
int path_send(const Path *path, const MeshEnv *env, const uint8_t *data, size_t len);
