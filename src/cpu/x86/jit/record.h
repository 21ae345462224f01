/* SPDX-License-Identifier: MIT */
/* --jit record: what is translated, written to a file, so that two versions of the translator can
 * be given the same blocks and what they make of them be compared (tests/oracle/translate.c). */
#ifndef VZ_CPU_X86_RECORD_H
#define VZ_CPU_X86_RECORD_H

#include "cpu/x86/block.h"

/* A block and all that its translation looks at: liveness of flags reads on in its page. */
struct jit_record {
    uint64_t rip;
    uint8_t code_size;              /* enum x86_code_size */
    uint8_t insns;
    uint8_t crosses;                /* the last instruction reaches into another page, */
    uint8_t pad[5];
    uint8_t second[X86_INSN_MAX + 1]; /* which begins so */
    uint8_t page[MEM_PAGE_SIZE];
};

int jit_record_open(void);          /* a descriptor, or -1 */

/* b has just been translated. */
void jit_record_block(struct x86_cpu *c, const struct block *b);

#endif
