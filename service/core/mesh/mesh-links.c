/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the mesh does about events of its links, and what it says about them. */

#include "core/mesh/gossip/neighbours.h"
#include "core/mesh/gossip/presence.h"
#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"

/* One machine that comes and goes has not all the others asked all the time; and of many it is
 * enough to ask those that are used. The rest is silent for too long soon (core/network.c). */
#define SUSPECT_USEC (10 * USEC_PER_SEC)
#define SUSPECT_MAX 64U

/* --- events --- */

static bool is_issuer(const Mesh *m, const MachineId *machine) {
        return directory_issuer(m->config.directory, machine) != NULL;
}

static void count_issuers(Mesh *m, const MachineId *machine) {
        unsigned n = 0;

        if (!is_issuer(m, machine))
                return;
        for (GList *l = m->lru.head; l; l = l->next) {
                const Link *link = l->data;

                if (link_is_up(link) && !link_is_limited(link) && is_issuer(m, &link->machine))
                        n++;
        }
        if (m->n_issuers_up == 0 && n > 0)
                m->issuers_since = env_now(m->env);
        m->n_issuers_up = n;
}

/* One machine does not answer: is it that one, or are we cut off? Asks the others. */
static void suspect(Mesh *m) {
        usec_t now = env_now(m->env);
        unsigned n = 0;

        if (m->suspected != 0 && now < m->suspected + SUSPECT_USEC)
                return;
        m->suspected = now;
        for (GList *l = m->lru.head; l && n < SUSPECT_MAX; l = l->next) {
                Link *link = l->data;

                if (link_is_up(link) && !link->lost && link->n_probes == 0 &&
                    link_last_received(link) + CHANGED_PROBE_USEC <= now)
                        n += probes_send(link, CHANGED_PROBE_USEC, NULL, NULL) >= 0;
        }
}

static void on_link_event(void *userdata, Link *link, LinkEvent event) {
        Mesh *m = userdata;
        Endpoint active;

        switch (event) {
        case LINK_EVENT_CONNECTING:
        case LINK_EVENT_UP:
        case LINK_EVENT_RESTARTED:
        case LINK_EVENT_DOWN:
                count_issuers(m, &link->machine);
                return;
        case LINK_EVENT_ENDPOINT:
                active = path_set_endpoint(&link->paths);
                /* A number at a relay is worth nothing in another life, and a connection is not to
                 * be what is tried first. */
                if (endpoint_is_plain(&active))
                        endpoint_book_reached(m->book, &link->machine, &active);
                return;
        case LINK_EVENT_LOST:
                suspect(m);
                return;
        case LINK_EVENT_SILENT:
        case LINK_EVENT_DOUBTED:
        case LINK_EVENT_CHANGED:
                if (m->config.handler.link_changed)
                        m->config.handler.link_changed(m->config.handler.userdata, &link->machine);
                return;
        case LINK_EVENT_SEEN:
        case _LINK_EVENT_MAX:
                return;
        }
}

void mesh_watch_links(Mesh *m) {
        m->observer = NEW(LinkObserver);
        *m->observer = (LinkObserver){ .userdata = m, .event = on_link_event };
        mesh_observe_links(m, m->observer);
}

bool mesh_keeps_link(const Mesh *m, const MachineId *machine) {
        return neighbours_has(m->neighbours, machine);
}

void mesh_ask(Mesh *m, const MachineId *machine) {
        Link *link = link_find(m, machine);

        if (link && link_is_up(link) && link->n_probes == 0)
                (void) probes_send(link, CHANGED_PROBE_USEC, NULL, NULL);
}

/* --- connections --- */

void mesh_set_stream_port(Mesh *m, uint16_t port) {
        if (port == m->stream_port)
                return;
        m->stream_port = port;
        presence_changed(m->presence);
}

unsigned mesh_stream_endpoints(
                const Mesh *m,
                const Endpoint *endpoints,
                unsigned n,
                Endpoint ret[static STREAM_ENDPOINTS_MAX]) {
        unsigned count = 0;

        for (unsigned i = 0; i < n && m->stream_port > 0 && count < STREAM_ENDPOINTS_MAX; i++) {
                Endpoint e = endpoints[i];
                bool is_new = true;

                for (unsigned k = 0; k < count; k++)
                        is_new = is_new && !endpoint_same_address(&ret[k], &e);
                if (!is_new)
                        continue;
                endpoint_set_port(&e, m->stream_port);
                e.transport = ENDPOINT_TCP;
                ret[count++] = e;
        }
        return count;
}

/* By it, or by a relay that was reached by it. */
static bool goes_by(const Path *path, const Endpoint *peer) {
        Endpoint e = path->endpoint;

        e.relay = 0;
        return endpoint_equal(&e, peer);
}

void mesh_stream_ended(Mesh *m, const Endpoint *peer) {
        g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func((GDestroyNotify) link_unref);

        for (GList *l = m->lru.head; l; l = l->next)
                g_ptr_array_add(links, link_ref(l->data));
        for (unsigned i = 0; i < links->len; i++) {
                Link *link = links->pdata[i];
                const Path *active = link->mesh ? path_set_active(&link->paths) : NULL;

                if (active && endpoint_is_relayed(&active->endpoint) && goes_by(active, peer))
                        paths_doubt(link);
                else
                        link_withdraw_path(link, peer);
        }
}

/* --- what is shown --- */

/* As others see it. */
static LinkState shown_state(const Link *link) {
        if (link->dismissed || link->renews)
                return LINK_DOWN;
        return link->lost ? LINK_CONNECTING : link->state;
}

static void get_info(const Link *link, MeshLinkInfo *ret) {
        const PacketPeer *p = link->peer;
        const Path *path = path_set_active(&link->paths);

        *ret = (MeshLinkInfo){
                .machine = link->machine,
                .state = shown_state(link),
                .endpoint = path_set_endpoint(&link->paths),
                .is_doubted = link->watch.distress && link->watch.rounds >= PATH_ROUNDS_PATIENT,
                .is_relayed = path && endpoint_is_relayed(&path->endpoint),
                .is_stream = path && endpoint_is_stream(&path->endpoint),
                .rtt = path ? path->srtt : 0,
                .rtt_min = path ? path->rtt_min : 0,
                .since = link->since,
                .last_handshake = link->last_handshake,
                .last_received = link_last_received(link),
                .cipher = link->current.kp ? link->current.cipher : 0,
        };
        (void) mesh_relay_find(link->mesh, &ret->endpoint, &ret->relay);
        ret->translation = path_translation_to_string(rendezvous_translation(link));
        if (!p)
                return;
        ret->tx_packets = atomic_load_explicit(&p->tx_packets, memory_order_relaxed);
        ret->tx_bytes = atomic_load_explicit(&p->tx_bytes, memory_order_relaxed);
        ret->rx_packets = atomic_load_explicit(&p->rx_packets, memory_order_relaxed);
        ret->rx_bytes = atomic_load_explicit(&p->rx_bytes, memory_order_relaxed);
}

bool mesh_link_info(Mesh *m, const MachineId *machine, MeshLinkInfo *ret) {
        const Link *link = link_find(m, machine);

        if (!link)
                return false;
        get_info(link, ret);
        return true;
}

void mesh_foreach_link(Mesh *m, void (*callback)(void *userdata, const MeshLinkInfo *info), void *userdata) {
        for (GList *l = m->lru.head; l; l = l->next) {
                MeshLinkInfo info;

                get_info(l->data, &info);
                callback(userdata, &info);
        }
}

bool mesh_foreach_path(
                Mesh *m,
                const MachineId *machine,
                void (*callback)(void *userdata, const MeshPathInfo *info),
                void *userdata) {
        const Link *link = link_find(m, machine);

        if (!link)
                return false;
        for (unsigned i = 0; i < link->paths.n; i++) {
                const Path *p = &link->paths.path[i];
                MeshPathInfo info = {
                        .endpoint = p->endpoint,
                        .is_relayed = endpoint_is_relayed(&p->endpoint),
                        .is_stream = endpoint_is_stream(&p->endpoint),
                        .is_active = (int) i == link->paths.active,
                        .is_lan = MAX(p->theirs, p->ours) == PATH_TIER_LAN,
                        .origin = path_origin_to_string(p->origin),
                        .state = path_state_to_string(p->state),
                        .reason = path_reason_to_string(
                                        path_set_reason(&link->paths, p, env_now(m->env))),
                        .rtt = p->srtt,
                        .rtt_min = p->rtt_min,
                        .rtt_deviation = p->rttvar,
                        .n_probes = p->n_probes,
                        .n_lost = p->n_lost,
                        .mtu = p->mtu.size,
                        .trains = (int) i == link->paths.active ? trains_text(link) : "unknown",
                        .mtu_state = path_mtu_state_to_string(p->mtu.state),
                        .since = p->since,
                        .last_received = p->last_received,
                };

                callback(userdata, &info);
        }
        return true;
}

const char *mesh_why_relayed(Mesh *m, const MachineId *machine) {
        const Link *link = link_find(m, machine);

        return link ? rendezvous_why_relayed(link) : NULL;
}

MeshNatInfo mesh_nat_info(const Mesh *m, int family) {
        NatVerdict v = mesh_nat_verdict(m, family);

        return (MeshNatInfo){
                .translation = path_translation_to_string(nat_verdict_translation(&v)),
                .mapping = nat_mapping_to_string(v.mapping),
                .ports = nat_ports_to_string(v.ports),
                .step = v.step,
                .seen = v.seen,
                .n_members = v.n_members,
                .n_dissenters = v.n_dissenters,
                .trouble = nat_trouble_to_string(v.trouble),
        };
}

static Endpoint observed_by(const Mesh *m, int family) {
        Endpoint best = {};
        unsigned n = 0, n_best = 0;

        /* Majority vote of those who see another address than we know (Boyer and Moore): who is
         * in our own LAN sees a local one, which says nothing about the world outside. */
        for (unsigned pass = 0; pass < 2; pass++) {
                int lead = 0;

                for (GList *l = m->lru.head; l; l = l->next) {
                        const Link *link = l->data;
                        const Endpoint *seen = link_seen(link, family);

                        if (!link_is_up(link) || !endpoint_is_set(seen) ||
                            mesh_is_local_endpoint(m, seen))
                                continue;
                        if (pass == 1) {
                                n++;
                                n_best += endpoint_equal(&best, seen);
                        } else if (lead == 0) {
                                best = *seen;
                                lead = 1;
                        } else
                                lead += endpoint_equal(&best, seen) ? 1 : -1;
                }
        }
        return 2 * n_best > n ? best : (Endpoint){};
}

Endpoint mesh_observed_endpoint(Mesh *m) {
        Endpoint observed = observed_by(m, AF_INET);

        return endpoint_is_set(&observed) ? observed : observed_by(m, AF_INET6);
}
