/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks for a new certificate when a third of the old one's life is left, and for as long as it has
 * ended (docs/protocol.md, "cert"). The directory tells everybody else of it, us included. */
#include "base/macros.h"
#include "core/mesh/enrol/enrol.h"

#define CERT_CHANNEL "cert"
#define ASK_TIMEOUT (30 * USEC_PER_SEC)
/* How often we look at our certificate at least: clocks get set. */
#define LOOK_INTERVAL (6 * USEC_PER_HOUR)
#define RETRY_MIN USEC_PER_MINUTE
/* An issuer whose link has just come up is asked at once, but not with each of its links. */
#define ASKED_LATELY (5 * USEC_PER_SEC)
#define RETRY_MAX USEC_PER_HOUR

struct CertClient {
        Mesh *mesh;
        Directory *directory;
        const MeshEnv *env;
        MachineId self;

        Timer timer;
        uint64_t request; /* 0: none */
        bool closing;
        usec_t retry;    /* pause after the next failure */
        unsigned turn;   /* which issuer is asked */
        usec_t asked;    /* when, last */
        WireError error; /* of the last answer */
        void (*changed)(void *userdata);
        void *userdata;
};

static void on_timer(void *userdata);

static void look_in(CertClient *c, usec_t delay) {
        timer_set(c->env->timers, &c->timer, usec_add(env_now(c->env), delay), on_timer, c);
}

static void look_later(CertClient *c) {
        usec_t retry = c->retry;

        c->turn++;
        c->retry = MIN(retry * 2, RETRY_MAX);
        look_in(c, retry);
}

/* When to renew; USEC_INFINITY: what the root signed only the root renews. */
static usec_t due(const CertClient *c, const Record *certificate) {
        usec_t third = (certificate->body.not_after - certificate->body.not_before) / 3;

        if (!directory_issuer(c->directory, &certificate->signer))
                return USEC_INFINITY;
        /* From the future: an issuer whose clock is right now gives us one that counts. */
        if (certificate->body.not_before >
            usec_add(directory_realtime(c->directory), VALIDITY_TOLERANCE))
                return 0;
        return certificate->body.not_after - third;
}

static bool is_due(const CertClient *c) {
        const Record *certificate = directory_certificate(c->directory, &c->self);

        return certificate && directory_realtime(c->directory) >= due(c, certificate);
}

static void set_error(CertClient *c, WireError error) {
        if (c->error == error)
                return;
        c->error = error;
        if (c->changed)
                c->changed(c->userdata);
}

static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        CertClient *c = userdata;
        _cleanup_(cert_response_clear) CertResponse response = {};
        int r;

        c->request = 0;
        if (c->closing)
                return;
        if (!error && cert_response_decode(data, len, &response) < 0)
                error = WIRE_ERROR_MALFORMED;
        if (!error && response.revocation) {
                /* If it is ours and holds, we learn of it from the directory. */
                (void) directory_offer(c->directory, response.revocation, true, NULL);
                error = WIRE_ERROR_NOT_PERMITTED;
        }
        if (!error && !machine_id_equal(&response.certificate->body.machine, &c->self))
                error = WIRE_ERROR_MALFORMED;
        set_error(c, error);
        if (error) {
                look_later(c);
                return;
        }
        if (response.issuer_certificate)
                (void) directory_offer(c->directory, response.issuer_certificate, false, NULL);
        r = directory_offer(c->directory, response.certificate, true, NULL);
        /* Known: gossip was faster. */
        if (r == DIRECTORY_NEWS || (r == DIRECTORY_KNOWN && !is_due(c))) {
                c->retry = RETRY_MIN;
                look_in(c, USEC_PER_MINUTE);
        } else
                look_later(c);
}

typedef struct Issuers {
        const CertClient *client;
        unsigned n, wanted;
        MachineId chosen;
} Issuers;

static void choose_issuer(void *userdata, Record *certificate) {
        Issuers *i = userdata;
        const MachineId *id = &certificate->body.machine;

        if (!directory_issuer(i->client->directory, id) || machine_id_equal(id, &i->client->self))
                return;
        if (i->n++ == i->wanted)
                i->chosen = *id;
}

/* First the one that signed what we have, then the others in turn. */
static bool pick_issuer(const CertClient *c, const Record *certificate, MachineId *ret) {
        Issuers i = { .client = c, .wanted = UINT_MAX };

        if (c->turn == 0 && directory_issuer(c->directory, &certificate->signer)) {
                *ret = certificate->signer;
                return true;
        }
        directory_foreach(c->directory, RECORD_CERTIFICATE, choose_issuer, &i);
        if (i.n == 0)
                return false;
        i.wanted = c->turn % i.n;
        i.n = 0;
        directory_foreach(c->directory, RECORD_CERTIFICATE, choose_issuer, &i);
        *ret = i.chosen;
        return true;
}

static void on_timer(void *userdata) {
        static const uint8_t question[] = { 0xa0 }; /* {} */
        CertClient *c = userdata;
        const ChannelProvider *p = mesh_channels(c->mesh);
        const Record *certificate = directory_certificate(c->directory, &c->self);
        usec_t now = directory_realtime(c->directory), when;
        MachineId issuer;

        if (!certificate) {
                look_in(c, LOOK_INTERVAL); /* revoked: nothing comes any more */
                return;
        }
        when = due(c, certificate);
        if (now < when) {
                c->turn = 0;
                c->retry = RETRY_MIN;
                look_in(c, MIN(when - now, LOOK_INTERVAL));
                return;
        }
        if (c->request != 0)
                return;
        c->asked = env_now(c->env);
        if (!pick_issuer(c, certificate, &issuer) ||
            p->ops->request(p->self, &issuer, CERT_CHANNEL, question, sizeof(question), ASK_TIMEOUT,
                            on_answer, c, &c->request) < 0)
                look_later(c);
}

/* Also when it counts no more: then it is the only thing that link is good for. */
static void on_link_state(void *userdata, const MachineId *machine, LinkState state, bool restarted) {
        CertClient *c = userdata;

        if (state == LINK_UP && directory_issuer(c->directory, machine))
                cert_client_kick(c);
}

void cert_client_kick(CertClient *c) {
        usec_t again = usec_add(c->asked, ASKED_LATELY), now = env_now(c->env);

        if (c->request != 0 || !is_due(c))
                return;
        c->turn = 0;
        c->retry = RETRY_MIN;
        look_in(c, c->asked == 0 ? 0 : usec_sub(again, now));
}

WireError cert_client_error(const CertClient *c) {
        return c->error;
}

void cert_client_on_changed(CertClient *c, void (*changed)(void *userdata), void *userdata) {
        c->changed = changed;
        c->userdata = userdata;
}

int cert_client_new(
                Mesh *mesh,
                Directory *directory,
                const MeshEnv *env,
                const MachineId *self,
                CertClient **ret) {
        CertClient *c = NEW(CertClient);
        uint16_t spread;

        *c = (CertClient){
                .mesh = mesh,
                .directory = directory,
                .env = env,
                .self = *self,
                .retry = RETRY_MIN,
        };
        /* Not all of a network at once after the gateway was away. */
        env_random(env, &spread, sizeof(spread));
        look_in(c, (spread % 60) * USEC_PER_SEC);
        mesh_channels(mesh)->ops->on_link_state(mesh_channels(mesh)->self, on_link_state, c);
        *ret = c;
        return 0;
}

CertClient *cert_client_free(CertClient *c) {
        const ChannelProvider *p;

        if (!c)
                return NULL;
        c->closing = true;
        p = mesh_channels(c->mesh);
        if (c->request != 0)
                p->ops->cancel(p->self, c->request);
        timer_clear(&c->timer);
        (void) p->ops->on_link_state(p->self, NULL, c);
        g_free(c);
        return NULL;
}
