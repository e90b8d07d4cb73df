/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "core/wire/record.h"

static void test_valid(void **state) {
        static const struct {
                const char *name;
                bool valid;
        } table[] = {
                { "a", true },
                { "7", true },
                { "anna", true },
                { "annas-laptop", true },
                { "a--b", true },
                { "3com", true }, /* RFC 1123 section 2.1: a digit may come first */
                { "", false },
                { "-a", false },
                { "a-", false },
                { "-", false },
                { "Anna", false },
                { "a_b", false },
                { "a.b", false },
                { "a b", false },
                { "a\n", false },
                { "\xc3\xa4", false },
        };
        char name[66];

        for (unsigned i = 0; i < ELEMENTSOF(table); i++)
                if (host_name_is_valid(table[i].name) != table[i].valid)
                        fail_msg("\"%s\"", table[i].name);
        memset(name, 'a', 63);
        name[63] = '\0';
        assert_true(host_name_is_valid(name));
        name[63] = 'a';
        name[64] = '\0';
        assert_false(host_name_is_valid(name));
}

static void test_normalize(void **state) {
        static const struct {
                const char *in, *out;
        } table[] = {
                { "anna", "anna" },
                { "Anna's Laptop.local", "annas-laptop" },
                { "Anna\xe2\x80\x99s Laptop", "annas-laptop" }, /* typographic apostrophe */
                { "M\xc3\xbcller", "muller" },
                { "a__b", "a-b" },
                { "xn--mller-kva", "xn--mller-kva" }, /* a valid name stays what it is */
                { "--a--", "a" },
                { ".hidden", "hidden" },
                { "  spaced out  ", "spaced-out" },
                { "192.168.1.5", "192" },
                { "", "machine" },
                { ".", "machine" },
                { "...", "machine" },
                { "-", "machine" },
                { "'", "machine" },
                { "\xff\xfe", "machine" }, /* not UTF-8 */
                { "a\xff"
                  "b",
                  "a-b" },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                char out[HOST_NAME_MAX_LEN + 1];

                host_name_normalize(table[i].in, out);
                assert_string_equal(out, table[i].out);
                assert_true(host_name_is_valid(out));
        }
}

static void test_normalize_long(void **state) {
        char in[200] = {}, out[HOST_NAME_MAX_LEN + 1];

        memset(in, 'a', 100);
        host_name_normalize(in, out);
        assert_int_equal(strlen(out), 63);
        in[62] = '-'; /* would be the last one */
        host_name_normalize(in, out);
        assert_int_equal(strlen(out), 62);
        assert_true(host_name_is_valid(out));
}

/* Whatever goes in, a valid name comes out, and once more changes nothing. */
static void test_normalize_anything(void **state) {
        unsigned seed = g_random_int();
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

        print_message("seed %u\n", seed);
        for (unsigned i = 0; i < 20000; i++) {
                char in[101], once[HOST_NAME_MAX_LEN + 1], twice[HOST_NAME_MAX_LEN + 1];
                int n = g_rand_int_range(rand, 0, 100);
                bool plain = g_rand_boolean(rand);

                for (int j = 0; j < n; j++)
                        in[j] = plain ? "abc-"[g_rand_int_range(rand, 0, 4)]
                                      : (char) g_rand_int_range(rand, 1, 256);
                in[n] = '\0';
                host_name_normalize(in, once);
                assert_true(host_name_is_valid(once));
                host_name_normalize(once, twice);
                assert_string_equal(once, twice);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_normalize),
                cmocka_unit_test(test_normalize_long),
                cmocka_unit_test(test_normalize_anything),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
