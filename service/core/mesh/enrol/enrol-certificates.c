/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates: made, renewed, set right; the channel `cert` (docs/protocol.md).
 *
 * A membership does not end by the calendar: whoever was let in and not sent away gets a new
 * certificate whenever it comes, unless the administrator has set how long a machine may be away.
 * The one thing an issuer must not do is sign by a wrong clock, so it asks before each signature;
 * what it signed by one that was ahead it signs anew when the clock is right.
 *
 * Its own certificate is the root's to sign. Ten years are long, but they end, and one that a clock
 * made which was ahead is from the future for everybody. So the root is asked in time.
 */
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/directory/directory-internal.h"
#include "core/mesh/enrol/enrol-internal.h"

#define ROLES_OF_NEW_MACHINES (ROLE_MEMBER | ROLE_RELAY)
/* Host names tried; at most 5 digits. */
#define NAME_TRIES 65536U
/* What is signed later than now by less than this is no sign of a wrong clock: NTP steps back. */
#define AHEAD_MIN USEC_PER_MINUTE

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

bool enrol_clock_is_right(const EnrolService *s) {
        return wall_clock_state(directory_clock(s->config.directory)) == WALL_CLOCK_FINE;
}

/* --- making --- */

/* Dates and signs @body, which is complete but for them. */
static int sign(EnrolService *s, RecordBody *body, Record **ret) {
        Directory *d = s->config.directory;
        usec_t now = directory_realtime(d);

        if (!enrol_clock_is_right(s))
                return -ETIME;
        body->version = directory_next_version(d, RECORD_CERTIFICATE, &body->machine);
        body->not_before = now;
        body->not_after = usec_add(now, CERTIFICATE_LIFETIME);
        body->certificate.grace = s->config.grace;
        return identity_sign_record(s->config.issuer, &s->config.network, body, ret);
}

int enrol_make_certificate(
                EnrolService *s,
                const MachineId *machine,
                const char *wanted,
                const char *owner,
                Record **ret) {
        Directory *d = s->config.directory;
        RecordBody body = {
                .kind = RECORD_CERTIFICATE,
                .machine = *machine,
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
        return sign(s, &body, ret);
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
                .certificate.grace = ENROL_GRACE_DEFAULT,
        };

        host_name_normalize(name, body.certificate.name);
        g_strlcpy(body.certificate.owner, owner, sizeof(body.certificate.owner));
        return identity_sign_record(root, &root->id, &body, ret);
}

/* --- renewing --- */

static bool was_away_too_long(const EnrolService *s, const Record *c, usec_t now) {
        return s->config.max_absence != 0 &&
               now > usec_add(c->body.not_before, s->config.max_absence);
}

/* Half of its life is left, and it was made by a clock like ours. */
static bool is_good_for_long(const Record *c, usec_t now) {
        return c->body.not_before <= usec_add(now, AHEAD_MIN) &&
               usec_add(now, (c->body.not_after - c->body.not_before) / 2) < c->body.not_after;
}

/* @body is of a certificate that is there. Return: 0 and the new one, durable. */
static int sign_again(EnrolService *s, RecordBody *body, Record **ret) {
        g_autoptr(Record) renewed = NULL;
        int r;

        r = sign(s, body, &renewed);
        if (r < 0)
                return r;
        r = directory_offer(s->config.directory, renewed, true, NULL);
        if (r < 0)
                return r;
        if (r != DIRECTORY_NEWS)
                return -EPERM; /* another issuer was faster, or it is revoked */
        *ret = TAKE_PTR(renewed);
        return 0;
}

int enrol_renew_certificate(EnrolService *s, const MachineId *machine, Record **ret) {
        Directory *d = s->config.directory;
        Record *c = directory_certificate(d, machine);
        usec_t now = directory_realtime(d);
        RecordBody body;

        if (!c)
                return -ENOENT;
        /* What the root signed only the root renews. */
        if (machine_id_equal(&c->signer, &s->config.network) || is_good_for_long(c, now)) {
                *ret = record_ref(c);
                return 0;
        }
        if (enrol_clock_is_right(s) && was_away_too_long(s, c, now))
                return -EKEYEXPIRED;
        body = c->body;
        return sign_again(s, &body, ret);
}

int enrol_service_rename(EnrolService *s, const MachineId *machine, const char *name) {
        const Record *c = directory_certificate(s->config.directory, machine);
        g_autoptr(Record) renamed = NULL;
        RecordBody body;

        if (!c)
                return -ENOENT;
        if (!host_name_is_valid(name))
                return -EINVAL;
        if (strcmp(c->body.certificate.name, name) == 0)
                return 0;
        if (machine_id_equal(&c->signer, &s->config.network))
                return -EPERM;
        if (!name_is_free(s, name, machine))
                return -EEXIST;
        body = c->body;
        g_strlcpy(body.certificate.name, name, sizeof body.certificate.name);
        return sign_again(s, &body, &renamed);
}

int enrol_service_set_exit(EnrolService *s, const MachineId *machine, bool may) {
        const Record *c = directory_certificate(s->config.directory, machine);
        g_autoptr(Record) changed = NULL;
        RecordBody body;

        if (!c)
                return -ENOENT;
        if (may == !!(c->body.certificate.roles & ROLE_EXIT))
                return 0;
        if (machine_id_equal(&c->signer, &s->config.network))
                return -EPERM;
        body = c->body;
        body.certificate.roles ^= ROLE_EXIT;
        return sign_again(s, &body, &changed);
}

static void note_ahead(void *userdata, Record *certificate) {
        GPtrArray *ahead = userdata;

        g_ptr_array_add(ahead, record_ref(certificate));
}

unsigned enrol_set_certificates_right(EnrolService *s) {
        g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
        Directory *d = s->config.directory;
        usec_t now = directory_realtime(d);
        unsigned n = 0;

        if (!enrol_clock_is_right(s))
                return 0;
        directory_foreach(d, RECORD_CERTIFICATE, note_ahead, all);
        for (unsigned i = 0; i < all->len; i++) {
                const Record *c = all->pdata[i];
                g_autoptr(Record) right = NULL;
                RecordBody body = c->body;

                if (c->body.not_before <= usec_add(now, AHEAD_MIN) ||
                    !machine_id_equal(&c->signer, &s->config.issuer->id))
                        continue;
                if (sign(s, &body, &right) >= 0 &&
                    directory_offer(d, right, false, NULL) == DIRECTORY_NEWS)
                        n++;
        }
        return n;
}

/* --- our own --- */

static bool is_due(const Record *c, usec_t now) {
        return c->body.not_before > usec_add(now, AHEAD_MIN) ||
               c->body.not_after < usec_add(now, ISSUER_RENEW_USEC);
}

int enrol_service_renew_own(EnrolService *s) {
        Directory *d = s->config.directory;
        const Record *c = directory_certificate(d, &s->config.issuer->id);
        g_autoptr(Record) renewed = NULL;
        usec_t now = directory_realtime(d);
        RecordBody body;
        int r;

        if (!c || !enrol_clock_is_right(s) || !is_due(c, now))
                return 0;
        if (!s->config.sign_by_root)
                return -ENOENT;
        body = c->body;
        body.version = directory_next_version(d, RECORD_CERTIFICATE, &body.machine);
        /* What was signed under the old one counts by its version: it must go on to. */
        body.not_before = MIN(body.not_before, now);
        /* Versions only rise: what a clock signed that was ahead stays ahead, signed anew too. */
        body.not_after = usec_add(MAX(now, body.version), ISSUER_CERTIFICATE_LIFETIME);
        r = s->config.sign_by_root(s->config.userdata, &body, &renewed);
        if (r < 0)
                return r;
        r = directory_offer(d, renewed, true, NULL);
        if (r < 0)
                return r;
        return r == DIRECTORY_NEWS ? 0 : -EKEYREJECTED; /* by another root, most likely */
}

/* --- the channel --- */

static WireError error_of(int r) {
        return r == -ETIME         ? WIRE_ERROR_CLOCK
               : r == -EKEYEXPIRED ? WIRE_ERROR_ABSENT
               : r == -ENOENT      ? WIRE_ERROR_NOT_PERMITTED
                                   : WIRE_ERROR_FAILED;
}

void enrol_handle_cert(EnrolService *s, const MachineId *sender, ChannelRequest *request) {
        const ChannelProvider *p = mesh_channels(s->config.mesh);
        Directory *d = s->config.directory;
        CertResponse response = {};
        g_autoptr(Record) certificate = NULL;
        g_autoptr(GBytes) bytes = NULL;
        int r = 0;

        /* Who was sent away while it was away is shown why nobody answers it any more. */
        response.revocation = directory_get(d, RECORD_REVOCATION, sender);
        if (!response.revocation) {
                r = enrol_renew_certificate(s, sender, &certificate);
                if (r >= 0) {
                        response.certificate = certificate;
                        response.issuer_certificate = directory_issuer(d, &certificate->signer);
                }
        }
        bytes = r < 0 ? NULL : cert_response_encode(&response);
        if (bytes)
                p->ops->reply(p->self, request, g_bytes_get_data(bytes, NULL),
                              g_bytes_get_size(bytes));
        else
                p->ops->fail(p->self, request, error_of(r));
}
