/* SPDX-License-Identifier: MIT */
/* Integer instructions that are not just copied with other registers: VEX-encoded ones, divisions,
 * and string instructions. */
#include "cpu/x86/jit/translate.h"

/* The host register for guest register g, which is loaded into scratch if need be. */
static unsigned source(struct translation *t, unsigned g, unsigned scratch)
{
    if (!jit_in_memory(g))
        return jit_host_reg(g);
    emit_load(&t->e, scratch, H_R15, REG_OFF(g));
    return scratch;
}

static unsigned destination(unsigned g, unsigned scratch)
{
    return jit_in_memory(g) ? scratch : jit_host_reg(g);
}

static void put_back(struct translation *t, unsigned g, unsigned h)
{
    if (jit_in_memory(g))
        emit_store(&t->e, h, H_R15, REG_OFF(g));
}

/* ---- BMI1 and BMI2 ---- */

/* VEX.pp, which is the last byte before the opcode in both forms of the prefix. */
static unsigned vex_pp(const struct translation *t, unsigned n)
{
    return t->bytes[t->b->insn[n + 1].off + t->d[n].opcode_off - 1] & 3;
}

/* r10 may be the base of the operand or a source, and then is free for a result; r11 is VEX.vvvv. */
static bool op_vex(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    bool unary = d->op == X86_OP_BLSR || d->op == X86_OP_BLSI || d->op == X86_OP_BLSMSK;
    bool mulx = d->op == X86_OP_MULX, rorx = d->op == X86_OP_RORX;
    struct place p = {.base = H_NONE, .index = H_NONE};
    unsigned reg = d->reg & 7, vvvv = d->vvvv, rm = 0;

    if (d->vex_l || (d->has_mem && !jit_address_is_plain(t, d)))
        return false;
    if (d->has_mem) {
        struct address a = jit_operand_address(t, n);

        p = jit_look_up(t, n, &a, d->osize, MMU_READ, 0);
        if (p.index == H_R11 || p.base == H_R11)
            jit_fold(t, &p);
    }
    jit_flags_op(t, n, d->has_mem ? p.spare : H_R11);
    if (!d->has_mem)
        rm = source(t, d->rm, H_R10);
    if (unary || mulx)
        vvvv = destination(d->vvvv, H_R11);
    else if (!rorx)
        vvvv = source(t, d->vvvv, H_R11);
    if (!unary)
        reg = destination(d->reg, H_R10);
    if (mulx && d->reg == d->vvvv)
        vvvv = reg; /* the upper half wins */
    emit_vex(&t->e, d->map, vex_pp(t, n), d->rex_w, d->opcode, reg, vvvv,
             d->has_mem ? p.base : rm, p.index);
    if (d->has_mem)
        emit_modrm(&t->e, reg, place_mem(&p));
    else
        emit_modrm_reg(&t->e, reg, rm);
    if (rorx)
        emit8(&t->e, (unsigned)d->imm & 0xff);
    if (unary || (mulx && d->reg != d->vvvv))
        put_back(t, d->vvvv, vvvv);
    if (!unary)
        put_back(t, d->reg, reg);
    return true;
}

/* ---- MOVBE ---- */

/* As MOV and BSWAP: the host need not have it. */
static bool op_movbe(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    enum emit_width w = emit_width(d->osize == 8);
    bool store = d->opcode == 0xf1;
    struct address a;
    struct place p;
    unsigned h;

    if (d->osize < 4 || !jit_address_is_plain(t, d))
        return false;
    a = jit_operand_address(t, n);
    p = jit_look_up(t, n, &a, d->osize, store ? MMU_WRITE : MMU_READ, 0);
    if (!store) {
        h = destination(d->reg, H_R10);
        emit_rm(&t->e, XO_MOV, w, h, place_mem(&p));
        emit_bswap(&t->e, h, w);
        put_back(t, d->reg, h);
        return true;
    }
    if (p.spare == H_NONE)
        jit_fold(t, &p);
    if (jit_in_memory(d->reg))
        emit_load(&t->e, p.spare, H_R15, REG_OFF(d->reg));
    else
        emit_move(&t->e, p.spare, jit_host_reg(d->reg));
    emit_bswap(&t->e, p.spare, w);
    emit_rm(&t->e, XO_MOV_M, w, p.spare, place_mem(&p));
    return true;
}

/* ---- division ---- */

/* Only what cannot raise #DE is done here: of DIV, what has a quotient that fits; of IDIV,
 * dividends that are no longer than the divisor, divided by neither 0 nor -1. */
static bool op_divide(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    enum emit_width w = emit_width(d->osize == 8);
    struct emit *e = &t->e;
    unsigned h;

    if (d->opcode != 0xf7 || d->osize < 4 || (d->has_mem && !jit_address_is_plain(t, d)))
        return false;
    if (d->has_mem) {
        struct address a = jit_operand_address(t, n);
        struct place p = jit_look_up(t, n, &a, d->osize, MMU_READ, 0);

        emit_rm(e, XO_MOV, w, H_R10, place_mem(&p));
        h = H_R10;
    } else {
        h = source(t, d->rm, H_R10);
    }
    jit_flags_spare(t, n);
    if (d->op == X86_OP_DIV) {
        emit_rr(e, XO_CMP_M, w, h, H_RDX);
        jit_detour_if(t, n, CC_AE);
    } else {
        emit_lea(e, H_R11, h, H_NONE, 0, 1);
        emit_ri(e, XO_CMP_I8, w, H_R11, 1);
        jit_detour_if(t, n, CC_BE);
        emit_move_sized(e, H_R11, H_RAX, w);
        emit_ri(e, XO_SAR_I8, w, H_R11, w == W64 ? 63 : 31);
        emit_rr(e, XO_CMP_M, w, H_R11, H_RDX);
        jit_detour_if(t, n, CC_NE);
    }
    jit_flags_op(t, n, H_NONE);
    emit_rr(e, d->op == X86_OP_DIV ? XO_DIV : XO_IDIV, w,
            emit_digit(d->op == X86_OP_DIV ? XO_DIV : XO_IDIV), h);
    return true;
}

/* ---- REP MOVS and REP STOS ---- */

/* r11 = the addend for the bytes from `first`, rcx << shift of them, if they lie in one page; else
 * the interpreter does it. Flags and r10 are clobbered. */
static void look_up_run(struct translation *t, unsigned n, unsigned first, unsigned shift,
                        enum mmu_access access)
{
    struct host_mem table = t->upper ? CPU(jit_addend) : jit_table(false);
    uint8_t *half;

    if (t->upper) { /* either may be the user's */
        emit_move(&t->e, H_R11, first);
        emit_ri(&t->e, XO_SHR_I8, W64, H_R11, 63);
        emit_rm(&t->e, XO_MOV, W64, H_R11, host_mem_indexed(H_R15, H_R11, 3, CPU_OFF(tlb)));
        emit_store(&t->e, H_R11, H_R15, CPU_OFF(jit_addend));
    }
    emit_lea(&t->e, H_R10, first, H_RCX, shift, -1);
    emit_move(&t->e, H_R11, first);
    jit_detour_at(t, n, jit_emit_look_up(&t->e, table, access, 0, &half));
}

/* By the host's own instruction, between host addresses; with no more than a page to do it is soon
 * over. A count of 0 passes or is interpreted. */
static bool op_string(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    unsigned size = d->opcode & 1 ? d->osize : 1, shift = (unsigned)__builtin_ctz(size);
    bool movs = d->op == X86_OP_MOVS;
    struct emit *e = &t->e;

    if (!(d->prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE)) || t->narrow || d->asize != 8 ||
        (movs && d->seg >= X86_FS) || !translation_has(t, JIT_OPT_STRING))
        return false;
    jit_flags_spare(t, n);
    emit_mi(e, XO_TEST8_I, W32, CPU_BEHIND(rflags, 1), X86_FLAG_DF >> 8);
    jit_detour_if(t, n, CC_NE);
    emit_ri(e, XO_CMP_I, W64, H_RCX, MEM_PAGE_SIZE);
    jit_detour_if(t, n, CC_A);
    if (movs) {
        look_up_run(t, n, H_RSI, shift, MMU_READ);
        emit_store(e, H_R11, H_R15, CPU_OFF(jit_word));
    }
    look_up_run(t, n, H_RDI, shift, MMU_WRITE);
    if (movs)
        emit_rm(e, XO_ADD, W64, H_RSI, CPU(jit_word));
    emit_rr(e, XO_ADD_M, W64, H_R11, H_RDI);
    emit_rep(e, movs ? XO_MOVS8 : XO_STOS8, size);
    emit_rr(e, XO_SUB_M, W64, H_R11, H_RDI);
    if (movs)
        emit_rm(e, XO_SUB, W64, H_RSI, CPU(jit_word));
    return true;
}

/* ---- strings of bits ---- */

/* BT, BTS, BTR and BTC of a bit anywhere behind or before the operand: of the word it is in, if that lies
 * in one page; else the interpreter does it. */
static bool op_bit_string(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    struct emit *e = &t->e;
    struct address a;
    uint8_t *half;

    if (!d->has_mem || !(d->info->attr & X86_ATTR_BIT_STRING) || d->osize != 8 || t->narrow ||
        d->operand[1].kind != X86_OPERAND_GPR || !jit_address_is_plain(t, d) ||
        !translation_has(t, JIT_OPT_MEMORY) || !translation_has(t, JIT_OPT_STRING))
        return false;
    a = jit_operand_address(t, n);
    jit_flags_spare(t, n);
    jit_address(t, &a);
    emit_move(e, H_R11, source(t, d->reg, H_R11));
    emit_ri(e, XO_SAR_I8, W64, H_R11, 6);
    emit_lea(e, H_R11, H_R10, H_R11, 3, 0);
    emit_store(e, H_R11, H_R15, CPU_OFF(jit_word));
    emit_lea(e, H_R10, H_R11, H_NONE, 0, 7);
    jit_detour_at(t, n, jit_emit_look_up(e, jit_table(t->upper),
                                         d->op == X86_OP_BT ? MMU_READ : MMU_WRITE, 0, &half));
    emit_rm(e, XO_ADD, W64, H_R11, CPU(jit_word));
    emit_move(e, H_R10, source(t, d->reg, H_R10));
    emit_ri(e, XO_AND_I8, W32, H_R10, 63);
    jit_flags_op(t, n, H_NONE);
    if (d->prefixes & X86_PREFIX_LOCK)
        emit8(e, PREFIX_LOCK);
    emit_rm(e, OP2(d->opcode), W64, H_R10, host_mem(H_R11, 0));
    return true;
}

/* ---- CMPXCHG8B and CMPXCHG16B ---- */

static bool op_cmpxchg_pair(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    bool wide = d->op == X86_OP_CMPXCHG16B;
    struct address a;
    struct place p;

    if (!jit_address_is_plain(t, d))
        return false;
    a = jit_operand_address(t, n);
    p = jit_look_up(t, n, &a, wide ? 16 : 8, MMU_WRITE, wide ? 16 : 0);
    jit_flags_op(t, n, p.spare);
    if (d->prefixes & X86_PREFIX_LOCK)
        emit8(&t->e, PREFIX_LOCK);
    emit_m(&t->e, XO_CMPXCHG8B, emit_width(wide), place_mem(&p)); /* or CMPXCHG16B */
    return true;
}

bool jit_op_integer(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];

    if (d->prefixes & X86_PREFIX_VEX)
        return translation_has(t, JIT_OPT_BMI) && op_vex(t, n);
    switch (d->op) {
    case X86_OP_MOVBE:
        return op_movbe(t, n);
    case X86_OP_DIV: case X86_OP_IDIV:
        return translation_has(t, JIT_OPT_DIVIDE) && op_divide(t, n);
    case X86_OP_MOVS: case X86_OP_STOS:
        return op_string(t, n);
    case X86_OP_BT: case X86_OP_BTS: case X86_OP_BTR: case X86_OP_BTC:
        return op_bit_string(t, n);
    case X86_OP_CMPXCHG8B: case X86_OP_CMPXCHG16B:
        return op_cmpxchg_pair(t, n);
    case X86_OP_PAUSE:
        if (t->c->smm)
            return false; /* smm_pause() */
        emit_pause(&t->e);
        return true;
    case X86_OP_LFENCE: case X86_OP_MFENCE: case X86_OP_SFENCE:
        emit_r(&t->e, d->op == X86_OP_LFENCE ? XO_LFENCE :
                      d->op == X86_OP_MFENCE ? XO_MFENCE : XO_SFENCE, W32, 0);
        return true;
    default:
        return false;
    }
}
