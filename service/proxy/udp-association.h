/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * RFC 1928's UDP ASSOCIATE: datagrams of one client between a socket of this machine and the
 * networks, each reached when the first datagram goes there. Takes datagrams only from the address
 * of the client's TCP connection and, as soon as it is known (from the request, else from the first
 * valid datagram), from that port alone. Whatever cannot be carried is dropped, as datagrams are.
 * Control thread only.
 */

#include <systemd/sd-event.h>

#include "base/endpoint.h"
#include "proxy/proxy.h"

typedef struct UdpAssociation UdpAssociation;

/* Room for a datagram and what stands before it; contents matter during one call only, so all
 * associations may share it. */
#define UDP_ASSOCIATION_BUFFER_SIZE (64U * 1024U + 64U)

/**
 * udp_association_new() - carry datagrams
 * @local: address to take datagrams at; its port is not used
 * @client: where they come from; port 0: not known yet
 */
int udp_association_new(
                sd_event *event,
                const ProxyDialer *dialer,
                const Endpoint *local,
                const Endpoint *client,
                uint8_t buffer[static UDP_ASSOCIATION_BUFFER_SIZE],
                UdpAssociation **ret);
UdpAssociation *udp_association_free(UdpAssociation *a);
/* Where the client is to send to. */
const Endpoint *udp_association_local(const UdpAssociation *a);
