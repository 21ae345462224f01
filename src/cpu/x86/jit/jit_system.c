/* SPDX-License-Identifier: MIT */
/* System instructions in translated code: for the usual case, and where anything is out of the ordinary
 * the interpreter does them (system/). Those that change privilege go by tables that
 * mmu_select_tables() keeps for all kinds of code. */
#include "cpu/x86/jit/translate.h"
#include "cpu/x86/system/segment.h"

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

static void use_tables(struct emit *e, unsigned who)
{
    for (unsigned half = 0; half < 2; half++) {
        emit_rm(e, XO_MOV, W64, H_R10, CPU(tlb_for[who][half]));
        emit_rm(e, XO_MOV_M, W64, H_R10, CPU(tlb[half]));
    }
}

/* Those of loops must not be in use. */
static void empty_slots(struct emit *e)
{
    emit_mi(e, XO_MOV_I, W64, CPU(slot[TLB_SLOT_STACK_READ].tag), TLB_NO_TAG);
    emit_mi(e, XO_MOV_I, W64, CPU(slot[TLB_SLOT_STACK_WRITE].tag), TLB_NO_TAG);
}

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
        use_tables(e, TLB_FOR_KERNEL_AC);
    } else {
        emit_mi(e, XO_CMP8_I, W32, CPU(slots_used), 0);
        jit_bail_if(t, n, CC_NE);
        emit_mi(e, XO_AND8_I, W32, CPU_BEHIND(rflags, AC_BYTE), 0xff & ~4u);
        use_tables(e, TLB_FOR_KERNEL);
        empty_slots(e);
    }
    return go_on_behind(t, n);
}

/* ---- SYSCALL and SYSRET ----
 *
 * Their stubs are entered with the flags kept in jit_flags and a record in r11, which is put away
 * into jit_word. First everything is looked at that could be out of the ordinary, then all is done.
 * TF and breakpoints are off in translated code. What is pending is looked at here: the target's entry
 * does it only if that is translated. */

struct bails {
    uint8_t *branch[12]; /* SYSRET has 9 at most */
    unsigned count;
};

static void bail_if(struct emit *e, struct bails *b, unsigned cc)
{
    if (b->count == ARRAY_SIZE(b->branch))
        __builtin_trap(); /* whoever added one more sees it at the first vCPU */
    b->branch[b->count++] = emit_jcc_forward(e, cc);
}

static void emit_bails(struct emit *e, const struct bails *b, const struct jit *j)
{
    for (unsigned n = 0; n < b->count; n++)
        emit_patch(e, b->branch[n]);
    emit_rm(e, XO_MOV, W64, H_R11, CPU(jit_word));
    emit_jmp(e, j->bail[true]);
}

static void bail_unless_usual(struct emit *e, struct bails *b, bool check)
{
    emit_mi(e, XO_TEST8_I, W32, CPU(efer), X86_EFER_SCE);
    emit_rm(e, XO_MOV_M, W64, H_R11, CPU(jit_word));
    bail_if(e, b, CC_E);
    emit_mi(e, XO_CMP8_I, W32, CPU(slots_used), 0);
    bail_if(e, b, CC_NE);
    emit_mi(e, XO_CMP8_I, W32, CPU(intr_held), 0);
    bail_if(e, b, CC_NE);
    if (!check) { /* there each block is left for the main loop */
        emit_mi(e, XO_CMP_I8, W32, CPU(pending), 0);
        bail_if(e, b, CC_NE);
    }
}

/* r11 = the struct block_jump for the address in r10, in the context of now but for these bits. */
static void find_target(struct emit *e, struct bails *b, unsigned half, unsigned op, unsigned bits)
{
    jit_emit_find_jump(e);
    bail_if(e, b, CC_NE);
    emit_rm(e, XO_MOV, W64, H_R10, CPU(code_ctx[half]));
    emit_ri(e, op, W64, H_R10, bits);
    emit_rm(e, XO_CMP, W64, H_R10, host_mem(H_R11, offsetof(struct block_jump, ctx)));
    bail_if(e, b, CC_NE);
}

/* enter_flat() of 64-bit code; selector of CS in reg, which becomes that of SS. */
static void enter_flat(struct emit *e, unsigned cpl, unsigned reg, int ss_behind_cs)
{
    static const uint8_t seg[2] = {X86_CS, X86_SS};

    for (unsigned n = 0; n < 2; n++) {
        unsigned attr = (n ? SEG_ATTR_DATA32 : SEG_ATTR_CODE64) | cpl << SEG_ATTR_DPL_SHIFT;

        if (n)
            emit_ri(e, XO_ADD_I8, W32, reg, (uint64_t)(int64_t)ss_behind_cs);
        emit_mi(e, XO_MOV_I, W64, CPU(seg[seg[n]].base), 0);
        emit_mi(e, XO_MOV_I, W32, CPU(seg[seg[n]].limit), UINT32_MAX);
        emit_rm(e, XO_MOV_M, W16, reg, CPU(seg[seg[n]].selector));
        emit_mi(e, XO_MOV16_I, W16, CPU(seg[seg[n]].attr), attr);
    }
    emit_mi(e, XO_MOV8_I, W32, CPU(cs_flat), true);
    emit_mi(e, XO_MOV8_I, W32, CPU(ss_flat), true);
    emit_mi(e, XO_MOV8_I, W32, CPU(stack32), true);
    emit_mi(e, XO_MOV8_I, W32, CPU(cpl), cpl);
    for (unsigned half = 0; half < 2; half++)
        if (cpl)
            emit_mi(e, XO_OR8_I, W32, CPU(code_ctx[half]), CODE_CTX_USER);
        else
            emit_mi(e, XO_AND8_I, W32, CPU(code_ctx[half]), 0xff & ~CODE_CTX_USER);
    use_tables(e, cpl ? TLB_FOR_USER : TLB_FOR_KERNEL);
    empty_slots(e);
}

#define OF_BIT ((unsigned)__builtin_ctz(X86_FLAG_OF))

/* r10 = RFLAGS as SYSCALL saves them; rcx is clobbered. */
static void gather_flags(struct emit *e)
{
    emit_rm(e, XO_MOVZX8, W32, H_R10, CPU_BEHIND(jit_flags, 1));
    emit_ri(e, XO_AND_I, W32, H_R10, X86_FLAGS_ARITH & ~X86_FLAG_OF);
    emit_rm(e, XO_MOVZX8, W32, H_RCX, CPU(jit_flags));
    emit_ri(e, XO_AND_I8, W32, H_RCX, AF_OF);
    emit_ri(e, XO_SHL_I8, W32, H_RCX, OF_BIT);
    emit_rr(e, XO_ADD_M, W64, H_RCX, H_R10);
    emit_rm(e, XO_OR, W64, H_R10, CPU(rflags));
    emit_ri(e, XO_AND_I, W64, H_R10, (uint64_t) ~(int64_t)X86_FLAG_RF);
}

/* Where another engine may want to be asked. */
static void bail_where_it_ends(struct emit *e, struct bails *b, bool ends)
{
    if (!ends)
        return;
    emit_mi(e, XO_CMP8_I, W32, CPU(user_ends), 0);
    bail_if(e, b, CC_NE);
}

static void emit_syscall(struct emit *e, const struct jit *j, bool check, bool ends)
{
    struct bails b = {.count = 0};

    bail_unless_usual(e, &b, check);
    bail_where_it_ends(e, &b, ends);
    emit_rm(e, XO_MOV, W64, H_R10, CPU(fmask));
    emit_r(e, XO_NOT, W64, H_R10);
    emit_rm(e, XO_AND, W64, H_R10, CPU(rflags));
    emit_ri(e, XO_TEST_I, W32, H_R10, X86_FLAG_AC); /* it would stay: other tables */
    bail_if(e, &b, CC_NE);
    emit_rm(e, XO_MOV, W64, H_R10, CPU(lstar));
    find_target(e, &b, 1, XO_AND_I, (unsigned)~CODE_CTX_USER);

    gather_flags(e);
    emit_rm(e, XO_MOV_M, W64, H_R10, GUEST_REG(X86_R11));
    emit_rm(e, XO_MOV, W64, H_RCX, CPU(fmask));
    emit_r(e, XO_NOT, W64, H_RCX);
    emit_rr(e, XO_AND_M, W64, H_RCX, H_R10);
    emit_ri(e, XO_AND_I, W64, H_R10, (uint64_t) ~(int64_t)X86_FLAGS_ARITH);
    emit_ri(e, XO_OR_I8, W32, H_R10, X86_FLAG_1);
    emit_rm(e, XO_MOV_M, W64, H_R10, CPU(rflags));
    emit_rm(e, XO_AND8_M, W32, H_RCX, CPU_BEHIND(jit_flags, 1));
    emit_ri(e, XO_SHR_I8, W32, H_RCX, OF_BIT);
    emit_rm(e, XO_AND8_M, W32, H_RCX, CPU(jit_flags));
    emit_rm(e, XO_MOVZX16, W32, H_RCX, CPU_BEHIND(star, 4));
    emit_ri(e, XO_AND_I, W32, H_RCX, 0xfffc);
    enter_flat(e, 0, H_RCX, 8);
    emit_mi(e, XO_ADD_I8, W64, CPU(count.syscalls), 1);
    emit_rm(e, XO_MOV, W64, H_RCX, CPU(jit_word));
    emit_load(e, H_RCX, H_RCX, offsetof(struct jit_syscall, next_rip));
    emit_jmp_mem(e, H_R11, offsetof(struct block_jump, code));
    emit_bails(e, &b, j);
}

/* What SYSRET takes of R11. */
#define SYSRET_FLAGS UINT64_C(0x3c7fd7)

static void emit_sysret(struct emit *e, const struct jit *j, bool check, bool ends)
{
    struct bails b = {.count = 0};

    bail_unless_usual(e, &b, check);
    emit_mi(e, XO_CMP8_I, W32, CPU(cpl), 0);
    bail_if(e, &b, CC_NE);
    emit_mi(e, XO_TEST_I, W32, GUEST_REG(X86_R11), X86_FLAG_TF | X86_FLAG_AC);
    bail_if(e, &b, CC_NE);
    emit_move(e, H_R10, H_RCX);
    bail_where_it_ends(e, &b, ends);
    find_target(e, &b, 0, XO_OR_I8, CODE_CTX_USER);
    emit_rm(e, XO_MOV, W64, H_R10, GUEST_REG(X86_R11));
    emit_ri(e, XO_AND_I, W64, H_R10, SYSRET_FLAGS & ~(uint64_t)X86_FLAGS_ARITH);
    emit_ri(e, XO_OR_I8, W32, H_R10, X86_FLAG_1);
    emit_rm(e, XO_MOV_M, W64, H_R10, CPU(rflags));
    emit_rm(e, XO_MOV, W64, H_R10, GUEST_REG(X86_R11));
    emit_rm(e, XO_MOV8_M, W32, H_R10, CPU_BEHIND(jit_flags, 1));
    emit_ri(e, XO_SHR_I8, W32, H_R10, OF_BIT);
    emit_ri(e, XO_AND_I8, W32, H_R10, AF_OF);
    emit_rm(e, XO_MOV8_M, W32, H_R10, CPU(jit_flags));
    emit_rm(e, XO_MOVZX16, W32, H_R10, CPU_BEHIND(star, 6));
    emit_ri(e, XO_ADD_I8, W32, H_R10, 16);
    emit_ri(e, XO_OR_I8, W32, H_R10, 3);
    emit_rm(e, XO_MOV_M, W64, H_R11, CPU(jit_resume));
    emit_move(e, H_R11, H_R10);
    enter_flat(e, 3, H_R11, -8);
    emit_rm(e, XO_MOV, W64, H_R11, CPU(jit_resume));
    emit_jmp_mem(e, H_R11, offsetof(struct block_jump, code));
    emit_bails(e, &b, j);
}

void jit_emit_system_stubs(struct x86_cpu *c, struct emit *e)
{
    struct jit *j = c->jit;

    j->syscall = emit_here(e);
    emit_syscall(e, j, c->check, c->user_ends);
    j->sysret = emit_here(e);
    emit_sysret(e, j, c->check, c->user_ends);
}

static bool op_syscall(struct translation *t, unsigned n)
{
    struct jit_syscall *s;

    if (t->narrow)
        return false;
    s = jit_data_alloc(t, sizeof(*s));
    *s = (struct jit_syscall){{&t->b->insn[n + 1], t->b->home_rip}, insn_behind(t, n)};
    jit_note_word(t, &s->bail.block_rip);
    jit_note_word(t, &s->next_rip);
    jit_flags_spare(t, n);
    jit_jump_with(t, t->j->syscall, s);
    t->ended = true;
    return true;
}

/* To 64-bit code. The flags of now do not matter. */
static bool op_sysret(struct translation *t, unsigned n)
{
    struct jit_bail *bail;

    if (t->narrow || !t->d[n].rex_w)
        return false;
    bail = jit_data_alloc(t, sizeof(*bail));
    *bail = (struct jit_bail){&t->b->insn[n + 1], t->b->home_rip};
    jit_note_word(t, &bail->block_rip);
    jit_flags_spare(t, n);
    if (!t->kept)
        jit_emit_save_flags(&t->e);
    jit_jump_with(t, t->j->sysret, bail);
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
    case X86_OP_CLD: case X86_OP_STD:
        return on && op_cld_std(t, n);
    case X86_OP_STAC: case X86_OP_CLAC:
        return on && op_stac_clac(t, n);
    case X86_OP_SYSCALL:
        return on && op_syscall(t, n);
    case X86_OP_SYSRET:
        return on && op_sysret(t, n);
    default:
        return false;
    }
}
