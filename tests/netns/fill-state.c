/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Puts members into the state directory of a gateway that does not run, as if they had joined:
 * fill-state DIR COUNT. For tests of large networks. */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "store/store.h"

typedef struct Fill {
        Store *store;
        Identity *gateway;
        unsigned n;
} Fill;

static int put(const MeshStore *s, const Fill *f, const NetworkId *network, const RecordBody *body) {
        g_autoptr(Record) record = NULL;
        int r = identity_sign_record(f->gateway, network, body, &record);

        return r < 0 ? r : s->ops->put_record(s->self, record);
}

static int put_member(const MeshStore *s, const Fill *f, const NetworkId *network, unsigned i) {
        usec_t now = now_usec(CLOCK_REALTIME);
        RecordBody body = { .version = now, .not_before = now, .not_after = now + 30 * USEC_PER_DAY };
        uint8_t seed[crypto_sign_SEEDBYTES] = { 0xf1, (uint8_t) (i >> 8), (uint8_t) i };
        uint8_t secret[crypto_sign_SECRETKEYBYTES];
        int r;

        crypto_sign_seed_keypair(body.machine.bytes, secret, seed);
        body.kind = RECORD_CERTIFICATE;
        body.certificate.roles = ROLE_MEMBER;
        snprintf(body.certificate.name, sizeof body.certificate.name, "host-%u", i);
        r = put(s, f, network, &body);
        if (r < 0)
                return r;
        memset(&body.certificate, 0, sizeof body.certificate);
        body.kind = RECORD_LEASE;
        body.lease.address = ip_from_v4((10U << 24) + 1000 + i);
        snprintf(body.lease.name, sizeof body.lease.name, "host-%u", i);
        return put(s, f, network, &body);
}

static void fill(void *userdata, const StoredNetwork *network) {
        const Fill *f = userdata;
        MeshStore s = store_mesh(f->store, &network->membership.id);
        int r = s.ops->begin(s.self);

        for (unsigned i = 0; r >= 0 && i < f->n; i++)
                r = put_member(&s, f, &network->membership.id, i);
        if (r >= 0)
                r = s.ops->commit(s.self);
        store_mesh_done(&s);
        if (r < 0) {
                fprintf(stderr, "fill-state: %s\n", g_strerror(-r));
                exit(EXIT_FAILURE);
        }
}

int main(int argc, char **argv) {
        g_autofree char *error = NULL;
        Fill f = {};
        int r;

        if (argc != 3 || sodium_init() < 0)
                return EXIT_FAILURE;
        f.n = (unsigned) atoi(argv[2]);
        r = store_open(argv[1], &f.store, &error);
        if (r >= 0)
                r = store_load_identity(f.store, &f.gateway, &error);
        if (r >= 0)
                r = store_foreach_network(f.store, fill, &f);
        if (r < 0)
                fprintf(stderr, "fill-state: %s\n", error ?: g_strerror(-r));
        identity_free(f.gateway);
        store_close(f.store);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
