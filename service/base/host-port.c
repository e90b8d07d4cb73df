/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/host-port.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

static bool label_is_valid(const char *label, size_t len) {
        if (len == 0 || len > DNS_LABEL_MAX_LEN || label[0] == '-' || label[len - 1] == '-')
                return false;
        for (size_t i = 0; i < len; i++)
                if (!g_ascii_isalnum(label[i]) && label[i] != '-')
                        return false;
        return true;
}

bool dns_name_is_valid(const char *name) {
        bool has_letter = false;

        if (strnlen(name, DNS_NAME_MAX_LEN + 1) > DNS_NAME_MAX_LEN)
                return false;
        for (;;) {
                size_t len = strcspn(name, ".");

                if (!label_is_valid(name, len))
                        return false;
                has_letter = false;
                for (size_t i = 0; i < len; i++)
                        has_letter |= g_ascii_isalpha(name[i]);
                if (name[len] == '\0')
                        return has_letter;
                name += len + 1;
        }
}

static int parse_port(const char *text, uint16_t *ret) {
        size_t len = strlen(text);
        unsigned port = 0;

        if (len == 0 || len > 5 || text[0] == '0' || strspn(text, "0123456789") != len)
                return -EINVAL;
        for (size_t i = 0; i < len; i++)
                port = port * 10 + (unsigned) (text[i] - '0');
        if (port > UINT16_MAX)
                return -EINVAL;
        *ret = (uint16_t) port;
        return 0;
}

int host_port_parse(const char *text, uint16_t port_default, HostPort *ret) {
        size_t len = strcspn(text, ":");
        HostPort h = { .port = port_default };

        if (len > DNS_NAME_MAX_LEN)
                return -EINVAL;
        for (size_t i = 0; i < len; i++)
                h.host[i] = g_ascii_tolower(text[i]);
        if (!dns_name_is_valid(h.host) ||
            (text[len] == ':' && parse_port(text + len + 1, &h.port) < 0) || h.port == 0)
                return -EINVAL;
        *ret = h;
        return 0;
}

HostPortText host_port_format(const HostPort *h) {
        HostPortText t;

        snprintf(t.text, sizeof t.text, "%s:%u", h->host, h->port);
        return t;
}

bool host_port_equal(const HostPort *a, const HostPort *b) {
        return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static bool is_among(const HostPort *h, const HostPort *list, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if (host_port_equal(h, &list[i]))
                        return true;
        return false;
}

int host_port_list_parse(const char *text, uint16_t port_default, HostPort *ret, unsigned max) {
        g_auto(GStrv) parts = g_strsplit(text, ",", -1);
        unsigned n = 0;

        for (char **p = parts; *p; p++) {
                HostPort h;

                if (host_port_parse(g_strstrip(*p), port_default, &h) < 0)
                        return -EINVAL;
                if (is_among(&h, ret, n))
                        continue;
                if (n == max)
                        return -E2BIG;
                ret[n++] = h;
        }
        return (int) n;
}

char *host_port_list_format(const HostPort *list, unsigned n) {
        GString *s = g_string_new(NULL);

        for (unsigned i = 0; i < n; i++)
                g_string_append_printf(s, "%s%s", i > 0 ? "," : "", host_port_format(&list[i]).text);
        return g_string_free(s, FALSE);
}
