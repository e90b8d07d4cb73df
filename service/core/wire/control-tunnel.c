/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of the channel `tunnel`. */
#include "base/macros.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/control.h"

enum {
        REQUEST_OP = 1,
        REQUEST_CHANNEL = 2,
};

GBytes *tunnel_request_encode(const TunnelRequest *r) {
        CborWriter w;

        cbor_writer_init_map(&w);
        cbor_writer_uint(cbor_writer_key(&w, REQUEST_OP), r->op);
        cbor_writer_text(cbor_writer_key(&w, REQUEST_CHANNEL), r->channel);
        return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
}

int tunnel_request_decode(const uint8_t *buf, size_t len, TunnelRequest *ret) {
        TunnelRequest v = {};
        CborReader r;
        uint64_t key;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                switch (key) {
                case REQUEST_OP:
                        v.op = (TunnelOp) cbor_reader_uint(&r, TUNNEL_CLOSE);
                        if (v.op < TUNNEL_OPEN)
                                cbor_reader_fail(&r);
                        break;
                case REQUEST_CHANNEL:
                        cbor_reader_text(&r, v.channel, sizeof v.channel);
                        if (!channel_name_is_valid(v.channel))
                                cbor_reader_fail(&r);
                        break;
                default:
                        cbor_reader_skip(&r);
                }
        k = cbor_reader_end(&r, CBOR_KEY(REQUEST_OP) | CBOR_KEY(REQUEST_CHANNEL));
        if (k < 0)
                return k;
        *ret = v;
        return 0;
}
