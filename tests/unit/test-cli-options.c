/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "cli/cli.h"
#include "cli/help.h"

/* @line: words separated by blanks. @words: what must be left. */
static int parse(const char *line, CliOptions *o, const char *words) {
        g_auto(GStrv) argv = g_strsplit(line, " ", -1);
        /* parse() reorders the pointers; the strings live as long as the test's static line */
        g_autofree char **copy = g_new0(char *, g_strv_length(argv) + 1);
        int r, first = 0;

        for (unsigned i = 0; argv[i]; i++)
                copy[i] = (char *) g_intern_string(argv[i]);
        r = cli_options_parse((int) g_strv_length(argv), copy, o, &first);
        if (r >= 0) {
                g_autofree char *left = g_strjoinv(" ", copy + first);

                assert_string_equal(left, words);
        }
        return r;
}

static void test_parse(void **state) {
        CliOptions o;

        assert_int_equal(parse("omerta", &o, ""), 0);
        assert_int_equal(o.given, 0);
        assert_null(o.network);
        cli_options_done(&o);

        /* anywhere, and in each form */
        assert_int_equal(parse("omerta --json network -n home peers --user", &o, "network peers"), 0);
        assert_true(o.json);
        assert_true(o.user);
        assert_string_equal(o.network, "home");
        cli_options_done(&o);

        assert_int_equal(
                        parse("omerta network invite --uses=3 --expires 2h --endpoint a "
                              "--endpoint=b --approval",
                              &o, "network invite"),
                        0);
        assert_int_equal(o.uses, 3);
        assert_int_equal(o.expires, 2 * USEC_PER_HOUR);
        assert_true(o.approval);
        assert_false(o.qr);
        assert_int_equal(g_strv_length(o.endpoints), 2);
        assert_string_equal(o.endpoints[1], "b");
        assert_int_equal(
                        o.given, CLI_OPTION_BIT(OPTION_USES) | CLI_OPTION_BIT(OPTION_EXPIRES) |
                                                 CLI_OPTION_BIT(OPTION_ENDPOINT) |
                                                 CLI_OPTION_BIT(OPTION_APPROVAL));
        cli_options_done(&o);

        /* the last one counts */
        assert_int_equal(parse("omerta --user --system status", &o, "status"), 0);
        assert_false(o.user);
        cli_options_done(&o);

        /* a lone dash is a word, and after two nothing is an option */
        assert_int_equal(parse("omerta network join -", &o, "network join -"), 0);
        cli_options_done(&o);
        assert_int_equal(parse("omerta network create -- --x", &o, "network create --x"), 0);
        cli_options_done(&o);

        /* what stands behind ssh is ssh's, but a question about it */
        assert_int_equal(
                        parse("omerta --user ssh -n -p 22 --json nas ls -h", &o,
                              "ssh -n -p 22 --json nas ls -h"),
                        0);
        assert_true(o.user);
        assert_false(o.json || o.help);
        assert_null(o.network);
        cli_options_done(&o);
        assert_int_equal(parse("omerta -n home exec -- ls --json -n", &o, "exec -- ls --json -n"), 0);
        assert_false(o.json);
        assert_string_equal(o.network, "home");
        cli_options_done(&o);
        assert_int_equal(parse("omerta ssh --help", &o, "ssh"), 0);
        assert_true(o.help);
        cli_options_done(&o);
        assert_int_equal(parse("omerta network join ssh --json", &o, "network join ssh"), 0);
        assert_true(o.json);
        cli_options_done(&o);
}

static void test_refuse(void **state) {
        static const char *const lines[] = {
                "omerta --nonsense",   "omerta -x",           "omerta --network",
                "omerta --json=yes",   "omerta --uses 0",     "omerta --uses many",
                "omerta --expires 12", "omerta -n \xff list",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                CliOptions o;

                assert_int_equal(parse(lines[i], &o, ""), -EINVAL);
                cli_options_done(&o);
        }
}

/* What the tables must be for help and parsing to work. */
static void test_tables(void **state) {
        for (size_t i = 0; i < _CLI_OPTION_MAX; i++) {
                const CliOption *o = &cli_options[i];
                bool flag = o->kind == CLI_OPTION_TRUE || o->kind == CLI_OPTION_FALSE;

                assert_non_null(o->name);
                assert_int_equal(o->argument == NULL, flag);
                for (size_t k = 0; k < i; k++) {
                        assert_string_not_equal(o->name, cli_options[k].name);
                        assert_false(o->letter && o->letter == cli_options[k].letter);
                }
        }
        for (const CliVerb *v = cli_verbs; v->noun; v++) {
                assert_non_null(v->run);
                assert_true(v->min <= v->max);
                assert_int_equal(*v->arguments != 0, v->max > 0);
                /* its own options only */
                assert_int_equal(v->options & (CLI_OPTION_BIT(CLI_OPTION_FIRST_OWN) - 1), 0);
                for (const CliVerb *w = cli_verbs; w != v; w++) {
                        g_autofree char *a = cli_help_command(v), *b = cli_help_command(w);

                        assert_string_not_equal(a, b);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_refuse),
                cmocka_unit_test(test_tables),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
