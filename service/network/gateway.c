/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/gateway.h"

#include <string.h>

#include "base/log.h"
#include "core/crypto/kdf.h"
#include "network/managed-network-internal.h"

/* --- stored: "on" or "off", and the policy in the lines after it --- */

static char *setting_of(const ManagedNetwork *n) {
        return g_strconcat("exit.", machine_id_format(&n->id).text, NULL);
}

static int store(const ManagedNetwork *n, bool is_on, const ExitPolicy *p, ManagerError *error) {
        g_autofree char *name = setting_of(n), *words = exit_policy_format(p);
        g_autofree char *text = g_strconcat(is_on ? "on\n" : "off\n", words, NULL);
        int r = store_put_setting(n->manager->store, name, text);

        return r < 0 ? manager_fail(error, r, "Failed", "cannot store it: %s", g_strerror(-r)) : 0;
}

/* What cannot be read counts as "off": nobody is let out by mistake. */
void managed_network_load_exit(ManagedNetwork *n) {
        g_autofree char *name = setting_of(n), *text = NULL;
        char *words;
        ExitPolicy *p;

        if (store_get_setting(n->manager->store, name, &text) < 0)
                return;
        words = strchr(text, '\n');
        n->exit.is_set = true;
        if (!words || exit_policy_parse(words + 1, &p) < 0) {
                managed_network_log(
                                n, LOG_ERR, NULL,
                                "what was set for the exit cannot be read: it is off");
                return;
        }
        exit_policy_free(n->exit.policy);
        n->exit.policy = p;
        n->exit.is_on = g_str_has_prefix(text, "on\n");
}

void managed_network_forget_exit(ManagedNetwork *n) {
        g_autofree char *name = setting_of(n);

        n->exit.is_on = false;
        managed_network_apply_exit(n);
        (void) store_delete_setting(n->manager->store, name);
}

/* --- on and off --- */

int managed_network_check_exit(const ManagedNetwork *n, ManagerError *error) {
        const ManagerOptions *o = &n->manager->options;
        const Record *c = n->core ? directory_certificate(
                                                    network_directory(n->core),
                                                    managed_network_machine_id(n))
                                  : NULL;
        bool may = c ? c->body.certificate.roles & (ROLE_GATEWAY | ROLE_EXIT)
                     : managed_network_membership(n)->is_gateway;

        if (o->user_mode || !o->vpn)
                return manager_fail(
                                error, -EOPNOTSUPP, "NotSupported",
                                "only a daemon with an interface (omertad start --vpn) can be an exit");
        if (!may)
                return manager_fail(
                                error, -EPERM, "NotGateway",
                                "this machine is not the gateway of %s: members would not believe it",
                                n->stored.membership.name);
        return 0;
}

static int check_stored(const ManagedNetwork *n, ManagerError *error) {
        return n->is_stored ? 0
                            : manager_fail(error, -EBUSY, "NotJoined",
                                           "the network is about to be joined");
}

static void changed(ManagedNetwork *n) {
        static const char *const properties[] = { "Enabled", NULL };

        managed_network_apply_exit(n);
        OBSERVE(n->manager, network_changed, n, properties);
}

int managed_network_set_exit(ManagedNetwork *n, bool on, ManagerError *error) {
        int r = check_stored(n, error);

        if (r >= 0 && on)
                r = managed_network_check_exit(n, error);
        if (r >= 0)
                r = store(n, on, n->exit.policy, error);
        if (r < 0)
                return r;
        n->exit.is_set = true;
        n->exit.is_on = on;
        changed(n);
        return 0;
}

int managed_network_set_exit_by_default(ManagedNetwork *n, ManagerError *error) {
        return n->exit.is_set ? 0 : managed_network_set_exit(n, true, error);
}

bool managed_network_exit_is_on(const ManagedNetwork *n) {
        return n->exit.is_on;
}

const char *managed_network_exit_state(const ManagedNetwork *n) {
        if (!n->exit.is_on)
                return "off";
        if (n->exit.v4 || n->exit.v6)
                return "up";
        return n->exit.has_failed ? "failed" : "waiting";
}

const char *managed_network_exit_reason(const ManagedNetwork *n) {
        if (n->exit.is_on && !n->core)
                return "the network is switched off";
        return n->exit.is_on && n->exit.reason ? n->exit.reason : "";
}

bool managed_network_exit_has(const ManagedNetwork *n, int family) {
        return family == AF_INET ? n->exit.v4 : n->exit.v6;
}

/* --- who may, and where to --- */

const ExitPolicy *managed_network_exit_policy(const ManagedNetwork *n) {
        return n->exit.policy;
}

static int find_subject(ManagedNetwork *n, const char *who, ExitSubject *ret, ManagerError *error) {
        int r = exit_subject_parse(who, ret);

        if (r == -EINVAL)
                return manager_fail(
                                error, r, "InvalidArgument",
                                "'%s' is neither a machine nor owner:NAME nor *", who);
        if (r >= 0)
                return 0;
        r = managed_network_find_machine(n, who, &ret->machine, error);
        ret->kind = EXIT_MACHINE;
        ret->owner[0] = '\0';
        return r;
}

/* A copy, to be changed, stored, and put in place of the other. */
static ExitPolicy *copy_policy(const ExitPolicy *p) {
        g_autofree char *words = exit_policy_format(p);
        ExitPolicy *copy = NULL;
        int r = exit_policy_parse(words, &copy);

        assert(r >= 0);
        return copy;
}

/* @p: taken. @r: of what changed it. */
static int take_policy(ManagedNetwork *n, ExitPolicy *p, int r, ManagerError *error) {
        if (r == -ENOSPC)
                (void) manager_fail(
                                error, r, "LimitReached", "%u words are said already",
                                EXIT_WORDS_MAX);
        else if (r == -ENOENT)
                (void) manager_fail(error, r, "InvalidArgument", "that was not granted");
        else if (r >= 0)
                r = store(n, n->exit.is_on, p, error);
        if (r < 0) {
                exit_policy_free(p);
                return r;
        }
        exit_policy_free(n->exit.policy);
        n->exit.policy = p;
        n->exit.is_set = true;
        changed(n);
        return 0;
}

int managed_network_allow_exit(ManagedNetwork *n, const char *who, bool allowed, ManagerError *error) {
        ExitSubject subject = {};
        ExitPolicy *p;
        int r = check_stored(n, error);

        if (r >= 0)
                r = find_subject(n, who, &subject, error);
        if (r < 0)
                return r;
        p = copy_policy(n->exit.policy);
        return take_policy(n, p, exit_policy_set_access(p, &subject, allowed), error);
}

int managed_network_grant_lan(
                ManagedNetwork *n,
                const char *prefix,
                const char *who,
                bool granted,
                ManagerError *error) {
        ExitSubject subject = {};
        IpPrefix parsed;
        ExitPolicy *p;
        int r = check_stored(n, error);

        if (r >= 0 && ip_prefix_parse(prefix, &parsed) < 0)
                r = manager_fail(
                                error, -EINVAL, "InvalidArgument",
                                "'%s' is no prefix like 192.168.7.0/24, with zeros behind it",
                                prefix);
        if (r >= 0)
                r = find_subject(n, who, &subject, error);
        if (r < 0)
                return r;
        p = copy_policy(n->exit.policy);
        return take_policy(n, p, exit_policy_set_lan(p, &parsed, &subject, granted), error);
}

/* --- looks --- */

IpPrefix managed_network_prefix6(const ManagedNetwork *n) {
        IpPrefix p = { .addr = ula_address(&n->id, managed_network_machine_id(n)), .len = 64 };

        memset(p.addr.bytes + 8, 0, 8);
        return p;
}

typedef struct Walk {
        ManagedNetwork *n;
        ExitMemberCallback callback;
        void *userdata;
} Walk;

static void add_usage(const ManagedNetwork *n, const IpAddr *a, ExitUsage *to) {
        ExitUsage u = n->exit.exit && ip_is_set(a) ? exit_usage(n->exit.exit, a) : (ExitUsage){};

        to->packets_out += u.packets_out;
        to->bytes_out += u.bytes_out;
        to->packets_in += u.packets_in;
        to->bytes_in += u.bytes_in;
}

static void on_certificate(void *userdata, Record *c) {
        Walk *w = userdata;
        ExitMemberInfo info = {
                .machine = c->body.machine,
                .name = c->body.certificate.name,
                .allowed = exit_policy_allows(
                                w->n->exit.policy, &c->body.machine, c->body.certificate.owner),
        };
        IpAddr v4 = {}, v6 = ula_address(&w->n->id, &c->body.machine);

        if (machine_id_equal(&c->body.machine, managed_network_machine_id(w->n)))
                return;
        (void) vnet_lookup_address(network_vnet(w->n->core), &c->body.machine, &v4);
        add_usage(w->n, &v4, &info.usage);
        add_usage(w->n, &v6, &info.usage);
        w->callback(w->userdata, &info);
}

/* Everybody may ask for them, and with tens of thousands of members the kernel takes seconds to
 * tell: a tenth of our time at most. */
static void read_usage(ManagedNetwork *n) {
        const MeshEnv *env = &n->manager->env;
        usec_t begin = env_now(env);

        if (!n->exit.exit || begin < n->exit.read)
                return;
        (void) exit_read_usage(n->exit.exit);
        n->exit.read = env_now(env) + 9 * (env_now(env) - begin);
}

void managed_network_foreach_exit_member(ManagedNetwork *n, ExitMemberCallback callback, void *userdata) {
        Walk w = { n, callback, userdata };

        if (!n->core || !network_vnet(n->core))
                return;
        read_usage(n);
        directory_foreach(network_directory(n->core), RECORD_CERTIFICATE, on_certificate, &w);
}

void managed_network_exit_counters(ManagedNetwork *n, uint64_t *ret_refused, uint64_t *ret_too_many) {
        if (n->exit.exit)
                (void) exit_read_refused(n->exit.exit);
        *ret_refused = n->exit.exit ? exit_refused(n->exit.exit) : 0;
        *ret_too_many = n->exit.exit ? exit_too_many(n->exit.exit) : 0;
}

int managed_network_list_exit_flows(ManagedNetwork *n, GArray **ret, ManagerError *error) {
        g_autoptr(GArray) flows = g_array_new(FALSE, FALSE, sizeof(ConntrackFlow));
        IpPrefix from[2] = { managed_network_membership(n)->subnet, managed_network_prefix6(n) };
        int sum = 0;

        for (size_t i = 0; n->exit.exit && i < ELEMENTSOF(from); i++) {
                g_autoptr(GArray) some = NULL;
                int r = conntrack_list(&from[i], EXIT_FLOWS_SHOWN_MAX, &some);

                if (r < 0)
                        return manager_fail(
                                        error, r, "Failed", "cannot ask the kernel for flows: %s",
                                        g_strerror(-r));
                g_array_append_vals(flows, some->data, some->len);
                sum += r;
        }
        *ret = TAKE_PTR(flows);
        return sum;
}
