/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What others carry for us.
 *
 * Whoever this machine wants to reach, and has no direct way to, it asks up to two relays for, at
 * once with the initiation under way, so that the handshake costs one round trip by the relay. The
 * allocations are offered to the link as paths; which is used is the link's to say. They are kept
 * while the link needs them: it is being made, is in doubt, goes by a relay, or has a session and
 * went by one.
 *
 * Which relay is best is not known beforehand: this machine knows its own way to each, the rest of
 * it only that relay. So a relay that is near enough to be better is tried: asked for an
 * allocation, which is probed for some seconds as any path. What counts is the round trip to the
 * other side, which no relay can answer in its place. One that turns out better takes the place of
 * the worse of the two, and the link moves when that is worth it (path-rank.c). About once a minute
 * one is tried, while the link is in use.
 *
 * What is given up for a better one is not released, since the other side may send by it still:
 * from then on it is as if that one had asked for it, and ends when nobody uses it.
 *
 * A relay that starts anew, says that a number is unknown or moves is asked again at once; one that
 * goes away is replaced.
 */

#include "core/mesh/relay/relay.h"

#define SLOTS RELAYS_MAX
/* Beside them one that is being tried. */
#define TRIAL SLOTS
#define SLOTS_ALL (SLOTS + 1U)
#define ASK_USEC (5 * USEC_PER_SEC)
/* Before a relay's pair is silent for too long, should nothing go by it: it is a spare. */
#define RENEW_USEC (RELAY_IDLE_USEC - USEC_PER_MINUTE)
/* A machine nobody can relay to now is asked for again after this, twice as long, and so on. */
#define RETRY_MIN_USEC (2 * USEC_PER_SEC)
#define RETRY_MAX_USEC USEC_PER_MINUTE
/* A relay that could not, or is gone, is left alone; one that will not, longer. */
#define AVOID_USEC (10 * USEC_PER_SEC)
#define AVOID_LONG_USEC (10 * USEC_PER_MINUTE)
/* It says "unknown": not more often than this is it asked again. */
#define AGAIN_USEC (200 * USEC_PER_MSEC)
/* Whether a link that was in doubt still is. */
#define DOUBT_USEC (10 * USEC_PER_SEC)
/* A relay is asked whether it is there when what goes by it is not answered. */
#define RELAY_PROBE_USEC USEC_PER_SEC
/* A better relay is looked for so often while packets go. One is tried so long, by so many probes,
 * and not again for some time unless the others have become slower than it was. */
#define REVIEW_USEC USEC_PER_MINUTE
#define TRIAL_STEP_USEC (2 * USEC_PER_SEC)
#define TRIAL_STEPS 5U
#define TRIED_USEC (10 * USEC_PER_MINUTE)

typedef struct Target Target;

typedef struct Slot {
        Target *target;
        bool used;
        MachineId relay;
        uint64_t request; /* 0: none under way */
        usec_t asked;     /* monotonic */
        Endpoint path;    /* offered; unset: not yet */
} Slot;

struct Target {
        RelayClient *client;
        GList in_list;
        MachineId machine;
        Slot slot[SLOTS_ALL];
        bool went_by; /* the link's active path was relayed once */
        usec_t retry;
        Timer timer;
        usec_t reviewed; /* monotonic: when a better relay was looked for */
        unsigned trial_steps;
        Timer trial_timer;
};

/* Told by a relay: the other side has asked. */
typedef struct Announced {
        MachineId machine, relay;
        Endpoint path;
} Announced;

typedef struct Avoided {
        MachineId relay;
        MachineId target; /* zeros: whomever */
        usec_t until;
        usec_t rtt; /* it was tried and took so long; USEC_INFINITY: was no way; 0: it cannot */
} Avoided;

struct RelayClient {
        Mesh *mesh;
        GQueue targets;
        GArray *announced, *avoided;
};

RelayClient *relay_client_new(Mesh *m) {
        RelayClient *c = NEW(RelayClient);

        c->mesh = m;
        g_queue_init(&c->targets);
        c->announced = g_array_new(false, false, sizeof(Announced));
        c->avoided = g_array_new(false, false, sizeof(Avoided));
        return c;
}

static Target *find_target(const RelayClient *c, const MachineId *machine) {
        for (GList *l = c->targets.head; l; l = l->next)
                if (machine_id_equal(&((Target *) l->data)->machine, machine))
                        return l->data;
        return NULL;
}

/* --- relays that cannot --- */

static const MachineId whomever;

/* Return: whether it was. */
static bool unavoid(RelayClient *c, const MachineId *relay, const MachineId *target) {
        usec_t now = env_now(c->mesh->env);
        bool was = false;

        for (unsigned i = c->avoided->len; i > 0; i--) {
                const Avoided *x = &g_array_index(c->avoided, Avoided, i - 1);
                bool same = machine_id_equal(&x->relay, relay) &&
                            machine_id_equal(&x->target, target);

                was = was || same;
                if (same || x->until <= now)
                        g_array_remove_index_fast(c->avoided, i - 1);
        }
        return was;
}

static void
add_avoided(RelayClient *c, const MachineId *relay, const MachineId *target, usec_t duration, usec_t rtt) {
        Avoided a = {
                .relay = *relay,
                .target = *target,
                .until = env_now(c->mesh->env) + duration,
                .rtt = rtt,
        };

        (void) unavoid(c, relay, target);
        g_array_append_val(c->avoided, a);
}

/* @target: for whom; may be &whomever. */
static void avoid(RelayClient *c, const MachineId *relay, const MachineId *target, usec_t duration) {
        add_avoided(c, relay, target, duration, 0);
}

/* @limit: what it must be faster than; 0: how it did when it was tried does not matter. */
static bool
is_avoided(const RelayClient *c, const MachineId *relay, const MachineId *target, usec_t limit) {
        for (unsigned i = 0; i < c->avoided->len; i++) {
                const Avoided *a = &g_array_index(c->avoided, Avoided, i);

                if (a->until > env_now(c->mesh->env) && machine_id_equal(&a->relay, relay) &&
                    (machine_id_equal(&a->target, target) || machine_id_equal(&a->target, &whomever)) &&
                    (a->rtt == 0 || (limit > 0 && a->rtt >= limit)))
                        return true;
        }
        return false;
}

static bool has(const Target *t, const MachineId *relay) {
        for (unsigned i = 0; i < SLOTS_ALL; i++)
                if (t->slot[i].used && machine_id_equal(&t->slot[i].relay, relay))
                        return true;
        return false;
}

static bool is_bad(const void *userdata, const MachineId *relay) {
        const Target *t = userdata;

        return has(t, relay) || is_avoided(t->client, relay, &t->machine, 0);
}

/* --- asking --- */

static void fill(Target *t);
static void on_target_timer(void *userdata);

static void arm(Target *t, usec_t delay) {
        const MeshEnv *env = t->client->mesh->env;
        usec_t due = env_now(env) + delay;

        if (!timer_is_set(&t->timer) || t->timer.due > due)
                timer_set(env->timers, &t->timer, due, on_target_timer, t);
}

static void slot_clear(Slot *s) {
        ChannelProvider *p = &s->target->client->mesh->provider;
        uint64_t request = s->request;

        /* Its answer, which comes from within, finds nobody. */
        *s = (Slot){ .target = s->target };
        if (request != 0)
                p->ops->cancel(p->self, request);
}

/* What is known of the path before goes with it. */
static void offer(Slot *s, uint32_t number) {
        RelayClient *c = s->target->client;
        Link *link = link_find(c->mesh, &s->target->machine);
        Endpoint old = s->path, at;

        if (!link || !relay_is_near(c->mesh, &s->relay, &at))
                return;
        at.relay = number;
        s->path = at;
        if (endpoint_is_set(&old) && !endpoint_equal(&old, &at))
                link_replace_path(link, &old, &at);
        link_offer_path(link, PATH_RELAY, &at);
}

static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        Slot *s = userdata;
        Target *t = s->target;
        RelayResponse response;

        if (!s->used || s->request == 0)
                return; /* called off */
        s->request = 0;
        if (!error && relay_response_decode(data, len, &response) >= 0) {
                t->retry = RETRY_MIN_USEC;
                offer(s, response.allocation);
                return;
        }
        if (error == WIRE_ERROR_NOT_PERMITTED || error == WIRE_ERROR_NO_SUCH_CHANNEL)
                avoid(t->client, &s->relay, &whomever, AVOID_LONG_USEC);
        else
                avoid(t->client, &s->relay, &t->machine, t->retry);
        slot_clear(s);
        fill(t);
}

static void ask(Slot *s) {
        Target *t = s->target;
        Mesh *m = t->client->mesh;
        const Link *link = link_find(m, &t->machine);
        RelayMessage message = { .op = RELAY_ALLOCATE, .machine = t->machine };
        g_autoptr(GBytes) bytes = NULL;

        if (s->request != 0)
                return;
        if (link && link->attempt && !link->attempt->once && link->attempt->len > 0) {
                message.first_len = link->attempt->len;
                memcpy(message.first, link->attempt->message, message.first_len);
        }
        s->asked = env_now(m->env);
        bytes = relay_message_encode(&message);
        if (m->provider.ops->request(
                            m, &s->relay, RELAY_CHANNEL, g_bytes_get_data(bytes, NULL),
                            g_bytes_get_size(bytes), ASK_USEC, on_answer, s, &s->request) < 0) {
                avoid(t->client, &s->relay, &t->machine, t->retry);
                slot_clear(s);
        }
}

/* Finds relays for what has none. */
static void fill(Target *t) {
        bool all = true, any = false;

        for (unsigned i = 0; i < SLOTS; i++)
                any = any || t->slot[i].used;
        for (unsigned i = 0; i < SLOTS; i++) {
                Slot *s = &t->slot[i];
                MachineId relay;

                if (!s->used && relay_choose(t->client->mesh, &t->machine, is_bad, t, any, &relay)) {
                        s->used = true;
                        s->relay = relay;
                        ask(s);
                }
                all = all && s->used;
                any = any || s->used;
        }
        arm(t, all ? RENEW_USEC : t->retry);
        if (!all)
                t->retry = MIN(2 * t->retry, RETRY_MAX_USEC);
}

/* --- targets --- */

static void on_released(void *userdata, WireError error, const uint8_t *data, size_t len) {
}

static void release(const Slot *s) {
        Mesh *m = s->target->client->mesh;
        RelayMessage message = { .op = RELAY_RELEASE, .allocation = s->path.relay };
        g_autoptr(GBytes) bytes = relay_message_encode(&message);
        Endpoint at;

        /* Else it ends by itself. */
        if (s->used && endpoint_is_set(&s->path) && relay_is_near(m, &s->relay, &at))
                (void) m->provider.ops->request(
                                m, &s->relay, RELAY_CHANNEL, g_bytes_get_data(bytes, NULL),
                                g_bytes_get_size(bytes), ASK_USEC, on_released, NULL, NULL);
}

/* What was theirs at a relay is no way to them any more, and no spare. */
static void withdraw(RelayClient *c, const MachineId *machine, const Endpoint *path) {
        Link *link = endpoint_is_set(path) ? link_find(c->mesh, machine) : NULL;

        if (link)
                link_withdraw_path(link, path);
}

static void target_free(Target *t, bool tell) {
        RelayClient *c = t->client;
        const MachineId machine = t->machine;
        Endpoint path[SLOTS_ALL];

        timer_clear(&t->timer);
        timer_clear(&t->trial_timer);
        g_queue_unlink(&c->targets, &t->in_list);
        for (unsigned i = 0; i < SLOTS_ALL; i++) {
                path[i] = t->slot[i].path;
                if (tell)
                        release(&t->slot[i]);
                slot_clear(&t->slot[i]);
        }
        g_free(t);
        for (unsigned i = 0; i < SLOTS_ALL && tell; i++)
                withdraw(c, &machine, &path[i]);
}

RelayClient *relay_client_free(RelayClient *c) {
        while (c->targets.head)
                target_free(c->targets.head->data, false);
        g_array_unref(c->announced);
        g_array_unref(c->avoided);
        g_free(c);
        return NULL;
}

static bool is_wanted(Target *t) {
        const Link *link = link_find(t->client->mesh, &t->machine);
        const Path *active;

        if (!link || link->dismissed || link->enrolling)
                return false;
        if (!link_is_up(link) || link->lost)
                return link->attempt && !link->attempt->once;
        active = path_set_active(&link->paths);
        /* It may hear the other side and not be heard: that is not lost, but no way either. Nor is
         * one by which what always has to pass does not. */
        if (!active || active->state != PATH_WORKS || link->watch.distress ||
            active->mtu.state == PATH_MTU_STATE_ERROR)
                return true;
        t->went_by = t->went_by || endpoint_is_relayed(&active->endpoint);
        /* By a relay is better than by TCP. */
        return !endpoint_is_plain(&active->endpoint) || (t->went_by && link->packets_open);
}

static void on_target_timer(void *userdata) {
        Target *t = userdata;

        if (!is_wanted(t)) {
                target_free(t, true);
                return;
        }
        for (unsigned i = 0; i < SLOTS; i++)
                if (t->slot[i].used && env_now(t->client->mesh->env) >= t->slot[i].asked + RENEW_USEC)
                        ask(&t->slot[i]);
        fill(t);
}

static void want(RelayClient *c, const Link *link) {
        Target *t = find_target(c, &link->machine);

        if (link->enrolling || link->dismissed || !mesh_is_member(c->mesh))
                return;
        if (!t) {
                t = NEW(Target);
                *t = (Target){
                        .client = c,
                        .in_list.data = t,
                        .machine = link->machine,
                        .retry = RETRY_MIN_USEC,
                        .reviewed = env_now(c->mesh->env),
                };
                for (unsigned i = 0; i < SLOTS_ALL; i++)
                        t->slot[i].target = t;
                g_queue_push_tail_link(&c->targets, &t->in_list);
        }
        fill(t);
}

/* It has keys now, by whatever way, or none. What is not wanted any more goes in a turn of its own:
 * somebody may be walking the list. */
static void settle(RelayClient *c, const MachineId *machine) {
        Target *t = find_target(c, machine);

        if (t && !is_wanted(t))
                arm(t, 0);
}

/* Its own way may answer after all. */
static void look_soon(RelayClient *c, const MachineId *machine) {
        Target *t = find_target(c, machine);

        if (t)
                arm(t, DOUBT_USEC);
}

void relay_client_welcome(RelayClient *c, const MachineId *relay) {
        (void) unavoid(c, relay, &whomever);
        for (GList *l = c->targets.head; l; l = l->next)
                arm(l->data, 0);
}

static void probe_relay(RelayClient *c, const MachineId *relay) {
        Link *link = link_find(c->mesh, relay);

        if (link && link_is_up(link) && !link->lost)
                (void) probes_send(link, RELAY_PROBE_USEC, NULL, NULL);
}

/* Nothing comes by them: are they there? And do they know where we are: whoever is behind a router
 * that has forgotten it, or has another address, is a stranger to its relay until it speaks to it. */
static void probe_relays(RelayClient *c, const MachineId *machine) {
        const Target *t = find_target(c, machine);

        for (unsigned i = 0; t && i < SLOTS; i++)
                if (t->slot[i].used)
                        probe_relay(c, &t->slot[i].relay);
        for (unsigned i = 0; i < c->announced->len; i++) {
                const Announced a = g_array_index(c->announced, Announced, i);

                if (machine_id_equal(&a.machine, machine))
                        probe_relay(c, &a.relay);
        }
}

/* --- what the other side asked for --- */

static void add_announced(RelayClient *c, const Announced *a) {
        for (unsigned i = c->announced->len; i > 0; i--) {
                const Announced *x = &g_array_index(c->announced, Announced, i - 1);

                if (machine_id_equal(&x->machine, &a->machine) &&
                    machine_id_equal(&x->relay, &a->relay))
                        g_array_remove_index(c->announced, i - 1);
        }
        if (c->announced->len >= RELAY_ANNOUNCED_MAX)
                g_array_remove_index(c->announced, 0);
        g_array_append_vals(c->announced, a, 1);
}

static void forget_announced(RelayClient *c, const MachineId *relay) {
        for (unsigned i = c->announced->len; i > 0; i--)
                if (machine_id_equal(&g_array_index(c->announced, Announced, i - 1).relay, relay))
                        g_array_remove_index(c->announced, i - 1);
}

/* --- a better one --- */

static const Path *active_of(const Target *t) {
        const Link *link = link_find(t->client->mesh, &t->machine);

        return link ? path_set_active(&link->paths) : NULL;
}

/* It cannot be a better way to the other side than it is to the relay alone. */
static bool is_no_better(const void *userdata, const MachineId *relay) {
        const Target *t = userdata;
        Mesh *m = t->client->mesh;
        const Path *active = active_of(t), *near = path_set_active(&link_find(m, relay)->paths);
        usec_t limit = path_relay_limit(active);
        MachineId now;

        if (near->srtt == 0 || near->srtt >= limit || has(t, relay) ||
            is_avoided(t->client, relay, &t->machine, limit))
                return true;
        return mesh_relay_find(m, &active->endpoint, &now) &&
               (machine_id_equal(&now, relay) ||
                (relay_is_preferred(m, &now) && !relay_is_preferred(m, relay)));
}

static void on_trial_timer(void *userdata);

static void set_trial_timer(Target *t, usec_t due) {
        timer_set(t->client->mesh->env->timers, &t->trial_timer, due, on_trial_timer, t);
}

static void begin_trial(Target *t) {
        Mesh *m = t->client->mesh;
        const Link *link = link_find(m, &t->machine);
        Slot *s = &t->slot[TRIAL];
        const Path *active = active_of(t);

        t->reviewed = env_now(m->env);
        if (!active || !endpoint_is_relayed(&active->endpoint) || active->state != PATH_WORKS ||
            link->watch.distress || !paths_in_use(link) ||
            !relay_choose(m, &t->machine, is_no_better, t, true, &s->relay))
                return;
        s->used = true;
        t->trial_steps = 0;
        ask(s);
        set_trial_timer(t, t->reviewed + TRIAL_STEP_USEC);
}

/* The round trip by a slot's path; USEC_INFINITY: it is no way now. */
static usec_t rtt_by(const Slot *s, Link *link) {
        const Path *path = path_set_find(&link->paths, &s->path);

        return path && path->state == PATH_WORKS && path->srtt > 0 ? path->srtt : USEC_INFINITY;
}

/* The slower of the two, but not the one in use. */
static Slot *find_worse(Target *t, Link *link) {
        Endpoint active = path_set_endpoint(&link->paths);
        Slot *worse = NULL;

        for (unsigned i = 0; i < SLOTS; i++)
                if (!endpoint_equal(&t->slot[i].path, &active) &&
                    (!worse || rtt_by(&t->slot[i], link) > rtt_by(worse, link)))
                        worse = &t->slot[i];
        return worse;
}

/* It is no way of ours any more, but may be one of theirs. */
static void leave(RelayClient *c, const Slot *s, Link *link) {
        Announced a = { .machine = link->machine, .relay = s->relay, .path = s->path };
        Endpoint active = path_set_endpoint(&link->paths);

        add_avoided(c, &s->relay, &link->machine, TRIED_USEC, rtt_by(s, link));
        if (!endpoint_is_set(&s->path))
                return;
        add_announced(c, &a);
        if (!endpoint_equal(&s->path, &active))
                withdraw(c, &link->machine, &s->path);
}

/* It stays if the link has moved there, or may have to. Of the one that does not it is remembered
 * how slow it was. */
static void end_trial(Target *t, Link *link) {
        Slot *s = &t->slot[TRIAL], *worse = find_worse(t, link);
        Endpoint active = path_set_endpoint(&link->paths);
        bool stays = s->request == 0 && worse &&
                     (endpoint_equal(&s->path, &active) || rtt_by(s, link) < rtt_by(worse, link));
        Slot left = stays ? *worse : *s;

        if (left.used)
                leave(t->client, &left, link);
        if (stays) {
                slot_clear(worse);
                *worse = *s;
                *s = (Slot){ .target = t };
        } else
                slot_clear(s);
}

static void on_trial_timer(void *userdata) {
        Target *t = userdata;
        Slot *s = &t->slot[TRIAL];
        Link *link = link_find(t->client->mesh, &t->machine);
        Path *path;

        if (!link)
                slot_clear(s);
        else if (!s->used && env_now(t->client->mesh->env) >= t->reviewed + REVIEW_USEC)
                begin_trial(t);
        else if (!s->used)
                return; /* it could not, or is gone: another one next time */
        else if (++t->trial_steps >= TRIAL_STEPS)
                end_trial(t, link);
        else {
                path = path_set_find(&link->paths, &s->path);
                if (path)
                        (void) paths_ask(link, path);
                set_trial_timer(t, env_now(t->client->mesh->env) + TRIAL_STEP_USEC);
        }
}

void relay_client_used(RelayClient *c, const Link *link) {
        Endpoint active = path_set_endpoint(&link->paths);
        Target *t = endpoint_is_relayed(&active) ? find_target(c, &link->machine) : NULL;

        if (t && !timer_is_set(&t->trial_timer))
                set_trial_timer(t, MAX(env_now(c->mesh->env), t->reviewed + REVIEW_USEC));
}

/* --- what happens to relays --- */

static void each_slot(RelayClient *c, const MachineId *relay, void (*act)(Slot *s)) {
        for (GList *l = c->targets.head; l; l = l->next) {
                Target *t = l->data;

                for (unsigned i = 0; i < SLOTS_ALL; i++)
                        if (t->slot[i].used && machine_id_equal(&t->slot[i].relay, relay))
                                act(&t->slot[i]);
        }
}

static void follow(Slot *s) {
        Endpoint at;

        if (!endpoint_is_set(&s->path) || !relay_is_near(s->target->client->mesh, &s->relay, &at))
                return;
        at.relay = s->path.relay;
        if (!endpoint_equal(&at, &s->path))
                offer(s, at.relay);
}

static void replace(Slot *s) {
        Target *t = s->target;

        slot_clear(s);
        fill(t);
}

static void follow_announced(RelayClient *c, const MachineId *relay) {
        Endpoint at;

        if (!relay_is_near(c->mesh, relay, &at))
                return;
        for (unsigned i = 0; i < c->announced->len; i++) {
                Announced *a = &g_array_index(c->announced, Announced, i);
                Endpoint old = a->path, new = at;
                Link *link;

                new.relay = old.relay;
                if (!machine_id_equal(&a->relay, relay) || endpoint_equal(&old, &new))
                        continue;
                a->path = new;
                link = link_find(c->mesh, &a->machine);
                if (link)
                        link_replace_path(link, &old, &new);
        }
}

void relay_client_link_event(RelayClient *c, Link *link, LinkEvent event) {
        const MachineId machine = link->machine;

        switch (event) {
        case LINK_EVENT_CONNECTING:
                want(c, link);
                return;
        case LINK_EVENT_RESTARTED:
                forget_announced(c, &machine);
                each_slot(c, &machine, ask);
                if (mesh_relay_offers(c->mesh, &machine))
                        relay_client_welcome(c, &machine);
                settle(c, &machine);
                return;
        case LINK_EVENT_UP:
                if (mesh_relay_offers(c->mesh, &machine))
                        relay_client_welcome(c, &machine);
                settle(c, &machine);
                return;
        case LINK_EVENT_ENDPOINT:
                each_slot(c, &machine, follow);
                follow_announced(c, &machine);
                settle(c, &machine);
                return;
        case LINK_EVENT_SILENT:
                probe_relays(c, &machine);
                return;
        case LINK_EVENT_DOUBTED:
                want(c, link);
                look_soon(c, &machine);
                return;
        case LINK_EVENT_LOST:
                probe_relays(c, &machine);
                want(c, link);
                avoid(c, &machine, &whomever, AVOID_USEC);
                each_slot(c, &machine, replace);
                return;
        case LINK_EVENT_DOWN:
                settle(c, &machine);
                forget_announced(c, &machine);
                avoid(c, &machine, &whomever, AVOID_USEC);
                each_slot(c, &machine, replace);
                return;
        case LINK_EVENT_CHANGED:
                /* Lost, and found again. */
                if (link_is_up(link) && !link->lost && unavoid(c, &machine, &whomever))
                        relay_client_welcome(c, &machine);
                return;
        case LINK_EVENT_SEEN:
        case _LINK_EVENT_MAX:
                return;
        }
}

/* --- what relays say --- */

static void heard_announced(RelayClient *c, const MachineId *relay, const RelayMessage *message) {
        Announced a = { .machine = message->machine, .relay = *relay };
        Link *link = link_find(c->mesh, &a.machine);

        if (!mesh_knows_machine(c->mesh, &a.machine) || machine_id_equal(&a.machine, relay) ||
            !relay_is_near(c->mesh, relay, &a.path))
                return;
        a.path.relay = message->allocation;
        add_announced(c, &a);
        if (link)
                link_offer_path(link, PATH_RELAY, &a.path);
}

static void heard_unknown(RelayClient *c, const MachineId *relay, uint32_t number) {
        usec_t now = env_now(c->mesh->env);

        for (GList *l = c->targets.head; l; l = l->next) {
                Target *t = l->data;

                for (unsigned i = 0; i < SLOTS_ALL; i++) {
                        Slot *s = &t->slot[i];

                        if (s->used && machine_id_equal(&s->relay, relay) &&
                            s->path.relay == number && now >= s->asked + AGAIN_USEC)
                                ask(s);
                }
        }
        for (unsigned i = 0; i < c->announced->len; i++) {
                Announced a = g_array_index(c->announced, Announced, i);
                Endpoint active;
                Link *link;

                if (a.path.relay != number || !machine_id_equal(&a.relay, relay))
                        continue;
                g_array_remove_index(c->announced, i);
                link = link_find(c->mesh, &a.machine);
                active = link ? path_set_endpoint(&link->paths) : (Endpoint){};
                withdraw(c, &a.machine, &a.path);
                /* The other side needs it no more, and gave it back; this one does. */
                link = link_find(c->mesh, &a.machine);
                if (link && endpoint_equal(&active, &a.path))
                        want(c, link);
                return;
        }
}

void relay_client_heard(RelayClient *c, const MachineId *relay, const RelayMessage *message) {
        switch (message->op) {
        case RELAY_ANNOUNCED:
                heard_announced(c, relay, message);
                return;
        case RELAY_UNKNOWN:
                heard_unknown(c, relay, message->allocation);
                return;
        case RELAY_ALLOCATE:
        case RELAY_RELEASE:
                return;
        }
}

void relay_client_forget(RelayClient *c, const MachineId *machine) {
        settle(c, machine);
        forget_announced(c, machine);
        each_slot(c, machine, replace);
}

bool relay_client_find(const RelayClient *c, const Endpoint *endpoint, MachineId *ret) {
        for (GList *l = c->targets.head; l; l = l->next) {
                const Target *t = l->data;

                for (unsigned i = 0; i < SLOTS_ALL; i++)
                        if (t->slot[i].used && endpoint_equal(&t->slot[i].path, endpoint)) {
                                *ret = t->slot[i].relay;
                                return true;
                        }
        }
        for (unsigned i = 0; i < c->announced->len; i++) {
                const Announced *a = &g_array_index(c->announced, Announced, i);

                if (endpoint_equal(&a->path, endpoint)) {
                        *ret = a->relay;
                        return true;
                }
        }
        return false;
}
