/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/macros.h"
#include "proxy/socks5.h"

/* RFC 1928 section 3 */
#define METHOD_NONE 0x00U
#define METHOD_PASSWORD 0x02U
#define METHOD_NO_ACCEPTABLE 0xffU
#define PASSWORD_VERSION 1U /* RFC 1929 section 2 */

int socks5_address_decode(const uint8_t *data, size_t len, ProxyTarget *ret) {
        ProxyTarget t = {};
        size_t size, at;

        if (len == 0)
                return 0;
        if (data[0] != SOCKS5_ADDRESS_IPV4 && data[0] != SOCKS5_ADDRESS_IPV6 &&
            data[0] != SOCKS5_ADDRESS_NAME)
                return -EAFNOSUPPORT;
        if (data[0] == SOCKS5_ADDRESS_NAME) {
                if (len < 2)
                        return 0;
                at = 2;
                size = data[1];
        } else {
                at = 1;
                size = data[0] == SOCKS5_ADDRESS_IPV4 ? 4 : 16;
        }
        if (len < at + size + 2)
                return 0;
        if (data[0] == SOCKS5_ADDRESS_NAME) {
                /* Programs put numeric addresses here too. */
                (void) proxy_target_set_host(&t, (const char *) data + at, size);
        } else {
                t.address.family = size == 4 ? AF_INET : AF_INET6;
                memcpy(t.address.bytes, data + at, size);
        }
        t.port = read_be16(data + at + size);
        *ret = t;
        return (int) (at + size + 2);
}

size_t socks5_address_encode(const IpAddr *a, uint16_t port, uint8_t *ret) {
        size_t size = ip_size(a);

        ret[0] = size == 16 ? SOCKS5_ADDRESS_IPV6 : SOCKS5_ADDRESS_IPV4;
        memcpy(ret + 1, a->bytes, size);
        write_be16(ret + 1 + size, port);
        return 1 + size + 2;
}

size_t
socks5_reply(Socks5Reply code,
             const IpAddr *bound,
             uint16_t port,
             uint8_t ret[static SOCKS5_REPLY_MAX]) {
        static const IpAddr none = { .family = AF_INET };

        ret[0] = SOCKS5_VERSION;
        ret[1] = (uint8_t) code;
        ret[2] = 0;
        if (!bound || !ip_is_set(bound)) {
                bound = &none;
                port = 0;
        }
        return 3 + socks5_address_encode(bound, port, ret + 3);
}

Socks5Reply socks5_reply_from_errno(int error) {
        switch (-error) {
        case 0:
                return SOCKS5_OK;
        case EPERM:
        case EACCES:
                return SOCKS5_NOT_ALLOWED;
        case ENETUNREACH:
        case ENETDOWN:
        case EADDRNOTAVAIL: /* no address of ours to reach this one from */
                return SOCKS5_NETWORK_UNREACHABLE;
        case EHOSTUNREACH:
        case EHOSTDOWN:
        case ENXIO: /* proxy_resolve(): nobody has this name */
                return SOCKS5_HOST_UNREACHABLE;
        case ECONNREFUSED:
                return SOCKS5_REFUSED;
        case ETIMEDOUT:
        case ETIME:
                return SOCKS5_TTL_EXPIRED;
        case EAFNOSUPPORT:
                return SOCKS5_ADDRESS_NOT_SUPPORTED;
        }
        return SOCKS5_GENERAL_FAILURE;
}

static Socks5Action fail(Socks5 *s) {
        s->state = SOCKS5_STATE_DONE;
        return SOCKS5_FAIL;
}

static Socks5Action fail_with(Socks5 *s, Socks5Reply code, Socks5Out *ret) {
        ret->reply_len = socks5_reply(code, NULL, 0, ret->reply);
        return fail(s);
}

/* RFC 1928 section 3: VER NMETHODS METHODS */
static Socks5Action handle_greeting(Socks5 *s, const uint8_t *data, size_t len, Socks5Out *ret) {
        uint8_t method = s->want_password ? METHOD_PASSWORD : METHOD_NONE;

        /* Somebody who speaks something else would not understand an answer. */
        if (data[0] != SOCKS5_VERSION)
                return fail(s);
        if (len < 2 || len < 2U + data[1])
                return SOCKS5_MORE;
        ret->consumed = 2U + data[1];
        ret->reply[0] = SOCKS5_VERSION;
        ret->reply_len = 2;
        if (!memchr(data + 2, method, data[1])) {
                ret->reply[1] = METHOD_NO_ACCEPTABLE;
                return fail(s);
        }
        ret->reply[1] = method;
        s->state = s->want_password ? SOCKS5_STATE_PASSWORD : SOCKS5_STATE_REQUEST;
        return SOCKS5_CONTINUE;
}

/* RFC 1929 section 2: VER ULEN UNAME PLEN PASSWD */
static Socks5Action handle_password(Socks5 *s, const uint8_t *data, size_t len, Socks5Out *ret) {
        size_t password;

        if (data[0] != PASSWORD_VERSION)
                return fail(s);
        if (len < 2 || len < 2U + data[1] + 1U)
                return SOCKS5_MORE;
        password = 2U + data[1] + 1U;
        if (len < password + data[password - 1])
                return SOCKS5_MORE;
        ret->user = data + 2;
        ret->user_len = data[1];
        ret->password = data + password;
        ret->password_len = data[password - 1];
        ret->consumed = password + ret->password_len;
        s->state = SOCKS5_STATE_VERDICT;
        return SOCKS5_CHECK;
}

Socks5Action socks5_password_verdict(Socks5 *s, bool good, Socks5Out *ret) {
        assert(s->state == SOCKS5_STATE_VERDICT);
        *ret = (Socks5Out){ .reply = { PASSWORD_VERSION, good ? 0 : 1 }, .reply_len = 2 };
        s->state = good ? SOCKS5_STATE_REQUEST : SOCKS5_STATE_DONE;
        return good ? SOCKS5_CONTINUE : SOCKS5_FAIL;
}

/* RFC 1928 section 4: VER CMD RSV ATYP DST.ADDR DST.PORT. RSV is ours to ignore. */
static Socks5Action handle_request(Socks5 *s, const uint8_t *data, size_t len, Socks5Out *ret) {
        int n;

        if (data[0] != SOCKS5_VERSION)
                return fail_with(s, SOCKS5_GENERAL_FAILURE, ret);
        if (len < 4)
                return SOCKS5_MORE;
        n = socks5_address_decode(data + 3, len - 3, &ret->target);
        if (n == 0)
                return SOCKS5_MORE;
        if (n < 0) /* how long it is, nobody knows: the answer cannot wait for the rest */
                return fail_with(s, SOCKS5_ADDRESS_NOT_SUPPORTED, ret);
        ret->consumed = 3 + (size_t) n;
        /* BIND serves FTP's active mode alone, and would let one client take the connections
         * another one waits for. A listener in the network is a reverse forward. */
        if (data[1] != SOCKS5_CONNECT && data[1] != SOCKS5_UDP_ASSOCIATE)
                return fail_with(s, SOCKS5_COMMAND_NOT_SUPPORTED, ret);
        ret->command = data[1];
        s->state = SOCKS5_STATE_DONE;
        return SOCKS5_REQUEST;
}

Socks5Action socks5_handle_bytes(Socks5 *s, const uint8_t *data, size_t len, Socks5Out *ret) {
        *ret = (Socks5Out){};
        if (len == 0)
                return SOCKS5_MORE;
        switch (s->state) {
        case SOCKS5_STATE_GREETING:
                return handle_greeting(s, data, len, ret);
        case SOCKS5_STATE_PASSWORD:
                return handle_password(s, data, len, ret);
        case SOCKS5_STATE_REQUEST:
                return handle_request(s, data, len, ret);
        case SOCKS5_STATE_VERDICT:
        case SOCKS5_STATE_DONE:
                return SOCKS5_MORE;
        }
        assert(false);
        return SOCKS5_FAIL;
}
