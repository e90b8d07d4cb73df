/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gateway/exit-rules.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <string.h>

#include "base/limits.h"

/* After translation of destinations (-100) and before what a firewall of the machine says (0). */
#define PRIORITY_FILTER (-10)
/* Where sources are translated: NF_IP_PRI_NAT_SRC. */
#define PRIORITY_NAT_SOURCE 100

#define STATE(s) (1U << ((s) + 1)) /* NF_CT_STATE_BIT */
#define STATE_INVALID (1U << 0)
#define STATE_KNOWN (STATE(IP_CT_ESTABLISHED) | STATE(IP_CT_RELATED))

/* By family: IPv4, IPv6. */
enum {
        V4,
        V6,
        _FAMILIES,
};
static const int families[_FAMILIES] = { AF_INET, AF_INET6 };

#define SET2(field, ...)                                                                               \
        {                                                                                              \
                { .name = field "4", .family = AF_INET, .n_fields = 1, __VA_ARGS__ },                  \
                                { .name = field "6", .family = AF_INET6, .n_fields = 1, __VA_ARGS__ }, \
        }

static const NftSet members[_FAMILIES] = SET2("members", .has_counters = true);
static const NftSet back[_FAMILIES] = SET2("back", .has_counters = true);
static const NftSet denied[_FAMILIES] = SET2("denied", .has_ranges = true);
static const NftSet lan[_FAMILIES] = SET2("lan", .has_ranges = true);
static const NftSet flows[_FAMILIES] = SET2("flows", .dynamic = EXIT_MEMBERS_MAX);
static const NftSet granted[_FAMILIES] = {
        { .name = "granted4", .family = AF_INET, .n_fields = 2, .has_ranges = true },
        { .name = "granted6", .family = AF_INET6, .n_fields = 2, .has_ranges = true },
};
static const NftSet guarded = { .name = "guarded", .family = AF_UNSPEC, .n_fields = 1 };

const NftSet *exit_rules_members(int family) {
        return &members[family == AF_INET ? V4 : V6];
}

const NftSet *exit_rules_back(int family) {
        return &back[family == AF_INET ? V4 : V6];
}

void exit_rules_init(ExitRules *r) {
        *r = (ExitRules){
                .members = g_array_new(FALSE, FALSE, sizeof(IpAddr)),
                .grants = g_array_new(FALSE, FALSE, sizeof(ExitGrant)),
                .links = g_array_new(FALSE, FALSE, sizeof(IpPrefix)),
        };
}

void exit_rules_clear(ExitRules *r) {
        g_clear_pointer(&r->members, g_array_unref);
        g_clear_pointer(&r->grants, g_array_unref);
        g_clear_pointer(&r->links, g_array_unref);
}

/* --- sets --- */

static void put_ranges(NftBatch *b, const NftSet *set, const GArray *ranges) {
        g_autofree NftElement *e = g_new0(NftElement, ranges->len + 1);

        for (unsigned i = 0; i < ranges->len; i++) {
                const ExitRange *r = &g_array_index(ranges, ExitRange, i);

                e[i] = (NftElement){ .first = r->first, .last = r->last };
        }
        nft_put_elements(b, set, e, ranges->len);
}

/* Prefixes granted to all, which may overlap. */
static void put_lan(NftBatch *b, const ExitRules *r, unsigned f) {
        g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(ExitRange));
        g_autoptr(GArray) merged = NULL;

        for (unsigned i = 0; i < r->grants->len; i++) {
                const ExitGrant *g = &g_array_index(r->grants, ExitGrant, i);
                ExitRange range = exit_range_of(&g->prefix);

                if (!ip_is_set(&g->member) && g->prefix.addr.family == families[f])
                        g_array_append_val(ranges, range);
        }
        merged = exit_ranges_merge(ranges);
        put_ranges(b, &lan[f], merged);
}

static void put_granted(NftBatch *b, const ExitRules *r, unsigned f) {
        g_autofree NftElement *e = g_new0(NftElement, r->grants->len + 1);
        unsigned n = 0;

        for (unsigned i = 0; i < r->grants->len; i++) {
                const ExitGrant *g = &g_array_index(r->grants, ExitGrant, i);
                ExitRange range = exit_range_of(&g->prefix);

                if (ip_is_set(&g->member) && g->prefix.addr.family == families[f])
                        e[n++] = (NftElement){ g->member, range.first, range.last };
        }
        nft_put_elements(b, &granted[f], e, n);
}

static void put_sets(NftBatch *b, const ExitRules *r) {
        for (unsigned f = 0; f < _FAMILIES; f++) {
                g_autoptr(GArray) ranges = exit_ranges(families[f], r->links);

                nft_put_set(b, &members[f]);
                nft_put_set(b, &back[f]);
                nft_put_set(b, &denied[f]);
                nft_put_set(b, &lan[f]);
                nft_put_set(b, &granted[f]);
                nft_put_set(b, &flows[f]);
                put_ranges(b, &denied[f], ranges);
                put_lan(b, r, f);
                put_granted(b, r, f);
        }
        nft_put_set(b, &guarded);
        for (unsigned i = 0; i < r->n_guarded; i++)
                nft_put_interface(b, &guarded, r->guarded[i]);
}

/* --- rules --- */

static bool has_family(const ExitRules *r, unsigned f) {
        return r->subnet[f].len > 0;
}

static void refuse(NftBatch *b) {
        nft_verdict(b, NFT_GOTO, "refuse");
        nft_rule_end(b);
}

static void pass(NftBatch *b, const char *chain) {
        nft_verdict(b, NFT_GOTO, chain);
        nft_rule_end(b);
}

/* Who asks for what is not to be had is told, as long as not all do nothing else. TCP by a reset: of
 * ICMP the kernel sends each host one a second (net.ipv4.icmp_ratelimit), whoever had the last. */
static void put_refuse(NftBatch *b) {
        nft_put_chain(b, "answer", NULL, 0, 0);
        nft_rule_begin(b, "answer");
        nft_match_tcp(b);
        nft_reject_tcp(b);
        nft_rule_end(b);
        nft_rule_begin(b, "answer");
        nft_reject(b);
        nft_rule_end(b);
        nft_put_chain(b, "refuse", NULL, 0, 0);
        nft_rule_begin(b, "refuse");
        nft_count(b, EXIT_COUNTER_REFUSED);
        nft_limit(b, EXIT_REFUSALS_PER_SECOND, EXIT_REFUSALS_PER_SECOND);
        nft_verdict(b, NFT_GOTO, "answer");
        nft_rule_end(b);
        nft_rule_begin(b, "refuse");
        nft_verdict(b, NF_DROP, NULL);
        nft_rule_end(b);
}

/* What a member may: a flow of which there are not too many. */
static void put_carried(NftBatch *b, const ExitRules *r) {
        nft_put_chain(b, "too-many", NULL, 0, 0);
        nft_rule_begin(b, "too-many");
        nft_count(b, EXIT_COUNTER_FLOWS);
        refuse(b);
        nft_put_chain(b, "carried", NULL, 0, 0);
        for (unsigned f = 0; f < _FAMILIES; f++) {
                if (!has_family(r, f))
                        continue;
                nft_rule_begin(b, "carried");
                nft_match_family(b, families[f]);
                nft_match_ct(b, NFT_CT_STATE, STATE(IP_CT_NEW), false);
                nft_match_flows(b, families[f], flows[f].name, EXIT_FLOWS_PER_MEMBER_MAX);
                pass(b, "too-many");
        }
        nft_rule_begin(b, "carried");
        nft_match_syn(b);
        nft_clamp_mss(b);
        nft_rule_end(b);
}

static void put_from_members(NftBatch *b, const ExitRules *r, unsigned f) {
        static const char chain[] = "from-members";

        /* Somebody's own translation of what was sent to our address in the network is as that. */
        nft_rule_begin(b, chain);
        nft_match_family(b, families[f]);
        nft_match_ct(b, NFT_CT_STATUS, IPS_DST_NAT, false);
        nft_match_original(b, &r->subnet[f]);
        nft_verdict(b, NFT_RETURN, NULL);
        nft_rule_end(b);
        /* Nobody's own address, or a way back into the network. */
        nft_rule_begin(b, chain);
        nft_match_family(b, families[f]);
        nft_match_prefix(b, NFT_SOURCE, &r->subnet[f], true);
        refuse(b);
        nft_rule_begin(b, chain);
        nft_match_family(b, families[f]);
        nft_match_pair(b, families[f], granted[f].name);
        pass(b, "carried");
        nft_rule_begin(b, chain);
        nft_match_family(b, families[f]);
        nft_match_set(b, NFT_SOURCE, families[f], members[f].name, true);
        refuse(b);
        nft_rule_begin(b, chain);
        nft_match_family(b, families[f]);
        nft_match_set(b, NFT_DESTINATION, families[f], lan[f].name, false);
        pass(b, "carried");
        nft_rule_begin(b, chain);
        nft_match_family(b, families[f]);
        nft_match_set(b, NFT_DESTINATION, families[f], denied[f].name, false);
        refuse(b);
        nft_rule_begin(b, chain);
        nft_match_family(b, families[f]);
        pass(b, "carried");
}

static void put_to_members(NftBatch *b, const ExitRules *r) {
        static const char chain[] = "to-members";

        nft_put_chain(b, chain, NULL, 0, 0);
        /* Answers; and what somebody leads there by a rule of his own. */
        nft_rule_begin(b, chain);
        nft_match_ct(b, NFT_CT_STATUS, IPS_DST_NAT, true);
        nft_match_ct(b, NFT_CT_STATE, STATE_KNOWN, true);
        nft_verdict(b, NF_DROP, NULL);
        nft_rule_end(b);
        for (unsigned f = 0; f < _FAMILIES; f++) {
                if (!has_family(r, f))
                        continue;
                /* For its counters. */
                nft_rule_begin(b, chain);
                nft_match_family(b, families[f]);
                nft_match_set(b, NFT_DESTINATION, families[f], back[f].name, false);
                nft_rule_end(b);
        }
        nft_rule_begin(b, chain);
        nft_match_syn(b);
        nft_clamp_mss(b);
        nft_rule_end(b);
}

/* Not to or from an interface of ours. */
static void match_others(NftBatch *b, const ExitRules *r, unsigned key) {
        nft_match_interface(b, key, r->interface, false, true);
        nft_match_interface(b, key, OMERTA_INTERFACE_PREFIX, true, true);
        if (r->other_interface[0] != '\0')
                nft_match_interface(b, key, r->other_interface, false, true);
}

/* The machine was no router before, and is none for others now. */
static void put_guards(NftBatch *b, const ExitRules *r) {
        nft_rule_begin(b, "forward");
        nft_match_interface_in(b, NFT_META_IIFNAME, guarded.name);
        match_others(b, r, NFT_META_OIFNAME);
        nft_match_ct(b, NFT_CT_STATE, STATE_KNOWN, true);
        nft_match_ct(b, NFT_CT_STATUS, IPS_DST_NAT, true);
        nft_verdict(b, NF_DROP, NULL);
        nft_rule_end(b);
        if (!r->guards_all6)
                return;
        nft_rule_begin(b, "forward");
        nft_match_family(b, AF_INET6);
        match_others(b, r, NFT_META_IIFNAME);
        match_others(b, r, NFT_META_OIFNAME);
        nft_match_ct(b, NFT_CT_STATE, STATE_KNOWN, true);
        nft_match_ct(b, NFT_CT_STATUS, IPS_DST_NAT, true);
        nft_verdict(b, NF_DROP, NULL);
        nft_rule_end(b);
}

static void put_forward(NftBatch *b, const ExitRules *r) {
        static const char from[] = "from-members";

        nft_put_chain(b, from, NULL, 0, 0);
        /* What conntrack does not understand would leave with its own address. */
        nft_rule_begin(b, from);
        nft_match_ct(b, NFT_CT_STATE, STATE_INVALID, false);
        nft_verdict(b, NF_DROP, NULL);
        nft_rule_end(b);
        nft_rule_begin(b, from);
        nft_match_interface(b, NFT_META_OIFNAME, r->interface, false, false);
        refuse(b);
        for (unsigned f = 0; f < _FAMILIES; f++)
                if (has_family(r, f))
                        put_from_members(b, r, f);
        /* Of a family the network has not. */
        nft_rule_begin(b, from);
        refuse(b);
        put_to_members(b, r);
        nft_put_chain(b, "forward", "filter", NF_INET_FORWARD, PRIORITY_FILTER);
        nft_rule_begin(b, "forward");
        nft_match_interface(b, NFT_META_IIFNAME, r->interface, false, false);
        nft_verdict(b, NFT_JUMP, from);
        nft_rule_end(b);
        nft_rule_begin(b, "forward");
        nft_match_interface(b, NFT_META_OIFNAME, r->interface, false, false);
        nft_verdict(b, NFT_JUMP, "to-members");
        nft_rule_end(b);
        put_guards(b, r);
}

/* This machine itself, by another address than that in the network: what listens in its LAN. */
static void put_input(NftBatch *b, const ExitRules *r) {
        nft_put_chain(b, "input", "filter", NF_INET_LOCAL_IN, PRIORITY_FILTER);
        for (unsigned f = 0; f < _FAMILIES; f++) {
                if (!has_family(r, f))
                        continue;
                nft_rule_begin(b, "input");
                nft_match_interface(b, NFT_META_IIFNAME, r->interface, false, false);
                nft_match_family(b, families[f]);
                nft_match_pair(b, families[f], granted[f].name);
                nft_verdict(b, NF_ACCEPT, NULL);
                nft_rule_end(b);
                nft_rule_begin(b, "input");
                nft_match_interface(b, NFT_META_IIFNAME, r->interface, false, false);
                nft_match_family(b, families[f]);
                nft_match_set(b, NFT_SOURCE, families[f], members[f].name, false);
                nft_match_set(b, NFT_DESTINATION, families[f], lan[f].name, false);
                nft_verdict(b, NF_ACCEPT, NULL);
                nft_rule_end(b);
                nft_rule_begin(b, "input");
                nft_match_interface(b, NFT_META_IIFNAME, r->interface, false, false);
                nft_match_family(b, families[f]);
                nft_match_prefix(b, NFT_DESTINATION, &r->subnet[f], true);
                nft_match_ct(b, NFT_CT_STATUS, IPS_DST_NAT, true);
                refuse(b);
        }
}

static void put_postrouting(NftBatch *b, const ExitRules *r) {
        nft_put_chain(b, "postrouting", "nat", NF_INET_POST_ROUTING, PRIORITY_NAT_SOURCE);
        for (unsigned f = 0; f < _FAMILIES; f++) {
                if (!has_family(r, f))
                        continue;
                nft_rule_begin(b, "postrouting");
                nft_match_interface(b, NFT_META_IIFNAME, r->interface, false, false);
                nft_match_interface(b, NFT_META_OIFNAME, r->interface, false, true);
                nft_match_family(b, families[f]);
                nft_match_prefix(b, NFT_SOURCE, &r->subnet[f], false);
                nft_masquerade(b);
                nft_rule_end(b);
        }
}

void exit_rules_put(NftBatch *b, const ExitRules *r, bool replace) {
        if (replace)
                nft_delete_table(b);
        nft_put_table(b);
        nft_put_counter(b, EXIT_COUNTER_REFUSED);
        nft_put_counter(b, EXIT_COUNTER_FLOWS);
        put_sets(b, r);
        put_refuse(b);
        put_carried(b, r);
        put_forward(b, r);
        put_input(b, r);
        put_postrouting(b, r);
}

/* --- members --- */

static unsigned of_family(const GArray *addresses, int family, NftElement *ret) {
        unsigned n = 0;

        for (unsigned i = 0; i < addresses->len; i++) {
                const IpAddr *a = &g_array_index(addresses, IpAddr, i);

                if (a->family == family)
                        ret[n++] = (NftElement){ .first = *a, .last = *a };
        }
        return n;
}

static void
change_members(NftBatch *b,
               const GArray *addresses,
               void (*change)(NftBatch *b, const NftSet *s, const NftElement *e, unsigned n)) {
        g_autofree NftElement *e = g_new0(NftElement, addresses->len + 1);

        for (unsigned f = 0; f < _FAMILIES; f++) {
                unsigned n = of_family(addresses, families[f], e);

                change(b, &members[f], e, n);
                change(b, &back[f], e, n);
        }
}

void exit_rules_put_members(NftBatch *b, const GArray *addresses) {
        change_members(b, addresses, nft_put_elements);
}

void exit_rules_delete_members(NftBatch *b, const GArray *addresses) {
        change_members(b, addresses, nft_delete_elements);
}

/* --- compared --- */

static bool prefix_equal(const IpPrefix *a, const IpPrefix *b) {
        return a->len == b->len && ip_equal(&a->addr, &b->addr);
}

static bool grants_equal(const GArray *a, const GArray *b) {
        for (unsigned i = 0; a->len == b->len && i < a->len; i++) {
                const ExitGrant *x = &g_array_index(a, ExitGrant, i);
                const ExitGrant *y = &g_array_index(b, ExitGrant, i);

                if (!ip_equal(&x->member, &y->member) || !prefix_equal(&x->prefix, &y->prefix))
                        return false;
        }
        return a->len == b->len;
}

static bool links_equal(const GArray *a, const GArray *b) {
        for (unsigned i = 0; a->len == b->len && i < a->len; i++)
                if (!prefix_equal(&g_array_index(a, IpPrefix, i), &g_array_index(b, IpPrefix, i)))
                        return false;
        return a->len == b->len;
}

bool exit_rules_same(const ExitRules *a, const ExitRules *b) {
        if (strcmp(a->interface, b->interface) != 0 ||
            strcmp(a->other_interface, b->other_interface) != 0 || a->n_guarded != b->n_guarded ||
            a->guards_all6 != b->guards_all6)
                return false;
        for (unsigned f = 0; f < _FAMILIES; f++)
                if (!prefix_equal(&a->subnet[f], &b->subnet[f]))
                        return false;
        for (unsigned i = 0; i < a->n_guarded; i++)
                if (strcmp(a->guarded[i], b->guarded[i]) != 0)
                        return false;
        return grants_equal(a->grants, b->grants) && links_equal(a->links, b->links);
}
