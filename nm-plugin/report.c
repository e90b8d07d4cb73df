/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nm-plugin/report.h"

#include <string.h>
#include <sys/socket.h>

#include "base/macros.h"

/* All of a network is in one /64: docs/protocol.md. */
#define PREFIX6_LEN 64U
/* RFC 863; nothing is sent there. */
#define DISCARD_PORT 9U

static char **text_of(VpnNetwork *n, const char *property) {
        const struct {
                const char *property;
                char **text;
        } table[] = {
                { "Name", &n->name },          { "State", &n->state },
                { "StateReason", &n->reason }, { "Interface", &n->interface },
                { "Address", &n->address },    { "Address6", &n->address6 },
                { "Subnet", &n->subnet },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].property, property) == 0)
                        return table[i].text;
        return NULL;
}

void vpn_network_init(VpnNetwork *n) {
        *n = (VpnNetwork){
                .name = g_strdup(""),
                .state = g_strdup(""),
                .reason = g_strdup(""),
                .interface = g_strdup(""),
                .address = g_strdup(""),
                .address6 = g_strdup(""),
                .subnet = g_strdup(""),
        };
}

void vpn_network_clear(VpnNetwork *n) {
        g_free(n->name);
        g_free(n->state);
        g_free(n->reason);
        g_free(n->interface);
        g_free(n->address);
        g_free(n->address6);
        g_free(n->subnet);
        *n = (VpnNetwork){};
}

void vpn_network_copy(const VpnNetwork *n, VpnNetwork *ret) {
        *ret = (VpnNetwork){
                .name = g_strdup(n->name),
                .state = g_strdup(n->state),
                .reason = g_strdup(n->reason),
                .interface = g_strdup(n->interface),
                .address = g_strdup(n->address),
                .address6 = g_strdup(n->address6),
                .subnet = g_strdup(n->subnet),
                .mtu = n->mtu,
        };
}

void vpn_network_update(VpnNetwork *n, GVariant *properties) {
        GVariantIter i;
        const char *property;
        GVariant *value;

        g_variant_iter_init(&i, properties);
        while (g_variant_iter_next(&i, "{&sv}", &property, &value)) {
                char **text = text_of(n, property);

                if (text && g_variant_is_of_type(value, G_VARIANT_TYPE_STRING)) {
                        g_free(*text);
                        *text = g_variant_dup_string(value, NULL);
                } else if (strcmp(property, "Mtu") == 0 &&
                           g_variant_is_of_type(value, G_VARIANT_TYPE_UINT32))
                        n->mtu = g_variant_get_uint32(value);
                g_variant_unref(value);
        }
}

bool vpn_network_is_same(const VpnNetwork *a, const VpnNetwork *b) {
        return strcmp(a->interface, b->interface) == 0 && strcmp(a->address, b->address) == 0 &&
               strcmp(a->address6, b->address6) == 0 && strcmp(a->subnet, b->subnet) == 0 &&
               a->mtu == b->mtu;
}

/* Return: whether @text is an address of @family. */
static bool parse(const char *text, uint8_t family, IpAddr *ret) {
        return ip_parse(text, ret) >= 0 && ret->family == family;
}

const char *vpn_network_lacks(const VpnNetwork *n) {
        IpPrefix subnet;
        IpAddr address;

        if (!*n->interface)
                return "there is no interface";
        if (!parse(n->address, AF_INET, &address))
                return "this machine has no address yet";
        if (ip_prefix_parse(n->subnet, &subnet) < 0 || subnet.addr.family != AF_INET)
                return "the network's addresses are not known";
        return NULL;
}

static GVariant *bytes_of(const IpAddr *a) {
        return g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, a->bytes, ip_size(a), 1);
}

/* In network byte order, whatever the machine's is. */
static GVariant *number_of(const IpAddr *a) {
        guint32 v;

        memcpy(&v, a->bytes, sizeof v);
        return g_variant_new_uint32(v);
}

GVariant *vpn_report_config(const VpnNetwork *n, const IpAddr *gateway) {
        g_auto(GVariantDict) d = G_VARIANT_DICT_INIT(NULL);
        IpAddr a;

        g_variant_dict_insert(&d, NM_VPN_PLUGIN_CONFIG_TUNDEV, "s", n->interface);
        if (n->mtu > 0)
                g_variant_dict_insert(&d, NM_VPN_PLUGIN_CONFIG_MTU, "u", n->mtu);
        g_variant_dict_insert(&d, NM_VPN_PLUGIN_CONFIG_HAS_IP4, "b", parse(n->address, AF_INET, &a));
        g_variant_dict_insert(&d, NM_VPN_PLUGIN_CONFIG_HAS_IP6, "b", parse(n->address6, AF_INET6, &a));
        /* The mesh outlives the link it goes over; whether the profile does is "vpn.persistent". */
        g_variant_dict_insert(&d, NM_VPN_PLUGIN_CAN_PERSIST, "b", TRUE);
        g_variant_dict_insert_value(
                        &d, NM_VPN_PLUGIN_CONFIG_EXT_GATEWAY,
                        gateway->family == AF_INET ? number_of(gateway) : bytes_of(gateway));
        return g_variant_dict_end(&d);
}

/* The route to all of the network comes with the length of the prefix. */
GVariant *vpn_report_ip4(const VpnNetwork *n) {
        g_auto(GVariantDict) d = G_VARIANT_DICT_INIT(NULL);
        IpPrefix subnet;
        IpAddr address;

        if (!parse(n->address, AF_INET, &address) || ip_prefix_parse(n->subnet, &subnet) < 0)
                return NULL;
        g_variant_dict_insert_value(&d, NM_VPN_PLUGIN_IP4_CONFIG_ADDRESS, number_of(&address));
        g_variant_dict_insert(&d, NM_VPN_PLUGIN_IP4_CONFIG_PREFIX, "u", (guint32) subnet.len);
        g_variant_dict_insert(&d, NM_VPN_PLUGIN_IP4_CONFIG_NEVER_DEFAULT, "b", TRUE);
        return g_variant_dict_end(&d);
}

GVariant *vpn_report_ip6(const VpnNetwork *n) {
        g_auto(GVariantDict) d = G_VARIANT_DICT_INIT(NULL);
        IpAddr address;

        if (!parse(n->address6, AF_INET6, &address))
                return NULL;
        g_variant_dict_insert_value(&d, NM_VPN_PLUGIN_IP6_CONFIG_ADDRESS, bytes_of(&address));
        g_variant_dict_insert(&d, NM_VPN_PLUGIN_IP6_CONFIG_PREFIX, "u", PREFIX6_LEN);
        g_variant_dict_insert(&d, NM_VPN_PLUGIN_IP6_CONFIG_NEVER_DEFAULT, "b", TRUE);
        return g_variant_dict_end(&d);
}

/* Return: whether the kernel has an address to send to @to from. */
static bool source_towards(const struct sockaddr *to, socklen_t len, IpAddr *ret) {
        _cleanup_close_ int fd = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_storage from = {};
        socklen_t size = sizeof from;

        if (fd < 0 || connect(fd, to, len) < 0 ||
            getsockname(fd, (struct sockaddr *) &from, &size) < 0)
                return false;
        *ret = (IpAddr){ .family = (uint8_t) from.ss_family };
        if (from.ss_family == AF_INET)
                memcpy(ret->bytes, &((struct sockaddr_in *) &from)->sin_addr, 4);
        else
                memcpy(ret->bytes, &((struct sockaddr_in6 *) &from)->sin6_addr, 16);
        return true;
}

/* Nobody's: for documentation (RFC 5737, RFC 3849), so that the default route leads there. */
IpAddr vpn_own_address(void) {
        const struct sockaddr_in v4 = {
                .sin_family = AF_INET,
                .sin_port = htons(DISCARD_PORT),
                .sin_addr.s_addr = htonl(0xcb007101), /* 203.0.113.1 */
        };
        const struct sockaddr_in6 v6 = {
                .sin6_family = AF_INET6,
                .sin6_port = htons(DISCARD_PORT),
                .sin6_addr.s6_addr = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 },
        };
        IpAddr a;

        if (source_towards((const struct sockaddr *) &v4, sizeof v4, &a) ||
            source_towards((const struct sockaddr *) &v6, sizeof v6, &a))
                return a;
        return (IpAddr){ .family = AF_INET6, .bytes = { [15] = 1 } };
}
