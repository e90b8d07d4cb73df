/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What enrolment asks of a Mesh (mesh.h), on top of mock-channel: a Mesh is a MockNode. Linked
 * instead of mesh.c. A link to enrol comes up if the psk is the one the issuer's lookup says.
 */

#include "core/mesh/mesh.h"
#include "mock-channel.h"

Mesh *mock_mesh_of(MockNode *n);
/* Frees what this keeps with @n; before mock_mesh_free(). */
void mock_mesh_of_done(MockNode *n);
/* Where its links come from; unset without this. */
void mock_mesh_set_endpoint(MockNode *n, const Endpoint *endpoint);
unsigned mock_mesh_hints(MockNode *n);
