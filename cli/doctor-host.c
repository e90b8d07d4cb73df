/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What everybody can read of this machine below /proc and /sys. */

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ip.h"
#include "cli/doctor.h"
#include "cli/format.h"
#include "cli/i18n.h"

/* linux/if.h, linux/if_tun.h */
#define FLAG_UP 0x1U
#define TUN_VNET_HDR 0x4000U

/* /proc/net/route has the numbers as they lie in memory. */
typedef struct Route {
        char interface[16];
        IpPrefix prefix;
        uint32_t gateway;
} Route;

static unsigned mask_len(uint32_t host_order) {
        unsigned len = 0;

        for (; len < 32 && host_order & 0x80000000U >> len; len++)
                ;
        return len;
}

/* IPv4 routes of the main table. */
static GArray *read_routes(const Doctor *d) {
        GArray *routes = g_array_new(false, true, sizeof(Route));
        g_autofree char *text = doctor_read(d, "/proc/net/route");
        g_auto(GStrv) lines = g_strsplit(text ?: "", "\n", 0);

        for (unsigned i = 1; lines[0] && lines[i]; i++) {
                unsigned to, gateway, flags, mask;
                Route r = {};

                if (sscanf(lines[i], "%15s %x %x %x %*s %*s %*s %x", r.interface, &to, &gateway,
                           &flags, &mask) != 5)
                        continue;
                r.prefix.addr = ip_from_v4(ntohl(to));
                r.prefix.len = (uint8_t) mask_len(ntohl(mask));
                r.gateway = gateway;
                g_array_append_val(routes, r);
        }
        return routes;
}

/* The number in the file @name of @interface below @dir. */
static bool
read_number(const Doctor *d, uint64_t *ret, const char *dir, const char *interface, const char *name) {
        g_autofree char *text = doctor_read(d, "%s/%s/%s", dir, interface, name);
        char *end;

        if (!text)
                return false;
        *ret = strtoull(text, &end, 0);
        return end != text;
}

/* --- the interface of a network --- */

static bool has_route(const GArray *routes, const char *interface, const IpPrefix *prefix) {
        for (unsigned i = 0; i < routes->len; i++) {
                const Route *r = &g_array_index(routes, Route, i);

                if (strcmp(r->interface, interface) == 0 && r->prefix.len == prefix->len &&
                    ip_equal(&r->prefix.addr, &prefix->addr))
                        return true;
        }
        return false;
}

/* /proc/net/if_inet6: the address without colons first, the interface last. */
static bool has_address6(const Doctor *d, const char *interface, const char *address) {
        g_autofree char *text = doctor_read(d, "/proc/net/if_inet6"), *wanted = NULL;
        g_auto(GStrv) lines = g_strsplit(text ?: "", "\n", 0);
        GString *s = g_string_new(NULL);
        IpAddr a;

        if (ip_parse(address, &a) < 0 || a.family != AF_INET6) {
                g_string_free(s, TRUE);
                return true;
        }
        for (unsigned i = 0; i < 16; i++)
                g_string_append_printf(s, "%02x", a.bytes[i]);
        wanted = g_string_free(s, FALSE);
        for (unsigned i = 0; lines[i]; i++) {
                char found[33], name[16];

                if (sscanf(lines[i], "%32s %*s %*s %*s %*s %15s", found, name) == 2 &&
                    strcmp(found, wanted) == 0 && strcmp(name, interface) == 0)
                        return true;
        }
        return false;
}

static char *restart_command(void) {
        return g_strdup("sudo systemctl restart omertad");
}

static void check_interface(Doctor *d, const ClientNetwork *n, const GArray *routes) {
        const char *name = n->interface;
        uint64_t flags = 0, tun = 0;
        IpPrefix subnet;

        if (!read_number(d, &flags, "/sys/class/net", name, "flags"))
                doctor_take(d, "interface", DOCTOR_BROKEN,
                            g_strdup_printf(_("%s is not there"), name), restart_command());
        else if (!read_number(d, &tun, "/sys/class/net", name, "tun_flags"))
                doctor_take(d, "interface", DOCTOR_BROKEN,
                            g_strdup_printf(_("%s is somebody else's: no tun"), name),
                            restart_command());
        else if (!(flags & FLAG_UP))
                doctor_take(d, "interface", DOCTOR_BROKEN,
                            g_strdup_printf(_("%s is switched off"), name),
                            g_strdup_printf("sudo ip link set %s up", name));
        else if (*n->address && ip_prefix_parse(n->subnet, &subnet) >= 0 &&
                 !has_route(routes, name, &subnet))
                doctor_take(d, "interface", DOCTOR_BROKEN,
                            g_strdup_printf(_("%s has no route to %s"), name, n->subnet),
                            restart_command());
        else if (*n->address6 && !has_address6(d, name, n->address6))
                doctor_take(d, "interface", DOCTOR_BROKEN,
                            g_strdup_printf(_("%s has not the address %s"), name, n->address6),
                            restart_command());
        else if (!(tun & TUN_VNET_HDR))
                doctor_take(d, "interface", DOCTOR_WARNING,
                            g_strdup_printf(_("%s takes packets one by one: slow"), name),
                            restart_command());
        else
                doctor_take(d, "interface", DOCTOR_FINE,
                            g_strdup_printf(_("%s is up, with its addresses"), name), NULL);
}

/* A route that is as narrow as the network's, or narrower, wins on the spot; default routes, and
 * what stands in for one, do not count (docs/security.md, "Whose addresses a network takes"). */
static void check_conflict(Doctor *d, const ClientNetwork *n, const GArray *routes) {
        IpPrefix subnet;

        if (ip_prefix_parse(n->subnet, &subnet) < 0 || subnet.addr.family != AF_INET)
                return;
        for (unsigned i = 0; i < routes->len; i++) {
                const Route *r = &g_array_index(routes, Route, i);

                if (r->prefix.len < 8 || strcmp(r->interface, n->interface) == 0 ||
                    !ip_prefix_overlaps(&r->prefix, &subnet))
                        continue;
                doctor_take(d, "conflict", DOCTOR_BROKEN,
                            g_strdup_printf(_("%s: %s is also reached over %s, as %s"), n->name,
                                            n->subnet, r->interface,
                                            ip_prefix_format(&r->prefix).text),
                            *n->address6 ? g_strdup_printf(_("use the IPv6 addresses: omerta network "
                                                             "peers --network %s"),
                                                           n->name)
                                         : g_strdup_printf("ip route show dev %s", r->interface));
                return;
        }
        doctor_take(d, "conflict", DOCTOR_FINE,
                    g_strdup_printf(_("%s: nothing else has %s"), n->name, n->subnet), NULL);
}

/* --- sysctls --- */

static bool is_strict(const Doctor *d, const char *interface) {
        uint64_t all = 0, one = 0;

        (void) read_number(d, &all, "/proc/sys/net/ipv4/conf", "all", "rp_filter");
        (void) read_number(d, &one, "/proc/sys/net/ipv4/conf", interface, "rp_filter");
        return MAX(all, one) == 1; /* ip-sysctl: the larger one counts */
}

static void say_strict(Doctor *d, const char *interface, const char *why) {
        doctor_take(d, "rp_filter", DOCTOR_WARNING, g_strdup_printf("%s: %s", interface, why),
                    g_strdup_printf("sudo sysctl -w net.ipv4.conf.%s.rp_filter=2", interface));
}

/* Two lines to the outside: what is asked at one may be answered from the other. */
static void check_rp_filter(Doctor *d, const GArray *routes) {
        const char *first = NULL;
        bool several = false;
        unsigned n = d->findings->len;

        for (unsigned i = 0; d->all && i < d->all->networks->len; i++) {
                const ClientNetwork *net = d->all->networks->pdata[i];

                if (*net->interface && is_strict(d, net->interface))
                        say_strict(d, net->interface,
                                   _("strict source checks drop what comes from where no route leads"));
        }
        for (unsigned i = 0; i < routes->len; i++) {
                const Route *r = &g_array_index(routes, Route, i);

                if (r->prefix.len > 0)
                        continue;
                several = several || (first && strcmp(first, r->interface) != 0);
                first = first ?: r->interface;
        }
        for (unsigned i = 0; several && i < routes->len; i++) {
                const Route *r = &g_array_index(routes, Route, i);

                if (r->prefix.len == 0 && is_strict(d, r->interface))
                        say_strict(d, r->interface,
                                   _("strict source checks, and there is another way out"));
        }
        if (d->findings->len == n)
                doctor_take(d, "rp_filter", DOCTOR_FINE, g_strdup(_("drops nothing of ours")), NULL);
}

static void check_ipv6(Doctor *d) {
        uint64_t off = 0;

        if (!read_number(d, &off, "/proc/sys/net/ipv6/conf", "all", "disable_ipv6"))
                doctor_take(d, "ipv6", DOCTOR_WARNING, g_strdup(_("the kernel has no IPv6")), NULL);
        else if (off)
                doctor_take(d, "ipv6", DOCTOR_WARNING,
                            g_strdup(_("IPv6 is switched off: who has nothing else is not reached")),
                            g_strdup("sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0"));
        else
                doctor_take(d, "ipv6", DOCTOR_FINE, g_strdup(_("is on")), NULL);
}

/* --- the port --- */

/* Return: true and whose, if somebody is bound to the UDP port. */
static bool find_port(const Doctor *d, unsigned port, unsigned *ret_uid) {
        static const char *const files[] = { "/proc/net/udp", "/proc/net/udp6" };

        for (unsigned f = 0; f < ELEMENTSOF(files); f++) {
                g_autofree char *text = doctor_read(d, "%s", files[f]);
                g_auto(GStrv) lines = g_strsplit(text ?: "", "\n", 0);

                for (unsigned i = 1; lines[0] && lines[i]; i++) {
                        unsigned found, uid;

                        if (sscanf(lines[i], " %*[0-9]: %*[0-9A-Fa-f]:%x %*s %*s %*s %*s %*s %u",
                                   &found, &uid) != 2 ||
                            found != port)
                                continue;
                        *ret_uid = uid;
                        return true;
                }
        }
        return false;
}

static void check_port(Doctor *d) {
        unsigned port = d->all ? d->all->manager->port : OMERTA_PORT_DEFAULT, uid = 0;
        bool found = find_port(d, port, &uid);
        char *command = g_strdup_printf("sudo ss -lunp 'sport = :%u'", port);

        if (found && d->all)
                doctor_take(d, "port", DOCTOR_FINE,
                            g_strdup_printf(_("UDP port %u is bound"), port), NULL);
        else if (found)
                doctor_take(d, "port", DOCTOR_WARNING,
                            g_strdup_printf(_("UDP port %u is held by user %u, and omertad does not run"),
                                            port, uid),
                            TAKE_PTR(command));
        else if (d->all)
                doctor_take(d, "port", DOCTOR_BROKEN,
                            g_strdup_printf(_("UDP port %u is not bound by anybody"), port),
                            restart_command());
        g_free(command);
}

/* One that is to be open for those whose UDP is blocked, and is not. */
static void check_tcp_port(Doctor *d) {
        const ClientManager *m = d->all ? d->all->manager : NULL;

        if (m && m->tcp_port > 0 && *m->tcp_reason)
                doctor_take(d, "port", DOCTOR_WARNING, cli_format_text(m->tcp_reason),
                            g_strdup_printf("sudo ss -lntp 'sport = :%u'", m->tcp_port));
}

/* --- speed --- */

static void check_cipher(Doctor *d) {
        g_autofree char *cpu = doctor_read(d, "/proc/cpuinfo");
        const char *cipher = d->all->manager->cipher;

        if (!*cipher)
                return;
        if (!strstr(cipher, "ipsec") && cpu && strstr(cpu, " aes ") && strstr(cpu, " avx "))
                doctor_take(d, "cipher", DOCTOR_WARNING,
                            g_strdup_printf(_("%s: the processor could do AES several times as fast"),
                                            cipher),
                            g_strdup(_("install an omertad that is built with libipsec-mb")));
        else
                doctor_take(d, "cipher", DOCTOR_FINE, g_strdup(cipher), NULL);
}

void doctor_check_host(Doctor *d) {
        GArray *routes = read_routes(d);

        for (unsigned i = 0; d->all && i < d->all->networks->len; i++) {
                const ClientNetwork *n = d->all->networks->pdata[i];

                if (!*n->interface)
                        continue;
                check_interface(d, n, routes);
                check_conflict(d, n, routes);
        }
        check_rp_filter(d, routes);
        check_ipv6(d);
        check_port(d);
        check_tcp_port(d);
        if (d->all)
                check_cipher(d);
        g_array_unref(routes);
}
