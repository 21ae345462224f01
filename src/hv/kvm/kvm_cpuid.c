/* SPDX-License-Identifier: MIT */
/* What the guest's CPUs are under KVM: by the written policy (docs/cpu-policy.md), less what this
 * processor or its KVM cannot do; or, when asked for, the host's CPU with all that KVM adds. */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/msrs.h"
#include "arch/x86/policy.h"
#include "base/error.h"
#include "hv/kvm/kvm.h"

#define ENTRIES_MAX 256u
/* KVM's features in our own leaves, */
#define POLICY_KVM_LEAF (X86_POLICY_KVM_BASE + 1)
/* and in KVM's. */
#define KVM_FEATURES_LEAF 0x40000001u

enum reg { EAX, EBX, ECX, EDX };

struct cpuid_table {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entry[ENTRIES_MAX];
};

static uint32_t *entry_reg(struct kvm_cpuid_entry2 *e, enum reg reg)
{
    return reg == EAX ? &e->eax : reg == EBX ? &e->ebx : reg == ECX ? &e->ecx : &e->edx;
}

static struct kvm_cpuid_entry2 *find(struct cpuid_table *t, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < t->head.nent; i++) {
        struct kvm_cpuid_entry2 *e = &t->entry[i];

        if (e->function == leaf &&
            (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == subleaf))
            return e;
    }
    return NULL;
}

/* ---- the policy ---- */

/* Words of feature bits: where KVM has a say. keep: bits that are no features of the processor's,
 * or that KVM provides itself without saying so here. */
static const struct {
    uint32_t leaf, subleaf;
    uint8_t reg;
    uint32_t keep;
} feature_words[] = {
    {1, 0, EDX, 1u << 28 /* HTT: a count */},
    {1, 0, ECX, 1u << 31 /* hypervisor */ | 1u << 21 /* x2APIC */},
    {7, 0, EBX, 0}, {7, 0, ECX, 0}, {7, 0, EDX, 0}, {7, 2, EDX, 0}, {0xd, 1, EAX, 0},
    {0x80000001, 0, ECX, 0}, {0x80000001, 0, EDX, 0},
    /* Invariant TSC: where the host's is not (a virtual one may not promise it), KVM keeps the
     * guest's in step with the host's clock. */
    {0x80000007, 0, EDX, 1u << 8},
    {POLICY_KVM_LEAF, 0, EAX, 0},
};

/* The bits that this KVM can give a guest. */
static uint32_t supported_bits(struct cpuid_table *supported, uint32_t leaf, uint32_t subleaf,
                               enum reg reg)
{
    struct kvm_cpuid_entry2 *e =
        find(supported, leaf == POLICY_KVM_LEAF ? KVM_FEATURES_LEAF : leaf, subleaf);

    return e ? *entry_reg(e, reg) : 0;
}

/* AMD's processors tell their speculation controls elsewhere: 8000_0008h EBX. */
static void translate_amd(struct cpuid_table *supported)
{
    struct kvm_cpuid_entry2 *amd = find(supported, 0x80000008, 0), *e = find(supported, 7, 0);

    if (!amd || !e)
        return;
    if ((amd->ebx & 1u << 12) && (amd->ebx & 1u << 14)) /* IBPB, IBRS */
        e->edx |= 1u << 26;
    if (amd->ebx & 1u << 15) /* STIBP */
        e->edx |= 1u << 27;
    if (amd->ebx & 1u << 24) /* SSBD */
        e->edx |= 1u << 31;
}

/* QEMU's emulated AMD processors do not intercept XSETBV: KVM never hears of it, and loads the XCR0
 * that it knows at each entry, so that a guest's XSAVE silently saves nothing but x87. On such a
 * host there is no XSAVE; FXSAVE and SSE need no XCR0. */
static bool host_misses_xsetbv(void)
{
    uint32_t eax, ebx, ecx, edx;

    __cpuid(1, eax, ebx, ecx, edx);
    if (!(ecx & 1u << 31))
        return false;
    __cpuid(0x40000000, eax, ebx, ecx, edx);
    return !memcmp(&ebx, "TCGT", 4) && !memcmp(&ecx, "CGTC", 4) && !memcmp(&edx, "GTCG", 4);
}

static void hide_xsave(struct cpuid_table *supported)
{
    struct kvm_cpuid_entry2 *e = find(supported, 1, 0);

    if (e) /* XSAVE, AVX, FMA, F16C */
        e->ecx &= ~(1u << 26 | 1u << 28 | 1u << 12 | 1u << 29);
    e = find(supported, 7, 0);
    if (e) {
        e->ebx &= ~(1u << 5); /* AVX2 */
        e->ecx &= ~(1u << 9 | 1u << 10); /* VAES, VPCLMULQDQ */
    }
}

static bool offers_xsave(struct cpuid_table *t)
{
    struct kvm_cpuid_entry2 *e = find(t, 1, 0);

    return e && (e->ecx & 1u << 26);
}

static void add_own(const struct hv_vm *vm, struct cpuid_table *supported)
{
    struct kvm_cpuid_entry2 *one = find(supported, 1, 0);

    if (one && kvm_has(vm->fd, KVM_CAP_TSC_DEADLINE_TIMER))
        one->ecx |= 1u << 24;
}

static void restrict_entry(struct cpuid_table *supported, struct kvm_cpuid_entry2 *e)
{
    for (unsigned i = 0; i < ARRAY_SIZE(feature_words); i++) {
        if (feature_words[i].leaf == e->function && feature_words[i].subleaf == e->index)
            *entry_reg(e, feature_words[i].reg) &=
                supported_bits(supported, e->function, e->index, feature_words[i].reg) |
                feature_words[i].keep;
    }
}

/* What is told of XSAVE, where there is none. */
static void clear_xsave(struct cpuid_table *t)
{
    for (uint32_t i = 0; i < t->head.nent; i++) {
        struct kvm_cpuid_entry2 *e = &t->entry[i];

        if (e->function == 0xd)
            e->eax = e->ebx = e->ecx = e->edx = 0;
    }
}

static unsigned subleaves(uint32_t leaf)
{
    switch (leaf) {
    case 4: return 5;
    case 7: return 3;
    case 0xb: case 0x1f: return 3;
    case 0xd: return 64;
    default: return 0;
    }
}

static void add_entry(struct cpuid_table *t, const struct x86_cpuid_policy *p, unsigned cpu,
                      uint32_t leaf, uint32_t subleaf)
{
    const struct cpuid_view view = {.index = cpu, .in_64bit = true, .xcr0 = p->xcr0};
    uint32_t v[4];
    struct kvm_cpuid_entry2 *e = &t->entry[t->head.nent];

    cpuid_policy_query(p, &view, leaf, subleaf, v);
    if ((subleaf && !(v[0] | v[1] | v[2] | v[3])) || t->head.nent == ENTRIES_MAX)
        return;
    *e = (struct kvm_cpuid_entry2){.function = leaf, .index = subleaf, .eax = v[EAX],
                                   .ebx = v[EBX], .ecx = v[ECX], .edx = v[EDX]};
    if (subleaves(leaf))
        e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    t->head.nent++;
}

static void add_range(struct cpuid_table *t, const struct x86_cpuid_policy *p, unsigned cpu,
                      uint32_t first)
{
    uint32_t v[4];
    const struct cpuid_view view = {0};

    cpuid_policy_query(p, &view, first, 0, v);
    for (uint32_t leaf = first; leaf <= v[EAX]; leaf++) {
        add_entry(t, p, cpu, leaf, 0);
        for (unsigned sub = 1; sub < subleaves(leaf); sub++)
            add_entry(t, p, cpu, leaf, sub);
    }
}

static void build_policy(struct hv_vm *vm, struct cpuid_table *supported, unsigned cpu,
                         struct cpuid_table *t)
{
    struct x86_cpuid_policy p;

    cpuid_policy_init(&p, &vm->tsc, vm->vcpu_count);
    p.phys_bits = vm->phys_bits;
    if (!vm->irqchip)
        cpuid_policy_no_apic(&p);
    t->head.nent = 0;
    add_range(t, &p, cpu, 0);
    add_range(t, &p, cpu, 0x40000000);
    add_range(t, &p, cpu, X86_POLICY_KVM_BASE);
    add_range(t, &p, cpu, 0x80000000);
    for (uint32_t i = 0; i < t->head.nent; i++)
        restrict_entry(supported, &t->entry[i]);
}

/* ---- the host's CPU ---- */

/* Who and where a CPU is, which KVM leaves to us: what the policy says of it. */
static void place_cpu(struct hv_vm *vm, unsigned cpu, struct cpuid_table *t)
{
    const struct cpuid_view view = {.index = cpu};
    struct x86_cpuid_policy p;

    cpuid_policy_init(&p, &vm->tsc, vm->vcpu_count);
    for (uint32_t i = 0; i < t->head.nent; i++) {
        struct kvm_cpuid_entry2 *e = &t->entry[i];
        uint32_t v[4];

        cpuid_policy_query(&p, &view, e->function, e->index, v);
        if (e->function == 1) {
            e->ebx = (e->ebx & 0xff00) | (v[EBX] & 0xffff0000);
            e->ecx |= 1u << 31;
            e->edx = (e->edx & ~(1u << 28)) | (v[EDX] & 1u << 28);
        } else if (e->function == 0xb || e->function == 0x1f) {
            e->eax = v[EAX], e->ebx = v[EBX], e->ecx = v[ECX], e->edx = v[EDX];
        } else if (e->function == 4) { /* as many sharers and cores as there are CPUs */
            e->eax = (e->eax & 0x3fff) | (v[EAX] & ~0x3fffu);
        } else if (e->function == 0x80000008) {
            e->ecx = (e->ecx & ~0xffu) | (vm->vcpu_count - 1);
        } else if (e->function == 0x8000001e) {
            e->eax = cpu, e->ebx = cpu, e->ecx = 0;
        }
    }
}

/* ---- both ---- */

static int get_supported(struct hv_vm *vm, struct cpuid_table *t)
{
    t->head.nent = ENTRIES_MAX;
    return kvm_ioctl(vm->sys_fd, KVM_GET_SUPPORTED_CPUID, t);
}

static void read_phys_bits(struct hv_vm *vm, struct cpuid_table *supported)
{
    struct kvm_cpuid_entry2 *e = find(supported, 0x80000008, 0);
    unsigned bits = e ? e->eax & 0xff : 36;

    vm->phys_bits = MIN(vm->host_cpu ? bits : MIN(bits, X86_PHYS_BITS), vm->phys_bits_max);
}

/* What the processor is not vulnerable to, as far as the policy claims it (SDM vol. 4). */
static void read_arch_capabilities(struct hv_vm *vm)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } m = {.head = {.nmsrs = 1}, .entry = {.index = MSR_ARCH_CAPABILITIES}};

    if (kvm_has(vm->sys_fd, KVM_CAP_GET_MSR_FEATURES) &&
        kvm_ioctl(vm->sys_fd, KVM_GET_MSRS, &m) == 1)
        vm->arch_capabilities =
            vm->host_cpu ? m.entry.data : m.entry.data & MSR_ARCH_CAPABILITIES_VALUE;
}

/* Without interrupt controllers there is no local APIC either. */
static void hide_apic(struct cpuid_table *t)
{
    struct kvm_cpuid_entry2 *e = find(t, 1, 0);

    if (!e)
        return;
    e->edx &= ~(1u << 9);
    e->ecx &= ~(1u << 21 | 1u << 24); /* x2APIC, TSC deadline */
}

static uint64_t features_in(struct cpuid_table *t)
{
    uint32_t leaf, subleaf;
    unsigned reg, bit;
    uint64_t set = 0;

    for (unsigned n = 0; n < X86_FEATURE_COUNT; n++) {
        struct kvm_cpuid_entry2 *e =
            x86_feature_place(n, &leaf, &subleaf, &reg, &bit) ? find(t, leaf, subleaf) : NULL;

        if (n == X86_FEATURE_BASE || (e && (*entry_reg(e, (enum reg)reg) >> bit & 1)))
            set |= BIT(n);
    }
    return set;
}

static int set_cpu(struct hv_vm *vm, struct cpuid_table *supported, unsigned cpu,
                   struct cpuid_table *t)
{
    struct hv_vcpu *v = &vm->vcpu[cpu];
    int r;

    if (vm->host_cpu) {
        *t = *supported;
        place_cpu(vm, cpu, t);
    } else {
        build_policy(vm, supported, cpu, t);
    }
    if (!vm->irqchip)
        hide_apic(t);
    vm->has_xsave = offers_xsave(t);
    if (!vm->has_xsave)
        clear_xsave(t);
    vm->features = features_in(t);
    r = kvm_ioctl(v->fd, KVM_SET_CPUID2, t);
    if (r)
        return r;
    if (!vm->host_cpu)
        (void)kvm_set_msr(v, MSR_BIOS_SIGN_ID, BIT(32)); /* revision 1; older KVMs keep theirs */
    if (vm->arch_capabilities)
        (void)kvm_set_msr(v, MSR_ARCH_CAPABILITIES, vm->arch_capabilities);
    return 0;
}

/* ---- MSRs ---- */

/* What KVM may serve itself, by the policy; the rest comes to kvm_msr_read() and _write(). */
static const uint32_t allowed_msrs[] = {
#define NUMBER(msr, member, rule) msr,
    X86_MSRS(NUMBER) X86_MSRS_ELSEWHERE(NUMBER)
#undef NUMBER
    MSR_PLATFORM_ID, MSR_PRED_CMD, MSR_BIOS_SIGN_ID, MSR_MTRRCAP, MSR_ARCH_CAPABILITIES,
};

#define LOW_MSRS  0x800u /* x2APIC's, which follow, cannot be filtered */
#define HIGH_BASE 0xc0000000u
#define HIGH_MSRS 0x200u
#define KVM_MSRS_BASE (MSR_KVM_PV_EOI & ~7u) /* KVM's own: just this one */

/* Maps of bits, each for the MSRs from base on. */
struct msr_map {
    uint32_t base, count;
    uint8_t *bits;
};

static void allow(const struct msr_map *map, unsigned maps, uint32_t msr)
{
    for (unsigned i = 0; i < maps; i++) {
        uint32_t n = msr - map[i].base;

        if (n < map[i].count)
            map[i].bits[n / 8] |= (uint8_t)(1u << n % 8);
    }
}

static int filter_msrs(struct hv_vm *vm)
{
    uint8_t low[LOW_MSRS / 8] = {0}, high[HIGH_MSRS / 8] = {0}, own[1] = {0};
    const struct msr_map map[] = {
        {0, LOW_MSRS, low}, {HIGH_BASE, HIGH_MSRS, high}, {KVM_MSRS_BASE, 8, own}};
    struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_DENY};
    struct kvm_enable_cap to_us = {.cap = KVM_CAP_X86_USER_SPACE_MSR,
                                   .args = {KVM_MSR_EXIT_REASON_FILTER}};
    int r;

    for (unsigned i = 0; i < ARRAY_SIZE(allowed_msrs); i++)
        allow(map, ARRAY_SIZE(map), allowed_msrs[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(map); i++)
        filter.ranges[i] = (struct kvm_msr_filter_range){
            .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, .nmsrs = map[i].count,
            .base = map[i].base, .bitmap = map[i].bits};
    r = kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &to_us);
    return r ? r : kvm_ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter);
}

bool kvm_msr_read(const struct hv_vm *vm, uint32_t msr, uint64_t *ret)
{
    switch (msr) {
#define READ(number, value)                                                                        \
    case number: *ret = value; return true;
    X86_MSRS_CONSTANT(READ)
#undef READ
    default: return false;
    }
}

bool kvm_msr_write(const struct hv_vm *vm, uint32_t msr, uint64_t value)
{
    return msr == MSR_MCG_STATUS && value == 0;
}

static uint64_t cr4_offered(struct hv_vm *vm)
{
    struct x86_cpuid_policy p;

    cpuid_policy_init(&p, &vm->tsc, vm->vcpu_count);
    return vm->host_cpu ? UINT64_MAX : cpuid_cr4_offered(&p);
}

int kvm_cpuid_init(struct hv_vm *vm, struct vz_error *err)
{
    struct cpuid_table *supported = calloc(2, sizeof(*supported));
    int r = supported ? get_supported(vm, supported) : -ENOMEM;

    if (!r) {
        vm->cr4_offered = cr4_offered(vm);
        read_phys_bits(vm, supported);
        read_arch_capabilities(vm);
        if (!vm->host_cpu)
            translate_amd(supported);
        add_own(vm, supported);
        if (host_misses_xsetbv())
            hide_xsave(supported);
    }
    for (unsigned cpu = 0; !r && cpu < vm->vcpu_count; cpu++)
        r = set_cpu(vm, supported, cpu, &supported[1]);
    free(supported);
    if (!r && !vm->host_cpu && kvm_has(vm->fd, KVM_CAP_X86_MSR_FILTER) &&
        kvm_has(vm->fd, KVM_CAP_X86_USER_SPACE_MSR))
        r = filter_msrs(vm);
    return r ? error_set(err, -r, VZ_ERROR_UNSUPPORTED, "KVM: CPUID and MSRs: %s", strerror(-r))
             : 0;
}
