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

#define NETWORK "02 5820" HEX32("aa")
#define ISSUER "03 5820" HEX32("bb")
#define ENDPOINTS "04 82 47 04cb0071054652 53 0620010db80000000000000000000000014652"
#define TOKEN "05 50" HEX16("cc")
#define REST "06 1b 0006000000000001 07 64 486f6d65"
#define SUBNET "08 44 0a070000 09 10"
#define INVITE "a9 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST SUBNET

static Invite invite(void) {
        Invite v = {
                .n_endpoints = 2,
                .not_after = 0x6000000000001,
                .network_name = "Home",
                .subnet = { { AF_INET, { 10, 7 } }, 16 },
        };

        memset(v.network.bytes, 0xaa, sizeof v.network.bytes);
        memset(v.issuer.bytes, 0xbb, sizeof v.issuer.bytes);
        memset(v.token, 0xcc, sizeof v.token);
        endpoint_parse("203.0.113.5:18002", 0, &v.endpoints[0]);
        endpoint_parse("[2001:db8::1]:18002", 0, &v.endpoints[1]);
        return v;
}

static char *link_of(const uint8_t *buf, size_t len) {
        g_autofree char *text = g_malloc(BASE32_LEN(len) + 1);

        base32_encode(buf, len, text);
        return g_strconcat(INVITE_SCHEME, text, NULL);
}

static char *link_of_hex(const char *hex) {
        g_autoptr(GBytes) bytes = unhex(hex);

        return link_of(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static void assert_invite(const Invite *a, const Invite *b) {
        assert_true(machine_id_equal(&a->network, &b->network));
        assert_true(machine_id_equal(&a->issuer, &b->issuer));
        assert_int_equal(a->n_endpoints, b->n_endpoints);
        for (unsigned i = 0; i < a->n_endpoints; i++)
                assert_true(endpoint_equal(&a->endpoints[i], &b->endpoints[i]));
        assert_int_equal(a->n_streams, b->n_streams);
        for (unsigned i = 0; i < a->n_streams; i++)
                assert_true(endpoint_equal(&a->streams[i], &b->streams[i]));
        assert_int_equal(a->n_names, b->n_names);
        for (unsigned i = 0; i < a->n_names; i++)
                assert_true(host_port_equal(&a->names[i], &b->names[i]));
        assert_memory_equal(a->token, b->token, INVITE_TOKEN_SIZE);
        assert_int_equal(a->not_after, b->not_after);
        assert_string_equal(a->network_name, b->network_name);
        assert_true(ip_equal(&a->subnet.addr, &b->subnet.addr));
        assert_int_equal(a->subnet.len, b->subnet.len);
}

static void test_golden(void **state) {
        Invite v = invite(), w;
        g_autofree char *link = invite_format(&v), *wanted = link_of_hex(INVITE);
        g_autofree char *bare = NULL, *wanted_bare = NULL;

        assert_string_equal(link, wanted);
        assert_int_equal(invite_parse(link, &w), 0);
        assert_invite(&w, &v);

        /* Without an endpoint, and without a subnet: the gateway tells. */
        v.subnet = (IpPrefix){};
        v.n_endpoints = 0;
        bare = invite_format(&v);
        wanted_bare = link_of_hex("a7 01 01" NETWORK ISSUER "04 80" TOKEN REST);
        assert_string_equal(bare, wanted_bare);
        assert_int_equal(invite_parse(bare, &w), 0);
        assert_invite(&w, &v);
}

/* Where the issuer listens by TCP. */
static void test_streams(void **state) {
        static const char *const bad[] = {
                "aa 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST SUBNET "0a 81 47 04cb007105 0000",
                "aa 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST SUBNET "0a 81 46 04cb00710501",
                "aa 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST SUBNET "0a 01",
                "aa 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST SUBNET
                "0a 85 47 04cb00710501bb 47 04cb00710501bb 47 04cb00710501bb 47 04cb00710501bb 47 "
                "04cb00710501bb",
        };
        Invite v = invite(), w;
        g_autofree char *link = NULL,
                        *wanted = link_of_hex("aa 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST SUBNET
                                              "0a 81 47 04cb00710501bb");

        v.n_streams = 1;
        assert_int_equal(endpoint_parse("203.0.113.5:443", 0, &v.streams[0]), 0);
        v.streams[0].transport = ENDPOINT_TCP;
        link = invite_format(&v);
        assert_string_equal(link, wanted);
        assert_int_equal(invite_parse(link, &w), 0);
        assert_invite(&w, &v);
        for (unsigned i = 0; i < ELEMENTSOF(bad); i++) {
                g_autofree char *text = link_of_hex(bad[i]);

                assert_int_equal(invite_parse(text, &w), -EBADMSG);
        }
}

/* To the byte, in lower case; and what is none. */
static void test_names(void **state) {
        static const char *const bad[] = {
                "a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST
                "0b 83 66 67772e613a37 66 67772e623a37 66 67772e633a37",
                "a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "0b 66 67772e613a37",
                "a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "0b 81 46 67772e613a37",
                "a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "0b 81 64 67772e61",
                "a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "0b 81 66 67772e613a30",
                "a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "0b 81 66 670a2e613a37",
                "a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "0b 81 67 312e312e312e31",
                "a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "0b 81 60",
        };
        Invite v = invite(), w;
        g_autofree char *link = NULL;
        g_autofree char *wanted = link_of_hex("aa 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST SUBNET
                                              "0b 82 66 67772e613a37 67 67772e62623a38");
        g_autofree char *upper = link_of_hex("a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST
                                             "0b 81 66 47572e413a37");

        v.n_names = 2;
        assert_int_equal(host_port_parse("gw.a:7", 0, &v.names[0]), 0);
        assert_int_equal(host_port_parse("gw.bb:8", 0, &v.names[1]), 0);
        link = invite_format(&v);
        assert_string_equal(link, wanted);
        assert_int_equal(invite_parse(link, &w), 0);
        assert_invite(&w, &v);
        assert_int_equal(invite_parse(upper, &w), 0);
        assert_int_equal(w.n_names, 1);
        assert_string_equal(w.names[0].host, "gw.a");
        for (unsigned i = 0; i < ELEMENTSOF(bad); i++) {
                g_autofree char *text = link_of_hex(bad[i]);

                assert_int_equal(invite_parse(text, &w), -EBADMSG);
        }
}

/* Both keys or neither, and a prefix without host bits. */
static void test_subnets(void **state) {
        static const char *const bad[] = {
                "a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "08 44 0a070000",
                "a8 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "09 10",
                "a9 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "08 44 0a070001 09 10",
                "a9 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "08 44 0a070000 09 1821",
                "a9 01 01" NETWORK ISSUER ENDPOINTS TOKEN REST "08 43 0a0700 09 10",
        };
        Invite v;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                g_autofree char *link = link_of_hex(bad[i]);

                assert_int_equal(invite_parse(link, &v), -EBADMSG);
        }
}

static void test_largest(void **state) {
        Invite v = invite(), w;
        g_autofree char *link = NULL;

        v.n_endpoints = ENDPOINTS_MAX;
        for (unsigned i = 0; i < ENDPOINTS_MAX; i++)
                endpoint_parse("[2001:db8::1]:65535", 0, &v.endpoints[i]);
        v.n_streams = STREAM_ENDPOINTS_MAX;
        for (unsigned i = 0; i < STREAM_ENDPOINTS_MAX; i++) {
                endpoint_parse("[2001:db8::1]:65535", 0, &v.streams[i]);
                v.streams[i].transport = ENDPOINT_TCP;
        }
        v.n_names = GATEWAY_NAMES_MAX;
        for (unsigned i = 0; i < GATEWAY_NAMES_MAX; i++) {
                memset(v.names[i].host, 'a', DNS_NAME_MAX_LEN);
                for (unsigned k = DNS_LABEL_MAX_LEN; k < DNS_NAME_MAX_LEN; k += DNS_LABEL_MAX_LEN + 1)
                        v.names[i].host[k] = '.';
                v.names[i].port = 65535;
        }
        v.not_after = USEC_INFINITY;
        memset(v.network_name, 'n', NETWORK_NAME_MAX_LEN);
        link = invite_format(&v);
        assert_non_null(link);
        assert_true(strlen(link) <= INVITE_LINK_MAX);
        assert_int_equal(invite_parse(link, &w), 0);
        assert_invite(&w, &v);

        v.n_names++;
        assert_null(invite_format(&v));
        v.n_names = 0;
        v.n_streams++;
        assert_null(invite_format(&v));
        v.n_streams = 0;
        v.n_endpoints = ENDPOINTS_MAX + 1;
        assert_null(invite_format(&v));
        v.n_endpoints = 0;
        v.network_name[0] = '\0';
        assert_null(invite_format(&v));
        memset(v.network_name, 'n', sizeof v.network_name);
        assert_null(invite_format(&v));
}

/* What people do to a link between two windows. */
static void test_as_pasted(void **state) {
        Invite v = invite(), w;
        g_autofree char *link = invite_format(&v), *upper = g_ascii_strup(link, -1);
        g_autofree char *spaced = g_strconcat(" \t\n", link, "\r\n ", NULL);
        g_autofree char *inside = g_strdup(link), *two = g_strconcat(link, " ", link, NULL);
        g_autofree char *cut = g_strdup(link), *many = g_strnfill(5000, 'a');
        g_autofree char *long_link = g_strconcat(INVITE_SCHEME, many, NULL);

        assert_int_equal(invite_parse(upper, &w), 0);
        assert_invite(&w, &v);
        assert_int_equal(invite_parse(spaced, &w), 0);
        assert_invite(&w, &v);

        inside[strlen(inside) / 2] = ' ';
        assert_int_equal(invite_parse(inside, &w), -EBADMSG);
        assert_int_equal(invite_parse(two, &w), -EBADMSG);
        assert_int_equal(invite_parse(long_link, &w), -EBADMSG);
        for (size_t n = strlen(cut); n-- > 0;) {
                cut[n] = '\0';
                assert_int_equal(invite_parse(cut, &w), -EBADMSG);
        }
        assert_int_equal(invite_parse(link + 1, &w), -EBADMSG);
        assert_int_equal(invite_parse(link + strlen(INVITE_SCHEME), &w), -EBADMSG);
        assert_int_equal(invite_parse("https://example.org/", &w), -EBADMSG);
        assert_int_equal(invite_parse("omerta://join/!", &w), -EBADMSG);
}

static int decode(const uint8_t *buf, size_t len) {
        g_autofree char *link = link_of(buf, len);
        Invite v;

        return invite_parse(link, &v);
}

static void test_mangled(void **state) {
        static const MapCodec codec = { "invite", decode };
        g_autoptr(GBytes) bytes = unhex(INVITE);

        mangle_check(&codec, bytes);
}

static void test_values(void **state) {
        static const struct {
                int wanted;
                const char *what, *hex;
        } table[] = {
                { -EBADMSG, "version 0", "a7 01 00" NETWORK ISSUER ENDPOINTS TOKEN REST },
                { -EPROTONOSUPPORT, "version 2", "a7 01 02" NETWORK ISSUER ENDPOINTS TOKEN REST },
                { -EPROTONOSUPPORT, "version 2 with nothing we know", "a2 01 02 02 80" },
                { -EPROTONOSUPPORT, "version in the last place", "a2 02 80 01 1903e8" },
                { -EBADMSG, "version 2 cut", "a2 01 02 02" },
                { -EBADMSG, "9 endpoints",
                  "a7 01 01" NETWORK ISSUER
                  "04 89" HEX8("47 04cb0071054652") "47 04cb0071054652" TOKEN REST },
                { -EBADMSG, "unusable endpoint",
                  "a7 01 01" NETWORK ISSUER "04 81 47 04000000004652" TOKEN REST },
                { -EBADMSG, "token of 15",
                  "a7 01 01" NETWORK ISSUER ENDPOINTS "05 4f" HEX8("cc") HEX4("cc") "cccccc" REST },
                { -EBADMSG, "no token", "a6 01 01" NETWORK ISSUER ENDPOINTS REST },
                { 0, "name of 63",
                  "a7 01 01" NETWORK ISSUER ENDPOINTS TOKEN "06 00 07 783f" HEX32("6e") HEX16("6e")
                                  HEX8("6e") HEX4("6e") "6e6e6e" },
                { -EBADMSG, "name of 64",
                  "a7 01 01" NETWORK ISSUER ENDPOINTS TOKEN "06 00 07 7840" HEX64("6e") },
                { -EBADMSG, "empty name", "a7 01 01" NETWORK ISSUER ENDPOINTS TOKEN "06 00 07 60" },
                { -EBADMSG, "escape in the name",
                  "a7 01 01" NETWORK ISSUER ENDPOINTS TOKEN "06 00 07 611b" },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                g_autofree char *link = link_of_hex(table[i].hex);
                Invite v = { .not_after = 99 };
                int r = invite_parse(link, &v);

                if (r != table[i].wanted)
                        fail_msg("%s: %d", table[i].what, r);
                if (r < 0)
                        assert_int_equal(v.not_after, 99);
        }
}

static void test_network_name(void **state) {
        char name[66] = {};

        assert_true(network_name_is_valid("Home"));
        assert_true(network_name_is_valid("B\xc3\xbcro 2"));
        assert_false(network_name_is_valid(""));
        assert_false(network_name_is_valid("a\nb"));
        assert_false(network_name_is_valid("\xff"));
        assert_false(network_name_is_valid("\xc2\x85"));
        memset(name, 'n', 63);
        assert_true(network_name_is_valid(name));
        name[63] = 'n';
        assert_false(network_name_is_valid(name));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),       cmocka_unit_test(test_subnets),
                cmocka_unit_test(test_names),        cmocka_unit_test(test_streams),
                cmocka_unit_test(test_largest),      cmocka_unit_test(test_as_pasted),
                cmocka_unit_test(test_mangled),      cmocka_unit_test(test_values),
                cmocka_unit_test(test_network_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
