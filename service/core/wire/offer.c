/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/wire/offer.h"

#include "base/macros.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/fields.h"
#include "core/wire/link-text.h"

#define OFFER_VERSION 1U
#define OFFER_BYTES_MAX LINK_TEXT_BYTES_MAX(sizeof OFFER_SCHEME - 1)

/* docs/protocol.md, "Offers". */
enum {
        KEY_NETWORK = 2,
        KEY_MACHINE = 3,
        KEY_ENDPOINTS = 4,
};

char *offer_format(const Offer *offer) {
        g_autoptr(GBytes) bytes = NULL;
        CborWriter w;

        if (offer->n_endpoints == 0 || offer->n_endpoints > ENDPOINTS_MAX)
                return NULL;
        cbor_writer_init_map(&w);
        cbor_writer_uint(cbor_writer_key(&w, LINK_KEY_VERSION), OFFER_VERSION);
        field_write_machine_id(cbor_writer_key(&w, KEY_NETWORK), &offer->network);
        field_write_machine_id(cbor_writer_key(&w, KEY_MACHINE), &offer->machine);
        field_write_endpoints(
                        cbor_writer_key(&w, KEY_ENDPOINTS), offer->endpoints, offer->n_endpoints);
        bytes = cbor_writer_finish(&w, OFFER_BYTES_MAX);
        assert(bytes); /* 8 endpoints are a third of it */
        return link_text_format(OFFER_SCHEME, bytes);
}

int offer_parse(const char *line, Offer *ret) {
        uint8_t buf[LINK_TEXT_MAX];
        Offer v = {};
        CborReader r;
        uint64_t key;
        int k;

        k = link_text_parse(OFFER_SCHEME, OFFER_VERSION, line, buf);
        if (k < 0)
                return k;
        cbor_reader_init_map(&r, buf, (size_t) k);
        while (cbor_reader_next_key(&r, &key))
                switch (key) {
                case KEY_NETWORK:
                        field_read_machine_id(&r, &v.network);
                        break;
                case KEY_MACHINE:
                        field_read_machine_id(&r, &v.machine);
                        break;
                case KEY_ENDPOINTS:
                        v.n_endpoints = field_read_endpoints(&r, v.endpoints);
                        break;
                default:
                        cbor_reader_skip(&r);
                }
        k = cbor_reader_end(
                        &r, CBOR_KEY(KEY_NETWORK) | CBOR_KEY(KEY_MACHINE) | CBOR_KEY(KEY_ENDPOINTS));
        if (k == 0 && v.n_endpoints == 0)
                k = -EBADMSG;
        if (k == 0)
                *ret = v;
        return k;
}
