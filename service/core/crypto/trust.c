/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/crypto/trust.h"

#include <string.h>

#include "base/macros.h"
#include "core/crypto/identity.h"

const char *trust_verdict_to_string(TrustVerdict v) {
        switch (v) {
        case TRUST_OK:
                return "ok";
        case TRUST_FORGED:
                return "forged";
        case TRUST_NO_AUTHORITY:
                return "no-authority";
        case TRUST_NOT_YET_VALID:
                return "not-yet-valid";
        case TRUST_EXPIRED:
                return "expired";
        case TRUST_REVOKED:
                return "revoked";
        }
        return NULL;
}

bool trust_is_departure(const Record *r) {
        return r->body.kind == RECORD_REVOCATION && r->body.revocation.reason == REVOCATION_LEFT &&
               machine_id_equal(&r->signer, &r->body.machine);
}

/* Is @signer an authority by @certificate, whose signature is not looked at yet? An issuer's
 * certificate comes from the root alone, so that there is no chain to follow. */
static bool is_issuer_by(const NetworkId *network, const MachineId *signer, const Record *certificate) {
        return certificate && certificate->body.kind == RECORD_CERTIFICATE &&
               machine_id_equal(&certificate->body.machine, signer) &&
               (certificate->body.certificate.roles & ROLE_ISSUER) &&
               machine_id_equal(&certificate->signer, network);
}

/* docs/protocol.md, "Signed records". Who may sign is asked before the signatures: it costs
 * nothing, and forgeries are most often of that kind. */
TrustVerdict
trust_verify_record(const NetworkId *network, const Record *r, const Record *issuer_certificate) {
        bool by_issuer = false;

        switch (r->body.kind) {
        case RECORD_PRESENCE:
                if (!machine_id_equal(&r->signer, &r->body.machine))
                        return TRUST_NO_AUTHORITY;
                break;
        case RECORD_CERTIFICATE:
        case RECORD_LEASE:
        case RECORD_REVOCATION:
                if (machine_id_equal(&r->signer, network) || trust_is_departure(r))
                        break;
                if (!is_issuer_by(network, &r->signer, issuer_certificate))
                        return TRUST_NO_AUTHORITY;
                if (r->body.kind == RECORD_CERTIFICATE && (r->body.certificate.roles & ROLE_ISSUER))
                        return TRUST_NO_AUTHORITY;
                by_issuer = true;
                break;
        case _RECORD_KIND_MAX:
                return TRUST_NO_AUTHORITY;
        }
        if (record_verify_signature(r, network) < 0)
                return TRUST_FORGED;
        if (by_issuer && record_verify_signature(issuer_certificate, network) < 0)
                return TRUST_FORGED;
        return TRUST_OK;
}

TrustVerdict trust_check_validity(const Record *r, usec_t realtime) {
        switch (r->body.kind) {
        case RECORD_CERTIFICATE:
                if (usec_add(realtime, VALIDITY_TOLERANCE) < r->body.not_before)
                        return TRUST_NOT_YET_VALID;
                __attribute__((fallthrough)); /* a presence record has an end only */
        case RECORD_PRESENCE:
                if (usec_sub(realtime, VALIDITY_TOLERANCE) > r->body.not_after)
                        return TRUST_EXPIRED;
                return TRUST_OK;
        case RECORD_LEASE:
        case RECORD_REVOCATION:
                return TRUST_OK;
        case _RECORD_KIND_MAX:
                break;
        }
        return TRUST_NO_AUTHORITY;
}

bool machine_id_same_key(const MachineId *a, const MachineId *b) {
        const size_t last = MACHINE_ID_SIZE - 1;

        /* The sign of x is bit 255 (RFC 8032 section 5.1.2); X25519 knows u only. */
        return memcmp(a->bytes, b->bytes, last) == 0 &&
               ((a->bytes[last] ^ b->bytes[last]) & 0x7f) == 0;
}
