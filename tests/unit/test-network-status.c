/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/macros.h"
#include "network/status.h"

static const PartOps address_ops = { .name = "addresses", .word = "conflict" };
static const PartOps interface_ops = { .name = "interface" };
static const PartOps forward_ops = { .name = "forwards" };

typedef struct World {
        MeshEnv env;
        PartList list;
        Part addresses, interface, forwards;
        ManagedFacts facts;
} World;

static int setup(void **state) {
        World *w = NEW(World);

        w->env.timers = timer_queue_new();
        part_list_init(&w->list, NULL, NULL);
        part_init(&w->addresses, &address_ops, w, &w->env);
        part_init(&w->interface, &interface_ops, w, &w->env);
        part_init(&w->forwards, &forward_ops, w, &w->env);
        part_list_add(&w->list, &w->addresses);
        part_list_add(&w->list, &w->interface);
        part_list_add(&w->list, &w->forwards);
        w->facts = (ManagedFacts){
                .is_started = true,
                .core = NETWORK_ONLINE,
                .parts = &w->list,
        };
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        part_list_stop(&w->list, true);
        part_list_done(&w->list);
        timer_queue_free(w->env.timers);
        g_free(w);
        return 0;
}

static void start(World *w) {
        char *reason;

        assert_int_equal(part_list_start(&w->list, false, &reason), 0);
}

static void
check(World *w, ManagedState state, const Part *part, const char *word, const char *reason) {
        ManagedStatus s = managed_status(&w->facts);

        assert_int_equal(s.state, state);
        assert_ptr_equal(s.part, part);
        assert_string_equal(s.word, word);
        assert_string_equal(s.reason, reason);
}

static void test_not_started(void **state) {
        World *w = *state;

        w->facts.is_started = false;
        check(w, MANAGED_DOWN, NULL, "down", "switched off: 'omerta up' starts it");
        w->facts.down_reason = "no interface";
        check(w, MANAGED_DOWN, NULL, "down", "no interface");
        w->facts.daemon_trouble = "the disk is full";
        check(w, MANAGED_DOWN, NULL, "down", "no interface");
        w->facts.is_revoked = true;
        check(w, MANAGED_REVOKED, NULL, "revoked", "this machine is no member any more");
}

static void test_without_parts(void **state) {
        static const struct {
                NetworkState core;
                ManagedState state;
                const char *word;
        } cases[] = {
                { NETWORK_JOINING, MANAGED_STARTING, "joining" },
                { NETWORK_WAITING, MANAGED_STARTING, "waiting" },
                { NETWORK_CONNECTING, MANAGED_STARTING, "connecting" },
                { NETWORK_ONLINE, MANAGED_UP, "online" },
                { NETWORK_OFFLINE, MANAGED_DEGRADED, "offline" },
                { NETWORK_REVOKED, MANAGED_REVOKED, "revoked" },
        };
        World *w = *state;

        static_assert(ELEMENTSOF(cases) == _NETWORK_STATE_MAX, "a case for every state");
        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                w->facts.core = cases[i].core;
                w->facts.core_reason = NULL;
                check(w, cases[i].state, NULL, cases[i].word, "");
                w->facts.core_reason = "said so";
                check(w, cases[i].core == NETWORK_ONLINE ? MANAGED_DEGRADED : cases[i].state, NULL,
                      cases[i].word, "said so");
        }
}

/* A part that failed goes before one that is degraded, the lower before the higher. */
static void test_failed_beside_degraded(void **state) {
        World *w = *state;

        start(w);
        check(w, MANAGED_UP, NULL, "online", "");
        part_report(&w->interface, PART_DEGRADED, g_strdup("no IPv6"));
        check(w, MANAGED_DEGRADED, &w->interface, "online", "no IPv6");
        part_report(&w->forwards, PART_DEGRADED, g_strdup("port taken"));
        check(w, MANAGED_DEGRADED, &w->interface, "online", "no IPv6");
        part_report(&w->forwards, PART_FAILED, g_strdup("all ports taken"));
        check(w, MANAGED_FAILED, &w->forwards, "failed", "all ports taken");
        part_report(&w->interface, PART_FAILED, g_strdup("gone"));
        check(w, MANAGED_FAILED, &w->interface, "failed", "gone");
        part_report(&w->interface, PART_UP, NULL);
        part_report(&w->forwards, PART_DEGRADED, g_strdup("port taken"));
        check(w, MANAGED_DEGRADED, &w->forwards, "online", "port taken");
}

/* What fails shows whatever the network is doing, but for one that is over. */
static void test_failed_shows_always(void **state) {
        World *w = *state;

        start(w);
        part_report(&w->interface, PART_FAILED, g_strdup("gone"));
        for (NetworkState s = 0; s < _NETWORK_STATE_MAX; s++) {
                w->facts.core = s;
                w->facts.core_reason = "said so";
                if (s == NETWORK_REVOKED)
                        check(w, MANAGED_REVOKED, NULL, "revoked", "said so");
                else
                        check(w, MANAGED_FAILED, &w->interface, "failed", "gone");
        }
        w->facts.core = NETWORK_ONLINE;
        w->facts.daemon_trouble = "the disk is full";
        check(w, MANAGED_FAILED, &w->interface, "failed", "gone");
}

static void test_word_of_a_part(void **state) {
        World *w = *state;

        start(w);
        part_report(&w->addresses, PART_DEGRADED, g_strdup("a route"));
        check(w, MANAGED_DEGRADED, &w->addresses, "conflict", "a route");
        w->facts.core = NETWORK_OFFLINE;
        w->facts.core_reason = "nobody answers";
        check(w, MANAGED_DEGRADED, &w->addresses, "conflict", "a route");
        w->facts.daemon_trouble = "the disk is full";
        check(w, MANAGED_DEGRADED, &w->addresses, "conflict", "a route");
        /* Who has no address has another trouble. */
        w->facts.core = NETWORK_CONNECTING;
        w->facts.core_reason = "waiting for an address";
        check(w, MANAGED_STARTING, NULL, "connecting", "waiting for an address");
}

static void test_which_reason(void **state) {
        World *w = *state;

        start(w);
        part_report(&w->interface, PART_DEGRADED, g_strdup("no IPv6"));
        w->facts.core_reason = "the clock is wrong";
        check(w, MANAGED_DEGRADED, NULL, "online", "the clock is wrong");
        w->facts.daemon_trouble = "the disk is full";
        check(w, MANAGED_DEGRADED, NULL, "online", "the disk is full");
        w->facts.core = NETWORK_OFFLINE;
        w->facts.core_reason = "nobody answers";
        check(w, MANAGED_DEGRADED, NULL, "offline", "nobody answers");
        w->facts.core = NETWORK_JOINING;
        w->facts.core_reason = NULL;
        check(w, MANAGED_STARTING, NULL, "joining", "no IPv6");
}

static void test_described(void **state) {
        World *w = *state;
        g_autofree char *up = NULL, *degraded = NULL, *offline = NULL;
        ManagedStatus s;

        start(w);
        s = managed_status(&w->facts);
        up = managed_status_describe(&s);
        assert_string_equal(up, "up");
        part_report(&w->interface, PART_DEGRADED, g_strdup("no IPv6"));
        s = managed_status(&w->facts);
        degraded = managed_status_describe(&s);
        assert_string_equal(degraded, "degraded (interface): no IPv6");
        w->facts.core = NETWORK_OFFLINE;
        w->facts.core_reason = "nobody answers";
        s = managed_status(&w->facts);
        offline = managed_status_describe(&s);
        assert_string_equal(offline, "degraded: nobody answers");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_not_started, setup, teardown),
                cmocka_unit_test_setup_teardown(test_without_parts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failed_beside_degraded, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failed_shows_always, setup, teardown),
                cmocka_unit_test_setup_teardown(test_word_of_a_part, setup, teardown),
                cmocka_unit_test_setup_teardown(test_which_reason, setup, teardown),
                cmocka_unit_test_setup_teardown(test_described, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
