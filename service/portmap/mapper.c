/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "portmap/mapper.h"

#include <stdarg.h>
#include <string.h>

#include "base/macros.h"
#include "portmap/mapper-internal.h"

/* RFC 6886 section 3.3 and RFC 6887 section 15.1 recommend it. */
#define LIFE_SEC 7200U
/* What a router may promise at most (RFC 6887 section 15). */
#define LIFE_MAX_SEC (24U * 3600U)
/* Between the protocols of a round. RFC 6886 section 3.1 gives the first answer as long. */
#define NEXT_USEC (250 * USEC_PER_MSEC)
/* How long a router that is asked may take: the pauses of RFC 6886 section 3.1 up to the one that
 * nobody waits for. */
#define ANSWER_USEC (64 * USEC_PER_SEC)
#define NATPMP_FIRST_USEC (250 * USEC_PER_MSEC) /* RFC 6886 section 3.1; doubles */
#define PCP_FIRST_USEC (3 * USEC_PER_SEC)       /* RFC 6887 section 8.1.1, IRT; doubles */
#define RENEW_MIN_USEC (4 * USEC_PER_SEC)       /* RFC 6887 section 11.2.1 */
#define LOOK_USEC (10 * USEC_PER_MINUTE)
/* After a round that was in vain: a router that starts takes a minute or two. */
#define PAUSE_FIRST_USEC USEC_PER_MINUTE
/* What changes in the network comes in bursts. */
#define LOOK_MIN_USEC (10 * USEC_PER_SEC)
/* All that heard the same announcement would ask at once (RFC 6887 section 14.1.3). */
#define ANNOUNCED_USEC (5 * USEC_PER_SEC)
/* RFC 6887 section 7.4: errors that last are said for half an hour; longer is not believed. */
#define REFUSED_MAX_USEC (30 * USEC_PER_MINUTE)

static void begin_round(Mapper *m);
static void advance(Mapper *m);

const char *map_protocol_to_string(MapProtocol p) {
        static const char *const table[] = {
                [MAP_PCP] = "pcp",
                [MAP_NATPMP] = "nat-pmp",
                [MAP_UPNP] = "upnp",
        };
        static_assert(ELEMENTSOF(table) == _MAP_PROTOCOL_MAX, "a name for every protocol");

        return p >= 0 && (unsigned) p < ELEMENTSOF(table) ? table[p] : "";
}

static usec_t now(const Mapper *m) {
        return m->env.now(m->env.userdata);
}

static usec_t random_below(const Mapper *m, usec_t limit) {
        uint32_t r;

        m->env.random(m->env.userdata, &r, sizeof r);
        return limit * r / ((uint64_t) UINT32_MAX + 1);
}

static bool is_v4(const Mapper *m) {
        return m->target.router.family == AF_INET;
}

static bool is_spoken(const Mapper *m, MapProtocol p) {
        switch (p) {
        case MAP_PCP:
                return true;
        case MAP_NATPMP:
                return is_v4(m);
        case MAP_UPNP:
                return is_v4(m) && m->env.upnp;
        case _MAP_PROTOCOL_MAX:
        case _MAP_PROTOCOL_INVALID:
                break;
        }
        return false;
}

/* --- what there is to see --- */

static void tell(Mapper *m) {
        m->env.changed(m->env.userdata);
}

static void _printf_(2, 3) set_reason(Mapper *m, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        if (g_strcmp0(text, m->reason) == 0)
                return;
        g_free(m->reason);
        m->reason = TAKE_PTR(text);
        tell(m);
}

static const char *router_text(Mapper *m) {
        m->router_text = ip_format(&m->target.router);
        return m->router_text.text;
}

static void forget_mapping(Mapper *m) {
        bool was = m->protocol >= 0;

        m->protocol = _MAP_PROTOCOL_INVALID;
        m->endpoint = (Endpoint){};
        timer_clear(&m->renew_timer);
        timer_clear(&m->expire_timer);
        if (was)
                tell(m);
}

/* --- questions --- */

static void send_map(Mapper *m, MapProtocol p, uint32_t lifetime) {
        bool again = m->protocol == p;
        uint16_t suggested = again ? endpoint_port(&m->endpoint) : m->target.port;
        uint8_t buf[PCP_MAP_SIZE];
        PcpMap map = { .internal_port = m->target.port, .external_port = suggested };

        if (lifetime == 0)
                map.external_port = 0;
        else if (again)
                map.external = endpoint_address(&m->endpoint);
        if (p == MAP_NATPMP) {
                size_t n = natpmp_encode_map(m->target.port, map.external_port, lifetime, buf);

                m->env.send(m->env.userdata, buf, n);
                return;
        }
        memcpy(map.nonce, m->nonce, sizeof map.nonce);
        m->env.send(m->env.userdata, buf, pcp_encode_map(&m->target.source, &map, lifetime, buf));
}

static void send_question(Mapper *m, MapProtocol p) {
        bool look = m->attempt[p].is_look;
        uint8_t buf[PCP_HEADER_SIZE];

        if (p == MAP_PCP && look) {
                m->env.send(m->env.userdata, buf, pcp_encode_announce(&m->target.source, buf));
                return;
        }
        if (p == MAP_NATPMP)
                m->env.send(m->env.userdata, buf, natpmp_encode_address(buf));
        if (!look)
                send_map(m, p, LIFE_SEC);
}

static void on_pcp_again(void *userdata);
static void on_natpmp_again(void *userdata);

static void ask_again_later(Mapper *m, MapProtocol p) {
        Attempt *a = &m->attempt[p];
        usec_t pause = a->pause;

        if (p == MAP_PCP)
                pause = pause - pause / 10 + random_below(m, pause / 5);
        timer_set(m->env.timers, &a->timer, now(m) + pause,
                  p == MAP_PCP ? on_pcp_again : on_natpmp_again, m);
        a->pause *= 2;
}

static void on_again(Mapper *m, MapProtocol p) {
        send_question(m, p);
        ask_again_later(m, p);
}

static void on_pcp_again(void *userdata) {
        on_again(userdata, MAP_PCP);
}

static void on_natpmp_again(void *userdata) {
        on_again(userdata, MAP_NATPMP);
}

static void close_attempt(Mapper *m, MapProtocol p) {
        Attempt *a = &m->attempt[p];

        if (a->is_open && p == MAP_UPNP && m->env.upnp_cancel)
                m->env.upnp_cancel(m->env.userdata);
        timer_clear(&a->timer);
        *a = (Attempt){};
}

static void close_attempts(Mapper *m) {
        for (MapProtocol p = 0; p < _MAP_PROTOCOL_MAX; p++)
                close_attempt(m, p);
        timer_clear(&m->step_timer);
}

static int ask_upnp(Mapper *m) {
        UpnpRequest q = {
                .operation = UPNP_ADD,
                .router = m->target.router,
                .source = m->target.source,
                .port = m->target.port,
                .external_port = m->protocol == MAP_UPNP ? endpoint_port(&m->endpoint)
                                                         : m->target.port,
                .lifetime = LIFE_SEC,
        };

        g_strlcpy(q.url, m->upnp_url, sizeof q.url);
        return m->env.upnp(m->env.userdata, &q);
}

/* Return: whether it is asked. */
static bool open_attempt(Mapper *m, MapProtocol p, bool is_look) {
        Attempt *a = &m->attempt[p];

        close_attempt(m, p);
        *a = (Attempt){
                .is_open = true,
                .is_look = is_look,
                .pause = p == MAP_PCP ? PCP_FIRST_USEC : NATPMP_FIRST_USEC,
        };
        if (p == MAP_NATPMP && !is_look) {
                m->natpmp_external = (IpAddr){};
                m->natpmp_port = 0;
        }
        if (p == MAP_UPNP) {
                if (ask_upnp(m) >= 0)
                        return true;
                *a = (Attempt){};
                return false;
        }
        on_again(m, p);
        return true;
}

/* --- a round --- */

static const char *protocols_text(const Mapper *m) {
        return !is_v4(m)     ? "PCP"
               : m->env.upnp ? "PCP, NAT-PMP nor UPnP"
                             : "PCP nor NAT-PMP (this omertad is built without UPnP)";
}

static void on_pause_over(void *userdata) {
        begin_round(userdata);
}

static void end_round(Mapper *m) {
        const char *failure = NULL;

        close_attempts(m);
        m->state = MAPPER_PAUSED;
        timer_set(m->env.timers, &m->look_timer, now(m) + m->pause, on_pause_over, m);
        m->pause = MIN(m->pause * 2, LOOK_USEC);
        for (MapProtocol p = 0; p < _MAP_PROTOCOL_MAX && !failure; p++)
                failure = m->failure[p];
        if (failure)
                set_reason(m, "%s", failure);
        else
                set_reason(m, "router %s does not answer %s", router_text(m), protocols_text(m));
}

static void on_round_over(void *userdata) {
        end_round(userdata);
}

static void end_round_if_over(Mapper *m) {
        if (m->next < _MAP_PROTOCOL_MAX)
                return;
        for (MapProtocol p = 0; p < _MAP_PROTOCOL_MAX; p++)
                if (m->attempt[p].is_open)
                        return;
        end_round(m);
}

static void on_step(void *userdata) {
        advance(userdata);
}

static void advance(Mapper *m) {
        while (m->next < _MAP_PROTOCOL_MAX) {
                MapProtocol p = m->next++;

                if (!is_spoken(m, p) || now(m) < m->refused_until[p])
                        continue;
                g_clear_pointer(&m->failure[p], g_free);
                if (open_attempt(m, p, false)) {
                        timer_set(m->env.timers, &m->step_timer, now(m) + NEXT_USEC, on_step, m);
                        return;
                }
        }
        timer_set(m->env.timers, &m->step_timer, m->began + ANSWER_USEC, on_round_over, m);
        end_round_if_over(m);
}

static void begin_round(Mapper *m) {
        close_attempts(m);
        timer_clear(&m->look_timer);
        m->state = MAPPER_ASKING;
        m->next = 0;
        m->began = m->looked = now(m);
        if (!m->reason || !*m->reason)
                set_reason(m, "router %s is asked", router_text(m));
        advance(m);
}

/* The next one need not wait for it any more. @text: taken; NULL: it said nothing. */
static void fail(Mapper *m, MapProtocol p, char *text) {
        g_free(m->failure[p]);
        m->failure[p] = text;
        close_attempt(m, p);
        if (m->state == MAPPER_MAPPED) {
                forget_mapping(m);
                begin_round(m);
        } else if (m->next < _MAP_PROTOCOL_MAX && m->next == p + 1)
                advance(m);
        else
                end_round_if_over(m);
}

static void refuse(Mapper *m, MapProtocol p, const char *name, const char *why, usec_t until) {
        m->refused_until[p] = until;
        fail(m, p, g_strdup_printf("router %s refuses by %s: %s", router_text(m), name, why));
}

/* --- while it is mapped --- */

static void on_unanswered(void *userdata) {
        Mapper *m = userdata;

        m->router_epoch = (RouterEpoch){};
        forget_mapping(m);
        begin_round(m);
}

static void ask_mapped(Mapper *m, bool is_look) {
        Attempt *a = &m->attempt[m->protocol];

        /* Both at once after a sleep: to renew is more than to look. */
        if (a->is_open && (is_look || !a->is_look || m->protocol == MAP_UPNP))
                return;
        m->looked = now(m);
        timer_set(m->env.timers, &m->step_timer, now(m) + ANSWER_USEC, on_unanswered, m);
        if (!open_attempt(m, m->protocol, is_look && m->protocol != MAP_UPNP))
                on_unanswered(m);
}

static void on_renew(void *userdata) {
        ask_mapped(userdata, false);
}

static void on_look(void *userdata) {
        ask_mapped(userdata, true);
}

static void look_later(Mapper *m) {
        timer_set(m->env.timers, &m->look_timer, now(m) + LOOK_USEC, on_look, m);
}

/* A look that was answered by a router which still knows what it knew. */
static void seen(Mapper *m) {
        close_attempts(m);
        look_later(m);
}

/* NULL: it can be reached from outside; else what it is instead. */
static const char *address_trouble(const Mapper *m, const IpAddr *a) {
        const IpPrefix host = { .addr = *a, .len = a->family == AF_INET6 ? 128 : 32 };
        const uint8_t *b = a->bytes;

        if (a->family != m->target.router.family)
                return "of the wrong kind";
        if (m->env.is_inside(m->env.userdata, a))
                return "inside a network of omerta";
        if (ip_prefix_is_private(&host))
                return "private: another translator stands before it";
        /* 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3; all but 2000::/3 (RFC 6890). */
        if (a->family == AF_INET
                            ? b[0] == 0 || b[0] == 127 || (b[0] == 169 && b[1] == 254) || b[0] >= 224
                            : (b[0] & 0xe0) != 0x20)
                return "nobody's";
        return NULL;
}

static void ignore(Mapper *m) {
        m->env.ignored(m->env.userdata);
}

static Endpoint make_endpoint(const IpAddr *a, uint16_t port) {
        Endpoint e = {};

        if (a->family == AF_INET) {
                e.in.sin_family = AF_INET;
                memcpy(&e.in.sin_addr, a->bytes, 4);
        } else {
                e.in6.sin6_family = AF_INET6;
                memcpy(&e.in6.sin6_addr, a->bytes, 16);
        }
        endpoint_set_port(&e, port);
        return e;
}

/* @port: what is mapped, for UPnP. */
static void unmap(Mapper *m, MapProtocol p, uint16_t port) {
        UpnpRequest q = {
                .operation = UPNP_REMOVE,
                .router = m->target.router,
                .source = m->target.source,
                .port = m->target.port,
                .external_port = port,
        };

        if (p != MAP_UPNP) {
                send_map(m, p, 0);
                return;
        }
        if (port == 0)
                return;
        g_strlcpy(q.url, m->upnp_url, sizeof q.url);
        (void) m->env.upnp(m->env.userdata, &q);
}

static void on_expired(void *userdata) {
        on_unanswered(userdata);
}

/* @lifetime: s, not 0. */
static void
accept_mapping(Mapper *m, MapProtocol p, const IpAddr *external, uint16_t port, uint32_t lifetime) {
        const char *trouble = address_trouble(m, external);
        usec_t life = MIN(lifetime, LIFE_MAX_SEC) * USEC_PER_SEC;
        Endpoint e;

        if (trouble || port == 0) {
                ignore(m);
                unmap(m, p, port);
                fail(m, p,
                     port == 0 ? g_strdup_printf("router %s answers with port 0", router_text(m))
                               : g_strdup_printf("router %s says that it is %s outside, which is %s",
                                                 router_text(m), ip_format(external).text, trouble));
                return;
        }
        close_attempts(m);
        e = make_endpoint(external, port);
        m->state = MAPPER_MAPPED;
        m->pause = PAUSE_FIRST_USEC;
        timer_set(m->env.timers, &m->renew_timer, now(m) + MAX(life / 2, RENEW_MIN_USEC), on_renew,
                  m);
        timer_set(m->env.timers, &m->expire_timer, now(m) + MAX(life, 2 * RENEW_MIN_USEC),
                  on_expired, m);
        look_later(m);
        g_clear_pointer(&m->reason, g_free);
        if (m->protocol == p && endpoint_equal(&e, &m->endpoint))
                return;
        m->protocol = p;
        m->endpoint = e;
        tell(m);
}

/* --- answers --- */

/* Another router, or the same after a restart, stands where ours was. */
static void ask_anew(Mapper *m, MapProtocol p) {
        close_attempt(m, p);
        ask_mapped(m, false);
}

static void handle_pcp_map(Mapper *m, const PcpResponse *p) {
        const Attempt *a = &m->attempt[MAP_PCP];
        usec_t t = now(m);

        if (memcmp(p->map.nonce, m->nonce, sizeof m->nonce) != 0 ||
            p->map.internal_port != m->target.port) {
                ignore(m);
                return;
        }
        /* Copies of an answer, or one that was overtaken. */
        if (!a->is_open || a->is_look)
                return;
        router_epoch_note(&m->router_epoch, p->epoch, t);
        if (p->result != PCP_SUCCESS)
                refuse(m, MAP_PCP, "PCP", pcp_result_to_string(p->result),
                       t + MIN(p->lifetime * USEC_PER_SEC, REFUSED_MAX_USEC));
        else if (p->lifetime == 0)
                ignore(m);
        else
                accept_mapping(m, MAP_PCP, &p->map.external, p->map.external_port, p->lifetime);
}

static void handle_pcp(Mapper *m, const PcpResponse *p) {
        const Attempt *a = &m->attempt[MAP_PCP];
        bool holds;

        if (p->result == PCP_UNSUPP_VERSION) {
                /* Section 9: it names the version it has. Where that is the one we asked in, the
                 * question was one by NAT-PMP. */
                MapProtocol asked = p->version == PCP_VERSION ? MAP_NATPMP : MAP_PCP;

                if (m->attempt[asked].is_open)
                        fail(m, asked, NULL);
                else
                        ignore(m);
                return;
        }
        if (p->opcode == PCP_MAP) {
                handle_pcp_map(m, p);
                return;
        }
        if (p->opcode != PCP_ANNOUNCE || !a->is_open || !a->is_look) {
                ignore(m);
                return;
        }
        /* One that does not know how to announce says its epoch with the error. */
        holds = pcp_epoch_holds(&m->router_epoch, p->epoch, now(m));
        router_epoch_note(&m->router_epoch, p->epoch, now(m));
        if (holds)
                seen(m);
        else
                ask_anew(m, MAP_PCP);
}

static void handle_natpmp_address(Mapper *m, const NatPmpResponse *p, bool holds) {
        IpAddr mapped = endpoint_address(&m->endpoint);

        m->natpmp_external = p->external;
        if (m->attempt[MAP_NATPMP].is_look) {
                if (holds && ip_equal(&p->external, &mapped))
                        seen(m);
                else
                        ask_anew(m, MAP_NATPMP);
        } else if (m->natpmp_port != 0)
                accept_mapping(m, MAP_NATPMP, &p->external, m->natpmp_port, m->natpmp_lifetime);
}

static void handle_natpmp_map(Mapper *m, const NatPmpResponse *p) {
        if (m->attempt[MAP_NATPMP].is_look)
                return;
        if (p->lifetime == 0) {
                ignore(m);
                return;
        }
        /* Where it is, and which: either may come first. */
        if (ip_is_set(&m->natpmp_external)) {
                accept_mapping(m, MAP_NATPMP, &m->natpmp_external, p->external_port, p->lifetime);
                return;
        }
        m->natpmp_port = p->external_port;
        m->natpmp_lifetime = p->lifetime;
}

static void handle_natpmp(Mapper *m, const NatPmpResponse *p) {
        const Attempt *a = &m->attempt[MAP_NATPMP];
        bool holds;

        /* Section 3.5, and RFC 6887 appendix A: a router that has never heard of PCP. */
        if (p->result == NATPMP_UNSUPP_VERSION && m->attempt[MAP_PCP].is_open) {
                fail(m, MAP_PCP, NULL);
                return;
        }
        if (p->result == NATPMP_SUCCESS && p->opcode == NATPMP_MAP_UDP &&
            p->internal_port != m->target.port) {
                ignore(m);
                return;
        }
        if (!a->is_open)
                return;
        holds = natpmp_epoch_holds(&m->router_epoch, p->epoch, now(m));
        router_epoch_note(&m->router_epoch, p->epoch, now(m));
        if (p->result != NATPMP_SUCCESS)
                refuse(m, MAP_NATPMP, "NAT-PMP", natpmp_result_to_string(p->result), 0);
        else if (p->opcode == NATPMP_ADDRESS)
                handle_natpmp_address(m, p, holds);
        else if (p->opcode == NATPMP_MAP_UDP)
                handle_natpmp_map(m, p);
        else
                ignore(m);
}

void mapper_handle_datagram(Mapper *m, const uint8_t *data, size_t len) {
        NatPmpResponse natpmp;
        PcpResponse pcp;

        if (m->state == MAPPER_IDLE)
                return;
        if (pcp_decode(data, len, &pcp) >= 0)
                handle_pcp(m, &pcp);
        else if (is_v4(m) && natpmp_decode(data, len, &natpmp) >= 0)
                handle_natpmp(m, &natpmp);
        else
                ignore(m);
}

void mapper_handle_announcement(Mapper *m, const uint8_t *data, size_t len) {
        NatPmpResponse natpmp;
        PcpResponse pcp;
        bool is_news;

        if (m->state == MAPPER_IDLE)
                return;
        if (pcp_decode(data, len, &pcp) >= 0 && pcp.opcode == PCP_ANNOUNCE)
                is_news = !pcp_epoch_holds(&m->router_epoch, pcp.epoch, now(m));
        else if (natpmp_decode(data, len, &natpmp) >= 0 && natpmp.opcode == NATPMP_ADDRESS)
                is_news = !natpmp_epoch_holds(&m->router_epoch, natpmp.epoch, now(m));
        else {
                ignore(m);
                return;
        }
        if ((is_news || m->state == MAPPER_PAUSED) && now(m) >= m->quiet_until) {
                usec_t at = now(m) + random_below(m, ANNOUNCED_USEC);

                m->quiet_until = now(m) + LOOK_MIN_USEC;
                if (m->state == MAPPER_PAUSED)
                        timer_set(m->env.timers, &m->look_timer, at, on_pause_over, m);
                else if (m->state == MAPPER_MAPPED)
                        timer_set(m->env.timers, &m->look_timer, at, on_look, m);
        }
}

void mapper_handle_unreachable(Mapper *m) {
        /* It may be starting: it is asked on, but nobody waits for it. */
        if (m->state == MAPPER_ASKING && m->next < _MAP_PROTOCOL_MAX)
                advance(m);
}

void mapper_handle_upnp(Mapper *m, const UpnpAnswer *answer) {
        static const UpnpAnswer none = { .outcome = UPNP_NONE };
        const UpnpAnswer *a = answer ?: &none;
        g_autofree char *why = NULL;

        if (!m->attempt[MAP_UPNP].is_open)
                return;
        m->attempt[MAP_UPNP] = (Attempt){}; /* it has ended: nothing to cancel */
        m->upnp_url[0] = '\0';
        switch (a->outcome) {
        case UPNP_MAPPED:
                if (!upnp_url_is_of(a->url, &m->target.router)) {
                        ignore(m);
                        fail(m, MAP_UPNP, NULL);
                        return;
                }
                g_strlcpy(m->upnp_url, a->url, sizeof m->upnp_url);
                accept_mapping(m, MAP_UPNP, &a->external, a->external_port, a->lifetime ?: LIFE_SEC);
                return;
        case UPNP_REFUSED:
                why = g_strdup_printf("error %u", a->code);
                refuse(m, MAP_UPNP, "UPnP", why, 0);
                return;
        case UPNP_NONE:
        case UPNP_REMOVED:
                fail(m, MAP_UPNP, NULL);
                return;
        }
}

/* --- life --- */

Mapper *mapper_new(const MapperEnv *env, const uint8_t nonce[static PCP_NONCE_SIZE]) {
        Mapper *m = NEW(Mapper);

        m->env = *env;
        memcpy(m->nonce, nonce, sizeof m->nonce);
        m->protocol = _MAP_PROTOCOL_INVALID;
        m->pause = PAUSE_FIRST_USEC;
        m->reason = g_strdup("nobody has been asked yet");
        return m;
}

static void stop(Mapper *m) {
        close_attempts(m);
        timer_clear(&m->look_timer);
        forget_mapping(m);
        m->state = MAPPER_IDLE;
        m->pause = PAUSE_FIRST_USEC;
        m->router_epoch = (RouterEpoch){};
        m->quiet_until = 0;
        m->upnp_url[0] = '\0';
        for (MapProtocol p = 0; p < _MAP_PROTOCOL_MAX; p++) {
                m->refused_until[p] = 0;
                g_clear_pointer(&m->failure[p], g_free);
        }
}

Mapper *mapper_free(Mapper *m) {
        if (!m)
                return NULL;
        close_attempts(m);
        timer_clear(&m->look_timer);
        timer_clear(&m->renew_timer);
        timer_clear(&m->expire_timer);
        for (MapProtocol p = 0; p < _MAP_PROTOCOL_MAX; p++)
                g_free(m->failure[p]);
        g_free(m->reason);
        g_free(m);
        return NULL;
}

static bool same_target(const MapperTarget *a, const MapperTarget *b) {
        return ip_equal(&a->router, &b->router) && ip_equal(&a->source, &b->source) &&
               a->ifindex == b->ifindex && a->port == b->port;
}

void mapper_set_target(Mapper *m, const MapperTarget *target, const char *reason) {
        if (target && m->state != MAPPER_IDLE && same_target(target, &m->target))
                return;
        stop(m);
        if (!target) {
                set_reason(m, "%s", reason);
                return;
        }
        m->target = *target;
        set_reason(m, "router %s is asked", router_text(m));
        begin_round(m);
}

void mapper_release(Mapper *m, const char *reason) {
        /* What was asked may have been done, and the answer lost. */
        for (MapProtocol p = MAP_PCP; p <= MAP_NATPMP; p++)
                if (m->state != MAPPER_IDLE &&
                    (m->protocol == p || (m->attempt[p].is_open && !m->attempt[p].is_look)))
                        unmap(m, p, 0);
        if (m->protocol == MAP_UPNP) {
                close_attempt(m, MAP_UPNP);
                unmap(m, MAP_UPNP, endpoint_port(&m->endpoint));
        }
        mapper_set_target(m, NULL, reason);
}

void mapper_look(Mapper *m) {
        usec_t at = MAX(now(m), m->looked + LOOK_MIN_USEC);

        m->pause = PAUSE_FIRST_USEC;
        if (m->state == MAPPER_PAUSED)
                timer_set(m->env.timers, &m->look_timer, at, on_pause_over, m);
        else if (m->state == MAPPER_MAPPED)
                timer_set(m->env.timers, &m->look_timer, at, on_look, m);
}

bool mapper_has_target(const Mapper *m) {
        return m->state != MAPPER_IDLE;
}

const MapperTarget *mapper_target(const Mapper *m) {
        return &m->target;
}

const Endpoint *mapper_endpoint(const Mapper *m) {
        return m->protocol >= 0 ? &m->endpoint : NULL;
}

MapProtocol mapper_protocol(const Mapper *m) {
        return m->protocol;
}

const char *mapper_reason(const Mapper *m) {
        return m->protocol >= 0 || !m->reason ? "" : m->reason;
}
