/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the engines of netif/netstack.h share: the table of calls, their timers and callbacks.
 * Control thread only. */

#include <glib.h>

#include "netif/netstack.h"

typedef enum NetstackCallKind {
        NETSTACK_CALL_DIAL,
        NETSTACK_CALL_LISTEN,
        NETSTACK_CALL_UDP,
        NETSTACK_CALL_ECHO,
} NetstackCallKind;

typedef struct NetstackOps {
        NetstackEngine engine;
        /* Each starts what @c describes. A failure at once is returned; the rest comes by
         * netstack_call_*() below. */
        int (*dial)(NetstackCall *c, const IpAddr *address, uint16_t port);
        int (*listen)(NetstackCall *c, uint16_t port, unsigned backlog, uint16_t *ret_port);
        int (*udp)(NetstackCall *c, uint16_t port);
        int (*echo)(NetstackCall *c, const IpAddr *address, size_t payload);
        /* The engine forgets @c, which is freed after. */
        void (*forget)(NetstackCall *c);
        int (*namespaces)(Netstack *s, int *ret_user_fd, int *ret_net_fd); /* or NULL */
        void (*free)(Netstack *s);
} NetstackOps;

/* Embedded first in every engine. */
struct Netstack {
        const NetstackOps *ops;
        sd_event *event;
        GHashTable *calls; /* id -> NetstackCall, owned */
        uint64_t last_id;
        NetstackChanged changed;
        void *changed_userdata;
        char *trouble;
};

struct NetstackCall {
        uint64_t id; /* never used twice, so that late answers find nobody */
        Netstack *stack;
        NetstackCallKind kind;
        union {
                NetstackDialed dialed;
                NetstackAccepted accepted;
                NetstackEchoed echoed;
        } done;
        void *userdata;
        sd_event_source *timer;
        /* engines over sockets */
        int fd;
        int error; /* to be reported from the event loop */
        sd_event_source *io, *later;
        IpAddr address;
        uint16_t sequence;
        usec_t sent;
};

/* For engines' constructors and destructors. */
void netstack_init(Netstack *s, const NetstackOps *ops, sd_event *event);
void netstack_done(Netstack *s);
NetstackCall *netstack_find_call(Netstack *s, uint64_t id);
/* From the event loop. @trouble: taken; NULL: it is over. */
void netstack_set_trouble(Netstack *s, char *trouble);

/* Ends a dial, a UDP association's making or an echo: forgets it, then calls back. */
void netstack_call_dialed(NetstackCall *c, int fd);
void netstack_call_echoed(NetstackCall *c, int error, usec_t rtt);
/* @c may be gone after it. */
void netstack_call_accepted(NetstackCall *c, int fd, const IpAddr *peer, uint16_t port);

int netstack_tun_new(sd_event *event, const char *interface, Netstack **ret);
/* @ret_reason: set on failure too. */
int netstack_kernel_new(sd_event *event, uint16_t mtu, Netstack **ret, Netif **ret_netif, char **ret_reason);
int netstack_lwip_new(sd_event *event, uint16_t mtu, Netstack **ret, Netif **ret_netif);

/* A sentence about user namespaces, from where the kernel and distributions forbid them; @proc is
 * "/proc". @error: of the attempt. */
char *netstack_userns_reason(int error, const char *proc);
