/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/demux.h"

#include "base/macros.h"
#include "core/wire/messages.h"

static Mesh *find_claimant(Mesh *const *meshes, unsigned n_meshes, const uint8_t *data, size_t len) {
        for (unsigned i = 0; i < n_meshes; i++)
                if (mesh_claims_initiation(meshes[i], data, len))
                        return meshes[i];
        return NULL;
}

/* An index is given back with its network: its owner is one of @meshes, or it has none. */
static Mesh *
find_owner(IndexTable *indices, const uint8_t *data, size_t len, size_t at, DropReason *ret_reason) {
        Mesh *mesh;

        if (len < at + sizeof(uint32_t)) {
                *ret_reason = DROP_MALFORMED;
                return NULL;
        }
        mesh = index_table_owner(indices, read_le32(data + at));
        if (!mesh)
                *ret_reason = DROP_HANDSHAKE_UNEXPECTED;
        return mesh;
}

Mesh *
demux_handshake(IndexTable *indices,
                Mesh *const *meshes,
                unsigned n_meshes,
                const uint8_t *data,
                size_t len,
                DropReason *ret_reason) {
        Mesh *mesh;

        switch (len > 0 ? data[0] : 0) {
        case MESSAGE_HANDSHAKE_INITIATION:
                mesh = find_claimant(meshes, n_meshes, data, len);
                if (!mesh)
                        *ret_reason = DROP_MAC1;
                return mesh;
        case MESSAGE_HANDSHAKE_RESPONSE:
                return find_owner(indices, data, len, RESPONSE_RECEIVER_OFFSET, ret_reason);
        case MESSAGE_COOKIE_REPLY:
                return find_owner(indices, data, len, COOKIE_RECEIVER_OFFSET, ret_reason);
        default:
                *ret_reason = DROP_MALFORMED;
                return NULL;
        }
}
