/* SPDX-License-Identifier: MIT */
#include "arch/x86/cpu_state.h"

#include <errno.h>
#include <string.h>

#include "arch/x86/regs.h"
#include "base/error.h"
#include "base/le.h"
#include "golden.h"
#include "state/state.h"
#include "unit.h"

/* Intel SDM vol. 3, table 10-1. */
START_TEST(power_up_state_is_the_manual_s)
{
    struct x86_cpu_state s;

    memset(&s, 0xaa, sizeof(s));
    x86_cpu_state_reset(&s, true, false);
    ck_assert_uint_eq(s.rip, 0xfff0);
    ck_assert_uint_eq(s.rflags, 2);
    ck_assert_uint_eq(s.cr0, 0x60000010);
    ck_assert_uint_eq(s.cr4, 0);
    ck_assert_uint_eq(s.efer, 0);
    ck_assert_uint_eq(s.seg[X86_CS].selector, 0xf000);
    ck_assert_uint_eq(s.seg[X86_CS].base, 0xffff0000);
    ck_assert_uint_eq(s.seg[X86_CS].limit, 0xffff);
    ck_assert_uint_eq(s.seg[X86_CS].attr, 0x9b);
    ck_assert_uint_eq(s.seg[X86_SS].attr, 0x93);
    ck_assert_uint_eq(s.seg[X86_GS].base, 0);
    ck_assert_uint_eq(s.idtr.limit, 0xffff);
    ck_assert_uint_eq(s.dr6, 0xffff0ff0);
    ck_assert_uint_eq(s.dr7, 0x400);
    ck_assert_uint_eq(s.pat, UINT64_C(0x0007040600070406));
    ck_assert_uint_eq(s.apic_base, 0xfee00900);
    ck_assert_uint_eq(s.xcr0, 1);
    ck_assert_uint_eq(load_le16(s.xsave), 0x40);
    ck_assert_uint_eq(load_le32(s.xsave + 24), 0x1f80);
    ck_assert_uint_eq(s.gpr[X86_RAX], 0);
    ck_assert_uint_eq(s.run_state, X86_RUNNING);
    x86_cpu_state_reset(&s, false, false);
    ck_assert_uint_eq(s.run_state, X86_WAIT_FOR_SIPI);
    ck_assert_uint_eq(s.apic_base, 0xfee00800);
}
END_TEST

START_TEST(init_keeps_what_it_must)
{
    struct x86_cpu_state s;

    x86_cpu_state_reset(&s, false, false);
    s.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_CD | X86_CR0_ET;
    s.efer = X86_EFER_LME | X86_EFER_LMA;
    s.cr4 = X86_CR4_PAE;
    s.xsave[600] = 1;
    s.xcr0 = 7;
    s.lstar = 5;
    s.pat = 6;
    s.tsc = 7;
    s.apic_base |= APIC_BASE_X2APIC;
    s.nmi_blocked = s.exception_pending = true;
    x86_cpu_state_reset(&s, false, true);
    ck_assert_uint_eq(s.cr0, X86_CR0_CD | X86_CR0_ET);
    ck_assert_uint_eq(s.efer, 0);
    ck_assert_uint_eq(s.cr4, 0);
    ck_assert_uint_eq(s.xsave[600], 1);
    ck_assert_uint_eq(s.xcr0, 7);
    ck_assert_uint_eq(s.lstar, 5);
    ck_assert_uint_eq(s.pat, 6);
    ck_assert_uint_eq(s.tsc, 7);
    ck_assert_uint_eq(s.apic_base, 0xfee00c00);
    ck_assert(!s.nmi_blocked && !s.exception_pending);
    ck_assert_uint_eq(s.run_state, X86_WAIT_FOR_SIPI);
}
END_TEST

/* A state with every byte of every field set to something of its own. */
static void fill(struct x86_cpu_state *s)
{
    uint64_t n = 1;

    x86_cpu_state_reset(s, true, false);
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = n++ * UINT64_C(0x0102030405060709);
    for (unsigned i = 0; i < X86_SEG_COUNT; i++)
        s->seg[i] = (struct x86_segment){n, (uint32_t)n + 1, (uint16_t)(n + 2), 0xa09b}, n += 9;
    for (unsigned i = 0; i < 11; i++)
        s->mtrr_fixed[i] = n++;
    for (unsigned i = 0; i < 8; i++)
        s->mtrr_phys_base[i] = n++, s->mtrr_phys_mask[i] = n++;
    for (unsigned i = 0; i < 4; i++)
        s->dr[i] = n++;
    s->rip = n++, s->cr2 = n++, s->cr3 = n++, s->cr8 = 9, s->xcr0 = 7;
    s->cr0 = X86_CR0_PE | X86_CR0_PG, s->cr4 = X86_CR4_PAE;
    s->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
    s->gdtr = (struct x86_table){n++, 77}, s->idtr = (struct x86_table){n++, 78};
    memset(s->xsave + 576, 0x5a, sizeof(s->xsave) - 576);
    s->star = n++, s->lstar = n++, s->cstar = n++, s->fmask = n++, s->kernel_gs_base = n++;
    s->sysenter_cs = n++, s->sysenter_esp = n++, s->sysenter_eip = n++;
    s->tsc = n++, s->tsc_adjust = n++, s->tsc_aux = n++, s->tsc_deadline = n++;
    s->spec_ctrl = n++, s->mtrr_def_type = n++;
    s->run_state = X86_HALTED;
    s->sti_shadow = s->mov_ss_shadow = s->nmi_blocked = s->nmi_pending = true;
    s->nmi_second = s->smi_pending = true;
    s->exception_pending = s->exception_has_error = true;
    s->exception_vector = 14, s->exception_error = 7;
}

/* What w has is what fill() makes. */
static void check_filled(const struct state_writer *w)
{
    static struct x86_cpu_state s, got;

    fill(&s);
    x86_cpu_state_reset(&got, true, false);
    ck_assert_int_eq(state_load(w->data, w->len, &x86_cpu_state_desc, 1, &got, NULL), 0);
    ck_assert(!memcmp(s.gpr, got.gpr, offsetof(struct x86_cpu_state, gdtr)));
    ck_assert_uint_eq(s.gdtr.base, got.gdtr.base);
    ck_assert_uint_eq(s.idtr.limit, got.idtr.limit);
    ck_assert(!memcmp(&s.cr0, &got.cr0,
                      offsetof(struct x86_cpu_state, exception_has_error) + 1 -
                          offsetof(struct x86_cpu_state, cr0)));
    ck_assert_uint_eq(s.exception_error, got.exception_error);
}

START_TEST(every_field_survives_a_round_trip)
{
    static struct x86_cpu_state s;
    struct state_writer w = {0}, golden;

    fill(&s);
    ck_assert_int_eq(state_save(&w, &x86_cpu_state_desc, 1, &s), 0);
    check_filled(&w);
    golden = golden_sections("cpu-0.4.sections", &w);
    check_filled(&golden);
    state_writer_fini(&golden);
    state_writer_fini(&w);
}
END_TEST

static int load_changed(void (*change)(struct x86_cpu_state *s))
{
    static struct x86_cpu_state s;
    struct state_writer w = {0};
    int ret;

    fill(&s);
    change(&s);
    ck_assert_int_eq(state_save(&w, &x86_cpu_state_desc, 0, &s), 0);
    ret = state_load(w.data, w.len, &x86_cpu_state_desc, 0, &s, NULL);
    state_writer_fini(&w);
    return ret;
}

static void change_nothing(struct x86_cpu_state *s) {}
static void change_lma(struct x86_cpu_state *s) { s->efer &= ~(uint64_t)X86_EFER_LMA; }
static void change_pe(struct x86_cpu_state *s) { s->cr0 &= ~(uint64_t)X86_CR0_PE; }
static void change_mxcsr(struct x86_cpu_state *s) { s->xsave[26] = 1; }
static void change_xcomp(struct x86_cpu_state *s) { s->xsave[527] = 0x80; }
static void change_run(struct x86_cpu_state *s) { s->run_state = X86_RUN_STATE_COUNT; }
static void change_xcr0(struct x86_cpu_state *s) { s->xcr0 = 5; }

START_TEST(impossible_states_are_refused)
{
    ck_assert_int_eq(load_changed(change_nothing), 0);
    ck_assert_int_eq(load_changed(change_lma), -EINVAL);
    ck_assert_int_eq(load_changed(change_pe), -EINVAL);
    ck_assert_int_eq(load_changed(change_mxcsr), -EINVAL);
    ck_assert_int_eq(load_changed(change_xcomp), -EINVAL);
    ck_assert_int_eq(load_changed(change_run), -EINVAL);
    ck_assert_int_eq(load_changed(change_xcr0), -EINVAL);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, power_up_state_is_the_manual_s);
    UNIT_TEST(s, init_keeps_what_it_must);
    UNIT_TEST(s, every_field_survives_a_round_trip);
    UNIT_TEST(s, impossible_states_are_refused);
}

UNIT_TEST_MAIN("cpu_state", add_tests)
