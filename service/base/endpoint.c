/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

socklen_t endpoint_len(const Endpoint *e) {
        return e->sa.sa_family == AF_INET6 ? sizeof e->in6 : sizeof e->in;
}

uint16_t endpoint_port(const Endpoint *e) {
        return ntohs(e->sa.sa_family == AF_INET6 ? e->in6.sin6_port : e->in.sin_port);
}

void endpoint_set_port(Endpoint *e, uint16_t port) {
        if (e->sa.sa_family == AF_INET6)
                e->in6.sin6_port = htons(port);
        else
                e->in.sin_port = htons(port);
}

IpAddr endpoint_address(const Endpoint *e) {
        IpAddr a = { .family = (uint8_t) e->sa.sa_family };

        if (e->sa.sa_family == AF_INET6)
                memcpy(a.bytes, &e->in6.sin6_addr, 16);
        else if (e->sa.sa_family == AF_INET)
                memcpy(a.bytes, &e->in.sin_addr, 4);
        return a;
}

bool endpoint_same_address(const Endpoint *a, const Endpoint *b) {
        if (a->sa.sa_family != b->sa.sa_family)
                return false;
        if (a->sa.sa_family == AF_INET)
                return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
        if (a->sa.sa_family == AF_INET6)
                return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0 &&
                       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
        return true;
}

bool endpoint_equal(const Endpoint *a, const Endpoint *b) {
        return endpoint_same_address(a, b) && a->relay == b->relay && a->transport == b->transport &&
               (!endpoint_is_set(a) || endpoint_port(a) == endpoint_port(b));
}

bool endpoint_is_among(const Endpoint *e, const Endpoint *list, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if (endpoint_equal(&list[i], e))
                        return true;
        return false;
}

bool endpoint_same_way(const Endpoint *known, const Endpoint *from) {
        return endpoint_equal(known, from) &&
               (!ip_is_set(&from->local) || ip_equal(&known->local, &from->local));
}

unsigned endpoint_hash(const Endpoint *e) {
        uint8_t buf[ENDPOINT_WIRE_MAX];
        size_t n = endpoint_encode(e, buf);
        unsigned h = 5381 + e->relay + e->transport;

        for (size_t i = 0; i < n; i++)
                h = h * 33 + buf[i];
        return h;
}

int endpoint_from_sockaddr(const struct sockaddr *sa, socklen_t len, Endpoint *ret) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        Endpoint e = {};

        if (len >= sizeof e.in && sa->sa_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *) sa;

                e.in.sin_family = AF_INET;
                e.in.sin_addr = in->sin_addr;
                e.in.sin_port = in->sin_port;
        } else if (len >= sizeof e.in6 && sa->sa_family == AF_INET6) {
                const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) sa;

                if (memcmp(in6->sin6_addr.s6_addr, mapped, sizeof mapped) == 0) {
                        e.in.sin_family = AF_INET;
                        memcpy(&e.in.sin_addr, in6->sin6_addr.s6_addr + 12, 4);
                        e.in.sin_port = in6->sin6_port;
                } else {
                        e.in6.sin6_family = AF_INET6;
                        e.in6.sin6_addr = in6->sin6_addr;
                        e.in6.sin6_port = in6->sin6_port;
                        /* A scope means something for link-local addresses only. */
                        if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
                                e.in6.sin6_scope_id = in6->sin6_scope_id;
                }
        } else
                return -EAFNOSUPPORT;
        *ret = e;
        return 0;
}

static int parse_port(const char *text, uint16_t *ret) {
        unsigned long v;
        char *end;

        if (*text < '0' || *text > '9')
                return -EINVAL;
        v = strtoul(text, &end, 10);
        if (*end != '\0' || v == 0 || v > 65535)
                return -EINVAL;
        *ret = (uint16_t) v;
        return 0;
}

int endpoint_parse(const char *text, uint16_t port_default, Endpoint *ret) {
        Endpoint e = {};
        char host[ENDPOINT_TEXT_MAX];
        uint16_t port = port_default;
        const char *end, *colon = NULL;
        int r;

        if (text[0] == '[') {
                end = strchr(++text, ']');
                if (!end || (end[1] != '\0' && end[1] != ':'))
                        return -EINVAL;
                if (end[1] == ':')
                        colon = end + 1;
        } else {
                colon = strchr(text, ':');
                if (colon && strchr(colon + 1, ':'))
                        colon = NULL; /* bare IPv6 address */
                end = colon ?: text + strlen(text);
        }
        if (colon) {
                r = parse_port(colon + 1, &port);
                if (r < 0)
                        return r;
        }
        if ((size_t) (end - text) >= sizeof host)
                return -EINVAL;
        memcpy(host, text, (size_t) (end - text));
        host[end - text] = '\0';
        if (inet_pton(AF_INET, host, &e.in.sin_addr) == 1)
                e.in.sin_family = AF_INET;
        else if (inet_pton(AF_INET6, host, &e.in6.sin6_addr) == 1)
                e.in6.sin6_family = AF_INET6;
        else
                return -EINVAL;
        endpoint_set_port(&e, port);
        return endpoint_from_sockaddr(&e.sa, sizeof e, ret);
}

EndpointText endpoint_format(const Endpoint *e) {
        const char *transport = endpoint_is_stream(e) ? "tcp:" : "";
        EndpointText t = {};
        char host[INET6_ADDRSTRLEN];

        if (e->sa.sa_family == AF_INET)
                snprintf(t.text, sizeof t.text, "%s%s:%u", transport,
                         inet_ntop(AF_INET, &e->in.sin_addr, host, sizeof host), endpoint_port(e));
        else if (e->sa.sa_family == AF_INET6)
                snprintf(t.text, sizeof t.text, "%s[%s]:%u", transport,
                         inet_ntop(AF_INET6, &e->in6.sin6_addr, host, sizeof host), endpoint_port(e));
        return t;
}

bool endpoint_is_usable(const Endpoint *e) {
        uint32_t a;

        if (!endpoint_is_set(e) || endpoint_port(e) == 0)
                return false;
        if (e->sa.sa_family == AF_INET6)
                return !IN6_IS_ADDR_MULTICAST(&e->in6.sin6_addr) &&
                       !IN6_IS_ADDR_UNSPECIFIED(&e->in6.sin6_addr);
        a = ntohl(e->in.sin_addr.s_addr);
        return a >> 24 != 0 && a >> 28 < 0xe; /* not 0/8, 224/4, 240/4 */
}

bool endpoint_is_link_local(const Endpoint *e) {
        return e->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&e->in6.sin6_addr);
}

size_t endpoint_encode(const Endpoint *e, uint8_t buf[static ENDPOINT_WIRE_MAX]) {
        if (e->sa.sa_family == AF_INET6) {
                buf[0] = 6;
                memcpy(buf + 1, &e->in6.sin6_addr, 16);
                write_be16(buf + 17, endpoint_port(e));
                return 19;
        }
        buf[0] = 4;
        memcpy(buf + 1, &e->in.sin_addr, 4);
        write_be16(buf + 5, endpoint_port(e));
        return 7;
}

int endpoint_decode(const uint8_t *buf, size_t len, Endpoint *ret) {
        Endpoint e = {};

        if (len == 7 && buf[0] == 4) {
                e.in.sin_family = AF_INET;
                memcpy(&e.in.sin_addr, buf + 1, 4);
                endpoint_set_port(&e, read_be16(buf + 5));
        } else if (len == 19 && buf[0] == 6) {
                e.in6.sin6_family = AF_INET6;
                memcpy(&e.in6.sin6_addr, buf + 1, 16);
                endpoint_set_port(&e, read_be16(buf + 17));
        } else
                return -EBADMSG;
        return endpoint_from_sockaddr(&e.sa, sizeof e, ret);
}
