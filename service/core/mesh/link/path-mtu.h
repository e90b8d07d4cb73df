/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How large packets may be that go by one path, found out by asking (RFC 8899, DPLPMTUD). Sizes are
 * of inner packets. Here is what to ask next and what an answer or its absence means, without
 * clocks, timers or sending: link/paths.c sends the probes and says when they were answered.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "core/wire/messages.h"

/* RFC 8899 5.1.2: BASE_PLPMTU is OMERTA_MTU_MIN, MIN_PLPMTU OMERTA_MTU_LEAST; so many probes of one
 * size in a row are lost before it is taken for too large (MAX_PROBES). */
#define PATH_MTU_PROBES_MAX 3U
/* While large packets are sent the size in use is asked again so often (CONFIRMATION_TIMER)... */
#define PATH_MTU_CONFIRM_USEC (3 * USEC_PER_SEC)
/* ...and a larger one so often (PMTU_RAISE_TIMER). RFC 8899 says 600 s; after a change of the way a
 * minute is soon enough, and a probe a minute costs nothing where large packets are sent. */
#define PATH_MTU_RAISE_USEC USEC_PER_MINUTE

/* RFC 8899 5.2 */
typedef enum PathMtuState {
        PATH_MTU_STATE_BASE,     /* nothing is known to pass */
        PATH_MTU_STATE_SEARCH,   /* something does, and more may */
        PATH_MTU_STATE_COMPLETE, /* SEARCH_COMPLETE */
        PATH_MTU_STATE_ERROR,    /* not even BASE_PLPMTU passes */
        _PATH_MTU_STATE_MAX,
} PathMtuState;
const char *path_mtu_state_to_string(PathMtuState state);

/* All zeros: of a path nothing is known of. */
typedef struct PathMtu {
        PathMtuState state;
        uint16_t max;     /* MAX_PLPMTU: full size; 0: nothing was ever asked */
        uint16_t headers; /* of a datagram, from the outer IP header to the inner one */
        uint16_t size;    /* PLPMTU: known to pass; 0: nothing is */
        uint16_t over;    /* the least that is known not to pass, or max + 1 */
        uint16_t probed;  /* PROBED_SIZE: what was asked last; 0: nothing */
        unsigned missed;  /* PROBE_COUNT: of that, in a row */
        bool is_cautious; /* full size was asked in vain */
        usec_t until;     /* monotonic: when the answer is late; 0: none is waited for */
        usec_t confirmed; /* monotonic: when the last probe of @size was sent that was answered */
        usec_t raised;    /* monotonic: when a larger one was asked, or the search ended */
} PathMtu;

/* Full size is @max, and what is known still holds; where that was full size, so is the new one,
 * until it was asked. @headers: as above. */
void path_mtu_set_max(PathMtu *m, uint16_t max, uint16_t headers);
/**
 * path_mtu_next() - what to ask
 * @is_active: the path is in use, so the size is looked for; else only whether full or base size
 *             passes
 * @large: monotonic: when a packet of OMERTA_MTU_LEAST or more was last sent there; of a path that
 * is not active, when anything was sent by another; 0: never
 *
 * Return: a size, or 0: nothing now.
 */
uint16_t path_mtu_next(const PathMtu *m, bool is_active, usec_t large, usec_t now);
/* It was asked, and is to be answered within @timeout. */
void path_mtu_asked(PathMtu *m, uint16_t size, usec_t now, usec_t timeout);
/* A probe of @size that was sent at @sent was answered. */
void path_mtu_passed(PathMtu *m, uint16_t size, usec_t sent, usec_t now);
/* It was not. @heard: though something came by the path meanwhile. Else it is no matter of size. */
void path_mtu_missed(PathMtu *m, uint16_t size, bool heard, usec_t now);
/* What packets may be: the size that is known, full size before anything was asked in vain.
 * Return: from OMERTA_MTU_LEAST to full size, which was set. */
uint16_t path_mtu_inner(const PathMtu *m);

static inline bool path_mtu_is_full(const PathMtu *m) {
        return m->state == PATH_MTU_STATE_COMPLETE && m->size >= m->max;
}
/* Full size was looked for and does not pass. */
static inline bool path_mtu_is_small(const PathMtu *m) {
        return m->state == PATH_MTU_STATE_ERROR || (m->size < m->max && m->over <= m->max);
}
