/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An interface for tests: queues instead of a kernel. (Phase 5 of the original specification:
 * simulateAppSend, getAppReceived.) The functions below may be called by any thread. */

#include <glib.h>

#include "netif/netif.h"

Netif *mock_netif_new(const char *name);
/* A local program sends this packet; @offload NULL: nothing left to hardware. */
void mock_netif_app_send(Netif *n, const void *packet, size_t len, const OffloadInfo *offload);
/* @ret_offload: may be NULL.
 * Return: the next packet the network delivered (caller unrefs), or NULL. */
GBytes *mock_netif_app_received(Netif *n, OffloadInfo *ret_offload);
/* As a kernel that takes no super-packets though it said it would. */
void mock_netif_refuse_gso(Netif *n, bool refuse);
/* What configure() was last given. */
IpAddr mock_netif_address(Netif *n);
