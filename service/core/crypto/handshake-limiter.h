/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Handshakes a second: per source (20/s, burst 5; IPv6 sources are counted by /64) and in all,
 * which decides whether we are under load. At most RATELIMIT_SOURCES_MAX sources are remembered;
 * full buckets are forgotten first.
 */

#include <stdbool.h>

#include "base/endpoint.h"
#include "base/time.h"

typedef struct HandshakeLimiter HandshakeLimiter;

HandshakeLimiter *handshake_limiter_new(void);
HandshakeLimiter *handshake_limiter_free(HandshakeLimiter *l);

/* Counts one handshake message. Return: false if its source had too many. */
bool handshake_limiter_take(HandshakeLimiter *l, const Endpoint *from, usec_t now);
/* Return: true while more than HANDSHAKES_UNDER_LOAD a second arrive (looks back one second). */
bool handshake_limiter_under_load(HandshakeLimiter *l, usec_t now);
/* Number of sources remembered, for tests. */
unsigned handshake_limiter_size(const HandshakeLimiter *l);
