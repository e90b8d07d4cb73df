/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* This machine as the network's exit, as a part: the table of nftables, forwarding, and that
 * members are told. In this order, and in the reverse: at no time does the kernel forward what the
 * table does not look at. What it needs of the machine (addresses, default routes) may be away:
 * then nothing is offered, and the network itself has no trouble. */

#include <string.h>

#include "base/log.h"
#include "core/crypto/kdf.h"
#include "network/managed-network-internal.h"

/* Leases come and go together. */
#define SETTLE_USEC (50 * USEC_PER_MSEC)
/* What the kernel refused may be another program's doing, and pass. */
#define AGAIN_USEC (10 * USEC_PER_SEC)

static void on_timer(void *userdata);

static void look_after(ManagedNetwork *n, usec_t delay) {
        const MeshEnv *env = &n->manager->env;

        timer_set(env->timers, &n->exit.timer, usec_add(env_now(env), delay), on_timer, n);
}

/* --- what is wanted --- */

typedef struct Gathering {
        ManagedNetwork *n;
        ExitRules *rules;
        GArray *prefixes; /* of IpPrefix: granted to the machine that is looked at */
} Gathering;

static void add_grants(Gathering *g, const IpAddr *address) {
        for (unsigned i = 0; i < g->prefixes->len; i++) {
                const IpPrefix *p = &g_array_index(g->prefixes, IpPrefix, i);
                ExitGrant grant = { .member = *address, .prefix = *p };

                if (p->addr.family == address->family && g->rules->grants->len < EXIT_GRANTED_MAX)
                        g_array_append_val(g->rules->grants, grant);
        }
}

static void on_member(void *userdata, Record *certificate) {
        Gathering *g = userdata;
        ManagedNetwork *n = g->n;
        const MachineId *machine = &certificate->body.machine;
        const char *owner = certificate->body.certificate.owner;
        IpAddr address[2] = { {}, ula_address(&n->id, machine) };
        bool allowed = exit_policy_allows(n->exit.policy, machine, owner);

        if (machine_id_equal(machine, managed_network_machine_id(n)) ||
            g->rules->members->len + 2 > 2 * EXIT_MEMBERS_MAX)
                return;
        g_array_set_size(g->prefixes, 0);
        exit_policy_granted(n->exit.policy, machine, owner, g->prefixes);
        (void) vnet_lookup_address(network_vnet(n->core), machine, &address[0]);
        for (size_t i = 0; i < ELEMENTSOF(address); i++) {
                if (!ip_is_set(&address[i]))
                        continue;
                if (allowed)
                        g_array_append_val(g->rules->members, address[i]);
                add_grants(g, &address[i]);
        }
}

static void gather_members(ManagedNetwork *n, ExitRules *rules) {
        g_autoptr(GArray) prefixes = g_array_new(FALSE, FALSE, sizeof(IpPrefix));
        Gathering g = { n, rules, prefixes };

        directory_foreach(network_directory(n->core), RECORD_CERTIFICATE, on_member, &g);
        for (unsigned i = 0; i < n->exit.policy->lan->len; i++) {
                const ExitLan *l = &g_array_index(n->exit.policy->lan, ExitLan, i);
                ExitGrant grant = { .prefix = l->prefix };

                if (l->subject.kind == EXIT_ALL)
                        g_array_append_val(rules->grants, grant);
        }
}

/* What forwarding was switched on for, that forwards for us alone. @all: it is not yet, and may be. */
static void
gather_guarded(const ManagedNetwork *n,
               ExitRules *rules,
               const RtnlUplink *links,
               unsigned n_links,
               bool all) {
        const Forwarding *f = n->manager->forwarding;

        for (unsigned i = 0; i < n_links && links[i].ifindex != n->netif->ifindex; i++)
                if (all || forwarding_is_ours(f, links[i].name))
                        g_strlcpy(rules->guarded[rules->n_guarded++], links[i].name, 16);
        rules->guards_all6 = all || forwarding_is_ours_all6(f);
}

static int gather_machine(ManagedNetwork *n, ExitRules *rules) {
        unsigned ours[NETWORKS_MAX], n_ours = manager_own_interfaces(n->manager, ours);

        g_strlcpy(rules->interface, n->netif->name, sizeof rules->interface);
        if (n->manager->options.interface)
                g_strlcpy(rules->other_interface, n->manager->options.interface,
                          sizeof rules->other_interface);
        rules->subnet[0] = managed_network_membership(n)->subnet;
        if (managed_network_has_ipv6(n))
                rules->subnet[1] = managed_network_prefix6(n);
        g_array_unref(TAKE_PTR(rules->links));
        return rtnl_connected(n->manager->rtnl, ours, n_ours, EXIT_LINKS_MAX, &rules->links);
}

static int apply_rules(ManagedNetwork *n, const RtnlUplink *links, unsigned n_links, bool guard_all) {
        ExitRules rules;
        int r;

        exit_rules_init(&rules);
        gather_guarded(n, &rules, links, n_links, guard_all);
        r = gather_machine(n, &rules);
        if (r >= 0) {
                gather_members(n, &rules);
                r = exit_apply(n->exit.exit, &rules);
        }
        exit_rules_clear(&rules);
        return r;
}

/* --- open and closed --- */

static void tell(ManagedNetwork *n, bool v4, bool v6, char *reason) {
        static const char *const properties[] = { "State", NULL };
        ManagedExit *e = &n->exit;
        bool is_news = e->v4 != v4 || e->v6 != v6 || g_strcmp0(e->reason, reason) != 0;

        g_free(e->reason);
        e->reason = reason;
        e->v4 = v4;
        e->v6 = v6;
        if (n->core)
                network_set_exit_offer(n->core, v4, v6);
        if (!is_news)
                return;
        if (reason)
                managed_network_log(n, LOG_WARNING, NULL, "exit to the internet: %s", reason);
        else
                managed_network_log(
                                n, LOG_NOTICE, NULL, "%s",
                                v4 || v6 ? "this machine is an exit to the internet now"
                                         : "this machine is no exit to the internet any more");
        OBSERVE(n->manager, network_changed, n, properties);
}

/* @reason: taken; NULL: it is not wanted. */
static void close_exit(ManagedNetwork *n, char *reason) {
        n->exit.has_failed = false;
        tell(n, false, false, reason);
        forwarding_clear(n->manager->forwarding, n);
        n->exit.exit = exit_free(n->exit.exit);
}

/* "omerta-omerta0" */
static int open_exit(ManagedNetwork *n) {
        g_autofree char *table = g_strdup_printf("%s-%s", OMERTA_INTERFACE_PREFIX, n->netif->name);
        Nft *nft;
        int r;

        if (n->exit.exit)
                return 0;
        r = nft_open(table, &nft);
        if (r >= 0)
                n->exit.exit = exit_new(nft);
        return r;
}

static void fail(ManagedNetwork *n, int r, const char *what) {
        close_exit(n, g_strdup_printf("%s: %s", what, g_strerror(-r)));
        n->exit.has_failed = true;
        look_after(n, AGAIN_USEC);
}

static const char *nft_trouble(int r) {
        switch (r) {
        case -EOPNOTSUPP:
        case -EINVAL:
                return "the kernel does not take the rules (Linux 5.12 or later, with nf_tables, does)";
        case -EEXIST:
        case -EPERM:
                return "its table of nftables is somebody else's";
        default:
                return "cannot make the table of nftables";
        }
}

/* To everywhere, to what is granted, and, the last, our own interface, by which packets come in.
 * Return: how many, or negative errno. */
static int find_links(const ManagedNetwork *n, RtnlUplink links[static EXIT_UPLINKS_MAX + 1]) {
        unsigned ours[NETWORKS_MAX], n_ours = manager_own_interfaces(n->manager, ours);
        g_autoptr(GArray) to = g_array_new(FALSE, FALSE, sizeof(IpPrefix));
        RtnlUplink own = { .ifindex = n->netif->ifindex };
        int n_links;

        for (unsigned i = 0; i < n->exit.policy->lan->len; i++)
                g_array_append_val(to, g_array_index(n->exit.policy->lan, ExitLan, i).prefix);
        n_links = rtnl_uplinks(n->manager->rtnl, ours, n_ours, to, links, EXIT_UPLINKS_MAX);
        if (n_links < 0)
                return n_links;

        for (int i = 0; i < n_links; i++) {
                own.has_v4 = own.has_v4 || links[i].has_v4;
                own.has_v6 = own.has_v6 || links[i].has_v6;
                own.is_default4 = own.is_default4 || links[i].is_default4;
                own.is_default6 = own.is_default6 || links[i].is_default6;
        }
        g_strlcpy(own.name, n->netif->name, sizeof own.name);
        links[n_links] = own;
        return n_links + 1;
}

/* @n_links: with our own interface, the last. */
static void open_all(ManagedNetwork *n, const RtnlUplink *links, unsigned n_links) {
        const RtnlUplink *own = &links[n_links - 1];
        IpAddr address = vnet_local_address(network_vnet(n->core));
        bool v4 = own->is_default4 && ip_is_set(&address) && !n->is_shut_out, v6 = own->is_default6;
        bool is_new = !n->exit.exit;
        char *reason = NULL;
        int r, r6;

        r = open_exit(n);
        /* Nothing is forwarded before there are rules, and they say what was not forwarded before. */
        if (r >= 0 && is_new)
                r = apply_rules(n, links, n_links, true);
        if (r < 0) {
                fail(n, r, nft_trouble(r));
                return;
        }
        r = forwarding_set(n->manager->forwarding, n, links, n_links, &r6);
        if (r < 0) {
                fail(n, r, "cannot switch forwarding on");
                return;
        }
        r = apply_rules(n, links, n_links, false);
        if (r >= 0)
                r = exit_check(n->exit.exit);
        if (r < 0) {
                fail(n, r, nft_trouble(r));
                return;
        }
        if (v6 && r6 < 0)
                reason = g_strdup_printf(
                                "IPv6 is not carried, its forwarding cannot be switched on: %s",
                                g_strerror(-r6));
        else if (v6 && !managed_network_has_ipv6(n))
                reason = g_strdup("IPv6 is not carried, this machine has it switched off");
        tell(n, v4, v6 && !reason, reason);
}

void managed_network_apply_exit(ManagedNetwork *n) {
        RtnlUplink links[EXIT_UPLINKS_MAX + 1];
        int n_links;

        timer_clear(&n->exit.timer);
        if (n->exit_part.state == PART_STOPPED || !n->manager->forwarding)
                return;
        if (!n->exit.is_on || managed_network_check_exit(n, NULL) < 0) {
                close_exit(n, NULL);
                return;
        }
        if (!n->netif || !n->core || !network_vnet(n->core)) {
                close_exit(n, g_strdup("this machine has no address in the network"));
                return;
        }
        n_links = find_links(n, links);
        if (n_links < 0)
                fail(n, n_links, "cannot read the routes of this machine");
        else if (!links[n_links - 1].is_default4 && !links[n_links - 1].is_default6)
                close_exit(n, g_strdup("this machine has no default route"));
        else
                open_all(n, links, (unsigned) n_links);
}

/* --- the part --- */

static void on_timer(void *userdata) {
        managed_network_apply_exit(userdata);
}

static int part_exit_start(void *userdata, char **ret_reason) {
        ManagedNetwork *n = userdata;

        if (n->exit.is_on)
                look_after(n, 0);
        return 0;
}

static void part_exit_stop(void *userdata, bool for_good) {
        ManagedNetwork *n = userdata;

        timer_clear(&n->exit.timer);
        close_exit(n, NULL);
}

static void part_exit_changed(void *userdata, unsigned what) {
        ManagedNetwork *n = userdata;

        /* Sooner than a try that is due, or with it. */
        if (n->exit.is_on && (what & ~PART_CHANGED_LINK))
                look_after(n, SETTLE_USEC);
}

Part *managed_network_init_exit(ManagedNetwork *n) {
        static const PartOps ops = {
                .name = "exit",
                .start = part_exit_start,
                .stop = part_exit_stop,
                .changed = part_exit_changed,
        };

        part_init(&n->exit_part, &ops, n, &n->manager->env);
        return &n->exit_part;
}
