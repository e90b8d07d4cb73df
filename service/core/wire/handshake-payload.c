/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/wire/handshake-payload.h"

#include <string.h>

#include "base/macros.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/fields.h"

#define CIPHERS_KNOWN (CIPHER_CHACHA20_POLY1305 | CIPHER_AES_256_GCM)

/* docs/protocol.md, "Handshake payloads". */
enum {
        KEY_PADDING = 0,
        KEY_TIMESTAMP = 1,
        KEY_PURPOSE = 2,
        KEY_CERTIFICATE = 3,
        KEY_ISSUER_CERTIFICATE = 4,
        KEY_MACHINE = 5,
        KEY_INVITE_ID = 6,
        KEY_CIPHERS = 7,
        KEY_BOOT_ID = 8,
        KEY_SEEN = 9,
        KEY_REALTIME = 10,
};

void handshake_payload_clear(HandshakePayload *p) {
        record_unref(p->certificate);
        record_unref(p->issuer_certificate);
        *p = (HandshakePayload){};
}

/* @padding: zeros under key 0; negative: no such key. */
static GBytes *encode(const HandshakePayload *p, ssize_t padding, size_t max) {
        static const uint8_t zeros[HANDSHAKE_SIZE_MAX];
        bool with_certificate = p->is_response || p->purpose == PURPOSE_MEMBER;
        CborWriter w;

        assert(!with_certificate || p->certificate);
        cbor_writer_init_map(&w);
        if (padding >= 0)
                cbor_writer_bytes(cbor_writer_key(&w, KEY_PADDING), zeros, (size_t) padding);
        if (!p->is_response) {
                cbor_writer_bytes(cbor_writer_key(&w, KEY_TIMESTAMP), p->timestamp, sizeof p->timestamp);
                cbor_writer_uint(cbor_writer_key(&w, KEY_PURPOSE), p->purpose);
        }
        if (with_certificate) {
                field_write_record(cbor_writer_key(&w, KEY_CERTIFICATE), p->certificate);
                if (p->issuer_certificate)
                        field_write_record(
                                        cbor_writer_key(&w, KEY_ISSUER_CERTIFICATE),
                                        p->issuer_certificate);
        } else
                field_write_machine_id(cbor_writer_key(&w, KEY_MACHINE), &p->machine);
        if (!p->is_response && p->purpose == PURPOSE_INVITE)
                cbor_writer_bytes(cbor_writer_key(&w, KEY_INVITE_ID), p->invite_id, sizeof p->invite_id);
        cbor_writer_uint(cbor_writer_key(&w, KEY_CIPHERS), p->ciphers);
        cbor_writer_bytes(cbor_writer_key(&w, KEY_BOOT_ID), p->boot_id, sizeof p->boot_id);
        if (endpoint_is_set(&p->seen))
                field_write_endpoint(cbor_writer_key(&w, KEY_SEEN), &p->seen);
        if (p->realtime != 0)
                cbor_writer_uint(cbor_writer_key(&w, KEY_REALTIME), p->realtime);
        return cbor_writer_finish(&w, max);
}

/* Bytes of the entry 0 with @n bytes of padding. */
static size_t padding_size(size_t n) {
        return 1 + (n < 24 ? 1 : n < 256 ? 2 : 3) + n;
}

int handshake_payload_encode(const HandshakePayload *p, size_t min_size, uint8_t *buf, size_t size) {
        g_autoptr(GBytes) bytes = encode(p, -1, size);
        const void *data;
        size_t len;

        assert(min_size <= HANDSHAKE_SIZE_MAX);
        if (!bytes)
                return -ENOBUFS;
        data = g_bytes_get_data(bytes, &len);
        if (len < min_size) {
                size_t missing = min_size - len, n = missing - MIN(missing, padding_size(256) - 256);

                while (padding_size(n) < missing)
                        n++;
                g_bytes_unref(bytes);
                bytes = encode(p, (ssize_t) n, size);
                if (!bytes)
                        return -ENOBUFS;
                data = g_bytes_get_data(bytes, &len);
        }
        memcpy(buf, data, len);
        return (int) len;
}

static void read_initiation_entry(CborReader *r, uint64_t key, HandshakePayload *p) {
        switch (key) {
        case KEY_TIMESTAMP:
                cbor_reader_bytes_exact(r, p->timestamp, sizeof p->timestamp);
                return;
        case KEY_PURPOSE:
                p->purpose = (Purpose) cbor_reader_uint(r, _PURPOSE_MAX - 1);
                return;
        case KEY_MACHINE:
                field_read_machine_id(r, &p->machine);
                return;
        case KEY_INVITE_ID:
                cbor_reader_bytes_exact(r, p->invite_id, sizeof p->invite_id);
                return;
        case KEY_CIPHERS:
                /* Those that only later versions know are none we could choose. */
                p->ciphers = (unsigned) (cbor_reader_uint(r, UINT32_MAX) & CIPHERS_KNOWN);
                if (!(p->ciphers & CIPHER_CHACHA20_POLY1305))
                        cbor_reader_fail(r);
                return;
        }
        cbor_reader_skip(r);
}

static void read_response_entry(CborReader *r, uint64_t key, HandshakePayload *p) {
        if (key != KEY_CIPHERS) {
                cbor_reader_skip(r);
                return;
        }
        p->ciphers = (unsigned) cbor_reader_uint(r, UINT32_MAX);
        if (p->ciphers != CIPHER_CHACHA20_POLY1305 && p->ciphers != CIPHER_AES_256_GCM)
                cbor_reader_fail(r);
}

static uint64_t mandatory_keys(const HandshakePayload *p) {
        uint64_t keys = CBOR_KEY(KEY_CIPHERS) | CBOR_KEY(KEY_BOOT_ID);

        if (p->is_response)
                return keys | CBOR_KEY(KEY_CERTIFICATE);
        keys |= CBOR_KEY(KEY_TIMESTAMP) | CBOR_KEY(KEY_PURPOSE);
        switch (p->purpose) {
        case PURPOSE_MEMBER:
                return keys | CBOR_KEY(KEY_CERTIFICATE);
        case PURPOSE_INVITE:
                return keys | CBOR_KEY(KEY_MACHINE) | CBOR_KEY(KEY_INVITE_ID);
        case _PURPOSE_MAX:
                break;
        }
        assert(false);
        return UINT64_MAX;
}

/* Keys that mean nothing for the purpose are ignored like unknown ones. */
static void clear_meaningless(HandshakePayload *p) {
        if (p->is_response)
                return;
        if (p->purpose == PURPOSE_MEMBER)
                p->machine = (MachineId){};
        else {
                g_clear_pointer(&p->certificate, record_unref);
                g_clear_pointer(&p->issuer_certificate, record_unref);
        }
        if (p->purpose != PURPOSE_INVITE)
                memset(p->invite_id, 0, sizeof p->invite_id);
}

int handshake_payload_decode(const uint8_t *buf, size_t len, bool is_response, HandshakePayload *ret) {
        _cleanup_(handshake_payload_clear) HandshakePayload p = { .is_response = is_response };
        CborReader r;
        uint64_t key;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                switch (key) {
                case KEY_CERTIFICATE:
                        p.certificate = field_read_record(&r, RECORD_CERTIFICATE);
                        break;
                case KEY_ISSUER_CERTIFICATE:
                        p.issuer_certificate = field_read_record(&r, RECORD_CERTIFICATE);
                        break;
                case KEY_BOOT_ID:
                        cbor_reader_bytes_exact(&r, p.boot_id, sizeof p.boot_id);
                        break;
                case KEY_SEEN:
                        field_read_endpoint(&r, &p.seen);
                        break;
                case KEY_REALTIME:
                        p.realtime = cbor_reader_uint(&r, UINT64_MAX);
                        break;
                default:
                        if (is_response)
                                read_response_entry(&r, key, &p);
                        else
                                read_initiation_entry(&r, key, &p);
                }
        k = cbor_reader_end(&r, mandatory_keys(&p));
        if (k < 0)
                return k;
        clear_meaningless(&p);
        *ret = p;
        p = (HandshakePayload){};
        return 0;
}
