/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * omerta-upnp-helper: asks a router by UPnP IGD for a mapping of a UDP port, or ends one, and says
 * in one line what became of it (portmap/upnp.h). libminiupnpc waits for answers and reads XML that
 * anybody in the LAN may have written, so it is here, in a process that omertad starts for one
 * question and ends after some seconds.
 *
 * Before the first byte of a stranger it gives up everything but sockets of IPv4: its capabilities,
 * opening files, starting programs, looking into other processes; more memory than a description
 * takes. What then takes it over has a LAN to talk to, which it had before.
 *
 * Only the router that was asked for counts: who else answers the search is passed over, and a
 * description that sends us to another address is not followed.
 */

#include <errno.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>

#include "base/macros.h"
#include "portmap/upnp-sandbox.h"
#include "portmap/upnp.h"

#define AGAIN "--again" /* the first word of a second life, see drop_capabilities() */
#define SEARCH_MSEC 1000
/* Hops of a search; the router is one away, UPnP Device Architecture 1.1 section 1.3.2 wants 2. */
#define SEARCH_TTL 2
#define DESCRIPTION "omerta"
/* UPnP WANIPConnection:1, section 2.4.16. */
#define ERROR_CONFLICT 718
#define ERROR_ONLY_PERMANENT 725
/* Other ports than our own, when somebody has it. */
#define PORTS_TRIED 3U

/* --- with how little it can be done --- */

/* Ambient capabilities (capabilities(7)) were given to us by the exec that started us, and those we
 * then have can be dropped by one more exec alone where capset() is forbidden, as it is under the
 * daemon's SystemCallFilter=. */
static int drop_capabilities(char **argv) {
        g_autofree char **again = NULL;
        unsigned n = 0;

        if (argv[1] && strcmp(argv[1], AGAIN) == 0)
                return 0;
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
                return -errno;
        while (argv[n])
                n++;
        again = g_new0(char *, n + 2);
        again[0] = argv[0];
        again[1] = (char *) AGAIN;
        memcpy(again + 2, argv + 1, (n - 1) * sizeof *again);
        execv(argv[0], again);
        return -errno;
}

/* --- the router --- */

typedef struct Igd {
        struct UPNPUrls urls;
        struct IGDdatas data;
        char url[UPNP_URL_MAX]; /* of its description */
} Igd;

static void igd_clear(Igd *igd) {
        if (igd->urls.controlURL)
                FreeUPNPUrls(&igd->urls);
        *igd = (Igd){};
}

/* Return: whether it is a gateway, at the router itself. */
static bool read_description(const UpnpRequest *q, const char *url, Igd *ret) {
        char ours[64];

        if (strlen(url) >= sizeof ret->url || !upnp_url_is_of(url, &q->router) ||
            UPNP_GetIGDFromUrl(url, &ret->urls, &ret->data, ours, sizeof ours) != 1)
                return false;
        if (ret->urls.controlURL && *ret->data.first.servicetype &&
            upnp_url_is_of(ret->urls.controlURL, &q->router)) {
                g_strlcpy(ret->url, url, sizeof ret->url);
                return true;
        }
        igd_clear(ret);
        return false;
}

static bool find_igd(const UpnpRequest *q, Igd *ret) {
        struct UPNPDev *found;
        bool is_found = false;
        int error = 0;

        if (*q->url && read_description(q, q->url, ret))
                return true;
        if (q->operation == UPNP_REMOVE)
                return false;
        /* A file that is no socket: minissdpd's list is anybody's in the LAN. */
        found =
                        upnpDiscover(SEARCH_MSEC, ip_format(&q->source).text, "/dev/null",
                                     UPNP_LOCAL_PORT_ANY, 0, SEARCH_TTL, &error);
        for (struct UPNPDev *d = found; d && !is_found; d = d->pNext)
                is_found = d->descURL && read_description(q, d->descURL, ret);
        freeUPNPDevlist(found);
        return is_found;
}

/* Return: 0, or an error of UPnP or of libminiupnpc. */
static int add(const UpnpRequest *q, const Igd *igd, uint16_t port, uint32_t *lifetime) {
        char external[8], internal[8], seconds[16];
        int r;

        (void) snprintf(external, sizeof external, "%u", port);
        (void) snprintf(internal, sizeof internal, "%u", q->port);
        (void) snprintf(seconds, sizeof seconds, "%u", *lifetime);
        r = UPNP_AddPortMapping(
                        igd->urls.controlURL, igd->data.first.servicetype, external, internal,
                        ip_format(&q->source).text, DESCRIPTION, "UDP", NULL, seconds);
        if (r == ERROR_ONLY_PERMANENT && *lifetime > 0) {
                *lifetime = 0;
                return add(q, igd, port, lifetime);
        }
        return r;
}

static UpnpAnswer map_port(const UpnpRequest *q, const Igd *igd) {
        UpnpAnswer a = { .outcome = UPNP_REFUSED };
        uint32_t lifetime = q->lifetime;
        uint16_t port = q->external_port;
        char external[40] = "";
        int r;

        r = add(q, igd, port, &lifetime);
        for (unsigned i = 0; i < PORTS_TRIED && r == ERROR_CONFLICT; i++) {
                if (getrandom(&port, sizeof port, 0) != sizeof port)
                        break;
                port |= 0x8000; /* none of the well-known ones */
                r = add(q, igd, port, &lifetime);
        }
        if (r == UPNPCOMMAND_SUCCESS)
                r = UPNP_GetExternalIPAddress(
                                igd->urls.controlURL, igd->data.first.servicetype, external);
        if (r != UPNPCOMMAND_SUCCESS || ip_parse(external, &a.external) < 0 ||
            a.external.family != AF_INET) {
                a.code = r > 0 ? (uint32_t) r : 0;
                return a;
        }
        a.outcome = UPNP_MAPPED;
        a.external_port = port;
        a.lifetime = lifetime;
        g_strlcpy(a.url, igd->url, sizeof a.url);
        return a;
}

static UpnpAnswer remove_mapping(const UpnpRequest *q, const Igd *igd) {
        UpnpAnswer a = { .outcome = UPNP_REMOVED };
        char external[8];
        int r;

        (void) snprintf(external, sizeof external, "%u", q->external_port);
        r = UPNP_DeletePortMapping(
                        igd->urls.controlURL, igd->data.first.servicetype, external, "UDP", NULL);
        if (r != UPNPCOMMAND_SUCCESS) {
                a.outcome = UPNP_REFUSED;
                a.code = r > 0 ? (uint32_t) r : 0;
        }
        return a;
}

int main(int argc, char **argv) {
        UpnpAnswer answer = { .outcome = UPNP_NONE };
        char line[UPNP_LINE_MAX];
        UpnpRequest q;
        Igd igd = {};
        size_t len;
        int r;

        r = drop_capabilities(argv);
        /* AGAIN stands before the words now. */
        if (r >= 0)
                r = upnp_request_from_arguments(argv + 2, (unsigned) argc - 2, &q);
        if (r >= 0)
                r = upnp_sandbox_enter();
        if (r < 0) {
                fprintf(stderr, "omerta-upnp-helper: %s; omertad starts it\n", strerror(-r));
                return EXIT_FAILURE;
        }
        if (find_igd(&q, &igd))
                answer = q.operation == UPNP_ADD ? map_port(&q, &igd) : remove_mapping(&q, &igd);
        igd_clear(&igd);
        len = upnp_answer_format(&answer, line);
        return write(STDOUT_FILENO, line, len) == (ssize_t) len ? EXIT_SUCCESS : EXIT_FAILURE;
}
