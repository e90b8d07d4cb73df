/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * N machines joined in one process, for tests of everything above the mesh: each has a
 * ChannelProvider, all share one virtual clock and one TimerQueue. Messages take the latency and
 * arrive in order. The test cuts machines apart, takes links down, restarts machines, looks at
 * and swallows messages.
 *
 *      MockMesh *m = mock_mesh_new(1);
 *      MockNode *a = mock_mesh_add(m, &id_a), *b = mock_mesh_add(m, &id_b);
 *      thing_new(mock_node_provider(a), ...);
 *      mock_mesh_link_up(m, a, b);
 *      mock_mesh_run(m, 5 * USEC_PER_SEC);
 *
 * As with the real mesh a message to a machine without a link makes one; what waits for it fails
 * after 90 s. All nodes live until mock_mesh_free(); users of a provider are freed before it.
 */

#include "core/mesh/channel.h"
#include "core/mesh/env.h"

#define MOCK_LATENCY_DEFAULT (10 * USEC_PER_MSEC)
#define MOCK_START (1000 * USEC_PER_SEC) /* monotonic time at the beginning */
#define MOCK_START_REALTIME (UINT64_C(1700000000) * USEC_PER_SEC)

typedef struct MockMesh MockMesh;
typedef struct MockNode MockNode;

typedef enum MockKind {
        MOCK_DATA,
        MOCK_REQUEST,
        MOCK_RESPONSE,
        MOCK_ERROR, /* data is the error's name */
        MOCK_DATAGRAM,
        MOCK_PROBE, /* no data */
} MockKind;

/* Sees every message when it would arrive. Return: false to swallow it. */
typedef bool (*MockTap)(
                void *userdata,
                MockNode *from,
                MockNode *to,
                MockKind kind,
                const char *channel,
                const uint8_t *data,
                size_t len);

/* @seed: of mock_mesh_env()->random and of datagram loss. */
MockMesh *mock_mesh_new(uint64_t seed);
MockMesh *mock_mesh_free(MockMesh *m);

/* An id that is no key, for tests that verify no signatures; @n shows in the first bytes. */
MachineId mock_machine_id(unsigned n);
MockNode *mock_mesh_add(MockMesh *m, const MachineId *id);
MockNode *mock_mesh_find(MockMesh *m, const MachineId *id);
MockMesh *mock_node_mesh(const MockNode *n);
const MachineId *mock_node_id(const MockNode *n);
const ChannelProvider *mock_node_provider(MockNode *n);

/* Whatever a test wants to keep with a node; NULL at first. */
void **mock_node_data(MockNode *n);

/* --- time --- */

/* Clock, timers and random of all nodes; send() is -ENETUNREACH, retire() destroys at once. */
const MeshEnv *mock_mesh_env(MockMesh *m);
usec_t mock_mesh_now(const MockMesh *m);
/* Unix time goes with the clock; this sets it apart. */
void mock_mesh_set_realtime(MockMesh *m, usec_t realtime);
/* Lets @duration pass: everything due within it happens, in order. 0: what is due now. */
void mock_mesh_run(MockMesh *m, usec_t duration);
/* Runs until no message is under way, without waiting for other timers later than that. */
void mock_mesh_settle(MockMesh *m);
void mock_mesh_set_latency(MockMesh *m, usec_t latency);

/* --- links --- */

/* A link on both sides at once, with notifications; as after a handshake. */
void mock_mesh_link_up(MockMesh *m, MockNode *a, MockNode *b);
/* Both sides lose the link; waiting messages are lost, requests fail with WIRE_ERROR_UNREACHABLE. */
void mock_mesh_link_down(MockMesh *m, MockNode *a, MockNode *b);
/* Keys ran out and were made anew: both sides say "connecting" and "up", of the same life. */
void mock_mesh_link_repaired(MockMesh *m, MockNode *a, MockNode *b);
/* Every pair. */
void mock_mesh_link_all(MockMesh *m);
/* Cut apart (@reachable false): nothing arrives, but links stay up, as long as nobody notices:
 * datagrams and probes are lost, messages wait. */
void mock_mesh_set_reachable(MockMesh *m, MockNode *a, MockNode *b, bool reachable);
/* The daemon of @n starts anew: its requests fail with WIRE_ERROR_CANCELLED, its links are gone;
 * the others keep theirs until a new link comes up, which says "restarted". Handlers stay. */
void mock_node_restart(MockNode *n);

/* --- faults and observation --- */

void mock_mesh_set_tap(MockMesh *m, MockTap tap, void *userdata);
/* Of 1000 datagrams this many are lost. */
void mock_mesh_set_datagram_loss(MockMesh *m, unsigned permille);
/* Sends and requests of @n return @error (negative errno) at once; 0: no more. */
void mock_node_fail_sends(MockNode *n, int error);
/* Messages of all kinds but probes that arrived from @n, and their bytes. */
uint64_t mock_node_messages(const MockNode *n);
uint64_t mock_node_bytes(const MockNode *n);
/* Requests that got no answer yet. */
unsigned mock_mesh_open_requests(const MockMesh *m);
/* How often @n called repair(), and what it last said with set_packets() about @machine. */
unsigned mock_node_repairs(MockNode *n, const MachineId *machine);
bool mock_node_packets_open(MockNode *n, const MachineId *machine);
/* What packet_stats() of @n says. */
void mock_node_set_packet_stats(
                MockNode *n,
                const MachineId *machine,
                const uint64_t tx[static 2],
                const uint64_t rx[static 2],
                usec_t last_tx,
                usec_t last_rx);
/* The time last_received() says; set with every arrival anyway. */
void mock_node_set_last_received(MockNode *n, const MachineId *machine, usec_t when);
