/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A record from the network. What is taken has one encoding, is kept as it came, and what was
 * understood of it can be encoded and understood again. */
#include <string.h>

#include "core/wire/record.h"
#include "fuzz.h"

static void check_body(const Record *record) {
        g_autoptr(GBytes) encoded = record_body_encode(&record->body), again = NULL;
        g_autoptr(Record) other = NULL;

        FUZZ_ASSERT(encoded);
        /* What was encoded is at most what came, but for an empty owner and no groups, which
         * may be left out: 4 bytes. */
        FUZZ_ASSERT(g_bytes_get_size(encoded) <= g_bytes_get_size(record->encoded_body) + 4);
        if (record_new(record->body.kind, encoded, &record->signer, record->signature, &other) < 0) {
                FUZZ_ASSERT(g_bytes_get_size(record->bytes) > RECORD_MAX - 4);
                return;
        }
        again = record_body_encode(&other->body);
        FUZZ_ASSERT(again && g_bytes_equal(encoded, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autoptr(Record) record = NULL, same = NULL;

        if (record_decode(data, size, &record) < 0)
                return 0;
        FUZZ_ASSERT(size <= RECORD_MAX);
        FUZZ_ASSERT(g_bytes_get_size(record->bytes) == size);
        FUZZ_ASSERT(memcmp(g_bytes_get_data(record->bytes, NULL), data, size) == 0);
        /* Put together from its parts it is the same record, so nobody can make two of one. */
        FUZZ_ASSERT(record_new(record->body.kind, record->encoded_body, &record->signer,
                               record->signature, &same) == 0);
        FUZZ_ASSERT(g_bytes_equal(same->bytes, record->bytes));
        FUZZ_ASSERT(memcmp(same->hash, record->hash, sizeof same->hash) == 0);
        check_body(record);
        return 0;
}
