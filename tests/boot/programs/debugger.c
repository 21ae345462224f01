/* SPDX-License-Identifier: MIT */
/* What a debugger uses: single steps, int3 put into code, hardware breakpoints and watchpoints,
 * reading and writing registers, stopping at system calls; and seccomp filters. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

volatile long watched;
long loop(long n);
extern const char loop_start[], loop_top[], loop_end[];

__asm__(".text\n.globl loop, loop_start, loop_top, loop_end\n"
        "loop:\nloop_start: xor %eax, %eax\n"
        "loop_top: add %rdi, %rax\n mov %rax, watched(%rip)\n dec %rdi\n jnz loop_top\n"
        "loop_end: ret\n");

static pid_t start(void (*body)(void))
{
    pid_t child = fork();

    if (!child) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        body();
        _exit(7);
    }
    waitpid(child, NULL, 0);
    ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    return child;
}

static void body_loop(void)
{
    if (loop(10) != 55)
        _exit(1);
}

static int resume(pid_t child, int request)
{
    int status;

    ptrace(request, child, NULL, NULL);
    waitpid(child, &status, 0);
    return status;
}

static uintptr_t rip(pid_t child)
{
    struct user_regs_struct r;

    ptrace(PTRACE_GETREGS, child, NULL, &r);
    return r.rip;
}

static long debug_register(pid_t child, int n)
{
    return ptrace(PTRACE_PEEKUSER, child, offsetof(struct user, u_debugreg) + (size_t)n * 8, NULL);
}

static long set_debug_register(pid_t child, int n, uintptr_t value)
{
    return ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg) + (size_t)n * 8, value);
}

static void step(void)
{
    pid_t child = start(body_loop);
    int in_loop = 0, status;

    do {
        status = resume(child, PTRACE_SINGLESTEP);
        in_loop += WIFSTOPPED(status) && rip(child) >= (uintptr_t)loop_start &&
                   rip(child) <= (uintptr_t)loop_end;
    } while (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    printf("steps in the loop: %d, exit status %d\n", in_loop, WEXITSTATUS(status));
}

static void breakpoint(void)
{
    pid_t child = start(body_loop);
    long word = ptrace(PTRACE_PEEKTEXT, child, loop_top, NULL);
    int hits = 0;
    int status;

    ptrace(PTRACE_POKETEXT, child, loop_top, (word & ~0xffl) | 0xcc);
    while (status = resume(child, PTRACE_CONT), WIFSTOPPED(status)) {
        if (rip(child) != (uintptr_t)loop_top + 1)
            break;
        hits++;
        ptrace(PTRACE_POKEUSER, child, offsetof(struct user_regs_struct, rip), loop_top);
        ptrace(PTRACE_POKETEXT, child, loop_top, word);
        resume(child, PTRACE_SINGLESTEP);
        ptrace(PTRACE_POKETEXT, child, loop_top, (word & ~0xffl) | 0xcc);
    }
    printf("int3 hits: %d, exit status %d\n", hits, WEXITSTATUS(status));
}

static void hardware(const char *name, uintptr_t address, uintptr_t dr7)
{
    pid_t child = start(body_loop);
    int hits = 0, status;

    if (set_debug_register(child, 0, address) || set_debug_register(child, 7, dr7))
        printf("%s: errno %d\n", name, errno);
    while (status = resume(child, PTRACE_CONT), WIFSTOPPED(status)) {
        hits += (debug_register(child, 6) & 0xf) == 1;
        set_debug_register(child, 6, 0);
    }
    printf("%s: %d, exit status %d\n", name, hits, WEXITSTATUS(status));
}

static void body_calls(void)
{
    for (int i = 0; i < 5; i++)
        syscall(SYS_getppid);
}

static void system_calls(void)
{
    pid_t child = start(body_calls);
    int entries = 0, status;

    while (status = resume(child, PTRACE_SYSCALL), WIFSTOPPED(status)) {
        struct user_regs_struct r;

        ptrace(PTRACE_GETREGS, child, NULL, &r);
        entries += r.orig_rax == SYS_getppid;
    }
    printf("system call stops: %d, exit status %d\n", entries, WEXITSTATUS(status));
}

static void seccomp(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 42),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    pid_t child = fork();
    int status;

    if (!child) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
            _exit(1);
        if (syscall(SYS_getppid) != -1 || errno != 42)
            _exit(2);
        syscall(SYS_getuid);
        _exit(3);
    }
    waitpid(child, &status, 0);
    printf("seccomp: signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    step();
    breakpoint();
    hardware("hardware breakpoint", (uintptr_t)loop_top, 0x1);
    hardware("watchpoint, write of 8", (uintptr_t)&watched, 0x1 | 0x9 << 16);
    hardware("watchpoint, access of 2", (uintptr_t)&watched + 4, 0x1 | 0x7 << 16);
    system_calls();
    seccomp();
    return 0;
}
