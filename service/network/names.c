/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names of the network's gateway in the DNS, for when its address changes: a member's came with its
 * invite, a gateway's go into those it makes. Set on this machine, for it. */

#include <string.h>

#include "base/log.h"
#include "network/managed-network-internal.h"

unsigned managed_network_names(const ManagedNetwork *n, const HostPort **ret) {
        const Membership *m = managed_network_membership(n);

        *ret = m->names;
        return m->n_names;
}

int managed_network_set_names(
                ManagedNetwork *n,
                const HostPort *names,
                unsigned n_names,
                ManagerError *error) {
        static const char *const properties[] = { "Endpoints", NULL };
        Membership *m = &n->stored.membership;
        HostPort before[GATEWAY_NAMES_MAX];
        unsigned n_before = m->n_names;
        int r;

        if (!n->is_stored)
                return manager_fail(error, -EBUSY, "NotJoined", "the network is about to be joined");
        memcpy(before, m->names, sizeof before);
        if (n_names > 0)
                memcpy(m->names, names, n_names * sizeof names[0]);
        m->n_names = n_names;
        r = store_put_network(n->manager->store, &n->stored);
        if (r < 0) {
                memcpy(m->names, before, sizeof before);
                m->n_names = n_before;
                return manager_fail(error, r, "Failed", "cannot store it: %s", g_strerror(-r));
        }
        if (n->core)
                network_set_names(n->core, names, n_names);
        OBSERVE(n->manager, network_changed, n, properties);
        return 0;
}
