/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A gateway that lets machines in, and machines that want in, for the tests of enrolment; after
 * cmocka.h and what it needs. */

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/kdf.h"
#include "core/mesh/enrol/enrol-internal.h"
#include "memory-store.h"
#include "mock-mesh.h"
#include "mock-records.h"

#define SELF_ENDPOINT "192.0.2.1:18002"

typedef struct Joiner {
        Identity *identity;
        MockNode *mock;
        EnrolClient *client;
        GString *log; /* "pending;" "welcome NAME;" "error X;" */
        GBytes *certificate;
        bool keep; /* do not free the client in its callback */
} Joiner;

typedef struct Fixture {
        MockNetwork net;
        MockMesh *mesh;
        MemoryStore *store;
        Secret *secret;
        MockNode *gateway;
        Directory *directory;
        EnrolService *service;
        unsigned n_joiners;
        Joiner joiner[80];
        GString *log; /* of the service's callbacks */
        bool swallow_answers;
        unsigned n_asked; /* for a certificate */
        GBytes *replace_answer;
} Fixture;

/* --- service --- */

_unused_ static void
on_pending(void *userdata, const MachineId *machine, const char *name, bool pending) {
        Fixture *f = userdata;

        g_string_append_printf(f->log, "%cpending %s;", pending ? '+' : '-', name);
}

_unused_ static void on_enrolled(void *userdata, const Record *certificate) {
        Fixture *f = userdata;

        g_string_append_printf(f->log, "enrolled %s;", certificate->body.certificate.name);
}

_unused_ static void start_service(Fixture *f) {
        EnrolServiceConfig config = {
                .mesh = mock_mesh_of(f->gateway),
                .env = mock_mesh_env(f->mesh),
                .store = memory_store_mesh(f->store),
                .issuer = f->net.issuer,
                .network = f->net.id,
                .network_name = "home",
                .secret = f->secret,
                .pending_changed = on_pending,
                .enrolled = on_enrolled,
                .userdata = f,
        };

        assert_int_equal(ip_prefix_parse("10.0.0.0/16", &config.subnet), 0);
        assert_int_equal(directory_new(&f->net.id, config.env, config.store, &f->directory), 0);
        config.directory = f->directory;
        assert_int_equal(enrol_service_new(&config, &f->service), 0);
}

/* The gateway's power fails and comes back. */
_unused_ static void power_cycle(Fixture *f) {
        f->service = enrol_service_free(f->service);
        f->directory = directory_free(f->directory);
        memory_store_lose_power(f->store);
        start_service(f);
}

_unused_ static bool
tap(void *userdata,
    MockNode *from,
    MockNode *to,
    MockKind kind,
    const char *channel,
    const uint8_t *data,
    size_t len) {
        Fixture *f = userdata;

        f->n_asked += kind == MOCK_REQUEST && strcmp(channel, "cert") == 0;
        return !(f->swallow_answers && kind == MOCK_RESPONSE);
}

_unused_ static int setup(void **state) {
        Fixture *f = NEW(Fixture);
        g_autoptr(Record) presence = NULL;

        mock_network_init(&f->net);
        f->mesh = mock_mesh_new(7);
        mock_mesh_set_realtime(f->mesh, MOCK_NOW);
        mock_mesh_set_tap(f->mesh, tap, f);
        f->store = memory_store_new();
        f->secret = secret_new((const uint8_t[SECRET_SIZE]){ 1, 2, 3 });
        f->log = g_string_new(NULL);
        f->gateway = mock_mesh_add(f->mesh, &f->net.issuer->id);
        start_service(f);
        directory_offer(f->directory, f->net.issuer_certificate, true, NULL);
        presence = mock_presence(&f->net, f->net.issuer, SELF_ENDPOINT, MOCK_NOW);
        directory_offer(f->directory, presence, true, NULL);
        *state = f;
        return 0;
}

_unused_ static void joiner_done(Joiner *j) {
        enrol_client_free(j->client);
        mock_mesh_of_done(j->mock);
        identity_free(j->identity);
        g_string_free(j->log, TRUE);
        g_clear_pointer(&j->certificate, g_bytes_unref);
}

_unused_ static int teardown(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < f->n_joiners; i++)
                joiner_done(&f->joiner[i]);
        enrol_service_free(f->service);
        mock_mesh_of_done(f->gateway);
        directory_free(f->directory);
        memory_store_free(f->store);
        secret_unref(f->secret);
        mock_mesh_free(f->mesh);
        mock_network_done(&f->net);
        g_string_free(f->log, TRUE);
        g_free(f);
        return 0;
}

_unused_ static void expect(GString *log, const char *text) {
        assert_string_equal(log->str, text);
        g_string_truncate(log, 0);
}

_unused_ static char *invite(Fixture *f, const InviteOptions *options) {
        StoredInvite stored;
        char *link = NULL;

        assert_int_equal(enrol_service_invite(f->service, options, &link, &stored), 0);
        return link;
}

/* --- joiners --- */

_unused_ static Joiner *add_joiner(Fixture *f) {
        Joiner *j = &f->joiner[f->n_joiners++];

        j->identity = mock_identity(f->n_joiners);
        j->mock = mock_mesh_add(f->mesh, &j->identity->id);
        j->log = g_string_new(NULL);
        return j;
}

_unused_ static void on_done(void *userdata, WireError error, const EnrolResponse *response) {
        Joiner *j = userdata;

        if (error)
                g_string_append_printf(j->log, "error %s;", wire_error_name(error));
        else if (response->status == ENROL_PENDING) {
                if (!strstr(j->log->str, "pending"))
                        g_string_append(j->log, "pending;");
                return;
        } else {
                g_string_append_printf(
                                j->log, "welcome %s;", response->certificate->body.certificate.name);
                g_clear_pointer(&j->certificate, g_bytes_unref);
                j->certificate = g_bytes_ref(response->certificate->bytes);
        }
        if (!j->keep)
                j->client = enrol_client_free(j->client);
}

_unused_ static void start(Fixture *f, Joiner *j, const char *link, const char *name, usec_t timeout) {
        Invite parsed;

        j->client = enrol_client_free(j->client);
        assert_int_equal(invite_parse(link, &parsed), 0);
        assert_int_equal(
                        enrol_client_start(
                                        mock_mesh_of(j->mock), mock_mesh_env(f->mesh), j->identity,
                                        &parsed, name, "owner", timeout, on_done, j, &j->client),
                        0);
}

_unused_ static const char *join(Fixture *f, Joiner *j, const char *link, const char *name) {
        g_string_truncate(j->log, 0);
        start(f, j, link, name, 10 * USEC_PER_SEC);
        mock_mesh_run(f->mesh, 11 * USEC_PER_SEC);
        return j->log->str;
}
