/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Between omertad and omerta-netns-helper, over a SOCK_SEQPACKET socket pair: one request, one
 * reply. Both come from one build, so structures go as they are. The first reply comes unasked,
 * when the namespace stands or could not be made.
 *
 * A helper that takes the place of one that ended is started with NETNS_AGAIN, and the first
 * message is omertad's: a byte, with the descriptors of the first reply. It enters the namespaces
 * that are there, and says so in a first reply without descriptors.
 */

#include <stddef.h>
#include <sys/types.h>

#include "base/ip.h"

#define NETNS_HELPER_FD 3     /* the helper's end */
#define NETNS_AGAIN "--again" /* its argument */
#define NETNS_INTERFACE "omerta0"

typedef enum NetnsKind {
        NETNS_SOCKET,    /* reply carries it */
        NETNS_CONFIGURE, /* addresses and MTU of NETNS_INTERFACE */
} NetnsKind;

typedef struct NetnsRequest {
        NetnsKind kind;
        int family, type, protocol;
        IpAddr address, address6;
        uint8_t prefix_len, prefix_len6;
        uint16_t mtu;
} NetnsRequest;

/* What the helper was doing when it failed. */
typedef enum NetnsStage {
        NETNS_STAGE_READY,
        NETNS_STAGE_UNSHARE,
        NETNS_STAGE_TUN,
} NetnsStage;

/* fds of the first message, in this order. */
enum {
        NETNS_FD_TUN,
        NETNS_FD_USER,
        NETNS_FD_NET,
        _NETNS_FDS_MAX,
};

typedef struct NetnsReply {
        int error; /* 0, or negative errno */
        NetnsStage stage;
        unsigned ifindex; /* of the tun, in its namespace */
        char text[160];   /* of NETNS_STAGE_TUN: what is missing */
} NetnsReply;

/* Return: 0, or negative errno. */
int netns_send(int fd, const void *data, size_t size, const int *fds, unsigned n_fds);
/**
 * netns_receive() - one message
 * @ret_fds: the caller's, CLOEXEC
 *
 * Return: bytes, 0: the other end is gone; or negative errno: -ETIMEDOUT, -EMFILE, ...
 */
ssize_t
netns_receive(int fd, void *data, size_t size, int ret_fds[static _NETNS_FDS_MAX], unsigned *ret_n_fds);
