/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <string.h>

#include "base/macros.h"
#include "dbus/client.h"
#include "dbus/names.h"

/* How a property is kept; the D-Bus types read into it stand beside. */
typedef enum FieldKind {
        FIELD_STRING,  /* s, o -> char * */
        FIELD_STRINGS, /* as, ao -> char ** */
        FIELD_BOOL,    /* b -> bool */
        FIELD_U32,     /* q, u -> uint32_t */
        FIELD_U64,     /* t -> uint64_t */
} FieldKind;

typedef struct Field {
        const char *property;
        FieldKind kind;
        size_t offset;
} Field;

#define FIELD(type, property, kind, member)                                                        \
        { property, kind, offsetof(type, member) }
#define END_OF_FIELDS                                                                              \
        { NULL }

static const Field manager_fields[] = {
        FIELD(ClientManager, "Version", FIELD_STRING, version),
        FIELD(ClientManager, "MachineId", FIELD_STRING, machine_id),
        FIELD(ClientManager, "Mode", FIELD_STRING, mode),
        FIELD(ClientManager, "Cipher", FIELD_STRING, cipher),
        FIELD(ClientManager, "Netstack", FIELD_STRING, netstack),
        FIELD(ClientManager, "NetstackReason", FIELD_STRING, netstack_reason),
        FIELD(ClientManager, "LanInterfaces", FIELD_STRINGS, lan_interfaces),
        FIELD(ClientManager, "LanReason", FIELD_STRING, lan_reason),
        FIELD(ClientManager, "Networks", FIELD_STRINGS, networks),
        FIELD(ClientManager, "Endpoints", FIELD_STRINGS, endpoints),
        FIELD(ClientManager, "Port", FIELD_U32, port),
        FIELD(ClientManager, "PortMapping", FIELD_BOOL, port_mapping),
        FIELD(ClientManager, "MappedEndpoint", FIELD_STRING, mapped_endpoint),
        FIELD(ClientManager, "MappingProtocol", FIELD_STRING, mapping_protocol),
        FIELD(ClientManager, "MappingRouter", FIELD_STRING, mapping_router),
        FIELD(ClientManager, "MappingReason", FIELD_STRING, mapping_reason),
        FIELD(ClientManager, "MappedEndpoint6", FIELD_STRING, mapped_endpoint6),
        FIELD(ClientManager, "MappingRouter6", FIELD_STRING, mapping_router6),
        FIELD(ClientManager, "MappingReason6", FIELD_STRING, mapping_reason6),
        FIELD(ClientManager, "TcpPort", FIELD_U32, tcp_port),
        FIELD(ClientManager, "TcpReason", FIELD_STRING, tcp_reason),
        FIELD(ClientManager, "TcpConnections", FIELD_U32, tcp_connections),
        FIELD(ClientManager, "Relay", FIELD_STRING, relay),
        FIELD(ClientManager, "IsRelay", FIELD_BOOL, is_relay),
        FIELD(ClientManager, "RelayPairs", FIELD_U32, relay_pairs),
        FIELD(ClientManager, "RelayedDatagrams", FIELD_U64, relayed_datagrams),
        FIELD(ClientManager, "RelayedBytes", FIELD_U64, relayed_bytes),
        END_OF_FIELDS,
};

static const Field network_fields[] = {
        FIELD(ClientNetwork, "Id", FIELD_STRING, id),
        FIELD(ClientNetwork, "Name", FIELD_STRING, name),
        FIELD(ClientNetwork, "MachineId", FIELD_STRING, machine_id),
        FIELD(ClientNetwork, "State", FIELD_STRING, state),
        FIELD(ClientNetwork, "StateReason", FIELD_STRING, state_reason),
        FIELD(ClientNetwork, "Interface", FIELD_STRING, interface),
        FIELD(ClientNetwork, "Address", FIELD_STRING, address),
        FIELD(ClientNetwork, "Address6", FIELD_STRING, address6),
        FIELD(ClientNetwork, "Subnet", FIELD_STRING, subnet),
        FIELD(ClientNetwork, "Gateway", FIELD_STRING, gateway),
        FIELD(ClientNetwork, "GatewayAddress", FIELD_STRING, gateway_address),
        FIELD(ClientNetwork, "HostName", FIELD_STRING, host_name),
        FIELD(ClientNetwork, "IsGateway", FIELD_BOOL, is_gateway),
        FIELD(ClientNetwork, "Mtu", FIELD_U32, mtu),
        FIELD(ClientNetwork, "AddressesHeld", FIELD_BOOL, addresses_held),
        FIELD(ClientNetwork, "LanDiscovery", FIELD_BOOL, lan_discovery),
        FIELD(ClientNetwork, "Endpoints", FIELD_STRINGS, endpoints),
        FIELD(ClientNetwork, "LanMachines", FIELD_U32, lan_machines),
        FIELD(ClientNetwork, "ExitWanted", FIELD_STRING, exit_wanted),
        FIELD(ClientNetwork, "Exit", FIELD_STRING, exit),
        FIELD(ClientNetwork, "ExitState", FIELD_STRING, exit_state),
        FIELD(ClientNetwork, "ExitReason", FIELD_STRING, exit_reason),
        FIELD(ClientNetwork, "ExitLan", FIELD_BOOL, exit_lan),
        FIELD(ClientNetwork, "Members", FIELD_U32, members),
        FIELD(ClientNetwork, "Pending", FIELD_U32, pending),
        FIELD(ClientNetwork, "Invites", FIELD_U32, invites),
        FIELD(ClientNetwork, "CertificateExpires", FIELD_U64, certificate_expires),
        FIELD(ClientNetwork, "MaxAbsence", FIELD_U64, max_absence),
        FIELD(ClientNetwork, "Grace", FIELD_U64, grace),
        END_OF_FIELDS,
};

static const Field machine_fields[] = {
        FIELD(ClientMachine, "Id", FIELD_STRING, id),
        FIELD(ClientMachine, "HostName", FIELD_STRING, host_name),
        FIELD(ClientMachine, "Owner", FIELD_STRING, owner),
        FIELD(ClientMachine, "Roles", FIELD_STRINGS, roles),
        FIELD(ClientMachine, "Groups", FIELD_STRINGS, groups),
        FIELD(ClientMachine, "Address", FIELD_STRING, address),
        FIELD(ClientMachine, "Address6", FIELD_STRING, address6),
        FIELD(ClientMachine, "IsSelf", FIELD_BOOL, is_self),
        FIELD(ClientMachine, "LinkState", FIELD_STRING, link_state),
        FIELD(ClientMachine, "Path", FIELD_STRING, via),
        FIELD(ClientMachine, "Relay", FIELD_STRING, relay),
        FIELD(ClientMachine, "Translation", FIELD_STRING, translation),
        FIELD(ClientMachine, "WhyRelayed", FIELD_STRING, why_relayed),
        FIELD(ClientMachine, "Endpoint", FIELD_STRING, endpoint),
        FIELD(ClientMachine, "Endpoints", FIELD_STRINGS, endpoints),
        FIELD(ClientMachine, "Exit", FIELD_STRINGS, exit),
        FIELD(ClientMachine, "Software", FIELD_STRING, software),
        FIELD(ClientMachine, "Cipher", FIELD_STRING, cipher),
        FIELD(ClientMachine, "CertificateExpires", FIELD_U64, certificate_expires),
        FIELD(ClientMachine, "Rtt", FIELD_U64, rtt),
        FIELD(ClientMachine, "LastReceived", FIELD_U64, last_received),
        FIELD(ClientMachine, "LastHandshake", FIELD_U64, last_handshake),
        FIELD(ClientMachine, "PacketsSent", FIELD_U64, packets_sent),
        FIELD(ClientMachine, "PacketsReceived", FIELD_U64, packets_received),
        FIELD(ClientMachine, "BytesSent", FIELD_U64, bytes_sent),
        FIELD(ClientMachine, "BytesReceived", FIELD_U64, bytes_received),
        END_OF_FIELDS,
};

static const Field session_fields[] = {
        FIELD(ClientSession, "Machine", FIELD_STRING, machine),
        FIELD(ClientSession, "Channel", FIELD_STRING, channel),
        FIELD(ClientSession, "State", FIELD_STRING, state),
        FIELD(ClientSession, "Path", FIELD_STRING, via),
        FIELD(ClientSession, "Rtt", FIELD_U64, rtt),
        FIELD(ClientSession, "Established", FIELD_U64, established),
        FIELD(ClientSession, "LastActivity", FIELD_U64, last_activity),
        FIELD(ClientSession, "PacketsSent", FIELD_U64, packets_sent),
        FIELD(ClientSession, "PacketsReceived", FIELD_U64, packets_received),
        FIELD(ClientSession, "BytesSent", FIELD_U64, bytes_sent),
        FIELD(ClientSession, "BytesReceived", FIELD_U64, bytes_received),
        END_OF_FIELDS,
};

static const Field lease_fields[] = {
        FIELD(ClientLease, "Address", FIELD_STRING, address),
        FIELD(ClientLease, "Machine", FIELD_STRING, machine),
        FIELD(ClientLease, "HostName", FIELD_STRING, host_name),
        FIELD(ClientLease, "State", FIELD_STRING, state),
        FIELD(ClientLease, "Granted", FIELD_U64, granted),
        FIELD(ClientLease, "Expires", FIELD_U64, expires),
        END_OF_FIELDS,
};

static const Field forward_fields[] = {
        FIELD(ClientForward, "Id", FIELD_U32, id),
        FIELD(ClientForward, "Direction", FIELD_STRING, direction),
        FIELD(ClientForward, "Listen", FIELD_STRING, listen),
        FIELD(ClientForward, "Target", FIELD_STRING, target),
        FIELD(ClientForward, "Persistent", FIELD_BOOL, persistent),
        FIELD(ClientForward, "State", FIELD_STRING, state),
        FIELD(ClientForward, "StateReason", FIELD_STRING, state_reason),
        FIELD(ClientForward, "Active", FIELD_U32, active),
        FIELD(ClientForward, "Accepted", FIELD_U64, accepted),
        FIELD(ClientForward, "Failed", FIELD_U64, failed),
        FIELD(ClientForward, "TurnedAway", FIELD_U64, turned_away),
        FIELD(ClientForward, "BytesToTarget", FIELD_U64, bytes_to_target),
        FIELD(ClientForward, "BytesFromTarget", FIELD_U64, bytes_from_target),
        END_OF_FIELDS,
};

static void fields_init(void *object, const Field *fields) {
        for (const Field *f = fields; f->property; f++) {
                void *p = (char *) object + f->offset;

                if (f->kind == FIELD_STRING)
                        *(char **) p = g_strdup("");
                else if (f->kind == FIELD_STRINGS)
                        *(char ***) p = g_new0(char *, 1);
        }
}

static void fields_done(void *object, const Field *fields) {
        for (const Field *f = fields; f->property; f++) {
                void *p = (char *) object + f->offset;

                if (f->kind == FIELD_STRING)
                        g_free(*(char **) p);
                else if (f->kind == FIELD_STRINGS)
                        g_strfreev(*(char ***) p);
        }
}

/* D-Bus types a kind can be read from. */
static const char *const *field_types(FieldKind kind) {
        static const char *const string[] = { "s", "o", NULL };
        static const char *const strings[] = { "as", "ao", NULL };
        static const char *const boolean[] = { "b", NULL };
        static const char *const u32[] = { "u", "q", NULL };
        static const char *const u64[] = { "t", NULL };

        switch (kind) {
        case FIELD_STRING:
                return string;
        case FIELD_STRINGS:
                return strings;
        case FIELD_BOOL:
                return boolean;
        case FIELD_U32:
                return u32;
        case FIELD_U64:
                return u64;
        }
        return NULL;
}

static int strings_read(sd_bus_message *m, char element, char ***ret) {
        g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
        const char *s;
        int r;

        r = sd_bus_message_enter_container(m, 'a', (char[]){ element, 0 });
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read_basic(m, element, &s)) > 0)
                g_ptr_array_add(list, g_strdup(s));
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return r;
        g_ptr_array_add(list, NULL);
        *ret = (char **) g_ptr_array_free(g_steal_pointer(&list), FALSE);
        return 0;
}

static int field_read(sd_bus_message *m, const Field *f, const char *type, void *p) {
        char **strings;
        const char *s;
        uint16_t u16;
        int b, r;

        switch (f->kind) {
        case FIELD_STRING:
                r = sd_bus_message_read_basic(m, type[0], &s);
                if (r < 0)
                        return r;
                g_free(*(char **) p);
                *(char **) p = g_strdup(s);
                return 0;
        case FIELD_STRINGS:
                r = strings_read(m, type[1], &strings);
                if (r < 0)
                        return r;
                g_strfreev(*(char ***) p);
                *(char ***) p = strings;
                return 0;
        case FIELD_BOOL:
                r = sd_bus_message_read_basic(m, 'b', &b);
                if (r < 0)
                        return r;
                *(bool *) p = b;
                return 0;
        case FIELD_U32:
                if (type[0] == 'u')
                        return sd_bus_message_read_basic(m, 'u', p);
                r = sd_bus_message_read_basic(m, 'q', &u16);
                if (r < 0)
                        return r;
                *(uint32_t *) p = u16;
                return 0;
        case FIELD_U64:
                return sd_bus_message_read_basic(m, 't', p);
        }
        return -EINVAL;
}

/* Reads the variant at hand into @f, or skips it if @f is NULL or of another type. */
static int variant_read(sd_bus_message *m, const Field *f, void *object) {
        const char *type;
        int r;

        r = sd_bus_message_peek_type(m, NULL, &type);
        if (r < 0)
                return r;
        if (!f || !g_strv_contains(field_types(f->kind), type))
                return sd_bus_message_skip(m, "v");
        r = sd_bus_message_enter_container(m, 'v', type);
        if (r < 0)
                return r;
        r = field_read(m, f, type, (char *) object + f->offset);
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

/* Reads a{sv}. @fields may be NULL: read over. */
static int properties_read(sd_bus_message *m, const Field *fields, void *object) {
        const char *property;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const Field *f;

                r = sd_bus_message_read_basic(m, 's', &property);
                if (r < 0)
                        return r;
                for (f = fields; f && f->property; f++)
                        if (strcmp(f->property, property) == 0)
                                break;
                r = variant_read(m, f && f->property ? f : NULL, object);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

static void *object_new(size_t size, const Field *fields) {
        void *object = g_malloc0(size);

        fields_init(object, fields);
        return object;
}

ClientManager *client_manager_free(ClientManager *m) {
        if (!m)
                return NULL;
        fields_done(m, manager_fields);
        g_free(m);
        return NULL;
}

static void machine_free(void *p) {
        ClientMachine *m = p;

        fields_done(m, machine_fields);
        g_free(m->path);
        g_free(m);
}

static void session_free(void *p) {
        ClientSession *s = p;

        fields_done(s, session_fields);
        g_free(s->path);
        g_free(s);
}

static void lease_free(void *p) {
        ClientLease *l = p;

        fields_done(l, lease_fields);
        g_free(l->path);
        g_free(l);
}

ClientForward *client_forward_free(ClientForward *f) {
        if (!f)
                return NULL;
        fields_done(f, forward_fields);
        g_free(f->path);
        g_free(f);
        return NULL;
}

static void forward_free(void *p) {
        client_forward_free(p);
}

static ClientNetwork *network_new(const char *path) {
        ClientNetwork *n = object_new(sizeof(*n), network_fields);

        n->path = g_strdup(path);
        n->machines = g_ptr_array_new_with_free_func(machine_free);
        n->sessions = g_ptr_array_new_with_free_func(session_free);
        n->leases = g_ptr_array_new_with_free_func(lease_free);
        n->forwards = g_ptr_array_new_with_free_func(forward_free);
        return n;
}

ClientNetwork *client_network_free(ClientNetwork *n) {
        if (!n)
                return NULL;
        fields_done(n, network_fields);
        g_ptr_array_unref(n->machines);
        g_ptr_array_unref(n->sessions);
        g_ptr_array_unref(n->leases);
        g_ptr_array_unref(n->forwards);
        g_free(n->path);
        g_free(n);
        return NULL;
}

static void network_free(void *p) {
        client_network_free(p);
}

ClientSnapshot *client_snapshot_new(void) {
        ClientSnapshot *s = NEW(ClientSnapshot);

        s->networks = g_ptr_array_new_with_free_func(network_free);
        return s;
}

ClientSnapshot *client_snapshot_free(ClientSnapshot *s) {
        if (!s)
                return NULL;
        client_manager_free(s->manager);
        g_ptr_array_unref(s->networks);
        g_free(s);
        return NULL;
}

static int
properties_get(sd_bus *bus,
               const char *path,
               const char *interface,
               sd_bus_error *error,
               const Field *fields,
               void *object) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_call_method(
                        bus, OMERTA_BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll",
                        error, &reply, "s", interface);
        if (r < 0)
                return r;
        return properties_read(reply, fields, object);
}

int client_manager_get(sd_bus *bus, sd_bus_error *error, ClientManager **ret) {
        g_autoptr(ClientManager) m = object_new(sizeof(*m), manager_fields);
        int r;

        r = properties_get(bus, OMERTA_PATH, OMERTA_IFACE_MANAGER, error, manager_fields, m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

int client_network_get(sd_bus *bus, const char *path, sd_bus_error *error, ClientNetwork **ret) {
        g_autoptr(ClientNetwork) n = network_new(path);
        int r;

        r = properties_get(bus, path, OMERTA_IFACE_NETWORK, error, network_fields, n);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

int client_forward_get(sd_bus *bus, const char *path, sd_bus_error *error, ClientForward **ret) {
        g_autoptr(ClientForward) f = object_new(sizeof(*f), forward_fields);
        int r;

        f->path = g_strdup(path);
        r = properties_get(bus, path, OMERTA_IFACE_FORWARD, error, forward_fields, f);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(f);
        return 0;
}

/* The network's path is the beginning of the paths of all that is in it. */
static ClientNetwork *network_of(GHashTable *networks, const char *path) {
        g_autofree char *head = NULL;
        const char *end;

        if (!g_str_has_prefix(path, OMERTA_NETWORK_PATH "/"))
                return NULL;
        end = strchr(path + strlen(OMERTA_NETWORK_PATH "/"), '/');
        if (!end)
                return g_hash_table_lookup(networks, path);
        head = g_strndup(path, (size_t) (end - path));
        return g_hash_table_lookup(networks, head);
}

static int compare_address(const char *a, const char *b) {
        struct in_addr x, y;
        bool has_x = inet_pton(AF_INET, a, &x) == 1, has_y = inet_pton(AF_INET, b, &y) == 1;

        if (has_x != has_y)
                return has_x ? -1 : 1;
        if (has_x && x.s_addr != y.s_addr)
                return ntohl(x.s_addr) < ntohl(y.s_addr) ? -1 : 1;
        return strcmp(a, b);
}

static int compare_networks(const void *a, const void *b) {
        const ClientNetwork *x = *(ClientNetwork *const *) a, *y = *(ClientNetwork *const *) b;
        int c = strcmp(x->name, y->name);

        return c != 0 ? c : strcmp(x->path, y->path);
}

static int compare_machines(const void *a, const void *b) {
        const ClientMachine *x = *(ClientMachine *const *) a, *y = *(ClientMachine *const *) b;
        int c = compare_address(x->address, y->address);

        return c != 0 ? c : strcmp(x->path, y->path);
}

/* Paths of sessions end in machine id and channel. */
static int compare_sessions(const void *a, const void *b) {
        const ClientSession *x = *(ClientSession *const *) a, *y = *(ClientSession *const *) b;

        return strcmp(x->path, y->path);
}

static int compare_leases(const void *a, const void *b) {
        const ClientLease *x = *(ClientLease *const *) a, *y = *(ClientLease *const *) b;
        int c = compare_address(x->address, y->address);

        return c != 0 ? c : strcmp(x->path, y->path);
}

static int compare_forwards(const void *a, const void *b) {
        const ClientForward *x = *(ClientForward *const *) a, *y = *(ClientForward *const *) b;

        return x->id < y->id ? -1 : x->id > y->id;
}

/* The objects of a reply while they are read: a network may come after what is in it. */
typedef struct Reader {
        GHashTable *networks; /* path, owned by the value -> ClientNetwork */
        GPtrArray *machines, *sessions, *leases, *forwards;
} Reader;

static void reader_done(Reader *rd) {
        g_hash_table_unref(rd->networks);
        g_ptr_array_unref(rd->machines);
        g_ptr_array_unref(rd->sessions);
        g_ptr_array_unref(rd->leases);
        g_ptr_array_unref(rd->forwards);
}

/* An array of a{sv} for one interface of one object. */
static int interface_read(Reader *rd, sd_bus_message *m, const char *path, const char *interface) {
        if (strcmp(interface, OMERTA_IFACE_NETWORK) == 0) {
                ClientNetwork *n = network_new(path);

                g_hash_table_replace(rd->networks, n->path, n);
                return properties_read(m, network_fields, n);
        }
        if (strcmp(interface, OMERTA_IFACE_MACHINE) == 0) {
                ClientMachine *o = object_new(sizeof(*o), machine_fields);

                o->path = g_strdup(path);
                g_ptr_array_add(rd->machines, o);
                return properties_read(m, machine_fields, o);
        }
        if (strcmp(interface, OMERTA_IFACE_SESSION) == 0) {
                ClientSession *o = object_new(sizeof(*o), session_fields);

                o->path = g_strdup(path);
                g_ptr_array_add(rd->sessions, o);
                return properties_read(m, session_fields, o);
        }
        if (strcmp(interface, OMERTA_IFACE_LEASE) == 0) {
                ClientLease *o = object_new(sizeof(*o), lease_fields);

                o->path = g_strdup(path);
                g_ptr_array_add(rd->leases, o);
                return properties_read(m, lease_fields, o);
        }
        if (strcmp(interface, OMERTA_IFACE_FORWARD) == 0) {
                ClientForward *o = object_new(sizeof(*o), forward_fields);

                o->path = g_strdup(path);
                g_ptr_array_add(rd->forwards, o);
                return properties_read(m, forward_fields, o);
        }
        return properties_read(m, NULL, NULL);
}

static int object_read(Reader *rd, sd_bus_message *m) {
        const char *path, *interface;
        int r;

        r = sd_bus_message_read_basic(m, 'o', &path);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(m, 'a', "{sa{sv}}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sa{sv}")) > 0) {
                r = sd_bus_message_read_basic(m, 's', &interface);
                if (r < 0)
                        return r;
                r = interface_read(rd, m, path, interface);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

static int reader_read(Reader *rd, sd_bus_message *m) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}")) > 0) {
                r = object_read(rd, m);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

/* Hands @objects, all of which begin with a path, to their networks; those of a network that is
 * not there are dropped. @member: offset of the array in ClientNetwork. */
static void distribute(Reader *rd, GPtrArray *objects, size_t member) {
        while (objects->len > 0) {
                void *object = g_ptr_array_index(objects, objects->len - 1);
                ClientNetwork *n = network_of(rd->networks, *(char **) object);

                if (!n) {
                        g_ptr_array_remove_index(objects, objects->len - 1);
                        continue;
                }
                g_ptr_array_add(*(GPtrArray **) ((char *) n + member),
                                g_ptr_array_steal_index(objects, objects->len - 1));
        }
}

int client_snapshot_from_reply(sd_bus_message *reply, ClientSnapshot **ret) {
        _cleanup_(reader_done) Reader rd = {
                .networks = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, network_free),
                .machines = g_ptr_array_new_with_free_func(machine_free),
                .sessions = g_ptr_array_new_with_free_func(session_free),
                .leases = g_ptr_array_new_with_free_func(lease_free),
                .forwards = g_ptr_array_new_with_free_func(forward_free),
        };
        ClientSnapshot *s;
        GHashTableIter it;
        void *value;
        int r;

        static_assert(offsetof(ClientMachine, path) == 0 && offsetof(ClientSession, path) == 0 &&
                                      offsetof(ClientLease, path) == 0 &&
                                      offsetof(ClientForward, path) == 0,
                      "distribute() takes the path from the beginning");
        r = reader_read(&rd, reply);
        if (r < 0)
                return r;
        distribute(&rd, rd.machines, offsetof(ClientNetwork, machines));
        distribute(&rd, rd.sessions, offsetof(ClientNetwork, sessions));
        distribute(&rd, rd.leases, offsetof(ClientNetwork, leases));
        distribute(&rd, rd.forwards, offsetof(ClientNetwork, forwards));

        s = client_snapshot_new();
        g_hash_table_iter_init(&it, rd.networks);
        while (g_hash_table_iter_next(&it, NULL, &value)) {
                ClientNetwork *n = value;

                g_hash_table_iter_steal(&it);
                g_ptr_array_sort(n->machines, compare_machines);
                g_ptr_array_sort(n->sessions, compare_sessions);
                g_ptr_array_sort(n->leases, compare_leases);
                g_ptr_array_sort(n->forwards, compare_forwards);
                g_ptr_array_add(s->networks, n);
        }
        g_ptr_array_sort(s->networks, compare_networks);
        *ret = s;
        return 0;
}

int client_snapshot_get(sd_bus *bus, sd_bus_error *error, ClientSnapshot **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        g_autoptr(ClientManager) manager = NULL;
        ClientSnapshot *s;
        int r;

        /* An object manager does not list itself. */
        r = client_manager_get(bus, error, &manager);
        if (r < 0)
                return r;
        r = sd_bus_call_method(
                        bus, OMERTA_BUS_NAME, OMERTA_PATH, "org.freedesktop.DBus.ObjectManager",
                        "GetManagedObjects", error, &reply, NULL);
        if (r < 0)
                return r;
        r = client_snapshot_from_reply(reply, &s);
        if (r < 0)
                return r;
        s->manager = TAKE_PTR(manager);
        *ret = s;
        return 0;
}

ClientNetwork *client_snapshot_find_network(const ClientSnapshot *s, const char *path) {
        for (unsigned i = 0; i < s->networks->len; i++) {
                ClientNetwork *n = g_ptr_array_index(s->networks, i);

                if (strcmp(n->path, path) == 0)
                        return n;
        }
        return NULL;
}

ClientMachine *client_network_find_machine(const ClientNetwork *n, const char *id) {
        for (unsigned i = 0; i < n->machines->len; i++) {
                ClientMachine *m = g_ptr_array_index(n->machines, i);

                if (strcmp(m->id, id) == 0)
                        return m;
        }
        return NULL;
}
