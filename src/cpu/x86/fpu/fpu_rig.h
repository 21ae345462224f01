/* SPDX-License-Identifier: MIT */
/* For the tests of fpu/: one vCPU behind real page tables that runs one instruction at a time. */
#ifndef VZ_CPU_X86_FPU_RIG_H
#define VZ_CPU_X86_FPU_RIG_H

#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "cpu/x86/block.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/fpu/fpu_exec.h"
#include "unit.h"

enum { DATA = 0x10000, GAP = 0x20000, AFTER = 0x21000, RAM = 0x200000 };

struct rig {
    struct x86_cpu *c;
    struct x86_vm vm;
    struct x86_cpuid_policy policy;
    struct insn insn[4];
    uint8_t *ram;
    bool live; /* run with the state in the host's registers: the short ways */
};

static inline void map_pages(struct rig *r)
{
    uint64_t *e = (uint64_t *)(void *)r->ram;

    e[0x1000 / 8] = 0x2007;
    e[0x2000 / 8] = 0x3007;
    e[0x3000 / 8] = 0x4007;
    for (unsigned k = 0; k < 512; k++)
        e[0x4000 / 8 + k] = k == GAP >> 12 ? 0 : (uint64_t)k << 12 | 7;
}

/* What the host may lack among the rest, which is x86-64-v3. */
static inline void host_features(struct x86_cpuid_policy *p)
{
    uint32_t a, b = 0, c = 0, d;

    memset(p->feature, 1, sizeof(p->feature));
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    p->feature[X86_FEATURE_SHA] = b >> 29 & 1;
    p->feature[X86_FEATURE_GFNI] = c >> 8 & 1;
    p->feature[X86_FEATURE_VAES] = c >> 9 & 1;
    p->feature[X86_FEATURE_VPCLMULQDQ] = c >> 10 & 1;
}

static inline void rig_open(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    r->live = !VZ_HIDDEN_CALLS;
    r->c = aligned_alloc(64, (sizeof(*r->c) + 63) & ~(size_t)63);
    memset(r->c, 0, sizeof(*r->c));
    host_features(&r->policy);
    ck_assert_int_eq(mem_create(RAM, &r->vm.mem, NULL), 0);
    ck_assert_int_eq(mem_add(r->vm.mem, 0, RAM, false), 0);
    r->ram = mem_ptr(r->vm.mem, 0, RAM, MEM_WRITE);
    map_pages(r);
    r->vm.cpuid = &r->policy;
    r->c->vm = &r->vm;
    r->c->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_NE | X86_CR0_MP | X86_CR0_WP;
    r->c->cr3 = 0x1000;
    r->c->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXSAVE | X86_CR4_OSXMMEXCPT;
    r->c->efer = X86_EFER_LME | X86_EFER_LMA;
    r->c->xcr0 = 7;
    r->c->rflags = 2;
    r->c->code_size = X86_CODE_64;
    r->c->seg[X86_CS].attr = SEG_ATTR_P | SEG_ATTR_L | SEG_ATTR_S | 11;
    ck_assert_int_eq(mmu_create(r->c), 0);
    ck_assert_int_eq(thunk_cache_create(r->c), 0);
    mmu_mode_changed(r->c);
    fpu_init(r->c);
    fpu_mode_changed(r->c);
}

static inline void rig_close(struct rig *r)
{
    thunk_cache_destroy(r->c);
    mmu_destroy(r->c);
    mem_destroy(r->vm.mem);
    free(r->c);
}

/* What the block would go on with. */
static inline void stop(struct x86_cpu *c, const struct insn *i)
{
    (void)i;
    c->count.blocks++;
}

static inline bool rig_bind(struct rig *r, const uint8_t *bytes, unsigned len)
{
    struct x86_decoded d;

    memset(r->insn, 0, sizeof(r->insn));
    r->insn[1].fn = stop;
    if (x86_decode(bytes, len, r->c->code_size, &d) != X86_DECODE_OK)
        return false;
    return insn_bind(r->c, &d, bytes, r->insn) && r->insn->fn != insn_undefined;
}

/* Run what is bound. True: it went on to the next instruction. */
static inline bool rig_run(struct rig *r)
{
    uint64_t before = r->c->count.blocks;

    r->c->fault.pending = false;
    if (r->live)
        fpu_make_live(r->c);
    r->insn->fn(r->c, r->insn);
    fpu_park(r->c);
    return r->c->count.blocks != before;
}

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}
#define RUN(r, ...)                                                                                \
    ({                                                                                             \
        ck_assert(rig_bind(r, BYTES(__VA_ARGS__), sizeof((uint8_t[]){__VA_ARGS__})));              \
        rig_run(r);                                                                                \
    })
#define RUN_OK(r, ...) ck_assert(RUN(r, __VA_ARGS__))
#define RUN_FAULT(r, v, ...)                                                                       \
    do {                                                                                           \
        ck_assert(!RUN(r, __VA_ARGS__));                                                           \
        ck_assert((r)->c->fault.pending);                                                          \
        ck_assert_uint_eq((r)->c->fault.vector, v);                                                \
    } while (0)

/* 32-bit protected mode with flat segments, then real-address mode; paging off. */
static inline void leave_long_mode(struct rig *r, bool protected_mode)
{
    struct x86_cpu *c = r->c;

    c->efer = 0;
    c->cr0 = (c->cr0 & ~(uint64_t)(X86_CR0_PG | X86_CR0_PE)) | (protected_mode ? X86_CR0_PE : 0);
    c->code_size = protected_mode ? X86_CODE_32 : X86_CODE_16;
    for (unsigned k = 0; k < X86_LDTR; k++) {
        c->seg[k].attr = SEG_ATTR_P | SEG_ATTR_S | (k == X86_CS ? 11 : 3);
        c->seg[k].limit = protected_mode ? UINT32_MAX : 0xffff;
        c->seg[k].base = c->ea_base[k] = protected_mode ? 0 : 0x10000; /* real: DS:0 is DATA */
    }
    mmu_mode_changed(c);
    fpu_mode_changed(c);
}

#endif
