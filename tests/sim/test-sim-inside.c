/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A path that lies inside the virtual network would lead through itself: whoever offers one, it is
 * never taken (docs/protocol.md, "Endpoints"). */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/crypto/aead.h"
#include "core/mesh/link/link.h"
#include "machine.h"

typedef struct World {
        Sim *sim;
        Machine *gateway, *a;
        Endpoint inside4, inside6; /* our port at a's own virtual addresses */
        unsigned sent_inside;
        bool through; /* what a sends the gateway comes out of the tunnel */
        GByteArray *initiation;
} World;

static Endpoint at(const IpAddr *address) {
        Endpoint e;

        assert_int_equal(endpoint_parse(ip_format(address).text, 18002, &e), 0);
        return e;
}

static bool
on_wire(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        World *w = userdata;
        Mesh *m = network_mesh(w->gateway->network);

        if (m && mesh_is_inside(m, to))
                w->sent_inside++;
        if (from == w->a->node && data[0] == MESSAGE_HANDSHAKE_INITIATION) {
                g_byte_array_set_size(w->initiation, 0);
                g_byte_array_append(w->initiation, data, (guint) len);
        }
        if (from != w->a->node || !w->through || data[0] != MESSAGE_DATA)
                return true;
        sim_inject(w->sim, &w->inside4, to, data, len);
        return false;
}

static void world_init(World *w, uint64_t seed) {
        g_autofree char *link = NULL;
        IpAddr a4, a6;

        *w = (World){ .sim = sim_new(seed), .initiation = g_byte_array_new() };
        w->gateway = machine_new(w->sim, "gateway", "192.0.2.1:18002");
        machine_create_network(w->gateway, "10.0.0.0/16");
        link = machine_invite(w->gateway, NULL);
        w->a = machine_new(w->sim, "a", "198.51.100.1:18002");
        sim_set_tap(w->sim, on_wire, w);
        assert_null(machine_join(w->a, link));
        a4 = machine_address(w->a);
        a6 = vnet_local_address6(network_vnet(w->a->network));
        w->inside4 = at(&a4);
        w->inside6 = at(&a6);
        assert_true(mesh_is_inside(network_mesh(w->gateway->network), &w->inside4));
        assert_true(mesh_is_inside(network_mesh(w->gateway->network), &w->inside6));
        assert_true(w->initiation->len > 0);
        assert_true(machine_reaches(w->a, w->gateway, 2 * USEC_PER_SEC));
}

static void world_done(World *w) {
        assert_int_equal(w->sent_inside, 0);
        sim_set_tap(w->sim, NULL, NULL);
        machine_free(w->a);
        machine_free(w->gateway);
        g_byte_array_unref(w->initiation);
        sim_free(w->sim);
}

/* What the gateway takes for a's place. */
static void assert_path_is_outside(World *w) {
        Endpoint real = sim_node_endpoint(w->a->node);
        PacketPeer *peer = mesh_packet_peer(network_mesh(w->gateway->network), machine_id(w->a));
        PacketTx *tx = atomic_load(&peer->tx);
        MeshLinkInfo info;

        assert_true(mesh_link_info(network_mesh(w->gateway->network), machine_id(w->a), &info));
        assert_true(endpoint_equal(&info.endpoint, &real));
        if (tx)
                assert_true(endpoint_equal(&tx->endpoint, &real));
}

static void send_from(World *w, const Endpoint *from, const void *plain, size_t len) {
        PacketPeer *peer = mesh_packet_peer(network_mesh(w->a->network), machine_id(w->gateway));
        Endpoint to = sim_node_endpoint(w->gateway->node);
        PacketTx *tx = atomic_load(&peer->tx);
        uint8_t message[256];
        uint64_t counter;

        assert_true(keypair_reserve(tx->keypair, 1, &counter));
        keypair_seal(tx->keypair, counter, 0, plain, len, message);
        sim_inject(w->sim, from, &to, message, DATA_OVERHEAD + len);
        sim_run_for(w->sim, 100 * USEC_PER_MSEC);
}

static uint64_t n_dropped(World *w) {
        return drop_counter(network_drops(w->gateway->network), DROP_FROM_INSIDE);
}

static void test_arrival(void **state) {
        const uint8_t probe[PROBE_SIZE] = { FRAME_PROBE, 1, 2, 3 };
        Endpoint to;
        uint64_t sent;
        World w;

        world_init(&w, 1);
        to = sim_node_endpoint(w.gateway->node);
        send_from(&w, &w.inside4, NULL, 0);
        assert_path_is_outside(&w);
        send_from(&w, &w.inside6, NULL, 0);
        assert_path_is_outside(&w);
        /* A question that would be answered there. */
        send_from(&w, &w.inside4, probe, sizeof probe);
        assert_path_is_outside(&w);
        assert_int_equal(n_dropped(&w), 1);
        /* Handshakes are not looked at, and get no cookie either. */
        sent = sim_node_sent(w.gateway->node);
        for (unsigned i = 0; i < 300; i++)
                sim_inject(w.sim, &w.inside6, &to, w.initiation->data, w.initiation->len);
        sim_run_for(w.sim, 0);
        assert_int_equal(n_dropped(&w), 301);
        assert_int_equal(sim_node_sent(w.gateway->node), sent);
        /* It does roam where that is no lie. */
        assert_true(machine_reaches(w.a, w.gateway, USEC_PER_SEC));
        world_done(&w);
}

/* Everything a says comes from inside, the first message under new keys too, for several rekeys. */
static void test_all_through(void **state) {
        World w;

        world_init(&w, 2);
        w.through = true;
        for (unsigned i = 0; i < 80; i++) {
                (void) machine_reaches(w.a, w.gateway, 5 * USEC_PER_SEC);
                sim_run_for(w.sim, 5 * USEC_PER_SEC);
                if (mesh_packet_peer(network_mesh(w.gateway->network), machine_id(w.a)) &&
                    link_find(network_mesh(w.gateway->network), machine_id(w.a)) &&
                    path_set_active(&link_find(network_mesh(w.gateway->network), machine_id(w.a))->paths))
                        assert_path_is_outside(&w);
        }
        w.through = false;
        sim_run_for(w.sim, 60 * USEC_PER_SEC);
        assert_true(machine_reaches(w.a, w.gateway, 10 * USEC_PER_SEC));
        assert_path_is_outside(&w);
        world_done(&w);
}

/* Every other place an endpoint is had from. */
static void test_hearsay(void **state) {
        World w;
        Mesh *m;
        Link *link;
        const MeshStore *store;
        g_autoptr(Record) presence = NULL;
        const Record *own;
        RecordBody body = { .kind = RECORD_PRESENCE, .presence.n_endpoints = 2 };
        Endpoint both[2], real;
        g_autofree char *text = NULL;
        StoredInvite stored;
        Invite invite;

        world_init(&w, 3);
        m = network_mesh(w.gateway->network);
        real = sim_node_endpoint(w.gateway->node);
        both[0] = w.inside4;
        both[1] = w.inside6;
        /* A presence record, a hint, the store: none of them is asked. */
        body.machine = *machine_id(w.a);
        body.version = directory_next_version(
                        network_directory(w.gateway->network), RECORD_PRESENCE, machine_id(w.a));
        body.not_after = body.version + USEC_PER_DAY;
        memcpy(body.presence.endpoints, both, sizeof both);
        assert_int_equal(
                        identity_sign_record(
                                        w.a->identity, &w.gateway->membership.id, &body, &presence),
                        0);
        assert_int_equal(
                        directory_offer(network_directory(w.gateway->network), presence, true, NULL),
                        DIRECTORY_NEWS);
        mesh_add_hint(m, machine_id(w.a), &w.inside4);
        assert_false(endpoint_book_has_hint(m->book, machine_id(w.a)));
        store = memory_store_mesh(w.gateway->store);
        sim_node_sleep(w.a->node, true);
        machine_stop(w.gateway, false, false);
        assert_int_equal(store->ops->put_endpoint(store->self, machine_id(w.a), &w.inside6), 0);
        machine_start(w.gateway);
        m = network_mesh(w.gateway->network);
        mesh_channels(m)->ops->connect(mesh_channels(m)->self, machine_id(w.a));
        sim_run_for(w.sim, 100 * USEC_PER_SEC);
        assert_int_equal(w.sent_inside, 0);
        /* What others say of us. */
        sim_node_sleep(w.a->node, false);
        sim_run_for(w.sim, 60 * USEC_PER_SEC);
        assert_true(machine_reaches(w.a, w.gateway, 10 * USEC_PER_SEC));
        link = link_find(m, machine_id(w.a));
        link_set_seen(link, &w.inside4);
        assert_false(endpoint_equal(link_seen(link, AF_INET), &w.inside4));
        /* What we say of ourselves. */
        mesh_set_local_endpoints(m, (Endpoint[]){ w.inside4, real, w.inside6 }, 3);
        sim_run_for(w.sim, 5 * USEC_PER_SEC);
        own =
                        directory_get(network_directory(w.gateway->network), RECORD_PRESENCE,
                                      machine_id(w.gateway));
        for (unsigned i = 0; i < own->body.presence.n_endpoints; i++)
                assert_false(mesh_is_inside(m, &own->body.presence.endpoints[i]));
        assert_int_equal(
                        enrol_service_invite(
                                        network_enrol_service(w.gateway->network),
                                        &(InviteOptions){ .endpoints = both, .n_endpoints = 2 },
                                        &text, &stored),
                        0);
        assert_int_equal(invite_parse(text, &invite), 0);
        assert_int_equal(invite.n_endpoints, 1);
        assert_true(endpoint_equal(&invite.endpoints[0], &real));
        world_done(&w);
}

/* Another network of this machine comes, whose addresses a path has, and goes again. */
static void test_another_network(void **state) {
        PrefixSet other = {};
        IpAddr prefix;
        MeshLinkInfo info;
        World w;
        Mesh *m;

        world_init(&w, 4);
        m = network_mesh(w.gateway->network);
        assert_int_equal(ip_parse("198.51.100.0", &prefix), 0);
        prefix_set_add(&other, &prefix, 24);
        w.sent_inside = 0;
        network_set_inside(w.gateway->network, &other);
        assert_true(mesh_link_info(m, machine_id(w.a), &info));
        assert_false(endpoint_is_set(&info.endpoint));
        assert_false(machine_reaches(w.gateway, w.a, 30 * USEC_PER_SEC));
        assert_int_equal(w.sent_inside, 0);
        /* Its own is not forgotten with it. */
        assert_true(mesh_is_inside(m, &w.inside4));
        network_set_inside(w.gateway->network, &(PrefixSet){});
        assert_true(mesh_is_inside(m, &w.inside4));
        assert_true(machine_reaches(w.a, w.gateway, 60 * USEC_PER_SEC));
        world_done(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_arrival),
                cmocka_unit_test(test_all_through),
                cmocka_unit_test(test_hearsay),
                cmocka_unit_test(test_another_network),
        };

        if (aead_setup() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests_name("sim-inside", tests, NULL, NULL);
}
