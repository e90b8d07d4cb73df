/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which addresses a network may have on this machine. Whoever makes a network says which they are,
 * and every machine in it sends what goes there into omerta0: so they must be nobody's on the
 * internet, and nothing this machine reaches otherwise. That is looked at before an invite is
 * shown, again when the gateway says it, and whenever the routes of the machine change: a laptop
 * comes into a LAN that has the same range. Then what is on the link wins, and the network says so.
 */

#include <net/if.h>
#include <sodium.h>
#include <string.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "manager/manager-internal.h"
#include "network/managed-network-internal.h"

#define ERROR_REFUSED "SubnetRefused"
/* A network has MACHINES_MAX machines: more addresses than a /16 only take those of others away. */
#define SUBNET_LEN_MIN 16
#define SUBNET_LEN_MIN_ANY 8

static unsigned own_links(const Manager *m, unsigned ret[static NETWORKS_MAX]) {
        unsigned n = 0;

        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *o = m->networks->pdata[i];

                if (o->netif)
                        ret[n++] = o->netif->ifindex;
        }
        return n;
}

/* Of IPv4, but those of our own interfaces. A user's daemon makes no route, so none is in its way.
 * NULL: they cannot be read. */
static GArray *foreign_routes(Manager *m) {
        unsigned skip[NETWORKS_MAX], n_skip = own_links(m, skip);
        GArray *routes = NULL;
        int r;

        if (m->options.user_mode)
                return g_array_new(FALSE, FALSE, sizeof(RtnlRoute));
        r = rtnl_routes(m->rtnl, skip, n_skip, &routes);
        if (r < 0)
                (void) log_warning_errno(r, "cannot read the routes of this machine: %m");
        return r < 0 ? NULL : routes;
}

static const RtnlRoute *find_route(const GArray *routes, const IpPrefix *subnet) {
        const RtnlRoute *best = NULL;

        for (unsigned i = 0; i < routes->len; i++) {
                const RtnlRoute *route = &g_array_index(routes, RtnlRoute, i);

                /* The widest is what it is about. */
                if (ip_prefix_overlaps(&route->prefix, subnet) &&
                    (!best || route->prefix.len < best->prefix.len))
                        best = route;
        }
        return best;
}

static char *route_text(const RtnlRoute *route) {
        char name[IF_NAMESIZE] = "?";

        (void) if_indextoname(route->ifindex, name);
        if (route->is_router)
                return g_strdup_printf(
                                "the router %s on %s", ip_format(&route->prefix.addr).text, name);
        return g_strdup_printf("the route %s on %s", ip_prefix_format(&route->prefix).text, name);
}

static const ManagedNetwork *
find_network(const Manager *m, const ManagedNetwork *but, const IpPrefix *subnet) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *o = m->networks->pdata[i];
                const IpPrefix *p = &managed_network_membership(o)->subnet;

                if (o != but && p->addr.family == AF_INET && ip_prefix_overlaps(p, subnet))
                        return o;
        }
        return NULL;
}

static int check_range(const IpPrefix *subnet, bool any, ManagerError *error) {
        if (subnet->addr.family != AF_INET || subnet->len > 30 ||
            subnet->len < (any ? SUBNET_LEN_MIN_ANY : SUBNET_LEN_MIN))
                return manager_fail(
                                error, -EINVAL, ERROR_REFUSED,
                                "the network has the addresses %s: a network has an IPv4 prefix of "
                                "/%d to /30%s",
                                ip_prefix_format(subnet).text,
                                any ? SUBNET_LEN_MIN_ANY : SUBNET_LEN_MIN,
                                any ? "" : "; root may say --any-subnet if more is meant");
        if (!any && !ip_prefix_is_private(subnet))
                return manager_fail(
                                error, -EINVAL, ERROR_REFUSED,
                                "the network has the addresses %s, which are others' on the internet "
                                "and could not be reached any more; a network has some of 10.0.0.0/8, "
                                "172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10. Root may say "
                                "--any-subnet if that is meant",
                                ip_prefix_format(subnet).text);
        return 0;
}

int manager_check_subnet(
                Manager *m,
                const ManagedNetwork *self,
                const IpPrefix *subnet,
                bool any,
                ManagerError *error) {
        g_autoptr(GArray) routes = NULL;
        const ManagedNetwork *other;
        const RtnlRoute *route;
        int r;

        r = check_range(subnet, any, error);
        if (r < 0)
                return r;
        other = find_network(m, self, subnet);
        if (other)
                return manager_fail(
                                error, -EEXIST, ERROR_REFUSED,
                                "the network's addresses %s collide with those of the network %s: "
                                "leave that one first, or ask for a network with others",
                                ip_prefix_format(subnet).text,
                                managed_network_membership(other)->name);
        routes = foreign_routes(m);
        if (!routes)
                return manager_fail(
                                error, -EIO, "Failed",
                                "cannot read the routes of this machine, so nobody knows what the "
                                "network would be in the way of");
        route = find_route(routes, subnet);
        if (route) {
                g_autofree char *text = route_text(route);

                return manager_fail(
                                error, -EADDRINUSE, ERROR_REFUSED,
                                "the network's addresses %s collide with %s of this machine: "
                                "disconnect that, or ask for a network with others",
                                ip_prefix_format(subnet).text, text);
        }
        return 0;
}

int manager_choose_subnet(Manager *m, const CreateOptions *options, IpPrefix *ret, ManagerError *error) {
        g_autoptr(GArray) used = g_array_new(FALSE, FALSE, sizeof(IpPrefix)), routes = NULL;
        int r;

        if (options->subnet) {
                r = ip_prefix_parse(options->subnet, ret);
                if (r < 0 || ret->addr.family != AF_INET || ret->len > 24)
                        return manager_fail(
                                        error, -EINVAL, "InvalidArgument",
                                        "'%s' is no subnet: an IPv4 prefix like 10.7.0.0/16, "
                                        "/16 to /24",
                                        options->subnet);
                return manager_check_subnet(m, NULL, ret, options->any_subnet, error);
        }
        routes = foreign_routes(m);
        for (unsigned i = 0; routes && i < routes->len; i++)
                g_array_append_val(used, g_array_index(routes, RtnlRoute, i).prefix);
        for (unsigned i = 0; i < m->networks->len; i++) {
                const Membership *o = managed_network_membership(m->networks->pdata[i]);

                if (o->subnet.addr.family == AF_INET)
                        g_array_append_val(used, o->subnet);
        }
        r = vnet_choose_subnet(
                        (const IpPrefix *) used->data, used->len,
                        options->usual_subnet ? 0 : randombytes_random(), ret);
        if (r < 0)
                return manager_fail(
                                error, r, "InvalidArgument",
                                "every private /16 overlaps a route of this machine: choose "
                                "a subnet yourself");
        return 0;
}

/* --- later --- */

bool managed_network_is_diverted(const ManagedNetwork *n, const IpAddr *address) {
        return n->conflict && ip_prefix_contains(&n->conflict_prefix, address);
}

bool managed_network_find_conflict(ManagedNetwork *n) {
        const IpPrefix *subnet = &managed_network_membership(n)->subnet;
        g_autofree char *old = TAKE_PTR(n->conflict), *text = NULL;
        g_autoptr(GArray) routes = NULL;
        const RtnlRoute *route;

        n->is_shut_out = false;
        if (subnet->addr.family != AF_INET || !n->netif)
                return old != NULL;
        routes = foreign_routes(n->manager);
        route = routes ? find_route(routes, subnet) : NULL;
        if (!route)
                return old != NULL;
        text = route_text(route);
        n->conflict_prefix = route->prefix;
        /* The kernel takes the longer prefix. Where theirs is not the longer one, ours must go. */
        n->is_shut_out = route->prefix.len <= subnet->len;
        n->conflict = n->is_shut_out ? g_strdup_printf("its addresses %s collide with %s, which is "
                                                       "used instead: nobody is reached over IPv4 "
                                                       "here",
                                                       ip_prefix_format(subnet).text, text)
                                     : g_strdup_printf("%s lies within its addresses %s: machines "
                                                       "that have some of those are not reached",
                                                       text, ip_prefix_format(subnet).text);
        return g_strcmp0(old, n->conflict) != 0;
}
