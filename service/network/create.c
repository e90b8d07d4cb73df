/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A network made here, with this machine as its gateway. */

#include <sodium.h>
#include <string.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "network/join.h"
#include "network/managed-network-internal.h"

static int save_root(Manager *m, const uint8_t *seed, Identity **ret) {
        int r;

        r = identity_new(seed, ret);
        if (r < 0)
                return r;
        return store_save_root(m->store, &(*ret)->id, seed);
}

int manager_create_network(
                Manager *m,
                const CreateOptions *options,
                ManagedNetwork **ret,
                ManagerError *error) {
        _cleanup_(identity_freep) Identity *root = NULL;
        uint8_t seed[IDENTITY_SEED_SIZE];
        Membership ms = {};
        ManagedNetwork *n;
        NetworkConfig c;
        int r;

        if (m->networks->len >= NETWORKS_MAX)
                return manager_fail(
                                error, -ENOSPC, "LimitReached",
                                "this machine is in %u networks already", NETWORKS_MAX);
        r = manager_check_network_name(m, NULL, options->name, error);
        if (r < 0)
                return r;
        g_strlcpy(ms.name, options->name, sizeof ms.name);
        r = manager_choose_names(options->host_name, options->owner, &ms, error);
        if (r >= 0)
                r = manager_choose_subnet(m, options, &ms.subnet, error);
        if (r < 0)
                return r;

        randombytes_buf(seed, sizeof seed);
        r = save_root(m, seed, &root);
        sodium_memzero(seed, sizeof seed);
        if (r < 0)
                return manager_fail(
                                error, r, "Failed", "cannot store the network's root key: %s",
                                g_strerror(-r));
        n = managed_network_new(m, &root->id);
        n->stored = (StoredNetwork){ .membership = ms,
                                     .up = true,
                                     .created = now_usec(CLOCK_REALTIME) };
        r = managed_network_start_parts(n, false, error);
        if (r < 0)
                goto fail;
        c = managed_network_core_config(n);
        r = network_create(&c, root, &n->stored.membership, &n->core);
        if (r >= 0) {
                r = store_put_network(m->store, &n->stored);
                n->is_stored = r >= 0;
        }
        if (r < 0) {
                (void) manager_fail(
                                error, r, "Failed", "cannot store the network: %s", g_strerror(-r));
                goto fail;
        }
        managed_network_changed(n, PART_CHANGED_ADDRESS);
        manager_publish_endpoints(m);
        managed_network_log(
                        n, LOG_NOTICE, MESSAGE_ID_NETWORK_CREATED, "network created, subnet %s",
                        ip_prefix_format(&n->stored.membership.subnet).text);
        OBSERVE(m, network_added, n);
        *ret = n;
        return 0;

fail:
        (void) store_delete_network(m->store, &n->id);
        managed_network_stop_parts(n, true);
        managed_network_free(n);
        return r;
}
