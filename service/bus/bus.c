/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Connection, object tree, signals. Objects have no memory here: a path is taken apart and what
 * it names is looked up. Signals are gathered during a turn of the event loop and sent once:
 * every path that was touched either came, went, or changed some properties.
 */

#include "bus/bus.h"

#include <limits.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "bus/bus-internal.h"

typedef struct Touched {
        const char *interface;
        GHashTable *properties; /* static names */
} Touched;

/* --- paths --- */

char *bus_network_path(ManagedNetwork *n) {
        return g_strdup_printf(
                        "%s/%s", OMERTA_NETWORK_PATH,
                        machine_id_format(&managed_network_membership(n)->id).text);
}

char *bus_machine_path(ManagedNetwork *n, const MachineId *id) {
        g_autofree char *parent = bus_network_path(n);

        return g_strdup_printf("%s/machine/%s", parent, machine_id_format(id).text);
}

char *bus_session_path(ManagedNetwork *n, Session *s) {
        g_autofree char *parent = bus_network_path(n), *channel = NULL;

        if (sd_bus_path_encode("/", session_channel(s), &channel) < 0)
                return NULL;
        return g_strdup_printf(
                        "%s/session/%s_%s", parent, machine_id_format(session_machine(s)).text,
                        channel + 1);
}

char *bus_lease_path(ManagedNetwork *n, const IpAddr *address) {
        g_autofree char *parent = bus_network_path(n);
        IpText text = ip_format(address);

        return g_strdup_printf("%s/lease/%s", parent, g_strdelimit(text.text, ".", '_'));
}

char *bus_forward_path(ManagedNetwork *n, uint32_t id) {
        g_autofree char *parent = bus_network_path(n);

        return g_strdup_printf("%s/forward/%u", parent, id);
}

ManagedNetwork *bus_network_of_path(Bus *b, const char *path, const char **ret_rest) {
        static const char prefix[] = OMERTA_NETWORK_PATH "/";
        char text[MACHINE_ID_TEXT_LEN + 1];
        NetworkId id;

        if (!g_str_has_prefix(path, prefix))
                return NULL;
        path += sizeof prefix - 1;
        if (strlen(path) < MACHINE_ID_TEXT_LEN)
                return NULL;
        memcpy(text, path, MACHINE_ID_TEXT_LEN);
        text[MACHINE_ID_TEXT_LEN] = '\0';
        path += MACHINE_ID_TEXT_LEN;
        if (machine_id_parse(text, &id) < 0 || (*path && *path != '/'))
                return NULL;
        for (unsigned i = 0; i < manager_n_networks(b->manager); i++) {
                ManagedNetwork *n = manager_network(b->manager, i);

                if (machine_id_equal(&managed_network_membership(n)->id, &id)) {
                        *ret_rest = path;
                        return n;
                }
        }
        return NULL;
}

/* --- small helpers of the interfaces --- */

int bus_append_drops(sd_bus_message *reply, const DropCounters *drops) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{st}");
        for (int i = DROP_NONE + 1; r >= 0 && drops && i < _DROP_REASON_MAX; i++) {
                uint64_t count = drop_counter(drops, i);

                if (count > 0)
                        r = sd_bus_message_append(reply, "{st}", drop_reason_to_string(i), count);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

usec_t bus_realtime(Bus *b, usec_t monotonic) {
        const MeshEnv *env = manager_env(b->manager);

        if (monotonic == 0)
                return 0;
        return usec_sub(env_realtime(env), usec_sub(env_now(env), monotonic));
}

int bus_find_machine(ManagedNetwork *n, const char *text, MachineId *ret, sd_bus_error *error) {
        Network *core = managed_network_core(n);
        int r = core ? directory_find(network_directory(core), text, ret) : -ENOENT;

        if (r == -ENOTUNIQ)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_AMBIGUOUS,
                                "several machines match '%s': give more of the id", text);
        if (r < 0)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NO_SUCH_MACHINE,
                                "no machine of the network is called '%s'", text);
        return 0;
}

/* --- enumeration --- */

typedef struct Enumeration {
        ManagedNetwork *network;
        GPtrArray *paths;
        unsigned max, n_machines, n_leases, n_sessions; /* of each kind */
} Enumeration;

static void add_machine(void *userdata, Record *certificate) {
        Enumeration *e = userdata;

        if (e->n_machines++ >= e->max)
                return;
        g_ptr_array_add(e->paths, bus_machine_path(e->network, &certificate->body.machine));
}

static void add_lease(void *userdata, Record *lease) {
        Enumeration *e = userdata;
        Directory *d = network_directory(managed_network_core(e->network));

        if (e->n_leases >= e->max)
                return;

        /* A released lease, or one that lost its address, is no object. */
        if (directory_lease_of_address(d, &lease->body.lease.address) != lease)
                return;
        e->n_leases++;
        g_ptr_array_add(e->paths, bus_lease_path(e->network, &lease->body.lease.address));
}

static void add_session(void *userdata, Session *s) {
        Enumeration *e = userdata;

        if (e->n_sessions++ < e->max)
                g_ptr_array_add(e->paths, bus_session_path(e->network, s));
}

/* @max: of each kind that a network can have many of. */
static void enumerate_network(ManagedNetwork *n, unsigned max, GPtrArray *paths) {
        Forwards *forwards = managed_network_forwards(n);
        Network *core = managed_network_core(n);
        Enumeration e = { .network = n, .paths = paths, .max = max };

        g_ptr_array_add(paths, bus_network_path(n));
        for (unsigned i = 0; forwards && i < forwards_count(forwards); i++)
                g_ptr_array_add(paths, bus_forward_path(n, forward_id(forwards_at(forwards, i))));
        if (!core || !network_is_member(core))
                return;
        directory_foreach(network_directory(core), RECORD_CERTIFICATE, add_machine, &e);
        directory_foreach(network_directory(core), RECORD_LEASE, add_lease, &e);
        if (network_sessions(core))
                session_pool_foreach(network_sessions(core), add_session, &e);
}

GPtrArray *bus_object_paths(Bus *b) {
        GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < manager_n_networks(b->manager); i++)
                enumerate_network(manager_network(b->manager, i), UINT_MAX, paths);
        return paths;
}

/* For introspection. */
static int
enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
        Bus *b = userdata;
        char **nodes;

        for (unsigned i = 0; i < manager_n_networks(b->manager); i++)
                enumerate_network(manager_network(b->manager, i), INTROSPECTED_MAX, paths);
        /* sd-bus frees this with free(), so it is made with malloc(). */
        nodes = calloc(paths->len + 1, sizeof *nodes);
        for (unsigned i = 0; nodes && i < paths->len; i++) {
                nodes[i] = strdup(paths->pdata[i]);
                if (!nodes[i]) {
                        while (i-- > 0)
                                free(nodes[i]);
                        free(nodes);
                        return -ENOMEM;
                }
        }
        if (!nodes)
                return -ENOMEM;
        *ret_nodes = nodes;
        return 0;
}

/* --- signals --- */

static bool exists(Bus *b, const char *path, const char *interface) {
        const char *rest;
        ManagedNetwork *n;

        if (strcmp(interface, OMERTA_IFACE_MANAGER) == 0)
                return true;
        if (strcmp(interface, OMERTA_IFACE_NETWORK) == 0) {
                n = bus_network_of_path(b, path, &rest);
                return n && !*rest;
        }
        if (strcmp(interface, OMERTA_IFACE_MACHINE) == 0)
                return bus_machine_lookup(b, path);
        if (strcmp(interface, OMERTA_IFACE_SESSION) == 0)
                return bus_session_lookup(b, path);
        if (strcmp(interface, OMERTA_IFACE_FORWARD) == 0)
                return bus_forward_lookup(b, path);
        return bus_lease_lookup(b, path);
}

static void emit(Bus *b, const char *path, Touched *t) {
        bool known = g_hash_table_contains(b->announced, path);
        bool there = exists(b, path, t->interface);
        g_autoptr(GPtrArray) names = NULL;
        GHashTableIter i;
        void *name;
        int r = 0;

        if (there && !known) {
                g_hash_table_add(b->announced, g_strdup(path));
                r = sd_bus_emit_interfaces_added(b->bus, path, t->interface, NULL);
        } else if (!there && known) {
                g_hash_table_remove(b->announced, path);
                r = sd_bus_emit_interfaces_removed(b->bus, path, t->interface, NULL);
        } else if (there && g_hash_table_size(t->properties) > 0) {
                names = g_ptr_array_new();
                g_hash_table_iter_init(&i, t->properties);
                while (g_hash_table_iter_next(&i, &name, NULL))
                        g_ptr_array_add(names, name);
                g_ptr_array_add(names, NULL);
                r = sd_bus_emit_properties_changed_strv(
                                b->bus, path, t->interface, (char **) names->pdata);
        }
        if (r < 0)
                (void) log_debug_errno(r, "cannot signal a change of %s: %m", path);
}

void bus_send_signals(Bus *b) {
        g_autoptr(GHashTable) touched = TAKE_PTR(b->touched);
        GHashTableIter i;
        void *path, *t;

        b->touched = g_hash_table_new_similar(touched);
        g_hash_table_iter_init(&i, touched);
        while (g_hash_table_iter_next(&i, &path, &t))
                emit(b, path, t);
}

static int on_signals(sd_event_source *s, void *userdata) {
        Bus *b = userdata;

        (void) sd_event_source_set_enabled(s, SD_EVENT_OFF);
        /* The end of the answer sends them. */
        if (!bus_is_listing(b))
                bus_send_signals(b);
        return 0;
}

static void touched_free(Touched *t) {
        g_hash_table_unref(t->properties);
        g_free(t);
}

void bus_touch(Bus *b, const char *path, const char *interface, const char *property) {
        Touched *t = g_hash_table_lookup(b->touched, path);

        if (!t) {
                t = NEW(Touched);
                t->interface = interface;
                t->properties = g_hash_table_new(g_str_hash, g_str_equal);
                g_hash_table_insert(b->touched, g_strdup(path), t);
        }
        if (property)
                g_hash_table_add(t->properties, (char *) property);
        (void) sd_event_source_set_enabled(b->signals_source, SD_EVENT_ONESHOT);
}

/* --- what the manager reports --- */

/* What is in the directory at the start, or came with a network, is no news later. */
static void announce(Bus *b, ManagedNetwork *n) {
        g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

        enumerate_network(n, UINT_MAX, paths);
        for (unsigned i = 0; i < paths->len; i++) {
                const char *path = paths->pdata[i];

                bus_touch(b, path, bus_interface_of_path(path), NULL);
        }
}

static void on_network_added(void *userdata, ManagedNetwork *n) {
        Bus *b = userdata;

        announce(b, n);
        bus_touch(b, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Networks");
}

static void on_network_removed(void *userdata, ManagedNetwork *n) {
        Bus *b = userdata;

        /* It and everything below it is gone when the signals are sent. */
        announce(b, n);
        bus_touch(b, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Networks");
}

static void on_network_changed(void *userdata, ManagedNetwork *n, const char *const *properties) {
        g_autofree char *path = bus_network_path(n);

        for (const char *const *p = properties; *p; p++)
                bus_touch(userdata, path, OMERTA_IFACE_NETWORK, *p);
}

static void on_machine_changed(void *userdata, ManagedNetwork *n, const MachineId *machine, bool gone) {
        static const char *const properties[] = {
                "HostName", "Owner",  "Address",  "LinkState", "Path",
                "Endpoint", "Cipher", "Software", "Endpoints", "CertificateExpires"
        };
        g_autofree char *path = bus_machine_path(n, machine);

        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                bus_touch(userdata, path, OMERTA_IFACE_MACHINE, properties[i]);
}

static void on_lease_changed(
                void *userdata,
                ManagedNetwork *n,
                const MachineId *machine,
                const Record *lease,
                const Record *old) {
        static const char *const properties[] = { "Machine", "HostName", "Granted", "Expires",
                                                  "State" };
        const Record *both[] = { lease, old };

        for (size_t i = 0; i < ELEMENTSOF(both); i++) {
                g_autofree char *path = NULL;

                if (!both[i])
                        continue;
                path = bus_lease_path(n, &both[i]->body.lease.address);
                for (size_t k = 0; k < ELEMENTSOF(properties); k++)
                        bus_touch(userdata, path, OMERTA_IFACE_LEASE, properties[k]);
        }
}

static void on_session_changed(void *userdata, ManagedNetwork *n, Session *s) {
        g_autofree char *path = bus_session_path(n, s);

        if (path)
                bus_touch(userdata, path, OMERTA_IFACE_SESSION, "State");
}

static void on_approval_requested(
                void *userdata,
                ManagedNetwork *n,
                const MachineId *machine,
                const char *name,
                bool pending) {
        Bus *b = userdata;
        g_autofree char *path = bus_network_path(n);
        int r = sd_bus_emit_signal(
                        b->bus, path, OMERTA_IFACE_NETWORK, "ApprovalRequested", "ssb",
                        machine_id_format(machine).text, name, pending);

        if (r < 0)
                (void) log_debug_errno(r, "cannot signal a request: %m");
}

static void on_forward_changed(void *userdata, ManagedNetwork *n, uint32_t id) {
        static const char *const properties[] = { "Listen", "State", "StateReason" };
        g_autofree char *path = bus_forward_path(n, id);

        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                bus_touch(userdata, path, OMERTA_IFACE_FORWARD, properties[i]);
}

static void on_netstack_changed(void *userdata) {
        bus_touch(userdata, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Netstack");
        bus_touch(userdata, OMERTA_PATH, OMERTA_IFACE_MANAGER, "NetstackReason");
}

/* logind tells before and after a sleep; after it every link is looked at at once. */
static int on_prepare_for_sleep(sd_bus_message *signal, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        int sleeping;

        if (sd_bus_message_read(signal, "b", &sleeping) >= 0 && !sleeping)
                manager_wake(b->manager);
        return 0;
}

/* --- life --- */

static int add_objects(Bus *b) {
        int r;

        r = sd_bus_add_object_manager(b->bus, NULL, OMERTA_PATH);
        if (r >= 0)
                r = bus_add_log_control(b);
        if (r >= 0)
                r = bus_add_manager(b);
        if (r >= 0)
                r = bus_add_network(b);
        if (r >= 0)
                r = bus_add_machine(b);
        if (r >= 0)
                r = bus_add_session(b);
        if (r >= 0)
                r = bus_add_lease(b);
        if (r >= 0)
                r = bus_add_forward(b);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(b->bus, NULL, OMERTA_NETWORK_PATH, enumerate, b);
        return r;
}

int bus_new(sd_event *event, Manager *manager, Bus **ret) {
        const ManagerObserver observer = {
                .network_added = on_network_added,
                .network_removed = on_network_removed,
                .network_changed = on_network_changed,
                .machine_changed = on_machine_changed,
                .lease_changed = on_lease_changed,
                .session_changed = on_session_changed,
                .approval_requested = on_approval_requested,
                .forward_changed = on_forward_changed,
                .netstack_changed = on_netstack_changed,
        };
        bool user = manager_options(manager)->user_mode;
        ManagerObserver o = observer;
        Bus *b = NEW(Bus);
        int r;

        b->manager = manager;
        b->event = sd_event_ref(event);
        b->touched = g_hash_table_new_full(
                        g_str_hash, g_str_equal, g_free, (GDestroyNotify) touched_free);
        b->announced = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        bus_authorizations_init(b);
        r = user ? sd_bus_open_user(&b->bus) : sd_bus_open_system(&b->bus);
        if (r < 0) {
                (void) log_error_errno(
                                r,
                                "cannot connect to the %s bus: %m; is dbus running, or "
                                "is %s wrong?",
                                user ? "session" : "system",
                                user ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS");
                goto fail;
        }
        r = sd_event_add_defer(event, &b->signals_source, on_signals, b);
        if (r >= 0)
                r = sd_event_source_set_enabled(b->signals_source, SD_EVENT_OFF);
        if (r >= 0)
                r = add_objects(b);
        if (r >= 0)
                r = bus_add_objects(b);
        if (r >= 0)
                r = sd_bus_attach_event(b->bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0 && !user)
                r = sd_bus_match_signal_async(
                                b->bus, &b->sleep_slot, NULL, "/org/freedesktop/login1",
                                "org.freedesktop.login1.Manager", "PrepareForSleep",
                                on_prepare_for_sleep, NULL, b);
        if (r < 0) {
                (void) log_error_errno(r, "cannot offer org.omerta.Mesh1: %m");
                goto fail;
        }
        o.userdata = b;
        manager_observe(manager, &o);
        *ret = b;
        return 0;

fail:
        bus_free(b);
        return r;
}

Bus *bus_free(Bus *b) {
        if (!b)
                return NULL;
        manager_unobserve(b->manager, b);
        b->signals_source = sd_event_source_disable_unref(b->signals_source);
        bus_drop_listings(b);
        g_hash_table_unref(b->authorizations);
        sd_bus_slot_unref(b->sleep_slot);
        sd_bus_flush_close_unref(b->bus);
        g_hash_table_unref(b->touched);
        g_hash_table_unref(b->announced);
        sd_event_unref(b->event);
        g_free(b);
        return NULL;
}

int bus_start(Bus *b) {
        int r;

        /* What is there now is found by GetManagedObjects; only what comes later is signalled. */
        for (unsigned i = 0; i < manager_n_networks(b->manager); i++) {
                g_autoptr(GPtrArray) paths = g_ptr_array_new();

                enumerate_network(manager_network(b->manager, i), UINT_MAX, paths);
                for (unsigned k = 0; k < paths->len; k++)
                        g_hash_table_add(b->announced, paths->pdata[k]);
        }
        g_hash_table_remove_all(b->touched);
        r = sd_bus_request_name(b->bus, OMERTA_BUS_NAME, 0);
        if (r == -EEXIST)
                return log_error_errno(
                                r,
                                "another omertad is running: it owns the name "
                                "%s on the bus",
                                OMERTA_BUS_NAME);
        if (r < 0)
                return log_error_errno(
                                r,
                                "cannot take the name %s on the bus: %m; is its policy "
                                "(org.omerta.Mesh1.conf) installed?",
                                OMERTA_BUS_NAME);
        return 0;
}
