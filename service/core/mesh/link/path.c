/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/path.h"

#include <string.h>

#include "base/macros.h"

static const char *const origin_names[_PATH_ORIGIN_MAX] = {
        [PATH_SEEN] = "seen",         [PATH_LAN] = "lan",       [PATH_HINT] = "hint",
        [PATH_PRESENCE] = "presence", [PATH_MAPPED] = "mapped", [PATH_RELAY] = "relay",
        [PATH_STORED] = "stored",
};

static const char *const state_names[_PATH_STATE_MAX] = {
        [PATH_UNTRIED] = "untried",
        [PATH_WORKS] = "works",
        [PATH_SILENT] = "silent",
};

static const char *const reason_texts[_PATH_REASON_MAX] = {
        [PATH_REASON_UNTRIED] = "not tried yet",
        [PATH_REASON_ACTIVE] = "in use",
        [PATH_REASON_SPARE] = "works, and is kept in case the one in use does not",
        [PATH_REASON_NO_ANSWER] = "no answer from there",
        [PATH_REASON_LOST] = "answered once, but not any more",
};

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

/* Which of two is worth more: heard more lately, then better origin. */
static bool better(const Path *a, const Path *b) {
        if (a->last_received != b->last_received)
                return a->last_received > b->last_received;
        return a->origin < b->origin;
}

/* Return: its index, or -1 if the set is full of better ones. */
static int add(PathSet *set, const Path *path) {
        int worst = -1;

        if (set->n < PATHS_MAX) {
                set->path[set->n] = *path;
                return (int) set->n++;
        }
        for (unsigned i = 0; i < set->n; i++)
                if ((int) i != set->active && (worst < 0 || !better(&set->path[i], &set->path[worst])))
                        worst = (int) i;
        if (!better(path, &set->path[worst]))
                return -1;
        set->path[worst] = *path;
        return worst;
}

void path_set_add(PathSet *set, PathOrigin origin, const Endpoint *endpoint, usec_t now) {
        Path path = { .origin = origin, .endpoint = *endpoint, .since = now };
        int i;

        if (!endpoint_is_usable(endpoint))
                return;
        i = find(set, endpoint);
        if (i >= 0)
                set->path[i].origin = MIN(set->path[i].origin, origin);
        else
                add(set, &path);
}

bool path_set_arrived(PathSet *set, const Endpoint *endpoint, usec_t now) {
        Path path = { .origin = PATH_SEEN, .endpoint = *endpoint, .since = now, .last_received = now };
        bool same;
        int i;

        if (!endpoint_is_usable(endpoint))
                return false;
        i = find(set, endpoint);
        if (i < 0)
                i = add(set, &path);
        if (i < 0)
                return false;
        same = i == set->active && endpoint_same_way(&set->path[i].endpoint, endpoint);
        if (ip_is_set(&endpoint->local))
                set->path[i].endpoint.local = endpoint->local;
        set->path[i].origin = PATH_SEEN;
        set->path[i].last_received = now;
        set->active = i;
        return !same;
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

bool path_set_purge(
                PathSet *set,
                bool (*is_bad)(const void *userdata, const Endpoint *endpoint),
                const void *userdata) {
        PathSet kept = PATH_SET_EMPTY;

        for (unsigned i = 0; i < set->n; i++) {
                if (is_bad(userdata, &set->path[i].endpoint))
                        continue;
                if ((int) i == set->active)
                        kept.active = (int) kept.n;
                kept.path[kept.n++] = set->path[i];
        }
        if (kept.n == set->n)
                return false;
        *set = kept;
        return kept.active < 0;
}

Path *path_set_find(PathSet *set, const Endpoint *endpoint) {
        int i = find(set, endpoint);

        return i >= 0 ? &set->path[i] : NULL;
}

static void remove_at(PathSet *set, int i) {
        int last = (int) --set->n;

        set->path[i] = set->path[last];
        if (set->active == i)
                set->active = -1;
        else if (set->active == last)
                set->active = i;
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

PathReason path_set_reason(const PathSet *set, const Path *path) {
        if (set->active >= 0 && path == &set->path[set->active])
                return PATH_REASON_ACTIVE;
        switch (path->state) {
        case PATH_UNTRIED:
                return PATH_REASON_UNTRIED;
        case PATH_WORKS:
                return PATH_REASON_SPARE;
        case PATH_SILENT:
        case _PATH_STATE_MAX:
                break;
        }
        return path->srtt > 0 ? PATH_REASON_LOST : PATH_REASON_NO_ANSWER;
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
