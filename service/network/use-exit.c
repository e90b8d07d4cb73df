/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The exit this machine uses in a network: the user's wish, kept in the store, and what becomes of
 * it. The choice is the core's (core/network-exit.c), the routing a part's (part-detour.c). */

#include <string.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "base/macros.h"
#include "network/managed-network-internal.h"

#define AUTO "auto"
#define NONE "none"

static const char *const properties[] = { "Exit",       "ExitWanted", "ExitState",
                                          "ExitReason", "ExitLan",    NULL };

/* --- as it is kept: "", "auto", or ids with commas between them --- */

static void write_wish(const NetworkExitWish *w, char ret[static EXIT_TEXT_SIZE]) {
        ret[0] = '\0';
        if (w->on && w->n == 0)
                g_strlcpy(ret, AUTO, EXIT_TEXT_SIZE);
        for (unsigned i = 0; w->on && i < w->n; i++) {
                if (i > 0)
                        g_strlcat(ret, ",", EXIT_TEXT_SIZE);
                g_strlcat(ret, machine_id_format(&w->machine[i]).text, EXIT_TEXT_SIZE);
        }
}

/* What another version wrote and this one cannot read is no wish. */
static NetworkExitWish read_wish(const char *text) {
        g_auto(GStrv) ids = g_strsplit(text, ",", -1);
        NetworkExitWish w = { .on = true };

        if (strcmp(text, AUTO) == 0)
                return w;
        for (unsigned i = 0; ids[i]; i++)
                if (w.n == EXITS_WANTED_MAX || machine_id_parse(ids[i], &w.machine[w.n++]) < 0)
                        return (NetworkExitWish){};
        w.on = w.n > 0;
        return w;
}

void managed_network_load_wish(ManagedNetwork *n) {
        n->exit_wish = read_wish(n->stored.exit);
}

/* --- what people say --- */

static int parse(ManagedNetwork *n, const char *text, NetworkExitWish *ret, ManagerError *error) {
        g_auto(GStrv) names = g_strsplit(text, ",", -1);
        NetworkExitWish w = { .on = true };
        int r;

        if (strcmp(text, NONE) == 0 || strcmp(text, AUTO) == 0) {
                *ret = (NetworkExitWish){ .on = strcmp(text, AUTO) == 0 };
                return 0;
        }
        if (!names[0])
                return manager_fail(error, -EINVAL, "InvalidArgument", "no machine is named");
        for (unsigned i = 0; names[i]; i++) {
                if (w.n == EXITS_WANTED_MAX)
                        return manager_fail(
                                        error, -EINVAL, "InvalidArgument",
                                        "at most %u machines can be named: 'auto' takes any",
                                        EXITS_WANTED_MAX);
                r = managed_network_find_machine(n, names[i], &w.machine[w.n], error);
                if (r < 0)
                        return r;
                if (machine_id_equal(&w.machine[w.n], managed_network_machine_id(n)))
                        return manager_fail(
                                        error, -ELOOP, "InvalidArgument",
                                        "%s is this machine itself", names[i]);
                w.n++;
        }
        *ret = w;
        return 0;
}

/* There is one way out of a machine. */
static int check_others(const ManagedNetwork *n, ManagerError *error) {
        const Manager *m = n->manager;

        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *o = m->networks->pdata[i];

                if (o != n && o->exit_wish.on)
                        return manager_fail(
                                        error, -EBUSY, "LimitReached",
                                        "this machine uses an exit of the network %s: 'omerta gateway "
                                        "use none -n %s' first",
                                        managed_network_membership(o)->name,
                                        managed_network_membership(o)->name);
        }
        return 0;
}

static int store_wish(ManagedNetwork *n, const NetworkExitWish *wish, bool lan, ManagerError *error) {
        StoredNetwork before = n->stored;
        int r;

        write_wish(wish, n->stored.exit);
        n->stored.exit_lan_off = !lan;
        r = store_put_network(n->manager->store, &n->stored);
        if (r >= 0)
                return 0;
        memcpy(n->stored.exit, before.exit, sizeof n->stored.exit);
        n->stored.exit_lan_off = before.exit_lan_off;
        return manager_fail(error, r, "Failed", "cannot store it: %s", g_strerror(-r));
}

int managed_network_use_exit(ManagedNetwork *n, const char *text, bool lan, ManagerError *error) {
        NetworkExitWish wish;
        int r;

        if (!n->is_stored)
                return manager_fail(error, -EBUSY, "NotJoined", "the network is about to be joined");
        if (!n->core && strcmp(text, NONE) != 0)
                return manager_fail(
                                error, -ENETDOWN, "Unreachable",
                                "the network is down: 'omerta up' starts it");
        r = parse(n, text, &wish, error);
        if (r >= 0 && wish.on)
                r = check_others(n, error);
        if (r >= 0)
                r = store_wish(n, &wish, lan, error);
        if (r < 0)
                return r;
        n->exit_wish = wish;
        if (n->core)
                network_use_exit(n->core, &wish);
        managed_network_apply_detour(n);
        OBSERVE(n->manager, network_changed, n, properties);
        return 0;
}

/* --- what became of it --- */

static void log_exit(ManagedNetwork *n, const NetworkExitInfo *i) {
        const Record *c = directory_certificate(network_directory(n->core), &i->machine);
        const char *only = i->families == PRESENCE_EXIT_V4   ? ", by IPv4 alone"
                           : i->families == PRESENCE_EXIT_V6 ? ", by IPv6 alone"
                                                             : "";

        switch (i->state) {
        case NETWORK_EXIT_OFF:
                managed_network_log(
                                n, LOG_NOTICE, MESSAGE_ID_EXIT_CHANGED, "no exit is used any more");
                return;
        case NETWORK_EXIT_UP:
                managed_network_log(
                                n, LOG_NOTICE, MESSAGE_ID_EXIT_CHANGED, "the exit is %s%s",
                                c ? c->body.certificate.name : "?", only);
                return;
        case NETWORK_EXIT_UNAVAILABLE:
                managed_network_log(
                                n, LOG_WARNING, MESSAGE_ID_EXIT_UNAVAILABLE,
                                "there is no exit: %s. 'omerta gateway use none' goes back to this "
                                "machine's own way",
                                i->reason);
                return;
        case NETWORK_EXIT_CONNECTING:
        case _NETWORK_EXIT_STATE_MAX:
                return;
        }
}

void managed_network_note_exit(ManagedNetwork *n) {
        NetworkExitInfo i = network_exit_info(n->core);

        log_exit(n, &i);
        OBSERVE(n->manager, network_changed, n, properties);
}

ManagedWayOut managed_network_way_out(const ManagedNetwork *n) {
        ManagedWayOut e = {
                .wanted = n->stored.exit[0] ? n->stored.exit : NONE,
                .state = network_exit_state_to_string(NETWORK_EXIT_OFF),
                .reason = "",
                .lan = !n->stored.exit_lan_off,
        };

        if (n->core) {
                NetworkExitInfo i = network_exit_info(n->core);

                e.state = network_exit_state_to_string(i.state);
                e.reason = i.reason;
                e.is_chosen = i.is_chosen;
                e.machine = i.machine;
        } else if (n->exit_wish.on) {
                e.state = network_exit_state_to_string(NETWORK_EXIT_UNAVAILABLE);
                e.reason = "the network is down";
        }
        return e;
}
