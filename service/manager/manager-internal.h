/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inside of the aggregate, for manager/ and network/. */

#include "dataplane/dataplane.h"
#include "host/rtnl.h"
#include "manager/manager.h"
#include "netif/netif.h"
#include "network/part.h"
#include "proxy/forward.h"
#include "proxy/server.h"
#include "store/store.h"

/* An fd systemd passed and nobody has claimed yet. */
typedef struct PassedFd {
        char *name;
        int fd;
} PassedFd;

typedef struct Retired {
        void *object;
        void (*destroy)(void *object);
} Retired;

typedef struct ManagerDialer {
        ProxyDialer ops;
        Manager *manager;
        ManagedNetwork *only; /* NULL: any network */
} ManagerDialer;

struct Manager {
        ManagerOptions options;
        char *interface;

        sd_event *event;
        sd_event_source *timer_source, *post_source, *dataplane_source, *monitor_source;
        sd_event_source *clock_source; /* the clock was set */

        Store *store;
        char *state_trouble; /* why it cannot be written, a sentence; NULL: it can */
        Timer state_timer, state_told_timer; /* to look again; to say so */
        Identity *identity;
        uint8_t boot_id[BOOT_ID_SIZE];
        char *cipher;
        NetstackEngine netstack;
        char *netstack_reason;

        TimerQueue *timers;
        MeshEnv env;
        IndexTable *indices;
        Dataplane *dataplane;
        DropCounters drops;       /* of no network, or of one that is gone */
        uint32_t socket_drops[2]; /* the kernel's at socket4 and socket6 when we began */
        GArray *retired; /* of Retired: handed to the packet thread when this turn is over */

        Rtnl *rtnl;
        int monitor_fd;
        Timer addresses_timer;  /* gathers bursts of rtnetlink changes */
        Timer interfaces_timer; /* the same, of our own interfaces */

        GArray *passed; /* of PassedFd */
        int socket4, socket6;
        uint16_t port;

        GPtrArray *networks; /* of ManagedNetwork */
        ProxyServer *proxy;  /* NULL: none */
        ManagerDialer proxy_dialer;
        GArray *observers; /* of ManagerObserver; without userdata: a free place */
};

struct ManagedNetwork {
        Manager *manager;
        MeshStore store;
        NetworkId id;
        StoredNetwork stored; /* as on disk, once a member */
        bool is_stored;
        Identity *identity; /* ours in this network alone; NULL: the machine's */
        Network *core;      /* NULL while down */
        Netif *netif;
        Netstack *netstack;   /* while there is an interface; user mode: owns it */
        bool netstack_broken; /* and that was logged */
        GQueue calls;         /* ManagerCall.link */
        Forwards *forwards;   /* NULL: never one */
        ManagerDialer dialer;
        bool in_dataplane;
        Part interface;        /* the interface with all that is on it: network/part-interface.c */
        bool dataplane_failed; /* the packet thread could not read or write it */
        char *down_reason;
        bool any_subnet; /* while joining: root said so */
        /* What on this machine is in the way of its addresses, a sentence; NULL: nothing. */
        char *conflict;
        IpPrefix conflict_prefix;
        bool is_shut_out;  /* so much that the interface has no IPv4 address */
        char *last_logged; /* state logged last, so that flapping is not */

        Timer certificate_timer; /* says when it is not renewed */
        NetworkTrouble last_trouble;

        ManagerJoinDone join_done;
        void *join_userdata;
        Timer forget_timer; /* a failed join is freed outside its own callback */

        ManagerLeaveDone leave_done; /* NULL: it is not being left */
        void *leave_userdata;
        usec_t listed_until;
};

/* By number: what is told may make observers come and go. */
#define OBSERVE(m, member, ...)                                                                    \
        do {                                                                                       \
                GArray *_all = (m)->observers;                                                     \
                                                                                                   \
                for (unsigned _i = 0; _i < _all->len; _i++) {                                      \
                        ManagerObserver _o = g_array_index(_all, ManagerObserver, _i);             \
                                                                                                   \
                        if (_o.member)                                                             \
                                _o.member(_o.userdata, ##__VA_ARGS__);                             \
                }                                                                                  \
        } while (0)

/* Sets @error (may be NULL). Return: @r, for "return manager_fail(...)". */
int manager_fail(ManagerError *error, int r, const char *name, const char *format, ...)
                _printf_(4, 5);

/* --- state.c --- */
/* From here on it is told when the state directory cannot be written. */
void manager_watch_state(Manager *m);
void manager_unwatch_state(Manager *m);

/* --- sockets.c --- */
int manager_take_passed_fds(Manager *m);
int manager_open_sockets(Manager *m);
/* What the kernel has dropped at our sockets since then. */
uint64_t manager_socket_drops(const Manager *m);
/* Return: the fd, which is the caller's now, or -EBADF. */
int manager_claim_fd(Manager *m, const char *name);
void manager_close_passed_fds(Manager *m);
/* To all networks where this machine can be reached, as far as it knows itself, and what lies
 * inside one of them: whenever a network comes or goes, its address changed, or the machine's. */
void manager_publish_endpoints(Manager *m);
/* Endpoints that people name: -EINVAL if one lies inside a virtual network. */
int managed_network_check_endpoints(
                ManagedNetwork *n,
                const Endpoint *endpoints,
                unsigned n_endpoints,
                ManagerError *error);

/* --- names.c --- */
bool manager_name_is_visible(const char *text);
/* Sets both names of @m; NULL: the machine's, none. Return: 0, or negative errno and @error. */
int manager_choose_names(const char *host_name, const char *owner, Membership *m, ManagerError *error);

/* --- subnet.c --- */
/* May a network have these addresses here? @self: whose, NULL: a new one; @any: root says that they
 * need not be private. Return: 0, or negative errno and @error: -EINVAL, -EEXIST: never, and not
 * beside a network this machine has; -EADDRINUSE: not beside a route, which may go. */
int manager_check_subnet(
                Manager *m,
                const ManagedNetwork *self,
                const IpPrefix *subnet,
                bool any,
                ManagerError *error);
int manager_choose_subnet(Manager *m, const CreateOptions *options, IpPrefix *ret, ManagerError *error);
/* Looks at the routes again, for .conflict. Return: whether it changed. */
bool managed_network_find_conflict(ManagedNetwork *n);
/* Whether the kernel sends what goes to @address elsewhere. */
bool managed_network_is_diverted(const ManagedNetwork *n, const IpAddr *address);

/* --- connect.c --- */
/* Beside the tun, or in user mode in its place: then @n->netif is set too. */
int managed_network_open_netstack(ManagedNetwork *n, NetstackEngine engine, ManagerError *error);
/* The packet thread does not use @n->netif any more. Calls under way fail, forwards wait. */
void managed_network_close_netstack(ManagedNetwork *n);

/* An answer to an echo of ours that did not go through the stack. */
void managed_network_echo_answered(ManagedNetwork *n, uint64_t number);

/* --- dialer.c --- */
/* @only: NULL: whichever network a target is in. Borrows all. */
void manager_dialer_init(ManagerDialer *d, Manager *m, ManagedNetwork *only);

/* --- forward.c --- */
/* Those the store has. */
void managed_network_load_forwards(ManagedNetwork *n);
/* The network has a netstack now, or is about to lose it. */
void managed_network_resume_forwards(ManagedNetwork *n);
void managed_network_suspend_forwards(ManagedNetwork *n);

/* --- proxy.c --- */
/* With the sockets systemd passes for it, and on the port of the options. */
int manager_open_proxy(Manager *m);

/* --- network/time.c --- */
/* Looks at our certificate now and then, and says so when it is not renewed. */
void managed_network_watch_certificate(ManagedNetwork *n);
/* The state changed: what is news about clock and certificate goes into the journal. */
void managed_network_note_trouble(ManagedNetwork *n, const Network *core);
/* NetworkHandler.sign_by_root. */
int managed_network_sign_by_root(void *userdata, Network *core, const RecordBody *body, Record **ret);

/* --- network/part-interface.c --- */
void managed_network_init_interface(ManagedNetwork *n);
int managed_network_open_interface(ManagedNetwork *n, ManagerError *error);
/* @forget: it does not outlive the daemon. */
void managed_network_close_interface(ManagedNetwork *n, bool forget);
/* Gives it the addresses that there are. */
void managed_network_configure_interface(ManagedNetwork *n);
/* The routes of the machine changed. */
void managed_network_routes_changed(ManagedNetwork *n);
/* Somebody may have touched it. */
void managed_network_interface_changed(ManagedNetwork *n);

/* --- network/managed-network.c --- */
/* @id: of base/log-ids.h, or NULL. */
void managed_network_log(const ManagedNetwork *n, int level, const char *id, const char *format, ...)
                _printf_(4, 5);
/* Without core and interface, in the manager's list. */
ManagedNetwork *managed_network_new(Manager *m, const NetworkId *id);
ManagedNetwork *managed_network_free(ManagedNetwork *n);
/* With the identity @n has now. */
NetworkConfig managed_network_core_config(ManagedNetwork *n);
/* Starts what the store has. */
int managed_network_load(Manager *m, const StoredNetwork *stored);
