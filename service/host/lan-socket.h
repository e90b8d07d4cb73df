/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The sockets for LAN beacons (docs/protocol.md, "Type 6"): one of each family, at a port that all
 * daemons of a machine share, in the beacons' group on each interface. They never wait, and hand
 * out only what came from the same link as far as that can be told.
 *
 * Control thread only.
 */

#include "host/rtnl.h"

typedef struct LanSockets LanSockets;

/* A family that there is not, or whose port is somebody else's, is left out.
 * Return: 0, or negative errno: neither can be had. */
int lan_sockets_new(LanSockets **ret);
LanSockets *lan_sockets_free(LanSockets *s);
/* For the event loop; -EBADF: there is none. */
int lan_sockets_fd(const LanSockets *s, int family);

/* Joins the group on these, and leaves it elsewhere; @lans is copied. Return: whether there is an
 * interface or an address that there was not before. */
bool lan_sockets_set(LanSockets *s, const RtnlLan *lans, unsigned n);
/* Borrowed; as last set. */
const RtnlLan *lan_sockets_get(const LanSockets *s, unsigned *ret_n);

/* One datagram to the group: @way counts interfaces and their addresses. Return: 0, -ENOENT: there
 * is no such way, other negative errno: not sent there. */
int lan_sockets_send(const LanSockets *s, unsigned way, const uint8_t *data, size_t len);
/* Return: the length of a datagram, which may be cut to @size; 0: one that is nothing for us;
 * -EAGAIN: there is none. */
ssize_t
lan_sockets_receive(const LanSockets *s, int family, uint8_t *buf, size_t size, Endpoint *ret_from);
