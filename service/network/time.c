/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What time does to a network of this daemon: certificates that end, clocks that are wrong; what is
 * told of it, and what a person can set and repair. */

#include "base/log-ids.h"
#include "base/log.h"
#include "core/mesh/directory/directory.h"
#include "core/mesh/enrol/enrol.h"
#include "network/managed-network-internal.h"

/* Renewal begins with a third of the life left (10 days); with less than this it has failed for
 * days. */
#define CERTIFICATE_WARN_USEC (5 * USEC_PER_DAY)
#define CERTIFICATE_CHECK_USEC (6 * USEC_PER_HOUR)
/* A setting of days is stored as a signed integer of microseconds; a century is enough. */
#define POLICY_MAX_USEC (36500 * USEC_PER_DAY)

/* --- what is told --- */

static void on_check_certificate(void *userdata) {
        ManagedNetwork *n = userdata;
        const Record *certificate;
        Directory *d;
        usec_t now;

        managed_network_watch_certificate(n);
        /* Of a gateway NETWORK_TROUBLE_ROOT tells, a year before. */
        if (!n->core || !network_is_member(n->core) || managed_network_membership(n)->is_gateway)
                return;
        d = network_directory(n->core);
        now = directory_realtime(d);
        certificate = directory_certificate(d, managed_network_machine_id(n));
        if (certificate && certificate->body.not_after < now + CERTIFICATE_WARN_USEC &&
            certificate->body.not_after > now)
                managed_network_log(
                                n, LOG_WARNING, MESSAGE_ID_CERTIFICATE_EXPIRING,
                                "the certificate of this machine ends in %u hours, and the gateway could not renew it",
                                (unsigned) ((certificate->body.not_after - now) / USEC_PER_HOUR));
}

void managed_network_watch_certificate(ManagedNetwork *n) {
        timer_set(n->manager->timers, &n->certificate_timer,
                  env_now(&n->manager->env) + CERTIFICATE_CHECK_USEC, on_check_certificate, n);
}

void managed_network_note_trouble(ManagedNetwork *n, const Network *core) {
        NetworkTrouble trouble = network_trouble(core);
        const char *reason = network_state_reason(core);

        if (trouble == n->last_trouble)
                return;
        n->last_trouble = trouble;
        switch (trouble) {
        case NETWORK_TROUBLE_NONE:
                managed_network_log(
                                n, LOG_NOTICE, NULL, "the clock and the certificate are right again");
                return;
        case NETWORK_TROUBLE_CLOCK:
                managed_network_log(n, LOG_ERR, MESSAGE_ID_CLOCK_WRONG, "%s", reason ?: "");
                return;
        case NETWORK_TROUBLE_ROOT:
                managed_network_log(n, LOG_WARNING, MESSAGE_ID_ROOT_NEEDED, "%s", reason ?: "");
                return;
        case NETWORK_TROUBLE_CERTIFICATE:
        case NETWORK_TROUBLE_ABSENT:
                managed_network_log(
                                n, LOG_WARNING, MESSAGE_ID_CERTIFICATE_EXPIRED, "%s", reason ?: "");
                return;
        }
}

/* The gateway's certificate. The root's key is in memory for this one signature. */
int managed_network_sign_by_root(void *userdata, Network *core, const RecordBody *body, Record **ret) {
        ManagedNetwork *n = userdata;
        _cleanup_(identity_freep) Identity *root = NULL;
        g_autofree char *error = NULL;
        int r;

        r = store_load_root(n->manager->store, &n->id, &root, &error);
        if (r >= 0)
                r = identity_sign_record(root, &n->id, body, ret);
        if (r >= 0)
                managed_network_log(
                                n, LOG_NOTICE, NULL,
                                "the root key signs the gateway's certificate anew, for ten years");
        else if (r != -ENOENT && n->last_trouble != NETWORK_TROUBLE_ROOT)
                managed_network_log(n, LOG_ERR, MESSAGE_ID_ROOT_NEEDED, "%s", error ?: g_strerror(-r));
        return r;
}

/* --- what is set --- */

static int check_policy(ManagedNetwork *n, const NetworkPolicy *p, ManagerError *error) {
        if (!n->stored.membership.is_gateway)
                return manager_fail(
                                error, -EPERM, "NotGateway",
                                "only the gateway of the network sets this");
        if (p->max_absence > POLICY_MAX_USEC || p->grace > POLICY_MAX_USEC)
                return manager_fail(error, -EINVAL, "InvalidArgument", "more than a hundred years");
        /* Whoever is always there is renewed every 20 days. */
        if (p->max_absence != 0 && p->max_absence < POLICY_ABSENCE_MIN)
                return manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                "max-absence is at least 30 days: certificates are renewed every 20");
        if (p->grace == 0)
                return manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                "grace is at least a microsecond; say 1s for next to none");
        return 0;
}

NetworkPolicy managed_network_policy(const ManagedNetwork *n) {
        const Membership *m = managed_network_membership(n);

        return (NetworkPolicy){
                .max_absence = m->max_absence,
                .grace = m->grace ?: ENROL_GRACE_DEFAULT,
        };
}

int managed_network_set_policy(ManagedNetwork *n, const NetworkPolicy *policy, ManagerError *error) {
        static const char *const properties[] = { "MaxAbsence", "Grace", NULL };
        Membership *m = &n->stored.membership;
        usec_t max_absence = m->max_absence, grace = m->grace;
        int r;

        r = check_policy(n, policy, error);
        if (r < 0)
                return r;
        m->max_absence = policy->max_absence;
        m->grace = policy->grace;
        r = store_put_network(n->manager->store, &n->stored);
        if (r < 0) {
                m->max_absence = max_absence;
                m->grace = grace;
                return manager_fail(error, r, "Failed", "cannot store it: %s", g_strerror(-r));
        }
        if (n->core)
                network_set_policy(n->core, policy->max_absence, policy->grace);
        OBSERVE(n->manager, network_changed, n, properties);
        return 0;
}

int managed_network_fail_clock(const ManagedNetwork *n, ManagerError *error) {
        g_autofree char *why = wall_clock_explain(directory_clock(network_directory(n->core)));

        return manager_fail(
                        error, -ETIME, "ClockWrong",
                        "%s: set it right; nothing is signed until then ('omerta network repair-time' if "
                        "it is right)",
                        why);
}

int managed_network_repair_time(ManagedNetwork *n, NetworkRepair *ret, ManagerError *error) {
        if (!n->core || !network_is_member(n->core))
                return manager_fail(
                                error, -ENOTCONN, "NotJoined",
                                "the network is down: 'omerta up' first");
        *ret = network_repair_time(n->core);
        managed_network_log(
                        n, LOG_NOTICE, NULL,
                        "somebody says that the clock is right; signed anew: %u certificates, %u leases, "
                        "%u invites",
                        ret->certificates, ret->leases, ret->invites);
        return 0;
}
