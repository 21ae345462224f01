/* SPDX-License-Identifier: MIT */
/* Guest-physical memory of <vz/hypervisor.h>: a sorted list of pieces, changed as a whole. A change
 * is made on a copy; then all vCPUs are held while the backend takes it over. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/x86/chips.h"
#include "arch/x86/regs.h"
#include "base/checked.h"
#include "hypervisor/hyp.h"

#define ALL_FLAGS (VZ_HV_MEMORY_READ | VZ_HV_MEMORY_WRITE | VZ_HV_MEMORY_EXEC)

/* A list under construction: one piece more than allowed, as cutting comes before merging. */
struct list {
    struct hyp_piece piece[HYP_PIECES_MAX + 2];
    unsigned count;
};

static bool page_range(const struct vz_hv_vm *vm, uint64_t gpa, uint64_t len)
{
    return len && !((gpa | len) & (VZ_HV_PAGE_SIZE - 1)) && gpa < vm->gpa_limit &&
           len <= vm->gpa_limit - gpa;
}

static enum vz_hv_result check_flags(const struct vz_hv_vm *vm, unsigned flags)
{
    if (flags & ~ALL_FLAGS)
        return VZ_HV_BAD_ARGUMENT;
    if (flags && !(flags & VZ_HV_MEMORY_READ))
        return VZ_HV_UNSUPPORTED;
    if (flags && !(flags & VZ_HV_MEMORY_EXEC) && !vm->ops->bare->no_exec)
        return VZ_HV_UNSUPPORTED;
    return VZ_HV_SUCCESS;
}

static bool mincore_all(void *host, uint64_t len)
{
    static const uint64_t step = 64 * MIB;
    unsigned char *present = malloc(step / VZ_HV_PAGE_SIZE);
    bool ok = present;

    for (uint64_t at = 0; ok && at < len; at += step)
        ok = mincore((uint8_t *)host + at, MIN(step, len - at), present) == 0;
    free(present);
    return ok;
}

/* May this process use [host, host + len) as flags say? Guest code is executed by the guest's CPUs,
 * not by ours, so executing it asks for nothing here. Mappings are listed by address; without the
 * list, is there memory at all? */
static bool host_has(void *host, uint64_t len, unsigned flags)
{
    uint64_t at = (uintptr_t)host, end = at + len;
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], mode[5];

    if (!maps)
        return mincore_all(host, len);
    while (at < end && fgets(line, sizeof(line), maps)) {
        uint64_t from, to;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &from, &to, mode) != 3 || to <= at)
            continue; /* also the rest of a line that is longer */
        if (from > at || (flags && mode[0] != 'r') ||
            ((flags & VZ_HV_MEMORY_WRITE) && mode[1] != 'w'))
            break;
        at = to;
    }
    fclose(maps);
    return at >= end;
}

static bool mergeable(const struct hyp_piece *a, const struct hyp_piece *b)
{
    return a->gpa + a->len == b->gpa && a->host + a->len == b->host && a->flags == b->flags;
}

static void append(struct list *to, struct hyp_piece p)
{
    if (to->count && mergeable(&to->piece[to->count - 1], &p))
        to->piece[to->count - 1].len += p.len;
    else if (to->count < ARRAY_SIZE(to->piece))
        to->piece[to->count++] = p;
}

/* The part of p in [from, to), if any. */
static void append_part(struct list *list, const struct hyp_piece *p, uint64_t from, uint64_t to)
{
    from = from > p->gpa ? from : p->gpa;
    to = MIN(to, p->gpa + p->len);
    if (from < to)
        append(list, (struct hyp_piece){from, to - from, p->host + (from - p->gpa), p->flags});
}

/* How many bytes of [gpa, gpa + len) are mapped, and for_reading: so that the guest may read them. */
static uint64_t mapped(const struct vz_hv_vm *vm, uint64_t gpa, uint64_t len, bool for_reading)
{
    uint64_t sum = 0;

    for (unsigned n = 0; n < vm->piece_count; n++) {
        const struct hyp_piece *p = &vm->piece[n];
        uint64_t from = gpa > p->gpa ? gpa : p->gpa;
        uint64_t to = MIN(gpa + len, p->gpa + p->len);

        if (from < to && (p->flags || !for_reading))
            sum += to - from;
    }
    return sum;
}

static unsigned regions_of(const struct hyp_piece *piece, unsigned count, struct mem_region *ret)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++) {
        const struct hyp_piece *p = &piece[i];

        if (p->flags)
            ret[n++] = (struct mem_region){.gpa = p->gpa, .len = p->len, .host = p->host,
                                           .rom = !(p->flags & VZ_HV_MEMORY_WRITE),
                                           .no_exec = !(p->flags & VZ_HV_MEMORY_EXEC)};
    }
    return n;
}

/* Make list the memory; vCPUs are held. */
static int take_over(struct vz_hv_vm *vm, const struct list *list, struct mem_region *region)
{
    int r = mem_set_regions(vm->mem, region, regions_of(list->piece, list->count, region));

    if (r)
        return r;
    r = vm->ops->bare->memory_changed(vm->hv);
    if (!r)
        return 0;
    /* Back to what was. If even that fails, the guest has less memory than it should. */
    if (!mem_set_regions(vm->mem, region, regions_of(vm->piece, vm->piece_count, region)))
        (void)!vm->ops->bare->memory_changed(vm->hv);
    return r;
}

static enum vz_hv_result commit(struct vz_hv_vm *vm, const struct list *list)
{
    struct mem_region *region;
    int r = -ENOMEM;

    if (list->count > HYP_PIECES_MAX)
        return VZ_HV_NO_RESOURCES;
    region = calloc(HYP_PIECES_MAX, sizeof(*region));
    if (region) {
        hyp_hold(vm);
        r = take_over(vm, list, region);
        hyp_release(vm);
    }
    free(region);
    if (r)
        return hyp_result(r);
    memcpy(vm->piece, list->piece, list->count * sizeof(list->piece[0]));
    vm->piece_count = list->count;
    return VZ_HV_SUCCESS;
}

enum what { MAP, UNMAP, PROTECT };

/* The list with [new->gpa, + len) mapped, taken out, or given new flags. */
static void edit(const struct vz_hv_vm *vm, enum what what, const struct hyp_piece *new,
                 struct list *ret)
{
    uint64_t end = new->gpa + new->len;
    bool done = what != MAP;

    ret->count = 0;
    for (unsigned n = 0; n < vm->piece_count; n++) {
        struct hyp_piece p = vm->piece[n], changed = p;

        if (!done && p.gpa >= end) {
            append(ret, *new);
            done = true;
        }
        append_part(ret, &p, 0, new->gpa);
        changed.flags = new->flags;
        if (what == PROTECT)
            append_part(ret, &changed, new->gpa, end);
        append_part(ret, &p, end, UINT64_MAX);
    }
    if (!done)
        append(ret, *new);
}

/* May the memory under pieces in [gpa, gpa + len) be used as flags say? */
static bool pieces_have(const struct vz_hv_vm *vm, uint64_t gpa, uint64_t len, unsigned flags)
{
    bool ok = true;

    for (unsigned n = 0; ok && n < vm->piece_count; n++) {
        const struct hyp_piece *p = &vm->piece[n];
        uint64_t from = gpa > p->gpa ? gpa : p->gpa;
        uint64_t to = MIN(gpa + len, p->gpa + p->len);

        ok = from >= to || host_has(p->host + (from - p->gpa), to - from, flags);
    }
    return ok;
}

/* Where the library's interrupt controllers are to be seen, there can be no memory. */
static bool is_ours(const struct vz_hv_vm *vm, uint64_t gpa, uint64_t len)
{
    static const uint64_t pages[] = {IOAPIC_BASE, APIC_DEFAULT_BASE};

    for (unsigned n = 0; vm->irqchip && n < ARRAY_SIZE(pages); n++) {
        if (gpa < pages[n] + VZ_HV_PAGE_SIZE && gpa + len > pages[n])
            return true;
    }
    return false;
}

static enum vz_hv_result change(struct vz_hv_vm *vm, enum what what, const struct hyp_piece *new)
{
    struct list *list = malloc(sizeof(*list));
    enum vz_hv_result r = VZ_HV_SUCCESS;
    uint64_t there;

    if (!list)
        return VZ_HV_NO_RESOURCES;
    pthread_mutex_lock(&vm->memory_lock);
    there = mapped(vm, new->gpa, new->len, false);
    if (what == MAP && there)
        r = VZ_HV_BUSY;
    else if (what != MAP && there != new->len)
        r = VZ_HV_BAD_ARGUMENT;
    else if (what == PROTECT && !pieces_have(vm, new->gpa, new->len, new->flags))
        r = VZ_HV_FAULT;
    if (!r) {
        edit(vm, what, new, list);
        r = commit(vm, list);
    }
    pthread_mutex_unlock(&vm->memory_lock);
    free(list);
    return r;
}

enum vz_hv_result vz_hv_vm_map(struct vz_hv_vm *vm, void *host, uint64_t gpa, uint64_t len,
                               unsigned flags)
{
    enum vz_hv_result r;

    if (!vm || !host || ((uintptr_t)host & (VZ_HV_PAGE_SIZE - 1)) || !page_range(vm, gpa, len))
        return VZ_HV_BAD_ARGUMENT;
    r = check_flags(vm, flags);
    if (r)
        return r;
    if (len > UINTPTR_MAX - (uintptr_t)host || !host_has(host, len, flags))
        return VZ_HV_FAULT;
    if (is_ours(vm, gpa, len))
        return VZ_HV_BUSY;
    return change(vm, MAP, &(struct hyp_piece){gpa, len, host, flags});
}

enum vz_hv_result vz_hv_vm_unmap(struct vz_hv_vm *vm, uint64_t gpa, uint64_t len)
{
    if (!vm || !page_range(vm, gpa, len))
        return VZ_HV_BAD_ARGUMENT;
    return change(vm, UNMAP, &(struct hyp_piece){.gpa = gpa, .len = len});
}

enum vz_hv_result vz_hv_vm_protect(struct vz_hv_vm *vm, uint64_t gpa, uint64_t len, unsigned flags)
{
    enum vz_hv_result r;

    if (!vm || !page_range(vm, gpa, len))
        return VZ_HV_BAD_ARGUMENT;
    r = check_flags(vm, flags);
    return r ? r : change(vm, PROTECT, &(struct hyp_piece){.gpa = gpa, .len = len, .flags = flags});
}

enum vz_hv_result vz_hv_vm_memory_written(struct vz_hv_vm *vm, uint64_t gpa, uint64_t len)
{
    enum vz_hv_result r = VZ_HV_BAD_ARGUMENT;

    if (!vm || !len || gpa >= vm->gpa_limit || len > vm->gpa_limit - gpa)
        return VZ_HV_BAD_ARGUMENT;
    pthread_mutex_lock(&vm->memory_lock);
    if (mapped(vm, gpa, len, true) == len) {
        mem_written(vm->mem, gpa, len);
        r = VZ_HV_SUCCESS;
    }
    pthread_mutex_unlock(&vm->memory_lock);
    return r;
}
