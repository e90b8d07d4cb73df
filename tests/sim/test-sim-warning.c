/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A certificate that nobody renews: the journal says so days before it ends, as the daemon does
 * (network/time.c), with the network of a machine of the simulator. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "lan.h"
#include "network/managed-network-internal.h"

/* As much of the daemon as looks at a certificate. */
typedef struct Watcher {
        Manager manager;
        ManagedNetwork network;
} Watcher;

static void watch(Watcher *w, Machine *m) {
        const MeshEnv *env = sim_node_env(m->node);

        *w = (Watcher){
                .manager = { .timers = env->timers, .env = *env, .identity = m->identity },
                .network = { .manager = &w->manager, .core = m->network },
        };
        g_strlcpy(w->network.stored.membership.name, "home",
                  sizeof w->network.stored.membership.name);
        managed_network_watch_certificate(&w->network);
}

static void unwatch(Watcher *w) {
        timer_clear(&w->network.certificate_timer);
}

/* What is logged meanwhile; the caller frees. */
static char *run_for(Sim *sim, usec_t duration) {
        FILE *file = tmpfile();
        int saved = dup(STDERR_FILENO);
        char *text;
        long n;

        assert_non_null(file);
        assert_true(saved >= 0);
        assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
        sim_run_for(sim, duration);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        (void) close(saved);
        n = lseek(fileno(file), 0, SEEK_END);
        text = g_malloc0((size_t) n + 1);
        assert_int_equal(pread(fileno(file), text, (size_t) n, 0), n);
        (void) fclose(file);
        return text;
}

static unsigned count(const char *text, const char *what) {
        unsigned n = 0;

        for (; (text = strstr(text, what)); text++)
                n++;
        return n;
}

static const char said_of_it[] = "certificate of this machine ends in ";

/* It was off for so long: nothing is simulated meanwhile. Then it is on for two looks. */
static unsigned warnings_after(Lan *lan, Machine *m, usec_t off) {
        g_autofree char *text = NULL;
        Watcher w;

        machine_stop(m, true, false);
        sim_run_for(lan->sim, off);
        machine_start(m);
        watch(&w, m);
        text = run_for(lan->sim, 13 * USEC_PER_HOUR);
        unwatch(&w);
        return count(text, said_of_it);
}

static void test_not_renewed(void **state) {
        Lan lan = lan_new(1);
        Machine *m = lan_join(&lan);

        machine_stop(lan.gateway, true, false);
        /* 30 days are its life; from the 20th on it is asked for in vain. */
        assert_int_equal(warnings_after(&lan, m, 24 * USEC_PER_DAY), 0);
        assert_int_equal(warnings_after(&lan, m, 2 * USEC_PER_DAY), 2);
        /* When it has ended it ends no more. */
        assert_int_equal(warnings_after(&lan, m, 5 * USEC_PER_DAY), 0);
        /* Renewed within a minute of the gateway's return. */
        machine_start(lan.gateway);
        assert_int_equal(warnings_after(&lan, m, USEC_PER_MINUTE), 0);
        lan_free(&lan);
}

/* Of its own, which the root signs, a gateway is told in other words, a year before. */
static void test_gateway(void **state) {
        Lan lan = lan_new(2);
        const Record *c = directory_certificate(
                        network_directory(lan.gateway->network), machine_id(lan.gateway));
        usec_t left = c->body.not_after - env_realtime(sim_node_env(lan.gateway->node));

        lan.gateway->root_is_away = true;
        assert_int_equal(warnings_after(&lan, lan.gateway, left - 3 * USEC_PER_DAY), 0);
        assert_int_equal(network_trouble(lan.gateway->network), NETWORK_TROUBLE_ROOT);
        lan_free(&lan);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_not_renewed),
                cmocka_unit_test(test_gateway),
        };

        if (sodium_init() < 0)
                return 1;
        unsetenv("JOURNAL_STREAM");
        log_setup(LOG_WARNING);
        return cmocka_run_group_tests_name("sim-warning", tests, NULL, NULL);
}
