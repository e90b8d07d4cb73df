/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many machines that ask at once, and one that asks all the time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/mesh/directory/directory-table.h"
#include "core/wire/control.h"
#include "lease-world.h"

#define CROWD 50U

typedef struct Asker {
        MachineId id;
        MockNode *node;
        unsigned answers, granted, full, failed, empty;
        uint32_t address; /* of the last answer */
} Asker;

static void on_answer(void *userdata, WireError error, const uint8_t *data, size_t len) {
        Asker *a = userdata;
        _cleanup_(dhcp_response_clear) DhcpResponse r = {};

        a->answers++;
        a->address = 0;
        if (!error) {
                assert_int_equal(dhcp_response_decode(data, len, &r), 0);
                a->granted++;
                if (r.lease) {
                        assert_true(machine_id_equal(&r.lease->body.machine, &a->id));
                        a->address = ip_to_v4(&r.lease->body.lease.address);
                }
        }
        a->full += error == WIRE_ERROR_FULL;
        a->failed += error == WIRE_ERROR_FAILED;
        a->empty += error == WIRE_ERROR_POOL_EMPTY;
}

static void add_asker(LeaseWorld *w, Asker *a, unsigned i) {
        *a = (Asker){ .id = lease_world_member(w, i) };
        a->node = mock_mesh_add(w->mesh, &a->id);
}

static void ask(LeaseWorld *w, Asker *a, DhcpOp op) {
        const ChannelProvider *p = mock_node_provider(a->node);
        DhcpRequest q = { .op = op, .name = "laptop" };
        g_autoptr(GBytes) bytes = dhcp_request_encode(&q);

        assert_int_equal(
                        p->ops->request(p->self, &w->net.issuer->id, "dhcp",
                                        g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                                        10 * USEC_PER_SEC, on_answer, a, NULL),
                        0);
}

static uint32_t address_of(LeaseWorld *w, const Asker *a) {
        return lease_claim(directory_get(w->directory, RECORD_LEASE, &a->id));
}

/* A machine that gives back and asks again as fast as it can. */
static void test_release_and_request_loop(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        Asker a, b;
        unsigned commits, answered;

        add_asker(&w, &a, 1);
        add_asker(&w, &b, 2);
        assert_int_equal(directory_flush(w.directory), 0);
        ask(&w, &a, DHCP_REQUEST);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        commits = memory_store_commits(w.store);
        for (unsigned i = 0; i < 2000; i++) {
                ask(&w, &a, i % 2 ? DHCP_REQUEST : DHCP_RELEASE);
                mock_mesh_run(w.mesh, 5 * USEC_PER_MSEC);
        }
        /* Ten seconds. Never silence, and hardly a commit. */
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(a.answers, 2001);
        assert_true(a.full > 900);
        assert_in_range(memory_store_commits(w.store) - commits, 4, 8);
        /* It has no less than others had. */
        ask(&w, &b, DHCP_REQUEST);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(b.granted, 1);
        mock_mesh_run(w.mesh, USEC_PER_MINUTE);
        answered = a.granted;
        ask(&w, &a, DHCP_RELEASE);
        ask(&w, &a, DHCP_REQUEST);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(a.granted, answered + 2);
        assert_true(a.address != 0);
}

static void test_one_commit_for_many(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        Asker crowd[CROWD];
        unsigned commits;

        for (unsigned i = 0; i < CROWD; i++)
                add_asker(&w, &crowd[i], i + 1);
        assert_int_equal(directory_flush(w.directory), 0);
        commits = memory_store_commits(w.store);
        for (unsigned i = 0; i < CROWD; i++)
                ask(&w, &crowd[i], DHCP_REQUEST);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(memory_store_commits(w.store), commits + 1);
        assert_int_equal(w.changes, CROWD);
        for (unsigned i = 0; i < CROWD; i++) {
                assert_int_equal(crowd[i].granted, 1);
                /* In the order of arrival, each its own. */
                assert_int_equal(crowd[i].address, 0x0a000064 + i);
                assert_int_equal(address_of(&w, &crowd[i]), crowd[i].address);
        }

        /* Who was told is in the store when the power fails. */
        lease_world_stop(&w);
        memory_store_lose_power(w.store);
        lease_world_start(&w);
        for (unsigned i = 0; i < CROWD; i++)
                assert_int_equal(address_of(&w, &crowd[i]), crowd[i].address);
}

/* The disk fails at each step in turn: nobody is told of a success, nothing of it stays. */
static void test_commit_fails(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        Asker crowd[CROWD];

        for (unsigned i = 0; i < CROWD; i++)
                add_asker(&w, &crowd[i], i + 1);
        assert_int_equal(directory_flush(w.directory), 0);
        for (unsigned n = 0; n < CROWD + 3; n += n < 4 ? 1 : 7) { /* begin, put, ..., time, commit */
                unsigned rows = memory_store_size(w.store);

                memory_store_fail_after(w.store, n, -ENOSPC);
                for (unsigned i = 0; i < CROWD; i++) {
                        crowd[i].failed = 0;
                        ask(&w, &crowd[i], DHCP_REQUEST);
                }
                mock_mesh_run(w.mesh, USEC_PER_SEC);
                for (unsigned i = 0; i < CROWD; i++) {
                        assert_int_equal(crowd[i].failed, 1);
                        assert_null(directory_get(w.directory, RECORD_LEASE, &crowd[i].id));
                }
                assert_int_equal(memory_store_size(w.store), rows);
                memory_store_fail_after(w.store, 0, 0);
                memory_store_lose_power(w.store);
                mock_mesh_run(w.mesh, USEC_PER_MINUTE);
        }
        assert_int_equal(w.changes, 0);
        for (unsigned i = 0; i < CROWD; i++)
                ask(&w, &crowd[i], DHCP_REQUEST);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        for (unsigned i = 0; i < CROWD; i++) /* no address has leaked */
                assert_int_equal(crowd[i].address, 0x0a000064 + i);
}

/* Addresses that have run out go to others, while their holders ask for them in the same moment. */
static void test_addresses_change_hands(void **state) {
        LEASE_WORLD(w, "10.0.0.0/29"); /* .2 to .6 */
        Asker old[5], new[5];
        unsigned holders = 0, granted = 0;

        for (unsigned i = 0; i < 5; i++) {
                add_asker(&w, &old[i], i + 1);
                add_asker(&w, &new[i], i + 100);
                ask(&w, &old[i], DHCP_REQUEST);
        }
        mock_mesh_run(w.mesh, LEASE_LIFETIME_DEFAULT + USEC_PER_HOUR);
        for (unsigned i = 0; i < 5; i++) {
                ask(&w, &new[i], DHCP_REQUEST);
                ask(&w, &old[4 - i], DHCP_REQUEST);
        }
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        for (unsigned i = 0; i < 10; i++) {
                const Asker *a = i < 5 ? &old[i] : &new[i - 5];
                uint32_t address = address_of(&w, a);
                IpAddr ip = ip_from_v4(address);

                assert_int_equal(a->answers, i < 5 ? 2 : 1);
                granted += a->address != 0;
                assert_int_equal(address, a->address);
                if (address == 0)
                        continue;
                holders++;
                assert_ptr_equal(
                                directory_lease_of_address(w.directory, &ip),
                                directory_get(w.directory, RECORD_LEASE, &a->id));
        }
        assert_int_equal(holders, 5);
        assert_int_equal(granted, 5);
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(
                                old[i].empty + new[i].empty + (old[i].address != 0) +
                                                (new[i].address != 0),
                                2);
}

/* One machine's questions are answered in their order, also when they come together. */
static void test_order_of_one_machine(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        Asker a;

        add_asker(&w, &a, 1);
        ask(&w, &a, DHCP_REQUEST);
        ask(&w, &a, DHCP_RELEASE);
        ask(&w, &a, DHCP_REQUEST);
        ask(&w, &a, DHCP_REQUEST);
        ask(&w, &a, DHCP_RELEASE);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(a.granted, 5);
        assert_int_equal(address_of(&w, &a), 0);
}

/* The gateway ends while somebody waits for his answer. */
static void test_ends_while_somebody_waits(void **state) {
        LEASE_WORLD(w, "10.0.0.0/16");
        Asker a;

        add_asker(&w, &a, 1);
        mock_mesh_link_up(w.mesh, a.node, w.gateway);
        ask(&w, &a, DHCP_REQUEST);
        mock_mesh_run(w.mesh, MOCK_LATENCY_DEFAULT); /* it has come */
        lease_world_stop(&w);
        mock_mesh_run(w.mesh, USEC_PER_SEC);
        assert_int_equal(a.failed, 1);
        lease_world_start(&w);
        assert_null(directory_get(w.directory, RECORD_LEASE, &a.id));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_release_and_request_loop),
                cmocka_unit_test(test_one_commit_for_many),
                cmocka_unit_test(test_commit_fails),
                cmocka_unit_test(test_addresses_change_hands),
                cmocka_unit_test(test_order_of_one_machine),
                cmocka_unit_test(test_ends_while_somebody_waits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
