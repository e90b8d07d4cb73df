/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keeps the directories of all members alike (docs/protocol.md, "gossip"). */

#include "core/mesh/channel.h"
#include "core/mesh/directory.h"

typedef struct Gossip Gossip;

Gossip *
gossip_new(const ChannelProvider *provider,
           const MeshEnv *env,
           Directory *directory,
           const MachineId *self);
Gossip *gossip_free(Gossip *g);
