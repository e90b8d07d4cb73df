/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Sleep, as logind tells of it (org.freedesktop.login1(5)). A delay inhibitor makes it wait, for
 * InhibitDelayMaxSec= at most, until the others know that this machine goes: they look elsewhere
 * at once and do not wait for a machine that does not answer. When it is back every link is made
 * anew at once. Without logind a machine falls asleep in silence, and CLOCK_BOOTTIME tells.
 */

#include <fcntl.h>

#include "base/log.h"
#include "bus/bus-internal.h"

#define LOGIND_NAME "org.freedesktop.login1"
#define LOGIND_PATH "/org/freedesktop/login1"
#define LOGIND_MANAGER "org.freedesktop.login1.Manager"

static int on_inhibited(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        Bus *b = userdata;
        int fd;

        b->inhibit_slot = sd_bus_slot_unref(b->inhibit_slot);
        if (e) {
                log_debug("logind does not wait for us before a sleep: %s", e->name);
                return 0;
        }
        closep(&b->inhibitor);
        b->inhibitor = -EBADF;
        /* The message's own. */
        if (sd_bus_message_read(reply, "h", &fd) >= 0)
                b->inhibitor = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return 0;
}

static void inhibit(Bus *b) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        int r;

        b->inhibit_slot = sd_bus_slot_unref(b->inhibit_slot);
        r = sd_bus_message_new_method_call(
                        b->bus, &call, LOGIND_NAME, LOGIND_PATH, LOGIND_MANAGER, "Inhibit");
        if (r >= 0)
                r = sd_bus_message_append(
                                call, "ssss", "sleep", "omertad", "Tell the other machines", "delay");
        /* Where no logind runs none is started for this. */
        if (r >= 0)
                r = sd_bus_message_set_auto_start(call, false);
        if (r >= 0)
                r = sd_bus_call_async(b->bus, &b->inhibit_slot, call, on_inhibited, b, 0);
        if (r < 0)
                (void) log_debug_errno(r, "cannot ask logind to wait before a sleep: %m");
}

static void release(Bus *b) {
        closep(&b->inhibitor);
        b->inhibitor = -EBADF;
}

static int on_prepare_for_sleep(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        int sleeping;

        if (sd_bus_message_read(signal, "b", &sleeping) < 0)
                return 0;
        if (sleeping) {
                log_debug("the machine falls asleep");
                manager_sleep(b->manager);
                release(b);
                return 0;
        }
        log_debug("the machine woke up");
        inhibit(b);
        manager_wake(b->manager);
        return 0;
}

/* One came, or another: it knows of no inhibitor of ours. */
static int on_logind(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        const char *name, *old, *new;

        if (sd_bus_message_read(signal, "sss", &name, &old, &new) >= 0 && *new)
                inhibit(userdata);
        return 0;
}

int bus_sleep_start(Bus *b) {
        int r;

        /* From logind and nobody else: everybody may send signals on the system bus. */
        r = sd_bus_match_signal_async(
                        b->bus, &b->sleep_slot, LOGIND_NAME, LOGIND_PATH, LOGIND_MANAGER,
                        "PrepareForSleep", on_prepare_for_sleep, NULL, b);
        if (r >= 0)
                r = sd_bus_add_match_async(
                                b->bus, &b->logind_slot,
                                "type='signal',sender='org.freedesktop.DBus',"
                                "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                                "member='NameOwnerChanged',arg0='" LOGIND_NAME "'",
                                on_logind, NULL, b);
        if (r >= 0)
                inhibit(b);
        return r;
}

void bus_sleep_stop(Bus *b) {
        b->inhibit_slot = sd_bus_slot_unref(b->inhibit_slot);
        b->sleep_slot = sd_bus_slot_unref(b->sleep_slot);
        b->logind_slot = sd_bus_slot_unref(b->logind_slot);
        release(b);
}
