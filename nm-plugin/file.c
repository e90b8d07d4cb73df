/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nm-plugin/file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/macros.h"

#define GROUP "omerta"

static int parse_link(const char *text, VpnSettings *ret, char **ret_error) {
        g_autofree char *link = g_strstrip(g_strdup(text));
        int r = vpn_settings_set(ret, VPN_FIELD_INVITE, link, ret_error);

        explicit_bzero(link, strlen(link));
        return r;
}

static int parse_key(GKeyFile *file, const char *key, VpnSettings *ret, char **ret_error) {
        VpnField field = vpn_field_from_key(key);
        g_autoptr(GError) error = NULL;
        g_autofree char *value = NULL;
        int r;

        if (field == _VPN_FIELD_INVALID) {
                g_autofree char *shown = vpn_text_show(key);

                *ret_error = g_strdup_printf("there is a key that is not known: %s", shown);
                return -EINVAL;
        }
        value = g_key_file_get_string(file, GROUP, key, &error);
        if (!value || error) { /* GLib gives a value with an error, too */
                *ret_error = g_strdup_printf("the value of %s cannot be read", key);
                return -EINVAL;
        }
        r = vpn_settings_set(ret, field, value, ret_error);
        explicit_bzero(value, strlen(value));
        return r;
}

static int parse_key_file(const char *text, VpnSettings *ret, char **ret_error) {
        g_autoptr(GKeyFile) file = g_key_file_new();
        g_auto(GStrv) groups = NULL, keys = NULL;
        int r = 0;

        if (!g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_KEEP_TRANSLATIONS, NULL)) {
                *ret_error = g_strdup("it is neither an omerta:// link nor a key file");
                return -EINVAL;
        }
        groups = g_key_file_get_groups(file, NULL);
        if (!groups[0] || strcmp(groups[0], GROUP) != 0 || groups[1]) {
                *ret_error = g_strdup("it has not the one group [" GROUP "]");
                return -EINVAL;
        }
        keys = g_key_file_get_keys(file, GROUP, NULL, NULL);
        for (unsigned i = 0; keys[i] && r >= 0; i++)
                r = parse_key(file, keys[i], ret, ret_error);
        return r < 0 ? r : vpn_settings_check(ret, ret_error);
}

int vpn_file_parse(const char *data, size_t len, VpnSettings *ret, char **ret_error) {
        g_autofree char *text = NULL;
        VpnSettings s = {};
        const char *first;
        int r;

        if (len == 0) {
                *ret_error = g_strdup("it is empty");
                return -EINVAL;
        }
        if (len > VPN_FILE_MAX || !g_utf8_validate(data, (gssize) len, NULL)) {
                *ret_error = g_strdup("it is too long, or no text");
                return -EINVAL;
        }
        text = g_strndup(data, len);
        for (first = text; g_ascii_isspace(*first);)
                first++;
        if (*first == '[' || *first == '#')
                r = parse_key_file(text, &s, ret_error);
        else if (*first)
                r = parse_link(text, &s, ret_error);
        else {
                *ret_error = g_strdup("it is empty");
                r = -EINVAL;
        }
        explicit_bzero(text, strlen(text));
        if (r < 0)
                vpn_settings_clear(&s);
        else
                *ret = s;
        return r;
}

int vpn_file_read(const char *path, VpnSettings *ret, char **ret_error) {
        /* Not to wait at a pipe. */
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        char data[VPN_FILE_MAX + 1];
        struct stat st;
        size_t len = 0;
        ssize_t n = 1; /* of the last read() */
        int r;

        if (fd < 0 || fstat(fd, &st) < 0) {
                r = -errno;
                *ret_error = g_strdup(g_strerror(-r));
                return r;
        }
        if (!S_ISREG(st.st_mode)) {
                *ret_error = g_strdup("it is no ordinary file");
                return -EINVAL;
        }
        while (n > 0 && len < sizeof data) {
                n = read(fd, data + len, sizeof data - len);
                if (n < 0 && errno == EINTR)
                        n = 1; /* again */
                else if (n > 0)
                        len += (size_t) n;
        }
        r = n < 0 ? -errno : vpn_file_parse(data, len, ret, ret_error);
        if (n < 0)
                *ret_error = g_strdup(g_strerror(-r));
        explicit_bzero(data, sizeof data);
        return r;
}

char *vpn_file_format(const VpnSettings *s, char **ret_error) {
        g_autoptr(GKeyFile) file = g_key_file_new();

        if (!s->value[VPN_FIELD_NETWORK]) {
                *ret_error = g_strdup(
                                "the profile names its network by an invite alone, which is a secret");
                return NULL;
        }
        for (VpnField f = 0; f < _VPN_FIELD_MAX; f++)
                if (s->value[f] && !vpn_field_info(f)->is_secret)
                        g_key_file_set_string(file, GROUP, vpn_field_info(f)->key, s->value[f]);
        return g_key_file_to_data(file, NULL, NULL);
}
