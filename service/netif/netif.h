/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Where IP packets enter and leave the virtual network: one contract for tun (omerta0), the
 * userspace stack and the mock of the tests. Batches of buffers of up to 64 KiB that carry
 * offload metadata, not one packet at a time.
 *
 * read_batch() and write_batch() belong to the packet thread, everything else to the control
 * thread. Nothing here blocks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/ip.h"

/* What the producer left to "hardware", as in struct virtio_net_hdr (virtio 1.2, 5.1.6). */
typedef enum GsoType {
        GSO_NONE,
        GSO_TCPV4,
        GSO_TCPV6,
        GSO_UDP, /* UDP_L4: USO */
} GsoType;

typedef struct OffloadInfo {
        GsoType gso_type;
        bool needs_csum;                  /* L4 checksum holds the pseudo header only */
        uint16_t csum_start, csum_offset; /* bytes; from the IP header, from csum_start */
        uint16_t gso_size;                /* payload bytes of a segment, 0 without GSO */
        uint16_t hdr_len;                 /* IP and L4 header */
        bool ecn;                         /* the flow sets CWR (TCP); kept for the tun */
} OffloadInfo;

/* One packet or super-packet read from an interface. */
typedef struct PacketIn {
        uint8_t *data; /* IP header */
        size_t len;
        OffloadInfo offload;
} PacketIn;

/* One packet or super-packet for an interface, gathered without copying. iov[0] starts with the
 * whole IP and L4 header; when coalesced the rest are payloads in order. */
#define PACKET_OUT_IOV_MAX 64U
typedef struct PacketOut {
        struct iovec iov[PACKET_OUT_IOV_MAX];
        unsigned n_iov;
        OffloadInfo offload;
} PacketOut;

typedef struct Netif Netif;

typedef struct NetifOps {
        const char *name; /* "tun", "mock" */
        /* Reads up to @max packets into buffers owned by the interface, valid until the next
         * call. Return: how many; 0: none now; negative errno: the interface is gone. */
        int (*read_batch)(Netif *n, PacketIn *packets, unsigned max);
        /* Return: how many were taken (the rest is dropped by the caller, counted), or
         * negative errno. @ret_refused: the first super-packet that the interface does not take
         * as such, though it said it would; it and what comes after it was not written. @count:
         * there is none. */
        int (*write_batch)(Netif *n, const PacketOut *packets, unsigned count, unsigned *ret_refused);
        /* Readable when read_batch() has something; for epoll. */
        int (*fd)(Netif *n);
        /* Is everything still as configure() left it? NULL: nobody else can touch it. Return: 0;
         * -ENODEV: the interface is gone; other negative errno: configure() may mend it. Then
         * @ret_reason says what is wrong; the caller frees. */
        int (*check)(Netif *n, char **ret_reason);
        /* Addresses (0 to remove: AF_UNSPEC), prefix lengths, MTU; brings it up, and puts back
         * what somebody took away. @address NULL: addresses of both families are left to somebody
         * else, until a call with one, which takes away those that are not given.
         * Return: 0; 1: but for @address6, which this machine does not take; or negative errno. */
        int (*configure)(
                        Netif *n,
                        const IpAddr *address,
                        uint8_t prefix_len,
                        const IpAddr *address6,
                        uint8_t prefix_len6,
                        uint16_t mtu);
        void (*free)(Netif *n);
} NetifOps;

/* Embedded first in every implementation. */
struct Netif {
        const NetifOps *ops;
        char name[16];    /* IFNAMSIZ */
        unsigned ifindex; /* 0: none */
        /* What write_batch() takes besides single packets, and read_batch() may give. */
        bool gso_tcp, gso_udp;
};

static inline Netif *netif_free(Netif *n) {
        if (n)
                n->ops->free(n);
        return NULL;
}
