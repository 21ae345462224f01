/* SPDX-License-Identifier: MIT */
/* Every event by which user code comes to the kernel: vector, error code, RIP, CR2, flags and all
 * registers as the manual says (SDM vol. 3, 6.15), whatever runs the user code, and how often it
 * has happened before. What the CPU may answer without the kernel (CPUID, RDTSC, RDTSCP, LSL) is the
 * guest's answer. SGDT and its like are left out: a host with UMIP answers them for itself. */
#include "user.h"

#define AC  UINT64_C(0x40000)
#define TF  UINT64_C(0x100)
#define IOPL3 UINT64_C(0x3000)
#define NX  (UINT64_C(1) << 63)
#define ARITH UINT64_C(0x8d5) /* CF PF AF ZF SF OF */
#define ANY UINT64_MAX
#define NOWHERE  UINT64_C(0x550000000000) /* nothing is there */
#define LAST     UINT64_C(0x7ffffffff000) /* the last page of the lower half */
#define VSYSCALL UINT64_C(0xffffffffff600000)

/* A case starts at LABEL and its event is at LABEL_at, in pages that user mode may run but not write. What follows a
 * fault overwrites every flag without reading one: those of before are to be seen all the same. */
#define FAULT(label, code) #label ": " #label "_at: " code "; cmp %eax, %eax; syscall\n"
/* One of a plain access, which only some engines are that exact about. */
#define PLAIN(label, code) #label ": " #label "_at: " code "; syscall\n"
#define TRAP(label, code)  #label ": " code "; " #label "_at: syscall\n"

__asm__(".pushsection .text; .balign 4096; user_text:\n"
        FAULT(div_zero, "div %ecx") FAULT(idiv_big, "idivl %ebx") TRAP(int1, ".byte 0xf1") TRAP(int3, "int3")
        TRAP(cd03, ".byte 0xcd, 3") FAULT(gp_int3, "int3") FAULT(into, ".byte 0xce") FAULT(ud2, "ud2")
        FAULT(ud1, ".byte 0x0f, 0xb9, 0xc0") FAULT(ud0, ".byte 0x0f, 0xff, 0xc0") FAULT(daa, ".byte 0x27")
        FAULT(push_es, ".byte 0x06") FAULT(lcall, ".byte 0x9a, 0, 0, 0, 0, 0x23, 0")
        FAULT(salc, ".byte 0xd6") FAULT(lock_nop, ".byte 0xf0, 0x90") FAULT(load_cs, ".byte 0x8e, 0xc8")
        PLAIN(far_away, "mov (%rdi), %rax") PLAIN(far_stack, "mov (%rbp), %rax") FAULT(jump_far, "jmp *%rdi")
        FAULT(hlt, "hlt") FAULT(cli, "cli") FAULT(sti, "sti") FAULT(lgdt, "lgdt (%rbx)") FAULT(lidt, "lidt (%rbx)")
        FAULT(lldt, "lldt %cx") FAULT(ltr, "ltr %cx") FAULT(lmsw, "lmsw %cx") FAULT(clts, "clts") FAULT(invd, "invd")
        FAULT(wbinvd, "wbinvd") FAULT(invlpg, "invlpg (%rbx)") FAULT(to_cr0, "mov %rcx, %cr0")
        FAULT(from_cr2, "mov %cr2, %rcx") FAULT(to_cr3, "mov %rcx, %cr3") FAULT(from_cr4, "mov %cr4, %rcx")
        FAULT(to_cr8, "mov %rcx, %cr8") FAULT(to_dr7, "mov %rcx, %dr7") FAULT(from_dr6, "mov %dr6, %rcx")
        FAULT(rdmsr_, "rdmsr") FAULT(wrmsr_, "wrmsr") FAULT(swapgs, "swapgs") FAULT(sysret_, "sysretq")
        FAULT(rdpmc, "rdpmc") FAULT(in_imm, "inb $0x80, %al") FAULT(in_dx, "inl %dx, %eax")
        FAULT(out_dx, "outb %al, %dx") FAULT(insb, "insb") FAULT(rep_outsb, "rep outsb") FAULT(xsetbv, "xsetbv")
        FAULT(null_ss, "mov %cx, %ss") FAULT(kernel_ds, "mov %dx, %ds") FAULT(beyond_gdt, "mov %dx, %es")
        TRAP(int80, "int $0x80") FAULT(int_dpl0, "int $0x55") FAULT(int_absent, "int $0x56")
        PLAIN(read_at, "mov (%rdi), %rax") PLAIN(write_at, "mov %rax, (%rdi)") FAULT(and_at, "lock andq $-1, (%rdi)")
        PLAIN(push_at, "push %rax") PLAIN(sse_at, "movups (%rdi), %xmm0") "call_at: call *%rdi; syscall\n"
        PLAIN(misaligned, "mov 1(%rbx), %rax") FAULT(odd_ten, "fldt 4(%rbx)") FAULT(odd_env, "fnstenv 6(%rbx)")
        PLAIN(odd_far, "mov (%rdi), %rax")
        "x87: fninit; fldcw (%rdi); fld1; fldz; fdivrp; x87_at: fwait; cmp %eax, %eax; syscall\n"
        "sse: ldmxcsr (%rdi); xorps %xmm1, %xmm1; cvtsi2ss %ebx, %xmm0; sse_at2: divss %xmm1, %xmm0; syscall\n"
        FAULT(read_dead, "mov (%rdi), %rax") FAULT(add_dead, "add %rax, (%rdi)") FAULT(pop_dead, "pop (%rdi)")
        FAULT(sse_dead, "movups (%rdi), %xmm0") FAULT(xchg_at, "xchg %rax, (%rdi)")
        FAULT(xadd_at, "lock xadd %rax, (%rdi)") FAULT(idiv_zero, "idiv %rcx") FAULT(div_zero8, "div %cl")
        FAULT(div_at, "divl (%rdi)")
        TRAP(popf_tf, "pushfq; orq $0x100, (%rsp); popfq; nop")
        "copy: rep movsb; syscall\n"
        "bases: rdfsbase %rax; rdgsbase %rbx; wrfsbase %rdi; wrgsbase %rsi; syscall\n"
        "in_ok: inb %dx, %al; syscall\n"
        "cli_ok: cli; sti; inb %dx, %al; syscall\n"
        "load_ds: mov %edx, %ds; mov %edx, %es; syscall\n"
        "read_ds: mov %ds, %ebx; mov %es, %r8d; syscall\n"
        "iret_user: push $0x2b; push %rdi; pushfq; push $0x33; lea 1f(%rip), %rax; push %rax; iretq\n"
        "1: syscall\n"
        "lret_user: push $0x33; lea 1f(%rip), %rax; push %rax; lretq; 1: syscall\n"
        /* There are engines that shun pages with such instructions. */
        ".balign 4096; tsc: rdtsc; shl $32, %rdx; or %rdx, %rax; syscall\n"
        "tscp: rdtscp; mov %rcx, %rbx; shl $32, %rdx; or %rdx, %rax; syscall\n"
        "rdpid_: .byte 0xf3, 0x0f, 0xc7, 0xf8; mov %rax, %rbx; syscall\n" /* rdpid %rax */
        "lsl_: mov $0x7b, %edx; lsl %edx, %ebx; syscall\n" /* as Linux does it */
        "cpuid_: cpuid; mov %rcx, %r8; syscall\n"
        ".balign 4096; user_text_end: .popsection\n");
extern char user_text[], user_text_end[];

static uint8_t *data, *stack;
static struct frame before, after;

/* Every register has something in it that nobody else has. */
static struct frame prepare(const void *start)
{
    struct frame f = user_frame(start, stack + 4000);

    f.rax = 0x1111111111111111;
    f.rbx = (uint64_t)data;
    f.rcx = 0;
    f.rdx = 0;
    f.rsi = (uint64_t)data + 256;
    f.rdi = (uint64_t)data;
    f.rbp = 0x5555555555555555;
    for (unsigned n = 0; n < 8; n++)
        (&f.r8)[-(int)n] = UINT64_C(0x8888888888888888) + n;
    return f;
}

static unsigned run(void)
{
    after = before;
    return user_run(0, &after);
}

static bool same_registers(uint64_t rsp)
{
    const uint64_t *a = (const uint64_t *)&before, *b = (const uint64_t *)&after;

    if (after.vector == 0x80) /* a host that has 32-bit calls of its own keeps no more of it */
        after.rax |= before.rax & UINT64_C(0xffffffff00000000);

    for (unsigned n = 0; n < 15; n++)
        if (a[n] != b[n])
            return false;
    return after.rsp == rsp && after.cs == before.cs && after.ss == before.ss;
}

static unsigned wrong;

static void expect(const char *name, unsigned vector, uint64_t error, uint64_t rip, uint64_t cr2)
{
    unsigned got;

    WRITE_CR(2, 0x1234);
    got = run();
    if (got == vector && (vector == USER_SYSCALL || vector >= 32 || after.error == error) && after.rip == rip &&
        (cr2 == ANY || READ_CR(2) == cr2))
        return;
    if (wrong++ < 20)
        print("FAIL %s: expected vector %u error %lx at %lx CR2 %lx, got %u, %lx, %lx, %lx\n", name, vector, error,
              rip, cr2, got, after.error, after.rip, READ_CR(2));
}

struct one {
    const char *name;
    const char *start, *at;
    unsigned vector;
    uint64_t error, rcx, rdx, rdi, cr2, rflags;
};

#define LABELS(l) extern char l[], l##_at[];
#define SIMPLE(l, v, e) {#l, l, l##_at, v, e, 0, 0, 0, ANY, 0}
LABELS(div_zero) LABELS(idiv_big) LABELS(int1) LABELS(int3) LABELS(cd03) LABELS(gp_int3) LABELS(into) LABELS(ud2)
LABELS(ud1) LABELS(ud0) LABELS(daa) LABELS(push_es) LABELS(lcall) LABELS(salc) LABELS(lock_nop) LABELS(load_cs)
LABELS(far_away) LABELS(far_stack) LABELS(jump_far) LABELS(hlt) LABELS(cli) LABELS(sti) LABELS(lgdt) LABELS(lidt)
LABELS(lldt) LABELS(ltr) LABELS(lmsw) LABELS(clts) LABELS(invd) LABELS(wbinvd) LABELS(invlpg) LABELS(to_cr0)
LABELS(from_cr2) LABELS(to_cr3) LABELS(from_cr4) LABELS(to_cr8) LABELS(to_dr7) LABELS(from_dr6) LABELS(rdmsr_)
LABELS(wrmsr_) LABELS(swapgs) LABELS(sysret_) LABELS(rdpmc) LABELS(in_imm) LABELS(in_dx) LABELS(out_dx) LABELS(insb)
LABELS(rep_outsb) LABELS(xsetbv) LABELS(null_ss) LABELS(kernel_ds) LABELS(beyond_gdt) LABELS(int80) LABELS(int_dpl0)
LABELS(int_absent) LABELS(read_at) LABELS(write_at) LABELS(and_at) LABELS(push_at) LABELS(sse_at) LABELS(misaligned)
LABELS(popf_tf) LABELS(odd_ten) LABELS(odd_env) LABELS(odd_far) LABELS(read_dead) LABELS(add_dead) LABELS(pop_dead)
LABELS(sse_dead) LABELS(xchg_at) LABELS(xadd_at) LABELS(idiv_zero) LABELS(div_zero8) LABELS(div_at)
extern char call_at[], x87[], x87_at[], sse[], sse_at2[], tsc[], tscp[], rdpid_[], lsl_[], cpuid_[], copy[], bases[],
    in_ok[], cli_ok[], load_ds[], read_ds[], iret_user[], lret_user[];

static const struct one ones[] = {
    SIMPLE(div_zero, 0, 0), SIMPLE(idiv_zero, 0, 0), SIMPLE(div_zero8, 0, 0),
    SIMPLE(int1, 1, 0), SIMPLE(int3, 3, 0), SIMPLE(cd03, 3, 0), SIMPLE(into, 6, 0),
    SIMPLE(ud2, 6, 0), SIMPLE(ud1, 6, 0), SIMPLE(ud0, 6, 0), SIMPLE(daa, 6, 0), SIMPLE(push_es, 6, 0),
    SIMPLE(lcall, 6, 0), SIMPLE(salc, 6, 0), SIMPLE(lock_nop, 6, 0), SIMPLE(load_cs, 6, 0), SIMPLE(hlt, 13, 0),
    SIMPLE(cli, 13, 0), SIMPLE(sti, 13, 0), SIMPLE(lgdt, 13, 0), SIMPLE(lidt, 13, 0), SIMPLE(lldt, 13, 0),
    SIMPLE(ltr, 13, 0), SIMPLE(lmsw, 13, 0), SIMPLE(clts, 13, 0), SIMPLE(invd, 13, 0), SIMPLE(wbinvd, 13, 0),
    SIMPLE(invlpg, 13, 0), SIMPLE(to_cr0, 13, 0), SIMPLE(from_cr2, 13, 0), SIMPLE(to_cr3, 13, 0),
    SIMPLE(from_cr4, 13, 0), SIMPLE(to_cr8, 13, 0), SIMPLE(to_dr7, 13, 0), SIMPLE(from_dr6, 13, 0),
    SIMPLE(rdmsr_, 13, 0), SIMPLE(wrmsr_, 13, 0), SIMPLE(swapgs, 13, 0), SIMPLE(sysret_, 13, 0),
    SIMPLE(rdpmc, 13, 0), SIMPLE(in_imm, 13, 0), SIMPLE(in_dx, 13, 0), SIMPLE(out_dx, 13, 0), SIMPLE(insb, 13, 0),
    SIMPLE(null_ss, 13, 0), SIMPLE(int80, 0x80, 0), SIMPLE(int_dpl0, 13, 0x55 * 8 + 2),
    SIMPLE(int_absent, 11, 0x56 * 8 + 2),
    {"rep_outsb", rep_outsb, rep_outsb_at, 13, 0, 5, 0x80, 0, ANY, 0},
    {"kernel_ds", kernel_ds, kernel_ds_at, 13, 0x10, 0, 0x10, 0, ANY, 0},
    {"beyond_gdt", beyond_gdt, beyond_gdt_at, 13, 0x1238, 0, 0x1238, 0, ANY, 0},
    {"far_away", far_away, far_away_at, 13, 0, 0, 0, UINT64_C(0x800000000000), ANY, 0},
    {"far away, the upper end", far_away, far_away_at, 13, 0, 0, 0, UINT64_C(0xffff7fffffffffff), ANY, 0},
    {"far_away, the lower end", far_away, far_away_at, 13, 0, 0, 0, UINT64_C(0x7ffffffffffc), ANY, 0},
    {"far_stack", far_stack, far_stack_at, 12, 0, 0, 0, 0, ANY, 0},
    {"jump_far", jump_far, jump_far_at, 13, 0, 0, 0, UINT64_C(0x900000000000), ANY, 0},
    {"nothing there, read", read_at, read_at_at, 14, 4, 0, 0, NOWHERE + 5, NOWHERE + 5, 0},
    {"nothing there, write", write_at, write_at_at, 14, 6, 0, 0, NOWHERE, NOWHERE, 0},
    {"nothing there, locked", and_at, and_at_at, 14, 6, 0, 0, NOWHERE, NOWHERE, 0},
    {"nothing there, exchanged", xchg_at, xchg_at_at, 14, 6, 0, 0, NOWHERE, NOWHERE, 0},
    {"nothing there, exchanged and added", xadd_at, xadd_at_at, 14, 6, 0, 0, NOWHERE, NOWHERE, 0},
    {"nothing there, a divisor", div_at, div_at_at, 14, 4, 0, 0, NOWHERE, NOWHERE, 0},
    {"nothing there, movups", sse_at, sse_at_at, 14, 4, 0, 0, NOWHERE, NOWHERE, 0},
    {"null", read_at, read_at_at, 14, 5, 0, 0, 8, 8, 0}, /* the kernel's own page 0 */
    {"a page of the kernel, read", read_at, read_at_at, 14, 5, 0, 0, 0x100000, 0x100000, 0},
    {"a page of the kernel, write", write_at, write_at_at, 14, 7, 0, 0, 0x100000, 0x100000, 0},
    {"own code, write", write_at, write_at_at, 14, 7, 0, 0, (uint64_t)user_text, (uint64_t)user_text, 0},
    {"upper half, read", read_at, read_at_at, 14, 4, 0, 0, UINT64_C(0xffff800000000008),
     UINT64_C(0xffff800000000008), 0},
    {"upper half, write", write_at, write_at_at, 14, 6, 0, 0, UINT64_C(0xfffffffffffffff0),
     UINT64_C(0xfffffffffffffff0), 0},
    {"vsyscall page, read", read_at, read_at_at, 14, 4, 0, 0, VSYSCALL, VSYSCALL, 0},
    {"the lower half's last page", read_at, read_at_at, 14, 4, 0, 0, LAST + 16, LAST + 16, 0},
    {"#AC", misaligned, misaligned_at, 17, 0, 0, 0, 0, ANY, AC},
    {"#AC, 80 bits at a multiple of 4", odd_ten, odd_ten_at, 17, 0, 0, 0, 0, ANY, AC},
    {"#AC, an environment", odd_env, odd_env_at, 17, 0, 0, 0, 0, ANY, AC},
    {"#GP before #AC", odd_far, odd_far_at, 13, 0, 0, 0, UINT64_C(0x800000000001), ANY, AC},
};

/* Of plain accesses, with flags that are about to be overwritten. */
static const struct one exact_ones[] = {
    {"nothing there, read", read_dead, read_dead_at, 14, 4, 0, 0, NOWHERE, NOWHERE, 0},
    {"nothing there, add", add_dead, add_dead_at, 14, 6, 0, 0, NOWHERE, NOWHERE, 0},
    {"nothing there, pop", pop_dead, pop_dead_at, 14, 6, 0, 0, NOWHERE, NOWHERE, 0},
    {"nothing there, movups", sse_dead, sse_dead_at, 14, 4, 0, 0, NOWHERE, NOWHERE, 0},
};

static void faults(const char *what, const struct one *list, size_t count)
{
    wrong = 0;
    for (unsigned round = 0; round < 3; round++)
        for (size_t n = 0; n < count; n++) {
            const struct one *o = &list[n];

            before = prepare(o->start);
            before.rcx = o->rcx;
            before.rdx = o->rdx ? o->rdx : o->start == kernel_ds ? 0x10 : 0;
            if (o->rdi)
                before.rdi = o->rdi;
            if (o->start == far_stack)
                before.rbp = UINT64_C(0x900000000000);
            before.rflags |= o->rflags | ARITH;
            expect(o->name, o->vector, o->error, (uint64_t)o->at, o->cr2);
            if (!same_registers(before.rsp) || ((after.rflags ^ before.rflags) & ~UINT64_C(0x10000))) {
                print("FAIL %s: other registers or flags (%lx for %lx)\n", o->name, after.rflags, before.rflags);
                wrong++;
            }
        }
    CHECK_EQ(what, wrong, 0);
}

static void others(void)
{
    wrong = 0;
    before = prepare(idiv_big);
    before.rax = 0x80000000;
    before.rdx = 0xffffffff;
    *(uint64_t *)data = 0xffffffff;
    before.rbx = 0xffffffff;
    expect("IDIV of the most negative", 0, 0, (uint64_t)idiv_big_at, ANY);
    set_gate(3, 14, 0, 0);
    before = prepare(gp_int3);
    expect("INT3 with a gate that is the kernel's", 13, 3 * 8 + 2, (uint64_t)gp_int3_at, ANY);
    set_gate(3, 14, 3, 0);
    before = prepare(push_at);
    before.rsp = NOWHERE + 8;
    expect("a push to nowhere", 14, 6, (uint64_t)push_at_at, NOWHERE);
    CHECK("  RSP as it was", same_registers(NOWHERE + 8));
    before = prepare(popf_tf);
    expect("TF by POPF", 1, 0, (uint64_t)popf_tf_at, ANY);
    CHECK("  TF is in the flags pushed", (after.rflags & TF) && !(after.rflags & 0x10000));
    *(uint16_t *)data = 0x37b; /* ZM clear */
    before = prepare(x87);
    before.rflags |= ARITH;
    expect("an x87 exception", 16, 0, (uint64_t)x87_at, ANY);
    CHECK_EQ("  its flags", after.rflags & ARITH, ARITH);
    __asm__ volatile("fninit");
    *(uint32_t *)data = 0x1d80;
    before = prepare(sse);
    before.rbx = 1;
    expect("an SSE exception", 19, 0, (uint64_t)sse_at2, ANY);
    CHECK_EQ("others", wrong, 0);
}

static void fetches(void)
{
    static const uint64_t at[] = {NOWHERE, VSYSCALL, VSYSCALL + 0x400, VSYSCALL + 0x800, VSYSCALL + 0x10,
                                  LAST, UINT64_C(0xffffffff80000000)};
    uint8_t *code = user_pages(2);

    wrong = 0;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned n = 0; n < sizeof(at) / sizeof(at[0]); n++) {
            before = prepare(call_at);
            before.rdi = at[n];
            expect("a call to nowhere", 14, 0x14, at[n], at[n]);
            if (after.rsp != before.rsp - 8 || *(uint64_t *)after.rsp != (uint64_t)call_at + 2) {
                print("FAIL the stack of a call to %lx\n", at[n]);
                wrong++;
            }
        }
    before = prepare(call_at);
    before.rdi = (uint64_t)data;
    *page_entry((uint64_t)data) |= NX;
    flush_page(data);
    expect("a call to data", 14, 0x15, (uint64_t)data, (uint64_t)data);
    *page_entry((uint64_t)data) &= ~NX;
    flush_page(data);
    before.rdi = 0x100000;
    expect("a call to the kernel", 14, 0x15, 0x100000, 0x100000);
    code[4094] = 0xb8; /* mov eax, imm32 over the edge */
    code[4095] = 0x11;
    memcpy(code + 4096, "\x22\x33\x44\x0f\x05", 5);
    before.rip = (uint64_t)code + 4094;
    expect("an instruction across pages", USER_SYSCALL, 0, (uint64_t)code + 4096 + 5, ANY);
    wrong += after.rax != 0x44332211;
    *page_entry((uint64_t)code + 4096) &= ~UINT64_C(1);
    flush_page(code + 4096);
    expect("  the second page is gone", 14, 0x14, (uint64_t)code + 4094, (uint64_t)code + 4096);
    *page_entry((uint64_t)code + 4096) |= NX | 1;
    flush_page(code + 4096);
    expect("  it is not to be run", 14, 0x15, (uint64_t)code + 4094, (uint64_t)code + 4096);
    *page_entry((uint64_t)code + 4096) &= ~NX;
    flush_page(code + 4096);
    expect("  and is back", USER_SYSCALL, 0, (uint64_t)code + 4096 + 5, ANY);
    CHECK_EQ("fetches", wrong, 0);
}

/* Pages of the guest where a host would have something of its own, or nothing. */
static void odd_places(void)
{
    static const uint64_t at[] = {0x5000, 0xf000, LAST, VSYSCALL, UINT64_C(0xffffffffff601000),
                                  UINT64_C(0xffff900000000000), UINT64_C(0x7ffff7ffd000), 0x400000000000};

    wrong = 0;
    for (unsigned n = 0; n < sizeof(at) / sizeof(at[0]); n++) {
        uint64_t *entry = page_entry(at[n]), was = *entry;
        uint8_t *page = alloc_page();

        memcpy(page + 16, "\xb8\x07\x00\x00\x00\x0f\x05", 7); /* mov eax, 7; syscall */
        *(uint64_t *)(page + 64) = n;
        *entry = (uint64_t)page | 7;
        flush_page((void *)at[n]);
        for (unsigned k = 0; k < 3; k++) {
            before = prepare(call_at);
            before.rdi = at[n] + 16;
            expect("code at an odd place", USER_SYSCALL, 0, at[n] + 23, ANY);
            wrong += after.rax != 7;
            before = prepare(write_at);
            before.rdi = at[n] + 72;
            before.rax = 77 + k;
            expect("a write there", USER_SYSCALL, 0, (uint64_t)write_at_at + 5, ANY);
            wrong += *(uint64_t *)(page + 72) != 77 + k;
            before = prepare(read_at);
            before.rdi = at[n] + 64;
            expect("a read there", USER_SYSCALL, 0, (uint64_t)read_at_at + 5, ANY);
            wrong += after.rax != n;
        }
        *entry = was;
        flush_page((void *)at[n]);
        before = prepare(read_at);
        before.rdi = at[n] + 64;
        expect("and it is gone", 14, was & 1 ? 5 : 4, (uint64_t)read_at_at, at[n] + 64);
    }
    CHECK_EQ("user pages at odd places", wrong, 0);
}

/* The guest's vsyscall page as Linux has it: CALL comes to a page that holds the guest's code. */
static void vsyscall_entries(void)
{
    uint64_t *entry = page_entry(VSYSCALL);
    uint8_t *page = alloc_page();

    wrong = 0;
    for (unsigned n = 0; n < 3; n++)
        memcpy(page + n * 0x400, "\xb8\x60\x00\x00\x00\xc3", 6);
    *entry = (uint64_t)page | 5;
    flush_page((void *)VSYSCALL);
    for (unsigned n = 0; n < 6; n++) {
        before = prepare(call_at);
        before.rdi = VSYSCALL + n % 3 * 0x400;
        expect("a function in the vsyscall page", USER_SYSCALL, 0, (uint64_t)call_at + 4, ANY);
        wrong += after.rax != 0x60 || after.rsp != before.rsp;
    }
    *entry = 0;
    flush_page((void *)VSYSCALL);
    CHECK_EQ("functions in the guest's own vsyscall page", wrong, 0);
}

static void copies(void)
{
    uint8_t *from = user_pages(2), *to = (uint8_t *)UINT64_C(0x560000000000);
    uint8_t *page = alloc_page();

    wrong = 0;
    for (unsigned n = 0; n < 8192; n++)
        from[n] = (uint8_t)(n * 7);
    *page_entry((uint64_t)to) = (uint64_t)page | 7;
    flush_page(to);
    for (unsigned at = 4000; at < 4096; at += 7) {
        before = prepare(copy);
        before.rsi = (uint64_t)from;
        before.rdi = (uint64_t)to + at;
        before.rcx = 300;
        expect("REP MOVSB into nothing", 14, 6, (uint64_t)copy, (uint64_t)to + 4096);
        wrong += after.rcx != 300 - (4096 - at) || after.rdi != (uint64_t)to + 4096 ||
                 after.rsi != (uint64_t)from + (4096 - at) || page[4095] != (uint8_t)((4095 - at) * 7);
    }
    CHECK_EQ("REP MOVSB stops exactly at the page", wrong, 0);
}

static void all_interrupts(void)
{
    uint8_t *code = user_pages(1);

    wrong = 0;
    for (unsigned n = 0; n < 256; n++) {
        code[0] = 0xcd;
        code[1] = (uint8_t)n;
        before = prepare(code);
        if (n == 3 || n == 0x80)
            expect("INT n that may", n, 0, (uint64_t)code + 2, ANY);
        else
            expect("INT n", n == 0x56 ? 11 : 13, n * 8 + 2, (uint64_t)code, ANY);
    }
    CHECK_EQ("INT of every number", wrong, 0);
}

/* ---- what is answered without the kernel ---- */

static void cpuids(void)
{
    static const uint32_t base[] = {0, 0x40000000, 0x80000000};

    wrong = 0;
    for (unsigned n = 0; n < 3 * 33 * 4; n++) {
        uint32_t eax = base[n / 132] + n / 4 % 33, ecx = n % 4, ebx, edx;

        before = prepare(cpuid_);
        before.rax = eax;
        before.rcx = ecx;
        run();
        __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
        if (after.rax != eax || after.rbx != ebx || after.r8 != ecx || after.rdx != edx) {
            if (wrong++ < 4)
                print("FAIL CPUID %x/%u: user %lx %lx %lx %lx, kernel %x %x %x %x\n", (unsigned)before.rax,
                      (unsigned)before.rcx, after.rax, after.rbx, after.r8, after.rdx, eax, ebx, ecx, edx);
        }
    }
    CHECK_EQ("CPUID in user mode and in the kernel", wrong, 0);
}

static void tscs(void)
{
    uint64_t last;
    uint32_t eax = 7, ebx, ecx = 0, edx;

    wrong = 0;
    wrmsr(0xc0000103, 0x123);
    for (unsigned n = 0; n < 600; n++) {
        if (n % 200 == 199)
            wrmsr(0x10, n * UINT64_C(1000000000)); /* the clock of the guest is where its kernel puts it */
        last = rdtsc();
        before = prepare(n & 1 ? tsc : tscp);
        run();
        wrong += after.rax < last || after.rax > rdtsc();
        wrong += !(n & 1) && after.rbx != 0x123;
    }
    CHECK_EQ("RDTSC and RDTSCP in user mode lie between the kernel's", wrong, 0);
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (ecx >> 22 & 1) {
        before = prepare(rdpid_);
        run();
        CHECK_EQ("RDPID is the kernel's TSC_AUX", after.rbx, 0x123);
    }
    gdt[15] = UINT64_C(0x0040f50000000000) | 0x5a5; /* as Linux keeps a CPU's number */
    before = prepare(lsl_);
    run();
    CHECK_EQ("LSL of a descriptor of the kernel's", after.rbx, 0x5a5);
}

static void registers(void)
{
    if (has_fsgsbase) {
        wrong = 0;
        wrmsr(0xc0000100, 0x1234567000);
        wrmsr(0xc0000101, 0x7654321000);
        for (unsigned n = 0; n < 50; n++) {
            uint64_t fs = rdmsr(0xc0000100), gs = rdmsr(0xc0000101);

            before = prepare(bases);
            before.rdi = UINT64_C(0x7f0000000000) + n * 4096;
            before.rsi = UINT64_C(0xffff800000000000) + n;
            expect("bases", USER_SYSCALL, 0, (uint64_t)bases + 22, ANY);
            wrong += after.rax != fs || after.rbx != gs || rdmsr(0xc0000100) != before.rdi ||
                     rdmsr(0xc0000101) != before.rsi || rdmsr(0xc0000102) != user_cpus[0].self;
        }
        CHECK_EQ("FS and GS bases, read and written on either side", wrong, 0);
    }
    wrong = 0;
    for (unsigned n = 0; n < 6; n++) {
        before = prepare(load_ds);
        before.rdx = n & 1 ? 0 : 0x2b;
        expect("loads of DS and ES", USER_SYSCALL, 0, (uint64_t)load_ds + 6, ANY);
        before = prepare(read_ds);
        expect("reads of DS and ES", USER_SYSCALL, 0, (uint64_t)read_ds + 7, ANY);
        wrong += (after.rbx & 0xffff) != (n & 1 ? 0 : 0x2b) || (after.r8 & 0xffff) != (n & 1 ? 0 : 0x2b);
    }
    CHECK_EQ("DS and ES are kept", wrong, 0);
    wrong = 0;
    before = prepare(iret_user);
    before.rdi = (uint64_t)stack + 3000;
    run();
    wrong += after.vector != USER_SYSCALL || after.rsp != before.rdi || after.cs != USER_CS;
    before = prepare(lret_user);
    run();
    wrong += after.vector != USER_SYSCALL || after.rsp != before.rsp || after.cs != USER_CS;
    CHECK_EQ("IRET and far RET within user mode", wrong, 0);
}

static void ports(void)
{
    wrong = 0;
    user_cpus[0].tss.ports[0x3fd / 8] &= (uint8_t)~(1u << 0x3fd % 8);
    before = prepare(in_ok);
    before.rdx = 0x3fd;
    run();
    wrong += after.vector != USER_SYSCALL || (after.rax & 0xff) == 0x11;
    before.rdx = 0x3fc;
    wrong += run() != 13;
    user_cpus[0].tss.ports[0x3fd / 8] |= (uint8_t)(1u << 0x3fd % 8);
    before.rdx = 0x3fd;
    wrong += run() != 13;
    CHECK_EQ("ports by the TSS's bitmap", wrong, 0);
    before = prepare(cli_ok);
    before.rflags |= IOPL3;
    before.rdx = 0x3fd;
    CHECK_EQ("CLI, STI and IN with IOPL 3", run(), USER_SYSCALL);
    before = prepare(cli);
    CHECK_EQ("and not after it", run(), 13);
}

/* A gate that user mode may use, were it there. */
static void make_absent(unsigned vector)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) idtr;

    set_gate(vector, 14, 3, 0);
    __asm__ volatile("sidt %0" : "=m"(idtr));
    *(uint8_t *)(idtr.base + 16 * vector + 5) &= 0x7f;
}

int guest_main(void)
{
    uint64_t rounds = guest_option("rounds", 2);

    take_from_user();
    user_setup(0);
    map_user(user_text, (size_t)(user_text_end - user_text));
    for (uint64_t at = (uint64_t)user_text; at < (uint64_t)user_text_end; at += 4096)
        *page_entry(at) &= ~UINT64_C(2);
    WRITE_CR(3, READ_CR(3));
    data = user_pages(1);
    stack = user_pages(1);
    for (unsigned n = 0; n < 256; n++)
        if (n != 3 && n != 0x80)
            set_gate(n, 14, 0, 0);
    make_absent(0x56);
    for (uint64_t n = 0; n < rounds; n++) {
        faults("every event of user code, three times", ones, sizeof(ones) / sizeof(ones[0]));
        if (guest_option("exact", 0))
            faults("flags nobody reads, at plain accesses", exact_ones, sizeof(exact_ones) / sizeof(exact_ones[0]));
        others();
        fetches();
        odd_places();
        vsyscall_entries();
        copies();
        all_interrupts();
        cpuids();
        tscs();
        registers();
        ports();
    }
    return check_failures();
}
