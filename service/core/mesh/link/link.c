/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/link.h"

#include <sodium.h>
#include <string.h>

#include "core/wire/messages.h"

/*
 * Theory of operation
 *
 * Keys. The initiator of a handshake has the new keys when the response arrives and uses them at
 * once (`current`); an empty message tells the responder, for which they are `next` until that
 * message (any message under them) arrives. `previous` still opens what was on the way. When both
 * sides open at the same instant each is the initiator of one pair and the responder of the
 * other: each has both pairs, sends with the one confirmed last, and opens either.
 *
 * A handshake that shows another boot id of the other side starts a new life: keys of the old one
 * are dropped with it, so that no segment of the old sequence is taken for one of the new.
 *
 * Age. link_maintain() is called when the next thing is due: dropping keys after
 * REJECT_AFTER_TIME, and before that, in steps of CHECK_INTERVAL, looking whether the link was
 * used since the last look; only then it gets new keys, so an unused link falls silent. The
 * initiator looks from REKEY_AFTER_TIME on, the responder later, in case the initiator is gone.
 *
 * Packet threads see a keypair through PacketPeer.tx and the index table. Both are changed first,
 * then memory goes through MeshEnv.retire.
 */

#define CHECK_INTERVAL (15 * USEC_PER_SEC)
#define RESPONDER_REKEY_AFTER (REKEY_AFTER_TIME + 30 * USEC_PER_SEC)
/* After a simultaneous open both are initiators: one of them comes later, or they would open
 * simultaneously for ever. */
#define REKEY_STAGGER (10 * USEC_PER_SEC)
/* So long both pairs of a simultaneous open are kept, whichever is used: some round trips. */
#define KEY_NEW_USEC (5 * USEC_PER_SEC)
/* How many of the least recently used links are looked at for one that can go. */
#define EVICT_TRIES 64U

static void on_maintain(void *userdata) {
        link_maintain(userdata);
}

/* --- object --- */

Link *link_find(Mesh *m, const MachineId *machine) {
        return g_hash_table_lookup(m->links, machine);
}

Link *link_ref(Link *link) {
        link->n_ref++;
        return link;
}

void link_unref(Link *link) {
        if (--link->n_ref > 0)
                return;
        assert(!link->mesh);
        reliable_free(link->reliable);
        secret_unref(link->psk);
        g_free(link);
}

void link_touch(Link *link) {
        g_queue_unlink(&link->mesh->lru, &link->lru);
        g_queue_push_head_link(&link->mesh->lru, &link->lru);
}

/* A life of its own, told to the other side by the next handshake. */
static void new_boot_id(Link *link) {
        uint32_t n = link->mesh->n_links_made++;

        memcpy(link->boot_id, link->mesh->config.boot_id, sizeof link->boot_id);
        write_le32(link->boot_id + 4, read_le32(link->boot_id + 4) ^ n);
        link->has_remote_boot_id = false;
}

static bool is_idle(const Link *link) {
        return (!link->reliable || reliable_is_idle(link->reliable)) && !link->packets_open &&
               !link->enrolling && link->requests.length == 0;
}

/* Makes room for one more. */
static bool evict(Mesh *m) {
        GList *l = m->lru.tail;

        for (unsigned i = 0; l && i < EVICT_TRIES; i++, l = l->prev) {
                Link *link = l->data;

                if (is_idle(link) && !link->attempt && !mesh_keeps_link(m, &link->machine)) {
                        link_close(link, CLOSE_SHUTDOWN);
                        return true;
                }
        }
        return false;
}

static void on_send_frame(void *userdata, const uint8_t *frame, size_t len) {
        link_send_frame(userdata, frame, len);
}

static void on_deliver(void *userdata, const uint8_t *message, size_t len) {
        Link *link = userdata;
        DropReason reason = channels_handle_message(link, message, len);

        if (reason != DROP_NONE && link->mesh)
                drop_count(link->mesh->config.drops, reason);
}

static void on_stalled(void *userdata) {
        Link *link = userdata;

        if (!link->attempt)
                link_lose(link);
}

static void on_dead(void *userdata) {
        link_down(userdata);
}

int link_get(Mesh *m, const MachineId *machine, Link **ret) {
        Link *link = link_find(m, machine);

        if (!link) {
                if (g_hash_table_size(m->links) >= LINKS_MAX && !evict(m))
                        return -ENOBUFS;
                link = NEW(Link);
                link->n_ref = 1;
                link->mesh = m;
                link->machine = *machine;
                link->lru.data = link;
                paths_init(link);
                link->since = env_now(m->env);
                g_queue_init(&link->requests);
                new_boot_id(link);
                link->reliable =
                                reliable_new(m->env, &(ReliableHandler){
                                                                     .userdata = link,
                                                                     .send_frame = on_send_frame,
                                                                     .deliver = on_deliver,
                                                                     .stalled = on_stalled,
                                                                     .dead = on_dead,
                                                     });
                g_queue_push_head_link(&m->lru, &link->lru);
                g_hash_table_insert(m->links, &link->machine, link);
        }
        *ret = link;
        return 0;
}

/* --- keys --- */

static void destroy_keypair(void *kp) {
        keypair_free(kp);
}

/* The caller has unpublished it from PacketPeer.tx. */
static void drop_key(Link *link, LinkKey *key) {
        const MeshEnv *env = link->mesh->env;

        if (!key->kp)
                return;
        index_table_release(link->mesh->config.indices, key->kp->local_index);
        key->kp->link = NULL;
        env->retire(env->userdata, key->kp, destroy_keypair);
        *key = (LinkKey){};
}

/* Drops @key, which may be the one packets are sent with. */
static void drop_key_unpublished(Link *link, LinkKey *key) {
        LinkKey gone = *key;

        *key = (LinkKey){};
        link_publish(link);
        drop_key(link, &gone);
}

static void drop_all_keys(Link *link) {
        drop_key_unpublished(link, &link->current);
        drop_key(link, &link->previous);
        drop_key(link, &link->next);
}

static void set_state(Link *link, LinkState state) {
        if (link->state != state)
                link->since = env_now(link->mesh->env);
        link->state = state;
}

/* Between lives nothing is left of the old one but what waits to be sent. */
static bool begin_life(Link *link, const LinkKey *key) {
        bool same = link->has_remote_boot_id &&
                    memcmp(link->remote_boot_id, key->boot_id, BOOT_ID_SIZE) == 0;
        bool restarted = link->has_remote_boot_id && !same;

        if (restarted) {
                drop_key_unpublished(link, &link->current);
                drop_key(link, &link->previous);
                if (link->next.kp && memcmp(link->next.boot_id, key->boot_id, BOOT_ID_SIZE) != 0)
                        drop_key(link, &link->next);
                link->n_unanswered = 0;
                reliable_set_open(link->reliable, false);
                reliable_restart(link->reliable);
        }
        memcpy(link->remote_boot_id, key->boot_id, BOOT_ID_SIZE);
        link->has_remote_boot_id = true;
        return restarted;
}

void link_set_stranger(Link *link, bool stranger) {
        if (link->stranger == stranger)
                return;
        link->stranger = stranger;
        link->mesh->n_strangers += stranger ? 1 : -1U;
}

/* Whether packets are taken from the machine. */
static void publish_accept(Link *link) {
        if (link->peer)
                atomic_store_explicit(
                                &link->peer->accept, link->packets_open && !link_is_limited(link),
                                memory_order_release);
}

static void set_purpose(Link *link, const LinkKey *key) {
        link->purpose = key->purpose;
        link->renews = key->renews;
        publish_accept(link);
        if (link_is_limited(link))
                return;
        timer_clear(&link->enrol_timer);
        link_set_stranger(link, false);
}

void link_set_renewed(Link *link) {
        link->previous.renews = link->current.renews = link->next.renews = false;
        if (!link->renews)
                return;
        set_purpose(link, &link->current);
        link_publish(link);
        link_maintain(link);
        if (link->mesh)
                link_announce(link, false);
}

void link_hear_realtime(Link *link, usec_t realtime) {
        Directory *d = link->mesh->config.directory;

        if (realtime != 0 && directory_certificate(d, &link->machine))
                wall_clock_hear(directory_clock(d), &link->machine, realtime);
}

static void on_enrol_timer(void *userdata) {
        Link *link = userdata;

        if (link->enrolling)
                link_down(link);
        else
                link_close(link, CLOSE_SHUTDOWN);
}

/* Of the keys that go out of use the one is kept that the other side was last heard with: after a
 * simultaneous open that need not be the one we send with. One that is new has not been heard with
 * yet, but may be the one the other side goes over to in this moment. */
static void keep_previous(Link *link) {
        Keypair *a = link->previous.kp, *b = link->current.kp;

        if (a && b && usec_sub(env_now(link->mesh->env), b->created) >= KEY_NEW_USEC &&
            atomic_load_explicit(&a->last_received, memory_order_relaxed) >
                            atomic_load_explicit(&b->last_received, memory_order_relaxed)) {
                LinkKey current = TAKE_KEY(link->current);

                link->current = TAKE_KEY(link->previous);
                link->previous = current;
                link_publish(link); /* away from the one that is dropped */
        }
        drop_key(link, &link->previous);
        link->previous = TAKE_KEY(link->current);
}

/* @key becomes the one we send with. */
static void install(Link *link, LinkKey *key, const Endpoint *from) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        Mesh *m = link->mesh;
        usec_t now = env_now(m->env);
        bool was_up = link_is_up(link);
        bool restarted = begin_life(link, key);

        keep_previous(link);
        link->current = TAKE_KEY(*key);
        link->last_handshake = now;
        link->last_received = now;
        link->used_checked = 0;
        link->attempt = attempt_free(link->attempt);
        link->lost = false;
        set_purpose(link, &link->current);
        link_hear_realtime(link, link->current.realtime);
        if (link_is_limited(link))
                timer_set(m->env->timers, &link->enrol_timer, now + ENROL_LINK_USEC, on_enrol_timer,
                          link);
        set_state(link, LINK_UP);
        /* By a relay they see the relay, by TCP a port that is none of UDP. */
        if (endpoint_is_plain(from))
                link_set_seen(link, &link->current.seen);
        link_publish(link);
        paths_proven(link, from, restarted || !was_up);
        if (!link->mesh)
                return;
        if (link->current.kp->is_initiator)
                link_send_frame(link, NULL, 0); /* key confirmation */
        link_maintain(link);
        if (!link->mesh)
                return;
        reliable_set_open(link->reliable, true);
        if (restarted)
                channels_resend_requests(link);
        link_announce(link, restarted);
        if (link->mesh)
                paths_watch(link);
}

void link_take_initiator_key(Link *link, LinkKey *key, const Endpoint *from) {
        /* What the responder answered with it has, so it counts as confirmed. */
        atomic_store_explicit(&key->kp->confirmed, true, memory_order_release);
        install(link, key, from);
}

void link_take_responder_key(Link *link, LinkKey *key) {
        const MeshEnv *env = link->mesh->env;

        drop_key(link, &link->next);
        link->next = TAKE_KEY(*key);
        if ((link->next.purpose != PURPOSE_MEMBER || link->next.renews) && !link_is_up(link))
                timer_set(env->timers, &link->enrol_timer, env_now(env) + ENROL_CONFIRM_USEC,
                          on_enrol_timer, link);
        link_maintain(link);
}

void link_arrived(Link *link, Keypair *kp, const Endpoint *from) {
        usec_t now = env_now(link->mesh->env);

        link->last_received = now;
        if (kp == link->next.kp) {
                LinkKey key = TAKE_KEY(link->next);

                install(link, &key, from);
                return;
        }
        paths_arrived(link, from);
}

/* --- life --- */

/* Nobody finds it any more. */
static void detach(Link *link) {
        Mesh *m = link->mesh;

        link_set_stranger(link, false);
        g_hash_table_remove(m->links, &link->machine);
        g_queue_unlink(&m->lru, &link->lru);
        timer_clear(&link->maintain_timer);
        timer_clear(&link->enrol_timer);
        timer_clear(&link->dismiss_timer);
        paths_stop(link);
        link->attempt = attempt_free(link->attempt);
}

static void take_out(Link *link) {
        drop_all_keys(link);
        detach(link);
        link->mesh = NULL;
        link_unref(link);
}

/* Everything that waits on the link ends. The handlers told may do anything, also connect anew. */
static void end_life(Link *link) {
        link->attempt = attempt_free(link->attempt);
        timer_clear(&link->enrol_timer);
        timer_clear(&link->maintain_timer);
        paths_stop(link);
        drop_all_keys(link);
        reliable_set_open(link->reliable, false);
        reliable_fail(link->reliable);
        new_boot_id(link);
        link->lost = false;
        set_state(link, LINK_DOWN);
}

static void tell_end(Link *link) {
        link_announce(link, false);
        channels_fail_link(link, WIRE_ERROR_UNREACHABLE);
}

void link_collect(Link *link) {
        if (link->mesh && !link->closing && link->state == LINK_DOWN && !link->attempt &&
            !link->next.kp && is_idle(link))
                take_out(link);
}

void link_down(Link *link) {
        _unused_ g_autoptr(Link) ref = link_ref(link);

        if (link->dismissed) {
                link_close(link, CLOSE_REVOKED);
                return;
        }
        end_life(link);
        tell_end(link);
        link_collect(link);
}

void link_close(Link *link, CloseReason reason) {
        const uint8_t frame[2] = { FRAME_CLOSE, (uint8_t) reason };

        /* Nobody acknowledges it, so twice; who misses both finds out by itself. */
        link_send_frame(link, frame, sizeof frame);
        link_send_frame(link, frame, sizeof frame);
        link->packets_open = false;
        if (link->peer)
                atomic_store_explicit(&link->peer->accept, false, memory_order_release);
        link->enrolling = false;
        end_life(link);
        /* What the handlers send from now on makes another link. */
        detach(link);
        link->closing = true;
        tell_end(link);
        link->mesh = NULL;
        link_unref(link);
}

static void on_dismiss_timer(void *userdata) {
        link_close(userdata, CLOSE_REVOKED);
}

void link_close_dismissed(Link *link) {
        if (link->mesh && link->dismissed && reliable_is_idle(link->reliable))
                link_close(link, CLOSE_REVOKED);
}

void link_dismiss(Link *link, GBytes *message) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        const MeshEnv *env = link->mesh->env;

        if (link->dismissed)
                return;
        if (!link_is_up(link) || link_is_enrol(link) || reliable_push(link->reliable, message) < 0) {
                link_close(link, CLOSE_REVOKED);
                return;
        }
        link->dismissed = true;
        link->attempt = attempt_free(link->attempt);
        link_set_packets(link, false);
        timer_set(env->timers, &link->dismiss_timer, env_now(env) + DISMISS_USEC, on_dismiss_timer,
                  link);
        tell_end(link);
}

/* Somebody wants it in earnest. */
static void drop_call_back(Link *link) {
        if (link->attempt && link->attempt->once)
                link->attempt = attempt_free(link->attempt);
}

void link_connect(Link *link) {
        link_touch(link);
        drop_call_back(link);
        if (link->attempt || (link_is_up(link) && (link->enrolling == link_is_enrol(link))))
                return;
        link->attempt = attempt_new(link, true);
        if (!link->attempt)
                return;
        if (!link_is_up(link)) {
                link->purpose = link->attempt->purpose;
                set_state(link, LINK_CONNECTING);
                link_announce(link, false);
        }
}

void link_repair(Link *link) {
        drop_call_back(link);
        if (link->attempt)
                return;
        link->attempt = attempt_new(link, true);
        if (link->attempt && !link_is_up(link)) {
                set_state(link, LINK_CONNECTING);
                link_announce(link, false);
        }
}

void link_lose(Link *link) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        bool is_new = link_is_up(link) && !link->lost;

        link->lost = link->lost || is_new;
        link_repair(link);
        paths_doubt(link);
        if (!is_new || !link->mesh)
                return;
        link_tell(link, LINK_EVENT_LOST);
        if (link->mesh)
                link_announce(link, false);
}

static void find_again(Link *link) {
        if (!link->lost)
                return;
        link->lost = false;
        link_announce(link, false);
}

void link_heard(Link *link) {
        link->last_received = env_now(link->mesh->env);
        find_again(link);
}

void link_call_back(Link *link, const Endpoint *from) {
        usec_t now = env_now(link->mesh->env);

        /* With keys that were just made it is only the same initiation by another path; those that
         * have waited longer are not confirmed any more. */
        if (link->attempt || (link->next.kp && usec_sub(now, link->next.kp->created) < KEY_NEW_USEC))
                return;
        link->attempt = attempt_new_once(link, from);
        if (!link->attempt)
                link_collect(link);
}

void link_attempt_failed(Link *link) {
        usec_t started = link->attempt->started;
        bool once = link->attempt->once;

        link->attempt = attempt_free(link->attempt);
        if (once) {
                link_collect(link);
                return;
        }
        /* Keys that worked meanwhile are good until they expire. */
        if (link_is_up(link) && link_last_received(link) > started)
                find_again(link);
        else
                link_down(link);
}

/* Whether anything was sent or received since the last look. The first look only notes. */
static bool was_used(Link *link) {
        Keypair *kp = link->current.kp;
        uint64_t counter = atomic_load_explicit(&kp->send_counter, memory_order_relaxed);
        usec_t now = env_now(link->mesh->env);
        bool used = link->used_checked != 0 &&
                    (counter != link->used_counter || link_last_received(link) > link->used_checked);

        link->used_counter = counter;
        link->used_checked = now;
        return used;
}

static usec_t expire_key(Link *link, LinkKey *key) {
        usec_t end;

        if (!key->kp)
                return USEC_INFINITY;
        end = key->kp->created + REJECT_AFTER_TIME;
        if (env_now(link->mesh->env) < end)
                return end;
        drop_key_unpublished(link, key);
        return USEC_INFINITY;
}

/* Return: when to look again. */
static usec_t check_rekey(Link *link) {
        Keypair *kp = link->current.kp;
        usec_t now = env_now(link->mesh->env), from, first;

        if (!kp || (link_is_limited(link) && !link->enrolling))
                return USEC_INFINITY;
        from = kp->created + (kp->is_initiator ? REKEY_AFTER_TIME : RESPONDER_REKEY_AFTER);
        if (machine_id_compare(&link->mesh->config.identity->id, &link->machine) > 0)
                from += REKEY_STAGGER;
        first = from - CHECK_INTERVAL;
        if (now < first)
                return first;
        if (link->used_checked != 0 && now < link->used_checked + CHECK_INTERVAL)
                return link->used_checked + CHECK_INTERVAL;
        if ((was_used(link) && now >= from) ||
            atomic_load_explicit(&kp->send_counter, memory_order_relaxed) > REKEY_AFTER_MESSAGES) {
                if (!link->attempt)
                        link->attempt = attempt_new(link, false);
        }
        return now + CHECK_INTERVAL;
}

void link_maintain(Link *link) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        bool was_up = link_is_up(link);
        usec_t next = USEC_INFINITY;

        next = MIN(next, expire_key(link, &link->previous));
        next = MIN(next, expire_key(link, &link->next));
        next = MIN(next, expire_key(link, &link->current));
        if (was_up && !link_is_up(link)) {
                paths_stop(link);
                reliable_set_open(link->reliable, false);
                if (!link->attempt && !reliable_is_idle(link->reliable))
                        link->attempt = attempt_new(link, true);
                set_state(link, link->attempt ? LINK_CONNECTING : LINK_DOWN);
                link_announce(link, false);
        }
        if (!link->mesh)
                return;
        next = MIN(next, check_rekey(link));
        if (next != USEC_INFINITY)
                timer_set(link->mesh->env->timers, &link->maintain_timer, next, on_maintain, link);
        else
                timer_clear(&link->maintain_timer);
        link_collect(link);
}

/* --- sending --- */

/* @second: where it goes too, if that is set. Whoever gets both takes one. */
static bool
seal_and_send(Link *link, const Endpoint *to, const Endpoint *second, const uint8_t *frame, size_t len) {
        uint8_t datagram[DATA_OVERHEAD + OMERTA_MTU_DEFAULT];
        const MeshEnv *env = link->mesh->env;
        Keypair *kp = link->current.kp;
        uint64_t counter;

        if (!kp || !endpoint_is_set(to) || len > OMERTA_MTU_DEFAULT ||
            !keypair_reserve(kp, 1, &counter))
                return false;
        keypair_seal(kp, counter, 0, frame, len, datagram);
        (void) env->send(env->userdata, to, datagram, DATA_OVERHEAD + len);
        if (second && endpoint_is_set(second))
                (void) env->send(env->userdata, second, datagram, DATA_OVERHEAD + len);
        return true;
}

bool link_send_frame(Link *link, const uint8_t *frame, size_t len) {
        Endpoint active = path_set_endpoint(&link->paths);

        return seal_and_send(link, &active, &link->watch.second, frame, len);
}

bool link_send_frame_to(Link *link, const Endpoint *to, const uint8_t *frame, size_t len) {
        return seal_and_send(link, to, NULL, frame, len);
}

int link_send_message(Link *link, GBytes *message) {
        int r = reliable_push(link->reliable, message);

        if (r < 0)
                return r;
        if (!link_is_up(link))
                link_connect(link);
        return 0;
}

/* --- paths --- */

void link_offer_path(Link *link, PathOrigin origin, const Endpoint *endpoint) {
        Mesh *m = link->mesh;
        Path *path;

        if (!m || mesh_is_inside(m, endpoint) || mesh_is_local_endpoint(m, endpoint))
                return;
        path = path_set_add(&link->paths, origin, endpoint, env_now(m->env));
        if (path && link_is_up(link))
                (void) paths_ask(link, path);
        else if (path && link->attempt)
                attempt_hurry(link->attempt);
}

void link_replace_path(Link *link, const Endpoint *old, const Endpoint *new) {
        _unused_ g_autoptr(Link) ref = link_ref(link);

        if (!link->mesh || !path_set_replace(&link->paths, old, new))
                return;
        link_publish(link);
        link_tell(link, LINK_EVENT_ENDPOINT);
        if (link->mesh)
                link_announce(link, false);
}

void link_withdraw_path(Link *link, const Endpoint *endpoint) {
        Path *path = link->mesh ? path_set_find(&link->paths, endpoint) : NULL;

        if (!path)
                return;
        if (path != path_set_active(&link->paths)) {
                path_set_remove(&link->paths, path);
                if (endpoint_equal(&link->watch.second, endpoint)) {
                        link->watch.second = (Endpoint){};
                        link_publish(link);
                }
                return;
        }
        path->state = PATH_SILENT;
        paths_doubt(link);
}

/* --- what others see --- */

/* What the packet thread has heard by the path is not forgotten with @old. */
static void keep_heard(Link *link, const PacketTx *old, PacketTx *tx) {
        usec_t heard = old ? atomic_load_explicit(&old->heard, memory_order_relaxed) : 0;
        Path *path = old ? path_set_find(&link->paths, &old->endpoint) : NULL;

        if (path)
                path->last_received = MAX(path->last_received, heard);
        if (tx && old && endpoint_equal(&old->endpoint, &tx->endpoint))
                atomic_store_explicit(&tx->heard, heard, memory_order_relaxed);
}

void link_publish(Link *link) {
        PacketPeer *peer = link->peer;
        const MeshEnv *env = link->mesh->env;
        const Path *path = path_set_active(&link->paths);
        PacketTx *old, *tx = NULL;
        uint16_t mtu = paths_mtu(link);
        bool clamps = mtu < link->mesh->config.mtu, no_trains = trains_are_off(link);

        if (!peer)
                return;
        old = atomic_load_explicit(&peer->tx, memory_order_relaxed);
        if (link->packets_open && link->current.kp && path && !link_is_limited(link)) {
                if (old && old->keypair == link->current.kp &&
                    endpoint_equal(&old->endpoint, &path->endpoint) &&
                    ip_equal(&old->endpoint.local, &path->endpoint.local) &&
                    endpoint_equal(&old->second, &link->watch.second) && old->mtu == mtu &&
                    old->clamps == clamps && old->no_trains == no_trains)
                        return;
                tx = NEW(PacketTx);
                *tx = (PacketTx){
                        .keypair = link->current.kp,
                        .endpoint = path->endpoint,
                        .second = link->watch.second,
                        .mtu = mtu,
                        .clamps = clamps,
                        .no_trains = no_trains,
                };
        }
        keep_heard(link, old, tx);
        atomic_store_explicit(&peer->tx, tx, memory_order_release);
        if (old)
                env->retire(env->userdata, old, g_free);
}

void link_set_packets(Link *link, bool open) {
        link->packets_open = open;
        if (!link->peer)
                link->peer = mesh_packet_peer(link->mesh, &link->machine);
        publish_accept(link);
        link_publish(link);
        if (open) {
                rendezvous_used(link);
                if (link->mesh)
                        paths_watch(link);
        } else
                link_collect(link);
}

usec_t link_last_received(const Link *link) {
        usec_t t = link->last_received;
        const LinkKey *keys[] = { &link->previous, &link->current };

        for (unsigned i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i]->kp)
                        t = MAX(t,
                                atomic_load_explicit(
                                                &keys[i]->kp->last_received, memory_order_relaxed));
        return t;
}

void link_set_seen(Link *link, const Endpoint *seen) {
        if (!endpoint_is_usable(seen) || mesh_is_inside(link->mesh, seen) ||
            endpoint_equal(link_seen(link, seen->sa.sa_family), seen))
                return;
        link->seen[seen->sa.sa_family == AF_INET6] = *seen;
        link_tell(link, LINK_EVENT_SEEN);
}
