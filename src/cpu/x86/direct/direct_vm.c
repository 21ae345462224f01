/* SPDX-License-Identifier: MIT */
/* Making and unmaking what a machine's vCPUs share, and handing out spaces and stubs. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/tsc_rate.h"
#include "cpu/x86/direct/direct_priv.h"

#define LAST_SLOT 254u /* the last but one of the lower half: Linux has stacks and libraries in the last */
#define SLOT_BYTES (UINT64_C(1) << 39) /* that it spans */
#define USUAL_MHZ 2500
#define STUB_REST_MS 1000 /* where there was no stub to be had */

static void say_why_not(const char *why)
{
    log_warn("guest programs do not run directly on the host's processor: %s", why);
}

/* What the host's probe has found out. */
static void judge(struct direct_vm *v, const struct stub_probe *probe)
{
    char text[80];

    if (!probe->works) {
        say_why_not(probe->why);
    } else if (probe->round_trip_ns > STUB_WORST_TRAP_NS && !v->always) {
        snprintf(text, sizeof(text), "a trap takes %llu ns here",
                 (unsigned long long)probe->round_trip_ns);
        say_why_not(text);
    } else {
        v->us = MAX(tsc_rate_khz(v->vm->tsc) / 1000, 1u);
        v->round_trip = UINT64_MAX;
        policy_round_trip(v, v->us * MAX(probe->round_trip_ns, (uint64_t)1000) / 1000);
        v->tsc_faults = probe->tsc_faults;
        v->scan_cpuid = !probe->cpuid_faults || v->vm->jit.direct_scan;
        v->works = true;
        log_info("guest programs run directly where that pays: %llu ns an event, %llu a page mapped, "
                 "%llu unmapped", (unsigned long long)probe->round_trip_ns,
                 (unsigned long long)probe->map_ns, (unsigned long long)probe->unmap_ns);
    }
    v->judged = true;
}

bool direct_works(struct direct_vm *v)
{
    const struct stub_probe *probe;

    if (unlikely(!v->judged)) {
        probe = stub_host_probed(v->host, v->always);
        if (probe)
            judge(v, probe);
    }
    return v->works;
}

/* ---- stubs ---- */

void direct_drop_stub(struct direct_vm *v, struct space *s)
{
    if (!s->stub)
        return;
    space_forget(v, s);
    stub_destroy(s->stub);
    s->stub = NULL;
    v->stubs--;
}

void direct_drop_space(struct direct_vm *v, struct space *s)
{
    direct_drop_stub(v, s);
    s->root = 0;
    atomic_store_explicit(&v->roots[s - v->space], 0, memory_order_seq_cst);
    atomic_fetch_add_explicit(&v->epoch, 1, memory_order_seq_cst);
}

/* The space that has not been entered for longest, among those that nobody is in; NULL: none. */
static struct space *oldest(struct direct_vm *v, bool with_stub, const struct space *but)
{
    struct space *found = NULL;

    for (unsigned n = 0; n < DIRECT_SPACES; n++) {
        struct space *s = &v->space[n];

        if (s != but && s->root && !s->inside && (s->stub || !with_stub) &&
            (!found || s->used < found->used))
            found = s;
    }
    return found;
}

static struct space *free_space(struct direct_vm *v)
{
    struct space *s;

    for (unsigned n = 0; n < DIRECT_SPACES; n++)
        if (!v->space[n].root)
            return &v->space[n];
    s = oldest(v, false, NULL);
    if (s)
        direct_drop_space(v, s);
    return s;
}

struct space *direct_promote(struct x86_cpu *c)
{
    struct direct_vm *v = c->direct->vm;
    struct space *s = direct_works(v) ? space_of(v, c->direct->root) : NULL;

    if (!v->works)
        return NULL;
    if (!s)
        s = free_space(v);
    if (!s || s->root)
        return s;
    *s = (struct space){.root = c->direct->root, .serial = ++v->serial, .used = v->entries};
    atomic_store_explicit(&v->roots[s - v->space], s->root, memory_order_seq_cst);
    atomic_fetch_add_explicit(&v->epoch, 1, memory_order_seq_cst);
    c->count.direct_promotions++;
    return s;
}

static bool choose_slot(const struct x86_cpu *c, unsigned *ret)
{
    for (unsigned slot = LAST_SLOT; slot; slot--) {
        if (!direct_slot_is_empty(c, slot))
            continue;
        *ret = slot;
        return true;
    }
    return false;
}

bool direct_has_stub(const struct x86_cpu *c, const struct space *s)
{
    return s->root == c->direct->root && s->stub && direct_slot_is_empty(c, s->slot) &&
           (s->tsc_faults || !direct_needs_tsc(c));
}

/* Room for one, and where its own pages may be. Under the lock. */
static bool prepare_place(struct x86_cpu *c, struct space *s, unsigned *ret_slot)
{
    struct direct_vm *v = c->direct->vm;
    struct space *other;

    if (s->root != c->direct->root || s->inside)
        return false;
    direct_drop_stub(v, s);
    other = v->stubs >= DIRECT_STUBS ? oldest(v, true, s) : NULL;
    if (other)
        direct_drop_stub(v, other);
    return v->stubs < DIRECT_STUBS && choose_slot(c, ret_slot);
}

/* Is there one that will do? Under the lock. */
static bool is_served(const struct x86_cpu *c, const struct space *s)
{
    return direct_has_stub(c, s) && (s->commands < DIRECT_COMMANDS_MAX || s->inside);
}

/* Under the lock. False: somebody else has been quicker, with whatever. */
static bool adopt(struct x86_cpu *c, struct space *s, struct stub *stub, const struct stub_wish *wish)
{
    struct direct_vm *v = c->direct->vm;

    if (s->root != c->direct->root || s->stub || v->stubs >= DIRECT_STUBS)
        return false;
    s->stub = stub;
    s->worked_ns = 0;
    s->slot = wish->region / SLOT_BYTES;
    s->tsc_faults = wish->tsc_faults;
    s->serial = ++v->serial; /* what vCPUs know of it is about another */
    v->stubs++;
    c->count.direct_stubs++;
    return true;
}

bool direct_need_stub(struct x86_cpu *c, struct space *s, bool *ret_fresh)
{
    struct direct_vm *v = c->direct->vm;
    struct stub_wish wish = {.tsc_faults = direct_needs_tsc(c)};
    struct stub *stub;
    bool served, room = false;
    unsigned slot = 0;

    *ret_fresh = false;
    direct_lock(v);
    served = is_served(c, s);
    if (unlikely(!served))
        room = prepare_place(c, s, &slot);
    direct_unlock(v);
    if (likely(served) || !room)
        return served;
    wish.region = slot * SLOT_BYTES;
    if (stub_create(&stub, v->host, &wish) < 0)
        stub = NULL;
    direct_lock(v);
    if (stub)
        *ret_fresh = adopt(c, s, stub, &wish);
    else if (s->root == c->direct->root && !s->stub)
        s->rests_until = clock_tsc() + STUB_REST_MS * 1000 * v->us; /* to ask again takes time */
    direct_unlock(v);
    if (!*ret_fresh)
        stub_destroy(stub);
    return *ret_fresh;
}

/* ---- the machine ---- */

static void *reserve(uint64_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* The lowest address at which the host lets processes map anything. */
static uint64_t lowest_address(void)
{
    FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "re");
    unsigned long long at;

    if (!f || fscanf(f, "%llu", &at) != 1)
        at = 0x10000;
    if (f)
        fclose(f);
    return MAX(at, (unsigned long long)MEM_PAGE_SIZE);
}

static int start_host(struct direct_vm *v, const char *name, char why[160])
{
    const struct mem *mem = v->vm->mem;
    const struct stub_host_options options = {.ram = mem->fd, .ram_ro = mem->fd_ro,
                                              .threads = v->vm->cpu_count, .name = name,
                                              /* each vCPU may make one before it has a place */
                                              .max_stubs = DIRECT_STUBS + v->vm->cpu_count};

    (void)!direct_shadows_create(v); /* those pages are translated, then */
    return stub_host_create(&v->host, &options, why);
}

static int set_up(struct direct_vm *v, const char *name, char why[160])
{
    struct x86_vm *vm = v->vm;

    v->always = vm->jit.direct == JIT_DIRECT_ALWAYS;
    v->pages = vm->mem->capacity >> MEM_PAGE_SHIFT;
    v->lowest = lowest_address();
    v->end = STUB_ADDRESS_END;
    v->scan = reserve(v->pages);
    v->where = reserve(v->pages * sizeof(*v->where));
    v->forgiven = reserve(v->pages);
    if (!v->scan || !v->where || !v->forgiven)
        return -ENOMEM;
    v->us = USUAL_MHZ; /* until the host is judged */
    v->trap = v->least_trap = 2 * AROUND_TRAP_US * v->us;
    v->round_trip = UINT64_MAX;
    return start_host(v, name, why);
}

static bool is_for(const struct x86_vm *vm, char why[160])
{
    const char *not = vm->jit.check              ? "not with jit check"
                      : vm->embedded             ? "not for machines that are embedded"
                      : vm->cpu_count > STUB_THREADS_MAX ? "too many CPUs"
                                                 : NULL;

    if (not)
        snprintf(why, 160, "%s", not);
    return !not;
}

int direct_vm_create(struct x86_vm *vm, const char *name)
{
    char why[160] = "";
    struct direct_vm *v;
    int r;

    /* Memory that is no file was wanted so: to be mapped from a saved state. */
    if (vm->jit.direct == JIT_DIRECT_OFF || (vm->mem->fd < 0 && !vm->embedded && !vm->jit.check))
        return 0;
    v = calloc(1, sizeof(*v));
    if (!v)
        return -ENOMEM;
    v->vm = vm;
    vm->direct = v;
    r = is_for(vm, why) ? set_up(v, name, why) : -ENOTSUP;
    if (!r)
        return 0;
    direct_vm_destroy(vm);
    if (r == -ENOMEM)
        return r;
    say_why_not(why);
    return 0;
}

void direct_vm_destroy(struct x86_vm *vm)
{
    struct direct_vm *v = vm->direct;

    if (!v)
        return;
    direct_vm_forget(vm);
    stub_host_destroy(v->host);
    direct_shadows_destroy(v);
    if (v->scan)
        munmap((void *)v->scan, v->pages);
    if (v->where)
        munmap((void *)v->where, v->pages * sizeof(*v->where));
    if (v->forgiven)
        munmap(v->forgiven, v->pages);
    free(v->leaf);
    free(v);
    vm->direct = NULL;
}

void direct_vm_forget(struct x86_vm *vm)
{
    struct direct_vm *v = vm->direct;

    for (unsigned n = 0; v && n < DIRECT_SPACES; n++)
        if (v->space[n].root)
            direct_drop_space(v, &v->space[n]);
}
