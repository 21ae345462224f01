/* SPDX-License-Identifier: MIT */
/* The main loop of one vCPU: what happens between blocks. */
#include <stdatomic.h>

#include "cpu/x86/block.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/direct/direct.h"
#include "cpu/x86/engine.h"
#include "cpu/x86/event.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/jit/check.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"
#include "cpu/x86/system/smm.h"

enum next {
    NEXT_BLOCK, /* nothing in the way */
    NEXT_AGAIN, /* the CPU's state changed: look again from the start */
    NEXT_STOP,
};

void x86_cpu_post(struct x86_cpu *c, uint32_t bits)
{
    atomic_fetch_or_explicit(&c->pending, bits, memory_order_seq_cst);
    if (unlikely(c->direct))
        direct_kick(c);
}

void x86_cpu_post_nmi(struct x86_cpu *c)
{
    atomic_fetch_add_explicit(&c->nmi_queued, 1, memory_order_seq_cst);
    x86_cpu_post(c, X86_PENDING_NMI);
}

static uint32_t pending(struct x86_cpu *c)
{
    return atomic_load_explicit(&c->pending, memory_order_seq_cst);
}

static void clear(struct x86_cpu *c, uint32_t bits)
{
    atomic_fetch_and_explicit(&c->pending, ~bits, memory_order_seq_cst);
}

static enum next delivered(bool ok)
{
    return ok ? NEXT_AGAIN : NEXT_STOP;
}

/* SDM vol. 3, 10.8.4: the highest-priority vector, if IF lets it through. The bit is cleared
 * before asking, so that a request that comes in between is not lost. */
static enum next take_interrupt(struct x86_cpu *c)
{
    const struct x86_host_ops *host = c->vm->host;
    int vector;

    clear(c, X86_PENDING_INTR);
    fpu_park(c);
    vector = host->interrupt_ack(c->vm->host_arg, c->index);
    if (vector < 0)
        return NEXT_AGAIN;
    if (host->interrupt_pending(c->vm->host_arg, c->index))
        x86_cpu_post(c, X86_PENDING_INTR);
    c->run_state = X86_RUNNING;
    c->count.interrupts++;
    c->link = NULL;
    return delivered(event_deliver_interrupt(c, (uint8_t)vector));
}

/* The bit is cleared before counting, so that one that comes in between is not lost. */
static enum next take_nmi(struct x86_cpu *c)
{
    clear(c, X86_PENDING_NMI);
    cpu_count_nmis(c);
    if (!c->nmi_count)
        return NEXT_AGAIN;
    if (--c->nmi_count)
        x86_cpu_post(c, X86_PENDING_NMI);
    c->run_state = X86_RUNNING;
    c->link = NULL;
    return delivered(event_deliver_nmi(c));
}

/* INIT is remembered while the CPU waits for a SIPI, and a SIPI is only heard then. */
static enum next take_init_or_sipi(struct x86_cpu *c, uint32_t what)
{
    c->link = NULL;
    if (what & X86_PENDING_INIT) {
        clear(c, X86_PENDING_INIT);
        fpu_park(c);
        c->vm->host->init_taken(c->vm->host_arg, c->index);
        event_init(c);
        return NEXT_AGAIN;
    }
    clear(c, X86_PENDING_SIPI);
    if (c->run_state == X86_WAIT_FOR_SIPI) {
        fpu_park(c);
        event_sipi(c, c->sipi_vector);
    }
    return NEXT_AGAIN;
}

static enum next handle_pending(struct x86_cpu *c, uint32_t what, enum x86_stop *stop)
{
    bool shadow = c->sti_shadow || c->mov_ss_shadow;

    if (what & X86_PENDING_SYNC) {
        clear(c, X86_PENDING_SYNC);
        sync_service(c);
        return NEXT_AGAIN;
    }
    if (what & X86_PENDING_FLUSH) {
        clear(c, X86_PENDING_FLUSH);
        x86_code_empty(c);
        return NEXT_AGAIN;
    }
    if (what & X86_PENDING_KICK) {
        clear(c, X86_PENDING_KICK);
        *stop = X86_STOP_KICK;
        return NEXT_STOP;
    }
    if (what & X86_PENDING_HIDDEN) {
        clear(c, X86_PENDING_HIDDEN);
        mmu_flush_all(c);
        return NEXT_AGAIN;
    }
    if ((what & (X86_PENDING_INIT | X86_PENDING_SIPI)) && !c->smm)
        return take_init_or_sipi(c, what);
    if (c->run_state == X86_WAIT_FOR_SIPI)
        return NEXT_BLOCK;
    if ((what & X86_PENDING_SMI) && !c->smm && !shadow) {
        clear(c, X86_PENDING_SMI);
        c->link = NULL;
        return delivered(smm_enter(c));
    }
    if ((what & X86_PENDING_NMI) && !c->nmi_blocked && !shadow)
        return take_nmi(c);
    if (what & X86_PENDING_NMI)
        cpu_count_nmis(c); /* what comes while one is handled is one */
    if ((what & X86_PENDING_INTR) && (c->rflags & X86_FLAG_IF) && !shadow)
        return take_interrupt(c);
    if ((what & X86_PENDING_INTR) && !(c->rflags & X86_FLAG_IF)) {
        /* So that blocks go on directly meanwhile; whatever sets IF comes through here. */
        clear(c, X86_PENDING_INTR);
        c->intr_held = true;
    }
    return NEXT_BLOCK;
}

/* Does TF, which was set, want a trap behind the instruction of now? With BTF only if that took a branch. */
static bool is_step(const struct x86_cpu *c)
{
    return likely(!(c->debugctl & X86_DEBUGCTL_BTF)) || block_single_branched(c);
}

/* For TF, breakpoints and interrupt shadows, and for engines. SHADOW in pending keeps it from chaining
 * on. */
void x86_step(struct x86_cpu *c)
{
    bool tf = c->rflags & X86_FLAG_TF, rf = c->rflags & X86_FLAG_RF, step;
    uint64_t rip = c->rip;
    const struct insn *first;

    if (unlikely(c->watch_hits & 15) && !c->mov_ss_shadow) {
        event_after_single_step(c, false); /* put off by a MOV SS to behind an INT n */
        return;
    }
    if (event_must_step(c) && !c->mov_ss_shadow && event_check_breakpoint(c))
        return;
    first = block_single(c);
    if (!first)
        return;
    c->sti_shadow = c->mov_ss_shadow = false;
    x86_cpu_post(c, X86_PENDING_SHADOW);
    first->fn(c, first);
    clear(c, X86_PENDING_SHADOW);
    step = tf && is_step(c);
    c->link = NULL;
    if (c->fault.pending) {
        if (!c->fault.soft)
            c->watch_hits = 0; /* a fault comes first; restarted, the instruction hits again */
        return;
    }
    if (c->rip == rip && (first->flags & (INSN_REP | INSN_REPNE)))
        c->rflags |= X86_FLAG_RF; /* stopped between iterations, it has not ended */
    else if (rf)
        c->rflags &= ~(uint64_t)X86_FLAG_RF;
    event_after_single_step(c, step);
}

/* The first engine that has something for c->rip; the last one always has. */
static enum x86_offer next_stretch(struct x86_cpu *c, struct x86_stretch *ret)
{
    enum x86_offer offer = X86_OFFER_NONE;

    for (const struct x86_engine *const *e = c->vm->engine; offer == X86_OFFER_NONE; e++)
        offer = (*e)->next(c, ret);
    return offer;
}

static void run_stretch(struct x86_cpu *c)
{
    struct x86_stretch stretch;

    if (unlikely(next_stretch(c, &stretch) != X86_OFFER_READY))
        return;
    c->sti_shadow = false;
    c->count.blocks++;
    c->io_retry = c->vm->embedded;
    stretch.run(c, stretch.code);
    c->io_retry = false;
}

/* A fault that is none of the guest's: do the instruction over in a way that may call out, or stop. */
static bool embedder_fault(struct x86_cpu *c, enum x86_stop *stop)
{
    c->fault.pending = false;
    c->watch_hits = 0;
    if (c->fetch_stop) {
        c->fetch_stop = false;
        *stop = X86_STOP_FETCH;
        return false;
    }
    c->io_step = false;
    x86_step(c);
    return true;
}

static bool loop_once(struct x86_cpu *c, enum x86_stop *stop)
{
    uint32_t what;

    if (unlikely(c->fault.pending)) {
        c->link = NULL;
        if (unlikely(c->io_step || c->fetch_stop))
            return embedder_fault(c, stop);
        c->count.exceptions++;
        return event_deliver_fault(c);
    }
    what = pending(c);
    if (unlikely(c->intr_held && (c->rflags & X86_FLAG_IF))) {
        c->intr_held = false;
        x86_cpu_post(c, X86_PENDING_INTR);
        what |= X86_PENDING_INTR;
    }
    if (unlikely(what)) {
        enum next next = handle_pending(c, what, stop);

        if (next != NEXT_BLOCK)
            return next == NEXT_AGAIN;
    }
    if (unlikely(c->run_state != X86_RUNNING)) {
        *stop = c->broken                      ? X86_STOP_BROKEN
                : c->run_state == X86_SHUTDOWN ? X86_STOP_SHUTDOWN
                                               : X86_STOP_HALT;
        return false;
    }
    if (unlikely(event_must_step(c) || c->mov_ss_shadow || (what && c->sti_shadow)))
        x86_step(c);
    else
        run_stretch(c);
    return true;
}

#define REST_WORTH ((size_t)1 << 20) /* bytes of blocks; with less nothing else is large */

bool x86_cpu_rest(struct x86_cpu *c)
{
    if (c->check || block_cache_used(c) < REST_WORTH)
        return false;
    block_cache_give_back(c);
    mmu_give_back(c);
    return true;
}

enum x86_stop x86_cpu_run(struct x86_cpu *c)
{
    enum x86_stop stop = X86_STOP_SHUTDOWN;

    if (unlikely(c->check))
        jit_check_run_begins(c);
    sync_enter(c);
    while (loop_once(c, &stop))
        if (unlikely(c->check))
            jit_check_between_blocks(c);
    if (c->intr_held)
        x86_cpu_post(c, X86_PENDING_INTR);
    c->intr_held = false;
    /* Translated code leaves it behind when it is over; no CPU has it like that. */
    if (!c->vm->embedded && (c->mov_ss_shadow || !(c->rflags & X86_FLAG_IF)))
        c->sti_shadow = false;
    fpu_park(c);
    sync_leave(c);
    if (unlikely(c->check))
        jit_check_run_ends(c);
    return stop;
}
