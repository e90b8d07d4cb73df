/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One table of nftables that is ours: made and changed through one netlink socket, which owns it
 * (NFT_TABLE_F_OWNER, Linux 5.12). Nobody else may change it, "flush ruleset" leaves it alone, and
 * the kernel removes it when the socket is closed, however this process ends. Requests to the
 * kernel only, which wait for nobody. Control thread only.
 */

#include "host/nft-batch.h"

typedef struct Nft Nft;

/* One address, and what went from or to it. */
typedef struct NftUsage {
        IpAddr address;
        uint64_t packets, bytes;
} NftUsage;

/* The kernel, or a model of it in tests. */
typedef struct NftOps {
        /* All or nothing. Return: 0, or negative errno: -EPERM, -EEXIST: the table is another's,
         * -EOPNOTSUPP: this kernel cannot. */
        int (*commit)(Nft *n, NftBatch *b);
        /* Return: 1: the table is there and ours, 0: it is not, or negative errno. */
        int (*is_there)(Nft *n);
        /* Elements of a set with counters; @ret of NftUsage, the caller unrefs. */
        int (*read_set)(Nft *n, const char *set, int family, GArray **ret);
        /* How many packets a named counter has counted. */
        int (*read_counter)(Nft *n, const char *name, uint64_t *ret);
        void (*free)(Nft *n);
} NftOps;

struct Nft {
        const NftOps *ops;
        char *table;
};

/* In the network namespace the calling thread is in. Makes nothing yet. */
int nft_open(const char *table, Nft **ret);
/* The table goes. */
Nft *nft_free(Nft *n);
