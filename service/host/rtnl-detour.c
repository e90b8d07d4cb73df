/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/rtnl-detour.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

#include "base/macros.h"
#include "host/rtnl-internal.h"

#define BUFFER_SIZE 1024U
/* Two families, and without the LAN one for each prefix inside. */
#define RULES_MAX (2U * (INSIDE_PREFIXES_MAX + 4U))
/* What somebody else has made in our name is taken away with ours, but not for ever. */
#define FOREIGN_MAX 256U
/* A rule or a route as the kernel tells it: a header and two dozen numbers and names at most. */
#define MESSAGE_SIZE_MAX 512U

/* One rule, as we make it or as the kernel has it. */
typedef struct Rule {
        uint8_t family;
        uint32_t priority, table;
        IpPrefix to;   /* family AF_UNSPEC: anywhere */
        uint16_t port; /* of UDP, where it comes from; 0: any */
        uint32_t mark; /* 0: any */
        bool no_default;
        bool is_odd; /* it says more than we ever do */
} Rule;

typedef struct Route {
        uint8_t family;
        uint32_t table;
        unsigned ifindex;
        IpAddr source;
        bool is_odd;
} Route;

/* --- what is wanted --- */

static unsigned wanted_rules(const RtnlDetour *e, Rule ret[static RULES_MAX]) {
        static const uint8_t families[] = { AF_INET, AF_INET6 };
        unsigned n = 0;

        for (unsigned f = 0; f < ELEMENTSOF(families); f++) {
                Rule base = { .family = families[f], .table = RT_TABLE_MAIN };
                Rule *rule;

                if (!ip_is_set(f == 0 ? &e->source : &e->source6))
                        continue;
                ret[n] = base;
                ret[n].priority = DETOUR_PRIORITY;
                ret[n++].port = e->port;
                ret[n] = base;
                ret[n].priority = DETOUR_PRIORITY;
                ret[n++].mark = STREAM_MARK;
                if (e->lan) {
                        ret[n] = base;
                        ret[n].priority = DETOUR_PRIORITY + 1;
                        ret[n++].no_default = true;
                }
                for (unsigned i = 0; !e->lan && i < e->inside->n; i++) {
                        if (e->inside->prefix[i].addr.family != base.family)
                                continue;
                        rule = &ret[n++];
                        *rule = base;
                        rule->priority = DETOUR_PRIORITY + 1;
                        rule->to = e->inside->prefix[i];
                }
                ret[n] = base;
                ret[n].priority = DETOUR_PRIORITY + 2;
                ret[n++].table = DETOUR_TABLE;
        }
        return n;
}

static unsigned wanted_routes(const RtnlDetour *e, Route ret[static 2]) {
        const IpAddr *sources[] = { &e->source, &e->source6 };
        unsigned n = 0;

        for (unsigned f = 0; f < ELEMENTSOF(sources); f++)
                if (ip_is_set(sources[f]))
                        ret[n++] = (Route){
                                .family = sources[f]->family,
                                .table = DETOUR_TABLE,
                                .ifindex = e->ifindex,
                                .source = *sources[f],
                        };
        return n;
}

static bool same_rule(const Rule *a, const Rule *b) {
        return a->family == b->family && a->priority == b->priority && a->table == b->table &&
               a->port == b->port && a->mark == b->mark && a->no_default == b->no_default &&
               a->to.len == b->to.len && ip_equal(&a->to.addr, &b->to.addr) && !a->is_odd &&
               !b->is_odd;
}

static bool same_route(const Route *a, const Route *b) {
        return a->family == b->family && a->ifindex == b->ifindex &&
               ip_equal(&a->source, &b->source) && !a->is_odd && !b->is_odd;
}

/* --- what is there --- */

/* As the kernel said it, so that exactly this one can be taken away. */
typedef struct Message {
        uint8_t bytes[MESSAGE_SIZE_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
} Message;

typedef struct Found {
        Rule rule[FOREIGN_MAX];
        Message rule_message[FOREIGN_MAX];
        unsigned n_rules;
        Route route[FOREIGN_MAX];
        Message route_message[FOREIGN_MAX];
        unsigned n_routes;
} Found;

static void read_rule_attribute(const struct nlattr *attr, Rule *rule, uint8_t *ret_protocol) {
        size_t len = mnl_attr_get_payload_len(attr);
        struct fib_rule_port_range range;

        switch (mnl_attr_get_type(attr)) {
        case FRA_PROTOCOL:
                *ret_protocol = len == 1 ? mnl_attr_get_u8(attr) : 0;
                return;
        case FRA_PRIORITY:
                rule->priority = len == 4 ? mnl_attr_get_u32(attr) : 0;
                return;
        case FRA_TABLE:
                rule->table = len == 4 ? mnl_attr_get_u32(attr) : 0;
                return;
        case FRA_SUPPRESS_PREFIXLEN:
                if (len == 4 && mnl_attr_get_u32(attr) != UINT32_MAX)
                        rule->no_default = mnl_attr_get_u32(attr) == 0;
                return;
        case FRA_DST:
                if (len == 4 || len == 16) {
                        rule->to.addr.family = len == 4 ? AF_INET : AF_INET6;
                        memcpy(rule->to.addr.bytes, mnl_attr_get_payload(attr), len);
                }
                return;
        case FRA_SPORT_RANGE:
                if (len == sizeof range) {
                        memcpy(&range, mnl_attr_get_payload(attr), sizeof range);
                        rule->port = range.start;
                        rule->is_odd = rule->is_odd || range.start != range.end;
                }
                return;
        case FRA_IP_PROTO:
                rule->is_odd = rule->is_odd || len != 1 || mnl_attr_get_u8(attr) != IPPROTO_UDP;
                return;
        case FRA_FWMARK:
                rule->mark = len == 4 ? mnl_attr_get_u32(attr) : 0;
                return;
        case FRA_FWMASK:
                rule->is_odd = rule->is_odd || len != 4 ||
                               (rule->mark != 0 && mnl_attr_get_u32(attr) != UINT32_MAX);
                return;
        case FRA_SRC:
        case FRA_IIFNAME:
        case FRA_OIFNAME:
        case FRA_GOTO:
        case FRA_UID_RANGE:
        case FRA_DPORT_RANGE:
                rule->is_odd = true;
                return;
        default:
                return; /* what the kernel says of every rule */
        }
}

static int on_rule(const struct nlmsghdr *nlh, void *userdata) {
        const struct fib_rule_hdr *h = mnl_nlmsg_get_payload(nlh);
        Rule rule = { .family = h->family, .table = h->table };
        Found *found = userdata;
        uint8_t protocol = 0;
        struct nlattr *attr;

        mnl_attr_for_each(attr, nlh, sizeof *h) {
                read_rule_attribute(attr, &rule, &protocol);
        }
        rule.to.len = h->dst_len;
        rule.is_odd = rule.is_odd || h->action != FR_ACT_TO_TBL || h->src_len != 0 || h->tos != 0 ||
                      (h->flags & FIB_RULE_INVERT);
        if (protocol != DETOUR_PROTOCOL || found->n_rules == FOREIGN_MAX ||
            nlh->nlmsg_len > MESSAGE_SIZE_MAX)
                return MNL_CB_OK;
        memcpy(found->rule_message[found->n_rules].bytes, nlh, nlh->nlmsg_len);
        found->rule[found->n_rules++] = rule;
        return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *nlh, void *userdata) {
        const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
        Route route = { .family = rtm->rtm_family, .table = rtm->rtm_table };
        Found *found = userdata;
        struct nlattr *attr;

        mnl_attr_for_each(attr, nlh, sizeof *rtm) {
                size_t len = mnl_attr_get_payload_len(attr);

                switch (mnl_attr_get_type(attr)) {
                case RTA_TABLE:
                        route.table = len == 4 ? mnl_attr_get_u32(attr) : 0;
                        break;
                case RTA_OIF:
                        route.ifindex = len == 4 ? mnl_attr_get_u32(attr) : 0;
                        break;
                case RTA_PREFSRC:
                        if (len == 4 || len == 16) {
                                route.source.family = len == 4 ? AF_INET : AF_INET6;
                                memcpy(route.source.bytes, mnl_attr_get_payload(attr), len);
                        }
                        break;
                case RTA_GATEWAY:
                case RTA_MULTIPATH:
                        route.is_odd = true;
                        break;
                }
        }
        if (route.table != DETOUR_TABLE || rtm->rtm_protocol != DETOUR_PROTOCOL ||
            found->n_routes == FOREIGN_MAX || nlh->nlmsg_len > MESSAGE_SIZE_MAX)
                return MNL_CB_OK;
        route.is_odd = route.is_odd || rtm->rtm_dst_len != 0 || rtm->rtm_type != RTN_UNICAST;
        memcpy(found->route_message[found->n_routes].bytes, nlh, nlh->nlmsg_len);
        found->route[found->n_routes++] = route;
        return MNL_CB_OK;
}

static void forget_rules(void *userdata) {
        ((Found *) userdata)->n_rules = 0;
}

static void forget_routes(void *userdata) {
        ((Found *) userdata)->n_routes = 0;
}

static int find(Rtnl *r, Found *ret) {
        int status = rtnl_dump(r, RTM_GETRULE, AF_UNSPEC, on_rule, forget_rules, ret);

        return status < 0 ? status
                          : rtnl_dump(r, RTM_GETROUTE, AF_UNSPEC, on_route, forget_routes, ret);
}

/* --- made and taken away --- */

static int add_rule(Rtnl *r, const Rule *rule) {
        const struct fib_rule_port_range port = { rule->port, rule->port };
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        struct fib_rule_hdr *h;

        nlh->nlmsg_type = RTM_NEWRULE;
        nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
        h = mnl_nlmsg_put_extra_header(nlh, sizeof *h);
        h->family = rule->family;
        h->action = FR_ACT_TO_TBL;
        h->dst_len = rule->to.len;
        mnl_attr_put_u32(nlh, FRA_PRIORITY, rule->priority);
        mnl_attr_put_u8(nlh, FRA_PROTOCOL, DETOUR_PROTOCOL);
        mnl_attr_put_u32(nlh, FRA_TABLE, rule->table);
        if (ip_is_set(&rule->to.addr))
                mnl_attr_put(nlh, FRA_DST, ip_size(&rule->to.addr), rule->to.addr.bytes);
        if (rule->no_default)
                mnl_attr_put_u32(nlh, FRA_SUPPRESS_PREFIXLEN, 0);
        if (rule->port != 0) {
                mnl_attr_put_u8(nlh, FRA_IP_PROTO, IPPROTO_UDP);
                mnl_attr_put(nlh, FRA_SPORT_RANGE, sizeof port, &port);
        }
        if (rule->mark != 0)
                mnl_attr_put_u32(nlh, FRA_FWMARK, rule->mark);
        return rtnl_request(r, nlh, NULL, NULL);
}

static int take_away(Rtnl *r, uint16_t type, Message *found) {
        struct nlmsghdr *nlh = (struct nlmsghdr *) found->bytes;
        int status;

        nlh->nlmsg_type = type;
        nlh->nlmsg_flags = 0;
        status = rtnl_request(r, nlh, NULL, NULL);
        return status == -ENOENT || status == -ESRCH ? 0 : status;
}

static int add_route(Rtnl *r, const Route *route) {
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        struct rtmsg *rtm;

        nlh->nlmsg_type = RTM_NEWROUTE;
        nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
        rtm = mnl_nlmsg_put_extra_header(nlh, sizeof *rtm);
        rtm->rtm_family = route->family;
        rtm->rtm_protocol = DETOUR_PROTOCOL;
        rtm->rtm_type = RTN_UNICAST;
        rtm->rtm_scope = RT_SCOPE_LINK;
        mnl_attr_put_u32(nlh, RTA_TABLE, route->table);
        mnl_attr_put_u32(nlh, RTA_OIF, route->ifindex);
        mnl_attr_put(nlh, RTA_PREFSRC, ip_size(&route->source), route->source.bytes);
        return rtnl_request(r, nlh, NULL, NULL);
}

static bool is_there(const Found *found, const Rule *rule) {
        for (unsigned i = 0; i < found->n_rules; i++)
                if (same_rule(&found->rule[i], rule))
                        return true;
        return false;
}

static bool has_route(const Route *routes, unsigned n, const Route *route) {
        for (unsigned i = 0; i < n; i++)
                if (same_route(&routes[i], route))
                        return true;
        return false;
}

typedef struct Wanted {
        Rule rule[RULES_MAX];
        unsigned n_rules;
        Route route[2];
        unsigned n_routes;
} Wanted;

static bool is_wanted(const Wanted *w, const Rule *rule) {
        for (unsigned i = 0; i < w->n_rules; i++)
                if (same_rule(&w->rule[i], rule))
                        return true;
        return false;
}

/* Rules first: one that leads to an empty table does nothing. */
static int remove_others(Rtnl *r, Found *found, const Wanted *w) {
        int status = 0;

        for (unsigned i = 0; status >= 0 && i < found->n_rules; i++)
                if (!is_wanted(w, &found->rule[i]))
                        status = take_away(r, RTM_DELRULE, &found->rule_message[i]);
        for (unsigned i = 0; status >= 0 && i < found->n_routes; i++)
                if (!has_route(w->route, w->n_routes, &found->route[i]))
                        status = take_away(r, RTM_DELROUTE, &found->route_message[i]);
        return status;
}

static int add_missing(Rtnl *r, const Found *found, const Wanted *w) {
        int status = 0;

        for (unsigned i = 0; status >= 0 && i < w->n_routes; i++)
                if (!has_route(found->route, found->n_routes, &w->route[i]))
                        status = add_route(r, &w->route[i]);
        for (unsigned i = 0; status >= 0 && i < w->n_rules; i++) {
                if (is_there(found, &w->rule[i]))
                        continue;
                status = add_rule(r, &w->rule[i]);
                if (status == -EEXIST)
                        status = 0;
        }
        return status;
}

int rtnl_detour_set(Rtnl *r, const RtnlDetour *e) {
        g_autofree Found *found = NEW(Found);
        g_autofree Wanted *w = NEW(Wanted);
        int status = find(r, found);

        if (status < 0)
                return status;
        w->n_rules = wanted_rules(e, w->rule);
        w->n_routes = wanted_routes(e, w->route);
        status = remove_others(r, found, w);
        if (status >= 0)
                status = add_missing(r, found, w);
        if (status < 0)
                (void) rtnl_detour_clear(r);
        return status;
}

int rtnl_detour_is_set(Rtnl *r, const RtnlDetour *e) {
        g_autofree Found *found = NEW(Found);
        g_autofree Wanted *w = NEW(Wanted);
        int status = find(r, found);

        if (status < 0)
                return status;
        w->n_rules = wanted_rules(e, w->rule);
        w->n_routes = wanted_routes(e, w->route);
        if (found->n_rules != w->n_rules || found->n_routes != w->n_routes)
                return 0;
        for (unsigned i = 0; i < w->n_rules; i++)
                if (!is_there(found, &w->rule[i]))
                        return 0;
        for (unsigned i = 0; i < w->n_routes; i++)
                if (!has_route(found->route, found->n_routes, &w->route[i]))
                        return 0;
        return 1;
}

int rtnl_detour_clear(Rtnl *r) {
        g_autofree Found *found = NEW(Found);
        g_autofree Wanted *none = NEW(Wanted);
        int status = find(r, found);

        return status < 0 ? status : remove_others(r, found, none);
}

int rtnl_add_default(Rtnl *r, unsigned ifindex, const IpAddr *source) {
        const Route route = {
                .family = source->family,
                .table = RT_TABLE_MAIN,
                .ifindex = ifindex,
                .source = *source,
        };

        return add_route(r, &route);
}

/* --- what there is beside it --- */

typedef struct Default {
        int family;
        unsigned ifindex;
        bool on_it; /* is looked for; else: on another */
        bool is_there;
        IpAddr router;
} Default;

static void forget_default(void *userdata) {
        ((Default *) userdata)->is_there = false;
}

static int on_default(const struct nlmsghdr *nlh, void *userdata) {
        const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
        uint32_t table = rtm->rtm_table, ifindex = 0;
        Default *d = userdata;
        IpAddr router = {};
        struct nlattr *attr;

        if (rtm->rtm_family != d->family || rtm->rtm_dst_len != 0 || rtm->rtm_type != RTN_UNICAST)
                return MNL_CB_OK;
        mnl_attr_for_each(attr, nlh, sizeof *rtm) {
                size_t len = mnl_attr_get_payload_len(attr);

                if (mnl_attr_get_type(attr) == RTA_TABLE && len == 4)
                        table = mnl_attr_get_u32(attr);
                if (mnl_attr_get_type(attr) == RTA_OIF && len == 4)
                        ifindex = mnl_attr_get_u32(attr);
                if (mnl_attr_get_type(attr) == RTA_GATEWAY && (len == 4 || len == 16)) {
                        router.family = rtm->rtm_family;
                        memcpy(router.bytes, mnl_attr_get_payload(attr), len);
                }
        }
        if (table != RT_TABLE_MAIN || (ifindex == d->ifindex) != d->on_it)
                return MNL_CB_OK;
        d->is_there = true;
        d->router = router;
        return MNL_CB_OK;
}

int rtnl_has_default(Rtnl *r, int family, unsigned ifindex) {
        Default d = { .family = family, .ifindex = ifindex };
        int status = rtnl_dump(r, RTM_GETROUTE, (unsigned) family, on_default, forget_default, &d);

        return status < 0 ? status : d.is_there;
}

int rtnl_default_over(Rtnl *r, int family, unsigned ifindex, IpAddr *ret_router) {
        Default d = { .family = family, .ifindex = ifindex, .on_it = true };
        int status = rtnl_dump(r, RTM_GETROUTE, (unsigned) family, on_default, forget_default, &d);

        if (status < 0 || !d.is_there)
                return status;
        *ret_router = d.router;
        return 1;
}
