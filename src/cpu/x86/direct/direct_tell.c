/* SPDX-License-Identifier: MIT */
/* What the engine is told: that a vCPU must come out, that mappings or cached code are gone. */
#include <stdatomic.h>

#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/smc.h"

/* ---- kicks ---- */

/* In its word the vCPU says where it runs before it looks whether something is pending; so either it
 * sees that, or whoever made it pending sees the word. */
void direct_kick(struct x86_cpu *c)
{
    struct direct *d = c->direct;
    struct stub_thread *t;

    if (!atomic_load_explicit(&d->native, memory_order_seq_cst))
        return;
    atomic_fetch_add_explicit(&d->kickers, 1, memory_order_seq_cst);
    t = atomic_load_explicit(&d->native, memory_order_seq_cst);
    if (t)
        stub_kick(t);
    atomic_fetch_sub_explicit(&d->kickers, 1, memory_order_seq_cst);
}

void direct_must_stop(struct x86_cpu *c)
{
    stub_host_watch(c->direct->vm->host);
}

/* ---- what the guest invalidates ---- */

static void add_flush(struct direct *d, unsigned n, uint64_t va)
{
    struct flushes *f = &d->flushes[n];

    if (f->count == DIRECT_FLUSHES)
        d->used &= ~BIT(n);
    else
        f->page[f->count++] = va;
}

void direct_mappings_gone(struct x86_cpu *c, const struct x86_gone *gone)
{
    struct direct *d = c->direct;

    if (gone->kind == X86_GONE_ALL || gone->kind == X86_GONE_NON_GLOBAL) {
        d->used = 0;
        return;
    }
    for (uint64_t used = d->used; used; used &= used - 1) {
        unsigned n = (unsigned)__builtin_ctzll(used);
        bool same = d->flushes[n].pcid == gone->pcid;

        if (gone->kind == X86_GONE_PAGE && !(gone->va >> 47) && (same || d->vm->space[n].has_global))
            add_flush(d, n, gone->va);
        else if (gone->kind == X86_GONE_PCID && same)
            d->used &= ~BIT(n);
    }
}

/* ---- code that is claimed, or has changed ---- */

/* A command of the stub has failed, so none of its threads will run any more (stub_run()); let those
 * that do come out. They need no lock for that. */
static cold void throw_out(struct x86_cpu *c, struct space *s)
{
    for (unsigned n = 0; n < c->vm->cpu_count; n++) {
        struct x86_cpu *other = c->vm->cpu[n];
        struct stub_thread *t = stub_thread(s->stub, n);

        if (other == c)
            continue;
        direct_kick(other);
        while (atomic_load_explicit(&other->direct->native, memory_order_seq_cst) == t)
            __builtin_ia32_pause();
    }
}

/* Pages of spaces are to be unmapped. In those that somebody is in that must be now; in others it comes
 * before anything else. */
static void unmap_gone(struct x86_cpu *c, uint64_t spaces)
{
    struct direct_vm *v = c->direct->vm;

    for (; spaces; spaces &= spaces - 1) {
        struct space *s = &v->space[__builtin_ctzll(spaces)];
        struct direct_out out;

        if (!s->inside || !s->stub)
            continue;
        fpu_park(c);
        out = direct_out_of(stub_thread(s->stub, c->index));
        space_drop_gone(c, s, &out);
        if (out.flush(out.arg))
            throw_out(c, s);
    }
}

/* Each block that is translated asks this of its page, and programs' libraries are mapped in many stubs: those are looked
 * for only if one may write there. */
void direct_page_watched(struct x86_cpu *c, const uint8_t *host)
{
    struct direct_vm *v = c->direct->vm;
    uint64_t page = (uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT;

    if (!(atomic_load_explicit(&v->where[page], memory_order_seq_cst) & WHERE_WRITABLE))
        return;
    direct_lock(v);
    unmap_gone(c, space_page_gone(v, page, MAPPED_WRITE));
    direct_unlock(v);
}

/* Was it looked at? What is known then is so no more. */
static bool scan_changed(_Atomic uint8_t *state)
{
    uint8_t was = atomic_load_explicit(state, memory_order_seq_cst);

    if (!(was & SCAN_STATE))
        return false;
    if ((was & SCAN_STATE) != SCAN_CHANGED && was < SCAN_TOO_OFTEN)
        was = (uint8_t)(was + SCAN_AGAIN);
    was &= (uint8_t)~SCAN_STATE;
    atomic_store_explicit(state, was | SCAN_CHANGED, memory_order_seq_cst);
    return true;
}

static void all_code_gone(struct x86_cpu *c)
{
    struct direct_vm *v = c->direct->vm;
    uint64_t spaces = 0;

    direct_lock(v);
    for (uint64_t n = 0; n < v->pages; n++)
        (void)scan_changed(&v->scan[n]);
    for (unsigned n = 0; n < DIRECT_SHADOWS; n++)
        v->shadow_of[n] = 0;
    for (unsigned n = 0; n < DIRECT_SPACES; n++) {
        if (!v->space[n].root)
            continue;
        v->space[n].gone_all = true;
        spaces |= BIT(n);
    }
    unmap_gone(c, spaces);
    direct_unlock(v);
}

void direct_code_gone(struct x86_cpu *c, const uint8_t *host, uint64_t granules)
{
    struct direct_vm *v = c->direct->vm;
    _Atomic uint8_t *state;
    uint64_t page;

    if (!host) {
        all_code_gone(c);
        return;
    }
    page = (uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT;
    state = &v->scan[page];
    if (!(atomic_load_explicit(state, memory_order_seq_cst) & SCAN_STATE))
        return;
    direct_lock(v);
    (void)scan_changed(state);
    /* In one go: another vCPU may want the copy's place, which must not be executed any more then. */
    unmap_gone(c, space_page_gone(v, page, MAPPED_EXEC));
    direct_shadow_gone(v, page);
    direct_unlock(v);
}

void direct_disclaim(struct x86_cpu *c, uint64_t va)
{
    struct direct_vm *v = c->direct->vm;
    struct direct_path path;
    const uint8_t *host;
    uint64_t entry;
    _Atomic uint8_t *state;
    uint8_t was;

    if (va >> 47 || !direct_walk(c, va, &path) ||
        !(direct_page(c, &path, leaf_index(va), &entry, &host) & MAPPED_WRITE))
        return;
    state = &v->scan[(uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT];
    was = atomic_load_explicit(state, memory_order_seq_cst);
    /* Unless another vCPU has just looked at it, and may run it: its mapping would not be found any more. */
    if ((was & SCAN_STATE) != SCAN_CHANGED || !atomic_compare_exchange_strong(state, &was, was & (uint8_t)~SCAN_STATE))
        return;
    smc_written(c, host, MEM_PAGE_SIZE);
}

