/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The kinds of objects there are, in one table: what a path of theirs looks like, what it has for
 * members, how one is found and how all are. Objects have no memory on the bus: a path is taken
 * apart and what it names is looked up. Control thread only.
 */

#include "bus/bus-internal.h"

typedef struct BusKind BusKind;
struct BusKind {
        /* Another interface of the same objects, with the same userdata, or NULL. */
        const BusKind *beside;
        /* Of the path, between the network's and the object's name: "machine"; NULL: it is the network. */
        const char *part;
        const char *interface;
        const sd_bus_vtable *vtable;
        /* @name: the last part of the path; @ret: what the functions of the vtable get, valid until
         * the next object of the kind is looked for. */
        bool (*find)(Bus *b, ManagedNetwork *n, const char *name, void **ret);
        /* Adds the paths of at most @max objects of @n, which the array frees. */
        void (*enumerate)(ManagedNetwork *n, unsigned max, GPtrArray *paths);
};

/* org.omerta.Mesh1.Manager is one too, of which there is one object; org.omerta.Mesh1.Gateway is
 * beside Network, and only there. */
extern const BusKind bus_kind_manager, bus_kind_network, bus_kind_machine, bus_kind_session,
                bus_kind_lease, bus_kind_forward, bus_kind_gateway;

/* Return: the kind of the object that is at @path now, or NULL: there is none. */
const BusKind *bus_object_find(Bus *b, const char *path, void **ret_userdata);

/* All that is in one network, itself first; at most @max of each kind. */
void bus_object_enumerate(ManagedNetwork *n, unsigned max, GPtrArray *paths);
/* Every object below OMERTA_NETWORK_PATH, of char *; the caller unrefs. */
GPtrArray *bus_object_paths(Bus *b);

/* Puts all kinds on b->bus. Return: 0, or negative errno. */
int bus_add_kinds(Bus *b);

/* The core of a network whose machines, leases and sessions are shown: it is up, and this machine
 * a member. NULL: they are not. */
Network *bus_network_members(ManagedNetwork *n);

/* Ids and channel names have no character that needs escaping but those of CHANNEL_SAFE. */
char *bus_network_path(ManagedNetwork *n);
char *bus_machine_path(ManagedNetwork *n, const MachineId *id);
char *bus_session_path(ManagedNetwork *n, Session *s);
char *bus_lease_path(ManagedNetwork *n, const IpAddr *address);
char *bus_forward_path(ManagedNetwork *n, uint32_t id);
/* Of a member that has an object; "/": there is none. */
char *bus_member_path(ManagedNetwork *n, const MachineId *id);

/* The network an object path is below; @ret_rest: what follows its id ("" or "/machine/..."). */
ManagedNetwork *bus_network_of_path(Bus *b, const char *path, const char **ret_rest);
