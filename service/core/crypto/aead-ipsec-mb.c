/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <intel-ipsec-mb.h>
#include <sodium.h>

#include "base/macros.h"
#include "core/crypto/aead-internal.h"

/*
 * AES-256-GCM of libipsec-mb through its direct calls: one message a call, no job queue. They
 * work on the expanded key and a context on the caller's stack only, so that any number of
 * threads can use one key. The manager is needed just to learn which of its implementations
 * suits this CPU.
 */

static_assert(sizeof(struct gcm_key_data) <= AEAD_STATE_SIZE, "state");
static_assert(_Alignof(AeadKey) >= 64, "libipsec-mb loads whole cache lines");
static_assert(AEAD_KEY_SIZE == IMB_GCM_256_KEY_LEN, "key");
static_assert(AEAD_NONCE_SIZE == IMB_GCM_IV_DATA_LEN, "nonce");
static_assert(AEAD_TAG_SIZE == crypto_verify_16_BYTES, "tag");

/* A property of the CPU, not state: set once, by the first gcm_is_available(), then read only. */
static struct {
        aes_gcm_pre_t pre;
        aes_gcm_enc_dec_t enc, dec;
} gcm;

static bool gcm_load(void) {
        /* Anything less is slower than libsodium, or not constant in time. */
        const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
        IMB_MGR *manager = alloc_mb_mgr(0);
        bool usable = false;

        if (!manager)
                return false;
        if ((manager->features & needed) == needed) {
                init_mb_mgr_auto(manager, NULL);
                usable = imb_get_errno(manager) == 0 && (manager->features & needed) == needed &&
                         !(manager->features & IMB_FEATURE_AESNI_EMU) && manager->gcm256_pre &&
                         manager->gcm256_enc && manager->gcm256_dec;
        }
        if (usable) {
                gcm.pre = manager->gcm256_pre;
                gcm.enc = manager->gcm256_enc;
                gcm.dec = manager->gcm256_dec;
        }
        free_mb_mgr(manager);
        return usable;
}

static bool gcm_is_available(void) {
        static gsize once;

        if (g_once_init_enter(&once)) {
                /* Without libsodium's there is nothing to compare with, and where the CPU can do
                 * the one it can do the other. */
                bool usable = aead_sodium_aes_256_gcm.is_available() && gcm_load() &&
                              aead_backends_agree(
                                              &aead_ipsec_mb_aes_256_gcm, &aead_sodium_aes_256_gcm);

                g_once_init_leave(&once, usable ? 1 : 2);
        }
        return once == 1;
}

static void gcm_key_init(AeadKey *key, const uint8_t secret[static AEAD_KEY_SIZE]) {
        gcm.pre(secret, (struct gcm_key_data *) key->state);
}

static void
gcm_seal(const AeadKey *key,
         const uint8_t nonce[static AEAD_NONCE_SIZE],
         const uint8_t *in,
         size_t n,
         uint8_t *out) {
        struct gcm_context_data context;

        gcm.enc((const struct gcm_key_data *) key->state, &context, out, in, n, nonce, NULL, 0,
                out + n, AEAD_TAG_SIZE);
}

static bool
gcm_open(const AeadKey *key,
         const uint8_t nonce[static AEAD_NONCE_SIZE],
         const uint8_t *in,
         size_t n,
         uint8_t *out) {
        struct gcm_context_data context;
        uint8_t tag[AEAD_TAG_SIZE] = {};

        gcm.dec((const struct gcm_key_data *) key->state, &context, out, in, n, nonce, NULL, 0, tag,
                sizeof tag);
        return crypto_verify_16(tag, in + n) == 0;
}

const AeadBackend aead_ipsec_mb_aes_256_gcm = {
        .name = "libipsec-mb",
        .cipher = CIPHER_AES_256_GCM,
        .is_available = gcm_is_available,
        .key_init = gcm_key_init,
        .seal = gcm_seal,
        .open = gcm_open,
};
