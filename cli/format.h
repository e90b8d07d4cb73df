/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Values as people write and read them. Everything returned is newly allocated; "-" stands for
 * "none". */

#include <stdint.h>

#include "base/time.h"

/* Text from elsewhere made safe for a terminal: control characters, and those that reorder or
 * hide text, become \n, \x1b, \u202e; a backslash becomes \\. "" becomes "-". */
char *cli_format_text(const char *text);
/* The same, but "" stays "". */
char *cli_escape(const char *text);

/* Columns the text takes on a terminal. */
unsigned cli_text_width(const char *text);

/* The first 8 characters of an id. */
char *cli_format_id(const char *id);
/* "3 s ago", "in 2 h", "now". */
char *cli_format_relative(usec_t t, usec_t now);
/* "30 s", "12 min", "5 h", "3 d": the unit that keeps two digits where it can. */
char *cli_format_duration(usec_t d);
/* "0.3 ms", "24 ms", "1.2 s". */
char *cli_format_rtt(usec_t rtt);
/* "512 B", "1.2 KiB". */
char *cli_format_bytes(uint64_t n);
/* "2026-01-31 18:00:00", local time. */
char *cli_format_time(usec_t t);
/* "2026-01-31T17:00:00Z"; NULL if @t is 0 or later than the year 9999. */
char *cli_format_iso(usec_t t);

/* "24h", "1h30min", "90 s"; units s, min (m), h, d, w. Return: 0, or -EINVAL for anything else,
 * no time at all, or more than 100 years. */
int cli_parse_duration(const char *text, usec_t *ret);
/* 1 to UINT32_MAX. Return: 0 or -EINVAL. */
int cli_parse_count(const char *text, unsigned *ret);
