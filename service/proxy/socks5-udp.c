/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "proxy/socks5-udp.h"

/* RSV (2), FRAG (1), then an address as in a request. */
int socks5_udp_header_decode(const uint8_t *data, size_t len, ProxyTarget *ret) {
        int n;

        if (len < 4 || data[2] != 0)
                return -EBADMSG;
        n = socks5_address_decode(data + 3, len - 3, ret);
        return n <= 0 ? -EBADMSG : 3 + n;
}

size_t socks5_udp_header_encode(
                const IpAddr *from,
                uint16_t port,
                uint8_t ret[static SOCKS5_UDP_REPLY_HEADER_MAX]) {
        memset(ret, 0, 3);
        return 3 + socks5_address_encode(from, port, ret + 3);
}

void proxy_udp_header_encode(const IpAddr *to, uint16_t port, uint8_t ret[static PROXY_UDP_HEADER_SIZE]) {
        ret[0] = to->family == AF_INET6 ? 6 : 4;
        ret[1] = 0;
        write_be16(ret + 2, port);
        memcpy(ret + 4, to->bytes, sizeof to->bytes);
}

int proxy_udp_header_decode(const uint8_t *data, size_t len, IpAddr *ret_from, uint16_t *ret_port) {
        IpAddr a = {};

        if (len < PROXY_UDP_HEADER_SIZE || (data[0] != 4 && data[0] != 6))
                return -EBADMSG;
        a.family = data[0] == 6 ? AF_INET6 : AF_INET;
        memcpy(a.bytes, data + 4, ip_size(&a));
        *ret_from = a;
        *ret_port = read_be16(data + 2);
        return 0;
}
