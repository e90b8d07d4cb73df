/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * mac1, mac2 and cookie replies (docs/protocol.md, "mac1, mac2, cookies"): a stranger gets
 * silence, and under load a sender must show that it receives at its address before it costs us
 * an X25519.
 */

#include <stdbool.h>

#include "base/endpoint.h"
#include "base/machine-id.h"
#include "base/time.h"
#include "core/wire/messages.h"

#define COOKIE_SECRET_LIFETIME (120 * USEC_PER_SEC)

/* What checks incoming handshakes: one per network. */
typedef struct CookieChecker {
        uint8_t mac1_key[32];
        uint8_t seal_key[32];
        uint8_t secret[32], previous_secret[32];
        usec_t secret_born;
        void (*random)(void *userdata, void *buf, size_t n);
        void *random_userdata;
} CookieChecker;

void cookie_checker_init(
                CookieChecker *c,
                const NetworkId *network,
                const uint8_t static_public[static 32],
                void (*random)(void *userdata, void *buf, size_t n),
                void *userdata);

typedef enum CookieVerdict {
        COOKIE_INVALID_MAC1,
        COOKIE_VALID_MAC1, /* mac2 missing or wrong */
        COOKIE_VALID_MAC2,
} CookieVerdict;

/* @message: whole handshake message, types 1 and 2. */
CookieVerdict
cookie_check(CookieChecker *c, const uint8_t *message, size_t len, const Endpoint *from, usec_t now);
/* Answers @message (at least its sender index and macs) with a cookie for @from. */
void cookie_make_reply(
                CookieChecker *c,
                const uint8_t *message,
                size_t len,
                const Endpoint *from,
                usec_t now,
                uint8_t ret[static COOKIE_REPLY_SIZE]);

/* What marks outgoing handshakes to one machine. */
typedef struct CookieMaker {
        uint8_t mac1_key[32];
        uint8_t open_key[32];
        uint8_t last_mac1[MAC_SIZE];
        uint8_t cookie[MAC_SIZE];
        usec_t cookie_born;
        bool has_cookie, sent;
} CookieMaker;

void cookie_maker_init(CookieMaker *m, const NetworkId *network, const uint8_t remote_static[static 32]);
/* Fills the last 32 bytes of @message. */
void cookie_maker_mark(CookieMaker *m, uint8_t *message, size_t len, usec_t now);
/* Return: 0, or -EBADMSG if the reply is not to our last message. */
int cookie_maker_take_reply(CookieMaker *m, const uint8_t reply[static COOKIE_REPLY_SIZE], usec_t now);
