/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ways to send datagrams to one machine. A link knows several (what invites, presence records,
 * the store, the machine itself and its datagrams say) and uses one, the active path. A path is
 * named by its endpoint, which may lie behind a relay; what is known of a way (round trip, loss,
 * largest packet) is the path's, not the link's.
 *
 * An endpoint also says from which of this machine's addresses (Endpoint.local): the one its last
 * proven datagram came to. Whoever asked at a second or a floating address gets the answer from
 * there; a firewall or a translator in between takes it from nowhere else.
 *
 * Here are facts and the choice between them, without clocks, timers or sending: what is done about
 * a path is link/paths.h.
 */

#include <stdbool.h>

#include "base/endpoint.h"
#include "base/time.h"
#include "core/mesh/link/path-mtu.h"

/* Candidates one machine is tried at; what is beyond makes room by being worse. */
#define PATHS_MAX 16U /* bits of path_set_best() */
/* Of those, places that nobody named but somebody's authentic datagrams came from, and that have
 * not answered: anybody on the way can make such places up. */
#define PATHS_REFLEXIVE_MAX 4U
/* Candidates of one round are tried so far apart: the first that answers is usually enough. */
#define PATH_STAGGER_USEC (100 * USEC_PER_MSEC)
/* Who answered longer ago is asked again before it is taken: two keepalives (link/paths.h). */
#define PATH_FRESH_USEC (130 * USEC_PER_SEC)

/* Where we know it from, best first: a full set forgets the worst. */
typedef enum PathOrigin {
        PATH_SEEN,     /* authentic datagrams came from there */
        PATH_LAN,      /* its beacon in a network we are both in */
        PATH_HINT,     /* an invite, --bootstrap */
        PATH_TOLD,     /* the machine said so to us (channel `path`) */
        PATH_PRESENCE, /* the machine says so to everybody */
        PATH_MAPPED,   /* its router says so, by a port mapping */
        PATH_RELAY,    /* an allocation of ours, or one that a relay announced */
        PATH_STORED,   /* reached there in a former life */
        _PATH_ORIGIN_MAX,
} PathOrigin;
const char *path_origin_to_string(PathOrigin origin);

/* What is known of it by our own probes and handshakes. */
typedef enum PathState {
        PATH_UNTRIED, /* nothing was asked there, or nothing that had to be answered by now */
        PATH_WORKS,   /* what was asked there last was answered */
        PATH_DOUBTED, /* it was not, but what was asked before */
        PATH_SILENT,  /* nothing, or nothing any more */
        _PATH_STATE_MAX,
} PathState;
const char *path_state_to_string(PathState state);

/* Why it is used or not. */
typedef enum PathReason {
        PATH_REASON_UNTRIED,
        PATH_REASON_ACTIVE,
        PATH_REASON_ACTIVE_SMALL, /* though not even packets of OMERTA_MTU_MIN pass */
        PATH_REASON_DISTRESS,     /* active, and does not answer */
        PATH_REASON_SPARE,
        PATH_REASON_WORSE_KIND, /* than the active one: relayed, translated, not in the LAN */
        PATH_REASON_SLOWER,
        PATH_REASON_SMALLER,    /* large packets have to be cut there, and not on the active one */
        PATH_REASON_SMALL_ONLY, /* not even packets of OMERTA_MTU_MIN pass */
        PATH_REASON_STALE,      /* answered long ago */
        PATH_REASON_ONE_WAY,    /* we hear it there, it does not hear us */
        PATH_REASON_NO_ANSWER,
        PATH_REASON_LOST, /* answered once */
        _PATH_REASON_MAX,
} PathReason;
const char *path_reason_to_string(PathReason reason);

/* How far away one end of a path is from the other, best first. */
typedef enum PathTier {
        PATH_TIER_LAN,
        PATH_TIER_PUBLIC,
        PATH_TIER_TRANSLATED, /* what others see is not what it has */
        PATH_TIER_RELAYED,
        PATH_TIER_STREAM,         /* by TCP: what is lost holds up what comes after it */
        PATH_TIER_STREAM_RELAYED, /* the relay is reached so */
        _PATH_TIER_MAX,
} PathTier;

typedef struct Path {
        PathOrigin origin;
        PathState state;
        Endpoint endpoint;
        PathTier theirs, ours;
        usec_t since;                 /* monotonic: known */
        usec_t last_received;         /* monotonic: something authentic came from there; 0: never */
        usec_t last_answered;         /* monotonic: an answer to what we asked there; 0: never */
        usec_t proof;                 /* monotonic: when we asked what was answered; 0: never */
        usec_t last_asked;            /* monotonic; 0: never */
        usec_t asked;                 /* monotonic: the first that is not answered yet; 0: none */
        unsigned missed;              /* in a row */
        usec_t srtt, rttvar, rtt_min; /* RFC 6298; 0: not known */
        usec_t rtt_last;              /* of the last answer */
        uint32_t n_probes, n_lost;    /* sent there, and not answered in time */
        PathMtu mtu;                  /* how large packets may be */
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

/* Adds what is not there yet, or ennobles what is. Unusable endpoints are ignored.
 * Return: it, borrowed until the set changes; NULL: unusable, or there are enough better ones. */
Path *path_set_add(PathSet *set, PathOrigin origin, const Endpoint *endpoint, usec_t now);
/**
 * path_set_heard() - an authentic datagram came from @endpoint
 * That alone makes no path active. Return: as path_set_add(), of which it makes room for
 * PATHS_REFLEXIVE_MAX that have not answered.
 */
Path *path_set_heard(PathSet *set, const Endpoint *endpoint, usec_t now);
/* What was asked at @path was answered to @local (AF_UNSPEC: not known). */
void path_answered(Path *path, const IpAddr *local, usec_t now);
/* It was not, in time. @heard: though something else came from there since. */
void path_missed(Path *path, bool heard);
/* A handshake came to its end there. Return: it; there is always room for it. */
Path *path_set_prove(PathSet *set, const Endpoint *endpoint, usec_t now);
/* Return: true if that changed the active path. */
bool path_set_activate(PathSet *set, const Path *path);
/* Takes @path out, which is not the active one. */
void path_set_remove(PathSet *set, const Path *path);
/* Takes those out that @is_bad says so of. Return: true if the active one was among them. */
bool path_set_purge(
                PathSet *set,
                bool (*is_bad)(const void *userdata, const Endpoint *endpoint),
                const void *userdata);
/* Takes out what the machine has told and does not tell any more: neither heard there nor answered,
 * and not one of @n @told. */
void path_set_forget_told(PathSet *set, const Endpoint *told, unsigned n);
/* Nothing is sent from @local any more until something is answered there again.
 * Return: true if that changed the active path. */
bool path_set_forget_local(PathSet *set, const IpAddr *local);
/* Keys are gone: nothing is known of what works, only of what there is. */
void path_set_reset(PathSet *set);
/* Borrowed, until the set changes; NULL: it is not in there. */
Path *path_set_find(PathSet *set, const Endpoint *endpoint);
/* All that is known of @old goes to @new, also that it is the active one. What @new had is gone.
 * Return: true if that changed the active path. */
bool path_set_replace(PathSet *set, const Endpoint *old, const Endpoint *new);
/* A probe sent there was answered after @rtt. */
void path_sample_rtt(Path *path, usec_t rtt);
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

/* --- path-rank.c --- */

/* An address that means something in one place only: RFC 1918, RFC 3927, RFC 4193, loopback. */
bool path_is_local_address(const Endpoint *endpoint);
/* The tier of the other end, as far as its address says. */
PathTier path_tier_of(PathOrigin origin, const Endpoint *endpoint);
/* And of ours, until somebody has told how he sees us. */
PathTier path_tier_of_ours(const Endpoint *endpoint);
/* Less than 0: @a is worth more than @b, by what does not change from one moment to the next. */
int path_compare_kind(const Path *a, const Path *b);
/* Whether to leave @active, which works, for @path: a better kind, or of full size where @active is
 * not, or faster by a fifth and 10 ms at least, by a third where both are relayed. What is as good
 * is left for nothing, or paths would take turns. */
bool path_is_worth_moving(const Path *path, const Path *active);
/* A round trip by another relay must be less than this to be worth leaving @path, which is relayed. */
usec_t path_relay_limit(const Path *path);
/* Whether packets may be moved there now. @size: what must pass, 0: anything. */
bool path_is_ready(const Path *path, uint16_t size, usec_t now);
/* Of packets up to @mtu, the largest that goes by such a path: a relay's header comes out of it,
 * but for what always passes. */
uint16_t path_inner_mtu(const Endpoint *endpoint, uint16_t mtu);
/* Bytes of a datagram there that are not the inner packet's, IP header included. */
uint16_t path_headers(const Endpoint *endpoint);
/* The best one that is ready, leaving out path i where bit i of @but is set; NULL: there is none. */
Path *path_set_best(PathSet *set, unsigned but, uint16_t size, usec_t now);
PathReason path_set_reason(const PathSet *set, const Path *path, usec_t now);
