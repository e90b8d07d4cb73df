/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What comes from a router: the codecs, the helper's line, and a mapper that has asked. The first
 * byte says whether datagrams are answers or announcements; datagrams have a byte of length before
 * them, and the next one's time after them. */
#include <string.h>

#include "base/macros.h"
#include "fuzz.h"
#include "portmap/mapper-internal.h"

typedef struct World {
        usec_t now;
        Mapper *m;
} World;

static usec_t env_now(void *userdata) {
        return ((World *) userdata)->now;
}
static void env_random(void *userdata, void *buf, size_t n) {
        memset(buf, 0x55, n);
}
static void env_send(void *userdata, const uint8_t *data, size_t len) {
        FUZZ_ASSERT(len >= NATPMP_ADDRESS_SIZE && len <= PCP_MAP_SIZE);
}
static int env_upnp(void *userdata, const UpnpRequest *q) {
        UpnpArguments a;
        UpnpRequest again;

        upnp_request_to_arguments(q, &a);
        FUZZ_ASSERT(upnp_request_from_arguments(a.argv, *q->url ? 7 : 6, &again) == 0);
        FUZZ_ASSERT(again.external_port == q->external_port);
        return 0;
}
static bool env_is_inside(void *userdata, const IpAddr *a) {
        return a->bytes[0] == 198 && a->bytes[1] == 18;
}
static void env_changed(void *userdata) {
        FUZZ_ASSERT(mapper_reason(((World *) userdata)->m) != NULL);
}
static void env_ignored(void *userdata) {
}

static void check(const Mapper *m) {
        const Endpoint *e = mapper_endpoint(m);
        IpAddr a;

        FUZZ_ASSERT((e != NULL) == (mapper_protocol(m) >= 0));
        FUZZ_ASSERT(!e || *mapper_reason(m) == '\0');
        if (!e)
                return;
        a = endpoint_address(e);
        FUZZ_ASSERT(endpoint_port(e) != 0 && a.family == AF_INET);
        FUZZ_ASSERT(a.bytes[0] != 0 && a.bytes[0] != 10 && a.bytes[0] != 127 && a.bytes[0] < 224);
        FUZZ_ASSERT(!env_is_inside(NULL, &a));
}

static void run_mapper(const uint8_t *data, size_t size) {
        static const uint8_t nonce[PCP_NONCE_SIZE] = "twelve bytes";
        const MapperTarget target = {
                .router = { AF_INET, { 192, 168, 1, 1 } },
                .source = { AF_INET, { 192, 168, 1, 7 } },
                .ifindex = 2,
                .port = 18002,
        };
        World w = { .now = USEC_PER_HOUR };
        MapperEnv env = {
                .userdata = &w,
                .timers = timer_queue_new(),
                .now = env_now,
                .random = env_random,
                .send = env_send,
                .upnp = env_upnp,
                .is_inside = env_is_inside,
                .changed = env_changed,
                .ignored = env_ignored,
        };
        bool announced = size > 0 && (data[0] & 1);

        w.m = mapper_new(&env, nonce);
        mapper_set_target(w.m, &target, NULL);
        for (size_t at = 1; at + 2 <= size;) {
                size_t len = MIN(data[at], size - at - 2);
                UpnpAnswer a;

                at++;
                if (announced)
                        mapper_handle_announcement(w.m, data + at, len);
                else if (upnp_answer_parse((const char *) data + at, len, &a) >= 0)
                        mapper_handle_upnp(w.m, &a);
                else
                        mapper_handle_datagram(w.m, data + at, len);
                check(w.m);
                at += len;
                /* From a tenth of a second to seven minutes. */
                w.now += 100 * USEC_PER_MSEC << (at < size ? data[at] % 13 : 0);
                at++;
                timer_queue_run(env.timers, w.now);
                check(w.m);
        }
        mapper_release(w.m, "");
        mapper_free(w.m);
        FUZZ_ASSERT(timer_queue_next(env.timers) == USEC_INFINITY);
        timer_queue_free(env.timers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        NatPmpResponse natpmp;
        char line[UPNP_LINE_MAX];
        UpnpAnswer a, b;
        PcpResponse pcp;

        if (pcp_decode(data, size, &pcp) >= 0)
                FUZZ_ASSERT(size >= PCP_HEADER_SIZE && pcp.version != 0);
        if (natpmp_decode(data, size, &natpmp) >= 0)
                FUZZ_ASSERT(size >= 8 && data[0] == 0);
        if (upnp_answer_parse((const char *) data, size, &a) >= 0) {
                size_t n = upnp_answer_format(&a, line);

                FUZZ_ASSERT(n <= UPNP_LINE_MAX && upnp_answer_parse(line, n, &b) >= 0);
                FUZZ_ASSERT(a.outcome == b.outcome && a.code == b.code);
        }
        run_mapper(data, size);
        return 0;
}
