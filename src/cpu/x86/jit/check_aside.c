/* SPDX-License-Identifier: MIT */
/* Instructions done aside: on copies of the pages they store to, reaching no device; and the comparison
 * with what was done for real, before or after. For lockstep mode (check.c) and for direct execution's
 * (direct/direct_check.c). */
#include <stdio.h>

#include "cpu/x86/jit/check_aside.h"
#include "cpu/x86/mmu/mmu_space.h"
#include "cpu/x86/no_host.h"

#define NEAR 32 /* bytes around a store in which a foreign write counts as ours */

static void copy(void *to, const void *from, size_t len)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

/* ---- pages ---- */

static struct check_page *find_page(struct jit_check *k, const uint8_t *ram)
{
    for (unsigned n = k->page_count; n--;)
        if (k->page[n].ram == ram)
            return &k->page[n];
    return NULL;
}

static struct check_page *add_page(struct jit_check *k, uint8_t *ram)
{
    struct check_page *p;

    if (k->page_count == CHECK_PAGES)
        return NULL;
    p = &k->page[k->page_count++];
    p->ram = ram;
    p->stored = false;
    copy(p->before, ram, MEM_PAGE_SIZE);
    return p;
}

static uint8_t *page_start(uint8_t *host)
{
    return (uint8_t *)((uintptr_t)host & ~(uintptr_t)(MEM_PAGE_SIZE - 1));
}

bool jit_check_tag(struct x86_cpu *c, struct tlb_entry *e, enum mmu_access access, uint8_t *host)
{
    struct jit_check *k = c->check;
    uint8_t *ram = page_start(host);

    if (access != MMU_WRITE || k->replaying)
        return false;
    if (k->tag_count < CHECK_TAGS)
        k->tag[k->tag_count++] = e;
    else
        k->tags_overflow = true;
    if (k->active && !find_page(k, ram) && !add_page(k, ram))
        k->unchecked = true;
    return true;
}

/* So that the next store to any page is seen. */
void check_drop_tags(struct x86_cpu *c)
{
    struct jit_check *k = c->check;

    mmu_empty_slots(c);
    if (k->tags_overflow)
        mmu_flush_all(c);
    else
        for (unsigned n = 0; n < k->tag_count; n++)
            k->tag[n]->write = TLB_NO_TAG;
    k->tag_count = 0;
    k->tags_overflow = false;
}

void jit_check_redirect(struct x86_cpu *c, enum mmu_access access, struct xlat *x)
{
    struct jit_check *k = c->check;
    struct check_page *p;
    uint8_t *ram;

    if (!k->replaying)
        return;
    if (!x->host) {
        k->touched_device = true;
        x->host = k->device_page + (x->gpa & (MEM_PAGE_SIZE - 1));
        x->plain = true;
        return;
    }
    ram = page_start(x->host);
    p = find_page(k, ram);
    if (access == MMU_WRITE) {
        x->plain = true; /* whatever it overwrites, nobody is to be told */
        if (!p && !(p = add_page(k, ram))) {
            k->unchecked = true;
            x->host = k->device_page + (x->host - ram);
            return;
        }
        if (!p->stored)
            copy(p->after, p->before, MEM_PAGE_SIZE);
        p->stored = true;
    }
    if (p)
        x->host = (p->stored ? p->after : p->before) + (x->host - ram);
}

/* Did the interpreter store within NEAR bytes of at? */
static bool near_store(const struct check_page *p, unsigned at)
{
    unsigned from = at < NEAR ? 0 : at - NEAR, to = MIN(at + NEAR, MEM_PAGE_SIZE - 1u);

    for (unsigned n = from; p->stored && n <= to; n++)
        if (p->before[n] != p->after[n])
            return true;
    return false;
}

static bool same_page(struct x86_cpu *c, const struct check_page *p)
{
    struct jit_check *k = c->check;
    const uint8_t *want = p->stored ? p->after : p->before;

    for (unsigned at = 0; at < MEM_PAGE_SIZE; at += 8) {
        uint64_t w = *(const guest_u64 *)(want + at), r = *(const guest_u64 *)(p->ram + at);

        if (likely(w == r))
            continue;
        if ((w ^ r) == 0x20 || (w ^ r) == 0x40 || (w ^ r) == 0x60)
            continue; /* a page table: the walker has marked an entry accessed, dirty */
        for (unsigned n = at; n < at + 8; n++) {
            bool stored = p->stored && p->before[n] != p->after[n];

            if (want[n] == p->ram[n])
                continue;
            if (!stored && !near_store(p, n)) {
                c->count.jit_check_races++;
                continue;
            }
            fpu_park(c);
            snprintf(k->what, sizeof(k->what),
                     "memory: page %#llx offset %#x before %02x interpreter %02x translated %02x",
                     (unsigned long long)(p->ram - c->vm->mem->base), n, p->before[n], want[n],
                     p->ram[n]);
            return false;
        }
    }
    return true;
}

bool check_same_memory(struct x86_cpu *c)
{
    for (unsigned n = 0; n < c->check->page_count; n++)
        if (!same_page(c, &c->check->page[n]))
            return false;
    return true;
}

/* As it was, but for what devices have written meanwhile. */
void check_undo_memory(struct jit_check *k)
{
    for (unsigned n = 0; n < k->page_count; n++) {
        struct check_page *p = &k->page[n];

        for (unsigned at = 0; at < MEM_PAGE_SIZE; at++)
            if (p->ram[at] != p->before[at] && near_store(p, at))
                p->ram[at] = p->before[at];
    }
}

/* ---- states ---- */

void check_save(struct x86_cpu *c, struct check_state *s, bool vector)
{
    s->live = !(c->fpu_slow & FPU_NOT_LIVE);
    if (vector) {
        fpu_park(c);
        copy(s->xsave, c->xsave, XSAVE_END);
    }
    copy(s->cpu, c, CHECK_STATE);
    if (vector && s->live)
        fpu_make_live(c);
}

/* What others may have changed meanwhile stays. */
void check_load(struct x86_cpu *c, const struct check_state *s, bool vector)
{
    uint8_t sipi_vector = c->sipi_vector;

    if (vector)
        fpu_park(c);
    /* pending is changed by others at any time: copy around it */
    copy(c, s->cpu, offsetof(struct x86_cpu, pending));
    copy(&c->rip, s->cpu + offsetof(struct x86_cpu, rip),
         CHECK_STATE - offsetof(struct x86_cpu, rip));
    c->sipi_vector = sipi_vector;
    if (vector) {
        copy(c->xsave, s->xsave, XSAVE_END);
        if (s->live)
            fpu_make_live(c);
    }
}

/* ---- aside ---- */

void check_aside_begin(struct x86_cpu *c)
{
    struct jit_check *k = c->check;

    k->replaying = true;
    k->touched_device = false;
    k->real_tlb[0] = c->tlb[0];
    k->real_tlb[1] = c->tlb[1];
    k->host = c->vm->host;
    c->vm->host = &no_host;
}

void check_aside_next(struct x86_cpu *c)
{
    struct jit_check *k = c->check;

    for (unsigned half = 0; half < 2; half++) {
        if (c->tlb[half] != k->no_tlb)
            k->real_tlb[half] = c->tlb[half];
        c->tlb[half] = k->no_tlb;
    }
}

void check_aside_end(struct x86_cpu *c)
{
    struct jit_check *k = c->check;

    for (unsigned half = 0; half < 2; half++)
        if (c->tlb[half] == k->no_tlb)
            c->tlb[half] = k->real_tlb[half];
    c->vm->host = k->host;
    k->replaying = false;
}
