/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sim-mesh.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "core/crypto/aead.h"

static void on_data(void *userdata, const MachineId *sender, const uint8_t *data, size_t len) {
        TestMachine *m = userdata;

        g_ptr_array_add(m->messages, g_bytes_new(data, len));
}

/* An echo, backwards, so that it is no mistake. */
static void
on_request(void *userdata,
           const MachineId *sender,
           ChannelRequest *request,
           const uint8_t *data,
           size_t len) {
        TestMachine *m = userdata;
        ChannelProvider *p = test_channels(m);
        g_autofree uint8_t *reply = g_malloc(len);

        m->requests++;
        if (len == 5 && memcmp(data, "never", 5) == 0)
                return;
        if (len == 4 && memcmp(data, "fail", 4) == 0) {
                p->ops->fail(p->self, request, WIRE_ERROR_NOT_PERMITTED);
                return;
        }
        for (size_t i = 0; i < len; i++)
                reply[i] = data[len - 1 - i];
        p->ops->reply(p->self, request, reply, len);
}

static void on_link_state(void *userdata, const MachineId *machine, LinkState state, bool restarted) {
        TestMachine *m = userdata;

        m->ups += state == LINK_UP;
        m->downs += state == LINK_DOWN;
        m->restarts += restarted;
}

static void on_packet(void *userdata, PacketPeer *peer, uint8_t flags, uint8_t *packet, size_t len) {
        TestMachine *m = userdata;

        g_ptr_array_add(m->packets, g_bytes_new(packet, len));
}

static void on_revoked(void *userdata) {
        ((TestMachine *) userdata)->revoked++;
}

static void on_link_changed(void *userdata, const MachineId *machine) {
        ((TestMachine *) userdata)->link_changes++;
}

static void receive(void *userdata, uint8_t *data, size_t len, const Endpoint *from) {
        (void) mesh_handle_datagram(((TestMachine *) userdata)->mesh, data, len, from);
}

static Record *own_certificate(TestMachine *m) {
        const MockNetwork *n = &m->net->network;
        g_autofree char *name = g_strdup_printf("machine-%u", m->index);

        if (m->index == 0)
                return record_ref(n->issuer_certificate);
        return mock_certificate(n, n->issuer, &m->identity->id, name, ROLE_MEMBER, MOCK_NOW);
}

static void must_take(Directory *d, Record *r) {
        int verdict = directory_offer(d, r, true, NULL);

        if (verdict != DIRECTORY_NEWS && verdict != DIRECTORY_KNOWN) {
                fprintf(stderr, "a record of the test itself is refused (%i)\n", verdict);
                abort();
        }
}

void test_machine_start(TestMachine *m, bool member) {
        TestNet *t = m->net;
        const MeshEnv *env = sim_node_env(m->node);
        Endpoint endpoint = sim_node_endpoint(m->node);
        MeshConfig config = {
                .network = t->network.id,
                .identity = m->identity,
                .drops = &m->drops,
                .store = memory_store_mesh(m->store),
                .ciphers = aead_ciphers(),
                .mtu = OMERTA_MTU_DEFAULT,
                .port = endpoint_port(&endpoint),
                .software = "test",
                .handler = { .userdata = m,
                             .packet = on_packet,
                             .revoked = on_revoked,
                             .link_changed = on_link_changed },
        };
        ChannelProvider *p;

        m->indices = config.indices = index_table_new();
        if (directory_new(&t->network.id, env, config.store, &m->directory) < 0)
                abort();
        config.directory = m->directory;
        write_le32(config.boot_id, m->index);
        write_le32(config.boot_id + 4, (uint32_t) ++m->boots << 16);
        if (mesh_new(env, &config, &m->mesh) < 0)
                abort();
        p = test_channels(m);
        p->ops->on_channel(p->self, TEST_CHANNEL, on_data, on_request, m);
        p->ops->on_link_state(p->self, on_link_state, m);
        sim_node_on_receive(m->node, receive, m);
        mesh_set_local_endpoints(m->mesh, &endpoint, 1);
        if (member) {
                g_autoptr(Record) certificate = own_certificate(m);

                must_take(m->directory, t->network.issuer_certificate);
                must_take(m->directory, certificate);
                mesh_set_membership(
                                m->mesh, certificate,
                                m->index == 0 ? NULL : t->network.issuer_certificate, t->secret);
        }
}

void test_machine_stop(TestMachine *m) {
        /* Nothing of what it says on its way out gets through. */
        sim_node_on_receive(m->node, NULL, NULL);
        sim_node_sleep(m->node, true);
        m->mesh = mesh_free(m->mesh);
        m->directory = directory_free(m->directory);
        sim_node_sleep(m->node, false);
        m->indices = index_table_free(m->indices);
        memory_store_lose_power(m->store);
}

void test_machine_restart(TestMachine *m) {
        test_machine_stop(m);
        test_machine_start(m, true);
}

TestNet *test_net_new(uint64_t seed, unsigned n) {
        TestNet *t = NEW(TestNet);

        if (aead_setup() < 0)
                abort();
        t->sim = sim_new(seed);
        if (seed != FUZZ_SEED)
                fprintf(stderr, "SIM_SEED=%llu\n", (unsigned long long) sim_seed(t->sim));
        mock_network_init(&t->network);
        t->secret = secret_new((const uint8_t[SECRET_SIZE]){ 0x5e });
        t->n = n;
        t->machines = g_new0(TestMachine, n);
        for (unsigned i = 0; i < n; i++) {
                TestMachine *m = &t->machines[i];
                g_autofree char *name = g_strdup_printf("machine-%u", i);
                g_autofree char *at = g_strdup_printf(
                                "192.0.%u.%u:18002", 2 + (i + 1) / 256, (i + 1) % 256);

                m->net = t;
                m->index = i;
                m->identity = i == 0 ? t->network.issuer : mock_identity(i);
                m->node = sim_node_new(t->sim, name, at);
                m->store = memory_store_new();
                m->messages = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
                m->packets = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
                test_machine_start(m, true);
        }
        return t;
}

TestNet *test_net_free(TestNet *t) {
        if (!t)
                return NULL;
        for (unsigned i = 0; i < t->n; i++) {
                TestMachine *m = &t->machines[i];

                mesh_free(m->mesh);
                directory_free(m->directory);
                index_table_free(m->indices);
                memory_store_free(m->store);
                g_ptr_array_unref(m->messages);
                g_ptr_array_unref(m->packets);
                if (i > 0)
                        identity_free(m->identity);
        }
        sim_free(t->sim);
        secret_unref(t->secret);
        mock_network_done(&t->network);
        g_free(t->machines);
        g_free(t);
        return NULL;
}

void test_hint(TestMachine *m, const TestMachine *about) {
        Endpoint e = sim_node_endpoint(about->node);

        mesh_add_hint(m->mesh, &about->identity->id, &e);
}

void test_net_introduce(TestNet *t) {
        for (unsigned i = 0; i < t->n; i++)
                for (unsigned k = 0; k < t->n; k++) {
                        g_autoptr(Record) certificate = own_certificate(&t->machines[k]);

                        if (i == k)
                                continue;
                        must_take(t->machines[i].directory, certificate);
                        test_hint(&t->machines[i], &t->machines[k]);
                }
}

int test_connect(TestMachine *m, const TestMachine *to) {
        ChannelProvider *p = test_channels(m);

        return p->ops->connect(p->self, &to->identity->id);
}

int test_send(TestMachine *m, const TestMachine *to, const char *text) {
        ChannelProvider *p = test_channels(m);

        return p->ops->send(p->self, &to->identity->id, TEST_CHANNEL, text, strlen(text));
}

LinkState test_link_state(TestMachine *m, const TestMachine *to) {
        ChannelProvider *p = test_channels(m);

        return p->ops->link_state(p->self, &to->identity->id);
}

static bool both_up(void *userdata) {
        TestMachine **pair = userdata;

        return test_link_state(pair[0], pair[1]) == LINK_UP &&
               test_link_state(pair[1], pair[0]) == LINK_UP;
}

bool test_wait_up(TestMachine *a, TestMachine *b, usec_t duration) {
        TestMachine *pair[] = { a, b };

        return sim_run_until(a->net->sim, both_up, pair, duration);
}

uint64_t test_drops(const TestMachine *m, DropReason reason) {
        return drop_counter(&m->drops, reason);
}
