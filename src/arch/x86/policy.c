/* SPDX-License-Identifier: MIT */
/* What CPUID says. The reasons for the choices are in docs/cpu-policy.md. SDM vol. 2, CPUID.
 *
 * The software CPU calls this while guest code runs, so it is compiled as that is (src/meson.build). */
#include "arch/x86/policy.h"

#include <cpuid.h>

#include "arch/x86/chips.h"
#include "arch/x86/regs.h"
#include "base/tsc_rate.h"

#define SIGNATURE 0x000a06e1u /* family 6, model 0xae, stepping 1 */
#define CRYSTAL_HZ (uint32_t)APIC_TIMER_HZ
#define LEAF_MAX 0x1fu
#define HYPERVISOR_LEAF 0x40000000u
#define HYPERVISOR_LEAF_MAX 0x40000010u
#define KVM_LEAF X86_POLICY_KVM_BASE
#define KVM_LEAF_MAX (X86_POLICY_KVM_BASE + 1)
#define HYPERVISOR_LEAVES_END 0x40010000u
/* Linux, Documentation/virt/kvm/x86/cpuid.rst */
#define KVM_NOP_IO_DELAY BIT(1)
#define KVM_PV_EOI BIT(6)
#define EXTENDED_LEAF_MAX 0x80000008u

enum reg { EAX, EBX, ECX, EDX };

/* Where each feature is told, and whether our own code stands in for it (then the host need not
 * have it). */
struct feature_bit {
    uint32_t leaf, subleaf;
    uint8_t reg, bit;
    bool emulated;
};

const char *x86_feature_name(unsigned feature)
{
#define NAME(name) #name,
    static const char *const names[] = {X86_FEATURES(NAME)};
#undef NAME

    return names[feature];
}

uint64_t cpuid_policy_features(const struct x86_cpuid_policy *p)
{
    uint64_t set = 0;

    for (unsigned n = 0; n < X86_FEATURE_COUNT; n++)
        set |= p->feature[n] ? BIT(n) : 0;
    return set;
}

static const struct feature_bit feature_bits[X86_FEATURE_COUNT] = {
    [X86_FEATURE_MMX] = {1, 0, EDX, 23}, [X86_FEATURE_SSE] = {1, 0, EDX, 25},
    [X86_FEATURE_SSE2] = {1, 0, EDX, 26}, [X86_FEATURE_SSE3] = {1, 0, ECX, 0},
    [X86_FEATURE_SSSE3] = {1, 0, ECX, 9}, [X86_FEATURE_SSE4_1] = {1, 0, ECX, 19},
    [X86_FEATURE_SSE4_2] = {1, 0, ECX, 20}, [X86_FEATURE_AES] = {1, 0, ECX, 25},
    [X86_FEATURE_PCLMUL] = {1, 0, ECX, 1}, [X86_FEATURE_SHA] = {7, 0, EBX, 29},
    [X86_FEATURE_AVX] = {1, 0, ECX, 28}, [X86_FEATURE_AVX2] = {7, 0, EBX, 5},
    [X86_FEATURE_FMA] = {1, 0, ECX, 12}, [X86_FEATURE_F16C] = {1, 0, ECX, 29},
    [X86_FEATURE_BMI1] = {7, 0, EBX, 3}, [X86_FEATURE_BMI2] = {7, 0, EBX, 8},
    [X86_FEATURE_LZCNT] = {0x80000001, 0, ECX, 5}, [X86_FEATURE_POPCNT] = {1, 0, ECX, 23},
    [X86_FEATURE_MOVBE] = {1, 0, ECX, 22, true}, [X86_FEATURE_ADX] = {7, 0, EBX, 19},
    [X86_FEATURE_CX16] = {1, 0, ECX, 13}, [X86_FEATURE_RDRAND] = {1, 0, ECX, 30},
    [X86_FEATURE_RDSEED] = {7, 0, EBX, 18}, [X86_FEATURE_FSGSBASE] = {7, 0, EBX, 0, true},
    [X86_FEATURE_INVPCID] = {7, 0, EBX, 10, true}, [X86_FEATURE_SMAP] = {7, 0, EBX, 20, true},
    [X86_FEATURE_XSAVE] = {1, 0, ECX, 26}, [X86_FEATURE_XSAVEOPT] = {0xd, 1, EAX, 0},
    [X86_FEATURE_XSAVEC] = {0xd, 1, EAX, 1}, [X86_FEATURE_RDTSCP] = {0x80000001, 0, EDX, 27, true},
    [X86_FEATURE_RDPID] = {7, 0, ECX, 22, true},
    [X86_FEATURE_SYSCALL] = {0x80000001, 0, EDX, 11, true},
    [X86_FEATURE_LM] = {0x80000001, 0, EDX, 29, true},
    [X86_FEATURE_LAHF64] = {0x80000001, 0, ECX, 0, true},
    [X86_FEATURE_CLFLUSHOPT] = {7, 0, EBX, 23, true}, [X86_FEATURE_CLWB] = {7, 0, EBX, 24, true},
    [X86_FEATURE_PREFETCHW] = {0x80000001, 0, ECX, 8, true},
    [X86_FEATURE_VAES] = {7, 0, ECX, 9}, [X86_FEATURE_VPCLMULQDQ] = {7, 0, ECX, 10},
    [X86_FEATURE_GFNI] = {7, 0, ECX, 8},
};

bool x86_feature_place(unsigned feature, uint32_t *ret_leaf, uint32_t *ret_subleaf,
                       unsigned *ret_reg, unsigned *ret_bit)
{
    const struct feature_bit *f = &feature_bits[feature];

    *ret_leaf = f->leaf;
    *ret_subleaf = f->subleaf;
    *ret_reg = f->reg;
    *ret_bit = f->bit;
    return f->leaf != 0;
}

/* Everything that is claimed besides enum x86_feature. */
static const struct {
    uint32_t leaf;
    uint8_t reg, bit;
} always[] = {
    {1, EDX, 0}, /* FPU */ {1, EDX, 2}, /* DE */ {1, EDX, 3}, /* PSE */ {1, EDX, 4}, /* TSC */
    {1, EDX, 5}, /* MSR */ {1, EDX, 6}, /* PAE */ {1, EDX, 7}, /* MCE */ {1, EDX, 8}, /* CX8 */
    {1, EDX, 9}, /* APIC */ {1, EDX, 11}, /* SEP */ {1, EDX, 12}, /* MTRR */
    {1, EDX, 13}, /* PGE */ {1, EDX, 14}, /* MCA */ {1, EDX, 15}, /* CMOV */
    {1, EDX, 16}, /* PAT */ {1, EDX, 17}, /* PSE-36 */ {1, EDX, 19}, /* CLFLUSH */
    {1, EDX, 24}, /* FXSR */ {1, EDX, 27}, /* self-snoop */
    {1, ECX, 17}, /* PCID */ {1, ECX, 21}, /* x2APIC */ {1, ECX, 24}, /* TSC deadline */
    {1, ECX, 31}, /* hypervisor */
    {7, EBX, 1}, /* TSC_ADJUST */ {7, EBX, 7}, /* SMEP */ {7, EBX, 9}, /* ERMS */
    {7, EBX, 13}, /* FCS and FDS deprecated */ {7, ECX, 2}, /* UMIP */
    {7, EDX, 4}, /* FSRM */ {7, EDX, 26}, /* IBRS, IBPB */ {7, EDX, 27}, /* STIBP */
    {7, EDX, 29}, /* ARCH_CAPABILITIES */ {7, EDX, 31}, /* SSBD */
    {0x80000001, EDX, 20}, /* NX */ {0x80000001, EDX, 26}, /* 1 GiB pages */
    {0x80000007, EDX, 8}, /* invariant TSC */
};

/* ---- the policy ---- */

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t ret[4])
{
    ret[0] = ret[1] = ret[2] = ret[3] = 0;
    (void)__get_cpuid_count(leaf, subleaf, &ret[EAX], &ret[EBX], &ret[ECX], &ret[EDX]);
}

static uint64_t host_xcr0(void)
{
    uint32_t v[4], lo, hi;

    host_cpuid(1, 0, v);
    if (!(v[ECX] & BIT(27)))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo | (uint64_t)hi << 32;
}

static bool host_has(const struct feature_bit *f)
{
    uint32_t v[4];

    host_cpuid(f->leaf, f->subleaf, v);
    return v[f->reg] >> f->bit & 1;
}

static void init_xsave(struct x86_cpuid_policy *p)
{
    p->xcr0 = host_xcr0() & (X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX);
    if (!(p->xcr0 & X86_XCR0_SSE)) {
        p->xcr0 = X86_XCR0_X87;
        p->feature[X86_FEATURE_XSAVE] = false;
    }
    for (unsigned n = 2; n < 64; n++) {
        uint32_t v[4];

        if (!(p->xcr0 >> n & 1))
            continue;
        host_cpuid(0xd, n, v);
        p->xsave_size[n] = v[EAX];
        p->xsave_offset[n] = v[EBX];
    }
}

/* What cannot work without something that is not offered. */
static void drop_dependents(struct x86_cpuid_policy *p)
{
    static const struct {
        uint8_t feature, needs;
    } table[] = {
        {X86_FEATURE_XSAVEOPT, X86_FEATURE_XSAVE}, {X86_FEATURE_XSAVEC, X86_FEATURE_XSAVE},
        {X86_FEATURE_AVX, X86_FEATURE_XSAVE}, {X86_FEATURE_AVX2, X86_FEATURE_AVX},
        {X86_FEATURE_FMA, X86_FEATURE_AVX}, {X86_FEATURE_F16C, X86_FEATURE_AVX},
        {X86_FEATURE_VAES, X86_FEATURE_AVX}, {X86_FEATURE_VPCLMULQDQ, X86_FEATURE_AVX},
    };

    if (!(p->xcr0 & X86_XCR0_AVX))
        p->feature[X86_FEATURE_AVX] = false;
    for (unsigned n = 0; n < ARRAY_SIZE(table); n++)
        if (!p->feature[table[n].needs])
            p->feature[table[n].feature] = false;
}

void cpuid_policy_init(struct x86_cpuid_policy *p, struct tsc_rate *tsc, unsigned cpu_count)
{
    *p = (struct x86_cpuid_policy){
        .tsc = tsc, .cpu_count = cpu_count, .phys_bits = X86_PHYS_BITS};
    p->feature[X86_FEATURE_BASE] = true;
    for (unsigned n = 0; n < X86_FEATURE_COUNT; n++)
        if (feature_bits[n].leaf)
            p->feature[n] = feature_bits[n].emulated || host_has(&feature_bits[n]);
    init_xsave(p);
    drop_dependents(p);
}

void cpuid_policy_no_apic(struct x86_cpuid_policy *p)
{
    p->no_apic = true;
}

void cpuid_policy_hide_tsc_aux(struct x86_cpuid_policy *p)
{
    p->hidden[X86_FEATURE_RDTSCP] = p->hidden[X86_FEATURE_RDPID] = true;
}

uint64_t cpuid_cr4_offered(const struct x86_cpuid_policy *p)
{
    return X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE |
           X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_UMIP | X86_CR4_PCIDE |
           X86_CR4_SMEP | (p->feature[X86_FEATURE_FSGSBASE] ? X86_CR4_FSGSBASE : 0) |
           (p->feature[X86_FEATURE_XSAVE] ? X86_CR4_OSXSAVE : 0) |
           (p->feature[X86_FEATURE_SMAP] ? X86_CR4_SMAP : 0);
}

/* ---- the leaves ---- */

static void set_text(uint32_t *to, const char *text, unsigned words)
{
    for (unsigned n = 0; n < words; n++)
        to[n] = (uint32_t)(uint8_t)text[4 * n] | (uint32_t)(uint8_t)text[4 * n + 1] << 8 |
                (uint32_t)(uint8_t)text[4 * n + 2] << 16 | (uint32_t)(uint8_t)text[4 * n + 3] << 24;
}

static void add_features(const struct x86_cpuid_policy *p, uint32_t leaf, uint32_t subleaf,
                         uint32_t ret[4])
{
    for (unsigned n = 0; n < X86_FEATURE_COUNT; n++) {
        const struct feature_bit *f = &feature_bits[n];

        if (f->leaf == leaf && f->subleaf == subleaf && p->feature[n] && !p->hidden[n])
            ret[f->reg] |= 1u << f->bit;
    }
    for (unsigned n = 0; n < ARRAY_SIZE(always) && !subleaf; n++)
        if (always[n].leaf == leaf)
            ret[always[n].reg] |= 1u << always[n].bit;
}

static unsigned log2_up(unsigned v)
{
    unsigned n = 0;

    while (n < 31 && (1u << n) < v)
        n++;
    return n;
}

static void leaf_1(const struct cpuid_view *c, const struct x86_cpuid_policy *p, uint32_t ret[4])
{
    unsigned ids = 1u << log2_up(p->cpu_count);

    ret[EAX] = SIGNATURE;
    ret[EBX] = 8u << 8 | (ids > 255 ? 255 : ids) << 16 | (c->index & 0xff) << 24;
    if (p->cpu_count > 1)
        ret[EDX] |= 1u << 28; /* HTT: the count in EBX means something */
    if (c->osxsave)
        ret[ECX] |= 1u << 27;
    if (p->no_apic) {
        ret[EDX] &= ~(1u << 9);
        ret[ECX] &= ~(1u << 21 | 1u << 24); /* x2APIC, TSC deadline */
    }
    if (c->apic_off) /* SDM vol. 3, 10.4.3 */
        ret[EDX] &= ~(1u << 9);
}

/* Kernels trust BHI_DIS_S of SPEC_CTRL more than BHI_NO: without it Linux clears the branch history
 * in a loop of a hundred instructions at each system call. */
static void leaf_7(const struct x86_cpuid_policy *p, uint32_t subleaf, uint32_t ret[4])
{
    if (subleaf == 0) {
        ret[EAX] = 2; /* the last subleaf */
        add_features(p, 7, 0, ret);
    } else if (subleaf == 2) {
        ret[EDX] = 1u << 4; /* BHI_CTRL */
    }
}

/* The caches of leaf 4 as descriptors: 32 KiB L1 (0x30 code, 0x2c data), 1 MiB L2 (0x87), 16 MiB L3
 * (0x4d). With "use leaf 4" (0xff) the C library of every program that starts asks for both leaves
 * over and over, and each CPUID leaves the guest. A register whose bit 31 is set does not count. */
static void leaf_2(uint32_t ret[4])
{
    ret[EAX] = 0x4d2c3001;
    ret[EBX] = 0x87;
}

/* Deterministic cache parameters: type, level, KiB, ways, shared by. Lines of 64 bytes. */
static void leaf_4(const struct x86_cpuid_policy *p, uint32_t subleaf, uint32_t ret[4])
{
    static const struct {
        uint8_t type, level, ways;
        bool shared;
        uint32_t kib;
    } cache[] = {
        {1, 1, 8, false, 32}, {2, 1, 8, false, 32}, {3, 2, 8, false, 1024}, {3, 3, 16, true, 16384},
    };
    unsigned ids = 1u << log2_up(p->cpu_count);

    if (subleaf >= ARRAY_SIZE(cache))
        return;
    ret[EAX] = cache[subleaf].type | (uint32_t)cache[subleaf].level << 5 | 1u << 8 |
               (cache[subleaf].shared ? (ids - 1) & 0xfff : 0) << 14 | ((ids - 1) & 0x3f) << 26;
    ret[EBX] = 63 | (cache[subleaf].ways - 1u) << 22;
    ret[ECX] = cache[subleaf].kib * 1024 / 64 / cache[subleaf].ways - 1;
    ret[EDX] = cache[subleaf].shared ? 4 : 0;
}

/* Extended topology: one thread per core, one package. */
static void leaf_topology(const struct cpuid_view *c, const struct x86_cpuid_policy *p,
                          uint32_t subleaf, uint32_t ret[4])
{
    ret[ECX] = subleaf & 0xff;
    ret[EDX] = c->index;
    if (subleaf == 0) {
        ret[EBX] = 1;
        ret[ECX] |= 1u << 8; /* SMT */
    } else if (subleaf == 1) {
        ret[EAX] = log2_up(p->cpu_count);
        ret[EBX] = p->cpu_count;
        ret[ECX] |= 2u << 8; /* core */
    }
}

static uint32_t xsave_len(const struct x86_cpuid_policy *p, uint64_t xcr0, bool compacted)
{
    uint32_t len = 576;

    for (unsigned n = 2; n < 64; n++) {
        if (!(xcr0 >> n & 1))
            continue;
        if (compacted)
            len += p->xsave_size[n];
        else if (p->xsave_offset[n] + p->xsave_size[n] > len)
            len = p->xsave_offset[n] + p->xsave_size[n];
    }
    return len;
}

static void leaf_xsave(const struct cpuid_view *c, const struct x86_cpuid_policy *p,
                       uint32_t subleaf, uint32_t ret[4])
{
    if (!p->feature[X86_FEATURE_XSAVE])
        return;
    if (subleaf == 0) {
        ret[EAX] = (uint32_t)p->xcr0;
        ret[EBX] = xsave_len(p, c->xcr0, false);
        ret[ECX] = xsave_len(p, p->xcr0, false);
    } else if (subleaf == 1) {
        add_features(p, 0xd, 1, ret);
        if (p->feature[X86_FEATURE_XSAVEC]) {
            ret[EAX] |= 1u << 2; /* XGETBV with ECX 1 */
            ret[EBX] = xsave_len(p, c->xcr0, true);
        }
    } else if (subleaf < 64) {
        ret[EAX] = p->xsave_size[subleaf];
        ret[EBX] = p->xsave_offset[subleaf];
    }
}

/* TSC over crystal as a ratio of small numbers: Linux multiplies the crystal's kHz by the
 * numerator in 32 bits. The best one is off by far less than a kHz. */
static void leaf_tsc(const struct x86_cpuid_policy *p, uint32_t ret[4])
{
    const uint64_t crystal_khz = CRYSTAL_HZ / 1000;
    uint64_t best_error = UINT64_MAX, best_den = 1, khz = tsc_rate_khz(p->tsc);

    ret[ECX] = CRYSTAL_HZ;
    for (uint64_t den = 1; den < 4294; den++) {
        uint64_t num = (khz * den + crystal_khz / 2) / crystal_khz;
        uint64_t is = num * crystal_khz, should = khz * den;
        uint64_t error = is > should ? is - should : should - is;

        if (num * crystal_khz > UINT32_MAX)
            break;
        /* error / den against best_error / best_den */
        if (num && (best_error == UINT64_MAX || error * best_den < best_error * den)) {
            best_error = error;
            best_den = den;
            ret[EAX] = (uint32_t)den;
            ret[EBX] = (uint32_t)num;
        }
    }
}

static void leaf_basic(const struct cpuid_view *c, const struct x86_cpuid_policy *p,
                       uint32_t leaf, uint32_t subleaf, uint32_t ret[4])
{
    switch (leaf) {
    case 0:
        ret[EAX] = c->leaf_limit ? 2 : LEAF_MAX;
        set_text(&ret[EBX], "Genu", 1);
        set_text(&ret[EDX], "ineI", 1);
        set_text(&ret[ECX], "ntel", 1);
        break;
    case 1:
        add_features(p, 1, 0, ret);
        leaf_1(c, p, ret);
        break;
    case 2: leaf_2(ret); break;
    case 4: leaf_4(p, subleaf, ret); break;
    case 6: ret[EAX] = 1u << 2; break; /* ARAT: the APIC timer never stops */
    case 7: leaf_7(p, subleaf, ret); break;
    case 0xb: case 0x1f: leaf_topology(c, p, subleaf, ret); break;
    case 0xd: leaf_xsave(c, p, subleaf, ret); break;
    case 0x15: leaf_tsc(p, ret); break;
    case 0x16: ret[EAX] = ret[EBX] = tsc_rate_khz(p->tsc) / 1000; ret[ECX] = 100; break;
    }
}

static void leaf_hypervisor(const struct x86_cpuid_policy *p, uint32_t leaf, uint32_t ret[4])
{
    switch (leaf) {
    case HYPERVISOR_LEAF:
        ret[EAX] = HYPERVISOR_LEAF_MAX;
        set_text(&ret[EBX], "vzvzvzvzvzvz", 3);
        break;
    case 0x40000010:
        ret[EAX] = tsc_rate_khz(p->tsc);
        ret[EBX] = CRYSTAL_HZ / 1000;
        break;
    case KVM_LEAF:
        if (p->no_apic) /* what follows is about its interrupts */
            break;
        ret[EAX] = KVM_LEAF_MAX;
        set_text(&ret[EBX], "KVMKVMKVM\0\0\0", 3);
        break;
    case KVM_LEAF_MAX: ret[EAX] = p->no_apic ? 0 : KVM_NOP_IO_DELAY | KVM_PV_EOI; break;
    }
}

static void leaf_extended(const struct cpuid_view *c, const struct x86_cpuid_policy *p,
                          uint32_t leaf, uint32_t ret[4])
{
    static const char brand[49] = "vz CPU\0";

    switch (leaf) {
    case 0x80000000: ret[EAX] = EXTENDED_LEAF_MAX; break;
    case 0x80000001:
        add_features(p, leaf, 0, ret);
        if (!c->in_64bit) /* SYSCALL is an instruction of 64-bit mode only */
            ret[EDX] &= ~(1u << 11);
        if (c->no_nx)
            ret[EDX] &= ~(1u << 20);
        break;
    case 0x80000002: case 0x80000003: case 0x80000004:
        set_text(ret, brand + (leaf - 0x80000002) * 16, 4);
        break;
    case 0x80000006: ret[ECX] = 64 | 6u << 12 | 1024u << 16; break;
    case 0x80000007: add_features(p, leaf, 0, ret); break;
    case 0x80000008: ret[EAX] = p->phys_bits | 48u << 8; break;
    }
}

void cpuid_policy_query(const struct x86_cpuid_policy *p, const struct cpuid_view *view,
                        uint32_t leaf, uint32_t subleaf, uint32_t ret[4])
{
    ret[EAX] = ret[EBX] = ret[ECX] = ret[EDX] = 0;
    if (leaf >= 0x80000000u && leaf <= EXTENDED_LEAF_MAX)
        leaf_extended(view, p, leaf, ret);
    else if (leaf >= HYPERVISOR_LEAF && leaf < HYPERVISOR_LEAVES_END)
        leaf_hypervisor(p, leaf, ret);
    else /* beyond the last leaf: as the last basic one, SDM vol. 2 */
        leaf_basic(view, p, leaf <= LEAF_MAX ? leaf : LEAF_MAX, subleaf, ret);
}
