/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One machine's end of one network: links with their paths, channels, gossip. Sans-I/O: bytes
 * and timers come in, bytes and callbacks go out (env.h).
 *
 * Data messages (type 4) are opened by the packet thread in the daemon, which hands frames up
 * through mesh_handle_frame(); where there is no such thread (simulator, tests)
 * mesh_handle_datagram() opens them too and hands packets to MeshHandler.packet.
 */

#include "base/drop-reason.h"
#include "base/host-port.h"
#include "core/crypto/identity.h"
#include "core/crypto/index-table.h"
#include "core/crypto/secret.h"
#include "core/mesh/channel.h"
#include "core/mesh/directory/directory.h"
#include "core/mesh/env.h"
#include "core/mesh/link/packet-peer.h"
#include "core/mesh/relay/relay-table.h"
#include "core/wire/control.h"

typedef struct Mesh Mesh;

typedef struct MeshHandler {
        void *userdata;
        /* An inner IP packet in place; only from mesh_handle_datagram(). May be NULL. */
        void (*packet)(void *userdata, PacketPeer *peer, uint8_t flags, uint8_t *packet, size_t len);
        /* Our membership is over: by a revocation in the directory, or because an issuer says so
         * (CLOSE). */
        void (*revoked)(void *userdata);
        /* Where a machine is reached changed, link went up or down, RTT known: for status. */
        void (*link_changed)(void *userdata, const MachineId *machine);
} MeshHandler;

typedef enum RelayMode {
        RELAY_AUTO, /* if this machine can be reached from outside, as far as it can tell */
        RELAY_ON,
        RELAY_OFF,
        _RELAY_MODE_MAX,
} RelayMode;

typedef struct MeshConfig {
        NetworkId network;
        const Identity *identity;      /* borrowed, outlives the mesh */
        IndexTable *indices;           /* borrowed, shared by all networks of the daemon */
        DropCounters *drops;           /* borrowed */
        Directory *directory;          /* borrowed */
        const MeshStore *store;        /* borrowed, may be NULL: last endpoints */
        uint8_t boot_id[BOOT_ID_SIZE]; /* another for each mesh that is made */
        unsigned ciphers;              /* aead_ciphers() */
        uint16_t mtu;                  /* inner; see mesh_set_mtu() */
        uint16_t port;        /* of our UDP sockets, for beacons; 0: none are sent or taken */
        const char *software; /* for the presence record */
        RelayTable *relays;   /* borrowed, shared by all networks; NULL: nothing is relayed here */
        RelayMode relay_mode;
        MeshHandler handler;
} MeshConfig;

/* Looks up what the handshake needs about an invite, on an issuer.
 * Return: true and the psk if the invite exists; whether it still lets @machine in is said on the
 * link, so that a person reads "InviteUsed" and not "Timeout". */
typedef bool (*MeshInviteLookup)(
                void *userdata,
                const uint8_t id[static INVITE_ID_SIZE],
                const MachineId *machine,
                uint8_t ret_psk[static 32]);

int mesh_new(const MeshEnv *env, const MeshConfig *config, Mesh **ret);
/* Closes all links (they are told), fails all requests. */
Mesh *mesh_free(Mesh *m);

/* Our own certificate and the network's secret, with references of its own: without them we can only enrol. */
void mesh_set_membership(Mesh *m, Record *certificate, Record *issuer_certificate, Secret *secret);
bool mesh_is_member(const Mesh *m);
/* An issuer lets machines in: links of purpose 1 are then accepted. */
void mesh_set_issuer(Mesh *m, MeshInviteLookup lookup, void *userdata);
/* The invite that @machine has proved to have, by the link it enrols on. The lookup alone proves
 * nothing yet: whoever knows an invite's id gets that far.
 * @ret_from: where it was heard last; may be unset. Return: false: it has none. */
bool mesh_enrol_invite(
                Mesh *m,
                const MachineId *machine,
                uint8_t ret_id[static INVITE_ID_SIZE],
                Endpoint *ret_from);

/* --- input --- */

/* Whether a handshake initiation is for this network and machine (mac1). */
bool mesh_claims_initiation(Mesh *m, const uint8_t *data, size_t len);
/* Any datagram whose receiver index or mac1 belongs to this mesh. @data is overwritten. */
DropReason mesh_handle_datagram(Mesh *m, uint8_t *data, size_t len, const Endpoint *from);
/* Plaintext of a data message that is no IP packet (also empty: keepalive), opened by a packet
 * thread. @kp->link belongs to this mesh; @kp may have been retired meanwhile, never freed. */
DropReason
mesh_handle_frame(Mesh *m, Keypair *kp, const uint8_t *frame, size_t len, const Endpoint *from);
/* The packet thread saw the first message under @kp, or one from another endpoint than it sends
 * to: key confirmation, roaming. */
void mesh_handle_arrival(Mesh *m, Keypair *kp, const Endpoint *from);

/* The packet thread has sent to a machine whose PacketPeer.quiet was set. */
void mesh_packet_sent(Mesh *m, const PacketPeer *peer);

/* What lies inside a virtual network this machine is in, this one and all others: @inside is
 * copied. */
void mesh_set_inside(Mesh *m, const PrefixSet *inside);
/* Whether an endpoint is inside a virtual network. Such a one is never a path, wherever we have it
 * from, nor offered to others: what goes there would go through the path itself. */
bool mesh_is_inside(const Mesh *m, const Endpoint *endpoint);
/* Our addresses, for the presence record: usable ones, best first, without duplicates. */
void mesh_set_local_endpoints(Mesh *m, const Endpoint *endpoints, unsigned n);
/* Where a router lets others in for us, by a port mapping; told to who is talked to. */
void mesh_set_mapped_endpoints(Mesh *m, const Endpoint *endpoints, unsigned n);
/* What the presence record says of this machine as an exit. @offer: of PRESENCE_EXITS. */
void mesh_set_exit_offer(Mesh *m, unsigned offer);
/* This machine will not answer for a while: closes all links but one we enrol on, and the others
 * are told at once. New ones are made after mesh_network_changed(), or when it is still awake some
 * seconds later. */
void mesh_sleep(Mesh *m);
/* Addresses, routes or the time changed (or we woke up): probe every link now. */
void mesh_network_changed(Mesh *m);
/* Packets up to so many bytes are sent from now on, and datagrams on channels; 0, or more than
 * that: OMERTA_MTU_DEFAULT. What comes in is as long as the others send it. */
void mesh_set_mtu(Mesh *m, uint16_t mtu);
/* @local is no address of this machine any more: nothing is sent from there. */
void mesh_forget_local(Mesh *m, const IpAddr *local);
/* This machine takes connections at this TCP port: members are told. 0: at none. */
void mesh_set_stream_port(Mesh *m, uint16_t port);
/* Where a connection may reach us that datagrams reach at @endpoints: at those addresses, at that
 * port. Return: how many. */
unsigned mesh_stream_endpoints(
                const Mesh *m,
                const Endpoint *endpoints,
                unsigned n,
                Endpoint ret[static STREAM_ENDPOINTS_MAX]);
/* The connection that was this endpoint is no more. */
void mesh_stream_ended(Mesh *m, const Endpoint *peer);

/* --- relaying for others: relay/relay.h --- */

const char *relay_mode_to_string(RelayMode mode); /* "auto", "on", "off" */
/* Return: 0, or -EINVAL. */
int relay_mode_from_string(const char *text, RelayMode *ret);
/* Off: what it relays ends at once. */
void mesh_set_relay(Mesh *m, RelayMode mode);
/* Whether it relays for members now. */
bool mesh_relays(const Mesh *m);
typedef struct MeshRelayStats {
        unsigned pairs;            /* of machines that reach each other through us */
        uint64_t datagrams, bytes; /* passed on since the network began */
} MeshRelayStats;
void mesh_relay_stats(const Mesh *m, MeshRelayStats *ret);
/* Somebody at @from sends by an allocation (.relay) that nobody has given. Tells it, if it is a
 * machine a link is up with. Return: false: it is none of ours. */
bool mesh_relay_unknown(Mesh *m, const Endpoint *from);

/* Whether members in the same LAN are found by beacons; off at first. */
void mesh_set_lan_discovery(Mesh *m, bool on);
/* An interface or an address of one came, or we woke up: who is there hears of us at once. */
void mesh_lan_changed(Mesh *m);
/* A datagram from a beacon group, of whichever network: another than one of ours is not counted
 * here. Return: DROP_NONE: it was for us; DROP_BEACON_FOREIGN: it was not. */
DropReason mesh_handle_beacon(Mesh *m, const uint8_t *data, size_t len, const Endpoint *from);

/* Our clock was set: the others hear it at once, and what was from the future is asked for again. */
void mesh_clock_changed(Mesh *m);

/* --- links --- */

ChannelProvider *mesh_channels(Mesh *m);
/* Where a machine may be tried besides its presence record (an invite's hints, --bootstrap). */
void mesh_add_hint(Mesh *m, const MachineId *machine, const Endpoint *endpoint);
/* The names of a machine whose address changes, in place of those it had: link/name-book.h. */
void mesh_set_names(Mesh *m, const MachineId *machine, const HostPort *names, unsigned n);
/* Link to an issuer by an invite; only the channel `enrol` works on it. Ends with
 * mesh_set_membership() or mesh_disconnect(). */
int mesh_connect_to_enrol(
                Mesh *m,
                const MachineId *issuer,
                const uint8_t invite_id[static INVITE_ID_SIZE],
                Secret *psk);
/* Tells the machine and forgets the link. */
void mesh_disconnect(Mesh *m, const MachineId *machine, uint8_t reason);

/* Hands @record to every machine a link to is up, without taking it ourselves. Return: how many. */
unsigned mesh_tell(Mesh *m, Record *record);

/* For packet threads; made on demand, borrowed, stays until the machine is revoked or the mesh
 * goes. NULL for unknown machines. */
PacketPeer *mesh_packet_peer(Mesh *m, const MachineId *machine);

/* Seals and sends one inner packet, where there is no packet thread.
 * Return: 0, -ENOTCONN: no packet session, -EMSGSIZE. */
int mesh_send_packet(Mesh *m, PacketPeer *peer, uint8_t flags, const uint8_t *packet, size_t len);

/* --- what machines cost --- */

/* Microseconds of the control thread, of a small machine and rather too many: whoever stays below
 * its budget by these does so by the clock. */
#define COST_FRAME 10U      /* taken off the queue, looked up, acknowledged; or one that is sent */
#define COST_MESSAGE 20U    /* put together, its handler found */
#define COST_REQUEST 100U   /* and answered: a message, sealed and sent */
#define COST_CLOSE 500U     /* sessions end, and a handshake will follow */
#define COST_SIGNATURE 150U /* verified or made: Ed25519 */
#define COST_COMMIT 2000U   /* a transaction, until it is on disk */

/* What a handler did for @machine beyond the usual, which is charged already: frames, messages,
 * requests and the size of answers. Over its budget a machine is not listened to for a while
 * (link/link-budget.c). */
void mesh_charge(Mesh *m, const MachineId *machine, usec_t cost);

/* Asks whether it is there, if a link is up; an answer shows in MeshLinkInfo.last_received. */
void mesh_ask(Mesh *m, const MachineId *machine);

typedef struct MeshLinkInfo {
        MachineId machine;
        LinkState state;   /* LINK_CONNECTING too while it has keys, but was asked in vain */
        Endpoint endpoint; /* of the active path; unset: none */
        bool is_doubted;   /* in use, and neither the active path nor a spare answers */
        bool is_relayed;
        bool is_stream;  /* by TCP, to the machine or to its relay */
        MachineId relay; /* by whom; zeros: not relayed, or not known */
        /* What translates the other side's IPv4, as it says: "easy", "random"; a constant. */
        const char *translation;
        usec_t rtt; /* smoothed; 0: not known */
        usec_t rtt_min;
        usec_t since, last_handshake, last_received; /* monotonic */
        Cipher cipher;
        uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes; /* inner packets */
} MeshLinkInfo;
bool mesh_link_info(Mesh *m, const MachineId *machine, MeshLinkInfo *ret);
/* Why @machine is relayed, and what would help: a sentence without a full stop, a constant. NULL:
 * it is not. */
const char *mesh_why_relayed(Mesh *m, const MachineId *machine);
void mesh_foreach_link(Mesh *m, void (*callback)(void *userdata, const MeshLinkInfo *info), void *userdata);

/* One way to a machine, whether it is used or not. Texts are constants. */
typedef struct MeshPathInfo {
        Endpoint endpoint; /* of the relay, if it is relayed */
        bool is_relayed, is_stream, is_active;
        bool is_lan;        /* both ends in one network, as far as addresses tell */
        const char *origin; /* how it was found: "seen", "lan", "hint", "presence", ... */
        const char *state;  /* "untried", "works", "doubted", "silent" */
        const char *reason; /* a sentence: why it is used or not */
        usec_t rtt, rtt_min, rtt_deviation; /* smoothed (RFC 6298); 0: not known */
        uint32_t n_probes, n_lost;
        uint16_t mtu;                /* largest inner packet known to pass; 0: not known */
        const char *trains;          /* of the active path: trains_text(); of another: "unknown" */
        const char *mtu_state;       /* "base", "search", "search-complete", "error" */
        usec_t since, last_received; /* monotonic */
} MeshPathInfo;
/* Return: false if there is no link. */
bool mesh_foreach_path(
                Mesh *m,
                const MachineId *machine,
                void (*callback)(void *userdata, const MeshPathInfo *info),
                void *userdata);
/* What translates our datagrams of one family (core/mesh/link/nat-check.h). Texts are constants. */
typedef struct MeshNatInfo {
        const char *translation; /* in one word: "none", "easy", "predictable", "random", "unknown" */
        const char *mapping;     /* "none", "endpoint-independent", "address-dependent", ... */
        const char *ports;       /* "preserved", "changed", "predictable", "random", "unknown" */
        int step;                /* of predictable ports: from one to the next */
        Endpoint seen;           /* us; unset: not known, or they disagree */
        unsigned n_members, n_dissenters; /* heard; of them: who say otherwise than most */
        const char *trouble; /* a sentence: what is missing to know more; "": nothing */
} MeshNatInfo;
MeshNatInfo mesh_nat_info(const Mesh *m, int family);
/* The addresses of ours (AF_UNSPEC: not known) from which trains of datagrams do not reach so many
 * machines, as these answer. */
void mesh_foreach_trains_lost(
                const Mesh *m,
                void (*callback)(void *userdata, const IpAddr *local, unsigned n_machines),
                void *userdata);

typedef enum NetUdp {
        NET_UDP_WORKS,     /* some member was heard lately */
        NET_UDP_SILENT,    /* none was, for minutes: it is blocked, or all are away */
        NET_UDP_NOBODY,    /* there is no other member */
        NET_UDP_TOO_EARLY, /* the network began just now */
        _NET_UDP_MAX,
} NetUdp;
const char *net_udp_to_string(NetUdp udp);

/* Whether the router brings back what is sent to our own endpoint outside (RFC 4787, 6). */
typedef enum NetHairpin {
        NET_HAIRPIN_UNKNOWN, /* there is no such endpoint, or it is not known */
        NET_HAIRPIN_NO,
        NET_HAIRPIN_YES,
        _NET_HAIRPIN_MAX,
} NetHairpin;
const char *net_hairpin_to_string(NetHairpin hairpin);

typedef struct MeshNetInfo {
        MeshNatInfo nat[2]; /* IPv4, IPv6 */
        NetUdp udp;
        NetHairpin hairpin; /* IPv4 */
        bool is_reached;    /* somebody came who had not been asked, within a day */
        uint16_t mtu;       /* the largest inner packet known to pass directly to some member; 0 */
        unsigned n_relays;
        MachineId relays[8]; /* members that relay, and that this machine has a direct link with */
} MeshNetInfo;
/* @info NULL: the mesh ends. From the event loop, not from within mesh_net_check(). */
typedef void (*MeshNetChecked)(void *userdata, const MeshNetInfo *info);
/* Asks members anew where they see us, tries the hairpin, and tells @done within 2 s.
 * Return: 0, or -EBUSY: NET_CHECKS_MAX wait already. */
int mesh_net_check(Mesh *m, MeshNetChecked done, void *userdata);
typedef struct LanInfo {
        bool on;                        /* switched on, and there is a membership */
        unsigned machines;              /* of the network, heard in this LAN lately */
        uint64_t sent, heard, answered; /* beacons; heard: fresh ones of others */
} LanInfo;
LanInfo mesh_lan_info(const Mesh *m);
/* Our own endpoint as others see it, if they agree; unset else. */
Endpoint mesh_observed_endpoint(Mesh *m);
