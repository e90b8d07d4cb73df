/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The policy routing of a machine that sends its traffic through an exit: a table of our own with a
 * default route over our interface, and rules that lead there. The main table is not touched, and
 * what we make is known by its protocol, so that another life finds it.
 *
 *   18000  UDP from our own port, main: our datagrams carry the others, and must not loop; so do
 *          and STREAM_MARK        our connections
 *   18001  all                    main, but for its default route: what is on the link, and
 *                                 whatever somebody has made a route for; or, without the LAN,
 *                                 all that lies inside a virtual network of this machine
 *   18002  all                    our table
 *
 * Our datagrams are told by their port and not by a mark (SO_MARK): where rp_filter is strict the
 * kernel looks up the way back to who sent us one, and that look-up has the ports but no mark, so
 * that every answer would be dropped. Nobody else can have the port (manager/sockets.c). Connections
 * have any port, so they bear a mark all the same, and do not work there; they are the last resort.
 *
 * There is no unreachable or blackhole route: a table whose interface is gone is empty, and a rule
 * that leads to an empty table does nothing. What is left of a process that was killed is harmless.
 */

#include "host/rtnl.h"

/* As IPPROTO_* numbers go: nobody's in /etc/iproute2/rt_protos. */
#define DETOUR_PROTOCOL 182U
#define DETOUR_TABLE 18002U
#define DETOUR_PRIORITY 18000U

typedef struct RtnlDetour {
        unsigned ifindex;
        uint16_t port;          /* of our UDP sockets */
        IpAddr source, source6; /* ours in the network; unset: nothing of this family goes there */
        bool lan; /* what the main table has a route for stays reachable, but for its default route */
        const PrefixSet *inside; /* without @lan: these stay reachable */
} RtnlDetour;

/* Makes it so, whatever of ours is there; what is right is left alone.
 * Return: 0, or negative errno, and then nothing of it is left. */
int rtnl_detour_set(Rtnl *r, const RtnlDetour *e);
/* Return: 1: it is so; 0: it is not; or negative errno. */
int rtnl_detour_is_set(Rtnl *r, const RtnlDetour *e);
/* Nothing of ours is left, whoever made it. Return: 0, or negative errno. */
int rtnl_detour_clear(Rtnl *r);

/* A default route in the main table, for a namespace that has nothing else: @source is ours on the
 * link. Return: 0, or negative errno. */
int rtnl_add_default(Rtnl *r, unsigned ifindex, const IpAddr *source);
/* Whether a family has a default route in the main table that is not over @ifindex. Return: 1, 0,
 * or negative errno. */
int rtnl_has_default(Rtnl *r, int family, unsigned ifindex);
/* Whether it has one that is, and the router it names; unset: none. Return: as before. */
int rtnl_default_over(Rtnl *r, int family, unsigned ifindex, IpAddr *ret_router);
