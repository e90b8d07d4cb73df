/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "core/mesh/enrol/enrol-internal.h"

static int compare_ids(const void *a, const void *b, void *userdata) {
        return machine_id_compare(a, b);
}

void enrol_init_applicants(EnrolService *s) {
        s->applicants = g_tree_new_full(compare_ids, NULL, NULL, g_free);
}

void enrol_free_applicants(EnrolService *s) {
        timer_clear(&s->applicants_timer);
        g_clear_pointer(&s->applicants, g_tree_unref);
}

static void tell_pending(EnrolService *s, const MachineId *machine, const char *name, bool pending) {
        if (s->config.pending_changed)
                s->config.pending_changed(s->config.userdata, machine, name, pending);
}

/* Takes @a off the list and says so, unless it was not on show. */
static void forget(EnrolService *s, const Applicant *a) {
        Applicant copy = *a;

        g_tree_remove(s->applicants, &copy.machine);
        if (!copy.is_refused)
                tell_pending(s, &copy.machine, copy.name, false);
}

void enrol_forget_applicant(EnrolService *s, const MachineId *machine) {
        const Applicant *a = g_tree_lookup(s->applicants, machine);

        if (a)
                forget(s, a);
}

static void on_applicants_timer(void *userdata) {
        EnrolService *s = userdata;
        usec_t now = env_now(s->config.env);
        GTreeNode *next;

        for (GTreeNode *n = g_tree_node_first(s->applicants); n; n = next) {
                const Applicant *a = g_tree_node_value(n);
                MachineId id = a->machine;

                next = g_tree_node_next(n);
                if (usec_sub(now, a->last_asked) < APPROVAL_KEEP)
                        continue;
                forget(s, a);
                next = g_tree_upper_bound(s->applicants, &id);
        }
        if (g_tree_nnodes(s->applicants) > 0)
                timer_set(s->config.env->timers, &s->applicants_timer,
                          usec_add(now, USEC_PER_MINUTE), on_applicants_timer, s);
}

int enrol_apply(EnrolService *s, const MachineId *machine, const EnrolRequest *request) {
        const MeshEnv *env = s->config.env;
        Applicant *a = g_tree_lookup(s->applicants, machine);

        if (a) {
                if (a->is_refused)
                        return -EPERM;
                a->last_asked = env_now(env);
                return 0;
        }
        if (g_tree_nnodes(s->applicants) >= (int) APPROVALS_PENDING_MAX)
                return -ENOBUFS;
        a = NEW(Applicant);
        *a = (Applicant){
                .machine = *machine,
                .since = env_realtime(env),
                .last_asked = env_now(env),
        };
        g_strlcpy(a->name, request->name, sizeof(a->name));
        g_strlcpy(a->owner, request->owner, sizeof(a->owner));
        g_tree_insert(s->applicants, &a->machine, a);
        if (!timer_is_set(&s->applicants_timer))
                timer_set(env->timers, &s->applicants_timer,
                          usec_add(env_now(env), USEC_PER_MINUTE), on_applicants_timer, s);
        tell_pending(s, machine, a->name, true);
        return 0;
}

static Applicant *find_waiting(EnrolService *s, const MachineId *machine) {
        Applicant *a = g_tree_lookup(s->applicants, machine);

        return a && !a->is_refused ? a : NULL;
}

int enrol_service_approve(EnrolService *s, const MachineId *machine) {
        const Applicant *a = find_waiting(s, machine);
        g_autoptr(Record) certificate = NULL;
        int r;

        if (!a)
                return -ENOENT;
        r = enrol_make_certificate(s, machine, a->name, a->owner, &certificate);
        if (r < 0)
                return r;
        r = directory_offer(s->config.directory, certificate, true, NULL);
        if (r < 0)
                return r;
        if (r != DIRECTORY_NEWS)
                return -EPERM; /* revoked meanwhile */
        enrol_tell_enrolled(s, certificate);
        return 0;
}

int enrol_service_refuse(EnrolService *s, const MachineId *machine) {
        Applicant *a = find_waiting(s, machine);

        if (!a)
                return -ENOENT;
        a->is_refused = true;
        a->last_asked = env_now(s->config.env);
        tell_pending(s, &a->machine, a->name, false);
        return 0;
}

void enrol_service_foreach_pending(
                EnrolService *s,
                void (*callback)(void *userdata, const MachineId *machine, const char *name, usec_t since),
                void *userdata) {
        for (GTreeNode *n = g_tree_node_first(s->applicants); n; n = g_tree_node_next(n)) {
                const Applicant *a = g_tree_node_value(n);

                if (!a->is_refused)
                        callback(userdata, &a->machine, a->name, a->since);
        }
}
