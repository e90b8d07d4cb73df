/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Every cap of the daemon, with its reason. What the network or a bus caller can make us keep is
 * bounded by one of these. */

#include "base/time.h"

#define OMERTA_PORT_DEFAULT 18002 /* docs/protocol.md, "Transport" */

/* Networks a daemon is a member of. Each has an interface; nobody needs more. */
#define NETWORKS_MAX 16U
/* Keys of joins that have not come to an end: each may have an invite used up in its name, so it is
 * kept for the next try. The oldest go. */
#define JOIN_KEYS_MAX 64U
/* What 'omertad restore' reads into memory. A network of MACHINES_MAX takes about 100 MB. */
#define BACKUP_SIZE_MAX (512U * 1024U * 1024U)
/* Machines known in one network: a /16 has no more addresses to lease. */
#define MACHINES_MAX 65536U
/* Receiver indices of one daemon, see core/crypto/index-table.h: low 16 bits of an index. */
#define KEYPAIRS_MAX 65536U
/* Links held at once; the least recently used idle one makes room. Three keypairs each must fit
 * into KEYPAIRS_MAX. */
#define LINKS_MAX 16384U
/* Callers that wait for one and the same look at what is before this machine; any user may ask. */
#define NET_CHECKS_MAX 64U

/* Answers to initiations kept for copies of these (core/mesh/link/answers.h), of a network: 1.3 KiB
 * each. When more machines than that come within 10 s, what copies of the others cost is a second
 * set of curve operations. */
#define ANSWERS_MAX 256U

/* Exits a user names in order: who has more takes whoever there is. */
#define EXITS_WANTED_MAX 4U

/* Sessions, from the original specification (TunnelManagerConfig). */
#define SESSIONS_PER_MACHINE_MAX 10U
#define SESSIONS_MAX 1000U
#define SESSION_IDLE_USEC (300 * USEC_PER_SEC)
/* One that was used so lately makes no room for others: an exchange may be under way, in which TCP
 * pauses for a few seconds at most. */
#define SESSION_SPARED_USEC (10 * USEC_PER_SEC)
#define PROBE_INTERVAL_USEC (5 * USEC_PER_SEC)
#define PROBE_TIMEOUT_USEC (2 * USEC_PER_SEC)
#define PROBE_MISSES_MAX 3U
/* With nothing in use probes become rarer, up to this: at most one wake-up a minute a machine. */
#define PROBE_INTERVAL_IDLE_USEC (60 * USEC_PER_SEC)

/* Relaying for others (core/mesh/relay): numbers a daemon gives, two for each pair of machines. Each
 * takes a few hundred bytes, and a pair costs its relay nothing but that while it is silent. */
#define RELAY_NUMBERS_MAX 4096U
/* Pairs one member may ask for: everybody it works with at once, and then some. */
#define RELAY_PAIRS_PER_MEMBER_MAX 64U
/* What one member may send through us: 10 Gbit/s, more than a packet thread carries, since the
 * share (dataplane/relay.c) is what keeps it from the others'; and 20 ms of it at once. */
#define RELAY_BYTES_PER_SEC UINT64_C(1250000000)
#define RELAY_BURST_BYTES UINT64_C(25000000)
/* Pairs of ours with each of which a relay could make us do something: what it announces is kept
 * no longer than this many. */
#define RELAY_ANNOUNCED_MAX 256U

/* Connections by which datagrams come where UDP is blocked (dataplane/stream.h). Accepted in all:
 * each takes an fd and up to 150 KiB, and a member has one. */
#define STREAMS_ACCEPTED_MAX 256U
/* Of these, such that have brought nothing authentic yet, in all and of one address (IPv6 /64): the
 * oldest of them makes room. A handshake takes two round trips. */
#define STREAMS_STRANGERS_MAX 64U
#define STREAMS_STRANGERS_PER_ADDRESS_MAX 8U
/* And of one address whatever they brought: an office behind one translator. */
#define STREAMS_PER_ADDRESS_MAX 32U
/* Made by us: to the members this machine keeps links with, and those it talks to. */
#define STREAMS_DIALED_MAX 64U
/* To connect, and then to bring something authentic: that is two round trips of a satellite and
 * three segments sent again. */
#define STREAM_PROVE_USEC (10 * USEC_PER_SEC)
/* One by which nothing authentic came for so long is closed: three times what a kept link is silent. */
#define STREAM_IDLE_USEC (3 * USEC_PER_MINUTE)
/* SO_MARK of connections, by which rules know that they carry the other packets
 * (host/rtnl-detour.h). Without CAP_NET_ADMIN there is none, and no such rules. */
#define STREAM_MARK 18002U
/* Where TCP endpoints of a machine are told (presence, invites): an address of each family, twice. */
#define STREAM_ENDPOINTS_MAX 4U

/* A control message, sum of its segments. */
#define CONTROL_MESSAGE_MAX (64U * 1024U)
/* Control bytes one link may hold unacknowledged; more is -ENOBUFS for the caller. */
#define CONTROL_QUEUE_MAX (1024U * 1024U)
#define CHANNEL_NAME_MAX 64U
#define CHANNEL_PENDING_REQUESTS_MAX 256U

/* Time of the control thread that one machine may use up (core/mesh/link/link-budget.c), in
 * microseconds of it: a tenth, and half a second's work at once. Who learns of 10,000 machines
 * sends and acknowledges 10,000 segments, a fifth of that. */
#define BUDGET_PART 10U
#define BUDGET_BURST_USEC (500 * USEC_PER_MSEC)
/* One that enrols: ten times what a welcome costs, and 4 ms a second; all of them together are as
 * one member. */
#define STRANGER_BUDGET_PART 250U
#define STRANGER_BUDGET_BURST_USEC (25 * USEC_PER_MSEC)

/* What waits for the control thread (dataplane/control-queue.h), in bytes with about 80 a message.
 * Handshakes: about 100 of the longest, 10 ms to 100 ms of work; a flood of them is to be turned
 * away, not stored. Members: whole windows of three who send at once, as to a newcomer. Machines
 * that enrol send two segments each. */
#define CONTROL_HANDSHAKES_BYTES_MAX (128U * 1024U)
#define CONTROL_STRANGERS_BYTES_MAX (32U * 1024U)
#define CONTROL_MEMBERS_BYTES_MAX (320U * 1024U)

/* Packets kept while a session to their machine is made: enough for a SYN and its friends. */
#define PENDING_PACKETS_MAX 32U
#define PENDING_BYTES_MAX (64U * 1024U)
#define PENDING_USEC (5 * USEC_PER_SEC)

/* Handshakes a second from one address (IPv4 address or IPv6 /64) that nobody has proved to be at,
 * and the burst: WireGuard's. */
#define HANDSHAKES_PER_SECOND 20U
#define HANDSHAKES_BURST 5U
/* From one port whose owner has (mac2): an initiator sends two a second at most, four with those it
 * repeats for a cookie. */
#define HANDSHAKES_PER_PORT 5U
/* From all such ports of one address that were quiet before, and as many from all that were not:
 * hundreds of machines behind one translator come back within seconds of the gateway's restart, and
 * cost a fiftieth of a CPU meanwhile. */
#define HANDSHAKES_PER_ADDRESS 100U
/* A port that a member came from is charged to itself only for so long: longer than from one rekey
 * to the next with all its retries (docs/protocol.md, "Timers"). */
#define HANDSHAKE_TRUST_USEC (5 * USEC_PER_MINUTE)
#define RATELIMIT_SOURCES_MAX 8192U
/* Handshakes a second, all sources together, above which cookies are demanded (mac2). */
#define HANDSHAKES_UNDER_LOAD 200U

/* LAN beacons a second that are opened for one network: an answer of each of some hundred machines
 * at once, and a thousandth of a CPU. */
#define BEACONS_PER_SECOND 500U
#define BEACONS_BURST 500U
/* Machines of a network that are remembered from beacons: a broadcast domain has no more, or it
 * does not work. */
#define LAN_MACHINES_MAX 1024U
/* Addresses answered lately; more are not answered until the oldest was answered long enough ago. */
#define LAN_ANSWERS_MAX 256U
/* Interfaces beacons are sent on. Linux lets a socket be in 20 IPv4 groups (igmp_max_memberships). */
#define LAN_INTERFACES_MAX 16U
/* Of these an interface has so many IPv4 addresses that a beacon is sent from. */
#define LAN_ADDRESSES_MAX 4U

/* Invites and people who wait for an approval: in all, by one link, from one address (IPv6 /64),
 * which is a household; and how many refused ones are told so when they ask again. */
#define INVITES_MAX 1024U
#define APPROVALS_PENDING_MAX 64U
#define APPROVALS_PER_INVITE_MAX 16U
#define APPROVALS_PER_SOURCE_MAX 4U
#define APPROVALS_REFUSED_MAX 256U
/* Who waits for an approval asks every 5 s; who has stopped asking has gone. A refusal is told for
 * as long. */
#define APPROVAL_KEEP_USEC (10 * USEC_PER_MINUTE)
/* Links of machines that come by an invite, at once; by one and the same, which may be passed around. */
#define STRANGERS_MAX 256U
#define STRANGERS_PER_INVITE_MAX 64U
/* Endpoints in a presence record or an invite. */
#define ENDPOINTS_MAX 8U
/* Addresses of ours that trains of datagrams are lost from (core/mesh/link/trains.h), by IPv4 and
 * IPv6; of one more it is only known to which machines. */
#define TRAINS_LOCALS_MAX (2 * ENDPOINTS_MAX)
/* Names of a gateway whose address changes: one at the provider of it, and one to spare. */
#define GATEWAY_NAMES_MAX 2U
/* Addresses taken of what all names of a machine lead to: a name server can send hundreds, each of
 * which would be shouted at. */
#define RESOLVED_MAX 8U
/* Machines whose names are known, of a network: its gateway, and those of --bootstrap. */
#define NAMED_MACHINES_MAX 8U
/* Look-ups that wait for the one under way, in all: one of each machine that has names. */
#define LOOKUPS_MAX (NETWORKS_MAX * NAMED_MACHINES_MAX)
/* Prefixes that lie inside a virtual network: two of each network of ours, and as many of another
 * daemon on this machine. */
#define INSIDE_PREFIXES_MAX (4U * NETWORKS_MAX)
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

/* Clients that get counters at an interval, of one user and of all; how often at most. Each costs a
 * walk over the links and a message of 100 bytes a link. */
#define WATCHERS_PER_USER_MAX 8U
#define WATCHERS_MAX 32U
#define WATCH_INTERVAL_MIN_MSEC 500U

/* Before the message bus that went away is tried again: at first what its restart takes, in the end
 * what a person who has mended it waits without wondering. */
#define BUS_RETRY_MIN_USEC (250 * USEC_PER_MSEC)
#define BUS_RETRY_MAX_USEC (30 * USEC_PER_SEC)

/* Connections through the SOCKS5 and HTTP proxy, and as many through all port forwards; what an
 * engine of netif/netstack.h carries. Two fds each, three where lwIP carries it, five a UDP
 * association: where RLIMIT_NOFILE is less than all of them, it is what bounds them (base/fd.h). */
#define PROXY_CONNECTIONS_MAX 4096U
/* Of those through the proxy one in so many is kept for clients on its unix socket: on loopback
 * every user of the machine may come, and nobody says who it is. */
#define PROXY_UNIX_SHARE 8U
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

/* Interfaces of networks are called so, unless somebody asks for another name. */
#define OMERTA_INTERFACE_PREFIX "omerta"

/* What a machine that is an exit to the internet carries. Members it knows in one network, which is
 * what a /16 has. */
#define EXIT_MEMBERS_MAX 65536U
/* Flows of one address of a member at once: a browser has hundreds, a scanner all it can get. The
 * kernel's table holds 65536 or more for the whole machine (nf_conntrack_max). */
#define EXIT_FLOWS_PER_MEMBER_MAX 4096U
/* Packets that are refused with an answer, of all members; beyond that silently. */
#define EXIT_REFUSALS_PER_SECOND 100U
/* What an administrator says of who may use it and what is granted. */
#define EXIT_WORDS_MAX 256U
/* Grants to single machines, each with each of its prefixes. */
#define EXIT_GRANTED_MAX 4096U
/* Networks this machine is connected to. */
#define EXIT_LINKS_MAX 1024U
/* Flows shown. */
#define EXIT_FLOWS_SHOWN_MAX 1000U

/* Starts of the daemon that did not last this long wait before they serve (start-delay.h): not the
 * first three, which a crash on somebody's packet is; then a second, two, four, up to what an
 * administrator who has mended the cause would wait for without wondering. */
#define START_LASTS_USEC USEC_PER_MINUTE
#define START_DELAY_FREE 3U
#define START_DELAY_MIN_USEC USEC_PER_SEC
#define START_DELAY_MAX_USEC (30 * USEC_PER_SEC)
/* More is not counted. */
#define START_DELAY_COUNT_MAX 1000U
