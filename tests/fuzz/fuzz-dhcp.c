/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "core/vnet/lease.h"
#include "core/wire/control.h"
#include "fuzz.h"
#include "mock-channel.h"
#include "mock-records.h"

/*
 * The channel `dhcp`, both ends. First byte 0: the rest is a member's request to the lease service;
 * 1: the rest is a gateway's answer to the lease client.
 */

typedef struct World {
        MockNetwork net;
        MockMesh *mesh;
        MockNode *gateway, *member;
        Identity *identity; /* the member's */
        Directory *directory;
        const uint8_t *data;
        size_t len;
} World;

static void offer(World *w, Record *record) {
        FUZZ_ASSERT(directory_offer(w->directory, record, false, NULL) == DIRECTORY_NEWS);
        record_unref(record);
}

/* What the service gave is good, and the member's own. */
static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        World *w = userdata;
        _cleanup_(dhcp_response_clear) DhcpResponse a = {};

        if (error) {
                FUZZ_ASSERT(error == WIRE_ERROR_MALFORMED);
                return;
        }
        FUZZ_ASSERT(dhcp_response_decode(data, len, &a) == 0);
        if (!a.lease)
                return; /* of a release */
        FUZZ_ASSERT(machine_id_equal(&a.lease->body.machine, &w->identity->id));
        FUZZ_ASSERT(ip_to_v4(&a.lease->body.lease.address) >= UINT32_C(0x0a000064));
}

static void fuzz_service(World *w) {
        const ChannelProvider *p = mock_node_provider(w->member);
        LeaseServiceConfig config = {
                .provider = mock_node_provider(w->gateway),
                .env = mock_mesh_env(w->mesh),
                .directory = w->directory,
                .issuer = w->net.issuer,
                .network = w->net.id,
        };
        LeaseService *s;

        FUZZ_ASSERT(ip_prefix_parse("10.0.0.0/16", &config.subnet) == 0);
        FUZZ_ASSERT(lease_service_new(&config, &s) == 0);
        for (unsigned i = 0; i < 2; i++) {
                FUZZ_ASSERT(p->ops->request(p->self, &w->net.issuer->id, "dhcp", w->data, w->len,
                                            USEC_PER_SEC, on_answer, w, NULL) == 0);
                mock_mesh_run(w->mesh, USEC_PER_HOUR);
        }
        lease_service_free(s);
}

static void
on_request(void *userdata,
           const MachineId *sender,
           ChannelRequest *request,
           const uint8_t *data,
           size_t len) {
        World *w = userdata;
        const ChannelProvider *p = mock_node_provider(w->gateway);
        DhcpRequest q;

        FUZZ_ASSERT(dhcp_request_decode(data, len, &q) == 0); /* our own client's */
        p->ops->reply(p->self, request, w->data, w->len);
}

/* Nothing the gateway says can give us a lease that no authority signed. */
static void on_changed(void *userdata, WireError error, const Record *lease) {
        World *w = userdata;

        if (lease)
                FUZZ_ASSERT(machine_id_equal(&lease->signer, &w->net.issuer->id));
}

static void fuzz_client(World *w) {
        const ChannelProvider *p = mock_node_provider(w->gateway);
        LeaseClientConfig config = {
                .provider = mock_node_provider(w->member),
                .env = mock_mesh_env(w->mesh),
                .directory = w->directory,
                .self = w->identity->id,
                .name = "laptop",
                .changed = on_changed,
                .userdata = w,
        };
        LeaseClient *c;

        FUZZ_ASSERT(p->ops->on_channel(p->self, "dhcp", NULL, on_request, w) == 0);
        FUZZ_ASSERT(lease_client_new(&config, &c) == 0);
        lease_client_set_gateway(c, &w->net.issuer->id);
        mock_mesh_run(w->mesh, 2 * USEC_PER_MINUTE);
        lease_client_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        World w = { .mesh = mock_mesh_new(1), .data = data + 1, .len = size - 1 };

        if (size < 1) {
                mock_mesh_free(w.mesh);
                return 0;
        }
        mock_network_init(&w.net);
        mock_mesh_set_realtime(w.mesh, MOCK_NOW);
        w.identity = mock_identity(1);
        w.gateway = mock_mesh_add(w.mesh, &w.net.issuer->id);
        w.member = mock_mesh_add(w.mesh, &w.identity->id);
        FUZZ_ASSERT(directory_new(&w.net.id, mock_mesh_env(w.mesh), NULL, &w.directory) == 0);
        offer(&w, record_ref(w.net.issuer_certificate));
        offer(&w,
              mock_certificate(&w.net, w.net.root, &w.identity->id, "laptop", ROLE_MEMBER, MOCK_NOW));
        mock_mesh_link_up(w.mesh, w.gateway, w.member);
        if (data[0] & 1)
                fuzz_client(&w);
        else
                fuzz_service(&w);
        directory_free(w.directory);
        mock_mesh_free(w.mesh);
        identity_free(w.identity);
        mock_network_done(&w.net);
        return 0;
}
