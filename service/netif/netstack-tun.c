/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where omerta0 is the machine's, connections are the machine's too. */

#include <sys/socket.h>

#include "base/macros.h"
#include "netif/netstack-sockets.h"

static int make_socket(NetstackSockets *s, int family, int type, int protocol) {
        int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

        return fd < 0 ? -errno : fd;
}

static void tun_engine_free(Netstack *n) {
        NetstackSockets *s = (NetstackSockets *) n;

        netstack_sockets_done(s);
        g_free(s);
}

static const NetstackOps tun_engine_ops = {
        .engine = NETSTACK_TUN,
        .dial = netstack_sockets_dial,
        .listen = netstack_sockets_listen,
        .udp = netstack_sockets_udp,
        .echo = netstack_sockets_echo,
        .forget = netstack_sockets_forget,
        .free = tun_engine_free,
};

int netstack_tun_new(sd_event *event, const char *interface, Netstack **ret) {
        NetstackSockets *s = NEW(NetstackSockets);

        s->make = make_socket;
        g_strlcpy(s->interface, interface, sizeof s->interface);
        netstack_sockets_init(s, &tun_engine_ops, event);
        *ret = &s->netstack;
        return 0;
}
