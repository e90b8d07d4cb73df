/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.omerta.Mesh1.Network.NetCheck: what is before this machine. */

#include <errno.h>

#include "base/log.h"
#include "bus/bus-net-check.h"
#include "bus/bus-network.h"
#include "bus/object.h"

typedef struct Checking {
        sd_bus_message *call;
        ManagedNetwork *network; /* outlives the mesh, which answers before it ends */
} Checking;

static void checking_free(Checking *c) {
        sd_bus_message_unref(c->call);
        g_free(c);
}

static int append_nat(sd_bus_message *m, const char *key, const MeshNatInfo *nat) {
        EndpointText seen = {};
        int r;

        if (endpoint_is_set(&nat->seen))
                seen = endpoint_format(&nat->seen);
        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', key);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "a{sv}");
        if (r >= 0)
                r = sd_bus_message_append(
                                m, "a{sv}", 8, "translation", "s", nat->translation, "mapping", "s",
                                nat->mapping, "ports", "s", nat->ports, "step", "i", nat->step,
                                "seen", "s", seen.text, "members", "u", nat->n_members,
                                "dissenters", "u", nat->n_dissenters, "trouble", "s", nat->trouble);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_relays(sd_bus_message *m, ManagedNetwork *n, const MeshNetInfo *info) {
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append_basic(m, 's', "relays");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "ao");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "o");
        for (unsigned i = 0; i < info->n_relays && r >= 0; i++) {
                g_autofree char *path = bus_machine_path(n, &info->relays[i]);

                r = sd_bus_message_append_basic(m, 'o', path);
        }
        for (unsigned i = 0; i < 3 && r >= 0; i++) /* array, variant, entry */
                r = sd_bus_message_close_container(m);
        return r;
}

static int reply(const Checking *c, const MeshNetInfo *info) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_return(c->call, &m);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_nat(m, "ipv4", &info->nat[0]);
        if (r >= 0)
                r = append_nat(m, "ipv6", &info->nat[1]);
        if (r >= 0)
                r = sd_bus_message_append(
                                m, "{sv}{sv}{sv}{sv}", "udp", "s", net_udp_to_string(info->udp),
                                "hairpin", "s", net_hairpin_to_string(info->hairpin), "filtering",
                                "s", info->is_reached ? "endpoint-independent" : "unknown", "mtu",
                                "u", (uint32_t) info->mtu);
        if (r >= 0)
                r = append_relays(m, c->network, info);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_send(NULL, m, NULL);
}

static void on_checked(void *userdata, const MeshNetInfo *info) {
        Checking *c = userdata;
        int r;

        if (info)
                r = reply(c, info);
        else
                r = sd_bus_reply_method_errorf(
                                c->call, OMERTA_ERROR_NOT_JOINED, "the network went down");
        if (r < 0)
                (void) log_debug_errno(r, "cannot answer NetCheck: %m");
        checking_free(c);
}

int bus_network_net_check(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *b = userdata;
        ManagedNetwork *n = bus_network_of_call(b, call, error);
        Network *core;
        Checking *c;
        int r;

        if (!n)
                return -ENOENT;
        r = bus_authorize(b, call, OMERTA_ACTION_DIAL, error);
        if (r <= 0)
                return r < 0 ? r : 1;
        core = managed_network_core(n);
        if (!core)
                return sd_bus_error_setf(
                                error, OMERTA_ERROR_NOT_JOINED,
                                "the network is down: 'omerta up' first");
        c = NEW(Checking);
        *c = (Checking){ .call = sd_bus_message_ref(call), .network = n };
        r = mesh_net_check(network_mesh(core), on_checked, c);
        if (r >= 0)
                return 1; /* answered by on_checked() */
        checking_free(c);
        return sd_bus_error_setf(error, OMERTA_ERROR_LIMIT_REACHED, "too many ask for that now");
}
