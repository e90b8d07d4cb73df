/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * omerta0: a kernel tun with vnet_hdr and TSO/USO offloads (Documentation/networking/tuntap.rst),
 * multi-queue ready. Addresses, MTU, txqueuelen by rtnetlink (host/rtnl.h), never a subprocess.
 */

#include "netif/netif.h"

struct RtnlOps;

typedef struct TunOptions {
        const char *name;   /* "omerta0", or "omerta%d" */
        int fd;             /* of a former life (fd store), taken over; -EBADF: open a new one */
        unsigned queue_len; /* packets; 0: 100 */
        bool single_queue;  /* default is IFF_MULTI_QUEUE */
        /* With @fd: of an interface in another network namespace, where its name says nothing
         * here; configure() must then be called there. 0: of this one. */
        unsigned ifindex;
} TunOptions;

/**
 * tun_new() - open or adopt a tun interface
 * @ret_error: on failure a sentence that says what is missing and how to get it ("/dev/net/tun
 *             does not exist: modprobe tun", "needs CAP_NET_ADMIN: ..."); the caller frees
 * Return: 0 or negative errno.
 */
int tun_new(const TunOptions *options, Netif **ret, char **ret_error);
/* The fd to keep in the fd store; borrowed. */
int tun_fd(Netif *n);
