/* SPDX-License-Identifier: MIT */
/* Integer instructions that are not just copied with other registers: VEX-encoded ones, divisions,
 * string instructions, and what touches the flags beyond the arithmetic ones. */
#include "cpu/x86/jit/translate.h"

#define CC_AE 3
#define CC_NE 5
#define CC_BE 6
#define CC_A  7

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

/* op reg, rm (registers), 32 or 64 bits wide */
static void emit_rr(struct emit *e, unsigned op, unsigned reg, unsigned rm, bool wide)
{
    emit8(e, 0x40 | wide << 3 | (reg > 7) << 2 | (rm > 7));
    emit8(e, op);
    emit8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* ---- BMI1 and BMI2 ---- */

static bool is_vex(const struct x86_decoded *d)
{
    switch (d->op) {
    case X86_OP_ANDN: case X86_OP_BZHI: case X86_OP_BEXTR: case X86_OP_PEXT: case X86_OP_PDEP:
    case X86_OP_SARX: case X86_OP_SHLX: case X86_OP_SHRX: case X86_OP_RORX: case X86_OP_MULX:
    case X86_OP_BLSR: case X86_OP_BLSI: case X86_OP_BLSMSK:
        return true;
    default:
        return false;
    }
}

/* The prefix, in its long form, and the opcode. pp is the guest's. */
static void emit_vex(struct translation *t, unsigned n, unsigned reg, unsigned vvvv, unsigned base,
                     unsigned index)
{
    const struct x86_decoded *d = &t->d[n];
    const uint8_t *bytes = t->bytes + t->b->insn[n + 1].off;
    unsigned x = index != H_NONE && index > 7;

    emit8(&t->e, 0xc4);
    emit8(&t->e, (reg < 8) << 7 | !x << 6 | (base < 8) << 5 | d->map);
    emit8(&t->e, (unsigned)d->rex_w << 7 | (~vvvv & 15) << 3 | (bytes[d->opcode_off - 1] & 3));
    emit8(&t->e, d->opcode);
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
    emit_vex(t, n, reg, vvvv, d->has_mem ? p.base : rm, p.index);
    if (d->has_mem)
        emit_mem(&t->e, reg, p.base, p.index, p.scale, p.disp);
    else
        emit8(&t->e, 0xc0 | (reg & 7) << 3 | (rm & 7));
    if (rorx)
        emit8(&t->e, (unsigned)d->imm & 0xff);
    if (unary || (mulx && d->reg != d->vvvv))
        put_back(t, d->vvvv, vvvv);
    if (!unary)
        put_back(t, d->reg, reg);
    return true;
}

/* ---- MOVBE ---- */

static void emit_bswap(struct emit *e, unsigned reg, bool wide)
{
    emit8(e, 0x40 | wide << 3 | (reg > 7));
    emit8(e, 0x0f);
    emit8(e, 0xc8 | (reg & 7));
}

static void emit_mov_at(struct emit *e, unsigned op, unsigned reg, const struct place *p, bool wide)
{
    emit_rex_mem(e, wide, reg, p->base, p->index);
    emit8(e, op);
    emit_mem(e, reg, p->base, p->index, p->scale, p->disp);
}

/* As MOV and BSWAP: the host need not have it. */
static bool op_movbe(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    bool store = d->opcode == 0xf1, wide = d->osize == 8;
    struct address a;
    struct place p;
    unsigned h;

    if (d->osize < 4 || !jit_address_is_plain(t, d))
        return false;
    a = jit_operand_address(t, n);
    p = jit_look_up(t, n, &a, d->osize, store ? MMU_WRITE : MMU_READ, 0);
    if (!store) {
        h = destination(d->reg, H_R10);
        emit_mov_at(&t->e, 0x8b, h, &p, wide);
        emit_bswap(&t->e, h, wide);
        put_back(t, d->reg, h);
        return true;
    }
    if (p.spare == H_NONE)
        jit_fold(t, &p);
    if (jit_in_memory(d->reg))
        emit_load(&t->e, p.spare, H_R15, REG_OFF(d->reg));
    else
        emit_move(&t->e, p.spare, jit_host_reg(d->reg));
    emit_bswap(&t->e, p.spare, wide);
    emit_mov_at(&t->e, 0x89, p.spare, &p, wide);
    return true;
}

/* ---- division ---- */

/* Only what cannot raise #DE is done here: of DIV, what has a quotient that fits; of IDIV,
 * dividends that are no longer than the divisor, divided by neither 0 nor -1. */
static bool op_divide(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    bool wide = d->osize == 8;
    struct emit *e = &t->e;
    unsigned h;

    if (d->opcode != 0xf7 || d->osize < 4 || (d->has_mem && !jit_address_is_plain(t, d)))
        return false;
    if (d->has_mem) {
        struct address a = jit_operand_address(t, n);
        struct place p = jit_look_up(t, n, &a, d->osize, MMU_READ, 0);

        emit_mov_at(e, 0x8b, H_R10, &p, wide);
        h = H_R10;
    } else {
        h = source(t, d->rm, H_R10);
    }
    jit_flags_spare(t, n);
    if (d->op == X86_OP_DIV) {
        emit_rr(e, 0x39, h, H_RDX, wide); /* cmp rdx, h */
        jit_detour_if(t, n, CC_AE);
    } else {
        emit_lea(e, H_R11, h, H_NONE, 0, 1);
        emit8(e, 0x41 | (wide << 3)), emit8(e, 0x83), emit8(e, 0xfb), emit8(e, 1); /* cmp r11, 1 */
        jit_detour_if(t, n, CC_BE);
        emit_move_sized(e, H_R11, H_RAX, wide);
        emit8(e, 0x41 | (wide << 3)), emit8(e, 0xc1), emit8(e, 0xfb); /* sar r11, */
        emit8(e, wide ? 63 : 31);
        emit_rr(e, 0x39, H_R11, H_RDX, wide); /* cmp rdx, r11 */
        jit_detour_if(t, n, CC_NE);
    }
    jit_flags_op(t, n, H_NONE);
    emit_rr(e, 0xf7, d->op == X86_OP_DIV ? 6 : 7, h, wide);
    return true;
}

/* ---- REP MOVS and REP STOS ---- */

/* r11 = the addend for the bytes from `first`, rcx << shift of them, if they lie in one page; else
 * the interpreter does it. Flags and r10 are clobbered. */
static void look_up_run(struct translation *t, unsigned n, unsigned first, unsigned shift,
                        enum mmu_access access)
{
    emit_lea(&t->e, H_R10, first, H_RCX, shift, -1);
    emit_move(&t->e, H_R11, first);
    jit_detour_at(t, n, jit_emit_look_up(&t->e, t->upper, access, 0));
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
    emit8(e, 0x41), emit8(e, 0xf6); /* test byte [r15 + rflags + 1], DF */
    emit_mem(e, 0, H_R15, H_NONE, 0, CPU_OFF(rflags) + 1);
    emit8(e, X86_FLAG_DF >> 8);
    jit_detour_if(t, n, CC_NE);
    emit8(e, 0x48), emit8(e, 0x81), emit8(e, 0xf9), emit32(e, MEM_PAGE_SIZE); /* cmp rcx, */
    jit_detour_if(t, n, CC_A);
    if (movs) {
        look_up_run(t, n, H_RSI, shift, MMU_READ);
        emit_store(e, H_R11, H_R15, CPU_OFF(jit_word));
    }
    look_up_run(t, n, H_RDI, shift, MMU_WRITE);
    if (movs) {
        emit_op_rm(e, 0x03, H_RSI, H_R15, CPU_OFF(jit_word)); /* add */
    }
    emit_rr(e, 0x01, H_R11, H_RDI, true); /* add rdi, r11 */
    if (size == 2)
        emit8(e, 0x66);
    emit8(e, 0xf3);
    if (size == 8)
        emit8(e, 0x48);
    emit8(e, (movs ? 0xa4 : 0xaa) | (size > 1));
    emit_rr(e, 0x29, H_R11, H_RDI, true); /* sub rdi, r11 */
    if (movs)
        emit_op_rm(e, 0x2b, H_RSI, H_R15, CPU_OFF(jit_word));
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
        emit8(&t->e, 0xf0);
    emit_rex_mem(&t->e, wide, 0, p.base, p.index);
    emit8(&t->e, 0x0f), emit8(&t->e, 0xc7);
    emit_mem(&t->e, 1, p.base, p.index, p.scale, p.disp);
    return true;
}

/* ---- the system's part ---- */

/* The selector, zero-extended whatever the operand size; 16-bit results leave the rest. REX.R does
 * not count. */
static bool op_mov_from_seg(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    unsigned h = destination(d->rm, H_R10);
    struct emit *e = &t->e;

    if (d->has_mem || d->osize < 4)
        return false;
    emit_rex_mem(e, 0, h, H_R15, H_NONE);
    emit8(e, 0x0f), emit8(e, 0xb7); /* movzx h, word */
    emit_mem(e, h, H_R15, H_NONE, 0,
             CPU_OFF(seg) + (int32_t)((d->reg & 7) * sizeof(struct x86_segment) +
                                      offsetof(struct x86_segment, selector)));
    put_back(t, d->rm, h);
    return true;
}

/* op byte [r15 + off], imm; op is the opcode extension */
static void emit_byte_op(struct emit *e, unsigned op, int32_t off, unsigned imm)
{
    emit8(e, 0x41), emit8(e, 0x80);
    emit_mem(e, op, H_R15, H_NONE, 0, off);
    emit8(e, imm);
}

enum { OP_OR = 1, OP_AND = 4, OP_CMP = 7 };

#define RFLAGS_BYTE_1 (CPU_OFF(rflags) + 1)

/* For the kernel only. Blocks end behind them, as the interpreter wants it. check.h does not
 * compare IF, so there they are interpreted. */
static bool op_cli_sti(struct translation *t, unsigned n)
{
    struct emit *e = &t->e;

    if (t->narrow || t->c->check || t->c->vm->embedded || !translation_has(t, JIT_OPT_IF))
        return false;
    jit_flags_spare(t, n);
    emit_byte_op(e, OP_CMP, CPU_OFF(cpl), 0);
    jit_bail_if(t, n, CC_NE);
    if (t->d[n].op == X86_OP_CLI) {
        emit_byte_op(e, OP_AND, RFLAGS_BYTE_1, ~(X86_FLAG_IF >> 8) & 0xff);
    } else {
        /* Nothing that waits for IF may be pending. What comes now waits for one more instruction:
         * the exit leads forward, so that there is no look for events, or to the main loop, which
         * knows the shadow; it may see it later than that, and then waits for an instruction too. */
        emit_byte_op(e, OP_CMP, CPU_OFF(intr_held), 0);
        jit_bail_if(t, n, CC_NE);
        emit8(e, 0x41), emit8(e, 0x83); /* cmp dword [r15 + pending], 0 */
        emit_mem(e, OP_CMP, H_R15, H_NONE, 0, CPU_OFF(pending));
        emit8(e, 0);
        jit_bail_if(t, n, CC_NE);
        emit_byte_op(e, OP_OR, RFLAGS_BYTE_1, X86_FLAG_IF >> 8);
        emit8(e, 0x41), emit8(e, 0xc6); /* mov byte [r15 + sti_shadow], 1 */
        emit_mem(e, 0, H_R15, H_NONE, 0, CPU_OFF(sti_shadow));
        emit8(e, 1);
    }
    jit_exit_to(t, 0, insn_behind(t, n), -1);
    t->ended = true;
    return true;
}

/* All arithmetic flags are wanted, so the look-up has kept them in jit_flags: all but OF in its
 * upper byte, OF in bit 0. */
static bool op_pushf(struct translation *t, unsigned n)
{
    struct address a = jit_stack_address(t, -8);
    struct emit *e = &t->e;
    struct place p;

    if (t->narrow || t->d[n].osize != 8 || !translation_has(t, JIT_OPT_IF))
        return false;
    p = jit_look_up(t, n, &a, 8, MMU_WRITE, 0); /* r10 is spare */
    emit8(e, 0x45), emit8(e, 0x0f), emit8(e, 0xb6); /* movzx r10d, byte [r15 + jit_flags + 1] */
    emit_mem(e, H_R10, H_R15, H_NONE, 0, CPU_OFF(jit_flags) + 1);
    emit8(e, 0x41), emit8(e, 0x81), emit8(e, 0xe2), emit32(e, 0xd5); /* and r10d, */
    emit_op_rm(e, 0x0b, H_R10, H_R15, CPU_OFF(rflags));              /* or */
    emit8(e, 0x41), emit8(e, 0x81), emit8(e, 0xe2);                  /* and r10d, */
    emit32(e, ~(uint32_t)(X86_FLAG_VM | X86_FLAG_RF));
    jit_emit_at(t, 0x89, H_R10, &p);
    emit8(e, 0x45), emit8(e, 0x0f), emit8(e, 0xb6); /* movzx r10d, byte [r15 + jit_flags] */
    emit_mem(e, H_R10, H_R15, H_NONE, 0, CPU_OFF(jit_flags));
    emit8(e, 0x41), emit8(e, 0x83), emit8(e, 0xe2), emit8(e, 1);  /* and r10d, 1 */
    emit8(e, 0x41), emit8(e, 0xc1), emit8(e, 0xe2), emit8(e, 11); /* shl r10d, 11 */
    jit_emit_at(t, 0x09, H_R10, &p);                              /* or */
    emit_lea(e, H_GUEST_RSP, H_GUEST_RSP, H_NONE, 0, -8);
    return true;
}

bool jit_op_integer(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];

    if (is_vex(d))
        return translation_has(t, JIT_OPT_BMI) && op_vex(t, n);
    switch (d->op) {
    case X86_OP_MOVBE:
        return op_movbe(t, n);
    case X86_OP_DIV: case X86_OP_IDIV:
        return translation_has(t, JIT_OPT_DIVIDE) && op_divide(t, n);
    case X86_OP_MOVS: case X86_OP_STOS:
        return op_string(t, n);
    case X86_OP_CMPXCHG8B: case X86_OP_CMPXCHG16B:
        return op_cmpxchg_pair(t, n);
    case X86_OP_MOV_FROM_SEG:
        return op_mov_from_seg(t, n);
    case X86_OP_CLI: case X86_OP_STI:
        return op_cli_sti(t, n);
    case X86_OP_PUSHF:
        return op_pushf(t, n);
    case X86_OP_PAUSE:
        emit8(&t->e, 0xf3), emit8(&t->e, 0x90);
        return true;
    case X86_OP_LFENCE: case X86_OP_MFENCE: case X86_OP_SFENCE:
        emit8(&t->e, 0x0f), emit8(&t->e, 0xae);
        emit8(&t->e, d->op == X86_OP_LFENCE ? 0xe8 : d->op == X86_OP_MFENCE ? 0xf0 : 0xf8);
        return true;
    default:
        return false;
    }
}
