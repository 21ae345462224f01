/* SPDX-License-Identifier: MIT */
/* Ways from one place to another: system calls, call gates, far returns, IRET, compatibility mode,
 * stacks by IST, and what user mode may look at. SDM vol. 2; vol. 3, 5.8 and 6.14. QEMU's TCG
 * differs in SYSENTER (as an AMD CPU), segment limits, error codes of INT n and flags of SYSCALL. */
#include "guest.h"

#define LSTAR 0xc0000082
#define STAR 0xc0000081
#define FMASK 0xc0000084

extern char syscall_entry[], syscall_user[], syscall_after[], gate_target[], gate_user[];
extern char sysenter_entry[], sysenter_user[], sysenter_after[], compat_code[], compat_limit[];
extern char compat_end[], compat_limit_at[];
extern uint64_t saved[8];

__asm__(".data; .balign 16; .global saved; saved: .fill 8, 8, 0\n"
        "gate_far: .long 0; .word 0x63\n"
        ".text\n"
        "syscall_user:  pushf; orl $0x441, (%rsp); popf; pushf; pop saved+24\n" /* DF, ZF, CF */
        "               syscall\n"
        "syscall_after: pushf; pop saved+32; cld; int $0x80\n"
        "syscall_entry: mov %rcx, saved; mov %r11, saved+8; pushf; pop saved+16\n"
        "               mov %cs, saved+40; mov %ss, saved+48; sysretq\n"
        "gate_user:     mov %rsp, saved+40; lcall *gate_far; mov %cs, saved+48; int $0x80\n"
        "gate_target:   mov %cs, saved; mov %ss, saved+8; mov 8(%rsp), %rax; mov %rax, saved+16\n"
        "               mov 16(%rsp), %rax; mov %rax, saved+24; mov %rsp, saved+32; lretq\n"
        "sysenter_user: mov %rsp, %rcx; mov $sysenter_after, %rdx; sti; sysenter\n"
        "sysenter_entry: mov %rsp, saved; pushf; pop saved+8; mov %cs, saved+16\n"
        "               mov %ss, saved+24; sysexitq\n"
        "sysenter_after: mov %cs, saved+32; mov %ss, saved+40; int $0x80\n"
        ".code32\n"
        "compat_code:   inc %eax; mov $-1, %ecx; push $7; pop %edx; int $0x80\n"
        "compat_limit:  mov $0x6b, %eax; mov %eax, %ds; mov 0xffc, %eax\n"
        "compat_limit_at: mov 0xffd, %eax; int $0x80\n"
        "compat_end: .code64\n");

static void syscalls(void)
{
    struct frame f;

    wrmsr(STAR, UINT64_C(0x0020000800000000));
    wrmsr(LSTAR, (uint64_t)syscall_entry);
    wrmsr(FMASK, 0x601); /* DF, IF, CF */
    CHECK_EQ("SYSCALL and SYSRET", run_user((void (*)(void *))syscall_user, NULL, &f), -1);
    CHECK_EQ("  RCX", saved[0], (uint64_t)syscall_after);
    CHECK_EQ("  R11", saved[1], saved[3]);
    CHECK_EQ("  flags inside", saved[2], saved[3] & ~UINT64_C(0x601));
    CHECK_EQ("  flags after", saved[4], saved[3]);
    CHECK_EQ("  CS inside", saved[5] & 0xffff, 8);
    CHECK_EQ("  SS inside", saved[6] & 0xffff, 0x10);
    CHECK_EQ("  CS after", f.cs, 0x33);
    CHECK_EQ("  SS after", f.ss, 0x2b);
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~UINT64_C(1));
    CHECK_EQ("SYSCALL without EFER.SCE", run_user((void (*)(void *))syscall_user, NULL, &f), 6);
    wrmsr(0xc0000080, rdmsr(0xc0000080) | 1);
}

static void sysenter(void)
{
    static uint8_t stack[512];
    struct frame f;

    wrmsr(0x174, 8);
    wrmsr(0x175, (uint64_t)stack + 512);
    wrmsr(0x176, (uint64_t)sysenter_entry);
    CHECK_EQ("STI by user before SYSENTER",
             run_user((void (*)(void *))sysenter_user, NULL, &f), 13);
}

/* The same without STI. SYSEXIT's selectors are SYSENTER_CS+32|3 and +40|3. */
static void sysenter_plain(void)
{
    static uint8_t stack[512];
    uint64_t old5 = gdt[5], old6 = gdt[6];
    char *user = sysenter_user;
    struct frame f;

    wrmsr(0x174, 8);
    wrmsr(0x175, (uint64_t)stack + 512);
    wrmsr(0x176, (uint64_t)sysenter_entry);
    while ((uint8_t)*user != 0xfb)
        user++;
    *user = (char)0x90;
    gdt[5] = UINT64_C(0x00affb000000ffff);
    gdt[6] = UINT64_C(0x00cff3000000ffff);
    /* run_user() enters through 0x33:0x2b, which are the other way round now */
    CHECK_EQ("user code with swapped selectors is refused",
             run_user((void (*)(void *))sysenter_user, NULL, &f), 13);
    gdt[5] = old5;
    gdt[6] = old6;
    CHECK_EQ("SYSENTER and SYSEXIT", run_user((void (*)(void *))sysenter_user, NULL, &f), -1);
    CHECK_EQ("  RSP", saved[0], (uint64_t)stack + 512);
    CHECK_EQ("  IF is off inside", saved[1] & 0x200, 0);
    CHECK_EQ("  CS inside", saved[2] & 0xffff, 8);
    CHECK_EQ("  SS inside", saved[3] & 0xffff, 0x10);
    CHECK_EQ("  CS after", f.cs, 0x2b);
    CHECK_EQ("  SS after", f.ss, 0x33);
    wrmsr(0x174, 0);
    CHECK_EQ("SYSENTER without a selector",
             run_user((void (*)(void *))sysenter_user, NULL, &f), 13);
}

static void call_gate(uint64_t dpl, uint64_t present)
{
    uint64_t at = (uint64_t)gate_target;

    gdt[12] = (at & 0xffff) | UINT64_C(8) << 16 | UINT64_C(0xc) << 40 | dpl << 45 |
              present << 47 | (at >> 16 & 0xffff) << 48;
    gdt[13] = at >> 32;
}

static void from_kernel(void *arg)
{
    struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) p = {0, 0x60};

    __asm__ volatile("lcall *%0" : : "m"(p) : "rax", "memory");
}

static void jump_gate(void *arg)
{
    struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) p = {0, 0x60};

    /* The target ends in LRET: give it something to return to. */
    __asm__ volatile("mov %%cs, %%eax; push %%rax; lea 1f(%%rip), %%rax; push %%rax; ljmp *(%0); 1:"
                     : : "r"(&p), "m"(p) : "rax", "memory");
}

static void gates(void)
{
    struct frame f;

    call_gate(3, 1);
    CHECK_EQ("a call gate from user mode", run_user((void (*)(void *))gate_user, NULL, &f), -1);
    CHECK_EQ("  CS inside", saved[0] & 0xffff, 8);
    CHECK_EQ("  SS inside is null", saved[1] & 0xffff, 0);
    CHECK_EQ("  CS pushed", saved[2], 0x33);
    CHECK_EQ("  RSP pushed", saved[3], saved[5]);
    CHECK_EQ("  CS after", saved[6] & 0xffff, 0x33);
    CHECK_EQ("  RSP after", f.rsp, saved[5]);
    CHECK_EQ("a call gate from CPL 0", catch_exception(from_kernel, NULL, &f), -1);
    CHECK_EQ("  CS pushed", saved[2], 8);
    CHECK_EQ("a jump to a call gate", catch_exception(jump_gate, NULL, &f), -1);
    call_gate(0, 1);
    CHECK_EQ("a gate above us", run_user((void (*)(void *))gate_user, NULL, &f), 13);
    CHECK_EQ("  error code", f.error, 0x60);
    call_gate(3, 0);
    CHECK_EQ("a gate not present", run_user((void (*)(void *))gate_user, NULL, &f), 11);
    CHECK_EQ("  error code", f.error, 0x60);
    call_gate(3, 1);
    gdt[13] |= UINT64_C(0x1f) << 40;
    CHECK_EQ("a gate with a type in its upper half", catch_exception(from_kernel, NULL, &f), 13);
    CHECK_EQ("  error code", f.error, 0x60);
    call_gate(3, 1);
    gdt[12] = (gdt[12] & ~(UINT64_C(0xffff) << 16)) | UINT64_C(0x18) << 16;
    CHECK_EQ("a gate to 32-bit code", catch_exception(from_kernel, NULL, &f), 13);
    CHECK_EQ("  error code", f.error, 0x18);
    gdt[13] = 0x8000;
    gdt[12] = (gdt[12] & ~(UINT64_C(0xffff) << 16)) | UINT64_C(0x08) << 16;
    CHECK_EQ("a gate to a non-canonical address", catch_exception(from_kernel, NULL, &f), 13);
    CHECK_EQ("  error code", f.error, 0);
}

/* ---- IRET ---- */

struct iret {
    uint64_t rip, cs, rflags, rsp, ss;
};

static void do_iret(void *p)
{
    struct iret *i = p;

    __asm__ volatile("mov %0, %%rax; push 32(%%rax); push 24(%%rax); push 16(%%rax)\n"
                     "push 8(%%rax); push (%%rax); iretq" : : "r"(i) : "rax", "memory");
}

static void iret_nt(void *p)
{
    __asm__ volatile("pushf; orl $0x4000, (%%rsp); popf" : : : "memory");
    do_iret(p);
}

static int iret_to(uint64_t cs, uint64_t ss, uint64_t rip, struct frame *f)
{
    static uint8_t stack[256];
    struct iret i = {rip, cs, 2, (uint64_t)stack + 256, ss};
    int vector;

    set_gate(0x80, 14, 3, 0);
    vector = catch_exception(do_iret, &i, f);
    __asm__ volatile("pushf; andl $~0x4000, (%%rsp); popf" : : : "memory");
    return vector;
}

static void irets(void)
{
    extern char int80[];
    struct iret i = {(uint64_t)int80, 8, 2, 0x9000, 0x10};
    uint64_t at = (uint64_t)int80;
    struct frame f;

    CHECK_EQ("IRET to CPL 0 takes RSP", iret_to(8, 0x10, at, &f), 0x80);
    CHECK_EQ("IRET to CPL 0 with a null SS", iret_to(8, 0, at, &f), 0x80);
    CHECK_EQ("IRET to CPL 3 with a null SS", iret_to(0x33, 3, at, &f), 13);
    CHECK_EQ("  error code", f.error, 0);
    CHECK_EQ("IRET to a non-canonical address", iret_to(8, 0x10, UINT64_C(1) << 47, &f), 13);
    CHECK_EQ("IRET to a null CS", iret_to(0, 0x10, at, &f), 13);
    CHECK_EQ("IRET to data", iret_to(0x10, 0x10, at, &f), 13);
    CHECK_EQ("  error code", f.error, 0x10);
    CHECK_EQ("IRET to CS with a wrong RPL", iret_to(0x31, 0x2b, at, &f), 13);
    CHECK_EQ("  error code", f.error, 0x30);
    CHECK_EQ("IRET to SS of another level", iret_to(0x33, 0x13, at, &f), 13);
    CHECK_EQ("  error code", f.error, 0x10);
    CHECK_EQ("IRET with NT", catch_exception(iret_nt, &i, &f), 13);
    __asm__ volatile("pushf; andl $~0x4000, (%%rsp); popf" : : : "memory");
}
__asm__("int80: int $0x80");

/* ---- compatibility mode ---- */

static void compat(void)
{
    struct frame f;

    CHECK_EQ("32-bit user code", iret_to(0x23, 0x2b, (uint64_t)compat_code, &f), 0x80);
    CHECK_EQ("  CS", f.cs, 0x23);
    CHECK_EQ("  ECX", f.rcx, 0xffffffff);
    CHECK_EQ("  PUSH and POP", f.rdx, 7);
    gdt[13] = UINT64_C(0x0040f30000000fff); /* 0x68: 4 KiB of data, CPL 3 */
    CHECK_EQ("an access beyond the limit", iret_to(0x23, 0x2b, (uint64_t)compat_limit, &f), 13);
    CHECK_EQ("  where", f.rip, (uint64_t)compat_limit_at);
    CHECK_EQ("  error code", f.error, 0);
}

/* ---- double fault ---- */

static void lose_stack(void *arg)
{
    __asm__ volatile("mov %0, %%rsp; push %%rax" : : "r"(UINT64_C(0x7000000000)));
}

static void double_fault(void)
{
    static uint8_t stack[4096] __attribute__((aligned(16)));
    struct frame f;

    load_tss(0, 1, (uint64_t)stack + 4096);
    set_gate(8, 14, 0, 1);
    CHECK_EQ("a page fault on no stack", catch_exception(lose_stack, NULL, &f), 8);
    CHECK_EQ("  error code", f.error, 0);
    CHECK_EQ("  RSP pushed", f.rsp, UINT64_C(0x7000000000));
    CHECK_EQ("  CR2", READ_CR(2), UINT64_C(0x7000000000) - 8);
    set_gate(8, 14, 0, 0);
}

/* ---- what may be looked at ---- */

static uint64_t lar(uint16_t sel)
{
    uint64_t v = 0;
    bool zf;

    __asm__ volatile("lar %2, %k0" : "+r"(v), "=@ccz"(zf) : "r"((uint32_t)sel));
    return zf ? v : 1;
}

static uint64_t lsl(uint16_t sel)
{
    uint64_t v = 0;
    bool zf;

    __asm__ volatile("lsl %2, %k0" : "+r"(v), "=@ccz"(zf) : "r"((uint32_t)sel));
    return zf ? v : 1;
}

static bool verr(uint16_t sel)
{
    bool zf;

    __asm__ volatile("verr %w1" : "=@ccz"(zf) : "r"(sel));
    return zf;
}

static bool verw(uint16_t sel)
{
    bool zf;

    __asm__ volatile("verw %w1" : "=@ccz"(zf) : "r"(sel));
    return zf;
}

static void user_sgdt(void *arg)
{
    uint8_t buf[16];

    __asm__ volatile("sgdt %0" : "=m"(buf));
    user_return();
}

static void user_int(void *arg)
{
    __asm__ volatile("int $0x81");
}

static void user_int3(void *arg)
{
    __asm__ volatile("int3");
}

static void user_hlt(void *arg)
{
    __asm__ volatile("hlt");
}

static void user_in(void *arg)
{
    inb(0x80);
}

static void bad_base(void *arg)
{
    __asm__ volatile("wrfsbase %0" : : "r"(UINT64_C(0x800000000000)));
}

static void bases(void)
{
    uint64_t v, gs = 0x1111;
    struct frame f;

    CHECK_EQ("WRFSBASE without CR4.FSGSBASE", catch_exception(bad_base, NULL, &f), 6);
    WRITE_CR(4, READ_CR(4) | 0x10000);
    CHECK_EQ("WRFSBASE of a non-canonical address", catch_exception(bad_base, NULL, &f), 13);
    __asm__ volatile("wrgsbase %1; rdgsbase %0" : "=r"(v) : "r"(gs));
    CHECK_EQ("WRGSBASE and RDGSBASE", v, gs);
    CHECK_EQ("  the MSR", rdmsr(0xc0000101), gs);
    wrmsr(0xc0000102, 0x2222);
    __asm__ volatile("swapgs; rdgsbase %0" : "=r"(v));
    CHECK_EQ("SWAPGS", v, 0x2222);
    CHECK_EQ("  and back", rdmsr(0xc0000102), gs);
    __asm__ volatile("mov %0, %%gs" : : "r"(0x10));
    CHECK_EQ("a selector gives its base", rdmsr(0xc0000101), 0);
}

static void looks(void)
{
    struct frame f;
    uint32_t eax = 7, ebx, ecx = 0;

    CHECK_EQ("LAR of code", lar(8), 0xaf9b00);
    CHECK_EQ("LAR of a TSS", lar(0x48) & 0xff00, 0x8b00);
    CHECK_EQ("LAR of nothing", lar(0), 1);
    CHECK_EQ("LAR beyond the GDT", lar(0x1000), 1);
    CHECK_EQ("LSL of flat data", lsl(0x10), 0xffffffff);
    CHECK_EQ("LSL of 4 KiB", lsl(0x68), 0xfff);
    CHECK("VERR of data", verr(0x10));
    CHECK("VERR of readable code", verr(0x08));
    CHECK("VERW of data", verw(0x10));
    CHECK("VERW of code", !verw(0x08));
    CHECK("VERR of a TSS", !verr(0x48));
    CHECK("VERW with too weak an RPL", !verw(0x13));
    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx) : : "rdx");
    CHECK_EQ("SGDT by user", run_user(user_sgdt, NULL, &f), -1);
    if (ecx & 4) {
        WRITE_CR(4, READ_CR(4) | 0x800);
        CHECK_EQ("SGDT by user under UMIP", run_user(user_sgdt, NULL, &f), 13);
    }
    set_gate(0x81, 14, 0, 0);
    CHECK_EQ("INT by user to a gate of DPL 0", run_user(user_int, NULL, &f), 13);
    CHECK_EQ("  error code", f.error, 0x81 * 8 + 2);
    CHECK_EQ("INT3 by user to a gate of DPL 0", run_user(user_int3, NULL, &f), 13);
    CHECK_EQ("  error code", f.error, 3 * 8 + 2);
    CHECK_EQ("HLT by user", run_user(user_hlt, NULL, &f), 13);
    CHECK_EQ("IN by user", run_user(user_in, NULL, &f), 13);
    if (ebx & 1)
        bases();
}

int guest_main(void)
{
    syscalls();
    sysenter();
    sysenter_plain();
    gates();
    irets();
    compat();
    double_fault();
    looks();
    return check_failures();
}
