/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Frames of a member that means no good, on an established link: segments and what they make of
 * themselves as messages, acknowledgements, probes, datagrams. Input: length (2, LE) and bytes
 * of each frame. While it goes on the machine has messages of its own on the way.
 */

#include <string.h>

#include "base/macros.h"
#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"
#include "sim-mesh.h"

#define FRAMES_MAX 64U

static void on_probe(void *userdata, bool lost, usec_t rtt) {
        ++*(unsigned *) userdata;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        TestNet *t = test_net_new(FUZZ_SEED, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        ChannelProvider *p = test_channels(a);
        Endpoint from = sim_node_endpoint(b->node);
        unsigned probed = 0;
        Link *link;

        test_net_introduce(t);
        if (test_send(a, b, "hello") < 0 || !test_wait_up(a, b, USEC_PER_SEC))
                abort();
        sim_run_for(t->sim, 100 * USEC_PER_MSEC);
        /* From now on the other side says only what we are given. */
        sim_node_on_receive(a->node, NULL, NULL);
        (void) test_send(a, b, "more");
        (void) p->ops->probe(p->self, &b->identity->id, USEC_PER_SEC, on_probe, &probed);
        for (unsigned i = 0; i < FRAMES_MAX && size >= 2; i++) {
                size_t len = MIN((size_t) (data[0] | data[1] << 8), size - 2);
                /* Its own allocation, so that a byte too far is seen. */
                g_autofree uint8_t *frame = g_memdup2(data + 2, len);

                link = link_find(a->mesh, &b->identity->id);
                if (!link || !link->current.kp)
                        break;
                (void) mesh_handle_frame(a->mesh, link->current.kp, frame, len, &from);
                sim_run_for(t->sim, 5 * USEC_PER_MSEC);
                data += 2 + len;
                size -= 2 + len;
        }
        sim_run_for(t->sim, 2 * USEC_PER_SEC);
        test_net_free(t);
        return 0;
}
