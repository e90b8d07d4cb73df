/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What an exit leads nobody to, unless it is granted: all that is not the internet. Private,
 * shared, loopback, link-local and multicast addresses, what is reserved; the networks this machine
 * is connected to, whatever addresses they have; and the ways to write an IPv4 address of these as
 * an IPv6 one. Without I/O.
 */

#include <glib.h>

#include "base/ip.h"

/* Both are included. */
typedef struct ExitRange {
        IpAddr first, last;
} ExitRange;

ExitRange exit_range_of(const IpPrefix *p);
/* Sorts @ranges, all of one family. Return: those that overlap or touch are one; the caller unrefs. */
GArray *exit_ranges_merge(GArray *ranges);

/**
 * exit_ranges() - what is denied in one family
 * @links: of both families, of IpPrefix: what this machine is connected to
 *
 * Return: of ExitRange, in ascending order, apart from each other; the caller unrefs.
 */
GArray *exit_ranges(int family, const GArray *links);
