/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether the daemon found that trains of datagrams do not arrive (UDP_SEGMENT). */

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/i18n.h"

/* What one machine says may be the machine's own: the daemon believes two (docs/security.md). */
#define MACHINES_BELIEVED 2U

typedef struct TrainsLost {
        char *local; /* "": not known */
        uint32_t n;  /* machines */
} TrainsLost;

static void lost_free(void *p) {
        g_free(((TrainsLost *) p)->local);
        g_free(p);
}

int doctor_read_trains(sd_bus_message *m, DoctorHealth *h) {
        const char *local;
        uint32_t n;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "a(su)");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "(su)");
        if (r < 0)
                return r;
        if (!h->trains_lost)
                h->trains_lost = g_ptr_array_new_with_free_func(lost_free);
        while ((r = sd_bus_message_read(m, "(su)", &local, &n)) > 0) {
                TrainsLost *t = NEW(TrainsLost);

                *t = (TrainsLost){ g_strdup(local), n };
                g_ptr_array_add(h->trains_lost, t);
        }
        for (unsigned i = 0; i < 2 && r >= 0; i++) /* array, variant */
                r = sd_bus_message_exit_container(m);
        return r;
}

static bool has_address(const struct ifaddrs *a, const char *text) {
        char buf[INET6_ADDRSTRLEN];
        const void *address;

        if (!a->ifa_addr || (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6))
                return false;
        address = a->ifa_addr->sa_family == AF_INET
                                  ? (const void *) &((const struct sockaddr_in *) a->ifa_addr)->sin_addr
                                  : &((const struct sockaddr_in6 *) a->ifa_addr)->sin6_addr;
        return inet_ntop(a->ifa_addr->sa_family, address, buf, sizeof buf) && strcmp(buf, text) == 0;
}

/* The interface that has the address, or the address. */
static char *place_of(const char *local) {
        struct ifaddrs *all = NULL;
        char *name = NULL;

        if (getifaddrs(&all) >= 0) {
                for (const struct ifaddrs *a = all; a && !name; a = a->ifa_next)
                        if (has_address(a, local))
                                name = g_strdup(a->ifa_name);
                freeifaddrs(all);
        }
        if (name)
                return name;
        return g_strdup(*local ? local : _("an interface"));
}

void doctor_check_trains(Doctor *d) {
        const GPtrArray *lost = d->health->trains_lost;

        if (!lost)
                return;
        if (lost->len == 0)
                doctor_take(d, "trains", DOCTOR_FINE,
                            g_strdup(_("trains of datagrams are not lost")), NULL);
        for (unsigned i = 0; i < lost->len; i++) {
                const TrainsLost *t = lost->pdata[i];
                g_autofree char *place = place_of(t->local);

                if (t->n < MACHINES_BELIEVED)
                        doctor_take(d, "trains", DOCTOR_FINE,
                                    g_strdup_printf(_("trains of datagrams to one machine are lost "
                                                      "on %s; it is sent to singly"),
                                                    place),
                                    NULL);
                else
                        doctor_take(d, "trains", DOCTOR_WARNING,
                                    g_strdup_printf(_("trains of datagrams are lost on %s; sending "
                                                      "singly"),
                                                    place),
                                    g_strdup(_("it works, only slower; another kernel or driver of "
                                               "the interface mends it")));
        }
}
