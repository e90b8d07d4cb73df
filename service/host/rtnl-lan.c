/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which of the machine's interfaces lead to a broadcast domain with somebody else in it. */

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/macros.h"
#include "host/rtnl-internal.h"

/* Interfaces looked at; a host with more has its first ones used. */
#define SEEN_MAX 1024U

typedef struct SeenLink {
        RtnlLan lan;
        unsigned master; /* 0: none */
        bool is_bridge, has_port, is_good;
} SeenLink;

typedef struct SeenLinks {
        SeenLink link[SEEN_MAX];
        unsigned n;
} SeenLinks;

static void reset_links(void *userdata) {
        ((SeenLinks *) userdata)->n = 0;
}

static void read_kind(const struct nlattr *info, char ret[static 16]) {
        struct nlattr *attr;

        mnl_attr_for_each_nested(attr, info) if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
                        g_strlcpy(ret, mnl_attr_get_payload(attr),
                                  MIN((size_t) mnl_attr_get_payload_len(attr) + 1, 16U));
}

static int on_link(const struct nlmsghdr *nlh, void *userdata) {
        const unsigned needed = IFF_UP | IFF_MULTICAST | IFF_LOWER_UP;
        const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
        SeenLinks *links = userdata;
        char kind[16] = "";
        struct nlattr *attr;
        SeenLink *l;

        if (links->n == ELEMENTSOF(links->link))
                return MNL_CB_OK;
        l = &links->link[links->n++];
        *l = (SeenLink){ .lan.ifindex = (unsigned) ifi->ifi_index };
        mnl_attr_for_each(attr, nlh, sizeof *ifi) {
                uint16_t type = mnl_attr_get_type(attr);

                if (type == IFLA_IFNAME)
                        g_strlcpy(l->lan.name, mnl_attr_get_payload(attr),
                                  MIN((size_t) mnl_attr_get_payload_len(attr) + 1,
                                      sizeof l->lan.name));
                if (type == IFLA_MASTER && mnl_attr_get_payload_len(attr) == 4)
                        l->master = mnl_attr_get_u32(attr);
                if (type == IFLA_LINKINFO)
                        read_kind(attr, kind);
        }
        l->is_bridge = strcmp(kind, "bridge") == 0;
        l->is_good = (ifi->ifi_flags & needed) == needed &&
                     !(ifi->ifi_flags & (IFF_LOOPBACK | IFF_POINTOPOINT)) &&
                     /* Another omertad's. */
                     !(strcmp(kind, "tun") == 0 && g_str_has_prefix(l->lan.name, "omerta"));
        return MNL_CB_OK;
}

static SeenLink *find_link(SeenLinks *links, unsigned ifindex) {
        for (unsigned i = 0; ifindex != 0 && i < links->n; i++)
                if (links->link[i].lan.ifindex == ifindex)
                        return &links->link[i];
        return NULL;
}

/* A frame of a bridge's port goes through the bridge. Other masters (a VRF) change nothing. */
static void sort_out_bridges(SeenLinks *links) {
        for (unsigned i = 0; i < links->n; i++) {
                SeenLink *master = find_link(links, links->link[i].master);

                if (!master || !master->is_bridge)
                        continue;
                master->has_port = true;
                links->link[i].is_good = false;
        }
        for (unsigned i = 0; i < links->n; i++)
                if (links->link[i].is_bridge && !links->link[i].has_port)
                        links->link[i].is_good = false;
}

static void reset_addresses(void *userdata) {
        SeenLinks *links = userdata;

        for (unsigned i = 0; i < links->n; i++) {
                links->link[i].lan.n_addresses = 0;
                links->link[i].lan.has_ipv6 = false;
        }
}

static int on_address(const struct nlmsghdr *nlh, void *userdata) {
        const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
        SeenLink *l = find_link(userdata, ifa->ifa_index);
        uint32_t flags = ifa->ifa_flags;
        IpAddr a = { .family = AF_INET };
        struct nlattr *attr;

        if (!l)
                return MNL_CB_OK;
        mnl_attr_for_each(attr, nlh, sizeof *ifa) {
                uint16_t type = mnl_attr_get_type(attr), len = mnl_attr_get_payload_len(attr);

                if (type == IFA_FLAGS && len == 4)
                        flags = mnl_attr_get_u32(attr);
                if (type == IFA_LOCAL && ifa->ifa_family == AF_INET && len == 4)
                        memcpy(a.bytes, mnl_attr_get_payload(attr), 4);
        }
        if (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED))
                return MNL_CB_OK;
        if (ifa->ifa_family == AF_INET6 && ifa->ifa_scope == RT_SCOPE_LINK)
                l->lan.has_ipv6 = true;
        if (ifa->ifa_family == AF_INET && ip_to_v4(&a) != 0 &&
            l->lan.n_addresses < ELEMENTSOF(l->lan.address))
                l->lan.address[l->lan.n_addresses++] = a;
        return MNL_CB_OK;
}

static bool is_ours(const RtnlLan *lan, const RtnlOurs *ours) {
        for (unsigned i = 0; i < ours->n_ifindex; i++)
                if (ours->ifindex[i] == lan->ifindex)
                        return true;
        return false;
}

int rtnl_lans(Rtnl *r, const RtnlOurs *ours, RtnlLan *ret, unsigned max) {
        g_autofree SeenLinks *links = NEW(SeenLinks);
        unsigned n = 0;
        int status;

        status = rtnl_dump(r, RTM_GETLINK, AF_UNSPEC, on_link, reset_links, links);
        if (status >= 0)
                status = rtnl_dump(r, RTM_GETADDR, AF_UNSPEC, on_address, reset_addresses, links);
        if (status < 0)
                return status;
        sort_out_bridges(links);
        for (unsigned i = 0; i < links->n && n < max; i++) {
                const SeenLink *l = &links->link[i];

                if (l->is_good && !is_ours(&l->lan, ours) &&
                    (l->lan.n_addresses > 0 || l->lan.has_ipv6))
                        ret[n++] = l->lan;
        }
        return (int) n;
}
