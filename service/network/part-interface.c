/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The interface of a network: made, configured, given to the packet thread, closed. With it goes
 * what stands on it, the netstack. */

#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "manager/manager-internal.h"
#include "netif/tun.h"

#define ERROR_INTERFACE "InterfaceUnavailable"

static const char *const state_properties[] = { "State", "StateReason", NULL };

static void choose_interface_name(Manager *m, const char *wanted, char ret[static 16]) {
        for (unsigned k = 0;; k++) {
                bool taken = false;

                if (k == 0)
                        g_strlcpy(ret, *wanted ? wanted : m->interface, 16);
                else
                        snprintf(ret, 16, "omerta%u", k % 1000); /* NETWORKS_MAX is far below */
                for (unsigned i = 0; i < m->networks->len; i++) {
                        ManagedNetwork *o = m->networks->pdata[i];

                        if (strcmp(o->stored.interface, ret) == 0)
                                taken = true;
                }
                if (!taken)
                        return;
        }
}

int managed_network_open_interface(ManagedNetwork *n, ManagerError *error) {
        Manager *m = n->manager;
        g_autofree char *message = NULL;
        char fd_name[32];
        TunOptions options = { .fd = -EBADF };
        int r;

        if (!m->options.vpn || n->netif)
                return 0;
        if (m->options.user_mode) {
                r = managed_network_open_netstack(n, m->options.netstack, error);
                if (r < 0 && error)
                        managed_network_log(
                                        n, LOG_ERR, MESSAGE_ID_INTERFACE_UNAVAILABLE, "%s",
                                        error->message);
                else if (r >= 0)
                        managed_network_log(
                                        n, LOG_INFO, NULL, "stack %s: %s",
                                        netstack_engine_to_string(m->netstack), m->netstack_reason);
                return r;
        }
        if (!*n->stored.interface) {
                char name[16];

                choose_interface_name(m, "", name);
                g_strlcpy(n->stored.interface, name, sizeof n->stored.interface);
        }
        snprintf(fd_name, sizeof fd_name, "tun-%s", n->stored.interface);
        options.name = n->stored.interface;
        options.fd = manager_claim_fd(m, fd_name);
        r = tun_new(&options, &n->netif, &message);
        if (r < 0) {
                managed_network_log(
                                n, LOG_ERR, MESSAGE_ID_INTERFACE_UNAVAILABLE, "%s",
                                message ?: g_strerror(-r));
                return manager_fail(error, r, ERROR_INTERFACE, "%s", message ?: g_strerror(-r));
        }
        g_strlcpy(n->stored.interface, n->netif->name, sizeof n->stored.interface);
        if (options.fd < 0) {
                int fd = tun_fd(n->netif);

                /* Kept by systemd over a restart of the daemon; FDPOLL=0, because a tun reports
                 * POLLERR while it is down, on which systemd would drop it. */
                g_autofree char *state = g_strdup_printf("FDSTORE=1\nFDNAME=%s\nFDPOLL=0", fd_name);

                (void) sd_pid_notify_with_fds(0, false, state, &fd, 1);
        }
        return managed_network_open_netstack(n, NETSTACK_TUN, error);
}

void managed_network_close_interface(ManagedNetwork *n, bool forget) {
        if (!n->netif)
                return;
        if (n->in_dataplane)
                (void) dataplane_remove_network(n->manager->dataplane, network_mesh(n->core));
        n->in_dataplane = false;
        if (forget && !n->manager->options.user_mode)
                (void) sd_notifyf(false, "FDSTOREREMOVE=1\nFDNAME=tun-%s", n->netif->name);
        n->netif = netif_free(n->netif);
        managed_network_close_netstack(n);
}

static void look_for_conflict(ManagedNetwork *n) {
        if (!managed_network_find_conflict(n))
                return;
        if (n->conflict)
                managed_network_log(n, LOG_WARNING, MESSAGE_ID_SUBNET_CONFLICT, "%s", n->conflict);
        else
                managed_network_log(n, LOG_NOTICE, NULL, "its addresses are free again");
        OBSERVE(n->manager, network_changed, n, state_properties);
}

void managed_network_configure_interface(ManagedNetwork *n) {
        Vnet *v = n->core ? network_vnet(n->core) : NULL;
        const Membership *m = managed_network_membership(n);
        IpAddr address = {}, address6 = {};
        int r;

        if (!n->netif || !v)
                return;
        look_for_conflict(n);
        if (!n->in_dataplane) {
                DataplaneNetwork dn = {
                        .mesh = network_mesh(n->core),
                        .netif = n->netif,
                        .routes = vnet_routes(v),
                        .drops = network_drops(n->core),
                        .mtu = OMERTA_MTU_DEFAULT,
                };

                r = dataplane_add_network(n->manager->dataplane, &dn);
                if (r < 0) {
                        managed_network_log(
                                        n, LOG_ERR, MESSAGE_ID_INTERFACE_UNAVAILABLE,
                                        "cannot use %s: %s", n->netif->name, g_strerror(-r));
                        return;
                }
                n->in_dataplane = true;
        }
        if (network_state(n->core) != NETWORK_REVOKED) {
                if (!n->is_shut_out)
                        address = vnet_local_address(v);
                address6 = vnet_local_address6(v);
        }
        r = n->netif->ops->configure(
                        n->netif, &address, m->subnet.len, &address6, 64, OMERTA_MTU_DEFAULT);
        if (r < 0)
                managed_network_log(
                                n, LOG_ERR, MESSAGE_ID_INTERFACE_UNAVAILABLE,
                                "cannot give %s its address: %s", n->netif->name, g_strerror(-r));
}

void managed_network_routes_changed(ManagedNetwork *n) {
        bool was = n->is_shut_out;

        if (!n->core || !network_vnet(n->core))
                return;
        look_for_conflict(n);
        if (was != n->is_shut_out)
                managed_network_configure_interface(n);
}
