/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Machine */

#include <string.h>

#include "bus/bus-internal.h"
#include "bus/bus-machine-paths.h"
#include "bus/object.h"
#include "core/crypto/kdf.h"

static bool find(Bus *b, ManagedNetwork *n, const char *name, void **ret) {
        Network *core = bus_network_members(n);
        Record *certificate;
        MachineId id;

        if (!core || machine_id_parse(name, &id) < 0)
                return false;
        certificate = directory_certificate(network_directory(core), &id);
        if (!certificate)
                return false;
        b->machine = (MachineRef){ b, n, id, certificate };
        *ret = &b->machine;
        return true;
}

static bool is_self(const MachineRef *m) {
        return machine_id_equal(&m->id, managed_network_machine_id(m->network));
}

static bool link_of(const MachineRef *m, MeshLinkInfo *ret) {
        return mesh_link_info(network_mesh(managed_network_core(m->network)), &m->id, ret);
}

static const char *link_state_text(const MachineRef *m) {
        MeshLinkInfo info;

        if (is_self(m))
                return "self";
        if (!link_of(m, &info))
                return "down";
        switch (info.state) {
        case LINK_DOWN:
                return "down";
        case LINK_CONNECTING:
                return "connecting";
        case LINK_UP:
                return "up";
        }
        return "down";
}

static char *text_property(const MachineRef *m, const char *property) {
        Network *core = managed_network_core(m->network);
        Directory *d = network_directory(core);
        const RecordBody *c = &m->certificate->body;
        const Record *presence;
        MeshLinkInfo info = {};
        IpAddr a = {};

        if (strcmp(property, "Id") == 0)
                return g_strdup(machine_id_format(&m->id).text);
        if (strcmp(property, "HostName") == 0)
                return g_strdup(c->certificate.name);
        if (strcmp(property, "Owner") == 0)
                return g_strdup(c->certificate.owner);
        if (strcmp(property, "LinkState") == 0)
                return g_strdup(link_state_text(m));
        if (strcmp(property, "Software") == 0) {
                presence = directory_get(d, RECORD_PRESENCE, &m->id);
                return g_strdup(presence ? presence->body.presence.software : "");
        }
        if (strcmp(property, "Address") == 0) {
                if (network_vnet(core))
                        (void) vnet_lookup_address(network_vnet(core), &m->id, &a);
                return g_strdup(ip_is_set(&a) ? ip_format(&a).text : "");
        }
        if (strcmp(property, "Address6") == 0) {
                a = ula_address(&managed_network_membership(m->network)->id, &m->id);
                return g_strdup(ip_format(&a).text);
        }
        if (strcmp(property, "Translation") == 0 && is_self(m))
                return g_strdup(mesh_nat_info(network_mesh(core), AF_INET).translation);
        if (!link_of(m, &info) || info.state != LINK_UP)
                return g_strdup("");
        if (strcmp(property, "Translation") == 0)
                return g_strdup(info.translation);
        if (strcmp(property, "WhyRelayed") == 0) {
                const char *why = mesh_why_relayed(network_mesh(core), &m->id);

                return g_strdup(why ? why : "");
        }
        if (strcmp(property, "Path") == 0)
                return g_strdup(info.is_relayed ? "relay" : info.is_stream ? "tcp" : "direct");
        if (strcmp(property, "Relay") == 0)
                return g_strdup(machine_id_equal(&info.relay, &(MachineId){})
                                                ? ""
                                                : machine_id_format(&info.relay).text);
        if (strcmp(property, "Cipher") == 0)
                return g_strdup(cipher_to_string(info.cipher));
        return g_strdup(endpoint_is_set(&info.endpoint) ? endpoint_format(&info.endpoint).text : "");
}

static int
get_text(sd_bus *bus,
         const char *path,
         const char *interface,
         const char *property,
         sd_bus_message *reply,
         void *userdata,
         sd_bus_error *error) {
        g_autofree char *text = text_property(userdata, property);

        return sd_bus_message_append(reply, "s", text);
}

static int
get_network(sd_bus *bus,
            const char *path,
            const char *interface,
            const char *property,
            sd_bus_message *reply,
            void *userdata,
            sd_bus_error *error) {
        MachineRef *m = userdata;
        g_autofree char *p = bus_network_path(m->network);

        return sd_bus_message_append(reply, "o", p);
}

static int
get_is_self(sd_bus *bus,
            const char *path,
            const char *interface,
            const char *property,
            sd_bus_message *reply,
            void *userdata,
            sd_bus_error *error) {
        return sd_bus_message_append(reply, "b", is_self(userdata));
}

static int append_endpoints(sd_bus_message *reply, const Endpoint *endpoints, unsigned n) {
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(reply, "s", endpoint_format(&endpoints[i]).text);
        return r;
}

static int
get_list(sd_bus *bus,
         const char *path,
         const char *interface,
         const char *property,
         sd_bus_message *reply,
         void *userdata,
         sd_bus_error *error) {
        static const struct {
                Role role;
                const char *name;
        } roles[] = { { ROLE_GATEWAY, "gateway" },
                      { ROLE_ISSUER, "issuer" },
                      { ROLE_MEMBER, "member" },
                      { ROLE_EXIT, "exit" },
                      { ROLE_RELAY, "relay" } };
        MachineRef *m = userdata;
        const RecordBody *c = &m->certificate->body;
        const Record *presence;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        if (strcmp(property, "Roles") == 0) {
                for (size_t i = 0; r >= 0 && i < ELEMENTSOF(roles); i++)
                        if (c->certificate.roles & roles[i].role)
                                r = sd_bus_message_append(reply, "s", roles[i].name);
        } else if (strcmp(property, "Groups") == 0) {
                for (unsigned i = 0; r >= 0 && i < c->certificate.n_groups; i++)
                        r = sd_bus_message_append(reply, "s", c->certificate.groups[i]);
        } else {
                presence =
                                directory_get(network_directory(managed_network_core(m->network)),
                                              RECORD_PRESENCE, &m->id);
                if (r >= 0 && presence)
                        r = append_endpoints(
                                        reply, presence->body.presence.endpoints,
                                        presence->body.presence.n_endpoints);
                if (r >= 0 && presence)
                        r = append_endpoints(
                                        reply, presence->body.presence.streams,
                                        presence->body.presence.n_streams);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int
get_exit(sd_bus *bus,
         const char *path,
         const char *interface,
         const char *property,
         sd_bus_message *reply,
         void *userdata,
         sd_bus_error *error) {
        MachineRef *m = userdata;
        unsigned offer = network_exit_offered_by(managed_network_core(m->network), &m->id);
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        if (r >= 0 && offer & PRESENCE_EXIT_V4)
                r = sd_bus_message_append(reply, "s", "ipv4");
        if (r >= 0 && offer & PRESENCE_EXIT_V6)
                r = sd_bus_message_append(reply, "s", "ipv6");
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
        MachineRef *m = userdata;
        MeshLinkInfo info = {};
        uint64_t v = 0;

        if (strcmp(property, "CertificateExpires") == 0)
                v = m->certificate->body.not_after;
        else if (link_of(m, &info)) {
                if (strcmp(property, "Rtt") == 0)
                        v = info.rtt;
                else if (strcmp(property, "LastReceived") == 0)
                        v = bus_realtime(m->bus, info.last_received);
                else if (strcmp(property, "LastHandshake") == 0)
                        v = bus_realtime(m->bus, info.last_handshake);
                else if (strcmp(property, "PacketsSent") == 0)
                        v = info.tx_packets;
                else if (strcmp(property, "PacketsReceived") == 0)
                        v = info.rx_packets;
                else if (strcmp(property, "BytesSent") == 0)
                        v = info.tx_bytes;
                else if (strcmp(property, "BytesReceived") == 0)
                        v = info.rx_bytes;
        }
        return sd_bus_message_append(reply, "t", v);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "s", get_text, 0, CONSTANT),
        SD_BUS_PROPERTY("Network", "o", get_network, 0, CONSTANT),
        SD_BUS_PROPERTY("HostName", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Owner", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Roles", "as", get_list, 0, CHANGES),
        SD_BUS_PROPERTY("Groups", "as", get_list, 0, CHANGES),
        SD_BUS_PROPERTY("Address", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Address6", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("IsSelf", "b", get_is_self, 0, CONSTANT),
        SD_BUS_PROPERTY("LinkState", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Path", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Relay", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Endpoint", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Endpoints", "as", get_list, 0, CHANGES),
        SD_BUS_PROPERTY("Exit", "as", get_exit, 0, CHANGES),
        SD_BUS_PROPERTY("Software", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Cipher", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Translation", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("WhyRelayed", "s", get_text, 0, 0),
        SD_BUS_PROPERTY("CertificateExpires", "t", get_number, 0, CHANGES),
        SD_BUS_PROPERTY("Rtt", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("LastReceived", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("LastHandshake", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("PacketsSent", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("PacketsReceived", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("BytesSent", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("BytesReceived", "t", get_number, 0, 0),
        SD_BUS_METHOD_WITH_ARGS(
                        "ListPaths",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("aa{sv}", paths),
                        bus_machine_list_paths,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

typedef struct Enumeration {
        ManagedNetwork *network;
        GPtrArray *paths;
        unsigned left;
} Enumeration;

static void add_machine(void *userdata, Record *certificate) {
        Enumeration *e = userdata;

        if (e->left == 0)
                return;
        e->left--;
        g_ptr_array_add(e->paths, bus_machine_path(e->network, &certificate->body.machine));
}

static void enumerate(ManagedNetwork *n, unsigned max, GPtrArray *paths) {
        Enumeration e = { .network = n, .paths = paths, .left = max };
        Network *core = bus_network_members(n);

        if (core)
                directory_foreach(network_directory(core), RECORD_CERTIFICATE, add_machine, &e);
}

const BusKind bus_kind_machine = {
        .part = "machine",
        .interface = OMERTA_IFACE_MACHINE,
        .vtable = vtable,
        .find = find,
        .enumerate = enumerate,
};
