/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The connection to the message bus. It may go and come back: the bus is restarted, or crashes. The
 * daemon does not need it to carry packets, so it goes on without, and connects again with growing
 * pauses. Nothing of the old connection is taken along: whoever waited for an answer has gone with
 * the bus, and who comes lists the objects anew.
 *
 * A user's daemon does the same. The address of a session bus outlives it ($XDG_RUNTIME_DIR/bus),
 * so nobody can tell one that is gone for good; and what the user started the daemon for, proxy and
 * forwards, works without. systemd ends its unit with the last session of the user.
 */

#include "bus/bus.h"

#include "base/limits.h"
#include "base/log-ids.h"
#include "base/log.h"
#include "bus/bus-internal.h"
#include "bus/bus-signals.h"
#include "bus/object.h"

/* --- small helpers of the interfaces --- */

int bus_append_drops(sd_bus_message *reply, const DropCounters *drops) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{st}");
        for (int i = DROP_NONE + 1; r >= 0 && drops && i < _DROP_REASON_MAX; i++) {
                uint64_t count = drop_counter(drops, i);

                if (count > 0)
                        r = sd_bus_message_append(reply, "{st}", drop_reason_to_string(i), count);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

usec_t bus_realtime(Bus *b, usec_t monotonic) {
        const MeshEnv *env = manager_env(b->manager);

        if (monotonic == 0)
                return 0;
        return usec_sub(env_realtime(env), usec_sub(env_now(env), monotonic));
}

int bus_find_machine(ManagedNetwork *n, const char *text, MachineId *ret, sd_bus_error *error) {
        ManagerError e = {};
        int r = managed_network_find_machine(n, text, ret, &e);

        return r < 0 ? bus_set_error(error, &e) : 0;
}

/* --- connection --- */

static bool is_user(const Bus *b) {
        return manager_options(b->manager)->user_mode;
}

static void disconnect(Bus *b) {
        bus_signals_stop(b->signals);
        bus_drop_listings(b);
        bus_drop_watchers(b);
        bus_drop_holds(b);
        bus_drop_authorizations(b);
        bus_sleep_stop(b);
        b->lost_slot = sd_bus_slot_unref(b->lost_slot);
        b->name_slot = sd_bus_slot_unref(b->name_slot);
        /* Calls that are answered later keep the old connection, which is closed. */
        b->bus = b->is_named ? sd_bus_flush_close_unref(b->bus) : sd_bus_close_unref(b->bus);
        b->is_named = false;
}

/* Not from a callback of the connection: it is freed later, when it is tried again. */
static void lose(Bus *b) {
        int enabled;

        if (sd_event_source_get_enabled(b->retry_source, &enabled) < 0 || enabled != SD_EVENT_OFF)
                return;
        if (b->is_named) {
                LogContext context = { .message_id = MESSAGE_ID_BUS_LOST };

                (void) log_full(LOG_WARNING, 0, &context,
                                "the %s bus has gone: networks go on, and the bus is tried again",
                                is_user(b) ? "session" : "system");
        }
        b->is_named = false;
        bus_signals_stop(b->signals);
        (void) sd_event_source_set_time(b->retry_source, now_usec(CLOCK_MONOTONIC) + b->retry_delay);
        (void) sd_event_source_set_enabled(b->retry_source, SD_EVENT_ONESHOT);
        b->retry_delay = MIN(2 * b->retry_delay, BUS_RETRY_MAX_USEC);
}

/* From libsystemd, in place of the bus. */
static int on_disconnected(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        lose(userdata);
        return 0;
}

/* Opens the connection and offers all there is; waits for nothing. */
static int connect_bus(Bus *b) {
        int r;

        r = is_user(b) ? sd_bus_open_user(&b->bus) : sd_bus_open_system(&b->bus);
        if (r < 0)
                return r;
        /* It would flush, which waits for a bus that does not even greet us. */
        r = sd_bus_set_close_on_exit(b->bus, false);
        if (r >= 0)
                r = sd_bus_add_object_manager(b->bus, NULL, OMERTA_PATH);
        if (r >= 0)
                r = bus_add_log_control(b);
        if (r >= 0)
                r = bus_add_kinds(b);
        if (r >= 0)
                r = bus_add_listings(b);
        if (r >= 0)
                r = sd_bus_attach_event(b->bus, b->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_match_signal_async(
                                b->bus, &b->lost_slot, "org.freedesktop.DBus.Local",
                                "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                "Disconnected", on_disconnected, NULL, b);
        if (r >= 0 && !is_user(b))
                r = bus_sleep_start(b);
        return r < 0 ? r : 0;
}

/* DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER of the D-Bus specification. */
#define BUS_NAME_OURS 1U

/* @reply: the bus has greeted us and says whose the name is. */
static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        Bus *b = userdata;
        uint32_t answer = 0;

        if (e || sd_bus_message_read(reply, "u", &answer) < 0 || answer != BUS_NAME_OURS) {
                log_debug("no name on the bus yet: %s", e ? e->name : "another program has it");
                lose(b);
                return 0;
        }
        b->is_named = true;
        b->retry_delay = BUS_RETRY_MIN_USEC;
        bus_signals_start(b->signals);
        log_notice("the %s bus is back", is_user(b) ? "session" : "system");
        /* logind may have told of a sleep meanwhile. */
        manager_wake(b->manager);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Bus *b = userdata;
        int r;

        disconnect(b);
        r = connect_bus(b);
        if (r >= 0)
                r = sd_bus_request_name_async(b->bus, &b->name_slot, OMERTA_BUS_NAME, 0, on_name, b);
        if (r < 0) {
                (void) log_debug_errno(r, "no connection to the bus yet: %m");
                lose(b);
        }
        return 0;
}

/* --- life --- */

static int setup(Bus *b) {
        int r;

        bus_authorizations_init(b);
        r = bus_listings_init(b);
        if (r >= 0)
                r = bus_signals_new(b, &b->signals);
        if (r >= 0)
                r = sd_event_add_time(b->event, &b->retry_source, CLOCK_MONOTONIC, 0, 0, on_retry, b);
        return r < 0 ? r : sd_event_source_set_enabled(b->retry_source, SD_EVENT_OFF);
}

int bus_new(sd_event *event, Manager *manager, Bus **ret) {
        Bus *b = NEW(Bus);
        ManagerObserver o;
        int r;

        b->manager = manager;
        b->event = sd_event_ref(event);
        b->retry_delay = BUS_RETRY_MIN_USEC;
        b->inhibitor = -EBADF;
        r = setup(b);
        if (r < 0) {
                (void) log_error_errno(r, "cannot offer org.omerta.Mesh1: %m");
                goto fail;
        }
        r = connect_bus(b);
        if (r < 0) {
                (void) log_error_errno(
                                r,
                                "cannot connect to the %s bus: %m; is dbus running, or "
                                "is %s wrong?",
                                is_user(b) ? "session" : "system",
                                is_user(b) ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS");
                goto fail;
        }
        o = bus_signals_observer(b->signals);
        manager_observe(manager, &o);
        *ret = b;
        return 0;

fail:
        bus_free(b);
        return r;
}

Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;
        manager_unobserve(b->manager, b);
        if (b->signals)
                disconnect(b);
        b->retry_source = sd_event_source_disable_unref(b->retry_source);
        bus_listings_done(b);
        bus_signals_free(b->signals);
        g_hash_table_unref(b->authorizations);
        sd_event_unref(b->event);
        g_free(b);
        return NULL;
}

int bus_start(Bus *b) {
        int r;

        r = sd_bus_request_name(b->bus, OMERTA_BUS_NAME, 0);
        if (r == -EEXIST)
                return log_error_errno(
                                r,
                                "another omertad is running: it owns the name "
                                "%s on the bus",
                                OMERTA_BUS_NAME);
        if (r < 0)
                return log_error_errno(
                                r,
                                "cannot take the name %s on the bus: %m; is its policy "
                                "(org.omerta.Mesh1.conf) installed?",
                                OMERTA_BUS_NAME);
        b->is_named = true;
        bus_signals_start(b->signals);
        return 0;
}
