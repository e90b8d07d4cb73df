/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/kdf.h"
#include "core/mesh/enrol/enrol-internal.h"

static int compare_ids(const void *a, const void *b, void *userdata) {
        return memcmp(a, b, INVITE_ID_SIZE);
}

/* --- their keys --- */

/* All in one piece of locked memory: a page each would be more than a process may lock. An invite
 * that is put in the place of one has its slot for a moment besides. */
#define SLOTS (INVITES_MAX + 1)

struct PskPool {
        uint8_t (*psk)[SECRET_SIZE]; /* SLOTS of them */
        bool is_taken[SLOTS];
};

static PskPool *psk_pool_new(void) {
        PskPool *p = NEW(PskPool);

        p->psk = sodium_allocarray(SLOTS, SECRET_SIZE);
        if (!p->psk)
                g_error("there is no memory for the keys of invites");
        return p;
}

static PskPool *psk_pool_free(PskPool *p) {
        if (p)
                sodium_free(p->psk); /* wipes */
        g_free(p);
        return NULL;
}

/* Return: the slot, or -EUSERS. */
static int psk_pool_put(PskPool *p, const uint8_t psk[static SECRET_SIZE]) {
        for (unsigned i = 0; i < SLOTS; i++)
                if (!p->is_taken[i]) {
                        p->is_taken[i] = true;
                        memcpy(p->psk[i], psk, SECRET_SIZE);
                        return (int) i;
                }
        return -EUSERS;
}

static void psk_pool_drop(PskPool *p, unsigned slot) {
        sodium_memzero(p->psk[slot], SECRET_SIZE);
        p->is_taken[slot] = false;
}

/* --- the table --- */

/* An invite must not live longer than was promised, however the clock is set. So its life is also
 * measured by a clock that nobody sets: exactly for those made by this process; for others from the
 * start, as if they had been made then. */
typedef struct Invitation {
        StoredInvite invite; /* first: who has found this has found its invitation; its psk is 0 here */
        PskPool *pool;
        unsigned slot;
        usec_t ends;  /* env_now() */
        bool is_ours; /* made by this process */
} Invitation;

static void invitation_free(void *data) {
        Invitation *v = data;

        psk_pool_drop(v->pool, v->slot);
        g_free(v);
}

/* One too many is not kept: its link lets nobody in, as if it had been deleted. */
static void insert_invite(EnrolService *s, const StoredInvite *invite, usec_t ends, bool is_ours) {
        int slot = psk_pool_put(s->psks, invite->psk);
        Invitation *v;

        if (slot < 0)
                return;
        v = NEW(Invitation);
        v->invite = *invite;
        sodium_memzero(v->invite.psk, sizeof(v->invite.psk));
        v->pool = s->psks;
        v->slot = (unsigned) slot;
        v->ends = ends;
        v->is_ours = is_ours;
        /* The key is part of the value: the new pair replaces the old one whole. */
        g_tree_replace(s->invites, v->invite.id, v);
}

/* Whole, as it is stored: the caller wipes it. */
static StoredInvite whole_invite(const Invitation *v) {
        StoredInvite invite = v->invite;

        memcpy(invite.psk, v->pool->psk[v->slot], SECRET_SIZE);
        return invite;
}

static void keep_invite(EnrolService *s, const StoredInvite *stored) {
        const Invitation *old = g_tree_lookup(s->invites, stored->id);
        usec_t life = usec_sub(stored->not_after, stored->created);

        if (old)
                insert_invite(s, stored, old->ends, old->is_ours);
        else
                insert_invite(s, stored, usec_add(env_now(s->config.env), life), true);
}

static void load_invite(void *userdata, const StoredInvite *stored) {
        EnrolService *s = userdata;
        usec_t life = usec_sub(stored->not_after, stored->created);

        insert_invite(s, stored, usec_add(env_now(s->config.env), life), false);
}

static int store_invite(EnrolService *s, const StoredInvite *invite);

int enrol_load_invites(EnrolService *s) {
        const MeshStore *store = s->config.store;

        s->psks = psk_pool_new();
        s->invites = g_tree_new_full(compare_ids, NULL, NULL, invitation_free);
        return store ? store->ops->foreach_invite(store->self, load_invite, s) : 0;
}

void enrol_free_invites(EnrolService *s) {
        g_clear_pointer(&s->invites, g_tree_unref);
        s->psks = psk_pool_free(s->psks);
}

const StoredInvite *enrol_find_invite(const EnrolService *s, const uint8_t id[static INVITE_ID_SIZE]) {
        const Invitation *v = g_tree_lookup(s->invites, id);

        return v ? &v->invite : NULL;
}

const uint8_t *enrol_invite_psk(const EnrolService *s, const uint8_t id[static INVITE_ID_SIZE]) {
        const Invitation *v = g_tree_lookup(s->invites, id);

        return v ? v->pool->psk[v->slot] : NULL;
}

static bool is_expired(const EnrolService *s, const StoredInvite *invite) {
        const Invitation *k = (const Invitation *) invite;
        usec_t now = directory_realtime(s->config.directory);

        if (k->is_ours || env_now(s->config.env) > k->ends)
                return env_now(s->config.env) > k->ends;
        /* Made by a clock that was ahead: nobody knows when it should end. */
        return now > invite->not_after || invite->created > usec_add(now, USEC_PER_MINUTE);
}

unsigned enrol_set_invites_right(EnrolService *s) {
        usec_t now = directory_realtime(s->config.directory);
        g_autoptr(GArray) ahead = g_array_new(FALSE, FALSE, sizeof(StoredInvite));

        if (!enrol_clock_is_right(s))
                return 0;
        for (GTreeNode *n = g_tree_node_first(s->invites); n; n = g_tree_node_next(n)) {
                const Invitation *k = g_tree_node_value(n);
                StoredInvite right = whole_invite(k);

                if (!k->is_ours || right.created <= usec_add(now, USEC_PER_MINUTE)) {
                        sodium_memzero(&right, sizeof(right));
                        continue;
                }
                right.created = now;
                right.not_after = usec_add(now, usec_sub(k->ends, env_now(s->config.env)));
                g_array_append_val(ahead, right);
                sodium_memzero(&right, sizeof(right));
        }
        for (unsigned i = 0; i < ahead->len; i++) {
                const StoredInvite *right = &g_array_index(ahead, StoredInvite, i);

                /* Should the disk fail: it dies early at the next start, which is the right side. */
                if (store_invite(s, right) >= 0)
                        keep_invite(s, right);
        }
        sodium_memzero(ahead->data, ahead->len * sizeof(StoredInvite));
        return ahead->len;
}

int enrol_check_invite(EnrolService *s, const uint8_t id[static INVITE_ID_SIZE], const MachineId *machine) {
        const MeshStore *store = s->config.store;
        const StoredInvite *invite = enrol_find_invite(s, id);
        int r = 0;

        if (!invite)
                return INVITE_UNKNOWN;
        if (is_expired(s, invite))
                return INVITE_EXPIRED;
        if (store)
                r = store->ops->invite_used_by(store->self, id, machine);
        if (r < 0)
                return r;
        if (r > 0)
                return INVITE_OK_AGAIN;
        return invite->uses < invite->uses_max ? INVITE_OK : INVITE_USED_UP;
}

/* --- transactions --- */

static int put_use(const MeshStore *store, const StoredInvite *invite, const Record *certificate) {
        int r = store->ops->put_invite(store->self, invite);

        if (r >= 0)
                r = store->ops->put_invite_use(store->self, invite->id, &certificate->body.machine);
        if (r >= 0)
                r = store->ops->put_record(store->self, certificate);
        return r;
}

int enrol_burn_invite(EnrolService *s, const uint8_t id[static INVITE_ID_SIZE], const Record *certificate) {
        const MeshStore *store = s->config.store;
        StoredInvite invite = whole_invite(g_tree_lookup(s->invites, id));
        int r = 0;

        invite.uses++;
        if (store) {
                r = store->ops->begin(store->self);
                if (r < 0)
                        goto finish;
                r = put_use(store, &invite, certificate);
                if (r >= 0)
                        r = store->ops->commit(store->self);
                else
                        store->ops->rollback(store->self);
        }
        if (r >= 0)
                keep_invite(s, &invite);
finish:
        sodium_memzero(&invite, sizeof(invite));
        return r;
}

static int store_invite(EnrolService *s, const StoredInvite *invite) {
        const MeshStore *store = s->config.store;
        int r;

        if (!store)
                return 0;
        r = store->ops->begin(store->self);
        if (r < 0)
                return r;
        r = store->ops->put_invite(store->self, invite);
        if (r < 0) {
                store->ops->rollback(store->self);
                return r;
        }
        return store->ops->commit(store->self);
}

int enrol_service_delete_invite(EnrolService *s, const uint8_t id[static INVITE_ID_SIZE]) {
        const MeshStore *store = s->config.store;
        int r = 0;

        if (!enrol_find_invite(s, id))
                return -ENOENT;
        if (store) {
                r = store->ops->begin(store->self);
                if (r < 0)
                        return r;
                r = store->ops->delete_invite(store->self, id);
                if (r >= 0)
                        r = store->ops->commit(store->self);
                else
                        store->ops->rollback(store->self);
        }
        if (r >= 0) {
                enrol_forget_applicants_of(s, id);
                g_tree_remove(s->invites, id);
        }
        return r;
}

/* --- making them --- */

/* The invites that are of no use any more go; all of them when there is no room. */
static void purge_invites(EnrolService *s) {
        usec_t now = directory_realtime(s->config.directory);
        bool is_full = g_tree_nnodes(s->invites) >= (int) INVITES_MAX;
        GTreeNode *next;

        for (GTreeNode *n = g_tree_node_first(s->invites); n; n = next) {
                StoredInvite invite = ((const Invitation *) g_tree_node_value(n))->invite;
                bool is_dead = is_expired(s, g_tree_node_value(n)) || invite.uses >= invite.uses_max;

                next = g_tree_node_next(n);
                if ((is_dead && is_full) || now > usec_add(invite.not_after, INVITE_KEEP)) {
                        (void) enrol_service_delete_invite(s, invite.id);
                        next = g_tree_upper_bound(s->invites, invite.id);
                }
        }
}

static void add_endpoint(const EnrolService *s, Invite *invite, const Endpoint *e) {
        for (unsigned i = 0; i < invite->n_endpoints; i++)
                if (endpoint_equal(&invite->endpoints[i], e))
                        return;
        if (invite->n_endpoints < ENDPOINTS_MAX && endpoint_is_usable(e) &&
            !mesh_is_inside(s->config.mesh, e))
                invite->endpoints[invite->n_endpoints++] = *e;
}

static void fill_invite(EnrolService *s, const InviteOptions *options, usec_t now, Invite *invite) {
        const Record *presence =
                        directory_get(s->config.directory, RECORD_PRESENCE, &s->config.issuer->id);

        *invite = (Invite){
                .network = s->config.network,
                .issuer = s->config.issuer->id,
                .not_after = usec_add(now, options->lifetime ?: INVITE_LIFETIME_DEFAULT),
                .subnet = s->config.subnet,
        };
        g_strlcpy(invite->network_name, s->network_name, sizeof(invite->network_name));
        for (unsigned i = 0; i < options->n_endpoints; i++)
                add_endpoint(s, invite, &options->endpoints[i]);
        for (unsigned i = 0; presence && i < presence->body.presence.n_endpoints; i++)
                add_endpoint(s, invite, &presence->body.presence.endpoints[i]);
        if (options->n_names > 0)
                memcpy(invite->names, options->names, options->n_names * sizeof invite->names[0]);
        invite->n_names = options->n_names;
        invite->n_streams = mesh_stream_endpoints(
                        s->config.mesh, invite->endpoints, invite->n_endpoints, invite->streams);
        env_random(s->config.env, invite->token, sizeof(invite->token));
}

int enrol_service_invite(
                EnrolService *s,
                const InviteOptions *options,
                char **ret_link,
                StoredInvite *ret_invite) {
        usec_t now = directory_realtime(s->config.directory);
        StoredInvite stored = {
                .created = now,
                .uses_max = options->uses ?: 1,
                .needs_approval = options->needs_approval,
        };
        Invite invite;
        int r;

        /* Times in the store are signed; nothing sensible comes near. */
        if ((options->name && options->name[0] && !host_name_is_valid(options->name)) ||
            options->lifetime > 3650 * USEC_PER_DAY)
                return -EINVAL;
        if (!enrol_clock_is_right(s))
                return -ETIME;
        purge_invites(s);
        if (g_tree_nnodes(s->invites) >= (int) INVITES_MAX)
                return -EUSERS;
        fill_invite(s, options, now, &invite);
        stored.not_after = invite.not_after;
        g_strlcpy(stored.name, options->name ?: "", sizeof(stored.name));
        invite_derive(&invite.network, invite.token, stored.id, stored.psk);
        r = store_invite(s, &stored);
        if (r >= 0) {
                keep_invite(s, &stored);
                *ret_link = invite_format(&invite);
                *ret_invite = stored;
        }
        sodium_memzero(&invite, sizeof(invite));
        sodium_memzero(&stored, sizeof(stored));
        return r;
}

void enrol_service_foreach_invite(
                EnrolService *s,
                void (*callback)(void *userdata, const StoredInvite *invite),
                void *userdata) {
        for (GTreeNode *n = g_tree_node_first(s->invites); n; n = g_tree_node_next(n))
                callback(userdata, &((const Invitation *) g_tree_node_value(n))->invite);
}

bool enrol_service_open_invite_of(EnrolService *s, const MachineId *machine, StoredInvite *ret) {
        const MeshStore *store = s->config.store;

        for (GTreeNode *n = g_tree_node_first(s->invites); store && n; n = g_tree_node_next(n)) {
                const StoredInvite *invite = g_tree_node_value(n);

                if (is_expired(s, invite) || invite->uses >= invite->uses_max ||
                    store->ops->invite_used_by(store->self, invite->id, machine) <= 0)
                        continue;
                *ret = *invite;
                sodium_memzero(ret->psk, sizeof(ret->psk));
                return true;
        }
        return false;
}
