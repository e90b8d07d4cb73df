/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One token bucket. The table of buckets per source is core/crypto/handshake-limiter.h. */

#include <stdbool.h>

#include "base/time.h"

typedef struct RateLimit {
        usec_t interval; /* time one token takes to come back */
        unsigned burst;  /* tokens of a full bucket */
        usec_t full_at;  /* when the bucket will be full again */
} RateLimit;

/* Takes a token. Return: false if there is none. */
bool ratelimit_take(RateLimit *rl, usec_t now);
/* Whether there is one to take. */
bool ratelimit_has(const RateLimit *rl, usec_t now);
