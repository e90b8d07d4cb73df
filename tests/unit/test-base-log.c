/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* What log_warning("%s", @text) leaves on standard error. */
static void logged(const char *text, char *ret, size_t size) {
        FILE *file = tmpfile();
        int saved = dup(STDERR_FILENO);
        size_t n;

        assert_non_null(file);
        assert_true(saved >= 0);
        assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
        log_warning("about %s.", text);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        (void) close(saved);
        rewind(file);
        n = fread(ret, 1, size - 1, file);
        ret[n] = '\0';
        (void) fclose(file);
}

static void test_foreign_text(void **state) {
        static const struct {
                const char *text, *wanted;
        } table[] = {
                { "home", "home" },
                { "h\xc3\xb6me %s %m", "h\xc3\xb6me %s %m" },
                { "a\nerror: forged", "a?error: forged" },
                { "\x1b[31mred\x07\x7f\r", "?[31mred???" },
                { "\xc2\x9b"
                  "31m",
                  "??31m" }, /* CSI in one character */
                { "a\xe2\x80\xae"
                  "b",
                  "a???b" }, /* right-to-left override */
                { "a\xe2\x80\xa8"
                  "b",
                  "a???b" }, /* line separator */
                { "\xff\xc3", "??" },
        };
        char got[200], wanted[200];

        unsetenv("JOURNAL_STREAM");
        log_setup(LOG_INFO);
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                logged(table[i].text, got, sizeof got);
                (void) snprintf(wanted, sizeof wanted, "warning: about %s.\n", table[i].wanted);
                assert_string_equal(got, wanted);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_foreign_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
