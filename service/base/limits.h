/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Every cap of the daemon, with its reason. What the network or a bus caller can make us keep is
 * bounded by one of these. */

#include "base/time.h"

#define OMERTA_PORT_DEFAULT 18002 /* docs/protocol.md, "Transport" */

/* Networks a daemon is a member of. Each has an interface; nobody needs more. */
#define NETWORKS_MAX 16U
/* Machines known in one network: a /16 has no more addresses to lease. */
#define MACHINES_MAX 65536U
/* Receiver indices of one daemon, see core/crypto/index-table.h: low 16 bits of an index. */
#define KEYPAIRS_MAX 65536U
/* Links held at once; the least recently used idle one makes room. Three keypairs each must fit
 * into KEYPAIRS_MAX. */
#define LINKS_MAX 16384U

/* Sessions, from the original specification (TunnelManagerConfig). */
#define SESSIONS_PER_MACHINE_MAX 10U
#define SESSIONS_MAX 1000U
#define SESSION_IDLE_USEC (300 * USEC_PER_SEC)
#define PROBE_INTERVAL_USEC (5 * USEC_PER_SEC)
#define PROBE_TIMEOUT_USEC (2 * USEC_PER_SEC)
#define PROBE_MISSES_MAX 3U
/* With nothing in use probes become rarer, up to this: at most one wake-up a minute a machine. */
#define PROBE_INTERVAL_IDLE_USEC (60 * USEC_PER_SEC)

/* A control message, sum of its segments. */
#define CONTROL_MESSAGE_MAX (64U * 1024U)
/* Control bytes one link may hold unacknowledged; more is -ENOBUFS for the caller. */
#define CONTROL_QUEUE_MAX (1024U * 1024U)
#define CHANNEL_NAME_MAX 64U
#define CHANNEL_PENDING_REQUESTS_MAX 256U

/* Packets kept while a session to their machine is made: enough for a SYN and its friends. */
#define PENDING_PACKETS_MAX 32U
#define PENDING_BYTES_MAX (64U * 1024U)
#define PENDING_USEC (5 * USEC_PER_SEC)

/* Handshakes a second from one source (IPv4 address or IPv6 /64), and the burst: WireGuard's. */
#define HANDSHAKES_PER_SECOND 20U
#define HANDSHAKES_BURST 5U
#define RATELIMIT_SOURCES_MAX 8192U
/* Handshakes a second, all sources together, above which cookies are demanded (mac2). */
#define HANDSHAKES_UNDER_LOAD 200U

/* Invites and people who wait for an approval. */
#define INVITES_MAX 1024U
#define APPROVALS_PENDING_MAX 64U
/* Endpoints in a presence record or an invite. */
#define ENDPOINTS_MAX 8U
/* Of this machine's own, shown so that one that found no room can be named with --endpoint. */
#define LOCAL_ENDPOINTS_SHOWN_MAX 64U
/* A signed record: certificate, lease, revocation, presence. */
#define RECORD_MAX 1024U

/* Calls that polkit is asked about at once, of one user and of all. The system bus lets a connection
 * wait for 128 answers (dbus-daemon(1), max_replies_per_connection); the rest is for logind. */
#define QUESTIONS_PER_USER_MAX 16U
#define QUESTIONS_MAX 112U

/* Answers to GetManagedObjects that wait to be written, of one user and of all; each takes a second
 * or less. */
#define LISTINGS_PER_USER_MAX 8U
#define LISTINGS_MAX 64U
/* Objects of one kind that introspection names in one network: enough to look at ("busctl tree"),
 * and each node of such a tree is asked for them again. GetManagedObjects has all. */
#define INTROSPECTED_MAX 256U

/* Connections through the SOCKS5 and HTTP proxy, and as many through all port forwards; what an
 * engine of netif/netstack.h carries. Two fds each, three where lwIP carries it, five a UDP
 * association: where RLIMIT_NOFILE is less than all of them, it is what bounds them (base/fd.h). */
#define PROXY_CONNECTIONS_MAX 4096U
/* Descriptors that connections leave to the daemon, beside those it has open all the time: a second
 * network's stack (six), answers to Dial that wait for the bus (one each), a temporary file of
 * SQLite, rtnetlink. */
#define FDS_RESERVED 16U
/* From accepting a client to its whole request; RFC 1928 section 6 gives a refused one as long to
 * go away. */
#define PROXY_HANDSHAKE_USEC (10 * USEC_PER_SEC)
/* For one address; under the two minutes after which programs commonly give up themselves. */
#define PROXY_DIAL_USEC (30 * USEC_PER_SEC)
#define FORWARDS_MAX 256U

/* Starts of the daemon that did not last this long wait before they serve (start-delay.h): not the
 * first three, which a crash on somebody's packet is; then a second, two, four, up to what an
 * administrator who has mended the cause would wait for without wondering. */
#define START_LASTS_USEC USEC_PER_MINUTE
#define START_DELAY_FREE 3U
#define START_DELAY_MIN_USEC USEC_PER_SEC
#define START_DELAY_MAX_USEC (30 * USEC_PER_SEC)
/* More is not counted. */
#define START_DELAY_COUNT_MAX 1000U
