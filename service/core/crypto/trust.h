/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who may say what (docs/protocol.md, "Signed records"): the root is the network id; it signs
 * certificates; a machine whose root-signed certificate has the role `issuer` is an authority and
 * signs certificates (without that role), leases and revocations; every machine signs its own
 * presence, and that it has left. Pure functions: time, revocations and the issuer's certificate are handed in.
 */

#include "core/wire/record.h"

/* How far clocks may be apart. */
#define VALIDITY_TOLERANCE USEC_PER_DAY

typedef enum TrustVerdict {
        TRUST_OK,
        TRUST_FORGED,       /* signature does not hold */
        TRUST_NO_AUTHORITY, /* signer may not sign this kind, or its certificate is missing */
        TRUST_NOT_YET_VALID,
        TRUST_EXPIRED,
        TRUST_REVOKED,
} TrustVerdict;
const char *trust_verdict_to_string(TrustVerdict v);

/**
 * trust_verify_record() - signature and authority of any record; validity is not looked at
 * @issuer_certificate: certificate of @r's signer if that is neither the root nor (presence,
 *                      departure) the machine itself; its own signature is verified here too. May be NULL.
 */
TrustVerdict
trust_verify_record(const NetworkId *network, const Record *r, const Record *issuer_certificate);

/* A machine's own word that its membership is over: a revocation of itself, reason "left". */
bool trust_is_departure(const Record *r);

/* Validity at @realtime, with the tolerance. Leases and revocations are always TRUST_OK here:
 * an expired lease is honoured until somebody else has its address. */
TrustVerdict trust_check_validity(const Record *r, usec_t realtime);

/* Ids that only differ in the sign bit are the same key for X25519: compared without it. */
bool machine_id_same_key(const MachineId *a, const MachineId *b);
