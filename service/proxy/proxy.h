/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the proxy needs of the virtual network: connections in both directions, datagrams, names.
 * The daemon fills it in from netif/netstack.h, whose functions have these shapes; tests and
 * programs that measure do with the machine's own sockets.
 *
 * A function that fails at once returns a negative errno and no callback follows; else the
 * callback comes from the event loop, never from inside the call. A call ends by itself with its
 * callback, which must not cancel it any more; a listener lives until it is cancelled.
 * Control thread only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"
#include "base/time.h"

typedef struct ProxyCall ProxyCall; /* something under way, the dialer's own type */

/* @fd: connected, non-blocking, CLOEXEC, the callee's; or negative errno: -ECONNREFUSED,
 * -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH, -EACCES (a rule forbids it), -EMFILE, ... */
typedef void (*ProxyDialed)(void *userdata, int fd);
/* One accepted connection; the fd is the callee's. */
typedef void (*ProxyAccepted)(void *userdata, int fd, const IpAddr *peer, uint16_t port);

/* Addresses of one name: a machine has an IPv4 lease and an IPv6 address. */
#define PROXY_ADDRESSES_MAX 4U

typedef struct ProxyDialer {
        int (*dial)(void *userdata,
                    const IpAddr *address,
                    uint16_t port,
                    usec_t timeout,
                    ProxyDialed done,
                    void *done_userdata,
                    ProxyCall **ret);
        /* In the network, on every address. @port 0: any; @ret_port: which. */
        int (*listen)(void *userdata,
                      uint16_t port,
                      unsigned backlog,
                      ProxyAccepted accepted,
                      void *accepted_userdata,
                      uint16_t *ret_port,
                      ProxyCall **ret);
        /* Which network has this address; NULL: any. A word to compare and for udp(), which knows
         * whether it is still there; NULL: none that is up. */
        const void *(*network)(void *userdata, const IpAddr *address);
        /* A fd that keeps messages apart, each after PROXY_UDP_HEADER_SIZE bytes: family (4 or
         * 6), 0, port (big-endian), address (16): destination when written, source when read.
         * What does not fit is dropped. End of file: there will be no more. */
        int (*udp)(void *userdata,
                   const void *network,
                   ProxyDialed done,
                   void *done_userdata,
                   ProxyCall **ret);
        /* "HOST.omerta" or the plain name of a member, from what is known here: answers at once.
         * Return: how many addresses, best first, at most PROXY_ADDRESSES_MAX; -ENXIO: nobody has
         * this name; -ENETUNREACH: no network is up. */
        int (*resolve)(void *userdata, const char *name, IpAddr ret[static PROXY_ADDRESSES_MAX]);
        void (*cancel)(void *userdata, ProxyCall *call);
        void *userdata;
} ProxyDialer;

#define PROXY_UDP_HEADER_SIZE 20U

/* Who a connection is for: address or name is set; neither: a name nobody can have. */
#define PROXY_NAME_MAX 255U /* RFC 1928, section 5: one byte of length */
typedef struct ProxyTarget {
        IpAddr address;
        char name[PROXY_NAME_MAX + 1];
        uint16_t port;
} ProxyTarget;

/* Sets address or name from @host, which may be a name or a numeric address, IPv6 with brackets or
 * without. Return: 0, or -EINVAL: neither (empty, too long, bytes no name has). */
int proxy_target_set_host(ProxyTarget *t, const char *host, size_t len);
/* "nas.omerta:22", "10.0.0.100:22", "[fd00::1]:22". Return: 0, or -EINVAL. */
int proxy_target_parse(const char *text, size_t len, ProxyTarget *ret);
char *proxy_target_format(const ProxyTarget *t);
/* Digits alone, 0 to 65535. Return: 0, or -EINVAL. */
int proxy_port_parse(const char *text, size_t len, uint16_t *ret);

/* A dial of a target: looks its name up and tries one address after the other. Embedded in its
 * owner; cleared (proxy_dial_done()) before that memory goes. */
typedef struct ProxyDial {
        const ProxyDialer *dialer;
        ProxyCall *call;
        ProxyDialed done;
        void *userdata;
        usec_t timeout;
        IpAddr addresses[PROXY_ADDRESSES_MAX];
        unsigned n_addresses, next;
        uint16_t port;
} ProxyDial;

/* @timeout: for each address. Return: 0, or what proxy_resolve() or the dialer says at once;
 * -ECONNREFUSED for port 0, which nobody can serve. */
int proxy_dial_start(
                ProxyDial *d,
                const ProxyDialer *dialer,
                const ProxyTarget *target,
                usec_t timeout,
                ProxyDialed done,
                void *userdata);
void proxy_dial_done(ProxyDial *d);

/* Return: how many addresses; what the dialer's resolve() says. */
int proxy_resolve(
                const ProxyDialer *dialer,
                const ProxyTarget *target,
                IpAddr ret[static PROXY_ADDRESSES_MAX]);
