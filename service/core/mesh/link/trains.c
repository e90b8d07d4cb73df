/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/trains.h"

#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"

/* Paths that take turns are not asked each time. */
#define TRAIN_TURN_USEC (5 * USEC_PER_SEC)

static const Path *direct_path(const Link *link) {
        const Path *active = path_set_active(&link->paths);

        return active && active->state == PATH_WORKS && endpoint_is_plain(&active->endpoint) ? active
                                                                                             : NULL;
}

static bool is_about(const Link *link, const Endpoint *at) {
        return endpoint_equal(&link->trains.at, at) && ip_equal(&link->trains.at.local, &at->local);
}

/* --- what holds for others too --- */

/* Return: NULL: nobody says so of @local; or, if @adds, there is no room. */
static TrainsLost *find_lost(Mesh *m, const IpAddr *local, bool adds) {
        TrainsLost *unused = NULL;

        for (unsigned i = 0; i < ELEMENTSOF(m->trains_lost); i++) {
                TrainsLost *l = &m->trains_lost[i];

                if (l->n == 0)
                        unused = unused ? unused : l;
                else if (ip_equal(&l->local, local))
                        return l;
        }
        if (!adds || !unused)
                return NULL;
        unused->local = *local;
        return unused;
}

static void publish_all(Mesh *m) {
        for (GList *l = m->lru.head; l; l = l->next)
                link_publish(l->data);
}

/* The verdict of @link is another now: what it counts for. */
static void account(Link *link) {
        LinkTrains *t = &link->trains;
        bool is_lost = t->check.verdict == TRAINS_LOST, held;
        TrainsLost *l;

        if (is_lost == t->is_counted)
                return;
        l = find_lost(link->mesh, &t->at.local, is_lost);
        if (!l)
                return;
        held = l->n >= TRAINS_WITNESSES;
        l->n += is_lost ? 1 : -1U;
        t->is_counted = is_lost;
        if (held != (l->n >= TRAINS_WITNESSES))
                publish_all(link->mesh);
}

static unsigned witnesses(const Link *link, const IpAddr *local) {
        const TrainsLost *l = find_lost(link->mesh, local, false);

        return l ? l->n : 0;
}

void mesh_foreach_trains_lost(
                const Mesh *m,
                void (*callback)(void *userdata, const IpAddr *local, unsigned n_machines),
                void *userdata) {
        for (unsigned i = 0; i < ELEMENTSOF(m->trains_lost); i++)
                if (m->trains_lost[i].n > 0)
                        callback(userdata, &m->trains_lost[i].local, m->trains_lost[i].n);
}

/* --- one link --- */

TrainVerdict trains_verdict(const Link *link) {
        const Path *active = path_set_active(&link->paths);

        return active && is_about(link, &active->endpoint) ? link->trains.check.verdict
                                                           : TRAINS_UNKNOWN;
}

bool trains_are_off(const Link *link) {
        const Path *active = path_set_active(&link->paths);

        switch (trains_verdict(link)) {
        case TRAINS_PASS:
                return false;
        case TRAINS_LOST:
                return true;
        case TRAINS_UNKNOWN:
        case _TRAIN_VERDICT_MAX:
                break;
        }
        return active && witnesses(link, &active->endpoint.local) >= TRAINS_WITNESSES;
}

const char *trains_text(const Link *link) {
        TrainVerdict verdict = trains_verdict(link);

        return verdict == TRAINS_UNKNOWN && trains_are_off(link) ? "suspected"
                                                                 : train_verdict_to_string(verdict);
}

void trains_forget(Link *link) {
        link->trains.check = (TrainCheck){};
        account(link);
        link->trains.at = (Endpoint){};
        link->trains.round = 0;
}

int trains_send(Link *link, const Endpoint *to, const uint8_t *frames, size_t len, unsigned n) {
        uint8_t datagrams[TRAIN_PROBES * (DATA_OVERHEAD + TRAIN_PROBE_SIZE)];
        const MeshEnv *env = link->mesh->env;
        Keypair *kp = link->current.kp;
        size_t size = DATA_OVERHEAD + len;
        uint64_t counter;

        assert(n <= TRAIN_PROBES && len <= TRAIN_PROBE_SIZE);
        if (!env->send_train)
                return -EOPNOTSUPP;
        if (!kp || !keypair_reserve(kp, n, &counter))
                return -ENOTCONN;
        for (unsigned i = 0; i < n; i++)
                keypair_seal(kp, counter + i, 0, frames + i * len, len, datagrams + i * size);
        return env->send_train(env->userdata, to, datagrams, size, n);
}

static void begin_round(Link *link, const Path *path) {
        LinkTrains *t = &link->trains;
        Mesh *m = link->mesh;
        usec_t timeout = MAX(paths_doubt_after(path), USEC_PER_SEC);
        int r;

        if (++m->train_rounds == 0)
                m->train_rounds = 1;
        t->round = m->train_rounds;
        r = probes_send_round(link, &t->at, t->round, timeout);
        train_check_begin(&t->check, r >= 0, env_now(m->env));
}

void trains_look(Link *link) {
        LinkTrains *t = &link->trains;
        Mesh *m = link->mesh;
        const Path *path = direct_path(link);
        usec_t now = env_now(m->env);

        if (!path || !m->env->send_train || !link->packets_open || link->watch.distress)
                return;
        if (!is_about(link, &path->endpoint)) {
                if (t->check.asked > 0 && now < t->check.asked + TRAIN_TURN_USEC)
                        return;
                trains_forget(link);
                t->at = path->endpoint;
        }
        train_check_count(&t->check, path->n_probes, path->n_lost, now);
        if (train_check_is_due(&t->check, m->network_changed, now))
                begin_round(link, path);
}

void trains_probed(Link *link, uint32_t round, bool in_train, bool answered) {
        LinkTrains *t = &link->trains;
        TrainVerdict old = t->check.verdict;

        if (round != t->round || !train_check_note(&t->check, in_train, answered))
                return;
        if (t->check.verdict != old) {
                account(link);
                link_publish(link);
                link_tell(link, LINK_EVENT_CHANGED);
        } else if (t->check.lost_rounds > 0 && paths_in_use(link))
                trains_look(link);
}
