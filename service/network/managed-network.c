/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A network of this daemon: the core's network, its row in the store, its interface, its place
 * in the packet thread. */

#include <string.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "config.h"
#include "network/managed-network-internal.h"
#include "network/status.h"

void managed_network_log(const ManagedNetwork *n, int level, const char *id, const char *format, ...) {
        LogContext context = {
                .message_id = id,
                .network = n->stored.membership.name,
                .interface = n->netif ? n->netif->name : NULL,
        };
        g_autofree char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        (void) log_full(level, 0, &context, "%s: %s", n->stored.membership.name, text);
}

/* --- its parts and its state --- */

static ManagedStatus status(const ManagedNetwork *n) {
        ManagedFacts facts = {
                .is_started = n->core != NULL,
                .is_revoked = n->stored.membership.is_revoked,
                .down_reason = n->down_reason,
                .daemon_trouble = n->manager->state_trouble,
                .sockets_trouble = manager_sockets_trouble(n->manager),
                .is_without_sockets = manager_is_without_sockets(n->manager),
                .parts = &n->parts,
        };

        if (n->core) {
                facts.core = network_state(n->core);
                facts.core_reason = network_state_reason(n->core);
        }
        return managed_status(&facts);
}

void managed_network_note_status(ManagedNetwork *n) {
        static const char *const properties[] = { "State", "StateReason", "Interface", NULL };
        ManagedStatus s = status(n);
        g_autofree char *text = managed_status_describe(&s);

        if (g_strcmp0(text, n->status_logged) != 0) {
                managed_network_log(n, LOG_DEBUG, NULL, "%s", text);
                g_free(n->status_logged);
                n->status_logged = g_steal_pointer(&text);
        }
        OBSERVE(n->manager, network_changed, n, properties);
}

static void on_part(void *userdata, const Part *p) {
        ManagedNetwork *n = userdata;

        if (n->core)
                managed_network_note_status(n);
}

void managed_network_log_part(const ManagedNetwork *n, const Part *p, const char *why) {
        switch (p->state) {
        case PART_STOPPED:
        case PART_STARTING:
                break;
        case PART_UP:
                if (why)
                        managed_network_log(n, LOG_WARNING, NULL, "%s: repaired", why);
                break;
        case PART_DEGRADED:
                managed_network_log(n, LOG_WARNING, NULL, "%s", p->reason);
                break;
        case PART_FAILED:
                managed_network_log(
                                n, LOG_ERR, MESSAGE_ID_INTERFACE_UNAVAILABLE,
                                "%s; it is tried again", p->reason);
                break;
        }
}

/* Each stands on those before it. */
static void add_parts(ManagedNetwork *n) {
        const ManagerOptions *options = &n->manager->options;

        part_list_init(&n->parts, on_part, n);
        if (!options->vpn)
                return;
        part_list_add(&n->parts, managed_network_init_addresses(n));
        if (options->user_mode)
                part_list_add(&n->parts, managed_network_init_netstack(n));
        part_list_add(&n->parts, managed_network_init_interface(n));
        if (!options->user_mode)
                part_list_add(&n->parts, managed_network_init_netstack(n));
        part_list_add(&n->parts, managed_network_init_forwarding(n));
        if (options->user_mode)
                return;
        part_list_add(&n->parts, managed_network_init_detour(n));
        part_list_add(&n->parts, managed_network_init_exit(n));
}

int managed_network_start_parts(ManagedNetwork *n, bool insist, ManagerError *error) {
        g_autofree char *reason = NULL;
        int r;

        r = part_list_start(&n->parts, insist, &reason);
        if (r >= 0)
                return 0;
        managed_network_log(n, LOG_ERR, MESSAGE_ID_INTERFACE_UNAVAILABLE, "%s", reason);
        return manager_fail(error, r, "InterfaceUnavailable", "%s", reason);
}

void managed_network_stop_parts(ManagedNetwork *n, bool for_good) {
        part_list_stop(&n->parts, for_good);
}

void managed_network_changed(ManagedNetwork *n, unsigned what) {
        part_list_changed(&n->parts, what);
}

/* --- what the core reports --- */

static char *on_refuse_subnet(void *userdata, Network *core, const IpPrefix *subnet) {
        ManagedNetwork *n = userdata;
        ManagerError e = {};

        if (manager_check_subnet(n->manager, n, subnet, n->any_subnet, &e) >= 0)
                return NULL;
        g_free(e.name);
        return e.message;
}

static int on_joined(void *userdata, Network *core, const Membership *m) {
        ManagedNetwork *n = userdata;
        int r;

        membership_copy(&n->stored.membership, m);
        n->stored.up = true;
        n->stored.created = now_usec(CLOCK_REALTIME);
        r = store_put_network(n->manager->store, &n->stored);
        if (r < 0)
                return r;
        n->is_stored = true;
        managed_network_log(n, LOG_NOTICE, MESSAGE_ID_NETWORK_JOINED, "joined as %s", m->host_name);
        return 0;
}

static const char *const address_properties[] = {
        "Address", "Address6", "Interface", "GatewayAddress", "State", "StateReason", NULL
};
static const char *const members_properties[] = { "Members", "CertificateExpires", "HostName", NULL };

/* Written down at once: it is known after a restart too, whoever said it. */
static void on_revoked(ManagedNetwork *n, Network *core) {
        int r;

        if (n->leave_done)
                return; /* it goes anyway */
        managed_network_log(
                        n, LOG_ERR, MESSAGE_ID_SELF_REVOKED,
                        "%s: 'omerta network leave' forgets it", network_state_reason(core));
        if (n->stored.membership.is_revoked)
                return; /* since before the start */
        membership_copy(&n->stored.membership, network_membership(core));
        r = n->is_stored ? store_put_network(n->manager->store, &n->stored) : 0;
        if (r < 0)
                managed_network_log(
                                n, LOG_ERR, NULL, "cannot store that it is over: %s", g_strerror(-r));
        managed_network_changed(n, PART_CHANGED_ADDRESS);
}

static void on_state(void *userdata, Network *core) {
        ManagedNetwork *n = userdata;
        const char *state = network_state_to_string(network_state(core));

        if (network_state(core) == NETWORK_REVOKED) {
                on_revoked(n, core);
        } else if (network_state(core) == NETWORK_OFFLINE)
                managed_network_log(
                                n, LOG_WARNING, MESSAGE_ID_GATEWAY_UNREACHABLE, "%s",
                                network_state_reason(core));
        else if (g_strcmp0(n->last_logged, state) != 0)
                managed_network_log(n, LOG_INFO, NULL, "%s", state);
        g_free(n->last_logged);
        n->last_logged = g_strdup(state);
        managed_network_note_trouble(n, core);
        managed_network_note_status(n);
}

static void on_address(void *userdata, Network *core) {
        ManagedNetwork *n = userdata;
        IpAddr a = vnet_local_address(network_vnet(core));

        if (ip_is_set(&a))
                managed_network_log(
                                n, LOG_NOTICE, MESSAGE_ID_ADDRESS_OBTAINED, "address %s",
                                ip_format(&a).text);
        else
                managed_network_log(n, LOG_WARNING, MESSAGE_ID_ADDRESS_LOST, "address lost");
        managed_network_changed(n, PART_CHANGED_ADDRESS);
        manager_publish_endpoints(n->manager);
        OBSERVE(n->manager, network_changed, n, address_properties);
}

static void on_machine(void *userdata, Network *core, const MachineId *machine, bool gone) {
        ManagedNetwork *n = userdata;

        managed_network_changed(n, PART_CHANGED_LINK);
        OBSERVE(n->manager, machine_changed, n, machine, gone);
        OBSERVE(n->manager, network_changed, n, members_properties);
}

static void
on_member(void *userdata,
          Network *core,
          const MachineId *machine,
          const Record *certificate,
          const Record *revocation) {
        ManagedNetwork *n = userdata;
        MachineIdText id = machine_id_format(machine), brief = machine_id_format_short(machine);
        LogContext context = {
                .message_id = revocation ? MESSAGE_ID_MEMBER_REVOKED : MESSAGE_ID_MEMBER_JOINED,
                .network = n->stored.membership.name,
                .machine = id.text,
        };
        /* The gateway's administrator let it in or sent it away; everybody else is only told. */
        int level = n->stored.membership.is_gateway ? LOG_NOTICE : LOG_INFO;
        const char *what = "is a member now";

        if (revocation)
                what = revocation->body.revocation.reason == REVOCATION_LEFT ? "has left"
                                                                             : "was removed";
        (void) log_full(level, 0, &context, "%s: %s (%s) %s", n->stored.membership.name,
                        certificate->body.certificate.name, brief.text, what);
        managed_network_changed(n, PART_CHANGED_MEMBER);
}

static void
on_lease(void *userdata, Network *core, const MachineId *machine, const Record *lease, const Record *old) {
        ManagedNetwork *n = userdata;

        managed_network_changed(n, PART_CHANGED_LEASE);
        OBSERVE(n->manager, lease_changed, n, machine, lease, old);
}

static void on_session(void *userdata, Network *core, Session *s) {
        ManagedNetwork *n = userdata;

        if (session_state(s) == SESSION_CLOSED)
                log_debug("%s: session %s with %s: %s", n->stored.membership.name, session_channel(s),
                          machine_id_format(session_machine(s)).text, session_close_reason(s));
        OBSERVE(n->manager, session_changed, n, s);
}

static void
on_pending(void *userdata, Network *core, const MachineId *machine, const char *name, bool pending) {
        ManagedNetwork *n = userdata;

        if (pending)
                managed_network_log(
                                n, LOG_NOTICE, NULL,
                                "%s (%s) asks to be let in: 'omerta network approve %s'", name,
                                machine_id_format_short(machine).text,
                                machine_id_format_short(machine).text);
        OBSERVE(n->manager, approval_requested, n, machine, name, pending);
}

static void on_packets_ready(void *userdata, Network *core, PacketPeer *peer) {
        ManagedNetwork *n = userdata;

        if (n->in_dataplane)
                dataplane_flush_pending(n->manager->dataplane, peer);
}

static void on_exit_changed(void *userdata, Network *core) {
        managed_network_note_exit(userdata);
}

NetworkConfig managed_network_core_config(ManagedNetwork *n) {
        Manager *m = n->manager;
        NetworkConfig c = {
                .env = &m->env,
                .identity = n->identity ?: m->identity,
                .indices = m->indices,
                .relays = m->relays,
                .relay_mode = m->relay_mode,
                .store = &n->store,
                .ciphers = aead_ciphers(),
                .mtu = (uint16_t) managed_network_mtu(n),
                .port = m->port,
                .lan_discovery = managed_network_lan_discovery(n),
                .software = "omerta " OMERTA_VERSION,
                .handler = {
                        .userdata = n,
                        .refuse_subnet = on_refuse_subnet,
                        .joined = on_joined,
                        .sign_by_root = managed_network_sign_by_root,
                        .state_changed = on_state,
                        .address_changed = on_address,
                        .machine_changed = on_machine,
                        .member_changed = on_member,
                        .lease_changed = on_lease,
                        .session_changed = on_session,
                        .exit_changed = on_exit_changed,
                        .pending_changed = on_pending,
                        .packets_ready = on_packets_ready,
                },
        };

        /* Down and up again is a new life, too: others may not have heard of the end. */
        env_random(c.env, c.boot_id, sizeof c.boot_id);
        return c;
}

/* --- life --- */

ManagedNetwork *managed_network_new(Manager *m, const NetworkId *id) {
        ManagedNetwork *n = NEW(ManagedNetwork);

        n->manager = m;
        n->id = *id;
        n->store = store_mesh(m->store, id);
        n->exit.policy = exit_policy_new();
        managed_network_watch_certificate(n);
        add_parts(n);
        g_ptr_array_add(m->networks, n);
        return n;
}

/* What it dropped stays in the daemon's sum. The packet thread has let go of it. */
static void free_core(ManagedNetwork *n) {
        if (n->core)
                drop_counters_add(&n->manager->drops, network_drops(n->core));
        n->core = network_free(n->core);
}

ManagedNetwork *managed_network_free(ManagedNetwork *n) {
        if (!n)
                return NULL;
        if (n->leave_done) {
                ManagerError e = { .name = (char *) "Failed", .message = (char *) "omertad ends" };

                TAKE_PTR(n->leave_done)(n->leave_userdata, NULL, &e);
        }
        if (n->join_done) {
                ManagerError e = { .name = (char *) "Failed", .message = (char *) "omertad ends" };

                TAKE_PTR(n->join_done)(n->join_userdata, NULL, &e);
        }
        timer_clear(&n->forget_timer);
        timer_clear(&n->certificate_timer);
        n->forwards = forwards_free(n->forwards);
        managed_network_stop_parts(n, false);
        free_core(n);
        part_list_done(&n->parts);
        exit_policy_free(n->exit.policy);
        g_free(n->exit.reason);
        identity_free(n->identity);
        store_mesh_done(&n->store);
        g_ptr_array_remove(n->manager->networks, n);
        membership_clear(&n->stored.membership);
        g_free(n->down_reason);
        g_free(n->conflict);
        g_free(n->status_logged);
        g_free(n->last_logged);
        g_free(n);
        return NULL;
}

/* A network made here, or joined by a version that had no other, goes by the machine's key. */
static int load_identity(ManagedNetwork *n, ManagerError *error) {
        int r;

        if (n->identity)
                return 0;
        r = store_load_membership_key(n->manager->store, &n->id, &n->identity);
        if (r < 0 && r != -ENOENT)
                return manager_fail(
                                error, r, "Failed", "cannot read the key of this machine in %s: %s",
                                n->stored.membership.name, g_strerror(-r));
        return 0;
}

/* Starts core and interface of a network that is stored and up. @insist: without an interface it
 * goes on too, and has it made later; else nothing is left then. */
static int start(ManagedNetwork *n, bool insist, ManagerError *error) {
        NetworkConfig c;
        int r;

        r = load_identity(n, error);
        if (r < 0)
                return r;
        c = managed_network_core_config(n);
        r = network_new(&c, &n->stored.membership, &n->core);
        if (r < 0)
                return manager_fail(
                                error, r, "Failed", "cannot start %s: %s", n->stored.membership.name,
                                r == -ENOKEY ? "its certificate is missing in the state "
                                               "directory; leave it and join again"
                                             : g_strerror(-r));
        network_use_exit(n->core, &n->exit_wish);
        /* One that is over needs none. */
        if (network_state(n->core) == NETWORK_REVOKED)
                return 0;
        r = managed_network_start_parts(n, insist, error);
        if (r < 0) {
                n->core = network_free(n->core);
                return r;
        }
        managed_network_changed(n, PART_CHANGED_ADDRESS);
        manager_publish_endpoints(n->manager);
        return 0;
}

int managed_network_load(Manager *m, const StoredNetwork *stored) {
        ManagedNetwork *n = managed_network_new(m, &stored->membership.id);
        ManagerError error = {};
        int r = 0;

        n->stored = *stored;
        n->stored.membership.secret = secret_ref(stored->membership.secret);
        n->is_stored = true;
        managed_network_load_wish(n);
        managed_network_load_exit(n);
        r = load_identity(n, &error);
        if (r >= 0 && stored->up)
                r = start(n, true, &error);
        if (r < 0) {
                managed_network_log(n, LOG_ERR, NULL, "%s", error.message);
                n->down_reason = g_strdup(error.message);
        }
        manager_error_clear(&error);
        managed_network_load_forwards(n);
        return r;
}

/* --- looks --- */

Network *managed_network_core(ManagedNetwork *n) {
        return n->core;
}

Manager *managed_network_manager(ManagedNetwork *n) {
        return n->manager;
}

const Membership *managed_network_membership(const ManagedNetwork *n) {
        return n->core ? network_membership(n->core) : &n->stored.membership;
}

const char *managed_network_state(const ManagedNetwork *n) {
        return status(n).word;
}

const char *managed_network_reason(const ManagedNetwork *n) {
        return status(n).reason;
}

const char *managed_network_interface(const ManagedNetwork *n) {
        return n->netif && !n->manager->options.user_mode ? n->netif->name : "";
}

const MachineId *managed_network_machine_id(const ManagedNetwork *n) {
        return n->identity ? &n->identity->id : &n->manager->identity->id;
}

/* --- acts --- */

static int store_up(ManagedNetwork *n, bool up, ManagerError *error) {
        bool was = n->stored.up;
        int r;

        n->stored.up = up;
        r = store_put_network(n->manager->store, &n->stored);
        if (r < 0)
                n->stored.up = was;
        if (r < 0)
                return manager_fail(error, r, "Failed", "cannot store it: %s", g_strerror(-r));
        return 0;
}

/* Being left takes some seconds, in which the core is needed. */
static int check_not_left(const ManagedNetwork *n, ManagerError *error) {
        return n->leave_done ? manager_fail(error, -EBUSY, "Failed", "%s is being left",
                                            n->stored.membership.name)
                             : 0;
}

int managed_network_up(ManagedNetwork *n, ManagerError *error) {
        int r;

        r = check_not_left(n, error);
        if (r < 0)
                return r;
        if (managed_network_membership(n)->is_revoked)
                return manager_fail(
                                error, -EPERM, "NotPermitted",
                                "this machine is no member of %s any more: 'omerta network leave' "
                                "forgets it, then it can join again with a new invite",
                                n->stored.membership.name);
        if (n->core)
                return 0;
        g_clear_pointer(&n->down_reason, g_free);
        r = start(n, false, error);
        if (r < 0) {
                n->down_reason = g_strdup(error ? error->message : NULL);
                return r;
        }
        r = store_up(n, true, error);
        if (r < 0) {
                /* What is not remembered was not done. */
                managed_network_stop_parts(n, true);
                free_core(n);
                manager_publish_endpoints(n->manager);
        }
        OBSERVE(n->manager, network_changed, n, address_properties);
        return r;
}

int managed_network_down(ManagedNetwork *n, ManagerError *error) {
        int r;

        if (!n->core)
                return 0;
        r = check_not_left(n, error);
        if (r < 0)
                return r;
        if (!n->is_stored)
                return manager_fail(error, -EBUSY, "NotJoined", "the network is about to be joined");
        membership_copy(&n->stored.membership, network_membership(n->core));
        r = store_up(n, false, error);
        if (r < 0)
                return r;
        managed_network_stop_parts(n, true);
        free_core(n);
        manager_publish_endpoints(n->manager);
        OBSERVE(n->manager, network_changed, n, address_properties);
        return 0;
}
