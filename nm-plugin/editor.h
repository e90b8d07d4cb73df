/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The editor of a profile, as a module for one version of GTK each: editor.c is compiled against
 * either, of functions and properties that both have. editor-plugin.c loads the one its program is
 * made with.
 */

#include <NetworkManager.h>

#define VPN_EDITOR_FACTORY "nm_omerta_editor_new"
#define VPN_EDITOR_GTK3 "libnm-vpn-plugin-omerta-editor.so"
#define VPN_EDITOR_GTK4 "libnm-gtk4-vpn-plugin-omerta-editor.so"

/* @profile: NULL for an empty one. New. */
NMVpnEditor *nm_omerta_editor_new(NMConnection *profile);
