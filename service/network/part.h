/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A part of a network that can be taken away while the rest goes on, as the interface can. What it
 * is made of is behind a struct of functions; here is when they are called: looked at when somebody
 * says that something changed, repaired at once, tried again after growing pauses where that fails
 * or does not last, and what there is to say meanwhile. The parts of a network are in a list
 * (network/part-list.h). Without I/O; control thread only.
 *
 *   PART_STOPPED   not wanted
 *   PART_STARTING  inside .start()
 *   PART_UP        as it should be, as far as anybody knows
 *   PART_DEGRADED  works, but not all of it; a repair is tried when something changes
 *   PART_FAILED    does not work; a repair is due
 *
 * Some parts mend themselves, or cannot be mended from here: they only say how they are,
 * part_report(), and are not repaired.
 */

#include "core/mesh/env.h"

/* Between two repairs: none before the first, then doubling. Whoever takes the interface away with
 * intent is not fought all day; who has mended the cause waits no longer than this. */
#define PART_PAUSE_MIN_USEC USEC_PER_SEC
#define PART_PAUSE_MAX_USEC USEC_PER_MINUTE
/* A repair that held for so long is a repair; what happens then is news. */
#define PART_CALM_USEC (2 * PART_PAUSE_MAX_USEC)
/* From a repair that failed to the next that somebody gave a hint for: not sooner, since a repair
 * may itself be what others hear of. */
#define PART_HINT_USEC (2 * USEC_PER_SEC)

typedef enum PartState {
        PART_STOPPED,
        PART_STARTING,
        PART_UP,
        PART_DEGRADED,
        PART_FAILED,
} PartState;

/* What changed around a part; several at once are one mask. */
typedef enum PartChange {
        PART_CHANGED_ADDRESS = 1 << 0, /* ours in the network, or its MTU. Told after a start too */
        PART_CHANGED_LEASE = 1 << 1,   /* of a machine */
        PART_CHANGED_MEMBER = 1 << 2,  /* one came or went */
        PART_CHANGED_LINK = 1 << 3,    /* to a machine; or what else is shown of it */
        PART_CHANGED_SLEEP = 1 << 4,   /* this machine woke up, or may have */
        PART_CHANGED_ROUTES = 1 << 5,  /* this machine's, or its addresses, which are not ours */
        PART_CHANGED_INTERFACE = 1 << 6, /* somebody touched one of ours, or it cannot be read */
        PART_CHANGED_BELOW = 1 << 7,     /* a part this one stands on has another state or reason */
} PartChange;

/* Where an int is returned @ret_reason is set unless it is 0: a sentence for people without its
 * end, which the part takes over. Any function may be NULL. */
typedef struct PartOps {
        const char *name; /* of the part, for the journal */
        const char *word; /* the network's state while this is degraded; NULL: that says it all */
        bool is_needed;   /* without it the network is not started */

        /* Makes it; also when it was stopped, or failed to start. Return: as .repair(). */
        int (*start)(void *userdata, char **ret_reason);
        /* Whatever there is of it goes, also after a start that failed. @for_good: it does not
         * outlive the daemon. */
        void (*stop)(void *userdata, bool for_good);
        /* Is it as it should be? Changes nothing. Return: 0, or negative errno. */
        int (*check)(void *userdata, char **ret_reason);
        /* Makes it so, whatever is left of it. Return: 0; 1: but for something it can do without;
         * or negative errno. NULL: .start(). */
        int (*repair)(void *userdata, char **ret_reason);
        /* @what: of PartChange. Where it may have been touched by that it calls part_check(). */
        void (*changed)(void *userdata, unsigned what);
        /* State or reason are new. @why: what was found and is repaired now; NULL: not that. */
        void (*reported)(void *userdata, PartState old, const char *why);
} PartOps;

typedef struct PartList PartList;

typedef struct Part {
        const PartOps *ops;
        void *userdata;
        const MeshEnv *env;
        PartList *list; /* NULL: in none */
        PartState state;
        char *reason;     /* NULL: there is nothing to say */
        bool is_reported; /* the state is what it said itself: it is not repaired */
        bool has_failed;  /* the last repair; else it worked, and did not last */
        unsigned repairs; /* in a row */
        usec_t repaired;  /* the last */
        Timer timer;      /* the next */
} Part;

/* All are borrowed. */
void part_init(Part *p, const PartOps *ops, void *userdata, const MeshEnv *env);
/* It is wanted. What cannot be made is tried again. */
void part_start(Part *p);
/* It is wanted no more; may be started again. */
void part_stop(Part *p, bool for_good);
/* The owner has changed it. @r, @reason: as .repair() returns; the text is taken over. */
void part_done(Part *p, int r, char *reason);
/* It says how it is: UP, DEGRADED or FAILED; the text is taken over. */
void part_report(Part *p, PartState state, char *reason);
/* Something happened that may have touched it: looks, and repairs. */
void part_check(Part *p);
/* Something happened that may have taken away what was in the way of a repair: one that failed is
 * tried again soon, whatever pause it has come to. */
void part_hint(Part *p);

/* For part-list.c: starts one that is needed.
 * Return: 0, or negative errno and *@ret_reason: nobody was told, and the caller stops it. */
int part_try_start(Part *p, char **ret_reason);

const char *part_state_to_string(PartState s);
