/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What on this machine is in the way of a network's addresses (manager/subnet.c), as a part: a route
 * of somebody else's to some of them. It cannot be mended from here, and goes by itself. It is below
 * the interface, which has no IPv4 address where it would only take those of others away. */

#include "base/log-ids.h"
#include "base/log.h"
#include "network/managed-network-internal.h"

void managed_network_look_for_conflict(ManagedNetwork *n) {
        if (!n->core || !network_vnet(n->core) || !managed_network_find_conflict(n))
                return;
        part_report(&n->addresses, n->conflict ? PART_DEGRADED : PART_UP, g_strdup(n->conflict));
}

static void addresses_changed(void *userdata, unsigned what) {
        ManagedNetwork *n = userdata;
        bool was = n->is_shut_out;

        if (!(what & (PART_CHANGED_ADDRESS | PART_CHANGED_ROUTES | PART_CHANGED_SLEEP)))
                return;
        managed_network_look_for_conflict(n);
        /* Else those above are told of it next. */
        if (was != n->is_shut_out && !(what & PART_CHANGED_ADDRESS))
                part_tell_above(&n->addresses, PART_CHANGED_ADDRESS);
}

static void addresses_reported(void *userdata, PartState old, const char *why) {
        ManagedNetwork *n = userdata;

        if (n->conflict)
                managed_network_log(n, LOG_WARNING, MESSAGE_ID_SUBNET_CONFLICT, "%s", n->conflict);
        else if (old == PART_DEGRADED)
                managed_network_log(n, LOG_NOTICE, NULL, "its addresses are free again");
}

static void addresses_stop(void *userdata, bool for_good) {
        ManagedNetwork *n = userdata;

        g_clear_pointer(&n->conflict, g_free);
        n->is_shut_out = false;
}

Part *managed_network_init_addresses(ManagedNetwork *n) {
        static const PartOps ops = {
                .name = "addresses",
                .word = "conflict",
                .stop = addresses_stop,
                .changed = addresses_changed,
                .reported = addresses_reported,
        };

        part_init(&n->addresses, &ops, n, &n->manager->env);
        return &n->addresses;
}
