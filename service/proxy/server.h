/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The proxy: SOCKS5 and HTTP on the same sockets, told apart by the first byte.
 *
 * Who may use it: on a unix socket root and our own user, by the kernel's word. On TCP everybody
 * who reaches the port and knows user and password (RFC 1929, or HTTP's Basic); where none are
 * set, every user of this machine, as with "ssh -D". A TCP socket that other machines can reach is
 * refused without a password. /proc/net/tcp would tell a caller's user, but only until they close
 * and another one gets the port, so it is not asked.
 * Datagrams (UDP ASSOCIATE) carry no proof: they are taken from the client's address, and from one
 * port of it; on loopback from any address of this machine, only as trustworthy as its users.
 *
 * How many there are at once is shared by all clients. Where it listens on a unix socket as well,
 * clients of TCP leave an eighth to those who come that way (PROXY_UNIX_SHARE).
 *
 * Control thread only.
 */

#include <systemd/sd-event.h>

#include "proxy/proxy.h"
#include "proxy/relay.h"

typedef struct ProxyServer ProxyServer;

/* All but the dialer may be left 0. */
typedef struct ProxyServerOptions {
        const char *user, *password; /* both or none; copied */
        unsigned connections_max;    /* PROXY_CONNECTIONS_MAX */
        usec_t handshake_usec;       /* PROXY_HANDSHAKE_USEC */
        usec_t dial_usec;            /* PROXY_DIAL_USEC */
} ProxyServerOptions;

typedef struct ProxyServerStats {
        uint64_t accepted;
        uint64_t turned_away; /* above connections_max, another user's, or no descriptor left */
        uint64_t refused;     /* answered with an error, bad passwords among them */
        uint64_t timed_out;   /* that never finished their request */
        uint64_t connected;
        unsigned active;
        RelayCounters bytes; /* a_to_b: from clients into the network */
} ProxyServerStats;

/**
 * proxy_server_new() - a proxy without sockets
 * @dialer: borrowed
 *
 * Return: 0; -EINVAL: user or password without the other, empty, or longer than 255 bytes (RFC 1929).
 */
int proxy_server_new(
                sd_event *event,
                const ProxyDialer *dialer,
                const ProxyServerOptions *options,
                ProxyServer **ret);
/* Ends every connection. */
ProxyServer *proxy_server_free(ProxyServer *s);

/* @fd: a listening socket, e.g. systemd's; the server's from now on, also when this fails.
 * Return: 0; -EINVAL: no such; -EPERM: others could reach it, and there is no password. */
int proxy_server_add_fd(ProxyServer *s, int fd);
/* 127.0.0.1, and ::1 where that works. @port 0: any; @ret_port: which; may be NULL. */
int proxy_server_listen(ProxyServer *s, uint16_t port, uint16_t *ret_port);

ProxyServerStats proxy_server_stats(const ProxyServer *s);
