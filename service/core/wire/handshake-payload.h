/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CBOR payloads of the two handshake messages (docs/protocol.md, "Handshake payloads"). */

#include <stdbool.h>

#include "base/endpoint.h"
#include "base/machine-id.h"
#include "core/wire/messages.h"
#include "core/wire/record.h"

#define INVITE_ID_SIZE 16U
#define BOOT_ID_SIZE 8U
#define HANDSHAKE_PAYLOAD_MAX (HANDSHAKE_SIZE_MAX - RESPONSE_OVERHEAD)

typedef enum Purpose {
        PURPOSE_MEMBER = 0,
        PURPOSE_INVITE = 1,
        _PURPOSE_MAX,
} Purpose;

typedef enum Cipher {
        CIPHER_CHACHA20_POLY1305 = 1 << 0,
        CIPHER_AES_256_GCM = 1 << 1,
} Cipher;

typedef struct HandshakePayload {
        bool is_response;
        uint8_t timestamp[TAI64N_SIZE]; /* initiation */
        Purpose purpose;                /* initiation */
        /* References; NULL where absent. handshake_payload_clear() drops them. */
        Record *certificate;
        Record *issuer_certificate;
        MachineId machine;                 /* initiation, purpose 1 */
        uint8_t invite_id[INVITE_ID_SIZE]; /* initiation, purpose 1 */
        unsigned ciphers;                  /* set of Cipher; in a response exactly one */
        uint8_t boot_id[BOOT_ID_SIZE];
        Endpoint seen;   /* the other side's endpoint as we know it; may be unset */
        usec_t realtime; /* what the sender's clock shows; 0: it does not trust it */
} HandshakePayload;

void handshake_payload_clear(HandshakePayload *p);

/**
 * handshake_payload_encode() - write @p, padded (key 0) to at least @min_size
 * Return: length, or -ENOBUFS if it does not fit into @size.
 */
int handshake_payload_encode(const HandshakePayload *p, size_t min_size, uint8_t *buf, size_t size);

/**
 * handshake_payload_decode() - read foreign bytes
 * @is_response: which of the two
 * Keys that mean nothing for the purpose are not handed on.
 * Return: 0 and @ret to be cleared by the caller, or -EBADMSG: malformed, mandatory key missing.
 */
int handshake_payload_decode(const uint8_t *buf, size_t len, bool is_response, HandshakePayload *ret);
