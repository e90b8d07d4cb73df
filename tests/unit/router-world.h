/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of packet routers share beside their world. After cmocka.h and what it needs. */

#include "packet-world.h"

#define WORLD(name)                                                                                \
        _cleanup_(world_done) World name;                                                          \
        world_init(&name)

#define assert_drops(m, reason, n) assert_int_equal(drop_counter(&(m)->drops, reason), n)

static inline void assert_no_drops(const Machine *m) {
        for (DropReason i = 0; i < _DROP_REASON_MAX; i++)
                if (drop_counter(&m->drops, i) + drop_counter(&m->daemon_drops, i) > 0)
                        fail_msg("dropped: %s", drop_reason_to_string(i));
}

/* What segment @i of @whole is alone. */
static inline Build segment_of(const Build *whole, size_t gso_size, unsigned i) {
        Build b = *whole;

        b.payload += i * gso_size;
        b.payload_len = MIN(gso_size, whole->payload_len - i * gso_size);
        b.seq += (uint32_t) (i * gso_size);
        b.id = (uint16_t) (b.id + i);
        if ((i + 1) * gso_size < whole->payload_len)
                b.flags &= (uint8_t) ~0x08;
        return b;
}

/* Encrypts any bytes as @from would. */
static inline void
inject(World *w,
       Machine *from,
       Machine *to,
       const Endpoint *by,
       uint8_t flags,
       const uint8_t *plain,
       size_t len) {
        uint8_t buf[2000];
        uint64_t counter;

        assert_true(keypair_reserve(from->keypair, 1, &counter));
        keypair_seal(from->keypair, counter, flags, plain, len, buf);
        world_datagram(w, to, by ?: &from->endpoint, buf, len + DATA_OVERHEAD);
}
