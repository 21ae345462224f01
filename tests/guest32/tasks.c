/* SPDX-License-Identifier: MIT */
/* Task switches by far call, far jump, IRET and task gates; virtual-8086 mode; call gates; what
 * descriptors protect. SDM vol. 3, 5.5 to 5.9, 7.2 to 7.4, 20.2. */
#include "guest32.h"

#define SEL_TASK   SEL_FREE
#define SEL_GATE   (SEL_FREE + 8)
#define SEL_V86    (SEL_FREE + 0x10)
#define SEL_TEST   (SEL_FREE + 0x18)
#define SEL_CONF   (SEL_FREE + 0x20)
#define SEL_TGATE  (SEL_FREE + 0x28)

static struct tss task;
static uint32_t task_stack[1024];
static volatile unsigned runs, restarts;
static volatile uint32_t seen_error, seen_link, seen_flags;

static uint32_t str(void)
{
    uint32_t v = 0;

    __asm__ volatile("str %w0" : "+r"(v));
    return v;
}

/* What sort of task each is, as its code. They loop, so that a second switch goes on behind the
 * IRET or the jump. */
extern char task_iret[], task_error[], task_jump[];
void task_ran(void);

void task_ran(void)
{
    runs++;
    seen_link = task.link;
    __asm__ volatile("pushf; pop %0" : "=r"(seen_flags));
    CHECK_EQ("  in the other task", str(), SEL_TASK);
    CHECK("  CR0.TS is set", READ_CR(0) & 8);
    __asm__ volatile("clts");
}

__asm__("task_iret: call task_ran; iret; incl restarts; jmp task_iret\n"
        /* #NP of SEL_TEST: make it present. */
        "task_error: popl seen_error; orb $0x80, gdt + 0x58 + 5; call task_ran; iret; jmp task_error\n"
        "task_jump: call task_ran; ljmp $0x38, $0; jmp task_jump\n");

static void prepare(const char *code)
{
    task = (struct tss){.cr3 = READ_CR(3), .eip = (uint32_t)code, .eflags = 2,
                        .esp = (uint32_t)(task_stack + 1024), .cs = 8, .ss = 0x10, .ds = 0x10,
                        .es = 0x10, .fs = 0x10, .gs = 0x10, .eax = 0x12345678,
                        .iomap = sizeof(task)};
    gdt[SEL_TASK / 8] = descriptor((uint32_t)&task, sizeof(task) - 1, 0x89, 0);
    runs = restarts = 0;
}

static unsigned type_of(unsigned sel)
{
    return gdt[sel / 8] >> 40 & 0xf;
}

static void came_back(const char *name, bool nested)
{
    uint32_t flags;

    __asm__ volatile("pushf; pop %0" : "=r"(flags));
    CHECK_EQ(name, runs, 1);
    CHECK_EQ("  back in the main task", str(), SEL_MAIN_TSS);
    CHECK_EQ("  NT is clear here", flags >> 14 & 1, 0);
    CHECK_EQ("  NT was set there", seen_flags >> 14 & 1, nested);
    if (nested)
        CHECK_EQ("  its link", seen_link & 0xffff, SEL_MAIN_TSS);
    CHECK_EQ("  its descriptor is not busy", type_of(SEL_TASK), 9);
    CHECK_EQ("  ours is", type_of(SEL_MAIN_TSS), 11);
    __asm__ volatile("clts");
}

static void calls_and_jumps(void)
{
    prepare(task_iret);
    __asm__ volatile("lcall $0x40, $0xf4f4f4f4");
    came_back("a far call to a TSS", true);
    runs = 0;
    __asm__ volatile("lcall $0x40, $0xf4f4f4f4");
    came_back("once more", true);
    CHECK_EQ("  goes on behind its IRET", restarts, 1);
    CHECK_EQ("  EAX was saved and loaded", task.eax != 0, 1);
    gdt[SEL_TGATE / 8] = (uint64_t)SEL_TASK << 16 | UINT64_C(0x8500) << 32;
    prepare(task_iret);
    __asm__ volatile("lcall $0x68, $0");
    came_back("a far call to a task gate", true);
    prepare(task_jump);
    __asm__ volatile("ljmp $0x40, $0xf4f4f4f4");
    came_back("a far jump to a TSS", false);
}

static void task_gates(void)
{
    prepare(task_iret);
    set_gate(0x41, 5, 0, SEL_TASK);
    __asm__ volatile("int $0x41");
    came_back("INT n through a task gate", true);
    prepare(task_iret);
    set_gate(3, 5, 0, SEL_TASK);
    __asm__ volatile("int3");
    came_back("INT3 through a task gate", true);
    set_gate(3, 14, 0, 0);
    prepare(task_iret);
    set_gate(4, 5, 0, SEL_TASK);
    __asm__ volatile("movb $127, %%al; addb $127, %%al; into" : : : "eax");
    came_back("INTO through a task gate", true);
    set_gate(4, 14, 0, 0);
    prepare(task_iret);
    set_gate(0x42, 5, 0, SEL_TASK);
    apic_enable();
    apic_write(0x300, 0x44042);
    __asm__ volatile("sti; nop; nop; cli");
    came_back("an interrupt through a task gate", true);
    apic_write(0xb0, 0);
    prepare(task_iret);
    set_gate(2, 5, 0, SEL_TASK);
    apic_write(0x300, 0x44400);
    for (volatile int i = 0; i < 1000 && !runs; i++)
        ;
    came_back("an NMI through a task gate", true);
    set_gate(2, 14, 0, 0);
    prepare(task_error);
    set_gate(11, 5, 0, SEL_TASK);
    gdt[SEL_TEST / 8] = descriptor(0, 0xfffff, 0x13, 0xc); /* not present */
    __asm__ volatile("mov %0, %%fs" : : "r"(SEL_TEST));
    came_back("#NP through a task gate, restarted", true);
    CHECK_EQ("  its error code is on the new stack", seen_error, SEL_TEST);
    __asm__ volatile("mov %0, %%fs" : : "r"(0x10));
    set_gate(11, 14, 0, 0);
}

struct far {
    uint32_t offset;
    uint16_t selector;
};

static void far_call(void *p)
{
    __asm__ volatile("lcall *%0" : : "m"(*(struct far *)p) : "memory");
}

static void bad_tasks(void)
{
    struct far to = {0, SEL_TASK};
    struct frame f;

    prepare(task_iret);
    gdt[SEL_TASK / 8] = descriptor((uint32_t)&task, sizeof(task) - 1, 0x8b, 0);
    CHECK_EQ("a busy task: #GP", catch_exception(far_call, &to, &f), 13);
    CHECK_EQ("  with the selector", f.error, SEL_TASK);
    gdt[SEL_TASK / 8] = descriptor((uint32_t)&task, sizeof(task) - 1, 0x09, 0);
    CHECK_EQ("one that is not present: #NP", catch_exception(far_call, &to, &f), 11);
    gdt[SEL_TASK / 8] = descriptor((uint32_t)&task, 0x66, 0x89, 0);
    CHECK_EQ("one that is too short: #TS", catch_exception(far_call, &to, &f), 10);
    CHECK_EQ("  with the selector", f.error, SEL_TASK);
    CHECK_EQ("nothing happened", str(), SEL_MAIN_TSS);
    CHECK_EQ("  ours is busy still", type_of(SEL_MAIN_TSS), 11);
}

/* ---- virtual-8086 mode ---- */

#define V86_CODE 0x42000u

static void in_v86(const void *code, size_t len, unsigned iopl)
{
    uint8_t *to = (uint8_t *)V86_CODE;
    static uint32_t kernel_stack[1024];
    uint32_t flags = 0x20202 | iopl << 12;

    for (size_t i = 0; i < len; i++)
        to[i] = ((const uint8_t *)code)[i];
    main_tss.esp0 = (uint32_t)(kernel_stack + 1024);
    main_tss.ss0 = 0x10;
    __asm__ volatile("pushl $0x5555; pushl $0x4444; pushl $0x2345; pushl $0x1234\n"
                     "pushl $0x800; pushl $0x3000; pushl %0; pushl $0x4200; pushl $0; iret"
                     : : "r"(flags) : "memory");
}

struct v86_code {
    const void *bytes;
    size_t len;
    unsigned iopl;
};

static void enter_v86(void *p)
{
    const struct v86_code *c = p;

    in_v86(c->bytes, c->len, c->iopl);
}

static int v86(const char *bytes, size_t len, unsigned iopl, struct frame *ret)
{
    struct v86_code c = {bytes, len, iopl};

    return catch_exception(enter_v86, &c, ret);
}
#define V86(bytes, iopl, ret) v86(bytes, sizeof(bytes) - 1, iopl, ret)

static void virtual_8086(void)
{
    struct frame f;

    CHECK_EQ("UD2 in virtual-8086 mode", V86("\x0f\x0b", 0, &f), 6);
    CHECK_EQ("  CS", f.cs, 0x4200);
    CHECK_EQ("  EIP", f.eip, 0);
    CHECK_EQ("  VM in the saved flags", f.eflags >> 17 & 1, 1);
    CHECK_EQ("  SS", f.ss, 0x800);
    CHECK_EQ("  ESP", f.esp, 0x3000);
    CHECK_EQ("  DS", f.v_ds, 0x2345);
    CHECK_EQ("  ES", f.v_es, 0x1234);
    CHECK_EQ("  FS", f.v_fs, 0x4444);
    CHECK_EQ("  GS", f.v_gs, 0x5555);
    CHECK_EQ("  the handler's segments are empty", f.fs, 0);
    CHECK_EQ("CLI with IOPL 0: #GP", V86("\xfa\x0f\x0b", 0, &f), 13);
    CHECK_EQ("CLI with IOPL 3", V86("\xfa\x0f\x0b", 3, &f), 6);
    CHECK_EQ("  IF is clear", f.eflags >> 9 & 1, 0);
    CHECK_EQ("PUSHF with IOPL 0: #GP", V86("\x9c\x0f\x0b", 0, &f), 13);
    CHECK_EQ("INT n with IOPL 0: #GP", V86("\xcd\x40\x0f\x0b", 0, &f), 13);
    CHECK_EQ("HLT: #GP", V86("\xf4\x0f\x0b", 3, &f), 13);
    CHECK_EQ("a segment's base",
             V86("\xb8\x00\x42\x8e\xd8\xa0\x00\x00\x0f\x0b", 0, &f), 6);
    CHECK_EQ("  what was read there", f.eax & 0xff, 0xb8);
    CHECK_EQ("MOV beyond 64 KiB: #GP", V86("\x66\xbb\x00\x00\x01\x00\x67\x8a\x03\x0f\x0b", 0, &f), 13);
    CHECK_EQ("a port that the bitmap forbids: #GP", V86("\xe4\x80\x0f\x0b", 3, &f), 13);
    CHECK_EQ("16-bit wrap of a push", V86("\xbc\x00\x00\x50\x0f\x0b", 0, &f), 6);
    CHECK_EQ("  SP", f.esp & 0xffff, 0xfffe);
}

static void v86_task(void *arg)
{
    __asm__ volatile("pushf; orl $0x4000, (%%esp); popf; iret" : : : "memory");
}

static void switch_to_v86(void)
{
    static struct tss v86_tss;
    struct frame f;

    *(uint16_t *)V86_CODE = 0x0b0f;
    v86_tss = (struct tss){.eflags = 0x20002, .cr3 = READ_CR(3), .cs = 0x4200, .ds = 0x1234,
                           .es = 0x2345, .ss = 0x800, .esp = 0x3000,
                           .esp0 = (uint32_t)(task_stack + 1024), .ss0 = 0x10,
                           .iomap = sizeof(v86_tss)};
    gdt[SEL_V86 / 8] = descriptor((uint32_t)&v86_tss, sizeof(v86_tss) - 1, 0x8b, 0);
    main_tss.link = SEL_V86;
    CHECK_EQ("IRET to a task in virtual-8086 mode", catch_exception(v86_task, NULL, &f), 6);
    CHECK_EQ("  CS", f.cs, 0x4200);
    CHECK_EQ("  DS", f.v_ds, 0x1234);
    CHECK_EQ("  TR", str(), SEL_V86);
    __asm__ volatile("clts");
    gdt[SEL_MAIN_TSS / 8] &= ~(UINT64_C(2) << 40);
    __asm__ volatile("ltr %w0" : : "r"(SEL_MAIN_TSS));
}

/* ---- call gates ---- */

static volatile uint32_t gate_seen[4];
extern char gate_entry[];

__asm__("gate_entry: mov 8(%esp), %eax; mov %eax, %ss:gate_seen; mov 12(%esp), %eax\n"
        "mov %eax, %ss:gate_seen + 4; mov %cs, %ss:gate_seen + 8; mov %ss, %ss:gate_seen + 12\n"
        "lret $8\n");

static void through_gate(void *arg)
{
    uint32_t before, after;

    __asm__ volatile("mov %%esp, %0; pushl $0x1111; pushl $0x2222; lcall $0x4b, $0; mov %%esp, %1"
                     : "=&r"(before), "=r"(after) : : "eax", "memory");
    if (before != after)
        __asm__ volatile("ud2");
    user_return();
}

static void call_gates(void)
{
    struct frame f;

    gdt[SEL_GATE / 8] = ((uint32_t)gate_entry & 0xffff) | UINT64_C(8) << 16 |
                        UINT64_C(0xec02) << 32 | (uint64_t)((uint32_t)gate_entry >> 16) << 48;
    CHECK_EQ("a call gate from CPL 3", run_user(through_gate, NULL, 0, &f), -1);
    CHECK_EQ("  the first parameter", gate_seen[0], 0x2222);
    CHECK_EQ("  the second", gate_seen[1], 0x1111);
    CHECK_EQ("  CS", gate_seen[2] & 0xffff, 8);
    CHECK_EQ("  SS", gate_seen[3] & 0xffff, 0x10);
    gdt[SEL_GATE / 8] &= ~(UINT64_C(0x60) << 40);
    CHECK_EQ("one whose DPL is 0: #GP", run_user(through_gate, NULL, 0, &f), 13);
    CHECK_EQ("  with the selector", f.error, SEL_GATE);
}

/* ---- what descriptors protect ---- */

static void load_fs(void *sel)
{
    __asm__ volatile("mov %w0, %%fs" : : "r"(sel) : "memory");
}

static void load_ss(void *sel)
{
    __asm__ volatile("mov %w0, %%ss" : : "r"(sel));
}

static void read_fs(void *at)
{
    __asm__ volatile("mov %%fs:(%0), %%al" : : "r"(at) : "eax");
}

static void write_fs(void *at)
{
    __asm__ volatile("movb $1, %%fs:(%0)" : : "r"(at) : "memory");
}

static int with_fs(uint64_t d, void (*fn)(void *), uint32_t at)
{
    gdt[SEL_TEST / 8] = d;
    __asm__ volatile("mov %0, %%fs" : : "r"(SEL_TEST));
    return catch_exception(fn, (void *)at, NULL);
}

static void protection(void)
{
    static uint8_t bytes[0x3000] __attribute__((aligned(4096)));
    uint32_t base = (uint32_t)bytes;
    struct frame f;

    CHECK_EQ("up to the limit", with_fs(descriptor(base, 0xfff, 0x93, 4), read_fs, 0xfff), -1);
    CHECK_EQ("beyond it: #GP", with_fs(descriptor(base, 0xfff, 0x93, 4), read_fs, 0x1000), 13);
    CHECK_EQ("limit in pages", with_fs(descriptor(base, 1, 0x93, 0xc), read_fs, 0x1fff), -1);
    CHECK_EQ("  beyond: #GP", with_fs(descriptor(base, 1, 0x93, 0xc), read_fs, 0x2000), 13);
    CHECK_EQ("expand-down: below the limit: #GP",
             with_fs(descriptor(base, 0xfff, 0x97, 4), read_fs, 0xfff), 13);
    CHECK_EQ("  above it", with_fs(descriptor(base, 0xfff, 0x97, 4), read_fs, 0x1000), -1);
    CHECK_EQ("  16 bits: 64 KiB at most: #GP",
             with_fs(descriptor(base, 0xfff, 0x97, 0), read_fs, 0x10000), 13);
    CHECK_EQ("a read-only segment reads", with_fs(descriptor(base, 0xfff, 0x91, 4), read_fs, 0), -1);
    CHECK_EQ("  and does not write: #GP",
             with_fs(descriptor(base, 0xfff, 0x91, 4), write_fs, 0), 13);
    gdt[SEL_TEST / 8] = descriptor(0, 0xfffff, 0x98, 0xc);
    CHECK_EQ("code that cannot be read, as data: #GP", catch_exception(load_fs, (void *)SEL_TEST, &f), 13);
    CHECK_EQ("  with the selector", f.error, SEL_TEST);
    CHECK_EQ("beyond the GDT: #GP", catch_exception(load_fs, (void *)0x100, &f), 13);
    CHECK_EQ("  with the selector", f.error, 0x100);
    CHECK_EQ("no SS: #GP", catch_exception(load_ss, (void *)0, &f), 13);
    CHECK_EQ("an SS of CPL 3: #GP", catch_exception(load_ss, (void *)0x33, &f), 13);
    gdt[SEL_TEST / 8] = descriptor(0, 0xfffff, 0x13, 0xc);
    CHECK_EQ("an SS that is not present: #SS", catch_exception(load_ss, (void *)SEL_TEST, &f), 12);
    CHECK_EQ("  with the selector", f.error, SEL_TEST);
    load_fs((void *)0);
    CHECK_EQ("a null selector loads, and does not read: #GP", catch_exception(read_fs, NULL, &f), 13);
    gdt[SEL_TEST / 8] = descriptor(0, 0xfffff, 0x92, 0xc);
    load_fs((void *)SEL_TEST);
    CHECK_EQ("a load sets the accessed bit", gdt[SEL_TEST / 8] >> 40 & 1, 1);
    load_fs((void *)0x10);
}

static void look(void)
{
    uint32_t v = 0, zf;

    gdt[SEL_TEST / 8] = descriptor(0x1000, 0x12345, 0x93, 0xc);
    __asm__ volatile("lsl %2, %0; sete %b1" : "+r"(v), "=&q"(zf) : "r"(SEL_TEST) : "cc");
    CHECK_EQ("LSL", v, 0x12345fff);
    __asm__ volatile("lar %1, %0" : "+r"(v) : "r"(SEL_TEST) : "cc");
    CHECK_EQ("LAR", v & 0xf0ff00, 0xc09300); /* bits 16 to 19 are undefined */
    __asm__ volatile("xor %0, %0; verw %w1; sete %b0" : "=&q"(v) : "r"(8) : "cc");
    CHECK_EQ("VERW of code", v & 1, 0);
    __asm__ volatile("xor %0, %0; verr %w1; sete %b0" : "=&q"(v) : "r"(8) : "cc");
    CHECK_EQ("VERR of code", v & 1, 1);
    v = 0x10;
    __asm__ volatile("arpl %w1, %w0" : "+r"(v) : "r"(3) : "cc");
    CHECK_EQ("ARPL", v, 0x13);
}

static void bound(void *arg)
{
    static const int32_t limits[2] = {5, 10};

    __asm__ volatile("bound %0, %1" : : "r"((int)(uintptr_t)arg), "m"(limits[0]));
}

static void into(void *arg)
{
    __asm__ volatile("movb $127, %%al; addb $1, %%al; into" : : : "eax");
}

int guest_main(void)
{
    struct frame f;

    calls_and_jumps();
    task_gates();
    bad_tasks();
    virtual_8086();
    switch_to_v86();
    call_gates();
    protection();
    look();
    CHECK_EQ("BOUND within", catch_exception(bound, (void *)10, &f), -1);
    CHECK_EQ("BOUND outside: #BR", catch_exception(bound, (void *)11, &f), 5);
    CHECK_EQ("INTO: #OF", catch_exception(into, NULL, &f), 4);
    return 1;
}
