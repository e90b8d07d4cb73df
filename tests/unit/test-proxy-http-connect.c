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
        { "GET http://nas.omerta/ HTTP/1.1\r\nHost: nas.omerta\r\n\r\n", 405 },
        { "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 405 },
        { "CONNECTX a:1 HTTP/1.1\r\n\r\n", 405 },
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
        static const HttpStatus all[] = { 200, 400, 403, 405, 407, 431, 500, 502, 504, 505 };
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
                assert_int_equal(strstr(text, "Allow: CONNECT\r\n") != NULL, all[i] == 405);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests),  cmocka_unit_test(test_nul),
                cmocka_unit_test(test_too_large), cmocka_unit_test(test_long_credentials),
                cmocka_unit_test(test_replies),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
