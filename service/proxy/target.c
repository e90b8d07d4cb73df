/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "proxy/proxy.h"

int proxy_port_parse(const char *text, size_t len, uint16_t *ret) {
        unsigned v = 0;

        if (len == 0 || len > 5)
                return -EINVAL;
        for (size_t i = 0; i < len; i++) {
                if (!g_ascii_isdigit(text[i]))
                        return -EINVAL;
                v = v * 10 + (unsigned) (text[i] - '0');
        }
        if (v > UINT16_MAX)
                return -EINVAL;
        *ret = (uint16_t) v;
        return 0;
}

/* Letters, digits, '-', '_' and '.' (RFC 1123 section 2.1, and what people name machines). */
static bool is_name(const char *text, size_t len) {
        for (size_t i = 0; i < len; i++)
                if (!g_ascii_isalnum(text[i]) && !strchr("-_.", text[i]))
                        return false;
        return len > 0 && len <= PROXY_NAME_MAX;
}

int proxy_target_set_host(ProxyTarget *t, const char *host, size_t len) {
        char text[PROXY_NAME_MAX + 1];
        IpAddr address;

        if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
                host++;
                len -= 2;
                if (!memchr(host, ':', len))
                        return -EINVAL;
        }
        if (len == 0 || len > PROXY_NAME_MAX || memchr(host, '\0', len))
                return -EINVAL;
        memcpy(text, host, len);
        text[len] = '\0';
        if (ip_parse(text, &address) >= 0) {
                t->address = address;
                t->name[0] = '\0';
                return 0;
        }
        if (!is_name(text, len))
                return -EINVAL;
        t->address = (IpAddr){};
        memcpy(t->name, text, len + 1);
        return 0;
}

int proxy_target_parse(const char *text, size_t len, ProxyTarget *ret) {
        const char *colon = memrchr(text, ':', len);
        ProxyTarget t = {};

        if (!colon)
                return -EINVAL;
        /* "fd00::1:22" could mean two things. */
        if (text[0] != '[' && memchr(text, ':', (size_t) (colon - text)))
                return -EINVAL;
        if (proxy_port_parse(colon + 1, len - (size_t) (colon + 1 - text), &t.port) < 0 ||
            proxy_target_set_host(&t, text, (size_t) (colon - text)) < 0)
                return -EINVAL;
        *ret = t;
        return 0;
}

char *proxy_target_format(const ProxyTarget *t) {
        if (!ip_is_set(&t->address))
                return g_strdup_printf("%s:%u", t->name, t->port);
        return g_strdup_printf(
                        t->address.family == AF_INET6 ? "[%s]:%u" : "%s:%u",
                        ip_format(&t->address).text, t->port);
}

int proxy_resolve(
                const ProxyDialer *dialer,
                const ProxyTarget *target,
                IpAddr ret[static PROXY_ADDRESSES_MAX]) {
        int n;

        if (ip_is_set(&target->address)) {
                ret[0] = target->address;
                return 1;
        }
        if (target->name[0] == '\0')
                return -ENXIO;
        n = dialer->resolve(dialer->userdata, target->name, ret);
        return n == 0 ? -ENXIO : n;
}

static void dial_on_done(void *userdata, int fd);

/* Return: 0 with a call under way, or the last address's error. */
static int dial_next(ProxyDial *d) {
        int r = -EHOSTUNREACH;

        while (d->next < d->n_addresses) {
                const IpAddr *a = &d->addresses[d->next++];

                r =
                                d->dialer->dial(d->dialer->userdata, a, d->port, d->timeout,
                                                dial_on_done, d, &d->call);
                if (r >= 0)
                        return 0;
        }
        return r;
}

static void dial_on_done(void *userdata, int fd) {
        ProxyDial *d = userdata;

        d->call = NULL;
        if (fd < 0 && d->next < d->n_addresses) {
                int r = dial_next(d);

                if (r >= 0)
                        return;
                fd = r;
        }
        d->done(d->userdata, fd);
}

int proxy_dial_start(
                ProxyDial *d,
                const ProxyDialer *dialer,
                const ProxyTarget *target,
                usec_t timeout,
                ProxyDialed done,
                void *userdata) {
        int n;

        *d = (ProxyDial){
                .dialer = dialer,
                .done = done,
                .userdata = userdata,
                .timeout = timeout,
                .port = target->port,
        };
        if (target->port == 0)
                return -ECONNREFUSED;
        n = proxy_resolve(dialer, target, d->addresses);
        if (n < 0)
                return n;
        d->n_addresses = (unsigned) n;
        return dial_next(d);
}

void proxy_dial_done(ProxyDial *d) {
        if (d->call)
                d->dialer->cancel(d->dialer->userdata, d->call);
        d->call = NULL;
}
