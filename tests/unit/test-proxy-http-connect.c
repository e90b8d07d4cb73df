/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "proxy/http-connect.h"

static const struct {
        const char *request;
        int status;
        const char *target, *user, *password, *rest;
        uint64_t body;
} table[] = {
        { "CONNECT 10.0.0.100:22 HTTP/1.1\r\n\r\n", 200, "10.0.0.100:22" },
        { "CONNECT nas.omerta:443 HTTP/1.0\r\nHost: nas.omerta:443\r\n\r\n", 200, "nas.omerta:443" },
        { "CONNECT [fd00::1]:22 HTTP/1.1\r\nHost: x\r\nUser-Agent: curl/7.88\r\n\r\n", 200,
          "[fd00::1]:22" },
        { "CONNECT a:1 HTTP/1.1\n\n", 200, "a:1" },
        { "CONNECT a:1 HTTP/1.1\r\n\r\nSSH-2.0-x", 200, "a:1", .rest = "SSH-2.0-x" },
        { "CONNECT a:1 HTTP/1.1\r\nEmpty:\r\nBlank: \t \r\n\r\n", 200, "a:1" },
        { "CONNECT a:1 HTTP/1.1\r\nproxy-authorization: basic dTpwdw==\r\n\r\n", 200, "a:1", "u",
          "pw" },
        { "CONNECT a:1 HTTP/1.1\r\nProxy-Authorization:Basic dTpwOnc=\t\r\n\r\n", 200, "a:1", "u",
          "p:w" },
        { "CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic dXB3\r\n\r\n", 200, "a:1" },
        { "CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Basic !\r\n\r\n", 200, "a:1" },
        { "CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Bearer dTpwdw==\r\n\r\n", 200, "a:1" },
        { "CONNECT a:1 HTTP/1.1\r\nAuthorization: Basic dTpwdw==\r\n\r\n", 200, "a:1" },
        { "GET http://nas.omerta/ HTTP/1.1\r\nHost: nas.omerta\r\n\r\n", 200, "nas.omerta:80" },
        { "GET HTTP://nas:8080 HTTP/1.0\n\n", 200, "nas:8080" },
        { "GET http://nas:/?q HTTP/1.1\r\n\r\n", 200, "nas:80" },
        { "GET http://[fd00::1]/ HTTP/1.1\r\n\r\n", 200, "[fd00::1]:80" },
        { "GET http://[fd00::1]:81/ HTTP/1.1\r\n\r\n", 200, "[fd00::1]:81" },
        { "GET http://a/ HTTP/1.1\r\nProxy-Authorization: Basic dTpwdw==\r\n\r\n", 200, "a:80", "u",
          "pw" },
        { "POST http://a/ HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 200, "a:80", .rest = "hello",
          .body = 5 },
        { "PUT http://a/ HTTP/1.1\r\ncontent-length: 999999999999999999\r\n\r\n", 200, "a:80",
          .body = 999999999999999999 },
        /* For a server, which this is not. */
        { "GET / HTTP/1.1\r\nHost: nas.omerta\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400 },
        { "OPTIONS * HTTP/1.1\r\n\r\n", 400 },
        { "CONNECTX a:1 HTTP/1.1\r\n\r\n", 400 },
        { "GET https://a/ HTTP/1.1\r\n\r\n", 400 },
        { "GET http:/a HTTP/1.1\r\n\r\n", 400 },
        { "GET http:// HTTP/1.1\r\n\r\n", 400 },
        { "GET http:/// HTTP/1.1\r\n\r\n", 400 },
        { "GET http://?x HTTP/1.1\r\n\r\n", 400 },
        { "GET http://:80/ HTTP/1.1\r\n\r\n", 400 },
        { "GET http://me:pw@nas/ HTTP/1.1\r\n\r\n", 400 },
        { "GET http://nas@10.0.0.1/ HTTP/1.1\r\n\r\n", 400 },
        { "GET http://a:65536/ HTTP/1.1\r\n\r\n", 400 },
        { "GET http://a:8x/ HTTP/1.1\r\n\r\n", 400 },
        { "GET http://fd00::1/ HTTP/1.1\r\n\r\n", 400 },
        { "GET http://[fd00::1/ HTTP/1.1\r\n\r\n", 400 },
        { "GET http://]:1/ HTTP/1.1\r\n\r\n", 400 },
        { "GET http://[fd00::1]x/ HTTP/1.1\r\n\r\n", 400 },
        { "GET http://a/#b HTTP/1.1\r\n\r\n", 400 },
        { "GET http://a/\tb HTTP/1.1\r\n\r\n", 400 },
        { "GET http://a/\rb HTTP/1.1\r\n\r\n", 400 },
        { "GET http://a/ b HTTP/1.1\r\n\r\n", 400 },
        { "GET http://a/ HTTP/1.1\r\nA: x\r\n folded\r\n\r\n", 400 },
        { "GET http://a/ HTTP/2.0\r\n\r\n", 505 },
        { "TRACE http://a/ HTTP/1.1\r\n\r\n", 405 },
        /* Two ends of a body, or none that is known. */
        { "POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411 },
        { "POST http://a/ HTTP/1.1\r\nContent-Length: 5\r\ntransfer-encoding: x\r\n\r\n", 411 },
        { "POST http://a/ HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 400 },
        { "POST http://a/ HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", 400 },
        { "POST http://a/ HTTP/1.1\r\nContent-Length: +5\r\n\r\n", 400 },
        { "POST http://a/ HTTP/1.1\r\nContent-Length:\r\n\r\n", 400 },
        { "POST http://a/ HTTP/1.1\r\nContent-Length: 1000000000000000000\r\n\r\n", 400 },
        { "POST http://a/ HTTP/1.1\r\nConnection: x, content-length\r\nContent-Length: 5\r\n\r\n",
          400 },
        { "CONNECT a:1 HTTP/2.0\r\n\r\n", 505 },
        { "CONNECT a HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT :1 HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT a: HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT a:65536 HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT a:+1 HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT a:1x HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT fd00::1:22 HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT [a]:22 HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT http://a:1/ HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT a:1\r\n\r\n", 400 },
        { "CONNECT  a:1 HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT a:1 HTTP/1.1 \r\n\r\n", 400 },
        { "CONNECT a:1 HTTP/11\r\n\r\n", 400 },
        { "C(NNECT a:1 HTTP/1.1\r\n\r\n", 400 },
        { "CONNECT a:1 HTTP/1.1\r\nno colon\r\n\r\n", 400 },
        { "CONNECT a:1 HTTP/1.1\r\nblank : x\r\n\r\n", 400 },
        { "CONNECT a:1 HTTP/1.1\r\nA: x\r\n folded\r\n\r\n", 400 },
        { "CONNECT a:1 HTTP/1.1\r\nA: x\rB: y\r\n\r\n", 400 },
        { "CONNECT a:1 HTTP/1.1\r\n: x\r\n\r\n", 400 },
        { "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n", 0 },
        { "CONNECT", 0 },
        { "X", 0 },
};

static void test_requests(void **state) {
        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                const char *text = table[i].request, *rest = table[i].rest ?: "";
                const char *user = table[i].user ?: "", *password = table[i].password ?: "";
                size_t len = strlen(text);
                HttpConnect c;
                g_autofree char *target = NULL;

                print_message("%s\n", text);
                assert_int_equal(http_connect_parse(text, len, &c), table[i].status);
                if (table[i].status != HTTP_OK)
                        continue;
                target = proxy_target_format(&c.target);
                assert_string_equal(target, table[i].target);
                assert_int_equal(c.consumed, len - strlen(rest));
                assert_int_equal(c.is_forward, !g_str_has_prefix(text, "CONNECT "));
                assert_true(c.body_len == table[i].body);
                assert_int_equal(c.user_len, strlen(user));
                assert_memory_equal(c.user, user, c.user_len);
                assert_int_equal(c.password_len, strlen(password));
                assert_memory_equal(c.password, password, c.password_len);
                /* Cut anywhere: more is needed. */
                for (size_t n = 0; n < c.consumed; n++) {
                        g_autofree char *cut = g_memdup2(text, n);

                        assert_int_equal(http_connect_parse(cut, n, &c), 0);
                }
        }
}

static void test_forwarded(void **state) {
#define END "Via: 1.1 omerta\r\nConnection: close\r\n\r\n"
        static const struct {
                const char *from, *to;
        } requests[] = {
                { "GET http://nas.omerta/a?b HTTP/1.1\r\nHost: other\r\nAccept: */*\r\n\r\nrest",
                  "GET /a?b HTTP/1.1\r\nHost: nas.omerta\r\nAccept: */*\r\n" END },
                { "GET http://NAS:8080 HTTP/1.0\n\n", "GET / HTTP/1.0\r\nHost: NAS:8080\r\n" END },
                { "GET http://[fd00::1]?q HTTP/1.1\r\n\r\n",
                  "GET /?q HTTP/1.1\r\nHost: [fd00::1]\r\n" END },
                { "OPTIONS http://a HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n" END },
                { "OPTIONS http://a/ HTTP/1.1\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: a\r\n" END },
                /* Hop by hop, by name and by Connection. */
                { "POST http://a/ HTTP/1.1\r\nConnection: keep-alive, X-One,\r\nKeep-Alive: 5\r\n"
                  "Proxy-Connection: keep-alive\r\nproxy-authorization: Basic dTpwdw==\r\nTE: x\r\n"
                  "Upgrade: websocket\r\nX-ONE: 1\r\nX-Two: 2\r\nx-three: 3\r\nconnection: x-Two\r\n"
                  "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n",
                  "POST / HTTP/1.1\r\nHost: a\r\nx-three: 3\r\nContent-Length: 0\r\n"
                  "Expect: 100-continue\r\n" END },
        };

        for (unsigned i = 0; i < ELEMENTSOF(requests); i++) {
                const char *text = requests[i].from;
                HttpConnect c;
                GString *out;

                assert_int_equal(http_connect_parse(text, strlen(text), &c), 200);
                out = http_forward_request(text, &c);
                assert_string_equal(out->str, requests[i].to);
                g_string_free(out, TRUE);
        }
}

static void test_nul(void **state) {
        static const char in_name[] = "CONNECT a\0b:1 HTTP/1.1\r\n\r\n";
        static const char in_field[] = "CONNECT a:1 HTTP/1.1\r\nA: x\0y\r\n\r\n";
        HttpConnect c;

        assert_int_equal(http_connect_parse(in_name, sizeof in_name - 1, &c), 400);
        assert_int_equal(http_connect_parse(in_field, sizeof in_field - 1, &c), 400);
}

static void test_too_large(void **state) {
        static const char line[] = "CONNECT a:1 HTTP/1.1\r\nA: ";
        char text[HTTP_HEADER_MAX + 4];
        HttpConnect c;

        memset(text, 'x', sizeof text);
        memcpy(text, line, strlen(line));
        assert_int_equal(http_connect_parse(text, HTTP_HEADER_MAX - 1, &c), 0);
        assert_int_equal(http_connect_parse(text, HTTP_HEADER_MAX, &c), 431);
        memcpy(text + HTTP_HEADER_MAX - 4, "\r\n\r\n", 4);
        assert_int_equal(http_connect_parse(text, HTTP_HEADER_MAX, &c), 200);
        memset(text + HTTP_HEADER_MAX - 4, 'x', 4);
        memcpy(text + HTTP_HEADER_MAX, "\r\n\r\n", 4);
        assert_int_equal(http_connect_parse(text, sizeof text, &c), 431);
}

/* A user or password longer than fits is nobody's, not a shorter one. */
static void test_long_credentials(void **state) {
        static const unsigned lengths[] = { 254, 255, 256, 400 };

        for (unsigned i = 0; i < ELEMENTSOF(lengths); i++) {
                g_autofree char *password = g_strnfill(lengths[i], 'p');
                g_autofree char *plain = g_strconcat("u:", password, NULL);
                g_autofree char *base64 = g_base64_encode((const guchar *) plain, strlen(plain));
                g_autofree char *text =
                                g_strdup_printf("CONNECT a:1 HTTP/1.1\r\n"
                                                "Proxy-Authorization: Basic %s\r\n\r\n",
                                                base64);
                HttpConnect c;

                assert_int_equal(http_connect_parse(text, strlen(text), &c), 200);
                assert_int_equal(c.password_len, lengths[i] <= 255 ? lengths[i] : 0);
        }
}

static void test_replies(void **state) {
        static const struct {
                int error, status;
        } errors[] = {
                { 0, 200 },       { -ECONNREFUSED, 502 }, { -EHOSTUNREACH, 502 },
                { -ENXIO, 502 },  { -ENETUNREACH, 502 },  { -ETIMEDOUT, 504 },
                { -EACCES, 403 }, { -EMFILE, 500 },
        };
        static const HttpStatus all[] = { 200, 400, 403, 405, 407, 411, 431, 500, 502, 504, 505 };
        char text[HTTP_REPLY_MAX];

        for (unsigned i = 0; i < ELEMENTSOF(errors); i++)
                assert_int_equal(http_status_from_errno(errors[i].error), errors[i].status);
        for (unsigned i = 0; i < ELEMENTSOF(all); i++) {
                g_autofree char *start = g_strdup_printf("HTTP/1.1 %d ", (int) all[i]);

                size_t n = http_reply(all[i], text);

                assert_int_equal(n, strlen(text));
                assert_true(g_str_has_prefix(text, start));
                assert_true(g_str_has_suffix(text, "\r\n\r\n"));
                assert_int_equal(strstr(text, "Content-Length") != NULL, all[i] != 200);
                assert_int_equal(strstr(text, "Proxy-Authenticate: Basic") != NULL, all[i] == 407);
                assert_int_equal(strstr(text, "Allow: CONNECT, GET, ") != NULL, all[i] == 405);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests),
                cmocka_unit_test(test_forwarded),
                cmocka_unit_test(test_nul),
                cmocka_unit_test(test_too_large),
                cmocka_unit_test(test_long_credentials),
                cmocka_unit_test(test_replies),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
