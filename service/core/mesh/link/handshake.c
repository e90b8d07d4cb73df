/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/handshake.h"

#include <sodium.h>
#include <string.h>

#include "core/crypto/kdf.h"
#include "core/mesh/link/link.h"
#include "core/wire/messages.h"

#define PROLOGUE_SIZE (sizeof OMERTA_PROLOGUE - 1 + sizeof(NetworkId))

static void start_noise(Mesh *m, NoiseState *noise, bool is_initiator, const uint8_t *remote_static) {
        uint8_t prologue[PROLOGUE_SIZE], ephemeral[NOISE_KEY_SIZE];

        memcpy(prologue, OMERTA_PROLOGUE, sizeof OMERTA_PROLOGUE - 1);
        memcpy(prologue + sizeof OMERTA_PROLOGUE - 1, &m->config.network, sizeof m->config.network);
        env_random(m->env, ephemeral, sizeof ephemeral);
        noise_init(noise, is_initiator, true, prologue, sizeof prologue,
                   m->config.identity->static_secret, m->config.identity->static_public,
                   remote_static, ephemeral);
        sodium_memzero(ephemeral, sizeof ephemeral);
}

static int reserve_index(Mesh *m, uint32_t *ret) {
        uint16_t high;

        env_random(m->env, &high, sizeof high);
        return index_table_reserve(m->config.indices, high, m, ret);
}

/* Keys of a finished handshake, with what is the same on both sides. Wipes @noise. */
static Keypair *
make_keypair(Link *link,
             NoiseState *noise,
             Cipher cipher,
             uint32_t local_index,
             uint32_t remote_index,
             Purpose purpose) {
        Mesh *m = link->mesh;
        uint8_t send[32], receive[32];
        bool is_initiator = noise->is_initiator;
        Keypair *kp;

        noise_split(noise, send, receive);
        kp = keypair_new(cipher, send, receive, is_initiator, env_now(m->env));
        sodium_memzero(send, sizeof send);
        sodium_memzero(receive, sizeof receive);
        if (!kp)
                return NULL;
        kp->local_index = local_index;
        kp->remote_index = remote_index;
        kp->mesh = m;
        kp->link = link;
        if (purpose == PURPOSE_MEMBER) {
                if (!link->peer)
                        link->peer = mesh_packet_peer(m, &link->machine);
                kp->peer = link->peer;
        }
        index_table_bind(m->config.indices, kp);
        return kp;
}

/* --- asking --- */

/* An address of ours may be worth nothing any more without being gone: its line is. So every other
 * round begins where the route says; the first one, when the link does not work as it is. */
static void choose_locals(Attempt *a) {
        if (a->all_paths != (a->round % 2 == 0))
                return;
        for (unsigned i = 0; i < a->n_candidates; i++)
                a->candidates[i].local = (IpAddr){};
}

/* No connection is made before UDP had its time; one there is costs nothing. */
static bool may_send_to(const Link *link, const Endpoint *to) {
        const Path *active = link_is_up(link) ? path_set_active(&link->paths) : NULL;

        return to->transport != ENDPOINT_TCP || paths_are_blocked(link) ||
               (active && endpoint_equal(&active->endpoint, to));
}

static void choose_candidates(Attempt *a) {
        Link *link = a->link;
        unsigned n = 0;

        a->next_candidate = 0;
        if (a->round == 0 && !a->all_paths && path_set_active(&link->paths)) {
                a->candidates[0] = path_set_endpoint(&link->paths);
                a->n_candidates = 1;
                return;
        }
        paths_add_known(link);
        a->n_candidates = path_set_candidates(&link->paths, a->round, a->candidates);
        /* Addresses of a private network can be ours as well as theirs; what the store has may lie
         * inside a network that was joined since. */
        for (unsigned i = 0; i < a->n_candidates; i++)
                if (!mesh_is_local_endpoint(link->mesh, &a->candidates[i]) &&
                    !mesh_is_inside(link->mesh, &a->candidates[i]) &&
                    may_send_to(link, &a->candidates[i]))
                        a->candidates[n++] = a->candidates[i];
        a->n_candidates = n;
        choose_locals(a);
}

static void release_index(Attempt *a) {
        Mesh *m = a->link->mesh;

        if (!a->has_index)
                return;
        g_hash_table_remove(m->attempts, GUINT_TO_POINTER(a->index));
        index_table_release(m->config.indices, a->index);
        a->has_index = false;
}

/* What our clock shows, for the others to compare; not what we make up in its place. */
static usec_t own_realtime(Mesh *m) {
        return wall_clock_state(directory_clock(m->config.directory)) == WALL_CLOCK_BEHIND
                               ? 0
                               : env_realtime(m->env);
}

static int encode_initiation_payload(Attempt *a, uint8_t *buf, size_t size) {
        Link *link = a->link;
        Mesh *m = link->mesh;
        HandshakePayload p = {
                .purpose = a->purpose,
                .ciphers = m->config.ciphers,
                .machine = m->config.identity->id,
                .realtime = own_realtime(m),
        };
        /* A second question is as long as can be, in case the answer did not fit the first. */
        size_t whole = a->round == 0 ? INITIATION_SIZE_MIN : HANDSHAKE_SIZE_MAX;

        m->last_stamp = MAX(directory_realtime(m->config.directory), m->last_stamp + 1);
        tai64n_encode(m->last_stamp, p.timestamp);
        memcpy(p.boot_id, link->boot_id, sizeof p.boot_id);
        if (a->purpose == PURPOSE_MEMBER) {
                p.certificate = m->certificate;
                p.issuer_certificate = m->issuer_certificate;
        } else
                memcpy(p.invite_id, link->invite_id, sizeof p.invite_id);
        if (a->n_candidates == 1)
                p.seen = a->candidates[0];
        return handshake_payload_encode(&p, whole - INITIATION_OVERHEAD, buf, size);
}

/* Fills a->message. Return: 0 or negative errno: this round is silent. */
static int build_initiation(Attempt *a) {
        Link *link = a->link;
        Mesh *m = link->mesh;
        uint8_t payload[HANDSHAKE_SIZE_MAX - INITIATION_OVERHEAD], remote[32];
        int n, r;

        a->len = 0;
        n = encode_initiation_payload(a, payload, sizeof payload);
        if (n < 0)
                return n;
        r = machine_id_to_static(&link->machine, remote);
        if (r < 0)
                return r;
        release_index(a);
        r = reserve_index(m, &a->index);
        if (r < 0)
                return r;
        a->has_index = true;
        g_hash_table_insert(m->attempts, GUINT_TO_POINTER(a->index), a);
        noise_clear(&a->noise);
        start_noise(m, &a->noise, true, remote);
        a->message[0] = MESSAGE_HANDSHAKE_INITIATION;
        a->message[1] = OMERTA_PROTOCOL_VERSION;
        a->message[2] = a->message[3] = 0;
        write_le32(a->message + INITIATION_SENDER_OFFSET, a->index);
        r = noise_write_initiation(
                        &a->noise, payload, (size_t) n, a->message + INITIATION_EPHEMERAL_OFFSET);
        if (r < 0)
                return r;
        a->len = INITIATION_OVERHEAD + (size_t) n;
        cookie_maker_mark(&a->cookie, a->message, a->len, env_now(m->env));
        return 0;
}

static void on_attempt_timer(void *userdata);

static usec_t retry_delay(const Attempt *a) {
        usec_t delay = MIN(REKEY_TIMEOUT_MIN << MIN(a->round, 10U), REKEY_TIMEOUT_MAX);
        uint32_t random;

        env_random(a->link->mesh->env, &random, sizeof random);
        return delay + random % (delay / 3);
}

static void send_next(Attempt *a) {
        const MeshEnv *env = a->link->mesh->env;

        if (a->len > 0 && a->next_candidate < a->n_candidates)
                (void) env->send(env->userdata, &a->candidates[a->next_candidate++], a->message, a->len);
        timer_set(env->timers, &a->timer,
                  env_now(env) + (a->len > 0 && a->next_candidate < a->n_candidates ? PATH_STAGGER_USEC
                                                                                    : retry_delay(a)),
                  on_attempt_timer, a);
}

static void send_round(Attempt *a) {
        a->cookie_answered = false;
        a->round_started = env_now(a->link->mesh->env);
        (void) build_initiation(a);
        send_next(a);
}

/* Where it was last may be where it is: a name server is told no more than has to be. */
static void look_for_name(const Attempt *a) {
        Link *link = a->link;

        if (a->n_candidates == 0 || a->round >= (link_is_up(link) ? 2 : 1))
                name_book_want(link->mesh->names, &link->machine);
}

static void begin_round(Attempt *a) {
        choose_candidates(a);
        look_for_name(a);
        send_round(a);
}

static void on_attempt_timer(void *userdata) {
        Attempt *a = userdata;

        if (a->len > 0 && a->next_candidate < a->n_candidates) {
                send_next(a);
                return;
        }
        if (a->once || env_now(a->link->mesh->env) >= a->started + REKEY_ATTEMPT_TIME) {
                link_attempt_failed(a->link);
                return;
        }
        a->round++;
        /* A second initiation is not answered either: the path there is is not trusted any more. */
        if (a->round == 2)
                paths_doubt(a->link);
        if (a->link->mesh && a->link->attempt == a)
                begin_round(a);
}

/* Return: NULL if there is no right or key to ask with. */
static Attempt *attempt_alloc(Link *link) {
        Mesh *m = link->mesh;
        uint8_t remote[32];
        Attempt *a;

        if (link->enrolling ? m->is_member : !m->is_member || !mesh_knows_machine(m, &link->machine))
                return NULL;
        if (mesh_is_asleep(m) && !link->enrolling)
                return NULL;
        if (machine_id_to_static(&link->machine, remote) < 0)
                return NULL;
        a = NEW(Attempt);
        a->link = link;
        a->started = env_now(m->env);
        a->purpose = link->enrolling ? PURPOSE_INVITE : PURPOSE_MEMBER;
        a->psk = secret_ref(link->enrolling ? link->psk : m->secret);
        cookie_maker_init(&a->cookie, &m->config.network, remote);
        return a;
}

Attempt *attempt_new(Link *link, bool all_paths) {
        Attempt *a = attempt_alloc(link);

        if (!a)
                return NULL;
        a->all_paths = all_paths;
        begin_round(a);
        return a;
}

Attempt *attempt_new_once(Link *link, const Endpoint *to) {
        Attempt *a = attempt_alloc(link);

        if (!a)
                return NULL;
        a->once = true;
        a->n_candidates = 1;
        a->candidates[0] = *to;
        send_round(a);
        return a;
}

Attempt *attempt_free(Attempt *a) {
        if (!a)
                return NULL;
        release_index(a);
        timer_clear(&a->timer);
        noise_clear(&a->noise);
        secret_unref(a->psk);
        g_free(a);
        return NULL;
}

void attempt_hurry(Attempt *a) {
        /* Who is told often that something changed need not shout as often. */
        if (env_now(a->link->mesh->env) < a->round_started + REKEY_TIMEOUT_MIN / 2)
                return;
        /* From the short intervals on again, but not longer than promised. */
        a->round = 0;
        a->all_paths = true;
        a->once = false;
        begin_round(a);
}

/* --- reading --- */

static bool is_well_formed(const uint8_t *data, size_t len, size_t min) {
        return len >= min && len <= HANDSHAKE_SIZE_MAX && data[1] == OMERTA_PROTOCOL_VERSION &&
               data[2] == 0 && data[3] == 0;
}

/* What costs next to nothing comes first. Nothing is charged to an address before somebody has
 * shown to be there that would keep its owner out: who has not, and is too much, is asked for that
 * proof. Return: DROP_NONE: worth an X25519. */
static DropReason admit(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from) {
        const MeshEnv *env = m->env;
        usec_t now = env_now(env);
        CookieVerdict verdict;
        uint8_t reply[COOKIE_REPLY_SIZE];

        if (!is_well_formed(data, len, INITIATION_SIZE_MIN))
                return DROP_MALFORMED;
        if (mesh_is_asleep(m))
                return DROP_ASLEEP;
        verdict = cookie_check(&m->cookies, data, len, from, now);
        if (verdict == COOKIE_INVALID_MAC1)
                return DROP_MAC1;
        handshake_limiter_count(m->limiter, now);
        if (verdict == COOKIE_VALID_MAC2)
                return handshake_limiter_take_proven(m->limiter, from, now) ? DROP_NONE
                                                                            : DROP_RATE_LIMITED;
        if (!handshake_limiter_under_load(m->limiter, now) &&
            handshake_limiter_take_unproven(m->limiter, from, now))
                return DROP_NONE;
        cookie_make_reply(&m->cookies, data, len, from, now, reply);
        (void) env->send(env->userdata, from, reply, sizeof reply);
        return DROP_COOKIE_REQUIRED;
}

/* Whom an issuer lets in all the same, to be told or given what it lacks. */
static bool may_renew(const Mesh *m, DropReason reason) {
        return m->is_issuer && (reason == DROP_CERTIFICATE_EXPIRED || reason == DROP_REVOKED);
}

/* Who is it, and may it? @ret_psk: what its purpose is proved with. */
static DropReason
check_initiator(Mesh *m,
                const HandshakePayload *p,
                const uint8_t remote_static[static 32],
                MachineId *ret_machine,
                uint8_t ret_psk[static 32]) {
        uint8_t expected[32];
        MachineId machine = p->purpose == PURPOSE_MEMBER ? p->certificate->body.machine : p->machine;

        if (machine_id_equal(&machine, &m->config.identity->id) ||
            machine_id_to_static(&machine, expected) < 0 ||
            sodium_memcmp(expected, remote_static, sizeof expected) != 0)
                return DROP_HANDSHAKE_FAILED;
        *ret_machine = machine;
        if (!m->is_member)
                return DROP_NOT_A_MEMBER;
        if (p->purpose == PURPOSE_MEMBER) {
                memcpy(ret_psk, secret_bytes(m->secret), 32);
                return directory_check_peer(
                                m->config.directory, p->certificate, p->issuer_certificate,
                                mesh_honours_expired(m));
        }
        if (directory_is_revoked(m->config.directory, &machine))
                return DROP_REVOKED;
        if (!m->is_issuer || !m->lookup(m->lookup_userdata, p->invite_id, &machine, ret_psk))
                return DROP_INVITE_REFUSED;
        return DROP_NONE;
}

typedef struct Timestamp {
        MachineId machine;
        uint8_t tai64n[TAI64N_SIZE];
} Timestamp;

/* Members' are remembered for good; a stranger's as long as its link, since there is no end of
 * strangers. */
static DropReason check_timestamp(Mesh *m, const MachineId *machine, const HandshakePayload *p) {
        Link *link = link_find(m, machine);
        Timestamp *t;

        if (p->purpose != PURPOSE_MEMBER) {
                if (link && memcmp(p->timestamp, link->enrol_timestamp, TAI64N_SIZE) <= 0)
                        return DROP_HANDSHAKE_REPLAYED;
                return DROP_NONE;
        }
        t = g_hash_table_lookup(m->timestamps, machine);
        if (!t) {
                t = NEW(Timestamp);
                t->machine = *machine;
                g_hash_table_insert(m->timestamps, &t->machine, t);
        } else if (memcmp(p->timestamp, t->tai64n, TAI64N_SIZE) <= 0)
                return DROP_HANDSHAKE_REPLAYED;
        memcpy(t->tai64n, p->timestamp, TAI64N_SIZE);
        return DROP_NONE;
}

/* A link that is passed around may be behind any number of machines, and each can be made for
 * nothing: those with other invites must find room beside them. */
static bool has_room_for_stranger(const Mesh *m, const uint8_t invite_id[static INVITE_ID_SIZE]) {
        unsigned n = 0, left = m->n_strangers;

        for (const GList *l = m->lru.head; l && left > 0; l = l->next) {
                const Link *link = l->data;

                left -= link->stranger;
                n += link->stranger && memcmp(link->shown_invite, invite_id, INVITE_ID_SIZE) == 0;
        }
        return m->n_strangers < STRANGERS_MAX && n < STRANGERS_PER_INVITE_MAX;
}

/* The link for an initiation that was accepted. */
static DropReason
get_link(Mesh *m, const MachineId *machine, const HandshakePayload *p, bool renews, Link **ret) {
        Link *link = link_find(m, machine);

        if (!link) {
                if ((renews || p->purpose != PURPOSE_MEMBER) &&
                    !has_room_for_stranger(m, p->invite_id))
                        return DROP_CONTROL_OVERFLOW;
                if (link_get(m, machine, &link) < 0)
                        return DROP_CONTROL_OVERFLOW;
                link->purpose = p->purpose;
        }
        if (p->purpose != PURPOSE_MEMBER)
                memcpy(link->enrol_timestamp, p->timestamp, TAI64N_SIZE);
        if (p->purpose != PURPOSE_MEMBER || (renews && !link_is_up(link))) {
                memcpy(link->shown_invite, p->invite_id, INVITE_ID_SIZE);
                link_set_stranger(link, true);
        }
        *ret = link;
        return DROP_NONE;
}

/* Return: length of the response in @message, or negative errno. */
static int
build_response(Mesh *m,
               NoiseState *noise,
               const HandshakePayload *p,
               const uint8_t psk[static 32],
               const Link *link,
               const Endpoint *from,
               uint32_t index,
               uint32_t remote_index,
               Cipher cipher,
               uint8_t message[static HANDSHAKE_SIZE_MAX]) {
        HandshakePayload answer = {
                .is_response = true,
                .certificate = m->certificate,
                .issuer_certificate = m->issuer_certificate,
                .ciphers = cipher,
                /* By a relay that was seen, by TCP a port that is none of UDP; and copies may come
                 * by other ways. */
                .seen = endpoint_is_plain(from) ? *from : (Endpoint){},
                .realtime = own_realtime(m),
        };
        uint8_t payload[HANDSHAKE_PAYLOAD_MAX];
        CookieMaker mac;
        size_t len;
        int n, r;

        memcpy(answer.boot_id, link->boot_id, sizeof answer.boot_id);
        n = handshake_payload_encode(&answer, 0, payload, sizeof payload);
        if (n < 0)
                return n;
        len = RESPONSE_OVERHEAD + (size_t) n;
        message[0] = MESSAGE_HANDSHAKE_RESPONSE;
        message[1] = OMERTA_PROTOCOL_VERSION;
        message[2] = message[3] = 0;
        write_le32(message + RESPONSE_SENDER_OFFSET, index);
        write_le32(message + RESPONSE_RECEIVER_OFFSET, remote_index);
        cookie_maker_init(&mac, &m->config.network, noise->rs);
        r = noise_write_response(noise, psk, payload, (size_t) n, message + RESPONSE_EPHEMERAL_OFFSET);
        if (r < 0)
                return r;
        cookie_maker_mark(&mac, message, len, env_now(m->env));
        return (int) len;
}

static DropReason
respond(Mesh *m,
        NoiseState *noise,
        const HandshakePayload *p,
        bool renews,
        const uint8_t psk[static 32],
        Link *link,
        const uint8_t *initiation,
        size_t initiation_len,
        const Endpoint *from) {
        const MeshEnv *env = m->env;
        uint32_t index, remote_index = read_le32(initiation + INITIATION_SENDER_OFFSET);
        Cipher cipher = aead_choose(p->ciphers & m->config.ciphers);
        uint8_t message[HANDSHAKE_SIZE_MAX];
        LinkKey key = {
                .purpose = p->purpose,
                .seen = p->seen,
                .cipher = cipher,
                .renews = renews,
                .realtime = p->realtime,
        };
        int len;

        if (reserve_index(m, &index) < 0)
                return DROP_CONTROL_OVERFLOW;
        len = build_response(m, noise, p, psk, link, from, index, remote_index, cipher, message);
        /* Never more out than came in: the source may be forged. */
        if (len < 0 || (size_t) len > initiation_len) {
                index_table_release(m->config.indices, index);
                return DROP_HANDSHAKE_FAILED;
        }
        key.kp = make_keypair(link, noise, cipher, index, remote_index, p->purpose);
        if (!key.kp) {
                index_table_release(m->config.indices, index);
                return DROP_HANDSHAKE_FAILED;
        }
        memcpy(key.boot_id, p->boot_id, sizeof key.boot_id);
        memcpy(key.invite_id, p->invite_id, sizeof key.invite_id);
        answers_add(m->answers, initiation, initiation_len, &link->machine, index, message,
                    (size_t) len, env_now(env));
        link_take_responder_key(link, &key);
        (void) env->send(env->userdata, from, message, (size_t) len);
        return DROP_NONE;
}

/* Its clock may have been set back. Who has a link with the same life of it needs no new one. */
static void
call_back(Mesh *m, const MachineId *machine, const HandshakePayload *p, const Endpoint *from) {
        Link *link;

        if (link_get(m, machine, &link) < 0)
                return;
        if (link_is_up(link) && link->has_remote_boot_id &&
            memcmp(link->remote_boot_id, p->boot_id, BOOT_ID_SIZE) == 0)
                return;
        link_call_back(link, from);
}

/* A copy is answered with the same while the keys that were made wait to be used: whoever uses them
 * has the answer. No more of it: its timestamp is that of the first. Return: false: it is none. */
static bool
answer_copy(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from, DropReason *ret) {
        HandshakeAnswer *a = answers_find(m->answers, data, len, env_now(m->env));
        const Link *link = a ? link_find(m, &a->machine) : NULL;
        const Keypair *kp = link ? link->next.kp : NULL;
        size_t n;
        const void *message;

        if (!a)
                return false;
        *ret = DROP_HANDSHAKE_REPLAYED;
        if (!kp || kp->local_index != a->index || a->n_copies >= ANSWER_COPIES_MAX)
                return true;
        a->n_copies++;
        message = g_bytes_get_data(a->message, &n);
        (void) m->env->send(m->env->userdata, from, message, n);
        *ret = DROP_NONE;
        return true;
}

DropReason handshake_handle_initiation(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from) {
        _cleanup_(handshake_payload_clear) HandshakePayload p = {};
        _cleanup_(noise_clear) NoiseState noise = {};
        uint8_t payload[HANDSHAKE_SIZE_MAX], psk[32];
        size_t noise_len;
        MachineId machine;
        DropReason reason;
        bool renews;
        Link *link;

        reason = admit(m, data, len, from);
        if (reason != DROP_NONE || answer_copy(m, data, len, from, &reason))
                return reason;
        noise_len = len - INITIATION_EPHEMERAL_OFFSET - 2 * MAC_SIZE;
        start_noise(m, &noise, false, NULL);
        if (noise_read_initiation(&noise, data + INITIATION_EPHEMERAL_OFFSET, noise_len, payload) < 0)
                return DROP_HANDSHAKE_FAILED;
        if (handshake_payload_decode(payload, len - INITIATION_OVERHEAD, false, &p) < 0)
                return DROP_MALFORMED;
        reason = check_initiator(m, &p, noise.rs, &machine, psk);
        renews = p.purpose == PURPOSE_MEMBER && may_renew(m, reason);
        if (renews)
                reason = DROP_NONE;
        if (reason == DROP_NONE)
                reason = check_timestamp(m, &machine, &p);
        if (reason == DROP_HANDSHAKE_REPLAYED && p.purpose == PURPOSE_MEMBER)
                call_back(m, &machine, &p, from);
        if (reason == DROP_NONE && p.purpose == PURPOSE_MEMBER && !renews)
                handshake_limiter_trust(m->limiter, from, env_now(m->env));
        if (reason == DROP_NONE)
                reason = get_link(m, &machine, &p, renews, &link);
        if (reason == DROP_NONE)
                reason = respond(m, &noise, &p, renews, psk, link, data, len, from);
        sodium_memzero(psk, sizeof psk);
        return reason;
}

/* Checks who answered. The link may end meanwhile, by what the directory learns. */
static DropReason check_responder(Attempt *a, const HandshakePayload *p, bool *ret_renews) {
        Mesh *m = a->link->mesh;
        DropReason reason;

        *ret_renews = false;
        if (!machine_id_equal(&p->certificate->body.machine, &a->link->machine))
                return DROP_HANDSHAKE_FAILED;
        if (!(p->ciphers & m->config.ciphers))
                return DROP_HANDSHAKE_FAILED;
        /* What its clock shows comes first: ours may be the wrong one. An answer is fresh. */
        link_hear_realtime(a->link, p->realtime);
        reason = directory_check_peer(
                        m->config.directory, p->certificate, p->issuer_certificate,
                        mesh_honours_expired(m));
        if (!may_renew(m, reason) || a->purpose != PURPOSE_MEMBER)
                return reason;
        *ret_renews = true;
        return DROP_NONE;
}

/* Its clock was set back since its last initiation: from now on what it shows now is enough. */
static void lower_timestamp(Mesh *m, const MachineId *machine, const HandshakePayload *p) {
        Timestamp *t = g_hash_table_lookup(m->timestamps, machine);
        uint8_t now[TAI64N_SIZE];

        if (!t || p->realtime == 0)
                return;
        tai64n_encode(p->realtime, now);
        if (memcmp(now, t->tai64n, TAI64N_SIZE) < 0)
                memcpy(t->tai64n, now, TAI64N_SIZE);
}

DropReason handshake_handle_response(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from) {
        static const uint8_t no_psk[SECRET_SIZE];
        _cleanup_(handshake_payload_clear) HandshakePayload p = {};
        uint8_t payload[HANDSHAKE_SIZE_MAX];
        g_autoptr(Link) link = NULL;
        LinkKey key = {};
        DropReason reason;
        uint32_t index;
        bool renews;
        Attempt *a;

        if (!is_well_formed(data, len, RESPONSE_OVERHEAD))
                return DROP_MALFORMED;
        index = read_le32(data + RESPONSE_RECEIVER_OFFSET);
        a = g_hash_table_lookup(m->attempts, GUINT_TO_POINTER(index));
        if (!a)
                return DROP_HANDSHAKE_UNEXPECTED;
        if (cookie_check(&m->cookies, data, len, from, env_now(m->env)) == COOKIE_INVALID_MAC1)
                return DROP_MAC1;
        if (noise_read_response(
                            &a->noise, a->psk ? secret_bytes(a->psk) : no_psk,
                            data + RESPONSE_EPHEMERAL_OFFSET,
                            len - RESPONSE_EPHEMERAL_OFFSET - 2 * MAC_SIZE, payload) < 0)
                return DROP_HANDSHAKE_FAILED;
        /* From here on the state is used up: the next round starts anew. */
        if (handshake_payload_decode(payload, len - RESPONSE_OVERHEAD, true, &p) < 0)
                return DROP_MALFORMED;
        link = link_ref(a->link);
        reason = check_responder(a, &p, &renews);
        if (reason != DROP_NONE)
                return reason;
        if (!link->mesh || link->attempt != a)
                return DROP_HANDSHAKE_UNEXPECTED;
        lower_timestamp(m, &link->machine, &p);
        key = (LinkKey){
                .purpose = a->purpose,
                .seen = p.seen,
                .cipher = (Cipher) p.ciphers,
                .renews = renews,
        };
        memcpy(key.boot_id, p.boot_id, sizeof key.boot_id);
        key.kp =
                        make_keypair(link, &a->noise, key.cipher, index,
                                     read_le32(data + RESPONSE_SENDER_OFFSET), a->purpose);
        if (!key.kp)
                return DROP_HANDSHAKE_FAILED;
        /* The index is the keypair's now. */
        g_hash_table_remove(m->attempts, GUINT_TO_POINTER(index));
        a->has_index = false;
        link_take_initiator_key(link, &key, from);
        return DROP_NONE;
}

DropReason handshake_handle_cookie(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from) {
        const MeshEnv *env = m->env;
        usec_t now = env_now(env);
        Attempt *a;

        if (len != COOKIE_REPLY_SIZE || data[1] != 0 || data[2] != 0 || data[3] != 0)
                return DROP_MALFORMED;
        a = g_hash_table_lookup(
                        m->attempts, GUINT_TO_POINTER(read_le32(data + COOKIE_RECEIVER_OFFSET)));
        if (!a)
                return DROP_HANDSHAKE_UNEXPECTED;
        /* Once a message: what is sent again, by whomever, is not even opened. */
        if (a->cookie_answered)
                return DROP_HANDSHAKE_UNEXPECTED;
        if (cookie_maker_take_reply(&a->cookie, data, now) < 0)
                return DROP_HANDSHAKE_FAILED;
        /* The same initiation again, once, with the proof that we receive where we send from: it
         * was not looked at, so its timestamp is still good. */
        a->cookie_answered = true;
        cookie_maker_mark(&a->cookie, a->message, a->len, now);
        (void) env->send(env->userdata, from, a->message, a->len);
        return DROP_NONE;
}
