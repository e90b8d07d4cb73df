/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Connections into the virtual network for programs of this machine: dial, listen, datagrams,
 * echo. One contract for three engines:
 *
 *  - tun: the machine's own kernel and omerta0; plain sockets.
 *  - kernel: for people without root where user namespaces are allowed: a child process of ours
 *    lives in its own user and network namespace, has a tun there, and hands back sockets made in
 *    it; the kernel's TCP without any privilege.
 *  - lwip: works everywhere; a userspace stack in the packet thread.
 *
 * Whatever the engine, a connection is a file descriptor: a TCP socket, or one end of a
 * socketpair that the stack pumps. Callers (proxy, D-Bus Dial) need not know which: shutdown()
 * half-closes, a slow reader closes the TCP window, and a reset shows as ECONNRESET where data of
 * the caller was lost, as end of file and EPIPE else (all a socketpair can show).
 *
 * A function that fails at once returns the error and no callback follows; else the callback comes
 * from the event loop, never from inside a call. Control thread only.
 *
 * A peer that vanishes: a connection with data in flight ends within two to three minutes (a kernel
 * looks when it retransmits, which is ever more rarely), an idle one within about three (keep-alive
 * probes after NETSTACK_KEEPALIVE_IDLE_USEC).
 *
 * Memory of a connection, lwip: at most 1 MiB received that the caller does not read and as much
 * sent that the peer does not acknowledge (TCP_WND, TCP_SND_BUF), twice the kernel's socket buffer
 * (net.core.wmem_default, 208 KiB), and 4096 out-of-order or unacknowledged segments' headers;
 * idle about 1 KiB here and 2 KiB in the kernel. kernel, tun: net.ipv4.tcp_rmem and tcp_wmem.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/ip.h"
#include "base/time.h"
#include "netif/netif.h"

typedef enum NetstackEngine {
        NETSTACK_AUTO,
        NETSTACK_KERNEL,
        NETSTACK_LWIP,
        NETSTACK_TUN,
        _NETSTACK_ENGINE_MAX,
        _NETSTACK_ENGINE_INVALID = -22,
} NetstackEngine;
const char *netstack_engine_to_string(NetstackEngine e);
NetstackEngine netstack_engine_from_string(const char *text);

/* RFC 1122, 4.2.3.6 says two hours at least, for connections nobody asked about; ours are a
 * person's, and a laptop that went away should not be waited for. */
#define NETSTACK_KEEPALIVE_IDLE_USEC (60 * USEC_PER_SEC)
#define NETSTACK_KEEPALIVE_INTERVAL_USEC (15 * USEC_PER_SEC)
#define NETSTACK_KEEPALIVE_COUNT 6U
/* Data in flight that is not acknowledged for so long ends a connection. */
#define NETSTACK_UNANSWERED_USEC (120 * USEC_PER_SEC)
/* What names no limit gets this one. */
#define NETSTACK_TIMEOUT_USEC_MAX (120 * USEC_PER_SEC)
/* Connections an engine of our own holds at once: two fds each here and at the caller. */
#define NETSTACK_STREAMS_MAX 4096U
/* Shares, lwip: of a listener's backlog, of all that waits, and of the connections, no address has
 * more than is left for everybody. kernel: the backlog is the kernel's, whose SYN cookies go on
 * when it is full (net.ipv4.tcp_syncookies of its namespace, 1 unless the kernel has none). */
/* Bytes of an echo request; what fits one packet. */
#define NETSTACK_ECHO_MAX 1200U

typedef struct Netstack Netstack;
/* Something under way that can be cancelled. It ends by itself with its callback, which must not
 * cancel it any more; a listener lives until it is cancelled, or the stack is freed. */
typedef struct NetstackCall NetstackCall;

/* @fd: connected, non-blocking, CLOEXEC, the callee's; or negative errno: -ECONNREFUSED,
 * -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH, -EMFILE, ... */
typedef void (*NetstackDialed)(void *userdata, int fd);
/* One accepted connection; the fd is the callee's. */
typedef void (*NetstackAccepted)(void *userdata, int fd, const IpAddr *peer, uint16_t port);
/* @rtt: USEC_INFINITY: lost; @error: negative errno: unreachable. */
typedef void (*NetstackEchoed)(void *userdata, int error, usec_t rtt);

/**
 * netstack_new() - make an engine
 * @engine: AUTO takes KERNEL where unprivileged user namespaces work, else LWIP; never TUN
 * @interface: TUN: its name; listeners hear nothing from elsewhere. The others: NULL
 * @ret_netif: what the dataplane reads and writes; owned by the stack. NULL for TUN.
 * @ret_reason: why this engine ("user namespaces are forbidden: kernel.unprivileged_userns_clone
 *              = 0"); also on failure; the caller frees
 * lwIP is one per process: a second one is -EBUSY. Without lwIP in the build: -EOPNOTSUPP.
 */
int netstack_new(
                sd_event *event,
                NetstackEngine engine,
                const char *interface,
                uint16_t mtu,
                Netstack **ret,
                Netif **ret_netif,
                char **ret_reason);
/* Not from a callback. The interface must not be in use by the packet thread any more. Calls under
 * way are cancelled; connections of lwip end, those of kernel and tun are the callers' and stay. */
Netstack *netstack_free(Netstack *s);
NetstackEngine netstack_engine(const Netstack *s);

/* netstack_trouble() is another now; from the event loop, never from inside a call. It must not
 * free the stack. */
typedef void (*NetstackChanged)(void *userdata);
void netstack_watch(Netstack *s, NetstackChanged changed, void *userdata);
/* What keeps it from making connections at present, a sentence; NULL: nothing. What is there goes
 * on, listeners too; new calls are -ENETDOWN. It mends itself. Borrowed until it changes. */
const char *netstack_trouble(const Netstack *s);

/* @timeout 0 or USEC_INFINITY, here and below: NETSTACK_TIMEOUT_USEC_MAX. */
int netstack_dial(
                Netstack *s,
                const IpAddr *address,
                uint16_t port,
                usec_t timeout,
                NetstackDialed done,
                void *userdata,
                NetstackCall **ret);
/* On every address in the network, IPv4 and IPv6. @port 0: any; @ret_port. At most @backlog
 * connections wait. */
int netstack_listen(
                Netstack *s,
                uint16_t port,
                unsigned backlog,
                NetstackAccepted accepted,
                void *userdata,
                uint16_t *ret_port,
                NetstackCall **ret);
/* A fd for UDP that keeps messages apart (SOCK_SEQPACKET; end of file: the engine is gone; closing
 * it ends the association). Datagrams that do not fit are dropped. Each message is preceded by a header
 * of 20 bytes: family (1: 4 or 6), 0, port (big-endian), address (16): destination when written, source when read. */
#define NETSTACK_UDP_HEADER_SIZE 20U
/* @port: of this end, on every address; 0: any. */
int netstack_udp(Netstack *s, uint16_t port, NetstackDialed done, void *userdata, NetstackCall **ret);
int netstack_echo(
                Netstack *s,
                const IpAddr *address,
                size_t payload,
                usec_t timeout,
                NetstackEchoed done,
                void *userdata,
                NetstackCall **ret);
/* No callback comes any more; a listener is closed. */
NetstackCall *netstack_cancel(NetstackCall *c);

/* What a program must enter, user namespace first, to live in the network of the kernel engine
 * (setns(2)); borrowed. Return: 0, or -EOPNOTSUPP for the others. */
int netstack_namespaces(Netstack *s, int *ret_user_fd, int *ret_net_fd);
