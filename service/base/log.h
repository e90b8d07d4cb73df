/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Log records: to the journal with fields where systemd listens, to standard error else. Only
 * manager, bus, host, store and main log above debug; core reports events and counts drops.
 * Anything a remote packet can trigger must be rate-limited by its caller.
 */

#include <stdbool.h>
#include <syslog.h>

#include "base/macros.h"

/* Journal fields that make a record findable; any may be NULL. */
typedef struct LogContext {
        const char *message_id; /* from base/log-ids.h */
        const char *network;    /* OMERTA_NETWORK= name */
        const char *machine;    /* OMERTA_MACHINE= full id */
        const char *interface;  /* INTERFACE= */
} LogContext;

/* Before any record: where records go (from $JOURNAL_STREAM) and up to which level. */
void log_setup(int max_level);
int log_get_max_level(void);
void log_set_max_level(int level);
bool log_to_journal(void);

/* Return: -abs(error), so that "return log_error_errno(r, ...)" forwards it; 0 for error 0.
 * %m in @format is @error. */
int log_internal(
                int level,
                int error,
                const char *file,
                int line,
                const char *func,
                const LogContext *context,
                const char *format,
                ...) _printf_(7, 8);

#define log_full(level, error, context, ...)                                                       \
        ((level) <= log_get_max_level() ? log_internal(level, error, __FILE__, __LINE__, __func__, \
                                                       context, __VA_ARGS__)                       \
                                        : -abs(error))

#define log_debug(...) log_full(LOG_DEBUG, 0, NULL, __VA_ARGS__)
#define log_info(...) log_full(LOG_INFO, 0, NULL, __VA_ARGS__)
#define log_notice(...) log_full(LOG_NOTICE, 0, NULL, __VA_ARGS__)
#define log_warning(...) log_full(LOG_WARNING, 0, NULL, __VA_ARGS__)
#define log_error(...) log_full(LOG_ERR, 0, NULL, __VA_ARGS__)
#define log_debug_errno(e, ...) log_full(LOG_DEBUG, e, NULL, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full(LOG_WARNING, e, NULL, __VA_ARGS__)
#define log_error_errno(e, ...) log_full(LOG_ERR, e, NULL, __VA_ARGS__)
