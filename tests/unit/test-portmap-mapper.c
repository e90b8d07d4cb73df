/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The mapper against a model of a router, in virtual time. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "portmap/mapper.h"
#include "portmap/natpmp.h"

#define PORT 18002
#define MINUTE USEC_PER_MINUTE

static const uint8_t nonce[PCP_NONCE_SIZE] = "twelve bytes";

typedef struct World {
        TimerQueue *timers;
        Mapper *m;
        usec_t now;

        /* The router. */
        bool speaks_pcp, speaks_natpmp;
        bool knows_no_pcp; /* answers it in NAT-PMP, as RFC 6886 says; else silent */
        usec_t booted;
        IpAddr external;
        uint16_t external_port; /* 0: as suggested */
        uint32_t lifetime;      /* 0: as asked */
        uint8_t result;
        uint32_t error_lifetime;
        bool is_mapped;
        usec_t mapped_until;
        unsigned asked_pcp, asked_natpmp, announces;

        /* UPnP. */
        bool has_helper;
        unsigned asked_upnp, cancelled;
        UpnpRequest upnp;

        unsigned changed, ignored;
        IpPrefix inside;
} World;

static usec_t env_now(void *userdata) {
        return ((World *) userdata)->now;
}

static void env_random(void *userdata, void *buf, size_t n) {
        memset(buf, 0x80, n);
}

static bool env_is_inside(void *userdata, const IpAddr *a) {
        World *w = userdata;

        return ip_is_set(&w->inside.addr) && ip_prefix_contains(&w->inside, a);
}

static void env_changed(void *userdata) {
        ((World *) userdata)->changed++;
}

static void env_ignored(void *userdata) {
        ((World *) userdata)->ignored++;
}

static int env_upnp(void *userdata, const UpnpRequest *q) {
        World *w = userdata;

        w->asked_upnp++;
        w->upnp = *q;
        return 0;
}

static void env_upnp_cancel(void *userdata) {
        ((World *) userdata)->cancelled++;
}

static uint32_t epoch(const World *w) {
        return (uint32_t) ((w->now - w->booted) / USEC_PER_SEC);
}

static bool has_mapping(const World *w) {
        return w->is_mapped && w->now < w->mapped_until;
}

static uint32_t take(World *w, uint32_t lifetime) {
        if (lifetime > 0 && w->lifetime > 0)
                lifetime = w->lifetime;
        w->is_mapped = lifetime > 0;
        w->mapped_until = w->now + lifetime * USEC_PER_SEC;
        return lifetime;
}

static void put_external(uint8_t buf[static 16], const IpAddr *a) {
        memset(buf, 0, 16);
        if (a->family == AF_INET6) {
                memcpy(buf, a->bytes, 16);
                return;
        }
        buf[10] = buf[11] = 0xff;
        memcpy(buf + 12, a->bytes, 4);
}

static void pcp_answer(World *w, const uint8_t *q, size_t len) {
        uint8_t a[PCP_MAP_SIZE];
        uint32_t lifetime = read_be32(q + 4);

        memcpy(a, q, len);
        memset(a + 8, 0, 16);
        a[1] |= 0x80;
        a[3] = w->result;
        write_be32(a + 8, epoch(w));
        if (q[1] == PCP_MAP && w->result == 0) {
                write_be32(a + 4, take(w, lifetime));
                if (w->external_port > 0)
                        write_be16(a + 42, w->external_port);
                put_external(a + 44, &w->external);
        } else if (w->result != 0)
                write_be32(a + 4, w->error_lifetime);
        mapper_handle_datagram(w->m, a, len);
}

static void natpmp_answer(World *w, const uint8_t *q) {
        uint8_t a[16] = { 0, (uint8_t) (128 + q[1]), 0, w->result };

        write_be32(a + 4, epoch(w));
        if (w->result != 0) {
                mapper_handle_datagram(w->m, a, 8);
        } else if (q[1] == 0) {
                memcpy(a + 8, w->external.bytes, 4);
                mapper_handle_datagram(w->m, a, 12);
        } else {
                memcpy(a + 8, q + 4, 4);
                if (w->external_port > 0)
                        write_be16(a + 10, w->external_port);
                write_be32(a + 12, take(w, read_be32(q + 8)));
                mapper_handle_datagram(w->m, a, 16);
        }
}

/* Datagrams wait here until the mapper has returned, as they do in a kernel. */
typedef struct Question {
        World *world;
        Timer timer;
        uint8_t data[64];
        size_t len;
} Question;

static void on_question(void *userdata) {
        g_autofree Question *q = userdata;
        World *w = q->world;

        if (q->data[0] == PCP_VERSION) {
                w->asked_pcp += q->data[1] == PCP_MAP;
                w->announces += q->data[1] == PCP_ANNOUNCE;
                if (w->speaks_pcp)
                        pcp_answer(w, q->data, q->len);
                else if (w->knows_no_pcp) {
                        uint8_t a[8] = { 0, 128, 0, NATPMP_UNSUPP_VERSION };

                        write_be32(a + 4, epoch(w));
                        mapper_handle_datagram(w->m, a, sizeof a);
                }
                return;
        }
        w->asked_natpmp++;
        if (w->speaks_natpmp)
                natpmp_answer(w, q->data);
        else if (w->speaks_pcp) { /* RFC 6887 section 9: the version it has */
                uint8_t a[PCP_HEADER_SIZE] = { PCP_VERSION, 0x80, 0, PCP_UNSUPP_VERSION };

                mapper_handle_datagram(w->m, a, sizeof a);
        }
}

static void env_send(void *userdata, const uint8_t *data, size_t len) {
        World *w = userdata;
        Question *q = NEW(Question);

        assert_in_range(len, 2, sizeof q->data);
        q->world = w;
        q->len = len;
        memcpy(q->data, data, len);
        timer_set(w->timers, &q->timer, w->now + USEC_PER_MSEC, on_question, q);
}

static void run(World *w, usec_t time) {
        usec_t end = w->now + time, next;

        while ((next = timer_queue_next(w->timers)) <= end) {
                w->now = MAX(w->now, next);
                timer_queue_run(w->timers, w->now);
        }
        w->now = end;
}

static const MapperTarget home = {
        .router = { AF_INET, { 192, 168, 1, 1 } },
        .source = { AF_INET, { 192, 168, 1, 7 } },
        .ifindex = 2,
        .port = PORT,
};

static void begin(World *w) {
        MapperEnv env = {
                .userdata = w,
                .now = env_now,
                .random = env_random,
                .send = env_send,
                .upnp = w->has_helper ? env_upnp : NULL,
                .upnp_cancel = env_upnp_cancel,
                .is_inside = env_is_inside,
                .changed = env_changed,
                .ignored = env_ignored,
        };

        env.timers = w->timers = timer_queue_new();
        w->now = 1000 * USEC_PER_SEC;
        w->booted = 10 * USEC_PER_SEC;
        if (!ip_is_set(&w->external))
                w->external = (IpAddr){ AF_INET, { 203, 0, 113, 9 } };
        w->m = mapper_new(&env, nonce);
        mapper_set_target(w->m, &home, NULL);
}

static void end(World *w) {
        mapper_release(w->m, "the end");
        run(w, USEC_PER_SEC);
        assert_false(has_mapping(w));
        w->m = mapper_free(w->m);
        assert_int_equal(timer_queue_next(w->timers), USEC_INFINITY);
        timer_queue_free(w->timers);
}

static void assert_mapped(const World *w, MapProtocol p, const char *endpoint) {
        const Endpoint *e = mapper_endpoint(w->m);

        assert_non_null(e);
        assert_int_equal(mapper_protocol(w->m), p);
        assert_string_equal(endpoint_format(e).text, endpoint);
        assert_string_equal(mapper_reason(w->m), "");
}

static void assert_not_mapped(const World *w, const char *reason) {
        assert_null(mapper_endpoint(w->m));
        assert_string_equal(mapper_reason(w->m), reason);
}

/* --- who is asked --- */

static void test_pcp(void **state) {
        World w = { .speaks_pcp = true, .speaks_natpmp = true, .has_helper = true };

        begin(&w);
        run(&w, 10 * USEC_PER_MSEC);
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        run(&w, MINUTE);
        assert_int_equal(w.asked_natpmp, 0);
        assert_int_equal(w.asked_upnp, 0);
        end(&w);
}

static void test_natpmp_after_silence(void **state) {
        World w = { .speaks_natpmp = true, .external_port = 4660 };

        begin(&w);
        run(&w, 249 * USEC_PER_MSEC);
        assert_int_equal(w.asked_natpmp, 0);
        run(&w, 10 * USEC_PER_MSEC);
        assert_mapped(&w, MAP_NATPMP, "203.0.113.9:4660");
        end(&w);
}

/* A router that says so need not be waited for. */
static void test_version(void **state) {
        World w = { .speaks_natpmp = true, .knows_no_pcp = true };

        begin(&w);
        run(&w, 5 * USEC_PER_MSEC);
        assert_mapped(&w, MAP_NATPMP, "203.0.113.9:18002");
        assert_int_equal(w.ignored, 0);
        end(&w);
}

static void test_upnp_last(void **state) {
        World w = { .has_helper = true };
        UpnpAnswer a = {
                .outcome = UPNP_MAPPED,
                .external = { AF_INET, { 203, 0, 113, 9 } },
                .external_port = 18003,
                .lifetime = 0, /* a router that knows no end */
                .url = "http://192.168.1.1:5000/root.xml",
        };

        begin(&w);
        run(&w, 499 * USEC_PER_MSEC);
        assert_int_equal(w.asked_upnp, 0);
        run(&w, 2 * USEC_PER_MSEC);
        assert_int_equal(w.asked_upnp, 1);
        mapper_handle_upnp(w.m, &a);
        assert_mapped(&w, MAP_UPNP, "203.0.113.9:18003");
        /* Looked at by asking again, where it was found, for what we have. */
        run(&w, 10 * MINUTE);
        assert_int_equal(w.asked_upnp, 2);
        assert_string_equal(w.upnp.url, a.url);
        assert_int_equal(w.upnp.external_port, 18003);
        mapper_handle_upnp(w.m, &a);
        mapper_release(w.m, "off");
        assert_int_equal(w.asked_upnp, 3);
        assert_int_equal(w.upnp.operation, UPNP_REMOVE);
        assert_not_mapped(&w, "off");
        end(&w);
}

static void test_nobody(void **state) {
        World w = { .has_helper = true };

        begin(&w);
        run(&w, 30 * USEC_PER_SEC);
        assert_not_mapped(&w, "router 192.168.1.1 is asked");
        mapper_handle_upnp(w.m, NULL);
        run(&w, 40 * USEC_PER_SEC);
        assert_not_mapped(&w, "router 192.168.1.1 does not answer PCP, NAT-PMP nor UPnP");
        /* 3 s and then twice as long each; two datagrams each at 250 ms and then the same. */
        assert_int_equal(w.asked_pcp, 5);
        assert_int_equal(w.asked_natpmp, 16);
        /* Rounds become rarer, down to one in ten minutes. */
        w.asked_pcp = 0;
        run(&w, 60 * MINUTE);
        assert_in_range(w.asked_pcp, 6 * 5, 9 * 5);
        /* In the background it is found sooner or later. */
        w.speaks_pcp = true;
        run(&w, 12 * MINUTE);
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        end(&w);
}

/* A helper that was asked and is not needed ends; its answer, if it comes yet, is nobody's. */
static void test_late(void **state) {
        World w = { .has_helper = true };
        const UpnpAnswer a = { .outcome = UPNP_MAPPED,
                               .external = { AF_INET, { 203, 0, 113, 8 } },
                               .external_port = 1,
                               .url = "http://192.168.1.1/" };

        begin(&w);
        run(&w, USEC_PER_SEC);
        assert_int_equal(w.asked_upnp, 1);
        w.speaks_pcp = true;
        run(&w, 3 * USEC_PER_SEC);
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        assert_int_equal(w.cancelled, 1);
        mapper_handle_upnp(w.m, &a);
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        end(&w);
}

static void test_refused(void **state) {
        World w = { .speaks_pcp = true, .result = PCP_NOT_AUTHORIZED, .error_lifetime = 1800 };

        begin(&w);
        run(&w, 2 * MINUTE);
        assert_not_mapped(&w, "router 192.168.1.1 refuses by PCP: it is not allowed");
        /* It said for how long. */
        assert_int_equal(w.asked_pcp, 1);
        run(&w, 27 * MINUTE);
        assert_int_equal(w.asked_pcp, 1);
        w.result = 0;
        run(&w, 12 * MINUTE);
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        end(&w);
}

static void test_unreachable(void **state) {
        World w = { .has_helper = true };

        begin(&w);
        run(&w, 2 * USEC_PER_MSEC);
        mapper_handle_unreachable(w.m);
        mapper_handle_unreachable(w.m);
        assert_int_equal(w.asked_upnp, 1);
        end(&w);
}

/* --- time --- */

static void test_days(void **state) {
        World w = { .speaks_pcp = true };

        begin(&w);
        for (unsigned i = 0; i < 3 * 24 * 60; i++) {
                run(&w, MINUTE);
                assert_true(has_mapping(&w));
        }
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        assert_in_range(w.asked_pcp, 3 * 24, 3 * 24 + 2);             /* each hour */
        assert_in_range(w.announces, 3 * 24 * 5 - 5, 3 * 24 * 6 + 2); /* each ten minutes between */
        end(&w);
}

static void test_short_lives(void **state) {
        World w = { .speaks_natpmp = true, .lifetime = 60 };

        begin(&w);
        for (unsigned i = 0; i < 600; i++) {
                run(&w, USEC_PER_SEC);
                assert_true(i == 0 || has_mapping(&w));
        }
        /* Two datagrams twice a minute. */
        assert_in_range(w.asked_natpmp, 2 * 19, 2 * 22);
        /* One of a second is renewed no more often than each 4 s. */
        w.lifetime = 1;
        run(&w, MINUTE);
        w.asked_natpmp = 0;
        run(&w, MINUTE);
        assert_in_range(w.asked_natpmp, 2 * 14, 2 * 16);
        end(&w);
}

static void test_slept(void **state) {
        World w = { .speaks_pcp = true };

        begin(&w);
        run(&w, MINUTE);
        /* All timers are due at once. */
        w.now += 24 * USEC_PER_HOUR;
        run(&w, 5 * USEC_PER_SEC);
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        assert_true(has_mapping(&w));
        end(&w);
}

static void reboot(World *w) {
        w->booted = w->now;
        w->is_mapped = false;
}

static void restart(bool pcp) {
        World w = { .speaks_pcp = pcp, .speaks_natpmp = !pcp, .knows_no_pcp = true };

        begin(&w);
        run(&w, 25 * MINUTE);
        assert_true(has_mapping(&w));
        reboot(&w);
        w.external = (IpAddr){ AF_INET, { 203, 0, 113, 77 } };
        run(&w, 10 * MINUTE);
        assert_true(has_mapping(&w));
        assert_mapped(&w, pcp ? MAP_PCP : MAP_NATPMP, "203.0.113.77:18002");
        assert_int_equal(w.changed, 3); /* asked, mapped, and mapped elsewhere */
        end(&w);
}

static void test_restart(void **state) {
        restart(true);
        restart(false);
}

/* RFC 6886 section 3.2: a router without a restart may get another address. */
static void test_new_address(void **state) {
        World w = { .speaks_natpmp = true, .knows_no_pcp = true };

        begin(&w);
        run(&w, MINUTE);
        w.external.bytes[3] = 10;
        run(&w, 10 * MINUTE);
        assert_mapped(&w, MAP_NATPMP, "203.0.113.10:18002");
        end(&w);
}

static void test_announced(void **state) {
        uint8_t pcp[PCP_HEADER_SIZE] = { PCP_VERSION, 0x80 };
        uint8_t natpmp[12] = { 0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 77 };
        World w = { .speaks_pcp = true };

        begin(&w);
        run(&w, MINUTE);
        /* Nothing new: it is only somebody else who looked. */
        write_be32(pcp + 8, epoch(&w));
        mapper_handle_announcement(w.m, pcp, sizeof pcp);
        run(&w, 6 * USEC_PER_SEC);
        assert_int_equal(w.announces, 0);
        /* A lie makes us look, and nothing else; a flood of them does not make us look more often. */
        for (unsigned i = 0; i < 1000; i++) {
                write_be32(pcp + 8, i % 7);
                mapper_handle_announcement(w.m, pcp, sizeof pcp);
                mapper_handle_announcement(w.m, natpmp, sizeof natpmp);
                run(&w, 10 * USEC_PER_MSEC);
        }
        assert_int_equal(w.announces, 1);
        assert_int_equal(w.asked_pcp, 1);
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        run(&w, MINUTE);
        reboot(&w);
        write_be32(pcp + 8, 0);
        mapper_handle_announcement(w.m, pcp, sizeof pcp);
        run(&w, 6 * USEC_PER_SEC);
        assert_true(has_mapping(&w));
        mapper_handle_announcement(w.m, pcp, 7);
        assert_int_equal(w.ignored, 1);
        end(&w);
}

/* It is away for an hour, and comes back without a word. */
static void test_router_gone(void **state) {
        World w = { .speaks_pcp = true };

        begin(&w);
        run(&w, MINUTE);
        w.speaks_pcp = false;
        run(&w, 15 * MINUTE);
        assert_null(mapper_endpoint(w.m));
        run(&w, 45 * MINUTE);
        w.speaks_pcp = true;
        reboot(&w);
        run(&w, 12 * MINUTE);
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        end(&w);
}

/* Another one in its place, at once, that speaks something else. */
static void test_router_replaced(void **state) {
        World w = { .speaks_pcp = true };

        begin(&w);
        run(&w, MINUTE);
        w.speaks_pcp = false;
        w.speaks_natpmp = w.knows_no_pcp = true;
        reboot(&w);
        mapper_look(w.m);
        run(&w, USEC_PER_SEC);
        assert_mapped(&w, MAP_NATPMP, "203.0.113.9:18002");
        end(&w);
}

static void test_moved(void **state) {
        World w = { .speaks_pcp = true };
        MapperTarget cafe = home;

        begin(&w);
        run(&w, MINUTE);
        mapper_set_target(w.m, &home, NULL);
        assert_int_equal(w.asked_pcp, 1); /* nothing new */
        mapper_release(w.m, "no way");
        assert_not_mapped(&w, "no way");
        run(&w, MINUTE);
        assert_false(has_mapping(&w));
        cafe.ifindex = 3;
        mapper_set_target(w.m, &cafe, NULL);
        run(&w, MINUTE);
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        /* What changes without a pause is looked at now and then. */
        w.announces = 0;
        for (unsigned i = 0; i < 600; i++) {
                mapper_look(w.m);
                run(&w, 100 * USEC_PER_MSEC);
        }
        assert_in_range(w.announces, 5, 7);
        end(&w);
}

/* --- lies --- */

static void test_lies(void **state) {
        static const struct {
                const char *address;
                uint16_t port;
                const char *reason;
        } table[] = {
                { "10.1.2.3", 0, "which is private: another translator stands before it" },
                { "100.64.0.1", 0, "which is private: another translator stands before it" },
                { "172.31.255.1", 0, "which is private: another translator stands before it" },
                { "0.0.0.0", 0, "which is nobody's" },
                { "127.0.0.1", 0, "which is nobody's" },
                { "169.254.1.1", 0, "which is nobody's" },
                { "224.0.0.1", 0, "which is nobody's" },
                { "255.255.255.255", 0, "which is nobody's" },
                { "198.18.7.7", 0, "which is inside a network of omerta" },
                { "2001:db8::1", 0, "which is of the wrong kind" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                World w = { .speaks_pcp = true, .inside = { { AF_INET, { 198, 18 } }, 15 } };
                g_autofree char *reason =
                                g_strdup_printf("router 192.168.1.1 says that it is %s outside, %s",
                                                table[i].address, table[i].reason);

                assert_return_code(ip_parse(table[i].address, &w.external), 0);
                begin(&w);
                run(&w, 2 * MINUTE);
                assert_not_mapped(&w, reason);
                assert_true(w.ignored > 0);
                end(&w);
        }
}

/* One that begins to lie is not believed any more; what it said before is not true any more. */
static void test_becomes_liar(void **state) {
        World w = { .speaks_natpmp = true, .knows_no_pcp = true };

        begin(&w);
        run(&w, MINUTE);
        assert_mapped(&w, MAP_NATPMP, "203.0.113.9:18002");
        w.external = (IpAddr){ AF_INET, { 10, 0, 0, 1 } };
        run(&w, 12 * MINUTE);
        assert_null(mapper_endpoint(w.m));
        end(&w);
}

static void test_strangers(void **state) {
        uint8_t a[PCP_MAP_SIZE] = { PCP_VERSION, 0x80 | PCP_MAP, [36] = 17 };
        uint8_t n[16] = { 0, 129, 0, 0, 0, 0, 0, 1, 0, 80, 0, 80, 0, 0, 1, 0 };
        World w = {};

        begin(&w);
        run(&w, 300 * USEC_PER_MSEC);
        write_be32(a + 4, 7200);
        write_be16(a + 40, PORT);
        write_be16(a + 42, PORT);
        put_external(a + 44, &w.external);
        mapper_handle_datagram(w.m, a, sizeof a); /* another's nonce */
        memcpy(a + 24, nonce, sizeof nonce);
        write_be16(a + 40, PORT + 1); /* another port */
        mapper_handle_datagram(w.m, a, sizeof a);
        mapper_handle_datagram(w.m, n, sizeof n);
        mapper_handle_datagram(w.m, n, 3);
        mapper_handle_datagram(w.m, NULL, 0);
        assert_int_equal(w.ignored, 5);
        write_be16(a + 40, PORT);
        write_be32(a + 4, 0); /* for no time */
        mapper_handle_datagram(w.m, a, sizeof a);
        assert_int_equal(w.ignored, 6);
        assert_null(mapper_endpoint(w.m));
        write_be32(a + 4, 7200);
        write_be16(a + 42, 0); /* at no port */
        mapper_handle_datagram(w.m, a, sizeof a);
        assert_int_equal(w.ignored, 7);
        assert_null(mapper_endpoint(w.m));
        end(&w);
}

/* Copies and what was overtaken change nothing. */
static void test_copies(void **state) {
        uint8_t a[PCP_MAP_SIZE] = { PCP_VERSION, 0x80 | PCP_MAP, [36] = 17 };
        World w = { .speaks_pcp = true };

        begin(&w);
        run(&w, MINUTE);
        write_be32(a + 4, 7200);
        memcpy(a + 24, nonce, sizeof nonce);
        write_be16(a + 40, PORT);
        write_be16(a + 42, 99);
        put_external(a + 44, &(IpAddr){ AF_INET, { 198, 51, 100, 1 } });
        mapper_handle_datagram(w.m, a, sizeof a);
        assert_mapped(&w, MAP_PCP, "203.0.113.9:18002");
        end(&w);
}

static void test_ipv6(void **state) {
        World w = { .speaks_pcp = true,
                    .has_helper = true,
                    .external = { AF_INET6, { 0x20, 1, 0x0d, 0xb8, [15] = 7 } } };
        const MapperTarget t = {
                .router = { AF_INET6, { 0xfe, 0x80, [15] = 1 } },
                .source = { AF_INET6, { 0x20, 1, 0x0d, 0xb8, [15] = 7 } },
                .ifindex = 2,
                .port = PORT,
        };

        begin(&w);
        mapper_set_target(w.m, NULL, "no way");
        run(&w, USEC_PER_SEC);
        mapper_set_target(w.m, &t, NULL);
        run(&w, USEC_PER_SEC);
        assert_mapped(&w, MAP_PCP, "[2001:db8::7]:18002");
        mapper_release(w.m, "off");
        run(&w, USEC_PER_SEC);
        /* None of the others is for IPv6. */
        w.speaks_pcp = false;
        w.asked_natpmp = 0;
        mapper_set_target(w.m, &t, NULL);
        run(&w, 2 * MINUTE);
        assert_not_mapped(&w, "router fe80::1 does not answer PCP");
        assert_int_equal(w.asked_natpmp + w.asked_upnp, 0);
        w.speaks_pcp = true;
        w.external.bytes[0] = 0xfd;
        run(&w, 12 * MINUTE);
        assert_null(mapper_endpoint(w.m));
        end(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pcp),          cmocka_unit_test(test_natpmp_after_silence),
                cmocka_unit_test(test_version),      cmocka_unit_test(test_upnp_last),
                cmocka_unit_test(test_nobody),       cmocka_unit_test(test_late),
                cmocka_unit_test(test_refused),      cmocka_unit_test(test_unreachable),
                cmocka_unit_test(test_days),         cmocka_unit_test(test_short_lives),
                cmocka_unit_test(test_slept),        cmocka_unit_test(test_restart),
                cmocka_unit_test(test_new_address),  cmocka_unit_test(test_announced),
                cmocka_unit_test(test_router_gone),  cmocka_unit_test(test_router_replaced),
                cmocka_unit_test(test_moved),        cmocka_unit_test(test_lies),
                cmocka_unit_test(test_becomes_liar), cmocka_unit_test(test_strangers),
                cmocka_unit_test(test_copies),       cmocka_unit_test(test_ipv6),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
