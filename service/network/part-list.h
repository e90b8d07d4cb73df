/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The parts of one network, each standing on those before it: started in this order, stopped in the
 * reverse, and told in this order what changed. A part that is made anew takes down those above it
 * first, and they are started again when it is there. Without I/O; control thread only.
 */

#include <glib.h>

#include "network/part.h"

struct PartList {
        GPtrArray *parts; /* borrowed */
        void (*reported)(void *userdata, const Part *p);
        void *userdata;
};

/* @reported: a part has another state or reason, after it said so itself; may be NULL. */
void part_list_init(PartList *l, void (*reported)(void *userdata, const Part *p), void *userdata);
/* The parts are stopped. */
void part_list_done(PartList *l);
/* On top. Its memory is the caller's and outlives the list. */
void part_list_add(PartList *l, Part *p);

/**
 * part_list_start() - start those that are stopped
 *
 * All that are needed, or none; with @insist what is needed and does not start is tried again by
 * itself, and those above it wait. What is not needed is in any case.
 * Return: 0, or negative errno and *@ret_reason, why the first that is needed did not start, which
 * the caller frees; then those that had started are stopped again.
 */
int part_list_start(PartList *l, bool insist, char **ret_reason);
void part_list_stop(PartList *l, bool for_good);

/* Tells each that is not stopped. @what: of PartChange. */
void part_list_changed(PartList *l, unsigned what);

/* Those above one that is about to be made anew, and again when it is there. */
void part_stop_above(Part *p, bool for_good);
void part_start_above(Part *p);
/* As part_list_changed(), those above one alone. */
void part_tell_above(Part *p, unsigned what);

/* The first part in @state, the lowest: what troubles it may be what troubles those above.
 * @only_with_word: among those whose state has a word of its own. NULL: there is none. */
const Part *part_list_find(const PartList *l, PartState state, bool only_with_word);

/* For part.c. */
void part_list_reported(PartList *l, Part *p);
