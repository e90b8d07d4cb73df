/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/mesh.h"

#include <sodium.h>
#include <string.h>

#include "core/mesh/lan/discovery.h"
#include "core/mesh/link/link-budget.h"
#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"
#include "core/mesh/net-check.h"
#include "core/mesh/gossip/neighbours.h"
#include "core/mesh/gossip/presence.h"
#include "core/mesh/relay/relay.h"
#include "core/wire/relayed.h"

/* Longer than logind waits for those it told of a sleep (InhibitDelayMaxSec=, 5 s). A machine that
 * is awake after that and was not told so is not asleep. */
#define ASLEEP_MAX_USEC (10 * USEC_PER_SEC)
/* An issuer that came back is given so long to renew what has ended in the meantime. */
#define ISSUER_BACK_USEC USEC_PER_HOUR

/* --- object --- */

/* It shall know why, and from whom; who has left, that it was heard. That is not said before it is
 * on disk: it may forget its key then. */
static void dismiss(Mesh *m, const MachineId *machine, Record *revocation) {
        PacketPeer *peer = g_hash_table_lookup(m->peers, machine);
        Link *link = link_find(m, machine);
        g_autoptr(GBytes) payload = NULL, message = NULL;

        if (peer)
                atomic_store_explicit(&peer->accept, false, memory_order_release);
        if (!link)
                return;
        if (directory_flush(m->config.directory) >= 0) {
                payload = gossip_encode_record(revocation);
                message = channels_encode_data(GOSSIP_CHANNEL, payload);
        }
        if (message)
                link_dismiss(link, message);
        else
                link_close(link, CLOSE_REVOKED);
}

static void
on_record(void *userdata,
          RecordKind kind,
          const MachineId *machine,
          const Record *record,
          const Record *old) {
        Mesh *m = userdata;
        Link *link;

        switch (kind) {
        case RECORD_REVOCATION:
                if (machine_id_same_key(machine, &m->config.identity->id))
                        mesh_we_are_revoked(m);
                else if (record)
                        dismiss(m, machine, (Record *) record);
                mesh_relay_machine_gone(m->relay, machine);
                endpoint_book_forget(m->book, machine);
                neighbours_changed(m->neighbours);
                return;
        case RECORD_CERTIFICATE:
                if (!record) {
                        endpoint_book_forget(m->book, machine);
                        mesh_relay_machine_gone(m->relay, machine);
                }
                link = link_find(m, machine);
                if (link && record &&
                    directory_check_member(m->config.directory, machine, false) == DROP_NONE)
                        link_set_renewed(link);
                neighbours_changed(m->neighbours);
                return;
        case RECORD_PRESENCE:
                link = link_find(m, machine);
                /* It was looked for in vain: now we know where it is. */
                if (record && link && link->attempt && !link_is_up(link))
                        attempt_hurry(link->attempt);
                if (!old || !record || old->body.presence.flags != record->body.presence.flags) {
                        neighbours_changed(m->neighbours);
                        presence_changed(m->presence);
                        mesh_relay_offer_changed(m->relay, machine);
                }
                return;
        case RECORD_LEASE:
        case _RECORD_KIND_MAX:
                return;
        }
}

int mesh_new(const MeshEnv *env, const MeshConfig *config, Mesh **ret) {
        Mesh *m = NEW(Mesh);

        m->env = env;
        m->config = *config;
        m->config.ciphers |= CIPHER_CHACHA20_POLY1305;
        if (m->config.mtu == 0 || m->config.mtu > OMERTA_MTU_DEFAULT)
                m->config.mtu = OMERTA_MTU_DEFAULT;
        cookie_checker_init(
                        &m->cookies, &config->network, config->identity->static_public, env->random,
                        env->userdata);
        m->limiter = handshake_limiter_new();
        m->answers = answers_new();
        m->timestamps = g_hash_table_new_full(machine_id_hash, machine_id_hash_equal, NULL, g_free);
        m->attempts = g_hash_table_new(NULL, NULL);
        m->links = g_hash_table_new(machine_id_hash, machine_id_hash_equal);
        g_queue_init(&m->lru);
        m->peers = g_hash_table_new(machine_id_hash, machine_id_hash_equal);
        m->book = endpoint_book_new(env, config->store, config->directory);
        m->provider = (ChannelProvider){ .ops = &mesh_channel_ops, .self = m };
        m->observers = g_ptr_array_new();
        mesh_watch_links(m);
        m->names = name_book_new(m);
        m->neighbours = neighbours_new(m);
        m->channels = channels_new(m);
        m->probes = probes_new(m);
        m->presence = presence_new(m);
        m->rendezvous = rendezvous_new(m);
        m->relay = mesh_relay_new(m);
        m->discovery = discovery_new(m);
        m->net_check = net_check_new(m);
        /* Before gossip, so that a revoked machine is cut before others hear of it. */
        directory_observe(config->directory, on_record, m);
        m->gossip = gossip_new(&m->provider, env, config->directory, &config->identity->id);
        *ret = m;
        return 0;
}

static void retire_peers(Mesh *m) {
        GHashTableIter i;
        void *value;

        g_hash_table_iter_init(&i, m->peers);
        while (g_hash_table_iter_next(&i, NULL, &value))
                m->env->retire(m->env->userdata, value, g_free);
        g_hash_table_unref(m->peers);
}

Mesh *mesh_free(Mesh *m) {
        if (!m)
                return NULL;
        m->closing = true;
        while (m->lru.head)
                link_close(m->lru.head->data, CLOSE_SHUTDOWN);
        directory_unobserve(m->config.directory, on_record, m);
        m->net_check = net_check_free(m->net_check);
        gossip_free(m->gossip);
        m->relay = mesh_relay_free(m->relay);
        neighbours_free(m->neighbours);
        presence_free(m->presence);
        rendezvous_free(m->rendezvous);
        discovery_free(m->discovery);
        probes_free(m->probes);
        channels_free(m->channels);
        name_book_free(m->names);
        endpoint_book_free(m->book);
        g_ptr_array_unref(m->observers);
        g_free(m->observer);
        retire_peers(m);
        g_hash_table_unref(m->links);
        g_hash_table_unref(m->attempts);
        g_hash_table_unref(m->timestamps);
        handshake_limiter_free(m->limiter);
        answers_free(m->answers);
        g_clear_pointer(&m->certificate, record_unref);
        g_clear_pointer(&m->issuer_certificate, record_unref);
        secret_unref(m->secret);
        sodium_memzero(m, sizeof *m);
        g_free(m);
        return NULL;
}

/* --- membership --- */

void mesh_set_membership(Mesh *m, Record *certificate, Record *issuer_certificate, Secret *secret) {
        Secret *old_secret = m->secret;
        Record *old = m->certificate, *old_issuer = m->issuer_certificate;
        bool was_member = m->is_member;

        m->certificate = record_ref(certificate);
        m->issuer_certificate = issuer_certificate ? record_ref(issuer_certificate) : NULL;
        g_clear_pointer(&old, record_unref);
        g_clear_pointer(&old_issuer, record_unref);
        m->secret = secret_ref(secret);
        secret_unref(old_secret);
        m->is_member = true;
        discovery_set_secret(m->discovery, secret);
        if (was_member)
                return;
        /* The links that only enrol have done their work. */
        for (GList *l = m->lru.head; l;) {
                Link *link = l->data;

                if (!link->enrolling) {
                        l = l->next;
                        continue;
                }
                link_close(link, CLOSE_SHUTDOWN);
                l = m->lru.head; /* handlers may have changed it */
        }
        neighbours_changed(m->neighbours);
        presence_changed(m->presence);
}

bool mesh_is_member(const Mesh *m) {
        return m->is_member && !m->revoked;
}

void mesh_set_issuer(Mesh *m, MeshInviteLookup lookup, void *userdata) {
        m->is_issuer = lookup != NULL;
        m->lookup = lookup;
        m->lookup_userdata = userdata;
}

bool mesh_enrol_invite(
                Mesh *m,
                const MachineId *machine,
                uint8_t ret_id[static INVITE_ID_SIZE],
                Endpoint *ret_from) {
        const Link *link = link_find(m, machine);

        if (!link || !link_is_up(link) || link->current.purpose != PURPOSE_INVITE)
                return false;
        memcpy(ret_id, link->current.invite_id, INVITE_ID_SIZE);
        *ret_from = path_set_endpoint(&link->paths);
        return true;
}

void mesh_we_are_revoked(Mesh *m) {
        if (m->revoked)
                return;
        m->revoked = true;
        while (m->lru.head)
                link_close(m->lru.head->data, CLOSE_LEFT);
        neighbours_changed(m->neighbours);
        if (m->config.handler.revoked)
                m->config.handler.revoked(m->config.handler.userdata);
}

bool mesh_knows_machine(Mesh *m, const MachineId *machine) {
        const Directory *d = m->config.directory;

        if (m->closing || m->revoked || machine_id_same_key(machine, &m->config.identity->id) ||
            directory_is_revoked(d, machine))
                return false;
        return directory_certificate(d, machine) || endpoint_book_has_hint(m->book, machine) ||
               name_book_has(m->names, machine);
}

bool mesh_honours_expired(const Mesh *m) {
        if (m->is_issuer)
                return false;
        return m->n_issuers_up == 0 || usec_sub(env_now(m->env), m->issuers_since) < ISSUER_BACK_USEC;
}

bool mesh_is_local_endpoint(const Mesh *m, const Endpoint *e) {
        return endpoint_is_among(e, m->local, m->n_local);
}

/* --- input --- */

bool mesh_claims_initiation(Mesh *m, const uint8_t *data, size_t len) {
        Endpoint nowhere = { .in.sin_family = AF_INET };

        return len >= INITIATION_SIZE_MIN && len <= HANDSHAKE_SIZE_MAX &&
               cookie_check(&m->cookies, data, len, &nowhere, env_now(m->env)) != COOKIE_INVALID_MAC1;
}

static DropReason handle_close(Link *link, const uint8_t *frame, size_t len) {
        Mesh *m = link->mesh;
        const Record *certificate;

        if (len != 2)
                return DROP_FRAME_MALFORMED;
        link_charge(link, COST_CLOSE);
        certificate = directory_certificate(m->config.directory, &link->machine);
        /* Any member can send this, so only an issuer is believed; nor would we have to: who is
         * revoked is answered by nobody. */
        if (frame[1] == CLOSE_REVOKED && !link->dismissed && !link_is_enrol(link) && certificate &&
            certificate->body.certificate.roles & ROLE_ISSUER) {
                mesh_we_are_revoked(m);
                return DROP_NONE;
        }
        if (frame[1] == CLOSE_LEFT)
                endpoint_book_forget(m->book, &link->machine);
        link_down(link);
        return DROP_NONE;
}

static DropReason handle_frame(Link *link, const uint8_t *frame, size_t len, const Endpoint *from) {
        DropReason reason;

        link_touch(link);
        switch ((FrameType) frame[0]) {
        case FRAME_SEGMENT:
                reason = reliable_handle_segment(link->reliable, frame, len);
                link_close_dismissed(link);
                return reason;
        case FRAME_ACK:
                reason = reliable_handle_ack(link->reliable, frame, len);
                link_close_dismissed(link);
                return reason;
        case FRAME_PROBE:
                return probes_handle_probe(link, frame, len, from);
        case FRAME_PROBE_REPLY:
                return probes_handle_reply(link, frame, len, from);
        case FRAME_DATAGRAM:
                return channels_handle_datagram(link, frame, len);
        case FRAME_CLOSE:
                return handle_close(link, frame, len);
        }
        return DROP_FRAME_MALFORMED;
}

static DropReason
take_frame(Mesh *m, Keypair *kp, const uint8_t *frame, size_t len, const Endpoint *from) {
        g_autoptr(Link) link = NULL;

        /* Retired since the packet thread opened it. */
        if (!kp->link)
                return DROP_UNKNOWN_INDEX;
        link = link_ref(kp->link);
        link_heard(link);
        if (link->mesh)
                paths_heard(link, from);
        if (link->mesh && kp == link->next.kp)
                link_arrived(link, kp, from);
        if (len == 0 || !link->mesh)
                return DROP_NONE;
        if (!link_has_budget(link))
                return DROP_OVER_BUDGET;
        link_charge(link, COST_FRAME);
        /* Answers would go back the same way. */
        if (mesh_is_inside(m, from))
                return DROP_FROM_INSIDE;
        return handle_frame(link, frame, len, from);
}

/* Return: @reason, counted. */
static DropReason counted(Mesh *m, DropReason reason) {
        if (reason != DROP_NONE)
                drop_count(m->config.drops, reason);
        return reason;
}

DropReason
mesh_handle_frame(Mesh *m, Keypair *kp, const uint8_t *frame, size_t len, const Endpoint *from) {
        return counted(m, take_frame(m, kp, frame, len, from));
}

void mesh_handle_arrival(Mesh *m, Keypair *kp, const Endpoint *from) {
        g_autoptr(Link) link = NULL;

        if (!kp->link)
                return;
        link = link_ref(kp->link);
        link_arrived(link, kp, from);
}

static DropReason handle_packet(Mesh *m, Keypair *kp, uint8_t flags, uint8_t *packet, size_t len) {
        PacketPeer *peer = kp->peer;

        if (!peer || !atomic_load_explicit(&peer->accept, memory_order_relaxed))
                return DROP_NO_SESSION;
        atomic_fetch_add_explicit(&peer->rx_packets, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&peer->rx_bytes, len, memory_order_relaxed);
        atomic_store_explicit(&peer->last_rx, env_now(m->env), memory_order_relaxed);
        if (m->config.handler.packet)
                m->config.handler.packet(m->config.handler.userdata, peer, flags, packet, len);
        return DROP_NONE;
}

static DropReason handle_data(Mesh *m, uint8_t *data, size_t len, const Endpoint *from) {
        Keypair *kp;
        DropReason reason;
        uint8_t *plain, flags;
        size_t n;

        if (len < DATA_OVERHEAD)
                return DROP_MALFORMED;
        kp = index_table_lookup(m->config.indices, read_le32(data + DATA_RECEIVER_OFFSET));
        if (!kp || kp->mesh != m || !kp->link)
                return DROP_UNKNOWN_INDEX;
        flags = data[DATA_FLAGS_OFFSET];
        reason = keypair_open(kp, data, len, env_now(m->env), &plain, &n);
        if (reason != DROP_NONE)
                return reason;
        mesh_handle_arrival(m, kp, from);
        if (!kp->link)
                return DROP_NONE;
        if (n > 0 && (plain[0] >> 4 == 4 || plain[0] >> 4 == 6))
                return handle_packet(m, kp, flags, plain, n);
        if (flags != 0)
                return DROP_FRAME_MALFORMED;
        return take_frame(m, kp, plain, n, from);
}

static DropReason dispatch(Mesh *m, uint8_t *data, size_t len, const Endpoint *from);

/* To us: what others have relayed through this machine is the packet path's. */
static DropReason unwrap(Mesh *m, uint8_t *data, size_t len, const Endpoint *from) {
        Endpoint behind = *from;

        if (endpoint_is_relayed(from) || !relayed_is_well_formed(data, len))
                return DROP_MALFORMED;
        behind.relay = relayed_allocation(data);
        return dispatch(m, data + RELAY_HEADER_SIZE, len - RELAY_HEADER_SIZE, &behind);
}

static DropReason handle_beacon(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from) {
        if (net_check_take(m->net_check, data, len))
                return DROP_NONE;
        return discovery_handle_beacon(m->discovery, data, len, from);
}

static DropReason dispatch(Mesh *m, uint8_t *data, size_t len, const Endpoint *from) {
        if (len < 4)
                return DROP_MALFORMED;
        /* Data is looked at nevertheless: it may confirm keys, which packet threads say once. */
        if (data[0] != MESSAGE_DATA && mesh_is_inside(m, from))
                return DROP_FROM_INSIDE;
        switch ((MessageType) data[0]) {
        case MESSAGE_HANDSHAKE_INITIATION:
                return handshake_handle_initiation(m, data, len, from);
        case MESSAGE_HANDSHAKE_RESPONSE:
                return handshake_handle_response(m, data, len, from);
        case MESSAGE_COOKIE_REPLY:
                return handshake_handle_cookie(m, data, len, from);
        case MESSAGE_DATA:
                return handle_data(m, data, len, from);
        case MESSAGE_RELAYED:
                return unwrap(m, data, len, from);
        case MESSAGE_BEACON:
                return handle_beacon(m, data, len, from);
        }
        return DROP_MALFORMED;
}

DropReason mesh_handle_datagram(Mesh *m, uint8_t *data, size_t len, const Endpoint *from) {
        return counted(m, m->revoked ? DROP_NOT_A_MEMBER : dispatch(m, data, len, from));
}

/* --- where we are --- */

bool mesh_is_inside(const Mesh *m, const Endpoint *endpoint) {
        IpAddr a = endpoint_address(endpoint);

        return prefix_set_contains(&m->inside, &a);
}

static bool is_inside(const void *userdata, const Endpoint *endpoint) {
        return mesh_is_inside(userdata, endpoint);
}

void mesh_set_inside(Mesh *m, const PrefixSet *inside) {
        Endpoint local[ENDPOINTS_MAX];
        unsigned n = m->n_local;

        if (m->inside.n == inside->n &&
            memcmp(m->inside.prefix, inside->prefix, inside->n * sizeof inside->prefix[0]) == 0)
                return;
        m->inside = *inside;
        /* What was outside before may be inside now. */
        for (GList *l = m->lru.head; l; l = l->next) {
                Link *link = l->data;

                for (unsigned i = 0; i < ELEMENTSOF(link->seen); i++)
                        if (mesh_is_inside(m, &link->seen[i]))
                                link->seen[i] = (Endpoint){};
                if (path_set_purge(&link->paths, is_inside, m))
                        link_publish(link);
        }
        memcpy(local, m->local, sizeof local);
        mesh_set_local_endpoints(m, local, n);
}

static bool same_endpoints(const Endpoint *a, unsigned n_a, const Endpoint *b, unsigned n_b) {
        bool same = n_a == n_b;

        for (unsigned i = 0; i < n_a && same; i++)
                same = endpoint_equal(&a[i], &b[i]);
        return same;
}

void mesh_set_mapped_endpoints(Mesh *m, const Endpoint *endpoints, unsigned n) {
        Endpoint old[ENDPOINTS_MAX];
        unsigned n_old = m->n_mapped;

        memcpy(old, m->mapped, sizeof old);
        m->n_mapped = 0;
        for (unsigned i = 0; i < n && m->n_mapped < ENDPOINTS_MAX; i++)
                if (endpoint_is_usable(&endpoints[i]) && !mesh_is_inside(m, &endpoints[i]))
                        m->mapped[m->n_mapped++] = endpoints[i];
        if (same_endpoints(old, n_old, m->mapped, m->n_mapped))
                return;
        presence_changed(m->presence);
        rendezvous_changed(m->rendezvous);
}

void mesh_set_local_endpoints(Mesh *m, const Endpoint *endpoints, unsigned n) {
        Endpoint old[ENDPOINTS_MAX];
        unsigned n_old = m->n_local;

        memcpy(old, m->local, sizeof old);
        m->n_local = 0;
        for (unsigned i = 0; i < n && m->n_local < ENDPOINTS_MAX; i++)
                if (endpoint_is_usable(&endpoints[i]) && !mesh_is_inside(m, &endpoints[i]) &&
                    !mesh_is_local_endpoint(m, &endpoints[i]))
                        m->local[m->n_local++] = endpoints[i];
        presence_changed(m->presence);
        if (same_endpoints(old, n_old, m->local, m->n_local))
                return;
        nat_check_forget(&m->nat);
        rendezvous_changed(m->rendezvous);
}

NatVerdict mesh_nat_verdict(const Mesh *m, int family) {
        Endpoint local[ENDPOINTS_MAX];
        unsigned n = 0;

        /* What the router maps is among them, and is translated all the same; of IPv6 it is our
         * address, which is let in. */
        for (unsigned i = 0; i < m->n_local; i++)
                if (family == AF_INET6 || !endpoint_is_among(&m->local[i], m->mapped, m->n_mapped))
                        local[n++] = m->local[i];
        return nat_check_judge(&m->nat, family, local, n, env_now(m->env));
}

void mesh_network_changed(Mesh *m) {
        g_autoptr(GPtrArray) links = g_ptr_array_new();
        bool was_asleep = m->asleep_until > 0;

        m->asleep_until = 0;
        m->network_changed = env_now(m->env);
        name_book_changed(m->names);
        for (GList *l = m->lru.head; l; l = l->next)
                g_ptr_array_add(links, link_ref(l->data));
        for (unsigned i = 0; i < links->len; i++) {
                Link *link = links->pdata[i];

                if (link->mesh && link->attempt)
                        attempt_hurry(link->attempt);
                else if (link->mesh && was_asleep && !link_is_up(link) &&
                         !reliable_is_idle(link->reliable))
                        link_connect(link);
                else if (link->mesh) {
                        (void) probes_send(link, CHANGED_PROBE_USEC, NULL, NULL);
                        paths_doubt(link);
                        paths_ask_all(link);
                }
                link_unref(link);
        }
        rendezvous_changed(m->rendezvous);
        neighbours_hurry(m->neighbours);
        presence_changed(m->presence);
        if (was_asleep)
                net_check_woke(m->net_check);
}

void mesh_set_exit_offer(Mesh *m, unsigned offer) {
        if (m->exit_offer == offer)
                return;
        m->exit_offer = offer;
        presence_changed(m->presence);
}

void mesh_lan_changed(Mesh *m) {
        discovery_hurry(m->discovery);
}

void mesh_set_lan_discovery(Mesh *m, bool on) {
        discovery_set(m->discovery, on);
}

DropReason mesh_handle_beacon(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from) {
        DropReason reason = handle_beacon(m, data, len, from);

        return reason == DROP_BEACON_FOREIGN ? reason : counted(m, reason);
}

LanInfo mesh_lan_info(const Mesh *m) {
        return discovery_info(m->discovery);
}

bool mesh_is_asleep(const Mesh *m) {
        return m->asleep_until > env_now(m->env);
}

void mesh_sleep(Mesh *m) {
        g_autoptr(GPtrArray) links = g_ptr_array_new();

        m->asleep_until = usec_add(env_now(m->env), ASLEEP_MAX_USEC);
        for (GList *l = m->lru.head; l; l = l->next)
                g_ptr_array_add(links, link_ref(l->data));
        for (unsigned i = 0; i < links->len; i++) {
                Link *link = links->pdata[i];

                if (link->mesh && !link->enrolling)
                        link_close(link, CLOSE_SHUTDOWN);
                link_unref(link);
        }
}

void mesh_set_mtu(Mesh *m, uint16_t mtu) {
        m->config.mtu = mtu > 0 ? MIN(mtu, (uint16_t) OMERTA_MTU_DEFAULT)
                                : (uint16_t) OMERTA_MTU_DEFAULT;
        for (GList *l = m->lru.head; l; l = l->next)
                link_publish(l->data);
}

void mesh_forget_local(Mesh *m, const IpAddr *local) {
        for (GList *l = m->lru.head; l; l = l->next) {
                Link *link = l->data;

                if (path_set_forget_local(&link->paths, local))
                        link_publish(link);
        }
}

/* New keys are how machines tell each other what their clocks show. */
void mesh_clock_changed(Mesh *m) {
        g_autoptr(GPtrArray) links = g_ptr_array_new();

        for (GList *l = m->lru.head; l; l = l->next)
                g_ptr_array_add(links, link_ref(l->data));
        for (unsigned i = 0; i < links->len; i++) {
                Link *link = links->pdata[i];

                if (link->mesh && link_is_up(link) && !link_is_enrol(link))
                        link_repair(link);
                link_unref(link);
        }
        gossip_clock_changed(m->gossip);
        presence_changed(m->presence);
}

/* --- links --- */

ChannelProvider *mesh_channels(Mesh *m) {
        return &m->provider;
}

void mesh_add_hint(Mesh *m, const MachineId *machine, const Endpoint *endpoint) {
        Link *link = link_find(m, machine);

        if (mesh_is_inside(m, endpoint))
                return;
        endpoint_book_add_hint(m->book, machine, endpoint);
        if (link && link->attempt && !link_is_up(link))
                attempt_hurry(link->attempt);
        neighbours_changed(m->neighbours);
}

void mesh_set_names(Mesh *m, const MachineId *machine, const HostPort *names, unsigned n) {
        const Link *link = link_find(m, machine);

        name_book_set(m->names, machine, names, n);
        if (n == 0)
                return;
        if (link && link->attempt && !link_is_up(link))
                attempt_hurry(link->attempt);
        neighbours_found(m->neighbours, machine);
}

int mesh_connect_to_enrol(
                Mesh *m,
                const MachineId *issuer,
                const uint8_t invite_id[static INVITE_ID_SIZE],
                Secret *psk) {
        Link *link;
        int r;

        if (m->is_member || m->closing)
                return -EINVAL;
        link = link_find(m, issuer);
        if (link)
                link_close(link, CLOSE_SHUTDOWN);
        r = link_get(m, issuer, &link);
        if (r < 0)
                return r;
        link->enrolling = true;
        memcpy(link->invite_id, invite_id, sizeof link->invite_id);
        link->psk = secret_ref(psk);
        link_connect(link);
        return 0;
}

void mesh_disconnect(Mesh *m, const MachineId *machine, uint8_t reason) {
        Link *link = link_find(m, machine);
        PacketPeer *peer = g_hash_table_lookup(m->peers, machine);

        if (peer)
                atomic_store_explicit(&peer->accept, false, memory_order_release);
        if (link)
                link_close(link, (CloseReason) reason);
}

unsigned mesh_tell(Mesh *m, Record *record) {
        g_autoptr(GPtrArray) up = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GBytes) payload = gossip_encode_record(record);
        unsigned told = 0;

        for (GList *l = m->lru.head; l; l = l->next) {
                const Link *link = l->data;

                if (link_is_up(link) && !link_is_enrol(link) && !link->dismissed)
                        g_ptr_array_add(up, g_memdup2(&link->machine, sizeof link->machine));
        }
        for (unsigned i = 0; i < up->len; i++)
                told += m->provider.ops->send(
                                        m, up->pdata[i], GOSSIP_CHANNEL,
                                        g_bytes_get_data(payload, NULL),
                                        g_bytes_get_size(payload)) >= 0;
        return told;
}

PacketPeer *mesh_packet_peer(Mesh *m, const MachineId *machine) {
        PacketPeer *peer;

        if (!mesh_knows_machine(m, machine) || !directory_certificate(m->config.directory, machine))
                return NULL;
        peer = g_hash_table_lookup(m->peers, machine);
        if (!peer) {
                peer = NEW(PacketPeer);
                peer->id = *machine;
                peer->mesh = m;
                g_hash_table_insert(m->peers, &peer->id, peer);
        }
        return peer;
}

int mesh_send_packet(Mesh *m, PacketPeer *peer, uint8_t flags, const uint8_t *packet, size_t len) {
        const PacketTx *tx = atomic_load_explicit(&peer->tx, memory_order_acquire);
        uint8_t datagram[DATA_OVERHEAD + OMERTA_MTU_DEFAULT];
        uint64_t counter;
        Endpoint to;

        if (!tx || !keypair_reserve(tx->keypair, 1, &counter))
                return -ENOTCONN;
        if (len > tx->mtu)
                return -EMSGSIZE;
        keypair_seal(tx->keypair, counter, flags, packet, len, datagram);
        to = tx->endpoint;
        atomic_fetch_add_explicit(&peer->tx_packets, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&peer->tx_bytes, len, memory_order_relaxed);
        atomic_store_explicit(&peer->last_tx, env_now(m->env), memory_order_relaxed);
        if (len >= OMERTA_MTU_LEAST)
                atomic_store_explicit(&peer->last_large, env_now(m->env), memory_order_relaxed);
        if (endpoint_is_set(&tx->second))
                (void) m->env->send(m->env->userdata, &tx->second, datagram, DATA_OVERHEAD + len);
        if (atomic_exchange_explicit(&peer->quiet, false, memory_order_relaxed))
                mesh_packet_sent(m, peer);
        return m->env->send(m->env->userdata, &to, datagram, DATA_OVERHEAD + len);
}

void mesh_packet_sent(Mesh *m, const PacketPeer *peer) {
        Link *link = link_find(m, &peer->id);

        if (link)
                paths_used(link);
}

void mesh_charge(Mesh *m, const MachineId *machine, usec_t cost) {
        Link *link = link_find(m, machine);

        if (link)
                link_charge(link, cost);
}
