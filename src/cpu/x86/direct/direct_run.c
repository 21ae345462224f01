/* SPDX-License-Identifier: MIT */
/* The engine: who is asked, and one stretch in a stub. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cpu/x86/decode/decode.h"
#include "cpu/x86/direct/direct_check.h"
#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/event.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"

#define NO_PAGE   UINT64_C(1) /* no multiple of a page */

static bool is_pending(struct x86_cpu *c)
{
    /* X86_PENDING_CHECK is always there where it is used, and means one vCPU at a time. */
    return atomic_load_explicit(&c->pending, memory_order_seq_cst) & ~(uint32_t)X86_PENDING_CHECK;
}

void direct_ask_often(struct x86_cpu *c, bool on)
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

/* ---- after it ---- */

/* Nothing can go on: the program's registers are lost. */
static cold void die(struct x86_cpu *c)
{
    c->broken = true;
    c->run_state = X86_SHUTDOWN;
    snprintf(c->shutdown_text, sizeof(c->shutdown_text),
             "the host has killed a process in which a program of the guest ran");
}

/* How long the program has run natively in so many ticks. */
static uint64_t ran(const struct space *s, const struct stub_thread *t, uint64_t ticks, uint64_t round_trip)
{
    return s->tsc_faults ? ticks - MIN(ticks, round_trip) : stub_ran(t);
}

static bool is_event(int r, enum stub_event event)
{
    return likely(!r && event != STUB_BROKEN && event != STUB_DIED);
}

/* Under the lock, and no longer inside: is there no event? */
static bool failed(struct x86_cpu *c, struct space *s, int r, enum stub_event event)
{
    if (is_event(r, event))
        return false;
    if (r || event == STUB_BROKEN)
        direct_give_up_stub(c, s, r ? DIRECT_REST_MS : 0);
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
    c->count.direct_calls += event == STUB_SYSCALL;
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
    c->count.direct_fills += event == STUB_PAGE_FAULT && !c->fault.pending; /* its kernel has not been asked */
}

static void run(struct x86_cpu *c, const void *code)
{
    struct direct *d = c->direct;
    struct space *s = d->space;
    struct direct_times times = {.began = clock_tsc()};
    uint64_t address = 0;
    enum stub_event event = STUB_KICKED;
    struct stub_thread *t;
    bool bad, entered;
    int r = 0;

    fpu_park(c);
    c->link = NULL;
    if (unlikely(!d->thread_told)) { /* this thread, which answers CPUID from a table */
        stub_host_cpuid_thread(d->vm->host, true);
        d->thread_told = true;
    }
    if (unlikely(d->check))
        direct_check_before(c);
    t = direct_prepare(c, s, &times.commands);
    if (!t) {
        d->in_user = true; /* the others have it */
        direct_lock(d->vm); /* of the account, in which vCPUs in one address space write */
        policy_refused(d, s, clock_tsc() - times.began);
        direct_unlock(d->vm);
        if (d->refused != NO_PAGE && !d->refused_since) {
            d->refused_since = clock_tsc();
            c->count.direct_refusals++;
        }
        return;
    }
    direct_export(c, t);
    times.entered = clock_tsc();
    entered = go_in(c, t);
    if (entered)
        r = stub_run(t, &d->regs, &event, &address);
    come_out(c);
    times.left = clock_tsc();
    if (is_event(r, event)) { /* while it is inside: another vCPU may have the stub destroyed when nobody is */
        direct_import(c, t);
        times.native = entered ? ran(s, t, times.left - times.entered, d->vm->round_trip) : 0;
        times.worked = policy_native_work(d->vm, s, MIN(times.native, times.left - times.entered));
    }
    direct_lock(d->vm);
    s->inside--;
    bad = failed(c, s, r, event);
    if (!bad && event != STUB_KICKED)
        policy_round_trip(d->vm, times.left - times.entered);
    if (!bad && policy_trap(d, s, &times))
        c->count.direct_demotions++;
    direct_unlock(d->vm);
    if (bad)
        return;
    d->native_time += MIN(times.native, times.left - times.entered);
    c->count.direct_native_us = d->native_time / d->vm->us;
    c->count.direct_cost_us = d->cost / d->vm->us;
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

/* Asked before anything that depends on what the host can do. */
static bool host_serves(struct direct_vm *v)
{
    bool works;

    if (likely(v->judged))
        return v->works;
    direct_lock(v);
    works = direct_works(v);
    direct_unlock(v);
    return works;
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
    return host_serves(d->vm) && direct_may_run(c) && !is_pending(c) && (d->space || promote(c));
}

/* The program is out of the code that was not for a stub. */
static void end_refusal(struct x86_cpu *c)
{
    struct direct *d = c->direct;

    d->refused = NO_PAGE;
    if (!d->refused_since)
        return;
    d->refused_time += clock_tsc() - d->refused_since;
    d->refused_since = 0;
    c->count.direct_refused_us = d->refused_time / d->vm->us;
}

static void leave_user(struct x86_cpu *c)
{
    struct direct *d = c->direct;

    d->in_user = false;
    end_refusal(c);
    direct_ask_often(c, false);
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
    direct_ask_often(c, false);
    if (takes(c)) {
        d->in_user = false;
        end_refusal(c);
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
    .mappings_gone = direct_mappings_gone, .page_watched = direct_page_watched,
    .code_gone = direct_code_gone,
};
