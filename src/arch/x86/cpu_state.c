/* SPDX-License-Identifier: MIT */
/* The table of what is saved of a CPU, what a load must refuse, and the state after reset. */
#include "arch/x86/cpu_state.h"

#include <errno.h>
#include <string.h>

#include "arch/x86/regs.h"
#include "base/error.h"
#include "base/le.h"
#include "state/state.h"

/* Offsets in the XSAVE area, SDM vol. 1, 10.5.1 and 13.4. */
#define XSAVE_FCW       0
#define XSAVE_FTW       4 /* abridged: one bit per register, set: not empty */
#define XSAVE_MXCSR     24
#define XSAVE_XSTATE_BV 512
#define XSAVE_XCOMP_BV  520
#define XSAVE_HEADER_END 576

#define EFER_KNOWN (X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE)
#define RFLAGS_KNOWN 0x3f7fd7u
#define XCR0_KNOWN (X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX | X86_XCR0_AVX512)

static const struct state_field segment_fields[] = {
    STATE_UINT(struct x86_segment, base),
    STATE_UINT(struct x86_segment, limit),
    STATE_UINT(struct x86_segment, selector),
    STATE_UINT_MAX(struct x86_segment, attr, 0xf0ff),
    STATE_END,
};

static const struct state_field table_fields[] = {
    STATE_UINT(struct x86_table, base),
    STATE_UINT(struct x86_table, limit),
    STATE_END,
};

static const struct state_field cpu_fields[] = {
    STATE_ARRAY(struct x86_cpu_state, gpr),
    STATE_UINT(struct x86_cpu_state, rip),
    STATE_UINT_MAX(struct x86_cpu_state, rflags, RFLAGS_KNOWN),
    STATE_STRUCT_ARRAY(struct x86_cpu_state, seg, segment_fields),
    STATE_STRUCT(struct x86_cpu_state, gdtr, table_fields),
    STATE_STRUCT(struct x86_cpu_state, idtr, table_fields),
    STATE_UINT_MAX(struct x86_cpu_state, cr0, UINT32_MAX),
    STATE_UINT(struct x86_cpu_state, cr2),
    STATE_UINT(struct x86_cpu_state, cr3),
    STATE_UINT_MAX(struct x86_cpu_state, cr4, UINT32_MAX),
    STATE_UINT_MAX(struct x86_cpu_state, cr8, 15),
    STATE_UINT_MAX(struct x86_cpu_state, xcr0, XCR0_KNOWN),
    STATE_ARRAY(struct x86_cpu_state, dr),
    STATE_UINT_MAX(struct x86_cpu_state, dr6, UINT32_MAX),
    STATE_UINT_MAX(struct x86_cpu_state, dr7, UINT32_MAX),
    STATE_BYTES(struct x86_cpu_state, xsave),
    STATE_UINT_MAX(struct x86_cpu_state, efer, EFER_KNOWN),
    STATE_UINT(struct x86_cpu_state, star),
    STATE_UINT(struct x86_cpu_state, lstar),
    STATE_UINT(struct x86_cpu_state, cstar),
    STATE_UINT(struct x86_cpu_state, fmask),
    STATE_UINT(struct x86_cpu_state, kernel_gs_base),
    STATE_UINT(struct x86_cpu_state, sysenter_cs),
    STATE_UINT(struct x86_cpu_state, sysenter_esp),
    STATE_UINT(struct x86_cpu_state, sysenter_eip),
    STATE_UINT(struct x86_cpu_state, pat),
    STATE_UINT(struct x86_cpu_state, apic_base),
    STATE_UINT(struct x86_cpu_state, tsc),
    STATE_UINT(struct x86_cpu_state, tsc_adjust),
    STATE_UINT_MAX(struct x86_cpu_state, tsc_aux, UINT32_MAX),
    STATE_UINT(struct x86_cpu_state, tsc_deadline),
    STATE_UINT(struct x86_cpu_state, misc_enable),
    STATE_UINT(struct x86_cpu_state, spec_ctrl),
    STATE_UINT_MAX(struct x86_cpu_state, debugctl, X86_DEBUGCTL_KNOWN),
    STATE_UINT(struct x86_cpu_state, kvm_pv_eoi),
    STATE_UINT(struct x86_cpu_state, mtrr_def_type),
    STATE_ARRAY(struct x86_cpu_state, mtrr_fixed),
    STATE_ARRAY(struct x86_cpu_state, mtrr_phys_base),
    STATE_ARRAY(struct x86_cpu_state, mtrr_phys_mask),
    STATE_UINT_MAX(struct x86_cpu_state, run_state, X86_RUN_STATE_COUNT - 1),
    STATE_BOOL(struct x86_cpu_state, sti_shadow),
    STATE_BOOL(struct x86_cpu_state, mov_ss_shadow),
    STATE_BOOL(struct x86_cpu_state, nmi_blocked),
    STATE_BOOL(struct x86_cpu_state, nmi_pending),
    STATE_BOOL(struct x86_cpu_state, nmi_second),
    STATE_BOOL(struct x86_cpu_state, smi_pending),
    STATE_BOOL(struct x86_cpu_state, smm),
    STATE_BOOL(struct x86_cpu_state, smm_inside_nmi),
    STATE_BOOL(struct x86_cpu_state, init_pending),
    STATE_BOOL(struct x86_cpu_state, sipi_pending),
    STATE_UINT(struct x86_cpu_state, sipi_vector),
    STATE_UINT(struct x86_cpu_state, smbase),
    STATE_BOOL(struct x86_cpu_state, exception_pending),
    STATE_UINT_MAX(struct x86_cpu_state, exception_vector, 31),
    STATE_BOOL(struct x86_cpu_state, exception_has_error),
    STATE_UINT(struct x86_cpu_state, exception_error),
    STATE_END,
};

static int refuse(struct vz_error *err, const char *what)
{
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s", what);
}

/* The area goes to the host's own XRSTOR, which faults on what is refused here (SDM vol. 1,
 * 13.8). */
static int check_xsave(const uint8_t *area, struct vz_error *err)
{
    if (load_le32(area + XSAVE_MXCSR) & 0xffff0000u)
        return refuse(err, "xsave: reserved bits in MXCSR");
    if (load_le64(area + XSAVE_XSTATE_BV) & ~(uint64_t)XCR0_KNOWN)
        return refuse(err, "xsave: unknown components in XSTATE_BV");
    for (unsigned i = XSAVE_XCOMP_BV; i < XSAVE_HEADER_END; i++) {
        if (area[i])
            return refuse(err, "xsave: header not zero");
    }
    return 0;
}

static int cpu_loaded(void *object, struct vz_error *err)
{
    const struct x86_cpu_state *s = object;
    bool long_mode = (s->efer & X86_EFER_LME) && (s->cr0 & X86_CR0_PG);

    if (!(s->rflags & X86_FLAG_1))
        return refuse(err, "rflags: bit 1 is clear");
    if ((s->cr0 & X86_CR0_PG) && !(s->cr0 & X86_CR0_PE))
        return refuse(err, "cr0: paging without protection");
    if (long_mode != !!(s->efer & X86_EFER_LMA))
        return refuse(err, "efer: LMA contradicts LME and CR0.PG");
    if (long_mode && !(s->cr4 & X86_CR4_PAE))
        return refuse(err, "cr4: long mode without PAE");
    if (!(s->xcr0 & X86_XCR0_X87) || ((s->xcr0 & X86_XCR0_AVX) && !(s->xcr0 & X86_XCR0_SSE)) ||
        ((s->xcr0 & X86_XCR0_AVX512) && !(s->xcr0 & X86_XCR0_AVX)))
        return refuse(err, "xcr0: impossible combination");
    return check_xsave(s->xsave, err);
}

const struct state_desc x86_cpu_state_desc = {
    .name = "cpu",
    .version = 1,
    .fields = cpu_fields,
    .loaded = cpu_loaded,
};

static void reset_segments(struct x86_cpu_state *s)
{
    const uint16_t data = SEG_ATTR_P | SEG_ATTR_S | 3; /* read/write, accessed */

    for (unsigned i = 0; i < X86_SEG_COUNT; i++)
        s->seg[i] = (struct x86_segment){.limit = 0xffff, .attr = data};
    s->seg[X86_CS].selector = 0xf000;
    s->seg[X86_CS].base = 0xffff0000;
    s->seg[X86_CS].attr = SEG_ATTR_P | SEG_ATTR_S | 11; /* execute/read, accessed */
    s->seg[X86_LDTR].attr = SEG_ATTR_P | 2;
    s->seg[X86_TR].attr = SEG_ATTR_P | 11; /* busy TSS */
    s->gdtr = s->idtr = (struct x86_table){.limit = 0xffff};
}

/* What both power-up and INIT set. */
static void reset_common(struct x86_cpu_state *s)
{
    memset(s->gpr, 0, sizeof(s->gpr));
    s->gpr[X86_RDX] = 0x600; /* family 6; who knows the exact signature puts it here */
    s->rip = 0xfff0;
    s->rflags = X86_FLAG_1;
    reset_segments(s);
    s->cr2 = s->cr3 = s->cr4 = s->cr8 = 0;
    s->efer = 0;
    memset(s->dr, 0, sizeof(s->dr));
    s->dr6 = X86_DR6_FIXED;
    s->dr7 = X86_DR7_FIXED;
    s->debugctl = 0;
    s->tsc_deadline = 0;
    s->kvm_pv_eoi = 0;
    s->sti_shadow = s->mov_ss_shadow = false;
    s->nmi_blocked = s->nmi_pending = s->nmi_second = s->smi_pending = false;
    s->init_pending = s->sipi_pending = false;
    s->sipi_vector = 0;
    s->exception_pending = s->exception_has_error = false;
    s->exception_vector = 0;
    s->exception_error = 0;
}

void x86_cpu_state_reset(struct x86_cpu_state *s, bool is_bsp, bool is_init)
{
    if (is_init) {
        s->cr0 = (s->cr0 & (X86_CR0_CD | X86_CR0_NW)) | X86_CR0_ET;
    } else {
        memset(s, 0, sizeof(*s));
        s->cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET;
        s->xcr0 = X86_XCR0_X87;
        /* x87: control word 40h and tag word 5555h, eight valid zeroes (SDM vol. 3, table 10-1) */
        store_le16(s->xsave + XSAVE_FCW, 0x40);
        s->xsave[XSAVE_FTW] = 0xff;
        store_le32(s->xsave + XSAVE_MXCSR, 0x1f80);
        store_le64(s->xsave + XSAVE_XSTATE_BV, X86_XCR0_X87 | X86_XCR0_SSE);
        s->pat = UINT64_C(0x0007040600070406);
        s->apic_base = APIC_DEFAULT_BASE | APIC_BASE_ENABLE | (is_bsp ? APIC_BASE_BSP : 0);
        s->misc_enable = BIT(0) | BIT(11) | BIT(12); /* fast strings; no BTS, no PEBS */
        s->smbase = X86_SMBASE_RESET;
    }
    reset_common(s);
    s->run_state = is_bsp ? X86_RUNNING : X86_WAIT_FOR_SIPI;
}
