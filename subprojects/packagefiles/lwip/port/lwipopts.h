/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * lwIP as one network's stack inside a daemon: no threads, no timers of its own, memory from
 * malloc(), windows for paths of tens of milliseconds. What bounds memory is said beside each
 * value; the sum per connection is in netif/netstack.h.
 */

/* --- shape --- */

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0 /* the packet thread alone */
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_NETIF_API 0
#define LWIP_STATS 0
/* Its list of timers ticks for ever; ours stop when nothing is due (netstack-lwip-netif.c). */
#define LWIP_TIMERS 0

#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8
#define MEM_SIZE (64 << 20) /* with malloc() only says that sizes need 32 bits */
#define LWIP_SUPPORT_CUSTOM_PBUF 1

/* --- IP --- */

#define LWIP_ARP 0
#define LWIP_ETHERNET 0
#define LWIP_DHCP 0
#define LWIP_DNS 0
#define LWIP_IPV4 1
#define LWIP_IPV6 1
/* Nobody's router, and nobody routes for it but the interface: no neighbours to discover, no
 * router to believe. */
#define IP_FORWARD 0
#define LWIP_IPV6_FORWARD 0
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_ND6_ALLOW_RA_UPDATES 0
#define LWIP_ND6_QUEUEING 0
#define IPV6_FRAG_COPYHEADER 1 /* pointers of 64 bits do not fit where it would put them */
/* A UDP datagram of 64 KiB in fragments of 1280, for a few senders at once. */
#define IP_REASS_MAX_PBUFS 256
#define MEMP_NUM_REASSDATA 16
#define IP_REASS_FREE_OLDEST 1
#define LWIP_IPV6_REASS 1
/* Calls to the machine's own address stay inside. 64 packets wait at most. */
#define LWIP_NETIF_LOOPBACK 1
#define LWIP_NETIF_LOOPBACK_MULTITHREADING 0
#define LWIP_LOOPBACK_MAX_PBUFS 64
#define LWIP_HAVE_LOOPIF 0
#define LWIP_RAW 1 /* echo */
#define LWIP_MULTICAST_PING 0
#define LWIP_BROADCAST_PING 0

/* Packets are authenticated, and what leaves is marked for the last kernel to fill in: per
 * interface, at run time. */
#define LWIP_CHECKSUM_CTRL_PER_NETIF 1
#define LWIP_CHKSUM_ALGORITHM 3

/* --- TCP --- */

#define LWIP_TCP 1
/* The largest any interface has; a connection's follows the MTU (TCP_CALCULATE_EFF_SEND_MSS). */
#define TCP_MSS 8960
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 5 /* 1 MiB / 2^5 fits 16 bits */
/* 1 MiB: 160 Mbit/s at 50 ms, memory bound both ways. */
#define TCP_WND (1 << 20)
#define TCP_SND_BUF (1 << 20)
#define TCP_SND_QUEUELEN 4096
#define MEMP_NUM_TCP_SEG TCP_SND_QUEUELEN
#define TCP_SNDLOWAT 16384 /* below 0xffff - 4 * TCP_MSS: lwIP counts it in 16 bits */
#define TCP_SNDQUEUELOWAT 1024
#define LWIP_NETIF_TX_SINGLE_PBUF 1 /* one copy to the output, none gathered */
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_MAX_SACK_NUM 4
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define TCP_OOSEQ_MAX_PBUFS 4096
#define TCP_LISTEN_BACKLOG 1
#define LWIP_TCP_KEEPALIVE 1
#define SO_REUSE 1 /* a listener may stand where a connection's own port is */
/* RFC 6298 2.1: one second before anything is known. Doubled from there, six tries are two
 * minutes, NETSTACK_UNANSWERED_USEC. */
#define LWIP_TCP_RTO_TIME 1000
#define TCP_MAXRTX 6
#define TCP_SYNMAXRTX 6
/* Half of TIME-WAIT. Packets do not live long in a network of one hop. */
#define TCP_MSL 15000UL
/* RFC 6528: nobody guesses sequence numbers. */
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) LWIP_RAND()
#define LWIP_HOOK_FILENAME "hooks.h"
#define LWIP_HOOK_TCP_INPACKET_PCB lwip_port_check_packet
/* Connections of all listeners that nobody has accepted yet, half-open ones among them: 0.4 KiB
 * each, 20 s (TCP_SYN_RCVD_TIMEOUT). With MEMP_MEM_MALLOC no pool bounds them. */
#define LWIP_PORT_PENDING_MAX 1024
#define LWIP_RANDOMIZE_INITIAL_LOCAL_PORTS 1
