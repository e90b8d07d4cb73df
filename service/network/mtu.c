/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How large packets in a network of this machine are: its interface, and what it sends. A setting
 * of the machine, not of the network: its line to the others is what is narrower than usual. What
 * the others send follows: their TCP by our MSS, the rest by "packet too big". */

#include "network/managed-network-internal.h"

/* Out of range is what another version stored, or somebody else. */
unsigned managed_network_mtu(const ManagedNetwork *n) {
        uint32_t mtu = n->stored.mtu;

        return mtu >= OMERTA_MTU_MIN && mtu <= OMERTA_MTU_DEFAULT ? mtu : OMERTA_MTU_DEFAULT;
}

int managed_network_set_mtu(ManagedNetwork *n, unsigned mtu, ManagerError *error) {
        static const char *const properties[] = { "Mtu", NULL };
        uint32_t before = n->stored.mtu;
        int r;

        if (mtu < OMERTA_MTU_MIN || mtu > OMERTA_MTU_DEFAULT)
                return manager_fail(
                                error, -EINVAL, "InvalidArgument", "mtu is from %u to %u",
                                OMERTA_MTU_MIN, OMERTA_MTU_DEFAULT);
        if (!n->is_stored)
                return manager_fail(error, -EBUSY, "NotJoined", "the network is about to be joined");
        n->stored.mtu = mtu;
        r = store_put_network(n->manager->store, &n->stored);
        if (r < 0) {
                n->stored.mtu = before;
                return manager_fail(error, r, "Failed", "cannot store it: %s", g_strerror(-r));
        }
        if (n->core)
                mesh_set_mtu(network_mesh(n->core), (uint16_t) mtu);
        managed_network_changed(n, PART_CHANGED_ADDRESS);
        OBSERVE(n->manager, network_changed, n, properties);
        return 0;
}
