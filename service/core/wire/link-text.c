/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/wire/link-text.h"

#include <string.h>

#include "base/base32.h"
#include "base/macros.h"
#include "core/wire/cbor-reader.h"

char *link_text_format(const char *scheme, GBytes *bytes) {
        size_t prefix = strlen(scheme), len;
        const void *data = g_bytes_get_data(bytes, &len);
        char *text;

        assert(len <= LINK_TEXT_BYTES_MAX(prefix));
        text = g_malloc(prefix + BASE32_LEN(len) + 1);
        memcpy(text, scheme, prefix);
        base32_encode(data, len, text + prefix);
        return text;
}

static int check_version(const uint8_t *buf, size_t len, unsigned wanted) {
        uint64_t key, version = 0;
        CborReader r;
        int k;

        cbor_reader_init_map(&r, buf, len);
        while (cbor_reader_next_key(&r, &key))
                if (key == LINK_KEY_VERSION)
                        version = cbor_reader_uint(&r, UINT64_MAX);
                else
                        cbor_reader_skip(&r);
        k = cbor_reader_end(&r, CBOR_KEY(LINK_KEY_VERSION));
        if (k < 0)
                return k;
        if (version == 0)
                return -EBADMSG;
        return version == wanted ? 0 : -EPROTONOSUPPORT;
}

int link_text_parse(
                const char *scheme,
                unsigned version,
                const char *text,
                uint8_t ret[static LINK_TEXT_MAX]) {
        size_t prefix = strlen(scheme), len;
        int n, r;

        while (g_ascii_isspace(*text))
                text++;
        len = strnlen(text, LINK_TEXT_MAX * 2);
        while (len > 0 && g_ascii_isspace(text[len - 1]))
                len--;
        if (len > LINK_TEXT_MAX || g_ascii_strncasecmp(text, scheme, prefix) != 0)
                return -EBADMSG;
        n = base32_decode(text + prefix, len - prefix, ret, LINK_TEXT_BYTES_MAX(prefix));
        if (n < 0)
                return -EBADMSG;
        r = check_version(ret, (size_t) n, version);
        return r < 0 ? r : n;
}
