/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Datagrams for an issuer and a member, raw and with everything right that takes a key, so that
 * what lies behind mac1 and Noise is reached: input is a sequence of mode (1), length (2, LE)
 * and bytes.
 */

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/cookie.h"
#include "core/crypto/noise.h"
#include "sim-mesh.h"

#define DATAGRAMS_MAX 32U
/* A machine whose keys the fuzzer has. */
#define STRANGER 7U

typedef enum Mode {
        MODE_RAW_TO_ISSUER,
        MODE_RAW_TO_MEMBER,
        MODE_MARKED,     /* mac1 put in */
        MODE_INITIATION, /* bytes are the payload of a stranger's initiation to the issuer */
        MODE_RESPONSE,   /* ... of its response to the member's initiation */
        _MODE_MAX,
} Mode;

typedef struct Fuzz {
        TestNet *net;
        TestMachine *issuer, *member;
        Identity *stranger;
        Endpoint at; /* where the stranger is */
        uint8_t initiation[HANDSHAKE_SIZE_MAX];
        size_t initiation_len;
} Fuzz;

static bool
lookup(void *userdata,
       const uint8_t id[static INVITE_ID_SIZE],
       const MachineId *machine,
       uint8_t ret_psk[static 32]) {
        memset(ret_psk, 0, 32);
        return id[0] & 1;
}

static bool
on_sent(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Fuzz *f = userdata;

        if (endpoint_equal(to, &f->at) && data[0] == MESSAGE_HANDSHAKE_INITIATION) {
                memcpy(f->initiation, data, len);
                f->initiation_len = len;
        }
        return true;
}

static void start_noise(Fuzz *f, NoiseState *st, bool is_initiator, const uint8_t *remote) {
        static const uint8_t ephemeral[32] = { 3 };
        uint8_t prologue[9 + 32];

        memcpy(prologue, OMERTA_PROLOGUE, 9);
        memcpy(prologue + 9, &f->net->network.id, 32);
        noise_init(st, is_initiator, true, prologue, sizeof prologue, f->stranger->static_secret,
                   f->stranger->static_public, remote, ephemeral);
}

static void give(Fuzz *f, TestMachine *m, uint8_t *data, size_t len) {
        (void) mesh_handle_datagram(m->mesh, data, len, &f->at);
        sim_run_for(f->net->sim, 5 * USEC_PER_MSEC);
}

static void mark(Fuzz *f, const TestMachine *to, uint8_t *message, size_t len) {
        CookieMaker mac;

        cookie_maker_init(&mac, &f->net->network.id, to->identity->static_public);
        if (len >= 40)
                cookie_maker_mark(&mac, message, len, sim_now(f->net->sim));
}

static void send_initiation(Fuzz *f, const uint8_t *payload, size_t len) {
        uint8_t message[HANDSHAKE_SIZE_MAX] = { MESSAGE_HANDSHAKE_INITIATION, 1 };
        NoiseState st;

        if (len > sizeof message - INITIATION_OVERHEAD)
                return;
        start_noise(f, &st, true, f->issuer->identity->static_public);
        if (noise_write_initiation(&st, payload, len, message + INITIATION_EPHEMERAL_OFFSET) < 0)
                abort();
        mark(f, f->issuer, message, INITIATION_OVERHEAD + len);
        give(f, f->issuer, message, INITIATION_OVERHEAD + len);
        noise_clear(&st);
}

static void send_response(Fuzz *f, const uint8_t *payload, size_t len) {
        uint8_t message[HANDSHAKE_SIZE_MAX] = { MESSAGE_HANDSHAKE_RESPONSE, 1 };
        uint8_t scratch[HANDSHAKE_SIZE_MAX];
        NoiseState st;

        if (len > sizeof message - RESPONSE_OVERHEAD || f->initiation_len == 0)
                return;
        start_noise(f, &st, false, NULL);
        if (noise_read_initiation(
                            &st, f->initiation + INITIATION_EPHEMERAL_OFFSET,
                            f->initiation_len - INITIATION_EPHEMERAL_OFFSET - 2 * MAC_SIZE,
                            scratch) < 0)
                abort();
        memcpy(message + RESPONSE_RECEIVER_OFFSET, f->initiation + INITIATION_SENDER_OFFSET, 4);
        if (noise_write_response(
                            &st, secret_bytes(f->net->secret), payload, len,
                            message + RESPONSE_EPHEMERAL_OFFSET) < 0)
                abort();
        mark(f, f->member, message, RESPONSE_OVERHEAD + len);
        give(f, f->member, message, RESPONSE_OVERHEAD + len);
        noise_clear(&st);
}

static void run_one(Fuzz *f, Mode mode, const uint8_t *data, size_t len) {
        g_autofree uint8_t *copy = g_memdup2(data, len);

        switch (mode) {
        case MODE_RAW_TO_ISSUER:
                give(f, f->issuer, copy, len);
                return;
        case MODE_RAW_TO_MEMBER:
                give(f, f->member, copy, len);
                return;
        case MODE_MARKED:
                mark(f, f->issuer, copy, len);
                give(f, f->issuer, copy, len);
                return;
        case MODE_INITIATION:
                send_initiation(f, data, len);
                return;
        case MODE_RESPONSE:
                send_response(f, data, len);
                return;
        case _MODE_MAX:
                return;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Fuzz f = { .net = test_net_new(FUZZ_SEED, 2), .stranger = mock_identity(STRANGER) };
        ChannelProvider *p;

        f.issuer = &f.net->machines[0];
        f.member = &f.net->machines[1];
        p = test_channels(f.member);
        if (endpoint_parse("198.51.100.7:7", 0, &f.at) < 0)
                abort();
        test_net_introduce(f.net);
        mesh_set_issuer(f.issuer->mesh, lookup, NULL);
        sim_set_tap(f.net->sim, on_sent, &f);
        /* The member looks for the stranger, of whom it was told that it is one of us. */
        mesh_add_hint(f.member->mesh, &f.stranger->id, &f.at);
        (void) p->ops->connect(p->self, &f.stranger->id);
        if (f.initiation_len == 0)
                abort();
        for (unsigned i = 0; i < DATAGRAMS_MAX && size >= 3; i++) {
                size_t len = MIN((size_t) (data[1] | data[2] << 8), size - 3);

                run_one(&f, (Mode) (data[0] % _MODE_MAX), data + 3, len);
                data += 3 + len;
                size -= 3 + len;
        }
        sim_run_for(f.net->sim, 2 * USEC_PER_SEC);
        test_net_free(f.net);
        identity_free(f.stranger);
        return 0;
}
