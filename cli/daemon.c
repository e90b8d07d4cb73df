/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "cli/bus.h"
#include "cli/daemon.h"
#include "cli/i18n.h"
#include "dbus/names.h"

/* Whom nobody answers waits no longer. */
#define SYSTEMD_TIMEOUT_USEC USEC_PER_SEC

/* systemd.exec(5): the unit's User= is not there. */
#define EXIT_USER 217

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_UNIT SYSTEMD ".Unit"
#define SYSTEMD_SERVICE SYSTEMD ".Service"

void cli_unit_done(CliUnit *u) {
        g_free(u->load);
        g_free(u->active);
        g_free(u->file);
        g_free(u->result);
        g_free(u->status);
        *u = (CliUnit){};
}

/* Return: the answer, or NULL. */
static sd_bus_message *
ask(sd_bus *bus,
    const char *path,
    const char *interface,
    const char *member,
    const char *a,
    const char *b) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus_message *reply = NULL;

        if (sd_bus_message_new_method_call(bus, &m, SYSTEMD, path, interface, member) < 0 ||
            sd_bus_message_set_auto_start(m, false) < 0 || sd_bus_message_append(m, "s", a) < 0 ||
            (b && sd_bus_message_append(m, "s", b) < 0) ||
            sd_bus_call(bus, m, SYSTEMD_TIMEOUT_USEC, NULL, &reply) < 0)
                return NULL;
        return reply;
}

static char *property(sd_bus *bus, const char *path, const char *interface, const char *name) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *value;

        reply = ask(bus, path, "org.freedesktop.DBus.Properties", "Get", interface, name);
        return reply && sd_bus_message_read(reply, "v", "s", &value) >= 0 ? g_strdup(value) : NULL;
}

void cli_unit_read(sd_bus *bus, CliUnit *u) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL, *status = NULL;
        const char *path;

        cli_unit_done(u);
        reply = ask(bus, "/org/freedesktop/systemd1", SYSTEMD ".Manager", "LoadUnit",
                    "omertad.service", NULL);
        if (!reply || sd_bus_message_read_basic(reply, 'o', &path) < 0)
                return;
        u->load = property(bus, path, SYSTEMD_UNIT, "LoadState");
        u->active = property(bus, path, SYSTEMD_UNIT, "ActiveState");
        u->file = property(bus, path, SYSTEMD_UNIT, "UnitFileState");
        u->result = property(bus, path, SYSTEMD_SERVICE, "Result");
        u->status = property(bus, path, SYSTEMD_SERVICE, "StatusText");
        status = ask(bus, path, "org.freedesktop.DBus.Properties", "Get", SYSTEMD_SERVICE,
                     "ExecMainStatus");
        if (status)
                (void) sd_bus_message_read(status, "v", "i", &u->exit_status);
}

static bool is(const char *text, const char *wanted) {
        return text && strcmp(text, wanted) == 0;
}

static void say_failed(const CliUnit *u) {
        const char *said = u->status && *u->status ? u->status : NULL;

        cli_error(_("omertad has failed (%s%s%s)"), u->result ?: "?", said ? ": " : "", said ?: "");
        if (u->exit_status == EXIT_USER)
                cli_note(_("Its user is missing: 'sudo systemd-sysusers', 'sudo systemctl reload "
                           "dbus', then 'sudo systemctl start omertad'."));
        else
                cli_note(_("'journalctl -u omertad -x' says why; 'sudo systemctl start omertad' "
                           "tries again."));
}

static CliExit say(const CliUnit *u) {
        if (!u->load) {
                const ClientErrorText *text =
                                client_error_text("org.freedesktop.DBus.Error.ServiceUnknown");

                cli_error("%s", _(text->what));
                cli_note("%s", _(text->advice));
        } else if (is(u->load, "not-found")) {
                cli_error(_("systemd does not know omertad.service"));
                cli_note(_("If omerta has just been installed: 'sudo systemctl daemon-reload', then "
                           "'sudo systemctl enable --now omertad'."));
        } else if (is(u->load, "masked")) {
                cli_error(_("omertad.service is masked: it cannot be started"));
                cli_note(_("'sudo systemctl unmask omertad' undoes that."));
        } else if (is(u->active, "failed"))
                say_failed(u);
        else if (is(u->active, "inactive") && is(u->file, "enabled")) {
                cli_error(_("omertad has been stopped"));
                cli_note(_("Start it with 'sudo systemctl start omertad'."));
        } else if (is(u->active, "inactive")) {
                cli_error(_("omertad is not running"));
                cli_note(_("Start it, now and whenever the machine starts: 'sudo systemctl enable "
                           "--now omertad'."));
        } else {
                cli_error(_("omertad is not on the bus (systemd: %s%s%s)"), u->active ?: "?",
                          u->status && *u->status ? ": " : "", u->status ?: "");
                cli_note(_("'systemctl status omertad' says how far it is. If it stays so after an "
                           "installation: 'sudo systemctl reload dbus'."));
        }
        return CLI_UNREACHABLE;
}

/* Return: 1 owned, 0 not, negative: the bus does not say, and the call itself will. */
static int name_owned(sd_bus *bus) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int owned = 0, r;

        r = sd_bus_call_method(
                        bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus", "NameHasOwner", NULL, &reply, "s", OMERTA_BUS_NAME);
        if (r >= 0)
                r = sd_bus_message_read_basic(reply, 'b', &owned);
        return r < 0 ? r : owned;
}

CliExit cli_daemon_find(Cli *cli) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(cli_unit_done) CliUnit u = {};
        int r;

        if (cli->options.user || name_owned(cli->bus) != 0)
                return CLI_OK;
        cli_unit_read(cli->bus, &u);
        if (cli->verb->kind != CLI_CHANGES)
                return say(&u);
        if (u.load && !(is(u.load, "loaded") && is(u.active, "inactive") && is(u.file, "enabled")))
                return say(&u);
        r = sd_bus_call_method(
                        cli->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                        "org.freedesktop.DBus", "StartServiceByName", &error, NULL, "su",
                        OMERTA_BUS_NAME, 0);
        if (r >= 0)
                return CLI_OK;
        cli_unit_read(cli->bus, &u);
        return u.load ? say(&u) : cli_bus_failed(r, &error);
}
