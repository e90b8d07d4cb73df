/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers on the channels `enrol` and `cert` (docs/protocol.md).
 *
 * Nothing is answered before what it says is on disk: a use of an invite and the certificate it
 * gave are one transaction. Answers may get lost, so every question can be asked again: a machine
 * that has its certificate is welcomed with it, whatever brings it here.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/directory/directory-internal.h"
#include "core/mesh/enrol/enrol-internal.h"

#define ENROL_CHANNEL "enrol"
#define CERT_CHANNEL "cert"
#define ROLES_OF_NEW_MACHINES (ROLE_MEMBER | ROLE_RELAY)
/* Host names tried; at most 5 digits. */
#define NAME_TRIES 65536U
/* Revocations that go with a welcome; gossip brings the rest. Half of a message. */
#define WELCOME_RECORDS_MAX (32U * 1024U)

/* --- certificates --- */

static bool name_is_free(const EnrolService *s, const char *name, const MachineId *machine) {
        const DirectoryMachine *m = directory_table_by_name(&s->config.directory->table, name);

        for (; m; m = m->next_name)
                if (!machine_id_equal(&m->id, machine))
                        return false;
        return true;
}

/* @wanted, or @wanted-2, @wanted-3, ... */
static int
choose_name(const EnrolService *s,
            const char *wanted,
            const MachineId *machine,
            char ret[static HOST_NAME_MAX_LEN + 1]) {
        char base[HOST_NAME_MAX_LEN + 1];

        host_name_normalize(wanted, base);
        g_strlcpy(ret, base, HOST_NAME_MAX_LEN + 1);
        for (unsigned i = 2; i <= NAME_TRIES; i++) {
                if (name_is_free(s, ret, machine))
                        return 0;
                /* The end of a long name makes room for the number. */
                snprintf(ret, HOST_NAME_MAX_LEN + 1, "%.*s-%u", (int) HOST_NAME_MAX_LEN - 6, base, i);
        }
        return -EEXIST;
}

int enrol_make_certificate(
                EnrolService *s,
                const MachineId *machine,
                const char *wanted,
                const char *owner,
                Record **ret) {
        Directory *d = s->config.directory;
        usec_t now = directory_realtime(d);
        RecordBody body = {
                .kind = RECORD_CERTIFICATE,
                .machine = *machine,
                .version = directory_next_version(d, RECORD_CERTIFICATE, machine),
                .not_before = now,
                .not_after = usec_add(now, CERTIFICATE_LIFETIME),
                .certificate.roles = ROLES_OF_NEW_MACHINES,
        };
        int r;

        if (!directory_certificate(d, machine) &&
            directory_count(d, RECORD_CERTIFICATE) >= MACHINES_MAX)
                return -ENOBUFS;
        r = choose_name(s, wanted, machine, body.certificate.name);
        if (r < 0)
                return r;
        g_strlcpy(body.certificate.owner, owner, sizeof(body.certificate.owner));
        return identity_sign_record(s->config.issuer, &s->config.network, &body, ret);
}

/* The same for another thirty days. */
static int renew_certificate(EnrolService *s, const Record *old, Record **ret) {
        Directory *d = s->config.directory;
        RecordBody body = old->body;

        body.version = directory_next_version(d, RECORD_CERTIFICATE, &body.machine);
        body.not_before = directory_realtime(d);
        body.not_after = usec_add(body.not_before, CERTIFICATE_LIFETIME);
        return identity_sign_record(s->config.issuer, &s->config.network, &body, ret);
}

void enrol_tell_enrolled(EnrolService *s, const Record *certificate) {
        enrol_forget_applicant(s, &certificate->body.machine);
        if (s->config.enrolled)
                s->config.enrolled(s->config.userdata, certificate);
}

int enrol_make_gateway_certificate(
                const Identity *root,
                const MachineId *machine,
                const char *name,
                const char *owner,
                usec_t realtime,
                Record **ret) {
        RecordBody body = {
                .kind = RECORD_CERTIFICATE,
                .machine = *machine,
                .version = realtime,
                .not_before = realtime,
                .not_after = usec_add(realtime, ISSUER_CERTIFICATE_LIFETIME),
                .certificate.roles = ROLE_MEMBER | ROLE_GATEWAY | ROLE_ISSUER | ROLE_RELAY,
        };

        host_name_normalize(name, body.certificate.name);
        g_strlcpy(body.certificate.owner, owner, sizeof(body.certificate.owner));
        return identity_sign_record(root, &root->id, &body, ret);
}

/* --- answers --- */

static void answer_error(EnrolService *s, ChannelRequest *request, const char *error) {
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
                p->ops->fail(p->self, request, CONTROL_ERROR_FAILED);
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

/* A member that comes again gets what it has, renewed if it ends soon; NULL: it has nothing. */
static int existing_certificate(EnrolService *s, const MachineId *machine, Record **ret) {
        Directory *d = s->config.directory;
        Record *c = directory_certificate(d, machine);
        usec_t now = directory_realtime(d);
        int r;

        *ret = NULL;
        if (!c || trust_check_validity(c, now) != TRUST_OK)
                return 0;
        if (machine_id_equal(&c->signer, &s->config.network) ||
            usec_add(now, (c->body.not_after - c->body.not_before) / 2) < c->body.not_after) {
                *ret = record_ref(c);
                return 0;
        }
        r = renew_certificate(s, c, ret);
        if (r < 0)
                return r;
        r = directory_offer(d, *ret, true, NULL);
        if (r < 0)
                g_clear_pointer(ret, record_unref);
        return r < 0 ? r : 0;
}

static const char *error_of(int r) {
        return r == -ENOBUFS  ? CONTROL_ERROR_FULL
               : r == -EEXIST ? CONTROL_ERROR_NAME_TAKEN
               : r == -EPERM  ? CONTROL_ERROR_NOT_PERMITTED
                              : CONTROL_ERROR_FAILED;
}

/* Return: 0 and the certificate, durable and in the directory, or negative errno. */
static int
enrol_by_invite(EnrolService *s,
                const uint8_t id[static INVITE_ID_SIZE],
                const MachineId *machine,
                const EnrolRequest *r,
                bool again,
                Record **ret) {
        const StoredInvite *invite = enrol_find_invite(s, id);
        g_autoptr(Record) certificate = NULL;
        int k;

        k = enrol_make_certificate(
                        s, machine, invite->name[0] ? invite->name : r->name, r->owner, &certificate);
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
                return -EPERM;
        *ret = TAKE_PTR(certificate);
        return 0;
}

static void
handle_invited(EnrolService *s,
               const uint8_t id[static INVITE_ID_SIZE],
               const MachineId *machine,
               ChannelRequest *request,
               const EnrolRequest *r) {
        g_autoptr(Record) certificate = NULL;
        int v = enrol_check_invite(s, id, machine);
        int k;

        switch (v) {
        case INVITE_OK:
        case INVITE_OK_AGAIN:
                k = enrol_by_invite(s, id, machine, r, v == INVITE_OK_AGAIN, &certificate);
                if (k < 0)
                        answer_error(s, request, error_of(k));
                else {
                        welcome(s, request, certificate);
                        enrol_tell_enrolled(s, certificate);
                }
                return;
        case INVITE_UNKNOWN:
                answer_error(s, request, CONTROL_ERROR_INVITE_INVALID);
                return;
        case INVITE_EXPIRED:
                answer_error(s, request, CONTROL_ERROR_INVITE_EXPIRED);
                return;
        case INVITE_USED_UP:
                answer_error(s, request, CONTROL_ERROR_INVITE_USED);
                return;
        default: /* the store failed */
                answer_error(s, request, CONTROL_ERROR_FAILED);
        }
}

static void handle_applicant(
                EnrolService *s,
                const MachineId *machine,
                ChannelRequest *request,
                const EnrolRequest *r) {
        static const EnrolResponse pending = { .status = ENROL_PENDING };
        int k = enrol_apply(s, machine, r);

        if (k < 0)
                answer_error(s, request, error_of(k));
        else
                answer(s, request, enrol_response_encode(&pending));
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
        EnrolRequest r;
        int k;

        if (enrol_request_decode(data, len, &r) < 0) {
                answer_error(s, request, CONTROL_ERROR_MALFORMED);
                return;
        }
        if (!verify_applicant(s, sender, &r) || directory_is_revoked(s->config.directory, sender)) {
                answer_error(s, request, CONTROL_ERROR_NOT_PERMITTED);
                return;
        }
        k = existing_certificate(s, sender, &certificate);
        if (k < 0)
                answer_error(s, request, CONTROL_ERROR_FAILED);
        else if (certificate) {
                /* A member needs no invite, but the one it showed is no secret any more. */
                if (mesh_enrol_invite(s->config.mesh, sender, id) &&
                    enrol_check_invite(s, id, sender) == INVITE_OK)
                        (void) enrol_burn_invite(s, id, certificate);
                welcome(s, request, certificate);
        } else if (mesh_enrol_invite(s->config.mesh, sender, id))
                handle_invited(s, id, sender, request, &r);
        else
                handle_applicant(s, sender, request, &r);
}

/* --- cert --- */

static void
on_cert(void *userdata,
        const MachineId *sender,
        ChannelRequest *request,
        const uint8_t *data,
        size_t len) {
        EnrolService *s = userdata;
        g_autoptr(Record) certificate = NULL;
        CertResponse response = {};
        Record *issuer;
        int r;

        if (directory_is_revoked(s->config.directory, sender)) {
                answer_error(s, request, CONTROL_ERROR_NOT_PERMITTED);
                return;
        }
        r = existing_certificate(s, sender, &certificate);
        if (r < 0 || !certificate) {
                answer_error(s, request, r < 0 ? CONTROL_ERROR_FAILED : CONTROL_ERROR_NOT_PERMITTED);
                return;
        }
        issuer = directory_issuer(s->config.directory, &certificate->signer);
        response.certificate = certificate;
        response.issuer_certificate = issuer;
        answer(s, request, cert_response_encode(&response));
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

/* What a revoked issuer revoked stays revoked, but its word proves nothing to a newcomer any more:
 * we say it again in our own name. */
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
