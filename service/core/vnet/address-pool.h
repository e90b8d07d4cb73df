/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Which addresses of a range are taken, and the lowest that is not: a tree of bitmaps, 64 wide. A
 * set bit on an upper level says that the 64 below are all taken, so the lowest free address of
 * sixteen million is found in four steps. Nothing but addresses; who has them is the caller's.
 */

#include <stdbool.h>
#include <stdint.h>

typedef struct AddressPool AddressPool;

/* @first to @last, both in it; host order. */
AddressPool *address_pool_new(uint32_t first, uint32_t last);
AddressPool *address_pool_free(AddressPool *p);
bool address_pool_contains(const AddressPool *p, uint32_t address);
/* False outside the pool, too. */
bool address_pool_is_free(const AddressPool *p, uint32_t address);
/* Outside the pool: nothing happens. */
void address_pool_set(AddressPool *p, uint32_t address, bool taken);
/* Return: false if all are taken. */
bool address_pool_lowest(const AddressPool *p, uint32_t *ret);
