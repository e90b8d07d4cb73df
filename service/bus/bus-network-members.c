/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Network: who may be in it. Invites, approvals, revocations. */

#include "bus/bus-network.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "bus/bus-options.h"
#include "bus/bus-signals.h"
#include "bus/object.h"
#include "network/admin.h"

/* Its invites changed, of which the manager does not tell. */
static void touch(Bus *b, ManagedNetwork *n) {
        g_autofree char *path = bus_network_path(n);

        bus_signals_touch(b->signals, path);
}

int bus_network_gateway_call(Bus *b, sd_bus_message *call, ManagedNetwork **ret, sd_bus_error *error) {
        ManagedNetwork *n = bus_network_of_call(b, call, error);
        ManagerError e = {};
        int r;

        if (!n)
                return -ENOENT;
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_GATEWAY, error);
        if (r <= 0)
                return r;
        if (managed_network_check_gateway(n, &e) < 0)
                return bus_set_error(error, &e);
        *ret = n;
        return 1;
}

/* Names of users are not looked up: that may take long. */
static void
log_act(sd_bus_message *call, ManagedNetwork *n, const char *what, const char *name, const char *id) {
        const Membership *m = managed_network_membership(n);
        LogContext context = { .network = m->name, .machine = id };
        sd_bus_creds *creds = NULL;
        uid_t uid = (uid_t) -1;

        if (sd_bus_query_sender_creds(call, SD_BUS_CREDS_EUID, &creds) >= 0)
                (void) sd_bus_creds_get_euid(creds, &uid);
        sd_bus_creds_unref(creds);
        (void) log_full(LOG_NOTICE, 0, &context, "%s: user %d %s %s%s%s%s", m->name, (int) uid,
                        what, name, name[0] ? " (" : "", id, name[0] ? ")" : "");
}

void bus_network_log_act_on(
                sd_bus_message *call,
                ManagedNetwork *n,
                const char *what,
                const AdminSubject *s) {
        log_act(call, n, what, s->name, machine_id_format(&s->id).text);
}

static void
format_invite_id(const uint8_t id[static INVITE_ID_SIZE], char ret[static 2 * INVITE_ID_SIZE + 1]) {
        for (unsigned k = 0; k < INVITE_ID_SIZE; k++)
                snprintf(ret + 2 * k, 3, "%02x", id[k]);
}

static int read_endpoints(char **texts, Endpoint *ret, unsigned *ret_n, sd_bus_error *error) {
        unsigned n = 0;

        for (char **t = texts; t && *t; t++) {
                if (n >= ENDPOINTS_MAX)
                        return sd_bus_error_setf(
                                        error, OMERTA_ERROR_INVALID_ARGUMENT,
                                        "an invite holds at most %u endpoints", ENDPOINTS_MAX);
                if (endpoint_parse(*t, OMERTA_PORT_DEFAULT, &ret[n]) < 0 ||
                    !endpoint_is_usable(&ret[n]))
                        return sd_bus_error_setf(
                                        error, OMERTA_ERROR_INVALID_ARGUMENT,
                                        "'%s' is no endpoint: an address and a port, "
                                        "like 203.0.113.5:18002 or [2001:db8::5]:18002",
                                        *t);
                n++;
        }
        *ret_n = n;
        return 0;
}

int bus_network_invite(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        InviteRequest request = {};
        Endpoint endpoints[ENDPOINTS_MAX];
        HostPort names[GATEWAY_NAMES_MAX];
        g_auto(GStrv) texts = NULL, name_texts = NULL;
        g_autofree char *link = NULL;
        int approval = 0, r;
        const BusOption table[] = {
                { "uses", "u", &request.uses },
                { "lifetime", "t", &request.lifetime },
                { "host-name", "s", &request.name },
                { "approval", "b", &approval },
                { "endpoints", "as", &texts },
                { "names", "as", &name_texts },
                {},
        };
        ManagerError e = {};
        ManagedNetwork *n;

        r = bus_read_options(call, table, error);
        if (r >= 0)
                r = read_endpoints(texts, endpoints, &request.n_endpoints, error);
        if (r >= 0)
                r = bus_read_names(name_texts, names, error);
        if (r < 0)
                return r;
        request.names = names;
        request.n_names = (unsigned) r;
        if (request.name && !host_name_is_valid(request.name))
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT, "'%s' is no host name",
                                request.name);
        r = bus_network_gateway_call(b, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        request.needs_approval = approval;
        request.endpoints = endpoints;
        r = managed_network_invite(n, &request, &link, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        touch(b, n);
        return sd_bus_reply_method_return(call, "s", link);
}

static void append_invite(void *userdata, const InviteInfo *i) {
        sd_bus_message *reply = userdata;
        char id[2 * INVITE_ID_SIZE + 1];

        format_invite_id(i->id, id);
        (void) sd_bus_message_append(
                        reply, "(sttuusb)", id, i->created, i->not_after, i->uses, i->uses_max,
                        i->name, (int) i->needs_approval);
}

int bus_network_list_invites(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        sd_bus_message *reply = NULL;
        ManagedNetwork *n;
        int r;

        r = bus_network_gateway_call(userdata, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sttuusb)");
        if (r >= 0) {
                managed_network_foreach_invite(n, append_invite, reply);
                r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

int bus_network_delete_invite(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        uint8_t id[INVITE_ID_SIZE];
        ManagerError e = {};
        ManagedNetwork *n;
        const char *text;
        unsigned byte;
        int r;

        r = sd_bus_message_read(call, "s", &text);
        if (r < 0)
                return r;
        r = strlen(text) == 2 * INVITE_ID_SIZE ? 0 : -EINVAL;
        for (unsigned k = 0; r >= 0 && k < INVITE_ID_SIZE; k++) {
                if (!g_ascii_isxdigit(text[2 * k]) || !g_ascii_isxdigit(text[2 * k + 1]) ||
                    sscanf(text + 2 * k, "%2x", &byte) != 1)
                        r = -EINVAL;
                else
                        id[k] = (uint8_t) byte;
        }
        if (r < 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT, "'%s' is no id of an invite",
                                text);
        r = bus_network_gateway_call(userdata, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = managed_network_delete_invite(n, id, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        log_act(call, n, "withdrew the invite", "", text);
        touch(userdata, n);
        return sd_bus_reply_method_return(call, NULL);
}

static void append_pending(void *userdata, const MachineId *machine, const char *name, usec_t since) {
        (void) sd_bus_message_append(userdata, "(sst)", machine_id_format(machine).text, name, since);
}

int bus_network_list_pending(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = bus_network_of_call(b, call, error);
        sd_bus_message *reply = NULL;
        int r;

        if (!n)
                return -ENOENT;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sst)");
        if (r >= 0) {
                managed_network_foreach_pending(n, append_pending, reply);
                r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

typedef struct Refused {
        sd_bus_message *reply;
        Bus *bus;
} Refused;

static void append_refused(void *userdata, const MachineId *machine, const char *name, usec_t at) {
        Refused *f = userdata;
        usec_t when = bus_realtime(f->bus, at);

        (void) sd_bus_message_append(
                        f->reply, "(sstt)", machine_id_format(machine).text, name, when,
                        usec_add(when, APPROVAL_KEEP_USEC));
}

int bus_network_list_refused(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Refused f = { .bus = userdata };
        ManagedNetwork *n;
        int r;

        r = bus_network_gateway_call(userdata, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_new_method_return(call, &f.reply);
        if (r >= 0)
                r = sd_bus_message_open_container(f.reply, 'a', "(sstt)");
        if (r >= 0) {
                managed_network_foreach_refused(n, append_refused, &f);
                r = sd_bus_message_close_container(f.reply);
        }
        if (r >= 0)
                r = sd_bus_send(NULL, f.reply, NULL);
        sd_bus_message_unref(f.reply);
        return r;
}

static int answer_pending(sd_bus_message *call, Bus *b, bool approve, sd_bus_error *error) {
        ManagerError e = {};
        AdminSubject s;
        ManagedNetwork *n;
        const char *text;
        int r;

        r = sd_bus_message_read(call, "s", &text);
        if (r < 0)
                return r;
        r = bus_network_gateway_call(b, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = approve ? managed_network_approve(n, text, &s, &e)
                    : managed_network_refuse(n, text, &s, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        bus_network_log_act_on(call, n, approve ? "let in" : "refused", &s);
        return sd_bus_reply_method_return(call, "ss", machine_id_format(&s.id).text, s.name);
}

int bus_network_approve(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return answer_pending(call, userdata, true, error);
}

int bus_network_refuse(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return answer_pending(call, userdata, false, error);
}

int bus_network_rename(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        g_autofree char *what = NULL;
        const char *text, *name;
        ManagerError e = {};
        ManagedNetwork *n;
        AdminSubject s;
        int r;

        r = sd_bus_message_read(call, "ss", &text, &name);
        if (r < 0)
                return r;
        r = bus_network_gateway_call(userdata, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = managed_network_rename_machine(n, text, name, &s, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        what = g_strdup_printf("gave the name '%s' to", name);
        bus_network_log_act_on(call, n, what, &s);
        return sd_bus_reply_method_return(call, "ss", machine_id_format(&s.id).text, s.name);
}

int bus_network_revoke(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        char invite_id[2 * INVITE_ID_SIZE + 1] = "";
        int withdraw = 0, r;
        const BusOption table[] = { { "withdraw-invite", "b", &withdraw }, {} };
        ManagerError e = {};
        RevokeResult done;
        ManagedNetwork *n;
        const char *text;

        r = sd_bus_message_read(call, "s", &text);
        if (r >= 0)
                r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        r = bus_network_gateway_call(userdata, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = managed_network_revoke(n, text, withdraw, &done, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        bus_network_log_act_on(call, n, "revoked", &done.machine);
        if (done.has_invite)
                format_invite_id(done.invite, invite_id);
        if (done.withdrawn) {
                log_act(call, n, "withdrew the invite", "", invite_id);
                touch(userdata, n);
        }
        return sd_bus_reply_method_return(
                        call, "sssut", machine_id_format(&done.machine.id).text, done.machine.name,
                        invite_id, done.uses_left, (uint64_t) done.not_after);
}

static void append_revoked(void *userdata, Record *record) {
        static const char *const reasons[] = {
                [REVOCATION_REMOVED] = "removed",
                [REVOCATION_LEFT] = "left",
                [REVOCATION_KEY_LOST] = "key-lost",
        };

        (void) sd_bus_message_append(
                        userdata, "(sst)", machine_id_format(&record->body.machine).text,
                        reasons[record->body.revocation.reason], (uint64_t) record->body.version);
}

int bus_network_list_revoked(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        ManagedNetwork *n = bus_network_of_call(userdata, call, error);
        sd_bus_message *reply = NULL;
        Network *core;
        int r;

        if (!n)
                return -ENOENT;
        core = managed_network_core(n);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sst)");
        if (r >= 0 && core)
                directory_foreach(network_directory(core), RECORD_REVOCATION, append_revoked, reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}
