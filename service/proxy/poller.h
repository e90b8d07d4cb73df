/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * File descriptors by the thousand behind one source of the event loop. sd-event asks the kernel
 * again for everything that is ready before each single callback, so that with n connections ready
 * each of them costs n; here one question is answered by a batch. Control thread only.
 */

#include <stdint.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>

typedef struct Poller Poller;
typedef struct PollerWatch PollerWatch;

/* @events: EPOLLIN, EPOLLOUT, and EPOLLHUP and EPOLLERR whether wanted or not. It may remove and
 * free any watch, its own included, but not the poller. */
typedef void (*PollerCallback)(void *userdata, uint32_t events);

/* Events that turn a watch off altogether; 0 still reports EPOLLHUP and EPOLLERR. */
#define POLLER_OFF UINT32_MAX

/* Embedded in its owner; all zero: not watched. Removed before that memory goes and before the fd
 * is closed. */
struct PollerWatch {
        Poller *poller;
        int fd;
        uint32_t events;
        PollerCallback callback;
        void *userdata;
};

int poller_new(sd_event *event, int64_t priority, Poller **ret);
/* No watch may be left. */
Poller *poller_free(Poller *p);

int poller_add(Poller *p, PollerWatch *w, int fd, uint32_t events, PollerCallback callback, void *userdata);
/* Return: 0, or negative errno; nothing is done where nothing changes. */
int poller_watch_set(PollerWatch *w, uint32_t events);
void poller_watch_remove(PollerWatch *w);
