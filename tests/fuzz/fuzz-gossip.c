/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A member that says anything on the channel `gossip`: the input is a sequence of messages, each
 * with its length before it (2 bytes, little-endian; 0: a minute passes). */
#include <string.h>

#include "base/macros.h"
#include "core/mesh/gossip/gossip.h"
#include "core/wire/control.h"
#include "fuzz.h"
#include "mock-channel.h"
#include "mock-records.h"

static MockNetwork net;
static Identity *self, *hostile, *other;
static Record *certificates[3];

static void setup(void) {
        const Identity *who[3];

        mock_network_init(&net);
        who[0] = self = mock_identity(1);
        who[1] = hostile = mock_identity(2);
        who[2] = other = mock_identity(3);
        for (unsigned i = 0; i < 3; i++)
                certificates[i] = mock_certificate(
                                &net, net.issuer, &who[i]->id, "x", ROLE_MEMBER, MOCK_NOW);
}

/* Nobody hears of anything that is not in our directory. */
static bool tap(void *userdata,
                MockNode *from,
                MockNode *to,
                MockKind kind,
                const char *channel,
                const uint8_t *data,
                size_t len) {
        GossipMessage m = {};

        if (!machine_id_equal(mock_node_id(from), &self->id))
                return true;
        FUZZ_ASSERT(gossip_message_decode(data, len, &m, NULL) >= 0);
        for (unsigned i = 0; m.records && i < m.records->len; i++) {
                Record *r = m.records->pdata[i];

                FUZZ_ASSERT(r->body.kind == RECORD_PRESENCE ||
                            machine_id_equal(&r->signer, &net.issuer->id) ||
                            machine_id_equal(&r->signer, &net.id));
        }
        gossip_message_clear(&m);
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        MockNode *us, *them, *third;
        const ChannelProvider *p;
        Directory *d = NULL;
        MockMesh *mesh;
        Gossip *g;

        if (!net.root)
                setup();
        mesh = mock_mesh_new(1);
        mock_mesh_set_realtime(mesh, MOCK_NOW);
        us = mock_mesh_add(mesh, &self->id);
        them = mock_mesh_add(mesh, &hostile->id);
        third = mock_mesh_add(mesh, &other->id);
        FUZZ_ASSERT(directory_new(&net.id, mock_mesh_env(mesh), NULL, &d) >= 0);
        directory_offer(d, net.issuer_certificate, false, NULL);
        for (unsigned i = 0; i < ELEMENTSOF(certificates); i++)
                directory_offer(d, certificates[i], false, NULL);
        g = gossip_new(mock_node_provider(us), mock_mesh_env(mesh), d, &self->id);
        mock_mesh_link_up(mesh, us, them);
        mock_mesh_link_up(mesh, us, third);
        mock_mesh_set_tap(mesh, tap, NULL);
        p = mock_node_provider(them);
        while (size >= 2) {
                size_t n = (size_t) data[0] | (size_t) data[1] << 8;

                data += 2;
                size -= 2;
                n = MIN(n, size);
                if (n > 0)
                        (void) p->ops->send(p->self, &self->id, "gossip", data, n);
                mock_mesh_run(mesh, n > 0 ? USEC_PER_SEC : USEC_PER_MINUTE);
                data += n;
                size -= n;
        }
        gossip_free(g);
        directory_free(d);
        mock_mesh_free(mesh);
        return 0;
}
