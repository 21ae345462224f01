/* SPDX-License-Identifier: MIT */
/* The guest's arithmetic flags in translated code: which matter where, and when they move between
 * EFLAGS and x86_cpu.jit_flags (translate.h). */
#include "cpu/x86/cpuid.h"
#include "cpu/x86/jit/translate.h"
#include "cpu/x86/smc.h"

#define FLAGS_ALL (X86_FLAGS_ARITH)
#define SCAN_INSNS 8

/* ---- which matter ---- */

static uint16_t written_by(const struct x86_decoded *d)
{
    return d->info->flags_set | d->info->flags_undefined;
}

/* Flags that d overwrites whatever happens: a count of 0 changes none. */
static uint16_t killed_by(const struct x86_decoded *d)
{
    if (d->info->family == X86_FAMILY_SHIFT || (d->prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE)))
        return 0;
    return written_by(d);
}

/* Does an exception that d raises have to show every flag of before, also where those behind d overwrite them all?
 * Yes of whatever raises one by what it is, and of locked accesses, which take so long that keeping flags does not
 * count. Not of plain accesses and vector instructions: there are too many of them (docs/jit.md, Exactness). */
static bool is_exact(const struct translation *t, const struct x86_decoded *d)
{
    const struct x86_op_info *info = d->info;

    if (info->attr & (X86_ATTR_PRIV | X86_ATTR_SYSTEM | X86_ATTR_X87) || jit_is_locked(d) ||
        (d->feature != X86_FEATURE_BASE && !t->c->vm->cpuid->feature[d->feature])) /* #UD */
        return true;
    switch (d->op) {
    case X86_OP_DIV: case X86_OP_IDIV: case X86_OP_AAM: case X86_OP_BOUND:
        return true;
    default:
        return info->family == X86_FAMILY_SYSTEM || info->family == X86_FAMILY_FPU_STATE;
    }
}

/* Flags that matter before d, given those that matter behind it. */
static uint16_t live_before(const struct translation *t, const struct x86_decoded *d, uint16_t behind)
{
    if (is_exact(t, d))
        return FLAGS_ALL;
    return (uint16_t)((behind & ~killed_by(d)) | d->info->flags_used);
}

/* Which flags may matter at the code at host, looking ahead within its page? What is looked at is
 * claimed: if it changes, the block dies. */
static uint16_t live_at(const struct translation *t, const uint8_t *host)
{
    struct x86_cpu *c = t->c;
    const uint8_t *end = (const uint8_t *)((uintptr_t)host | (MEM_PAGE_SIZE - 1)) + 1;
    uint16_t decided = 0, live = 0;
    struct x86_decoded d;

    for (unsigned n = 0; n < SCAN_INSNS && decided != FLAGS_ALL; n++) {
        unsigned avail = MIN((unsigned)(end - host), (unsigned)X86_INSN_MAX);

        if (avail) {
            smc_claim(c, host, avail);
            t->exits->granules |= smc_granules(host, avail);
        }
        if (!avail || x86_decode(host, avail, c->code_size, &d) != X86_DECODE_OK)
            break;
        live |= (uint16_t)(d.info->flags_used & ~decided);
        if (d.info->attr & X86_ATTR_BRANCH || is_exact(t, &d))
            break;
        decided |= d.info->flags_used;
        if (!live_before(t, &d, FLAGS_ALL))
            return live;
        decided |= (uint16_t)(FLAGS_ALL & ~live_before(t, &d, FLAGS_ALL));
        host += d.len;
    }
    return (uint16_t)(live | (FLAGS_ALL & ~decided));
}

/* Flags that matter at a direct successor. Code in another page may be replaced, or another page
 * mapped, without this block being told: assume the worst. */
static uint16_t live_at_target(const struct translation *t, uint64_t rip)
{
    if (rip >> MEM_PAGE_SHIFT != t->b->home_rip >> MEM_PAGE_SHIFT)
        return FLAGS_ALL;
    return live_at(t, block_page(t->b, 0) + (rip & (MEM_PAGE_SIZE - 1)));
}

static uint16_t live_at_end(const struct translation *t)
{
    const struct x86_decoded *last = &t->d[t->count - 1];
    uint64_t next = insn_behind(t, t->count - 1), target = insn_target(t, t->count - 1);

    switch (last->op) {
    case X86_OP_JCC:
        return live_at_target(t, target) | live_at_target(t, next);
    case X86_OP_JMP:
    case X86_OP_CALL:
        return live_at_target(t, target);
    default:
        if (last->info->attr & (X86_ATTR_BRANCH | X86_ATTR_SYSTEM))
            return FLAGS_ALL;
        return live_at_target(t, next);
    }
}

void jit_find_live_flags(struct translation *t)
{
    bool look = translation_has(t, JIT_OPT_LIVENESS);
    uint16_t live = look ? live_at_end(t) : FLAGS_ALL;

    t->live[t->count] = live;
    for (unsigned n = t->count; n--;) {
        if (look)
            live = live_before(t, &t->d[n], live);
        t->live[n] = live;
    }
}

const struct jit_flags *jit_note_flags(struct translation *t)
{
    struct jit_flags *flags = jit_data_alloc(t, (t->count + 1) * sizeof(*flags));

    for (unsigned n = 0; n < t->count; n++) {
        const struct x86_decoded *d = &t->d[n];

        flags[n] = (struct jit_flags){.live = t->live[n],
                                      .set = d->info->family == X86_FAMILY_SHIFT
                                                 ? 0 : d->info->flags_set,
                                      .undefined = x86_undefined_flags(d, NULL)};
    }
    flags[t->count].live = t->live[t->count];
    return flags;
}

/* It does if EFLAGS are clobbered before an instruction has to do with flags. */
bool jit_wants_kept(const struct translation *t)
{
    if (!t->live[0] || !translation_has(t, JIT_OPT_FLAGS))
        return false;
    for (unsigned n = 0; n < t->count; n++) {
        const struct x86_decoded *d = &t->d[n];

        if (d->info->flags_used || written_by(d))
            return false;
        if ((d->has_mem && d->op != X86_OP_LEA && d->op != X86_OP_NOP) ||
            d->op == X86_OP_PUSH || d->op == X86_OP_POP || d->op == X86_OP_LEAVE ||
            (d->info->attr & X86_ATTR_BRANCH))
            return true;
    }
    return false;
}

/* ---- moving them ---- */

void jit_emit_save_flags(struct emit *e)
{
    emit_move(e, H_R11, H_RAX);
    emit_ax_from_flags(e);
    emit_store_ax(e, H_R15, CPU_OFF(jit_flags));
    emit_move(e, H_RAX, H_R11);
}

static void emit_restore(struct emit *e, unsigned spare)
{
    if (spare == H_NONE)
        emit_push(e, H_RAX);
    else
        emit_move(e, spare, H_RAX);
    emit_load_ax(e, H_R15, CPU_OFF(jit_flags));
    emit_flags_from_ax(e);
    if (spare == H_NONE)
        emit_pop(e, H_RAX);
    else
        emit_move(e, H_RAX, spare);
}

void jit_emit_restore_flags(struct emit *e)
{
    emit_restore(e, H_NONE);
}

void jit_flags_spare(struct translation *t, unsigned n)
{
    if (!t->live[n]) {
        t->in_eflags = true; /* as good as anywhere */
        t->kept = false;
        return;
    }
    if (!t->kept)
        jit_emit_save_flags(&t->e);
    t->kept = true;
    t->in_eflags = false;
}

void jit_flags_op(struct translation *t, unsigned n, unsigned spare)
{
    const struct x86_decoded *d = &t->d[n];
    uint16_t written = written_by(d);
    bool needed = d->info->flags_used || (written && (t->live[n + 1] & ~killed_by(d)));

    if (needed && !t->in_eflags)
        emit_restore(&t->e, spare);
    if (needed || written)
        t->in_eflags = true;
    if (written)
        t->kept = false;
}

void jit_flags_restore(struct translation *t, unsigned n)
{
    if (t->live[n] && !t->in_eflags)
        jit_emit_restore_flags(&t->e);
    t->in_eflags = true;
}
