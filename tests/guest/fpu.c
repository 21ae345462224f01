/* SPDX-License-Identifier: MIT */
/* When vector and x87 instructions fault, and what FXSAVE and XSAVE keep. SDM vol. 1, 8.7, 11.5,
 * 13; vol. 3, 2.5. */
#include "guest.h"

static uint8_t area[4096] __attribute__((aligned(64)));

static void fld1(void *arg) { __asm__ volatile("fninit; fld1"); }
static void wait(void *arg) { __asm__ volatile("fwait"); }
static void sse(void *arg) { __asm__ volatile("xorps %xmm0, %xmm0"); }
static void avx(void *arg) { __asm__ volatile("vxorps %ymm0, %ymm0, %ymm0"); }
static void xgetbv(void *arg) { __asm__ volatile("xgetbv" : : "c"(0) : "rax", "rdx"); }
static void fxsave(void *p) { __asm__ volatile("fxsave (%0)" : : "r"(p) : "memory"); }
static void fxrstor(void *p) { __asm__ volatile("fxrstor (%0)" : : "r"(p) : "memory"); }

static void xsave(void *p)
{
    __asm__ volatile("xsave (%0)" : : "r"(p), "a"(-1), "d"(-1) : "memory");
}

static void xrstor(void *p)
{
    __asm__ volatile("xrstor (%0)" : : "r"(p), "a"(-1), "d"(-1) : "memory");
}

static void ldmxcsr(void *p)
{
    __asm__ volatile("ldmxcsr (%0)" : : "r"(p));
}

static void divide_sse(void *p)
{
    uint32_t mxcsr = 0x1f80 & ~0x200; /* ZM clear */

    __asm__ volatile("ldmxcsr %0; xorps %%xmm1, %%xmm1; cvtsi2ss %1, %%xmm0; divss %%xmm1, %%xmm0"
                     : : "m"(mxcsr), "r"(1));
}

extern char divide_at[];

static void divide_x87(void *p)
{
    uint16_t fcw = 0x37f & ~4;

    __asm__ volatile("fninit; fldcw %0; fld1; fldz; divide_at: fdivrp; nop; fwait" : : "m"(fcw));
}

static void faults(void)
{
    const uint64_t cr0 = READ_CR(0), cr4 = READ_CR(4);

    WRITE_CR(0, cr0 | 8);
    CHECK_EQ("x87 with TS", catch_exception(fld1, NULL, NULL), 7);
    CHECK_EQ("SSE with TS", catch_exception(sse, NULL, NULL), 7);
    CHECK_EQ("FXSAVE with TS", catch_exception(fxsave, area, NULL), 7);
    CHECK_EQ("FWAIT with TS and MP", catch_exception(wait, NULL, NULL), 7);
    WRITE_CR(0, (cr0 | 8) & ~UINT64_C(2));
    CHECK_EQ("FWAIT with TS without MP", catch_exception(wait, NULL, NULL), -1);
    __asm__ volatile("clts");
    CHECK_EQ("after CLTS", catch_exception(sse, NULL, NULL), -1);
    WRITE_CR(0, cr0 | 4);
    CHECK_EQ("x87 with EM", catch_exception(fld1, NULL, NULL), 7);
    CHECK_EQ("SSE with EM", catch_exception(sse, NULL, NULL), 6);
    WRITE_CR(0, cr0);
    WRITE_CR(4, cr4 & ~UINT64_C(0x200));
    CHECK_EQ("SSE without OSFXSR", catch_exception(sse, NULL, NULL), 6);
    WRITE_CR(4, cr4);
    CHECK_EQ("AVX without OSXSAVE", catch_exception(avx, NULL, NULL), 6);
    CHECK_EQ("XGETBV without OSXSAVE", catch_exception(xgetbv, NULL, NULL), 6);
    CHECK_EQ("FXSAVE off 16 bytes", catch_exception(fxsave, area + 8, NULL), 13);
    *(uint32_t *)area = 0xffff0000;
    CHECK_EQ("reserved bits of MXCSR", catch_exception(ldmxcsr, area, NULL), 13);
}

static void numeric(void)
{
    const uint64_t cr4 = READ_CR(4);
    uint32_t mxcsr = 0x1f80;
    struct frame f;

    CHECK_EQ("divide by zero in SSE", catch_exception(divide_sse, NULL, &f), 19);
    WRITE_CR(4, cr4 & ~UINT64_C(0x400));
    CHECK_EQ("  without OSXMMEXCPT", catch_exception(divide_sse, NULL, &f), 6);
    WRITE_CR(4, cr4);
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    CHECK_EQ("divide by zero in x87", catch_exception(divide_x87, NULL, &f), 16);
    __asm__ volatile("fxsave64 %0" : "=m"(area));
    CHECK_EQ("  FIP is the guest's", *(uint64_t *)(area + 8), (uint64_t)divide_at);
    CHECK_EQ("  status", *(uint16_t *)(area + 2) & 0x84, 0x84);
    __asm__ volatile("fninit");
}

static void saved(void)
{
    uint64_t v[2] = {UINT64_C(0x1122334455667788), 99}, w[2];

    if (catch_exception(fld1, NULL, NULL) != -1)
        return;
    __asm__ volatile("movups %0, %%xmm9" : : "m"(v));
    fxsave(area);
    CHECK_EQ("FXSAVE: XMM9", *(uint64_t *)(area + 160 + 16 * 9), v[0]);
    CHECK_EQ("  tags", area[4], 0x80);
    *(uint64_t *)(area + 160 + 16 * 9) = 5;
    fxrstor(area);
    __asm__ volatile("movups %%xmm9, %0" : "=m"(w));
    CHECK_EQ("FXRSTOR: XMM9", w[0], 5);
    *(uint32_t *)(area + 24) = 0xffffffff;
    CHECK_EQ("FXRSTOR of a bad MXCSR", catch_exception(fxrstor, area, NULL), 13);
}

static void extended(void)
{
    uint32_t eax = 1, ecx = 0, lo, hi;

    __asm__("cpuid" : "+a"(eax), "+c"(ecx) : : "rbx", "rdx");
    if (!(ecx >> 26 & 1))
        return;
    WRITE_CR(4, READ_CR(4) | 0x40000);
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    CHECK_EQ("XCR0 after reset", lo, 1);
    CHECK_EQ("AVX that XCR0 does not have", catch_exception(avx, NULL, NULL), 6);
    if (ecx >> 28 & 1) {
        __asm__ volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
        CHECK_EQ("AVX", catch_exception(avx, NULL, NULL), -1);
    } else {
        __asm__ volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
    }
    memset(area, 0, sizeof(area));
    CHECK_EQ("XSAVE off 64 bytes", catch_exception(xsave, area + 16, NULL), 13);
    sse(NULL);
    fld1(NULL);
    CHECK_EQ("XSAVE", catch_exception(xsave, area, NULL), -1);
    CHECK("  XSTATE_BV has x87", area[512] & 1);
    CHECK_EQ("XRSTOR", catch_exception(xrstor, area, NULL), -1);
    *(uint64_t *)(area + 512) |= UINT64_C(1) << 40;
    CHECK_EQ("XRSTOR of an unknown component", catch_exception(xrstor, area, NULL), 13);
    *(uint64_t *)(area + 512) = 0;
    area[528] = 1;
    CHECK_EQ("XRSTOR of a bad header", catch_exception(xrstor, area, NULL), 13);
    area[528] = 0;
    CHECK_EQ("XRSTOR of nothing", catch_exception(xrstor, area, NULL), -1);
    fxsave(area);
    CHECK_EQ("  leaves x87 as FNINIT does", area[4], 0);
}

/* Aligned operands that the CPU has to handle piece by piece: beside code, and where no RAM is. */
static void slow_operands(void)
{
    uint8_t *page = alloc_page();
    const uint64_t want = UINT64_C(0x1122334455667788), hole = UINT64_C(0xffffffffffffffff);
    uint64_t got[4] __attribute__((aligned(32))) = {0};
    uint32_t eax = 1, ecx;

    page[0] = 0xc3;
    for (unsigned n = 0; n < 100; n++)
        ((void (*)(void))page)();
    __asm__ volatile("movq %0, %%xmm1; movdqa %%xmm1, 64(%1); movaps %%xmm1, 80(%1); movntdq %%xmm1, 96(%1)"
                     : : "r"(want), "r"(page) : "memory");
    CHECK_EQ("MOVDQA beside code", *(uint64_t *)(page + 64), want);
    CHECK_EQ("MOVNTDQ beside code", *(uint64_t *)(page + 96), want);
    __asm__ volatile("movdqa (%1), %%xmm1; movdqa %%xmm1, %0" : "=m"(got) : "r"(UINT64_C(0xe0000000)));
    CHECK_EQ("MOVDQA from nothing", got[1], hole);
    __asm__("cpuid" : "+a"(eax), "=c"(ecx) : : "rbx", "rdx");
    if (!(ecx >> 28 & 1))
        return;
    ((void (*)(void))page)();
    __asm__ volatile("vpbroadcastq %%xmm1, %%ymm1; vmovq %0, %%xmm2; vinserti128 $1, %%xmm2, %%ymm2, %%ymm2\n"
                     "vmovdqa %%ymm2, 128(%1); vmovaps %%ymm2, 160(%1); vmovntdq %%ymm2, 192(%1)"
                     : : "r"(want), "r"(page) : "memory");
    CHECK_EQ("VMOVDQA beside code", *(uint64_t *)(page + 128 + 16), want);
    CHECK_EQ("VMOVAPS beside code", *(uint64_t *)(page + 160), want);
    CHECK_EQ("VMOVNTDQ beside code", *(uint64_t *)(page + 192 + 16), want);
    __asm__ volatile("vmovdqa (%1), %%ymm1; vmovdqa %%ymm1, %0; vzeroupper" : "=m"(got) : "r"(UINT64_C(0xe0000000)));
    CHECK_EQ("VMOVDQA from nothing", got[3], hole);
}

int guest_main(void)
{
    faults();
    numeric();
    saved();
    extended();
    slow_operands();
    return check_failures();
}
