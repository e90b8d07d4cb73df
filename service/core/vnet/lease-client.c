/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/vnet/lease.h"

#include <string.h>

#include "base/macros.h"
#include "core/wire/control.h"

/*
 * NO_GATEWAY  nobody to ask; set_gateway() goes on
 * ASKING      a request is under way; its answer or the timeout goes on
 * BOUND       has a lease; the timer ends its first half (RFC 2131, 4.4.5, T1)
 * WAITING     the last request failed; the timer ends the pause
 * STOPPED     revoked, or left; final
 *
 * Having an address and asking for one are apart: a lease in the directory is used from the
 * start, in every state, expired or not, since the LAN outlives its gateway.
 */
typedef enum ClientState {
        CLIENT_NO_GATEWAY,
        CLIENT_ASKING,
        CLIENT_BOUND,
        CLIENT_WAITING,
        CLIENT_STOPPED,
} ClientState;

#define DHCP_CHANNEL "dhcp"
/* Time for a link to be made and a disk to be written; a lost datagram is repeated below us. */
#define REQUEST_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define RETRY_MIN_USEC USEC_PER_SEC
#define RETRY_MAX_USEC (60 * USEC_PER_SEC)

struct LeaseClient {
        LeaseClientConfig config;
        char *name;
        ClientState state;
        bool has_gateway;
        MachineId gateway;
        Timer timer;
        usec_t pause; /* before the next retry */
        usec_t renew; /* monotonic: when half of the lease is over */
        uint64_t request;
        WireError error; /* last reported */
};

static void ask(LeaseClient *c);

static usec_t now(const LeaseClient *c) {
        return env_now(c->config.env);
}

/* Return: our lease; NULL: none, or given back. */
static const Record *own_lease(const LeaseClient *c) {
        const Record *lease = directory_get(c->config.directory, RECORD_LEASE, &c->config.self);

        return lease && !lease_is_released(lease) ? lease : NULL;
}

static void report(LeaseClient *c, WireError error, const Record *lease) {
        if (error && error == c->error)
                return; /* a gateway that is away for a week is one piece of news */
        c->error = error;
        if (c->config.changed)
                c->config.changed(c->config.userdata, error, lease);
}

static void on_timer(void *userdata) {
        LeaseClient *c = userdata;

        if (c->has_gateway)
                ask(c);
}

static void arm(LeaseClient *c, ClientState state, usec_t due) {
        c->state = state;
        timer_set(c->config.env->timers, &c->timer, due, on_timer, c);
}

/* Ten thousand machines whose gateway comes back should not ask in one instant: a quarter of the
 * pause is left to chance. */
static usec_t with_jitter(const LeaseClient *c, usec_t pause) {
        uint32_t r;

        env_random(c->config.env, &r, sizeof r);
        return pause - r % (pause / 4);
}

static void retry_later(LeaseClient *c, WireError error) {
        arm(c, CLIENT_WAITING, now(c) + with_jitter(c, c->pause));
        c->pause = MIN(2 * c->pause, RETRY_MAX_USEC);
        report(c, error, own_lease(c));
}

/* @lease was signed a moment ago: counted from then its length does not depend on how far our
 * clock is from the gateway's. */
static void set_bound(LeaseClient *c, const Record *lease) {
        usec_t length = usec_sub(lease->body.not_after, lease->body.version);

        c->pause = RETRY_MIN_USEC;
        /* A gateway with lifetimes of seconds is not asked more often than a silent one. */
        c->renew = usec_add(now(c), MAX(length / 2, RETRY_MIN_USEC));
        arm(c, CLIENT_BOUND, c->renew);
        report(c, WIRE_ERROR_NONE, lease);
}

/* --- the gateway's answer --- */

/* Return: WIRE_ERROR_NONE, or why it is no good. */
static WireError take_lease(LeaseClient *c, Record *lease) {
        const Record *own;
        int r;

        if (!machine_id_equal(&lease->body.machine, &c->config.self) || lease_is_released(lease))
                return WIRE_ERROR_MALFORMED;
        /* Durable, so that a power cut leaves us an address while the gateway is away. A full disk
         * is no reason to have none now. */
        r = directory_offer(c->config.directory, lease, true, NULL);
        if (r < 0)
                r = directory_offer(c->config.directory, lease, false, NULL);
        if (r == DIRECTORY_LOST)
                return WIRE_ERROR_ADDRESS_IN_USE; /* not ours to use, so not wanted the next time */
        /* News, or gossip was faster; but nothing forged, and no lease of yesterday. */
        own = own_lease(c);
        return own && g_bytes_equal(own->bytes, lease->bytes) ? WIRE_ERROR_NONE
                                                              : WIRE_ERROR_MALFORMED;
}

static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        LeaseClient *c = userdata;
        _cleanup_(dhcp_response_clear) DhcpResponse answer = {};

        if (c->state != CLIENT_ASKING)
                return; /* called off by us */
        if (!error && (dhcp_response_decode(data, len, &answer) < 0 || !answer.lease))
                error = WIRE_ERROR_MALFORMED;
        if (!error)
                error = take_lease(c, answer.lease);
        if (error)
                retry_later(c, error);
        else
                set_bound(c, own_lease(c));
}

/* --- asking --- */

static int send_request(LeaseClient *c) {
        const ChannelProvider *p = c->config.provider;
        DhcpRequest q = { .op = DHCP_REQUEST };
        const Record *lease = own_lease(c);
        g_autoptr(GBytes) bytes = NULL;

        if (lease)
                q.wanted = lease->body.lease.address;
        g_strlcpy(q.name, c->name, sizeof q.name);
        bytes = dhcp_request_encode(&q);
        return p->ops->request(
                        p->self, &c->gateway, DHCP_CHANNEL, g_bytes_get_data(bytes, NULL),
                        g_bytes_get_size(bytes), REQUEST_TIMEOUT_USEC, on_answer, c, &c->request);
}

static void call_off(LeaseClient *c) {
        bool pending = c->state == CLIENT_ASKING;

        timer_clear(&c->timer);
        c->state = CLIENT_NO_GATEWAY;
        if (pending)
                c->config.provider->ops->cancel(c->config.provider->self, c->request);
}

static void ask(LeaseClient *c) {
        int r;

        call_off(c);
        c->state = CLIENT_ASKING;
        r = send_request(c);
        if (r < 0)
                retry_later(c, r == -ENXIO ? WIRE_ERROR_NO_GATEWAY : WIRE_ERROR_FAILED);
}

/* --- what happens to our lease otherwise --- */

static void stop(LeaseClient *c) {
        call_off(c);
        c->state = CLIENT_STOPPED;
}

static void
on_record(void *userdata,
          RecordKind kind,
          const MachineId *machine,
          const Record *record,
          const Record *old) {
        LeaseClient *c = userdata;

        if (c->state == CLIENT_STOPPED || !machine_id_equal(machine, &c->config.self))
                return;
        if (kind == RECORD_REVOCATION && record) {
                stop(c);
                report(c, WIRE_ERROR_REVOKED, NULL);
                return;
        }
        if (kind != RECORD_LEASE)
                return;
        if (record && !lease_is_released(record)) {
                /* Renewed by another way, or the loser of a conflict has its address again. */
                if (c->state == CLIENT_BOUND || c->state == CLIENT_WAITING)
                        set_bound(c, record);
                return;
        }
        /* Somebody with an older claim has our address, or the gateway took it back. */
        report(c, WIRE_ERROR_ADDRESS_LOST, NULL);
        c->pause = RETRY_MIN_USEC;
        if (c->has_gateway && (c->state == CLIENT_BOUND || c->state == CLIENT_WAITING))
                arm(c, CLIENT_WAITING, now(c)); /* not inside the directory's call */
}

static void on_start(void *userdata) {
        LeaseClient *c = userdata;
        const Record *lease = own_lease(c);

        if (lease)
                report(c, WIRE_ERROR_NONE, lease);
        if (c->has_gateway)
                ask(c);
        else
                report(c, WIRE_ERROR_NO_GATEWAY, lease);
}

/* --- life --- */

int lease_client_new(const LeaseClientConfig *config, LeaseClient **ret) {
        LeaseClient *c = NEW(LeaseClient);

        *c = (LeaseClient){
                .config = *config,
                .name = g_strdup(config->name ?: ""),
                .state = CLIENT_NO_GATEWAY,
                .pause = RETRY_MIN_USEC,
        };
        directory_observe(config->directory, on_record, c);
        /* Not before the caller has us. */
        timer_set(config->env->timers, &c->timer, now(c), on_start, c);
        *ret = c;
        return 0;
}

LeaseClient *lease_client_free(LeaseClient *c) {
        if (!c)
                return NULL;
        call_off(c);
        directory_unobserve(c->config.directory, on_record, c);
        g_free(c->name);
        g_free(c);
        return NULL;
}

void lease_client_set_gateway(LeaseClient *c, const MachineId *gateway) {
        if (c->state == CLIENT_STOPPED || (c->has_gateway && machine_id_equal(&c->gateway, gateway)))
                return;
        c->has_gateway = true;
        c->gateway = *gateway;
        if (timer_is_set(&c->timer) && c->timer.callback == on_start)
                return; /* it begins in a moment */
        c->pause = RETRY_MIN_USEC;
        ask(c);
}

void lease_client_kick(LeaseClient *c) {
        bool is_time = c->state == CLIENT_WAITING || (c->state == CLIENT_BOUND && c->renew <= now(c));

        if (!c->has_gateway || !is_time)
                return;
        c->pause = RETRY_MIN_USEC;
        ask(c);
}
