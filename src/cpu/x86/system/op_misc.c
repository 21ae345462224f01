/* SPDX-License-Identifier: MIT */
/* CPUID, time-stamp and model-specific registers as instructions. SDM vol. 2. */
#include "base/clock.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/system/msr.h"
#include "cpu/x86/system/operand.h"
#include "cpu/x86/system/ops.h"

static noinline void run_cpuid(struct x86_cpu *c)
{
    uint32_t v[4];

    fpu_park(c); /* the answer may be the local APIC's or take time */
    cpuid_query(c, (uint32_t)c->reg[X86_RAX], (uint32_t)c->reg[X86_RCX], v);
    c->reg[X86_RAX] = v[0];
    c->reg[X86_RBX] = v[1];
    c->reg[X86_RCX] = v[2];
    c->reg[X86_RDX] = v[3];
}

void op_cpuid(struct x86_cpu *c, const struct insn *i)
{
    run_cpuid(c);
    insn_end(c, i); /* serializing */
}

static bool tsc_allowed(const struct x86_cpu *c)
{
    return c->cpl == 0 || !(c->cr4 & X86_CR4_TSD);
}

static void read_tsc(struct x86_cpu *c)
{
    uint64_t tsc = clock_tsc() + c->tsc_offset;

    c->reg[X86_RAX] = (uint32_t)tsc;
    c->reg[X86_RDX] = tsc >> 32;
}

void op_rdtsc(struct x86_cpu *c, const struct insn *i)
{
    if (!tsc_allowed(c))
        INSN_GP0();
    read_tsc(c);
    NEXT;
}

void op_rdtscp(struct x86_cpu *c, const struct insn *i)
{
    if (!tsc_allowed(c))
        INSN_GP0();
    read_tsc(c);
    c->reg[X86_RCX] = (uint32_t)c->tsc_aux;
    NEXT;
}

void op_rdpid(struct x86_cpu *c, const struct insn *i)
{
    c->reg[i->rm] = (uint32_t)c->tsc_aux;
    NEXT;
}

/* KVM's hypercalls, of which we have none (Linux, Documentation/virt/kvm/x86/hypercalls.rst): a
 * guest that finds KVM in CPUID may try. */
void op_vmcall(struct x86_cpu *c, const struct insn *i)
{
    int64_t r = c->cpl ? -1 /* EPERM */ : -1000 /* KVM_ENOSYS */;

    if (c->vm->cpuid->no_apic)
        INSN_UD();
    c->reg[X86_RAX] = in_64bit(c) ? (uint64_t)r : (uint32_t)r;
    insn_end(c, i);
}

/* There are no performance counters. */
void op_rdpmc(struct x86_cpu *c, const struct insn *i)
{
    INSN_GP0();
}

static noinline bool read_msr(struct x86_cpu *c)
{
    uint64_t v;

    if (!msr_read(c, (uint32_t)c->reg[X86_RCX], &v))
        return false;
    c->reg[X86_RAX] = (uint32_t)v;
    c->reg[X86_RDX] = v >> 32;
    return true;
}

void op_rdmsr(struct x86_cpu *c, const struct insn *i)
{
    REQUIRE_CPL0();
    if (!read_msr(c))
        INSN_GP0();
    NEXT;
}

void op_wrmsr(struct x86_cpu *c, const struct insn *i)
{
    uint64_t v = (uint32_t)c->reg[X86_RAX] | c->reg[X86_RDX] << 32;

    REQUIRE_CPL0();
    if (!msr_write(c, (uint32_t)c->reg[X86_RCX], v))
        INSN_GP0();
    insn_end(c, i);
}
