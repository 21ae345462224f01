/* SPDX-License-Identifier: MIT */
/* Guest memory as KVM's memory slots (api 4.35). */
#include <errno.h>
#include <stdlib.h>

#include "hv/kvm/kvm.h"

static int set_slot(struct hv_vm *vm, unsigned n, const struct kvm_slot *s, bool log_dirty)
{
    struct kvm_userspace_memory_region r = {
        .slot = n,
        .flags = (s->rom ? KVM_MEM_READONLY : 0) |
                 (log_dirty && !s->rom && s->len ? KVM_MEM_LOG_DIRTY_PAGES : 0),
        .guest_phys_addr = s->gpa,
        .memory_size = s->len,
        .userspace_addr = (uint64_t)(uintptr_t)s->host,
    };

    return kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

static bool is_same(const struct kvm_slot *s, const struct mem_region *r)
{
    return s->len == r->len && s->gpa == r->gpa && s->host == r->host && s->rom == r->rom;
}

/* The slot that holds exactly r, or -1. */
static int slot_of(const struct hv_vm *vm, const struct mem_region *r)
{
    for (unsigned n = 0; n < vm->slot_max; n++) {
        if (is_same(&vm->slot[n], r))
            return (int)n;
    }
    return -1;
}

static bool is_wanted(const struct hv_vm *vm, const struct kvm_slot *s)
{
    for (unsigned i = 0; i < vm->mem->region_count; i++) {
        if (is_same(s, &vm->mem->region[i]))
            return true;
    }
    return false;
}

static int drop_unwanted(struct hv_vm *vm)
{
    for (unsigned n = 0; n < vm->slot_max; n++) {
        struct kvm_slot *s = &vm->slot[n], none = {.gpa = s->gpa, .host = s->host};
        int r;

        if (!s->len || is_wanted(vm, s))
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

    for (unsigned i = 0; i < vm->mem->region_count; i++) {
        const struct mem_region *m = &vm->mem->region[i];
        struct kvm_slot s = {.gpa = m->gpa, .len = m->len, .host = m->host, .rom = m->rom};
        int r;

        if (slot_of(vm, m) >= 0)
            continue;
        while (n < vm->slot_max && vm->slot[n].len)
            n++;
        if (n == vm->slot_max)
            return -ENOSPC;
        r = set_slot(vm, n, &s, vm->log_dirty);
        if (r)
            return r;
        vm->slot[n] = s;
    }
    return 0;
}

int kvm_memory_changed(struct hv_vm *vm)
{
    int r;

    pthread_mutex_lock(&vm->slot_lock);
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

/* KVM overwrites the bitmap it is given (api 4.8); ours collects. */
static int fetch_slot(struct hv_vm *vm, unsigned n, uint64_t *bitmap)
{
    size_t words = (vm->slot[n].len / MEM_PAGE_SIZE + 63) / 64;
    uint64_t *fresh = calloc(words, sizeof(*fresh));
    struct kvm_dirty_log log = {.slot = n, .dirty_bitmap = fresh};
    int r;

    if (!fresh)
        return -ENOMEM;
    r = kvm_ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
    for (size_t i = 0; !r && i < words; i++)
        bitmap[i] |= fresh[i];
    free(fresh);
    return r;
}

int kvm_dirty_fetch(struct hv_vm *vm, unsigned index, uint64_t *bitmap)
{
    int n, r = -EINVAL;

    pthread_mutex_lock(&vm->slot_lock);
    n = index < vm->mem->region_count ? slot_of(vm, &vm->mem->region[index]) : -1;
    if (n >= 0 && vm->log_dirty)
        r = vm->slot[n].rom ? 0 : fetch_slot(vm, (unsigned)n, bitmap);
    pthread_mutex_unlock(&vm->slot_lock);
    return r;
}
