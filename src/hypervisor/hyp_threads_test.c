/* SPDX-License-Identifier: MIT */
/* <vz/hypervisor.h>: threads, cancelling, deadlines, and destroying. */
#include "hypervisor/hyp_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

static void *try_from_elsewhere(void *arg)
{
    struct rig *r = arg;
    struct vz_hv_exit exit;
    struct vz_hv_vcpu_stats stats;
    uint64_t value;

    ck_assert_int_eq(vz_hv_vcpu_run(r->cpu, &exit), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_get_reg(r->cpu, VZ_HV_REG_RAX, &value), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_reset(r->cpu), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_answer(r->cpu, 0), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_inject_interrupt(r->cpu, 32), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_get_stats(r->cpu, &stats, sizeof(stats)), VZ_HV_DENIED);
    ck_assert_int_eq(vz_hv_vcpu_destroy(r->cpu), VZ_HV_DENIED);
    return NULL;
}

START_TEST(a_vcpu_belongs_to_its_thread)
{
    struct rig r;
    struct vz_hv_vcpu *other;
    pthread_t t;

    if (!rig_open(&r, _i, 0))
        return;
    pthread_create(&t, NULL, try_from_elsewhere, &r);
    pthread_join(t, NULL);
    ck_assert_int_eq(vz_hv_vcpu_create(r.vm, 1, &other), VZ_HV_BUSY);
    ck_assert_int_eq(vz_hv_vcpu_create(r.vm, 3, &other), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_create(r.vm, 1, NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_destroy(r.vm), VZ_HV_BUSY);
    rig_close(&r);
}
END_TEST

START_TEST(numbers_are_used_again)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    for (unsigned n = 0; n < 5; n++) {
        REAL(&r, 0xe4, 0x10, 0xf4);
        OK(vz_hv_vcpu_inject_interrupt(r.cpu, 0x20));
        expect(&r, VZ_HV_EXIT_PORT_READ); /* destroyed in the middle of it */
        OK(vz_hv_vcpu_destroy(r.cpu));
        OK(vz_hv_vcpu_create(r.vm, 0, &r.cpu));
        ck_assert_uint_eq(get(r.cpu, VZ_HV_REG_RIP), 0xfff0);
        ck_assert_int_eq(vz_hv_vcpu_withdraw_interrupt(r.cpu), VZ_HV_BAD_ARGUMENT);
    }
    rig_close(&r);
}
END_TEST

START_TEST(cancelling_before_a_run_ends_it)
{
    struct rig r;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xeb, 0xfe); /* jmp $ */
    OK(vz_hv_vcpu_cancel(r.cpu));
    OK(vz_hv_vcpu_cancel(r.cpu));
    expect(&r, VZ_HV_EXIT_CANCELLED);
    OK(vz_hv_vcpu_run_until(r.cpu, 0, &r.exit));
    ck_assert_int_eq(r.exit.reason, VZ_HV_EXIT_DEADLINE);
    rig_close(&r);
}
END_TEST

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

START_TEST(a_deadline_ends_a_busy_guest)
{
    struct rig r;
    struct vz_hv_vcpu_stats stats;
    uint64_t deadline;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0xeb, 0xfe);
    deadline = now_ns() + 3000000;
    OK(vz_hv_vcpu_run_until(r.cpu, deadline, &r.exit));
    ck_assert_int_eq(r.exit.reason, VZ_HV_EXIT_DEADLINE);
    ck_assert_uint_ge(now_ns(), deadline);
    OK(vz_hv_vcpu_get_stats(r.cpu, &stats, sizeof(stats)));
    ck_assert_uint_eq(stats.runs, 1);
    ck_assert_uint_eq(stats.exits[VZ_HV_EXIT_DEADLINE], 1);
    ck_assert_uint_gt(stats.exec_time_ns, 0);
    rig_close(&r);
}
END_TEST

struct kicker {
    struct rig *r;
    _Atomic bool stop;
};

static void *kick_on(void *arg)
{
    struct kicker *k = arg;

    while (!k->stop)
        vz_hv_vcpu_cancel(k->r->cpu);
    return NULL;
}

/* However cancels and exits fall together, no access is lost and none comes twice. */
START_TEST(cancelling_loses_nothing)
{
    struct rig r;
    struct kicker k = {&r, false};
    unsigned next = 1, cancelled = 0;
    pthread_t t;

    if (!rig_open(&r, _i, 0))
        return;
    REAL(&r, 0x40, 0xe7, 0x10, 0xeb, 0xfb); /* again: inc ax; out 0x10, ax; jmp again */
    set(r.cpu, VZ_HV_REG_RAX, 0);
    pthread_create(&t, NULL, kick_on, &k);
    while (next < 3000 || !cancelled) { /* on a busy host the other thread may be late */
        OK(vz_hv_vcpu_run(r.cpu, &r.exit));
        if (r.exit.reason == VZ_HV_EXIT_CANCELLED) {
            cancelled++;
            continue;
        }
        ck_assert_int_eq(r.exit.reason, VZ_HV_EXIT_PORT_WRITE);
        ck_assert_uint_eq(r.exit.value, next & 0xffff);
        next++;
    }
    k.stop = true;
    pthread_join(t, NULL);
    ck_assert_uint_gt(cancelled, 0);
    rig_close(&r);
}
END_TEST

struct pair {
    struct rig *r;
    sem_t ready, ended;
};

#define CANCELS 300u

static void *cancel_one_by_one(void *arg)
{
    struct pair *p = arg;

    for (unsigned n = 0; n < CANCELS; n++) {
        sem_wait(&p->ready);
        if (n % 3 == 2)
            sched_yield(); /* so it comes before, at the beginning of, or in the middle of a run */
        vz_hv_vcpu_cancel(p->r->cpu);
        sem_wait(&p->ended);
    }
    return NULL;
}

/* One exit for each, and none without: whether the guest is busy, or asleep in HLT inside the
 * library. */
START_TEST(each_cancel_ends_one_run)
{
    for (unsigned asleep = 0; asleep < 2; asleep++) {
        struct pair p;
        struct rig r;
        pthread_t t;

        if (!rig_open(&r, _i, asleep ? VZ_HV_VM_IRQCHIP : 0))
            return;
        if (asleep)
            REAL(&r, 0xf4, 0xeb, 0xfd); /* again: hlt; jmp again */
        else
            REAL(&r, 0xeb, 0xfe);
        p.r = &r;
        sem_init(&p.ready, 0, 0);
        sem_init(&p.ended, 0, 0);
        pthread_create(&t, NULL, cancel_one_by_one, &p);
        for (unsigned n = 0; n < CANCELS; n++) {
            sem_post(&p.ready);
            expect(&r, VZ_HV_EXIT_CANCELLED);
            sem_post(&p.ended);
        }
        pthread_join(t, NULL);
        OK(vz_hv_vcpu_run_until(r.cpu, now_ns() + 1000000, &r.exit));
        ck_assert_int_eq(r.exit.reason, VZ_HV_EXIT_DEADLINE);
        sem_destroy(&p.ready);
        sem_destroy(&p.ended);
        rig_close(&r);
    }
}
END_TEST

struct guest {
    struct vz_hv_vm *vm;
    unsigned index;
    uint8_t *ram;
    struct vz_hv_vcpu *_Atomic cpu;
    uint64_t exits;
};

/* again: inc dword [ebx]; mov eax, [0x5000]; call 0x2000 (ret); jmp again */
static const uint8_t hammer[] = {0xff, 0x03, 0xa1, 0, 0x50, 0, 0, 0xe8, 0xf4, 0x0f, 0, 0,
                                 0xeb, 0xf2};

static void *run_guest(void *arg)
{
    struct guest *g = arg;
    struct rig r = {.vm = g->vm, .ram = g->ram};

    OK(vz_hv_vcpu_create(g->vm, g->index, &r.cpu));
    set_flat(r.cpu, 0xc09b, 0xc093);
    set(r.cpu, VZ_HV_REG_CR0, 0x31);
    set(r.cpu, VZ_HV_REG_RIP, 0x1000);
    set(r.cpu, VZ_HV_REG_RSP, 0x8000 + 0x1000 * g->index);
    set(r.cpu, VZ_HV_REG_RBX, 0x6000 + 64 * g->index);
    g->cpu = r.cpu;
    for (;;) {
        OK(vz_hv_vcpu_run(r.cpu, &r.exit));
        g->exits++;
        switch (r.exit.reason) {
        case VZ_HV_EXIT_MMIO_READ:
            ck_assert_uint_eq(r.exit.address, 0x5000);
            answer(&r, 0);
            break;
        case VZ_HV_EXIT_CANCELLED:
            OK(vz_hv_vcpu_destroy(r.cpu));
            return NULL;
        case VZ_HV_EXIT_MEMORY:
            ck_assert_uint_eq(r.exit.address, 0x2000);
            break;
        default:
            ck_abort_msg("exit %d: %s", r.exit.reason, r.exit.text);
        }
    }
}

/* Two vCPUs compute while data and code under them are taken away and given back. */
START_TEST(memory_changes_under_running_vcpus)
{
    struct rig r;
    struct guest g[2];
    pthread_t t[2];

    if (!vm_open(&r, _i, 0))
        return;
    memcpy(r.ram + 0x1000, hammer, sizeof(hammer));
    r.ram[0x2000] = 0xc3;
    for (unsigned n = 0; n < 2; n++) {
        g[n] = (struct guest){.vm = r.vm, .index = n, .ram = r.ram};
        pthread_create(&t[n], NULL, run_guest, &g[n]);
    }
    for (unsigned n = 0; n < 100; n++) {
        uint8_t *page = new_pages(2 * PAGE); /* freed while they run */

        page[0] = 0xc3;
        OK(vz_hv_vm_unmap(r.vm, 0x5000, PAGE));
        OK(vz_hv_vm_map(r.vm, page + PAGE, 0x5000, PAGE, 7));
        if (n % 4 == 0) {
            OK(vz_hv_vm_unmap(r.vm, 0x2000, PAGE));
            OK(vz_hv_vm_map(r.vm, page, 0x2000, PAGE, 5));
        }
        OK(vz_hv_vm_protect(r.vm, 0x5000, PAGE, 5));
        OK(vz_hv_vm_unmap(r.vm, 0x5000, PAGE));
        OK(vz_hv_vm_map(r.vm, r.ram + 0x5000, 0x5000, PAGE, 7));
        if (n % 4 == 0) {
            OK(vz_hv_vm_unmap(r.vm, 0x2000, PAGE));
            OK(vz_hv_vm_map(r.vm, r.ram + 0x2000, 0x2000, PAGE, 7));
        }
        munmap(page, 2 * PAGE);
        sched_yield();
    }
    for (unsigned n = 0; n < 2; n++) {
        while (!g[n].cpu)
            sched_yield();
        vz_hv_vcpu_cancel(g[n].cpu);
        pthread_join(t[n], NULL);
    }
    OK(vz_hv_vm_destroy(r.vm));
    munmap(r.ram, RAM);
}
END_TEST

static void add_tests(Suite *s)
{
    EACH(s, a_vcpu_belongs_to_its_thread);
    EACH(s, numbers_are_used_again);
    EACH(s, cancelling_before_a_run_ends_it);
    EACH(s, a_deadline_ends_a_busy_guest);
    EACH(s, cancelling_loses_nothing);
    EACH(s, each_cancel_ends_one_run);
    EACH(s, memory_changes_under_running_vcpus);
}

UNIT_TEST_MAIN("hypervisor/hyp_threads", add_tests)
