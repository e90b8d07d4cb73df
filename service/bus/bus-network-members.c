/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Network: who may be in it. Invites, approvals, revocations. */

#include "bus/bus-network.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bus/bus-options.h"
#include "bus/bus-signals.h"
#include "bus/object.h"

/* Its invites changed, of which the manager does not tell. */
static void touch(Bus *b, ManagedNetwork *n) {
        g_autofree char *path = bus_network_path(n);

        bus_signals_touch(b->signals, path);
}

/* The enrolment service of @call's network, after authorisation. Return: 1 with *ret set, 0: the
 * answer of polkit is on its way, negative with @error set. */
static int
gateway_call(Bus *b,
             sd_bus_message *call,
             EnrolService **ret,
             ManagedNetwork **ret_n,
             sd_bus_error *error) {
        ManagedNetwork *n = bus_network_of_call(b, call, error);
        int r;

        if (!n)
                return -ENOENT;
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_GATEWAY, error);
        if (r <= 0)
                return r;
        *ret_n = n;
        *ret = managed_network_core(n) ? network_enrol_service(managed_network_core(n)) : NULL;
        if (!*ret)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NOT_GATEWAY,
                                managed_network_core(n) ? "only the gateway of the network can do "
                                                          "this"
                                                        : "the network is down: 'omerta up' "
                                                          "first");
        return 1;
}

/* For the journal: who did what to whom. Names of users are not looked up: that may take long. */
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

/* So many characters of an id name a machine whose membership is decided on: fewer are a slip. */
#define ID_PREFIX_MIN 4U

static int check_prefix(const char *text, const MachineId *id, const char *name, sd_bus_error *error) {
        if (strlen(text) >= ID_PREFIX_MIN || g_ascii_strcasecmp(text, name) == 0 ||
            !machine_id_has_prefix(id, text))
                return 0;
        return sd_bus_error_setf(
                        error, OMERTA_ERROR_INVALID_ARGUMENT,
                        "'%s' is too little of an id: give at least %u characters, or the host name",
                        text, ID_PREFIX_MIN);
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
        InviteOptions options = {};
        Endpoint endpoints[ENDPOINTS_MAX];
        g_auto(GStrv) texts = NULL;
        g_autofree char *link = NULL;
        int approval = 0, r;
        const BusOption table[] = {
                { "uses", "u", &options.uses },      { "lifetime", "t", &options.lifetime },
                { "host-name", "s", &options.name }, { "approval", "b", &approval },
                { "endpoints", "as", &texts },       {},
        };
        ManagerError e = {};
        EnrolService *s;
        ManagedNetwork *n;

        r = bus_read_options(call, table, error);
        if (r >= 0)
                r = read_endpoints(texts, endpoints, &options.n_endpoints, error);
        if (r < 0)
                return r;
        if (options.name && !host_name_is_valid(options.name))
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT, "'%s' is no host name",
                                options.name);
        r = gateway_call(b, call, &s, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        options.needs_approval = approval;
        options.endpoints = endpoints;
        r = managed_network_invite(n, &options, &link, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        touch(b, n);
        return sd_bus_reply_method_return(call, "s", link);
}

static void append_invite(void *userdata, const StoredInvite *i) {
        sd_bus_message *reply = userdata;
        char id[2 * INVITE_ID_SIZE + 1];

        format_invite_id(i->id, id);
        (void) sd_bus_message_append(
                        reply, "(sttuusb)", id, i->created, i->not_after, i->uses, i->uses_max,
                        i->name, (int) i->needs_approval);
}

int bus_network_list_invites(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        sd_bus_message *reply = NULL;
        EnrolService *s;
        ManagedNetwork *n;
        int r;

        r = gateway_call(userdata, call, &s, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sttuusb)");
        if (r >= 0) {
                enrol_service_foreach_invite(s, append_invite, reply);
                r = sd_bus_message_close_container(reply);
        }
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

int bus_network_delete_invite(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        uint8_t id[INVITE_ID_SIZE];
        EnrolService *s;
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
        r = gateway_call(userdata, call, &s, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = enrol_service_delete_invite(s, id);
        if (r == -ENOENT)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NO_SUCH_INVITE,
                                "there is no such invite (any more)");
        if (r < 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_FAILED, "cannot delete it: %s", g_strerror(-r));
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
        EnrolService *s;
        int r;

        if (!n)
                return -ENOENT;
        s = managed_network_core(n) ? network_enrol_service(managed_network_core(n)) : NULL;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sst)");
        if (r >= 0 && s)
                enrol_service_foreach_pending(s, append_pending, reply);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

typedef struct FindPending {
        const char *text;
        MachineId id;
        char name[HOST_NAME_MAX_LEN + 1];
        unsigned n;
} FindPending;

static void match_pending(void *userdata, const MachineId *machine, const char *name, usec_t since) {
        FindPending *f = userdata;

        if (machine_id_has_prefix(machine, f->text) || g_ascii_strcasecmp(name, f->text) == 0) {
                f->id = *machine;
                g_strlcpy(f->name, name, sizeof f->name);
                f->n++;
        }
}

/* For what is not signed because our clock cannot be right. */
static int clock_error(const ManagedNetwork *n, sd_bus_error *error) {
        ManagerError e = {};

        (void) managed_network_fail_clock(n, &e);
        return bus_set_error(error, &e);
}

static int answer_pending(sd_bus_message *call, Bus *b, bool approve, sd_bus_error *error) {
        FindPending f = {};
        const Record *certificate;
        const char *name;
        MachineIdText id;
        EnrolService *s;
        ManagedNetwork *n;
        int r;

        r = sd_bus_message_read(call, "s", &f.text);
        if (r < 0)
                return r;
        r = gateway_call(b, call, &s, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        enrol_service_foreach_pending(s, match_pending, &f);
        if (f.n == 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NO_SUCH_MACHINE,
                                "no machine '%s' waits for an approval", f.text);
        if (f.n > 1)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_AMBIGUOUS, "several machines match '%s'", f.text);
        r = check_prefix(f.text, &f.id, f.name, error);
        if (r < 0)
                return r;
        r = approve ? enrol_service_approve(s, &f.id) : enrol_service_refuse(s, &f.id);
        if (r == -EDQUOT)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_LIMIT_REACHED,
                                "its link has let in as many as it was made for: make another with "
                                "more --uses");
        if (r == -ETIME)
                return clock_error(n, error);
        if (r < 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_FAILED, "cannot do it: %s", g_strerror(-r));
        id = machine_id_format(&f.id);
        /* The name it has now may not be the one it asked for. */
        certificate = directory_certificate(network_directory(managed_network_core(n)), &f.id);
        name = certificate ? certificate->body.certificate.name : f.name;
        log_act(call, n, approve ? "let in" : "refused", name, id.text);
        return sd_bus_reply_method_return(call, "ss", id.text, name);
}

int bus_network_approve(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return answer_pending(call, userdata, true, error);
}

int bus_network_refuse(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return answer_pending(call, userdata, false, error);
}

static int rename_error(const ManagedNetwork *n, int r, const char *name, sd_bus_error *error) {
        switch (r) {
        case -EINVAL:
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT,
                                "'%s' is no name of a machine: up to 63 lower case letters, digits, and "
                                "hyphens inside",
                                name);
        case -EEXIST:
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NAME_TAKEN,
                                "another machine of the network is called '%s'", name);
        case -EPERM:
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NOT_PERMITTED,
                                "the gateway cannot rename itself: the network's root named it");
        case -ETIME:
                return clock_error(n, error);
        default:
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_FAILED, "cannot rename it: %s", g_strerror(-r));
        }
}

int bus_network_rename(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        g_autofree char *old = NULL, *what = NULL;
        const Record *certificate;
        const char *text, *name;
        MachineIdText id_text;
        EnrolService *s;
        ManagedNetwork *n;
        MachineId id;
        int r;

        r = sd_bus_message_read(call, "ss", &text, &name);
        if (r < 0)
                return r;
        r = gateway_call(userdata, call, &s, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = bus_find_machine(n, text, &id, error);
        if (r < 0)
                return r;
        certificate = directory_certificate(network_directory(managed_network_core(n)), &id);
        old = g_strdup(certificate ? certificate->body.certificate.name : "");
        r = check_prefix(text, &id, old, error);
        if (r < 0)
                return r;
        r = network_rename(managed_network_core(n), &id, name);
        if (r < 0)
                return rename_error(n, r, name, error);
        id_text = machine_id_format(&id);
        what = g_strdup_printf("gave the name '%s' to", name);
        log_act(call, n, what, old, id_text.text);
        return sd_bus_reply_method_return(call, "ss", id_text.text, old);
}

/* Ends it. Return: 0, or negative with @error set. */
static int
end_membership(EnrolService *s,
               ManagedNetwork *n,
               const char *text,
               MachineId *ret,
               char **ret_name,
               sd_bus_error *error) {
        const Record *certificate;
        int r;

        r = bus_find_machine(n, text, ret, error);
        if (r < 0)
                return r;
        certificate = directory_certificate(network_directory(managed_network_core(n)), ret);
        *ret_name = g_strdup(certificate ? certificate->body.certificate.name : "");
        r = check_prefix(text, ret, *ret_name, error);
        if (r < 0)
                return r;
        r = enrol_service_revoke(s, ret, REVOCATION_REMOVED);
        if (r == -EPERM)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NOT_PERMITTED,
                                "the gateway cannot revoke itself");
        if (r < 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_FAILED, "cannot revoke it: %s", g_strerror(-r));
        return 0;
}

int bus_network_revoke(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        char invite_id[2 * INVITE_ID_SIZE + 1] = "";
        g_autofree char *name = NULL;
        StoredInvite invite = {};
        int withdraw = 0, r;
        const BusOption table[] = { { "withdraw-invite", "b", &withdraw }, {} };
        EnrolService *s;
        ManagedNetwork *n;
        MachineIdText id_text;
        const char *text;
        MachineId id;
        uint32_t left;

        r = sd_bus_message_read(call, "s", &text);
        if (r >= 0)
                r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        r = gateway_call(userdata, call, &s, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = end_membership(s, n, text, &id, &name, error);
        if (r < 0)
                return r;
        id_text = machine_id_format(&id);
        log_act(call, n, "revoked", name, id_text.text);
        if (enrol_service_open_invite_of(s, &id, &invite))
                format_invite_id(invite.id, invite_id);
        left = invite.uses_max - invite.uses;
        if (withdraw && invite_id[0] && enrol_service_delete_invite(s, invite.id) >= 0) {
                log_act(call, n, "withdrew the invite", "", invite_id);
                touch(userdata, n);
                left = 0;
        }
        return sd_bus_reply_method_return(
                        call, "sssut", id_text.text, name, invite_id, left,
                        (uint64_t) invite.not_after);
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
