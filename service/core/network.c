/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/network-internal.h"

#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/kdf.h"
#include "core/mesh/gossip/neighbours.h"

/* After a start, until it is worth a warning that nobody answers. Several handshakes fit in. */
#define LOOK_USEC (10 * USEC_PER_SEC)

/* A link nobody asks anything by may have been cut long ago: neighbours are asked after this, and
 * twice for 3 s. Others, silent for longer, are no sign that anybody answers. */
#define QUIET_USEC (NEIGHBOUR_KEEPALIVE_USEC + 10 * USEC_PER_SEC)

/* Leaving, until some member has taken it down: a handshake and a few retransmissions. */
#define LEAVE_USEC (5 * USEC_PER_SEC)

static void on_looked(void *userdata) {
        network_update_state(userdata);
}

static void update_address(Network *n) {
        IpAddr address = vnet_local_address(n->vnet);

        if (!ip_equal(&address, &n->address)) {
                n->address = address;
                CALL(n, address_changed);
        }
        network_update_state(n);
        if (ip_is_set(&address))
                network_join_finish(n, WIRE_ERROR_NONE, NULL);
}

/* --- what the parts report --- */

static void
on_record(void *userdata,
          RecordKind kind,
          const MachineId *machine,
          const Record *record,
          const Record *old) {
        Network *n = userdata;

        if (!n->is_member)
                return;
        if (kind == RECORD_LEASE) {
                CALL(n, lease_changed, machine, record, old);
                network_watch_lease(n, record);
                update_address(n);
        }
        if (machine_id_equal(machine, &n->config.identity->id) && kind == RECORD_CERTIFICATE &&
            record) {
                /* Renewed: show the new one in handshakes, and take the name it gives us. */
                g_strlcpy(n->membership.host_name, record->body.certificate.name,
                          sizeof n->membership.host_name);
                mesh_set_membership(
                                n->mesh, (Record *) record,
                                directory_issuer(n->directory, &record->signer),
                                n->membership.secret);
                network_update_state(n);
                if (n->lease_client)
                        lease_client_kick(n->lease_client);
        }
        if (kind == RECORD_CERTIFICATE && record && !old)
                CALL(n, member_changed, machine, record, NULL);
        else if (kind == RECORD_CERTIFICATE && !record && directory_is_revoked(n->directory, machine))
                CALL(n, member_changed, machine, old,
                     directory_get(n->directory, RECORD_REVOCATION, machine));
        if (kind != RECORD_LEASE)
                network_exit_record_changed(n, machine);
        /* A gateway may be alone now, or have been. */
        if (kind == RECORD_CERTIFICATE && n->membership.is_gateway && !record != !old)
                network_update_state(n);
        CALL(n, machine_changed, machine,
             kind == RECORD_REVOCATION || (kind == RECORD_CERTIFICATE && !record));
}

static void on_link_state(void *userdata, const MachineId *machine, LinkState state, bool restarted) {
        Network *n = userdata;

        if (state == LINK_UP && n->farewell)
                (void) mesh_tell(n->mesh, n->farewell);
        if (state == LINK_UP && n->lease_client && machine_id_equal(machine, &n->membership.gateway))
                lease_client_kick(n->lease_client);
}

typedef struct LinkCount {
        usec_t now;
        unsigned up;
        usec_t until; /* then fewer, if nobody is heard */
} LinkCount;

static void count_link(void *userdata, const MeshLinkInfo *info) {
        usec_t until = usec_add(info->last_received, QUIET_USEC);
        LinkCount *c = userdata;

        if (info->state != LINK_UP || until <= c->now)
                return;
        c->up++;
        c->until = MIN(c->until, until);
}

static void count_links(Network *n);

static void on_quiet(void *userdata) {
        Network *n = userdata;

        count_links(n);
        network_update_state(n);
}

static void count_links(Network *n) {
        LinkCount c = { .now = env_now(n->env), .until = USEC_INFINITY };

        mesh_foreach_link(n->mesh, count_link, &c);
        n->links_up = c.up;
        if (c.until == USEC_INFINITY)
                timer_clear(&n->quiet_timer);
        else
                timer_set(n->env->timers, &n->quiet_timer, c.until, on_quiet, n);
}

static void on_link_changed(void *userdata, const MachineId *machine) {
        Network *n = userdata;
        PacketPeer *peer;

        if (!n->is_member)
                return;
        count_links(n);
        network_update_state(n);
        peer = mesh_packet_peer(n->mesh, machine);
        if (peer && atomic_load_explicit(&peer->tx, memory_order_relaxed))
                CALL(n, packets_ready, peer);
        network_exit_link_changed(n, machine);
        CALL(n, machine_changed, machine, false);
}

/* --- the clock --- */

static void on_clock_timer(void *userdata) {
        Network *n = userdata;

        if (n->is_member && n->state != NETWORK_REVOKED)
                (void) network_clock_changed(n);
}

/* From within whatever heard of it. */
static void on_clock(void *userdata) {
        Network *n = userdata;

        timer_set(n->env->timers, &n->clock_timer, env_now(n->env), on_clock_timer, n);
}

NetworkRepair network_clock_changed(Network *n) {
        NetworkRepair done = {};
        EnrolRepair e = {};

        mesh_clock_changed(n->mesh);
        if (n->enrol_service)
                e = enrol_service_clock_changed(n->enrol_service);
        if (n->lease_service)
                done.leases = lease_service_clock_changed(n->lease_service);
        if (n->cert_client)
                cert_client_kick(n->cert_client);
        if (n->lease_client)
                lease_client_kick(n->lease_client);
        network_renew_by_root(n);
        network_look_at_leases(n);
        network_update_state(n);
        done.certificates = e.certificates;
        done.invites = e.invites;
        return done;
}

NetworkRepair network_repair_time(Network *n) {
        wall_clock_trust(directory_clock(n->directory));
        return network_clock_changed(n);
}

static void on_certificate_answer(void *userdata) {
        network_update_state(userdata);
}

/* --- leaving --- */

static void on_left(void *userdata) {
        Network *n = userdata;
        NetworkLeft left = TAKE_PTR(n->left);

        if (left)
                left(n->left_userdata, n, n->told);
}

/* Not from within what led here: the caller frees us. */
static void leave_finish(Network *n, bool told) {
        n->told = told;
        g_clear_pointer(&n->farewell, record_unref);
        timer_set(n->env->timers, &n->leave_timer, env_now(n->env), on_left, n);
}

static void on_leave_timeout(void *userdata) {
        leave_finish(userdata, false);
}

static const char *revoked_reason(const Network *n) {
        const Record *r = directory_get(n->directory, RECORD_REVOCATION, &n->config.identity->id);

        return r && r->body.revocation.reason == REVOCATION_LEFT
                               ? "this machine has left the network"
                               : "this machine was removed from the network";
}

static void on_revoked(void *userdata) {
        Network *n = userdata;

        if (n->sessions)
                session_pool_stop(n->sessions);
        /* So that the next start knows as well; should the disk fail, it is tried again. */
        (void) directory_flush(n->directory);
        n->membership.is_revoked = true;
        network_set_state(n, NETWORK_REVOKED, revoked_reason(n));
        network_join_finish(n, WIRE_ERROR_NOT_PERMITTED, revoked_reason(n));
        if (n->farewell)
                leave_finish(n, true);
}

static void on_packet(void *userdata, PacketPeer *peer, uint8_t flags, uint8_t *packet, size_t len) {
        Network *n = userdata;

        CALL(n, packet, peer, flags, packet, len);
}

static void on_session_changed(void *userdata, Session *s) {
        Network *n = userdata;
        PacketPeer *peer;

        if (session_state(s) == SESSION_ACTIVE &&
            strcmp(session_channel(s), SESSION_CHANNEL_PACKETS) == 0) {
                peer = mesh_packet_peer(n->mesh, session_machine(s));
                if (peer)
                        CALL(n, packets_ready, peer);
        }
        CALL(n, session_changed, s);
}

static void on_lease(void *userdata, WireError error, const Record *lease) {
        Network *n = userdata;

        n->lease_error = error;
        update_address(n);
        /* An empty pool will not fill within the time somebody waits for a join. */
        if (error == WIRE_ERROR_POOL_EMPTY)
                network_join_finish(n, error, NULL);
}

static void on_pending(void *userdata, const MachineId *machine, const char *name, bool pending) {
        Network *n = userdata;

        CALL(n, pending_changed, machine, name, pending);
}

static int on_sign_by_root(void *userdata, const RecordBody *body, Record **ret) {
        Network *n = userdata;
        const NetworkHandler *h = &n->config.handler;

        return h->sign_by_root ? h->sign_by_root(h->userdata, n, body, ret) : -ENOENT;
}

static PacketPeer *get_packet_peer(void *userdata, const MachineId *machine) {
        Network *n = userdata;

        return mesh_packet_peer(n->mesh, machine);
}

/* --- making --- */

void network_set_inside(Network *n, const PrefixSet *others) {
        IpPrefix ula = ula_prefix(&n->membership.id);
        PrefixSet inside = {};

        n->others_inside = *others;
        prefix_set_add(&inside, &ula.addr, ula.len);
        /* Not known before the welcome. */
        if (ip_is_set(&n->membership.subnet.addr))
                prefix_set_add(&inside, &n->membership.subnet.addr, n->membership.subnet.len);
        for (unsigned i = 0; i < others->n; i++)
                prefix_set_add(&inside, &others->prefix[i].addr, others->prefix[i].len);
        mesh_set_inside(n->mesh, &inside);
}

int network_alloc(const NetworkConfig *config, const Membership *m, Network **ret) {
        Network *n = NEW(Network);
        int r;

        n->config = *config;
        n->env = config->env;
        membership_copy(&n->membership, m);
        network_exit_init(n);
        n->state = NETWORK_JOINING;
        r = directory_new(&m->id, config->env, config->store, &n->directory);
        if (r >= 0) {
                MeshConfig mc = {
                        .network = m->id,
                        .identity = config->identity,
                        .indices = config->indices,
                        .drops = &n->drops,
                        .directory = n->directory,
                        .store = config->store,
                        .ciphers = config->ciphers,
                        .mtu = config->mtu,
                        .port = config->port,
                        .software = config->software,
                        .relays = config->relays,
                        .relay_mode = config->relay_mode,
                        .handler = {
                                .userdata = n,
                                .packet = config->handler.packet ? on_packet : NULL,
                                .revoked = on_revoked,
                                .link_changed = on_link_changed,
                        },
                };

                memcpy(mc.boot_id, config->boot_id, sizeof mc.boot_id);
                r = mesh_new(config->env, &mc, &n->mesh);
                if (r >= 0)
                        mesh_set_lan_discovery(n->mesh, config->lan_discovery);
        }
        if (r < 0) {
                network_free(n);
                return r;
        }
        network_set_inside(n, &(PrefixSet){});
        if (m->n_names > 0)
                network_set_names(n, m->names, m->n_names);
        *ret = n;
        return 0;
}

static int start_gateway(Network *n) {
        const Membership *m = &n->membership;
        EnrolServiceConfig ec = {
                .mesh = n->mesh,
                .directory = n->directory,
                .env = n->env,
                .store = n->config.store,
                .issuer = n->config.identity,
                .network = m->id,
                .network_name = m->name,
                .subnet = m->subnet,
                .secret = m->secret,
                .max_absence = m->max_absence,
                .grace = m->grace,
                .pending_changed = on_pending,
                .sign_by_root = on_sign_by_root,
                .userdata = n,
        };
        LeaseServiceConfig lc = {
                .provider = mesh_channels(n->mesh),
                .env = n->env,
                .directory = n->directory,
                .issuer = n->config.identity,
                .network = m->id,
                .subnet = m->subnet,
                .lifetime = n->config.lease_lifetime,
        };
        int r;

        r = enrol_service_new(&ec, &n->enrol_service);
        if (r < 0)
                return r;
        network_renew_by_root(n);
        r = lease_service_new(&lc, &n->lease_service);
        if (r < 0)
                return r;
        return lease_service_take_gateway_address(
                        n->lease_service, &n->config.identity->id, m->host_name);
}

static int start_member(Network *n) {
        LeaseClientConfig lc = {
                .provider = mesh_channels(n->mesh),
                .env = n->env,
                .directory = n->directory,
                .self = n->config.identity->id,
                .name = n->membership.host_name,
                .changed = on_lease,
                .userdata = n,
        };
        int r;

        r = cert_client_new(n->mesh, n->directory, n->env, &n->config.identity->id, &n->cert_client);
        if (r < 0)
                return r;
        cert_client_on_changed(n->cert_client, on_certificate_answer, n);
        r = lease_client_new(&lc, &n->lease_client);
        if (r < 0)
                return r;
        lease_client_set_gateway(n->lease_client, &n->membership.gateway);
        return 0;
}

/* Everything a member has besides links: our certificate is in the directory. */
int network_start(Network *n) {
        const MachineId *self = &n->config.identity->id;
        Record *certificate = directory_certificate(n->directory, self);
        VnetConfig vc = {
                .network = n->membership.id,
                .self = *self,
                .subnet = n->membership.subnet,
                .env = n->env,
                .directory = n->directory,
                .packet_peer = get_packet_peer,
                .userdata = n,
        };
        int r;

        network_set_inside(n, &n->others_inside);
        if (n->membership.is_revoked || directory_is_revoked(n->directory, self)) {
                n->membership.is_revoked = true;
                network_set_state(n, NETWORK_REVOKED, revoked_reason(n));
                return 0;
        }
        if (!certificate)
                return -ENOKEY;
        g_strlcpy(n->membership.host_name, certificate->body.certificate.name,
                  sizeof n->membership.host_name);
        mesh_set_membership(
                        n->mesh, certificate, directory_issuer(n->directory, &certificate->signer),
                        n->membership.secret);
        r = vnet_new(&vc, &n->vnet);
        if (r < 0)
                return r;
        r = session_pool_new(mesh_channels(n->mesh), n->config.sessions, &n->sessions);
        if (r < 0)
                return r;
        session_pool_on_changed(n->sessions, on_session_changed, n);
        r = session_pool_start(n->sessions);
        if (r < 0)
                return r;
        n->is_member = true;
        timer_set(n->env->timers, &n->look_timer, usec_add(env_now(n->env), LOOK_USEC), on_looked, n);
        directory_observe(n->directory, on_record, n);
        mesh_channels(n->mesh)->ops->on_link_state(mesh_channels(n->mesh)->self, on_link_state, n);
        r = n->membership.is_gateway ? start_gateway(n) : start_member(n);
        if (r < 0)
                return r;
        wall_clock_on_changed(directory_clock(n->directory), on_clock, n);
        n->looked = directory_realtime(n->directory);
        network_look_at_leases(n);
        network_exit_start(n);
        update_address(n);
        return 0;
}

int network_new(const NetworkConfig *config, const Membership *m, Network **ret) {
        Network *n;
        int r;

        r = network_alloc(config, m, &n);
        if (r < 0)
                return r;
        r = network_start(n);
        if (r < 0) {
                network_free(n);
                return r;
        }
        *ret = n;
        return 0;
}

static Secret *new_secret(const MeshEnv *env) {
        uint8_t bytes[SECRET_SIZE];
        Secret *s;

        env_random(env, bytes, sizeof bytes);
        s = secret_new(bytes);
        sodium_memzero(bytes, sizeof bytes);
        return s;
}

int network_create(const NetworkConfig *config, const Identity *root, Membership *m, Network **ret) {
        g_autoptr(Record) certificate = NULL;
        Network *n;
        int r;

        m->id = root->id;
        m->gateway = config->identity->id;
        m->is_gateway = true;
        m->secret = new_secret(config->env);
        r = enrol_make_gateway_certificate(
                        root, &config->identity->id, m->host_name, m->owner,
                        env_realtime(config->env), &certificate);
        if (r < 0)
                return r;
        r = network_alloc(config, m, &n);
        if (r < 0)
                return r;
        r = directory_offer(n->directory, certificate, true, NULL);
        if (r >= 0)
                r = r == DIRECTORY_NEWS ? network_start(n) : -EBADMSG;
        if (r < 0) {
                network_free(n);
                return r;
        }
        *ret = n;
        return 0;
}

Network *network_free(Network *n) {
        if (!n)
                return NULL;
        timer_clear(&n->join_timer);
        timer_clear(&n->quiet_timer);
        timer_clear(&n->look_timer);
        timer_clear(&n->expiry_timer);
        timer_clear(&n->trouble_timer);
        timer_clear(&n->root_timer);
        timer_clear(&n->clock_timer);
        if (n->directory)
                wall_clock_on_changed(directory_clock(n->directory), NULL, NULL);
        timer_clear(&n->leave_timer);
        n->join_done = NULL;
        g_clear_pointer(&n->farewell, record_unref);
        /* Nothing below is worth reporting any more. */
        n->config.handler = (NetworkHandler){};
        enrol_client_free(n->enrol_client);
        if (n->directory && n->is_member)
                directory_unobserve(n->directory, on_record, n);
        n->is_member = false;
        lease_client_free(n->lease_client);
        cert_client_free(n->cert_client);
        lease_service_free(n->lease_service);
        enrol_service_free(n->enrol_service);
        session_pool_free(n->sessions);
        vnet_free(n->vnet);
        mesh_free(n->mesh);
        if (n->directory)
                (void) directory_flush(n->directory);
        directory_free(n->directory);
        network_exit_done(n);
        g_free(n->reason);
        membership_clear(&n->membership);
        g_free(n);
        return NULL;
}

/* --- looks --- */

const Membership *network_membership(const Network *n) {
        return &n->membership;
}

NetworkState network_state(const Network *n) {
        return n->state;
}

const char *network_state_reason(const Network *n) {
        return n->reason;
}

NetworkTrouble network_trouble(const Network *n) {
        return n->trouble;
}

void network_set_policy(Network *n, usec_t max_absence, usec_t grace) {
        n->membership.max_absence = max_absence;
        n->membership.grace = grace;
        if (n->enrol_service)
                enrol_service_set_policy(n->enrol_service, max_absence, grace);
}

void network_set_names(Network *n, const HostPort *names, unsigned n_names) {
        Membership *m = &n->membership;

        if (n_names > 0)
                memmove(m->names, names, n_names * sizeof names[0]);
        m->n_names = n_names;
        if (!m->is_gateway)
                mesh_set_names(n->mesh, &m->gateway, m->names, n_names);
}

void network_set_name(Network *n, const char *name) {
        g_strlcpy(n->membership.name, name, sizeof n->membership.name);
        if (n->enrol_service)
                enrol_service_set_name(n->enrol_service, name);
}

int network_rename(Network *n, const MachineId *machine, const char *name) {
        int r = enrol_service_rename(n->enrol_service, machine, name);

        /* Where that fails, its next lease has it. */
        if (r >= 0)
                (void) lease_service_renamed(n->lease_service, machine);
        return r;
}

bool network_is_member(const Network *n) {
        return n->is_member;
}

Mesh *network_mesh(Network *n) {
        return n->mesh;
}

Directory *network_directory(Network *n) {
        return n->directory;
}

SessionPool *network_sessions(Network *n) {
        return n->sessions;
}

Vnet *network_vnet(Network *n) {
        return n->vnet;
}

EnrolService *network_enrol_service(Network *n) {
        return n->enrol_service;
}

DropCounters *network_drops(Network *n) {
        return &n->drops;
}

/* --- acts --- */

void network_want_session(Network *n, PacketPeer *peer) {
        ChannelProvider *p = mesh_channels(n->mesh);
        Session *s;

        atomic_store_explicit(&peer->wanted, false, memory_order_release);
        if (!n->is_member || n->state == NETWORK_REVOKED)
                return;
        if (session_pool_get(n->sessions, &peer->id, SESSION_CHANNEL_PACKETS, &s) < 0)
                return; /* a limit: its packets expire, and their senders are told */
        /* The session may be there while its keys are gone: an idle link expires quietly. */
        if (!atomic_load_explicit(&peer->tx, memory_order_relaxed))
                (void) p->ops->connect(p->self, &peer->id);
        else
                CALL(n, packets_ready, peer);
}

void network_sleep(Network *n) {
        mesh_sleep(n->mesh);
}

void network_changed(Network *n) {
        wall_clock_look(directory_clock(n->directory));
        if (n->cert_client)
                cert_client_kick(n->cert_client);
        mesh_network_changed(n->mesh);
        if (n->sessions)
                session_pool_network_changed(n->sessions);
        if (n->lease_client)
                lease_client_kick(n->lease_client);
        network_renew_by_root(n);
        network_look_at_leases(n);
        network_update_state(n);
}

/* Return: 0 and our word that we leave, or negative errno. */
static int sign_farewell(Network *n) {
        RecordBody body = {
                .kind = RECORD_REVOCATION,
                .machine = n->config.identity->id,
                .version = directory_realtime(n->directory),
                .revocation.reason = REVOCATION_LEFT,
        };

        return identity_sign_record(n->config.identity, &n->membership.id, &body, &n->farewell);
}

void network_leave(Network *n, NetworkLeft done, void *userdata) {
        const ChannelProvider *p = mesh_channels(n->mesh);

        n->left = done;
        n->left_userdata = userdata;
        /* Without its issuer a network ends with its certificates, and not before. */
        if (!n->is_member || n->state == NETWORK_REVOKED || n->membership.is_gateway ||
            sign_farewell(n) < 0) {
                leave_finish(n, n->state == NETWORK_REVOKED);
                return;
        }
        timer_set(n->env->timers, &n->leave_timer, usec_add(env_now(n->env), LEAVE_USEC),
                  on_leave_timeout, n);
        if (mesh_tell(n->mesh, n->farewell) == 0)
                (void) p->ops->connect(p->self, &n->membership.gateway);
}
