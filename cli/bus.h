/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The conversation with omertad. Every function that returns CliExit has said on stderr what went
 * wrong, if it did. */

#include "cli/cli.h"
#include "dbus/client.h"

CliExit cli_bus_open(Cli *cli);
/* The same without a word. Return: 0, or negative errno. */
int cli_bus_open_quietly(Cli *cli);

/* A call of a method of omertad at @path; opens the bus if need be. */
CliExit
cli_bus_method(Cli *cli,
               const char *path,
               const char *interface,
               const char *member,
               sd_bus_message **ret);

/* Adds an element of an a{sv} of options, unless there is nothing to say (NULL, 0, false). */
int cli_bus_option_string(sd_bus_message *m, const char *key, const char *value);
int cli_bus_option_u32(sd_bus_message *m, const char *key, uint32_t value);
int cli_bus_option_u64(sd_bus_message *m, const char *key, uint64_t value);
int cli_bus_option_bool(sd_bus_message *m, const char *key, bool value);

/* How long a call may take, in microseconds. */
usec_t cli_bus_timeout(Cli *cli);
/* Sends and waits. @ret_reply may be NULL. */
CliExit cli_bus_call(Cli *cli, sd_bus_message *m, sd_bus_message **ret_reply);
/* The same for a method that returns an object path. Newly allocated. */
CliExit cli_bus_call_path(Cli *cli, sd_bus_message *m, char **ret);
/* A call with strings for arguments and nothing to return. */
CliExit
cli_bus_simple(Cli *cli,
               const char *path,
               const char *interface,
               const char *member,
               const char *argument);

/* Prints what @error, or if it is not set @r, means. Return: the exit code for it. */
CliExit cli_bus_failed(int r, const sd_bus_error *error);

/* Object path of the network that --network names, or of the only one. Newly allocated. */
CliExit cli_bus_network_path(Cli *cli, char **ret);
/* Object path of the machine that a person calls @machine, found out by the daemon: an address, a
 * name, the beginning of an id. Newly allocated. */
CliExit cli_bus_find_machine(Cli *cli, const char *network, const char *machine, char **ret);
/* That network's own properties. */
CliExit cli_bus_network(Cli *cli, ClientNetwork **ret);

/* The daemon and all networks, or the one that --network names, without what is in them. None at
 * all is no error. */
CliExit cli_bus_networks(Cli *cli, ClientSnapshot **ret);

/* Everything; what is in other networks than --network names is left out. Without any network
 * this fails as the daemon would (NotJoined). */
CliExit cli_bus_snapshot(Cli *cli, ClientSnapshot **ret);

typedef struct CliDrop {
        char *reason;
        uint64_t count;
} CliDrop;

/* GetDrops of the manager or a network: an array of CliDrop, the most frequent first. */
CliExit cli_bus_drops(Cli *cli, const char *path, const char *interface, GArray **ret);
