/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Machines with a directory and gossip, on the mock's links, for test-mesh-gossip*.c (after
 * cmocka.h). */

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/gossip/gossip.h"
#include "core/wire/control.h"
#include "mock-channel.h"
#include "mock-records.h"

#define NODES_MAX 64U

typedef struct Node {
        Identity *identity;
        Record *certificate;
        MockNode *mock;
        Directory *directory;
        Gossip *gossip;
} Node;

/* What crossed links, by operation, and how many records. */
typedef struct Traffic {
        unsigned messages[_GOSSIP_OP_MAX];
        unsigned records;
        unsigned disordered; /* records after one they go before */
} Traffic;

/* docs/protocol.md, "gossip": what the others need comes first. */
static unsigned place_of(const Record *r) {
        static const unsigned places[_RECORD_KIND_MAX] = {
                [RECORD_REVOCATION] = 0,
                [RECORD_CERTIFICATE] = 2,
                [RECORD_LEASE] = 3,
                [RECORD_PRESENCE] = 4,
        };

        return r->body.kind == RECORD_CERTIFICATE && r->body.certificate.roles & ROLE_ISSUER
                               ? 1
                               : places[r->body.kind];
}

typedef struct Fixture {
        MockNetwork net;
        MockMesh *mesh;
        unsigned n;
        Node node[NODES_MAX];
        Traffic traffic;
        MockNode *silent;      /* nothing from it arrives */
        RecordKind first_kind; /* of the first record of the last message of records */
} Fixture;

static bool tap(void *userdata,
                MockNode *from,
                MockNode *to,
                MockKind kind,
                const char *channel,
                const uint8_t *data,
                size_t len) {
        Fixture *f = userdata;
        _cleanup_(gossip_message_clear) GossipMessage m = {};

        assert_int_equal(kind, MOCK_DATA);
        assert_string_equal(channel, "gossip");
        if (from == f->silent)
                return false;
        if (gossip_message_decode(data, len, &m, NULL) < 0)
                return true;
        f->traffic.messages[m.op]++;
        if (m.op == GOSSIP_RECORDS) {
                f->traffic.records += m.records->len;
                for (unsigned i = 1; i < m.records->len; i++)
                        f->traffic.disordered += place_of(m.records->pdata[i]) <
                                                 place_of(m.records->pdata[i - 1]);
                f->first_kind = ((Record *) m.records->pdata[0])->body.kind;
        }
        return true;
}

/* Everybody knows the gateway and, as after a handshake, everybody's certificate. */
_unused_ static Node *add_node(Fixture *f) {
        Node *node = &f->node[f->n];
        char name[16];
        int r;

        snprintf(name, sizeof(name), "m%u", f->n);
        node->identity = mock_identity(++f->n);
        node->certificate = mock_certificate(
                        &f->net, f->net.issuer, &node->identity->id, name, ROLE_MEMBER, MOCK_NOW);
        node->mock = mock_mesh_add(f->mesh, &node->identity->id);
        r = directory_new(&f->net.id, mock_mesh_env(f->mesh), NULL, &node->directory);
        assert_int_equal(r, 0);
        directory_offer(node->directory, f->net.issuer_certificate, false, NULL);
        directory_offer(node->directory, node->certificate, false, NULL);
        node->gossip =
                        gossip_new(mock_node_provider(node->mock), mock_mesh_env(f->mesh),
                                   node->directory, &node->identity->id);
        assert_non_null(node->gossip);
        return node;
}

_unused_ static void link_nodes(Fixture *f, Node *a, Node *b) {
        directory_offer(a->directory, b->certificate, false, NULL);
        directory_offer(b->directory, a->certificate, false, NULL);
        mock_mesh_link_up(f->mesh, a->mock, b->mock);
}

_unused_ static int setup(void **state) {
        Fixture *f = NEW(Fixture);

        mock_network_init(&f->net);
        f->mesh = mock_mesh_new(1);
        mock_mesh_set_realtime(f->mesh, MOCK_NOW);
        mock_mesh_set_tap(f->mesh, tap, f);
        *state = f;
        return 0;
}

_unused_ static int teardown(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < f->n; i++) {
                gossip_free(f->node[i].gossip);
                directory_free(f->node[i].directory);
                record_unref(f->node[i].certificate);
                identity_free(f->node[i].identity);
        }
        mock_mesh_free(f->mesh);
        mock_network_done(&f->net);
        g_free(f);
        return 0;
}

_unused_ static void run(Fixture *f, usec_t duration) {
        f->traffic = (Traffic){};
        mock_mesh_run(f->mesh, duration);
}

_unused_ static bool alike(const Node *a, const Node *b) {
        uint64_t x[GOSSIP_BUCKETS], y[GOSSIP_BUCKETS];

        directory_digest(a->directory, x);
        directory_digest(b->directory, y);
        return memcmp(x, y, sizeof(x)) == 0;
}

/* Consumes @record. */
_unused_ static void give(Node *node, Record *record) {
        directory_offer(node->directory, record, false, NULL);
        record_unref(record);
}

_unused_ static Record *lease_of(Fixture *f, const Node *node, const char *address, usec_t version) {
        return mock_lease(&f->net, f->net.issuer, &node->identity->id, address, version);
}

/* @n certificates of machines that are not here. */
_unused_ static void give_crowd(Fixture *f, Node *node, unsigned first, unsigned n) {
        for (unsigned i = first; i < first + n; i++) {
                Identity *identity = mock_identity(i);
                char name[16];

                snprintf(name, sizeof(name), "x%u", i);
                give(node, mock_certificate(
                                           &f->net, f->net.issuer, &identity->id, name, ROLE_MEMBER,
                                           MOCK_NOW));
                identity_free(identity);
        }
}

_unused_ static void inject(Fixture *f, Node *from, Node *to, const GossipMessage *m) {
        const ChannelProvider *p = mock_node_provider(from->mock);
        g_autoptr(GBytes) bytes = gossip_message_encode(m);

        assert_non_null(bytes);
        p->ops->send(p->self, &to->identity->id, "gossip", g_bytes_get_data(bytes, NULL),
                     g_bytes_get_size(bytes));
}

_unused_ static void inject_record(Fixture *f, Node *from, Node *to, Record *record) {
        GossipMessage m = {
                .op = GOSSIP_RECORDS,
                .records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref),
        };

        g_ptr_array_add(m.records, record);
        inject(f, from, to, &m);
        gossip_message_clear(&m);
}

_unused_ static Record *forge(Record *good) {
        size_t len = g_bytes_get_size(good->bytes);
        g_autofree uint8_t *bytes = g_memdup2(g_bytes_get_data(good->bytes, NULL), len);
        Record *forged = NULL;

        bytes[len - 1] ^= 1;
        assert_int_equal(record_decode(bytes, len, &forged), 0);
        record_unref(good);
        return forged;
}
