/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Resolver (base/resolver.h) by this machine's name service. getaddrinfo() may take a minute, so
 * each look-up has a thread of its own, one at a time; the others wait in line. Nobody waits for
 * the thread: it has all it needs, says what it found by a socket, and ends. Control thread only.
 */

#include <systemd/sd-event.h>

#include "base/resolver.h"

typedef struct NameLookup NameLookup;

/* What the thread calls. Return: how many addresses, at most @max; or negative errno. */
typedef int (*NameLookupFunction)(const char *name, IpAddr *ret, unsigned max);

/* @look: NULL: getaddrinfo(). */
NameLookup *name_lookup_new(sd_event *event, NameLookupFunction look);
/* Nobody is told any more; a look-up under way goes on until it ends by itself. */
NameLookup *name_lookup_free(NameLookup *l);
/* Borrowed. */
const Resolver *name_lookup_resolver(const NameLookup *l);
