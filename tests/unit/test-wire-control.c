/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "core/wire/control.h"
#include "wire-samples.h"

#define CERTIFICATE "58c4" SAMPLE_CERTIFICATE
#define LEASE "58b1" SAMPLE_LEASE
#define REVOCATION "5892" SAMPLE_REVOCATION
#define PRESENCE "590101" SAMPLE_PRESENCE

/* Decoders in the form of the mangler: each leaves its output alone when it refuses. */
#define DECODER(name, Type, clear)                                                                 \
        static int decode_##name(const uint8_t *buf, size_t len) {                                 \
                Type v, before;                                                                    \
                int r;                                                                             \
                                                                                                   \
                memset(&v, 0x5a, sizeof v);                                                        \
                before = v;                                                                        \
                r = name##_decode(buf, len, &v);                                                   \
                if (r < 0)                                                                         \
                        assert_memory_equal(&v, &before, sizeof v);                                \
                else                                                                               \
                        clear(&v);                                                                 \
                return r;                                                                          \
        }

static void clear_nothing(void *v) {
}
static int gossip_decode(const uint8_t *buf, size_t len, GossipMessage *ret) {
        return gossip_message_decode(buf, len, ret, NULL);
}
DECODER(enrol_request, EnrolRequest, clear_nothing)
DECODER(enrol_response, EnrolResponse, enrol_response_clear)
DECODER(cert_response, CertResponse, cert_response_clear)
DECODER(dhcp_request, DhcpRequest, clear_nothing)
DECODER(dhcp_response, DhcpResponse, dhcp_response_clear)
DECODER(tunnel_request, TunnelRequest, clear_nothing)
DECODER(path_message, PathMessage, clear_nothing)
DECODER(relay_message, RelayMessage, clear_nothing)
DECODER(relay_response, RelayResponse, clear_nothing)
DECODER(gossip, GossipMessage, gossip_message_clear)

/* Golden bytes, from docs/protocol.md, "Channels". */
#define ENROL_REQUEST "a3 01 64 616e6e61 02 64 416e6e61 03 5840" HEX64("77")
#define ENROL_RESPONSE_HEAD                                                                        \
        "01 00 02" CERTIFICATE "03" CERTIFICATE                                                    \
        "04 64 486f6d65 05 5820" HEX32("99") "06 44 0a000000 07 10 08 5820" HEX32("88")
#define ENROL_RESPONSE "a9" ENROL_RESPONSE_HEAD "09 82" LEASE REVOCATION
#define ENROL_PENDING_RESPONSE "a1 01 01"
#define CERT_RESPONSE "a2 01" CERTIFICATE "03" CERTIFICATE
#define DHCP_REQUEST_BODY "a3 01 01 02 44 0a000064 03 64 616e6e61"
#define DHCP_RESPONSE_BODY "a2 01" LEASE "02 44 0a000001"
#define PATH_MESSAGE                                                                               \
        "a2 01 01 02 83"                                                                           \
        "48 00 04 cb007105 4652"                         /* host 203.0.113.5:18002 */              \
        "54 02 06 20010db8000000000000000000000001 4652" /* seen [2001:db8::1]:18002 */            \
        "48 01 04 c0a80001 0001"                         /* mapped 192.168.0.1:1 */
#define TUNNEL_REQUEST "a2 01 01 02 67 7061636b657473"
#define RELAY_ALLOCATE_BODY "a2 01 01 02 5820" HEX32("44")
#define RELAY_ANNOUNCED_BODY "a3 01 02 02 5820" HEX32("44") "03 1a 01020304"
#define RELAY_UNKNOWN_BODY "a2 01 03 03 1a 01020304"
#define RELAY_RELEASE_BODY "a2 01 04 03 1a 01020304"
#define RELAY_RESPONSE_BODY "a1 01 1a ffffffff"
#define GOSSIP_HAVE_BODY                                                                           \
        "a3 01 02 02 5820 01" HEX16("00") HEX8("00")                                               \
                        HEX4("00") "0000 80 03 50 0807060504030201 ffffffffffffff7f"
#define GOSSIP_RECORDS_BODY "a2 01 03 02 83" CERTIFICATE LEASE PRESENCE
#define GOSSIP_WANT_BODY "a2 01 04 02 48 0807060504030201"
#define GOSSIP_DIGEST_BODY                                                                                         \
        "a3 01 01 02 590800 efcdab8967452301" HEX8("00") HEX16("00") HEX32("00") HEX64("00") HEX64("00") HEX64(    \
                        "00") HEX64("00") HEX64("00") HEX64("00") HEX64("00") HEX64("00") HEX64("00")              \
                        HEX64("00") HEX64("00") HEX64("00") HEX64("00") HEX64("00") HEX64("00") HEX64("00") HEX64( \
                                        "00") HEX64("00") HEX64("00") HEX64("00") HEX64("00") HEX64("00")          \
                                        HEX64("00") HEX64("00") HEX64("00") HEX64("00") HEX64("00") HEX64(         \
                                                        "00") HEX64("00") HEX64("00") HEX32("00") HEX16("00")      \
                                                        HEX8("00") "0200000000000000"                              \
                                                                   "03 590100 0300000000000000" HEX64(             \
                                                                                   "00") HEX64("00")               \
                                                                                   HEX64("00") HEX32("00")         \
                                                                                                   HEX16("00") "0400000000000000"

static void test_mangled(void **state) {
        static const struct {
                MapCodec codec;
                const char *hex;
        } table[] = {
                { { "enrol request", decode_enrol_request, .optional = 1 << 2 }, ENROL_REQUEST },
                { { "enrol response", decode_enrol_response, .optional = 1 << 3 | 1 << 9 },
                  ENROL_RESPONSE },
                { { "enrol pending", decode_enrol_response }, ENROL_PENDING_RESPONSE },
                { { "cert response", decode_cert_response, .optional = 1 << 3 }, CERT_RESPONSE },
                { { "dhcp request", decode_dhcp_request, .optional = 1 << 2 | 1 << 3 },
                  DHCP_REQUEST_BODY },
                { { "dhcp response", decode_dhcp_response, .optional = 1 << 1 }, DHCP_RESPONSE_BODY },
                { { "tunnel request", decode_tunnel_request }, TUNNEL_REQUEST },
                { { "path message", decode_path_message }, PATH_MESSAGE },
                { { "relay allocate", decode_relay_message }, RELAY_ALLOCATE_BODY },
                { { "relay announced", decode_relay_message }, RELAY_ANNOUNCED_BODY },
                { { "relay unknown", decode_relay_message }, RELAY_UNKNOWN_BODY },
                { { "relay release", decode_relay_message }, RELAY_RELEASE_BODY },
                { { "relay response", decode_relay_response }, RELAY_RESPONSE_BODY },
                { { "gossip digest", decode_gossip }, GOSSIP_DIGEST_BODY },
                { { "gossip have", decode_gossip }, GOSSIP_HAVE_BODY },
                { { "gossip records", decode_gossip }, GOSSIP_RECORDS_BODY },
                { { "gossip want", decode_gossip }, GOSSIP_WANT_BODY },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(GBytes) bytes = unhex(table[i].hex);

                mangle_check(&table[i].codec, bytes);
        }
}

#define DECODE(name, bytes, ret)                                                                   \
        assert_int_equal(name##_decode(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), ret), 0)

static void test_enrol(void **state) {
        g_autoptr(Record) certificate = sample_record(SAMPLE_CERTIFICATE);
        EnrolRequest request = { .name = "anna", .owner = "Anna" }, request_got;
        EnrolResponse response = { .certificate = record_ref(certificate),
                                   .issuer_certificate = record_ref(certificate),
                                   .network_name = "Home" };
        EnrolResponse got = {}, pending = { .status = ENROL_PENDING };
        g_autoptr(GBytes) a = NULL, b = NULL, c = NULL, d = NULL;

        memset(request.signature, 0x77, sizeof request.signature);
        a = enrol_request_encode(&request);
        assert_hex(a, ENROL_REQUEST);
        DECODE(enrol_request, a, &request_got);
        assert_string_equal(request_got.name, "anna");
        assert_string_equal(request_got.owner, "Anna");
        assert_memory_equal(request_got.signature, request.signature, 64);

        memset(response.secret, 0x99, sizeof response.secret);
        memset(response.gateway.bytes, 0x88, sizeof response.gateway.bytes);
        assert_int_equal(ip_prefix_parse("10.0.0.0/16", &response.subnet), 0);
        response.records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
        g_ptr_array_add(response.records, sample_record(SAMPLE_LEASE));
        g_ptr_array_add(response.records, sample_record(SAMPLE_REVOCATION));
        b = enrol_response_encode(&response);
        assert_hex(b, ENROL_RESPONSE);
        DECODE(enrol_response, b, &got);
        assert_int_equal(got.status, ENROL_WELCOME);
        assert_memory_equal(got.certificate->hash, certificate->hash, 8);
        assert_memory_equal(got.issuer_certificate->hash, certificate->hash, 8);
        assert_string_equal(got.network_name, "Home");
        assert_memory_equal(got.secret, response.secret, sizeof got.secret);
        assert_string_equal(ip_prefix_format(&got.subnet).text, "10.0.0.0/16");
        assert_true(machine_id_equal(&got.gateway, &response.gateway));
        assert_int_equal(got.records->len, 2);
        assert_int_equal(((Record *) got.records->pdata[1])->body.kind, RECORD_REVOCATION);
        enrol_response_clear(&got);
        assert_int_equal(got.secret[0], 0);
        assert_null(got.records);

        /* Signed by the root, nothing known. */
        g_clear_pointer(&response.issuer_certificate, record_unref);
        g_clear_pointer(&response.records, g_ptr_array_unref);
        c = enrol_response_encode(&response);
        DECODE(enrol_response, c, &got);
        assert_null(got.issuer_certificate);
        assert_null(got.records);
        enrol_response_clear(&got);
        enrol_response_clear(&response);

        d = enrol_response_encode(&pending);
        assert_hex(d, ENROL_PENDING_RESPONSE);
        DECODE(enrol_response, d, &got);
        assert_int_equal(got.status, ENROL_PENDING);
        enrol_response_clear(&got);
}

static void test_cert(void **state) {
        g_autoptr(Record) certificate = sample_record(SAMPLE_CERTIFICATE);
        CertResponse response = { .certificate = certificate, .issuer_certificate = certificate };
        CertResponse got = {};
        g_autoptr(GBytes) bytes = cert_response_encode(&response), root = NULL;

        assert_hex(bytes, CERT_RESPONSE);
        DECODE(cert_response, bytes, &got);
        assert_memory_equal(got.certificate->hash, certificate->hash, 8);
        assert_memory_equal(got.issuer_certificate->hash, certificate->hash, 8);
        cert_response_clear(&got);
        response.issuer_certificate = NULL;
        root = cert_response_encode(&response);
        assert_hex(root, "a1 01" CERTIFICATE);
        DECODE(cert_response, root, &got);
        assert_null(got.issuer_certificate);
        cert_response_clear(&got);
}

static void test_dhcp(void **state) {
        g_autoptr(Record) lease = sample_record(SAMPLE_LEASE);
        DhcpRequest request = { .op = DHCP_REQUEST, .wanted = ip_from_v4(0x0a000064), .name = "anna" };
        DhcpRequest release = { .op = DHCP_RELEASE }, got;
        DhcpResponse response = { .lease = lease, .gateway = ip_from_v4(0x0a000001) };
        DhcpResponse nothing = {}, response_got = {};
        g_autoptr(GBytes) a = dhcp_request_encode(&request), b = dhcp_request_encode(&release);
        g_autoptr(GBytes) c = dhcp_response_encode(&response), d = dhcp_response_encode(&nothing);

        assert_hex(a, DHCP_REQUEST_BODY);
        DECODE(dhcp_request, a, &got);
        assert_int_equal(got.op, DHCP_REQUEST);
        assert_true(ip_equal(&got.wanted, &request.wanted));
        assert_string_equal(got.name, "anna");
        assert_hex(b, "a1 01 02");
        DECODE(dhcp_request, b, &got);
        assert_int_equal(got.op, DHCP_RELEASE);
        assert_false(ip_is_set(&got.wanted));
        assert_string_equal(got.name, "");

        assert_hex(c, DHCP_RESPONSE_BODY);
        DECODE(dhcp_response, c, &response_got);
        assert_memory_equal(response_got.lease->hash, lease->hash, 8);
        assert_true(ip_equal(&response_got.gateway, &response.gateway));
        dhcp_response_clear(&response_got);
        assert_hex(d, "a0");
        DECODE(dhcp_response, d, &response_got);
        assert_null(response_got.lease);
        assert_false(ip_is_set(&response_got.gateway));
}

static void test_tunnel(void **state) {
        TunnelRequest request = { .op = TUNNEL_OPEN, .channel = "packets" }, got;
        g_autoptr(GBytes) bytes = tunnel_request_encode(&request);

        assert_hex(bytes, TUNNEL_REQUEST);
        DECODE(tunnel_request, bytes, &got);
        assert_int_equal(got.op, TUNNEL_OPEN);
        assert_string_equal(got.channel, "packets");
}

static void test_path(void **state) {
        PathMessage m = { .op = PATH_CALL }, got;
        g_autoptr(GBytes) bytes = NULL;
        Endpoint e;

        assert_int_equal(endpoint_parse("203.0.113.5:18002", 1, &e), 0);
        assert_true(path_message_add(&m, PATH_CANDIDATE_HOST, &e));
        assert_false(path_message_add(&m, PATH_CANDIDATE_SEEN, &e));
        assert_int_equal(endpoint_parse("[2001:db8::1]:18002", 1, &e), 0);
        assert_true(path_message_add(&m, PATH_CANDIDATE_SEEN, &e));
        assert_int_equal(endpoint_parse("192.168.0.1:1", 1, &e), 0);
        assert_true(path_message_add(&m, PATH_CANDIDATE_MAPPED, &e));
        bytes = path_message_encode(&m);
        assert_hex(bytes, PATH_MESSAGE);
        DECODE(path_message, bytes, &got);
        assert_int_equal(got.op, PATH_CALL);
        assert_int_equal(got.n, 3);
        assert_int_equal(got.candidates[1].kind, PATH_CANDIDATE_SEEN);
        assert_true(endpoint_equal(&got.candidates[2].endpoint, &e));
        assert_int_equal(got.translation, PATH_TRANSLATION_UNKNOWN);
        assert_false(endpoint_is_set(&got.last));
        /* Six of a kind, whoever says more. */
        for (unsigned i = 0; i < 20; i++) {
                endpoint_set_port(&e, (uint16_t) (2 + i));
                assert_true(path_message_add(&m, PATH_CANDIDATE_MAPPED, &e) ==
                            (i + 1 < PATH_CANDIDATES_PER_KIND_MAX));
        }
}

static void test_path_translation(void **state) {
        PathMessage m = { .op = PATH_ANSWER, .translation = PATH_TRANSLATION_PREDICTABLE, .step = -2 },
                    got;
        g_autoptr(GBytes) bytes = NULL;

        assert_int_equal(endpoint_parse("203.0.113.5:40000", 1, &m.last), 0);
        bytes = path_message_encode(&m);
        assert_hex(bytes, "a5 01 02 02 80 03 03 04 19 fffe 05 47 04 cb007105 9c40");
        DECODE(path_message, bytes, &got);
        assert_int_equal(got.translation, PATH_TRANSLATION_PREDICTABLE);
        assert_int_equal(got.step, -2);
        assert_true(endpoint_equal(&got.last, &m.last));
}

static void assert_relay_message(const RelayMessage *m, const char *hex) {
        g_autoptr(GBytes) bytes = relay_message_encode(m);
        RelayMessage got;

        assert_hex(bytes, hex);
        DECODE(relay_message, bytes, &got);
        assert_int_equal(got.op, m->op);
        assert_memory_equal(&got.machine, &m->machine, sizeof m->machine);
        assert_int_equal(got.allocation, m->allocation);
}

static void test_relay(void **state) {
        RelayMessage m = { .op = RELAY_ALLOCATE }, got;
        RelayResponse response = { .allocation = UINT32_MAX }, response_got;
        g_autoptr(GBytes) first = NULL, answer = relay_response_encode(&response);

        memset(m.machine.bytes, 0x44, sizeof m.machine.bytes);
        assert_relay_message(&m, RELAY_ALLOCATE_BODY);
        m.op = RELAY_ANNOUNCED;
        m.allocation = 0x01020304;
        assert_relay_message(&m, RELAY_ANNOUNCED_BODY);
        m.machine = (MachineId){};
        m.op = RELAY_UNKNOWN;
        assert_relay_message(&m, RELAY_UNKNOWN_BODY);
        m.op = RELAY_RELEASE;
        assert_relay_message(&m, RELAY_RELEASE_BODY);
        assert_hex(answer, RELAY_RESPONSE_BODY);
        DECODE(relay_response, answer, &response_got);
        assert_int_equal(response_got.allocation, UINT32_MAX);

        m = (RelayMessage){ .op = RELAY_ALLOCATE, .first_len = HANDSHAKE_SIZE_MAX };
        memset(m.first, 0x5a, sizeof m.first);
        m.first[0] = MESSAGE_HANDSHAKE_INITIATION;
        first = relay_message_encode(&m);
        DECODE(relay_message, first, &got);
        assert_int_equal(got.first_len, HANDSHAKE_SIZE_MAX);
        assert_memory_equal(got.first, m.first, HANDSHAKE_SIZE_MAX);
}

/* What a relay passes on for an allocation is an initiation and nothing else. */
static void test_relay_first(void **state) {
        static const struct {
                size_t len;
                uint8_t type;
                bool taken;
        } table[] = {
                { INITIATION_SIZE_MIN, MESSAGE_HANDSHAKE_INITIATION, true },
                { INITIATION_SIZE_MIN - 1, MESSAGE_HANDSHAKE_INITIATION, false },
                { INITIATION_SIZE_MIN, MESSAGE_HANDSHAKE_RESPONSE, false },
                { INITIATION_SIZE_MIN, MESSAGE_RELAYED, false },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                RelayMessage m = { .op = RELAY_ALLOCATE, .first_len = table[i].len }, got;
                g_autoptr(GBytes) bytes = NULL;

                m.first[0] = table[i].type;
                bytes = relay_message_encode(&m);
                assert_int_equal(
                                relay_message_decode(
                                                g_bytes_get_data(bytes, NULL),
                                                g_bytes_get_size(bytes), &got),
                                table[i].taken ? 0 : -EBADMSG);
        }
}

static GArray *hashes(unsigned n, const uint64_t *values) {
        GArray *a = g_array_new(FALSE, FALSE, sizeof(uint64_t));

        g_array_append_vals(a, values, n);
        return a;
}

static void test_gossip(void **state) {
        static const uint64_t some[] = { 0x0102030405060708, 0x7fffffffffffffff };
        GossipMessage m = { .op = GOSSIP_DIGEST }, got;
        g_autoptr(GBytes) digest = NULL, have = NULL, records = NULL, want = NULL;

        m.digest[0] = 0x0123456789abcdef;
        m.digest[255] = 2;
        m.revocations[0] = 3;
        m.revocations[31] = 4;
        digest = gossip_message_encode(&m);
        assert_hex(digest, GOSSIP_DIGEST_BODY);
        DECODE(gossip, digest, &got);
        assert_int_equal(got.op, GOSSIP_DIGEST);
        assert_memory_equal(got.digest, m.digest, sizeof m.digest);
        assert_memory_equal(got.revocations, m.revocations, sizeof m.revocations);
        gossip_message_clear(&got);

        m = (GossipMessage){ .op = GOSSIP_HAVE, .hashes = hashes(2, some) };
        m.buckets[0] = 1;     /* bucket 0 */
        m.buckets[31] = 0x80; /* bucket 255 */
        have = gossip_message_encode(&m);
        assert_hex(have, GOSSIP_HAVE_BODY);
        DECODE(gossip, have, &got);
        assert_memory_equal(got.buckets, m.buckets, sizeof m.buckets);
        assert_int_equal(got.hashes->len, 2);
        assert_true(g_array_index(got.hashes, uint64_t, 0) == some[0]);
        assert_true(g_array_index(got.hashes, uint64_t, 1) == some[1]);
        gossip_message_clear(&got);
        gossip_message_clear(&m);
        assert_null(m.hashes);

        m = (GossipMessage){ .op = GOSSIP_WANT, .hashes = hashes(1, some) };
        want = gossip_message_encode(&m);
        assert_hex(want, GOSSIP_WANT_BODY);
        DECODE(gossip, want, &got);
        assert_int_equal(got.hashes->len, 1);
        gossip_message_clear(&got);
        gossip_message_clear(&m);

        m = (GossipMessage){ .op = GOSSIP_RECORDS };
        m.records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
        g_ptr_array_add(m.records, sample_record(SAMPLE_CERTIFICATE));
        g_ptr_array_add(m.records, sample_record(SAMPLE_LEASE));
        g_ptr_array_add(m.records, sample_record(SAMPLE_PRESENCE));
        records = gossip_message_encode(&m);
        assert_hex(records, GOSSIP_RECORDS_BODY);
        DECODE(gossip, records, &got);
        assert_int_equal(got.records->len, 3);
        for (unsigned i = 0; i < 3; i++)
                assert_memory_equal(
                                ((Record *) got.records->pdata[i])->hash,
                                ((Record *) m.records->pdata[i])->hash, 8);
        gossip_message_clear(&got);
        gossip_message_clear(&m);
}

/* None of anything is not nothing: the keys are there. */
static void test_gossip_empty(void **state) {
        static const char *const hex[] = {
                [GOSSIP_HAVE] = "a3 01 02 02 5820" HEX32("00") "03 40",
                [GOSSIP_RECORDS] = "a2 01 03 02 80",
                [GOSSIP_WANT] = "a2 01 04 02 40",
        };

        for (GossipOp op = GOSSIP_HAVE; op < _GOSSIP_OP_MAX; op++) {
                GossipMessage m = { .op = op }, got = {};
                g_autoptr(GBytes) bytes = gossip_message_encode(&m);

                assert_hex(bytes, hex[op]);
                DECODE(gossip, bytes, &got);
                assert_int_equal(got.op, op);
                assert_int_equal(got.hashes != NULL, op != GOSSIP_RECORDS);
                assert_int_equal(got.records != NULL, op == GOSSIP_RECORDS);
                gossip_message_clear(&got);
        }
}

/* Records that do not decode are left out and counted; the others are taken. */
static void test_bad_records(void **state) {
        g_autoptr(GBytes) bytes =
                        unhex("a2 01 03 02 85" LEASE
                              "40 4100"
                              "5892 84 05 582a" SAMPLE_REVOCATION_BODY SAMPLE_FRAME_END CERTIFICATE);
        g_autoptr(GBytes) not_bytes = unhex("a2 01 03 02 82" LEASE "00");
        g_autoptr(GBytes) welcome = unhex("a9" ENROL_RESPONSE_HEAD "09 83 4100" LEASE "40");
        GossipMessage got = {};
        EnrolResponse response = {};
        unsigned bad = 99;

        assert_int_equal(
                        gossip_message_decode(
                                        g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                                        &got, &bad),
                        0);
        assert_int_equal(bad, 3);
        assert_int_equal(got.records->len, 2);
        gossip_message_clear(&got);
        bad = 99;
        assert_int_equal(
                        gossip_message_decode(
                                        g_bytes_get_data(not_bytes, NULL),
                                        g_bytes_get_size(not_bytes), &got, &bad),
                        -EBADMSG);
        assert_int_equal(bad, 99);
        DECODE(enrol_response, welcome, &response);
        assert_int_equal(response.records->len, 1);
        enrol_response_clear(&response);
}

static void test_values(void **state) {
        static const struct {
                int (*decode)(const uint8_t *buf, size_t len);
                int wanted;
                const char *what, *hex;
        } table[] = {
                { decode_enrol_request, -EBADMSG, "name that is no label",
                  "a2 01 63 612062 03 5840" HEX64("77") },
                { decode_enrol_request, -EBADMSG, "empty name", "a2 01 60 03 5840" HEX64("77") },
                { decode_enrol_request, 0, "owner of 64",
                  "a3 01 6161 02 7840" HEX64("6f") "03 5840" HEX64("77") },
                { decode_enrol_request, -EBADMSG, "owner of 65",
                  "a3 01 6161 02 7841" HEX64("6f") "6f 03 5840" HEX64("77") },
                { decode_enrol_response, -EBADMSG, "status 2", "a1 01 02" },
                { decode_enrol_response, -EBADMSG, "welcome and no more", "a1 01 00" },
                { decode_enrol_response, 0, "waiting, with more", "a2 01 01 04 61 41" },
                { decode_enrol_response, 0, "waiting, with a certificate", "a2 01 01 02" CERTIFICATE },
                { decode_enrol_response, -EBADMSG, "a lease for the certificate",
                  "a7 01 00 02" LEASE
                  "04 6141 05 5820" HEX32("99") "06 44 0a000000 07 10 08 5820" HEX32("88") },
                { decode_enrol_response, -EBADMSG, "host bits in the subnet",
                  "a7 01 00 02" CERTIFICATE
                  "04 6141 05 5820" HEX32("99") "06 44 0a000100 07 10 08 5820" HEX32("88") },
                { decode_enrol_response, -EBADMSG, "/33",
                  "a7 01 00 02" CERTIFICATE
                  "04 6141 05 5820" HEX32("99") "06 44 0a000000 07 1821 08 5820" HEX32("88") },
                { decode_enrol_response, 0, "/0",
                  "a7 01 00 02" CERTIFICATE
                  "04 6141 05 5820" HEX32("99") "06 44 00000000 07 00 08 5820" HEX32("88") },
                { decode_enrol_response, 0, "/32",
                  "a7 01 00 02" CERTIFICATE
                  "04 6141 05 5820" HEX32("99") "06 44 0a000001 07 1820 08 5820" HEX32("88") },
                { decode_cert_response, -EBADMSG, "a lease", "a1 01" LEASE },
                { decode_dhcp_request, -EBADMSG, "operation 0", "a1 01 00" },
                { decode_dhcp_request, -EBADMSG, "operation 3", "a1 01 03" },
                { decode_dhcp_request, -EBADMSG, "IPv6 wanted", "a2 01 01 02 50" HEX16("fd") },
                { decode_dhcp_response, -EBADMSG, "a certificate",
                  "a2 01" CERTIFICATE "02 44 0a000001" },
                { decode_dhcp_response, -EBADMSG, "a lease without gateway", "a1 01" LEASE },
                { decode_tunnel_request, -EBADMSG, "operation 0", "a2 01 00 02 6161" },
                { decode_path_message, -EBADMSG, "operation 0", "a2 01 00 02 80" },
                { decode_path_message, -EBADMSG, "operation 3", "a2 01 03 02 80" },
                { decode_path_message, 0, "none", "a2 01 02 02 80" },
                { decode_path_message, 0, "a kind not known", "a2 01 02 02 81 43 09 0102" },
                { decode_path_message, -EBADMSG, "empty", "a2 01 02 02 81 40" },
                { decode_path_message, -EBADMSG, "no endpoint", "a2 01 02 02 81 41 00" },
                { decode_path_message, -EBADMSG, "port 0", "a2 01 02 02 81 48 00 04 cb007105 0000" },
                { decode_path_message, -EBADMSG, "text", "a2 01 02 02 81 61 61" },
                { decode_path_message, 0, "a translation not known", "a3 01 02 02 80 03 18 2a" },
                { decode_path_message, -EBADMSG, "translation, text", "a3 01 02 02 80 03 61 61" },
                { decode_path_message, -EBADMSG, "a step alone", "a3 01 02 02 80 04 01" },
                { decode_path_message, -EBADMSG, "a last one alone",
                  "a3 01 02 02 80 05 47 04 cb007105 9c40" },
                { decode_path_message, -EBADMSG, "step 0",
                  "a4 01 02 02 80 04 00 05 47 04 cb007105 9c40" },
                { decode_path_message, -EBADMSG, "step 65536",
                  "a4 01 02 02 80 04 1a 00010000 05 47 04 cb007105 9c40" },
                { decode_path_message, -EBADMSG, "last at port 0",
                  "a4 01 02 02 80 04 01 05 47 04 cb007105 0000" },
                { decode_tunnel_request, -EBADMSG, "operation 3", "a2 01 03 02 6161" },
                { decode_tunnel_request, -EBADMSG, "empty channel", "a2 01 01 02 60" },
                { decode_tunnel_request, -EBADMSG, "no channel", "a2 01 01 02 61 2f" },
                { decode_tunnel_request, 0, "channel of 64", "a2 01 02 02 7840" HEX64("61") },
                { decode_tunnel_request, -EBADMSG, "channel of 65",
                  "a2 01 01 02 7841" HEX64("61") "61" },
                { decode_relay_message, -EBADMSG, "operation 0", "a2 01 00 03 01" },
                { decode_relay_message, -EBADMSG, "operation 5", "a2 01 05 03 01" },
                { decode_relay_message, -EBADMSG, "allocation 0", "a2 01 04 03 00" },
                { decode_relay_message, -EBADMSG, "allocation of 33 bits",
                  "a2 01 04 03 1b 0000000100000000" },
                { decode_relay_message, -EBADMSG, "announced without a machine", "a2 01 02 03 01" },
                { decode_relay_message, -EBADMSG, "an empty first one",
                  "a3 01 01 02 5820" HEX32("44") "04 40" },
                { decode_relay_response, -EBADMSG, "allocation 0 given", "a1 01 00" },
                { decode_gossip, -EBADMSG, "operation 0", "a2 01 00 02 40" },
                { decode_gossip, -EBADMSG, "operation 5", "a2 01 05 02 40" },
                { decode_gossip, -EBADMSG, "digest of 8", "a2 01 01 02 48" HEX8("00") },
                { decode_gossip, -EBADMSG, "bitmap of 31",
                  "a3 01 02 02 581f" HEX16("00") HEX8("00") HEX4("00") "000000 03 40" },
                { decode_gossip, -EBADMSG, "half a hash", "a2 01 04 02 44 01020304" },
                { decode_gossip, -EBADMSG, "a hash and a half",
                  "a3 01 02 02 5820" HEX32("00") "03 4c" HEX8("01") HEX4("01") },
                { decode_gossip, 0, "the operation last", "a2 02 48 0807060504030201 01 04" },
                { decode_gossip, 0, "hashes without meaning", "a3 01 04 02 40 03 60" },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                MapCodec codec = { table[i].what, table[i].decode };
                g_autoptr(GBytes) bytes = unhex(table[i].hex);
                int r = mangle_decode(&codec, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));

                if (r != table[i].wanted)
                        fail_msg("%s: %d", table[i].what, r);
        }
}

/* Waiting for approval, nothing else is told, whatever the answer had. */
static void test_pending_is_bare(void **state) {
        g_autoptr(GBytes) bytes = unhex("aa" ENROL_RESPONSE_HEAD "09 81" LEASE "0a 00");
        g_autofree uint8_t *data = g_memdup2(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
        EnrolResponse got = {};

        data[2] = ENROL_PENDING;
        assert_int_equal(enrol_response_decode(data, g_bytes_get_size(bytes), &got), 0);
        assert_int_equal(got.status, ENROL_PENDING);
        assert_null(got.certificate);
        assert_null(got.issuer_certificate);
        assert_null(got.records);
        assert_int_equal(got.secret[0], 0);
}

/* The most that fits into a message, and one more. */
static void test_size(void **state) {
        unsigned max = (CONTROL_PAYLOAD_MAX - 7) / 8; /* map, two keys, operation, head of 3 */
        g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify) record_unref);
        g_autoptr(GArray) array = g_array_new(FALSE, TRUE, sizeof(uint64_t));
        GossipMessage m = { .op = GOSSIP_WANT, .hashes = array }, got = {};
        g_autoptr(GBytes) bytes = NULL;

        g_array_set_size(array, max);
        bytes = gossip_message_encode(&m);
        assert_non_null(bytes);
        DECODE(gossip, bytes, &got);
        assert_int_equal(got.hashes->len, max);
        gossip_message_clear(&got);
        g_array_set_size(array, max + 1);
        assert_null(gossip_message_encode(&m));

        /* Records: 177 bytes of lease and a head of 2. */
        m = (GossipMessage){ .op = GOSSIP_RECORDS, .records = records };
        max = (CONTROL_PAYLOAD_MAX - 7) / 179;
        for (unsigned i = 0; i < max; i++)
                g_ptr_array_add(records, sample_record(SAMPLE_LEASE));
        g_bytes_unref(bytes);
        bytes = gossip_message_encode(&m);
        assert_non_null(bytes);
        DECODE(gossip, bytes, &got);
        assert_int_equal(got.records->len, max);
        gossip_message_clear(&got);
        g_ptr_array_add(records, sample_record(SAMPLE_LEASE));
        assert_null(gossip_message_encode(&m));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_mangled),
                cmocka_unit_test(test_enrol),
                cmocka_unit_test(test_cert),
                cmocka_unit_test(test_dhcp),
                cmocka_unit_test(test_tunnel),
                cmocka_unit_test(test_path),
                cmocka_unit_test(test_path_translation),
                cmocka_unit_test(test_relay),
                cmocka_unit_test(test_relay_first),
                cmocka_unit_test(test_gossip),
                cmocka_unit_test(test_gossip_empty),
                cmocka_unit_test(test_bad_records),
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_pending_is_bare),
                cmocka_unit_test(test_size),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
