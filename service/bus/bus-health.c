/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Manager.GetHealth: how this machine is. */

#include "bus/bus-health.h"
#include "bus/bus-internal.h"

typedef struct Listing {
        sd_bus_message *reply;
        int r; /* the first failure */
} Listing;

static void on_trains_lost(void *userdata, const IpAddr *local, unsigned n_machines) {
        Listing *l = userdata;

        if (l->r >= 0)
                l->r = sd_bus_message_append(
                                l->reply, "(su)", ip_format(local).text, (uint32_t) n_machines);
}

static int append_trains_lost(sd_bus_message *reply, const Manager *m) {
        Listing l = { .reply = reply };
        int r;

        r = sd_bus_message_open_container(reply, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(reply, 's', "trains-lost");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'v', "a(su)");
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(su)");
        l.r = r;
        for (unsigned i = 0; i < manager_n_networks(m); i++) {
                Network *core = managed_network_core(manager_network(m, i));

                if (core)
                        mesh_foreach_trains_lost(network_mesh(core), on_trains_lost, &l);
        }
        r = l.r;
        for (unsigned i = 0; i < 3 && r >= 0; i++) /* array, variant, entry */
                r = sd_bus_message_close_container(reply);
        return r;
}

int bus_manager_get_health(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *b = userdata;
        ManagerHealth h;
        int r;

        manager_health(b->manager, &h);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(
                                reply, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "state-directory", "s",
                                h.state_dir, "state-trouble", "s", h.state_trouble, "clock-trouble",
                                "s", h.clock_trouble ?: "", "clock-synchronised", "b",
                                (int) h.clock_synchronised, "ipv6", "b", (int) h.ipv6,
                                "receive-buffer", "u", (uint32_t) h.receive_buffer,
                                "receive-buffer-wanted", "u", (uint32_t) h.receive_buffer_wanted,
                                "started", "t", h.started);
        if (r >= 0)
                r = append_trains_lost(reply, b->manager);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        manager_health_clear(&h);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}
