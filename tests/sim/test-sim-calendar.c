/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What time does to a network: months of absence, certificates that end, clocks that are wrong.
 * Nobody in these tests does anything but switch machines on and off and set clocks: whatever is
 * needed afterwards has to come by itself.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "core/crypto/aead.h"
#include "lan.h"

#define HOUSEHOLD 5U
/* tests/sim/sim.c: where Unix time begins. */
#define BASE ((int64_t) 1700000000 * (int64_t) USEC_PER_SEC)
#define DAYS(n) ((int64_t) (n) * (int64_t) USEC_PER_DAY)

static Lan household(uint64_t seed) {
        Lan lan = lan_new(seed);

        for (unsigned i = 0; i < HOUSEHOLD; i++)
                (void) lan_join(&lan);
        sim_run_for(lan.sim, 10 * USEC_PER_SEC);
        return lan;
}

static Machine *machine_at(Lan *lan, unsigned i) {
        return i == 0 ? lan->gateway : lan->member[i - 1];
}

/* --- what must be true when all is well --- */

static void assert_pairs_talk(Lan *lan, const char *when) {
        for (unsigned i = 0; i <= lan->n; i++)
                for (unsigned j = 0; j <= lan->n; j++) {
                        Machine *a = machine_at(lan, i), *b = machine_at(lan, j);

                        if (i != j && !machine_reaches(a, b, 5 * USEC_PER_SEC) &&
                            !machine_reaches(a, b, 5 * USEC_PER_SEC))
                                fail_msg("%s: %s does not reach %s (%s: %s; %s: %s)", when, a->name,
                                         b->name, a->name, network_state_reason(a->network) ?: "fine",
                                         b->name, network_state_reason(b->network) ?: "fine");
                }
}

static void assert_nothing_lost(Lan *lan, const char *when) {
        for (unsigned i = 0; i <= lan->n; i++) {
                Machine *m = machine_at(lan, i);
                Directory *d = network_directory(m->network);
                g_autofree char *address = i == 0 ? g_strdup("10.0.0.1")
                                                  : g_strdup_printf("10.0.0.%u", 99 + i);
                IpAddr own = machine_address(m);

                if (strcmp(ip_format(&own).text, address) != 0)
                        fail_msg("%s: %s has %s instead of %s", when, m->name, ip_format(&own).text,
                                 address);
                assert_int_equal(directory_count(d, RECORD_CERTIFICATE), lan->n + 1);
                assert_int_equal(directory_count(d, RECORD_LEASE), lan->n + 1);
                if (network_state(m->network) != NETWORK_ONLINE || network_state_reason(m->network))
                        fail_msg("%s: %s is %s (%s)", when, m->name,
                                 network_state_to_string(network_state(m->network)),
                                 network_state_reason(m->network) ?: "no reason");
        }
}

static void set_clock(Machine *m, int64_t offset) {
        sim_node_set_realtime_offset(m->node, offset);
        if (m->network)
                network_changed(m->network); /* as the daemon does when the kernel tells it */
}

/* --- absence --- */

/* Asleep for all but a few minutes, as test_weeks(): days of keepalives show nothing new. */
static void spend_days(Lan *lan, unsigned days, const bool *away) {
        for (unsigned day = 0; day < days; day++)
                for (unsigned night = 0; night < 2; night++) {
                        for (unsigned i = 0; i <= lan->n; i++)
                                sim_node_sleep(machine_at(lan, i)->node, night || (away && away[i]));
                        sim_run_for(lan->sim, night ? USEC_PER_DAY - 5 * USEC_PER_MINUTE
                                                    : 5 * USEC_PER_MINUTE);
                }
        for (unsigned i = 0; i <= lan->n; i++)
                sim_node_sleep(machine_at(lan, i)->node, false);
}

static void wake_all(Lan *lan) {
        for (unsigned i = 0; i <= lan->n; i++)
                if (machine_at(lan, i)->network)
                        network_changed(machine_at(lan, i)->network);
        sim_run_for(lan->sim, 3 * USEC_PER_MINUTE);
}

static void test_laptop_away_for_200_days(void **state) {
        const bool away[HOUSEHOLD + 1] = { [2] = true };
        Lan lan = household(201);
        Machine *laptop = lan.member[1];
        usec_t end = directory_certificate(network_directory(laptop->network), machine_id(laptop))
                                     ->body.not_after;

        spend_days(&lan, 200, away);
        network_changed(laptop->network); /* the lid is opened */
        /* What it sees until the gateway has answered is the truth. */
        assert_int_equal(network_trouble(laptop->network), NETWORK_TROUBLE_CERTIFICATE);
        assert_non_null(strstr(network_state_reason(laptop->network), "certificate expired"));
        assert_non_null(strstr(network_state_reason(laptop->network), "waiting for the gateway"));
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_true(directory_certificate(network_directory(laptop->network), machine_id(laptop))
                                    ->body.not_after > end);
        assert_nothing_lost(&lan, "after 200 days");
        assert_pairs_talk(&lan, "after 200 days");
        lan_free(&lan);
}

/* The same, switched off, with a start in between that finds nobody. */
static void test_switched_off_for_years(void **state) {
        Lan lan = household(202);
        Machine *laptop = lan.member[1];

        machine_stop(laptop, true, false);
        spend_days(&lan, 40, NULL);
        sim_partition(lan.sim, laptop->node, 1);
        machine_start(laptop);
        sim_run_for(lan.sim, 5 * USEC_PER_MINUTE);
        assert_int_equal(network_state(laptop->network), NETWORK_OFFLINE);
        assert_non_null(strstr(network_state_reason(laptop->network), "certificate expired"));
        machine_stop(laptop, true, false);
        for (unsigned i = 0; i <= lan.n; i++)
                if (machine_at(&lan, i) != laptop)
                        machine_stop(machine_at(&lan, i), true, false);
        sim_run_for(lan.sim, 3 * 365 * USEC_PER_DAY);
        sim_partition(lan.sim, laptop->node, 0);
        for (unsigned i = 0; i <= lan.n; i++)
                machine_start(machine_at(&lan, i));
        sim_run_for(lan.sim, 3 * USEC_PER_MINUTE);
        assert_nothing_lost(&lan, "after three years");
        assert_pairs_talk(&lan, "after three years");
        lan_free(&lan);
}

static void test_gateway_away_for_60_days(void **state) {
        const bool away[HOUSEHOLD + 1] = { [0] = true };
        Lan lan = household(203);
        Machine *a = lan.member[0], *b = lan.member[1], *c = lan.member[2];

        spend_days(&lan, 60, away);
        sim_node_sleep(lan.gateway->node, true);
        machine_stop(c, true, false); /* a start without a gateway */
        machine_start(c);
        wake_all(&lan);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(network_state(lan.member[i]->network), NETWORK_ONLINE);
                assert_int_equal(network_trouble(lan.member[i]->network), NETWORK_TROUBLE_CERTIFICATE);
        }
        assert_true(machine_reaches(a, b, 5 * USEC_PER_SEC));
        assert_true(machine_reaches(b, c, 5 * USEC_PER_SEC));
        assert_true(machine_reaches(c, a, 5 * USEC_PER_SEC));
        sim_node_sleep(lan.gateway->node, false);
        network_changed(lan.gateway->network);
        sim_run_for(lan.sim, 6 * USEC_PER_MINUTE);
        assert_nothing_lost(&lan, "the gateway is back");
        assert_pairs_talk(&lan, "the gateway is back");
        lan_free(&lan);
}

/* Revocation wins, also over the honour of certificates that have ended. */
static void test_revoked_while_away(void **state) {
        const bool away[HOUSEHOLD + 1] = { [2] = true };
        Lan lan = household(204);
        Machine *laptop = lan.member[1];

        sim_node_sleep(laptop->node, true);
        assert_int_equal(
                        enrol_service_revoke(
                                        network_enrol_service(lan.gateway->network),
                                        machine_id(laptop), REVOCATION_REMOVED),
                        0);
        spend_days(&lan, 60, away);
        network_changed(laptop->network);
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_int_equal(network_state(laptop->network), NETWORK_REVOKED);
        assert_true(directory_is_revoked(network_directory(laptop->network), machine_id(laptop)));
        lan_free(&lan);
}

static void test_max_absence(void **state) {
        const bool away[HOUSEHOLD + 1] = { [2] = true, [3] = true };
        Lan lan = household(205);
        Machine *late = lan.member[1], *stranger = lan.member[2];

        network_set_policy(lan.gateway->network, 90 * USEC_PER_DAY, ENROL_GRACE_DEFAULT);
        spend_days(&lan, 85, away);
        sim_node_sleep(stranger->node, true);
        network_changed(late->network);
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_int_equal(network_trouble(late->network), NETWORK_TROUBLE_NONE);
        assert_true(machine_reaches(late, lan.member[0], 5 * USEC_PER_SEC));
        spend_days(&lan, 6, (bool[HOUSEHOLD + 1]){ [3] = true });
        network_changed(stranger->network);
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        assert_int_equal(network_trouble(stranger->network), NETWORK_TROUBLE_ABSENT);
        assert_false(machine_reaches(stranger, lan.gateway, 10 * USEC_PER_SEC));
        /* The administrator relents. */
        network_set_policy(lan.gateway->network, 0, ENROL_GRACE_DEFAULT);
        sim_run_for(lan.sim, USEC_PER_HOUR);
        assert_nothing_lost(&lan, "without a limit");
        lan_free(&lan);
}

/* 400 days: everybody is away for a day to 200 days now and then, the gateway for 1 to 90. */
static void test_household_of_400_days(void **state) {
        Lan lan = household(206);
        unsigned left[HOUSEHOLD + 1] = {}, days = 0;

        while (days < 400) {
                bool away[HOUSEHOLD + 1] = {};
                unsigned step = 200;

                for (unsigned i = 0; i <= HOUSEHOLD; i++) {
                        if (left[i] == 0 && sim_random(lan.sim) % 2 == 0)
                                left[i] = 1 + (unsigned) (sim_random(lan.sim) % (i == 0 ? 90 : 200));
                        away[i] = left[i] > 0;
                        step = MIN(step, left[i] > 0 ? left[i] : 15);
                }
                spend_days(&lan, step, away);
                for (unsigned i = 0; i <= HOUSEHOLD; i++)
                        left[i] -= MIN(left[i], step);
                days += step;
                if (days % 3 == 0) {
                        unsigned i = (unsigned) (sim_random(lan.sim) % (HOUSEHOLD + 1));

                        machine_stop(machine_at(&lan, i), true, false);
                        machine_start(machine_at(&lan, i));
                }
        }
        wake_all(&lan);
        assert_nothing_lost(&lan, "after 400 days");
        assert_pairs_talk(&lan, "after 400 days");
        lan_free(&lan);
}

/* --- clocks --- */

static const struct {
        const char *name;
        int64_t offset;
} wrong[] = {
        { "5 hours ahead", 5 * (int64_t) USEC_PER_HOUR },
        { "40 days ahead", DAYS(40) },
        { "3 years ahead", DAYS(3 * 365) },
        { "50 years ahead", DAYS(50 * 365) },
        { "a day behind", DAYS(-1) - 1 },
        { "40 days behind", DAYS(-40) },
        { "in 1970", -BASE },
};

/* All clocks are right since a minute. */
static void assert_whole(Lan *lan, const char *when) {
        sim_run_for(lan->sim, USEC_PER_MINUTE);
        assert_pairs_talk(lan, when);
        assert_nothing_lost(lan, when);
}

static void test_clock_is_wrong_for_a_while(void **state) {
        for (unsigned w = 0; w < ELEMENTSOF(wrong); w++)
                for (unsigned i = 0; i < 2; i++) {
                        Lan lan = household(300 + w);
                        Machine *m = machine_at(&lan, i);
                        g_autofree char *when = g_strdup_printf("%s %s", m->name, wrong[w].name);

                        set_clock(m, wrong[w].offset);
                        sim_run_for(lan.sim, 20 * USEC_PER_MINUTE);
                        set_clock(m, 0);
                        assert_whole(&lan, when);
                        /* Still so when leases and certificates are renewed. */
                        if (wrong[w].offset == DAYS(40)) {
                                spend_days(&lan, 25, NULL);
                                wake_all(&lan);
                                assert_nothing_lost(&lan, when);
                        }
                        lan_free(&lan);
                }
}

static void test_clock_is_wrong_at_a_start(void **state) {
        for (unsigned w = 0; w < ELEMENTSOF(wrong); w++)
                for (unsigned i = 0; i < 2; i++) {
                        Lan lan = household(320 + w);
                        Machine *m = machine_at(&lan, i);
                        g_autofree char *when =
                                        g_strdup_printf("%s started %s", m->name, wrong[w].name);

                        machine_stop(m, true, false);
                        sim_node_set_realtime_offset(m->node, wrong[w].offset);
                        machine_start(m);
                        sim_run_for(lan.sim, 20 * USEC_PER_MINUTE);
                        /* And is right at the next start. */
                        machine_stop(m, true, false);
                        sim_node_set_realtime_offset(m->node, 0);
                        machine_start(m);
                        assert_whole(&lan, when);
                        lan_free(&lan);
                }
}

static void test_clocks_back_and_forth(void **state) {
        Lan lan = household(340);

        for (unsigned round = 0; round < 6; round++) {
                for (unsigned k = 0; k < 3; k++) {
                        Machine *m = machine_at(
                                        &lan, (unsigned) (sim_random(lan.sim) % (HOUSEHOLD + 1)));

                        set_clock(m, wrong[sim_random(lan.sim) % ELEMENTSOF(wrong)].offset);
                        if (sim_random(lan.sim) % 3 == 0) {
                                machine_stop(m, true, false);
                                machine_start(m);
                        }
                        sim_run_for(lan.sim, sim_random(lan.sim) % (10 * USEC_PER_MINUTE));
                }
                for (unsigned i = 0; i <= HOUSEHOLD; i++)
                        set_clock(machine_at(&lan, i), 0);
                assert_whole(&lan, "back and forth");
        }
        lan_free(&lan);
}

/* For five seconds, in which a machine joins. */
static void test_join_while_the_gateway_is_ahead(void **state) {
        for (unsigned w = 0; w < 4; w++) {
                Lan lan = household(350 + w);
                g_autofree char *link = machine_invite(lan.gateway, &(InviteOptions){ .uses = 2 });
                Machine *m = lan_machine(&lan);

                set_clock(lan.gateway, wrong[w].offset);
                machine_join_start(m, link);
                sim_run_for(lan.sim, 5 * USEC_PER_SEC);
                set_clock(lan.gateway, 0);
                sim_run_for(lan.sim, 10 * USEC_PER_SEC);
                if (w > 0) {
                        /* The gateway noticed, and signed nothing: this is what the person reads. */
                        assert_string_equal(m->join_error, "ClockWrong");
                        machine_stop(m, true, false);
                        machine_start(m);
                        assert_null(machine_join(m, link));
                }
                assert_whole(&lan, wrong[w].name);
                lan_free(&lan);
        }
}

/* Two machines, one of them ahead from its start on: nobody is there to notice. What is signed then
 * must not last. */
static void test_gateway_ahead_from_the_start(void **state) {
        for (unsigned w = 0; w < 4; w++) {
                Lan lan = { .sim = sim_new(360 + w) };
                g_autofree char *link = NULL;
                Machine *m;

                lan.gateway = machine_new(lan.sim, "gateway", "192.0.2.1:18002");
                machine_create_network(lan.gateway, "10.0.0.0/16");
                machine_stop(lan.gateway, true, false);
                sim_node_set_realtime_offset(lan.gateway->node, wrong[w].offset);
                machine_start(lan.gateway);
                link = machine_invite(lan.gateway, NULL);
                m = lan_machine(&lan);
                (void) machine_join(m, link);
                set_clock(lan.gateway, 0);
                sim_run_for(lan.sim, USEC_PER_SEC);
                if (m->join_error) {
                        machine_stop(m, true, false);
                        machine_start(m);
                        if (machine_join(m, link))
                                fail_msg("%s: %s", wrong[w].name, m->join_error);
                }
                assert_whole(&lan, wrong[w].name);
                lan_free(&lan);
        }
}

/* --- the gateway's own certificate, which only the root can sign --- */

/* Made by a clock that is wrong. */
static Lan lan_of_wrong_clock(uint64_t seed, int64_t offset) {
        Lan lan = { .sim = sim_new(seed) };

        lan.gateway = machine_new(lan.sim, "gateway", "192.0.2.1:18002");
        sim_node_set_realtime_offset(lan.gateway->node, offset);
        machine_create_network(lan.gateway, "10.0.0.0/16");
        sim_run_for(lan.sim, USEC_PER_MINUTE);
        return lan;
}

static void set_right(Lan *lan, bool restart) {
        if (restart)
                machine_stop(lan->gateway, true, false);
        set_clock(lan->gateway, 0);
        if (restart)
                machine_start(lan->gateway);
        sim_run_for(lan->sim, USEC_PER_SEC);
}

static const Record *own_certificate(Machine *m) {
        return directory_certificate(network_directory(m->network), machine_id(m));
}

static void test_network_made_by_a_wrong_clock(void **state) {
        for (unsigned w = 0; w < ELEMENTSOF(wrong); w++)
                for (unsigned restart = 0; restart < 2; restart++) {
                        Lan lan = lan_of_wrong_clock(400 + w, wrong[w].offset);

                        set_right(&lan, restart);
                        for (unsigned i = 0; i < 3; i++)
                                (void) lan_join(&lan);
                        assert_whole(&lan, wrong[w].name);
                        lan_free(&lan);
                }
}

static void test_root_is_kept_elsewhere(void **state) {
        Lan lan = lan_of_wrong_clock(420, DAYS(40));
        Network *n = lan.gateway->network;

        lan.gateway->root_is_away = true;
        set_right(&lan, false);
        assert_int_equal(network_trouble(n), NETWORK_TROUBLE_ROOT);
        assert_non_null(strstr(network_state_reason(n), "by a clock that was ahead"));
        assert_non_null(strstr(network_state_reason(n), "put the network's key root-"));
        /* It is put back, and nothing else is done. */
        lan.gateway->root_is_away = false;
        sim_run_for(lan.sim, USEC_PER_HOUR + USEC_PER_MINUTE);
        assert_int_equal(network_trouble(n), NETWORK_TROUBLE_NONE);
        (void) lan_join(&lan);
        assert_whole(&lan, "the root's key was put back");
        lan_free(&lan);
}

/* A few minutes in every 300 days. */
static void spend_years(Lan *lan, unsigned years) {
        for (unsigned days = 0; days < years * 365; days += 300) {
                for (unsigned i = 0; i <= lan->n; i++)
                        sim_node_sleep(machine_at(lan, i)->node, true);
                sim_run_for(lan->sim, 300 * USEC_PER_DAY);
                for (unsigned i = 0; i <= lan->n; i++)
                        sim_node_sleep(machine_at(lan, i)->node, false);
                wake_all(lan);
        }
}

static void test_ten_years(void **state) {
        Lan lan = household(421);
        Machine *gateway = lan.gateway;
        g_autoptr(Record) first = record_ref((Record *) own_certificate(gateway));
        const Record *c;

        spend_years(&lan, 12);
        c = own_certificate(gateway);
        assert_true(c->body.version > first->body.version);
        assert_true(c->body.not_before == first->body.not_before);
        assert_true(c->body.not_after > first->body.not_after + (usec_t) DAYS(8 * 365));
        assert_int_equal(c->body.certificate.roles, first->body.certificate.roles);
        assert_string_equal(c->body.certificate.name, first->body.certificate.name);
        for (unsigned i = 0; i < lan.n; i++)
                assert_true(directory_certificate(
                                            network_directory(lan.member[i]->network),
                                            machine_id(gateway))
                                            ->body.version == c->body.version);
        (void) lan_join(&lan);
        assert_whole(&lan, "after twelve years");
        /* It is on disk. */
        machine_stop(gateway, false, true);
        machine_start(gateway);
        assert_true(own_certificate(gateway)->body.not_after > first->body.not_after);
        assert_whole(&lan, "after a power loss");
        lan_free(&lan);
}

/* A year before the end it is said what to do, and nothing else happens; and it is in time. */
static void test_last_year_without_the_root(void **state) {
        Lan lan = household(422);
        Network *n = lan.gateway->network;

        lan.gateway->root_is_away = true;
        spend_years(&lan, 8);
        assert_int_equal(network_trouble(n), NETWORK_TROUBLE_NONE);
        spend_years(&lan, 1);
        assert_int_equal(network_trouble(n), NETWORK_TROUBLE_ROOT);
        assert_non_null(strstr(network_state_reason(n), "ends in "));
        assert_int_equal(network_state(n), NETWORK_ONLINE);
        assert_pairs_talk(&lan, "in the last year");
        lan.gateway->root_is_away = false;
        sim_run_for(lan.sim, USEC_PER_HOUR + USEC_PER_MINUTE);
        assert_whole(&lan, "the root's key was put back");
        lan_free(&lan);
}

/* A machine without a clock battery starts in 1970 each time, and stays welcome. */
static void test_no_clock_battery(void **state) {
        Lan lan = household(370);
        Machine *m = lan.member[0];

        for (unsigned start = 0; start < 4; start++) {
                machine_stop(m, start % 2, start % 2 == 0);
                sim_node_set_realtime_offset(m->node, -BASE - (int64_t) sim_now(lan.sim));
                spend_days(&lan, 12, NULL);
                machine_start(m);
                sim_run_for(lan.sim, USEC_PER_MINUTE);
                assert_int_equal(network_state(m->network), NETWORK_ONLINE);
                assert_int_equal(network_trouble(m->network), NETWORK_TROUBLE_CLOCK);
                for (unsigned i = 0; i < 3; i++)
                        assert_true(i == 1 ||
                                    machine_reaches(m, machine_at(&lan, i), 5 * USEC_PER_SEC));
        }
        /* The network tells it the time. */
        set_clock(m, 0);
        assert_whole(&lan, "the clock is set");
        lan_free(&lan);
}

/* Nobody uses an invite for longer than was promised, whatever the gateway's clock does. */
static void test_invites_end_in_time(void **state) {
        const InviteOptions hour = { .uses = 9, .lifetime = USEC_PER_HOUR };
        const int64_t offsets[] = { DAYS(40), DAYS(-3), -(int64_t) (2 * USEC_PER_HOUR) };

        for (unsigned i = 0; i < ELEMENTSOF(offsets); i++) {
                Lan lan = lan_new(380 + i);
                g_autofree char *link = NULL;

                link = machine_invite(lan.gateway, &hour);
                set_clock(lan.gateway, offsets[i]);
                sim_run_for(lan.sim, USEC_PER_HOUR + USEC_PER_SEC);
                assert_string_equal(machine_join(lan_machine(&lan), link), "InviteExpired");
                g_free(link);
                /* Made by the wrong clock, which is then set right. */
                link = machine_invite(lan.gateway, &hour);
                set_clock(lan.gateway, 0);
                sim_run_for(lan.sim, USEC_PER_MINUTE);
                assert_null(machine_join(lan_machine(&lan), link));
                machine_stop(lan.gateway, true, false);
                machine_start(lan.gateway);
                sim_run_for(lan.sim, USEC_PER_HOUR + USEC_PER_SEC);
                assert_string_equal(machine_join(lan_machine(&lan), link), "InviteExpired");
                lan_free(&lan);
        }
}

/* A person says that the clock is right: the last resort, when nobody is there who could know. */
static void test_repair_time(void **state) {
        Lan lan = household(390);
        Machine *gateway = lan.gateway;
        NetworkRepair done;

        for (unsigned i = 1; i <= HOUSEHOLD; i++)
                sim_node_sleep(machine_at(&lan, i)->node, true);
        sim_run_for(lan.sim, USEC_PER_HOUR);
        set_clock(gateway, DAYS(3));
        assert_int_equal(network_trouble(gateway->network), NETWORK_TROUBLE_CLOCK);
        assert_non_null(strstr(network_state_reason(gateway->network), "repair-time"));
        done = network_repair_time(gateway->network);
        assert_int_equal(network_trouble(gateway->network), NETWORK_TROUBLE_NONE);
        assert_int_equal(done.certificates + done.leases, 0);
        lan_free(&lan);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_laptop_away_for_200_days),
                cmocka_unit_test(test_switched_off_for_years),
                cmocka_unit_test(test_gateway_away_for_60_days),
                cmocka_unit_test(test_revoked_while_away),
                cmocka_unit_test(test_max_absence),
                cmocka_unit_test(test_household_of_400_days),
                cmocka_unit_test(test_clock_is_wrong_for_a_while),
                cmocka_unit_test(test_clock_is_wrong_at_a_start),
                cmocka_unit_test(test_clocks_back_and_forth),
                cmocka_unit_test(test_join_while_the_gateway_is_ahead),
                cmocka_unit_test(test_gateway_ahead_from_the_start),
                cmocka_unit_test(test_network_made_by_a_wrong_clock),
                cmocka_unit_test(test_root_is_kept_elsewhere),
                cmocka_unit_test(test_ten_years),
                cmocka_unit_test(test_last_year_without_the_root),
                cmocka_unit_test(test_no_clock_battery),
                cmocka_unit_test(test_invites_end_in_time),
                cmocka_unit_test(test_repair_time),
        };

        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        if (aead_setup() < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
