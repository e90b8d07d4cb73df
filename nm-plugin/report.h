/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What NetworkManager is told of a network: pure translation into its dictionaries. */

#include <NetworkManager.h>
#include <stdbool.h>

#include "base/ip.h"

/* Properties of org.omerta.Mesh1.Network that matter; the strings are never NULL. */
typedef struct VpnNetwork {
        char *name, *state, *reason;
        char *interface, *address, *address6, *subnet;
        guint32 mtu;
} VpnNetwork;

void vpn_network_init(VpnNetwork *n);
void vpn_network_clear(VpnNetwork *n);
/* @ret: uninitialized or cleared. */
void vpn_network_copy(const VpnNetwork *n, VpnNetwork *ret);
/* Takes what @properties (a{sv}) has; what is not known, or of another type, is passed over. */
void vpn_network_update(VpnNetwork *n, GVariant *properties);
/* Whether NetworkManager would be told the same of both. */
bool vpn_network_is_same(const VpnNetwork *a, const VpnNetwork *b);
/* Whether there is something to tell. Return: NULL, or what is missing, a sentence. */
const char *vpn_network_lacks(const VpnNetwork *n);

/* @gateway: the underlay address NetworkManager insists on. New, floating. */
GVariant *vpn_report_config(const VpnNetwork *n, const IpAddr *gateway);
/* NULL: it has no address of that family. */
GVariant *vpn_report_ip4(const VpnNetwork *n);
GVariant *vpn_report_ip6(const VpnNetwork *n);

/* The address this machine uses towards everybody else; ::1 where there is none. NetworkManager
 * reaches the "gateway" of a VPN by a host route; to an address of the machine it makes none. */
IpAddr vpn_own_address(void);
