/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What one member can make another do, and that the others do not feel it. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim-mesh-assert.h"

#include "core/mesh/link/link.h"

/* One way takes 10 ms; nothing was sent twice, which takes 250 ms. */
#define ANSWER_USEC (30 * MSEC)
/* A handshake before it. */
#define FIRST_ANSWER_USEC (60 * MSEC)

/* Requests that fit the budget of a member in @duration. */
static unsigned requests_in(usec_t duration) {
        return (unsigned) ((BUDGET_BURST_USEC + duration / BUDGET_PART) / COST_REQUEST);
}

static void on_ignored(void *userdata, WireError error, const uint8_t *data, size_t len) {
        (*(unsigned *) userdata)++;
}

/* As many requests as it may have open; those that are answered, again. */
static void
ask_all(TestMachine *m, const TestMachine *to, const char *channel, unsigned *ret_answered) {
        ChannelProvider *p = test_channels(m);

        while (p->ops->request(p->self, &to->identity->id, channel, "x", 1, 5 * SEC, on_ignored,
                               ret_answered, NULL) >= 0)
                ;
}

static void assert_answered_in(TestMachine *m, TestMachine *by, usec_t duration) {
        _cleanup_(answer_clear) Answer answer = {};

        assert_int_equal(ask(m, by, "abc", 10 * SEC, &answer), 0);
        sim_run_for(m->net->sim, duration);
        assert_answer(&answer, "cba");
}

static void on_probed(void *userdata, bool lost, usec_t rtt) {
        *(bool *) userdata = !lost;
}

static void assert_pong_in(TestMachine *m, const TestMachine *by, usec_t duration) {
        ChannelProvider *p = test_channels(m);
        bool answered = false;

        assert_int_equal(p->ops->probe(p->self, &by->identity->id, SEC, on_probed, &answered), 0);
        sim_run_for(m->net->sim, duration);
        assert_true(answered);
        sim_run_for(m->net->sim, SEC);
}

/* Requests at full speed: a bounded number is served, others wait for nothing, and when it is over
 * the hostile one is a member like any other. */
static void test_requests(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 4);
        TestMachine *a = &t->machines[0], *hostile = &t->machines[1];
        TestMachine *b = &t->machines[2], *c = &t->machines[3];
        unsigned answered = 0;
        usec_t start;

        test_net_introduce(t);
        assert_answered_in(b, a, FIRST_ANSWER_USEC);
        start = sim_now(t->sim);
        for (unsigned i = 0; i < 1000; i++) {
                ask_all(hostile, a, TEST_CHANNEL, &answered);
                sim_run_for(t->sim, 5 * MSEC);
                if (i % 100 == 99) {
                        assert_answered_in(b, a, ANSWER_USEC);
                        assert_pong_in(b, a, ANSWER_USEC);
                }
                if (i == 500)
                        assert_answered_in(c, a, FIRST_ANSWER_USEC);
        }
        assert_true(test_drops(a, DROP_OVER_BUDGET) > 0);
        assert_in_range(a->requests, requests_in(0) / 2, requests_in(sim_now(t->sim) - start));
        /* What is still open ends, and then it is as if nothing had been. */
        sim_run_for(t->sim, 40 * SEC);
        assert_answered_in(hostile, a, FIRST_ANSWER_USEC);
}

/* Every kind of frame, as fast as a wire takes them, and a link made anew ever again. */
static void test_frames(void **state) {
        static const uint8_t probe[9] = { FRAME_PROBE }, ack[ACK_SIZE] = { FRAME_ACK };
        static const uint8_t close[2] = { FRAME_CLOSE };
        _cleanup_(test_net_freep) TestNet *t = test_net_new(2, 3);
        TestMachine *a = &t->machines[0], *hostile = &t->machines[1], *b = &t->machines[2];
        uint64_t n = 0;
        usec_t start;

        test_net_introduce(t);
        assert_answered_in(b, a, FIRST_ANSWER_USEC);
        start = sim_now(t->sim);
        for (unsigned i = 0; i < 200; i++) {
                Link *link;

                if (test_link_state(hostile, a) != LINK_UP)
                        (void) test_connect(hostile, a);
                sim_run_for(t->sim, 25 * MSEC);
                link = link_find(hostile->mesh, &a->identity->id);
                for (unsigned k = 0; link && link_is_up(link) && k < 800; k++) {
                        n += link_send_frame(link, probe, sizeof probe);
                        n += link_send_frame(link, ack, sizeof ack);
                }
                if (i % 8 == 0 && link && link_is_up(link)) {
                        (void) link_send_frame(link, close, sizeof close);
                        mesh_disconnect(hostile->mesh, &a->identity->id, CLOSE_SHUTDOWN);
                }
                if (i % 50 == 49)
                        assert_answered_in(b, a, ANSWER_USEC);
        }
        sim_run_for(t->sim, SEC);
        /* More was sent than may be read, and no more was. */
        assert_true(n > 250000);
        assert_in_range(n - test_drops(a, DROP_OVER_BUDGET), 0,
                        (BUDGET_BURST_USEC + (sim_now(t->sim) - start) / BUDGET_PART) / COST_FRAME);
}

/* Much that is meant: all of it comes, and none is turned away. */
static void test_bulk(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(3, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        g_autofree char *text = g_strnfill(30000, 'x');
        unsigned sent = 0;

        test_net_introduce(t);
        for (unsigned i = 0; sent < 300 && i < 10000; i++) {
                while (sent < 300 && test_send(b, a, text) >= 0)
                        sent++;
                sim_run_for(t->sim, 10 * MSEC);
        }
        sim_run_for(t->sim, 10 * SEC);
        assert_int_equal(a->messages->len, 300);
        assert_int_equal(test_drops(a, DROP_OVER_BUDGET), 0);
}

/* --- enrolment --- */

typedef struct Issuer {
        TestMachine *machine;
        unsigned asked;
} Issuer;

static bool
lookup_invite(void *userdata,
              const uint8_t id[static INVITE_ID_SIZE],
              const MachineId *machine,
              uint8_t ret_psk[static 32]) {
        memset(ret_psk, 0, 32);
        return true;
}

static void
on_enrol(void *userdata,
         const MachineId *sender,
         ChannelRequest *request,
         const uint8_t *data,
         size_t len) {
        Issuer *s = userdata;
        ChannelProvider *p = test_channels(s->machine);

        s->asked++;
        mesh_charge(s->machine->mesh, sender, COST_SIGNATURE);
        p->ops->reply(p->self, request, "welcome", 7);
}

static Issuer *issuer_new(TestMachine *m) {
        Issuer *s = NEW(Issuer);
        ChannelProvider *p = test_channels(m);

        s->machine = m;
        mesh_set_issuer(m->mesh, lookup_invite, s);
        assert_int_equal(p->ops->on_channel(p->self, "enrol", NULL, on_enrol, s), 0);
        return s;
}

/* Who is a member already is refused before anything is verified. */
static void test_member_enrols(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(4, 2);
        TestMachine *a = &t->machines[0], *hostile = &t->machines[1];
        g_autofree Issuer *issuer = issuer_new(a);
        ChannelProvider *p = test_channels(hostile);
        _cleanup_(answer_clear) Answer answer = {};

        test_net_introduce(t);
        assert_answered_in(hostile, a, FIRST_ANSWER_USEC);
        assert_int_equal(
                        p->ops->request(p->self, &a->identity->id, "enrol", "x", 1, SEC, on_answer,
                                        &answer, NULL),
                        0);
        sim_run_for(t->sim, ANSWER_USEC);
        assert_string_equal(answer.error, "NoSuchChannel");
        assert_int_equal(issuer->asked, 0);
}

/* Forty strangers at full speed: together they get what one member does, and whoever comes next is
 * still let in; members feel nothing. */
static void test_strangers(void **state) {
        enum { STRANGERS = 40 };
        static const uint8_t invite[INVITE_ID_SIZE] = { 1 }, zeros[SECRET_SIZE] = {};
        _cleanup_(secret_unrefp) Secret *psk = secret_new(zeros);
        _cleanup_(test_net_freep) TestNet *t = test_net_new(5, STRANGERS + 3);
        TestMachine *a = &t->machines[0], *b = &t->machines[1], *late = &t->machines[2];
        TestMachine *hostile = t->machines + 3;
        g_autofree Issuer *issuer = issuer_new(a);
        ChannelProvider *p;
        _cleanup_(answer_clear) Answer answer = {};
        unsigned answered = 0;
        usec_t start = sim_now(t->sim);

        test_net_introduce(t);
        for (unsigned i = 2; i < STRANGERS + 3; i++) {
                test_machine_stop(&t->machines[i]);
                test_machine_start(&t->machines[i], false);
                test_hint(&t->machines[i], a);
        }
        assert_answered_in(b, a, FIRST_ANSWER_USEC);
        p = test_channels(late);
        for (unsigned i = 0; i < STRANGERS; i++)
                assert_int_equal(
                                mesh_connect_to_enrol(hostile[i].mesh, &a->identity->id, invite, psk),
                                0);
        for (unsigned i = 0; i < 400; i++) {
                for (unsigned k = 0; k < STRANGERS; k++)
                        ask_all(&hostile[k], a, "enrol", &answered);
                sim_run_for(t->sim, 20 * MSEC);
                if (i % 100 == 99)
                        assert_answered_in(b, a, ANSWER_USEC);
                if (i == 100) {
                        assert_int_equal(
                                        mesh_connect_to_enrol(
                                                        late->mesh, &a->identity->id, invite, psk),
                                        0);
                        assert_int_equal(
                                        p->ops->request(p->self, &a->identity->id, "enrol", "x", 1,
                                                        USEC_INFINITY, on_answer, &answer, NULL),
                                        0);
                }
        }
        assert_answer(&answer, "welcome");
        assert_in_range(issuer->asked, STRANGERS,
                        (BUDGET_BURST_USEC + (sim_now(t->sim) - start) / BUDGET_PART) /
                                        (COST_REQUEST + COST_SIGNATURE));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_requests),  cmocka_unit_test(test_frames),
                cmocka_unit_test(test_bulk),      cmocka_unit_test(test_member_enrols),
                cmocka_unit_test(test_strangers),
        };

        return cmocka_run_group_tests_name("sim-mesh-budget", tests, NULL, NULL);
}
