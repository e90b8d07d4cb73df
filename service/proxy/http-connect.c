/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/http-connect.h"

typedef struct Span {
        const char *at;
        size_t len;
} Span;

/* RFC 9110 section 5.6.2 */
static bool is_token_char(char c) {
        return g_ascii_isalnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* Cuts one line off; RFC 9112 section 2.2 allows a bare LF for CRLF. False: no end in sight. */
static bool take_line(Span *rest, Span *ret) {
        const char *lf = rest->len > 0 ? memchr(rest->at, '\n', rest->len) : NULL;

        if (!lf)
                return false;
        *ret = (Span){ rest->at, (size_t) (lf - rest->at) };
        if (ret->len > 0 && ret->at[ret->len - 1] == '\r')
                ret->len--;
        rest->len -= (size_t) (lf + 1 - rest->at);
        rest->at = lf + 1;
        return true;
}

static Span take_word(Span *line) {
        const char *space = memchr(line->at, ' ', line->len);
        Span word = { line->at, space ? (size_t) (space - line->at) : line->len };

        line->at += word.len + (space ? 1 : 0);
        line->len -= word.len + (space ? 1 : 0);
        return word;
}

static bool span_is(Span s, const char *text) {
        return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

static bool span_is_nocase(Span s, const char *text) {
        return s.len == strlen(text) && g_ascii_strncasecmp(s.at, text, s.len) == 0;
}

static Span span_strip(Span s) {
        while (s.len > 0 && strchr(" \t", s.at[0]) && s.at[0] != '\0') {
                s.at++;
                s.len--;
        }
        while (s.len > 0 && strchr(" \t", s.at[s.len - 1]) && s.at[s.len - 1] != '\0')
                s.len--;
        return s;
}

/* RFC 7617 section 2: "Basic " base64(user ":" password). What cannot be read is nobody's. */
static void read_credentials(Span value, HttpConnect *c) {
        uint8_t plain[sizeof c->user + sizeof c->password];
        Span scheme = take_word(&value);
        const uint8_t *colon;
        size_t n = 0;

        value = span_strip(value);
        if (!span_is_nocase(scheme, "Basic") ||
            sodium_base642bin(
                            plain, sizeof plain, value.at, value.len, NULL, &n, NULL,
                            sodium_base64_VARIANT_ORIGINAL) < 0)
                return;
        colon = memchr(plain, ':', n);
        if (colon && (size_t) (colon - plain) < sizeof c->user &&
            n - (size_t) (colon + 1 - plain) < sizeof c->password) {
                c->user_len = (size_t) (colon - plain);
                c->password_len = n - c->user_len - 1;
                memcpy(c->user, plain, c->user_len);
                memcpy(c->password, colon + 1, c->password_len);
        }
        sodium_memzero(plain, sizeof plain);
}

/* RFC 9112 section 3: method SP request-target SP HTTP-version */
static HttpStatus read_request_line(Span line, HttpConnect *c) {
        Span method = take_word(&line), authority = take_word(&line), version = line;

        for (size_t i = 0; i < method.len; i++)
                if (!is_token_char(method.at[i]))
                        return HTTP_BAD_REQUEST;
        if (method.len == 0 || authority.len == 0 || version.len != strlen("HTTP/1.1") ||
            memcmp(version.at, "HTTP/", 5) != 0 || !g_ascii_isdigit(version.at[5]) ||
            version.at[6] != '.' || !g_ascii_isdigit(version.at[7]))
                return HTTP_BAD_REQUEST;
        if (version.at[5] != '1')
                return HTTP_VERSION_NOT_SUPPORTED;
        if (!span_is(method, "CONNECT"))
                return HTTP_METHOD_NOT_ALLOWED;
        if (proxy_target_parse(authority.at, authority.len, &c->target) < 0)
                return HTTP_BAD_REQUEST;
        return HTTP_OK;
}

/* RFC 9112 section 5: field-name ":" OWS field-value OWS, no blank before the colon. */
static HttpStatus read_field(Span line, HttpConnect *c) {
        const char *colon = memchr(line.at, ':', line.len);
        Span name, value;

        if (!colon || colon == line.at)
                return HTTP_BAD_REQUEST;
        name = (Span){ line.at, (size_t) (colon - line.at) };
        value = span_strip((Span){ colon + 1, line.len - name.len - 1 });
        for (size_t i = 0; i < name.len; i++)
                if (!is_token_char(name.at[i]))
                        return HTTP_BAD_REQUEST;
        for (size_t i = 0; i < value.len; i++)
                if (g_ascii_iscntrl(value.at[i]) && value.at[i] != '\t')
                        return HTTP_BAD_REQUEST;
        if (span_is_nocase(name, "Proxy-Authorization"))
                read_credentials(value, c);
        return HTTP_OK;
}

int http_connect_parse(const char *data, size_t len, HttpConnect *ret) {
        Span rest = { data, len }, first, line;
        HttpConnect c = {};
        HttpStatus status = HTTP_OK;

        /* Find the end before judging: a refusal is then never sent into a request that still
         * comes, which could reset the connection before the answer is read. */
        do {
                if (!take_line(&rest, &line))
                        return len >= HTTP_HEADER_MAX ? HTTP_HEADER_TOO_LARGE : 0;
        } while (line.len > 0);
        if ((size_t) (rest.at - data) > HTTP_HEADER_MAX)
                return HTTP_HEADER_TOO_LARGE;

        c.consumed = (size_t) (rest.at - data);
        rest = (Span){ data, len };
        (void) take_line(&rest, &first);
        status = read_request_line(first, &c);
        while (status == HTTP_OK && take_line(&rest, &line) && line.len > 0)
                status = read_field(line, &c);
        if (status == HTTP_OK)
                *ret = c;
        sodium_memzero(&c, sizeof c);
        return status;
}

static const char *reason(HttpStatus status) {
        switch (status) {
        case HTTP_OK:
                return "Connection established";
        case HTTP_BAD_REQUEST:
                return "Bad Request";
        case HTTP_FORBIDDEN:
                return "Forbidden";
        case HTTP_METHOD_NOT_ALLOWED:
                return "Method Not Allowed";
        case HTTP_PROXY_AUTHENTICATION_REQUIRED:
                return "Proxy Authentication Required";
        case HTTP_HEADER_TOO_LARGE:
                return "Request Header Fields Too Large";
        case HTTP_INTERNAL_ERROR:
                return "Internal Server Error";
        case HTTP_BAD_GATEWAY:
                return "Bad Gateway";
        case HTTP_GATEWAY_TIMEOUT:
                return "Gateway Timeout";
        case HTTP_VERSION_NOT_SUPPORTED:
                return "HTTP Version Not Supported";
        }
        assert(false);
        return "";
}

size_t http_reply(HttpStatus status, char ret[static HTTP_REPLY_MAX]) {
        const char *more = "";
        int n;

        if (status == HTTP_METHOD_NOT_ALLOWED)
                more = "Allow: CONNECT\r\n";
        else if (status == HTTP_PROXY_AUTHENTICATION_REQUIRED)
                more = "Proxy-Authenticate: Basic realm=\"omerta\"\r\n";
        /* RFC 9110 section 9.3.6: no Content-Length in a 2xx answer to CONNECT. */
        n = snprintf(ret, HTTP_REPLY_MAX, "HTTP/1.1 %d %s\r\n%s%s\r\n", (int) status, reason(status),
                     more, status == HTTP_OK ? "" : "Content-Length: 0\r\nConnection: close\r\n");
        assert(n > 0 && n < (int) HTTP_REPLY_MAX);
        return (size_t) n;
}

HttpStatus http_status_from_errno(int error) {
        switch (-error) {
        case 0:
                return HTTP_OK;
        case EPERM:
        case EACCES:
                return HTTP_FORBIDDEN;
        case ETIMEDOUT:
        case ETIME:
                return HTTP_GATEWAY_TIMEOUT;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
                return HTTP_INTERNAL_ERROR;
        }
        return HTTP_BAD_GATEWAY;
}
