/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "bus/bus.h"
#include "dbus/names.h"

/* What an object path names; valid until the next object of its kind is looked up, which is long
 * enough for sd-bus: it finds an object, reads it, and finds the next. */
typedef struct MachineRef {
        Bus *bus;
        ManagedNetwork *network;
        MachineId id;
        Record *certificate;
} MachineRef;

typedef struct SessionRef {
        Bus *bus;
        ManagedNetwork *network;
        Session *session;
} SessionRef;

typedef struct LeaseRef {
        ManagedNetwork *network;
        Record *lease;
} LeaseRef;

typedef struct ForwardRef {
        Bus *bus;
        ManagedNetwork *network;
        Forward *forward;
} ForwardRef;

typedef struct BusSignals BusSignals;

struct Bus {
        sd_bus *bus; /* NULL: there is none, and it is tried again */
        sd_event *event;
        Manager *manager;

        ManagedNetwork *network; /* found last, as below */
        MachineRef machine;
        SessionRef session;
        LeaseRef lease;
        ForwardRef forward;

        BusSignals *signals;

        GQueue listings; /* of bus-objects.c: who waits for a list of all objects */
        sd_event_source *listing_source;

        GQueue watchers; /* of bus-counters.c */
        GQueue holds;    /* of bus-hold.c */

        GHashTable *authorizations; /* of bus-polkit.c, by message */
        uint64_t n_questions;       /* to polkit, ever */

        bool is_named; /* clients find us */
        sd_bus_slot *lost_slot, *name_slot;
        sd_bus_slot *sleep_slot, *logind_slot, *inhibit_slot;
        int inhibitor; /* while it is open logind waits before a sleep; -EBADF: it does not */
        sd_event_source *retry_source;
        usec_t retry_delay; /* before the next try */
};

/* --- bus.c --- */

int bus_append_drops(sd_bus_message *reply, const DropCounters *drops);
/* Unix time of a monotonic one; 0 stays 0. */
usec_t bus_realtime(Bus *b, usec_t monotonic);

/**
 * bus_machine_find() - a machine as people name it
 * Return: 0, or negative errno with @error set.
 */
int bus_find_machine(ManagedNetwork *n, const char *text, MachineId *ret, sd_bus_error *error);

/* --- bus-error.c --- */

/* Return: a constant of dbus/names.h, whatever @e says. */
const char *bus_error_name(const ManagerError *e);
/* Sets @error from a ManagerError, which is cleared. Return: negative errno. */
int bus_set_error(sd_bus_error *error, ManagerError *e);

/* --- bus-polkit.c --- */

/**
 * bus_authorize() - may the sender of @call do @action?
 *
 * Root and our own user always may. Everybody else is asked about at polkit; the call is kept
 * and its handler runs again when the answer is there.
 * A user has QUESTIONS_PER_USER_MAX of them under way; more are refused at once.
 * Return: 1 yes, 0 the answer is on its way (the handler returns 1), negative with @error set.
 */
int bus_authorize(Bus *b, sd_bus_message *call, const char *action, sd_bus_error *error);

/* For what polkit is not asked about: root alone, and who owns a user's daemon.
 * @what: completes "only root may say ...". Return: 0, or negative with @error set. */
int bus_require_root(Bus *b, sd_bus_message *call, const char *what, sd_bus_error *error);

void bus_authorizations_init(Bus *b);
/* Nobody waits for the answers of polkit any more. */
void bus_drop_authorizations(Bus *b);

/* @left: called when who sent @call has left the bus. The slot is the caller's.
 * Return: 0, or negative errno. */
int bus_watch_sender(
                sd_bus_message *call,
                sd_bus_message_handler_t left,
                void *userdata,
                sd_bus_slot **ret);

/* Return: 0, or negative with @error set. */
int bus_sender_uid(sd_bus_message *call, uid_t *ret, sd_bus_error *error);

/* --- bus-objects.c --- */
int bus_listings_init(Bus *b);
void bus_listings_done(Bus *b);
/* Answers GetManagedObjects on b->bus. */
int bus_add_listings(Bus *b);
/* Nobody waits for them any more. */
void bus_drop_listings(Bus *b);
/* An answer is being written: signals wait for it. */
bool bus_is_listing(const Bus *b);

/* --- bus-counters.c --- */
/* Nobody watches any more. */
void bus_drop_watchers(Bus *b);

/* --- bus-hold.c --- */
/* Nobody sets addresses in our place any more. */
void bus_drop_holds(Bus *b);

/* --- bus-sleep.c --- */

/* Hears of sleep, on the system bus; waits for nothing. */
int bus_sleep_start(Bus *b);
void bus_sleep_stop(Bus *b);

/* --- bus-log-control.c --- */
int bus_add_log_control(Bus *b);
