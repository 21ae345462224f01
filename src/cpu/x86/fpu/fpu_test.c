/* SPDX-License-Identifier: MIT */
/* What only a guest can tell: traps, exceptions, faults in the middle of an instruction, masked
 * accesses, areas of the XSAVE family, formats of the modes. */
#include "cpu/x86/fpu/fpu_rig.h"

static void put64(struct rig *r, uint64_t at, uint64_t v)
{
    memcpy(r->ram + at, &v, 8);
}

static uint64_t get64(const struct rig *r, uint64_t at)
{
    uint64_t v;

    memcpy(&v, r->ram + at, 8);
    return v;
}

static uint64_t xmm_low(struct rig *r, unsigned n)
{
    fpu_park(r->c);
    return AREA64(r->c->xsave, XSAVE_XMM + 16 * n);
}

START_TEST(state_bits_decide_between_ud_and_nm)
{
    struct rig r;

    rig_open(&r);
    r.c->cr0 |= X86_CR0_TS;
    fpu_mode_changed(r.c);
    RUN_FAULT(&r, X86_NM, 0x0f, 0x58, 0xc1);             /* addps */
    RUN_FAULT(&r, X86_NM, 0xd9, 0xe8);                   /* fld1 */
    RUN_FAULT(&r, X86_NM, 0x0f, 0x77);                   /* emms */
    RUN_FAULT(&r, X86_NM, 0xc5, 0xf0, 0x58, 0xc2);       /* vaddps */
    RUN_FAULT(&r, X86_NM, 0x9b);                         /* fwait, MP set */
    r.c->cr0 &= ~(uint64_t)X86_CR0_MP;
    fpu_mode_changed(r.c);
    RUN_OK(&r, 0x9b);
    r.c->cr0 = (r.c->cr0 & ~(uint64_t)X86_CR0_TS) | X86_CR0_EM;
    fpu_mode_changed(r.c);
    RUN_FAULT(&r, X86_UD, 0x0f, 0x58, 0xc1);
    RUN_FAULT(&r, X86_UD, 0x0f, 0x77);
    RUN_FAULT(&r, X86_NM, 0xd9, 0xe8);
    RUN_OK(&r, 0xc5, 0xf0, 0x58, 0xc2);                  /* EM says nothing of AVX */
    r.c->cr0 &= ~(uint64_t)X86_CR0_EM;
    r.c->cr4 &= ~(uint64_t)X86_CR4_OSFXSR;
    r.c->xcr0 = 3;
    fpu_mode_changed(r.c);
    RUN_FAULT(&r, X86_UD, 0x0f, 0x58, 0xc1);
    RUN_FAULT(&r, X86_UD, 0xc5, 0xf0, 0x58, 0xc2);
    RUN_OK(&r, 0x0f, 0xfc, 0xc1);                        /* paddb mm */
    rig_close(&r);
}
END_TEST

START_TEST(operands_cross_pages_and_faults_change_nothing)
{
    struct rig r;

    rig_open(&r);
    put64(&r, AFTER - 8 + 0x1000, 0x1122334455667788);
    put64(&r, AFTER + 0x1000, 0x99aabbccddeeff00);
    r.c->reg[X86_RSI] = AFTER + 0x1000 - 8;
    RUN_OK(&r, 0x0f, 0x10, 0x06); /* movups xmm0, [rsi] */
    ck_assert_uint_eq(xmm_low(&r, 0), 0x1122334455667788);
    RUN_FAULT(&r, X86_GP, 0x0f, 0x28, 0x06); /* movaps */
    r.c->reg[X86_RSI] = GAP - 8;
    put64(&r, GAP - 8, 77);
    RUN_FAULT(&r, X86_PF, 0x0f, 0x11, 0x06); /* movups [rsi], xmm0 */
    ck_assert_uint_eq(r.c->cr2, GAP);
    ck_assert_uint_eq(get64(&r, GAP - 8), 77);
    RUN_FAULT(&r, X86_PF, 0x0f, 0x10, 0x0e);
    ck_assert_uint_eq(xmm_low(&r, 1), 0);
    RUN_OK(&r, 0x0f, 0x13, 0x06); /* movlps */
    ck_assert_uint_eq(get64(&r, GAP - 8), 0x1122334455667788);
    r.c->reg[X86_RSI] = UINT64_C(0x800000000000);
    RUN_FAULT(&r, X86_GP, 0x0f, 0x10, 0x06);
    rig_close(&r);
}
END_TEST

START_TEST(masked_elements_do_not_fault)
{
    struct rig r;

    rig_open(&r);
    for (unsigned k = 0; k < 16; k++)
        r.ram[DATA + k] = k < 8 ? 0x80 : 0;
    r.c->reg[X86_RSI] = DATA;
    RUN_OK(&r, 0x0f, 0x10, 0x0e); /* movups xmm1, [rsi]: the lower half selected */
    put64(&r, GAP - 8, 0x5566778811223344);
    r.c->reg[X86_RSI] = GAP - 8;
    RUN_OK(&r, 0xc4, 0xe2, 0x71, 0x2c, 0x06); /* vmaskmovps xmm0, xmm1, [rsi]: bytes 3 and 7 */
    ck_assert_uint_eq(xmm_low(&r, 0), 0x5566778811223344);
    put64(&r, GAP - 8, 0);
    RUN_OK(&r, 0xc4, 0xe2, 0x71, 0x2e, 0x06); /* vmaskmovps [rsi], xmm1, xmm0 */
    ck_assert_uint_eq(get64(&r, GAP - 8), 0x5566778811223344);
    put64(&r, GAP - 8, 0);
    r.c->reg[X86_RDI] = GAP - 8;
    RUN_OK(&r, 0x66, 0x0f, 0xf7, 0xc1); /* maskmovdqu xmm0, xmm1 */
    ck_assert_uint_eq(get64(&r, GAP - 8), 0x5566778811223344);
    r.c->reg[X86_RSI] = r.c->reg[X86_RDI] = GAP - 4;
    RUN_FAULT(&r, X86_PF, 0xc4, 0xe2, 0x71, 0x2c, 0x06);
    RUN_FAULT(&r, X86_PF, 0x66, 0x0f, 0xf7, 0xc1);
    rig_close(&r);
}
END_TEST

/* Selected: elements 0 and 2 of four bytes each. */
START_TEST(masked_stores_fault_at_the_first_byte_they_would_write)
{
    struct rig r;

    rig_open(&r);
    for (unsigned k = 0; k < 16; k++)
        r.ram[DATA + k] = k & 4 ? 0 : 0x80;
    r.c->reg[X86_RSI] = DATA;
    RUN_OK(&r, 0x0f, 0x10, 0x0e); /* movups xmm1, [rsi] */
    put64(&r, GAP - 8, 77);
    r.c->reg[X86_RSI] = r.c->reg[X86_RDI] = GAP - 4;
    RUN_FAULT(&r, X86_PF, 0xc4, 0xe2, 0x71, 0x2e, 0x06); /* vmaskmovps [rsi], xmm1, xmm0 */
    ck_assert_uint_eq(r.c->cr2, GAP + 4);
    RUN_FAULT(&r, X86_PF, 0x66, 0x0f, 0xf7, 0xc1); /* maskmovdqu xmm0, xmm1 */
    ck_assert_uint_eq(r.c->cr2, GAP + 4);
    r.c->reg[X86_RSI] = GAP - 2; /* the first element lies across: where its second page begins */
    RUN_FAULT(&r, X86_PF, 0xc4, 0xe2, 0x71, 0x2e, 0x06);
    ck_assert_uint_eq(r.c->cr2, GAP);
    ck_assert_uint_eq(get64(&r, GAP - 8), 77); /* all or nothing */
    rig_close(&r);
}
END_TEST

/* vpgatherqq ymm0, [rsi + ymm2 * 8], ymm1 */
START_TEST(gathers_can_be_restarted_after_a_fault)
{
    uint64_t index[4] = {0, 1, (GAP - DATA) / 8, 2};
    struct rig r;

    rig_open(&r);
    for (unsigned k = 0; k < 4; k++) {
        put64(&r, DATA + 8 * k, 100 + k);
        put64(&r, DATA + 0x100 + 8 * k, index[k]);
    }
    r.c->reg[X86_RSI] = DATA + 0x100;
    RUN_OK(&r, 0xc5, 0xfe, 0x6f, 0x16);             /* vmovdqu ymm2, [rsi] */
    RUN_OK(&r, 0xc5, 0xf5, 0x76, 0xc9);             /* vpcmpeqd ymm1, ymm1, ymm1 */
    r.c->reg[X86_RSI] = DATA;
    RUN_FAULT(&r, X86_PF, 0xc4, 0xe2, 0xf5, 0x91, 0x04, 0xd6);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_XMM), 100);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_XMM + 8), 101);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_XMM + 16), 0);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_XMM + 24), 0);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_AVX + 16), UINT64_MAX);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_AVX + 24), UINT64_MAX);
    ((uint64_t *)(void *)r.ram)[0x4000 / 8 + (GAP >> 12)] = GAP | 7;
    put64(&r, GAP, 55);
    RUN_OK(&r, 0xc4, 0xe2, 0xf5, 0x91, 0x04, 0xd6);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_XMM + 8), 101);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_AVX), 55);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_AVX + 8), 102);
    ck_assert_uint_eq(AREA64(r.c->xsave, XSAVE_AVX + 24), 0);
    rig_close(&r);
}
END_TEST

START_TEST(unmasked_simd_exceptions_are_raised_and_undone)
{
    struct rig r;

    rig_open(&r);
    r.c->reg[X86_RSI] = DATA;
    put64(&r, DATA, 0x1d80); /* zero divide unmasked */
    RUN_OK(&r, 0x0f, 0xae, 0x16); /* ldmxcsr [rsi] */
    put64(&r, DATA, 0x3f800000);
    RUN_OK(&r, 0x0f, 0x10, 0x06); /* movups xmm0, [rsi] */
    RUN_FAULT(&r, X86_XM, 0x0f, 0x5e, 0xc1); /* divps xmm0, xmm1: 1/0 and 0/0 */
    ck_assert_uint_eq(xmm_low(&r, 0), 0x3f800000);
    RUN_OK(&r, 0x0f, 0xae, 0x1e); /* stmxcsr */
    ck_assert_uint_eq((uint32_t)get64(&r, DATA), 0x1d85);
    r.c->cr4 &= ~(uint64_t)X86_CR4_OSXMMEXCPT;
    RUN_FAULT(&r, X86_UD, 0x0f, 0x5e, 0xc1);
    RUN_OK(&r, 0x0f, 0x58, 0xc0); /* addps: nothing wrong */
    ck_assert_uint_eq(xmm_low(&r, 0), 0x40000000);
    put64(&r, DATA, 0x10000);
    RUN_FAULT(&r, X86_GP, 0x0f, 0xae, 0x16);
    rig_close(&r);
}
END_TEST

START_TEST(x87_exceptions_wait_for_the_next_instruction)
{
    struct rig r;

    rig_open(&r);
    RUN_OK(&r, 0xdb, 0xe3); /* fninit */
    r.c->reg[X86_RSI] = DATA;
    put64(&r, DATA, 0x037b);
    RUN_OK(&r, 0xd9, 0x2e); /* fldcw: zero divide unmasked */
    RUN_OK(&r, 0xd9, 0xe8); /* fld1 */
    RUN_OK(&r, 0xd9, 0xee); /* fldz */
    r.c->reg[REG_BLOCK_RIP] = 0x400100;
    RUN_OK(&r, 0xde, 0xf9); /* fdivp */
    r.c->reg[REG_BLOCK_RIP] = 0x400200;
    RUN_OK(&r, 0xdf, 0xe0); /* fnstsw ax */
    ck_assert_uint_eq(r.c->reg[X86_RAX] & 0x84, 0x84);
    RUN_FAULT(&r, X86_MF, 0x9b);
    RUN_FAULT(&r, X86_MF, 0xd9, 0xe8);
    RUN_FAULT(&r, X86_MF, 0x0f, 0xfc, 0xc1); /* paddb */
    RUN_OK(&r, 0xd9, 0x36); /* fnstenv */
    ck_assert_uint_eq((uint32_t)get64(&r, DATA + 12), 0x400100);
    ck_assert_uint_eq(get64(&r, DATA + 16) >> 16 & 0x7ff, 0x6f9);
    RUN_OK(&r, 0xdb, 0xe2); /* fnclex */
    RUN_OK(&r, 0xd9, 0x26); /* fldenv: all as it was, the exception pending again */
    RUN_FAULT(&r, X86_MF, 0x9b);
    RUN_OK(&r, 0xdb, 0xe3);
    RUN_OK(&r, 0x9b);
    rig_close(&r);
}
END_TEST

START_TEST(fxsave_and_fxrstor_keep_everything)
{
    struct rig r;

    rig_open(&r);
    r.c->reg[X86_RSI] = DATA;
    put64(&r, DATA, 0x1234);
    RUN_OK(&r, 0x44, 0x0f, 0x10, 0x3e); /* movups xmm15, [rsi] */
    RUN_OK(&r, 0xdb, 0xe3);
    r.c->reg[REG_BLOCK_RIP] = UINT64_C(0x7f0000001000);
    RUN_OK(&r, 0xdd, 0x06); /* fld qword [rsi] */
    r.c->reg[X86_RSI] = DATA + 0x200;
    RUN_OK(&r, 0x48, 0x0f, 0xae, 0x06); /* fxsave64 */
    ck_assert_uint_eq(get64(&r, DATA + 0x200 + 160 + 15 * 16), 0x1234);
    ck_assert_uint_eq(get64(&r, DATA + 0x208), UINT64_C(0x7f0000001000));
    ck_assert_uint_eq(get64(&r, DATA + 0x210), DATA);
    ck_assert_uint_eq(get64(&r, DATA + 0x218), UINT64_C(0xffff00001f80));
    RUN_OK(&r, 0x45, 0x0f, 0x57, 0xff); /* xorps xmm15, xmm15 */
    RUN_OK(&r, 0xdb, 0xe3);
    RUN_OK(&r, 0x48, 0x0f, 0xae, 0x0e); /* fxrstor64 */
    ck_assert_uint_eq(xmm_low(&r, 15), 0x1234);
    ck_assert_uint_eq(r.c->x87_dp, DATA);
    ck_assert_uint_eq(AREA16(r.c->xsave, XSAVE_FTW), 0x80);
    put64(&r, DATA + 0x218, 0x10000);
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x0e);
    r.c->reg[X86_RSI] = DATA + 8;
    RUN_FAULT(&r, X86_GP, 0x0f, 0xae, 0x06);
    rig_close(&r);
}
END_TEST

/* Its end says insn_end(), not stop(). */
static void xrstor_ok(struct rig *r)
{
    ck_assert(!RUN(r, 0x48, 0x0f, 0xae, 0x2e));
    ck_assert(!r->c->fault.pending);
}

START_TEST(xsave_areas_are_checked_before_use)
{
    uint64_t area = DATA + 0x400, head = area + XSAVE_BV;
    struct rig r;

    rig_open(&r);
    r.c->reg[X86_RSI] = DATA;
    put64(&r, DATA, 0x1234);
    RUN_OK(&r, 0xc5, 0xfc, 0x10, 0x1e); /* vmovups ymm3, [rsi] */
    r.c->reg[X86_RAX] = r.c->reg[X86_RDX] = UINT32_MAX;
    r.c->reg[X86_RSI] = area;
    RUN_OK(&r, 0x48, 0x0f, 0xae, 0x26); /* xsave64 */
    ck_assert_uint_eq(get64(&r, head) & 6, 2 | (get64(&r, head) & 4));
    ck_assert_uint_eq(get64(&r, area + XSAVE_XMM + 48), 0x1234);
    RUN_OK(&r, 0xc5, 0xe4, 0x57, 0xdb); /* vxorps ymm3 */
    xrstor_ok(&r);
    ck_assert_uint_eq(xmm_low(&r, 3), 0x1234);
    put64(&r, head, 0); /* all initial */
    xrstor_ok(&r);
    ck_assert_uint_eq(xmm_low(&r, 3), 0);
    put64(&r, head, 8);
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e);
    put64(&r, head, 2);
    put64(&r, head + 8, 1);
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e);
    put64(&r, head + 8, BIT(63) | 1); /* compact, SSE not in it */
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e);
    put64(&r, head + 8, BIT(63) | 7);
    xrstor_ok(&r);
    ck_assert_uint_eq(xmm_low(&r, 3), 0x1234);
    /* A program's that was saved in a stub, on a host with AVX-512: counted in, and initial. */
    put64(&r, head + 8, BIT(63) | 0xe7);
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e);
    r.c->vm->direct = (struct direct_vm *)&r; /* there is one */
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e); /* the kernel never is in a stub */
    r.c->cpl = 3;
    put64(&r, area + XSAVE_XMM + 48, 0x4321);
    xrstor_ok(&r);
    ck_assert_uint_eq(xmm_low(&r, 3), 0x4321);
    put64(&r, head + 8, BIT(63) | 0xe5); /* SSE is not in it */
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e);
    r.c->cpl = 0;
    r.c->vm->direct = NULL;
    put64(&r, head + 8, BIT(63) | 7);
    RUN_OK(&r, 0x48, 0x0f, 0xc7, 0x26); /* xsavec64 */
    ck_assert_uint_eq(get64(&r, head + 8), BIT(63) | 7);
    ck_assert(get64(&r, head) & 2);
    put64(&r, area + XSAVE_MXCSR, 0xffffffff);
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x2e);
    r.c->reg[X86_RSI] = area + 16;
    RUN_FAULT(&r, X86_GP, 0x48, 0x0f, 0xae, 0x26);
    r.c->cr4 &= ~(uint64_t)X86_CR4_OSXSAVE;
    RUN_FAULT(&r, X86_UD, 0x48, 0x0f, 0xae, 0x26);
    rig_close(&r);
}
END_TEST

START_TEST(states_are_checked_and_kept)
{
    uint8_t area[X86_XSAVE_MAX] = {0}, back[X86_XSAVE_MAX];
    struct rig r;

    rig_open(&r);
    AREA64(area, XSAVE_BV) = 7;
    AREA16(area, XSAVE_FCW) = 0x0272;
    AREA32(area, XSAVE_MXCSR) = 0x1f01;
    AREA32(area, XSAVE_MXCSR_MASK) = MXCSR_VALID;
    AREA64(area, XSAVE_FIP) = 0x1000;
    AREA64(area, XSAVE_XMM) = 1;
    AREA64(area, XSAVE_AVX) = 2;
    ck_assert_int_eq(fpu_set(r.c, area), 0);
    ck_assert(r.c->fpu_slow & FPU_MXCSR_UNMASKED && r.c->fpu_slow & FPU_X87_UNMASKED);
    RUN_OK(&r, 0x0f, 0x28, 0xc8); /* movaps xmm1, xmm0 */
    AREA64(area, XSAVE_XMM + 16) = 1;
    fpu_get(r.c, back);
    ck_assert_mem_eq(back, area, XSAVE_END);
    AREA64(area, XSAVE_BV) = 8;
    ck_assert_int_eq(fpu_set(r.c, area), -EINVAL);
    AREA64(area, XSAVE_BV) = 7;
    AREA32(area, XSAVE_MXCSR) = 0x10000;
    ck_assert_int_eq(fpu_set(r.c, area), -EINVAL);
    rig_close(&r);
}
END_TEST

START_TEST(thunks_run_out_and_come_back)
{
    uint64_t first;
    struct rig r;

    rig_open(&r);
    first = thunk_get(r.c->thunks, 0x58000f, 3);
    ck_assert_uint_ne(first, 0);
    ck_assert_uint_eq(thunk_get(r.c->thunks, 0x58000f, 3), first);
    for (uint64_t k = 0; k < THUNK_COUNT - 1; k++) {
        if (!thunk_get(r.c->thunks, 0x590f | k << 16, 7))
            ck_abort_msg("full too early");
    }
    ck_assert(r.c->pending & X86_PENDING_FLUSH);
    ck_assert_uint_eq(thunk_get(r.c->thunks, 0x5a0f, 7), 0);
    ck_assert_uint_eq(thunk_get(r.c->thunks, 0x58000f, 3), first);
    ck_assert(!RUN(&r, 0x0f, 0x58, 0xff) && !r.c->fault.pending); /* leaves, to try again */
    thunk_cache_empty(r.c);
    RUN_OK(&r, 0x0f, 0x58, 0xff);
    rig_close(&r);
}
END_TEST

START_TEST(upper_registers_stay_outside_64_bit_mode)
{
    struct rig r;

    rig_open(&r);
    r.c->reg[X86_RSI] = DATA;
    put64(&r, DATA, 0x1234);
    RUN_OK(&r, 0x44, 0x0f, 0x10, 0x3e); /* movups xmm15, [rsi] */
    RUN_OK(&r, 0x0f, 0x10, 0x3e);       /* movups xmm7, [rsi] */
    leave_long_mode(&r, true);
    r.c->reg[X86_RAX] = r.c->reg[X86_RDX] = UINT32_MAX;
    r.c->reg[X86_RSI] = DATA + 0x400;
    put64(&r, DATA + 0x400 + XSAVE_XMM + 16 * 15, 99);
    RUN_OK(&r, 0x0f, 0xae, 0x26); /* xsave [esi] */
    ck_assert_uint_eq(get64(&r, DATA + 0x400 + XSAVE_XMM + 16 * 15), 99);
    ck_assert_uint_eq(get64(&r, DATA + 0x400 + XSAVE_XMM + 16 * 7), 0x1234);
    put64(&r, DATA + 0x400 + XSAVE_BV, 0);
    ck_assert(!RUN(&r, 0x0f, 0xae, 0x2e)); /* xrstor: initial state for all */
    ck_assert(!r.c->fault.pending);
    ck_assert_uint_eq(xmm_low(&r, 7), 0);
    ck_assert_uint_eq(xmm_low(&r, 15), 0x1234);
    RUN_OK(&r, 0x0f, 0xae, 0x06); /* fxsave */
    ck_assert_uint_eq(get64(&r, DATA + 0x400 + XSAVE_XMM + 16 * 15), 99);
    r.c->seg[X86_DS].limit = DATA + 0x400 + 511 - 1;
    RUN_FAULT(&r, X86_GP, 0x0f, 0xae, 0x0e); /* fxrstor: one byte beyond the limit */
    rig_close(&r);
}
END_TEST

START_TEST(environments_have_the_format_of_the_mode)
{
    struct rig r;

    rig_open(&r);
    leave_long_mode(&r, true);
    RUN_OK(&r, 0xdb, 0xe3);
    r.c->reg[REG_BLOCK_RIP] = 0x345678;
    r.c->reg[X86_RSI] = DATA + 8;
    RUN_OK(&r, 0xd9, 0x06); /* fld dword [esi] */
    r.c->reg[X86_RSI] = DATA + 0x40;
    RUN_OK(&r, 0x66, 0xd9, 0x36); /* fnstenv, 14 bytes */
    ck_assert_uint_eq(get64(&r, DATA + 0x40), 0x56787fff3800037f);
    ck_assert_uint_eq(get64(&r, DATA + 0x48) & 0xffffffffffff,
                      (uint64_t)(uint16_t)(DATA + 8) << 16);
    RUN_OK(&r, 0xdb, 0xe3);
    RUN_OK(&r, 0x66, 0xd9, 0x26); /* fldenv */
    ck_assert_uint_eq(r.c->x87_ip, 0x5678);
    ck_assert_uint_eq(AREA16(r.c->xsave, XSAVE_FTW), 0x80);
    leave_long_mode(&r, false);
    RUN_OK(&r, 0xdb, 0xe3);
    r.c->reg[REG_BLOCK_RIP] = 0x1230;
    r.c->reg[X86_RSI] = 8;
    RUN_OK(&r, 0xd9, 0x04); /* fld dword [si] */
    r.c->reg[X86_RSI] = 0x40;
    RUN_OK(&r, 0xd9, 0x34); /* fnstenv [si], 14 bytes: linear addresses 11230 and 10008 */
    ck_assert_uint_eq(get64(&r, DATA + 0x46) & 0xffffffff, 0x11041230);
    ck_assert_uint_eq(get64(&r, DATA + 0x4a) & 0xffffffff, 0x10000008);
    RUN_OK(&r, 0x66, 0xdd, 0x34); /* fnsave [si], 108 bytes */
    ck_assert_uint_eq(get64(&r, DATA + 0x4c), 0x00001104ffff1230);
    ck_assert_uint_eq(r.c->x87_ip, 0);
    RUN_OK(&r, 0x66, 0xdd, 0x24); /* frstor */
    ck_assert_uint_eq(r.c->x87_ip, 0x1230);
    ck_assert_uint_eq(r.c->x87_dp, 8);
    ck_assert(!rig_bind(&r, BYTES(0xc5, 0xf0, 0x58, 0xc2), 4)); /* no VEX here */
    rig_close(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, state_bits_decide_between_ud_and_nm);
    UNIT_TEST(s, operands_cross_pages_and_faults_change_nothing);
    UNIT_TEST(s, masked_elements_do_not_fault);
    UNIT_TEST(s, masked_stores_fault_at_the_first_byte_they_would_write);
    UNIT_TEST(s, gathers_can_be_restarted_after_a_fault);
    UNIT_TEST(s, unmasked_simd_exceptions_are_raised_and_undone);
    UNIT_TEST(s, x87_exceptions_wait_for_the_next_instruction);
    UNIT_TEST(s, fxsave_and_fxrstor_keep_everything);
    UNIT_TEST(s, xsave_areas_are_checked_before_use);
    UNIT_TEST(s, states_are_checked_and_kept);
    UNIT_TEST(s, upper_registers_stay_outside_64_bit_mode);
    UNIT_TEST(s, environments_have_the_format_of_the_mode);
    UNIT_TEST(s, thunks_run_out_and_come_back);
}

UNIT_TEST_MAIN("fpu", add_tests)
