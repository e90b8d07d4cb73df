/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reach-world.h"

/*
 * The matrix of docs/reach.md. A letter is a cell: what a pair gets now at least, and what it is
 * to get. What is not reached yet has a small letter, which stands for RELAYS_NOW, PUNCHED_NOW and
 * PREDICTED_NOW (reach-world.h).
 */

/* A table: */
/* clang-format off */
#define D { DIRECT, DIRECT }
#define d { PUNCHED_NOW, DIRECT }
#define p { PREDICTED_NOW, DIRECT }
#define r { RELAYS_NOW, RELAYED }

/* Row: who speaks first. A random side against one that is no better than easy may become direct
 * by chance; it is relayed at least. */
static const Expected matrix[_END_MAX][_END_MAX] = {
        /*                   open              predictable     double      only6
         *                       firewall          random          carrier     blocked
         *                           cone              mapped          dual
         *                               easy */
        [END_OPEN]        = { D,  D,  D,  D,  D,  D,  D,  D,  D,  D,  r,  r },
        [END_FIREWALL]    = { D,  d,  d,  d,  p,  r,  D,  d,  d,  d,  r,  r },
        [END_CONE]        = { D,  d,  d,  d,  d,  d,  D,  d,  d,  d,  r,  r },
        [END_EASY]        = { D,  d,  d,  d,  p,  r,  D,  d,  d,  d,  r,  r },
        [END_PREDICTABLE] = { D,  p,  d,  p,  p,  r,  D,  p,  p,  p,  r,  r },
        [END_RANDOM]      = { D,  r,  d,  r,  r,  r,  D,  r,  r,  r,  r,  r },
        [END_MAPPED]      = { D,  D,  D,  D,  D,  D,  D,  D,  D,  D,  r,  r },
        [END_DOUBLE]      = { D,  d,  d,  d,  p,  r,  D,  d,  d,  d,  r,  r },
        [END_CARRIER]     = { D,  d,  d,  d,  p,  r,  D,  d,  d,  d,  r,  r },
        [END_DUAL]        = { D,  d,  d,  d,  p,  r,  D,  d,  d,  d,  d,  r },
        [END_ONLY6]       = { r,  r,  r,  r,  r,  r,  r,  r,  r,  d,  d,  r },
        [END_BLOCKED]     = { r,  r,  r,  r,  r,  r,  r,  r,  r,  r,  r,  r },
};
#undef D
#undef d
#undef p
#undef r
/* clang-format on */

const Expected *reach_expected(End from, End to) {
        return &matrix[from][to];
}
