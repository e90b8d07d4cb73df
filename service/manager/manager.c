/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager/manager.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <unistd.h>

#include "base/log-ids.h"
#include "base/log.h"
#include "core/demux.h"
#include "host/rtnl-detour.h"
#include "manager/manager-internal.h"
#include "network/managed-network-internal.h"

/* Messages of the packet thread handled in one turn of the loop, so that the bus stays alive. */
#define DISPATCH_MAX 64U
/* An address change comes as a burst of rtnetlink messages. */
#define ADDRESSES_SETTLE_USEC (300 * USEC_PER_MSEC)
/* What somebody does to an interface of ours is looked at when the script that does it has a pause. */
#define INTERFACES_SETTLE_USEC (100 * USEC_PER_MSEC)

/* Unix time in seconds: the last whose nanoseconds the kernel can count, in the year 2262. */
#define NEVER 9223372036

/* --- errors --- */

int manager_fail(ManagerError *error, int r, const char *name, const char *format, ...) {
        va_list ap;

        if (error) {
                manager_error_clear(error);
                error->name = g_strdup(name);
                va_start(ap, format);
                error->message = g_strdup_vprintf(format, ap);
                va_end(ap);
        }
        return r;
}

void manager_error_clear(ManagerError *e) {
        e->wire = WIRE_ERROR_NONE;
        g_clear_pointer(&e->name, g_free);
        g_clear_pointer(&e->message, g_free);
}

/* --- the world as the core sees it --- */

static usec_t env_clock(void *userdata) {
        return now_usec(CLOCK_BOOTTIME);
}

static usec_t env_wall_clock(void *userdata) {
        return now_usec(CLOCK_REALTIME);
}

/* STA_UNSYNC is cleared by who keeps the clock right, adjtimex(2). */
static bool env_is_synchronised(void *userdata) {
        struct timex t = {};
        int r = adjtimex(&t);

        return r >= 0 && r != TIME_ERROR && !(t.status & STA_UNSYNC);
}

static void env_randombytes(void *userdata, void *buf, size_t n) {
        randombytes_buf(buf, n);
}

static int env_send(void *userdata, const Endpoint *to, const uint8_t *data, size_t len) {
        Manager *m = userdata;

        int r = dataplane_send(m->dataplane, to, data, len);

        if (r < 0) {
                drop_count(&m->drops, DROP_SEND_FAILED);
                if (!endpoint_is_stream(to))
                        manager_socket_send_failed(m, to->sa.sa_family, r);
        }
        return r;
}

static int
env_send_train(void *userdata, const Endpoint *to, const uint8_t *data, size_t len, unsigned n) {
        Manager *m = userdata;

        return dataplane_send_train(m->dataplane, to, data, len, n);
}

/* What leads to @object may be withdrawn by somebody else later in this turn (a revocation: the
 * mesh drops the machine before the virtual network drops its routes), so the packet thread's
 * grace period begins when the turn is over. */
static void env_retire(void *userdata, void *object, void (*destroy)(void *object)) {
        Manager *m = userdata;
        Retired r = { .object = object, .destroy = destroy };

        g_array_append_val(m->retired, r);
}

static void hand_over_retired(Manager *m) {
        for (unsigned i = 0; i < m->retired->len; i++) {
                Retired r = g_array_index(m->retired, Retired, i);

                dataplane_retire(m->dataplane, r.object, r.destroy);
        }
        g_array_set_size(m->retired, 0);
}

/* --- timers: one time source for the whole queue --- */

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Manager *m = userdata;

        timer_queue_run(m->timers, now_usec(CLOCK_BOOTTIME));
        return 0;
}

/* After every turn of the loop: whatever was handled may have set or cleared timers. */
static int on_post(sd_event_source *s, void *userdata) {
        Manager *m = userdata;
        usec_t next = timer_queue_next(m->timers);

        hand_over_retired(m);
        if (next == USEC_INFINITY)
                return sd_event_source_set_enabled(m->timer_source, SD_EVENT_OFF);
        (void) sd_event_source_set_time(m->timer_source, next);
        return sd_event_source_set_enabled(m->timer_source, SD_EVENT_ONESHOT);
}

/* --- what the packet thread hands up --- */

static void on_datagram(void *userdata, uint8_t *data, size_t len, const Endpoint *from) {
        Manager *m = userdata;
        Mesh *meshes[NETWORKS_MAX], *mesh;
        unsigned n_meshes = 0;
        DropReason reason;

        if (len > 0 && data[0] == MESSAGE_BEACON) {
                manager_handle_beacon(m, data, len, from);
                return;
        }
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->core)
                        meshes[n_meshes++] = network_mesh(n->core);
        }
        mesh = demux_handshake(m->indices, meshes, n_meshes, data, len, &reason);
        if (mesh)
                (void) mesh_handle_datagram(mesh, data, len, from);
        else
                drop_count(&m->drops, reason);
        /* It was to be relayed by a number that is not there. */
        if (!mesh && endpoint_is_relayed(from))
                manager_relay_unknown(m, from);
}

static ManagedNetwork *network_of(Manager *m, const Mesh *mesh) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->core && network_mesh(n->core) == mesh)
                        return n;
        }
        return NULL;
}

/* A message may have waited while its network was left: the keypair is still there (it is freed
 * after the messages that mention it), its mesh may not be. */
static void
on_frame(void *userdata, Keypair *kp, const uint8_t *frame, size_t len, const Endpoint *from) {
        Manager *m = userdata;

        if (network_of(m, kp->mesh))
                (void) mesh_handle_frame(kp->mesh, kp, frame, len, from);
        else
                drop_count(&m->drops, DROP_UNKNOWN_INDEX);
}

static void on_arrival(void *userdata, Keypair *kp, const Endpoint *from) {
        if (network_of(userdata, kp->mesh))
                mesh_handle_arrival(kp->mesh, kp, from);
}

static void on_want_session(void *userdata, PacketPeer *peer) {
        ManagedNetwork *n = network_of(userdata, peer->mesh);

        if (n)
                network_want_session(n->core, peer);
}

static void on_sent(void *userdata, PacketPeer *peer) {
        if (network_of(userdata, peer->mesh))
                mesh_packet_sent(peer->mesh, peer);
}

static void on_local_lost(void *userdata, const IpAddr *local) {
        Manager *m = userdata;

        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->core)
                        mesh_forget_local(network_mesh(n->core), local);
        }
}

static void on_relay_unknown(void *userdata, const Endpoint *from) {
        manager_relay_unknown(userdata, from);
}

static void on_stream_ended(void *userdata, const Endpoint *peer) {
        manager_stream_ended(userdata, peer);
}

static void on_echo(void *userdata, Mesh *mesh, uint64_t number) {
        ManagedNetwork *n = network_of(userdata, mesh);

        if (n)
                managed_network_echo_answered(n, number);
}

static void on_failed(void *userdata, Netif *netif, int error) {
        Manager *m = userdata;

        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->netif != netif)
                        continue;
                if (error == -EOPNOTSUPP) {
                        managed_network_log(
                                        n, LOG_WARNING, NULL,
                                        "the kernel takes no merged packets at %s, though it said "
                                        "so: they are written one by one, which is slower",
                                        netif->name);
                        return;
                }
                n->dataplane_failed = true;
                managed_network_changed(n, PART_CHANGED_INTERFACE);
        }
}

static void on_socket_failed(void *userdata, int fd, int error) {
        manager_socket_failed(userdata, fd, error);
}

static int on_dataplane(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Manager *m = userdata;

        (void) dataplane_dispatch(m->dataplane, DISPATCH_MAX);
        return 0;
}

/* --- changes of the machine's addresses --- */

static void on_addresses_settled(void *userdata) {
        Manager *m = userdata;

        manager_retry_sockets(m);
        dataplane_doubt_streams(m->dataplane);
        manager_publish_endpoints(m);
        /* The same router may be another one, or have slept. */
        port_mapper_look(m->port_mapper);
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                managed_network_changed(n, PART_CHANGED_ROUTES);
                if (n->core)
                        network_changed(n->core);
        }
}

void manager_sleep(Manager *m) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->core)
                        network_sleep(n->core);
        }
}

void manager_wake(Manager *m) {
        for (unsigned i = 0; i < m->networks->len; i++)
                managed_network_changed(m->networks->pdata[i], PART_CHANGED_SLEEP);
        manager_lan_woke(m);
        timer_set(m->timers, &m->addresses_timer, now_usec(CLOCK_BOOTTIME), on_addresses_settled, m);
}

static void on_interfaces_settled(void *userdata) {
        Manager *m = userdata;

        for (unsigned i = 0; i < m->networks->len; i++)
                managed_network_changed(m->networks->pdata[i], PART_CHANGED_INTERFACE);
}

static int on_monitor(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Manager *m = userdata;
        unsigned ours[NETWORKS_MAX], n_ours = 0;
        usec_t now = now_usec(CLOCK_BOOTTIME);
        int changed;

        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->netif)
                        ours[n_ours++] = n->netif->ifindex;
        }
        changed = rtnl_monitor_read(fd, ours, n_ours);
        if (changed > 0 && (changed & RTNL_CHANGED_OTHERS))
                timer_set(m->timers, &m->addresses_timer, now + ADDRESSES_SETTLE_USEC,
                          on_addresses_settled, m);
        if (changed > 0 && (changed & RTNL_CHANGED_OURS))
                timer_set(m->timers, &m->interfaces_timer, now + INTERFACES_SETTLE_USEC,
                          on_interfaces_settled, m);
        return 0;
}

/* --- the clock --- */

/* Expires never; ends with ECANCELED when somebody sets the clock (timerfd_create(2)). */
static int arm_clock(int fd) {
        struct itimerspec never = { .it_value.tv_sec = NEVER };

        return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0
                               ? -errno
                               : 0;
}

static int on_clock_set(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        uint64_t n;

        (void) !read(fd, &n, sizeof n);
        (void) arm_clock(fd);
        manager_wake(userdata);
        return 0;
}

/* Where the kernel does not tell, each network looks once a minute. */
static int watch_clock(Manager *m) {
        int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC), r;

        if (fd < 0)
                return -errno;
        r = arm_clock(fd);
        if (r >= 0)
                r = sd_event_add_io(m->event, &m->clock_source, fd, EPOLLIN, on_clock_set, m);
        if (r >= 0)
                return sd_event_source_set_io_fd_own(m->clock_source, true);
        close(fd);
        return r;
}

/* --- life --- */

static int open_state(Manager *m) {
        g_autofree char *message = NULL;
        int r;

        r = store_open(m->options.state_dir, &m->store, &message);
        if (r >= 0)
                r = store_load_identity(m->store, &m->identity, &message);
        if (r < 0) {
                LogContext context = { .message_id = MESSAGE_ID_STATE_DAMAGED };

                log_full(LOG_ERR, r, &context, "%s", message ?: "the state directory cannot be used");
        }
        return r;
}

static int setup_loop(Manager *m) {
        int r;

        r = sd_event_add_time(
                        m->event, &m->timer_source, CLOCK_BOOTTIME, 0, USEC_PER_MSEC, on_timer, m);
        if (r < 0)
                return r;
        r = sd_event_add_post(m->event, &m->post_source, on_post, m);
        if (r < 0)
                return r;
        r =
                        sd_event_add_io(m->event, &m->dataplane_source, dataplane_fd(m->dataplane),
                                        EPOLLIN, on_dataplane, m);
        if (r < 0)
                return r;
        r = watch_clock(m);
        if (r < 0)
                return r;
        m->monitor_fd = rtnl_monitor_open();
        if (m->monitor_fd < 0)
                return m->monitor_fd;
        return sd_event_add_io(m->event, &m->monitor_source, m->monitor_fd, EPOLLIN, on_monitor, m);
}

static int setup_dataplane(Manager *m) {
        DataplaneConfig config = {
                .indices = m->indices,
                .drops = &m->drops,
                .relays = m->relays,
                .no_trains = m->options.no_trains,
                .no_merging = m->options.no_merging,
                .handler = {
                        .userdata = m,
                        .datagram = on_datagram,
                        .frame = on_frame,
                        .arrival = on_arrival,
                        .want_session = on_want_session,
                        .echo = on_echo,
                        .local_lost = on_local_lost,
                        .sent = on_sent,
                        .relay_unknown = on_relay_unknown,
                        .stream_ended = on_stream_ended,
                        .failed = on_failed,
                        .socket_failed = on_socket_failed,
                },
        };
        Cipher cipher;

        randombytes_buf(&config.echo_secret, sizeof config.echo_secret);
        cipher = aead_choose(aead_ciphers());

        m->cipher = g_strdup_printf(
                        "%s (%s)", cipher_to_string(cipher), aead_backend_for(cipher)->name);
        return dataplane_new(&config, &m->dataplane);
}

/* Also puts back what a daemon that was killed has left. */
static void open_forwarding(Manager *m) {
        g_autofree char *note = forwarding_note(m->options.runtime_dir ?: m->options.state_dir);

        m->forwarding = forwarding_new(m->rtnl, note);
}

int manager_new(sd_event *event, const ManagerOptions *options, Manager **ret) {
        Manager *m = NEW(Manager);
        int r;

        m->options = *options;
        m->started = now_usec(CLOCK_REALTIME);
        m->interface = g_strdup(options->interface ?: "omerta0");
        m->netstack = options->user_mode ? options->netstack : NETSTACK_TUN;
        m->netstack_reason = g_strdup("no network is up");
        m->event = sd_event_ref(event);
        m->monitor_fd = -EBADF;
        m->networks = g_ptr_array_new();
        m->observers = g_array_new(FALSE, FALSE, sizeof(ManagerObserver));
        m->passed = g_array_new(FALSE, TRUE, sizeof(PassedFd));
        m->timers = timer_queue_new();
        m->retired = g_array_new(FALSE, TRUE, sizeof(Retired));
        m->indices = index_table_new();
        m->lookup = name_lookup_new(event, NULL);
        m->env = (MeshEnv){
                .userdata = m,
                .timers = m->timers,
                .now = env_clock,
                .realtime = env_wall_clock,
                .is_synchronised = env_is_synchronised,
                .random = env_randombytes,
                .send = env_send,
                .send_train = env_send_train,
                .multicast = manager_multicast,
                .probes = &m->probes,
                .resolver = name_lookup_resolver(m->lookup),
                .retire = env_retire,
        };
        manager_init_sockets(m);
        for (unsigned i = 0; i < TCP_LISTENERS_MAX; i++)
                m->tcp_fd[i] = -EBADF;

        r = manager_take_passed_fds(m);
        if (r >= 0)
                r = open_state(m);
        if (r >= 0)
                manager_watch_state(m);
        if (r >= 0)
                r = manager_load_relay(m);
        if (r >= 0)
                r = rtnl_open(&m->rtnl);
        if (r >= 0 && !options->user_mode)
                open_forwarding(m);
        if (r >= 0)
                r = setup_dataplane(m);
        if (r >= 0)
                r = manager_open_sockets(m);
        /* What a former life left: it was killed. The port is ours now, so nobody else needs it. */
        if (r >= 0 && !options->user_mode)
                (void) rtnl_detour_clear(m->rtnl);
        if (r >= 0)
                r = manager_open_tcp_port(m);
        if (r >= 0)
                r = setup_loop(m);
        if (r >= 0)
                r = manager_open_lan(m);
        if (r >= 0)
                r = manager_open_proxy(m);
        if (r >= 0)
                r = manager_open_port_mapping(m);
        if (r < 0) {
                manager_free(m);
                return r;
        }
        *ret = m;
        return 0;
}

Manager *manager_free(Manager *m) {
        if (!m)
                return NULL;
        g_array_set_size(m->observers, 0);
        m->port_mapper = port_mapper_free(m->port_mapper);
        m->proxy = proxy_server_free(m->proxy);
        while (m->networks->len > 0)
                managed_network_free(m->networks->pdata[m->networks->len - 1]);
        g_ptr_array_unref(m->networks);
        if (m->dataplane) {
                hand_over_retired(m);
                manager_close_tcp_port(m);
                manager_close_sockets(m);
        }
        m->timer_source = sd_event_source_disable_unref(m->timer_source);
        m->post_source = sd_event_source_disable_unref(m->post_source);
        m->dataplane_source = sd_event_source_disable_unref(m->dataplane_source);
        m->monitor_source = sd_event_source_disable_unref(m->monitor_source);
        m->clock_source = sd_event_source_disable_unref(m->clock_source);
        manager_close_lan(m);
        name_lookup_free(m->lookup);
        dataplane_free(m->dataplane);
        closep(&m->monitor_fd);
        manager_close_passed_fds(m);
        g_array_unref(m->passed);
        forwarding_free(m->forwarding);
        rtnl_close(m->rtnl);
        manager_unwatch_state(m);
        timer_clear(&m->addresses_timer);
        timer_clear(&m->interfaces_timer);
        timer_queue_free(m->timers);
        g_array_unref(m->retired);
        g_array_unref(m->observers);
        index_table_free(m->indices);
        relay_table_free(m->relays);
        identity_free(m->identity);
        store_close(m->store);
        sd_event_unref(m->event);
        g_free(m->cipher);
        g_free(m->netstack_reason);
        g_free(m->interface);
        g_free(m);
        return NULL;
}

static void load_one(void *userdata, const StoredNetwork *stored) {
        (void) managed_network_load(userdata, stored);
}

int manager_start(Manager *m) {
        int r;

        r = store_foreach_network(m->store, load_one, m);
        if (r < 0)
                return log_error_errno(r, "cannot read the networks from the state directory: %m");
        manager_publish_endpoints(m);
        /* Interfaces of networks that are no more. */
        manager_close_passed_fds(m);
        return 0;
}

/* --- looks --- */

const MachineId *manager_machine_id(const Manager *m) {
        return &m->identity->id;
}

uint16_t manager_port(const Manager *m) {
        return m->port;
}

const ManagerOptions *manager_options(const Manager *m) {
        return &m->options;
}

void manager_drops(Manager *m, DropCounters *ret) {
        *ret = (DropCounters){};
        drop_counters_add(ret, &m->drops);
        drop_count_n(ret, DROP_SOCKET_FULL, manager_socket_drops(m));
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->core)
                        drop_counters_add(ret, network_drops(n->core));
        }
}

int manager_backup(Manager *m, int *ret_fd, ManagerError *error) {
        int r;

        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                /* What may be lost without harm; a copy is better with it. */
                if (n->core)
                        (void) directory_flush(network_directory(n->core));
        }
        r = store_backup(m->store, ret_fd);
        if (r < 0)
                return manager_fail(error, r, "Failed", "cannot make a backup: %s", g_strerror(-r));
        log_notice("a backup was made: whoever has it is this machine");
        return 0;
}

const MeshEnv *manager_env(const Manager *m) {
        return &m->env;
}

const char *manager_cipher(const Manager *m) {
        return m->cipher;
}

NetstackEngine manager_netstack(const Manager *m) {
        return m->netstack;
}

const char *manager_netstack_reason(const Manager *m) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                const ManagedNetwork *n = m->networks->pdata[i];

                if (n->netstack && netstack_trouble(n->netstack))
                        return netstack_trouble(n->netstack);
        }
        return m->netstack_reason;
}

unsigned manager_n_networks(const Manager *m) {
        return m->networks->len;
}

ManagedNetwork *manager_network(const Manager *m, unsigned i) {
        return m->networks->pdata[i];
}

int manager_find_network(const Manager *m, const char *text, ManagedNetwork **ret) {
        ManagedNetwork *found = NULL;

        if (m->networks->len == 0)
                return -ENOTCONN;
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                /* A name is exact and goes before prefixes of ids. */
                if (*text && strcmp(managed_network_membership(n)->name, text) == 0) {
                        *ret = n;
                        return 0;
                }
                if (*text && !machine_id_has_prefix(&n->id, text))
                        continue;
                if (found)
                        return -ENOTUNIQ;
                found = n;
        }
        if (!found)
                return -ENOENT;
        *ret = found;
        return 0;
}

void manager_add_hint(Manager *m, const MachineId *machine, const Endpoint *endpoint) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->core)
                        mesh_add_hint(network_mesh(n->core), machine, endpoint);
        }
}

void manager_add_name(Manager *m, const MachineId *machine, const HostPort *name) {
        for (unsigned i = 0; i < m->networks->len; i++) {
                ManagedNetwork *n = m->networks->pdata[i];

                if (n->core)
                        mesh_set_names(network_mesh(n->core), machine, name, 1);
        }
}
