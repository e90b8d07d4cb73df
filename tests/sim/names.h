/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A name server on the virtual clock, for one node: each question takes a while, and is counted. */

#include "sim.h"

typedef struct SimNames SimNames;

/* @n asks it from now on. */
SimNames *sim_names_new(SimNode *n, usec_t takes);
/* @n is asked by nobody any more. */
SimNames *sim_names_free(SimNames *s);

/* Where @name leads to: addresses with spaces between them; NULL: there is no such name. */
void sim_names_set(SimNames *s, const char *name, const char *addresses);
/* Nobody answers. */
void sim_names_silence(SimNames *s, bool silent);
unsigned sim_names_asked(const SimNames *s);
/* Questions that wait for their answer. */
unsigned sim_names_waiting(const SimNames *s);
