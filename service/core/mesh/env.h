/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the core is handed of the world. The daemon fills it with clocks, getrandom() and UDP
 * sockets, the simulator with a counter, a seeded generator and a network model. Everything runs
 * on the control thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/ratelimit.h"
#include "base/resolver.h"
#include "base/time.h"
#include "base/timer.h"

typedef struct MeshEnv {
        void *userdata;
        TimerQueue *timers;
        usec_t (*now)(void *userdata);      /* monotonic; goes on during suspend (CLOCK_BOOTTIME) */
        usec_t (*realtime)(void *userdata); /* Unix time */
        /* The kernel knows that somebody keeps it right (NTP). NULL: it never knows. */
        bool (*is_synchronised)(void *userdata);
        void (*random)(void *userdata, void *buf, size_t n);
        /* Sends one datagram, from @to->local if that is set and still an address of this machine;
         * behind a relay (@to->relay) with the header for that in front (core/wire/relayed.h); to a
         * TCP endpoint by the connection there is, or one that is made (docs/protocol.md,
         * "Streams"). Return: 0 or negative errno; nobody depends on it arriving. */
        int (*send)(void *userdata, const Endpoint *to, const uint8_t *data, size_t len);
        /* Sends @n datagrams of @len bytes each, which are one behind the other at @data, to a UDP
         * endpoint, as one train that the kernel or the device cuts (UDP_SEGMENT); from where, as
         * send(). NULL: packets never leave so. Return: 0, -EOPNOTSUPP: packets do not leave so,
         * or other negative errno. */
        int (*send_train)(void *userdata, const Endpoint *to, const uint8_t *data, size_t len, unsigned n);
        /* Sends one datagram to whoever listens for beacons (core/wire/messages.h) in a broadcast
         * domain of this machine: the @way-th interface, family and address, counted from 0. NULL:
         * there are none. Return: 0, -ENOENT: there are no more ways, or other negative errno. */
        int (*multicast)(void *userdata, unsigned way, const uint8_t *data, size_t len);
        /* How many probes to places that have not answered this machine may send in all its
         * networks (core/mesh/link/paths.c); zeros at first. NULL: each network has its own. */
        RateLimit *probes;
        const Resolver *resolver; /* NULL: names are not looked up */
        /* Calls @destroy(@object) when no packet thread can still look at @object. */
        void (*retire)(void *userdata, void *object, void (*destroy)(void *object));
} MeshEnv;

static inline usec_t env_now(const MeshEnv *env) {
        return env->now(env->userdata);
}
static inline usec_t env_realtime(const MeshEnv *env) {
        return env->realtime(env->userdata);
}
static inline void env_random(const MeshEnv *env, void *buf, size_t n) {
        env->random(env->userdata, buf, n);
}
