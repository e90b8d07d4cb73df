/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The directory against the slow twin, with records that come in any order. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/directory/directory-internal.h"
#include "mock-channel.h"
#include "mock-records.h"

typedef struct Fixture {
        MockNetwork net;
        MockMesh *mesh; /* the clock */
} Fixture;

static int setup(void **state) {
        Fixture *f = NEW(Fixture);

        mock_network_init(&f->net);
        f->mesh = mock_mesh_new(1);
        mock_mesh_set_realtime(f->mesh, MOCK_NOW);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        mock_mesh_free(f->mesh);
        mock_network_done(&f->net);
        g_free(f);
        return 0;
}

#define CROWD 24

static void add_hash(void *userdata, Record *record) {
        ((uint64_t *) userdata)[record->body.machine.bytes[0]] += read_le64(record->hash);
}

static void check_bucket(void *userdata, Record *record) {
        *(uint64_t *) userdata += read_le64(record->hash);
}

/* Everything the table keeps incrementally, computed from its records. */
static void check_table(Directory *d) {
        uint64_t slow[256] = {}, fast[256];
        unsigned count[_RECORD_KIND_MAX] = {};

        for (GTreeNode *n = g_tree_node_first(d->table.machines); n; n = g_tree_node_next(n)) {
                DirectoryMachine *m = g_tree_node_value(n);
                uint32_t address = lease_claim(m->record[RECORD_LEASE]);

                for (RecordKind k = RECORD_CERTIFICATE; k < _RECORD_KIND_MAX; k++)
                        if (m->record[k]) {
                                add_hash(slow, m->record[k]);
                                count[k]++;
                        }
                if (m->record[RECORD_REVOCATION])
                        assert_false(m->record[RECORD_CERTIFICATE]);
                if (!m->record[RECORD_CERTIFICATE]) {
                        assert_null(m->record[RECORD_LEASE]);
                        assert_null(m->record[RECORD_PRESENCE]);
                }
                if (address)
                        assert_non_null(directory_table_holder(&d->table, address));
        }
        directory_digest(d, fast);
        assert_memory_equal(slow, fast, sizeof(slow));
        assert_memory_equal(count, d->table.count, sizeof(count));
        for (unsigned i = 0; i < 256; i++) {
                uint64_t sum = 0;

                directory_foreach_in_bucket(d, i, check_bucket, &sum);
                assert_int_equal(sum, fast[i]);
        }
}

static Record *random_record(Fixture *f, GRand *rand, Identity *const who[static CROWD]) {
        const Identity *i = who[g_rand_int_range(rand, 0, CROWD)];
        usec_t version = MOCK_NOW + (usec_t) g_rand_int_range(rand, 0, 400) * USEC_PER_HOUR / 100;
        char text[32];
        RecordBody body;
        Record *record;

        switch (g_rand_int_range(rand, 0, 20)) {
        case 0 ... 4:
                snprintf(text, sizeof(text), "m%d", g_rand_int_range(rand, 0, CROWD));
                return mock_certificate(&f->net, f->net.issuer, &i->id, text, ROLE_MEMBER, version);
        case 5 ... 6:
                return mock_presence(&f->net, i, "192.0.2.1:1", version);
        case 7:
                if (g_rand_int_range(rand, 0, 8) == 0)
                        return mock_revocation(&f->net, f->net.issuer, &i->id, version);
                if (g_rand_int_range(rand, 0, 8) == 0) {
                        /* One for each: of several the first stays until an issuer speaks. */
                        body = (RecordBody){
                                .kind = RECORD_REVOCATION,
                                .machine = i->id,
                                .version = MOCK_NOW + USEC_PER_HOUR,
                                .revocation.reason = REVOCATION_LEFT,
                        };
                        return mock_record(&f->net, i, &body);
                }
                return record_ref(f->net.issuer_certificate);
        default:
                /* Few addresses, short leases: overlaps, successions and releases of all kinds. */
                snprintf(text, sizeof(text), "10.0.0.%d", g_rand_int_range(rand, 100, 105));
                record = mock_lease(&f->net, f->net.issuer, &i->id, text, version);
                body = record->body;
                body.not_after = body.not_before +
                                 (usec_t) g_rand_int_range(rand, 0, 3) * USEC_PER_HOUR;
                record_unref(record);
                return mock_record(&f->net, f->net.issuer, &body);
        }
}

static void check_same_holders(Directory *a, Directory *b) {
        for (uint32_t i = 100; i < 105; i++) {
                IpAddr address = ip_from_v4(10U << 24 | i);
                Record *x = directory_lease_of_address(a, &address);
                Record *y = directory_lease_of_address(b, &address);

                assert_true(!x == !y);
                if (x)
                        assert_true(g_bytes_equal(x->bytes, y->bytes));
        }
}

/* Mirrors what an observer would believe of the leases: never two holders, never a surprise. */
static void
mirror(void *userdata,
       RecordKind kind,
       const MachineId *machine,
       const Record *record,
       const Record *old) {
        GHashTable *leases = userdata; /* address -> the record */

        if (kind != RECORD_LEASE)
                return;
        if (lease_claim(old)) {
                assert_ptr_equal(g_hash_table_lookup(leases, GUINT_TO_POINTER(lease_claim(old))), old);
                g_hash_table_remove(leases, GUINT_TO_POINTER(lease_claim(old)));
        }
        if (lease_claim(record)) {
                assert_false(g_hash_table_contains(leases, GUINT_TO_POINTER(lease_claim(record))));
                g_hash_table_insert(leases, GUINT_TO_POINTER(lease_claim(record)), (void *) record);
        }
}

static void test_any_order(void **state) {
        Fixture *f = *state;
        const char *given = g_getenv("SEED");
        uint32_t seed = given ? (uint32_t) strtoul(given, NULL, 0) : g_random_int();
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        Identity *who[CROWD];

        print_message("SEED=%u\n", seed);
        for (unsigned i = 0; i < CROWD; i++)
                who[i] = mock_identity(100 + i);
        for (unsigned round = 0; round < 20; round++) {
                g_autoptr(GPtrArray) records =
                                g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
                g_autoptr(GHashTable) leases = g_hash_table_new(NULL, NULL);
                uint64_t first[256], digest[256];
                Directory *d[3];

                g_ptr_array_add(records, record_ref(f->net.issuer_certificate));
                for (unsigned i = 0; i < 120; i++)
                        g_ptr_array_add(records, random_record(f, rand, who));
                for (unsigned j = 0; j < ELEMENTSOF(d); j++) {
                        assert_int_equal(
                                        directory_new(&f->net.id, mock_mesh_env(f->mesh), NULL, &d[j]),
                                        0);
                        if (j == 0)
                                directory_observe(d[0], mirror, leases);
                        for (unsigned i = records->len - 1; j > 0 && i > 0; i--) {
                                unsigned k = (unsigned) g_rand_int_range(rand, 0, (int) i + 1);
                                void *t = records->pdata[i];

                                records->pdata[i] = records->pdata[k];
                                records->pdata[k] = t;
                        }
                        /* Twice: as gossip would, what was refused for want of a certificate. */
                        for (unsigned i = 0; i < 2 * records->len; i++) {
                                directory_offer(d[j], records->pdata[i % records->len], false, NULL);
                                if (i % 16 == 0)
                                        check_table(d[j]);
                        }
                        check_table(d[j]);
                        directory_digest(d[j], digest);
                        if (j == 0)
                                memcpy(first, digest, sizeof(first));
                        assert_memory_equal(first, digest, sizeof(first));
                        check_same_holders(d[0], d[j]);
                }
                for (uint32_t i = 100; i < 105; i++) {
                        IpAddr address = ip_from_v4(10U << 24 | i);

                        assert_ptr_equal(
                                        directory_lease_of_address(d[0], &address),
                                        g_hash_table_lookup(leases, GUINT_TO_POINTER(10U << 24 | i)));
                }
                for (unsigned j = 0; j < ELEMENTSOF(d); j++)
                        directory_free(d[j]);
        }
        for (unsigned i = 0; i < CROWD; i++)
                identity_free(who[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_any_order, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
