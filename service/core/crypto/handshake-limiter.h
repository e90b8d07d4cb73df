/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which handshake initiations are worth an X25519 (docs/protocol.md, "mac1, mac2, cookies").
 *
 * Where a datagram says it comes from proves nothing: whoever forges an address must not be able to
 * use up what its owner is entitled to. So there are two accounts for each source, and the one of
 * those who have proved that they receive there (mac2) is charged for nothing else:
 *
 *   unproven   an address: 20 a second, burst 5; only while we are not under load
 *   proven     an address and port: 5 a second, burst 5. All ports of an address together: 100 a
 *              second for those that were quiet before, and as many for those that were not, so
 *              that one that never stops leaves its neighbours behind the same address alone. A
 *              port that a member came from lately is charged to itself only
 *
 * An address is an IPv4 address or an IPv6 /64. At most RATELIMIT_SOURCES_MAX accounts are
 * remembered; those that say nothing any more are forgotten first. Control thread only.
 */

#include <stdbool.h>

#include "base/endpoint.h"
#include "base/time.h"

typedef struct HandshakeLimiter HandshakeLimiter;

HandshakeLimiter *handshake_limiter_new(void);
HandshakeLimiter *handshake_limiter_free(HandshakeLimiter *l);

/* Counts one initiation for handshake_limiter_under_load(), whatever becomes of it. */
void handshake_limiter_count(HandshakeLimiter *l, usec_t now);
/* Return: true while more than HANDSHAKES_UNDER_LOAD a second arrive (looks back one second). */
bool handshake_limiter_under_load(HandshakeLimiter *l, usec_t now);
/* Charges an initiation that says it comes from @from. Return: false if that had too many. */
bool handshake_limiter_take_unproven(HandshakeLimiter *l, const Endpoint *from, usec_t now);
/* Charges one whose sender has shown that it receives at @from. Return: as above. */
bool handshake_limiter_take_proven(HandshakeLimiter *l, const Endpoint *from, usec_t now);
/* What was taken as proven from @from turned out to be a member's. */
void handshake_limiter_trust(HandshakeLimiter *l, const Endpoint *from, usec_t now);
/* Number of accounts remembered, for tests. */
unsigned handshake_limiter_size(const HandshakeLimiter *l);
