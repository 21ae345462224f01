/* SPDX-License-Identifier: MIT */
/* A decoded instruction as the interpreter runs it, and how one hands over to the next.
 *
 * Each instruction form has one short function, an insn_fn. It does its work and ends with NEXT,
 * which jumps (a sibling call) to the next instruction of the block. It ends with `return` instead,
 * back to the main loop, when it
 *   - raised a fault: INSN_FAULT() has recorded it and set rip to the instruction itself;
 *   - ended the block: it has set rip to where to go on (insn_goto(), insn_goto_indirect(),
 *   insn_end()).
 * Nothing architectural may have changed before a fault is raised.
 *
 * A function must not take the address of a local variable that is alive at NEXT: the compiler
 * would then call rather than jump. That is why slow paths return struct loaded in registers. */
#ifndef VZ_CPU_X86_INSN_H
#define VZ_CPU_X86_INSN_H

#include <stdatomic.h>

#include "cpu/x86/cpu.h"
#include "cpu/x86/decode/decode.h"
#include "cpu/x86/mmu.h"

struct insn;
typedef void insn_fn(struct x86_cpu *c, const struct insn *i);

enum insn_flags {
    INSN_EA_SLOW = 1,  /* address needs insn_ea_slow(): segment limits, 16/32-bit wrap */
    INSN_EA_STACK = 2, /* the segment is SS: faults are #SS, not #GP */
    INSN_EA_ADDR32 = 4, INSN_EA_ADDR16 = 8, /* with EA_SLOW: address size */
    INSN_REP = 16, INSN_REPNE = 32, INSN_LOCK = 64,
    INSN_EA_RIP = 128, /* with EA_SLOW: add the address of the next instruction */
};

struct insn {
    insn_fn *fn;
    uint64_t imm;    /* the immediate, sign-extended to 64 bits; branches: see insn_goto() */
    int32_t disp;    /* RIP-relative: counted from the block's start */
    uint8_t base;    /* index in reg[]; REG_ZERO when absent; REG_BLOCK_RIP for RIP-relative */
    uint8_t index;   /* index in reg[]; REG_ZERO when absent */
    uint8_t scale;   /* log2 */
    uint8_t seg;     /* enum x86_seg of the memory operand */
    uint8_t reg, rm; /* ModRM registers: index in reg[]. Byte operands: byte offset in reg[] */
    uint8_t vreg;    /* VEX.vvvv, or whatever the form needs */
    uint8_t flags;   /* enum insn_flags */
    uint8_t len;     /* bytes */
    uint8_t aux;     /* whatever the form needs: condition, vector size, count */
    uint16_t off;    /* of the instruction's first byte from the block's first */
};

_Static_assert(sizeof(struct insn) == 32, "there are many of them");

/* Where a block may continue, once the block there has been found. */
struct block_link {
    int32_t to;        /* so many bytes behind this is the first instruction of that block; 0: not known */
    uint32_t next;     /* place of the next link to the same block (block.h), and BLOCK_LINK_SECOND */
    uint64_t ctx;      /* valid while equal to code_ctx[half of the target] */
};

#define BLOCK_LINK_SECOND (1u << 31) /* in slot 1 */

/* Behind a block's last instruction. Slot 0 of the links: branch target or fall through; slot 1: not taken. There are as
 * many as the last instruction may follow. If the block crosses into a second page, that is behind the last of them. */
struct block_end {
    uint8_t insns;      /* in the block, for the counters */
    uint8_t count;      /* block.count: the block is that far in front */
    uint8_t links;
    bool fixed;         /* block.fixed, when it was decoded */
    uint32_t page_next; /* of other blocks in its second page (block.h) */
    struct block_link link[];
};

_Static_assert(sizeof(struct block_end) == 8 && sizeof(struct block_link) == 16, "there are many of them");

/* Which of its block_end's links is this? */
static always_inline unsigned block_link_slot(const struct block_link *link)
{
    return link->next / BLOCK_LINK_SECOND;
}

static always_inline struct block_end *block_end_with(const struct block_link *link)
{
    return container_of((struct block_link *)(uintptr_t)link - block_link_slot(link), struct block_end, link[0]);
}

/* First instruction of the block that a link which is known leads to. */
static always_inline const struct insn *block_link_to(const struct block_link *link)
{
    return (const struct insn *)(const void *)((const uint8_t *)link + link->to);
}

/* Where a block that crosses into a second page says which. */
static always_inline const uint8_t **block_second_page(struct block_end *end)
{
    return (const uint8_t **)(void *)&end->link[end->links];
}

/* The front cache of block.h: from RIP to a block without a translation. */
struct block_jump {
    uint64_t rip, ctx; /* valid while ctx is equal to code_ctx[half of rip] */
    const struct insn *to;
    const void *code; /* of the block, or what interprets it (jit.h) */
};

/* Neighbours in the guest are neighbours in there, four bytes a place, of which so many are in use. They double
 * when they are fought for (block.c), up to the most.
 *
 * Programs that take turns run the same code at the same addresses. So that each finds its own, the lower halves of
 * address spaces begin at different places, as far as there are such: x86_cpu.jumps[]. */
#define BLOCK_JUMPS_FIRST (4u << 10)
#define BLOCK_JUMPS_MAX   (64u << 10)
#define BLOCK_JUMP_SHIFT  2
#define BLOCK_JUMP_SPACES 4u
#define BLOCK_JUMP_APART  1026u /* places; code is aligned, to fewer bytes than this many are a multiple of */
#define BLOCK_JUMPS_BEHIND (4u << 10) /* room behind those in use, for what does not begin at the first */

/* x86_cpu.jump_mask for so many places: what of a RIP says which one it is. */
static always_inline uint32_t block_jump_mask(uint32_t places)
{
    return (places - 1) << BLOCK_JUMP_SHIFT;
}

static always_inline struct block_jump *block_jump_slot(struct x86_cpu *c, uint64_t rip)
{
    return &c->jumps[rip >> 63][(rip & c->jump_mask) >> BLOCK_JUMP_SHIFT];
}

/* Sibling calls turn block-to-block jumps into real jumps; without them (debug and sanitizer
 * builds) blocks return to the main loop so that the host's stack does not grow. */
#if defined(__OPTIMIZE__) && !VZ_SANITIZED
#define VZ_TAIL_CALLS 1
#else
#define VZ_TAIL_CALLS 0
#endif

#define NEXT                                                                                       \
    do {                                                                                           \
        (i + 1)->fn(c, i + 1);                                                                     \
        return;                                                                                    \
    } while (0)

#define INSN(name) static void name(struct x86_cpu *c, const struct insn *i)

static always_inline uint64_t insn_rip(const struct x86_cpu *c, const struct insn *i)
{
    return c->reg[REG_BLOCK_RIP] + i->off;
}

/* RIP of the instruction behind i, as wide as the code segment makes it. */
static always_inline uint64_t insn_next_rip(const struct x86_cpu *c, const struct insn *i)
{
    uint64_t rip = c->reg[REG_BLOCK_RIP] + i->off + i->len;

    return c->code_size == X86_CODE_64 ? rip : (uint32_t)rip;
}

/* Record a fault of instruction i. Then return. */
#define INSN_FAULT(vector, has_error, error)                                                       \
    do {                                                                                           \
        c->rip = insn_rip(c, i);                                                                   \
        cpu_raise(c, vector, has_error, error);                                                    \
        return;                                                                                    \
    } while (0)
#define INSN_UD() INSN_FAULT(X86_UD, false, 0)
#define INSN_GP0() INSN_FAULT(X86_GP, true, 0)

static always_inline struct block_end *insn_block_end(const struct insn *i)
{
    return (struct block_end *)(uintptr_t)(i + 1);
}

/* End the block: go on in the main loop behind i, which re-reads mode, events and mappings. For
 * instructions that changed what the following bytes mean. Only in ops that end blocks (attributes
 * BRANCH or SYSTEM), as the next two. */
static always_inline void insn_end(struct x86_cpu *c, const struct insn *i)
{
    c->count.insns_interpreted += insn_block_end(i)->insns;
    c->rip = insn_next_rip(c, i);
}

/* Run the block whose first instruction is to, at rip: the last thing a function does. */
static always_inline void insn_enter(struct x86_cpu *c, const struct insn *to, uint64_t rip)
{
    c->reg[REG_BLOCK_RIP] = rip;
    to->fn(c, to);
}

static always_inline bool insn_may_chain(struct x86_cpu *c)
{
    return VZ_TAIL_CALLS && likely(!atomic_load_explicit(&c->pending, memory_order_relaxed));
}

/* Go on at rip, which depends only on the block's start and the instruction: direct branches.
 * Must be the last thing the function does: `insn_goto(c, i, slot, rip); return;`. rip must have
 * been checked against the CS limit, or for being canonical, and truncated to the operand size. */
static always_inline void insn_goto(struct x86_cpu *c, const struct insn *i, unsigned slot,
                                    uint64_t rip)
{
    struct block_end *end = insn_block_end(i);
    struct block_link *link = &end->link[slot];

    c->count.insns_interpreted += end->insns;
    c->rip = rip;
    if (insn_may_chain(c) && likely(link->ctx == c->code_ctx[rip >> 63])) {
        insn_enter(c, block_link_to(link), rip);
        return;
    }
    c->link = link;
}

/* Go on at rip found at run time (returns, indirect branches); checked and truncated likewise. */
static always_inline void insn_goto_indirect(struct x86_cpu *c, const struct insn *i, uint64_t rip)
{
    struct block_jump *jump = block_jump_slot(c, rip);

    c->count.insns_interpreted += insn_block_end(i)->insns;
    c->rip = rip;
    if (insn_may_chain(c) && likely(jump->rip == rip && jump->ctx == c->code_ctx[rip >> 63]))
        insn_enter(c, jump->to, rip);
}

/* ---- memory operands ---- */

/* The slow halves of memory accesses, in access.c. With GCC they are entered by an asm that tells
 * the compiler of no clobbered register (they save all of them), so that the fast paths around them
 * need no stack frame. Clang saves RDX too, in which half of the result is returned: there they are
 * called as any function. To be entered by SLOW_CALL and SLOW_CALL_VALUE only. */
#ifdef __clang__
#define SLOW_ENTRY cold
#else
#define SLOW_ENTRY __attribute__((no_caller_saved_registers, force_align_arg_pointer, __used__)) cold
#endif

SLOW_ENTRY struct loaded insn_ea_entry(struct x86_cpu *c, const struct insn *i, unsigned size,
                                       bool write);
SLOW_ENTRY struct loaded insn_load_entry(struct x86_cpu *c, const struct insn *i, uint64_t va,
                                         unsigned size);
SLOW_ENTRY struct loaded insn_load_rmw_entry(struct x86_cpu *c, const struct insn *i, uint64_t va,
                                             unsigned size);
SLOW_ENTRY struct loaded insn_store_entry(struct x86_cpu *c, const struct insn *i, uint64_t va,
                                          unsigned size, uint64_t value);

#ifdef __clang__
#define SLOW_CALL(entry, c, i, a, b) entry(c, i, a, b)
#define SLOW_CALL_VALUE(entry, c, i, a, b, value) entry(c, i, a, b, value)
#else
#define SLOW_CALL(entry, c, i, a, b)                                                               \
    ({                                                                                             \
        struct loaded r_;                                                                          \
        __asm__ volatile("call " #entry                                                            \
                         : "=a"(r_.value), "=d"(r_.ok)                                             \
                         : "D"(c), "S"(i), "d"((uint64_t)(a)), "c"((uint64_t)(b))                  \
                         : "memory", "cc");                                                        \
        r_;                                                                                        \
    })
#define SLOW_CALL_VALUE(entry, c, i, a, b, value)                                                  \
    ({                                                                                             \
        register uint64_t value_ __asm__("r8") = (value);                                          \
        struct loaded r_;                                                                          \
        __asm__ volatile("call " #entry                                                            \
                         : "=a"(r_.value), "=d"(r_.ok)                                             \
                         : "D"(c), "S"(i), "d"((uint64_t)(a)), "c"((uint64_t)(b)), "r"(value_)     \
                         : "memory", "cc");                                                        \
        r_;                                                                                        \
    })
#endif

/* Linear address of the memory operand for the rare forms. size: bytes accessed (for the segment
 * limit); write: needs a writable segment. ok false: #GP/#SS recorded, rip set. */
static always_inline struct loaded insn_ea_slow(struct x86_cpu *c, const struct insn *i,
                                                unsigned size, bool write)
{
    return SLOW_CALL(insn_ea_entry, c, i, size, write);
}

/* Full checks at linear address va; ok false: fault recorded, rip set. */
static always_inline struct loaded insn_load_slow(struct x86_cpu *c, const struct insn *i,
                                                  uint64_t va, unsigned size)
{
    return SLOW_CALL(insn_load_entry, c, i, va, size);
}

static always_inline struct loaded insn_load_rmw_slow(struct x86_cpu *c, const struct insn *i,
                                                      uint64_t va, unsigned size)
{
    return SLOW_CALL(insn_load_rmw_entry, c, i, va, size);
}

static always_inline must_check bool insn_store_slow(struct x86_cpu *c, const struct insn *i,
                                                     uint64_t va, unsigned size, uint64_t value)
{
    return SLOW_CALL_VALUE(insn_store_entry, c, i, va, size, value).ok;
}

/* Linear address of offset in a segment, with all checks that the mode has; ok false: #GP or #SS
 * is recorded (error 0), rip is untouched. For string and stack operations too. */
struct loaded segment_linear(struct x86_cpu *c, unsigned seg, uint64_t offset, unsigned size,
                             bool write);

/* Offset part only (LEA), any mode; not truncated to the operand size. */
uint64_t insn_ea_offset(const struct x86_cpu *c, const struct insn *i);

static always_inline uint64_t insn_ea_fast(const struct x86_cpu *c, const struct insn *i)
{
    return c->reg[i->base] + (c->reg[i->index] << i->scale) + (uint64_t)(int64_t)i->disp +
           c->ea_base[i->seg];
}

typedef uint8_t guest_u8 __attribute__((may_alias));
typedef uint16_t guest_u16 __attribute__((may_alias, aligned(1)));
typedef uint32_t guest_u32 __attribute__((may_alias, aligned(1)));
typedef uint64_t guest_u64 __attribute__((may_alias, aligned(1)));

/* Set va (a uint64_t variable) to the operand's linear address, or fault and return. */
#define INSN_EA(va, size, write)                                                                   \
    do {                                                                                           \
        (va) = insn_ea_fast(c, i);                                                                 \
        if (unlikely(i->flags & INSN_EA_SLOW)) {                                                   \
            struct loaded ea_ = insn_ea_slow(c, i, size, write);                                   \
            if (!ea_.ok)                                                                           \
                return;                                                                            \
            (va) = ea_.value;                                                                      \
        }                                                                                          \
    } while (0)

/* dst = the bits-wide value at linear address va, or fault and return. slow: what a TLB miss calls,
 * insn_load_slow() or its like. */
#define LOAD_BY(slow, bits, dst, va)                                                               \
    do {                                                                                           \
        struct tlb_entry *e_ = tlb_slot(c->tlb, va);                                               \
        if (likely(e_->read == tlb_page((va) + (bits) / 8 - 1))) {                                   \
            (dst) = *(const guest_u##bits *)(uintptr_t)((va) + e_->addend);                        \
        } else {                                                                                   \
            struct loaded l_ = slow(c, i, va, (bits) / 8);                                         \
            if (unlikely(!l_.ok))                                                                  \
                return;                                                                            \
            (dst) = (uint##bits##_t)l_.value;                                                      \
        }                                                                                          \
    } while (0)
#define LOAD_AT(bits, dst, va) LOAD_BY(insn_load_slow, bits, dst, va)

/* Store, or fault and return. */
#define STORE_BY(slow, bits, va, value)                                                            \
    do {                                                                                           \
        struct tlb_entry *e_ = tlb_slot(c->tlb, va);                                               \
        if (likely(e_->write == tlb_page((va) + (bits) / 8 - 1)))                                    \
            *(guest_u##bits *)(uintptr_t)((va) + e_->addend) = (uint##bits##_t)(value);            \
        else if (unlikely(!slow(c, i, va, (bits) / 8, (uint##bits##_t)(value))))                   \
            return;                                                                                \
    } while (0)
#define STORE_AT(bits, va, value) STORE_BY(insn_store_slow, bits, va, value)

/* The memory operand as a whole: address, then access. */
#define LOAD(bits, dst)                                                                            \
    do {                                                                                           \
        uint64_t va_;                                                                              \
        INSN_EA(va_, (bits) / 8, false);                                                           \
        LOAD_AT(bits, dst, va_);                                                                   \
    } while (0)
#define STORE(bits, value)                                                                         \
    do {                                                                                           \
        uint64_t va_;                                                                              \
        INSN_EA(va_, (bits) / 8, true);                                                            \
        STORE_AT(bits, va_, value);                                                                \
    } while (0)

/* Read-modify-write. When the page can be written directly, runs `direct` with
 * `guest_uN *p` pointing at guest memory (an asm with a memory operand, LOCKed or not); else runs
 * `indirect`, which turns `uintN_t v` (loaded) into the new v, which is then stored. Flags may be
 * computed in either, but into a local, and written to c->af after the macro: the store cannot
 * fail once the load has succeeded, so writing them inside is fine too. */
#define RMW_AT(bits, va, direct, indirect)                                                         \
    do {                                                                                           \
        struct tlb_entry *e_ = tlb_slot(c->tlb, va);                                               \
        if (likely(e_->write == tlb_page((va) + (bits) / 8 - 1))) {                                  \
            guest_u##bits *p = (guest_u##bits *)(uintptr_t)((va) + e_->addend);                    \
            direct;                                                                                \
        } else {                                                                                   \
            struct loaded l_ = insn_load_rmw_slow(c, i, va, (bits) / 8);                           \
            uint##bits##_t v = (uint##bits##_t)l_.value;                                           \
            if (unlikely(!l_.ok))                                                                  \
                return;                                                                            \
            indirect;                                                                              \
            if (unlikely(!insn_store_slow(c, i, va, (bits) / 8, v)))                               \
                return;                                                                            \
        }                                                                                          \
    } while (0)

/* ---- binding: from the decoder's form to a function ---- */

/* Fill in i->fn and what the form needs for a decoded instruction; everything common (address,
 * registers, imm, len, flags) is filled in already. False: not implemented, becomes #UD. One per
 * family of operations, of which the table of operations names each one's (enum x86_family). */
typedef bool insn_bind_fn(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                          struct insn *i);

insn_bind_fn insn_bind;        /* the entry point: any op (bind.c) */
insn_bind_fn bind_system;      /* system/bind_system.c: control transfers beyond near, segments,
                                  control registers, MSRs, I/O, interrupts */
insn_bind_fn bind_fpu;         /* fpu/: x87, MMX, SSE, AVX, XSAVE family */

/* Raises #UD: what bytes that do not decode are bound to. */
insn_fn insn_undefined;

#endif
