/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of core/mesh that make up a Mesh share. Nobody else includes this. */

#include <glib.h>

#include "base/limits.h"
#include "base/macros.h"
#include "core/crypto/cookie.h"
#include "core/crypto/handshake-limiter.h"
#include "core/mesh/link/answers.h"
#include "core/mesh/link/endpoint-book.h"
#include "core/mesh/link/name-book.h"
#include "core/mesh/link/nat-check.h"
#include "core/mesh/link/trains.h"
#include "core/mesh/gossip/gossip.h"
#include "core/mesh/mesh.h"

typedef struct Link Link;
typedef struct Attempt Attempt;
typedef struct Channels Channels;
typedef struct Probes Probes;
typedef struct Neighbours Neighbours;
typedef struct Presence Presence;
typedef struct Rendezvous Rendezvous;
typedef struct MeshRelay MeshRelay;
typedef struct LinkObserver LinkObserver;
typedef struct Discovery Discovery;
typedef struct NetCheck NetCheck;

struct Mesh {
        const MeshEnv *env;
        MeshConfig config;

        /* Membership. */
        bool is_member;
        Record *certificate, *issuer_certificate;
        Secret *secret;
        bool is_issuer;
        MeshInviteLookup lookup;
        void *lookup_userdata;
        bool revoked, closing;
        usec_t asleep_until;   /* monotonic; before it there are no handshakes: mesh_sleep() */
        unsigned n_issuers_up; /* links to issuers */
        usec_t issuers_since;  /* monotonic: since there is one */

        /* Handshakes. */
        CookieChecker cookies;
        HandshakeLimiter *limiter;
        /* Machine -> last timestamp accepted; members only, so at most MACHINES_MAX. */
        GHashTable *timestamps;
        Answers *answers;
        usec_t last_stamp;    /* of our own initiations */
        GHashTable *attempts; /* ours under way, by the index we gave them */

        /* Links. The table finds them; the queue, most lately used first, is what is walked, since
         * the order of a hash table is not the same in two runs. */
        GHashTable *links;
        GQueue lru;
        uint32_t n_links_made;
        GPtrArray *observers;   /* of LinkObserver, borrowed: told in this order */
        LinkObserver *observer; /* our own, mesh-links.c */
        usec_t suspected;       /* mesh_suspect() did something; 0: never */
        unsigned n_strangers;
        Budget strangers_budget; /* all links that only enrol */
        GHashTable *peers;       /* PacketPeer; kept until the mesh goes */
        EndpointBook *book;
        NameBook *names;
        unsigned n_local;
        Endpoint local[ENDPOINTS_MAX];
        unsigned n_mapped;
        Endpoint mapped[ENDPOINTS_MAX];
        uint16_t stream_port;   /* TCP, at which we take connections; 0: none */
        RateLimit probe_budget; /* where env->probes is NULL */
        NatCheck nat;
        unsigned exit_offer;    /* PRESENCE_EXIT_* */
        usec_t network_changed; /* monotonic: last; 0: never */
        uint32_t train_rounds;  /* so far, modulo 2^32 */
        TrainsLost trains_lost[TRAINS_LOCALS_MAX];
        PrefixSet inside;

        ChannelProvider provider;
        Channels *channels;
        Probes *probes;
        Neighbours *neighbours;
        Presence *presence;
        Rendezvous *rendezvous;
        Discovery *discovery;
        Gossip *gossip;
        MeshRelay *relay;
        NetCheck *net_check;
};

/* --- mesh.c --- */

/* Whether we may have a link to it: a member as far as we know, not us, not revoked. */
bool mesh_knows_machine(Mesh *m, const MachineId *machine);
bool mesh_is_local_endpoint(const Mesh *m, const Endpoint *e);
/* What translates our datagrams of that family. */
NatVerdict mesh_nat_verdict(const Mesh *m, int family);
/* Whether members are let in beyond the end of their certificates: nobody is there to renew them. */
bool mesh_honours_expired(const Mesh *m);

/* --- mesh-links.c --- */

/* How long an answer may take after the network changed before a path is doubted. */
#define CHANGED_PROBE_USEC (2 * USEC_PER_SEC)

void mesh_watch_links(Mesh *m);
/* Whether the link to it is to stay without being used. */
bool mesh_keeps_link(const Mesh *m, const MachineId *machine);
/* CLOSE with reason revoked from somebody who can know. */
void mesh_we_are_revoked(Mesh *m);

/* This machine is about to sleep. */
bool mesh_is_asleep(const Mesh *m);

/* --- link/link-events.c --- */

/* @o (link/link.h) is borrowed, until mesh_unobserve_links() or the end of the mesh. */
void mesh_observe_links(Mesh *m, const LinkObserver *o);
void mesh_unobserve_links(Mesh *m, const LinkObserver *o);

/* --- relay/relay.c --- */

/* It is no member any more. */
void mesh_relay_machine_gone(MeshRelay *r, const MachineId *machine);
/* It says that it relays, or that it does not any more. */
void mesh_relay_offer_changed(MeshRelay *r, const MachineId *machine);
/* Packets go to the other side of @link: is there a better relay? */
void mesh_relay_used(Mesh *m, const Link *link);
/* By whom @endpoint is relayed. Return: false: not known. */
bool mesh_relay_find(const Mesh *m, const Endpoint *endpoint, MachineId *ret);

/* --- channel.c --- */

Channels *channels_new(Mesh *m);
Channels *channels_free(Channels *c);
extern const ChannelOps mesh_channel_ops;
/* A whole message, for a link that channels do not find any more. NULL: too long. */
GBytes *channels_encode_data(const char *channel, GBytes *payload);
DropReason channels_handle_message(Link *link, const uint8_t *data, size_t len);
DropReason channels_handle_datagram(Link *link, const uint8_t *frame, size_t len);
/* All requests to the machine end with @error; theirs are forgotten. */
void channels_fail_link(Link *link, WireError error);
/* The machine started anew: what it had acknowledged but not answered is asked again. */
void channels_resend_requests(Link *link);

/* --- probe.c --- */

Probes *probes_new(Mesh *m);
Probes *probes_free(Probes *p);
/* Asks over the active path. @reply NULL: if it is lost, the link is repaired.
 * Return: 0, -ENOTCONN, -EBUSY: too many on the way. */
int probes_send(Link *link, usec_t timeout, ProbeReply reply, void *userdata);
/* Asks over one path, for the path's sake: paths_answered() or paths_missed() is told.
 * @mtu: as long as an inner packet of this; 0: short. */
int probes_send_on(Link *link, const Endpoint *endpoint, uint16_t mtu, usec_t timeout);
DropReason probes_handle_probe(Link *link, const uint8_t *frame, size_t len, const Endpoint *from);
DropReason probes_handle_reply(Link *link, const uint8_t *frame, size_t len, const Endpoint *from);
/* TRAIN_PROBES over one path in one train, and as many one by one: trains_probed() is told of each.
 * Return: 0, as trains_send(), or -EBUSY. */
int probes_send_round(Link *link, const Endpoint *to, uint32_t round, usec_t timeout);
/* Forgets, without a call, what @userdata asked. */
void probes_forget(Probes *p, const void *userdata);
