/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cbor-mangle.h"

#define ENTRIES_MAX 23

typedef struct Piece {
        const uint8_t *data;
        size_t len;
} Piece;

typedef struct Map {
        unsigned n;
        Piece key[ENTRIES_MAX + 1], value[ENTRIES_MAX + 1];
} Map;

GBytes *unhex(const char *text) {
        GByteArray *out = g_byte_array_new();

        while (*text != '\0') {
                uint8_t byte;

                if (*text == ' ') {
                        text++;
                        continue;
                }
                assert_true(g_ascii_isxdigit(text[0]) && g_ascii_isxdigit(text[1]));
                byte = (uint8_t) (g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]));
                g_byte_array_append(out, &byte, 1);
                text += 2;
        }
        return g_byte_array_free_to_bytes(out);
}

void assert_hex(GBytes *bytes, const char *hex) {
        g_autoptr(GBytes) wanted = unhex(hex);
        GString *got = g_string_new(NULL);
        const uint8_t *data;
        size_t len;

        assert_non_null(bytes);
        data = g_bytes_get_data(bytes, &len);
        for (size_t i = 0; i < len; i++)
                g_string_append_printf(got, "%02x", data[i]);
        if (!g_bytes_equal(bytes, wanted))
                fail_msg("got %s\nnot %s", got->str, hex);
        g_string_free(got, TRUE);
}

/* Size of the definite item at @p, which is well-formed. */
static size_t item_size(const uint8_t *p) {
        unsigned info = p[0] & 31;
        size_t n = info, head = 1, size;

        if (info >= 24) {
                head += (size_t) 1 << (info - 24);
                n = 0;
                for (size_t i = 1; i < head; i++)
                        n = n << 8 | p[i];
        }
        switch (p[0] >> 5) {
        case 2:
        case 3:
                return head + n;
        case 5:
                n *= 2;
                __attribute__((fallthrough));
        case 4:
                size = head;
                for (size_t i = 0; i < n; i++)
                        size += item_size(p + size);
                return size;
        case 6:
                return head + item_size(p + head);
        }
        return head;
}

static Map map_of(GBytes *bytes) {
        size_t len;
        const uint8_t *p = g_bytes_get_data(bytes, &len), *end = p + len;
        Map m = {};

        assert_true(len > 0 && p[0] >= 0xa0 && p[0] < 0xa0 + ENTRIES_MAX);
        m.n = p[0] & 31;
        p++;
        for (unsigned i = 0; i < m.n; i++) {
                m.key[i] = (Piece){ p, item_size(p) };
                p += m.key[i].len;
                m.value[i] = (Piece){ p, item_size(p) };
                p += m.value[i].len;
        }
        assert_ptr_equal(p, end);
        return m;
}

static void append(GByteArray *out, const Piece *p) {
        g_byte_array_append(out, p->data, (unsigned) p->len);
}

int mangle_decode(const MapCodec *codec, const uint8_t *buf, size_t len) {
        uint8_t *copy = malloc(len);
        int r;

        memcpy(copy, buf, len);
        r = codec->decode(copy, len);
        free(copy);
        return r;
}

static int decode_map(const MapCodec *codec, const Map *m) {
        GByteArray *out = g_byte_array_new();
        uint8_t head = (uint8_t) (0xa0 + m->n);
        int r;

        g_byte_array_append(out, &head, 1);
        for (unsigned i = 0; i < m->n; i++) {
                append(out, &m->key[i]);
                append(out, &m->value[i]);
        }
        r = mangle_decode(codec, out->data, out->len);
        g_byte_array_unref(out);
        return r;
}

static void expect(const MapCodec *codec, const Map *m, int wanted, const char *what, unsigned key) {
        int r = decode_map(codec, m);

        if (r != wanted)
                fail_msg("%s: %s (key %u): %d instead of %d", codec->name, what, key, r, wanted);
}

/* The value under @i, with another one in its place. */
static void
refused_with(const MapCodec *codec,
             const Map *m,
             unsigned i,
             const uint8_t *value,
             size_t len,
             const char *what) {
        Map changed = *m;

        changed.value[i] = (Piece){ value, len };
        expect(codec, &changed, -EBADMSG, what, m->key[i].data[0]);
}

static void check_values(const MapCodec *codec, const Map *m) {
        static const struct {
                const char *what;
                uint8_t bytes[12];
                size_t len;
        } foreign[] = {
                { "null", { 0xf6 }, 1 },
                { "false", { 0xf4 }, 1 },
                { "negative", { 0x20 }, 1 },
                { "half float", { 0xf9, 0x3c, 0x00 }, 3 },
                { "map", { 0xa0 }, 1 },
                { "tagged", { 0xc1, 0x01 }, 2 },
                { "tagged bytes", { 0xc2, 0x41, 0x01 }, 3 },
                { "break", { 0xff }, 1 },
                { "reserved", { 0x1c }, 1 },
                { "indefinite array", { 0x9f, 0xff }, 2 },
                { "indefinite map", { 0xbf, 0xff }, 2 },
                { "huge array", { 0x9b, 255, 255, 255, 255, 255, 255, 255, 255 }, 9 },
                { "array of 4 G", { 0x9a, 255, 255, 255, 255 }, 5 },
                { "huge bytes", { 0x5b, 255, 255, 255, 255, 255, 255, 255, 255 }, 9 },
                { "huge text", { 0x7b, 255, 255, 255, 255, 255, 255, 255, 247 }, 9 },
        };

        for (unsigned i = 0; i < m->n; i++) {
                const Piece *v = &m->value[i];
                GByteArray *out = g_byte_array_new();
                uint8_t byte, type = v->data[0] & 0xe0;

                for (unsigned f = 0; f < G_N_ELEMENTS(foreign); f++)
                        refused_with(codec, m, i, foreign[f].bytes, foreign[f].len, foreign[f].what);
                if (type == 0x40 || type == 0x60) {
                        /* The same string as one chunk of an indefinite one. */
                        byte = type | 31;
                        g_byte_array_append(out, &byte, 1);
                        append(out, v);
                        byte = 0xff;
                        g_byte_array_append(out, &byte, 1);
                        refused_with(codec, m, i, out->data, out->len, "indefinite string");
                        /* Bytes for text and the other way round. */
                        g_byte_array_set_size(out, 0);
                        append(out, v);
                        out->data[0] ^= 0x20;
                        refused_with(codec, m, i, out->data, out->len, "other kind of string");
                }
                if ((v->data[0] & 31) < 24) {
                        /* The same with a longer head than necessary. */
                        uint8_t head[2] = { type | 24, v->data[0] & 31 };

                        g_byte_array_set_size(out, 0);
                        g_byte_array_append(out, head, 2);
                        g_byte_array_append(out, v->data + 1, (unsigned) v->len - 1);
                        refused_with(codec, m, i, out->data, out->len, "longer head");
                }
                g_byte_array_unref(out);
        }
}

static void check_keys(const MapCodec *codec, const Map *m) {
        for (unsigned i = 0; i < m->n; i++) {
                unsigned key = m->key[i].data[0];
                Map changed = *m;

                /* Missing. */
                changed.n--;
                memmove(&changed.key[i], &changed.key[i + 1], (changed.n - i) * sizeof(Piece));
                memmove(&changed.value[i], &changed.value[i + 1], (changed.n - i) * sizeof(Piece));
                expect(codec, &changed, codec->optional & UINT64_C(1) << key ? 0 : -EBADMSG,
                       "missing", key);

                /* Twice. */
                changed = *m;
                changed.n++;
                changed.key[m->n] = m->key[i];
                changed.value[m->n] = m->value[i];
                expect(codec, &changed, -EBADMSG, "given twice", key);

                /* A key that is no unsigned integer. */
                changed = *m;
                changed.key[i] = (Piece){ (const uint8_t *) "\x61k", 2 };
                expect(codec, &changed, -EBADMSG, "text as key", key);
                changed.key[i] = (Piece){ (const uint8_t *) "\x20", 1 };
                expect(codec, &changed, -EBADMSG, "negative key", key);
        }
}

static void check_unknown_keys(const MapCodec *codec, const Map *m) {
        static const struct {
                int wanted;
                const char *what;
                uint8_t bytes[12];
                size_t len;
        } values[] = {
                { 0, "unknown integer", { 0x1b, 255, 255, 255, 255, 255, 255, 255, 255 }, 9 },
                { 0, "unknown bytes", { 0x43, 1, 2, 3 }, 4 },
                { 0, "unknown null", { 0xf6 }, 1 },
                { 0, "unknown negative", { 0x38, 0x63 }, 2 },
                { 0, "unknown double", { 0xfb, 0, 0, 0, 0, 0, 0, 0, 0 }, 9 },
                { 0, "unknown map in array", { 0x81, 0xa1, 0x61, 'x', 0x80 }, 5 },
                { 0, "unknown tag", { 0xc1, 0x01 }, 2 },
                { 0, "nested 8 deep", { 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0 }, 9 },
                { -EBADMSG,
                  "nested 9 deep",
                  { 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0 },
                  10 },
                { -EBADMSG, "unknown indefinite", { 0x9f, 0x01, 0xff }, 3 },
                { -EBADMSG, "unknown indefinite map, cut", { 0xbf }, 1 },
                { -EBADMSG, "unknown indefinite array, cut", { 0x9f }, 1 },
                { -EBADMSG, "unknown indefinite bytes, cut", { 0x5f }, 1 },
                { -EBADMSG, "unknown indefinite text, cut", { 0x7f }, 1 },
                { -EBADMSG, "unknown break", { 0xff }, 1 },
                { -EBADMSG, "unknown with longer head", { 0x18, 0x01 }, 2 },
                { -EBADMSG, "unknown text, not UTF-8", { 0x62, 0xc3, 0x28 }, 3 },
                { -EBADMSG, "unknown huge array", { 0x9a, 255, 255, 255, 255 }, 5 },
                { -EBADMSG, "unknown huge map", { 0xba, 128, 0, 0, 0 }, 5 },
        };
        Map changed = *m;

        changed.n = m->n + 1;
        for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
                changed.key[m->n] = (Piece){ (const uint8_t *) "\x18\x63", 2 };
                changed.value[m->n] = (Piece){ values[i].bytes, values[i].len };
                expect(codec, &changed, values[i].wanted, values[i].what, 0x63);
        }
        /* A key of 64 bits, and twice. */
        changed.key[m->n] = (Piece){ (const uint8_t *) "\x1b\xff\xff\xff\xff\xff\xff\xff\xff", 9 };
        changed.value[m->n] = (Piece){ (const uint8_t *) "\x00", 1 };
        expect(codec, &changed, 0, "largest key", 255);
        changed.n++;
        changed.key[m->n + 1] = changed.key[m->n];
        changed.value[m->n + 1] = changed.value[m->n];
        expect(codec, &changed, -EBADMSG, "largest key twice", 255);
}

void mangle_check_length(const MapCodec *codec, GBytes *valid) {
        size_t len;
        const uint8_t *data = g_bytes_get_data(valid, &len);
        g_autofree uint8_t *longer = g_malloc0(len + 1);

        if (mangle_decode(codec, data, len) != 0)
                fail_msg("%s: the valid one is refused", codec->name);
        for (size_t i = 0; i < len; i++)
                if (mangle_decode(codec, data, i) != -EBADMSG)
                        fail_msg("%s: accepted after %zu of %zu bytes", codec->name, i, len);
        memcpy(longer, data, len);
        if (mangle_decode(codec, longer, len + 1) != -EBADMSG)
                fail_msg("%s: accepted with a trailing byte", codec->name);
}

void mangle_check(const MapCodec *codec, GBytes *valid) {
        size_t len;
        const uint8_t *data = g_bytes_get_data(valid, &len);
        g_autofree uint8_t *other = g_malloc0(len + 2);
        Map m = map_of(valid), reversed = { .n = m.n };

        mangle_check_length(codec, valid);
        check_values(codec, &m);
        check_keys(codec, &m);
        check_unknown_keys(codec, &m);
        for (unsigned i = 0; i < m.n; i++) {
                reversed.key[i] = m.key[m.n - 1 - i];
                reversed.value[i] = m.value[m.n - 1 - i];
        }
        expect(codec, &reversed, 0, "keys in another order", 0);

        /* An indefinite map, a longer head. */
        memcpy(other, data, len);
        other[0] = 0xbf;
        other[len] = 0xff;
        assert_int_equal(mangle_decode(codec, other, len + 1), -EBADMSG);
        other[0] = 0xb8;
        other[1] = (uint8_t) m.n;
        memcpy(other + 2, data + 1, len - 1);
        assert_int_equal(mangle_decode(codec, other, len + 1), -EBADMSG);
}
