/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What this machine calls a network. It came with the invite, and is nothing anybody else goes by: the
 * id is. Two networks of one name, or a name for something else, are for this machine to mend. */

#include <string.h>

#include "base/log.h"
#include "network/managed-network-internal.h"

int managed_network_set_name(ManagedNetwork *n, const char *name, ManagerError *error) {
        static const char *const properties[] = { "Name", NULL };
        Membership *m = &n->stored.membership;
        char before[sizeof m->name];
        int r;

        r = manager_check_network_name(n->manager, n, name, error);
        if (r < 0)
                return r;
        if (!n->is_stored)
                return manager_fail(error, -EBUSY, "NotJoined", "the network is about to be joined");
        if (strcmp(m->name, name) == 0)
                return 0;
        g_strlcpy(before, m->name, sizeof before);
        g_strlcpy(m->name, name, sizeof m->name);
        r = store_put_network(n->manager->store, &n->stored);
        if (r < 0) {
                g_strlcpy(m->name, before, sizeof m->name);
                return manager_fail(error, r, "Failed", "cannot store it: %s", g_strerror(-r));
        }
        if (n->core)
                network_set_name(n->core, name);
        managed_network_log(n, LOG_NOTICE, NULL, "it was called %s here until now", before);
        OBSERVE(n->manager, network_changed, n, properties);
        return 0;
}
