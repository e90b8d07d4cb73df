/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of the channels `enrol` and `cert`. */
#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/control.h"
#include "core/wire/fields.h"

enum {
        REQUEST_NAME = 1,
        REQUEST_OWNER = 2,
        REQUEST_SIGNATURE = 3,

        RESPONSE_STATUS = 1,
        RESPONSE_CERTIFICATE = 2,
        RESPONSE_ISSUER_CERTIFICATE = 3,
        RESPONSE_NETWORK_NAME = 4,
        RESPONSE_SECRET = 5,
        RESPONSE_SUBNET = 6,
        RESPONSE_PREFIX_LEN = 7,
        RESPONSE_GATEWAY = 8,
        RESPONSE_RECORDS = 9,

        CERT_CERTIFICATE = 1,
        CERT_ISSUER_CERTIFICATE = 3,
        CERT_REVOCATION = 4,
};

GBytes *enrol_request_encode(const EnrolRequest *r) {
        CborWriter w;

        cbor_writer_init_map(&w);
        cbor_writer_text(cbor_writer_key(&w, REQUEST_NAME), r->name);
        cbor_writer_text(cbor_writer_key(&w, REQUEST_OWNER), r->owner);
        cbor_writer_bytes(cbor_writer_key(&w, REQUEST_SIGNATURE), r->signature, sizeof r->signature);
        return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
}

int enrol_request_decode(const uint8_t *buf, size_t len, EnrolRequest *ret) {
        EnrolRequest v = {};
        CborReader r;
        uint64_t key;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                switch (key) {
                case REQUEST_NAME:
                        field_read_host_name(&r, v.name);
                        break;
                case REQUEST_OWNER:
                        cbor_reader_text(&r, v.owner, sizeof v.owner);
                        break;
                case REQUEST_SIGNATURE:
                        cbor_reader_bytes_exact(&r, v.signature, sizeof v.signature);
                        break;
                default:
                        cbor_reader_skip(&r);
                }
        k = cbor_reader_end(&r, CBOR_KEY(REQUEST_NAME) | CBOR_KEY(REQUEST_SIGNATURE));
        if (k < 0)
                return k;
        *ret = v;
        return 0;
}

void enrol_response_clear(EnrolResponse *r) {
        record_unref(r->certificate);
        record_unref(r->issuer_certificate);
        g_clear_pointer(&r->records, g_ptr_array_unref);
        sodium_memzero(r, sizeof *r);
}

GBytes *enrol_response_encode(const EnrolResponse *r) {
        CborWriter w;

        cbor_writer_init_map(&w);
        cbor_writer_uint(cbor_writer_key(&w, RESPONSE_STATUS), r->status);
        if (r->status == ENROL_PENDING)
                return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
        field_write_record(cbor_writer_key(&w, RESPONSE_CERTIFICATE), r->certificate);
        if (r->issuer_certificate)
                field_write_record(
                                cbor_writer_key(&w, RESPONSE_ISSUER_CERTIFICATE),
                                r->issuer_certificate);
        cbor_writer_text(cbor_writer_key(&w, RESPONSE_NETWORK_NAME), r->network_name);
        cbor_writer_bytes(cbor_writer_key(&w, RESPONSE_SECRET), r->secret, sizeof r->secret);
        field_write_ipv4(cbor_writer_key(&w, RESPONSE_SUBNET), &r->subnet.addr);
        cbor_writer_uint(cbor_writer_key(&w, RESPONSE_PREFIX_LEN), r->subnet.len);
        field_write_machine_id(cbor_writer_key(&w, RESPONSE_GATEWAY), &r->gateway);
        if (r->records)
                field_write_records(cbor_writer_key(&w, RESPONSE_RECORDS), r->records);
        return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
}

static void read_response_entry(CborReader *r, uint64_t key, EnrolResponse *v) {
        unsigned bad;

        switch (key) {
        case RESPONSE_STATUS:
                v->status = (EnrolStatus) cbor_reader_uint(r, ENROL_PENDING);
                break;
        case RESPONSE_CERTIFICATE:
                v->certificate = field_read_record(r, RECORD_CERTIFICATE);
                break;
        case RESPONSE_ISSUER_CERTIFICATE:
                v->issuer_certificate = field_read_record(r, RECORD_CERTIFICATE);
                break;
        case RESPONSE_NETWORK_NAME:
                field_read_label(r, v->network_name, sizeof v->network_name);
                break;
        case RESPONSE_SECRET:
                cbor_reader_bytes_exact(r, v->secret, sizeof v->secret);
                break;
        case RESPONSE_SUBNET:
                field_read_ipv4(r, &v->subnet.addr);
                break;
        case RESPONSE_PREFIX_LEN:
                v->subnet.len = (uint8_t) cbor_reader_uint(r, 32);
                break;
        case RESPONSE_GATEWAY:
                field_read_machine_id(r, &v->gateway);
                break;
        case RESPONSE_RECORDS:
                v->records = field_read_records(r, &bad);
                break;
        default:
                cbor_reader_skip(r);
        }
}

int enrol_response_decode(const uint8_t *buf, size_t len, EnrolResponse *ret) {
        _cleanup_(enrol_response_clear) EnrolResponse v = {};
        uint64_t key, mandatory = CBOR_KEY(RESPONSE_STATUS);
        CborReader r;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                read_response_entry(&r, key, &v);
        if (v.status == ENROL_WELCOME)
                mandatory |= CBOR_KEY(RESPONSE_CERTIFICATE) | CBOR_KEY(RESPONSE_NETWORK_NAME) |
                             CBOR_KEY(RESPONSE_SECRET) | CBOR_KEY(RESPONSE_SUBNET) |
                             CBOR_KEY(RESPONSE_PREFIX_LEN) | CBOR_KEY(RESPONSE_GATEWAY);
        k = cbor_reader_end(&r, mandatory);
        if (k < 0)
                return k;
        if (v.status == ENROL_PENDING) {
                /* What else may be there means nothing yet. */
                enrol_response_clear(&v);
                v.status = ENROL_PENDING;
        } else if (!field_prefix_is_whole(&v.subnet))
                return -EBADMSG;
        *ret = v;
        v = (EnrolResponse){};
        return 0;
}

void cert_response_clear(CertResponse *r) {
        record_unref(r->certificate);
        record_unref(r->issuer_certificate);
        record_unref(r->revocation);
        *r = (CertResponse){};
}

GBytes *cert_response_encode(const CertResponse *r) {
        CborWriter w;

        cbor_writer_init_map(&w);
        if (r->certificate)
                field_write_record(cbor_writer_key(&w, CERT_CERTIFICATE), r->certificate);
        if (r->issuer_certificate)
                field_write_record(
                                cbor_writer_key(&w, CERT_ISSUER_CERTIFICATE), r->issuer_certificate);
        if (r->revocation)
                field_write_record(cbor_writer_key(&w, CERT_REVOCATION), r->revocation);
        return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
}

int cert_response_decode(const uint8_t *buf, size_t len, CertResponse *ret) {
        _cleanup_(cert_response_clear) CertResponse v = {};
        CborReader r;
        uint64_t key;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                switch (key) {
                case CERT_CERTIFICATE:
                        v.certificate = field_read_record(&r, RECORD_CERTIFICATE);
                        break;
                case CERT_ISSUER_CERTIFICATE:
                        v.issuer_certificate = field_read_record(&r, RECORD_CERTIFICATE);
                        break;
                case CERT_REVOCATION:
                        v.revocation = field_read_record(&r, RECORD_REVOCATION);
                        break;
                default:
                        cbor_reader_skip(&r);
                }
        k = cbor_reader_end(&r, 0);
        if (k < 0)
                return k;
        if (!v.certificate == !v.revocation)
                return -EBADMSG;
        *ret = v;
        v = (CertResponse){};
        return 0;
}
