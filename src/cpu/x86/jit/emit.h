/* SPDX-License-Identifier: MIT */
/* Bytes of host instructions. Nothing here knows the guest. SDM vol. 2, chapter 2. */
#ifndef VZ_CPU_X86_EMIT_H
#define VZ_CPU_X86_EMIT_H

#include "base/compiler.h"

/* Code is written at w and runs at w + run_offset. */
struct emit {
    uint8_t *w;
    int64_t run_offset;
};

enum {
    H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI,
    H_R8, H_R9, H_R10, H_R11, H_R12, H_R13, H_R14, H_R15, H_NONE = 255,
};

static inline void emit8(struct emit *e, unsigned v)
{
    *e->w++ = (uint8_t)v;
}

static inline void emit32(struct emit *e, uint32_t v)
{
    __builtin_memcpy(e->w, &v, 4);
    e->w += 4;
}

static inline void emit64(struct emit *e, uint64_t v)
{
    __builtin_memcpy(e->w, &v, 8);
    e->w += 8;
}

static inline uint8_t *emit_here(const struct emit *e)
{
    return e->w + e->run_offset;
}

/* ModRM, SIB and displacement of [base + index << scale + disp]; H_NONE for absent. */
static inline void emit_mem(struct emit *e, unsigned reg, unsigned base, unsigned index,
                            unsigned scale, int32_t disp)
{
    unsigned r = (reg & 7) << 3;

    if (base == H_NONE) {
        emit8(e, r | 4);
        emit8(e, scale << 6 | (index == H_NONE ? 4 : index & 7) << 3 | 5);
        emit32(e, (uint32_t)disp);
        return;
    }
    unsigned mod = disp == 0 && (base & 7) != 5 ? 0 : disp == (int8_t)disp ? 0x40 : 0x80;

    if (index != H_NONE || (base & 7) == 4) {
        emit8(e, mod | r | 4);
        emit8(e, scale << 6 | (index == H_NONE ? 4 : index & 7) << 3 | (base & 7));
    } else {
        emit8(e, mod | r | (base & 7));
    }
    if (mod == 0x40)
        emit8(e, (uint8_t)disp);
    else if (mod == 0x80)
        emit32(e, (uint32_t)disp);
}

static inline void emit_rex_mem(struct emit *e, unsigned w, unsigned reg, unsigned base,
                                unsigned index)
{
    unsigned rex = w << 3 | (reg > 7) << 2 | (index != H_NONE && index > 7) << 1 |
                   (base != H_NONE && base > 7);

    if (rex)
        emit8(e, 0x40 | rex);
}

/* op reg, [base + disp], 64 bits: 0x8b load, 0x89 store, 0x03 add, 0x3b cmp, 0x8d lea. */
static inline void emit_op_rm(struct emit *e, unsigned op, unsigned reg, unsigned base, int32_t disp)
{
    emit_rex_mem(e, 1, reg, base, H_NONE);
    emit8(e, op);
    emit_mem(e, reg, base, H_NONE, 0, disp);
}

static inline void emit_load(struct emit *e, unsigned reg, unsigned base, int32_t disp)
{
    emit_op_rm(e, 0x8b, reg, base, disp);
}

static inline void emit_store(struct emit *e, unsigned reg, unsigned base, int32_t disp)
{
    emit_op_rm(e, 0x89, reg, base, disp);
}

static inline void emit_lea(struct emit *e, unsigned reg, unsigned base, unsigned index,
                            unsigned scale, int32_t disp)
{
    emit_rex_mem(e, 1, reg, base, index);
    emit8(e, 0x8d);
    emit_mem(e, reg, base, index, scale, disp);
}

/* 32 bits: the sum wraps, and the upper half is cleared */
static inline void emit_lea32(struct emit *e, unsigned reg, unsigned base, unsigned index,
                              unsigned scale, int32_t disp)
{
    emit_rex_mem(e, 0, reg, base, index);
    emit8(e, 0x8d);
    emit_mem(e, reg, base, index, scale, disp);
}

/* mov to, from (64 bits) */
static inline void emit_move(struct emit *e, unsigned to, unsigned from)
{
    emit8(e, 0x48 | (from > 7) << 2 | (to > 7));
    emit8(e, 0x89);
    emit8(e, 0xc0 | (from & 7) << 3 | (to & 7));
}

/* mov to, from; wide: 64 bits, else 32 */
static inline void emit_move_sized(struct emit *e, unsigned to, unsigned from, bool wide)
{
    emit8(e, 0x40 | wide << 3 | (from > 7) << 2 | (to > 7));
    emit8(e, 0x89);
    emit8(e, 0xc0 | (from & 7) << 3 | (to & 7));
}

/* mov reg, value, the shortest way; flags stay */
static inline void emit_const(struct emit *e, unsigned reg, uint64_t value)
{
    if (value == (uint32_t)value) {
        if (reg > 7)
            emit8(e, 0x41);
        emit8(e, 0xb8 | (reg & 7));
        emit32(e, (uint32_t)value);
    } else if (value == (uint64_t)(int64_t)(int32_t)value) {
        emit8(e, 0x48 | (reg > 7));
        emit8(e, 0xc7);
        emit8(e, 0xc0 | (reg & 7));
        emit32(e, (uint32_t)value);
    } else {
        emit8(e, 0x48 | (reg > 7));
        emit8(e, 0xb8 | (reg & 7));
        emit64(e, value);
    }
}

static inline void emit_rel32(struct emit *e, const uint8_t *target)
{
    emit32(e, (uint32_t)(int32_t)(target - (emit_here(e) + 4)));
}

/* lea reg, [rip + ...]: the address of what is within 2 GiB of the code */
static inline void emit_lea_rip(struct emit *e, unsigned reg, const void *of)
{
    emit8(e, 0x48 | (reg > 7) << 2);
    emit8(e, 0x8d);
    emit8(e, (reg & 7) << 3 | 5);
    emit_rel32(e, of);
}

static inline void emit_jmp(struct emit *e, const uint8_t *target)
{
    emit8(e, 0xe9);
    emit_rel32(e, target);
}

/* Forward branches: jcc returns where its displacement is, emit_patch() aims it at here. */
static inline uint8_t *emit_jcc_forward(struct emit *e, unsigned cc)
{
    emit8(e, 0x0f);
    emit8(e, 0x80 | cc);
    emit32(e, 0);
    return e->w - 4;
}

static inline void emit_patch(struct emit *e, uint8_t *at)
{
    int32_t rel = (int32_t)(e->w - (at + 4));

    __builtin_memcpy(at, &rel, 4);
}

static inline void emit_jmp_mem(struct emit *e, unsigned base, int32_t disp)
{
    emit_rex_mem(e, 0, 4, base, H_NONE);
    emit8(e, 0xff);
    emit_mem(e, 4, base, H_NONE, 0, disp);
}

/* Arithmetic flags to AX in the form of x86_cpu.af, and back from there; the rest of rax is lost. */
static inline void emit_ax_from_flags(struct emit *e)
{
    emit8(e, 0x9f);                                 /* lahf */
    emit8(e, 0x0f), emit8(e, 0x90), emit8(e, 0xc0); /* seto al */
}

static inline void emit_flags_from_ax(struct emit *e)
{
    emit8(e, 0x04), emit8(e, 0x7f); /* add al, 0x7f: OF */
    emit8(e, 0x9e);                 /* sahf: the others */
}

/* mov [base + disp], ax; movzx eax, word [base + disp]. base is r8 to r15. */
static inline void emit_store_ax(struct emit *e, unsigned base, int32_t disp)
{
    emit8(e, 0x66), emit8(e, 0x41), emit8(e, 0x89);
    emit_mem(e, H_RAX, base, H_NONE, 0, disp);
}

static inline void emit_load_ax(struct emit *e, unsigned base, int32_t disp)
{
    emit8(e, 0x41), emit8(e, 0x0f), emit8(e, 0xb7);
    emit_mem(e, H_RAX, base, H_NONE, 0, disp);
}

static inline void emit_push(struct emit *e, unsigned reg)
{
    if (reg > 7)
        emit8(e, 0x41);
    emit8(e, 0x50 | (reg & 7));
}

static inline void emit_pop(struct emit *e, unsigned reg)
{
    if (reg > 7)
        emit8(e, 0x41);
    emit8(e, 0x58 | (reg & 7));
}

#endif
