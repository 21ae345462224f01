/* SPDX-License-Identifier: MIT */
/* The host's side of the differential test: load the state, jump to the instruction, and take the
 * outcome from the signal that the INT3 behind it, or its exception, raises. */
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "diff.h"

static sigjmp_buf back;
static struct diff_state *result;
static uint8_t *code;

/* The state to load, at a fixed low address so that code can reach it without a register. */
struct entry {
    uint64_t gpr[16];
    uint64_t rflags, target;
    uint8_t xsave[DIFF_XSAVE_LEN] __attribute__((aligned(64)));
};
#define ENTRY ((struct entry *)UINT64_C(0x30000000))

static void on_signal(int sig, siginfo_t *info, void *context)
{
    static const uint8_t gregs[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                      REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11,
                                      REG_R12, REG_R13, REG_R14, REG_R15};
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;

    for (unsigned n = 0; n < 16; n++)
        result->gpr[n] = (uint64_t)g[gregs[n]];
    result->rip = (uint64_t)g[REG_RIP];
    result->rflags = (uint64_t)g[REG_EFL];
    result->vector = (int)g[REG_TRAPNO];
    result->error = (uint64_t)g[REG_ERR];
    result->cr2 = (uint64_t)g[REG_CR2];
    memcpy(result->xsave, uc->uc_mcontext.fpregs, DIFF_XSAVE_LEN);
    siglongjmp(back, 1);
}

bool diff_native_init(void)
{
    static const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGTRAP};
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t stack = {.ss_size = 256 * 1024};
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;

    code = mmap((void *)DIFF_CODE, DIFF_CODE_LEN, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0);
    stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
    if (code == MAP_FAILED || stack.ss_sp == MAP_FAILED ||
        mmap((void *)DIFF_DATA, DIFF_DATA_LEN, PROT_READ | PROT_WRITE, flags, -1, 0) ==
            MAP_FAILED ||
        mmap(ENTRY, sizeof(struct entry), PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
        return false;
    memset(code, 0xcc, DIFF_CODE_LEN);
    sigaltstack(&stack, NULL);
    for (unsigned n = 0; n < sizeof(signals) / sizeof(signals[0]); n++)
        sigaction(signals[n], &sa, NULL);
    return true;
}

uint8_t *diff_native_data(void)
{
    return (uint8_t *)DIFF_DATA;
}

/* Linux's for 32-bit programs. */
#define CODE_SEGMENT UINT64_C(0x23)
#define DATA_SEGMENT "0x2b"

#define LOAD(reg, n) "mov 0x30000000 + 8 * " #n ", %%" #reg "\n\t"

/* Compatibility mode is entered by a far jump, with segments that 64-bit code has no use for. */
static void enter_narrow(void)
{
    __asm__ volatile("mov $7, %%eax\n\t"
                     "xor %%edx, %%edx\n\t"
                     "mov $0x300000c0, %%ecx\n\t"
                     "xrstor64 (%%rcx)\n\t"
                     "mov $" DATA_SEGMENT ", %%eax\n\t"
                     "mov %%eax, %%ds\n\t"
                     "mov %%eax, %%es\n\t"
                     "mov 0x30000080, %%rax\n\t"
                     "mov %%rax, 0x30000000 + 1224\n\t"
                     "mov $0x30000000 + 1224, %%esp\n\t"
                     "popfq\n\t"
                     LOAD(rax, 0) LOAD(rcx, 1) LOAD(rdx, 2) LOAD(rbx, 3) LOAD(rsp, 4)
                     LOAD(rbp, 5) LOAD(rsi, 6) LOAD(rdi, 7)
                     "ljmpl *0x30000088" : : : "memory");
    __builtin_unreachable();
}

static void enter(void)
{
    __asm__ volatile("mov $7, %%eax\n\t"
                     "xor %%edx, %%edx\n\t"
                     "mov $0x300000c0, %%ecx\n\t"
                     "xrstor64 (%%rcx)\n\t"
                     "mov 0x30000080, %%rax\n\t"
                     "mov %%rax, 0x30000000 + 1224\n\t"
                     "mov $0x30000000 + 1224, %%esp\n\t"
                     "popfq\n\t"
                     LOAD(rax, 0) LOAD(rcx, 1) LOAD(rdx, 2) LOAD(rbx, 3) LOAD(rsp, 4)
                     LOAD(rbp, 5) LOAD(rsi, 6) LOAD(rdi, 7) LOAD(r8, 8) LOAD(r9, 9)
                     LOAD(r10, 10) LOAD(r11, 11) LOAD(r12, 12) LOAD(r13, 13) LOAD(r14, 14)
                     LOAD(r15, 15)
                     "jmp *0x30000088" : : : "memory");
    __builtin_unreachable();
}

void diff_native_run(const struct diff_case *c, struct diff_state *ret)
{
    struct entry *e = ENTRY;

    result = ret;
    memset(code, 0xcc, DIFF_CODE_LEN);
    memcpy((void *)DIFF_INSN, c->bytes, c->d.len);
    memcpy(e->gpr, c->before.gpr, sizeof(e->gpr));
    e->rflags = c->before.rflags;
    e->target = DIFF_INSN | (diff_narrow ? CODE_SEGMENT << 32 : 0); /* a far pointer */
    memcpy(e->xsave, c->before.xsave, DIFF_XSAVE_LEN);
    if (!sigsetjmp(back, 0)) {
        if (diff_narrow)
            enter_narrow();
        enter();
    }
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (ret->vector == 3 && ret->rip != DIFF_INSN + 1) {
        ret->vector = -1; /* the INT3 where it went */
        ret->rip--;
    } else if ((ret->vector == 14 || ret->vector == 13) && ret->rip != DIFF_INSN) {
        ret->vector = -1; /* it went where nothing is */
    } else if (ret->vector == 3) {
        ret->vector = -1; /* a branch to itself, or before the first INT3 */
        ret->rip--;
    } else if (ret->vector == 4) {
        ret->rip = DIFF_INSN; /* INTO is a trap; the other side has not gone on yet */
    }
}

bool diff_native_narrow_works(void)
{
    static struct diff_case c;
    static struct diff_state s;

    c.bytes[0] = 0x90;
    c.d.len = 1;
    c.before.rflags = 0x202;
    c.before.xsave[24] = 0x80, c.before.xsave[25] = 0x1f; /* MXCSR */
    c.before.xsave[512] = 7;
    diff_native_run(&c, &s);
    return s.vector == -1 && s.rip == DIFF_INSN + 1;
}
