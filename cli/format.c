/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/machine-id.h"
#include "base/macros.h"
#include "cli/format.h"
#include "cli/i18n.h"

/* Characters that change what else is seen: bidirectional controls, and format characters
 * without width. The zero-width joiners are letters' business in several scripts, but a host name
 * that differs from another by one of them is a trap. */
static bool is_deceptive(gunichar c) {
        switch (g_unichar_type(c)) {
        case G_UNICODE_CONTROL:
        case G_UNICODE_FORMAT:
        case G_UNICODE_LINE_SEPARATOR:
        case G_UNICODE_PARAGRAPH_SEPARATOR:
        case G_UNICODE_SURROGATE:
        case G_UNICODE_PRIVATE_USE:
        case G_UNICODE_UNASSIGNED:
                return true;
        default: /* the other twenty-odd categories of Unicode */
                return false;
        }
}

static void append_escaped(GString *s, gunichar c) {
        if (c == '\n')
                g_string_append(s, "\\n");
        else if (c == '\t')
                g_string_append(s, "\\t");
        else if (c < 0x80)
                g_string_append_printf(s, "\\x%02x", c);
        else if (c < 0x10000)
                g_string_append_printf(s, "\\u%04x", c);
        else
                g_string_append_printf(s, "\\U%08x", c);
}

char *cli_escape(const char *text) {
        GString *s = g_string_new(NULL);

        while (*text) {
                gunichar c = g_utf8_get_char_validated(text, -1);

                if (c == (gunichar) -1 || c == (gunichar) -2) {
                        g_string_append_printf(s, "\\x%02x", (uint8_t) *text++);
                        continue;
                }
                if (c == '\\')
                        g_string_append(s, "\\\\");
                else if (is_deceptive(c))
                        append_escaped(s, c);
                else
                        g_string_append_unichar(s, c);
                text = g_utf8_next_char(text);
        }
        return g_string_free(s, FALSE);
}

char *cli_format_text(const char *text) {
        return *text ? cli_escape(text) : g_strdup("-");
}

unsigned cli_text_width(const char *text) {
        unsigned width = 0;

        for (; *text; text = g_utf8_next_char(text)) {
                gunichar c = g_utf8_get_char(text);

                if (!g_unichar_iszerowidth(c))
                        width += g_unichar_iswide(c) ? 2 : 1;
        }
        return width;
}

char *cli_format_id(const char *id) {
        g_autofree char *head = g_strndup(id, MACHINE_ID_SHORT_LEN);

        return cli_format_text(head);
}

char *cli_format_duration(usec_t d) {
        unsigned long long s = d / USEC_PER_SEC;

        if (s < 100)
                return g_strdup_printf(_("%llu s"), s);
        if (s < 100 * 60)
                return g_strdup_printf(_("%llu min"), s / 60);
        if (s < 48 * 3600)
                return g_strdup_printf(_("%llu h"), s / 3600);
        return g_strdup_printf(_("%llu d"), s / (24 * 3600));
}

char *cli_format_relative(usec_t t, usec_t now) {
        g_autofree char *d = NULL;

        if (t == 0)
                return g_strdup("-");
        d = cli_format_duration(t > now ? t - now : now - t);
        if (t >= usec_add(now, USEC_PER_SEC))
                return g_strdup_printf(_("in %s"), d);
        if (usec_add(t, USEC_PER_SEC) <= now)
                return g_strdup_printf(_("%s ago"), d);
        return g_strdup(_("now"));
}

char *cli_format_rtt(usec_t rtt) {
        if (rtt == 0)
                return g_strdup("-");
        if (rtt < 10 * USEC_PER_MSEC)
                return g_strdup_printf(_("%.1f ms"), (double) rtt / USEC_PER_MSEC);
        if (rtt < USEC_PER_SEC)
                return g_strdup_printf(_("%.0f ms"), (double) rtt / USEC_PER_MSEC);
        return g_strdup_printf(_("%.1f s"), (double) rtt / USEC_PER_SEC);
}

char *cli_format_bytes(uint64_t n) {
        static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        double value = (double) n / 1024;
        size_t unit = 0;

        if (n < 1024)
                return g_strdup_printf("%u B", (unsigned) n);
        /* 1023.95 would be printed as 1024.0 */
        while (value >= 1023.95) {
                value /= 1024;
                unit++;
        }
        return g_strdup_printf("%.1f %s", value, units[unit]);
}

char *cli_format_time(usec_t t) {
        g_autoptr(GDateTime) date = NULL;

        if (t == 0)
                return g_strdup("-");
        date = g_date_time_new_from_unix_local((int64_t) (t / USEC_PER_SEC));
        return date ? g_date_time_format(date, "%F %T") : g_strdup("-");
}

char *cli_format_iso(usec_t t) {
        g_autoptr(GDateTime) date = NULL;

        if (t == 0)
                return NULL;
        date = g_date_time_new_from_unix_utc((int64_t) (t / USEC_PER_SEC));
        return date ? g_date_time_format(date, "%Y-%m-%dT%H:%M:%SZ") : NULL;
}

/* A decimal number, overflow is an error. Return: characters read, or -EINVAL. */
static int number_parse(const char *text, uint64_t *ret) {
        uint64_t v = 0;
        int n = 0;

        for (; g_ascii_isdigit(text[n]); n++)
                if (__builtin_mul_overflow(v, 10U, &v) ||
                    __builtin_add_overflow(v, (uint64_t) (text[n] - '0'), &v))
                        return -EINVAL;
        if (n == 0)
                return -EINVAL;
        *ret = v;
        return n;
}

int cli_parse_count(const char *text, unsigned *ret) {
        uint64_t v;
        int n = number_parse(text, &v);

        if (n < 0 || text[n] || v == 0 || v > UINT32_MAX)
                return -EINVAL;
        *ret = (unsigned) v;
        return 0;
}

int cli_parse_duration(const char *text, usec_t *ret) {
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "ms", USEC_PER_MSEC },      { "s", USEC_PER_SEC },
                { "sec", USEC_PER_SEC },      { "m", USEC_PER_MINUTE },
                { "min", USEC_PER_MINUTE },   { "h", USEC_PER_HOUR },
                { "hour", USEC_PER_HOUR },    { "hours", USEC_PER_HOUR },
                { "d", USEC_PER_DAY },        { "day", USEC_PER_DAY },
                { "days", USEC_PER_DAY },     { "w", 7 * USEC_PER_DAY },
                { "week", 7 * USEC_PER_DAY }, { "weeks", 7 * USEC_PER_DAY },
        };
        const usec_t most = 36525 * USEC_PER_DAY;
        usec_t sum = 0;

        while (*text) {
                size_t len, i;
                uint64_t v;
                int n;

                text += strspn(text, " ");
                n = number_parse(text, &v);
                if (n < 0)
                        return n;
                text += n;
                text += strspn(text, " ");
                len = strspn(text, "abcdefghijklmnopqrstuvwxyz");
                for (i = 0; i < ELEMENTSOF(units); i++)
                        if (strlen(units[i].name) == len && strncmp(units[i].name, text, len) == 0)
                                break;
                if (i == ELEMENTSOF(units) || v > most / units[i].usec)
                        return -EINVAL;
                text += len;
                text += strspn(text, " ");
                sum += v * units[i].usec;
                if (sum > most)
                        return -EINVAL;
        }
        if (sum == 0)
                return -EINVAL;
        *ret = sum;
        return 0;
}
