/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What sends this machine's traffic to an exit, as a part: the policy routing (host/rtnl-detour.h) that
 * leads into the interface while its user wants an exit. Which one, and whether it answers, is the core's
 * business (core/network-exit.c): while nobody does, packets come here all the same and their senders
 * are told, so that nothing leaves by the machine's own way unnoticed. With the daemon it ends.
 *
 * It stands on the interface, whose address packets are sent from. What somebody takes away is made
 * anew.
 */

#include "base/log-ids.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/rtnl-detour.h"
#include "network/managed-network-internal.h"

/* What is to be there. Return: false: nothing. */
static bool describe(const ManagedNetwork *n, RtnlDetour *ret) {
        Vnet *v = n->core ? network_vnet(n->core) : NULL;

        if (!n->exit_wish.on || !v || !n->netif || !n->in_dataplane ||
            network_state(n->core) == NETWORK_REVOKED)
                return false;
        *ret = (RtnlDetour){
                .ifindex = n->netif->ifindex,
                .port = n->manager->port,
                .lan = !n->stored.exit_lan_off,
                .inside = &n->manager->inside,
        };
        if (!n->is_shut_out)
                ret->source = vnet_local_address(v);
        if (managed_network_has_ipv6(n))
                ret->source6 = vnet_local_address6(v);
        return ip_is_set(&ret->source) || ip_is_set(&ret->source6);
}

/* What does not go by the exit though it should: a sentence, or NULL. */
static char *find_leak(ManagedNetwork *n, const RtnlDetour *e) {
        bool v4 = !ip_is_set(&e->source) &&
                  rtnl_has_default(n->manager->rtnl, AF_INET, e->ifindex) > 0;
        bool v6 = !ip_is_set(&e->source6) &&
                  rtnl_has_default(n->manager->rtnl, AF_INET6, e->ifindex) > 0;

        return v4 || v6 ? g_strdup_printf("%s does not go by the exit but by this machine's own way: %s "
                                          "has no address for it",
                                          v4 ? "IPv4" : "IPv6", n->netif->name)
                        : NULL;
}

/* As PartOps.repair(). */
static int detour_apply(void *userdata, char **ret_reason) {
        ManagedNetwork *n = userdata;
        RtnlDetour e;
        int r;

        if (!describe(n, &e)) {
                if (!n->detour_is_set)
                        return 0;
                r = rtnl_detour_clear(n->manager->rtnl);
                n->detour_is_set = r < 0;
        } else {
                r = rtnl_detour_set(n->manager->rtnl, &e);
                n->detour_is_set = r >= 0;
                if (r >= 0)
                        *ret_reason = find_leak(n, &e);
        }
        if (r < 0)
                *ret_reason = g_strdup_printf(
                                "cannot change this machine's routing for the exit: %s",
                                g_strerror(-r));
        return r < 0 ? r : *ret_reason != NULL;
}

static void detour_stop(void *userdata, bool for_good) {
        ManagedNetwork *n = userdata;

        if (n->detour_is_set)
                (void) rtnl_detour_clear(n->manager->rtnl);
        n->detour_is_set = false;
        n->hand_made = (NetworkExitWish){};
}

static int detour_check(void *userdata, char **ret_reason) {
        ManagedNetwork *n = userdata;
        RtnlDetour e;
        int r;

        if (!describe(n, &e))
                return n->detour_is_set ? -EEXIST : 0;
        r = rtnl_detour_is_set(n->manager->rtnl, &e);
        if (r > 0)
                return 0;
        *ret_reason = g_strdup("somebody changed this machine's routing for the exit");
        return r < 0 ? r : -ENOENT;
}

static void apply_now(ManagedNetwork *n) {
        char *reason = NULL;
        int r = detour_apply(n, &reason);

        part_done(&n->detour, r, reason);
}

/* --- a default route that somebody made over our interface by hand --- */

/* Who may do that says by it which exit is meant: the machine that has the router's address, or
 * any. Return: false: nobody did. */
static bool find_hand_made(const ManagedNetwork *n, NetworkExitWish *ret) {
        static const int families[] = { AF_INET, AF_INET6 };
        Vnet *v = n->core ? network_vnet(n->core) : NULL;
        NetworkExitWish w = { .on = true };
        IpAddr router;

        for (unsigned i = 0; v && n->netif && i < ELEMENTSOF(families); i++) {
                if (rtnl_default_over(n->manager->rtnl, families[i], n->netif->ifindex, &router) <= 0)
                        continue;
                if (ip_is_set(&router) && vnet_lookup_machine(v, &router, &w.machine[0]))
                        w.n = 1;
                *ret = w;
                return true;
        }
        return false;
}

/* It is no wish that is kept, and the machine's routing is left to whoever changed it. */
static void follow_hand_made(ManagedNetwork *n) {
        NetworkExitWish w = {};
        bool is_there;

        if (n->exit_wish.on || !n->core)
                return;
        is_there = find_hand_made(n, &w);
        if (is_there == n->hand_made.on && w.n == n->hand_made.n &&
            (w.n == 0 || machine_id_equal(&w.machine[0], &n->hand_made.machine[0])))
                return;
        n->hand_made = w;
        network_use_exit(n->core, &w);
}

static void detour_changed(void *userdata, unsigned what) {
        ManagedNetwork *n = userdata;

        if (what & (PART_CHANGED_ADDRESS | PART_CHANGED_ROUTES | PART_CHANGED_INTERFACE))
                follow_hand_made(n);
        /* The address may be another, or the interface. */
        if (what & (PART_CHANGED_ADDRESS | PART_CHANGED_BELOW))
                apply_now(n);
        else if (what & (PART_CHANGED_ROUTES | PART_CHANGED_INTERFACE | PART_CHANGED_SLEEP))
                part_check(&n->detour);
}

static void detour_reported(void *userdata, PartState old, const char *why) {
        ManagedNetwork *n = userdata;

        managed_network_log_part(n, &n->detour, why);
}

void managed_network_apply_detour(ManagedNetwork *n) {
        if (n->detour.state <= PART_STARTING)
                return;
        n->hand_made = (NetworkExitWish){};
        follow_hand_made(n);
        apply_now(n);
}

Part *managed_network_init_detour(ManagedNetwork *n) {
        static const PartOps ops = {
                .name = "detour",
                .stop = detour_stop,
                .check = detour_check,
                .repair = detour_apply,
                .changed = detour_changed,
                .reported = detour_reported,
        };

        part_init(&n->detour, &ops, n, &n->manager->env);
        return &n->detour;
}
