/* SPDX-License-Identifier: MIT */
/* For the tests of the KVM backend: a machine of some pages of RAM that runs a few bytes of code,
 * on either backend, with a record of what it says at ports and addresses. */
#ifndef VZ_HV_KVM_KVM_FIXTURE_H
#define VZ_HV_KVM_KVM_FIXTURE_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arch/x86/regs.h"
#include "base/error.h"
#include "base/le.h"
#include "hv/kvm/kvm.h"
#include "loop/loop.h"
#include "unit.h"

#define FX_RAM   (2 * MIB)
#define FX_CODE  0x1000u
#define FX_STACK 0x8000u
#define FX_LOG   64u
#define FX_DONE_PORT 0x3ff /* a program says there that it is through */
#define FX_SMI_PORT  0x3fe /* or asks for an SMI, as by port 0xb2 */

struct fx_access {
    bool mmio, write;
    uint64_t addr, value;
    unsigned size;
};

struct fx {
    const struct hv_ops *hv;
    struct mem *mem;
    bool owns_mem, smm;
    struct hv_vm *vm;
    struct hv_vcpu *cpu[2];
    struct loop *loop;
    pthread_t loop_thread;
    struct hv_exit exit;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct fx_access log[FX_LOG];
    unsigned count;      /* accesses so far, of which the log has the first */
    bool done;           /* the program has written to FX_DONE_PORT */
    uint32_t answer;     /* what reads give; counts up */
};

static inline void fx_note(struct fx *f, const struct fx_access *a)
{
    pthread_mutex_lock(&f->lock);
    if (f->count < FX_LOG)
        f->log[f->count] = *a;
    f->count++;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static inline uint64_t fx_mmio_read(void *arg, gpa_t gpa, unsigned size)
{
    struct fx *f = arg;
    const struct fx_access a = {.mmio = true, .addr = gpa, .size = size, .value = ++f->answer};

    fx_note(f, &a);
    return a.value;
}

static inline void fx_mmio_write(void *arg, gpa_t gpa, unsigned size, uint64_t value)
{
    fx_note(arg, &(struct fx_access){.mmio = true, .write = true, .addr = gpa, .size = size,
                                     .value = value});
}

static inline uint32_t fx_port_read(void *arg, uint16_t port, unsigned size)
{
    struct fx *f = arg;
    const struct fx_access a = {.addr = port, .size = size, .value = ++f->answer};

    fx_note(f, &a);
    return (uint32_t)a.value;
}

static inline void fx_port_write(void *arg, uint16_t port, unsigned size, uint32_t value)
{
    struct fx *f = arg;

    if (port == FX_DONE_PORT) {
        f->done = true;
        f->hv->vcpu_kick(f->cpu[0]);
        return;
    }
    if (port == FX_SMI_PORT && f->smm) {
        f->hv->smi(f->vm);
        return;
    }
    fx_note(arg,
            &(struct fx_access){.write = true, .addr = port, .size = size, .value = value});
}

static const struct hv_io_ops fx_io = {.mmio_read = fx_mmio_read, .mmio_write = fx_mmio_write,
                                       .port_read = fx_port_read, .port_write = fx_port_write};

static inline void *fx_run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

/* mem: NULL for RAM of its own. smm: with System Management Mode. */
static inline void fx_init_smm(struct fx *f, const struct hv_ops *hv, struct mem *mem, unsigned cpus, bool smm)
{
    struct hv_vm_desc desc = {.vcpu_count = cpus, .io = &fx_io, .io_arg = f, .smm = smm};
    struct vz_error err = {.text = ""};

    memset(f, 0, sizeof(*f));
    f->hv = hv;
    f->smm = smm;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->mem = mem;
    f->owns_mem = !mem;
    if (!mem) {
        ck_assert_int_eq(mem_create(FX_RAM + 64 * KIB, &f->mem, NULL), 0);
        ck_assert_int_eq(mem_add(f->mem, 0, 640 * KIB, false), 0);
        ck_assert_int_eq(mem_add(f->mem, 0xf0000, 64 * KIB, true), 0);
        ck_assert_int_eq(mem_add(f->mem, MIB, MIB, false), 0);
    }
    ck_assert_int_eq(loop_create(&f->loop), 0);
    ck_assert_int_eq(pthread_create(&f->loop_thread, NULL, fx_run_loop, f->loop), 0);
    desc.mem = f->mem;
    desc.loop = f->loop;
    ck_assert_msg(hv->vm_create(&desc, &f->vm, &err) == 0, "%s", err.text);
    for (unsigned i = 0; i < cpus; i++)
        ck_assert_int_eq(hv->vcpu_create(f->vm, i, &f->cpu[i]), 0);
}

static inline void fx_init(struct fx *f, const struct hv_ops *hv, struct mem *mem, unsigned cpus)
{
    fx_init_smm(f, hv, mem, cpus, false);
}

static inline void fx_fini(struct fx *f)
{
    loop_stop(f->loop);
    pthread_join(f->loop_thread, NULL);
    f->hv->vm_destroy(f->vm);
    loop_destroy(f->loop);
    if (f->owns_mem)
        mem_destroy(f->mem);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
}

/* The code at FX_CODE, and CPU 0 in real mode at it. */
static inline void fx_real_mode(struct fx *f, const uint8_t *begin, const uint8_t *end)
{
    struct x86_cpu_state s;

    ck_assert_int_eq(mem_write(f->mem, FX_CODE, begin, (uint64_t)(end - begin)), 0);
    ck_assert_int_eq(hv_x86_get(f->hv, f->cpu[0], &s), 0);
    for (unsigned i = X86_ES; i <= X86_GS; i++) {
        s.seg[i].base = 0;
        s.seg[i].selector = 0;
    }
    s.rip = FX_CODE;
    s.gpr[X86_RSP] = FX_STACK;
    ck_assert_int_eq(hv_x86_set(f->hv, f->cpu[0], &s), 0);
}

/* Run CPU 0 until its program is through. */
static inline void fx_run(struct fx *f)
{
    int r;

    f->done = false;
    do
        r = f->hv->vcpu_run(f->cpu[0], &f->exit);
    while (r == -EINTR && !f->done);
    ck_assert_msg(r == -EINTR, "%d: %s", r, f->exit.text);
}

/* A thread that runs CPU n until fx_stop(). */
struct fx_runner {
    struct fx *f;
    unsigned cpu;
    pthread_t thread;
    _Atomic bool stop, ended;
    _Atomic uint64_t kicks; /* taken */
    struct hv_exit exit;
    int result;
};

static inline void *fx_runner_thread(void *arg)
{
    struct fx_runner *r = arg;

    while (!r->stop) {
        r->result = r->f->hv->vcpu_run(r->f->cpu[r->cpu], &r->exit);
        if (r->result != -EINTR)
            break;
        r->kicks++;
    }
    r->ended = true;
    return NULL;
}

static inline void fx_start(struct fx_runner *r, struct fx *f, unsigned cpu)
{
    memset(r, 0, sizeof(*r));
    r->f = f;
    r->cpu = cpu;
    ck_assert_int_eq(pthread_create(&r->thread, NULL, fx_runner_thread, r), 0);
}

static inline void fx_stop(struct fx_runner *r)
{
    r->stop = true;
    r->f->hv->vcpu_kick(r->f->cpu[r->cpu]);
    pthread_join(r->thread, NULL);
    ck_assert_msg(r->result == -EINTR, "%d: %s", r->result, r->exit.text);
}

/* Until there have been count accesses. */
static inline void fx_wait_count(struct fx *f, unsigned count)
{
    pthread_mutex_lock(&f->lock);
    while (f->count < count)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

static inline void fx_expect(struct fx *f, unsigned n, bool mmio, bool write, uint64_t addr,
                             unsigned size, uint64_t value)
{
    const struct fx_access *a = &f->log[n];
    unsigned count;

    pthread_mutex_lock(&f->lock); /* the program may still run */
    count = f->count;
    pthread_mutex_unlock(&f->lock);
    ck_assert_uint_gt(count, n);
    ck_assert_msg(a->mmio == mmio && a->write == write && a->addr == addr && a->size == size &&
                      a->value == value,
                  "access %u: %s %s of %u bytes at %#llx: %#llx", n, a->mmio ? "memory" : "port",
                  a->write ? "write" : "read", a->size, (unsigned long long)a->addr,
                  (unsigned long long)a->value);
}

/* Why there is no machine to be had of /dev/kvm; NULL: there is. */
static inline const char *fx_no_kvm(void)
{
    static struct vz_error err;
    int sys, vm;

    if (kvm_open_vm(&sys, &vm, &err) < 0)
        return err.text;
    close(vm);
    close(sys);
    return NULL;
}

#define FX_MAIN(suite_name, add_tests) UNIT_TEST_MAIN_UNLESS(suite_name, add_tests, fx_no_kvm())

#endif
