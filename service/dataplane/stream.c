/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dataplane/stream.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/macros.h"
#include "core/wire/relayed.h"
#include "core/wire/stream-frame.h"

/* Several frames a read, so that a train costs few. */
#define INPUT_SIZE (16U * 1024U)
/* More stays here, where it can be dropped, than in the kernel, where it only grows old. */
#define NOTSENT_LOWAT (16 * 1024)
/* What was sent and is not acknowledged for so long: in milliseconds, tcp(7). */
#define USER_TIMEOUT_MSEC 20000
/* Where a connection could not be made none is tried again before. */
#define DIAL_AGAIN_USEC (2 * USEC_PER_SEC)
/* After addresses changed something must have come so soon: links ask by them at once. */
#define DOUBT_USEC (3 * USEC_PER_SEC)
/* No descriptor is left: until then the kernel's queue of connections fills. */
#define ACCEPT_AGAIN_USEC USEC_PER_SEC
#define ACCEPTS_MAX 16U

typedef struct Stream {
        int fd; /* -EBADF: it is over, and the place is kept so that it is not tried again at once */
        unsigned number;
        Endpoint peer; /* no relay */
        bool open;     /* connected, and counted as such */
        bool connecting, authentic, wants_room;
        bool broken;  /* to be ended by the next look */
        usec_t heard; /* something authentic; at first when it was made */
        usec_t deadline;
        size_t in_len;
        size_t out_at, out_len;
        uint8_t in[INPUT_SIZE];
        uint8_t out[STREAM_QUEUE_SIZE];
} Stream;

typedef struct Listener {
        int fd;        /* -EBADF: free */
        usec_t paused; /* until then; 0: it is not */
} Listener;

struct StreamTable {
        StreamSink sink;
        int epoll_fd;
        uint64_t stream_source, listener_source;
        DropCounters *drops;
        GHashTable *by_peer; /* &Stream.peer to Stream */
        Stream *stream[STREAMS_MAX];
        Listener listener[STREAM_LISTENERS_MAX];
        unsigned n_accepted, n_dialed, n_open;
        usec_t next_look; /* nobody's time is over before */
};

static unsigned hash(const void *key) {
        return endpoint_hash(key);
}

static int equal(const void *a, const void *b) {
        return endpoint_equal(a, b);
}

static bool is_accepted(const Stream *s) {
        return s->peer.transport == ENDPOINT_TCP_ACCEPTED;
}

static int control(StreamTable *t, int op, int fd, uint32_t events, uint64_t data) {
        struct epoll_event e = { .events = events, .data.u64 = data };

        return epoll_ctl(t->epoll_fd, op, fd, &e) < 0 ? -errno : 0;
}

static Stream *find(StreamTable *t, const Endpoint *peer) {
        Endpoint plain = *peer;

        plain.relay = 0;
        return g_hash_table_lookup(t->by_peer, &plain);
}

/* --- life --- */

static void set_deadline(StreamTable *t, Stream *s, usec_t deadline) {
        s->deadline = deadline;
        t->next_look = MIN(t->next_look, deadline);
}

static void set_open(StreamTable *t, Stream *s, bool open) {
        t->n_open += (unsigned) open - (unsigned) s->open;
        s->open = open;
}

static void stream_free(StreamTable *t, Stream *s) {
        set_open(t, s, false);
        g_hash_table_remove(t->by_peer, &s->peer);
        t->stream[s->number] = NULL;
        if (is_accepted(s))
                t->n_accepted--;
        else
                t->n_dialed--;
        closep(&s->fd);
        g_free(s);
}

static void stream_end(StreamTable *t, Stream *s) {
        const Endpoint peer = s->peer;
        bool authentic = s->authentic;

        stream_free(t, s);
        if (authentic)
                t->sink.ended(t->sink.userdata, &peer);
}

/* One that brought nothing, whatever it was. */
static void refuse(StreamTable *t, Stream *s, DropReason reason) {
        drop_count(t->drops, reason);
        stream_end(t, s);
}

/* A place for @fd, which it owns, or for one that could not be made. Return: NULL: there is none. */
static Stream *add(StreamTable *t, int fd, const Endpoint *peer, usec_t now) {
        unsigned i = 0;
        Stream *s;

        while (i < STREAMS_MAX && t->stream[i])
                i++;
        if (i == STREAMS_MAX)
                return NULL;
        s = NEW(Stream);
        s->fd = fd;
        s->number = i;
        s->peer = *peer;
        s->heard = now;
        t->stream[i] = s;
        g_hash_table_insert(t->by_peer, &s->peer, s);
        if (is_accepted(s))
                t->n_accepted++;
        else
                t->n_dialed++;
        set_deadline(t, s, now + STREAM_PROVE_USEC);
        return s;
}

/* Where one is not there it is a little worse. */
static void set_options(int fd) {
        static const struct {
                int option, value;
        } options[] = {
                { TCP_NODELAY, 1 },
                { TCP_NOTSENT_LOWAT, NOTSENT_LOWAT },
                { TCP_USER_TIMEOUT, USER_TIMEOUT_MSEC },
        };

        for (unsigned i = 0; i < ELEMENTSOF(options); i++)
                (void) setsockopt(fd, IPPROTO_TCP, options[i].option, &options[i].value, sizeof(int));
}

StreamTable *stream_table_new(
                const StreamSink *sink,
                int epoll_fd,
                uint64_t stream_source,
                uint64_t listener_source,
                DropCounters *drops) {
        StreamTable *t = NEW(StreamTable);

        t->sink = *sink;
        t->epoll_fd = epoll_fd;
        t->stream_source = stream_source;
        t->listener_source = listener_source;
        t->drops = drops;
        t->by_peer = g_hash_table_new(hash, equal);
        t->next_look = USEC_INFINITY;
        for (unsigned i = 0; i < STREAM_LISTENERS_MAX; i++)
                t->listener[i].fd = -EBADF;
        return t;
}

StreamTable *stream_table_free(StreamTable *t) {
        if (!t)
                return NULL;
        for (unsigned i = 0; i < STREAMS_MAX; i++)
                if (t->stream[i])
                        stream_free(t, t->stream[i]);
        g_hash_table_unref(t->by_peer);
        g_free(t);
        return NULL;
}

unsigned stream_table_count(const StreamTable *t) {
        return t->n_open;
}

/* --- sending --- */

static void watch(StreamTable *t, Stream *s, bool room) {
        if (room == s->wants_room)
                return;
        s->wants_room = room;
        (void) control(t, EPOLL_CTL_MOD, s->fd, EPOLLIN | (room ? EPOLLOUT : 0),
                       t->stream_source + s->number);
}

static void break_off(StreamTable *t, Stream *s) {
        s->broken = true;
        t->next_look = 0;
}

static void flush(StreamTable *t, Stream *s) {
        while (s->out_len > 0 && !s->connecting && !s->broken) {
                ssize_t n = send(s->fd, s->out + s->out_at, s->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno != EAGAIN) {
                        break_off(t, s);
                        return;
                }
                if (n < 0)
                        break;
                s->out_at += (size_t) n;
                s->out_len -= (size_t) n;
        }
        if (s->out_len == 0)
                s->out_at = 0;
        watch(t, s, s->connecting || s->out_len > 0);
}

/* Whole frames only: of half a one the other side could make nothing. */
static bool append(Stream *s, const uint8_t *head, size_t head_len, const uint8_t *data, size_t len) {
        size_t whole = STREAM_HEADER_SIZE + head_len + len;
        uint8_t *at;

        if (head_len + len > STREAM_FRAME_MAX || whole > STREAM_QUEUE_SIZE - s->out_len)
                return false;
        if (whole > STREAM_QUEUE_SIZE - s->out_at - s->out_len) {
                memmove(s->out, s->out + s->out_at, s->out_len);
                s->out_at = 0;
        }
        at = s->out + s->out_at + s->out_len;
        write_be16(at, (uint16_t) (head_len + len));
        if (head_len > 0)
                memcpy(at + STREAM_HEADER_SIZE, head, head_len);
        memcpy(at + STREAM_HEADER_SIZE + head_len, data, len);
        s->out_len += whole;
        return true;
}

static bool is_open(const Stream *s) {
        return s && s->fd >= 0 && !s->broken;
}

void stream_table_send(StreamTable *t, const TxTrain *train) {
        Stream *s = find(t, &train->to);
        TxCursor c = {};
        struct iovec iov;

        if (!is_open(s)) {
                drop_count_n(train->drops, DROP_SEND_FAILED, train->n);
                return;
        }
        while (tx_train_next(train, &c, &iov))
                if (!append(s, NULL, 0, iov.iov_base, iov.iov_len))
                        drop_count(train->drops, DROP_STREAM_FULL);
        flush(t, s);
}

static void set_mark(int fd) {
        const uint32_t mark = STREAM_MARK;

        (void) setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
}

static int dial_fd(const Endpoint *to) {
        _cleanup_close_ int fd = fd_admit(
                        socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

        if (fd < 0)
                return -errno;
        set_options(fd);
        set_mark(fd);
        if (connect(fd, &to->sa, endpoint_len(to)) < 0 && errno != EINPROGRESS)
                return -errno;
        return TAKE_FD(fd);
}

/* The place is kept: whoever sends next does not try again at once. */
static void dial_failed(StreamTable *t, Stream *s, usec_t now) {
        set_open(t, s, false);
        closep(&s->fd);
        s->fd = -EBADF;
        s->connecting = s->wants_room = s->broken = false;
        s->out_at = s->out_len = 0;
        set_deadline(t, s, now + DIAL_AGAIN_USEC);
}

static Stream *dial(StreamTable *t, const Endpoint *to, usec_t now) {
        Endpoint peer = *to;
        Stream *s;

        if (t->n_dialed >= STREAMS_DIALED_MAX)
                return NULL;
        peer.relay = 0;
        peer.local = (IpAddr){};
        s = add(t, dial_fd(to), &peer, now);
        if (!s)
                return NULL;
        s->connecting = s->wants_room = true;
        if (s->fd < 0 ||
            control(t, EPOLL_CTL_ADD, s->fd, EPOLLIN | EPOLLOUT, t->stream_source + s->number) < 0)
                dial_failed(t, s, now);
        return s;
}

void stream_table_send_one(StreamTable *t, const Endpoint *to, const uint8_t *data, size_t len, usec_t now) {
        uint8_t header[RELAY_HEADER_SIZE];
        size_t head_len = endpoint_is_relayed(to) ? sizeof header : 0;
        Stream *s = find(t, to);

        if (!s && to->transport == ENDPOINT_TCP)
                s = dial(t, to, now);
        if (!is_open(s)) {
                drop_count(t->drops, DROP_SEND_FAILED);
                return;
        }
        if (head_len > 0)
                relayed_write(header, to->relay);
        if (!append(s, header, head_len, data, len))
                drop_count(t->drops, DROP_STREAM_FULL);
        flush(t, s);
}

/* --- receiving --- */

/* Return: false: it is to be closed. */
static bool take_frames(StreamTable *t, Stream *s, usec_t now) {
        StreamFrame verdict;
        size_t at = 0, len;

        while ((verdict = stream_frame_next(s->in + at, s->in_len - at, &len)) == STREAM_FRAME_WHOLE) {
                uint8_t *data = s->in + at + STREAM_HEADER_SIZE;

                if (is_accepted(s) && !s->authentic && !stream_type_may_begin(data[0])) {
                        verdict = STREAM_FRAME_BAD;
                        break;
                }
                if (t->sink.frame(t->sink.userdata, data, len, &s->peer)) {
                        s->authentic = true;
                        s->heard = now;
                        set_deadline(t, s, now + STREAM_IDLE_USEC);
                }
                at += STREAM_HEADER_SIZE + len;
        }
        t->sink.deliver(t->sink.userdata);
        s->in_len -= at;
        memmove(s->in, s->in + at, s->in_len);
        return verdict != STREAM_FRAME_BAD;
}

/* Return: false: it is not there. */
static bool has_connected(Stream *s) {
        int error = 0;
        socklen_t len = sizeof error;

        s->connecting = false;
        return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

void stream_table_serve(StreamTable *t, unsigned number, usec_t now) {
        Stream *s = number < STREAMS_MAX ? t->stream[number] : NULL;
        ssize_t n;

        if (!is_open(s))
                return;
        if (s->connecting && !has_connected(s)) {
                dial_failed(t, s, now);
                return;
        }
        set_open(t, s, true);
        flush(t, s);
        if (s->broken)
                return;
        n = recv(s->fd, s->in + s->in_len, sizeof s->in - s->in_len, MSG_DONTWAIT);
        if (n > 0) {
                s->in_len += (size_t) n;
                if (!take_frames(t, s, now))
                        refuse(t, s, DROP_STREAM_MALFORMED);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                /* One that listens and has nothing to say is not called again at once either. */
                if (is_accepted(s) || s->authentic)
                        stream_end(t, s);
                else
                        dial_failed(t, s, now);
        }
}

/* --- accepting --- */

static bool same_source(const Endpoint *a, const Endpoint *b) {
        if (a->sa.sa_family == AF_INET6 && b->sa.sa_family == AF_INET6)
                return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 8) == 0;
        return endpoint_same_address(a, b);
}

/* The one that was heard longest ago, of those that were accepted; @source: from that address, NULL:
 * from any; @strangers: of those that have brought nothing yet. @ret_n: how many these are. */
static Stream *oldest(const StreamTable *t, const Endpoint *source, bool strangers, unsigned *ret_n) {
        Stream *found = NULL;

        *ret_n = 0;
        for (unsigned i = 0; i < STREAMS_MAX; i++) {
                Stream *s = t->stream[i];

                if (!s || !is_accepted(s) || (strangers && s->authentic) ||
                    (source && !same_source(&s->peer, source)))
                        continue;
                (*ret_n)++;
                if (!found || s->heard < found->heard)
                        found = s;
        }
        return found;
}

/* For one more from @peer. Return: false: there is none. */
static bool make_room(StreamTable *t, const Endpoint *peer) {
        unsigned n_new_here, n_here, n_new;
        Stream *new_here = oldest(t, peer, true, &n_new_here),
               *here = oldest(t, peer, false, &n_here);
        Stream *new = oldest(t, NULL, true, &n_new), *same = find(t, peer);

        /* The same port again: the one before is dead, whatever this side has heard. */
        if (same)
                stream_end(t, same);
        else if (n_new_here >= STREAMS_STRANGERS_PER_ADDRESS_MAX)
                refuse(t, new_here, DROP_STREAM_REFUSED);
        else if (n_here >= STREAMS_PER_ADDRESS_MAX)
                refuse(t, here, DROP_STREAM_REFUSED);
        else if (n_new >= STREAMS_STRANGERS_MAX || (new && t->n_accepted >= STREAMS_ACCEPTED_MAX))
                refuse(t, new, DROP_STREAM_REFUSED);
        return t->n_accepted < STREAMS_ACCEPTED_MAX;
}

static void accepted(StreamTable *t, int fd, const Endpoint *peer, usec_t now) {
        Stream *s = make_room(t, peer) ? add(t, fd, peer, now) : NULL;

        if (!s) {
                drop_count(t->drops, DROP_STREAM_REFUSED);
                close(fd);
                return;
        }
        set_open(t, s, true);
        set_options(fd);
        if (control(t, EPOLL_CTL_ADD, fd, EPOLLIN, t->stream_source + s->number) < 0)
                refuse(t, s, DROP_STREAM_REFUSED);
}

static void pause_listener(StreamTable *t, unsigned i, usec_t until) {
        Listener *l = &t->listener[i];

        l->paused = until;
        t->next_look = MIN(t->next_look, until > 0 ? until : USEC_INFINITY);
        (void) control(t, EPOLL_CTL_MOD, l->fd, until > 0 ? 0 : EPOLLIN, t->listener_source + i);
}

void stream_table_accept(StreamTable *t, unsigned i, usec_t now) {
        Listener *l = i < STREAM_LISTENERS_MAX ? &t->listener[i] : NULL;

        for (unsigned n = 0; l && l->fd >= 0 && n < ACCEPTS_MAX; n++) {
                struct sockaddr_storage ss;
                socklen_t len = sizeof ss;
                int fd = accept4(l->fd, (struct sockaddr *) &ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
                Endpoint peer;

                if (fd >= 0 && fd_admit(fd) < 0) {
                        drop_count(t->drops, DROP_STREAM_REFUSED);
                        continue;
                }
                if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
                        continue;
                if (fd < 0) {
                        /* Out of descriptors, or no listener any more. */
                        if (errno != EAGAIN)
                                pause_listener(t, i, now + ACCEPT_AGAIN_USEC);
                        return;
                }
                if (endpoint_from_sockaddr((struct sockaddr *) &ss, len, &peer) < 0) {
                        close(fd);
                        continue;
                }
                peer.transport = ENDPOINT_TCP_ACCEPTED;
                accepted(t, fd, &peer, now);
        }
}

int stream_table_listen(StreamTable *t, int fd) {
        set_mark(fd); /* and what is accepted */
        for (unsigned i = 0; i < STREAM_LISTENERS_MAX; i++) {
                int r;

                if (t->listener[i].fd >= 0)
                        continue;
                r = control(t, EPOLL_CTL_ADD, fd, EPOLLIN, t->listener_source + i);
                if (r >= 0)
                        t->listener[i] = (Listener){ .fd = fd };
                return r;
        }
        return -ENOSPC;
}

int stream_table_unlisten(StreamTable *t, int fd) {
        for (unsigned i = 0; i < STREAM_LISTENERS_MAX; i++)
                if (t->listener[i].fd == fd) {
                        (void) control(t, EPOLL_CTL_DEL, fd, 0, 0);
                        t->listener[i].fd = -EBADF;
                        return 0;
                }
        return -ENOENT;
}

/* --- time --- */

/* Its time is over. */
static void expire(StreamTable *t, Stream *s, usec_t now) {
        if (s->authentic)
                stream_end(t, s);
        else if (is_accepted(s))
                refuse(t, s, DROP_STREAM_REFUSED);
        else if (s->fd >= 0)
                dial_failed(t, s, now);
        else
                stream_free(t, s);
}

usec_t stream_table_look(StreamTable *t, usec_t now) {
        if (now < t->next_look)
                return t->next_look;
        t->next_look = USEC_INFINITY;
        for (unsigned i = 0; i < STREAMS_MAX; i++) {
                Stream *s = t->stream[i];

                if (s && (s->broken || now >= s->deadline))
                        expire(t, s, now);
                s = t->stream[i];
                if (s)
                        t->next_look = MIN(t->next_look, s->deadline);
        }
        for (unsigned i = 0; i < STREAM_LISTENERS_MAX; i++) {
                const Listener *l = &t->listener[i];

                if (l->fd < 0 || l->paused == 0)
                        continue;
                if (now >= l->paused)
                        pause_listener(t, i, 0);
                else
                        t->next_look = MIN(t->next_look, l->paused);
        }
        return t->next_look;
}

void stream_table_doubt(StreamTable *t, usec_t now) {
        for (unsigned i = 0; i < STREAMS_MAX; i++) {
                Stream *s = t->stream[i];

                if (s && s->fd >= 0 && !is_accepted(s))
                        set_deadline(t, s, MIN(s->deadline, now + DOUBT_USEC));
        }
}
