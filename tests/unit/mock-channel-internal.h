/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What mock-channel.c (messages, links, ChannelOps) and mock-channel-mesh.c (nodes, clock, what
 * tests see and set) know of each other. */

#include <glib.h>

#include "mock-channel.h"

typedef struct Handler {
        ChannelHandler data;
        ChannelRequestHandler request;
        void *userdata;
} Handler;

typedef struct LinkHandler {
        LinkStateHandler handler;
        void *userdata;
} LinkHandler;

/* What one node knows of another. */
typedef struct Side {
        LinkState state;
        bool peer_restarted;
        usec_t last_received;
        bool packets_open;
        unsigned repairs;
        uint64_t tx[2], rx[2];
        usec_t last_tx, last_rx;
} Side;

typedef struct Pair {
        MockMesh *mesh;
        MockNode *node[2];
        Side side[2];
        bool cut;
        usec_t last_due;
        GQueue waiting; /* of Message: for a link, or for the end of a cut */
        Timer connect;
        Timer attempt;
} Pair;

typedef struct Message {
        Pair *pair;
        Timer timer;
        unsigned from; /* index into pair->node */
        MockKind kind;
        uint64_t id; /* of the request */
        char *channel;
        GBytes *data;
} Message;

typedef struct Request {
        MockMesh *mesh;
        uint64_t id;
        MockNode *from, *to;
        Timer timer;
        ChannelReply reply;
        void *userdata;
} Request;

struct ChannelRequest {
        MockNode *to; /* who asked */
        MockNode *self;
        uint64_t id;
};

struct MockNode {
        MockMesh *mesh;
        unsigned index;
        MachineId id;
        ChannelProvider provider;
        GHashTable *handlers;  /* channel -> Handler */
        GArray *link_handlers; /* of LinkHandler */
        void *data;
        int fail_sends;
        uint64_t messages, bytes;
};

struct MockMesh {
        MeshEnv env;
        usec_t now;
        usec_t realtime_offset;
        usec_t latency;
        GRand *rand;
        GPtrArray *nodes;
        GHashTable *by_id;
        GHashTable *pairs;    /* (lower index << 32 | higher) -> Pair */
        GHashTable *requests; /* id -> Request */
        GHashTable *flying;   /* set of Message */
        GHashTable *probes;   /* set of Probe */
        GHashTable *tokens;   /* set of ChannelRequest */
        uint64_t last_id;
        unsigned loss;
        MockTap tap;
        void *tap_userdata;
};

typedef struct Probe {
        Timer timer;
        Pair *pair;
        unsigned side;
        bool lost;
        usec_t rtt;
        ProbeReply reply;
        void *userdata;
} Probe;

extern const ChannelOps mock_channel_ops;

void mock_message_free(Message *msg);
void mock_pair_free(void *data);
/* @ret_side: which of the two @a is; may be NULL. */
Pair *mock_pair_get(MockNode *a, MockNode *b, unsigned *ret_side);
/* What @n knows of @machine; NULL: nothing. */
Side *mock_side_of(MockNode *n, const MachineId *machine);
