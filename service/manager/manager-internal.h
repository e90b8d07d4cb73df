/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The inside of the aggregate, for manager/ and network/: see network/managed-network-internal.h. */

#include "dataplane/dataplane.h"
#include "host/forwarding.h"
#include "host/name-lookup.h"
#include "host/rtnl.h"
#include "manager/manager.h"
#include "network/part.h"
#include "netif/netif.h"
#include "network/join.h"
#include "portmap/portmap.h"
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

/* Our UDP socket of one family. */
typedef struct MeshSocket {
        Manager *manager;
        int family;
        int fd;         /* -EBADF: none */
        ino_t inode;    /* what @fd was when it was ours */
        bool is_shared; /* systemd has held one of this port since before our start */
        int error;      /* why nothing is received or sent by it any more; 0: it works */
        uint32_t drops; /* the kernel's when we began */
        Part part;      /* stopped: the kernel has no such family */
} MeshSocket;
typedef struct ManagerLan ManagerLan;

#define TCP_LISTENERS_MAX 2U /* IPv4 and IPv6 */

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
        char *cipher;
        NetstackEngine netstack;
        char *netstack_reason;

        TimerQueue *timers;
        NameLookup *lookup;
        MeshEnv env;
        RateLimit probes; /* of all networks */
        IndexTable *indices;
        RelayTable *relays;
        RelayMode relay_mode;
        Dataplane *dataplane;
        DropCounters drops; /* of no network, or of one that is gone */
        GArray *retired;    /* of Retired: handed to the packet thread when this turn is over */

        Rtnl *rtnl;
        Forwarding *forwarding; /* for exits; NULL: user mode */
        int monitor_fd;
        Timer addresses_timer;  /* gathers bursts of rtnetlink changes */
        Timer interfaces_timer; /* the same, of our own interfaces */

        ManagerLan *lan;
        usec_t started; /* realtime */

        GArray *passed;        /* of PassedFd */
        MeshSocket sockets[2]; /* IPv4, IPv6 */
        Timer sockets_timer;   /* to look at them, not from within who sends */
        uint16_t port;

        uint16_t tcp_port; /* as set, or passed; 0: none */
        bool tcp_is_passed;
        int tcp_fd[TCP_LISTENERS_MAX]; /* -EBADF: none */
        char *tcp_trouble; /* why it is not open, a sentence; NULL: it is, or is not to be */
        Timer tcp_timer;   /* to try again */

        PrefixSet inside; /* what lies inside a virtual network, as was published last */
        PortMapper *port_mapper;
        bool maps_ports;         /* the setting */
        Endpoint mapped_told[2]; /* IPv4 and IPv6, as the journal has it */

        GPtrArray *networks; /* of ManagedNetwork */
        ProxyServer *proxy;  /* NULL: none */
        ManagerDialer proxy_dialer;
        GArray *observers; /* of ManagerObserver; without userdata: a free place */
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
/* Return: the fd, which is the caller's now, or -EBADF. */
int manager_claim_fd(Manager *m, const char *name);
void manager_close_passed_fds(Manager *m);
/* To all networks where this machine can be reached, as far as it knows itself, and what lies
 * inside one of them: whenever a network comes or goes, its address changed, or the machine's. */
void manager_publish_endpoints(Manager *m);
/* rtnl_default_router(), of what is not ours. */
int manager_default_router(Manager *m, int family, RtnlRouter *ret);

/* --- mesh-socket.c --- */
void manager_init_sockets(Manager *m);
/* Those that systemd passes, else our own. What is not there after this is tried again, but not for
 * IPv4: without it, as on a port that is taken, the daemon does not start. */
int manager_open_sockets(Manager *m);
/* The packet thread uses none of them any more. */
void manager_close_sockets(Manager *m);
/* @fd does not receive any more. */
void manager_socket_failed(Manager *m, int fd, int error);
/* Something could not be sent to an address of @family: was it the socket? */
void manager_socket_send_failed(Manager *m, int family, int error);
/* Addresses or interfaces changed, which may have been what was in the way of one. */
void manager_retry_sockets(Manager *m);
/* Why packets do not go by one of them, or by none; NULL: they do. Borrowed. */
const char *manager_sockets_trouble(const Manager *m);
/* Whether there is none to go by. */
bool manager_is_without_sockets(const Manager *m);
/* What the kernel has dropped at those there are. */
uint64_t manager_socket_drops(const Manager *m);

/* --- tcp-port.c --- */
/* The one systemd passes, else as set. What cannot be opened is tried again. */
int manager_open_tcp_port(Manager *m);
/* The packet thread takes no more connections. */
void manager_close_tcp_port(Manager *m);
/* To all networks: whenever one comes. */
void manager_publish_tcp_port(Manager *m);
/* The connection that was @peer is no more. */
void manager_stream_ended(Manager *m, const Endpoint *peer);

/* --- port-mapping.c --- */
int manager_open_port_mapping(Manager *m);
/* Which routers there are, and whether they are asked, may have changed. */
void manager_update_port_mapping(Manager *m);
/* What is mapped goes among the @n endpoints of which the first @max are in @all. Return: how many
 * there are now. */
unsigned manager_add_mapped(const Manager *m, Endpoint *all, unsigned n, unsigned max);
/* @e before the first private one, unless it is there; in place of the last of its family where
 * there is no room. As manager_add_mapped(). */
unsigned endpoint_insert_mapped(const Endpoint *e, Endpoint *all, unsigned n, unsigned max);

/* Of networks that have one. Return: how many. */
unsigned manager_own_interfaces(const Manager *m, unsigned ret[static NETWORKS_MAX]);

/* --- lan.c --- */
/* That there is none to be had is no failure. */
int manager_open_lan(Manager *m);
void manager_close_lan(Manager *m);
/* Interfaces, addresses, networks or their settings changed. */
void manager_refresh_lan(Manager *m);
/* The next time as if all had changed. */
void manager_lan_woke(Manager *m);
/* One that came to our own port is an answer. */
void manager_handle_beacon(Manager *m, const uint8_t *data, size_t len, const Endpoint *from);
/* MeshEnv.multicast; @userdata: the manager. */
int manager_multicast(void *userdata, unsigned way, const uint8_t *data, size_t len);

/* --- names.c --- */
bool manager_name_is_visible(const char *text);
/* May a network be called so here? @self: the one that is, NULL: a new one. Return: 0, or negative
 * errno and @error. */
int manager_check_network_name(
                const Manager *m,
                const ManagedNetwork *self,
                const char *name,
                ManagerError *error);
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

/* --- dialer.c --- */
/* @only: NULL: whichever network a target is in. Borrows all. */
void manager_dialer_init(ManagerDialer *d, Manager *m, ManagedNetwork *only);

/* --- relay.c --- */
/* The setting, and the table that networks and packet thread share. */
int manager_load_relay(Manager *m);
/* Somebody sends by an allocation that is not there. */
void manager_relay_unknown(Manager *m, const Endpoint *from);

/* --- proxy.c --- */
/* With the sockets systemd passes for it, and on the port of the options. */
int manager_open_proxy(Manager *m);
