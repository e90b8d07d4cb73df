/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Copies between two connected stream sockets, both ways, until both have said that there is no
 * more, or one broke. What it is not: it knows nothing of what is said, and has no timeout; a
 * connection may be silent for days (the dialer's keep-alive ends those whose machine is gone).
 * Control thread only.
 *
 * Theory of operation. A direction reads only when all it has read before is written, so that a
 * reader that does not read closes the window of the one who writes, and what a relay holds is
 * bounded. Little is copied through one buffer that all relays share, and only what the other side
 * does not take at once is kept, on the heap (at most RELAY_BUFFER_SIZE a direction). A direction
 * with much to carry takes a pipe and splices (splice(2)): half the processor time of copying, or
 * less (0.2 to 0.3 s a GB against 0.5 to 0.6 over loopback). It gives the pipe back whenever it is
 * empty, so pipes are few, and an idle connection has none; when all are taken it copies.
 */

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "proxy/poller.h"

typedef struct RelayLoop RelayLoop; /* what the relays of one event loop share */
typedef struct Relay Relay;

#define RELAY_BUFFER_SIZE (64U * 1024U)
/* Four times what the kernel gives unasked; more was no faster. */
#define RELAY_PIPE_SIZE (256U * 1024U)
/* The kernel lets a user have 16384 pages in pipes larger than one page each
 * (/proc/sys/fs/pipe-user-pages-soft); this is an eighth of it. */
#define RELAY_PIPES_MAX 32U

/* Bytes carried; may be shared by many relays. */
typedef struct RelayCounters {
        uint64_t a_to_b, b_to_a;
} RelayCounters;

/* The last thing a relay does, from the event loop; it may free the relay. @error: 0: both sides
 * have ended, else what broke (-ECONNRESET, ...): freeing it resets the other side then, so that
 * nobody takes half a transfer for a whole one. */
typedef void (*RelayEnded)(void *userdata, int error);

/* Sees to it that SIGPIPE does not end the process: unlike send(2), splice(2) cannot be told. */
int relay_loop_new(sd_event *event, RelayLoop **ret);
/* No relay may be left. */
RelayLoop *relay_loop_free(RelayLoop *l);
Poller *relay_loop_poller(const RelayLoop *l); /* for whatever leads to relays */
unsigned relay_loop_pipes(const RelayLoop *l); /* that exist; for tests */

/**
 * relay_new() - join two connections
 * @a, @b: non-blocking; the relay's from now on, also when this fails
 * @head: bytes already read from @a, for @b; copied
 * @counters: may be NULL; must outlive the relay
 */
int relay_new(RelayLoop *loop,
              int a,
              int b,
              const uint8_t *head,
              size_t head_len,
              RelayCounters *counters,
              RelayEnded ended,
              void *userdata,
              Relay **ret);
/* Of what comes from @a, @bytes more are carried (the head of relay_new() not among them), and
 * what follows is thrown away; the end of it is not. Before the first event. */
void relay_limit(Relay *r, uint64_t bytes);
/* Closes both; a relay that has not ended without an error resets them. */
Relay *relay_free(Relay *r);
/* Bytes it holds that a side does not take. For tests. */
size_t relay_kept(const Relay *r);
