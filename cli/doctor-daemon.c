/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What omertad, systemd and the bus say. */

#include <string.h>
#include <sys/stat.h>

#include "cli/daemon.h"
#include "cli/doctor.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "config.h"

/* A certificate is renewed at half of its 30 days: one with less than this left was not. */
#define CERTIFICATE_SOON_USEC (7 * USEC_PER_DAY)
/* The clock by which a file was installed ticks more coarsely. */
#define INSTALLED_SLACK_USEC (2 * USEC_PER_SEC)

static bool is(const char *text, const char *wanted) {
        return text && strcmp(text, wanted) == 0;
}

static void check_unit(Doctor *d) {
        _cleanup_(cli_unit_done) CliUnit u = {};

        if (d->cli->options.user)
                return;
        if (d->cli->bus)
                cli_unit_read(d->cli->bus, &u);
        if (!u.load)
                doctor_take(d, "unit", DOCTOR_UNSEEN,
                            g_strdup(_("systemd does not say how omertad.service is")), NULL);
        else if (is(u.load, "not-found"))
                doctor_take(d, "unit", DOCTOR_BROKEN,
                            g_strdup(_("systemd does not know omertad.service")),
                            g_strdup("sudo systemctl daemon-reload"));
        else if (is(u.load, "masked"))
                doctor_take(d, "unit", DOCTOR_BROKEN, g_strdup(_("omertad.service is masked")),
                            g_strdup("sudo systemctl unmask omertad"));
        else if (is(u.active, "failed"))
                doctor_take(d, "unit", DOCTOR_BROKEN,
                            g_strdup_printf(_("omertad.service has failed (%s)"), u.result ?: "?"),
                            g_strdup("journalctl -u omertad -x; sudo systemctl restart omertad"));
        else if (!is(u.active, "active"))
                doctor_take(d, "unit", DOCTOR_BROKEN,
                            g_strdup_printf(_("omertad.service is %s"), u.active ?: "?"),
                            g_strdup("sudo systemctl enable --now omertad"));
        else if (!is(u.file, "enabled"))
                doctor_take(d, "unit", DOCTOR_WARNING,
                            g_strdup(_("omertad does not start with the machine")),
                            g_strdup("sudo systemctl enable omertad"));
        else
                doctor_take(d, "unit", DOCTOR_FINE,
                            g_strdup(_("omertad.service is active and enabled")), NULL);
}

static char *restart_command(const Doctor *d) {
        return g_strdup(d->cli->options.user ? "systemctl --user restart omertad"
                                             : "sudo systemctl restart omertad");
}

/* Replaced on disk since it was started. */
static bool is_outdated(const Doctor *d) {
        g_autofree char *path = g_strconcat(d->root, OMERTA_SBINDIR "/omertad", NULL);
        struct stat st;

        if (!d->health || d->health->started == 0 || stat(path, &st) < 0)
                return false;
        return (usec_t) st.st_ctim.tv_sec * USEC_PER_SEC > d->health->started + INSTALLED_SLACK_USEC;
}

static void check_version(Doctor *d) {
        const ClientManager *m = d->all->manager;

        if (strcmp(m->version, OMERTA_VERSION) != 0)
                doctor_take(d, "daemon", DOCTOR_WARNING,
                            g_strdup_printf(_("omertad %s runs, omerta is %s"), m->version,
                                            OMERTA_VERSION),
                            restart_command(d));
        else if (is_outdated(d))
                doctor_take(d, "daemon", DOCTOR_WARNING,
                            g_strdup(_("omertad was installed anew since it was started")),
                            restart_command(d));
        else
                doctor_take(d, "daemon", DOCTOR_FINE,
                            g_strdup_printf(_("omertad %s answers"), m->version), NULL);
}

static void check_state_of(Doctor *d, const ClientNetwork *n) {
        bool is_broken = is(n->state, "failed") || is(n->state, "revoked") ||
                         is(n->state, "conflict");
        char *text =
                        g_strdup_printf("%s: %s%s%s", n->name, n->state,
                                        *n->state_reason ? ", " : "", n->state_reason);
        char *fix = NULL;

        if (is(n->state, "down"))
                fix = g_strdup_printf("omerta up --network %s", n->name);
        else if (is(n->state, "revoked"))
                fix = g_strdup_printf("omerta network leave --network %s", n->name);
        else if (is(n->state, "offline"))
                fix = g_strdup_printf("omerta mesh status --network %s", n->name);
        else if (is(n->state, "failed"))
                fix = restart_command(d);
        if (is(n->state, "online"))
                doctor_take(d, "network", *n->state_reason ? DOCTOR_WARNING : DOCTOR_FINE, text,
                            NULL);
        else
                doctor_take(d, "network", is_broken ? DOCTOR_BROKEN : DOCTOR_WARNING, text, fix);
}

static void check_certificate(Doctor *d, const ClientNetwork *n) {
        usec_t end = n->certificate_expires, now = d->cli->now;
        g_autofree char *when = cli_format_time(end);

        if (end == 0)
                return;
        if (end <= now)
                doctor_take(d, "certificate", DOCTOR_BROKEN,
                            g_strdup_printf(_("%s: this machine's certificate ended %s"), n->name,
                                            when),
                            g_strdup_printf("omerta ping --network %s %s", n->name,
                                            *n->gateway_address ? n->gateway_address : "gateway"));
        else if (end < now + CERTIFICATE_SOON_USEC)
                doctor_take(d, "certificate", DOCTOR_WARNING,
                            g_strdup_printf(_("%s: the certificate ends %s and was not renewed"),
                                            n->name, when),
                            g_strdup_printf("omerta ping --network %s %s", n->name,
                                            *n->gateway_address ? n->gateway_address : "gateway"));
        else
                doctor_take(d, "certificate", DOCTOR_FINE,
                            g_strdup_printf(_("%s: valid until %s"), n->name, when), NULL);
}

static void check_networks(Doctor *d) {
        if (d->all->networks->len == 0)
                doctor_take(d, "network", DOCTOR_WARNING,
                            g_strdup(_("this machine is in no network")),
                            g_strdup("omerta network join LINK"));
        for (unsigned i = 0; i < d->all->networks->len; i++) {
                const ClientNetwork *n = d->all->networks->pdata[i];

                check_state_of(d, n);
                check_certificate(d, n);
        }
}

static void check_clock(Doctor *d) {
        const DoctorHealth *h = d->health;

        if (h->clock_trouble && *h->clock_trouble)
                doctor_take(d, "clock", DOCTOR_BROKEN, g_strdup(h->clock_trouble),
                            g_strdup("sudo timedatectl set-ntp true; if it is right: omerta network "
                                     "repair-time"));
        else if (!h->clock_synchronised)
                doctor_take(d, "clock", DOCTOR_WARNING,
                            g_strdup(_("nobody keeps this machine's clock right")),
                            g_strdup("sudo timedatectl set-ntp true"));
        else
                doctor_take(d, "clock", DOCTOR_FINE, g_strdup(_("synchronised")), NULL);
}

static void check_buffer(Doctor *d) {
        const DoctorHealth *h = d->health;

        if (h->receive_buffer_wanted == 0)
                return;
        if (h->receive_buffer < h->receive_buffer_wanted)
                doctor_take(d, "buffer", DOCTOR_WARNING,
                            g_strdup_printf(_("the sockets may hold %u bytes only: bursts are lost"),
                                            h->receive_buffer),
                            g_strdup_printf("sudo sysctl -w net.core.rmem_max=%u",
                                            h->receive_buffer_wanted));
        else
                doctor_take(d, "buffer", DOCTOR_FINE,
                            g_strdup_printf(_("the sockets hold %u bytes"), h->receive_buffer), NULL);
}

static void check_lan(Doctor *d) {
        const ClientManager *m = d->all->manager;

        if (*m->lan_reason && strstr(m->lan_reason, "UDP port"))
                doctor_take(d, "lan", DOCTOR_WARNING, g_strdup(m->lan_reason),
                            g_strdup("sudo ss -lunp 'sport = :18003'"));
        else if (*m->lan_reason)
                doctor_take(d, "lan", DOCTOR_FINE, g_strdup(m->lan_reason), NULL);
}

/* Who may change things is polkit's to say; without it that is root. */
static void check_polkit(Doctor *d) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *name = "org.freedesktop.PolicyKit1";
        g_auto(GStrv) owned = NULL, activatable = NULL;

        if (d->cli->options.user || !d->cli->bus ||
            sd_bus_list_names(d->cli->bus, &owned, &activatable) < 0)
                return;
        if (g_strv_contains((const char *const *) owned, name) ||
            g_strv_contains((const char *const *) activatable, name))
                doctor_take(d, "polkit", DOCTOR_FINE, g_strdup(_("says who may change what")), NULL);
        else
                doctor_take(d, "polkit", DOCTOR_WARNING,
                            g_strdup(_("there is no polkit: only root may change anything")),
                            g_strdup("sudo apt install polkitd"));
}

void doctor_check_daemon(Doctor *d) {
        check_unit(d);
        check_polkit(d);
        if (!d->all) {
                doctor_take(d, "daemon", DOCTOR_BROKEN, g_strdup(_("omertad does not answer")),
                            g_strdup(d->cli->options.user ? "systemctl --user enable --now omertad"
                                                          : "sudo systemctl enable --now omertad"));
                return;
        }
        check_version(d);
        check_networks(d);
        check_lan(d);
        if (!d->health)
                return;
        check_clock(d);
        doctor_check_state(d);
        check_buffer(d);
        doctor_check_trains(d);
}
