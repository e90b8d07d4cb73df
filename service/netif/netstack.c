/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netif/netstack.h"

#include <string.h>

#include "base/macros.h"
#include "config.h"
#include "netif/netstack-internal.h"

static const char *const engine_names[] = {
        [NETSTACK_AUTO] = "auto",
        [NETSTACK_KERNEL] = "kernel",
        [NETSTACK_LWIP] = "lwip",
        [NETSTACK_TUN] = "tun",
};
static_assert(ELEMENTSOF(engine_names) == _NETSTACK_ENGINE_MAX, "a name for every engine");

const char *netstack_engine_to_string(NetstackEngine e) {
        return e >= 0 && e < _NETSTACK_ENGINE_MAX ? engine_names[e] : NULL;
}

NetstackEngine netstack_engine_from_string(const char *text) {
        for (int i = 0; i < _NETSTACK_ENGINE_MAX; i++)
                if (strcmp(engine_names[i], text) == 0)
                        return (NetstackEngine) i;
        return _NETSTACK_ENGINE_INVALID;
}

/* --- calls --- */

static void call_free(void *data) {
        NetstackCall *c = data;

        c->stack->ops->forget(c);
        sd_event_source_disable_unref(c->timer);
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->later);
        closep(&c->fd);
        g_free(c);
}

static NetstackCall *call_new(Netstack *s, NetstackCallKind kind, void *userdata) {
        NetstackCall *c = NEW(NetstackCall);

        *c = (NetstackCall){
                .id = ++s->last_id,
                .stack = s,
                .kind = kind,
                .userdata = userdata,
                .fd = -EBADF,
        };
        g_hash_table_insert(s->calls, &c->id, c);
        return c;
}

static void call_remove(NetstackCall *c) {
        g_hash_table_remove(c->stack->calls, &c->id);
}

NetstackCall *netstack_find_call(Netstack *s, uint64_t id) {
        return g_hash_table_lookup(s->calls, &id);
}

void netstack_call_dialed(NetstackCall *c, int fd) {
        NetstackDialed done = c->done.dialed;
        void *userdata = c->userdata;

        call_remove(c);
        done(userdata, fd);
}

void netstack_call_echoed(NetstackCall *c, int error, usec_t rtt) {
        NetstackEchoed done = c->done.echoed;
        void *userdata = c->userdata;

        call_remove(c);
        done(userdata, error, rtt);
}

void netstack_call_accepted(NetstackCall *c, int fd, const IpAddr *peer, uint16_t port) {
        c->done.accepted(c->userdata, fd, peer, port);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        NetstackCall *c = userdata;

        switch (c->kind) {
        case NETSTACK_CALL_ECHO:
                netstack_call_echoed(c, 0, USEC_INFINITY);
                break;
        case NETSTACK_CALL_DIAL:
        case NETSTACK_CALL_UDP:
        case NETSTACK_CALL_LISTEN:
                netstack_call_dialed(c, -ETIMEDOUT);
                break;
        }
        return 0;
}

/* Common end of the calls below: @r of the engine, and the time it may take. */
static int call_start(NetstackCall *c, int r, usec_t timeout, NetstackCall **ret) {
        if (r >= 0 && timeout < USEC_INFINITY)
                /* 1 ms: more accuracy costs wake-ups that nobody notices. */
                r = sd_event_add_time_relative(
                                c->stack->event, &c->timer, CLOCK_MONOTONIC, timeout, USEC_PER_MSEC,
                                on_timeout, c);
        if (r < 0) {
                call_remove(c);
                return r;
        }
        if (ret)
                *ret = c;
        return 0;
}

static usec_t limited(usec_t timeout) {
        return timeout == 0 ? NETSTACK_TIMEOUT_USEC_MAX : MIN(timeout, NETSTACK_TIMEOUT_USEC_MAX);
}

int netstack_dial(
                Netstack *s,
                const IpAddr *address,
                uint16_t port,
                usec_t timeout,
                NetstackDialed done,
                void *userdata,
                NetstackCall **ret) {
        NetstackCall *c;

        if (!ip_is_set(address) || port == 0)
                return -EINVAL;
        c = call_new(s, NETSTACK_CALL_DIAL, userdata);
        c->done.dialed = done;
        return call_start(c, s->ops->dial(c, address, port), limited(timeout), ret);
}

int netstack_listen(
                Netstack *s,
                uint16_t port,
                unsigned backlog,
                NetstackAccepted accepted,
                void *userdata,
                uint16_t *ret_port,
                NetstackCall **ret) {
        NetstackCall *c = call_new(s, NETSTACK_CALL_LISTEN, userdata);
        uint16_t chosen = 0;
        int r;

        c->done.accepted = accepted;
        r = call_start(c, s->ops->listen(c, port, MAX(backlog, 1U), &chosen), USEC_INFINITY, ret);
        if (r >= 0 && ret_port)
                *ret_port = chosen;
        return r;
}

int netstack_udp(Netstack *s, uint16_t port, NetstackDialed done, void *userdata, NetstackCall **ret) {
        NetstackCall *c = call_new(s, NETSTACK_CALL_UDP, userdata);

        c->done.dialed = done;
        return call_start(c, s->ops->udp(c, port), USEC_INFINITY, ret);
}

int netstack_echo(
                Netstack *s,
                const IpAddr *address,
                size_t payload,
                usec_t timeout,
                NetstackEchoed done,
                void *userdata,
                NetstackCall **ret) {
        NetstackCall *c;

        if (!ip_is_set(address) || payload > NETSTACK_ECHO_MAX)
                return -EINVAL;
        c = call_new(s, NETSTACK_CALL_ECHO, userdata);
        c->done.echoed = done;
        return call_start(c, s->ops->echo(c, address, payload), limited(timeout), ret);
}

NetstackCall *netstack_cancel(NetstackCall *c) {
        if (c)
                call_remove(c);
        return NULL;
}

int netstack_namespaces(Netstack *s, int *ret_user_fd, int *ret_net_fd) {
        if (!s->ops->namespaces)
                return -EOPNOTSUPP;
        return s->ops->namespaces(s, ret_user_fd, ret_net_fd);
}

/* --- engines --- */

void netstack_init(Netstack *s, const NetstackOps *ops, sd_event *event) {
        s->ops = ops;
        s->event = sd_event_ref(event);
        s->calls = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, call_free);
}

void netstack_done(Netstack *s) {
        g_clear_pointer(&s->calls, g_hash_table_unref);
        g_clear_pointer(&s->trouble, g_free);
        s->event = sd_event_unref(s->event);
}

NetstackEngine netstack_engine(const Netstack *s) {
        return s->ops->engine;
}

void netstack_watch(Netstack *s, NetstackChanged changed, void *userdata) {
        s->changed = changed;
        s->changed_userdata = userdata;
}

const char *netstack_trouble(const Netstack *s) {
        return s->trouble;
}

void netstack_set_trouble(Netstack *s, char *trouble) {
        g_free(s->trouble);
        s->trouble = trouble;
        if (s->changed)
                s->changed(s->changed_userdata);
}

static int lwip_new(sd_event *event, uint16_t mtu, Netstack **ret, Netif **ret_netif) {
#if HAVE_LWIP
        return netstack_lwip_new(event, mtu, ret, ret_netif);
#else
        return -EOPNOTSUPP;
#endif
}

int netstack_new(
                sd_event *event,
                NetstackEngine engine,
                const char *interface,
                uint16_t mtu,
                Netstack **ret,
                Netif **ret_netif,
                char **ret_reason) {
        g_autofree char *reason = NULL;
        int r;

        switch (engine) {
        case NETSTACK_TUN:
                *ret_netif = NULL;
                *ret_reason = g_strdup("the interface belongs to the machine");
                return netstack_tun_new(event, interface, ret);
        case NETSTACK_KERNEL:
                return netstack_kernel_new(event, mtu, ret, ret_netif, ret_reason);
        case NETSTACK_AUTO:
                r = netstack_kernel_new(event, mtu, ret, ret_netif, ret_reason);
                if (r >= 0)
                        return 0;
                reason = g_steal_pointer(ret_reason);
                break;
        case NETSTACK_LWIP:
                reason = g_strdup("it was asked for");
                break;
        case _NETSTACK_ENGINE_MAX:
        case _NETSTACK_ENGINE_INVALID:
                *ret_reason = g_strdup("no such engine");
                return -EINVAL;
        }
        r = lwip_new(event, mtu, ret, ret_netif);
        if (r == -EOPNOTSUPP)
                *ret_reason = g_strdup_printf("%s; this build has no lwIP", reason);
        else if (r == -EBUSY && engine == NETSTACK_LWIP)
                *ret_reason = g_strdup(
                                "lwIP serves one network, and another one has it; the kernel's "
                                "stack (--netstack auto) serves many");
        else if (r == -EBUSY)
                *ret_reason = g_strdup_printf(
                                "%s; lwIP serves one network, and another one has it", reason);
        else if (r < 0)
                *ret_reason = g_strdup_printf("%s; lwIP: %s", reason, g_strerror(-r));
        else
                *ret_reason = g_steal_pointer(&reason);
        return r;
}

Netstack *netstack_free(Netstack *s) {
        if (s)
                s->ops->free(s);
        return NULL;
}
