/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Keeps the directories of all members alike, over the channel `gossip` (docs/protocol.md,
 * "gossip"): what is news to us is passed on at once, and what got lost is found by comparing
 * digests. Works by itself from new to free.
 */

#include "core/mesh/channel.h"
#include "core/mesh/directory/directory.h"
#include "core/mesh/env.h"

#define GOSSIP_CHANNEL "gossip"

typedef struct Gossip Gossip;

/* All borrowed, they outlive it; @self is copied. NULL if the channel is taken. */
Gossip *
gossip_new(const ChannelProvider *provider,
           const MeshEnv *env,
           Directory *directory,
           const MachineId *self);
Gossip *gossip_free(Gossip *g);
/* Our clock was set: what was from the future may count now. Asks everybody. */
void gossip_clock_changed(Gossip *g);
/* One record as a message of the channel. */
GBytes *gossip_encode_record(Record *record);
