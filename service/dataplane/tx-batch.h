/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Datagrams on their way out. Those for one machine that are equally long form a train, which
 * the kernel takes in one piece (UDP_SEGMENT) and cuts itself; the last one may be shorter. Each
 * is encrypted straight to its place in the buffer. Trains to different machines are open at the
 * same time; those to one machine leave in the order they were begun, so nothing is overtaken.
 */

#include <stdbool.h>
#include <sys/uio.h>

#include "base/drop-reason.h"
#include "base/endpoint.h"

/* Two trains' worth: a super-packet of 64 KiB with its overhead, and what follows it. */
#define TX_BUFFER_SIZE (144U * 1024U)
#define TX_TRAINS_MAX 32U
/* Linux: UDP_MAX_SEGMENTS was 64 until 6.9; and a train is one packet of IP until it is cut, so
 * 65535 less the headers of IPv4 and UDP. */
#define TX_SEGMENTS_MAX 64U
#define TX_TRAIN_SIZE_MAX 65507U
/* Pieces of the buffer; one unless trains to several machines grow side by side. */
#define TX_IOV_MAX 16U

typedef struct TxTrain {
        const void *key; /* whom to */
        Endpoint to;     /* behind a relay: the datagrams have its header already */
        Endpoint second; /* the same goes there too, neither being relayed; unset: nowhere else */
        DropCounters *drops;
        bool single;      /* is not to leave as a train: datagram by datagram */
        uint16_t segment; /* bytes of every datagram but the last */
        uint16_t n;
        uint32_t len;
        unsigned n_iov;
        struct iovec iov[TX_IOV_MAX]; /* each of whole datagrams */
} TxTrain;

typedef struct TxBatch {
        unsigned n; /* trains */
        size_t used;
        uint8_t *buffer;
        TxTrain train[TX_TRAINS_MAX];
} TxBatch;

/**
 * tx_batch_append() - room for one datagram
 * @key: same for the same machine; only compared
 * @second: where it goes too; NULL or unset: nowhere else
 * @single: see TxTrain; the same for the same @key
 * Return: @len bytes to fill, or NULL: the batch is full and must be sent.
 */
uint8_t *
tx_batch_append(TxBatch *b,
                const void *key,
                const Endpoint *to,
                const Endpoint *second,
                DropCounters *drops,
                bool single,
                size_t len);
/* After all trains were sent: leaves those that go to a second place, as trains to there. */
void tx_batch_turn_second(TxBatch *b);
/* Everything was sent or dropped. */
static inline void tx_batch_reset(TxBatch *b) {
        b->n = 0;
        b->used = 0;
}

/* Walks the datagrams of a train: begin with a zeroed cursor. Return: false at the end. */
typedef struct TxCursor {
        unsigned iov;
        size_t offset;
} TxCursor;
bool tx_train_next(const TxTrain *t, TxCursor *c, struct iovec *ret);
