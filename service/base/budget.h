/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A budget of work: a token bucket filled with time. Work is charged after it was done, or while it
 * is, so one piece may go below nothing; then nothing more is done until that is made up for. */

#include <stdbool.h>

#include "base/macros.h"
#include "base/time.h"

/* All zero: full. */
typedef struct Budget {
        usec_t full_at; /* monotonic: when nothing that was charged is left */
} Budget;

/* @cost: of the work; @part: one in so many microseconds may be spent. */
static inline void budget_charge(Budget *b, usec_t now, usec_t cost, unsigned part) {
        b->full_at = usec_add(MAX(b->full_at, now), cost * part);
}
/* When something may be done again, perhaps long ago. @burst: work that may be done at once after a
 * rest. */
static inline usec_t budget_next(const Budget *b, usec_t burst, unsigned part) {
        return usec_sub(b->full_at, burst * part);
}
static inline bool budget_has_left(const Budget *b, usec_t now, usec_t burst, unsigned part) {
        return now >= budget_next(b, burst, part);
}
