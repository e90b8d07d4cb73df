/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/macros.h"

/* The lowest free descriptor, and a limit that leaves room for @n above it before the reserve. */
static int limit_to(unsigned n, struct rlimit *ret_old) {
        int lowest = dup(STDERR_FILENO);
        struct rlimit tight;

        assert_true(lowest >= 0);
        close(lowest);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, ret_old), 0);
        tight = *ret_old;
        tight.rlim_cur = (rlim_t) lowest + n + FDS_RESERVED;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        return lowest;
}

static bool is_open(int fd) {
        return fcntl(fd, F_GETFD) >= 0;
}

static void test_admit(void **state) {
        struct rlimit old;
        int lowest = limit_to(3, &old), fd[3];

        for (unsigned i = 0; i < ELEMENTSOF(fd); i++) {
                fd[i] = fd_admit(dup(STDERR_FILENO));
                assert_int_equal(fd[i], lowest + (int) i);
        }
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(fd_admit(dup(STDERR_FILENO)), -EMFILE);
                assert_false(is_open(lowest + 3));
        }
        /* The reserve is there all the same. */
        for (unsigned i = 0; i < FDS_RESERVED; i++)
                assert_int_equal(dup(STDERR_FILENO), lowest + 3 + (int) i);
        assert_int_equal(dup(STDERR_FILENO), -1);
        for (unsigned i = 0; i < FDS_RESERVED; i++)
                close(lowest + 3 + (int) i);
        assert_true(fd_leaves(fd[0], 2));
        assert_false(fd_leaves(fd[0], 3));
        assert_int_equal(fd_left(fd[0]), 2);
        assert_int_equal(fd_left(fd[2]), 0);
        assert_int_equal(fd_left(fd[2] + 100), 0);
        close(fd[1]);
        assert_int_equal(fd_admit(dup(STDERR_FILENO)), fd[1]);
        assert_int_equal(fd_admit(-ENFILE), -ENFILE);
        for (unsigned i = 0; i < ELEMENTSOF(fd); i++)
                close(fd[i]);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void test_pair(void **state) {
        struct rlimit old;
        int lowest = limit_to(3, &old), pair[2] = { -1, -1 }, again[2] = { -1, -1 };
        char c;

        assert_int_equal(fd_pair(SOCK_STREAM, pair), 0);
        assert_int_equal(fcntl(pair[1], F_GETFD), FD_CLOEXEC);
        assert_int_equal(recv(pair[0], &c, 1, 0), -1);
        assert_int_equal(errno, EAGAIN);
        /* With room for one of two, and for none. */
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(fd_pair(SOCK_STREAM, again), -EMFILE);
                assert_int_equal(again[0], -1);
                assert_false(is_open(lowest + 2 + (int) i));
                assert_false(is_open(lowest + 3 + (int) i));
                assert_int_equal(dup(STDERR_FILENO), lowest + 2 + (int) i);
        }
        for (int fd = lowest; fd < lowest + 4; fd++)
                close(fd);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_admit),
                cmocka_unit_test(test_pair),
        };

        return cmocka_run_group_tests_name("fd", tests, NULL, NULL);
}
