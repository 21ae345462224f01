/* SPDX-License-Identifier: MIT */
/* The frame that the kernel puts on a stub's signal stack: the registers stay there while the stub
 * rests. Linux' x86-64 ABI (asm/sigcontext.h, asm/ucontext.h, siginfo). The guest's program can write
 * it, so it is copied first, and then judged; nothing in it says where anything is. */
#ifndef VZ_STUB_STUB_FRAME_H
#define VZ_STUB_STUB_FRAME_H

#include "stub/stub.h"

struct stub_frame {
    uint64_t restorer;
    uint64_t uc_flags, uc_link, stack_at, stack_flags, stack_size;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip,
        rflags;
    uint16_t cs, gs, fs, ss;
    uint64_t error, trap, old_mask, cr2, fpstate, unused[8];
    uint64_t mask;
    int32_t signo, si_errno, code, pad;
    union {
        uint64_t address; /* SIGSEGV */
        struct {
            uint64_t call_address;
            int32_t nr;
            uint32_t arch;
        }; /* SIGSYS */
    };
    uint8_t rest[96];
};

_Static_assert(sizeof(struct stub_frame) == 8 + 304 + 128, "as Linux lays it out");

/* Of the x87 area's reserved bytes: what Linux says of the XSAVE area. */
#define FRAME_XSAVE_MAGIC_AT 464
#define FRAME_XSAVE_MAGIC    UINT32_C(0x46505853)
#define FRAME_XSAVE_FEATURES_AT 472
#define FRAME_XSAVE_SIZE_AT  480

/* How hosts differ. */
struct frame_ways {
    int kick;              /* the signal that is one */
    unsigned icebp_length; /* RIP is behind ICEBP; 0: at it, as under some hypervisors */
};

/* What a hand-over's arguments are. */
enum { FRAME_SIGNAL, FRAME_AT, FRAME_FS_BASE, FRAME_GS_BASE, FRAME_SELECTORS, FRAME_TSC };

/* What happened, and at which registers, from a copy of the frame and the arguments of the hand-over;
 * any values. False: no program can have come there but by forgery. Otherwise addresses are
 * canonical, and selectors and flags are such as a program can have. */
bool frame_read(const struct stub_frame *f, const uint64_t arg[6], const struct frame_ways *ways,
                struct stub_regs *regs, enum stub_event *event, uint64_t *address) must_check;

bool frame_is_canonical(uint64_t address);

/* Flags to enter with, of those that are asked for. */
uint64_t frame_flags(uint64_t rflags);

#endif
