/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nm-plugin/settings.h"

#include <errno.h>

#include "base/macros.h"

typedef struct Reading {
        VpnSettings settings;
        char *wrong; /* a sentence; NULL: nothing is */
} Reading;

static void take(Reading *r, VpnField field, const char *value) {
        (void) vpn_settings_set(&r->settings, field, value, &r->wrong);
}

static void on_data(const char *key, const char *value, void *userdata) {
        VpnField field = vpn_field_from_key(key);
        g_autofree char *shown = NULL;
        Reading *r = userdata;

        if (r->wrong || vpn_field_is_flags(key))
                return;
        if (field == _VPN_FIELD_INVALID) {
                shown = vpn_text_show(key);
                r->wrong = g_strdup_printf("vpn.data has an item that is not known: %s", shown);
        } else
                take(r, field, value);
}

static void on_secret(const char *key, const char *value, void *userdata) {
        VpnField field = vpn_field_from_key(key);
        g_autofree char *shown = NULL;
        Reading *r = userdata;

        if (r->wrong)
                return;
        if (field == _VPN_FIELD_INVALID || !vpn_field_info(field)->is_secret) {
                shown = vpn_text_show(key);
                r->wrong = g_strdup_printf("vpn.secrets has an item that is not known: %s", shown);
        } else
                take(r, field, value);
}

bool vpn_settings_read(NMConnection *profile, VpnSettings *ret, GError **error) {
        NMSettingVpn *vpn = nm_connection_get_setting_vpn(profile);
        g_autofree char *wrong = NULL;
        Reading r = {};

        if (vpn) {
                nm_setting_vpn_foreach_data_item(vpn, on_data, &r);
                nm_setting_vpn_foreach_secret(vpn, on_secret, &r);
                wrong = r.wrong;
        } else
                wrong = g_strdup("this is no profile of a VPN");
        if (!wrong) {
                *ret = r.settings;
                return true;
        }
        vpn_settings_clear(&r.settings);
        g_set_error_literal(error, NM_VPN_PLUGIN_ERROR, NM_VPN_PLUGIN_ERROR_BAD_ARGUMENTS, wrong);
        return false;
}

void vpn_settings_write(const VpnSettings *s, NMSettingVpn *vpn) {
        for (VpnField f = 0; f < _VPN_FIELD_MAX; f++) {
                const VpnFieldInfo *info = vpn_field_info(f);

                nm_setting_vpn_remove_data_item(vpn, info->key);
                nm_setting_vpn_remove_secret(vpn, info->key);
                if (!s->value[f])
                        continue;
                if (info->is_secret)
                        nm_setting_vpn_add_secret(vpn, info->key, s->value[f]);
                else
                        nm_setting_vpn_add_data_item(vpn, info->key, s->value[f]);
        }
}

NMSettingSecretFlags vpn_settings_flags(NMConnection *profile, VpnField field) {
        NMSettingVpn *vpn = nm_connection_get_setting_vpn(profile);
        NMSettingSecretFlags flags = NM_SETTING_SECRET_FLAG_NONE;

        if (vpn)
                (void) nm_setting_get_secret_flags(
                                NM_SETTING(vpn), vpn_field_info(field)->key, &flags, NULL);
        return flags;
}
