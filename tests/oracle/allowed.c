/* SPDX-License-Identifier: MIT */
/* What may differ between the host and us after one instruction: what the manuals leave undefined,
 * by the columns of optable.h, and no more. */
#include <string.h>

#include "arch/x86/cpu_state.h"
#include "arch/x86/regs.h"
#include "diff.h"

#define XMM 160 /* in the XSAVE area: 16 times 16 bytes */
#define YMM 576 /* the upper halves */

static bool completes(const struct diff_state *host)
{
    return host->vector == -1;
}

uint64_t diff_undefined_flags(const struct diff_case *c, const struct diff_state *host)
{
    const uint8_t cl = (uint8_t)c->before.gpr[X86_RCX];

    if (diff_jit && !completes(host)) /* it need not keep what is going to be overwritten anyway */
        return x86_undefined_flags(&c->d, NULL);
    return completes(host) ? x86_undefined_flags(&c->d, &cl) : 0;
}

static uint64_t undefined_result(const struct diff_case *c, const struct diff_state *host)
{
    const uint8_t cl = (uint8_t)c->before.gpr[X86_RCX];

    return completes(host) ? x86_undefined_result(&c->d, cl, host->rflags) : 0;
}

uint64_t diff_undefined_register(const struct diff_case *c, const struct diff_state *host,
                                 unsigned n)
{
    const struct x86_operand *o = &c->d.operand[0];

    return o->kind == X86_OPERAND_GPR && o->reg == n ? undefined_result(c, host) : 0;
}

/* ---- memory ---- */

/* Of the memory operand; index: what its index register holds. */
static uint64_t address(const struct diff_case *c, uint64_t index)
{
    const struct x86_decoded *d = &c->d;
    uint64_t at = (uint64_t)d->disp;

    if (d->base == X86_BASE_RIP)
        at += DIFF_INSN + d->len;
    else if (d->base != X86_NO_REG)
        at += c->before.gpr[d->base];
    if (d->index != X86_NO_REG)
        at += index << d->scale;
    return d->asize == 8 ? at : (uint32_t)at;
}

static bool in_data(uint64_t at, unsigned len)
{
    return at >= DIFF_DATA && at + len <= DIFF_DATA + DIFF_DATA_LEN && at + len > at;
}

static void allow(uint64_t at, unsigned len)
{
    if (in_data(at, len))
        memcpy(diff_soft_data() + (at - DIFF_DATA), diff_native_data() + (at - DIFF_DATA), len);
}

void diff_allow_memory(const struct diff_case *c, const struct diff_state *host)
{
    const struct x86_decoded *d = &c->d;
    uint64_t sp = c->before.gpr[X86_RSP] - 8, index = 0, pushed;

    if (d->has_mem && !d->vsib && d->index != X86_NO_REG)
        index = c->before.gpr[d->index];
    if (d->operand[0].kind == X86_OPERAND_MEM && undefined_result(c, host))
        allow(address(c, index), d->operand[0].size);
    if (completes(host) || !(d->info->attr & X86_ATTR_PARTIAL) || d->op != X86_OP_CALL_IND)
        return;
    /* A call to where no code can be: SDM vol. 2 looks before it pushes, processors need not. */
    if (in_data(sp, 8)) {
        memcpy(&pushed, diff_native_data() + (sp - DIFF_DATA), 8);
        if (pushed == DIFF_INSN + d->len)
            allow(sp, 8);
    }
}

/* ---- vectors ---- */

/* One vector register, whichever form the area has. */
static void get_vector(const uint8_t *xsave, unsigned n, uint8_t ret[32])
{
    memcpy(ret, xsave + XMM + 16 * n, 16);
    memset(ret + 16, 0, 16);
    if (xsave[512] & 4)
        memcpy(ret + 16, xsave + YMM + 16 * n, 16);
}

struct gathered {
    uint8_t dest[32], mask[32];
};

static void get_gathered(const struct diff_case *c, const struct diff_state *s, struct gathered *ret)
{
    get_vector(s->xsave, c->d.reg, ret->dest);
    get_vector(s->xsave, c->d.vvvv, ret->mask);
}

struct gather_form {
    unsigned unit, index_unit, count; /* bytes, bytes, elements */
};

static struct gather_form form_of(const struct diff_case *c)
{
    struct gather_form f = {.unit = 4};

    if (c->d.op == X86_OP_VPGATHERDQ || c->d.op == X86_OP_VPGATHERQQ ||
        c->d.op == X86_OP_VGATHERDPD || c->d.op == X86_OP_VGATHERQPD)
        f.unit = 8;
    f.index_unit = c->d.opcode & 1 ? 8 : 4; /* 90, 92: dword indexes; 91, 93: qword */
    f.count = (c->d.vex_l ? 32 : 16) / (f.unit > f.index_unit ? f.unit : f.index_unit);
    return f;
}

static bool selected(const uint8_t mask[32], const struct gather_form *f, unsigned k)
{
    return mask[(k + 1) * f->unit - 1] & 0x80;
}

static uint64_t index_of(const struct diff_case *c, const struct gather_form *f, unsigned k)
{
    uint8_t index[32];
    uint64_t wide;
    int32_t narrow;

    get_vector(c->before.xsave, c->d.index, index);
    memcpy(&wide, index + (f->index_unit == 8 ? 8 * k : 0), 8);
    memcpy(&narrow, index + (f->index_unit == 4 ? 4 * k : 0), 4);
    return f->index_unit == 8 ? wide : (uint64_t)(int64_t)narrow;
}

/* Element k of a gather that faulted: loaded and its mask cleared, or neither. */
static bool element_is_whole(const struct diff_case *c, const struct gather_form *f, unsigned k,
                             const struct gathered *before, const struct gathered *after)
{
    uint64_t at = address(c, index_of(c, f, k));
    unsigned off = k * f->unit;
    bool loaded = selected(before->mask, f, k) && !selected(after->mask, f, k);

    if (!selected(before->mask, f, k) && selected(after->mask, f, k))
        return false;
    if (!loaded)
        return !memcmp(after->dest + off, before->dest + off, f->unit);
    return in_data(at, f->unit) &&
           !memcmp(after->dest + off, diff_native_data() + (at - DIFF_DATA), f->unit);
}

/* Elements may be loaded in any order, but of two that fault the one nearer to the low end is
 * reported, with all below it loaded (SDM vol. 2, VGATHERDPS). Of the mask only signs matter. */
static bool same_part(const struct diff_case *c, const struct diff_state *host,
                      const struct diff_state *ours)
{
    struct gather_form f = form_of(c);
    struct gathered before, h, s;
    unsigned k = 0;

    get_gathered(c, &c->before, &before);
    get_gathered(c, host, &h);
    get_gathered(c, ours, &s);
    while (k < f.count && !selected(s.mask, &f, k) && !selected(h.mask, &f, k) &&
           !memcmp(h.dest + k * f.unit, s.dest + k * f.unit, f.unit))
        k++;
    if (k == f.count || !selected(s.mask, &f, k) || !selected(h.mask, &f, k))
        return false; /* somebody has gone on without the one that faulted, or not come so far */
    for (k = 0; k < f.count; k++)
        if (!element_is_whole(c, &f, k, &before, &h) || !element_is_whole(c, &f, k, &before, &s))
            return false;
    return true;
}

/* Gathers clear what lies above the elements they gather, SDM vol. 2. AMD's were seen to leave it
 * as it was, and those that fault may not have come so far. */
static bool same_above(const uint8_t *before, const uint8_t *host, const uint8_t *ours,
                       unsigned from)
{
    static const uint8_t zero[32];
    bool same = true;

    for (unsigned at = from; at < 32; at += 8)
        same &= !memcmp(host + at, ours + at, 8) ||
                (!memcmp(ours + at, zero, 8) && !memcmp(host + at, before + at, 8));
    return same;
}

/* Vector register n after an instruction that gathers. */
static bool same_after_gather(const struct diff_case *c, const struct diff_state *host,
                              const struct diff_state *ours, unsigned n)
{
    struct gather_form f = form_of(c);
    unsigned len = f.count * f.unit;
    uint8_t b[32], h[32], s[32];

    get_vector(c->before.xsave, n, b);
    get_vector(host->xsave, n, h);
    get_vector(ours->xsave, n, s);
    if (n != c->d.reg && n != c->d.vvvv)
        return !memcmp(h, s, 32);
    if (completes(host) && memcmp(h, s, len))
        return false;
    if (!completes(host) && n == c->d.vvvv)
        return true; /* same_part() has looked at its signs; the rest means nothing */
    return same_above(b, h, s, len);
}

bool diff_same_vectors(const struct diff_case *c, const struct diff_state *host,
                       const struct diff_state *ours)
{
    /* FCW, FSW, FTW; MXCSR; ST0-7 (10 bytes of each 16). Not FOP, FIP, FDP. */
    bool same = !memcmp(host->xsave, ours->xsave, 5) &&
                !memcmp(host->xsave + 24, ours->xsave + 24, 4);
    bool partial = !completes(host) && c->d.info->attr & X86_ATTR_PARTIAL;

    for (unsigned n = 0; n < 8; n++)
        same &= !memcmp(host->xsave + 32 + 16 * n, ours->xsave + 32 + 16 * n, 10);
    for (unsigned n = 0; n < 16; n++) {
        uint8_t h[32], s[32];

        get_vector(host->xsave, n, h);
        get_vector(ours->xsave, n, s);
        same &= c->d.vsib ? same_after_gather(c, host, ours, n) : !memcmp(h, s, 32);
    }
    return same && (!c->d.vsib || !partial || host->vector == X86_UD ||
                    same_part(c, host, ours));
}
