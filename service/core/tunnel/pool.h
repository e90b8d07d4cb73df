/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The session pool: sessions are made on demand, limited, closed when idle or, the idlest, when
 * others need the room; per machine one
 * health monitor probes the link while a session uses it (proactively, before traffic finds out)
 * and rarely when nothing is in use. (Phases 1 and 2 of the original specification.)
 */

#include "base/limits.h"
#include "core/tunnel/session.h"

typedef struct SessionPoolConfig {
        usec_t idle_timeout; /* SESSION_IDLE_USEC */
        unsigned per_machine_max, total_max;
        usec_t probe_interval, probe_timeout, probe_interval_idle;
        unsigned probe_misses_max;
} SessionPoolConfig;
#define SESSION_POOL_CONFIG_DEFAULT                                                                \
        (SessionPoolConfig) {                                                                      \
                .idle_timeout = SESSION_IDLE_USEC, .per_machine_max = SESSIONS_PER_MACHINE_MAX,    \
                .total_max = SESSIONS_MAX, .probe_interval = PROBE_INTERVAL_USEC,                  \
                .probe_timeout = PROBE_TIMEOUT_USEC,                                               \
                .probe_interval_idle = PROBE_INTERVAL_IDLE_USEC,                                   \
                .probe_misses_max = PROBE_MISSES_MAX,                                              \
        }

typedef struct SessionPool SessionPool;
/* In- and outgoing, once, when it becomes active; comes before its first SessionChanged. Closing an
 * incoming session here refuses it. */
typedef void (*SessionEstablished)(void *userdata, Session *s);
/* Any change of state; the last one is SESSION_CLOSED. */
typedef void (*SessionChanged)(void *userdata, Session *s);

/* @provider is borrowed; @config NULL: the default. */
int session_pool_new(const ChannelProvider *provider, const SessionPoolConfig *config, SessionPool **ret);
SessionPool *session_pool_free(SessionPool *p);
/* Starts and stops taking incoming sessions; stop closes all. */
int session_pool_start(SessionPool *p);
void session_pool_stop(SessionPool *p);

/**
 * session_pool_get() - the session to @machine on @channel, made if there is none
 * Where there are as many as there may be, the one that was idle longest is closed for it.
 * Return: 0 and a borrowed session in any state but closed; -EUSERS: limit for one machine, or in
 * all while each was used in the last seconds; -EINVAL: bad channel name; -ENXIO: unknown machine.
 */
int session_pool_get(SessionPool *p, const MachineId *machine, const char *channel, Session **ret);
Session *session_pool_get_existing(SessionPool *p, const MachineId *machine, const char *channel);
void session_pool_close(SessionPool *p, Session *s);
void session_pool_close_machine(SessionPool *p, const MachineId *machine);
unsigned session_pool_count(const SessionPool *p);
/* In order of (machine, channel). */
void session_pool_foreach(SessionPool *p, void (*callback)(void *userdata, Session *s), void *userdata);
void session_pool_on_established(SessionPool *p, SessionEstablished handler, void *userdata);
void session_pool_on_changed(SessionPool *p, SessionChanged handler, void *userdata);
/* Addresses or routes of this machine changed, or it woke up: probe everything now. */
void session_pool_network_changed(SessionPool *p);
