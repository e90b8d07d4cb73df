/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "memory-store.h"
#include "base/macros.h"
#include "core/crypto/kdf.h"
#include "core/mesh/directory/directory-internal.h"
#include "mock-channel.h"
#include "mock-records.h"

/* A directory on the mock's clock, with a store, and a log of what its observers were told. */
typedef struct Fixture {
        MockNetwork net;
        MockMesh *mesh;
        MemoryStore *store;
        Directory *d;
        GString *log;
        Identity *who[4]; /* machines a, b, c, d */
} Fixture;

static char letter_of(const Fixture *f, const MachineId *id) {
        for (unsigned i = 0; i < ELEMENTSOF(f->who); i++)
                if (machine_id_equal(&f->who[i]->id, id))
                        return (char) ('a' + i);
        return machine_id_equal(id, &f->net.issuer->id) ? 'G' : '?';
}

/* "+lease a" came, "-lease a" went, "=lease a" was replaced. */
static void
observe(void *userdata,
        RecordKind kind,
        const MachineId *machine,
        const Record *record,
        const Record *old) {
        Fixture *f = userdata;

        assert_true(record || old);
        g_string_append_printf(
                        f->log, "%c%s %c;",
                        record && old ? '='
                        : record      ? '+'
                                      : '-',
                        record_kind_to_string(kind), letter_of(f, machine));
}

static void open_directory(Fixture *f) {
        int r = directory_new(&f->net.id, mock_mesh_env(f->mesh), memory_store_mesh(f->store), &f->d);

        assert_int_equal(r, 0);
        directory_observe(f->d, observe, f);
}

static void reopen(Fixture *f) {
        f->d = directory_free(f->d);
        memory_store_lose_power(f->store);
        open_directory(f);
}

static int setup(void **state) {
        Fixture *f = NEW(Fixture);

        mock_network_init(&f->net);
        f->mesh = mock_mesh_new(1);
        mock_mesh_set_realtime(f->mesh, MOCK_NOW);
        f->store = memory_store_new();
        f->log = g_string_new(NULL);
        for (unsigned i = 0; i < ELEMENTSOF(f->who); i++)
                f->who[i] = mock_identity(i + 1);
        open_directory(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        directory_free(f->d);
        memory_store_free(f->store);
        mock_mesh_free(f->mesh);
        mock_network_done(&f->net);
        for (unsigned i = 0; i < ELEMENTSOF(f->who); i++)
                identity_free(f->who[i]);
        g_string_free(f->log, TRUE);
        g_free(f);
        return 0;
}

static void expect_log(Fixture *f, const char *text) {
        assert_string_equal(f->log->str, text);
        g_string_truncate(f->log, 0);
}

/* Consumes @record. */
static int offer(Fixture *f, Record *record) {
        int r = directory_offer(f->d, record, false, NULL);

        record_unref(record);
        return r;
}

/* Consumes @record. */
static TrustVerdict refused(Fixture *f, Record *record) {
        TrustVerdict v = TRUST_OK;

        assert_int_equal(directory_offer(f->d, record, false, &v), DIRECTORY_REFUSED);
        record_unref(record);
        return v;
}

static Record *certificate(Fixture *f, unsigned who, const char *name, usec_t version) {
        return mock_certificate(&f->net, f->net.issuer, &f->who[who]->id, name, ROLE_MEMBER, version);
}

static Record *lease(Fixture *f, unsigned who, const char *address, usec_t version) {
        return mock_lease(&f->net, f->net.issuer, &f->who[who]->id, address, version);
}

static Record *revocation(Fixture *f, unsigned who) {
        return mock_revocation(&f->net, f->net.issuer, &f->who[who]->id, MOCK_NOW);
}

/* Gateway, and a to d as members. */
static void enrol_all(Fixture *f) {
        static const char *const names[] = { "anna", "bert", "carl", "dora" };

        assert_int_equal(offer(f, record_ref(f->net.issuer_certificate)), DIRECTORY_NEWS);
        for (unsigned i = 0; i < ELEMENTSOF(f->who); i++)
                assert_int_equal(offer(f, certificate(f, i, names[i], MOCK_NOW)), DIRECTORY_NEWS);
        g_string_truncate(f->log, 0);
}

/* "abG": who holds it; '-': nobody. */
static char holder(Fixture *f, const char *address) {
        IpAddr a;
        Record *r;

        assert_int_equal(ip_parse(address, &a), 0);
        r = directory_lease_of_address(f->d, &a);
        return r ? letter_of(f, &r->body.machine) : '-';
}

/* --- who is believed --- */

static void test_authority(void **state) {
        Fixture *f = *state;
        g_autoptr(Record) tampered = NULL;
        Record *good;
        size_t len;
        g_autofree uint8_t *bytes = NULL;

        enrol_all(f);
        /* A machine may say nothing but its own presence. */
        assert_int_equal(
                        refused(f, mock_certificate(
                                                   &f->net, f->who[0], &f->who[0]->id, "anna",
                                                   ROLE_MEMBER | ROLE_GATEWAY, MOCK_NOW + 1)),
                        TRUST_NO_AUTHORITY);
        assert_int_equal(
                        refused(f, mock_lease(&f->net, f->who[0], &f->who[0]->id, "10.0.0.1",
                                              MOCK_NOW)),
                        TRUST_NO_AUTHORITY);
        assert_int_equal(
                        refused(f, mock_revocation(&f->net, f->who[0], &f->who[1]->id, MOCK_NOW)),
                        TRUST_NO_AUTHORITY);
        assert_int_equal(
                        offer(f, mock_presence(&f->net, f->who[0], "192.0.2.1:1", MOCK_NOW)),
                        DIRECTORY_NEWS);
        /* Nor may an issuer make another. */
        assert_int_equal(
                        refused(f, mock_certificate(
                                                   &f->net, f->net.issuer, &f->who[0]->id, "anna",
                                                   ROLE_MEMBER | ROLE_ISSUER, MOCK_NOW + 1)),
                        TRUST_NO_AUTHORITY);
        /* Or undo the root, or take what it gave. */
        assert_int_equal(
                        refused(f, mock_revocation(&f->net, f->net.issuer, &f->net.id, MOCK_NOW)),
                        TRUST_NO_AUTHORITY);
        assert_int_equal(
                        offer(f, mock_certificate(
                                                 &f->net, f->net.issuer, &f->net.issuer->id,
                                                 "gateway", ROLE_MEMBER, MOCK_NOW + 5)),
                        DIRECTORY_KNOWN);
        /* The root may, with an older version too: the same in either order. */
        assert_int_equal(
                        offer(f, mock_certificate(
                                                 &f->net, f->net.root, &f->who[1]->id, "second",
                                                 ROLE_MEMBER | ROLE_ISSUER, MOCK_NOW - 5)),
                        DIRECTORY_NEWS);
        assert_non_null(directory_issuer(f->d, &f->who[1]->id));
        /* A bit changed. */
        good = lease(f, 0, "10.0.0.100", MOCK_NOW);
        len = g_bytes_get_size(good->bytes);
        bytes = g_memdup2(g_bytes_get_data(good->bytes, NULL), len);
        record_unref(good);
        bytes[len - 1] ^= 1;
        assert_int_equal(record_decode(bytes, len, &tampered), 0);
        assert_int_equal(refused(f, record_ref(tampered)), TRUST_FORGED);
        assert_int_equal(holder(f, "10.0.0.100"), '-');
}

static void test_newer_wins(void **state) {
        Fixture *f = *state;

        enrol_all(f);
        assert_int_equal(offer(f, certificate(f, 0, "anna", MOCK_NOW)), DIRECTORY_KNOWN);
        assert_int_equal(offer(f, certificate(f, 0, "old", MOCK_NOW - 1)), DIRECTORY_KNOWN);
        assert_int_equal(offer(f, certificate(f, 0, "new", MOCK_NOW + 1)), DIRECTORY_NEWS);
        expect_log(f, "=certificate a;");
        assert_string_equal(directory_certificate(f->d, &f->who[0]->id)->body.certificate.name, "new");
        assert_int_equal(directory_count(f->d, RECORD_CERTIFICATE), 5);
}

static void test_waiting(void **state) {
        Fixture *f = *state;

        /* In the worst order: everything waits for the one before it. */
        assert_int_equal(
                        offer(f, mock_presence(&f->net, f->who[0], "192.0.2.1:1", MOCK_NOW)),
                        DIRECTORY_WAITING);
        assert_int_equal(offer(f, lease(f, 0, "10.0.0.100", MOCK_NOW)), DIRECTORY_WAITING);
        assert_int_equal(offer(f, certificate(f, 0, "anna", MOCK_NOW)), DIRECTORY_WAITING);
        assert_int_equal(offer(f, certificate(f, 0, "anna", MOCK_NOW)), DIRECTORY_WAITING);
        expect_log(f, "");
        assert_int_equal(f->d->waiting.length, 3);
        assert_int_equal(offer(f, record_ref(f->net.issuer_certificate)), DIRECTORY_NEWS);
        expect_log(f, "+certificate G;+certificate a;+presence a;+lease a;");
        assert_int_equal(f->d->waiting.length, 0);

        /* Bounded: strangers cannot fill the memory, and the oldest goes first. */
        for (unsigned i = 0; i < DIRECTORY_WAITING_MAX + 10; i++)
                assert_int_equal(
                                offer(f, mock_presence(&f->net, f->who[1], "192.0.2.1:1",
                                                       MOCK_NOW + i)),
                                DIRECTORY_WAITING);
        assert_int_equal(f->d->waiting.length, DIRECTORY_WAITING_MAX);
        assert_int_equal(((Record *) f->d->waiting.head->data)->body.version, MOCK_NOW + 10);
}

static void test_revocation(void **state) {
        Fixture *f = *state;
        Identity *a = f->who[0];
        MachineId twin = directory_twin(&a->id);

        enrol_all(f);
        offer(f, lease(f, 0, "10.0.0.100", MOCK_NOW));
        offer(f, mock_presence(&f->net, a, "192.0.2.1:1", MOCK_NOW));
        g_string_truncate(f->log, 0);

        assert_int_equal(offer(f, revocation(f, 0)), DIRECTORY_NEWS);
        expect_log(f, "+revocation a;-lease a;-presence a;-certificate a;");
        assert_null(directory_certificate(f->d, &a->id));
        assert_int_equal(holder(f, "10.0.0.100"), '-');
        assert_true(directory_is_revoked(f->d, &a->id));

        /* For ever, whatever is newer, and for the same key under its other name too. */
        assert_int_equal(refused(f, certificate(f, 0, "anna", MOCK_NOW + 5)), TRUST_REVOKED);
        assert_int_equal(refused(f, lease(f, 0, "10.0.0.100", MOCK_NOW + 5)), TRUST_REVOKED);
        assert_int_equal(
                        refused(f, mock_presence(&f->net, a, "192.0.2.1:1", MOCK_NOW + 5)),
                        TRUST_REVOKED);
        assert_true(machine_id_same_key(&a->id, &twin));
        assert_false(machine_id_equal(&a->id, &twin));
        assert_true(directory_is_revoked(f->d, &twin));
        assert_int_equal(
                        refused(f, mock_certificate(
                                                   &f->net, f->net.issuer, &twin, "anna",
                                                   ROLE_MEMBER, MOCK_NOW + 5)),
                        TRUST_REVOKED);

        /* The twin's certificate is void too if it was there first. */
        twin = directory_twin(&f->who[1]->id);
        assert_int_equal(
                        offer(f, mock_certificate(
                                                 &f->net, f->net.issuer, &twin, "twin", ROLE_MEMBER,
                                                 MOCK_NOW)),
                        DIRECTORY_NEWS);
        assert_int_equal(offer(f, revocation(f, 1)), DIRECTORY_NEWS);
        assert_null(directory_certificate(f->d, &twin));
        assert_null(directory_certificate(f->d, &f->who[1]->id));

        /* It is remembered over a restart. */
        assert_int_equal(directory_flush(f->d), 0);
        reopen(f);
        assert_true(directory_is_revoked(f->d, &a->id));
        assert_int_equal(refused(f, certificate(f, 0, "anna", MOCK_NOW + 5)), TRUST_REVOKED);
        /* A machine nobody has heard of can be revoked as well. */
        g_string_truncate(f->log, 0);
        twin = mock_machine_id(9);
        assert_int_equal(
                        offer(f, mock_revocation(&f->net, f->net.issuer, &twin, MOCK_NOW)),
                        DIRECTORY_NEWS);
        expect_log(f, "+revocation ?;");
}

/* What an issuer signed counts by the time it was signed at, whatever time it is now. */
static void test_issuer_validity(void **state) {
        Fixture *f = *state;
        g_autoptr(Record) second_certificate = NULL;
        Identity *second = mock_identity(50);
        RecordBody body = f->net.issuer_certificate->body;

        body.machine = second->id;
        g_strlcpy(body.certificate.name, "second", sizeof(body.certificate.name));
        body.not_before = MOCK_NOW - 100 * USEC_PER_DAY;
        body.not_after = MOCK_NOW - 50 * USEC_PER_DAY;
        body.version = body.not_before;
        second_certificate = mock_record(&f->net, f->net.root, &body);
        enrol_all(f);
        assert_int_equal(offer(f, record_ref(second_certificate)), DIRECTORY_NEWS);
        assert_int_equal(
                        refused(f, mock_lease(&f->net, second, &f->who[0]->id, "10.0.0.9", MOCK_NOW)),
                        TRUST_EXPIRED);
        assert_int_equal(
                        refused(f, mock_lease(&f->net, second, &f->who[0]->id, "10.0.0.9",
                                              body.not_before - 2 * USEC_PER_DAY)),
                        TRUST_NOT_YET_VALID);
        assert_int_equal(
                        refused(f, mock_revocation(&f->net, second, &f->who[0]->id, MOCK_NOW)),
                        TRUST_EXPIRED);
        assert_int_equal(holder(f, "10.0.0.9"), '-');
        assert_int_equal(
                        offer(f, mock_lease(&f->net, second, &f->who[0]->id, "10.0.0.9",
                                            body.not_before + USEC_PER_DAY)),
                        DIRECTORY_NEWS);
        assert_int_equal(holder(f, "10.0.0.9"), 'a');
        identity_free(second);
}

static void test_revoked_issuer(void **state) {
        Fixture *f = *state;
        g_autoptr(Record) second_certificate = NULL;
        Identity *second = mock_identity(50);
        RecordBody body = f->net.issuer_certificate->body;

        body.machine = second->id;
        g_strlcpy(body.certificate.name, "second", sizeof(body.certificate.name));
        second_certificate = mock_record(&f->net, f->net.root, &body);
        enrol_all(f);
        assert_int_equal(offer(f, record_ref(second_certificate)), DIRECTORY_NEWS);
        /* The second issuer renews a, gives b an address and revokes c. */
        offer(f,
              mock_certificate(&f->net, second, &f->who[0]->id, "anna", ROLE_MEMBER, MOCK_NOW + 1));
        offer(f, lease(f, 0, "10.0.0.100", MOCK_NOW));
        offer(f, mock_lease(&f->net, second, &f->who[1]->id, "10.0.0.101", MOCK_NOW));
        offer(f, mock_revocation(&f->net, second, &f->who[2]->id, MOCK_NOW));
        g_string_truncate(f->log, 0);

        assert_int_equal(
                        offer(f, mock_revocation(&f->net, f->net.issuer, &second->id, MOCK_NOW)),
                        DIRECTORY_NEWS);
        assert_null(directory_certificate(f->d, &f->who[0]->id));
        assert_int_equal(holder(f, "10.0.0.100"), '-');
        assert_non_null(directory_certificate(f->d, &f->who[1]->id));
        assert_int_equal(holder(f, "10.0.0.101"), '-');
        assert_true(directory_is_revoked(f->d, &f->who[2]->id));
        assert_int_equal(
                        refused(f, mock_certificate(
                                                   &f->net, second, &f->who[0]->id, "anna",
                                                   ROLE_MEMBER, MOCK_NOW + 9)),
                        TRUST_REVOKED);
        assert_int_equal(offer(f, certificate(f, 0, "anna", MOCK_NOW + 9)), DIRECTORY_NEWS);
        identity_free(second);
}

/* --- leases --- */

static void test_leases(void **state) {
        Fixture *f = *state;
        g_autoptr(Record) released = NULL;
        RecordBody body;

        enrol_all(f);
        assert_int_equal(offer(f, lease(f, 0, "10.0.0.100", MOCK_NOW)), DIRECTORY_NEWS);
        expect_log(f, "+lease a;");
        assert_int_equal(holder(f, "10.0.0.100"), 'a');

        /* Another address for the same machine frees the first. */
        assert_int_equal(offer(f, lease(f, 0, "10.0.0.101", MOCK_NOW + 1)), DIRECTORY_NEWS);
        expect_log(f, "=lease a;");
        assert_int_equal(holder(f, "10.0.0.100"), '-');
        assert_int_equal(holder(f, "10.0.0.101"), 'a');

        /* Given to two by issuers that could not see each other: the earlier keeps it. */
        assert_int_equal(offer(f, lease(f, 1, "10.0.0.101", MOCK_NOW + 2)), DIRECTORY_LOST);
        expect_log(f, "");
        assert_int_equal(holder(f, "10.0.0.101"), 'a');
        assert_null(directory_get(f->d, RECORD_LEASE, &f->who[1]->id));
        assert_int_equal(offer(f, lease(f, 2, "10.0.0.101", MOCK_NOW)), DIRECTORY_NEWS);
        expect_log(f, "-lease a;+lease c;");
        assert_int_equal(holder(f, "10.0.0.101"), 'c');

        /* The loser of before has the next claim when it is released. */
        body = directory_get(f->d, RECORD_LEASE, &f->who[2]->id)->body;
        body.version++;
        body.not_after = body.not_before;
        released = mock_record(&f->net, f->net.issuer, &body);
        assert_int_equal(offer(f, record_ref(released)), DIRECTORY_NEWS);
        expect_log(f, "=lease c;+lease a;");
        assert_non_null(directory_get(f->d, RECORD_LEASE, &f->who[2]->id));

        /* One that ends at the very moment at which the next begins is over. */
        g_string_truncate(f->log, 0);
        mock_mesh_run(f->mesh, USEC_PER_DAY); /* or it would be from the future */
        assert_int_equal(
                        offer(f, lease(f, 3, "10.0.0.101", MOCK_NOW + 1 + USEC_PER_DAY)),
                        DIRECTORY_NEWS);
        expect_log(f, "-lease a;+lease d;");
        assert_int_equal(
                        offer(f, lease(f, 3, "10.0.0.103", MOCK_NOW + 2 + USEC_PER_DAY)),
                        DIRECTORY_NEWS);
        expect_log(f, "=lease d;+lease a;");

        /* An ended lease is honoured until the address is given to somebody else. */
        mock_mesh_run(f->mesh, 3 * USEC_PER_DAY);
        assert_int_equal(holder(f, "10.0.0.101"), 'a');
        g_string_truncate(f->log, 0);
        assert_int_equal(
                        offer(f, lease(f, 3, "10.0.0.101", MOCK_NOW + 2 * USEC_PER_DAY)),
                        DIRECTORY_NEWS);
        expect_log(f, "-lease a;=lease d;");
        assert_int_equal(holder(f, "10.0.0.101"), 'd');
}

/* --- clock --- */

/* Whether @who's certificate counts. */
static DropReason check(Fixture *f, unsigned who, bool honour_expired) {
        return directory_check_member(f->d, &f->who[who]->id, honour_expired);
}

static void test_clock(void **state) {
        Fixture *f = *state;

        /* A dead clock battery: the first signed record says what time it is at least. */
        mock_mesh_set_realtime(f->mesh, 0);
        enrol_all(f);
        assert_int_equal(directory_realtime(f->d), MOCK_NOW);
        assert_int_equal(check(f, 0, false), DROP_NONE);
        /* What a machine says of itself says nothing. */
        offer(f, mock_presence(&f->net, f->who[0], "192.0.2.1:1", MOCK_NOW + USEC_PER_DAY));
        assert_int_equal(directory_realtime(f->d), MOCK_NOW);
        assert_int_equal(directory_next_version(f->d, RECORD_LEASE, &f->who[0]->id), MOCK_NOW);
        assert_int_equal(directory_next_version(f->d, RECORD_CERTIFICATE, &f->who[0]->id), MOCK_NOW + 1);
        /* Also after a restart. */
        assert_int_equal(directory_flush(f->d), 0);
        reopen(f);
        assert_int_equal(directory_realtime(f->d), MOCK_NOW);

        /* A clock far ahead makes nobody forget anything. */
        mock_mesh_set_realtime(f->mesh, MOCK_NOW + 20000 * USEC_PER_DAY);
        mock_mesh_run(f->mesh, 3 * USEC_PER_HOUR);
        assert_int_equal(directory_count(f->d, RECORD_CERTIFICATE), 5);
        assert_int_equal(directory_count(f->d, RECORD_PRESENCE), 1);
        assert_int_equal(check(f, 0, false), DROP_CERTIFICATE_EXPIRED);
        /* When it is right again nothing is left of that. */
        mock_mesh_set_realtime(f->mesh, MOCK_NOW);
        assert_int_equal(check(f, 0, false), DROP_NONE);
}

/* Signed by somebody whose clock is ahead of ours: not taken in place of what is good now, and our
 * clock stays what it is. */
static void test_from_the_future(void **state) {
        Fixture *f = *state;
        const usec_t ahead = MOCK_NOW + 40 * USEC_PER_DAY;
        g_autoptr(Record) future = certificate(f, 1, "bert", ahead);

        enrol_all(f);
        offer(f, lease(f, 1, "10.0.0.100", MOCK_NOW));
        assert_int_equal(refused(f, record_ref(future)), TRUST_NOT_YET_VALID);
        assert_int_equal(refused(f, lease(f, 1, "10.0.0.101", ahead)), TRUST_NOT_YET_VALID);
        assert_int_equal(directory_realtime(f->d), MOCK_NOW);
        assert_int_equal(check(f, 1, false), DROP_NONE);
        assert_int_equal(
                        directory_check_peer(f->d, future, f->net.issuer_certificate, false),
                        DROP_NONE);
        assert_int_equal(holder(f, "10.0.0.100"), 'b');
        /* Within the tolerance nobody minds. */
        assert_int_equal(offer(f, certificate(f, 1, "bert", MOCK_NOW + USEC_PER_DAY)), DIRECTORY_NEWS);
        assert_int_equal(check(f, 1, false), DROP_NONE);
        /* Held, not refused for good: it counts when its time has come. */
        mock_mesh_set_realtime(f->mesh, ahead);
        assert_int_equal(offer(f, record_ref(future)), DIRECTORY_NEWS);
        assert_int_equal(check(f, 1, false), DROP_NONE);
        /* A revocation counts whatever the clocks say. */
        assert_int_equal(
                        offer(f, mock_revocation(&f->net, f->net.issuer, &f->who[2]->id,
                                                 ahead + 400 * USEC_PER_DAY)),
                        DIRECTORY_NEWS);
        assert_int_equal(check(f, 2, true), DROP_REVOKED);
}

/* Beyond its end a certificate counts as long as it says itself, where no issuer is. */
static void test_grace(void **state) {
        Fixture *f = *state;
        RecordBody body = {
                .kind = RECORD_CERTIFICATE,
                .machine = f->who[0]->id,
                .version = MOCK_NOW + 1,
                .not_before = MOCK_NOW,
                .not_after = MOCK_NOW + 30 * USEC_PER_DAY,
                .certificate = { .name = "anna", .roles = ROLE_MEMBER, .grace = 60 * USEC_PER_DAY },
        };

        enrol_all(f);
        offer(f, mock_record(&f->net, f->net.issuer, &body));
        mock_mesh_set_realtime(f->mesh, MOCK_NOW + 31 * USEC_PER_DAY);
        assert_int_equal(check(f, 0, false), DROP_NONE); /* tolerance */
        mock_mesh_set_realtime(f->mesh, MOCK_NOW + 31 * USEC_PER_DAY + 1);
        assert_int_equal(check(f, 0, false), DROP_CERTIFICATE_EXPIRED);
        assert_int_equal(check(f, 0, true), DROP_NONE);
        assert_int_equal(check(f, 1, true), DROP_CERTIFICATE_EXPIRED); /* it says nothing */
        mock_mesh_set_realtime(f->mesh, MOCK_NOW + 90 * USEC_PER_DAY);
        assert_int_equal(check(f, 0, true), DROP_NONE);
        mock_mesh_set_realtime(f->mesh, MOCK_NOW + 90 * USEC_PER_DAY + 1);
        assert_int_equal(check(f, 0, true), DROP_CERTIFICATE_EXPIRED);
        assert_int_equal(check(f, 3, true), DROP_CERTIFICATE_EXPIRED);
        offer(f, revocation(f, 0));
        assert_int_equal(check(f, 0, true), DROP_REVOKED);
}

static void test_check_peer(void **state) {
        Fixture *f = *state;
        g_autoptr(Record) a = certificate(f, 0, "anna", MOCK_NOW);
        g_autoptr(Record) b = certificate(f, 1, "bert", MOCK_NOW - 40 * USEC_PER_DAY);
        g_autoptr(Record) c = certificate(f, 2, "carl", MOCK_NOW - 30 * USEC_PER_DAY - USEC_PER_HOUR);
        g_autoptr(Record) forged = mock_certificate(
                        &f->net, f->who[1], &f->who[3]->id, "dora", ROLE_MEMBER, MOCK_NOW);
        g_autoptr(Record) presence = mock_presence(&f->net, f->who[0], "192.0.2.1:1", MOCK_NOW);
        MockNetwork foreign;

        /* Strangers introduce themselves, with what is needed to check them. */
        assert_int_equal(directory_check_peer(f->d, a, NULL, false), DROP_NOT_A_MEMBER);
        assert_int_equal(directory_check_peer(f->d, a, f->net.issuer_certificate, false), DROP_NONE);
        assert_ptr_equal(directory_certificate(f->d, &f->who[0]->id), a);
        assert_int_equal(directory_check_peer(f->d, a, NULL, false), DROP_NONE);
        assert_int_equal(directory_check_peer(f->d, b, NULL, false), DROP_CERTIFICATE_EXPIRED);
        assert_int_equal(directory_check_peer(f->d, c, NULL, false), DROP_NONE); /* within tolerance */
        assert_int_equal(directory_check_peer(f->d, forged, NULL, false), DROP_NOT_A_MEMBER);
        assert_int_equal(directory_check_peer(f->d, presence, NULL, false), DROP_NOT_A_MEMBER);
        assert_int_equal(directory_check_peer(f->d, a, presence, false), DROP_NOT_A_MEMBER);
        assert_int_equal(directory_check_peer(f->d, f->net.issuer_certificate, NULL, false), DROP_NONE);

        /* Another network's chain is complete, and nothing here. */
        foreign = f->net;
        foreign.id = f->who[3]->id;
        g_autoptr(Record) foreign_issuer = mock_certificate(
                        &foreign, f->who[3], &f->who[2]->id, "gw", ROLE_ISSUER, MOCK_NOW);
        g_autoptr(Record) stranger = mock_certificate(
                        &foreign, f->who[2], &f->who[3]->id, "x", ROLE_MEMBER, MOCK_NOW);
        assert_int_equal(directory_check_peer(f->d, stranger, foreign_issuer, false), DROP_NOT_A_MEMBER);

        /* An older one that is still good, of a machine that has renewed. */
        offer(f, certificate(f, 0, "anna", MOCK_NOW + 7));
        assert_int_equal(directory_check_peer(f->d, a, NULL, false), DROP_NONE);
        offer(f, revocation(f, 0));
        assert_int_equal(directory_check_peer(f->d, a, NULL, false), DROP_REVOKED);
}

/* --- looking --- */

static void test_find(void **state) {
        Fixture *f = *state;
        MachineIdText text = machine_id_format(&f->who[2]->id);
        IpAddr ula = ula_address(&f->net.id, &f->who[1]->id);
        g_autofree char *upper = g_ascii_strup(text.text, -1);
        struct {
                const char *text;
                char who; /* '-': -ENOENT, '2': -ENOTUNIQ */
        } table[] = {
                { "anna", 'a' },
                { "Bert", 'b' },
                { "BERT", 'b' },
                { "bertha", '-' },
                { "10.0.0.100", 'd' },
                { "10.0.0.101", '-' },
                { text.text, 'c' },
                { upper, 'c' },
                { ip_format(&ula).text, 'b' },
                { "", '-' },
                { "2001:db8::1", '-' },
                { "gateway", 'G' },
                { "not.a.machine", '-' },
                { "two", '2' },
        };
        char prefix[MACHINE_ID_TEXT_LEN + 2];
        MachineId id;

        enrol_all(f);
        offer(f, lease(f, 3, "10.0.0.100", MOCK_NOW));
        for (unsigned i = 60; i < 62; i++) {
                Identity *twin = mock_identity(i);

                offer(f, mock_certificate(
                                         &f->net, f->net.issuer, &twin->id, "two", ROLE_MEMBER,
                                         MOCK_NOW));
                identity_free(twin);
        }
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                int r = directory_find(f->d, table[i].text, &id);

                if (table[i].who == '-')
                        assert_int_equal(r, -ENOENT);
                else if (table[i].who == '2')
                        assert_int_equal(r, -ENOTUNIQ);
                else {
                        assert_int_equal(r, 0);
                        assert_int_equal(letter_of(f, &id), table[i].who);
                }
        }
        /* The shortest unique prefix, and one character less. */
        for (unsigned n = 1; n <= MACHINE_ID_TEXT_LEN; n++) {
                g_strlcpy(prefix, text.text, n + 1);
                if (directory_find(f->d, prefix, &id) == 0) {
                        assert_int_equal(letter_of(f, &id), 'c');
                        break;
                }
                assert_int_not_equal(n, MACHINE_ID_TEXT_LEN);
        }
        g_strlcpy(prefix, text.text, sizeof(prefix));
        strcat(prefix, "a");
        assert_int_equal(directory_find(f->d, prefix, &id), -ENOENT);
        /* A revoked machine has no name any more. */
        offer(f, revocation(f, 2));
        assert_int_equal(directory_find(f->d, "carl", &id), -ENOENT);
        assert_int_equal(directory_find(f->d, text.text, &id), -ENOENT);
}

static void check_order(void *userdata, Record *record) {
        MachineId *last = userdata;

        assert_true(machine_id_compare(last, &record->body.machine) < 0);
        *last = record->body.machine;
}

/* --- observers --- */

typedef struct Nested {
        Fixture *f;
        Record *then; /* offered by the observer */
        bool leave;
} Nested;

static void
observe_nested(void *userdata,
               RecordKind kind,
               const MachineId *machine,
               const Record *record,
               const Record *old) {
        Nested *n = userdata;

        if (n->then)
                offer(n->f, TAKE_PTR(n->then));
        if (n->leave)
                directory_unobserve(n->f->d, observe_nested, n);
}

static void test_observers(void **state) {
        Fixture *f = *state;
        Nested first = { .f = f, .leave = true };
        MachineId last = {};

        enrol_all(f);
        /* Registered before the log, it offers a lease when told of the presence: all the same
         * the log sees the presence first. */
        directory_unobserve(f->d, observe, f);
        directory_observe(f->d, observe_nested, &first);
        directory_observe(f->d, observe, f);
        first.then = lease(f, 0, "10.0.0.100", MOCK_NOW);
        offer(f, mock_presence(&f->net, f->who[0], "192.0.2.1:1", MOCK_NOW));
        expect_log(f, "+presence a;+lease a;");
        assert_int_equal(f->d->observers->len, 1);
        directory_foreach(f->d, RECORD_CERTIFICATE, check_order, &last);
}

/* --- store --- */

static void test_store(void **state) {
        Fixture *f = *state;
        g_autoptr(Record) a = certificate(f, 0, "anna", MOCK_NOW);
        g_autoptr(Record) b = certificate(f, 1, "bert", MOCK_NOW);
        g_autoptr(Record) revoke = revocation(f, 0);
        uint64_t before[256], after[256];
        unsigned commits;

        offer(f, record_ref(f->net.issuer_certificate));
        /* Lazily: nothing yet, then all in one commit. */
        assert_int_equal(memory_store_commits(f->store), 0);
        mock_mesh_run(f->mesh, DIRECTORY_FLUSH_DELAY);
        assert_int_equal(memory_store_commits(f->store), 1);
        mock_mesh_run(f->mesh, USEC_PER_MINUTE);
        assert_int_equal(memory_store_commits(f->store), 1);

        /* Durably: on disk when it returns, and not taken when the disk fails. */
        for (unsigned n = 0; n < 3; n++) { /* begin, put, commit */
                memory_store_fail_after(f->store, n, -ENOSPC);
                assert_int_equal(directory_offer(f->d, a, true, NULL), -ENOSPC);
                assert_null(directory_certificate(f->d, &f->who[0]->id));
        }
        memory_store_fail_after(f->store, 0, 0);
        assert_int_equal(directory_offer(f->d, a, true, NULL), DIRECTORY_NEWS);
        offer(f, record_ref(b)); /* not durable: lost with the power */
        reopen(f);
        assert_non_null(directory_certificate(f->d, &f->who[0]->id));
        assert_null(directory_certificate(f->d, &f->who[1]->id));

        /* A lazy write that fails is tried again. */
        offer(f, record_ref(b));
        memory_store_fail_after(f->store, 1, -EIO);
        mock_mesh_run(f->mesh, USEC_PER_MINUTE);
        memory_store_fail_after(f->store, 0, 0);
        mock_mesh_run(f->mesh, USEC_PER_MINUTE);
        reopen(f);
        assert_non_null(directory_certificate(f->d, &f->who[1]->id));

        /* A durable revocation takes the rest from the disk in the same commit. */
        commits = memory_store_commits(f->store);
        assert_int_equal(directory_offer(f->d, revoke, true, NULL), DIRECTORY_NEWS);
        assert_int_equal(memory_store_commits(f->store), commits + 1);
        directory_digest(f->d, before);
        reopen(f);
        directory_digest(f->d, after);
        assert_memory_equal(before, after, sizeof(before));
        assert_true(directory_is_revoked(f->d, &f->who[0]->id));
        assert_null(directory_certificate(f->d, &f->who[0]->id));
}

/* All of a batch is on disk when it is told, or nothing of it is there. */
static void test_batch(void **state) {
        Fixture *f = *state;
        g_autoptr(GPtrArray) batch = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
        DirectoryVerdict v[4] = { DIRECTORY_WAITING, DIRECTORY_WAITING };
        unsigned commits, rows;

        enrol_all(f);
        offer(f, lease(f, 3, "10.0.0.103", MOCK_NOW + 9));
        assert_int_equal(directory_flush(f->d), 0);
        g_string_truncate(f->log, 0);
        g_ptr_array_add(batch, lease(f, 0, "10.0.0.100", MOCK_NOW));
        g_ptr_array_add(batch,
                        mock_lease(&f->net, f->who[1], &f->who[1]->id, "10.0.0.101", MOCK_NOW));
        g_ptr_array_add(batch, lease(f, 2, "10.0.0.102", MOCK_NOW));
        g_ptr_array_add(batch, lease(f, 3, "10.0.0.103", MOCK_NOW)); /* older than what it has */
        rows = memory_store_size(f->store);
        for (unsigned n = 0; n < 4; n++) { /* begin, put, put, commit */
                memory_store_fail_after(f->store, n, -EIO);
                assert_int_equal(directory_offer_batch(f->d, batch, v), -EIO);
                assert_int_equal(v[0], DIRECTORY_WAITING);
                assert_null(directory_get(f->d, RECORD_LEASE, &f->who[0]->id));
                assert_null(directory_get(f->d, RECORD_LEASE, &f->who[2]->id));
        }
        memory_store_fail_after(f->store, 0, 0);
        assert_int_equal(memory_store_size(f->store), rows);
        expect_log(f, "");

        commits = memory_store_commits(f->store);
        assert_int_equal(directory_offer_batch(f->d, batch, v), 0);
        assert_int_equal(memory_store_commits(f->store), commits + 1);
        assert_int_equal(v[0], DIRECTORY_NEWS);
        assert_int_equal(v[1], DIRECTORY_REFUSED);
        assert_int_equal(v[2], DIRECTORY_NEWS);
        assert_int_equal(v[3], DIRECTORY_KNOWN);
        expect_log(f, "+lease a;+lease c;");
        reopen(f);
        assert_int_equal(holder(f, "10.0.0.100"), 'a');
        assert_int_equal(holder(f, "10.0.0.101"), '-');
        assert_int_equal(holder(f, "10.0.0.102"), 'c');
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_authority),       T(test_newer_wins),      T(test_waiting),
                T(test_revocation),      T(test_issuer_validity), T(test_revoked_issuer),
                T(test_leases),          T(test_clock),           T(test_check_peer),
                T(test_from_the_future), T(test_grace),           T(test_find),
                T(test_observers),       T(test_store),           T(test_batch),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
