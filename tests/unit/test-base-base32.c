/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/base32.h"
#include "base/macros.h"

static const struct {
        const char *bytes, *text;
} vectors[] = {
        /* RFC 4648 section 10, without the padding. */
        { "", "" },
        { "f", "my" },
        { "fo", "mzxq" },
        { "foo", "mzxw6" },
        { "foob", "mzxw6yq" },
        { "fooba", "mzxw6ytb" },
        { "foobar", "mzxw6ytboi" },
};

static void test_vectors(void **state) {
        for (unsigned i = 0; i < ELEMENTSOF(vectors); i++) {
                const char *bytes = vectors[i].bytes, *text = vectors[i].text;
                char out[32], upper[32];
                uint8_t back[16];

                base32_encode(bytes, strlen(bytes), out);
                assert_string_equal(out, text);
                assert_int_equal(BASE32_LEN(strlen(bytes)), strlen(text));
                assert_int_equal(base32_decode(text, strlen(text), back, sizeof back), strlen(bytes));
                assert_memory_equal(back, bytes, strlen(bytes));
                for (unsigned j = 0; j <= strlen(text); j++)
                        upper[j] = g_ascii_toupper(text[j]);
                assert_int_equal(base32_decode(upper, strlen(text), back, sizeof back), strlen(bytes));
                assert_memory_equal(back, bytes, strlen(bytes));
        }
}

static void test_refusals(void **state) {
        static const char *const bad[] = {
                "m",              /* 5 bits are no byte */
                "mzx",            /* 15 bits leave 7 */
                "mzxw6y",         /* 30 bits leave 6 */
                "mz",             /* set bits after the last byte */
                "mzxr",           /* the same, of 4 */
                "mzxw6yr",        /* the same, of 3 */
                "my======", "m1", /* digits that look like letters are not in the alphabet */
                "m0",       "m8", "m y", "m\xc3\xa4",
        };
        uint8_t out[16];

        for (unsigned i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(base32_decode(bad[i], strlen(bad[i]), out, sizeof out), -EINVAL);
        /* A NUL inside the stated length is a foreign character too. */
        assert_int_equal(base32_decode("my\0mzxw6y", 9, out, sizeof out), -EINVAL);
}

static void test_space(void **state) {
        uint8_t out[5] = { 1, 2, 3, 4, 5 };

        assert_int_equal(base32_decode("mzxw6ytb", 8, out, 4), -ENOBUFS);
        assert_int_equal(out[4], 5);
        assert_int_equal(base32_decode("mzxw6ytb", 8, out, 5), 5);
        assert_int_equal(base32_decode("mzxw6ytbXX", 8, out, 5), 5);
}

/* Every length, and every single text of two characters has at most one meaning. */
static void test_round_trip(void **state) {
        uint8_t bytes[64], back[64];
        char text[BASE32_LEN(64) + 1];

        for (unsigned i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t) (i * 37 + 11);
        for (unsigned n = 0; n <= sizeof bytes; n++) {
                base32_encode(bytes, n, text);
                assert_int_equal(strlen(text), BASE32_LEN(n));
                assert_int_equal(base32_decode(text, strlen(text), back, n), n);
                assert_memory_equal(back, bytes, n);
        }
        for (unsigned a = 1; a < 256; a++)
                for (unsigned b = 1; b < 256; b++) {
                        char in[3] = { (char) a, (char) b }, again[3];

                        if (base32_decode(in, 2, back, 1) < 0)
                                continue;
                        base32_encode(back, 1, again);
                        assert_int_equal(g_ascii_strcasecmp(in, again), 0);
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_vectors),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_space),
                cmocka_unit_test(test_round_trip),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
