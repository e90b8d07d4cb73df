/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request, whole and growing byte by byte. */
#include <string.h>

#include "fuzz.h"
#include "proxy/http-connect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char reply[HTTP_REPLY_MAX];
        HttpConnect whole, piece;
        int status, r = 0;
        size_t n;

        if (size > HTTP_HEADER_MAX + 16)
                return 0;
        status = http_connect_parse((const char *) data, size, &whole);
        if (status == 0)
                return 0;
        FUZZ_ASSERT(http_reply(status, reply) < sizeof reply);
        /* From a little before the end, or it takes all day. */
        for (n = size > 256 ? size - 256 : 0; n <= size && r == 0; n++) {
                g_autofree char *copy = g_memdup2(data, n);

                r = http_connect_parse(copy, n, &piece);
        }
        if (size <= 256)
                FUZZ_ASSERT(r == status);
        if (status != HTTP_OK)
                return 0;
        FUZZ_ASSERT(whole.consumed <= size);
        FUZZ_ASSERT(whole.user_len < sizeof whole.user && whole.password_len < sizeof whole.password);
        FUZZ_ASSERT(ip_is_set(&whole.target.address) != (whole.target.name[0] != '\0'));
        if (size <= 256) {
                g_autofree char *a = proxy_target_format(&whole.target);
                g_autofree char *b = proxy_target_format(&piece.target);

                FUZZ_ASSERT(strcmp(a, b) == 0 && whole.consumed == piece.consumed);
                FUZZ_ASSERT(n - 1 == whole.consumed);
                FUZZ_ASSERT(proxy_target_parse(a, strlen(a), &piece.target) == 0);
        }
        return 0;
}
