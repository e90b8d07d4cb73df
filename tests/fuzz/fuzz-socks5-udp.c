/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A datagram of a client, and the same bytes as one of the network's. */
#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "proxy/socks5-udp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t socks[SOCKS5_UDP_REPLY_HEADER_MAX], ours[PROXY_UDP_HEADER_SIZE];
        ProxyTarget t, u;
        IpAddr a;
        uint16_t port;
        int n = socks5_udp_header_decode(data, size, &t);

        FUZZ_ASSERT(n == -EBADMSG ||
                    (n >= 7 && (size_t) n <= size && n <= (int) SOCKS5_UDP_HEADER_MAX));
        if (n > 0 && ip_is_set(&t.address)) {
                size_t len = socks5_udp_header_encode(&t.address, t.port, socks);

                FUZZ_ASSERT(t.name[0] == '\0');
                FUZZ_ASSERT(socks5_udp_header_decode(socks, len, &u) == (int) len);
                FUZZ_ASSERT(ip_equal(&t.address, &u.address) && t.port == u.port);
        }
        if (proxy_udp_header_decode(data, size, &a, &port) == 0) {
                proxy_udp_header_encode(&a, port, ours);
                FUZZ_ASSERT(ours[0] == data[0] && memcmp(ours + 2, data + 2, 2 + ip_size(&a)) == 0);
        }
        return 0;
}
