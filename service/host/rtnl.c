/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/rtnl.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/macros.h"
#include "host/rtnl-internal.h"

struct Rtnl {
        struct mnl_socket *nl;
        unsigned port;
        uint32_t seq;
};

/* One request, or one page of a dump; what libmnl recommends (its macro is no constant). */
#define BUFFER_SIZE 8192U
/* The kernel marks a dump during which the tables changed; it is asked again, but not for ever. */
#define DUMP_ATTEMPTS 5U
/* Interfaces and addresses looked at; a host with more has its first ones used. */
#define LINKS_SEEN_MAX 4096U
#define ADDRESSES_SEEN_MAX 256U

int rtnl_open(Rtnl **ret) {
        _cleanup_(rtnl_closep) Rtnl *r = NEW(Rtnl);

        r->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
        if (!r->nl)
                return -errno;
        if (mnl_socket_bind(r->nl, 0, MNL_SOCKET_AUTOPID) < 0)
                return -errno;
        r->port = mnl_socket_get_portid(r->nl);
        *ret = TAKE_PTR(r);
        return 0;
}

Rtnl *rtnl_close(Rtnl *r) {
        if (r && r->nl)
                mnl_socket_close(r->nl);
        g_free(r);
        return NULL;
}

/* Sends @nlh and feeds every answer to @callback until the acknowledgement or the dump's end. */
static int talk(Rtnl *r, struct nlmsghdr *nlh, mnl_cb_t callback, void *userdata) {
        uint8_t buf[BUFFER_SIZE];
        int status;

        nlh->nlmsg_seq = ++r->seq;
        if (mnl_socket_sendto(r->nl, nlh, nlh->nlmsg_len) < 0)
                return -errno;
        do {
                ssize_t n = mnl_socket_recvfrom(r->nl, buf, sizeof buf);

                if (n < 0)
                        return -errno;
                status = mnl_cb_run(buf, (size_t) n, r->seq, r->port, callback, userdata);
                /* EPROTO: answer to an earlier request that failed half-way. */
                if (status < 0 && errno == EPROTO)
                        status = MNL_CB_OK;
        } while (status > MNL_CB_STOP);
        return status < 0 ? -errno : 0;
}

int rtnl_request(Rtnl *r, struct nlmsghdr *nlh, mnl_cb_t callback, void *userdata) {
        nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
        return talk(r, nlh, callback, userdata);
}

static int request(Rtnl *r, struct nlmsghdr *nlh) {
        return rtnl_request(r, nlh, NULL, NULL);
}

/* @reset is called before each attempt, so that what an interrupted one found is forgotten. */
static int dump(Rtnl *r,
                uint16_t type,
                unsigned family,
                mnl_cb_t callback,
                void (*reset)(void *userdata),
                void *userdata) {
        int status = -EINTR;

        for (unsigned i = 0; i < DUMP_ATTEMPTS && status == -EINTR; i++) {
                uint8_t buf[BUFFER_SIZE];
                struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

                nlh->nlmsg_type = type;
                nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
                /* Every rtnetlink header starts with the family. */
                if (type == RTM_GETROUTE)
                        ((struct rtmsg *) mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtmsg)))
                                        ->rtm_family = (unsigned char) family;
                else
                        ((struct ifinfomsg *) mnl_nlmsg_put_extra_header(
                                         nlh, sizeof(struct ifinfomsg)))
                                        ->ifi_family = (unsigned char) family;
                reset(userdata);
                status = talk(r, nlh, callback, userdata);
        }
        return status;
}

int rtnl_dump(Rtnl *r,
              uint16_t type,
              unsigned family,
              mnl_cb_t callback,
              void (*reset)(void *userdata),
              void *userdata) {
        return dump(r, type, family, callback, reset, userdata);
}

static bool listed(unsigned ifindex, const unsigned *list, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if (list[i] == ifindex)
                        return true;
        return false;
}

/* --- links --- */

static int on_link_index(const struct nlmsghdr *nlh, void *userdata) {
        const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

        *(unsigned *) userdata = (unsigned) ifi->ifi_index;
        return MNL_CB_OK;
}

int rtnl_link_index(Rtnl *r, const char *name, unsigned *ret) {
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        unsigned ifindex = 0;
        int status;

        nlh->nlmsg_type = RTM_GETLINK;
        nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
        mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
        mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
        status = talk(r, nlh, on_link_index, &ifindex);
        if (status < 0)
                return status;
        if (ifindex == 0)
                return -ENODEV;
        *ret = ifindex;
        return 0;
}

static int on_link_flags(const struct nlmsghdr *nlh, void *userdata) {
        const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

        *(unsigned *) userdata = ifi->ifi_flags;
        return MNL_CB_OK;
}

int rtnl_link_is_up(Rtnl *r, unsigned ifindex) {
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        struct ifinfomsg *ifi;
        unsigned flags = 0;
        int status;

        nlh->nlmsg_type = RTM_GETLINK;
        nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
        ifi = mnl_nlmsg_put_extra_header(nlh, sizeof *ifi);
        ifi->ifi_index = (int) ifindex;
        status = talk(r, nlh, on_link_flags, &flags);
        return status < 0 ? status : (flags & IFF_UP) != 0;
}

static int link_no_automatic_addresses(Rtnl *r, unsigned ifindex) {
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        struct nlattr *spec, *inet6;
        struct ifinfomsg *ifi;

        nlh->nlmsg_type = RTM_NEWLINK;
        ifi = mnl_nlmsg_put_extra_header(nlh, sizeof *ifi);
        ifi->ifi_index = (int) ifindex;
        spec = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
        inet6 = mnl_attr_nest_start(nlh, AF_INET6);
        mnl_attr_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
        mnl_attr_nest_end(nlh, inet6);
        mnl_attr_nest_end(nlh, spec);
        return request(r, nlh);
}

int rtnl_link_configure(Rtnl *r, unsigned ifindex, uint32_t mtu, uint32_t queue_len, bool up) {
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh;
        struct ifinfomsg *ifi;
        int status;

        /* A request of its own, and first: in one message the kernel brings the link up, and
         * makes a link-local address, before it reads the mode. Where the kernel has no IPv6 there
         * is nothing to switch off. */
        status = link_no_automatic_addresses(r, ifindex);
        if (status < 0 && status != -EAFNOSUPPORT && status != -EOPNOTSUPP && status != -EINVAL)
                return status;

        nlh = mnl_nlmsg_put_header(buf);
        nlh->nlmsg_type = RTM_NEWLINK;
        ifi = mnl_nlmsg_put_extra_header(nlh, sizeof *ifi);
        ifi->ifi_index = (int) ifindex;
        ifi->ifi_change = IFF_UP;
        ifi->ifi_flags = up ? IFF_UP : 0;
        if (mtu > 0)
                mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
        if (queue_len > 0)
                mnl_attr_put_u32(nlh, IFLA_TXQLEN, queue_len);
        return request(r, nlh);
}

/* --- addresses --- */

static int
address_request(Rtnl *r, uint16_t type, unsigned ifindex, const IpAddr *address, uint8_t prefix_len) {
        uint8_t buf[BUFFER_SIZE];
        struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
        struct ifaddrmsg *ifa;

        nlh->nlmsg_type = type;
        if (type == RTM_NEWADDR)
                nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
        ifa = mnl_nlmsg_put_extra_header(nlh, sizeof *ifa);
        ifa->ifa_family = address->family;
        ifa->ifa_prefixlen = prefix_len;
        ifa->ifa_index = ifindex;
        mnl_attr_put(nlh, IFA_LOCAL, ip_size(address), address->bytes);
        mnl_attr_put(nlh, IFA_ADDRESS, ip_size(address), address->bytes);
        /* Addresses of the network are unique by lease or by computation: nobody to ask. */
        if (address->family == AF_INET6)
                mnl_attr_put_u32(nlh, IFA_FLAGS, IFA_F_NODAD);
        return request(r, nlh);
}

int rtnl_address_add(Rtnl *r, unsigned ifindex, const IpAddr *address, uint8_t prefix_len) {
        int status = address_request(r, RTM_NEWADDR, ifindex, address, prefix_len);

        return status == -EEXIST ? 0 : status;
}

int rtnl_address_remove(Rtnl *r, unsigned ifindex, const IpAddr *address, uint8_t prefix_len) {
        int status = address_request(r, RTM_DELADDR, ifindex, address, prefix_len);

        return status == -EADDRNOTAVAIL ? 0 : status;
}

typedef struct SeenAddress {
        unsigned ifindex;
        IpAddr address;
        uint8_t prefix_len;
        uint32_t flags; /* IFA_F_* */
} SeenAddress;

typedef struct SeenAddresses {
        unsigned ifindex; /* of this link only; 0: of all */
        SeenAddress address[ADDRESSES_SEEN_MAX];
        unsigned n;
} SeenAddresses;

static void reset_addresses(void *userdata) {
        ((SeenAddresses *) userdata)->n = 0;
}

static int on_address(const struct nlmsghdr *nlh, void *userdata) {
        const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
        SeenAddresses *seen = userdata;
        SeenAddress s = {
                .ifindex = ifa->ifa_index,
                .address.family = ifa->ifa_family,
                .prefix_len = ifa->ifa_prefixlen,
                .flags = ifa->ifa_flags,
        };
        bool local = false;
        struct nlattr *attr;

        if (seen->n >= ELEMENTSOF(seen->address) ||
            (seen->ifindex > 0 && seen->ifindex != ifa->ifa_index))
                return MNL_CB_OK;
        if (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6)
                return MNL_CB_OK;
        mnl_attr_for_each(attr, nlh, sizeof *ifa) {
                uint16_t type = mnl_attr_get_type(attr);

                if (type == IFA_FLAGS && mnl_attr_get_payload_len(attr) == 4)
                        s.flags = mnl_attr_get_u32(attr);
                /* IFA_ADDRESS is the other end of a point-to-point link; ours is IFA_LOCAL if
                 * that is given. */
                if ((type == IFA_LOCAL || (type == IFA_ADDRESS && !local)) &&
                    mnl_attr_get_payload_len(attr) == ip_size(&s.address)) {
                        memcpy(s.address.bytes, mnl_attr_get_payload(attr), ip_size(&s.address));
                        local = local || type == IFA_LOCAL;
                }
        }
        seen->address[seen->n++] = s;
        return MNL_CB_OK;
}

static int dump_addresses(Rtnl *r, SeenAddresses *ret) {
        return dump(r, RTM_GETADDR, AF_UNSPEC, on_address, reset_addresses, ret);
}

int rtnl_address_keep_only(Rtnl *r, unsigned ifindex, const IpAddr *keep, unsigned n_keep) {
        g_autofree SeenAddresses *seen = NEW(SeenAddresses);
        int status = dump_addresses(r, seen);

        if (status < 0)
                return status;
        for (unsigned i = 0; i < seen->n; i++) {
                const SeenAddress *s = &seen->address[i];
                bool wanted = s->ifindex != ifindex;

                for (unsigned k = 0; k < n_keep; k++)
                        wanted = wanted || ip_equal(&keep[k], &s->address);
                if (wanted)
                        continue;
                status = rtnl_address_remove(r, ifindex, &s->address, s->prefix_len);
                if (status < 0)
                        return status;
        }
        return 0;
}

int rtnl_address_is_there(Rtnl *r, unsigned ifindex, const IpAddr *address, uint8_t prefix_len) {
        g_autofree SeenAddresses *seen = NEW(SeenAddresses);
        int status;

        seen->ifindex = ifindex;
        status = dump_addresses(r, seen);
        if (status < 0)
                return status;
        for (unsigned i = 0; i < seen->n; i++) {
                const SeenAddress *s = &seen->address[i];

                if (s->prefix_len == prefix_len && ip_equal(&s->address, address))
                        return 1;
        }
        return 0;
}

/* --- what the machine has --- */

/* Interfaces with addresses worth trying, in this order. */
typedef enum LinkRank {
        LINK_DEFAULT, /* the default route goes there */
        LINK_OTHER,
        LINK_VIRTUAL, /* inside this machine, of containers and virtual machines */
} LinkRank;

typedef struct UsableLink {
        unsigned ifindex;
        LinkRank rank;
        bool is_tunnel;
} UsableLink;

typedef struct UsableLinks {
        UsableLink link[LINKS_SEEN_MAX];
        unsigned n;
} UsableLinks;

static void reset_links(void *userdata) {
        ((UsableLinks *) userdata)->n = 0;
}

/* IFLA_INFO_KIND; "" for hardware. Not terminated in the message. */
static void link_kind(const struct nlattr *info, char ret[static 16]) {
        struct nlattr *attr;

        mnl_attr_for_each_nested(attr, info) if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
                        g_strlcpy(ret, mnl_attr_get_payload(attr),
                                  MIN((size_t) mnl_attr_get_payload_len(attr) + 1, 16U));
}

static int on_usable_link(const struct nlmsghdr *nlh, void *userdata) {
        /* Who is at the other end is no router of the place where we are. */
        static const char *const tunnels[] = { "tun", "wireguard", "vxlan", "gre", "ipip",
                                               "sit", "ip6tnl",    "dummy", NULL };
        const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
        char name[16] = "", kind[16] = "";
        UsableLinks *links = userdata;
        UsableLink l = { .ifindex = (unsigned) ifi->ifi_index, .rank = LINK_OTHER };
        struct nlattr *attr;

        if (!(ifi->ifi_flags & IFF_UP) || (ifi->ifi_flags & IFF_LOOPBACK) ||
            links->n >= ELEMENTSOF(links->link))
                return MNL_CB_OK;
        mnl_attr_for_each(attr, nlh, sizeof *ifi) {
                if (mnl_attr_get_type(attr) == IFLA_IFNAME)
                        g_strlcpy(name, mnl_attr_get_payload(attr),
                                  MIN((size_t) mnl_attr_get_payload_len(attr) + 1, sizeof name));
                if (mnl_attr_get_type(attr) == IFLA_LINKINFO)
                        link_kind(attr, kind);
        }
        /* Another omertad's, the system's beside a user's: a tunnel in a tunnel. */
        if (strcmp(kind, "tun") == 0 && g_str_has_prefix(name, "omerta"))
                return MNL_CB_OK;
        /* A cable that is pulled. What is made of software may lack a carrier for other reasons. */
        if ((*kind == '\0' || strcmp(kind, "veth") == 0) && !(ifi->ifi_flags & IFF_LOWER_UP))
                return MNL_CB_OK;
        if (strcmp(kind, "bridge") == 0 || strcmp(kind, "veth") == 0 || strcmp(kind, "vxlan") == 0)
                l.rank = LINK_VIRTUAL;
        l.is_tunnel = g_strv_contains(tunnels, kind);
        links->link[links->n++] = l;
        return MNL_CB_OK;
}

static UsableLink *find_link(UsableLinks *links, unsigned ifindex) {
        for (unsigned i = 0; i < links->n; i++)
                if (links->link[i].ifindex == ifindex)
                        return &links->link[i];
        return NULL;
}

/* Where the default routes of both families go; of several the ones with the lowest metric. */
typedef struct DefaultRoute {
        unsigned ifindex; /* 0: none */
        uint32_t metric;
        IpAddr router; /* unset: the link has none */
} DefaultRoute;

typedef struct DefaultRoutes {
        DefaultRoute v4, v6;
} DefaultRoutes;

static void reset_defaults(void *userdata) {
        *(DefaultRoutes *) userdata = (DefaultRoutes){};
}

static int on_default_route(const struct nlmsghdr *nlh, void *userdata) {
        const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
        DefaultRoute found = { .router.family = rtm->rtm_family }, *best;
        uint32_t table = rtm->rtm_table;
        DefaultRoutes *d = userdata;
        bool has_router = false;
        struct nlattr *attr;

        if ((rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6) || rtm->rtm_dst_len > 0 ||
            rtm->rtm_type != RTN_UNICAST || (rtm->rtm_flags & RTM_F_CLONED))
                return MNL_CB_OK;
        mnl_attr_for_each(attr, nlh, sizeof *rtm) {
                size_t len = mnl_attr_get_payload_len(attr);

                if (mnl_attr_get_type(attr) == RTA_GATEWAY && len == ip_size(&found.router)) {
                        memcpy(found.router.bytes, mnl_attr_get_payload(attr), len);
                        has_router = true;
                }
                if (len != 4)
                        continue;
                if (mnl_attr_get_type(attr) == RTA_TABLE)
                        table = mnl_attr_get_u32(attr);
                if (mnl_attr_get_type(attr) == RTA_OIF)
                        found.ifindex = mnl_attr_get_u32(attr);
                if (mnl_attr_get_type(attr) == RTA_PRIORITY)
                        found.metric = mnl_attr_get_u32(attr);
        }
        if (table != RT_TABLE_MAIN || found.ifindex == 0)
                return MNL_CB_OK;
        if (!has_router)
                found.router = (IpAddr){};
        best = rtm->rtm_family == AF_INET ? &d->v4 : &d->v6;
        if (best->ifindex == 0 || found.metric < best->metric)
                *best = found;
        return MNL_CB_OK;
}

static int read_links(Rtnl *r, UsableLinks *ret, DefaultRoutes *ret_defaults) {
        int status;

        status = dump(r, RTM_GETLINK, AF_UNSPEC, on_usable_link, reset_links, ret);
        if (status >= 0)
                status = dump(r, RTM_GETROUTE, AF_UNSPEC, on_default_route, reset_defaults,
                              ret_defaults);
        for (unsigned i = 0; i < ret->n; i++)
                if (ret->link[i].ifindex == ret_defaults->v4.ifindex ||
                    ret->link[i].ifindex == ret_defaults->v6.ifindex)
                        ret->link[i].rank = LINK_DEFAULT;
        return status;
}

static bool is_link_local_v6(const IpAddr *a) {
        return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static bool is_ours(const IpAddr *a, const IpPrefix *ours, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                if (ip_prefix_contains(&ours[i], a))
                        return true;
        return false;
}

static Endpoint endpoint_of(const IpAddr *a) {
        Endpoint e = {};

        if (a->family == AF_INET) {
                e.in.sin_family = AF_INET;
                memcpy(&e.in.sin_addr, a->bytes, 4);
        } else {
                e.in6.sin6_family = AF_INET6;
                memcpy(&e.in6.sin6_addr, a->bytes, 16);
        }
        return e;
}

/* The first of each family where there is one: who has only IPv6 is not helped by eight of IPv4. */
static void keep_both_families(Endpoint *all, unsigned n, unsigned max) {
        for (unsigned i = max; max > 1 && i < n; i++) {
                bool there = false;

                for (unsigned k = 0; k < max; k++)
                        there = there || all[k].sa.sa_family == all[i].sa.sa_family;
                if (!there) {
                        Endpoint last = all[max - 1];

                        all[max - 1] = all[i];
                        all[i] = last;
                        return;
                }
        }
}

int rtnl_local_endpoints(Rtnl *r, const RtnlOurs *ours, Endpoint *ret, unsigned max) {
        const uint32_t unusable = IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED;
        g_autofree SeenAddresses *seen = NEW(SeenAddresses);
        g_autofree UsableLinks *links = NEW(UsableLinks);
        g_autofree Endpoint *all = NULL;
        DefaultRoutes defaults = {};
        unsigned n = 0;
        int status;

        status = read_links(r, links, &defaults);
        if (status < 0)
                return status;
        status = dump_addresses(r, seen);
        if (status < 0)
                return status;
        /* An interface with an address of a network is that network's, with all its addresses. */
        for (unsigned i = 0; i < seen->n; i++) {
                UsableLink *l = find_link(links, seen->address[i].ifindex);

                if (l && is_ours(&seen->address[i].address, ours->prefix, ours->n_prefixes))
                        l->ifindex = 0;
        }
        all = g_new0(Endpoint, seen->n + 1);
        for (LinkRank rank = LINK_DEFAULT; rank <= LINK_VIRTUAL; rank++)
                for (unsigned i = 0; i < seen->n; i++) {
                        const SeenAddress *s = &seen->address[i];
                        const UsableLink *l = find_link(links, s->ifindex);

                        if (l && l->rank == rank && !(s->flags & unusable) &&
                            !listed(s->ifindex, ours->ifindex, ours->n_ifindex) &&
                            !is_link_local_v6(&s->address))
                                all[n++] = endpoint_of(&s->address);
                }
        keep_both_families(all, n, max);
        memcpy(ret, all, MIN(n, max) * sizeof *ret);
        return (int) n;
}

/* Of the addresses on a link the one that a router there maps; 0: it is not one. */
static unsigned rank_source(const SeenAddress *s, int family) {
        const IpPrefix host = { .addr = s->address, .len = family == AF_INET6 ? 128 : 32 };

        if (s->address.family != family ||
            (s->flags & (IFA_F_DEPRECATED | IFA_F_TENTATIVE | IFA_F_DADFAILED)))
                return 0;
        if (family == AF_INET)
                return s->flags & IFA_F_SECONDARY ? 1 : 2;
        /* Global unicast, RFC 4291 section 2.4. A temporary one (RFC 8981) goes within days. */
        if ((s->address.bytes[0] & 0xe0) != 0x20 || ip_prefix_is_private(&host))
                return 0;
        return s->flags & IFA_F_TEMPORARY ? 1 : 2;
}

int rtnl_default_router(Rtnl *r, int family, const RtnlOurs *ours, RtnlRouter *ret) {
        g_autofree SeenAddresses *seen = NEW(SeenAddresses);
        g_autofree UsableLinks *links = NEW(UsableLinks);
        DefaultRoutes defaults = {};
        const DefaultRoute *d = family == AF_INET ? &defaults.v4 : &defaults.v6;
        RtnlRouter found = {};
        const UsableLink *l;
        unsigned best = 0;
        int status;

        status = read_links(r, links, &defaults);
        if (status < 0)
                return status;
        l = find_link(links, d->ifindex);
        if (!ip_is_set(&d->router) || !l || l->is_tunnel ||
            listed(d->ifindex, ours->ifindex, ours->n_ifindex))
                return 0;
        seen->ifindex = d->ifindex;
        status = dump_addresses(r, seen);
        if (status < 0)
                return status;
        for (unsigned i = 0; i < seen->n; i++) {
                unsigned rank = rank_source(&seen->address[i], family);

                if (rank <= best ||
                    is_ours(&seen->address[i].address, ours->prefix, ours->n_prefixes))
                        continue;
                best = rank;
                found.source = seen->address[i].address;
        }
        if (best == 0 && family == AF_INET)
                return 0;
        found.router = d->router;
        found.ifindex = d->ifindex;
        *ret = found;
        return 1;
}

typedef struct NamedLinks {
        const char *name;
        unsigned ifindex[LINKS_SEEN_MAX];
        unsigned n;
} NamedLinks;

static void reset_named(void *userdata) {
        ((NamedLinks *) userdata)->n = 0;
}

static int on_named_link(const struct nlmsghdr *nlh, void *userdata) {
        const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
        NamedLinks *named = userdata;
        struct nlattr *attr;

        mnl_attr_for_each(attr, nlh, sizeof *ifi) {
                if (mnl_attr_get_type(attr) != IFLA_IFNAME ||
                    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0 ||
                    !g_str_has_prefix(mnl_attr_get_str(attr), named->name) ||
                    named->n == ELEMENTSOF(named->ifindex))
                        continue;
                named->ifindex[named->n++] = (unsigned) ifi->ifi_index;
        }
        return MNL_CB_OK;
}

int rtnl_prefixes_on(Rtnl *r, const char *name, const unsigned *skip, unsigned n_skip, PrefixSet *set) {
        g_autofree SeenAddresses *seen = NEW(SeenAddresses);
        g_autofree NamedLinks *named = NEW(NamedLinks);
        int status;

        named->name = name;
        status = dump(r, RTM_GETLINK, AF_UNSPEC, on_named_link, reset_named, named);
        if (status < 0)
                return status;
        status = dump_addresses(r, seen);
        if (status < 0)
                return status;
        for (unsigned i = 0; i < seen->n; i++) {
                const SeenAddress *s = &seen->address[i];

                if (listed(s->ifindex, named->ifindex, named->n) &&
                    !listed(s->ifindex, skip, n_skip) && !is_link_local_v6(&s->address))
                        prefix_set_add(set, &s->address, s->prefix_len);
        }
        return 0;
}

typedef struct Routes {
        const unsigned *skip;
        unsigned n_skip;
        GArray *found; /* of RtnlRoute */
} Routes;

static void reset_routes(void *userdata) {
        g_array_set_size(((Routes *) userdata)->found, 0);
}

static int on_route(const struct nlmsghdr *nlh, void *userdata) {
        const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
        RtnlRoute route = { .prefix = { .addr.family = AF_INET, .len = rtm->rtm_dst_len } };
        RtnlRoute router = { .prefix = { .addr.family = AF_INET, .len = 32 }, .is_router = true };
        Routes *routes = userdata;
        bool has_router = false;
        struct nlattr *attr;

        /* Blackholes and the like say that nobody is there. */
        if (rtm->rtm_family != AF_INET || (rtm->rtm_flags & RTM_F_CLONED) ||
            (rtm->rtm_type != RTN_UNICAST && rtm->rtm_type != RTN_LOCAL))
                return MNL_CB_OK;
        mnl_attr_for_each(attr, nlh, sizeof *rtm) {
                uint16_t type = mnl_attr_get_type(attr);

                if (mnl_attr_get_payload_len(attr) != 4)
                        continue;
                if (type == RTA_OIF)
                        route.ifindex = router.ifindex = mnl_attr_get_u32(attr);
                else if (type == RTA_DST)
                        memcpy(route.prefix.addr.bytes, mnl_attr_get_payload(attr), 4);
                else if (type == RTA_GATEWAY) {
                        memcpy(router.prefix.addr.bytes, mnl_attr_get_payload(attr), 4);
                        has_router = true;
                }
        }
        if (listed(route.ifindex, routes->skip, routes->n_skip))
                return MNL_CB_OK;
        if (route.prefix.len >= RTNL_ROUTE_LEN_MIN)
                g_array_append_val(routes->found, route);
        if (has_router)
                g_array_append_val(routes->found, router);
        return MNL_CB_OK;
}

int rtnl_routes(Rtnl *r, const unsigned *skip, unsigned n_skip, GArray **ret) {
        g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(RtnlRoute));
        Routes routes = { .skip = skip, .n_skip = n_skip, .found = found };
        int status = dump(r, RTM_GETROUTE, AF_INET, on_route, reset_routes, &routes);

        if (status < 0)
                return status;
        *ret = TAKE_PTR(found);
        return 0;
}

typedef struct SoughtRoute {
        unsigned ifindex;
        IpPrefix prefix;
        bool is_there;
} SoughtRoute;

static void reset_sought(void *userdata) {
        ((SoughtRoute *) userdata)->is_there = false;
}

static int on_sought_route(const struct nlmsghdr *nlh, void *userdata) {
        const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
        IpPrefix found = { .addr.family = rtm->rtm_family, .len = rtm->rtm_dst_len };
        SoughtRoute *sought = userdata;
        unsigned ifindex = 0;
        struct nlattr *attr;

        if (rtm->rtm_family != sought->prefix.addr.family || (rtm->rtm_flags & RTM_F_CLONED) ||
            rtm->rtm_type != RTN_UNICAST || rtm->rtm_dst_len > sought->prefix.len)
                return MNL_CB_OK;
        mnl_attr_for_each(attr, nlh, sizeof *rtm) {
                if (mnl_attr_get_type(attr) == RTA_OIF && mnl_attr_get_payload_len(attr) == 4)
                        ifindex = mnl_attr_get_u32(attr);
                if (mnl_attr_get_type(attr) == RTA_DST &&
                    mnl_attr_get_payload_len(attr) == ip_size(&found.addr))
                        memcpy(found.addr.bytes, mnl_attr_get_payload(attr), ip_size(&found.addr));
        }
        if (ifindex == sought->ifindex && ip_prefix_contains(&found, &sought->prefix.addr))
                sought->is_there = true;
        return MNL_CB_OK;
}

int rtnl_route_is_there(Rtnl *r, unsigned ifindex, const IpPrefix *prefix) {
        SoughtRoute sought = { .ifindex = ifindex, .prefix = *prefix };
        int status;

        status = dump(r, RTM_GETROUTE, prefix->addr.family, on_sought_route, reset_sought, &sought);
        return status < 0 ? status : sought.is_there;
}
