/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Machines of one network, each a Mesh with its directory on a node of the simulator. Machine 0
 * is the gateway and issuer; all are members and know each other's certificates, unless the test
 * says otherwise. What arrives on the channel "test" is kept for the test to look at.
 */

#include <glib.h>

#include "core/mesh/mesh.h"
#include "memory-store.h"
#include "mock-records.h"
#include "sim.h"

#define TEST_CHANNEL "test"

typedef struct TestNet TestNet;

typedef struct TestMachine {
        TestNet *net;
        unsigned index;
        Identity *identity;
        SimNode *node;
        MemoryStore *store; /* survives a restart */
        uint64_t boots;
        IndexTable *indices;
        DropCounters drops;
        Directory *directory;
        Mesh *mesh;
        GPtrArray *messages; /* of GBytes: data on TEST_CHANNEL, in order */
        GPtrArray *packets;  /* of GBytes */
        unsigned requests;   /* on TEST_CHANNEL */
        unsigned ups, downs, restarts, link_changes, revoked;
} TestMachine;

struct TestNet {
        Sim *sim;
        MockNetwork network;
        Secret *secret;
        TestMachine *machines;
        unsigned n;
};

/* The seed of those who make thousands of networks and want to read nothing of it. */
#define FUZZ_SEED 77

/* Machine I lives at 192.0.2.(I + 1):18002. */
TestNet *test_net_new(uint64_t seed, unsigned n);
TestNet *test_net_free(TestNet *t);
static inline void test_net_freep(TestNet **t) {
        test_net_free(*t);
}
/* Everybody learns everybody's certificate and where the @hints are. */
void test_net_introduce(TestNet *t);

/* Off, without a word, as when the power fails; then on again, with what was stored. */
void test_machine_stop(TestMachine *m);
void test_machine_start(TestMachine *m, bool member);
void test_machine_restart(TestMachine *m);

static inline ChannelProvider *test_channels(TestMachine *m) {
        return mesh_channels(m->mesh);
}
void test_hint(TestMachine *m, const TestMachine *about);
int test_connect(TestMachine *m, const TestMachine *to);
int test_send(TestMachine *m, const TestMachine *to, const char *text);
LinkState test_link_state(TestMachine *m, const TestMachine *to);
/* Both see the link up. Return: false if not within @duration. */
bool test_wait_up(TestMachine *a, TestMachine *b, usec_t duration);
uint64_t test_drops(const TestMachine *m, DropReason reason);
