/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/admin.h"

#include <sodium.h>
#include <string.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "core/mesh/enrol/enrol.h"
#include "network/managed-network-internal.h"

/* So many characters of an id name a machine whose membership is decided on: fewer are a slip. */
#define ID_PREFIX_MIN 4U

static EnrolService *service_of(ManagedNetwork *n) {
        return n->core ? network_enrol_service(n->core) : NULL;
}

int managed_network_check_gateway(ManagedNetwork *n, ManagerError *error) {
        if (service_of(n))
                return 0;
        return manager_fail(
                        error, -EPERM, "NotGateway", "%s",
                        n->core ? "only the gateway of the network can do this"
                                : "the network is down: 'omerta up' first");
}

/* --- whom a person means --- */

int managed_network_find_machine(ManagedNetwork *n, const char *text, MachineId *ret, ManagerError *error) {
        int r = n->core ? directory_find(network_directory(n->core), text, ret) : -ENOENT;

        if (r == -ENOTUNIQ)
                return manager_fail(
                                error, r, "Ambiguous",
                                "several machines match '%s': give more of the id", text);
        if (r < 0)
                return manager_fail(
                                error, r, "NoSuchMachine",
                                "no machine of the network is called '%s'", text);
        return 0;
}

static int check_prefix(const char *text, const AdminSubject *s, ManagerError *error) {
        if (strlen(text) >= ID_PREFIX_MIN || g_ascii_strcasecmp(text, s->name) == 0 ||
            !machine_id_has_prefix(&s->id, text))
                return 0;
        return manager_fail(
                        error, -EINVAL, "InvalidArgument",
                        "'%s' is too little of an id: give at least %u characters, or the host name",
                        text, ID_PREFIX_MIN);
}

/* Of its certificate, if it has one. */
static void take_name(ManagedNetwork *n, AdminSubject *s) {
        const Record *c = directory_certificate(network_directory(n->core), &s->id);

        if (c)
                g_strlcpy(s->name, c->body.certificate.name, sizeof s->name);
}

/* A member whose membership is decided on. */
static int find_subject(ManagedNetwork *n, const char *text, AdminSubject *ret, ManagerError *error) {
        AdminSubject s = {};
        int r;

        r = managed_network_check_gateway(n, error);
        if (r >= 0)
                r = managed_network_find_machine(n, text, &s.id, error);
        if (r < 0)
                return r;
        take_name(n, &s);
        r = check_prefix(text, &s, error);
        if (r >= 0)
                *ret = s;
        return r;
}

/* --- invites --- */

static int check_endpoints(ManagedNetwork *n, const InviteRequest *q, ManagerError *error) {
        for (unsigned i = 0; i < q->n_endpoints; i++)
                if (mesh_is_inside(network_mesh(n->core), &q->endpoints[i]))
                        return manager_fail(
                                        error, -EINVAL, "InvalidArgument",
                                        "%s lies inside a network of omerta: nobody is reached "
                                        "there who is not in it already",
                                        endpoint_format(&q->endpoints[i]).text);
        return 0;
}

static int invite_failed(ManagedNetwork *n, int r, ManagerError *error) {
        if (r == -EUSERS)
                return manager_fail(
                                error, r, "LimitReached",
                                "%u invites are open: delete some with 'omerta network "
                                "uninvite'",
                                INVITES_MAX);
        if (r == -ETIME)
                return managed_network_fail_clock(n, error);
        return manager_fail(
                        error, r, r == -EINVAL ? "InvalidArgument" : "Failed",
                        "cannot make an invite: %s", g_strerror(-r));
}

/* Those asked for, then those set, each once. Return: how many. */
static unsigned choose_invite_names(
                const ManagedNetwork *n,
                const InviteRequest *q,
                HostPort ret[static GATEWAY_NAMES_MAX]) {
        const HostPort *own;
        unsigned n_own = managed_network_names(n, &own), n_names = q->n_names;

        if (n_names > 0)
                memcpy(ret, q->names, n_names * sizeof ret[0]);
        for (unsigned i = 0; i < n_own && n_names < GATEWAY_NAMES_MAX; i++)
                if (n_names == 0 || !host_port_equal(&own[i], &ret[0]))
                        ret[n_names++] = own[i];
        return n_names;
}

int managed_network_invite(
                ManagedNetwork *n,
                const InviteRequest *request,
                char **ret_link,
                ManagerError *error) {
        Endpoint endpoints[ENDPOINTS_MAX];
        HostPort names[GATEWAY_NAMES_MAX];
        InviteOptions options = {
                .uses = request->uses,
                .lifetime = request->lifetime,
                .name = request->name,
                .needs_approval = request->needs_approval,
                .endpoints = endpoints,
                .n_endpoints = request->n_endpoints,
                .names = names,
                .n_names = choose_invite_names(n, request, names),
        };
        StoredInvite invite;
        int r;

        r = managed_network_check_gateway(n, error);
        if (r >= 0)
                r = check_endpoints(n, request, error);
        if (r < 0)
                return r;
        /* Asked now: the presence record follows changes with a delay. */
        if (request->n_endpoints > 0)
                memcpy(endpoints, request->endpoints, request->n_endpoints * sizeof endpoints[0]);
        options.n_endpoints += manager_local_endpoints(
                        n->manager, endpoints + request->n_endpoints,
                        (unsigned) ELEMENTSOF(endpoints) - request->n_endpoints);
        options.n_endpoints = MIN(options.n_endpoints, ENDPOINTS_MAX);
        if (options.n_endpoints + options.n_names == 0)
                return manager_fail(
                                error, -EADDRNOTAVAIL, "NoAddress",
                                "this machine has no address anybody could reach: connect it to a network, "
                                "or name the address with --endpoint");
        r = enrol_service_invite(service_of(n), &options, ret_link, &invite);
        if (r < 0)
                return invite_failed(n, r, error);
        managed_network_log(
                        n, LOG_INFO, MESSAGE_ID_INVITE_MADE, "invite made for %u use%s",
                        invite.uses_max, invite.uses_max == 1 ? "" : "s");
        sodium_memzero(&invite, sizeof invite);
        return 0;
}

typedef struct Listing {
        void (*callback)(void *userdata, const InviteInfo *invite);
        void *userdata;
} Listing;

static void list_invite(void *userdata, const StoredInvite *i) {
        const Listing *l = userdata;
        InviteInfo info = {
                .created = i->created,
                .not_after = i->not_after,
                .uses = i->uses,
                .uses_max = i->uses_max,
                .needs_approval = i->needs_approval,
                .name = i->name,
        };

        memcpy(info.id, i->id, sizeof info.id);
        l->callback(l->userdata, &info);
}

void managed_network_foreach_invite(
                ManagedNetwork *n,
                void (*callback)(void *userdata, const InviteInfo *invite),
                void *userdata) {
        Listing l = { .callback = callback, .userdata = userdata };

        if (service_of(n))
                enrol_service_foreach_invite(service_of(n), list_invite, &l);
}

static void count_invite(void *userdata, const InviteInfo *invite) {
        ++*(unsigned *) userdata;
}

unsigned managed_network_count_invites(ManagedNetwork *n) {
        unsigned count = 0;

        managed_network_foreach_invite(n, count_invite, &count);
        return count;
}

int managed_network_delete_invite(
                ManagedNetwork *n,
                const uint8_t id[static INVITE_ID_SIZE],
                ManagerError *error) {
        int r;

        r = managed_network_check_gateway(n, error);
        if (r < 0)
                return r;
        r = enrol_service_delete_invite(service_of(n), id);
        if (r == -ENOENT)
                return manager_fail(error, r, "NoSuchInvite", "there is no such invite (any more)");
        if (r < 0)
                return manager_fail(error, r, "Failed", "cannot delete it: %s", g_strerror(-r));
        return 0;
}

/* --- approvals --- */

void managed_network_foreach_pending(
                ManagedNetwork *n,
                void (*callback)(void *userdata, const MachineId *machine, const char *name, usec_t since),
                void *userdata) {
        if (service_of(n))
                enrol_service_foreach_pending(service_of(n), callback, userdata);
}

void managed_network_foreach_refused(
                ManagedNetwork *n,
                void (*callback)(void *userdata, const MachineId *machine, const char *name, usec_t at),
                void *userdata) {
        if (service_of(n))
                enrol_service_foreach_refused(service_of(n), callback, userdata);
}

static void count_pending(void *userdata, const MachineId *machine, const char *name, usec_t since) {
        ++*(unsigned *) userdata;
}

unsigned managed_network_count_pending(ManagedNetwork *n) {
        unsigned count = 0;

        managed_network_foreach_pending(n, count_pending, &count);
        return count;
}

typedef struct FindPending {
        const char *text;
        AdminSubject found;
        unsigned n;
} FindPending;

static void match_pending(void *userdata, const MachineId *machine, const char *name, usec_t since) {
        FindPending *f = userdata;

        if (machine_id_has_prefix(machine, f->text) || g_ascii_strcasecmp(name, f->text) == 0) {
                f->found.id = *machine;
                g_strlcpy(f->found.name, name, sizeof f->found.name);
                f->n++;
        }
}

static int find_pending(ManagedNetwork *n, const char *text, AdminSubject *ret, ManagerError *error) {
        FindPending f = { .text = text };
        int r;

        r = managed_network_check_gateway(n, error);
        if (r < 0)
                return r;
        managed_network_foreach_pending(n, match_pending, &f);
        if (f.n == 0)
                return manager_fail(
                                error, -ENOENT, "NoSuchMachine",
                                "no machine '%s' waits for an approval", text);
        if (f.n > 1)
                return manager_fail(
                                error, -ENOTUNIQ, "Ambiguous", "several machines match '%s'", text);
        r = check_prefix(text, &f.found, error);
        if (r >= 0)
                *ret = f.found;
        return r;
}

static int answer_failed(ManagedNetwork *n, int r, ManagerError *error) {
        if (r == -EDQUOT)
                return manager_fail(
                                error, r, "LimitReached",
                                "its link has let in as many as it was made for: make another with "
                                "more --uses");
        if (r == -ETIME)
                return managed_network_fail_clock(n, error);
        return manager_fail(error, r, "Failed", "cannot do it: %s", g_strerror(-r));
}

static int
answer_pending(ManagedNetwork *n,
               const char *text,
               int (*answer)(EnrolService *s, const MachineId *machine),
               AdminSubject *ret,
               ManagerError *error) {
        AdminSubject s;
        int r;

        r = find_pending(n, text, &s, error);
        if (r < 0)
                return r;
        r = answer(service_of(n), &s.id);
        if (r < 0)
                return answer_failed(n, r, error);
        /* The name it has now may not be the one it asked for. */
        take_name(n, &s);
        *ret = s;
        return 0;
}

int managed_network_approve(ManagedNetwork *n, const char *text, AdminSubject *ret, ManagerError *error) {
        return answer_pending(n, text, enrol_service_approve, ret, error);
}

int managed_network_refuse(ManagedNetwork *n, const char *text, AdminSubject *ret, ManagerError *error) {
        return answer_pending(n, text, enrol_service_refuse, ret, error);
}

/* --- members --- */

static int rename_failed(ManagedNetwork *n, int r, const char *name, ManagerError *error) {
        switch (r) {
        case -EINVAL:
                return manager_fail(
                                error, r, "InvalidArgument",
                                "'%s' is no name of a machine: up to 63 lower case letters, digits, and "
                                "hyphens inside",
                                name);
        case -EEXIST:
                return manager_fail(
                                error, r, "NameTaken",
                                "another machine of the network is called '%s'", name);
        case -EPERM:
                return manager_fail(
                                error, r, "NotPermitted",
                                "the gateway cannot rename itself: the network's root named it");
        case -ETIME:
                return managed_network_fail_clock(n, error);
        default:
                return manager_fail(error, r, "Failed", "cannot rename it: %s", g_strerror(-r));
        }
}

int managed_network_rename_machine(
                ManagedNetwork *n,
                const char *text,
                const char *name,
                AdminSubject *ret,
                ManagerError *error) {
        AdminSubject s;
        int r;

        r = find_subject(n, text, &s, error);
        if (r < 0)
                return r;
        r = network_rename(n->core, &s.id, name);
        if (r < 0)
                return rename_failed(n, r, name, error);
        *ret = s;
        return 0;
}

int managed_network_appoint_exit(
                ManagedNetwork *n,
                const char *text,
                bool may,
                AdminSubject *ret,
                ManagerError *error) {
        AdminSubject s;
        int r;

        r = find_subject(n, text, &s, error);
        if (r < 0)
                return r;
        r = enrol_service_set_exit(service_of(n), &s.id, may);
        if (r == -EPERM)
                return manager_fail(
                                error, r, "NotPermitted",
                                "the gateway may always be an exit: 'omerta gateway off' ends it");
        if (r == -ETIME)
                return managed_network_fail_clock(n, error);
        if (r < 0)
                return manager_fail(error, r, "Failed", "cannot sign it: %s", g_strerror(-r));
        *ret = s;
        return 0;
}

int managed_network_revoke(
                ManagedNetwork *n,
                const char *text,
                bool withdraw,
                RevokeResult *ret,
                ManagerError *error) {
        RevokeResult result = {};
        StoredInvite invite = {};
        EnrolService *s;
        int r;

        r = find_subject(n, text, &result.machine, error);
        if (r < 0)
                return r;
        s = service_of(n);
        r = enrol_service_revoke(s, &result.machine.id, REVOCATION_REMOVED);
        if (r == -EPERM)
                return manager_fail(error, r, "NotPermitted", "the gateway cannot revoke itself");
        if (r < 0)
                return manager_fail(error, r, "Failed", "cannot revoke it: %s", g_strerror(-r));
        if (enrol_service_open_invite_of(s, &result.machine.id, &invite)) {
                result.has_invite = true;
                memcpy(result.invite, invite.id, sizeof result.invite);
                result.uses_left = invite.uses_max - invite.uses;
                result.not_after = invite.not_after;
                result.withdrawn = withdraw && enrol_service_delete_invite(s, invite.id) >= 0;
                if (result.withdrawn)
                        result.uses_left = 0;
        }
        *ret = result;
        return 0;
}

/* --- sessions --- */

void managed_network_close_session(ManagedNetwork *n, Session *s) {
        session_pool_close(network_sessions(n->core), s);
}
