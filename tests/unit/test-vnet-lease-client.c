/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/wire/control.h"
#include "lease-world.h"

/* A member: its own directory, to which the gateway's news come at once (gossip), or not. */
typedef struct Client {
        LeaseWorld *world;
        MachineId id;
        MockNode *node;
        MemoryStore *store;
        Directory *directory;
        LeaseClient *client;
        GString *log; /* "bound 10.0.0.100;", "error NoGateway;", ... */
        bool hears_gossip;
} Client;

static void on_changed(void *userdata, WireError error, const Record *lease) {
        Client *c = userdata;

        if (error)
                g_string_append_printf(c->log, "%s;", wire_error_name(error));
        else if (lease)
                g_string_append_printf(
                                c->log, "bound %s;", ip_format(&lease->body.lease.address).text);
}

static void
gossip(void *userdata,
       RecordKind kind,
       const MachineId *machine,
       const Record *record,
       const Record *old) {
        Client *c = userdata;

        if (c->hears_gossip && record)
                (void) directory_offer(c->directory, (Record *) record, false, NULL);
}

static void copy_record(void *userdata, Record *record) {
        (void) directory_offer(userdata, record, false, NULL);
}

static void start_client(Client *c) {
        LeaseClientConfig config = {
                .provider = mock_node_provider(c->node),
                .env = mock_mesh_env(c->world->mesh),
                .directory = c->directory,
                .self = c->id,
                .name = "laptop",
                .changed = on_changed,
                .userdata = c,
        };

        assert_int_equal(lease_client_new(&config, &c->client), 0);
}

static void client_init(Client *c, LeaseWorld *w, unsigned i) {
        *c = (Client){ .world = w,
                       .store = memory_store_new(),
                       .log = g_string_new(NULL),
                       .hears_gossip = true };
        c->id = lease_world_member(w, i);
        c->node = mock_mesh_add(w->mesh, &c->id);
        assert_int_equal(
                        directory_new(&w->net.id, mock_mesh_env(w->mesh),
                                      memory_store_mesh(c->store), &c->directory),
                        0);
        directory_foreach(w->directory, RECORD_CERTIFICATE, copy_record, c->directory);
        directory_foreach(w->directory, RECORD_LEASE, copy_record, c->directory);
        directory_observe(w->directory, gossip, c);
        mock_mesh_link_up(w->mesh, w->gateway, c->node);
}

static void client_done(Client *c) {
        directory_unobserve(c->world->directory, gossip, c);
        lease_client_free(c->client);
        directory_free(c->directory);
        memory_store_free(c->store);
        g_string_free(c->log, TRUE);
}
#define CLIENT(c, w, i)                                                                            \
        _cleanup_(client_done) Client c;                                                           \
        client_init(&c, &w, i)

/* Starts it as a network does: with the gateway known from the start. */
static void go(Client *c) {
        start_client(c);
        lease_client_set_gateway(c->client, &c->world->net.issuer->id);
        mock_mesh_run(c->world->mesh, USEC_PER_SEC);
}

static const Record *own_lease(const Client *c) {
        return directory_get(c->directory, RECORD_LEASE, &c->id);
}

static void expect(Client *c, const char *log) {
        assert_string_equal(c->log->str, log);
        g_string_truncate(c->log, 0);
}

/* It has left: its own word, which takes its lease away everywhere. */
static void end_membership(Client *c, unsigned i) {
        Identity *identity = mock_identity(i);
        RecordBody body = {
                .kind = RECORD_REVOCATION,
                .machine = c->id,
                .version = directory_realtime(c->world->directory),
                .revocation.reason = REVOCATION_LEFT,
        };
        g_autoptr(Record) record = mock_record(&c->world->net, identity, &body);

        identity_free(identity);
        assert_int_equal(directory_offer(c->world->directory, record, true, NULL), DIRECTORY_NEWS);
}

static void cut(Client *c, bool apart) {
        mock_mesh_set_reachable(c->world->mesh, c->world->gateway, c->node, !apart);
}

static void test_dhcp_over_mock_mesh(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);

        go(&c);
        expect(&c, "bound 10.0.0.100;");
        assert_string_equal(ip_format(&own_lease(&c)->body.lease.address).text, "10.0.0.100");
}

/* The answer alone is enough; gossip may come later. */
static void test_without_gossip(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);

        c.hears_gossip = false;
        go(&c);
        expect(&c, "bound 10.0.0.100;");
}

/* A power cut right after the answer, and the gateway does not come back: still an address. */
static void test_lease_survives_power_cut(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);

        c.hears_gossip = false;
        assert_int_equal(directory_flush(c.directory), 0);
        go(&c);
        c.client = lease_client_free(c.client);
        c.directory = directory_free(c.directory);
        memory_store_lose_power(c.store);
        assert_int_equal(
                        directory_new(&w.net.id, mock_mesh_env(w.mesh), memory_store_mesh(c.store),
                                      &c.directory),
                        0);
        assert_non_null(own_lease(&c));
}

static void test_full_disk(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);

        c.hears_gossip = false;
        memory_store_fail_after(c.store, 0, -ENOSPC);
        go(&c);
        expect(&c, "bound 10.0.0.100;");
}

static void test_no_gateway(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);

        start_client(&c);
        expect(&c, ""); /* not from inside new() */
        mock_mesh_run(w.mesh, USEC_PER_HOUR);
        expect(&c, "NoGateway;");
        lease_client_set_gateway(c.client, &w.net.issuer->id);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        expect(&c, "bound 10.0.0.100;");
}

static void test_renews_at_half_time(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);
        usec_t since;

        go(&c);
        expect(&c, "bound 10.0.0.100;");
        since = own_lease(&c)->body.version;
        mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT / 2 - 2 * USEC_PER_SEC);
        expect(&c, "");
        mock_mesh_run(w.mesh, 2 * USEC_PER_SEC);
        expect(&c, "bound 10.0.0.100;");
        assert_in_range(own_lease(&c)->body.version, since + LEASE_LIFETIME_DEFAULT / 2,
                        since + LEASE_LIFETIME_DEFAULT / 2 + USEC_PER_SEC);
        /* Once a half-life, no more. */
        for (unsigned i = 0; i < 10; i++)
                mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT / 2);
        assert_int_equal(w.changes, 12);
}

typedef struct Counter {
        unsigned requests;
        usec_t at[64];
        LeaseWorld *world;
} Counter;

static bool swallow_requests(
                void *userdata,
                MockNode *from,
                MockNode *to,
                MockKind kind,
                const char *channel,
                const uint8_t *data,
                size_t len) {
        Counter *n = userdata;

        if (kind != MOCK_REQUEST)
                return true;
        if (n->requests < ELEMENTSOF(n->at))
                n->at[n->requests] = mock_mesh_now(n->world->mesh);
        n->requests++;
        return false;
}

/* 1 s, 2 s, ... 60 s, each up to a quarter shorter, behind the 10 s of a request. */
static void test_retries(void **state) {
        static const unsigned pause[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);
        Counter n = { .world = &w };

        mock_mesh_set_tap(w.mesh, swallow_requests, &n);
        go(&c);
        mock_mesh_run(w.mesh, 10 * USEC_PER_MINUTE);
        assert_true(n.requests > ELEMENTSOF(pause));
        for (size_t i = 0; i < ELEMENTSOF(pause); i++) {
                usec_t gap = n.at[i + 1] - n.at[i] - 10 * USEC_PER_SEC;

                assert_in_range(gap, pause[i] * USEC_PER_SEC * 3 / 4, pause[i] * USEC_PER_SEC);
        }
        expect(&c, "Timeout;"); /* once */
        /* A kick starts from the beginning. */
        mock_mesh_set_tap(w.mesh, NULL, NULL);
        mock_mesh_run(w.mesh, 11 * USEC_PER_SEC);
        lease_client_kick(c.client);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        expect(&c, "bound 10.0.0.100;");
}

static void test_errors_are_reported_once(void **state) {
        LEASE_WORLD(w, "10.0.0.0/30");
        CLIENT(c1, w, 1);
        CLIENT(c2, w, 2);

        go(&c1);
        expect(&c1, "bound 10.0.0.2;");
        go(&c2);
        mock_mesh_run(w.mesh, USEC_PER_HOUR);
        expect(&c2, "PoolEmpty;");
        end_membership(&c1, 1);
        mock_mesh_run(w.mesh, USEC_PER_MINUTE);
        /* Its address is free at once, whatever was left of the lease. */
        expect(&c1, "Revoked;");
        expect(&c2, "bound 10.0.0.2;");
}

/* The LAN outlives its gateway: a lease from before a restart is used at once. */
static void test_restart_without_gateway(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);

        go(&c);
        expect(&c, "bound 10.0.0.100;");
        c.client = lease_client_free(c.client);
        cut(&c, true);
        mock_mesh_run(w.mesh, 2 * LEASE_LIFETIME_DEFAULT); /* long expired */
        start_client(&c);
        lease_client_set_gateway(c.client, &w.net.issuer->id);
        mock_mesh_run(w.mesh, 0);
        expect(&c, "bound 10.0.0.100;");
        mock_mesh_run(w.mesh, USEC_PER_HOUR);
        expect(&c, "Timeout;");
        assert_non_null(own_lease(&c));
        /* It comes back. */
        cut(&c, false);
        mock_mesh_run(w.mesh, 2 * USEC_PER_MINUTE);
        expect(&c, "bound 10.0.0.100;");
        assert_true(own_lease(&c)->body.not_after > directory_realtime(c.directory));
}

static void test_restart_renews_in_the_background(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);
        usec_t version;

        go(&c);
        version = own_lease(&c)->body.version;
        c.client = lease_client_free(c.client);
        mock_mesh_run(w.mesh, USEC_PER_HOUR);
        g_string_truncate(c.log, 0);
        go(&c);
        expect(&c, "bound 10.0.0.100;bound 10.0.0.100;");
        assert_true(own_lease(&c)->body.version > version);
}

static void test_gateway_back_after_expiry(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);

        go(&c);
        cut(&c, true);
        mock_mesh_run(w.mesh, 3 * LEASE_LIFETIME_DEFAULT);
        expect(&c, "bound 10.0.0.100;Timeout;");
        cut(&c, false);
        mock_mesh_run(w.mesh, 2 * USEC_PER_MINUTE);
        expect(&c, "bound 10.0.0.100;");
}

static void test_kick(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);

        go(&c);
        lease_client_kick(c.client); /* not time yet */
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        expect(&c, "bound 10.0.0.100;");
        assert_int_equal(w.changes, 1);
}

static void test_free_while_asking(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);

        start_client(&c);
        lease_client_set_gateway(c.client, &w.net.issuer->id);
        mock_mesh_run(w.mesh, USEC_PER_MSEC);
        c.client = lease_client_free(c.client);
        assert_int_equal(mock_mesh_open_requests(w.mesh), 0);
        mock_mesh_run(w.mesh, USEC_PER_HOUR);
        expect(&c, "");
}

static void test_other_gateway(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);
        MachineId nobody = mock_machine_id(5);

        start_client(&c);
        lease_client_set_gateway(c.client, &nobody);
        mock_mesh_run(w.mesh, USEC_PER_SEC / 2);
        expect(&c, "NoGateway;");
        lease_client_set_gateway(c.client, &w.net.issuer->id);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        expect(&c, "bound 10.0.0.100;");
}

/* Somebody turns up who had our address before us. We take another. */
static void test_address_conflict(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);
        MachineId other = lease_world_member(&w, 2);
        g_autoptr(Record) older = mock_lease(
                        &w.net, w.net.issuer, &other, "10.0.0.100", MOCK_NOW - USEC_PER_HOUR);

        go(&c);
        expect(&c, "bound 10.0.0.100;");
        assert_int_equal(directory_offer(w.directory, older, false, NULL), DIRECTORY_NEWS);
        assert_null(own_lease(&c));
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        expect(&c, "AddressLost;bound 10.0.0.101;");
}

/* An administrator takes the lease back: ask again at once. */
static void test_lease_taken_back(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);

        go(&c);
        mock_mesh_run(w.mesh, USEC_PER_HOUR);
        assert_int_equal(lease_service_release(w.service, &c.id), 0);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        expect(&c, "bound 10.0.0.100;AddressLost;bound 10.0.0.100;");
        assert_false(lease_is_released(own_lease(&c)));
}

static void test_revoked(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);
        g_autoptr(Record) revocation = NULL;
        unsigned changes;

        go(&c);
        revocation = mock_revocation(&w.net, w.net.issuer, &c.id, directory_realtime(w.directory));
        g_string_truncate(c.log, 0);
        assert_int_equal(directory_offer(w.directory, revocation, false, NULL), DIRECTORY_NEWS);
        changes = w.changes;
        mock_mesh_run(w.mesh, 2 * LEASE_LIFETIME_DEFAULT);
        expect(&c, "Revoked;");
        assert_int_equal(w.changes, changes);
}

/* A gateway that answers with rubbish, or with a lease of somebody else. */
typedef struct BadGateway {
        MockNode *node;
        const Record *lease;
} BadGateway;

static void
on_bad_request(void *userdata,
               const MachineId *sender,
               ChannelRequest *request,
               const uint8_t *data,
               size_t len) {
        BadGateway *g = userdata;
        const ChannelProvider *p = mock_node_provider(g->node);
        DhcpResponse a = { .lease = (Record *) g->lease };
        g_autoptr(GBytes) bytes = NULL;

        assert_int_equal(ip_parse("10.0.0.1", &a.gateway), 0);
        bytes = dhcp_response_encode(&a);
        p->ops->reply(p->self, request, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static void test_bad_answers(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        CLIENT(c, w, 1);
        MachineId other = lease_world_member(&w, 2);
        g_autoptr(Record) not_ours = mock_lease(&w.net, w.net.issuer, &other, "10.0.0.100", MOCK_NOW);
        Identity *forger = mock_identity(9);
        g_autoptr(Record) forged = mock_lease(&w.net, forger, &c.id, "10.0.0.100", MOCK_NOW);
        BadGateway g = { .node = w.gateway };
        const ChannelProvider *p = mock_node_provider(w.gateway);
        const Record *leases[] = { NULL, not_ours, forged };

        w.service = lease_service_free(w.service);
        assert_int_equal(p->ops->on_channel(p->self, "dhcp", NULL, on_bad_request, &g), 0);
        for (size_t i = 0; i < ELEMENTSOF(leases); i++) {
                g.lease = leases[i];
                go(&c);
                assert_null(own_lease(&c));
                c.client = lease_client_free(c.client);
                expect(&c, "Malformed;");
        }
        assert_int_equal(p->ops->off_channel(p->self, "dhcp"), 0);

        /* Neither does it disturb a lease we have. */
        lease_world_stop(&w);
        lease_world_start(&w);
        go(&c);
        expect(&c, "bound 10.0.0.100;");
        w.service = lease_service_free(w.service);
        assert_int_equal(p->ops->on_channel(p->self, "dhcp", NULL, on_bad_request, &g), 0);
        for (size_t i = 0; i < ELEMENTSOF(leases); i++) {
                g.lease = leases[i];
                mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT);
                assert_string_equal(ip_format(&own_lease(&c)->body.lease.address).text, "10.0.0.100");
        }
        expect(&c, "Malformed;");
        assert_int_equal(p->ops->off_channel(p->self, "dhcp"), 0);
        identity_free(forger);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_dhcp_over_mock_mesh),
                cmocka_unit_test(test_without_gossip),
                cmocka_unit_test(test_lease_survives_power_cut),
                cmocka_unit_test(test_full_disk),
                cmocka_unit_test(test_no_gateway),
                cmocka_unit_test(test_renews_at_half_time),
                cmocka_unit_test(test_retries),
                cmocka_unit_test(test_errors_are_reported_once),
                cmocka_unit_test(test_restart_without_gateway),
                cmocka_unit_test(test_restart_renews_in_the_background),
                cmocka_unit_test(test_gateway_back_after_expiry),
                cmocka_unit_test(test_kick),
                cmocka_unit_test(test_free_while_asking),
                cmocka_unit_test(test_other_gateway),
                cmocka_unit_test(test_address_conflict),
                cmocka_unit_test(test_lease_taken_back),
                cmocka_unit_test(test_revoked),
                cmocka_unit_test(test_bad_answers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
