/* SPDX-License-Identifier: MIT */
/* One block: decode it again, find out which flags matter where, emit its instructions, its exits
 * and, behind them, what happens on TLB misses. */
#include "cpu/x86/jit/translate.h"

#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/smc.h"

#define FLAGS_ALL (X86_FLAGS_ARITH)
#define SCAN_INSNS 8

/* ---- flags ---- */

static bool shift_may_keep_flags(const struct x86_decoded *d)
{
    switch (d->op) {
    case X86_OP_SHL: case X86_OP_SHR: case X86_OP_SAR: case X86_OP_ROL: case X86_OP_ROR:
    case X86_OP_RCL: case X86_OP_RCR: case X86_OP_SHLD: case X86_OP_SHRD:
        return true;
    default:
        return false;
    }
}

/* Flags that matter before d, given those that matter behind it. */
static uint16_t live_before(const struct x86_decoded *d, uint16_t behind)
{
    uint16_t killed = d->info->flags_set | d->info->flags_undefined;

    if (shift_may_keep_flags(d) || (d->prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE)))
        killed = 0; /* a count of 0 changes none */
    return (uint16_t)((behind & ~killed) | d->info->flags_used);
}

/* Which flags may matter at the code at host, looking ahead within its page? What is looked at is
 * claimed: if it changes, all blocks of the page die, the one that relies on it included. */
static uint16_t live_at(struct x86_cpu *c, const uint8_t *host)
{
    const uint8_t *end = (const uint8_t *)((uintptr_t)host | (MEM_PAGE_SIZE - 1)) + 1;
    uint16_t decided = 0, live = 0;
    struct x86_decoded d;

    for (unsigned n = 0; n < SCAN_INSNS && decided != FLAGS_ALL; n++) {
        unsigned avail = MIN((unsigned)(end - host), (unsigned)X86_INSN_MAX);

        if (avail)
            smc_claim(c, host, avail);
        if (!avail || x86_decode(host, avail, X86_CODE_64, &d) != X86_DECODE_OK)
            break;
        live |= (uint16_t)(d.info->flags_used & ~decided);
        if (d.info->attr & (X86_ATTR_BRANCH | X86_ATTR_SYSTEM))
            break;
        decided |= d.info->flags_used;
        if (!live_before(&d, FLAGS_ALL))
            return live;
        decided |= (uint16_t)(FLAGS_ALL & ~live_before(&d, FLAGS_ALL));
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
    return live_at(t->c, t->b->page[0] + (rip & (MEM_PAGE_SIZE - 1)));
}

static uint16_t live_at_end(const struct translation *t)
{
    const struct x86_decoded *last = &t->d[t->count - 1];
    uint64_t next = insn_behind(t, t->count - 1), target = next + last->imm;

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

static void find_live_flags(struct translation *t)
{
    bool look = translation_has(t, JIT_OPT_LIVENESS);
    uint16_t live = look ? live_at_end(t) : FLAGS_ALL;

    t->live[t->count] = live;
    for (unsigned n = t->count; n--;) {
        if (look)
            live = live_before(&t->d[n], live);
        t->live[n] = live;
    }
}

/* ---- leaving ---- */

static void emit_leave_at(struct translation *t, uint64_t rip)
{
    emit_const(&t->e, H_R10, rip);
    emit_store(&t->e, H_R10, H_R15, CPU_OFF(rip));
    emit_jmp(&t->e, t->j->leave);
}

static void emit_save_flags(struct emit *e)
{
    emit_push(e, H_RAX);
    emit_ax_from_flags(e);
    emit_store_ax(e, H_R15, CPU_OFF(jit_flags));
    emit_pop(e, H_RAX);
}

static void emit_restore_flags(struct emit *e)
{
    emit_push(e, H_RAX);
    emit_load_ax(e, H_R15, CPU_OFF(jit_flags));
    emit_flags_from_ax(e);
    emit_pop(e, H_RAX);
}

static void emit_leave_linking(struct translation *t, struct block_link *link, uint64_t rip)
{
    emit_const(&t->e, H_R10, (uint64_t)(uintptr_t)link);
    emit_store(&t->e, H_R10, H_R15, CPU_OFF(link));
    emit_leave_at(t, rip);
}

/* Link contexts are checked by the interpreter at every use. Here a target in the block's own page
 * needs no check: what maps this code maps that. Another page's mapping may have changed. */
void jit_exit_to(struct translation *t, unsigned slot, uint64_t rip)
{
    struct emit *e = &t->e;
    struct block_link *link = &t->end->link[slot];
    bool same_page = rip >> MEM_PAGE_SHIFT == t->b->home_rip >> MEM_PAGE_SHIFT;
    bool flags = t->live[t->count];
    uint8_t *changed = NULL;

    if (!same_page) {
        if (flags)
            emit_save_flags(e);
        emit_const(e, H_R11, (uint64_t)(uintptr_t)link);
        emit_load(e, H_R10, H_R15, CPU_OFF(code_ctx) + 8 * (int32_t)(rip >> 63));
        emit_op_rm(e, 0x3b, H_R10, H_R11, offsetof(struct block_link, ctx)); /* cmp */
        changed = emit_jcc_forward(e, 5);
        if (flags)
            emit_restore_flags(e);
    }
    emit8(e, 0xe9);
    emit32(e, 0); /* to what follows, until it is linked */
    t->exits->rel[slot] = e->w - 4;
    t->exits->rip[slot] = rip;
    emit_leave_linking(t, link, rip);
    if (changed) {
        emit_patch(e, changed);
        if (flags)
            emit_restore_flags(e);
        emit_leave_linking(t, link, rip);
    }
}

static void set_block_rip(struct translation *t)
{
    emit_const(&t->e, H_R11, t->b->home_rip);
    emit_store(&t->e, H_R11, H_R15, REG_OFF(REG_BLOCK_RIP));
}

void jit_interpret_rest(struct translation *t, unsigned n)
{
    set_block_rip(t);
    emit_const(&t->e, H_R10, (uint64_t)(uintptr_t)&t->b->insn[n + 1]);
    emit_jmp(&t->e, t->j->interpret);
}

/* r10: where to. The front cache, as insn_goto_indirect() looks into it. On a miss nothing of the
 * instruction has happened yet, and it is interpreted. */
void jit_exit_indirect(struct translation *t, unsigned n, int32_t pop)
{
    struct emit *e = &t->e;
    uint8_t *miss[2];

    if (!translation_has(t, JIT_OPT_INDIRECT)) {
        jit_interpret_rest(t, n);
        return;
    }
    emit_save_flags(e);
    emit_move(e, H_R11, H_R10);
    emit8(e, 0x49), emit8(e, 0xc1), emit8(e, 0xeb), emit8(e, 12);  /* shr r11, 12 */
    emit8(e, 0x4d), emit8(e, 0x31), emit8(e, 0xd3);                /* xor r11, r10 */
    emit8(e, 0x41), emit8(e, 0x81), emit8(e, 0xe3), emit32(e, BLOCK_JUMPS - 1);
    emit8(e, 0x49), emit8(e, 0xc1), emit8(e, 0xe3), emit8(e, 5);   /* shl r11, 5 */
    emit_op_rm(e, 0x03, H_R11, H_R15, CPU_OFF(jumps));
    emit_op_rm(e, 0x3b, H_R10, H_R11, offsetof(struct block_jump, rip));
    miss[0] = emit_jcc_forward(e, 5);
    /* Which half: the sign of r10. */
    emit8(e, 0x49), emit8(e, 0xc1), emit8(e, 0xea), emit8(e, 63);  /* shr r10, 63 */
    emit8(e, 0x4f), emit8(e, 0x8b);                                /* mov r10, [r15+r10*8+ctx] */
    emit_mem(e, H_R10, H_R15, H_R10, 3, CPU_OFF(code_ctx));
    emit_op_rm(e, 0x3b, H_R10, H_R11, offsetof(struct block_jump, ctx));
    miss[1] = emit_jcc_forward(e, 5);
    emit_restore_flags(e);
    if (pop)
        emit_lea(e, H_R14, H_R14, H_NONE, 0, pop);
    emit_jmp_mem(e, H_R11, offsetof(struct block_jump, code));
    emit_patch(e, miss[1]);
    emit_patch(e, miss[0]);
    emit_restore_flags(e);
    jit_interpret_rest(t, n);
}

static void *data_alloc(struct translation *t, size_t len)
{
    void *p = t->j->data_next;

    t->j->data_next += (len + 31) & ~(size_t)31;
    return p;
}

void jit_detour(struct translation *t, unsigned n)
{
    struct jit_detour *d = data_alloc(t, sizeof(*d));

    d->insn = t->b->insn[n + 1];
    d->block = t->b;
    d->next_rip = insn_behind(t, n);
    d->next = n + 1;
    t->guarded = 0;
    set_block_rip(t);
    emit_const(&t->e, H_R10, (uint64_t)(uintptr_t)&d->insn);
    emit_jmp(&t->e, t->j->interpret);
    d->back = (struct insn){.fn = insn_jit_resume, .imm = (uint64_t)(uintptr_t)emit_here(&t->e)};
}

void jit_guard(struct translation *t, unsigned n, uint8_t slow, uint8_t align)
{
    struct emit *e = &t->e;
    bool flags = t->live[n];

    /* Once looked at in a block, they stay clear until something is interpreted. */
    if (!align && !(slow & ~t->guarded))
        return;
    if (translation_has(t, JIT_OPT_GUARD))
        t->guarded |= slow;
    if (flags)
        emit_save_flags(e);
    if (align) {
        emit8(e, 0x41), emit8(e, 0xf6), emit8(e, 0xc2), emit8(e, align - 1u); /* test r10b, imm */
    } else {
        emit8(e, 0x41), emit8(e, 0xf6); /* test byte [r15 + fpu_slow], imm */
        emit_mem(e, 0, H_R15, H_NONE, 0, CPU_OFF(fpu_slow));
        emit8(e, slow);
    }
    t->bail[t->bail_count++] = (struct bail){emit_jcc_forward(e, 5), (uint8_t)n};
    if (flags)
        emit_restore_flags(e);
}

static void emit_bails(struct translation *t)
{
    for (unsigned n = 0; n < t->bail_count; n++) {
        emit_patch(&t->e, t->bail[n].branch);
        if (t->live[t->bail[n].index])
            emit_restore_flags(&t->e);
        jit_interpret_rest(t, t->bail[n].index);
    }
}

/* ---- memory operands ---- */

void jit_address(struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    struct emit *e = &t->e;
    unsigned base = H_NONE, index = H_NONE;

    if (d->base == X86_BASE_RIP) {
        emit_const(e, H_R10, insn_behind(t, n) + (uint64_t)d->disp);
    } else {
        if (d->base < 16) {
            base = jit_host_reg(d->base);
            if (jit_in_memory(d->base)) {
                emit_load(e, H_R10, H_R15, REG_OFF(d->base));
                base = H_R10;
            }
        }
        if (d->index < 16) {
            index = jit_host_reg(d->index);
            if (jit_in_memory(d->index)) {
                emit_load(e, H_R11, H_R15, REG_OFF(d->index));
                index = H_R11;
            }
        }
        emit_lea(e, H_R10, base, index, d->scale, (int32_t)d->disp);
    }
    if (d->seg >= X86_FS) {
        emit_load(e, H_R11, H_R15, CPU_OFF(ea_base) + 8 * d->seg);
        emit_lea(e, H_R10, H_R10, H_R11, 0, 0);
    }
}

void jit_translate_address(struct translation *t, unsigned n, unsigned size,
                           enum mmu_access access)
{
    struct emit *e = &t->e;
    struct miss *m = &t->miss[t->miss_count++];
    int32_t tag = access == MMU_WRITE ? offsetof(struct tlb_entry, write)
                                      : offsetof(struct tlb_entry, read);
    bool flags = t->live[n];

    if (flags)
        emit_save_flags(e);
    emit_store(e, H_R10, H_R15, CPU_OFF(jit_address));
    m->site = data_alloc(t, sizeof(*m->site));
    *m->site = (struct jit_site){.insn = &t->b->insn[n + 1],
                                 .home_rip = t->b->home_rip,
                                 .retry = emit_here(e),
                                 .access = (uint8_t)access,
                                 .size = (uint8_t)size,
                                 .upper = t->upper,
                                 .flags_saved = flags};
    emit_move(e, H_R11, H_R10);
    emit8(e, 0x49), emit8(e, 0xc1), emit8(e, 0xeb), emit8(e, 12 - 5); /* shr r11, 7 */
    emit8(e, 0x41), emit8(e, 0x81), emit8(e, 0xe3), emit32(e, (TLB_ENTRIES - 1) << 5);
    emit_op_rm(e, 0x03, H_R11, H_R15, CPU_OFF(tlb) + (t->upper ? 8 : 0));
    if (size > 1)
        emit_lea(e, H_R10, H_R10, H_NONE, 0, (int32_t)size - 1);
    emit8(e, 0x49), emit8(e, 0xc1), emit8(e, 0xea), emit8(e, 12);     /* shr r10, 12 */
    emit_op_rm(e, 0x3b, H_R10, H_R11, tag);
    m->branch = emit_jcc_forward(e, 5);
    emit_load(e, H_R10, H_R15, CPU_OFF(jit_address));
    emit_op_rm(e, 0x03, H_R10, H_R11, offsetof(struct tlb_entry, addend));
    if (flags)
        emit_restore_flags(e);
}

/* ---- the block ---- */

static bool decode_again(struct translation *t)
{
    unsigned off = 0;

    t->count = (unsigned)t->end->insns;
    for (unsigned n = 0; n < t->count; n++) {
        const uint8_t *at = t->b->host + off;
        unsigned room = MEM_PAGE_SIZE - (unsigned)((uintptr_t)at & (MEM_PAGE_SIZE - 1));

        if (x86_decode(at, MIN(room, (unsigned)X86_INSN_MAX), X86_CODE_64, &t->d[n]) !=
                X86_DECODE_OK ||
            t->d[n].len != t->b->insn[n + 1].len || t->b->insn[n + 1].fn == insn_undefined)
            return false;
        off += t->d[n].len;
    }
    return t->count;
}

/* Look up from the block: something is pending. */
static void emit_poll(struct translation *t)
{
    struct emit *e = &t->e;
    uint8_t *quiet;

    if (!t->live[0]) {
        emit8(e, 0x41), emit8(e, 0x83);
        emit_mem(e, 7, H_R15, H_NONE, 0, CPU_OFF(pending)); /* cmp dword [r15+pending], 0 */
        emit8(e, 0);
        quiet = emit_jcc_forward(e, 4);
    } else {
        emit_save_flags(e);
        emit8(e, 0x41), emit8(e, 0x83);
        emit_mem(e, 7, H_R15, H_NONE, 0, CPU_OFF(pending));
        emit8(e, 0);
        quiet = emit_jcc_forward(e, 4);
        emit_restore_flags(e);
    }
    t->b->stale = emit_here(e); /* where a dead block's entry leads, too */
    emit_leave_at(t, t->b->home_rip);
    emit_patch(e, quiet);
    if (t->live[0])
        emit_restore_flags(e);
}

static void emit_misses(struct translation *t)
{
    for (unsigned n = 0; n < t->miss_count; n++) {
        struct miss *m = &t->miss[n];

        emit_patch(&t->e, m->branch);
        /* A retry begins with the address in r10 again. */
        emit_load(&t->e, H_R10, H_R15, CPU_OFF(jit_address));
        emit_const(&t->e, H_R11, (uint64_t)(uintptr_t)m->site);
        emit_jmp(&t->e, t->j->slow);
    }
}

/* Is there room for another instruction, and for all that comes behind the block? */
static bool has_room(const struct translation *t, const uint8_t *entry)
{
    size_t behind = (t->miss_count + t->bail_count) * (size_t)JIT_COLD_CODE_MAX;

    return MAX(t->miss_count, t->bail_count) + 4 <= SITES_MAX &&
           (size_t)(t->e.w - entry) + behind + JIT_INSN_CODE_MAX <= JIT_BLOCK_CODE_MAX;
}

static void emit_body(struct translation *t, const uint8_t *entry)
{
    for (unsigned n = 0; n < t->count && !t->ended; n++) {
        if (!has_room(t, entry)) {
            jit_interpret_rest(t, n);
            return;
        }
        if (jit_op(t, n))
            continue;
        if (t->d[n].info->attr & (X86_ATTR_BRANCH | X86_ATTR_SYSTEM) ||
            !translation_has(t, JIT_OPT_DETOUR)) {
            jit_interpret_rest(t, n);
            return;
        }
        jit_detour(t, n);
    }
    if (!t->ended)
        jit_exit_to(t, 0, insn_behind(t, t->count - 1));
}

static bool has_vectors(const struct translation *t)
{
    for (unsigned n = 0; n < t->count; n++)
        if (t->d[n].info->attr & (X86_ATTR_X87 | X86_ATTR_MMX | X86_ATTR_SSE | X86_ATTR_AVX))
            return true;
    return false;
}

/* For the comparison of flags. */
static const struct jit_flags *note_flags(struct translation *t)
{
    struct jit_flags *flags = data_alloc(t, (t->count + 1) * sizeof(*flags));

    for (unsigned n = 0; n < t->count; n++) {
        const struct x86_decoded *d = &t->d[n];

        flags[n] = (struct jit_flags){.live = t->live[n],
                                      .set = shift_may_keep_flags(d) ? 0 : d->info->flags_set,
                                      .undefined = d->info->flags_undefined};
    }
    flags[t->count].live = t->live[t->count];
    return flags;
}

void jit_translate(struct x86_cpu *c, struct block *b)
{
    struct jit *j = c->jit;
    struct translation *t = j->translation;
    uint8_t *entry = (uint8_t *)(((uintptr_t)j->next + 31) & ~(uintptr_t)31);

    if (j->write + j->code_bytes - entry < (ptrdiff_t)JIT_BLOCK_CODE_MAX ||
        j->data + j->data_bytes - j->data_next < (ptrdiff_t)JIT_BLOCK_DATA_MAX) {
        x86_cpu_post(c, X86_PENDING_FLUSH);
        return;
    }
    t->e = (struct emit){entry, j->run - j->write};
    t->c = c;
    t->j = j;
    t->b = b;
    t->end = (struct block_end *)(b->insn + b->count);
    t->miss_count = t->bail_count = 0;
    t->guarded = 0;
    t->ended = false;
    t->upper = b->home_rip >> 63;
    if (b->page[1] || !decode_again(t))
        return;
    t->exits = data_alloc(t, sizeof(*t->exits));
    *t->exits = (struct jit_exit){.vector = has_vectors(t)};
    find_live_flags(t);
    if (c->check)
        t->exits->flags = note_flags(t);
    emit_poll(t);
    b->body = emit_here(&t->e);
    emit_body(t, entry);
    emit_misses(t);
    emit_bails(t);
    j->next = t->e.w;
    c->count.jit_blocks++;
    t->exits->code_bytes = (uint32_t)(t->e.w - entry);
    c->count.jit_bytes += t->exits->code_bytes;
    b->fixed = true;
    b->code = entry + t->e.run_offset;
    t->end->exits = t->exits;
}
