/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/ratelimit.h"

#include "base/macros.h"

bool ratelimit_has(const RateLimit *rl, usec_t now) {
        return MAX(rl->full_at, now) + rl->interval - now <= rl->interval * rl->burst;
}

bool ratelimit_take(RateLimit *rl, usec_t now) {
        if (!ratelimit_has(rl, now))
                return false;
        rl->full_at = MAX(rl->full_at, now) + rl->interval;
        return true;
}
