/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/nft-batch.h"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

/* How the command nft calls the types of keys when it lists a set; the kernel only keeps the number
 * (libnftables, enum datatypes, which has not changed since there is nft). */
#define TYPE_IPADDR 7U
#define TYPE_IP6ADDR 8U
#define TYPE_IFNAME 41U
#define TYPE_BITS 6U

/* For nft as well: type, length and value in the byte order of the machine say that names are not
 * numbers (libnftnl, NFTNL_UDATA_SET_KEYBYTEORDER; libnftables, BYTEORDER_HOST_ENDIAN). */
static const uint8_t names_userdata[] = { 0, 4, G_BYTE_ORDER == G_LITTLE_ENDIAN,
                                          0, 0, G_BYTE_ORDER == G_BIG_ENDIAN };

NftBatch *nft_batch_new(const char *table) {
        NftBatch *b = NEW(NftBatch);

        b->table = table;
        b->bytes = g_byte_array_new();
        return b;
}

NftBatch *nft_batch_free(NftBatch *b) {
        if (b)
                g_byte_array_unref(b->bytes);
        g_free(b);
        return NULL;
}

/* --- messages --- */

static void begin(NftBatch *b, uint16_t type, uint16_t flags) {
        struct nfgenmsg *nfg;

        b->nlh = mnl_nlmsg_put_header(b->message);
        b->nlh->nlmsg_type = type;
        b->nlh->nlmsg_flags = (uint16_t) (NLM_F_REQUEST | flags);
        b->nlh->nlmsg_seq = b->n;
        nfg = mnl_nlmsg_put_extra_header(b->nlh, sizeof *nfg);
        nfg->nfgen_family = NFPROTO_INET;
        nfg->version = NFNETLINK_V0;
}

static void end(NftBatch *b) {
        assert(b->nlh->nlmsg_len <= sizeof b->message);
        g_byte_array_append(b->bytes, (const uint8_t *) b->nlh, b->nlh->nlmsg_len);
        b->nlh = NULL;
}

static void begin_command(NftBatch *b, uint16_t command, uint16_t flags) {
        if (b->n++ == 0) {
                begin(b, NFNL_MSG_BATCH_BEGIN, 0);
                ((struct nfgenmsg *) mnl_nlmsg_get_payload(b->nlh))->nfgen_family = AF_UNSPEC;
                ((struct nfgenmsg *) mnl_nlmsg_get_payload(b->nlh))->res_id =
                                htons(NFNL_SUBSYS_NFTABLES);
                end(b);
        }
        begin(b, (uint16_t) (NFNL_SUBSYS_NFTABLES << 8 | command), flags);
}

void nft_batch_end(NftBatch *b) {
        if (b->n == 0)
                return;
        begin(b, NFNL_MSG_BATCH_END, 0);
        ((struct nfgenmsg *) mnl_nlmsg_get_payload(b->nlh))->nfgen_family = AF_UNSPEC;
        ((struct nfgenmsg *) mnl_nlmsg_get_payload(b->nlh))->res_id = htons(NFNL_SUBSYS_NFTABLES);
        end(b);
}

static void put_u32(NftBatch *b, uint16_t type, uint32_t value) {
        mnl_attr_put_u32(b->nlh, type, htonl(value));
}

/* --- table, chains, sets --- */

void nft_put_table(NftBatch *b) {
        begin_command(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
        mnl_attr_put_strz(b->nlh, NFTA_TABLE_NAME, b->table);
        put_u32(b, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
        end(b);
}

void nft_delete_table(NftBatch *b) {
        begin_command(b, NFT_MSG_DELTABLE, 0);
        mnl_attr_put_strz(b->nlh, NFTA_TABLE_NAME, b->table);
        end(b);
}

void nft_put_chain(NftBatch *b, const char *name, const char *type, unsigned hook, int priority) {
        struct nlattr *nest;

        begin_command(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
        mnl_attr_put_strz(b->nlh, NFTA_CHAIN_TABLE, b->table);
        mnl_attr_put_strz(b->nlh, NFTA_CHAIN_NAME, name);
        if (type) {
                nest = mnl_attr_nest_start(b->nlh, NFTA_CHAIN_HOOK);
                put_u32(b, NFTA_HOOK_HOOKNUM, hook);
                put_u32(b, NFTA_HOOK_PRIORITY, (uint32_t) priority);
                mnl_attr_nest_end(b->nlh, nest);
                mnl_attr_put_strz(b->nlh, NFTA_CHAIN_TYPE, type);
                put_u32(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
        }
        end(b);
}

void nft_put_counter(NftBatch *b, const char *name) {
        struct nlattr *nest;

        begin_command(b, NFT_MSG_NEWOBJ, NLM_F_CREATE | NLM_F_EXCL);
        mnl_attr_put_strz(b->nlh, NFTA_OBJ_TABLE, b->table);
        mnl_attr_put_strz(b->nlh, NFTA_OBJ_NAME, name);
        put_u32(b, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
        nest = mnl_attr_nest_start(b->nlh, NFTA_OBJ_DATA);
        mnl_attr_nest_end(b->nlh, nest);
        end(b);
}

static uint32_t field_len(int family) {
        return family == AF_INET ? 4 : family == AF_INET6 ? 16 : IFNAMSIZ;
}

static uint32_t key_type(const NftSet *s) {
        uint32_t type = s->family == AF_INET    ? TYPE_IPADDR
                        : s->family == AF_INET6 ? TYPE_IP6ADDR
                                                : TYPE_IFNAME;

        return s->n_fields == 2 ? type << TYPE_BITS | type : type;
}

static uint32_t set_flags(const NftSet *s) {
        uint32_t flags = 0;

        if (s->has_ranges)
                flags |= NFT_SET_INTERVAL;
        if (s->n_fields == 2)
                flags |= NFT_SET_CONCAT;
        if (s->dynamic > 0)
                flags |= NFT_SET_EVAL;
        return flags;
}

static void put_set_description(NftBatch *b, const NftSet *s) {
        struct nlattr *desc = mnl_attr_nest_start(b->nlh, NFTA_SET_DESC), *all, *one;

        if (s->dynamic > 0)
                put_u32(b, NFTA_SET_DESC_SIZE, s->dynamic);
        if (s->n_fields == 2) {
                all = mnl_attr_nest_start(b->nlh, NFTA_SET_DESC_CONCAT);
                for (unsigned i = 0; i < s->n_fields; i++) {
                        one = mnl_attr_nest_start(b->nlh, NFTA_LIST_ELEM);
                        put_u32(b, NFTA_SET_FIELD_LEN, field_len(s->family));
                        mnl_attr_nest_end(b->nlh, one);
                }
                mnl_attr_nest_end(b->nlh, all);
        }
        mnl_attr_nest_end(b->nlh, desc);
}

void nft_put_set(NftBatch *b, const NftSet *s) {
        struct nlattr *expr, *data;

        begin_command(b, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);
        mnl_attr_put_strz(b->nlh, NFTA_SET_TABLE, b->table);
        mnl_attr_put_strz(b->nlh, NFTA_SET_NAME, s->name);
        put_u32(b, NFTA_SET_ID, ++b->sets);
        put_u32(b, NFTA_SET_FLAGS, set_flags(s));
        put_u32(b, NFTA_SET_KEY_TYPE, key_type(s));
        put_u32(b, NFTA_SET_KEY_LEN, s->n_fields * field_len(s->family));
        if (s->family == AF_UNSPEC)
                mnl_attr_put(b->nlh, NFTA_SET_USERDATA, sizeof names_userdata, names_userdata);
        put_set_description(b, s);
        if (s->has_counters) {
                expr = mnl_attr_nest_start(b->nlh, NFTA_SET_EXPR);
                mnl_attr_put_strz(b->nlh, NFTA_EXPR_NAME, "counter");
                data = mnl_attr_nest_start(b->nlh, NFTA_EXPR_DATA);
                mnl_attr_nest_end(b->nlh, data);
                mnl_attr_nest_end(b->nlh, expr);
        }
        end(b);
}

/* --- elements --- */

static void put_key(NftBatch *b, uint16_t type, const void *key, size_t len) {
        struct nlattr *nest = mnl_attr_nest_start(b->nlh, type);

        mnl_attr_put(b->nlh, NFTA_DATA_VALUE, len, key);
        mnl_attr_nest_end(b->nlh, nest);
}

/* Return: false: there is none, @a is the last. */
static bool next_address(const IpAddr *a, IpAddr *ret) {
        *ret = *a;
        for (size_t i = ip_size(a); i-- > 0;)
                if (++ret->bytes[i] != 0)
                        return true;
        return false;
}

static void put_pair(NftBatch *b, const NftSet *s, const NftElement *e) {
        size_t len = field_len(s->family);
        uint8_t key[32] = {}, key_end[32] = {};

        memcpy(key, e->source.bytes, len);
        memcpy(key + len, e->first.bytes, len);
        memcpy(key_end, e->source.bytes, len);
        memcpy(key_end + len, e->last.bytes, len);
        put_key(b, NFTA_SET_ELEM_KEY, key, 2 * len);
        put_key(b, NFTA_SET_ELEM_KEY_END, key_end, 2 * len);
}

static void put_element(NftBatch *b, const NftSet *s, const NftElement *e) {
        struct nlattr *one = mnl_attr_nest_start(b->nlh, NFTA_LIST_ELEM);
        IpAddr after;

        if (s->n_fields == 2)
                put_pair(b, s, e);
        else
                put_key(b, NFTA_SET_ELEM_KEY, e->first.bytes, field_len(s->family));
        mnl_attr_nest_end(b->nlh, one);
        /* A range is where it begins, and where the first after it is. */
        if (s->n_fields == 2 || !s->has_ranges || !next_address(&e->last, &after))
                return;
        one = mnl_attr_nest_start(b->nlh, NFTA_LIST_ELEM);
        put_u32(b, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
        put_key(b, NFTA_SET_ELEM_KEY, after.bytes, field_len(s->family));
        mnl_attr_nest_end(b->nlh, one);
}

static struct nlattr *begin_elements(NftBatch *b, const NftSet *s, uint16_t command) {
        begin_command(b, command, command == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
        mnl_attr_put_strz(b->nlh, NFTA_SET_ELEM_LIST_TABLE, b->table);
        mnl_attr_put_strz(b->nlh, NFTA_SET_ELEM_LIST_SET, s->name);
        return mnl_attr_nest_start(b->nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
}

static void elements(NftBatch *b, const NftSet *s, uint16_t command, const NftElement *e, unsigned n) {
        for (unsigned i = 0; i < n; i += NFT_ELEMENTS_PER_MESSAGE) {
                struct nlattr *list = begin_elements(b, s, command);

                for (unsigned k = i; k < n && k < i + NFT_ELEMENTS_PER_MESSAGE; k++)
                        put_element(b, s, &e[k]);
                mnl_attr_nest_end(b->nlh, list);
                end(b);
        }
}

void nft_put_elements(NftBatch *b, const NftSet *s, const NftElement *e, unsigned n) {
        elements(b, s, NFT_MSG_NEWSETELEM, e, n);
}

void nft_delete_elements(NftBatch *b, const NftSet *s, const NftElement *e, unsigned n) {
        elements(b, s, NFT_MSG_DELSETELEM, e, n);
}

void nft_put_interface(NftBatch *b, const NftSet *s, const char *name) {
        struct nlattr *list = begin_elements(b, s, NFT_MSG_NEWSETELEM), *one;
        char key[IFNAMSIZ] = "";

        g_strlcpy(key, name, sizeof key);
        one = mnl_attr_nest_start(b->nlh, NFTA_LIST_ELEM);
        put_key(b, NFTA_SET_ELEM_KEY, key, sizeof key);
        mnl_attr_nest_end(b->nlh, one);
        mnl_attr_nest_end(b->nlh, list);
        end(b);
}

/* --- for nft-rule.c --- */

void nft_rule_begin(NftBatch *b, const char *chain) {
        begin_command(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
        mnl_attr_put_strz(b->nlh, NFTA_RULE_TABLE, b->table);
        mnl_attr_put_strz(b->nlh, NFTA_RULE_CHAIN, chain);
        b->expressions = mnl_attr_nest_start(b->nlh, NFTA_RULE_EXPRESSIONS);
}

void nft_rule_end(NftBatch *b) {
        mnl_attr_nest_end(b->nlh, b->expressions);
        end(b);
}
