/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Whole networks in one process: the scenarios of the original specification's phases 6, 11 and
 * 16, and what happens when the internet, the gateway or a member misbehaves. All on a virtual
 * clock; a failure is repeated with the seed it prints.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <inttypes.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "lan.h"

static bool has_address(Machine *m) {
        IpAddr a = machine_address(m);

        return ip_is_set(&a);
}

static void assert_address(Machine *m, const char *text) {
        IpAddr a = machine_address(m);

        assert_string_equal(ip_format(&a).text, text);
}

static Record *lease_of(Machine *knows, Machine *m) {
        IpAddr a = machine_address(m);

        return directory_lease_of_address(network_directory(knows->network), &a);
}

static MeshLinkInfo link_info(Machine *m, Machine *to) {
        MeshLinkInfo info = {};

        (void) mesh_link_info(network_mesh(m->network), machine_id(to), &info);
        return info;
}

/* --- phases 6 and 11 --- */

static void test_three_node_network(void **state) {
        Lan lan = lan_new(6);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);
        Endpoint seen, real;
        uint64_t before;

        assert_address(lan.gateway, "10.0.0.1");
        assert_address(a, "10.0.0.100");
        assert_address(b, "10.0.0.101");
        assert_true(machine_reaches(a, b, 2 * USEC_PER_SEC));
        assert_true(machine_reaches(b, a, 2 * USEC_PER_SEC));
        assert_true(machine_reaches(a, lan.gateway, 2 * USEC_PER_SEC));
        assert_true(machine_reaches(lan.gateway, b, 2 * USEC_PER_SEC));
        /* Member to member is direct, a moment later: the gateway sees nothing of it. */
        sim_run_for(lan.sim, 2 * USEC_PER_SEC);
        seen = link_info(a, b).endpoint;
        real = sim_node_endpoint(b->node);
        assert_true(endpoint_equal(&seen, &real));
        before = sim_node_received(lan.gateway->node);
        for (unsigned i = 0; i < 20; i++)
                assert_true(machine_reaches(a, b, USEC_PER_SEC));
        assert_true(sim_node_received(lan.gateway->node) - before < 5);
        lan_free(&lan);
}

static void test_first_packets_wait_for_the_session(void **state) {
        Lan lan = lan_new(7);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);
        IpAddr from = machine_address(a), to = machine_address(b);
        char text[16];
        GBytes *packet;
        unsigned n = 0;

        for (unsigned i = 0; i < 10; i++) {
                g_snprintf(text, sizeof text, "packet %u", i);
                machine_send_text(a, &from, &to, text);
        }
        sim_run_for(lan.sim, 2 * USEC_PER_SEC);
        while ((packet = mock_netif_app_received(b->netif, NULL))) {
                g_snprintf(text, sizeof text, "packet %u", n++);
                assert_int_equal(g_bytes_get_size(packet), 28 + strlen(text));
                assert_memory_equal(
                                (const uint8_t *) g_bytes_get_data(packet, NULL) + 28, text,
                                strlen(text));
                g_bytes_unref(packet);
        }
        assert_int_equal(n, 10);
        lan_free(&lan);
}

/* --- many --- */

static bool all_have_addresses(void *userdata) {
        Lan *lan = userdata;

        for (unsigned i = 0; i < lan->n; i++)
                if (!has_address(lan->member[i]))
                        return false;
        return true;
}

static bool all_know_all(void *userdata) {
        Lan *lan = userdata;

        for (unsigned i = 0; i < lan->n; i++)
                if (!lan->member[i]->network ||
                    directory_count(network_directory(lan->member[i]->network), RECORD_LEASE) !=
                                    lan->n + 1)
                        return false;
        return true;
}

/* A gateway that makes itself the internet: @m takes nothing from outside the network's prefixes. */
static void test_gateway_is_no_exit(void **state) {
        static const char *const texts[] = { "192.168.1.1", "8.8.8.8" };
        Lan lan = lan_new(62);
        Machine *a = lan_join(&lan);
        RouteTable *t = vnet_routes(network_vnet(lan.gateway->network));
        IpAddr to = machine_address(a);
        uint64_t before;

        assert_true(machine_reaches(a, lan.gateway, 2 * USEC_PER_SEC));
        assert_true(machine_reaches(lan.gateway, a, 2 * USEC_PER_SEC));
        for (unsigned i = 0; i < ELEMENTSOF(texts); i++) {
                IpPrefix from = { .len = 32 };

                /* An honest packet path would not send it. */
                assert_int_equal(ip_parse(texts[i], &from.addr), 0);
                assert_int_equal(route_table_set_local(t, &from), 0);
                route_table_flush(t);
                machine_send_text(lan.gateway, &from.addr, &to, "from outside");
                sim_run_for(lan.sim, USEC_PER_SEC);
                assert_false(machine_received_text(a, &from.addr, "from outside"));
                assert_int_equal(drop_counter(network_drops(a->network), DROP_SOURCE_SPOOFED), i + 1);
                /* And nothing goes there. */
                before = sim_node_received(lan.gateway->node);
                machine_send_text(a, &to, &from.addr, "to outside");
                sim_run_for(lan.sim, USEC_PER_SEC / 10);
                assert_int_equal(sim_node_received(lan.gateway->node), before);
                assert_int_equal(drop_counter(network_drops(a->network), DROP_NO_ROUTE), i + 1);
        }
        lan_free(&lan);
}

/* All at once, by one invite, through one gateway, on a lossy internet. */
static void test_fifty_machines_join(void **state) {
        const InviteOptions options = { .uses = MACHINES_MANY };
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        Lan lan = lan_new(50);
        g_autofree char *link = machine_invite(lan.gateway, &options);

        sim_set_model(lan.sim, &(SimModel){ .latency = 20 * USEC_PER_MSEC,
                                            .jitter = 20 * USEC_PER_MSEC,
                                            .loss = 0.02 });
        for (unsigned i = 0; i < MACHINES_MANY; i++)
                machine_join_start(lan_machine(&lan), link);
        assert_true(sim_run_until(lan.sim, all_have_addresses, &lan, 10 * USEC_PER_SEC));
        for (unsigned i = 0; i < lan.n; i++) {
                IpAddr a = machine_address(lan.member[i]);

                assert_null(lan.member[i]->join_error);
                assert_true(g_hash_table_add(seen, g_strdup(ip_format(&a).text)));
        }
        assert_true(sim_run_until(lan.sim, all_know_all, &lan, 60 * USEC_PER_SEC));
        for (unsigned i = 0; i < 30; i++) {
                Machine *a = lan.member[sim_random(lan.sim) % lan.n],
                        *b = lan.member[sim_random(lan.sim) % lan.n];

                /* One packet may be lost, three in a row are a fault. */
                if (a != b)
                        assert_true(machine_reaches(a, b, 4 * USEC_PER_SEC) ||
                                    machine_reaches(a, b, USEC_PER_SEC) ||
                                    machine_reaches(a, b, USEC_PER_SEC));
        }
        lan_free(&lan);
}

/* --- bad internet --- */

static void test_loss_reorder_duplication(void **state) {
        Lan lan = lan_new(11);
        Machine *a, *b;
        unsigned arrived = 0;

        sim_set_model(lan.sim, &(SimModel){ .latency = 30 * USEC_PER_MSEC,
                                            .jitter = 30 * USEC_PER_MSEC,
                                            .loss = 0.1,
                                            .duplicate = 0.1,
                                            .reorder = 0.2 });
        a = lan_join(&lan);
        b = lan_join(&lan);
        for (unsigned i = 0; i < 100; i++)
                arrived += machine_reaches(a, b, USEC_PER_SEC);
        assert_true(arrived > 75);
        lan_free(&lan);
}

/* A duplicate is delivered once. */
static void test_duplicates_are_dropped(void **state) {
        Lan lan = lan_new(12);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);
        IpAddr from = machine_address(a), to = machine_address(b);
        unsigned n = 0;
        GBytes *packet;

        assert_true(machine_reaches(a, b, 2 * USEC_PER_SEC));
        sim_set_model(lan.sim, &(SimModel){ .latency = 5 * USEC_PER_MSEC, .duplicate = 1 });
        for (unsigned i = 0; i < 50; i++)
                machine_send_text(a, &from, &to, "once");
        sim_run_for(lan.sim, USEC_PER_SEC);
        while ((packet = mock_netif_app_received(b->netif, NULL))) {
                n++;
                g_bytes_unref(packet);
        }
        assert_int_equal(n, 50);
        assert_true(drop_counter(network_drops(b->network), DROP_REPLAYED) >= 50);
        lan_free(&lan);
}

static void test_partition_heals(void **state) {
        Lan lan = lan_new(13);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);

        assert_true(machine_reaches(a, b, 2 * USEC_PER_SEC));
        sim_partition(lan.sim, b->node, 1);
        assert_false(machine_reaches(a, b, 60 * USEC_PER_SEC));
        sim_partition(lan.sim, b->node, 0);
        sim_run_for(lan.sim, 10 * USEC_PER_SEC);
        assert_true(machine_reaches(a, b, 5 * USEC_PER_SEC));
        assert_true(machine_reaches(b, lan.gateway, 5 * USEC_PER_SEC));
        lan_free(&lan);
}

static void test_open_at_the_same_instant(void **state) {
        for (uint64_t seed = 100; seed < 120; seed++) {
                Lan lan = lan_new(seed);
                Machine *a = lan_join(&lan), *b = lan_join(&lan);
                IpAddr aa = machine_address(a), ba = machine_address(b);

                sim_run_for(lan.sim, 5 * USEC_PER_SEC);
                machine_send_text(a, &aa, &ba, "from a");
                machine_send_text(b, &ba, &aa, "from b");
                sim_run_for(lan.sim, 2 * USEC_PER_SEC);
                if (!machine_received_text(b, &aa, "from a") ||
                    !machine_received_text(a, &ba, "from b"))
                        fail_msg("packets sent at the same instant were lost, seed %" PRIu64, seed);
                for (unsigned i = 0; i < 5; i++)
                        assert_true(machine_reaches(a, b, USEC_PER_SEC) &&
                                    machine_reaches(b, a, USEC_PER_SEC));
                lan_free(&lan);
        }
}

static void test_roaming_member(void **state) {
        Lan lan = lan_new(14);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);
        Endpoint moved;

        assert_true(machine_reaches(a, b, 2 * USEC_PER_SEC));
        sim_node_move(a->node, "203.0.113.77:18002");
        moved = sim_node_endpoint(a->node);
        mesh_set_local_endpoints(network_mesh(a->network), &moved, 1);
        network_changed(a->network);
        assert_true(machine_reaches(a, b, 2 * USEC_PER_SEC));
        /* What others hear from the new place is shown to be true by one round trip. */
        sim_run_for(lan.sim, 20 * USEC_PER_MSEC);
        assert_true(machine_reaches(b, a, 2 * USEC_PER_SEC));
        assert_true(machine_reaches(lan.gateway, a, 2 * USEC_PER_SEC));
        lan_free(&lan);
}

/* --- the gateway and its state --- */

/* Phase 16: restart and power loss keep every lease, and the LAN lives on without the gateway. */
static void test_gateway_restart(void **state) {
        for (unsigned how = 0; how < 3; how++) {
                Lan lan = lan_new(20 + how);
                Machine *a = lan_join(&lan), *b = lan_join(&lan), *c;
                g_autofree char *open = machine_invite(lan.gateway, NULL);

                /* Until they have heard of each other. */
                sim_run_for(lan.sim, 3 * USEC_PER_SEC);
                machine_stop(lan.gateway, how == 0, how == 2);
                assert_true(machine_reaches(a, b, 5 * USEC_PER_SEC));
                sim_run_for(lan.sim, 60 * USEC_PER_SEC);
                machine_start(lan.gateway);
                sim_run_for(lan.sim, 30 * USEC_PER_SEC);
                assert_address(lan.gateway, "10.0.0.1");
                assert_address(a, "10.0.0.100");
                assert_int_equal(
                                directory_count(network_directory(lan.gateway->network), RECORD_LEASE),
                                3);
                assert_true(machine_reaches(a, lan.gateway, 5 * USEC_PER_SEC));
                assert_true(machine_reaches(lan.gateway, b, 5 * USEC_PER_SEC));
                /* An invite given before is good. */
                c = lan_machine(&lan);
                assert_null(machine_join(c, open));
                assert_address(c, "10.0.0.102");
                lan_free(&lan);
        }
}

/* Power fails at every possible write of a join: whoever was told "welcome" is a member after,
 * and an invite is never used twice. */
static void test_power_loss_during_join(void **state) {
        for (unsigned after = 0; after < 12; after++) {
                Lan lan = lan_new(200 + after);
                g_autofree char *link = machine_invite(lan.gateway, NULL);
                Machine *a = lan_machine(&lan), *b;
                bool told;

                memory_store_fail_after(lan.gateway->store, after, -EIO);
                machine_join_start(a, link);
                sim_run_for(lan.sim, 3 * USEC_PER_SEC);
                told = has_address(a);
                machine_stop(lan.gateway, false, true);
                machine_start(lan.gateway);
                sim_run_for(lan.sim, 40 * USEC_PER_SEC);
                if (told)
                        assert_non_null(lease_of(lan.gateway, a));
                if (a->has_membership) {
                        assert_non_null(directory_certificate(
                                        network_directory(lan.gateway->network), machine_id(a)));
                        b = lan_machine(&lan);
                        assert_non_null(machine_join(b, link));
                }
                lan_free(&lan);
        }
}

static void test_member_restart(void **state) {
        Lan lan = lan_new(23);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);

        assert_true(machine_reaches(a, b, 2 * USEC_PER_SEC));
        /* What others say is written with the next commit, within seconds. */
        sim_run_for(lan.sim, 10 * USEC_PER_SEC);
        machine_stop(b, false, true);
        machine_start(b);
        /* Its address is there at once: the lease was stored. */
        assert_address(b, "10.0.0.101");
        assert_true(machine_reaches(b, a, 3 * USEC_PER_SEC));
        assert_true(machine_reaches(a, b, 3 * USEC_PER_SEC));
        lan_free(&lan);
}

/* A start begins without an answer from anybody, which is no fault before ten seconds are over. */
static void test_start_while_nobody_is_there(void **state) {
        Lan lan = lan_new(24);
        Machine *a = lan_join(&lan);

        machine_stop(lan.gateway, true, false);
        machine_stop(a, true, false);
        machine_start(a);
        assert_address(a, "10.0.0.100");
        assert_int_equal(network_state(a->network), NETWORK_CONNECTING);
        sim_run_for(lan.sim, 9 * USEC_PER_SEC);
        assert_int_equal(network_state(a->network), NETWORK_CONNECTING);
        sim_run_for(lan.sim, 2 * USEC_PER_SEC);
        assert_int_equal(network_state(a->network), NETWORK_OFFLINE);
        machine_start(lan.gateway);
        sim_run_for(lan.sim, 2 * USEC_PER_MINUTE);
        assert_int_equal(network_state(a->network), NETWORK_ONLINE);
        /* With somebody there it is online as soon as they answer. */
        machine_stop(a, true, false);
        machine_start(a);
        sim_run_for(lan.sim, 2 * USEC_PER_SEC);
        assert_int_equal(network_state(a->network), NETWORK_ONLINE);
        lan_free(&lan);
}

/* Phase 16, steps 6 and 7. */
static void test_released_address_is_given_again(void **state) {
        Lan lan = lan_new(24);
        Machine *a = lan_join(&lan), *b;

        assert_true(machine_leave(a));
        b = lan_join(&lan);
        assert_address(b, "10.0.0.100");
        lan_free(&lan);
}

static void test_full_pool(void **state) {
        Lan lan = { .sim = sim_new(25) };

        lan.gateway = machine_new(lan.sim, "gateway", "192.0.2.1:18002");
        machine_create_network(lan.gateway, "10.9.0.0/25"); /* hosts 100 to 126 */
        for (unsigned i = 0; i < 27; i++)
                (void) lan_join(&lan);
        {
                g_autofree char *link = machine_invite(lan.gateway, NULL);
                Machine *m = lan_machine(&lan);

                assert_string_equal(machine_join(m, link), "PoolEmpty");
        }
        assert_true(machine_reaches(lan.member[0], lan.member[26], 2 * USEC_PER_SEC));
        lan_free(&lan);
}

/* --- who is let in, and out --- */

static void test_revocation_reaches_everyone(void **state) {
        Lan lan = lan_new(30);
        Machine *bad;

        for (unsigned i = 0; i < 12; i++)
                (void) lan_join(&lan);
        bad = lan.member[4];
        for (unsigned i = 0; i < lan.n; i++)
                if (lan.member[i] != bad)
                        assert_true(machine_reaches(bad, lan.member[i], 2 * USEC_PER_SEC));
        assert_int_equal(
                        enrol_service_revoke(
                                        network_enrol_service(lan.gateway->network),
                                        machine_id(bad), REVOCATION_REMOVED),
                        0);
        sim_run_for(lan.sim, 5 * USEC_PER_SEC);
        assert_int_equal(network_state(bad->network), NETWORK_REVOKED);
        for (unsigned i = 0; i < lan.n; i++) {
                Machine *m = lan.member[i];

                if (m == bad)
                        continue;
                assert_true(directory_is_revoked(network_directory(m->network), machine_id(bad)));
                assert_int_equal(link_info(m, bad).state, LINK_DOWN);
        }
        lan_free(&lan);
}

/* Somebody who was asleep learns of it when it wakes up, before anything else. */
static void test_revocation_reaches_a_sleeper(void **state) {
        Lan lan = lan_new(31);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);

        assert_true(machine_reaches(a, b, 2 * USEC_PER_SEC));
        sim_node_sleep(a->node, true);
        assert_int_equal(
                        enrol_service_revoke(
                                        network_enrol_service(lan.gateway->network), machine_id(b),
                                        REVOCATION_REMOVED),
                        0);
        sim_run_for(lan.sim, 3600 * USEC_PER_SEC);
        sim_node_sleep(a->node, false);
        network_changed(a->network);
        sim_run_for(lan.sim, 10 * USEC_PER_SEC);
        assert_true(directory_is_revoked(network_directory(a->network), machine_id(b)));
        lan_free(&lan);
}

static void test_stranger_without_invite(void **state) {
        Lan lan = lan_new(32);
        g_autofree char *link = machine_invite(lan.gateway, NULL);
        Machine *m = lan_machine(&lan);
        Invite invite;

        /* The right network and gateway, an invented token. */
        assert_int_equal(invite_parse(link, &invite), 0);
        invite.token[3] ^= 1;
        {
                g_autofree char *forged = invite_format(&invite);

                assert_non_null(machine_join(m, forged));
        }
        assert_int_equal(
                        directory_count(network_directory(lan.gateway->network), RECORD_CERTIFICATE),
                        1);
        assert_true(drop_counter(network_drops(lan.gateway->network), DROP_INVITE_REFUSED) > 0);
        lan_free(&lan);
}

static void test_used_and_expired_invites(void **state) {
        const InviteOptions brief = { .uses = 1, .lifetime = 60 * USEC_PER_SEC };
        Lan lan = lan_new(33);
        g_autofree char *used = machine_invite(lan.gateway, NULL);
        g_autofree char *old = machine_invite(lan.gateway, &brief);
        Machine *a = lan_machine(&lan), *b = lan_machine(&lan), *c = lan_machine(&lan);

        assert_null(machine_join(a, used));
        assert_non_null(machine_join(b, used));
        sim_run_for(lan.sim, 120 * USEC_PER_SEC);
        assert_non_null(machine_join(c, old));
        assert_int_equal(
                        directory_count(network_directory(lan.gateway->network), RECORD_CERTIFICATE),
                        2);
        lan_free(&lan);
}

static void test_gateway_that_is_not_there(void **state) {
        Lan lan = lan_new(34);
        g_autofree char *link = machine_invite(lan.gateway, NULL);
        Machine *m = lan_machine(&lan);
        usec_t before;

        machine_stop(lan.gateway, false, false);
        before = sim_now(lan.sim);
        assert_non_null(machine_join(m, link));
        assert_true(sim_now(lan.sim) - before <= 10 * USEC_PER_SEC + USEC_PER_MSEC);
        lan_free(&lan);
}

static void test_approval(void **state) {
        const InviteOptions options = { .needs_approval = true };
        Lan lan = lan_new(35);
        g_autofree char *link = machine_invite(lan.gateway, &options);
        Machine *m = lan_machine(&lan);

        assert_string_equal(machine_join(m, link), "Waiting");
        assert_int_equal(network_state(m->network), NETWORK_WAITING);
        sim_run_for(lan.sim, 600 * USEC_PER_SEC);
        assert_int_equal(
                        enrol_service_approve(
                                        network_enrol_service(lan.gateway->network), machine_id(m)),
                        0);
        sim_run_for(lan.sim, 15 * USEC_PER_SEC);
        assert_address(m, "10.0.0.100");
        assert_true(machine_reaches(m, lan.gateway, 2 * USEC_PER_SEC));
        lan_free(&lan);
}

static void test_refused(void **state) {
        const InviteOptions options = { .needs_approval = true };
        Lan lan = lan_new(37);
        g_autofree char *link = machine_invite(lan.gateway, &options);
        Machine *m = lan_machine(&lan), *other = lan_machine(&lan);

        assert_string_equal(machine_join(m, link), "Waiting");
        assert_int_equal(
                        enrol_service_refuse(
                                        network_enrol_service(lan.gateway->network), machine_id(m)),
                        0);
        sim_run_for(lan.sim, 15 * USEC_PER_SEC);
        assert_int_equal(network_state(m->network), NETWORK_WAITING);
        assert_non_null(strstr(network_state_reason(m->network), "not let in"));
        /* Its place is free. */
        assert_string_equal(machine_join(other, link), "Waiting");
        lan_free(&lan);
}

/* A member sends from an address that belongs to another. */
static void test_spoofed_source(void **state) {
        Lan lan = lan_new(36);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);
        IpAddr victim = machine_address(b), gateway = machine_address(lan.gateway);
        PacketPeer *peer;
        PacketTx *tx;
        uint8_t packet[64] = { 0x45, 0, 0, 28 }, message[128];
        uint64_t counter;

        assert_true(machine_reaches(a, lan.gateway, 2 * USEC_PER_SEC));
        /* Its own packet path would not do it: an honest daemon is not what protects us. */
        machine_send_text(a, &victim, &gateway, "spoof");
        assert_int_equal(drop_counter(network_drops(a->network), DROP_WRONG_SOURCE), 1);
        packet[8] = 64;
        packet[9] = 17;
        memcpy(packet + 12, victim.bytes, 4);
        memcpy(packet + 16, gateway.bytes, 4);
        peer = mesh_packet_peer(network_mesh(a->network), machine_id(lan.gateway));
        tx = atomic_load(&peer->tx);
        assert_true(keypair_reserve(tx->keypair, 1, &counter));
        keypair_seal(tx->keypair, counter, 0, packet, 28, message);
        (void) sim_node_env(a->node)->send(
                        sim_node_env(a->node)->userdata, &tx->endpoint, message, DATA_OVERHEAD + 28);
        sim_run_for(lan.sim, USEC_PER_SEC);
        assert_int_equal(drop_counter(network_drops(lan.gateway->network), DROP_SOURCE_SPOOFED), 1);
        lan_free(&lan);
}

/* --- quiet --- */

/* Nobody talks: a laptop may sleep. Gossip, keepalives and key renewals of its neighbours are
 * all that is left. */
static void test_idle_machine_is_quiet(void **state) {
        Lan lan = lan_new(40);
        Machine *a;
        uint64_t before;

        for (unsigned i = 0; i < 6; i++)
                (void) lan_join(&lan);
        a = lan.member[2];
        assert_true(machine_reaches(a, lan.member[3], 2 * USEC_PER_SEC));
        sim_run_for(lan.sim, 1200 * USEC_PER_SEC);
        before = sim_node_sent(a->node);
        sim_run_for(lan.sim, 3600 * USEC_PER_SEC);
        /* At most 6 links (its neighbours, and who has chosen it), each at most 5 a minute: a
         * keepalive and an answer to one, half of the three messages for new keys. */
        assert_true(sim_node_sent(a->node) - before < 60 * 6 * 5);
        assert_int_equal(session_pool_count(network_sessions(a->network)), 0);
        lan_free(&lan);
}

/* Leases (a day) and certificates (30 days) are renewed, with everybody awake for an hour a day;
 * simulating the nights as well would only make more keys. */
static void test_weeks(void **state) {
        Lan lan = lan_new(41);
        Machine *a = lan_join(&lan), *b = lan_join(&lan);
        SimNode *nodes[] = { lan.gateway->node, a->node, b->node };
        usec_t first = directory_certificate(network_directory(a->network), machine_id(a))->body.not_after;

        for (unsigned day = 0; day < 45; day++) {
                for (unsigned asleep = 0; asleep < 2; asleep++) {
                        for (unsigned i = 0; i < ELEMENTSOF(nodes); i++)
                                sim_node_sleep(nodes[i], asleep);
                        sim_run_for(lan.sim, (asleep ? 23 : 1) * USEC_PER_HOUR);
                }
        }
        for (unsigned i = 0; i < ELEMENTSOF(nodes); i++)
                sim_node_sleep(nodes[i], false);
        sim_run_for(lan.sim, 60 * USEC_PER_SEC);
        assert_address(a, "10.0.0.100");
        assert_int_equal(network_state(a->network), NETWORK_ONLINE);
        assert_true(directory_certificate(network_directory(a->network), machine_id(a))->body.not_after >
                    first);
        assert_true(machine_reaches(a, b, 5 * USEC_PER_SEC));
        lan_free(&lan);
}

/* A lease ends: who sees it is told then, once, and not before. */
static void test_lease_ends(void **state) {
        Lan lan = lan_new(43);
        Machine *a = lan_join(&lan), *b = lan_join(&lan), *gateway = lan.gateway;
        usec_t begun = sim_now(lan.sim);

        sim_run_for(lan.sim, USEC_PER_MINUTE);
        /* It renews its own meanwhile. */
        sim_node_sleep(b->node, true);
        sim_run_for(lan.sim, 24 * USEC_PER_HOUR - USEC_PER_MINUTE - USEC_PER_SEC);
        assert_int_equal(sim_now(lan.sim), begun + 24 * USEC_PER_HOUR - USEC_PER_SEC);
        assert_int_equal(a->n_leases_ended, 0);
        sim_run_for(lan.sim, 2 * USEC_PER_SEC);
        assert_int_equal(a->n_leases_ended, 1);
        assert_int_equal(gateway->n_leases_ended, 1);
        sim_run_for(lan.sim, USEC_PER_HOUR);
        assert_int_equal(a->n_leases_ended, 1);
        /* The clock is set back: it has not ended yet after all. */
        sim_node_set_realtime_offset(a->node, -(int64_t) (2 * USEC_PER_HOUR));
        network_changed(a->network);
        assert_int_equal(a->n_leases_ended, 2);
        sim_run_for(lan.sim, 2 * USEC_PER_HOUR);
        assert_int_equal(a->n_leases_ended, 3);
        /* What had ended before a start is no news. */
        machine_stop(gateway, true, false);
        gateway->n_leases_ended = 0;
        machine_start(gateway);
        sim_run_for(lan.sim, USEC_PER_HOUR);
        assert_int_equal(gateway->n_leases_ended, 0);
        sim_node_sleep(b->node, false);
        lan_free(&lan);
}

/* More machines talk to the gateway than it may have sessions: those who talk have them. */
static void test_more_machines_than_sessions(void **state) {
        SessionPoolConfig config = SESSION_POOL_CONFIG_DEFAULT;
        Lan lan = lan_new(42);
        SessionPool *pool;

        config.total_max = 3;
        for (unsigned i = 0; i < 6; i++)
                (void) lan_join(&lan);
        machine_stop(lan.gateway, true, false);
        lan.gateway->sessions = &config;
        machine_start(lan.gateway);
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        pool = network_sessions(lan.gateway->network);
        for (unsigned round = 0; round < 3; round++)
                for (unsigned i = 0; i < lan.n; i++) {
                        Machine *m = lan.member[i];

                        /* In both directions, whoever opens it. */
                        assert_true(round == 1 ? machine_reaches(lan.gateway, m, 5 * USEC_PER_SEC)
                                               : machine_reaches(m, lan.gateway, 5 * USEC_PER_SEC));
                        assert_true(session_pool_count(pool) <= 3);
                        sim_run_for(lan.sim, SESSION_SPARED_USEC / 2);
                }
        /* One that talks all the time is never the one that goes. */
        for (unsigned i = 1; i < 20; i++) {
                sim_run_for(lan.sim, 4 * USEC_PER_SEC);
                assert_true(machine_reaches(lan.member[0], lan.gateway, 5 * USEC_PER_SEC));
                (void) machine_reaches(lan.member[1 + i % 5], lan.gateway, USEC_PER_SEC);
                assert_non_null(session_pool_get_existing(
                                pool, machine_id(lan.member[0]), SESSION_CHANNEL_PACKETS));
        }
        lan_free(&lan);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_three_node_network),
                cmocka_unit_test(test_gateway_is_no_exit),
                cmocka_unit_test(test_first_packets_wait_for_the_session),
                cmocka_unit_test(test_fifty_machines_join),
                cmocka_unit_test(test_loss_reorder_duplication),
                cmocka_unit_test(test_duplicates_are_dropped),
                cmocka_unit_test(test_partition_heals),
                cmocka_unit_test(test_open_at_the_same_instant),
                cmocka_unit_test(test_roaming_member),
                cmocka_unit_test(test_gateway_restart),
                cmocka_unit_test(test_power_loss_during_join),
                cmocka_unit_test(test_member_restart),
                cmocka_unit_test(test_start_while_nobody_is_there),
                cmocka_unit_test(test_released_address_is_given_again),
                cmocka_unit_test(test_full_pool),
                cmocka_unit_test(test_revocation_reaches_everyone),
                cmocka_unit_test(test_revocation_reaches_a_sleeper),
                cmocka_unit_test(test_stranger_without_invite),
                cmocka_unit_test(test_used_and_expired_invites),
                cmocka_unit_test(test_gateway_that_is_not_there),
                cmocka_unit_test(test_approval),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_spoofed_source),
                cmocka_unit_test(test_idle_machine_is_quiet),
                cmocka_unit_test(test_weeks),
                cmocka_unit_test(test_lease_ends),
                cmocka_unit_test(test_more_machines_than_sessions),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
