/* SPDX-License-Identifier: MIT */
/* The stubs that all translated code shares: into it, out of it, and what it jumps to when
 * something seldom happens, with r11 at the record that says what (jit_priv.h). */
#include "cpu/x86/jit/check.h"
#include "cpu/x86/jit/jit_priv.h"
#include "cpu/x86/jit/translate.h"

/* Registers the C calling convention wants kept, in the order they are pushed. */
static const uint8_t kept[] = {H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15};

static void emit_load_guest(struct emit *e)
{
    emit_load_ax(e, H_R15, CPU_OFF(af));
    emit_flags_from_ax(e);
    for (unsigned g = 0; g < 16; g++)
        if (!jit_in_memory(g))
            emit_load(e, jit_host_reg(g), H_R15, REG_OFF(g));
}

static void emit_spill_guest(struct emit *e)
{
    for (unsigned g = 0; g < 16; g++)
        if (!jit_in_memory(g))
            emit_store(e, jit_host_reg(g), H_R15, REG_OFF(g));
    emit_ax_from_flags(e);
    emit_store_ax(e, H_R15, CPU_OFF(af));
}

static void emit_pop_kept(struct emit *e)
{
    emit_ri(e, XO_ADD_I8, W64, H_RSP, 8);
    for (unsigned n = sizeof(kept); n--;)
        emit_pop(e, kept[n]);
}

static void emit_call(struct emit *e, const void *function)
{
    emit_lea(e, H_RDI, H_R15, H_NONE, 0, -CPU_BIAS);
    emit_const(e, H_RAX, (uint64_t)(uintptr_t)function);
    emit_r(e, XO_CALL, W32, H_RAX);
}

/* void enter(struct x86_cpu *c, const void *code) */
static void emit_enter(struct emit *e)
{
    for (unsigned n = 0; n < sizeof(kept); n++)
        emit_push(e, kept[n]);
    emit_ri(e, XO_SUB_I8, W64, H_RSP, 8); /* to a multiple of 16 */
    emit_lea(e, H_R15, H_RDI, H_NONE, 0, CPU_BIAS);
    emit_move(e, H_R11, H_RSI);
    emit_load_guest(e);
    emit_load(e, H_R10, H_R15, CPU_OFF(jit_word)); /* insn_jit_resume() */
    emit_r(e, XO_JMP, W32, H_R11);
}

/* Back to the main loop; rip, and link if need be, are set. */
static void emit_leave(struct emit *e)
{
    emit_spill_guest(e);
    emit_pop_kept(e);
    emit_op(e, XO_RET);
}

/* Jump to the function of the struct insn in rsi, as the interpreter would. */
static void emit_to_insn(struct emit *e)
{
    emit_lea(e, H_RDI, H_R15, H_NONE, 0, -CPU_BIAS);
    emit_pop_kept(e);
    emit_jmp_mem(e, H_RSI, offsetof(struct insn, fn));
}

/* Interpret from the struct insn in r10; block RIP is set. */
static void emit_interpret(struct emit *e, bool check)
{
    emit_spill_guest(e);
    emit_move(e, H_RSI, H_R10);
    if (check) {
        emit_call(e, jit_check_hand_over);
        emit_move(e, H_RSI, H_RAX);
    }
    emit_to_insn(e);
}

/* r11: a struct jit_bail */
static void emit_bail(struct emit *e, const struct jit *j, bool flags_kept)
{
    if (flags_kept)
        jit_emit_restore_flags(e);
    emit_load(e, H_R10, H_R11, offsetof(struct jit_bail, block_rip));
    emit_store(e, H_R10, H_R15, REG_OFF(REG_BLOCK_RIP));
    emit_load(e, H_R10, H_R11, offsetof(struct jit_bail, insn));
    emit_jmp(e, j->interpret);
}

/* r11: a struct jit_exit that is linked, but was not in the address space of now, or in what has become
 * of it: if the front cache knows the same block there, and it is translated for there, link it again and
 * go on. Flags are kept. */
static uint8_t *emit_link_again(struct emit *e, const struct jit *j, unsigned half, uint8_t *ret_other[4])
{
    uint8_t *never;

    emit_mi(e, XO_CMP8_I, W32, host_mem(H_R11, offsetof(struct jit_exit, aimed)), 0);
    never = emit_jcc_forward(e, CC_E);
    emit_store(e, H_R11, H_R15, CPU_OFF(jit_resume));
    emit_load(e, H_R10, H_R11, offsetof(struct jit_exit, rip));
    jit_emit_find_jump(e, half);
    ret_other[0] = emit_jcc_forward(e, CC_NE);
    emit_rm(e, XO_MOV, W64, H_R10, CPU(code_ctx[half]));
    emit_rm(e, XO_CMP, W64, H_R10, host_mem(H_R11, offsetof(struct block_jump, ctx)));
    ret_other[1] = emit_jcc_forward(e, CC_NE);
    emit_lea_rip(e, H_R10, j->interpret_slot);
    emit_rm(e, XO_CMP, W64, H_R10, host_mem(H_R11, offsetof(struct block_jump, code)));
    ret_other[2] = emit_jcc_forward(e, CC_E);
    emit_store(e, H_RAX, H_R15, REG_OFF(X86_RAX));
    emit_load(e, H_RAX, H_R15, CPU_OFF(jit_resume));
    emit_load(e, H_RAX, H_RAX, offsetof(struct jit_exit, link));
    emit_rm(e, XO_MOVSXD, W64, H_R10, host_mem(H_RAX, offsetof(struct block_link, to)));
    emit_rr(e, XO_ADD, W64, H_R10, H_RAX);
    emit_rm(e, XO_CMP, W64, H_R10, host_mem(H_R11, offsetof(struct block_jump, to)));
    ret_other[3] = emit_jcc_forward(e, CC_NE);
    emit_load(e, H_R10, H_R11, offsetof(struct block_jump, ctx));
    emit_store(e, H_R10, H_RAX, offsetof(struct block_link, ctx));
    emit_load(e, H_RAX, H_R15, REG_OFF(X86_RAX));
    emit_jmp_mem(e, H_R11, offsetof(struct block_jump, code));
    return never;
}

/* r11: a struct jit_exit that is not linked */
static void emit_exit(struct emit *e, const struct jit *j, bool flags_kept, unsigned half)
{
    uint8_t *never, *other[4];

    if (!flags_kept) {
        emit_store(e, H_R11, H_R15, CPU_OFF(jit_resume));
        jit_emit_save_flags(e);
        emit_load(e, H_R11, H_R15, CPU_OFF(jit_resume));
    }
    never = emit_link_again(e, j, half, other);
    emit_patch(e, other[3]);
    emit_load(e, H_RAX, H_R15, REG_OFF(X86_RAX));
    for (unsigned n = 0; n < 3; n++)
        emit_patch(e, other[n]);
    emit_load(e, H_R11, H_R15, CPU_OFF(jit_resume));
    emit_patch(e, never);
    jit_emit_restore_flags(e);
    emit_load(e, H_R10, H_R11, offsetof(struct jit_exit, link));
    emit_store(e, H_R10, H_R15, CPU_OFF(link));
    emit_load(e, H_R10, H_R11, offsetof(struct jit_exit, rip));
    emit_store(e, H_R10, H_R15, CPU_OFF(rip));
    emit_jmp(e, j->leave);
}

/* r11: the struct jit_exits of a block that is not to be run now */
static void emit_stale(struct emit *e, const struct jit *j, bool flags_kept)
{
    if (flags_kept)
        jit_emit_restore_flags(e);
    emit_load(e, H_R10, H_R11, offsetof(struct jit_exits, from));
    emit_store(e, H_R10, H_R15, CPU_OFF(rip));
    emit_jmp(e, j->leave);
}

/* TLB miss; r11: the struct jit_site */
static void emit_slow(struct emit *e)
{
    uint8_t *again;

    emit_spill_guest(e);
    emit_move(e, H_RSI, H_R11);
    emit_call(e, jit_slow);
    emit_op(e, XO_TEST), emit_modrm_reg(e, H_RAX, H_RAX); /* eax */
    again = emit_jcc_forward(e, CC_NE);
    emit_load(e, H_RSI, H_R15, CPU_OFF(jit_insn));
    emit_to_insn(e);
    emit_patch(e, again);
    emit_load_guest(e);
    emit_load(e, H_R11, H_R15, CPU_OFF(jit_addend));
    emit_jmp_mem(e, H_R15, CPU_OFF(jit_resume));
}

/* A system instruction; r11: its struct jit_bail */
static void emit_do_system(struct emit *e)
{
    uint8_t *on;

    emit_spill_guest(e);
    emit_move(e, H_RSI, H_R11);
    emit_call(e, jit_do_system);
    emit_rr(e, XO_TEST, W64, H_RAX, H_RAX);
    on = emit_jcc_forward(e, CC_NE);
    emit_pop_kept(e);
    emit_op(e, XO_RET);
    emit_patch(e, on);
    emit_move(e, H_R11, H_RAX);
    emit_load_guest(e);
    emit_r(e, XO_JMP, W32, H_R11);
}

/* Not in one of the first slots: look into the TLB, and put what it says into the slot. r10: the address;
 * r11: the struct jit_site */
static void emit_fill(struct emit *e, const struct jit *j, int slot, bool upper, unsigned size)
{
    bool write = slot == TLB_SLOT_STACK_WRITE || slot == TLB_SLOT_SEG_WRITE;
    uint8_t *miss, *half;

    emit_store(e, H_R11, H_R15, CPU_OFF(jit_resume)); /* free until jit_slow() sets it */
    emit_move(e, H_R11, H_R10);
    if (size > 1)
        emit_lea(e, H_R10, H_R10, H_NONE, 0, (int32_t)size - 1);
    miss = jit_emit_look_up(e, jit_table(upper), write ? MMU_WRITE : MMU_READ, 0, &half);
    jit_emit_fill_slot(e, slot);
    emit_load(e, H_R10, H_R15, CPU_OFF(jit_resume));
    emit_jmp_mem(e, H_R10, offsetof(struct jit_site, hit));
    emit_patch(e, miss);
    emit_load(e, H_R11, H_R15, CPU_OFF(jit_resume));
    emit_jmp(e, j->slow);
}

/* An indirect branch found an untranslated block: r11 its struct block_jump; the flags are
 * kept. */
static void emit_interpret_slot(struct emit *e, const struct jit *j, bool check)
{
    jit_emit_restore_flags(e);
    emit_load(e, H_R10, H_R11, offsetof(struct block_jump, rip));
    if (check) { /* the end of a block, as any other */
        emit_store(e, H_R10, H_R15, CPU_OFF(rip));
        emit_jmp(e, j->leave);
        return;
    }
    emit_store(e, H_R10, H_R15, REG_OFF(REG_BLOCK_RIP));
    emit_load(e, H_R10, H_R11, offsetof(struct block_jump, to));
    emit_jmp(e, j->interpret);
}

void jit_emit_stubs(struct x86_cpu *c)
{
    struct jit *j = c->jit;
    bool check = c->check;
    struct emit e = {j->write, j->run - j->write};

    j->enter = emit_here(&e);
    emit_enter(&e);
    j->leave = emit_here(&e);
    emit_leave(&e);
    j->interpret = emit_here(&e);
    emit_interpret(&e, check);
    j->slow = emit_here(&e);
    emit_slow(&e);
    j->do_system = emit_here(&e);
    emit_do_system(&e);
    j->interpret_slot = emit_here(&e);
    emit_interpret_slot(&e, j, check);
    for (unsigned k = 0; k < 2; k++) {
        j->bail[k] = emit_here(&e);
        emit_bail(&e, j, k);
        for (unsigned half = 0; half < 2; half++) {
            j->exit[k][half] = emit_here(&e);
            emit_exit(&e, j, k, half);
        }
        j->stale[k] = emit_here(&e);
        emit_stale(&e, j, k);
    }
    for (int slot = 0; slot < TLB_SLOT_FIRST_FREE; slot++)
        for (unsigned upper = 0; upper < 2; upper++)
            for (unsigned n = 0; n < JIT_FILL_SIZES; n++) {
                j->fill[slot][upper][n] = emit_here(&e);
                emit_fill(&e, j, slot, upper, 1u << n);
            }
    jit_emit_privilege_stubs(c, &e);
    j->first = e.w;
}
