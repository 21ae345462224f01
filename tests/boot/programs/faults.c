/* SPDX-License-Identifier: MIT */
/* Faults a program can see: signals with their addresses, setjmp out of them, page protection,
 * alternate stacks, divide errors, alignment checks, and registers that survive it all. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int seen_signal, seen_code, seen_trap, seen_error;
static void *volatile seen_address;
static char *page;
static char *volatile nothing = (char *)16;
static char stack[65536];

static void on_fault(int sig, siginfo_t *info, void *context)
{
    ucontext_t *u = context;

    __asm__ volatile("pushf; andl $~0x40000, (%rsp); popf"); /* the kernel leaves AC as it was */
    seen_signal = sig;
    seen_code = info->si_code;
    seen_address = info->si_addr;
    seen_trap = (int)u->uc_mcontext.gregs[REG_TRAPNO];
    seen_error = (int)u->uc_mcontext.gregs[REG_ERR];
    siglongjmp(back, 1);
}

#define EXPECT(name, ...)                                                                          \
    do {                                                                                           \
        seen_signal = 0;                                                                           \
        if (!sigsetjmp(back, 1)) {                                                                 \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        printf("%s: signal %d code %d trap %d error %x\n", name, seen_signal, seen_code,           \
               seen_trap, seen_error);                                                             \
    } while (0)

static void exceptions(void)
{
    EXPECT("read of nothing", *(volatile char *)nothing);
    EXPECT("write to nothing", *(volatile char *)nothing = 1);
    EXPECT("call of nothing", ((void (*)(void))16)());
    mprotect(page, 4096, PROT_READ);
    EXPECT("write to read-only", page[5] = 1);
    printf("at %d\n", (int)((char *)seen_address - page));
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
    page[0] = (char)0xc3;
    EXPECT("call of data", ((void (*)(void))page)());
    EXPECT("kernel's memory", *(volatile char *)0xffffffff81000000);
    EXPECT("non-canonical", *(volatile char *)0x8000000000000000);
    EXPECT("stack, non-canonical",
           __asm__ volatile("mov %%rsp, %%rbx; movabs $0x8000000000000000, %%rax; mov %%rax, %%rbp;"
                            "mov (%%rbp), %%rax" ::: "rax", "rbx", "memory"));
    EXPECT("division", __asm__ volatile("xor %%ecx, %%ecx; xor %%edx, %%edx; div %%ecx" ::: "rax",
                                        "rcx", "rdx"));
    EXPECT("quotient too large", __asm__ volatile("mov $-1, %%rdx; mov $2, %%rcx; div %%rcx" :::
                                                  "rax", "rcx", "rdx"));
    EXPECT("ud2", __asm__ volatile("ud2"));
    EXPECT("hlt", __asm__ volatile("hlt"));
    EXPECT("cli", __asm__ volatile("cli"));
    EXPECT("out", __asm__ volatile("out %al, $0x80"));
    EXPECT("rdmsr", __asm__ volatile("rdmsr" ::: "rax", "rdx"));
    EXPECT("mov cr0", __asm__ volatile("mov %%cr0, %%rax" ::: "rax"));
    EXPECT("int3", __asm__ volatile("int3"));
    EXPECT("int 0x20", __asm__ volatile("int $0x20"));
    EXPECT("unaligned movaps", __asm__ volatile("movaps 1(%0), %%xmm0" ::"r"(page) : "xmm0"));
    EXPECT("single step", __asm__ volatile("pushf; orl $0x100, (%rsp); popf; nop; nop"));
    EXPECT("alignment check", __asm__ volatile("pushf; orl $0x40000, (%%rsp); popf;"
                                               "mov 1(%0), %%eax; pushf;"
                                               "andl $~0x40000, (%%rsp); popf" ::"r"(page)
                                               : "rax"));
    EXPECT("sse division", uint32_t m = 0x1d80; __asm__ volatile(
               "ldmxcsr %0; xorps %%xmm0, %%xmm0; movss %1, %%xmm1; divss %%xmm0, %%xmm1" ::"m"(m),
               "m"((float){1}) : "xmm0", "xmm1"));
    EXPECT("x87 division", uint16_t w = 0x37b; __asm__ volatile(
               "fldcw %0; fld1; fldz; fdivrp; fwait" ::"m"(w)));
    __asm__ volatile("fninit");
}

/* A fault that is mended: the instruction starts again. */
static char *area;
static volatile int mended;

static void on_mendable(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    mprotect((void *)((uintptr_t)info->si_addr & ~(uintptr_t)4095), 4096, PROT_READ | PROT_WRITE);
    mended++;
}

static void restarts(void)
{
    struct sigaction action = {.sa_sigaction = on_mendable, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    unsigned total = 0;

    sigaction(SIGSEGV, &action, NULL);
    area = mmap(NULL, 64 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(area, 0x11, 64 * 4096); /* a repeated store over 64 faults */
    for (int i = 0; i < 64; i++)
        mprotect(area + i * 4096, 4096, i & 1 ? PROT_READ : PROT_NONE);
    for (int i = 1; i < 64; i++)
        __asm__ volatile("addq $1, (%0)" ::"r"(area + i * 4096 - 4) : "memory");
    for (int i = 0; i < 64 * 4096; i++)
        total += (unsigned char)area[i];
    printf("mended %d, sum %u\n", mended, total);
}

static void storm(void)
{
    unsigned long total = 0;

    for (int round = 0; round < 20; round++) {
        char *m = mmap(NULL, 512 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);

        for (int i = 0; i < 512; i++)
            m[i * 4096 + round] = (char)(i + round);
        mprotect(m + 128 * 4096, 128 * 4096, PROT_READ);
        mprotect(m + 128 * 4096, 128 * 4096, PROT_READ | PROT_WRITE); /* one mapping again */
        madvise(m + 256 * 4096, 64 * 4096, MADV_DONTNEED);
        m = mremap(m, 512 * 4096, 600 * 4096, MREMAP_MAYMOVE);
        for (int i = 0; i < 600; i++)
            total += (unsigned char)m[i * 4096 + round];
        munmap(m, 600 * 4096);
    }
    printf("pages %lu\n", total);
}

int main(void)
{
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    static const int all[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaltstack(&alternate, NULL);
    for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++)
        sigaction(all[n], &action, NULL);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    exceptions();
    restarts();
    storm();
    return 0;
}
