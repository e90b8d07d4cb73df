/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Probes: is a machine there, how long does it take, and where does it see us? */

#include <string.h>

#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"

#define PROBES_PER_LINK_MAX 16U

typedef struct Probe {
        Probes *probes;
        GList in_probes;
        uint64_t token;
        MachineId machine;
        usec_t sent;
        Timer timer;
        ProbeReply reply;
        void *userdata;
} Probe;

struct Probes {
        Mesh *mesh;
        GQueue queue; /* of Probe */
        GHashTable *by_token;
};

Probes *probes_new(Mesh *m) {
        Probes *p = NEW(Probes);

        p->mesh = m;
        g_queue_init(&p->queue);
        p->by_token = g_hash_table_new(g_int64_hash, g_int64_equal);
        return p;
}

static void forget(Probe *q) {
        Link *link = link_find(q->probes->mesh, &q->machine);

        if (link && link->n_probes > 0)
                link->n_probes--;
        timer_clear(&q->timer);
        g_queue_unlink(&q->probes->queue, &q->in_probes);
        g_hash_table_remove(q->probes->by_token, &q->token);
        g_free(q);
}

static void finish(Probe *q, bool lost, usec_t rtt) {
        Link *link = link_find(q->probes->mesh, &q->machine);
        ProbeReply reply = q->reply;
        void *userdata = q->userdata;

        forget(q);
        if (reply)
                reply(userdata, lost, rtt);
        else if (lost && link)
                link_lose(link);
}

/* Who waits for an answer is told that none will come. */
Probes *probes_free(Probes *p) {
        if (!p)
                return NULL;
        while (p->queue.head)
                finish(p->queue.head->data, true, 0);
        g_hash_table_unref(p->by_token);
        g_free(p);
        return NULL;
}

static void on_timeout(void *userdata) {
        finish(userdata, true, 0);
}

int probes_send(Link *link, usec_t timeout, ProbeReply reply, void *userdata) {
        Probes *p = link->mesh->probes;
        const MeshEnv *env = link->mesh->env;
        uint8_t frame[PROBE_SIZE] = { FRAME_PROBE };
        uint64_t token;
        Probe *q;

        if (!link_is_up(link) || link_is_limited(link))
                return -ENOTCONN;
        if (link->n_probes >= PROBES_PER_LINK_MAX)
                return -EBUSY;
        env_random(env, &token, sizeof token);
        if (g_hash_table_contains(p->by_token, &token))
                return -EBUSY;
        write_le64(frame + 1, token);
        if (!link_send_frame(link, frame, sizeof frame))
                return -ENOTCONN;
        q = NEW(Probe);
        *q = (Probe){
                .probes = p,
                .in_probes.data = q,
                .token = token,
                .machine = link->machine,
                .sent = env_now(env),
                .reply = reply,
                .userdata = userdata,
        };
        link->n_probes++;
        g_queue_push_tail_link(&p->queue, &q->in_probes);
        g_hash_table_insert(p->by_token, &q->token, q);
        timer_set(env->timers, &q->timer, usec_add(q->sent, timeout), on_timeout, q);
        return 0;
}

void probes_forget(Probes *p, const void *userdata) {
        for (GList *l = p->queue.head, *next; l; l = next) {
                Probe *q = l->data;

                next = l->next;
                if (q->userdata == userdata)
                        forget(q);
        }
}

DropReason probes_handle_probe(Link *link, const uint8_t *frame, size_t len, const Endpoint *from) {
        uint8_t reply[PROBE_SIZE + ENDPOINT_WIRE_MAX];

        if (len != PROBE_SIZE)
                return DROP_FRAME_MALFORMED;
        memcpy(reply, frame, PROBE_SIZE);
        reply[0] = FRAME_PROBE_REPLY;
        /* Back on the way it came, since that is the way it asks about. */
        link_send_frame_to(link, from, reply, PROBE_SIZE + endpoint_encode(from, reply + PROBE_SIZE));
        return DROP_NONE;
}

DropReason probes_handle_reply(Link *link, const uint8_t *frame, size_t len) {
        Probes *p = link->mesh->probes;
        Endpoint seen;
        bool is_first;
        uint64_t token;
        usec_t rtt;
        Probe *q;

        if (len < PROBE_SIZE || endpoint_decode(frame + PROBE_SIZE, len - PROBE_SIZE, &seen) < 0)
                return DROP_FRAME_MALFORMED;
        token = read_le64(frame + 1);
        q = g_hash_table_lookup(p->by_token, &token);
        /* Too late, or not asked of this machine: nothing to learn from it. */
        if (!q || !machine_id_equal(&q->machine, &link->machine))
                return DROP_NONE;
        rtt = usec_sub(env_now(link->mesh->env), q->sent);
        is_first = link->srtt == 0;
        link_sample_rtt(link, rtt);
        link_set_seen(link, &seen);
        if (is_first)
                channels_announce(link, false);
        finish(q, false, rtt);
        return DROP_NONE;
}
