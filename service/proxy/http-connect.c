/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "proxy/http-connect.h"

#define SCHEME "http://"
#define PORT_DEFAULT 80U /* RFC 9110 section 4.2.1 */
/* Digits of a Content-Length: 10^18 bytes and no overflow. */
#define LENGTH_DIGITS_MAX 18U

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

/* "http://nas.omerta:8080/x?y": "nas.omerta:8080" and "/x?y". RFC 9110 section 4.2.1. */
static bool split_url(Span url, Span *ret_authority, Span *ret_path) {
        size_t n = strlen(SCHEME), end;

        if (url.len <= n || g_ascii_strncasecmp(url.at, SCHEME, n) != 0)
                return false;
        for (size_t i = 0; i < url.len; i++)
                if (g_ascii_iscntrl(url.at[i]) || url.at[i] == '#')
                        return false;
        for (end = n; end < url.len && url.at[end] != '/' && url.at[end] != '?'; end++)
                ;
        *ret_authority = (Span){ url.at + n, end - n };
        *ret_path = (Span){ url.at + end, url.len - end };
        return true;
}

/* RFC 3986 section 3.2: the port may be missing, or be empty. Who is before an '@' (RFC 9110
 * section 4.2.4: an error) is in no host's name. */
static int read_authority(Span a, ProxyTarget *ret) {
        const char *colon = memrchr(a.at, ':', a.len);
        const char *bracket = memrchr(a.at, ']', a.len);
        size_t host;

        if (colon && bracket && bracket > colon) /* inside an address */
                colon = NULL;
        host = colon ? (size_t) (colon - a.at) : a.len;
        if (host == 0 || (a.at[0] != '[' && memchr(a.at, ':', host)) ||
            proxy_target_set_host(ret, a.at, host) < 0)
                return -EINVAL;
        ret->port = PORT_DEFAULT;
        return a.len > host + 1 ? proxy_port_parse(colon + 1, a.len - host - 1, &ret->port) : 0;
}

static HttpStatus read_target(Span method, Span target, HttpConnect *c) {
        Span authority, path;

        if (span_is(method, "CONNECT"))
                return proxy_target_parse(target.at, target.len, &c->target) < 0 ? HTTP_BAD_REQUEST
                                                                                 : HTTP_OK;
        if (span_is(method, "TRACE"))
                return HTTP_METHOD_NOT_ALLOWED;
        c->is_forward = true;
        if (!split_url(target, &authority, &path) || read_authority(authority, &c->target) < 0)
                return HTTP_BAD_REQUEST;
        return HTTP_OK;
}

/* RFC 9112 section 3: method SP request-target SP HTTP-version */
static HttpStatus read_request_line(Span line, HttpConnect *c) {
        Span method = take_word(&line), target = take_word(&line), version = line;

        for (size_t i = 0; i < method.len; i++)
                if (!is_token_char(method.at[i]))
                        return HTTP_BAD_REQUEST;
        if (method.len == 0 || target.len == 0 || version.len != strlen("HTTP/1.1") ||
            memcmp(version.at, "HTTP/", 5) != 0 || !g_ascii_isdigit(version.at[5]) ||
            version.at[6] != '.' || !g_ascii_isdigit(version.at[7]))
                return HTTP_BAD_REQUEST;
        if (version.at[5] != '1')
                return HTTP_VERSION_NOT_SUPPORTED;
        return read_target(method, target, c);
}

/* Cuts one element off a list (RFC 9110 section 5.6.1). False: there is none left. */
static bool take_element(Span *list, Span *ret) {
        while (list->len > 0) {
                const char *comma = memchr(list->at, ',', list->len);
                size_t n = comma ? (size_t) (comma - list->at) : list->len;

                *ret = span_strip((Span){ list->at, n });
                list->at += n + (comma ? 1 : 0);
                list->len -= n + (comma ? 1 : 0);
                if (ret->len > 0)
                        return true;
        }
        return false;
}

/* RFC 9112 section 6.3. Two lengths, or two ways to say it, are how requests are smuggled: a server
 * could see another end than we do (section 11.2). */
static HttpStatus read_length(Span value, bool *has_length, HttpConnect *c) {
        uint64_t v = 0;

        if (*has_length || value.len == 0 || value.len > LENGTH_DIGITS_MAX)
                return HTTP_BAD_REQUEST;
        for (size_t i = 0; i < value.len; i++) {
                if (!g_ascii_isdigit(value.at[i]))
                        return HTTP_BAD_REQUEST;
                v = v * 10 + (uint64_t) (value.at[i] - '0');
        }
        *has_length = true;
        c->body_len = v;
        return HTTP_OK;
}

/* What the end of the body depends on. */
static HttpStatus read_forward_field(Span name, Span value, bool *has_length, HttpConnect *c) {
        Span option;

        if (span_is_nocase(name, "Transfer-Encoding"))
                return HTTP_LENGTH_REQUIRED;
        if (span_is_nocase(name, "Content-Length"))
                return read_length(value, has_length, c);
        /* It would be dropped, and the body be there all the same. */
        if (span_is_nocase(name, "Connection"))
                while (take_element(&value, &option))
                        if (span_is_nocase(option, "Content-Length"))
                                return HTTP_BAD_REQUEST;
        return HTTP_OK;
}

static void split_field(Span line, const char *colon, Span *ret_name, Span *ret_value) {
        *ret_name = (Span){ line.at, (size_t) (colon - line.at) };
        *ret_value = span_strip((Span){ colon + 1, line.len - ret_name->len - 1 });
}

/* RFC 9112 section 5: field-name ":" OWS field-value OWS, no blank before the colon. */
static HttpStatus read_field(Span line, bool *has_length, HttpConnect *c) {
        const char *colon = memchr(line.at, ':', line.len);
        Span name, value;

        if (!colon || colon == line.at)
                return HTTP_BAD_REQUEST;
        split_field(line, colon, &name, &value);
        for (size_t i = 0; i < name.len; i++)
                if (!is_token_char(name.at[i]))
                        return HTTP_BAD_REQUEST;
        for (size_t i = 0; i < value.len; i++)
                if (g_ascii_iscntrl(value.at[i]) && value.at[i] != '\t')
                        return HTTP_BAD_REQUEST;
        if (span_is_nocase(name, "Proxy-Authorization"))
                read_credentials(value, c);
        return c->is_forward ? read_forward_field(name, value, has_length, c) : HTTP_OK;
}

int http_connect_parse(const char *data, size_t len, HttpConnect *ret) {
        Span rest = { data, len }, first, line;
        HttpConnect c = {};
        HttpStatus status = HTTP_OK;
        bool has_length = false;

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
                status = read_field(line, &has_length, &c);
        if (status == HTTP_OK)
                *ret = c;
        sodium_memzero(&c, sizeof c);
        return status;
}

/* --- passed on --- */

/* Between the client and us alone (RFC 9110 section 7.6.1), or said anew below. */
static bool is_dropped(Span name, GHashTable *options) {
        static const char *const dropped[] = {
                "Connection",       "Host",    "Keep-Alive", "Proxy-Authorization", "TE",
                "Proxy-Connection", "Upgrade",
        };
        g_autofree char *lower = g_ascii_strdown(name.at, (gssize) name.len);

        for (size_t i = 0; i < ELEMENTSOF(dropped); i++)
                if (span_is_nocase(name, dropped[i]))
                        return true;
        return g_hash_table_contains(options, lower);
}

/* The names in the fields Connection, lower case. */
static GHashTable *connection_options(Span rest) {
        GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        Span line, name, value, option;

        while (take_line(&rest, &line) && line.len > 0) {
                split_field(line, memchr(line.at, ':', line.len), &name, &value);
                if (span_is_nocase(name, "Connection"))
                        while (take_element(&value, &option))
                                g_hash_table_add(set, g_ascii_strdown(option.at, (gssize) option.len));
        }
        return set;
}

static void append_span(GString *out, Span s) {
        g_string_append_len(out, s.at, (gssize) s.len);
}

GString *http_forward_request(const char *data, const HttpConnect *c) {
        Span rest = { data, c->consumed }, line, method, target, authority, path;
        g_autoptr(GHashTable) options = NULL;
        GString *out = g_string_sized_new(c->consumed);
        bool ok;

        ok = take_line(&rest, &line);
        method = take_word(&line);
        target = take_word(&line);
        ok = ok && split_url(target, &authority, &path);
        assert(ok); /* http_connect_parse() found all of it */
        append_span(out, method);
        /* RFC 9112 section 3.2.4; and a path is never empty (RFC 9110 section 4.2.3). */
        if (path.len == 0 && span_is(method, "OPTIONS"))
                g_string_append(out, " *");
        else
                g_string_append(out, path.len == 0 || path.at[0] == '?' ? " /" : " ");
        append_span(out, path);
        g_string_append_c(out, ' ');
        /* The client's own: an answer is of a version it knows. */
        append_span(out, line);
        g_string_append(out, "\r\nHost: ");
        append_span(out, authority);
        g_string_append(out, "\r\n");
        options = connection_options(rest);
        while (take_line(&rest, &line) && line.len > 0) {
                Span name, value;

                split_field(line, memchr(line.at, ':', line.len), &name, &value);
                if (is_dropped(name, options))
                        continue;
                append_span(out, line);
                g_string_append(out, "\r\n");
        }
        /* RFC 9110 section 7.6.3 wants to be told who passed it on. */
        g_string_append(out, "Via: 1.1 omerta\r\nConnection: close\r\n\r\n");
        return out;
}

/* --- answers --- */

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
        case HTTP_LENGTH_REQUIRED:
                return "Length Required";
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
                more = "Allow: CONNECT, GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";
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
