/* SPDX-License-Identifier: MIT */
/* Entering and leaving System Management Mode: SDM vol. 3, 32.3 and 32.4. What is saved is laid out as AMD's
 * 64-bit processors do (AMD64 manual vol. 2, 10.2.3), which is what firmware for virtual machines
 * expects of any of them. */
#include "cpu/x86/system/smm.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/regs.h"
#include "base/le.h"
#include "cpu/x86/event.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/mmu/mmu_space.h"
#include "cpu/x86/smc.h"
#include "cpu/x86/system/ops.h"

#define ENTRY_RIP 0x8000u

/* The area that is saved, from SMBASE on; offsets in it as the manual has them. */
enum { AREA = 0xfe00, AREA_LEN = 0x200 };
enum { AUTO_HALT = 0xfec9, REVISION = 0xfefc, SMBASE = 0xff00 };
#define REVISION_64 0x20064u /* 64 bits, and SMBASE can be changed */

/* ---- What is saved --------------------------------------------------------------------------- */

struct saved {
    uint16_t at;     /* in the area */
    uint8_t size;    /* bytes, of both */
    uint16_t member; /* where in struct x86_cpu_state */
};

#define SAVED(at, member) {at, sizeof(((struct x86_cpu_state *)0)->member), offsetof(struct x86_cpu_state, member)}
#define SAVED_SEGMENT(at, n)                                                                       \
    SAVED(at, seg[n].selector), SAVED((at) + 2, seg[n].attr), SAVED((at) + 4, seg[n].limit),       \
        SAVED((at) + 8, seg[n].base)

static const struct saved saved[] = {
    SAVED_SEGMENT(0xfe00, X86_ES), SAVED_SEGMENT(0xfe10, X86_CS), SAVED_SEGMENT(0xfe20, X86_SS),
    SAVED_SEGMENT(0xfe30, X86_DS), SAVED_SEGMENT(0xfe40, X86_FS), SAVED_SEGMENT(0xfe50, X86_GS),
    SAVED(0xfe64, gdtr.limit), SAVED(0xfe68, gdtr.base),
    SAVED_SEGMENT(0xfe70, X86_LDTR),
    SAVED(0xfe84, idtr.limit), SAVED(0xfe88, idtr.base),
    SAVED_SEGMENT(0xfe90, X86_TR),
    SAVED(0xfed0, efer), SAVED(0xff48, cr4), SAVED(0xff50, cr3), SAVED(0xff58, cr0),
    SAVED(0xff60, dr7), SAVED(0xff68, dr6), SAVED(0xff70, rflags), SAVED(0xff78, rip),
    SAVED(0xff80, gpr[15]), SAVED(0xff88, gpr[14]), SAVED(0xff90, gpr[13]), SAVED(0xff98, gpr[12]),
    SAVED(0xffa0, gpr[11]), SAVED(0xffa8, gpr[10]), SAVED(0xffb0, gpr[9]), SAVED(0xffb8, gpr[8]),
    SAVED(0xffc0, gpr[X86_RDI]), SAVED(0xffc8, gpr[X86_RSI]), SAVED(0xffd0, gpr[X86_RBP]),
    SAVED(0xffd8, gpr[X86_RSP]), SAVED(0xffe0, gpr[X86_RBX]), SAVED(0xffe8, gpr[X86_RDX]),
    SAVED(0xfff0, gpr[X86_RCX]), SAVED(0xfff8, gpr[X86_RAX]),
};

static uint8_t *in_area(uint8_t *area, unsigned at)
{
    return area + (at - AREA);
}

static void save(uint8_t *area, const struct x86_cpu_state *s)
{
    memset(area, 0, AREA_LEN);
    for (unsigned i = 0; i < ARRAY_SIZE(saved); i++)
        memcpy(in_area(area, saved[i].at), (const uint8_t *)s + saved[i].member, saved[i].size);
    *in_area(area, AUTO_HALT) = s->run_state == X86_HALTED;
    store_le32(in_area(area, REVISION), REVISION_64);
    store_le32(in_area(area, SMBASE), s->smbase);
}

static void restore(struct x86_cpu_state *s, uint8_t *area)
{
    for (unsigned i = 0; i < ARRAY_SIZE(saved); i++)
        memcpy((uint8_t *)s + saved[i].member, in_area(area, saved[i].at), saved[i].size);
    s->rflags |= X86_FLAG_1;
    s->run_state = *in_area(area, AUTO_HALT) & 1 ? X86_HALTED : X86_RUNNING;
    s->smbase = load_le32(in_area(area, SMBASE));
    s->nmi_blocked = s->smm_inside_nmi;
    s->smm = s->smm_inside_nmi = false;
}

/* ---- Where ----------------------------------------------------------------------------------- */

static void store_piece(struct x86_cpu *c, uint8_t *host, const uint8_t *from, unsigned n)
{
    mmu_own(c, host);
    memcpy(host, from, n);
    smc_written(c, host, n);
}

/* Copy between guest memory as this mode sees it and area; what is no memory reads as ones. */
static void copy_area(struct x86_cpu *c, gpa_t gpa, uint8_t *area, bool out)
{
    bool rom = false;

    for (unsigned done = 0, n; done < AREA_LEN; done += n) {
        gpa_t at = gpa + done;
        uint8_t *host = mmu_ram(c, at, &rom);

        n = MIN(AREA_LEN - done, MEM_PAGE_SIZE - (unsigned)(at % MEM_PAGE_SIZE));
        if (!out && host)
            memcpy(area + done, host, n);
        else if (!out)
            memset(area + done, 0xff, n);
        else if (host && !rom)
            store_piece(c, host, area + done, n);
    }
}

static gpa_t area_of(const struct x86_cpu_state *s)
{
    return (gpa_t)s->smbase + AREA;
}

/* ---- In and out ------------------------------------------------------------------------------ */

static void enter_state(struct x86_cpu_state *s)
{
    const struct x86_segment data = {.limit = UINT32_MAX,
                                     .attr = SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_G | 3};

    s->smm = true;
    s->smm_inside_nmi = s->nmi_blocked;
    s->nmi_blocked = true;
    for (unsigned n = X86_ES; n <= X86_GS; n++)
        s->seg[n] = data;
    s->seg[X86_CS].selector = (uint16_t)(s->smbase >> 4);
    s->seg[X86_CS].base = s->smbase;
    s->seg[X86_CS].attr |= 8; /* code */
    s->idtr = (struct x86_table){0};
    s->rip = ENTRY_RIP;
    s->rflags = X86_FLAG_1;
    s->cr0 &= ~(uint64_t)(X86_CR0_PE | X86_CR0_EM | X86_CR0_TS | X86_CR0_PG);
    s->cr4 = s->efer = 0;
    s->dr7 = X86_DR7_FIXED;
    s->run_state = X86_RUNNING;
    s->sti_shadow = s->mov_ss_shadow = false;
}

static bool give_up(struct x86_cpu *c, const char *why)
{
    c->run_state = X86_SHUTDOWN;
    snprintf(c->shutdown_text, sizeof(c->shutdown_text), "System Management Mode: %s", why);
    return false;
}

/* Where NMIs are blocked, one waits at most (cpu_count_nmis()). */
static void drop_second_nmi(struct x86_cpu *c, struct x86_cpu_state *s)
{
    if (!s->nmi_blocked || !s->nmi_second)
        return;
    c->nmi_count = 1;
    s->nmi_second = false;
}

bool smm_enter(struct x86_cpu *c)
{
    struct x86_cpu_state *s = calloc(1, sizeof(*s));
    uint8_t area[AREA_LEN];
    bool fine;

    fpu_park(c);
    if (!s)
        return give_up(c, "out of memory");
    x86_cpu_get(c, s);
    save(area, s);
    enter_state(s);
    drop_second_nmi(c, s);
    fine = cpu_set_registers(c, s) == 0; /* from here on hidden memory is there */
    if (fine)
        copy_area(c, area_of(s), area, true);
    free(s);
    return fine || give_up(c, "its first state was refused");
}

/* Firmware may change what was saved as it likes: what no CPU can be in is a shutdown (SDM vol. 3, 32.3.1). */
static bool leave(struct x86_cpu *c)
{
    struct x86_cpu_state *s = calloc(1, sizeof(*s));
    uint8_t area[AREA_LEN];
    bool fine;

    if (!s)
        return give_up(c, "out of memory");
    x86_cpu_get(c, s);
    copy_area(c, area_of(s), area, false);
    restore(s, area);
    drop_second_nmi(c, s);
    fine = cpu_set_registers(c, s) == 0;
    free(s);
    return fine || give_up(c, "RSM to a state that no CPU can be in");
}

void smm_pause(struct x86_cpu *c)
{
    fpu_park(c);
    sched_yield();
}

void op_rsm(struct x86_cpu *c, const struct insn *i)
{
    if (!c->smm)
        INSN_FAULT(X86_UD, false, 0);
    c->count.insns_interpreted += insn_block_end(i)->insns;
    fpu_park(c);
    (void)!leave(c); /* the main loop sees a shutdown */
}
