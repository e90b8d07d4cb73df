/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "base/endpoint.h"
#include "base/macros.h"

static Endpoint endpoint(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 0, &e), 0);
        return e;
}

static void test_text(void **state) {
        static const struct {
                const char *in, *out; /* no out: refused */
        } table[] = {
                { "203.0.113.5:18002", "203.0.113.5:18002" },
                { "203.0.113.5", "203.0.113.5:77" },
                { "[2001:db8::1]:18002", "[2001:db8::1]:18002" },
                { "[2001:db8::1]", "[2001:db8::1]:77" },
                { "2001:db8::1", "[2001:db8::1]:77" },
                { "::1", "[::1]:77" },
                { "[::ffff:192.0.2.1]:5", "192.0.2.1:5" }, /* one place, one representation */
                { "1.2.3.4:65535", "1.2.3.4:65535" },
                { "1.2.3.4:00001", "1.2.3.4:1" },
                { "", NULL },
                { ":1", NULL },
                { "1.2.3.4:", NULL },
                { "1.2.3.4:0", NULL },
                { "1.2.3.4:65536", NULL },
                { "1.2.3.4:99999999999999999999", NULL },
                { "1.2.3.4:-1", NULL },
                { "1.2.3.4:+1", NULL },
                { "1.2.3.4: 1", NULL },
                { "1.2.3.4:1x", NULL },
                { "1.2.3:1", NULL },
                { "1.2.3.256:1", NULL },
                { "[::1", NULL },
                { "[::1]x", NULL },
                { "[::1]:", NULL },
                { "[]:1", NULL },
                { "example.org:1", NULL },
                { "1111111111111111111111111111111111111111111111111111111111111111111:1", NULL },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                Endpoint e;
                int r = endpoint_parse(table[i].in, 77, &e);

                if (!table[i].out) {
                        if (r != -EINVAL)
                                fail_msg("\"%s\" is taken", table[i].in);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_string_equal(endpoint_format(&e).text, table[i].out);
        }
        assert_string_equal(endpoint_format(&(Endpoint){}).text, "");
}

/* docs/protocol.md, "Endpoint". */
static void test_wire(void **state) {
        static const uint8_t v4[] = { 4, 203, 0, 113, 5, 0x46, 0x52 };
        static const uint8_t v6[] = { 6, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0,    0,   0,
                                      0, 0,    0,    0,    0,    0, 1, 0x46, 0x52 };
        static const uint8_t mapped[] = { 6, 0,    0,    0,   0, 0,   0, 0,    0,   0,
                                          0, 0xff, 0xff, 203, 0, 113, 5, 0x46, 0x52 };
        uint8_t buf[ENDPOINT_WIRE_MAX];
        Endpoint e;

        e = endpoint("203.0.113.5:18002");
        assert_int_equal(endpoint_encode(&e, buf), sizeof v4);
        assert_memory_equal(buf, v4, sizeof v4);
        assert_int_equal(endpoint_decode(mapped, sizeof mapped, &e), 0);
        assert_string_equal(endpoint_format(&e).text, "203.0.113.5:18002");
        e = endpoint("[2001:db8::1]:18002");
        assert_int_equal(endpoint_encode(&e, buf), sizeof v6);
        assert_memory_equal(buf, v6, sizeof v6);

        for (size_t n = 0; n <= sizeof v6; n++) {
                assert_int_equal(endpoint_decode(v6, n, &e), n == sizeof v6 ? 0 : -EBADMSG);
                if (n <= sizeof v4)
                        assert_int_equal(endpoint_decode(v4, n, &e), n == sizeof v4 ? 0 : -EBADMSG);
        }
        for (unsigned family = 0; family < 256; family++) {
                memcpy(buf, v4, sizeof v4);
                buf[0] = (uint8_t) family;
                assert_int_equal(endpoint_decode(buf, 7, &e), family == 4 ? 0 : -EBADMSG);
                memcpy(buf, v6, sizeof v6);
                buf[0] = (uint8_t) family;
                assert_int_equal(endpoint_decode(buf, 19, &e), family == 6 ? 0 : -EBADMSG);
        }
}

static void test_usable(void **state) {
        static const struct {
                const char *text;
                bool usable;
        } table[] = {
                { "192.0.2.1:1", true },     { "127.0.0.1:1", true },
                { "10.0.0.1:1", true },      { "223.255.255.255:1", true },
                { "0.0.0.0:1", false },      { "0.1.2.3:1", false },
                { "224.0.0.1:1", false },    { "239.255.255.255:1", false },
                { "240.0.0.1:1", false },    { "255.255.255.255:1", false },
                { "[2001:db8::1]:1", true }, { "[::1]:1", true },
                { "[fe80::1]:1", true },     { "[::]:1", false },
                { "[ff02::1]:1", false },    { "192.0.2.1", false }, /* port 0 */
                { "[::1]", false },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                Endpoint e = endpoint(table[i].text);

                if (endpoint_is_usable(&e) != table[i].usable)
                        fail_msg("%s", table[i].text);
        }
        assert_false(endpoint_is_usable(&(Endpoint){}));
}

static void test_sockaddr(void **state) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(5) };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(6) };
        struct sockaddr un = { .sa_family = AF_UNIX };
        Endpoint e = {}, f;

        inet_pton(AF_INET, "192.0.2.1", &in.sin_addr);
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *) &in, sizeof in, &e), 0);
        assert_string_equal(endpoint_format(&e).text, "192.0.2.1:5");
        assert_int_equal(endpoint_len(&e), sizeof in);
        assert_int_equal(
                        endpoint_from_sockaddr((struct sockaddr *) &in, sizeof in - 1, &e),
                        -EAFNOSUPPORT);
        assert_int_equal(endpoint_from_sockaddr(&un, sizeof un, &e), -EAFNOSUPPORT);

        /* What the kernel leaves in flow information does not make another endpoint; a scope
         * does for link-local addresses only. */
        inet_pton(AF_INET6, "2001:db8::1", &in6.sin6_addr);
        in6.sin6_flowinfo = 7;
        in6.sin6_scope_id = 3;
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *) &in6, sizeof in6, &e), 0);
        assert_int_equal(endpoint_len(&e), sizeof in6);
        f = endpoint("[2001:db8::1]:6");
        assert_true(endpoint_equal(&e, &f));
        assert_memory_equal(&e, &f, sizeof e);
        inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr);
        assert_int_equal(endpoint_from_sockaddr((struct sockaddr *) &in6, sizeof in6, &e), 0);
        f = endpoint("[fe80::1]:6");
        assert_false(endpoint_equal(&e, &f));
}

static void test_among(void **state) {
        Endpoint list[2], e;

        assert_int_equal(endpoint_parse("203.0.113.5:1", 0, &list[0]), 0);
        assert_int_equal(endpoint_parse("203.0.113.5:2", 0, &list[1]), 0);
        e = list[1];
        assert_true(endpoint_is_among(&e, list, 2));
        assert_false(endpoint_is_among(&e, list, 1));
        assert_false(endpoint_is_among(&e, NULL, 0));
}

static void test_equal(void **state) {
        static const char *const texts[] = {
                "192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1", "[2001:db8::1]:1", "[2001:db8::1]:2",
        };

        for (unsigned i = 0; i < ELEMENTSOF(texts); i++)
                for (unsigned j = 0; j < ELEMENTSOF(texts); j++) {
                        Endpoint a = endpoint(texts[i]), b = endpoint(texts[j]);

                        assert_int_equal(endpoint_equal(&a, &b), i == j);
                        if (i == j)
                                assert_int_equal(endpoint_hash(&a), endpoint_hash(&b));
                        endpoint_set_port(&b, endpoint_port(&a));
                        assert_int_equal(endpoint_equal(&a, &b), endpoint_same_address(&a, &b));
                }
        assert_true(endpoint_equal(&(Endpoint){}, &(Endpoint){}));
}

static void test_relayed(void **state) {
        Endpoint a = endpoint("203.0.113.5:1"), b = a;

        /* A machine behind a relay is neither the relay nor the next behind it. */
        b.relay = 7;
        assert_true(endpoint_is_relayed(&b) && !endpoint_is_relayed(&a));
        assert_false(endpoint_equal(&a, &b));
        assert_false(endpoint_same_way(&a, &b));
        assert_int_not_equal(endpoint_hash(&a), endpoint_hash(&b));
        a.relay = 7;
        assert_true(endpoint_equal(&a, &b));
        assert_int_equal(endpoint_hash(&a), endpoint_hash(&b));
}

static void test_transport(void **state) {
        Endpoint a = endpoint("203.0.113.5:443"), b = a, six = endpoint("[2001:db8::1]:443");
        uint8_t buf[ENDPOINT_WIRE_MAX];

        assert_true(endpoint_is_plain(&a));
        b.transport = six.transport = ENDPOINT_TCP;
        assert_true(endpoint_is_stream(&b) && !endpoint_is_plain(&b) && !endpoint_is_relayed(&b));
        assert_string_equal(endpoint_format(&b).text, "tcp:203.0.113.5:443");
        assert_string_equal(endpoint_format(&six).text, "tcp:[2001:db8::1]:443");
        /* Another place than the same port of UDP, and than who connected from there. */
        assert_false(endpoint_equal(&a, &b));
        assert_int_not_equal(endpoint_hash(&a), endpoint_hash(&b));
        a.transport = ENDPOINT_TCP_ACCEPTED;
        assert_false(endpoint_equal(&a, &b));
        /* The wire does not say. */
        assert_int_equal(endpoint_encode(&b, buf), 7);
        assert_int_equal(endpoint_decode(buf, 7, &a), 0);
        assert_int_equal(a.transport, ENDPOINT_UDP);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),    cmocka_unit_test(test_wire),
                cmocka_unit_test(test_usable),  cmocka_unit_test(test_sockaddr),
                cmocka_unit_test(test_equal),   cmocka_unit_test(test_among),
                cmocka_unit_test(test_relayed), cmocka_unit_test(test_transport),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
