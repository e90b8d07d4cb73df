/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Our own presence record: where we can be reached. Renewed when that changes and at half of its
 * life while anybody is linked to us; a machine without links has nobody to tell. */

#include "core/mesh/mesh.h"

#define PRESENCE_LIFETIME USEC_PER_HOUR

typedef struct Presence Presence;

Presence *presence_new(Mesh *m);
Presence *presence_free(Presence *p);
/* Endpoints, membership or links changed: look, in a moment, whether it is still true. */
void presence_changed(Presence *p);
