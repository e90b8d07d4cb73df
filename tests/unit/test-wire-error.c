/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <glib.h>

#include "base/macros.h"
#include "core/wire/error.h"

/* docs/protocol.md, "Messages": all that may cross the wire. */
static const struct {
        const char *name;
        WireError error;
} wire[] = {
        { "Failed", WIRE_ERROR_FAILED },
        { "Malformed", WIRE_ERROR_MALFORMED },
        { "Full", WIRE_ERROR_FULL },
        { "NoSuchChannel", WIRE_ERROR_NO_SUCH_CHANNEL },
        { "NotPermitted", WIRE_ERROR_NOT_PERMITTED },
        { "NameTaken", WIRE_ERROR_NAME_TAKEN },
        { "PoolEmpty", WIRE_ERROR_POOL_EMPTY },
        { "InviteInvalid", WIRE_ERROR_INVITE_INVALID },
        { "InviteExpired", WIRE_ERROR_INVITE_EXPIRED },
        { "InviteUsed", WIRE_ERROR_INVITE_USED },
        { "ClockWrong", WIRE_ERROR_CLOCK },
        { "AbsentTooLong", WIRE_ERROR_ABSENT },
        { "NotLinked", WIRE_ERROR_NOT_LINKED },
};

static void test_names_of_the_wire(void **state) {
        unsigned n = 0;

        for (unsigned i = 0; i < ELEMENTSOF(wire); i++) {
                assert_int_equal(
                                wire_error_from_name(wire[i].name, strlen(wire[i].name)),
                                wire[i].error);
                assert_string_equal(wire_error_name(wire[i].error), wire[i].name);
                assert_true(wire_error_is_foreign(wire[i].error));
                assert_true(strlen(wire[i].name) <= WIRE_ERROR_NAME_MAX);
                assert_false(wire_error_is_silence(wire[i].error));
        }
        for (WireError e = 0; e < _WIRE_ERROR_MAX; e++)
                n += wire_error_is_foreign(e);
        assert_int_equal(n, ELEMENTSOF(wire));
        assert_false(wire_error_is_foreign(_WIRE_ERROR_MAX));
}

static void test_everything_else_is_failed(void **state) {
        static const char *const table[] = {
                "a b\n",
                "a b",
                "",
                "None",
                "failed",
                "Fail",
                "Failedx",
                "Full ",
                "\xff\xfe",
                /* Verdicts of ours: a machine that answers has not timed out. */
                "Timeout",
                "Unreachable",
                "Cancelled",
                "NoGateway",
                "AddressInUse",
                "AddressLost",
                "Revoked",
                "Waiting",
        };
        char big[200];

        for (unsigned i = 0; i < ELEMENTSOF(table); i++)
                assert_int_equal(wire_error_from_name(table[i], strlen(table[i])), WIRE_ERROR_FAILED);
        memset(big, 'a', sizeof big);
        assert_int_equal(wire_error_from_name(big, sizeof big), WIRE_ERROR_FAILED);
        assert_int_equal(wire_error_from_name(NULL, 0), WIRE_ERROR_FAILED);
        /* What follows a name is looked at, a NUL too. */
        assert_int_equal(wire_error_from_name("Full", 5), WIRE_ERROR_FAILED);
        assert_int_equal(wire_error_from_name("Full", 3), WIRE_ERROR_FAILED);
}

/* Every error has a name that can be part of one on a bus, and a sentence that says it. */
static void test_texts(void **state) {
        for (WireError e = 0; e < _WIRE_ERROR_MAX; e++) {
                const char *name = wire_error_name(e), *text = wire_error_text(e);

                assert_true(strlen(name) > 0);
                for (const char *p = name; *p; p++)
                        assert_true(g_ascii_isalpha(*p));
                assert_true(strlen(text) > 5);
                assert_true(g_ascii_islower(text[0]));
                for (const char *p = text; *p; p++)
                        assert_true(g_ascii_isprint(*p));
                for (WireError k = 0; k < e; k++) {
                        assert_string_not_equal(wire_error_name(k), name);
                        assert_string_not_equal(wire_error_text(k), text);
                }
        }
        assert_true(wire_error_is_silence(WIRE_ERROR_TIMEOUT));
        assert_true(wire_error_is_silence(WIRE_ERROR_UNREACHABLE));
        assert_true(wire_error_is_silence(WIRE_ERROR_CANCELLED));
        assert_false(wire_error_is_silence(WIRE_ERROR_NONE));
        assert_false(wire_error_is_silence(WIRE_ERROR_NO_GATEWAY));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names_of_the_wire),
                cmocka_unit_test(test_everything_else_is_failed),
                cmocka_unit_test(test_texts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
