/* SPDX-License-Identifier: MIT */
/* Every access that is not a plain TLB hit: page crossings, MMIO, ROM, code pages, watched pages. */
#include "base/checked.h"
#include "cpu/x86/event.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/insn.h"
#include "cpu/x86/mmu/mmu_space.h"
#include "cpu/x86/smc.h"

/* Two pages at most: no single access is longer than a page. */
struct span {
    struct xlat part[2];
    unsigned first_len; /* bytes in part[0]; the rest is in part[1] */
};

static uint64_t load_host(const uint8_t *p, unsigned size)
{
    switch (size) {
    case 1:
        return *p;
    case 2:
        return *(const guest_u16 *)p;
    case 4:
        return *(const guest_u32 *)p;
    default:
        return *(const guest_u64 *)p;
    }
}

static void store_host(uint8_t *p, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        *p = (uint8_t)value;
        break;
    case 2:
        *(guest_u16 *)p = (uint16_t)value;
        break;
    case 4:
        *(guest_u32 *)p = (uint32_t)value;
        break;
    default:
        *(guest_u64 *)p = value;
    }
}

static gpa_t mmio_address(const struct x86_cpu *c, gpa_t gpa)
{
    return unlikely(c->smm) ? gpa | X86_GPA_SMM : gpa;
}

static uint64_t mmio_load(struct x86_cpu *c, gpa_t gpa, unsigned size)
{
    c->count.mmio++;
    fpu_park(c);
    return c->vm->host->mmio_read(c->vm->host_arg, c->index, mmio_address(c, gpa), size);
}

static void mmio_store(struct x86_cpu *c, gpa_t gpa, unsigned size, uint64_t value)
{
    c->count.mmio++;
    fpu_park(c);
    c->vm->host->mmio_write(c->vm->host_arg, c->index, mmio_address(c, gpa), size, value);
}

static uint64_t part_load(struct x86_cpu *c, const struct xlat *x, unsigned off, unsigned size)
{
    return x->host ? load_host(x->host + off, size) : mmio_load(c, x->gpa + off, size);
}

static void part_store(struct x86_cpu *c, const struct xlat *x, unsigned off, unsigned size,
                       uint64_t value)
{
    if (!x->host) {
        mmio_store(c, x->gpa + off, size, value);
    } else if (!x->rom) {
        store_host(x->host + off, size, value);
        if (!x->plain)
            smc_written(c, x->host + off, size);
    } else if (c->vm->embedded) {
        mmio_store(c, x->gpa + off, size, value);
    }
}

static cold bool raise_non_canonical(struct x86_cpu *c, bool is_stack)
{
    cpu_raise(c, is_stack ? X86_SS_FAULT : X86_GP, true, 0);
    return false;
}

/* Translate [va, va + len), len up to a page. */
static bool translate_span(struct x86_cpu *c, uint64_t va, unsigned len, enum mmu_access access,
                           enum mmu_who who, bool is_stack, struct span *ret)
{
    uint64_t last = va + len - 1;

    if (in_long_mode(c)) {
        if (unlikely(!is_canonical(va) || !is_canonical(last) || last < va))
            return raise_non_canonical(c, is_stack);
    } else {
        va = (uint32_t)va;
        last = (uint32_t)last;
    }
    if (unlikely(c->dr7 & 0xff))
        event_watch_memory(c, va, len, access == MMU_WRITE);
    if (!mmu_translate(c, va, access, who, true, &ret->part[0]))
        return false;
    ret->first_len = len;
    if (likely(va >> 12 == last >> 12))
        return true;
    ret->first_len = MEM_PAGE_SIZE - (va & (MEM_PAGE_SIZE - 1));
    return mmu_translate(c, align_down(last, MEM_PAGE_SIZE), access, who, true, &ret->part[1]);
}

static bool part_calls_in(const struct xlat *x)
{
    return !x->host;
}

/* Of an access across pages, byte by byte, what lies in RAM comes first: while a call for MMIO
 * lasts the layout of memory may change (hv_ops.memory_changed), and host addresses with it. */
static uint64_t span_load(struct x86_cpu *c, const struct span *s, unsigned size)
{
    uint64_t value = 0;

    if (likely(s->first_len == size))
        return part_load(c, &s->part[0], 0, size);
    for (unsigned mmio = 0; mmio < 2; mmio++) {
        for (unsigned n = 0; n < size; n++) {
            bool second = n >= s->first_len;

            if (part_calls_in(&s->part[second]) == (mmio == 1))
                value |= part_load(c, &s->part[second], second ? n - s->first_len : n, 1)
                         << (8 * n);
        }
    }
    return value;
}

static bool part_calls_out(const struct xlat *x)
{
    return !x->host || x->rom;
}

static void span_store(struct x86_cpu *c, const struct span *s, unsigned size, uint64_t value)
{
    if (likely(s->first_len == size)) {
        part_store(c, &s->part[0], 0, size, value);
        return;
    }
    for (unsigned mmio = 0; mmio < 2; mmio++) {
        for (unsigned n = 0; n < size; n++) {
            bool second = n >= s->first_len;

            if (part_calls_out(&s->part[second]) == (mmio == 1))
                part_store(c, &s->part[second], second ? n - s->first_len : n, 1,
                           value >> (8 * n) & 0xff);
        }
    }
}

/* Is size at va all right where alignment is checked? Else #AC is recorded. Of larger operands only
 * those in size_for_alignment() have one here: for others that need one the instruction itself
 * raises #GP. */
static bool check_alignment(struct x86_cpu *c, uint64_t va, unsigned size, enum mmu_who who)
{
    if (likely(!(va & (size - 1))) || size - 1 > 7 || (size & (size - 1)) || who != MMU_CURRENT ||
        !mmu_checks_alignment(c))
        return true;
    if (in_long_mode(c) && !is_canonical(va))
        return true; /* #GP or #SS comes first */
    cpu_raise(c, X86_AC, true, 0);
    return false;
}

/* SDM vol. 3, table 6-7: an 80-bit number has the alignment of 8 bytes, the FPU's environment and
 * state that of the operand size. */
static unsigned size_for_alignment(unsigned size)
{
    switch (size) {
    case 10: return 8;
    case 14:
    case 94: return 2;
    case 28:
    case 108: return 4;
    default: return size;
    }
}

static struct loaded load(struct x86_cpu *c, uint64_t va, unsigned size, enum mmu_who who,
                          bool is_stack)
{
    struct span s;

    if (!translate_span(c, va, size, MMU_READ, who, is_stack, &s))
        return (struct loaded){0, 0};
    return (struct loaded){span_load(c, &s, size), 1};
}

struct loaded mmu_load(struct x86_cpu *c, uint64_t va, unsigned size, enum mmu_who who,
                       bool is_stack)
{
    if (who == MMU_IMPLICIT && likely(!c->check)) { /* gates, descriptors and TSSs: hits as a rule */
        const struct tlb_entry *e = tlb_slot(c->tlb_for[TLB_FOR_KERNEL], va);

        if (likely(e->read == tlb_page(va + size - 1)))
            return (struct loaded){load_host((const uint8_t *)(uintptr_t)(va + e->addend), size), 1};
    }
    if (!check_alignment(c, va, size, who))
        return (struct loaded){0, 0};
    return load(c, va, size, who, is_stack);
}

struct loaded mmu_load_for_write(struct x86_cpu *c, uint64_t va, unsigned size, enum mmu_who who,
                                 bool is_stack)
{
    struct span s;

    if (!check_alignment(c, va, size, who) ||
        !translate_span(c, va, size, MMU_WRITE, who, is_stack, &s))
        return (struct loaded){0, 0};
    return (struct loaded){span_load(c, &s, size), 1};
}

static bool store(struct x86_cpu *c, uint64_t va, unsigned size, uint64_t value, enum mmu_who who,
                  bool is_stack)
{
    struct span s;

    if (!translate_span(c, va, size, MMU_WRITE, who, is_stack, &s))
        return false;
    span_store(c, &s, size, value);
    return true;
}

bool mmu_store(struct x86_cpu *c, uint64_t va, unsigned size, uint64_t value, enum mmu_who who,
               bool is_stack)
{
    return check_alignment(c, va, size, who) && store(c, va, size, value, who, is_stack);
}

bool mmu_probe(struct x86_cpu *c, uint64_t va, unsigned len, enum mmu_access access,
               enum mmu_who who, bool is_stack)
{
    struct span s;

    return translate_span(c, va, len, access, who, is_stack, &s);
}

void *mmu_direct(struct x86_cpu *c, uint64_t va, unsigned len, enum mmu_access access)
{
    struct xlat x;
    uint8_t *first = NULL;
    uint64_t done = 0;

    if (in_long_mode(c) && (!is_canonical(va) || !is_canonical(va + len - 1)))
        return NULL;
    if (unlikely((c->dr7 & 0xff) || mmu_checks_alignment(c)))
        return NULL; /* data breakpoints and alignment checks look at single accesses */
    while (done < len) {
        uint64_t at = va + done;

        if (!mmu_translate(c, at, access, MMU_CURRENT, false, &x) || !x.host ||
            (access == MMU_WRITE && !x.plain))
            return NULL;
        if (!first)
            first = x.host;
        else if (x.host != first + done)
            return NULL;
        done += MEM_PAGE_SIZE - (at & (MEM_PAGE_SIZE - 1));
    }
    return first;
}

/* Bytes up to the end of the page or of the buffer, 8 at most, a power of two. */
static unsigned piece(uint64_t va, unsigned left)
{
    unsigned room = MEM_PAGE_SIZE - (unsigned)(va & (MEM_PAGE_SIZE - 1));
    unsigned n = MIN(left, room);

    return n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
}

bool mmu_read_bytes(struct x86_cpu *c, uint64_t va, void *buf, unsigned len, enum mmu_who who,
                    bool is_stack)
{
    uint8_t *to = buf;

    if (!check_alignment(c, va, size_for_alignment(len), who))
        return false;
    while (len) {
        unsigned n = piece(va, len);
        struct loaded l = load(c, va, n, who, is_stack);

        if (!l.ok)
            return false;
        store_host(to, n, l.value);
        to += n;
        va += n;
        len -= n;
    }
    return true;
}

bool mmu_write_bytes(struct x86_cpu *c, uint64_t va, const void *buf, unsigned len,
                     enum mmu_who who, bool is_stack)
{
    const uint8_t *from = buf;

    if (!check_alignment(c, va, size_for_alignment(len), who))
        return false;
    while (len) {
        unsigned n = piece(va, len);

        if (!store(c, va, n, load_host(from, n), who, is_stack))
            return false;
        from += n;
        va += n;
        len -= n;
    }
    return true;
}
