/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What rules are made of: each function puts the expressions of one condition or action behind
 * those that are there. A condition loads something into a register and compares it. */

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <string.h>

#include "host/nft-batch.h"

/* Of 16 bytes; the second field of a key of two stands behind the first. */
#define REGISTER NFT_REG_1

/* Header fields: RFC 791, RFC 8200, RFC 9293. */
#define IPV4_SOURCE 12U
#define IPV4_DESTINATION 16U
#define IPV6_SOURCE 8U
#define IPV6_DESTINATION 24U
#define TCP_FLAGS 13U
#define TCP_SYN 0x02U
#define TCP_RST 0x04U
#define TCP_OPTION_MSS 2U

static void put_u32(NftBatch *b, uint16_t type, uint32_t value) {
        mnl_attr_put_u32(b->nlh, type, htonl(value));
}

static void begin(NftBatch *b, const char *name) {
        b->expression = mnl_attr_nest_start(b->nlh, NFTA_LIST_ELEM);
        mnl_attr_put_strz(b->nlh, NFTA_EXPR_NAME, name);
        b->expression_data = mnl_attr_nest_start(b->nlh, NFTA_EXPR_DATA);
}

static void end(NftBatch *b) {
        mnl_attr_nest_end(b->nlh, b->expression_data);
        mnl_attr_nest_end(b->nlh, b->expression);
}

static void put_data(NftBatch *b, uint16_t type, const void *data, size_t len) {
        struct nlattr *nest = mnl_attr_nest_start(b->nlh, type);

        mnl_attr_put(b->nlh, NFTA_DATA_VALUE, len, data);
        mnl_attr_nest_end(b->nlh, nest);
}

/* --- into a register, out of it --- */

static void load_meta(NftBatch *b, unsigned key) {
        begin(b, "meta");
        put_u32(b, NFTA_META_KEY, key);
        put_u32(b, NFTA_META_DREG, REGISTER);
        end(b);
}

static void load_payload(NftBatch *b, unsigned base, unsigned offset, size_t len, unsigned reg) {
        begin(b, "payload");
        put_u32(b, NFTA_PAYLOAD_DREG, reg);
        put_u32(b, NFTA_PAYLOAD_BASE, base);
        put_u32(b, NFTA_PAYLOAD_OFFSET, offset);
        put_u32(b, NFTA_PAYLOAD_LEN, (uint32_t) len);
        end(b);
}

static void load_address(NftBatch *b, NftSide side, int family, unsigned reg) {
        static const unsigned v4[] = { IPV4_SOURCE, IPV4_DESTINATION };
        static const unsigned v6[] = { IPV6_SOURCE, IPV6_DESTINATION };

        if (family == AF_INET)
                load_payload(b, NFT_PAYLOAD_NETWORK_HEADER, v4[side], 4, reg);
        else
                load_payload(b, NFT_PAYLOAD_NETWORK_HEADER, v6[side], 16, reg);
}

static void mask(NftBatch *b, const void *bits, size_t len) {
        static const uint8_t zero[16];

        begin(b, "bitwise");
        put_u32(b, NFTA_BITWISE_SREG, REGISTER);
        put_u32(b, NFTA_BITWISE_DREG, REGISTER);
        put_u32(b, NFTA_BITWISE_LEN, (uint32_t) len);
        put_data(b, NFTA_BITWISE_MASK, bits, len);
        put_data(b, NFTA_BITWISE_XOR, zero, len);
        end(b);
}

static void compare(NftBatch *b, bool inverted, const void *data, size_t len) {
        begin(b, "cmp");
        put_u32(b, NFTA_CMP_SREG, REGISTER);
        put_u32(b, NFTA_CMP_OP, inverted ? NFT_CMP_NEQ : NFT_CMP_EQ);
        put_data(b, NFTA_CMP_DATA, data, len);
        end(b);
}

static void look_up(NftBatch *b, const char *set, bool inverted) {
        begin(b, "lookup");
        mnl_attr_put_strz(b->nlh, NFTA_LOOKUP_SET, set);
        put_u32(b, NFTA_LOOKUP_SREG, REGISTER);
        if (inverted)
                put_u32(b, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
        end(b);
}

/* --- conditions --- */

void nft_match_family(NftBatch *b, int family) {
        uint8_t protocol = family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;

        load_meta(b, NFT_META_NFPROTO);
        compare(b, false, &protocol, sizeof protocol);
}

void nft_match_interface(NftBatch *b, unsigned key, const char *name, bool begins, bool inverted) {
        char text[IFNAMSIZ] = "";

        g_strlcpy(text, name, sizeof text);
        load_meta(b, key);
        /* A name is compared with the zeros behind it. */
        compare(b, inverted, text, begins ? strlen(text) : sizeof text);
}

void nft_match_interface_in(NftBatch *b, unsigned key, const char *set) {
        load_meta(b, key);
        look_up(b, set, false);
}

static void compare_prefix(NftBatch *b, const IpPrefix *prefix, bool inverted) {
        uint8_t bits[16] = {};

        for (unsigned i = 0; i < prefix->len; i++)
                bits[i / 8] |= (uint8_t) (0x80U >> i % 8);
        mask(b, bits, ip_size(&prefix->addr));
        compare(b, inverted, prefix->addr.bytes, ip_size(&prefix->addr));
}

void nft_match_prefix(NftBatch *b, NftSide side, const IpPrefix *prefix, bool inverted) {
        load_address(b, side, prefix->addr.family, REGISTER);
        compare_prefix(b, prefix, inverted);
}

void nft_match_set(NftBatch *b, NftSide side, int family, const char *set, bool inverted) {
        load_address(b, side, family, REGISTER);
        look_up(b, set, inverted);
}

void nft_match_pair(NftBatch *b, int family, const char *set) {
        unsigned second = family == AF_INET ? NFT_REG32_01 : NFT_REG32_04;

        load_address(b, NFT_SOURCE, family, NFT_REG32_00);
        load_address(b, NFT_DESTINATION, family, second);
        begin(b, "lookup");
        mnl_attr_put_strz(b->nlh, NFTA_LOOKUP_SET, set);
        put_u32(b, NFTA_LOOKUP_SREG, NFT_REG32_00);
        end(b);
}

void nft_match_ct(NftBatch *b, unsigned key, uint32_t bits, bool inverted) {
        static const uint32_t zero;

        begin(b, "ct");
        put_u32(b, NFTA_CT_KEY, key);
        put_u32(b, NFTA_CT_DREG, REGISTER);
        end(b);
        mask(b, &bits, sizeof bits);
        compare(b, !inverted, &zero, sizeof zero);
}

void nft_match_original(NftBatch *b, const IpPrefix *prefix) {
        begin(b, "ct");
        put_u32(b, NFTA_CT_KEY, prefix->addr.family == AF_INET ? NFT_CT_DST_IP : NFT_CT_DST_IP6);
        put_u32(b, NFTA_CT_DREG, REGISTER);
        mnl_attr_put_u8(b->nlh, NFTA_CT_DIRECTION, IP_CT_DIR_ORIGINAL);
        end(b);
        compare_prefix(b, prefix, false);
}

void nft_match_tcp(NftBatch *b) {
        const uint8_t tcp = IPPROTO_TCP;

        load_meta(b, NFT_META_L4PROTO);
        compare(b, false, &tcp, sizeof tcp);
}

void nft_match_syn(NftBatch *b) {
        const uint8_t both = TCP_SYN | TCP_RST, syn = TCP_SYN;

        nft_match_tcp(b);
        load_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS, 1, REGISTER);
        mask(b, &both, sizeof both);
        compare(b, false, &syn, sizeof syn);
}

void nft_match_flows(NftBatch *b, int family, const char *set, uint32_t max) {
        struct nlattr *expr, *data;

        load_address(b, NFT_SOURCE, family, REGISTER);
        begin(b, "dynset");
        mnl_attr_put_strz(b->nlh, NFTA_DYNSET_SET_NAME, set);
        put_u32(b, NFTA_DYNSET_OP, NFT_DYNSET_OP_ADD);
        put_u32(b, NFTA_DYNSET_SREG_KEY, REGISTER);
        expr = mnl_attr_nest_start(b->nlh, NFTA_DYNSET_EXPR);
        mnl_attr_put_strz(b->nlh, NFTA_EXPR_NAME, "connlimit");
        data = mnl_attr_nest_start(b->nlh, NFTA_EXPR_DATA);
        put_u32(b, NFTA_CONNLIMIT_COUNT, max);
        put_u32(b, NFTA_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
        mnl_attr_nest_end(b->nlh, data);
        mnl_attr_nest_end(b->nlh, expr);
        end(b);
}

void nft_limit(NftBatch *b, uint32_t per_second, uint32_t burst) {
        begin(b, "limit");
        mnl_attr_put_u64(b->nlh, NFTA_LIMIT_RATE, GUINT64_TO_BE((uint64_t) per_second));
        mnl_attr_put_u64(b->nlh, NFTA_LIMIT_UNIT, GUINT64_TO_BE(UINT64_C(1)));
        put_u32(b, NFTA_LIMIT_BURST, burst);
        put_u32(b, NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
        end(b);
}

/* --- actions --- */

void nft_count(NftBatch *b, const char *counter) {
        begin(b, "objref");
        put_u32(b, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
        mnl_attr_put_strz(b->nlh, NFTA_OBJREF_IMM_NAME, counter);
        end(b);
}

void nft_clamp_mss(NftBatch *b) {
        begin(b, "rt");
        put_u32(b, NFTA_RT_DREG, REGISTER);
        put_u32(b, NFTA_RT_KEY, NFT_RT_TCPMSS);
        end(b);
        begin(b, "byteorder");
        put_u32(b, NFTA_BYTEORDER_SREG, REGISTER);
        put_u32(b, NFTA_BYTEORDER_DREG, REGISTER);
        put_u32(b, NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON);
        put_u32(b, NFTA_BYTEORDER_LEN, 2);
        put_u32(b, NFTA_BYTEORDER_SIZE, 2);
        end(b);
        begin(b, "exthdr");
        put_u32(b, NFTA_EXTHDR_SREG, REGISTER);
        mnl_attr_put_u8(b->nlh, NFTA_EXTHDR_TYPE, TCP_OPTION_MSS);
        put_u32(b, NFTA_EXTHDR_OFFSET, 2);
        put_u32(b, NFTA_EXTHDR_LEN, 2);
        put_u32(b, NFTA_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
        end(b);
}

void nft_masquerade(NftBatch *b) {
        begin(b, "masq");
        end(b);
}

void nft_reject_tcp(NftBatch *b) {
        begin(b, "reject");
        put_u32(b, NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
        end(b);
}

void nft_reject(NftBatch *b) {
        begin(b, "reject");
        put_u32(b, NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
        mnl_attr_put_u8(b->nlh, NFTA_REJECT_ICMP_CODE, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
        end(b);
}

void nft_verdict(NftBatch *b, int code, const char *chain) {
        struct nlattr *data, *verdict;

        begin(b, "immediate");
        put_u32(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        data = mnl_attr_nest_start(b->nlh, NFTA_IMMEDIATE_DATA);
        verdict = mnl_attr_nest_start(b->nlh, NFTA_DATA_VERDICT);
        put_u32(b, NFTA_VERDICT_CODE, (uint32_t) code);
        if (chain)
                mnl_attr_put_strz(b->nlh, NFTA_VERDICT_CHAIN, chain);
        mnl_attr_nest_end(b->nlh, verdict);
        mnl_attr_nest_end(b->nlh, data);
        end(b);
}
