/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/wire/invite.h"

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/fields.h"
#include "core/wire/link-text.h"

#define INVITE_VERSION 1U
#define INVITE_BYTES_MAX LINK_TEXT_BYTES_MAX(sizeof INVITE_SCHEME - 1)

/* docs/protocol.md, "Invites". */
enum {
        KEY_NETWORK = 2,
        KEY_ISSUER = 3,
        KEY_ENDPOINTS = 4,
        KEY_TOKEN = 5,
        KEY_NOT_AFTER = 6,
        KEY_NETWORK_NAME = 7,
        KEY_SUBNET = 8,
        KEY_PREFIX_LEN = 9,
        KEY_STREAMS = 10,
        KEY_NAMES = 11,
};

bool network_name_is_valid(const char *name) {
        return field_label_is_valid(name, NETWORK_NAME_MAX_LEN);
}

static void write_names(CborWriter *w, const Invite *invite) {
        cbor_writer_array(w, invite->n_names);
        for (unsigned i = 0; i < invite->n_names; i++)
                cbor_writer_text(w, host_port_format(&invite->names[i]).text);
}

static void read_names(CborReader *r, Invite *ret) {
        size_t n = cbor_reader_array(r, GATEWAY_NAMES_MAX);

        for (size_t i = 0; i < n; i++) {
                HostPortText t = {};

                cbor_reader_text(r, t.text, sizeof t.text);
                if (host_port_parse(t.text, 0, &ret->names[i]) < 0)
                        cbor_reader_fail(r);
        }
        ret->n_names = (unsigned) n;
}

char *invite_format(const Invite *invite) {
        g_autoptr(GBytes) bytes = NULL;
        CborWriter w;

        if (invite->n_endpoints > ENDPOINTS_MAX || invite->n_streams > STREAM_ENDPOINTS_MAX ||
            invite->n_names > GATEWAY_NAMES_MAX || !network_name_is_valid(invite->network_name))
                return NULL;
        cbor_writer_init_map(&w);
        cbor_writer_uint(cbor_writer_key(&w, LINK_KEY_VERSION), INVITE_VERSION);
        field_write_machine_id(cbor_writer_key(&w, KEY_NETWORK), &invite->network);
        field_write_machine_id(cbor_writer_key(&w, KEY_ISSUER), &invite->issuer);
        field_write_endpoints(
                        cbor_writer_key(&w, KEY_ENDPOINTS), invite->endpoints, invite->n_endpoints);
        cbor_writer_bytes(cbor_writer_key(&w, KEY_TOKEN), invite->token, sizeof invite->token);
        cbor_writer_uint(cbor_writer_key(&w, KEY_NOT_AFTER), invite->not_after);
        cbor_writer_text(cbor_writer_key(&w, KEY_NETWORK_NAME), invite->network_name);
        if (ip_is_set(&invite->subnet.addr)) {
                field_write_ipv4(cbor_writer_key(&w, KEY_SUBNET), &invite->subnet.addr);
                cbor_writer_uint(cbor_writer_key(&w, KEY_PREFIX_LEN), invite->subnet.len);
        }
        if (invite->n_streams > 0)
                field_write_endpoints(
                                cbor_writer_key(&w, KEY_STREAMS), invite->streams, invite->n_streams);
        if (invite->n_names > 0)
                write_names(cbor_writer_key(&w, KEY_NAMES), invite);
        bytes = cbor_writer_finish(&w, INVITE_BYTES_MAX);
        assert(bytes); /* 12 endpoints and the longest names are three quarters of it */
        return link_text_format(INVITE_SCHEME, bytes);
}

static int decode(const uint8_t *buf, size_t len, Invite *ret) {
        Invite v = {};
        CborReader r;
        uint64_t key, has = 0;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                switch (key) {
                case KEY_NETWORK:
                        field_read_machine_id(&r, &v.network);
                        break;
                case KEY_ISSUER:
                        field_read_machine_id(&r, &v.issuer);
                        break;
                case KEY_ENDPOINTS:
                        v.n_endpoints = field_read_endpoints(&r, v.endpoints);
                        break;
                case KEY_TOKEN:
                        cbor_reader_bytes_exact(&r, v.token, sizeof v.token);
                        break;
                case KEY_NOT_AFTER:
                        v.not_after = cbor_reader_uint(&r, UINT64_MAX);
                        break;
                case KEY_NETWORK_NAME:
                        field_read_label(&r, v.network_name, sizeof v.network_name);
                        break;
                case KEY_SUBNET:
                        field_read_ipv4(&r, &v.subnet.addr);
                        has |= CBOR_KEY(KEY_SUBNET);
                        break;
                case KEY_PREFIX_LEN:
                        v.subnet.len = (uint8_t) cbor_reader_uint(&r, 32);
                        has |= CBOR_KEY(KEY_PREFIX_LEN);
                        break;
                case KEY_STREAMS:
                        v.n_streams = field_read_streams(&r, v.streams);
                        break;
                case KEY_NAMES:
                        read_names(&r, &v);
                        break;
                default:
                        cbor_reader_skip(&r);
                }
        /* Both or neither. */
        if (has)
                has = CBOR_KEY(KEY_SUBNET) | CBOR_KEY(KEY_PREFIX_LEN);
        k = cbor_reader_end(
                        &r, CBOR_KEY(KEY_NETWORK) | CBOR_KEY(KEY_ISSUER) | CBOR_KEY(KEY_ENDPOINTS) |
                                            CBOR_KEY(KEY_TOKEN) | CBOR_KEY(KEY_NOT_AFTER) |
                                            CBOR_KEY(KEY_NETWORK_NAME) | has);
        if (k == 0 && has && !field_prefix_is_whole(&v.subnet))
                k = -EBADMSG;
        if (k == 0)
                *ret = v;
        sodium_memzero(&v, sizeof v);
        return k;
}

int invite_parse(const char *link, Invite *ret) {
        uint8_t buf[LINK_TEXT_MAX];
        int r;

        r = link_text_parse(INVITE_SCHEME, INVITE_VERSION, link, buf);
        if (r >= 0)
                r = decode(buf, (size_t) r, ret);
        sodium_memzero(buf, sizeof buf);
        return r;
}
