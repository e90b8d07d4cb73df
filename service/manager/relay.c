/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether this machine relays for the members of its networks: a setting of the machine, since it
 * is its line that pays for it. */

#include <string.h>

#include "base/log.h"
#include "manager/manager-internal.h"

#define SETTING "relay"

int manager_load_relay(Manager *m) {
        g_autofree char *text = NULL;
        int r = store_get_setting(m->store, SETTING, &text);

        if (r < 0 && r != -ENOENT)
                return log_error_errno(r, "cannot read the settings: %m");
        /* What another version stored, or nobody. */
        if (r < 0 || relay_mode_from_string(text, &m->relay_mode) < 0)
                m->relay_mode = RELAY_AUTO;
        m->relays = relay_table_new();
        return 0;
}

RelayMode manager_relay_mode(const Manager *m) {
        return m->relay_mode;
}

int manager_set_relay(Manager *m, RelayMode mode, ManagerError *error) {
        int r = store_put_setting(m->store, SETTING, relay_mode_to_string(mode));

        if (r < 0)
                return manager_fail(error, r, "Failed", "cannot store it: %s", g_strerror(-r));
        m->relay_mode = mode;
        for (unsigned i = 0; i < m->networks->len; i++) {
                Network *core = managed_network_core(m->networks->pdata[i]);

                if (core)
                        mesh_set_relay(network_mesh(core), mode);
        }
        OBSERVE(m, relay_changed);
        return 0;
}

bool manager_relays(const Manager *m) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                Network *core = managed_network_core(m->networks->pdata[i]);

                if (core && mesh_relays(network_mesh(core)))
                        return true;
        }
        return false;
}

void manager_relay_stats(const Manager *m, MeshRelayStats *ret) {
        *ret = (MeshRelayStats){};
        for (unsigned i = 0; i < m->networks->len; i++) {
                Network *core = managed_network_core(m->networks->pdata[i]);
                MeshRelayStats s = {};

                if (core)
                        mesh_relay_stats(network_mesh(core), &s);
                ret->pairs += s.pairs;
                ret->datagrams += s.datagrams;
                ret->bytes += s.bytes;
        }
}

void manager_relay_unknown(Manager *m, const Endpoint *from) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                Network *core = managed_network_core(m->networks->pdata[i]);

                if (core && mesh_relay_unknown(network_mesh(core), from))
                        return;
        }
}
