/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * MESSAGE_ID= of every log record an administrator may want to act on. Each has an entry in
 * data/omerta.catalog that says what happened and what to do; tools/check-catalog compares the two.
 * An id never changes its meaning and is never used again. New ones: systemd-id128 new.
 */

#define MESSAGE_ID_NETWORK_CREATED "36f835949f374ddd9f087901fbdf2799"
#define MESSAGE_ID_NETWORK_JOINED "f27c6ed6eb854f34ac9828e819f3b37e"
#define MESSAGE_ID_ADDRESS_OBTAINED "395beda9cc424e1e88a0d842a500e9ee"
#define MESSAGE_ID_ADDRESS_LOST "e892a1d3eb3240b49a3f76813c5ad97b"
#define MESSAGE_ID_MEMBER_JOINED "d9613bed377d4309b40af028378100ef"
#define MESSAGE_ID_MEMBER_REVOKED "9f7dc864bf8f403ca607662f6c9dde66"
#define MESSAGE_ID_SELF_REVOKED "53f47db9100243f2b8c7d22ff2416b96"
#define MESSAGE_ID_INTERFACE_UNAVAILABLE "ff5e2c7456934835b89aec4efd798b96"
#define MESSAGE_ID_PORT_TAKEN "a2dfca245b5e4cb3b81b665cb73fb4ff"
#define MESSAGE_ID_STATE_DAMAGED "cc02463053334786b6c11f13ac461841"
#define MESSAGE_ID_CERTIFICATE_EXPIRING "f65804c9dc6c4446a2e7106c8fd547c0"
#define MESSAGE_ID_CERTIFICATE_EXPIRED "b7a1d3c85ef24c0e9d0a6f27c1e4835a"
#define MESSAGE_ID_CLOCK_WRONG "4c92e07d6ab84f0fa3d1589e7b26c04d"
#define MESSAGE_ID_INVITE_MADE "1d504e592275481a8a8813057454fffd"
#define MESSAGE_ID_GATEWAY_UNREACHABLE "2b5b94f414fa4fbc95019de71c592d8b"
#define MESSAGE_ID_FORWARD_FAILED "0c299b40d9b04cf78cd59d38060f7fa4"
#define MESSAGE_ID_SUBNET_CONFLICT "6a0f2d9c1b7e4e0f9d35c84b2a7713de"
#define MESSAGE_ID_PORT_IGNORED "64c5ea521ca046dcbaf372cfcb1068b7"
#define MESSAGE_ID_BUS_LOST "ad8534a29d5740328e420cf343d9a534"
