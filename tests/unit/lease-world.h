/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A gateway with a lease service, and members, for test-vnet-lease-*.c (after cmocka.h). */

#include <string.h>

#include "base/macros.h"
#include "core/vnet/lease.h"
#include "core/vnet/vnet.h"
#include "memory-store.h"
#include "mock-channel.h"
#include "mock-records.h"

typedef struct LeaseWorld {
        MockNetwork net;
        MockMesh *mesh;
        MockNode *gateway;
        MemoryStore *store;
        Directory *directory; /* the gateway's */
        LeaseService *service;
        IpPrefix subnet;
        usec_t lifetime;
        unsigned changes; /* calls of the service's changed() */
} LeaseWorld;

static inline void lease_world_changed(void *userdata, const Record *lease) {
        ((LeaseWorld *) userdata)->changes++;
}

static inline void lease_world_start(LeaseWorld *w) {
        LeaseServiceConfig config = {
                .provider = mock_node_provider(w->gateway),
                .env = mock_mesh_env(w->mesh),
                .issuer = w->net.issuer,
                .network = w->net.id,
                .subnet = w->subnet,
                .lifetime = w->lifetime,
                .changed = lease_world_changed,
                .userdata = w,
        };

        assert_int_equal(
                        directory_new(&w->net.id, mock_mesh_env(w->mesh),
                                      memory_store_mesh(w->store), &w->directory),
                        0);
        config.directory = w->directory;
        assert_in_range(directory_offer(w->directory, w->net.issuer_certificate, true, NULL),
                        DIRECTORY_NEWS, DIRECTORY_KNOWN);
        assert_int_equal(lease_service_new(&config, &w->service), 0);
}

static inline void lease_world_stop(LeaseWorld *w) {
        w->service = lease_service_free(w->service);
        w->directory = directory_free(w->directory);
}

static inline void lease_world_init(LeaseWorld *w, const char *subnet) {
        *w = (LeaseWorld){ .mesh = mock_mesh_new(1), .store = memory_store_new() };
        mock_network_init(&w->net);
        mock_mesh_set_realtime(w->mesh, MOCK_NOW);
        w->gateway = mock_mesh_add(w->mesh, &w->net.issuer->id);
        assert_int_equal(ip_prefix_parse(subnet, &w->subnet), 0);
        lease_world_start(w);
}

static inline void lease_world_done(LeaseWorld *w) {
        lease_world_stop(w);
        memory_store_free(w->store);
        mock_mesh_free(w->mesh);
        mock_network_done(&w->net);
}
#define LEASE_WORLD(w, subnet)                                                                     \
        _cleanup_(lease_world_done) LeaseWorld w;                                                  \
        lease_world_init(&w, subnet)

/* Certifies machine @i at the gateway's directory. Its id. Signed by the root: with ten thousand
 * of them one signature less to verify each counts. */
static inline MachineId lease_world_member(LeaseWorld *w, unsigned i) {
        g_autofree char *name = g_strdup_printf("machine%u", i);
        Identity *identity = mock_identity(i);
        MachineId id = identity->id;
        g_autoptr(Record) record = mock_certificate(
                        &w->net, w->net.root, &id, name, ROLE_MEMBER,
                        directory_next_version(w->directory, RECORD_CERTIFICATE, &id));

        identity_free(identity);
        assert_int_equal(directory_offer(w->directory, record, false, NULL), DIRECTORY_NEWS);
        return id;
}
