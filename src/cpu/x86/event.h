/* SPDX-License-Identifier: MIT */
/* Exceptions and interrupts: delivery through IVT and IDT, and what the instructions that change
 * mode share. SDM vol. 3, chapter 6. */
#ifndef VZ_CPU_X86_EVENT_H
#define VZ_CPU_X86_EVENT_H

#include "cpu/x86/cpu.h"

/* Deliver c->fault at c->rip, with double and triple fault rules. False: triple fault, the CPU is
 * in shutdown and shutdown_text says what led to it. */
bool event_deliver_fault(struct x86_cpu *c) must_check;

/* Deliver an external interrupt or the NMI at c->rip. Same result. */
bool event_deliver_interrupt(struct x86_cpu *c, uint8_t vector) must_check;
bool event_deliver_nmi(struct x86_cpu *c) must_check;

/* In x86_cpu.watch_hits: the instruction swallows the single-step trap that TF, set when it began,
 * would cause behind it: SYSCALL when FMASK clears TF, SYSRET when R11 does. */
#define EVENT_NO_STEP_TRAP 0x80u

/* #DB bookkeeping between instructions: a block of one instruction was run with TF set (or a
 * breakpoint armed in DR7); raises what is due. rip is behind the instruction. */
void event_after_single_step(struct x86_cpu *c, bool tf_was_set);

/* Is an instruction breakpoint (DR7) armed for the instruction at the current rip? Raises #DB. */
bool event_check_breakpoint(struct x86_cpu *c);

/* An access, to memory or to ports: are there breakpoints for it (DR7)? Noted for event_after_single_step(). */
void event_watch_memory(struct x86_cpu *c, uint64_t va, unsigned size, bool write);
void event_watch_ports(struct x86_cpu *c, uint16_t port, unsigned size);

/* Any DR7 breakpoint enabled, or TF: blocks must be run one instruction at a time. */
static inline bool event_must_step(const struct x86_cpu *c)
{
    return (c->rflags & X86_FLAG_TF) || (c->dr7 & 0xff);
}

/* Set RFLAGS from value, changing only bits in mask (arithmetic flags too); keeps bit 1. */
void cpu_set_rflags(struct x86_cpu *c, uint64_t value, uint64_t mask);

/* INIT and SIPI. */
void event_init(struct x86_cpu *c);
void event_sipi(struct x86_cpu *c, uint8_t vector);

#endif
