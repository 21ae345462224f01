/* SPDX-License-Identifier: MIT */
/* Which blocks may move together (block.c): chains of their places, a cache line for fourteen of them. To walk one does
 * not take the blocks' own memory, which lies all over the arena: whoever needs it can ask for all at once.
 *
 * Zeroed memory is empty, and stays untouched where it is not used. */
#ifndef VZ_CPU_X86_BLOCK_BESIDE_H
#define VZ_CPU_X86_BLOCK_BESIDE_H

#include "base/compiler.h"

#include <stdint.h>

#define BESIDE_BITS  12
#define BESIDE_NODES (64u << 10)
#define BESIDE_ROOM  14u

struct beside_node {
    uint32_t next, count;
    uint32_t place[BESIDE_ROOM];
};

struct beside {
    uint32_t chain[1u << BESIDE_BITS]; /* the first node of each; all behind it are full */
    struct beside_node node[BESIDE_NODES]; /* 0 is none: next is of those that are free again, count the last ever used */
};

_Static_assert(sizeof(struct beside_node) == 64, "a cache line");

void beside_empty(struct beside *b);

/* A place into a chain. Where there are no nodes left it is in none, and moves when it is looked for. */
void beside_add(struct beside *b, uint32_t *chain, uint32_t place);
/* If it is there. */
void beside_remove(struct beside *b, uint32_t *chain, uint32_t place);
/* Take the first node off a chain. False: it is empty. */
bool beside_take(struct beside *b, uint32_t *chain, struct beside_node *ret) must_check;

#endif
