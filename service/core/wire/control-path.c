/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of the channel `path`. A candidate is one byte string: its kind, then the endpoint. */
#include <string.h>

#include "base/macros.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/control.h"
#include "core/wire/fields.h"

/* What a later version may send; more is malformed. */
#define CANDIDATES_READ_MAX 64U

enum {
        KEY_OP = 1,
        KEY_CANDIDATES = 2,
        KEY_TRANSLATION = 3,
        KEY_STEP = 4,
        KEY_LAST = 5,
};

bool path_message_add(PathMessage *m, PathCandidateKind kind, const Endpoint *endpoint) {
        unsigned n = 0;

        for (unsigned i = 0; i < m->n; i++) {
                if (endpoint_equal(&m->candidates[i].endpoint, endpoint))
                        return false;
                n += m->candidates[i].kind == kind;
        }
        if (n >= PATH_CANDIDATES_PER_KIND_MAX)
                return false;
        m->candidates[m->n++] = (PathCandidate){ .kind = kind, .endpoint = *endpoint };
        return true;
}

GBytes *path_message_encode(const PathMessage *m) {
        CborWriter w;

        cbor_writer_init_map(&w);
        cbor_writer_uint(cbor_writer_key(&w, KEY_OP), m->op);
        cbor_writer_array(cbor_writer_key(&w, KEY_CANDIDATES), m->n);
        for (unsigned i = 0; i < m->n; i++) {
                uint8_t buf[1 + ENDPOINT_WIRE_MAX] = { (uint8_t) m->candidates[i].kind };

                cbor_writer_bytes(&w, buf, 1 + endpoint_encode(&m->candidates[i].endpoint, buf + 1));
        }
        if (m->translation != PATH_TRANSLATION_UNKNOWN)
                cbor_writer_uint(cbor_writer_key(&w, KEY_TRANSLATION), m->translation);
        if (endpoint_is_set(&m->last)) {
                cbor_writer_uint(cbor_writer_key(&w, KEY_STEP), (uint16_t) m->step);
                field_write_endpoint(cbor_writer_key(&w, KEY_LAST), &m->last);
        }
        return cbor_writer_finish(&w, CONTROL_PAYLOAD_MAX);
}

static void read_candidate(CborReader *r, PathMessage *m) {
        size_t len;
        const uint8_t *data = cbor_reader_bytes(r, &len);
        Endpoint e;

        if (!data || len < 1) {
                cbor_reader_fail(r);
                return;
        }
        if (data[0] >= _PATH_CANDIDATE_MAX)
                return;
        if (endpoint_decode(data + 1, len - 1, &e) < 0 || !endpoint_is_usable(&e))
                cbor_reader_fail(r);
        else
                (void) path_message_add(m, (PathCandidateKind) data[0], &e);
}

int path_message_decode(const uint8_t *buf, size_t len, PathMessage *ret) {
        PathMessage v = {};
        CborReader r;
        uint64_t key, u;
        size_t n;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                switch (key) {
                case KEY_OP:
                        v.op = (PathOp) cbor_reader_uint(&r, PATH_ANSWER);
                        if (v.op < PATH_CALL)
                                cbor_reader_fail(&r);
                        break;
                case KEY_CANDIDATES:
                        n = cbor_reader_array(&r, CANDIDATES_READ_MAX);
                        for (size_t i = 0; i < n; i++)
                                read_candidate(&r, &v);
                        break;
                case KEY_TRANSLATION:
                        u = cbor_reader_uint(&r, UINT64_MAX);
                        if (u < _PATH_TRANSLATION_MAX)
                                v.translation = (PathTranslation) u;
                        break;
                case KEY_STEP:
                        v.step = (int16_t) cbor_reader_uint(&r, UINT16_MAX);
                        if (v.step == 0)
                                cbor_reader_fail(&r);
                        break;
                case KEY_LAST:
                        field_read_endpoint(&r, &v.last);
                        break;
                default:
                        cbor_reader_skip(&r);
                }
        /* One says nothing without the other. */
        if (cbor_reader_has_key(&r, KEY_STEP) != cbor_reader_has_key(&r, KEY_LAST))
                cbor_reader_fail(&r);
        k = cbor_reader_end(&r, CBOR_KEY(KEY_OP) | CBOR_KEY(KEY_CANDIDATES));
        if (k < 0)
                return k;
        *ret = v;
        return 0;
}
