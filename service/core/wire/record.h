/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Signed records (docs/protocol.md, "Signed records"): certificates, leases, revocations,
 * presence. A Record owns the exact bytes that were signed and the decoded body. Codec only:
 * whether a signature holds and the signer may sign is core/crypto/trust.h.
 */

#include <glib.h>

#include "base/endpoint.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/machine-id.h"
#include "base/time.h"

typedef enum RecordKind {
        RECORD_CERTIFICATE = 1,
        RECORD_LEASE = 2,
        RECORD_REVOCATION = 3,
        RECORD_PRESENCE = 4,
        _RECORD_KIND_MAX,
} RecordKind;

const char *record_kind_to_string(RecordKind kind); /* "certificate", ...; NULL for others */

typedef enum Role {
        ROLE_MEMBER = 1 << 0,
        ROLE_GATEWAY = 1 << 1,
        ROLE_ISSUER = 1 << 2,
        ROLE_RELAY = 1 << 3,
        ROLE_EXIT = 1 << 4, /* its word that it leads to the internet is believed */
} Role;

typedef enum RevocationReason {
        REVOCATION_REMOVED = 0,
        REVOCATION_LEFT = 1,
        REVOCATION_KEY_LOST = 2,
} RevocationReason;

#define HOST_NAME_MAX_LEN 63U /* a DNS label, RFC 1123 section 2.1 */
#define OWNER_MAX_LEN 64U
#define GROUPS_MAX 8U
#define SOFTWARE_MAX_LEN 32U
/* Relays a machine names through which it is reached: one, and one when that fails. */
#define RELAYS_MAX 2U

typedef enum PresenceFlag {
        PRESENCE_RELAYS = 1 << 0,  /* it relays for members */
        PRESENCE_EXIT_V4 = 1 << 1, /* it is an exit to the internet, by IPv4 */
        PRESENCE_EXIT_V6 = 1 << 2,
        PRESENCE_EXITS = PRESENCE_EXIT_V4 | PRESENCE_EXIT_V6,
} PresenceFlag;

/* The decoded body; which fields mean something depends on the kind. */
typedef struct RecordBody {
        RecordKind kind;
        MachineId machine;            /* whom it is about */
        usec_t version;               /* newer wins */
        usec_t not_before, not_after; /* realtime; presence has not_after only */
        union {
                struct {
                        char name[HOST_NAME_MAX_LEN + 1];
                        char owner[OWNER_MAX_LEN + 1];
                        unsigned roles;
                        unsigned n_groups;
                        char groups[GROUPS_MAX][HOST_NAME_MAX_LEN + 1];
                        usec_t grace; /* honoured so long beyond its end where no issuer is */
                } certificate;
                struct {
                        IpAddr address; /* AF_INET */
                        uint8_t prefix_len;
                        char name[HOST_NAME_MAX_LEN + 1];
                } lease;
                struct {
                        RevocationReason reason;
                } revocation;
                struct {
                        unsigned n_endpoints;
                        Endpoint endpoints[ENDPOINTS_MAX];
                        char software[SOFTWARE_MAX_LEN + 1];
                        unsigned flags; /* PresenceFlag */
                        unsigned n_relays;
                        MachineId relays[RELAYS_MAX];
                        unsigned n_streams;
                        Endpoint streams[STREAM_ENDPOINTS_MAX]; /* ENDPOINT_TCP */
                } presence;
        };
} RecordBody;

typedef struct Record {
        gatomicrefcount n_ref;
        RecordBody body;
        MachineId signer;
        uint8_t signature[64];
        GBytes *encoded_body; /* what the signature is over */
        GBytes *bytes;        /* the whole record as it goes on the wire and into the store */
        uint8_t hash[8];      /* record hash, docs/protocol.md "gossip" */
} Record;

/**
 * record_body_encode() - canonical CBOR of @body
 * Return: bytes (caller owns), or NULL if a field is out of its bounds (too long a name, ...).
 */
GBytes *record_body_encode(const RecordBody *body);

/**
 * record_new() - put a signed record together
 * @encoded_body: as signed; a reference is taken
 * Return: 0 and a record with one reference; -EBADMSG if the body does not decode as @kind.
 */
int record_new(RecordKind kind,
               GBytes *encoded_body,
               const MachineId *signer,
               const uint8_t signature[static 64],
               Record **ret);

/**
 * record_decode() - read foreign bytes
 *
 * Refuses: more than RECORD_MAX bytes, trailing bytes, indefinite lengths, duplicate keys,
 * unknown kinds, values out of range, names that are no DNS labels, unusable endpoints. Unknown
 * keys are kept in the bytes and ignored, roles and flags that only later versions know are
 * left out of the body, and an unknown reason to revoke reads as REVOCATION_REMOVED.
 * Return: 0, or -EBADMSG.
 */
int record_decode(const uint8_t *buf, size_t len, Record **ret);

Record *record_ref(Record *r);
void record_unref(Record *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Record, record_unref)

/* Lower case letters, digits, inner hyphens, 1 to 63 characters (RFC 1123 section 2.1). */
bool host_name_is_valid(const char *name);
/* Makes a valid host name of anything ("Anna's Laptop.local" -> "annas-laptop"); "machine" if
 * nothing is left. */
void host_name_normalize(const char *text, char ret[static HOST_NAME_MAX_LEN + 1]);
