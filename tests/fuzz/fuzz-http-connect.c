/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request, whole and growing byte by byte. */
#include <string.h>

#include "fuzz.h"
#include "proxy/http-connect.h"

/* What is passed on is a request for a server, with as long a body, and nothing that is for us. */
static void check_forward(const char *data, const HttpConnect *c) {
        GString *out = http_forward_request(data, c);
        g_autofree char *line = g_strndup(out->str, strcspn(out->str, "\r")), *again = NULL;
        g_auto(GStrv) words = g_strsplit(line, " ", -1);
        g_autofree char *lower = g_ascii_strdown(out->str, -1);
        HttpConnect parsed;

        FUZZ_ASSERT(strlen(out->str) == out->len && g_str_has_suffix(out->str, "\r\n\r\n"));
        FUZZ_ASSERT(strstr(out->str, "\r\n\r\n") == out->str + out->len - 4);
        FUZZ_ASSERT(g_strv_length(words) == 3 && (*words[1] == '/' || strcmp(words[1], "*") == 0));
        FUZZ_ASSERT(!strstr(lower, "\nproxy-authorization:"));
        FUZZ_ASSERT(strstr(lower, "\nhost:") && !strstr(strstr(lower, "\nhost:") + 1, "\nhost:"));
        /* With a URL again, it says the same. */
        again = g_strdup_printf("X http://a/%s", strstr(out->str, " HTTP/"));
        if (strlen(again) <= HTTP_HEADER_MAX) {
                FUZZ_ASSERT(http_connect_parse(again, strlen(again), &parsed) == HTTP_OK);
                FUZZ_ASSERT(parsed.body_len == c->body_len && parsed.consumed == strlen(again));
        }
        g_string_free(out, TRUE);
}

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
        if (whole.is_forward)
                check_forward((const char *) data, &whole);
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
