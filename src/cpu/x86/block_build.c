/* SPDX-License-Identifier: MIT */
/* Decoding and binding the instructions of a block. */
#include "base/checked.h"
#include "cpu/x86/block_priv.h"
#include "cpu/x86/decode/optable.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"

/* Behind the last instruction of a block that ends without a branch. */
INSN(insn_fall_through)
{
    insn_goto(c, i, 0, insn_next_rip(c, i));
}

/* In front of a block that will not be translated. */
INSN(insn_block_plain)
{
    NEXT;
}

/* An instruction of more than 15 bytes. */
INSN(insn_too_long)
{
    INSN_GP0();
}

static bool ends_block(const struct x86_decoded *d)
{
    return d->info->attr & (X86_ATTR_BRANCH | X86_ATTR_SYSTEM);
}

/* Copy n bytes, which lie in one page, so that what is decoded is what is bound. Aligned words are
 * read at once: another vCPU may replace an instruction by a single store. Guests race as they
 * like. */
__attribute__((no_sanitize("thread"))) static void snapshot(uint8_t *to, const uint8_t *host,
                                                            unsigned n)
{
    uint64_t word = 0;

    for (unsigned k = 0; k < n; k++) {
        unsigned at = (unsigned)(uintptr_t)(host + k) & 7;

        if (!k || !at)
            word = __atomic_load_n((const uint64_t *)((uintptr_t)(host + k) & ~(uintptr_t)7),
                                   __ATOMIC_RELAXED);
        to[k] = (uint8_t)(word >> 8 * at);
    }
}

/* Fetch and decode one instruction at lin, whose bytes up to the end of the page are at host. They
 * are put into bytes. X86_DECODE_MORE: it reaches into another page, and may_cross is false. */
static enum x86_decode_result decode_one(struct x86_cpu *c, uint64_t lin, bool may_cross,
                                         const uint8_t *host, uint8_t bytes[16],
                                         const uint8_t **ret_second, struct x86_decoded *d,
                                         bool *ret_fault)
{
    unsigned avail = MEM_PAGE_SIZE - (unsigned)(lin & (MEM_PAGE_SIZE - 1));
    unsigned n = MIN(avail, (unsigned)X86_INSN_MAX);
    enum x86_decode_result r;

    *ret_fault = false;
    *ret_second = NULL;
    smc_claim(c, host, n);
    snapshot(bytes, host, n);
    r = x86_decode(bytes, n, c->code_size, d);
    if (r != X86_DECODE_MORE || !may_cross)
        return r;
    if (!mmu_fetch(c, align_down(lin, MEM_PAGE_SIZE) + MEM_PAGE_SIZE, ret_second)) {
        *ret_fault = true;
        return r;
    }
    smc_claim(c, *ret_second, X86_INSN_MAX - n);
    snapshot(bytes + n, *ret_second, X86_INSN_MAX - n);
    return x86_decode(bytes, X86_INSN_MAX, c->code_size, d);
}

/* A block in the making. */
struct building {
    struct block *b;
    uint64_t lin;          /* of its first byte */
    unsigned off, count;   /* bytes and instructions so far */
    const uint8_t *second; /* the page that the last one crosses into */
    uint8_t links;         /* that the last one may follow */
    bool leaves;           /* it goes on directly in another page */
};

enum added {
    ADDED,
    ADDED_LAST,  /* nothing may follow in the block: the instruction itself says where to go on, */
    ADDED_CROSS, /* or it lies in two pages, */
    NOT_HERE,    /* or it has not been added: it gets a block of its own */
    NOT_FETCHED, /* the fault is recorded */
};

static void begin_building(struct x86_cpu *c, struct block *b, const uint8_t *host, bool single)
{
    bool translatable = c->jit && jit_can_translate(c) && !single;

    *b = (struct block){.host = host,
                        .home_rip = c->rip,
                        .begin = translatable ? insn_block_entry : insn_block_plain,
                        .mode = block_mode(c) & 15};
}

static bool branches_directly(const struct x86_decoded *d)
{
    for (unsigned n = 0; n < d->operand_count; n++)
        if (d->operand[n].kind == X86_OPERAND_REL)
            return true;
    return false;
}

/* Does d, which ends at rip, branch directly to another page than the block's? */
static bool branches_away(const struct block *b, const struct x86_decoded *d, uint64_t rip)
{
    return branches_directly(d) && (rip + d->imm) >> MEM_PAGE_SHIFT != b->home_rip >> MEM_PAGE_SHIFT;
}

/* By how many links may d go on, if it ends the block? What neither branches directly nor is known to go on through the
 * front cache only may be one that goes on behind itself. */
static uint8_t links_of(const struct x86_decoded *d)
{
    switch (d->op) {
    case X86_OP_RET: case X86_OP_JMP_IND: case X86_OP_CALL_IND:
        return 0;
    case X86_OP_JMP: case X86_OP_CALL:
        return 1;
    default:
        return branches_directly(d) ? 2 : 1;
    }
}

/* Decode and bind the next instruction. What cannot be executed is bound to what faults. */
static enum added add_insn(struct x86_cpu *c, struct building *s)
{
    struct insn *i = &s->b->insn[1 + s->count];
    uint64_t lin = s->lin + s->off;
    enum x86_decode_result r;
    struct x86_decoded d;
    uint8_t bytes[16];
    bool fault;

    if (s->count && (align_down(s->lin, MEM_PAGE_SIZE) != align_down(lin, MEM_PAGE_SIZE) ||
                     block_beyond_limit(c, c->rip + s->off)))
        return NOT_HERE;
    r = decode_one(c, lin, !s->count, s->b->host + s->off, bytes, &s->second, &d, &fault);
    if (fault)
        return NOT_FETCHED;
    if (r == X86_DECODE_MORE)
        return NOT_HERE;
    *i = (struct insn){.off = (uint16_t)s->off, .len = d.len};
    if (r == X86_DECODE_LONG)
        i->fn = insn_too_long;
    else if (r != X86_DECODE_OK || !insn_bind(c, &d, bytes, i))
        i->fn = insn_undefined;
    s->off += i->len;
    s->count++;
    s->leaves = branches_away(s->b, &d, c->rip + s->off);
    s->links = r == X86_DECODE_OK ? links_of(&d) : 1;
    s->b->branches = r == X86_DECODE_OK && d.info->attr & X86_ATTR_BRANCH;
    if (i->fn == insn_undefined || i->fn == insn_too_long || ends_block(&d))
        return ADDED_LAST;
    return s->second ? ADDED_CROSS : ADDED;
}

static void end_building(struct x86_cpu *c, struct building *s, bool branch)
{
    struct insn *behind = &s->b->insn[1 + s->count];
    unsigned links = branch ? s->links : 1;
    struct block *b = s->b;
    struct block_end *end;

    if (!branch)
        *behind++ = (struct insn){.fn = insn_fall_through, .off = (uint16_t)s->off};
    b->fixed = s->leaves || (c->rip + s->off) >> MEM_PAGE_SHIFT != b->home_rip >> MEM_PAGE_SHIFT;
    b->count = (uint8_t)(behind - b->insn);
    b->crosses = s->second;
    end = block_end(b);
    *end = (struct block_end){
        .insns = (uint8_t)s->count, .fixed = b->fixed, .count = b->count, .links = (uint8_t)links};
    for (unsigned slot = 0; slot < links; slot++)
        end->link[slot] = (struct block_link){.next = slot ? BLOCK_LINK_SECOND : 0};
    if (s->second)
        *block_second_page(end) = s->second;
    c->count.insns_decoded += s->count;
    c->count.blocks_decoded++;
}

bool block_build(struct x86_cpu *c, struct block *b, const uint8_t *host, uint64_t lin, unsigned max)
{
    struct building s = {.b = b, .lin = lin};
    enum added added = ADDED;

    begin_building(c, b, host, max == 1);
    while (added == ADDED && s.count < max)
        added = add_insn(c, &s);
    if (added == NOT_FETCHED)
        return false;
    end_building(c, &s, added == ADDED_LAST);
    return true;
}
