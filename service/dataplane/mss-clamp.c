/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/mss-clamp.h"

#include "dataplane/checksum.h"

/* RFC 9293 3.1 */
#define TCP_OPTION_END 0U
#define TCP_OPTION_NOP 1U
#define TCP_OPTION_MSS 2U
#define TCP_OPTION_MSS_SIZE 4U

/* Return: where its value is, from the TCP header; 0: there is none, or the options are broken. */
static size_t find_mss(const uint8_t *tcp, size_t header) {
        size_t i = TCP_HEADER_MIN;

        while (i < header && tcp[i] != TCP_OPTION_END) {
                if (tcp[i] == TCP_OPTION_NOP) {
                        i++;
                        continue;
                }
                if (i + 2 > header || tcp[i + 1] < 2 || i + tcp[i + 1] > header)
                        return 0;
                if (tcp[i] == TCP_OPTION_MSS)
                        return tcp[i + 1] == TCP_OPTION_MSS_SIZE ? i + 2 : 0;
                i += tcp[i + 1];
        }
        return 0;
}

/* RFC 1624, equation 3. @at: of the value, from the header that is summed. */
static void update_csum(uint8_t *field, size_t at, uint16_t old, uint16_t new) {
        uint64_t sum = (uint16_t) ~csum_load(field);

        if (at % 2 != 0) {
                old = __builtin_bswap16(old);
                new = __builtin_bswap16(new);
        }
        csum_store(field, csum_add_be16(csum_add_be16(sum, (uint16_t) ~old), new));
}

bool mss_clamp(uint8_t *p, const PacketView *v, bool partial, uint16_t mtu) {
        size_t header = packet_l4_header_size(p, v), at;
        uint8_t *tcp = p + v->l4;
        uint16_t mss, fits;

        if (header == 0 || mtu <= v->l4 + TCP_HEADER_MIN)
                return false;
        fits = (uint16_t) (mtu - v->l4 - TCP_HEADER_MIN);
        at = find_mss(tcp, header);
        if (at == 0)
                return false;
        mss = read_be16(tcp + at);
        if (mss <= fits)
                return false;
        write_be16(tcp + at, fits);
        if (!partial)
                update_csum(tcp + TCP_CSUM_OFFSET, at, mss, fits);
        return true;
}
