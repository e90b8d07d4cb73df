/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One network on one machine: directory, mesh, sessions, virtual network and leases wired to
 * each other. Still sans-I/O: the daemon's manager gives it clocks, sockets, a store and an
 * interface, the simulator models of them.
 */

#include "core/mesh/membership.h"
#include "core/mesh/mesh.h"
#include "core/tunnel/pool.h"
#include "core/vnet/lease.h"
#include "core/vnet/vnet.h"

typedef struct Network Network;
/* core/mesh/enrol/enrol.h, for those who do what it does. */
typedef struct EnrolService EnrolService;

/*
 * JOINING     a link to the issuer is made, the invite shown
 * WAITING     the invite needs an approval, and nobody has given it yet
 * CONNECTING  member, no address yet
 * ONLINE      has an address, and a link to the gateway or to any member (or is the gateway)
 * OFFLINE     has an address, nobody answers; packets wait for sessions
 * REVOKED     the network let this machine go; nothing works any more
 */
typedef enum NetworkState {
        NETWORK_JOINING,
        NETWORK_WAITING,
        NETWORK_CONNECTING,
        NETWORK_ONLINE,
        NETWORK_OFFLINE,
        NETWORK_REVOKED,
        _NETWORK_STATE_MAX,
} NetworkState;
const char *network_state_to_string(NetworkState s);

/* What is not as it should be though packets flow; network_state_reason() has it in words. */
typedef enum NetworkTrouble {
        NETWORK_TROUBLE_NONE,
        NETWORK_TROUBLE_CLOCK,       /* ours cannot be right (mesh/directory/wall-clock.h) */
        NETWORK_TROUBLE_CERTIFICATE, /* ours has ended; the gateway renews it when it is there */
        NETWORK_TROUBLE_ABSENT,      /* and does not any more: we were away for too long */
        NETWORK_TROUBLE_ROOT, /* gateway: only the root can sign ours anew, and it cannot be asked */
} NetworkTrouble;

/* Which way this machine's own packets to the outside go. */
typedef struct NetworkExitWish {
        bool on;
        unsigned n;                          /* 0: whoever is an exit */
        MachineId machine[EXITS_WANTED_MAX]; /* the preferred one first */
} NetworkExitWish;

/*
 * OFF          nobody asked for one
 * CONNECTING   one was chosen and has some seconds to answer
 * UP           it answers
 * UNAVAILABLE  it does not, or there is none: packets are refused, and do not go another way
 */
typedef enum NetworkExitState {
        NETWORK_EXIT_OFF,
        NETWORK_EXIT_CONNECTING,
        NETWORK_EXIT_UP,
        NETWORK_EXIT_UNAVAILABLE,
        _NETWORK_EXIT_STATE_MAX,
} NetworkExitState;
const char *network_exit_state_to_string(NetworkExitState s);

typedef struct NetworkExitInfo {
        NetworkExitState state;
        bool is_chosen;
        MachineId machine;  /* of the chosen one */
        unsigned families;  /* of PRESENCE_EXITS: by which it leads outside */
        const char *reason; /* a sentence; "": nothing is wrong */
} NetworkExitInfo;

/* Any may be NULL. None may free the network, except from a deferred call. */
typedef struct NetworkHandler {
        void *userdata;
        /* The gateway says which addresses the network has. Return: NULL, or why they cannot be had
         * here, a sentence that the caller frees: then nothing of the network is kept. Only when
         * joining. */
        char *(*refuse_subnet)(void *userdata, Network *n, const IpPrefix *subnet);
        /* We are a member now: @m must be on disk when this returns 0. Only when joining. */
        int (*joined)(void *userdata, Network *n, const Membership *m);
        /* Gateway: the root's key signs our new certificate. Return: 0, -ENOENT: it is not here,
         * other negative errno. */
        int (*sign_by_root)(void *userdata, Network *n, const RecordBody *body, Record **ret);
        void (*state_changed)(void *userdata, Network *n);
        /* Our address (or that we have none): for the interface. */
        void (*address_changed)(void *userdata, Network *n);
        /* Something shown of a machine changed: certificate, lease, link; or it went. */
        void (*machine_changed)(void *userdata, Network *n, const MachineId *machine, bool gone);
        /* A machine became a member (@revocation NULL), or its membership ended. @certificate: its
         * own, the last one. For the journal. */
        void (*member_changed)(
                        void *userdata,
                        Network *n,
                        const MachineId *machine,
                        const Record *certificate,
                        const Record *revocation);
        /* @old: what it was; @lease itself: time went over its end. */
        void (*lease_changed)(
                        void *userdata,
                        Network *n,
                        const MachineId *machine,
                        const Record *lease,
                        const Record *old);
        void (*session_changed)(void *userdata, Network *n, Session *s);
        /* Something of network_exit_info(). */
        void (*exit_changed)(void *userdata, Network *n);
        void (*pending_changed)(
                        void *userdata,
                        Network *n,
                        const MachineId *machine,
                        const char *name,
                        bool pending);
        /* PacketPeer.tx is set: packets that wait may go. */
        void (*packets_ready)(void *userdata, Network *n, PacketPeer *peer);
        /* See MeshHandler.packet: only where no packet thread opens data messages. */
        void (*packet)(void *userdata,
                       Network *n,
                       PacketPeer *peer,
                       uint8_t flags,
                       uint8_t *packet,
                       size_t len);
} NetworkHandler;

typedef struct NetworkConfig {
        const MeshEnv *env;       /* borrowed */
        const Identity *identity; /* borrowed */
        IndexTable *indices;      /* borrowed */
        const MeshStore *store;   /* borrowed, may be NULL */
        uint8_t boot_id[BOOT_ID_SIZE];
        unsigned ciphers;
        uint16_t mtu;
        uint16_t port; /* of our UDP sockets; 0: no beacons */
        bool lan_discovery;
        const char *software;
        RelayTable *relays; /* borrowed; see MeshConfig */
        RelayMode relay_mode;
        NetworkHandler handler;
        usec_t lease_lifetime;             /* gateway; 0: the default */
        const SessionPoolConfig *sessions; /* NULL: the default */
} NetworkConfig;

/**
 * network_new() - a network this machine is a member of
 * @m: copied. Its certificates are expected in @config->store (enrol, or
 *     network_make_gateway()).
 * Return: 0, -ENOKEY: no certificate of ours in the store.
 */
int network_new(const NetworkConfig *config, const Membership *m, Network **ret);

/**
 * network_create() - a new network with us as its gateway
 * @root: its root; the caller keeps it (offline, if it likes)
 * @m: name, subnet, host name, owner are set; the rest is filled in, also if this fails, and the
 *     caller clears it
 *
 * The certificate is in @config->store, durable, when this returns.
 */
int network_create(const NetworkConfig *config, const Identity *root, Membership *m, Network **ret);

/* @error: WIRE_ERROR_NONE: we have an address; WAITING: for an approval; else why not.
 * @detail: a sentence of ours that says more than wire_error_text(), or NULL. Called once. */
typedef void (*NetworkJoinDone)(void *userdata, Network *n, WireError error, const char *detail);

/**
 * network_join() - become a member by an invite
 * @timeout: of the whole, usually 10 s; an invite that needs an approval reports WAITING and
 *           goes on by itself
 * After an error before membership the caller frees the network.
 */
int network_join(
                const NetworkConfig *config,
                const Invite *invite,
                const char *host_name,
                const char *owner,
                usec_t timeout,
                NetworkJoinDone done,
                void *userdata,
                Network **ret);

/* Closes links and sessions; what is stored stays. */
Network *network_free(Network *n);

/* --- looks --- */

const Membership *network_membership(const Network *n);
NetworkState network_state(const Network *n);
/* A sentence; NULL when online and nothing is wrong. */
const char *network_state_reason(const Network *n);
NetworkTrouble network_trouble(const Network *n);
bool network_is_member(const Network *n);
Mesh *network_mesh(Network *n);
Directory *network_directory(Network *n);
SessionPool *network_sessions(Network *n);       /* NULL before membership */
Vnet *network_vnet(Network *n);                  /* NULL before membership */
EnrolService *network_enrol_service(Network *n); /* NULL unless gateway */
DropCounters *network_drops(Network *n);

/* --- acts --- */

/* The packet thread has a packet for @peer but no session. */
void network_want_session(Network *n, PacketPeer *peer);
/* Where this machine can be reached as far as it knows itself, the best first; copied. None: it is
 * cut off, unless somebody answers all the same. */
void network_set_endpoints(Network *n, const Endpoint *endpoints, unsigned n_endpoints);
/* Those of them that a router maps to us. */
void network_set_mapped(Network *n, const Endpoint *endpoints, unsigned n_endpoints);
/* The TCP port at which this machine takes connections; 0: none. */
void network_set_stream_port(Network *n, uint16_t port);
/* What lies inside the other virtual networks of this machine; copied. Our own is known. */
void network_set_inside(Network *n, const PrefixSet *others);
/**
 * network_set_exit_offer() - this machine is an exit to the internet for those families, or not
 *
 * Members hear of it, and believe it if our certificate has the role gateway or exit. From now on
 * their packets to addresses outside all networks' prefixes are handed to the interface, and those
 * from there go to members; without an offer they are dropped and counted (DROP_NOT_FOR_US,
 * DROP_WRONG_SOURCE). Whether anything comes of them is the kernel's business.
 */
void network_set_exit_offer(Network *n, bool v4, bool v6);
/* Families by which @machine, which may be this one, says it is an exit, and is believed. Return:
 * of PRESENCE_EXITS. */
unsigned network_exit_offered_by(const Network *n, const MachineId *machine);
/* From now on; copied. What follows comes in a turn of its own, with exit_changed. A machine that
 * is an exit uses none. */
void network_use_exit(Network *n, const NetworkExitWish *wish);
/* The reason is the network's, until exit_changed. */
NetworkExitInfo network_exit_info(const Network *n);

/* A line that says where this machine is (core/wire/offer.h), newly allocated. Return: 0, or
 * -ENODATA: it does not know. */
int network_offer(Network *n, char **ret);
/**
 * network_take_offer() - what another member's line says: tries to reach it there
 * @ret: whose it is
 *
 * Return: 0, also where it is reached already; -EBADMSG, -EPROTONOSUPPORT: offer_parse(); -EXDEV: of
 * another network; -ELOOP: our own; -ENOENT: no member we know; -EKEYREVOKED: none any more; -ENOBUFS.
 */
int network_take_offer(Network *n, const char *line, MachineId *ret);
/* This machine is about to sleep: the others are told at once. Nothing is answered until
 * network_changed(), or some seconds later. */
void network_sleep(Network *n);
/* Our addresses changed, the clock was set, or we woke up. */
void network_changed(Network *n);

/* What had been signed by a clock that was ahead, and is signed anew. */
typedef struct NetworkRepair {
        unsigned certificates, leases, invites;
} NetworkRepair;
/* After the clock was set; comes by itself. */
NetworkRepair network_clock_changed(Network *n);
/* A person says that the clock is right: what speaks against it is forgotten. */
NetworkRepair network_repair_time(Network *n);
/* Gateway: see EnrolServiceConfig. The caller has stored it. */
void network_set_policy(Network *n, usec_t max_absence, usec_t grace);
/* What this machine calls it, and a gateway in its invites. The caller has stored it. */
void network_set_name(Network *n, const char *name);
/* Where the gateway is found when its address changed, at most GATEWAY_NAMES_MAX; see name-book.h.
 * The caller has stored it. */
void network_set_names(Network *n, const HostPort *names, unsigned n_names);
/* enrol_service_rename(), and its lease has the name too. On a gateway alone. */
int network_rename(Network *n, const MachineId *machine, const char *name);

/* @told: some member has taken it down that we are gone; the caller may free the network. */
typedef void (*NetworkLeft)(void *userdata, Network *n, bool told);
/**
 * network_leave() - end our membership, and say so
 *
 * Signs that we have left (docs/protocol.md, "Signed records") and hands that to whoever a link to
 * is up, or comes up within 5 s. A gateway only goes. @done is called once, never from here; the
 * network cannot be used any more then.
 */
void network_leave(Network *n, NetworkLeft done, void *userdata);
