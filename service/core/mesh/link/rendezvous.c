/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/rendezvous.h"

#include <string.h>

#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"
#include "core/wire/control.h"

#define PATH_CHANNEL "path"
/* The other side is told, and answered, no more often; nor is punching begun anew. */
#define TELL_USEC USEC_PER_SEC
/* So many are asked how they see us by the family no link goes by: two agree on what is true for
 * all (PATH_CANDIDATE_SEEN); and asked again before translators forget, the hastiest of which do so
 * after 30 s. */
#define SEERS 2U
#define SEEN_AGAIN_USEC (20 * USEC_PER_SEC)
/* Rounds of guessed ports, NAT_GUESSES_MAX each, for one pair: as long as both still have what they
 * told of, and then seldom; routers have crashed of more (EasyTier#289). Below what one member may
 * name (NAMED_BUDGET_BURST, paths.c), so that its other endpoints are asked as well. */
#define GUESS_INTERVAL (5 * USEC_PER_MINUTE)
#define GUESS_BURST 6U

/* The questions to candidates of one family. */
typedef struct Turn {
        Punch *punch;
        int family;
        unsigned step;
        Timer timer;
} Turn;

struct Punch {
        Link *link;
        Turn turn[2];                   /* IPv6, IPv4 */
        usec_t begun, called, answered; /* monotonic; 0: never */
        unsigned retries;
        Timer retry;
        /* What the other side has told of its translator. */
        bool is_told;
        PathTranslation translation;
        Endpoint last; /* unset: its next ports are not to be guessed */
        int step;
        RateLimit guesses;
        unsigned n_guesses; /* rounds */
};

struct Rendezvous {
        Mesh *mesh;
        LinkObserver observer;
};

static usec_t now(const Link *link) {
        return env_now(link->mesh->env);
}

/* Relayed, or by TCP: by UDP, straight, would be better. */
static bool is_indirect(const Link *link) {
        const Path *active = path_set_active(&link->paths);

        return active && !endpoint_is_plain(&active->endpoint);
}

static bool is_talking(const Link *link) {
        return link->mesh && link_is_up(link) && !link_is_limited(link) && !link->dismissed;
}

static Punch *punch_of(Link *link) {
        static const int families[2] = { AF_INET6, AF_INET };

        if (link->punch)
                return link->punch;
        link->punch = NEW(Punch);
        link->punch->link = link;
        link->punch->guesses = (RateLimit){ .interval = GUESS_INTERVAL, .burst = GUESS_BURST };
        for (unsigned i = 0; i < ELEMENTSOF(families); i++)
                link->punch->turn[i] = (Turn){ .punch = link->punch, .family = families[i] };
        return link->punch;
}

Punch *punch_free(Punch *p) {
        if (!p)
                return NULL;
        timer_clear(&p->retry);
        for (unsigned i = 0; i < ELEMENTSOF(p->turn); i++)
                timer_clear(&p->turn[i].timer);
        g_free(p);
        return NULL;
}

/* --- asking --- */

static bool is_wanted(const Link *link, const Path *path, int family) {
        return path->endpoint.sa.sa_family == family && endpoint_is_plain(&path->endpoint) &&
               path != path_set_active(&link->paths) && !path_is_ready(path, 0, now(link)) &&
               paths_could_be_better(link, path) &&
               !mesh_is_local_endpoint(link->mesh, &path->endpoint);
}

static bool has_wanted(const Link *link, int family) {
        for (unsigned i = 0; i < link->paths.n; i++)
                if (is_wanted(link, &link->paths.path[i], family))
                        return true;
        return false;
}

static usec_t step_delay(unsigned step) {
        static const usec_t delays[] = { 200 * USEC_PER_MSEC, 100 * USEC_PER_MSEC,
                                         200 * USEC_PER_MSEC, 500 * USEC_PER_MSEC };

        return step < ELEMENTSOF(delays) ? delays[step] : USEC_PER_SEC;
}

/* Knocks at the ports at which the other side's translator may have put what it sends here. Whoever
 * one of these reaches, there or here, has heard the other from a new place, and asks there. */
static void guess(Punch *p) {
        Link *link = p->link;
        Mesh *m = link->mesh;
        Endpoint ports[NAT_GUESSES_MAX];
        bool every_other;
        NatVerdict ours;
        unsigned n;
        int step;

        if (!endpoint_is_set(&p->last) || !is_indirect(link))
                return;
        ours = mesh_nat_verdict(m, AF_INET);
        /* Nobody would find the ports that these leave from. */
        if (nat_verdict_translation(&ours) == PATH_TRANSLATION_RANDOM ||
            !ratelimit_take(&p->guesses, now(link)))
                return;
        /* In turns: one side may be easy after all, and seen by one member alone. */
        every_other = p->n_guesses % 2 == 0 && nat_verdict_is_guessable(&ours, &step) &&
                      memcmp(&m->config.identity->id, &link->machine, sizeof link->machine) > 0;
        p->n_guesses++;
        n = nat_guess_ports(&p->last, p->step, every_other, ports);
        for (unsigned i = 0; i < n; i++)
                (void) paths_knock(link, &ports[i]);
}

static void on_turn(void *userdata) {
        Turn *t = userdata;
        Link *link = t->punch->link;

        if (!is_talking(link) || !has_wanted(link, t->family))
                return;
        for (unsigned i = 0; i < link->paths.n; i++)
                if (is_wanted(link, &link->paths.path[i], t->family))
                        (void) paths_ask(link, &link->paths.path[i]);
        if (t->step == 0 && t->family == AF_INET)
                guess(t->punch);
        if (t->step + 1 < PUNCH_STEPS)
                timer_set(link->mesh->env->timers, &t->timer, now(link) + step_delay(t->step),
                          on_turn, t);
        t->step++;
}

static void begin(Link *link) {
        Punch *p = punch_of(link);
        usec_t t = now(link);

        bool again = p->begun != 0 && t < p->begun + TELL_USEC;

        if (!again)
                p->begun = t;
        for (unsigned i = 0; i < ELEMENTSOF(p->turn); i++) {
                bool waits = p->turn[i].family == AF_INET && has_wanted(link, AF_INET6);

                /* What is under way takes news with it. */
                if (again && timer_is_set(&p->turn[i].timer))
                        continue;
                p->turn[i].step = 0;
                timer_set(link->mesh->env->timers, &p->turn[i].timer,
                          t + (waits ? PUNCH_HEAD_START_USEC : 0), on_turn, &p->turn[i]);
        }
}

/* --- telling --- */

/* How many see us there; more than two are as good. */
static unsigned count_seen(const Mesh *m, const Endpoint *seen) {
        unsigned n = 0;

        for (GList *l = m->lru.head; l && n < 2; l = l->next) {
                const Link *link = l->data;

                n += link_is_up(link) && endpoint_equal(link_seen(link, seen->sa.sa_family), seen);
        }
        return n;
}

/* Where others see us, but for our own addresses; by how many. */
static void add_seen(Mesh *m, PathMessage *message) {
        for (GList *l = m->lru.head; l; l = l->next) {
                const Link *link = l->data;

                for (unsigned i = 0; i < ELEMENTSOF(link->seen) && link_is_up(link); i++) {
                        const Endpoint *seen = &link->seen[i];

                        if (!endpoint_is_set(seen) || mesh_is_local_endpoint(m, seen))
                                continue;
                        if (message->n == PATH_CANDIDATES_MAX)
                                return;
                        (void) path_message_add(
                                        message,
                                        count_seen(m, seen) > 1 ? PATH_CANDIDATE_SEEN
                                                                : PATH_CANDIDATE_SEEN_ONCE,
                                        seen);
                }
        }
}

/* Whether some link goes out by it, beyond the LAN, and so keeps a translator's mapping alive. */
static bool is_used_family(const Mesh *m, int family) {
        for (GList *l = m->lru.head; l; l = l->next) {
                const Link *link = l->data;
                const Path *active = path_set_active(&link->paths);

                if (is_talking(link) && active && active->endpoint.sa.sa_family == family &&
                    endpoint_is_plain(&active->endpoint) && active->theirs != PATH_TIER_LAN)
                        return true;
        }
        return false;
}

/* Return: whether it was asked by that family, now or lately. */
static bool ask_seen_by(Link *link, int family) {
        bool asked = false;

        if (!is_talking(link) || is_indirect(link))
                return false;
        paths_add_known(link);
        for (unsigned i = 0; i < link->paths.n; i++) {
                Path *p = &link->paths.path[i];

                if (p->endpoint.sa.sa_family != family || p->theirs != PATH_TIER_PUBLIC ||
                    !endpoint_is_plain(&p->endpoint))
                        continue;
                if ((p->last_asked > 0 && now(link) < p->last_asked + SEEN_AGAIN_USEC) ||
                    paths_ask(link, p))
                        asked = true;
        }
        return asked;
}

/* A machine with IPv4 and IPv6 may have its links by one of them alone, and learns nothing of how
 * the other is translated: that is asked of those who have both. News is told when it comes
 * (LINK_EVENT_SEEN). */
static void learn_seen(Mesh *m) {
        static const int families[] = { AF_INET, AF_INET6 };

        for (unsigned i = 0; i < ELEMENTSOF(families); i++) {
                bool has = false;
                unsigned n = 0;

                for (unsigned k = 0; k < m->n_local && !has; k++)
                        has = m->local[k].sa.sa_family == families[i];
                if (!has || is_used_family(m, families[i]))
                        continue;
                for (GList *l = m->lru.head; l && n < SEERS; l = l->next)
                        n += ask_seen_by(l->data, families[i]);
        }
}

static void add_translation(const Mesh *m, PathMessage *message) {
        NatVerdict v = mesh_nat_verdict(m, AF_INET);
        int step;

        message->translation = nat_verdict_translation(&v);
        if (!nat_verdict_is_guessable(&v, &step))
                return;
        message->last = v.seen;
        message->step = (int16_t) step;
}

static void tell(Link *link, PathOp op) {
        Mesh *m = link->mesh;
        PathMessage message = { .op = op };
        g_autoptr(GBytes) payload = NULL;

        learn_seen(m);
        /* First, since they are among our own as well. */
        for (unsigned i = 0; i < m->n_mapped; i++)
                (void) path_message_add(&message, PATH_CANDIDATE_MAPPED, &m->mapped[i]);
        for (unsigned i = 0; i < m->n_local; i++)
                (void) path_message_add(&message, PATH_CANDIDATE_HOST, &m->local[i]);
        add_seen(m, &message);
        add_translation(m, &message);
        payload = path_message_encode(&message);
        if (payload)
                (void) m->provider.ops->send(
                                m, &link->machine, PATH_CHANNEL, g_bytes_get_data(payload, NULL),
                                g_bytes_get_size(payload));
}

static void on_retry(void *userdata);

static void retry_in(Punch *p, usec_t delay) {
        Link *link = p->link;

        timer_set(link->mesh->env->timers, &p->retry, now(link) + delay, on_retry, p);
}

/* Tells the other side to ask us, and asks. */
static void call(Link *link) {
        Punch *p = punch_of(link);
        usec_t t = now(link);

        if (p->called != 0 && t < p->called + TELL_USEC) {
                retry_in(p, p->called + TELL_USEC - t);
                return;
        }
        p->called = t;
        tell(link, PATH_CALL);
        begin(link);
        /* An idle pair stays as it is until it has something to say. */
        if (is_indirect(link) && link->packets_open)
                retry_in(p, MIN(USEC_PER_SEC << MIN(p->retries++, 10U), RENDEZVOUS_RETRY_MAX));
}

static void on_retry(void *userdata) {
        Punch *p = userdata;

        if (is_talking(p->link))
                call(p->link);
}

static bool is_loopback(const Endpoint *e) {
        return e->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&e->in6.sin6_addr)
                                           : ntohl(e->in.sin_addr.s_addr) >> 24 == 127;
}

static bool is_acceptable(const Mesh *m, const Endpoint *e) {
        return !mesh_is_inside(m, e) && !mesh_is_local_endpoint(m, e) && !is_loopback(e);
}

static void take_translation(Link *link, const PathMessage *message) {
        Punch *p = punch_of(link);

        p->is_told = true;
        p->translation = message->translation;
        p->last = (Endpoint){};
        /* No member outside sees it in a LAN, and nobody is to have ports of ours tried. */
        if (message->last.sa.sa_family == AF_INET && !path_is_local_address(&message->last) &&
            is_acceptable(link->mesh, &message->last)) {
                p->last = message->last;
                p->step = message->step;
        }
}

static void take(Link *link, const PathMessage *message) {
        Mesh *m = link->mesh;
        Endpoint told[PATH_CANDIDATES_MAX];
        unsigned n = 0;

        take_translation(link, message);
        for (unsigned i = 0; i < message->n; i++) {
                const PathCandidate *c = &message->candidates[i];

                if (is_acceptable(m, &c->endpoint))
                        told[n++] = c->endpoint;
        }
        path_set_forget_told(&link->paths, told, n);
        for (unsigned i = 0, k = 0; i < message->n && k < n; i++) {
                const PathCandidate *c = &message->candidates[i];
                Path *p;

                if (!endpoint_equal(&c->endpoint, &told[k]))
                        continue;
                k++;
                p = path_set_add(&link->paths, PATH_TOLD, &c->endpoint, now(link));
                if (p && p->origin == PATH_TOLD && c->kind != PATH_CANDIDATE_HOST)
                        p->theirs = MAX(p->theirs, PATH_TIER_TRANSLATED);
        }
}

static void on_data(void *userdata, const MachineId *sender, const uint8_t *data, size_t len) {
        Rendezvous *r = userdata;
        g_autoptr(Link) link = link_find(r->mesh, sender);
        PathMessage message;
        Punch *p;

        if (link)
                link_ref(link);
        if (!link || !is_talking(link))
                return;
        if (path_message_decode(data, len, &message) < 0) {
                drop_count(r->mesh->config.drops, DROP_FRAME_MALFORMED);
                return;
        }
        take(link, &message);
        p = punch_of(link);
        if (message.op == PATH_CALL && (p->answered == 0 || now(link) >= p->answered + TELL_USEC)) {
                p->answered = now(link);
                tell(link, PATH_ANSWER);
        }
        if (is_talking(link))
                begin(link);
}

/* --- why not --- */

PathTranslation rendezvous_translation(const Link *link) {
        return link->punch ? link->punch->translation : PATH_TRANSLATION_UNKNOWN;
}

/* Whether the two have addresses of one family at all, as far as they are told. */
static bool has_common_family(const Link *link) {
        const Mesh *m = link->mesh;

        if (m->n_local == 0)
                return true;
        for (unsigned i = 0; i < link->paths.n; i++)
                for (unsigned k = 0; k < m->n_local; k++)
                        if (endpoint_is_plain(&link->paths.path[i].endpoint) &&
                            link->paths.path[i].endpoint.sa.sa_family == m->local[k].sa.sa_family)
                                return true;
        return false;
}

/* The other side is seen at the address we are seen at, which is not ours. */
static bool is_behind_same(const Link *link, const NatVerdict *ours) {
        if (!endpoint_is_set(&ours->seen) || ours->mapping == NAT_MAPPING_NONE)
                return false;
        for (unsigned i = 0; i < link->paths.n; i++)
                if (endpoint_is_plain(&link->paths.path[i].endpoint) &&
                    endpoint_same_address(&link->paths.path[i].endpoint, &ours->seen))
                        return true;
        return false;
}

static const char *why_translated(PathTranslation ours, PathTranslation theirs) {
        bool random = ours == PATH_TRANSLATION_RANDOM,
             their_random = theirs == PATH_TRANSLATION_RANDOM;

        if (random && their_random)
                return "both are behind routers that give each connection a random port; a port "
                       "mapping on one of them, or IPv6, would help";
        if (random)
                return "the router of this machine gives each connection a random port, and what is "
                       "before the other lets in only what was asked for; a port mapping on one of "
                       "them, or IPv6, would help";
        if (their_random)
                return "the router of the other machine gives each connection a random port, and "
                       "what is before this one lets in only what was asked for; a port mapping on "
                       "one of them, or IPv6, would help";
        if (ours == PATH_TRANSLATION_UNKNOWN)
                return "it is not known what is before this machine; two members with public "
                       "addresses would tell";
        if (theirs == PATH_TRANSLATION_UNKNOWN)
                return "the other machine does not know what is before it; two members with public "
                       "addresses would tell";
        if (ours == PATH_TRANSLATION_PREDICTABLE || theirs == PATH_TRANSLATION_PREDICTABLE)
                return "a router gives each connection another port, and the next one was not hit; a "
                       "port mapping on it, or IPv6, would help";
        return "nothing that is known is in the way, and nothing is answered; a firewall may drop it";
}

const char *rendezvous_why_relayed(const Link *link) {
        Endpoint active = path_set_endpoint(&link->paths);
        NatVerdict ours;

        if (!link_is_up(link) || !is_indirect(link))
                return NULL;
        if (endpoint_is_stream(&active))
                return "no datagram of UDP is answered, so it goes by TCP; a network that lets UDP "
                       "pass would help";
        if (!link->punch || !link->punch->is_told)
                return "the other machine has not said yet where it may be reached";
        if (!has_common_family(link))
                return "one has IPv6 alone and the other has none; one address of the other's kind "
                       "would help";
        ours = mesh_nat_verdict(link->mesh, AF_INET);
        if (is_behind_same(link, &ours))
                return "both are behind one router that does not send back what is for its inside; a "
                       "way between them that it is not part of would help, or IPv6";
        return why_translated(nat_verdict_translation(&ours), link->punch->translation);
}

/* --- when --- */

void rendezvous_used(Link *link) {
        if (is_talking(link) && is_indirect(link)) {
                punch_of(link)->retries = 0;
                call(link);
        }
}

static void call_all(Rendezvous *r, bool only_indirect) {
        g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func((GDestroyNotify) link_unref);

        for (GList *l = r->mesh->lru.head; l; l = l->next) {
                Link *link = l->data;

                if (is_indirect(link) || (!only_indirect && link->packets_open))
                        g_ptr_array_add(links, link_ref(link));
        }
        for (unsigned i = 0; i < links->len; i++) {
                Link *link = links->pdata[i];

                /* The way there may be gone with an address. */
                if (!only_indirect)
                        paths_doubt(link);
                if (!is_talking(link))
                        continue;
                punch_of(link)->retries = 0;
                call(link);
        }
}

void rendezvous_changed(Rendezvous *r) {
        call_all(r, false);
}

static void on_link_event(void *userdata, Link *link, LinkEvent event) {
        switch (event) {
        case LINK_EVENT_UP:
        case LINK_EVENT_RESTARTED:
        case LINK_EVENT_ENDPOINT:
                if (is_indirect(link))
                        rendezvous_used(link);
                else if (link->punch)
                        timer_clear(&link->punch->retry);
                return;
        case LINK_EVENT_SEEN:
                call_all(userdata, true);
                return;
        case LINK_EVENT_CONNECTING:
        case LINK_EVENT_DOWN:
        case LINK_EVENT_SILENT:
        case LINK_EVENT_DOUBTED:
        case LINK_EVENT_LOST:
        case LINK_EVENT_CHANGED:
        case _LINK_EVENT_MAX:
                return;
        }
}

Rendezvous *rendezvous_new(Mesh *m) {
        Rendezvous *r = NEW(Rendezvous);

        *r = (Rendezvous){ .mesh = m, .observer = { .userdata = r, .event = on_link_event } };
        mesh_observe_links(m, &r->observer);
        (void) m->provider.ops->on_channel(m, PATH_CHANNEL, on_data, NULL, r);
        return r;
}

Rendezvous *rendezvous_free(Rendezvous *r) {
        if (!r)
                return NULL;
        (void) r->mesh->provider.ops->off_channel(r->mesh, PATH_CHANNEL);
        mesh_unobserve_links(r->mesh, &r->observer);
        g_free(r);
        return NULL;
}
