/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/tunnel/health.h"

#include "base/macros.h"

/*
 * WAITING   the timer ends the interval
 * PROBING   a probe is under way; its reply goes on
 * UNSENT    the mesh could not send the probe (no link); the timer ends its time as if it had
 *           been lost, so that misses mean the same time
 */
typedef enum HealthState {
        HEALTH_STOPPED,
        HEALTH_WAITING,
        HEALTH_PROBING,
        HEALTH_UNSENT,
} HealthState;

struct Health {
        unsigned n_ref; /* owner, and each probe under way */
        bool is_dead;   /* the owner is gone */
        const ChannelProvider *provider;
        const SessionPoolConfig *config;
        MachineId machine;
        HealthHandler handler;

        HealthState state;
        Timer timer;
        usec_t interval;
        usec_t activity_seen;
        unsigned misses;
        bool is_degraded;
        usec_t srtt;

        /* The probe that counts: a later one takes its place when the network changed. */
        uint64_t serial;
        usec_t probe_sent;
};

/* A probe cannot be called back, only be outlived. */
typedef struct Probe {
        Health *health;
        uint64_t serial;
} Probe;

static void on_timer(void *userdata);

static usec_t now(const Health *h) {
        return h->provider->ops->now(h->provider->self);
}

static void arm(Health *h, HealthState state, usec_t due) {
        h->state = state;
        timer_set(h->provider->ops->timers(h->provider->self), &h->timer, due, on_timer, h);
}

Health *
health_new(const ChannelProvider *provider,
           const MachineId *machine,
           const SessionPoolConfig *config,
           const HealthHandler *handler) {
        Health *h = NEW(Health);

        *h = (Health){
                .n_ref = 1,
                .provider = provider,
                .config = config,
                .machine = *machine,
                .handler = *handler,
                .interval = config->probe_interval,
        };
        return h;
}

static void health_unref(Health *h) {
        if (--h->n_ref == 0)
                g_free(h);
}

Health *health_free(Health *h) {
        if (!h)
                return NULL;
        timer_clear(&h->timer);
        h->is_dead = true;
        health_unref(h);
        return NULL;
}

bool health_is_degraded(const Health *h) {
        return h->is_degraded;
}

usec_t health_rtt(const Health *h) {
        return h->srtt;
}

static void set_degraded(Health *h, bool degraded) {
        if (h->is_degraded == degraded)
                return;
        h->is_degraded = degraded;
        h->handler.changed(h->handler.userdata, degraded);
}

static void repair(Health *h) {
        h->provider->ops->repair(h->provider->self, &h->machine);
}

/* The machine answered or was heard. */
static void alive(Health *h) {
        h->misses = 0;
        arm(h, HEALTH_WAITING, now(h) + h->interval);
        set_degraded(h, false);
}

static void on_reply(void *userdata, bool lost, usec_t rtt);

static void probe(Health *h) {
        Probe *p = NEW(Probe);
        int r;

        *p = (Probe){ .health = h, .serial = ++h->serial };
        timer_clear(&h->timer);
        h->state = HEALTH_PROBING;
        h->probe_sent = now(h);
        h->n_ref++;
        r = h->provider->ops->probe(
                        h->provider->self, &h->machine, h->config->probe_timeout, on_reply, p);
        if (r >= 0)
                return;
        g_free(p);
        h->n_ref--;
        if (r == -ENXIO)
                h->handler.gone(h->handler.userdata);
        else
                arm(h, HEALTH_UNSENT, h->probe_sent + h->config->probe_timeout);
}

static void missed(Health *h) {
        h->misses++;
        if (h->misses % h->config->probe_misses_max != 0 && !h->is_degraded) {
                probe(h);
                return;
        }
        arm(h, HEALTH_WAITING, now(h) + h->config->probe_interval);
        if (h->misses % h->config->probe_misses_max != 0)
                return;
        repair(h);
        set_degraded(h, true);
}

static bool heard_since(const Health *h, usec_t when) {
        return h->provider->ops->last_received(h->provider->self, &h->machine) > when;
}

static void on_reply(void *userdata, bool lost, usec_t rtt) {
        g_autofree Probe *p = userdata;
        Health *h = p->health;
        bool current = h->state == HEALTH_PROBING && p->serial == h->serial;

        if (!h->is_dead && !lost) {
                h->srtt = h->srtt > 0 ? h->srtt - h->srtt / 8 + rtt / 8 : MAX(rtt, 1);
                if (h->state != HEALTH_STOPPED)
                        alive(h);
        } else if (!h->is_dead && current) {
                if (heard_since(h, h->probe_sent))
                        alive(h); /* it lost the probe, not the link */
                else
                        missed(h);
        }
        health_unref(h);
}

static void on_timer(void *userdata) {
        Health *h = userdata;
        usec_t activity, heard;
        bool used;

        if (h->state == HEALTH_UNSENT) {
                missed(h);
                return;
        }
        activity = h->handler.last_activity(h->handler.userdata);
        used = activity > h->activity_seen;
        h->activity_seen = activity;
        if (used)
                h->interval = h->config->probe_interval;
        heard = h->provider->ops->last_received(h->provider->self, &h->machine);
        if (h->is_degraded) {
                if (heard > h->probe_sent) {
                        alive(h);
                        return;
                }
        } else if (heard + h->interval > now(h)) {
                arm(h, HEALTH_WAITING, heard + h->interval);
                return;
        } else if (!used)
                h->interval = MIN(2 * h->interval, h->config->probe_interval_idle);
        probe(h);
}

void health_start(Health *h) {
        if (h->state != HEALTH_STOPPED)
                return;
        h->activity_seen = h->handler.last_activity(h->handler.userdata);
        probe(h);
}

void health_probe_now(Health *h) {
        if (h->state == HEALTH_STOPPED)
                return;
        h->interval = h->config->probe_interval;
        probe(h);
}

void health_link_up(Health *h) {
        if (h->state == HEALTH_STOPPED)
                return;
        h->interval = h->config->probe_interval;
        alive(h);
}

void health_link_down(Health *h) {
        if (h->state == HEALTH_STOPPED || h->is_degraded)
                return;
        h->misses = h->config->probe_misses_max;
        h->serial++; /* what is under way says nothing any more */
        arm(h, HEALTH_WAITING, now(h) + h->config->probe_interval);
        repair(h);
        set_degraded(h, true);
}
