/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Network */

#include <string.h>

#include "base/log.h"
#include "bus/bus-use-exit.h"
#include "bus/bus-internal.h"
#include "bus/bus-net-check.h"
#include "bus/bus-network.h"
#include "bus/bus-offer.h"
#include "bus/bus-options.h"
#include "bus/bus-signals.h"
#include "bus/object.h"
#include "network/admin.h"

static bool find(Bus *b, ManagedNetwork *n, const char *name, void **ret) {
        /* Properties are read right after the object was found. */
        b->network = n;
        *ret = b;
        return true;
}

ManagedNetwork *bus_find_network_by_id(const Bus *b, const NetworkId *id) {
        for (unsigned i = 0; i < manager_n_networks(b->manager); i++) {
                ManagedNetwork *n = manager_network(b->manager, i);

                if (machine_id_equal(&managed_network_membership(n)->id, id))
                        return n;
        }
        return NULL;
}

ManagedNetwork *bus_network_of_call(Bus *b, sd_bus_message *call, sd_bus_error *error) {
        const char *rest;
        ManagedNetwork *n = bus_network_of_path(b, sd_bus_message_get_path(call), &rest);

        if (!n)
                (void) sd_bus_error_setf(
                                error, OMERTA_ERROR_NO_SUCH_NETWORK,
                                "this machine is not in the network any more");
        return n;
}

/* @userdata: the call, a reference. */
static void on_left(void *userdata, const LeaveResult *result, const ManagerError *error) {
        sd_bus_message *call = userdata;
        int r;

        if (error)
                r = sd_bus_reply_method_errorf(call, bus_error_name(error), "%s", error->message);
        else
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
        ManagedNetwork *n = bus_network_of_call(b, call, error);
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
        ManagedNetwork *n = bus_network_of_call(b, call, error);
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
        ManagedNetwork *n = bus_network_of_call(b, call, error);
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
        ManagedNetwork *n = bus_network_of_call(userdata, call, error);
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
        ManagedNetwork *n = bus_network_of_call(userdata, call, error);
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

typedef struct Settings {
        NetworkPolicy policy, before;
        uint32_t mtu; /* UINT32_MAX: not given */
        int lan;      /* -1: not given */
        const char *name;
        char **endpoints; /* NULL: not given */
} Settings;

/* A call is done whole or not at all: what is this machine's is not mixed with what is the
 * network's, nor with each other. */
static int check_settings(const Settings *s, sd_bus_error *error) {
        bool policy = s->policy.max_absence != s->before.max_absence ||
                      s->policy.grace != s->before.grace;

        if ((s->mtu != UINT32_MAX) + (s->lan >= 0) + (s->name != NULL) + (s->endpoints != NULL) +
                            policy <=
            1)
                return 0;
        return sd_bus_error_set(
                        error, OMERTA_ERROR_INVALID_ARGUMENT,
                        "mtu, lan-discovery, name and endpoints are set for this machine, the others "
                        "for the network: set each of them alone");
}

static int method_set_options(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = bus_network_of_call(b, call, error);
        Settings s = { .mtu = UINT32_MAX, .lan = -1 };
        HostPort names[GATEWAY_NAMES_MAX];
        g_auto(GStrv) endpoints = NULL;
        unsigned n_names;
        ManagerError e = {};
        int r;

        if (!n)
                return -ENOENT;
        s.policy = s.before = managed_network_policy(n);
        const BusOption table[] = {
                { "max-absence", "t", &s.policy.max_absence },
                { "grace", "t", &s.policy.grace },
                { "mtu", "u", &s.mtu },
                { "name", "s", &s.name },
                { "lan-discovery", "b", &s.lan },
                { "endpoints", "as", &endpoints },
                {},
        };
        r = bus_read_options(call, table, error);
        s.endpoints = endpoints;
        if (r >= 0)
                r = check_settings(&s, error);
        if (r >= 0)
                r = bus_read_names(s.endpoints, names, error);
        if (r < 0)
                return r;
        n_names = (unsigned) r;
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_GATEWAY, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        if (s.lan >= 0)
                r = managed_network_set_lan_discovery(n, s.lan, &e);
        else if (s.name)
                r = managed_network_set_name(n, s.name, &e);
        else if (s.endpoints)
                r = managed_network_set_names(n, names, n_names, &e);
        else
                r = s.mtu != UINT32_MAX ? managed_network_set_mtu(n, s.mtu, &e)
                                        : managed_network_set_policy(n, &s.policy, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        return sd_bus_reply_method_return(call, NULL);
}

static int method_repair_time(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = bus_network_of_call(b, call, error);
        g_autofree char *path = NULL;
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
        path = bus_network_path(n);
        bus_signals_touch(b->signals, path); /* invites */
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

static int
get_path(sd_bus *bus,
         const char *path,
         const char *interface,
         const char *property,
         sd_bus_message *reply,
         void *userdata,
         sd_bus_error *error) {
        ManagedNetwork *n = ((Bus *) userdata)->network;
        g_autofree char *p = bus_member_path(n, &managed_network_membership(n)->gateway);

        return sd_bus_message_append(reply, "o", p);
}

static int
get_count(sd_bus *bus,
          const char *path,
          const char *interface,
          const char *property,
          sd_bus_message *reply,
          void *userdata,
          sd_bus_error *error) {
        ManagedNetwork *n = ((Bus *) userdata)->network;

        return sd_bus_message_append(
                        reply, "u",
                        (uint32_t) (strcmp(property, "Invites") == 0
                                                    ? managed_network_count_invites(n)
                                                    : managed_network_count_pending(n)));
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
        else if (v && strcmp(property, "Address6") == 0 && managed_network_has_ipv6(n))
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

static int get_lan_discovery(
                sd_bus *bus,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *error) {
        Bus *b = userdata;

        return sd_bus_message_append(reply, "b", managed_network_lan_discovery(b->network));
}

static int get_addresses_held(
                sd_bus *bus,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *error) {
        Bus *b = userdata;

        return sd_bus_message_append(reply, "b", managed_network_addresses_held(b->network));
}

static int
get_endpoints(sd_bus *bus,
              const char *path,
              const char *interface,
              const char *property,
              sd_bus_message *reply,
              void *userdata,
              sd_bus_error *error) {
        Bus *b = userdata;
        const HostPort *names;
        unsigned n = managed_network_names(b->network, &names);
        int r = sd_bus_message_open_container(reply, 'a', "s");

        for (unsigned i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(reply, "s", host_port_format(&names[i]).text);
        return r < 0 ? r : sd_bus_message_close_container(reply);
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
        if (strcmp(property, "LanMachines") == 0)
                return sd_bus_message_append(reply, "u", (uint32_t) managed_network_lan_machines(n));
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
                        bus_network_invite,
                        ANYBODY | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListInvites",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(sttuusb)", invites),
                        bus_network_list_invites,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "DeleteInvite",
                        SD_BUS_ARGS("s", id),
                        SD_BUS_NO_RESULT,
                        bus_network_delete_invite,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListPending",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(sst)", machines),
                        bus_network_list_pending,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "Approve",
                        SD_BUS_ARGS("s", machine),
                        SD_BUS_RESULT("s", id, "s", host_name),
                        bus_network_approve,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "Refuse",
                        SD_BUS_ARGS("s", machine),
                        SD_BUS_RESULT("s", id, "s", host_name),
                        bus_network_refuse,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "Rename",
                        SD_BUS_ARGS("s", machine, "s", name),
                        SD_BUS_RESULT("s", id, "s", old_name),
                        bus_network_rename,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "Revoke",
                        SD_BUS_ARGS("s", machine, "a{sv}", options),
                        SD_BUS_RESULT("s", id, "s", host_name, "s", invite, "u", uses_left, "t", expires),
                        bus_network_revoke,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListRevoked",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(sst)", machines),
                        bus_network_list_revoked,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListRefused",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(sstt)", machines),
                        bus_network_list_refused,
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
        SD_BUS_METHOD_WITH_ARGS(
                        "HoldAddresses",
                        SD_BUS_ARGS("b", hold),
                        SD_BUS_NO_RESULT,
                        bus_network_hold_addresses,
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
                        "NetCheck",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a{sv}", found),
                        bus_network_net_check,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS("Offer", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", line), bus_network_offer, ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "UseExit",
                        SD_BUS_ARGS("s", machines, "a{sv}", options),
                        SD_BUS_NO_RESULT,
                        bus_network_use_exit,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "AppointExit",
                        SD_BUS_ARGS("s", machine, "b", appointed),
                        SD_BUS_RESULT("s", id, "s", host_name),
                        bus_network_appoint_exit,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "FindMachine",
                        SD_BUS_ARGS("s", machine),
                        SD_BUS_RESULT("o", path),
                        method_find_machine,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "WatchCounters",
                        SD_BUS_ARGS("u", interval_ms),
                        SD_BUS_NO_RESULT,
                        bus_network_watch_counters,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "GetDrops",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a{st}", drops),
                        method_get_drops,
                        ANYBODY),
        SD_BUS_PROPERTY("Id", "s", get_text, 0, CONSTANT),
        SD_BUS_PROPERTY("Name", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("MachineId", "s", get_text, 0, CONSTANT),
        SD_BUS_PROPERTY("State", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("StateReason", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Interface", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Address", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Address6", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Subnet", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("AddressesHeld", "b", get_addresses_held, 0, CHANGES),
        SD_BUS_PROPERTY("Gateway", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("GatewayAddress", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("GatewayPath", "o", get_path, 0, CHANGES),
        SD_BUS_PROPERTY("IsGateway", "b", get_is_gateway, 0, CHANGES),
        SD_BUS_PROPERTY("HostName", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Mtu", "u", get_number, 0, CHANGES),
        SD_BUS_PROPERTY("LanDiscovery", "b", get_lan_discovery, 0, CHANGES),
        SD_BUS_PROPERTY("Endpoints", "as", get_endpoints, 0, CHANGES),
        SD_BUS_PROPERTY("LanMachines", "u", get_number, 0, 0),
        SD_BUS_PROPERTY("ExitWanted", "s", bus_network_get_exit, 0, CHANGES),
        SD_BUS_PROPERTY("Exit", "s", bus_network_get_exit, 0, CHANGES),
        SD_BUS_PROPERTY("ExitState", "s", bus_network_get_exit, 0, CHANGES),
        SD_BUS_PROPERTY("ExitReason", "s", bus_network_get_exit, 0, CHANGES),
        SD_BUS_PROPERTY("ExitLan", "b", bus_network_get_exit, 0, CHANGES),
        SD_BUS_PROPERTY("Members", "u", get_number, 0, CHANGES),
        SD_BUS_PROPERTY("Pending", "u", get_count, 0, CHANGES),
        SD_BUS_PROPERTY("Invites", "u", get_count, 0, CHANGES),
        SD_BUS_PROPERTY("CertificateExpires", "t", get_number, 0, CHANGES),
        SD_BUS_PROPERTY("MaxAbsence", "t", get_policy, 0, CHANGES),
        SD_BUS_PROPERTY("Grace", "t", get_policy, 0, CHANGES),
        SD_BUS_SIGNAL("InvitesChanged", "", 0),
        SD_BUS_SIGNAL_WITH_ARGS("Counters", SD_BUS_ARGS("a(sttttt)", machines), 0),
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
        .beside = &bus_kind_gateway,
        .part = NULL,
        .interface = OMERTA_IFACE_NETWORK,
        .vtable = vtable,
        .find = find,
        .enumerate = enumerate,
};
