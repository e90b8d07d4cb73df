/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Port forwards: a local one listens on this machine and dials into the network, a reverse one
 * listens in the network and connects to a port of this machine (or of one it can reach by a
 * numeric address). They are objects with numbers; whoever keeps them over restarts keeps number
 * and ForwardSpec. A connection whose target cannot be reached is reset: a forward speaks no
 * protocol in which it could say why.
 *
 * A forward outlives the network it belongs to being switched off: a local one goes on listening
 * and resets who connects, a reverse one waits until forwards_resume().
 *
 * Who may connect: to a unix socket root and our own user; to a port of this machine everybody who
 * reaches it, so loopback is the default; to a reverse forward every member of the network. All
 * forwards share one number of connections, of which each address of the network has a share
 * (shares.h): no member can keep the others out, nor the programs of this machine.
 * Control thread only.
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/endpoint.h"
#include "proxy/proxy.h"
#include "proxy/relay.h"

typedef enum ForwardDirection {
        FORWARD_LOCAL,
        FORWARD_REVERSE,
        _FORWARD_DIRECTION_MAX,
        _FORWARD_DIRECTION_INVALID = -22,
} ForwardDirection;
const char *forward_direction_to_string(ForwardDirection d); /* "local", "reverse" */
ForwardDirection forward_direction_from_string(const char *text);

typedef struct ForwardSpec {
        ForwardDirection direction;
        Endpoint listen; /* LOCAL; REVERSE: the port alone counts. Port 0: any */
        char path[108];  /* LOCAL: of a unix socket, instead of listen; else "" */
        ProxyTarget target;
        bool persistent; /* for whoever keeps forwards; nothing here looks at it */
} ForwardSpec;

/**
 * forward_spec_parse() - what a person types
 * @listen: LOCAL: "2222", "192.0.2.1:2222", "[::1]:2222", "/run/user/1000/nas.sock"; REVERSE: "22"
 * @target: LOCAL: "10.0.0.100:22", "nas.omerta:22"; REVERSE: "22", "127.0.0.1:22", "localhost:22"
 *
 * Return: 0; -EINVAL.
 */
int forward_spec_parse(
                ForwardDirection direction,
                const char *listen,
                const char *target,
                ForwardSpec *ret);

/* @listen as forward_spec_parse() takes it; the target: proxy_target_format(). The caller frees. */
char *forward_spec_listen_format(const ForwardSpec *spec);

typedef struct Forwards Forwards; /* all of one network */
typedef struct Forward Forward;

typedef struct ForwardStats {
        uint64_t accepted;
        uint64_t failed;      /* the target could not be reached */
        uint64_t turned_away; /* too many, also of one member, another user's, no descriptor left */
        unsigned active;
        RelayCounters bytes; /* a_to_b: from who connected to the target */
} ForwardStats;

typedef struct ForwardsOptions {
        unsigned connections_max; /* all forwards together; 0: PROXY_CONNECTIONS_MAX */
        usec_t dial_usec;         /* 0: PROXY_DIAL_USEC */
} ForwardsOptions;

/* @dialer: the network; borrowed. */
int forwards_new(
                sd_event *event,
                const ProxyDialer *dialer,
                const ForwardsOptions *options,
                Forwards **ret);
Forwards *forwards_free(Forwards *f);

/**
 * forwards_add() - begin to forward
 *
 * Return: 0, also where a reverse one has to wait for the network; -EADDRINUSE, -EACCES,
 * -EADDRNOTAVAIL, ...: the listener; -ENOSPC: there are FORWARDS_MAX already.
 */
int forwards_add(Forwards *f, const ForwardSpec *spec, Forward **ret);
/* The same for one that was kept, under its old number. It is there also when it cannot listen:
 * forward_error(). Return: 0; -EEXIST: the number is taken; -ENOSPC. */
int forwards_restore(Forwards *f, const ForwardSpec *spec, uint32_t id, Forward **ret);
/* The network is up: whoever does not listen tries again. */
void forwards_resume(Forwards *f);
/* The network goes down: connections are reset, reverse forwards wait. Before the dialer ends. */
void forwards_suspend(Forwards *f);
/* Stops listening, resets its connections. */
Forward *forward_free(Forward *f);
/* NULL: no such */
Forward *forwards_get(const Forwards *f, uint32_t id);
unsigned forwards_count(const Forwards *f);
/* In the order of their numbers; 0 <= @i < forwards_count(). */
Forward *forwards_at(const Forwards *f, unsigned i);

uint32_t forward_id(const Forward *f); /* from 1; never used again */
/* With the port that was chosen where 0 was asked for. */
const ForwardSpec *forward_spec(const Forward *f);
/* The one listened on, also where 0 was asked for; 0: a unix socket, or none yet. */
uint16_t forward_port(const Forward *f);
/* Why it does not listen; 0: it does. -ENETUNREACH: the network is down. */
int forward_error(const Forward *f);
ForwardStats forward_stats(const Forward *f);
