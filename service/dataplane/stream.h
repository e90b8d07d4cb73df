/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Datagrams by TCP, for machines whose UDP is blocked: the last resort. Each connection is the other
 * machine's endpoint, from the first byte to the last; what comes by it is handed on as what comes by
 * UDP is, and means no more.
 *
 * Connections are made when the control thread sends to where somebody listens, and accepted. Nothing
 * here waits: each has a bounded queue, and what does not fit is dropped as any router would.
 *
 * Who connects is nobody until something authentic came by it. Till then there are few of them, the
 * oldest makes room for the next, and each has STREAM_PROVE_USEC.
 *
 * The packet thread's alone.
 */

#include "base/limits.h"
#include "dataplane/tx-batch.h"

typedef struct StreamTable StreamTable;

/* IPv4 and IPv6, and the same again while a port is being changed. */
#define STREAM_LISTENERS_MAX 4U
#define STREAMS_MAX (STREAMS_ACCEPTED_MAX + STREAMS_DIALED_MAX)
/* Bytes that wait to be sent by one: two trains. */
#define STREAM_QUEUE_SIZE (128U * 1024U)

typedef struct StreamSink {
        void *userdata;
        /* One datagram; may be overwritten, and stays until deliver(). Must not end any stream.
         * Return: whether it was authentic. */
        bool (*frame)(void *userdata, uint8_t *data, size_t len, const Endpoint *from);
        /* The buffers of those datagrams are used again. */
        void (*deliver)(void *userdata);
        /* A connection by which something authentic came is no more. */
        void (*ended)(void *userdata, const Endpoint *peer);
} StreamSink;

/* @epoll_fd: borrowed; events of a connection have @stream_source + its number as data, those of a
 * listener @listener_source + its number. @drops: of the daemon; borrowed. */
StreamTable *stream_table_new(
                const StreamSink *sink,
                int epoll_fd,
                uint64_t stream_source,
                uint64_t listener_source,
                DropCounters *drops);
StreamTable *stream_table_free(StreamTable *t);

/* @fd: listening; stays the caller's. Return: 0, -ENOSPC, or other negative errno. */
int stream_table_listen(StreamTable *t, int fd);
/* Connections it accepted go on. Return: 0, or -ENOENT. */
int stream_table_unlisten(StreamTable *t, int fd);

/* What epoll said, of a listener or a connection; it may be gone since. @now: monotonic. */
void stream_table_accept(StreamTable *t, unsigned listener, usec_t now);
void stream_table_serve(StreamTable *t, unsigned number, usec_t now);
/* Ends those whose time is over. Return: when next, USEC_INFINITY: there are none. */
usec_t stream_table_look(StreamTable *t, usec_t now);

/* A train by the connection there is to @train->to; what finds none or no room is counted in its drops. */
void stream_table_send(StreamTable *t, const TxTrain *train);
/* One datagram; behind a relay with the header for that. Connects where @to says so and there is none. */
void stream_table_send_one(StreamTable *t, const Endpoint *to, const uint8_t *data, size_t len, usec_t now);
/* Addresses of this machine changed: connections we made that bring nothing authentic at once are
 * closed, so that the next datagram makes one that works. */
void stream_table_doubt(StreamTable *t, usec_t now);
/* How many connections there are. */
unsigned stream_table_count(const StreamTable *t);
