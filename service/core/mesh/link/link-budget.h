/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What one machine may make the control thread do; the theory is in link-budget.c. Control thread
 * only. */

#include "core/mesh/link/link.h"

/* @cost: COST_* (core/mesh/mesh.h), of something done for the link's machine. */
void link_charge(Link *link, usec_t cost);
/* Whether anything more may be done for it now. */
bool link_has_budget(const Link *link);
