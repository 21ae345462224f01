/* SPDX-License-Identifier: MIT */
/* Moves: MOV MOVZX MOVSX MOVSXD LEA BSWAP MOVBE CBW CWD XLAT MOVNTI. */
#include "cpu/x86/interp/interp.h"

#define MOV(bits)                                                                                  \
    INSN(mov##bits##_rr)                                                                           \
    {                                                                                              \
        SET_R##bits(i->rm, R##bits(i->reg));                                                       \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(mov##bits##_rm)                                                                           \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        LOAD(bits, v);                                                                             \
        SET_R##bits(i->reg, v);                                                                    \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(mov##bits##_mr)                                                                           \
    {                                                                                              \
        STORE(bits, R##bits(i->reg));                                                              \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(mov##bits##_ri)                                                                           \
    {                                                                                              \
        SET_R##bits(i->rm, (uint##bits##_t)i->imm);                                                \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(mov##bits##_mi)                                                                           \
    {                                                                                              \
        STORE(bits, i->imm);                                                                       \
        NEXT;                                                                                      \
    }

MOV(8) MOV(16) MOV(32) MOV(64)

/* The commonest addresses of all, [base + disp] in a segment with base 0 in 64-bit mode. */
#define MOV_BASE(bits)                                                                             \
    INSN(mov##bits##_rb)                                                                           \
    {                                                                                              \
        uint64_t va = c->reg[i->base] + (uint64_t)(int64_t)i->disp;                                \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        LOAD_AT(bits, v, va);                                                                      \
        SET_R##bits(i->reg, v);                                                                    \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(mov##bits##_br)                                                                           \
    {                                                                                              \
        uint64_t va = c->reg[i->base] + (uint64_t)(int64_t)i->disp;                                \
                                                                                                   \
        STORE_AT(bits, va, R##bits(i->reg));                                                       \
        NEXT;                                                                                      \
    }

MOV_BASE(32) MOV_BASE(64)

#define FORM_SIZES(form) { mov8_##form, mov16_##form, mov32_##form, mov64_##form }

static insn_fn *const mov_fn[][4] = {
    [FORM_RR] = FORM_SIZES(rr), [FORM_RM] = FORM_SIZES(rm), [FORM_MR] = FORM_SIZES(mr),
    [FORM_RI] = FORM_SIZES(ri), [FORM_MI] = FORM_SIZES(mi),
};

static bool has_plain_base(const struct insn *i)
{
    return !(i->flags & INSN_EA_SLOW) && i->index == REG_ZERO && i->seg < X86_FS;
}

static bool mov_bind_mov(const struct x86_decoded *d, struct insn *i)
{
    enum form form = insn_form(d, i);
    unsigned size = size_index(d->operand[0].size);

    if (form > FORM_MI)
        return false;
    i->fn = mov_fn[form][size];
    if (size >= 2 && has_plain_base(i)) {
        if (form == FORM_RM)
            i->fn = size == 2 ? mov32_rb : mov64_rb;
        else if (form == FORM_MR)
            i->fn = size == 2 ? mov32_br : mov64_br;
    }
    return true;
}

/* Widening: to `bits` from `from` bits, through a signed or unsigned type. */
#define EXTEND(name, bits, from, type)                                                             \
    INSN(name##_rr)                                                                                \
    {                                                                                              \
        SET_R##bits(i->rm, (uint##bits##_t)(type)R##from(i->reg));                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(name##_rm)                                                                                \
    {                                                                                              \
        uint##from##_t v;                                                                          \
                                                                                                   \
        LOAD(from, v);                                                                             \
        SET_R##bits(i->reg, (uint##bits##_t)(type)v);                                              \
        NEXT;                                                                                      \
    }

EXTEND(movzx16_8, 16, 8, uint8_t)
EXTEND(movzx32_8, 32, 8, uint8_t) /* serves 64 bits too */
EXTEND(movzx32_16, 32, 16, uint16_t)
EXTEND(movsx16_8, 16, 8, int8_t)
EXTEND(movsx32_8, 32, 8, int8_t)
EXTEND(movsx64_8, 64, 8, int8_t)
EXTEND(movsx32_16, 32, 16, int16_t)
EXTEND(movsx64_16, 64, 16, int16_t)
EXTEND(movsx64_32, 64, 32, int32_t)

static bool mov_bind_extend(const struct x86_decoded *d, struct insn *i)
{
    enum form form = insn_form(d, i);
    unsigned to = d->operand[0].size, from = d->operand[1].size;
    bool zero = d->op == X86_OP_MOVZX, mem = form == FORM_RM;

    if (form != FORM_RR && form != FORM_RM)
        return false;
#define PICK(name) (mem ? name##_rm : name##_rr)
    if (from >= to) /* MOVSXD without REX.W, MOVZX r16, r/m16 */
        i->fn = mov_fn[form][size_index(to)];
    else if (from == 1 && to == 2)
        i->fn = zero ? PICK(movzx16_8) : PICK(movsx16_8);
    else if (from == 1)
        i->fn = zero ? PICK(movzx32_8) : to == 4 ? PICK(movsx32_8) : PICK(movsx64_8);
    else if (from == 2)
        i->fn = zero ? PICK(movzx32_16) : to == 4 ? PICK(movsx32_16) : PICK(movsx64_16);
    else
        i->fn = PICK(movsx64_32);
#undef PICK
    return true;
}

#define LEA(bits)                                                                                  \
    INSN(lea##bits)                                                                                \
    {                                                                                              \
        SET_R##bits(i->reg, c->reg[i->base] + (c->reg[i->index] << i->scale) +                     \
                                (uint64_t)(int64_t)i->disp);                                       \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(lea##bits##_any)                                                                          \
    {                                                                                              \
        uint64_t ea;                                                                               \
        ea = insn_ea_offset(c, i);                                                                 \
        SET_R##bits(i->reg, ea);                                                                   \
        NEXT;                                                                                      \
    }

LEA(16) LEA(32) LEA(64)

static bool mov_bind_lea(const struct x86_decoded *d, struct insn *i)
{
    static insn_fn *const fn[2][3] = {
        { lea16, lea32, lea64 }, { lea16_any, lea32_any, lea64_any },
    };

    i->reg = d->operand[0].reg;
    i->fn = fn[i->flags & INSN_EA_SLOW ? 1 : 0][size_index(d->operand[0].size) - 1];
    return true;
}

/* BSWAP of a 16-bit register is undefined; the host decides. */
static always_inline uint16_t bswap16_host(uint16_t v)
{
    uint32_t wide = v;

    __asm__(".byte 0x66, 0x0f, 0xc8" : "+a"(wide));
    return (uint16_t)wide;
}

#define BSWAP(bits, HOW)                                                                           \
    INSN(bswap##bits)                                                                              \
    {                                                                                              \
        SET_R##bits(i->rm, HOW(R##bits(i->rm)));                                                   \
        NEXT;                                                                                      \
    }
BSWAP(16, bswap16_host)
BSWAP(32, __builtin_bswap32)
BSWAP(64, __builtin_bswap64)

#define MOVBE(bits)                                                                                \
    INSN(movbe##bits##_rm)                                                                         \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        LOAD(bits, v);                                                                             \
        SET_R##bits(i->reg, __builtin_bswap##bits(v));                                             \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(movbe##bits##_mr)                                                                         \
    {                                                                                              \
        STORE(bits, __builtin_bswap##bits((uint##bits##_t)R##bits(i->reg)));                       \
        NEXT;                                                                                      \
    }
MOVBE(16) MOVBE(32) MOVBE(64)

static bool mov_bind_swapped(const struct x86_decoded *d, struct insn *i)
{
    static insn_fn *const swap[] = { bswap16, bswap32, bswap64 };
    static insn_fn *const load[] = { movbe16_rm, movbe32_rm, movbe64_rm };
    static insn_fn *const store[] = { movbe16_mr, movbe32_mr, movbe64_mr };
    enum form form = insn_form(d, i);
    unsigned size = size_index(d->operand[0].size) - 1;

    i->fn = form == FORM_R ? swap[size] : form == FORM_RM ? load[size] : store[size];
    return true;
}

/* CBW CWDE CDQE: the lower half of rAX into all of it; CWD CDQ CQO: its sign into rDX. */
#define WIDEN(bits, half)                                                                          \
    INSN(cbw##bits)                                                                                \
    {                                                                                              \
        SET_R##bits(X86_RAX, (uint##bits##_t)(int##half##_t)R##half(X86_RAX));                     \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(cwd##bits)                                                                                \
    {                                                                                              \
        SET_R##bits(X86_RDX, (uint##bits##_t)((int##bits##_t)R##bits(X86_RAX) >> (bits - 1)));     \
        NEXT;                                                                                      \
    }
WIDEN(16, 8) WIDEN(32, 16) WIDEN(64, 32)

INSN(xlat)
{
    uint64_t off, va;
    uint8_t v;

    off = c->reg[X86_RBX] + R8(REG8_AL);
    off = i->aux == 8 ? off : i->aux == 4 ? (uint32_t)off : (uint16_t)off;
    {
        struct loaded l = seg_linear(c, i, i->seg, off, 1, false);

        if (!l.ok)
            return;
        va = l.value;
    }
    LOAD_AT(8, v, va);
    SET_R8(REG8_AL, v);
    NEXT;
}

bool mov_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
              struct insn *i)
{
    static insn_fn *const cbw[] = { cbw16, cbw32, cbw64 };
    static insn_fn *const cwd[] = { cwd16, cwd32, cwd64 };

    switch (d->op) {
    case X86_OP_MOV: case X86_OP_MOVNTI:
        return mov_bind_mov(d, i);
    case X86_OP_MOVZX: case X86_OP_MOVSX: case X86_OP_MOVSXD:
        return mov_bind_extend(d, i);
    case X86_OP_LEA:
        return mov_bind_lea(d, i);
    case X86_OP_BSWAP: case X86_OP_MOVBE:
        return mov_bind_swapped(d, i);
    case X86_OP_CBW:
        i->fn = cbw[size_index(d->osize) - 1];
        return true;
    case X86_OP_CWD:
        i->fn = cwd[size_index(d->osize) - 1];
        return true;
    case X86_OP_XLAT:
        i->aux = d->asize;
        i->flags &= (uint8_t)~INSN_EA_STACK;
        i->flags |= d->seg == X86_SS ? INSN_EA_STACK : 0;
        i->fn = xlat;
        return true;
    default:
        return false;
    }
}
