/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Initiations, responses and cookie replies: made, read, and tried again (docs/protocol.md,
 * "Handshake"). What a handshake leads to is link.h's: it is handed the keys.
 */

#include "core/crypto/cookie.h"
#include "core/crypto/noise.h"
#include "core/mesh/mesh-internal.h"
#include "core/mesh/link/path.h"

/* An attempt to get keys: rounds of one initiation each, sent to all candidates. */
typedef struct Attempt {
        Link *link;
        usec_t started;
        unsigned round;
        bool all_paths; /* the first round too; else only the active path is asked first */
        bool once;      /* one round, one initiation */
        usec_t round_started;
        NoiseState noise;
        uint32_t index;
        bool has_index;
        Purpose purpose;
        Secret *psk; /* NULL: 32 bytes of 0 */
        uint8_t message[HANDSHAKE_SIZE_MAX];
        size_t len;
        CookieMaker cookie;
        bool cookie_answered; /* this round's initiation went out again with a cookie */
        Endpoint candidates[PATHS_MAX];
        unsigned n_candidates, next_candidate;
        Timer timer;
} Attempt;

/* Sends the first initiation. Return: NULL if there is no right or key to ask with. */
Attempt *attempt_new(Link *link, bool all_paths);
/* A single initiation to @to. */
Attempt *attempt_new_once(Link *link, const Endpoint *to);
Attempt *attempt_free(Attempt *a);
/* Something changed for the better (new endpoints, network back): try now. */
void attempt_hurry(Attempt *a);

DropReason handshake_handle_initiation(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from);
DropReason handshake_handle_response(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from);
DropReason handshake_handle_cookie(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from);
