/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/machine-id.h"
#include "base/macros.h"

#define TEXT "aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq"

/* The bytes 0 to 31. */
static MachineId counting(void) {
        MachineId id;

        for (unsigned i = 0; i < sizeof id.bytes; i++)
                id.bytes[i] = (uint8_t) i;
        return id;
}

static void test_text(void **state) {
        MachineId id = counting(), back;
        char text[64];

        assert_string_equal(machine_id_format(&id).text, TEXT);
        assert_string_equal(machine_id_format_short(&id).text, "aaaqeaye");
        assert_int_equal(machine_id_parse(TEXT, &back), 0);
        assert_true(machine_id_equal(&id, &back));
        for (unsigned i = 0; i < sizeof TEXT; i++)
                text[i] = g_ascii_toupper(TEXT[i]);
        assert_int_equal(machine_id_parse(text, &back), 0);
        assert_true(machine_id_equal(&id, &back));

        for (unsigned n = 0; n < MACHINE_ID_TEXT_LEN; n++) {
                memcpy(text, TEXT, n);
                text[n] = '\0';
                assert_int_equal(machine_id_parse(text, &back), -EINVAL);
        }
        assert_int_equal(machine_id_parse(TEXT "a", &back), -EINVAL);
        /* The last character holds one bit of the id and four zeros. */
        memcpy(text, TEXT, sizeof TEXT);
        text[MACHINE_ID_TEXT_LEN - 1] = 'r';
        assert_int_equal(machine_id_parse(text, &back), -EINVAL);
        text[MACHINE_ID_TEXT_LEN - 1] = '1';
        assert_int_equal(machine_id_parse(text, &back), -EINVAL);
}

static void test_prefix(void **state) {
        MachineId id = counting();

        assert_true(machine_id_has_prefix(&id, "a"));
        assert_true(machine_id_has_prefix(&id, "AAAQ"));
        assert_true(machine_id_has_prefix(&id, TEXT));
        assert_false(machine_id_has_prefix(&id, ""));
        assert_false(machine_id_has_prefix(&id, "b"));
        assert_false(machine_id_has_prefix(&id, TEXT "a"));
}

static void test_compare(void **state) {
        MachineId a = counting(), b = a;

        assert_int_equal(machine_id_compare(&a, &b), 0);
        assert_int_equal(machine_id_hash(&a), machine_id_hash(&b));
        assert_true(machine_id_hash_equal(&a, &b));
        b.bytes[31]++;
        assert_true(machine_id_compare(&a, &b) < 0);
        assert_true(machine_id_compare(&b, &a) > 0);
        assert_false(machine_id_equal(&a, &b));
        assert_false(machine_id_hash_equal(&a, &b));
        assert_false(machine_id_is_null(&a));
        assert_true(machine_id_is_null(&(MachineId){}));
}

/* Ids that an attacker made to collide elsewhere must not collide here: at least it is no
 * function of a few bytes. */
static void test_hash_depends_on_every_byte(void **state) {
        MachineId id = counting();
        unsigned h = machine_id_hash(&id), same = 0;

        for (unsigned i = 0; i < sizeof id.bytes; i++) {
                id.bytes[i] ^= 0x80;
                same += machine_id_hash(&id) == h;
                id.bytes[i] ^= 0x80;
        }
        assert_true(same <= 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),
                cmocka_unit_test(test_prefix),
                cmocka_unit_test(test_compare),
                cmocka_unit_test(test_hash_depends_on_every_byte),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
