/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/identity.h"
#include "core/crypto/trust.h"

#define NOW (UINT64_C(1700000000) * USEC_PER_SEC)

enum { ROOT, ISSUER, MEMBER, OTHER, OTHER_ROOT, N_WHO };

/* Who is who is given by the certificates each test signs. */
static Identity *who[N_WHO];

static int setup(void **state) {
        for (unsigned i = 0; i < N_WHO; i++) {
                uint8_t seed[IDENTITY_SEED_SIZE] = { (uint8_t) (i + 1) };

                assert_int_equal(identity_new(seed, &who[i]), 0);
        }
        return 0;
}

static int teardown(void **state) {
        for (unsigned i = 0; i < N_WHO; i++)
                who[i] = identity_free(who[i]);
        return 0;
}

static Record *
sign(unsigned signer, unsigned network, RecordKind kind, unsigned machine, unsigned roles) {
        RecordBody body = {
                .kind = kind,
                .machine = who[machine]->id,
                .version = NOW,
                .not_before = NOW,
                .not_after = NOW + 30 * USEC_PER_DAY,
        };
        Record *r = NULL;

        switch (kind) {
        case RECORD_CERTIFICATE:
                strcpy(body.certificate.name, "host");
                body.certificate.roles = roles;
                break;
        case RECORD_LEASE:
                body.lease.address = ip_from_v4(0x0a000064);
                body.lease.prefix_len = 16;
                strcpy(body.lease.name, "host");
                break;
        case RECORD_REVOCATION:
                body.revocation.reason = (RevocationReason) roles;
                break;
        case RECORD_PRESENCE:
                strcpy(body.presence.software, "test");
                break;
        case _RECORD_KIND_MAX:
                fail();
        }
        assert_int_equal(identity_sign_record(who[signer], &who[network]->id, &body, &r), 0);
        return r;
}

#define NO_CERTIFICATE N_WHO
#define CERT RECORD_CERTIFICATE

static void test_authority(void **state) {
        static const struct {
                const char *what;
                unsigned signer, network;
                RecordKind kind;
                unsigned machine, roles;
                /* The certificate at hand: of whom, with which roles, by whom, in which network. */
                unsigned holder, holder_roles, holder_signer, holder_network;
                TrustVerdict verdict;
        } table[] = {
                /* The root. */
                { "root: certificate", ROOT, ROOT, CERT, MEMBER, ROLE_MEMBER, NO_CERTIFICATE, 0, 0,
                  0, TRUST_OK },
                { "root: issuer", ROOT, ROOT, CERT, ISSUER, ROLE_ISSUER, NO_CERTIFICATE, 0, 0, 0,
                  TRUST_OK },
                { "root: lease", ROOT, ROOT, RECORD_LEASE, MEMBER, 0, NO_CERTIFICATE, 0, 0, 0,
                  TRUST_OK },
                { "root: revocation", ROOT, ROOT, RECORD_REVOCATION, MEMBER, 0, NO_CERTIFICATE, 0,
                  0, 0, TRUST_OK },
                { "root: presence of another", ROOT, ROOT, RECORD_PRESENCE, MEMBER, 0,
                  NO_CERTIFICATE, 0, 0, 0, TRUST_NO_AUTHORITY },
                { "root of another network", OTHER_ROOT, OTHER_ROOT, CERT, MEMBER, ROLE_MEMBER,
                  NO_CERTIFICATE, 0, 0, 0, TRUST_NO_AUTHORITY },
                { "root, meant for another network", ROOT, OTHER_ROOT, CERT, MEMBER, ROLE_MEMBER,
                  NO_CERTIFICATE, 0, 0, 0, TRUST_FORGED },
                /* An issuer. */
                { "issuer: certificate", ISSUER, ROOT, CERT, MEMBER, ROLE_MEMBER | ROLE_GATEWAY,
                  ISSUER, ROLE_ISSUER, ROOT, ROOT, TRUST_OK },
                { "issuer: lease", ISSUER, ROOT, RECORD_LEASE, MEMBER, 0, ISSUER,
                  ROLE_MEMBER | ROLE_ISSUER, ROOT, ROOT, TRUST_OK },
                { "issuer: revocation", ISSUER, ROOT, RECORD_REVOCATION, MEMBER, 0, ISSUER,
                  ROLE_ISSUER, ROOT, ROOT, TRUST_OK },
                { "issuer: presence of another", ISSUER, ROOT, RECORD_PRESENCE, MEMBER, 0, ISSUER,
                  ROLE_ISSUER, ROOT, ROOT, TRUST_NO_AUTHORITY },
                { "issuer: another issuer", ISSUER, ROOT, CERT, OTHER, ROLE_MEMBER | ROLE_ISSUER,
                  ISSUER, ROLE_ISSUER, ROOT, ROOT, TRUST_NO_AUTHORITY },
                { "issuer: itself anew", ISSUER, ROOT, CERT, ISSUER, ROLE_ISSUER, ISSUER,
                  ROLE_ISSUER, ROOT, ROOT, TRUST_NO_AUTHORITY },
                { "issuer: certificate not at hand", ISSUER, ROOT, CERT, MEMBER, ROLE_MEMBER,
                  NO_CERTIFICATE, 0, 0, 0, TRUST_NO_AUTHORITY },
                { "issuer: somebody else's certificate", ISSUER, ROOT, CERT, MEMBER, ROLE_MEMBER,
                  OTHER, ROLE_ISSUER, ROOT, ROOT, TRUST_NO_AUTHORITY },
                { "issuer by an issuer", OTHER, ROOT, CERT, MEMBER, ROLE_MEMBER, OTHER, ROLE_ISSUER,
                  ISSUER, ROOT, TRUST_NO_AUTHORITY },
                { "issuer by itself", OTHER, ROOT, CERT, MEMBER, ROLE_MEMBER, OTHER, ROLE_ISSUER,
                  OTHER, ROOT, TRUST_NO_AUTHORITY },
                { "issuer of another network", ISSUER, ROOT, CERT, MEMBER, ROLE_MEMBER, ISSUER,
                  ROLE_ISSUER, OTHER_ROOT, OTHER_ROOT, TRUST_NO_AUTHORITY },
                { "issuer: its certificate meant for another network", ISSUER, ROOT, CERT, MEMBER,
                  ROLE_MEMBER, ISSUER, ROLE_ISSUER, ROOT, OTHER_ROOT, TRUST_FORGED },
                { "issuer: meant for another network", ISSUER, OTHER_ROOT, RECORD_LEASE, MEMBER, 0,
                  ISSUER, ROLE_ISSUER, ROOT, ROOT, TRUST_FORGED },
                /* A member, even one with every other role. */
                { "member: certificate", MEMBER, ROOT, CERT, OTHER, ROLE_MEMBER, MEMBER,
                  ROLE_MEMBER | ROLE_GATEWAY | ROLE_RELAY, ROOT, ROOT, TRUST_NO_AUTHORITY },
                { "member: own certificate", MEMBER, ROOT, CERT, MEMBER, ROLE_ISSUER, MEMBER,
                  ROLE_MEMBER, ROOT, ROOT, TRUST_NO_AUTHORITY },
                { "member: lease", MEMBER, ROOT, RECORD_LEASE, MEMBER, 0, MEMBER,
                  ROLE_MEMBER | ROLE_GATEWAY, ROOT, ROOT, TRUST_NO_AUTHORITY },
                { "member: own revocation", MEMBER, ROOT, RECORD_REVOCATION, MEMBER, 0, MEMBER,
                  ROLE_MEMBER, ROOT, ROOT, TRUST_NO_AUTHORITY },
                { "member: has lost its key, it says", MEMBER, ROOT, RECORD_REVOCATION, MEMBER,
                  REVOCATION_KEY_LOST, MEMBER, ROLE_MEMBER, ROOT, ROOT, TRUST_NO_AUTHORITY },
                { "member: has left", MEMBER, ROOT, RECORD_REVOCATION, MEMBER, REVOCATION_LEFT,
                  NO_CERTIFICATE, 0, 0, 0, TRUST_OK },
                { "member: another has left", OTHER, ROOT, RECORD_REVOCATION, MEMBER,
                  REVOCATION_LEFT, OTHER, ROLE_MEMBER, ROOT, ROOT, TRUST_NO_AUTHORITY },
                { "member: has left another network", MEMBER, OTHER_ROOT, RECORD_REVOCATION, MEMBER,
                  REVOCATION_LEFT, NO_CERTIFICATE, 0, 0, 0, TRUST_FORGED },
                { "member: presence", MEMBER, ROOT, RECORD_PRESENCE, MEMBER, 0, NO_CERTIFICATE, 0,
                  0, 0, TRUST_OK },
                { "member: another's presence", OTHER, ROOT, RECORD_PRESENCE, MEMBER, 0,
                  NO_CERTIFICATE, 0, 0, 0, TRUST_NO_AUTHORITY },
                { "member: presence in another network", MEMBER, OTHER_ROOT, RECORD_PRESENCE,
                  MEMBER, 0, NO_CERTIFICATE, 0, 0, 0, TRUST_FORGED },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(Record) r =
                                sign(table[i].signer, table[i].network, table[i].kind,
                                     table[i].machine, table[i].roles);
                g_autoptr(Record) holder = NULL;
                TrustVerdict v;

                if (table[i].holder != NO_CERTIFICATE)
                        holder = sign(table[i].holder_signer, table[i].holder_network, CERT,
                                      table[i].holder, table[i].holder_roles);
                v = trust_verify_record(&who[ROOT]->id, r, holder);
                if (v != table[i].verdict)
                        fail_msg("%s: %s, expected %s", table[i].what, trust_verdict_to_string(v),
                                 trust_verdict_to_string(table[i].verdict));
        }
}

static void test_issuer_certificate_of_wrong_kind(void **state) {
        g_autoptr(Record) r = sign(ISSUER, ROOT, CERT, MEMBER, ROLE_MEMBER);
        g_autoptr(Record) lease = sign(ROOT, ROOT, RECORD_LEASE, ISSUER, 0);

        /* What lies in a lease's body where a certificate has its roles is no role. */
        lease->body.certificate.roles = ROLE_ISSUER;
        assert_int_equal(trust_verify_record(&who[ROOT]->id, r, lease), TRUST_NO_AUTHORITY);
}

/* Return: whether the network believes the bytes. */
static bool believed(const uint8_t *bytes, size_t len, const Record *issuer) {
        g_autoptr(Record) r = NULL;

        return record_decode(bytes, len, &r) == 0 &&
               trust_verify_record(&who[ROOT]->id, r, issuer) == TRUST_OK;
}

static void test_forged_bits(void **state) {
        g_autoptr(Record) issuer = sign(ROOT, ROOT, CERT, ISSUER, ROLE_ISSUER);

        for (RecordKind kind = RECORD_CERTIFICATE; kind < _RECORD_KIND_MAX; kind++) {
                unsigned signer = kind == RECORD_PRESENCE ? MEMBER : ISSUER;
                g_autoptr(Record) r = sign(signer, ROOT, kind, MEMBER, ROLE_MEMBER);
                size_t len = g_bytes_get_size(r->bytes);
                g_autofree uint8_t *bytes = g_memdup2(g_bytes_get_data(r->bytes, NULL), len);

                assert_true(believed(bytes, len, issuer));
                for (size_t bit = 0; bit < 8 * len; bit++) {
                        bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
                        if (believed(bytes, len, issuer))
                                fail_msg("%s: bit %zu", record_kind_to_string(kind), bit);
                        bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
                }
        }
        /* And every bit of the issuer's certificate. */
        {
                g_autoptr(Record) r = sign(ISSUER, ROOT, RECORD_LEASE, MEMBER, 0);
                size_t len = g_bytes_get_size(issuer->bytes);
                g_autofree uint8_t *bytes = g_memdup2(g_bytes_get_data(issuer->bytes, NULL), len);

                for (size_t bit = 0; bit < 8 * len; bit++) {
                        g_autoptr(Record) forged = NULL;

                        bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
                        if (record_decode(bytes, len, &forged) == 0)
                                assert_int_not_equal(
                                                trust_verify_record(&who[ROOT]->id, r, forged),
                                                TRUST_OK);
                        bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
                }
        }
}

static void test_validity(void **state) {
        static const usec_t end = NOW + 30 * USEC_PER_DAY;
        static const struct {
                RecordKind kind;
                usec_t realtime;
                TrustVerdict verdict;
        } table[] = {
                { CERT, NOW, TRUST_OK },
                { CERT, NOW - VALIDITY_TOLERANCE, TRUST_OK },
                { CERT, NOW - VALIDITY_TOLERANCE - 1, TRUST_NOT_YET_VALID },
                { CERT, 0, TRUST_NOT_YET_VALID },
                { CERT, end, TRUST_OK },
                { CERT, end + VALIDITY_TOLERANCE, TRUST_OK },
                { CERT, end + VALIDITY_TOLERANCE + 1, TRUST_EXPIRED },
                { CERT, USEC_INFINITY, TRUST_EXPIRED },
                { RECORD_PRESENCE, 0, TRUST_OK },
                { RECORD_PRESENCE, end + VALIDITY_TOLERANCE, TRUST_OK },
                { RECORD_PRESENCE, end + VALIDITY_TOLERANCE + 1, TRUST_EXPIRED },
                { RECORD_LEASE, 0, TRUST_OK },
                { RECORD_LEASE, USEC_INFINITY, TRUST_OK },
                { RECORD_REVOCATION, 0, TRUST_OK },
                { RECORD_REVOCATION, USEC_INFINITY, TRUST_OK },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(Record) r = sign(ROOT, ROOT, table[i].kind, MEMBER, ROLE_MEMBER);

                if (table[i].kind == RECORD_PRESENCE) {
                        record_unref(TAKE_PTR(r));
                        r = sign(MEMBER, ROOT, RECORD_PRESENCE, MEMBER, 0);
                }
                assert_int_equal(trust_check_validity(r, table[i].realtime), table[i].verdict);
        }
}

static void test_validity_at_the_ends_of_time(void **state) {
        g_autoptr(Record) r = sign(ROOT, ROOT, CERT, MEMBER, ROLE_MEMBER);

        r->body.not_before = 0;
        r->body.not_after = USEC_INFINITY;
        assert_int_equal(trust_check_validity(r, 0), TRUST_OK);
        assert_int_equal(trust_check_validity(r, USEC_INFINITY), TRUST_OK);
        r->body.not_before = r->body.not_after;
        assert_int_equal(trust_check_validity(r, USEC_INFINITY), TRUST_OK);
        assert_int_equal(trust_check_validity(r, NOW), TRUST_NOT_YET_VALID);
}

static void test_same_key(void **state) {
        MachineId twin = who[MEMBER]->id;
        uint8_t a[32], b[32];

        assert_true(machine_id_same_key(&twin, &who[MEMBER]->id));
        twin.bytes[31] ^= 0x80;
        assert_false(machine_id_equal(&twin, &who[MEMBER]->id));
        assert_true(machine_id_same_key(&twin, &who[MEMBER]->id));
        /* They are. */
        assert_int_equal(machine_id_to_static(&twin, a), 0);
        assert_int_equal(machine_id_to_static(&who[MEMBER]->id, b), 0);
        assert_memory_equal(a, b, 32);
        for (size_t bit = 0; bit < 255; bit++) {
                twin = who[MEMBER]->id;
                twin.bytes[bit / 8] ^= (uint8_t) (1U << bit % 8);
                assert_false(machine_id_same_key(&twin, &who[MEMBER]->id));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_authority),
                cmocka_unit_test(test_issuer_certificate_of_wrong_kind),
                cmocka_unit_test(test_forged_bits),
                cmocka_unit_test(test_validity),
                cmocka_unit_test(test_validity_at_the_ends_of_time),
                cmocka_unit_test(test_same_key),
        };

        if (sodium_init() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, setup, teardown);
}
