/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Looks up names in the DNS for code that may not block. The daemon's is host/name-lookup.h; tests
 * have a table and a virtual clock. Control thread only.
 */

#include "base/ip.h"

/* @error: 0; -ENOENT: there is no such name, or no address of it; -EAGAIN: nobody answers, it may
 * be there later; other negative errno. @addresses: as they came, not looked at; valid during the
 * call, as many as the implementation has room for. */
typedef void (*ResolverDone)(void *userdata, int error, const IpAddr *addresses, unsigned n);

typedef struct ResolverOps {
        /* @done is called once, never from here. Return: 0, or -ENOBUFS: too many wait. */
        int (*start)(void *self, const char *name, ResolverDone done, void *userdata);
        /* Those started with @userdata end without a call; there may be none. */
        void (*cancel)(void *self, const void *userdata);
} ResolverOps;

typedef struct Resolver {
        const ResolverOps *ops;
        void *self;
} Resolver;
