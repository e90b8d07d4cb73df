/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a member can do to the others by talking as fast as it likes, or by not answering. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gossip-world.h"

/* A machine of which only the link is there: it says what the test says, and hears in silence. */
static Node *add_puppet(Fixture *f) {
        Node *node = add_node(f);

        node->gossip = gossip_free(node->gossip);
        return node;
}

static void inject_hashes(Fixture *f, Node *from, Node *to, GossipOp op, GArray *hashes) {
        GossipMessage m = { .op = op, .hashes = g_array_ref(hashes) };

        inject(f, from, to, &m);
        gossip_message_clear(&m);
}

static void inject_presence(Fixture *f, Node *of, Node *from, Node *to, usec_t version) {
        inject_record(f, from, to,
                      mock_presence(&f->net, of->identity, "192.0.2.1:1", MOCK_NOW + version));
}

static usec_t presence_version(const Node *at, const Node *of) {
        const Record *r = directory_get(at->directory, RECORD_PRESENCE, &of->identity->id);

        return r ? r->body.version - MOCK_NOW : 0;
}

/* How often the presence of anybody changed. */
static void
count_presence(void *userdata,
               RecordKind kind,
               const MachineId *machine,
               const Record *record,
               const Record *old) {
        if (kind == RECORD_PRESENCE)
                (*(unsigned *) userdata)++;
}

static void test_presence_flood(void **state) {
        Fixture *f = *state;
        Node *a = add_puppet(f), *b = add_node(f), *c = add_node(f), *d = add_node(f);
        unsigned at_b = 0, at_c = 0, at_d = 0;

        link_nodes(f, a, b);
        link_nodes(f, b, c);
        link_nodes(f, c, d);
        run(f, 5 * USEC_PER_SEC);
        directory_observe(b->directory, count_presence, &at_b);
        directory_observe(c->directory, count_presence, &at_c);
        directory_observe(d->directory, count_presence, &at_d);

        /* The first is used at once, everywhere: each who passes it on waits for others 50 ms. */
        inject_presence(f, a, a, b, 1);
        run(f, 150 * USEC_PER_MSEC);
        assert_int_equal(presence_version(d, a), 1);
        /* The next at once by who has the link. */
        inject_presence(f, a, a, b, 2);
        run(f, 100 * USEC_PER_MSEC);
        assert_int_equal(presence_version(b, a), 2);
        assert_int_equal(presence_version(d, a), 1);
        run(f, 6 * USEC_PER_SEC);
        assert_int_equal(presence_version(d, a), 2);

        for (unsigned i = 3; i <= 15000; i++) {
                inject_presence(f, a, a, b, i);
                run(f, 667);
        }
        /* Ten seconds: of 1500 a second a handful were looked at, and fewer travelled on. */
        assert_in_range(at_b, 5, 20);
        assert_in_range(at_c, 2, 6);
        assert_in_range(at_d, 2, 6);
        /* The last one is not lost. */
        run(f, 10 * USEC_PER_SEC);
        assert_int_equal(presence_version(b, a), 15000);
        assert_int_equal(presence_version(c, a), 15000);
        assert_int_equal(presence_version(d, a), 15000);
        directory_unobserve(b->directory, count_presence, &at_b);
        directory_unobserve(c->directory, count_presence, &at_c);
        directory_unobserve(d->directory, count_presence, &at_d);
}

/* The same by way of friends, each of whom passes on everything. */
static void test_presence_flood_by_friends(void **state) {
        Fixture *f = *state;
        Node *a = add_puppet(f), *b = add_node(f), *c = add_node(f);
        Node *friend[3];
        unsigned at_b = 0;

        for (unsigned i = 0; i < ELEMENTSOF(friend); i++) {
                friend[i] = add_puppet(f);
                link_nodes(f, friend[i], b);
        }
        give(b, record_ref(a->certificate));
        link_nodes(f, b, c);
        run(f, 5 * USEC_PER_SEC);
        directory_observe(b->directory, count_presence, &at_b);
        for (unsigned i = 1; i <= 3000; i++) {
                inject_presence(f, a, friend[i % 3], b, i);
                run(f, 3 * USEC_PER_MSEC);
        }
        assert_in_range(at_b, 5, 20);
        directory_unobserve(b->directory, count_presence, &at_b);

        /* An honest machine's is not held up by what they did. */
        inject_presence(f, c, friend[0], b, 7);
        run(f, USEC_PER_SEC);
        assert_int_equal(presence_version(b, c), 7);
        /* And what was too much for b comes when somebody honest has it. */
        give(c, mock_presence(&f->net, a->identity, "192.0.2.1:1", MOCK_NOW + 5000));
        run(f, 2 * USEC_PER_MINUTE);
        assert_int_equal(presence_version(b, a), 5000);
}

/* Forgeries of somebody's presence do not use up what he may say. */
static void test_presence_forged(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f);
        Node *friend[4];

        for (unsigned i = 0; i < ELEMENTSOF(friend); i++) {
                friend[i] = add_puppet(f);
                link_nodes(f, friend[i], b);
        }
        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        for (unsigned i = 0; i < 40; i++)
                inject_record(f, friend[i % 4], b,
                              forge(
                                              mock_presence(&f->net, a->identity, "192.0.2.66:1",
                                                            MOCK_NOW + 1000 + i)));
        run(f, 100 * USEC_PER_MSEC);
        give(a, mock_presence(&f->net, a->identity, "192.0.2.1:1", MOCK_NOW + 1));
        run(f, 100 * USEC_PER_MSEC);
        assert_int_equal(presence_version(b, a), 1);
}

/* --- questions --- */

static uint64_t sent_by(Node *node) {
        return mock_node_bytes(node->mock);
}

static void test_digest_flood(void **state) {
        Fixture *f = *state;
        Node *a = add_puppet(f), *b = add_node(f);
        GossipMessage m = { .op = GOSSIP_DIGEST };
        uint64_t sent;

        give_crowd(f, b, 1000, 500);
        for (unsigned i = 0; i < 100; i++) {
                MachineId id = mock_machine_id(i);

                give(b, mock_revocation(&f->net, f->net.issuer, &id, MOCK_NOW));
        }
        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        sent = sent_by(b);
        for (unsigned i = 0; i < 5000; i++) {
                m.digest[i % GOSSIP_BUCKETS] = i;
                inject(f, a, b, &m);
                run(f, USEC_PER_MSEC);
        }
        /* What three newcomers would have cost, not 5000. */
        assert_in_range(sent_by(b) - sent, 1, 2500 * 1024);
        /* It is answered again, later. */
        run(f, 10 * USEC_PER_MINUTE);
        sent = sent_by(b);
        inject(f, a, b, &m);
        run(f, USEC_PER_SEC);
        assert_true(sent_by(b) - sent > 500 * RECORD_HASH_SIZE);
}

static GArray *hashes_of_crowd(Node *node, unsigned first, unsigned n) {
        GArray *hashes = g_array_new(FALSE, FALSE, sizeof(uint64_t));

        for (unsigned i = first; i < first + n; i++) {
                Identity *identity = mock_identity(i);
                uint64_t hash = read_le64(directory_certificate(node->directory, &identity->id)->hash);

                g_array_append_val(hashes, hash);
                identity_free(identity);
        }
        return hashes;
}

static void test_want_flood(void **state) {
        Fixture *f = *state;
        Node *a = add_puppet(f), *b = add_node(f), *c = add_node(f);
        g_autoptr(GArray) hashes = NULL;
        uint64_t sent;

        give_crowd(f, b, 1000, 500);
        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        hashes = hashes_of_crowd(b, 1000, 500);
        sent = sent_by(b);
        for (unsigned i = 0; i < 1000; i++) {
                inject_hashes(f, a, b, GOSSIP_WANT, hashes);
                run(f, USEC_PER_MSEC);
        }
        assert_in_range(sent_by(b) - sent, 1, 2500 * 1024);
        /* A new link is no new account. */
        mock_mesh_link_down(f->mesh, a->mock, b->mock);
        link_nodes(f, a, b);
        run(f, USEC_PER_SEC);
        sent = sent_by(b);
        inject_hashes(f, a, b, GOSSIP_WANT, hashes);
        run(f, USEC_PER_SEC);
        assert_in_range(sent_by(b) - sent, 0, 4096);
        /* Another's is another's. */
        link_nodes(f, b, c);
        run(f, 2 * USEC_PER_SEC);
        assert_int_equal(
                        directory_count(c->directory, RECORD_CERTIFICATE),
                        directory_count(b->directory, RECORD_CERTIFICATE));
}

/* What we know already, at the speed of the line: it is not even read any more. */
static void test_waste(void **state) {
        Fixture *f = *state;
        Node *a = add_puppet(f), *b = add_node(f);
        GossipMessage m = {
                .op = GOSSIP_RECORDS,
                .records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref),
        };

        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        for (unsigned i = 0; i < 200; i++)
                g_ptr_array_add(m.records, record_ref(a->certificate));
        for (unsigned i = 0; i < 600; i++) {
                inject(f, a, b, &m);
                run(f, USEC_PER_MSEC);
        }
        gossip_message_clear(&m);
        inject_presence(f, a, a, b, 1);
        run(f, USEC_PER_SEC);
        assert_int_equal(presence_version(b, a), 0);
        run(f, USEC_PER_MINUTE);
        inject_presence(f, a, a, b, 2);
        run(f, USEC_PER_SEC);
        assert_int_equal(presence_version(b, a), 2);
}

static void
count_leases(void *userdata,
             RecordKind kind,
             const MachineId *machine,
             const Record *record,
             const Record *old) {
        if (kind == RECORD_LEASE)
                (*(unsigned *) userdata)++;
}

/* Good records nobody has asked for, each of which costs a signature to check. */
static void test_checks(void **state) {
        Fixture *f = *state;
        Node *a = add_puppet(f), *b = add_node(f);
        unsigned taken = 0, n = 4000;

        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        directory_observe(b->directory, count_leases, &taken);
        for (unsigned i = 0; i < n; i++) {
                inject_record(f, a, b, lease_of(f, b, "10.0.0.100", MOCK_NOW + i));
                run(f, 100);
        }
        assert_in_range(taken, 2000, 2200);
        /* When there was rest it is heard again. */
        run(f, 10 * USEC_PER_SEC);
        taken = 0;
        inject_record(f, a, b, lease_of(f, b, "10.0.0.100", MOCK_NOW + n));
        run(f, 100 * USEC_PER_MSEC);
        assert_int_equal(taken, 1);
        directory_unobserve(b->directory, count_leases, &taken);
}

/* Its own presence waits for its turn then, and is not lost. */
static void test_checks_and_presence(void **state) {
        Fixture *f = *state;
        Node *a = add_puppet(f), *b = add_node(f);

        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        for (unsigned i = 0; i < 2500; i++)
                inject_record(f, a, b, lease_of(f, b, "10.0.0.100", MOCK_NOW + i));
        inject_presence(f, a, a, b, 1);
        run(f, MOCK_LATENCY_DEFAULT);
        assert_int_equal(presence_version(b, a), 0);
        run(f, USEC_PER_SEC);
        assert_int_equal(presence_version(b, a), 1);
}

/* What was asked for has to be news, or its signature counts as well: of machines nobody has heard
 * of one can announce, and send, as much as one likes. */
static void test_checks_of_what_was_promised(void **state) {
        Fixture *f = *state;
        Node *a = add_puppet(f), *b = add_node(f);
        Identity *unknown = mock_identity(50000);

        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        for (unsigned i = 0; i < 5; i++) {
                g_autoptr(GArray) hashes = g_array_new(FALSE, FALSE, sizeof(uint64_t));
                GossipMessage m = {
                        .op = GOSSIP_RECORDS,
                        .records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref),
                };

                for (unsigned k = 0; k < 512; k++) {
                        Record *r = mock_presence(
                                        &f->net, unknown, "192.0.2.1:1", MOCK_NOW + i * 512 + k);
                        uint64_t hash = read_le64(r->hash);

                        g_array_append_val(hashes, hash);
                        g_ptr_array_add(m.records, r);
                }
                inject_hashes(f, a, b, GOSSIP_HAVE, hashes);
                run(f, 2 * MOCK_LATENCY_DEFAULT);
                while (m.records->len > 0) {
                        GossipMessage part = { .op = GOSSIP_RECORDS, .records = g_ptr_array_new() };

                        for (unsigned k = 0; k < 128; k++)
                                g_ptr_array_add(part.records, m.records->pdata[k]);
                        inject(f, a, b, &part);
                        gossip_message_clear(&part);
                        g_ptr_array_remove_range(m.records, 0, 128);
                }
                if (i == 4) /* before a token has come back */
                        inject_record(f, a, b, lease_of(f, b, "10.0.0.100", MOCK_NOW));
                run(f, MOCK_LATENCY_DEFAULT);
                gossip_message_clear(&m);
        }
        identity_free(unknown);
        assert_int_equal(directory_count(b->directory, RECORD_LEASE), 0);
}

/* --- promises --- */

static void announce(Fixture *f, Node *from, Node *to, const Record *record) {
        g_autoptr(GArray) hashes = g_array_new(FALSE, FALSE, sizeof(uint64_t));
        uint64_t hash = read_le64(record->hash);

        g_array_append_val(hashes, hash);
        inject_hashes(f, from, to, GOSSIP_HAVE, hashes);
}

/* Says all the time that it has something, and never sends it. */
static void test_promise_does_not_keep_others_ignorant(void **state) {
        Fixture *f = *state;
        Node *victim = add_node(f), *liar = add_puppet(f), *honest = add_node(f);
        MachineId lost = mock_machine_id(1);
        g_autoptr(Record) revocation = mock_revocation(&f->net, f->net.issuer, &lost, MOCK_NOW);
        g_autoptr(Record) lease = lease_of(f, honest, "10.0.0.100", MOCK_NOW);
        bool linked = false;

        give(honest, record_ref(revocation));
        give(honest, record_ref(lease));
        run(f, USEC_PER_SEC); /* it was news before they met */
        link_nodes(f, victim, liar);
        for (unsigned i = 0; i < 100; i++) {
                announce(f, liar, victim, revocation);
                announce(f, liar, victim, lease);
                if (i == 30) {
                        link_nodes(f, victim, honest);
                        linked = true;
                }
                run(f, 100 * USEC_PER_MSEC);
                /* One round trip and a message: the link, the digest, the revocation. */
                if (linked)
                        assert_true(directory_is_revoked(victim->directory, &lost));
        }
        assert_int_equal(directory_count(victim->directory, RECORD_LEASE), 1);
}

/* Both have it and one is silent: the other is asked before the first has run out of time. */
static void test_asked_of_the_next(void **state) {
        Fixture *f = *state;
        Node *victim = add_node(f), *liar = add_puppet(f), *honest = add_node(f);
        g_autoptr(Record) lease = lease_of(f, honest, "10.0.0.100", MOCK_NOW);

        give(honest, record_ref(lease));
        run(f, USEC_PER_SEC); /* it was news before they met */
        link_nodes(f, victim, liar);
        run(f, USEC_PER_SEC);
        announce(f, liar, victim, lease);
        run(f, 50 * USEC_PER_MSEC);
        link_nodes(f, victim, honest);
        run(f, 6 * USEC_PER_SEC);
        assert_int_equal(directory_count(victim->directory, RECORD_LEASE), 1);
}

static void test_liar_is_asked_less_and_less(void **state) {
        Fixture *f = *state;
        Node *victim = add_node(f), *liar = add_puppet(f);
        g_autoptr(Record) lease = lease_of(f, victim, "10.0.0.100", MOCK_NOW);
        unsigned asked = 0;

        link_nodes(f, victim, liar);
        for (unsigned i = 0; i < 3600; i++) {
                announce(f, liar, victim, lease);
                if (i % 600 == 599) { /* a new link makes nothing good */
                        mock_mesh_link_down(f->mesh, victim->mock, liar->mock);
                        link_nodes(f, victim, liar);
                }
                run(f, USEC_PER_SEC);
                asked += f->traffic.messages[GOSSIP_WANT];
        }
        assert_in_range(asked, 3, 12);
        /* It keeps its word at last. */
        run(f, 30 * USEC_PER_MINUTE);
        announce(f, liar, victim, lease);
        run(f, USEC_PER_SEC);
        assert_int_equal(f->traffic.messages[GOSSIP_WANT], 1);
        inject_record(f, liar, victim, record_ref(lease));
        run(f, USEC_PER_SEC);
        assert_int_equal(directory_count(victim->directory, RECORD_LEASE), 1);
}

/* Before anything of a thousand certificates has come. */
static void test_revocations_in_one_round_trip(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f);

        give_crowd(f, b, 1000, 1000);
        for (unsigned i = 0; i < 300; i++) {
                MachineId id = mock_machine_id(i);

                give(b, mock_revocation(&f->net, f->net.issuer, &id, MOCK_NOW));
        }
        run(f, USEC_PER_SEC); /* it was news before they met */
        link_nodes(f, a, b);
        mock_mesh_run(f->mesh, 2 * MOCK_LATENCY_DEFAULT + 1);
        assert_int_equal(directory_count(a->directory, RECORD_REVOCATION), 300);
        assert_in_range(directory_count(a->directory, RECORD_CERTIFICATE), 3, 3);
        run(f, 5 * USEC_PER_SEC);
        assert_true(alike(a, b));
}

/* Nothing of all this slows an honest newcomer down: two round trips for the digests and the
 * first portion, one for each further. */
static void test_newcomer_is_not_slowed(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f);
        unsigned n = 4000;

        give_crowd(f, b, 1000, n);
        run(f, USEC_PER_SEC);
        link_nodes(f, a, b);
        mock_mesh_run(f->mesh, (2 + n / 512 + 2) * 2 * MOCK_LATENCY_DEFAULT);
        assert_true(alike(a, b));
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_presence_flood),
                T(test_presence_flood_by_friends),
                T(test_presence_forged),
                T(test_digest_flood),
                T(test_want_flood),
                T(test_waste),
                T(test_checks),
                T(test_checks_and_presence),
                T(test_checks_of_what_was_promised),
                T(test_promise_does_not_keep_others_ignorant),
                T(test_asked_of_the_next),
                T(test_liar_is_asked_less_and_less),
                T(test_revocations_in_one_round_trip),
                T(test_newcomer_is_not_slowed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
