/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus/object.h"

#include <limits.h>
#include <string.h>

#include "base/limits.h"

static const BusKind *const kinds[] = { &bus_kind_network, &bus_kind_forward, &bus_kind_machine,
                                        &bus_kind_lease, &bus_kind_session };

/* --- paths --- */

char *bus_network_path(ManagedNetwork *n) {
        return g_strdup_printf(
                        "%s/%s", OMERTA_NETWORK_PATH,
                        machine_id_format(&managed_network_membership(n)->id).text);
}

static char *path_of(ManagedNetwork *n, const BusKind *kind, const char *name) {
        g_autofree char *parent = bus_network_path(n);

        return g_strdup_printf("%s/%s/%s", parent, kind->part, name);
}

char *bus_machine_path(ManagedNetwork *n, const MachineId *id) {
        return path_of(n, &bus_kind_machine, machine_id_format(id).text);
}

char *bus_session_path(ManagedNetwork *n, Session *s) {
        g_autofree char *channel = NULL, *name = NULL;

        if (sd_bus_path_encode("/", session_channel(s), &channel) < 0)
                return NULL;
        name = g_strdup_printf("%s_%s", machine_id_format(session_machine(s)).text, channel + 1);
        return path_of(n, &bus_kind_session, name);
}

char *bus_lease_path(ManagedNetwork *n, const IpAddr *address) {
        IpText text = ip_format(address);

        return path_of(n, &bus_kind_lease, g_strdelimit(text.text, ".", '_'));
}

char *bus_forward_path(ManagedNetwork *n, uint32_t id) {
        g_autofree char *name = g_strdup_printf("%u", id);

        return path_of(n, &bus_kind_forward, name);
}

char *bus_member_path(ManagedNetwork *n, const MachineId *id) {
        Network *core = bus_network_members(n);

        if (!core || !directory_certificate(network_directory(core), id))
                return g_strdup("/");
        return bus_machine_path(n, id);
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

/* --- looks --- */

Network *bus_network_members(ManagedNetwork *n) {
        Network *core = managed_network_core(n);

        return core && network_is_member(core) ? core : NULL;
}

/* @rest: "", or "/machine/...". */
static const BusKind *kind_of(const char *rest, const char **ret_name) {
        if (!*rest) {
                *ret_name = "";
                return &bus_kind_network;
        }
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                size_t len = kinds[i]->part ? strlen(kinds[i]->part) : 0;

                if (len > 0 && strncmp(rest + 1, kinds[i]->part, len) == 0 && rest[1 + len] == '/') {
                        *ret_name = rest + 1 + len + 1;
                        return kinds[i];
                }
        }
        return NULL;
}

const BusKind *bus_object_find(Bus *b, const char *path, void **ret_userdata) {
        const char *rest, *name;
        const BusKind *kind;
        ManagedNetwork *n;

        if (strcmp(path, OMERTA_PATH) == 0) {
                *ret_userdata = b;
                return &bus_kind_manager;
        }
        n = bus_network_of_path(b, path, &rest);
        kind = n ? kind_of(rest, &name) : NULL;
        return kind && kind->find(b, n, name, ret_userdata) ? kind : NULL;
}

void bus_object_enumerate(ManagedNetwork *n, unsigned max, GPtrArray *paths) {
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                kinds[i]->enumerate(n, max, paths);
}

static GPtrArray *all_paths(Bus *b, unsigned max) {
        GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < manager_n_networks(b->manager); i++)
                bus_object_enumerate(manager_network(b->manager, i), max, paths);
        return paths;
}

GPtrArray *bus_object_paths(Bus *b) {
        return all_paths(b, UINT_MAX);
}

/* --- for sd-bus --- */

/* sd-bus asks once for each interface that objects below a path may have. */
static int
on_find(sd_bus *bus,
        const char *path,
        const char *interface,
        void *userdata,
        void **ret_found,
        sd_bus_error *error) {
        const BusKind *kind = bus_object_find(userdata, path, ret_found);

        while (kind && strcmp(kind->interface, interface) != 0)
                kind = kind->beside;
        return kind != NULL;
}

/* For introspection. */
static int
on_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        g_autoptr(GPtrArray) paths = all_paths(userdata, INTROSPECTED_MAX);
        char **nodes;

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

int bus_add_kinds(Bus *b) {
        int r = sd_bus_add_object_vtable(
                        b->bus, NULL, OMERTA_PATH, bus_kind_manager.interface,
                        bus_kind_manager.vtable, b);

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(kinds); i++)
                for (const BusKind *k = kinds[i]; r >= 0 && k; k = k->beside)
                        r = sd_bus_add_fallback_vtable(
                                        b->bus, NULL, OMERTA_NETWORK_PATH, k->interface, k->vtable,
                                        on_find, b);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(b->bus, NULL, OMERTA_NETWORK_PATH, on_enumerate, b);
        return r < 0 ? r : 0;
}
