/* SPDX-License-Identifier: MIT */
/* Vector and x87 instructions: bind_fpu() has made a thunk of each, the instruction on the host's
 * registers with [rax] for its memory operand and rcx for its general register. Its bytes go into
 * the translated code. What needs a closer look (state not live, traps, unmasked exceptions) is
 * interpreted. */
#include "cpu/x86/fpu/fpu_exec.h"
#include "cpu/x86/jit/translate.h"

/* How a handler of fast.c runs its thunk. */
struct shape {
    bool load, store, gpr_in, gpr_out, x87; /* gpr_*: one that ModRM names */
    uint8_t align;
};

static bool shape_of(const struct insn *i, struct shape *ret)
{
    static const struct {
        insn_fn *fn;
        struct shape shape;
    } shapes[] = {
        {fpu_fast_reg, {0}},
        {fpu_fast_flags, {0}},
        {fpu_string_compare, {0}}, /* RAX, RDX and RCX are in the host's */
        {fpu_fast_gpr_in, {.gpr_in = true}},
        {fpu_fast_gpr_out, {.gpr_out = true}},
        {fpu_fast_load4, {.load = true}},
        {fpu_fast_load8, {.load = true}},
        {fpu_fast_load16, {.load = true}},
        {fpu_fast_load32, {.load = true}},
        {fpu_fast_load4_flags, {.load = true}},
        {fpu_fast_load8_flags, {.load = true}},
        {fpu_fast_load16_aligned, {.load = true, .align = 16}},
        {fpu_fast_load32_aligned, {.load = true, .align = 32}},
        {fpu_fast_store2, {.store = true}},
        {fpu_fast_store4, {.store = true}},
        {fpu_fast_store8, {.store = true}},
        {fpu_fast_store16, {.store = true}},
        {fpu_fast_store32, {.store = true}},
        {fpu_fast_store16_aligned, {.store = true, .align = 16}},
        {fpu_fast_store32_aligned, {.store = true, .align = 32}},
        {fpu_fast_x87, {.x87 = true}},
        {fpu_fast_x87_flags, {.x87 = true}},
        {fpu_fast_x87_load, {.x87 = true, .load = true}},
        {fpu_fast_x87_store, {.x87 = true, .store = true}},
    };

    for (unsigned n = 0; n < ARRAY_SIZE(shapes); n++)
        if (shapes[n].fn == i->fn) {
            *ret = shapes[n].shape;
            return true;
        }
    return false;
}

uint8_t jit_guard_of(const struct insn *i)
{
    struct shape s;

    return shape_of(i, &s) ? i->aux : 0;
}

/* The thunk without its RET. */
static void emit_thunk(struct translation *t, const uint8_t *thunk, unsigned len)
{
    emit_bytes(&t->e, thunk, len);
}

/* The thunk with p for its memory operand. Its VEX prefix, if any, has three bytes. */
static void emit_thunk_at(struct translation *t, const uint8_t *thunk,
                          const struct x86_decoded *inner, const struct place *p)
{
    unsigned at = 0, x = p->index != H_NONE && p->index > 7, b = p->base > 7;

    if (inner->prefixes & X86_PREFIX_VEX) {
        emit8(&t->e, thunk[0]);
        emit8(&t->e, thunk[1] & ~(x << 6 | b << 5));
        at = 2;
    } else {
        if (thunk[at] == PREFIX_OPSIZE || thunk[at] == PREFIX_REPNE || thunk[at] == PREFIX_REP)
            emit8(&t->e, thunk[at++]);
        emit8(&t->e, 0x40 | (inner->prefixes & X86_PREFIX_REX ? thunk[at++] : 0) | x << 1 | b);
    }
    while (at <= inner->opcode_off)
        emit8(&t->e, thunk[at++]);
    emit_modrm(&t->e, inner->reg, place_mem(p));
    for (at++; at < inner->len; at++)
        emit8(&t->e, thunk[at]);
}

/* FIP and FOP, and FDP when there is a memory operand. */
static void emit_record(struct translation *t, unsigned n, const struct insn *i, bool memory)
{
    struct emit *e = &t->e;

    jit_emit_own(t, H_R11, insn_at(t, n));
    emit_store(e, H_R11, H_R15, CPU_OFF(x87_ip));
    emit_mi(e, XO_MOV16_I, W16, CPU(x87_op), i->imm >> 48);
    if (memory) {
        emit_load(e, H_R11, H_R15, CPU_OFF(jit_word));
        emit_store(e, H_R11, H_R15, CPU_OFF(x87_dp));
    }
}

static void emit_gpr_in(struct translation *t, unsigned g, const uint8_t *thunk, unsigned len)
{
    emit_move(&t->e, H_R11, H_RCX);
    if (jit_in_memory(g))
        emit_load(&t->e, H_RCX, H_R15, REG_OFF(g));
    else if (g != X86_RCX)
        emit_move(&t->e, H_RCX, jit_host_reg(g));
    emit_thunk(t, thunk, len);
    emit_move(&t->e, H_RCX, H_R11);
}

static void emit_gpr_out(struct translation *t, unsigned g, const uint8_t *thunk, unsigned len)
{
    emit_move(&t->e, H_R11, H_RCX);
    emit_thunk(t, thunk, len);
    if (g == X86_RCX)
        return;
    if (jit_in_memory(g))
        emit_store(&t->e, H_RCX, H_R15, REG_OFF(g));
    else
        emit_move(&t->e, jit_host_reg(g), H_RCX);
    emit_move(&t->e, H_RCX, H_R11);
}

static void with_memory(struct translation *t, unsigned n, const struct shape *s,
                        const uint8_t *thunk, const struct x86_decoded *inner)
{
    const struct insn *i = &t->b->insn[n + 1];
    struct address a = jit_operand_address(t, n);
    struct place p;

    if (s->x87) {
        jit_address(t, &a);
        emit_store(&t->e, H_R10, H_R15, CPU_OFF(jit_word));
    }
    p = jit_look_up(t, n, &a, i->rm, s->store ? MMU_WRITE : MMU_READ, s->align);
    if (s->x87) {
        jit_fold(t, &p);
        emit_record(t, n, i, true);
    }
    jit_flags_op(t, n, p.spare);
    emit_thunk_at(t, thunk, inner, &p);
}

bool jit_op_fpu(struct translation *t, unsigned n)
{
    const struct insn *i = &t->b->insn[n + 1];
    const struct x86_decoded *d = &t->d[n];
    const uint8_t *thunk = (const uint8_t *)(uintptr_t)(i->imm & FPU_THUNK_MASK);
    bool memory = i->rm;
    struct x86_decoded inner;
    struct shape s;

    if (!shape_of(i, &s) || x86_decode(thunk, 8, X86_CODE_64, &inner) != X86_DECODE_OK)
        return false;
    if (memory && (!jit_address_is_plain(t, d) || (s.x87 && d->seg >= X86_FS)))
        return false;
    jit_guard(t, n, i->aux);
    if (memory) {
        with_memory(t, n, &s, thunk, &inner);
        return true;
    }
    if (s.x87)
        emit_record(t, n, i, false);
    jit_flags_op(t, n, H_R11);
    if (s.gpr_in)
        emit_gpr_in(t, i->reg, thunk, inner.len);
    else if (s.gpr_out)
        emit_gpr_out(t, i->reg, thunk, inner.len);
    else
        emit_thunk(t, thunk, inner.len);
    return true;
}
