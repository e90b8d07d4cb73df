/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What members say where they see us, and what is believed of it. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "core/mesh/link/nat-check.h"

#define SEC USEC_PER_SEC
#define SAYS_MAX 8U

static Endpoint at(const char *text) {
        Endpoint e;

        assert_int_equal(endpoint_parse(text, 18002, &e), 0);
        return e;
}

/* Member @who (a letter), asked at @to, says @seen. */
typedef struct Says {
        char who;
        const char *to, *seen;
} Says;

static void note(NatCheck *c, const Says *s, usec_t now) {
        MachineId machine = {};
        Endpoint to = at(s->to), seen = at(s->seen);

        memset(&machine, s->who, sizeof machine);
        nat_check_note(c, &machine, &to, &seen, now);
}

static NatVerdict judge(const NatCheck *c, const char *local, usec_t now) {
        Endpoint e = at(local);

        return nat_check_judge(c, e.sa.sa_family, &e, 1, now);
}

#define HOME "192.168.1.2"
#define OUT "203.0.113.9"

static const struct {
        const char *what, *local;
        Says says[SAYS_MAX]; /* one a second */
        NatMapping mapping;
        NatPorts ports;
        int step;
        const char *seen; /* NULL: not known */
        unsigned n_dissenters;
        NatTrouble trouble;
        PathTranslation translation;
} cases[] = {
        { "nobody", HOME, {}, 0, 0, 0, NULL, 0, NAT_TROUBLE_NOBODY, PATH_TRANSLATION_UNKNOWN },
        { "who is inside says nothing of the outside",
          HOME,
          { { 'a', "192.168.1.7", HOME }, { 'b', "10.1.1.1", "10.1.1.9" }, { 'c', "100.64.0.1", OUT } },
          0,
          0,
          0,
          NULL,
          0,
          NAT_TROUBLE_NOBODY,
          PATH_TRANSLATION_UNKNOWN },
        { "one, where we are",
          OUT,
          { { 'a', "192.0.2.1", OUT } },
          NAT_MAPPING_NONE,
          NAT_PORTS_PRESERVED,
          0,
          OUT,
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_NONE },
        { "one, elsewhere",
          HOME,
          { { 'a', "192.0.2.1", OUT } },
          NAT_MAPPING_UNKNOWN,
          NAT_PORTS_PRESERVED,
          0,
          OUT,
          0,
          NAT_TROUBLE_ONE,
          PATH_TRANSLATION_UNKNOWN },
        { "one, by two ports",
          HOME,
          { { 'a', "192.0.2.1:1111", OUT ":40000" }, { 'a', "192.0.2.1:2222", OUT ":40000" } },
          NAT_MAPPING_UNKNOWN,
          NAT_PORTS_CHANGED,
          0,
          OUT ":40000",
          0,
          NAT_TROUBLE_ONE,
          PATH_TRANSLATION_UNKNOWN },
        { "one port for all, that of the inside",
          HOME,
          { { 'a', "192.0.2.1", OUT }, { 'b', "192.0.2.2", OUT } },
          NAT_MAPPING_INDEPENDENT,
          NAT_PORTS_PRESERVED,
          0,
          OUT,
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_EASY },
        { "one port for all, another",
          HOME,
          { { 'a', "192.0.2.1", OUT ":5000" }, { 'b', "192.0.2.2", OUT ":5000" } },
          NAT_MAPPING_INDEPENDENT,
          NAT_PORTS_CHANGED,
          0,
          OUT ":5000",
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_EASY },
        { "a port for each address",
          HOME,
          { { 'a', "192.0.2.1:1111", OUT ":5000" },
            { 'a', "192.0.2.1:2222", OUT ":5000" },
            { 'b', "192.0.2.2", OUT ":5001" } },
          NAT_MAPPING_BY_ADDRESS,
          NAT_PORTS_STEADY,
          1,
          OUT ":5001",
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_PREDICTABLE },
        { "a port for each address and port",
          HOME,
          { { 'a', "192.0.2.1:1111", OUT ":5000" },
            { 'a', "192.0.2.1:2222", OUT ":5002" },
            { 'b', "192.0.2.2", OUT ":5004" } },
          NAT_MAPPING_BY_PORT,
          NAT_PORTS_STEADY,
          2,
          OUT ":5004",
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_PREDICTABLE },
        { "in sequence, others' in between",
          HOME,
          { { 'a', "192.0.2.1", OUT ":5000" },
            { 'b', "192.0.2.2", OUT ":5004" },
            { 'c', "192.0.2.3", OUT ":5010" } },
          NAT_MAPPING_DEPENDENT,
          NAT_PORTS_STEADY,
          2,
          OUT ":5010",
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_PREDICTABLE },
        { "of two, by how much is not known",
          HOME,
          { { 'a', "192.0.2.1", OUT ":5000" }, { 'b', "192.0.2.2", OUT ":5004" } },
          NAT_MAPPING_DEPENDENT,
          NAT_PORTS_STEADY,
          1,
          OUT ":5004",
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_PREDICTABLE },
        { "in sequence, downwards",
          HOME,
          { { 'a', "192.0.2.1", OUT ":5009" },
            { 'b', "192.0.2.2", OUT ":5006" },
            { 'c', "192.0.2.3", OUT ":5003" } },
          NAT_MAPPING_DEPENDENT,
          NAT_PORTS_STEADY,
          -3,
          OUT ":5003",
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_PREDICTABLE },
        { "anywhere",
          HOME,
          { { 'a', "192.0.2.1", OUT ":5000" }, { 'b', "192.0.2.2", OUT ":61000" } },
          NAT_MAPPING_DEPENDENT,
          NAT_PORTS_RANDOM,
          0,
          OUT ":61000",
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_RANDOM },
        { "up and down",
          HOME,
          { { 'a', "192.0.2.1", OUT ":5000" },
            { 'b', "192.0.2.2", OUT ":5004" },
            { 'c', "192.0.2.3", OUT ":5001" } },
          NAT_MAPPING_DEPENDENT,
          NAT_PORTS_RANDOM,
          0,
          OUT ":5001",
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_RANDOM },
        { "a liar about the address, of three",
          HOME,
          { { 'a', "192.0.2.1", OUT }, { 'x', "192.0.2.3", "198.51.100.66" }, { 'b', "192.0.2.2", OUT } },
          NAT_MAPPING_INDEPENDENT,
          NAT_PORTS_PRESERVED,
          0,
          OUT,
          1,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_EASY },
        { "a liar about the port, of three",
          HOME,
          { { 'a', "192.0.2.1", OUT }, { 'b', "192.0.2.2", OUT }, { 'x', "192.0.2.3", OUT ":6666" } },
          NAT_MAPPING_INDEPENDENT,
          NAT_PORTS_PRESERVED,
          0,
          OUT,
          1,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_EASY },
        { "a liar of two",
          HOME,
          { { 'a', "192.0.2.1", OUT }, { 'x', "192.0.2.3", "198.51.100.66" } },
          0,
          0,
          0,
          NULL,
          1,
          NAT_TROUBLE_CONFLICT,
          PATH_TRANSLATION_UNKNOWN },
        { "a liar that says so at four endpoints",
          HOME,
          { { 'x', "192.0.2.3:1", "198.51.100.66" },
            { 'x', "192.0.2.3:2", "198.51.100.66" },
            { 'x', "192.0.2.4:3", "198.51.100.66" },
            { 'x', "192.0.2.4:4", "198.51.100.66" },
            { 'a', "192.0.2.1", OUT },
            { 'b', "192.0.2.2", OUT } },
          NAT_MAPPING_INDEPENDENT,
          NAT_PORTS_PRESERVED,
          0,
          OUT,
          1,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_EASY },
        { "what it says last counts",
          HOME,
          { { 'a', "192.0.2.1", "198.51.100.66" }, { 'b', "192.0.2.2", OUT }, { 'a', "192.0.2.1", OUT } },
          NAT_MAPPING_INDEPENDENT,
          NAT_PORTS_PRESERVED,
          0,
          OUT,
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_EASY },
        { "IPv6",
          "2001:db8::7",
          { { 'a', "2001:db8:1::1", "2001:db8::7" }, { 'b', "192.0.2.2", OUT } },
          NAT_MAPPING_NONE,
          NAT_PORTS_PRESERVED,
          0,
          "2001:db8::7",
          0,
          NAT_TROUBLE_NONE,
          PATH_TRANSLATION_NONE },
};

static void test_verdicts(void **state) {
        for (unsigned i = 0; i < ELEMENTSOF(cases); i++) {
                NatCheck c = {};
                NatVerdict v;
                usec_t t = SEC;
                Endpoint seen = {};

                for (unsigned k = 0; k < SAYS_MAX && cases[i].says[k].who; k++, t += SEC)
                        note(&c, &cases[i].says[k], t);
                v = judge(&c, cases[i].local, t);
                print_message("%s: %s, %s\n", cases[i].what, nat_mapping_to_string(v.mapping),
                              nat_ports_to_string(v.ports));
                if (cases[i].seen)
                        seen = at(cases[i].seen);
                assert_int_equal(v.mapping, cases[i].mapping);
                assert_int_equal(v.ports, cases[i].ports);
                assert_int_equal(v.step, cases[i].step);
                assert_int_equal(v.n_dissenters, cases[i].n_dissenters);
                assert_int_equal(v.trouble, cases[i].trouble);
                assert_int_equal(nat_verdict_translation(&v), cases[i].translation);
                assert_int_equal(endpoint_is_set(&v.seen), endpoint_is_set(&seen));
                if (cases[i].seen)
                        assert_true(endpoint_equal(&v.seen, &seen));
        }
}

/* What was said ten minutes ago is no news, and what left from another address of ours says nothing
 * of this one. */
static void test_ageing(void **state) {
        const Says a = { 'a', "192.0.2.1", OUT }, b = { 'b', "192.0.2.2", OUT };
        NatCheck c = {};
        NatVerdict v;

        note(&c, &a, SEC);
        note(&c, &b, 2 * SEC);
        v = judge(&c, HOME, SEC + NAT_VIEW_USEC);
        assert_int_equal(v.mapping, NAT_MAPPING_INDEPENDENT);
        v = judge(&c, HOME, 1 + SEC + NAT_VIEW_USEC);
        assert_int_equal(v.trouble, NAT_TROUBLE_ONE);
        note(&c, &a, 3 * SEC);
        for (unsigned i = 0; i < c.n; i++)
                c.view[i].to.local = endpoint_address(&c.view[i].to); /* each another */
        v = judge(&c, HOME, 4 * SEC);
        assert_int_equal(v.n_members, 1);
        nat_check_forget(&c);
        v = judge(&c, HOME, 4 * SEC);
        assert_int_equal(v.trouble, NAT_TROUBLE_NOBODY);
}

/* A member that names one place after the other pushes out nobody but itself. */
static void test_one_member_that_talks(void **state) {
        const Says a = { 'a', "192.0.2.1", OUT }, b = { 'b', "192.0.2.2", OUT };
        NatCheck c = {};
        NatVerdict v;

        note(&c, &a, SEC);
        note(&c, &b, SEC);
        for (unsigned i = 0; i < 1000; i++) {
                g_autofree char *to = g_strdup_printf("198.51.100.1:%u", 1 + i);
                const Says x = { 'x', to, "198.51.100.66" };

                note(&c, &x, 2 * SEC + i);
        }
        assert_int_equal(c.n, 2 + NAT_VIEWS_PER_MEMBER_MAX);
        v = judge(&c, HOME, 3 * SEC);
        assert_int_equal(v.mapping, NAT_MAPPING_INDEPENDENT);
        assert_int_equal(v.n_members, 3);
        assert_int_equal(v.n_dissenters, 1);
        for (unsigned i = 0; i < 200; i++) {
                g_autofree char *to = g_strdup_printf("198.51.100.2:%u", 1 + i);
                const Says y = { (char) (1 + i / 2), to, OUT };

                note(&c, &y, 4 * SEC + i);
        }
        assert_int_equal(c.n, NAT_VIEWS_MAX);
}

static void test_guesses(void **state) {
        Endpoint last = at(OUT ":40000"), guess[NAT_GUESSES_MAX];

        assert_int_equal(nat_guess_ports(&last, 1, false, guess), NAT_GUESSES_MAX);
        assert_int_equal(endpoint_port(&guess[0]), 40001);
        assert_int_equal(endpoint_port(&guess[NAT_GUESSES_MAX - 1]), 40020);
        assert_true(endpoint_same_address(&guess[7], &last));
        assert_int_equal(nat_guess_ports(&last, -2, true, guess), NAT_GUESSES_MAX);
        assert_int_equal(endpoint_port(&guess[0]), 39998);
        assert_int_equal(endpoint_port(&guess[1]), 39994);
        endpoint_set_port(&last, 65534);
        assert_int_equal(nat_guess_ports(&last, 1, false, guess), 1);
        endpoint_set_port(&last, 1026);
        assert_int_equal(nat_guess_ports(&last, -1, false, guess), 2);
        assert_int_equal(nat_guess_ports(&last, INT16_MIN, true, guess), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdicts),
                cmocka_unit_test(test_ageing),
                cmocka_unit_test(test_one_member_that_talks),
                cmocka_unit_test(test_guesses),
        };

        return cmocka_run_group_tests_name("mesh-nat-check", tests, NULL, NULL);
}
