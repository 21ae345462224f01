/* SPDX-License-Identifier: MIT */
/* Making and unmaking the vCPUs of one machine. */
#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/clock.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/direct/direct.h"
#include "cpu/x86/engine.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/fpu/thunk.h"
#include "cpu/x86/insn.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"

static void cpu_destroy(struct x86_cpu *c)
{
    if (!c)
        return;
    x86_engines_destroy(c);
    thunk_cache_destroy(c);
    mmu_destroy(c);
    free(c);
}

static int cpu_create(struct x86_vm *vm, unsigned index, struct x86_cpu **ret)
{
    struct x86_cpu *c = aligned_alloc(64, align_up(sizeof(*c), 64));
    struct x86_cpu_state *reset;
    uint32_t leaf[4];
    int r;

    if (!c)
        return -ENOMEM;
    __builtin_memset(c, 0, sizeof(*c));
    c->vm = vm;
    c->index = index;
    c->user_ends = x86_has_foreign_engine(vm);
    reset = calloc(1, sizeof(*reset));
    r = reset ? mmu_create(c) : -ENOMEM;
    if (!r)
        r = thunk_cache_create(c);
    if (!r)
        r = x86_engines_create(c);
    if (!r)
        r = sync_attach(c);
    if (!r) {
        fpu_init(c);
        x86_cpu_state_reset(reset, index == 0, false);
        cpuid_query(c, 1, 0, leaf);
        reset->gpr[X86_RDX] = leaf[0];
        reset->tsc = clock_tsc();
        r = x86_cpu_set(c, reset);
    }
    free(reset);
    if (r) {
        cpu_destroy(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* In the order in which they are asked. */
static void choose_engines(struct x86_vm *vm, const struct x86_engine *first)
{
    unsigned n = 0;

    if (first)
        vm->engine[n++] = first;
    if (vm->direct)
        vm->engine[n++] = &x86_direct;
    if (vm->jit.on)
        vm->engine[n++] = &x86_translator;
    vm->engine[n] = &x86_interpreter;
}

int x86_vm_create(const struct x86_vm_desc *desc, struct x86_vm **ret)
{
    struct x86_vm *vm = calloc(1, sizeof(*vm));
    int r = -ENOMEM;

    if (!vm)
        return -ENOMEM;
    vm->mem = desc->mem;
    vm->host = desc->host;
    vm->host_arg = desc->host_arg;
    vm->tsc = desc->tsc;
    vm->cpu_count = desc->cpu_count;
    vm->jit = desc->jit;
    vm->jit.on &= VZ_TAIL_CALLS;
    vm->embedded = desc->embedded;
    vm->smm = desc->smm;
    vm->cpuid = calloc(1, sizeof(*vm->cpuid));
    vm->cpu = calloc(desc->cpu_count, sizeof(*vm->cpu));
    if (vm->cpuid && vm->cpu)
        r = sync_create(vm);
    if (!r)
        r = direct_vm_create(vm, desc->name);
    choose_engines(vm, desc->engine);
    if (!r)
        cpuid_policy_init(vm->cpuid, desc->tsc, desc->cpu_count);
    if (!r && desc->phys_bits_max)
        vm->cpuid->phys_bits = MIN(vm->cpuid->phys_bits, desc->phys_bits_max);
    if (!r && desc->no_apic)
        cpuid_policy_no_apic(vm->cpuid);
    if (!r && vm->direct)
        cpuid_policy_hide_tsc_aux(vm->cpuid); /* a stub comes out for each */
    for (unsigned n = 0; !r && n < desc->cpu_count; n++)
        r = cpu_create(vm, n, &vm->cpu[n]);
    if (r) {
        x86_vm_destroy(vm);
        return r;
    }
    *ret = vm;
    return 0;
}

void x86_vm_destroy(struct x86_vm *vm)
{
    if (!vm)
        return;
    for (unsigned n = 0; vm->cpu && n < vm->cpu_count; n++)
        cpu_destroy(vm->cpu[n]);
    direct_vm_destroy(vm);
    sync_destroy(vm);
    free(vm->cpu);
    free(vm->cpuid);
    free(vm);
}

struct x86_cpu *x86_vm_cpu(struct x86_vm *vm, unsigned index)
{
    return vm->cpu[index];
}
