/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a profile of NetworkManager's VPN type "omerta" says: one table of fields, for the service,
 * the editor plugin, files and the auth dialog. Without libnm.
 *
 * In a profile a field is an item of vpn.data, or of vpn.secrets where it is a secret; "KEY-flags"
 * in vpn.data says how NetworkManager keeps that one.
 */

#include <stdbool.h>
#include <stddef.h>

#define VPN_SERVICE "org.freedesktop.NetworkManager.omerta"

typedef enum VpnField {
        VPN_FIELD_NETWORK,   /* name, id or unique beginning of an id */
        VPN_FIELD_INVITE,    /* omerta://join/...: joins where this machine is no member yet */
        VPN_FIELD_HOST_NAME, /* of this machine in the network, when it joins */
        _VPN_FIELD_MAX,
        _VPN_FIELD_INVALID = -1,
} VpnField;

typedef struct VpnFieldInfo {
        const char *key;
        const char *label; /* English, marked for gettext's domain "omerta", as .hint is */
        const char *hint;
        bool is_secret;
        size_t len_max; /* bytes */
} VpnFieldInfo;

const VpnFieldInfo *vpn_field_info(VpnField field);
/* Return: a VpnField, or _VPN_FIELD_INVALID. */
VpnField vpn_field_from_key(const char *key);
/* "invite-flags" and the like, which are NetworkManager's. */
bool vpn_field_is_flags(const char *key);

/* What a stranger wrote, valid UTF-8, for a line of a log: its beginning, without control
 * characters. New. */
char *vpn_text_show(const char *text);

typedef struct VpnSettings {
        char *value[_VPN_FIELD_MAX]; /* NULL: not said; never "" */
} VpnSettings;

/* Secrets are wiped. */
void vpn_settings_clear(VpnSettings *s);
/* @value: "" or NULL takes it away. Return: 0, or -EINVAL and a sentence in @ret_error, which shows
 * no value. */
int vpn_settings_set(VpnSettings *s, VpnField field, const char *value, char **ret_error);
/* Whether they name a network. Return: 0, or -EINVAL and @ret_error. */
int vpn_settings_check(const VpnSettings *s, char **ret_error);
