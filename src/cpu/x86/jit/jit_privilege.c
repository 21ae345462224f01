/* SPDX-License-Identifier: MIT */
/* SYSCALL, SYSRET and IRET in translated code: a stub each, which goes straight to the translation of where
 * they lead. First everything is looked at that could be out of the ordinary; then the interpreter does it
 * (system/op_transfer.c), and nothing has happened yet. What memory may be accessed changes by tables that
 * mmu_select_tables() keeps for all kinds of code. */
#include "cpu/x86/jit/translate.h"
#include "cpu/x86/system/segment.h"

void jit_emit_use_tables(struct emit *e, unsigned who)
{
    for (unsigned half = 0; half < 2; half++) {
        emit_rm(e, XO_MOV, W64, H_R10, CPU(tlb_for[who][half]));
        emit_rm(e, XO_MOV_M, W64, H_R10, CPU(tlb[half]));
    }
}

void jit_emit_empty_slots(struct emit *e)
{
    for (unsigned n = 0; n < TLB_SLOT_FIRST_FREE; n++)
        emit_mi(e, XO_MOV_I, W64, CPU(slot[n].tag), TLB_NO_TAG);
}

/* ---- what they share ----
 *
 * The stubs are entered with the flags kept in jit_flags and a record in r11, which is put away
 * into jit_word. TF and breakpoints are off in translated code. What is pending is looked at here: the
 * target's entry does it only if that is translated. */

struct bails {
    uint8_t *branch[40]; /* IRET has 36 at most */
    unsigned count;
};

static void add_bail(struct bails *b, uint8_t *branch)
{
    if (b->count == ARRAY_SIZE(b->branch))
        __builtin_trap(); /* whoever added one more sees it at the first vCPU */
    b->branch[b->count++] = branch;
}

static void bail_if(struct emit *e, struct bails *b, unsigned cc)
{
    add_bail(b, emit_jcc_forward(e, cc));
}

static void patch_bails(struct emit *e, const struct bails *b)
{
    for (unsigned n = 0; n < b->count; n++)
        emit_patch(e, b->branch[n]);
}

static void emit_bails(struct emit *e, const struct bails *b, const struct jit *j)
{
    patch_bails(e, b);
    emit_rm(e, XO_MOV, W64, H_R11, CPU(jit_word));
    emit_jmp(e, j->bail[true]);
}

static void bail_if_nonzero(struct emit *e, struct bails *b, struct host_mem byte)
{
    emit_mi(e, XO_CMP8_I, W32, byte, 0);
    bail_if(e, b, CC_NE);
}

static void bail_unless_usual(struct emit *e, struct bails *b, bool check)
{
    emit_rm(e, XO_MOV_M, W64, H_R11, CPU(jit_word));
    bail_if_nonzero(e, b, CPU(slots_used));
    bail_if_nonzero(e, b, CPU(intr_held));
    if (!check) { /* there each block is left for the main loop */
        emit_mi(e, XO_CMP_I8, W32, CPU(pending), 0);
        bail_if(e, b, CC_NE);
    }
}

/* r11 = the struct block_jump for the address in r10, in the context of now but for these bits. */
static void find_target(struct emit *e, struct bails *b, unsigned half, unsigned op, unsigned bits)
{
    jit_emit_find_jump(e, half);
    bail_if(e, b, CC_NE);
    emit_rm(e, XO_MOV, W64, H_R10, CPU(code_ctx[half]));
    emit_ri(e, op, W64, H_R10, bits);
    emit_rm(e, XO_CMP, W64, H_R10, host_mem(H_R11, offsetof(struct block_jump, ctx)));
    bail_if(e, b, CC_NE);
}

/* A flat segment of 64-bit code's, its selector in reg. */
static void set_flat(struct emit *e, enum x86_seg seg, unsigned cpl, unsigned reg)
{
    unsigned attr = (seg == X86_SS ? SEG_ATTR_DATA32 : SEG_ATTR_CODE64) | cpl << SEG_ATTR_DPL_SHIFT;

    emit_mi(e, XO_MOV_I, W64, CPU(seg[seg].base), 0);
    emit_mi(e, XO_MOV_I, W32, CPU(seg[seg].limit), UINT32_MAX);
    emit_rm(e, XO_MOV_M, W16, reg, CPU(seg[seg].selector));
    emit_mi(e, XO_MOV16_I, W16, CPU(seg[seg].attr), attr);
}

/* cpu_recompute_flat() from 64-bit code to 64-bit code, where CPL stays, */
static void enter_flat(struct emit *e)
{
    emit_mi(e, XO_MOV8_I, W32, CPU(cs_flat), true);
    emit_mi(e, XO_MOV8_I, W32, CPU(ss_flat), true);
    emit_mi(e, XO_MOV8_I, W32, CPU(stack32), true);
}

/* and where it changes. */
static void change_cpl(struct emit *e, unsigned cpl)
{
    enter_flat(e);
    emit_mi(e, XO_MOV8_I, W32, CPU(cpl), cpl);
    for (unsigned half = 0; half < 2; half++)
        if (cpl)
            emit_mi(e, XO_OR8_I, W32, CPU(code_ctx[half]), CODE_CTX_USER);
        else
            emit_mi(e, XO_AND8_I, W32, CPU(code_ctx[half]), 0xff & ~CODE_CTX_USER);
    jit_emit_use_tables(e, cpl ? TLB_FOR_USER : TLB_FOR_KERNEL);
    jit_emit_empty_slots(e);
}

/* Selector of CS in reg, which becomes that of SS. */
static void set_both_flat(struct emit *e, unsigned cpl, unsigned reg, int ss_behind_cs)
{
    set_flat(e, X86_CS, cpl, reg);
    emit_ri(e, XO_ADD_I8, W32, reg, (uint64_t)(int64_t)ss_behind_cs);
    set_flat(e, X86_SS, cpl, reg);
    change_cpl(e, cpl);
}

static void bail_without_sce(struct emit *e, struct bails *b)
{
    emit_mi(e, XO_TEST8_I, W32, CPU(efer), X86_EFER_SCE);
    bail_if(e, b, CC_E);
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
    if (ends)
        bail_if_nonzero(e, b, CPU(user_ends));
}

static void emit_syscall(struct emit *e, const struct jit *j, bool check, bool ends)
{
    struct bails b = {.count = 0};

    bail_unless_usual(e, &b, check);
    bail_without_sce(e, &b);
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
    set_both_flat(e, 0, H_RCX, 8);
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
    bail_without_sce(e, &b);
    bail_if_nonzero(e, &b, CPU(cpl));
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
    set_both_flat(e, 3, H_R11, -8);
    emit_rm(e, XO_MOV, W64, H_R11, CPU(jit_resume));
    emit_jmp_mem(e, H_R11, offsetof(struct block_jump, code));
    emit_bails(e, &b, j);
}

/* ---- IRET ----
 *
 * From CPL 0 to flat 64-bit code of CPL 3 or 0, as kernels return from interrupts and exceptions. Stack and
 * GDT are read where the TLB knows them, in the half of the address space that the code is in. The scratch
 * registers are not enough: RAX, RCX and RDX are put away where they belong. */

static const uint8_t put_away[] = {X86_RAX, X86_RCX, X86_RDX};

enum { FRAME_RIP, FRAME_CS = 8, FRAME_RFLAGS = 16, FRAME_RSP = 24, FRAME_SS = 32, FRAME_BYTES = 40 };

/* What IRET takes at CPL 0, but for TF and AC, which are clear or it is not done here; another vCPU may have set them
 * in the frame since that was looked at. */
#define IRET_FLAGS                                                                                 \
    (X86_FLAGS_ARITH | X86_FLAG_DF | X86_FLAG_NT | X86_FLAG_RF | X86_FLAG_ID | X86_FLAG_IF | X86_FLAG_IOPL |       \
     X86_FLAG_VIF | X86_FLAG_VIP)

static struct host_mem frame(int32_t at)
{
    return host_mem(H_RCX, at);
}

/* r11 = the addend of size bytes at what reg is. */
static void look_up(struct emit *e, struct bails *b, bool upper, unsigned reg, int32_t size)
{
    uint8_t *half;

    emit_move(e, H_R11, reg);
    emit_lea(e, H_R10, reg, H_NONE, 0, size - 1);
    add_bail(b, jit_emit_look_up(e, jit_table(upper), MMU_READ, 0, &half));
}

/* rcx = where the host has the frame. */
static void find_frame(struct emit *e, struct bails *b, bool upper)
{
    look_up(e, b, upper, H_GUEST_RSP, FRAME_BYTES);
    emit_lea(e, H_RCX, H_GUEST_RSP, H_R11, 0, 0);
}

/* As it lies in a table. */
static uint64_t flat_descriptor(unsigned attr)
{
    return 0xffff | (uint64_t)(attr & 0xff) << 40 | UINT64_C(0xf) << 48 | (uint64_t)(attr >> 12) << 52;
}

/* Is the frame's selector at `at` one of cpl, whose descriptor in the GDT, which has been accessed, is that
 * of a flat segment? edx = the selector. */
static void check_flat(struct emit *e, struct bails *b, bool upper, int32_t at, unsigned attr, unsigned cpl)
{
    emit_rm(e, XO_MOVZX16, W32, H_RDX, frame(at));
    emit_move_sized(e, H_RAX, H_RDX, W32);
    emit_ri(e, XO_AND_I8, W32, H_RAX, 7); /* with the table's bit */
    emit_ri(e, XO_CMP_I8, W32, H_RAX, cpl);
    bail_if(e, b, CC_NE);
    emit_move_sized(e, H_RAX, H_RDX, W32);
    emit_ri(e, XO_AND_I, W32, H_RAX, 0xfff8);
    bail_if(e, b, CC_E);
    emit_lea(e, H_R10, H_RAX, H_NONE, 0, 7);
    emit_rm(e, XO_MOVZX16, W32, H_R11, CPU(gdtr.limit));
    emit_rr(e, XO_CMP_M, W32, H_R11, H_R10);
    bail_if(e, b, CC_A);
    emit_rm(e, XO_ADD, W64, H_RAX, CPU(gdtr.base));
    look_up(e, b, upper, H_RAX, 8);
    emit_const(e, H_R10, flat_descriptor(attr | cpl << SEG_ATTR_DPL_SHIFT));
    emit_rm(e, XO_CMP, W64, H_R10, host_mem_indexed(H_RAX, H_R11, 0, 0));
    bail_if(e, b, CC_NE);
}

_Static_assert(offsetof(struct x86_segment, attr) == offsetof(struct x86_segment, selector) + 2, "one word");

/* Returns to an outer level drop segments that it may not use (seg_drop_inner()), and empty ones again:
 * there must not be others. */
static void bail_unless_empty(struct emit *e, struct bails *b)
{
    emit_rm(e, XO_MOV, W32, H_RAX, CPU(seg[X86_ES].selector));
    emit_rm(e, XO_OR, W32, H_RAX, CPU(seg[X86_DS].selector));
    emit_rm(e, XO_OR, W32, H_RAX, CPU(seg[X86_FS].selector));
    emit_rm(e, XO_OR, W32, H_RAX, CPU(seg[X86_GS].selector));
    emit_ri(e, XO_TEST_I, W32, H_RAX, 0xffff | SEG_ATTR_P << 16);
    bail_if(e, b, CC_NE);
}

/* All has been looked at; r11: the struct block_jump of where to go on. */
static void take_frame(struct emit *e)
{
    emit_rm(e, XO_MOV, W64, H_RAX, frame(FRAME_RFLAGS));
    emit_rm(e, XO_MOV8_M, W32, H_RAX, CPU_BEHIND(jit_flags, 1));
    emit_move_sized(e, H_RDX, H_RAX, W32);
    emit_ri(e, XO_AND_I, W32, H_RDX, IRET_FLAGS & ~(uint64_t)X86_FLAGS_ARITH);
    emit_ri(e, XO_OR_I8, W32, H_RDX, X86_FLAG_1);
    emit_rm(e, XO_MOV_M, W64, H_RDX, CPU(rflags));
    emit_ri(e, XO_SHR_I8, W32, H_RAX, OF_BIT);
    emit_ri(e, XO_AND_I8, W32, H_RAX, AF_OF);
    emit_rm(e, XO_MOV8_M, W32, H_RAX, CPU(jit_flags));
    emit_rm(e, XO_MOV, W64, H_GUEST_RSP, frame(FRAME_RSP));
    emit_mi(e, XO_MOV8_I, W32, CPU(nmi_blocked), false);
    for (unsigned n = 0; n < sizeof(put_away); n++)
        emit_load(e, put_away[n], H_R15, REG_OFF(put_away[n]));
    emit_jmp_mem(e, H_R11, offsetof(struct block_jump, code));
}

static void iret_to_user(struct emit *e, struct bails *b, bool upper, bool ends)
{
    bail_where_it_ends(e, b, ends);
    bail_unless_empty(e, b);
    check_flat(e, b, upper, FRAME_CS, SEG_ATTR_CODE64, 3);
    check_flat(e, b, upper, FRAME_SS, SEG_ATTR_DATA32, 3);
    emit_rm(e, XO_MOV, W64, H_R10, frame(FRAME_RIP));
    find_target(e, b, 0, XO_OR_I8, CODE_CTX_USER);
    set_flat(e, X86_SS, 3, H_RDX);
    emit_rm(e, XO_MOVZX16, W32, H_RDX, frame(FRAME_CS));
    set_flat(e, X86_CS, 3, H_RDX);
    change_cpl(e, 3);
    take_frame(e);
}

/* Interrupts from CPL 3 have left SS null. */
static void iret_to_kernel(struct emit *e, struct bails *b, bool upper)
{
    uint8_t *null, *null_too, *checked;

    check_flat(e, b, upper, FRAME_CS, SEG_ATTR_CODE64, 0);
    emit_mi(e, XO_CMP_I8, W16, frame(FRAME_SS), 0);
    null = emit_jcc_forward(e, CC_E);
    check_flat(e, b, upper, FRAME_SS, SEG_ATTR_DATA32, 0);
    emit_patch(e, null);
    emit_rm(e, XO_MOV, W64, H_R10, frame(FRAME_RIP));
    find_target(e, b, upper, XO_AND_I, (unsigned)~CODE_CTX_USER);
    emit_rm(e, XO_MOVZX16, W32, H_RDX, frame(FRAME_CS));
    set_flat(e, X86_CS, 0, H_RDX);
    emit_rm(e, XO_MOVZX16, W32, H_RDX, frame(FRAME_SS));
    emit_rr(e, XO_TEST, W32, H_RDX, H_RDX);
    null_too = emit_jcc_forward(e, CC_E);
    set_flat(e, X86_SS, 0, H_RDX);
    checked = emit_jmp_forward(e);
    emit_patch(e, null_too);
    emit_mi(e, XO_MOV_I, W64, CPU(seg[X86_SS].base), 0);
    emit_mi(e, XO_MOV_I, W64, CPU(seg[X86_SS].limit), 0); /* and selector and attributes */
    emit_patch(e, checked);
    enter_flat(e);
    take_frame(e);
}

_Static_assert(offsetof(struct x86_segment, limit) + 8 == sizeof(struct x86_segment), "two words");

static void emit_iret(struct emit *e, const struct jit *j, bool upper, bool check, bool ends)
{
    struct bails b = {.count = 0};
    uint8_t *kernel;

    for (unsigned n = 0; n < sizeof(put_away); n++)
        emit_store(e, put_away[n], H_R15, REG_OFF(put_away[n]));
    bail_unless_usual(e, &b, check);
    bail_if_nonzero(e, &b, CPU(cpl));
    emit_mi(e, XO_TEST_I, W32, CPU(rflags), X86_FLAG_NT | X86_FLAG_AC);
    bail_if(e, &b, CC_NE);
    find_frame(e, &b, upper);
    emit_mi(e, XO_TEST_I, W32, frame(FRAME_RFLAGS), X86_FLAG_TF | X86_FLAG_AC);
    bail_if(e, &b, CC_NE);
    emit_mi(e, XO_TEST8_I, W32, frame(FRAME_CS), 3);
    kernel = emit_jcc_forward(e, CC_E);
    iret_to_user(e, &b, upper, ends);
    emit_patch(e, kernel);
    iret_to_kernel(e, &b, upper);
    patch_bails(e, &b);
    for (unsigned n = 0; n < sizeof(put_away); n++)
        emit_load(e, put_away[n], H_R15, REG_OFF(put_away[n]));
    emit_rm(e, XO_MOV, W64, H_R11, CPU(jit_word));
    emit_jmp(e, j->bail[true]);
}

void jit_emit_privilege_stubs(struct x86_cpu *c, struct emit *e)
{
    struct jit *j = c->jit;

    j->syscall = emit_here(e);
    emit_syscall(e, j, c->check, c->user_ends);
    j->sysret = emit_here(e);
    emit_sysret(e, j, c->check, c->user_ends);
    for (unsigned upper = 0; upper < 2; upper++) {
        j->iret[upper] = emit_here(e);
        emit_iret(e, j, upper, c->check, c->user_ends);
    }
}

/* ---- translating them ---- */

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

/* The flags of now do not matter to SYSRET and IRET. */
static bool go_by_frame(struct translation *t, unsigned n, const uint8_t *stub)
{
    struct jit_bail *bail = jit_data_alloc(t, sizeof(*bail));

    *bail = (struct jit_bail){&t->b->insn[n + 1], t->b->home_rip};
    jit_note_word(t, &bail->block_rip);
    jit_flags_spare(t, n);
    if (!t->kept)
        jit_emit_save_flags(&t->e);
    jit_jump_with(t, stub, bail);
    t->ended = true;
    return true;
}

bool jit_op_privilege(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];

    switch (d->op) {
    case X86_OP_SYSCALL:
        return op_syscall(t, n);
    case X86_OP_SYSRET: /* to 64-bit code */
        return !t->narrow && d->rex_w && go_by_frame(t, n, t->j->sysret);
    case X86_OP_IRET:
        return !t->narrow && d->osize == 8 && go_by_frame(t, n, t->j->iret[t->upper]);
    default:
        return false;
    }
}
