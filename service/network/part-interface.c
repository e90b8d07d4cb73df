/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The interface of a network, as a part: made, configured, given to the packet thread, looked at
 * when rtnetlink says that somebody touched it, and made anew. In user mode the netstack is below
 * it and gives the Netif (part-netstack.c), which nobody else can touch. */

#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "network/managed-network-internal.h"
#include "netif/tun.h"

/* "omerta1" and on: far more than networks, and others have some of them. */
#define NAMES_TRIED_MAX 1000U

/* --- its name --- */

/* Kept by systemd over a restart of the daemon. */
static void fd_name_of(const char *interface, char ret[static 32]) {
        snprintf(ret, 32, "tun-%s", interface);
}

static bool is_asked_for(const Manager *m, const char *name) {
        return m->options.interface && strcmp(m->options.interface, name) == 0;
}

/* No other network of ours has it, and nobody else either: an interface of ours that is there
 * already would have come as an fd. With the name that was asked for it is tried all the same; one
 * made beforehand ("ip tuntap add") is used then, and else it is said what is in the way. */
static bool is_free(const ManagedNetwork *n, const char *name) {
        const Manager *m = n->manager;
        unsigned ifindex;

        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *o = m->networks->pdata[i];

                if (o != n && strcmp(o->stored.interface, name) == 0)
                        return false;
        }
        return is_asked_for(m, name) || rtnl_link_index(m->rtnl, name, &ifindex) < 0;
}

static void choose_name(ManagedNetwork *n) {
        char name[16];

        g_strlcpy(name, n->manager->interface, sizeof name);
        for (unsigned k = 1; !is_free(n, name) && k < NAMES_TRIED_MAX; k++)
                snprintf(name, sizeof name, "omerta%u", k);
        g_strlcpy(n->stored.interface, name, sizeof n->stored.interface);
}

/* --- made and closed --- */

static char *explain(const ManagedNetwork *n, int r, const char *message) {
        const char *hint = is_asked_for(n->manager, n->stored.interface)
                                           ? " 'omertad start --interface NAME' takes another."
                                           : "";

        return g_strconcat(message ?: g_strerror(-r), hint, NULL);
}

/* What systemd kept of the former life. Return: whether it is used. */
static bool adopt(ManagedNetwork *n) {
        TunOptions options = { .name = n->stored.interface };
        g_autofree char *message = NULL;
        char fd_name[32];
        int r;

        fd_name_of(n->stored.interface, fd_name);
        options.fd = manager_claim_fd(n->manager, fd_name);
        if (options.fd < 0)
                return false;
        r = tun_new(&options, &n->netif, &message);
        if (r >= 0)
                return true;
        managed_network_log(n, LOG_WARNING, NULL, "%s It is made anew.", message ?: g_strerror(-r));
        (void) sd_notifyf(false, "FDSTOREREMOVE=1\nFDNAME=%s", fd_name);
        close(options.fd);
        return false;
}

static void keep_over_restart(ManagedNetwork *n) {
        g_autofree char *state = NULL;
        int fd = tun_fd(n->netif);
        char fd_name[32];

        /* FDPOLL=0, because a tun reports POLLERR while it is down, on which systemd would drop it. */
        fd_name_of(n->netif->name, fd_name);
        state = g_strdup_printf("FDSTORE=1\nFDNAME=%s\nFDPOLL=0", fd_name);
        (void) sd_pid_notify_with_fds(0, false, state, &fd, 1);
}

static int open_tun(ManagedNetwork *n, char **ret_reason) {
        TunOptions options = { .name = n->stored.interface, .fd = -EBADF };
        g_autofree char *message = NULL, *old = g_strdup(n->stored.interface);
        int r;

        if (*old && adopt(n))
                return 0;
        if (!*old || !is_free(n, old))
                choose_name(n);
        r = tun_new(&options, &n->netif, &message);
        if (r < 0) {
                *ret_reason = explain(n, r, message);
                return r;
        }
        g_strlcpy(n->stored.interface, n->netif->name, sizeof n->stored.interface);
        keep_over_restart(n);
        if (!*old || strcmp(old, n->stored.interface) == 0)
                return 0;
        managed_network_log(
                        n, LOG_WARNING, NULL, "%s is somebody else's: the interface is %s now", old,
                        n->netif->name);
        r = n->is_stored ? store_put_network(n->manager->store, &n->stored) : 0;
        if (r < 0)
                managed_network_log(
                                n, LOG_ERR, NULL, "cannot store the name %s: %s", n->netif->name,
                                g_strerror(-r));
        return 0;
}

static void leave_dataplane(ManagedNetwork *n) {
        if (n->in_dataplane)
                (void) dataplane_remove_network(n->manager->dataplane, network_mesh(n->core));
        n->in_dataplane = n->dataplane_failed = false;
}

static bool is_tun(const ManagedNetwork *n) {
        return !n->manager->options.user_mode;
}

static int interface_start(void *userdata, char **ret_reason) {
        ManagedNetwork *n = userdata;

        return is_tun(n) ? open_tun(n, ret_reason) : 0;
}

static void interface_stop(void *userdata, bool for_good) {
        ManagedNetwork *n = userdata;

        if (!n->netif)
                return;
        leave_dataplane(n);
        if (!is_tun(n))
                return;
        if (for_good)
                (void) sd_notifyf(false, "FDSTOREREMOVE=1\nFDNAME=tun-%s", n->netif->name);
        n->netif = netif_free(n->netif);
}

/* --- configured --- */

static int enter_dataplane(ManagedNetwork *n) {
        DataplaneNetwork dn = {
                .mesh = network_mesh(n->core),
                .netif = n->netif,
                .routes = vnet_routes(network_vnet(n->core)),
                .drops = network_drops(n->core),
        };
        int r;

        if (n->in_dataplane)
                return 0;
        r = dataplane_add_network(n->manager->dataplane, &dn);
        if (r >= 0)
                n->in_dataplane = true;
        return r;
}

/* As PartOps.repair() returns, and its reason. */
static int configure(ManagedNetwork *n, char **ret_reason) {
        Vnet *v = network_vnet(n->core);
        const Membership *m = managed_network_membership(n);
        IpAddr address = {}, address6 = {};
        int r;

        r = enter_dataplane(n);
        if (r < 0) {
                *ret_reason = g_strdup_printf("cannot use %s: %s", n->netif->name, g_strerror(-r));
                return r;
        }
        if (network_state(n->core) != NETWORK_REVOKED) {
                if (!n->is_shut_out)
                        address = vnet_local_address(v);
                address6 = vnet_local_address6(v);
        }
        r = n->netif->ops->configure(
                        n->netif, n->addresses_held ? NULL : &address, m->subnet.len, &address6, 64,
                        (uint16_t) managed_network_mtu(n));
        if (r < 0)
                *ret_reason = g_strdup_printf(
                                "cannot give %s its address: %s", n->netif->name, g_strerror(-r));
        else if (r > 0)
                *ret_reason = g_strdup_printf(
                                "%s has no IPv6 address: this machine has IPv6 switched off there",
                                n->netif->name);
        return r;
}

static bool is_configurable(const ManagedNetwork *n) {
        return n->netif && n->core && network_vnet(n->core);
}

static void apply_addresses(ManagedNetwork *n) {
        char *reason = NULL;
        int r;

        if (!is_configurable(n))
                return;
        r = configure(n, &reason);
        part_done(&n->interface, r, reason);
}

/* All that an interface can be without is IPv6: configure(). */
bool managed_network_has_ipv6(const ManagedNetwork *n) {
        return n->interface.state != PART_DEGRADED;
}

bool managed_network_addresses_held(const ManagedNetwork *n) {
        return n->addresses_held;
}

int managed_network_hold_addresses(ManagedNetwork *n, bool held, ManagerError *error) {
        static const char *const properties[] = { "AddressesHeld", NULL };

        if (!is_tun(n))
                return manager_fail(
                                error, -EOPNOTSUPP, "NotSupported",
                                "in user mode there is no interface that has addresses");
        if (n->addresses_held == held)
                return 0;
        n->addresses_held = held;
        managed_network_log(
                        n, LOG_INFO, NULL,
                        held ? "somebody else sets the addresses of the interface now"
                             : "the addresses of the interface are set from here again");
        apply_addresses(n);
        OBSERVE(n->manager, network_changed, n, properties);
        return 0;
}

/* --- looked at and repaired --- */

static int interface_check(void *userdata, char **ret_reason) {
        ManagedNetwork *n = userdata;
        int r;

        if (!n->netif) {
                *ret_reason = g_strdup_printf("%s is gone", n->stored.interface);
                return -ENODEV;
        }
        r = n->netif->ops->check ? n->netif->ops->check(n->netif, ret_reason) : 0;
        /* In user mode the Netif is the netstack's to make anew. */
        if (r >= 0 && n->dataplane_failed && is_tun(n)) {
                *ret_reason = g_strdup_printf("%s could not be used", n->netif->name);
                r = -EIO;
        }
        return r;
}

static int interface_repair(void *userdata, char **ret_reason) {
        ManagedNetwork *n = userdata;
        g_autofree char *found = NULL;
        int r = interface_check(n, &found);

        if (r == -EIO)
                leave_dataplane(n);
        else if (r == -ENODEV) {
                part_stop_above(&n->interface, true);
                interface_stop(n, true);
                r = interface_start(n, ret_reason);
                if (r < 0)
                        return r;
                /* Its number is new, which decides what is ours among routes and addresses. */
                managed_network_look_for_conflict(n);
                manager_publish_endpoints(n->manager);
                part_start_above(&n->interface);
        }
        return is_configurable(n) ? configure(n, ret_reason) : 0;
}

static void interface_changed(void *userdata, unsigned what) {
        ManagedNetwork *n = userdata;

        if (what & PART_CHANGED_ADDRESS)
                apply_addresses(n);
        if (what & (PART_CHANGED_INTERFACE | PART_CHANGED_SLEEP))
                part_check(&n->interface);
}

static void interface_reported(void *userdata, PartState old, const char *why) {
        ManagedNetwork *n = userdata;

        managed_network_log_part(n, &n->interface, why);
}

Part *managed_network_init_interface(ManagedNetwork *n) {
        static const PartOps ops = {
                .name = "interface",
                .is_needed = true,
                .start = interface_start,
                .stop = interface_stop,
                .check = interface_check,
                .repair = interface_repair,
                .changed = interface_changed,
                .reported = interface_reported,
        };

        part_init(&n->interface, &ops, n, &n->manager->env);
        return &n->interface;
}
