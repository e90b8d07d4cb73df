/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/paths.h"

#include "core/mesh/lan/discovery.h"
#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"

/*
 * Theory of operation
 *
 * Who moves. Only answers do: to a probe of ours, from exactly the endpoint it went to, or the end
 * of a handshake. An answer goes to where the question came from, so the address of ours it comes
 * to is the one that the question left from, whatever was wanted. Datagrams that merely come from
 * somewhere are a reason to ask there, no more: anybody on the way can copy one and send it on from
 * anywhere, and a way that works in one direction is none (nebula#893). A path that is to be moved
 * to must also have answered a probe as long as a packet that always has to pass; how large packets
 * may be beyond that is path-mtu.c's.
 *
 * Roaming. Something authentic from a new place makes us ask there and, in the same moment, at the
 * active path. If the new one answers first the machine has moved and we follow, one round trip
 * after it spoke; what still comes by the old one may have been on the way. If the old one answers
 * too, a moment later, the better of the two stays, the old one if they are alike.
 *
 * Doubt. While the link is in use a timer runs. The active path is asked every PATH_ASK_USEC, and
 * at once when something is sent and nothing comes. If nothing comes for PATH_DOUBT_USEC (or four
 * round trips) packets go two ways, by the active path and by the best spare, and both are asked
 * until one answers: that one goes on alone. What comes by another path, a relay say, does not
 * count for the active one (nebula#1748).
 *
 * An idle link has no timer: the packet thread says when something is sent again
 * (PacketPeer.quiet). Spares are asked on the schedule of keepalives while a session lives.
 *
 * Budgets. What has answered lately is asked freely. Any other place may be a victim that somebody
 * named: it is asked within an account of the link, one of the whole machine, and one of the member
 * that named it, which outlives the link.
 */

/* Probes to places that have not answered lately: of a link, of this machine (REACH: 100 a second),
 * and of those named by one member: 240 a minute, 192 (12 for each of 16 candidates) at once. */
#define LINK_BUDGET_INTERVAL (50 * USEC_PER_MSEC)
#define LINK_BUDGET_BURST 48U
#define MACHINE_BUDGET_INTERVAL (10 * USEC_PER_MSEC)
#define MACHINE_BUDGET_BURST 100U
#define NAMED_BUDGET_INTERVAL (250 * USEC_PER_MSEC)
#define NAMED_BUDGET_BURST 192U

/* The same place is not asked again before, for the same reason. */
#define ROAM_AGAIN_USEC (500 * USEC_PER_MSEC)
/* So long a move can be taken back. */
#define ROAM_USEC (3 * USEC_PER_SEC)
#define EXPLORE_USEC USEC_PER_MINUTE
/* So long a relay is kept that was taken because it was faster: round trips come and go. */
#define RELAY_STAY_USEC (3 * USEC_PER_MINUTE)
/* What another one takes is measured now, not when it was a spare. */
#define RELAY_FRESH_USEC (5 * USEC_PER_SEC)
/* UDP is not answered for so long, three initiations: then where members listen by TCP is tried too. */
#define STREAM_AFTER_USEC (3 * USEC_PER_SEC)
/* The other side has spoken by a connection so lately that it uses it. */
#define STREAM_SPOKEN_USEC (3 * USEC_PER_SEC)

static usec_t now(const Link *link) {
        return env_now(link->mesh->env);
}

static Path *active_of(Link *link) {
        return link->paths.active >= 0 ? &link->paths.path[link->paths.active] : NULL;
}

static bool can_ask(const Link *link) {
        return link->mesh && link_is_up(link) && !link_is_limited(link);
}

/* Nothing works that is better than a connection. */
static bool paths_fail(const Link *link) {
        const Path *active = link_is_up(link) ? path_set_active(&link->paths) : NULL;

        return !active || active->state != PATH_WORKS || link->watch.distress ||
               endpoint_is_stream(&active->endpoint);
}

bool paths_are_blocked(const Link *link) {
        const Attempt *a = link->attempt;

        return a && !a->once && now(link) >= a->started + STREAM_AFTER_USEC && paths_fail(link);
}

void paths_init(Link *link) {
        link->paths = PATH_SET_EMPTY;
        link->watch.budget =
                        (RateLimit){ .interval = LINK_BUDGET_INTERVAL, .burst = LINK_BUDGET_BURST };
}

void paths_trust(Link *link) {
        PathWatch *w = &link->watch;

        if (!w->distress)
                return;
        w->distress = false;
        w->second = (Endpoint){};
        link_publish(link);
}

void paths_stop(Link *link) {
        PathWatch *w = &link->watch;

        timer_clear(&w->timer);
        trains_forget(link);
        link->punch = punch_free(link->punch);
        w->distress = false;
        w->second = w->roam = w->left = (Endpoint){};
        w->roam_since = w->explored = w->relay_taken = 0;
        path_set_reset(&link->paths);
}

/* --- asking --- */

/* Whether somebody could have made the place up to have it asked. */
static bool is_proven(const Link *link, const Path *path) {
        return (path->last_answered > 0 && now(link) < path->last_answered + PATH_FRESH_USEC) ||
               path == path_set_active(&link->paths);
}

/* @named: by the other machine. */
static bool take_budgets(Link *link, bool named) {
        Mesh *m = link->mesh;
        RateLimit *machine = m->env->probes ? m->env->probes : &m->probe_budget;
        usec_t t = now(link);

        if (machine->burst == 0)
                *machine = (RateLimit){ .interval = MACHINE_BUDGET_INTERVAL,
                                        .burst = MACHINE_BUDGET_BURST };
        if (link->peer && link->peer->named.burst == 0)
                link->peer->named = (RateLimit){ .interval = NAMED_BUDGET_INTERVAL,
                                                 .burst = NAMED_BUDGET_BURST };
        if ((!named || !link->peer || ratelimit_take(&link->peer->named, t)) &&
            ratelimit_take(&link->watch.budget, t) && ratelimit_take(machine, t))
                return true;
        drop_count(m->config.drops, DROP_PROBE_BUDGET);
        return false;
}

static bool may_ask(Link *link, const Path *path) {
        bool named = path->origin == PATH_SEEN || path->origin == PATH_TOLD ||
                     path->origin == PATH_PRESENCE;

        return is_proven(link, path) || take_budgets(link, named);
}

/* A connection is made, and kept, only where UDP does not do. */
static bool may_use(const Link *link, const Path *path) {
        const Path *active = path_set_active(&link->paths);
        usec_t t = now(link);

        if (!endpoint_is_stream(&path->endpoint) || path == active)
                return true;
        /* There is one, and the other side speaks by it just now. */
        if (path->last_received > 0 && t < path->last_received + STREAM_SPOKEN_USEC)
                return true;
        if (!paths_fail(link))
                return false;
        return paths_are_blocked(link) || (active && endpoint_is_stream(&active->endpoint)) ||
               (path->last_received > 0 && t < path->last_received + PATH_FRESH_USEC);
}

static bool ask(Link *link, Path *path, const Endpoint *to, uint16_t mtu) {
        /* RFC 8899 5.1.1: PROBE_TIMER is of the round trip, and no less than a second. */
        usec_t timeout = mtu > 0 ? MAX(paths_doubt_after(path), USEC_PER_SEC) : PATH_ANSWER_USEC;

        if (!can_ask(link) || mesh_is_inside(link->mesh, to) ||
            mesh_is_local_endpoint(link->mesh, to) || !may_use(link, path) ||
            !may_ask(link, path) || probes_send_on(link, to, mtu, timeout) < 0)
                return false;
        if (mtu > 0) {
                path_mtu_asked(&path->mtu, mtu, now(link), timeout);
                return true;
        }
        path->last_asked = now(link);
        if (path->asked == 0 || path->asked <= path->last_received)
                path->asked = path->last_asked;
        return true;
}

bool paths_ask(Link *link, Path *path) {
        return ask(link, path, &path->endpoint, 0);
}

bool paths_knock(Link *link, const Endpoint *to) {
        return can_ask(link) && !mesh_is_inside(link->mesh, to) &&
               !mesh_is_local_endpoint(link->mesh, to) && take_budgets(link, true) &&
               link_send_frame_to(link, to, NULL, 0);
}

static uint16_t inner_mtu(const Link *link, Path *path) {
        uint16_t full = path_inner_mtu(&path->endpoint, link->mesh->config.mtu);

        path_mtu_set_max(&path->mtu, full, path_headers(&path->endpoint));
        return path_mtu_inner(&path->mtu);
}

uint16_t paths_mtu(Link *link) {
        Path *active = active_of(link), *second = path_set_find(&link->paths, &link->watch.second);
        uint16_t mtu;

        if (!active)
                return 0;
        mtu = inner_mtu(link, active);
        return second ? MIN(mtu, inner_mtu(link, second)) : mtu;
}

void paths_ask_size(Link *link, Path *path) {
        bool is_active = path == active_of(link);
        usec_t large = paths_in_use(link) ? now(link) : 0;
        uint16_t size;

        /* A place that somebody made up is asked one long one. */
        if (!is_active && path->last_answered == 0 && path->mtu.probed > 0)
                return;
        if (is_active)
                large = link->peer ? atomic_load_explicit(&link->peer->last_large, memory_order_relaxed)
                                   : 0;
        (void) inner_mtu(link, path);
        size = path_mtu_next(&path->mtu, is_active, large, now(link));
        if (size > 0)
                (void) ask(link, path, &path->endpoint, size);
}

void paths_ask_all(Link *link) {
        for (unsigned i = 0; i < link->paths.n && can_ask(link); i++)
                if ((int) i != link->paths.active)
                        (void) paths_ask(link, &link->paths.path[i]);
        paths_watch(link);
}

void paths_add_known(Link *link) {
        Mesh *m = link->mesh;
        const Record *presence = directory_get(m->config.directory, RECORD_PRESENCE, &link->machine);
        bool blocked = paths_are_blocked(link);

        discovery_fill(m->discovery, &link->machine, &link->paths, now(link));
        endpoint_book_fill(m->book, &link->machine, blocked, &link->paths, now(link));
        if (!presence)
                return;
        for (unsigned i = 0; blocked && i < presence->body.presence.n_streams; i++) {
                const Endpoint *e = &presence->body.presence.streams[i];

                if (!mesh_is_inside(m, e))
                        path_set_add(&link->paths, PATH_PRESENCE, e, now(link));
        }
        for (unsigned i = 0; i < presence->body.presence.n_endpoints; i++) {
                const Endpoint *e = &presence->body.presence.endpoints[i];

                if (!mesh_is_inside(m, e))
                        path_set_add(&link->paths, PATH_PRESENCE, e, now(link));
        }
}

bool paths_could_be_better(const Link *link, const Path *path) {
        const Path *active = path_set_active(&link->paths);
        PathTier best;

        if (!active || link->watch.distress || active->state != PATH_WORKS)
                return true;
        /* Our end of it may be as good as theirs. */
        best = MAX(active->theirs, active->ours);
        return (PathTier) path->theirs < best ||
               (path->theirs == best && path->endpoint.sa.sa_family == AF_INET6 &&
                active->endpoint.sa.sa_family == AF_INET);
}

void paths_explore(Link *link) {
        usec_t t = now(link);
        bool has_spare;

        if (!can_ask(link) || (link->watch.explored != 0 && t < link->watch.explored + EXPLORE_USEC))
                return;
        link->watch.explored = t;
        paths_add_known(link);
        has_spare = path_set_best(&link->paths, 1U << MAX(link->paths.active, 0), 0, t) != NULL;
        for (unsigned i = 0; i < link->paths.n && can_ask(link); i++) {
                Path *p = &link->paths.path[i];

                /* Nor is anybody asked whom nobody named. */
                if ((int) i == link->paths.active || path_is_ready(p, 0, t) ||
                    (p->origin == PATH_SEEN && p->last_answered == 0))
                        continue;
                if (!has_spare || paths_could_be_better(link, p))
                        (void) paths_ask(link, p);
        }
}

/* --- moving --- */

/* @path, which may be elsewhere afterwards, is the one from now on. The link may end meanwhile. */
static void move_to(Link *link, Path *path, bool roams) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        PathWatch *w = &link->watch;
        Path *old = active_of(link);

        /* It comes back when it answers. */
        if (old && (roams || w->distress) && old->state == PATH_WORKS)
                old->state = PATH_DOUBTED;
        w->left = roams ? path_set_endpoint(&link->paths) : (Endpoint){};
        w->distress = false;
        w->second = (Endpoint){};
        w->roam = (Endpoint){};
        (void) path_set_activate(&link->paths, path);
        /* Its connection ended. */
        if (old && old != path && old->endpoint.transport == ENDPOINT_TCP_ACCEPTED &&
            old->state == PATH_SILENT)
                path_set_remove(&link->paths, old);
        link_publish(link);
        link_tell(link, LINK_EVENT_ENDPOINT);
        if (link->mesh)
                link_announce(link, false);
        if (link->mesh)
                paths_watch(link);
}

usec_t paths_doubt_after(const Path *path) {
        return MAX(PATH_DOUBT_USEC, 4 * path->srtt);
}

usec_t paths_active_heard(const Link *link) {
        const Path *active = path_set_active(&link->paths);
        const PacketTx *tx = link->peer ? atomic_load_explicit(&link->peer->tx, memory_order_relaxed)
                                        : NULL;
        usec_t heard = active ? active->last_received : 0;

        if (active && tx && endpoint_equal(&tx->endpoint, &active->endpoint))
                heard = MAX(heard, atomic_load_explicit(&tx->heard, memory_order_relaxed));
        return heard;
}

/* Whether the active path is worth nothing any more. */
static bool is_given_up(const Link *link, const Path *active) {
        return active->state == PATH_SILENT || active->state == PATH_UNTRIED ||
               (link->watch.distress && now(link) > paths_active_heard(link) + PATH_TRUST_USEC);
}

/* Whether to leave @active, which works, for @best. */
static bool leaves(Link *link, Path *best, const Path *active) {
        PathWatch *w = &link->watch;

        if (!path_is_worth_moving(best, active))
                return false;
        if (!endpoint_is_relayed(&active->endpoint) || !endpoint_is_relayed(&best->endpoint))
                return true;
        if (w->relay_taken > 0 && now(link) < w->relay_taken + RELAY_STAY_USEC)
                return false;
        if (now(link) > best->last_answered + RELAY_FRESH_USEC) {
                (void) paths_ask(link, best);
                return false;
        }
        if (best->rtt_last >= path_relay_limit(active))
                return false;
        w->relay_taken = now(link);
        return true;
}

void paths_choose(Link *link) {
        Path *active = active_of(link), *best;
        unsigned but = active ? 1U << link->paths.active : 0;
        bool given_up = !active || is_given_up(link, active);
        bool impatient = given_up ||
                         (link->watch.distress && link->watch.rounds >= PATH_ROUNDS_PATIENT);

        best = path_set_best(&link->paths, but, OMERTA_MTU_MIN, now(link));
        if (!best && impatient)
                best = path_set_best(&link->paths, but, 0, now(link));
        if (!best)
                return;
        if (given_up || active->mtu.state == PATH_MTU_STATE_ERROR ||
            (link->watch.distress && best->last_answered > link->watch.distress_since) ||
            leaves(link, best, active))
                move_to(link, best, false);
}

/* --- what comes in --- */

static PathTier our_tier(const Mesh *m, const Endpoint *from, const Endpoint *seen) {
        if (!endpoint_is_plain(from))
                return path_tier_of_ours(from);
        if (m->n_local == 0 || !endpoint_is_set(seen))
                return PATH_TIER_PUBLIC;
        for (unsigned i = 0; i < m->n_mapped; i++)
                if (endpoint_same_address(&m->mapped[i], seen))
                        return PATH_TIER_TRANSLATED;
        for (unsigned i = 0; i < m->n_local; i++)
                if (endpoint_same_address(&m->local[i], seen))
                        return path_is_local_address(seen) ? PATH_TIER_LAN : PATH_TIER_PUBLIC;
        return PATH_TIER_TRANSLATED;
}

/* The machine spoke from @path: is it there now, and no longer where it was? */
static void ask_both(Link *link, Path *path) {
        PathWatch *w = &link->watch;
        Path *active = active_of(link);
        usec_t t = now(link);

        if (path->last_asked > 0 && t < path->last_asked + ROAM_AGAIN_USEC)
                return;
        if (!paths_ask(link, path))
                return;
        /* At the same moment, so that to follow costs one round trip. */
        paths_ask_size(link, path);
        /* One that takes long is asked again before it answers: while the active path has not answered
         * either, what is to be known is who does first since the machine spoke from there. */
        if (!active || active->proof >= w->roam_since || t >= w->roam_since + ROAM_USEC ||
            !endpoint_equal(&w->roam, &path->endpoint))
                w->roam_since = t;
        w->roam = path->endpoint;
        if (active)
                (void) paths_ask(link, active);
        paths_watch(link);
}

/* It came by the active path, to another address of ours than we send from. */
static void arrived_elsewhere(Link *link, Path *active, const Endpoint *from) {
        if (!ip_is_set(&active->endpoint.local)) {
                active->endpoint.local = from->local;
                link_publish(link);
        } else if (active->last_asked == 0 || now(link) >= active->last_asked + ROAM_AGAIN_USEC)
                (void) ask(link, active, from, 0);
}

void paths_arrived(Link *link, const Endpoint *from) {
        Path *path, *active;

        if (!endpoint_is_usable(from) || mesh_is_inside(link->mesh, from))
                return;
        path = path_set_heard(&link->paths, from, now(link));
        active = active_of(link);
        if (!path)
                return;
        if (path == active) {
                if (!endpoint_same_way(&active->endpoint, from))
                        arrived_elsewhere(link, active, from);
                return;
        }
        if (!ip_is_set(&path->endpoint.local))
                path->endpoint.local = from->local;
        if (!path_is_ready(path, OMERTA_MTU_MIN, now(link)) || !active)
                ask_both(link, path);
        /* One that works is a spare the machine asks about, or a way it prefers, as it may; or it
         * is back there, and ours is dead. */
        else if (paths_in_use(link) &&
                 paths_active_heard(link) + paths_doubt_after(active) < now(link) &&
                 now(link) >= active->last_asked + ROAM_AGAIN_USEC) {
                (void) paths_ask(link, active);
                paths_watch(link);
        }
}

void paths_heard(Link *link, const Endpoint *from) {
        Path *path = path_set_find(&link->paths, from);

        if (path)
                path->last_received = now(link);
}

/* An initiation goes to several places and its answer does not say which it reached: where there is
 * a path already, only a probe of its own moves the link. */
void paths_proven(Link *link, const Endpoint *from, bool new_life) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        Mesh *m = link->mesh;
        Path *path;

        if (!endpoint_is_usable(from) || mesh_is_inside(m, from))
                return;
        if (!new_life && active_of(link)) {
                (void) path_set_heard(&link->paths, from, now(link));
                link_tell(link, LINK_EVENT_ENDPOINT);
                path = link->mesh ? path_set_find(&link->paths, from) : NULL;
                if (path && path == active_of(link))
                        (void) paths_ask(link, path);
                else if (path)
                        ask_both(link, path);
                return;
        }
        path = path_set_prove(&link->paths, from, now(link));
        path->ours = our_tier(m, from, link_seen(link, from->sa.sa_family));
        move_to(link, path, false);
        path = link->mesh ? active_of(link) : NULL;
        if (path)
                (void) paths_ask(link, path);
}

/* Whether the answer from @path shows that the machine is there now. */
static bool has_roamed(Link *link, const Path *path, const Path *active) {
        const PathWatch *w = &link->watch;

        return w->roam_since > 0 && now(link) < w->roam_since + ROAM_USEC &&
               endpoint_equal(&w->roam, &path->endpoint) &&
               path_is_ready(path, OMERTA_MTU_MIN, now(link)) && active->proof < w->roam_since &&
               path->proof >= w->roam_since && path_compare_kind(path, active) <= 0;
}

/* We left it too early: it answers. */
static bool is_left(const Link *link, const Path *path, const Path *active) {
        const PathWatch *w = &link->watch;

        return endpoint_is_set(&w->left) && endpoint_equal(&w->left, &path->endpoint) &&
               now(link) < w->roam_since + ROAM_USEC && !path_is_worth_moving(active, path);
}

static void consider(Link *link, Path *path) {
        Path *active = active_of(link);

        if (path == active)
                paths_trust(link);
        else if (!active || has_roamed(link, path, active)) {
                move_to(link, path, active != NULL);
                return;
        } else if (is_left(link, path, active)) {
                move_to(link, path, false);
                return;
        }
        if (path != active)
                paths_ask_size(link, path);
        paths_choose(link);
}

/* A probe of some size is out no longer: the next one, if somebody waits for it. */
static void look_for_size(Link *link, const Endpoint *at) {
        Path *path = path_set_find(&link->paths, at);

        if (path && path->state == PATH_WORKS && (path != active_of(link) || paths_in_use(link)))
                paths_ask_size(link, path);
}

/* Whether the path works at all is asked by short probes. The link may end. */
static void size_missed(Link *link, Path *path, uint16_t size, bool heard) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        bool is_active = path == active_of(link);
        bool was_usable = path->mtu.state != PATH_MTU_STATE_ERROR;
        Endpoint at = path->endpoint;

        path_mtu_missed(&path->mtu, size, heard, now(link));
        if (is_active)
                link_publish(link);
        if (!heard && path->state == PATH_WORKS)
                (void) paths_ask(link, path);
        /* Another way may carry more, also one that is to be made. */
        if (is_active && was_usable && path->mtu.state == PATH_MTU_STATE_ERROR) {
                paths_choose(link);
                if (link->mesh)
                        link_tell(link, LINK_EVENT_DOUBTED);
        }
        if (link->mesh)
                look_for_size(link, &at);
}

void paths_answered(Link *link, const Endpoint *from, usec_t rtt, uint16_t mtu, const Endpoint *seen) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        Path *path = path_set_find(&link->paths, from);
        bool is_first, other_local;

        if (!path || mesh_is_inside(link->mesh, from))
                return;
        is_first = path->srtt == 0;
        other_local = !endpoint_same_way(&path->endpoint, from);
        path_answered(path, &from->local, now(link));
        path->proof = MAX(path->proof, usec_sub(now(link), rtt));
        path->ours = our_tier(link->mesh, from, seen);
        if (mtu > 0)
                path_mtu_passed(&path->mtu, mtu, usec_sub(now(link), rtt), now(link));
        else
                path_sample_rtt(path, rtt);
        if ((other_local || mtu > 0) && path == active_of(link))
                link_publish(link);
        consider(link, path);
        /* The search goes on. */
        if (mtu > 0 && link->mesh)
                look_for_size(link, from);
        if (link->mesh && is_first)
                link_announce(link, false);
}

void paths_missed(Link *link, const Endpoint *to, usec_t sent, uint16_t mtu) {
        Path *path = path_set_find(&link->paths, to), *active = active_of(link);
        usec_t heard;

        if (!path)
                return;
        heard = path == active ? paths_active_heard(link) : path->last_received;
        if (mtu > 0) {
                path->n_lost++;
                /* Of another path an answer: what merely comes from there anybody can send on. */
                size_missed(link, path, mtu,
                            MAX(path == active ? heard : 0, path->last_answered) >= sent);
                return;
        }
        if (path->last_answered > sent) {
                path->n_lost++; /* another was answered since */
                return;
        }
        path_missed(path, heard > sent);
        if (path == active) {
                if (path->state != PATH_WORKS)
                        paths_doubt(link);
        } else if (path->state == PATH_DOUBTED)
                (void) paths_ask(link, path);
}
