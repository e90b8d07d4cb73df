/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of the channel `gossip`. Hashes and sums are little-endian. */
#include <string.h>

#include "base/macros.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/control.h"
#include "core/wire/fields.h"

enum {
        KEY_OP = 1,
        KEY_CONTENT = 2,
        KEY_HASHES = 3,
        KEY_REVOCATIONS = 3,
};

void gossip_message_clear(GossipMessage *m) {
        g_clear_pointer(&m->hashes, g_array_unref);
        g_clear_pointer(&m->records, g_ptr_array_unref);
        *m = (GossipMessage){};
}

static void write_words(CborWriter *w, const uint64_t *words, size_t n) {
        g_autofree uint8_t *buf = g_malloc(n * 8 + 1); /* also for none */

        for (size_t i = 0; i < n; i++)
                write_le64(buf + i * 8, words[i]);
        cbor_writer_bytes(w, buf, n * 8);
}

static void write_hashes(CborWriter *w, const GArray *hashes) {
        if (hashes)
                write_words(w, (const uint64_t *) (const void *) hashes->data, hashes->len);
        else
                cbor_writer_bytes(w, NULL, 0);
}

GBytes *gossip_message_encode(const GossipMessage *m) {
        CborWriter w;

        cbor_writer_init_map(&w);
        cbor_writer_uint(cbor_writer_key(&w, KEY_OP), m->op);
        cbor_writer_key(&w, KEY_CONTENT);
        switch (m->op) {
        case GOSSIP_DIGEST:
                write_words(&w, m->digest, GOSSIP_BUCKETS);
                write_words(cbor_writer_key(&w, KEY_REVOCATIONS), m->revocations,
                            GOSSIP_REVOCATION_BUCKETS);
                break;
        case GOSSIP_HAVE:
                cbor_writer_bytes(&w, m->buckets, sizeof m->buckets);
                write_hashes(cbor_writer_key(&w, KEY_HASHES), m->hashes);
                break;
        case GOSSIP_RECORDS:
                field_write_records(&w, m->records);
                break;
        case GOSSIP_WANT:
                write_hashes(&w, m->hashes);
                break;
        case _GOSSIP_OP_MAX:
                assert(false);
        }
        return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
}

static GArray *read_hashes(CborReader *r) {
        GArray *hashes;
        size_t len;
        const uint8_t *data = cbor_reader_bytes(r, &len);

        if (len % RECORD_HASH_SIZE != 0)
                cbor_reader_fail(r);
        hashes = g_array_sized_new(FALSE, FALSE, sizeof(uint64_t), (unsigned) (len / 8));
        for (size_t i = 0; i < len / 8; i++) {
                uint64_t hash = read_le64(data + i * 8);

                g_array_append_val(hashes, hash);
        }
        return hashes;
}

/* @n: at most GOSSIP_BUCKETS. */
static void read_sums(CborReader *r, uint64_t *ret, size_t n) {
        uint8_t buf[GOSSIP_BUCKETS * 8];

        cbor_reader_bytes_exact(r, buf, n * 8);
        for (size_t i = 0; i < n; i++)
                ret[i] = read_le64(buf + i * 8);
}

static uint64_t mandatory_keys(GossipOp op) {
        return CBOR_KEY(KEY_OP) | CBOR_KEY(KEY_CONTENT) |
               (op == GOSSIP_HAVE     ? CBOR_KEY(KEY_HASHES)
                : op == GOSSIP_DIGEST ? CBOR_KEY(KEY_REVOCATIONS)
                                      : 0);
}

int gossip_message_decode(const uint8_t *buf, size_t len, GossipMessage *ret, unsigned *ret_bad) {
        _cleanup_(gossip_message_clear) GossipMessage v = {};
        CborReader r, content = { .failed = true }, third = { .failed = true };
        unsigned bad = 0;
        uint64_t key;
        int k;

        /* What the other keys hold depends on the operation, and entries have no order. */
        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key)) {
                if (key == KEY_OP) {
                        v.op = (GossipOp) cbor_reader_uint(&r, _GOSSIP_OP_MAX - 1);
                        if (v.op < GOSSIP_DIGEST)
                                cbor_reader_fail(&r);
                        continue;
                }
                if (key == KEY_CONTENT)
                        content = r;
                else if (key == KEY_HASHES) /* and KEY_REVOCATIONS */
                        third = r;
                cbor_reader_skip(&r);
        }
        k = cbor_reader_end(&r, mandatory_keys(v.op));
        if (k < 0)
                return k;
        switch (v.op) {
        case GOSSIP_DIGEST:
                read_sums(&content, v.digest, GOSSIP_BUCKETS);
                read_sums(&third, v.revocations, GOSSIP_REVOCATION_BUCKETS);
                if (third.failed)
                        return -EBADMSG;
                break;
        case GOSSIP_HAVE:
                cbor_reader_bytes_exact(&content, v.buckets, sizeof v.buckets);
                v.hashes = read_hashes(&third);
                if (third.failed)
                        return -EBADMSG;
                break;
        case GOSSIP_RECORDS:
                v.records = field_read_records(&content, &bad);
                break;
        case GOSSIP_WANT:
                v.hashes = read_hashes(&content);
                break;
        case _GOSSIP_OP_MAX:
                return -EBADMSG;
        }
        if (content.failed)
                return -EBADMSG;
        if (ret_bad)
                *ret_bad = bad;
        *ret = v;
        v = (GossipMessage){};
        return 0;
}
