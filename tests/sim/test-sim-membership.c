/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How memberships end, and begin again: left, removed, on bad lines, while somebody is away. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/crypto/aead.h"
#include "machine.h"

#define MEMBERS 3U

typedef struct Lan {
        Sim *sim;
        Machine *gateway, *member[MEMBERS];
} Lan;

static void join(Lan *lan, Machine *m) {
        g_autofree char *link = machine_invite(lan->gateway, NULL);
        const char *error = machine_join(m, link);

        if (error)
                fail_msg("%s did not join: %s (%s)", m->name, error, m->join_detail);
}

static Lan lan_new(uint64_t seed) {
        Lan lan = { .sim = sim_new(seed) };

        lan.gateway = machine_new(lan.sim, "gateway", "192.0.2.1:18002");
        machine_create_network(lan.gateway, "10.0.0.0/16");
        for (unsigned i = 0; i < MEMBERS; i++) {
                g_autofree char *name = g_strdup_printf("m%u", i + 1);
                g_autofree char *endpoint = g_strdup_printf("198.51.100.%u:18002", i + 1);

                lan.member[i] = machine_new(lan.sim, name, endpoint);
                join(&lan, lan.member[i]);
        }
        return lan;
}

static void lan_free(Lan *lan) {
        for (unsigned i = 0; i < MEMBERS; i++)
                machine_free(lan->member[i]);
        machine_free(lan->gateway);
        sim_free(lan->sim);
}

/* By its certificate and by its lease. */
static bool is_called(Machine *knows, const MachineId *machine, const char *name) {
        const Record *lease = directory_get(network_directory(knows->network), RECORD_LEASE, machine);
        MachineId id;

        return lease && strcmp(lease->body.lease.name, name) == 0 &&
               directory_find(network_directory(knows->network), name, &id) >= 0 &&
               machine_id_equal(&id, machine);
}

/* Another name: everybody knows it, the machine itself and one that was away too, and nobody the
 * old one; the address is the same, and what the gateway signs later has the new name. */
static void test_renamed(void **state) {
        Lan lan = lan_new(31);
        Machine *m = lan.member[0], *away = lan.member[1];
        Network *n = lan.gateway->network;
        IpAddr address = vnet_local_address(network_vnet(m->network)), now;
        MachineId nobody = { .bytes = { 1 } }, unknown;

        sim_node_sleep(away->node, true);
        assert_int_equal(network_rename(n, &nobody, "x"), -ENOENT);
        assert_int_equal(network_rename(n, machine_id(lan.gateway), "x"), -EPERM);
        assert_int_equal(network_rename(n, machine_id(m), "m2"), -EEXIST);
        assert_int_equal(network_rename(n, machine_id(m), "gateway"), -EEXIST);
        assert_int_equal(network_rename(n, machine_id(m), "Not a name"), -EINVAL);
        assert_int_equal(network_rename(n, machine_id(m), ""), -EINVAL);
        assert_int_equal(network_rename(n, machine_id(m), "nas"), 0);
        assert_int_equal(network_rename(n, machine_id(m), "nas"), 0);
        sim_run_for(lan.sim, 5 * USEC_PER_SEC);
        assert_true(is_called(m, machine_id(m), "nas"));
        assert_true(is_called(lan.member[2], machine_id(m), "nas"));
        assert_true(directory_find(network_directory(lan.member[2]->network), "m1", &unknown) < 0);
        assert_string_equal(network_membership(m->network)->host_name, "nas");
        sim_node_sleep(away->node, false);
        network_changed(away->network);
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_true(is_called(away, machine_id(m), "nas"));
        assert_true(machine_reaches(away, m, 5 * USEC_PER_SEC));
        /* The name that is free now may be another's. */
        assert_int_equal(network_rename(n, machine_id(lan.member[2]), "m1"), 0);
        sim_run_for(lan.sim, 20 * USEC_PER_DAY);
        assert_true(is_called(away, machine_id(m), "nas"));
        assert_true(is_called(m, machine_id(lan.member[2]), "m1"));
        now = vnet_local_address(network_vnet(m->network));
        assert_true(ip_equal(&address, &now));
        lan_free(&lan);
}

static int remove_machine(Lan *lan, const MachineId *machine) {
        return enrol_service_revoke(
                        network_enrol_service(lan->gateway->network), machine, REVOCATION_REMOVED);
}

static const Record *end_of(Machine *knows, const MachineId *machine) {
        return directory_get(network_directory(knows->network), RECORD_REVOCATION, machine);
}

/* Nothing is left of it at @knows but that it has left, by whoever's word. */
static void assert_left(Machine *knows, const MachineId *machine) {
        const Directory *d = network_directory(knows->network);
        const Record *end = end_of(knows, machine);

        if (!end)
                fail_msg("%s does not know that it has left", knows->name);
        assert_int_equal(end->body.revocation.reason, REVOCATION_LEFT);
        assert_null(directory_get(d, RECORD_CERTIFICATE, machine));
        assert_null(directory_get(d, RECORD_LEASE, machine));
        assert_null(directory_get(d, RECORD_PRESENCE, machine));
}

static bool alike(Machine *a, Machine *b) {
        uint64_t x[256], y[256];

        directory_digest(network_directory(a->network), x);
        directory_digest(network_directory(b->network), y);
        return memcmp(x, y, sizeof x) == 0;
}

/* --- leaving --- */

static void test_left_at_once(void **state) {
        Lan lan = lan_new(1);
        Machine *a = lan.member[0];
        MachineId was = *machine_id(a);

        assert_true(machine_leave(a));
        sim_run_for(lan.sim, 2 * USEC_PER_SEC);
        assert_left(lan.gateway, &was);
        assert_left(lan.member[1], &was);
        assert_left(lan.member[2], &was);
        /* An issuer has said it in its own name, for those who never knew the machine. */
        assert_memory_equal(
                        end_of(lan.member[2], &was)->signer.bytes, machine_id(lan.gateway)->bytes,
                        MACHINE_ID_SIZE);
        assert_int_equal(remove_machine(&lan, &was), -ENOENT);

        /* Another machine's now: the address and the name are free. */
        join(&lan, a);
        assert_memory_not_equal(machine_id(a)->bytes, was.bytes, MACHINE_ID_SIZE);
        assert_string_equal(network_membership(a->network)->host_name, "m1");
        {
                IpAddr address = machine_address(a);

                assert_string_equal(ip_format(&address).text, "10.0.0.100");
        }
        sim_run_for(lan.sim, 10 * USEC_PER_SEC);
        assert_left(a, &was);
        assert_true(alike(a, lan.gateway));
        assert_true(machine_reaches(lan.member[1], a, 2 * USEC_PER_SEC));
        lan_free(&lan);
}

/* One datagram in twenty is lost: who leaves waits until it was heard. */
static void test_left_on_a_bad_line(void **state) {
        SimModel bad = { .latency = 30 * USEC_PER_MSEC, .loss = 0.05 };

        for (unsigned i = 0; i < 100; i++) {
                Lan lan = lan_new(100 + i);
                MachineId was = *machine_id(lan.member[0]);

                sim_set_model(lan.sim, &bad);
                if (!machine_leave(lan.member[0]))
                        fail_msg("seed %u: nobody heard it", 100 + i);
                sim_run_for(lan.sim, 10 * USEC_PER_SEC);
                assert_left(lan.gateway, &was);
                lan_free(&lan);
        }
}

static void test_left_alone(void **state) {
        Lan lan = lan_new(2);
        MachineId was = *machine_id(lan.member[0]);
        usec_t before;

        for (unsigned i = 1; i < MEMBERS; i++)
                sim_node_sleep(lan.member[i]->node, true);
        sim_node_sleep(lan.gateway->node, true);
        sim_run_for(lan.sim, 10 * USEC_PER_MINUTE);
        before = sim_now(lan.sim);
        assert_false(machine_leave(lan.member[0]));
        assert_true(sim_now(lan.sim) - before <= 6 * USEC_PER_SEC);
        sim_node_sleep(lan.gateway->node, false);
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_null(end_of(lan.gateway, &was));
        /* Its next life is another machine's: nothing is in its way. */
        join(&lan, lan.member[0]);
        lan_free(&lan);
}

/* The others take it down while there is no gateway; the gateway learns of it, says it in its own
 * name, and who joins only then knows it as well. */
static void test_left_while_the_gateway_is_away(void **state) {
        Lan lan = lan_new(3);
        Machine *a = lan.member[0], *b = lan.member[1];
        MachineId was = *machine_id(a);

        machine_stop(lan.gateway, false, false);
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_true(machine_leave(a));
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_left(b, &was);
        assert_memory_equal(end_of(b, &was)->signer.bytes, was.bytes, MACHINE_ID_SIZE);
        /* Over a restart too. */
        machine_stop(b, false, true);
        machine_start(b);
        assert_left(b, &was);

        machine_start(lan.gateway);
        sim_run_for(lan.sim, 3 * USEC_PER_MINUTE);
        assert_left(lan.gateway, &was);
        assert_memory_equal(
                        end_of(b, &was)->signer.bytes, machine_id(lan.gateway)->bytes,
                        MACHINE_ID_SIZE);
        join(&lan, a);
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_left(a, &was);
        for (unsigned i = 0; i < MEMBERS; i++)
                assert_true(alike(lan.member[i], lan.gateway));
        lan_free(&lan);
}

/* What was heard is on disk: power that goes in that very moment changes nothing. */
static void test_left_and_power_lost(void **state) {
        Lan lan = lan_new(4);
        MachineId was = *machine_id(lan.member[0]);

        for (unsigned i = 1; i < MEMBERS; i++)
                machine_stop(lan.member[i], true, false);
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_true(machine_leave(lan.member[0]));
        machine_stop(lan.gateway, false, true);
        machine_start(lan.gateway);
        assert_left(lan.gateway, &was);
        lan_free(&lan);
}

/* A gateway takes nothing back when it goes: its network ends with the certificates. */
static void test_gateway_leaves(void **state) {
        Lan lan = lan_new(5);

        assert_false(machine_leave(lan.gateway));
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_int_equal(network_state(lan.member[0]->network), NETWORK_ONLINE);
        assert_true(machine_reaches(lan.member[0], lan.member[1], 2 * USEC_PER_SEC));
        lan_free(&lan);
}

/* --- removed --- */

static void test_removed_is_remembered(void **state) {
        Lan lan = lan_new(6);
        Machine *a = lan.member[0];
        MachineId was = *machine_id(a);
        uint64_t sent;

        assert_int_equal(remove_machine(&lan, &was), 0);
        sim_run_for(lan.sim, USEC_PER_SEC);
        assert_int_equal(network_state(a->network), NETWORK_REVOKED);
        /* It has it in writing. */
        assert_non_null(end_of(a, &was));
        assert_memory_equal(
                        end_of(a, &was)->signer.bytes, machine_id(lan.gateway)->bytes,
                        MACHINE_ID_SIZE);
        machine_stop(a, false, true);
        sent = sim_node_sent(a->node);
        machine_start(a);
        assert_int_equal(network_state(a->network), NETWORK_REVOKED);
        /* The writing is enough: the power may have failed before it was noted with the membership. */
        machine_stop(a, false, true);
        a->membership.is_revoked = false;
        machine_start(a);
        assert_int_equal(network_state(a->network), NETWORK_REVOKED);
        assert_true(network_membership(a->network)->is_revoked);
        assert_string_equal(
                        network_state_reason(a->network),
                        "this machine was removed from the network");
        sim_run_for(lan.sim, USEC_PER_HOUR);
        assert_int_equal(sim_node_sent(a->node), sent);

        /* Out by the door, and in again with another key. */
        (void) machine_leave(a);
        join(&lan, a);
        sim_run_for(lan.sim, 5 * USEC_PER_SEC);
        assert_true(machine_reaches(a, lan.member[1], 2 * USEC_PER_SEC));
        assert_int_equal(end_of(lan.gateway, &was)->body.revocation.reason, REVOCATION_REMOVED);
        lan_free(&lan);
}

/* Without the record, by what the daemon has written down. */
static void test_removed_by_word_alone(void **state) {
        Lan lan = lan_new(7);
        Machine *a = lan.member[0];

        machine_stop(a, true, false);
        a->membership.is_revoked = true;
        machine_start(a);
        assert_int_equal(network_state(a->network), NETWORK_REVOKED);
        lan_free(&lan);
}

static void test_removed_on_a_bad_line(void **state) {
        SimModel bad = { .latency = 30 * USEC_PER_MSEC, .loss = 0.2 };

        for (unsigned i = 0; i < 50; i++) {
                Lan lan = lan_new(200 + i);
                Machine *a = lan.member[0];
                MachineId was = *machine_id(a);

                sim_set_model(lan.sim, &bad);
                assert_int_equal(remove_machine(&lan, &was), 0);
                sim_run_for(lan.sim, 10 * USEC_PER_SEC);
                if (network_state(a->network) != NETWORK_REVOKED || !end_of(a, &was))
                        fail_msg("seed %u: it does not know", 200 + i);
                lan_free(&lan);
        }
}

/* Cut off at once, though its link lives a moment longer to tell it. */
static bool
lose_to_member(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        const Lan *lan = userdata;
        Endpoint a = sim_node_endpoint(lan->member[0]->node);

        return from != lan->gateway->node || !endpoint_equal(to, &a);
}

static void test_removed_hears_and_says_nothing(void **state) {
        Lan lan = lan_new(8);
        Machine *a = lan.member[0], *g = lan.gateway;
        IpAddr from = machine_address(a), to = machine_address(g);

        assert_true(machine_reaches(a, g, 2 * USEC_PER_SEC));
        sim_set_tap(lan.sim, lose_to_member, &lan);
        assert_int_equal(remove_machine(&lan, machine_id(a)), 0);
        /* It does not know yet, and goes on. */
        machine_send_text(a, &from, &to, "still here");
        sim_run_for(lan.sim, 500 * USEC_PER_MSEC);
        assert_int_not_equal(network_state(a->network), NETWORK_REVOKED);
        assert_false(machine_received_text(g, &from, "still here"));
        assert_null(mesh_packet_peer(network_mesh(g->network), machine_id(a)));
        sim_run_for(lan.sim, 10 * USEC_PER_SEC);
        {
                MeshLinkInfo info;

                /* It asks again and again, and may be told why on a link that is good for nothing
                 * else. */
                assert_true(!mesh_link_info(network_mesh(g->network), machine_id(a), &info) ||
                            info.state == LINK_DOWN);
        }
        sim_set_tap(lan.sim, NULL, NULL);
        lan_free(&lan);
}

/* --- who may say so --- */

static Record *departure(Lan *lan, const Identity *who, usec_t version) {
        RecordBody body = {
                .kind = RECORD_REVOCATION,
                .machine = who->id,
                .version = version,
                .revocation.reason = REVOCATION_LEFT,
        };
        Record *r;

        assert_int_equal(identity_sign_record(who, &lan->gateway->membership.id, &body, &r), 0);
        return r;
}

/* A member that makes up keys and has them all leave, or has its time be another's. */
static void test_made_up_departures(void **state) {
        Lan lan = lan_new(9);
        Machine *a = lan.member[0];
        Directory *d = network_directory(lan.gateway->network);
        unsigned n = directory_count(d, RECORD_REVOCATION);
        usec_t now = directory_realtime(d);
        uint8_t seed[IDENTITY_SEED_SIZE] = {};

        for (unsigned i = 0; i < 200; i++) {
                g_autoptr(Record) r = NULL;
                Identity *who;

                seed[0] = (uint8_t) i;
                assert_int_equal(identity_new(seed, &who), 0);
                r = departure(&lan, who, now);
                (void) mesh_tell(network_mesh(a->network), r);
                identity_free(who);
        }
        /* The gateway's word is not the gateway's to give this way. */
        {
                g_autoptr(Record) r = departure(&lan, lan.gateway->identity, now);

                (void) mesh_tell(network_mesh(a->network), r);
        }
        sim_run_for(lan.sim, 10 * USEC_PER_SEC);
        assert_int_equal(directory_count(d, RECORD_REVOCATION), n);
        assert_false(directory_is_revoked(
                        network_directory(lan.member[1]->network), machine_id(lan.gateway)));

        /* From the year 2500: nobody's clock follows. */
        {
                g_autoptr(Record) r = departure(&lan, a->identity, now + 500 * 365 * USEC_PER_DAY);

                (void) mesh_tell(network_mesh(a->network), r);
        }
        sim_run_for(lan.sim, 10 * USEC_PER_SEC);
        assert_left(lan.member[1], machine_id(a));
        assert_true(directory_realtime(d) < now + USEC_PER_DAY);
        assert_true(directory_realtime(network_directory(lan.member[1]->network)) <
                    now + USEC_PER_DAY);
        lan_free(&lan);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_renamed),
                cmocka_unit_test(test_left_at_once),
                cmocka_unit_test(test_left_on_a_bad_line),
                cmocka_unit_test(test_left_alone),
                cmocka_unit_test(test_left_while_the_gateway_is_away),
                cmocka_unit_test(test_left_and_power_lost),
                cmocka_unit_test(test_gateway_leaves),
                cmocka_unit_test(test_removed_is_remembered),
                cmocka_unit_test(test_removed_by_word_alone),
                cmocka_unit_test(test_removed_on_a_bad_line),
                cmocka_unit_test(test_removed_hears_and_says_nothing),
                cmocka_unit_test(test_made_up_departures),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
