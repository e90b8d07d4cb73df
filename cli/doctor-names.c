/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whether the names under which gateways are found when their address changed lead anywhere. */

#include <netdb.h>
#include <sys/socket.h>

#include "base/host-port.h"
#include "base/limits.h"
#include "cli/doctor.h"
#include "cli/i18n.h"

static void check_name(Doctor *d, const ClientNetwork *n, const HostPort *name) {
        static const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM };
        g_autofree char *quoted = NULL;
        struct addrinfo *found = NULL;
        int r = getaddrinfo(name->host, NULL, &hints, &found);

        if (r == 0) {
                freeaddrinfo(found);
                doctor_take(d, "names", DOCTOR_FINE,
                            g_strdup_printf(_("%s, where %s is found, leads somewhere"), name->host,
                                            n->name),
                            NULL);
                return;
        }
        quoted = g_shell_quote(n->name);
        doctor_take(d, "names", DOCTOR_WARNING,
                    g_strdup_printf(_("%s, under which the gateway of %s is to be found when its "
                                      "address changed, leads nowhere: %s"),
                                    name->host, n->name, gai_strerror(r)),
                    r == EAI_NONAME || r == EAI_NODATA
                                    ? g_strdup_printf(_("have the name's provider lead it to the "
                                                        "gateway, or set another: omerta --network %s "
                                                        "network set endpoints NAME:PORT"),
                                                      quoted)
                                    : g_strdup_printf("resolvectl query %s", name->host));
}

void doctor_check_names(Doctor *d) {
        for (unsigned i = 0; d->all && i < d->all->networks->len; i++) {
                const ClientNetwork *n = g_ptr_array_index(d->all->networks, i);

                for (unsigned k = 0; n->endpoints[k] && k < GATEWAY_NAMES_MAX; k++) {
                        HostPort name;

                        if (host_port_parse(n->endpoints[k], OMERTA_PORT_DEFAULT, &name) >= 0)
                                check_name(d, n, &name);
                }
        }
}
