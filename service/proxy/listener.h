/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A listening stream socket of this machine. Keeps others out where the kernel can tell who is
 * there (AF_UNIX: SO_PEERCRED; root and our own user may), and stays calm when the process has no
 * file descriptor left: a reserve lets it take the caller off the queue and turn them away, so that
 * they learn it at once. Control thread only.
 */

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/endpoint.h"

typedef struct Listener Listener;

/* @fd: non-blocking, CLOEXEC, the callee's. It may free the listener. */
typedef void (*ListenerAccepted)(void *userdata, int fd);

typedef struct ListenerStats {
        uint64_t accepted;
        uint64_t strangers;   /* another user's */
        uint64_t turned_away; /* no file descriptor left */
} ListenerStats;

#define LISTENER_BACKLOG 256

/* @fd: listening, e.g. systemd's; the listener's from now on, also when this fails.
 * Return: 0; -EINVAL: not a listening stream socket. */
int listener_new(sd_event *event, int fd, ListenerAccepted accepted, void *userdata, Listener **ret);
/* Closes the socket. The file of a unix socket is its owner's to remove. */
Listener *listener_free(Listener *l);
const ListenerStats *listener_stats(const Listener *l);

/* Make a listening socket. Return: the fd, or negative errno. */
int listener_open(const Endpoint *local);
/* Replaces the file of one that nobody listens on any more; 0600. -EADDRINUSE: somebody does. */
int listener_open_unix(const char *path);

/* Where it listens; not set for a unix socket. */
Endpoint listener_local(int fd);
