/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What routers are sent and send, to the byte; and what must not be taken. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "portmap/natpmp.h"
#include "portmap/upnp.h"

static const PcpMap map = {
        .nonce = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 },
        .internal_port = 18002,
        .external_port = 4660,
        .external = { AF_INET, { 203, 0, 113, 9 } },
};

/* RFC 6887 figures 2 and 9. */
static void test_pcp_request(void **state) {
        static const uint8_t expected[PCP_MAP_SIZE] = {
                2,    1,    0,    0,    /* MAP */
                0,    0,    0x1c, 0x20, /* 7200 s */
                0,    0,    0,    0,    0, 0, 0, 0, 0, 0,  0xff, 0xff,
                192,  168,  1,    7,                                 /* client */
                1,    2,    3,    4,    5, 6, 7, 8, 9, 10, 11,   12, /* nonce */
                17,   0,    0,    0,                                 /* UDP */
                0x46, 0x52, 0x12, 0x34,                              /* ports */
                0,    0,    0,    0,    0, 0, 0, 0, 0, 0,  0xff, 0xff,
                203,  0,    113,  9,
        };
        const IpAddr client = { AF_INET, { 192, 168, 1, 7 } };
        const IpAddr client6 = { AF_INET6, { 0x20, 1, [15] = 7 } };
        uint8_t buf[PCP_MAP_SIZE];
        PcpMap any = map;

        assert_int_equal(pcp_encode_map(&client, &map, 7200, buf), sizeof expected);
        assert_memory_equal(buf, expected, sizeof expected);
        /* Any address of the client's family (section 11.1). */
        any.external = (IpAddr){};
        (void) pcp_encode_map(&client, &any, 0, buf);
        assert_memory_equal(buf + 44, ((uint8_t[16]){ [10] = 0xff, [11] = 0xff }), 16);
        (void) pcp_encode_map(&client6, &any, 0, buf);
        assert_memory_equal(buf + 8, client6.bytes, 16);
        assert_memory_equal(buf + 44, (uint8_t[16]){}, 16);
        assert_int_equal(pcp_encode_announce(&client, buf), 24);
        assert_memory_equal(buf, ((uint8_t[8]){ 2, 0 }), 8);
}

static size_t pcp_answer(uint8_t buf[static PCP_MAP_SIZE]) {
        const IpAddr client = { AF_INET, { 192, 168, 1, 7 } };
        size_t n = pcp_encode_map(&client, &map, 120, buf);

        buf[1] |= 0x80;
        memset(buf + 8, 0, 16);
        write_be32(buf + 8, 77);
        return n;
}

static void test_pcp_response(void **state) {
        uint8_t buf[PCP_MESSAGE_MAX + 4] = {};
        size_t n = pcp_answer(buf);
        PcpResponse p;

        assert_int_equal(pcp_decode(buf, n, &p), 0);
        assert_int_equal(p.lifetime, 120);
        assert_int_equal(p.epoch, 77);
        assert_memory_equal(p.map.nonce, map.nonce, PCP_NONCE_SIZE);
        assert_int_equal(p.map.internal_port, 18002);
        assert_int_equal(p.map.external_port, 4660);
        assert_true(ip_equal(&p.map.external, &map.external));
        /* Options behind it are somebody else's. */
        assert_int_equal(pcp_decode(buf, n + 4, &p), 0);

        for (size_t len = 0; len < n; len++)
                assert_int_equal(pcp_decode(buf, len, &p), -EBADMSG);
        assert_int_equal(pcp_decode(buf, n + 1, &p), -EBADMSG);
        assert_int_equal(pcp_decode(buf, sizeof buf, &p), -EBADMSG);
        buf[36] = 6; /* of a TCP port */
        assert_int_equal(pcp_decode(buf, n, &p), -EBADMSG);
        buf[36] = 17;
        buf[1] &= 0x7f; /* a question */
        assert_int_equal(pcp_decode(buf, n, &p), -EBADMSG);
        buf[1] |= 0x80;
        buf[0] = 3;
        assert_int_equal(pcp_decode(buf, n, &p), -EBADMSG);
        buf[3] = PCP_UNSUPP_VERSION;
        assert_int_equal(pcp_decode(buf, 24, &p), 0);
        assert_int_equal(p.version, 3);
        assert_string_equal(pcp_result_to_string(250), "it does not say why");
}

/* RFC 6887 section 8.5. */
static void test_pcp_epoch(void **state) {
        const RouterEpoch e = { .is_known = true, .server = 1000, .at = 50 * USEC_PER_SEC };
        static const struct {
                uint32_t server, after;
                bool holds;
        } table[] = {
                { 1000, 0, true },   { 999, 0, true },     { 998, 0, false },
                { 1600, 600, true }, { 0, 600, false },    { 1002, 0, true },
                { 1003, 0, false },  { 1562, 600, true },  { 1560, 600, false },
                { 1642, 600, true }, { 1644, 600, false }, { UINT32_MAX, 10, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_int_equal(
                                pcp_epoch_holds(&e, table[i].server,
                                                (50 + table[i].after) * USEC_PER_SEC),
                                table[i].holds);
        assert_true(pcp_epoch_holds(&(RouterEpoch){}, 5, USEC_PER_SEC));
}

/* RFC 6886 figures of section 3. */
static void test_natpmp(void **state) {
        static const uint8_t ask[] = { 0, 1, 0, 0, 0x46, 0x52, 0x12, 0x34, 0, 0, 0x1c, 0x20 };
        uint8_t address[] = { 0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 9 };
        uint8_t mapped[] = { 0, 129, 0, 0, 0, 0, 0, 9, 0x46, 0x52, 0x12, 0x34, 0, 0, 0x1c, 0x20 };
        uint8_t buf[NATPMP_MAP_SIZE];
        NatPmpResponse p;

        assert_int_equal(natpmp_encode_address(buf), 2);
        assert_memory_equal(buf, ((uint8_t[2]){}), 2);
        assert_int_equal(natpmp_encode_map(18002, 4660, 7200, buf), sizeof ask);
        assert_memory_equal(buf, ask, sizeof ask);

        assert_int_equal(natpmp_decode(address, sizeof address, &p), 0);
        assert_true(ip_equal(&p.external, &map.external));
        assert_int_equal(p.epoch, 9);
        assert_int_equal(natpmp_decode(mapped, sizeof mapped, &p), 0);
        assert_int_equal(p.internal_port, 18002);
        assert_int_equal(p.external_port, 4660);
        assert_int_equal(p.lifetime, 7200);
        for (size_t len = 0; len < sizeof mapped; len++)
                assert_int_equal(natpmp_decode(mapped, len, &p), -EBADMSG);
        for (size_t len = 0; len < sizeof address; len++)
                assert_int_equal(natpmp_decode(address, len, &p), -EBADMSG);
        /* What failed ends with the epoch. */
        mapped[3] = NATPMP_NOT_AUTHORIZED;
        assert_int_equal(natpmp_decode(mapped, 8, &p), 0);
        assert_int_equal(p.result, NATPMP_NOT_AUTHORIZED);
        mapped[0] = 2;
        assert_int_equal(natpmp_decode(mapped, sizeof mapped, &p), -EBADMSG);
}

static void test_natpmp_epoch(void **state) {
        const RouterEpoch e = { .is_known = true, .server = 1000, .at = 0 };

        assert_true(natpmp_epoch_holds(&e, 1800, 800 * USEC_PER_SEC));
        assert_true(natpmp_epoch_holds(&e, 1698, 800 * USEC_PER_SEC));
        assert_false(natpmp_epoch_holds(&e, 1697, 800 * USEC_PER_SEC));
        assert_true(natpmp_epoch_holds(&e, 9000, 800 * USEC_PER_SEC));
        assert_false(natpmp_epoch_holds(&e, 0, USEC_PER_SEC));
}

static void test_upnp_words(void **state) {
        UpnpRequest q = {
                .operation = UPNP_ADD,
                .router = { AF_INET, { 192, 168, 1, 1 } },
                .source = { AF_INET, { 192, 168, 1, 7 } },
                .port = 18002,
                .external_port = 4660,
                .lifetime = 7200,
        };
        UpnpArguments arguments;
        UpnpRequest r;

        upnp_request_to_arguments(&q, &arguments);
        assert_int_equal(upnp_request_from_arguments(arguments.argv, 6, &r), 0);
        assert_memory_equal(&q, &r, sizeof q);
        q.operation = UPNP_REMOVE;
        upnp_request_to_arguments(&q, &arguments);
        assert_int_equal(upnp_request_from_arguments(arguments.argv, 6, &r), -EINVAL);
        strcpy(q.url, "http://192.168.1.1:5000/root.xml");
        upnp_request_to_arguments(&q, &arguments);
        assert_int_equal(upnp_request_from_arguments(arguments.argv, 7, &r), 0);
        assert_string_equal(r.url, q.url);
        strcpy(q.url, "http://192.168.1.2:5000/root.xml");
        upnp_request_to_arguments(&q, &arguments);
        assert_int_equal(upnp_request_from_arguments(arguments.argv, 7, &r), -EINVAL);
}

static void test_upnp_answer(void **state) {
        static const char *const bad[] = {
                "",
                "\n",
                "none",
                "none\nnone\n",
                "mapped\n",
                "mapped 203.0.113.9 1 2\n",
                "mapped 203.0.113.9 65536 2 http://192.168.1.1/\n",
                "mapped 203.0.113.9 1 -2 http://192.168.1.1/\n",
                "mapped 2001:db8::1 1 2 http://192.168.1.1/\n",
                "mapped 203.0.113.9 1 2 http://192.168.1.1/\x1b[0m\n",
                "mapped 203.0.113.9 1 2 http://192.168.1.1/ x\n",
                "mapped  203.0.113.9 1 2 http://192.168.1.1/\n",
                "refused\n",
                "refused 1 2\n",
                "refused x\n",
        };
        UpnpAnswer a = {
                .outcome = UPNP_MAPPED,
                .external = { AF_INET, { 203, 0, 113, 9 } },
                .external_port = 4660,
                .lifetime = 7200,
                .url = "http://192.168.1.1:5000/root.xml",
        };
        char line[UPNP_LINE_MAX];
        UpnpAnswer b;
        size_t n = upnp_answer_format(&a, line);

        assert_int_equal(upnp_answer_parse(line, n, &b), 0);
        assert_memory_equal(&a, &b, sizeof a);
        a = (UpnpAnswer){ .outcome = UPNP_REFUSED, .code = 718 };
        n = upnp_answer_format(&a, line);
        assert_int_equal(upnp_answer_parse(line, n, &b), 0);
        assert_int_equal(b.code, 718);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_int_equal(upnp_answer_parse(bad[i], strlen(bad[i]), &b), -EBADMSG);
}

static void test_upnp_url(void **state) {
        static const struct {
                const char *url;
                bool is_of;
        } table[] = {
                { "http://192.168.1.1:5000/a", true },
                { "http://192.168.1.1/a", true },
                { "http://192.168.1.1", true },
                { "https://192.168.1.1/", false },
                { "http://192.168.1.11/", false },
                { "http://router/", false },
                { "http://192.168.1.1@10.0.0.1/", false },
                { "http://10.0.0.1/192.168.1.1", false },
                { "http://192.168.1.1.example/", false },
        };
        const IpAddr router = { AF_INET, { 192, 168, 1, 1 } };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                assert_int_equal(upnp_url_is_of(table[i].url, &router), table[i].is_of);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pcp_request),  cmocka_unit_test(test_pcp_response),
                cmocka_unit_test(test_pcp_epoch),    cmocka_unit_test(test_natpmp),
                cmocka_unit_test(test_natpmp_epoch), cmocka_unit_test(test_upnp_words),
                cmocka_unit_test(test_upnp_answer),  cmocka_unit_test(test_upnp_url),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
