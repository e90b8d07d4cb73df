/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.freedesktop.LogControl1 (org.freedesktop.LogControl1(5)), so that
 * "systemctl service-log-level omertad.service debug" works on the running daemon. */

#include <string.h>

#include "base/log.h"
#include "bus/bus-internal.h"

static const char *const levels[] = {
        [LOG_EMERG] = "emerg", [LOG_ALERT] = "alert",     [LOG_CRIT] = "crit",
        [LOG_ERR] = "err",     [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
        [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

static int
get_text(sd_bus *bus,
         const char *path,
         const char *interface,
         const char *property,
         sd_bus_message *reply,
         void *userdata,
         sd_bus_error *error) {
        if (strcmp(property, "LogLevel") == 0)
                return sd_bus_message_append(reply, "s", levels[log_get_max_level()]);
        if (strcmp(property, "LogTarget") == 0)
                return sd_bus_message_append(reply, "s", log_to_journal() ? "journal" : "console");
        return sd_bus_message_append(reply, "s", "omertad");
}

/* The bus lets nobody but root and us set it (no SD_BUS_VTABLE_UNPRIVILEGED). */
static int
set_level(sd_bus *bus,
          const char *path,
          const char *interface,
          const char *property,
          sd_bus_message *value,
          void *userdata,
          sd_bus_error *error) {
        const char *text;
        int r = sd_bus_message_read(value, "s", &text);

        if (r < 0)
                return r;
        for (int i = 0; i < (int) ELEMENTSOF(levels); i++)
                if (strcmp(levels[i], text) == 0) {
                        log_info("log level is %s now", text);
                        log_set_max_level(i);
                        return 0;
                }
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "'%s' is no log level", text);
}

static int
set_target(sd_bus *bus,
           const char *path,
           const char *interface,
           const char *property,
           sd_bus_message *value,
           void *userdata,
           sd_bus_error *error) {
        return sd_bus_error_setf(
                        error, SD_BUS_ERROR_NOT_SUPPORTED,
                        "omertad logs to the journal under systemd, else to standard error");
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", get_text, set_level, 0, 0),
        SD_BUS_WRITABLE_PROPERTY("LogTarget", "s", get_text, set_target, 0, 0),
        SD_BUS_PROPERTY("SyslogIdentifier", "s", get_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};

int bus_add_log_control(Bus *b) {
        return sd_bus_add_object_vtable(
                        b->bus, NULL, "/org/freedesktop/LogControl1", "org.freedesktop.LogControl1",
                        vtable, b);
}
