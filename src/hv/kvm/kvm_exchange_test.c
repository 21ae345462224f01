/* SPDX-License-Identifier: MIT */
/* A guest in the middle of a computation moves from KVM to the software CPU and back, again and
 * again: registers, vector state, local APIC with its timer running (by KVM's PV EOI), TSC. Both
 * CPUs of the guest compute, and count the interrupts of their timers. At the end the results are
 * compared with the host's.
 *
 * Where /dev/kvm runs small programs only, so does this: without vector state and interrupts. */
#include "hv/kvm/kvm_fixture.h"

#include <sched.h>

#include "base/clock.h"
#include "state/state.h"

#define MOVES 6u
#define CPUS  2u
#define PML4  0x2000u
#define GDT   0x6000u
#define IDT   0x7000u
#define CODE  0x10000u
#define TIMER_VECTOR 0x40u

/* A CPU's page of memory, at 20000h plus its number times 1000h; RBP points to it. */
struct page {
    _Atomic uint64_t steps;    /* done, and as the others up to date with it */
    uint64_t hash;             /* of all steps */
    uint64_t lanes[2];         /* the same in XMM0 */
    _Atomic uint64_t ticks;    /* timer interrupts */
    uint64_t last_tsc;
    uint64_t went_back;        /* how often the TSC was less than before */
    uint64_t full;             /* from us: with vector state and interrupts */
    _Atomic uint64_t finish;   /* from us: come to an end */
    uint64_t eoi_flag;         /* KVM's PV EOI: set when the handler need not tell the local APIC */
    uint64_t stack[256];
};

/* RAX: hash; RBX: steps; R8: TSC seen last; XMM0: lanes; XMM1: constant. */
__asm__(".pushsection .rodata\n"
        "exchange_begin:\n"
        "   xor %ebx, %ebx\n"
        "   xor %r8d, %r8d\n"
        "   mov $0x9e3779b97f4a7c15, %rax\n"
        "   cmpl $0, 56(%rbp)\n"
        "   je 1f\n"
        "   movq %rax, %xmm0\n"
        "   punpcklqdq %xmm0, %xmm0\n"
        "   movdqa %xmm0, %xmm1\n"
        "   mov $0x4b564d04, %ecx\n"
        "   lea 73(%rbp), %eax\n" /* the flag, and bit 0 */
        "   xor %edx, %edx\n"
        "   wrmsr\n"
        "   mov $0xfee00000, %esi\n"
        "   movl $0x1ff, 0xf0(%rsi)\n"
        "   movl $0x3, 0x3e0(%rsi)\n"    /* divide by 16 */
        "   movl $0x20040, 0x320(%rsi)\n" /* periodic, vector 40h */
        "   movl $20000, 0x380(%rsi)\n"   /* 320 us */
        "   mov $0x9e3779b97f4a7c15, %rax\n"
        "   sti\n"
        "1: mov %rax, %rcx\n" /* xorshift, and the count */
        "   shl $13, %rcx\n"
        "   xor %rcx, %rax\n"
        "   mov %rax, %rcx\n"
        "   shr $7, %rcx\n"
        "   xor %rcx, %rax\n"
        "   mov %rax, %rcx\n"
        "   shl $17, %rcx\n"
        "   xor %rcx, %rax\n"
        "   add %rbx, %rax\n"
        "   inc %rbx\n"
        "   cmpl $0, 56(%rbp)\n"
        "   je 2f\n"
        "   paddq %xmm1, %xmm0\n"
        "   mov %rax, %r9\n"
        "   rdtsc\n"
        "   shl $32, %rdx\n"
        "   or %rax, %rdx\n"
        "   mov %r9, %rax\n"
        "   cmp %r8, %rdx\n"
        "   jae 3f\n"
        "   incq 48(%rbp)\n"
        "3: mov %rdx, %r8\n"
        "2: mov %rax, 8(%rbp)\n"
        "   cmpl $0, 56(%rbp)\n"
        "   je 4f\n"
        "   movdqu %xmm0, 16(%rbp)\n"
        "4: mov %rbx, (%rbp)\n"
        "   cmpl $0, 64(%rbp)\n"
        "   je 1b\n"
        "   cli\n"
        "   mov $0x300, %edx\n"
        "   mov %ebx, %eax\n"
        "   out %eax, %dx\n"
        "9: hlt\n"
        "   jmp 9b\n"
        "exchange_timer:\n"
        "   incq 32(%rbp)\n"
        "   btrl $0, 72(%rbp)\n"
        "   jc 1f\n"
        "   movl $0, 0xb0(%rsi)\n"
        "1: iretq\n"
        "exchange_end:\n"
        ".popsection\n");
extern const uint8_t exchange_begin[], exchange_timer[], exchange_end[];

static struct page *page_of(struct mem *mem, unsigned cpu)
{
    struct page *p = mem_ptr(mem, 0x20000u + 0x1000u * cpu, sizeof(*p), MEM_WRITE);

    ck_assert_ptr_nonnull(p);
    return p;
}

static void put64(struct mem *mem, gpa_t gpa, uint64_t v)
{
    uint8_t le[8];

    store_le64(le, v);
    ck_assert_int_eq(mem_write(mem, gpa, le, sizeof(le)), 0);
}

static void fill_memory(struct mem *mem, bool full)
{
    const uint64_t flags = X86_PTE_P | X86_PTE_W | X86_PTE_A | X86_PTE_D;
    uint64_t timer = CODE + (uint64_t)(exchange_timer - exchange_begin);

    put64(mem, PML4, (PML4 + 0x1000) | flags);
    put64(mem, PML4 + 0x1000, (PML4 + 0x2000) | flags);
    put64(mem, PML4 + 0x1000 + 24, (PML4 + 0x3000) | flags);
    put64(mem, PML4 + 0x2000, flags | X86_PTE_PS);
    put64(mem, PML4 + 0x3000 + (APIC_DEFAULT_BASE - 3 * GIB) / (2 * MIB) * 8,
          APIC_DEFAULT_BASE | flags | X86_PTE_PS | X86_PTE_PCD);
    put64(mem, GDT + 8, UINT64_C(0x00209b0000000000));
    put64(mem, GDT + 16, UINT64_C(0x0000930000000000));
    put64(mem, IDT + 16 * TIMER_VECTOR, (timer & 0xffff) | UINT64_C(8) << 16 |
                                            UINT64_C(0x8e00) << 32 | (timer >> 16 & 0xffff) << 48);
    ck_assert_int_eq(mem_write(mem, CODE, exchange_begin,
                               (uint64_t)(exchange_end - exchange_begin)), 0);
    for (unsigned i = 0; i < CPUS; i++)
        page_of(mem, i)->full = full;
}

static void start_cpu(struct fx *f, unsigned cpu)
{
    const struct x86_segment data = {.limit = UINT32_MAX, .selector = 16,
                                     .attr = SEG_ATTR_G | SEG_ATTR_DB | SEG_ATTR_P | SEG_ATTR_S | 3};
    struct x86_cpu_state s;

    ck_assert_int_eq(hv_x86_get(f->hv, f->cpu[cpu], &s), 0);
    for (unsigned i = X86_ES; i <= X86_GS; i++)
        s.seg[i] = data;
    s.seg[X86_CS] = (struct x86_segment){
        .limit = UINT32_MAX, .selector = 8,
        .attr = SEG_ATTR_G | SEG_ATTR_L | SEG_ATTR_P | SEG_ATTR_S | 11};
    s.gdtr = (struct x86_table){.base = GDT, .limit = 0x17};
    s.idtr = (struct x86_table){.base = IDT, .limit = 0xfff};
    s.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP;
    s.cr3 = PML4;
    s.cr4 = X86_CR4_PAE | X86_CR4_OSFXSR;
    s.efer = X86_EFER_LME | X86_EFER_LMA;
    s.rip = CODE;
    s.gpr[X86_RBP] = 0x20000 + 0x1000 * cpu;
    s.gpr[X86_RSP] = s.gpr[X86_RBP] + sizeof(struct page);
    s.run_state = X86_RUNNING;
    ck_assert_int_eq(hv_x86_set(f->hv, f->cpu[cpu], &s), 0);
}

/* Everything through the form in which it is saved. */
static void move(struct fx *from, struct fx *to)
{
    struct state_writer w = {0}, chips = {0};
    struct vz_error err = {.text = ""};
    struct x86_cpu_state s;

    for (unsigned i = 0; i < CPUS; i++) {
        ck_assert_int_eq(hv_x86_get(from->hv, from->cpu[i], &s), 0);
        ck_assert_int_eq(state_save(&w, &x86_cpu_state_desc, i, &s), 0);
    }
    ck_assert_int_eq(from->hv->irqchip_save(from->vm, &chips), 0);
    for (unsigned i = 0; i < CPUS; i++) {
        x86_cpu_state_reset(&s, i == 0, false);
        ck_assert_msg(state_load(w.data, w.len, &x86_cpu_state_desc, i, &s, &err) == 0, "%s",
                      err.text);
        ck_assert_int_eq(hv_x86_set(to->hv, to->cpu[i], &s), 0);
    }
    ck_assert_msg(to->hv->irqchip_load(to->vm, chips.data, chips.len, &err) == 0, "%s", err.text);
    state_writer_fini(&w);
    state_writer_fini(&chips);
}

/* Until each CPU has come further on f, and has been interrupted. */
static void run_a_bit(struct fx *f, bool full)
{
    struct fx_runner r[CPUS];

    for (unsigned i = 0; i < CPUS; i++)
        fx_start(&r[i], f, i);
    for (unsigned i = 0; i < CPUS; i++) {
        struct page *p = page_of(f->mem, i);
        uint64_t steps = p->steps, ticks = p->ticks;

        while (p->steps < steps + 200 || (full && p->ticks < ticks + 3)) {
            ck_assert_msg(!r[i].ended, "CPU %u ended: %d: %s", i, r[i].result, r[i].exit.text);
            sched_yield();
        }
    }
    for (unsigned i = 0; i < CPUS; i++)
        fx_stop(&r[i]);
}

static void run_to_end(struct fx *f)
{
    struct fx_runner r[CPUS];

    for (unsigned i = 0; i < CPUS; i++) {
        page_of(f->mem, i)->finish = 1;
        fx_start(&r[i], f, i);
    }
    fx_wait_count(f, CPUS);
    for (unsigned i = 0; i < CPUS; i++)
        fx_stop(&r[i]);
}

static void check(struct mem *mem, unsigned cpu)
{
    const struct page *p = page_of(mem, cpu);
    const uint64_t constant = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = constant;

    for (uint64_t i = 0; i < p->steps; i++) {
        hash ^= hash << 13;
        hash ^= hash >> 7;
        hash ^= hash << 17;
        hash += i;
    }
    ck_assert_uint_eq(p->hash, hash);
    ck_assert_uint_eq(p->went_back, 0);
    for (unsigned i = 0; i < 2 && p->full; i++)
        ck_assert_uint_eq(p->lanes[i], constant * (p->steps + 1));
}

static void exchange(const struct hv_ops *first, const struct hv_ops *second)
{
    bool full = !hv_kvm_ops.probe(NULL);
    struct fx f[2];

    fx_init(&f[0], first, NULL, CPUS);
    fx_init(&f[1], second, f[0].mem, CPUS);
    fill_memory(f[0].mem, full);
    for (unsigned i = 0; i < CPUS; i++)
        start_cpu(&f[0], i);
    for (unsigned i = 0; i < MOVES; i++) {
        run_a_bit(&f[i % 2], full);
        move(&f[i % 2], &f[(i + 1) % 2]);
    }
    run_to_end(&f[MOVES % 2]);
    for (unsigned i = 0; i < CPUS; i++)
        check(f[0].mem, i);
    fx_fini(&f[1]);
    fx_fini(&f[0]);
}

START_TEST(a_computation_moves_to_the_software_cpu_and_back)
{
    exchange(&hv_kvm_ops, &hv_soft_ops);
}
END_TEST

START_TEST(a_computation_moves_to_kvm_and_back)
{
    exchange(&hv_soft_ops, &hv_kvm_ops);
}
END_TEST

START_TEST(a_computation_moves_between_two_of_kvm)
{
    exchange(&hv_kvm_ops, &hv_kvm_ops);
}
END_TEST

/* What a pause does: read, wait, set again. The TSC has not counted meanwhile. */
static void pause_one(const struct hv_ops *hv)
{
    bool full = !hv_kvm_ops.probe(NULL);
    struct timespec nap = {.tv_nsec = 300 * (long)NS_PER_MS};
    struct x86_cpu_state before, after;
    uint64_t set, got;
    struct fx f;

    fx_init(&f, hv, NULL, CPUS);
    fill_memory(f.mem, full);
    for (unsigned i = 0; i < CPUS; i++)
        start_cpu(&f, i);
    run_a_bit(&f, full);
    ck_assert_int_eq(hv_x86_get(hv, f.cpu[0], &before), 0);
    nanosleep(&nap, NULL);
    set = clock_tsc();
    ck_assert_int_eq(hv_x86_set(hv, f.cpu[0], &before), 0);
    ck_assert_int_eq(hv_x86_get(hv, f.cpu[0], &after), 0);
    got = clock_tsc();
    ck_assert_uint_ge(after.tsc, before.tsc);
    ck_assert_uint_le(after.tsc - before.tsc, got - set);
    move(&f, &f);
    run_a_bit(&f, full);
    run_to_end(&f);
    for (unsigned i = 0; i < CPUS; i++)
        check(f.mem, i);
    fx_fini(&f);
}

START_TEST(a_pause_stops_the_tsc)
{
    pause_one(&hv_soft_ops);
    if (!hv_kvm_ops.probe(NULL))
        pause_one(&hv_kvm_ops);
}
END_TEST

/* A CPU that waits for a SIPI, or is about to by an INIT that it has not taken, and one that is there: KVM takes what
 * is pending when it is asked for the state, the software CPU when it runs. */
static void leave_pending(struct fx *f, bool init, const struct hv_ops *to)
{
    struct x86_cpu_state s;
    struct fx other;

    fx_init(&other, to, NULL, CPUS);
    ck_assert_int_eq(hv_x86_get(f->hv, f->cpu[1], &s), 0);
    s.run_state = init ? X86_RUNNING : X86_WAIT_FOR_SIPI;
    s.init_pending = init;
    s.sipi_pending = true;
    s.sipi_vector = 0x9a;
    ck_assert_int_eq(hv_x86_set(f->hv, f->cpu[1], &s), 0);
    move(f, &other);
    ck_assert_int_eq(hv_x86_get(to, other.cpu[1], &s), 0);
    if (s.sipi_pending) {
        ck_assert(s.run_state == X86_WAIT_FOR_SIPI || s.init_pending);
        ck_assert_uint_eq(s.sipi_vector, 0x9a);
    } else {
        ck_assert(!s.init_pending);
        ck_assert_uint_eq(s.run_state, X86_RUNNING);
        ck_assert_uint_eq(s.seg[X86_CS].base, 0x9a000);
        ck_assert_uint_eq(s.rip, 0);
    }
    fx_fini(&other);
}

static void pending_between(const struct hv_ops *from, const struct hv_ops *to)
{
    for (unsigned init = 0; init < 2; init++) {
        struct fx f;

        fx_init(&f, from, NULL, CPUS);
        leave_pending(&f, init, to);
        fx_fini(&f);
    }
}

START_TEST(an_init_and_a_sipi_that_wait_are_not_lost)
{
    pending_between(&hv_soft_ops, &hv_soft_ops);
    if (hv_kvm_ops.probe(NULL))
        return;
    pending_between(&hv_soft_ops, &hv_kvm_ops);
    pending_between(&hv_kvm_ops, &hv_soft_ops);
    pending_between(&hv_kvm_ops, &hv_kvm_ops);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, an_init_and_a_sipi_that_wait_are_not_lost);
    UNIT_TEST(s, a_pause_stops_the_tsc);
    UNIT_TEST(s, a_computation_moves_to_the_software_cpu_and_back);
    UNIT_TEST(s, a_computation_moves_to_kvm_and_back);
    UNIT_TEST(s, a_computation_moves_between_two_of_kvm);
}

FX_MAIN("kvm exchange", add_tests)
