/* SPDX-License-Identifier: MIT */
/* FXSAVE, FXRSTOR and the XSAVE family on guest memory. SDM vol. 1, 10.5 and 13.4 to 13.11.
 *
 * The unit saves to and restores from a buffer of ours in the standard format: guest memory may
 * change while it is looked at, and no image that the processor would refuse must ever reach it.
 * What the host's registers do not have (MXCSR's masks, x87 pointers) is put in and taken out.
 *
 * struct insn: aux as in fpu_exec.h; vreg: 1 with REX.W (64-bit pointers). The processor must have
 * been offered these; RFBM is EDX:EAX and XCR0. */
#include "cpu/x86/cpuid.h"
#include "cpu/x86/fpu/fpu_exec.h"

struct xsave_image {
    uint8_t byte[XSAVE_END];
} __attribute__((aligned(64)));

static FPU_LIVE_CODE void native_xsave(struct x86_cpu *c, struct xsave_image *x)
{
    fpu_need_live(c);
    if (c->host_xcr0 & BIT(63))
        __asm__ volatile("xsave64 %0"
                         : "+m"(*x)
                         : "a"((uint32_t)c->host_xcr0 & XCR0_KNOWN), "d"(0));
    else
        __asm__ volatile("fxsave64 %0" : "+m"(*x));
    fpu_live_done(c);
}

static FPU_LIVE_CODE void native_xrstor(struct x86_cpu *c, const struct xsave_image *x)
{
    fpu_need_live(c);
    if (c->host_xcr0 & BIT(63))
        __asm__ volatile("xrstor64 %0"
                         :
                         : "m"(*x), "a"((uint32_t)c->host_xcr0 & XCR0_KNOWN), "d"(0));
    else
        __asm__ volatile("fxrstor64 %0" : : "m"(*x));
    fpu_live_done(c);
}

/* The guest's whole state as it should see it. XSTATE_BV says what is in use. */
static void image_take(struct x86_cpu *c, const struct insn *i, struct xsave_image *x)
{
    uint8_t *p = x->byte;

    fpu_zero(p, XSAVE_END);
    native_xsave(c, x);
    AREA32(p, XSAVE_MXCSR) = (AREA32(p, XSAVE_MXCSR) & ~MXCSR_MASKS) | (c->mxcsr & MXCSR_MASKS);
    AREA32(p, XSAVE_MXCSR_MASK) = MXCSR_VALID;
    AREA16(p, XSAVE_FOP) = c->x87_op;
    AREA64(p, XSAVE_FIP) = i->vreg ? c->x87_ip : (uint32_t)c->x87_ip;
    AREA64(p, XSAVE_FDP) = i->vreg ? c->x87_dp : (uint32_t)c->x87_dp;
    if (AREA32(p, XSAVE_MXCSR) != MXCSR_DEFAULT)
        AREA64(p, XSAVE_BV) |= X86_XCR0_SSE;
    if (c->x87_ip || c->x87_dp || c->x87_op)
        AREA64(p, XSAVE_BV) |= X86_XCR0_X87;
}

/* Make x, complete and checked, the guest's state. restored: the components that it changes. */
static void image_put(struct x86_cpu *c, const struct insn *i, struct xsave_image *x,
                      uint64_t restored)
{
    uint8_t *p = x->byte;

    if (restored & X86_XCR0_X87) {
        bool init = !(AREA64(p, XSAVE_BV) & X86_XCR0_X87);

        c->x87_op = init ? 0 : AREA16(p, XSAVE_FOP) & 0x7ff;
        c->x87_ip = init ? 0 : i->vreg ? AREA64(p, XSAVE_FIP) : AREA32(p, XSAVE_FIP);
        c->x87_dp = init ? 0 : i->vreg ? AREA64(p, XSAVE_FDP) : AREA32(p, XSAVE_FDP);
    }
    fpu_set_mxcsr_masks(c, AREA32(p, XSAVE_MXCSR));
    AREA32(p, XSAVE_MXCSR) |= MXCSR_MASKS;
    AREA64(p, XSAVE_FIP) = AREA64(p, XSAVE_FDP) = 0;
    native_xrstor(c, x);
    fpu_x87_control_changed(c);
}

static unsigned xmm_count(const struct x86_cpu *c)
{
    return in_64bit(c) ? 16 : 8;
}

/* Address of the area, checked for alignment. */
static struct loaded area_address(struct x86_cpu *c, const struct insn *i, unsigned len,
                                  unsigned alignment, bool write)
{
    struct loaded ea = {0, 0};

    if (!fpu_may_run(c, i))
        return ea;
    ea = fpu_ea(c, i, len, write);
    if (ea.ok && (ea.value & (alignment - 1)))
        ea.ok = fpu_fault(c, i, X86_GP, true);
    return ea;
}

/* ---- FXSAVE, FXRSTOR ---- */

static noinline bool do_fxsave(struct x86_cpu *c, const struct insn *i)
{
    struct loaded ea = area_address(c, i, 512, 16, true);
    struct xsave_image x;

    if (!ea.ok || !fpu_probe_write(c, i, ea.value, 512))
        return false;
    image_take(c, i, &x);
    return fpu_write(c, i, ea.value, &x, XSAVE_XMM + 16 * xmm_count(c));
}

static noinline bool do_fxrstor(struct x86_cpu *c, const struct insn *i)
{
    struct loaded ea = area_address(c, i, 512, 16, false);
    struct xsave_image x, old;

    if (!ea.ok || !fpu_read(c, i, ea.value, &x, 512))
        return false;
    if (AREA32(x.byte, XSAVE_MXCSR) & ~MXCSR_VALID)
        return fpu_fault(c, i, X86_GP, true);
    image_take(c, i, &old);
    fpu_copy(old.byte, x.byte, XSAVE_XMM + 16 * xmm_count(c));
    AREA64(old.byte, XSAVE_BV) |= X86_XCR0_X87 | X86_XCR0_SSE;
    image_put(c, i, &old, X86_XCR0_X87);
    return true;
}

void fpu_fxsave(struct x86_cpu *c, const struct insn *i)
{
    if (do_fxsave(c, i))
        NEXT;
}

void fpu_fxrstor(struct x86_cpu *c, const struct insn *i)
{
    if (do_fxrstor(c, i))
        NEXT;
}

/* ---- XSAVE and its variants ---- */

enum save_kind { SAVE_PLAIN, SAVE_OPT, SAVE_COMPACT };

static uint64_t requested(const struct x86_cpu *c)
{
    uint64_t edx_eax = (c->reg[X86_RDX] << 32) | (uint32_t)c->reg[X86_RAX];

    return edx_eax & c->xcr0 & fpu_supported_xcr0(c);
}

static bool xsave_allowed(struct x86_cpu *c, const struct insn *i)
{
    if (!(c->cr4 & X86_CR4_OSXSAVE))
        return fpu_fault(c, i, X86_UD, false);
    if (c->cr0 & X86_CR0_TS)
        return fpu_fault(c, i, X86_NM, false);
    return true;
}

static unsigned area_len(uint64_t components)
{
    return components & X86_XCR0_AVX ? XSAVE_END : XSAVE_AVX;
}

/* Write the components in data from x to the area at va, and MXCSR on its own if asked for. */
static bool write_components(struct x86_cpu *c, const struct insn *i, uint64_t va,
                             const struct xsave_image *x, uint64_t data, bool mxcsr)
{
    const uint8_t *p = x->byte;

    if ((data & X86_XCR0_X87) &&
        (!fpu_write(c, i, va, p, XSAVE_MXCSR) ||
         !fpu_write(c, i, va + XSAVE_ST, p + XSAVE_ST, XSAVE_XMM - XSAVE_ST)))
        return false;
    if (mxcsr && !fpu_write(c, i, va + XSAVE_MXCSR, p + XSAVE_MXCSR, 8))
        return false;
    if ((data & X86_XCR0_SSE) &&
        !fpu_write(c, i, va + XSAVE_XMM, p + XSAVE_XMM, 16 * xmm_count(c)))
        return false;
    return !(data & X86_XCR0_AVX) ||
           fpu_write(c, i, va + XSAVE_AVX, p + XSAVE_AVX, 16 * xmm_count(c));
}

static noinline bool save(struct x86_cpu *c, const struct insn *i, enum save_kind kind)
{
    uint64_t rfbm = requested(c), in_use, data, header[2] = {0, 0};
    struct xsave_image x;
    struct loaded ea;
    bool mxcsr;

    if (!xsave_allowed(c, i))
        return false;
    ea = area_address(c, i, area_len(rfbm), 64, true);
    if (!ea.ok || !fpu_probe_write(c, i, ea.value, area_len(rfbm)))
        return false;
    if (kind != SAVE_COMPACT && !fpu_read(c, i, ea.value + XSAVE_BV, header, 8))
        return false;
    image_take(c, i, &x);
    in_use = AREA64(x.byte, XSAVE_BV) & rfbm;
    data = kind == SAVE_PLAIN ? rfbm : in_use;
    mxcsr = kind == SAVE_COMPACT ? data & X86_XCR0_SSE : rfbm & (X86_XCR0_SSE | X86_XCR0_AVX);
    header[0] = (header[0] & ~rfbm) | in_use;
    header[1] = rfbm | BIT(63);
    return write_components(c, i, ea.value, &x, data, mxcsr) &&
           fpu_write(c, i, ea.value + XSAVE_BV, header, kind == SAVE_COMPACT ? 16 : 8);
}

void fpu_xsave(struct x86_cpu *c, const struct insn *i)
{
    if (save(c, i, SAVE_PLAIN))
        NEXT;
}

void fpu_xsaveopt(struct x86_cpu *c, const struct insn *i)
{
    if (save(c, i, SAVE_OPT))
        NEXT;
}

void fpu_xsavec(struct x86_cpu *c, const struct insn *i)
{
    if (save(c, i, SAVE_COMPACT))
        NEXT;
}

/* ---- XRSTOR ---- */

/* Components that a program's area may name though the guest has them not: where programs run directly on the
 * host's processor (direct/) its XSAVEC counts in all of the host's that were asked for (glibc's lazy binding asks
 * for AVX-512's), in their initial state and behind AVX, and the program may be ours when it restores them. */
static uint64_t foreign(const struct x86_cpu *c)
{
    return c->vm->direct && c->cpl == 3 ? ~(uint64_t)(X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX) & ~BIT(63) : 0;
}

/* SDM vol. 1, 13.8.1: conditions for #GP in the header. */
static bool header_ok(const struct x86_cpu *c, const uint8_t *p)
{
    uint64_t bv = AREA64(p, XSAVE_BV) & ~foreign(c), comp = AREA64(p, XSAVE_COMP_BV) & ~foreign(c);
    uint64_t reserved = AREA64(p, XSAVE_RESERVED);

    if (!(comp & BIT(63))) /* only bytes 23:8 are looked at in the standard form */
        return !(bv & ~c->xcr0) && !comp && !reserved;
    for (unsigned k = XSAVE_RESERVED + 8; k < XSAVE_AVX; k += 8)
        reserved |= AREA64(p, k);
    comp &= ~BIT(63);
    return c->vm->cpuid->feature[X86_FEATURE_XSAVEC] && !(comp & ~c->xcr0) && !(bv & ~comp) &&
           !reserved;
}

static bool uses_mxcsr(const uint8_t *p, uint64_t rfbm)
{
    if (AREA64(p, XSAVE_COMP_BV) & BIT(63))
        return (rfbm & X86_XCR0_SSE) && (AREA64(p, XSAVE_BV) & X86_XCR0_SSE);
    return rfbm & (X86_XCR0_SSE | X86_XCR0_AVX);
}

/* One component of to from the image from, or its initial state. */
static void take_component(uint8_t *to, const uint8_t *from, uint64_t bit, unsigned off,
                           unsigned len)
{
    AREA64(to, XSAVE_BV) |= bit;
    if (AREA64(from, XSAVE_BV) & bit)
        fpu_copy(to + off, from + off, len);
    else
        fpu_zero(to + off, len);
}

static void take_x87(uint8_t *to, const uint8_t *from)
{
    take_component(to, from, X86_XCR0_X87, XSAVE_FCW, XSAVE_MXCSR);
    take_component(to, from, X86_XCR0_X87, XSAVE_ST, XSAVE_XMM - XSAVE_ST);
    if (!(AREA64(from, XSAVE_BV) & X86_XCR0_X87)) {
        AREA16(to, XSAVE_FCW) = FCW_DEFAULT;
        AREA64(to, XSAVE_BV) &= ~(uint64_t)X86_XCR0_X87;
    }
}

/* Outside 64-bit mode the upper eight registers stay; in it, initial states stay known as such. */
static void take_vectors(struct x86_cpu *c, uint8_t *to, const uint8_t *from, uint64_t bit,
                         unsigned off)
{
    take_component(to, from, bit, off, 16 * xmm_count(c));
    if (in_64bit(c) && !(AREA64(from, XSAVE_BV) & bit))
        AREA64(to, XSAVE_BV) &= ~bit;
}

static noinline bool restore(struct x86_cpu *c, const struct insn *i)
{
    uint64_t rfbm = requested(c);
    struct xsave_image x, now;
    struct loaded ea;

    if (!xsave_allowed(c, i))
        return false;
    ea = area_address(c, i, area_len(rfbm), 64, false);
    if (!ea.ok || !fpu_read(c, i, ea.value, &x, XSAVE_AVX))
        return false;
    if (!header_ok(c, x.byte) ||
        (uses_mxcsr(x.byte, rfbm) && (AREA32(x.byte, XSAVE_MXCSR) & ~MXCSR_VALID)))
        return fpu_fault(c, i, X86_GP, true);
    if ((rfbm & AREA64(x.byte, XSAVE_BV) & X86_XCR0_AVX) &&
        !fpu_read(c, i, ea.value + XSAVE_AVX, x.byte + XSAVE_AVX, XSAVE_END - XSAVE_AVX))
        return false;
    image_take(c, i, &now);
    if (rfbm & X86_XCR0_X87)
        take_x87(now.byte, x.byte);
    if (rfbm & X86_XCR0_SSE)
        take_vectors(c, now.byte, x.byte, X86_XCR0_SSE, XSAVE_XMM);
    if (rfbm & X86_XCR0_AVX)
        take_vectors(c, now.byte, x.byte, X86_XCR0_AVX, XSAVE_AVX);
    if (uses_mxcsr(x.byte, rfbm))
        AREA32(now.byte, XSAVE_MXCSR) = AREA32(x.byte, XSAVE_MXCSR);
    else if (rfbm & X86_XCR0_SSE)
        AREA32(now.byte, XSAVE_MXCSR) = MXCSR_DEFAULT;
    image_put(c, i, &now, rfbm);
    return true;
}

/* Ends the block, as its table row says. */
void fpu_xrstor(struct x86_cpu *c, const struct insn *i)
{
    if (restore(c, i))
        insn_end(c, i);
}
