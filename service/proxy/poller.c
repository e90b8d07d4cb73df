/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/macros.h"
#include "proxy/poller.h"

/* Callbacks of one wake-up, before others have their turn. */
#define BATCH_MAX 32

struct Poller {
        int epoll_fd;
        sd_event_source *source;
        /* What one question was answered by; a watch that goes leaves no trace in it. */
        struct epoll_event batch[BATCH_MAX];
        int n_batch;
        unsigned n_watches;
};

static int poller_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Poller *p = userdata;

        p->n_batch = epoll_wait(p->epoll_fd, p->batch, BATCH_MAX, 0);
        for (int i = 0; i < p->n_batch; i++) {
                PollerWatch *w = p->batch[i].data.ptr;

                if (w)
                        w->callback(w->userdata, p->batch[i].events);
        }
        p->n_batch = 0;
        return 0;
}

int poller_new(sd_event *event, int64_t priority, Poller **ret) {
        Poller *p = NEW(Poller);
        int r = 0;

        p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (p->epoll_fd < 0)
                r = -errno;
        if (r >= 0)
                r = sd_event_add_io(event, &p->source, p->epoll_fd, EPOLLIN, poller_on_io, p);
        if (r >= 0)
                r = sd_event_source_set_priority(p->source, priority);
        if (r < 0) {
                poller_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

Poller *poller_free(Poller *p) {
        if (!p)
                return NULL;
        assert(p->n_watches == 0);
        sd_event_source_disable_unref(p->source);
        if (p->epoll_fd >= 0)
                close(p->epoll_fd);
        g_free(p);
        return NULL;
}

int poller_add(Poller *p, PollerWatch *w, int fd, uint32_t events, PollerCallback callback, void *userdata) {
        struct epoll_event e = { .events = events, .data.ptr = w };

        assert(!w->poller && events != POLLER_OFF);
        if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
                return -errno;
        *w = (PollerWatch){ p, fd, events, callback, userdata };
        p->n_watches++;
        return 0;
}

/* What the kernel has said already is not to be told any more. */
static void poller_forget(Poller *p, const PollerWatch *w) {
        for (int i = 0; i < p->n_batch; i++)
                if (p->batch[i].data.ptr == w)
                        p->batch[i].data.ptr = NULL;
}

int poller_watch_set(PollerWatch *w, uint32_t events) {
        struct epoll_event e = { .events = events, .data.ptr = w };
        int op = EPOLL_CTL_MOD;

        if (w->events == events)
                return 0;
        if (events == POLLER_OFF) {
                op = EPOLL_CTL_DEL;
                poller_forget(w->poller, w);
        } else if (w->events == POLLER_OFF)
                op = EPOLL_CTL_ADD;
        if (epoll_ctl(w->poller->epoll_fd, op, w->fd, &e) < 0)
                return -errno;
        w->events = events;
        return 0;
}

void poller_watch_remove(PollerWatch *w) {
        if (!w->poller)
                return;
        (void) poller_watch_set(w, POLLER_OFF);
        w->poller->n_watches--;
        *w = (PollerWatch){};
}
