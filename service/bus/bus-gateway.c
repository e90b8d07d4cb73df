/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Gateway, on the objects of networks */

#include <string.h>

#include "bus/bus-internal.h"
#include "bus/bus-network.h"
#include "bus/object.h"
#include "network/gateway.h"

/* The network, and what @types says of the arguments. Return: 1, 0: polkit is asked, or negative with
 * @error set. */
static int begin(Bus *b, sd_bus_message *call, ManagedNetwork **ret, sd_bus_error *error) {
        int r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_GATEWAY, error);

        if (r <= 0)
                return r;
        *ret = bus_network_of_call(b, call, error);
        return *ret ? 1 : -ENOENT;
}

static int finish(sd_bus_message *call, int r, ManagerError *e, sd_bus_error *error) {
        return r < 0 ? bus_set_error(error, e) : sd_bus_reply_method_return(call, NULL);
}

static int method_set_enabled(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        ManagedNetwork *n;
        ManagerError e = {};
        int on, r;

        r = begin(userdata, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_read(call, "b", &on);
        return r < 0 ? r : finish(call, managed_network_set_exit(n, on, &e), &e, error);
}

static int method_set_access(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        ManagedNetwork *n;
        ManagerError e = {};
        const char *who;
        int allowed, r;

        r = begin(userdata, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_read(call, "sb", &who, &allowed);
        return r < 0 ? r : finish(call, managed_network_allow_exit(n, who, allowed, &e), &e, error);
}

static int method_set_lan(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        const char *prefix, *who;
        ManagedNetwork *n;
        ManagerError e = {};
        int granted, r;

        r = begin(userdata, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = sd_bus_message_read(call, "ssb", &prefix, &who, &granted);
        return r < 0 ? r
                     : finish(call, managed_network_grant_lan(n, prefix, who, granted, &e), &e,
                              error);
}

/* --- lists --- */

typedef struct MemberWriter {
        sd_bus_message *reply;
        int r;
} MemberWriter;

static void append_member(void *userdata, const ExitMemberInfo *m) {
        MemberWriter *w = userdata;

        if (w->r >= 0)
                w->r = sd_bus_message_append(
                                w->reply, "(ssbtttt)", machine_id_format(&m->machine).text, m->name,
                                (int) m->allowed, m->usage.packets_out, m->usage.bytes_out,
                                m->usage.packets_in, m->usage.bytes_in);
}

static int method_list_members(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        ManagedNetwork *n = bus_network_of_call(userdata, call, error);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        MemberWriter w = {};
        int r;

        if (!n)
                return -ENOENT;
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(ssbtttt)");
        if (r < 0)
                return r;
        w.reply = reply;
        managed_network_foreach_exit_member(n, append_member, &w);
        r = w.r < 0 ? w.r : sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* Whose address it is; "": a member's no more. */
static const char *name_of(ManagedNetwork *n, const IpAddr *a, char ret[static HOST_NAME_MAX_LEN + 1]) {
        Network *core = bus_network_members(n);
        const Record *c;
        MachineId id;

        ret[0] = '\0';
        if (!core || !vnet_lookup_machine(network_vnet(core), a, &id))
                return ret;
        c = directory_certificate(network_directory(core), &id);
        if (c)
                g_strlcpy(ret, c->body.certificate.name, HOST_NAME_MAX_LEN + 1);
        return ret;
}

static int append_flows(sd_bus_message *reply, ManagedNetwork *n, const GArray *flows) {
        char name[HOST_NAME_MAX_LEN + 1];
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sysqsqbutt)");
        for (unsigned i = 0; r >= 0 && i < flows->len; i++) {
                const ConntrackFlow *f = &g_array_index(flows, ConntrackFlow, i);

                r = sd_bus_message_append(
                                reply, "(sysqsqbutt)", name_of(n, &f->source, name), f->protocol,
                                ip_format(&f->source).text, f->source_port,
                                ip_format(&f->destination).text, f->destination_port,
                                (int) f->is_answered, f->timeout, f->bytes_out, f->bytes_in);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* Where members go is not everybody's to see. */
static int method_list_flows(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        g_autoptr(GArray) flows = NULL;
        ManagedNetwork *n;
        ManagerError e = {};
        int r, sum;

        r = begin(userdata, call, &n, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        sum = managed_network_list_exit_flows(n, &flows, &e);
        if (sum < 0)
                return bus_set_error(error, &e);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = append_flows(reply, n, flows);
        if (r >= 0)
                r = sd_bus_message_append(reply, "u", (uint32_t) sum);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

/* --- properties --- */

static int
get_enabled(sd_bus *bus,
            const char *path,
            const char *interface,
            const char *property,
            sd_bus_message *reply,
            void *userdata,
            sd_bus_error *error) {
        Bus *b = userdata;

        return sd_bus_message_append(reply, "b", managed_network_exit_is_on(b->network));
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

        return sd_bus_message_append(
                        reply, "s",
                        strcmp(property, "State") == 0 ? managed_network_exit_state(b->network)
                                                       : managed_network_exit_reason(b->network));
}

static int
get_families(sd_bus *bus,
             const char *path,
             const char *interface,
             const char *property,
             sd_bus_message *reply,
             void *userdata,
             sd_bus_error *error) {
        Bus *b = userdata;
        int r = sd_bus_message_open_container(reply, 'a', "s");

        if (r >= 0 && managed_network_exit_has(b->network, AF_INET))
                r = sd_bus_message_append_basic(reply, 's', "ipv4");
        if (r >= 0 && managed_network_exit_has(b->network, AF_INET6))
                r = sd_bus_message_append_basic(reply, 's', "ipv6");
        return r < 0 ? r : sd_bus_message_close_container(reply);
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
        g_autofree char *text = exit_policy_format(managed_network_exit_policy(b->network));
        g_auto(GStrv) lines = g_strsplit(g_strchomp(text), "\n", -1);

        return sd_bus_message_append_strv(reply, lines);
}

static int
get_count(sd_bus *bus,
          const char *path,
          const char *interface,
          const char *property,
          sd_bus_message *reply,
          void *userdata,
          sd_bus_error *error) {
        Bus *b = userdata;
        uint64_t refused, too_many;

        managed_network_exit_counters(b->network, &refused, &too_many);
        return sd_bus_message_append(
                        reply, "t", strcmp(property, "Refused") == 0 ? refused : too_many);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define ANYBODY SD_BUS_VTABLE_UNPRIVILEGED

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS(
                        "SetEnabled",
                        SD_BUS_ARGS("b", enabled),
                        SD_BUS_NO_RESULT,
                        method_set_enabled,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "SetAccess",
                        SD_BUS_ARGS("s", who, "b", allowed),
                        SD_BUS_NO_RESULT,
                        method_set_access,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "SetLan",
                        SD_BUS_ARGS("s", prefix, "s", who, "b", granted),
                        SD_BUS_NO_RESULT,
                        method_set_lan,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListMembers",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(ssbtttt)", members),
                        method_list_members,
                        ANYBODY),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListFlows",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a(sysqsqbutt)", flows, "u", total),
                        method_list_flows,
                        ANYBODY),
        SD_BUS_PROPERTY("Enabled", "b", get_enabled, 0, CHANGES),
        SD_BUS_PROPERTY("State", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Reason", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Families", "as", get_families, 0, CHANGES),
        SD_BUS_PROPERTY("Policy", "as", get_policy, 0, CHANGES),
        SD_BUS_PROPERTY("Refused", "t", get_count, 0, 0),
        SD_BUS_PROPERTY("TooMany", "t", get_count, 0, 0),
        SD_BUS_VTABLE_END,
};

/* Found and listed as what it is beside. */
const BusKind bus_kind_gateway = {
        .interface = OMERTA_IFACE_GATEWAY,
        .vtable = vtable,
};
