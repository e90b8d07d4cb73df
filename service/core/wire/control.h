/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Bodies of the control channels (docs/protocol.md, "Channels"): enrol, cert, dhcp, gossip,
 * path, relay, tunnel. Encoders return newly allocated bytes, or NULL if they are more than
 * CONTROL_PAYLOAD_MAX; decoders refuse with -EBADMSG what is malformed, ignore unknown keys and
 * leave *ret alone when they refuse.
 */

#include <glib.h>
#include <stdbool.h>

#include "base/ip.h"
#include "base/limits.h"
#include "base/machine-id.h"
#include "core/wire/invite.h"
#include "core/wire/messages.h"
#include "core/wire/record.h"

/* Control messages inside a link (docs/protocol.md, "Messages"). */
typedef enum MessageKind {
        CONTROL_DATA = 0,
        CONTROL_REQUEST = 1,
        CONTROL_RESPONSE = 2,
        CONTROL_ERROR = 3,
} MessageKind;

typedef struct ControlMessage {
        MessageKind kind;
        uint32_t request_id;
        char channel[CHANNEL_NAME_MAX + 1];
        const uint8_t *payload; /* into the decoded buffer */
        size_t payload_len;
} ControlMessage;

/* Kind, request id, length of the name, name. */
#define CONTROL_HEADER_MAX (6U + CHANNEL_NAME_MAX)
/* A payload that fits into a message on any channel. */
#define CONTROL_PAYLOAD_MAX (CONTROL_MESSAGE_MAX - CONTROL_HEADER_MAX)

bool channel_name_is_valid(const char *name);
/* Return: bytes (caller owns), or NULL if @m is larger than CONTROL_MESSAGE_MAX or names no
 * channel where its kind needs one. */
GBytes *control_message_encode(const ControlMessage *m);
int control_message_decode(const uint8_t *buf, size_t len, ControlMessage *ret);

/* enrol */
#define ENROL_SECRET_SIZE 32U
#define ENROL_CONTEXT "omerta enrol v1"
typedef struct EnrolRequest {
        char name[HOST_NAME_MAX_LEN + 1];
        char owner[OWNER_MAX_LEN + 1];
        uint8_t signature[64];
} EnrolRequest;
typedef enum EnrolStatus {
        ENROL_WELCOME = 0,
        ENROL_PENDING = 1,
} EnrolStatus;
typedef struct EnrolResponse {
        EnrolStatus status;
        Record *certificate;
        Record *issuer_certificate; /* NULL if the root signed @certificate */
        char network_name[NETWORK_NAME_MAX_LEN + 1];
        uint8_t secret[ENROL_SECRET_SIZE];
        IpPrefix subnet;
        MachineId gateway;
        GPtrArray *records; /* of Record; may be NULL */
} EnrolResponse;
void enrol_response_clear(EnrolResponse *r);
GBytes *enrol_request_encode(const EnrolRequest *r);
int enrol_request_decode(const uint8_t *buf, size_t len, EnrolRequest *ret);
GBytes *enrol_response_encode(const EnrolResponse *r);
int enrol_response_decode(const uint8_t *buf, size_t len, EnrolResponse *ret);

/* cert */
typedef struct CertResponse {
        Record *certificate;
        Record *issuer_certificate;
        Record *revocation; /* instead of the others */
} CertResponse;
void cert_response_clear(CertResponse *r);
GBytes *cert_response_encode(const CertResponse *r);
int cert_response_decode(const uint8_t *buf, size_t len, CertResponse *ret);

/* dhcp */
typedef enum DhcpOp {
        DHCP_REQUEST = 1,
        DHCP_RELEASE = 2,
} DhcpOp;
typedef struct DhcpRequest {
        DhcpOp op;
        IpAddr wanted; /* AF_UNSPEC: any */
        char name[HOST_NAME_MAX_LEN + 1];
} DhcpRequest;
typedef struct DhcpResponse {
        Record *lease; /* NULL in the answer to a release */
        IpAddr gateway;
} DhcpResponse;
void dhcp_response_clear(DhcpResponse *r);
GBytes *dhcp_request_encode(const DhcpRequest *r);
int dhcp_request_decode(const uint8_t *buf, size_t len, DhcpRequest *ret);
GBytes *dhcp_response_encode(const DhcpResponse *r);
int dhcp_response_decode(const uint8_t *buf, size_t len, DhcpResponse *ret);

/* gossip */
#define GOSSIP_BUCKETS 256U
#define GOSSIP_REVOCATION_BUCKETS 32U
#define RECORD_HASH_SIZE 8U
typedef enum GossipOp {
        GOSSIP_DIGEST = 1,
        GOSSIP_HAVE = 2,
        GOSSIP_RECORDS = 3,
        GOSSIP_WANT = 4,
        _GOSSIP_OP_MAX,
} GossipOp;
typedef struct GossipMessage {
        GossipOp op;
        uint64_t digest[GOSSIP_BUCKETS];                 /* GOSSIP_DIGEST */
        uint64_t revocations[GOSSIP_REVOCATION_BUCKETS]; /* GOSSIP_DIGEST: of them alone */
        uint8_t buckets[GOSSIP_BUCKETS / 8]; /* GOSSIP_HAVE: bit i of byte i/8, lowest first */
        GArray *hashes;     /* of uint64_t, read_le64(record->hash); GOSSIP_HAVE, GOSSIP_WANT */
        GPtrArray *records; /* of Record; GOSSIP_RECORDS */
} GossipMessage;
void gossip_message_clear(GossipMessage *m);
GBytes *gossip_message_encode(const GossipMessage *m);
/* A record inside that does not decode is left out and counted in @ret_bad, which may be NULL. */
int gossip_message_decode(const uint8_t *buf, size_t len, GossipMessage *ret, unsigned *ret_bad);

/* path */
#define PATH_CANDIDATES_PER_KIND_MAX 6U
typedef enum PathCandidateKind {
        PATH_CANDIDATE_HOST = 0,      /* an address of the machine's own */
        PATH_CANDIDATE_MAPPED = 1,    /* its router has said so */
        PATH_CANDIDATE_SEEN = 2,      /* two members or more see it there */
        PATH_CANDIDATE_SEEN_ONCE = 3, /* one does */
        _PATH_CANDIDATE_MAX,
} PathCandidateKind;
typedef struct PathCandidate {
        PathCandidateKind kind;
        Endpoint endpoint;
} PathCandidate;
/* What translates the datagrams of the sender, as others see it. */
typedef enum PathTranslation {
        PATH_TRANSLATION_UNKNOWN = 0,
        PATH_TRANSLATION_NONE = 1,
        PATH_TRANSLATION_EASY = 2,        /* it is at one endpoint for everybody */
        PATH_TRANSLATION_PREDICTABLE = 3, /* at a port of its own for each destination, in sequence */
        PATH_TRANSLATION_RANDOM = 4,      /* the same, at any port */
        _PATH_TRANSLATION_MAX,
} PathTranslation;
#define PATH_CANDIDATES_MAX (_PATH_CANDIDATE_MAX * PATH_CANDIDATES_PER_KIND_MAX)
typedef enum PathOp {
        PATH_CALL = 1, /* the other side is to answer with its own */
        PATH_ANSWER = 2,
} PathOp;
typedef struct PathMessage {
        PathOp op;
        unsigned n;
        PathCandidate candidates[PATH_CANDIDATES_MAX];
        PathTranslation translation; /* what a later version may say is not known */
        Endpoint last;               /* the mapping made last, if what comes next can be tried */
        int16_t step;                /* from there to the next; not 0 where @last is set */
} PathMessage;
/* Return: false: there are enough of its kind, or it is in there. */
bool path_message_add(PathMessage *m, PathCandidateKind kind, const Endpoint *endpoint);
GBytes *path_message_encode(const PathMessage *m);
/* Candidates of a kind this version does not know, and those that are too many, are left out. */
int path_message_decode(const uint8_t *buf, size_t len, PathMessage *ret);

/* tunnel */
typedef enum TunnelOp {
        TUNNEL_OPEN = 1,
        TUNNEL_CLOSE = 2,
} TunnelOp;
typedef struct TunnelRequest {
        TunnelOp op;
        char channel[CHANNEL_NAME_MAX + 1];
} TunnelRequest;
GBytes *tunnel_request_encode(const TunnelRequest *r);
int tunnel_request_decode(const uint8_t *buf, size_t len, TunnelRequest *ret);

/* relay: requests to one, and what one says unasked */
typedef enum RelayOp {
        RELAY_ALLOCATE = 1,  /* request */
        RELAY_ANNOUNCED = 2, /* data, by the relay */
        RELAY_UNKNOWN = 3,   /* data, by the relay */
        RELAY_RELEASE = 4,   /* request */
} RelayOp;
typedef struct RelayMessage {
        RelayOp op;
        MachineId machine;   /* ALLOCATE, ANNOUNCED: the other side */
        uint32_t allocation; /* of the side that sends or gets this; not ALLOCATE */
        /* ALLOCATE: a handshake initiation that is passed on at once; 0: none. */
        size_t first_len;
        uint8_t first[HANDSHAKE_SIZE_MAX];
} RelayMessage;
/* To ALLOCATE; to RELEASE it is an empty map. */
typedef struct RelayResponse {
        uint32_t allocation;
} RelayResponse;
GBytes *relay_message_encode(const RelayMessage *m);
int relay_message_decode(const uint8_t *buf, size_t len, RelayMessage *ret);
GBytes *relay_response_encode(const RelayResponse *r);
int relay_response_decode(const uint8_t *buf, size_t len, RelayResponse *ret);
