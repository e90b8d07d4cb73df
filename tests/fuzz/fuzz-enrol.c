/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first byte says to whom the rest goes: 0 a question on `enrol` by somebody with an invite, 1
 * by somebody without, 2 a question on `cert`, 3 an answer to a machine that wants to join. */
#include <string.h>

#include "base/macros.h"
#include "core/crypto/kdf.h"
#include "core/mesh/enrol/enrol.h"
#include "fuzz.h"
#include "mock-mesh.h"
#include "mock-records.h"

typedef struct Fuzz {
        MockMesh *mesh;
        MockNode *gateway, *joiner;
        Directory *directory;
        EnrolService *service;
        const uint8_t *data;
        size_t size;
        bool answered;
} Fuzz;

static MockNetwork net;
static Identity *joiner;
static Secret *secret;

static void on_reply(void *userdata, WireError error, const uint8_t *data, size_t len) {
        ((Fuzz *) userdata)->answered = true;
}

typedef enum Asker {
        ASKER_INVITED,
        ASKER_TO_BE_APPROVED,
        ASKER_NOBODY, /* its link shows no invite */
} Asker;

static void ask_service(Fuzz *f, const char *channel, Asker asker) {
        const ChannelProvider *p = mock_node_provider(f->joiner);
        EnrolServiceConfig config = {
                .mesh = mock_mesh_of(f->gateway),
                .directory = f->directory,
                .env = mock_mesh_env(f->mesh),
                .issuer = net.issuer,
                .network = net.id,
                .network_name = "home",
                .secret = secret,
                .subnet = { .addr = ip_from_v4(10U << 24), .len = 16 },
        };
        InviteOptions options = { .needs_approval = asker == ASKER_TO_BE_APPROVED };
        _cleanup_(secret_unrefp) Secret *psk = NULL;
        StoredInvite stored;
        char *link = NULL;

        FUZZ_ASSERT(enrol_service_new(&config, &f->service) >= 0);
        FUZZ_ASSERT(enrol_service_invite(f->service, &options, &link, &stored) >= 0);
        g_free(link);
        psk = secret_new(stored.psk);
        if (asker == ASKER_NOBODY)
                mock_mesh_link_up(f->mesh, f->joiner, f->gateway);
        else
                FUZZ_ASSERT(mesh_connect_to_enrol(
                                            mock_mesh_of(f->joiner), &net.issuer->id, stored.id,
                                            psk) >= 0);
        FUZZ_ASSERT(p->ops->request(p->self, &net.issuer->id, channel, f->data, f->size,
                                    USEC_PER_SEC, on_reply, f, NULL) >= 0);
        mock_mesh_run(f->mesh, 2 * USEC_PER_SEC);
        FUZZ_ASSERT(f->answered);
        /* Nobody but the invited is let in without a person. */
        FUZZ_ASSERT(asker == ASKER_INVITED || !directory_certificate(f->directory, &joiner->id));
        enrol_service_free(f->service);
}

static void
on_question(void *userdata,
            const MachineId *sender,
            ChannelRequest *request,
            const uint8_t *data,
            size_t len) {
        Fuzz *f = userdata;
        const ChannelProvider *p = mock_node_provider(f->gateway);

        p->ops->reply(p->self, request, f->data, f->size);
}

static void on_done(void *userdata, WireError error, const EnrolResponse *response) {
        Fuzz *f = userdata;

        f->answered = true;
        if (!error && response->status == ENROL_WELCOME)
                FUZZ_ASSERT(machine_id_equal(&response->certificate->body.machine, &joiner->id));
}

static bool lookup(void *userdata, const uint8_t *id, const MachineId *machine, uint8_t *ret_psk) {
        memset(ret_psk, 0, 32);
        return true;
}

static void answer_client(Fuzz *f) {
        const ChannelProvider *p = mock_node_provider(f->gateway);
        Invite invite = { .network = net.id, .issuer = net.issuer->id };
        EnrolClient *client = NULL;

        mesh_set_issuer(mock_mesh_of(f->gateway), lookup, NULL);
        (void) p->ops->on_channel(p->self, "enrol", NULL, on_question, f);
        FUZZ_ASSERT(enrol_client_start(
                                    mock_mesh_of(f->joiner), mock_mesh_env(f->mesh), joiner,
                                    &invite, "x", "", 20 * USEC_PER_SEC, on_done, f, &client) >= 0);
        mock_mesh_run(f->mesh, 30 * USEC_PER_SEC);
        FUZZ_ASSERT(f->answered);
        enrol_client_free(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Fuzz f = { .data = data + 1, .size = size - 1 };

        if (size < 1 || size > CONTROL_PAYLOAD_MAX)
                return 0;
        if (!net.root) {
                mock_network_init(&net);
                joiner = mock_identity(1);
                secret = secret_new((const uint8_t[SECRET_SIZE]){ 7 });
        }
        f.mesh = mock_mesh_new(1);
        mock_mesh_set_realtime(f.mesh, MOCK_NOW);
        f.gateway = mock_mesh_add(f.mesh, &net.issuer->id);
        f.joiner = mock_mesh_add(f.mesh, &joiner->id);
        FUZZ_ASSERT(directory_new(&net.id, mock_mesh_env(f.mesh), NULL, &f.directory) >= 0);
        directory_offer(f.directory, net.issuer_certificate, false, NULL);
        switch (data[0] & 7) {
        case 0:
                ask_service(&f, "enrol", ASKER_INVITED);
                break;
        case 1:
                ask_service(&f, "enrol", ASKER_TO_BE_APPROVED);
                break;
        case 2:
                ask_service(&f, "cert", ASKER_NOBODY);
                break;
        case 4:
                ask_service(&f, "enrol", ASKER_NOBODY);
                break;
        default:
                answer_client(&f);
        }
        mock_mesh_of_done(f.gateway);
        mock_mesh_of_done(f.joiner);
        directory_free(f.directory);
        mock_mesh_free(f.mesh);
        return 0;
}
