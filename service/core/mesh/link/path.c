/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/path.h"

#include <string.h>

#include "base/macros.h"

/* Answers may get lost; so many in a row, where something else comes, and it hears us no more. */
#define MISSED_BUT_HEARD 3U

static const char *const origin_names[] = {
        [PATH_SEEN] = "seen",   [PATH_LAN] = "lan",           [PATH_HINT] = "hint",
        [PATH_TOLD] = "told",   [PATH_PRESENCE] = "presence", [PATH_MAPPED] = "mapped",
        [PATH_RELAY] = "relay", [PATH_STORED] = "stored",
};
static_assert(ELEMENTSOF(origin_names) == _PATH_ORIGIN_MAX, "a name for every origin");

static const char *const state_names[] = {
        [PATH_UNTRIED] = "untried",
        [PATH_WORKS] = "works",
        [PATH_DOUBTED] = "doubted",
        [PATH_SILENT] = "silent",
};
static_assert(ELEMENTSOF(state_names) == _PATH_STATE_MAX, "a name for every state");

static const char *const reason_texts[] = {
        [PATH_REASON_UNTRIED] = "not tried yet",
        [PATH_REASON_ACTIVE] = "in use",
        [PATH_REASON_ACTIVE_SMALL] = "in use, though packets of 1280 bytes do not pass",
        [PATH_REASON_DISTRESS] = "in use, but does not answer",
        [PATH_REASON_SPARE] = "works, and is kept in case the one in use does not",
        [PATH_REASON_WORSE_KIND] = "works, but the one in use is more direct",
        [PATH_REASON_SLOWER] = "works, but the one in use is faster",
        [PATH_REASON_SMALLER] = "works, but larger packets pass by the one in use",
        [PATH_REASON_SMALL_ONLY] = "packets of 1280 bytes do not pass",
        [PATH_REASON_STALE] = "answered, but not lately",
        [PATH_REASON_ONE_WAY] = "datagrams come from there, but no answer to ours",
        [PATH_REASON_NO_ANSWER] = "no answer from there",
        [PATH_REASON_LOST] = "answered once, but not any more",
};
static_assert(ELEMENTSOF(reason_texts) == _PATH_REASON_MAX, "a sentence for every reason");

const char *path_origin_to_string(PathOrigin origin) {
        return origin_names[origin];
}

const char *path_state_to_string(PathState state) {
        return state_names[state];
}

const char *path_reason_to_string(PathReason reason) {
        return reason_texts[reason];
}

static int find(const PathSet *set, const Endpoint *endpoint) {
        for (unsigned i = 0; i < set->n; i++)
                if (endpoint_equal(&set->path[i].endpoint, endpoint))
                        return (int) i;
        return -1;
}

Path *path_set_find(PathSet *set, const Endpoint *endpoint) {
        int i = find(set, endpoint);

        return i >= 0 ? &set->path[i] : NULL;
}

/* Which of two is worth more: heard more lately, then better origin. */
static bool better(const Path *a, const Path *b) {
        if (a->last_received != b->last_received)
                return a->last_received > b->last_received;
        return a->origin < b->origin;
}

/* What has answered is worth more than what has not, wherever datagrams come from. */
static bool outlives(const Path *a, const Path *b) {
        bool works = a->last_answered > 0, other_works = b->last_answered > 0;

        return works != other_works ? works : better(a, b);
}

static Path *add(PathSet *set, const Path *path) {
        int worst = -1;

        if (set->n < PATHS_MAX) {
                set->path[set->n] = *path;
                return &set->path[set->n++];
        }
        for (unsigned i = 0; i < set->n; i++)
                if ((int) i != set->active &&
                    (worst < 0 || !outlives(&set->path[i], &set->path[worst])))
                        worst = (int) i;
        if (!outlives(path, &set->path[worst]))
                return NULL;
        set->path[worst] = *path;
        return &set->path[worst];
}

static void remove_at(PathSet *set, int i) {
        int last = (int) --set->n;

        set->path[i] = set->path[last];
        if (set->active == i)
                set->active = -1;
        else if (set->active == last)
                set->active = i;
}

Path *path_set_add(PathSet *set, PathOrigin origin, const Endpoint *endpoint, usec_t now) {
        Path *p = path_set_find(set, endpoint);

        if (!endpoint_is_usable(endpoint))
                return NULL;
        if (p) {
                p->theirs = MIN(p->theirs, path_tier_of(origin, endpoint));
                p->origin = MIN(p->origin, origin);
                return p;
        }
        return add(set, &(Path){
                                        .origin = origin,
                                        .endpoint = *endpoint,
                                        .theirs = path_tier_of(origin, endpoint),
                                        .ours = path_tier_of_ours(endpoint),
                                        .since = now,
                        });
}

/* Places that only somebody's datagrams speak for: of those the oldest goes. */
static void make_room_for_reflexive(PathSet *set) {
        int oldest = -1;
        unsigned n = 0;

        for (unsigned i = 0; i < set->n; i++) {
                const Path *p = &set->path[i];

                if (p->origin != PATH_SEEN || p->last_answered > 0 || (int) i == set->active)
                        continue;
                n++;
                if (oldest < 0 || p->last_received < set->path[oldest].last_received)
                        oldest = (int) i;
        }
        if (n >= PATHS_REFLEXIVE_MAX)
                remove_at(set, oldest);
}

Path *path_set_heard(PathSet *set, const Endpoint *endpoint, usec_t now) {
        Path *p = path_set_find(set, endpoint);

        if (!p) {
                make_room_for_reflexive(set);
                p = add(set, &(Path){
                                             .origin = PATH_SEEN,
                                             .endpoint = *endpoint,
                                             .theirs = path_tier_of(PATH_SEEN, endpoint),
                                             .ours = path_tier_of_ours(endpoint),
                                             .since = now,
                                             .last_received = now,
                             });
        }
        if (p)
                p->last_received = now;
        return p;
}

void path_answered(Path *path, const IpAddr *local, usec_t now) {
        path->state = PATH_WORKS;
        path->last_received = path->last_answered = now;
        path->asked = 0;
        path->missed = 0;
        if (ip_is_set(local))
                path->endpoint.local = *local;
}

Path *path_set_prove(PathSet *set, const Endpoint *endpoint, usec_t now) {
        Path *p = path_set_heard(set, endpoint, now);

        if (!p) {
                /* All others have answered too: the one that did so first makes room. */
                int oldest = set->active == 0 ? 1 : 0;

                for (unsigned i = 0; i < set->n; i++)
                        if ((int) i != set->active &&
                            set->path[i].last_answered < set->path[oldest].last_answered)
                                oldest = (int) i;
                remove_at(set, oldest);
                p = path_set_heard(set, endpoint, now);
        }
        path_answered(p, &endpoint->local, now);
        return p;
}

void path_missed(Path *path, bool heard) {
        path->n_lost++;
        path->missed++;
        if (path->last_answered == 0)
                path->state = PATH_SILENT;
        else if (!heard || path->missed >= MISSED_BUT_HEARD)
                path->state = path->missed < (heard ? 2 * MISSED_BUT_HEARD : 2U) ? PATH_DOUBTED
                                                                                 : PATH_SILENT;
}

bool path_set_activate(PathSet *set, const Path *path) {
        int i = (int) (path - set->path);

        if (set->active == i)
                return false;
        set->active = i;
        return true;
}

bool path_set_forget_local(PathSet *set, const IpAddr *local) {
        bool changed = false;

        for (unsigned i = 0; i < set->n; i++) {
                IpAddr *known = &set->path[i].endpoint.local;

                if (!ip_is_set(known) || !ip_equal(known, local))
                        continue;
                *known = (IpAddr){};
                changed = changed || (int) i == set->active;
        }
        return changed;
}

void path_set_reset(PathSet *set) {
        for (unsigned i = 0; i < set->n; i++) {
                Path *p = &set->path[i];

                p->state = PATH_UNTRIED;
                p->asked = 0;
                p->missed = 0;
                p->mtu = (PathMtu){};
        }
}

void path_set_remove(PathSet *set, const Path *path) {
        assert((int) (path - set->path) != set->active);
        remove_at(set, (int) (path - set->path));
}

bool path_set_purge(
                PathSet *set,
                bool (*is_bad)(const void *userdata, const Endpoint *endpoint),
                const void *userdata) {
        bool had_active = set->active >= 0;

        for (unsigned i = set->n; i > 0; i--)
                if (is_bad(userdata, &set->path[i - 1].endpoint))
                        remove_at(set, (int) i - 1);
        return had_active && set->active < 0;
}

void path_set_forget_told(PathSet *set, const Endpoint *told, unsigned n) {
        for (unsigned i = set->n; i > 0; i--) {
                const Path *p = &set->path[i - 1];
                bool keep = p->origin != PATH_TOLD || p->last_received > 0 ||
                            (int) i - 1 == set->active;

                for (unsigned k = 0; k < n && !keep; k++)
                        keep = endpoint_equal(&p->endpoint, &told[k]);
                if (!keep)
                        remove_at(set, (int) i - 1);
        }
}

bool path_set_replace(PathSet *set, const Endpoint *old, const Endpoint *new) {
        int from = find(set, old), to = find(set, new);
        bool moves = from >= 0 && from == set->active;
        bool active = moves || (to >= 0 && to == set->active);

        if (from < 0 || from == to)
                return false;
        set->path[from].endpoint = *new;
        if (to >= 0)
                remove_at(set, to);
        if (active)
                set->active = find(set, new);
        return moves;
}

void path_sample_rtt(Path *path, usec_t rtt) {
        usec_t off;

        rtt = MAX(rtt, 1);
        path->rtt_last = rtt;
        if (path->srtt == 0) {
                path->srtt = rtt;
                path->rttvar = rtt / 2;
        } else {
                off = rtt > path->srtt ? rtt - path->srtt : path->srtt - rtt;
                path->rttvar = (3 * path->rttvar + off) / 4;
                path->srtt = (7 * path->srtt + rtt) / 8;
        }
        if (path->rtt_min == 0 || rtt < path->rtt_min)
                path->rtt_min = rtt;
}

const Path *path_set_active(const PathSet *set) {
        return set->active >= 0 ? &set->path[set->active] : NULL;
}

unsigned path_set_candidates(const PathSet *set, unsigned rotate, Endpoint ret[static PATHS_MAX]) {
        Path sorted[PATHS_MAX];
        unsigned n = 0;

        if (set->active >= 0)
                sorted[n++] = set->path[set->active];
        for (unsigned i = 0; i < set->n; i++) {
                unsigned j;

                if ((int) i == set->active)
                        continue;
                for (j = n; j > (set->active >= 0) && better(&set->path[i], &sorted[j - 1]); j--)
                        sorted[j] = sorted[j - 1];
                sorted[j] = set->path[i];
                n++;
        }
        for (unsigned i = 0; i < n; i++)
                ret[i] = sorted[(i + rotate) % n].endpoint;
        return n;
}
