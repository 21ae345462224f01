/* SPDX-License-Identifier: MIT */
/* What block.c (finding, linking, killing) and block_build.c (decoding) share. */
#ifndef VZ_CPU_X86_BLOCK_PRIV_H
#define VZ_CPU_X86_BLOCK_PRIV_H

#include "cpu/x86/block.h"
#include "cpu/x86/jit/jit.h"

/* Decode up to max instructions at rip into b. False: the first one could not be fetched, the
 * fault is recorded. */
bool block_build(struct x86_cpu *c, struct block *b, const uint8_t *host, uint64_t lin, unsigned max);

insn_fn insn_block_entry; /* in front of a block that may be translated */

/* Outside 64-bit mode instructions are fetched within the CS limit. */
static inline bool block_beyond_limit(const struct x86_cpu *c, uint64_t rip)
{
    return !in_64bit(c) && rip > c->seg[X86_CS].limit;
}

#endif
