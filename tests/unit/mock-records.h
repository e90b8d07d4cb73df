/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A network's keys and signed records of it, for tests. Everything is reproducible: machine N
 * has the key made from the seed byte N. */

#include "core/crypto/identity.h"
#include "core/wire/record.h"

#define MOCK_NOW (UINT64_C(1700000000) * USEC_PER_SEC)

typedef struct MockNetwork {
        Identity *root, *issuer;
        NetworkId id;
        Record *issuer_certificate; /* for ten years, gateway and issuer */
} MockNetwork;

void mock_network_init(MockNetwork *n);
void mock_network_done(MockNetwork *n);

/* @n: below 60000; the network's own keys are above. */
Identity *mock_identity(unsigned n);

/* All: valid from @version, certificates for 30 days, leases and presence for a day; one
 * reference for the caller. */
Record *mock_certificate(
                const MockNetwork *n,
                const Identity *signer,
                const MachineId *machine,
                const char *name,
                unsigned roles,
                usec_t version);
Record *
mock_lease(const MockNetwork *n,
           const Identity *signer,
           const MachineId *machine,
           const char *address,
           usec_t version);
Record *
mock_revocation(const MockNetwork *n, const Identity *signer, const MachineId *machine, usec_t version);
Record *
mock_presence(const MockNetwork *n, const Identity *machine, const char *endpoint, usec_t version);
/* Any body. */
Record *mock_record(const MockNetwork *n, const Identity *signer, const RecordBody *body);
