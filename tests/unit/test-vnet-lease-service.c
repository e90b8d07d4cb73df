/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "core/wire/control.h"
#include "lease-world.h"

/* Return: what lease_service_request() says; the address as text. */
static int try_request(LeaseWorld *w, const MachineId *id, const char *wanted, IpText *ret) {
        g_autoptr(Record) lease = NULL;
        IpAddr a = {};
        int r;

        if (wanted)
                assert_int_equal(ip_parse(wanted, &a), 0);
        r = lease_service_request(w->service, id, &a, "laptop", &lease);
        if (r != 0) {
                assert_null(lease);
                return r;
        }
        assert_true(machine_id_equal(&lease->body.machine, id));
        assert_ptr_equal(directory_get(w->directory, RECORD_LEASE, id), lease);
        if (ret)
                *ret = ip_format(&lease->body.lease.address);
        return 0;
}

static IpText request_wanted(LeaseWorld *w, const MachineId *id, const char *wanted) {
        IpText t = {};

        assert_int_equal(try_request(w, id, wanted, &t), 0);
        return t;
}

static IpText request(LeaseWorld *w, const MachineId *id) {
        return request_wanted(w, id, NULL);
}

static const Record *lease_of(LeaseWorld *w, const MachineId *id) {
        return directory_get(w->directory, RECORD_LEASE, id);
}

static void test_allocate_first_address(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1);
        const Record *lease;

        assert_string_equal(request(&w, &m1).text, "10.0.0.100");
        lease = lease_of(&w, &m1);
        assert_int_equal(lease->body.lease.prefix_len, 16);
        assert_string_equal(lease->body.lease.name, "machine1"); /* the certified one */
        assert_int_equal(lease->body.not_after, lease->body.not_before + LEASE_LIFETIME_DEFAULT);
        assert_int_equal(w.changes, 1);
}

static void test_same_machine_gets_same_ip(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2);

        assert_string_equal(request(&w, &m1).text, "10.0.0.100");
        assert_string_equal(request(&w, &m2).text, "10.0.0.101");
        assert_string_equal(request(&w, &m1).text, "10.0.0.100");
        /* Whatever it wants while its lease is valid. */
        assert_string_equal(request_wanted(&w, &m1, "10.0.0.200").text, "10.0.0.100");
        mock_mesh_run(w.mesh, USEC_PER_HOUR);
        assert_string_equal(request_wanted(&w, &m1, "10.0.0.200").text, "10.0.0.100");
}

static void test_sequential_allocation(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2),
                  m3 = lease_world_member(&w, 3);

        assert_string_equal(request(&w, &m1).text, "10.0.0.100");
        assert_string_equal(request(&w, &m2).text, "10.0.0.101");
        assert_string_equal(request(&w, &m3).text, "10.0.0.102");
}

static void test_release_and_reallocate(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2);

        assert_int_equal(lease_service_release(w.service, &m1), -ENOENT);
        request(&w, &m1);
        assert_int_equal(lease_service_release(w.service, &m1), 0);
        assert_true(lease_is_released(lease_of(&w, &m1)));
        assert_int_equal(lease_service_release(w.service, &m1), -ENOENT);
        assert_string_equal(request(&w, &m2).text, "10.0.0.100");
        assert_string_equal(request(&w, &m1).text, "10.0.0.101");
}

/* Released and back: its former address, if nobody has it, before the lowest free. */
static void test_former_address_again(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2);
        usec_t first;

        request(&w, &m1);
        request(&w, &m2);
        first = lease_of(&w, &m2)->body.not_before;
        mock_mesh_run(w.mesh, USEC_PER_HOUR);
        assert_int_equal(lease_service_release(w.service, &m1), 0);
        assert_int_equal(lease_service_release(w.service, &m2), 0);
        mock_mesh_run(w.mesh, USEC_PER_HOUR);
        assert_string_equal(request(&w, &m2).text, "10.0.0.101");
        assert_true(lease_of(&w, &m2)->body.not_before > first); /* a new claim */
}

static void test_wanted_address(void **state) {
        static const struct {
                const char *wanted, *given;
        } cases[] = {
                { "10.0.7.7", "10.0.7.7" },         { "10.0.7.7", "10.0.0.100" }, /* taken */
                { "10.0.0.1", "10.0.0.101" },     /* the gateway's */
                { "10.0.0.0", "10.0.0.102" },     /* the network's */
                { "10.0.255.255", "10.0.0.103" }, /* broadcast */
                { "10.0.0.99", "10.0.0.104" },    /* below the pool */
                { "10.1.0.5", "10.0.0.105" },     /* foreign */
                { "10.0.255.254", "10.0.255.254" }, { "10.0.0.110", "10.0.0.110" },
        };
        LEASE_WORLD(w, "10.0.0.0/16");

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                MachineId id = lease_world_member(&w, i + 1);

                assert_string_equal(request_wanted(&w, &id, cases[i].wanted).text, cases[i].given);
        }
}

static void test_renewal(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1);
        usec_t since, until;

        request(&w, &m1);
        since = lease_of(&w, &m1)->body.not_before;
        until = lease_of(&w, &m1)->body.not_after;
        mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT / 2);
        request(&w, &m1);
        assert_int_equal(lease_of(&w, &m1)->body.not_before, since); /* the claim is as old */
        assert_int_equal(lease_of(&w, &m1)->body.not_after, until + LEASE_LIFETIME_DEFAULT / 2);
        assert_int_equal(w.changes, 2);
}

/* Who asks again and again makes us neither sign nor write nor gossip. */
static void test_repeated_requests_cost_nothing(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1);
        const Record *lease;
        unsigned commits;

        request(&w, &m1);
        lease = lease_of(&w, &m1);
        commits = memory_store_commits(w.store);
        for (unsigned i = 0; i < 59; i++) {
                mock_mesh_run(w.mesh, USEC_PER_SEC);
                request(&w, &m1);
        }
        assert_ptr_equal(lease_of(&w, &m1), lease);
        assert_int_equal(w.changes, 1);
        assert_in_range(memory_store_commits(w.store), commits, commits + 1);
        mock_mesh_run(w.mesh, 2 * USEC_PER_SEC);
        request(&w, &m1);
        assert_ptr_not_equal(lease_of(&w, &m1), lease);
}

static void test_expired_keeps_its_address(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2);

        request(&w, &m1);
        mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT + USEC_PER_SEC);
        /* Nobody else gets it, not even by asking for it, while others are free. */
        assert_string_equal(request(&w, &m2).text, "10.0.0.101");
        mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT + USEC_PER_SEC);
        assert_string_equal(request_wanted(&w, &m2, "10.0.0.100").text, "10.0.0.101");
        assert_string_equal(request(&w, &m1).text, "10.0.0.100");
}

/* An expired lease may move where its machine wants; a valid one does not. */
static void test_expired_may_move(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2);

        request(&w, &m1);
        mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT + USEC_PER_SEC);
        assert_string_equal(request_wanted(&w, &m1, "10.0.0.100").text, "10.0.0.100");
        mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT + USEC_PER_SEC);
        assert_string_equal(request_wanted(&w, &m1, "10.0.3.3").text, "10.0.3.3");
        assert_string_equal(request(&w, &m2).text, "10.0.0.100");
}

/* /22: 10.0.0.100 to 10.0.3.254, 923 addresses. */
#define SMALL_POOL 923U

static void test_pool_exhaustion(void **state) {
        LEASE_WORLD(w, "10.0.0.0/22");
        g_autofree MachineId *id = g_new(MachineId, SMALL_POOL + 3);
        IpText t;

        for (unsigned i = 0; i < SMALL_POOL + 3; i++)
                id[i] = lease_world_member(&w, i + 1);
        for (unsigned i = 0; i < SMALL_POOL; i++) {
                IpAddr want = ip_from_v4(UINT32_C(0x0a000064) + i);

                assert_string_equal(request(&w, &id[i]).text, ip_format(&want).text);
                mock_mesh_run(w.mesh, USEC_PER_SEC);
        }
        assert_int_equal(try_request(&w, &id[SMALL_POOL], NULL, NULL), LEASE_E_POOL_EMPTY);
        assert_int_equal(try_request(&w, &id[SMALL_POOL], "10.0.2.0", NULL), LEASE_E_POOL_EMPTY);
        assert_null(lease_of(&w, &id[SMALL_POOL]));
        /* Who is there already is renewed. */
        assert_string_equal(request(&w, &id[7]).text, "10.0.0.107");

        /* One leaves: his place goes to the next. */
        assert_int_equal(lease_service_release(w.service, &id[500]), 0);
        t = request(&w, &id[SMALL_POOL]);
        assert_string_equal(t.text, "10.0.2.88");

        /* All run out but the seventh: the longest expired goes first, the valid never. */
        mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT / 2);
        request(&w, &id[7]);
        mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT / 2 + USEC_PER_MINUTE);
        assert_string_equal(request(&w, &id[SMALL_POOL + 1]).text, "10.0.0.100");
        assert_string_equal(request(&w, &id[SMALL_POOL + 2]).text, "10.0.0.101");
        assert_true(lease_is_released(lease_of(&w, &id[0])));
        assert_false(lease_is_released(lease_of(&w, &id[2])));
        /* He who lost it comes back, and takes the next one's. */
        assert_string_equal(request(&w, &id[0]).text, "10.0.0.102");
}

static void test_tiny_pool(void **state) {
        LEASE_WORLD(w, "10.0.0.0/30");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2);

        assert_string_equal(request(&w, &m1).text, "10.0.0.2");
        assert_int_equal(try_request(&w, &m2, NULL, NULL), LEASE_E_POOL_EMPTY);
}

static void test_not_permitted(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), stranger = mock_machine_id(77);
        g_autoptr(Record) revocation = NULL;

        assert_int_equal(try_request(&w, &stranger, NULL, NULL), LEASE_E_NOT_PERMITTED);
        revocation = mock_revocation(&w.net, w.net.issuer, &m1, MOCK_NOW + 1);
        assert_int_equal(directory_offer(w.directory, revocation, false, NULL), DIRECTORY_NEWS);
        assert_int_equal(try_request(&w, &m1, NULL, NULL), LEASE_E_NOT_PERMITTED);
        /* Certificates of 30 days and a day of tolerance. */
        m1 = lease_world_member(&w, 2);
        mock_mesh_run(w.mesh, 32 * USEC_PER_DAY);
        assert_int_equal(try_request(&w, &m1, NULL, NULL), LEASE_E_NOT_PERMITTED);
        assert_int_equal(w.changes, 0);
}

static void test_revocation_frees_the_address(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2);
        g_autoptr(Record) revocation = mock_revocation(&w.net, w.net.issuer, &m1, MOCK_NOW + 1000);

        request(&w, &m1);
        assert_int_equal(directory_offer(w.directory, revocation, false, NULL), DIRECTORY_NEWS);
        assert_string_equal(request(&w, &m2).text, "10.0.0.100");
}

/* Leases of another authority, heard by gossip, are taken addresses as well. */
static void test_lease_by_gossip(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2);
        g_autoptr(Record) lease = mock_lease(&w.net, w.net.root, &m1, "10.0.0.100", MOCK_NOW + 1000);

        assert_int_equal(directory_offer(w.directory, lease, false, NULL), DIRECTORY_NEWS);
        assert_string_equal(request(&w, &m2).text, "10.0.0.101");
        assert_string_equal(request(&w, &m1).text, "10.0.0.100");
}

/* --- durability --- */

static void test_restart(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2),
                  m3 = lease_world_member(&w, 3), m4;

        assert_int_equal(directory_flush(w.directory), 0);
        request(&w, &m1);
        request_wanted(&w, &m2, "10.0.0.102");
        request(&w, &m3);
        assert_int_equal(lease_service_release(w.service, &m3), 0);
        lease_world_stop(&w);
        memory_store_lose_power(w.store); /* right after the answer */
        lease_world_start(&w);
        m4 = lease_world_member(&w, 4);
        assert_string_equal(request(&w, &m4).text, "10.0.0.101");
        assert_string_equal(request(&w, &m3).text, "10.0.0.103"); /* its former one is taken */
        assert_string_equal(request(&w, &m1).text, "10.0.0.100");
        assert_string_equal(request(&w, &m2).text, "10.0.0.102");
}

static void test_store_failure(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2);

        assert_int_equal(directory_flush(w.directory), 0);
        for (unsigned n = 0; n < 3; n++) { /* begin, put, commit, ... */
                memory_store_fail_after(w.store, n, -ENOSPC);
                assert_int_equal(try_request(&w, &m1, NULL, NULL), -ENOSPC);
                assert_null(lease_of(&w, &m1));
        }
        memory_store_fail_after(w.store, 0, 0);
        assert_int_equal(w.changes, 0);
        assert_string_equal(request(&w, &m2).text, "10.0.0.100"); /* nothing has leaked */

        /* A renewal that fails leaves the lease as it was. */
        mock_mesh_run(w.mesh, USEC_PER_HOUR);
        memory_store_fail_after(w.store, 0, -EIO);
        assert_int_equal(try_request(&w, &m2, NULL, NULL), -EIO);
        assert_int_equal(lease_service_release(w.service, &m2), -EIO);
        memory_store_fail_after(w.store, 0, 0);
        assert_false(lease_is_released(lease_of(&w, &m2)));
        assert_string_equal(request(&w, &m1).text, "10.0.0.101");
}

/* The old holder's lease is released, then the disk is full: the address is free, not lost. */
static void test_store_failure_between_the_two_steps(void **state) {
        LEASE_WORLD(w, "10.0.0.0/30");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2);
        bool failed = false;

        request(&w, &m1);
        mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT + USEC_PER_HOUR);
        assert_int_equal(directory_flush(w.directory), 0);
        for (unsigned n = 0; n < 20; n++) {
                int r;

                memory_store_fail_after(w.store, n, -ENOSPC);
                r = try_request(&w, &m2, NULL, NULL);
                memory_store_fail_after(w.store, 0, 0);
                if (r == 0)
                        break;
                assert_int_equal(r, -ENOSPC);
                failed = true;
        }
        assert_true(failed);
        assert_string_equal(request(&w, &m2).text, "10.0.0.2");
        assert_int_equal(try_request(&w, &m1, NULL, NULL), LEASE_E_POOL_EMPTY);
}

/* --- the gateway's own address --- */

static void test_gateway_address(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        const MachineId *self = &w.net.issuer->id;
        usec_t until;

        assert_int_equal(lease_service_take_gateway_address(w.service, self, "gateway"), 0);
        assert_string_equal(ip_format(&lease_of(&w, self)->body.lease.address).text, "10.0.0.1");
        until = lease_of(&w, self)->body.not_after;
        /* Renewed by itself, for ever. */
        mock_mesh_run(w.mesh, 5 * USEC_PER_DAY);
        assert_true(lease_of(&w, self)->body.not_after >= until + 4 * USEC_PER_DAY);
        assert_string_equal(request_wanted(&w, self, "10.0.0.200").text, "10.0.0.1");
        assert_int_equal(lease_service_release(w.service, self), -ENOENT);
        /* After a restart the same. */
        lease_world_stop(&w);
        lease_world_start(&w);
        assert_int_equal(lease_service_take_gateway_address(w.service, self, "gateway"), 0);
        assert_string_equal(ip_format(&lease_of(&w, self)->body.lease.address).text, "10.0.0.1");
}

/* --- over the channel --- */

typedef struct Answer {
        unsigned n;
        char error[64];
        IpText address, gateway;
} Answer;

static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        _cleanup_(dhcp_response_clear) DhcpResponse r = {};
        Answer *a = userdata;

        a->n++;
        g_strlcpy(a->error, error ? wire_error_name(error) : "", sizeof a->error);
        if (error)
                return;
        assert_int_equal(dhcp_response_decode(data, len, &r), 0);
        a->gateway = ip_format(&r.gateway);
        if (r.lease)
                a->address = ip_format(&r.lease->body.lease.address);
}

static Answer ask(LeaseWorld *w, MockNode *client, const void *data, size_t len) {
        const ChannelProvider *p = mock_node_provider(client);
        Answer a = {};

        assert_int_equal(
                        p->ops->request(p->self, &w->net.issuer->id, "dhcp", data, len,
                                        10 * USEC_PER_SEC, on_answer, &a, NULL),
                        0);
        mock_mesh_run(w->mesh, USEC_PER_SEC);
        assert_int_equal(a.n, 1);
        return a;
}

static Answer ask_op(LeaseWorld *w, MockNode *client, DhcpOp op) {
        DhcpRequest q = { .op = op, .name = "laptop" };
        g_autoptr(GBytes) bytes = dhcp_request_encode(&q);

        return ask(w, client, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static void test_channel(void **state) {
        LEASE_WORLD(w, "10.0.0.0/30");
        MachineId m1 = lease_world_member(&w, 1), m2 = lease_world_member(&w, 2),
                  stranger = mock_machine_id(77);
        MockNode *c1 = mock_mesh_add(w.mesh, &m1), *c2 = mock_mesh_add(w.mesh, &m2),
                 *c3 = mock_mesh_add(w.mesh, &stranger);
        Answer a;

        a = ask_op(&w, c1, DHCP_REQUEST);
        assert_string_equal(a.error, "");
        assert_string_equal(a.address.text, "10.0.0.2");
        assert_string_equal(a.gateway.text, "10.0.0.1");
        assert_string_equal(ask_op(&w, c2, DHCP_REQUEST).error, "PoolEmpty");
        assert_string_equal(ask_op(&w, c3, DHCP_REQUEST).error, "NotPermitted");
        assert_string_equal(ask(&w, c3, "\xff\xff", 2).error, "Malformed");
        /* A release is of one's own lease, and may be repeated. */
        assert_string_equal(ask_op(&w, c2, DHCP_RELEASE).error, "");
        assert_false(lease_is_released(lease_of(&w, &m1)));
        assert_string_equal(ask_op(&w, c1, DHCP_RELEASE).error, "");
        assert_string_equal(ask_op(&w, c1, DHCP_RELEASE).error, "");
        memory_store_fail_after(w.store, 0, -EIO);
        assert_string_equal(ask_op(&w, c2, DHCP_REQUEST).error, "Failed");
        memory_store_fail_after(w.store, 0, 0);
        assert_string_equal(ask_op(&w, c2, DHCP_REQUEST).address.text, "10.0.0.2");
}

static void test_second_service_on_the_channel(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        LeaseServiceConfig config = {
                .provider = mock_node_provider(w.gateway),
                .env = mock_mesh_env(w.mesh),
                .directory = w.directory,
                .issuer = w.net.issuer,
                .network = w.net.id,
                .subnet = w.subnet,
        };
        MachineId m1 = lease_world_member(&w, 1);
        MockNode *c1 = mock_mesh_add(w.mesh, &m1);
        LeaseService *second = NULL;

        assert_int_equal(lease_service_new(&config, &second), -EEXIST);
        assert_null(second);
        assert_string_equal(ask_op(&w, c1, DHCP_REQUEST).address.text, "10.0.0.100");
}

/* --- many --- */

/* Each address once, in order, and nothing gets slower than its logarithm. */
static void test_ten_thousand_machines(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        g_autofree uint8_t *seen = g_malloc0(65536);

        for (unsigned i = 0; i < 10000; i++) {
                MachineId id = lease_world_member(&w, i + 1);
                IpAddr want = ip_from_v4(UINT32_C(0x0a000064) + i);

                assert_string_equal(request(&w, &id).text, ip_format(&want).text);
        }
        lease_world_stop(&w);
        lease_world_start(&w);
        {
                MachineId id = lease_world_member(&w, 20000);

                assert_string_equal(request(&w, &id).text, "10.0.39.116");
        }
}

/* Random requests, releases and time against rules checked one by one. */
static void test_against_twin(void **state) {
        enum { N = 40 }; /* machines, for 20 addresses */
        LEASE_WORLD(w, "10.0.0.0/16");
        guint32 seed = g_random_int();
        GRand *rand = g_rand_new_with_seed(seed);
        struct {
                MachineId id;
                uint32_t address; /* 0: none, or given back */
                usec_t until;
        } twin[N] = {};

        lease_world_stop(&w);
        assert_int_equal(ip_prefix_parse("10.0.0.0/27", &w.subnet), 0); /* .2 to .30 */
        lease_world_start(&w);
        for (unsigned i = 0; i < N; i++)
                twin[i].id = lease_world_member(&w, i + 1);
        for (unsigned step = 0; step < 2000; step++) {
                unsigned i = (unsigned) g_rand_int_range(rand, 0, N), holders = 0, expired = N;
                g_autoptr(Record) lease = NULL;
                uint32_t address;
                usec_t now;
                int r;

                mock_mesh_run(w.mesh, (usec_t) g_rand_int_range(rand, 0, 600) * USEC_PER_SEC);
                now = directory_realtime(w.directory);
                if (now > MOCK_NOW + 29 * USEC_PER_DAY)
                        break; /* the certificates end */
                for (unsigned j = 0; j < N; j++) {
                        if (twin[j].address == 0)
                                continue;
                        holders++;
                        if (j != i && twin[j].until <= now &&
                            (expired == N || twin[j].until < twin[expired].until))
                                expired = j;
                }
                if (g_rand_int_range(rand, 0, 4) == 0) {
                        r = lease_service_release(w.service, &twin[i].id);
                        assert_int_equal(r, twin[i].address ? 0 : -ENOENT);
                        twin[i].address = 0;
                        continue;
                }
                r = lease_service_request(w.service, &twin[i].id, &(IpAddr){}, "x", &lease);
                if (holders == 29 && twin[i].address == 0 && expired == N) {
                        if (r != LEASE_E_POOL_EMPTY)
                                fail_msg("seed %u step %u: not empty", seed, step);
                        continue;
                }
                if (r != 0)
                        fail_msg("seed %u step %u: %d", seed, step, r);
                address = ip_to_v4(&lease->body.lease.address);
                if (twin[i].address != 0 && twin[i].address != address)
                        fail_msg("seed %u step %u: moved", seed, step);
                for (unsigned j = 0; j < N; j++)
                        if (j != i && twin[j].address == address) {
                                if (holders < 29 || j != expired)
                                        fail_msg("seed %u step %u: taken away", seed, step);
                                twin[j].address = 0;
                        }
                twin[i].address = address;
                twin[i].until = lease->body.not_after;
        }
        g_rand_free(rand);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_allocate_first_address),
                cmocka_unit_test(test_same_machine_gets_same_ip),
                cmocka_unit_test(test_sequential_allocation),
                cmocka_unit_test(test_release_and_reallocate),
                cmocka_unit_test(test_former_address_again),
                cmocka_unit_test(test_wanted_address),
                cmocka_unit_test(test_renewal),
                cmocka_unit_test(test_repeated_requests_cost_nothing),
                cmocka_unit_test(test_expired_keeps_its_address),
                cmocka_unit_test(test_expired_may_move),
                cmocka_unit_test(test_pool_exhaustion),
                cmocka_unit_test(test_tiny_pool),
                cmocka_unit_test(test_not_permitted),
                cmocka_unit_test(test_revocation_frees_the_address),
                cmocka_unit_test(test_lease_by_gossip),
                cmocka_unit_test(test_restart),
                cmocka_unit_test(test_store_failure),
                cmocka_unit_test(test_store_failure_between_the_two_steps),
                cmocka_unit_test(test_gateway_address),
                cmocka_unit_test(test_channel),
                cmocka_unit_test(test_second_service_on_the_channel),
                cmocka_unit_test(test_ten_thousand_machines),
                cmocka_unit_test(test_against_twin),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
