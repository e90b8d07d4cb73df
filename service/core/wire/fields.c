/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/wire/fields.h"

#include <string.h>

#include "base/macros.h"

bool field_label_is_valid(const char *text, size_t max) {
        size_t len = strnlen(text, max + 1);

        return len > 0 && len <= max && cbor_text_is_clean(text, len);
}

void field_read_host_name(CborReader *r, char ret[static HOST_NAME_MAX_LEN + 1]) {
        cbor_reader_text(r, ret, HOST_NAME_MAX_LEN + 1);
        if (!host_name_is_valid(ret))
                cbor_reader_fail(r);
}

void field_read_label(CborReader *r, char *ret, size_t size) {
        cbor_reader_text(r, ret, size);
        if (ret[0] == '\0')
                cbor_reader_fail(r);
}

void field_read_ipv4(CborReader *r, IpAddr *ret) {
        *ret = (IpAddr){ .family = AF_INET };
        cbor_reader_bytes_exact(r, ret->bytes, 4);
}

void field_read_machine_id(CborReader *r, MachineId *ret) {
        cbor_reader_bytes_exact(r, ret->bytes, sizeof ret->bytes);
}

void field_read_endpoint(CborReader *r, Endpoint *ret) {
        size_t len;
        const uint8_t *data = cbor_reader_bytes(r, &len);

        *ret = (Endpoint){};
        if (!data || endpoint_decode(data, len, ret) < 0 || !endpoint_is_usable(ret))
                cbor_reader_fail(r);
}

unsigned field_read_streams(CborReader *r, Endpoint ret[static STREAM_ENDPOINTS_MAX]) {
        size_t n = cbor_reader_array(r, STREAM_ENDPOINTS_MAX);

        for (size_t i = 0; i < n; i++) {
                field_read_endpoint(r, &ret[i]);
                ret[i].transport = ENDPOINT_TCP;
        }
        return (unsigned) n;
}

unsigned field_read_endpoints(CborReader *r, Endpoint ret[static ENDPOINTS_MAX]) {
        size_t n = cbor_reader_array(r, ENDPOINTS_MAX);

        for (size_t i = 0; i < n; i++)
                field_read_endpoint(r, &ret[i]);
        return (unsigned) n;
}

Record *field_read_record(CborReader *r, RecordKind kind) {
        g_autoptr(Record) record = NULL;
        size_t len;
        const uint8_t *data = cbor_reader_bytes(r, &len);

        if (!data || record_decode(data, len, &record) < 0 || record->body.kind != kind) {
                cbor_reader_fail(r);
                return NULL;
        }
        return TAKE_PTR(record);
}

GPtrArray *field_read_records(CborReader *r, unsigned *ret_bad) {
        GPtrArray *records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
        size_t n = cbor_reader_array(r, SIZE_MAX);
        unsigned bad = 0;

        for (size_t i = 0; i < n && !r->failed; i++) {
                Record *record;
                size_t len;
                const uint8_t *data = cbor_reader_bytes(r, &len);

                if (!data)
                        break;
                if (record_decode(data, len, &record) < 0)
                        bad++;
                else
                        g_ptr_array_add(records, record);
        }
        *ret_bad = bad;
        return records;
}

void field_write_ipv4(CborWriter *w, const IpAddr *a) {
        assert(a->family == AF_INET);
        cbor_writer_bytes(w, a->bytes, 4);
}

void field_write_machine_id(CborWriter *w, const MachineId *id) {
        cbor_writer_bytes(w, id->bytes, sizeof id->bytes);
}

void field_write_endpoint(CborWriter *w, const Endpoint *e) {
        uint8_t buf[ENDPOINT_WIRE_MAX];

        cbor_writer_bytes(w, buf, endpoint_encode(e, buf));
}

void field_write_endpoints(CborWriter *w, const Endpoint *endpoints, unsigned n) {
        cbor_writer_array(w, n);
        for (unsigned i = 0; i < n; i++)
                field_write_endpoint(w, &endpoints[i]);
}

void field_write_record(CborWriter *w, const Record *record) {
        size_t len;
        const uint8_t *data = g_bytes_get_data(record->bytes, &len);

        cbor_writer_bytes(w, data, len);
}

void field_write_records(CborWriter *w, const GPtrArray *records) {
        unsigned n = records ? records->len : 0;

        cbor_writer_array(w, n);
        for (unsigned i = 0; i < n; i++)
                field_write_record(w, g_ptr_array_index(records, i));
}

bool field_prefix_is_whole(const IpPrefix *p) {
        return p->len == 32 || (ip_to_v4(&p->addr) & UINT32_MAX >> p->len) == 0;
}
