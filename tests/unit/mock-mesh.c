/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mock-mesh.h"

#include <string.h>

#include "base/macros.h"

typedef struct Extra {
        MeshInviteLookup lookup;
        void *userdata;
        GHashTable *invites; /* MachineId -> id of the invite proved */
        unsigned hints;
        Endpoint endpoint; /* where others see it */
} Extra;

static MockNode *node_of(const Mesh *m) {
        return (MockNode *) (void *) m;
}

static Extra *extra_of(const Mesh *m) {
        Extra **e = (Extra **) mock_node_data(node_of(m));

        if (!*e) {
                *e = NEW(Extra);
                (*e)->invites = g_hash_table_new_full(
                                machine_id_hash, machine_id_hash_equal, g_free, g_free);
        }
        return *e;
}

Mesh *mock_mesh_of(MockNode *n) {
        return (Mesh *) (void *) n;
}

void mock_mesh_of_done(MockNode *n) {
        Extra *e = extra_of(mock_mesh_of(n));

        g_hash_table_unref(e->invites);
        g_free(e);
        *mock_node_data(n) = NULL;
}

unsigned mock_mesh_hints(MockNode *n) {
        return extra_of(mock_mesh_of(n))->hints;
}

void mock_mesh_set_endpoint(MockNode *n, const Endpoint *endpoint) {
        extra_of(mock_mesh_of(n))->endpoint = *endpoint;
}

/* --- mesh.h --- */

ChannelProvider *mesh_channels(Mesh *m) {
        return (ChannelProvider *) mock_node_provider(node_of(m));
}

void mesh_set_issuer(Mesh *m, MeshInviteLookup lookup, void *userdata) {
        extra_of(m)->lookup = lookup;
        extra_of(m)->userdata = userdata;
}

void mesh_charge(Mesh *m, const MachineId *machine, usec_t cost) {
}

bool mesh_enrol_invite(
                Mesh *m,
                const MachineId *machine,
                uint8_t ret_id[static INVITE_ID_SIZE],
                Endpoint *ret_from) {
        MockNode *other = mock_mesh_find(mock_node_mesh(node_of(m)), machine);
        const uint8_t *id = g_hash_table_lookup(extra_of(m)->invites, machine);

        if (!id)
                return false;
        memcpy(ret_id, id, INVITE_ID_SIZE);
        *ret_from = other ? extra_of(mock_mesh_of(other))->endpoint : (Endpoint){};
        return true;
}

bool mesh_is_inside(const Mesh *m, const Endpoint *endpoint) {
        return false;
}

unsigned mesh_stream_endpoints(
                const Mesh *m,
                const Endpoint *endpoints,
                unsigned n,
                Endpoint ret[static STREAM_ENDPOINTS_MAX]) {
        return 0;
}

void mesh_add_hint(Mesh *m, const MachineId *machine, const Endpoint *endpoint) {
        extra_of(m)->hints++;
}

int mesh_connect_to_enrol(
                Mesh *m,
                const MachineId *issuer,
                const uint8_t invite_id[static INVITE_ID_SIZE],
                Secret *psk) {
        const MachineId *self = mock_node_id(node_of(m));
        MockNode *other = mock_mesh_find(mock_node_mesh(node_of(m)), issuer);
        Extra *e = other ? extra_of(mock_mesh_of(other)) : NULL;
        uint8_t theirs[32];

        if (!other)
                return -ENXIO;
        mock_mesh_set_reachable(mock_node_mesh(node_of(m)), node_of(m), other, false);
        if (!e->lookup)
                return 0;
        g_hash_table_remove(e->invites, self);
        if (!e->lookup(e->userdata, invite_id, self, theirs) ||
            memcmp(theirs, secret_bytes(psk), sizeof(theirs)) != 0)
                return 0;
        g_hash_table_insert(
                        e->invites, g_memdup2(self, sizeof(*self)),
                        g_memdup2(invite_id, INVITE_ID_SIZE));
        mock_mesh_set_reachable(mock_node_mesh(node_of(m)), node_of(m), other, true);
        mock_mesh_link_up(mock_node_mesh(node_of(m)), node_of(m), other);
        return 0;
}

void mesh_disconnect(Mesh *m, const MachineId *machine, uint8_t reason) {
        MockNode *other = mock_mesh_find(mock_node_mesh(node_of(m)), machine);

        if (other)
                mock_mesh_link_down(mock_node_mesh(node_of(m)), node_of(m), other);
}
