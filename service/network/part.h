/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A part of a network that can be taken away while the rest goes on, as the interface can. What it
 * is made of is behind a struct of functions; here is when they are called: looked at when somebody
 * says that something changed, repaired at once, tried again after growing pauses where that fails
 * or does not last, and what there is to say meanwhile. Without I/O; control thread only.
 *
 *   PART_STOPPED   not wanted
 *   PART_UP        as it should be, as far as anybody knows
 *   PART_DEGRADED  works, but not all of it; a repair is tried when something changes
 *   PART_FAILED    does not work; a repair is due
 */

#include "core/mesh/env.h"

/* Between two repairs: none before the first, then doubling. Whoever takes the interface away with
 * intent is not fought all day; who has mended the cause waits no longer than this. */
#define PART_PAUSE_MIN_USEC USEC_PER_SEC
#define PART_PAUSE_MAX_USEC USEC_PER_MINUTE
/* A repair that held for so long is a repair; what happens then is news. */
#define PART_CALM_USEC (2 * PART_PAUSE_MAX_USEC)

typedef enum PartState {
        PART_STOPPED,
        PART_UP,
        PART_DEGRADED,
        PART_FAILED,
} PartState;

/* Each sets @ret_reason where it does not return 0: a sentence for people without its end, which
 * the part takes over. */
typedef struct PartOps {
        /* Is it as it should be? Changes nothing. Return: 0, or negative errno. */
        int (*check)(void *userdata, char **ret_reason);
        /* Makes it so, whatever is left of it. Return: 0; 1: but for something it can do without;
         * or negative errno. */
        int (*repair)(void *userdata, char **ret_reason);
        /* State or reason are new. @why: what was found and is repaired now; NULL: not that. */
        void (*changed)(void *userdata, PartState old, const char *why);
} PartOps;

typedef struct Part {
        const PartOps *ops;
        void *userdata;
        const MeshEnv *env;
        PartState state;
        char *reason;     /* NULL: there is nothing to say */
        unsigned repairs; /* in a row */
        usec_t repaired;  /* the last */
        Timer timer;      /* the next */
} Part;

/* All are borrowed. */
void part_init(Part *p, const PartOps *ops, void *userdata, const MeshEnv *env);
/* It is there, made by the owner. */
void part_start(Part *p);
/* The owner has changed it. @r, @reason: as .repair() returns; the text is taken over. */
void part_done(Part *p, int r, char *reason);
/* It is wanted no more; may be started again. */
void part_stop(Part *p);
/* Something happened that may have touched it: looks, and repairs. */
void part_changed(Part *p);

const char *part_state_to_string(PartState s);
