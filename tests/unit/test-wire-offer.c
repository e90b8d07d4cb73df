/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/base32.h"
#include "base/macros.h"
#include "cbor-mangle.h"
#include "core/wire/invite.h"
#include "core/wire/offer.h"

#define NETWORK "02 5820" HEX32("aa")
#define MACHINE "03 5820" HEX32("bb")
#define ENDPOINTS "04 82 47 04cb0071054652 53 0620010db80000000000000000000000014652"
#define OFFER "a4 01 01" NETWORK MACHINE ENDPOINTS

static Offer offer(void) {
        Offer o = { .n_endpoints = 2 };

        memset(o.network.bytes, 0xaa, sizeof o.network.bytes);
        memset(o.machine.bytes, 0xbb, sizeof o.machine.bytes);
        endpoint_parse("203.0.113.5:18002", 0, &o.endpoints[0]);
        endpoint_parse("[2001:db8::1]:18002", 0, &o.endpoints[1]);
        return o;
}

static char *line_of(const uint8_t *buf, size_t len) {
        g_autofree char *text = g_malloc(BASE32_LEN(len) + 1);

        base32_encode(buf, len, text);
        return g_strconcat(OFFER_SCHEME, text, NULL);
}

static char *line_of_hex(const char *hex) {
        g_autoptr(GBytes) bytes = unhex(hex);

        return line_of(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static void assert_offer(const Offer *a, const Offer *b) {
        assert_true(machine_id_equal(&a->network, &b->network));
        assert_true(machine_id_equal(&a->machine, &b->machine));
        assert_int_equal(a->n_endpoints, b->n_endpoints);
        for (unsigned i = 0; i < a->n_endpoints; i++)
                assert_true(endpoint_equal(&a->endpoints[i], &b->endpoints[i]));
}

static void test_golden(void **state) {
        Offer o = offer(), p;
        g_autofree char *line = offer_format(&o), *wanted = line_of_hex(OFFER);
        g_autofree char *pasted = g_strconcat("\n ", line, "\r\n", NULL);

        assert_string_equal(line, wanted);
        assert_int_equal(offer_parse(pasted, &p), 0);
        assert_offer(&p, &o);
}

static void test_sizes(void **state) {
        Offer o = offer(), p;
        g_autofree char *line = NULL;

        o.n_endpoints = 0;
        assert_null(offer_format(&o));
        o.n_endpoints = ENDPOINTS_MAX + 1;
        assert_null(offer_format(&o));
        o.n_endpoints = ENDPOINTS_MAX;
        for (unsigned i = 0; i < ENDPOINTS_MAX; i++)
                endpoint_parse("[2001:db8::1]:65535", 0, &o.endpoints[i]);
        line = offer_format(&o);
        assert_int_equal(offer_parse(line, &p), 0);
        assert_offer(&p, &o);
}

static int decode(const uint8_t *buf, size_t len) {
        g_autofree char *line = line_of(buf, len);
        Offer o;

        return offer_parse(line, &o);
}

static void test_mangled(void **state) {
        static const MapCodec codec = { "offer", decode };
        g_autoptr(GBytes) bytes = unhex(OFFER);

        mangle_check(&codec, bytes);
}

static void test_refused(void **state) {
        static const struct {
                int wanted;
                const char *hex;
        } table[] = {
                { -EBADMSG, "a4 01 00" NETWORK MACHINE ENDPOINTS },
                { -EPROTONOSUPPORT, "a4 01 02" NETWORK MACHINE ENDPOINTS },
                { -EPROTONOSUPPORT, "a2 01 02 02 80" },
                { -EBADMSG, "a4 01 01" NETWORK MACHINE "04 80" },
                { -EBADMSG, "a4 01 01" NETWORK MACHINE "04 81 47 04e00000014652" }, /* multicast */
                { -EBADMSG, "a3 01 01" NETWORK MACHINE },
        };
        Offer o = offer();
        Invite v;
        g_autofree char *line = offer_format(&o);

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *bad = line_of_hex(table[i].hex);

                assert_int_equal(offer_parse(bad, &o), table[i].wanted);
        }
        assert_int_equal(invite_parse(line, &v), -EBADMSG);
        assert_int_equal(offer_parse(line + 1, &o), -EBADMSG);
        assert_int_equal(offer_parse("", &o), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_mangled),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
