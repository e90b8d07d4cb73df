/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Is a machine still there? One monitor a machine, shared by all sessions to it.
 *
 * Whatever arrives from the machine shows that it is: a link in use is not probed. When nothing
 * came for an interval a probe is sent; a missed one is repeated at once, and after
 * probe_misses_max in a row (3 x 2 s) the machine counts as degraded and the mesh is told to
 * repair the link, again with every further probe_misses_max misses. The interval is
 * probe_interval while sessions carry something and doubles with every probe up to
 * probe_interval_idle when they do not.
 */

#include "core/mesh/channel.h"
#include "core/tunnel/pool.h"

typedef struct Health Health;

/* The monitor may be freed by any of these. */
typedef struct HealthHandler {
        void *userdata;
        void (*changed)(void *userdata, bool degraded);
        /* The mesh does not know this machine any more: it left or was revoked. */
        void (*gone)(void *userdata);
        /* Latest time a session to the machine carried something. */
        usec_t (*last_activity)(void *userdata);
} HealthHandler;

/* @provider and @config are borrowed. */
Health *
health_new(const ChannelProvider *provider,
           const MachineId *machine,
           const SessionPoolConfig *config,
           const HealthHandler *handler);
Health *health_free(Health *h);
/* The first session is active: measures the round trip at once. May be called again. */
void health_start(Health *h);
/* What was known may no longer hold (network changed): probe now, and often. */
void health_probe_now(Health *h);
void health_link_up(Health *h);
void health_link_down(Health *h);

bool health_is_degraded(const Health *h);
/* Smoothed (RFC 6298, 2.3: 1/8); 0: not known. */
usec_t health_rtt(const Health *h);
