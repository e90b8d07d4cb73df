/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/mesh/link/reliable.h"

#include <string.h>

#include "base/limits.h"
#include "base/macros.h"
#include "base/wiped.h"
#include "core/wire/messages.h"

/*
 * Theory of operation
 *
 * Sending: `messages` holds every message that is not wholly acknowledged, oldest first. The
 * window is a ring of SEGMENT_WINDOW segments, [una, next): each knows its piece of a message.
 * How many may be on the way is cwnd, grown and shrunk like TCP's (RFC 5681), because 64 segments
 * at once would stand for half a second in the queue of a slow uplink.
 *
 * A segment is lost when three later ones were reported received (RFC 6675's rule in segments)
 * or when the timer runs out, which says all are lost. The timer runs while anything is on the
 * way; RTT samples are taken from segments sent once only (Karn).
 *
 * Receiving: segments in [expected, expected + window) are kept until their turn. An ACK is sent
 * at once for the second segment, for one out of order and for a repeated one, else after
 * ACK_DELAY; every segment carries the cumulative acknowledgement too.
 *
 * Sequence numbers wrap; they are compared by their distance.
 */

#define RTO_INITIAL (250 * USEC_PER_MSEC)
#define RTO_MIN (250 * USEC_PER_MSEC)
#define RTO_MAX (5 * USEC_PER_SEC)
#define ACK_DELAY (20 * USEC_PER_MSEC) /* far below RTO_MIN */
#define CWND_INITIAL 10U               /* RFC 6928 */
#define CWND_MIN 2U
#define LOSS_THRESHOLD 3U
/* Timer runs in a row before the path is doubted. */
#define STALL_TIMEOUTS 2U
/* What a message costs besides its bytes, so that tiny ones are bounded too. */
#define MESSAGE_COST 128U

typedef struct Message {
        GBytes *bytes;
        size_t cut;         /* bytes put into segments so far */
        unsigned in_window; /* its segments that are not acknowledged */
} Message;

typedef struct Segment {
        Message *message;
        size_t offset;
        uint16_t len;
        uint8_t flags;
        bool received; /* reported by an ACK's bitmap */
        bool lost;     /* to be sent again */
        unsigned sent_count;
        usec_t sent;
} Segment;

struct Reliable {
        const MeshEnv *env;
        ReliableHandler handler;
        bool open;
        unsigned epoch; /* counts restarts: delivery stops when it changes underneath */

        /* Sending. */
        GQueue messages;  /* of Message */
        size_t queued;    /* bytes and MESSAGE_COST of all of them */
        Message *cutting; /* the first that is not wholly in segments */
        Segment window[SEGMENT_WINDOW];
        uint32_t una, next;
        unsigned on_way; /* segments sent, neither acknowledged nor lost */
        unsigned cwnd, ssthresh, cwnd_acked;
        uint32_t recover; /* losses below this belong to the reduction already made */
        bool in_recovery;
        usec_t srtt, rttvar, rto;
        unsigned timeouts; /* in a row */
        usec_t progress;   /* when something was last acknowledged, or began to wait */
        Timer rto_timer;

        /* Receiving. */
        uint32_t expected;
        GBytes *early[SEGMENT_WINDOW]; /* whole frames, by sequence modulo the window */
        GByteArray *partial;
        bool assembling;
        unsigned unacked; /* segments received since the last ACK */
        Timer ack_timer;
};

static void fill_window(Reliable *r);

Reliable *reliable_new(const MeshEnv *env, const ReliableHandler *handler) {
        Reliable *r = NEW(Reliable);

        r->env = env;
        r->handler = *handler;
        r->partial = wiped_new();
        g_queue_init(&r->messages);
        r->cwnd = CWND_INITIAL;
        r->ssthresh = SEGMENT_WINDOW;
        r->rto = RTO_INITIAL;
        return r;
}

static void message_free(void *p) {
        Message *m = p;

        g_bytes_unref(m->bytes);
        g_free(m);
}

static void clear_received(Reliable *r) {
        for (unsigned i = 0; i < SEGMENT_WINDOW; i++)
                g_clear_pointer(&r->early[i], g_bytes_unref);
        g_byte_array_set_size(r->partial, 0);
        r->assembling = false;
        r->expected = 0;
        r->unacked = 0;
        timer_clear(&r->ack_timer);
}

static void clear_sent(Reliable *r) {
        memset(r->window, 0, sizeof r->window);
        r->una = r->next = 0;
        r->on_way = 0;
        r->cwnd = CWND_INITIAL;
        r->ssthresh = SEGMENT_WINDOW;
        r->cwnd_acked = 0;
        r->in_recovery = false;
        r->timeouts = 0;
        timer_clear(&r->rto_timer);
        for (GList *l = r->messages.head; l; l = l->next) {
                Message *m = l->data;

                m->cut = 0;
                m->in_window = 0;
        }
        r->cutting = g_queue_peek_head(&r->messages);
}

Reliable *reliable_free(Reliable *r) {
        if (!r)
                return NULL;
        clear_received(r);
        timer_clear(&r->rto_timer);
        g_queue_clear_full(&r->messages, message_free);
        wiped_free(r->partial);
        g_free(r);
        return NULL;
}

bool reliable_has(const Reliable *r, const GBytes *message) {
        for (GList *l = r->messages.head; l; l = l->next)
                if (((Message *) l->data)->bytes == message)
                        return true;
        return false;
}

bool reliable_is_idle(const Reliable *r) {
        return g_queue_is_empty((GQueue *) &r->messages);
}

int reliable_push(Reliable *r, GBytes *bytes) {
        size_t len = g_bytes_get_size(bytes);
        Message *m;

        if (len == 0 || len > CONTROL_MESSAGE_MAX)
                return -EMSGSIZE;
        if (r->queued + len + MESSAGE_COST > CONTROL_QUEUE_MAX)
                return -ENOBUFS;
        m = NEW(Message);
        m->bytes = g_bytes_ref(bytes);
        g_queue_push_tail(&r->messages, m);
        r->queued += len + MESSAGE_COST;
        if (!r->cutting)
                r->cutting = m;
        fill_window(r);
        return 0;
}

/* --- sending --- */

static void on_rto(void *userdata);

static void arm_rto(Reliable *r) {
        if (!r->open || r->una == r->next)
                timer_clear(&r->rto_timer);
        else
                timer_set(r->env->timers, &r->rto_timer, env_now(r->env) + r->rto, on_rto, r);
}

static void transmit(Reliable *r, uint32_t sequence) {
        Segment *s = &r->window[sequence % SEGMENT_WINDOW];
        uint8_t frame[SEGMENT_HEADER_SIZE + SEGMENT_DATA_MAX];
        const uint8_t *bytes = g_bytes_get_data(s->message->bytes, NULL);

        frame[0] = FRAME_SEGMENT;
        frame[1] = s->flags;
        write_le32(frame + 2, sequence);
        write_le32(frame + 6, r->expected);
        memcpy(frame + SEGMENT_HEADER_SIZE, bytes + s->offset, s->len);
        s->lost = false;
        s->sent_count++;
        s->sent = env_now(r->env);
        r->on_way++;
        /* It tells what an ACK would, as long as nothing is missing in between. */
        if (r->unacked == 1) {
                r->unacked = 0;
                timer_clear(&r->ack_timer);
        }
        r->handler.send_frame(r->handler.userdata, frame, SEGMENT_HEADER_SIZE + s->len);
}

/* Cuts the next segment off the messages that wait. Return: false if there is none. */
static bool cut_segment(Reliable *r) {
        Message *m = r->cutting;
        Segment *s = &r->window[r->next % SEGMENT_WINDOW];
        size_t len;

        if (!m || r->next - r->una >= SEGMENT_WINDOW)
                return false;
        len = g_bytes_get_size(m->bytes);
        *s = (Segment){
                .message = m,
                .offset = m->cut,
                .len = (uint16_t) MIN(len - m->cut, SEGMENT_DATA_MAX),
        };
        if (m->cut == 0)
                s->flags |= SEGMENT_FLAG_FIRST;
        m->cut += s->len;
        m->in_window++;
        if (m->cut == len) {
                GList *l = g_queue_find(&r->messages, m);

                s->flags |= SEGMENT_FLAG_LAST;
                r->cutting = l->next ? l->next->data : NULL;
        }
        r->next++;
        return true;
}

static void fill_window(Reliable *r) {
        bool was_empty = r->una == r->next;
        unsigned epoch = r->epoch;

        if (!r->open)
                return;
        for (uint32_t q = r->una; q != r->next && r->on_way < r->cwnd; q++) {
                Segment *s = &r->window[q % SEGMENT_WINDOW];

                if (s->lost && !s->received)
                        transmit(r, q);
        }
        while (r->on_way < r->cwnd && cut_segment(r))
                transmit(r, r->next - 1);
        if (epoch != r->epoch || r->una == r->next)
                return;
        if (was_empty)
                r->progress = env_now(r->env);
        if (!timer_is_set(&r->rto_timer))
                arm_rto(r);
}

static void mark_all_lost(Reliable *r) {
        for (uint32_t q = r->una; q != r->next; q++)
                r->window[q % SEGMENT_WINDOW].lost = true;
        r->on_way = 0;
}

static void reduce(Reliable *r, unsigned cwnd) {
        r->ssthresh = MAX(r->cwnd / 2, CWND_MIN);
        r->cwnd = MAX(cwnd, CWND_MIN);
        r->cwnd_acked = 0;
        r->recover = r->next;
        r->in_recovery = true;
}

static void on_rto(void *userdata) {
        Reliable *r = userdata;
        unsigned epoch = r->epoch;

        if (env_now(r->env) >= usec_add(r->progress, RELIABLE_DEAD_USEC)) {
                r->handler.dead(r->handler.userdata);
                return;
        }
        r->timeouts++;
        r->rto = MIN(r->rto * 2, RTO_MAX); /* RFC 6298 (5.5) */
        reduce(r, CWND_MIN);
        mark_all_lost(r);
        fill_window(r);
        if (epoch == r->epoch)
                arm_rto(r);
        if (epoch == r->epoch && r->timeouts >= STALL_TIMEOUTS)
                r->handler.stalled(r->handler.userdata);
}

/* RFC 6298, section 2. */
static void sample_rtt(Reliable *r, usec_t rtt) {
        if (r->srtt == 0) {
                r->srtt = MAX(rtt, 1);
                r->rttvar = rtt / 2;
        } else {
                usec_t delta = rtt > r->srtt ? rtt - r->srtt : r->srtt - rtt;

                r->rttvar = (3 * r->rttvar + delta) / 4;
                r->srtt = (7 * r->srtt + rtt) / 8;
        }
}

static void acknowledge_one(Reliable *r) {
        Segment *s = &r->window[r->una % SEGMENT_WINDOW];
        Message *m = s->message;

        if (s->sent_count == 1 && !s->received)
                sample_rtt(r, usec_sub(env_now(r->env), s->sent));
        if (!s->received && !s->lost)
                r->on_way--;
        if (--m->in_window == 0 && m->cut == g_bytes_get_size(m->bytes)) {
                /* Segments are acknowledged in order, so it is the oldest message. */
                g_queue_remove(&r->messages, m);
                r->queued -= m->cut + MESSAGE_COST;
                message_free(m);
        }
        *s = (Segment){};
        r->una++;
}

static void grow(Reliable *r, unsigned acked) {
        if (r->in_recovery)
                return;
        if (r->cwnd < r->ssthresh)
                r->cwnd += acked;
        else {
                r->cwnd_acked += acked;
                if (r->cwnd_acked >= r->cwnd) {
                        r->cwnd_acked = 0;
                        r->cwnd++;
                }
        }
        r->cwnd = MIN(r->cwnd, SEGMENT_WINDOW);
}

/* Return: false if it acknowledges what was never sent. */
static bool acknowledge(Reliable *r, uint32_t ack) {
        unsigned n = ack - r->una;

        if (n > r->next - r->una)
                /* Old, by reordering; or nonsense: either way nothing to learn. */
                return (int32_t) (ack - r->una) < 0;
        if (n == 0)
                return true;
        while (r->una != ack)
                acknowledge_one(r);
        if (r->in_recovery && (int32_t) (r->una - r->recover) >= 0)
                r->in_recovery = false;
        grow(r, n);
        r->timeouts = 0;
        r->progress = env_now(r->env);
        r->rto = r->srtt == 0 ? RTO_INITIAL : CLAMP(r->srtt + 4 * r->rttvar, RTO_MIN, RTO_MAX);
        arm_rto(r);
        return true;
}

/* A segment with LOSS_THRESHOLD later ones received is lost, unless it was sent again so lately
 * that the answer cannot be here yet. */
static void detect_losses(Reliable *r) {
        unsigned later = 0;
        bool any = false;
        usec_t now = env_now(r->env);

        for (uint32_t q = r->next; q != r->una;) {
                Segment *s = &r->window[--q % SEGMENT_WINDOW];

                if (s->received)
                        later++;
                else if (!s->lost && later >= LOSS_THRESHOLD &&
                         (s->sent_count == 1 || now >= s->sent + MAX(r->srtt, RTO_MIN / 4))) {
                        s->lost = true;
                        r->on_way--;
                        any = true;
                }
        }
        if (any && !r->in_recovery)
                reduce(r, r->cwnd / 2);
}

DropReason reliable_handle_ack(Reliable *r, const uint8_t *frame, size_t len) {
        uint32_t ack;
        uint64_t bitmap;

        if (len != ACK_SIZE)
                return DROP_FRAME_MALFORMED;
        ack = read_le32(frame + 1);
        bitmap = read_le64(frame + 5);
        if (!acknowledge(r, ack))
                return DROP_FRAME_MALFORMED;
        if (ack == r->una) {
                for (unsigned i = 0; i < 63 && ack + 1 + i - r->una < r->next - r->una; i++) {
                        Segment *s = &r->window[(ack + 1 + i) % SEGMENT_WINDOW];

                        if (!(bitmap >> i & 1) || s->received)
                                continue;
                        s->received = true;
                        if (s->sent_count == 1)
                                sample_rtt(r, usec_sub(env_now(r->env), s->sent));
                        if (!s->lost)
                                r->on_way--;
                        /* A sign of life: it is not dead, but the timer goes on for the rest. */
                        r->progress = env_now(r->env);
                }
                detect_losses(r);
        }
        fill_window(r);
        return DROP_NONE;
}

/* --- receiving --- */

static void send_ack(void *userdata) {
        Reliable *r = userdata;
        uint8_t frame[ACK_SIZE];
        uint64_t bitmap = 0;

        timer_clear(&r->ack_timer);
        r->unacked = 0;
        if (!r->open)
                return;
        for (unsigned i = 0; i < SEGMENT_WINDOW - 1; i++)
                if (r->early[(r->expected + 1 + i) % SEGMENT_WINDOW])
                        bitmap |= UINT64_C(1) << i;
        frame[0] = FRAME_ACK;
        write_le32(frame + 1, r->expected);
        write_le64(frame + 5, bitmap);
        r->handler.send_frame(r->handler.userdata, frame, sizeof frame);
}

/* After what arrived was taken: an answer sent by the handler may have carried the ack. */
static void ack_later(Reliable *r) {
        if (r->unacked >= 2)
                send_ack(r);
        else if (r->unacked > 0 && !timer_is_set(&r->ack_timer))
                timer_set(r->env->timers, &r->ack_timer, env_now(r->env) + ACK_DELAY, send_ack, r);
}

/* Takes the segment whose turn it is. Return: false if delivery ended this life. */
static bool consume(Reliable *r, const uint8_t *frame, size_t len) {
        uint8_t flags = frame[1];
        unsigned epoch = r->epoch;
        GByteArray *message;

        r->expected++;
        if (flags & SEGMENT_FLAG_FIRST) {
                g_byte_array_set_size(r->partial, 0);
                r->assembling = true;
        }
        /* The rest of a message that was too large is skipped. */
        if (!r->assembling)
                return true;
        if (r->partial->len + len - SEGMENT_HEADER_SIZE > CONTROL_MESSAGE_MAX) {
                r->assembling = false;
                g_byte_array_set_size(r->partial, 0);
                return true;
        }
        wiped_append(&r->partial, frame + SEGMENT_HEADER_SIZE, len - SEGMENT_HEADER_SIZE);
        if (!(flags & SEGMENT_FLAG_LAST))
                return true;
        message = r->partial;
        r->partial = wiped_new();
        r->assembling = false;
        if (message->len > 0)
                r->handler.deliver(r->handler.userdata, message->data, message->len);
        wiped_free(message);
        return epoch == r->epoch;
}

static GBytes *keep_early(const uint8_t *frame, size_t len) {
        GByteArray *a = wiped_new();

        wiped_append(&a, frame, len);
        return wiped_to_bytes(a);
}

DropReason reliable_handle_segment(Reliable *r, const uint8_t *frame, size_t len) {
        uint32_t sequence, distance;
        GBytes **slot;

        if (len < SEGMENT_HEADER_SIZE || len > SEGMENT_HEADER_SIZE + SEGMENT_DATA_MAX)
                return DROP_FRAME_MALFORMED;
        sequence = read_le32(frame + 2);
        if (!acknowledge(r, read_le32(frame + 6)))
                return DROP_FRAME_MALFORMED;
        distance = sequence - r->expected;
        if (distance >= SEGMENT_WINDOW) {
                /* Had it: our ACK was lost. Or beyond what we allowed: nonsense. */
                if ((int32_t) distance >= 0)
                        return DROP_FRAME_MALFORMED;
                send_ack(r);
                fill_window(r);
                return DROP_NONE;
        }
        if (distance > 0) {
                slot = &r->early[sequence % SEGMENT_WINDOW];
                if (!*slot)
                        *slot = keep_early(frame, len);
                send_ack(r);
                fill_window(r);
                return DROP_NONE;
        }
        r->unacked++;
        if (!consume(r, frame, len))
                return DROP_NONE;
        while (*(slot = &r->early[r->expected % SEGMENT_WINDOW])) {
                g_autoptr(GBytes) early = TAKE_PTR(*slot);
                size_t n;
                const uint8_t *bytes = g_bytes_get_data(early, &n);

                r->unacked++;
                if (!consume(r, bytes, n))
                        return DROP_NONE;
        }
        ack_later(r);
        fill_window(r);
        return DROP_NONE;
}

/* --- life of the link --- */

void reliable_set_open(Reliable *r, bool open) {
        if (r->open == open)
                return;
        r->open = open;
        if (!open) {
                timer_clear(&r->rto_timer);
                timer_clear(&r->ack_timer);
                return;
        }
        mark_all_lost(r);
        r->timeouts = 0;
        r->progress = env_now(r->env);
        fill_window(r);
}

void reliable_restart(Reliable *r) {
        r->epoch++;
        clear_received(r);
        clear_sent(r);
        fill_window(r);
}

void reliable_fail(Reliable *r) {
        r->epoch++;
        clear_received(r);
        g_queue_clear_full(&r->messages, message_free);
        g_queue_init(&r->messages);
        r->queued = 0;
        r->cutting = NULL;
        clear_sent(r);
}
