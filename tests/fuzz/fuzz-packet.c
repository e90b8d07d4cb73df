/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The packet path with whatever a local program or a member may put into a packet. The input is a
 * list of packets: kind (1), length (2, LE), offload metadata (8, see read_record()), bytes.
 * Kind 0: a decrypted packet of the other machine; else: a packet of the local machine, which
 * goes all the way to the other one. Packets of one turn may be merged.
 */

#include <stdlib.h>

#include "fuzz.h"

/* packet-world.h is written for unit tests. */
#define assert_int_equal(a, b) FUZZ_ASSERT((a) == (b))
#define assert_non_null(a) FUZZ_ASSERT((a) != NULL)
#define assert_null(a) FUZZ_ASSERT((a) == NULL)
#define assert_memory_equal(a, b, n) FUZZ_ASSERT(memcmp(a, b, n) == 0)

#include "../unit/packet-world.h"

#define RECORD_HEADER 11U
#define RECORDS_MAX 64U

typedef struct FuzzPacket {
        uint8_t kind;
        OffloadInfo offload;
        size_t len;
} FuzzPacket;

/* Return: the bytes of the next packet, or NULL. */
static const uint8_t *read_record(const uint8_t **data, size_t *size, FuzzPacket *ret) {
        const uint8_t *p = *data;

        if (*size < RECORD_HEADER)
                return NULL;
        *ret = (FuzzPacket){
                .kind = p[0],
                .offload = {
                        .gso_type = (GsoType) (p[3] & 3),
                        .needs_csum = p[3] & 4,
                        .ecn = p[3] & 8,
                        .csum_start = p[4] | (p[3] & 0x10 ? 0xff00 : 0),
                        .csum_offset = p[5] | (p[3] & 0x20 ? 0xff00 : 0),
                        .gso_size = (uint16_t) (p[6] | p[7] << 8),
                        .hdr_len = (uint16_t) (p[8] | p[9] << 8),
                },
                .len = (size_t) p[1] | (size_t) p[2] << 8,
        };
        *data += RECORD_HEADER;
        *size -= RECORD_HEADER;
        p = *data;
        ret->len = MIN(ret->len, *size);
        *data += ret->len;
        *size -= ret->len;
        return p;
}

/* What is handed to the kernel must be what it would take from a well-meaning driver. */
static void check_delivered(Machine *m) {
        for (;;) {
                OffloadInfo o = {};
                g_autoptr(GBytes) got = mock_netif_app_received(m->netif, &o);
                const uint8_t *p;
                PacketView v;
                size_t len;

                if (!got)
                        return;
                p = g_bytes_get_data(got, &len);
                FUZZ_ASSERT(packet_parse(p, len, &v));
                if (m->broken)
                        continue;
                FUZZ_ASSERT(v.length == len);
                if (o.needs_csum)
                        FUZZ_ASSERT(packet_l4_header_size(p, &v) > 0 && o.csum_start == v.l4 &&
                                    o.csum_offset == l4_csum_offset(v.protocol));
                if (o.gso_type != GSO_NONE)
                        FUZZ_ASSERT(o.needs_csum && o.gso_size > 0 &&
                                    o.hdr_len == v.l4 + packet_l4_header_size(p, &v) &&
                                    len > o.hdr_len + (size_t) o.gso_size &&
                                    (v.protocol == IPPROTO_UDP) == (o.gso_type == GSO_UDP));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autoptr(GPtrArray) kept = g_ptr_array_new_with_free_func(g_free);
        const uint8_t *p;
        FuzzPacket r;
        static World w;
        static bool ready;

        /* One world for all inputs: to make it takes far longer than to use it. What one input
         * leaves behind (counters, limits of ICMP) ends with a step of the clock. */
        if (!ready) {
                if (aead_setup() < 0)
                        abort();
                world_init(&w);
                /* Packets to its own addresses come back as they are, no test of ours. */
                w.a.broken = true;
                ready = true;
        }
        /* Half of them by a path that carries less than the interface. */
        w.a.tx.mtu = w.b.tx.mtu = size % 2 ? OMERTA_MTU_MIN : WORLD_MTU;
        w.a.tx.clamps = w.b.tx.clamps = size % 2;
        w.now += USEC_PER_SEC;
        w.a.keypair->created = w.b.keypair->created = w.now;
        packet_router_begin(w.b.router, w.now);
        for (unsigned i = 0; i < RECORDS_MAX && (p = read_record(&data, &size, &r)); i++) {
                /* Exactly as long as it is, so that a sanitizer sees a read beyond. */
                uint8_t *copy = g_memdup2(p, r.len);

                g_ptr_array_add(kept, copy);
                if (r.kind == 0)
                        packet_router_ingress_packet(
                                        w.b.router, &w.b.peer,
                                        r.offload.needs_csum ? DATA_FLAG_CSUM_PARTIAL : 0, copy,
                                        r.len);
                else if (r.len > 0)
                        mock_netif_app_send(w.a.netif, p, r.len, &r.offload);
        }
        (void) packet_router_end(w.b.router);
        check_delivered(&w.b);
        world_egress(&w, &w.a);
        for (GList *l = w.a.wire.head; l; l = l->next)
                FUZZ_ASSERT(((Datagram *) l->data)->len <= w.a.tx.mtu + DATA_OVERHEAD);
        w.b.drops = (DropCounters){};
        world_deliver(&w, &w.a, &w.b);
        /* What we send we take. */
        FUZZ_ASSERT(drop_counter(&w.b.drops, DROP_PACKET_MALFORMED) == 0);
        FUZZ_ASSERT(drop_counter(&w.b.drops, DROP_NOT_AUTHENTIC) == 0);
        FUZZ_ASSERT(drop_counter(&w.b.drops, DROP_SOURCE_SPOOFED) == 0);
        check_delivered(&w.a);
        check_delivered(&w.b);
        return 0;
}
