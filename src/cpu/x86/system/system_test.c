/* SPDX-License-Identifier: MIT */
/* Small guest programs in real, protected and long mode, run on a CPU without a machine around it. */
#include <errno.h>
#include <string.h>

#include "base/tsc_rate.h"
#include "cpu/x86/no_host.h"
#include "cpu/x86/system/segment.h"
#include "strict_mem.h"
#include "unit.h"

#define RAM_LEN  (2 * MIB)
#define CODE     0x8000u
#define STACK    0x7000u
#define USER_STACK 0x6000u
#define GDT      0x1000u
#define IDT      0x2000u
#define TSS      0x3000u
#define TSS2     0x3800u
#define PML4     0x10000u
#define RESULT   0x5000u

enum { SEL_CODE = 0x08, SEL_DATA = 0x10, SEL_UCODE32 = 0x1b, SEL_UDATA = 0x23, SEL_UCODE = 0x2b,
       SEL_TSS = 0x30, SEL_TSS2 = 0x40, SEL_ABSENT = 0x50, SEL_GATE = 0x58 };

struct fixture {
    struct mem *mem;
    struct x86_vm *vm;
    struct x86_cpu *cpu;
    struct x86_cpu_state s;
    uint32_t port_value[16];
    unsigned port_count;
};

static uint32_t port_read(void *arg, unsigned cpu, uint16_t port, unsigned size)
{
    return 0x11223300u + port;
}

static void port_write(void *arg, unsigned cpu, uint16_t port, unsigned size, uint32_t value)
{
    struct fixture *f = arg;

    if (f->port_count < ARRAY_SIZE(f->port_value))
        f->port_value[f->port_count++] = value;
}

static uint64_t cr8_read(void *arg, unsigned cpu)
{
    return 5;
}

static int ack(void *arg, unsigned cpu)
{
    return 0x40;
}

static const struct x86_host_ops host = {
    .mmio_read = no_mmio_read, .mmio_write = no_mmio_write, .port_read = port_read,
    .port_write = port_write, .apic_msr_read = no_apic_msr_read,
    .apic_msr_write = no_apic_msr_write, .cr8_read = cr8_read, .cr8_write = no_cr8_write,
    .interrupt_pending = no_interrupt_pending, .interrupt_ack = ack,
    .init_taken = no_init_taken, .tsc_changed = no_tsc_changed,
};

static void put(struct fixture *f, uint32_t at, uint64_t value, unsigned len)
{
    ck_assert_int_eq(mem_write(f->mem, at, &value, len), 0);
}

static uint64_t result(struct fixture *f, unsigned n)
{
    uint64_t v;

    ck_assert_int_eq(mem_read(f->mem, RESULT + 8 * n, &v, 8), 0);
    return v;
}

static void set_result(struct fixture *f, unsigned n, uint64_t v)
{
    ck_assert_int_eq(mem_write(f->mem, RESULT + 8 * n, &v, 8), 0);
}

static void setup(struct fixture *f)
{
    static struct tsc_rate tsc = {.khz = 2000000};
    struct x86_vm_desc desc = {.cpu_count = 1, .tsc = &tsc, .host = &host, .host_arg = f};

    memset(f, 0, sizeof(*f));
    f->mem = strict_mem(RAM_LEN);
    ck_assert_ptr_nonnull(f->mem);
    desc.mem = f->mem;
    ck_assert_int_eq(x86_vm_create(&desc, &f->vm), 0);
    f->cpu = x86_vm_cpu(f->vm, 0);
    x86_cpu_get(f->cpu, &f->s);
    f->s.rip = CODE;
    f->s.gpr[X86_RSP] = STACK;
    f->s.seg[X86_CS].base = f->s.seg[X86_CS].selector = 0;
}

static void teardown(struct fixture *f)
{
    x86_vm_destroy(f->vm);
    mem_destroy(f->mem);
}

static enum x86_stop run(struct fixture *f, const char *code, const char *end)
{
    ck_assert_int_eq(mem_write(f->mem, CODE, code, (uint64_t)(end - code)), 0);
    ck_assert_int_eq(x86_cpu_set(f->cpu, &f->s), 0);
    return x86_cpu_run(f->cpu);
}

static void stop_is(struct fixture *f, enum x86_stop got, enum x86_stop want)
{
    char text[512];

    x86_cpu_describe(f->cpu, text, sizeof(text));
    ck_assert_msg(got == want, "stop %d: %s %s", got, text, f->cpu->shutdown_text);
}

/* Guest code in a section of its own: GUEST(name, ".code32", "insns"). It is copied to CODE. */
#define GUEST(name, bits, text)                                                                    \
    extern const char name[], name##_end[];                                                        \
    __asm__(".pushsection .rodata\n" bits "\n" #name ": " text "\n" #name "_end:\n.code64\n"         \
            ".popsection\n")
#define RUN(f, name) run(f, name, name##_end)

static uint64_t segment_desc(unsigned access, unsigned flags)
{
    return 0xffff | (uint64_t)access << 40 | UINT64_C(0xf) << 48 | (uint64_t)flags << 52;
}

static void set_gate(struct fixture *f, unsigned vector, uint32_t offset, unsigned type, unsigned ist)
{
    unsigned size = f->s.efer & X86_EFER_LMA ? 16 : 8;
    uint64_t lo = (offset & 0xffff) | (uint64_t)SEL_CODE << 16 | (uint64_t)ist << 32 |
                  (uint64_t)type << 40 | (uint64_t)(offset >> 16) << 48;

    put(f, IDT + vector * size, lo, 8);
    if (size == 16)
        put(f, IDT + vector * size + 8, 0, 8);
}

static struct x86_segment flat(unsigned selector, unsigned attr)
{
    return (struct x86_segment){.limit = 0xffffffffu, .selector = (uint16_t)selector,
                                .attr = (uint16_t)attr};
}

static void setup_protected(struct fixture *f)
{
    setup(f);
    put(f, GDT + SEL_CODE, segment_desc(0x9b, 0xc), 8);
    put(f, GDT + SEL_DATA, segment_desc(0x93, 0xc), 8);
    put(f, GDT + 0x18, segment_desc(0xfb, 0xc), 8);
    put(f, GDT + 0x20, segment_desc(0xf3, 0xc), 8);
    put(f, GDT + SEL_TSS, 0x67 | (uint64_t)TSS << 16 | UINT64_C(0x8b) << 40, 8);
    put(f, GDT + SEL_TSS2, 0x67 | (uint64_t)TSS2 << 16 | UINT64_C(0x89) << 40, 8);
    put(f, GDT + SEL_ABSENT, segment_desc(0x13, 0xc), 8);
    put(f, TSS + 4, STACK - 0x800, 4);
    put(f, TSS + 8, SEL_DATA, 4);
    f->s.cr0 = X86_CR0_PE | X86_CR0_ET;
    f->s.seg[X86_CS] = flat(SEL_CODE, SEG_ATTR_CODE32);
    for (unsigned n = X86_SS; n <= X86_GS; n++)
        f->s.seg[n] = flat(SEL_DATA, SEG_ATTR_DATA32);
    f->s.seg[X86_ES] = flat(SEL_DATA, SEG_ATTR_DATA32);
    f->s.seg[X86_TR] = (struct x86_segment){
        .base = TSS, .limit = 0x67, .selector = SEL_TSS, .attr = 0x8b};
    f->s.gdtr = (struct x86_table){.base = GDT, .limit = 0x7f};
    f->s.idtr = (struct x86_table){.base = IDT, .limit = 0x7ff};
}

static void setup_long(struct fixture *f)
{
    setup_protected(f);
    put(f, PML4, (PML4 + 0x1000) | 7, 8);
    put(f, PML4 + 0x1000, 0x87, 8); /* 1 GiB, user */
    put(f, GDT + SEL_CODE, segment_desc(0x9b, 0xa), 8);
    put(f, GDT + 0x28, segment_desc(0xfb, 0xa), 8);
    put(f, TSS + 4, STACK - 0x804, 8); /* RSP0, not aligned */
    put(f, TSS + 36, STACK - 0xc00, 8); /* IST1 */
    f->s.cr0 |= X86_CR0_PG;
    f->s.cr4 = X86_CR4_PAE;
    f->s.cr3 = PML4;
    f->s.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE;
    f->s.seg[X86_CS] = flat(SEL_CODE, SEG_ATTR_CODE64);
    f->s.idtr.limit = 0xfff;
}

/* ---- real mode ---- */

GUEST(real_int, ".code16",
      "int $0x21\n mov %ax, 0x5000\n hlt\n"
      ".org real_int + 0x100\n mov $0x1234, %ax\n iretw\n");

START_TEST(real_mode_interrupt_and_return)
{
    struct fixture f;

    setup(&f);
    put(&f, 0x21 * 4, CODE + 0x100, 4);
    stop_is(&f, RUN(&f, real_int), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 0x1234);
    ck_assert_uint_eq(f.cpu->reg[X86_RSP], STACK);
    teardown(&f);
}
END_TEST

GUEST(ports, ".code16",
      "mov $0x70, %dx\n in %dx, %eax\n mov %eax, 0x5000\n out %al, $0x80\n"
      "mov $0x5000, %si\n mov $4, %cx\n rep outsb\n hlt\n");

START_TEST(ports_and_string_io)
{
    struct fixture f;

    setup(&f);
    stop_is(&f, RUN(&f, ports), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 0x11223370);
    ck_assert_uint_eq(f.port_count, 5);
    ck_assert_uint_eq(f.port_value[0], 0x70);
    ck_assert_uint_eq(f.port_value[4], 0x11);
    ck_assert_uint_eq(f.cpu->reg[X86_RSI], 0x5004);
    teardown(&f);
}
END_TEST

GUEST(to_protected, ".code16",
      "lgdtl 0x5100\n mov %cr0, %eax\n or $1, %al\n mov %eax, %cr0\n"
      "ljmpl $8, $(0x8000 + to_protected_32 - to_protected)\n"
      ".code32\n to_protected_32: mov $0x10, %eax\n mov %eax, %ds\n mov %eax, %ss\n"
      "movl $0xabcd, 0x105000\n hlt\n");

START_TEST(real_to_protected_mode)
{
    struct fixture f;
    uint64_t v = 0;

    setup(&f);
    put(&f, GDT + SEL_CODE, segment_desc(0x9a, 0xc), 8);
    put(&f, GDT + SEL_DATA, segment_desc(0x92, 0xc), 8);
    put(&f, 0x5100, 0x7f | GDT << 16, 6);
    stop_is(&f, RUN(&f, to_protected), X86_STOP_HALT);
    ck_assert_int_eq(mem_read(f.mem, 0x105000, &v, 4), 0);
    ck_assert_uint_eq(v, 0xabcd);
    ck_assert_int_eq(mem_read(f.mem, GDT + SEL_CODE + 5, &v, 1), 0);
    ck_assert_uint_eq(v & 0xff, 0x9b); /* accessed */
    teardown(&f);
}
END_TEST

/* ---- protected mode ---- */


GUEST(bad_segment, ".code32",
      "mov $0x50, %eax\n mov %eax, %ds\n hlt\n"
      ".org bad_segment + 0x100\n pop %eax\n mov %eax, %ss:0x5000\n pop %eax\n"
      "mov %eax, %ss:0x5008\n hlt\n");

START_TEST(absent_segment_raises_np_with_selector)
{
    struct fixture f;

    setup_protected(&f);
    set_gate(&f, X86_NP, CODE + 0x100, 0x8e, 0);
    stop_is(&f, RUN(&f, bad_segment), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), SEL_ABSENT);
    ck_assert_uint_eq(result(&f, 1), CODE + 5);
    teardown(&f);
}
END_TEST

GUEST(int_dpl, ".code32",
      "push $0x23\n push $0x6000\n push $0x3002\n push $0x1b\n"
      "push $(0x8000 + int_dpl_user - int_dpl)\n iretl\n"
      "int_dpl_user: int $0x30\n hlt\n"
      ".org int_dpl + 0x100\n pop %eax\n mov %eax, %ss:0x5000\n mov %cs, %ss:0x5008\n"
      "mov %esp, %ss:0x5010\n mov 4(%esp), %eax\n mov %eax, %ss:0x5018\n mov 12(%esp), %eax\n"
      "mov %eax, %ss:0x5020\n hlt\n");

START_TEST(iret_to_user_and_gate_privilege)
{
    struct fixture f;

    setup_protected(&f);
    set_gate(&f, X86_GP, CODE + 0x100, 0x8e, 0);
    set_gate(&f, 0x30, CODE + 0x100, 0x8e, 0); /* DPL 0: user may not */
    stop_is(&f, RUN(&f, int_dpl), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 0x30 * 8 + 2);
    ck_assert_uint_eq(result(&f, 1) & 3, 0);
    ck_assert_uint_eq(result(&f, 2), STACK - 0x800 - 20);
    ck_assert_uint_eq(result(&f, 3), SEL_UCODE32);
    ck_assert_uint_eq(result(&f, 4), USER_STACK);
    teardown(&f);
}
END_TEST

GUEST(call_gate, ".code32",
      "push $0x23\n push $0x6000\n push $0x2\n push $0x1b\n"
      "push $(0x8000 + call_gate_user - call_gate)\n iretl\n"
      "call_gate_user: push $0x77\n lcall $0x5b, $0\n call_gate_back: mov $0x23, %eax\n"
      "mov %eax, %ds\n mov %ebx, 0x5000\n mov %esp, 0x5008\n mov %cs, 0x5010\n ud2\n"
      ".org call_gate + 0x100\n mov 8(%esp), %ebx\n lret $4\n"
      ".org call_gate + 0x140\n hlt\n");

START_TEST(call_gate_copies_parameters_and_returns)
{
    struct fixture f;

    setup_protected(&f);
    set_gate(&f, X86_UD, CODE + 0x140, 0x8e, 0);
    put(&f, GDT + SEL_GATE,
        ((CODE + 0x100) & 0xffff) | (uint64_t)SEL_CODE << 16 | UINT64_C(1) << 32 |
            UINT64_C(0xec) << 40, 8);
    stop_is(&f, RUN(&f, call_gate), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 0x77);
    ck_assert_uint_eq(result(&f, 1), USER_STACK);
    ck_assert_uint_eq(result(&f, 2), SEL_UCODE32);
    teardown(&f);
}
END_TEST

/* A stack without room, and a target beyond its segment: the stack is looked at first. */
GUEST(call_order, ".code32",
      "push $0x6b\n push $0x1002\n push $0x2\n push $0x1b\n"
      "push $(0x8000 + call_order_user - call_order)\n iretl\n"
      "call_order_user: lcall $0x63, $0x2000\n hlt\n"
      ".org call_order + 0x100\n movl $12, %ss:0x5000\n hlt\n"
      ".org call_order + 0x140\n movl $13, %ss:0x5000\n hlt\n");

START_TEST(far_call_looks_at_the_stack_first)
{
    struct fixture f;

    setup_protected(&f);
    put(&f, GDT + 0x60, 0xfff | UINT64_C(0xfb) << 40 | UINT64_C(0x4) << 52, 8);
    put(&f, GDT + 0x68, 0xfff | UINT64_C(0xf3) << 40 | UINT64_C(0x4) << 52, 8);
    set_gate(&f, X86_SS_FAULT, CODE + 0x100, 0x8e, 0);
    set_gate(&f, X86_GP, CODE + 0x140, 0x8e, 0);
    stop_is(&f, RUN(&f, call_order), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), X86_SS_FAULT);
    teardown(&f);
}
END_TEST

GUEST(task, ".code32",
      "mov $0x42, %ebx\n lcall $0x40, $0\n mov %ebx, 0x5008\n pushf\n pop %eax\n mov %eax, 0x5010\n"
      "hlt\n"
      ".org task + 0x100\n mov %ebx, 0x5000\n pushf\n pop %eax\n mov %eax, 0x5018\n iretl\n");

START_TEST(call_to_a_task_and_back)
{
    struct fixture f;
    uint64_t v = 0;

    setup_protected(&f);
    put(&f, TSS2 + 0x20, CODE + 0x100, 4);
    put(&f, TSS2 + 0x24, 2, 4);
    put(&f, TSS2 + 0x34, 0x99, 4); /* EBX */
    put(&f, TSS2 + 0x38, STACK - 0x400, 4);
    for (unsigned n = 0; n < 6; n++)
        put(&f, TSS2 + 0x48 + 4 * n, n == X86_CS ? SEL_CODE : SEL_DATA, 4);
    put(&f, TSS + 0x60, 0, 4);
    stop_is(&f, RUN(&f, task), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 0x99);
    ck_assert_uint_eq(result(&f, 1), 0x42);
    ck_assert_uint_eq(result(&f, 2) & X86_FLAG_NT, 0);
    ck_assert_uint_eq(result(&f, 3) & X86_FLAG_NT, X86_FLAG_NT);
    ck_assert_int_eq(mem_read(f.mem, GDT + SEL_TSS2 + 5, &v, 1), 0);
    ck_assert_uint_eq(v & 0xff, 0x89); /* available again */
    ck_assert_uint_eq(f.cpu->seg[X86_TR].selector, SEL_TSS);
    teardown(&f);
}
END_TEST

GUEST(v86, ".code32",
      "push $0\n push $0\n push $0x500\n push $0\n push $0\n push $0x1000\n push $0x23002\n"
      "push $0x800\n push $(v86_code - v86)\n iretl\n"
      ".code16\n v86_code: mov %ds, %ax\n int $0x31\n"
      ".org v86 + 0x100\n .code32\n pop %ebx\n pop %ebx\n pop %ebx\n mov $0x10, %ecx\n mov %ecx, %ds\n"
      "mov %eax, 0x5000\n mov %ebx, 0x5008\n hlt\n");

START_TEST(virtual_8086_mode_and_out_by_gate)
{
    struct fixture f;

    setup_protected(&f);
    set_gate(&f, X86_GP, CODE + 0x100, 0x8e, 0);
    set_gate(&f, 0x31, CODE + 0x100, 0xee, 0);
    stop_is(&f, RUN(&f, v86), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0) & 0xffff, 0x500);
    ck_assert_uint_eq(result(&f, 1) & X86_FLAG_VM, X86_FLAG_VM);
    ck_assert_uint_eq(f.cpu->seg[X86_ES].selector, 0);
    ck_assert_uint_eq(f.cpu->seg[X86_GS].selector, 0);
    ck_assert_uint_eq(f.cpu->seg[X86_GS].attr & SEG_ATTR_P, 0);
    ck_assert_uint_eq(f.cpu->seg[X86_GS].limit, 0xffff);
    teardown(&f);
}
END_TEST

/* ---- long mode ---- */

GUEST(syscalls, ".code64",
      "mov $0x6000, %esp\n mov $0x8000 + syscalls_user - syscalls, %ecx\n mov $0x202, %r11d\n"
      "sysretq\n"
      "syscalls_user: mov $7, %eax\n syscall\n"
      "syscalls_after: mov %rcx, 0x5010\n mov %cs, 0x5018\n mov %ss, 0x5020\n ud2\n"
      ".org syscalls + 0x100\n mov %eax, 0x5000\n mov %cs, 0x5008\n mov %r11, 0x5028\n sysretq\n"
      ".org syscalls + 0x140\n mov %rsp, 0x5030\n mov 8(%rsp), %rax\n mov %rax, 0x5038\n hlt\n");

START_TEST(syscall_sysret_and_interrupt_stack)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_UD, CODE + 0x140, 0x8e, 0);
    f.s.star = UINT64_C(0x001b000800000000);
    f.s.lstar = CODE + 0x100;
    f.s.fmask = X86_FLAG_IF;
    stop_is(&f, RUN(&f, syscalls), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 7);
    ck_assert_uint_eq(result(&f, 1), SEL_CODE);
    ck_assert_uint_eq(result(&f, 2), CODE + 0x1a);
    ck_assert_uint_eq(result(&f, 3), SEL_UCODE);
    ck_assert_uint_eq(result(&f, 4), SEL_UDATA);
    ck_assert_uint_eq(result(&f, 5), 0x202);
    ck_assert_uint_eq(result(&f, 6), ((STACK - 0x804) & ~15u) - 40);
    ck_assert_uint_eq(result(&f, 7), SEL_UCODE);
    teardown(&f);
}
END_TEST

GUEST(page_fault, ".code64",
      "movabs $0x123456789000, %rbx\n mov (%rbx), %rax\n"
      ".org page_fault + 0x100\n pop %rax\n mov %rax, 0x5000\n mov %cr2, %rax\n mov %rax, 0x5008\n"
      "mov 16(%rsp), %rax\n mov %rax, 0x5010\n mov %rsp, 0x5018\n hlt\n");

START_TEST(page_fault_on_an_interrupt_stack)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_PF, CODE + 0x100, 0x8e, 1);
    stop_is(&f, RUN(&f, page_fault), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 0);
    ck_assert_uint_eq(result(&f, 1), UINT64_C(0x123456789000));
    ck_assert_uint_eq(result(&f, 2) & X86_FLAG_RF, X86_FLAG_RF);
    ck_assert_uint_eq(result(&f, 3), STACK - 0xc00 - 40);
    teardown(&f);
}
END_TEST

GUEST(double_fault, ".code64",
      "xor %esp, %esp\n sub $0x100, %rsp\n movabs $0x123456789000, %rsp\n push %rax\n"
      ".org double_fault + 0x100\n pop %rax\n movq $1, 0x5000\n mov %rax, 0x5008\n hlt\n");

START_TEST(page_fault_on_a_bad_stack_is_a_double_fault)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_PF, CODE + 0x180, 0x8e, 0);
    set_gate(&f, X86_DF, CODE + 0x100, 0x8e, 1);
    stop_is(&f, RUN(&f, double_fault), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 1);
    ck_assert_uint_eq(result(&f, 1), 0);
    teardown(&f);
}
END_TEST

START_TEST(no_way_out_is_a_shutdown_that_says_why)
{
    struct fixture f;

    setup_long(&f);
    stop_is(&f, RUN(&f, double_fault), X86_STOP_SHUTDOWN);
    ck_assert_ptr_nonnull(strstr(f.cpu->shutdown_text, "while delivering #DF"));
    ck_assert_ptr_nonnull(strstr(f.cpu->shutdown_text, "64-bit"));
    teardown(&f);
}
END_TEST

GUEST(step, ".code64",
      "pushf\n orl $0x100, (%rsp)\n popf\n nop\n nop\n hlt\n"
      ".org step + 0x100\n incl 0x5000\n mov %dr6, %rax\n mov %rax, 0x5008\n mov (%rsp), %rax\n"
      "mov %rax, 0x5010\n cmpl $2, 0x5000\n jne 1f\n andl $~0x100, 16(%rsp)\n 1: iretq\n");

START_TEST(single_steps_trap_behind_each_instruction)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_DB, CODE + 0x100, 0x8e, 0);
    stop_is(&f, RUN(&f, step), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 2);
    ck_assert_uint_eq(result(&f, 1) & X86_DR6_BS, X86_DR6_BS);
    ck_assert_uint_eq(result(&f, 2), CODE + 11);
    teardown(&f);
}
END_TEST

GUEST(msrs, ".code64",
      "mov $0xc0000100, %ecx\n mov $0x5000, %eax\n xor %edx, %edx\n wrmsr\n movl $0x66, %fs:0\n"
      "mov $0xc0000102, %ecx\n mov $0x5008, %eax\n wrmsr\n swapgs\n movl $0x67, %gs:0\n swapgs\n"
      "rdmsr\n mov %eax, 0x5010\n mov $0x12345, %ecx\n rdmsr\n"
      ".org msrs + 0x100\n movl $0x68, 0x5018\n hlt\n");

START_TEST(msrs_and_swapgs)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_GP, CODE + 0x100, 0x8e, 0);
    stop_is(&f, RUN(&f, msrs), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 0x66);
    ck_assert_uint_eq(result(&f, 1), 0x67);
    ck_assert_uint_eq(result(&f, 2), 0x5008);
    ck_assert_uint_eq(result(&f, 3), 0x68);
    teardown(&f);
}
END_TEST

/* KVM's MSR: a flag that is not aligned, or not in memory, is refused; and a hypercall. */
GUEST(kvm, ".code64",
      "mov $0x4b564d04, %ecx\n mov $0x5041, %eax\n xor %edx, %edx\n wrmsr\n"
      "mov $0x5043, %eax\n wrmsr\n mov $0x5141, %eax\n mov $1, %edx\n wrmsr\n"
      "rdmsr\n mov %eax, 0x5000\n mov %edx, 0x5008\n vmcall\n mov %rax, 0x5018\n hlt\n"
      ".org kvm + 0x100\n incl 0x5010\n add $8, %rsp\n addq $2, (%rsp)\n iretq\n");

START_TEST(kvms_own_msr_and_hypercalls)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_GP, CODE + 0x100, 0x8e, 0);
    stop_is(&f, RUN(&f, kvm), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 0x5041);
    ck_assert_uint_eq(result(&f, 1), 0);
    ck_assert_uint_eq(result(&f, 2), 2);
    ck_assert_int_eq((int64_t)result(&f, 3), -1000);
    teardown(&f);
}
END_TEST

GUEST(compat, ".code64",
      "push $0x23\n push $0x6000\n push $2\n push $0x1b\n push $(0x8000 + compat_user - compat)\n"
      "iretq\n"
      ".code32\n compat_user: mov $0x23, %eax\n mov %eax, %ds\n inc %eax\n dec %eax\n push %eax\n"
      "mov %esp, 0x5000\n int $0x30\n compat_back: mov %esp, 0x5018\n ud2\n"
      ".org compat + 0x100\n .code64\n mov 8(%rsp), %rax\n mov %rax, 0x5008\n mov 24(%rsp), %rax\n"
      "mov %rax, 0x5010\n iretq\n"
      ".org compat + 0x140\n hlt\n");

START_TEST(compatibility_mode_and_back)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, 0x30, CODE + 0x100, 0xee, 0);
    set_gate(&f, X86_UD, CODE + 0x140, 0x8e, 0);
    stop_is(&f, RUN(&f, compat), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), USER_STACK - 4);
    ck_assert_uint_eq(result(&f, 1), SEL_UCODE32);
    ck_assert_uint_eq(result(&f, 2), USER_STACK - 4);
    ck_assert_uint_eq(result(&f, 3), USER_STACK - 4);
    teardown(&f);
}
END_TEST

GUEST(sysenter, ".code64",
      "mov $0x174, %ecx\n mov $0x08, %eax\n xor %edx, %edx\n wrmsr\n inc %ecx\n mov $0x6800, %eax\n"
      "wrmsr\n inc %ecx\n mov $(0x8000 + sysenter_entry - sysenter), %eax\n wrmsr\n"
      "mov $0x6000, %ecx\n mov $(0x8000 + sysenter_user - sysenter), %edx\n sysexitq\n"
      "sysenter_user: mov %cs, 0x5000\n mov %ss, 0x5008\n mov %rsp, 0x5010\n sysenter\n"
      "sysenter_entry: mov %cs, 0x5018\n mov %rsp, 0x5020\n hlt\n");

START_TEST(sysenter_and_sysexit)
{
    struct fixture f;

    setup_long(&f);
    stop_is(&f, RUN(&f, sysenter), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 0x2b); /* SYSENTER_CS + 32 */
    ck_assert_uint_eq(result(&f, 1), 0x33);
    ck_assert_uint_eq(result(&f, 2), USER_STACK);
    ck_assert_uint_eq(result(&f, 3), SEL_CODE);
    ck_assert_uint_eq(result(&f, 4), 0x6800);
    teardown(&f);
}
END_TEST

GUEST(breakpoints, ".code64",
      "mov $0x8000 + breakpoints_here - breakpoints, %eax\n mov %rax, %dr0\n"
      "mov $0x5100, %eax\n mov %rax, %dr1\n mov $0xd0040f, %eax\n mov %rax, %dr7\n"
      "nop\n breakpoints_here: nop\n movl $1, 0x5100\n nop\n xor %eax, %eax\n mov %rax, %dr7\n hlt\n"
      ".org breakpoints + 0x100\n mov 0x5000, %ecx\n inc %ecx\n mov %ecx, 0x5000\n"
      "mov (%rsp), %rax\n mov %rax, 0x5000(,%rcx,8)\n mov %dr6, %rax\n mov %rax, 0x5020(,%rcx,8)\n"
      "orl $0x10000, 16(%rsp)\n iretq\n");

START_TEST(debug_registers_break)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_DB, CODE + 0x100, 0x8e, 0);
    stop_is(&f, RUN(&f, breakpoints), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 2);
    ck_assert_uint_eq(result(&f, 5) & 15, 1); /* a fault at the instruction */
    ck_assert_uint_eq(result(&f, 6) & 15, 2); /* a trap behind the store: NOP and 11 bytes on */
    ck_assert_uint_eq(result(&f, 2) - result(&f, 1), 12);
    teardown(&f);
}
END_TEST

GUEST(resumed, ".code64",
      "mov $0x8000 + resumed_here - resumed, %eax\n mov %rax, %dr0\n"
      "mov $0x401, %eax\n mov %rax, %dr7\n"
      "resumed_here: cli\n xor %eax, %eax\n mov %rax, %dr7\n hlt\n"
      ".org resumed + 0x100\n incl 0x5000\n orl $0x10200, 16(%rsp)\n iretq\n"
      ".org resumed + 0x140\n incl 0x5008\n mov 16(%rsp), %rax\n mov %rax, 0x5010\n iretq\n");

START_TEST(an_interrupt_keeps_the_resume_flag)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_DB, CODE + 0x100, 0x8e, 0);
    set_gate(&f, 0x40, CODE + 0x140, 0x8e, 0);
    x86_cpu_post(f.cpu, X86_PENDING_INTR);
    stop_is(&f, RUN(&f, resumed), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 1), 1);
    ck_assert_uint_eq(result(&f, 2) & X86_FLAG_RF, X86_FLAG_RF);
    ck_assert_uint_eq(result(&f, 0), 1); /* not once more behind the interrupt */
    teardown(&f);
}
END_TEST

GUEST(io_bitmap, ".code32",
      "push $0x23\n push $0x6000\n push $0x2\n push $0x1b\n"
      "push $(0x8000 + io_bitmap_user - io_bitmap)\n iretl\n"
      "io_bitmap_user: mov $0x23, %eax\n mov %eax, %ds\n in $0x60, %al\n mov %eax, 0x5000\n"
      "in $0x61, %al\n hlt\n"
      ".org io_bitmap + 0x100\n pop %ebx\n pop %eax\n mov %eax, %ss:0x5008\n hlt\n");

START_TEST(io_permission_bitmap)
{
    struct fixture f;

    setup_protected(&f);
    set_gate(&f, X86_GP, CODE + 0x100, 0x8e, 0);
    f.s.seg[X86_TR].limit = 0x67 + 0x20;
    put(&f, TSS + 102, 0x68, 2);
    put(&f, TSS + 0x68 + 0x60 / 8, 0xfe, 1); /* 0x60 only */
    stop_is(&f, RUN(&f, io_bitmap), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0) & 0xff, 0x60);
    ck_assert_uint_eq(result(&f, 1), CODE + 31);
    teardown(&f);
}
END_TEST

GUEST(looks, ".code32",
      "mov $0x10, %ecx\n lar %ecx, %eax\n jnz 1f\n mov %eax, 0x5000\n lsl %ecx, %eax\n"
      "mov %eax, 0x5008\n mov $0x1000, %ecx\n lsl %ecx, %eax\n jz 1f\n verw %cx\n jz 1f\n"
      "mov $8, %ecx\n verr %cx\n jnz 1f\n verw %cx\n jz 1f\n movl $1, 0x5010\n 1: hlt\n");

START_TEST(descriptors_can_be_looked_at)
{
    struct fixture f;

    setup_protected(&f);
    stop_is(&f, RUN(&f, looks), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 0xcf9300);
    ck_assert_uint_eq(result(&f, 1), 0xffffffff);
    ck_assert_uint_eq(result(&f, 2), 1);
    teardown(&f);
}
END_TEST

/* The handler counts #GP(0)s and steps over the 3-byte instruction that raised each. */
GUEST(bad_crs, ".code64",
      "mov %cr0, %rax\n and $0x7fffffff, %eax\n mov %rax, %cr0\n"  /* PG off in 64-bit mode */
      "mov %cr4, %rax\n and $~0x20, %eax\n mov %rax, %cr4\n"       /* PAE off */
      "mov $0x1020, %eax\n mov %rax, %cr4\n"                       /* LA57 */
      "mov $0x1000, %rax\n shl $40, %rax\n mov %rax, %cr3\n"       /* beyond MAXPHYADDR */
      "mov $-1, %rax\n mov %rax, %dr7\n"                           /* upper half */
      "mov $0xa0000011, %eax\n mov %rax, %cr0\n"                   /* NW without CD */
      "mov %cr4, %rax\n mov %rax, 0x5008\n hlt\n"
      ".org bad_crs + 0x100\n incl 0x5000\n pop %rax\n add %rax, 0x5010\n addq $3, (%rsp)\n iretq\n");

START_TEST(control_registers_refuse_nonsense)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_GP, CODE + 0x100, 0x8e, 0);
    stop_is(&f, RUN(&f, bad_crs), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 6);
    ck_assert_uint_eq(result(&f, 1), X86_CR4_PAE);
    ck_assert_uint_eq(result(&f, 2), 0);
    teardown(&f);
}
END_TEST

GUEST(interrupts, ".code64",
      "sti\n nop\n nop\n hlt\n cli\n hlt\n"
      ".org interrupts + 0x100\n mov (%rsp), %rax\n mov %rax, 0x5000\n"
      "mov 16(%rsp), %rax\n mov %rax, 0x5008\n iretq\n"
      ".org interrupts + 0x140\n incl 0x5010\n mov $0x5010, %eax\n iretq\n");

START_TEST(interrupts_wait_for_the_shadow_of_sti)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, 0x40, CODE + 0x100, 0x8e, 0);
    set_gate(&f, X86_NMI, CODE + 0x140, 0x8e, 0);
    x86_cpu_post(f.cpu, X86_PENDING_INTR);
    stop_is(&f, RUN(&f, interrupts), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), CODE + 2);
    ck_assert_uint_eq(result(&f, 1) & (X86_FLAG_IF | X86_FLAG_RF), X86_FLAG_IF);
    x86_cpu_post_nmi(f.cpu);
    stop_is(&f, x86_cpu_run(f.cpu), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 2), 1);
    ck_assert(!f.cpu->nmi_blocked);
    teardown(&f);
}
END_TEST

/* The handler at 0x140 counts, and stops in itself to have more come meanwhile. */
GUEST(nmis, ".code64",
      "hlt\n jmp nmis\n"
      ".org nmis + 0x140\n incl 0x5000\n cmpl $1, 0x5008\n jne 1f\n hlt\n 1: iretq\n");

/* Two that come together are two, as on KVM; three are not three; and what comes while one is
 * handled is one. */
START_TEST(two_nmis_that_come_together_are_two)
{
    static const unsigned handled[] = {0, 1, 3, 5};
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_NMI, CODE + 0x140, 0x8e, 0);
    stop_is(&f, RUN(&f, nmis), X86_STOP_HALT);
    for (unsigned n = 1; n <= 3; n++) {
        for (unsigned k = 0; k < n; k++)
            x86_cpu_post_nmi(f.cpu);
        stop_is(&f, x86_cpu_run(f.cpu), X86_STOP_HALT);
        ck_assert_uint_eq(result(&f, 0), handled[n]);
    }
    set_result(&f, 1, 1);
    x86_cpu_post_nmi(f.cpu);
    stop_is(&f, x86_cpu_run(f.cpu), X86_STOP_HALT); /* in the handler */
    ck_assert(f.cpu->nmi_blocked);
    set_result(&f, 1, 0);
    for (unsigned k = 0; k < 3; k++)
        x86_cpu_post_nmi(f.cpu);
    x86_cpu_get(f.cpu, &f.s);
    ck_assert(f.s.nmi_pending && !f.s.nmi_second);
    ck_assert_uint_eq(result(&f, 0), 6);
    f.cpu->run_state = X86_RUNNING; /* on with the handler, as an interrupt would have it */
    stop_is(&f, x86_cpu_run(f.cpu), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 7);
    teardown(&f);
}
END_TEST

START_TEST(waiting_nmis_are_part_of_the_state)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, X86_NMI, CODE + 0x140, 0x8e, 0);
    stop_is(&f, RUN(&f, nmis), X86_STOP_HALT);
    x86_cpu_post_nmi(f.cpu);
    x86_cpu_post_nmi(f.cpu);
    x86_cpu_get(f.cpu, &f.s);
    ck_assert(f.s.nmi_pending && f.s.nmi_second);
    f.s.nmi_pending = false;
    ck_assert_int_eq(x86_cpu_set(f.cpu, &f.s), -EINVAL); /* a second without a first */
    f.s.nmi_pending = true;
    ck_assert_int_eq(x86_cpu_set(f.cpu, &f.s), 0);
    stop_is(&f, x86_cpu_run(f.cpu), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 2);
    x86_cpu_post_nmi(f.cpu);
    f.s.nmi_pending = f.s.nmi_second = false;
    ck_assert_int_eq(x86_cpu_set(f.cpu, &f.s), 0);
    x86_cpu_get(f.cpu, &f.s);
    ck_assert(!f.s.nmi_pending); /* what a state has not got is gone */
    teardown(&f);
}
END_TEST

/* The same IRET three times, the third with IF set, so that it could go on in its target directly,
 * and that in what is behind it. */
GUEST(held, ".code64",
      "mov $3, %ebx\n mov $2, %edx\n"
      "1: mov %rsp, %rax\n push $0x10\n push %rax\n push %rdx\n push $8\n"
      "push $(0x8000 + held_target - held)\n mov $1000, %ecx\n iretq\n"
      "held_target: cmpl $0, 0x5000\n jne 2f\n dec %ecx\n jnz held_target\n"
      "dec %ebx\n cmp $1, %ebx\n jg 1b\n mov $0x202, %edx\n je 1b\n"
      "2: mov %ecx, 0x5008\n cli\n hlt\n"
      ".org held + 0x100\n incl 0x5000\n iretq\n");

START_TEST(an_interrupt_comes_as_soon_as_iret_lets_it)
{
    struct fixture f;

    setup_long(&f);
    set_gate(&f, 0x40, CODE + 0x100, 0x8e, 0);
    x86_cpu_post(f.cpu, X86_PENDING_INTR);
    stop_is(&f, RUN(&f, held), X86_STOP_HALT);
    ck_assert_uint_eq(result(&f, 0), 1);
    ck_assert_uint_eq(result(&f, 1), 1000);
    teardown(&f);
}
END_TEST

/* Translated code may leave it behind. The state must be one that a CPU takes again. */
START_TEST(a_shadow_of_sti_that_is_over_is_not_told)
{
    struct fixture f;

    setup_long(&f);
    ck_assert_int_eq(x86_cpu_set(f.cpu, &f.s), 0);
    f.cpu->sti_shadow = f.cpu->mov_ss_shadow = true;
    x86_cpu_post(f.cpu, X86_PENDING_KICK);
    ck_assert_int_eq(x86_cpu_run(f.cpu), X86_STOP_KICK);
    x86_cpu_get(f.cpu, &f.s);
    ck_assert(!f.s.sti_shadow && f.s.mov_ss_shadow);
    ck_assert_int_eq(x86_cpu_set(f.cpu, &f.s), 0);
    teardown(&f);
}
END_TEST

START_TEST(state_that_no_cpu_can_hold_is_refused)
{
    struct fixture f;
    struct x86_cpu_state bad;

    setup_long(&f);
    ck_assert_int_eq(x86_cpu_set(f.cpu, &f.s), 0);
    bad = f.s;
    bad.cr0 &= ~(uint64_t)X86_CR0_PE;
    ck_assert_int_eq(x86_cpu_set(f.cpu, &bad), -EINVAL);
    bad = f.s;
    bad.efer &= ~(uint64_t)X86_EFER_LMA;
    ck_assert_int_eq(x86_cpu_set(f.cpu, &bad), -EINVAL);
    bad = f.s;
    bad.seg[X86_GS].base = BIT(60);
    ck_assert_int_eq(x86_cpu_set(f.cpu, &bad), -EINVAL);
    bad = f.s;
    bad.pat = 2;
    bad.xsave[160] ^= 0xff; /* of XMM0 */
    ck_assert_int_eq(x86_cpu_set(f.cpu, &bad), -EINVAL);
    x86_cpu_get(f.cpu, &bad);
    ck_assert_uint_eq(bad.xsave[160], f.s.xsave[160]);
    ck_assert_int_eq(memcmp(bad.seg, f.s.seg, sizeof(bad.seg)), 0);
    ck_assert_uint_eq(bad.rip, f.s.rip);
    teardown(&f);
}
END_TEST

START_TEST(descriptors_are_parsed)
{
    struct x86_segment s = seg_parse(0x33, UINT64_C(0x12cf9b345678ffff));

    ck_assert_uint_eq(s.base, 0x12345678);
    ck_assert_uint_eq(s.limit, 0xffffffff);
    ck_assert_uint_eq(s.attr, 0xc09b);
    ck_assert(seg_covers(&s, 0xfffffffc, 4));
    s = seg_parse(0x33, UINT64_C(0x0040970000000fff)); /* expand-down */
    ck_assert(!seg_covers(&s, 0xfff, 1));
    ck_assert(seg_covers(&s, 0x1000, 4));
    ck_assert(!seg_covers(&s, 0xfffffffd, 4));
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, real_mode_interrupt_and_return);
    UNIT_TEST(s, ports_and_string_io);
    UNIT_TEST(s, real_to_protected_mode);
    UNIT_TEST(s, absent_segment_raises_np_with_selector);
    UNIT_TEST(s, iret_to_user_and_gate_privilege);
    UNIT_TEST(s, call_gate_copies_parameters_and_returns);
    UNIT_TEST(s, far_call_looks_at_the_stack_first);
    UNIT_TEST(s, call_to_a_task_and_back);
    UNIT_TEST(s, virtual_8086_mode_and_out_by_gate);
    UNIT_TEST(s, syscall_sysret_and_interrupt_stack);
    UNIT_TEST(s, page_fault_on_an_interrupt_stack);
    UNIT_TEST(s, page_fault_on_a_bad_stack_is_a_double_fault);
    UNIT_TEST(s, no_way_out_is_a_shutdown_that_says_why);
    UNIT_TEST(s, single_steps_trap_behind_each_instruction);
    UNIT_TEST(s, msrs_and_swapgs);
    UNIT_TEST(s, kvms_own_msr_and_hypercalls);
    UNIT_TEST(s, compatibility_mode_and_back);
    UNIT_TEST(s, sysenter_and_sysexit);
    UNIT_TEST(s, debug_registers_break);
    UNIT_TEST(s, an_interrupt_keeps_the_resume_flag);
    UNIT_TEST(s, io_permission_bitmap);
    UNIT_TEST(s, descriptors_can_be_looked_at);
    UNIT_TEST(s, control_registers_refuse_nonsense);
    UNIT_TEST(s, interrupts_wait_for_the_shadow_of_sti);
    UNIT_TEST(s, two_nmis_that_come_together_are_two);
    UNIT_TEST(s, waiting_nmis_are_part_of_the_state);
    UNIT_TEST(s, an_interrupt_comes_as_soon_as_iret_lets_it);
    UNIT_TEST(s, a_shadow_of_sti_that_is_over_is_not_told);
    UNIT_TEST(s, state_that_no_cpu_can_hold_is_refused);
    UNIT_TEST(s, descriptors_are_parsed);
}

UNIT_TEST_MAIN("system", add_tests)
