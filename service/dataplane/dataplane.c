/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/dataplane.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "dataplane/dataplane-internal.h"

/* Enough for the batches of pointers on the stack of the packet thread, with room to spare. */
#define STACK_SIZE (256U * 1024U)

static void dataplane_freep(Dataplane **d) {
        dataplane_free(*d);
}

static int start_thread(Dataplane *d) {
        sigset_t all, before;
        pthread_attr_t attr;
        int r;

        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, STACK_SIZE);
        /* Signals are the control thread's. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&d->thread, &attr, loop_run, d);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attr);
        if (r < 0)
                return r;
        d->has_thread = true;
        (void) pthread_setname_np(d->thread, "packets");
        return 0;
}

int dataplane_new(const DataplaneConfig *config, Dataplane **ret) {
        _cleanup_(dataplane_freep) Dataplane *d = NEW(Dataplane);
        int r;

        d->config = *config;
        d->wake_fd = d->epoll_fd = -EBADF;
        pthread_mutex_init(&d->lock, NULL);
        pthread_cond_init(&d->command_done, NULL);
        g_queue_init(&d->commands);
        g_queue_init(&d->retired);
        r = control_queue_new(&d->queue);
        if (r < 0)
                return r;
        d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (d->wake_fd < 0)
                return -errno;
        r = loop_init(d);
        if (r < 0)
                return r;
        r = start_thread(d);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

/* --- commands --- */

static void submit(Dataplane *d, Command *c) {
        bool wake;

        c->link.data = c;
        pthread_mutex_lock(&d->lock);
        wake = g_queue_is_empty(&d->commands);
        g_queue_push_tail_link(&d->commands, &c->link);
        atomic_store_explicit(&d->has_commands, true, memory_order_release);
        pthread_mutex_unlock(&d->lock);
        if (wake)
                (void) eventfd_write(d->wake_fd, 1);
}

/* The packet thread's turns are bounded, so this takes a fraction of a millisecond. */
static int submit_and_wait(Dataplane *d, Command *c) {
        c->is_waited_for = true;
        submit(d, c);
        pthread_mutex_lock(&d->lock);
        while (!c->done)
                pthread_cond_wait(&d->command_done, &d->lock);
        pthread_mutex_unlock(&d->lock);
        return c->result;
}

/* Destroys retired objects whose messages were all dispatched, @all: whatever there is. */
static void destroy_retired(Dataplane *d, bool all) {
        for (;;) {
                Command *c = NULL;

                pthread_mutex_lock(&d->lock);
                if (d->retired.head) {
                        c = d->retired.head->data;
                        if (all || control_queue_is_past(d->queue, c->position))
                                g_queue_unlink(&d->retired, &c->link);
                        else
                                c = NULL;
                }
                pthread_mutex_unlock(&d->lock);
                if (!c)
                        return;
                c->destroy(c->object);
                g_free(c);
        }
}

Dataplane *dataplane_free(Dataplane *d) {
        if (!d)
                return NULL;
        if (d->has_thread) {
                Command stop = { .kind = COMMAND_STOP };

                (void) submit_and_wait(d, &stop);
                pthread_join(d->thread, NULL);
                destroy_retired(d, true);
        }
        loop_done(d);
        control_queue_free(d->queue);
        closep(&d->wake_fd);
        pthread_mutex_destroy(&d->lock);
        pthread_cond_destroy(&d->command_done);
        g_free(d);
        return NULL;
}

int dataplane_add_socket(Dataplane *d, int fd) {
        Command c = { .kind = COMMAND_ADD_SOCKET };
        int r;

        if (d->n_send == SOCKETS_MAX)
                return -ENOSPC;
        r = udp_socket_init(&c.socket, fd);
        if (r < 0)
                return r;
        if (d->config.no_trains)
                c.socket.segment = false;
        r = submit_and_wait(d, &c);
        if (r < 0)
                return r;
        d->send_fd[d->n_send] = fd;
        d->send_family[d->n_send++] = c.socket.family;
        return 0;
}

int dataplane_remove_socket(Dataplane *d, int fd) {
        Command c = { .kind = COMMAND_REMOVE_SOCKET, .socket.fd = fd };

        for (unsigned i = 0; i < d->n_send; i++)
                if (d->send_fd[i] == fd) {
                        d->n_send--;
                        d->send_fd[i] = d->send_fd[d->n_send];
                        d->send_family[i] = d->send_family[d->n_send];
                        break;
                }
        return submit_and_wait(d, &c);
}

int dataplane_add_listener(Dataplane *d, int fd) {
        Command c = { .kind = COMMAND_ADD_LISTENER, .fd = fd };

        return submit_and_wait(d, &c);
}

int dataplane_remove_listener(Dataplane *d, int fd) {
        Command c = { .kind = COMMAND_REMOVE_LISTENER, .fd = fd };

        return submit_and_wait(d, &c);
}

void dataplane_doubt_streams(Dataplane *d) {
        Command *c = NEW(Command);

        c->kind = COMMAND_DOUBT_STREAMS;
        submit(d, c);
}

static void send_stream(Dataplane *d, const Endpoint *to, const uint8_t *data, size_t len) {
        Command *c = NEW(Command);

        c->kind = COMMAND_SEND_STREAM;
        c->endpoint = *to;
        c->bytes = g_bytes_new(data, len);
        submit(d, c);
}

/* Return: -EAFNOSUPPORT: there is no socket of that family. */
static int send_fd_of(const Dataplane *d, int family) {
        for (unsigned i = 0; i < d->n_send; i++)
                if (d->send_family[i] == family)
                        return d->send_fd[i];
        return -EAFNOSUPPORT;
}

int dataplane_send(Dataplane *d, const Endpoint *to, const uint8_t *data, size_t len) {
        int fd;

        if (endpoint_is_stream(to)) {
                send_stream(d, to, data, len);
                return 0;
        }
        fd = send_fd_of(d, to->sa.sa_family);
        return fd < 0 ? fd : udp_socket_send_one(fd, to, data, len);
}

int dataplane_send_train(Dataplane *d, const Endpoint *to, const uint8_t *data, size_t len, unsigned n) {
        int fd;

        if (d->config.no_trains || !endpoint_is_plain(to) || len * n > TX_TRAIN_SIZE_MAX)
                return -EOPNOTSUPP;
        fd = send_fd_of(d, to->sa.sa_family);
        return fd < 0 ? fd : udp_socket_send_train(fd, to, data, (uint16_t) len, n);
}

int dataplane_add_network(Dataplane *d, const DataplaneNetwork *network) {
        Command c = { .kind = COMMAND_ADD_NETWORK, .network = network };

        return submit_and_wait(d, &c);
}

int dataplane_remove_network(Dataplane *d, struct Mesh *mesh) {
        Command c = { .kind = COMMAND_REMOVE_NETWORK, .object = mesh };

        return submit_and_wait(d, &c);
}

void dataplane_flush_pending(Dataplane *d, PacketPeer *peer) {
        Command *c = NEW(Command);

        c->kind = COMMAND_FLUSH_PENDING;
        c->object = peer;
        submit(d, c);
}

void dataplane_echo(Dataplane *d, struct Mesh *mesh, const IpAddr *from, const IpAddr *to, uint64_t number) {
        Command *c = NEW(Command);

        c->kind = COMMAND_ECHO;
        c->object = mesh;
        c->from = *from;
        c->to = *to;
        c->number = number;
        submit(d, c);
}

void dataplane_retire(Dataplane *d, void *object, void (*destroy)(void *object)) {
        Command *c = NEW(Command);

        c->kind = COMMAND_RETIRE;
        c->object = object;
        c->destroy = destroy;
        submit(d, c);
}

/* --- messages --- */

int dataplane_fd(Dataplane *d) {
        return control_queue_fd(d->queue);
}

static void dispatch_one(Dataplane *d, ControlItem *m) {
        const DataplaneHandler *h = &d->config.handler;
        PacketPeer *peer;

        switch ((ControlKind) m->kind) {
        case CONTROL_DATAGRAM:
                h->datagram(h->userdata, m->data, m->len, &m->from);
                return;
        case CONTROL_FRAME:
                h->frame(h->userdata, m->object, m->data, m->len, &m->from);
                return;
        case CONTROL_ARRIVAL:
                h->arrival(h->userdata, m->object, &m->from);
                return;
        case CONTROL_WANT_SESSION:
                peer = m->object;
                /* First: packets that come while this is handled may ask again. */
                atomic_store_explicit(&peer->wanted, false, memory_order_relaxed);
                h->want_session(h->userdata, peer);
                return;
        case CONTROL_SENT:
                h->sent(h->userdata, m->object);
                return;
        case CONTROL_ECHO:
                h->echo(h->userdata, m->object, read_le64(m->data));
                return;
        case CONTROL_LOCAL_LOST:
                if (h->local_lost)
                        h->local_lost(h->userdata, &m->from.local);
                return;
        case CONTROL_RELAY_UNKNOWN:
                if (h->relay_unknown)
                        h->relay_unknown(h->userdata, &m->from);
                return;
        case CONTROL_STREAM_ENDED:
                if (h->stream_ended)
                        h->stream_ended(h->userdata, &m->from);
                return;
        case CONTROL_FAILED:
                h->failed(h->userdata, m->object, m->error);
                return;
        case CONTROL_SOCKET_FAILED:
                if (h->socket_failed)
                        h->socket_failed(h->userdata, (int) read_le32(m->data), m->error);
                return;
        }
}

int dataplane_dispatch(Dataplane *d, unsigned max) {
        unsigned n = 0;

        control_queue_clear(d->queue);
        do {
                ControlItem *m;

                while (n < max && (m = control_queue_peek(d->queue))) {
                        dispatch_one(d, m);
                        control_queue_pop(d->queue);
                        n++;
                }
                destroy_retired(d, false);
        } while (n < max && !control_queue_sleep(d->queue));
        /* There may be more: the event loop is to come again. */
        if (n == max)
                control_queue_wake(d->queue);
        return (int) n;
}

DataplaneStats dataplane_stats(Dataplane *d) {
        return (DataplaneStats){
                .wakeups = atomic_load_explicit(&d->stats.wakeups, memory_order_relaxed),
                .tun_reads = atomic_load_explicit(&d->stats.tun_reads, memory_order_relaxed),
                .tun_writes = atomic_load_explicit(&d->stats.tun_writes, memory_order_relaxed),
                .udp_receives = atomic_load_explicit(&d->stats.udp_receives, memory_order_relaxed),
                .udp_sends = atomic_load_explicit(&d->stats.udp_sends, memory_order_relaxed),
                .packets_out = atomic_load_explicit(&d->stats.packets_out, memory_order_relaxed),
                .streams = atomic_load_explicit(&d->stats.streams, memory_order_relaxed),
                .packets_in = atomic_load_explicit(&d->stats.packets_in, memory_order_relaxed),
        };
}
