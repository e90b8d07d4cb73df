/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "core/crypto/keypair.h"

#define BORN (1000 * USEC_PER_SEC)
#define MESSAGE_MAX 2048U

typedef struct Ends {
        Keypair *a, *b;
} Ends;

static void ends_clear(Ends *e) {
        keypair_free(e->a);
        keypair_free(e->b);
}

static void ends_new(Cipher cipher, Ends *ret) {
        uint8_t x[32], y[32];

        memset(x, 1, sizeof x);
        memset(y, 2, sizeof y);
        ret->a = keypair_new(cipher, x, y, true, BORN);
        ret->b = keypair_new(cipher, y, x, false, BORN);
        ret->a->local_index = ret->b->remote_index = 0x11223344;
        ret->b->local_index = ret->a->remote_index = 0xaabbccdd;
}

/* Return: length of the message a makes of @text. */
static size_t seal(Keypair *kp, uint8_t flags, const char *text, uint8_t *message) {
        uint64_t counter;

        assert_true(keypair_reserve(kp, 1, &counter));
        keypair_seal(kp, counter, flags, (const uint8_t *) text, strlen(text), message);
        return strlen(text) + DATA_OVERHEAD;
}

static void test_round_trip(void **state) {
        static const Cipher ciphers[] = { CIPHER_CHACHA20_POLY1305, CIPHER_AES_256_GCM };
        uint8_t message[MESSAGE_MAX], *plain;
        size_t len, n;

        for (size_t i = 0; i < ELEMENTSOF(ciphers); i++) {
                _cleanup_(ends_clear) Ends e = {};

                if (!(aead_ciphers() & ciphers[i]))
                        continue;
                ends_new(ciphers[i], &e);
                assert_int_equal((uintptr_t) e.a % 64, 0);
                len = seal(e.a, DATA_FLAG_CSUM_PARTIAL, "hello", message);
                /* docs/protocol.md, "Type 4: data" */
                assert_memory_equal(message, "\x04\x01\0\0\xdd\xcc\xbb\xaa\0\0\0\0\0\0\0\0", 16);
                assert_false(atomic_load(&e.b->confirmed));
                assert_int_equal(keypair_open(e.b, message, len, BORN + 5, &plain, &n), DROP_NONE);
                assert_ptr_equal(plain, message + DATA_HEADER_SIZE);
                assert_int_equal(n, 5);
                assert_memory_equal(plain, "hello", 5);
                assert_true(atomic_load(&e.b->confirmed));
                assert_int_equal(atomic_load(&e.b->last_received), BORN + 5);
                /* A keepalive, the other way. */
                len = seal(e.b, 0, "", message);
                assert_int_equal(len, DATA_OVERHEAD);
                assert_int_equal(keypair_open(e.a, message, len, BORN + 6, &plain, &n), DROP_NONE);
                assert_int_equal(n, 0);
                assert_int_equal(atomic_load(&e.a->last_received), BORN + 6);
        }
}

static void test_refused(void **state) {
        static const struct {
                size_t offset;
                uint8_t flip;
                DropReason reason;
        } table[] = {
                { 0, 0x01, DROP_MALFORMED },
                { 1, 0x02, DROP_MALFORMED }, /* a flag we do not know */
                { 1, 0x80, DROP_MALFORMED },
                { 2, 0x01, DROP_MALFORMED },
                { 3, 0x80, DROP_MALFORMED },
                { 1, 0x01, DROP_NOT_AUTHENTIC }, /* a flag we know, but not as it was sealed */
                { 8, 0x01, DROP_NOT_AUTHENTIC },
                { 15, 0x80, DROP_NOT_AUTHENTIC },
                { 16, 0x01, DROP_NOT_AUTHENTIC },
                { 20, 0x80, DROP_NOT_AUTHENTIC },
                { 21, 0x01, DROP_NOT_AUTHENTIC },
                { 36, 0x80, DROP_NOT_AUTHENTIC },
        };
        _cleanup_(ends_clear) Ends e = {};
        uint8_t message[MESSAGE_MAX], copy[MESSAGE_MAX], *plain = NULL;
        size_t len, n = 99;

        ends_new(aead_choose(aead_ciphers()), &e);
        len = seal(e.a, 0, "hello", message);
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                memcpy(copy, message, len);
                copy[table[i].offset] ^= table[i].flip;
                assert_int_equal(keypair_open(e.b, copy, len, BORN, &plain, &n), table[i].reason);
        }
        for (size_t cut = 0; cut < len; cut++) {
                g_autofree uint8_t *part = g_memdup2(message, cut);

                assert_int_equal(
                                keypair_open(e.b, part, cut, BORN, &plain, &n),
                                cut < DATA_OVERHEAD ? DROP_MALFORMED : DROP_NOT_AUTHENTIC);
        }
        /* Nothing of all that left a trace. */
        assert_null(plain);
        assert_int_equal(n, 99);
        assert_false(atomic_load(&e.b->confirmed));
        assert_int_equal(atomic_load(&e.b->last_received), 0);
        assert_int_equal(e.b->replay.next, 0);
        assert_int_equal(keypair_open(e.b, message, len, BORN, &plain, &n), DROP_NONE);
}

static void test_own_message_reflected(void **state) {
        _cleanup_(ends_clear) Ends e = {};
        uint8_t message[MESSAGE_MAX], *plain;
        size_t len, n;

        ends_new(CIPHER_CHACHA20_POLY1305, &e);
        len = seal(e.a, 0, "hello", message);
        assert_int_equal(keypair_open(e.a, message, len, BORN, &plain, &n), DROP_NOT_AUTHENTIC);
}

static void test_expiry(void **state) {
        static const struct {
                usec_t now;
                DropReason reason;
        } table[] = {
                { BORN - 1, DROP_NONE }, /* another thread's clock reading may be older */
                { BORN, DROP_NONE },
                { BORN + REJECT_AFTER_TIME - 1, DROP_NONE },
                { BORN + REJECT_AFTER_TIME, DROP_KEYPAIR_EXPIRED },
                { BORN + REJECT_AFTER_TIME + 1, DROP_KEYPAIR_EXPIRED },
                { USEC_INFINITY, DROP_KEYPAIR_EXPIRED },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(ends_clear) Ends e = {};
                uint8_t message[MESSAGE_MAX], *plain;
                size_t len, n;

                ends_new(CIPHER_CHACHA20_POLY1305, &e);
                len = seal(e.a, 0, "hello", message);
                assert_int_equal(
                                keypair_open(e.b, message, len, table[i].now, &plain, &n),
                                table[i].reason);
        }
}

static void test_replay(void **state) {
        _cleanup_(ends_clear) Ends e = {};
        uint8_t message[3][MESSAGE_MAX], copy[MESSAGE_MAX], *plain;
        size_t len, n;

        ends_new(CIPHER_CHACHA20_POLY1305, &e);
        for (unsigned i = 0; i < 3; i++)
                len = seal(e.a, 0, "hello", message[i]);
        for (unsigned i = 3; i-- > 0;) {
                memcpy(copy, message[i], len);
                assert_int_equal(keypair_open(e.b, copy, len, BORN + i, &plain, &n), DROP_NONE);
                memcpy(copy, message[i], len);
                assert_int_equal(keypair_open(e.b, copy, len, BORN + 9, &plain, &n), DROP_REPLAYED);
                assert_int_equal(atomic_load(&e.b->last_received), BORN + i);
        }
        /* A forged counter far ahead does not move the window. */
        len = seal(e.a, 0, "hello", copy);
        write_le64(copy + DATA_COUNTER_OFFSET, UINT64_C(1) << 40);
        assert_int_equal(keypair_open(e.b, copy, len, BORN, &plain, &n), DROP_NOT_AUTHENTIC);
        assert_int_equal(e.b->replay.next, 3);
}

static void test_reserve_limit(void **state) {
        _cleanup_(ends_clear) Ends e = {};
        uint64_t first = 7;

        ends_new(CIPHER_CHACHA20_POLY1305, &e);
        assert_true(keypair_reserve(e.a, 64, &first));
        assert_int_equal(first, 0);
        assert_true(keypair_reserve(e.a, 1, &first));
        assert_int_equal(first, 64);
        assert_false(keypair_reserve(e.a, UINT64_MAX, &first));
        assert_false(keypair_reserve(e.a, REJECT_AFTER_MESSAGES - 64, &first));
        atomic_store(&e.a->send_counter, REJECT_AFTER_MESSAGES - 10);
        assert_false(keypair_reserve(e.a, 11, &first));
        assert_int_equal(first, 64); /* untouched */
        assert_true(keypair_reserve(e.a, 10, &first));
        assert_true(first == REJECT_AFTER_MESSAGES - 10);
        /* However often one tries: it does not wrap around. */
        for (unsigned i = 0; i < 100000; i++)
                assert_false(keypair_reserve(e.a, 64, &first));
        assert_true(atomic_load(&e.a->send_counter) == REJECT_AFTER_MESSAGES);
}

#define THREADS 2U
#define RESERVATIONS 20000U

typedef struct Reserver {
        Keypair *kp;
        uint64_t first[RESERVATIONS];
        unsigned n[RESERVATIONS];
} Reserver;

static void *reserve(void *userdata) {
        Reserver *r = userdata;

        for (unsigned i = 0; i < RESERVATIONS; i++) {
                r->n[i] = 1 + i % 5;
                if (!keypair_reserve(r->kp, r->n[i], &r->first[i]))
                        r->n[i] = 0;
        }
        return NULL;
}

static void test_two_threads_never_repeat(void **state) {
        _cleanup_(ends_clear) Ends e = {};
        g_autofree Reserver *r = g_new0(Reserver, THREADS);
        g_autofree uint8_t *seen = NULL;
        GThread *thread[THREADS];
        uint64_t total;

        ends_new(CIPHER_CHACHA20_POLY1305, &e);
        for (unsigned t = 0; t < THREADS; t++) {
                r[t].kp = e.a;
                thread[t] = g_thread_new("reserve", reserve, &r[t]);
        }
        for (unsigned t = 0; t < THREADS; t++)
                g_thread_join(thread[t]);
        total = atomic_load(&e.a->send_counter);
        assert_int_equal(total, THREADS * RESERVATIONS * 3); /* the mean of 1 to 5 */
        seen = g_malloc0(total);
        for (unsigned t = 0; t < THREADS; t++)
                for (unsigned i = 0; i < RESERVATIONS; i++)
                        for (uint64_t c = r[t].first[i]; c < r[t].first[i] + r[t].n[i]; c++) {
                                assert_true(c < total);
                                assert_int_equal(seen[c]++, 0);
                        }
}

static void test_cipher_not_offered(void **state) {
        uint8_t key[32] = {};

        assert_null(keypair_new((Cipher) 0, key, key, true, BORN));
        assert_null(keypair_new((Cipher) 3, key, key, true, BORN));
        keypair_free(NULL);
}

static void test_in_place(void **state) {
        _cleanup_(ends_clear) Ends e = {};
        uint8_t message[MESSAGE_MAX], *plain;
        uint64_t counter;
        size_t n;

        ends_new(CIPHER_CHACHA20_POLY1305, &e);
        memset(message + DATA_HEADER_SIZE, 'x', 1420);
        assert_true(keypair_reserve(e.a, 1, &counter));
        keypair_seal(e.a, counter, 0, message + DATA_HEADER_SIZE, 1420, message);
        assert_int_equal(keypair_open(e.b, message, 1420 + DATA_OVERHEAD, BORN, &plain, &n), DROP_NONE);
        assert_int_equal(n, 1420);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(plain[i], 'x');
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_own_message_reflected),
                cmocka_unit_test(test_expiry),
                cmocka_unit_test(test_replay),
                cmocka_unit_test(test_reserve_limit),
                cmocka_unit_test(test_two_threads_never_repeat),
                cmocka_unit_test(test_cipher_not_offered),
                cmocka_unit_test(test_in_place),
        };

        if (aead_setup() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
