/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Becoming a member (docs/protocol.md, "enrol"). The link by the invite's token proves to us that
 * the issuer is the one the invite names, and to the issuer that we have the token. Everything in
 * the answer is verified before it is handed on, as if the issuer were a stranger.
 */
#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/kdf.h"
#include "core/mesh/enrol/enrol.h"

#define ENROL_CHANNEL "enrol"
/* One question. The mesh repeats datagrams; this is for links that come and go. */
#define ASK_TIMEOUT (30 * USEC_PER_SEC)
#define POLL_INTERVAL (5 * USEC_PER_SEC)

struct EnrolClient {
        Mesh *mesh;
        const MeshEnv *env;
        const Identity *identity;
        Invite invite;
        uint8_t invite_id[INVITE_ID_SIZE];
        Secret *psk; /* of the token; NULL: there is none */
        GBytes *question;
        usec_t deadline; /* monotonic */
        bool is_waiting; /* it knows us and waits for a person */

        uint64_t request; /* 0: none under way */
        Timer timer;

        EnrolDone done; /* NULL: finished */
        void *userdata;
};

static void ask(void *userdata);

/* The caller may free @c in done(). */
static void finish(EnrolClient *c, WireError error, const EnrolResponse *response) {
        EnrolDone done = TAKE_PTR(c->done);

        timer_clear(&c->timer);
        done(c->userdata, error, response);
}

static void ask_later(EnrolClient *c, usec_t delay) {
        timer_set(c->env->timers, &c->timer, MIN(usec_add(env_now(c->env), delay), c->deadline),
                  ask, c);
}

/* --- what is believed --- */

/* A subnet for hosts, not one that would take over part of the machine's own workings. */
static bool subnet_is_sane(const IpPrefix *p) {
        static const struct {
                uint32_t address;
                uint8_t len;
        } foreign[] = {
                { 0x00000000, 8 },  /* this network, RFC 1122 section 3.2.1.3 */
                { 0x7f000000, 8 },  /* loopback */
                { 0xa9fe0000, 16 }, /* link-local, RFC 3927 */
                { 0xe0000000, 3 },  /* multicast, reserved, broadcast */
        };

        if (p->addr.family != AF_INET || p->len < 8 || p->len > 30)
                return false;
        for (unsigned i = 0; i < ELEMENTSOF(foreign); i++) {
                IpPrefix f = { .addr = ip_from_v4(foreign[i].address), .len = foreign[i].len };

                if (ip_prefix_overlaps(p, &f))
                        return false;
        }
        return true;
}

/* Good at another time than ours: one of the two clocks is wrong. */
static bool is_of_another_time(const EnrolClient *c, const Record *certificate) {
        return certificate && trust_check_validity(certificate, env_realtime(c->env)) != TRUST_OK;
}

/* What the invite said was looked at before it was shown. */
static bool subnet_is_promised(const EnrolClient *c, const IpPrefix *p) {
        const IpPrefix *promised = &c->invite.subnet;

        return !ip_is_set(&promised->addr) ||
               (promised->len == p->len && ip_equal(&promised->addr, &p->addr));
}

/* Tried in a directory of its own: the same judge that will judge it again.
 * Return: the error it comes to. */
static WireError judge_welcome(const EnrolClient *c, const EnrolResponse *r) {
        WireError error = WIRE_ERROR_NONE;
        Directory *d = NULL;
        const Record *gateway;

        if (!machine_id_equal(&r->certificate->body.machine, &c->identity->id) ||
            !subnet_is_sane(&r->subnet) || !subnet_is_promised(c, &r->subnet))
                return WIRE_ERROR_MALFORMED;
        if (directory_new(&c->invite.network, c->env, NULL, &d) < 0)
                return WIRE_ERROR_FAILED;
        for (unsigned i = 0; r->records && i < r->records->len; i++)
                (void) directory_offer(d, r->records->pdata[i], false, NULL);
        if (directory_check_peer(d, r->certificate, r->issuer_certificate, false) != DROP_NONE)
                error = is_of_another_time(c, r->certificate) ||
                                                        is_of_another_time(c, r->issuer_certificate)
                                        ? WIRE_ERROR_CLOCK
                                        : WIRE_ERROR_MALFORMED;
        gateway = directory_certificate(d, &r->gateway);
        if (!error && (!gateway || !(gateway->body.certificate.roles & ROLE_GATEWAY)))
                error = WIRE_ERROR_MALFORMED;
        directory_free(d);
        return error;
}

/* --- question and answer --- */

/* With all the tolerance of clocks. */
static bool is_over(const EnrolClient *c) {
        return usec_sub(env_realtime(c->env), VALIDITY_TOLERANCE) > c->invite.not_after;
}

static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        EnrolClient *c = userdata;
        EnrolResponse response = {};

        c->request = 0;
        if (!c->done)
                return; /* cancelled by us */
        if (error) {
                if (c->is_waiting && is_over(c))
                        /* Withdrawn since, most likely: the issuer says nothing at all then. */
                        finish(c, WIRE_ERROR_INVITE_EXPIRED, NULL);
                else if (wire_error_is_silence(error))
                        ask_later(c, POLL_INTERVAL);
                else
                        finish(c, error, NULL);
                return;
        }
        if (enrol_response_decode(data, len, &response) < 0) {
                finish(c, WIRE_ERROR_MALFORMED, NULL);
                return;
        }
        switch (response.status) {
        case ENROL_PENDING:
                c->is_waiting = true;
                c->deadline = USEC_INFINITY;
                ask_later(c, POLL_INTERVAL);
                c->done(c->userdata, WIRE_ERROR_NONE, &response); /* may free us */
                break;
        case ENROL_WELCOME:
                error = judge_welcome(c, &response);
                finish(c, error, error ? NULL : &response);
                break;
        }
        enrol_response_clear(&response);
}

static int send_question(EnrolClient *c) {
        const ChannelProvider *p = mesh_channels(c->mesh);
        usec_t left = usec_sub(c->deadline, env_now(c->env));
        size_t len;
        const void *data = g_bytes_get_data(c->question, &len);

        return p->ops->request(
                        p->self, &c->invite.issuer, ENROL_CHANNEL, data, len,
                        MIN(left, ASK_TIMEOUT), on_answer, c, &c->request);
}

static int connect_issuer(EnrolClient *c) {
        return mesh_connect_to_enrol(c->mesh, &c->invite.issuer, c->invite_id, c->psk);
}

static void ask(void *userdata) {
        EnrolClient *c = userdata;

        if (env_now(c->env) >= c->deadline) {
                /* An issuer that has forgotten the invite says nothing at all. */
                finish(c, is_over(c) ? WIRE_ERROR_INVITE_EXPIRED : WIRE_ERROR_TIMEOUT, NULL);
                return;
        }
        /* The link may have been given up since the last time. */
        if (send_question(c) < 0 && (connect_issuer(c) < 0 || send_question(c) < 0))
                ask_later(c, POLL_INTERVAL);
}

static GBytes *
make_question(const Identity *identity, const NetworkId *network, const char *name, const char *owner) {
        uint8_t data[2 * MACHINE_ID_SIZE];
        EnrolRequest r = {};

        host_name_normalize(name, r.name);
        g_strlcpy(r.owner, owner ?: "", sizeof(r.owner));
        memcpy(data, network->bytes, MACHINE_ID_SIZE);
        memcpy(data + MACHINE_ID_SIZE, identity->id.bytes, MACHINE_ID_SIZE);
        identity_sign(identity, ENROL_CONTEXT, data, sizeof(data), r.signature);
        return enrol_request_encode(&r);
}

int enrol_client_start(
                Mesh *mesh,
                const MeshEnv *env,
                const Identity *identity,
                const Invite *invite,
                const char *name,
                const char *owner,
                usec_t timeout,
                EnrolDone done,
                void *userdata,
                EnrolClient **ret) {
        EnrolClient *c = NEW(EnrolClient);
        uint8_t psk[SECRET_SIZE];
        int r;

        *c = (EnrolClient){
                .mesh = mesh,
                .env = env,
                .identity = identity,
                .invite = *invite,
                .question = make_question(identity, &invite->network, name, owner),
                .deadline = usec_add(env_now(env), timeout),
                .done = done,
                .userdata = userdata,
        };
        invite_derive(&invite->network, invite->token, c->invite_id, psk);
        c->psk = secret_new(psk);
        sodium_memzero(psk, sizeof(psk));
        /* The token has done its work. */
        sodium_memzero(c->invite.token, sizeof(c->invite.token));
        for (unsigned i = 0; i < invite->n_endpoints; i++)
                mesh_add_hint(mesh, &invite->issuer, &invite->endpoints[i]);
        for (unsigned i = 0; i < invite->n_streams; i++)
                mesh_add_hint(mesh, &invite->issuer, &invite->streams[i]);
        r = c->question ? connect_issuer(c) : -EINVAL;
        if (r < 0) {
                enrol_client_free(c);
                return r;
        }
        /* Not from here: done() is not called before the caller has its client. */
        timer_set(env->timers, &c->timer, env_now(env), ask, c);
        *ret = c;
        return 0;
}

EnrolClient *enrol_client_free(EnrolClient *c) {
        const ChannelProvider *p;

        if (!c)
                return NULL;
        c->done = NULL;
        p = mesh_channels(c->mesh);
        if (c->request != 0)
                p->ops->cancel(p->self, c->request);
        timer_clear(&c->timer);
        mesh_disconnect(c->mesh, &c->invite.issuer, 0);
        g_clear_pointer(&c->question, g_bytes_unref);
        secret_unref(c->psk);
        sodium_memzero(c, sizeof(*c));
        g_free(c);
        return NULL;
}
