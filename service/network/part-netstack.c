/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The netstack of a network, as a part: connections into it, and what is left of them when it goes.
 * In system mode it stands on the interface, in user mode the interface on it: then it gives the
 * Netif. A stack that loses its helper starts another by itself (netif/netstack-kernel.c) and is
 * only degraded meanwhile; a stack that cannot be made, or be used by the packet thread, is made
 * anew from here. */

#include <sodium.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "base/macros.h"
#include "network/managed-network-internal.h"

/* Bytes of an echo request beside its header, as of ping(8). */
#define ECHO_PAYLOAD 56U

struct ManagerCall {
        ManagedNetwork *network;
        GList link; /* in network->calls */
        NetstackCall *call;
        NetstackDialed dialed; /* or */
        NetstackEchoed echoed; /* or */
        NetstackAccepted accepted;
        void *userdata;
        /* An echo by the packet path, where the kernel lets us send none. */
        Timer timer;
        uint64_t number; /* 0: not one */
        usec_t sent;     /* CLOCK_BOOTTIME */
};

/* --- the stack of a network --- */

/* It mends itself: what is there goes on. */
static void on_netstack_changed(void *userdata) {
        ManagedNetwork *n = userdata;
        const char *trouble = netstack_trouble(n->netstack);

        part_report(&n->stack, trouble ? PART_DEGRADED : PART_UP, g_strdup(trouble));
        OBSERVE(n->manager, netstack_changed);
}

static int netstack_start(void *userdata, char **ret_reason) {
        ManagedNetwork *n = userdata;
        Manager *m = n->manager;
        NetstackEngine engine = m->options.user_mode ? m->options.netstack : NETSTACK_TUN;
        g_autofree char *reason = NULL;
        Netif *netif = NULL;
        int r;

        r = netstack_new(
                        m->event, engine, n->netif ? n->netif->name : NULL,
                        (uint16_t) managed_network_mtu(n), &n->netstack, &netif, &reason);
        if (r < 0) {
                *ret_reason = g_strdup_printf(
                                "the network stack \"%s\" cannot be used: %s",
                                netstack_engine_to_string(engine), reason ?: g_strerror(-r));
                return r;
        }
        if (netif)
                n->netif = netif;
        netstack_watch(n->netstack, on_netstack_changed, n);
        m->netstack = netstack_engine(n->netstack);
        g_free(m->netstack_reason);
        m->netstack_reason = g_steal_pointer(&reason);
        if (m->options.user_mode)
                managed_network_log(
                                n, LOG_INFO, NULL, "stack %s: %s",
                                netstack_engine_to_string(m->netstack), m->netstack_reason);
        OBSERVE(m, netstack_changed);
        return 0;
}

static void call_unlink(ManagerCall *c) {
        timer_clear(&c->timer);
        g_queue_unlink(&c->network->calls, &c->link);
}

static void call_finish(ManagerCall *c, int fd_or_error, usec_t rtt) {
        call_unlink(c);
        if (c->dialed)
                c->dialed(c->userdata, fd_or_error);
        else
                c->echoed(c->userdata, fd_or_error, rtt);
        g_free(c);
}

/* The packet thread does not use its Netif any more: the interface, which does, stopped before. */
static void netstack_stop(void *userdata, bool for_good) {
        ManagedNetwork *n = userdata;
        Netstack *s = TAKE_PTR(n->netstack);
        GList *l;

        /* Whoever is told may try the network again, which must not find the stack. */
        while ((l = g_queue_peek_head_link(&n->calls))) {
                ManagerCall *c = l->data;

                c->call = netstack_cancel(c->call);
                call_finish(c, -ENETUNREACH, USEC_INFINITY);
        }
        if (n->manager->options.user_mode)
                n->netif = NULL; /* it is the stack's */
        netstack_free(s);
        n->dataplane_failed = false;
}

static int netstack_check(void *userdata, char **ret_reason) {
        ManagedNetwork *n = userdata;

        if (!n->netstack) {
                *ret_reason = g_strdup("the network stack is gone");
                return -ENODEV;
        }
        if (n->dataplane_failed && n->manager->options.user_mode) {
                *ret_reason = g_strdup("the network stack could not be used");
                return -EIO;
        }
        return 0;
}

static int netstack_repair(void *userdata, char **ret_reason) {
        ManagedNetwork *n = userdata;
        int r;

        part_stop_above(&n->stack, true);
        netstack_stop(n, true);
        r = netstack_start(n, ret_reason);
        if (r >= 0)
                part_start_above(&n->stack);
        return r;
}

static void netstack_told(void *userdata, unsigned what) {
        ManagedNetwork *n = userdata;

        if (what & PART_CHANGED_INTERFACE)
                part_check(&n->stack);
}

/* Of a helper that cannot be started again and again it is said once, when that begins. */
static void netstack_reported(void *userdata, PartState old, const char *why) {
        ManagedNetwork *n = userdata;

        if (n->stack.state == PART_DEGRADED && old != PART_DEGRADED)
                managed_network_log(
                                n, LOG_WARNING, MESSAGE_ID_STACK_HELPER_ENDED, "%s", n->stack.reason);
        else if (n->stack.state == PART_UP && old == PART_DEGRADED)
                managed_network_log(n, LOG_NOTICE, NULL, "the network stack makes connections again");
        else if (n->stack.state != PART_DEGRADED)
                managed_network_log_part(n, &n->stack, why);
}

Part *managed_network_init_netstack(ManagedNetwork *n) {
        static const PartOps ops = {
                .name = "netstack",
                .is_needed = true,
                .start = netstack_start,
                .stop = netstack_stop,
                .check = netstack_check,
                .repair = netstack_repair,
                .changed = netstack_told,
                .reported = netstack_reported,
        };

        part_init(&n->stack, &ops, n, &n->manager->env);
        return &n->stack;
}

/* --- calls --- */

static void on_dialed(void *userdata, int fd) {
        call_finish(userdata, fd, 0);
}

static void on_echoed(void *userdata, int error, usec_t rtt) {
        call_finish(userdata, error, rtt);
}

static ManagerCall *
call_new(ManagedNetwork *n, NetstackDialed dialed, NetstackEchoed echoed, void *userdata) {
        ManagerCall *c = NEW(ManagerCall);

        *c = (ManagerCall){
                .network = n,
                .link.data = c,
                .dialed = dialed,
                .echoed = echoed,
                .userdata = userdata,
        };
        g_queue_push_tail_link(&n->calls, &c->link);
        return c;
}

/* @r: of the stack's function. */
static int call_started(ManagerCall *c, int r, ManagerCall **ret) {
        if (r < 0) {
                call_unlink(c);
                g_free(c);
        } else if (ret)
                *ret = c;
        return r;
}

int managed_network_dial(
                ManagedNetwork *n,
                const IpAddr *address,
                uint16_t port,
                usec_t timeout,
                NetstackDialed done,
                void *userdata,
                ManagerCall **ret) {
        ManagerCall *c;

        if (!n->netstack || managed_network_is_diverted(n, address))
                return -ENETUNREACH;
        c = call_new(n, done, NULL, userdata);
        return call_started(
                        c, netstack_dial(n->netstack, address, port, timeout, on_dialed, c, &c->call),
                        ret);
}

static void on_accepted(void *userdata, int fd, const IpAddr *peer, uint16_t port) {
        ManagerCall *c = userdata;

        c->accepted(c->userdata, fd, peer, port);
}

int managed_network_listen(
                ManagedNetwork *n,
                uint16_t port,
                unsigned backlog,
                NetstackAccepted accepted,
                void *userdata,
                uint16_t *ret_port,
                ManagerCall **ret) {
        ManagerCall *c;

        if (!n->netstack)
                return -ENETUNREACH;
        /* Whoever listens waits until it is mended, as when the network is down. */
        if (netstack_trouble(n->netstack))
                return -ENETUNREACH;
        c = call_new(n, NULL, NULL, userdata);
        c->accepted = accepted;
        return call_started(
                        c,
                        netstack_listen(n->netstack, port, backlog, on_accepted, c, ret_port,
                                        &c->call),
                        ret);
}

int managed_network_udp(ManagedNetwork *n, NetstackDialed done, void *userdata, ManagerCall **ret) {
        ManagerCall *c;

        if (!n->netstack)
                return -ENETUNREACH;
        c = call_new(n, done, NULL, userdata);
        return call_started(c, netstack_udp(n->netstack, 0, on_dialed, c, &c->call), ret);
}

/* --- echoes by the packet path --- */

static void on_echo_due(void *userdata) {
        ManagerCall *c = userdata;

        /* Our own address has no way to it: nothing is nearer. */
        call_finish(c, 0, c->sent > 0 ? USEC_INFINITY : 0);
}

void managed_network_echo_answered(ManagedNetwork *n, uint64_t number) {
        for (GList *l = n->calls.head; l; l = l->next) {
                ManagerCall *c = l->data;

                if (c->number == number) {
                        call_finish(c, 0, usec_sub(now_usec(CLOCK_BOOTTIME), c->sent));
                        return;
                }
        }
}

static int start_echo(ManagerCall *c, const IpAddr *address, usec_t timeout) {
        ManagedNetwork *n = c->network;
        Manager *m = n->manager;
        Vnet *v = n->core ? network_vnet(n->core) : NULL;
        IpAddr own = {};

        if (!v || !n->in_dataplane)
                return -ENETUNREACH;
        own = address->family == AF_INET6 ? vnet_local_address6(v) : vnet_local_address(v);
        if (!ip_is_set(&own))
                return -ENETUNREACH;
        c->number = 1 + (uint64_t) randombytes_random();
        if (ip_equal(&own, address)) {
                timer_set(m->timers, &c->timer, now_usec(CLOCK_BOOTTIME), on_echo_due, c);
                return 0;
        }
        c->sent = now_usec(CLOCK_BOOTTIME);
        timer_set(m->timers, &c->timer, usec_add(c->sent, timeout), on_echo_due, c);
        dataplane_echo(m->dataplane, network_mesh(n->core), &own, address, c->number);
        return 0;
}

int managed_network_echo(
                ManagedNetwork *n,
                const IpAddr *address,
                usec_t timeout,
                NetstackEchoed done,
                void *userdata,
                ManagerCall **ret) {
        ManagerCall *c;
        int r;

        if (!n->netstack || managed_network_is_diverted(n, address))
                return -ENETUNREACH;
        c = call_new(n, NULL, done, userdata);
        r = netstack_echo(n->netstack, address, ECHO_PAYLOAD, timeout, on_echoed, c, &c->call);
        /* Of the machine's own network namespace: ping(8) has a privilege, or the sysctl
         * net.ipv4.ping_group_range our group. Debian's containers have neither. */
        if (r == -EACCES && netstack_engine(n->netstack) == NETSTACK_TUN)
                r = start_echo(c, address, timeout);
        return call_started(c, r, ret);
}

ManagerCall *manager_call_cancel(ManagerCall *c) {
        if (!c)
                return NULL;
        netstack_cancel(c->call);
        call_unlink(c);
        g_free(c);
        return NULL;
}

int managed_network_namespaces(ManagedNetwork *n, int *ret_user_fd, int *ret_net_fd, ManagerError *error) {
        Manager *m = n->manager;
        IpAddr address = {};
        Vnet *v;
        int r;

        if (!n->core || !n->netstack)
                return manager_fail(
                                error, -ENETUNREACH, "Unreachable", "%s",
                                m->options.vpn ? "the network is down: 'omerta status' says why"
                                               : "omertad runs without an interface (--vpn)");
        r = netstack_namespaces(n->netstack, ret_user_fd, ret_net_fd);
        if (r < 0 && netstack_engine(n->netstack) == NETSTACK_TUN)
                return manager_fail(
                                error, r, "NotSupported",
                                "every program of this machine reaches the network by %s: run it "
                                "as it is",
                                managed_network_interface(n));
        if (r < 0)
                return manager_fail(
                                error, r, "NotSupported",
                                "programs can enter the network stack \"kernel\" alone, and this "
                                "omertad uses \"%s\": %s",
                                netstack_engine_to_string(netstack_engine(n->netstack)),
                                m->netstack_reason);
        v = network_vnet(n->core);
        if (v)
                address = vnet_local_address(v);
        if (!ip_is_set(&address))
                return manager_fail(
                                error, -EADDRNOTAVAIL, "NoAddress",
                                "this machine has no address in the network yet");
        return 0;
}
