/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The channel `dhcp` at the gateway.
 *
 * A sync to disk takes milliseconds, whatever it writes. So requests wait a moment for others and
 * are answered together: planned one after the other, committed once, then answered. If the commit
 * fails nothing has changed and all of them are told so. A second request of a machine waits for
 * the commit of its first.
 *
 * What a machine may make us write is bounded (lease_take_budget()); what needs no writing (the
 * lease it was just given, a release of nothing) is always answered.
 */
#include "base/macros.h"
#include "base/ratelimit.h"
#include "core/vnet/lease-internal.h"
#include "core/vnet/vnet.h"
#include "core/wire/control.h"

#define DHCP_CHANNEL "dhcp"
/* As long as a fast disk takes; nobody notices it. */
#define GROUP_DELAY (2 * USEC_PER_MSEC)
/* To sign and check one costs 0.2 ms: the loop is not held up for longer than 50. */
#define GROUP_MAX 256U
/* An honest machine asks twice a day, and a few times when it starts or its network changes. */
#define BUDGET_BURST 5U
#define BUDGET_INTERVAL (5 * USEC_PER_SEC)
#define BUDGETS_SWEEP USEC_PER_MINUTE

typedef struct Pending {
        MachineId machine;
        ChannelRequest *request;
        DhcpRequest question;
        Record *lease; /* the answer to be, or NULL */
} Pending;

typedef struct LeaseBudget {
        MachineId machine;
        RateLimit commits;
} LeaseBudget;

/* --- budgets --- */

static void on_sweep(void *userdata);

static void arm_sweep(LeaseService *s) {
        const MeshEnv *env = s->config.env;

        timer_set(env->timers, &s->budgets_timer, usec_add(env_now(env), BUDGETS_SWEEP), on_sweep, s);
}

static void on_sweep(void *userdata) {
        LeaseService *s = userdata;
        GHashTableIter i;
        void *budget;

        g_hash_table_iter_init(&i, s->budgets);
        while (g_hash_table_iter_next(&i, NULL, &budget))
                if (((LeaseBudget *) budget)->commits.full_at <= env_now(s->config.env))
                        g_hash_table_iter_remove(&i);
        if (g_hash_table_size(s->budgets) > 0)
                arm_sweep(s);
}

bool lease_take_budget(LeaseService *s, const MachineId *machine) {
        LeaseBudget *b = g_hash_table_lookup(s->budgets, machine);

        if (!b) {
                b = NEW(LeaseBudget);
                *b = (LeaseBudget){
                        .machine = *machine,
                        /* A network with leases of seconds renews them every few seconds. */
                        .commits = { .interval = MIN(BUDGET_INTERVAL, s->config.lifetime / 4),
                                     .burst = BUDGET_BURST },
                };
                g_hash_table_insert(s->budgets, &b->machine, b);
        }
        if (!timer_is_set(&s->budgets_timer))
                arm_sweep(s);
        return ratelimit_take(&b->commits, env_now(s->config.env));
}

/* --- answers --- */

static WireError error_of(int r) {
        switch (r) {

        case LEASE_E_POOL_EMPTY:
                return WIRE_ERROR_POOL_EMPTY;

        case LEASE_E_NOT_PERMITTED:
                return WIRE_ERROR_NOT_PERMITTED;

        case LEASE_E_CLOCK:
                return WIRE_ERROR_CLOCK;

        case LEASE_E_TOO_OFTEN:
                return WIRE_ERROR_FULL;

        default:
                return WIRE_ERROR_FAILED;
        }
}

/* @r: 0, a LEASE_E_* or negative errno. Consumes @p. */
static void answer(LeaseService *s, Pending *p, int r) {
        const ChannelProvider *provider = s->config.provider;
        _cleanup_(dhcp_response_clear) DhcpResponse a = { .lease = TAKE_PTR(p->lease) };
        g_autoptr(GBytes) bytes = NULL;

        if (r == 0) {
                if (p->question.op == DHCP_REQUEST)
                        a.gateway = vnet_plan_gateway(&s->config.subnet);
                bytes = dhcp_response_encode(&a);
                provider->ops->reply(
                                provider->self, p->request, g_bytes_get_data(bytes, NULL),
                                g_bytes_get_size(bytes));
        } else
                provider->ops->fail(provider->self, p->request, error_of(r));
        g_free(p);
}

/* --- groups --- */

static int plan(LeaseService *s, LeaseBatch *b, Pending *p) {
        int r;

        switch (p->question.op) {

        case DHCP_REQUEST:
                return lease_plan_request(
                                s, b, &p->machine, &p->question.wanted, p->question.name, true,
                                &p->lease);

        case DHCP_RELEASE:
                r = lease_plan_release(s, b, &p->machine, true);
                return r == -ENOENT ? 0 : r; /* an answer got lost: it has none, as it wished */
        }
        return -EINVAL;
}

static void on_group(void *userdata);

static void arm_group(LeaseService *s, usec_t delay) {
        const MeshEnv *env = s->config.env;

        if (!timer_is_set(&s->group_timer))
                timer_set(env->timers, &s->group_timer, usec_add(env_now(env), delay), on_group, s);
}

static void on_group(void *userdata) {
        LeaseService *s = userdata;
        _cleanup_(lease_batch_clear) LeaseBatch b;
        GQueue now = s->pending, planned = G_QUEUE_INIT;
        Pending *p;
        int r;

        g_queue_init(&s->pending);
        lease_batch_init(&b);
        while ((p = g_queue_pop_head(&now))) {
                if (b.records->len >= GROUP_MAX || lease_batch_has(&b, &p->machine)) {
                        g_queue_push_tail(&s->pending, p);
                        continue;
                }
                r = plan(s, &b, p);
                if (r == 0 && lease_batch_has(&b, &p->machine))
                        g_queue_push_tail(&planned, p);
                else
                        answer(s, p, r);
        }
        r = lease_batch_commit(s, &b);
        while ((p = g_queue_pop_head(&planned)))
                answer(s, p, r < 0 ? r : lease_batch_result(&b, &p->machine));
        if (s->pending.length > 0)
                arm_group(s, 0);
}

static void
on_dhcp(void *userdata,
        const MachineId *sender,
        ChannelRequest *request,
        const uint8_t *data,
        size_t len) {
        LeaseService *s = userdata;
        const ChannelProvider *provider = s->config.provider;
        Pending *p;
        DhcpRequest q;

        if (dhcp_request_decode(data, len, &q) < 0) {
                provider->ops->fail(provider->self, request, WIRE_ERROR_MALFORMED);
                return;
        }
        p = NEW(Pending);
        *p = (Pending){ .machine = *sender, .request = request, .question = q };
        g_queue_push_tail(&s->pending, p);
        arm_group(s, GROUP_DELAY);
}

/* --- life --- */

int lease_channel_init(LeaseService *s) {
        const ChannelProvider *p = s->config.provider;

        g_queue_init(&s->pending);
        s->budgets = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, NULL, g_free);
        return p ? p->ops->on_channel(p->self, DHCP_CHANNEL, NULL, on_dhcp, s) : 0;
}

void lease_channel_done(LeaseService *s) {
        Pending *p;

        timer_clear(&s->group_timer);
        timer_clear(&s->budgets_timer);
        while ((p = g_queue_pop_head(&s->pending)))
                answer(s, p, -ECANCELED);
        if (s->config.provider)
                (void) s->config.provider->ops->off_channel(s->config.provider->self, DHCP_CHANNEL);
        g_hash_table_unref(s->budgets);
}
