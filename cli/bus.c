/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "cli/agent.h"
#include "cli/bus.h"
#include "cli/daemon.h"
#include "cli/i18n.h"
#include "dbus/names.h"

/* A call that changes something may wait for a person who types a password. */
#define CALL_TIMEOUT_USEC (120 * USEC_PER_SEC)
/* sd-bus' own, which $SYSTEMD_BUS_TIMEOUT changes. */
#define CALL_TIMEOUT_DEFAULT_USEC (25 * USEC_PER_SEC)

/* The user's own daemon goes before the system's where both run; it is not started for this. */
static bool user_runs(sd_bus **ret) {
        sd_bus *bus = NULL;
        int owned = 0;
        sd_bus_message *reply = NULL;

        if (sd_bus_open_user(&bus) >= 0 &&
            sd_bus_call_method(
                            bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                            "org.freedesktop.DBus", "NameHasOwner", NULL, &reply, "s",
                            OMERTA_BUS_NAME) >= 0)
                (void) sd_bus_message_read_basic(reply, 'b', &owned);
        sd_bus_message_unref(reply);
        if (owned)
                *ret = bus;
        else
                sd_bus_flush_close_unref(bus);
        return owned;
}

int cli_bus_open_quietly(Cli *cli) {
        unsigned asked = CLI_OPTION_BIT(OPTION_USER) | CLI_OPTION_BIT(OPTION_SYSTEM);

        if (!(cli->options.given & asked) && user_runs(&cli->bus)) {
                cli->options.user = true;
                return 0;
        }
        return cli->options.user ? sd_bus_open_user(&cli->bus) : sd_bus_open_system(&cli->bus);
}

CliExit cli_bus_open(Cli *cli) {
        CliExit e;
        int r;

        if (cli->bus)
                return CLI_OK;
        r = cli_bus_open_quietly(cli);
        if (r < 0) {
                cli_error(cli->options.user ? _("no connection to the user bus: %s")
                                            : _("no connection to the system bus: %s"),
                          g_strerror(-r));
                if (cli->options.user)
                        cli_note(_("Log in as that user (su and sudo are not enough), or set "
                                   "DBUS_SESSION_BUS_ADDRESS."));
                else
                        cli_note(_("See that D-Bus runs ('systemctl status dbus'), or set "
                                   "DBUS_SYSTEM_BUS_ADDRESS."));
                return CLI_UNREACHABLE;
        }
        /* Without this polkit may not ask for a password. */
        (void) sd_bus_set_allow_interactive_authorization(cli->bus, true);
        e = cli_daemon_find(cli);
        if (e == CLI_OK)
                cli_agent_open(cli);
        return e;
}

CliExit cli_bus_failed(int r, const sd_bus_error *error) {
        _cleanup_(sd_bus_error_free) sd_bus_error own = SD_BUS_ERROR_NULL;
        const ClientErrorText *text;

        if (!sd_bus_error_is_set(error)) {
                /* libsystemd answers in place of the bus, which has gone or never was there. */
                if (r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE || r == -ESHUTDOWN)
                        sd_bus_error_set_const(&own, "org.freedesktop.DBus.Error.Disconnected", NULL);
                else
                        sd_bus_error_set_errno(&own, r);
                error = &own;
        }
        text = client_error_text(error->name);
        if (client_error_is_ours(error->name, error->message))
                cli_error("%s", error->message);
        else if (strcmp(text->name, OMERTA_ERROR_FAILED) == 0 && error->message && *error->message)
                cli_error("%s (%s)", error->message, error->name);
        else
                cli_error("%s", _(text->what));
        cli_note("%s", _(text->advice));

        switch (text->kind) {
        case CLIENT_ERROR_FAILED:
                return CLI_FAILED;
        case CLIENT_ERROR_ARGUMENT:
                return CLI_USAGE;
        case CLIENT_ERROR_UNREACHABLE:
                return CLI_UNREACHABLE;
        case CLIENT_ERROR_NOT_FOUND:
                return CLI_NOT_FOUND;
        case CLIENT_ERROR_DENIED:
                return CLI_DENIED;
        case CLIENT_ERROR_TIMEOUT:
                return CLI_TIMEOUT;
        }
        return CLI_FAILED;
}

CliExit
cli_bus_method(Cli *cli,
               const char *path,
               const char *interface,
               const char *member,
               sd_bus_message **ret) {
        CliExit e = cli_bus_open(cli);
        int r;

        if (e != CLI_OK)
                return e;
        r = sd_bus_message_new_method_call(cli->bus, ret, OMERTA_BUS_NAME, path, interface, member);
        return r < 0 ? cli_bus_failed(r, NULL) : CLI_OK;
}

int cli_bus_option_string(sd_bus_message *m, const char *key, const char *value) {
        return value ? sd_bus_message_append(m, "{sv}", key, "s", value) : 0;
}

int cli_bus_option_u32(sd_bus_message *m, const char *key, uint32_t value) {
        return value > 0 ? sd_bus_message_append(m, "{sv}", key, "u", value) : 0;
}

int cli_bus_option_u64(sd_bus_message *m, const char *key, uint64_t value) {
        return value > 0 ? sd_bus_message_append(m, "{sv}", key, "t", value) : 0;
}

int cli_bus_option_bool(sd_bus_message *m, const char *key, bool value) {
        return value ? sd_bus_message_append(m, "{sv}", key, "b", (int) value) : 0;
}

usec_t cli_bus_timeout(Cli *cli) {
        uint64_t timeout = 0;

        (void) sd_bus_get_method_call_timeout(cli->bus, &timeout);
        return timeout == CALL_TIMEOUT_DEFAULT_USEC ? CALL_TIMEOUT_USEC : timeout;
}

CliExit cli_bus_call(Cli *cli, sd_bus_message *m, sd_bus_message **ret_reply) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_call(cli->bus, m, cli_bus_timeout(cli), &error, ret_reply);
        return r < 0 ? cli_bus_failed(r, &error) : CLI_OK;
}

CliExit cli_bus_call_path(Cli *cli, sd_bus_message *m, char **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *path;
        CliExit e = cli_bus_call(cli, m, &reply);
        int r;

        if (e != CLI_OK)
                return e;
        r = sd_bus_message_read_basic(reply, 'o', &path);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        *ret = g_strdup(path);
        return CLI_OK;
}

CliExit
cli_bus_simple(Cli *cli,
               const char *path,
               const char *interface,
               const char *member,
               const char *argument) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        CliExit e = cli_bus_method(cli, path, interface, member, &m);
        int r;

        if (e != CLI_OK)
                return e;
        if (argument) {
                r = sd_bus_message_append_basic(m, 's', argument);
                if (r < 0)
                        return cli_bus_failed(r, NULL);
        }
        return cli_bus_call(cli, m, NULL);
}

CliExit cli_bus_network_path(Cli *cli, char **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        CliExit e;
        int r;

        e = cli_bus_method(cli, OMERTA_PATH, OMERTA_IFACE_MANAGER, "GetNetwork", &m);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_append_basic(m, 's', cli->options.network ? cli->options.network : "");
        return r < 0 ? cli_bus_failed(r, NULL) : cli_bus_call_path(cli, m, ret);
}

CliExit cli_bus_find_machine(Cli *cli, const char *network, const char *machine, char **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        CliExit e;
        int r;

        e = cli_bus_method(cli, network, OMERTA_IFACE_NETWORK, "FindMachine", &m);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_append_basic(m, 's', machine);
        return r < 0 ? cli_bus_failed(r, NULL) : cli_bus_call_path(cli, m, ret);
}

CliExit cli_bus_network(Cli *cli, ClientNetwork **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autofree char *path = NULL;
        CliExit e = cli_bus_network_path(cli, &path);
        int r;

        if (e != CLI_OK)
                return e;
        r = client_network_get(cli->bus, path, &error, ret);
        return r < 0 ? cli_bus_failed(r, &error) : CLI_OK;
}

/* A network that has gone since its path was read is left out. */
static CliExit networks_add(Cli *cli, ClientSnapshot *s, const char *path) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        ClientNetwork *n;
        int r;

        r = client_network_get(cli->bus, path, &error, &n);
        if (r < 0 && sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_OBJECT))
                return CLI_OK;
        if (r < 0)
                return cli_bus_failed(r, &error);
        g_ptr_array_add(s->networks, n);
        return CLI_OK;
}

CliExit cli_bus_networks(Cli *cli, ClientSnapshot **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autoptr(ClientSnapshot) s = client_snapshot_new();
        g_autofree char *path = NULL;
        CliExit e;
        int r;

        e = cli_bus_open(cli);
        if (e != CLI_OK)
                return e;
        r = client_manager_get(cli->bus, &error, &s->manager);
        if (r < 0)
                return cli_bus_failed(r, &error);
        if (cli->options.network) {
                e = cli_bus_network_path(cli, &path);
                if (e == CLI_OK)
                        e = networks_add(cli, s, path);
        } else
                for (char **p = s->manager->networks; *p && e == CLI_OK; p++)
                        e = networks_add(cli, s, *p);
        if (e != CLI_OK)
                return e;
        *ret = g_steal_pointer(&s);
        return CLI_OK;
}

CliExit cli_bus_snapshot(Cli *cli, ClientSnapshot **ret) {
        g_autoptr(ClientSnapshot) s = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autofree char *path = NULL;
        CliExit e;
        int r;

        e = cli_bus_open(cli);
        if (e != CLI_OK)
                return e;
        if (cli->options.network) {
                e = cli_bus_network_path(cli, &path);
                if (e != CLI_OK)
                        return e;
        }
        r = client_snapshot_get(cli->bus, &error, &s);
        if (r < 0)
                return cli_bus_failed(r, &error);
        for (unsigned i = s->networks->len; path && i > 0; i--) {
                const ClientNetwork *n = g_ptr_array_index(s->networks, i - 1);

                if (strcmp(n->path, path) != 0)
                        g_ptr_array_remove_index(s->networks, i - 1);
        }
        if (s->networks->len == 0) {
                sd_bus_error_set_const(&error, OMERTA_ERROR_NOT_JOINED, NULL);
                return cli_bus_failed(-ENOENT, &error);
        }
        *ret = g_steal_pointer(&s);
        return CLI_OK;
}

static void drop_done(void *p) {
        g_free(((CliDrop *) p)->reason);
}

static int compare_drops(const void *a, const void *b) {
        const CliDrop *x = a, *y = b;

        if (x->count != y->count)
                return x->count > y->count ? -1 : 1;
        return strcmp(x->reason, y->reason);
}

static int drops_read(sd_bus_message *m, GArray *drops) {
        const char *reason;
        uint64_t count;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{st}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "{st}", &reason, &count)) > 0) {
                CliDrop drop = { .reason = g_strdup(reason), .count = count };

                g_array_append_val(drops, drop);
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

CliExit cli_bus_drops(Cli *cli, const char *path, const char *interface, GArray **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autoptr(GArray) drops = g_array_new(FALSE, FALSE, sizeof(CliDrop));
        CliExit e;
        int r;

        g_array_set_clear_func(drops, drop_done);
        e = cli_bus_method(cli, path, interface, "GetDrops", &m);
        if (e != CLI_OK)
                return e;
        e = cli_bus_call(cli, m, &reply);
        if (e != CLI_OK)
                return e;
        r = drops_read(reply, drops);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        g_array_sort(drops, compare_drops);
        *ret = g_steal_pointer(&drops);
        return CLI_OK;
}
