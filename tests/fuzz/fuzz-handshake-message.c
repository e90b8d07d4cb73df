/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/cookie.h"
#include "core/crypto/noise.h"

/*
 * What a stranger's handshake message meets before anything of it is believed: mac1 and mac2,
 * Noise of either message, and a cookie reply. First byte: bit 0 puts the right mac1 in, bit 1
 * stands for the response.
 */

#define NOW (1000 * USEC_PER_SEC)

static void fixed(void *userdata, void *buf, size_t n) {
        memset(buf, 0x55, n);
}

static void read_noise(const uint8_t *in, size_t len, bool is_response) {
        static const uint8_t secret[32] = { 1 }, remote_secret[32] = { 2 }, e[32] = { 3 }, psk[32];
        uint8_t public[32], remote[32], message[96];
        uint8_t *payload = g_malloc(len + 1);
        NoiseState st, before;

        crypto_scalarmult_base(public, secret);
        crypto_scalarmult_base(remote, remote_secret);
        noise_init(&st, is_response, true, NULL, 0, secret, public, is_response ? remote : NULL, e);
        if (is_response && noise_write_initiation(&st, NULL, 0, message) < 0)
                abort();
        before = st;
        /* The keys are fixed, so that it could be done; only nobody finds a tag by trying. */
        if ((is_response ? noise_read_response(&st, psk, in, len, payload)
                         : noise_read_initiation(&st, in, len, payload)) == 0)
                abort();
        if (memcmp(&st, &before, sizeof st) != 0)
                abort();
        noise_clear(&st);
        g_free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const NetworkId network = { { 7 } };
        static const uint8_t static_public[32] = { 8 };
        Endpoint from = { .in = { .sin_family = AF_INET, .sin_port = 1 } };
        uint8_t reply[COOKIE_REPLY_SIZE] = {}, *message;
        CookieChecker checker;
        CookieMaker maker;
        size_t len;
        bool right_mac;

        if (sodium_init() < 0)
                abort();
        if (size < 1)
                return 0;
        len = size - 1;
        message = g_malloc(len);
        if (len > 0)
                memcpy(message, data + 1, len);
        cookie_checker_init(&checker, &network, static_public, fixed, NULL);
        cookie_maker_init(&maker, &network, static_public);

        right_mac = (data[0] & 1) && len >= 40;
        if (right_mac)
                cookie_maker_mark(&maker, message, len, NOW);
        if (cookie_check(&checker, message, len, &from, NOW) != COOKIE_INVALID_MAC1) {
                if (!right_mac)
                        abort();
                cookie_make_reply(&checker, message, len, &from, NOW, reply);
                if (cookie_maker_take_reply(&maker, reply, NOW) < 0)
                        abort();
                cookie_maker_mark(&maker, message, len, NOW);
                if (cookie_check(&checker, message, len, &from, NOW) != COOKIE_VALID_MAC2)
                        abort();
        } else if (right_mac)
                abort();

        memcpy(reply, data + 1, MIN(len, sizeof reply));
        maker.sent = true;
        if (cookie_maker_take_reply(&maker, reply, NOW) == 0 && !right_mac)
                abort();
        read_noise(data + 1, len, data[0] & 2);
        g_free(message);
        return 0;
}
