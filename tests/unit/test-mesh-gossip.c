/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "core/mesh/gossip/gossip-internal.h"
#include "gossip-world.h"

/* A scenario of the original specification: a machine's address reaches the others. */
static void test_address_propagation_via_gossip(void **state) {
        Fixture *f = *state;
        Node *m1 = add_node(f), *m2 = add_node(f);
        IpAddr address;
        Record *lease;

        link_nodes(f, m1, m2);
        run(f, USEC_PER_SEC);
        assert_true(alike(m1, m2));

        give(m2, lease_of(f, m2, "10.0.0.100", MOCK_NOW));
        run(f, 100 * USEC_PER_MSEC);
        ip_parse("10.0.0.100", &address);
        lease = directory_lease_of_address(m1->directory, &address);
        assert_non_null(lease);
        assert_true(machine_id_equal(&lease->body.machine, &m2->identity->id));

        /* Somebody's own word for an address goes nowhere. */
        give(m2, mock_lease(&f->net, m2->identity, &m2->identity->id, "10.0.0.101", MOCK_NOW + 1));
        run(f, USEC_PER_SEC);
        ip_parse("10.0.0.101", &address);
        assert_null(directory_lease_of_address(m1->directory, &address));
}

static void test_rumour_ends(void **state) {
        Fixture *f = *state;
        Node *ring[8];

        for (unsigned i = 0; i < ELEMENTSOF(ring); i++)
                ring[i] = add_node(f);
        for (unsigned i = 0; i < ELEMENTSOF(ring); i++)
                link_nodes(f, ring[i], ring[(i + 1) % ELEMENTSOF(ring)]);
        run(f, 5 * USEC_PER_SEC);
        for (unsigned i = 1; i < ELEMENTSOF(ring); i++)
                assert_true(alike(ring[0], ring[i]));

        give(ring[0], lease_of(f, ring[0], "10.0.0.100", MOCK_NOW));
        run(f, 5 * USEC_PER_SEC);
        for (unsigned i = 1; i < ELEMENTSOF(ring); i++)
                assert_true(alike(ring[0], ring[i]));
        /* Both ways round; where they meet the two cross or one is not sent back. */
        assert_in_range(f->traffic.messages[GOSSIP_RECORDS], 8, 9);
        assert_int_equal(f->traffic.messages[GOSSIP_WANT], 0);

        /* And then there is silence, for ever. */
        run(f, 2 * USEC_PER_MINUTE);
        run(f, USEC_PER_HOUR);
        for (GossipOp op = GOSSIP_DIGEST; op < _GOSSIP_OP_MAX; op++)
                assert_int_equal(f->traffic.messages[op], 0);
}

static void test_revocations_first(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f);
        MachineId lost = mock_machine_id(1);

        link_nodes(f, a, b);
        run(f, USEC_PER_SEC);
        give(a, lease_of(f, a, "10.0.0.100", MOCK_NOW));
        give(a, mock_presence(&f->net, a->identity, "192.0.2.1:1", MOCK_NOW));
        give(a, mock_revocation(&f->net, f->net.issuer, &lost, MOCK_NOW));
        run(f, USEC_PER_SEC);
        assert_int_equal(f->traffic.messages[GOSSIP_RECORDS], 1);
        assert_int_equal(f->traffic.records, 3);
        assert_int_equal(f->first_kind, RECORD_REVOCATION);
        assert_true(alike(a, b));
}

/* When everybody moves each is told of the others by one message, and what is urgent does not wait
 * for that. */
static void test_presence_in_batches(void **state) {
        enum { N = 12 };
        Fixture *f = *state;
        Node *hub = add_node(f), *leaf[N];
        MachineId lost = mock_machine_id(1);

        for (unsigned i = 0; i < N; i++) {
                leaf[i] = add_node(f);
                link_nodes(f, hub, leaf[i]);
        }
        run(f, 20 * USEC_PER_SEC);
        f->traffic = (Traffic){};
        for (unsigned i = 0; i < N; i++) {
                give(leaf[i], mock_presence(&f->net, leaf[i]->identity, "192.0.2.1:1", MOCK_NOW));
                mock_mesh_run(f->mesh, USEC_PER_MSEC);
        }
        mock_mesh_run(f->mesh, USEC_PER_SEC);
        for (unsigned i = 0; i < N; i++) {
                assert_true(alike(hub, leaf[i]));
                for (unsigned k = 0; k < N; k++)
                        assert_non_null(directory_get(
                                        leaf[i]->directory, RECORD_PRESENCE, &leaf[k]->identity->id));
        }
        /* From each of them, and to each, without its own. */
        assert_int_equal(f->traffic.messages[GOSSIP_RECORDS], N + N);
        assert_int_equal(f->traffic.records, N + N * (N - 1));

        run(f, 5 * USEC_PER_SEC);
        f->traffic = (Traffic){};
        give(leaf[0], mock_presence(&f->net, leaf[0]->identity, "192.0.2.1:2", MOCK_NOW + 1));
        mock_mesh_run(f->mesh, USEC_PER_MSEC);
        give(leaf[0], mock_revocation(&f->net, f->net.issuer, &lost, MOCK_NOW));
        mock_mesh_run(f->mesh, 2 * MOCK_LATENCY_DEFAULT);
        assert_true(directory_is_revoked(leaf[N - 1]->directory, &lost));
        /* What waited went along. */
        assert_int_equal(f->traffic.messages[GOSSIP_RECORDS], N);
        assert_int_equal(f->traffic.records, 2 * N);
        run(f, USEC_PER_SEC);
        assert_int_equal(f->traffic.messages[GOSSIP_RECORDS], 0);
}

static void test_comparison(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f), *c = add_node(f);
        MachineId nobody = mock_machine_id(1);

        /* Before they meet each knows what the other does not. Every record crosses once. */
        give_crowd(f, a, 1000, 700);
        give_crowd(f, b, 2000, 300);
        give(a, mock_revocation(&f->net, f->net.issuer, &nobody, MOCK_NOW));
        link_nodes(f, b, c);
        run(f, 5 * USEC_PER_SEC);
        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        assert_true(alike(a, b));
        /* To c, which is not linked to a, too; not one more than has to. */
        assert_true(alike(a, c));
        assert_in_range(f->traffic.records, 700 + 1 + 300 + 700 + 1, 700 + 1 + 300 + 700 + 6);
        assert_true(directory_count(a->directory, RECORD_CERTIFICATE) >= 1000);
}

/* What a newcomer pulls from one neighbour it does not push at the others, who have it. */
static void test_newcomer(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f), *c = add_node(f);

        give_crowd(f, b, 1000, 300);
        link_nodes(f, b, c);
        run(f, 5 * USEC_PER_SEC);
        assert_true(alike(b, c));
        link_nodes(f, a, b);
        link_nodes(f, a, c);
        run(f, 5 * USEC_PER_SEC);
        assert_true(alike(a, b));
        /* Each of the crowd once, and the certificates of the three to each other. */
        assert_in_range(f->traffic.records, 300, 320);
}

/* More records than one `have` names, and more than are noted of one neighbour: they come all the
 * same, one part after the other, without waiting for the next minute. */
static void test_large_newcomer(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f);

        give_crowd(f, a, 100, 17000);
        run(f, USEC_PER_SEC); /* so that it is no news */
        link_nodes(f, a, b);
        run(f, 50 * USEC_PER_SEC);
        assert_true(alike(a, b));
        /* 17000 hashes in messages of at most 60 KiB, twice: the rest after a new comparison. */
        assert_true(f->traffic.messages[GOSSIP_HAVE] >= 3 + 1);
        assert_true(f->traffic.messages[GOSSIP_DIGEST] >= 3);
        assert_true(f->traffic.messages[GOSSIP_WANT] >= 17000 / 512);
        assert_in_range(f->traffic.records, 17000, 17000 + 100);
}

/* Ids that all fall into one bucket, more than a `have` has room for: what fits is named, beside
 * the rest of the directory, and nothing is sent that is too long to be read. */
static void test_full_bucket(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f);

        for (unsigned i = 0; i < HAVE_MAX + 800; i++) {
                MachineId id = { .bytes = { 0x77 } };
                char name[16];

                write_le32(id.bytes + 4, i);
                snprintf(name, sizeof name, "b%u", i);
                give(a, mock_certificate(&f->net, f->net.issuer, &id, name, ROLE_MEMBER, MOCK_NOW));
        }
        give_crowd(f, a, 100, 20);
        run(f, USEC_PER_SEC);
        link_nodes(f, a, b);
        run(f, 50 * USEC_PER_SEC);
        assert_in_range(directory_count(b->directory, RECORD_CERTIFICATE), HAVE_MAX + 20,
                        HAVE_MAX + 20 + 3);
}

/* What a record needs comes before it: an issuer's certificate before what it signed. */
static void test_order_of_a_batch(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f);
        Identity *second = mock_identity(50);
        RecordBody body = f->net.issuer_certificate->body;

        body.machine = second->id;
        g_strlcpy(body.certificate.name, "second", sizeof(body.certificate.name));
        give(a, mock_record(&f->net, f->net.root, &body));
        for (unsigned i = 0; i < 20; i++) {
                Identity *x = mock_identity(200 + i);
                g_autofree char *name = g_strdup_printf("x%u", i);
                g_autofree char *address = g_strdup_printf("10.0.1.%u", i);

                give(a, mock_certificate(&f->net, second, &x->id, name, ROLE_MEMBER, MOCK_NOW));
                give(a, mock_presence(&f->net, x, "192.0.2.9:1", MOCK_NOW));
                give(a, mock_lease(&f->net, second, &x->id, address, MOCK_NOW));
                identity_free(x);
        }
        run(f, USEC_PER_SEC);
        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        assert_true(alike(a, b));
        assert_int_equal(f->traffic.disordered, 0);
        /* Each once: none came too early, and had to be asked for again. */
        assert_int_equal(f->traffic.messages[GOSSIP_WANT], 1);
        assert_in_range(f->traffic.records, 61, 61 + 4);
        identity_free(second);
}

static void test_lost_rumour(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f);

        link_nodes(f, a, b);
        run(f, 3 * USEC_PER_MINUTE);
        /* The link's queue is full when the news comes: the next digest makes up for it. */
        mock_node_fail_sends(a->mock, -ENOBUFS);
        give(a, lease_of(f, a, "10.0.0.100", MOCK_NOW));
        run(f, USEC_PER_SEC);
        assert_false(alike(a, b));
        mock_node_fail_sends(a->mock, 0);
        run(f, 90 * USEC_PER_SEC);
        assert_true(alike(a, b));

        /* Lost without a word, on a link that is used. */
        f->silent = a->mock;
        give(a, lease_of(f, a, "10.0.0.101", MOCK_NOW + 1));
        run(f, USEC_PER_SEC);
        f->silent = NULL;
        assert_false(alike(a, b));
        for (unsigned i = 0; i < 100; i++) {
                mock_node_set_last_received(a->mock, &b->identity->id, mock_mesh_now(f->mesh));
                run(f, USEC_PER_SEC);
        }
        assert_true(alike(a, b));
}

/* A portion that is never answered does not block the next one, nor another who has it. */
static void test_silent_neighbour(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f), *c = add_node(f);
        GossipMessage have = {
                .op = GOSSIP_HAVE,
                .hashes = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
        };
        const ChannelProvider *p = mock_node_provider(c->mock);
        g_autoptr(GBytes) bytes = NULL;

        give_crowd(f, b, 1000, 100);
        link_nodes(f, a, c);
        run(f, 5 * USEC_PER_SEC);
        /* c claims to have what only b has. */
        for (unsigned i = 0; i < 100; i++) {
                Identity *identity = mock_identity(1000 + i);
                uint64_t hash = read_le64(directory_certificate(b->directory, &identity->id)->hash);

                g_array_append_val(have.hashes, hash);
                identity_free(identity);
        }
        bytes = gossip_message_encode(&have);
        gossip_message_clear(&have);
        p->ops->send(p->self, &a->identity->id, "gossip", g_bytes_get_data(bytes, NULL),
                     g_bytes_get_size(bytes));
        run(f, USEC_PER_SEC);
        assert_int_equal(f->traffic.messages[GOSSIP_WANT], 1);
        link_nodes(f, a, b);
        run(f, 2 * USEC_PER_MINUTE + 30 * USEC_PER_SEC);
        assert_true(alike(a, b));
        assert_true(alike(a, c));
}

/* --- hostile input --- */

static void test_refused_is_not_passed_on(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f), *c = add_node(f);

        link_nodes(f, a, b);
        link_nodes(f, b, c);
        run(f, 5 * USEC_PER_SEC);
        inject_record(f, a, b, forge(lease_of(f, a, "10.0.0.100", MOCK_NOW)));
        inject_record(f, a, b,
                      mock_lease(&f->net, a->identity, &a->identity->id, "10.0.0.100", MOCK_NOW));
        run(f, USEC_PER_SEC);
        assert_int_equal(f->traffic.messages[GOSSIP_RECORDS], 2); /* ours alone */
        assert_int_equal(directory_count(b->directory, RECORD_LEASE), 0);

        /* Who goes on like that is not heard any more, for a while. */
        for (unsigned i = 0; i < 10; i++)
                inject_record(f, a, b, forge(lease_of(f, a, "10.0.0.100", MOCK_NOW + i)));
        run(f, USEC_PER_SEC);
        inject_record(f, a, b, lease_of(f, a, "10.0.0.100", MOCK_NOW));
        run(f, USEC_PER_SEC);
        assert_int_equal(directory_count(b->directory, RECORD_LEASE), 0);
        run(f, 11 * USEC_PER_MINUTE);
        inject_record(f, a, b, lease_of(f, a, "10.0.0.100", MOCK_NOW));
        run(f, USEC_PER_SEC);
        assert_int_equal(directory_count(b->directory, RECORD_LEASE), 1);
        assert_int_equal(directory_count(c->directory, RECORD_LEASE), 1);
}

static void test_garbage(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f);
        const ChannelProvider *p = mock_node_provider(a->mock);
        static const char *const garbage[] = { "", "\xa0", "\xff", "\xa1\x01\x09", "\xa1\x01\x03" };
        GossipMessage m = { .hashes = g_array_new(FALSE, FALSE, sizeof(uint64_t)) };

        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        f->traffic = (Traffic){};
        for (unsigned i = 0; i < ELEMENTSOF(garbage); i++)
                p->ops->send(p->self, &b->identity->id, "gossip", garbage[i], strlen(garbage[i]));
        mock_mesh_run(f->mesh, USEC_PER_SEC);
        for (GossipOp op = GOSSIP_DIGEST; op < _GOSSIP_OP_MAX; op++)
                assert_int_equal(f->traffic.messages[op], 0);

        /* Hashes of nothing: no answer. Of everything, very often: a portion at most. */
        give_crowd(f, b, 1000, 600);
        run(f, 5 * USEC_PER_SEC);
        for (uint64_t i = 0; i < 2000; i++)
                g_array_append_val(m.hashes, i);
        m.op = GOSSIP_WANT;
        inject(f, a, b, &m);
        run(f, USEC_PER_SEC);
        assert_int_equal(f->traffic.messages[GOSSIP_RECORDS], 0);
        g_array_set_size(m.hashes, 0);
        for (unsigned i = 0; i < 7000; i++) {
                uint64_t hash = read_le64(b->certificate->hash);

                g_array_append_val(m.hashes, hash);
        }
        inject(f, a, b, &m);
        run(f, USEC_PER_SEC);
        assert_in_range(f->traffic.records, 1, 512);

        /* What nobody has is asked for, in portions, and then forgotten. */
        g_array_set_size(m.hashes, 0);
        for (uint64_t i = 1; i < 7000; i++)
                g_array_append_val(m.hashes, i);
        m.op = GOSSIP_HAVE;
        for (unsigned i = 0; i < 10; i++)
                inject(f, a, b, &m);
        run(f, 5 * USEC_PER_SEC);
        assert_int_equal(f->traffic.messages[GOSSIP_WANT], 1);
        run(f, USEC_PER_MINUTE);
        assert_int_equal(f->traffic.messages[GOSSIP_WANT], 0);
        gossip_message_clear(&m);
}

/* Nothing with a machine that only enrols, or that was revoked. */
static void test_members_only(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f);
        MachineId nobody = mock_machine_id(1);

        mock_mesh_link_up(f->mesh, a->mock, b->mock);
        inject_record(f, b, a, mock_revocation(&f->net, f->net.issuer, &nobody, MOCK_NOW));
        run(f, 5 * USEC_PER_SEC);
        assert_int_equal(f->traffic.messages[GOSSIP_DIGEST], 0);
        assert_int_equal(directory_count(a->directory, RECORD_REVOCATION), 0);

        mock_mesh_link_down(f->mesh, a->mock, b->mock);
        link_nodes(f, a, b);
        run(f, 5 * USEC_PER_SEC);
        assert_true(alike(a, b));
        give(a, mock_revocation(&f->net, f->net.issuer, &b->identity->id, MOCK_NOW));
        inject_record(f, b, a, lease_of(f, a, "10.0.0.100", MOCK_NOW));
        run(f, 2 * USEC_PER_MINUTE);
        assert_int_equal(directory_count(a->directory, RECORD_LEASE), 0);
        assert_int_equal(f->traffic.messages[GOSSIP_WANT], 0);
}

/* As the mesh does: a revoked machine's link goes down at once, in the observer. */
static void
cut_revoked(void *userdata,
            RecordKind kind,
            const MachineId *machine,
            const Record *record,
            const Record *old) {
        Fixture *f = userdata;
        MockNode *n = mock_mesh_find(f->mesh, machine);

        if (kind == RECORD_REVOCATION && n)
                for (unsigned i = 0; i < f->n; i++)
                        if (f->node[i].mock != n)
                                mock_mesh_link_down(f->mesh, f->node[i].mock, n);
}

static void test_revoked_tells_of_itself(void **state) {
        Fixture *f = *state;
        Node *a = add_node(f), *b = add_node(f), *c = add_node(f);
        GossipMessage m = {
                .op = GOSSIP_RECORDS,
                .records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref),
        };

        link_nodes(f, a, b);
        link_nodes(f, a, c);
        directory_observe(a->directory, cut_revoked, f);
        run(f, 5 * USEC_PER_SEC);
        g_ptr_array_add(m.records,
                        mock_revocation(&f->net, f->net.issuer, &b->identity->id, MOCK_NOW));
        g_ptr_array_add(m.records, lease_of(f, a, "10.0.0.100", MOCK_NOW));
        inject(f, b, a, &m);
        gossip_message_clear(&m);
        run(f, 5 * USEC_PER_SEC);
        assert_true(directory_is_revoked(a->directory, &b->identity->id));
        assert_true(directory_is_revoked(c->directory, &b->identity->id));
}

/* --- a crowd, at random --- */

static void test_random_mesh(void **state) {
        Fixture *f = *state;
        const char *given = g_getenv("SEED");
        uint32_t seed = given ? (uint32_t) strtoul(given, NULL, 0) : g_random_int();
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        unsigned n = 16;

        for (unsigned i = 0; i < n; i++)
                add_node(f);
        /* A tree, so that all are connected, and some more; links come and go meanwhile. */
        for (unsigned i = 1; i < n; i++)
                link_nodes(f, &f->node[i], &f->node[g_rand_int_range(rand, 0, (int) i)]);
        for (unsigned step = 0; step < 150; step++) {
                Node *a = &f->node[g_rand_int_range(rand, 0, (int) n)];
                Node *b = &f->node[g_rand_int_range(rand, 0, (int) n)];
                char address[32];

                snprintf(address, sizeof(address), "10.0.0.%d", g_rand_int_range(rand, 100, 110));
                switch (g_rand_int_range(rand, 0, 6)) {
                case 0:
                        if (a != b)
                                link_nodes(f, a, b);
                        break;
                case 1:
                        if (a != b)
                                mock_mesh_link_down(f->mesh, a->mock, b->mock);
                        break;
                case 2:
                        give(a, mock_presence(&f->net, a->identity, "192.0.2.1:1", MOCK_NOW + step));
                        break;
                default:
                        give(a, lease_of(f, b, address, MOCK_NOW + step));
                        break;
                }
                run(f, (usec_t) g_rand_int_range(rand, 0, 40) * USEC_PER_MSEC);
        }
        for (unsigned i = 1; i < n; i++)
                link_nodes(f, &f->node[i], &f->node[i - 1]);
        run(f, 3 * USEC_PER_MINUTE);
        for (unsigned i = 1; i < n; i++)
                assert_true(alike(&f->node[0], &f->node[i]));
        run(f, 3 * USEC_PER_MINUTE);
        run(f, 10 * USEC_PER_MINUTE);
        assert_int_equal(f->traffic.records, 0);
        assert_int_equal(f->traffic.messages[GOSSIP_DIGEST], 0);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_address_propagation_via_gossip),
                T(test_rumour_ends),
                T(test_revocations_first),
                T(test_presence_in_batches),
                T(test_comparison),
                T(test_newcomer),
                T(test_large_newcomer),
                T(test_full_bucket),
                T(test_order_of_a_batch),
                T(test_lost_rumour),
                T(test_silent_neighbour),
                T(test_refused_is_not_passed_on),
                T(test_garbage),
                T(test_members_only),
                T(test_revoked_tells_of_itself),
                T(test_random_mesh),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
