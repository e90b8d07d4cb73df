/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "proxy/socks5.h"

#define BYTES(...) { __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

/* A whole conversation: what a client sends, and all that is answered to it by the parser. */
typedef struct Talk {
        const char *what;
        uint8_t sent[600];
        size_t sent_len;
        uint8_t reply[32];
        size_t reply_len;
        Socks5Action end; /* MORE: waits */
        const char *target;
        Socks5Command command;
        bool password; /* asked for; "u" and "pw" are right */
        size_t rest;   /* bytes behind the request */
} Talk;

static const Talk talks[] = {
        /* test_socks5_handshake of the original specification */
        { "greeting", BYTES(5, 1, 0), BYTES(5, 0), SOCKS5_MORE },
        { "many methods", BYTES(5, 3, 1, 2, 0), BYTES(5, 0), SOCKS5_MORE },
        { "no method", BYTES(5, 0), BYTES(5, 0xff), SOCKS5_FAIL },
        { "GSSAPI alone", BYTES(5, 1, 1), BYTES(5, 0xff), SOCKS5_FAIL },
        { "password not wanted", BYTES(5, 1, 2), BYTES(5, 0xff), SOCKS5_FAIL },
        { "password not offered", BYTES(5, 1, 0), BYTES(5, 0xff), SOCKS5_FAIL, .password = true },
        { "SOCKS4", BYTES(4, 1, 0, 22, 10, 0, 0, 100, 0), {}, 0, SOCKS5_FAIL },
        { "IPv4", BYTES(5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 100, 0, 22), BYTES(5, 0), SOCKS5_REQUEST,
          "10.0.0.100:22", SOCKS5_CONNECT },
        { "IPv6",
          BYTES(5, 1, 0, 5, 1, 0, 4, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x1f, 0x90),
          BYTES(5, 0), SOCKS5_REQUEST, "[fd00::1]:8080", SOCKS5_CONNECT },
        { "name",
          BYTES(5, 1, 0, 5, 1, 0, 3, 10, 'n', 'a', 's', '.', 'o', 'm', 'e', 'r', 't', 'a', 0, 80),
          BYTES(5, 0), SOCKS5_REQUEST, "nas.omerta:80", SOCKS5_CONNECT },
        { "address as name",
          BYTES(5, 1, 0, 5, 1, 0, 3, 8, '1', '0', '.', '0', '.', '0', '.', '9', 0, 80), BYTES(5, 0),
          SOCKS5_REQUEST, "10.0.0.9:80", SOCKS5_CONNECT },
        { "IPv6 address as name",
          BYTES(5, 1, 0, 5, 1, 0, 3, 7, 'f', 'd', '0', '0', ':', ':', '2', 0, 80), BYTES(5, 0),
          SOCKS5_REQUEST, "[fd00::2]:80", SOCKS5_CONNECT },
        { "empty name", BYTES(5, 1, 0, 5, 1, 0, 3, 0, 0, 80), BYTES(5, 0), SOCKS5_REQUEST, ":80",
          SOCKS5_CONNECT },
        { "name with a NUL", BYTES(5, 1, 0, 5, 1, 0, 3, 5, 'n', 'a', 's', 0, 'x', 0, 80),
          BYTES(5, 0), SOCKS5_REQUEST, ":80", SOCKS5_CONNECT },
        { "name with a blank", BYTES(5, 1, 0, 5, 1, 0, 3, 3, 'n', ' ', 's', 0, 80), BYTES(5, 0),
          SOCKS5_REQUEST, ":80", SOCKS5_CONNECT },
        { "UDP ASSOCIATE", BYTES(5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0x12, 0x34), BYTES(5, 0),
          SOCKS5_REQUEST, "0.0.0.0:4660", SOCKS5_UDP_ASSOCIATE },
        { "reserved byte", BYTES(5, 1, 0, 5, 1, 9, 1, 10, 0, 0, 100, 0, 22), BYTES(5, 0),
          SOCKS5_REQUEST, "10.0.0.100:22", SOCKS5_CONNECT },
        { "BIND", BYTES(5, 1, 0, 5, 2, 0, 1, 10, 0, 0, 100, 0, 22),
          BYTES(5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0), SOCKS5_FAIL },
        { "no such command", BYTES(5, 1, 0, 5, 0xf0, 0, 3, 1, 'a', 0, 22),
          BYTES(5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0), SOCKS5_FAIL },
        { "no such address type", BYTES(5, 1, 0, 5, 1, 0, 2),
          BYTES(5, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0, 0), SOCKS5_FAIL },
        { "request of another version", BYTES(5, 1, 0, 4),
          BYTES(5, 0, 5, 1, 0, 1, 0, 0, 0, 0, 0, 0), SOCKS5_FAIL },
        { "good password", BYTES(5, 2, 0, 2, 1, 1, 'u', 2, 'p', 'w', 5, 1, 0, 1, 10, 0, 0, 1, 0, 1),
          BYTES(5, 2, 1, 0), SOCKS5_REQUEST, "10.0.0.1:1", SOCKS5_CONNECT, .password = true },
        { "bad password", BYTES(5, 1, 2, 1, 1, 'u', 2, 'p', 'q'), BYTES(5, 2, 1, 1), SOCKS5_FAIL,
          .password = true },
        { "empty user and password", BYTES(5, 1, 2, 1, 0, 0), BYTES(5, 2, 1, 1), SOCKS5_FAIL,
          .password = true },
        { "password of another version", BYTES(5, 1, 2, 5), BYTES(5, 2), SOCKS5_FAIL,
          .password = true },
        { "data behind the request", BYTES(5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 100, 0, 22, 'S', 'S', 'H'),
          BYTES(5, 0), SOCKS5_REQUEST, "10.0.0.100:22", SOCKS5_CONNECT, .rest = 3 },
};

typedef struct Heard {
        uint8_t reply[64];
        size_t reply_len, consumed;
        Socks5Action end;
        Socks5Out out;
} Heard;

/* Lets the parser see bytes up to @upto, as often as it asks for more. */
static void listen_to(Socks5 *s, const Talk *t, size_t upto, Heard *h) {
        do {
                size_t len = upto - h->consumed;
                /* Of exactly this size: a byte too far is found by AddressSanitizer. */
                g_autofree uint8_t *data = g_memdup2(t->sent + h->consumed, len);

                h->end = socks5_handle_bytes(s, data, len, &h->out);
                assert_true(h->out.consumed <= len);
                h->consumed += h->out.consumed;
                if (h->end == SOCKS5_CHECK) {
                        bool good = h->out.user_len == 1 && h->out.user[0] == 'u' &&
                                    h->out.password_len == 2 &&
                                    memcmp(h->out.password, "pw", 2) == 0;

                        assert_true(t->password);
                        h->end = socks5_password_verdict(s, good, &h->out);
                }
                assert_true(h->reply_len + h->out.reply_len <= sizeof h->reply);
                memcpy(h->reply + h->reply_len, h->out.reply, h->out.reply_len);
                h->reply_len += h->out.reply_len;
        } while (h->end == SOCKS5_CONTINUE);
}

static void check_talk(const Talk *t, const Heard *h) {
        assert_int_equal(h->end, t->end);
        assert_int_equal(h->reply_len, t->reply_len);
        assert_memory_equal(h->reply, t->reply, t->reply_len);
        if (t->end == SOCKS5_REQUEST) {
                g_autofree char *target = proxy_target_format(&h->out.target);

                assert_string_equal(target, t->target);
                assert_int_equal(h->out.command, t->command);
                assert_int_equal(h->consumed, t->sent_len - t->rest);
        }
}

/* All at once, as a client does that does not wait for answers. */
static void test_socks5_handshake(void **state) {
        for (unsigned i = 0; i < ELEMENTSOF(talks); i++) {
                const Talk *t = &talks[i];
                Socks5 s = { .want_password = t->password };
                Heard h = {};

                print_message("%s\n", t->what);
                listen_to(&s, t, t->sent_len, &h);
                check_talk(t, &h);
        }
}

/* Byte by byte, and stopped at every one: never an answer before its time, never a wrong one. */
static void test_byte_by_byte(void **state) {
        for (unsigned i = 0; i < ELEMENTSOF(talks); i++) {
                const Talk *t = &talks[i];
                Socks5 s = { .want_password = t->password };
                Heard h = {};

                for (size_t upto = 0; upto <= t->sent_len - t->rest; upto++) {
                        listen_to(&s, t, upto, &h);
                        assert_true(h.reply_len <= t->reply_len);
                        assert_memory_equal(h.reply, t->reply, h.reply_len);
                        if (h.end == SOCKS5_FAIL)
                                break;
                        if (upto < t->sent_len - t->rest)
                                assert_int_equal(h.end, SOCKS5_MORE);
                }
                check_talk(t, &h);
                /* It is over: nothing more is taken. */
                if (t->end != SOCKS5_MORE) {
                        Socks5Out out;

                        assert_int_equal(
                                        socks5_handle_bytes(&s, t->sent, t->sent_len, &out),
                                        SOCKS5_MORE);
                        assert_int_equal(out.consumed, 0);
                }
        }
}

/* The longest messages: 255 methods, 255 bytes of user, password and name. */
static void test_longest(void **state) {
        Talk t = { .password = true };
        Socks5 s = { .want_password = true };
        Heard h = {};
        uint8_t *p = t.sent;

        *p++ = 5;
        *p++ = 255;
        memset(p, 2, 255);
        listen_to(&s, &t, 2 + 254, &h);
        assert_int_equal(h.end, SOCKS5_MORE);
        assert_int_equal(h.reply_len, 0);
        listen_to(&s, &t, 2 + 255, &h);
        assert_int_equal(h.reply_len, 2);

        memset(t.sent, 255, sizeof t.sent);
        t.sent[0] = 1;
        h = (Heard){};
        listen_to(&s, &t, SOCKS5_MESSAGE_MAX - 1, &h);
        assert_int_equal(h.end, SOCKS5_MORE);
        listen_to(&s, &t, SOCKS5_MESSAGE_MAX, &h);
        assert_int_equal(h.end, SOCKS5_FAIL); /* it is the wrong one, but was read whole */
        assert_int_equal(h.consumed, SOCKS5_MESSAGE_MAX);

        s = (Socks5){ .state = SOCKS5_STATE_REQUEST };
        memset(t.sent, 'a', sizeof t.sent);
        memcpy(t.sent, (const uint8_t[]){ 5, 1, 0, 3, 255 }, 5);
        h = (Heard){};
        listen_to(&s, &t, 5 + 255 + 1, &h);
        assert_int_equal(h.end, SOCKS5_MORE);
        listen_to(&s, &t, 5 + 255 + 2, &h);
        assert_int_equal(h.end, SOCKS5_REQUEST);
        assert_int_equal(strlen(h.out.target.name), 255);
}

static void test_replies(void **state) {
        static const struct {
                int error;
                uint8_t code;
        } table[] = {
                { 0, 0 },           { -EIO, 1 },          { -EMFILE, 1 },       { -ENOMEM, 1 },
                { -EOPNOTSUPP, 1 }, { -EPERM, 2 },        { -EACCES, 2 },       { -ENETUNREACH, 3 },
                { -ENETDOWN, 3 },   { -EHOSTUNREACH, 4 }, { -EHOSTDOWN, 4 },    { -ENXIO, 4 },
                { -ETIMEDOUT, 6 },  { -ECONNREFUSED, 5 }, { -EAFNOSUPPORT, 8 },
        };
        uint8_t reply[SOCKS5_REPLY_MAX];
        IpAddr v4 = ip_from_v4(0x0a000064), v6 = { .family = AF_INET6, .bytes = { 0xfd, [15] = 1 } };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++)
                assert_int_equal(socks5_reply_from_errno(table[i].error), table[i].code);
        for (unsigned code = 0; code <= SOCKS5_ADDRESS_NOT_SUPPORTED; code++) {
                const uint8_t expected[] = { 5, (uint8_t) code, 0, 1, 0, 0, 0, 0, 0, 0 };

                assert_int_equal(socks5_reply((Socks5Reply) code, NULL, 9, reply), sizeof expected);
                assert_memory_equal(reply, expected, sizeof expected);
        }
        assert_int_equal(socks5_reply(SOCKS5_OK, &v4, 0x1234, reply), 10);
        assert_memory_equal(reply, ((const uint8_t[]){ 5, 0, 0, 1, 10, 0, 0, 100, 0x12, 0x34 }), 10);
        assert_int_equal(socks5_reply(SOCKS5_OK, &v6, 0x1234, reply), 22);
        assert_int_equal(reply[3], 4);
        assert_memory_equal(reply + 4, v6.bytes, 16);
        assert_memory_equal(reply + 20, ((const uint8_t[]){ 0x12, 0x34 }), 2);
}

/* Whatever comes, in whatever pieces: it ends, and pieces make no difference. */
static void test_garbage(void **state) {
        unsigned seed = g_random_int(), requests = 0;
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

        print_message("seed %u\n", seed);
        for (unsigned n = 0; n < 20000; n++) {
                Talk t = { .password = g_rand_boolean(rand), .sent_len = 40 };
                Socks5 whole = { .want_password = t.password }, pieces = whole;
                Heard a = {}, b = {};

                /* Small numbers, so that it sometimes means something. */
                for (unsigned i = 0; i < t.sent_len; i++)
                        t.sent[i] = (uint8_t) g_rand_int_range(rand, 0, 7);
                t.sent[0] = 5;
                listen_to(&whole, &t, t.sent_len, &a);
                for (size_t upto = 0; upto <= t.sent_len; upto++) {
                        listen_to(&pieces, &t, upto, &b);
                        if (b.end != SOCKS5_MORE)
                                break;
                }
                assert_int_equal(a.end, b.end);
                assert_int_equal(a.consumed, b.consumed);
                assert_int_equal(a.reply_len, b.reply_len);
                assert_memory_equal(a.reply, b.reply, a.reply_len);
                requests += a.end == SOCKS5_REQUEST;
        }
        assert_true(requests > 20);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_socks5_handshake), cmocka_unit_test(test_byte_by_byte),
                cmocka_unit_test(test_longest),          cmocka_unit_test(test_replies),
                cmocka_unit_test(test_garbage),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
