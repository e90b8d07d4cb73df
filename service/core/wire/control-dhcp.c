/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of the channel `dhcp`. */
#include "base/macros.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/control.h"
#include "core/wire/fields.h"

enum {
        REQUEST_OP = 1,
        REQUEST_WANTED = 2,
        REQUEST_NAME = 3,

        RESPONSE_LEASE = 1,
        RESPONSE_GATEWAY = 2,
};

GBytes *dhcp_request_encode(const DhcpRequest *r) {
        CborWriter w;

        cbor_writer_init_map(&w);
        cbor_writer_uint(cbor_writer_key(&w, REQUEST_OP), r->op);
        if (ip_is_set(&r->wanted))
                field_write_ipv4(cbor_writer_key(&w, REQUEST_WANTED), &r->wanted);
        if (r->name[0] != '\0')
                cbor_writer_text(cbor_writer_key(&w, REQUEST_NAME), r->name);
        return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
}

int dhcp_request_decode(const uint8_t *buf, size_t len, DhcpRequest *ret) {
        DhcpRequest v = {};
        CborReader r;
        uint64_t key;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                switch (key) {
                case REQUEST_OP:
                        v.op = (DhcpOp) cbor_reader_uint(&r, DHCP_RELEASE);
                        if (v.op < DHCP_REQUEST)
                                cbor_reader_fail(&r);
                        break;
                case REQUEST_WANTED:
                        field_read_ipv4(&r, &v.wanted);
                        break;
                case REQUEST_NAME:
                        field_read_host_name(&r, v.name);
                        break;
                default:
                        cbor_reader_skip(&r);
                }
        k = cbor_reader_end(&r, CBOR_KEY(REQUEST_OP));
        if (k < 0)
                return k;
        *ret = v;
        return 0;
}

void dhcp_response_clear(DhcpResponse *r) {
        record_unref(r->lease);
        *r = (DhcpResponse){};
}

GBytes *dhcp_response_encode(const DhcpResponse *r) {
        CborWriter w;

        cbor_writer_init_map(&w);
        if (r->lease)
                field_write_record(cbor_writer_key(&w, RESPONSE_LEASE), r->lease);
        if (ip_is_set(&r->gateway))
                field_write_ipv4(cbor_writer_key(&w, RESPONSE_GATEWAY), &r->gateway);
        return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
}

int dhcp_response_decode(const uint8_t *buf, size_t len, DhcpResponse *ret) {
        _cleanup_(dhcp_response_clear) DhcpResponse v = {};
        CborReader r;
        uint64_t key;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                switch (key) {
                case RESPONSE_LEASE:
                        v.lease = field_read_record(&r, RECORD_LEASE);
                        break;
                case RESPONSE_GATEWAY:
                        field_read_ipv4(&r, &v.gateway);
                        break;
                default:
                        cbor_reader_skip(&r);
                }
        k = cbor_reader_end(&r, v.lease ? CBOR_KEY(RESPONSE_GATEWAY) : 0);
        if (k < 0)
                return k;
        *ret = v;
        v = (DhcpResponse){};
        return 0;
}
