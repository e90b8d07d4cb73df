/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * LAN beacons, as they come and sealed with the right key, as a member that means no good would:
 * input is a sequence of kind (1: even as it comes, odd sealed), port of the source (1), length (1)
 * and bytes. What is caused by them stays bounded: a beacon has at most one answer, as long as
 * itself.
 */

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/lan/beacon.h"
#include "fuzz.h"
#include "sim-mesh.h"

#define BEACONS_FUZZED_MAX 64U

static bool
on_sent(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        unsigned *answers = userdata;

        if (data[0] == MESSAGE_BEACON) {
                FUZZ_ASSERT(len == BEACON_SIZE);
                ++*answers;
        }
        return true;
}

static void seal(const Secret *key, const uint8_t *plain, size_t len, uint8_t ret[static BEACON_SIZE]) {
        uint8_t whole[BEACON_PLAIN_SIZE] = {};

        memcpy(whole, plain, MIN(len, sizeof whole));
        memset(ret, 0, BEACON_SIZE);
        ret[0] = MESSAGE_BEACON;
        crypto_aead_xchacha20poly1305_ietf_encrypt(
                        ret + BEACON_SEALED_OFFSET, NULL, whole, sizeof whole, ret,
                        BEACON_NONCE_OFFSET, NULL, ret + BEACON_NONCE_OFFSET, secret_bytes(key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        TestNet *t = test_net_new(FUZZ_SEED, 2);
        TestMachine *m = &t->machines[1];
        Secret *key = beacon_derive_key(&t->network.id, t->secret);
        unsigned answers = 0, given = 0;
        Endpoint from;

        if (endpoint_parse("198.51.100.7:1000", 0, &from) < 0)
                abort();
        test_net_introduce(t);
        mesh_set_lan_discovery(m->mesh, true);
        sim_run_for(t->sim, USEC_PER_SEC);
        sim_set_tap(t->sim, on_sent, &answers);
        for (; given < BEACONS_FUZZED_MAX && size >= 3; given++) {
                size_t len = MIN((size_t) data[2], size - 3);

                endpoint_set_port(&from, (uint16_t) (1 + data[1]));
                if (data[0] % 2 == 1) {
                        g_autofree uint8_t *beacon = g_malloc(BEACON_SIZE);

                        seal(key, data + 3, len, beacon);
                        (void) mesh_handle_beacon(m->mesh, beacon, BEACON_SIZE, &from);
                } else {
                        g_autofree uint8_t *beacon = g_memdup2(data + 3, len);

                        (void) mesh_handle_beacon(m->mesh, beacon, len, &from);
                }
                sim_run_for(t->sim, 5 * USEC_PER_MSEC);
                data += 3 + len;
                size -= 3 + len;
        }
        /* All within one interval, and from one address. */
        FUZZ_ASSERT(answers <= 1);
        sim_set_tap(t->sim, NULL, NULL);
        secret_unref(key);
        test_net_free(t);
        return 0;
}
