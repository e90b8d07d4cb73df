/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The backends, for aead.c and tests; everybody else asks aead_backend_for(). */

#include "core/crypto/aead.h"

extern const AeadBackend aead_sodium_chacha20_poly1305;
extern const AeadBackend aead_sodium_aes_256_gcm;
extern const AeadBackend aead_ipsec_mb_aes_256_gcm; /* with HAVE_IPSEC_MB */

/* True if both give the same bytes for messages of many lengths, read each other's and refuse
 * forged ones. Both must be able to run. */
bool aead_backends_agree(const AeadBackend *a, const AeadBackend *b);
