/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lan.h"

Lan lan_new(uint64_t seed) {
        Lan lan = { .sim = sim_new(seed) };

        lan.gateway = machine_new(lan.sim, "gateway", "192.0.2.1:18002");
        machine_create_network(lan.gateway, "10.0.0.0/16");
        return lan;
}

void lan_free(Lan *lan) {
        for (unsigned i = 0; i < lan->n; i++)
                machine_free(lan->member[i]);
        machine_free(lan->gateway);
        sim_free(lan->sim);
}

Machine *lan_machine(Lan *lan) {
        g_autofree char *name = g_strdup_printf("m%u", lan->n + 1);
        g_autofree char *endpoint =
                        g_strdup_printf("198.51.%u.%u:18002", 100 + lan->n / 200, 1 + lan->n % 200);

        return lan->member[lan->n++] = machine_new(lan->sim, name, endpoint);
}

Machine *lan_join(Lan *lan) {
        g_autofree char *link = machine_invite(lan->gateway, NULL);
        Machine *m = lan_machine(lan);
        const char *error = machine_join(m, link);

        if (error)
                fail_msg("%s did not join: %s (%s)", m->name, error, m->join_detail);
        return m;
}
