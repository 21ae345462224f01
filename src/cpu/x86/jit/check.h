/* SPDX-License-Identifier: MIT */
/* --jit check: translated code and the interpreter in lockstep, block by block.
 *
 * A stretch of translated code, from where it is entered to where it leaves (for the main loop, or
 * for the interpreter in front of an instruction), runs first and for real. No stretch does
 * anything but compute and access plain RAM; everything else is interpreted, once. Before the first
 * store to a page the page is copied. Then the interpreter does the same instructions from the same
 * state, on the copies; it reaches no device and changes no memory. Afterwards both states must be
 * the same in every register, and RAM the same as the copies: stores that were lost, wrong, or too
 * many are found. Flags that a block need not keep differ legally; the interpreter's are carried
 * along beside them, so that a later block that does use one is found.
 *
 * Other vCPUs stand still meanwhile: with --jit check one runs at a time. Devices cannot be
 * stopped from writing to memory. So what differs is undone and tried again, and is a difference
 * only when that happens three times running; a write far from all of the block's own is taken for
 * a device's and counted. */
#ifndef VZ_CPU_X86_CHECK_H
#define VZ_CPU_X86_CHECK_H

#include "cpu/x86/insn.h"
#include "cpu/x86/mmu.h"

struct block;
struct jit_check;
struct xlat;

int jit_check_create(struct x86_cpu *c) must_check; /* sets c->check; 0 or -ENOMEM */
void jit_check_destroy(struct x86_cpu *c);

/* jit_enter() under check: run b's translation at code, which begins at instruction first. */
void jit_check_enter(struct x86_cpu *c, const struct block *b, unsigned first, const void *code);

/* Called by translated code in front of insn, which is to be interpreted. Returns what is. */
const struct insn *jit_check_hand_over(struct x86_cpu *c, const struct insn *insn);

/* x86_cpu_run() begins and ends; and between two blocks. */
void jit_check_run_begins(struct x86_cpu *c);
void jit_check_run_ends(struct x86_cpu *c);
void jit_check_between_blocks(struct x86_cpu *c);

/* For mmu.c. A write tag is about to be set in e for the page of RAM at host: may it be? */
bool jit_check_tag(struct x86_cpu *c, struct tlb_entry *e, enum mmu_access access, uint8_t *host);
/* A translation was found: while the interpreter does it again, it leads to copies. */
void jit_check_redirect(struct x86_cpu *c, enum mmu_access access, struct xlat *x);

#endif
