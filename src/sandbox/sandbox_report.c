/* SPDX-License-Identifier: MIT */
/* What happens at a system call that is not in the table: SIGSYS comes, by SECCOMP_RET_TRAP. The process ends with a
 * sentence; or the call is made all the same, from the one place from which filters let it (the gate), and told
 * once. Only what is safe in a signal's handler, and in every kind of thread. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "sandbox/sandbox_calls.h"
#include "sandbox/sandbox_impl.h"

#define CALLS 512

/* The process', as signal handlers are: what has been told, by names of threads and numbers of calls. */
static atomic_flag told[CALLS][16];

/* long sandbox_gate_call(long nr, const unsigned long long arg[6]) */
long sandbox_gate_call(long nr, const uint64_t *arg);
extern const char sandbox_gate_at[];
__asm__(".text\n"
        ".hidden sandbox_gate_call\n"
        ".hidden sandbox_gate_at\n"
        ".globl sandbox_gate_call\n"
        ".globl sandbox_gate_at\n"
        ".type sandbox_gate_call, @function\n"
        "sandbox_gate_call:\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %r11\n"
        "    mov (%r11), %rdi\n"
        "    mov 8(%r11), %rsi\n"
        "    mov 16(%r11), %rdx\n"
        "    mov 24(%r11), %r10\n"
        "    mov 32(%r11), %r8\n"
        "    mov 40(%r11), %r9\n"
        "    syscall\n"
        "sandbox_gate_at:\n"
        "    ret\n");

uint64_t sandbox_gate(void)
{
    return (uint64_t)(uintptr_t)sandbox_gate_at;
}

static char *put(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    return to;
}

static char *put_number(char *to, unsigned v)
{
    char digits[12], *d = digits + sizeof(digits) - 1;

    *d = '\0';
    do
        *--d = (char)('0' + v % 10);
    while (v /= 10);
    return put(to, d);
}

static char *put_hex(char *to, uint64_t v)
{
    char digits[20], *d = digits + sizeof(digits) - 1;

    *d = '\0';
    do
        *--d = "0123456789abcdef"[v & 15];
    while (v >>= 4);
    return put(put(to, "0x"), d);
}

/* "vz: sandbox: thread vz-loop made the system call ioctl(0x5, 0x541b) in a way that it is not allowed: ..." */
static void tell(unsigned nr, const greg_t *r, const char *end)
{
    const char *name = sandbox_call_name((int)nr);
    char text[240], thread[16] = "?", *p = text;
    ssize_t n;

    prctl(PR_GET_NAME, thread, 0, 0, 0);
    p = put(p, "vz: sandbox: thread ");
    p = put(p, thread);
    p = put(p, name ? " made the system call " : " made system call ");
    p = name ? put(p, name) : put_number(p, nr);
    p = put_hex(put(p, "("), (uint64_t)r[REG_RDI]);
    p = put(put_hex(put(p, ", "), (uint64_t)r[REG_RSI]), ")");
    p = put(p, name ? " in a way that" : ", which");
    p = put(p, " it is not allowed: ");
    p = put(p, end);
    n = write(STDERR_FILENO, text, (size_t)(p - text));
    (void)n;
}

static bool is_first(unsigned nr)
{
    char thread[16] = "";
    unsigned hash = 0;

    prctl(PR_GET_NAME, thread, 0, 0, 0);
    for (const char *c = thread; *c && *c != '0'; c++)
        hash = hash * 7 + (unsigned char)*c;
    return !atomic_flag_test_and_set(&told[nr % CALLS][hash % 16]);
}

static void refuse(int sig, siginfo_t *info, void *context)
{
    tell((unsigned)info->si_syscall, ((ucontext_t *)context)->uc_mcontext.gregs, "the process ends\n");
    syscall(SYS_exit_group, 128 + SIGSYS);
}

static void carry_out(int sig, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint64_t arg[6] = {(uint64_t)r[REG_RDI], (uint64_t)r[REG_RSI], (uint64_t)r[REG_RDX],
                             (uint64_t)r[REG_R10], (uint64_t)r[REG_R8], (uint64_t)r[REG_R9]};
    int keep = errno;

    if (is_first((unsigned)info->si_syscall))
        tell((unsigned)info->si_syscall, r, "only logged\n");
    r[REG_RAX] = sandbox_gate_call(info->si_syscall, arg);
    errno = keep;
}

int sandbox_report_begin(enum sandbox_mode mode)
{
    struct sigaction sa = {.sa_sigaction = mode == SANDBOX_LOG ? carry_out : refuse,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigfillset(&sa.sa_mask);
    return sigaction(SIGSYS, &sa, NULL) < 0 ? -errno : 0;
}
