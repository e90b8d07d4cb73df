/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of the channel `relay`. */
#include <string.h>

#include "base/macros.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/control.h"
#include "core/wire/fields.h"

enum {
        MESSAGE_OP = 1,
        MESSAGE_MACHINE = 2,
        MESSAGE_ALLOCATION = 3,
        MESSAGE_FIRST = 4,

        RESPONSE_ALLOCATION = 1,
};

static bool has_machine(RelayOp op) {
        return op == RELAY_ALLOCATE || op == RELAY_ANNOUNCED;
}

GBytes *relay_message_encode(const RelayMessage *m) {
        CborWriter w;

        cbor_writer_init_map(&w);
        cbor_writer_uint(cbor_writer_key(&w, MESSAGE_OP), m->op);
        if (has_machine(m->op))
                field_write_machine_id(cbor_writer_key(&w, MESSAGE_MACHINE), &m->machine);
        if (m->op != RELAY_ALLOCATE)
                cbor_writer_uint(cbor_writer_key(&w, MESSAGE_ALLOCATION), m->allocation);
        if (m->op == RELAY_ALLOCATE && m->first_len > 0)
                cbor_writer_bytes(cbor_writer_key(&w, MESSAGE_FIRST), m->first, m->first_len);
        return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
}

static uint32_t read_allocation(CborReader *r) {
        uint32_t v = (uint32_t) cbor_reader_uint(r, UINT32_MAX);

        if (v == 0)
                cbor_reader_fail(r);
        return v;
}

/* No other is a first one. */
static void read_first(CborReader *r, RelayMessage *m) {
        const uint8_t *data = cbor_reader_bytes(r, &m->first_len);

        if (!data || m->first_len < INITIATION_SIZE_MIN || m->first_len > HANDSHAKE_SIZE_MAX ||
            data[0] != MESSAGE_HANDSHAKE_INITIATION)
                cbor_reader_fail(r);
        else
                memcpy(m->first, data, m->first_len);
}

int relay_message_decode(const uint8_t *buf, size_t len, RelayMessage *ret) {
        RelayMessage v = {};
        uint64_t key, mandatory = CBOR_KEY(MESSAGE_OP);
        CborReader r;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                switch (key) {
                case MESSAGE_OP:
                        v.op = (RelayOp) cbor_reader_uint(&r, RELAY_RELEASE);
                        if (v.op < RELAY_ALLOCATE)
                                cbor_reader_fail(&r);
                        break;
                case MESSAGE_MACHINE:
                        field_read_machine_id(&r, &v.machine);
                        break;
                case MESSAGE_ALLOCATION:
                        v.allocation = read_allocation(&r);
                        break;
                case MESSAGE_FIRST:
                        read_first(&r, &v);
                        break;
                default:
                        cbor_reader_skip(&r);
                }
        if (has_machine(v.op))
                mandatory |= CBOR_KEY(MESSAGE_MACHINE);
        if (v.op != RELAY_ALLOCATE)
                mandatory |= CBOR_KEY(MESSAGE_ALLOCATION);
        k = cbor_reader_end(&r, mandatory);
        if (k < 0)
                return k;
        *ret = v;
        return 0;
}

GBytes *relay_response_encode(const RelayResponse *r) {
        CborWriter w;

        cbor_writer_init_map(&w);
        cbor_writer_uint(cbor_writer_key(&w, RESPONSE_ALLOCATION), r->allocation);
        return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
}

int relay_response_decode(const uint8_t *buf, size_t len, RelayResponse *ret) {
        RelayResponse v = {};
        CborReader r;
        uint64_t key;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                if (key == RESPONSE_ALLOCATION)
                        v.allocation = read_allocation(&r);
                else
                        cbor_reader_skip(&r);
        k = cbor_reader_end(&r, CBOR_KEY(RESPONSE_ALLOCATION));
        if (k < 0)
                return k;
        *ret = v;
        return 0;
}
