/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers on the channels `enrol` and `cert` (docs/protocol.md).
 *
 * Nothing is answered before what it says is on disk: a use of an invite and the certificate it
 * gave are one transaction. Answers may get lost, so every question can be asked again: a machine
 * that has its certificate is welcomed with it, whatever brings it here.
 */
#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/enrol/enrol-internal.h"

#define ENROL_CHANNEL "enrol"
#define CERT_CHANNEL "cert"
/* Revocations that go with a welcome; gossip brings the rest. Half of a message. */
#define WELCOME_RECORDS_MAX (32U * 1024U)

void enrol_tell_enrolled(EnrolService *s, const Record *certificate) {
        enrol_forget_applicant(s, &certificate->body.machine);
        if (s->config.enrolled)
                s->config.enrolled(s->config.userdata, certificate);
}

/* --- answers --- */

static void answer_error(EnrolService *s, ChannelRequest *request, WireError error) {
        const ChannelProvider *p = mesh_channels(s->config.mesh);

        p->ops->fail(p->self, request, error);
}

/* Consumes @bytes. */
static void answer(EnrolService *s, ChannelRequest *request, GBytes *bytes) {
        const ChannelProvider *p = mesh_channels(s->config.mesh);
        g_autoptr(GBytes) owned = bytes;

        if (bytes)
                p->ops->reply(p->self, request, g_bytes_get_data(bytes, NULL),
                              g_bytes_get_size(bytes));
        else
                p->ops->fail(p->self, request, WIRE_ERROR_FAILED);
}

typedef struct Collected {
        GPtrArray *records;
        size_t size;
} Collected;

static void collect(void *userdata, Record *record) {
        Collected *c = userdata;

        c->size += g_bytes_get_size(record->bytes) + 3;
        if (c->size <= WELCOME_RECORDS_MAX)
                g_ptr_array_add(c->records, record_ref(record));
}

/* What the new member needs before gossip tells it the rest: where the gateway is, and who is not
 * to be trusted. */
static GPtrArray *welcome_records(const EnrolService *s) {
        const Directory *d = s->config.directory;
        const MachineId *self = &s->config.issuer->id;
        Collected c = {
                .records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref),
        };
        Record *lease = directory_get(d, RECORD_LEASE, self);
        Record *presence = directory_get(d, RECORD_PRESENCE, self);

        if (lease)
                collect(&c, lease);
        if (presence)
                collect(&c, presence);
        directory_foreach(d, RECORD_REVOCATION, collect, &c);
        return c.records;
}

static void welcome(EnrolService *s, ChannelRequest *request, Record *certificate) {
        Record *issuer = directory_issuer(s->config.directory, &s->config.issuer->id);
        EnrolResponse response = {
                .status = ENROL_WELCOME,
                .certificate = record_ref(certificate),
                .issuer_certificate = issuer ? record_ref(issuer) : NULL,
                .subnet = s->config.subnet,
                .gateway = s->config.issuer->id,
                .records = welcome_records(s),
        };

        g_strlcpy(response.network_name, s->network_name, sizeof(response.network_name));
        memcpy(response.secret, secret_bytes(s->config.secret), sizeof(response.secret));
        answer(s, request, enrol_response_encode(&response));
        enrol_response_clear(&response);
}

/* --- enrol --- */

static bool verify_applicant(const EnrolService *s, const MachineId *machine, const EnrolRequest *r) {
        uint8_t data[2 * MACHINE_ID_SIZE];

        /* The link proves the X25519 key, which two ids have; this proves the id. */
        memcpy(data, s->config.network.bytes, MACHINE_ID_SIZE);
        memcpy(data + MACHINE_ID_SIZE, machine->bytes, MACHINE_ID_SIZE);
        return signature_verify(machine, ENROL_CONTEXT, data, sizeof(data), r->signature) >= 0;
}

static WireError error_of(int r) {
        return r == -ENOBUFS       ? WIRE_ERROR_FULL
               : r == -EEXIST      ? WIRE_ERROR_NAME_TAKEN
               : r == -EPERM       ? WIRE_ERROR_NOT_PERMITTED
               : r == -ETIME       ? WIRE_ERROR_CLOCK
               : r == -EKEYEXPIRED ? WIRE_ERROR_ABSENT
                                   : WIRE_ERROR_FAILED;
}

int enrol_let_in(
                EnrolService *s,
                const uint8_t id[static INVITE_ID_SIZE],
                const MachineId *machine,
                const char *name,
                const char *owner,
                bool again,
                Record **ret) {
        const StoredInvite *invite = enrol_find_invite(s, id);
        g_autoptr(Record) certificate = NULL;
        int k;

        k = enrol_make_certificate(
                        s, machine, invite->name[0] ? invite->name : name, owner, &certificate);
        if (k < 0)
                return k;
        if (!again) {
                k = enrol_burn_invite(s, id, certificate);
                if (k < 0)
                        return k;
        }
        k = directory_offer(s->config.directory, certificate, again, NULL);
        if (k < 0)
                return k;
        if (k != DIRECTORY_NEWS)
                return -EPERM; /* revoked meanwhile */
        *ret = TAKE_PTR(certificate);
        return 0;
}

/* By an invite that is good. */
static void
handle_invited(EnrolService *s,
               const uint8_t id[static INVITE_ID_SIZE],
               const MachineId *machine,
               ChannelRequest *request,
               const EnrolRequest *r,
               bool again) {
        g_autoptr(Record) certificate = NULL;
        int k;

        mesh_charge(s->config.mesh, machine, COST_COMMIT);
        k = enrol_let_in(s, id, machine, r->name, r->owner, again, &certificate);
        if (k < 0) {
                answer_error(s, request, error_of(k));
                return;
        }
        welcome(s, request, certificate);
        enrol_tell_enrolled(s, certificate);
}

static void handle_applicant(
                EnrolService *s,
                const uint8_t id[static INVITE_ID_SIZE],
                const MachineId *machine,
                const Endpoint *from,
                ChannelRequest *request,
                const EnrolRequest *r) {
        static const EnrolResponse pending = { .status = ENROL_PENDING };
        int k = enrol_apply(s, id, machine, from, r);

        if (k < 0)
                answer_error(s, request, error_of(k));
        else
                answer(s, request, enrol_response_encode(&pending));
}

static void
handle_stranger(EnrolService *s,
                const uint8_t id[static INVITE_ID_SIZE],
                const MachineId *machine,
                const Endpoint *from,
                ChannelRequest *request,
                const EnrolRequest *r) {
        int v = enrol_check_invite(s, id, machine);

        /* Who has asked in time goes on waiting, for nothing else. */
        if (v == INVITE_EXPIRED && enrol_find_invite(s, id)->needs_approval &&
            enrol_is_waiting(s, machine))
                v = INVITE_OK;
        switch (v) {
        case INVITE_EXPIRED:
                answer_error(s, request, WIRE_ERROR_INVITE_EXPIRED);
                return;
        case INVITE_OK:
        case INVITE_OK_AGAIN:
                if (enrol_find_invite(s, id)->needs_approval)
                        handle_applicant(s, id, machine, from, request, r);
                else
                        handle_invited(s, id, machine, request, r, v == INVITE_OK_AGAIN);
                return;
        case INVITE_UNKNOWN:
                answer_error(s, request, WIRE_ERROR_INVITE_INVALID);
                return;
        case INVITE_USED_UP:
                enrol_forget_applicant(s, machine);
                answer_error(s, request, WIRE_ERROR_INVITE_USED);
                return;
        default: /* the store failed */
                answer_error(s, request, WIRE_ERROR_FAILED);
        }
}

static void
on_enrol(void *userdata,
         const MachineId *sender,
         ChannelRequest *request,
         const uint8_t *data,
         size_t len) {
        EnrolService *s = userdata;
        g_autoptr(Record) certificate = NULL;
        uint8_t id[INVITE_ID_SIZE];
        bool has_invite;
        Endpoint from;
        EnrolRequest r;
        int k;

        if (enrol_request_decode(data, len, &r) < 0) {
                answer_error(s, request, WIRE_ERROR_MALFORMED);
                return;
        }
        mesh_charge(s->config.mesh, sender, COST_SIGNATURE);
        if (!verify_applicant(s, sender, &r) || directory_is_revoked(s->config.directory, sender)) {
                answer_error(s, request, WIRE_ERROR_NOT_PERMITTED);
                return;
        }
        has_invite = mesh_enrol_invite(s->config.mesh, sender, id, &from);
        /* A member that comes again gets what it has, renewed if it ends soon. */
        k = enrol_renew_certificate(s, sender, &certificate);
        if (k < 0 && k != -ENOENT)
                answer_error(s, request, error_of(k));
        else if (certificate) {
                /* A member needs no invite, but the one it showed is no secret any more; one that
                 * needs an approval lets nobody in by itself. */
                if (has_invite && enrol_check_invite(s, id, sender) == INVITE_OK &&
                    !enrol_find_invite(s, id)->needs_approval)
                        (void) enrol_burn_invite(s, id, certificate);
                welcome(s, request, certificate);
        } else if (has_invite)
                handle_stranger(s, id, sender, &from, request, &r);
        else
                answer_error(s, request, WIRE_ERROR_NOT_PERMITTED);
}

/* --- cert --- */

static void
on_cert(void *userdata,
        const MachineId *sender,
        ChannelRequest *request,
        const uint8_t *data,
        size_t len) {
        enrol_handle_cert(userdata, sender, request);
}

/* --- revocation --- */

int enrol_service_revoke(EnrolService *s, const MachineId *machine, RevocationReason reason) {
        Directory *d = s->config.directory;
        RecordBody body = {
                .kind = RECORD_REVOCATION,
                .machine = *machine,
                .version = directory_next_version(d, RECORD_REVOCATION, machine),
                .revocation.reason = reason,
        };
        g_autoptr(Record) record = NULL;
        int r;

        if (machine_id_same_key(machine, &s->config.issuer->id) ||
            machine_id_same_key(machine, &s->config.network))
                return -EPERM;
        if (!directory_certificate(d, machine))
                return -ENOENT;
        r = identity_sign_record(s->config.issuer, &s->config.network, &body, &record);
        if (r < 0)
                return r;
        r = directory_offer(d, record, true, NULL);
        if (r < 0)
                return r;
        return r == DIRECTORY_NEWS ? 0 : -EPERM;
}

static void collect_orphan(void *userdata, Record *record) {
        GPtrArray *orphans = userdata;

        g_ptr_array_add(orphans, record_ref(record));
}

/* What a revoked issuer revoked stays revoked, and who has left has left, but neither's word proves
 * anything to a newcomer any more: we say it again in our own name. */
static void adopt_revocations(EnrolService *s) {
        g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
        Directory *d = s->config.directory;

        directory_foreach(d, RECORD_REVOCATION, collect_orphan, all);
        for (unsigned i = 0; i < all->len; i++) {
                const Record *old = all->pdata[i];
                g_autoptr(Record) record = NULL;
                RecordBody body = old->body;

                if (!directory_is_revoked(d, &old->signer))
                        continue;
                body.version = directory_next_version(d, RECORD_REVOCATION, &body.machine);
                if (identity_sign_record(s->config.issuer, &s->config.network, &body, &record) >= 0)
                        (void) directory_offer(d, record, false, NULL);
        }
}

static void
on_record(void *userdata,
          RecordKind kind,
          const MachineId *machine,
          const Record *record,
          const Record *old) {
        /* Issuers have signed something; whoever else was revoked has not. */
        if (kind == RECORD_REVOCATION && !old)
                adopt_revocations(userdata);
}

/* --- the clock --- */

EnrolRepair enrol_service_clock_changed(EnrolService *s) {
        EnrolRepair done = {};

        /* First: what we sign counts by it. Who cannot be asked is asked again. */
        (void) enrol_service_renew_own(s);
        done.certificates = enrol_set_certificates_right(s);
        done.invites = enrol_set_invites_right(s);
        return done;
}

void enrol_service_set_name(EnrolService *s, const char *name) {
        g_free(s->network_name);
        s->network_name = g_strdup(name);
        s->config.network_name = s->network_name;
}

void enrol_service_set_policy(EnrolService *s, usec_t max_absence, usec_t grace) {
        s->config.max_absence = max_absence;
        s->config.grace = grace;
}

/* --- life --- */

static bool
on_lookup(void *userdata,
          const uint8_t id[static INVITE_ID_SIZE],
          const MachineId *machine,
          uint8_t ret_psk[static 32]) {
        const uint8_t *psk = enrol_invite_psk(userdata, id);

        if (!psk)
                return false;
        memcpy(ret_psk, psk, SECRET_SIZE);
        return true;
}

int enrol_service_new(const EnrolServiceConfig *config, EnrolService **ret) {
        const ChannelProvider *p = mesh_channels(config->mesh);
        EnrolService *s = NEW(EnrolService);
        int r;

        s->config = *config;
        if (s->config.grace == 0)
                s->config.grace = ENROL_GRACE_DEFAULT;
        s->network_name = g_strdup(config->network_name);
        s->config.network_name = s->network_name;
        enrol_init_applicants(s);
        directory_observe(config->directory, on_record, s);
        r = enrol_load_invites(s);
        if (r >= 0)
                r = p->ops->on_channel(p->self, ENROL_CHANNEL, NULL, on_enrol, s);
        if (r >= 0)
                r = p->ops->on_channel(p->self, CERT_CHANNEL, NULL, on_cert, s);
        if (r < 0) {
                enrol_service_free(s);
                return r;
        }
        adopt_revocations(s);
        (void) enrol_service_clock_changed(s);
        mesh_set_issuer(config->mesh, on_lookup, s);
        *ret = s;
        return 0;
}

EnrolService *enrol_service_free(EnrolService *s) {
        const ChannelProvider *p;

        if (!s)
                return NULL;
        p = mesh_channels(s->config.mesh);
        mesh_set_issuer(s->config.mesh, NULL, NULL);
        (void) p->ops->off_channel(p->self, ENROL_CHANNEL);
        (void) p->ops->off_channel(p->self, CERT_CHANNEL);
        directory_unobserve(s->config.directory, on_record, s);
        enrol_free_applicants(s);
        enrol_free_invites(s);
        g_free(s->network_name);
        sodium_memzero(s, sizeof(*s));
        g_free(s);
        return NULL;
}
