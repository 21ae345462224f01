/* SPDX-License-Identifier: MIT */
/* One block: decode it again, find out which flags matter where, emit its instructions and,
 * elsewhere, what is seldom needed. */
#include <limits.h>

#include "cpu/x86/jit/record.h"
#include "cpu/x86/jit/translate.h"

/* Copy the block's bytes: another vCPU may be changing them. The number of bytes. */
static unsigned copy_bytes(struct translation *t)
{
    const struct insn *last = &t->b->insn[t->count];
    const uint8_t *host = t->b->host, *second = block_page(t->b, 1);
    unsigned room = MEM_PAGE_SIZE - (unsigned)((uintptr_t)host & (MEM_PAGE_SIZE - 1));
    unsigned len = (unsigned)last->off + last->len;

    for (unsigned n = 0; n < len; n++)
        t->bytes[n] = n < room ? host[n] : second[n - room];
    return len;
}

/* Is instruction n of the block what has been decoded now? */
static bool same_insn(const struct translation *t, unsigned n)
{
    const struct insn *was = &t->b->insn[n + 1];
    struct insn now = {.off = was->off, .len = t->d[n].len};

    return insn_bind(t->c, &t->d[n], t->bytes + was->off, &now) &&
           !__builtin_memcmp(&now, was, sizeof(now));
}

/* False: there is something in it that cannot be translated, or the code has changed meanwhile. */
static bool decode_again(struct translation *t)
{
    unsigned len, off = 0;

    t->count = (unsigned)t->end->insns;
    if (!t->count)
        return false;
    len = copy_bytes(t);
    for (unsigned n = 0; n < t->count; n++) {
        if (x86_decode(t->bytes + off, MIN(len - off, (unsigned)X86_INSN_MAX), t->c->code_size,
                       &t->d[n]) != X86_DECODE_OK || !same_insn(t, n))
            return false;
        off += t->d[n].len;
    }
    return true;
}

/* The accesses that instruction n made come back here when the interpreter has done it. */
static void set_after(struct translation *t, unsigned n, unsigned first_miss, unsigned first_bail)
{
    bool back = !t->ended && translation_has(t, JIT_OPT_DETOUR);

    for (unsigned k = first_bail; k < t->bail_count; k++) {
        t->bail[k].after = emit_here(&t->e);
        t->held_for = UINT_MAX; /* that way back does not hold anything */
    }
    for (unsigned k = first_miss; k < t->miss_count; k++) {
        struct jit_site *site = t->miss[k].site;

        site->after = back ? (uint16_t)(emit_here(&t->e) - (const uint8_t *)site->hit) : 0;
        site->held = t->held_for == n + 1 ? t->held : 0;
    }
}

/* Is there room for another instruction, and for all that becomes of it elsewhere? */
static bool has_room(const struct translation *t, const uint8_t *entry)
{
    unsigned rare = (t->miss_count + t->bail_count + 8) * JIT_RARE_CODE_MAX + JIT_RARE_ENDS_MAX;

    return MAX(t->miss_count, t->bail_count) + 4 <= SITES_MAX && rare <= JIT_BLOCK_RARE_MAX &&
           (size_t)(t->e.w - entry) + JIT_INSN_CODE_MAX <= JIT_BLOCK_CODE_MAX;
}

static void emit_body(struct translation *t, const uint8_t *entry)
{
    for (unsigned n = 0; n < t->count && !t->ended; n++) {
        unsigned first_miss = t->miss_count, first_bail = t->bail_count, run;

        if (!has_room(t, entry)) {
            jit_interpret_rest(t, n);
            return;
        }
        run = jit_op_run(t, n);
        if (run) {
            n += run - 1;
            continue;
        }
        if (jit_op(t, n)) {
            if (!translation_has(t, JIT_OPT_FLAGS))
                jit_flags_restore(t, n + 1);
            set_after(t, n, first_miss, first_bail);
            continue;
        }
        if (t->d[n].info->attr & (X86_ATTR_BRANCH | X86_ATTR_SYSTEM) ||
            !translation_has(t, JIT_OPT_DETOUR)) {
            jit_interpret_rest(t, n);
            return;
        }
        jit_detour(t, n);
    }
    if (!t->ended)
        jit_exit_to(t, 0, insn_behind(t, t->count - 1), -1);
}

/* What all vector and x87 instructions of the block together want clear: tested once. */
static uint8_t guards_of(const struct block *b, unsigned count)
{
    uint8_t guard = 0;

    for (unsigned n = 0; n < count; n++)
        guard |= jit_guard_of(&b->insn[n + 1]);
    return guard;
}

static bool has_vectors(const struct translation *t)
{
    for (unsigned n = 0; n < t->count; n++)
        if (t->d[n].info->family == X86_FAMILY_FPU)
            return true;
    return false;
}

/* One for each link that there may be: direct branches, and those blocks that just go on, have one. */
static unsigned exits_wanted(const struct translation *t)
{
    switch (t->d[t->count - 1].op) {
    case X86_OP_JCC:
        return 2;
    case X86_OP_RET: case X86_OP_JMP_IND: case X86_OP_CALL_IND:
        return 0;
    default:
        return 1;
    }
}

static void alloc_exits(struct translation *t)
{
    unsigned count = exits_wanted(t);

    if (t->c->check)
        *(struct jit_checked *)jit_data_alloc(t, sizeof(struct jit_checked)) = (struct jit_checked){0};
    t->exits = jit_data_alloc(t, sizeof(*t->exits) + count * sizeof(t->exits->exit[0]));
    *t->exits = (struct jit_exits){
        .block = t->b, .from = t->b->home_rip, .vector = has_vectors(t), .exit_count = (uint8_t)count};
    for (unsigned slot = 0; slot < count; slot++)
        t->exits->exit[slot].rel = 0;
    jit_note_word(t, &t->exits->from);
}

void jit_translate(struct x86_cpu *c, struct block *b)
{
    struct jit *j = c->jit;
    struct translation *t = j->translation;
    uint8_t *entry = (uint8_t *)(((uintptr_t)j->next + 15) & ~(uintptr_t)15);

    if (j->rare - entry < (ptrdiff_t)JIT_BLOCK_CODE_MAX ||
        j->write + j->code_bytes - j->rare_next < (ptrdiff_t)JIT_BLOCK_RARE_MAX ||
        j->data + j->data_bytes - j->data_next < (ptrdiff_t)JIT_BLOCK_DATA_MAX) {
        c->count.jit_full++;
        x86_cpu_post(c, X86_PENDING_FLUSH);
        return;
    }
    t->e = (struct emit){entry, j->run - j->write};
    t->c = c;
    t->j = j;
    t->b = b;
    t->end = block_end(b);
    t->miss_count = t->bail_count = t->moving_count = 0;
    t->moves = jit_may_move(c, b->home_rip, b->home_rip);
    t->stub[0].branch[0] = t->stub[1].branch[0] = NULL;
    t->guarded = 0;
    t->held_for = UINT_MAX;
    t->ended = false;
    t->upper = b->home_rip >> 63;
    t->narrow = !in_64bit(c);
    if ((block_page(b, 1) && !translation_has(t, JIT_OPT_CROSS)) || !decode_again(t))
        return;
    alloc_exits(t);
    jit_find_live_flags(t);
    t->guard = guards_of(b, t->count);
    if (c->check)
        jit_checked_of(t->exits)->flags = jit_note_flags(t);
    jit_look_for_loop(t);
    jit_emit_entry(t);
    emit_body(t, entry);
    j->next = t->e.w;
    t->exits->code_bytes = (uint16_t)(t->e.w - entry);
    t->e.w = j->rare_next;
    jit_emit_rare(t);
    jit_end_notes(t);
    c->count.jit_blocks++;
    c->count.jit_bytes += t->exits->code_bytes + (uint64_t)(t->e.w - j->rare_next);
    j->rare_next = t->e.w;
    b->fixed = true;
    b->exits = (uint32_t)((uint8_t *)t->exits - j->run);
    b->translated = true;
    c->count.jit_guest_bytes += b->insn[t->count].off + b->insn[t->count].len;
    jit_note_for_perf(c, b);
    jit_record_block(c, b);
}
