/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nm-plugin/fields.h"

#include <string.h>

#include "base/macros.h"

#define N_(text) text

/* Characters: a name that anybody gives, and no novel. */
#define SHOWN_MAX 40
#define LINK_SCHEME "omerta://"

static const VpnFieldInfo fields[] = {
        /* A name has 63 bytes at most, an id 52. */
        [VPN_FIELD_NETWORK] = { "network", N_("Network"), N_("Name or id of a network"), false, 63 },
        /* As long as a link may be: docs/protocol.md. */
        [VPN_FIELD_INVITE] = { "invite", N_("Invite link"),
                               N_("omerta://join/..., used where this machine is no member yet"),
                               true, 1024 },
        [VPN_FIELD_HOST_NAME] = { "host-name", N_("Host name"),
                                  N_("Name of this machine in the network, when it joins"), false,
                                  63 },
};
static_assert(ELEMENTSOF(fields) == _VPN_FIELD_MAX, "a field without a description");

const VpnFieldInfo *vpn_field_info(VpnField field) {
        return &fields[field];
}

VpnField vpn_field_from_key(const char *key) {
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (strcmp(fields[i].key, key) == 0)
                        return (VpnField) i;
        return _VPN_FIELD_INVALID;
}

bool vpn_field_is_flags(const char *key) {
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (fields[i].is_secret && g_str_has_prefix(key, fields[i].key) &&
                    strcmp(key + strlen(fields[i].key), "-flags") == 0)
                        return true;
        return false;
}

char *vpn_text_show(const char *text) {
        char *shown = g_utf8_substring(text, 0, MIN(g_utf8_strlen(text, -1), SHOWN_MAX));

        for (char *p = shown; *p; p++)
                if (g_ascii_iscntrl(*p))
                        *p = '?';
        return shown;
}

static void forget(VpnSettings *s, VpnField field) {
        char *old = TAKE_PTR(s->value[field]);

        if (old && fields[field].is_secret)
                explicit_bzero(old, strlen(old));
        g_free(old);
}

void vpn_settings_clear(VpnSettings *s) {
        for (VpnField f = 0; f < _VPN_FIELD_MAX; f++)
                forget(s, f);
}

/* One word that can be shown: what else there is to say of it omertad says. */
static bool is_word(const char *value) {
        if (!g_utf8_validate(value, -1, NULL))
                return false;
        for (const char *p = value; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (g_unichar_isspace(c) || !g_unichar_isprint(c))
                        return false;
        }
        return true;
}

int vpn_settings_set(VpnSettings *s, VpnField field, const char *value, char **ret_error) {
        const VpnFieldInfo *info = &fields[field];

        if (value && strlen(value) > info->len_max)
                *ret_error = g_strdup_printf(
                                "%s is longer than %zu characters", info->key, info->len_max);
        else if (value && !is_word(value))
                *ret_error = g_strdup_printf(
                                "%s has spaces, or characters that cannot be shown", info->key);
        else if (field == VPN_FIELD_INVITE && value && *value &&
                 g_ascii_strncasecmp(value, LINK_SCHEME, strlen(LINK_SCHEME)) != 0)
                *ret_error = g_strdup_printf("%s is no " LINK_SCHEME " link", info->key);
        else {
                forget(s, field);
                s->value[field] = value && *value ? g_strdup(value) : NULL;
                return 0;
        }
        return -EINVAL;
}

int vpn_settings_check(const VpnSettings *s, char **ret_error) {
        if (s->value[VPN_FIELD_NETWORK] || s->value[VPN_FIELD_INVITE])
                return 0;
        *ret_error = g_strdup("neither a network nor an invite is given");
        return -EINVAL;
}
