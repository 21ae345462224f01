/* SPDX-License-Identifier: MIT */
/* User mode as a call: user_run() goes there with the registers given and comes back with what
 * ended it, an exception, an interrupt or SYSCALL, and the registers as they were then. For programs
 * that judge what user code does on an engine that may run it in quite another way than the kernel's. */
#ifndef VZ_TESTS_GUEST_USER_H
#define VZ_TESTS_GUEST_USER_H

#include "guest.h"

#define USER_CS      0x33
#define USER_CS32    0x23
#define USER_SS      0x2b
#define USER_FLAGS   UINT64_C(0x202)
#define USER_SYSCALL 0x100 /* what user_run() returns for SYSCALL; the frame's rip is behind it */
#define USER_CPUS    4u
#define USER_PORTS   1024u /* that the bitmap in the TSS is about */

struct user_tss {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, iomap;
    uint8_t ports[USER_PORTS / 8 + 1]; /* all ones at first: none is allowed */
} __attribute__((packed));

struct user_cpu {
    uint8_t stack[8192];
    uint64_t kernel_rsp; /* from here on known to user.c's assembly; RSP0 is this one's address */
    uint64_t user_rsp, self;
    struct frame *frame;
    bool sysret; /* enter by SYSRET rather than IRET: RCX and R11 are lost */
    struct user_tss tss;
} __attribute__((aligned(64)));

extern struct user_cpu user_cpus[USER_CPUS];
extern bool has_avx, has_fsgsbase, has_pcid, has_invpcid, has_smep, has_umip;

/* Set this CPU up as a kernel of today does: TSS, SYSCALL, #AC, vector state, FS and GS bases,
 * global pages. index: 0 for the first one. Once; CPU 0 first. */
void user_setup(unsigned index);

/* Interrupts are off in there unless f->rflags has IF. Returns the vector or USER_SYSCALL. */
unsigned user_run(unsigned index, struct frame *f);

/* Ready for user_run() but for what the program wants in registers; stack as for a function. */
struct frame user_frame(const void *rip, void *stack_top);

/* Room that user mode may use, zeroed and mapped one to one: count pages. */
void *user_pages(unsigned count);

/* A generator that both ends of a comparison can repeat. */
uint64_t next_random(uint64_t *seed);

#endif
