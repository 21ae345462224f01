/* SPDX-License-Identifier: MIT */
/* System instructions in translated code: for the usual case, and where anything is out of the ordinary
 * the interpreter does them (system/). Those that go to other code: jit_privilege.c. */
#include "cpu/x86/jit/translate.h"

static void store_selector(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    struct address a = jit_operand_address(t, n);
    struct place p = jit_look_up(t, n, &a, 2, MMU_WRITE, 0);

    if (p.spare == H_NONE)
        jit_fold(t, &p);
    emit_rm(&t->e, XO_MOVZX16, W32, p.spare, CPU(seg[d->reg & 7].selector));
    emit_rm(&t->e, XO_MOV_M, W16, p.spare, place_mem(&p));
}

/* The selector, zero-extended whatever the operand size; 16-bit results leave the rest. REX.R does
 * not count. */
static bool op_mov_from_seg(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    unsigned h = jit_in_memory(d->rm) ? H_R10 : jit_host_reg(d->rm);

    if (d->has_mem && jit_address_is_plain(t, d) && translation_has(t, JIT_OPT_MEMORY)) {
        store_selector(t, n);
        return true;
    }
    if (d->has_mem)
        return false;
    if (d->osize == 2) {
        emit_rm(&t->e, jit_in_memory(d->rm) ? XO_MOVZX16 : XO_MOV, jit_in_memory(d->rm) ? W32 : W16, h,
                CPU(seg[d->reg & 7].selector));
        if (h == H_R10)
            emit_rm(&t->e, XO_MOV_M, W16, h, GUEST_REG(d->rm));
        return true;
    }
    emit_rm(&t->e, XO_MOVZX16, W32, h, CPU(seg[d->reg & 7].selector));
    if (h == H_R10)
        emit_store(&t->e, h, H_R15, REG_OFF(d->rm));
    return true;
}

/* For the kernel only. Blocks end behind them, as the interpreter wants it. check.h does not
 * compare IF, so there they are interpreted. */
static bool op_cli_sti(struct translation *t, unsigned n)
{
    struct emit *e = &t->e;

    if (t->narrow || t->c->check || t->c->vm->embedded || !translation_has(t, JIT_OPT_IF))
        return false;
    jit_flags_spare(t, n);
    emit_mi(e, XO_CMP8_I, W32, CPU(cpl), 0);
    jit_bail_if(t, n, CC_NE);
    if (t->d[n].op == X86_OP_CLI) {
        emit_mi(e, XO_AND8_I, W32, CPU_BEHIND(rflags, 1), ~(X86_FLAG_IF >> 8));
    } else {
        /* Nothing that waits for IF may be pending. What comes now waits for one more instruction:
         * the exit leads forward, so that there is no look for events, or to the main loop, which
         * knows the shadow; it may see it later than that, and then waits for an instruction too. */
        emit_mi(e, XO_CMP8_I, W32, CPU(intr_held), 0);
        jit_bail_if(t, n, CC_NE);
        emit_mi(e, XO_CMP_I8, W32, CPU(pending), 0);
        jit_bail_if(t, n, CC_NE);
        emit_mi(e, XO_OR8_I, W32, CPU_BEHIND(rflags, 1), X86_FLAG_IF >> 8);
        emit_mi(e, XO_MOV8_I, W32, CPU(sti_shadow), true);
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
    emit_rm(e, XO_MOVZX8, W32, H_R10, CPU_BEHIND(jit_flags, 1));
    emit_ri(e, XO_AND_I, W32, H_R10, X86_FLAGS_ARITH & ~X86_FLAG_OF);
    emit_rm(e, XO_OR, W64, H_R10, CPU(rflags));
    emit_ri(e, XO_AND_I, W32, H_R10, ~(X86_FLAG_VM | X86_FLAG_RF));
    jit_emit_at(t, XO_MOV_M, H_R10, &p);
    emit_rm(e, XO_MOVZX8, W32, H_R10, CPU(jit_flags));
    emit_ri(e, XO_AND_I8, W32, H_R10, AF_OF);
    emit_ri(e, XO_SHL_I8, W32, H_R10, __builtin_ctz(X86_FLAG_OF));
    jit_emit_at(t, XO_OR_M, H_R10, &p);
    emit_lea(e, H_GUEST_RSP, H_GUEST_RSP, H_NONE, 0, -8);
    return true;
}

/* ---- small ones ---- */

/* It goes on in front of instruction n unless CPL is 0. Flags are clobbered. */
static void for_cpl0(struct translation *t, unsigned n)
{
    jit_flags_spare(t, n);
    emit_mi(&t->e, XO_CMP8_I, W32, CPU(cpl), 0);
    jit_bail_if(t, n, CC_NE);
}

static bool go_on_behind(struct translation *t, unsigned n)
{
    jit_exit_to(t, 0, insn_behind(t, n), -1);
    t->ended = true;
    return true;
}

static bool op_swapgs(struct translation *t, unsigned n)
{
    struct emit *e = &t->e;

    if (t->narrow)
        return false;
    for_cpl0(t, n);
    emit_rm(e, XO_MOV, W64, H_R10, CPU(kernel_gs_base));
    emit_rm(e, XO_MOV, W64, H_R11, CPU(seg[X86_GS].base));
    emit_rm(e, XO_MOV_M, W64, H_R10, CPU(seg[X86_GS].base));
    emit_rm(e, XO_MOV_M, W64, H_R10, CPU(ea_base[X86_GS]));
    emit_rm(e, XO_MOV_M, W64, H_R11, CPU(kernel_gs_base));
    return go_on_behind(t, n);
}

/* To where a general register is kept. */
static unsigned result_reg(unsigned g)
{
    return jit_in_memory(g) ? H_R10 : jit_host_reg(g);
}

static void put_result(struct translation *t, unsigned g)
{
    if (jit_in_memory(g))
        emit_store(&t->e, H_R10, H_R15, REG_OFF(g));
}

/* CR8 is the local APIC's. */
static bool op_mov_from_cr(struct translation *t, unsigned n)
{
    const struct insn *i = &t->b->insn[n + 1];
    int32_t off = i->reg == 0   ? CPU_OFF(cr0)
                  : i->reg == 2 ? CPU_OFF(cr2)
                  : i->reg == 3 ? CPU_OFF(cr3)
                                : CPU_OFF(cr4);

    if (t->narrow || i->reg == 1 || i->reg > 4)
        return false;
    jit_flags_spare(t, n);
    emit_mi(&t->e, XO_CMP8_I, W32, CPU(cpl), 0);
    jit_detour_if(t, n, CC_NE);
    emit_load(&t->e, result_reg(i->rm), H_R15, off);
    put_result(t, i->rm);
    return true;
}

static bool op_rdbase(struct translation *t, unsigned n)
{
    const struct insn *i = &t->b->insn[n + 1];

    if (t->narrow || i->aux < 4)
        return false;
    jit_flags_spare(t, n);
    emit_mi(&t->e, XO_TEST8_I, W32, CPU_BEHIND(cr4, 2), X86_CR4_FSGSBASE >> 16);
    jit_detour_if(t, n, CC_E);
    emit_rm(&t->e, XO_MOV, emit_width(i->aux == 8), result_reg(i->rm),
            i->imm == X86_FS ? CPU(seg[X86_FS].base) : CPU(seg[X86_GS].base));
    put_result(t, i->rm);
    return true;
}

/* Another segment's base may be what the code behind it is bound to: blocks end with it. */
static bool op_wrbase(struct translation *t, unsigned n)
{
    const struct insn *i = &t->b->insn[n + 1];
    struct emit *e = &t->e;
    bool fs = i->imm == X86_FS;

    if (t->narrow || i->aux < 4)
        return false;
    jit_flags_spare(t, n);
    emit_mi(e, XO_TEST8_I, W32, CPU_BEHIND(cr4, 2), X86_CR4_FSGSBASE >> 16);
    jit_bail_if(t, n, CC_E);
    if (jit_in_memory(i->rm))
        emit_rm(e, XO_MOV, emit_width(i->aux == 8), H_R10, GUEST_REG(i->rm));
    else
        emit_move_sized(e, H_R10, jit_host_reg(i->rm), emit_width(i->aux == 8));
    emit_move(e, H_R11, H_R10); /* canonical? */
    emit_ri(e, XO_SHL_I8, W64, H_R11, 16);
    emit_ri(e, XO_SAR_I8, W64, H_R11, 16);
    emit_rr(e, XO_CMP_M, W64, H_R11, H_R10);
    jit_bail_if(t, n, CC_NE);
    emit_rm(e, XO_MOV_M, W64, H_R10, fs ? CPU(seg[X86_FS].base) : CPU(seg[X86_GS].base));
    emit_rm(e, XO_MOV_M, W64, H_R10, fs ? CPU(ea_base[X86_FS]) : CPU(ea_base[X86_GS]));
    return go_on_behind(t, n);
}

static bool op_cld_std(struct translation *t, unsigned n)
{
    jit_flags_spare(t, n);
    if (t->d[n].op == X86_OP_CLD)
        emit_mi(&t->e, XO_AND8_I, W32, CPU_BEHIND(rflags, 1), 0xff & ~(X86_FLAG_DF >> 8));
    else
        emit_mi(&t->e, XO_OR8_I, W32, CPU_BEHIND(rflags, 1), X86_FLAG_DF >> 8);
    return true;
}

/* The clock is read where the interpreter would: check.h cannot have it read twice. */
static bool op_rdtsc(struct translation *t, unsigned n)
{
    struct emit *e = &t->e;

    if (t->c->check)
        return false;
    jit_flags_spare(t, n);
    emit_mi(e, XO_TEST8_I, W32, CPU(cr4), X86_CR4_TSD);
    jit_detour_if(t, n, CC_NE); /* it may be allowed all the same */
    emit_op(e, XO_RDTSC);
    emit_ri(e, XO_SHL_I8, W64, H_RDX, 32);
    emit_rr(e, XO_ADD_M, W64, H_RAX, H_RDX);
    emit_rm(e, XO_ADD, W64, H_RDX, CPU(tsc_offset));
    emit_move_sized(e, H_RAX, H_RDX, W32);
    emit_ri(e, XO_SHR_I8, W64, H_RDX, 32);
    return true;
}

/* ---- what memory may be accessed ---- */

#define AC_BYTE 2 /* of RFLAGS */

_Static_assert(X86_FLAG_AC >> 8 * AC_BYTE == 4, "which bit it is in there");

static bool op_stac_clac(struct translation *t, unsigned n)
{
    struct emit *e = &t->e;

    if (t->narrow)
        return false;
    for_cpl0(t, n);
    if (t->d[n].op == X86_OP_STAC) { /* what is in the slots may be accessed all the more */
        emit_mi(e, XO_OR8_I, W32, CPU_BEHIND(rflags, AC_BYTE), 4);
        jit_emit_use_tables(e, TLB_FOR_KERNEL_AC);
    } else {
        emit_mi(e, XO_CMP8_I, W32, CPU(slots_used), 0);
        jit_bail_if(t, n, CC_NE);
        emit_mi(e, XO_AND8_I, W32, CPU_BEHIND(rflags, AC_BYTE), 0xff & ~4u);
        jit_emit_use_tables(e, TLB_FOR_KERNEL);
        jit_emit_empty_slots(e);
    }
    return go_on_behind(t, n);
}

/* ---- by the interpreter's function ---- */

/* Those that end their block for the main loop to look at what has changed, done so often that it pays
 * to look here (jit_do_system()). */
static bool op_called(struct translation *t, unsigned n)
{
    struct jit_bail *bail;

    if (t->c->check)
        return false;
    bail = jit_data_alloc(t, sizeof(*bail));
    *bail = (struct jit_bail){&t->b->insn[n + 1], t->b->home_rip};
    jit_note_word(t, &bail->block_rip);
    jit_flags_restore(t, n);
    jit_jump_with(t, t->j->do_system, bail);
    t->ended = true;
    return true;
}

bool jit_op_system(struct translation *t, unsigned n)
{
    bool on = translation_has(t, JIT_OPT_SYSTEM);

    switch (t->d[n].op) {
    case X86_OP_MOV_FROM_SEG:
        return op_mov_from_seg(t, n);
    case X86_OP_CLI: case X86_OP_STI:
        return op_cli_sti(t, n);
    case X86_OP_PUSHF:
        return op_pushf(t, n);
    case X86_OP_SWAPGS:
        return on && op_swapgs(t, n);
    case X86_OP_RDTSC:
        return on && op_rdtsc(t, n);
    case X86_OP_MOV_FROM_CR:
        return on && op_mov_from_cr(t, n);
    case X86_OP_RDFSBASE: case X86_OP_RDGSBASE:
        return on && op_rdbase(t, n);
    case X86_OP_WRFSBASE: case X86_OP_WRGSBASE:
        return on && op_wrbase(t, n);
    case X86_OP_MOV_TO_CR: case X86_OP_CLTS: case X86_OP_INVLPG: case X86_OP_INVPCID: case X86_OP_WRMSR:
    case X86_OP_XRSTOR: case X86_OP_CPUID: case X86_OP_IN: case X86_OP_OUT:
        return on && op_called(t, n);
    case X86_OP_CLD: case X86_OP_STD:
        return on && op_cld_std(t, n);
    case X86_OP_STAC: case X86_OP_CLAC:
        return on && op_stac_clac(t, n);
    case X86_OP_SYSCALL: case X86_OP_SYSRET: case X86_OP_IRET:
        return on && jit_op_privilege(t, n);
    default:
        return false;
    }
}
