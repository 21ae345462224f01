/* SPDX-License-Identifier: MIT */
/* The KVM backend with programs of a few instructions, which every KVM can run: accesses, kicks,
 * interrupts, shortcuts, states. Skipped where /dev/kvm does not open. */
#include "hv/kvm/kvm_fixture.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/x86/chips.h"
#include "hv/hv_x86.h"
#include "mem/mem_window.h"
#include "state/state.h"

#define PROGRAM(name, text)                                                                        \
    __asm__(".pushsection .rodata\n.code16\n" #name "_begin:\n" text #name                         \
            "_end:\n.code64\n.popsection\n");                                                      \
    extern const uint8_t name##_begin[], name##_end[]

#define DONE "mov $0x3ff, %dx\n out %al, %dx\n 9: cli\n hlt\n jmp 9b\n"

PROGRAM(accesses, "mov $0x55aa, %ax\n"
                  "out %al, $0x42\n" /* the PIT's: never seen here */
                  "mov $0x300, %dx\n"
                  "out %al, %dx\n"
                  "out %ax, %dx\n"
                  "in %dx, %al\n"
                  "add $1, %al\n"
                  "out %al, %dx\n"
                  "mov $0xa000, %bx\n"
                  "mov %bx, %es\n"
                  "movw $0x1234, %es:0x10\n"
                  "movw $0x5678, %es:0x11\n" /* not aligned */
                  "movb %es:0x20, %al\n"
                  "out %al, %dx\n"
                  "mov $0xf000, %bx\n"
                  "mov %bx, %es\n"
                  "movw $0x9999, %es:0x0\n" /* ROM */
                  "movw %es:0x0, %ax\n"
                  "out %ax, %dx\n" DONE);

START_TEST(accesses_become_calls)
{
    struct fx f;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    ck_assert_int_eq(mem_write(f.mem, 0xf0000, "\x34\x12", 2), 0);
    fx_real_mode(&f, accesses_begin, accesses_end);
    fx_run(&f);
    fx_expect(&f, 0, false, true, 0x300, 1, 0xaa);
    fx_expect(&f, 1, false, true, 0x300, 2, 0x55aa);
    fx_expect(&f, 2, false, false, 0x300, 1, 1);
    fx_expect(&f, 3, false, true, 0x300, 1, 2);
    fx_expect(&f, 4, true, true, 0xa0010, 2, 0x1234);
    fx_expect(&f, 5, true, true, 0xa0011, 1, 0x78);
    fx_expect(&f, 6, true, true, 0xa0012, 1, 0x56);
    fx_expect(&f, 7, true, false, 0xa0020, 1, 2);
    fx_expect(&f, 8, false, true, 0x300, 1, 2);
    fx_expect(&f, 9, false, true, 0x300, 2, 0x1234); /* ROM has not changed */
    ck_assert_uint_eq(f.count, 10);
    fx_fini(&f);
}
END_TEST

PROGRAM(strings, "mov $0x300, %dx\n"
                 "mov $0x2000, %si\n"
                 "mov $40, %cx\n"
                 "cld\n"
                 "rep outsb\n"
                 "mov $0x2100, %di\n"
                 "mov $3, %cx\n"
                 "rep insw\n"
                 "mov $0x2100, %si\n"
                 "mov $3, %cx\n"
                 "rep outsw\n" DONE);

START_TEST(strings_arrive_in_order)
{
    struct fx f;
    unsigned n = 0;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    for (uint8_t i = 0; i < 40; i++)
        ck_assert_int_eq(mem_write(f.mem, 0x2000u + i, &i, 1), 0);
    fx_real_mode(&f, strings_begin, strings_end);
    fx_run(&f);
    for (; n < 40; n++)
        fx_expect(&f, n, false, true, 0x300, 1, n);
    for (unsigned i = 1; i <= 3; i++)
        fx_expect(&f, n++, false, false, 0x300, 2, i);
    for (unsigned i = 1; i <= 3; i++)
        fx_expect(&f, n++, false, true, 0x300, 2, i);
    ck_assert_uint_eq(f.count, n);
    fx_fini(&f);
}
END_TEST

PROGRAM(late, "mov $5, %cx\n"
              "1: mov %cl, %al\n"
              "out %al, $0x80\n"
              "loop 1b\n"
              "mov $0x300, %dx\n"
              "in %dx, %al\n"
              "mov $7, %al\n"
              "out %al, $0x80\n" DONE);

START_TEST(late_writes_keep_their_place)
{
    struct fx f;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    (void)f.hv->shortcut->port_defer_writes(f.vm, 0x80, 1); /* with it or without: the order is the same */
    fx_real_mode(&f, late_begin, late_end);
    fx_run(&f);
    for (unsigned i = 0; i < 5; i++)
        fx_expect(&f, i, false, true, 0x80, 1, 5 - i);
    fx_expect(&f, 5, false, false, 0x300, 1, 1);
    fx_expect(&f, 6, false, true, 0x80, 1, 7);
    ck_assert_uint_eq(f.count, 7);
    fx_fini(&f);
}
END_TEST

PROGRAM(halted, "cli\n"
                "1: hlt\n"
                "jmp 1b\n");
PROGRAM(busy, "mov $0x300, %dx\n"
              "1: in %dx, %al\n"
              "jmp 1b\n");

/* Each kick must end a vcpu_run(), wherever the vCPU's thread is; a lost one would hang here. */
static void kick_often(const uint8_t *begin, const uint8_t *end)
{
    struct fx_runner r;
    struct fx f;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    f.hv->vcpu_kick(f.cpu[0]); /* before it runs */
    fx_real_mode(&f, begin, end);
    fx_start(&r, &f, 0);
    for (unsigned i = 0; i < 200; i++) {
        uint64_t taken = r.kicks;
        struct timespec nap = {.tv_nsec = (i % 7) * 10000};

        nanosleep(&nap, NULL);
        taken = r.kicks;
        f.hv->vcpu_kick(f.cpu[0]);
        while (r.kicks == taken)
            sched_yield();
    }
    fx_stop(&r);
    fx_fini(&f);
}

START_TEST(no_kick_is_lost_while_halted)
{
    kick_often(halted_begin, halted_end);
}
END_TEST

START_TEST(no_kick_is_lost_while_busy)
{
    kick_often(busy_begin, busy_end);
}
END_TEST

PROGRAM(sum, "mov $0x300, %dx\n"
             "xor %bx, %bx\n"
             "mov $1000, %cx\n"
             "1: in %dx, %ax\n"
             "add %ax, %bx\n"
             "loop 1b\n"
             "mov %bx, %ax\n"
             "out %ax, %dx\n" DONE);

/* A kick in the middle of an access must neither repeat it nor lose its value, and the state in
 * between is one behind the instruction. */
START_TEST(a_kick_splits_no_access)
{
    struct x86_cpu_state s;
    struct fx f;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    fx_real_mode(&f, sum_begin, sum_end);
    while (f.count < 500) {
        struct fx_runner r;
        unsigned before = f.count;

        fx_start(&r, &f, 0);
        fx_wait_count(&f, before + 1);
        fx_stop(&r);
        ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
        ck_assert_int_eq(hv_x86_set(f.hv, f.cpu[0], &s), 0);
    }
    fx_run(&f);
    ck_assert_uint_eq(f.log[FX_LOG - 1].value, FX_LOG);
    ck_assert_uint_eq(f.count, 1001);
    fx_fini(&f);
}
END_TEST

/* An IDT of no length: the next exception is one too many. */
PROGRAM(fault, "lidtw %cs:0x0\n"
               "ud2\n");

START_TEST(shutdown_says_where)
{
    struct x86_cpu_state s;
    struct fx f;

    if (hv_kvm_ops.probe(NULL))
        return; /* such KVMs do not look at the IDT's limit */
    fx_init(&f, &hv_kvm_ops, NULL, 1);
    fx_real_mode(&f, fault_begin, fault_end);
    ck_assert_int_eq(f.hv->vcpu_run(f.cpu[0], &f.exit), 0);
    ck_assert_int_eq(f.exit.kind, HV_EXIT_SHUTDOWN);
    ck_assert_ptr_ne(strstr(f.exit.text, "cpu 0"), NULL);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
    ck_assert_uint_eq(s.run_state, X86_SHUTDOWN);
    ck_assert_int_eq(f.hv->vcpu_run(f.cpu[0], &f.exit), 0); /* and stays so */
    ck_assert_int_eq(f.exit.kind, HV_EXIT_SHUTDOWN);
    f.hv->vm_reset(f.vm);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
    ck_assert_uint_eq(s.run_state, X86_RUNNING);
    ck_assert_uint_eq(s.rip, 0xfff0);
    fx_fini(&f);
}
END_TEST

/* ---- interrupts ---- */

/* x2APIC mode, software-enabled; then waits, and reports each of vectors 40h and 41h. */
PROGRAM(interrupts, "mov $0x1b, %ecx\n"
                    "rdmsr\n"
                    "or $0xc00, %ax\n"
                    "wrmsr\n"
                    "mov $0x80f, %ecx\n"
                    "mov $0x1ff, %eax\n"
                    "xor %edx, %edx\n"
                    "wrmsr\n"
                    "mov $0x300, %dx\n"
                    "mov $1, %al\n"
                    "out %al, %dx\n"
                    "1: sti\n"
                    "hlt\n"
                    "jmp 1b\n"
                    ".org interrupts_begin + 0x100\n"
                    "mov $0x40, %al\n"
                    "jmp 2f\n"
                    ".org interrupts_begin + 0x120\n"
                    "mov $0x41, %al\n"
                    "2: mov $0x300, %dx\n"
                    "out %al, %dx\n"
                    "mov $0x80b, %ecx\n"
                    "xor %eax, %eax\n"
                    "xor %edx, %edx\n"
                    "wrmsr\n"
                    "iret\n");

static void start_interrupts(struct fx *f, struct fx_runner *r)
{
    static const uint8_t vectors[8] = {0x00, 0x11, 0, 0, 0x20, 0x11, 0, 0};

    fx_init(f, &hv_kvm_ops, NULL, 1);
    ck_assert_int_eq(mem_write(f->mem, 4 * 0x40, vectors, sizeof(vectors)), 0);
    fx_real_mode(f, interrupts_begin, interrupts_end);
    fx_start(r, f, 0);
    fx_wait_count(f, 1);
    fx_expect(f, 0, false, true, 0x300, 1, 1);
}

START_TEST(messages_interrupt)
{
    const struct hv_msi msi = {.address = 0xfee00000, .data = 0x40};
    struct fx_runner r;
    struct fx f;

    start_interrupts(&f, &r);
    for (unsigned i = 1; i < 20; i++) {
        f.hv->msi(f.vm, &msi);
        fx_wait_count(&f, i + 1);
        fx_expect(&f, i, false, true, 0x300, 1, 0x40);
    }
    fx_stop(&r);
    fx_fini(&f);
}
END_TEST

START_TEST(eventfds_interrupt)
{
    struct hv_msi msi = {.address = 0xfee00000, .data = 0x40};
    struct hv_irqfd *irq, *other;
    int fd = eventfd(0, EFD_NONBLOCK), fd2 = eventfd(0, EFD_NONBLOCK);
    struct fx_runner r;
    struct fx f;

    start_interrupts(&f, &r);
    ck_assert_int_eq(f.hv->shortcut->irqfd_add(f.vm, fd, &msi, &irq), 0);
    ck_assert_int_eq(eventfd_write(fd, 1), 0);
    fx_wait_count(&f, 2);
    fx_expect(&f, 1, false, true, 0x300, 1, 0x40);
    msi.data = 0x41; /* another message, while another one is added and removed */
    ck_assert_int_eq(f.hv->shortcut->irqfd_add(f.vm, fd2, &msi, &other), 0);
    ck_assert_int_eq(f.hv->shortcut->irqfd_route(irq, &msi), 0);
    ck_assert_int_eq(eventfd_write(fd, 1), 0);
    fx_wait_count(&f, 3);
    fx_expect(&f, 2, false, true, 0x300, 1, 0x41);
    f.hv->shortcut->irqfd_remove(irq);
    ck_assert_int_eq(eventfd_write(fd, 1), 0); /* nobody hears it */
    ck_assert_int_eq(eventfd_write(fd2, 1), 0);
    fx_wait_count(&f, 4);
    fx_expect(&f, 3, false, true, 0x300, 1, 0x41);
    f.hv->shortcut->irqfd_remove(other);
    fx_stop(&r);
    ck_assert_uint_eq(f.count, 4);
    close(fd);
    close(fd2);
    fx_fini(&f);
}
END_TEST

PROGRAM(doorbell, "mov $0xa000, %bx\n"
                  "mov %bx, %es\n"
                  "movw $1, %es:0x100\n"
                  "movb $2, %es:0x100\n"
                  "movb $3, %es:0x200\n" DONE);

START_TEST(writes_ring_eventfds)
{
    int fd = eventfd(0, EFD_NONBLOCK);
    eventfd_t value = 0;
    struct fx f;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    ck_assert_int_eq(f.hv->shortcut->ioeventfd_add(f.vm, 0xa0100, fd), 0);
    fx_real_mode(&f, doorbell_begin, doorbell_end);
    fx_run(&f);
    ck_assert_int_eq(eventfd_read(fd, &value), 0);
    ck_assert_uint_eq(value, 2);
    ck_assert_uint_eq(f.count, 1);
    fx_expect(&f, 0, true, true, 0xa0200, 1, 3);
    f.hv->shortcut->ioeventfd_remove(f.vm, 0xa0100, fd);
    f.hv->vm_reset(f.vm);
    fx_real_mode(&f, doorbell_begin, doorbell_end);
    fx_run(&f);
    ck_assert_uint_eq(f.count, 4);
    close(fd);
    fx_fini(&f);
}
END_TEST

/* ---- memory ---- */

PROGRAM(touch, "movb $1, 0x3000\n"
               "mov $0x1000, %bx\n" /* segment: 64 KiB */
               "mov %bx, %es\n"
               "movb $1, %es:0x5000\n" DONE);

START_TEST(dirty_pages_are_found)
{
    uint64_t map[4] = {0};
    struct fx f;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    fx_real_mode(&f, touch_begin, touch_end);
    ck_assert_int_eq(f.hv->shortcut->dirty_fetch(f.vm, 0, map), -EINVAL); /* not begun */
    ck_assert_int_eq(f.hv->shortcut->dirty_log(f.vm, true), 0);
    fx_run(&f);
    ck_assert_int_eq(f.hv->shortcut->dirty_fetch(f.vm, 0, map), 0);
    ck_assert(map[0] & BIT(3));
    ck_assert(map[0] & BIT(0x15));
    ck_assert(!(map[0] & BIT(0x30))); /* pages that were only read may be there too */
    map[0] = BIT(1);
    ck_assert_int_eq(f.hv->shortcut->dirty_fetch(f.vm, 0, map), 0); /* only what is new */
    ck_assert_uint_eq(map[0], BIT(1));
    ck_assert_int_eq(f.hv->shortcut->dirty_fetch(f.vm, 1, map), 0); /* ROM is never */
    ck_assert_int_eq(f.hv->shortcut->dirty_fetch(f.vm, 3, map), -EINVAL);
    ck_assert_int_eq(f.hv->shortcut->dirty_log(f.vm, false), 0);
    fx_fini(&f);
}
END_TEST

PROGRAM(window, "mov $0x300, %dx\n"
                "movb %es:0x5000, %al\n"
                "out %al, %dx\n"
                "movb $0x77, %es:0x6000\n"
                "movb %es:0x6000, %al\n"
                "out %al, %dx\n" DONE);

static void run_in_window(struct fx *f)
{
    struct x86_cpu_state s;

    f->count = 0;
    fx_real_mode(f, window_begin, window_end);
    ck_assert_int_eq(hv_x86_get(f->hv, f->cpu[0], &s), 0);
    s.seg[X86_ES].base = 2 * MIB;
    ck_assert_int_eq(hv_x86_set(f->hv, f->cpu[0], &s), 0);
    fx_run(f);
}

START_TEST(files_that_are_cut_short_in_a_window_are_zeros)
{
    const struct mem_options o = {.capacity = FX_RAM, .windows = MEM_WINDOW_PIECE};
    struct mem_window_file file = {.fd = memfd_create("file", MFD_CLOEXEC)};
    struct mem_window *w;
    struct mem *mem;
    struct fx f;

    ck_assert_int_eq(mem_create_with(&o, &mem, NULL), 0);
    ck_assert_int_eq(mem_add(mem, 0, 640 * KIB, false), 0);
    ck_assert_int_eq(mem_add_windows(mem, 2 * MIB), 0);
    fx_init(&f, &hv_kvm_ops, mem, 1);
    ck_assert_int_eq(mem_window_create(mem, MEM_WINDOW_PIECE, &w), 0);
    ck_assert_int_eq(pwrite(file.fd, "a", 1, 0x5000), 1);
    ck_assert_int_eq(ftruncate(file.fd, 0x8000), 0);
    ck_assert_int_eq(mem_window_show(w, 0, &file, 0, true), 0);
    run_in_window(&f);
    fx_expect(&f, 0, false, true, 0x300, 1, 'a');
    fx_expect(&f, 1, false, true, 0x300, 1, 0x77);
    ck_assert_int_eq(ftruncate(file.fd, 0x1000), 0);
    run_in_window(&f);
    fx_expect(&f, 0, false, true, 0x300, 1, 0);
    fx_expect(&f, 1, false, true, 0x300, 1, 0x77);
    ck_assert_int_eq(pwrite(file.fd, "b", 1, 0x5000), 1);
    mem_window_regain(w);
    run_in_window(&f);
    fx_expect(&f, 0, false, true, 0x300, 1, 'b');
    fx_fini(&f);
    mem_window_destroy(w);
    mem_destroy(mem);
    close(file.fd);
}
END_TEST

/* ---- states ---- */

static void fill_state(struct x86_cpu_state *s)
{
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = UINT64_C(0x1111111111111111) * i;
    s->rip = 0x1234;
    s->rflags = X86_FLAG_1 | X86_FLAG_CF | X86_FLAG_DF;
    s->dr[0] = 0x1000;
    s->dr[3] = 0x2000;
    s->cr2 = 0x123456;
    s->cr8 = 5;
    s->star = UINT64_C(0x0023001000000000);
    s->lstar = UINT64_C(0xffffffff81000000);
    s->fmask = 0x47700;
    s->kernel_gs_base = UINT64_C(0xffff888000000000);
    s->sysenter_eip = 0x8000;
    s->pat = UINT64_C(0x0007010600070406);
    s->mtrr_def_type = 0xc06;
    s->mtrr_fixed[0] = UINT64_C(0x0606060606060606);
    s->mtrr_fixed[10] = UINT64_C(0x0505050505050505);
    s->mtrr_phys_base[7] = 0x80000000;
    s->mtrr_phys_mask[7] = 0x80000800;
    s->seg[X86_DS].base = 0x12340;
    s->seg[X86_DS].selector = 0x1234;
    store_le64(s->xsave + 512, load_le64(s->xsave + 512) | X86_XCR0_SSE);
    for (unsigned i = 0; i < 256; i++)
        s->xsave[160 + i] = (uint8_t)(i * 7); /* XMM0 to XMM15 */
    s->run_state = X86_HALTED;
}

START_TEST(a_state_comes_back_as_it_went)
{
    struct state_writer w = {0}, w2 = {0};
    struct x86_cpu_state s, back;
    struct fx f;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
    fill_state(&s);
    ck_assert_int_eq(hv_x86_set(f.hv, f.cpu[0], &s), 0);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &back), 0);
    ck_assert_int_ge((int64_t)(back.tsc - s.tsc), 0);
    back.tsc = s.tsc; /* goes on */
    ck_assert_int_eq(memcmp(back.xsave + 160, s.xsave + 160, 256), 0);
    memcpy(back.xsave, s.xsave, sizeof(s.xsave)); /* parts in their initial state may differ */
    ck_assert_int_eq(state_save(&w, &x86_cpu_state_desc, 0, &s), 0);
    ck_assert_int_eq(state_save(&w2, &x86_cpu_state_desc, 0, &back), 0);
    for (size_t i = 0; i < w.len; i++)
        ck_assert_msg(w.data[i] == w2.data[i], "byte %zu: %.60s", i, w.data + (i < 40 ? 0 : i - 40));
    state_writer_fini(&w);
    state_writer_fini(&w2);
    fx_fini(&f);
}
END_TEST

START_TEST(impossible_states_are_refused)
{
    struct x86_cpu_state s, bad;
    struct fx f;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
    bad = s;
    bad.run_state = X86_RUN_STATE_COUNT;
    ck_assert_int_lt(hv_x86_set(f.hv, f.cpu[0], &bad), 0);
    bad = s;
    bad.efer = ~UINT64_C(0);
    ck_assert_int_lt(hv_x86_set(f.hv, f.cpu[0], &bad), 0);
    bad = s;
    bad.pat = UINT64_C(0x0202020202020202);
    ck_assert_int_lt(hv_x86_set(f.hv, f.cpu[0], &bad), 0);
    ck_assert_int_eq(hv_x86_set(f.hv, f.cpu[0], &s), 0);
    fx_fini(&f);
}
END_TEST

/* What either backend saves of its interrupt controllers after reset, the other one loads and saves
 * again. */
static void chips_travel(const struct hv_ops *from, const struct hv_ops *to)
{
    struct state_writer w = {0}, again = {0};
    struct vz_error err = {.text = ""};
    struct fx a, b;

    fx_init(&a, from, NULL, 2);
    fx_init(&b, to, NULL, 2);
    a.hv->irq_line(a.vm, 9, true);
    ck_assert_int_eq(a.hv->irqchip_save(a.vm, &w), 0);
    ck_assert_msg(b.hv->irqchip_load(b.vm, w.data, w.len, &err) == 0, "%s", err.text);
    ck_assert_int_eq(b.hv->irqchip_save(b.vm, &again), 0);
    ck_assert_uint_eq(again.len, w.len);
    ck_assert_int_lt(b.hv->irqchip_load(b.vm, w.data, w.len / 2, &err), 0);
    state_writer_fini(&w);
    state_writer_fini(&again);
    fx_fini(&a);
    fx_fini(&b);
}

START_TEST(interrupt_controllers_travel)
{
    chips_travel(&hv_kvm_ops, &hv_kvm_ops);
    chips_travel(&hv_kvm_ops, &hv_soft_ops);
    chips_travel(&hv_soft_ops, &hv_kvm_ops);
}
END_TEST

/* What a guest reads from the ports is the same on both. */
PROGRAM(pic_masks, "in $0xa1, %al\n"
                   "mov %al, %ah\n"
                   "in $0x21, %al\n" DONE);

static void check_bios_pics(const struct hv_ops *hv)
{
    struct state_writer w = {0};
    struct pic_pair_regs pic;
    struct x86_cpu_state s;
    struct fx f;

    fx_init(&f, hv, NULL, 1);
    fx_real_mode(&f, pic_masks_begin, pic_masks_end);
    fx_run(&f);
    ck_assert_int_eq(hv_x86_get(f.hv, f.cpu[0], &s), 0);
    ck_assert_uint_eq(s.gpr[0] & 0xffff, 0xfffb);
    ck_assert_int_eq(f.hv->irqchip_save(f.vm, &w), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &pic_state_desc, 0, &pic, NULL), 0);
    ck_assert_uint_eq(pic.chip[0].base, 0x08);
    ck_assert_uint_eq(pic.chip[1].base, 0x70);
    ck_assert_uint_eq(pic.chip[0].icw_next | pic.chip[1].icw_next, 0);
    state_writer_fini(&w);
    fx_fini(&f);
}

START_TEST(pics_are_as_a_bios_leaves_them)
{
    check_bios_pics(&hv_kvm_ops);
    check_bios_pics(&hv_soft_ops);
}
END_TEST

/* Channel 0: mode 0, and a count of 65535. */
PROGRAM(one_shot, "mov $0x30, %al\n"
                  "out %al, $0x43\n"
                  "mov $0xff, %al\n"
                  "out %al, $0x40\n"
                  "out %al, $0x40\n" DONE);

/* KVM says no more of it than that, so it has to be to come still. */
START_TEST(a_pit_that_is_saved_has_its_tick_ahead)
{
    struct state_writer w = {0};
    struct pit_regs pit;
    struct fx f;

    fx_init(&f, &hv_kvm_ops, NULL, 1);
    usleep(60000); /* more than the count is long */
    fx_real_mode(&f, one_shot_begin, one_shot_end);
    fx_run(&f);
    ck_assert_int_eq(f.hv->irqchip_save(f.vm, &w), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &pit_state_desc, 0, &pit, NULL), 0);
    ck_assert_uint_eq(pit.channel[0].mode, 0);
    ck_assert_uint_eq(pit.channel[0].reload, 0xffff);
    ck_assert_uint_lt(pit.channel[0].base_ticks, 0xffff);
    state_writer_fini(&w);
    fx_fini(&f);
}
END_TEST

/* It either works or says in one line why not. */
START_TEST(the_probe_decides)
{
    struct vz_error err = {.text = ""};
    int r = hv_kvm_ops.probe(&err);

    if (r) {
        ck_assert_int_eq(r, -ENOTSUP);
        ck_assert_ptr_ne(strstr(err.text, "/dev/kvm"), NULL);
        ck_assert_ptr_eq(strchr(err.text, '\n'), NULL);
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, accesses_become_calls);
    UNIT_TEST(s, strings_arrive_in_order);
    UNIT_TEST(s, late_writes_keep_their_place);
    UNIT_TEST(s, no_kick_is_lost_while_halted);
    UNIT_TEST(s, no_kick_is_lost_while_busy);
    UNIT_TEST(s, a_kick_splits_no_access);
    UNIT_TEST(s, shutdown_says_where);
    UNIT_TEST(s, messages_interrupt);
    UNIT_TEST(s, eventfds_interrupt);
    UNIT_TEST(s, writes_ring_eventfds);
    UNIT_TEST(s, dirty_pages_are_found);
    UNIT_TEST(s, files_that_are_cut_short_in_a_window_are_zeros);
    UNIT_TEST(s, a_state_comes_back_as_it_went);
    UNIT_TEST(s, impossible_states_are_refused);
    UNIT_TEST(s, interrupt_controllers_travel);
    UNIT_TEST(s, pics_are_as_a_bios_leaves_them);
    UNIT_TEST(s, a_pit_that_is_saved_has_its_tick_ahead);
    UNIT_TEST(s, the_probe_decides);
}

FX_MAIN("kvm", add_tests)
