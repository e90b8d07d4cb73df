/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * On libcbor's streaming decoder, one head at a time. Its tree builder (cbor_load) is not used:
 * it allocates an array of the declared length before it has seen one item of it, so that nine
 * foreign bytes can ask for gigabytes. The streaming decoder allocates nothing and checks string
 * lengths against the input.
 */
#include "core/wire/cbor-reader.h"

#include <cbor.h>
#include <string.h>

#include "base/macros.h"

typedef enum ItemType {
        ITEM_REFUSED, /* indefinite length, break */
        ITEM_UINT,
        ITEM_BYTES,
        ITEM_TEXT,
        ITEM_ARRAY,
        ITEM_MAP,
        ITEM_TAG,
        ITEM_OTHER, /* negative integers, floats, true, false, null, undefined */
} ItemType;

typedef struct Item {
        ItemType type;
        uint64_t value;      /* of ITEM_UINT; number of items of ITEM_ARRAY, pairs of ITEM_MAP */
        const uint8_t *data; /* of ITEM_BYTES, ITEM_TEXT */
        size_t len;
} Item;

static void on_uint64(void *item, uint64_t v) {
        *(Item *) item = (Item){ .type = ITEM_UINT, .value = v };
}
static void on_uint32(void *item, uint32_t v) {
        on_uint64(item, v);
}
static void on_uint16(void *item, uint16_t v) {
        on_uint64(item, v);
}
static void on_uint8(void *item, uint8_t v) {
        on_uint64(item, v);
}
static void on_bytes(void *item, cbor_data data, size_t len) {
        *(Item *) item = (Item){ .type = ITEM_BYTES, .data = data, .len = len };
}
static void on_text(void *item, cbor_data data, size_t len) {
        *(Item *) item = (Item){ .type = ITEM_TEXT, .data = data, .len = len };
}
static void on_array(void *item, size_t n) {
        *(Item *) item = (Item){ .type = ITEM_ARRAY, .value = n };
}
static void on_map(void *item, size_t n) {
        *(Item *) item = (Item){ .type = ITEM_MAP, .value = n };
}
static void on_tag(void *item, uint64_t v) {
        *(Item *) item = (Item){ .type = ITEM_TAG };
}
static void on_other(void *item) {
        *(Item *) item = (Item){ .type = ITEM_OTHER };
}
static void on_negint64(void *item, uint64_t v) {
        on_other(item);
}
static void on_negint32(void *item, uint32_t v) {
        on_other(item);
}
static void on_negint16(void *item, uint16_t v) {
        on_other(item);
}
static void on_negint8(void *item, uint8_t v) {
        on_other(item);
}
static void on_float(void *item, float v) {
        on_other(item);
}
static void on_double(void *item, double v) {
        on_other(item);
}
static void on_boolean(void *item, bool v) {
        on_other(item);
}
static void on_refused(void *item) {
        *(Item *) item = (Item){ .type = ITEM_REFUSED };
}

static const struct cbor_callbacks callbacks = {
        .uint8 = on_uint8,
        .uint16 = on_uint16,
        .uint32 = on_uint32,
        .uint64 = on_uint64,
        .negint64 = on_negint64,
        .negint32 = on_negint32,
        .negint16 = on_negint16,
        .negint8 = on_negint8,
        .byte_string_start = on_refused,
        .byte_string = on_bytes,
        .string = on_text,
        .string_start = on_refused,
        .indef_array_start = on_refused,
        .array_start = on_array,
        .indef_map_start = on_refused,
        .map_start = on_map,
        .tag = on_tag,
        .float2 = on_float,
        .float4 = on_float,
        .float8 = on_double,
        .undefined = on_other,
        .null = on_other,
        .boolean = on_boolean,
        .indef_break = on_refused,
};

/*
 * One value has one encoding (RFC 8949 section 4.2.1). A record's frame lies outside of its
 * signature: were a longer head allowed there, anybody could make new hashes of an old record
 * and keep the gossip of all members busy with them.
 */
static bool head_is_shortest(const uint8_t *head) {
        unsigned major = head[0] >> 5, info = head[0] & 31;

        if (major == 7) /* floats and simple values: no argument to shorten */
                return true;
        switch (info) {
        case 24:
                return head[1] >= 24;
        case 25:
                return read_be16(head + 1) > UINT8_MAX;
        case 26:
                return read_be32(head + 1) > UINT16_MAX;
        case 27:
                /* Strings, arrays and maps of 4 GiB do not exist here, and where size_t has 32
                 * bits libcbor would have cut the length. */
                return read_be64(head + 1) > UINT32_MAX && (major < 2 || major > 5);
        }
        return true;
}

static bool read_item(CborReader *r, Item *ret) {
        struct cbor_decoder_result result;

        *ret = (Item){};
        if (r->failed)
                return false;
        result = cbor_stream_decode(r->at, r->left, &callbacks, ret);
        if (result.status != CBOR_DECODER_FINISHED || ret->type == ITEM_REFUSED ||
            !head_is_shortest(r->at)) {
                *ret = (Item){};
                r->failed = true;
                return false;
        }
        r->at += result.read;
        r->left -= result.read;
        return true;
}

static bool read_item_of(CborReader *r, ItemType type, Item *ret) {
        if (!read_item(r, ret))
                return false;
        if (ret->type != type) {
                r->failed = true;
                return false;
        }
        return true;
}

void cbor_reader_init(CborReader *r, const uint8_t *buf, size_t len) {
        *r = (CborReader){ .at = buf, .left = len };
}

void cbor_reader_init_map(CborReader *r, const uint8_t *buf, size_t len) {
        Item item;

        cbor_reader_init(r, buf, len);
        if (!read_item_of(r, ITEM_MAP, &item))
                return;
        if (item.value > CBOR_MAP_ENTRIES_MAX)
                r->failed = true;
        else
                r->entries_left = (size_t) item.value;
}

bool cbor_reader_has_key(const CborReader *r, uint64_t key) {
        for (unsigned i = 0; i < r->n_keys; i++)
                if (r->keys[i] == key)
                        return true;
        return false;
}

bool cbor_reader_next_key(CborReader *r, uint64_t *ret_key) {
        Item item;

        if (r->failed || r->entries_left == 0 || !read_item_of(r, ITEM_UINT, &item))
                return false;
        if (cbor_reader_has_key(r, item.value)) {
                r->failed = true;
                return false;
        }
        r->entries_left--;
        r->keys[r->n_keys++] = item.value;
        *ret_key = item.value;
        return true;
}

uint64_t cbor_reader_uint(CborReader *r, uint64_t max) {
        Item item;

        if (!read_item_of(r, ITEM_UINT, &item))
                return 0;
        if (item.value > max) {
                r->failed = true;
                return 0;
        }
        return item.value;
}

const uint8_t *cbor_reader_bytes(CborReader *r, size_t *ret_len) {
        Item item;

        if (!read_item_of(r, ITEM_BYTES, &item)) {
                *ret_len = 0;
                return NULL;
        }
        *ret_len = item.len;
        return item.data;
}

void cbor_reader_bytes_exact(CborReader *r, void *ret, size_t len) {
        size_t n;
        const uint8_t *data = cbor_reader_bytes(r, &n);

        if (data && n == len) {
                memcpy(ret, data, len);
                return;
        }
        r->failed = true;
        memset(ret, 0, len);
}

bool cbor_text_is_clean(const char *text, size_t len) {
        const char *end = text + len;

        if (!g_utf8_validate_len(text, len, NULL))
                return false;
        for (const char *p = text; p < end; p = g_utf8_next_char(p))
                if (g_unichar_iscntrl(g_utf8_get_char(p)))
                        return false;
        return true;
}

void cbor_reader_text(CborReader *r, char *ret, size_t size) {
        Item item;

        ret[0] = '\0';
        if (!read_item_of(r, ITEM_TEXT, &item))
                return;
        if (item.len >= size || !cbor_text_is_clean((const char *) item.data, item.len)) {
                r->failed = true;
                return;
        }
        memcpy(ret, item.data, item.len);
        ret[item.len] = '\0';
}

size_t cbor_reader_array(CborReader *r, size_t max) {
        Item item;

        if (!read_item_of(r, ITEM_ARRAY, &item))
                return 0;
        /* An item has at least one byte. */
        if (item.value > max || item.value > r->left) {
                r->failed = true;
                return 0;
        }
        return (size_t) item.value;
}

static void skip(CborReader *r, unsigned depth) {
        uint64_t n = 0;
        Item item;

        if (!read_item(r, &item))
                return;
        switch (item.type) {
        case ITEM_ARRAY:
                n = item.value;
                break;
        case ITEM_MAP:
                n = item.value > r->left ? UINT64_MAX : item.value * 2;
                break;
        case ITEM_TAG:
                n = 1;
                break;
        case ITEM_TEXT:
                if (!g_utf8_validate_len((const char *) item.data, item.len, NULL))
                        r->failed = true;
                return;
        case ITEM_UINT:
        case ITEM_BYTES:
        case ITEM_OTHER:
        case ITEM_REFUSED:
                return;
        }
        if (n > r->left || depth == 0) {
                r->failed = true;
                return;
        }
        for (; n > 0 && !r->failed; n--)
                skip(r, depth - 1);
}

void cbor_reader_skip(CborReader *r) {
        skip(r, CBOR_DEPTH_MAX);
}

int cbor_reader_end(const CborReader *r, uint64_t mandatory) {
        if (r->failed || r->left > 0)
                return -EBADMSG;
        for (unsigned i = 0; i < r->n_keys; i++)
                if (r->keys[i] < 64)
                        mandatory &= ~CBOR_KEY(r->keys[i]);
        return mandatory == 0 ? 0 : -EBADMSG;
}
