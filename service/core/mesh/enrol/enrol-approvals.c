/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who has shown an invite that needs an approval, and waits for a person. A link is passed around,
 * so what is behind it may be anybody, and as many as they like: of one link, and from one address,
 * only so many wait at once, and all together no more than a person can look at. A refusal makes
 * room at once; that somebody was refused is remembered apart.
 */
#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "core/mesh/enrol/enrol-internal.h"

typedef struct Refusal {
        MachineId machine;
        char name[HOST_NAME_MAX_LEN + 1];
        usec_t at; /* monotonic */
} Refusal;

static int compare_ids(const void *a, const void *b, void *userdata) {
        return machine_id_compare(a, b);
}

void enrol_init_applicants(EnrolService *s) {
        s->applicants = g_tree_new_full(compare_ids, NULL, NULL, g_free);
        g_queue_init(&s->refusals);
}

void enrol_free_applicants(EnrolService *s) {
        timer_clear(&s->applicants_timer);
        g_clear_pointer(&s->applicants, g_tree_unref);
        g_queue_clear_full(&s->refusals, g_free);
}

static void tell_pending(EnrolService *s, const MachineId *machine, const char *name, bool pending) {
        if (s->config.pending_changed)
                s->config.pending_changed(s->config.userdata, machine, name, pending);
}

/* Takes @a off the list and says so. */
static void forget(EnrolService *s, const Applicant *a) {
        Applicant copy = *a;

        g_tree_remove(s->applicants, &copy.machine);
        tell_pending(s, &copy.machine, copy.name, false);
}

void enrol_forget_applicant(EnrolService *s, const MachineId *machine) {
        const Applicant *a = g_tree_lookup(s->applicants, machine);

        if (a)
                forget(s, a);
}

bool enrol_is_waiting(const EnrolService *s, const MachineId *machine) {
        return g_tree_lookup(s->applicants, machine) != NULL;
}

/* Those @is_over says so of. */
static void
forget_if(EnrolService *s,
          bool (*is_over)(const Applicant *a, const void *userdata),
          const void *userdata) {
        GTreeNode *next;

        for (GTreeNode *n = g_tree_node_first(s->applicants); n; n = next) {
                const Applicant *a = g_tree_node_value(n);
                MachineId id = a->machine;

                next = g_tree_node_next(n);
                if (!is_over(a, userdata))
                        continue;
                forget(s, a);
                next = g_tree_upper_bound(s->applicants, &id);
        }
}

static bool is_by_invite(const Applicant *a, const void *id) {
        return memcmp(a->invite, id, INVITE_ID_SIZE) == 0;
}

void enrol_forget_applicants_of(EnrolService *s, const uint8_t id[static INVITE_ID_SIZE]) {
        forget_if(s, is_by_invite, id);
}

static bool has_gone(const Applicant *a, const void *now) {
        return usec_sub(*(const usec_t *) now, a->last_asked) >= APPROVAL_KEEP_USEC;
}

static void forget_refusals(EnrolService *s, usec_t now) {
        const Refusal *r;

        while ((r = g_queue_peek_head(&s->refusals)) && usec_sub(now, r->at) >= APPROVAL_KEEP_USEC)
                g_free(g_queue_pop_head(&s->refusals));
}

static bool is_refused(const EnrolService *s, const MachineId *machine) {
        for (const GList *l = s->refusals.head; l; l = l->next)
                if (machine_id_same_key(&((const Refusal *) l->data)->machine, machine))
                        return true;
        return false;
}

static void on_applicants_timer(void *userdata) {
        EnrolService *s = userdata;
        usec_t now = env_now(s->config.env);

        forget_if(s, has_gone, &now);
        forget_refusals(s, now);
        if (g_tree_nnodes(s->applicants) > 0 || s->refusals.length > 0)
                timer_set(s->config.env->timers, &s->applicants_timer,
                          usec_add(now, USEC_PER_MINUTE), on_applicants_timer, s);
}

static void tidy_later(EnrolService *s) {
        const MeshEnv *env = s->config.env;

        if (!timer_is_set(&s->applicants_timer))
                timer_set(env->timers, &s->applicants_timer,
                          usec_add(env_now(env), USEC_PER_MINUTE), on_applicants_timer, s);
}

/* One IPv4 address, one IPv6 /64: what one subscriber has (RFC 6177). */
static bool same_source(const Endpoint *a, const Endpoint *b) {
        IpAddr x = endpoint_address(a), y = endpoint_address(b);

        return x.family == y.family && memcmp(x.bytes, y.bytes, x.family == AF_INET6 ? 8 : 4) == 0;
}

/* Whether one more may wait. */
static bool has_room(const EnrolService *s, const uint8_t *invite, const Endpoint *from) {
        unsigned by_invite = 0, by_source = 0;

        for (GTreeNode *n = g_tree_node_first(s->applicants); n; n = g_tree_node_next(n)) {
                const Applicant *a = g_tree_node_value(n);

                by_invite += is_by_invite(a, invite);
                by_source += same_source(&a->from, from);
        }
        return by_invite < APPROVALS_PER_INVITE_MAX && by_source < APPROVALS_PER_SOURCE_MAX &&
               g_tree_nnodes(s->applicants) < (int) APPROVALS_PENDING_MAX;
}

int enrol_apply(EnrolService *s,
                const uint8_t invite[static INVITE_ID_SIZE],
                const MachineId *machine,
                const Endpoint *from,
                const EnrolRequest *request) {
        const MeshEnv *env = s->config.env;
        Applicant *a = g_tree_lookup(s->applicants, machine);

        if (a) {
                a->last_asked = env_now(env);
                return 0;
        }
        forget_refusals(s, env_now(env));
        if (is_refused(s, machine))
                return -EPERM;
        if (!has_room(s, invite, from))
                return -ENOBUFS;
        a = NEW(Applicant);
        *a = (Applicant){
                .machine = *machine,
                .from = *from,
                .since = env_realtime(env),
                .last_asked = env_now(env),
        };
        memcpy(a->invite, invite, sizeof(a->invite));
        g_strlcpy(a->name, request->name, sizeof(a->name));
        g_strlcpy(a->owner, request->owner, sizeof(a->owner));
        g_tree_insert(s->applicants, &a->machine, a);
        tidy_later(s);
        tell_pending(s, machine, a->name, true);
        return 0;
}

int enrol_service_approve(EnrolService *s, const MachineId *machine) {
        const Applicant *a = g_tree_lookup(s->applicants, machine);
        g_autoptr(Record) certificate = NULL;
        Applicant copy;
        int r;

        if (!a)
                return -ENOENT;
        copy = *a;
        r = enrol_check_invite(s, copy.invite, machine);
        if (r < 0)
                return r;
        /* It asked in time, so that the link ended meanwhile does not count. */
        if (r == INVITE_UNKNOWN || r == INVITE_USED_UP)
                return -EDQUOT;
        r =
                        enrol_let_in(s, copy.invite, machine, copy.name, copy.owner,
                                     r == INVITE_OK_AGAIN, &certificate);
        if (r < 0)
                return r;
        enrol_tell_enrolled(s, certificate);
        return 0;
}

int enrol_service_refuse(EnrolService *s, const MachineId *machine) {
        const Applicant *a = g_tree_lookup(s->applicants, machine);
        Refusal *r;

        if (!a)
                return -ENOENT;
        if (s->refusals.length >= APPROVALS_REFUSED_MAX)
                g_free(g_queue_pop_head(&s->refusals));
        r = NEW(Refusal);
        *r = (Refusal){ .machine = *machine, .at = env_now(s->config.env) };
        g_strlcpy(r->name, a->name, sizeof r->name);
        g_queue_push_tail(&s->refusals, r);
        forget(s, a);
        tidy_later(s);
        return 0;
}

void enrol_service_foreach_pending(
                EnrolService *s,
                void (*callback)(void *userdata, const MachineId *machine, const char *name, usec_t since),
                void *userdata) {
        for (GTreeNode *n = g_tree_node_first(s->applicants); n; n = g_tree_node_next(n)) {
                const Applicant *a = g_tree_node_value(n);

                callback(userdata, &a->machine, a->name, a->since);
        }
}

void enrol_service_foreach_refused(
                EnrolService *s,
                void (*callback)(void *userdata, const MachineId *machine, const char *name, usec_t at),
                void *userdata) {
        forget_refusals(s, env_now(s->config.env));
        for (const GList *l = s->refusals.head; l; l = l->next) {
                const Refusal *r = l->data;

                callback(userdata, &r->machine, r->name, r->at);
        }
}
