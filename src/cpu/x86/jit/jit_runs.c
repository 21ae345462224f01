/* SPDX-License-Identifier: MIT */
/* PUSHes or POPs in a row, as functions begin and end with them: where they all lie in one page, that is looked up
 * once for all of them. Else, or if the page is not to be had, the interpreter does them and the rest of the
 * block, from the first of them on. */
#include "cpu/x86/jit/translate.h"

#define WORDS_MIN 2
#define WORDS_MAX 16
#define INSNS_MAX 24 /* what becomes of one is no longer than 20 bytes */

_Static_assert(INSNS_MAX * 20 + 256 <= JIT_INSN_CODE_MAX, "a run has as much room as any instruction");

struct run {
    unsigned op;           /* X86_OP_PUSH or X86_OP_POP */
    unsigned insns, words;
    bool returns;          /* the last of them is a RET */
};

/* A general register but RSP, pushed or popped as a whole. */
static bool is_word(const struct translation *t, unsigned n, unsigned op)
{
    const struct x86_decoded *d = &t->d[n];

    return d->op == op && d->osize == 8 && !d->has_mem && d->operand[0].kind == X86_OPERAND_GPR &&
           d->operand[0].reg != X86_RSP;
}

/* A MOV between registers, as compilers like to have them in between; it does not need r11, has nothing to do with
 * RSP and flags, and cannot fault. */
static bool is_quiet(const struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];

    return d->op == X86_OP_MOV && d->map == X86_MAP_1 && (d->opcode == 0x89 || d->opcode == 0x8b) &&
           !d->has_mem && d->osize >= 4 && d->reg != X86_RSP && d->rm != X86_RSP &&
           !(jit_in_memory(d->reg) && jit_in_memory(d->rm));
}

static struct run run_at(const struct translation *t, unsigned n)
{
    struct run r = {.op = t->d[n].op};

    for (unsigned k = n; k < t->count && k - n < INSNS_MAX && r.words < WORDS_MAX; k++) {
        if (is_word(t, k, r.op)) {
            r.insns = k + 1 - n;
            r.words++;
        } else if (!is_quiet(t, k)) {
            break;
        }
    }
    r.returns = r.op == X86_OP_POP && r.words && n + r.insns < t->count && jit_is_return(t, n + r.insns);
    r.insns += r.returns;
    r.words += r.returns;
    return r;
}

/* Do words from RSP + at on lie in the page that the lowest of them is in? Else instruction n is interpreted. */
static void stay_in_page(struct translation *t, unsigned n, int32_t at, unsigned words)
{
    struct emit *e = &t->e;

    emit_lea32(e, H_R10, H_GUEST_RSP, H_NONE, 0, at);
    emit_ri(e, XO_AND_I, W32, H_R10, MEM_PAGE_SIZE - 1);
    emit_ri(e, XO_CMP_I, W32, H_R10, MEM_PAGE_SIZE - 8 * words);
    jit_bail_if(t, n, CC_A);
}

static void push(struct translation *t, unsigned g, const struct place *p)
{
    if (jit_in_memory(g))
        emit_load(&t->e, H_R10, H_R15, REG_OFF(g));
    jit_emit_at(t, XO_MOV_M, jit_in_memory(g) ? H_R10 : jit_host_reg(g), p);
}

static void pop(struct translation *t, unsigned g, const struct place *p)
{
    jit_emit_at(t, XO_MOV, jit_in_memory(g) ? H_R10 : jit_host_reg(g), p);
    if (jit_in_memory(g))
        emit_store(&t->e, H_R10, H_R15, REG_OFF(g));
}

/* r11 is the page's addend. */
static void emit_words(struct translation *t, unsigned n, const struct run *r, struct place p)
{
    bool down = r->op == X86_OP_PUSH;
    int32_t at = down ? -8 : 0;

    for (unsigned k = n; k < n + r->insns - r->returns; k++) {
        if (!is_word(t, k, r->op)) {
            jit_op(t, k);
            continue;
        }
        p.disp = at;
        (down ? push : pop)(t, t->d[k].operand[0].reg, &p);
        at += down ? -8 : 8;
    }
    if (r->returns) {
        p.disp = at;
        jit_emit_at(t, XO_MOV, H_R10, &p);
    }
    emit_lea(&t->e, H_GUEST_RSP, H_GUEST_RSP, H_NONE, 0, down ? at + 8 : at);
}

unsigned jit_op_run(struct translation *t, unsigned n)
{
    bool down = t->d[n].op == X86_OP_PUSH;
    struct address a = jit_stack_address(t, down ? -8 : 0);
    struct place p;
    struct run r;

    if (t->narrow || !is_word(t, n, down ? X86_OP_PUSH : X86_OP_POP) || !translation_has(t, JIT_OPT_RUNS) ||
        !translation_has(t, JIT_OPT_MEMORY))
        return 0;
    r = run_at(t, n);
    if (r.words < WORDS_MIN)
        return 0;
    p = jit_look_up(t, n, &a, 8, down ? MMU_WRITE : MMU_READ, 0);
    jit_note_sole(t);
    stay_in_page(t, n, down ? -8 * (int32_t)r.words : 0, r.words);
    emit_words(t, n, &r, p);
    if (r.returns)
        jit_return(t, n + r.insns - 1);
    return r.insns;
}
