/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The control thread's half of the lwIP engine: commands out, results in. */

#include <string.h>
#include <sys/eventfd.h>

#include "base/macros.h"
#include "netif/netstack-lwip-internal.h"

/* Where listeners without a port of choice go: above what services use, below lwIP's own ports of
 * outgoing connections (RFC 6335, 6: dynamic ports from 49152). */
#define LISTEN_PORT_FIRST 32768U
#define LISTEN_PORT_LAST 49151U
/* Results handed on per wake-up. */
#define RESULTS_BURST 64U

static LwipStack *stack_of(NetstackCall *c) {
        return (LwipStack *) c->stack;
}

static void post_command(LwipStack *s, const LwipCommand *command) {
        g_mutex_lock(&s->lock);
        g_queue_push_tail(&s->commands, g_memdup2(command, sizeof *command));
        g_mutex_unlock(&s->lock);
        g_atomic_int_set(&s->commanded, 1);
        (void) eventfd_write(s->wake_fd, 1);
}

void lwip_stack_post(LwipStack *s, const LwipResult *result) {
        g_mutex_lock(&s->lock);
        g_queue_push_tail(&s->results, g_memdup2(result, sizeof *result));
        g_mutex_unlock(&s->lock);
        (void) eventfd_write(s->result_fd, 1);
}

static int engine_dial(NetstackCall *c, const IpAddr *address, uint16_t port) {
        post_command(stack_of(c), &(LwipCommand){ .kind = LWIP_COMMAND_DIAL,
                                                  .id = c->id,
                                                  .address = *address,
                                                  .port = port });
        return 0;
}

static bool take_port(LwipStack *s, uint16_t port, uint64_t call) {
        gpointer key = GUINT_TO_POINTER((unsigned) port);

        if (g_hash_table_contains(s->ports, key))
                return false;
        g_hash_table_insert(s->ports, key, g_memdup2(&call, sizeof call));
        return true;
}

/* Ports of listeners are given out here, so that the answer need not wait for the packet thread;
 * connections' own ports do not collide with them (SO_REUSE). */
static int engine_listen(NetstackCall *c, uint16_t port, unsigned backlog, uint16_t *ret_port) {
        LwipStack *s = stack_of(c);
        unsigned candidate = port;

        if (port > 0) {
                if (!take_port(s, port, c->id))
                        return -EADDRINUSE;
        } else {
                for (candidate = LISTEN_PORT_FIRST;
                     candidate <= LISTEN_PORT_LAST && !take_port(s, (uint16_t) candidate, c->id);
                     candidate++)
                        ;
                if (candidate > LISTEN_PORT_LAST)
                        return -EADDRINUSE;
        }
        c->sequence = (uint16_t) candidate;
        post_command(s, &(LwipCommand){ .kind = LWIP_COMMAND_LISTEN,
                                        .id = c->id,
                                        .port = (uint16_t) candidate,
                                        .backlog = MIN(backlog, UINT8_MAX) });
        *ret_port = (uint16_t) candidate;
        return 0;
}

static int engine_udp(NetstackCall *c, uint16_t port) {
        post_command(stack_of(c),
                     &(LwipCommand){ .kind = LWIP_COMMAND_UDP, .id = c->id, .port = port });
        return 0;
}

static int engine_echo(NetstackCall *c, const IpAddr *address, size_t payload) {
        post_command(stack_of(c), &(LwipCommand){ .kind = LWIP_COMMAND_ECHO,
                                                  .id = c->id,
                                                  .address = *address,
                                                  .payload = payload });
        return 0;
}

static void engine_forget(NetstackCall *c) {
        LwipStack *s = stack_of(c);

        if (c->kind == NETSTACK_CALL_LISTEN) {
                gpointer key = GUINT_TO_POINTER((unsigned) c->sequence);
                const uint64_t *owner = g_hash_table_lookup(s->ports, key);

                if (owner && *owner == c->id)
                        g_hash_table_remove(s->ports, key);
        }
        post_command(s, &(LwipCommand){ .kind = LWIP_COMMAND_FORGET, .id = c->id });
}

/* --- results --- */

static void handle_result(LwipStack *s, LwipResult *result) {
        NetstackCall *c = netstack_find_call(&s->netstack, result->id);

        if (result->kind == NETSTACK_CALL_LISTEN)
                post_command(s,
                             &(LwipCommand){ .kind = LWIP_COMMAND_ACCEPTED, .id = result->stream });
        if (!c) {
                /* Cancelled meanwhile. */
                if (result->kind != NETSTACK_CALL_ECHO)
                        closep(&result->fd);
                return;
        }
        switch (result->kind) {
        case NETSTACK_CALL_DIAL:
        case NETSTACK_CALL_UDP:
                netstack_call_dialed(c, result->fd);
                break;
        case NETSTACK_CALL_LISTEN:
                if (result->fd >= 0)
                        netstack_call_accepted(c, result->fd, &result->peer, result->port);
                break;
        case NETSTACK_CALL_ECHO:
                netstack_call_echoed(c, result->fd, result->rtt);
                break;
        }
}

static LwipResult *pop_result(LwipStack *s) {
        LwipResult *result;

        g_mutex_lock(&s->lock);
        result = g_queue_pop_head(&s->results);
        g_mutex_unlock(&s->lock);
        return result;
}

static int on_results(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        LwipStack *s = userdata;
        eventfd_t ignored;

        (void) eventfd_read(fd, &ignored);
        for (unsigned i = 0; i < RESULTS_BURST; i++) {
                g_autofree LwipResult *result = pop_result(s);

                if (!result)
                        return 0;
                handle_result(s, result);
        }
        (void) eventfd_write(fd, 1);
        return 0;
}

/* --- interface, control part --- */

static int
lwip_configure(Netif *n,
               const IpAddr *address,
               uint8_t prefix_len,
               const IpAddr *address6,
               uint8_t prefix_len6,
               uint16_t mtu) {
        LwipStack *s = lwip_stack_of(n);

        /* Prefixes say nothing here: all there is lies behind the one interface. */
        post_command(s, &(LwipCommand){ .kind = LWIP_COMMAND_CONFIGURE,
                                        .address = *address,
                                        .address6 = *address6,
                                        .mtu = mtu });
        return 0;
}

static void lwip_netif_free(Netif *n) {
        /* The stack owns it. */
}

static const NetifOps lwip_netif_ops = {
        .name = "lwip",
        .read_batch = lwip_read_batch,
        .write_batch = lwip_write_batch,
        .fd = lwip_fd,
        .configure = lwip_configure,
        .free = lwip_netif_free,
};

/* --- life --- */

/* lwIP keeps its state in globals: one stack in a process, and lwip_init() once. */
static bool in_use;

static void result_free(void *data) {
        LwipResult *result = data;

        if (result->kind != NETSTACK_CALL_ECHO)
                closep(&result->fd);
        g_free(result);
}

static void engine_free(Netstack *n) {
        LwipStack *s = (LwipStack *) n;

        netstack_done(&s->netstack);
        sd_event_source_disable_unref(s->result_io);
        lwip_netif_close(s);
        g_queue_clear_full(&s->commands, g_free);
        g_queue_clear_full(&s->results, result_free);
        g_hash_table_unref(s->ports);
        g_mutex_clear(&s->lock);
        closep(&s->wake_fd);
        closep(&s->result_fd);
        g_free(s);
        in_use = false;
}

static const NetstackOps engine_ops = {
        .engine = NETSTACK_LWIP,
        .dial = engine_dial,
        .listen = engine_listen,
        .udp = engine_udp,
        .echo = engine_echo,
        .forget = engine_forget,
        .free = engine_free,
};

int netstack_lwip_new(sd_event *event, uint16_t mtu, Netstack **ret, Netif **ret_netif) {
        LwipStack *s;
        int r;

        if (in_use)
                return -EBUSY;
        in_use = true;
        s = NEW(LwipStack);
        netstack_init(&s->netstack, &engine_ops, event);
        s->netif = (Netif){ .ops = &lwip_netif_ops, .gso_tcp = true };
        g_strlcpy(s->netif.name, "lwip", sizeof s->netif.name);
        g_mutex_init(&s->lock);
        s->ports = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        s->result_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = s->wake_fd < 0 || s->result_fd < 0 ? -EMFILE : lwip_netif_open(s, mtu);
        if (r >= 0)
                r = sd_event_add_io(event, &s->result_io, s->result_fd, EPOLLIN, on_results, s);
        if (r < 0) {
                engine_free(&s->netstack);
                return r;
        }
        *ret = &s->netstack;
        *ret_netif = &s->netif;
        return 0;
}
