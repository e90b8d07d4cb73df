/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/gossip.h"

Gossip *
gossip_new(const ChannelProvider *provider,
           const MeshEnv *env,
           Directory *directory,
           const MachineId *self) {
        return NULL;
}

Gossip *gossip_free(Gossip *g) {
        return NULL;
}
