/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/wire/record.h"

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/fields.h"

#define ROLES_KNOWN (ROLE_MEMBER | ROLE_GATEWAY | ROLE_ISSUER | ROLE_RELAY | ROLE_EXIT)
#define PRESENCE_FLAGS_KNOWN (PRESENCE_RELAYS | PRESENCE_EXITS)

/* Keys of the bodies: docs/protocol.md, "Signed records". */
enum {
        KEY_MACHINE = 1,
        KEY_VERSION = 7,

        KEY_NOT_BEFORE = 5,
        KEY_NOT_AFTER = 6,

        CERTIFICATE_NAME = 2,
        CERTIFICATE_OWNER = 3,
        CERTIFICATE_ROLES = 4,
        CERTIFICATE_GROUPS = 8,
        CERTIFICATE_GRACE = 9,

        LEASE_ADDRESS = 2,
        LEASE_PREFIX_LEN = 3,
        LEASE_NAME = 8,

        REVOCATION_REASON = 2,

        PRESENCE_ENDPOINTS = 2,
        PRESENCE_SOFTWARE = 8,
        PRESENCE_FLAGS = 9,
        PRESENCE_RELAY_IDS = 10,
        PRESENCE_STREAMS = 11,
};

const char *record_kind_to_string(RecordKind kind) {
        static const char *const table[] = {
                [RECORD_CERTIFICATE] = "certificate",
                [RECORD_LEASE] = "lease",
                [RECORD_REVOCATION] = "revocation",
                [RECORD_PRESENCE] = "presence",
        };
        static_assert(ELEMENTSOF(table) == _RECORD_KIND_MAX, "a name for every kind");

        return (unsigned) kind < ELEMENTSOF(table) ? table[kind] : NULL;
}

static bool body_is_valid(const RecordBody *b) {
        switch (b->kind) {
        case RECORD_CERTIFICATE:
                if (!host_name_is_valid(b->certificate.name) ||
                    strnlen(b->certificate.owner, OWNER_MAX_LEN + 1) > OWNER_MAX_LEN ||
                    !cbor_text_is_clean(b->certificate.owner, strlen(b->certificate.owner)) ||
                    (b->certificate.roles & ~ROLES_KNOWN) != 0 ||
                    b->certificate.n_groups > GROUPS_MAX)
                        return false;
                for (unsigned i = 0; i < b->certificate.n_groups; i++)
                        if (!field_label_is_valid(b->certificate.groups[i], HOST_NAME_MAX_LEN))
                                return false;
                return b->not_before <= b->not_after;
        case RECORD_LEASE:
                return b->lease.address.family == AF_INET && b->lease.prefix_len <= 32 &&
                       host_name_is_valid(b->lease.name) && b->not_before <= b->not_after;
        case RECORD_REVOCATION:
                return b->revocation.reason <= REVOCATION_KEY_LOST;
        case RECORD_PRESENCE:
                if (b->presence.n_endpoints > ENDPOINTS_MAX || b->presence.n_relays > RELAYS_MAX ||
                    b->presence.n_streams > STREAM_ENDPOINTS_MAX ||
                    (b->presence.flags & ~PRESENCE_FLAGS_KNOWN) != 0 ||
                    strnlen(b->presence.software, SOFTWARE_MAX_LEN + 1) > SOFTWARE_MAX_LEN ||
                    !cbor_text_is_clean(b->presence.software, strlen(b->presence.software)))
                        return false;
                for (unsigned i = 0; i < b->presence.n_endpoints; i++)
                        if (!endpoint_is_usable(&b->presence.endpoints[i]))
                                return false;
                for (unsigned i = 0; i < b->presence.n_streams; i++)
                        if (!endpoint_is_usable(&b->presence.streams[i]))
                                return false;
                return true;
        case _RECORD_KIND_MAX:
                break;
        }
        return false;
}

static void write_certificate(CborWriter *w, const RecordBody *b) {
        cbor_writer_text(cbor_writer_key(w, CERTIFICATE_NAME), b->certificate.name);
        cbor_writer_text(cbor_writer_key(w, CERTIFICATE_OWNER), b->certificate.owner);
        cbor_writer_uint(cbor_writer_key(w, CERTIFICATE_ROLES), b->certificate.roles);
        cbor_writer_uint(cbor_writer_key(w, KEY_NOT_BEFORE), b->not_before);
        cbor_writer_uint(cbor_writer_key(w, KEY_NOT_AFTER), b->not_after);
        cbor_writer_uint(cbor_writer_key(w, KEY_VERSION), b->version);
        cbor_writer_array(cbor_writer_key(w, CERTIFICATE_GROUPS), b->certificate.n_groups);
        for (unsigned i = 0; i < b->certificate.n_groups; i++)
                cbor_writer_text(w, b->certificate.groups[i]);
        if (b->certificate.grace != 0)
                cbor_writer_uint(cbor_writer_key(w, CERTIFICATE_GRACE), b->certificate.grace);
}

static void write_lease(CborWriter *w, const RecordBody *b) {
        field_write_ipv4(cbor_writer_key(w, LEASE_ADDRESS), &b->lease.address);
        cbor_writer_uint(cbor_writer_key(w, LEASE_PREFIX_LEN), b->lease.prefix_len);
        cbor_writer_uint(cbor_writer_key(w, KEY_NOT_BEFORE), b->not_before);
        cbor_writer_uint(cbor_writer_key(w, KEY_NOT_AFTER), b->not_after);
        cbor_writer_uint(cbor_writer_key(w, KEY_VERSION), b->version);
        cbor_writer_text(cbor_writer_key(w, LEASE_NAME), b->lease.name);
}

static void write_revocation(CborWriter *w, const RecordBody *b) {
        cbor_writer_uint(cbor_writer_key(w, REVOCATION_REASON), b->revocation.reason);
        cbor_writer_uint(cbor_writer_key(w, KEY_VERSION), b->version);
}

static void write_presence(CborWriter *w, const RecordBody *b) {
        field_write_endpoints(
                        cbor_writer_key(w, PRESENCE_ENDPOINTS), b->presence.endpoints,
                        b->presence.n_endpoints);
        cbor_writer_uint(cbor_writer_key(w, KEY_NOT_AFTER), b->not_after);
        cbor_writer_uint(cbor_writer_key(w, KEY_VERSION), b->version);
        cbor_writer_text(cbor_writer_key(w, PRESENCE_SOFTWARE), b->presence.software);
        if (b->presence.flags != 0)
                cbor_writer_uint(cbor_writer_key(w, PRESENCE_FLAGS), b->presence.flags);
        if (b->presence.n_relays > 0)
                cbor_writer_array(cbor_writer_key(w, PRESENCE_RELAY_IDS), b->presence.n_relays);
        for (unsigned i = 0; i < b->presence.n_relays; i++)
                field_write_machine_id(w, &b->presence.relays[i]);
        if (b->presence.n_streams > 0)
                field_write_endpoints(
                                cbor_writer_key(w, PRESENCE_STREAMS), b->presence.streams,
                                b->presence.n_streams);
}

GBytes *record_body_encode(const RecordBody *body) {
        CborWriter w;

        if (!body_is_valid(body))
                return NULL;
        cbor_writer_init_map(&w);
        field_write_machine_id(cbor_writer_key(&w, KEY_MACHINE), &body->machine);
        switch (body->kind) {
        case RECORD_CERTIFICATE:
                write_certificate(&w, body);
                break;
        case RECORD_LEASE:
                write_lease(&w, body);
                break;
        case RECORD_REVOCATION:
                write_revocation(&w, body);
                break;
        case RECORD_PRESENCE:
                write_presence(&w, body);
                break;
        case _RECORD_KIND_MAX:
                assert(false);
        }
        return cbor_writer_finish(&w, RECORD_MAX);
}

/* The readers of one entry return false for a key the kind does not have. */

static bool read_certificate_entry(CborReader *r, uint64_t key, RecordBody *b) {
        size_t n;

        switch (key) {
        case CERTIFICATE_NAME:
                field_read_host_name(r, b->certificate.name);
                return true;
        case CERTIFICATE_OWNER:
                cbor_reader_text(r, b->certificate.owner, sizeof b->certificate.owner);
                return true;
        case CERTIFICATE_ROLES:
                /* A role we do not know is none we could grant. */
                b->certificate.roles = (unsigned) (cbor_reader_uint(r, UINT32_MAX) & ROLES_KNOWN);
                return true;
        case KEY_NOT_BEFORE:
                b->not_before = cbor_reader_uint(r, UINT64_MAX);
                return true;
        case KEY_NOT_AFTER:
                b->not_after = cbor_reader_uint(r, UINT64_MAX);
                return true;
        case CERTIFICATE_GRACE:
                b->certificate.grace = cbor_reader_uint(r, UINT64_MAX);
                return true;
        case CERTIFICATE_GROUPS:
                n = cbor_reader_array(r, GROUPS_MAX);
                for (size_t i = 0; i < n; i++)
                        field_read_label(r, b->certificate.groups[i], HOST_NAME_MAX_LEN + 1);
                b->certificate.n_groups = (unsigned) n;
                return true;
        }
        return false;
}

static bool read_lease_entry(CborReader *r, uint64_t key, RecordBody *b) {
        switch (key) {
        case LEASE_ADDRESS:
                field_read_ipv4(r, &b->lease.address);
                return true;
        case LEASE_PREFIX_LEN:
                b->lease.prefix_len = (uint8_t) cbor_reader_uint(r, 32);
                return true;
        case KEY_NOT_BEFORE:
                b->not_before = cbor_reader_uint(r, UINT64_MAX);
                return true;
        case KEY_NOT_AFTER:
                b->not_after = cbor_reader_uint(r, UINT64_MAX);
                return true;
        case LEASE_NAME:
                field_read_host_name(r, b->lease.name);
                return true;
        }
        return false;
}

static bool read_revocation_entry(CborReader *r, uint64_t key, RecordBody *b) {
        uint64_t reason;

        if (key != REVOCATION_REASON)
                return false;
        /* Who is revoked for a reason that only later versions know is revoked all the same. */
        reason = cbor_reader_uint(r, UINT64_MAX);
        b->revocation.reason = reason <= REVOCATION_KEY_LOST ? (RevocationReason) reason
                                                             : REVOCATION_REMOVED;
        return true;
}

static bool read_presence_entry(CborReader *r, uint64_t key, RecordBody *b) {
        size_t n;

        switch (key) {
        case PRESENCE_ENDPOINTS:
                b->presence.n_endpoints = field_read_endpoints(r, b->presence.endpoints);
                return true;
        case KEY_NOT_AFTER:
                b->not_after = cbor_reader_uint(r, UINT64_MAX);
                return true;
        case PRESENCE_SOFTWARE:
                cbor_reader_text(r, b->presence.software, sizeof b->presence.software);
                return true;
        case PRESENCE_FLAGS:
                b->presence.flags =
                                (unsigned) (cbor_reader_uint(r, UINT32_MAX) & PRESENCE_FLAGS_KNOWN);
                return true;
        case PRESENCE_RELAY_IDS:
                n = cbor_reader_array(r, RELAYS_MAX);
                for (size_t i = 0; i < n; i++)
                        field_read_machine_id(r, &b->presence.relays[i]);
                b->presence.n_relays = (unsigned) n;
                return true;
        case PRESENCE_STREAMS:
                b->presence.n_streams = field_read_streams(r, b->presence.streams);
                return true;
        }
        return false;
}

static int body_decode(RecordKind kind, const uint8_t *buf, size_t len, RecordBody *ret) {
        /* The owner and the groups of a certificate may be left out, for none. */
        static const struct {
                bool (*read_entry)(CborReader *r, uint64_t key, RecordBody *b);
                uint64_t mandatory;
        } kinds[] = {
                [RECORD_CERTIFICATE] = { read_certificate_entry,
                                         CBOR_KEY(CERTIFICATE_NAME) | CBOR_KEY(CERTIFICATE_ROLES) |
                                                         CBOR_KEY(KEY_NOT_BEFORE) |
                                                         CBOR_KEY(KEY_NOT_AFTER) },
                [RECORD_LEASE] = { read_lease_entry,
                                   CBOR_KEY(LEASE_ADDRESS) | CBOR_KEY(LEASE_PREFIX_LEN) |
                                                   CBOR_KEY(KEY_NOT_BEFORE) |
                                                   CBOR_KEY(KEY_NOT_AFTER) | CBOR_KEY(LEASE_NAME) },
                [RECORD_REVOCATION] = { read_revocation_entry, CBOR_KEY(REVOCATION_REASON) },
                [RECORD_PRESENCE] = { read_presence_entry,
                                      CBOR_KEY(PRESENCE_ENDPOINTS) | CBOR_KEY(KEY_NOT_AFTER) |
                                                      CBOR_KEY(PRESENCE_SOFTWARE) },
        };
        RecordBody b = { .kind = kind };
        CborReader r;
        uint64_t key;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                if (key == KEY_MACHINE)
                        field_read_machine_id(&r, &b.machine);
                else if (key == KEY_VERSION)
                        b.version = cbor_reader_uint(&r, UINT64_MAX);
                else if (!kinds[kind].read_entry(&r, key, &b))
                        cbor_reader_skip(&r);
        k = cbor_reader_end(&r, kinds[kind].mandatory | CBOR_KEY(KEY_MACHINE) | CBOR_KEY(KEY_VERSION));
        if (k < 0)
                return k;
        if (!body_is_valid(&b))
                return -EBADMSG;
        *ret = b;
        return 0;
}

/* Takes both references. */
static int
record_take(RecordKind kind,
            GBytes *encoded_body,
            const MachineId *signer,
            const uint8_t signature[static 64],
            GBytes *bytes,
            Record **ret) {
        uint8_t hash[crypto_generichash_BYTES];
        g_autoptr(Record) record = NEW(Record);
        const uint8_t *data;
        size_t len;
        int r;

        g_atomic_ref_count_init(&record->n_ref);
        record->encoded_body = encoded_body;
        record->bytes = bytes;
        record->signer = *signer;
        memcpy(record->signature, signature, sizeof record->signature);

        data = g_bytes_get_data(encoded_body, &len);
        r = body_decode(kind, data, len, &record->body);
        if (r < 0)
                return r;
        data = g_bytes_get_data(bytes, &len);
        crypto_generichash(hash, sizeof hash, data, len, NULL, 0);
        memcpy(record->hash, hash, sizeof record->hash);
        *ret = TAKE_PTR(record);
        return 0;
}

static bool kind_is_known(uint64_t kind) {
        return kind >= RECORD_CERTIFICATE && kind < _RECORD_KIND_MAX;
}

int record_new(RecordKind kind,
               GBytes *encoded_body,
               const MachineId *signer,
               const uint8_t signature[static 64],
               Record **ret) {
        const uint8_t *body;
        GBytes *bytes;
        size_t len;
        CborWriter w;

        if (!kind_is_known(kind))
                return -EBADMSG;
        body = g_bytes_get_data(encoded_body, &len);
        cbor_writer_init(&w);
        cbor_writer_array(&w, 4);
        cbor_writer_uint(&w, kind);
        cbor_writer_bytes(&w, body, len);
        field_write_machine_id(&w, signer);
        cbor_writer_bytes(&w, signature, 64);
        bytes = cbor_writer_finish(&w, RECORD_MAX);
        if (!bytes)
                return -EBADMSG;
        return record_take(kind, g_bytes_ref(encoded_body), signer, signature, bytes, ret);
}

int record_decode(const uint8_t *buf, size_t len, Record **ret) {
        const uint8_t *body;
        uint8_t signature[64];
        MachineId signer;
        GBytes *bytes;
        CborReader r;
        uint64_t kind;
        size_t body_len;

        if (len > RECORD_MAX)
                return -EBADMSG;
        cbor_reader_init(&r, buf, len);
        if (cbor_reader_array(&r, 4) != 4)
                return -EBADMSG;
        kind = cbor_reader_uint(&r, UINT64_MAX);
        body = cbor_reader_bytes(&r, &body_len);
        field_read_machine_id(&r, &signer);
        cbor_reader_bytes_exact(&r, signature, sizeof signature);
        if (cbor_reader_end(&r, 0) < 0 || !kind_is_known(kind))
                return -EBADMSG;

        /* The body is a piece of our copy of the whole. */
        bytes = g_bytes_new(buf, len);
        return record_take(
                        (RecordKind) kind,
                        g_bytes_new_from_bytes(bytes, (size_t) (body - buf), body_len), &signer,
                        signature, bytes, ret);
}

Record *record_ref(Record *r) {
        g_atomic_ref_count_inc(&r->n_ref);
        return r;
}

void record_unref(Record *r) {
        if (!r || !g_atomic_ref_count_dec(&r->n_ref))
                return;
        g_bytes_unref(r->encoded_body);
        g_bytes_unref(r->bytes);
        g_free(r);
}
