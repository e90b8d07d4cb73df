/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether routers are asked to map our UDP port, which ones, and what came of it: the rest is
 * portmap/. What is mapped is one of our endpoints (sockets.c). */

#include <sodium.h>
#include <string.h>

#include "base/log.h"
#include "manager/manager-internal.h"

#define SETTING "port-mapping"
/* A router lets nobody change a mapping who does not know the nonce it was made with: a daemon that
 * did not end in order finds its own again (RFC 6887 section 11.2). */
#define NONCE "port-mapping-nonce"

static bool is_inside(void *userdata, const IpAddr *a) {
        const Manager *m = userdata;

        return prefix_set_contains(&m->inside, a);
}

static void on_ignored(void *userdata) {
        Manager *m = userdata;

        drop_count(&m->drops, DROP_PORT_MAPPING);
}

static void log_change(Manager *m, unsigned side, const Endpoint *e, const Mapper *mapper) {
        Endpoint *told = &m->mapped_told[side];

        if (e ? endpoint_equal(e, told) : !endpoint_is_set(told))
                return;
        *told = e ? *e : (Endpoint){};
        if (e)
                log_info("router %s leads UDP from %s to this machine (%s)",
                         ip_format(&mapper_target(mapper)->router).text, endpoint_format(e).text,
                         map_protocol_to_string(mapper_protocol(mapper)));
        else
                log_info("no router leads to this machine's UDP port any more: %s",
                         mapper_reason(mapper));
}

static void on_changed(void *userdata) {
        static const int families[] = { AF_INET, AF_INET6 };
        Manager *m = userdata;

        for (unsigned i = 0; i < ELEMENTSOF(families); i++) {
                const Mapper *mapper = port_mapper_get(m->port_mapper, families[i]);

                log_change(m, i, mapper_endpoint(mapper), mapper);
        }
        manager_publish_endpoints(m);
        OBSERVE(m, port_mapping_changed);
}

static int load_nonce(Manager *m, uint8_t ret[static PCP_NONCE_SIZE]) {
        g_autofree char *text = NULL;
        char hex[2 * PCP_NONCE_SIZE + 1];
        size_t n;
        int r = store_get_setting(m->store, NONCE, &text);

        if (r >= 0 && sodium_hex2bin(ret, PCP_NONCE_SIZE, text, strlen(text), NULL, &n, NULL) == 0 &&
            n == PCP_NONCE_SIZE)
                return 0;
        if (r < 0 && r != -ENOENT)
                return r;
        randombytes_buf(ret, PCP_NONCE_SIZE);
        sodium_bin2hex(hex, sizeof hex, ret, PCP_NONCE_SIZE);
        return store_put_setting(m->store, NONCE, hex);
}

int manager_open_port_mapping(Manager *m) {
        PortMapperConfig config = {
                .event = m->event,
                .timers = m->timers,
                .userdata = m,
                .changed = on_changed,
                .ignored = on_ignored,
                .is_inside = is_inside,
        };
        g_autofree char *text = NULL;
        int r;

        r = store_get_setting(m->store, SETTING, &text);
        if (r < 0 && r != -ENOENT)
                return log_error_errno(r, "cannot read the settings: %m");
        m->maps_ports = r == -ENOENT || strcmp(text, "off") != 0;
        r = load_nonce(m, config.nonce);
        /* A full disk: it is another one next time. */
        if (r < 0)
                log_debug_errno(r, "cannot keep the nonce of port mappings: %m");
        m->port_mapper = port_mapper_new(&config);
        return 0;
}

/* Not private, and not of those that only mean something here. */
static bool is_public(const IpAddr *a) {
        const IpPrefix host = { .addr = *a, .len = a->family == AF_INET6 ? 128 : 32 };
        static const IpPrefix link_local = { { AF_INET, { 169, 254 } }, 16 };

        return !ip_prefix_is_private(&host) && !ip_prefix_contains(&link_local, a);
}

static void update(Manager *m, int family) {
        g_autofree char *reason = NULL;
        MapperTarget t = { .port = m->port };
        RtnlRouter router;
        int r = m->maps_ports ? manager_default_router(m, family, &router) : 0;

        if (!m->maps_ports)
                reason = g_strdup("switched off; 'omerta set port-mapping on' has the router asked");
        else if (r < 0)
                reason = g_strdup_printf("the routes cannot be read: %s", g_strerror(-r));
        else if (r == 0)
                reason =
                                g_strdup_printf("there is no default route to a router%s",
                                                family == AF_INET6 ? " by IPv6" : "");
        else if (!ip_is_set(&router.source))
                reason = g_strdup("this machine has no public IPv6 address");
        else if (family == AF_INET && is_public(&router.source))
                reason =
                                g_strdup_printf("%s is a public address: nothing need be mapped",
                                                ip_format(&router.source).text);
        if (reason) {
                port_mapper_set_target(m->port_mapper, family, NULL, reason);
                return;
        }
        t.router = router.router;
        t.source = router.source;
        t.ifindex = router.ifindex;
        port_mapper_set_target(m->port_mapper, family, &t, NULL);
}

void manager_update_port_mapping(Manager *m) {
        if (!m->port_mapper)
                return;
        update(m, AF_INET);
        update(m, AF_INET6);
}

unsigned manager_add_mapped(const Manager *m, Endpoint *all, unsigned n, unsigned max) {
        static const int families[] = { AF_INET, AF_INET6 };

        for (unsigned i = 0; m->port_mapper && i < ELEMENTSOF(families); i++) {
                const Endpoint *e = mapper_endpoint(port_mapper_get(m->port_mapper, families[i]));

                if (e)
                        n = endpoint_insert_mapped(e, all, n, max);
        }
        return n;
}

unsigned endpoint_insert_mapped(const Endpoint *e, Endpoint *all, unsigned n, unsigned max) {
        unsigned kept = MIN(n, max), at = kept, last;

        for (unsigned i = kept; i-- > 0;) {
                IpAddr a = endpoint_address(&all[i]);

                if (endpoint_equal(&all[i], e))
                        return n;
                if (!is_public(&a))
                        at = i;
        }
        /* Where there is no room somebody of its own family makes it, so that both stay. */
        last = kept;
        if (kept == max) {
                for (last = kept; last > at && all[last - 1].sa.sa_family != e->sa.sa_family; last--)
                        ;
                if (at == kept)
                        return n + 1;
                last = last > at ? last - 1 : kept - 1;
        }
        memmove(&all[at + 1], &all[at], (last - at) * sizeof *all);
        all[at] = *e;
        return n + 1;
}

bool manager_maps_ports(const Manager *m) {
        return m->maps_ports;
}

const Mapper *manager_port_mapping(const Manager *m, int family) {
        return port_mapper_get(m->port_mapper, family);
}

int manager_set_port_mapping(Manager *m, bool on, ManagerError *error) {
        int r = store_put_setting(m->store, SETTING, on ? "on" : "off");

        if (r < 0)
                return manager_fail(
                                error, r, "Failed", "cannot store the setting: %s", g_strerror(-r));
        if (on == m->maps_ports)
                return 0;
        m->maps_ports = on;
        log_notice("port mapping is %s", on ? "on" : "off");
        manager_update_port_mapping(m);
        OBSERVE(m, port_mapping_changed);
        return 0;
}
