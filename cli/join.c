/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Joining, which takes up to ten seconds: a person sees how far it is, and can call it off. The
 * daemon ends an attempt when whoever asked for it has left the bus.
 */

#include <string.h>

#include "cli/i18n.h"
#include "cli/invite.h"
#include "cli/network.h"
#include "cli/wait.h"
#include "dbus/names.h"

typedef struct Joining {
        sd_bus_message *reply;
        bool is_answered;
        char *path;           /* of the network that is being joined; NULL: not seen */
        char *state, *reason; /* its properties, as heard last */
} Joining;

static void joining_clear(Joining *j) {
        sd_bus_message_unref(j->reply);
        g_free(j->path);
        g_free(j->state);
        g_free(j->reason);
}

/* --- what is heard of it --- */

static void take_text(char **to, const char *text) {
        g_free(*to);
        *to = g_strdup(text);
}

/* An a{sv} of properties of a network. Return: whether there is news, or negative errno. */
static int read_properties(Joining *j, sd_bus_message *m) {
        bool changed = false;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *name, *text;
                char **to;

                r = sd_bus_message_read_basic(m, 's', &name);
                if (r < 0)
                        return r;
                to = strcmp(name, "State") == 0         ? &j->state
                     : strcmp(name, "StateReason") == 0 ? &j->reason
                                                        : NULL;
                if (to) {
                        r = sd_bus_message_read(m, "v", "s", &text);
                        if (r >= 0 && g_strcmp0(*to, text) != 0) {
                                take_text(to, text);
                                changed = true;
                        }
                } else
                        r = sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : changed;
}

static void say_state(const Joining *j) {
        if (j->state && strcmp(j->state, "online") != 0)
                cli_hint("%s%s%s", j->state, j->reason && *j->reason ? ", " : "", j->reason ?: "");
}

static int on_added(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *path, *interface;
        Joining *j = userdata;
        int r;

        r = sd_bus_message_read_basic(m, 'o', &path);
        if (j->path || r < 0)
                return 0;
        r = sd_bus_message_enter_container(m, 'a', "{sa{sv}}");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'e', "sa{sv}");
        if (r >= 0)
                r = sd_bus_message_read_basic(m, 's', &interface);
        if (r < 0 || strcmp(interface, OMERTA_IFACE_NETWORK) != 0 || read_properties(j, m) < 0)
                return 0;
        /* Somebody may have made another meanwhile. */
        if (g_strcmp0(j->state, "joining") != 0) {
                g_clear_pointer(&j->state, g_free);
                g_clear_pointer(&j->reason, g_free);
                return 0;
        }
        j->path = g_strdup(path);
        say_state(j);
        return 0;
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Joining *j = userdata;
        const char *interface;

        if (g_strcmp0(j->path, sd_bus_message_get_path(m)) != 0 ||
            sd_bus_message_read_basic(m, 's', &interface) < 0)
                return 0;
        if (read_properties(j, m) > 0)
                say_state(j);
        return 0;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Joining *j = userdata;

        j->reply = sd_bus_message_ref(m);
        j->is_answered = true;
        return 0;
}

static int listen_to(Cli *cli, Joining *j) {
        int r;

        r = sd_bus_match_signal(
                        cli->bus, NULL, OMERTA_BUS_NAME, OMERTA_PATH,
                        "org.freedesktop.DBus.ObjectManager", "InterfacesAdded", on_added, j);
        if (r >= 0)
                r = sd_bus_add_match(
                                cli->bus, NULL,
                                "type='signal',sender='" OMERTA_BUS_NAME
                                "',"
                                "interface='org.freedesktop.DBus.Properties',"
                                "member='PropertiesChanged',arg0='" OMERTA_IFACE_NETWORK "'",
                                on_changed, j);
        return r;
}

/* --- the call --- */

static CliExit make_call(Cli *cli, const char *link, sd_bus_message **ret) {
        const CliOptions *o = &cli->options;
        CliExit e;
        int r;

        e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "Join", ret);
        if (e != CLI_OK)
                return e;
        if ((r = sd_bus_message_sensitive(*ret)) < 0 ||
            (r = sd_bus_message_append_basic(*ret, 's', link)) < 0 ||
            (r = sd_bus_message_open_container(*ret, 'a', "{sv}")) < 0 ||
            (r = cli_bus_option_bool(*ret, "any-subnet", o->any_subnet)) < 0 ||
            (r = cli_bus_option_string(*ret, "host-name", o->host_name)) < 0 ||
            (r = cli_bus_option_string(*ret, "owner", o->owner)) < 0 ||
            (r = sd_bus_message_close_container(*ret)) < 0)
                return cli_bus_failed(r, NULL);
        return CLI_OK;
}

/* Somebody wants the end. Closing the connection is what ends the attempt. */
static CliExit called_off(Cli *cli, const Joining *j) {
        cli->bus = sd_bus_flush_close_unref(cli->bus);
        if (j->state && strcmp(j->state, "joining") != 0)
                cli_note(_("This machine is a member already, and goes on to get its address; 'omerta "
                           "network leave' undoes it."));
        else
                cli_note(_("Not joined: the attempt was called off."));
        return CLI_FAILED;
}

static CliExit answered(Cli *cli, const Joining *j) {
        const sd_bus_error *error = sd_bus_message_get_error(j->reply);

        return error ? cli_bus_failed(-sd_bus_message_get_errno(j->reply), error)
                     : cli_network_entered(cli, j->reply);
}

CliExit cli_network_join(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        g_autofree char *link = NULL;
        Joining j = {};
        CliWait wait;
        CliExit e;
        int r;

        e = cli_invite_read(args[0], &link);
        if (e == CLI_OK)
                e = make_call(cli, link, &m);
        if (e != CLI_OK)
                return e;
        (void) cli_wait_init(&wait);
        r = listen_to(cli, &j);
        if (r >= 0)
                r = sd_bus_call_async(cli->bus, NULL, m, on_reply, &j, cli_bus_timeout(cli));
        if (r >= 0)
                r = cli_wait(&wait, cli->bus, USEC_INFINITY, &j.is_answered);
        cli_wait_done(&wait);
        if (r == -EINTR)
                e = called_off(cli, &j);
        else
                e = r < 0 ? cli_bus_failed(r, NULL) : answered(cli, &j);
        joining_clear(&j);
        return e;
}
