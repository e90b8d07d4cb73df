/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The encrypted association with one machine, which all its channels share: keys of three
 * generations, paths, reliable messages, and what packet threads need of it.
 *
 * A link object exists while it has keys, an attempt to get some, or something to wait for; an
 * idle one goes when its keys die. Its boot id is new with each object, so that the other side
 * starts its sequences anew (docs/protocol.md, "Handshake payloads", key 8).
 *
 *   LINK_DOWN        no keys, nothing tried: only while packets are to go on or an enrolment waits
 *   LINK_CONNECTING  an attempt is under way, messages wait
 *   LINK_UP          a confirmed current keypair; an attempt may be under way (rekey, repair)
 *
 * Control thread only. Anything that calls out may end the link: hold a reference.
 */

#include "core/mesh/link/handshake.h"
#include "core/mesh/mesh-internal.h"
#include "core/mesh/link/paths.h"
#include "core/mesh/link/reliable.h"
#include "core/mesh/link/rendezvous.h"
#include "core/mesh/link/trains.h"

/* A link that only enrols lives so long; who waits for an approval asks again. */
#define ENROL_LINK_USEC (60 * USEC_PER_SEC)
/* So long until its keys are confirmed: anybody can send an initiation. */
#define ENROL_CONFIRM_USEC (10 * USEC_PER_SEC)
/* How long a machine whose membership is over has for taking the word of it: a few
 * retransmissions. */
#define DISMISS_USEC (5 * USEC_PER_SEC)

/* One generation: the keys and what the other side said when they were made. It counts only
 * when they are used: a replayed initiation must change nothing. */
typedef struct LinkKey {
        Keypair *kp;
        Purpose purpose;
        uint8_t boot_id[BOOT_ID_SIZE];
        Endpoint seen; /* us, as they see us; may be unset */
        Cipher cipher;
        uint8_t invite_id[INVITE_ID_SIZE]; /* theirs, PURPOSE_INVITE: its psk is in these keys */
        /* Its certificate has ended or is revoked: it may ask us for a new one, and no more. */
        bool renews;
        usec_t realtime; /* what its clock showed, in an initiation that may be a replay; 0: nothing */
} LinkKey;

/* Moves a generation, or the keys of a handshake, out of a variable. */
#define TAKE_KEY(k)                                                                                \
        ({                                                                                         \
                LinkKey *_kp = &(k);                                                               \
                LinkKey _v = *_kp;                                                                 \
                *_kp = (LinkKey){};                                                                \
                _v;                                                                                \
        })

/* What observers are told (mesh_observe_links()). */
typedef enum LinkEvent {
        LINK_EVENT_CONNECTING, /* an attempt is under way */
        LINK_EVENT_UP,         /* it serves all channels */
        LINK_EVENT_RESTARTED,  /* it does, and what the other side knew is gone: it started anew */
        LINK_EVENT_DOWN,
        LINK_EVENT_ENDPOINT, /* the active path is another, or was shown to work by new keys */
        LINK_EVENT_SEEN,     /* how the other side sees us changed */
        LINK_EVENT_SILENT,   /* in use, and nothing comes by the active path any more */
        LINK_EVENT_DOUBTED,  /* in use, and neither the active path nor a spare answers, or
                              * 1280 bytes do not pass */
        LINK_EVENT_LOST,     /* up, but asked in vain */
        LINK_EVENT_CHANGED,  /* something that is shown; also after all of the above but SEEN */
        _LINK_EVENT_MAX,
} LinkEvent;

struct LinkObserver {
        void *userdata;
        /* May do anything to the link; who is told later is not told what is not true any more. */
        void (*event)(void *userdata, Link *link, LinkEvent event);
};

struct Link {
        unsigned n_ref;
        Mesh *mesh; /* NULL: taken out of the mesh, waits for its last reference */
        MachineId machine;
        GList lru; /* in mesh->lru */

        LinkState state, announced;
        unsigned events; /* changes of state that were announced */
        Purpose purpose; /* of the current keys; before there are any: of our attempt */
        bool renews;     /* of the current keys: see LinkKey */
        bool enrolling;  /* by mesh_connect_to_enrol() */
        uint8_t invite_id[INVITE_ID_SIZE];
        Secret *psk;                          /* of the invite; NULL: none */
        bool stranger;                        /* counted in mesh->n_strangers */
        uint8_t enrol_timestamp[TAI64N_SIZE]; /* last accepted with purpose 1 */
        uint8_t shown_invite[INVITE_ID_SIZE]; /* and by which */

        uint8_t boot_id[BOOT_ID_SIZE]; /* ours, for this link */
        uint8_t remote_boot_id[BOOT_ID_SIZE];
        bool has_remote_boot_id;

        LinkKey previous, current, next;
        Attempt *attempt;
        PathSet paths;
        PathWatch watch;
        LinkTrains trains;
        Punch *punch; /* rendezvous.c; NULL: never needed */
        /* Us, as they see us: by IPv4 and by IPv6, which are two ways out of here. */
        Endpoint seen[2];

        Reliable *reliable;
        GQueue requests;       /* of ours that wait for an answer (channel.c) */
        unsigned n_unanswered; /* of theirs */

        PacketPeer *peer; /* NULL: not asked for, or no member */
        Budget budget;    /* while it only enrols */
        bool packets_open;
        bool lost;      /* up, but asked in vain since it was last heard; new keys are tried */
        bool closing;   /* nobody finds it any more, and link_close() frees it */
        bool dismissed; /* no member any more: nothing is taken, one last message waits */

        /* Whether it is used decides on rekeying; looked at now and then (link_maintain). */
        uint64_t used_counter;
        usec_t used_checked;
        Timer maintain_timer, enrol_timer, dismiss_timer;

        usec_t since, last_handshake, last_received; /* monotonic */
        unsigned n_probes;                           /* on the way */
};

/* Borrowed; NULL: none. */
Link *link_find(Mesh *m, const MachineId *machine);
/* Finds or makes one. Return: 0, or -ENOBUFS: LINKS_MAX, all in use. */
int link_get(Mesh *m, const MachineId *machine, Link **ret);
Link *link_ref(Link *link);
void link_unref(Link *link);
static inline void link_unrefp(Link **link) {
        if (*link)
                link_unref(*link);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Link, link_unref)
/* Just used: the last to make room for others. */
void link_touch(Link *link);

static inline bool link_is_up(const Link *link) {
        return link->current.kp != NULL;
}
/* Only the channel `enrol` works on it. */
static inline bool link_is_enrol(const Link *link) {
        return link->purpose != PURPOSE_MEMBER;
}
/* Only one channel works on it, and it counts as down for everybody else. */
static inline bool link_is_limited(const Link *link) {
        return link_is_enrol(link) || link->renews;
}

/* --- paths --- */

/* How a path of @machine was found; adds it to its candidates and, where there is a link with
 * keys, probes it. */
void link_offer_path(Link *link, PathOrigin origin, const Endpoint *endpoint);
/* The relay moved, or gave another number: all that is known of @old goes to @new. */
void link_replace_path(Link *link, const Endpoint *old, const Endpoint *new);
/* Nothing goes by it any more, whatever was answered there. */
void link_withdraw_path(Link *link, const Endpoint *endpoint);

/* --- events --- */

void link_tell(Link *link, LinkEvent event);
/* Tells the observers if its state for everybody is news, or @restarted; and in any case that it
 * changed. */
void link_announce(Link *link, bool restarted);

/* --- life --- */

/* Makes sure that there are keys or an attempt to get them. */
void link_connect(Link *link);
/* New keys over all paths, whether there are some or not. */
void link_repair(Link *link);
/* A probe or a message was not answered: repairs it, and until something comes it counts as
 * connecting for everybody who looks. Its keys stay, and what is sent goes on. */
void link_lose(Link *link);
/* Something authentic came. */
void link_heard(Link *link);
/* An initiation that looked replayed came from @from: its maker's clock may have been set back.
 * Asks it once, so that a forged source gets no more than the forger sent. */
void link_call_back(Link *link, const Endpoint *from);
/* The attempt is over without keys. */
void link_attempt_failed(Link *link);
/* Ends it: messages and requests fail with WIRE_ERROR_UNREACHABLE. Stays if packets are to go on. */
void link_down(Link *link);
/* Tells the machine (@reason as in FRAME_CLOSE) and takes the link out of the mesh. */
void link_close(Link *link, CloseReason reason);
/* Its machine is no member any more: cut off at once, but for @message, a reference, which says so;
 * closed when that is acknowledged, at most DISMISS_USEC later. Down for everybody from now on. */
void link_dismiss(Link *link, GBytes *message);
/* Closes it if it was dismissed and nothing is on the way any more. */
void link_close_dismissed(Link *link);

/* --- sending --- */

/* Seals and sends one data message over the active path. Return: false if there are no keys. */
bool link_send_frame(Link *link, const uint8_t *frame, size_t len);
bool link_send_frame_to(Link *link, const Endpoint *to, const uint8_t *frame, size_t len);
/* Reliable; makes the link connect. */
int link_send_message(Link *link, GBytes *message);

/* Our initiation was answered: @key takes over. */
void link_take_initiator_key(Link *link, LinkKey *key, const Endpoint *from);
/* We answered an initiation: @key waits for its confirmation. */
void link_take_responder_key(Link *link, LinkKey *key);
/* An authentic message under @kp came from @from. */
void link_arrived(Link *link, Keypair *kp, const Endpoint *from);
/* Drops the keys that are too old, renews those in use. */
void link_maintain(Link *link);

/* Takes the link away if it is down and nothing waits for it. */
void link_collect(Link *link);
/* What the machine's clock shows, if that is certain to be said now; 0: it did not say. */
void link_hear_realtime(Link *link, usec_t realtime);
/* Its certificate was renewed: all channels are its from now on. */
void link_set_renewed(Link *link);
/* Its machine came without being a member. */
void link_set_stranger(Link *link, bool stranger);

/* Publishes what packet threads need, if it changed. */
void link_publish(Link *link);
void link_set_packets(Link *link, bool open);
usec_t link_last_received(const Link *link);
void link_set_seen(Link *link, const Endpoint *seen);
/* How they see us by datagrams of this family; unset: not known. */
static inline const Endpoint *link_seen(const Link *link, int family) {
        return &link->seen[family == AF_INET6];
}
/* And by the active path. */
static inline const Endpoint *link_seen_now(const Link *link) {
        return link_seen(link, path_set_endpoint(&link->paths).sa.sa_family);
}
