/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Looking anew at what is before this machine, when a person asks (mesh_net_check()): members are
 * asked where they see us, within the budgets of probes, and one datagram is sent to our own
 * endpoint outside, which a router with hairpin brings back. What came of it is a value.
 *
 * Control thread only.
 */

#include "core/mesh/mesh.h"

typedef struct NetCheck NetCheck;

NetCheck *net_check_new(Mesh *m);
/* Who waits is told that nothing came of it. */
NetCheck *net_check_free(NetCheck *c);
/* Nobody can have been heard while this machine slept. */
void net_check_woke(NetCheck *c);
/* Whether it is the datagram that was sent to ourselves. */
bool net_check_take(NetCheck *c, const uint8_t *data, size_t len);
