/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client's bytes. Byte 0: bit 0: a password is wanted, bit 1: it is right. All at once and byte
 * by byte must come to the same. */
#include <string.h>

#include "fuzz.h"
#include "proxy/socks5.h"

typedef struct Result {
        Socks5Action action;
        size_t consumed, replied;
        uint32_t sum;
} Result;

/* As far as the first @len bytes lead. */
static void run(Socks5 *s, const uint8_t *data, size_t len, bool good, Result *r) {
        do {
                Socks5Out out;
                size_t left = len - r->consumed;
                g_autofree uint8_t *copy = g_memdup2(data + r->consumed, left);

                r->action = socks5_handle_bytes(s, copy, left, &out);
                FUZZ_ASSERT(out.consumed <= left);
                FUZZ_ASSERT(r->action != SOCKS5_MORE || (out.consumed == 0 && out.reply_len == 0));
                FUZZ_ASSERT(r->action != SOCKS5_CONTINUE || (out.consumed > 0 && out.reply_len > 0));
                r->consumed += out.consumed;
                if (r->action == SOCKS5_CHECK) {
                        FUZZ_ASSERT(s->want_password);
                        FUZZ_ASSERT(out.user >= copy && out.user + out.user_len <= copy + left);
                        FUZZ_ASSERT(out.password + out.password_len <= copy + left);
                        r->action = socks5_password_verdict(s, good, &out);
                }
                if (r->action == SOCKS5_REQUEST) {
                        FUZZ_ASSERT(!s->want_password || good);
                        FUZZ_ASSERT(strlen(out.target.name) <= PROXY_NAME_MAX);
                        FUZZ_ASSERT(!ip_is_set(&out.target.address) || out.target.name[0] == '\0');
                }
                for (size_t i = 0; i < out.reply_len; i++)
                        r->sum = r->sum * 31 + out.reply[i];
                r->replied += out.reply_len;
        } while (r->action == SOCKS5_CONTINUE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Socks5 whole = {}, pieces = {};
        Result a = {}, b = {};

        if (size < 1 || size > 2048)
                return 0;
        whole.want_password = pieces.want_password = data[0] & 1;
        run(&whole, data + 1, size - 1, data[0] & 2, &a);
        for (size_t n = 0; n < size; n++) {
                run(&pieces, data + 1, n, data[0] & 2, &b);
                if (b.action != SOCKS5_MORE)
                        break;
                FUZZ_ASSERT(n - b.consumed < SOCKS5_MESSAGE_MAX);
        }
        FUZZ_ASSERT(a.action == b.action && a.consumed == b.consumed);
        FUZZ_ASSERT(a.replied == b.replied && a.sum == b.sum);
        return 0;
}
