/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <json-glib/json-glib.h>
#include <sodium.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/noise.h"

/* The published vectors of the Noise implementation cacophony, as a directory in $OMERTA_VECTORS.
 * Both sides are run from their secrets; every byte on the wire must be the vector's. */

#define VECTORS_FILE "noise/cacophony-25519-chachapoly-sha256.json"
#define EXIT_SKIPPED 77

static const uint8_t no_psk[32];

static GBytes *unhex(const char *hex) {
        size_t n = strlen(hex) / 2;
        uint8_t *bytes = g_malloc(n + 1);

        assert_int_equal(strlen(hex), 2 * n);
        assert_int_equal(sodium_hex2bin(bytes, n, hex, 2 * n, NULL, NULL, NULL), 0);
        return g_bytes_new_take(bytes, n);
}

static GBytes *get(JsonObject *o, const char *name) {
        assert_true(json_object_has_member(o, name));
        return unhex(json_object_get_string_member(o, name));
}

static const uint8_t *key_of(GBytes *b) {
        assert_int_equal(g_bytes_get_size(b), 32);
        return g_bytes_get_data(b, NULL);
}

static GBytes *get_psk(JsonObject *o, const char *name) {
        JsonArray *psks;

        if (!json_object_has_member(o, name))
                return g_bytes_new_static(no_psk, sizeof no_psk);
        psks = json_object_get_array_member(o, name);
        assert_int_equal(json_array_get_length(psks), 1);
        return unhex(json_array_get_string_element(psks, 0));
}

/* @ret_secret: the static key, which @st borrows. */
static void
side_init(NoiseState *st, JsonObject *v, const char *side, bool with_psk, GBytes **ret_secret) {
        g_autofree char *prologue_name = g_strdup_printf("%s_prologue", side);
        g_autofree char *static_name = g_strdup_printf("%s_static", side);
        g_autofree char *ephemeral_name = g_strdup_printf("%s_ephemeral", side);
        g_autoptr(GBytes) prologue = get(v, prologue_name);
        GBytes *secret = *ret_secret = get(v, static_name);
        g_autoptr(GBytes) ephemeral = get(v, ephemeral_name);
        g_autoptr(GBytes) remote = NULL;
        bool is_initiator = strcmp(side, "init") == 0;
        uint8_t public[32];

        if (is_initiator)
                remote = get(v, "init_remote_static");
        crypto_scalarmult_base(public, key_of(secret));
        noise_init(st, is_initiator, with_psk, g_bytes_get_data(prologue, NULL),
                   g_bytes_get_size(prologue), key_of(secret), public,
                   remote ? key_of(remote) : NULL, key_of(ephemeral));
}

/* A message after Split(): nonce n, no additional data. */
static void
check_transport(const uint8_t key[static 32], uint64_t n, GBytes *payload, GBytes *ciphertext) {
        g_autofree uint8_t *out = g_malloc(g_bytes_get_size(payload) + 16);
        uint8_t nonce[12] = {};

        write_le64(nonce + 4, n);
        crypto_aead_chacha20poly1305_ietf_encrypt(
                        out, NULL, g_bytes_get_data(payload, NULL), g_bytes_get_size(payload), NULL,
                        0, NULL, nonce, key);
        assert_int_equal(g_bytes_get_size(ciphertext), g_bytes_get_size(payload) + 16);
        assert_memory_equal(out, g_bytes_get_data(ciphertext, NULL), g_bytes_get_size(ciphertext));
}

static void check_handshake_message(
                JsonObject *v,
                unsigned i,
                NoiseState *from,
                NoiseState *to,
                GBytes *payload,
                GBytes *ciphertext) {
        g_autoptr(GBytes) init_psk = get_psk(v, "init_psks");
        g_autoptr(GBytes) resp_psk = get_psk(v, "resp_psks");
        size_t n = g_bytes_get_size(payload), overhead = i == 0 ? 96 : 48;
        g_autofree uint8_t *out = g_malloc(n + overhead), *back = g_malloc(n + 1);
        const uint8_t *p = g_bytes_get_data(payload, NULL);
        const uint8_t *c = g_bytes_get_data(ciphertext, NULL);

        assert_int_equal(g_bytes_get_size(ciphertext), n + overhead);
        if (i == 0)
                assert_int_equal(noise_write_initiation(from, p, n, out), 0);
        else
                assert_int_equal(noise_write_response(from, key_of(resp_psk), p, n, out), 0);
        assert_memory_equal(out, c, n + overhead);
        if (i == 0)
                assert_int_equal(noise_read_initiation(to, c, n + overhead, back), 0);
        else
                assert_int_equal(noise_read_response(to, key_of(init_psk), c, n + overhead, back), 0);
        assert_memory_equal(back, p, n);
        assert_memory_equal(from->h, to->h, sizeof to->h);
}

static void check_vector(JsonObject *v, bool with_psk) {
        JsonArray *messages = json_object_get_array_member(v, "messages");
        g_autoptr(GBytes) hash = get(v, "handshake_hash"), init_static = NULL, resp_static = NULL;
        uint8_t init_send[32], init_receive[32], resp_send[32], resp_receive[32];
        NoiseState init, resp;

        assert_true(json_array_get_length(messages) > 4); /* there are transport messages */
        side_init(&init, v, "init", with_psk, &init_static);
        side_init(&resp, v, "resp", with_psk, &resp_static);
        for (unsigned i = 0; i < json_array_get_length(messages); i++) {
                JsonObject *m = json_array_get_object_element(messages, i);
                g_autoptr(GBytes) payload = get(m, "payload"), ciphertext = get(m, "ciphertext");

                if (i < 2)
                        check_handshake_message(
                                        v, i, i == 0 ? &init : &resp, i == 0 ? &resp : &init,
                                        payload, ciphertext);
                if (i == 1) {
                        assert_memory_equal(init.h, key_of(hash), 32);
                        noise_split(&init, init_send, init_receive);
                        noise_split(&resp, resp_send, resp_receive);
                        assert_memory_equal(init_send, resp_receive, 32);
                        assert_memory_equal(init_receive, resp_send, 32);
                        assert_true(sodium_is_zero((const uint8_t *) &init, sizeof init));
                }
                if (i >= 2) /* in turn, the initiator first */
                        check_transport(i % 2 == 0 ? init_send : resp_send, (i - 2) / 2, payload,
                                        ciphertext);
        }
}

static void test_vectors(void **state) {
        static const struct {
                const char *name;
                bool with_psk;
        } table[] = {
                { "Noise_IK_25519_ChaChaPoly_SHA256", false },
                { "Noise_IKpsk2_25519_ChaChaPoly_SHA256", true },
        };
        g_autoptr(JsonParser) parser = json_parser_new();
        g_autoptr(GError) error = NULL;
        JsonArray *vectors;

        if (!json_parser_load_from_file(parser, *state, &error))
                fail_msg("%s", error->message);
        vectors = json_object_get_array_member(
                        json_node_get_object(json_parser_get_root(parser)), "vectors");
        for (unsigned t = 0; t < ELEMENTSOF(table); t++) {
                unsigned found = 0;

                for (unsigned i = 0; i < json_array_get_length(vectors); i++) {
                        JsonObject *v = json_array_get_object_element(vectors, i);

                        if (strcmp(json_object_get_string_member(v, "protocol_name"), table[t].name))
                                continue;
                        check_vector(v, table[t].with_psk);
                        found++;
                }
                assert_true(found > 0);
        }
}

int main(void) {
        const char *directory = g_getenv("OMERTA_VECTORS");
        g_autofree char *path = directory ? g_build_filename(directory, VECTORS_FILE, NULL) : NULL;
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_prestate(test_vectors, path),
        };

        if (!path || !g_file_test(path, G_FILE_TEST_EXISTS)) {
                printf("skipped: no %s in $OMERTA_VECTORS\n", VECTORS_FILE);
                return EXIT_SKIPPED;
        }
        if (sodium_init() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
