/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "manager/manager-internal.h"

typedef struct Hearer {
        Manager *manager;
        unsigned added, netstack;
        struct Hearer *drops, *brings; /* while it is told */
} Hearer;

static void observe(Manager *m, Hearer *h);

static void on_added(void *userdata, ManagedNetwork *n) {
        Hearer *h = userdata;

        h->added++;
        if (h->drops)
                manager_unobserve(h->manager, h->drops);
        if (h->brings)
                observe(h->manager, h->brings);
        h->drops = h->brings = NULL;
}

static void on_netstack(void *userdata) {
        ((Hearer *) userdata)->netstack++;
}

static void observe(Manager *m, Hearer *h) {
        h->manager = m;
        manager_observe(m, &(ManagerObserver){ .userdata = h,
                                               .network_added = on_added,
                                               .netstack_changed = on_netstack });
}

static void test_all_are_told(void **state) {
        Manager m = { .observers = g_array_new(FALSE, FALSE, sizeof(ManagerObserver)) };
        ManagedNetwork *n = NULL;
        Hearer a = {}, b = {}, c = {};

        OBSERVE(&m, network_added, n);
        observe(&m, &a);
        observe(&m, &b);
        OBSERVE(&m, network_added, n);
        OBSERVE(&m, netstack_changed);
        /* What nobody of them wants to hear. */
        OBSERVE(&m, network_removed, n);
        assert_int_equal(a.added, 1);
        assert_int_equal(b.added, 1);
        assert_int_equal(a.netstack, 1);

        /* One goes, another comes, while they are told; itself too. */
        a.drops = &b;
        a.brings = &c;
        OBSERVE(&m, network_added, n);
        assert_int_equal(a.added, 2);
        assert_int_equal(b.added, 1);
        c.drops = &c;
        OBSERVE(&m, network_added, n);
        OBSERVE(&m, network_added, n);
        assert_int_equal(a.added, 4);
        assert_int_equal(b.added, 1);
        assert_in_range(c.added, 1, 2); /* it may hear already what it came with */
        assert_true(m.observers->len <= 2);
        g_array_unref(m.observers);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_are_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
