/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What every command gets, and what it answers: an exit code. A command that fails has said why
 * on stderr before it returns. Everything here runs in one thread and blocks.
 */

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "base/macros.h"
#include "base/time.h"
#include "cli/options.h"

/* Exit codes: omerta(1), EXIT STATUS. */
typedef enum CliExit {
        CLI_OK = 0,
        CLI_FAILED = 1,
        CLI_USAGE = 2,
        CLI_UNREACHABLE = 3,
        CLI_NOT_FOUND = 4,
        CLI_DENIED = 5,
        CLI_TIMEOUT = 6,
        CLI_WARNED = 7, /* doctor: nothing is broken, but not all is well */
        /* As shells have them, for a program that is to be run. */
        CLI_CANNOT_EXECUTE = 126,
        CLI_NO_PROGRAM = 127,
} CliExit;

typedef struct CliVerb CliVerb;

typedef struct Cli {
        CliOptions options;
        const CliVerb *verb;
        sd_bus *bus; /* NULL until cli_bus_open() */
        usec_t now;  /* realtime, once, so that all lines speak of one instant */
        pid_t agent; /* cli/agent.h; 0: none */
} Cli;

/* What it does to the daemon. */
typedef enum CliVerbKind {
        CLI_LOOKS,   /* everybody may, and nothing is started for it */
        CLI_ASKS,    /* may need polkit's leave */
        CLI_CHANGES, /* the same, and starts the daemon */
} CliVerbKind;

struct CliVerb {
        const char *noun;
        const char *verb;      /* NULL: the noun is the command */
        const char *arguments; /* "LINK|-|FILE"; "": none */
        unsigned min, max;     /* number of arguments */
        unsigned options;      /* CLI_OPTION_BITs of its own */
        const char *summary;   /* for the list of commands */
        const char *help;      /* a paragraph, broken at 80 columns */
        CliExit (*run)(Cli *cli, char **args);
        CliVerbKind kind;
};

/* Ends with a noun of NULL. */
extern const CliVerb cli_verbs[];

/* Runs a command line. */
CliExit cli_main(int argc, char **argv);

/* "omerta: ..." on stderr; control characters in what is printed are escaped. */
void cli_error(const char *format, ...) _printf_(1, 2);
/* A line of advice or confirmation on stderr, for people only: nothing if it is no terminal. */
void cli_hint(const char *format, ...) _printf_(1, 2);

/* Whether a person is there to answer. */
bool cli_can_ask(void);
/* A question on stderr, answered on stdin with "y" or "n"; an empty line is @by_default, no line at
 * all "no". */
bool cli_ask(bool by_default, const char *format, ...) _printf_(2, 3);

/* The same, always. */
void cli_note(const char *format, ...) _printf_(1, 2);

CliExit cli_doctor(Cli *cli, char **args);
CliExit cli_status(Cli *cli, char **args);
CliExit cli_help(Cli *cli, char **args);
CliExit cli_version(Cli *cli, char **args);
CliExit cli_nc(Cli *cli, char **args);
CliExit cli_ssh(Cli *cli, char **args);
CliExit cli_exec(Cli *cli, char **args);
CliExit cli_ping(Cli *cli, char **args);
CliExit cli_forward(Cli *cli, char **args);
CliExit cli_expose(Cli *cli, char **args);
CliExit cli_forwards(Cli *cli, char **args);
CliExit cli_unforward(Cli *cli, char **args);
CliExit cli_backup(Cli *cli, char **args);
CliExit cli_whois(Cli *cli, char **args);
CliExit cli_path(Cli *cli, char **args);
CliExit cli_net_check(Cli *cli, char **args);
CliExit cli_connect(Cli *cli, char **args);
CliExit cli_up(Cli *cli, char **args);
CliExit cli_down(Cli *cli, char **args);
CliExit cli_set(Cli *cli, char **args);
CliExit cli_get(Cli *cli, char **args);

CliExit cli_network_create(Cli *cli, char **args);
CliExit cli_network_join(Cli *cli, char **args);
CliExit cli_network_leave(Cli *cli, char **args);
CliExit cli_network_list(Cli *cli, char **args);
CliExit cli_network_show(Cli *cli, char **args);
CliExit cli_network_set(Cli *cli, char **args);
CliExit cli_network_get(Cli *cli, char **args);
/* Whether it is one that they know. */
bool cli_network_has_setting(const char *name);
CliExit cli_network_repair_time(Cli *cli, char **args);
CliExit cli_network_address(Cli *cli, char **args);

CliExit cli_network_invite(Cli *cli, char **args);
CliExit cli_network_invites(Cli *cli, char **args);
CliExit cli_network_uninvite(Cli *cli, char **args);

CliExit cli_network_peers(Cli *cli, char **args);
CliExit cli_network_pending(Cli *cli, char **args);
CliExit cli_network_approve(Cli *cli, char **args);
CliExit cli_network_refuse(Cli *cli, char **args);
CliExit cli_network_rename(Cli *cli, char **args);
CliExit cli_network_revoke(Cli *cli, char **args);
CliExit cli_network_revoked(Cli *cli, char **args);
CliExit cli_network_refused(Cli *cli, char **args);

/* cli/exit.c */
CliExit cli_gateway_use(Cli *cli, char **args);
CliExit cli_gateway_exits(Cli *cli, char **args);
CliExit cli_gateway_appoint(Cli *cli, char **args);
CliExit cli_gateway_dismiss(Cli *cli, char **args);
CliExit cli_gateway_on(Cli *cli, char **args);
CliExit cli_gateway_off(Cli *cli, char **args);
CliExit cli_gateway_show(Cli *cli, char **args);
CliExit cli_gateway_allow(Cli *cli, char **args);
CliExit cli_gateway_deny(Cli *cli, char **args);
CliExit cli_gateway_flows(Cli *cli, char **args);

CliExit cli_mesh_status(Cli *cli, char **args);
CliExit cli_dhcp_leases(Cli *cli, char **args);
CliExit cli_tunnel_sessions(Cli *cli, char **args);
CliExit cli_tunnel_close(Cli *cli, char **args);
