/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/macros.h"
#include "core/demux.h"
#include "core/wire/messages.h"

/* Stand for the meshes of three networks. An initiation is for the one its last byte names. */
static int networks[3];
static Mesh *const meshes[] = {
        (Mesh *) &networks[0],
        (Mesh *) &networks[1],
        (Mesh *) &networks[2],
};

bool mesh_claims_initiation(Mesh *m, const uint8_t *data, size_t len) {
        return len >= INITIATION_SIZE_MIN && meshes[data[len - 1]] == m;
}

static Mesh *demux(IndexTable *t, const uint8_t *data, size_t len, DropReason *ret) {
        /* Of its very size, so that the sanitizer sees a read beyond it. */
        g_autofree uint8_t *copy = g_memdup2(data, len);

        *ret = DROP_NONE;
        return demux_handshake(t, meshes, ELEMENTSOF(meshes), copy, len, ret);
}

static void test_initiation(void **state) {
        IndexTable *t = index_table_new();
        uint8_t data[INITIATION_SIZE_MIN] = { MESSAGE_HANDSHAKE_INITIATION };
        DropReason reason;

        for (uint8_t i = 0; i < ELEMENTSOF(meshes); i++) {
                data[sizeof data - 1] = i;
                assert_ptr_equal(demux(t, data, sizeof data, &reason), meshes[i]);
                assert_int_equal(reason, DROP_NONE);
        }
        /* Too short for anybody to look at. */
        assert_null(demux(t, data, sizeof data - 1, &reason));
        assert_int_equal(reason, DROP_MAC1);
        assert_null(demux_handshake(t, NULL, 0, data, sizeof data, &reason));
        assert_int_equal(reason, DROP_MAC1);
        index_table_free(t);
}

static void check_answer(uint8_t type, size_t at) {
        IndexTable *t = index_table_new();
        uint8_t data[64] = { type };
        DropReason reason;
        uint32_t index;

        /* Index 0 is nobody's. */
        assert_null(demux(t, data, sizeof data, &reason));
        assert_int_equal(reason, DROP_HANDSHAKE_UNEXPECTED);

        assert_int_equal(index_table_reserve(t, 0x1234, meshes[2], &index), 0);
        write_le32(data + at, index);
        assert_ptr_equal(demux(t, data, sizeof data, &reason), meshes[2]);
        assert_int_equal(reason, DROP_NONE);
        assert_ptr_equal(demux(t, data, at + 4, &reason), meshes[2]);
        for (size_t len = 1; len < at + 4; len++) {
                assert_null(demux(t, data, len, &reason));
                assert_int_equal(reason, DROP_MALFORMED);
        }
        index_table_release(t, index);
        assert_null(demux(t, data, sizeof data, &reason));
        assert_int_equal(reason, DROP_HANDSHAKE_UNEXPECTED);
        index_table_free(t);
}

static void test_response(void **state) {
        check_answer(MESSAGE_HANDSHAKE_RESPONSE, RESPONSE_RECEIVER_OFFSET);
}

static void test_cookie(void **state) {
        check_answer(MESSAGE_COOKIE_REPLY, COOKIE_RECEIVER_OFFSET);
}

static void test_other_types(void **state) {
        IndexTable *t = index_table_new();
        uint8_t data[64] = {};
        DropReason reason;

        for (unsigned type = 0; type < 256; type++) {
                data[0] = (uint8_t) type;
                if (type >= MESSAGE_HANDSHAKE_INITIATION && type <= MESSAGE_COOKIE_REPLY)
                        continue;
                assert_null(demux(t, data, sizeof data, &reason));
                assert_int_equal(reason, DROP_MALFORMED);
        }
        assert_null(demux_handshake(t, meshes, ELEMENTSOF(meshes), data, 0, &reason));
        assert_int_equal(reason, DROP_MALFORMED);
        index_table_free(t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_initiation),
                cmocka_unit_test(test_response),
                cmocka_unit_test(test_cookie),
                cmocka_unit_test(test_other_types),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
