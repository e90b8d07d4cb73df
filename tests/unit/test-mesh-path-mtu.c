/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The search for the size that passes (RFC 8899), on a modelled path and a clock of its own. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/link/path-mtu.h"

#define MSEC USEC_PER_MSEC
#define SEC USEC_PER_SEC
#define RTT (20 * MSEC)
#define PROBE_TIMER SEC
#define FULL 1420U
#define OVER_IPV4 60U
#define OVER_IPV6 80U
#define BY_RELAY 8U

typedef struct Model {
        PathMtu mtu;
        usec_t now;
        uint16_t line; /* MTU of the outer way */
        uint16_t headers;
        unsigned n_probes, n_lost;
        unsigned lose; /* so many probes next, whatever their size */
        unsigned lose_one_in;
        bool silent;  /* nothing passes */
        bool is_idle; /* no large packets */
        GRand *random;
} Model;

static Model model_new(uint16_t line, uint16_t headers) {
        Model m = { .now = 100 * SEC, .line = line, .headers = headers };

        path_mtu_set_max(&m.mtu, (uint16_t) (headers % 20 ? FULL - BY_RELAY : FULL), headers);
        return m;
}

static bool passes(Model *m, uint16_t size) {
        if (m->lose > 0) {
                m->lose--;
                return false;
        }
        if (m->random && g_rand_int_range(m->random, 0, (gint32) m->lose_one_in) == 0)
                return false;
        return !m->silent && size + m->headers <= m->line;
}

/* As the link does while it is used: looks at once after each answer, else every 3 s. */
static void run(Model *m, usec_t duration) {
        usec_t end = m->now + duration;

        while (m->now < end) {
                usec_t large = m->is_idle ? 0 : m->now;
                uint16_t size = path_mtu_next(&m->mtu, true, large, m->now);

                if (size == 0) {
                        m->now += 100 * MSEC;
                        continue;
                }
                assert_in_range(size, OMERTA_MTU_LEAST, m->mtu.max);
                m->n_probes++;
                path_mtu_asked(&m->mtu, size, m->now, PROBE_TIMER);
                assert_int_equal(path_mtu_next(&m->mtu, true, large, m->now), 0);
                if (passes(m, size)) {
                        m->now += RTT;
                        path_mtu_passed(&m->mtu, size, m->now - RTT, m->now);
                } else {
                        m->n_lost++;
                        m->now += PROBE_TIMER;
                        path_mtu_missed(&m->mtu, size, !m->silent, m->now);
                }
        }
}

/* The largest inner packet that a line carries, as far as full size. */
static uint16_t truth(const Model *m) {
        return MIN(m->mtu.max, (uint16_t) (m->line - m->headers));
}

static void assert_found(const Model *m, unsigned short_of) {
        uint16_t size = path_mtu_inner(&m->mtu);

        assert_int_equal(m->mtu.state, PATH_MTU_STATE_COMPLETE);
        assert_in_range(size, truth(m) - short_of, truth(m));
        assert_int_equal(m->mtu.size, size);
        assert_int_equal(path_mtu_is_full(&m->mtu), size == m->mtu.max);
        assert_int_equal(path_mtu_is_small(&m->mtu), size != m->mtu.max);
}

/* Every line there may be: what is told passes, and no more than 20 bytes are given away. */
static void test_every_size(void **state) {
        static const uint16_t headers[] = { OVER_IPV4, OVER_IPV6, OVER_IPV4 + BY_RELAY,
                                            OVER_IPV6 + BY_RELAY };

        for (unsigned i = 0; i < ELEMENTSOF(headers); i++)
                for (uint16_t line = (uint16_t) (OMERTA_MTU_MIN + headers[i]); line <= 1500; line++) {
                        Model m = model_new(line, headers[i]);

                        run(&m, 25 * SEC);
                        assert_found(&m, 20);
                        assert_in_range(m.n_lost, 0, 1 + 3 + 3 * 5);
                        assert_true(m.n_lost > 0 || path_mtu_is_full(&m.mtu));
                }
}

/* Those that are sold: to the byte. */
static void test_common_sizes(void **state) {
        static const struct {
                uint16_t line, headers, inner;
        } cases[] = {
                { 1500, OVER_IPV4, 1420 },
                { 1500, OVER_IPV6, 1420 },
                { 1500, OVER_IPV6 + BY_RELAY, 1412 },
                { 1492, OVER_IPV4, 1420 },
                { 1492, OVER_IPV6, 1412 },
                { 1492, OVER_IPV6 + BY_RELAY, 1404 },
                { 1480, OVER_IPV4, 1420 },
                { 1480, OVER_IPV6, 1400 },
                { 1460, OVER_IPV4, 1400 },
                { 1420, OVER_IPV4, 1360 },
                { 1400, OVER_IPV4, 1340 },
                { 1400, OVER_IPV6, 1320 },
                { 1360, OVER_IPV6, 1280 },
                { 1340, OVER_IPV4, 1280 },
        };

        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                Model m = model_new(cases[i].line, cases[i].headers);

                run(&m, 25 * SEC);
                assert_found(&m, 0);
                assert_int_equal(path_mtu_inner(&m.mtu), cases[i].inner);
        }
}

/* Full size needs one probe, and no other while nothing large is sent. */
static void test_is_quiet(void **state) {
        Model m = model_new(1500, OVER_IPV4), small = model_new(1400, OVER_IPV4);

        m.is_idle = true;
        run(&m, SEC);
        assert_int_equal(m.n_probes, 1);
        run(&m, 3600 * SEC);
        assert_int_equal(m.n_probes, 1);
        m.is_idle = false;
        run(&m, 60 * SEC);
        assert_in_range(m.n_probes, 18, 21);
        small.is_idle = true;
        run(&small, 60 * SEC);
        small.n_probes = 0;
        run(&small, 3600 * SEC);
        assert_int_equal(small.n_probes, 0);
}

/* Before the first answer packets are as large as they may be; after the first that is missing
 * they are as small as they have to. */
static void test_begin(void **state) {
        Model m = model_new(1400, OVER_IPV4);

        assert_int_equal(path_mtu_inner(&m.mtu), FULL);
        assert_true(m.mtu.size < OMERTA_MTU_MIN);
        run(&m, MSEC);
        assert_int_equal(m.mtu.state, PATH_MTU_STATE_BASE);
        assert_int_equal(path_mtu_inner(&m.mtu), OMERTA_MTU_MIN);
        assert_true(m.mtu.size < OMERTA_MTU_MIN);
        run(&m, MSEC);
        assert_int_equal(m.mtu.state, PATH_MTU_STATE_SEARCH);
        assert_true(m.mtu.size >= OMERTA_MTU_MIN);
        assert_true(m.now <= 101 * SEC + RTT + MSEC);
}

/* A path that is none of ours now is asked two sizes, and full size again. */
static void test_spare(void **state) {
        Model m = model_new(1400, OVER_IPV4);

        for (unsigned i = 0; i < 5; i++) {
                static const uint16_t sizes[] = { FULL, OMERTA_MTU_MIN, FULL, FULL, FULL };
                uint16_t size = path_mtu_next(&m.mtu, false, m.now, m.now);

                assert_int_equal(size, sizes[i]);
                path_mtu_asked(&m.mtu, size, m.now, PROBE_TIMER);
                m.now += SEC;
                if (size == OMERTA_MTU_MIN)
                        path_mtu_passed(&m.mtu, size, m.now, m.now);
                else
                        path_mtu_missed(&m.mtu, size, true, m.now);
        }
        assert_int_equal(path_mtu_next(&m.mtu, false, m.now, m.now + 3600 * SEC), 0);
        assert_true(m.mtu.size >= OMERTA_MTU_MIN);
        run(&m, 20 * SEC);
        assert_found(&m, 0);
}

/* Less than has to pass: it is said, looked at once a minute, and over as soon as more passes. */
static void test_error(void **state) {
        for (uint16_t line = 1252; line < OMERTA_MTU_MIN + OVER_IPV4; line++) {
                Model m = model_new(line, OVER_IPV4);
                unsigned n;

                run(&m, 20 * SEC);
                assert_int_equal(m.mtu.state, PATH_MTU_STATE_ERROR);
                assert_int_equal(path_mtu_inner(&m.mtu), OMERTA_MTU_LEAST);
                assert_int_equal(m.mtu.size, OMERTA_MTU_LEAST);
                assert_true(m.mtu.size < OMERTA_MTU_MIN);
                assert_true(path_mtu_is_small(&m.mtu));
                n = m.n_probes;
                run(&m, 600 * SEC);
                assert_in_range(m.n_probes - n, 9, 11);
                m.line = 1500;
                run(&m, 62 * SEC);
                assert_found(&m, 0);
        }
        {
                Model m = model_new(600, OVER_IPV4);

                run(&m, 30 * SEC);
                assert_int_equal(m.mtu.state, PATH_MTU_STATE_ERROR);
                assert_int_equal(m.mtu.size, 0);
        }
}

/* From each size to each: less is noticed within 3 s and three probes, more within a minute and
 * some. */
static void test_changes(void **state) {
        static const uint16_t lines[] = { 1500, 1492, 1460, 1433, 1400, 1360, 1340, 1300, 1252 };

        for (unsigned i = 0; i < ELEMENTSOF(lines); i++)
                for (unsigned k = 0; k < ELEMENTSOF(lines); k++) {
                        Model m = model_new(lines[i], OVER_IPV4);
                        usec_t changed;

                        run(&m, 30 * SEC);
                        m.line = lines[k];
                        changed = m.now;
                        while (path_mtu_inner(&m.mtu) > MAX(truth(&m), OMERTA_MTU_LEAST) ||
                               (m.mtu.state != PATH_MTU_STATE_ERROR && m.mtu.size < OMERTA_MTU_MIN))
                                run(&m, MSEC);
                        assert_true(m.now - changed <= 10 * SEC);
                        run(&m, 150 * SEC);
                        if (truth(&m) < OMERTA_MTU_MIN)
                                assert_int_equal(m.mtu.state, PATH_MTU_STATE_ERROR);
                        else
                                assert_found(&m, 20);
                }
}

/* Probes that are lost for other reasons: a few in a row, or one in five, change nothing that
 * stays. */
static void test_other_losses(void **state) {
        for (unsigned seed = 0; seed < 50; seed++) {
                Model m = model_new(1400, OVER_IPV6);

                m.random = g_rand_new_with_seed(seed);
                m.lose_one_in = 5;
                run(&m, 300 * SEC);
                assert_true(path_mtu_inner(&m.mtu) <= truth(&m));
                g_rand_free(m.random);
                m.random = NULL;
                run(&m, 150 * SEC);
                assert_found(&m, 0);
        }
        for (unsigned lose = 1; lose < PATH_MTU_PROBES_MAX; lose++) {
                Model m = model_new(1500, OVER_IPV4);

                run(&m, 10 * SEC);
                m.lose = lose;
                for (unsigned i = 0; i < 200; i++) {
                        run(&m, 100 * MSEC);
                        assert_int_equal(path_mtu_inner(&m.mtu), FULL);
                }
        }
}

/* Nothing comes by the path at all: that is no matter of size. */
static void test_silence(void **state) {
        Model m = model_new(1500, OVER_IPV4);

        run(&m, 10 * SEC);
        m.silent = true;
        run(&m, 60 * SEC);
        assert_true(m.n_lost > 10);
        assert_found(&m, 0);
        m.silent = false;
        run(&m, 5 * SEC);
        assert_found(&m, 0);
}

/* Full size changes: by the setting, by the kind of path. */
static void test_full_size_changes(void **state) {
        Model m = model_new(1500, OVER_IPV4), small = model_new(1400, OVER_IPV4);

        run(&m, 10 * SEC);
        path_mtu_set_max(&m.mtu, 1300, OVER_IPV4);
        assert_found(&m, 0);
        path_mtu_set_max(&m.mtu, FULL, OVER_IPV4);
        assert_int_equal(path_mtu_inner(&m.mtu), FULL);
        run(&m, SEC);
        assert_found(&m, 0);
        run(&small, 30 * SEC);
        path_mtu_set_max(&small.mtu, FULL - BY_RELAY, OVER_IPV4 + BY_RELAY);
        run(&small, 30 * SEC);
        small.headers += BY_RELAY;
        run(&small, 30 * SEC);
        assert_in_range(path_mtu_inner(&small.mtu), OMERTA_MTU_MIN, truth(&small));
}

/* Answers to what was not asked, or asked long ago, in any order: nothing but numbers in range. */
static void test_any_order(void **state) {
        GRand *random = g_rand_new_with_seed(1);
        PathMtu m = {};

        for (unsigned i = 0; i < 100000; i++) {
                uint16_t size = (uint16_t) g_rand_int_range(random, 0, 2000);
                usec_t now = (usec_t) i * 100 * MSEC;
                uint16_t next;

                switch (g_rand_int_range(random, 0, 5)) {
                case 0:
                        path_mtu_passed(&m, m.max > 0 ? MIN(size, m.max) : 0, now, now);
                        break;
                case 1:
                        path_mtu_missed(&m, size % 3 ? m.probed : size, size % 2, now);
                        break;
                case 2:
                        if (size % 50 == 0)
                                path_mtu_set_max(&m, (uint16_t) (1280 + size % 141), OVER_IPV6);
                        break;
                default:
                        next = path_mtu_next(&m, size % 2, now, now);
                        if (next > 0)
                                path_mtu_asked(&m, next, now, PROBE_TIMER);
                        assert_true(next == 0 || (next >= OMERTA_MTU_LEAST && next <= m.max));
                }
                if (m.max > 0)
                        assert_in_range(path_mtu_inner(&m), OMERTA_MTU_LEAST, m.max);
        }
        g_rand_free(random);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_size), cmocka_unit_test(test_common_sizes),
                cmocka_unit_test(test_is_quiet),   cmocka_unit_test(test_begin),
                cmocka_unit_test(test_spare),      cmocka_unit_test(test_error),
                cmocka_unit_test(test_changes),    cmocka_unit_test(test_other_losses),
                cmocka_unit_test(test_silence),    cmocka_unit_test(test_full_size_changes),
                cmocka_unit_test(test_any_order),
        };

        return cmocka_run_group_tests_name("mesh-path-mtu", tests, NULL, NULL);
}
