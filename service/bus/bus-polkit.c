/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Who may change something. The question to polkit is asynchronous: the call is kept, asked
 * about, and put back into the queue; its handler comes here a second time and finds the answer
 * under the very same message.
 *
 * A question takes a place at the bus from when it is asked until polkit answers it, and there are
 * not many. So each user has a share of them, and a question whose asker has left is called off:
 * polkit answers that one at once.
 */

#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "bus/bus-internal.h"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_IFACE "org.freedesktop.PolicyKit1.Authority"

typedef struct Authorization {
        Bus *bus;
        sd_bus_message *call;
        char *action;
        uid_t uid;
        char id[24]; /* of the question, to call it off */
        sd_bus_slot *slot, *leave_slot;
        bool answered, allowed, challenge, called_off;
        char *refusal; /* why not */
} Authorization;

static void authorization_free(Authorization *a) {
        sd_bus_slot_unref(a->leave_slot);
        sd_bus_slot_unref(a->slot);
        sd_bus_message_unref(a->call);
        g_free(a->action);
        g_free(a->refusal);
        g_free(a);
}

static void forget(Authorization *a) {
        g_hash_table_remove(a->bus->authorizations, a->call);
}

/* polkit ends the question, and whatever it shows somebody because of it. */
static void call_off(Authorization *a) {
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(
                        a->bus->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_IFACE,
                        "CancelCheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", a->id);
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(m, false);
        if (r >= 0)
                r = sd_bus_send(a->bus->bus, m, NULL);
        sd_bus_message_unref(m);
        if (r < 0)
                (void) log_debug_errno(r, "cannot call a question to polkit off: %m");
}

static void take_answer(Authorization *a, sd_bus_message *reply) {
        const sd_bus_error *e = sd_bus_message_get_error(reply);
        int authorized = 0, challenge = 0, r;

        if (e) {
                /* No polkit on this bus: only root and our own user may. */
                a->refusal = g_strdup_printf(
                                "cannot ask polkit (%s); root may do this", e->message ?: e->name);
                return;
        }
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

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Authorization *a = userdata;
        int r;

        a->answered = true;
        /* It came from here, because nobody answered: the place at the bus is still taken. */
        if (sd_bus_message_is_method_error(reply, SD_BUS_ERROR_NO_REPLY) > 0 && !a->called_off)
                call_off(a);
        if (a->called_off) {
                forget(a);
                return 0;
        }
        take_answer(a, reply);
        r = sd_bus_enqueue_for_read(a->bus->bus, a->call);
        if (r < 0) {
                (void) log_debug_errno(r, "cannot put a call back into the queue: %m");
                forget(a);
        }
        return 0;
}

/* The asker has left the bus, so nobody waits for our answer. */
static int on_left(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        Authorization *a = userdata;

        if (a->answered) {
                forget(a);
                return 0;
        }
        if (!a->called_off)
                call_off(a);
        a->called_off = true;
        return 0;
}

/* Return: whether @uid may have another question under way. */
static bool has_place(Bus *b, uid_t uid) {
        unsigned all = 0, own = 0;
        GHashTableIter i;
        void *value;

        g_hash_table_iter_init(&i, b->authorizations);
        while (g_hash_table_iter_next(&i, NULL, &value)) {
                const Authorization *a = value;

                if (a->answered)
                        continue;
                all++;
                own += a->uid == uid;
        }
        return own < QUESTIONS_PER_USER_MAX && all < QUESTIONS_MAX;
}

static Authorization *authorization_new(Bus *b, sd_bus_message *call, const char *action, uid_t uid) {
        Authorization *a = NEW(Authorization);

        a->bus = b;
        a->call = sd_bus_message_ref(call);
        a->action = g_strdup(action);
        a->uid = uid;
        g_snprintf(a->id, sizeof a->id, "%" G_GUINT64_FORMAT, ++b->n_questions);
        return a;
}

/* A name like ":1.5" is never given to anybody else. */
int bus_watch_sender(
                sd_bus_message *call,
                sd_bus_message_handler_t left,
                void *userdata,
                sd_bus_slot **ret) {
        g_autofree char *match = g_strdup_printf(
                        "type='signal',sender='org.freedesktop.DBus',"
                        "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s'",
                        sd_bus_message_get_sender(call));

        return sd_bus_add_match_async(sd_bus_message_get_bus(call), ret, match, left, NULL, userdata);
}

static int ask(Bus *b, sd_bus_message *call, const char *action, uid_t uid) {
        Authorization *a = authorization_new(b, call, action, uid);
        sd_bus_message *q = NULL;
        int r;

        r = bus_watch_sender(call, on_left, a, &a->leave_slot);
        if (r >= 0)
                r = sd_bus_message_new_method_call(
                                b->bus, &q, POLKIT_NAME, POLKIT_PATH, POLKIT_IFACE,
                                "CheckAuthorization");
        /* flags 1: the user may be asked for a password */
        if (r >= 0)
                r = sd_bus_message_append(
                                q, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s",
                                sd_bus_message_get_sender(call), action, 0,
                                (uint32_t) (sd_bus_message_get_allow_interactive_authorization(call) >
                                            0),
                                a->id);
        /* People need a while to type a password. */
        if (r >= 0)
                r = sd_bus_call_async(b->bus, &a->slot, q, on_answer, a, 2 * USEC_PER_MINUTE);
        if (r >= 0)
                g_hash_table_insert(b->authorizations, call, a);
        else
                authorization_free(a);
        sd_bus_message_unref(q);
        return r;
}

int bus_sender_uid(sd_bus_message *call, uid_t *ret, sd_bus_error *error) {
        sd_bus_creds *creds = NULL;
        int r;

        r = sd_bus_query_sender_creds(call, SD_BUS_CREDS_EUID, &creds);
        if (r >= 0)
                r = sd_bus_creds_get_euid(creds, ret);
        sd_bus_creds_unref(creds);
        if (r < 0)
                return sd_bus_error_setf(
                                error, SD_BUS_ERROR_ACCESS_DENIED, "cannot tell who is asking");
        return 0;
}

int bus_require_root(Bus *b, sd_bus_message *call, const char *what, sd_bus_error *error) {
        uid_t uid;
        int r;

        r = bus_sender_uid(call, &uid, error);
        if (r < 0)
                return r;
        /* A user's own daemon changes nothing of the machine. */
        if (uid == 0 || (manager_options(b->manager)->user_mode && uid == getuid()))
                return 0;
        return sd_bus_error_setf(
                        error, SD_BUS_ERROR_ACCESS_DENIED, OMERTA_BUS_NAME ": only root may say %s",
                        what);
}

int bus_authorize(Bus *b, sd_bus_message *call, const char *action, sd_bus_error *error) {
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
        r = bus_sender_uid(call, &uid, error);
        if (r < 0)
                return r;
        if (uid == 0 || uid == getuid())
                return 1;
        if (manager_options(b->manager)->user_mode)
                return sd_bus_error_setf(
                                error, SD_BUS_ERROR_ACCESS_DENIED,
                                "this omertad belongs to another user");
        if (!has_place(b, uid))
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_LIMIT_REACHED,
                                "polkit is being asked about too many calls already: answer or "
                                "cancel some");
        r = ask(b, call, action, uid);
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

void bus_drop_authorizations(Bus *b) {
        g_hash_table_remove_all(b->authorizations);
}
