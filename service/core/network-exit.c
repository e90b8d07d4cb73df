/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Exits to the internet: what this machine offers, what others say they do, and which of them this
 * machine's own packets take.
 *
 * The wish is the user's: none, some machines in the order in which they are preferred, or whoever
 * offers. Of those that can be had the one in use stays: another one has another address in the
 * internet, and every connection breaks. It is left when it does not answer while packets go there
 * (PATH_ROUNDS_PATIENT rounds of probes by all its paths, about 1.5 s) and another one does, which
 * is asked then; and for one that the user prefers, once that has been there for EXIT_CALM_USEC.
 * Others are kept linked to, so that they need not be looked for then.
 *
 * Where nobody answers the last one stays chosen: packets make the link be tried, and those who
 * sent them are told that it is unreachable. Where nobody offers one, they are told that there is
 * no route.
 */

#include "base/macros.h"
#include "core/network-internal.h"

/* A preferred exit that came back is not left to for less than this. */
#define EXIT_CALM_USEC (60 * USEC_PER_SEC)
/* How often all is looked at, should nobody say that something changed. */
#define EXIT_LOOK_USEC (10 * USEC_PER_SEC)
/* A new wish: those who may come into question have so long to answer before one is chosen of those
 * that did, since a change later breaks connections. */
#define EXIT_FIRST_USEC (3 * USEC_PER_SEC)
/* One that is silent is left for one that was heard so much later, and that for so long: should it
 * be ourselves who are cut off, nobody is heard. They are asked so often meanwhile. */
#define EXIT_LATER_USEC (500 * USEC_PER_MSEC)
#define EXIT_SURE_USEC (300 * USEC_PER_MSEC)
#define EXIT_ASK_USEC (100 * USEC_PER_MSEC)
/* How often it is looked at whether the one that is used answers again, where no other one does. */
#define EXIT_SILENT_USEC USEC_PER_SEC
/* Exits a link is kept to, the one in use among them. */
#define EXITS_WATCHED_MAX 4U

static const char *const state_table[] = {
        [NETWORK_EXIT_OFF] = "off",
        [NETWORK_EXIT_CONNECTING] = "connecting",
        [NETWORK_EXIT_UP] = "up",
        [NETWORK_EXIT_UNAVAILABLE] = "unavailable",
};
static_assert(ELEMENTSOF(state_table) == _NETWORK_EXIT_STATE_MAX, "a name for every state");

const char *network_exit_state_to_string(NetworkExitState s) {
        return state_table[s];
}

/* --- offered by this machine --- */

static void look_soon(Network *n);

/* Again once there is a vnet: what was said before membership counts too. */
static void apply_offer(Network *n) {
        RouteTable *routes = n->vnet ? vnet_routes(n->vnet) : NULL;

        if (routes) {
                route_table_set_carries(routes, ROUTE_IPV4, n->exit.offer & PRESENCE_EXIT_V4);
                route_table_set_carries(routes, ROUTE_IPV6, n->exit.offer & PRESENCE_EXIT_V6);
        }
        mesh_set_exit_offer(n->mesh, n->exit.offer);
}

void network_set_exit_offer(Network *n, bool v4, bool v6) {
        n->exit.offer = (v4 ? PRESENCE_EXIT_V4 : 0) | (v6 ? PRESENCE_EXIT_V6 : 0);
        apply_offer(n);
        look_soon(n);
}

/* --- offered by others --- */

static bool is_self(const Network *n, const MachineId *machine) {
        return machine_id_equal(machine, &n->config.identity->id);
}

unsigned network_exit_offered_by(const Network *n, const MachineId *machine) {
        const Record *certificate = directory_certificate(n->directory, machine);
        const Record *presence = directory_get(n->directory, RECORD_PRESENCE, machine);

        if (!certificate || !(certificate->body.certificate.roles & (ROLE_GATEWAY | ROLE_EXIT)))
                return 0;
        if (is_self(n, machine))
                return n->exit.offer;
        return presence ? presence->body.presence.flags & PRESENCE_EXITS : 0;
}

static void note_offer(Network *n, const MachineId *machine) {
        if (!is_self(n, machine) && network_exit_offered_by(n, machine) != 0)
                g_hash_table_add(n->exit.offered, g_memdup2(machine, sizeof *machine));
        else
                g_hash_table_remove(n->exit.offered, machine);
}

static void load_offer(void *userdata, Record *presence) {
        note_offer(userdata, &presence->body.machine);
}

/* --- who can be had --- */

typedef struct Candidate {
        MachineId id;
        unsigned rank; /* the user's; all the same where any will do */
        bool works;    /* it answers, as far as we know */
        usec_t heard;  /* monotonic */
        usec_t rtt;    /* USEC_INFINITY: not known */
} Candidate;

static Candidate examine(Network *n, const MachineId *machine, unsigned rank) {
        Candidate c = { .id = *machine, .rank = rank, .rtt = USEC_INFINITY };
        MeshLinkInfo info;

        if (!mesh_link_info(n->mesh, machine, &info))
                return c;
        c.works = info.state == LINK_UP && !info.is_doubted;
        c.heard = info.last_received;
        if (info.rtt > 0)
                c.rtt = info.rtt;
        return c;
}

/* Those that work first, then by rank, then the nearest; the rest only so that it is always the
 * same. */
static int compare_candidates(const void *a, const void *b) {
        const Candidate *x = a, *y = b;

        if (x->works != y->works)
                return x->works ? -1 : 1;
        if (x->rank != y->rank)
                return x->rank < y->rank ? -1 : 1;
        if (x->rtt != y->rtt)
                return x->rtt < y->rtt ? -1 : 1;
        return machine_id_compare(&x->id, &y->id);
}

/* Return: of Candidate, the best first; the caller unrefs. */
static GArray *find_candidates(Network *n) {
        GArray *all = g_array_new(FALSE, FALSE, sizeof(Candidate));
        const NetworkExitWish *w = &n->exit.wish;
        GHashTableIter i;
        Candidate c;
        void *id;

        for (unsigned k = 0; k < w->n; k++)
                if (g_hash_table_contains(n->exit.offered, &w->machine[k])) {
                        c = examine(n, &w->machine[k], k);
                        g_array_append_val(all, c);
                }
        if (w->n == 0) {
                g_hash_table_iter_init(&i, n->exit.offered);
                while (g_hash_table_iter_next(&i, &id, NULL)) {
                        c = examine(n, id, 0);
                        g_array_append_val(all, c);
                }
        }
        g_array_sort(all, compare_candidates);
        return all;
}

static const Candidate *find_active(const Network *n, const GArray *all) {
        for (guint i = 0; n->exit.is_chosen && i < all->len; i++)
                if (machine_id_equal(&g_array_index(all, Candidate, i).id, &n->exit.machine))
                        return &g_array_index(all, Candidate, i);
        return NULL;
}

/* Whether the best of those that work may yet be another one. */
static bool is_too_early(const Network *n, const GArray *all) {
        const Candidate *best = &g_array_index(all, Candidate, 0);

        if (env_now(n->env) >= usec_add(n->exit.wished, EXIT_FIRST_USEC))
                return false;
        for (guint i = 0; i < MIN(all->len, EXITS_WATCHED_MAX); i++) {
                const Candidate *c = &g_array_index(all, Candidate, i);

                if (!c->works && (!best->works || c->rank <= best->rank))
                        return true;
        }
        return false;
}

/* The active one is silent. */
static const Candidate *choose_other(Network *n, const GArray *all, const Candidate *active) {
        usec_t now = env_now(n->env);

        for (guint i = 0; i < all->len; i++) {
                const Candidate *c = &g_array_index(all, Candidate, i);

                if (!c->works || c->heard <= usec_add(active->heard, EXIT_LATER_USEC))
                        continue;
                if (n->exit.other_since == 0)
                        n->exit.other_since = now;
                return now >= usec_add(n->exit.other_since, EXIT_SURE_USEC) ? c : active;
        }
        n->exit.other_since = 0;
        return active;
}

/* Return: NULL: nobody offers one, or it is too early to say which. */
static const Candidate *choose(Network *n, const GArray *all) {
        const Candidate *active = find_active(n, all), *best;
        usec_t now = env_now(n->env);

        if (all->len == 0)
                return NULL;
        best = &g_array_index(all, Candidate, 0);
        if (!active)
                return is_too_early(n, all) ? NULL : best;
        if (!active->works)
                return choose_other(n, all, active);
        n->exit.other_since = 0;
        if (best->rank >= active->rank)
                return active;
        /* One that is preferred works again. */
        if (!machine_id_equal(&n->exit.better, &best->id)) {
                n->exit.better = best->id;
                n->exit.better_since = now;
        }
        return now >= usec_add(n->exit.better_since, EXIT_CALM_USEC) ? best : active;
}

/* --- what follows --- */

/* A link to it, for packets: keys are made anew when they end. */
static void keep_link(Network *n, const MachineId *machine) {
        const ChannelProvider *p = mesh_channels(n->mesh);
        PacketPeer *peer = mesh_packet_peer(n->mesh, machine);
        Session *s;

        if (session_pool_get(n->sessions, machine, SESSION_CHANNEL_PACKETS, &s) >= 0 && peer &&
            !atomic_load_explicit(&peer->tx, memory_order_relaxed))
                (void) p->ops->connect(p->self, machine);
}

static void set_routes(Network *n, unsigned families) {
        PacketPeer *peer = families ? mesh_packet_peer(n->mesh, &n->exit.machine) : NULL;
        RouteTable *t = vnet_routes(n->vnet);

        route_table_set_exit(t, ROUTE_IPV4, families & PRESENCE_EXIT_V4 ? peer : NULL);
        route_table_set_exit(t, ROUTE_IPV6, families & PRESENCE_EXIT_V6 ? peer : NULL);
}

static const char *name_of(const Network *n, const MachineId *machine) {
        const Record *c = directory_certificate(n->directory, machine);

        return c ? c->body.certificate.name : "the machine";
}

/* @c NULL: none is chosen, because it is too early to (@deciding) or there is none. */
static NetworkExitState state_of(const Network *n, const Candidate *c, bool deciding) {
        bool is_same = c && n->exit.is_chosen && machine_id_equal(&n->exit.machine, &c->id);

        if (!n->exit.wish.on)
                return NETWORK_EXIT_OFF;
        if (c && c->works)
                return NETWORK_EXIT_UP;
        if (deciding)
                return NETWORK_EXIT_CONNECTING;
        /* It has some time to answer for the first time. */
        if (!c || (is_same && (n->exit.state != NETWORK_EXIT_CONNECTING ||
                               env_now(n->env) >= usec_add(n->exit.since, EXIT_LOOK_USEC))))
                return NETWORK_EXIT_UNAVAILABLE;
        return NETWORK_EXIT_CONNECTING;
}

static char *describe(const Network *n, NetworkExitState state, const Candidate *c) {
        const NetworkExitWish *w = &n->exit.wish;

        if (state == NETWORK_EXIT_OFF || state == NETWORK_EXIT_UP)
                return NULL;
        if (n->exit.offer != 0)
                return g_strdup("this machine is an exit itself");
        if (c)
                return g_strdup_printf("%s does not answer", name_of(n, &c->id));
        if (state == NETWORK_EXIT_CONNECTING)
                return g_strdup("the exits have not answered yet");
        if (w->n == 1)
                return g_strdup_printf("%s is no exit", name_of(n, &w->machine[0]));
        return g_strdup(w->n == 0 ? "no member is an exit" : "none of those named is an exit");
}

static void apply(Network *n, const Candidate *c, bool deciding) {
        unsigned families = c ? network_exit_offered_by(n, &c->id) : 0;
        MachineId machine = c ? c->id : (MachineId){};
        NetworkExitState state = state_of(n, c, deciding);
        g_autofree char *reason = describe(n, state, c);
        bool is_same = machine_id_equal(&n->exit.machine, &machine);

        if (!is_same)
                n->exit.since = env_now(n->env);
        n->exit.is_chosen = c != NULL;
        n->exit.machine = machine;
        set_routes(n, families);
        if (is_same && n->exit.state == state && n->exit.families == families &&
            g_strcmp0(n->exit.reason, reason) == 0)
                return;
        n->exit.state = state;
        n->exit.families = families;
        g_free(n->exit.reason);
        n->exit.reason = TAKE_PTR(reason);
        CALL(n, exit_changed);
}

static void on_timer(void *userdata);

static void look_at(Network *n, usec_t when) {
        timer_set(n->env->timers, &n->exit.timer, when, on_timer, n);
}

/* @c: chosen; NULL: none. @all: the best first; NULL: they do not matter. */
static usec_t next_look(const Network *n, const Candidate *c, const GArray *all) {
        usec_t now = env_now(n->env), first = usec_add(n->exit.wished, EXIT_FIRST_USEC);

        if (c && !c->works)
                return usec_add(now, g_array_index(all, Candidate, 0).works ? EXIT_ASK_USEC
                                                                            : EXIT_SILENT_USEC);
        return now < first ? first : usec_add(now, EXIT_LOOK_USEC);
}

static void on_timer(void *userdata) {
        Network *n = userdata;
        g_autoptr(GArray) all = NULL;
        const Candidate *c = NULL;
        bool deciding = false;

        if (n->exit.wish.on && n->exit.offer == 0 && n->state != NETWORK_REVOKED) {
                all = find_candidates(n);
                c = choose(n, all);
                deciding = !c && all->len > 0;
                if (c)
                        keep_link(n, &c->id);
                for (guint i = 0; i < MIN(all->len, EXITS_WATCHED_MAX); i++) {
                        const Candidate *other = &g_array_index(all, Candidate, i);

                        keep_link(n, &other->id);
                        if (c && !c->works)
                                mesh_ask(n->mesh, &other->id);
                }
        }
        if (n->exit.wish.on)
                look_at(n, next_look(n, c, all));
        apply(n, c, deciding);
}

/* In a turn of its own: whoever says so is in the middle of something. */
static void look_soon(Network *n) {
        if (n->is_member && (n->exit.wish.on || n->exit.state != NETWORK_EXIT_OFF))
                look_at(n, env_now(n->env));
}

/* --- for the rest of the network --- */

void network_exit_init(Network *n) {
        n->exit.offered = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, g_free, NULL);
}

void network_exit_start(Network *n) {
        apply_offer(n);
        directory_foreach(n->directory, RECORD_PRESENCE, load_offer, n);
        look_soon(n);
}

void network_exit_done(Network *n) {
        timer_clear(&n->exit.timer);
        g_clear_pointer(&n->exit.offered, g_hash_table_unref);
        g_clear_pointer(&n->exit.reason, g_free);
}

void network_exit_record_changed(Network *n, const MachineId *machine) {
        bool was = g_hash_table_contains(n->exit.offered, machine);

        note_offer(n, machine);
        if (was || g_hash_table_contains(n->exit.offered, machine))
                look_soon(n);
}

void network_exit_link_changed(Network *n, const MachineId *machine) {
        if (n->exit.wish.on && g_hash_table_contains(n->exit.offered, machine))
                look_soon(n);
}

void network_use_exit(Network *n, const NetworkExitWish *wish) {
        assert(wish->n <= EXITS_WANTED_MAX);
        n->exit.wish = *wish;
        n->exit.wished = env_now(n->env);
        n->exit.better = (MachineId){};
        look_soon(n);
}

NetworkExitInfo network_exit_info(const Network *n) {
        return (NetworkExitInfo){
                .state = n->exit.state,
                .is_chosen = n->exit.is_chosen,
                .machine = n->exit.machine,
                .families = n->exit.families,
                .reason = n->exit.reason ?: "",
        };
}
