/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/macros.h"
#include "proxy/relay.h"

/* A read of so much says that there is more where it came from. */
#define BULK_BYTES (32U * 1024U)
/* Of one direction before others have their turn: about a tenth of a millisecond. */
#define TURN_BYTES_MAX (256U * 1024U)
/* The bus, timers and listeners come first. */
#define PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

typedef struct Pipe {
        int read_fd, write_fd;
} Pipe;

struct RelayLoop {
        Poller *poller;
        uint8_t buffer[RELAY_BUFFER_SIZE];
        Pipe idle[RELAY_PIPES_MAX]; /* empty ones */
        unsigned n_idle, n_pipes;
};

typedef struct Side {
        Relay *relay;
        int fd;
        bool hung_up; /* nothing to do until a direction wants it again */
        PollerWatch watch;
} Side;

/* One direction. At most one of kept and piped is not 0. */
typedef struct Half {
        RelayLoop *loop;
        Side *from, *to;
        uint8_t *kept; /* read, not yet written */
        size_t kept_at, kept_len;
        Pipe pipe; /* held while there is something in it */
        size_t piped;
        uint64_t left; /* to be carried; UINT64_MAX: no limit */
        uint64_t *counter;
        bool bulk, eof, done; /* done: nothing is carried any more */
} Half;

struct Relay {
        RelayLoop *loop;
        Side side[2];
        Half half[2]; /* half[0] is from side[0] to side[1] */
        RelayCounters own_counters;
        RelayEnded ended;
        void *userdata;
        bool clean;
};

int relay_loop_new(sd_event *event, RelayLoop **ret) {
        RelayLoop *l = NEW(RelayLoop);
        struct sigaction action;
        int r;

        r = poller_new(event, PRIORITY, &l->poller);
        if (r < 0) {
                g_free(l);
                return r;
        }

        if (sigaction(SIGPIPE, NULL, &action) >= 0 && action.sa_handler == SIG_DFL)
                (void) signal(SIGPIPE, SIG_IGN);
        *ret = l;
        return 0;
}

Poller *relay_loop_poller(const RelayLoop *l) {
        return l->poller;
}

static void pipe_close(RelayLoop *l, Pipe *p) {
        close(p->read_fd);
        close(p->write_fd);
        l->n_pipes--;
}

RelayLoop *relay_loop_free(RelayLoop *l) {
        if (!l)
                return NULL;
        while (l->n_idle > 0)
                pipe_close(l, &l->idle[--l->n_idle]);
        assert(l->n_pipes == 0);
        poller_free(l->poller);
        g_free(l);
        return NULL;
}

unsigned relay_loop_pipes(const RelayLoop *l) {
        return l->n_pipes;
}

/* False: there is none to be had, which is no error. */
static bool pipe_take(RelayLoop *l, Pipe *ret) {
        int fds[2];

        if (l->n_idle > 0) {
                *ret = l->idle[--l->n_idle];
                return true;
        }
        if (l->n_pipes == RELAY_PIPES_MAX || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return false;
        fds[0] = fd_admit(fds[0]);
        fds[1] = fd_admit(fds[1]);
        if (fds[0] < 0 || fds[1] < 0) {
                closep(&fds[0]);
                closep(&fds[1]);
                return false;
        }
        /* Smaller is slower, no more. */
        (void) fcntl(fds[1], F_SETPIPE_SZ, RELAY_PIPE_SIZE);
        *ret = (Pipe){ fds[0], fds[1] };
        l->n_pipes++;
        return true;
}

static bool half_is_blocked(const Half *h) {
        return h->kept_len > 0 || h->piped > 0;
}

static void half_finish(Half *h) {
        h->done = true;
        g_clear_pointer(&h->kept, g_free);
        h->kept_len = 0;
        if (h->piped > 0)
                pipe_close(h->loop, &h->pipe);
        h->piped = 0;
}

static bool is_transient(int error) {
        return error == EAGAIN || error == EINTR;
}

/* Return: 1: nothing is left; 0: the other side takes no more now; negative errno. */
static int half_flush(Half *h) {
        while (h->piped > 0) {
                ssize_t n =
                                splice(h->pipe.read_fd, NULL, h->to->fd, NULL, h->piped,
                                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

                if (n < 0)
                        return is_transient(errno) ? 0 : -errno;
                h->piped -= (size_t) n;
                *h->counter += (size_t) n;
                if (h->piped == 0)
                        h->loop->idle[h->loop->n_idle++] = h->pipe;
        }
        while (h->kept_len > 0) {
                ssize_t n = send(h->to->fd, h->kept + h->kept_at, h->kept_len, MSG_NOSIGNAL);

                if (n < 0)
                        return is_transient(errno) ? 0 : -errno;
                h->kept_at += (size_t) n;
                h->kept_len -= (size_t) n;
                *h->counter += (size_t) n;
        }
        g_clear_pointer(&h->kept, g_free);
        return 1;
}

/* Reads into a pipe. Return: as recv(2). */
static ssize_t half_splice(Half *h, const Pipe *pipe) {
        ssize_t n =
                        splice(h->from->fd, NULL, pipe->write_fd, NULL,
                               MIN(RELAY_PIPE_SIZE, h->left), SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        int saved = errno;

        if (n > 0) {
                h->pipe = *pipe;
                h->piped = (size_t) n;
        } else
                h->loop->idle[h->loop->n_idle++] = *pipe;
        errno = saved;
        return n;
}

/* Reads into the buffer all share, writes, and keeps what is left. Return: as recv(2). */
static ssize_t half_copy(Half *h) {
        uint8_t *buffer = h->loop->buffer;
        ssize_t n = recv(h->from->fd, buffer, MIN(RELAY_BUFFER_SIZE, h->left), 0), sent;

        if (n <= 0)
                return n;
        sent = send(h->to->fd, buffer, (size_t) n, MSG_NOSIGNAL);
        if (sent == n) {
                *h->counter += (size_t) n;
                return n;
        }
        /* An error shows again when the rest is written. */
        sent = MAX(sent, 0);
        *h->counter += (size_t) sent;
        h->kept = g_memdup2(buffer + sent, (size_t) (n - sent));
        h->kept_at = 0;
        h->kept_len = (size_t) (n - sent);
        return n;
}

/* Reads, as much as may be carried, or what nobody wants. Return: as recv(2). */
static ssize_t half_read(Half *h) {
        Pipe pipe;
        ssize_t n;

        if (h->left == 0)
                return recv(h->from->fd, h->loop->buffer, RELAY_BUFFER_SIZE, 0);
        n = h->bulk && pipe_take(h->loop, &pipe) ? half_splice(h, &pipe) : half_copy(h);
        if (n > 0 && h->left < UINT64_MAX)
                h->left -= (uint64_t) n;
        return n;
}

/* Carries what there is. Return: 0, or negative errno: the relay is broken. */
static int half_pump(Half *h) {
        size_t carried = 0;

        while (!h->done) {
                int r = half_flush(h);
                ssize_t n;

                /* That side reads no more, but may still say something. */
                if (r == -EPIPE) {
                        half_finish(h);
                        return 0;
                }
                if (r <= 0)
                        return r;
                if (h->eof) {
                        /* ENOTCONN: it is gone, which its own events tell. */
                        (void) shutdown(h->to->fd, SHUT_WR);
                        half_finish(h);
                        return 0;
                }
                if (carried >= TURN_BYTES_MAX)
                        return 0;
                n = half_read(h);
                if (n < 0)
                        return is_transient(errno) ? 0 : -errno;
                h->eof = n == 0;
                h->bulk = n >= (ssize_t) BULK_BYTES;
                carried += (size_t) n;
        }
        return 0;
}

static int side_update(Side *s, const Half *in, const Half *out) {
        uint32_t events = 0;

        if (in->done && out->done)
                return 0;
        if (!in->eof && !in->done && !half_is_blocked(in))
                events |= EPOLLIN;
        if (!out->done && half_is_blocked(out))
                events |= EPOLLOUT;
        /* The kernel reports a hang-up, and the end of both directions, as long as it lasts: where
         * there is nothing to do about it, only turning the watch off helps. */
        if (events == 0 && (s->hung_up || (in->eof && out->done)))
                events = POLLER_OFF;
        return poller_watch_set(&s->watch, events);
}

static void relay_end(Relay *r, int error) {
        r->clean = error >= 0;
        for (unsigned i = 0; i < ELEMENTSOF(r->side); i++)
                poller_watch_remove(&r->side[i].watch);
        r->ended(r->userdata, error);
}

static void relay_on_io(void *userdata, uint32_t revents) {
        Side *s = userdata;
        Relay *r = s->relay;
        unsigned i = s == &r->side[0] ? 0 : 1;
        Half *in = &r->half[i], *out = &r->half[!i];
        int e = 0, error = 0;
        socklen_t len = sizeof error;

        s->hung_up = revents & EPOLLHUP;
        if (revents & EPOLLERR && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) >= 0) {
                /* TCP says EPIPE for a reset after the end of what the other one sent: it has
                 * closed, and takes no more, but what it sent is whole. */
                if (error == EPIPE)
                        half_finish(out);
                else
                        e = -error;
        }
        if (e >= 0 && revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                e = half_pump(in);
        if (e >= 0 && revents & (EPOLLOUT | EPOLLHUP | EPOLLERR) && half_is_blocked(out))
                e = half_pump(out);
        for (unsigned k = 0; e >= 0 && k < ELEMENTSOF(r->side); k++)
                e = side_update(&r->side[k], &r->half[k], &r->half[!k]);
        if (e < 0 || (in->done && out->done))
                relay_end(r, e);
}

int relay_new(RelayLoop *loop,
              int a,
              int b,
              const uint8_t *head,
              size_t head_len,
              RelayCounters *counters,
              RelayEnded ended,
              void *userdata,
              Relay **ret) {
        Relay *relay = NEW(Relay);
        int one = 1, r;

        relay->loop = loop;
        relay->ended = ended;
        relay->userdata = userdata;
        if (!counters)
                counters = &relay->own_counters;
        for (unsigned i = 0; i < ELEMENTSOF(relay->side); i++) {
                relay->side[i] = (Side){ .relay = relay, .fd = i == 0 ? a : b };
                relay->half[i] = (Half){
                        .loop = loop,
                        .from = &relay->side[i],
                        .to = &relay->side[!i],
                        .left = UINT64_MAX,
                        .counter = i == 0 ? &counters->a_to_b : &counters->b_to_a,
                };
        }
        if (head_len > 0) {
                relay->half[0].kept = g_memdup2(head, head_len);
                relay->half[0].kept_len = head_len;
        }
        for (unsigned i = 0; i < ELEMENTSOF(relay->side); i++) {
                Side *s = &relay->side[i];
                uint32_t events = EPOLLIN;

                /* Who writes decides how much goes in a segment, not we. Not TCP: no matter. */
                (void) setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                if (head_len > 0) /* that first */
                        events = i == 0 ? 0 : EPOLLIN | EPOLLOUT;
                r = poller_add(loop->poller, &s->watch, s->fd, events, relay_on_io, s);
                if (r < 0) {
                        relay_free(relay);
                        return r;
                }
        }
        *ret = relay;
        return 0;
}

void relay_limit(Relay *r, uint64_t bytes) {
        r->half[0].left = bytes;
}

Relay *relay_free(Relay *r) {
        static const struct linger reset = { .l_onoff = 1 };

        if (!r)
                return NULL;
        for (unsigned i = 0; i < ELEMENTSOF(r->side); i++) {
                Side *s = &r->side[i];

                poller_watch_remove(&s->watch);
                if (!r->clean)
                        (void) setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
                close(s->fd);
                half_finish(&r->half[i]);
        }
        g_free(r);
        return NULL;
}

size_t relay_kept(const Relay *r) {
        return r->half[0].kept_len + r->half[0].piped + r->half[1].kept_len + r->half[1].piped;
}
