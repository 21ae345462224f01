/* SPDX-License-Identifier: MIT */
/* What the tests of <vz/hypervisor.h> share: a VM with RAM from address 0 and one vCPU, on every
 * accelerator that works here (each test runs once for each), and small programs for it. */
#ifndef VZ_HYPERVISOR_HYP_FIXTURE_H
#define VZ_HYPERVISOR_HYP_FIXTURE_H

#include <vz/hypervisor.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "unit.h"

#define PAGE 4096u
#define RAM  (64u * 4096u)

static const char *const accelerators[] = {"soft", "kvm"};

#define OK(call) ck_assert_int_eq((call), VZ_HV_SUCCESS)

struct rig {
    struct vz_hv_vm *vm;
    struct vz_hv_vcpu *cpu;
    struct vz_hv_exit exit;
    uint8_t *ram;
};

static inline uint8_t *new_pages(uint64_t len)
{
    uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(p, MAP_FAILED);
    return p;
}

/* False: the accelerator is not for this host, the test is over. */
static inline bool vm_open(struct rig *r, int which, unsigned flags)
{
    struct vz_hv_vm_options o = VZ_HV_VM_OPTIONS_INIT;
    struct vz_error err = {.text = ""};
    enum vz_hv_result result;

    memset(r, 0, sizeof(*r));
    o.accelerator = accelerators[which];
    o.flags = flags | (which > 0 ? VZ_HV_VM_UNPROBED : 0); /* these programs are small */
    o.vcpu_max = 3;
    result = vz_hv_vm_create(&o, &r->vm, &err);
    if (result && which > 0) {
        printf("skipped on %s: %s\n", o.accelerator, err.text);
        return false;
    }
    ck_assert_msg(result == VZ_HV_SUCCESS, "%s", err.text);
    r->ram = new_pages(RAM);
    OK(vz_hv_vm_map(r->vm, r->ram, 0, RAM, 7));
    return true;
}

static inline uint64_t get(struct vz_hv_vcpu *cpu, enum vz_hv_reg reg)
{
    uint64_t value = 0;

    OK(vz_hv_vcpu_get_reg(cpu, reg, &value));
    return value;
}

static inline void set(struct vz_hv_vcpu *cpu, enum vz_hv_reg reg, uint64_t value)
{
    OK(vz_hv_vcpu_set_reg(cpu, reg, value));
}

/* CS, DS, ... all with base 0. */
static inline void set_flat(struct vz_hv_vcpu *cpu, uint16_t code, uint16_t data)
{
    for (int n = VZ_HV_ES; n <= VZ_HV_GS; n++) {
        struct vz_hv_segment s = {0, n == VZ_HV_CS ? (code == 0x9b ? 0xffff : 0xffffffff)
                                                   : (data == 0x93 ? 0xffff : 0xffffffff),
                                  n == VZ_HV_CS ? 8 : 16, n == VZ_HV_CS ? code : data};

        if (code == 0x9b)
            s.selector = 0;
        OK(vz_hv_vcpu_set_segment(cpu, n, &s));
    }
}

/* Code at 0x1000, stack below 0x8000. */
static inline void load_code(struct rig *r, const void *code, size_t len)
{
    memcpy(r->ram + 0x1000, code, len);
    OK(vz_hv_vm_memory_written(r->vm, 0x1000, len));
    set(r->cpu, VZ_HV_REG_RIP, 0x1000);
    set(r->cpu, VZ_HV_REG_RFLAGS, 2);
    set(r->cpu, VZ_HV_REG_RSP, 0x8000);
}

static inline void real_mode(struct rig *r, const void *code, size_t len)
{
    set_flat(r->cpu, 0x9b, 0x93);
    load_code(r, code, len);
}

static inline void protected_mode(struct rig *r, const void *code, size_t len)
{
    set_flat(r->cpu, 0xc09b, 0xc093);
    set(r->cpu, VZ_HV_REG_CR0, 0x31);
    load_code(r, code, len);
}

/* Page tables at 0x20000: 1 GiB one to one in 2 MiB pages. */
static inline void long_mode(struct rig *r, const void *code, size_t len)
{
    uint64_t *table = (uint64_t *)(void *)(r->ram + 0x20000);

    table[0] = 0x21000 | 7;
    table[512] = 0x22000 | 7;
    for (uint64_t n = 0; n < 512; n++)
        table[1024 + n] = n << 21 | 0x87;
    set_flat(r->cpu, 0xa09b, 0xc093);
    set(r->cpu, VZ_HV_REG_CR3, 0x20000);
    set(r->cpu, VZ_HV_REG_CR4, 0x20);
    set(r->cpu, VZ_HV_REG_CR0, 0x80000031);
    OK(vz_hv_vcpu_set_msr(r->cpu, 0xc0000080, 0x500));
    load_code(r, code, len);
}

#define REAL(r, bytes...)                                                                          \
    do {                                                                                           \
        static const uint8_t code_[] = {bytes};                                                    \
        real_mode(r, code_, sizeof(code_));                                                        \
    } while (0)
#define PROTECTED(r, bytes...)                                                                     \
    do {                                                                                           \
        static const uint8_t code_[] = {bytes};                                                    \
        protected_mode(r, code_, sizeof(code_));                                                   \
    } while (0)
#define LONG(r, bytes...)                                                                          \
    do {                                                                                           \
        static const uint8_t code_[] = {bytes};                                                    \
        long_mode(r, code_, sizeof(code_));                                                        \
    } while (0)

static inline bool rig_open(struct rig *r, int which, unsigned flags)
{
    if (!vm_open(r, which, flags))
        return false;
    OK(vz_hv_vcpu_create(r->vm, 0, &r->cpu));
    return true;
}

static inline void rig_close(struct rig *r)
{
    OK(vz_hv_vcpu_destroy(r->cpu));
    OK(vz_hv_vm_destroy(r->vm));
    munmap(r->ram, RAM);
}

static inline void expect(struct rig *r, enum vz_hv_exit_reason reason)
{
    OK(vz_hv_vcpu_run(r->cpu, &r->exit));
    ck_assert_msg(r->exit.reason == reason, "exit %d, not %d; %s; rip %llx", r->exit.reason, reason,
                  r->exit.text, (unsigned long long)get(r->cpu, VZ_HV_REG_RIP));
}

static inline void expect_access(struct rig *r, enum vz_hv_exit_reason reason, unsigned size,
                          uint64_t address, uint64_t value)
{
    expect(r, reason);
    ck_assert_uint_eq(r->exit.size, size);
    ck_assert_uint_eq(r->exit.address, address);
    ck_assert_uint_eq(r->exit.value, value);
}

static inline void answer(struct rig *r, uint64_t value)
{
    OK(vz_hv_vcpu_answer(r->cpu, value));
}

#define EACH(suite, fn)                                                                            \
    do {                                                                                           \
        TCase *case_ = tcase_create(#fn);                                                          \
        tcase_set_timeout(case_, 100);                                                             \
        tcase_add_loop_test(case_, fn, 0, sizeof(accelerators) / sizeof(accelerators[0]));         \
        suite_add_tcase(suite, case_);                                                             \
    } while (0)

#endif
