/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Manager */

#include <fcntl.h>
#include <string.h>

#include "base/log.h"
#include "bus/bus-health.h"
#include "bus/bus-offer.h"
#include "bus/bus-internal.h"
#include "bus/bus-options.h"
#include "bus/object.h"
#include "config.h"

static int method_create_network(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        CreateOptions options = {};
        int any_subnet = 0;
        const BusOption table[] = {
                { "any-subnet", "b", &any_subnet },
                { "subnet", "s", &options.subnet },
                { "host-name", "s", &options.host_name },
                { "owner", "s", &options.owner },
                {},
        };
        g_autofree char *path = NULL;
        ManagerError e = {};
        ManagedNetwork *n;
        int r;

        r = sd_bus_message_read(call, "s", &options.name);
        if (r >= 0)
                r = bus_read_options(call, table, error);
        if (r >= 0 && any_subnet)
                r = bus_require_root(b, call, "any-subnet", error);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_NETWORKS, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        options.any_subnet = any_subnet;
        r = manager_create_network(b->manager, &options, &n, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        path = bus_network_path(n);
        return sd_bus_reply_method_return(call, "o", path);
}

/* An attempt to join, until it is answered. */
typedef struct JoinCall {
        Manager *manager;
        sd_bus_message *call;
        sd_bus_slot *left_slot;
} JoinCall;

static void join_call_free(JoinCall *j) {
        sd_bus_slot_unref(j->left_slot);
        sd_bus_message_unref(j->call);
        g_free(j);
}

static void on_joined(void *userdata, ManagedNetwork *n, const ManagerError *error) {
        g_autofree char *path = NULL;
        JoinCall *j = userdata;
        int r;

        if (error) {
                r = sd_bus_reply_method_errorf(j->call, bus_error_name(error), "%s", error->message);
        } else {
                path = bus_network_path(n);
                r = sd_bus_reply_method_return(j->call, "o", path);
        }
        if (r < 0)
                (void) log_debug_errno(r, "cannot answer Join: %m");
        join_call_free(j);
}

/* Who presses Ctrl-C does not want to be a member in ten seconds. When the bus itself goes nobody
 * has said so, and this is not called. */
static int on_caller_left(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        JoinCall *j = userdata;

        manager_cancel_join(j->manager, j);
        return 0;
}

static JoinCall *join_call_new(Bus *b, sd_bus_message *call) {
        JoinCall *j = NEW(JoinCall);
        int r = 0;

        j->manager = b->manager;
        j->call = sd_bus_message_ref(call);
        /* Who wants no answer need not wait for it. */
        if (sd_bus_message_get_expect_reply(call) > 0)
                r = bus_watch_sender(call, on_caller_left, j, &j->left_slot);
        if (r < 0)
                (void) log_debug_errno(r, "cannot tell when who joins has gone: %m");
        return j;
}

static int method_join(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        JoinOptions options = {};
        const char *link;
        int any_subnet = 0, member_ok = 0;
        const BusOption table[] = {
                { "any-subnet", "b", &any_subnet },
                { "member-ok", "b", &member_ok },
                { "host-name", "s", &options.host_name },
                { "owner", "s", &options.owner },
                {},
        };
        ManagerError e = {};
        JoinCall *j;
        int r;

        r = sd_bus_message_read(call, "s", &link);
        if (r >= 0)
                r = bus_read_options(call, table, error);
        if (r >= 0 && any_subnet)
                r = bus_require_root(b, call, "any-subnet", error);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_NETWORKS, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        options.any_subnet = any_subnet;
        options.member_ok = member_ok;
        j = join_call_new(b, call);
        r = manager_join(b->manager, link, &options, on_joined, j, &e);
        if (r < 0) {
                join_call_free(j);
                return bus_set_error(error, &e);
        }
        return 1; /* answered by on_joined() */
}

static int find_network(Bus *b, const char *name, ManagedNetwork **ret, sd_bus_error *error) {
        int r = manager_find_network(b->manager, name, ret);

        switch (r) {
        case 0:
                return 0;
        case -ENOTCONN:
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NOT_JOINED, "this machine is in no network");
        case -ENOTUNIQ:
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_AMBIGUOUS,
                                *name ? "several networks match '%s'"
                                      : "this machine is in several networks: name "
                                        "one%s",
                                name);
        default:
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NO_SUCH_NETWORK,
                                "this machine is in no network '%s'", name);
        }
}

static int method_get_network(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        g_autofree char *path = NULL;
        ManagedNetwork *n;
        const char *name;
        int r;

        r = sd_bus_message_read(call, "s", &name);
        if (r >= 0)
                r = find_network(userdata, name, &n, error);
        if (r < 0)
                return r;
        path = bus_network_path(n);
        return sd_bus_reply_method_return(call, "o", path);
}

static int method_get_drops(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        sd_bus_message *reply = NULL;
        DropCounters drops;
        int r;

        manager_drops(b->manager, &drops);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = bus_append_drops(reply, &drops);
        if (r >= 0)
                r = sd_bus_send(NULL, reply, NULL);
        sd_bus_message_unref(reply);
        return r;
}

/* --- connections --- */

#define DIAL_TIMEOUT_USEC (10 * USEC_PER_SEC)

/* A call that is answered when the other machine has. */
typedef struct Dialing {
        sd_bus_message *call;
        char *host;
        uint16_t port;      /* 0: Ping */
        char *machine_path; /* Ping */
} Dialing;

static void dialing_failed(Dialing *d, int r) {
        ManagerError e = {};

        (void) manager_call_error(r, d->host, d->port, &e);
        r = sd_bus_reply_method_errorf(d->call, bus_error_name(&e), "%s", e.message);
        if (r < 0)
                (void) log_debug_errno(r, "cannot answer a call: %m");
        manager_error_clear(&e);
}

static void dialing_free(Dialing *d) {
        sd_bus_message_unref(d->call);
        g_free(d->host);
        g_free(d->machine_path);
        g_free(d);
}

static Dialing *dialing_new(sd_bus_message *call, const char *host, uint16_t port) {
        Dialing *d = NEW(Dialing);

        *d = (Dialing){ .call = sd_bus_message_ref(call), .host = g_strdup(host), .port = port };
        return d;
}

static void on_dialed(void *userdata, int fd) {
        Dialing *d = userdata;
        int flags, r = fd;

        if (fd >= 0) {
                /* As socket(2) makes them: what programs expect. */
                flags = fcntl(fd, F_GETFL);
                if (flags >= 0)
                        (void) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
                /* The message takes a duplicate. */
                r = sd_bus_reply_method_return(d->call, "h", fd);
                close(fd);
        }
        if (r < 0)
                dialing_failed(d, r);
        dialing_free(d);
}

static void on_echoed(void *userdata, int error, usec_t rtt) {
        Dialing *d = userdata;

        if (error < 0 || rtt == USEC_INFINITY)
                dialing_failed(d, error < 0 ? error : -ETIMEDOUT);
        else if (sd_bus_reply_method_return(d->call, "to", rtt, d->machine_path) < 0)
                log_debug("cannot answer Ping");
        dialing_free(d);
}

/* Options of both, and who is meant. */
static int
read_target(sd_bus_message *call,
            Bus *b,
            const char *host,
            ManagedNetwork **ret_network,
            MachineId *ret_machine,
            IpAddr *ret_address,
            usec_t *ret_timeout,
            sd_bus_error *error) {
        const char *network = NULL;
        uint64_t timeout = DIAL_TIMEOUT_USEC;
        const BusOption table[] = {
                { "network", "s", &network },
                { "timeout", "t", &timeout },
                {},
        };
        ManagedNetwork *only = NULL;
        ManagerError e = {};
        int r;

        r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        if (timeout == 0 || timeout > NETSTACK_TIMEOUT_USEC_MAX)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT,
                                "a timeout is between 1 us and %u s",
                                (unsigned) (NETSTACK_TIMEOUT_USEC_MAX / USEC_PER_SEC));
        r = bus_authorize(b, call, OMERTA_ACTION_DIAL, error);
        if (r <= 0)
                return r < 0 ? r : -EINPROGRESS;
        if (network) {
                r = find_network(b, network, &only, error);
                if (r < 0)
                        return r;
        }
        r = manager_resolve(b->manager, only, host, ret_network, ret_machine, ret_address, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        *ret_timeout = timeout;
        return 0;
}

static int method_dial(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagerError e = {};
        ManagedNetwork *n;
        MachineId machine;
        const char *host;
        IpAddr address;
        usec_t timeout;
        uint16_t port;
        Dialing *d;
        int r;

        r = sd_bus_message_read(call, "sq", &host, &port);
        if (r < 0)
                return r;
        if (port == 0)
                return sd_bus_error_setf(error, OMERTA_ERROR_INVALID_ARGUMENT, "there is no port 0");
        r = read_target(call, b, host, &n, &machine, &address, &timeout, error);
        if (r < 0)
                return r == -EINPROGRESS ? 1 : r;
        d = dialing_new(call, host, port);
        r = managed_network_dial(n, &address, port, timeout, on_dialed, d, NULL);
        if (r < 0) {
                dialing_free(d);
                (void) manager_call_error(r, host, port, &e);
                return bus_set_error(error, &e);
        }
        return 1; /* answered by on_dialed() */
}

static int method_ping(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagerError e = {};
        ManagedNetwork *n;
        MachineId machine;
        const char *host;
        IpAddr address;
        usec_t timeout;
        Dialing *d;
        int r;

        r = sd_bus_message_read(call, "s", &host);
        if (r < 0)
                return r;
        r = read_target(call, b, host, &n, &machine, &address, &timeout, error);
        if (r < 0)
                return r == -EINPROGRESS ? 1 : r;
        d = dialing_new(call, host, 0);
        d->machine_path = bus_machine_path(n, &machine);
        r = managed_network_echo(n, &address, timeout, on_echoed, d, NULL);
        if (r < 0) {
                dialing_free(d);
                (void) manager_call_error(r, host, 0, &e);
                return bus_set_error(error, &e);
        }
        return 1; /* answered by on_echoed() */
}

static int method_get_namespaces(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        const char *network = "";
        const BusOption table[] = {
                { "network", "s", &network },
                {},
        };
        ManagerError e = {};
        ManagedNetwork *n;
        int r, user_fd, net_fd;

        r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_CONNECT, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = find_network(b, network, &n, error);
        if (r < 0)
                return r;
        r = managed_network_namespaces(n, &user_fd, &net_fd, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        return sd_bus_reply_method_return(call, "hh", user_fd, net_fd);
}

static int method_backup(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        const BusOption table[] = { {} };
        _cleanup_close_ int fd = -EBADF;
        ManagerError e = {};
        int r;

        r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_NETWORKS, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        r = manager_backup(b->manager, &fd, &e);
        if (r < 0)
                return bus_set_error(error, &e);
        return sd_bus_reply_method_return(call, "h", fd);
}

static int method_set_options(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        const char *relay = NULL;
        int port_mapping = -1;
        bool has_tcp_port;
        uint32_t tcp_port = UINT32_MAX;
        const BusOption table[] = {
                { "port-mapping", "b", &port_mapping },
                { "relay", "s", &relay },
                { "tcp-port", "u", &tcp_port },
                {},
        };
        ManagerError e = {};
        RelayMode mode;
        int r;

        r = bus_read_options(call, table, error);
        if (r < 0)
                return r;
        if (relay && relay_mode_from_string(relay, &mode) < 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT, "relay is auto, on or off");
        has_tcp_port = tcp_port != UINT32_MAX;
        if (has_tcp_port && tcp_port > UINT16_MAX)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_INVALID_ARGUMENT,
                                "tcp-port is a port from 1 to 65535, or 0 for none");
        r = bus_authorize(b, call, OMERTA_ACTION_MANAGE_NETWORKS, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        if (port_mapping >= 0) {
                r = manager_set_port_mapping(b->manager, port_mapping > 0, &e);
                if (r < 0)
                        return bus_set_error(error, &e);
        }
        if (relay) {
                r = manager_set_relay(b->manager, mode, &e);
                if (r < 0)
                        return bus_set_error(error, &e);
        }
        if (has_tcp_port) {
                r = manager_set_tcp_port(b->manager, (uint16_t) tcp_port, &e);
                if (r < 0)
                        return bus_set_error(error, &e);
        }
        return sd_bus_reply_method_return(call, NULL);
}

static int append_endpoints(sd_bus_message *reply, Manager *m) {
        Endpoint endpoints[LOCAL_ENDPOINTS_SHOWN_MAX];
        unsigned n = manager_local_endpoints(m, endpoints, ELEMENTSOF(endpoints));
        int r = sd_bus_message_open_container(reply, 'a', "s");

        for (unsigned i = 0; r >= 0 && i < MIN(n, (unsigned) ELEMENTSOF(endpoints)); i++)
                r = sd_bus_message_append(reply, "s", endpoint_format(&endpoints[i]).text);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_lan_interfaces(sd_bus_message *reply, const Manager *m) {
        const char *names[LAN_INTERFACES_MAX];
        unsigned n = manager_lan_interfaces(m, names);
        int r = sd_bus_message_open_container(reply, 'a', "s");

        for (unsigned i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(reply, "s", names[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int
get_property(sd_bus *bus,
             const char *path,
             const char *interface,
             const char *property,
             sd_bus_message *reply,
             void *userdata,
             sd_bus_error *error) {
        Bus *b = userdata;
        Manager *m = b->manager;
        int r;

        if (strcmp(property, "Version") == 0)
                return sd_bus_message_append(reply, "s", OMERTA_VERSION);
        if (strcmp(property, "MachineId") == 0)
                return sd_bus_message_append(
                                reply, "s", machine_id_format(manager_machine_id(m)).text);
        if (strcmp(property, "Mode") == 0)
                return sd_bus_message_append(
                                reply, "s", manager_options(m)->user_mode ? "user" : "system");
        if (strcmp(property, "Port") == 0)
                return sd_bus_message_append(reply, "q", manager_port(m));
        if (strcmp(property, "Cipher") == 0)
                return sd_bus_message_append(reply, "s", manager_cipher(m));
        if (strcmp(property, "Netstack") == 0)
                return sd_bus_message_append(
                                reply, "s", netstack_engine_to_string(manager_netstack(m)));
        if (strcmp(property, "NetstackReason") == 0)
                return sd_bus_message_append(reply, "s", manager_netstack_reason(m));

        if (strcmp(property, "Endpoints") == 0)
                return append_endpoints(reply, m);
        if (strcmp(property, "LanInterfaces") == 0)
                return append_lan_interfaces(reply, m);
        if (strcmp(property, "LanReason") == 0)
                return sd_bus_message_append(reply, "s", manager_lan_reason(m));

        r = sd_bus_message_open_container(reply, 'a', "o");
        for (unsigned i = 0; r >= 0 && i < manager_n_networks(m); i++) {
                g_autofree char *p = bus_network_path(manager_network(m, i));

                r = sd_bus_message_append(reply, "o", p);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_port_mapping(
                sd_bus *bus,
                const char *path,
                const char *interface,
                const char *property,
                sd_bus_message *reply,
                void *userdata,
                sd_bus_error *error) {
        const Manager *m = ((Bus *) userdata)->manager;
        bool is_6 = g_str_has_suffix(property, "6");
        const Mapper *mapper = manager_port_mapping(m, is_6 ? AF_INET6 : AF_INET);
        const Endpoint *e = mapper_endpoint(mapper);

        if (strcmp(property, "PortMapping") == 0)
                return sd_bus_message_append(reply, "b", manager_maps_ports(m));
        if (g_str_has_prefix(property, "MappedEndpoint"))
                return sd_bus_message_append(reply, "s", e ? endpoint_format(e).text : "");
        if (g_str_has_prefix(property, "MappingProtocol"))
                return sd_bus_message_append(
                                reply, "s", map_protocol_to_string(mapper_protocol(mapper)));
        if (g_str_has_prefix(property, "MappingRouter"))
                return sd_bus_message_append(
                                reply, "s",
                                mapper_has_target(mapper)
                                                ? ip_format(&mapper_target(mapper)->router).text
                                                : "");
        return sd_bus_message_append(reply, "s", mapper_reason(mapper));
}

static int
get_relay(sd_bus *bus,
          const char *path,
          const char *interface,
          const char *property,
          sd_bus_message *reply,
          void *userdata,
          sd_bus_error *error) {
        const Manager *m = ((Bus *) userdata)->manager;
        MeshRelayStats stats;

        if (strcmp(property, "Relay") == 0)
                return sd_bus_message_append(reply, "s", relay_mode_to_string(manager_relay_mode(m)));
        if (strcmp(property, "IsRelay") == 0)
                return sd_bus_message_append(reply, "b", manager_relays(m));
        manager_relay_stats(m, &stats);
        if (strcmp(property, "RelayPairs") == 0)
                return sd_bus_message_append(reply, "u", stats.pairs);
        return sd_bus_message_append(
                        reply, "t",
                        strcmp(property, "RelayedBytes") == 0 ? stats.bytes : stats.datagrams);
}

static int
get_tcp(sd_bus *bus,
        const char *path,
        const char *interface,
        const char *property,
        sd_bus_message *reply,
        void *userdata,
        sd_bus_error *error) {
        const Manager *m = ((Bus *) userdata)->manager;

        if (strcmp(property, "TcpPort") == 0)
                return sd_bus_message_append(reply, "q", manager_tcp_port(m));
        if (strcmp(property, "TcpReason") == 0)
                return sd_bus_message_append(reply, "s", manager_tcp_reason(m));
        return sd_bus_message_append(reply, "u", manager_tcp_connections(m));
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS(
                        "CreateNetwork",
                        SD_BUS_ARGS("s", name, "a{sv}", options),
                        SD_BUS_RESULT("o", network),
                        method_create_network,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        /* The link is a secret: not shown by debugging tools. */
        SD_BUS_METHOD_WITH_ARGS(
                        "Join",
                        SD_BUS_ARGS("s", link, "a{sv}", options),
                        SD_BUS_RESULT("o", network),
                        method_join,
                        SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE),
        SD_BUS_METHOD_WITH_ARGS(
                        "GetNetwork",
                        SD_BUS_ARGS("s", name),
                        SD_BUS_RESULT("o", network),
                        method_get_network,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "GetDrops",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a{st}", drops),
                        method_get_drops,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "GetHealth",
                        SD_BUS_NO_ARGS,
                        SD_BUS_RESULT("a{sv}", health),
                        bus_manager_get_health,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "Dial",
                        SD_BUS_ARGS("s", host, "q", port, "a{sv}", options),
                        SD_BUS_RESULT("h", socket),
                        method_dial,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "TakeOffer",
                        SD_BUS_ARGS("s", line),
                        SD_BUS_RESULT("o", machine),
                        bus_manager_take_offer,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "Ping",
                        SD_BUS_ARGS("s", host, "a{sv}", options),
                        SD_BUS_RESULT("t", rtt, "o", machine),
                        method_ping,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "GetNamespaces",
                        SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("h", user, "h", network),
                        method_get_namespaces,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "Backup",
                        SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("h", backup),
                        method_backup,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                        "SetOptions",
                        SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_NO_RESULT,
                        method_set_options,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Version", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("MachineId", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Mode", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Port", "q", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Cipher", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Netstack", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NetstackReason", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Endpoints", "as", get_property, 0, 0),
        SD_BUS_PROPERTY("PortMapping", "b", get_port_mapping, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MappedEndpoint", "s", get_port_mapping, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MappingProtocol", "s", get_port_mapping, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MappingRouter", "s", get_port_mapping, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MappingReason", "s", get_port_mapping, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MappedEndpoint6", "s", get_port_mapping, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MappingRouter6", "s", get_port_mapping, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("MappingReason6", "s", get_port_mapping, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("TcpPort", "q", get_tcp, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("TcpReason", "s", get_tcp, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("TcpConnections", "u", get_tcp, 0, 0),
        SD_BUS_PROPERTY("Relay", "s", get_relay, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("IsRelay", "b", get_relay, 0, 0),
        SD_BUS_PROPERTY("RelayPairs", "u", get_relay, 0, 0),
        SD_BUS_PROPERTY("RelayedDatagrams", "t", get_relay, 0, 0),
        SD_BUS_PROPERTY("RelayedBytes", "t", get_relay, 0, 0),
        SD_BUS_PROPERTY("LanInterfaces", "as", get_property, 0, 0),
        SD_BUS_PROPERTY("LanReason", "s", get_property, 0, 0),
        SD_BUS_PROPERTY("Networks", "ao", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

const BusKind bus_kind_manager = { .interface = OMERTA_IFACE_MANAGER, .vtable = vtable };
