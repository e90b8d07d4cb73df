/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which network of a daemon a datagram is for that comes before there are keys (types 1 to 3): all
 * networks share the UDP sockets. An answer carries the receiver index we gave, an initiation the
 * mac1 that only members of its network can make. Without I/O; control thread only.
 */

#include "base/drop-reason.h"
#include "core/crypto/index-table.h"
#include "core/mesh/mesh.h"

/**
 * demux_handshake() - whose is it?
 * @meshes: of all networks there are; borrowed
 *
 * Looks at no more than is needed for that; the mesh judges the rest.
 * Return: one of @meshes, or NULL and *@ret_reason: MALFORMED, MAC1: an initiation for nobody here,
 * HANDSHAKE_UNEXPECTED: an answer nobody waits for.
 */
Mesh *
demux_handshake(IndexTable *indices,
                Mesh *const *meshes,
                unsigned n_meshes,
                const uint8_t *data,
                size_t len,
                DropReason *ret_reason);
