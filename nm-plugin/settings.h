/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The fields (nm-plugin/fields.h) of a profile of libnm's. */

#include <NetworkManager.h>

#include "nm-plugin/fields.h"

/**
 * vpn_settings_read() - what a profile says
 * @ret: the caller clears
 *
 * An invite may stand among the data too, where a person who typed the command line put it. Items
 * that are not known are refused, so that what was misspelled is seen.
 * Return: true, or false and @error of NM_VPN_PLUGIN_ERROR.
 */
bool vpn_settings_read(NMConnection *profile, VpnSettings *ret, GError **error);

/* Puts them into @vpn, in place of what it has; the flags of secrets stay. */
void vpn_settings_write(const VpnSettings *s, NMSettingVpn *vpn);

/* How NetworkManager keeps a secret: "KEY-flags". */
NMSettingSecretFlags vpn_settings_flags(NMConnection *profile, VpnField field);
