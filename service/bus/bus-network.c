/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Network */

#include <stdio.h>
#include <string.h>

#include "bus/bus-internal.h"
#include "bus/bus-options.h"

static int find(sd_bus *bus,
                const char *path,
                const char *interface,
                void *userdata,
                void **ret_found,
                sd_bus_error *error) {
        const char *rest;
        ManagedNetwork *n = bus_network_of_path(userdata, path, &rest);

        if (!n || *rest)
                return 0;
        /* Properties are read right after the object was found. */
        ((Bus *) userdata)->network = n;
        *ret_found = userdata;
        return 1;
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

        for (unsigned k = 0; k < INVITE_ID_SIZE; k++)
                snprintf(id + 2 * k, 3, "%02x", i->id[k]);
        (void) sd_bus_message_append(
                        reply, "(sttuus)", id, i->created, i->not_after, i->uses, i->uses_max,
                        i->name);
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
                r = sd_bus_message_open_container(reply, 'a', "(sttuus)");
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
        unsigned n;
} FindPending;

static void match_pending(void *userdata, const MachineId *machine, const char *name, usec_t since) {
        FindPending *f = userdata;

        if (machine_id_has_prefix(machine, f->text) || g_ascii_strcasecmp(name, f->text) == 0) {
                f->id = *machine;
                f->n++;
        }
}

static int answer_pending(sd_bus_message *call, Bus *b, bool approve, sd_bus_error *error) {
        FindPending f = {};
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
        r = approve ? enrol_service_approve(s, &f.id) : enrol_service_refuse(s, &f.id);
        if (r < 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_FAILED, "cannot do it: %s", g_strerror(-r));
        return sd_bus_reply_method_return(call, NULL);
}

static int method_approve(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return answer_pending(call, userdata, true, error);
}

static int method_refuse(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return answer_pending(call, userdata, false, error);
}

static int method_revoke(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        EnrolService *s;
        ManagedNetwork *n;
        const char *text;
        MachineId id;
        int r;

        r = sd_bus_message_read(call, "s", &text);
        if (r < 0)
                return r;
        r = gateway_call(userdata, call, &s, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = bus_find_machine(n, text, &id, error);
        if (r < 0)
                return r;
        r = enrol_service_revoke(s, &id, REVOCATION_REMOVED);
        if (r == -EPERM)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NOT_PERMITTED,
                                "the gateway cannot revoke itself");
        if (r < 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_FAILED, "cannot revoke it: %s", g_strerror(-r));
        return sd_bus_reply_method_return(call, NULL);
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
        r = managed_network_leave(n, force, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        return sd_bus_reply_method_return(call, NULL);
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

/* Text of a property, newly allocated. */
static char *text_property(ManagedNetwork *n, const char *property) {
        const Membership *m = managed_network_membership(n);
        Network *core = managed_network_core(n);
        Vnet *v = core ? network_vnet(core) : NULL;
        IpAddr a = {};

        if (strcmp(property, "Id") == 0)
                return g_strdup(machine_id_format(&m->id).text);
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
                                             network_directory(core), manager_machine_id(b->manager))
                           : NULL;
        return sd_bus_message_append(
                        reply, "t", certificate ? certificate->body.not_after : UINT64_C(0));
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST
#define ANYBODY SD_BUS_VTABLE_UNPRIVILEGED

const sd_bus_vtable bus_network_vtable[] = {
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
                        SD_BUS_RESULT("a(sttuus)", invites),
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
                        SD_BUS_NO_RESULT,
                        method_approve,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("Refuse", SD_BUS_ARGS("s", machine), SD_BUS_NO_RESULT, method_refuse, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("Revoke", SD_BUS_ARGS("s", machine), SD_BUS_NO_RESULT, method_revoke, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "Leave",
                        SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_NO_RESULT,
                        method_leave,
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
        SD_BUS_SIGNAL_WITH_ARGS(
                        "ApprovalRequested",
                        SD_BUS_ARGS("s", machine, "s", host_name, "b", pending),
                        0),
        SD_BUS_VTABLE_END,
};

int bus_add_network(Bus *b) {
        return sd_bus_add_fallback_vtable(
                        b->bus, NULL, OMERTA_NETWORK_PATH, OMERTA_IFACE_NETWORK, bus_network_vtable,
                        find, b);
}
