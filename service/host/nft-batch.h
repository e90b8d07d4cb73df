/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Commands for nftables, as bytes of netlink (linux/netfilter/nf_tables.h): one table with its
 * sets, chains and rules, which the kernel takes all or nothing. Without I/O: host/nft.h sends it.
 * What is put in is ours and of known length; nothing here fails. Any thread, one batch one thread.
 */

#include <glib.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>

#include "base/ip.h"
#include "base/macros.h"

/* The longest message: NFT_ELEMENTS_PER_MESSAGE of two addresses of IPv6 each, or a rule. */
#define NFT_MESSAGE_MAX 32768U
#define NFT_ELEMENTS_PER_MESSAGE 128U

typedef struct NftBatch {
        const char *table; /* borrowed; of family inet */
        GByteArray *bytes; /* whole messages */
        unsigned n;        /* of them, without begin and end */
        uint32_t sets;     /* declared: each has a number of its own in a batch */
        /* The message that is being written, and what is nested in it. */
        uint8_t message[NFT_MESSAGE_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
        struct nlmsghdr *nlh;
        struct nlattr *expressions, *expression, *expression_data;
} NftBatch;

NftBatch *nft_batch_new(const char *table);
NftBatch *nft_batch_free(NftBatch *b);
static inline void nft_batch_freep(NftBatch **b) {
        nft_batch_free(*b);
}
/* Nothing may be put in any more. */
void nft_batch_end(NftBatch *b);

/* Ours as long as the socket is open that makes it. */
void nft_put_table(NftBatch *b);
void nft_delete_table(NftBatch *b);
/* @type: "filter" or "nat"; NULL: no base chain, and the rest does not count. */
void nft_put_chain(NftBatch *b, const char *name, const char *type, unsigned hook, int priority);
/* A named counter. */
void nft_put_counter(NftBatch *b, const char *name);

typedef struct NftSet {
        const char *name;
        int family;        /* of the addresses; AF_UNSPEC: names of interfaces */
        unsigned n_fields; /* addresses in a key: 1 or 2 */
        bool has_ranges;
        bool has_counters; /* one for each element */
        uint32_t dynamic;  /* rules add elements, at most so many; 0: they do not */
} NftSet;
void nft_put_set(NftBatch *b, const NftSet *s);

/* Of one field: from @first to @last, of two: the second field's; both included. */
typedef struct NftElement {
        IpAddr source; /* of two fields; else unset */
        IpAddr first, last;
} NftElement;
/* For sets with ranges and one field in ascending order, none of which overlap. */
void nft_put_elements(NftBatch *b, const NftSet *s, const NftElement *elements, unsigned n);
void nft_delete_elements(NftBatch *b, const NftSet *s, const NftElement *elements, unsigned n);
void nft_put_interface(NftBatch *b, const NftSet *s, const char *name);

/* --- rules: begun, filled from left to right, ended --- */

void nft_rule_begin(NftBatch *b, const char *chain);
void nft_rule_end(NftBatch *b);

typedef enum NftSide {
        NFT_SOURCE,
        NFT_DESTINATION,
} NftSide;

void nft_match_family(NftBatch *b, int family);
/* @key: NFT_META_IIFNAME or NFT_META_OIFNAME. @begins: with @name; else is. */
void nft_match_interface(NftBatch *b, unsigned key, const char *name, bool begins, bool inverted);
void nft_match_interface_in(NftBatch *b, unsigned key, const char *set);
/* Of the packet; its family has been matched. */
void nft_match_prefix(NftBatch *b, NftSide side, const IpPrefix *prefix, bool inverted);
void nft_match_set(NftBatch *b, NftSide side, int family, const char *set, bool inverted);
/* Source and destination are in a set of two fields. */
void nft_match_pair(NftBatch *b, int family, const char *set);
/* Some of @bits (of NF_CT_STATE_BIT or enum ip_conntrack_status) is set, or @inverted: none.
 * @key: NFT_CT_STATE or NFT_CT_STATUS. */
void nft_match_ct(NftBatch *b, unsigned key, uint32_t bits, bool inverted);
/* To where the first packet of the flow went before it was translated. */
void nft_match_original(NftBatch *b, const IpPrefix *prefix);
/* The first packets of a TCP connection. */
void nft_match_syn(NftBatch *b);
/* More than @max flows of this source are known. @set: dynamic. */
void nft_match_flows(NftBatch *b, int family, const char *set, uint32_t max);
/* No more than so many; of the rest nothing is said. */
void nft_limit(NftBatch *b, uint32_t per_second, uint32_t burst);

/* @counter: nft_put_counter() */
void nft_count(NftBatch *b, const char *counter);
/* The segment size to what the narrower of both ways takes. */
void nft_clamp_mss(NftBatch *b);
void nft_masquerade(NftBatch *b);
/* TCP: reset, which its condition is; else ICMP: administratively prohibited. */
void nft_match_tcp(NftBatch *b);
void nft_reject_tcp(NftBatch *b);
void nft_reject(NftBatch *b);
/* @code: NF_ACCEPT, NF_DROP, NFT_JUMP, NFT_GOTO, NFT_RETURN; @chain: of the two */
void nft_verdict(NftBatch *b, int code, const char *chain);
