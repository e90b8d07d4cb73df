/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The timer of a link in use: is its active path alive, and are its spares? Theory of operation:
 * paths.c. */

#include "core/mesh/link/link.h"
#include "core/mesh/link/paths.h"
#include "core/mesh/mesh-internal.h"

/* After so many rounds nothing but new keys, which are tried meanwhile, can help. */
#define ROUNDS_MAX 12U
/* Kept warm while a session lives, on the schedule of neighbours (gossip/neighbours.h): what
 * translators forget, and what nobody does. */
#define SPARES_MAX 2U
#define SPARE_TRANSLATED_USEC (25 * USEC_PER_SEC)
#define SPARE_USEC (60 * USEC_PER_SEC)

static usec_t now(const Link *link) {
        return env_now(link->mesh->env);
}

static Path *active_of(Link *link) {
        return link->paths.active >= 0 ? &link->paths.path[link->paths.active] : NULL;
}

/* Monotonic: when something was last sent for a user; 0: never. */
static usec_t last_sent(const Link *link) {
        usec_t packet = link->peer ? atomic_load_explicit(&link->peer->last_tx, memory_order_relaxed)
                                   : 0;

        return MAX(packet, link->watch.last_datagram);
}

bool paths_in_use(const Link *link) {
        usec_t sent = last_sent(link);

        return sent > 0 && now(link) < sent + PATH_USE_USEC;
}

/* Half of what is given until the path is in doubt: then it is asked, and so long for the answer. */
static usec_t patience(const Path *active) {
        return paths_doubt_after(active) / 2;
}

/* --- doubt --- */

/* The best one beside the active path that has ever answered. Nobody else is sent packets. */
static void choose_second(Link *link) {
        PathWatch *w = &link->watch;
        unsigned but = 1U << link->paths.active;
        Path *p = path_set_best(&link->paths, but, OMERTA_MTU_MIN, now(link));
        Endpoint second = {};

        if (!p)
                p = path_set_best(&link->paths, but, 0, now(link));
        if (p)
                second = p->endpoint;
        if (endpoint_equal(&second, &w->second))
                return;
        w->second = second;
        link_publish(link);
}

static void ask_round(Link *link) {
        PathWatch *w = &link->watch;

        w->rounds++;
        w->round_at = now(link);
        for (unsigned i = 0; i < link->paths.n && link->mesh; i++) {
                Path *p = &link->paths.path[i];

                /* Places that never answered only where nothing else does. */
                if ((int) i == link->paths.active || p->last_answered > 0 ||
                    w->rounds >= PATH_ROUNDS_PATIENT)
                        (void) paths_ask(link, p);
        }
}

static void doubt(Link *link, bool needs_answer) {
        PathWatch *w = &link->watch;

        if (w->distress) {
                w->needs_answer = w->needs_answer || needs_answer;
                return;
        }
        w->distress = true;
        w->needs_answer = needs_answer;
        w->distress_since = now(link);
        w->rounds = 0;
        choose_second(link);
        ask_round(link);
        if (link->mesh)
                link_tell(link, LINK_EVENT_SILENT);
}

void paths_doubt(Link *link) {
        Path *active = active_of(link);

        if (!link->mesh || !link_is_up(link) || link_is_limited(link) || !active)
                return;
        doubt(link, paths_active_heard(link) > active->last_answered);
        paths_watch(link);
}

/* Return: when to look again. */
static usec_t look_in_doubt(Link *link, Path *active) {
        PathWatch *w = &link->watch;
        usec_t next = w->round_at + patience(active);

        if (!w->needs_answer && paths_active_heard(link) > w->distress_since) {
                active->state = PATH_WORKS;
                active->missed = 0;
                paths_trust(link);
                return now(link);
        }
        if (now(link) < next)
                return next;
        if (w->rounds >= ROUNDS_MAX) {
                paths_trust(link);
                return USEC_INFINITY;
        }
        choose_second(link);
        ask_round(link);
        if (w->rounds == PATH_ROUNDS_PATIENT) {
                link_repair(link);
                if (link->mesh)
                        link_tell(link, LINK_EVENT_DOUBTED);
        }
        if (link->mesh)
                paths_choose(link);
        return link->mesh ? w->round_at + patience(active) : USEC_INFINITY;
}

/* --- the active path --- */

/* Return: when to look again. */
static usec_t look_at_active(Link *link, Path *active) {
        usec_t t = now(link), heard = paths_active_heard(link), half = patience(active);
        bool waits = last_sent(link) > heard, unanswered = active->asked > heard, in_use;

        if (unanswered && t >= active->asked + half) {
                doubt(link, false);
                return link->watch.round_at + half;
        }
        in_use = paths_in_use(link);
        if ((in_use && t >= active->last_asked + PATH_ASK_USEC) ||
            (waits && !unanswered && t >= heard + half)) {
                (void) paths_ask(link, active);
                unanswered = active->asked > heard;
        }
        if (in_use) {
                paths_ask_size(link, active);
                mesh_relay_used(link->mesh, link);
                trains_look(link);
        }
        if (unanswered)
                return active->asked + half;
        /* While packets go out it is looked at as often as it takes to see that none come in. */
        if (last_sent(link) + half > t)
                return heard + half > t ? heard + half : t + half;
        return in_use ? active->last_asked + PATH_ASK_USEC : USEC_INFINITY;
}

/* --- spares --- */

static usec_t spare_interval(const Link *link, const Path *path) {
        const Endpoint *seen = link_seen(link, path->endpoint.sa.sa_family);

        return path->ours == PATH_TIER_TRANSLATED || path->ours == PATH_TIER_RELAYED ||
                                               !endpoint_is_set(seen) ||
                                               !mesh_is_local_endpoint(link->mesh, seen)
                               ? SPARE_TRANSLATED_USEC
                               : SPARE_USEC;
}

/* Return: when to look again. */
static usec_t look_at_spares(Link *link) {
        usec_t next = USEC_INFINITY;
        unsigned but = 1U << link->paths.active;

        /* One that goes by TCP is to leave that, used or not. */
        if (!link->packets_open && !endpoint_is_stream(&active_of(link)->endpoint))
                return next;
        paths_explore(link);
        if (!link->packets_open)
                return now(link) + SPARE_USEC;
        for (unsigned i = 0; i < SPARES_MAX && link->mesh; i++) {
                Path *p = path_set_best(&link->paths, but, 0, now(link));
                usec_t due;

                if (!p)
                        break;
                but |= 1U << (p - link->paths.path);
                due = MAX(p->last_asked, p->last_answered) + spare_interval(link, p);
                if (now(link) >= due) {
                        (void) paths_ask(link, p);
                        due = now(link) + spare_interval(link, p);
                }
                next = MIN(next, due);
        }
        return MIN(next, now(link) + SPARE_USEC);
}

/* --- timer --- */

static void on_timer(void *userdata) {
        paths_watch(userdata);
}

void paths_watch(Link *link) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        Path *active = active_of(link);
        usec_t next, spares;
        bool is_slow;

        if (!link->mesh)
                return;
        if (!link_is_up(link) || link_is_limited(link) || !active) {
                timer_clear(&link->watch.timer);
                return;
        }
        next = link->watch.distress ? look_in_doubt(link, active) : look_at_active(link, active);
        active = link->mesh ? active_of(link) : NULL;
        if (!active || !link_is_up(link))
                return;
        /* The packet thread is to say when it has something to send before that. */
        is_slow = next > now(link) + patience(active);
        if (link->peer)
                atomic_store_explicit(&link->peer->quiet, is_slow, memory_order_relaxed);
        spares = look_at_spares(link);
        if (!link->mesh || !link_is_up(link))
                return;
        next = MIN(next, spares);
        if (next == USEC_INFINITY)
                timer_clear(&link->watch.timer);
        else
                timer_set(link->mesh->env->timers, &link->watch.timer, MAX(next, now(link) + 1),
                          on_timer, link);
}

void paths_used(Link *link) {
        paths_watch(link);
}
