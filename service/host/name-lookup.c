/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host/name-lookup.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "base/endpoint.h"
#include "base/fd.h"
#include "base/host-port.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/macros.h"

/* All the thread has; its own. */
typedef struct Question {
        NameLookupFunction look;
        int fd; /* what it says goes here */
        char name[DNS_NAME_MAX_LEN + 1];
} Question;

typedef struct Answer {
        int error;
        unsigned n;
        IpAddr addresses[RESOLVED_MAX];
} Answer;

/* One that waits, or is under way. */
typedef struct Lookup {
        char name[DNS_NAME_MAX_LEN + 1];
        ResolverDone done; /* NULL: nobody wants to know any more */
        void *userdata;
} Lookup;

struct NameLookup {
        Resolver resolver;
        sd_event *event;
        NameLookupFunction look;
        GQueue waiting; /* of Lookup; the first is under way while .fd is there */
        int fd;         /* -EBADF: none is */
        sd_event_source *source, *later;
};

/* --- the thread --- */

static int by_getaddrinfo(const char *name, IpAddr *ret, unsigned max) {
        static const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM };
        struct addrinfo *found = NULL;
        unsigned n = 0;
        int r = getaddrinfo(name, NULL, &hints, &found);

        if (r == EAI_NONAME || r == EAI_NODATA)
                return -ENOENT;
        if (r != 0)
                return -EAGAIN;
        for (const struct addrinfo *a = found; a && n < max; a = a->ai_next) {
                Endpoint e;

                if (endpoint_from_sockaddr(a->ai_addr, a->ai_addrlen, &e) >= 0)
                        ret[n++] = endpoint_address(&e);
        }
        freeaddrinfo(found);
        return n > 0 ? (int) n : -ENOENT;
}

static void *look(void *userdata) {
        Question *q = userdata;
        Answer a = {};
        int r = q->look(q->name, a.addresses, RESOLVED_MAX);

        if (r < 0)
                a.error = r;
        else
                a.n = (unsigned) r;
        /* Whoever asked may be gone. */
        (void) !send(q->fd, &a, sizeof a, MSG_NOSIGNAL);
        close(q->fd);
        g_free(q);
        return NULL;
}

/* Takes @q over. */
static int start_thread(Question *q) {
        pthread_attr_t attr;
        sigset_t all, before;
        pthread_t thread;
        int r;

        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        /* Signals are the control thread's. */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&thread, &attr, look, q);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attr);
        if (r < 0) {
                close(q->fd);
                g_free(q);
        }
        return r;
}

/* --- one after the other --- */

static void start_next(NameLookup *l);

static void finish(NameLookup *l, const Answer *a) {
        g_autofree Lookup *done = g_queue_pop_head(&l->waiting);

        l->source = sd_event_source_disable_unref(l->source);
        closep(&l->fd);
        l->fd = -EBADF;
        if (a->error < 0)
                (void) log_debug_errno(a->error, "%s is not found: %m", done->name);
        if (done->done)
                done->done(done->userdata, a->error, a->addresses, a->n);
        start_next(l);
}

static int on_answer(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Answer a = {};
        ssize_t n = recv(fd, &a, sizeof a, 0);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n != sizeof a)
                a = (Answer){ .error = -EIO };
        finish(userdata, &a);
        return 0;
}

static int begin(NameLookup *l, const Lookup *first) {
        int pair[2], r;
        Question *q;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        l->fd = pair[0];
        q = NEW(Question);
        q->look = l->look;
        q->fd = pair[1];
        g_strlcpy(q->name, first->name, sizeof q->name);
        r = start_thread(q);
        if (r < 0)
                return r;
        return sd_event_add_io(l->event, &l->source, l->fd, EPOLLIN, on_answer, l);
}

static int on_later(sd_event_source *source, void *userdata) {
        NameLookup *l = userdata;
        const Lookup *first = g_queue_peek_head(&l->waiting);
        Answer a = {};

        l->later = sd_event_source_disable_unref(l->later);
        a.error = first->done ? begin(l, first) : -ECANCELED;
        if (a.error < 0)
                finish(l, &a);
        return 0;
}

/* In a turn of its own: a failure is told as well, and not from within who asked. */
static void start_next(NameLookup *l) {
        if (l->fd < 0 && !l->later && !g_queue_is_empty(&l->waiting))
                (void) sd_event_add_defer(l->event, &l->later, on_later, l);
}

/* --- ResolverOps --- */

static int op_start(void *self, const char *name, ResolverDone done, void *userdata) {
        NameLookup *l = self;
        Lookup *q;

        if (l->waiting.length >= LOOKUPS_MAX)
                return -ENOBUFS;
        q = NEW(Lookup);
        g_strlcpy(q->name, name, sizeof q->name);
        q->done = done;
        q->userdata = userdata;
        g_queue_push_tail(&l->waiting, q);
        start_next(l);
        return 0;
}

static void op_cancel(void *self, const void *userdata) {
        NameLookup *l = self;

        for (GList *i = l->waiting.head, *next; i; i = next) {
                Lookup *q = i->data;

                next = i->next;
                if (q->userdata != userdata)
                        continue;
                q->done = NULL;
                /* The first has a thread, and the next one waits for its end, or is about to. */
                if (i != l->waiting.head) {
                        g_queue_delete_link(&l->waiting, i);
                        g_free(q);
                }
        }
}

static const ResolverOps ops = { .start = op_start, .cancel = op_cancel };

NameLookup *name_lookup_new(sd_event *event, NameLookupFunction look_function) {
        NameLookup *l = NEW(NameLookup);

        l->resolver = (Resolver){ .ops = &ops, .self = l };
        l->event = sd_event_ref(event);
        l->look = look_function ?: by_getaddrinfo;
        g_queue_init(&l->waiting);
        l->fd = -EBADF;
        return l;
}

NameLookup *name_lookup_free(NameLookup *l) {
        if (!l)
                return NULL;
        l->source = sd_event_source_disable_unref(l->source);
        l->later = sd_event_source_disable_unref(l->later);
        closep(&l->fd);
        g_queue_clear_full(&l->waiting, g_free);
        sd_event_unref(l->event);
        g_free(l);
        return NULL;
}

const Resolver *name_lookup_resolver(const NameLookup *l) {
        return &l->resolver;
}
