/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "machine.h"

#include <inttypes.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/aead.h"

typedef enum EventType {
        EVENT_DATAGRAM,
        EVENT_FRAME,
        EVENT_ARRIVAL,
        EVENT_WANT_SESSION,
        EVENT_SENT,
        EVENT_RELAY_UNKNOWN,
} EventType;

typedef struct Event {
        EventType type;
        Keypair *kp;
        PacketPeer *peer;
        Endpoint from;
        size_t len;
        uint8_t data[];
} Event;

/* --- packet path --- */

static bool
post(Machine *m,
     EventType type,
     Keypair *kp,
     PacketPeer *peer,
     const void *data,
     size_t len,
     const Endpoint *from) {
        Event *e = g_malloc0(sizeof *e + len);

        e->type = type;
        e->kp = kp;
        e->peer = peer;
        e->len = len;
        if (from)
                e->from = *from;
        if (len > 0)
                memcpy(e->data, data, len);
        g_queue_push_tail(&m->events, e);
        return true;
}

/* Where the node sends trains, the whole of it as one; a shorter last datagram by itself.
 * Return: false: it is to go datagram by datagram. */
static bool send_train(Machine *m, const TxTrain *t, const Endpoint *to) {
        const MeshEnv *env = sim_node_env(m->node);
        g_autoptr(GByteArray) whole = g_byte_array_new();
        unsigned n = t->len / t->segment;

        if (t->n < 2 || t->single || !env->send_train || endpoint_is_stream(to))
                return false;
        for (unsigned i = 0; i < t->n_iov; i++)
                g_byte_array_append(whole, t->iov[i].iov_base, (guint) t->iov[i].iov_len);
        (void) env->send_train(env->userdata, to, whole->data, t->segment, n);
        if (n < t->n)
                (void) env->send(
                                env->userdata, to, whole->data + (size_t) n * t->segment,
                                t->len - n * t->segment);
        return true;
}

static void sink_send(void *userdata, const TxTrain *trains, unsigned n) {
        Machine *m = userdata;
        const MeshEnv *env = sim_node_env(m->node);

        for (unsigned i = 0; i < n; i++) {
                Endpoint to = trains[i].to;
                TxCursor cursor = {};
                struct iovec iov;

                to.relay = 0; /* the header is there */
                if (send_train(m, &trains[i], &to))
                        continue;
                while (tx_train_next(&trains[i], &cursor, &iov))
                        (void) env->send(env->userdata, &to, iov.iov_base, iov.iov_len);
        }
}

static bool sink_datagram(void *userdata, const uint8_t *data, size_t len, const Endpoint *from) {
        return post(userdata, EVENT_DATAGRAM, NULL, NULL, data, len, from);
}

static DropReason
sink_frame(void *userdata, Keypair *kp, const uint8_t *frame, size_t len, const Endpoint *from) {
        return post(userdata, EVENT_FRAME, kp, NULL, frame, len, from) ? DROP_NONE
                                                                       : DROP_CONTROL_OVERFLOW;
}

static bool sink_arrival(void *userdata, Keypair *kp, const Endpoint *from) {
        return post(userdata, EVENT_ARRIVAL, kp, NULL, NULL, 0, from);
}

static bool sink_want_session(void *userdata, PacketPeer *peer) {
        return post(userdata, EVENT_WANT_SESSION, NULL, peer, NULL, 0, NULL);
}

static bool sink_sent(void *userdata, PacketPeer *peer) {
        return post(userdata, EVENT_SENT, NULL, peer, NULL, 0, NULL);
}

static bool sink_relay_unknown(void *userdata, const Endpoint *from) {
        return post(userdata, EVENT_RELAY_UNKNOWN, NULL, NULL, NULL, 0, from);
}

static void sink_failed(void *userdata, Netif *netif, int error) {
        g_error("the interface of a simulated machine failed");
}

/* Nobody's: it was to be relayed by a number that is not there. */
static void handle_datagram(Machine *m, Event *e) {
        DropReason r = mesh_handle_datagram(network_mesh(m->network), e->data, e->len, &e->from);

        if (endpoint_is_relayed(&e->from) && (r == DROP_MAC1 || r == DROP_HANDSHAKE_UNEXPECTED))
                (void) mesh_relay_unknown(network_mesh(m->network), &e->from);
}

/* What the control thread would do when it is told. */
static void dispatch(Machine *m) {
        Event *e;

        while ((e = g_queue_pop_head(&m->events))) {
                if (m->network)
                        switch (e->type) {
                        case EVENT_DATAGRAM:
                                handle_datagram(m, e);
                                break;
                        case EVENT_FRAME:
                                (void) mesh_handle_frame(
                                                network_mesh(m->network), e->kp, e->data, e->len,
                                                &e->from);
                                break;
                        case EVENT_ARRIVAL:
                                mesh_handle_arrival(network_mesh(m->network), e->kp, &e->from);
                                break;
                        case EVENT_RELAY_UNKNOWN:
                                (void) mesh_relay_unknown(network_mesh(m->network), &e->from);
                                break;
                        case EVENT_WANT_SESSION:
                                network_want_session(m->network, e->peer);
                                break;
                        case EVENT_SENT:
                                mesh_packet_sent(network_mesh(m->network), e->peer);
                                break;
                        }
                g_free(e);
        }
}

static void on_router_timer(void *userdata);

static void begin(Machine *m) {
        packet_router_begin(m->router, env_now(sim_node_env(m->node)));
}

static void end(Machine *m) {
        usec_t next = packet_router_end(m->router);

        if (next != USEC_INFINITY)
                timer_set(sim_node_env(m->node)->timers, &m->router_timer, next, on_router_timer, m);
        dispatch(m);
}

static void on_router_timer(void *userdata) {
        begin(userdata);
        end(userdata);
}

static void on_receive(void *userdata, uint8_t *data, size_t len, const Endpoint *from) {
        Machine *m = userdata;

        begin(m);
        packet_router_ingress(m->router, data, len, len, from);
        end(m);
}

static void on_stream_ended(void *userdata, const Endpoint *peer) {
        Machine *m = userdata;

        if (m->network)
                mesh_stream_ended(network_mesh(m->network), peer);
}

static void pump_interface(Machine *m) {
        PacketIn packets[8];
        int n;

        if (!m->is_routed)
                return;
        begin(m);
        while ((n = m->netif->ops->read_batch(m->netif, packets, ELEMENTSOF(packets))) > 0)
                packet_router_egress(m->router, m->router_network, packets, (unsigned) n);
        end(m);
}

/* --- what the network reports --- */

static int on_joined(void *userdata, Network *n, const Membership *ms) {
        Machine *m = userdata;

        membership_copy(&m->membership, ms);
        m->has_membership = true;
        return 0;
}

static void on_address(void *userdata, Network *n) {
        Machine *m = userdata;
        IpAddr address = vnet_local_address(network_vnet(n)),
               address6 = vnet_local_address6(network_vnet(n));
        DataplaneNetwork dn = {
                .mesh = network_mesh(n),
                .netif = m->netif,
                .routes = vnet_routes(network_vnet(n)),
                .drops = network_drops(n),
        };

        (void) m->netif->ops->configure(m->netif, &address, 16, &address6, 64, OMERTA_MTU_DEFAULT);
        if (!m->is_routed && packet_router_add_network(m->router, &dn, &m->router_network) < 0)
                g_error("the packet path does not take the network");
        m->is_routed = true;
}

static void on_session(void *userdata, Network *n, Session *s) {
        Machine *m = userdata;

        m->n_sessions_changed++;
}

static void on_packets_ready(void *userdata, Network *n, PacketPeer *peer) {
        Machine *m = userdata;

        if (!m->is_routed)
                return;
        begin(m);
        packet_router_flush_pending(m->router, peer);
        /* Inside a turn of the control thread: nothing is dispatched from here. */
        (void) packet_router_end(m->router);
}

static void on_join_done(void *userdata, Network *n, WireError error, const char *detail) {
        Machine *m = userdata;

        m->join_finished = true;
        g_free(m->join_error);
        g_free(m->join_detail);
        m->join_error = error ? g_strdup(wire_error_name(error)) : NULL;
        m->join_detail = g_strdup(detail);
}

static void on_state(void *userdata, Network *n) {
        Machine *m = userdata;

        if (network_state(n) == NETWORK_REVOKED)
                membership_copy(&m->membership, network_membership(n));
}

static int on_sign_by_root(void *userdata, Network *n, const RecordBody *body, Record **ret) {
        Machine *m = userdata;

        return m->root_is_away ? -ENOENT
                               : identity_sign_record(m->root, &m->membership.id, body, ret);
}

static void
on_lease(void *userdata, Network *n, const MachineId *machine, const Record *lease, const Record *old) {
        Machine *m = userdata;

        m->n_leases_ended += lease && lease == old;
}

static NetworkConfig config_of(Machine *m) {
        NetworkConfig c = {
                .env = sim_node_env(m->node),
                .identity = m->identity,
                .indices = m->indices,
                .relays = m->relays,
                .store = memory_store_mesh(m->store),
                .ciphers = CIPHER_CHACHA20_POLY1305,
                .mtu = OMERTA_MTU_DEFAULT,
                .port = 18002,
                .software = "omerta-sim",
                .sessions = m->sessions,
                .handler = {
                        .userdata = m,
                        .joined = on_joined,
                        .sign_by_root = on_sign_by_root,
                        .state_changed = on_state,
                        .address_changed = on_address,
                        .lease_changed = on_lease,
                        .session_changed = on_session,
                        .packets_ready = on_packets_ready,
                },
        };

        env_random(c.env, c.boot_id, sizeof c.boot_id);
        return c;
}

/* --- life --- */

static void begin_life(Machine *m) {
        const PacketSink sink = {
                .userdata = m,
                .send = sink_send,
                .datagram = sink_datagram,
                .frame = sink_frame,
                .arrival = sink_arrival,
                .want_session = sink_want_session,
                .sent = sink_sent,
                .failed = sink_failed,
                .relay_unknown = sink_relay_unknown,
        };

        m->indices = index_table_new();
        m->relays = relay_table_new();
        m->netif = mock_netif_new("sim0");
        m->router = packet_router_new(&sink, m->indices, &m->drops);
        packet_router_set_relays(m->router, m->relays);
        m->is_routed = false;
        sim_node_on_receive(m->node, on_receive, m);
        sim_node_on_stream_ended(m->node, on_stream_ended);
}

static void end_life(Machine *m) {
        if (!m->router)
                return; /* stopped already */
        sim_node_on_receive(m->node, NULL, NULL);
        timer_clear(&m->router_timer);
        if (m->is_routed)
                packet_router_remove_network(m->router, network_mesh(m->network));
        m->network = network_free(m->network);
        dispatch(m);
        sim_node_end_streams(m->node);
        m->router = packet_router_free(m->router);
        m->netif = netif_free(m->netif);
        m->indices = index_table_free(m->indices);
        m->relays = relay_table_free(m->relays);
}

/* Return: how many. */
static unsigned endpoints_of(Machine *m, Endpoint ret[static ENDPOINTS_MAX]) {
        unsigned n = 0;

        if (endpoint_is_set(&m->mapped))
                ret[n++] = m->mapped;
        return n + sim_node_endpoints(m->node, ret + n, ENDPOINTS_MAX - n);
}

static void publish_endpoints(Machine *m) {
        Endpoint e[ENDPOINTS_MAX];
        unsigned n = endpoints_of(m, e);

        network_set_stream_port(m->network, m->stream_port);
        mesh_set_local_endpoints(network_mesh(m->network), e, n);
}

void machine_listen(Machine *m, uint16_t port) {
        m->stream_port = port;
        sim_node_listen(m->node, port);
        if (m->network)
                publish_endpoints(m);
}

void machine_moved(Machine *m) {
        publish_endpoints(m);
        mesh_network_changed(network_mesh(m->network));
}

static void new_identity(Machine *m) {
        uint8_t seed[IDENTITY_SEED_SIZE];

        env_random(sim_node_env(m->node), seed, sizeof seed);
        identity_free(m->identity);
        if (identity_new(seed, &m->identity) < 0)
                g_error("no identity");
}

Machine *machine_new(Sim *sim, const char *name, const char *endpoint) {
        Machine *m = NEW(Machine);

        m->sim = sim;
        m->name = g_strdup(name);
        m->node = sim_node_new(sim, name, endpoint);
        m->store = memory_store_new();
        new_identity(m);
        begin_life(m);
        return m;
}

Machine *machine_free(Machine *m) {
        if (!m)
                return NULL;
        end_life(m);
        memory_store_free(m->store);
        sim_node_free(m->node);
        identity_free(m->identity);
        identity_free(m->root);
        g_free(m->name);
        membership_clear(&m->membership);
        g_free(m->join_error);
        g_free(m->join_detail);
        g_free(m);
        return NULL;
}

void machine_create_network(Machine *m, const char *subnet) {
        NetworkConfig c = config_of(m);
        uint8_t seed[IDENTITY_SEED_SIZE];

        env_random(c.env, seed, sizeof seed);
        g_assert_cmpint(identity_new(seed, &m->root), >=, 0);
        g_strlcpy(m->membership.name, "sim", sizeof m->membership.name);
        g_strlcpy(m->membership.host_name, m->name, sizeof m->membership.host_name);
        g_assert_cmpint(ip_prefix_parse(subnet, &m->membership.subnet), ==, 0);
        g_assert_cmpint(network_create(&c, m->root, &m->membership, &m->network), ==, 0);
        m->has_membership = true;
        publish_endpoints(m);
}

char *machine_invite(Machine *m, const InviteOptions *options) {
        InviteOptions o = options ? *options : (InviteOptions){ .uses = 1 };
        Endpoint endpoints[ENDPOINTS_MAX];
        StoredInvite invite;
        char *link = NULL;

        o.endpoints = endpoints;
        o.n_endpoints = endpoints_of(m, endpoints);
        g_assert_cmpint(enrol_service_invite(network_enrol_service(m->network), &o, &link, &invite),
                        ==, 0);
        return link;
}

void machine_join_start(Machine *m, const char *link) {
        NetworkConfig c = config_of(m);
        Invite invite;

        g_assert_cmpint(invite_parse(link, &invite), ==, 0);
        m->join_finished = false;
        g_assert_cmpint(network_join(&c, &invite, m->name, "", 10 * USEC_PER_SEC, on_join_done, m,
                                     &m->network),
                        ==, 0);
        publish_endpoints(m);
}

static bool join_finished(void *userdata) {
        return ((Machine *) userdata)->join_finished;
}

const char *machine_join(Machine *m, const char *link) {
        machine_join_start(m, link);
        if (!sim_run_until(m->sim, join_finished, m, 12 * USEC_PER_SEC))
                return "no answer at all";
        return m->join_error;
}

void machine_stop(Machine *m, bool graceful, bool lose_power) {
        if (!graceful)
                /* Whatever the end would still send is not sent. */
                sim_node_sleep(m->node, true);
        if (lose_power)
                memory_store_fail_after(m->store, 0, -EIO);
        end_life(m);
        if (lose_power) {
                memory_store_fail_after(m->store, 0, 0);
                memory_store_lose_power(m->store);
        }
        sim_node_sleep(m->node, false);
}

void machine_start(Machine *m) {
        NetworkConfig c;

        begin_life(m);
        if (!m->has_membership)
                return;
        c = config_of(m);
        g_assert_cmpint(network_new(&c, &m->membership, &m->network), ==, 0);
        publish_endpoints(m);
}

static void on_left(void *userdata, Network *n, bool told) {
        Machine *m = userdata;

        m->left = true;
        m->told = told;
}

static bool has_left(void *userdata) {
        return ((Machine *) userdata)->left;
}

bool machine_leave(Machine *m) {
        m->left = false;
        network_leave(m->network, on_left, m);
        g_assert_true(sim_run_until(m->sim, has_left, m, 20 * USEC_PER_SEC));
        end_life(m);
        memory_store_free(m->store);
        m->store = memory_store_new();
        membership_clear(&m->membership);
        m->membership = (Membership){};
        m->has_membership = false;
        new_identity(m);
        begin_life(m);
        return m->told;
}

/* --- use --- */

IpAddr machine_address(Machine *m) {
        if (!m->network || !network_vnet(m->network))
                return (IpAddr){};
        return vnet_local_address(network_vnet(m->network));
}

const MachineId *machine_id(const Machine *m) {
        return &m->identity->id;
}

#define TCP_HEADERS 40U
#define BULK_SEGMENT 1000U

/* An IPv4 header; the rest of the packet is zeros. */
static void
write_header(uint8_t *p, size_t len, uint8_t protocol, const IpAddr *from, const IpAddr *to) {
        uint32_t sum = 0;

        p[0] = 0x45;
        write_be16(p + 2, (uint16_t) len);
        p[6] = 0x40; /* DF */
        p[8] = 64;
        p[9] = protocol;
        memcpy(p + 12, from->bytes, 4);
        memcpy(p + 16, to->bytes, 4);
        for (unsigned i = 0; i < 20; i += 2)
                sum += read_be16(p + i);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        write_be16(p + 10, (uint16_t) ~sum);
}

void machine_send_text(Machine *m, const IpAddr *from, const IpAddr *to, const char *text) {
        uint8_t p[1500] = {};
        size_t n = strlen(text), len = 28 + n;

        g_assert_cmpuint(len, <=, sizeof p);
        write_header(p, len, 17, from, to);
        write_be16(p + 20, 4242);
        write_be16(p + 22, 4242);
        write_be16(p + 24, (uint16_t) (8 + n)); /* UDP without a checksum: RFC 768 */
        memcpy(p + 28, text, n);
        mock_netif_app_send(m->netif, p, len, NULL);
        pump_interface(m);
}

void machine_send_bulk(Machine *m, Machine *to, unsigned n) {
        size_t len = TCP_HEADERS + (size_t) n * BULK_SEGMENT;
        g_autofree uint8_t *p = g_malloc0(len);
        IpAddr from = machine_address(m), at = machine_address(to);
        OffloadInfo offload = {
                .needs_csum = true,
                .csum_start = 20,
                .csum_offset = 16,
                .gso_type = GSO_TCPV4,
                .gso_size = BULK_SEGMENT,
        };

        write_header(p, len, 6, &from, &at);
        p[32] = 0x50;
        p[33] = 0x10; /* ACK */
        mock_netif_app_send(m->netif, p, len, &offload);
        pump_interface(m);
}

unsigned machine_received_bulk(Machine *m) {
        size_t bytes = 0;
        GBytes *b;

        while ((b = mock_netif_app_received(m->netif, NULL))) {
                size_t len;
                const uint8_t *p = g_bytes_get_data(b, &len);

                if (len > TCP_HEADERS && p[9] == 6)
                        bytes += len - TCP_HEADERS;
                g_bytes_unref(b);
        }
        return (unsigned) (bytes / BULK_SEGMENT);
}

bool machine_received_text(Machine *m, const IpAddr *from, const char *text) {
        bool found = false;
        GBytes *b;

        while ((b = mock_netif_app_received(m->netif, NULL))) {
                size_t len, n = strlen(text);
                const uint8_t *p = g_bytes_get_data(b, &len);

                if (len == 28 + n && p[9] == 17 && memcmp(p + 12, from->bytes, 4) == 0 &&
                    memcmp(p + 28, text, n) == 0)
                        found = true;
                g_bytes_unref(b);
        }
        return found;
}

typedef struct Awaited {
        Machine *to;
        IpAddr from;
        const char *text;
} Awaited;

static bool arrived(void *userdata) {
        Awaited *a = userdata;

        return machine_received_text(a->to, &a->from, a->text);
}

bool machine_reaches(Machine *m, Machine *to, usec_t wait) {
        g_autofree char *text =
                        g_strdup_printf("%s to %s %" PRIu64, m->name, to->name, sim_random(m->sim));
        IpAddr to_address = machine_address(to);
        Awaited a = { .to = to, .from = machine_address(m), .text = text };

        if (!ip_is_set(&a.from) || !ip_is_set(&to_address))
                return false;
        machine_send_text(m, &a.from, &to_address, text);
        return sim_run_until(m->sim, arrived, &a, wait);
}
