/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "core/wire/handshake-payload.h"
#include "wire-samples.h"

#define TIMESTAMP "01 4c 400000006700000012345678"
#define CERTIFICATE "58c4" SAMPLE_CERTIFICATE
#define BOOT_ID "08 48 0102030405060708"
#define SEEN "09 47 04cb0071054652"

#define INITIATION_MEMBER                                                                          \
        "a7" TIMESTAMP                                                                             \
        "02 00"                                                                                    \
        "03" CERTIFICATE "04" CERTIFICATE "07 03" BOOT_ID SEEN
#define INITIATION_INVITE                                                                          \
        "a7" TIMESTAMP                                                                             \
        "02 01"                                                                                    \
        "05 5820" HEX32("55") "06 50" HEX16("66") "07 01" BOOT_ID SEEN
#define INVITE_ID "06 50" HEX16("66")
#define INITIATION_UNSEEN                                                                          \
        "a6" TIMESTAMP                                                                             \
        "02 01"                                                                                    \
        "05 5820" HEX32("55") "06 50" HEX16("66") "07 01" BOOT_ID
#define RESPONSE "a4 03" CERTIFICATE "07 02" BOOT_ID SEEN

static HandshakePayload payload(const char *what, Record *certificate) {
        HandshakePayload p = {
                .timestamp = { 0x40, 0, 0, 0, 0x67, 0, 0, 0, 0x12, 0x34, 0x56, 0x78 },
                .boot_id = { 1, 2, 3, 4, 5, 6, 7, 8 },
                .ciphers = CIPHER_CHACHA20_POLY1305,
        };

        endpoint_parse("203.0.113.5:18002", 0, &p.seen);
        if (g_str_equal(what, "response")) {
                p.is_response = true;
                p.certificate = record_ref(certificate);
                p.ciphers = CIPHER_AES_256_GCM;
        } else if (g_str_equal(what, "member")) {
                p.certificate = record_ref(certificate);
                p.issuer_certificate = record_ref(certificate);
                p.ciphers |= CIPHER_AES_256_GCM;
        } else {
                memset(p.machine.bytes, 0x55, sizeof p.machine.bytes);
                p.purpose = PURPOSE_INVITE;
                memset(p.invite_id, 0x66, sizeof p.invite_id);
                if (g_str_equal(what, "unseen"))
                        p.seen = (Endpoint){};
        }
        return p;
}

static const struct {
        const char *what, *hex;
} samples[] = {
        { "member", INITIATION_MEMBER },
        { "invite", INITIATION_INVITE },
        { "unseen", INITIATION_UNSEEN },
        { "response", RESPONSE },
};

static void assert_payload(const HandshakePayload *a, const HandshakePayload *b) {
        assert_int_equal(a->is_response, b->is_response);
        assert_int_equal(a->purpose, b->purpose);
        if (!a->is_response)
                assert_memory_equal(a->timestamp, b->timestamp, TAI64N_SIZE);
        assert_int_equal(a->certificate != NULL, b->certificate != NULL);
        if (a->certificate)
                assert_memory_equal(a->certificate->hash, b->certificate->hash, 8);
        assert_int_equal(a->issuer_certificate != NULL, b->issuer_certificate != NULL);
        if (a->issuer_certificate)
                assert_memory_equal(a->issuer_certificate->hash, b->issuer_certificate->hash, 8);
        assert_true(machine_id_equal(&a->machine, &b->machine));
        assert_memory_equal(a->invite_id, b->invite_id, INVITE_ID_SIZE);
        assert_int_equal(a->ciphers, b->ciphers);
        assert_memory_equal(a->boot_id, b->boot_id, BOOT_ID_SIZE);
        assert_true(endpoint_equal(&a->seen, &b->seen));
}

static void test_golden(void **state) {
        g_autoptr(Record) certificate = sample_record(SAMPLE_CERTIFICATE);

        for (unsigned i = 0; i < ELEMENTSOF(samples); i++) {
                _cleanup_(handshake_payload_clear)
                                HandshakePayload p = payload(samples[i].what, certificate),
                                                 q = {};
                uint8_t buf[HANDSHAKE_PAYLOAD_MAX];
                g_autoptr(GBytes) bytes = NULL;
                int n = handshake_payload_encode(&p, 0, buf, sizeof buf);

                assert_true(n > 0);
                bytes = g_bytes_new(buf, (size_t) n);
                assert_hex(bytes, samples[i].hex);
                assert_int_equal(handshake_payload_decode(buf, (size_t) n, p.is_response, &q), 0);
                memset(buf, 0xee, sizeof buf);
                assert_payload(&q, &p);
                handshake_payload_clear(&q);
                assert_null(q.certificate);
        }
}

/* Every size that an initiation may be filled up to. */
static void test_padding(void **state) {
        const size_t max = HANDSHAKE_SIZE_MAX - INITIATION_OVERHEAD;
        g_autoptr(Record) certificate = sample_record(SAMPLE_CERTIFICATE);
        _cleanup_(handshake_payload_clear) HandshakePayload p = payload("unseen", certificate);
        uint8_t buf[HANDSHAKE_SIZE_MAX];
        int bare = handshake_payload_encode(&p, 0, buf, sizeof buf);

        for (size_t min = 0; min <= max; min++) {
                HandshakePayload q = {};
                int n;

                memset(buf, 0xee, sizeof buf);
                n = handshake_payload_encode(&p, min, buf, max);
                if (n == -ENOBUFS) {
                        /* No padding entry has the size that is missing. */
                        assert_int_equal(min, max);
                        continue;
                }
                assert_true(n >= (int) min);
                assert_true(n <= MAX((int) min, bare) + 1);
                assert_int_equal(buf[n], 0xee);
                assert_int_equal(buf[1], n > bare ? 0x00 : 0x01);
                assert_int_equal(handshake_payload_decode(buf, (size_t) n, false, &q), 0);
                assert_payload(&q, &p);
                handshake_payload_clear(&q);
        }
        /* Known points: 1 byte missing costs 2; the head grows at 24 and at 256 bytes. */
        assert_int_equal(handshake_payload_encode(&p, (size_t) bare + 1, buf, max), bare + 2);
        assert_int_equal(handshake_payload_encode(&p, (size_t) bare + 2, buf, max), bare + 2);
        assert_int_equal(handshake_payload_encode(&p, (size_t) bare + 25, buf, max), bare + 25);
        assert_int_equal(handshake_payload_encode(&p, (size_t) bare + 26, buf, max), bare + 27);
        assert_int_equal(handshake_payload_encode(&p, (size_t) bare + 258, buf, max), bare + 258);
        assert_int_equal(handshake_payload_encode(&p, (size_t) bare + 259, buf, max), bare + 260);
        assert_int_equal(
                        handshake_payload_encode(
                                        &p, INITIATION_SIZE_MIN - INITIATION_OVERHEAD, buf, max),
                        INITIATION_SIZE_MIN - INITIATION_OVERHEAD);
}

static void test_no_space(void **state) {
        g_autoptr(Record) certificate = sample_record(SAMPLE_CERTIFICATE);
        _cleanup_(handshake_payload_clear) HandshakePayload p = payload("member", certificate);
        uint8_t buf[HANDSHAKE_SIZE_MAX] = {};
        size_t n = (size_t) handshake_payload_encode(&p, 0, buf, sizeof buf);

        memset(buf, 0, sizeof buf);
        for (size_t size = 0; size < n; size++) {
                assert_int_equal(handshake_payload_encode(&p, 0, buf, size), -ENOBUFS);
                assert_int_equal(buf[0], 0);
        }
        assert_int_equal(handshake_payload_encode(&p, 0, buf, n), n);
        assert_int_equal(handshake_payload_encode(&p, n + 2, buf, n + 1), -ENOBUFS);
        assert_int_equal(handshake_payload_encode(&p, n + 2, buf, n + 2), n + 2);
}

static int decode(const uint8_t *buf, size_t len, bool is_response) {
        HandshakePayload p = { .ciphers = 99 };
        int r = handshake_payload_decode(buf, len, is_response, &p);

        if (r < 0)
                assert_int_equal(p.ciphers, 99); /* left alone */
        else
                handshake_payload_clear(&p);
        return r;
}
static int decode_initiation(const uint8_t *buf, size_t len) {
        return decode(buf, len, false);
}
static int decode_response(const uint8_t *buf, size_t len) {
        return decode(buf, len, true);
}

static void test_mangled(void **state) {
        static const MapCodec codecs[] = {
                { "member", decode_initiation, .optional = 1 << 4 | 1 << 9 },
                { "invite", decode_initiation, .optional = 1 << 9 },
                { "unseen", decode_initiation },
                { "response", decode_response, .optional = 1 << 9 },
        };

        for (unsigned i = 0; i < ELEMENTSOF(codecs); i++) {
                g_autoptr(GBytes) bytes = unhex(samples[i].hex);

                mangle_check(&codecs[i], bytes);
        }
}

static void test_values(void **state) {
        static const struct {
                bool is_response;
                int wanted;
                const char *what, *hex;
        } table[] = {
                { false, -EBADMSG, "purpose 2",
                  "a6" TIMESTAMP "02 02 05 5820" HEX32("55") INVITE_ID "07 01" BOOT_ID },
                { false, -EBADMSG, "member with an id only",
                  "a5" TIMESTAMP "02 00 05 5820" HEX32("55") "07 01" BOOT_ID },
                { false, -EBADMSG, "invite without its id",
                  "a5" TIMESTAMP "02 01 05 5820" HEX32("55") "07 01" BOOT_ID },
                { false, -EBADMSG, "no ChaCha20-Poly1305",
                  "a6" TIMESTAMP "02 01 05 5820" HEX32("55") INVITE_ID "07 02" BOOT_ID },
                { false, -EBADMSG, "no cipher",
                  "a6" TIMESTAMP "02 01 05 5820" HEX32("55") INVITE_ID "07 00" BOOT_ID },
                { false, 0, "ciphers of a later version",
                  "a6" TIMESTAMP "02 01 05 5820" HEX32("55") INVITE_ID "07 1a ffffffff" BOOT_ID },
                { false, 0, "padding is ignored",
                  "a7 00 43 ffffff" TIMESTAMP "02 01 05 5820" HEX32("55") INVITE_ID "07 01" BOOT_ID },
                { false, -EBADMSG, "a lease for a certificate",
                  "a5" TIMESTAMP "02 00 03 58b1" SAMPLE_LEASE "07 01" BOOT_ID },
                { false, -EBADMSG, "a lease for the issuer's",
                  "a6" TIMESTAMP "02 00 03" CERTIFICATE "04 58b1" SAMPLE_LEASE "07 01" BOOT_ID },
                { false, -EBADMSG, "timestamp of 11",
                  "a6 01 4b 4000000067000000123456 02 01 05 5820" HEX32("55") INVITE_ID
                  "07 01" BOOT_ID },
                { false, -EBADMSG, "unusable endpoint",
                  "a7" TIMESTAMP "02 01 05 5820" HEX32("55") INVITE_ID "07 01" BOOT_ID
                                                                       "09 47 04cb0071050000" },
                { true, 0, "ChaCha20-Poly1305 chosen", "a3 03" CERTIFICATE "07 01" BOOT_ID },
                { true, 0, "AES-256-GCM chosen", "a3 03" CERTIFICATE "07 02" BOOT_ID },
                { true, -EBADMSG, "both chosen", "a3 03" CERTIFICATE "07 03" BOOT_ID },
                { true, -EBADMSG, "none chosen", "a3 03" CERTIFICATE "07 00" BOOT_ID },
                { true, -EBADMSG, "an unknown one chosen", "a3 03" CERTIFICATE "07 04" BOOT_ID },
                { true, 0, "keys of an initiation are unknown in a response",
                  "a5 01 f6 02 18ff 03" CERTIFICATE "07 01" BOOT_ID },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(GBytes) bytes = unhex(table[i].hex);
                int r = decode(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                               table[i].is_response);

                if (r != table[i].wanted)
                        fail_msg("%s: %d", table[i].what, r);
        }
}

/* Nothing of what belongs to another purpose reaches the caller. */
static void test_meaningless_keys(void **state) {
        static const char *const hex[] = {
                "a7" TIMESTAMP "02 01 03" CERTIFICATE
                "05 5820" HEX32("55") "06 50" HEX16("66") "07 05" BOOT_ID,
                "a7" TIMESTAMP "02 00 03" CERTIFICATE
                "05 5820" HEX32("55") "06 50" HEX16("66") "07 05" BOOT_ID,
        };
        static const uint8_t zeros[INVITE_ID_SIZE];

        for (unsigned i = 0; i < ELEMENTSOF(hex); i++) {
                _cleanup_(handshake_payload_clear) HandshakePayload p = {};
                g_autoptr(GBytes) bytes = unhex(hex[i]);

                assert_int_equal(
                                handshake_payload_decode(
                                                g_bytes_get_data(bytes, NULL),
                                                g_bytes_get_size(bytes), false, &p),
                                0);
                assert_int_equal(p.certificate != NULL, i == 1);
                assert_int_equal(machine_id_is_null(&p.machine), i == 1);
                assert_int_equal(memcmp(p.invite_id, zeros, sizeof zeros) == 0, i == 1);
                assert_int_equal(p.ciphers, CIPHER_CHACHA20_POLY1305);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),   cmocka_unit_test(test_padding),
                cmocka_unit_test(test_no_space), cmocka_unit_test(test_mangled),
                cmocka_unit_test(test_values),   cmocka_unit_test(test_meaningless_keys),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
