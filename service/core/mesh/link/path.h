/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ways to send datagrams to one machine. A link knows several (what invites, presence records,
 * the store and the machine's own datagrams say) and uses one, the active path: the one the last
 * authentic datagram came by (roaming). A path is named by its endpoint, which may lie behind a
 * relay; what is known of a way (round trip, loss, largest packet) is the path's, not the link's.
 *
 * An endpoint also says from which of this machine's addresses (Endpoint.local): the one its last
 * datagram came to. Whoever asked at a second or a floating address gets the answer from there; a
 * firewall or a translator in between takes it from nowhere else.
 */

#include <stdbool.h>

#include "base/endpoint.h"
#include "base/time.h"

/* Candidates one machine is tried at. Six of a kind that somebody may name (addresses of each
 * family, mapped and seen ones) and relays; what is beyond makes room by being worse. */
#define PATHS_MAX 16U
/* Candidates of one round are tried so far apart: the first that answers is usually enough. */
#define PATH_STAGGER_USEC (100 * USEC_PER_MSEC)

/* Where we know it from, best first: a full set forgets the worst. */
typedef enum PathOrigin {
        PATH_SEEN,     /* authentic datagrams came from there */
        PATH_LAN,      /* its beacon in a network we are both in */
        PATH_HINT,     /* an invite, --bootstrap */
        PATH_PRESENCE, /* the machine says so */
        PATH_MAPPED,   /* its router says so, by a port mapping */
        PATH_RELAY,    /* an allocation of ours, or one that a relay announced */
        PATH_STORED,   /* reached there in a former life */
        _PATH_ORIGIN_MAX,
} PathOrigin;
const char *path_origin_to_string(PathOrigin origin);

/* What is known of it by our own probes. */
typedef enum PathState {
        PATH_UNTRIED, /* nothing was sent there, or nothing that had to be answered by now */
        PATH_WORKS,   /* the last that was asked there was answered */
        PATH_SILENT,  /* it was not */
        _PATH_STATE_MAX,
} PathState;
const char *path_state_to_string(PathState state);

/* Why it is used or not. */
typedef enum PathReason {
        PATH_REASON_UNTRIED,
        PATH_REASON_ACTIVE,
        PATH_REASON_SPARE,
        PATH_REASON_NO_ANSWER,
        PATH_REASON_LOST, /* answered once */
        _PATH_REASON_MAX,
} PathReason;
const char *path_reason_to_string(PathReason reason);

typedef struct Path {
        PathOrigin origin;
        PathState state;
        Endpoint endpoint;
        usec_t since;                 /* monotonic: known */
        usec_t last_received;         /* monotonic: something authentic came from there; 0: never */
        usec_t srtt, rttvar, rtt_min; /* RFC 6298; 0: not known */
        uint32_t n_probes, n_lost;    /* sent there, and not answered in time */
        uint16_t mtu;                 /* largest inner packet known to pass; 0: not known */
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
void path_set_add(PathSet *set, PathOrigin origin, const Endpoint *endpoint, usec_t now);
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
/* Borrowed, until the set changes; NULL: it is not in there. */
Path *path_set_find(PathSet *set, const Endpoint *endpoint);
/* All that is known of @old goes to @new, also that it is the active one. What @new had is gone.
 * Return: true if that changed the active path. */
bool path_set_replace(PathSet *set, const Endpoint *old, const Endpoint *new);
/* A probe sent there was answered after @rtt. */
void path_sample_rtt(Path *path, usec_t rtt);
PathReason path_set_reason(const PathSet *set, const Path *path);
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
unsigned path_set_candidates(const PathSet *set, unsigned rotate, Endpoint ret[static PATHS_MAX]);
