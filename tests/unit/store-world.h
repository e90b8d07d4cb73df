/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A state directory of its own, for the tests of the store; after cmocka.h and what it needs. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "mock-records.h"
#include "store/store.h"

typedef struct Fixture {
        MockNetwork net;
        char *top, *dir; /* a new directory, and the state directory in it */
        Store *store;
} Fixture;

static inline char *path_of(const Fixture *f, const char *name) {
        return g_build_filename(f->dir, name, NULL);
}

static inline void remove_all(const char *dir) {
        g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
        const char *name;

        while (d && (name = g_dir_read_name(d))) {
                g_autofree char *path = g_build_filename(dir, name, NULL);

                if (!g_file_test(path, G_FILE_TEST_IS_SYMLINK) &&
                    g_file_test(path, G_FILE_TEST_IS_DIR))
                        remove_all(path);
                else
                        unlink(path);
        }
        rmdir(dir);
}

static inline void open_store(Fixture *f) {
        g_autofree char *error = NULL;
        int r = store_open(f->dir, &f->store, &error);

        if (r < 0)
                print_message("%s\n", error);
        assert_int_equal(r, 0);
}

static inline void reopen(Fixture *f) {
        f->store = store_close(f->store);
        open_store(f);
}

/* @text: what the message must contain; something that helps. */
static inline void expect_refusal(Fixture *f, int expected, const char *text) {
        g_autofree char *error = NULL;
        Store *s = NULL;
        int r = store_open(f->dir, &s, &error);

        assert_int_equal(r, expected);
        assert_non_null(error);
        if (!strstr(error, text) || !strstr(error, f->dir))
                fail_msg("\"%s\" says nothing of \"%s\"", error, text);
}

static inline int setup(void **state) {
        Fixture *f = NEW(Fixture);

        mock_network_init(&f->net);
        f->top = g_dir_make_tmp("omerta-store-XXXXXX", NULL);
        assert_non_null(f->top);
        f->dir = g_build_filename(f->top, "state", NULL);
        unsetenv("CREDENTIALS_DIRECTORY");
        open_store(f);
        *state = f;
        return 0;
}

static inline int teardown(void **state) {
        Fixture *f = *state;

        store_close(f->store);
        remove_all(f->top);
        mock_network_done(&f->net);
        g_free(f->top);
        g_free(f->dir);
        g_free(f);
        return 0;
}

/* One of each, for as long as the program runs. */
static inline Secret *fake_secret(unsigned n) {
        static Secret *secrets[256];
        const uint8_t bytes[SECRET_SIZE] = { (uint8_t) n, 9 };

        if (!secrets[(uint8_t) n])
                secrets[(uint8_t) n] = secret_new(bytes);
        return secrets[(uint8_t) n];
}

static inline StoredNetwork fake_network(unsigned n) {
        StoredNetwork s = {
                .membership = { .is_gateway = n % 2, .secret = fake_secret(n) },
                .up = n % 2 == 0,
                .created = MOCK_NOW + n,
                .mtu = n == 2 ? 0 : 1300 + n,
        };
        Membership *m = &s.membership;

        memset(m->id.bytes, (int) n + 1, sizeof(m->id.bytes));
        memset(m->gateway.bytes, (int) n + 2, sizeof(m->gateway.bytes));
        snprintf(m->name, sizeof(m->name), "Netz %u \xc3\xa4", n);
        snprintf(m->host_name, sizeof(m->host_name), "host%u", n);
        snprintf(m->owner, sizeof(m->owner), "owner%u", n);
        snprintf(s.interface, sizeof(s.interface), "omerta%u", n);
        assert_int_equal(ip_prefix_parse("10.77.0.0/17", &m->subnet), 0);
        return s;
}
