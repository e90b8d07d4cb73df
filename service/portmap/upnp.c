/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "portmap/upnp.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"

static bool parse_number(const char *text, uint64_t max, uint64_t *ret) {
        return g_ascii_string_to_unsigned(text, 10, 0, max, ret, NULL);
}

/* Printable, without blanks: it becomes a word of a line, and of a command line. */
static bool url_is_plain(const char *url) {
        size_t n = strlen(url);

        for (size_t i = 0; i < n; i++)
                if (!g_ascii_isgraph(url[i]))
                        return false;
        return n > 0 && n < UPNP_URL_MAX;
}

void upnp_request_to_arguments(const UpnpRequest *q, UpnpArguments *ret) {
        unsigned n = 0;

        g_strlcpy(ret->text[n++], q->operation == UPNP_ADD ? "add" : "remove", UPNP_URL_MAX);
        g_strlcpy(ret->text[n++], ip_format(&q->router).text, UPNP_URL_MAX);
        g_strlcpy(ret->text[n++], ip_format(&q->source).text, UPNP_URL_MAX);
        (void) snprintf(ret->text[n++], UPNP_URL_MAX, "%u", q->port);
        (void) snprintf(ret->text[n++], UPNP_URL_MAX, "%u", q->external_port);
        (void) snprintf(ret->text[n++], UPNP_URL_MAX, "%u", q->lifetime);
        if (*q->url)
                g_strlcpy(ret->text[n++], q->url, UPNP_URL_MAX);
        for (unsigned i = 0; i < n; i++)
                ret->argv[i] = ret->text[i];
        ret->argv[n] = NULL;
}

int upnp_request_from_arguments(char **arguments, unsigned n, UpnpRequest *ret) {
        uint64_t port, external_port, lifetime;
        UpnpRequest q = {};

        if (n < 6 || n > 7)
                return -EINVAL;
        if (strcmp(arguments[0], "add") == 0)
                q.operation = UPNP_ADD;
        else if (strcmp(arguments[0], "remove") == 0)
                q.operation = UPNP_REMOVE;
        else
                return -EINVAL;
        if (ip_parse(arguments[1], &q.router) < 0 || q.router.family != AF_INET ||
            ip_parse(arguments[2], &q.source) < 0 || q.source.family != AF_INET ||
            !parse_number(arguments[3], UINT16_MAX, &port) ||
            !parse_number(arguments[4], UINT16_MAX, &external_port) ||
            !parse_number(arguments[5], UINT32_MAX, &lifetime) || port == 0 || external_port == 0)
                return -EINVAL;
        q.port = (uint16_t) port;
        q.external_port = (uint16_t) external_port;
        q.lifetime = (uint32_t) lifetime;
        if (n == 7) {
                if (!url_is_plain(arguments[6]) || !upnp_url_is_of(arguments[6], &q.router))
                        return -EINVAL;
                g_strlcpy(q.url, arguments[6], sizeof q.url);
        } else if (q.operation == UPNP_REMOVE)
                return -EINVAL;
        *ret = q;
        return 0;
}

size_t upnp_answer_format(const UpnpAnswer *a, char buf[static UPNP_LINE_MAX]) {
        int n = 0;

        switch (a->outcome) {
        case UPNP_MAPPED:
                n = snprintf(buf, UPNP_LINE_MAX, "mapped %s %u %u %s\n",
                             ip_format(&a->external).text, a->external_port, a->lifetime, a->url);
                break;
        case UPNP_REMOVED:
                n = snprintf(buf, UPNP_LINE_MAX, "removed\n");
                break;
        case UPNP_NONE:
                n = snprintf(buf, UPNP_LINE_MAX, "none\n");
                break;
        case UPNP_REFUSED:
                n = snprintf(buf, UPNP_LINE_MAX, "refused %u\n", a->code);
                break;
        }
        return (size_t) n;
}

static int parse_mapped(char **words, UpnpAnswer *ret) {
        uint64_t port, lifetime;

        if (g_strv_length(words) != 5 || ip_parse(words[1], &ret->external) < 0 ||
            ret->external.family != AF_INET || !parse_number(words[2], UINT16_MAX, &port) ||
            !parse_number(words[3], UINT32_MAX, &lifetime) || !url_is_plain(words[4]))
                return -EBADMSG;
        ret->outcome = UPNP_MAPPED;
        ret->external_port = (uint16_t) port;
        ret->lifetime = (uint32_t) lifetime;
        g_strlcpy(ret->url, words[4], sizeof ret->url);
        return 0;
}

int upnp_answer_parse(const char *text, size_t len, UpnpAnswer *ret) {
        g_auto(GStrv) words = NULL;
        g_autofree char *line = NULL;
        UpnpAnswer a = {};
        uint64_t code;

        /* One line, whole. */
        if (len < 2 || len >= UPNP_LINE_MAX || memchr(text, '\0', len) ||
            memchr(text, '\n', len) != text + len - 1)
                return -EBADMSG;
        line = g_strndup(text, len - 1);
        words = g_strsplit(line, " ", 6);
        if (!words[0])
                return -EBADMSG;
        if (strcmp(words[0], "mapped") == 0) {
                if (parse_mapped(words, &a) < 0)
                        return -EBADMSG;
        } else if (strcmp(line, "removed") == 0)
                a.outcome = UPNP_REMOVED;
        else if (strcmp(line, "none") == 0)
                a.outcome = UPNP_NONE;
        else if (strcmp(words[0], "refused") == 0 && words[1] && !words[2] &&
                 parse_number(words[1], UINT32_MAX, &code)) {
                a.outcome = UPNP_REFUSED;
                a.code = (uint32_t) code;
        } else
                return -EBADMSG;
        *ret = a;
        return 0;
}

bool upnp_url_is_of(const char *url, const IpAddr *router) {
        g_autofree char *host = NULL;
        IpAddr a;

        if (!g_str_has_prefix(url, "http://"))
                return false;
        url += strlen("http://");
        host = g_strndup(url, strcspn(url, ":/?#"));
        return ip_parse(host, &a) >= 0 && ip_equal(&a, router);
}
