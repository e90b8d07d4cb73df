/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* lwIP as an interface: batches, output, time, commands. The theory is in
 * netstack-lwip-internal.h. */

#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "base/macros.h"
#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/ip4_frag.h>
#include <lwip/ip6.h>
#include <lwip/ip6_frag.h>
#include <lwip/priv/tcp_priv.h>
#include "netif/netstack-lwip-internal.h"

#define EVENTS_MAX 64
#define FAST_USEC (TCP_TMR_INTERVAL * USEC_PER_MSEC)
#define SLOW_USEC (TCP_SLOW_INTERVAL * USEC_PER_MSEC)
#define REASSEMBLY_TICK_USEC USEC_PER_SEC
/* Connections in TIME-WAIT, about 300 bytes each; the oldest go first. lwIP has no limit of its
 * own when memory comes from malloc(). */
#define TIME_WAIT_MAX 2048U

usec_t lwip_now(void) {
        return now_usec(CLOCK_MONOTONIC);
}

int lwip_watch(LwipStack *s, int op, int fd, uint32_t events, LwipSource *source) {
        struct epoll_event e = { .events = events, .data.ptr = source };

        return epoll_ctl(s->epoll_fd, op, fd, &e) < 0 ? -errno : 0;
}

void lwip_wake(LwipStack *s) {
        if (s->woken)
                return;
        s->woken = true;
        (void) eventfd_write(s->wake_fd, 1);
}

IpAddr lwip_ip_from(const ip_addr_t *a) {
        IpAddr ip = { .family = IP_IS_V6(a) ? AF_INET6 : AF_INET };

        if (IP_IS_V6(a))
                memcpy(ip.bytes, ip_2_ip6(a)->addr, 16);
        else
                memcpy(ip.bytes, &ip_2_ip4(a)->addr, 4);
        return ip;
}

int lwip_ip_to(const IpAddr *a, ip_addr_t *ret) {
        uint32_t w[4];

        memcpy(w, a->bytes, sizeof w);
        if (a->family == AF_INET6) {
                IP_ADDR6(ret, w[0], w[1], w[2], w[3]);
        } else if (a->family == AF_INET) {
                ip_addr_set_zero_ip4(ret);
                ip_2_ip4(ret)->addr = w[0];
        } else {
                return -EAFNOSUPPORT;
        }
        return 0;
}

int lwip_errno(err_t e) {
        switch (e) {
        case ERR_OK:
                return 0;
        case ERR_RTE:
                return -ENETUNREACH;
        case ERR_RST:
                return -ECONNREFUSED;
        case ERR_ABRT:
        case ERR_TIMEOUT:
                return -ETIMEDOUT;
        case ERR_USE:
        case ERR_BUF:
                return -EADDRNOTAVAIL;
        case ERR_MEM:
                return -ENOBUFS;
        default:
                return -EIO;
        }
}

/* --- output --- */

static unsigned take_output(LwipArena *a, PacketIn *packets, unsigned max) {
        unsigned k = MIN(max, a->n - a->next);

        memcpy(packets, a->packet + a->next, k * sizeof *packets);
        a->next += k;
        return k;
}

/* TCP that met a full arena. */
static void output_again(LwipStack *s) {
        struct tcp_pcb *next;

        s->output_full = false;
        for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb && !s->output_full; pcb = next) {
                next = pcb->next;
                if (pcb->unsent || (pcb->flags & TF_ACK_NOW))
                        (void) tcp_output(pcb);
        }
}

/* --- time --- */

static uint32_t ticks_at(const LwipStack *s, usec_t now) {
        return (uint32_t) (usec_sub(now, s->started) / SLOW_USEC);
}

/* tcp_ticks stands still while nothing ticks. Before lwIP looks at it, it is put right. */
static void ticks_sync(LwipStack *s, usec_t now) {
        uint32_t ticks = ticks_at(s, now);

        if (TCP_SEQ_GT(ticks, tcp_ticks))
                tcp_ticks = ticks;
}

/* Nothing of @pcb changes with time but its keep-alive. */
static bool pcb_is_quiet(const struct tcp_pcb *pcb) {
        if (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT &&
            !(pcb->state == FIN_WAIT_2 && !(pcb->flags & TF_RXCLOSED)))
                return false;
        return !pcb->unsent && !pcb->unacked && !pcb->ooseq && !pcb->refused_data &&
               pcb->persist_backoff == 0 && pcb->keep_cnt_sent == 0 &&
               !(pcb->flags & (TF_ACK_DELAY | TF_ACK_NOW | TF_CLOSEPEND));
}

/* Return: when TCP must be called next; @ret_busy: every 250 ms from now. */
static usec_t tcp_due(LwipStack *s, usec_t now, bool *ret_busy) {
        uint32_t soonest = UINT32_MAX;

        *ret_busy = false;
        for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
                uint32_t due;

                if (!pcb_is_quiet(pcb)) {
                        *ret_busy = true;
                        return now + FAST_USEC;
                }
                if (pcb->state == FIN_WAIT_2)
                        continue; /* no keep-alive there (RFC 1122 4.2.3.6 leaves it open) */
                due = pcb->tmr + pcb->keep_idle / TCP_SLOW_INTERVAL + 1 - tcp_ticks;
                soonest = MIN(soonest, due);
        }
        for (const struct tcp_pcb *pcb = tcp_tw_pcbs; pcb; pcb = pcb->next)
                soonest = MIN(soonest, pcb->tmr + 2 * TCP_MSL / TCP_SLOW_INTERVAL + 1 - tcp_ticks);
        if (soonest == UINT32_MAX)
                return USEC_INFINITY;
        /* Due already reads as far in the future: numbers are modulo 2^32. */
        if (soonest > INT32_MAX)
                soonest = 1;
        return s->started + (ticks_at(s, now) + (usec_t) soonest) * SLOW_USEC;
}

static void limit_time_wait(void) {
        struct tcp_pcb *oldest = NULL;
        unsigned n = 0;

        for (struct tcp_pcb *pcb = tcp_tw_pcbs; pcb; pcb = pcb->next) {
                n++;
                if (n > TIME_WAIT_MAX) {
                        /* New ones come first in lwIP's list: the rest goes. */
                        oldest = pcb;
                        break;
                }
        }
        while (oldest) {
                struct tcp_pcb *next = oldest->next;

                tcp_abort(oldest);
                oldest = next;
        }
}

static void set_timer(LwipStack *s, usec_t due) {
        struct itimerspec t = {};

        if (due == s->timer_due)
                return;
        s->timer_due = due;
        if (due != USEC_INFINITY) {
                due = MAX(due, (usec_t) 1);
                t.it_value.tv_sec = (time_t) (due / USEC_PER_SEC);
                t.it_value.tv_nsec = (long) (due % USEC_PER_SEC) * NSEC_PER_USEC;
        }
        (void) timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void on_timer(LwipStack *s, usec_t now) {
        uint32_t ticks = ticks_at(s, now);
        usec_t due;

        if (now < s->timer_due)
                return;
        tcp_fasttmr();
        if (ticks != s->slow_ticks) {
                s->slow_ticks = ticks;
                tcp_ticks = ticks - 1; /* tcp_slowtmr() counts one */
                tcp_slowtmr();
                limit_time_wait();
                if (s->reassembly_until > now) {
                        /* Up to twice a second: its ages in seconds are upper bounds. */
                        ip_reass_tmr();
                        ip6_reass_tmr();
                }
        }
        due = tcp_due(s, now, &s->busy);
        if (s->reassembly_until > now)
                due = MIN(due, now + REASSEMBLY_TICK_USEC);
        set_timer(s, due);
}

/* Something happened: from now on time matters, until on_timer() finds that it does not. */
static void set_busy(LwipStack *s, usec_t now) {
        if (s->busy)
                return;
        if (!tcp_active_pcbs && !tcp_tw_pcbs && s->reassembly_until <= now)
                return;
        s->busy = true;
        set_timer(s, now + FAST_USEC);
}

/* --- commands --- */

static void set_addresses(LwipStack *s, const LwipCommand *c) {
        ip_addr_t a;

        s->lwip.mtu = c->mtu;
        if (lwip_ip_to(&c->address, &a) == 0 && IP_IS_V4(&a))
                netif_set_addr(&s->lwip, ip_2_ip4(&a), IP4_ADDR_ANY4, IP4_ADDR_ANY4);
        else
                netif_set_addr(&s->lwip, IP4_ADDR_ANY4, IP4_ADDR_ANY4, IP4_ADDR_ANY4);
        if (lwip_ip_to(&c->address6, &a) == 0 && IP_IS_V6(&a)) {
                netif_ip6_addr_set(&s->lwip, 0, ip_2_ip6(&a));
                netif_ip6_addr_set_state(&s->lwip, 0, IP6_ADDR_PREFERRED);
        } else {
                netif_ip6_addr_set_state(&s->lwip, 0, IP6_ADDR_INVALID);
        }
}

static void forget(LwipStack *s, uint64_t call) {
        LwipStream *dial = g_hash_table_lookup(s->dials, &call);

        if (dial)
                lwip_stream_dial_end(dial, 0);
        g_hash_table_remove(s->listeners, &call);
        g_hash_table_remove(s->echoes, &call);
}

static void run_command(LwipStack *s, const LwipCommand *c) {
        LwipResult result = { .id = c->id };
        int r = 0;

        switch (c->kind) {
        case LWIP_COMMAND_DIAL:
                result.kind = NETSTACK_CALL_DIAL;
                r = lwip_stream_dial(s, c);
                break;
        case LWIP_COMMAND_LISTEN:
                result.kind = NETSTACK_CALL_LISTEN;
                r = lwip_listener_new(s, c);
                break;
        case LWIP_COMMAND_UDP:
                result.kind = NETSTACK_CALL_UDP;
                r = lwip_udp_new(s, c);
                break;
        case LWIP_COMMAND_ECHO:
                result.kind = NETSTACK_CALL_ECHO;
                result.rtt = USEC_INFINITY;
                r = lwip_echo_new(s, c);
                break;
        case LWIP_COMMAND_FORGET:
                forget(s, c->id);
                break;
        case LWIP_COMMAND_ACCEPTED:
                lwip_stream_accepted(s, c->id);
                break;
        case LWIP_COMMAND_CONFIGURE:
                set_addresses(s, c);
                break;
        }
        if (r < 0) {
                result.fd = r;
                lwip_stack_post(s, &result);
        }
}

static void run_commands(LwipStack *s) {
        GQueue commands;
        eventfd_t ignored;

        (void) eventfd_read(s->wake_fd, &ignored);
        s->woken = false;
        g_atomic_int_set(&s->commanded, 0);
        g_mutex_lock(&s->lock);
        commands = s->commands;
        g_queue_init(&s->commands);
        g_mutex_unlock(&s->lock);
        for (LwipCommand *c; (c = g_queue_pop_head(&commands));) {
                run_command(s, c);
                g_free(c);
        }
}

/* --- batches --- */

static void run_events(LwipStack *s, usec_t now) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(s->epoll_fd, events, EVENTS_MAX, 0);

        for (int i = 0; i < n; i++) {
                LwipSource *source = events[i].data.ptr;

                /* The timer decides for itself. */
                if (source->kind != LWIP_SOURCE_TIMER)
                        s->touched = true;
                switch (source->kind) {
                case LWIP_SOURCE_COMMANDS:
                        run_commands(s);
                        break;
                case LWIP_SOURCE_TIMER:
                        on_timer(s, now);
                        break;
                case LWIP_SOURCE_STREAM:
                        lwip_stream_event((LwipStream *) source, events[i].events);
                        break;
                case LWIP_SOURCE_UDP:
                        lwip_udp_event(source);
                        break;
                }
        }
        lwip_streams_bury(s);
}

int lwip_read_batch(Netif *n, PacketIn *packets, unsigned max) {
        LwipStack *s = lwip_stack_of(n);
        LwipArena *reading = &s->arena[1 - s->filling];
        usec_t now = lwip_now();
        unsigned k;

        k = take_output(reading, packets, max);
        if (k > 0)
                return (int) k;
        ticks_sync(s, now);
        run_events(s, now);
        lwip_streams_pump(s);
        netif_poll(&s->lwip);
        lwip_streams_bury(s);
        if (s->arena[s->filling].n > 0) {
                reading->n = reading->next = 0;
                reading->used = 0;
                reading = &s->arena[s->filling];
                s->filling = 1 - s->filling;
        }
        k = take_output(reading, packets, max);
        if (s->output_full)
                output_again(s);
        if (s->touched)
                set_busy(s, now);
        s->touched = false;
        if (reading->next < reading->n || s->arena[s->filling].n > 0 || s->ready.length > 0)
                lwip_wake(s);
        return (int) k;
}

int lwip_write_batch(Netif *n, const PacketOut *packets, unsigned count, unsigned *ret_refused) {
        LwipStack *s = lwip_stack_of(n);
        usec_t now = lwip_now();

        *ret_refused = count;
        ticks_sync(s, now);
        /* An address, a listener that these packets are for. */
        if (g_atomic_int_get(&s->commanded)) {
                run_commands(s);
                lwip_wake(s);
        }
        for (unsigned i = 0; i < count; i++)
                lwip_input_packet(s, &packets[i]);
        lwip_input_end(s);
        lwip_streams_bury(s);
        set_busy(s, now);
        if (s->ready.length > 0)
                lwip_wake(s);
        return (int) count;
}

int lwip_fd(Netif *n) {
        return lwip_stack_of(n)->epoll_fd;
}

/* --- life --- */

static err_t init_netif(struct netif *n) {
        n->name[0] = 'o';
        n->name[1] = 'm';
        n->output = lwip_output4;
        n->output_ip6 = lwip_output6;
        n->flags = NETIF_FLAG_UP | NETIF_FLAG_LINK_UP;
        /* IPv4's header is checked by every kernel, ICMP has no offload. */
        n->chksum_flags = NETIF_CHECKSUM_GEN_IP | NETIF_CHECKSUM_GEN_ICMP | NETIF_CHECKSUM_GEN_ICMP6;
        return ERR_OK;
}

int lwip_netif_open(LwipStack *s, uint16_t mtu) {
        static bool initialised;
        int r;

        if (!initialised)
                lwip_init();
        initialised = true;
        for (size_t i = 0; i < ELEMENTSOF(s->arena); i++)
                s->arena[i].bytes = g_malloc(OUTPUT_BYTES_MAX);
        lwip_streams_open(s);
        s->timer_due = USEC_INFINITY;
        /* tcp_ticks goes on where a former stack left it. */
        s->started = usec_sub(lwip_now(), tcp_ticks * SLOW_USEC);
        s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        s->commands_source.kind = LWIP_SOURCE_COMMANDS;
        s->timer_source.kind = LWIP_SOURCE_TIMER;
        netif_add(&s->lwip, IP4_ADDR_ANY4, IP4_ADDR_ANY4, IP4_ADDR_ANY4, s, init_netif, ip_input);
        s->lwip.mtu = mtu;
        netif_set_default(&s->lwip);
        if (s->epoll_fd < 0 || s->timer_fd < 0)
                return -EMFILE;
        r = lwip_watch(s, EPOLL_CTL_ADD, s->wake_fd, EPOLLIN, &s->commands_source);
        if (r >= 0)
                r = lwip_watch(s, EPOLL_CTL_ADD, s->timer_fd, EPOLLIN, &s->timer_source);
        return r < 0 ? r : lwip_datagram_open(s);
}

void lwip_netif_close(LwipStack *s) {
        lwip_datagram_close(s);
        lwip_streams_close(s);
        netif_remove(&s->lwip);
        closep(&s->epoll_fd);
        closep(&s->timer_fd);
        for (size_t i = 0; i < ELEMENTSOF(s->arena); i++)
                g_free(s->arena[i].bytes);
}
