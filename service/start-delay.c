/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "start-delay.h"

#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"

#define FILE_NAME "starts"

static usec_t delay_of(unsigned n) {
        usec_t delay = START_DELAY_MIN_USEC;

        if (n < START_DELAY_FREE)
                return 0;
        for (unsigned i = START_DELAY_FREE; i < n && delay < START_DELAY_MAX_USEC; i++)
                delay *= 2;
        return MIN(delay, START_DELAY_MAX_USEC);
}

usec_t start_delay_next(const char *dir, usec_t now) {
        g_autofree char *path = NULL, *text = NULL, *line = NULL;
        g_autoptr(GError) error = NULL;
        usec_t last, delay;
        unsigned n;

        if (!dir)
                return 0;
        path = g_build_filename(dir, FILE_NAME, NULL);
        /* How many starts in a row did not last, and when the last one began to serve. */
        if (!g_file_get_contents(path, &text, NULL, NULL) ||
            sscanf(text, "%u %" SCNu64, &n, &last) != 2 || last > now ||
            now - last >= START_LASTS_USEC)
                n = 0;
        delay = delay_of(n);
        line = g_strdup_printf("%u %" PRIu64 "\n", MIN(n, START_DELAY_COUNT_MAX) + 1, now + delay);
        if (!g_file_set_contents(path, line, -1, &error)) {
                log_debug("cannot note this start: %s", error->message);
                return 0;
        }
        return delay;
}

void start_delay_clear(const char *dir) {
        g_autofree char *path = dir ? g_build_filename(dir, FILE_NAME, NULL) : NULL;

        if (path)
                (void) unlink(path);
}
