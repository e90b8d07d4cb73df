/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/macros.h"
#include "core/mesh/link/endpoint-book.h"
#include "mock-channel.h"

static Endpoint endpoint(unsigned n) {
        g_autofree char *text = g_strdup_printf("198.51.%u.%u:18002", n / 250, 1 + n % 250);
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 0, &e), 0);
        return e;
}

static Directory *nobody(MockMesh *m) {
        NetworkId network = mock_machine_id(99);
        Directory *d;

        assert_int_equal(directory_new(&network, mock_mesh_env(m), NULL, &d), 0);
        return d;
}

static void hint(EndpointBook *b, unsigned machine, unsigned n) {
        MachineId id = mock_machine_id(machine);
        Endpoint e = endpoint(n);

        endpoint_book_add_hint(b, &id, &e);
}

static bool hinted(const EndpointBook *b, unsigned machine) {
        MachineId id = mock_machine_id(machine);

        return endpoint_book_has_hint(b, &id);
}

/* Hints come from people and invites; there are so many of them and no more. */
static void test_hinted_machines_are_bounded(void **state) {
        MockMesh *m = mock_mesh_new(1);
        Directory *members = nobody(m);
        EndpointBook *b = endpoint_book_new(mock_mesh_env(m), NULL, members);
        MachineId id;
        Endpoint e = endpoint(1);

        for (unsigned i = 0; i < HINTED_MACHINES_MAX + 3; i++)
                hint(b, i, 7);
        for (unsigned i = 0; i < HINTED_MACHINES_MAX + 3; i++)
                assert_int_equal(hinted(b, i), i < HINTED_MACHINES_MAX);
        /* Another of a machine that has some is taken, and takes no place. */
        hint(b, 0, 8);
        hint(b, HINTED_MACHINES_MAX, 8);
        assert_false(hinted(b, HINTED_MACHINES_MAX));
        /* One that goes makes room for one, and one without hints for none. */
        id = mock_machine_id(5);
        endpoint_book_forget(b, &id);
        endpoint_book_forget(b, &id);
        id = mock_machine_id(HINTED_MACHINES_MAX + 2);
        endpoint_book_forget(b, &id);
        hint(b, HINTED_MACHINES_MAX + 1, 8);
        hint(b, HINTED_MACHINES_MAX, 8);
        assert_true(hinted(b, HINTED_MACHINES_MAX + 1));
        assert_false(hinted(b, HINTED_MACHINES_MAX));
        /* Where somebody was reached who is no member is not kept at all. */
        id = mock_machine_id(HINTED_MACHINES_MAX);
        endpoint_book_reached(b, &id, &e);
        assert_false(endpoint_book_knows(b, &id));
        endpoint_book_free(b);
        directory_free(members);
        mock_mesh_free(m);
}

/* Of many hints for one machine the newest stay. */
static void test_hints_of_a_machine(void **state) {
        MockMesh *m = mock_mesh_new(1);
        Directory *members = nobody(m);
        EndpointBook *b = endpoint_book_new(mock_mesh_env(m), NULL, members);
        PathSet paths = PATH_SET_EMPTY;
        MachineId id = mock_machine_id(1);
        Endpoint newest = endpoint(HINTS_PER_MACHINE_MAX + 1), oldest = endpoint(0);
        bool has_newest = false;

        for (unsigned i = 0; i < HINTS_PER_MACHINE_MAX + 2; i++) {
                hint(b, 1, i);
                hint(b, 1, i);
        }
        endpoint_book_fill(b, &id, true, &paths, 1);
        assert_int_equal(paths.n, MIN(HINTS_PER_MACHINE_MAX, PATHS_MAX));
        for (unsigned i = 0; i < paths.n; i++) {
                has_newest |= endpoint_equal(&paths.path[i].endpoint, &newest);
                assert_false(endpoint_equal(&paths.path[i].endpoint, &oldest));
        }
        assert_true(has_newest);
        endpoint_book_free(b);
        directory_free(members);
        mock_mesh_free(m);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_hinted_machines_are_bounded),
                cmocka_unit_test(test_hints_of_a_machine),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
