/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/path.h"

#include <string.h>

#include "base/macros.h"

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

void path_set_add(PathSet *set, PathOrigin origin, const Endpoint *endpoint) {
        Path path = { .kind = PATH_DIRECT, .origin = origin, .endpoint = *endpoint };
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
        Path path = {
                .kind = PATH_DIRECT, .origin = PATH_SEEN, .endpoint = *endpoint, .last_received = now
        };
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

const Path *path_set_active(const PathSet *set) {
        return set->active >= 0 ? &set->path[set->active] : NULL;
}

unsigned path_set_candidates(const PathSet *set, unsigned rotate, Path ret[static PATHS_MAX]) {
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
                ret[i] = sorted[(i + rotate) % n];
        return n;
}

int path_send(const Path *path, const MeshEnv *env, const uint8_t *data, size_t len) {
        switch (path->kind) {
        case PATH_DIRECT:
                return env->send(env->userdata, &path->endpoint, data, len);
        case _PATH_KIND_MAX:
                break;
        }
        return -EOPNOTSUPP;
}
