/* SPDX-License-Identifier: MIT */
/* One instruction: its own encoding with other registers and another memory operand. That is done to
 * what the table of operations says can be copied (X86_ATTR_COPY, X86_ATTR_FIXED); the others have a
 * function here or in jit_integer.c, or are interpreted. */
#include "cpu/x86/cpuid.h"
#include "cpu/x86/jit/translate.h"

/* Where the parts of the guest's encoding are. */
struct parts {
    unsigned imm_at, imm_len;
};

static struct parts find_parts(const struct x86_decoded *d)
{
    unsigned at = d->opcode_off + 1u;

    if (d->has_modrm) {
        unsigned rm = d->modrm & 7, disp = 0;

        at++;
        if (d->mod == 1)
            disp = 1;
        else if (d->mod == 2 || (d->mod == 0 && rm == 5))
            disp = 4;
        if (d->mod != 3 && rm == 4) {
            if (d->mod == 0 && (d->base == X86_NO_REG))
                disp = 4;
            at++;
        }
        at += disp;
    }
    return (struct parts){at, d->len - at};
}

static const struct x86_operand *memory_operand(const struct x86_decoded *d)
{
    for (unsigned n = 0; n < d->operand_count; n++)
        if (d->operand[n].kind == X86_OPERAND_MEM)
            return &d->operand[n];
    return NULL;
}

static bool has_high_byte(const struct x86_decoded *d)
{
    for (unsigned n = 0; n < d->operand_count; n++)
        if (d->operand[n].high_byte)
            return true;
    return false;
}

/* Is its memory operand a string of bits, which reaches beyond it? */
static bool is_bit_string(const struct x86_decoded *d)
{
    return d->info->attr & X86_ATTR_BIT_STRING && d->operand[1].kind == X86_OPERAND_GPR;
}

/* Of AL, AX, EAX or RAX and an immediate, or of other registers that are the host's too. */
static bool is_fixed(const struct x86_decoded *d)
{
    return d->info->attr & X86_ATTR_FIXED ||
           (d->info->attr & X86_ATTR_COPY && !d->has_modrm && d->operand[0].implicit &&
            d->operand[1].kind == X86_OPERAND_IMM);
}

/* Prefixes, REX, escape and opcode; reg, rm and index are host registers. */
static void copy_opcode(struct emit *e, const struct x86_decoded *d, unsigned opcode,
                        unsigned reg, unsigned rm, unsigned index)
{
    unsigned rex = 0x40u | (unsigned)d->rex_w << 3 | (reg > 7) << 2 |
                   (index != H_NONE && index > 7) << 1 | (rm > 7);

    if (d->prefixes & X86_PREFIX_LOCK)
        emit8(e, PREFIX_LOCK);
    if (d->prefixes & X86_PREFIX_OPSIZE)
        emit8(e, PREFIX_OPSIZE);
    if (d->map == X86_MAP_0F && (d->opcode == 0xb8 || d->opcode == 0xbc || d->opcode == 0xbd) &&
        (d->prefixes & X86_PREFIX_REP))
        emit8(e, PREFIX_REP);
    if (d->map == X86_MAP_0F38 && d->prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE))
        emit8(e, d->prefixes & X86_PREFIX_REP ? PREFIX_REP : PREFIX_REPNE);
    if (rex != 0x40 || (d->prefixes & X86_PREFIX_REX))
        emit8(e, rex);
    if (d->map != X86_MAP_1)
        emit8(e, ESCAPE_0F);
    if (d->map == X86_MAP_0F38)
        emit8(e, ESCAPE_38);
    emit8(e, opcode);
}

static void copy_imm(struct translation *t, unsigned n)
{
    struct parts p = find_parts(&t->d[n]);
    const uint8_t *bytes = t->bytes + t->b->insn[n + 1].off;

    emit_bytes(&t->e, bytes + p.imm_at, p.imm_len);
}

/* Is the ModRM reg field a register operand (and not an opcode extension)? */
static bool reg_is_operand(const struct x86_decoded *d)
{
    for (unsigned n = 0; n < d->operand_count; n++)
        if (d->operand[n].modrm_reg)
            return true;
    return false;
}

static bool written(const struct x86_decoded *d, unsigned g)
{
    for (unsigned n = 0; n < d->operand_count; n++)
        if (d->operand[n].kind == X86_OPERAND_GPR && d->operand[n].reg == g &&
            d->operand[n].written)
            return true;
    return false;
}

/* Is all of the register overwritten, whatever was in it? */
static bool overwritten(const struct x86_decoded *d, unsigned g)
{
    bool whole = false;

    for (unsigned n = 0; n < d->operand_count; n++) {
        const struct x86_operand *o = &d->operand[n];

        if (o->kind != X86_OPERAND_GPR || o->reg != g)
            continue;
        if (o->read || !o->written || o->size < 4)
            return false;
        whole = true;
    }
    return whole && !(d->info->attr & X86_ATTR_MAY_KEEP);
}

/* Host register for guest register g; one that lives in memory is loaded into scratch. */
static unsigned bring(struct translation *t, unsigned n, unsigned g, unsigned scratch)
{
    if (!jit_in_memory(g))
        return jit_host_reg(g);
    if (!overwritten(&t->d[n], g))
        emit_load(&t->e, scratch, H_R15, REG_OFF(g));
    return scratch;
}

/* r10 is left with guest register g: the next instruction need not load it. */
static void hold(struct translation *t, unsigned n, unsigned g)
{
    if (jit_in_memory(g) && translation_has(t, JIT_OPT_HOLD)) {
        t->held = (uint8_t)g;
        t->held_for = n + 1;
    }
}

static bool is_held(const struct translation *t, unsigned n, unsigned g)
{
    return t->held_for == n && t->held == g;
}

/* bring() to r10, by an instruction that has not changed it yet */
static unsigned bring_held(struct translation *t, unsigned n, unsigned g)
{
    return is_held(t, n, g) ? H_R10 : bring(t, n, g, H_R10);
}

static void put_back(struct translation *t, unsigned n, unsigned g, unsigned scratch)
{
    if (jit_in_memory(g) && written(&t->d[n], g))
        emit_store(&t->e, scratch, H_R15, REG_OFF(g));
}

/* Is g, which lives in memory, not written by d, or as a whole? What is narrower would have to
 * clear the upper half, or be slow to read again. */
static bool may_stay(const struct x86_decoded *d, unsigned g)
{
    for (unsigned n = 0; n < d->operand_count; n++)
        if (d->operand[n].kind == X86_OPERAND_GPR && d->operand[n].reg == g &&
            d->operand[n].written && d->operand[n].size != 8)
            return false;
    return true;
}

/* The opcode with reg and rm exchanged, or 0. */
static unsigned exchanged(const struct x86_decoded *d)
{
    if (d->map != X86_MAP_1)
        return 0;
    if ((d->opcode < 0x40 && (d->opcode & 7) < 4) || (d->opcode & 0xfc) == 0x88)
        return d->opcode ^ 2u;
    return (d->opcode & 0xfe) == 0x84 ? d->opcode : 0; /* TEST */
}

/* Does it lock, mean something else, or leave other undefined flags (interp/shift.c), when a register
 * of its is in memory? */
static bool minds_memory(const struct x86_decoded *d)
{
    return d->info->attr & X86_ATTR_MINDS_MEMORY || is_bit_string(d) ||
           (d->info->attr & X86_ATTR_MINDS_IMM && d->operand[1].kind == X86_OPERAND_IMM &&
            !d->operand[1].implicit);
}

/* With a guest register that lives in memory as the host's memory operand. */
static bool op_in_place(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    bool uses_reg = reg_is_operand(d);
    unsigned opcode = d->opcode, reg = d->reg & 7, g = d->rm;

    if (!translation_has(t, JIT_OPT_PLACE) || minds_memory(d) || (uses_reg && d->reg == d->rm) ||
        is_held(t, n, d->rm) || (uses_reg && is_held(t, n, d->reg)))
        return false;
    if (jit_in_memory(d->rm)) {
        if (!may_stay(d, d->rm))
            return false;
        jit_flags_op(t, n, H_R11);
        if (uses_reg)
            reg = bring(t, n, d->reg, H_R11);
    } else if (uses_reg && jit_in_memory(d->reg) && exchanged(d) && may_stay(d, d->reg)) {
        jit_flags_op(t, n, H_R11);
        opcode = exchanged(d);
        reg = jit_host_reg(d->rm);
        g = d->reg;
    } else {
        return false;
    }
    copy_opcode(&t->e, d, opcode, reg, H_R15, H_NONE);
    emit_modrm(&t->e, reg, GUEST_REG(g));
    copy_imm(t, n);
    if (uses_reg && g == d->rm)
        put_back(t, n, d->reg, H_R11);
    return true;
}

static bool is_zeroing(const struct x86_decoded *d)
{
    return d->op == X86_OP_XOR && d->osize >= 4 && (d->opcode == 0x31 || d->opcode == 0x33) &&
           d->reg == d->rm && jit_in_memory(d->rm);
}

static bool op_register_form(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    bool uses_reg = reg_is_operand(d);
    bool two = uses_reg && d->reg != d->rm && jit_in_memory(d->rm); /* r10 is for rm */
    unsigned reg = d->reg & 7, rm;

    if (has_high_byte(d) &&
        ((uses_reg && (jit_in_memory(d->reg) || d->reg == X86_RSP)) || d->rm > 7))
        return false;
    if (!has_high_byte(d) && op_in_place(t, n))
        return true;
    jit_flags_op(t, n, H_R11);
    if (is_zeroing(d)) { /* it need not be loaded */
        emit_rr(&t->e, XO_XOR_M, W32, H_R10, H_R10);
        put_back(t, n, d->rm, H_R10);
        return true;
    }
    if (has_high_byte(d)) { /* AH..BH: copied, registers 0 to 7 are where they were */
        copy_opcode(&t->e, d, d->opcode, d->reg, d->rm, H_NONE);
        emit_modrm_reg(&t->e, d->reg, d->rm);
        copy_imm(t, n);
        return true;
    }
    rm = bring_held(t, n, d->rm);
    if (uses_reg)
        reg = d->reg == d->rm ? rm : two ? bring(t, n, d->reg, H_R11) : bring_held(t, n, d->reg);
    copy_opcode(&t->e, d, d->opcode, reg, rm, H_NONE);
    emit_modrm_reg(&t->e, reg, rm);
    copy_imm(t, n);
    put_back(t, n, d->rm, H_R10);
    if (uses_reg && d->reg != d->rm)
        put_back(t, n, d->reg, two ? H_R11 : H_R10);
    hold(t, n, jit_in_memory(d->rm) || !uses_reg ? d->rm : d->reg);
    return true;
}

/* xchg al, ah and so on: flags stay */
static void swap_bytes(struct emit *e, unsigned reg)
{
    emit_op(e, XO_XCHG8), emit_modrm_reg(e, reg, reg + 4);
}

static bool op_memory_form(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    const struct x86_operand *m = memory_operand(d);
    bool uses_reg = reg_is_operand(d), high = has_high_byte(d);
    unsigned reg = d->reg & 7;
    struct address a;
    struct place p;

    if (!m || !m->size || m->size > 8 || !jit_address_is_plain(t, d) ||
        (high && d->op == X86_OP_CMPXCHG))
        return false;
    a = jit_operand_address(t, n);
    p = jit_look_up(t, n, &a, m->size, m->written ? MMU_WRITE : MMU_READ, 0);
    jit_note_sole(t);
    if (high || (uses_reg && jit_in_memory(d->reg) && p.spare == H_NONE))
        jit_fold(t, &p);
    jit_flags_op(t, n, p.spare);
    if (high) /* the address needs a REX prefix, with which there is no AH: do it in AL meanwhile */
        swap_bytes(&t->e, reg &= 3);
    else if (uses_reg)
        reg = bring(t, n, d->reg, p.spare);
    copy_opcode(&t->e, d, d->opcode, reg, p.base, p.index);
    emit_modrm(&t->e, reg, place_mem(&p));
    copy_imm(t, n);
    if (high)
        swap_bytes(&t->e, reg);
    else if (uses_reg)
        put_back(t, n, d->reg, p.spare);
    if (uses_reg && !high && p.spare == H_R10)
        hold(t, n, d->reg);
    return true;
}

static bool op_plain(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];

    if (t->narrow && d->map == X86_MAP_1 && d->opcode == 0x82)
        return false; /* 64-bit code has no such alias */
    if (!(d->info->attr & X86_ATTR_COPY) || !d->has_modrm || (d->has_mem && is_bit_string(d)) ||
        (d->op == X86_OP_MOVSXD && d->osize < 4)) /* makers differ in what it reads */
        return false;
    return d->has_mem ? op_memory_form(t, n) : op_register_form(t, n);
}

static bool op_fixed(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];

    jit_flags_op(t, n, H_R11);
    copy_opcode(&t->e, d, d->opcode, 0, 0, H_NONE);
    copy_imm(t, n);
    return true;
}

static bool op_mov_imm8(struct translation *t, unsigned n)
{
    const struct x86_operand *o = &t->d[n].operand[0];
    unsigned value = t->d[n].imm & 0xff;
    struct emit *e = &t->e;

    if (o->high_byte) { /* where there is no REX prefix */
        emit_o(e, XO_MOV8_O, W32, o->reg + 4u);
        emit8(e, value);
    } else if (jit_in_memory(o->reg)) {
        emit_mi(e, XO_MOV8_I, W32, GUEST_REG(o->reg), value);
    } else {
        emit_const8(e, jit_host_reg(o->reg), value);
    }
    return true;
}

/* B0-BF: the register is in the opcode. */
static bool op_mov_imm(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    unsigned g = d->operand[0].reg, h = jit_in_memory(g) ? H_R10 : jit_host_reg(g);

    if (d->opcode < 0xb8)
        return op_mov_imm8(t, n);
    if (d->osize < 4)
        return false;
    uint64_t value = d->osize == 8 ? d->imm : (uint32_t)d->imm;

    if (h == H_R10 && value == (uint64_t)(int64_t)(int32_t)value) {
        emit_mi(&t->e, XO_MOV_I, W64, GUEST_REG(g), value);
        return true;
    }
    emit_const(&t->e, h, value);
    if (h == H_R10)
        emit_store(&t->e, H_R10, H_R15, REG_OFF(g));
    hold(t, n, g);
    return true;
}

/* 40-4F, of which 64-bit code has only the long forms. */
static bool op_short_incdec(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    unsigned h = jit_host_reg(d->operand[0].reg);

    if (d->prefixes & X86_PREFIX_LOCK)
        return false;
    jit_flags_op(t, n, H_R11);
    copy_opcode(&t->e, d, XO_INCDEC, 0, h, H_NONE);
    emit_modrm_reg(&t->e, d->op == X86_OP_DEC, h);
    return true;
}

static bool op_lea(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    unsigned h = jit_in_memory(d->reg) ? H_R10 : jit_host_reg(d->reg);
    struct address a = jit_operand_address(t, n);
    enum emit_width w = emit_width(d->osize == 8);

    if (d->asize != word_size(t) || d->osize < 4 || d->disp != (int32_t)d->disp)
        return false;
    a.seg = X86_DS; /* LEA has no segment */
    if (a.by_rip && d->osize == 8) {
        jit_emit_own(t, h, a.at);
    } else if (a.fixed) {
        t->moves &= !a.by_rip;
        emit_const(&t->e, h, d->osize == 8 ? a.at : (uint32_t)a.at);
    } else if ((a.base < 16 && jit_in_memory(a.base)) || (a.index < 16 && jit_in_memory(a.index))) {
        jit_address(t, &a);
        emit_move_sized(&t->e, h, H_R10, w);
    } else {
        unsigned base = a.base < 16 ? jit_host_reg(a.base) : H_NONE;

        emit_rm(&t->e, XO_LEA, w, h,
                host_mem_indexed(base, a.index < 16 ? a.index : H_NONE, a.scale, a.disp));
    }
    if (h == H_R10)
        emit_store(&t->e, H_R10, H_R15, REG_OFF(d->reg));
    hold(t, n, d->reg);
    return true;
}

/* 0F C8-CF: the register is in the opcode. */
static bool op_bswap(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    unsigned g = d->operand[0].reg, h = bring(t, n, g, H_R10);

    if (d->osize < 4)
        return false;
    emit_bswap(&t->e, h, emit_width(d->osize == 8));
    put_back(t, n, g, H_R10);
    return true;
}

/* ---- the stack ---- */

/* Where a word is pushed to. */
static struct place push_place(struct translation *t, unsigned n)
{
    struct address a = jit_stack_address(t, -(int32_t)word_size(t));

    return jit_look_up(t, n, &a, word_size(t), MMU_WRITE, 0);
}

static void move_rsp(struct translation *t, int32_t by)
{
    if (t->narrow)
        emit_lea32(&t->e, H_GUEST_RSP, H_GUEST_RSP, H_NONE, 0, by);
    else
        emit_lea(&t->e, H_GUEST_RSP, H_GUEST_RSP, H_NONE, 0, by);
}

/* Can it be stored without a register? */
static bool is_short(const struct translation *t, uint64_t value)
{
    return t->narrow || value == (uint64_t)(int64_t)(int32_t)value;
}

/* mov word [p], value; p.spare is clobbered unless it is short */
static void store_const(struct translation *t, const struct place *p, uint64_t value)
{
    if (is_short(t, value)) {
        emit_mi(&t->e, XO_MOV_I, word_width(t), place_mem(p), value);
    } else {
        emit_const(&t->e, p->spare, value);
        jit_emit_at(t, XO_MOV_M, p->spare, p);
    }
}

/* Is the address behind instruction n, which a call pushes? */
static bool returns_short(const struct translation *t, unsigned n)
{
    return !t->moves && is_short(t, insn_behind(t, n));
}

/* The same of that address. */
static void store_return(struct translation *t, const struct place *p, unsigned n)
{
    if (returns_short(t, n)) {
        store_const(t, p, insn_behind(t, n));
    } else {
        jit_emit_own(t, p->spare, insn_behind(t, n));
        jit_emit_at(t, XO_MOV_M, p->spare, p);
    }
}

/* r10 = the word of the memory operand, kept in jit_word too. */
static void load_operand(struct translation *t, unsigned n)
{
    struct address a = jit_operand_address(t, n);
    struct place p = jit_look_up(t, n, &a, word_size(t), MMU_READ, 0);

    jit_emit_at(t, XO_MOV, H_R10, &p);
    emit_store(&t->e, H_R10, H_R15, CPU_OFF(jit_word));
}

static bool op_push(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    struct place p;

    if (d->osize != word_size(t) || (d->has_mem && !jit_address_is_plain(t, d)))
        return false;
    if (d->has_mem)
        load_operand(t, n);
    p = push_place(t, n);
    if (!d->has_mem)
        jit_note_sole(t);
    if (d->has_mem) {
        emit_load(&t->e, H_R10, H_R15, CPU_OFF(jit_word));
        jit_emit_at(t, XO_MOV_M, H_R10, &p);
    } else if (d->operand[0].kind == X86_OPERAND_GPR) {
        jit_emit_at(t, XO_MOV_M, bring(t, n, d->operand[0].reg, p.spare), &p);
    } else {
        store_const(t, &p, d->imm);
    }
    move_rsp(t, -(int32_t)word_size(t));
    return true;
}

static bool op_pop(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    struct address a = jit_stack_address(t, 0);
    unsigned g = d->operand[0].reg, h = jit_in_memory(g) ? H_R10 : jit_host_reg(g);
    struct place p;

    if (d->osize != word_size(t) || d->has_mem || d->operand[0].kind != X86_OPERAND_GPR)
        return false;
    p = jit_look_up(t, n, &a, word_size(t), MMU_READ, 0);
    jit_note_sole(t);
    jit_emit_at(t, XO_MOV, h, &p);
    if (g != X86_RSP)
        move_rsp(t, (int32_t)word_size(t));
    if (h == H_R10)
        emit_store(&t->e, H_R10, H_R15, REG_OFF(g));
    hold(t, n, g);
    return true;
}

static bool op_leave(struct translation *t, unsigned n)
{
    struct address a = {.base = X86_RBP, .index = X86_NO_REG, .seg = X86_SS, .narrow = t->narrow};
    struct place p;

    if (t->d[n].osize != word_size(t))
        return false;
    p = jit_look_up(t, n, &a, word_size(t), MMU_READ, 0);
    if (t->narrow)
        emit_lea32(&t->e, H_GUEST_RSP, H_RBP, H_NONE, 0, 4);
    else
        emit_lea(&t->e, H_GUEST_RSP, H_RBP, H_NONE, 0, 8);
    jit_emit_at(t, XO_MOV, H_RBP, &p);
    return true;
}

/* ---- branches ---- */

static bool op_jcc(struct translation *t, unsigned n)
{
    unsigned cc = t->d[n].opcode & 15;
    uint64_t target = insn_target(t, n);
    uint8_t *taken = NULL;
    bool kept;

    jit_flags_op(t, n, H_R11);
    if (in_own_page(t, target))
        jit_exit_to(t, 0, target, (int)cc);
    else
        taken = emit_jcc_forward(&t->e, cc);
    kept = t->kept;
    jit_exit_to(t, 1, insn_behind(t, n), -1);
    if (taken) {
        emit_patch(&t->e, taken);
        t->in_eflags = true;
        t->kept = kept;
        jit_exit_to(t, 0, target, -1);
    }
    t->ended = true;
    return true;
}

static bool op_jmp(struct translation *t, unsigned n)
{
    jit_exit_to(t, 0, insn_target(t, n), -1);
    t->ended = true;
    return true;
}

static bool op_call(struct translation *t, unsigned n)
{
    struct place p = push_place(t, n);

    jit_note_sole(t);
    store_return(t, &p, n);
    move_rsp(t, -(int32_t)word_size(t));
    jit_exit_to(t, 0, insn_target(t, n), -1);
    t->ended = true;
    return true;
}

void jit_return(struct translation *t, unsigned n)
{
    jit_find_target(t, n);
    move_rsp(t, (int32_t)word_size(t) + (int32_t)(t->d[n].imm & 0xffff));
    jit_jump_to_target(t);
    t->ended = true;
}

static bool op_ret(struct translation *t, unsigned n)
{
    struct address a = jit_stack_address(t, 0);
    struct place p = jit_look_up(t, n, &a, word_size(t), MMU_READ, 0);

    jit_note_sole(t);
    jit_emit_at(t, XO_MOV, H_R10, &p);
    jit_return(t, n);
    return true;
}

/* r10 = the target of an indirect branch. */
static bool load_target(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];

    if (d->has_mem) {
        struct address a = jit_operand_address(t, n);
        struct place p;

        if (!jit_address_is_plain(t, d))
            return false;
        p = jit_look_up(t, n, &a, word_size(t), MMU_READ, 0);
        jit_emit_at(t, XO_MOV, H_R10, &p);
    } else {
        unsigned h = bring(t, n, d->rm, H_R10);

        if (h != H_R10)
            emit_move_sized(&t->e, H_R10, h, word_width(t));
    }
    return true;
}

static bool op_jmp_indirect(struct translation *t, unsigned n)
{
    if (!load_target(t, n))
        return false;
    jit_find_target(t, n);
    jit_jump_to_target(t);
    t->ended = true;
    return true;
}

/* The target is looked for before anything is pushed: one that is not canonical faults first. */
static bool op_call_indirect(struct translation *t, unsigned n)
{
    struct place p;

    if (t->d[n].has_mem && !jit_address_is_plain(t, &t->d[n]))
        return false;
    p = push_place(t, n);
    jit_fold(t, &p);
    emit_store(&t->e, H_R10, H_R15, CPU_OFF(jit_word));
    load_target(t, n);
    jit_find_target(t, n);
    emit_load(&t->e, H_R10, H_R15, CPU_OFF(jit_word));
    p.spare = H_NONE;
    if (returns_short(t, n)) {
        store_return(t, &p, n);
    } else { /* r11 is in use */
        emit_store(&t->e, H_R11, H_R15, CPU_OFF(jit_addend));
        p.spare = H_R11;
        store_return(t, &p, n);
        emit_load(&t->e, H_R11, H_R15, CPU_OFF(jit_addend));
    }
    move_rsp(t, -(int32_t)word_size(t));
    jit_jump_to_target(t);
    t->ended = true;
    return true;
}

/* The forms whose targets are as wide as addresses; direct ones lead to canonical addresses. */
static bool in_plain_form(const struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];

    return !(d->prefixes & (X86_PREFIX_OPSIZE | X86_PREFIX_ADDRSIZE)) &&
           is_canonical(insn_target(t, n));
}

static bool has_indirect(const struct translation *t)
{
    return translation_has(t, JIT_OPT_INDIRECT);
}

bool jit_is_return(const struct translation *t, unsigned n)
{
    return t->d[n].op == X86_OP_RET && has_indirect(t) && in_plain_form(t, n);
}

/* Does translated code look into the TLB for it? */
static bool accesses_memory(const struct x86_decoded *d)
{
    return d->info->attr & X86_ATTR_MEMORY || (d->has_mem && !(d->info->attr & X86_ATTR_ADDRESS));
}

bool jit_op(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];

    if (d->feature != X86_FEATURE_BASE && !t->c->vm->cpuid->feature[d->feature])
        return false;
    if (accesses_memory(d) && !translation_has(t, JIT_OPT_MEMORY))
        return false;
    switch (d->op) {
    case X86_OP_NOP: case X86_OP_ENDBR64: case X86_OP_ENDBR32: case X86_OP_PREFETCHT0:
    case X86_OP_PREFETCHT1: case X86_OP_PREFETCHT2: case X86_OP_PREFETCHNTA: case X86_OP_PREFETCHW:
    case X86_OP_PREFETCHWT1: case X86_OP_PREFETCH:
        return true;
    case X86_OP_XRSTOR:
        return jit_op_system(t, n); /* it ends blocks */
    case X86_OP_LEA:
        return op_lea(t, n);
    case X86_OP_PUSH:
        return op_push(t, n);
    case X86_OP_POP:
        return op_pop(t, n);
    case X86_OP_LEAVE:
        return op_leave(t, n);
    case X86_OP_BSWAP:
        return op_bswap(t, n);
    case X86_OP_JCC:
        return in_plain_form(t, n) && op_jcc(t, n);
    case X86_OP_JMP:
        return in_plain_form(t, n) && op_jmp(t, n);
    case X86_OP_CALL:
        return in_plain_form(t, n) && op_call(t, n);
    case X86_OP_RET:
        return jit_is_return(t, n) && op_ret(t, n);
    case X86_OP_JMP_IND:
        return has_indirect(t) && in_plain_form(t, n) && op_jmp_indirect(t, n);
    case X86_OP_CALL_IND:
        return has_indirect(t) && in_plain_form(t, n) && op_call_indirect(t, n);
    case X86_OP_INC: case X86_OP_DEC:
        if (!d->has_modrm)
            return op_short_incdec(t, n);
        break;
    case X86_OP_MOV:
        if (!d->has_modrm)
            return d->opcode >= 0xb0 && op_mov_imm(t, n);
        break;
    default:
        break;
    }
    if (d->info->family == X86_FAMILY_FPU)
        return translation_has(t, JIT_OPT_VECTOR) && jit_op_fpu(t, n);
    if (jit_op_integer(t, n) || jit_op_system(t, n))
        return true;
    if (is_fixed(d))
        return op_fixed(t, n);
    return op_plain(t, n);
}
