/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Engines whose connections are the kernel's sockets: of this network namespace (tun) or of one of
 * our own (kernel). They differ in who makes the socket. Control thread only. */

#include "netif/netstack-internal.h"

typedef struct NetstackSockets NetstackSockets;

/* Embedded first. */
struct NetstackSockets {
        Netstack netstack;
        /* Non-blocking, CLOEXEC; or negative errno. */
        int (*make)(NetstackSockets *s, int family, int type, int protocol);
        char interface[16]; /* IFNAMSIZ; what is bound is bound to it; "": to nothing */
        GHashTable *relays; /* UdpRelay -> itself: the UDP associations */
};

void netstack_sockets_init(NetstackSockets *s, const NetstackOps *ops, sd_event *event);
void netstack_sockets_done(NetstackSockets *s);

/* For NetstackOps. */
int netstack_sockets_dial(NetstackCall *c, const IpAddr *address, uint16_t port);
int netstack_sockets_listen(NetstackCall *c, uint16_t port, unsigned backlog, uint16_t *ret_port);
int netstack_sockets_udp(NetstackCall *c, uint16_t port);
int netstack_sockets_echo(NetstackCall *c, const IpAddr *address, size_t payload);
void netstack_sockets_forget(NetstackCall *c);
