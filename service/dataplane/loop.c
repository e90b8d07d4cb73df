/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/macros.h"
#include "dataplane/dataplane-internal.h"
#include "dataplane/echo.h"

/*
 * The packet thread. A turn serves every descriptor that is ready once, with one bounded batch:
 * an interface with one read_batch(), a socket with one recvmmsg(), a TCP connection with one
 * recv(), so that neither direction starves the other and a packet never waits longer than one
 * turn. What a batch produced leaves before the next is read. It sleeps in epoll only.
 *
 * When a socket's send buffer is full datagrams are dropped, as by any router whose link is slower
 * than what comes in. To stop reading the interface instead would only move the queue to where
 * it is counted in packets of up to 64 KiB: over a link of 200 Mbit/s a ping beside a TCP stream
 * then took 130 ms, against 10 ms, at the same throughput.
 */

/* Small packets of one read_batch(); they fit the send buffer, and the time for them is about
 * that for one super-packet. */
#define READ_PACKETS_MAX 64U
#define LOST_INTERVAL_USEC (500 * USEC_PER_MSEC)
/* Of streams some at a time; the others' turn is the next. */
#define EVENTS_MAX (1U + SOCKETS_MAX + NETWORKS_MAX + 16U)

typedef enum SourceKind {
        SOURCE_WAKE,
        SOURCE_SOCKET,
        SOURCE_NETWORK,
        SOURCE_STREAM,
        SOURCE_LISTENER,
} SourceKind;

static uint64_t source(SourceKind kind, unsigned i) {
        return (uint64_t) kind << 32 | i;
}

static int watch(Dataplane *d, int op, int fd, uint32_t events, uint64_t data) {
        struct epoll_event e = { .events = events, .data.u64 = data };

        return epoll_ctl(d->epoll_fd, op, fd, &e) < 0 ? -errno : 0;
}

static void unwatch(Dataplane *d, int fd) {
        /* Fails where the descriptor is gone already, which is as good. */
        (void) epoll_ctl(d->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* --- what the router asks for --- */

static UdpSocket *socket_of_family(Dataplane *d, int family) {
        for (unsigned i = 0; i < SOCKETS_MAX; i++)
                if (d->socket[i].fd >= 0 && d->socket[i].family == family)
                        return &d->socket[i];
        return NULL;
}

/* Told once in a while: each train costs a call more until the control thread has changed that. */
static void tell_lost(Dataplane *d, UdpSocket *s) {
        Endpoint e = { .local = s->lost };
        usec_t now = now_usec(CLOCK_BOOTTIME);

        s->lost = (IpAddr){};
        if (ip_equal(&d->lost, &e.local) && now < usec_add(d->lost_at, LOST_INTERVAL_USEC))
                return;
        d->lost = e.local;
        d->lost_at = now;
        (void) control_queue_post(d->queue, CONTROL_LOCAL_LOST, NULL, 0, &e, NULL, 0);
}

/* Once: it stays where it is until the control thread has taken it away. */
static void socket_failed(Dataplane *d, UdpSocket *s, int error) {
        uint8_t fd[4];

        if (s->has_told)
                return;
        s->has_told = true;
        unwatch(d, s->fd);
        write_le32(fd, (uint32_t) s->fd);
        (void) control_queue_post(d->queue, CONTROL_SOCKET_FAILED, NULL, error, NULL, fd, sizeof fd);
}

static void send_udp(Dataplane *d, const TxTrain *trains, unsigned n) {
        UdpSocket *s = socket_of_family(d, trains[0].to.sa.sa_family);

        if (!s) {
                for (unsigned i = 0; i < n; i++)
                        drop_count_n(trains[i].drops, DROP_SEND_FAILED, trains[i].n);
                return;
        }
        udp_socket_send(s, trains, n, &d->udp_stats);
        if (ip_is_set(&s->lost))
                tell_lost(d, s);
        if (s->error < 0)
                socket_failed(d, s, s->error);
}

/* Whether both leave by one socket. */
static bool same_socket(const Endpoint *a, const Endpoint *b) {
        return a->sa.sa_family == b->sa.sa_family && !endpoint_is_stream(b);
}

static void sink_send(void *userdata, const TxTrain *trains, unsigned n) {
        Dataplane *d = userdata;

        while (n > 0) {
                unsigned k = 1;

                if (endpoint_is_stream(&trains[0].to))
                        stream_table_send(d->streams, &trains[0]);
                else {
                        while (k < n && same_socket(&trains[0].to, &trains[k].to))
                                k++;
                        send_udp(d, trains, k);
                }
                trains += k;
                n -= k;
        }
}

static bool sink_datagram(void *userdata, const uint8_t *data, size_t len, const Endpoint *from) {
        Dataplane *d = userdata;

        return control_queue_post(d->queue, CONTROL_DATAGRAM, NULL, 0, from, data, len);
}

/* Every key of a member counts as the member; who is none yet has one pair, and a smaller room. */
static DropReason
post_of(Dataplane *d,
        Keypair *kp,
        ControlKind kind,
        const uint8_t *data,
        size_t len,
        const Endpoint *from) {
        return control_queue_post_of(
                        d->queue, kp->peer ? CONTROL_ROOM_MEMBERS : CONTROL_ROOM_STRANGERS,
                        kp->peer ? &kp->peer->waiting : &kp->waiting, kind, kp, from, data, len);
}

static DropReason
sink_frame(void *userdata, Keypair *kp, const uint8_t *frame, size_t len, const Endpoint *from) {
        return post_of(userdata, kp, CONTROL_FRAME, frame, len, from);
}

static bool sink_arrival(void *userdata, Keypair *kp, const Endpoint *from) {
        return post_of(userdata, kp, CONTROL_ARRIVAL, NULL, 0, from) == DROP_NONE;
}

static bool sink_want_session(void *userdata, PacketPeer *peer) {
        Dataplane *d = userdata;

        return control_queue_post(d->queue, CONTROL_WANT_SESSION, peer, 0, NULL, NULL, 0);
}

static bool sink_sent(void *userdata, PacketPeer *peer) {
        Dataplane *d = userdata;

        return control_queue_post(d->queue, CONTROL_SENT, peer, 0, NULL, NULL, 0);
}

static bool sink_echo(void *userdata, struct Mesh *mesh, uint64_t number) {
        Dataplane *d = userdata;
        uint8_t data[8];

        write_le64(data, number);
        return control_queue_post(d->queue, CONTROL_ECHO, mesh, 0, NULL, data, sizeof data);
}

static bool sink_relay_unknown(void *userdata, const Endpoint *from) {
        Dataplane *d = userdata;

        return control_queue_post(d->queue, CONTROL_RELAY_UNKNOWN, NULL, 0, from, NULL, 0);
}

static void sink_failed(void *userdata, Netif *netif, int error) {
        Dataplane *d = userdata;

        for (unsigned i = 0; i < NETWORKS_MAX; i++) {
                LoopNetwork *n = &d->network[i];

                if (n->netif != netif || n->failed)
                        continue;
                n->failed = true;
                unwatch(d, netif->ops->fd(netif));
                (void) control_queue_post(d->queue, CONTROL_FAILED, netif, error, NULL, NULL, 0);
        }
}

static void sink_refused(void *userdata, Netif *netif) {
        Dataplane *d = userdata;

        (void) control_queue_post(d->queue, CONTROL_FAILED, netif, -EOPNOTSUPP, NULL, NULL, 0);
}

/* --- batches --- */

static void serve_socket(Dataplane *d, UdpSocket *s, uint32_t events) {
        UdpReceived received[UDP_RECEIVE_MAX];
        int n;

        /* It would be readable for ever, with nothing in it. */
        if (events & (EPOLLHUP | EPOLLRDHUP)) {
                socket_failed(d, s, -ESHUTDOWN);
                return;
        }
        n = udp_socket_receive(s, d->receiver, received, &d->udp_stats, d->config.drops);
        if (n < 0) {
                socket_failed(d, s, n);
                return;
        }
        for (int i = 0; i < n; i++)
                packet_router_ingress(
                                d->router, received[i].data, received[i].len, received[i].segment,
                                received[i].from);
        /* The next socket receives into the same buffers. */
        packet_router_deliver(d->router);
}

static void serve_network(Dataplane *d, LoopNetwork *n) {
        PacketIn packets[READ_PACKETS_MAX];
        int k;

        if (n->failed)
                return;
        k = n->netif->ops->read_batch(n->netif, packets, READ_PACKETS_MAX);
        if (k < 0) {
                sink_failed(d, n->netif, k);
                return;
        }
        d->n_tun_reads += (uint64_t) k;
        packet_router_egress(d->router, n->router, packets, (unsigned) k);
        packet_router_send(d->router);
}

/* --- streams --- */

static bool stream_frame(void *userdata, uint8_t *data, size_t len, const Endpoint *from) {
        Dataplane *d = userdata;
        uint64_t before = packet_router_stats(d->router).authentic;

        packet_router_ingress(d->router, data, len, len, from);
        return packet_router_stats(d->router).authentic != before;
}

static void stream_deliver(void *userdata) {
        packet_router_deliver(((Dataplane *) userdata)->router);
}

static void stream_ended(void *userdata, const Endpoint *peer) {
        Dataplane *d = userdata;

        (void) control_queue_post(d->queue, CONTROL_STREAM_ENDED, NULL, 0, peer, NULL, 0);
}

/* --- commands --- */

static int add_socket(Dataplane *d, const UdpSocket *s) {
        for (unsigned i = 0; i < SOCKETS_MAX; i++) {
                int r;

                if (d->socket[i].fd >= 0)
                        continue;
                r = watch(d, EPOLL_CTL_ADD, s->fd, EPOLLIN | EPOLLRDHUP, source(SOURCE_SOCKET, i));
                if (r >= 0)
                        d->socket[i] = *s;
                return r;
        }
        return -ENOSPC;
}

static int remove_socket(Dataplane *d, int fd) {
        for (unsigned i = 0; i < SOCKETS_MAX; i++)
                if (d->socket[i].fd == fd) {
                        unwatch(d, fd);
                        d->socket[i].fd = -EBADF;
                        return 0;
                }
        return -ENOENT;
}

static int add_network(Dataplane *d, const DataplaneNetwork *network) {
        unsigned i = 0;
        int r;

        while (i < NETWORKS_MAX && d->network[i].netif)
                i++;
        if (i == NETWORKS_MAX)
                return -ENOSPC;
        r = packet_router_add_network(d->router, network, &d->network[i].router);
        if (r < 0)
                return r;
        r = watch(d, EPOLL_CTL_ADD, network->netif->ops->fd(network->netif), EPOLLIN,
                  source(SOURCE_NETWORK, i));
        if (r < 0) {
                packet_router_remove_network(d->router, network->mesh);
                return r;
        }
        d->network[i].netif = network->netif;
        d->network[i].mesh = network->mesh;
        d->network[i].failed = false;
        return 0;
}

static int remove_network(Dataplane *d, const struct Mesh *mesh) {
        for (unsigned i = 0; i < NETWORKS_MAX; i++) {
                LoopNetwork *n = &d->network[i];

                if (!n->netif || n->mesh != mesh)
                        continue;
                unwatch(d, n->netif->ops->fd(n->netif));
                packet_router_remove_network(d->router, mesh);
                *n = (LoopNetwork){};
                return 0;
        }
        return -ENOENT;
}

static void send_echo(Dataplane *d, const Command *c) {
        EchoToken token = { .secret = d->config.echo_secret, .number = c->number };
        uint8_t buffer[ECHO_SIZE_MAX];
        PacketIn packet = { .data = buffer };

        packet.len = echo_build(&c->from, &c->to, &token, buffer);
        for (unsigned i = 0; i < NETWORKS_MAX; i++)
                if (d->network[i].netif && d->network[i].mesh == c->object)
                        packet_router_egress(d->router, d->network[i].router, &packet, 1);
        (void) packet_router_end(d->router);
}

static void send_stream(Dataplane *d, Command *c) {
        size_t len;
        const uint8_t *data = g_bytes_get_data(c->bytes, &len);

        stream_table_send_one(d->streams, &c->endpoint, data, len, now_usec(CLOCK_BOOTTIME));
        g_clear_pointer(&c->bytes, g_bytes_unref);
}

static int run_command(Dataplane *d, Command *c) {
        switch (c->kind) {
        case COMMAND_ADD_SOCKET:
                return add_socket(d, &c->socket);
        case COMMAND_REMOVE_SOCKET:
                return remove_socket(d, c->socket.fd);
        case COMMAND_ADD_LISTENER:
                return stream_table_listen(d->streams, c->fd);
        case COMMAND_REMOVE_LISTENER:
                return stream_table_unlisten(d->streams, c->fd);
        case COMMAND_SEND_STREAM:
                send_stream(d, c);
                return 0;
        case COMMAND_DOUBT_STREAMS:
                stream_table_doubt(d->streams, now_usec(CLOCK_BOOTTIME));
                return 0;
        case COMMAND_ADD_NETWORK:
                return add_network(d, c->network);
        case COMMAND_REMOVE_NETWORK:
                return remove_network(d, c->object);
        case COMMAND_FLUSH_PENDING:
                packet_router_flush_pending(d->router, c->object);
                (void) packet_router_end(d->router);
                return 0;
        case COMMAND_ECHO:
                send_echo(d, c);
                return 0;
        case COMMAND_RETIRE:
                packet_router_forget(d->router, c->object);
                c->position = control_queue_position(d->queue);
                return 0;
        case COMMAND_STOP:
                d->stopping = true;
                return 0;
        }
        return -EINVAL;
}

static void run_commands(Dataplane *d) {
        bool retired = false;
        eventfd_t ignored;

        (void) eventfd_read(d->wake_fd, &ignored);
        pthread_mutex_lock(&d->lock);
        atomic_store_explicit(&d->has_commands, false, memory_order_relaxed);
        for (;;) {
                GList *link = g_queue_pop_head_link(&d->commands);
                Command *c = link ? link->data : NULL;

                if (!c)
                        break;
                pthread_mutex_unlock(&d->lock);
                c->result = run_command(d, c);
                pthread_mutex_lock(&d->lock);
                c->done = true;
                if (c->kind == COMMAND_RETIRE) {
                        g_queue_push_tail_link(&d->retired, &c->link);
                        retired = true;
                } else if (c->is_waited_for)
                        pthread_cond_signal(&d->command_done);
                else
                        g_free(c);
        }
        pthread_mutex_unlock(&d->lock);
        if (retired)
                control_queue_wake(d->queue);
}

/* --- turns --- */

static void serve(Dataplane *d, const struct epoll_event *e, usec_t now) {
        unsigned i = (unsigned) (e->data.u64 & UINT32_MAX);

        switch ((SourceKind) (e->data.u64 >> 32)) {
        case SOURCE_WAKE:
                break; /* run_commands() */
        case SOURCE_SOCKET:
                serve_socket(d, &d->socket[i], e->events);
                break;
        case SOURCE_NETWORK:
                serve_network(d, &d->network[i]);
                break;
        case SOURCE_STREAM:
                stream_table_serve(d->streams, i, now);
                break;
        case SOURCE_LISTENER:
                stream_table_accept(d->streams, i, now);
                break;
        }
}

static void publish_stats(Dataplane *d) {
        PacketRouterStats s = packet_router_stats(d->router);

        atomic_store_explicit(&d->stats.wakeups, d->n_wakeups, memory_order_relaxed);
        atomic_store_explicit(&d->stats.tun_reads, d->n_tun_reads, memory_order_relaxed);
        atomic_store_explicit(&d->stats.tun_writes, s.interface_writes, memory_order_relaxed);
        atomic_store_explicit(&d->stats.udp_receives, d->udp_stats.receives, memory_order_relaxed);
        atomic_store_explicit(&d->stats.udp_sends, d->udp_stats.sends, memory_order_relaxed);
        atomic_store_explicit(&d->stats.packets_out, s.packets_out, memory_order_relaxed);
        atomic_store_explicit(&d->stats.packets_in, s.packets_in, memory_order_relaxed);
        atomic_store_explicit(&d->stats.streams, stream_table_count(d->streams), memory_order_relaxed);
}

static int timeout_ms(usec_t now, usec_t deadline) {
        if (deadline == USEC_INFINITY)
                return -1;
        return (int) ((usec_sub(deadline, now) + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

void *loop_run(void *arg) {
        struct epoll_event events[EVENTS_MAX];
        Dataplane *d = arg;
        usec_t now = now_usec(CLOCK_BOOTTIME), deadline = USEC_INFINITY;

        while (!d->stopping) {
                int n = epoll_wait(d->epoll_fd, events, EVENTS_MAX, timeout_ms(now, deadline));

                d->n_wakeups++;
                now = now_usec(CLOCK_BOOTTIME);
                packet_router_begin(d->router, now);
                for (int i = 0; i < n; i++)
                        serve(d, &events[i], now);
                deadline = packet_router_end(d->router);
                if (atomic_load_explicit(&d->has_commands, memory_order_acquire))
                        run_commands(d);
                deadline = MIN(deadline, stream_table_look(d->streams, now));
                publish_stats(d);
        }
        return NULL;
}

int loop_init(Dataplane *d) {
        const PacketSink sink = {
                .userdata = d,
                .send = sink_send,
                .datagram = sink_datagram,
                .frame = sink_frame,
                .arrival = sink_arrival,
                .want_session = sink_want_session,
                .sent = d->config.handler.sent ? sink_sent : NULL,
                .echo = d->config.handler.echo ? sink_echo : NULL,
                .echo_secret = d->config.echo_secret,
                .relay_unknown = sink_relay_unknown,
                .failed = sink_failed,
                .refused = sink_refused,
                .no_merging = d->config.no_merging,
        };
        const StreamSink streams = {
                .userdata = d,
                .frame = stream_frame,
                .deliver = stream_deliver,
                .ended = stream_ended,
        };

        for (unsigned i = 0; i < SOCKETS_MAX; i++)
                d->socket[i].fd = -EBADF;
        d->router = packet_router_new(&sink, d->config.indices, d->config.drops);
        packet_router_set_relays(d->router, d->config.relays);
        d->receiver = udp_receiver_new();
        d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (d->epoll_fd < 0)
                return -errno;
        d->streams = stream_table_new(
                        &streams, d->epoll_fd, source(SOURCE_STREAM, 0), source(SOURCE_LISTENER, 0),
                        d->config.drops);
        return watch(d, EPOLL_CTL_ADD, d->wake_fd, EPOLLIN, source(SOURCE_WAKE, 0));
}

void loop_done(Dataplane *d) {
        d->streams = stream_table_free(d->streams);
        d->router = packet_router_free(d->router);
        d->receiver = udp_receiver_free(d->receiver);
        closep(&d->epoll_fd);
}
