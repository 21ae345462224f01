/* SPDX-License-Identifier: MIT */
/* Our side of the differential test: one vCPU in 64-bit user mode, whose page tables show it the pages of
 * diff.h. It interprets, translates, or has the instruction run in a stub, to which all state goes, and comes back. */
#include "diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/tsc_rate.h"
#include "cpu/x86/block.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/engine.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/jit/jit.h"
#include "cpu/x86/no_host.h"
#include "cpu/x86/smc.h"

#define RAM     UINT64_C(0x1000000)
#define TABLES  UINT64_C(0x1000)
#define CODE_GPA UINT64_C(0x100000)
#define DATA_GPA UINT64_C(0x110000)
#define ACCESSED 0x20
#define DIRTY    0x40
#define NO_EXEC  BIT(63)
#define STRETCHES_MAX 64 /* for one case: pages, and string instructions by the piece */

bool diff_jit, diff_direct;
unsigned long diff_direct_runs;
const char *diff_jit_options = "on";
static struct x86_vm *vm;
static struct x86_cpu *cpu;
static struct mem *mem;
static uint8_t *guest_code, *guest_data;

/* Map one page; tables are taken one after the other from TABLES. */
static void map(uint64_t va, gpa_t gpa, uint64_t rights)
{
    static gpa_t next = TABLES + 0x1000;
    gpa_t table = TABLES;

    for (int shift = 39; shift > 12; shift -= 9) {
        uint64_t *entry = mem_ptr(mem, table + (va >> shift & 511) * 8, 8, MEM_WRITE);

        if (!*entry) {
            *entry = next | ACCESSED | 7;
            next += 0x1000;
        }
        table = *entry & ~UINT64_C(0xfff);
    }
    *(uint64_t *)mem_ptr(mem, table + (va >> 12 & 511) * 8, 8, MEM_WRITE) = gpa | rights;
}

static void long_mode_user(struct x86_cpu_state *s)
{
    const struct x86_segment code = {.limit = UINT32_MAX, .selector = diff_narrow ? 0x23 : 0x33,
                                     .attr = diff_narrow ? 0xc0fb : 0xa0fb};
    const struct x86_segment data = {.limit = UINT32_MAX, .selector = 0x2b, .attr = 0xc0f3};

    s->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_NE | X86_CR0_MP | X86_CR0_ET;
    s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
    s->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE | X86_EFER_SCE;
    s->cr3 = TABLES;
    s->xcr0 = 7;
    s->seg[X86_CS] = code;
    s->seg[X86_SS] = s->seg[X86_DS] = s->seg[X86_ES] = data;
    s->seg[X86_FS] = s->seg[X86_GS] = data;
    for (unsigned n = 0; n < X86_SEG_COUNT && diff_direct; n++)
        if (n != X86_CS && n != X86_SS)
            s->seg[n].selector = 0; /* as Linux has them, else nothing runs directly */
    s->seg[X86_TR].limit = 0x66; /* no I/O bitmap: all ports are forbidden */
}

bool diff_soft_init(void)
{
    static struct x86_cpu_state s;
    static struct tsc_rate tsc = {.khz = 2000000};
    const struct x86_vm_desc desc = {.cpu_count = 1, .tsc = &tsc, .host = &no_host};
    struct x86_vm_desc d = desc;

    const struct mem_options options = {.capacity = RAM, .shared = diff_direct};

    if (mem_create_with(&options, &mem, NULL) || mem_add(mem, 0, RAM, false))
        return false;
    d.mem = mem;
    if (jit_options_parse(diff_jit ? diff_jit_options : diff_direct ? "direct=always" : "off", &d.jit, NULL))
        return false;
    if (x86_vm_create(&d, &vm))
        return false;
    cpu = x86_vm_cpu(vm, 0);
    for (unsigned off = 0; off < DIFF_CODE_LEN; off += 4096)
        map(DIFF_CODE + off, CODE_GPA + off, diff_direct ? ACCESSED | 5 : DIRTY | ACCESSED | 7);
    for (unsigned off = 0; off < DIFF_DATA_LEN; off += 4096)
        map(DIFF_DATA + off, DATA_GPA + off, NO_EXEC | DIRTY | ACCESSED | 7);
    guest_code = mem_ptr(mem, CODE_GPA, DIFF_CODE_LEN, MEM_WRITE);
    guest_data = mem_ptr(mem, DATA_GPA, DIFF_DATA_LEN, MEM_WRITE);
    memset(guest_code, 0xcc, DIFF_CODE_LEN);
    x86_cpu_get(cpu, &s);
    long_mode_user(&s);
    if (x86_cpu_set(cpu, &s))
        return false;
    sync_enter(cpu);
    return true;
}

uint8_t *diff_soft_data(void)
{
    return guest_data;
}

static void load(const struct diff_case *c)
{
    memset(guest_code, 0xcc, DIFF_CODE_LEN);
    memcpy(guest_code + (DIFF_INSN - DIFF_CODE), c->bytes, c->d.len);
    memcpy(cpu->reg, c->before.gpr, sizeof(c->before.gpr));
    cpu->rip = DIFF_INSN;
    cpu->af = af_from_rflags(c->before.rflags);
    cpu->rflags = c->before.rflags & ~(uint64_t)X86_FLAGS_ARITH;
    cpu->fault.pending = false;
    static uint8_t xsave[X86_XSAVE_MAX] __attribute__((aligned(64)));

    memcpy(xsave, c->before.xsave, DIFF_XSAVE_LEN);
    if (fpu_set(cpu, xsave))
        abort();
}

/* Were the code caches full? They are emptied then. */
static bool flushed(void)
{
    if (!(cpu->pending & X86_PENDING_FLUSH))
        return false;
    block_cache_empty(cpu);
    cpu->pending &= ~(uint32_t)X86_PENDING_FLUSH;
    return true;
}

/* The instruction has not finished: a string operation between two chunks, for example. */
static bool again(const struct diff_case *c)
{
    return flushed() || ((c->d.prefixes & (X86_PREFIX_REP | X86_PREFIX_REPNE)) &&
                         (c->d.info->attr & X86_ATTR_STRING));
}

/* The block that the instruction and the INT3 behind it make. Code memory fills up with those of
 * the cases before, which are dead, until it is emptied. */
static const struct insn *find_translated(void)
{
    const struct insn *first;

    for (unsigned off = 0; off < DIFF_CODE_LEN; off += 4096)
        block_invalidate(cpu, guest_code + off, UINT64_MAX);
    cpu->link = NULL;
    first = block_find(cpu);
    if (!first)
        return NULL;
    struct block *b = container_of((struct insn *)(uintptr_t)first, struct block, insn[0]);

    block_translate(cpu, b, b->home_rip);
    return first;
}

static void run_translated(void)
{
    const struct insn *first = find_translated();

    if (flushed())
        first = find_translated();
    if (!first)
        return;
    fpu_make_live(cpu);
    first->fn(cpu, first);
    fpu_park(cpu);
    if (cpu->fault.pending && cpu->fault.vector == X86_BP)
        cpu->fault.pending = false;
}

/* Until the INT3 where it went, or an exception. The code page stays mapped there; that it changes below it is told to
 * nobody but our own caches, since no code in it shows the host. Pages are mapped on the way, so it may take several stretches; the
 * flags and modes that no stub is for are the interpreter's. */
static void run_directly(void)
{
    const uint64_t traps = cpu->count.direct_traps, fills = cpu->count.direct_fills;
    struct x86_stretch stretch;

    for (unsigned off = 0; off < DIFF_CODE_LEN; off += 4096)
        block_invalidate(cpu, guest_code + off, UINT64_MAX);
    cpu->link = NULL;
    for (unsigned n = 0; n < STRETCHES_MAX && !cpu->fault.pending; n++) {
        flushed();
        cpu->cpl = 0; /* each case as if its kernel had been asked */
        (void)x86_direct.next(cpu, &stretch);
        cpu->cpl = 3;
        if (x86_direct.next(cpu, &stretch) == X86_OFFER_READY)
            stretch.run(cpu, stretch.code);
        else
            x86_step(cpu);
        fpu_park(cpu);
    }
    diff_direct_runs += cpu->count.direct_traps > traps && cpu->count.direct_fills == fills;
    /* The INT3 where it went, or nothing is there. */
    if (cpu->fault.vector == X86_BP || ((cpu->fault.vector == X86_PF || cpu->fault.vector == X86_GP) && cpu->rip != DIFF_INSN))
        cpu->fault.pending = false;
}

bool diff_direct_works(void)
{
    return vm->direct && (!vm->direct->judged || vm->direct->works);
}

void diff_soft_run(const struct diff_case *c, struct diff_state *ret)
{
    static uint8_t xsave[X86_XSAVE_MAX] __attribute__((aligned(64)));
    const struct insn *first;

    load(c);
    if (diff_jit || diff_direct) {
        if (diff_jit)
            run_translated();
        else
            run_directly();
        goto done;
    }
    x86_cpu_post(cpu, X86_PENDING_SHADOW);
    do { /* string instructions may take several goes */
        first = block_single(cpu);
        if (!first)
            break;
        first->fn(cpu, first);
        fpu_park(cpu);
    } while (!cpu->fault.pending && cpu->rip == DIFF_INSN && again(c));
done:
    memcpy(ret->gpr, cpu->reg, sizeof(ret->gpr));
    ret->rip = cpu->rip;
    ret->rflags = cpu_rflags(cpu);
    ret->vector = cpu->fault.pending ? cpu->fault.vector : -1;
    ret->error = cpu->fault.error;
    ret->cr2 = cpu->cr2;
    fpu_get(cpu, xsave);
    memcpy(ret->xsave, xsave, DIFF_XSAVE_LEN);
}
