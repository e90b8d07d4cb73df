/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Network */

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bus/bus-internal.h"
#include "bus/bus-options.h"
#include "bus/bus-signals.h"
#include "bus/object.h"

static bool find(Bus *b, ManagedNetwork *n, const char *name, void **ret) {
        /* Properties are read right after the object was found. */
        b->network = n;
        *ret = b;
        return true;
}

/* The network @call is about. NULL, with @error set, if it went while polkit was asked. */
static ManagedNetwork *network_of(Bus *b, sd_bus_message *call, sd_bus_error *error) {
        const char *rest;
        ManagedNetwork *n = bus_network_of_path(b, sd_bus_message_get_path(call), &rest);

        if (!n)
                (void) sd_bus_error_setf(
                                error, OMERTA_ERROR_NO_SUCH_NETWORK,
                                "this machine is not in the network any more");
        return n;
}

/* The enrolment service of @call's network, after authorisation. Return: 1 with *ret set, 0: the
 * answer of polkit is on its way, negative with @error set. */
static int
gateway_call(Bus *b,
             sd_bus_message *call,
             EnrolService **ret,
             ManagedNetwork **ret_n,
             sd_bus_error *error) {
        ManagedNetwork *n = network_of(b, call, error);
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

static int method_invite(sd_bus_message *call, void *userdata, sd_bus_error *error) {
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

static int method_list_invites(sd_bus_message *call, void *userdata, sd_bus_error *error) {
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

static int method_delete_invite(sd_bus_message *call, void *userdata, sd_bus_error *error) {
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
        return sd_bus_reply_method_return(call, NULL);
}

static void append_pending(void *userdata, const MachineId *machine, const char *name, usec_t since) {
        (void) sd_bus_message_append(userdata, "(sst)", machine_id_format(machine).text, name, since);
}

static int method_list_pending(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = network_of(b, call, error);
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

static int method_approve(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return answer_pending(call, userdata, true, error);
}

static int method_refuse(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return answer_pending(call, userdata, false, error);
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

static int method_revoke(sd_bus_message *call, void *userdata, sd_bus_error *error) {
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

static int method_list_revoked(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        ManagedNetwork *n = network_of(userdata, call, error);
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

/* @userdata: the call, a reference. */
static void on_left(void *userdata, const LeaveResult *result, const ManagerError *error) {
        sd_bus_message *call = userdata;
        int r;

        if (error) {
                g_autofree char *name = g_strconcat(OMERTA_ERROR_PREFIX, error->name, NULL);

                r = sd_bus_reply_method_errorf(call, name, "%s", error->message);
        } else
                r = sd_bus_reply_method_return(
                                call, "bt", (int) result->told, (uint64_t) result->listed_until);
        if (r < 0)
                (void) log_debug_errno(r, "cannot answer a call: %m");
        sd_bus_message_unref(call);
}

static int method_leave(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        int force = 0, r;
        const BusOption table[] = { { "force", "b", &force }, {} };
        ManagedNetwork *n = network_of(b, call, error);
        ManagerError e = {};

        if (!n)
                return -ENOENT;
        r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_NETWORKS, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = managed_network_leave(n, force, on_left, sd_bus_message_ref(call), &e);
        if (r < 0) {
                sd_bus_message_unref(call);
                return bus_set_error(error, &e);
        }
        return 1; /* answered by on_left() */
}

static int
switch_network(sd_bus_message *call,
               Bus *b,
               int (*act)(ManagedNetwork *, ManagerError *),
               sd_bus_error *error) {
        ManagedNetwork *n = network_of(b, call, error);
        ManagerError e = {};
        int r;

        if (!n)
                return -ENOENT;
        r = bus_authorize(b, call, OMERTA_ACTION_CONNECT, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = act(n, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        return sd_bus_reply_method_return(call, NULL);
}

static int method_up(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return switch_network(call, userdata, managed_network_up, error);
}

static int method_down(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return switch_network(call, userdata, managed_network_down, error);
}

static int method_add_forward(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        const char *direction, *listen, *target;
        Bus *b = userdata;
        int persistent = 0, r;
        const BusOption table[] = { { "persistent", "b", &persistent }, {} };
        ManagedNetwork *n = network_of(b, call, error);
        g_autofree char *path = NULL;
        ManagerError e = {};
        Forward *f;

        if (!n)
                return -ENOENT;
        r = sd_bus_message_read(call, "sss", &direction, &listen, &target);
        if (r >= 0)
                r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_FORWARD, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = managed_network_add_forward(n, direction, listen, target, persistent, &f, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        path = bus_forward_path(n, forward_id(f));
        return sd_bus_reply_method_return(call, "o", path);
}

static int method_find_machine(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        ManagedNetwork *n = network_of(userdata, call, error);
        g_autofree char *path = NULL;
        const char *text;
        MachineId id;
        int r;

        if (!n)
                return -ENOENT;
        r = sd_bus_message_read(call, "s", &text);
        if (r >= 0)
                r = bus_find_machine(n, text, &id, error);
        if (r < 0)
                return r;
        path = bus_machine_path(n, &id);
        return sd_bus_reply_method_return(call, "o", path);
}

static int method_get_drops(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        ManagedNetwork *n = network_of(userdata, call, error);
        sd_bus_message *reply = NULL;
        int r;

        if (!n)
                return -ENOENT;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = bus_append_drops(
                                reply, managed_network_core(n)
                                                       ? network_drops(managed_network_core(n))
                                                       : NULL);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

/* --- settings --- */

static int method_set_options(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = network_of(b, call, error);
        NetworkPolicy policy;
        ManagerError e = {};
        int r;

        if (!n)
                return -ENOENT;
        policy = managed_network_policy(n);
        const BusOption table[] = {
                { "max-absence", "t", &policy.max_absence },
                { "grace", "t", &policy.grace },
                {},
        };
        r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_GATEWAY, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = managed_network_set_policy(n, &policy, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        return sd_bus_reply_method_return(call, NULL);
}

static int method_repair_time(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = network_of(b, call, error);
        NetworkRepair done;
        ManagerError e = {};
        int r;

        if (!n)
                return -ENOENT;
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_NETWORKS, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = managed_network_repair_time(n, &done, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        return sd_bus_reply_method_return(call, "uuu", done.certificates, done.leases, done.invites);
}

static int
get_policy(sd_bus *bus,
           const char *path,
           const char *interface,
           const char *property,
           sd_bus_message *reply,
           void *userdata,
           sd_bus_error *error) {
        Bus *b = userdata;
        NetworkPolicy p = managed_network_policy(b->network);

        return sd_bus_message_append(
                        reply, "t", strcmp(property, "Grace") == 0 ? p.grace : p.max_absence);
}

/* Text of a property, newly allocated. */
static char *text_property(ManagedNetwork *n, const char *property) {
        const Membership *m = managed_network_membership(n);
        Network *core = managed_network_core(n);
        Vnet *v = core ? network_vnet(core) : NULL;
        IpAddr a = {};

        if (strcmp(property, "Id") == 0)
                return g_strdup(machine_id_format(&m->id).text);
        if (strcmp(property, "MachineId") == 0)
                return g_strdup(machine_id_format(managed_network_machine_id(n)).text);
        if (strcmp(property, "Name") == 0)
                return g_strdup(m->name);
        if (strcmp(property, "State") == 0)
                return g_strdup(managed_network_state(n));
        if (strcmp(property, "StateReason") == 0)
                return g_strdup(managed_network_reason(n));
        if (strcmp(property, "Interface") == 0)
                return g_strdup(managed_network_interface(n));
        if (strcmp(property, "HostName") == 0)
                return g_strdup(m->host_name);
        if (strcmp(property, "Subnet") == 0)
                return g_strdup(ip_is_set(&m->subnet.addr) ? ip_prefix_format(&m->subnet).text : "");
        if (strcmp(property, "Gateway") == 0)
                return g_strdup(machine_id_is_null(&m->gateway)
                                                ? ""
                                                : machine_id_format(&m->gateway).text);
        if (v && strcmp(property, "Address") == 0)
                a = vnet_local_address(v);
        else if (v && strcmp(property, "Address6") == 0)
                a = vnet_local_address6(v);
        else if (v && strcmp(property, "GatewayAddress") == 0)
                a = vnet_gateway_address(v);
        return g_strdup(ip_is_set(&a) ? ip_format(&a).text : "");
}

static int
get_text(sd_bus *bus,
         const char *path,
         const char *interface,
         const char *property,
         sd_bus_message *reply,
         void *userdata,
         sd_bus_error *error) {
        Bus *b = userdata;
        g_autofree char *text = text_property(b->network, property);

        return sd_bus_message_append(reply, "s", text);
}

static int
get_is_gateway(sd_bus *bus,
               const char *path,
               const char *interface,
               const char *property,
               sd_bus_message *reply,
               void *userdata,
               sd_bus_error *error) {
        Bus *b = userdata;

        return sd_bus_message_append(reply, "b", managed_network_membership(b->network)->is_gateway);
}

static int
get_number(sd_bus *bus,
           const char *path,
           const char *interface,
           const char *property,
           sd_bus_message *reply,
           void *userdata,
           sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = b->network;
        Network *core = managed_network_core(n);
        const Record *certificate;

        if (strcmp(property, "Mtu") == 0)
                return sd_bus_message_append(reply, "u", (uint32_t) managed_network_mtu(n));
        if (strcmp(property, "Members") == 0)
                return sd_bus_message_append(
                                reply, "u",
                                core ? directory_count(network_directory(core), RECORD_CERTIFICATE)
                                     : 0U);
        certificate = core ? directory_certificate(
                                             network_directory(core), managed_network_machine_id(n))
                           : NULL;
        return sd_bus_message_append(
                        reply, "t", certificate ? certificate->body.not_after : UINT64_C(0));
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST
#define ANYBODY SD_BUS_VTABLE_UNPRIVILEGED

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS(
                        "Invite",
                        SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("s", link),
                        method_invite,
                        ANYBODY | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListInvites",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(sttuusb)", invites),
                        method_list_invites,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "DeleteInvite",
                        SD_BUS_ARGS("s", id),
                        SD_BUS_NO_RESULT,
                        method_delete_invite,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListPending",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(sst)", machines),
                        method_list_pending,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "Approve",
                        SD_BUS_ARGS("s", machine),
                        SD_BUS_RESULT("s", id, "s", host_name),
                        method_approve,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "Refuse",
                        SD_BUS_ARGS("s", machine),
                        SD_BUS_RESULT("s", id, "s", host_name),
                        method_refuse,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "Revoke",
                        SD_BUS_ARGS("s", machine, "a{sv}", options),
                        SD_BUS_RESULT("s", id, "s", host_name, "s", invite, "u", uses_left, "t", expires),
                        method_revoke,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListRevoked",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(sst)", machines),
                        method_list_revoked,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "Leave",
                        SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("b", told, "t", listed_until),
                        method_leave,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "SetOptions",
                        SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_NO_RESULT,
                        method_set_options,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "RepairTime",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("u", certificates, "u", leases, "u", invites),
                        method_repair_time,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("Up", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_up, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("Down", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_down, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "AddForward",
                        SD_BUS_ARGS("s", direction, "s", listen, "s", target, "a{sv}", options),
                        SD_BUS_RESULT("o", forward),
                        method_add_forward,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "FindMachine",
                        SD_BUS_ARGS("s", machine),
                        SD_BUS_RESULT("o", path),
                        method_find_machine,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "GetDrops",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a{st}", drops),
                        method_get_drops,
                        ANYBODY),
        SD_BUS_PROPERTY("Id", "s", get_text, 0, CONSTANT),
        SD_BUS_PROPERTY("Name", "s", get_text, 0, CONSTANT),
        SD_BUS_PROPERTY("MachineId", "s", get_text, 0, CONSTANT),
        SD_BUS_PROPERTY("State", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("StateReason", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Interface", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Address", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Address6", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Subnet", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Gateway", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("GatewayAddress", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("IsGateway", "b", get_is_gateway, 0, CHANGES),
        SD_BUS_PROPERTY("HostName", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Mtu", "u", get_number, 0, CHANGES),
        SD_BUS_PROPERTY("Members", "u", get_number, 0, CHANGES),
        SD_BUS_PROPERTY("CertificateExpires", "t", get_number, 0, CHANGES),
        SD_BUS_PROPERTY("MaxAbsence", "t", get_policy, 0, CHANGES),
        SD_BUS_PROPERTY("Grace", "t", get_policy, 0, CHANGES),
        SD_BUS_SIGNAL_WITH_ARGS(
                        "ApprovalRequested",
                        SD_BUS_ARGS("s", machine, "s", host_name, "b", pending),
                        0),
        SD_BUS_VTABLE_END,
};

static void enumerate(ManagedNetwork *n, unsigned max, GPtrArray *paths) {
        g_ptr_array_add(paths, bus_network_path(n));
}

const BusKind bus_kind_network = {
        .part = NULL,
        .interface = OMERTA_IFACE_NETWORK,
        .vtable = vtable,
        .find = find,
        .enumerate = enumerate,
};
