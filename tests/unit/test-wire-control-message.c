/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "cbor-mangle.h"
#include "core/wire/control.h"

static int decode(const uint8_t *buf, size_t len) {
        ControlMessage m = { .request_id = 99 };
        int r = control_message_decode(buf, len, &m);

        if (r < 0)
                assert_int_equal(m.request_id, 99);
        return r;
}
static const MapCodec codec = { "message", decode };

/* docs/protocol.md, "Messages". */
static const struct {
        MessageKind kind;
        uint32_t request_id;
        const char *channel, *payload, *hex;
} samples[] = {
        { CONTROL_DATA, 0, "gossip", "xyz", "00 00000000 06 676f73736970 78797a" },
        { CONTROL_DATA, 0, "a", "", "00 00000000 01 61" },
        { CONTROL_REQUEST, 0x12345678, "tunnel:packets", "\x01\x02",
          "01 78563412 0e 74756e6e656c3a7061636b657473 0102" },
        { CONTROL_RESPONSE, 1, "", "\xa0", "02 01000000 00 a0" },
        { CONTROL_RESPONSE, UINT32_MAX, "", "", "02 ffffffff 00" },
        { CONTROL_ERROR, 7, "", "NotPermitted", "03 07000000 00 4e6f745065726d6974746564" },
};

static void test_golden(void **state) {
        for (unsigned i = 0; i < ELEMENTSOF(samples); i++) {
                ControlMessage m = {
                        .kind = samples[i].kind,
                        .request_id = samples[i].request_id,
                        .payload = (const uint8_t *) samples[i].payload,
                        .payload_len = strlen(samples[i].payload),
                };
                g_autoptr(GBytes) bytes = NULL;
                ControlMessage got;

                strcpy(m.channel, samples[i].channel);
                bytes = control_message_encode(&m);
                assert_hex(bytes, samples[i].hex);
                assert_int_equal(
                                control_message_decode(
                                                g_bytes_get_data(bytes, NULL),
                                                g_bytes_get_size(bytes), &got),
                                0);
                assert_int_equal(got.kind, m.kind);
                assert_int_equal(got.request_id, m.request_id);
                assert_string_equal(got.channel, m.channel);
                assert_int_equal(got.payload_len, m.payload_len);
                assert_memory_equal(got.payload, m.payload, m.payload_len);
        }
}

static void test_refusals(void **state) {
        static const struct {
                int wanted;
                const char *what, *hex;
        } table[] = {
                { -EBADMSG, "kind 4", "04 00000000 01 61" },
                { -EBADMSG, "kind 255", "ff 00000000 00" },
                { -EBADMSG, "data with a request id", "00 01000000 01 61" },
                { -EBADMSG, "data without a channel", "00 00000000 00 61" },
                { -EBADMSG, "request without a channel", "01 01000000 00 61" },
                { -EBADMSG, "response with a channel", "02 01000000 01 61" },
                { -EBADMSG, "error with a channel", "03 01000000 01 61 46" },
                /* An answer all the same; what it says is judged by wire_error_from_name(). */
                { 0, "error without a name", "03 01000000 00" },
                { 0, "error that is not UTF-8", "03 01000000 00 ff" },
                { 0, "error with an escape", "03 01000000 00 461b" },
                { -EBADMSG, "cut in the channel", "01 01000000 03 6162" },
                { -EBADMSG, "foreign character", "01 01000000 03 61 2f 62" },
                { -EBADMSG, "NUL in the channel", "01 01000000 03 61 00 62" },
                { -EBADMSG, "NUL at the end of the channel", "01 01000000 02 61 00" },
                { -EBADMSG, "only a NUL", "02 01000000 01 00" },
                { -EBADMSG, "not ASCII", "01 01000000 02 c3a4" },
                { 0, "channel of 64", "01 01000000 40" HEX64("61") },
                { -EBADMSG, "channel of 65", "01 01000000 41" HEX64("61") "61" },
                { -EBADMSG, "channel of 255",
                  "01 01000000 ff" HEX64("61") HEX64("61") HEX64("61") HEX64("61") },
                { -EBADMSG, "nothing", "" },
                { -EBADMSG, "five bytes", "02 01000000" },
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                g_autoptr(GBytes) bytes = unhex(table[i].hex);
                size_t len;
                const uint8_t *data = g_bytes_get_data(bytes, &len);
                int r = mangle_decode(&codec, data ?: (const uint8_t *) "", len);

                if (r != table[i].wanted)
                        fail_msg("%s: %d", table[i].what, r);
        }
}

/* 64 KiB make a message, its header included. */
static void test_size(void **state) {
        g_autofree uint8_t *payload = g_malloc0(CONTROL_MESSAGE_MAX + 1);
        ControlMessage m = { .kind = CONTROL_DATA, .channel = "abc", .payload = payload }, got;
        g_autoptr(GBytes) bytes = NULL;

        m.payload_len = CONTROL_MESSAGE_MAX - 9;
        bytes = control_message_encode(&m);
        assert_non_null(bytes);
        assert_int_equal(g_bytes_get_size(bytes), CONTROL_MESSAGE_MAX);
        assert_int_equal(
                        control_message_decode(
                                        g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &got),
                        0);
        assert_int_equal(got.payload_len, m.payload_len);
        m.payload_len++;
        assert_null(control_message_encode(&m));
        m.payload_len = SIZE_MAX;
        assert_null(control_message_encode(&m));
        memcpy(payload, "\x02\x01\0\0\0\0", 6);
        assert_int_equal(control_message_decode(payload, CONTROL_MESSAGE_MAX, &got), 0);
        assert_int_equal(control_message_decode(payload, CONTROL_MESSAGE_MAX + 1, &got), -EBADMSG);
}

static void test_encode_refuses(void **state) {
        ControlMessage m = { .kind = CONTROL_DATA };

        assert_null(control_message_encode(&m));
        strcpy(m.channel, "a b");
        assert_null(control_message_encode(&m));
        strcpy(m.channel, "ab");
        m.request_id = 1;
        assert_null(control_message_encode(&m));
        m.kind = CONTROL_RESPONSE;
        assert_null(control_message_encode(&m));
        m.kind = (MessageKind) 4;
        assert_null(control_message_encode(&m));
        m = (ControlMessage){ .kind = CONTROL_REQUEST };
        memset(m.channel, 'a', sizeof m.channel);
        assert_null(control_message_encode(&m));
}

static void test_channel_names(void **state) {
        char name[66] = {};

        for (unsigned c = 1; c < 256; c++) {
                char one[2] = { (char) c };

                assert_int_equal(
                                channel_name_is_valid(one),
                                c < 128 && (g_ascii_isalnum((char) c) || strchr("_-:.", (int) c)));
        }
        assert_false(channel_name_is_valid(""));
        memset(name, 'a', 64);
        assert_true(channel_name_is_valid(name));
        name[64] = 'a';
        assert_false(channel_name_is_valid(name));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),        cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_size),          cmocka_unit_test(test_encode_refuses),
                cmocka_unit_test(test_channel_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
