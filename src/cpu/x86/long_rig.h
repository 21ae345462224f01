/* SPDX-License-Identifier: MIT */
/* For unit tests: vCPUs in 64-bit mode with flat segments and the first 8 MiB mapped as they are,
 * and a program. */
#ifndef VZ_CPU_X86_LONG_RIG_H
#define VZ_CPU_X86_LONG_RIG_H

#include <stdlib.h>
#include <string.h>

#include "base/tsc_rate.h"
#include "cpu/x86/no_host.h"
#include "strict_mem.h"
#include "unit.h"

#define RIG_RAM    UINT64_C(0x800000)
#define RIG_TABLES UINT64_C(0x1000)

struct rig {
    struct mem *mem;
    struct x86_vm *vm;
    struct x86_cpu *c; /* the first */
};

static int apic_read(void *arg, unsigned n, uint32_t msr, uint64_t *ret)
{
    *ret = 0xfee00900;
    return 0;
}

static const struct x86_host_ops host = {
    .mmio_read = no_mmio_read, .mmio_write = no_mmio_write, .apic_msr_read = apic_read,
    .tsc_changed = no_tsc_changed};

/* words: as for vz run --jit. engine: asked before ours, or NULL. */
static void rig_create_with(struct rig *m, const char *words, unsigned cpus, gpa_t at,
                            const uint8_t *program, size_t len, const struct x86_engine *engine)
{
    const struct x86_segment code = {.limit = UINT32_MAX, .selector = 0x8, .attr = 0xa09b};
    const struct x86_segment data = {.limit = UINT32_MAX, .selector = 0x10, .attr = 0xc093};
    static struct tsc_rate tsc = {.khz = 2000000};
    struct x86_vm_desc desc = {.cpu_count = cpus, .tsc = &tsc, .host = &host, .engine = engine};
    struct x86_cpu_state *s = calloc(1, sizeof(*s));

    m->mem = strict_mem(RIG_RAM);
    ck_assert_ptr_nonnull(m->mem);
    ck_assert_int_eq(jit_options_parse(words, &desc.jit, NULL), 0);
    desc.mem = m->mem;
    ck_assert_int_eq(x86_vm_create(&desc, &m->vm), 0);
    m->c = x86_vm_cpu(m->vm, 0);
    *(uint64_t *)mem_ptr(m->mem, RIG_TABLES, 8, MEM_WRITE) = (RIG_TABLES + 0x1000) | 0x67;
    *(uint64_t *)mem_ptr(m->mem, RIG_TABLES + 0x1000, 8, MEM_WRITE) = (RIG_TABLES + 0x2000) | 0x67;
    for (unsigned n = 0; n < 4; n++) /* 2 MiB each */
        *(uint64_t *)mem_ptr(m->mem, RIG_TABLES + 0x2000 + 8 * n, 8, MEM_WRITE) =
            (uint64_t)n << 21 | 0xe7;
    memcpy(mem_ptr(m->mem, at, len, MEM_WRITE), program, len);
    for (unsigned n = 0; n < cpus; n++) {
        struct x86_cpu *c = x86_vm_cpu(m->vm, n);

        x86_cpu_get(c, s);
        s->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE | X86_CR0_MP | X86_CR0_ET;
        s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
        s->efer = X86_EFER_LME | X86_EFER_LMA;
        s->cr3 = RIG_TABLES;
        s->seg[X86_CS] = code;
        s->seg[X86_SS] = s->seg[X86_DS] = s->seg[X86_ES] = s->seg[X86_FS] = s->seg[X86_GS] = data;
        ck_assert_int_eq(x86_cpu_set(c, s), 0);
        c->rip = at;
        c->run_state = X86_RUNNING;
    }
    free(s);
}

static inline void rig_create(struct rig *m, const char *words, unsigned cpus, gpa_t at,
                              const uint8_t *program, size_t len)
{
    rig_create_with(m, words, cpus, at, program, len, NULL);
}

static void rig_destroy(struct rig *m)
{
    x86_vm_destroy(m->vm);
    mem_destroy(m->mem);
}

#endif
