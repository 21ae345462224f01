/* SPDX-License-Identifier: MIT */
/* See smc.h. Everything here may run with the guest's vector state in the host's registers, so it
 * uses atomics and one raw system call, no libc. */
#include "cpu/x86/smc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "cpu/x86/engine.h"
#include "cpu/x86/mmu.h"

#define QUEUE_MAX   512 /* Linux patches its code at 256 places between two IPIs */
#define DATA_WRITES 128 /* so many in a row to a page, none to code that is not stale, and it may be
                         * data */

/* Pages that a vCPU was told about. Past QUEUE_MAX it forgets everything instead. */
struct page_queue {
    const uint8_t *page[QUEUE_MAX];
    uint64_t granules[QUEUE_MAX];
    unsigned count;
    bool overflow;
};

struct sync_slot {
    _Atomic bool outside;    /* not running guest code: nobody waits for it */
    _Atomic uint64_t posted; /* protect requests so far */
    _Atomic uint64_t done;   /* of these, how many it has acted on */
    _Atomic bool lock;       /* guards the queues */
    struct page_queue invalidate, protect;
    const uint8_t *stale_page; /* where this vCPU last wrote to a stale granule, */
    unsigned stale_writes;     /* and how often in the page since */
};

struct sync_domain {
    struct x86_vm *vm;
    _Atomic unsigned claims;          /* smc_claim() calls that still wait */
    struct x86_cpu *_Atomic exclusive; /* who runs alone */
    _Atomic bool code_lock;           /* guards struct mem_code's changes */
    struct sync_slot slot[];
};

/* ---- waiting ---- */

static void yield(void)
{
    long ret;

    __asm__ volatile("syscall" : "=a"(ret) : "0"((long)SYS_sched_yield) : "rcx", "r11", "memory");
}

static void relax(unsigned *spins)
{
    __builtin_ia32_pause();
    if (++*spins % 256 == 0)
        yield(); /* the one we wait for may need our core */
}

static void lock(struct sync_slot *s)
{
    unsigned spins = 0;

    while (atomic_exchange_explicit(&s->lock, true, memory_order_acquire))
        relax(&spins);
}

static void unlock(struct sync_slot *s)
{
    atomic_store_explicit(&s->lock, false, memory_order_release);
}

/* ---- life ---- */

static void vm_code_written(void *arg, gpa_t gpa, uint64_t len);
static void vm_memory_protected(void *arg);

int sync_create(struct x86_vm *vm)
{
    struct sync_domain *d = calloc(1, sizeof(*d) + vm->cpu_count * sizeof(d->slot[0]));

    if (!d)
        return -ENOMEM;
    d->vm = vm;
    for (unsigned n = 0; n < vm->cpu_count; n++)
        d->slot[n].outside = true;
    vm->sync = d;
    vm->mem->cpus = vm;
    vm->mem->code_written = vm_code_written;
    vm->mem->protected = vm_memory_protected;
    return 0;
}

void sync_destroy(struct x86_vm *vm)
{
    if (!vm->sync)
        return;
    vm->mem->code_written = NULL;
    vm->mem->protected = NULL;
    free(vm->sync);
    vm->sync = NULL;
}

int sync_attach(struct x86_cpu *c)
{
    c->sync = &c->vm->sync->slot[c->index];
    return 0;
}

/* ---- telling and being told ---- */

static void queue_add(struct page_queue *q, const uint8_t *page, uint64_t granules)
{
    unsigned n = q->count;

    while (n && q->page[n - 1] != page)
        n--;
    if (n) {
        q->granules[n - 1] |= granules;
    } else if (q->count == QUEUE_MAX) {
        q->overflow = true;
    } else {
        q->page[q->count] = page;
        q->granules[q->count++] = granules;
    }
}

static void post_invalidate(struct x86_cpu *to, const uint8_t *page, uint64_t granules)
{
    lock(to->sync);
    queue_add(&to->sync->invalidate, page, granules);
    unlock(to->sync);
    x86_cpu_post(to, X86_PENDING_SYNC);
}

/* The number to wait for in done. */
static uint64_t post_protect(struct x86_cpu *to, const uint8_t *page)
{
    uint64_t ticket;

    lock(to->sync);
    queue_add(&to->sync->protect, page, 0);
    ticket = ++to->sync->posted;
    unlock(to->sync);
    x86_cpu_post(to, X86_PENDING_SYNC);
    return ticket;
}

static void protect_here(struct x86_cpu *c, const uint8_t *page);

static void serve_protect(struct x86_cpu *c)
{
    struct sync_slot *s = c->sync;

    if (atomic_load_explicit(&s->posted, memory_order_seq_cst) == s->done)
        return;
    lock(s);
    if (s->protect.overflow)
        mmu_flush_all(c);
    else
        for (unsigned n = 0; n < s->protect.count; n++)
            protect_here(c, s->protect.page[n]);
    s->protect.count = 0;
    s->protect.overflow = false;
    atomic_store_explicit(&s->done, s->posted, memory_order_seq_cst);
    unlock(s);
}

/* running: a block is; it is not to go on behind a store of ours to what it is made of. */
static void serve_invalidate(struct x86_cpu *c, bool running)
{
    struct sync_slot *s = c->sync;

    lock(s);
    if (s->invalidate.overflow && running)
        x86_code_gone(c, NULL, 0);
    else if (s->invalidate.overflow)
        x86_code_empty(c);
    else
        for (unsigned n = 0; n < s->invalidate.count; n++)
            x86_code_gone(c, s->invalidate.page[n], s->invalidate.granules[n]);
    s->invalidate.count = 0;
    s->invalidate.overflow = false;
    unlock(s);
}

static void wait_exclusive_over(struct x86_cpu *c)
{
    struct sync_domain *d = c->vm->sync;
    unsigned spins = 0;

    while (atomic_load_explicit(&d->exclusive, memory_order_seq_cst))
        relax(&spins);
}

void sync_enter(struct x86_cpu *c)
{
    struct sync_domain *d = c->vm->sync;

    for (;;) {
        atomic_store_explicit(&c->sync->outside, false, memory_order_seq_cst);
        if (!atomic_load_explicit(&d->exclusive, memory_order_seq_cst))
            break;
        atomic_store_explicit(&c->sync->outside, true, memory_order_seq_cst);
        wait_exclusive_over(c);
    }
    serve_protect(c);
}

void sync_leave(struct x86_cpu *c)
{
    atomic_store_explicit(&c->sync->outside, true, memory_order_seq_cst);
}

void sync_service(struct x86_cpu *c)
{
    c->count.syncs++;
    if (atomic_load_explicit(&c->vm->sync->exclusive, memory_order_seq_cst)) {
        sync_leave(c);
        sync_enter(c);
    }
    serve_protect(c);
    serve_invalidate(c, false);
}

/* ---- code pages ---- */

/* A spin lock for everything that changes struct mem_code. Held briefly, and nobody who has it
 * waits for a vCPU. */
static void code_lock(struct sync_domain *d)
{
    unsigned spins = 0;

    while (atomic_exchange_explicit(&d->code_lock, true, memory_order_acquire))
        relax(&spins);
}

static void code_unlock(struct sync_domain *d)
{
    atomic_store_explicit(&d->code_lock, false, memory_order_release);
}

static uint64_t load(const _Atomic uint64_t *p)
{
    return atomic_load_explicit(p, memory_order_seq_cst);
}

static void set_bits(_Atomic uint64_t *p, uint64_t bits)
{
    atomic_fetch_or_explicit(p, bits, memory_order_seq_cst);
}

static void clear_bits(_Atomic uint64_t *p, uint64_t bits)
{
    atomic_fetch_and_explicit(p, ~bits, memory_order_seq_cst);
}

static uint64_t writer_bit(unsigned index)
{
    return BIT(index % 64);
}

/* Drop this vCPU's write tags for the page. */
static void protect_here(struct x86_cpu *c, const uint8_t *page)
{
    mmu_protect_page(c, page);
    x86_page_watched(c, page);
    if (c->vm->cpu_count <= 64) /* else it may be another's bit too */
        clear_bits(&mem_code_of(c->vm->mem, page)->writers, writer_bit(c->index));
}

static void protect_everywhere(struct x86_cpu *c, struct mem_code *m, const uint8_t *page)
{
    struct sync_domain *d = c->vm->sync;
    uint64_t writers = load(&m->writers);

    if (writers & writer_bit(c->index))
        protect_here(c, page);
    for (unsigned n = 0; n < c->vm->cpu_count; n++) {
        struct sync_slot *s = &d->slot[n];
        unsigned spins = 0;
        uint64_t ticket;

        if (n == c->index || !(writers & writer_bit(n)))
            continue;
        ticket = post_protect(c->vm->cpu[n], page);
        while (atomic_load_explicit(&s->done, memory_order_seq_cst) < ticket &&
               !atomic_load_explicit(&s->outside, memory_order_seq_cst)) {
            serve_protect(c); /* it may be waiting for us */
            relax(&spins);
        }
    }
}

/* Set the granules, as not stale. Was there no code in the page? */
static bool first_claim(struct sync_domain *d, struct mem_code *m, uint64_t mask)
{
    bool first;

    code_lock(d);
    first = !load(&m->granules);
    set_bits(&m->granules, mask);
    clear_bits(&m->stale, mask);
    code_unlock(d);
    return first;
}

void smc_claim(struct x86_cpu *c, const uint8_t *host, unsigned len)
{
    struct sync_domain *d = c->vm->sync;
    struct mem_code *m = mem_code_of(c->vm->mem, host);
    uint64_t mask = smc_granules(host, len);
    unsigned spins = 0;

    /* stale first: give_up() clears it last */
    if (load(&m->stale) & mask || (load(&m->granules) & mask) != mask) {
        bool first;

        atomic_fetch_add_explicit(&d->claims, 1, memory_order_seq_cst);
        first = first_claim(d, m, mask);
        if (first)
            protect_everywhere(c, m, mem_page_of(host));
        atomic_fetch_sub_explicit(&d->claims, 1, memory_order_seq_cst);
        if (first)
            return;
    }
    /* Another vCPU may have set the granules just now and still be waiting for the rest. */
    while (atomic_load_explicit(&d->claims, memory_order_seq_cst)) {
        serve_protect(c);
        relax(&spins);
    }
}

/* Blocks that this vCPU still has may be of code that others have written. */
static bool has_been_told(const struct x86_cpu *c)
{
    return atomic_load_explicit(&c->pending, memory_order_seq_cst) & X86_PENDING_SYNC;
}

bool smc_allows_plain_stores(const struct x86_cpu *c, const uint8_t *host)
{
    struct mem_code *m = mem_code_of(c->vm->mem, host);

    /* Before the granules are looked at: protect_everywhere() does it the other way round. */
    if (!(load(&m->writers) & writer_bit(c->index)))
        set_bits(&m->writers, writer_bit(c->index));
    return !load(&m->granules) && !has_been_told(c);
}

/* With the lock. The granules have been written: which of them had code that somebody may rely on?
 * All vCPUs but `by` (may be NULL) are told. */
static uint64_t make_stale(struct x86_vm *vm, const struct x86_cpu *by, struct mem_code *m,
                           const uint8_t *page, uint64_t mask)
{
    uint64_t hit = load(&m->granules) & mask & ~load(&m->stale);

    if (!hit)
        return 0;
    set_bits(&m->stale, hit);
    for (unsigned n = 0; n < vm->cpu_count; n++)
        if (vm->cpu[n] != by)
            post_invalidate(vm->cpu[n], page, hit);
    return hit;
}

/* With the lock. If nobody relies on any code of the page, take it for data. */
static void give_up(struct mem_code *m)
{
    if (load(&m->granules) & ~load(&m->stale))
        return;
    atomic_store_explicit(&m->granules, 0, memory_order_seq_cst);
    atomic_store_explicit(&m->stale, 0, memory_order_seq_cst);
}

/* This vCPU wrote to the page, but not to code that is not stale: is it time to look whether the
 * page is data? */
static bool many_stale_writes(struct sync_slot *s)
{
    if (++s->stale_writes < DATA_WRITES)
        return false;
    s->stale_writes = 0;
    return true;
}

/* A write to no granule with code, where the one before was to a stale one. */
static void written_beside(struct x86_cpu *c, struct mem_code *m)
{
    if (!many_stale_writes(c->sync))
        return;
    code_lock(c->vm->sync);
    give_up(m);
    code_unlock(c->vm->sync);
}

void smc_written(struct x86_cpu *c, const uint8_t *host, unsigned len)
{
    struct sync_domain *d = c->vm->sync;
    struct mem_code *m = mem_code_of(c->vm->mem, host);
    const uint8_t *page = mem_page_of(host);
    uint64_t mask = smc_granules(host, len), hit;

    c->count.smc_slow_writes++;
    /* The store must be visible before the granules are read: smc_claim() does it the other way
     * round. */
    atomic_thread_fence(memory_order_seq_cst);
    if (has_been_told(c)) /* the granules say nothing of our blocks until we have acted on that */
        serve_invalidate(c, true);
    if (!(load(&m->granules) & mask)) {
        if (c->sync->stale_page == page)
            written_beside(c, m);
        return;
    }
    code_lock(d); /* also where all is stale: the one who made it so may still be telling others */
    hit = make_stale(c->vm, c, m, page, mask);
    if (hit || c->sync->stale_page != page)
        c->sync->stale_writes = 0;
    c->sync->stale_page = page;
    if (len == MEM_PAGE_SIZE || (!hit && many_stale_writes(c->sync)))
        give_up(m);
    code_unlock(d);
    if (!hit) {
        serve_invalidate(c, true); /* who made them stale has told us: act on it behind this store */
        return;
    }
    c->count.smc_invalidations++;
    x86_code_gone(c, page, hit);
}

/* mem_written() hit a granule: a device, or a vCPU's own thread on a device's behalf. */
static void vm_code_written(void *arg, gpa_t gpa, uint64_t len)
{
    struct x86_vm *vm = arg;

    for (uint64_t n; len; gpa += n, len -= n) {
        const uint8_t *host;
        struct mem_code *m;

        n = MIN(len, MEM_PAGE_SIZE - gpa % MEM_PAGE_SIZE);
        host = mem_ptr(vm->mem, gpa, n, MEM_READ);
        if (!host)
            continue;
        m = mem_code_of(vm->mem, host);
        code_lock(vm->sync);
        make_stale(vm, NULL, m, mem_page_of(host), smc_granules(host, (unsigned)n));
        give_up(m);
        code_unlock(vm->sync);
    }
}

/* mem_protect(): write tags are for pages that were asked for. */
static void vm_memory_protected(void *arg)
{
    struct x86_vm *vm = arg;

    for (unsigned n = 0; n < vm->cpu_count; n++)
        mmu_flush_all(vm->cpu[n]);
}

/* ---- running alone ---- */

void sync_exclusive_begin(struct x86_cpu *c)
{
    struct sync_domain *d = c->vm->sync;
    struct x86_cpu *none = NULL;
    unsigned spins = 0;

    c->count.exclusives++;
    sync_leave(c); /* two may want it at once: whoever waits does not hold up the other */
    while (!atomic_compare_exchange_strong_explicit(&d->exclusive, &none, c,
                                        memory_order_seq_cst, memory_order_seq_cst)) {
        none = NULL;
        relax(&spins);
    }
    atomic_store_explicit(&c->sync->outside, false, memory_order_seq_cst);
    serve_protect(c);
    for (unsigned n = 0; n < c->vm->cpu_count; n++) {
        if (n == c->index)
            continue;
        x86_cpu_post(c->vm->cpu[n], X86_PENDING_SYNC);
        while (!atomic_load_explicit(&d->slot[n].outside, memory_order_seq_cst)) {
            serve_protect(c); /* it may be waiting for us */
            relax(&spins);
        }
    }
}

void sync_exclusive_end(struct x86_cpu *c)
{
    struct x86_cpu *mine = c;

    /* It may have ended early, and another vCPU's begun: sync_host_call_begin(). */
    atomic_compare_exchange_strong_explicit(&c->vm->sync->exclusive, &mine, NULL,
                                memory_order_seq_cst, memory_order_seq_cst);
}

/* ---- embedded CPUs ---- */

void sync_host_call_begin(struct x86_cpu *c)
{
    sync_leave(c);
    sync_exclusive_end(c);
}

void sync_host_call_end(struct x86_cpu *c)
{
    sync_enter(c);
}

void x86_cpu_memory_changed(struct x86_cpu *c)
{
    struct sync_slot *s = c->sync;

    mmu_flush_all(c);
    lock(s);
    s->protect.count = 0;
    s->protect.overflow = true;
    s->invalidate.count = 0;
    s->invalidate.overflow = true; /* a block may be in the middle of running */
    unlock(s);
    x86_cpu_post(c, X86_PENDING_SYNC);
}
