/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which address is for what in a subnet, and which subnet a new network takes. */
#include "base/macros.h"
#include "core/vnet/vnet.h"

#define HOST_GATEWAY 1U
#define HOST_FIRST 100U /* docs/protocol.md, "Addresses" */

static uint32_t subnet_base(const IpPrefix *subnet) {
        return ip_to_v4(&subnet->addr);
}

static uint32_t last_host(const IpPrefix *subnet) {
        return (UINT32_C(1) << (32 - subnet->len)) - 2; /* the one behind it is broadcast */
}

IpAddr vnet_plan_gateway(const IpPrefix *subnet) {
        return ip_from_v4(subnet_base(subnet) + HOST_GATEWAY);
}

IpAddr vnet_plan_first(const IpPrefix *subnet) {
        uint32_t host = last_host(subnet) >= HOST_FIRST ? HOST_FIRST : HOST_GATEWAY + 1;

        return ip_from_v4(subnet_base(subnet) + host);
}

IpAddr vnet_plan_last(const IpPrefix *subnet) {
        return ip_from_v4(subnet_base(subnet) + last_host(subnet));
}

static bool is_used(const IpPrefix *p, const IpPrefix *used, unsigned n_used) {
        for (unsigned i = 0; i < n_used; i++)
                /* A default route says nothing about who lives there. */
                if (used[i].len > 0 && ip_prefix_overlaps(p, &used[i]))
                        return true;
        return false;
}

int vnet_choose_subnet(const IpPrefix *used, unsigned n_used, uint32_t choice, IpPrefix *ret) {
        /* RFC 1918. 192.168.0.0/16 is left to the home routers of this world. */
        static const struct {
                uint32_t base;
                unsigned n;
        } ranges[] = {
                { UINT32_C(10) << 24, 256 },
                { UINT32_C(172) << 24 | UINT32_C(16) << 16, 16 },
        };

        for (size_t i = 0; i < ELEMENTSOF(ranges); i++) {
                IpPrefix found[256];
                uint32_t n = 0;

                for (uint32_t j = 0; j < ranges[i].n; j++) {
                        IpPrefix p = { .addr = ip_from_v4(ranges[i].base + (j << 16)), .len = 16 };

                        if (!is_used(&p, used, n_used))
                                found[n++] = p;
                }
                if (n > 0) {
                        *ret = found[choice % n];
                        return 0;
                }
        }
        return -EADDRNOTAVAIL;
}
