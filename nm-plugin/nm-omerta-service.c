/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What NetworkManager starts for each connection of the VPN type "omerta". */

#include <errno.h>
#include <glib-unix.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <syslog.h>

#include "base/macros.h"
#include "config.h"
#include "nm-plugin/fields.h"
#include "nm-plugin/service.h"

/* omertad's own, which may switch its networks on and off: nothing else is needed here, and less
 * than root can hardly be had. */
#define USER "omerta"

/* Before anything is read or any thread begins. Return: 0, or negative errno, and says why. */
static int drop_privileges(void) {
        const struct passwd *user;

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        if (geteuid() != 0)
                return 0;
        errno = 0;
        user = getpwnam(USER);
        if (!user) {
                g_critical("there is no user " USER ": 'systemd-sysusers' makes it");
                return errno ? -errno : -ENOENT;
        }
        /* Capabilities go with the last id that is root's. */
        if (setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
            setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0) {
                g_critical("cannot become the user " USER ": %s", g_strerror(errno));
                return -errno;
        }
        return 0;
}

static int priority_of(GLogLevelFlags level) {
        if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
                return LOG_ERR;
        if (level & G_LOG_LEVEL_WARNING)
                return LOG_WARNING;
        return level & G_LOG_LEVEL_DEBUG ? LOG_DEBUG : LOG_INFO;
}

/* Into the stream NetworkManager gave us. Of a record of its own the journal could not tell the
 * unit any more when it reads it: this process ends right after it has said why. */
static GLogWriterOutput
write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer userdata) {
        const char *domain = NULL, *message = "";

        for (gsize i = 0; i < n_fields; i++) {
                if (strcmp(fields[i].key, "MESSAGE") == 0)
                        message = fields[i].value;
                else if (strcmp(fields[i].key, "GLIB_DOMAIN") == 0)
                        domain = fields[i].value;
        }
        if (g_log_writer_default_would_drop(level, domain))
                return G_LOG_WRITER_HANDLED;
        if (g_log_writer_is_journald(STDERR_FILENO))
                fprintf(stderr, "<%d>", priority_of(level));
        fprintf(stderr, "nm-omerta-service: %s\n", message);
        return G_LOG_WRITER_HANDLED;
}

static void on_done(void *loop) {
        g_main_loop_quit(loop);
}

static gboolean on_signal(gpointer vpn) {
        omerta_vpn_stop(vpn);
        return G_SOURCE_CONTINUE;
}

static int run(const char *bus_name) {
        g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
        g_autoptr(GDBusConnection) bus = NULL;
        g_autoptr(GError) error = NULL;
        OmertaVpn *vpn;

        vpn = omerta_vpn_new(bus_name, &error);
        if (!vpn) {
                g_critical("cannot offer %s: %s", bus_name, error->message);
                return EXIT_FAILURE;
        }
        omerta_vpn_set_done(vpn, on_done, loop);
        /* libnm has handlers of its own, which end nothing: ours are set after them. */
        g_unix_signal_add(SIGTERM, on_signal, vpn);
        g_unix_signal_add(SIGINT, on_signal, vpn);
        g_main_loop_run(loop);
        nm_vpn_service_plugin_shutdown(NM_VPN_SERVICE_PLUGIN(vpn));
        /* What was said last is still with the thread that writes. */
        bus = nm_vpn_service_plugin_get_connection(NM_VPN_SERVICE_PLUGIN(vpn));
        if (bus)
                (void) g_dbus_connection_flush_sync(bus, NULL, NULL);
        g_object_unref(vpn);
        return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        g_autofree char *bus_name = NULL;
        gboolean keep = FALSE, version = FALSE;
        const GOptionEntry options[] = {
                { "bus-name", 0, 0, G_OPTION_ARG_STRING, &bus_name, "D-Bus name to own", "NAME" },
                { "keep-user", 0, 0, G_OPTION_ARG_NONE, &keep, "stay who starts it, for tests", NULL },
                { "version", 0, 0, G_OPTION_ARG_NONE, &version, "show the version", NULL },
                {},
        };
        g_autoptr(GOptionContext) context = g_option_context_new(NULL);
        g_autoptr(GError) error = NULL;

        g_log_set_writer_func(write_log, NULL, NULL);
        g_option_context_set_summary(
                        context,
                        "NetworkManager starts this for each connection of the VPN type omerta.");
        g_option_context_add_main_entries(context, options, NULL);
        if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 1) {
                fprintf(stderr, "%s: %s\n", g_get_prgname(),
                        error ? error->message : "takes no arguments");
                return EXIT_FAILURE;
        }
        if (version) {
                puts("nm-omerta-service " OMERTA_VERSION);
                return EXIT_SUCCESS;
        }
        if (!keep && drop_privileges() < 0)
                return EXIT_FAILURE;
        return run(bus_name ?: VPN_SERVICE);
}
