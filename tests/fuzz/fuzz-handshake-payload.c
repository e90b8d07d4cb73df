/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The payload of a handshake; the first byte says of which of the two messages. */
#include <string.h>

#include "core/wire/handshake-payload.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        HandshakePayload p, q;
        uint8_t first[HANDSHAKE_PAYLOAD_MAX + 16], second[sizeof first];
        bool is_response;
        int n, m;

        if (size < 1)
                return 0;
        is_response = data[0] & 1;
        if (handshake_payload_decode(data + 1, size - 1, is_response, &p) < 0)
                return 0;
        FUZZ_ASSERT(p.is_response == is_response);
        n = handshake_payload_encode(&p, 0, first, sizeof first);
        if (n >= 0) {
                FUZZ_ASSERT((size_t) n < size);
                FUZZ_ASSERT(handshake_payload_decode(first, (size_t) n, is_response, &q) == 0);
                m = handshake_payload_encode(&q, 0, second, sizeof second);
                FUZZ_ASSERT(n == m && memcmp(first, second, (size_t) n) == 0);
                handshake_payload_clear(&q);
        }
        handshake_payload_clear(&p);
        return 0;
}
