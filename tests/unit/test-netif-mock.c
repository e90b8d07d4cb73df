/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <string.h>

#include "base/macros.h"
#include "netif/mock.h"

static bool readable(Netif *n) {
        struct pollfd p = { .fd = n->ops->fd(n), .events = POLLIN };

        return poll(&p, 1, 0) == 1;
}

static void write_bytes(Netif *n, const void *data, size_t len) {
        PacketOut out = { .n_iov = 1 };

        out.iov[0] = (struct iovec){ (void *) data, len };
        assert_int_equal(n->ops->write_batch(n, &out, 1, &(unsigned){ 0 }), 1);
}

static void test_mock_interface_roundtrip(void **state) {
        Netif *n = mock_netif_new("mock0");
        PacketIn in[4];

        assert_false(readable(n));
        assert_int_equal(n->ops->read_batch(n, in, ELEMENTSOF(in)), 0);
        mock_netif_app_send(n, "test packet", 11, NULL);
        assert_true(readable(n));
        assert_int_equal(n->ops->read_batch(n, in, ELEMENTSOF(in)), 1);
        assert_int_equal(in[0].len, 11);
        assert_memory_equal(in[0].data, "test packet", 11);
        assert_int_equal(in[0].offload.gso_type, GSO_NONE);
        assert_false(readable(n));
        netif_free(n);
}

static void test_mock_interface_receive(void **state) {
        Netif *n = mock_netif_new("mock0");
        g_autoptr(GBytes) received = NULL;
        OffloadInfo offload;

        assert_null(mock_netif_app_received(n, &offload));
        write_bytes(n, "incoming", 8);
        received = mock_netif_app_received(n, &offload);
        assert_non_null(received);
        assert_int_equal(g_bytes_get_size(received), 8);
        assert_memory_equal(g_bytes_get_data(received, NULL), "incoming", 8);
        netif_free(n);
}

static void test_two_mock_interfaces_connected(void **state) {
        Netif *a = mock_netif_new("mock1"), *b = mock_netif_new("mock2");
        g_autoptr(GBytes) received = NULL;
        PacketIn in[4];

        mock_netif_app_send(a, "hello", 5, NULL);
        assert_int_equal(a->ops->read_batch(a, in, ELEMENTSOF(in)), 1);
        write_bytes(b, in[0].data, in[0].len);
        received = mock_netif_app_received(b, NULL);
        assert_non_null(received);
        assert_memory_equal(g_bytes_get_data(received, NULL), "hello", 5);
        netif_free(a);
        netif_free(b);
}

/* More packets than a batch, with their metadata, in order; still readable in between. */
static void test_mock_batches(void **state) {
        Netif *n = mock_netif_new("mock0");
        PacketIn in[3];

        for (uint8_t i = 0; i < 5; i++)
                mock_netif_app_send(n, &i, 1, &(OffloadInfo){ .gso_type = GSO_UDP, .gso_size = i });
        assert_int_equal(n->ops->read_batch(n, in, 3), 3);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(in[i].data[0], i);
                assert_int_equal(in[i].offload.gso_size, i);
        }
        assert_true(readable(n));
        assert_int_equal(n->ops->read_batch(n, in, 3), 2);
        assert_int_equal(in[1].data[0], 4);
        assert_false(readable(n));
        netif_free(n);
}

static void test_mock_gathers(void **state) {
        Netif *n = mock_netif_new("mock0");
        g_autoptr(GBytes) received = NULL;
        PacketOut out = { .n_iov = 2, .offload = { .gso_type = GSO_TCPV4, .gso_size = 2 } };
        OffloadInfo offload;

        out.iov[0] = (struct iovec){ (void *) "head", 4 };
        out.iov[1] = (struct iovec){ (void *) "tail", 4 };
        assert_int_equal(n->ops->write_batch(n, &out, 1, &(unsigned){ 0 }), 1);
        received = mock_netif_app_received(n, &offload);
        assert_memory_equal(g_bytes_get_data(received, NULL), "headtail", 8);
        assert_int_equal(offload.gso_type, GSO_TCPV4);
        netif_free(n);
}

static void test_mock_configure(void **state) {
        Netif *n = mock_netif_new("mock0");
        IpAddr address = ip_from_v4(0x0a000005), none = {}, got;

        assert_int_equal(n->ops->configure(n, &address, 16, &none, 0, 1420), 0);
        got = mock_netif_address(n);
        assert_true(ip_equal(&got, &address));
        netif_free(n);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_mock_interface_roundtrip),
                cmocka_unit_test(test_mock_interface_receive),
                cmocka_unit_test(test_two_mock_interfaces_connected),
                cmocka_unit_test(test_mock_batches),
                cmocka_unit_test(test_mock_gathers),
                cmocka_unit_test(test_mock_configure),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
