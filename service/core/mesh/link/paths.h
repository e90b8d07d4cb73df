/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a link does about its paths (docs/protocol.md, "Paths"): asks them, moves between them, and
 * sends two ways while the active one is in doubt. Facts and order are path.h's.
 *
 * Control thread only. Functions that may move the link tell its observers: hold a reference.
 */

#include "base/ratelimit.h"
#include "base/timer.h"
#include "core/mesh/link/path.h"

typedef struct Link Link;
typedef struct Mesh Mesh;

/* In use: something was sent for a user within this. Then the active path is asked so often, and
 * trusted for so long after it was last heard. */
#define PATH_USE_USEC (45 * USEC_PER_SEC)
#define PATH_ASK_USEC (3 * USEC_PER_SEC)
#define PATH_TRUST_USEC (6500 * USEC_PER_MSEC)
/* Nothing comes by it though something is sent: in doubt after this or four round trips, the
 * greater; asked in the middle of it. */
#define PATH_DOUBT_USEC (800 * USEC_PER_MSEC)
/* How long an answer is waited for before it counts as lost. */
#define PATH_ANSWER_USEC (2 * USEC_PER_SEC)

/* Rounds of doubt: from then on a path for small datagrams will do, and new keys are tried. */
#define PATH_ROUNDS_PATIENT 2U

typedef struct PathWatch {
        Timer timer;
        usec_t last_datagram; /* monotonic: a user's, in a frame */
        /* The active path is in doubt: packets go both ways, until it answers if @needs_answer,
         * else until something comes by it. */
        bool distress, needs_answer;
        usec_t distress_since, round_at;
        unsigned rounds;
        Endpoint second; /* the other way; unset: there is none */
        /* Heard somewhere new, and both that and the active path were asked. */
        Endpoint roam;
        usec_t roam_since; /* monotonic; 0: never */
        /* Where it was before it moved there; if that answers all the same it may go back. */
        Endpoint left;
        usec_t explored;    /* monotonic: candidates were asked because they could be better */
        usec_t relay_taken; /* monotonic: moved to a faster relay; 0: never */
        RateLimit budget;
} PathWatch;

void paths_init(Link *link);
/* The link has no keys any more. */
void paths_stop(Link *link);

/* An authentic datagram came from @from, which need not be known. */
void paths_arrived(Link *link, const Endpoint *from);
/* The same of one that came in a batch that was told of already. */
void paths_heard(Link *link, const Endpoint *from);
/* A handshake came to its end by datagrams to and from @from. @new_life: there is nothing that is
 * known to work. */
void paths_proven(Link *link, const Endpoint *from, bool new_life);
/* What was asked at @from was answered from there, by who sees us at @seen.
 * @mtu: it was as long as an inner packet of this; 0: short. */
void paths_answered(Link *link, const Endpoint *from, usec_t rtt, uint16_t mtu, const Endpoint *seen);
void paths_missed(Link *link, const Endpoint *to, usec_t sent, uint16_t mtu);

/* A user's packet or datagram went out after a pause. */
void paths_used(Link *link);
/* Something was sent for a user within PATH_USE_USEC. */
bool paths_in_use(const Link *link);
/* The active path is not what it was: others are tried beside it. */
void paths_doubt(Link *link);
/* Something changed on this side: what is known of all of them may not hold any more. */
void paths_ask_all(Link *link);
/* Asks once those that could be better than the active one, or a spare. */
void paths_explore(Link *link);
/* What directory and endpoint book know. */
void paths_add_known(Link *link);
/* Nothing has answered by UDP, neither directly nor through a relay, for a while: connections are
 * tried besides. */
bool paths_are_blocked(const Link *link);
/* Asks one, within the budgets. Return: false: not now. */
bool paths_ask(Link *link, Path *path);
/* Sends something there that means nothing, within the same budgets, so that what filters here lets
 * in what comes from there, and the machine, if it is there, asks us. @to need be no path, and does
 * not become one. Return: false: not now. */
bool paths_knock(Link *link, const Endpoint *to);
/* Whether an answer there could make it the active one, by its kind. */
bool paths_could_be_better(const Link *link, const Path *path);
/* Monotonic: when something came by the active path, packets too; 0: never. */
usec_t paths_active_heard(const Link *link);

/* --- between paths.c and path-watch.c --- */

/* Asks how large packets may be there, if there is something to ask now: of the active path all of
 * it, of others whether it is worth to move to them. */
void paths_ask_size(Link *link, Path *path);
/* The largest packet that may go there now; by two ways: by both. 0: by none. */
uint16_t paths_mtu(Link *link);
/* Moves to the best there is, if that is worth it. The link may end. */
void paths_choose(Link *link);
/* So long nothing may come by the active path. */
usec_t paths_doubt_after(const Path *path);
/* Looks when next there is something to do. */
void paths_watch(Link *link);
/* Packets go one way again. */
void paths_trust(Link *link);
