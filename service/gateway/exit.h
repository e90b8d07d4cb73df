/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The kernel as the exit of one network: keeps a table of nftables (exit-rules.h) as it is wanted,
 * and counts what each member sends and gets by it. The table is there as long as this object, and
 * not longer. Control thread only.
 */

#include "gateway/exit-rules.h"
#include "host/nft.h"

typedef struct Exit Exit;

/* What went since the exit began, of one member's address. */
typedef struct ExitUsage {
        uint64_t packets_out, bytes_out; /* from the member */
        uint64_t packets_in, bytes_in;   /* to it */
} ExitUsage;

/* @nft: taken. Makes nothing yet. */
Exit *exit_new(Nft *nft);
/* The table goes. */
Exit *exit_free(Exit *e);

/**
 * exit_apply() - make the table so
 * @rules: copied
 *
 * Members that come and go are elements that come and go; anything else makes the table anew, in
 * one step. Return: 0, or negative errno of NftOps.commit(): then who is denied may still be in it,
 * and the caller frees the exit.
 */
int exit_apply(Exit *e, const ExitRules *rules);
/* Whether the table is there, and if not, makes it. Return: as exit_apply(). */
int exit_check(Exit *e);

/* Reads the counters of all members. Return: 0, or negative errno. */
int exit_read_usage(Exit *e);
/* Reads the next two. As before. */
int exit_read_refused(Exit *e);
/* As read last; zeros: nothing. */
ExitUsage exit_usage(const Exit *e, const IpAddr *member);
/* Packets refused, and of these new flows beyond what a member may have; as read last. */
uint64_t exit_refused(const Exit *e);
uint64_t exit_too_many(const Exit *e);
