/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Addresses over the mesh, channel `dhcp`, with RFC 2131's habits. The service runs on the
 * gateway; its state is the leases in the directory, committed before an answer leaves, those asked
 * for within a few milliseconds in one commit. Who asks is the authenticated sender.
 */

#include "core/crypto/identity.h"
#include "core/mesh/channel.h"
#include "core/mesh/directory/directory.h"

#define LEASE_LIFETIME_DEFAULT (24 * USEC_PER_HOUR)

/* Given back: nobody has the address by this record. */
static inline bool lease_is_released(const Record *lease) {
        return lease->body.not_after <= lease->body.not_before;
}

/* Verdict the caller must handle, positive (docs: house style, errors). */
enum {
        LEASE_E_POOL_EMPTY = 1,
        LEASE_E_NOT_PERMITTED, /* no member, or revoked */
        LEASE_E_CLOCK,         /* our own clock cannot be right */
        LEASE_E_TOO_OFTEN,     /* on the channel: it has used up what it may make us write */
};

typedef struct LeaseService LeaseService;
typedef struct LeaseServiceConfig {
        const ChannelProvider *provider; /* NULL: no channel, only the calls below */
        const MeshEnv *env;
        Directory *directory;
        const Identity *issuer;
        NetworkId network;
        IpPrefix subnet;
        usec_t lifetime; /* 0: the default */
        /* A lease was given, renewed or released. May be NULL. */
        void (*changed)(void *userdata, const Record *lease);
        void *userdata;
} LeaseServiceConfig;

int lease_service_new(const LeaseServiceConfig *config, LeaseService **ret);
LeaseService *lease_service_free(LeaseService *s);

/**
 * lease_service_request() - an address for @machine
 * @wanted: honoured if free; AF_UNSPEC: its former one, else the lowest free
 * @name: for the lease, unless the certificate has one
 *
 * Its own valid lease is renewed, whatever it wants (within the first minute: returned as it is).
 * Addresses of expired leases are given to others only when no other is free, the longest expired
 * first. The gateway's own is fixed.
 * Return: 0 and the lease (one reference for the caller), a LEASE_E_*, or negative errno.
 */
int lease_service_request(
                LeaseService *s,
                const MachineId *machine,
                const IpAddr *wanted,
                const char *name,
                Record **ret);
/* 0, or -ENOENT if @machine has no lease (or is the gateway). The address is free at once. */
int lease_service_release(LeaseService *s, const MachineId *machine);
/* The clock was set, or is known to be right now: leases given by one that was ahead are given
 * anew. Return: how many. */
unsigned lease_service_clock_changed(LeaseService *s);
/* @machine has another name: its lease is signed anew with it, else as it is. Return: 0, also where
 * there is none, or negative errno. */
int lease_service_renamed(LeaseService *s, const MachineId *machine);
/* Ours, as the gateway: .0.1; renewed by itself from then on. @self: the issuer. */
int lease_service_take_gateway_address(LeaseService *s, const MachineId *self, const char *name);

typedef struct LeaseClient LeaseClient;
typedef struct LeaseClientConfig {
        const ChannelProvider *provider;
        const MeshEnv *env;
        Directory *directory;
        MachineId self;
        const char *name;
        /* @error WIRE_ERROR_NONE: bound or renewed, see @lease; else why not, it keeps trying. */
        void (*changed)(void *userdata, WireError error, const Record *lease);
        void *userdata;
} LeaseClientConfig;

/* Starts at once: asks the gateway (-> NO_GATEWAY while none is known), renews at half time,
 * retries with a growing pause (1 s up to 60 s), goes on when the gateway comes back. */
int lease_client_new(const LeaseClientConfig *config, LeaseClient **ret);
LeaseClient *lease_client_free(LeaseClient *c);
void lease_client_set_gateway(LeaseClient *c, const MachineId *gateway);
/* Network changed or woke up: renew now if it is time. */
void lease_client_kick(LeaseClient *c);
