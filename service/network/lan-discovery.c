/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether this machine sends and takes beacons for a network: a setting of the machine, for who
 * does not want a LAN to see that there is something. */

#include "network/managed-network-internal.h"

bool managed_network_lan_discovery(const ManagedNetwork *n) {
        return !n->stored.lan_off;
}

unsigned managed_network_lan_machines(const ManagedNetwork *n) {
        return n->core ? mesh_lan_info(network_mesh(n->core)).machines : 0;
}

int managed_network_set_lan_discovery(ManagedNetwork *n, bool on, ManagerError *error) {
        static const char *const properties[] = { "LanDiscovery", NULL };
        bool before = n->stored.lan_off;
        int r;

        if (!n->is_stored)
                return manager_fail(error, -EBUSY, "NotJoined", "the network is about to be joined");
        n->stored.lan_off = !on;
        r = store_put_network(n->manager->store, &n->stored);
        if (r < 0) {
                n->stored.lan_off = before;
                return manager_fail(error, r, "Failed", "cannot store it: %s", g_strerror(-r));
        }
        manager_refresh_lan(n->manager);
        if (n->core)
                mesh_set_lan_discovery(network_mesh(n->core), on);
        OBSERVE(n->manager, network_changed, n, properties);
        return 0;
}
