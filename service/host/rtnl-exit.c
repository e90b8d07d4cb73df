/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What an exit to the internet has to know of the machine, and to set. */

#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/macros.h"
#include "host/rtnl-internal.h"

#define BUFFER_SIZE 8192U

static bool listed(unsigned ifindex, const unsigned *list, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if (list[i] == ifindex)
                        return true;
        return false;
}

/* --- routes --- */

typedef struct Route {
        IpPrefix prefix;
        unsigned ifindex;
        bool has_router;
} Route;

/* Return: whether it is one to send by. */
static bool read_route(const struct nlmsghdr *nlh, Route *ret, uint32_t *ret_table) {
        const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
        struct nlattr *attr;

        *ret = (Route){ .prefix = { .addr.family = rtm->rtm_family, .len = rtm->rtm_dst_len } };
        *ret_table = rtm->rtm_table;
        if ((rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) ||
            rtm->rtm_type != RTN_UNICAST || (rtm->rtm_flags & RTM_F_CLONED))
                return false;
        mnl_attr_for_each(attr, nlh, sizeof *rtm) {
                uint16_t type = mnl_attr_get_type(attr), len = mnl_attr_get_payload_len(attr);

                if (type == RTA_GATEWAY || type == RTA_VIA || type == RTA_MULTIPATH)
                        ret->has_router = true;
                if (type == RTA_DST && len == ip_size(&ret->prefix.addr))
                        memcpy(ret->prefix.addr.bytes, mnl_attr_get_payload(attr), len);
                if (type == RTA_TABLE && len == 4)
                        *ret_table = mnl_attr_get_u32(attr);
                if (type == RTA_OIF && len == 4)
                        ret->ifindex = mnl_attr_get_u32(attr);
        }
        return ret->ifindex != 0;
}

typedef struct Uplinks {
        const GArray *to; /* of IpPrefix */
        const unsigned *skip;
        unsigned n_skip, n, max;
        RtnlUplink *found;
} Uplinks;

static void reset_uplinks(void *userdata) {
        ((Uplinks *) userdata)->n = 0;
}

static bool leads_to(const Route *route, const GArray *to) {
        for (unsigned i = 0; i < to->len; i++)
                if (ip_prefix_overlaps(&g_array_index(to, IpPrefix, i), &route->prefix))
                        return true;
        return false;
}

static int on_uplink(const struct nlmsghdr *nlh, void *userdata) {
        Uplinks *u = userdata;
        bool is_default, is_v4;
        uint32_t table;
        Route route;
        unsigned i;

        if (!read_route(nlh, &route, &table) || listed(route.ifindex, u->skip, u->n_skip))
                return MNL_CB_OK;
        is_v4 = route.prefix.addr.family == AF_INET;
        is_default = route.prefix.len == 0 && table == RT_TABLE_MAIN;
        if (!is_default && (route.prefix.len == 0 || !leads_to(&route, u->to)))
                return MNL_CB_OK;
        for (i = 0; i < u->n && u->found[i].ifindex != route.ifindex;)
                i++;
        if (i == u->max)
                return MNL_CB_OK;
        if (i == u->n)
                u->found[u->n++] = (RtnlUplink){ .ifindex = route.ifindex };
        if (is_v4) {
                u->found[i].has_v4 = true;
                u->found[i].is_default4 = u->found[i].is_default4 || is_default;
        } else {
                u->found[i].has_v6 = true;
                u->found[i].is_default6 = u->found[i].is_default6 || is_default;
        }
        return MNL_CB_OK;
}

static int on_name(const struct nlmsghdr *nlh, void *userdata) {
        struct nlattr *attr;

        mnl_attr_for_each(attr, nlh, sizeof(struct ifinfomsg)) {
                if (mnl_attr_get_type(attr) == IFLA_IFNAME)
                        g_strlcpy(userdata, mnl_attr_get_payload(attr),
                                  MIN((size_t) mnl_attr_get_payload_len(attr) + 1, 16U));
        }
        return MNL_CB_OK;
}

static int link_name(Rtnl *r, unsigned ifindex, char ret[static 16]) {
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        struct ifinfomsg *ifi;

        nlh->nlmsg_type = RTM_GETLINK;
        ifi = mnl_nlmsg_put_extra_header(nlh, sizeof *ifi);
        ifi->ifi_index = (int) ifindex;
        return rtnl_request(r, nlh, on_name, ret);
}

int rtnl_uplinks(
                Rtnl *r,
                const unsigned *skip,
                unsigned n_skip,
                const GArray *to,
                RtnlUplink *ret,
                unsigned max) {
        Uplinks u = { .to = to, .skip = skip, .n_skip = n_skip, .found = ret, .max = max };
        int status = rtnl_dump(r, RTM_GETROUTE, AF_UNSPEC, on_uplink, reset_uplinks, &u);

        for (unsigned i = 0; status >= 0 && i < u.n; i++)
                status = link_name(r, ret[i].ifindex, ret[i].name);
        /* One went meanwhile: whoever tells of that has us asked again. */
        return status < 0 && status != -ENODEV ? status : (int) u.n;
}

typedef struct Connected {
        const unsigned *skip;
        unsigned n_skip, max;
        GArray *found; /* of IpPrefix */
} Connected;

static void reset_connected(void *userdata) {
        g_array_set_size(((Connected *) userdata)->found, 0);
}

/* A route without a router leads to who is there; but 0.0.0.0/1 over a tunnel is a default route in
 * disguise, and so is ::/1 or 2000::/3. */
static int on_connected(const struct nlmsghdr *nlh, void *userdata) {
        Connected *c = userdata;
        uint32_t table;
        Route route;

        if (read_route(nlh, &route, &table) && !route.has_router &&
            route.prefix.len >= RTNL_ROUTE_LEN_MIN && c->found->len < c->max &&
            !listed(route.ifindex, c->skip, c->n_skip))
                g_array_append_val(c->found, route.prefix);
        return MNL_CB_OK;
}

static int compare_prefixes(const void *a, const void *b) {
        const IpPrefix *x = a, *y = b;
        int d = x->addr.family - y->addr.family;

        d = d ?: memcmp(x->addr.bytes, y->addr.bytes, sizeof x->addr.bytes);
        return d ?: x->len - y->len;
}

int rtnl_connected(Rtnl *r, const unsigned *skip, unsigned n_skip, unsigned max, GArray **ret) {
        g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(IpPrefix));
        Connected c = { .skip = skip, .n_skip = n_skip, .max = max, .found = found };
        int status = rtnl_dump(r, RTM_GETROUTE, AF_UNSPEC, on_connected, reset_connected, &c);

        if (status < 0)
                return status;
        g_array_sort(found, compare_prefixes);
        *ret = TAKE_PTR(found);
        return 0;
}

/* --- forwarding --- */

static int on_netconf(const struct nlmsghdr *nlh, void *userdata) {
        struct nlattr *attr;

        mnl_attr_for_each(attr, nlh, sizeof(struct netconfmsg)) {
                if (mnl_attr_get_type(attr) == NETCONFA_FORWARDING &&
                    mnl_attr_get_payload_len(attr) == 4)
                        *(int *) userdata = mnl_attr_get_u32(attr) != 0;
        }
        return MNL_CB_OK;
}

int rtnl_forwarding(Rtnl *r, unsigned ifindex) {
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        struct netconfmsg *ncm;
        int value = -ENODATA, status;

        nlh->nlmsg_type = RTM_GETNETCONF;
        ncm = mnl_nlmsg_put_extra_header(nlh, sizeof *ncm);
        ncm->ncm_family = AF_INET;
        mnl_attr_put_u32(nlh, NETCONFA_IFINDEX, ifindex ?: (uint32_t) NETCONFA_IFINDEX_ALL);
        status = rtnl_request(r, nlh, on_netconf, &value);
        return status < 0 ? status : value;
}

int rtnl_set_forwarding(Rtnl *r, unsigned ifindex, bool on) {
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        struct nlattr *spec, *family, *conf;
        struct ifinfomsg *ifi;

        nlh->nlmsg_type = RTM_SETLINK;
        ifi = mnl_nlmsg_put_extra_header(nlh, sizeof *ifi);
        ifi->ifi_index = (int) ifindex;
        spec = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
        family = mnl_attr_nest_start(nlh, AF_INET);
        conf = mnl_attr_nest_start(nlh, IFLA_INET_CONF);
        mnl_attr_put_u32(nlh, IPV4_DEVCONF_FORWARDING, on);
        mnl_attr_nest_end(nlh, conf);
        mnl_attr_nest_end(nlh, family);
        mnl_attr_nest_end(nlh, spec);
        return rtnl_request(r, nlh, NULL, NULL);
}
