/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Values that several messages carry, on top of the CBOR reader and writer. Internal to
 * core/wire. Readers fail the CborReader on what is not such a value. */

#include "base/endpoint.h"
#include "base/ip.h"
#include "core/wire/cbor-reader.h"
#include "core/wire/cbor-writer.h"
#include "core/wire/record.h"

/* 1 to @max bytes of UTF-8 without control characters. */
bool field_label_is_valid(const char *text, size_t max);

void field_read_host_name(CborReader *r, char ret[static HOST_NAME_MAX_LEN + 1]);
/* As cbor_reader_text(), and not empty. */
void field_read_label(CborReader *r, char *ret, size_t size);
/* IPv4, 4 bytes. */
void field_read_ipv4(CborReader *r, IpAddr *ret);
void field_read_machine_id(CborReader *r, MachineId *ret);
/* One that a datagram can be sent to. */
void field_read_endpoint(CborReader *r, Endpoint *ret);
/* Return: how many. */
unsigned field_read_endpoints(CborReader *r, Endpoint ret[static ENDPOINTS_MAX]);
/* The same of those where a machine listens by TCP. */
unsigned field_read_streams(CborReader *r, Endpoint ret[static STREAM_ENDPOINTS_MAX]);
/* A record of that kind. Return: a reference; NULL after a failure only. */
Record *field_read_record(CborReader *r, RecordKind kind);
/* An array of records of any kind. Those that do not decode are left out and counted: a later
 * version may know more kinds. Return: array (caller owns), never NULL. */
GPtrArray *field_read_records(CborReader *r, unsigned *ret_bad);

/* Of IPv4: host bits are 0. */
bool field_prefix_is_whole(const IpPrefix *p);

void field_write_ipv4(CborWriter *w, const IpAddr *a);
void field_write_machine_id(CborWriter *w, const MachineId *id);
void field_write_endpoint(CborWriter *w, const Endpoint *e);
void field_write_endpoints(CborWriter *w, const Endpoint *endpoints, unsigned n);
void field_write_record(CborWriter *w, const Record *record);
/* @records may be NULL: none. */
void field_write_records(CborWriter *w, const GPtrArray *records);
