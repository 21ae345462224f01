/* SPDX-License-Identifier: MIT */
/* Guest memory as KVM's memory slots (api 4.35). */
#include <errno.h>
#include <stdlib.h>

#include "hv/kvm/kvm.h"

static int set_slot(struct hv_vm *vm, unsigned n, const struct kvm_slot *s, bool log_dirty)
{
    struct kvm_userspace_memory_region r = {
        .slot = s->space << 16 | n,
        .flags = (s->rom ? KVM_MEM_READONLY : 0) |
                 (log_dirty && !s->rom && s->len ? KVM_MEM_LOG_DIRTY_PAGES : 0),
        .guest_phys_addr = s->gpa,
        .memory_size = s->len,
        .userspace_addr = (uint64_t)(uintptr_t)s->host,
    };

    return kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

/* What a guest can have hidden is whole MiB at the end of a region, and not more than these (mem_hide()). Each is a
 * slot of its own outside of System Management Mode: to hide some disturbs no CPU that uses what is left. */
#define PIECE  MIB
#define PIECES 16u

static uint64_t piece_len(const struct hv_vm *vm, const struct mem_region *r, uint64_t off, unsigned space)
{
    uint64_t whole = r->len - MIN(r->len, PIECES * PIECE);

    if (!vm->smm || space || r->rom)
        return r->len;
    return off < whole ? whole - off : MIN(PIECE, r->len - off);
}

static unsigned plan_region(struct hv_vm *vm, const struct mem_region *r, unsigned space, unsigned count)
{
    for (uint64_t off = 0, len; off < r->len; off += len) {
        len = piece_len(vm, r, off, space);
        if (count < vm->slot_max && (!vm->smm || space || mem_find(vm->mem, r->gpa + off)))
            vm->plan[count++] = (struct kvm_slot){.gpa = r->gpa + off, .len = len, .host = r->host + off,
                                                  .rom = r->rom, .space = space};
    }
    return count;
}

/* What the slots are to be. In System Management Mode, KVM's address space 1 (api 4.35), nothing is hidden. */
static void plan(struct hv_vm *vm)
{
    unsigned count = 0;

    for (unsigned space = 0; space <= vm->smm; space++) {
        for (unsigned i = 0; i < vm->mem->region_count; i++)
            count = plan_region(vm, &vm->mem->region[i], space, count);
    }
    vm->plan_count = count;
}

static bool is_same(const struct kvm_slot *s, const struct kvm_slot *t)
{
    return s->len == t->len && s->gpa == t->gpa && s->host == t->host && s->rom == t->rom && s->space == t->space;
}

static bool has(const struct kvm_slot *list, unsigned count, const struct kvm_slot *s)
{
    for (unsigned n = 0; n < count; n++) {
        if (is_same(&list[n], s))
            return true;
    }
    return false;
}

static int drop_unwanted(struct hv_vm *vm)
{
    for (unsigned n = 0; n < vm->slot_max; n++) {
        struct kvm_slot *s = &vm->slot[n], none = {.gpa = s->gpa, .host = s->host, .space = s->space};
        int r;

        if (!s->len || has(vm->plan, vm->plan_count, s))
            continue;
        r = set_slot(vm, n, &none, false);
        if (r)
            return r;
        s->len = 0;
    }
    return 0;
}

static int add_missing(struct hv_vm *vm)
{
    unsigned n = 0;

    for (unsigned i = 0; i < vm->plan_count; i++) {
        const struct kvm_slot *s = &vm->plan[i];
        int r;

        if (has(vm->slot, vm->slot_max, s))
            continue;
        while (n < vm->slot_max && vm->slot[n].len)
            n++;
        if (n == vm->slot_max)
            return -ENOSPC;
        r = set_slot(vm, n, s, vm->log_dirty);
        if (r)
            return r;
        vm->slot[n] = *s;
    }
    return 0;
}

int kvm_memory_init(struct hv_vm *vm)
{
    vm->slot_max = vm->mem->region_max;
    if (vm->smm)
        vm->slot_max = vm->mem->region_count * (PIECES + 2);
    vm->slot = calloc(vm->slot_max, sizeof(*vm->slot));
    vm->plan = calloc(vm->slot_max, sizeof(*vm->plan));
    return vm->slot && vm->plan ? kvm_memory_changed(vm) : -ENOMEM;
}

/* What ought to be hidden must not be seen: if KVM fails, no CPU goes on. */
void kvm_hidden(struct hv_vm *vm)
{
    if (kvm_memory_changed(vm) == 0)
        return;
    atomic_store(&vm->exposed, true);
    for (unsigned n = 0; n < vm->vcpu_count; n++)
        kvm_vcpu_kick(&vm->vcpu[n]);
}

int kvm_memory_changed(struct hv_vm *vm)
{
    int r;

    pthread_mutex_lock(&vm->slot_lock);
    plan(vm);
    r = drop_unwanted(vm);
    if (!r)
        r = add_missing(vm);
    pthread_mutex_unlock(&vm->slot_lock);
    return r;
}

int kvm_dirty_log(struct hv_vm *vm, bool on)
{
    int r = 0;

    pthread_mutex_lock(&vm->slot_lock);
    for (unsigned n = 0; !r && n < vm->slot_max; n++) {
        if (vm->slot[n].len && !vm->slot[n].rom)
            r = set_slot(vm, n, &vm->slot[n], on);
    }
    if (!r)
        vm->log_dirty = on;
    pthread_mutex_unlock(&vm->slot_lock);
    return r;
}

/* KVM overwrites the bitmap it is given (api 4.8); ours collects, from bit first on. */
static int fetch_slot(struct hv_vm *vm, unsigned n, uint64_t first, uint64_t *bitmap)
{
    size_t words = (vm->slot[n].len / MEM_PAGE_SIZE + 63) / 64;
    uint64_t *fresh = calloc(words, sizeof(*fresh));
    struct kvm_dirty_log log = {.slot = vm->slot[n].space << 16 | n, .dirty_bitmap = fresh};
    unsigned shift = first % 64;
    int r;

    if (!fresh)
        return -ENOMEM;
    r = kvm_ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
    bitmap += first / 64;
    for (size_t i = 0; !r && i < words; i++) {
        bitmap[i] |= fresh[i] << shift;
        if (shift && fresh[i] >> (64 - shift))
            bitmap[i + 1] |= fresh[i] >> (64 - shift);
    }
    free(fresh);
    return r;
}

/* All slots of a region: those of its pieces, and of both address spaces. */
static int fetch_region(struct hv_vm *vm, const struct mem_region *m, uint64_t *bitmap)
{
    int r = -EINVAL;

    for (unsigned n = 0; n < vm->slot_max; n++) {
        const struct kvm_slot *s = &vm->slot[n];

        if (!s->len || s->gpa < m->gpa || s->gpa - m->gpa >= m->len)
            continue;
        r = s->rom ? 0 : fetch_slot(vm, n, (s->gpa - m->gpa) / MEM_PAGE_SIZE, bitmap);
        if (r)
            break;
    }
    return r;
}

int kvm_dirty_fetch(struct hv_vm *vm, unsigned index, uint64_t *bitmap)
{
    int r = -EINVAL;

    pthread_mutex_lock(&vm->slot_lock);
    if (index < vm->mem->region_count && vm->log_dirty)
        r = fetch_region(vm, &vm->mem->region[index], bitmap);
    pthread_mutex_unlock(&vm->slot_lock);
    return r;
}
