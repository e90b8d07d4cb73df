/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mock-records.h"

#include <sodium.h>

#include "base/macros.h"

Identity *mock_identity(unsigned n) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { (uint8_t) (n >> 8), (uint8_t) n, 0x55 };
        Identity *i = NULL;
        int r = sodium_init();

        assert(r >= 0);
        r = identity_new(seed, &i);
        assert(r >= 0);
        return i;
}

Record *mock_record(const MockNetwork *n, const Identity *signer, const RecordBody *body) {
        Record *record = NULL;
        int r = identity_sign_record(signer, &n->id, body, &record);

        assert(r >= 0);
        return record;
}

void mock_network_init(MockNetwork *n) {
        RecordBody body = {
                .kind = RECORD_CERTIFICATE,
                .version = MOCK_NOW,
                .not_before = MOCK_NOW - 365 * USEC_PER_DAY,
                .not_after = MOCK_NOW + 3650 * USEC_PER_DAY,
                .certificate = { .name = "gateway",
                                 .roles = ROLE_MEMBER | ROLE_GATEWAY | ROLE_ISSUER | ROLE_RELAY },
        };

        *n = (MockNetwork){ .root = mock_identity(60000), .issuer = mock_identity(60001) };
        n->id = n->root->id;
        body.machine = n->issuer->id;
        n->issuer_certificate = mock_record(n, n->root, &body);
}

void mock_network_done(MockNetwork *n) {
        n->root = identity_free(n->root);
        n->issuer = identity_free(n->issuer);
        g_clear_pointer(&n->issuer_certificate, record_unref);
}

Record *mock_certificate(
                const MockNetwork *n,
                const Identity *signer,
                const MachineId *machine,
                const char *name,
                unsigned roles,
                usec_t version) {
        RecordBody body = {
                .kind = RECORD_CERTIFICATE,
                .machine = *machine,
                .version = version,
                .not_before = version,
                .not_after = version + 30 * USEC_PER_DAY,
                .certificate.roles = roles,
        };

        g_strlcpy(body.certificate.name, name, sizeof(body.certificate.name));
        return mock_record(n, signer, &body);
}

Record *
mock_lease(const MockNetwork *n,
           const Identity *signer,
           const MachineId *machine,
           const char *address,
           usec_t version) {
        RecordBody body = {
                .kind = RECORD_LEASE,
                .machine = *machine,
                .version = version,
                .not_before = version,
                .not_after = version + USEC_PER_DAY,
                .lease = { .prefix_len = 16, .name = "machine" },
        };
        int r = ip_parse(address, &body.lease.address);

        assert(r >= 0);
        return mock_record(n, signer, &body);
}

Record *
mock_revocation(const MockNetwork *n, const Identity *signer, const MachineId *machine, usec_t version) {
        RecordBody body = {
                .kind = RECORD_REVOCATION,
                .machine = *machine,
                .version = version,
        };

        return mock_record(n, signer, &body);
}

Record *
mock_presence(const MockNetwork *n, const Identity *machine, const char *endpoint, usec_t version) {
        RecordBody body = {
                .kind = RECORD_PRESENCE,
                .machine = machine->id,
                .version = version,
                .not_after = version + USEC_PER_DAY,
                .presence.n_endpoints = 1,
        };
        int r = endpoint_parse(endpoint, 18002, &body.presence.endpoints[0]);

        assert(r >= 0);
        return mock_record(n, machine, &body);
}
