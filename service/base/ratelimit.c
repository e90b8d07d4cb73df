/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/ratelimit.h"

#include "base/macros.h"

bool ratelimit_take(RateLimit *rl, usec_t now) {
        usec_t full_at = MAX(rl->full_at, now) + rl->interval;

        if (full_at - now > rl->interval * rl->burst)
                return false;
        rl->full_at = full_at;
        return true;
}
