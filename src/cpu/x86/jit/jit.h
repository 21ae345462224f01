/* SPDX-License-Identifier: MIT */
/* The JIT: hot blocks of 64-bit code, and of 32-bit code with flat segments, become host code that
 * works on the same blocks, TLBs and caches as the interpreter, and hands over to it for everything
 * it does not do itself.
 *
 * Registers while translated code runs:
 *
 *   rax rcx rdx rbx rbp rsi rdi r8 r9 r13 r14   the guest's registers of the same name
 *   r12                                        the guest's rsp
 *   r15                                        struct x86_cpu, plus CPU_BIAS
 *   r10 r11                                    scratch
 *   rsp                                        the host's stack
 *   EFLAGS                                     the guest's arithmetic flags
 *
 * The guest's r10, r11, r12 and r15 stay in x86_cpu.reg[]. Where arithmetic flags matter across
 * something that clobbers EFLAGS they are in x86_cpu.jit_flags meanwhile. A memory operand becomes:
 * a look into the soft TLB, the page's addend in r11, and the guest's own instruction with that in
 * its operand. Whatever is not plain RAM leaves for the interpreter at that very instruction,
 * before anything of it has happened, so every fault is the interpreter's and exact.
 *
 * A translated block is right at one RIP only (its home_rip), and is entered through its first
 * struct insn, insn_block_entry, or from other translated blocks. One vCPU's code is its own. */
#ifndef VZ_CPU_X86_JIT_H
#define VZ_CPU_X86_JIT_H

#include "cpu/x86/insn.h"

struct block;
struct jit;

/* Forget all code: part of block_cache_empty(). */
void jit_empty(struct x86_cpu *c);
/* It is empty: give its memory back to the host. */
void jit_give_back(struct x86_cpu *c);

/* Is code of the mode of now ever translated? */
static inline bool jit_can_translate(const struct x86_cpu *c)
{
    return in_64bit(c) || (c->flat32 && jit_has(&c->vm->jit, JIT_OPT_NARROW));
}

/* Translate b, whose instructions are bound; sets b->translated. Does nothing when it cannot: then the
 * block stays interpreted. When code memory is full, X86_PENDING_FLUSH is posted. */
void jit_translate(struct x86_cpu *c, struct block *b);

/* May a block for one address be made one for another where the same code is, unless it says `stays`? */
bool jit_may_move(const struct x86_cpu *c, uint64_t from, uint64_t to);

/* Let what is known of b's translation, if it has one, come into the cache: it is to be moved. */
void jit_prefetch(const struct x86_cpu *c, const struct block *b);

/* b, which is translated, has got another home_rip: make its translation one for that. What it is linked
 * with moves likewise, or is looked at first, and it does not run. */
void jit_move(struct x86_cpu *c, const struct block *b);

/* Granules (smc.h) of b's first page that its translation relies on, besides its own bytes. */
uint64_t jit_granules(const struct x86_cpu *c, const struct block *b);

/* b's code has changed: nothing may run it any more. It may be what is running. */
void jit_kill(struct x86_cpu *c, struct block *b);

/* link's target is known now: let translated code jump there directly if both are translated. */
void jit_link(struct x86_cpu *c, struct block_link *link, const struct block *to);

/* Does translated code look at the context of link before it follows it? */
bool jit_looks_first(const struct x86_cpu *c, const struct block_link *link);

/* The target of link is no longer what it was. */
void jit_unlink(struct x86_cpu *c, struct block_link *link);

/* Run translated code from its entry: the last thing an insn_fn does. */
void jit_enter(struct x86_cpu *c, const void *code);

/* The same for b's own, from its beginning on; behind the look for events, as there are none. */
void jit_enter_block(struct x86_cpu *c, const struct block *b);

/* What block_jump.code is for a block that is translated, */
const void *jit_code_of(const struct x86_cpu *c, const struct block *b);
/* and for one that is not. */
const void *jit_interpret_stub(const struct x86_cpu *c);

#endif
