/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The kernel's network configuration by rtnetlink (rtnetlink(7), libmnl). Synchronous requests
 * to the kernel only; they do not wait for anybody else. A monitor reports changes as one fd for
 * the event loop.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/ip.h"

typedef struct Rtnl Rtnl;

/* Of the network namespace the calling thread is in. */
int rtnl_open(Rtnl **ret);
Rtnl *rtnl_close(Rtnl *r);
static inline void rtnl_closep(Rtnl **r) {
        *r = rtnl_close(*r);
}

/* 0, or -ENODEV. */
int rtnl_link_index(Rtnl *r, const char *name, unsigned *ret);
/* Return: 1: up, 0: down, -ENODEV: there is no such link (any more). */
int rtnl_link_is_up(Rtnl *r, unsigned ifindex);
/* @mtu, @queue_len 0: leave. Switches automatic IPv6 addresses off (addr_gen_mode none). */
int rtnl_link_configure(Rtnl *r, unsigned ifindex, uint32_t mtu, uint32_t queue_len, bool up);
/* Removing what is not there, or adding what is, is no error. */
int rtnl_address_add(Rtnl *r, unsigned ifindex, const IpAddr *address, uint8_t prefix_len);
int rtnl_address_remove(Rtnl *r, unsigned ifindex, const IpAddr *address, uint8_t prefix_len);
/* Removes every address of the link that is not one of @keep: what a former life left there. */
int rtnl_address_keep_only(Rtnl *r, unsigned ifindex, const IpAddr *keep, unsigned n_keep);

/* Return: 1: the link has it, 0: it has not, or negative errno. */
int rtnl_address_is_there(Rtnl *r, unsigned ifindex, const IpAddr *address, uint8_t prefix_len);
/* Whether some route to all of @prefix goes over the link. Return: 1, 0, or negative errno. */
int rtnl_route_is_there(Rtnl *r, unsigned ifindex, const IpPrefix *prefix);

/* What is the virtual networks' own, and leads nowhere else. */
typedef struct RtnlOurs {
        const unsigned *ifindex; /* our interfaces */
        unsigned n_ifindex;
        const IpPrefix *prefix; /* an interface with an address in one is another daemon's for the
                                   same network */
        unsigned n_prefixes;
} RtnlOurs;

/* Every address of the machine that a peer could send to: up, its cable plugged in, no loopback,
 * not @ours and on no tun "omerta*", not deprecated or tentative, no link-local IPv6; port 0. Those
 * of the interface of the default route first, those of bridges and other interfaces inside the
 * machine last; both families are among the first @max where there are both. Return: how many there
 * are, of which the first @max are in @ret. */
int rtnl_local_endpoints(Rtnl *r, const RtnlOurs *ours, Endpoint *ret, unsigned max);

/* Who is asked for the way to everywhere else. */
typedef struct RtnlRouter {
        IpAddr router;
        IpAddr source; /* ours on its link; unset: IPv6, and there is no public one */
        unsigned ifindex;
} RtnlRouter;
/* Of the default route with the lowest metric in the main table, where that has a router and is no
 * tunnel of this machine (tun, WireGuard, ...). Of several IPv6 addresses one that stays.
 * Return: 1, 0: there is none, or negative errno. */
int rtnl_default_router(Rtnl *r, int family, const RtnlOurs *ours, RtnlRouter *ret);

/* Addresses that this machine reaches otherwise than over a default route. */
typedef struct RtnlRoute {
        IpPrefix prefix;
        unsigned ifindex;
        bool is_router; /* what some route goes over; a prefix of one address */
} RtnlRoute;
/* Of IPv4, from all tables, the machine's own addresses among them; neither those of @skip interfaces
 * nor what is shorter than RTNL_ROUTE_LEN_MIN. @ret: of RtnlRoute, the caller unrefs.
 * Return: 0, or negative errno. */
int rtnl_routes(Rtnl *r, const unsigned *skip, unsigned n_skip, GArray **ret);
/* 0.0.0.0/1 and the like are default routes in disguise (OpenVPN's redirect-gateway def1). */
#define RTNL_ROUTE_LEN_MIN 8U

/* Prefixes of the addresses on links whose names begin with @name and that are not @skip: what
 * another daemon of ours on this machine has. */
int rtnl_prefixes_on(Rtnl *r, const char *name, const unsigned *skip, unsigned n_skip, PrefixSet *set);

/* An interface to a broadcast domain, and from where beacons leave there (core/mesh/lan/). */
typedef struct RtnlLan {
        unsigned ifindex;
        char name[16];                     /* IFNAMSIZ */
        IpAddr address[LAN_ADDRESSES_MAX]; /* IPv4 */
        unsigned n_addresses;
        bool has_ipv6; /* a link-local address that can be used */
} RtnlLan;
/* Those that are up, with a carrier and an address, and can multicast: neither loopback nor
 * point-to-point nor @ours nor a tun "omerta*", no bridge without a port and no port of a bridge.
 * Return: how many are in @ret, or negative errno. */
int rtnl_lans(Rtnl *r, const RtnlOurs *ours, RtnlLan *ret, unsigned max);

/* --- for an exit to the internet (rtnl-exit.c) --- */

/* An interface by which an exit leads out, of the families it does. */
typedef struct RtnlUplink {
        unsigned ifindex;
        char name[16]; /* IFNAMSIZ */
        bool has_v4, has_v6;
        bool is_default4, is_default6; /* to everywhere */
} RtnlUplink;
/**
 * rtnl_uplinks() - where the default routes lead over, and routes to some prefixes
 * @skip: interfaces that count for nothing
 * @to: of IpPrefix
 *
 * Of default routes those of the main table. Return: how many are in @ret, or negative errno.
 */
int rtnl_uplinks(
                Rtnl *r,
                const unsigned *skip,
                unsigned n_skip,
                const GArray *to,
                RtnlUplink *ret,
                unsigned max);
/* Prefixes this machine reaches without a router, of both families and in order, the first @max;
 * not over @skip. @ret: of IpPrefix, the caller unrefs. Return: 0, or negative errno. */
int rtnl_connected(Rtnl *r, const unsigned *skip, unsigned n_skip, unsigned max, GArray **ret);
/* Whether what comes in there may leave elsewhere, by IPv4. @ifindex 0: what new interfaces and the
 * machine as a whole go by (net.ipv4.ip_forward). Return: 1, 0, or negative errno. */
int rtnl_forwarding(Rtnl *r, unsigned ifindex);
int rtnl_set_forwarding(Rtnl *r, unsigned ifindex, bool on);

/* --- monitor --- */

/* fd that is readable when links, addresses, routes or rules for them changed; non-blocking, CLOEXEC. An IPv6
 * router's advertisements renew addresses and so count as changes: the caller gathers them. */
int rtnl_monitor_open(void);
/* What changed, as flags. */
#define RTNL_CHANGED_OTHERS 1
#define RTNL_CHANGED_OURS 2
/* Reads everything. @ours: links that we made, which may be gone by now.
 * Return: RTNL_CHANGED_*, 0: nothing, or negative errno. */
int rtnl_monitor_read(int fd, const unsigned *ours, unsigned n_ours);
