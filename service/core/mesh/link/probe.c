/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Probes: is a machine there, how long does it take, and where does it see us? */

#include <string.h>

#include "core/mesh/link/link.h"
#include "core/mesh/mesh-internal.h"

/* On the way: three rounds to all paths, and what others ask. */
#define PROBES_PER_LINK_MAX 64U

typedef struct Probe {
        Probes *probes;
        GList in_probes;
        uint64_t token;
        MachineId machine;
        Endpoint to;     /* the path it asks about */
        bool is_of_path; /* nobody else asked */
        uint16_t mtu;    /* as long as an inner packet of this; 0: short */
        uint32_t round;  /* one of trains_look(); 0: none */
        bool in_train;   /* and it was not sent singly */
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
        bool is_of_path = q->is_of_path;
        usec_t sent = q->sent;

        forget(q);
        if (reply)
                reply(userdata, lost, rtt);
        /* Unless it is there, by another path. */
        else if (lost && link && !is_of_path && link_last_received(link) <= sent)
                link_lose(link);
}

static void on_timeout(void *userdata) {
        Probe *q = userdata;
        Link *link = link_find(q->probes->mesh, &q->machine);
        Endpoint to = q->to;
        usec_t sent = q->sent;
        uint16_t mtu = q->mtu;
        uint32_t round = q->round;
        bool in_train = q->in_train;

        finish(q, true, 0);
        if (round > 0) {
                if (link && link->mesh)
                        trains_probed(link, round, in_train, false);
                return;
        }
        /* Of those of others too: it is the same path. */
        if (link && link->mesh)
                paths_missed(link, &to, sent, mtu);
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

/* What was sent just now is waited for. */
static Probe *expect(Link *link, const Endpoint *to, uint64_t token, usec_t timeout) {
        Probes *p = link->mesh->probes;
        const MeshEnv *env = link->mesh->env;
        Probe *q = NEW(Probe);

        *q = (Probe){
                .probes = p,
                .in_probes.data = q,
                .token = token,
                .machine = link->machine,
                .to = *to,
                .sent = env_now(env),
        };
        link->n_probes++;
        g_queue_push_tail_link(&p->queue, &q->in_probes);
        g_hash_table_insert(p->by_token, &q->token, q);
        timer_set(env->timers, &q->timer, usec_add(q->sent, timeout), on_timeout, q);
        return q;
}

static int
send_probe(Link *link,
           const Endpoint *to,
           uint16_t mtu,
           usec_t timeout,
           ProbeReply reply,
           void *userdata,
           Probe **ret) {
        Probes *p = link->mesh->probes;
        const MeshEnv *env = link->mesh->env;
        uint8_t frame[OMERTA_MTU_DEFAULT] = { FRAME_PROBE };
        size_t len = MAX(MIN(mtu, sizeof frame), PROBE_SIZE);
        uint64_t token;
        Path *path;
        Probe *q;

        if (!link_is_up(link) || link_is_limited(link))
                return -ENOTCONN;
        if (link->n_probes >= PROBES_PER_LINK_MAX)
                return -EBUSY;
        env_random(env, &token, sizeof token);
        if (g_hash_table_contains(p->by_token, &token))
                return -EBUSY;
        write_le64(frame + 1, token);
        if (!link_send_frame_to(link, to, frame, len))
                return -ENOTCONN;
        path = path_set_find(&link->paths, to);
        if (path)
                path->n_probes++;
        q = expect(link, to, token, timeout);
        q->reply = reply;
        q->userdata = userdata;
        *ret = q;
        return 0;
}

int probes_send(Link *link, usec_t timeout, ProbeReply reply, void *userdata) {
        Endpoint active = path_set_endpoint(&link->paths);
        Probe *q;

        return send_probe(link, &active, 0, timeout, reply, userdata, &q);
}

int probes_send_on(Link *link, const Endpoint *endpoint, uint16_t mtu, usec_t timeout) {
        Probe *q;
        int r = send_probe(link, endpoint, mtu, timeout, NULL, NULL, &q);

        if (r >= 0) {
                q->is_of_path = true;
                q->mtu = mtu;
        }
        return r;
}

/* Their absence says nothing of whether the path works: loss of trains must not move it. */
static void
expect_of_round(Link *link,
                const Endpoint *to,
                const uint8_t *frame,
                uint32_t round,
                bool in_train,
                usec_t timeout) {
        Probe *q = expect(link, to, read_le64(frame + 1), timeout);

        q->is_of_path = true;
        q->round = round;
        q->in_train = in_train;
}

int probes_send_round(Link *link, const Endpoint *to, uint32_t round, usec_t timeout) {
        uint8_t frames[2 * TRAIN_PROBES][TRAIN_PROBE_SIZE] = {};
        Probes *p = link->mesh->probes;
        int r;

        if (!link_is_up(link) || link_is_limited(link))
                return -ENOTCONN;
        if (link->n_probes + 2 * TRAIN_PROBES > PROBES_PER_LINK_MAX)
                return -EBUSY;
        for (unsigned i = 0; i < ELEMENTSOF(frames); i++) {
                uint64_t token;

                env_random(link->mesh->env, &token, sizeof token);
                if (g_hash_table_contains(p->by_token, &token))
                        return -EBUSY;
                frames[i][0] = FRAME_PROBE;
                write_le64(frames[i] + 1, token);
        }
        r = trains_send(link, to, frames[0], TRAIN_PROBE_SIZE, TRAIN_PROBES);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < ELEMENTSOF(frames); i++) {
                bool in_train = i < TRAIN_PROBES;

                if (!in_train)
                        (void) link_send_frame_to(link, to, frames[i], TRAIN_PROBE_SIZE);
                expect_of_round(link, to, frames[i], round, in_train, timeout);
        }
        return 0;
}

static bool is_padding(const uint8_t *data, size_t len) {
        for (size_t i = 0; i < len; i++)
                if (data[i] != 0)
                        return false;
        return true;
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

        if (len < PROBE_SIZE || !is_padding(frame + PROBE_SIZE, len - PROBE_SIZE))
                return DROP_FRAME_MALFORMED;
        memcpy(reply, frame, PROBE_SIZE);
        reply[0] = FRAME_PROBE_REPLY;
        /* Back on the way it came, since that is the way it asks about. */
        link_send_frame_to(link, from, reply, PROBE_SIZE + endpoint_encode(from, reply + PROBE_SIZE));
        return DROP_NONE;
}

/* What is answered from elsewhere did not come by the path that was asked about. */
static void
tell_path(Link *link,
          const Endpoint *to,
          const Endpoint *from,
          usec_t rtt,
          uint16_t mtu,
          const Endpoint *seen) {
        if (endpoint_equal(to, from)) {
                Mesh *m = link->mesh;

                if (!mesh_is_inside(m, seen))
                        nat_check_note(&m->nat, &link->machine, from, seen, env_now(m->env));
                paths_answered(link, from, rtt, mtu, seen);
        } else
                paths_missed(link, to, usec_sub(env_now(link->mesh->env), rtt), mtu);
}

DropReason probes_handle_reply(Link *link, const uint8_t *frame, size_t len, const Endpoint *from) {
        _unused_ g_autoptr(Link) ref = link_ref(link);
        Probes *p = link->mesh->probes;
        Endpoint seen, to;
        uint16_t mtu;
        uint32_t round;
        bool in_train;
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
        to = q->to;
        mtu = q->mtu;
        round = q->round;
        in_train = q->in_train;
        finish(q, false, rtt);
        /* Who sees a relay does not see us, nor our UDP who sees a connection. */
        if (link->mesh && endpoint_is_plain(from))
                link_set_seen(link, &seen);
        if (link->mesh && round > 0)
                trains_probed(link, round, in_train, endpoint_equal(&to, from));
        else if (link->mesh)
                tell_path(link, &to, from, rtt, mtu, &seen);
        return DROP_NONE;
}
