/* SPDX-License-Identifier: MIT */
/* How translated blocks are entered and left: entries, links to other blocks, indirect branches,
 * and handing over to the interpreter. */
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/jit/translate.h"

void *jit_data_alloc(struct translation *t, size_t len)
{
    void *p = t->j->data_next;

    t->j->data_next += (len + 7) & ~(size_t)7;
    return p;
}

/* ---- leaving ---- */

void jit_jump_with(struct translation *t, const uint8_t *stub, const void *record)
{
    emit_lea_rip(&t->e, H_R11, record);
    emit_jmp(&t->e, stub);
}

/* Link contexts are checked by the interpreter at every use. Here a target in the block's own page
 * needs no check: what maps this code maps that. Another page's mapping may have changed, also when
 * the target only reaches into it. */
void jit_exit_to(struct translation *t, unsigned slot, uint64_t rip, int condition)
{
    struct emit *e = &t->e;
    struct block_link *link = &t->end->link[slot];
    struct stub *stub = &t->stub[slot];

    if (slot >= t->exits->exit_count)
        __builtin_trap(); /* whoever gave an operation one more sees it at once: exits_wanted() */
    stub->branch[1] = NULL;
    if (!in_own_page(t, rip)) {
        jit_flags_spare(t, t->count);
        emit_const(e, H_R11, (uint64_t)(uintptr_t)link);
        emit_load(e, H_R10, H_R15, CPU_OFF(code_ctx) + 8 * (int32_t)(rip >> 63));
        emit_rm(e, XO_CMP, W64, H_R10, host_mem(H_R11, offsetof(struct block_link, ctx)));
        stub->branch[1] = emit_jcc_forward(e, CC_NE);
    }
    stub->branch[0] = condition < 0 ? emit_jmp_forward(e)
                                    : emit_jcc_forward(e, (unsigned)condition);
    stub->rip = rip;
    stub->kept = t->kept && !t->in_eflags;
}

/* Where in code memory the next instruction is. */
static uint32_t here(const struct translation *t)
{
    return (uint32_t)(t->e.w - t->j->write);
}

static void emit_unlinked_exits(struct translation *t)
{
    for (unsigned slot = 0; slot < 2; slot++) {
        struct stub *s = &t->stub[slot];

        if (!s->branch[0])
            continue;
        t->exits->exit[slot] = (struct jit_exit){
            .rel = (uint32_t)(s->branch[0] - t->j->write), .unlinked = here(t), .kept = s->kept,
            .looks = s->branch[1], .rip = s->rip, .link = &t->end->link[slot]};
        jit_note_word(t, &t->exits->exit[slot].rip);
        emit_patch(&t->e, s->branch[0]);
        if (s->branch[1])
            emit_patch(&t->e, s->branch[1]);
        jit_jump_with(t, t->j->exit[s->kept][s->rip >> 63], &t->exits->exit[slot]);
    }
}

/* ---- handing over ---- */

static void interpret_from(struct translation *t, unsigned n, bool kept)
{
    struct jit_bail *bail = jit_data_alloc(t, sizeof(*bail));

    *bail = (struct jit_bail){&t->b->insn[n + 1], t->b->home_rip};
    jit_note_word(t, &bail->block_rip);
    jit_jump_with(t, t->j->bail[kept], bail);
}

void jit_interpret_rest(struct translation *t, unsigned n)
{
    jit_flags_restore(t, n);
    interpret_from(t, n, false);
}

void jit_bail_if(struct translation *t, unsigned n, unsigned cc)
{
    t->bail[t->bail_count++] = (struct bail){emit_jcc_forward(&t->e, cc), (uint8_t)n, t->kept};
}

void jit_detour_at(struct translation *t, unsigned n, uint8_t *branch)
{
    t->bail[t->bail_count++] = (struct bail){.branch = branch, .index = (uint8_t)n,
                                             .kept = t->kept, .guarded = t->guarded,
                                             .detour = translation_has(t, JIT_OPT_DETOUR)};
}

void jit_detour_if(struct translation *t, unsigned n, unsigned condition)
{
    jit_detour_at(t, n, emit_jcc_forward(&t->e, condition));
}

/* Interpretation of instruction n, and back to `after`; begins with its struct jit_bail. */
static struct jit_detour *make_detour(struct translation *t, unsigned n, uint8_t guarded,
                                      const uint8_t *after)
{
    struct jit_detour *d = jit_data_alloc(t, sizeof(*d));

    *d = (struct jit_detour){.bail = {&d->insn, t->b->home_rip},
                             .insn = t->b->insn[n + 1], .block = t->b,
                             .back = {.fn = insn_jit_resume, .imm = (uint64_t)(uintptr_t)after,
                                      .aux = (uint8_t)(n + 1), .vreg = guarded}};
    jit_note_word(t, &d->bail.block_rip);
    return d;
}

static void emit_bails(struct translation *t)
{
    for (unsigned n = 0; n < t->bail_count; n++) {
        const struct bail *b = &t->bail[n];

        emit_patch(&t->e, b->branch);
        if (n + 1 < t->bail_count && b[1].index == b->index && b[1].kept == b->kept &&
            b[1].detour == b->detour)
            continue; /* shares the way out */
        if (b->detour)
            jit_jump_with(t, t->j->bail[b->kept], make_detour(t, b->index, b->guarded, b->after));
        else
            interpret_from(t, b->index, b->kept);
    }
}

void jit_guard(struct translation *t, unsigned n, uint8_t slow)
{
    struct emit *e = &t->e;

    /* Once looked at in a block, they stay clear: insn_jit_resume() sees to that. */
    if (!(slow & ~t->guarded))
        return;
    if (translation_has(t, JIT_OPT_GUARD))
        t->guarded |= slow |= t->guard;
    jit_flags_spare(t, n);
    emit_mi(e, XO_TEST8_I, W32, CPU(fpu_slow), slow);
    jit_bail_if(t, n, CC_NE);
}

void jit_detour(struct translation *t, unsigned n)
{
    struct jit_detour *d = make_detour(t, n, t->guarded, NULL);

    jit_flags_restore(t, n);
    jit_jump_with(t, t->j->bail[false], &d->bail);
    d->back.imm = (uint64_t)(uintptr_t)emit_here(&t->e);
    t->in_eflags = true;
    t->kept = false;
}

/* ---- indirect branches ---- */

void jit_emit_find_jump(struct emit *e, unsigned half)
{
    emit_move(e, H_R11, H_R10);
    emit_rm(e, XO_AND, W32, H_R11, CPU(jump_mask));
    emit_ri(e, XO_SHL_I8, W64, H_R11, LOG2_OF(struct block_jump) - BLOCK_JUMP_SHIFT);
    emit_rm(e, XO_ADD, W64, H_R11, CPU(jumps[half]));
    emit_rm(e, XO_CMP, W64, H_R10, host_mem(H_R11, offsetof(struct block_jump, rip)));
}

/* As insn_goto_indirect() does it. The target is expected in the same half of the address space:
 * an entry for the other has another context. */
void jit_find_target(struct translation *t, unsigned n)
{
    struct emit *e = &t->e;

    jit_flags_spare(t, n);
    jit_emit_find_jump(e, t->upper);
    jit_bail_if(t, n, CC_NE);
    emit_load(e, H_R10, H_R15, CPU_OFF(code_ctx) + (t->upper ? 8 : 0));
    emit_rm(e, XO_CMP, W64, H_R10, host_mem(H_R11, offsetof(struct block_jump, ctx)));
    jit_bail_if(t, n, CC_NE);
}

void jit_jump_to_target(struct translation *t)
{
    emit_jmp_mem(&t->e, H_R11, offsetof(struct block_jump, code));
}

/* ---- entries ---- */

static void look_for_events(struct translation *t)
{
    emit_mi(&t->e, XO_CMP_I8, W32, CPU(pending), 0);
    t->looked_up = emit_jcc_forward(&t->e, CC_NE);
}

/* The same without touching the flags, for an entry with live flags in EFLAGS. */
static void look_for_events_by_rcx(struct translation *t)
{
    struct emit *e = &t->e;
    uint8_t *quiet;

    emit_move(e, H_R11, H_RCX);
    emit_rm(e, XO_MOV, W32, H_RCX, CPU(pending));
    quiet = emit_jrcxz_forward(e);
    emit_move(e, H_RCX, H_R11);
    jit_jump_with(t, t->j->stale[false], t->exits);
    emit_patch8(e, quiet);
    emit_move(e, H_RCX, H_R11);
}

/* Where the flags are when the body begins decides which of the entries have something to do; those
 * that do are among what seldom runs. Flags that do not matter are everywhere at once. */
void jit_emit_entry(struct translation *t)
{
    struct jit_entries *at = &t->exits->entry;
    bool live = t->live[0];

    t->kept = jit_wants_kept(t);
    t->in_eflags = !t->kept;
    if (t->kept || !live) {
        at->kept = here(t);
        look_for_events(t);
        at->kept_body = here(t);
        at->flags = live ? 0 : at->kept;
        at->flags_body = live ? 0 : at->kept_body;
    } else {
        at->kept = at->kept_body = 0;
        at->flags = here(t);
        look_for_events_by_rcx(t);
        at->flags_body = here(t);
    }
}

static void emit_other_entries(struct translation *t)
{
    struct jit_entries *at = &t->exits->entry;

    if (!at->flags) {
        at->flags = here(t);
        jit_emit_save_flags(&t->e);
        emit_jmp(&t->e, jit_code_at(t->j, at->kept));
        at->flags_body = here(t);
        jit_emit_save_flags(&t->e);
        emit_jmp(&t->e, jit_code_at(t->j, at->kept_body));
    } else if (!at->kept) {
        at->kept = here(t);
        look_for_events(t);
        at->kept_body = here(t);
        jit_emit_restore_flags(&t->e);
        emit_jmp(&t->e, jit_code_at(t->j, at->flags_body));
    }
    /* Leaving, and where the entry of a dead block leads. */
    emit_patch(&t->e, t->looked_up);
    at->stale = here(t);
    jit_jump_with(t, t->j->stale[true], t->exits);
}

void jit_emit_rare(struct translation *t)
{
    emit_unlinked_exits(t);
    jit_emit_misses(t);
    emit_bails(t);
    emit_other_entries(t);
}
