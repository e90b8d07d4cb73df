/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Exits to the internet: what this machine offers, and what others say they do. */

#include "core/network-internal.h"

/* --- offered by this machine --- */

/* Again once there is a vnet: what was said before membership counts too. */
void network_apply_exit_offer(Network *n) {
        RouteTable *routes = n->vnet ? vnet_routes(n->vnet) : NULL;

        if (routes) {
                route_table_set_carries(routes, ROUTE_IPV4, n->exit_offer & PRESENCE_EXIT_V4);
                route_table_set_carries(routes, ROUTE_IPV6, n->exit_offer & PRESENCE_EXIT_V6);
        }
        mesh_set_exit_offer(n->mesh, n->exit_offer);
}

void network_set_exit_offer(Network *n, bool v4, bool v6) {
        n->exit_offer = (v4 ? PRESENCE_EXIT_V4 : 0) | (v6 ? PRESENCE_EXIT_V6 : 0);
        network_apply_exit_offer(n);
}

/* --- offered by others --- */

unsigned network_exit_offered_by(const Network *n, const MachineId *machine) {
        const Record *certificate = directory_certificate(n->directory, machine);
        const Record *presence = directory_get(n->directory, RECORD_PRESENCE, machine);

        if (!certificate || !(certificate->body.certificate.roles & (ROLE_GATEWAY | ROLE_EXIT)))
                return 0;
        if (machine_id_equal(machine, &n->config.identity->id))
                return n->exit_offer;
        return presence ? presence->body.presence.flags & PRESENCE_EXITS : 0;
}
