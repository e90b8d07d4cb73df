/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/machine-id.h"

#include <sodium.h>
#include <string.h>

#include "base/base32.h"
#include "base/macros.h"

static_assert(BASE32_LEN(MACHINE_ID_SIZE) == MACHINE_ID_TEXT_LEN, "base32 of 32 bytes");

MachineIdText machine_id_format(const MachineId *id) {
        MachineIdText t;

        base32_encode(id->bytes, sizeof id->bytes, t.text);
        return t;
}

MachineIdText machine_id_format_short(const MachineId *id) {
        MachineIdText t = machine_id_format(id);

        t.text[MACHINE_ID_SHORT_LEN] = '\0';
        return t;
}

int machine_id_parse(const char *text, MachineId *ret) {
        MachineId id;
        int r;

        if (strlen(text) != MACHINE_ID_TEXT_LEN)
                return -EINVAL;
        r = base32_decode(text, MACHINE_ID_TEXT_LEN, id.bytes, sizeof id.bytes);
        if (r < 0)
                return r;
        *ret = id;
        return 0;
}

bool machine_id_equal(const MachineId *a, const MachineId *b) {
        return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

int machine_id_compare(const MachineId *a, const MachineId *b) {
        return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

bool machine_id_is_null(const MachineId *id) {
        return sodium_is_zero(id->bytes, sizeof id->bytes);
}

bool machine_id_has_prefix(const MachineId *id, const char *prefix) {
        MachineIdText t = machine_id_format(id);
        size_t n = strlen(prefix);

        return n > 0 && n <= MACHINE_ID_TEXT_LEN && g_ascii_strncasecmp(t.text, prefix, n) == 0;
}

unsigned machine_id_hash(const void *id) {
        static uint8_t key[crypto_shorthash_KEYBYTES];
        static gsize once;
        uint8_t out[crypto_shorthash_BYTES];

        if (g_once_init_enter(&once)) {
                randombytes_buf(key, sizeof key);
                g_once_init_leave(&once, 1);
        }
        crypto_shorthash(out, id, MACHINE_ID_SIZE, key);
        return read_le32(out);
}

int machine_id_hash_equal(const void *a, const void *b) {
        return machine_id_equal(a, b);
}
