/* SPDX-License-Identifier: MIT */
/* The engine: who is asked, what is told, and one stretch in a stub. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/x86/policy.h"
#include "base/checked.h"
#include "base/clock.h"
#include "cpu/x86/decode/decode.h"
#include "cpu/x86/direct/direct_check.h"
#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/event.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"

#define NO_PAGE   UINT64_C(1) /* no multiple of a page */
#define OTHER_MIN 16u         /* pages, of which most have changed: it is another program */
#define PATIENCE_FEW    8    /* events: so short that it is worth to come back at once */
#define PATIENCE_MAX_US 4000 /* in the JIT after code that is not for a stub */
#define SOON_US         100
#define ADDRESS_REST_MS 3000  /* where the host refused a mapping */

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

static bool is_pending(struct x86_cpu *c)
{
    /* X86_PENDING_CHECK is always there where it is used, and means one vCPU at a time. */
    return atomic_load_explicit(&c->pending, memory_order_seq_cst) & ~(uint32_t)X86_PENDING_CHECK;
}

/* Have the other engines come back to the main loop behind each block, or no more. */
static void ask_often(struct x86_cpu *c, bool on)
{
    if (on == c->direct->asks)
        return;
    c->direct->asks = on;
    if (on)
        x86_cpu_post(c, X86_PENDING_ASK);
    else
        atomic_fetch_and_explicit(&c->pending, ~(uint32_t)X86_PENDING_ASK, memory_order_seq_cst);
}

static bool go_in(struct x86_cpu *c, struct stub_thread *t)
{
    atomic_store_explicit(&c->direct->native, t, memory_order_seq_cst);
    return !is_pending(c);
}

/* Once this returns nobody uses the thread any more. */
static void come_out(struct x86_cpu *c)
{
    struct direct *d = c->direct;

    atomic_store_explicit(&d->native, NULL, memory_order_seq_cst);
    while (unlikely(atomic_load_explicit(&d->kickers, memory_order_seq_cst)))
        __builtin_ia32_pause();
}

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

static struct direct_out out_of(struct stub_thread *t)
{
    return (struct direct_out){out_map, out_unmap, out_flush, t};
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

static void mappings_gone(struct x86_cpu *c, const struct x86_gone *gone)
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

/* ---- code that is claimed, or has changed ---- */

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
        out = out_of(stub_thread(s->stub, c->index));
        space_drop_gone(c, s, &out);
        (void)!out.flush(out.arg);
    }
}

static void page_gone(struct x86_cpu *c, const uint8_t *host, uint8_t rights)
{
    struct direct_vm *v = c->direct->vm;
    uint64_t page = (uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT;

    if (!atomic_load_explicit(&v->where[page], memory_order_seq_cst))
        return;
    direct_lock(v);
    unmap_gone(c, space_page_gone(v, page, rights));
    direct_unlock(v);
}

static void page_watched(struct x86_cpu *c, const uint8_t *host)
{
    page_gone(c, host, MAPPED_WRITE);
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

static void code_gone(struct x86_cpu *c, const uint8_t *host, uint64_t granules)
{
    struct direct_vm *v = c->direct->vm;
    _Atomic uint8_t *state;

    if (!host) {
        all_code_gone(c);
        return;
    }
    state = &v->scan[(uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT];
    if (!(atomic_load_explicit(state, memory_order_seq_cst) & SCAN_STATE))
        return;
    direct_lock(v);
    (void)scan_changed(state);
    direct_shadow_gone(v, (uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT);
    direct_unlock(v);
    page_gone(c, host, MAPPED_EXEC);
}

/* A page that is written natively again, or would be, and had been claimed for its code: take it for
 * data. As if it had been written as a whole, since what else is cached of it hears of that. */
static void disclaim(struct x86_cpu *c, uint64_t va)
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
    if ((was & SCAN_STATE) != SCAN_CHANGED)
        return;
    atomic_store_explicit(state, was & (uint8_t)~SCAN_STATE, memory_order_seq_cst);
    smc_written(c, host, MEM_PAGE_SIZE);
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
            (!(rights & MAPPED_WRITE) || (n == leaf_index(va) && c->direct->vm->scan_cpuid)))
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
    ask_often(c, d->patience < PATIENCE_FEW * d->vm->trap);
}

/* fresh: it has just got a stub. Space and stub as they should be, rip's page executable. Under the lock. */
static bool settle(struct x86_cpu *c, struct space *s, bool fresh, struct stub_thread **ret)
{
    struct direct *d = c->direct;
    struct direct_out out;

    if (s->root != d->root || !direct_need_stub(c, s))
        return false;
    if (s->commands >= DIRECT_COMMANDS_MAX && !s->inside) {
        direct_drop_stub(d->vm, s);
        if (!direct_need_stub(c, s))
            return false;
    }
    *ret = stub_thread(s->stub, c->index);
    out = out_of(*ret);
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

/* The stub cannot go on as it is. What is mapped now nobody knows. */
static cold void give_up_stub(struct x86_cpu *c, struct space *s, uint64_t rest_ms)
{
    struct direct *d = c->direct;

    if (rest_ms)
        s->rests_until = clock_tsc() + rest_ms * 1000 * d->vm->us;
    if (!s->inside)
        direct_drop_stub(d->vm, s);
}

/* A command of it has failed. */
static cold void give_up_failed(struct x86_cpu *c, struct space *s, int error)
{
    give_up_stub(c, s, error == -ENOMEM /* too many mappings */ ? 0 : ADDRESS_REST_MS);
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

static struct stub_thread *prepare(struct x86_cpu *c, struct space *s)
{
    struct direct *d = c->direct;
    struct direct_vm *v = d->vm;
    struct stub_thread *t = NULL;
    bool fresh = !s->stub, ok;
    unsigned maps, unmaps;
    int r;

    if (fresh)
        scan_all(c);
    if (d->wants && d->wants_code)
        scan_around(c, d->want);
    else if (d->wants)
        disclaim(c, d->want);
    if (!is_executable(c, s, c->rip)) {
        if (d->last_refused == tlb_page(c->rip) && !(d->refusals & (d->refusals - 1)))
            forget_found(c, c->rip);
        scan_around(c, c->rip);
    }
    direct_lock(v);
    maps = s->maps;
    unmaps = s->unmaps;
    ok = settle(c, s, fresh, &t);
    d->maps = s->maps - maps;
    d->unmaps = s->unmaps - unmaps;
    c->count.direct_maps += d->maps;
    c->count.direct_unmaps += d->unmaps;
    /* Refused or not: what has been written down as done must be, before another vCPU goes on. */
    r = t && s->stub ? carry_out(c, t) : 0;
    if (r) {
        give_up_failed(c, s, r);
        ok = false;
    }
    s->inside += ok;
    direct_unlock(v);
    return ok ? t : NULL;
}

/* ---- after it ---- */

/* Nothing can go on: the program's registers are lost. */
static cold void die(struct x86_cpu *c)
{
    c->broken = true;
    c->run_state = X86_SHUTDOWN;
    snprintf(c->shutdown_text, sizeof(c->shutdown_text),
             "the host has killed a process in which a program of the guest ran");
}

/* Under the lock, and no longer inside: is there no event? */
static bool failed(struct x86_cpu *c, struct space *s, int r, enum stub_event event)
{
    if (likely(!r && event != STUB_BROKEN && event != STUB_DIED))
        return false;
    if (r)
        give_up_failed(c, s, r);
    else if (event == STUB_BROKEN)
        give_up_stub(c, s, 0);
    if (!r && event == STUB_BROKEN)
        cpu_raise(c, X86_GP, true, 0);
    if (!r && event == STUB_DIED)
        die(c);
    return true;
}

/* CD 03 does what CC does, and is one byte longer than the stub takes it for. */
static bool put_back_int3(struct x86_cpu *c)
{
    const uint8_t *code;

    if (!mmu_fetch(c, c->rip, &code))
        return false;
    if (*code != 0xcc && *code != 0xf1)
        c->rip--;
    return true;
}

/* The registers are at the boundary of the instruction to which it happened: it is the CPU's. */
static void take_event(struct x86_cpu *c, enum stub_event event, uint64_t address)
{
    struct direct *d = c->direct;

    if (event == STUB_BREAKPOINT && !put_back_int3(c))
        return;
    if (unlikely(d->check) && !direct_check_after(c, event))
        return;
    if (event == STUB_KICKED) {
        c->count.direct_kicks++;
        return;
    }
    c->count.direct_traps++;
    if (event == STUB_SINGLE_STEP) {
        event_after_single_step(c, true);
        return;
    }
    if (event == STUB_PAGE_FAULT) {
        d->wants = true;
        d->want = address;
        d->wants_code = address - c->rip < X86_INSN_MAX; /* was it fetched from? */
    }
    x86_step(c);
}

static void run(struct x86_cpu *c, const void *code)
{
    struct direct *d = c->direct;
    struct space *s = d->space;
    uint64_t began = clock_tsc(), entered, left, address = 0;
    enum stub_event event = STUB_KICKED;
    struct stub_thread *t;
    bool bad;
    int r = 0;

    fpu_park(c);
    c->link = NULL;
    if (unlikely(!d->thread_told)) { /* this thread, which answers CPUID from a table */
        stub_host_cpuid_thread(d->vm->host, true);
        d->thread_told = true;
    }
    if (unlikely(d->check))
        direct_check_before(c);
    t = prepare(c, s);
    if (!t) {
        d->in_user = true; /* the others have it */
        return;
    }
    direct_export(c, t);
    entered = clock_tsc();
    if (go_in(c, t))
        r = stub_run(t, &d->regs, &event, &address);
    come_out(c);
    left = clock_tsc();
    direct_lock(d->vm);
    s->inside--;
    bad = failed(c, s, r, event);
    direct_unlock(d->vm);
    if (bad)
        return;
    direct_import(c, t);
    d->native_time += left - entered;
    c->count.direct_native_us = d->native_time / d->vm->us;
    if (event != STUB_KICKED)
        policy_round_trip(d->vm, left - entered);
    if (policy_trap(d, s, left - entered, entered - began, left))
        c->count.direct_demotions++;
    take_event(c, event, address);
}

/* ---- who is asked ---- */

static void look_up(struct x86_cpu *c, uint64_t root)
{
    struct direct *d = c->direct;
    struct history *h = &d->histories[(root >> MEM_PAGE_SHIFT) % DIRECT_HISTORY];

    d->epoch = atomic_load_explicit(&d->vm->epoch, memory_order_seq_cst);
    d->root = root;
    d->space = space_of(d->vm, root);
    if (h->root != root)
        *h = (struct history){.root = root};
    d->history = h;
}

static bool is_resting(struct x86_cpu *c, struct space *s)
{
    if (likely(!s->rests_until))
        return false;
    if (!policy_is_ripe(c->direct, true) || clock_tsc() < s->rests_until)
        return true;
    s->rests_until = 0;
    return false;
}

static bool promote(struct x86_cpu *c)
{
    struct direct *d = c->direct;

    fpu_park(c);
    direct_lock(d->vm);
    d->space = direct_promote(c);
    direct_unlock(d->vm);
    return d->space;
}

/* The vCPU goes on in user mode: natively? */
static bool takes(struct x86_cpu *c)
{
    struct direct *d = c->direct;
    uint64_t root = c->cr3 & (BIT(X86_PHYS_BITS) - 1) & ~UINT64_C(0xfff);

    if (unlikely(root != d->root || !d->history ||
                 atomic_load_explicit(&d->vm->epoch, memory_order_relaxed) != d->epoch))
        look_up(c, root);
    if (d->vm->judged && !d->vm->works) {
        policy_look_away(c);
        return false;
    }
    if (d->space ? is_resting(c, d->space) : !policy_is_ripe(d, false))
        return false;
    return direct_may_run(c) && !is_pending(c) && (d->space || promote(c));
}

static void leave_user(struct x86_cpu *c)
{
    struct direct *d = c->direct;

    d->in_user = false;
    d->refused = NO_PAGE;
    ask_often(c, false);
    if (d->timing)
        policy_end(c);
}

static enum x86_offer next(struct x86_cpu *c, struct x86_stretch *ret)
{
    struct direct *d = c->direct;

    if (likely(c->cpl != 3)) {
        if (d->in_user)
            leave_user(c);
        if (!c->user_ends && !d->visits--)
            c->user_ends = true;
        return X86_OFFER_NONE;
    }
    if (likely(d->in_user) && (d->refused == NO_PAGE || d->refused == tlb_page(c->rip) ||
                               (!d->asks && clock_tsc() < d->retry)))
        return X86_OFFER_NONE;
    ask_often(c, false);
    if (takes(c)) {
        d->in_user = false;
        d->refused = NO_PAGE;
        *ret = (struct x86_stretch){run, NULL};
        return X86_OFFER_READY;
    }
    if (!d->in_user && (!d->space || d->space->rests_until))
        policy_begin(d);
    d->in_user = true;
    return X86_OFFER_NONE;
}

static int create(struct x86_cpu *c)
{
    struct direct *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    d->vm = c->vm->direct;
    d->refused = NO_PAGE;
    c->direct = d;
    return c->vm->jit.direct_check ? direct_check_create(c) : 0;
}

static void destroy(struct x86_cpu *c)
{
    if (c->direct)
        direct_check_destroy(c);
    free(c->direct);
    c->direct = NULL;
}

const struct x86_engine x86_direct = {
    .name = "direct",
    .create = create, .destroy = destroy,
    .next = next,
    .mappings_gone = mappings_gone, .page_watched = page_watched, .code_gone = code_gone,
};
