/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Machine.ListPaths: the ways to a machine, one dictionary each. */

#include "bus/bus-internal.h"
#include "bus/bus-machine-paths.h"

typedef struct Listing {
        Bus *bus;
        sd_bus_message *reply;
        int r; /* the first failure */
} Listing;

static int append_path(Bus *b, sd_bus_message *m, const MeshPathInfo *p) {
        const char *kind = p->is_relayed ? "relayed" : p->is_stream ? "tcp" : "direct";
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(
                                m, "{sv}{sv}{sv}{sv}{sv}{sv}", "endpoint", "s",
                                endpoint_format(&p->endpoint).text, "kind", "s", kind, "active",
                                "b", (int) p->is_active, "origin", "s", p->origin, "state", "s",
                                p->state, "reason", "s", p->reason);
        if (r >= 0)
                r = sd_bus_message_append(
                                m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "trains", "s", p->trains,
                                "rtt", "t", p->rtt, "rtt-min", "t", p->rtt_min, "probes", "u",
                                p->n_probes, "lost", "u", p->n_lost, "mtu", "u", (uint32_t) p->mtu,
                                "mtu-state", "s", p->mtu_state, "since", "t",
                                bus_realtime(b, p->since), "last-received", "t",
                                bus_realtime(b, p->last_received));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static void on_path(void *userdata, const MeshPathInfo *p) {
        Listing *l = userdata;

        if (l->r >= 0)
                l->r = append_path(l->bus, l->reply, p);
}

int bus_machine_list_paths(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        MachineRef *m = userdata;
        Listing l = { .bus = m->bus };
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        if (r < 0)
                return r;
        l.reply = reply;
        (void) mesh_foreach_path(network_mesh(managed_network_core(m->network)), &m->id, on_path, &l);
        r = l.r < 0 ? l.r : sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
