/* SPDX-License-Identifier: MIT */
/* Before a stretch: the space gets its stub, hears of what was invalidated, and has the code mapped
 * that is to run. */
#include <stdatomic.h>

#include "base/checked.h"
#include "base/clock.h"
#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/smc.h"

#define OTHER_MIN       16u  /* pages, of which most have changed: it is another program */
#define PATIENCE_FEW    8    /* events: so short that it is worth to come back at once */
#define PATIENCE_MAX_US 4000 /* in the JIT after code that is not for a stub */
#define SOON_US         100
#define REFUSED_OFTEN   8u

/* ---- commands ---- */

static bool out_map(void *arg, uint64_t va, uint64_t len, uint64_t offset, unsigned prot)
{
    return stub_map(arg, va, len, offset, prot);
}

static bool out_unmap(void *arg, uint64_t va, uint64_t len)
{
    return stub_unmap(arg, va, len);
}

static int out_flush(void *arg)
{
    return stub_flush(arg);
}

struct direct_out direct_out_of(struct stub_thread *t)
{
    return (struct direct_out){out_map, out_unmap, out_flush, t};
}

static uint32_t pcid_now(const struct x86_cpu *c)
{
    return c->cr4 & X86_CR4_PCIDE ? c->cr3 & X86_CR3_PCID : 0;
}

/* Let the space hear of it. False: this is another program than the one whose mappings these were. */
static bool reconcile(struct x86_cpu *c, struct space *s, const struct direct_out *out)
{
    struct direct *d = c->direct;
    unsigned n = (unsigned)(s - d->vm->space), before = s->pages;
    struct flushes *f = &d->flushes[n];
    bool other = false;

    space_drop_gone(c, s, out);
    if (!(d->used & BIT(n)) || f->serial != s->serial || f->pcid != pcid_now(c)) {
        other = space_check_all(c, s, out) * 2 > before && before >= OTHER_MIN;
        c->count.direct_checks++;
    } else {
        for (unsigned k = 0; k < f->count; k++)
            space_check_page(c, s, out, f->page[k]);
    }
    d->used |= BIT(n);
    f->serial = s->serial;
    f->pcid = pcid_now(c);
    f->count = 0;
    return !other || d->vm->always;
}

/* ---- code ---- */

/* One that the guest may write, and would execute: where CPUID faults it is not looked through, so that it stays
 * writable. But other engines may have code of it: where the program comes back to it again and again, and nobody
 * writes to it, it cannot be written natively in any case. */
static bool is_to_be_scanned(const struct x86_cpu *c, uint64_t va, const uint8_t *host)
{
    const struct direct *d = c->direct;

    return d->vm->scan_cpuid || (d->last_refused == tlb_page(va) && d->refusals >= REFUSED_OFTEN &&
                                 !smc_allows_plain_stores(c, host));
}

/* Look through the page at va, which the guest would execute, and those around it that look like code
 * only: claimed pages cannot be written natively. */
static void scan_around(struct x86_cpu *c, uint64_t va)
{
    unsigned first = leaf_index(va) / DIRECT_AROUND * DIRECT_AROUND;
    struct direct_path path;
    const uint8_t *host;
    uint64_t entry;

    if (va >> 47 || !direct_walk(c, va, &path) || !(path.rights & MAPPED_EXEC) ||
        !(direct_page(c, &path, leaf_index(va), &entry, &host) & MAPPED_EXEC))
        return;
    for (unsigned n = first; n < first + DIRECT_AROUND; n++) {
        uint8_t rights = direct_page(c, &path, n, &entry, &host);

        if ((rights & MAPPED_EXEC) &&
            (!(rights & MAPPED_WRITE) || (n == leaf_index(va) && is_to_be_scanned(c, va, host))))
            (void)direct_scan(c, align_down(va, LEAF_BYTES) + n * (uint64_t)MEM_PAGE_SIZE, host);
    }
}

/* All pages that the guest has executed, for a stub that is new. */
static void scan_all(struct x86_cpu *c)
{
    struct direct_path path;
    const uint8_t *host;
    uint64_t entry;

    for (uint64_t va = 0; (va = direct_next_leaf(c, va)) != UINT64_MAX; va += LEAF_BYTES) {
        if (!direct_walk(c, va, &path) || !(path.rights & MAPPED_EXEC))
            continue;
        for (unsigned n = 0; n < LEAF_PAGES; n++)
            if ((direct_page(c, &path, n, &entry, &host) & (MAPPED_EXEC | MAPPED_WRITE)) == MAPPED_EXEC)
                (void)direct_scan(c, va + n * (uint64_t)MEM_PAGE_SIZE, host);
    }
}

/* ---- before a stretch ---- */

/* The page's code is for the others, until the program leaves it. Where it comes back to it at once,
 * that is put off longer and longer: each way back costs a trap. */
static void refuse(struct x86_cpu *c, uint64_t page)
{
    struct direct *d = c->direct;
    uint64_t now = clock_tsc(), us = d->vm->us;

    d->refusals = d->last_refused == page ? d->refusals + 1 : 1;
    d->last_refused = page;

    d->patience = (int64_t)(now - d->retry) < (int64_t)(SOON_US * us) ? MIN(2 * d->patience, PATIENCE_MAX_US * us)
                                                : d->vm->trap;
    d->retry = now + d->patience;
    d->refused = page;
    direct_ask_often(c, d->patience < PATIENCE_FEW * d->vm->trap);
}

/* fresh: it has just got a stub. Space and stub as they should be, rip's page executable. Under the lock. */
static bool settle(struct x86_cpu *c, struct space *s, bool fresh, struct stub_thread **ret)
{
    struct direct *d = c->direct;
    struct direct_out out;

    if (!direct_has_stub(c, s))
        return false;
    *ret = stub_thread(s->stub, c->index);
    out = direct_out_of(*ret);
    if (!reconcile(c, s, &out)) {
        if (!s->inside)
            direct_drop_space(d->vm, s);
        *d->history = (struct history){.root = d->root};
        return false;
    }
    if (fresh)
        space_fill_all(c, s, &out);
    if (d->wants)
        space_fill(c, s, &out, d->want);
    d->wants = false;
    if (!(space_rights(s, c->rip) & MAPPED_EXEC) && !(space_fill(c, s, &out, c->rip) & MAPPED_EXEC)) {
        refuse(c, tlb_page(c->rip));
        return false;
    }
    s->used = ++d->vm->entries;
    return true;
}

void direct_give_up_stub(struct x86_cpu *c, struct space *s, uint64_t rest_ms)
{
    struct direct *d = c->direct;

    if (rest_ms)
        s->rests_until = clock_tsc() + rest_ms * 1000 * d->vm->us;
    if (!s->inside)
        direct_drop_stub(d->vm, s);
}

/* With several vCPUs commands are carried out at once: another's later ones must not come before. */
static int carry_out(struct x86_cpu *c, struct stub_thread *t)
{
    return c->vm->cpu_count == 1 || !stub_commands(t) ? 0 : stub_flush(t);
}

/* More of a page has been executed since it was looked at, so more may be known of it. */
static void forget_found(struct x86_cpu *c, uint64_t va)
{
    struct direct_path path;
    const uint8_t *host;
    _Atomic uint8_t *state;
    uint64_t entry;

    if (!direct_walk(c, va, &path) || !direct_page(c, &path, leaf_index(va), &entry, &host))
        return;
    direct_lock(c->direct->vm);
    state = &c->direct->vm->scan[(uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT];
    if ((*state & SCAN_STATE) == SCAN_FOUND)
        *state = (*state & (uint8_t)~SCAN_STATE) | SCAN_CHANGED;
    direct_unlock(c->direct->vm);
}

static bool is_executable(struct x86_cpu *c, const struct space *s, uint64_t va)
{
    bool is;

    direct_lock(c->direct->vm);
    is = space_rights(s, va) & MAPPED_EXEC;
    direct_unlock(c->direct->vm);
    return is;
}

struct stub_thread *direct_prepare(struct x86_cpu *c, struct space *s, unsigned *ret_commands)
{
    struct direct *d = c->direct;
    struct direct_vm *v = d->vm;
    struct stub_thread *t = NULL;
    bool fresh, ok;
    unsigned maps, unmaps;

    if (!direct_need_stub(c, s, &fresh))
        return NULL;
    if (fresh)
        scan_all(c);
    if (d->wants && d->wants_code)
        scan_around(c, d->want);
    else if (d->wants)
        direct_disclaim(c, d->want);
    if (!is_executable(c, s, c->rip)) {
        if (d->last_refused == tlb_page(c->rip) && !(d->refusals & (d->refusals - 1)))
            forget_found(c, c->rip);
        scan_around(c, c->rip);
    }
    direct_lock(v);
    maps = s->maps;
    unmaps = s->unmaps;
    ok = settle(c, s, fresh, &t);
    *ret_commands = s->maps - maps + s->unmaps - unmaps;
    c->count.direct_maps += s->maps - maps;
    c->count.direct_unmaps += s->unmaps - unmaps;
    /* Refused or not: what has been written down as done must be, before another vCPU goes on. */
    if (t && s->stub && carry_out(c, t)) {
        direct_give_up_stub(c, s, DIRECT_REST_MS);
        ok = false;
    }
    s->inside += ok;
    direct_unlock(v);
    return ok ? t : NULL;
}

