/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/gossip/presence.h"

#include <string.h>

#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"
#include "core/mesh/relay/relay.h"

/* Changes come in bursts (an interface goes, another comes) and records go to everybody: one so
 * often. The first of a burst is not kept back: without it nobody finds us but those we find
 * ourselves. */
#define SETTLE_USEC USEC_PER_SEC

struct Presence {
        Mesh *mesh;
        Timer timer;
        usec_t signed_at; /* monotonic; 0: not in this life */
        LinkObserver observer;
};

static bool is_linked(Mesh *m) {
        for (GList *l = m->lru.head; l; l = l->next) {
                const Link *link = l->data;

                if (link_is_up(link) && !link_is_limited(link))
                        return true;
        }
        return false;
}

static void add_endpoint(RecordBody *b, const Endpoint *e) {
        /* Those of the link mean nothing without an interface of the one who hears of them. */
        if (!endpoint_is_usable(e) || endpoint_is_link_local(e) ||
            b->presence.n_endpoints == ENDPOINTS_MAX)
                return;
        for (unsigned i = 0; i < b->presence.n_endpoints; i++)
                if (endpoint_equal(&b->presence.endpoints[i], e))
                        return;
        b->presence.endpoints[b->presence.n_endpoints++] = *e;
}

static bool same_streams(const RecordBody *a, const RecordBody *b) {
        if (a->presence.n_streams != b->presence.n_streams)
                return false;
        for (unsigned i = 0; i < a->presence.n_streams; i++)
                if (!endpoint_equal(&a->presence.streams[i], &b->presence.streams[i]))
                        return false;
        return true;
}

static bool is_same(const RecordBody *a, const RecordBody *b) {
        if (a->presence.n_endpoints != b->presence.n_endpoints ||
            a->presence.flags != b->presence.flags ||
            a->presence.n_relays != b->presence.n_relays || !same_streams(a, b))
                return false;
        for (unsigned i = 0; i < a->presence.n_relays; i++)
                if (!machine_id_equal(&a->presence.relays[i], &b->presence.relays[i]))
                        return false;
        for (unsigned i = 0; i < a->presence.n_endpoints; i++)
                if (!endpoint_equal(&a->presence.endpoints[i], &b->presence.endpoints[i]))
                        return false;
        return true;
}

static void on_timer(void *userdata);

static void look_again_in(Presence *p, usec_t delay) {
        const MeshEnv *env = p->mesh->env;

        timer_set(env->timers, &p->timer, usec_add(env_now(env), delay), on_timer, p);
}

static void on_timer(void *userdata) {
        Presence *p = userdata;
        Mesh *m = p->mesh;
        Directory *d = m->config.directory;
        const MachineId *self = &m->config.identity->id;
        const Record *old = directory_get(d, RECORD_PRESENCE, self);
        g_autoptr(Record) record = NULL;
        usec_t now = directory_realtime(d);
        Endpoint observed = mesh_observed_endpoint(m);
        RecordBody b = { .kind = RECORD_PRESENCE, .machine = *self };

        if (!m->is_member || m->revoked)
                return;
        add_endpoint(&b, &observed);
        for (unsigned i = 0; i < m->n_mapped; i++)
                add_endpoint(&b, &m->mapped[i]);
        for (unsigned i = 0; i < m->n_local; i++)
                add_endpoint(&b, &m->local[i]);
        if (b.presence.n_endpoints == 0)
                return;
        b.presence.n_streams = mesh_stream_endpoints(
                        m, b.presence.endpoints, b.presence.n_endpoints, b.presence.streams);
        b.presence.flags = m->exit_offer | (mesh_relays(m) ? PRESENCE_RELAYS : 0);
        b.presence.n_relays = mesh_relay_kept(m, b.presence.relays);
        if (old && is_same(&old->body, &b)) {
                usec_t left = usec_sub(old->body.not_after, now);

                /* More than all of it: by a clock that was ahead. */
                if (left > PRESENCE_LIFETIME / 2 && left <= PRESENCE_LIFETIME) {
                        look_again_in(p, left - PRESENCE_LIFETIME / 2);
                        return;
                }
                /* presence_changed() comes with the next link. */
                if (!is_linked(m))
                        return;
        }
        b.version = directory_next_version(d, RECORD_PRESENCE, self);
        b.not_after = now + PRESENCE_LIFETIME;
        if (m->config.software)
                g_strlcpy(b.presence.software, m->config.software, sizeof b.presence.software);
        if (identity_sign_record(m->config.identity, &m->config.network, &b, &record) < 0)
                return;
        p->signed_at = env_now(m->env);
        (void) directory_offer(d, record, false, NULL);
        look_again_in(p, PRESENCE_LIFETIME / 2);
}

void presence_changed(Presence *p) {
        const MeshEnv *env = p->mesh->env;
        usec_t next = p->signed_at > 0 ? p->signed_at + SETTLE_USEC : 0;
        usec_t delay = usec_sub(next, env_now(env));

        if (!timer_is_set(&p->timer) || p->timer.due > env_now(env) + delay)
                look_again_in(p, delay);
}

/* Somebody to tell it to, or somebody who sees us elsewhere. */
static void on_link_event(void *userdata, Link *link, LinkEvent event) {
        switch (event) {
        case LINK_EVENT_UP:
        case LINK_EVENT_RESTARTED:
        case LINK_EVENT_SEEN:
                presence_changed(userdata);
                return;
        case LINK_EVENT_CONNECTING:
        case LINK_EVENT_DOWN:
        case LINK_EVENT_ENDPOINT:
        case LINK_EVENT_SILENT:
        case LINK_EVENT_DOUBTED:
        case LINK_EVENT_LOST:
        case LINK_EVENT_CHANGED:
        case _LINK_EVENT_MAX:
                return;
        }
}

Presence *presence_new(Mesh *m) {
        Presence *p = NEW(Presence);

        p->mesh = m;
        p->observer = (LinkObserver){ .userdata = p, .event = on_link_event };
        mesh_observe_links(m, &p->observer);
        return p;
}

Presence *presence_free(Presence *p) {
        if (!p)
                return NULL;
        mesh_unobserve_links(p->mesh, &p->observer);
        timer_clear(&p->timer);
        g_free(p);
        return NULL;
}
