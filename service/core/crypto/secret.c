/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/secret.h"

#include <sodium.h>
#include <string.h>

#include "base/macros.h"

struct Secret {
        unsigned n_ref;
        uint8_t *bytes; /* a page of its own */
};

Secret *secret_new(const uint8_t bytes[static SECRET_SIZE]) {
        Secret *s = NEW(Secret);

        s->n_ref = 1;
        /* Nothing the second time. */
        if (sodium_init() >= 0)
                s->bytes = sodium_malloc(SECRET_SIZE);
        if (!s->bytes)
                g_error("there is no memory for a secret");
        memcpy(s->bytes, bytes, SECRET_SIZE);
        sodium_mprotect_readonly(s->bytes);
        return s;
}

Secret *secret_ref(Secret *s) {
        s->n_ref++;
        return s;
}

Secret *secret_unref(Secret *s) {
        if (!s || --s->n_ref > 0)
                return NULL;
        sodium_free(s->bytes); /* wipes */
        g_free(s);
        return NULL;
}

const uint8_t *secret_bytes(const Secret *s) {
        return s->bytes;
}
