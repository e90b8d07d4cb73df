/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which of two paths is better, and when that is worth a move. */

#include "base/ip.h"
#include "base/macros.h"
#include "core/mesh/link/path.h"
#include "core/wire/messages.h"

/* Faster by less than the greater of a fifth and this is no reason to move: Tailscale's 1 % flaps,
 * a Wi-Fi's round trip moves by that much by itself. */
#define WORTH_MOVING_USEC (10 * USEC_PER_MSEC)
#define WORTH_MOVING_PART 5U
/* From one relay to another: both sides move, each by its own figures. */
#define WORTH_MOVING_RELAY_PART 3U

bool path_is_local_address(const Endpoint *endpoint) {
        IpAddr a = endpoint_address(endpoint);

        if (a.family == AF_INET6)
                return (a.bytes[0] & 0xfe) == 0xfc ||
                       (a.bytes[0] == 0xfe && (a.bytes[1] & 0xc0) == 0x80) ||
                       IN6_IS_ADDR_LOOPBACK(&endpoint->in6.sin6_addr);
        return a.bytes[0] == 10 || a.bytes[0] == 127 || (a.bytes[0] == 192 && a.bytes[1] == 168) ||
               (a.bytes[0] == 172 && (a.bytes[1] & 0xf0) == 16) ||
               (a.bytes[0] == 169 && a.bytes[1] == 254);
}

PathTier path_tier_of(PathOrigin origin, const Endpoint *endpoint) {
        if (endpoint_is_stream(endpoint))
                return endpoint_is_relayed(endpoint) ? PATH_TIER_STREAM_RELAYED : PATH_TIER_STREAM;
        if (endpoint_is_relayed(endpoint))
                return PATH_TIER_RELAYED;
        if (origin == PATH_LAN || path_is_local_address(endpoint))
                return PATH_TIER_LAN;
        return origin == PATH_MAPPED ? PATH_TIER_TRANSLATED : PATH_TIER_PUBLIC;
}

PathTier path_tier_of_ours(const Endpoint *endpoint) {
        return endpoint_is_plain(endpoint) ? PATH_TIER_PUBLIC : path_tier_of(PATH_SEEN, endpoint);
}

static int compare(unsigned a, unsigned b) {
        return a < b ? -1 : a > b;
}

int path_compare_kind(const Path *a, const Path *b) {
        int c = compare(MAX(a->theirs, a->ours), MAX(b->theirs, b->ours));

        if (c == 0)
                c = compare(MIN(a->theirs, a->ours), MIN(b->theirs, b->ours));
        return c;
}

static bool are_relayed(const Path *a, const Path *b) {
        return endpoint_is_relayed(&a->endpoint) && endpoint_is_relayed(&b->endpoint);
}

usec_t path_relay_limit(const Path *path) {
        return usec_sub(path->srtt, MAX(path->srtt / WORTH_MOVING_RELAY_PART, WORTH_MOVING_USEC));
}

static bool is_faster(const Path *path, const Path *than) {
        if (path->srtt == 0 || than->srtt == 0)
                return false;
        if (are_relayed(path, than))
                return path->srtt < path_relay_limit(than);
        return path->srtt + MAX(than->srtt / WORTH_MOVING_PART, WORTH_MOVING_USEC) < than->srtt;
}

/* Only what was found out counts, or each probe that is lost would move packets. */
static bool is_larger(const Path *path, const Path *than) {
        return path_mtu_is_full(&path->mtu) && path_mtu_is_small(&than->mtu);
}

static int family_rank(const Path *path) {
        return path->endpoint.sa.sa_family == AF_INET6 ? 0 : 1;
}

bool path_is_worth_moving(const Path *path, const Path *active) {
        int c = path_compare_kind(path, active);

        if (c != 0)
                return c < 0;
        if (is_larger(path, active) || is_larger(active, path))
                return is_larger(path, active);
        if (is_faster(path, active))
                return true;
        /* IPv6 has no translator that forgets; and once there it stays. */
        return !are_relayed(path, active) && family_rank(path) < family_rank(active) &&
               path->srtt > 0 && path->srtt <= active->srtt;
}

uint16_t path_inner_mtu(const Endpoint *endpoint, uint16_t mtu) {
        if (!endpoint_is_relayed(endpoint) || mtu <= OMERTA_MTU_MIN)
                return mtu;
        return MAX((uint16_t) (mtu - RELAY_HEADER_SIZE), (uint16_t) OMERTA_MTU_MIN);
}

uint16_t path_headers(const Endpoint *endpoint) {
        unsigned ip = endpoint->sa.sa_family == AF_INET6 ? 40 : 20, udp = 8;

        return (uint16_t) (ip + udp + (endpoint_is_relayed(endpoint) ? RELAY_HEADER_SIZE : 0) + DATA_OVERHEAD);
}

bool path_is_ready(const Path *path, uint16_t size, usec_t now) {
        return path->state == PATH_WORKS && path->mtu.size >= size &&
               now <= usec_add(path->last_answered, PATH_FRESH_USEC);
}

/* Among those that work the order is total, so that everybody's best is the same. */
static bool is_better(const Path *a, const Path *b) {
        int c = path_compare_kind(a, b);

        if (c == 0)
                c = is_larger(a, b) ? -1 : is_larger(b, a);
        if (c == 0 && a->srtt != b->srtt && (is_faster(a, b) || is_faster(b, a)))
                c = a->srtt < b->srtt ? -1 : 1;
        if (c == 0)
                c = compare(family_rank(a), family_rank(b));
        if (c == 0)
                c = compare(a->srtt > b->srtt, a->srtt < b->srtt);
        return c < 0;
}

Path *path_set_best(PathSet *set, unsigned but, uint16_t size, usec_t now) {
        Path *best = NULL;

        for (unsigned i = 0; i < set->n; i++) {
                Path *p = &set->path[i];

                if (!(but & 1U << i) && path_is_ready(p, size, now) && (!best || is_better(p, best)))
                        best = p;
        }
        return best;
}

static PathReason reason_of_working(const Path *path, const Path *active, usec_t now) {
        if (path->mtu.state == PATH_MTU_STATE_ERROR)
                return PATH_REASON_SMALL_ONLY;
        if (!path_is_ready(path, 0, now))
                return PATH_REASON_STALE;
        if (active && path_compare_kind(path, active) > 0)
                return PATH_REASON_WORSE_KIND;
        if (active && is_larger(active, path))
                return PATH_REASON_SMALLER;
        if (active && is_faster(active, path))
                return PATH_REASON_SLOWER;
        return PATH_REASON_SPARE;
}

PathReason path_set_reason(const PathSet *set, const Path *path, usec_t now) {
        const Path *active = path_set_active(set);

        if (path == active)
                return path->state == PATH_DOUBTED || path->state == PATH_SILENT
                                       ? PATH_REASON_DISTRESS
                       : path->mtu.state == PATH_MTU_STATE_ERROR ? PATH_REASON_ACTIVE_SMALL
                                                                 : PATH_REASON_ACTIVE;
        switch (path->state) {
        case PATH_UNTRIED:
                return path->last_received > 0 && path->n_lost > 0 ? PATH_REASON_ONE_WAY
                                                                   : PATH_REASON_UNTRIED;
        case PATH_WORKS:
                return reason_of_working(path, active, now);
        case PATH_DOUBTED:
        case PATH_SILENT:
        case _PATH_STATE_MAX:
                break;
        }
        if (path->last_answered > 0)
                return PATH_REASON_LOST;
        return path->last_received > 0 ? PATH_REASON_ONE_WAY : PATH_REASON_NO_ANSWER;
}
