/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A bound UDP socket as the packet thread uses it: trains out with UDP_SEGMENT, trains in with
 * UDP_GRO. */

#include <errno.h>

#include "dataplane/tx-batch.h"

/* Receive calls of one batch, and the longest datagram or train. */
#define UDP_RECEIVE_MAX 8U
#define UDP_BUFFER_SIZE 65536U
/* Of a socket's queue, in bytes; the kernel may give less (udp-socket.c has why so many). */
#define UDP_RECEIVE_BUFFER (160 * 1024)

typedef struct UdpSocket {
        int fd;
        int family;
        bool segment; /* the kernel and its device cut trains */
        bool receive_trains;
        IpAddr lost; /* a train was to leave from here, and did so from elsewhere only; the caller's
                        to clear */
        int error;   /* a train was not sent, since the socket is broken; 0: it is not */
        bool has_told; /* and that was said; both the caller's */
} UdpSocket;

/* Whether an errno of a send or a receive is about the socket, and not about the way or a datagram
 * of ours that came back (ICMP). "ss -K" says ECONNABORTED, once, to whoever comes first. */
static inline bool udp_socket_is_broken(int error) {
        return error == EBADF || error == ENOTSOCK || error == EPIPE || error == ECONNABORTED;
}

typedef struct UdpStats {
        uint64_t sends, receives; /* system calls */
} UdpStats;

/* One thread's buffers. */
typedef struct UdpReceiver UdpReceiver;
UdpReceiver *udp_receiver_new(void);
UdpReceiver *udp_receiver_free(UdpReceiver *r);

typedef struct UdpReceived {
        uint8_t *data;
        size_t len, segment;
        const Endpoint *from; /* with local, where the kernel says */
} UdpReceived;

/* Sets the options named at dataplane_add_socket(). Return: 0 or negative errno. */
int udp_socket_init(UdpSocket *s, int fd);
/**
 * udp_socket_receive() - one recvmmsg()
 * @ret: UDP_RECEIVE_MAX entries, valid until the next call
 * @drops: of what cannot be handed on: nothing in it, cut, from no address
 * Return: how many; 0: nothing there; negative errno: the socket is broken.
 */
int udp_socket_receive(UdpSocket *s, UdpReceiver *r, UdpReceived *ret, UdpStats *stats, DropCounters *drops);
/* How many datagrams the kernel has dropped at this socket since it was made, modulo 2^32: its
 * queue was full, or their checksum was wrong. 0 where the kernel does not tell. */
uint32_t udp_socket_kernel_drops(int fd);
/**
 * udp_socket_send() - trains, in order, each from its to.local, if that is set and an address of
 * this machine
 * What cannot be sent, be it that the socket's buffer is full, is counted in its train's drops.
 */
void udp_socket_send(UdpSocket *s, const TxTrain *trains, unsigned n, UdpStats *stats);
/* One datagram, from @to->local, if that is set and an address of this machine; to a machine behind a
 * relay with the header for that, which trains have already. Any thread.
 * Return: 0 or negative errno. */
int udp_socket_send_one(int fd, const Endpoint *to, const uint8_t *data, size_t len);
/* The same of @n datagrams of @len bytes, one behind the other, as one train; to no relay.
 * Return: 0, or negative errno; -EIO: the device cannot cut trains. */
int udp_socket_send_train(int fd, const Endpoint *to, const uint8_t *data, uint16_t len, unsigned n);
