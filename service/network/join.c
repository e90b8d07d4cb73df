/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A network that others made: joined and left. */

#include <sodium.h>
#include <string.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "network/join.h"
#include "network/managed-network-internal.h"

#define JOIN_TIMEOUT_USEC (10 * USEC_PER_SEC)

/* --- joining --- */

static void on_forget(void *userdata) {
        ManagedNetwork *n = userdata;
        Manager *m = n->manager;

        OBSERVE(m, network_removed, n);
        managed_network_stop_parts(n, true);
        managed_network_free(n);
}

static void on_join_done(void *userdata, Network *core, WireError error, const char *detail) {
        ManagedNetwork *n = userdata;
        ManagerJoinDone done = TAKE_PTR(n->join_done);
        ManagerError e = {};

        if (error == WIRE_ERROR_WAITING)
                error = WIRE_ERROR_NONE;
        if (error) {
                e.wire = error;
                e.message = g_strdup(detail ?: wire_error_text(error));
                managed_network_log(n, LOG_WARNING, NULL, "not joined: %s", e.message);
                if (!n->is_stored)
                        timer_set(n->manager->timers, &n->forget_timer, 0, on_forget, n);
                /* What was turned away (refused, or revoked since it was let in) stays so: the next
                 * try is another machine's. After every other error the invite may have been used
                 * up for this key. */
                if (!n->is_stored && error == WIRE_ERROR_NOT_PERMITTED)
                        (void) store_delete_membership_key(n->manager->store, &n->id);
        }
        if (done)
                done(n->join_userdata, n->is_stored || !error ? n : NULL, error ? &e : NULL);
        manager_error_clear(&e);
}

static ManagedNetwork *find_network(const Manager *m, const NetworkId *network) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (machine_id_equal(&n->id, network))
                        return n;
        }
        return NULL;
}

static int check_not_member(const ManagedNetwork *n, ManagerError *error) {
        if (!n)
                return 0;
        if (managed_network_membership(n)->is_revoked)
                return manager_fail(
                                error, -EALREADY, "AlreadyMember",
                                "this machine is no member of %s any more: 'omerta network "
                                "leave' forgets it, then it can join again",
                                managed_network_membership(n)->name);
        return manager_fail(
                        error, -EALREADY, "AlreadyMember",
                        "this machine is a member of %s already, or about to become one",
                        managed_network_membership(n)->name);
}

/* One that lets this machine in no more is no membership, and one that is just being joined none yet. */
static bool is_member(const ManagedNetwork *n) {
        return n && n->is_stored && !n->leave_done && !managed_network_membership(n)->is_revoked;
}

int manager_join(
                Manager *m,
                const char *link,
                const JoinOptions *options,
                ManagerJoinDone done,
                void *userdata,
                ManagerError *error) {
        Membership ms = {};
        ManagedNetwork *n;
        NetworkConfig c;
        Invite invite;
        int r;

        r = invite_parse(link, &invite);
        if (r < 0)
                return manager_fail(
                                error, r, "InviteInvalid",
                                r == -EPROTONOSUPPORT ? "this invite is of a later version of omerta"
                                                      : "this is no whole omerta:// link");
        n = find_network(m, &invite.network);
        if (options->member_ok && is_member(n)) {
                sodium_memzero(&invite, sizeof invite);
                done(userdata, n, NULL);
                return 0;
        }
        r = check_not_member(n, error);
        if (r >= 0 && m->networks->len >= NETWORKS_MAX)
                r =
                                manager_fail(error, -ENOSPC, "LimitReached",
                                             "this machine is in %u networks already", NETWORKS_MAX);
        if (r >= 0)
                r = manager_choose_names(options->host_name, options->owner, &ms, error);
        if (r >= 0 && ip_is_set(&invite.subnet.addr))
                r = manager_check_subnet(m, NULL, &invite.subnet, options->any_subnet, error);
        if (r < 0) {
                sodium_memzero(&invite, sizeof invite);
                return r;
        }
        n = managed_network_new(m, &invite.network);
        n->any_subnet = options->any_subnet;
        g_strlcpy(n->stored.membership.name, invite.network_name, sizeof n->stored.membership.name);
        /* Before the invite is shown: it should not be used up for nothing. */
        r = managed_network_start_parts(n, false, error);
        if (r >= 0) {
                r = store_make_membership_key(m->store, &n->id, &n->identity);
                if (r < 0)
                        (void) manager_fail(
                                        error, r, "Failed",
                                        "cannot store a key for this machine in the network: %s",
                                        g_strerror(-r));
        }
        if (r >= 0) {
                c = managed_network_core_config(n);
                n->join_done = done;
                n->join_userdata = userdata;
                r =
                                network_join(&c, &invite, ms.host_name, ms.owner, JOIN_TIMEOUT_USEC,
                                             on_join_done, n, &n->core);
                if (r < 0)
                        (void) manager_fail(error, r, "Failed", "cannot join: %s", g_strerror(-r));
        }
        sodium_memzero(&invite, sizeof invite);
        if (r < 0) {
                n->join_done = NULL;
                managed_network_stop_parts(n, true);
                managed_network_free(n);
                return r;
        }
        manager_publish_endpoints(m);
        OBSERVE(m, network_added, n);
        return 0;
}

void manager_cancel_join(Manager *m, void *userdata) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (!n->join_done || n->join_userdata != userdata)
                        continue;
                if (n->is_stored || n->leave_done)
                        return;
                on_join_done(n, n->core, WIRE_ERROR_CANCELLED, "whoever asked for it has gone");
                on_forget(n);
                manager_publish_endpoints(m);
                return;
        }
}

/* --- leaving --- */

/* What the others go by who were not told. */
static usec_t listed_until(ManagedNetwork *n) {
        const Record *certificate;

        if (!n->core || managed_network_membership(n)->is_gateway)
                return 0;
        certificate = directory_certificate(network_directory(n->core), managed_network_machine_id(n));
        return certificate ? certificate->body.not_after : 0;
}

static void on_left(void *userdata, Network *core, bool told) {
        ManagedNetwork *n = userdata;
        Manager *m = n->manager;
        LeaveResult result = { .told = told, .listed_until = told ? 0 : n->listed_until };
        ManagerLeaveDone done = TAKE_PTR(n->leave_done);
        void *leave_userdata = n->leave_userdata;
        ManagerError e = {};
        int r;

        /* While it is being joined the invite may have been used up for this key: see on_join_done(). */
        if (n->is_stored)
                r = store_delete_network(m->store, &n->id);
        else
                r = n->join_done ? 0 : store_delete_membership_key(m->store, &n->id);
        if (n->is_stored && r >= 0)
                managed_network_forget_exit(n);
        if (r < 0) {
                (void) manager_fail(&e, r, "Failed", "cannot forget it: %s", g_strerror(-r));
                done(leave_userdata, NULL, &e);
                manager_error_clear(&e);
                return;
        }
        managed_network_log(
                        n, LOG_NOTICE, NULL, "left%s",
                        result.listed_until > 0 ? ", but nobody could be told" : "");
        if (n->join_done)
                on_join_done(n, n->core, WIRE_ERROR_FAILED, "the network was left meanwhile");
        OBSERVE(m, network_removed, n);
        managed_network_stop_parts(n, true);
        managed_network_free(n);
        manager_publish_endpoints(m);
        /* Last: whoever is told finds nothing of it any more, no interface and no open port. */
        done(leave_userdata, &result, NULL);
}

static void on_leave_timer(void *userdata) {
        on_left(userdata, NULL, false);
}

/* One that is switched off has no links, and the others would not hear of it. */
static void start_to_leave(ManagedNetwork *n) {
        NetworkConfig c = managed_network_core_config(n);
        int r = network_new(&c, &n->stored.membership, &n->core);

        if (r < 0)
                managed_network_log(n, LOG_WARNING, NULL, "left without a word: %s", g_strerror(-r));
}

int managed_network_leave(
                ManagedNetwork *n,
                bool force,
                ManagerLeaveDone done,
                void *userdata,
                ManagerError *error) {
        const Membership *m = managed_network_membership(n);

        if (m->is_gateway && !force)
                return manager_fail(
                                error, -EPERM, "NotPermitted",
                                "this machine is the gateway: leaving ends the network for "
                                "everybody; say --force if that is meant");
        if (n->leave_done)
                return manager_fail(error, -EBUSY, "Failed", "%s is being left already", m->name);
        n->leave_done = done;
        n->leave_userdata = userdata;
        if (!n->core && n->is_stored && !m->is_revoked && !m->is_gateway)
                start_to_leave(n);
        n->listed_until = listed_until(n);
        if (n->core)
                network_leave(n->core, on_left, n);
        else
                timer_set(n->manager->timers, &n->forget_timer, 0, on_leave_timer, n);
        return 0;
}
