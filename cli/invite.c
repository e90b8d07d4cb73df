/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/endpoint.h"
#include "base/host-port.h"
#include "base/limits.h"
#include "cli/bus.h"
#include "cli/format.h"
#include "cli/i18n.h"
#include "cli/invite.h"
#include "cli/json.h"
#include "cli/qr.h"
#include "cli/table.h"
#include "dbus/names.h"

#define LINK_SCHEME "omerta://"
/* Links are at most 2048 characters; leave room for white space somebody's editor put around. */
#define LINK_FILE_MAX 4096U

/* All of a short file; of a terminal one line. Return: negative errno, -EFBIG if it is too long for a link. */
static int file_read(int fd, char **ret) {
        g_autofree char *text = g_malloc(LINK_FILE_MAX + 1);
        size_t n = 0;

        for (;;) {
                ssize_t k = read(fd, text + n, LINK_FILE_MAX + 1 - n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t) k;
                if (n > LINK_FILE_MAX)
                        return -EFBIG;
                if (memchr(text, '\n', n) && isatty(fd))
                        break;
        }
        text[n] = 0;
        *ret = g_steal_pointer(&text);
        return 0;
}

static bool is_link(const char *text) {
        return g_ascii_strncasecmp(text, LINK_SCHEME, strlen(LINK_SCHEME)) == 0 &&
               g_utf8_validate(text, -1, NULL);
}

CliExit cli_invite_read(const char *argument, char **ret) {
        _cleanup_close_ int fd = -EBADF;
        g_autofree char *text = g_strstrip(g_strdup(argument));
        bool from_stdin = strcmp(argument, "-") == 0;
        int r;

        if (is_link(text)) {
                *ret = g_steal_pointer(&text);
                return CLI_OK;
        }
        if (from_stdin && isatty(STDIN_FILENO))
                cli_hint(_("Paste the invite link:"));
        fd = from_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                        : open(argument, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 && errno == ENOENT) {
                cli_error(_("'%s' is neither an omerta:// link nor a file"), argument);
                return CLI_USAGE;
        }
        g_clear_pointer(&text, g_free);
        r = fd < 0 ? -errno : file_read(fd, &text);
        if (r < 0 && r != -EFBIG) {
                cli_error(_("cannot read '%s': %s"), argument, g_strerror(-r));
                return CLI_FAILED;
        }
        if (r == -EFBIG || !is_link(g_strstrip(text))) {
                cli_error(from_stdin ? _("what was read is no omerta:// link")
                                     : _("there is no omerta:// link in '%s'"),
                          argument);
                return CLI_FAILED;
        }
        *ret = g_steal_pointer(&text);
        return CLI_OK;
}

/* Splits "HOST:PORT" and "HOST". Return: newly allocated host, NULL if it is neither. */
static char *host_split(const char *text, const char **ret_port) {
        const char *colon = strrchr(text, ':');
        unsigned port;

        if (!*text || colon == text || text[0] == '[' || strchr(text, ' '))
                return NULL;
        /* getaddrinfo() takes 65537 for 1. */
        if (colon && (cli_parse_count(colon + 1, &port) < 0 || port > UINT16_MAX))
                return NULL;
        *ret_port = colon ? colon + 1 : G_STRINGIFY(OMERTA_PORT_DEFAULT);
        return colon ? g_strndup(text, (size_t) (colon - text)) : g_strdup(text);
}

static void endpoint_add(GPtrArray *list, const Endpoint *endpoint) {
        EndpointText text = endpoint_format(endpoint);

        for (unsigned i = 0; i < list->len; i++)
                if (strcmp(g_ptr_array_index(list, i), text.text) == 0)
                        return;
        if (list->len < ENDPOINTS_MAX)
                g_ptr_array_add(list, g_strdup(text.text));
}

/* One without a dot means something on this machine, or in this LAN. Return: false: there is no room. */
static bool name_add(GPtrArray *names, const char *host, const char *port) {
        g_autofree char *text = g_strconcat(host, ":", port, NULL);
        HostPortText name;
        HostPort h;

        if (!strchr(host, '.') || host_port_parse(text, OMERTA_PORT_DEFAULT, &h) < 0)
                return true;
        name = host_port_format(&h);
        for (unsigned i = 0; i < names->len; i++)
                if (strcmp(g_ptr_array_index(names, i), name.text) == 0)
                        return true;
        if (names->len == GATEWAY_NAMES_MAX)
                return false;
        g_ptr_array_add(names, g_strdup(name.text));
        return true;
}

CliExit cli_invite_add_endpoints(const char *text, GPtrArray *list, GPtrArray *names) {
        static const struct addrinfo hints = {
                .ai_family = AF_UNSPEC,
                .ai_socktype = SOCK_DGRAM,
                .ai_flags = AI_NUMERICSERV,
        };
        struct addrinfo *found = NULL;
        g_autofree char *host = NULL;
        const char *port = NULL;
        bool usable = false;
        Endpoint endpoint;
        int r;

        if (endpoint_parse(text, OMERTA_PORT_DEFAULT, &endpoint) >= 0) {
                if (endpoint_is_usable(&endpoint)) {
                        endpoint_add(list, &endpoint);
                        return CLI_OK;
                }
        } else
                host = host_split(text, &port);
        if (!host) {
                cli_error(_("--endpoint wants HOST:PORT, not '%s'"), text);
                return CLI_USAGE;
        }
        if (!name_add(names, host, port)) {
                cli_error(_("a link holds %u names: --endpoint %s is one too many"),
                          GATEWAY_NAMES_MAX, text);
                return CLI_USAGE;
        }
        /* A link holds addresses too: who gets it may have no name service yet, or another. */
        r = getaddrinfo(host, port, &hints, &found);
        if (r != 0) {
                cli_error(_("--endpoint %s: %s"), text, gai_strerror(r));
                return r == EAI_NONAME ? CLI_USAGE : CLI_FAILED;
        }
        for (const struct addrinfo *a = found; a; a = a->ai_next)
                if (endpoint_from_sockaddr(a->ai_addr, a->ai_addrlen, &endpoint) >= 0 &&
                    endpoint_is_usable(&endpoint)) {
                        endpoint_add(list, &endpoint);
                        usable = true;
                }
        freeaddrinfo(found);
        if (usable)
                return CLI_OK;
        cli_error(_("--endpoint %s: nobody can be reached there"), text);
        return CLI_USAGE;
}

static int append_list(sd_bus_message *m, const char *name, GPtrArray *list) {
        int r;

        if (list->len == 0)
                return 0;
        if ((r = sd_bus_message_open_container(m, 'e', "sv")) < 0 ||
            (r = sd_bus_message_append_basic(m, 's', name)) < 0 ||
            (r = sd_bus_message_open_container(m, 'v', "as")) < 0 ||
            (r = sd_bus_message_open_container(m, 'a', "s")) < 0)
                return r;
        for (unsigned i = 0; i < list->len; i++) {
                r = sd_bus_message_append_basic(m, 's', g_ptr_array_index(list, i));
                if (r < 0)
                        return r;
        }
        if ((r = sd_bus_message_close_container(m)) < 0 || (r = sd_bus_message_close_container(m)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static CliExit
invite_call(Cli *cli, GPtrArray *endpoints, GPtrArray *names, sd_bus_message **ret_reply) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        const CliOptions *o = &cli->options;
        g_autofree char *path = NULL;
        CliExit e;
        int r;

        e = cli_bus_network_path(cli, &path);
        if (e != CLI_OK)
                return e;
        e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, "Invite", &m);
        if (e != CLI_OK)
                return e;
        if ((r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
            (r = cli_bus_option_u32(m, "uses", o->uses)) < 0 ||
            (r = cli_bus_option_u64(m, "lifetime", o->expires)) < 0 ||
            (r = cli_bus_option_string(m, "host-name", o->name)) < 0 ||
            (r = cli_bus_option_bool(m, "approval", o->approval)) < 0 ||
            (r = append_list(m, "endpoints", endpoints)) < 0 ||
            (r = append_list(m, "names", names)) < 0 || (r = sd_bus_message_close_container(m)) < 0)
                return cli_bus_failed(r, NULL);
        return cli_bus_call(cli, m, ret_reply);
}

static CliExit link_save(const char *link, const char *file) {
        g_autofree char *text = g_strconcat(link, "\n", NULL);
        g_autoptr(GError) error = NULL;

        if (g_file_set_contents_full(
                            file, text, -1,
                            G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                            &error))
                return CLI_OK;
        cli_error("%s", error->message);
        return CLI_FAILED;
}

/* The link alone where a script reads it; all that is for people goes to stderr, except the
 * picture that --qr asks for. */
static CliExit link_show(Cli *cli, const char *link) {
        const CliOptions *o = &cli->options;
        bool to_file = o->output && strcmp(o->output, "-") != 0;
        int r;

        if (o->qr && !o->json) {
                r = cli_qr_print(link, stdout, isatty(STDOUT_FILENO));
                if (r < 0) {
                        /* The invite exists: the link must come out nevertheless. */
                        cli_note(r == -EOPNOTSUPP ? _("omerta was built without QR codes.")
                                                  : _("The link is too long for a QR code."));
                }
        }
        if (to_file) {
                CliExit e = link_save(link, o->output);

                if (e != CLI_OK)
                        return e;
        }
        if (o->json) {
                g_autoptr(JsonBuilder) b = cli_json_new();

                cli_json_string(b, "link", link);
                cli_json_print(b);
        } else if (!to_file)
                puts(link);
        return CLI_OK;
}

/* The link has room for some of this machine's addresses only: which are not in it, so that the one
 * that matters can be named. */
static void say_left_out(Cli *cli, unsigned n_given) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autofree char *list = NULL;
        ClientManager *m = NULL;
        unsigned room = n_given < ENDPOINTS_MAX ? ENDPOINTS_MAX - n_given : 0;

        if (client_manager_get(cli->bus, &error, &m) < 0)
                return; /* the invite is made, and that is what was asked for */
        if (g_strv_length(m->endpoints) > room) {
                list = g_strjoinv(", ", m->endpoints + room);
                cli_note(_("The link has room for %u addresses of this machine; not in it: %s. Name "
                           "one that matters with --endpoint."),
                         ENDPOINTS_MAX, list);
        }
        client_manager_free(m);
}

CliExit cli_network_invite(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        g_autoptr(GPtrArray) endpoints = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *lifetime = NULL;
        const CliOptions *o = &cli->options;
        const char *link;
        CliExit e;
        int r;

        for (char **p = o->endpoints; p && *p; p++) {
                e = cli_invite_add_endpoints(*p, endpoints, names);
                if (e != CLI_OK)
                        return e;
        }
        e = invite_call(cli, endpoints, names, &reply);
        if (e != CLI_OK)
                return e;
        r = sd_bus_message_read_basic(reply, 's', &link);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        e = link_show(cli, link);
        if (e != CLI_OK)
                return e;
        say_left_out(cli, endpoints->len);
        lifetime = cli_format_duration(o->expires > 0 ? o->expires : USEC_PER_DAY);
        if (o->approval)
                cli_hint(_("Whoever joins with it waits for 'omerta network approve'; good for %u "
                           "machine(s), for %s."),
                         o->uses > 0 ? o->uses : 1, lifetime);
        else
                cli_hint(_("A secret: good for %u machine(s), for %s. On the other machine: omerta "
                           "network join LINK"),
                         o->uses > 0 ? o->uses : 1, lifetime);
        return CLI_OK;
}

typedef struct InviteRow {
        const char *id, *host_name;
        uint64_t created, expires;
        uint32_t uses, uses_max;
        int approval;
} InviteRow;

static void invite_show(Cli *cli, JsonBuilder *b, CliTable *t, const InviteRow *i) {
        if (b) {
                json_builder_begin_object(b);
                cli_json_string(b, "id", i->id);
                cli_json_time(b, "created", i->created);
                cli_json_time(b, "expires", i->expires);
                cli_json_count(b, "uses", i->uses);
                cli_json_count(b, "uses_max", i->uses_max);
                cli_json_string(b, "host_name", i->host_name);
                cli_json_bool(b, "approval", i->approval);
                json_builder_end_object(b);
                return;
        }
        cli_table_take(t, cli_format_text(i->id));
        cli_table_take(t, cli_format_relative(i->created, cli->now));
        cli_table_take(t, cli_format_relative(i->expires, cli->now));
        cli_table_take(t, g_strdup_printf("%u/%u", i->uses, i->uses_max));
        cli_table_take(t, cli_format_text(i->host_name));
        cli_table_take(t, g_strdup(i->approval ? _("approval") : _("directly")));
}

CliExit cli_network_invites(Cli *cli, char **args) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        g_autoptr(CliTable) t = cli_table_new("ID|CREATED|EXPIRES|>USED|HOST|JOINS");
        g_autoptr(JsonBuilder) b = NULL;
        g_autofree char *path = NULL;
        InviteRow i;
        CliExit e;
        int r;

        if ((e = cli_bus_network_path(cli, &path)) != CLI_OK ||
            (e = cli_bus_method(cli, path, OMERTA_IFACE_NETWORK, "ListInvites", &m)) != CLI_OK ||
            (e = cli_bus_call(cli, m, &reply)) != CLI_OK)
                return e;
        if (cli->options.json) {
                b = cli_json_new();
                cli_json_begin_array(b, "invites");
        }
        r = sd_bus_message_enter_container(reply, 'a', "(sttuusb)");
        if (r < 0)
                return cli_bus_failed(r, NULL);
        while ((r = sd_bus_message_read(
                                reply, "(sttuusb)", &i.id, &i.created, &i.expires, &i.uses,
                                &i.uses_max, &i.host_name, &i.approval)) > 0)
                invite_show(cli, b, t, &i);
        if (r < 0)
                return cli_bus_failed(r, NULL);
        if (b) {
                json_builder_end_array(b);
                cli_json_print(b);
        } else
                cli_table_print(t, stdout);
        return CLI_OK;
}

CliExit cli_network_uninvite(Cli *cli, char **args) {
        g_autofree char *path = NULL;
        CliExit e = cli_bus_network_path(cli, &path);

        if (e != CLI_OK)
                return e;
        e = cli_bus_simple(cli, path, OMERTA_IFACE_NETWORK, "DeleteInvite", args[0]);
        if (e == CLI_OK)
                cli_hint(_("Withdrew the invite %s: it lets nobody in any more."), args[0]);
        return e;
}
