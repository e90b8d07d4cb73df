/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The service NetworkManager talks to, one process a connection (libnm's NMVpnServicePlugin): what
 * it asks for is done by a VpnMesh, and what that says goes back.
 */

#include <NetworkManager.h>

typedef struct OmertaVpn OmertaVpn;

/* @bus_name: to be owned; NetworkManager says which. */
OmertaVpn *omerta_vpn_new(const char *bus_name, GError **error);
/* @done: called when there is nothing left to do and the process may end. */
void omerta_vpn_set_done(OmertaVpn *vpn, void (*done)(void *userdata), void *userdata);
/* As when NetworkManager disconnects. */
void omerta_vpn_stop(OmertaVpn *vpn);
