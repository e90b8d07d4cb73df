/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Allocation number -> where its datagrams go, read by packet threads without waiting, written by
 * the control thread, as crypto/index-table.h. The low bits of a number are the slot, the others
 * are random, so that an old number is not mistaken for a new one. One table serves all networks
 * of a daemon.
 *
 * A number is reserved with an allocation, and leads somewhere while the relay has links with both
 * sides. Number 0 is never given.
 */

#include <stdatomic.h>

#include "base/endpoint.h"
#include "base/limits.h"
#include "base/time.h"

/* Endpoints of one machine that its datagrams may come from: its paths to us. */
#define RELAY_SOURCES_MAX 4U

/* One member that sends through us, in all its allocations; of one network. */
typedef struct RelayShare {
        uint64_t rate;  /* bytes a second; does not change */
        uint64_t burst; /* bytes */
        /* Packet thread. */
        uint64_t tokens;
        usec_t filled;
        uint64_t window, window_bytes; /* dataplane/relay.c */
} RelayShare;

/* One allocation; outlives its routes. Written by the packet thread, read by anybody. */
typedef struct RelayUse {
        _Atomic uint64_t datagrams, bytes; /* passed on; bytes without our header */
        _Atomic usec_t last;               /* monotonic; 0: nothing yet */
} RelayUse;

/* Immutable once published. */
typedef struct RelayRoute {
        uint32_t number;
        unsigned n_from;
        Endpoint from[RELAY_SOURCES_MAX]; /* it must come from one of these */
        Endpoint to;                      /* with the number it has there */
        RelayShare *share;                /* of who sends; borrowed, as the next */
        RelayUse *use;
} RelayRoute;

typedef struct RelayTable RelayTable;

RelayTable *relay_table_new(void);
RelayTable *relay_table_free(RelayTable *t);

/**
 * relay_table_reserve() - a number nobody has
 * @random: 32 random bits, of which those beside the slot are taken
 * Return: 0, or -ENOBUFS when all are in use.
 */
int relay_table_reserve(RelayTable *t, uint32_t random, uint32_t *ret);
/**
 * relay_table_publish() - where a number leads from now on
 * @route: the table's now; NULL: nowhere
 * Return: where it led before, to be retired by the caller (MeshEnv.retire); NULL: nowhere.
 */
RelayRoute *relay_table_publish(RelayTable *t, uint32_t number, RelayRoute *route);
/* Gives the number back, which leads nowhere any more. */
void relay_table_release(RelayTable *t, uint32_t number);
unsigned relay_table_used(const RelayTable *t);

/* Any thread. Return: route valid until the reader's next quiescent state, or NULL. */
const RelayRoute *relay_table_lookup(const RelayTable *t, uint32_t number);
