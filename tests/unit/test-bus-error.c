/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "bus/bus-internal.h"

static const char *name_of(WireError wire, const char *name) {
        ManagerError e = { .wire = wire, .name = (char *) name };
        const char *got = bus_error_name(&e);

        /* An error's name has the form of an interface's (D-Bus specification, "Valid Names"). */
        assert_true(sd_bus_interface_name_is_valid(got) > 0);
        assert_true(g_str_has_prefix(got, OMERTA_ERROR_PREFIX));
        return got;
}

static void test_of_wire(void **state) {
        for (WireError e = 0; e < _WIRE_ERROR_MAX; e++)
                (void) name_of(e, NULL);
        assert_string_equal(name_of(WIRE_ERROR_FULL, NULL), OMERTA_ERROR_LIMIT_REACHED);
        assert_string_equal(name_of(WIRE_ERROR_INVITE_USED, NULL), OMERTA_ERROR_INVITE_USED);
        assert_string_equal(name_of(WIRE_ERROR_MALFORMED, NULL), OMERTA_ERROR_FAILED);
        assert_string_equal(name_of(WIRE_ERROR_TIMEOUT, NULL), OMERTA_ERROR_TIMEOUT);
}

static void test_of_manager(void **state) {
        char big[300];

        memset(big, 'a', sizeof big - 1);
        big[sizeof big - 1] = '\0';
        assert_string_equal(name_of(WIRE_ERROR_NONE, "PortInUse"), OMERTA_ERROR_PORT_IN_USE);
        assert_string_equal(name_of(WIRE_ERROR_NONE, "Ambiguous"), OMERTA_ERROR_AMBIGUOUS);
        assert_string_equal(name_of(WIRE_ERROR_NONE, "SubnetRefused"), OMERTA_ERROR_SUBNET_REFUSED);
        assert_string_equal(name_of(WIRE_ERROR_NONE, NULL), OMERTA_ERROR_FAILED);
        assert_string_equal(name_of(WIRE_ERROR_NONE, ""), OMERTA_ERROR_FAILED);
        assert_string_equal(name_of(WIRE_ERROR_NONE, "a b\n"), OMERTA_ERROR_FAILED);
        assert_string_equal(name_of(WIRE_ERROR_NONE, "PortInUse.x"), OMERTA_ERROR_FAILED);
        assert_string_equal(name_of(WIRE_ERROR_NONE, big), OMERTA_ERROR_FAILED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_of_wire),
                cmocka_unit_test(test_of_manager),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
