/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who may change something. The question to polkit is asynchronous: the call is kept, asked
 * about, and put back into the queue; its handler comes here a second time and finds the answer
 * under the very same message.
 */

#include <string.h>

#include "base/log.h"
#include "bus/bus-internal.h"

typedef struct Authorization {
        Bus *bus;
        sd_bus_message *call;
        char *action;
        sd_bus_slot *slot;
        bool answered, allowed, challenge;
        char *refusal; /* why not */
} Authorization;

static void authorization_free(Authorization *a) {
        sd_bus_slot_unref(a->slot);
        sd_bus_message_unref(a->call);
        g_free(a->action);
        g_free(a->refusal);
        g_free(a);
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Authorization *a = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        int authorized = 0, challenge = 0, r;

        a->answered = true;
        if (e) {
                /* No polkit on this bus: only root and our own user may. */
                a->refusal = g_strdup_printf(
                                "cannot ask polkit (%s); root may do this", e->message ?: e->name);
        } else {
                r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
                if (r >= 0)
                        r = sd_bus_message_read(reply, "bb", &authorized, &challenge);
                a->allowed = r >= 0 && authorized;
                a->challenge = r >= 0 && challenge;
                if (!a->allowed)
                        a->refusal =
                                        g_strdup(challenge ? "needs an administrator's password"
                                                           : "not allowed by polkit");
        }
        r = sd_bus_enqueue_for_read(a->bus->bus, a->call);
        if (r < 0)
                (void) log_debug_errno(r, "cannot put a call back into the queue: %m");
        return 0;
}

static int ask(Bus *b, sd_bus_message *call, const char *action) {
        sd_bus_message *q = NULL;
        Authorization *a;
        int r;

        r = sd_bus_message_new_method_call(
                        b->bus, &q, "org.freedesktop.PolicyKit1",
                        "/org/freedesktop/PolicyKit1/Authority",
                        "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
        if (r < 0)
                return r;
        /* flags 1: the user may be asked for a password */
        r = sd_bus_message_append(
                        q, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s",
                        sd_bus_message_get_sender(call), action, 0,
                        (uint32_t) (sd_bus_message_get_allow_interactive_authorization(call) > 0),
                        "");
        if (r >= 0) {
                a = NEW(Authorization);
                a->bus = b;
                a->call = sd_bus_message_ref(call);
                a->action = g_strdup(action);
                /* People need a while to type a password. */
                r = sd_bus_call_async(b->bus, &a->slot, q, on_answer, a, 2 * USEC_PER_MINUTE);
                if (r >= 0)
                        g_hash_table_insert(b->authorizations, call, a);
                else
                        authorization_free(a);
        }
        sd_bus_message_unref(q);
        return r;
}

int bus_authorize(Bus *b, sd_bus_message *call, const char *action, sd_bus_error *error) {
        sd_bus_creds *creds = NULL;
        Authorization *a;
        uid_t uid;
        int r;

        a = g_hash_table_lookup(b->authorizations, call);
        if (a) {
                bool allowed = a->answered && a->allowed && strcmp(a->action, action) == 0;

                r = allowed ? 1
                            : sd_bus_error_setf(
                                              error,
                                              a->challenge ? SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED
                                                           : SD_BUS_ERROR_ACCESS_DENIED,
                                              "%s: %s", action, a->refusal ?: "not allowed");
                g_hash_table_remove(b->authorizations, call);
                return r;
        }
        r = sd_bus_query_sender_creds(call, SD_BUS_CREDS_EUID, &creds);
        if (r >= 0)
                r = sd_bus_creds_get_euid(creds, &uid);
        sd_bus_creds_unref(creds);
        if (r < 0)
                return sd_bus_error_setf(
                                error, SD_BUS_ERROR_ACCESS_DENIED, "cannot tell who is asking");
        if (uid == 0 || uid == getuid())
                return 1;
        if (manager_options(b->manager)->user_mode)
                return sd_bus_error_setf(
                                error, SD_BUS_ERROR_ACCESS_DENIED,
                                "this omertad belongs to another user");
        r = ask(b, call, action);
        if (r < 0)
                return sd_bus_error_setf(
                                error, SD_BUS_ERROR_ACCESS_DENIED, "cannot ask polkit: %s",
                                g_strerror(-r));
        return 0;
}

void bus_authorizations_init(Bus *b) {
        b->authorizations =
                        g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify) authorization_free);
}
