/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/macros.h"
#include "core/vnet/lease-internal.h"
#include "core/vnet/vnet.h"

/*
 * Theory of operation
 *
 * The leases in the directory are the whole state; what is kept here (who holds what, which
 * addresses are free, which lease ran out first) is an index of it, brought up to date for a
 * machine whenever its lease changed, by us or by gossip. A restart builds it anew.
 *
 * A lease is planned (signed, its address taken), committed together with others (LeaseBatch) and
 * only then answered. If the store fails nothing has changed. An address changes hands by two
 * leases in one commit: its former holder's is replaced by a released one, then the new holder's is
 * made. Without the first the old lease would win: of two leases for one address the older "not
 * before" counts (docs/protocol.md, "Conflicts").
 *
 * A renewal keeps "not before" for that reason: the claim is as old as the first of the leases
 * without a gap.
 */

/* A lease renewed less than this ago is answered as it is: repeated questions cost no signature,
 * no disk and no gossip. */
#define RENEWED_RECENTLY_USEC USEC_PER_MINUTE
/* NTP steps back by fractions of a second: no sign of a clock that was wrong. */
#define AHEAD_MIN USEC_PER_MINUTE

/* A lease of an address in the pool. */
typedef struct Holding {
        MachineId machine;
        uint32_t address;
        usec_t not_after;
} Holding;

static int compare_expiry(const void *a, const void *b, void *userdata) {
        const Holding *x = a, *y = b;

        if (x->not_after != y->not_after)
                return x->not_after < y->not_after ? -1 : 1;
        return x->address < y->address ? -1 : x->address > y->address;
}

/* --- the index --- */

static void update_pool(LeaseService *s, uint32_t address) {
        IpAddr a = ip_from_v4(address);

        address_pool_set(s->pool, address, directory_lease_of_address(s->config.directory, &a) != NULL);
}

static void update_machine(LeaseService *s, const MachineId *machine) {
        const Record *lease = directory_get(s->config.directory, RECORD_LEASE, machine);
        Holding *h = g_hash_table_lookup(s->holdings, machine);
        uint32_t address = lease && !lease_is_released(lease) ? ip_to_v4(&lease->body.lease.address)
                                                              : 0;

        if (h && h->address == address && h->not_after == lease->body.not_after)
                return;
        if (h) {
                uint32_t old = h->address;

                g_tree_remove(s->by_expiry, h);
                g_hash_table_remove(s->holdings, machine);
                update_pool(s, old);
        }
        if (!address_pool_contains(s->pool, address))
                return;
        h = NEW(Holding);
        *h = (Holding){
                .machine = *machine,
                .address = address,
                .not_after = lease->body.not_after,
        };
        g_hash_table_insert(s->holdings, &h->machine, h);
        g_tree_insert(s->by_expiry, h, h);
        update_pool(s, address);
}

static void
on_record(void *userdata,
          RecordKind kind,
          const MachineId *machine,
          const Record *record,
          const Record *old) {
        LeaseService *s = userdata;

        if (kind == RECORD_LEASE)
                update_machine(s, machine);
}

static void load(void *userdata, Record *record) {
        update_machine(userdata, &record->body.machine);
}

/* --- leases --- */

typedef struct Grant {
        const MachineId *machine;
        const char *name; /* unless the certificate has one */
        uint32_t address;
        usec_t not_before, not_after;
} Grant;

void lease_batch_init(LeaseBatch *b) {
        *b = (LeaseBatch){
                .records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref),
                .index = g_hash_table_new(machine_id_hash, machine_id_hash_equal),
        };
}

void lease_batch_clear(LeaseBatch *b) {
        g_hash_table_unref(b->index);
        g_ptr_array_unref(b->records);
        g_free(b->verdicts);
}

bool lease_batch_has(const LeaseBatch *b, const MachineId *machine) {
        return g_hash_table_contains(b->index, machine);
}

/* Signs. @ret may be NULL. What @g points to may be part of the lease that goes. */
static int plan(LeaseService *s, LeaseBatch *b, const Grant *g, Record **ret) {
        const LeaseServiceConfig *c = &s->config;
        const Record *certificate = directory_certificate(c->directory, g->machine);
        Record *record = NULL;
        RecordBody body = {
                .kind = RECORD_LEASE,
                .machine = *g->machine,
                .version = directory_next_version(c->directory, RECORD_LEASE, g->machine),
                .not_before = g->not_before,
                .not_after = g->not_after,
                .lease = {
                        .address = ip_from_v4(g->address),
                        .prefix_len = c->subnet.len,
                },
        };
        int r;

        assert(!lease_batch_has(b, g->machine));
        /* The certified name: nobody shall be called by a name that is another's. */
        g_strlcpy(body.lease.name,
                  certificate ? certificate->body.certificate.name : g->name ?: "",
                  sizeof body.lease.name);
        r = identity_sign_record(c->issuer, &c->network, &body, &record);
        if (r < 0)
                return r;
        g_ptr_array_add(b->records, record);
        g_hash_table_insert(b->index, &record->body.machine, GUINT_TO_POINTER(b->records->len));
        /* Until the commit, of an address that is given back too. */
        address_pool_set(s->pool, g->address, true);
        if (ret)
                *ret = record_ref(record);
        return 0;
}

int lease_batch_commit(LeaseService *s, LeaseBatch *b) {
        const LeaseServiceConfig *c = &s->config;
        int r = 0;

        b->verdicts = g_new0(DirectoryVerdict, b->records->len);
        if (b->records->len > 0)
                r = directory_offer_batch(c->directory, b->records, b->verdicts);
        for (unsigned i = 0; i < b->records->len; i++) {
                const Record *record = b->records->pdata[i];

                /* Inside an observer's call the directory tells us only later. */
                update_machine(s, &record->body.machine);
                update_pool(s, ip_to_v4(&record->body.lease.address));
        }
        for (unsigned i = 0; r >= 0 && c->changed && i < b->records->len; i++)
                if (b->verdicts[i] == DIRECTORY_NEWS)
                        c->changed(c->userdata, b->records->pdata[i]);
        return r;
}

int lease_batch_result(const LeaseBatch *b, const MachineId *machine) {
        unsigned i = GPOINTER_TO_UINT(g_hash_table_lookup(b->index, machine));

        return i == 0 || b->verdicts[i - 1] == DIRECTORY_NEWS ? 0 : -EBADMSG;
}

static int plan_end(LeaseService *s, LeaseBatch *b, const Record *lease) {
        usec_t now = directory_realtime(s->config.directory);
        Grant g = {
                .machine = &lease->body.machine,
                .name = lease->body.lease.name,
                .address = ip_to_v4(&lease->body.lease.address),
                .not_before = now,
                .not_after = now,
        };

        return plan(s, b, &g, NULL);
}

static int free_oldest_expired(LeaseService *s, LeaseBatch *b, usec_t now, uint32_t *ret) {
        const Record *lease;
        Holding *oldest = NULL;
        int r;

        for (GTreeNode *n = g_tree_node_first(s->by_expiry); n && !oldest; n = g_tree_node_next(n)) {
                Holding *h = g_tree_node_key(n);

                if (h->not_after > now)
                        return LEASE_E_POOL_EMPTY;
                if (!lease_batch_has(b, &h->machine))
                        oldest = h;
        }
        if (!oldest)
                return LEASE_E_POOL_EMPTY;
        lease = directory_get(s->config.directory, RECORD_LEASE, &oldest->machine);
        r = plan_end(s, b, lease);
        if (r < 0)
                return r;
        *ret = oldest->address;
        return 0;
}

/* RFC 2131, 4.3.1, but what the client asks for goes before what it had: a person may have set
 * it. @former: its last lease, run out or given back; may be NULL. */
static int
choose(LeaseService *s,
       LeaseBatch *b,
       const Record *former,
       const IpAddr *wanted,
       usec_t now,
       uint32_t *ret) {
        uint32_t old = former ? ip_to_v4(&former->body.lease.address) : 0;
        bool is_held = former && !lease_is_released(former) && address_pool_contains(s->pool, old);
        uint32_t want = wanted->family == AF_INET ? ip_to_v4(wanted) : 0;

        if (address_pool_is_free(s->pool, want))
                *ret = want;
        else if (is_held || address_pool_is_free(s->pool, old))
                *ret = old;
        else if (!address_pool_lowest(s->pool, ret))
                return free_oldest_expired(s, b, now, ret);
        return 0;
}

static bool is_permitted(const LeaseService *s, const MachineId *machine) {
        return directory_check_member(s->config.directory, machine, false) == DROP_NONE;
}

static bool clock_is_right(const LeaseService *s) {
        return wall_clock_state(directory_clock(s->config.directory)) == WALL_CLOCK_FINE;
}

/* By a clock that was ahead of ours. */
static bool is_ahead(const LeaseService *s, const Record *lease, usec_t now) {
        return lease->body.not_before > usec_add(now, AHEAD_MIN) ||
               lease->body.not_after > usec_add(now, usec_add(s->config.lifetime, AHEAD_MIN));
}

/* Since when a claim counts that is renewed now. */
static usec_t claimed_since(const Record *lease, usec_t now) {
        return MIN(lease->body.not_before, now);
}

static bool is_self(const LeaseService *s, const MachineId *machine) {
        return machine_id_equal(machine, &s->config.issuer->id);
}

static bool is_recent(const LeaseService *s, const Record *lease, usec_t now) {
        usec_t recent = MIN(RENEWED_RECENTLY_USEC, s->config.lifetime / 8);

        return usec_add(lease->body.version, recent) > now && !is_ahead(s, lease, now) &&
               machine_id_equal(&lease->signer, &s->config.issuer->id) &&
               lease->body.not_after >= usec_add(lease->body.version, s->config.lifetime);
}

static int plan_own(LeaseService *s, LeaseBatch *b, const char *name, Record **ret);

int lease_plan_request(
                LeaseService *s,
                LeaseBatch *b,
                const MachineId *machine,
                const IpAddr *wanted,
                const char *name,
                bool is_limited,
                Record **ret) {
        usec_t now = directory_realtime(s->config.directory);
        Record *old = directory_get(s->config.directory, RECORD_LEASE, machine);
        bool is_valid;
        Grant g = {
                .machine = machine,
                .name = name,
                .not_before = now,
                .not_after = usec_add(now, s->config.lifetime),
        };
        int r;

        if (is_self(s, machine))
                return plan_own(s, b, name, ret);
        if (!is_permitted(s, machine))
                return LEASE_E_NOT_PERMITTED;
        /* Not even a renewal: by a clock that is ahead all leases have run out. */
        if (!clock_is_right(s))
                return LEASE_E_CLOCK;
        if (old && !ip_prefix_contains(&s->config.subnet, &old->body.lease.address))
                old = NULL;
        is_valid = old && now < old->body.not_after;
        if (is_valid && is_recent(s, old, now)) {
                *ret = record_ref(old);
                return 0;
        }
        if (is_limited && !lease_take_budget(s, machine))
                return LEASE_E_TOO_OFTEN;
        if (is_valid)
                g.address = ip_to_v4(&old->body.lease.address);
        else {
                r = choose(s, b, old, wanted, now, &g.address);
                if (r != 0)
                        return r;
        }
        if (old && !lease_is_released(old) && g.address == ip_to_v4(&old->body.lease.address))
                g.not_before = claimed_since(old, now);
        return plan(s, b, &g, ret);
}

int lease_plan_release(LeaseService *s, LeaseBatch *b, const MachineId *machine, bool is_limited) {
        const Record *lease = directory_get(s->config.directory, RECORD_LEASE, machine);

        if (!lease || lease_is_released(lease) || is_self(s, machine))
                return -ENOENT;
        if (is_limited && !lease_take_budget(s, machine))
                return LEASE_E_TOO_OFTEN;
        return plan_end(s, b, lease);
}

/* @r: what planning came to. */
static int commit_alone(LeaseService *s, LeaseBatch *b, const MachineId *machine, int r) {
        if (r == 0)
                r = lease_batch_commit(s, b);
        return r == 0 ? lease_batch_result(b, machine) : r;
}

int lease_service_request(
                LeaseService *s,
                const MachineId *machine,
                const IpAddr *wanted,
                const char *name,
                Record **ret) {
        _cleanup_(lease_batch_clear) LeaseBatch b;
        g_autoptr(Record) lease = NULL;
        int r;

        lease_batch_init(&b);
        r = lease_plan_request(s, &b, machine, wanted, name, false, &lease);
        r = commit_alone(s, &b, machine, r);
        if (r == 0)
                *ret = TAKE_PTR(lease);
        return r;
}

int lease_service_release(LeaseService *s, const MachineId *machine) {
        _cleanup_(lease_batch_clear) LeaseBatch b;
        MachineId id = *machine; /* may be part of the lease that goes */

        lease_batch_init(&b);
        return commit_alone(s, &b, &id, lease_plan_release(s, &b, &id, false));
}

/* --- the gateway's own --- */

static void on_renew_timer(void *userdata) {
        LeaseService *s = userdata;
        g_autoptr(Record) lease = NULL;

        /* Should the disk fail: an expired lease is honoured as well, and this comes again. */
        (void) lease_service_request(s, &s->config.issuer->id, &(IpAddr){}, s->own_name, &lease);
}

static void arm_renewal(LeaseService *s) {
        timer_set(s->config.env->timers, &s->renew_timer,
                  usec_add(env_now(s->config.env), s->config.lifetime / 2), on_renew_timer, s);
}

static int plan_own(LeaseService *s, LeaseBatch *b, const char *name, Record **ret) {
        const MachineId *self = &s->config.issuer->id;
        usec_t now = directory_realtime(s->config.directory);
        IpAddr address = vnet_plan_gateway(&s->config.subnet);
        Record *old = directory_get(s->config.directory, RECORD_LEASE, self);
        Record *holder = directory_lease_of_address(s->config.directory, &address);
        Grant g = {
                .machine = self,
                .name = name,
                .address = ip_to_v4(&address),
                .not_before = now,
                .not_after = usec_add(now, s->config.lifetime),
        };
        int r;

        arm_renewal(s);
        if (holder && holder == old) {
                if (is_recent(s, old, now) || !clock_is_right(s)) {
                        *ret = record_ref(old);
                        return 0;
                }
                g.not_before = claimed_since(old, now);
        } else if (holder) { /* some other plan was in force */
                if (lease_batch_has(b, &holder->body.machine))
                        return -EBUSY;
                r = plan_end(s, b, holder);
                if (r < 0)
                        return r;
        }
        return plan(s, b, &g, ret);
}

int lease_service_take_gateway_address(LeaseService *s, const MachineId *self, const char *name) {
        g_autoptr(Record) lease = NULL;
        int r;

        assert(is_self(s, self));
        g_strlcpy(s->own_name, name, sizeof s->own_name);
        r = lease_service_request(s, self, &(IpAddr){}, name, &lease);
        /* The disk is full, or by our clock we are no issuer any more: what we have is honoured. */
        return directory_get(s->config.directory, RECORD_LEASE, self) ? 0 : r;
}

int lease_service_renamed(LeaseService *s, const MachineId *machine) {
        const Record *lease = directory_get(s->config.directory, RECORD_LEASE, machine);
        _cleanup_(lease_batch_clear) LeaseBatch b;
        Grant g;
        int r;

        lease_batch_init(&b);
        if (!lease || lease_is_released(lease))
                return 0;
        g = (Grant){
                .machine = machine,
                .name = lease->body.lease.name,
                .address = ip_to_v4(&lease->body.lease.address),
                .not_before = lease->body.not_before,
                .not_after = lease->body.not_after,
        };
        r = plan(s, &b, &g, NULL);
        return r < 0 ? r : lease_batch_commit(s, &b);
}

/* --- a clock that was wrong --- */

static void note_ahead(void *userdata, Record *lease) {
        g_ptr_array_add(userdata, record_ref(lease));
}

unsigned lease_service_clock_changed(LeaseService *s) {
        g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
        usec_t now = directory_realtime(s->config.directory);
        _cleanup_(lease_batch_clear) LeaseBatch b;
        int r = 0;

        lease_batch_init(&b);
        if (!clock_is_right(s))
                return 0;
        directory_foreach(s->config.directory, RECORD_LEASE, note_ahead, all);
        for (unsigned i = 0; r >= 0 && i < all->len; i++) {
                const Record *lease = all->pdata[i];
                Grant g = {
                        .machine = &lease->body.machine,
                        .name = lease->body.lease.name,
                        .address = ip_to_v4(&lease->body.lease.address),
                        .not_before = claimed_since(lease, now),
                        .not_after = usec_add(now, s->config.lifetime),
                };

                if (is_ahead(s, lease, now) && !lease_is_released(lease) &&
                    machine_id_equal(&lease->signer, &s->config.issuer->id))
                        r = plan(s, &b, &g, NULL);
        }
        return lease_batch_commit(s, &b) < 0 ? 0 : b.records->len;
}

/* --- life --- */

int lease_service_new(const LeaseServiceConfig *config, LeaseService **ret) {
        IpAddr first = vnet_plan_first(&config->subnet), last = vnet_plan_last(&config->subnet);
        LeaseService *s = NEW(LeaseService);
        int r;

        *s = (LeaseService){
                .config = *config,
                .pool = address_pool_new(ip_to_v4(&first), ip_to_v4(&last)),
                .holdings = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, NULL, g_free),
                .by_expiry = g_tree_new_full(compare_expiry, NULL, NULL, NULL),
        };
        if (s->config.lifetime == 0)
                s->config.lifetime = LEASE_LIFETIME_DEFAULT;
        r = lease_channel_init(s);
        if (r < 0) {
                s->config.provider = NULL; /* the channel is not ours */
                lease_service_free(s);
                return r;
        }
        directory_foreach(config->directory, RECORD_LEASE, load, s);
        directory_observe(config->directory, on_record, s);
        *ret = s;
        return 0;
}

LeaseService *lease_service_free(LeaseService *s) {
        if (!s)
                return NULL;
        timer_clear(&s->renew_timer);
        directory_unobserve(s->config.directory, on_record, s);
        lease_channel_done(s);
        address_pool_free(s->pool);
        g_tree_unref(s->by_expiry);
        g_hash_table_unref(s->holdings);
        g_free(s);
        return NULL;
}
