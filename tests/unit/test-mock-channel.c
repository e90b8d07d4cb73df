/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/macros.h"
#include "mock-channel.h"

typedef struct Log {
        MockNode *node;
        GString *text;
} Log;

static void on_data(void *userdata, const MachineId *sender, const uint8_t *data, size_t len) {
        g_string_append_printf(((Log *) userdata)->text, "%.*s;", (int) len, (const char *) data);
}

static void
on_request(void *userdata,
           const MachineId *sender,
           ChannelRequest *request,
           const uint8_t *data,
           size_t len) {
        const ChannelProvider *p = mock_node_provider(((Log *) userdata)->node);

        if (len == 1)
                p->ops->reply(p->self, request, "pong", 4);
        else
                (p->ops->fail)(p->self, request, WIRE_ERROR_FULL); /* cmocka has a macro fail() */
}

static void on_reply(void *userdata, WireError error, const uint8_t *data, size_t len) {
        if (error)
                g_string_append_printf(((Log *) userdata)->text, "error %s;", wire_error_name(error));
        else
                on_data(userdata, NULL, data, len);
}

static void on_probe(void *userdata, bool lost, usec_t rtt) {
        g_string_append_printf(
                        ((Log *) userdata)->text, "%s %u;", lost ? "lost" : "rtt", (unsigned) rtt);
}

static void on_state(void *userdata, const MachineId *machine, LinkState state, bool restarted) {
        static const char *const names[] = { "down", "connecting", "up" };

        g_string_append_printf(((Log *) userdata)->text, "%s%s;", names[state], restarted ? "!" : "");
}

static void expect(Log *l, const char *text) {
        assert_string_equal(l->text->str, text);
        g_string_truncate(l->text, 0);
}

static void test_everything(void **state) {
        MockMesh *m = mock_mesh_new(1);
        MachineId ia = mock_machine_id(1), ib = mock_machine_id(2), ic = mock_machine_id(3);
        Log a = { mock_mesh_add(m, &ia), g_string_new(NULL) };
        Log b = { mock_mesh_add(m, &ib), g_string_new(NULL) };
        const ChannelProvider *pa = mock_node_provider(a.node), *pb = mock_node_provider(b.node);

        assert_int_equal(pb->ops->on_channel(pb->self, "x", on_data, on_request, &b), 0);
        assert_int_equal(pb->ops->on_channel(pb->self, "x", on_data, NULL, &b), -EEXIST);
        assert_int_equal(pb->ops->on_channel(pb->self, "no no", on_data, NULL, &b), -EINVAL);
        pa->ops->on_link_state(pa->self, on_state, &a);

        /* The first message makes the link. */
        assert_int_equal(pa->ops->send(pa->self, &ic, "x", "1", 1), -ENXIO);
        assert_int_equal(pa->ops->send_datagram(pa->self, &ib, "x", "1", 1), -ENOTCONN);
        assert_int_equal(pa->ops->send(pa->self, &ib, "x", "1", 1), 0);
        assert_int_equal(pa->ops->send(pa->self, &ib, "x", "2", 1), 0);
        mock_mesh_run(m, USEC_PER_SEC);
        expect(&a, "connecting;up;");
        expect(&b, "1;2;");

        /* Requests and their errors. */
        pa->ops->request(pa->self, &ib, "x", "?", 1, USEC_PER_SEC, on_reply, &a, NULL);
        pa->ops->request(pa->self, &ib, "x", "??", 2, USEC_PER_SEC, on_reply, &a, NULL);
        pa->ops->request(pa->self, &ib, "y", "?", 1, USEC_PER_SEC, on_reply, &a, NULL);
        mock_mesh_settle(m);
        expect(&a, "pong;error Full;error NoSuchChannel;");

        /* Cut: messages wait, requests time out, datagrams and probes are lost. */
        mock_mesh_set_reachable(m, a.node, b.node, false);
        pa->ops->request(pa->self, &ib, "x", "?", 1, USEC_PER_SEC, on_reply, &a, NULL);
        pa->ops->send(pa->self, &ib, "x", "3", 1);
        pa->ops->send_datagram(pa->self, &ib, "x", "lost", 4);
        pa->ops->probe(pa->self, &ib, USEC_PER_SEC, on_probe, &a);
        mock_mesh_run(m, 5 * USEC_PER_SEC);
        expect(&a, "error Timeout;lost 0;");
        expect(&b, "");
        mock_mesh_set_reachable(m, a.node, b.node, true);
        mock_mesh_run(m, USEC_PER_SEC);
        expect(&b, "3;");
        pa->ops->probe(pa->self, &ib, USEC_PER_SEC, on_probe, &a);
        mock_mesh_run(m, USEC_PER_SEC);
        expect(&a, "rtt 20000;");

        /* A restart is told by the next link; a link that goes fails its requests. */
        mock_node_restart(b.node);
        expect(&a, "");
        pb->ops->connect(pb->self, &ia);
        mock_mesh_run(m, USEC_PER_SEC);
        expect(&a, "up!;");
        pa->ops->request(pa->self, &ib, "x", "?", 1, USEC_PER_SEC, on_reply, &a, NULL);
        mock_mesh_link_down(m, a.node, b.node);
        expect(&a, "down;error Unreachable;");
        assert_int_equal(mock_mesh_open_requests(m), 0);

        /* What cannot be delivered is given up after 90 s. */
        mock_mesh_set_reachable(m, a.node, b.node, false);
        pa->ops->request(pa->self, &ib, "x", "?", 1, USEC_PER_HOUR, on_reply, &a, NULL);
        mock_mesh_run(m, 89 * USEC_PER_SEC);
        expect(&a, "connecting;");
        pa->ops->on_link_state(pa->self, NULL, &a);
        mock_mesh_run(m, 2 * USEC_PER_SEC);
        expect(&a, "error Unreachable;");

        g_string_free(a.text, TRUE);
        g_string_free(b.text, TRUE);
        mock_mesh_free(m);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_everything),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
