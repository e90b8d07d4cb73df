/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the programs that talk to omertad share: the objects of org.omerta.Mesh1 as plain structs,
 * and its errors as sentences. Not a proxy: changes are made by calling the methods described in
 * the XML files beside this.
 *
 * Strings are never NULL: "" where the daemon said nothing, or does not know a property yet that
 * a later version has. Properties with a type other than expected are treated as missing.
 */

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

/* Fields carry the names of the properties; times and durations are in microseconds, 0: none. */

typedef struct ClientManager {
        char *version;
        char *machine_id;
        char *mode;
        char *cipher;
        char *netstack;
        char *netstack_reason;
        char **networks; /* object paths */
        char **endpoints;
        char **lan_interfaces;
        char *lan_reason;
        uint32_t port;
        bool port_mapping;
        char *mapped_endpoint;
        char *mapping_protocol;
        char *mapping_router;
        char *mapping_reason;
        char *mapped_endpoint6;
        char *mapping_router6;
        char *mapping_reason6;
        uint32_t tcp_port;
        char *tcp_reason;
        uint32_t tcp_connections;
        char *relay;
        bool is_relay;
        uint32_t relay_pairs;
        uint64_t relayed_datagrams;
        uint64_t relayed_bytes;
} ClientManager;

typedef struct ClientMachine {
        char *path; /* of the object */
        char *id;
        char *host_name;
        char *owner;
        char **roles;
        char **groups;
        char *address;
        char *address6;
        bool is_self;
        char *link_state;
        char *via; /* property Path: "direct", "relay", "" */
        char *relay;
        char *translation;
        char *why_relayed;
        char *endpoint;
        char **endpoints;
        char **exit; /* families it leads to the internet by */
        char *software;
        char *cipher;
        uint64_t certificate_expires;
        uint64_t rtt;
        uint64_t last_received;
        uint64_t last_handshake;
        uint64_t packets_sent;
        uint64_t packets_received;
        uint64_t bytes_sent;
        uint64_t bytes_received;
} ClientMachine;

typedef struct ClientSession {
        char *path;
        char *machine;
        char *channel;
        char *state;
        char *via; /* property Path */
        uint64_t rtt;
        uint64_t established;
        uint64_t last_activity;
        uint64_t packets_sent;
        uint64_t packets_received;
        uint64_t bytes_sent;
        uint64_t bytes_received;
} ClientSession;

typedef struct ClientLease {
        char *path;
        char *address;
        char *machine;
        char *host_name;
        char *state;
        uint64_t granted;
        uint64_t expires;
} ClientLease;

typedef struct ClientForward {
        char *path;
        char *direction;
        char *listen;
        char *target;
        bool persistent;
        char *state;
        char *state_reason;
        uint32_t id;
        uint32_t active;
        uint64_t accepted;
        uint64_t failed;
        uint64_t turned_away;
        uint64_t bytes_to_target;
        uint64_t bytes_from_target;
} ClientForward;

typedef struct ClientNetwork {
        char *path;
        char *id;
        char *name;
        char *machine_id; /* this machine's, in this network */
        char *state;
        char *state_reason;
        char *interface;
        char *address;
        char *address6;
        char *subnet;
        char *gateway;
        char *gateway_address;
        char *host_name;
        bool is_gateway;
        uint32_t mtu;
        bool addresses_held;
        bool lan_discovery;
        char **endpoints; /* of the gateway, by name */
        uint32_t lan_machines;
        char *exit_wanted, *exit, *exit_state, *exit_reason; /* of this machine's internet traffic */
        bool exit_lan;
        uint32_t members;
        uint32_t pending, invites; /* on the gateway */
        uint64_t certificate_expires;
        uint64_t max_absence, grace; /* microseconds */
        /* Filled by client_snapshot_get() only; empty, never NULL. */
        GPtrArray *machines; /* ClientMachine, by address; without one last */
        GPtrArray *sessions; /* ClientSession, by machine and channel */
        GPtrArray *leases;   /* ClientLease, by address */
        GPtrArray *forwards; /* ClientForward, by id */
} ClientNetwork;

typedef struct ClientSnapshot {
        ClientManager *manager; /* NULL from client_snapshot_from_reply() */
        GPtrArray *networks;    /* ClientNetwork, by name */
} ClientSnapshot;

/* Without a manager (NULL) and networks: for callers that fill it themselves. */
ClientSnapshot *client_snapshot_new(void);

ClientManager *client_manager_free(ClientManager *m);
ClientNetwork *client_network_free(ClientNetwork *n);
ClientForward *client_forward_free(ClientForward *f);
ClientSnapshot *client_snapshot_free(ClientSnapshot *s);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ClientManager, client_manager_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ClientNetwork, client_network_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ClientForward, client_forward_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ClientSnapshot, client_snapshot_free)

/**
 * client_manager_get() - properties of the daemon; blocks
 *
 * Return: 0, or negative errno with @error set when the daemon or the bus said why.
 */
int client_manager_get(sd_bus *bus, sd_bus_error *error, ClientManager **ret);

/* Properties of one network, without what is below it: cheap however many machines there are. */
int client_network_get(sd_bus *bus, const char *path, sd_bus_error *error, ClientNetwork **ret);

int client_forward_get(sd_bus *bus, const char *path, sd_bus_error *error, ClientForward **ret);

/* Everything there is; blocks. Return: as client_manager_get(). */
int client_snapshot_get(sd_bus *bus, sd_bus_error *error, ClientSnapshot **ret);

/* For those who must not block: reads the reply to ObjectManager.GetManagedObjects,
 * which does not say anything about the manager itself.
 * Return: 0, or -EBADMSG and other errors of sd_bus_message_read(). */
int client_snapshot_from_reply(sd_bus_message *reply, ClientSnapshot **ret);

/* Borrowed; NULL: not there. */
ClientNetwork *client_snapshot_find_network(const ClientSnapshot *s, const char *path);
ClientMachine *client_network_find_machine(const ClientNetwork *n, const char *id);

typedef enum ClientErrorKind {
        CLIENT_ERROR_FAILED,      /* tried, and did not work */
        CLIENT_ERROR_ARGUMENT,    /* the caller said something that cannot be */
        CLIENT_ERROR_UNREACHABLE, /* no bus, no daemon, or another version of it */
        CLIENT_ERROR_NOT_FOUND,   /* not joined, or no such thing */
        CLIENT_ERROR_DENIED,
        CLIENT_ERROR_TIMEOUT,
} ClientErrorKind;

/* Both texts are English and marked for gettext's domain "omerta". */
typedef struct ClientErrorText {
        const char *name;
        ClientErrorKind kind;
        const char *what;   /* a sentence; the error's own message is more exact if there is one */
        const char *advice; /* what to do, one or more sentences; never "" */
} ClientErrorText;

/* Never NULL: an unknown name gets the text of org.omerta.Mesh1.Error.Failed. */
const ClientErrorText *client_error_text(const char *name);

/* True if the message of this error was written by omertad for people; the bus's own and
 * libsystemd's are not worth showing in place of ClientErrorText.what. Both may be NULL. */
bool client_error_is_ours(const char *name, const char *message);
