/* SPDX-License-Identifier: MIT */
/* String operations: MOVS STOS LODS CMPS SCAS, alone and repeated. SDM vol. 1, 7.3.9.
 *
 * A repeated operation runs on the host as the same instruction, on as many elements as lie in
 * one page at either end; RAM aliases are then aliases on the host too, so overlaps come out as
 * element by element. What cannot be had so (faults to come, MMIO, pages with code, elements
 * across pages) goes one element at a time through the MMU. Registers are updated after every
 * step, so a fault or an interrupt finds the instruction ready to be started again.
 *
 * In struct insn: aux is the element's size, vreg the address size, in bytes. */
#include <stdatomic.h>

#include "cpu/x86/interp/interp.h"

enum string_op { STRING_MOVS, STRING_STOS, STRING_LODS, STRING_CMPS, STRING_SCAS };

/* Bytes of work between looks at c->pending, and what an element through the MMU counts for. */
#define STRING_BUDGET 65536
#define STRING_SLOW_COST 128

struct string {
    enum string_op op;
    unsigned size;      /* of an element */
    uint64_t mask;      /* of addresses and the counter */
    unsigned src_seg;
    bool back;          /* DF */
    bool rep;
    bool until_equal;   /* REPNE: stop when ZF is set, else when it is clear */
};

static bool reads_source(enum string_op op)
{
    return op == STRING_MOVS || op == STRING_LODS || op == STRING_CMPS;
}

static bool has_destination(enum string_op op)
{
    return op != STRING_LODS;
}

static bool writes_destination(enum string_op op)
{
    return op == STRING_MOVS || op == STRING_STOS;
}

static bool compares(enum string_op op)
{
    return op == STRING_CMPS || op == STRING_SCAS;
}

/* Set a register of the address size: 16 bits leave the rest alone, 32 bits clear it. */
static void set_masked(struct x86_cpu *c, unsigned reg, uint64_t mask, uint64_t value)
{
    c->reg[reg] = mask == UINT16_MAX ? (c->reg[reg] & ~mask) | (value & mask) : value & mask;
}

static void advance(struct x86_cpu *c, const struct string *s, uint64_t count)
{
    uint64_t step = count * s->size;

    if (s->back)
        step = -step;
    if (reads_source(s->op))
        set_masked(c, X86_RSI, s->mask, c->reg[X86_RSI] + step);
    if (has_destination(s->op))
        set_masked(c, X86_RDI, s->mask, c->reg[X86_RDI] + step);
}

/* ---- flags of a comparison ---- */

#define COMPARE(bits)                                                                              \
    static uint16_t compare##bits(uint##bits##_t a, uint##bits##_t b)                              \
    {                                                                                              \
        uint16_t f;                                                                                \
                                                                                                   \
        __asm__("cmp" SFX##bits " %[b_], %[a_]" FLAGS_SAVE : "=&a"(f) : [a_] "r"(a), [b_] "r"(b)); \
        return f;                                                                                  \
    }
COMPARE(8) COMPARE(16) COMPARE(32) COMPARE(64)

static uint16_t compare(unsigned size, uint64_t a, uint64_t b)
{
    switch (size) {
    case 1: return compare8((uint8_t)a, (uint8_t)b);
    case 2: return compare16((uint16_t)a, (uint16_t)b);
    case 4: return compare32((uint32_t)a, (uint32_t)b);
    default: return compare64(a, b);
    }
}

/* ---- one element through the MMU; false: a fault is recorded ---- */

static struct loaded load_element(struct x86_cpu *c, unsigned seg, uint64_t off, unsigned size)
{
    struct loaded l = segment_linear(c, seg, off, size, false);

    return l.ok ? load_linear(c, l.value, size, seg == X86_SS) : l;
}

static bool store_element(struct x86_cpu *c, uint64_t off, unsigned size, uint64_t value)
{
    struct loaded l = segment_linear(c, X86_ES, off, size, true);

    return l.ok && store_linear(c, l.value, size, value, false);
}

static void set_accumulator(struct x86_cpu *c, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: SET_R8(REG8_AL, value); break;
    case 2: SET_R16(X86_RAX, value); break;
    case 4: SET_R32(X86_RAX, value); break;
    default: SET_R64(X86_RAX, value); break;
    }
}

static bool one_element(struct x86_cpu *c, const struct string *s)
{
    uint64_t si = c->reg[X86_RSI] & s->mask, di = c->reg[X86_RDI] & s->mask;
    struct loaded src = {c->reg[X86_RAX], true}, dst = {0, true};

    if (reads_source(s->op))
        src = load_element(c, s->src_seg, si, s->size);
    if (src.ok && compares(s->op))
        dst = load_element(c, X86_ES, di, s->size);
    if (!src.ok || !dst.ok)
        return false;
    if (writes_destination(s->op) && !store_element(c, di, s->size, src.value))
        return false;
    if (s->op == STRING_LODS)
        set_accumulator(c, s->size, src.value);
    if (compares(s->op))
        c->af = compare(s->size, src.value, dst.value);
    return true;
}

/* ---- many elements on the host ---- */

#define NATIVE_COPY(insn, args...)                                                                 \
    do {                                                                                           \
        if (s->back)                                                                               \
            __asm__ volatile("std\n\trep " insn "\n\tcld" : args : "memory");                      \
        else                                                                                       \
            __asm__ volatile("rep " insn : args : "memory");                                       \
    } while (0)

static void native_movs(const struct string *s, uint8_t *di, const uint8_t *si, uint64_t n)
{
#define MOVS_ARGS "+D"(di), "+S"(si), "+c"(n) :
    switch (s->size) {
    case 1: NATIVE_COPY("movsb", MOVS_ARGS); break;
    case 2: NATIVE_COPY("movsw", MOVS_ARGS); break;
    case 4: NATIVE_COPY("movsl", MOVS_ARGS); break;
    default: NATIVE_COPY("movsq", MOVS_ARGS); break;
    }
#undef MOVS_ARGS
}

static void native_stos(const struct string *s, uint8_t *di, uint64_t value, uint64_t n)
{
#define STOS_ARGS "+D"(di), "+c"(n) : "a"(value)
    switch (s->size) {
    case 1: NATIVE_COPY("stosb", STOS_ARGS); break;
    case 2: NATIVE_COPY("stosw", STOS_ARGS); break;
    case 4: NATIVE_COPY("stosl", STOS_ARGS); break;
    default: NATIVE_COPY("stosq", STOS_ARGS); break;
    }
#undef STOS_ARGS
}

/* CMPS and SCAS (si NULL: the accumulator): elements done until the repetition ends, at most n.
 * Loads are all that could fault, and the memory is mapped: a plain loop, and the flags of the last
 * comparison. */
static uint64_t native_compare(struct x86_cpu *c, const struct string *s, const uint8_t *di,
                               const uint8_t *si, uint64_t n)
{
    ptrdiff_t step = s->back ? -(ptrdiff_t)s->size : (ptrdiff_t)s->size;
    uint64_t a = cut(c->reg[X86_RAX], s->size), b, done = 0;

    do {
        if (si) {
            a = host_load(si, s->size);
            si += step;
        }
        b = host_load(di, s->size);
        di += step;
        done++;
    } while (done < n && (a == b) != s->until_equal);
    c->af = compare(s->size, a, b);
    return done;
}

/* How many of count elements from off on lie in one page, and below the wrap of the offset. */
static uint64_t page_span(const struct x86_cpu *c, const struct string *s, unsigned seg,
                          uint64_t off, uint64_t count)
{
    uint64_t base = in_64bit(c) ? c->ea_base[seg] : c->seg[seg].base;
    uint64_t in_page = (base + off) & 0xfff, n;

    if (in_page + s->size > 0x1000 || s->mask - off < s->size - 1)
        return 0;
    if (s->back)
        n = MIN(in_page, off) / s->size + 1;
    else
        n = MIN(0x1000 - in_page - 1, s->mask - off) / s->size + 1;
    /* The last element of a forward run may stick out of either. */
    if (!s->back && n * s->size > MIN(0x1000 - in_page - 1, s->mask - off) + 1)
        n--;
    return MIN(n, count);
}

/* Host address of the first element (the highest, going back) of n, or NULL. */
static uint8_t *span_host(struct x86_cpu *c, const struct string *s, unsigned seg, uint64_t off,
                          uint64_t n, enum mmu_access access)
{
    uint64_t lead = s->back ? (n - 1) * s->size : 0;
    struct loaded l = segment_linear(c, seg, off - lead, n * s->size, access == MMU_WRITE);
    uint8_t *host;

    if (!l.ok) {
        c->fault.pending = false; /* the element that is outside will raise it */
        return NULL;
    }
    host = access == MMU_WRITE ? tlb_write_host(c, l.value, n * s->size)
                               : tlb_read_host(c, l.value, n * s->size);
    if (!host)
        host = mmu_direct(c, l.value, n * s->size, access);
    return host ? host + lead : NULL;
}

/* Do some of count elements; 0: it must be done element by element. */
static uint64_t many_elements(struct x86_cpu *c, const struct string *s, uint64_t count)
{
    uint64_t si = c->reg[X86_RSI] & s->mask, di = c->reg[X86_RDI] & s->mask, n = count;
    uint8_t *src = NULL, *dst;

    if (s->op == STRING_LODS)
        return 0;
    if (reads_source(s->op))
        n = page_span(c, s, s->src_seg, si, n);
    n = page_span(c, s, X86_ES, di, n);
    if (n == 0)
        return 0;
    if (reads_source(s->op)) {
        src = span_host(c, s, s->src_seg, si, n, MMU_READ);
        if (!src)
            return 0;
    }
    dst = span_host(c, s, X86_ES, di, n, writes_destination(s->op) ? MMU_WRITE : MMU_READ);
    if (!dst)
        return 0;
    if (s->op == STRING_MOVS)
        native_movs(s, dst, src, n);
    else if (s->op == STRING_STOS)
        native_stos(s, dst, c->reg[X86_RAX], n);
    else
        n = native_compare(c, s, dst, src, n);
    return n;
}

/* ---- the whole ---- */

static bool interrupted(struct x86_cpu *c)
{
    return atomic_load_explicit(&c->pending, memory_order_relaxed) ||
           (c->rflags & X86_FLAG_TF);
}

/* Embedded CPUs: has the element's MMIO access asked to stop behind it? */
static bool kicked_in_call(struct x86_cpu *c)
{
    return unlikely(c->vm->embedded) &&
           (atomic_load_explicit(&c->pending, memory_order_relaxed) & X86_PENDING_KICK);
}

static bool repetition_over(const struct x86_cpu *c, const struct string *s)
{
    return compares(s->op) && !!(c->af & AF_ZF) == s->until_equal;
}

static noinline bool string_repeat(struct x86_cpu *c, const struct insn *i, const struct string *s)
{
    uint64_t count = c->reg[X86_RCX] & s->mask;
    bool single = c->rflags & X86_FLAG_TF; /* traps after every element */
    int64_t budget = single ? 1 : STRING_BUDGET;

    while (count > 0) {
        uint64_t done = single ? 0 : many_elements(c, s, count);

        budget -= done ? (int64_t)(done * s->size) : STRING_SLOW_COST;
        if (done == 0) {
            if (!one_element(c, s)) {
                c->rip = insn_rip(c, i);
                return false;
            }
            done = 1;
        }
        advance(c, s, done);
        count -= done;
        set_masked(c, X86_RCX, s->mask, count);
        if (repetition_over(c, s))
            break;
        if (unlikely(c->watch_hits) && count > 0) { /* traps behind the iteration, SDM vol. 3, 18.3.1.2 */
            c->rip = insn_rip(c, i);
            return false;
        }
        if ((budget <= 0 || kicked_in_call(c)) && count > 0) {
            if (interrupted(c)) {
                c->rip = insn_rip(c, i);
                return false;
            }
            budget = STRING_BUDGET;
        }
    }
    return true;
}

/* False: leave for the main loop, rip is set. */
static noinline bool string_run(struct x86_cpu *c, const struct insn *i, enum string_op op)
{
    struct string s = {
        .op = op,
        .size = i->aux,
        .mask = i->vreg == 8 ? UINT64_MAX : i->vreg == 4 ? UINT32_MAX : UINT16_MAX,
        .src_seg = i->seg,
        .back = c->rflags & X86_FLAG_DF,
        .until_equal = i->flags & INSN_REPNE,
    };

    if (i->flags & (INSN_REP | INSN_REPNE))
        return string_repeat(c, i, &s);
    if (!one_element(c, &s)) {
        c->rip = insn_rip(c, i);
        return false;
    }
    advance(c, &s, 1);
    return true;
}

#define STRING(name, op)                                                                           \
    INSN(name)                                                                                     \
    {                                                                                              \
        if (unlikely(!string_run(c, i, op)))                                                       \
            return;                                                                                \
        NEXT;                                                                                      \
    }
STRING(movs, STRING_MOVS)
STRING(stos, STRING_STOS)
STRING(lods, STRING_LODS)
STRING(cmps, STRING_CMPS)
STRING(scas, STRING_SCAS)

bool string_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                 struct insn *i)
{
    switch (d->op) {
    case X86_OP_MOVS: i->fn = movs; break;
    case X86_OP_STOS: i->fn = stos; break;
    case X86_OP_LODS: i->fn = lods; break;
    case X86_OP_CMPS: i->fn = cmps; break;
    case X86_OP_SCAS: i->fn = scas; break;
    default: return false;
    }
    i->vreg = d->asize;
    for (unsigned n = 0; n < d->operand_count; n++) {
        if (d->operand[n].kind == X86_OPERAND_STR_SRC || d->operand[n].kind == X86_OPERAND_STR_DST)
            i->aux = d->operand[n].size;
    }
    return i->aux != 0;
}
