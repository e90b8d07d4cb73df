/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * TCP connections of the lwIP engine: a tcp_pcb on one side, one end of a socket pair on the
 * other. The theory is in netstack-lwip-internal.h. Ends:
 *
 *  - the peer's FIN: what it sent is handed on, then shutdown(SHUT_WR) on the pair;
 *  - the caller's shutdown(SHUT_WR): what it wrote is queued, then our FIN;
 *  - both: the pcb is lwIP's to finish, the stream goes;
 *  - the caller closes: like its shutdown, and a reset if data of the peer is still to come or
 *    was not read, as the kernel does (RFC 2525, 2.17);
 *  - a reset, or a peer that does not answer any more: the pair is closed; the kernel tells the
 *    caller ECONNRESET if it had written what we did not read.
 */

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/macros.h"
#include <lwip/priv/tcp_priv.h>
#include "netif/netstack-lwip-internal.h"

/* Pieces of one sendmsg(): a batch's packets of one connection. */
#define IOV_MAX_FLUSH 128U

typedef struct LwipListener {
        LwipStack *stack;
        uint64_t call;
        struct tcp_pcb *pcb;
} LwipListener;

/* --- backlog --- */

static void backlog_append(LwipBacklog *b, const void *data, size_t len) {
        if (b->start + b->len + len > b->size) {
                /* Moved at most when half of it was taken, or grown: linear on the whole. */
                size_t size = MAX(b->size, (size_t) 4096);

                while (size < 2 * (b->len + len) && size < 2 * (size_t) TCP_WND)
                        size *= 2;
                if (b->start > 0)
                        memmove(b->data, b->data + b->start, b->len);
                b->start = 0;
                if (size > b->size || b->len + len > b->size) {
                        b->size = MAX(size, b->len + len);
                        b->data = g_realloc(b->data, b->size);
                }
        }
        memcpy(b->data + b->start + b->len, data, len);
        b->len += len;
}

static void backlog_take(LwipBacklog *b, size_t len) {
        b->start += len;
        b->len -= len;
        if (b->len == 0) {
                g_free(b->data);
                *b = (LwipBacklog){};
        }
}

/* --- life --- */

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len);
static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error);
static void on_error(void *arg, err_t error);

static LwipStream *stream_new(LwipStack *s) {
        LwipStream *t;

        if (s->streams.length >= NETSTACK_STREAMS_MAX)
                return NULL;
        t = NEW(LwipStream);
        t->source.kind = LWIP_SOURCE_STREAM;
        t->stack = s;
        t->fd = -EBADF;
        t->id = ++s->last_stream;
        t->link.data = t->ready.data = t;
        g_queue_push_tail_link(&s->streams, &t->link);
        return t;
}

static void drop_arrived(LwipStream *t) {
        while (t->n_arrived > 0)
                pbuf_free(t->arrived[--t->n_arrived]);
}

/* The stream goes; events at hand may still mention it, so its memory waits. */
static void stream_end(LwipStream *t) {
        LwipStack *s = t->stack;

        if (t->dead)
                return;
        t->dead = true;
        if (t->is_ready)
                g_queue_unlink(&s->ready, &t->ready);
        if (t->call)
                g_hash_table_remove(s->dials, &t->call);
        if (t->waiting)
                g_hash_table_remove(s->waiting, &t->id);
        drop_arrived(t);
        backlog_take(&t->backlog, t->backlog.len);
        closep(&t->fd);
        t->fd = -EBADF;
        g_queue_unlink(&s->streams, &t->link);
        g_queue_push_tail_link(&s->dead, &t->link);
}

/* lwIP finishes or forgets the connection without us. */
static struct tcp_pcb *detach(LwipStream *t) {
        struct tcp_pcb *pcb = TAKE_PTR(t->pcb);

        tcp_arg(pcb, NULL);
        tcp_recv(pcb, NULL);
        tcp_sent(pcb, NULL);
        tcp_err(pcb, NULL);
        return pcb;
}

static void stream_abort(LwipStream *t) {
        if (t->pcb)
                tcp_abort(detach(t));
        stream_end(t);
}

/* A FIN after what is queued; a reset if the peer's data was not all taken. */
static void stream_close(LwipStream *t) {
        struct tcp_pcb *pcb = detach(t);

        if (tcp_close(pcb) != ERR_OK)
                tcp_abort(pcb);
        stream_end(t);
}

void lwip_streams_bury(LwipStack *s) {
        while (s->dead.head) {
                LwipStream *t = s->dead.head->data;

                g_queue_unlink(&s->dead, &t->link);
                g_free(t);
        }
}

void lwip_stream_ready(LwipStream *t) {
        if (t->is_ready || t->dead)
                return;
        t->is_ready = true;
        g_queue_push_tail_link(&t->stack->ready, &t->ready);
}

/* Gives the stream a socket pair. Return: the caller's end. */
static int stream_connect(LwipStream *t, struct tcp_pcb *pcb) {
        int pair[2], r;

        r = fd_pair(SOCK_STREAM, pair);
        if (r < 0)
                return r;
        t->fd = pair[1];
        r = lwip_watch(t->stack, EPOLL_CTL_ADD, t->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, &t->source);
        if (r < 0) {
                close(pair[0]);
                return r;
        }
        t->pcb = pcb;
        t->peer = lwip_ip_from(&pcb->remote_ip);
        t->port = pcb->remote_port;
        tcp_arg(pcb, t);
        tcp_recv(pcb, on_received);
        tcp_sent(pcb, on_sent);
        tcp_err(pcb, on_error);
        /* What the caller writes is what should leave. */
        tcp_nagle_disable(pcb);
        ip_set_option(pcb, SOF_KEEPALIVE);
        pcb->keep_idle = NETSTACK_KEEPALIVE_IDLE_USEC / USEC_PER_MSEC;
        pcb->keep_intvl = NETSTACK_KEEPALIVE_INTERVAL_USEC / USEC_PER_MSEC;
        pcb->keep_cnt = NETSTACK_KEEPALIVE_COUNT;
        return pair[0];
}

/* --- network to caller --- */

static void watch_room(LwipStream *t, bool on) {
        if (t->want_out == on)
                return;
        t->want_out = on;
        (void) lwip_watch(
                        t->stack, EPOLL_CTL_MOD, t->fd,
                        EPOLLIN | EPOLLRDHUP | EPOLLET | (on ? EPOLLOUT : 0), &t->source);
}

/* Opens the window by what the caller's side took. */
static void taken(LwipStream *t, size_t len) {
        while (t->pcb && len > 0) {
                u16_t part = (u16_t) MIN(len, (size_t) UINT16_MAX);

                tcp_recved(t->pcb, part);
                len -= part;
        }
}

/* Return: false if the caller's end is closed. */
static bool flush_backlog(LwipStream *t) {
        while (t->backlog.len > 0) {
                ssize_t n =
                                send(t->fd, t->backlog.data + t->backlog.start, t->backlog.len,
                                     MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0)
                        return errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
                backlog_take(&t->backlog, (size_t) n);
                taken(t, (size_t) n);
        }
        return true;
}

/* Hands @n bytes' worth of what arrived to oblivion, the rest to the backlog. */
static void settle_arrived(LwipStream *t, size_t sent) {
        for (unsigned i = 0; i < t->n_arrived; i++) {
                for (struct pbuf *p = t->arrived[i]; p; p = p->next) {
                        size_t skip = MIN(sent, (size_t) p->len);

                        sent -= skip;
                        if (skip < p->len)
                                backlog_append(&t->backlog, (uint8_t *) p->payload + skip,
                                               p->len - skip);
                }
        }
        drop_arrived(t);
}

static bool flush_arrived(LwipStream *t) {
        struct iovec iov[IOV_MAX_FLUSH];
        struct msghdr m = { .msg_iov = iov };
        ssize_t n = 0;
        bool open = true;

        if (t->backlog.len == 0 && t->fd >= 0) {
                for (unsigned i = 0; i < t->n_arrived; i++)
                        for (struct pbuf *p = t->arrived[i]; p && m.msg_iovlen < IOV_MAX_FLUSH;
                             p = p->next)
                                iov[m.msg_iovlen++] = (struct iovec){ p->payload, p->len };
                n = sendmsg(t->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
                open = n >= 0 || errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
                n = MAX(n, (ssize_t) 0);
        }
        settle_arrived(t, (size_t) n);
        taken(t, (size_t) n);
        return open;
}

/* Both directions are through, or lwIP is and nothing waits. */
static void check_end(LwipStream *t) {
        if (t->dead)
                return;
        if (t->fin_received && !t->fin_passed && t->backlog.len == 0) {
                t->fin_passed = true;
                (void) shutdown(t->fd, SHUT_WR);
        }
        /* Now, not when the backlog is read: lwIP frees it at the end of TIME-WAIT untold. */
        if (t->pcb && t->fin_received && t->fin_sent)
                (void) detach(t);
        if (!t->pcb && t->backlog.len == 0)
                stream_end(t);
}

void lwip_stream_flush(LwipStream *t) {
        bool open = true;

        if (t->n_arrived > 0)
                open = flush_arrived(t);
        if (open)
                open = flush_backlog(t);
        if (!open) {
                stream_abort(t);
                return;
        }
        if (t->fd >= 0)
                watch_room(t, t->backlog.len > 0);
        check_end(t);
}

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
        LwipStream *t = arg;

        if (!p) {
                t->fin_received = true;
                /* Not here: lwIP is in the middle of this connection. */
                lwip_stream_ready(t);
                return ERR_OK;
        }
        if (t->n_arrived == ARRIVED_MAX && !flush_arrived(t))
                t->hangup = true;
        t->arrived[t->n_arrived++] = p;
        lwip_stream_ready(t);
        return ERR_OK;
}

/* --- caller to network --- */

/* How much may be read from the caller now. */
static size_t room(const struct tcp_pcb *pcb) {
        size_t unsent = pcb->snd_lbb - pcb->snd_nxt, queue = tcp_sndqueuelen(pcb), bytes;
        size_t mss = MIN((size_t) pcb->mss, (size_t) pcb->snd_wnd_max / 2);

        if (unsent >= UNSENT_MAX || queue + 8 >= TCP_SND_QUEUELEN)
                return 0;
        bytes = MIN(UNSENT_MAX - unsent, (size_t) tcp_sndbuf(pcb));
        /* One pbuf a segment; a peer that wants tiny ones gets few bytes at a time. */
        return MIN(bytes, (TCP_SND_QUEUELEN - 8 - queue) * MAX(mss, (size_t) 1));
}

static bool can_send(const struct tcp_pcb *pcb) {
        return pcb->state == ESTABLISHED || pcb->state == CLOSE_WAIT;
}

/* Return: false if the stream is gone. */
static bool end_of_input(LwipStream *t) {
        t->readable = false;
        t->fin_sent = true;
        if (t->hangup) {
                stream_close(t);
                return false;
        }
        if (tcp_shutdown(t->pcb, 0, 1) != ERR_OK) {
                stream_abort(t);
                return false;
        }
        check_end(t);
        return !t->dead;
}

static void send_from_caller(LwipStream *t) {
        LwipStack *s = t->stack;
        bool wrote = false;

        while (t->readable && t->pcb && !t->fin_sent && can_send(t->pcb)) {
                size_t max = MIN(room(t->pcb), (size_t) UINT16_MAX); /* of one tcp_write() */
                ssize_t n;

                /* Whole segments rather than what a single acknowledgement made room for. */
                if (max == 0 || (max < t->pcb->mss && tcp_sndqueuelen(t->pcb) > 0))
                        break;
                n = recv(t->fd, s->scratch, max, MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN) {
                        t->readable = false;
                        break;
                }
                if (n < 0 || (n > 0 && tcp_write(t->pcb, s->scratch, (u16_t) n,
                                                 TCP_WRITE_FLAG_COPY) != ERR_OK)) {
                        /* ECONNRESET: closed without having read all we gave. */
                        stream_abort(t);
                        return;
                }
                if (n == 0) {
                        if (!end_of_input(t))
                                return;
                        break;
                }
                wrote = true;
        }
        if (wrote && t->pcb)
                (void) tcp_output(t->pcb);
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len) {
        LwipStream *t = arg;

        if (t->readable)
                lwip_stream_ready(t);
        return ERR_OK;
}

/* --- events --- */

static bool redial(LwipStream *t);
static void dial_done(LwipStream *t, int error);

static void on_error(void *arg, err_t error) {
        LwipStream *t = arg;

        t->pcb = NULL; /* freed by lwIP */
        if (t->call) {
                if (error == ERR_ABRT && redial(t))
                        return;
                dial_done(t, lwip_errno(error));
                return;
        }
        t->fin_received = true;
        lwip_stream_ready(t);
}

void lwip_stream_event(LwipStream *t, uint32_t events) {
        if (t->dead)
                return;
        if (events & EPOLLHUP)
                t->hangup = true;
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
                t->readable = true;
        lwip_stream_ready(t);
}

void lwip_streams_pump(LwipStack *s) {
        /* Those that become ready meanwhile have their turn in the next. */
        for (unsigned n = s->ready.length; n > 0 && s->ready.head; n--) {
                LwipStream *t = s->ready.head->data;

                g_queue_unlink(&s->ready, &t->ready);
                t->is_ready = false;
                lwip_stream_flush(t);
                if (!t->dead && t->pcb)
                        send_from_caller(t);
                /* Shut down first, closed now: nobody waits for the peer's end. */
                if (!t->dead && t->pcb && t->hangup && t->fin_sent)
                        stream_close(t);
        }
}

/* --- dial --- */

static void dial_done(LwipStream *t, int error) {
        LwipResult result = { .kind = NETSTACK_CALL_DIAL, .id = t->call, .fd = error };

        lwip_stack_post(t->stack, &result);
        stream_end(t);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t error) {
        LwipStream *t = arg;
        LwipResult result = { .kind = NETSTACK_CALL_DIAL, .id = t->call };

        result.fd = stream_connect(t, pcb);
        if (result.fd < 0) {
                (void) detach(t);
                dial_done(t, result.fd);
                tcp_abort(pcb);
                return ERR_ABRT;
        }
        g_hash_table_remove(t->stack->dials, &t->call);
        t->call = 0;
        lwip_stack_post(t->stack, &result);
        return ERR_OK;
}

static int dial(LwipStream *t) {
        ip_addr_t to;
        err_t error;
        int r;

        r = lwip_ip_to(&t->peer, &to);
        if (r < 0)
                return r;
        t->pcb = tcp_new_ip_type(IP_GET_TYPE(&to));
        if (!t->pcb)
                return -ENOBUFS;
        ip_set_option(t->pcb, SOF_REUSEADDR);
        tcp_arg(t->pcb, t);
        tcp_err(t->pcb, on_error);
        error = tcp_connect(t->pcb, &to, t->port, on_connected);
        if (error != ERR_OK) {
                tcp_abort(detach(t));
                return lwip_errno(error);
        }
        return 0;
}

/* lwIP gave up before the caller did: its tries are few, a session to a machine may take longer.
 * How long it goes on is the caller's timeout. */
static bool redial(LwipStream *t) {
        return dial(t) == 0;
}

int lwip_stream_dial(LwipStack *s, const LwipCommand *c) {
        LwipStream *t = stream_new(s);
        int r;

        if (!t)
                return -EMFILE;
        t->peer = c->address;
        t->port = c->port;
        t->call = c->id;
        g_hash_table_insert(s->dials, &t->call, t);
        r = dial(t);
        if (r < 0)
                stream_end(t);
        return r;
}

void lwip_stream_dial_end(LwipStream *t, int error) {
        if (t->pcb)
                tcp_abort(detach(t));
        if (error < 0)
                dial_done(t, error);
        else
                stream_end(t);
}

LwipStream *
lwip_stream_find_dial(LwipStack *s, const IpAddr *peer, uint16_t port, uint16_t local_port) {
        GHashTableIter i;
        void *value;

        g_hash_table_iter_init(&i, s->dials);
        while (g_hash_table_iter_next(&i, NULL, &value)) {
                LwipStream *t = value;

                if (t->pcb && t->port == port && t->pcb->local_port == local_port &&
                    ip_equal(&t->peer, peer))
                        return t;
        }
        return NULL;
}

/* --- listen --- */

/* What one address has of the streams is less than what is left for everybody. */
static bool has_share(const LwipStack *s, const IpAddr *peer) {
        unsigned own = 0;

        for (const GList *l = s->streams.head; l; l = l->next) {
                const LwipStream *t = l->data;

                own += t->inbound && ip_equal(&t->peer, peer);
        }
        return own + s->streams.length < NETSTACK_STREAMS_MAX;
}

static err_t on_accepted(void *arg, struct tcp_pcb *pcb, err_t error) {
        LwipListener *l = arg;
        LwipResult result = { .kind = NETSTACK_CALL_LISTEN };
        LwipStream *t;
        IpAddr peer;

        if (error != ERR_OK || !pcb)
                return ERR_VAL;
        peer = lwip_ip_from(&pcb->remote_ip);
        t = has_share(l->stack, &peer) ? stream_new(l->stack) : NULL;
        result.fd = t ? stream_connect(t, pcb) : -EMFILE;
        if (result.fd < 0) {
                if (t)
                        stream_end(t);
                tcp_abort(pcb);
                return ERR_ABRT;
        }
        t->inbound = true;
        /* Counts as waiting until the control thread has seen it. */
        tcp_backlog_delayed(pcb);
        t->waiting = true;
        g_hash_table_insert(l->stack->waiting, &t->id, t);
        result.id = l->call;
        result.stream = t->id;
        result.peer = t->peer;
        result.port = t->port;
        lwip_stack_post(l->stack, &result);
        return ERR_OK;
}

static void listener_free(void *data) {
        LwipListener *l = data;

        if (l->pcb)
                (void) tcp_close(l->pcb);
        g_free(l);
}

int lwip_listener_new(LwipStack *s, const LwipCommand *c) {
        LwipListener *l;
        struct tcp_pcb *pcb, *listening;
        err_t error;

        pcb = tcp_new_ip_type(IPADDR_TYPE_ANY);
        if (!pcb)
                return -ENOBUFS;
        ip_set_option(pcb, SOF_REUSEADDR);
        error = tcp_bind(pcb, IP_ANY_TYPE, c->port);
        listening = error == ERR_OK ? tcp_listen_with_backlog_and_err(pcb, (u8_t) c->backlog, &error)
                                    : NULL;
        if (!listening) {
                tcp_abort(pcb);
                return lwip_errno(error);
        }
        l = NEW(LwipListener);
        *l = (LwipListener){ .stack = s, .call = c->id, .pcb = listening };
        tcp_arg(listening, l);
        tcp_accept(listening, on_accepted);
        g_hash_table_insert(s->listeners, &l->call, l);
        return 0;
}

void lwip_stream_accepted(LwipStack *s, uint64_t id) {
        LwipStream *t = g_hash_table_lookup(s->waiting, &id);

        if (!t)
                return;
        g_hash_table_remove(s->waiting, &id);
        t->waiting = false;
        if (t->pcb)
                tcp_backlog_accepted(t->pcb);
}

/* --- the beginning and the end of all --- */

void lwip_streams_open(LwipStack *s) {
        s->dials = g_hash_table_new(g_int64_hash, g_int64_equal);
        s->waiting = g_hash_table_new(g_int64_hash, g_int64_equal);
        s->listeners = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, listener_free);
}

void lwip_streams_close(LwipStack *s) {
        g_clear_pointer(&s->listeners, g_hash_table_unref);
        while (s->streams.head)
                stream_abort(s->streams.head->data);
        lwip_streams_bury(s);
        /* Those that finish without us. */
        while (tcp_active_pcbs)
                tcp_abort(tcp_active_pcbs);
        while (tcp_tw_pcbs)
                tcp_abort(tcp_tw_pcbs);
        g_hash_table_unref(s->dials);
        g_hash_table_unref(s->waiting);
}
