/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The world of tests of the contract of netif/netstack.h, for every engine against every other: two
 * stacks joined back to back, client and server. Include it after cmocka.h. */

#include "netif-wire.h"
#include "netif/netstack-internal.h"

#define MTU 1420
#define MIB (1024U * 1024U)

typedef struct Pair {
        sd_event *event;
        Netstack *client, *server;
        Netif *netif[2];
        NetifWire *wire;
        IpAddr client4, client6, server4, server6;
        /* what callbacks found */
        int dialed; /* fd, or error; INT_MIN: not yet */
        int accepted[1100];
        unsigned n_accepted;
        IpAddr peer;
        uint16_t peer_port;
        int echo_error;
        usec_t rtt;
        unsigned called;
} Pair;

typedef struct NetstackCase {
        const char *name;
        CMUnitTestFunction function;
} NetstackCase;
#define NETSTACK_CASE(f)                                                                           \
        { #f, f }

/* Every case with every pair of engines; @argv[1]: only those it matches. Return: of main(). */
int netstack_world_run(const char *name, const NetstackCase *cases, size_t n_cases, int argc, char **argv);

/* The test's pair; skips the test where an engine is missing, or there is no wire between them. */
Pair *need(void **state);
Pair *need_wire(void **state);

/* Callbacks that leave what they are told in the Pair. */
void on_dialed(void *userdata, int fd);
void on_accepted(void *userdata, int fd, const IpAddr *peer, uint16_t port);
void on_echoed(void *userdata, int error, usec_t rtt);

void run_once(Pair *p);
/* Until an echo over IPv6 is answered: a kernel has a new address only a moment after it was given,
 * when its work queue has run (addrconf_dad_work), and datagrams before that are lost. */
void await_ipv6(Pair *p);
/* Return: the fd, or the error. */
int dial_at(Pair *p, const IpAddr *to, uint16_t port, usec_t timeout);
uint16_t listen_at(Pair *p, NetstackCall **ret);
/* A connection; @ret[0] is the client's. */
void connect_pair(Pair *p, const IpAddr *to, int ret[2]);
/* Waits for @events on an fd while the event loop runs. */
void wait_fd(Pair *p, int fd, short events);
void read_exactly(Pair *p, int fd, void *buf, size_t len);
/* Return: 0, or negative errno: how the connection ended. */
int read_end(Pair *p, int fd);
/* So many bytes both ways at once, each checked, to the end of both directions. */
void transfer(int client, int server, size_t out, size_t in);
/* Of this process. */
unsigned count_fds(void);
