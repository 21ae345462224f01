/* SPDX-License-Identifier: MIT */
/* Model-specific registers, XCR0, the TSC, the local APIC's modes: what can be written, what reads
 * back, what is refused. SDM vol. 3, 2.6, 10.4, 10.12, 17.17, and vol. 4. */
#include "guest.h"

#define NOT_CANONICAL UINT64_C(0xaaaa000000000000)
#define ADDRESS       UINT64_C(0x0000123456789abc)
#define APIC_BASE     0x1b
#define APIC_EN       UINT64_C(0x800)
#define APIC_EXTD     UINT64_C(0x400)

struct access {
    uint32_t index;
    uint64_t value;
};

static void do_write(void *p)
{
    struct access *a = p;

    wrmsr(a->index, a->value);
}

static void do_read(void *p)
{
    struct access *a = p;

    a->value = rdmsr(a->index);
}

static bool refused(uint32_t msr, uint64_t value)
{
    struct access a = {msr, value};

    return catch_exception(do_write, &a, NULL) == 13;
}

static bool absent(uint32_t msr)
{
    struct access a = {msr, 0};

    return catch_exception(do_read, &a, NULL) == 13 && refused(msr, 0);
}

static void keeps(const char *name, uint32_t msr, uint64_t value)
{
    uint64_t was = rdmsr(msr), got;

    wrmsr(msr, value);
    got = rdmsr(msr);
    wrmsr(msr, was);
    CHECK_EQ(name, got, value);
}

static void address(const char *name, uint32_t msr)
{
    keeps(name, msr, ADDRESS);
    CHECK("  a non-canonical one is refused", refused(msr, NOT_CANONICAL));
}

static void model_specific(void)
{
    uint64_t misc = rdmsr(0x1a0);

    keeps("SYSENTER_CS", 0x174, 0x1234);
    address("SYSENTER_ESP", 0x175);
    address("SYSENTER_EIP", 0x176);
    keeps("MISC_ENABLE", 0x1a0, (0x400c50809 & ~0x1880ull) | (misc & 0x1880));
    CHECK("  a reserved bit is refused", refused(0x1a0, misc | 1ull << 63));
    keeps("DEBUGCTL", 0x1d9, 3);
    CHECK("  a reserved bit is refused", refused(0x1d9, 4));
    keeps("PAT", 0x277, 0x07070707);
    CHECK("  a reserved type is refused", refused(0x277, 0x02) && refused(0x277, 0x0800));
    address("FS.base", 0xc0000100);
    address("GS.base", 0xc0000101);
    address("KERNEL_GS_BASE", 0xc0000102);
    address("LSTAR", 0xc0000082);
    address("CSTAR", 0xc0000083);
    keeps("FMASK", 0xc0000084, 0xffffffff);
    keeps("STAR", 0xc0000081, 0x0023001012345678);
    keeps("EFER.SCE", 0xc0000080, rdmsr(0xc0000080) | 1);
    CHECK("EFER: a reserved bit is refused", refused(0xc0000080, rdmsr(0xc0000080) | 2));
    CHECK("  LME cannot go while paging is on", refused(0xc0000080, rdmsr(0xc0000080) & ~0x100ull));
    for (unsigned bank = (unsigned)rdmsr(0x179) & 0xff; bank < 32; bank++)
        if (!absent(0x400 + 4 * bank) || !absent(0x403 + 4 * bank))
            CHECK_EQ("a machine check bank that is not there", bank, 99);
    CHECK("an unknown MSR is refused", absent(0x12345678));
}

/* ---- the TSC ---- */

static void time_stamp(void)
{
    const uint64_t far = 100000000000ull;
    uint64_t before = rdtsc(), adjust;

    CHECK_EQ("TSC_ADJUST starts at 0", rdmsr(0x3b), 0);
    wrmsr(0x3b, far);
    CHECK("  moves the TSC", rdtsc() - before >= far);
    CHECK_EQ("  reads back", rdmsr(0x3b), far);
    wrmsr(0x3b, 0);
    before = rdtsc();
    wrmsr(0x10, far);
    adjust = rdmsr(0x3b);
    CHECK("the TSC can be written", rdtsc() >= far && rdtsc() < 2 * far);
    CHECK("  TSC_ADJUST tells by how much", before <= far - adjust);
    wrmsr(0x3b, 0);
    CHECK("  and takes it back", rdtsc() >= before);
}

/* ---- XCR0 ---- */

struct xcr {
    uint64_t index, value;
};

static void do_xsetbv(void *p)
{
    struct xcr *x = p;

    __asm__ volatile("xsetbv" : : "c"(x->index), "a"((uint32_t)x->value),
                     "d"((uint32_t)(x->value >> 32)));
}

static void do_xgetbv(void *p)
{
    struct xcr *x = p;
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(x->index));
    x->value = (uint64_t)hi << 32 | lo;
}

static int xsetbv(uint64_t index, uint64_t value)
{
    struct xcr x = {index, value};

    return catch_exception(do_xsetbv, &x, NULL);
}

static int xgetbv(uint64_t index, uint64_t *ret)
{
    struct xcr x = {index, 0};
    int vector = catch_exception(do_xgetbv, &x, NULL);

    *ret = x.value;
    return vector;
}

static uint32_t cpuid(uint32_t leaf, unsigned reg) /* 0: EAX .. 3: EDX */
{
    uint32_t r[4];

    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(0));
    return r[reg];
}

static void extended_state(void)
{
    uint64_t cr4 = READ_CR(4), v;
    bool ok = true;

    WRITE_CR(4, cr4 & ~0x40000ull);
    CHECK_EQ("without CR4.OSXSAVE CPUID says so", cpuid(1, 2) >> 27 & 1, 0);
    CHECK_EQ("  XGETBV is #UD", xgetbv(0, &v), 6);
    CHECK_EQ("  XSETBV is #UD", xsetbv(0, 3), 6);
    WRITE_CR(4, cr4 | 0x40000);
    CHECK_EQ("with it CPUID says so", cpuid(1, 2) >> 27 & 1, 1);
    CHECK_EQ("x87 alone", xsetbv(0, 1), -1);
    CHECK_EQ("x87 and SSE", xsetbv(0, 3), -1);
    CHECK_EQ("x87, SSE, AVX", xsetbv(0, 7), -1);
    CHECK_EQ("RCX's upper half does not count", xsetbv(UINT64_C(0xdead00000000), 7), -1);
    CHECK_EQ("  for XGETBV too", xgetbv(UINT64_C(0xdead00000000), &v), -1);
    CHECK_EQ("  what it reads", v, 7);
    CHECK_EQ("nothing: #GP", xsetbv(0, 0), 13);
    CHECK_EQ("SSE without x87: #GP", xsetbv(0, 2), 13);
    CHECK_EQ("AVX without SSE: #GP", xsetbv(0, 5), 13);
    CHECK_EQ("AVX alone: #GP", xsetbv(0, 4), 13);
    for (unsigned i = 1; i < 64; i++) {
        ok &= i == 1 || xgetbv(i, &v) == 13;
        ok &= xsetbv(i, 1) == 13 && xsetbv(i, 3) == 13;
        ok &= i > 31 || (xsetbv(UINT64_C(1) << i, 3) == 13 && (i == 0 || xgetbv(UINT64_C(1) << i, &v) == 13 || i == 0));
    }
    CHECK("other XCRs: #GP", ok);
    WRITE_CR(4, cr4);
}

/* ---- the local APIC's modes ---- */

static void apic_modes(void)
{
    uint64_t base = rdmsr(APIC_BASE), off = base & ~(APIC_EN | APIC_EXTD);
    uint32_t version = apic_read(0x30);

    CHECK("xAPIC at first", (base & (APIC_EN | APIC_EXTD)) == APIC_EN);
    CHECK("off to x2APIC without EN is refused", refused(APIC_BASE, off | APIC_EXTD));
    wrmsr(APIC_BASE, base | APIC_EXTD);
    CHECK("x2APIC to EXTD alone is refused", refused(APIC_BASE, off | APIC_EXTD));
    CHECK("x2APIC to xAPIC is refused", refused(APIC_BASE, off | APIC_EN));
    CHECK_EQ("  the version by MSR", rdmsr(0x803), version);
    CHECK("  the id is read only", refused(0x802, 1));
    CHECK_EQ("  memory shows nothing of it", apic_read(0x30), 0xffffffff);
    wrmsr(APIC_BASE, off);
    CHECK("off: EXTD alone is refused", refused(APIC_BASE, off | APIC_EXTD));
    CHECK("  EN and EXTD at once are refused", refused(APIC_BASE, off | APIC_EN | APIC_EXTD));
    CHECK_EQ("  CPUID hides it", cpuid(1, 3) >> 9 & 1, 0);
    CHECK_EQ("  memory shows nothing of it", apic_read(0x30), 0xffffffff);
    WRITE_CR(8, 5);
    CHECK_EQ("  CR8 works", READ_CR(8), 5);
    WRITE_CR(8, 0);
    wrmsr(APIC_BASE, off | APIC_EN);
    CHECK_EQ("on again: CPUID shows it", cpuid(1, 3) >> 9 & 1, 1);
    CHECK_EQ("  the version by memory", apic_read(0x30), version);
    WRITE_CR(8, 5);
    CHECK_EQ("  CR8 is the TPR", apic_read(0x80), 0x50);
    WRITE_CR(8, 0);
    CHECK("a reserved address bit is refused", refused(APIC_BASE, base | 1ull << 52));
    CHECK("a reserved low bit is refused", refused(APIC_BASE, base | 1));
    wrmsr(APIC_BASE, off);
    wrmsr(APIC_BASE, 0xfed40000 | (base & 0x100) | APIC_EN);
    CHECK_EQ("it can be moved", *(volatile uint32_t *)0xfed40030, version);
    wrmsr(APIC_BASE, off);
    wrmsr(APIC_BASE, base);
    CHECK_EQ("  and back", apic_read(0x30), version);
}

/* ---- its timer's count ---- */

static uint32_t counted_to(uint32_t below)
{
    uint32_t now;

    do {
        now = apic_read(0x390);
    } while (now > below);
    return now;
}

static void apic_timer_modes(void)
{
    const uint32_t initial = 0x999999;
    uint32_t now = 0;

    apic_enable();
    apic_write(0x3e0, 0xb);
    apic_write(0x320, 0x10070); /* masked, one-shot */
    apic_write(0x380, initial);
    apic_write(0x320, 0x30070); /* periodic */
    CHECK_EQ("a change of mode leaves the initial count", apic_read(0x380), initial);
    apic_write(0x320, 0x10070);
    for (unsigned tries = 0; tries < 1000 && !now; tries++) {
        apic_write(0x380, initial);
        now = apic_read(0x390);
    }
    CHECK("it counts", now > 0);
    CHECK_EQ("one-shot stays at 0", counted_to(0), 0);
    /* On a busy host it may run out before the mode is changed, and stays at 0 then: again. */
    for (unsigned tries = 0; tries < 1000; tries++) {
        apic_write(0x320, 0x10070);
        apic_write(0x380, initial);
        counted_to(initial / 2);
        apic_write(0x320, 0x30070);
        now = apic_read(0x390);
        if (now && now <= initial / 2)
            break;
    }
    CHECK("periodic goes on from where it was", now > 0 && now <= initial / 2);
    for (unsigned tries = 0; tries < 100000000 && now && now <= initial / 2; tries++)
        now = apic_read(0x390);
    CHECK("  and begins again", now > initial / 2);
    apic_write(0x320, 0x10070);
    CHECK_EQ("one-shot again: the initial count is still there", apic_read(0x380), initial);
    apic_write(0x380, initial);
    apic_write(0x380, 0);
    CHECK_EQ("0 stops it", apic_read(0x390), 0);
}

/* REX.R means nothing where ModRM names a segment register. Often enough to be translated. */
static void selectors(void)
{
    uint64_t plain, extended, wrong = 0;

    for (unsigned n = 0; n < 1000; n++) {
        __asm__ volatile("mov %%ss, %%eax" : "=a"(plain));
        __asm__ volatile(".byte 0x44, 0x8c, 0xd0" : "=a"(extended));
        wrong += (uint32_t)plain != (uint32_t)extended;
    }
    CHECK_EQ("MOV from SS with REX.R", wrong, 0);
}

int guest_main(void)
{
    selectors();
    model_specific();
    time_stamp();
    extended_state();
    apic_modes();
    apic_timer_modes();
    return check_failures();
}
