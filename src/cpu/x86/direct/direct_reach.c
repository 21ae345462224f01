/* SPDX-License-Identifier: MIT */
/* Where instructions begin, as far as that follows from code that has been or is to be executed: from there on, along
 * all direct branches and calls. What is said to be an instruction may be none only where there are data
 * behind a call that does not return, or a program jumps into the middle of its own instructions. */
#include "base/checked.h"
#include "cpu/x86/block.h"
#include "cpu/x86/decode/decode.h"
#include "cpu/x86/decode/optable.h"
#include "cpu/x86/direct/direct_priv.h"

#define TODO_MAX 512u
#define BEFORE   3u /* pages in front of the one that it is about */

/* Where nothing is known: decoding from any byte falls into step with the code soon. So many bytes before are begun at,
 * none nearer than that, and so many have to get there. */
#define SWEEP_FAR  112u
#define SWEEP_NEAR  48u
#define SWEEP_MOST  24u

struct search {
    struct direct_reach *r;
    uint16_t todo[TODO_MAX];
    unsigned count;
};

_Static_assert(REACH_BYTES <= UINT16_MAX + 1, "todo[] has places in it");

static bool has(const uint64_t *bits, unsigned n)
{
    return bits[n / 64] >> n % 64 & 1;
}

static void add(struct search *s, int64_t at)
{
    if (at >= 0 && at < REACH_BYTES && s->count < TODO_MAX && !has(s->r->begins, (unsigned)at))
        s->todo[s->count++] = (uint16_t)at;
}

/* May the next instruction be executed behind it? */
static bool goes_on(const struct x86_decoded *d)
{
    switch (d->op) {
    case X86_OP_JMP: case X86_OP_JMP_IND: case X86_OP_JMP_FAR_IND: case X86_OP_RET: case X86_OP_RET_FAR:
    case X86_OP_IRET: case X86_OP_UD0: case X86_OP_UD1: case X86_OP_UD2: case X86_OP_HLT:
        return false;
    default:
        return true;
    }
}

static void mark(struct direct_reach *r, unsigned at, unsigned len)
{
    r->begins[at / 64] |= BIT(at % 64);
    for (unsigned n = at; n < at + len; n++)
        r->covered[n / 64] |= BIT(n % 64);
}

/* Bytes of code from at on, as many as an instruction may have. */
static unsigned available(const struct direct_reach *r, unsigned at)
{
    unsigned page = at / MEM_PAGE_SIZE, left = (page + 1) * MEM_PAGE_SIZE - at;

    if (at >= REACH_BYTES || !r->here[page])
        return 0;
    return left >= X86_INSN_MAX || page + 1 == REACH_PAGES || !r->here[page + 1] ? MIN(left, (unsigned)X86_INSN_MAX)
                                                                                : X86_INSN_MAX;
}

static bool decode(const struct direct_reach *r, unsigned at, struct x86_decoded *d)
{
    unsigned n = available(r, at);

    return n && x86_decode(r->code + at, n, X86_CODE_64, d) == X86_DECODE_OK;
}

/* From at until it is known, or nobody knows. */
static void follow(struct search *s, unsigned at)
{
    struct x86_decoded d;

    while (at < REACH_BYTES && !has(s->r->covered, at) && decode(s->r, at, &d)) {
        mark(s->r, at, d.len);
        for (unsigned n = 0; n < d.operand_count; n++)
            if (d.operand[n].kind == X86_OPERAND_REL)
                add(s, (int64_t)(at + d.len) + (int64_t)d.imm);
        if (!goes_on(&d))
            return;
        at += d.len;
    }
}

void direct_reach_from(struct direct_reach *r, unsigned at)
{
    struct search s = {.r = r};

    add(&s, at);
    while (s.count)
        follow(&s, s.todo[--s.count]);
}

bool direct_reach_has_jumps(const struct direct_reach *r, unsigned begin, unsigned size)
{
    struct x86_decoded d;

    for (unsigned at = begin; at < begin + size; at++)
        if (has(r->begins, at) && decode(r, at, &d) && (d.op == X86_OP_JMP_IND || d.op == X86_OP_JMP_FAR_IND))
            return true;
    return false;
}

/* The instruction at `at` has byte n, where an escape byte 0F is. */
static enum direct_role role_in(const struct x86_decoded *d, unsigned at, unsigned n)
{
    return d->map == X86_MAP_0F && !(d->prefixes & X86_PREFIX_VEX) && at + d->opcode_off == n + 1
               ? ROLE_INSTRUCTION : ROLE_PART;
}

static enum direct_role role_at(const struct direct_reach *r, unsigned at, unsigned n)
{
    struct x86_decoded d;

    return decode(r, at, &d) ? role_in(&d, at, n) : ROLE_UNKNOWN;
}

/* CPUID is two bytes, which data have now and then. The others are not to be found by chance. */
static bool may_be_data(const struct direct_reach *r, unsigned n)
{
    return n + 1 >= REACH_BYTES || r->code[n + 1] == 0xa2;
}

/* Nothing that was executed leads there. It is what it is from wherever before it one begins to decode. */
static enum direct_role sweep(const struct direct_reach *r, unsigned n)
{
    enum direct_role role[SWEEP_FAR]; /* of n, as seen from n - 1, n - 2... */
    unsigned count[3] = {0};
    struct x86_decoded d;

    for (unsigned back = 1; back <= SWEEP_FAR && back <= n; back++) {
        enum direct_role *is = &role[back - 1];

        *is = ROLE_UNKNOWN;
        if (decode(r, n - back, &d))
            *is = d.len > back ? role_in(&d, n - back, n) : d.len == back ? role_at(r, n, n) : role[back - d.len - 1];
        count[*is] += back >= SWEEP_NEAR;
    }
    if (!count[ROLE_INSTRUCTION] && count[ROLE_PART] >= SWEEP_MOST)
        return ROLE_PART;
    return !count[ROLE_PART] && count[ROLE_INSTRUCTION] >= SWEEP_MOST && !may_be_data(r, n) ? ROLE_INSTRUCTION
                                                                                           : ROLE_UNKNOWN;
}

enum direct_role direct_role_of(const struct direct_reach *r, unsigned n)
{
    unsigned at = n;

    if (!has(r->covered, n))
        return n - r->image < r->image_size ? ROLE_PART : sweep(r, n);
    while (at && !has(r->begins, at))
        at--;
    return role_at(r, at, n);
}

/* ---- of a vCPU ---- */

struct executed {
    struct direct_reach *r;
    unsigned page;
};

static void add_block(void *arg, const struct block *b)
{
    const struct executed *e = arg;

    if (b->mode == X86_CODE_64)
        direct_reach_from(e->r, e->page * MEM_PAGE_SIZE + (unsigned)(b->host - mem_page_of(b->host)));
}

static const uint8_t *code_at(const struct x86_cpu *c, uint64_t va)
{
    struct direct_path path;
    const uint8_t *host;
    uint64_t entry;

    return !(va >> 47) && direct_walk(c, va, &path) &&
                   (direct_page(c, &path, leaf_index(va), &entry, &host) & MAPPED_EXEC)
               ? host : NULL;
}

static void copy(uint8_t *to, const uint8_t *from)
{
    uint64_t len = MEM_PAGE_SIZE;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

unsigned direct_reach_around(struct x86_cpu *c, uint64_t va, const uint8_t *page,
                             struct direct_reach *r)
{
    uint64_t first = tlb_page(va) - MIN(tlb_page(va), BEFORE * (uint64_t)MEM_PAGE_SIZE);
    const uint8_t *host[REACH_PAGES];

    *r = (struct direct_reach){.here = {false}};
    for (unsigned n = 0; n < REACH_PAGES; n++) {
        host[n] = code_at(c, first + n * (uint64_t)MEM_PAGE_SIZE);
        if (first + n * (uint64_t)MEM_PAGE_SIZE == tlb_page(va) && host[n] != page)
            host[n] = NULL; /* the guest has just put another there */
        r->here[n] = host[n];
        if (host[n])
            copy(r->code + n * MEM_PAGE_SIZE, host[n]);
    }
    for (unsigned n = 0; n < REACH_PAGES; n++) {
        struct executed e = {r, n};

        if (host[n])
            block_each_in_page(c, host[n], add_block, &e);
    }
    if (c->rip - first < REACH_BYTES && host[(c->rip - first) / MEM_PAGE_SIZE])
        direct_reach_from(r, (unsigned)(c->rip - first)); /* which is executed next */
    direct_reach_image(r);
    return (unsigned)(tlb_page(va) - first);
}
