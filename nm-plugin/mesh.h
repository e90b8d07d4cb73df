/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One network of omertad, as a connection of NetworkManager's uses it: found or joined, switched
 * on, its addresses held (Network.HoldAddresses), watched, and switched off. By D-Bus alone, and
 * never waiting. Main thread only.
 *
 *   find or join -> Up -> HoldAddresses -> properties -> has its address: .changed()
 *
 * omertad may be started again meanwhile (an update, a crash): it has some seconds to come back
 * with the same interface, and nobody notices.
 */

#include <gio/gio.h>
#include <stdbool.h>

#include "nm-plugin/fields.h"
#include "nm-plugin/report.h"

typedef struct VpnMesh VpnMesh;

typedef enum VpnMeshEnd {
        VPN_MESH_END_FAILED,
        VPN_MESH_END_INVITE,  /* the invite lets nobody in, or is missing */
        VPN_MESH_END_ADDRESS, /* the addresses collide with others of this machine */
} VpnMeshEnd;

/* None of them is called from the functions below. */
typedef struct VpnMeshHandler {
        /* It has its address, or another than before. @n is valid during the call. */
        void (*changed)(void *userdata, const VpnNetwork *n);
        /* It is over. Once; the mesh may be freed. @reason: a sentence for people. */
        void (*ended)(void *userdata, VpnMeshEnd end, const char *reason);
        void *userdata;
} VpnMeshHandler;

/* @settings: copied. @handler: copied. */
VpnMesh *vpn_mesh_new(GDBusConnection *bus, const VpnSettings *settings, const VpnMeshHandler *handler);
/* Forgets it; what was asked of omertad is called off, and the network stays as it is. */
VpnMesh *vpn_mesh_free(VpnMesh *m);

/* Switches the network off, if it was this connection that held it. @done is called when omertad has
 * done so or could not, or at once where there is nothing to do. .ended() is not called any more. */
void vpn_mesh_down(VpnMesh *m, void (*done)(void *userdata), void *userdata);
