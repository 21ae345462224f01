/* SPDX-License-Identifier: MIT */
/* A translation is right at one address. Where the same code is mapped at another one now (a library of
 * the next process), it is made one for that: what depends on the address has been noted when it was
 * emitted. Mappings move by whole pages, so what lies where within its page stays. */
#include "cpu/x86/jit/translate.h"

/* Notes are offsets in the mapping that runs, of the code or of the data behind it. */
#define NOTE_ENTRY (UINT32_C(1) << 31)

_Static_assert(3 * (uint64_t)JIT_CACHE_MAX < NOTE_ENTRY, "offsets leave a bit");

/* Operands and targets are within 2 GiB and a few bytes. */
#define NEAR (UINT64_C(1) << 32)

static bool in_reach(uint64_t rip)
{
    return rip >= NEAR && rip < (UINT64_C(1) << 47) - NEAR;
}

bool jit_may_move(const struct x86_cpu *c, uint64_t from, uint64_t to)
{
    return in_64bit(c) && jit_has(&c->vm->jit, JIT_OPT_MOVE) && in_reach(from) && in_reach(to) &&
           !((from ^ to) & (MEM_PAGE_SIZE - 1));
}

static void note(struct translation *t, const void *place, uint32_t kind)
{
    const struct jit *j = t->j;
    const uint8_t *at = place;
    bool code = at >= j->write && at < j->write + j->code_bytes;

    t->moves &= t->moving_count < MOVING_MAX;
    if (t->moves)
        t->moving[t->moving_count++] = (uint32_t)(at - (code ? j->write : j->run)) | kind;
}

void jit_note_word(struct translation *t, const void *word)
{
    note(t, word, 0);
}

void jit_note_entry(struct translation *t, const void *disp)
{
    note(t, disp, NOTE_ENTRY);
}

void jit_emit_own(struct translation *t, unsigned reg, uint64_t value)
{
    if (!t->moves) {
        emit_const(&t->e, reg, value);
        return;
    }
    emit_o(&t->e, XO_MOV_O, W64, reg);
    jit_note_word(t, t->e.w);
    emit_bytes(&t->e, &value, sizeof(value));
}

void jit_end_notes(struct translation *t)
{
    size_t len = t->moving_count * sizeof(*t->moving);
    uint8_t *notes;

    t->b->stays = !t->moves;
    if (!t->moves)
        return;
    notes = __builtin_memcpy(jit_data_alloc(t, len), t->moving, len);
    t->exits->moving_count = (uint16_t)t->moving_count;
    t->exits->moving = (uint32_t)(notes - t->j->run);
}

static void move_word(uint8_t *at, uint64_t by)
{
    uint64_t word;

    __builtin_memcpy(&word, at, sizeof(word));
    word += by;
    __builtin_memcpy(at, &word, sizeof(word));
}

static void move_entry(uint8_t *at, uint64_t by)
{
    uint32_t size = sizeof(struct tlb_entry), disp;

    __builtin_memcpy(&disp, at, sizeof(disp));
    disp = (uint32_t)((disp / size + (by >> MEM_PAGE_SHIFT)) & (TLB_ENTRIES - 1)) * size + disp % size;
    __builtin_memcpy(at, &disp, sizeof(disp));
}

void jit_prefetch(const struct x86_cpu *c, const struct block *b)
{
    __builtin_prefetch(jit_exits_of(c, b));
}

void jit_move(struct x86_cpu *c, const struct block *b)
{
    struct jit_exits *exits = jit_exits_of(c, b);
    const uint32_t *moving = (const uint32_t *)(const void *)(c->jit->run + exits->moving);
    uint64_t by = b->home_rip - exits->from;

    for (unsigned n = 0; n < exits->moving_count; n++) {
        uint32_t offset = moving[n] & ~NOTE_ENTRY;
        uint8_t *at = (offset < c->jit->code_bytes ? c->jit->write : c->jit->run) + offset;

        if (moving[n] & NOTE_ENTRY)
            move_entry(at, by);
        else
            move_word(at, by);
    }
    if (c->check)
        jit_checked_of(exits)->count = 0; /* moved code is to be looked at as well */
    jit_note_for_perf(c, b);
}
