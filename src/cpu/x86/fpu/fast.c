/* SPDX-License-Identifier: MIT */
/* The short ways through: state in the host's registers, nothing that traps, memory operand found
 * in the TLB. Everything else is one jump to fpu_generic(), which does the same from the start. */
#include "cpu/x86/fpu/fpu_exec.h"

#define FPU_INSN(name) void name(struct x86_cpu *c, const struct insn *i)

#define OR_GENERIC(slow)                                                                           \
    do {                                                                                           \
        if (unlikely(slow)) {                                                                      \
            fpu_generic(c, i);                                                                     \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define CHECK_STATE() OR_GENERIC(c->fpu_slow & i->aux)

/* Host address of the operand, bytes long. State first: #UD and #NM come before faults of the
 * address. */
#define HOST_ADDRESS(ptr, kind, bytes, alignment)                                                  \
    const struct tlb_entry *e_;                                                                    \
    uint64_t va_, ptr;                                                                             \
    CHECK_STATE();                                                                                 \
    INSN_EA(va_, bytes, offsetof(struct tlb_entry, kind) == offsetof(struct tlb_entry, write));    \
    e_ = tlb_slot(c->tlb, va_);                                                                    \
    ptr = va_ + e_->addend;                                                                        \
    OR_GENERIC((e_->kind ^ tlb_page(va_ + (bytes) - 1)) | (va_ & ((alignment) - 1)))

FPU_INSN(fpu_fast_reg)
{
    CHECK_STATE();
    __asm__ volatile("call *%0" : : "m"(i->imm) : "cc");
    NEXT;
}

FPU_INSN(fpu_fast_gpr_in)
{
    CHECK_STATE();
    __asm__ volatile("call *%0" : : "m"(i->imm), "c"(c->reg[i->reg]) : "cc");
    NEXT;
}

FPU_INSN(fpu_fast_gpr_out)
{
    uint64_t v;

    CHECK_STATE();
    __asm__ volatile("call *%1" : "=c"(v) : "m"(i->imm) : "cc");
    c->reg[i->reg] = v;
    NEXT;
}

FPU_INSN(fpu_fast_flags)
{
    uint16_t af;

    CHECK_STATE();
    __asm__ volatile("call *%1\n\tlahf\n\tseto %%al" : "=a"(af) : "m"(i->imm) : "cc");
    c->af = af;
    NEXT;
}

#define LOAD_HANDLER(name, bytes, alignment)                                                       \
    FPU_INSN(name)                                                                                 \
    {                                                                                              \
        HOST_ADDRESS(ptr, read, bytes, alignment);                                                 \
        __asm__ volatile("call *%0" : : "m"(i->imm), "a"(ptr) : "cc", "memory");                   \
        NEXT;                                                                                      \
    }

#define STORE_HANDLER(name, bytes, alignment)                                                      \
    FPU_INSN(name)                                                                                 \
    {                                                                                              \
        HOST_ADDRESS(ptr, write, bytes, alignment);                                                \
        __asm__ volatile("call *%0" : : "m"(i->imm), "a"(ptr) : "cc", "memory");                   \
        NEXT;                                                                                      \
    }

#define LOAD_FLAGS_HANDLER(name, bytes)                                                            \
    FPU_INSN(name)                                                                                 \
    {                                                                                              \
        uint16_t af;                                                                               \
        HOST_ADDRESS(ptr, read, bytes, 1);                                                         \
        __asm__ volatile("call *%1\n\tlahf\n\tseto %%al"                                           \
                         : "=a"(af)                                                                \
                         : "m"(i->imm), "0"((uint64_t)ptr)                                         \
                         : "cc", "memory");                                                        \
        c->af = af;                                                                                \
        NEXT;                                                                                      \
    }

LOAD_HANDLER(fpu_fast_load4, 4, 1)
LOAD_HANDLER(fpu_fast_load8, 8, 1)
LOAD_HANDLER(fpu_fast_load16, 16, 1)
LOAD_HANDLER(fpu_fast_load32, 32, 1)
LOAD_HANDLER(fpu_fast_load16_aligned, 16, 16)
LOAD_HANDLER(fpu_fast_load32_aligned, 32, 32)
LOAD_FLAGS_HANDLER(fpu_fast_load4_flags, 4)
LOAD_FLAGS_HANDLER(fpu_fast_load8_flags, 8)
STORE_HANDLER(fpu_fast_store2, 2, 1)
STORE_HANDLER(fpu_fast_store4, 4, 1)
STORE_HANDLER(fpu_fast_store8, 8, 1)
STORE_HANDLER(fpu_fast_store16, 16, 1)
STORE_HANDLER(fpu_fast_store32, 32, 1)
STORE_HANDLER(fpu_fast_store16_aligned, 16, 16)
STORE_HANDLER(fpu_fast_store32_aligned, 32, 32)

/* ---- x87: FIP, FDP and FOP are kept by hand, the host's would show the thunk ---- */

static always_inline void record(struct x86_cpu *c, const struct insn *i)
{
    c->x87_ip = insn_rip(c, i);
    c->x87_op = (uint16_t)(i->imm >> 48);
}

FPU_INSN(fpu_fast_x87)
{
    CHECK_STATE();
    record(c, i);
    __asm__ volatile("call *%0" : : "r"(i->imm & FPU_THUNK_MASK) : "cc");
    NEXT;
}

/* FCOMI and FCMOVcc. */
FPU_INSN(fpu_fast_x87_flags)
{
    uint16_t af = c->af;

    CHECK_STATE();
    record(c, i);
    __asm__ volatile("add $0x7f, %%al\n\t"
                     "sahf\n\t"
                     "call *%1\n\t"
                     "lahf\n\t"
                     "seto %%al"
                     : "+a"(af)
                     : "r"(i->imm & FPU_THUNK_MASK)
                     : "cc");
    c->af = af;
    NEXT;
}

#define X87_MEMORY_HANDLER(name, kind)                                                             \
    FPU_INSN(name)                                                                                 \
    {                                                                                              \
        HOST_ADDRESS(ptr, kind, i->rm, 1);                                                         \
        record(c, i);                                                                              \
        c->x87_dp = va_ - c->ea_base[i->seg];                                                      \
        __asm__ volatile("call *%0"                                                                \
                         :                                                                         \
                         : "r"(i->imm & FPU_THUNK_MASK), "a"(ptr)                                  \
                         : "cc", "memory");                                                        \
        NEXT;                                                                                      \
    }

X87_MEMORY_HANDLER(fpu_fast_x87_load, read)
X87_MEMORY_HANDLER(fpu_fast_x87_store, write)
