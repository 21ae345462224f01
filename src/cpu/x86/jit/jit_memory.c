/* SPDX-License-Identifier: MIT */
/* Memory operands: a look into the soft TLB, after which the guest's own instruction works with the
 * guest's own registers plus the addend of the page. */
#include "cpu/x86/jit/translate.h"

struct address jit_operand_address(const struct translation *t, unsigned n)
{
    const struct x86_decoded *d = &t->d[n];
    struct address a = {.base = d->base, .index = d->index, .scale = d->scale, .seg = d->seg,
                        .disp = (int32_t)d->disp, .narrow = t->narrow};

    if (d->base == X86_BASE_RIP) {
        a.fixed = a.by_rip = true;
        a.at = insn_behind(t, n) + (uint64_t)d->disp;
    } else if (d->base == X86_NO_REG && d->index == X86_NO_REG) {
        a.fixed = true;
        a.at = rip_of(t, (uint64_t)d->disp);
    }
    return a;
}

struct address jit_stack_address(const struct translation *t, int32_t disp)
{
    return (struct address){.base = X86_RSP, .index = X86_NO_REG, .seg = X86_SS, .disp = disp,
                            .narrow = t->narrow};
}

/* Flat segments are as good as none; CS may not be written, FS and GS are not flat. */
bool jit_address_is_plain(const struct translation *t, const struct x86_decoded *d)
{
    return d->asize == word_size(t) && d->disp == (int32_t)d->disp &&
           (!t->narrow || d->seg == X86_SS || d->seg == X86_DS || d->seg == X86_ES);
}

static bool in_memory(unsigned g)
{
    return g < 16 && jit_in_memory(g);
}

static unsigned host_reg(unsigned g)
{
    return g < 16 ? jit_host_reg(g) : H_NONE;
}

/* Does it need nothing but host registers? */
static bool is_direct(const struct address *a)
{
    return !a->fixed && !a->narrow && a->seg < X86_FS && !in_memory(a->base) && !in_memory(a->index);
}

static void lea(struct emit *e, unsigned to, unsigned base, unsigned index, unsigned scale,
                int64_t disp)
{
    if (disp == (int32_t)disp) {
        emit_lea(e, to, base, index, scale, (int32_t)disp);
    } else {
        emit_lea(e, to, base, index, scale, INT32_MAX);
        emit_lea(e, to, to, H_NONE, 0, (int32_t)(disp - INT32_MAX));
    }
}

/* mov reg, value: a fixed address, or one beside it */
static void fixed_address(struct translation *t, unsigned reg, const struct address *a, uint64_t value)
{
    if (a->by_rip)
        jit_emit_own(t, reg, value);
    else
        emit_const(&t->e, reg, value);
}

/* r10 = the address without the segment's base, plus extra. */
static void offset_part(struct translation *t, const struct address *a, int32_t extra)
{
    struct emit *e = &t->e;
    unsigned base = host_reg(a->base), index = host_reg(a->index);

    if (a->fixed) {
        fixed_address(t, H_R10, a, a->at + (uint64_t)(int64_t)extra);
        return;
    }
    if (in_memory(a->base)) {
        emit_load(e, H_R10, H_R15, REG_OFF(a->base));
        base = H_R10;
    }
    if (in_memory(a->index)) {
        emit_load(e, H_R11, H_R15, REG_OFF(a->index));
        index = H_R11;
    }
    if (a->narrow) { /* only the address itself wraps */
        emit_lea32(e, H_R10, base, index, a->scale, a->disp);
        if (extra)
            emit_lea(e, H_R10, H_R10, H_NONE, 0, extra);
        return;
    }
    lea(e, H_R10, base, index, a->scale, (int64_t)a->disp + extra);
}

void jit_address(struct translation *t, const struct address *a)
{
    offset_part(t, a, 0);
    if (a->seg >= X86_FS) {
        emit_load(&t->e, H_R11, H_R15, CPU_OFF(ea_base) + 8 * a->seg);
        emit_lea(&t->e, H_R10, H_R10, H_R11, 0, 0);
    }
}

void jit_emit_at(struct translation *t, unsigned op, unsigned reg, const struct place *p)
{
    emit_rm(&t->e, op, word_width(t), reg, place_mem(p));
}

void jit_fold(struct translation *t, struct place *p)
{
    if (p->index != H_NONE || p->base != H_R10 || p->disp)
        emit_lea(&t->e, H_R10, p->base, p->index, p->scale, p->disp);
    *p = (struct place){.base = H_R10, .index = H_NONE, .spare = H_R11};
}

/* Is it an address that moves with the block? */
static bool moves(const struct translation *t, const struct address *a)
{
    return t->moves && a->by_rip;
}

/* r11 is the addend: what to add to it. */
static struct place place_of(struct translation *t, const struct address *a)
{
    struct emit *e = &t->e;
    unsigned base = host_reg(a->base), index = host_reg(a->index);

    if (a->fixed) {
        if (!moves(t, a) && a->at == (uint64_t)(int64_t)(int32_t)a->at)
            return (struct place){.base = H_R11, .index = H_NONE, .spare = H_R10,
                                  .disp = (int32_t)a->at};
        fixed_address(t, H_R10, a, a->at);
        return (struct place){.base = H_R10, .index = H_R11, .spare = H_NONE};
    }
    if (a->narrow) {
        /* Its users rely on r10 being spare for an address on the stack. */
        offset_part(t, a, 0);
        emit_lea(e, H_R11, H_R11, H_R10, 0, 0);
        return (struct place){.base = H_R11, .index = H_NONE, .spare = H_R10};
    }
    if (a->index == X86_NO_REG) {
        if (!in_memory(a->base))
            return (struct place){.base = base, .index = H_R11, .spare = H_R10, .disp = a->disp};
        emit_load(e, H_R10, H_R15, REG_OFF(a->base));
        return (struct place){.base = H_R10, .index = H_R11, .spare = H_NONE, .disp = a->disp};
    }
    if (in_memory(a->index)) {
        emit_load(e, H_R10, H_R15, REG_OFF(a->index));
        if (in_memory(a->base)) {
            emit_lea(e, H_R11, H_R11, H_R10, a->scale, 0);
            emit_load(e, H_R10, H_R15, REG_OFF(a->base));
            return (struct place){.base = H_R10, .index = H_R11, .spare = H_NONE, .disp = a->disp};
        }
        index = H_R10;
    } else if (in_memory(a->base)) {
        emit_load(e, H_R10, H_R15, REG_OFF(a->base));
        base = H_R10;
    }
    if (base == H_NONE)
        return (struct place){.base = H_R11, .index = (uint8_t)index, .scale = a->scale,
                              .spare = index == H_R10 ? H_NONE : H_R10, .disp = a->disp};
    emit_lea(e, H_R10, base, index, a->scale, a->disp);
    return (struct place){.base = H_R10, .index = H_R11, .spare = H_NONE};
}

static int32_t tag_offset(enum mmu_access access)
{
    return access == MMU_WRITE ? offsetof(struct tlb_entry, write)
                               : offsetof(struct tlb_entry, read);
}

static int32_t entry_of(const struct address *a)
{
    return (int32_t)((a->at >> MEM_PAGE_SHIFT & (TLB_ENTRIES - 1)) * sizeof(struct tlb_entry));
}

/* op reg, [r11 + field]: of the entry of a fixed address, r11 being the table */
static void at_entry(struct translation *t, unsigned op, unsigned reg, const struct address *a, int32_t field)
{
    int32_t at = entry_of(a) + field;

    emit_rm(&t->e, op, W64, reg, host_mem(H_R11, moves(t, a) ? INT32_MAX : at));
    if (!moves(t, a))
        return;
    __builtin_memcpy(t->e.w - sizeof(at), &at, sizeof(at));
    jit_note_entry(t, t->e.w - sizeof(at));
}

/* Compare the tag of a fixed address's page; r11 = its addend. */
static uint8_t *look_up_fixed(struct translation *t, const struct address *a, enum mmu_access access)
{
    struct emit *e = &t->e;
    uint64_t at = a->at, page = tlb_page(at);
    uint8_t *branch;

    emit_load(e, H_R11, H_R15, CPU_OFF(tlb) + (at >> 63 ? 8 : 0));
    if (!moves(t, a) && page == (uint64_t)(int64_t)(int32_t)page) {
        emit_mi(e, XO_CMP_I, W64, host_mem(H_R11, entry_of(a) + tag_offset(access)), page);
    } else {
        fixed_address(t, H_R10, a, page);
        at_entry(t, XO_CMP, H_R10, a, tag_offset(access));
    }
    branch = emit_jcc_forward(e, CC_NE);
    at_entry(t, XO_MOV, H_R11, a, offsetof(struct tlb_entry, addend));
    return branch;
}

/* r11 is the address of the first byte, whose page's entry it is, r10 that of the last, whose page
 * is compared; or, where alignment is demanded, of the first including the bits that must be 0. */
uint8_t *jit_emit_look_up(struct emit *e, struct host_mem table, enum mmu_access access,
                          unsigned align, uint8_t **ret_half)
{
    uint8_t *branch;

    emit_ri(e, XO_SHR_I8, W64, H_R11, MEM_PAGE_SHIFT - LOG2_OF(struct tlb_entry));
    emit_ri(e, XO_AND_I, W32, H_R11, (TLB_ENTRIES - 1) << LOG2_OF(struct tlb_entry));
    emit_rm(e, XO_ADD, W64, H_R11, table);
    *ret_half = e->w - 1;
    emit_ri(e, XO_AND_I, W64, H_R10, (uint64_t)-MEM_PAGE_SIZE | (align ? align - 1 : 0));
    emit_rm(e, XO_CMP, W64, H_R10, host_mem(H_R11, tag_offset(access)));
    branch = emit_jcc_forward(e, CC_NE);
    emit_load(e, H_R11, H_R11, offsetof(struct tlb_entry, addend));
    return branch;
}

static uint8_t *look_up(struct translation *t, const struct address *a, unsigned size,
                        enum mmu_access access, unsigned align, uint8_t **ret_half)
{
    struct emit *e = &t->e;
    int32_t last = align ? 0 : (int32_t)size - 1;

    if (is_direct(a) && last) {
        lea(e, H_R11, host_reg(a->base), host_reg(a->index), a->scale, a->disp);
        offset_part(t, a, last);
    } else {
        jit_address(t, a);
        emit_move(e, H_R11, H_R10);
        if (last)
            emit_lea(e, H_R10, H_R10, H_NONE, 0, last);
    }
    return jit_emit_look_up(e, jit_table(t->upper), access, align, ret_half);
}

/* ---- slots: the page used last ---- */

/* How far d moves register g in a loop: MAX_STEP and more if by anything but a small constant. */
#define MAX_STEP 512

static uint64_t step_of(const struct x86_decoded *d)
{
    int64_t by = (int64_t)d->imm;

    switch (d->op) {
    case X86_OP_INC: case X86_OP_DEC:
        return 1;
    case X86_OP_ADD: case X86_OP_SUB:
        if (d->operand_count == 2 && d->operand[1].kind == X86_OPERAND_IMM)
            return (uint64_t)(by < 0 ? -by : by);
        return MAX_STEP;
    case X86_OP_LEA:
        if (d->base == d->reg && d->index == X86_NO_REG)
            return (uint64_t)(d->disp < 0 ? -d->disp : d->disp);
        return MAX_STEP;
    default:
        return MAX_STEP;
    }
}

/* Instructions with registers written that are no operands in the table's sense, RSP of PUSH and
 * so on, vary nothing that matters: such operands have slots of their own or none. */
void jit_look_for_loop(struct translation *t)
{
    const struct x86_decoded *last = &t->d[t->count - 1];

    t->varying = 0;
    t->loops = last->op == X86_OP_JCC &&
               insn_behind(t, t->count - 1) + last->imm == t->b->home_rip;
    for (unsigned n = 0; t->loops && n < t->count; n++) {
        const struct x86_decoded *d = &t->d[n];

        for (unsigned k = 0; k < d->operand_count; k++)
            if (d->operand[k].kind == X86_OPERAND_GPR && d->operand[k].written &&
                step_of(d) >= MAX_STEP)
                t->varying |= (uint16_t)(1u << d->operand[k].reg);
    }
}

static bool varies(const struct translation *t, unsigned g)
{
    return g < 16 && t->varying & 1u << g;
}

/* Is the offset in the page that most of this segment's are in, as far as is known? Others would take the slot away from
 * them. By a vote of those that are translated, in which two for different pages cancel each other (Boyer and Moore's). */
static bool in_usual_page(struct translation *t, const struct address *a)
{
    struct jit_vote *v = &t->j->vote[a->seg - X86_FS];
    uint32_t page = (uint32_t)(a->at >> MEM_PAGE_SHIFT);

    if (!v->lead)
        v->page = page;
    v->lead += v->page == page ? 1 : -1u;
    return v->page == page;
}

/* The slot for a fixed offset from FS or GS, or -1: what kernels keep there of each CPU, programs of each thread. */
static int slot_of_segment(struct translation *t, const struct address *a, unsigned size, enum mmu_access access)
{
    if (a->seg < X86_FS || a->narrow || moves(t, a) || a->at != (uint64_t)(int64_t)(int32_t)a->at ||
        a->at & (size - 1))
        return -1;
    if (access == MMU_READ && a->at < MEM_PAGE_SIZE)
        return TLB_SLOT_SEG_READ_FIRST;
    if (!in_usual_page(t, a))
        return -1;
    return access == MMU_WRITE ? TLB_SLOT_SEG_WRITE : TLB_SLOT_SEG_READ;
}

/* The slot for accesses by this instruction, which tend to stay within a page; or -1. */
static int slot_for(struct translation *t, const struct address *a, unsigned size,
                    enum mmu_access access)
{
    if ((size & (size - 1)) || !translation_has(t, JIT_OPT_SLOTS))
        return -1;
    if (a->fixed)
        return slot_of_segment(t, a, size, access);
    if (!is_direct(a))
        return -1;
    if (a->base == X86_RSP && a->index == X86_NO_REG)
        return a->disp & (int32_t)(size - 1) ? -1
               : access == MMU_WRITE         ? TLB_SLOT_STACK_WRITE
                                             : TLB_SLOT_STACK_READ;
    if (!t->loops || varies(t, a->base) || varies(t, a->index))
        return -1;
    t->j->next_slot = t->j->next_slot + 1 < TLB_SLOTS ? t->j->next_slot + 1 : TLB_SLOT_FIRST_FREE;
    return (int)t->j->next_slot;
}

/* An access that is not aligned to its size might reach into another page: it misses. */
static uint8_t *look_into_slot(struct translation *t, const struct address *a, unsigned size, int slot)
{
    struct emit *e = &t->e;
    uint8_t *branch;

    offset_part(t, a, 0);
    if (a->seg >= X86_FS)
        emit_rm(e, XO_ADD, W64, H_R10, CPU(ea_base[a->seg]));
    emit_ri(e, XO_AND_I, W64, H_R10, (uint64_t)-MEM_PAGE_SIZE | (size - 1));
    emit_rm(e, XO_CMP, W64, H_R10, CPU(slot[slot].tag));
    branch = emit_jcc_forward(e, CC_NE);
    emit_load(e, H_R11, H_R15, CPU_OFF(slot[slot].addend));
    return branch;
}

void jit_emit_fill_slot(struct emit *e, int slot)
{
    emit_store(e, H_R10, H_R15, CPU_OFF(slot[slot].tag));
    emit_store(e, H_R11, H_R15, CPU_OFF(slot[slot].addend));
    if (slot >= TLB_SLOT_FIRST_FREE)
        emit_mi(e, XO_MOV8_I, W32, CPU(slots_used), true);
}

/* Of a byte in the writable mapping, or NULL. */
static uint32_t code_place(const struct translation *t, const uint8_t *byte)
{
    return byte ? (uint32_t)(byte - t->j->write) : 0;
}

/* Where the data of one of the first slots is expected: a segment's where its base is now. */
static bool is_upper(const struct translation *t, const struct address *a)
{
    return a->seg >= X86_FS ? (t->c->ea_base[a->seg] + a->at) >> 63 : t->upper;
}

/* Not in the slot: look into the TLB, and put what it says into the slot. Returns the branch for a
 * miss there too, if any. */
static uint8_t *fill_slot(struct translation *t, const struct miss *m)
{
    struct emit *e = &t->e;
    struct jit_site *s = m->site;
    uint8_t *branch, *half;

    if (m->slot < TLB_SLOT_FIRST_FREE && !s->align) {
        jit_address(t, &s->address);
        emit_lea_rip(e, H_R11, s);
        emit_jmp(e, t->j->fill[m->slot][is_upper(t, &s->address)][__builtin_ctz(s->size)]);
        return NULL;
    }
    branch = look_up(t, &s->address, s->size, s->access, s->align, &half);
    s->half = code_place(t, half);
    jit_emit_fill_slot(e, m->slot);
    emit_jmp(e, s->hit);
    return branch;
}

void jit_note_sole(struct translation *t)
{
    t->miss[t->miss_count - 1].site->sole = true;
}

struct place jit_look_up(struct translation *t, unsigned n, const struct address *a, unsigned size,
                         enum mmu_access access, unsigned align)
{
    struct miss *m = &t->miss[t->miss_count++];
    bool fixed = a->fixed && a->seg < X86_FS && is_canonical(a->at) &&
                 tlb_page(a->at) == tlb_page(a->at + size - 1) && !(align && a->at & (align - 1));

    jit_flags_spare(t, n);
    m->half = NULL;
    m->slot = fixed ? -1 : slot_for(t, a, size, access);
    if (fixed)
        m->branch = look_up_fixed(t, a, access);
    else if (m->slot >= 0)
        m->branch = look_into_slot(t, a, size, m->slot);
    else
        m->branch = look_up(t, a, size, access, align, &m->half);
    m->site = jit_data_alloc(t, sizeof(*m->site));
    *m->site = (struct jit_site){.behind = (uint16_t)((uint8_t *)m->site - (uint8_t *)t->exits),
                                 .hit = emit_here(&t->e),
                                 .address = *a,
                                 .half = code_place(t, m->half),
                                 .index = (uint8_t)n,
                                 .access = (uint8_t)access,
                                 .size = (uint8_t)size,
                                 .align = (uint8_t)align,
                                 .locked = jit_is_locked(&t->d[n]),
                                 .guarded = t->guarded,
                                 .flags_kept = t->kept};
    if (a->by_rip)
        jit_note_word(t, &m->site->address.at);
    if (a->seg >= X86_FS)
        emit_rm(&t->e, XO_ADD, W64, H_R11, CPU(ea_base[a->seg]));
    return place_of(t, a);
}

void jit_emit_misses(struct translation *t)
{
    for (unsigned n = 0; n < t->miss_count; n++) {
        struct miss *m = &t->miss[n];

        emit_patch(&t->e, m->branch);
        if (m->slot >= 0) {
            uint8_t *branch = fill_slot(t, m);

            if (!branch)
                continue;
            emit_patch(&t->e, branch);
        }
        emit_lea_rip(&t->e, H_R11, m->site);
        emit_jmp(&t->e, t->j->slow);
    }
}
