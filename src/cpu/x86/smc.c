/* SPDX-License-Identifier: MIT */
/* See smc.h. Everything here may run with the guest's vector state in the host's registers, so it
 * uses atomics and one raw system call, no libc. */
#include "cpu/x86/smc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "cpu/x86/block.h"
#include "cpu/x86/mmu.h"

#define QUEUE_MAX 64

/* Pages that a vCPU was told about. Past QUEUE_MAX it forgets everything instead. */
struct page_queue {
    const uint8_t *page[QUEUE_MAX];
    unsigned count;
    bool overflow;
};

struct sync_slot {
    _Atomic bool outside;    /* not running guest code: nobody waits for it */
    _Atomic uint64_t posted; /* protect requests so far */
    _Atomic uint64_t done;   /* of these, how many it has acted on */
    _Atomic bool lock;       /* guards the queues */
    struct page_queue invalidate, protect;
};

struct sync_domain {
    struct x86_vm *vm;
    _Atomic unsigned claims;          /* smc_claim() calls that still wait */
    struct x86_cpu *_Atomic exclusive; /* who runs alone */
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

    while (__atomic_exchange_n((bool *)&s->lock, true, __ATOMIC_ACQUIRE))
        relax(&spins);
}

static void unlock(struct sync_slot *s)
{
    __atomic_store_n((bool *)&s->lock, false, __ATOMIC_RELEASE);
}

/* ---- life ---- */

static void vm_code_written(void *arg, gpa_t gpa, uint64_t len);

int sync_create(struct x86_vm *vm)
{
    struct sync_domain *d = calloc(1, sizeof(*d) + vm->cpu_count * sizeof(d->slot[0]));

    if (!d)
        return -ENOMEM;
    d->vm = vm;
    for (unsigned n = 0; n < vm->cpu_count; n++)
        d->slot[n].outside = true;
    vm->sync = d;
    vm->mem->code_written_arg = vm;
    vm->mem->code_written = vm_code_written;
    return 0;
}

void sync_destroy(struct x86_vm *vm)
{
    if (!vm->sync)
        return;
    vm->mem->code_written = NULL;
    free(vm->sync);
    vm->sync = NULL;
}

int sync_attach(struct x86_cpu *c)
{
    c->sync = &c->vm->sync->slot[c->index];
    return 0;
}

/* ---- telling and being told ---- */

static void queue_add(struct page_queue *q, const uint8_t *page)
{
    for (unsigned n = 0; n < q->count; n++)
        if (q->page[n] == page)
            return;
    if (q->count == QUEUE_MAX)
        q->overflow = true;
    else
        q->page[q->count++] = page;
}

static void post_invalidate(struct x86_cpu *to, const uint8_t *page)
{
    lock(to->sync);
    queue_add(&to->sync->invalidate, page);
    unlock(to->sync);
    x86_cpu_post(to, X86_PENDING_SYNC);
}

/* The number to wait for in done. */
static uint64_t post_protect(struct x86_cpu *to, const uint8_t *page)
{
    uint64_t ticket;

    lock(to->sync);
    queue_add(&to->sync->protect, page);
    ticket = ++to->sync->posted;
    unlock(to->sync);
    x86_cpu_post(to, X86_PENDING_SYNC);
    return ticket;
}

static void serve_protect(struct x86_cpu *c)
{
    struct sync_slot *s = c->sync;

    if (__atomic_load_n((uint64_t *)&s->posted, __ATOMIC_SEQ_CST) == s->done)
        return;
    lock(s);
    if (s->protect.overflow)
        mmu_flush_all(c);
    else
        for (unsigned n = 0; n < s->protect.count; n++)
            mmu_protect_page(c, s->protect.page[n]);
    s->protect.count = 0;
    s->protect.overflow = false;
    __atomic_store_n((uint64_t *)&s->done, s->posted, __ATOMIC_SEQ_CST);
    unlock(s);
}

static void serve_invalidate(struct x86_cpu *c)
{
    struct sync_slot *s = c->sync;

    lock(s);
    if (s->invalidate.overflow)
        block_cache_empty(c);
    else
        for (unsigned n = 0; n < s->invalidate.count; n++)
            block_invalidate_page(c, s->invalidate.page[n]);
    s->invalidate.count = 0;
    s->invalidate.overflow = false;
    unlock(s);
}

static void wait_exclusive_over(struct x86_cpu *c)
{
    struct sync_domain *d = c->vm->sync;
    unsigned spins = 0;

    while (__atomic_load_n((struct x86_cpu **)&d->exclusive, __ATOMIC_SEQ_CST))
        relax(&spins);
}

void sync_enter(struct x86_cpu *c)
{
    struct sync_domain *d = c->vm->sync;

    for (;;) {
        __atomic_store_n((bool *)&c->sync->outside, false, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n((struct x86_cpu **)&d->exclusive, __ATOMIC_SEQ_CST))
            break;
        __atomic_store_n((bool *)&c->sync->outside, true, __ATOMIC_SEQ_CST);
        wait_exclusive_over(c);
    }
    serve_protect(c);
}

void sync_leave(struct x86_cpu *c)
{
    __atomic_store_n((bool *)&c->sync->outside, true, __ATOMIC_SEQ_CST);
}

void sync_service(struct x86_cpu *c)
{
    c->count.syncs++;
    if (__atomic_load_n((struct x86_cpu **)&c->vm->sync->exclusive, __ATOMIC_SEQ_CST)) {
        sync_leave(c);
        sync_enter(c);
    }
    serve_protect(c);
    serve_invalidate(c);
}

/* ---- code pages ---- */

static uint64_t granules(const uint8_t *host, unsigned len)
{
    unsigned first = (unsigned)((uintptr_t)host & (MEM_PAGE_SIZE - 1)) / 64;
    unsigned last = (unsigned)(((uintptr_t)host & (MEM_PAGE_SIZE - 1)) + len - 1) / 64;
    uint64_t upto = last >= 63 ? UINT64_MAX : BIT(last + 1) - 1;

    return upto & ~(BIT(first) - 1);
}

static void protect_everywhere(struct x86_cpu *c, const uint8_t *page)
{
    struct sync_domain *d = c->vm->sync;

    mmu_protect_page(c, page);
    for (unsigned n = 0; n < c->vm->cpu_count; n++) {
        struct sync_slot *s = &d->slot[n];
        unsigned spins = 0;
        uint64_t ticket;

        if (n == c->index)
            continue;
        ticket = post_protect(c->vm->cpu[n], page);
        while (__atomic_load_n((uint64_t *)&s->done, __ATOMIC_SEQ_CST) < ticket &&
               !__atomic_load_n((bool *)&s->outside, __ATOMIC_SEQ_CST)) {
            serve_protect(c); /* it may be waiting for us */
            relax(&spins);
        }
    }
}

void smc_claim(struct x86_cpu *c, const uint8_t *host, unsigned len)
{
    struct sync_domain *d = c->vm->sync;
    mem_code_map *map = mem_code_of(c->vm->mem, host);
    uint64_t mask = granules(host, len), old;
    unsigned spins = 0;

    if ((__atomic_load_n((uint64_t *)map, __ATOMIC_SEQ_CST) & mask) != mask) {
        __atomic_add_fetch((unsigned *)&d->claims, 1, __ATOMIC_SEQ_CST);
        old = __atomic_fetch_or((uint64_t *)map, mask, __ATOMIC_SEQ_CST);
        if (!old)
            protect_everywhere(c, mem_page_of(host));
        __atomic_sub_fetch((unsigned *)&d->claims, 1, __ATOMIC_SEQ_CST);
        if (!old)
            return;
    }
    /* Another vCPU may have set the granules just now and still be waiting for the rest. */
    while (__atomic_load_n((unsigned *)&d->claims, __ATOMIC_SEQ_CST)) {
        serve_protect(c);
        relax(&spins);
    }
}

bool smc_page_has_code(const struct x86_cpu *c, const uint8_t *host)
{
    return __atomic_load_n((uint64_t *)mem_code_of(c->vm->mem, host), __ATOMIC_SEQ_CST);
}

void smc_written(struct x86_cpu *c, const uint8_t *host, unsigned len)
{
    mem_code_map *map = mem_code_of(c->vm->mem, host);

    c->count.smc_slow_writes++;
    /* The store must be visible before the granules are read: smc_claim() does it the other way
     * round. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(__atomic_load_n((uint64_t *)map, __ATOMIC_SEQ_CST) & granules(host, len)))
        return;
    __atomic_store_n((uint64_t *)map, 0, __ATOMIC_SEQ_CST);
    c->count.smc_invalidations++;
    block_invalidate_page(c, mem_page_of(host));
    for (unsigned n = 0; n < c->vm->cpu_count; n++)
        if (n != c->index)
            post_invalidate(c->vm->cpu[n], mem_page_of(host));
}

/* mem_written() hit a granule: a device, or a vCPU's own thread on a device's behalf. */
static void vm_code_written(void *arg, gpa_t gpa, uint64_t len)
{
    struct x86_vm *vm = arg;
    uint64_t end = gpa + len;

    for (gpa = gpa & ~(uint64_t)(MEM_PAGE_SIZE - 1); gpa < end; gpa += MEM_PAGE_SIZE) {
        const uint8_t *page = mem_ptr(vm->mem, gpa, MEM_PAGE_SIZE);

        if (!page || !__atomic_exchange_n((uint64_t *)mem_code_of(vm->mem, page), 0,
                                          __ATOMIC_SEQ_CST))
            continue;
        for (unsigned n = 0; n < vm->cpu_count; n++)
            post_invalidate(vm->cpu[n], page);
    }
}

/* ---- running alone ---- */

void sync_exclusive_begin(struct x86_cpu *c)
{
    struct sync_domain *d = c->vm->sync;
    struct x86_cpu *none = NULL;
    unsigned spins = 0;

    sync_leave(c); /* two may want it at once: whoever waits does not hold up the other */
    while (!__atomic_compare_exchange_n((struct x86_cpu **)&d->exclusive, &none, c, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        none = NULL;
        relax(&spins);
    }
    __atomic_store_n((bool *)&c->sync->outside, false, __ATOMIC_SEQ_CST);
    serve_protect(c);
    for (unsigned n = 0; n < c->vm->cpu_count; n++) {
        if (n == c->index)
            continue;
        x86_cpu_post(c->vm->cpu[n], X86_PENDING_SYNC);
        while (!__atomic_load_n((bool *)&d->slot[n].outside, __ATOMIC_SEQ_CST)) {
            serve_protect(c); /* it may be waiting for us */
            relax(&spins);
        }
    }
}

void sync_exclusive_end(struct x86_cpu *c)
{
    struct x86_cpu *mine = c;

    /* It may have ended early, and another vCPU's begun: sync_host_call_begin(). */
    __atomic_compare_exchange_n((struct x86_cpu **)&c->vm->sync->exclusive, &mine, NULL, false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
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
