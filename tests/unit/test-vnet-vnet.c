/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/kdf.h"
#include "core/vnet/vnet.h"
#include "mock-channel.h"
#include "mock-records.h"

#define MACHINES 5

/* Machine 0 is ourselves. The mesh is a table of peers that know certified machines only. */
typedef struct World {
        MockNetwork net;
        MockMesh *mesh;
        Directory *directory;
        Vnet *vnet;
        Identity *who[MACHINES];
        PacketPeer peer[MACHINES + 1]; /* the last is the gateway's */
        usec_t version;
} World;

static PacketPeer *packet_peer(void *userdata, const MachineId *machine) {
        World *w = userdata;

        if (!directory_certificate(w->directory, machine))
                return NULL;
        for (unsigned i = 0; i <= MACHINES; i++)
                if (machine_id_equal(&w->peer[i].id, machine))
                        return &w->peer[i];
        return NULL;
}

static void start_vnet(World *w) {
        VnetConfig config = {
                .network = w->net.id,
                .self = w->who[0]->id,
                .env = mock_mesh_env(w->mesh),
                .directory = w->directory,
                .packet_peer = packet_peer,
                .userdata = w,
        };

        assert_int_equal(ip_prefix_parse("10.0.0.0/16", &config.subnet), 0);
        assert_int_equal(vnet_new(&config, &w->vnet), 0);
}

/* Takes the reference. */
static int offer(World *w, Record *record) {
        int r = directory_offer(w->directory, record, false, NULL);

        record_unref(record);
        return r;
}

static void certify(World *w, unsigned i, unsigned roles) {
        g_autofree char *name = g_strdup_printf("machine%u", i);

        assert_int_equal(
                        offer(w, mock_certificate(
                                                 &w->net, w->net.issuer, &w->who[i]->id, name,
                                                 ROLE_MEMBER | roles, ++w->version)),
                        DIRECTORY_NEWS);
}

static void lease(World *w, unsigned i, const char *address) {
        assert_int_equal(
                        offer(w, mock_lease(&w->net, w->net.issuer, &w->who[i]->id, address,
                                            ++w->version)),
                        DIRECTORY_NEWS);
}

static void remove_machine(World *w, unsigned i) {
        assert_int_equal(
                        offer(w,
                              mock_revocation(&w->net, w->net.issuer, &w->who[i]->id, ++w->version)),
                        DIRECTORY_NEWS);
}

static void world_init(World *w) {
        *w = (World){ .mesh = mock_mesh_new(1), .version = MOCK_NOW };
        mock_network_init(&w->net);
        mock_mesh_set_realtime(w->mesh, MOCK_NOW);
        assert_int_equal(directory_new(&w->net.id, mock_mesh_env(w->mesh), NULL, &w->directory), 0);
        for (unsigned i = 0; i < MACHINES; i++) {
                w->who[i] = mock_identity(i + 1);
                w->peer[i].id = w->who[i]->id;
        }
        w->peer[MACHINES].id = w->net.issuer->id;
        assert_true(offer(w, record_ref(w->net.issuer_certificate)) == DIRECTORY_NEWS);
        certify(w, 0, 0);
        start_vnet(w);
}

static void world_done(World *w) {
        vnet_free(w->vnet);
        directory_free(w->directory);
        mock_mesh_free(w->mesh);
        for (unsigned i = 0; i < MACHINES; i++)
                identity_free(w->who[i]);
        mock_network_done(&w->net);
}
#define WORLD(name)                                                                                \
        _cleanup_(world_done) World name;                                                          \
        world_init(&name)

static IpAddr addr(const char *text) {
        IpAddr a;

        assert_int_equal(ip_parse(text, &a), 0);
        return a;
}

static VnetDecision route(World *w, const char *text) {
        IpAddr a = addr(text);

        return vnet_route(w->vnet, &a);
}

static void assert_peer(World *w, const char *text, unsigned i) {
        VnetDecision d = route(w, text);

        assert_int_equal(d.verdict, ROUTE_PEER);
        assert_true(machine_id_equal(&d.machine, &w->who[i]->id));
}

static void assert_drop(World *w, const char *text, DropReason reason) {
        VnetDecision d = route(w, text);

        assert_int_equal(d.verdict, ROUTE_DROP);
        assert_string_equal(drop_reason_to_string(d.reason), drop_reason_to_string(reason));
}

static void test_route_to_local_address(void **state) {
        WORLD(w);
        IpAddr a = vnet_local_address(w.vnet);

        assert_false(ip_is_set(&a));
        assert_drop(&w, "10.0.0.5", DROP_NO_ADDRESS);
        lease(&w, 0, "10.0.0.5");
        a = vnet_local_address(w.vnet);
        assert_string_equal(ip_format(&a).text, "10.0.0.5");
        assert_int_equal(route(&w, "10.0.0.5").verdict, ROUTE_LOCAL);
        /* Moved. */
        lease(&w, 0, "10.0.0.6");
        assert_int_equal(route(&w, "10.0.0.6").verdict, ROUTE_LOCAL);
        assert_drop(&w, "10.0.0.5", DROP_UNKNOWN_DESTINATION);
}

static void test_route_to_peer(void **state) {
        WORLD(w);

        lease(&w, 0, "10.0.0.5");
        certify(&w, 1, 0);
        lease(&w, 1, "10.0.0.10");
        assert_peer(&w, "10.0.0.10", 1);
}

/* A role makes nobody an exit: nothing goes out by the gateway, nothing comes in by it. */
static void test_outside_is_nobodys(void **state) {
        WORLD(w);
        PacketPeer *gateway = &w.peer[MACHINES];
        IpAddr six = addr("2001:db8::1");
        RouteTable *t = vnet_routes(w.vnet);

        lease(&w, 0, "10.0.0.5");
        certify(&w, 1, ROLE_GATEWAY | ROLE_RELAY);
        lease(&w, 1, "10.0.0.6");
        assert_drop(&w, "8.8.8.8", DROP_NO_ROUTE);
        assert_drop(&w, "192.168.1.1", DROP_NO_ROUTE);
        assert_drop(&w, "2001:db8::1", DROP_NO_ROUTE);
        for (unsigned i = 0; i < 2; i++) {
                PacketPeer *peer = i == 0 ? gateway : &w.peer[1];

                assert_false(route_table_source_ok_v4(t, 0xc0a80101, peer));
                assert_false(route_table_source_ok_v4(t, 0x08080808, peer));
                assert_false(route_table_source_ok_v6(t, six.bytes, peer));
        }
}

static void test_route_unknown_in_subnet(void **state) {
        WORLD(w);

        lease(&w, 0, "10.0.0.5");
        assert_drop(&w, "10.0.0.99", DROP_UNKNOWN_DESTINATION);
        assert_drop(&w, "10.0.255.255", DROP_MULTICAST);
}

static void test_address_lookup(void **state) {
        WORLD(w);
        MachineId id;
        IpAddr a = addr("10.0.0.50"), b = addr("10.0.0.51"), got;

        certify(&w, 1, 0);
        assert_false(vnet_lookup_address(w.vnet, &w.who[1]->id, &got));
        assert_false(vnet_lookup_machine(w.vnet, &a, &id));
        lease(&w, 1, "10.0.0.50");
        assert_true(vnet_lookup_machine(w.vnet, &a, &id));
        assert_true(machine_id_equal(&id, &w.who[1]->id));
        assert_true(vnet_lookup_address(w.vnet, &w.who[1]->id, &got));
        assert_true(ip_equal(&got, &a));
        /* A new address: the old entries go in both directions. */
        lease(&w, 1, "10.0.0.51");
        assert_false(vnet_lookup_machine(w.vnet, &a, &id));
        assert_true(vnet_lookup_machine(w.vnet, &b, &id));
        assert_true(vnet_lookup_address(w.vnet, &w.who[1]->id, &got));
        assert_true(ip_equal(&got, &b));
}

static void test_ipv6_without_lease(void **state) {
        WORLD(w);
        IpAddr ours = ula_address(&w.net.id, &w.who[0]->id), got;
        IpAddr theirs = ula_address(&w.net.id, &w.who[1]->id), unknown = theirs;
        MachineId id;
        VnetDecision d;

        got = vnet_local_address6(w.vnet);
        assert_true(ip_equal(&got, &ours));
        assert_int_equal(vnet_route(w.vnet, &ours).verdict, ROUTE_LOCAL);
        assert_int_equal(vnet_route(w.vnet, &theirs).reason, DROP_UNKNOWN_DESTINATION);
        certify(&w, 1, 0);
        d = vnet_route(w.vnet, &theirs);
        assert_int_equal(d.verdict, ROUTE_PEER);
        assert_true(machine_id_equal(&d.machine, &w.who[1]->id));
        assert_true(vnet_lookup_machine(w.vnet, &theirs, &id));
        assert_true(machine_id_equal(&id, &w.who[1]->id));
        assert_true(vnet_lookup_machine(w.vnet, &ours, &id));
        assert_true(machine_id_equal(&id, &w.who[0]->id));
        unknown.bytes[15] ^= 1;
        assert_int_equal(vnet_route(w.vnet, &unknown).reason, DROP_UNKNOWN_DESTINATION);
        assert_drop(&w, "2001:db8::1", DROP_NO_ROUTE);
}

/* Without flush or timer: packet threads must not find it in the next microsecond. */
static void test_revoked_routes_vanish_at_once(void **state) {
        WORLD(w);
        RouteTable *t = vnet_routes(w.vnet);
        IpAddr ula = ula_address(&w.net.id, &w.who[1]->id);
        MachineId id;
        IpAddr got, a = addr("10.0.0.10");

        lease(&w, 0, "10.0.0.5");
        certify(&w, 1, 0);
        lease(&w, 1, "10.0.0.10");
        mock_mesh_run(w.mesh, 0);
        assert_ptr_equal(route_table_lookup_v4(t, 0x0a00000a).peer, &w.peer[1]);
        assert_ptr_equal(route_table_lookup_v6(t, ula.bytes).peer, &w.peer[1]);
        assert_true(route_table_source_ok_v4(t, 0x0a00000a, &w.peer[1]));
        remove_machine(&w, 1);
        assert_null(route_table_lookup_v4(t, 0x0a00000a).peer);
        assert_null(route_table_lookup_v6(t, ula.bytes).peer);
        assert_false(route_table_source_ok_v4(t, 0x0a00000a, &w.peer[1]));
        assert_false(vnet_lookup_machine(w.vnet, &a, &id));
        assert_false(vnet_lookup_address(w.vnet, &w.who[1]->id, &got));
        /* Somebody else gets the address. */
        certify(&w, 2, 0);
        lease(&w, 2, "10.0.0.10");
        assert_peer(&w, "10.0.0.10", 2);
}

/* The better claim wins, whoever comes first; the loser's end gives the address back. */
static void test_conflicting_leases(void **state) {
        WORLD(w);
        usec_t old = w.version += 10;

        w.version += 10;
        lease(&w, 0, "10.0.0.5");
        certify(&w, 1, 0);
        certify(&w, 2, 0);
        lease(&w, 1, "10.0.0.10");
        assert_int_equal(
                        offer(&w, mock_lease(&w.net, w.net.issuer, &w.who[2]->id, "10.0.0.10", old)),
                        DIRECTORY_NEWS);
        assert_peer(&w, "10.0.0.10", 2);
        assert_false(route_table_source_ok_v4(vnet_routes(w.vnet), 0x0a00000a, &w.peer[1]));
        remove_machine(&w, 2);
        assert_peer(&w, "10.0.0.10", 1);
}

static void test_expired_lease_is_honoured(void **state) {
        WORLD(w);

        lease(&w, 0, "10.0.0.5");
        certify(&w, 1, 0);
        lease(&w, 1, "10.0.0.10");
        mock_mesh_run(w.mesh, 20 * USEC_PER_DAY);
        assert_peer(&w, "10.0.0.10", 1);
        assert_int_equal(route(&w, "10.0.0.5").verdict, ROUTE_LOCAL);
}

static void test_released_lease(void **state) {
        WORLD(w);
        RecordBody body = {
                .kind = RECORD_LEASE,
                .machine = w.who[1]->id,
                .lease = { .address = addr("10.0.0.10"), .prefix_len = 16, .name = "machine1" },
        };
        IpAddr got;

        lease(&w, 0, "10.0.0.5");
        certify(&w, 1, 0);
        lease(&w, 1, "10.0.0.10");
        body.version = body.not_before = body.not_after = ++w.version;
        assert_int_equal(offer(&w, mock_record(&w.net, w.net.issuer, &body)), DIRECTORY_NEWS);
        assert_drop(&w, "10.0.0.10", DROP_UNKNOWN_DESTINATION);
        assert_false(vnet_lookup_address(w.vnet, &w.who[1]->id, &got));
}

static void test_lease_outside_the_subnet(void **state) {
        WORLD(w);
        IpAddr got;

        lease(&w, 0, "10.0.0.5");
        certify(&w, 1, 0);
        lease(&w, 1, "8.8.8.8");
        assert_drop(&w, "8.8.8.8", DROP_NO_ROUTE);
        assert_false(vnet_lookup_address(w.vnet, &w.who[1]->id, &got));
}

static void test_gateways(void **state) {
        WORLD(w);
        MachineId gateway;
        IpAddr a = vnet_gateway_address(w.vnet);

        assert_string_equal(ip_format(&a).text, "10.0.0.1"); /* by plan */
        assert_true(vnet_gateway(w.vnet, &gateway));
        assert_true(machine_id_equal(&gateway, &w.net.issuer->id));
        /* A younger one changes nothing. */
        certify(&w, 1, ROLE_GATEWAY);
        lease(&w, 1, "10.0.0.9");
        assert_true(vnet_gateway(w.vnet, &gateway));
        assert_true(machine_id_equal(&gateway, &w.net.issuer->id));
        /* The old one leaves. */
        assert_int_equal(
                        offer(&w, mock_revocation(&w.net, w.net.root, &w.net.issuer->id, ++w.version)),
                        DIRECTORY_NEWS);
        /* What it had signed is void, too: nobody is left. */
        assert_false(vnet_gateway(w.vnet, &gateway));
        assert_int_equal(route_table_lookup_v4(vnet_routes(w.vnet), 0x08080808).reason, DROP_NO_ROUTE);
}

static void test_role_taken_away(void **state) {
        WORLD(w);
        MachineId gateway;
        VnetDecision d;

        certify(&w, 0, ROLE_GATEWAY); /* ourselves */
        assert_true(vnet_gateway(w.vnet, &gateway));
        assert_true(machine_id_equal(&gateway, &w.who[0]->id));
        lease(&w, 0, "10.0.0.5");
        /* No exit: nothing for the outside is ours to carry. */
        d = route(&w, "8.8.8.8");
        assert_int_equal(d.verdict, ROUTE_DROP);
        assert_int_equal(d.reason, DROP_NO_ROUTE);
        certify(&w, 0, 0);
        assert_true(vnet_gateway(w.vnet, &gateway));
        assert_true(machine_id_equal(&gateway, &w.net.issuer->id));
        assert_drop(&w, "8.8.8.8", DROP_NO_ROUTE);
}

/* What is in the directory when the network starts. */
static void test_start_with_a_full_directory(void **state) {
        WORLD(w);

        w.vnet = vnet_free(w.vnet);
        lease(&w, 0, "10.0.0.5");
        for (unsigned i = 1; i < MACHINES; i++) {
                g_autofree char *text = g_strdup_printf("10.0.1.%u", i);

                certify(&w, i, 0);
                lease(&w, i, text);
        }
        remove_machine(&w, 3);
        start_vnet(&w);
        assert_int_equal(route(&w, "10.0.0.5").verdict, ROUTE_LOCAL);
        assert_peer(&w, "10.0.1.1", 1);
        assert_peer(&w, "10.0.1.4", 4);
        assert_drop(&w, "10.0.1.3", DROP_UNKNOWN_DESTINATION);
        assert_drop(&w, "8.8.8.8", DROP_NO_ROUTE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_route_to_local_address),
                cmocka_unit_test(test_route_to_peer),
                cmocka_unit_test(test_outside_is_nobodys),
                cmocka_unit_test(test_route_unknown_in_subnet),
                cmocka_unit_test(test_address_lookup),
                cmocka_unit_test(test_ipv6_without_lease),
                cmocka_unit_test(test_revoked_routes_vanish_at_once),
                cmocka_unit_test(test_conflicting_leases),
                cmocka_unit_test(test_expired_lease_is_honoured),
                cmocka_unit_test(test_released_lease),
                cmocka_unit_test(test_lease_outside_the_subnet),
                cmocka_unit_test(test_gateways),
                cmocka_unit_test(test_role_taken_away),
                cmocka_unit_test(test_start_with_a_full_directory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
