/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim-mesh-assert.h"

#include "core/crypto/cookie.h"
#include "core/mesh/gossip/neighbours.h"
#include "core/mesh/link/link.h"

/* --- strangers and floods --- */

static void test_replayed_initiation(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        g_autoptr(GByteArray) copy = g_byte_array_new();
        Wire wire = { .a = a, .b = b, .initiation = copy };
        Endpoint to = sim_node_endpoint(a->node), from;
        uint64_t sent;

        sim_set_tap(t->sim, on_wire, &wire);
        test_net_introduce(t);
        assert_int_equal(test_send(b, a, "one"), 0);
        sim_run_for(t->sim, 500 * MSEC);
        assert_true(copy->len >= INITIATION_SIZE_MIN);
        wire.initiation = NULL;
        sent = sim_node_sent(a->node);
        assert_int_equal(endpoint_parse("198.51.100.66:666", 0, &from), 0);
        sim_inject(t->sim, &from, &to, copy->data, copy->len);
        sim_run_for(t->sim, 100 * MSEC);
        assert_int_equal(test_drops(a, DROP_HANDSHAKE_REPLAYED), 1);
        assert_int_equal(sim_node_sent(a->node), sent);
        /* Also when the link is long forgotten. */
        test_machine_stop(b);
        sim_run_for(t->sim, 20 * MINUTE);
        sim_inject(t->sim, &from, &to, copy->data, copy->len);
        sim_run_for(t->sim, 100 * MSEC);
        assert_int_equal(test_drops(a, DROP_HANDSHAKE_REPLAYED), 2);
        /* A life that knows nothing of it answers, but nothing else comes of it. */
        test_machine_restart(a);
        sim_inject(t->sim, &from, &to, copy->data, copy->len);
        sim_run_for(t->sim, 10 * SEC);
        assert_int_not_equal(test_link_state(a, b), LINK_UP);
        assert_int_equal(a->ups, 1);
        sim_run_for(t->sim, 5 * MINUTE);
        test_machine_start(b, true);
}

/* As many links as there may be: the longest unused goes for a new one, unless it is of use. */
static void test_room_for_links(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        MachineId busy[2], oldest, id;
        Link *link, *first;

        test_net_introduce(t);
        for (unsigned i = 0; i < LINKS_MAX; i++) {
                id = (MachineId){ .bytes = { 0xee } };
                write_le32(id.bytes + 4, i);
                assert_int_equal(link_get(a->mesh, &id, &link), 0);
                if (i < ELEMENTSOF(busy)) {
                        busy[i] = id;
                        link_set_packets(link, true);
                }
                if (i == ELEMENTSOF(busy))
                        oldest = id;
        }
        assert_non_null(link_find(a->mesh, &oldest));
        assert_int_equal(link_get(a->mesh, &b->identity->id, &first), 0);
        assert_null(link_find(a->mesh, &oldest));
        for (unsigned i = 0; i < ELEMENTSOF(busy); i++)
                assert_non_null(link_find(a->mesh, &busy[i]));
        assert_int_equal(n_links(a), LINKS_MAX);
        /* One that is used is young again. */
        write_le32(oldest.bytes + 4, 3);
        link_touch(link_find(a->mesh, &oldest));
        id = (MachineId){ .bytes = { 0xdd } };
        assert_int_equal(link_get(a->mesh, &id, &link), 0);
        assert_non_null(link_find(a->mesh, &oldest));
        write_le32(oldest.bytes + 4, 4);
        assert_null(link_find(a->mesh, &oldest));
        /* All in use: no room, and nobody is thrown out. */
        for (unsigned i = 0; i < LINKS_MAX; i++) {
                MachineId one = { .bytes = { 0xee } };

                write_le32(one.bytes + 4, i);
                link = link_find(a->mesh, &one);
                if (link)
                        link_set_packets(link, true);
        }
        link_set_packets(first, true);
        link_set_packets(link_find(a->mesh, &id), true);
        id.bytes[1] = 1;
        assert_int_equal(link_get(a->mesh, &id, &link), -ENOBUFS);
        assert_int_equal(n_links(a), LINKS_MAX);
}

static Link *made_link(TestMachine *m, uint8_t kind, unsigned i) {
        MachineId id = { .bytes = { kind } };
        Link *link;

        write_le32(id.bytes + 4, i);
        assert_int_equal(link_get(m->mesh, &id, &link), 0);
        return link;
}

/* What somebody waits for is no unused link, however long ago it was touched: messages, an answer,
 * a machine that enrols, keys that are being asked for; nor is one that is kept for all. */
static void test_links_that_stay(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 8);
        TestMachine *gateway = &t->machines[0], *a = &t->machines[1], *away = NULL;
        g_autoptr(GBytes) message = g_bytes_new_static("x", 1);
        Link *stays[5], *goes, *asks;

        test_net_introduce(t);
        for (unsigned i = 2; i < t->n; i++)
                test_machine_stop(&t->machines[i]);
        assert_true(test_wait_up(gateway, a, 20 * SEC));
        sim_run_for(t->sim, 10 * SEC);
        for (unsigned i = 2; i < t->n; i++)
                if (!neighbours_has(a->mesh->neighbours, &t->machines[i].identity->id))
                        away = &t->machines[i];
        assert_non_null(away);
        assert_int_equal(test_connect(a, away), 0);
        stays[0] = link_find(a->mesh, &gateway->identity->id);
        stays[1] = link_find(a->mesh, &away->identity->id);
        assert_true(neighbours_has(a->mesh->neighbours, &stays[0]->machine));
        assert_true(reliable_is_idle(stays[0]->reliable));
        assert_non_null(stays[1]->attempt);
        stays[2] = made_link(a, 0xe1, 0);
        assert_int_equal(link_send_message(stays[2], message), 0);
        stays[3] = made_link(a, 0xe1, 1);
        stays[3]->enrolling = true;
        stays[4] = made_link(a, 0xe1, 2);
        link_set_packets(stays[4], true);
        asks = made_link(a, 0xe1, 3);
        g_queue_push_tail(&asks->requests, asks);
        goes = made_link(a, 0xe1, 4);
        assert_null(stays[2]->attempt);
        for (unsigned i = n_links(a); i < LINKS_MAX; i++)
                (void) made_link(a, 0xe2, i);
        /* The first that goes is younger than all of these. */
        assert_ptr_equal(link_find(a->mesh, &goes->machine), goes);
        (void) made_link(a, 0xe3, 0);
        assert_int_equal(n_links(a), LINKS_MAX);
        assert_null(link_find(a->mesh, &(MachineId){ .bytes = { 0xe1, 0, 0, 0, 4 } }));
        (void) made_link(a, 0xe3, 1);
        for (unsigned i = 0; i < ELEMENTSOF(stays); i++)
                assert_ptr_equal(link_find(a->mesh, &stays[i]->machine), stays[i]);
        assert_ptr_equal(link_find(a->mesh, &asks->machine), asks);
        g_queue_clear(&asks->requests);
        stays[3]->enrolling = false;
}

/* The longest answers to initiations of either length, and whether one was longer. */
typedef struct Amplification {
        const SimNode *asks, *answers;
        size_t asked; /* the last */
        unsigned n_answers, n_longer;
} Amplification;

static bool
watch_lengths(void *userdata, SimNode *from, const Endpoint *to, const uint8_t *data, size_t len) {
        Amplification *a = userdata;

        if (from == a->asks && data[0] == MESSAGE_HANDSHAKE_INITIATION)
                a->asked = len;
        if (from == a->answers && data[0] == MESSAGE_HANDSHAKE_RESPONSE) {
                a->n_answers++;
                a->n_longer += len > a->asked;
        }
        return true;
}

/* A source may be forged: nobody gets more back than was sent, also of a machine with a certificate
 * as long as one can be. Who really asks asks again with a longer question. */
static void test_never_more_out_than_came_in(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 3);
        TestMachine *a = &t->machines[1], *b = &t->machines[2];
        Amplification w = { .asks = a->node, .answers = b->node };
        g_autoptr(Record) small = NULL, big = NULL;
        RecordBody body;

        test_net_introduce(t);
        small = mock_certificate(
                        &t->network, t->network.issuer, &b->identity->id, "machine-2", ROLE_MEMBER,
                        MOCK_NOW);
        body = small->body;
        body.version++;
        memset(body.certificate.owner, 'o', OWNER_MAX_LEN);
        body.certificate.n_groups = GROUPS_MAX;
        for (unsigned i = 0; i < GROUPS_MAX; i++)
                memset(body.certificate.groups[i], 'a' + (int) i, 55);
        big = mock_record(&t->network, t->network.issuer, &body);
        assert_int_equal(directory_offer(b->directory, big, true, NULL), DIRECTORY_NEWS);
        mesh_set_membership(b->mesh, big, t->network.issuer_certificate, t->secret);
        sim_set_tap(t->sim, watch_lengths, &w);
        assert_int_equal(test_connect(a, b), 0);
        assert_true(test_wait_up(a, b, 20 * SEC));
        assert_true(w.n_answers > 0);
        assert_int_equal(w.n_longer, 0);
        assert_true(test_drops(b, DROP_HANDSHAKE_FAILED) > 0);
}

/* A question that is shorter than any is none, also of somebody who knows the key it is marked
 * with: the same bytes, with a hundred more, are asked for a proof. */
static void test_short_questions(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 1);
        TestMachine *a = &t->machines[0];
        Endpoint to = sim_node_endpoint(a->node), from;
        uint8_t data[INITIATION_SIZE_MIN] = { MESSAGE_HANDSHAKE_INITIATION, OMERTA_PROTOCOL_VERSION };
        uint64_t sent = sim_node_sent(a->node);
        CookieMaker mac;
        unsigned n = 0;

        assert_int_equal(endpoint_parse("198.51.100.66:666", 0, &from), 0);
        cookie_maker_init(&mac, &t->network.id, a->identity->static_public);
        for (size_t len = INITIATION_SIZE_MIN - 100; len < INITIATION_SIZE_MIN; len++, n++) {
                cookie_maker_mark(&mac, data, len, sim_now(t->sim));
                sim_inject(t->sim, &from, &to, data, len);
        }
        sim_run_for(t->sim, MSEC);
        assert_int_equal(test_drops(a, DROP_MALFORMED), n);
        assert_int_equal(sim_node_sent(a->node), sent);
        for (unsigned i = 0; i < 2 * HANDSHAKES_BURST; i++) {
                cookie_maker_mark(&mac, data, sizeof data, sim_now(t->sim));
                sim_inject(t->sim, &from, &to, data, sizeof data);
        }
        sim_run_for(t->sim, MSEC);
        assert_int_equal(test_drops(a, DROP_MALFORMED), n);
        assert_int_equal(sim_node_sent(a->node) - sent, (uint64_t) test_drops(a, DROP_COOKIE_REQUIRED));
        assert_in_range(sim_node_sent(a->node) - sent, 1, 2 * HANDSHAKES_BURST);
}

/* A clock that was set back makes initiations look replayed. */
static void test_clock_set_back(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];

        test_net_introduce(t);
        assert_int_equal(test_send(b, a, "one"), 0);
        sim_run_for(t->sim, 2 * MINUTE);
        test_machine_stop(b);
        sim_run_for(t->sim, 10 * MINUTE);
        sim_node_set_realtime_offset(b->node, -(int64_t) USEC_PER_HOUR);
        sim_node_move(b->node, "198.51.100.9:7777");
        test_machine_start(b, true);
        assert_int_equal(test_send(b, a, "my battery is empty"), 0);
        sim_run_for(t->sim, 5 * SEC);
        assert_true(test_drops(a, DROP_HANDSHAKE_REPLAYED) > 0);
        assert_message(a, 1, "my battery is empty");
}

static void test_garbage(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Endpoint to = sim_node_endpoint(a->node), from;
        uint64_t sent, dropped = 0;

        test_net_introduce(t);
        assert_int_equal(test_send(a, b, "one"), 0);
        sim_run_for(t->sim, 20 * SEC);
        sent = sim_node_sent(a->node);
        assert_int_equal(endpoint_parse("198.51.100.66:666", 0, &from), 0);
        for (unsigned i = 0; i < 5000; i++) {
                uint8_t data[1400];
                size_t len = sim_random(t->sim) % sizeof data;

                for (size_t k = 0; k < len; k++)
                        data[k] = (uint8_t) sim_random(t->sim);
                if (len > 4 && i % 2) {
                        data[0] = (uint8_t) (1 + i % 4);
                        data[1] = data[0] <= 2;
                        data[2] = data[3] = 0;
                }
                sim_inject(t->sim, &from, &to, data, len);
        }
        sim_run_for(t->sim, MSEC);
        for (DropReason r = DROP_NONE + 1; r < _DROP_REASON_MAX; r++)
                dropped += test_drops(a, r);
        assert_int_equal(dropped, 5000);
        assert_int_equal(sim_node_sent(a->node), sent);
        assert_int_equal(n_links(a), 1);
        assert_int_equal(test_send(a, b, "two"), 0);
        sim_run_for(t->sim, SEC);
        assert_message(b, 1, "two");
}

static void test_flood_of_initiations(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 2);
        TestMachine *a = &t->machines[0], *b = &t->machines[1];
        Wire wire = { .a = a, .b = b, .mute = a->node };
        Endpoint to = sim_node_endpoint(a->node), from = { .in.sin_family = AF_INET };
        uint64_t sent = sim_node_sent(a->node);
        CookieMaker mac;
        usec_t end;

        sim_set_tap(t->sim, on_wire, &wire);
        cookie_maker_init(&mac, &t->network.id, a->identity->static_public);
        endpoint_set_port(&from, 1000);
        test_net_introduce(t);
        end = sim_now(t->sim) + 4 * SEC;
        for (unsigned i = 0; sim_now(t->sim) < end; i++) {
                uint8_t data[INITIATION_SIZE_MIN];

                for (size_t k = 0; k < sizeof data; k++)
                        data[k] = (uint8_t) sim_random(t->sim);
                memset(data, 0, 4);
                data[0] = 1;
                data[1] = 1;
                /* A thousand a second from everywhere, made by somebody who knows a's key. */
                from.in.sin_addr.s_addr = htonl(0x0a000000 + i * 7);
                cookie_maker_mark(&mac, data, sizeof data, sim_now(t->sim));
                sim_inject(t->sim, &from, &to, data, sizeof data);
                /* A neighbour is looked for after a second. Question, cookie, question, answer: no
                 * timer in between. */
                if (i == 1100)
                        assert_int_equal(test_link_state(b, a), LINK_UP);
                if (i == 2500)
                        assert_int_equal(test_send(b, a, "let me in"), 0);
                sim_run_for(t->sim, MSEC);
        }
        assert_true(test_drops(a, DROP_COOKIE_REQUIRED) > 2000);
        assert_true(test_drops(a, DROP_HANDSHAKE_FAILED) < 1000);
        /* A member gets through, by way of a cookie. */
        assert_int_equal(a->messages->len, 1);
        assert_true(wire.cookies > 0);
        assert_int_equal(n_links(a), 1);
        /* Never more than one small answer to each. */
        assert_true(sim_node_sent(a->node) - sent < 4200);
}

static void test_revoked_is_cut(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 3);
        TestMachine *a = &t->machines[0], *b = &t->machines[1], *c = &t->machines[2];
        g_autoptr(Record) revocation = NULL;
        PacketPeer *peer;

        test_net_introduce(t);
        set_packets(a, b, true);
        set_packets(c, b, true);
        set_packets(b, c, true);
        set_packets(b, a, true);
        assert_true(test_wait_up(a, b, SEC));
        assert_true(test_wait_up(c, b, SEC));
        peer = mesh_packet_peer(c->mesh, &b->identity->id);
        assert_non_null(atomic_load(&peer->tx));
        revocation = mock_revocation(&t->network, t->network.issuer, &b->identity->id, MOCK_NOW + 5);
        /* c is no issuer: b does not believe it that it is out. */
        mesh_disconnect(c->mesh, &b->identity->id, CLOSE_REVOKED);
        sim_run_for(t->sim, SEC);
        assert_int_equal(b->revoked, 0);
        set_packets(c, b, true);
        set_packets(b, c, true);
        assert_int_equal(test_send(c, b, "again"), 0);
        assert_true(test_wait_up(c, b, SEC));
        peer = mesh_packet_peer(c->mesh, &b->identity->id);
        assert_non_null(atomic_load(&peer->tx));

        /* Neither the issuer nor b is there to hear of it. */
        sim_partition(t->sim, a->node, 1);
        sim_partition(t->sim, b->node, 2);
        assert_int_equal(directory_offer(c->directory, revocation, false, NULL), DIRECTORY_NEWS);
        assert_null(atomic_load(&peer->tx));
        assert_false(atomic_load(&peer->accept));
        assert_int_equal(test_link_state(c, b), LINK_DOWN);
        assert_int_equal(test_send(c, b, "no"), -ENXIO);
        assert_null(mesh_packet_peer(c->mesh, &b->identity->id));
        sim_run_for(t->sim, 10 * SEC);
        sim_partition(t->sim, b->node, 0);
        assert_int_equal(b->revoked, 0);
        assert_int_equal(test_send(b, c, "I want in"), 0);
        sim_run_for(t->sim, 10 * SEC);
        assert_int_equal(c->messages->len, 0);
        assert_true(test_drops(c, DROP_REVOKED) > 0);
        /* c only dropped what came; a hands it the record. */
        sim_partition(t->sim, a->node, 0);
        assert_int_equal(directory_offer(a->directory, revocation, false, NULL), DIRECTORY_NEWS);
        sim_run_for(t->sim, SEC);
        assert_int_equal(b->revoked, 1);
        assert_int_equal(n_links(b), 0);
        assert_int_equal(test_send(b, a, "please"), -ENXIO);
}

/* --- gossip --- */

static void hear_nothing(void *userdata, const MachineId *sender, const uint8_t *data, size_t len) {
}

/* Says what it has, and does not send it. */
static void announce(TestMachine *m, const TestMachine *to, const Record *record) {
        ChannelProvider *p = test_channels(m);
        GossipMessage have = {
                .op = GOSSIP_HAVE,
                .hashes = g_array_new(FALSE, FALSE, sizeof(uint64_t)),
        };
        uint64_t hash = read_le64(record->hash);
        g_autoptr(GBytes) bytes = NULL;

        g_array_append_val(have.hashes, hash);
        bytes = gossip_message_encode(&have);
        p->ops->send(p->self, &to->identity->id, "gossip", g_bytes_get_data(bytes, NULL),
                     g_bytes_get_size(bytes));
        gossip_message_clear(&have);
}

/* Whoever stands between the victim and the rest cannot keep a revocation from it once it has one
 * honest link. */
static void test_silent_about_a_revocation(void **state) {
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, 5);
        TestMachine *gateway = &t->machines[0], *victim = &t->machines[1], *liar = &t->machines[2],
                    *honest = &t->machines[3], *thief = &t->machines[4];
        ChannelProvider *p = test_channels(liar);
        g_autoptr(Record) revocation = mock_revocation(
                        &t->network, t->network.issuer, &thief->identity->id, MOCK_NOW + 5);

        test_net_introduce(t);
        test_machine_stop(gateway);
        test_machine_stop(honest);
        p->ops->off_channel(p->self, "gossip");
        p->ops->on_channel(p->self, "gossip", hear_nothing, NULL, NULL);
        assert_int_equal(test_connect(victim, liar), 0);
        assert_true(test_wait_up(victim, liar, SEC));
        for (unsigned i = 0; i < 60; i++) {
                announce(liar, victim, revocation);
                sim_run_for(t->sim, 500 * MSEC);
        }
        assert_false(directory_is_revoked(victim->directory, &thief->identity->id));

        test_machine_start(honest, true);
        directory_offer(honest->directory, revocation, false, NULL);
        sim_run_for(t->sim, MSEC); /* nobody is there to hear of it */
        test_hint(victim, honest);
        assert_int_equal(test_connect(victim, honest), 0);
        for (unsigned i = 0; i < 4; i++) {
                announce(liar, victim, revocation);
                sim_run_for(t->sim, 500 * MSEC);
        }
        assert_int_equal(test_link_state(victim, honest), LINK_UP);
        assert_true(directory_is_revoked(victim->directory, &thief->identity->id));
        test_machine_start(gateway, true);
}

/* --- enrolment links --- */

static bool
lookup_invite(void *userdata,
              const uint8_t id[static INVITE_ID_SIZE],
              const MachineId *machine,
              uint8_t ret_psk[static 32]) {
        memset(ret_psk, 0x77, 32);
        return id[0] == 42;
}

static void on_enrol_request(
                void *userdata,
                const MachineId *sender,
                ChannelRequest *request,
                const uint8_t *data,
                size_t len) {
        ChannelProvider *p = test_channels(userdata);

        p->ops->reply(p->self, request, "welcome", 7);
}

static int ask_to_enrol(TestMachine *m, const TestMachine *to, const char *channel, Answer *a) {
        ChannelProvider *p = test_channels(m);

        return p->ops->request(
                        p->self, &to->identity->id, channel, "x", 1, 5 * SEC, on_answer, a, NULL);
}

/* As a machine would that was not made by us. */
static void send_against_the_rules(TestMachine *m, const TestMachine *to) {
        Link *link = link_find(m->mesh, &to->identity->id);
        ControlMessage data = { .kind = CONTROL_DATA, .channel = TEST_CHANNEL };
        ControlMessage request = { .kind = CONTROL_REQUEST, .request_id = 9, .channel = TEST_CHANNEL };
        g_autoptr(GBytes) a = control_message_encode(&data);
        g_autoptr(GBytes) b = control_message_encode(&request);
        const uint8_t datagram[] = { FRAME_DATAGRAM, 4, 't', 'e', 's', 't', 'x' };

        assert_int_equal(link_send_message(link, a), 0);
        assert_int_equal(link_send_message(link, b), 0);
        assert_true(link_send_frame(link, datagram, sizeof datagram));
}

static void test_enrol_links(void **state) {
        static const struct {
                uint8_t id, psk;
                bool works;
        } table[] = {
                { 42, 0x77, true },  /* the invite */
                { 42, 0x78, false }, /* its id, not its token */
                { 41, 0x77, false }, /* no such invite */
                { 42, 0x77, true },  /* not let in yet */
        };

        for (unsigned i = 0; i < ELEMENTSOF(table); i++) {
                _cleanup_(test_net_freep) TestNet *t = test_net_new(i + 1, 2);
                TestMachine *a = &t->machines[0], *b = &t->machines[1];
                ChannelProvider *p = test_channels(a);
                _cleanup_(answer_clear) Answer answer = {}, other = {}, member = {};
                g_autoptr(Record) certificate = NULL;
                uint8_t id[INVITE_ID_SIZE] = { table[i].id }, psk[32];
                _cleanup_(secret_unrefp) Secret *secret = NULL;

                memset(psk, table[i].psk, sizeof psk);
                secret = secret_new(psk);
                test_machine_stop(b);
                test_machine_start(b, false);
                test_hint(b, a);
                mesh_set_issuer(a->mesh, lookup_invite, a);
                p->ops->on_channel(p->self, "enrol", NULL, on_enrol_request, a);
                assert_int_equal(mesh_connect_to_enrol(b->mesh, &a->identity->id, id, secret), 0);
                assert_int_equal(ask_to_enrol(b, a, "enrol", &answer), 0);
                assert_int_equal(ask_to_enrol(b, a, TEST_CHANNEL, &other), -ENXIO);
                sim_run_for(t->sim, 6 * SEC);
                if (!table[i].works) {
                        assert_string_equal(answer.error, "Timeout");
                        assert_int_equal(a->ups, 0);
                        /* What it began is not kept. */
                        sim_node_sleep(b->node, true);
                        sim_run_for(t->sim, 11 * SEC);
                        assert_int_equal(n_links(a), 0);
                        continue;
                }
                assert_answer(&answer, "welcome");
                /* Nobody but the channel enrol hears of it. */
                assert_int_equal(a->ups, 0);
                assert_int_equal(test_send(a, b, "x"), -ENXIO);
                send_against_the_rules(b, a);
                sim_run_for(t->sim, 100 * MSEC);
                assert_int_equal(a->messages->len, 0);
                assert_int_equal(a->requests, 0);
                if (i == 0) {
                        certificate = mock_certificate(
                                        &t->network, t->network.issuer, &b->identity->id, "bob",
                                        ROLE_MEMBER, MOCK_NOW);
                        directory_offer(b->directory, certificate, false, NULL);
                        mesh_set_membership(
                                        b->mesh, certificate, t->network.issuer_certificate,
                                        t->secret);
                        assert_int_equal(ask(b, a, "abc", 5 * SEC, &member), 0);
                        sim_run_for(t->sim, SEC);
                        assert_answer(&member, "cba");
                        assert_int_equal(a->ups, 1);
                        sim_run_for(t->sim, 2 * MINUTE);
                        assert_int_equal(test_link_state(a, b), LINK_UP);
                } else {
                        /* It does not stay for ever, and can be asked for again. */
                        sim_run_for(t->sim, 50 * SEC);
                        assert_int_equal(n_links(a), 1);
                        sim_run_for(t->sim, 20 * SEC);
                        assert_int_equal(n_links(a), 0);
                        assert_false(endpoint_book_knows(a->mesh->book, &b->identity->id));
                        answer_clear(&answer);
                        answer = (Answer){};
                        assert_int_equal(ask_to_enrol(b, a, "enrol", &answer), 0);
                        sim_run_for(t->sim, 5 * SEC);
                        assert_answer(&answer, "welcome");
                }
        }
}

/* A link that is passed around: whoever is behind it leaves room for those with other invites. */
static void test_strangers_of_one_invite(void **state) {
        enum { N = STRANGERS_PER_INVITE_MAX + 10 };
        _cleanup_(test_net_freep) TestNet *t = test_net_new(1, N);
        TestMachine *a = &t->machines[0], *other = &t->machines[N - 1];
        uint8_t id[INVITE_ID_SIZE] = { 42, 1 }, another[INVITE_ID_SIZE] = { 42, 2 }, key[SECRET_SIZE];
        _cleanup_(secret_unrefp) Secret *psk = NULL;
        ChannelProvider *p = test_channels(a);
        _cleanup_(answer_clear) Answer answer = {};

        memset(key, 0x77, sizeof key);
        psk = secret_new(key);
        mesh_set_issuer(a->mesh, lookup_invite, a);
        p->ops->on_channel(p->self, "enrol", NULL, on_enrol_request, a);
        for (unsigned i = 1; i < N; i++) {
                test_machine_stop(&t->machines[i]);
                test_machine_start(&t->machines[i], false);
                test_hint(&t->machines[i], a);
                if (i < N - 1)
                        assert_int_equal(
                                        mesh_connect_to_enrol(
                                                        t->machines[i].mesh, &a->identity->id, id,
                                                        psk),
                                        0);
        }
        sim_run_for(t->sim, 5 * SEC);
        assert_int_equal(n_links(a), STRANGERS_PER_INVITE_MAX);
        assert_true(test_drops(a, DROP_CONTROL_OVERFLOW) > 0);
        assert_int_equal(mesh_connect_to_enrol(other->mesh, &a->identity->id, another, psk), 0);
        assert_int_equal(ask_to_enrol(other, a, "enrol", &answer), 0);
        sim_run_for(t->sim, SEC);
        assert_answer(&answer, "welcome");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_replayed_initiation),
                cmocka_unit_test(test_never_more_out_than_came_in),
                cmocka_unit_test(test_short_questions),
                cmocka_unit_test(test_room_for_links),
                cmocka_unit_test(test_links_that_stay),
                cmocka_unit_test(test_clock_set_back),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_flood_of_initiations),
                cmocka_unit_test(test_revoked_is_cut),
                cmocka_unit_test(test_silent_about_a_revocation),
                cmocka_unit_test(test_enrol_links),
                cmocka_unit_test(test_strangers_of_one_invite),
        };

        return cmocka_run_group_tests_name("sim-mesh-hostile", tests, NULL, NULL);
}
