/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A model of the kernel's nf_tables: takes batches as the kernel does, all or nothing, and carries
 * out rules on packets that are described, not built. Knows the expressions the daemon uses, and
 * fails the test at any other. */

#include "host/nft.h"

typedef struct ModelPacket {
        const char *iif, *oif;
        int family;
        IpAddr source, destination, original; /* @original: before a translation */
        uint8_t protocol, tcp_flags;
        uint32_t ct_state, ct_status; /* bits */
        bool too_many;                /* of the source's flows */
} ModelPacket;

typedef struct ModelVerdict {
        enum { MODEL_ACCEPT, MODEL_DROP, MODEL_RESET, MODEL_UNREACHABLE } what;
        bool masqueraded, clamped;
} ModelVerdict;

typedef struct NftModel {
        Nft nft;
        bool is_there;
        GHashTable *sets, *chains, *counters; /* by name */
        unsigned commits;
        int fail;      /* the next commit */
        unsigned seen; /* expressions carried out */
} NftModel;

NftModel *nft_model_new(const char *table);
ModelVerdict nft_model_run(NftModel *m, const char *chain, const ModelPacket *p);
/* How many elements a set has; -1: there is no such set. */
int nft_model_set_size(const NftModel *m, const char *set);
