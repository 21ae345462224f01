/* SPDX-License-Identifier: MIT */
/* What the files of the integer interpreter share: operand access, the host's flags, forms.
 *
 * Flags. The guest's operation runs on the host, and LAHF and SETO catch what it did to the flags
 * (AF_* in cpu.h). Where an operation leaves some flags alone or undefined, the guest's flags are
 * loaded first, so that the outcome is the host's in every bit.
 */
#ifndef VZ_CPU_X86_INTERP_H
#define VZ_CPU_X86_INTERP_H

#include "cpu/x86/decode/optable.h"
#include "cpu/x86/insn.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"

/* ---- registers; n is what struct insn holds: an index, or a byte offset for 8 bits ---- */

#define R8(n)  (((guest_u8 *)c->reg)[n])
#define R16(n) (*(guest_u16 *)&c->reg[n])
#define R32(n) ((uint32_t)c->reg[n])
#define R64(n) (c->reg[n])
#define SET_R8(n, v)  (R8(n) = (uint8_t)(v))
#define SET_R16(n, v) (R16(n) = (uint16_t)(v))
#define SET_R32(n, v) (c->reg[n] = (uint32_t)(v))
#define SET_R64(n, v) (c->reg[n] = (v))

/* Byte offsets of the byte registers that opcodes fix. */
enum { REG8_AL = 0, REG8_AH = 1, REG8_CL = 8 };

/* ---- the host's flags; f is a uint16_t in the form of c->af ---- */

#define SFX8  "b"
#define SFX16 "w"
#define SFX32 "l"
#define SFX64 "q"

#define FLAGS_SAVE "\n\tlahf\n\tseto %%al"              /* output "=&a"(f) */
#define FLAGS_LOAD "addb $0x7f, %%al\n\tsahf\n\t"       /* with "+&a"(f), f = c->af before */

/* Carry in, or not: the PRE goes in front of the instruction, the IN behind the inputs. */
#define PLAIN_PRE ""
#define PLAIN_IN
#define CARRY_PRE "btl $8, %[cf]\n\t"
#define CARRY_IN , [cf] "r"((uint32_t)c->af)

/* Is condition cc (low nibble of the Jcc opcode) true? Folds away for a constant cc. */
static always_inline bool cond_true(uint16_t af, unsigned cc)
{
    bool t = false;

    switch (cc >> 1) {
    case 0: t = af & AF_OF; break;
    case 1: t = af & AF_CF; break;
    case 2: t = af & AF_ZF; break;
    case 3: t = af & (AF_CF | AF_ZF); break;
    case 4: t = af & AF_SF; break;
    case 5: t = af & AF_PF; break;
    case 6: t = ((af >> 15) ^ af) & 1; break;
    case 7: t = (((af >> 15) ^ af) & 1) || (af & AF_ZF); break;
    }
    return t != (cc & 1);
}

/* Names of the 16 conditions in encoding order, for tables and function names. */
#define FOR_CONDITIONS(X)                                                                          \
    X(o, 0) X(no, 1) X(b, 2) X(ae, 3) X(e, 4) X(ne, 5) X(be, 6) X(a, 7)                            \
    X(s, 8) X(ns, 9) X(p, 10) X(np, 11) X(l, 12) X(ge, 13) X(le, 14) X(g, 15)

/* ---- memory ---- */

/* Host address of [va, va + size), where the TLB knows that it may be read or written; or NULL. */
static always_inline void *tlb_read_host(struct x86_cpu *c, uint64_t va, unsigned size)
{
    struct tlb_entry *e = tlb_slot(c->tlb, va);

    return likely(e->read == tlb_page(va + size - 1)) ? (void *)(uintptr_t)(va + e->addend) : NULL;
}

static always_inline void *tlb_write_host(struct x86_cpu *c, uint64_t va, unsigned size)
{
    struct tlb_entry *e = tlb_slot(c->tlb, va);

    return likely(e->write == tlb_page(va + size - 1)) ? (void *)(uintptr_t)(va + e->addend) : NULL;
}

/* A value of 1, 2, 4 or 8 bytes in host memory; stores cut the value off. */
static always_inline uint64_t host_load(const void *p, unsigned size)
{
    switch (size) {
    case 1: return *(const guest_u8 *)p;
    case 2: return *(const guest_u16 *)p;
    case 4: return *(const guest_u32 *)p;
    default: return *(const guest_u64 *)p;
    }
}

static always_inline void host_store(void *p, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: *(guest_u8 *)p = (uint8_t)value; break;
    case 2: *(guest_u16 *)p = (uint16_t)value; break;
    case 4: *(guest_u32 *)p = (uint32_t)value; break;
    default: *(guest_u64 *)p = value; break;
    }
}

static always_inline uint64_t cut(uint64_t value, unsigned size)
{
    return size == 8 ? value : value & (BIT(8 * size) - 1);
}

/* mmu_load() and mmu_store() for the current privilege, by the TLB if it can be. */
static always_inline struct loaded load_linear(struct x86_cpu *c, uint64_t va, unsigned size,
                                               bool is_stack)
{
    const void *p = tlb_read_host(c, va, size);

    if (likely(p))
        return (struct loaded){host_load(p, size), true};
    return mmu_load(c, va, size, MMU_CURRENT, is_stack);
}

static always_inline must_check bool store_linear(struct x86_cpu *c, uint64_t va, unsigned size,
                                                  uint64_t value, bool is_stack)
{
    void *p = tlb_write_host(c, va, size);

    if (likely(p)) {
        host_store(p, size, value);
        return true;
    }
    return mmu_store(c, va, size, cut(value, size), MMU_CURRENT, is_stack);
}

/* The two ends of a locked access that the host cannot do in one go (page crossings, pages with
 * code, MMIO): load with the checks of a store while all other vCPUs stand still, then store and
 * let them go. A load that faults lets them go itself. In access.c; entered as insn.h says. */
SLOW_ENTRY struct loaded insn_locked_load_entry(struct x86_cpu *c, const struct insn *i,
                                                uint64_t va, unsigned size);
SLOW_ENTRY struct loaded insn_locked_store_entry(struct x86_cpu *c, const struct insn *i,
                                                 uint64_t va, unsigned size, uint64_t value);

static always_inline struct loaded insn_locked_load(struct x86_cpu *c, const struct insn *i,
                                                    uint64_t va, unsigned size)
{
    return SLOW_CALL(insn_locked_load_entry, c, i, va, size);
}

static always_inline must_check bool insn_locked_store(struct x86_cpu *c, const struct insn *i,
                                                       uint64_t va, unsigned size, uint64_t value)
{
    return SLOW_CALL_VALUE(insn_locked_store_entry, c, i, va, size, value).ok;
}

/* Where the TLB has no write tag: host address for a locked access (ok: it needs no telling), or 0:
 * it has to be done as above; a page fault may be recorded already. */
SLOW_ENTRY struct loaded insn_locked_host_entry(struct x86_cpu *c, const struct insn *i, uint64_t va,
                                                unsigned size);
/* A locked access has been done at this host address, where there may be code. */
SLOW_ENTRY struct loaded insn_locked_tell_entry(struct x86_cpu *c, const struct insn *i,
                                                uint64_t host, unsigned size);

static always_inline struct loaded insn_locked_host(struct x86_cpu *c, const struct insn *i,
                                                    uint64_t va, unsigned size)
{
    return SLOW_CALL(insn_locked_host_entry, c, i, va, size);
}

static always_inline void insn_locked_tell(struct x86_cpu *c, const struct insn *i, uint64_t host,
                                           unsigned size)
{
    (void)SLOW_CALL(insn_locked_tell_entry, c, i, host, size);
}

/* Like RMW_AT of insn.h, atomic towards the other vCPUs: `direct` is an asm with a LOCK prefix. */
#define LOCKED_AT(bits, va, direct, indirect)                                                      \
    do {                                                                                           \
        struct tlb_entry *e_ = tlb_slot(c->tlb, va);                                               \
        struct loaded at_ = {(va) + e_->addend, true};                                             \
        if (unlikely(e_->write != tlb_page((va) + (bits) / 8 - 1)))                                \
            at_ = insn_locked_host(c, i, va, (bits) / 8);                                          \
        if (likely(at_.value)) {                                                                   \
            guest_u##bits *p = (guest_u##bits *)(uintptr_t)at_.value;                              \
            direct;                                                                                \
            if (unlikely(!at_.ok))                                                                 \
                insn_locked_tell(c, i, at_.value, (bits) / 8);                                     \
        } else {                                                                                   \
            struct loaded l_ = insn_locked_load(c, i, va, (bits) / 8);                             \
            uint##bits##_t v = (uint##bits##_t)l_.value;                                           \
            if (unlikely(!l_.ok))                                                                  \
                return;                                                                            \
            indirect;                                                                              \
            if (unlikely(!insn_locked_store(c, i, va, (bits) / 8, v)))                             \
                return;                                                                            \
        }                                                                                          \
    } while (0)

/* The moffs64 form whose address does not fit disp: it is in imm. */
#define INSN_EA_ABS (INSN_EA_ADDR32 | INSN_EA_ADDR16)

/* Linear address of [seg:off] for an access of size bytes, in any mode, with the segment's checks
 * (SDM vol. 3, 5.3 to 5.5). off is already as wide as the address size. ok false: #GP(0) or
 * #SS(0) is recorded and rip set to instruction i. */
static inline struct loaded seg_linear(struct x86_cpu *c, const struct insn *i, unsigned seg,
                                       uint64_t off, unsigned size, bool write)
{
    struct loaded l = segment_linear(c, seg, off, size, write);

    if (unlikely(!l.ok))
        c->rip = insn_rip(c, i);
    return l;
}

/* insn_ea_slow() with a number of bytes added to the offset. */
SLOW_ENTRY struct loaded insn_ea_plus_entry(struct x86_cpu *c, const struct insn *i, uint64_t plus,
                                            unsigned size_and_write);

static always_inline struct loaded insn_ea_slow_plus(struct x86_cpu *c, const struct insn *i,
                                                     uint64_t plus, unsigned size, bool write)
{
    return SLOW_CALL(insn_ea_plus_entry, c, i, plus, size | (unsigned)write << 8);
}

/* ---- the stack ---- */

/* Stack accesses of any mode at offset sp in SS (wrapped to the stack's width; the segment's
 * limit counts). Faults are recorded, rip set. In stack.c; entered as insn.h says. */
SLOW_ENTRY struct loaded stack_load_entry(struct x86_cpu *c, const struct insn *i, uint64_t sp,
                                          unsigned size);
SLOW_ENTRY struct loaded stack_store_entry(struct x86_cpu *c, const struct insn *i, uint64_t sp,
                                           unsigned size, uint64_t value);

static always_inline struct loaded stack_load(struct x86_cpu *c, const struct insn *i, uint64_t sp,
                                              unsigned size)
{
    return SLOW_CALL(stack_load_entry, c, i, sp, size);
}

static always_inline must_check bool stack_store(struct x86_cpu *c, const struct insn *i,
                                                 uint64_t sp, unsigned size, uint64_t value)
{
    return SLOW_CALL_VALUE(stack_store_entry, c, i, sp, size, value).ok;
}

/* The same in 64-bit mode, where offsets are linear addresses: at va, or fault and return. */
#define STACK_LOAD_AT(bits, dst, va)    LOAD_BY(stack_load, bits, dst, va)
#define STACK_STORE_AT(bits, va, value) STORE_BY(stack_store, bits, va, value)
#define PUSH64(bits, value)                                                                        \
    do {                                                                                           \
        uint64_t sp_ = c->reg[X86_RSP] - (bits) / 8;                                               \
        STACK_STORE_AT(bits, sp_, value);                                                          \
        c->reg[X86_RSP] = sp_;                                                                     \
    } while (0)

/* The stack pointer's width in this mode, as a mask, and setting it so. */
static always_inline uint64_t stack_mask(const struct x86_cpu *c)
{
    return in_64bit(c) ? UINT64_MAX : c->stack32 ? UINT32_MAX : UINT16_MAX;
}

static always_inline void stack_set(struct x86_cpu *c, uint64_t sp)
{
    uint64_t mask = stack_mask(c), old = c->reg[X86_RSP];

    /* A 16-bit stack leaves the upper half of ESP alone. */
    c->reg[X86_RSP] = mask == UINT16_MAX ? (old & ~mask) | (sp & mask) : sp & mask;
}

/* ---- forms: where the operands of an instruction are ---- */

enum form {
    FORM_RR, /* rm: destination, reg: source */
    FORM_RM, /* reg: destination */
    FORM_MR, /* reg: source */
    FORM_RI, /* rm: destination */
    FORM_MI,
    FORM_R,  /* rm */
    FORM_M,
    FORM_OTHER,
};

/* What struct insn keeps for a general register operand. */
static inline uint8_t reg_code(const struct x86_operand *o)
{
    return o->size == 1 ? (uint8_t)(o->reg * 8 + o->high_byte) : o->reg;
}

/* Set i->reg and i->rm by the first two operands, and say which form that is. */
enum form insn_form(const struct x86_decoded *d, struct insn *i);

/* 0..3 for operands of 1, 2, 4, 8 bytes. */
static inline unsigned size_index(unsigned bytes)
{
    return bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3;
}

/* ---- families: each sets i->fn for the operations that the table gives it (bind.c) ---- */

insn_bind_fn mov_bind;
insn_bind_fn alu_bind;
insn_bind_fn flow_bind;
insn_bind_fn stack_bind;
insn_bind_fn cond_bind;
insn_bind_fn shift_bind;
insn_bind_fn muldiv_bind;
insn_bind_fn bit_bind;
insn_bind_fn bmi_bind;
insn_bind_fn atomic_bind;
insn_bind_fn string_bind;
insn_bind_fn misc_bind;
insn_bind_fn bcd_bind;

#endif
