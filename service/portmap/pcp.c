/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "portmap/pcp.h"

#include <string.h>

#include "base/macros.h"

#define RESPONSE 0x80U
#define PROTOCOL_UDP 17

const char *pcp_result_to_string(unsigned result) {
        static const char *const table[] = {
                [PCP_SUCCESS] = "it is done",
                [PCP_UNSUPP_VERSION] = "it has another version",
                [PCP_NOT_AUTHORIZED] = "it is not allowed",
                [PCP_MALFORMED_REQUEST] = "it does not understand the question",
                [PCP_UNSUPP_OPCODE] = "it maps no ports",
                [PCP_UNSUPP_OPTION] = "it does not know an option",
                [PCP_MALFORMED_OPTION] = "it does not understand an option",
                [PCP_NETWORK_FAILURE] = "it has no connection",
                [PCP_NO_RESOURCES] = "it has no room",
                [PCP_UNSUPP_PROTOCOL] = "it does not map UDP",
                [PCP_USER_EX_QUOTA] = "this machine has too many mappings",
                [PCP_CANNOT_PROVIDE_EXTERNAL] = "the port cannot be had",
                [PCP_ADDRESS_MISMATCH] = "another translator stands between",
                [PCP_EXCESSIVE_REMOTE_PEERS] = "too many filters",
        };
        static_assert(ELEMENTSOF(table) == _PCP_RESULT_MAX, "a text for every result");

        return result < ELEMENTSOF(table) ? table[result] : "it does not say why";
}

/* 16 bytes, section 5: an IPv4 address is one of IPv6 (::ffff:a.b.c.d). */
static void put_address(uint8_t buf[static 16], const IpAddr *a) {
        memset(buf, 0, 16);
        if (a->family == AF_INET6) {
                memcpy(buf, a->bytes, 16);
                return;
        }
        buf[10] = buf[11] = 0xff;
        memcpy(buf + 12, a->bytes, 4);
}

static IpAddr get_address(const uint8_t buf[static 16]) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        bool is_v4 = memcmp(buf, mapped, sizeof mapped) == 0;
        IpAddr a = { .family = is_v4 ? AF_INET : AF_INET6 };

        memcpy(a.bytes, is_v4 ? buf + 12 : buf, ip_size(&a));
        return a;
}

static void put_header(uint8_t *buf, PcpOpcode opcode, uint32_t lifetime, const IpAddr *client) {
        memset(buf, 0, PCP_HEADER_SIZE);
        buf[0] = PCP_VERSION;
        buf[1] = (uint8_t) opcode;
        write_be32(buf + 4, lifetime);
        put_address(buf + 8, client);
}

size_t
pcp_encode_map(const IpAddr *client,
               const PcpMap *map,
               uint32_t lifetime,
               uint8_t buf[static PCP_MAP_SIZE]) {
        const IpAddr any = { .family = client->family };

        put_header(buf, PCP_MAP, lifetime, client);
        memcpy(buf + 24, map->nonce, PCP_NONCE_SIZE);
        memset(buf + 36, 0, 4);
        buf[36] = PROTOCOL_UDP;
        write_be16(buf + 40, map->internal_port);
        write_be16(buf + 42, map->external_port);
        put_address(buf + 44, ip_is_set(&map->external) ? &map->external : &any);
        return PCP_MAP_SIZE;
}

size_t pcp_encode_announce(const IpAddr *client, uint8_t buf[static PCP_HEADER_SIZE]) {
        put_header(buf, PCP_ANNOUNCE, 0, client);
        return PCP_HEADER_SIZE;
}

int pcp_decode(const uint8_t *buf, size_t len, PcpResponse *ret) {
        PcpResponse p = {};

        /* Section 8.3. Version 0 is NAT-PMP's (natpmp.h). */
        if (len < PCP_HEADER_SIZE || len > PCP_MESSAGE_MAX || len % 4 != 0 || buf[0] == 0 ||
            !(buf[1] & RESPONSE))
                return -EBADMSG;
        p.version = buf[0];
        p.opcode = buf[1] & (RESPONSE - 1U);
        p.result = buf[3];
        p.lifetime = read_be32(buf + 4);
        p.epoch = read_be32(buf + 8);
        /* Of what another version says nothing else is known to mean the same. */
        if (p.version != PCP_VERSION && p.result != PCP_UNSUPP_VERSION)
                return -EBADMSG;
        if (p.result == PCP_UNSUPP_VERSION) {
                *ret = p;
                return 0;
        }
        if (p.opcode == PCP_MAP) {
                /* An error comes with the question's fields, whatever its router thinks of it. */
                if (len < PCP_MAP_SIZE || buf[36] != PROTOCOL_UDP)
                        return -EBADMSG;
                memcpy(p.map.nonce, buf + 24, PCP_NONCE_SIZE);
                p.map.internal_port = read_be16(buf + 40);
                p.map.external_port = read_be16(buf + 42);
                p.map.external = get_address(buf + 44);
        }
        *ret = p;
        return 0;
}

bool pcp_epoch_holds(const RouterEpoch *e, uint32_t server, usec_t now) {
        uint64_t ours = usec_sub(now, e->at) / USEC_PER_SEC, theirs;

        if (!e->is_known)
                return true;
        /* One second back: two answers that overtook each other. */
        if ((uint64_t) server + 1 < e->server)
                return false;
        theirs = server > e->server ? server - e->server : 0;
        return ours + 2 >= theirs - theirs / 16 && theirs + 2 >= ours - ours / 16;
}
