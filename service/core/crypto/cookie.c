/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/cookie.h"

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/kdf.h"

static_assert(MAC_SIZE == crypto_generichash_BYTES_MIN, "BLAKE2b-128");
static_assert(MAC_SIZE == crypto_verify_16_BYTES, "compared in constant time");
static_assert(COOKIE_SEALED_OFFSET - COOKIE_NONCE_OFFSET ==
                              crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
              "nonce");
static_assert(COOKIE_REPLY_SIZE - COOKIE_SEALED_OFFSET ==
                              MAC_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES,
              "sealed cookie");

/* Sender index and both macs: what any message we look at must have. */
#define MESSAGE_SIZE_MIN (INITIATION_SENDER_OFFSET + 4U + 2U * MAC_SIZE)
static_assert(INITIATION_SENDER_OFFSET == RESPONSE_SENDER_OFFSET, "types 1 and 2 alike");

static void
derive_key(const char *label,
           const NetworkId *network,
           const uint8_t static_public[static 32],
           uint8_t ret[static 32]) {
        kdf_hash(label, network, sizeof *network, static_public, 32, ret);
}

static void
mac(const uint8_t *key, size_t key_len, const uint8_t *data, size_t len, uint8_t ret[static MAC_SIZE]) {
        crypto_generichash(ret, MAC_SIZE, data, len, key, key_len);
}

void cookie_checker_init(
                CookieChecker *c,
                const NetworkId *network,
                const uint8_t static_public[static 32],
                void (*random)(void *userdata, void *buf, size_t n),
                void *userdata) {
        *c = (CookieChecker){ .random = random, .random_userdata = userdata };
        derive_key("omerta mac1", network, static_public, c->mac1_key);
        derive_key("omerta cookie", network, static_public, c->seal_key);
        c->random(userdata, c->secret, sizeof c->secret);
        c->random(userdata, c->previous_secret, sizeof c->previous_secret);
}

/* Secrets belong to fixed periods of COOKIE_SECRET_LIFETIME, so that a cookie is good for one to
 * two of them however rarely somebody asks. */
static void renew_secret(CookieChecker *c, usec_t now) {
        usec_t periods = usec_sub(now, c->secret_born) / COOKIE_SECRET_LIFETIME;

        if (periods == 0)
                return;
        if (periods == 1)
                memcpy(c->previous_secret, c->secret, sizeof c->previous_secret);
        else
                c->random(c->random_userdata, c->previous_secret, sizeof c->previous_secret);
        c->random(c->random_userdata, c->secret, sizeof c->secret);
        c->secret_born += periods * COOKIE_SECRET_LIFETIME;
}

static void
make_cookie(const uint8_t secret[static 32], const Endpoint *from, uint8_t ret[static MAC_SIZE]) {
        uint8_t wire[ENDPOINT_WIRE_MAX];
        size_t n = endpoint_encode(from, wire);

        mac(secret, 32, wire, n, ret);
}

static bool
mac2_is_valid(const uint8_t secret[static 32], const uint8_t *message, size_t len, const Endpoint *from) {
        uint8_t cookie[MAC_SIZE], expected[MAC_SIZE];

        make_cookie(secret, from, cookie);
        mac(cookie, sizeof cookie, message, len - MAC_SIZE, expected);
        return crypto_verify_16(expected, message + len - MAC_SIZE) == 0;
}

CookieVerdict
cookie_check(CookieChecker *c, const uint8_t *message, size_t len, const Endpoint *from, usec_t now) {
        uint8_t expected[MAC_SIZE];

        if (len < MESSAGE_SIZE_MIN)
                return COOKIE_INVALID_MAC1;
        mac(c->mac1_key, sizeof c->mac1_key, message, len - 2 * MAC_SIZE, expected);
        if (crypto_verify_16(expected, message + len - 2 * MAC_SIZE) != 0)
                return COOKIE_INVALID_MAC1;
        /* Most messages have none. */
        if (sodium_is_zero(message + len - MAC_SIZE, MAC_SIZE))
                return COOKIE_VALID_MAC1;
        renew_secret(c, now);
        if (mac2_is_valid(c->secret, message, len, from) ||
            mac2_is_valid(c->previous_secret, message, len, from))
                return COOKIE_VALID_MAC2;
        return COOKIE_VALID_MAC1;
}

void cookie_make_reply(
                CookieChecker *c,
                const uint8_t *message,
                size_t len,
                const Endpoint *from,
                usec_t now,
                uint8_t ret[static COOKIE_REPLY_SIZE]) {
        const uint8_t *mac1 = message + len - 2 * MAC_SIZE;
        uint8_t cookie[MAC_SIZE];

        assert(len >= MESSAGE_SIZE_MIN); /* cookie_check() let it pass */
        renew_secret(c, now);
        make_cookie(c->secret, from, cookie);
        memset(ret, 0, COOKIE_REPLY_SIZE);
        ret[0] = MESSAGE_COOKIE_REPLY;
        memcpy(ret + COOKIE_RECEIVER_OFFSET, message + INITIATION_SENDER_OFFSET, 4);
        c->random(c->random_userdata, ret + COOKIE_NONCE_OFFSET,
                  COOKIE_SEALED_OFFSET - COOKIE_NONCE_OFFSET);
        crypto_aead_xchacha20poly1305_ietf_encrypt(
                        ret + COOKIE_SEALED_OFFSET, NULL, cookie, sizeof cookie, mac1, MAC_SIZE,
                        NULL, ret + COOKIE_NONCE_OFFSET, c->seal_key);
}

void cookie_maker_init(CookieMaker *m, const NetworkId *network, const uint8_t remote_static[static 32]) {
        *m = (CookieMaker){};
        derive_key("omerta mac1", network, remote_static, m->mac1_key);
        derive_key("omerta cookie", network, remote_static, m->open_key);
}

void cookie_maker_mark(CookieMaker *m, uint8_t *message, size_t len, usec_t now) {
        uint8_t *mac1 = message + len - 2 * MAC_SIZE, *mac2 = message + len - MAC_SIZE;

        assert(len >= MESSAGE_SIZE_MIN);
        mac(m->mac1_key, sizeof m->mac1_key, message, len - 2 * MAC_SIZE, mac1);
        memcpy(m->last_mac1, mac1, MAC_SIZE);
        m->sent = true;
        if (m->has_cookie && usec_sub(now, m->cookie_born) >= COOKIE_SECRET_LIFETIME)
                m->has_cookie = false;
        if (m->has_cookie)
                mac(m->cookie, sizeof m->cookie, message, len - MAC_SIZE, mac2);
        else
                memset(mac2, 0, MAC_SIZE);
}

int cookie_maker_take_reply(CookieMaker *m, const uint8_t reply[static COOKIE_REPLY_SIZE], usec_t now) {
        uint8_t cookie[MAC_SIZE];

        if (!m->sent || read_be32(reply) != (uint32_t) MESSAGE_COOKIE_REPLY << 24)
                return -EBADMSG;
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(
                            cookie, NULL, NULL, reply + COOKIE_SEALED_OFFSET,
                            COOKIE_REPLY_SIZE - COOKIE_SEALED_OFFSET, m->last_mac1, MAC_SIZE,
                            reply + COOKIE_NONCE_OFFSET, m->open_key) != 0)
                return -EBADMSG;
        memcpy(m->cookie, cookie, sizeof cookie);
        m->cookie_born = now;
        m->has_cookie = true;
        m->sent = false; /* one answer a message: a repeated reply does not renew the cookie */
        return 0;
}
