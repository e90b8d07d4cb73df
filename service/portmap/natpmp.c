/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "portmap/natpmp.h"

#include <string.h>

#include "base/macros.h"

#define VERSION 0
#define RESPONSE 0x80U
#define HEADER_SIZE 8U
#define ADDRESS_RESPONSE_SIZE 12U
#define MAP_RESPONSE_SIZE 16U

const char *natpmp_result_to_string(unsigned result) {
        static const char *const table[] = {
                [NATPMP_SUCCESS] = "it is done",
                [NATPMP_UNSUPP_VERSION] = "it has another version",
                [NATPMP_NOT_AUTHORIZED] = "it is not allowed",
                [NATPMP_NETWORK_FAILURE] = "it has no connection",
                [NATPMP_NO_RESOURCES] = "it has no room",
                [NATPMP_UNSUPP_OPCODE] = "it maps no ports",
        };
        static_assert(ELEMENTSOF(table) == _NATPMP_RESULT_MAX, "a text for every result");

        return result < ELEMENTSOF(table) ? table[result] : "it does not say why";
}

size_t natpmp_encode_address(uint8_t buf[static NATPMP_ADDRESS_SIZE]) {
        buf[0] = VERSION;
        buf[1] = NATPMP_ADDRESS;
        return NATPMP_ADDRESS_SIZE;
}

size_t natpmp_encode_map(
                uint16_t internal_port,
                uint16_t external_port,
                uint32_t lifetime,
                uint8_t buf[static NATPMP_MAP_SIZE]) {
        memset(buf, 0, NATPMP_MAP_SIZE);
        buf[0] = VERSION;
        buf[1] = NATPMP_MAP_UDP;
        write_be16(buf + 4, internal_port);
        write_be16(buf + 6, external_port);
        write_be32(buf + 8, lifetime);
        return NATPMP_MAP_SIZE;
}

int natpmp_decode(const uint8_t *buf, size_t len, NatPmpResponse *ret) {
        NatPmpResponse p = {};

        if (len < HEADER_SIZE || buf[0] != VERSION || !(buf[1] & RESPONSE))
                return -EBADMSG;
        p.opcode = buf[1] & (RESPONSE - 1U);
        p.result = read_be16(buf + 2);
        p.epoch = read_be32(buf + 4);
        /* What failed has nothing else to say. */
        if (p.result == NATPMP_SUCCESS && p.opcode == NATPMP_ADDRESS) {
                if (len < ADDRESS_RESPONSE_SIZE)
                        return -EBADMSG;
                p.external.family = AF_INET;
                memcpy(p.external.bytes, buf + 8, 4);
        } else if (p.result == NATPMP_SUCCESS && p.opcode == NATPMP_MAP_UDP) {
                if (len < MAP_RESPONSE_SIZE)
                        return -EBADMSG;
                p.internal_port = read_be16(buf + 8);
                p.external_port = read_be16(buf + 10);
                p.lifetime = read_be32(buf + 12);
        }
        *ret = p;
        return 0;
}

bool natpmp_epoch_holds(const RouterEpoch *e, uint32_t server, usec_t now) {
        uint64_t ours = usec_sub(now, e->at) / USEC_PER_SEC;

        /* Its clock may be an eighth slower than ours; faster is no matter. */
        return !e->is_known || (uint64_t) server + 2 >= e->server + ours - ours / 8;
}
