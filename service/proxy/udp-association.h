/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * RFC 1928's UDP ASSOCIATE: datagrams of one client between a socket of this machine and the
 * networks, each reached when the first datagram goes there. Takes datagrams only from the address
 * of the client's TCP connection, on loopback from any of this machine, and after the first valid
 * one from its address and port alone. A request may name the port before (RFC 1928 section 6):
 * that is a limit where the address beside it is the client's or none, else nothing is believed.
 * Whatever cannot be carried is dropped, as datagrams are. Control thread only.
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
 * @any_address: @local is on loopback, where only programs of this machine reach it, from whatever
 *               address of it they are bound to
 */
int udp_association_new(
                sd_event *event,
                const ProxyDialer *dialer,
                const Endpoint *local,
                const Endpoint *client,
                bool any_address,
                uint8_t buffer[static UDP_ASSOCIATION_BUFFER_SIZE],
                UdpAssociation **ret);
UdpAssociation *udp_association_free(UdpAssociation *a);
/* Where the client is to send to. */
const Endpoint *udp_association_local(const UdpAssociation *a);
