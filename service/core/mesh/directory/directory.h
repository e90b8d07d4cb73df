/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a machine knows of its network: the newest valid record of each kind for each machine.
 * Every record passes directory_offer(), which verifies signature and authority (trust.h),
 * resolves conflicts and tells the observers; nothing else puts a record in. Gossip keeps the
 * directories of all members alike.
 */

#include "base/drop-reason.h"
#include "core/crypto/trust.h"
#include "core/mesh/directory/wall-clock.h"
#include "core/mesh/env.h"
#include "core/mesh/mesh-store.h"
#include "core/wire/record.h"

typedef struct Directory Directory;

typedef enum DirectoryVerdict {
        DIRECTORY_NEWS,    /* taken, and news: pass it on */
        DIRECTORY_KNOWN,   /* have it, or a newer one */
        DIRECTORY_LOST,    /* kept, but not shown: another lease has the better claim */
        DIRECTORY_WAITING, /* its issuer's certificate is not known yet: kept aside, bounded */
        DIRECTORY_REFUSED, /* forged, no authority, void; see ret_verdict */
} DirectoryVerdict;

/* @old: the record that went, or NULL. @record: NULL when a record went without a successor (a
 * revocation voids certificate, lease and presence; a lease lost its address to another). */
typedef void (*DirectoryObserver)(
                void *userdata,
                RecordKind kind,
                const MachineId *machine,
                const Record *record,
                const Record *old);

/* Loads what @store has (@store may be NULL: nothing is kept). */
int directory_new(const NetworkId *network, const MeshEnv *env, const MeshStore *store, Directory **ret);
Directory *directory_free(Directory *d);

/**
 * directory_offer() - a record from anywhere
 * @durable: commit it to the store before this returns; else it is written with the next commit
 *           or after a few seconds
 * @ret_verdict: why it was refused; may be NULL
 * Return: DirectoryVerdict, or negative errno if @durable and the store failed: the record is
 * then not taken.
 */
int directory_offer(Directory *d, Record *record, bool durable, TrustVerdict *ret_verdict);

/**
 * directory_offer_batch() - records of our own making, durable in one commit
 * @records: of Record; certificates or leases, no two of one machine, none that only counts because
 *           of another
 * @ret_verdicts: one for each; what is not news is left out of the commit, and nothing waits
 * Observers are told when all have been taken.
 * Return: 0, or negative errno if the store failed: then none is taken.
 */
int directory_offer_batch(Directory *d, GPtrArray *records, DirectoryVerdict *ret_verdicts);

/* Borrowed; NULL if there is none. Revoked machines have only their revocation. */
Record *directory_get(const Directory *d, RecordKind kind, const MachineId *machine);
static inline Record *directory_certificate(const Directory *d, const MachineId *machine) {
        return directory_get(d, RECORD_CERTIFICATE, machine);
}
/* Who holds the lease of @address (expired ones too: they are honoured); NULL: nobody. */
Record *directory_lease_of_address(const Directory *d, const IpAddr *address);
bool directory_is_revoked(const Directory *d, const MachineId *machine);
/* Certificate of an authority other than the root; what trust_verify_record() wants. */
Record *directory_issuer(const Directory *d, const MachineId *signer);

/**
 * directory_check_member() - may this machine talk to us now?
 * @honour_expired: no issuer can be reached that would have renewed its certificate: it counts
 *                  beyond its end, as long as it says (RecordBody.certificate.grace)
 * Return: DROP_NONE, DROP_NOT_A_MEMBER, DROP_CERTIFICATE_EXPIRED or DROP_REVOKED.
 */
DropReason directory_check_member(const Directory *d, const MachineId *machine, bool honour_expired);
/* The same of a certificate (and its issuer's) from a handshake: both are verified and offered
 * first. The newest of the machine counts, whichever was shown. */
DropReason
directory_check_peer(Directory *d, Record *certificate, Record *issuer_certificate, bool honour_expired);

/* In order of machine id. The callback may not change the directory. */
void directory_foreach(
                const Directory *d,
                RecordKind kind,
                void (*callback)(void *userdata, Record *record),
                void *userdata);
/* Leases: also those that lost their address to another. */
unsigned directory_count(const Directory *d, RecordKind kind);

/**
 * directory_find() - a machine as people name it: full id, unique prefix, host name or address
 * Return: 0, -ENOENT, -ENOTUNIQ.
 */
int directory_find(const Directory *d, const char *text, MachineId *ret);

/* What time it is, see wall-clock.h. Borrowed. */
WallClock *directory_clock(const Directory *d);
static inline usec_t directory_realtime(const Directory *d) {
        return wall_clock_now(directory_clock(d));
}
/* A version for a new record of ours: now, or one more than the last. */
usec_t directory_next_version(Directory *d, RecordKind kind, const MachineId *machine);

/* Observers are called in order of registration, after the directory has changed. What an
 * observer's own offers lead to is told after all were told of what it was called for. */
void directory_observe(Directory *d, DirectoryObserver observer, void *userdata);
void directory_unobserve(Directory *d, DirectoryObserver observer, void *userdata);

/* For gossip alone: every record that is taken, shown or not, while it is taken: the callback may
 * note it and no more. NULL: nobody. */
void directory_on_taken(Directory *d, void (*taken)(void *userdata, Record *record), void *userdata);
/* For gossip (docs/protocol.md, "gossip"): sums of the record hashes in 256 buckets. */
void directory_digest(const Directory *d, uint64_t ret[static 256]);
/* The same of revocations alone, in 32 buckets, each of 8 of the others. */
void directory_revocations(const Directory *d, uint64_t ret[static 32]);
/* Calls back with every record of the bucket, also leases that are not shown. */
void directory_foreach_in_bucket(
                const Directory *d,
                unsigned bucket,
                void (*callback)(void *userdata, Record *record),
                void *userdata);
/* Borrowed; NULL: none. The record with this hash (little-endian), shown or not. */
Record *directory_by_hash(const Directory *d, uint64_t hash);
/* Writes what waits for the next commit. */
int directory_flush(Directory *d);
