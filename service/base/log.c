/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

/* The one global of the daemon: where its words go. */
static struct {
        int max_level;
        bool journal;
} log_target = { .max_level = LOG_INFO };

/* $JOURNAL_STREAM names device and inode of the stream systemd connected (systemd.exec(5)):
 * only if standard error is that stream is the journal where our reader looks. */
static bool stderr_is_journal(void) {
        const char *e = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        return e && sscanf(e, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == dev && st.st_ino == ino;
}

void log_setup(int max_level) {
        log_target.max_level = max_level;
        log_target.journal = stderr_is_journal();
}

int log_get_max_level(void) {
        return log_target.max_level;
}

void log_set_max_level(int level) {
        log_target.max_level = level;
}

bool log_to_journal(void) {
        return log_target.journal;
}

/* Names in a message may be another machine's, or somebody's on the bus: nothing in them ends a
 * line, or speaks to the terminal behind standard error, or turns the direction of writing. */
static void make_clean(char *text) {
        while (*text) {
                gunichar c = g_utf8_get_char_validated(text, -1);
                size_t n = 1;
                GUnicodeType type = G_UNICODE_CONTROL;

                if (c != (gunichar) -1 && c != (gunichar) -2) {
                        n = (size_t) (g_utf8_next_char(text) - text);
                        type = g_unichar_type(c);
                }
                if (type == G_UNICODE_CONTROL || type == G_UNICODE_FORMAT ||
                    type == G_UNICODE_LINE_SEPARATOR || type == G_UNICODE_PARAGRAPH_SEPARATOR)
                        memset(text, '?', n);
                text += n;
        }
}

static void
send_journal(int level,
             int error,
             const char *file,
             int line,
             const char *func,
             const LogContext *context,
             const char *message) {
        g_auto(GStrv) fields = NULL;
        g_autoptr(GStrvBuilder) b = g_strv_builder_new();
        struct iovec iov[16];
        int n = 0;
        const struct {
                const char *field, *value;
        } optional[] = {
                { "MESSAGE_ID", context ? context->message_id : NULL },
                { "OMERTA_NETWORK", context ? context->network : NULL },
                { "OMERTA_MACHINE", context ? context->machine : NULL },
                { "INTERFACE", context ? context->interface : NULL },
        };

#define FIELD(...)                                                                                 \
        do {                                                                                       \
                g_autofree char *_f = g_strdup_printf(__VA_ARGS__);                                \
                g_strv_builder_add(b, _f);                                                         \
        } while (0)
        FIELD("MESSAGE=%s", message);
        FIELD("PRIORITY=%d", level);
        FIELD("CODE_FILE=%s", file);
        FIELD("CODE_LINE=%d", line);
        FIELD("CODE_FUNC=%s", func);
        FIELD("SYSLOG_IDENTIFIER=omertad");
        if (error != 0)
                FIELD("ERRNO=%d", abs(error));
        for (size_t i = 0; i < ELEMENTSOF(optional); i++)
                if (optional[i].value)
                        FIELD("%s=%s", optional[i].field, optional[i].value);
#undef FIELD
        fields = g_strv_builder_end(b);
        for (char **f = fields; *f && n < (int) ELEMENTSOF(iov); f++)
                iov[n++] = (struct iovec){ *f, strlen(*f) };
        (void) sd_journal_sendv(iov, n);
}

int log_internal(
                int level,
                int error,
                const char *file,
                int line,
                const char *func,
                const LogContext *context,
                const char *format,
                ...) {
        int saved = errno;
        g_autofree char *message = NULL;
        va_list ap;

        if (level <= log_target.max_level) {
                errno = abs(error); /* for %m */
                va_start(ap, format);
                if (vasprintf(&message, format, ap) < 0)
                        message = NULL;
                va_end(ap);
                if (message)
                        make_clean(message);
                if (message && log_target.journal)
                        send_journal(level, error, file, line, func, context, message);
                else if (message)
                        fprintf(stderr, "%s%s\n",
                                level <= LOG_ERR       ? "error: "
                                : level == LOG_WARNING ? "warning: "
                                                       : "",
                                message);
        }
        errno = saved;
        return -abs(error);
}
