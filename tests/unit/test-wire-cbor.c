/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "cbor-mangle.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"

/* Integers of every length of head: RFC 8949 appendix A and the borders. */
static const struct {
        uint64_t value;
        const char *hex;
} integers[] = {
        { 0, "00" },
        { 1, "01" },
        { 23, "17" },
        { 24, "1818" },
        { 100, "1864" },
        { 255, "18ff" },
        { 256, "190100" },
        { 1000, "1903e8" },
        { 65535, "19ffff" },
        { 65536, "1a00010000" },
        { 1000000, "1a000f4240" },
        { 4294967295, "1affffffff" },
        { 4294967296, "1b0000000100000000" },
        { 1000000000000, "1b000000e8d4a51000" },
        { UINT64_MAX, "1bffffffffffffffff" },
};

static void test_integers(void **state) {
        for (unsigned i = 0; i < ELEMENTSOF(integers); i++) {
                g_autoptr(GBytes) bytes = NULL;
                CborWriter w;
                CborReader r;

                cbor_writer_init(&w);
                cbor_writer_uint(&w, integers[i].value);
                bytes = cbor_writer_finish(&w, 9);
                assert_hex(bytes, integers[i].hex);
                cbor_reader_init(&r, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
                assert_true(cbor_reader_uint(&r, UINT64_MAX) == integers[i].value);
                assert_int_equal(cbor_reader_end(&r, 0), 0);
                if (integers[i].value == 0)
                        continue;
                cbor_reader_init(&r, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
                assert_int_equal(cbor_reader_uint(&r, integers[i].value - 1), 0);
                assert_int_equal(cbor_reader_end(&r, 0), -EBADMSG);
        }
}

static void test_longer_heads(void **state) {
        static const char *const bad[] = {
                "1800",
                "1817",
                "190000",
                "1900ff",
                "1a00000000",
                "1a0000ffff",
                "1b0000000000000000",
                "1b00000000ffffffff",
                "5800", /* bytes */
                "581700112233445566778899aabbccddeeff112233445566",
                "590001aa",
                "5b0000000000000001aa",
                "7b0000000000000001 61",
                "9800",
                "9b0000000000000000",
                "b800",
                "bb0000000000000000",
                "d80000", /* tag */
                "3800",   /* negative */
        };

        for (unsigned i = 0; i < ELEMENTSOF(bad); i++) {
                g_autoptr(GBytes) bytes = unhex(bad[i]);
                CborReader r;

                cbor_reader_init(&r, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
                cbor_reader_skip(&r);
                if (cbor_reader_end(&r, 0) != -EBADMSG)
                        fail_msg("%s is taken", bad[i]);
        }
}

/* Lengths no input has. Nothing is read or allocated for them. */
static void test_hostile_lengths(void **state) {
        static const char *const bad[] = {
                "9bffffffffffffffff",
                "9b7fffffffffffffff",
                "9b0000000100000000",
                "9affffffff",
                "99ffff",
                "9818",
                "81",
                "bbffffffffffffffff",
                "bb8000000000000000",
                "bb7fffffffffffffff",
                "ba80000000",
                "baffffffff",
                "a101",
                "5bffffffffffffffff",
                "5bfffffffffffffff7",
                "5b8000000000000000",
                "5affffffff",
                "59ffff",
                "41",
                "7bffffffffffffffff",
                "7affffffff",
                "61",
                "c1",
                "db0000000100000000",
                "",
                "18",
                "1b00",
                "f8",
                "f9",
                "fb00",
                "ff",
                "f820",
                "f800",
                "1c",
                "5f",
                "5c",
        };

        for (unsigned i = 0; i < ELEMENTSOF(bad); i++) {
                g_autoptr(GBytes) bytes = unhex(bad[i]);
                size_t len = g_bytes_get_size(bytes), n;
                uint8_t *copy = malloc(len), buf[4];
                char text[4];
                CborReader r;

                memcpy(copy, g_bytes_get_data(bytes, NULL), len);
#define REFUSED(call)                                                                              \
        do {                                                                                       \
                cbor_reader_init(&r, copy, len);                                                   \
                call;                                                                              \
                if (cbor_reader_end(&r, 0) != -EBADMSG)                                            \
                        fail_msg("%s is taken by %s", bad[i], #call);                              \
        } while (false)
                REFUSED(cbor_reader_skip(&r));
                REFUSED(assert_int_equal(cbor_reader_array(&r, SIZE_MAX), 0));
                REFUSED(cbor_reader_uint(&r, UINT64_MAX));
                REFUSED(assert_null(cbor_reader_bytes(&r, &n)); assert_int_equal(n, 0));
                REFUSED(cbor_reader_bytes_exact(&r, buf, sizeof buf));
                REFUSED(cbor_reader_text(&r, text, sizeof text));
                assert_string_equal(text, "");
                cbor_reader_init_map(&r, copy, len);
                {
                        uint64_t key;

                        while (cbor_reader_next_key(&r, &key))
                                cbor_reader_skip(&r);
                }
                assert_int_equal(cbor_reader_end(&r, 0), -EBADMSG);
                free(copy);
        }
}

static void test_text(void **state) {
        static const struct {
                const char *hex;
                bool good;
        } table[] = {
                { "60", true },          { "6161", true },  { "63616263", true },
                { "62c3a4", true },      /* a umlaut */
                { "6461626364", false }, /* longer than the room */
                { "62c328", false },     /* not UTF-8 */
                { "61c3", false },       /* cut in the middle */
                { "62c080", false },     /* overlong NUL */
                { "63eda080", false },   /* surrogate */
                { "6100", false },       /* NUL */
                { "611b", false },       /* escape sequences reach terminals */
                { "610a", false },       { "617f", false }, { "62c285", false }, /* C1: next line */
                { "4161", false },                                               /* bytes */
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(GBytes) bytes = unhex(table[i].hex);
                size_t len = g_bytes_get_size(bytes);
                char text[4];
                CborReader r;

                cbor_reader_init(&r, g_bytes_get_data(bytes, NULL), len);
                cbor_reader_text(&r, text, sizeof text);
                if ((cbor_reader_end(&r, 0) == 0) != table[i].good)
                        fail_msg("%s", table[i].hex);
                if (table[i].good) {
                        assert_int_equal(strlen(text), len - 1);
                        assert_memory_equal(
                                        text, (const char *) g_bytes_get_data(bytes, NULL) + 1,
                                        len - 1);
                } else
                        assert_string_equal(text, "");
        }
}

/* A failure is for good, even where the rest could be read. */
static void test_failure_stays(void **state) {
        static const uint8_t in[] = { 0x41, 0xaa, 0x05, 0xa0 };
        uint8_t buf[2] = { 1, 1 };
        CborReader r;

        cbor_reader_init(&r, in, sizeof in);
        cbor_reader_bytes_exact(&r, buf, 2);
        assert_int_equal(buf[0] | buf[1], 0);
        assert_int_equal(cbor_reader_uint(&r, 99), 0);
        cbor_reader_skip(&r);
        assert_int_equal(cbor_reader_end(&r, 0), -EBADMSG);

        cbor_reader_init(&r, in, sizeof in);
        cbor_reader_bytes_exact(&r, buf, 1);
        assert_int_equal(buf[0], 0xaa);
        assert_int_equal(cbor_reader_uint(&r, 5), 5);
        cbor_reader_skip(&r);
        assert_int_equal(cbor_reader_end(&r, 0), 0);
}

static void test_map_entries(void **state) {
        for (unsigned n = 0; n <= 40; n++) {
                uint8_t in[128];
                size_t len = 0;
                uint64_t key;
                CborReader r;

                if (n < 24)
                        in[len++] = (uint8_t) (0xa0 + n);
                else {
                        in[len++] = 0xb8;
                        in[len++] = (uint8_t) n;
                }
                for (unsigned i = 0; i < n; i++) {
                        unsigned k = n - i; /* descending */

                        if (k >= 24)
                                in[len++] = 0x18;
                        in[len++] = (uint8_t) k;
                        in[len++] = 0x00;
                }
                cbor_reader_init_map(&r, in, len);
                while (cbor_reader_next_key(&r, &key)) {
                        assert_true(cbor_reader_has_key(&r, key));
                        assert_false(cbor_reader_has_key(&r, 0));
                        cbor_reader_skip(&r);
                }
                assert_int_equal(cbor_reader_end(&r, 0), n <= CBOR_MAP_ENTRIES_MAX ? 0 : -EBADMSG);
                assert_int_equal(
                                cbor_reader_end(&r, CBOR_KEY(7)),
                                n >= 7 && n <= CBOR_MAP_ENTRIES_MAX ? 0 : -EBADMSG);
                assert_int_equal(cbor_reader_end(&r, CBOR_KEY(0)), -EBADMSG);
        }
}

static void test_writer(void **state) {
        g_autoptr(GBytes) bytes = NULL, none = NULL;
        CborWriter w;

        cbor_writer_init_map(&w);
        cbor_writer_uint(cbor_writer_key(&w, 0), 7);
        cbor_writer_bytes(cbor_writer_key(&w, 5), "\x01\x02", 2);
        cbor_writer_text(cbor_writer_key(&w, 23), "hi");
        cbor_writer_array(cbor_writer_key(&w, 24), 2);
        cbor_writer_bytes(&w, NULL, 0);
        cbor_writer_text(&w, "");
        bytes = cbor_writer_finish(&w, 17);
        assert_hex(bytes, "a4 00 07 05 42 0102 17 62 6869 1818 82 40 60");

        cbor_writer_init_map(&w);
        none = cbor_writer_finish(&w, 1);
        assert_hex(none, "a0");
        cbor_writer_init_map(&w);
        assert_null(cbor_writer_finish(&w, 0));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_integers),        cmocka_unit_test(test_longer_heads),
                cmocka_unit_test(test_hostile_lengths), cmocka_unit_test(test_text),
                cmocka_unit_test(test_failure_stays),   cmocka_unit_test(test_map_entries),
                cmocka_unit_test(test_writer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
