/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What lwIP asks of a platform (its doc/sys_arch.txt) beyond its defaults for hosted C. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* A broken invariant in a network stack is the first half of an exploit. */
#define LWIP_PLATFORM_ASSERT(text)                                                                 \
        do {                                                                                       \
                fprintf(stderr, "lwIP: %s (%s:%d)\n", text, __FILE__, __LINE__);                   \
                abort();                                                                           \
        } while (0)
#define LWIP_PLATFORM_DIAG(text)                                                                   \
        do {                                                                                       \
        } while (0)

static inline unsigned lwip_port_random(void) {
        unsigned v = 0;

        (void) !getrandom(&v, sizeof v, 0);
        return v;
}
#define LWIP_RAND() lwip_port_random()

#define LWIP_TIMEVAL_PRIVATE 0
#include <sys/time.h>
