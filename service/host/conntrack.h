/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Flows that the kernel tracks (ctnetlink), for who wants to see them. One request, which the
 * kernel answers from memory: with a hundred thousand flows that is some ten milliseconds of work.
 * Needs CAP_NET_ADMIN. Control thread only.
 */

#include <glib.h>

#include "base/ip.h"

typedef struct ConntrackFlow {
        uint8_t protocol; /* IPPROTO_ */
        IpAddr source, destination;
        uint16_t source_port, destination_port; /* 0: it has none */
        bool is_answered;
        uint32_t timeout; /* seconds, until it is forgotten if nothing comes */
        /* Both are 0 where the kernel does not count (net.netfilter.nf_conntrack_acct). */
        uint64_t bytes_out, bytes_in;
} ConntrackFlow;

/**
 * conntrack_list() - flows from a prefix to outside of it
 * @max: more are counted, and not shown
 * @ret: of ConntrackFlow, the caller unrefs
 *
 * Return: how many there are, or negative errno.
 */
int conntrack_list(const IpPrefix *from, unsigned max, GArray **ret);
