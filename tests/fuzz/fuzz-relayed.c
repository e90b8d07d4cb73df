/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Datagrams that are to be relayed, and others among them, as UDP_GRO puts them together. Input:
 * who sends (1), length of each datagram (2, LE), the datagrams. Where byte 4 of one is from 1 to
 * 4 and bytes 5 to 7 are 0 its number is that one of the table.
 */

#include "base/macros.h"
#include "core/wire/relayed.h"
#include "dataplane/packet-router.h"
#include "fuzz.h"

#define PAIRS 2U
#define NUMBERS (2 * PAIRS)

typedef struct Fuzz {
        DropCounters drops;
        uint8_t *data;
        size_t len;
        uint32_t number[NUMBERS];
        uint64_t passed, handed_up;
} Fuzz;

/* All of it lies in the buffer that came, has the header, and a number that was given. */
static void on_send(void *userdata, const TxTrain *trains, unsigned n) {
        Fuzz *f = userdata;

        for (unsigned i = 0; i < n; i++) {
                TxCursor c = {};
                struct iovec v;
                unsigned k = 0;
                size_t sum = 0;

                while (tx_train_next(&trains[i], &c, &v)) {
                        uint8_t *d = v.iov_base;
                        bool known = false;

                        FUZZ_ASSERT(d >= f->data && d + v.iov_len <= f->data + f->len);
                        FUZZ_ASSERT(relayed_is_well_formed(d, v.iov_len));
                        FUZZ_ASSERT(relayed_allocation(d) == trains[i].to.relay);
                        for (unsigned m = 0; m < NUMBERS; m++)
                                known = known || f->number[m] == relayed_allocation(d);
                        FUZZ_ASSERT(known && v.iov_len <= trains[i].segment);
                        sum += v.iov_len;
                        k++;
                }
                FUZZ_ASSERT(k == trains[i].n && sum == trains[i].len);
                FUZZ_ASSERT(k <= TX_SEGMENTS_MAX && sum <= TX_TRAIN_SIZE_MAX);
                f->passed += k;
        }
}
static bool on_datagram(void *userdata, const uint8_t *data, size_t len, const Endpoint *from) {
        Fuzz *f = userdata;

        FUZZ_ASSERT(len <= HANDSHAKE_SIZE_MAX);
        f->handed_up++;
        return true;
}
static bool on_unknown(void *userdata, const Endpoint *from) {
        FUZZ_ASSERT(endpoint_is_relayed(from));
        return true;
}

static Endpoint endpoint_of(unsigned i) {
        Endpoint e = { .in = { .sin_family = AF_INET, .sin_port = htons(18002) } };

        e.in.sin_addr.s_addr = htonl(0xc0000201 + i);
        return e;
}

static void set_numbers(Fuzz *f, size_t segment) {
        for (size_t at = 0; at + RELAY_HEADER_SIZE <= f->len; at += segment) {
                uint32_t n = read_le32(f->data + at + RELAY_ALLOCATION_OFFSET);

                if (n >= 1 && n <= NUMBERS)
                        write_le32(f->data + at + RELAY_ALLOCATION_OFFSET, f->number[n - 1]);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Fuzz f = {};
        const PacketSink sink = {
                .userdata = &f, .send = on_send, .datagram = on_datagram, .relay_unknown = on_unknown
        };
        RelayShare share = { .rate = RELAY_BYTES_PER_SEC, .burst = RELAY_BURST_BYTES };
        RelayRoute route[NUMBERS];
        RelayUse use = {};
        IndexTable *indices;
        RelayTable *table;
        PacketRouter *r;
        Endpoint from;
        uint64_t dropped = 0;
        size_t segment;

        if (size < 4 || size > UINT16_MAX)
                return 0;
        from = endpoint_of(data[0] % (NUMBERS + 1));
        segment = MAX((size_t) (data[1] | data[2] << 8), 1);
        f.len = size - 3;
        f.data = g_memdup2(data + 3, f.len);
        indices = index_table_new();
        table = relay_table_new();
        for (unsigned i = 0; i < NUMBERS; i++)
                if (relay_table_reserve(table, 0x5eed0000 + i, &f.number[i]) < 0)
                        abort();
        for (unsigned i = 0; i < NUMBERS; i++) {
                route[i] = (RelayRoute){ .number = f.number[i],
                                         .n_from = 2,
                                         .from = { endpoint_of(i), endpoint_of(0) },
                                         .to = endpoint_of(i ^ 1),
                                         .share = &share,
                                         .use = &use };
                route[i].to.relay = f.number[i ^ 1];
                (void) relay_table_publish(table, f.number[i], &route[i]);
        }
        set_numbers(&f, segment);
        r = packet_router_new(&sink, indices, &f.drops);
        packet_router_set_relays(r, table);
        packet_router_begin(r, USEC_PER_SEC);
        packet_router_ingress(r, f.data, f.len, segment, &from);
        (void) packet_router_end(r);
        for (DropReason i = DROP_NONE + 1; i < _DROP_REASON_MAX; i++)
                dropped += drop_counter(&f.drops, i);
        FUZZ_ASSERT(f.passed + f.handed_up + dropped == (f.len + segment - 1) / segment);
        FUZZ_ASSERT(use.datagrams == f.passed);
        packet_router_free(r);
        relay_table_free(table);
        index_table_free(indices);
        g_free(f.data);
        return 0;
}
