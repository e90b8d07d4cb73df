/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nft-model.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

typedef struct Element {
        uint8_t key[32], end[32]; /* of two fields: both included */
        bool is_end;              /* of a range */
        uint64_t packets;
} Element;

typedef struct Set {
        uint32_t flags, key_len;
        GArray *elements; /* of Element, by key */
} Set;

/* A rule is its expressions, each the bytes of an attribute. */
typedef struct Chain {
        GPtrArray *rules; /* of GBytes: NFTA_RULE_EXPRESSIONS */
} Chain;

static NftModel *model(Nft *n) {
        return (NftModel *) n;
}

static void set_free(void *data) {
        Set *s = data;

        g_array_unref(s->elements);
        g_free(s);
}

static void chain_free(void *data) {
        Chain *c = data;

        g_ptr_array_unref(c->rules);
        g_free(c);
}

static const struct nlattr *find(const struct nlattr *nest, uint16_t type) {
        const struct nlattr *attr;

        mnl_attr_for_each_nested(attr, nest) if (mnl_attr_get_type(attr) == type) return attr;
        return NULL;
}

static const struct nlattr *find_in(const struct nlmsghdr *nlh, uint16_t type) {
        const struct nlattr *attr;

        mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
                if (mnl_attr_get_type(attr) == type)
                        return attr;
        }
        return NULL;
}

static uint32_t u32_of(const struct nlattr *attr) {
        return attr ? ntohl(mnl_attr_get_u32(attr)) : 0;
}

static const char *text_in(const struct nlmsghdr *nlh, uint16_t type) {
        const struct nlattr *attr = find_in(nlh, type);

        return attr ? mnl_attr_get_str(attr) : NULL;
}

/* --- batches --- */

static int compare_elements(const void *a, const void *b) {
        const Element *x = a, *y = b;
        int d = memcmp(x->key, y->key, sizeof x->key);

        /* Where one range ends another may begin. */
        return d ?: (int) y->is_end - (int) x->is_end;
}

static void read_key(const struct nlattr *element, uint16_t type, uint8_t ret[static 32]) {
        const struct nlattr *key = find(element, type),
                            *value = key ? find(key, NFTA_DATA_VALUE) : NULL;

        if (value)
                memcpy(ret, mnl_attr_get_payload(value), MIN(mnl_attr_get_payload_len(value), 32U));
}

static int add_element(Set *s, const struct nlattr *attr) {
        Element e = { .is_end = u32_of(find(attr, NFTA_SET_ELEM_FLAGS)) & NFT_SET_ELEM_INTERVAL_END };

        read_key(attr, NFTA_SET_ELEM_KEY, e.key);
        read_key(attr, NFTA_SET_ELEM_KEY_END, e.end);
        for (unsigned i = 0; i < s->elements->len; i++) {
                const Element *o = &g_array_index(s->elements, Element, i);

                /* What is there already is no error; what overlaps is. */
                if (compare_elements(&e, o) == 0 && memcmp(e.end, o->end, sizeof e.end) == 0)
                        return 0;
                if ((s->flags & NFT_SET_CONCAT) && memcmp(e.key, o->key, s->key_len / 2) == 0 &&
                    memcmp(e.key, o->end, s->key_len) <= 0 && memcmp(o->key, e.end, s->key_len) <= 0)
                        return -EEXIST;
        }
        g_array_append_val(s->elements, e);
        return 0;
}

static int delete_element(Set *s, const struct nlattr *attr) {
        Element e = {};

        read_key(attr, NFTA_SET_ELEM_KEY, e.key);
        for (unsigned i = 0; i < s->elements->len; i++)
                if (memcmp(g_array_index(s->elements, Element, i).key, e.key, sizeof e.key) == 0) {
                        g_array_remove_index(s->elements, i);
                        return 0;
                }
        return -ENOENT;
}

/* Begins and ends take turns, or ranges overlap. */
static bool ranges_are_sound(const Set *s) {
        if (!(s->flags & NFT_SET_INTERVAL) || (s->flags & NFT_SET_CONCAT))
                return true;
        for (unsigned i = 0; i < s->elements->len; i++)
                if (g_array_index(s->elements, Element, i).is_end != (i % 2 == 1))
                        return false;
        return true;
}

static int take_elements(NftModel *m, const struct nlmsghdr *nlh, bool add) {
        const struct nlattr *list = find_in(nlh, NFTA_SET_ELEM_LIST_ELEMENTS), *attr;
        Set *s = g_hash_table_lookup(m->sets, text_in(nlh, NFTA_SET_ELEM_LIST_SET));
        int r = s ? 0 : -ENOENT;

        assert_true(nlh->nlmsg_len <= NFT_MESSAGE_MAX);
        if (s)
                mnl_attr_for_each_nested(attr, list) {
                        r = r ?: (add ? add_element : delete_element)(s, attr);
                }
        if (s)
                g_array_sort(s->elements, compare_elements);
        return r ?: ranges_are_sound(s) ? r : -EEXIST;
}

static int take_set(NftModel *m, const struct nlmsghdr *nlh) {
        Set *s = NEW(Set);

        s->flags = u32_of(find_in(nlh, NFTA_SET_FLAGS));
        s->key_len = u32_of(find_in(nlh, NFTA_SET_KEY_LEN));
        s->elements = g_array_new(FALSE, FALSE, sizeof(Element));
        assert_non_null(find_in(nlh, NFTA_SET_ID));
        g_hash_table_insert(m->sets, g_strdup(text_in(nlh, NFTA_SET_NAME)), s);
        return 0;
}

static int take_chain(NftModel *m, const struct nlmsghdr *nlh) {
        Chain *c = NEW(Chain);

        c->rules = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
        assert_false(g_hash_table_contains(m->chains, text_in(nlh, NFTA_CHAIN_NAME)));
        g_hash_table_insert(m->chains, g_strdup(text_in(nlh, NFTA_CHAIN_NAME)), c);
        return 0;
}

static int take_rule(NftModel *m, const struct nlmsghdr *nlh) {
        const struct nlattr *attr = find_in(nlh, NFTA_RULE_EXPRESSIONS);
        Chain *c = g_hash_table_lookup(m->chains, text_in(nlh, NFTA_RULE_CHAIN));

        if (!c)
                return -ENOENT;
        g_ptr_array_add(c->rules, g_bytes_new(attr, attr->nla_len));
        return 0;
}

static void clear(NftModel *m) {
        g_hash_table_remove_all(m->sets);
        g_hash_table_remove_all(m->chains);
        g_hash_table_remove_all(m->counters);
}

static int take_command(NftModel *m, const struct nlmsghdr *nlh) {
        switch (NFNL_MSG_TYPE(nlh->nlmsg_type)) {
        case NFT_MSG_NEWTABLE:
                assert_int_equal(u32_of(find_in(nlh, NFTA_TABLE_FLAGS)), NFT_TABLE_F_OWNER);
                if (m->is_there)
                        return -EEXIST;
                m->is_there = true;
                return 0;
        case NFT_MSG_DELTABLE:
                if (!m->is_there)
                        return -ENOENT;
                m->is_there = false;
                clear(m);
                return 0;
        case NFT_MSG_NEWSET:
                return take_set(m, nlh);
        case NFT_MSG_NEWCHAIN:
                return take_chain(m, nlh);
        case NFT_MSG_NEWRULE:
                return take_rule(m, nlh);
        case NFT_MSG_NEWSETELEM:
                return take_elements(m, nlh, true);
        case NFT_MSG_DELSETELEM:
                return take_elements(m, nlh, false);
        case NFT_MSG_NEWOBJ:
                g_hash_table_insert(m->counters, g_strdup(text_in(nlh, NFTA_OBJ_NAME)), NEW(uint64_t));
                return 0;
        }
        fail_msg("a command the model does not know: %u", nlh->nlmsg_type);
        return -EINVAL;
}

/* What fails half-way does in a test only where it is told to, before anything: so there is nothing
 * to take back. */
static int model_commit(Nft *n, NftBatch *b) {
        NftModel *m = model(n);
        const struct nlmsghdr *nlh;
        int left, r = m->fail;

        m->fail = 0;
        m->commits++;
        nft_batch_end(b);
        nlh = (const struct nlmsghdr *) b->bytes->data;
        left = (int) b->bytes->len;
        for (; r == 0 && mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
                if (nlh->nlmsg_type >= NLMSG_MIN_TYPE << 4)
                        r = take_command(m, nlh);
        if (r == 0)
                assert_int_equal(left, 0);
        return r;
}

/* --- packets --- */

typedef struct Run {
        NftModel *m;
        const ModelPacket *p;
        uint8_t reg[64];
        ModelVerdict verdict;
        bool is_over;
} Run;

typedef enum Step {
        STEP_ON,    /* to the next expression */
        STEP_BREAK, /* to the next rule */
        STEP_RETURN,
        STEP_OVER,
} Step;

/* The numbers of registers: the old ones are of 16 bytes, the new ones of 4 (enum nft_registers). */
static uint8_t *reg_of(Run *r, uint32_t number) {
        return number >= NFT_REG32_00 ? r->reg + 4 * (number - NFT_REG32_00)
                                      : r->reg + 16 * (number - NFT_REG_1);
}

static Step do_meta(Run *r, const struct nlattr *data) {
        uint8_t *reg = reg_of(r, u32_of(find(data, NFTA_META_DREG)));

        memset(reg, 0, 16);
        switch (u32_of(find(data, NFTA_META_KEY))) {
        case NFT_META_IIFNAME:
                g_strlcpy((char *) reg, r->p->iif, 16);
                return STEP_ON;
        case NFT_META_OIFNAME:
                g_strlcpy((char *) reg, r->p->oif, 16);
                return STEP_ON;
        case NFT_META_NFPROTO:
                *reg = r->p->family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;
                return STEP_ON;
        case NFT_META_L4PROTO:
                *reg = r->p->protocol;
                return STEP_ON;
        }
        fail_msg("a key of meta the model does not know");
        return STEP_BREAK;
}

static Step do_payload(Run *r, const struct nlattr *data) {
        uint8_t *reg = reg_of(r, u32_of(find(data, NFTA_PAYLOAD_DREG)));
        uint32_t offset = u32_of(find(data, NFTA_PAYLOAD_OFFSET));
        bool v4 = r->p->family == AF_INET;

        if (u32_of(find(data, NFTA_PAYLOAD_BASE)) == NFT_PAYLOAD_TRANSPORT_HEADER) {
                assert_int_equal(offset, 13);
                *reg = r->p->tcp_flags;
                return STEP_ON;
        }
        if (offset == (v4 ? 12U : 8U))
                memcpy(reg, r->p->source.bytes, v4 ? 4 : 16);
        else if (offset == (v4 ? 16U : 24U))
                memcpy(reg, r->p->destination.bytes, v4 ? 4 : 16);
        else
                fail_msg("an offset the model does not know: %u", offset);
        return STEP_ON;
}

static Step do_ct(Run *r, const struct nlattr *data) {
        uint8_t *reg = reg_of(r, u32_of(find(data, NFTA_CT_DREG)));

        switch (u32_of(find(data, NFTA_CT_KEY))) {
        case NFT_CT_STATE:
                memcpy(reg, &r->p->ct_state, 4);
                return STEP_ON;
        case NFT_CT_STATUS:
                memcpy(reg, &r->p->ct_status, 4);
                return STEP_ON;
        case NFT_CT_DST_IP:
        case NFT_CT_DST_IP6:
                memcpy(reg, r->p->original.bytes, ip_size(&r->p->destination));
                return STEP_ON;
        }
        fail_msg("a key of ct the model does not know");
        return STEP_BREAK;
}

static const void *value_of(const struct nlattr *data, uint16_t type, size_t *ret_len) {
        const struct nlattr *value = find(find(data, type), NFTA_DATA_VALUE);

        *ret_len = mnl_attr_get_payload_len(value);
        return mnl_attr_get_payload(value);
}

static Step do_bitwise(Run *r, const struct nlattr *data) {
        uint8_t *reg = reg_of(r, u32_of(find(data, NFTA_BITWISE_SREG)));
        size_t len;
        const uint8_t *bits = value_of(data, NFTA_BITWISE_MASK, &len);

        for (size_t i = 0; i < len; i++)
                reg[i] &= bits[i];
        return STEP_ON;
}

static Step do_cmp(Run *r, const struct nlattr *data) {
        size_t len;
        const void *value = value_of(data, NFTA_CMP_DATA, &len);
        bool equal = memcmp(reg_of(r, u32_of(find(data, NFTA_CMP_SREG))), value, len) == 0;

        return equal == (u32_of(find(data, NFTA_CMP_OP)) == NFT_CMP_EQ) ? STEP_ON : STEP_BREAK;
}

static Element *look_up(const Set *s, const uint8_t *key) {
        Element *last = NULL;

        for (unsigned i = 0; i < s->elements->len; i++) {
                Element *e = &g_array_index(s->elements, Element, i);
                size_t half = s->key_len / 2;

                if (s->flags & NFT_SET_CONCAT) {
                        if (memcmp(e->key, key, half) == 0 &&
                            memcmp(e->key + half, key + half, half) <= 0 &&
                            memcmp(key + half, e->end + half, half) <= 0)
                                return e;
                } else if (s->flags & NFT_SET_INTERVAL) {
                        if (memcmp(e->key, key, s->key_len) <= 0)
                                last = e;
                } else if (memcmp(e->key, key, s->key_len) == 0)
                        return e;
        }
        return last && !last->is_end ? last : NULL;
}

static Step do_lookup(Run *r, const struct nlattr *data) {
        const char *name = mnl_attr_get_str(find(data, NFTA_LOOKUP_SET));
        const Set *s = g_hash_table_lookup(r->m->sets, name);
        Element *e;

        if (!s)
                fail_msg("a rule looks into a set that is not there: %s", name);
        e = look_up(s, reg_of(r, u32_of(find(data, NFTA_LOOKUP_SREG))));
        if (e)
                e->packets++;
        return !e == !!(u32_of(find(data, NFTA_LOOKUP_FLAGS)) & NFT_LOOKUP_F_INV) ? STEP_ON
                                                                                  : STEP_BREAK;
}

static Step run_chain(Run *r, const char *name);

static Step do_immediate(Run *r, const struct nlattr *data) {
        const struct nlattr *v = find(find(data, NFTA_IMMEDIATE_DATA), NFTA_DATA_VERDICT);
        const struct nlattr *chain = find(v, NFTA_VERDICT_CHAIN);
        int code = (int) u32_of(find(v, NFTA_VERDICT_CODE));
        Step s;

        switch (code) {
        case NF_ACCEPT:
                return STEP_OVER;
        case NF_DROP:
                r->verdict.what = MODEL_DROP;
                return STEP_OVER;
        case NFT_RETURN:
                return STEP_RETURN;
        case NFT_JUMP:
        case NFT_GOTO:
                s = run_chain(r, mnl_attr_get_str(chain));
                if (s == STEP_OVER)
                        return s;
                return code == NFT_GOTO ? STEP_RETURN : STEP_ON;
        }
        fail_msg("a verdict the model does not know: %d", code);
        return STEP_OVER;
}

static Step do_reject(Run *r, const struct nlattr *data) {
        bool reset = u32_of(find(data, NFTA_REJECT_TYPE)) == NFT_REJECT_TCP_RST;

        if (reset)
                assert_int_equal(r->p->protocol, IPPROTO_TCP);
        r->verdict.what = reset ? MODEL_RESET : MODEL_UNREACHABLE;
        return STEP_OVER;
}

static Step do_objref(Run *r, const struct nlattr *data) {
        uint64_t *count = g_hash_table_lookup(
                        r->m->counters, mnl_attr_get_str(find(data, NFTA_OBJREF_IMM_NAME)));

        assert_non_null(count);
        (*count)++;
        return STEP_ON;
}

static Step do_dynset(Run *r, const struct nlattr *data) {
        assert_true(g_hash_table_contains(
                        r->m->sets, mnl_attr_get_str(find(data, NFTA_DYNSET_SET_NAME))));
        return r->p->too_many ? STEP_ON : STEP_BREAK;
}

static Step do_masq(Run *r, const struct nlattr *data) {
        r->verdict.masqueraded = true;
        return STEP_OVER;
}

static Step do_exthdr(Run *r, const struct nlattr *data) {
        r->verdict.clamped = true;
        return STEP_ON;
}

static Step do_nothing(Run *r, const struct nlattr *data) {
        return STEP_ON;
}

static Step run_expression(Run *r, const struct nlattr *expr) {
        static const struct {
                const char *name;
                Step (*run)(Run *r, const struct nlattr *data);
        } table[] = {
                { "meta", do_meta },
                { "payload", do_payload },
                { "ct", do_ct },
                { "bitwise", do_bitwise },
                { "cmp", do_cmp },
                { "lookup", do_lookup },
                { "immediate", do_immediate },
                { "reject", do_reject },
                { "objref", do_objref },
                { "dynset", do_dynset },
                { "masq", do_masq },
                { "exthdr", do_exthdr },
                { "limit", do_nothing },
                { "rt", do_nothing },
                { "byteorder", do_nothing },
        };
        const char *name = mnl_attr_get_str(find(expr, NFTA_EXPR_NAME));

        r->m->seen++;
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].name, name) == 0)
                        return table[i].run(r, find(expr, NFTA_EXPR_DATA));
        fail_msg("an expression the model does not know: %s", name);
        return STEP_OVER;
}

static Step run_rule(Run *r, GBytes *rule) {
        const struct nlattr *all = g_bytes_get_data(rule, NULL), *expr;
        Step s;

        mnl_attr_for_each_nested(expr, all) {
                s = run_expression(r, expr);
                if (s != STEP_ON)
                        return s;
        }
        return STEP_ON;
}

static Step run_chain(Run *r, const char *name) {
        const Chain *c = g_hash_table_lookup(r->m->chains, name);

        if (!c)
                fail_msg("there is no chain %s", name);
        for (unsigned i = 0; i < c->rules->len; i++) {
                Step s = run_rule(r, c->rules->pdata[i]);

                if (s == STEP_OVER)
                        return s;
                if (s == STEP_RETURN)
                        break;
        }
        return STEP_ON;
}

ModelVerdict nft_model_run(NftModel *m, const char *chain, const ModelPacket *p) {
        Run r = { .m = m, .p = p };

        (void) run_chain(&r, chain);
        return r.verdict;
}

/* --- looks --- */

int nft_model_set_size(const NftModel *m, const char *set) {
        const Set *s = g_hash_table_lookup(m->sets, set);

        return s ? (int) s->elements->len : -1;
}

static int model_is_there(Nft *n) {
        return model(n)->is_there;
}

static int model_read_set(Nft *n, const char *set, int family, GArray **ret) {
        const Set *s = g_hash_table_lookup(model(n)->sets, set);

        if (!s)
                return -ENOENT;
        *ret = g_array_new(FALSE, FALSE, sizeof(NftUsage));
        for (unsigned i = 0; i < s->elements->len; i++) {
                const Element *e = &g_array_index(s->elements, Element, i);
                NftUsage u = { .address.family = (uint8_t) family,
                               .packets = e->packets,
                               .bytes = 100 * e->packets };

                memcpy(u.address.bytes, e->key, s->key_len);
                g_array_append_val(*ret, u);
        }
        return 0;
}

static int model_read_counter(Nft *n, const char *name, uint64_t *ret) {
        const uint64_t *count = g_hash_table_lookup(model(n)->counters, name);

        if (!count)
                return -ENOENT;
        *ret = *count;
        return 0;
}

static void model_free(Nft *n) {
        NftModel *m = model(n);

        g_hash_table_unref(m->sets);
        g_hash_table_unref(m->chains);
        g_hash_table_unref(m->counters);
        g_free(n->table);
        g_free(m);
}

NftModel *nft_model_new(const char *table) {
        static const NftOps ops = { model_commit, model_is_there, model_read_set,
                                    model_read_counter, model_free };
        NftModel *m = NEW(NftModel);

        m->nft = (Nft){ .ops = &ops, .table = g_strdup(table) };
        m->sets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, set_free);
        m->chains = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, chain_free);
        m->counters = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        return m;
}
