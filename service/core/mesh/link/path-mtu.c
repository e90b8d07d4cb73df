/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/path-mtu.h"

#include <assert.h>

#include "base/macros.h"

/*
 * Theory of operation
 *
 * Most paths carry full size, so that is asked first, and packets are as large until it was asked
 * in vain: then the base size is asked, and with its answer used. The search goes on from there:
 * full size again, since a probe may be lost for any reason, then the sizes that lines really have,
 * by halves; what passes costs a round trip, what does not three probes. What ends it need not be
 * the last byte, but it is that for every line of the table.
 *
 * Nothing but a probe says that a size passes. What ICMP says is not asked for (udp-socket.c),
 * since anybody can say it. That a size does not pass any more shows by its probes while large
 * packets are sent; three that are lost on a path that answers otherwise start the search over.
 */

/* MTUs of lines: PPPoE (RFC 2516, and with a tag), IPv6 in IPv4 (RFC 4213), GRE, L2TP, PPPoE in
 * tunnels as sold in Japan (1454), mobile networks, IPsec, WireGuard in WireGuard; between them so
 * close that no more than 20 bytes are lost. */
static const uint16_t lines[] = { 1320, 1340, 1360, 1372, 1380, 1392, 1400, 1412, 1420, 1430,
                                  1440, 1450, 1454, 1460, 1472, 1476, 1480, 1488, 1492 };

static const char *const states[] = {
        [PATH_MTU_STATE_BASE] = "base",
        [PATH_MTU_STATE_SEARCH] = "search",
        [PATH_MTU_STATE_COMPLETE] = "search-complete",
        [PATH_MTU_STATE_ERROR] = "error",
};
static_assert(ELEMENTSOF(states) == _PATH_MTU_STATE_MAX, "");

const char *path_mtu_state_to_string(PathMtuState state) {
        return states[state];
}

/* Between what passes and what does not. Return: 0: there is nothing to ask. */
static uint16_t candidate(const PathMtu *m) {
        unsigned first = 0, end = 0;

        if (m->over > m->max)
                return m->size < m->max ? m->max : 0;
        for (unsigned i = 0; i < ELEMENTSOF(lines); i++) {
                first += lines[i] <= m->size + m->headers;
                end += lines[i] < m->over + m->headers;
        }
        return first < end ? (uint16_t) (lines[(first + end) / 2] - m->headers) : 0;
}

void path_mtu_set_max(PathMtu *m, uint16_t max, uint16_t headers) {
        bool was_full = path_mtu_is_full(m);

        if (m->max == max && m->headers == headers)
                return;
        m->max = max;
        m->headers = headers;
        m->over = (uint16_t) (max + 1);
        m->size = MIN(m->size, max);
        if (was_full && m->size < max) {
                m->state = PATH_MTU_STATE_BASE;
                m->is_cautious = false;
        } else if (m->state == PATH_MTU_STATE_SEARCH || m->state == PATH_MTU_STATE_COMPLETE)
                m->state = m->size < max ? PATH_MTU_STATE_SEARCH : PATH_MTU_STATE_COMPLETE;
}

/* Whether to see if more passes by now. */
static bool may_raise(const PathMtu *m, usec_t large, usec_t now) {
        return large > 0 && now < large + PATH_MTU_RAISE_USEC &&
               now >= m->raised + PATH_MTU_RAISE_USEC;
}

/* Return: 0: nothing now. */
static uint16_t next_when_complete(const PathMtu *m, usec_t large, usec_t now) {
        if (large >= m->confirmed && large > 0 && now >= m->confirmed + PATH_MTU_CONFIRM_USEC)
                return m->size;
        return m->size < m->max && may_raise(m, large, now) ? m->over : 0;
}

/* Return: 0: nothing now. */
static uint16_t next_in_error(const PathMtu *m, bool is_active, usec_t large, usec_t now) {
        if (may_raise(m, large, now))
                return OMERTA_MTU_MIN;
        return is_active && m->size == 0 && m->missed < PATH_MTU_PROBES_MAX ? OMERTA_MTU_LEAST : 0;
}

uint16_t path_mtu_next(const PathMtu *m, bool is_active, usec_t large, usec_t now) {
        if (m->max == 0 || now < m->until)
                return 0;
        switch (m->state) {
        case PATH_MTU_STATE_BASE:
                return m->is_cautious ? OMERTA_MTU_MIN : m->max;
        case PATH_MTU_STATE_SEARCH:
                return is_active || m->over > m->max ? candidate(m) : 0;
        case PATH_MTU_STATE_COMPLETE:
                return is_active ? next_when_complete(m, large, now) : 0;
        case PATH_MTU_STATE_ERROR:
                return next_in_error(m, is_active, large, now);
        case _PATH_MTU_STATE_MAX:
                break;
        }
        return 0;
}

void path_mtu_asked(PathMtu *m, uint16_t size, usec_t now, usec_t timeout) {
        if (size != m->probed)
                m->missed = 0;
        m->probed = size;
        m->until = usec_add(now, timeout);
        if (size > m->size && m->state == PATH_MTU_STATE_COMPLETE)
                m->raised = now;
        if (size == OMERTA_MTU_MIN && m->state == PATH_MTU_STATE_ERROR)
                m->raised = now;
}

static void enter(PathMtu *m, PathMtuState state, usec_t now) {
        m->state = state;
        m->missed = 0;
        m->raised = now;
}

/* What is known passes; whether more may is looked at. */
static void go_on(PathMtu *m, usec_t now) {
        PathMtuState state = candidate(m) > 0 ? PATH_MTU_STATE_SEARCH : PATH_MTU_STATE_COMPLETE;

        if (state != m->state)
                enter(m, state, now);
}

void path_mtu_passed(PathMtu *m, uint16_t size, usec_t sent, usec_t now) {
        bool is_news = size > m->size || m->state == PATH_MTU_STATE_BASE;

        if (size == m->probed) {
                m->until = 0;
                m->missed = 0;
        }
        if (size >= m->size) {
                m->size = MIN(size, m->max);
                m->confirmed = sent;
        }
        /* Less than the base size: better than nothing, no more. */
        if (!is_news || m->size < OMERTA_MTU_MIN)
                return;
        /* The way is not what it was: all is to be asked again. */
        if (m->over <= m->size || m->state == PATH_MTU_STATE_COMPLETE ||
            m->state == PATH_MTU_STATE_ERROR)
                m->over = (uint16_t) (m->max + 1);
        go_on(m, now);
}

/* @size passed, and does not any more. */
static void start_over(PathMtu *m, uint16_t size, usec_t now) {
        m->size = 0;
        m->over = size;
        m->is_cautious = true;
        enter(m, size > OMERTA_MTU_MIN ? PATH_MTU_STATE_BASE : PATH_MTU_STATE_ERROR, now);
}

void path_mtu_missed(PathMtu *m, uint16_t size, bool heard, usec_t now) {
        bool is_lost;

        if (size != m->probed)
                return;
        m->until = 0;
        if (!heard)
                return;
        m->missed++;
        is_lost = m->missed >= PATH_MTU_PROBES_MAX;
        switch (m->state) {
        case PATH_MTU_STATE_BASE:
                if (is_lost && size <= OMERTA_MTU_MIN)
                        start_over(m, size, now);
                m->is_cautious = true;
                break;
        case PATH_MTU_STATE_SEARCH:
                if (!is_lost)
                        break;
                m->missed = 0;
                m->over = size;
                go_on(m, now);
                break;
        case PATH_MTU_STATE_COMPLETE:
                /* A larger one is asked once. */
                if (is_lost && size <= m->size)
                        start_over(m, size, now);
                break;
        case PATH_MTU_STATE_ERROR:
                if (is_lost && size <= m->size)
                        m->size = 0;
                break;
        case _PATH_MTU_STATE_MAX:
                break;
        }
}

uint16_t path_mtu_inner(const PathMtu *m) {
        if (m->state == PATH_MTU_STATE_BASE && !m->is_cautious)
                return m->max;
        if (m->state == PATH_MTU_STATE_ERROR)
                return MAX(m->size, (uint16_t) OMERTA_MTU_LEAST);
        return MAX(m->size, (uint16_t) OMERTA_MTU_MIN);
}
