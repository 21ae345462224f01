/* SPDX-License-Identifier: MIT */
/* The parent of a machine's stubs, and what becomes a stub: a static program without libc, which the
 * library has in itself as data and starts from a memory file (stub_parent.c). So a stub is forked
 * from something small, has nothing registered with the kernel (rseq would kill it once its memory
 * is gone), no locks, and nothing of the machine's process in it. What is said: stub_child.h.
 *
 * Nothing here is trusted with a guest: when the first user code runs, all of it is unmapped. */
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "stub/stub_child.h"
#include "stub/stub_layout.h"

/* ---- the kernel's interface: <sys/...> is libc's ---- */

#define ARCH_CPUID_SET     0x1012
#define WAIT_KILLABLE      0x20 /* a hand-over that was seen is not taken back to stop or freeze */
#define SOL_SOCKET_        1
#define SCM_RIGHTS_        1
#define MSG_NOSIGNAL_      0x4000
#define PROT_R             1
#define PROT_W             2
#define PROT_X             4
#define MAP_SHARED_        1
#define MAP_PRIVATE_       2
#define MAP_ANONYMOUS_     0x20
#define MAP_FIXED_NOREPLACE_ 0x100000
#define MS_REC_            0x4000
#define MS_PRIVATE_        0x40000
#define MNT_DETACH_        2
#define WALL_              0x40000000
#define EINTR_             4
#define EINVAL_            22

struct iovec_ {
    void *base;
    size_t len;
};

struct msghdr_ {
    void *name;
    int name_len;
    struct iovec_ *iov;
    size_t iov_count;
    void *control;
    size_t control_len;
    unsigned flags;
};

struct cmsghdr_ {
    size_t len;
    int level, type;
};

#define MAX_FDS 64

struct fd_message {
    struct cmsghdr_ head;
    int fd[MAX_FDS];
};

static long sys(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long ret;

    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}

#define SYS0(nr)             sys(nr, 0, 0, 0, 0, 0, 0)
#define SYS1(nr, a)          sys(nr, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(nr, a, b)       sys(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(nr, a, b, c)    sys(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(nr, a, b, c, d) sys(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS5(nr, a, b, c, d, e) sys(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

__attribute__((noreturn)) static void leave(int status)
{
    for (;;)
        SYS1(__NR_exit_group, status);
}

/* Compilers call it by themselves. */
void *memset(void *to, int value, size_t len);

void *memset(void *to, int value, size_t len)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(len) : "a"(value) : "memory");
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t len);

void *memcpy(void *restrict to, const void *restrict from, size_t len)
{
    void *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(len) : : "memory");
    return to;
}

/* ---- messages ---- */

/* The bytes that came, 0 at the end; *fds says how many descriptors there is room for, and were. */
static long receive(int socket, void *data, size_t len, int *fd, unsigned *fds)
{
    struct iovec_ iov = {data, len};
    struct fd_message control;
    struct msghdr_ msg = {.iov = &iov, .iov_count = 1, .control = &control,
                          .control_len = sizeof(control)};
    long r;

    do
        r = SYS3(__NR_recvmsg, socket, &msg, 0);
    while (r == -EINTR_);
    unsigned n = 0;

    if (r > 0 && msg.control_len >= sizeof(control.head) && control.head.level == SOL_SOCKET_ &&
        control.head.type == SCM_RIGHTS_)
        n = (unsigned)((control.head.len - sizeof(control.head)) / sizeof(int));
    for (unsigned i = 0; i < n; i++) {
        if (i < *fds)
            fd[i] = control.fd[i];
        else
            SYS1(__NR_close, control.fd[i]);
    }
    if (n < *fds)
        *fds = n;
    return r;
}

static long answer(int socket, int result, int status, const int *fd, unsigned fds)
{
    struct child_answer a = {result, status};
    struct iovec_ iov = {&a, sizeof(a)};
    struct fd_message control;
    struct msghdr_ msg = {.iov = &iov, .iov_count = 1};

    if (fds) {
        control.head = (struct cmsghdr_){sizeof(control.head) + fds * sizeof(int), SOL_SOCKET_,
                                         SCM_RIGHTS_};
        for (unsigned i = 0; i < fds; i++)
            control.fd[i] = fd[i];
        msg.control = &control;
        msg.control_len = (control.head.len + 7) & ~(size_t)7;
    }
    return SYS3(__NR_sendmsg, socket, &msg, MSG_NOSIGNAL_);
}

/* ---- a stub in the making ---- */

struct making {
    struct stub_plan *plan;
    int file, socket;          /* its memory, and where it says that it is ready */
    int listener[MAX_FDS];     /* of each thread; 0 while there is none; -errno */
    unsigned started;          /* threads that have theirs */
};

struct thread_arg {
    struct making *making;
    unsigned index;
};

#define FAIL(m, r) fail(m, (int)(r), __LINE__)

__attribute__((noreturn)) static void fail(struct making *m, int result, int line)
{
    answer(m->socket, result < 0 ? result : -5 /* EIO */, line, NULL, 0);
    leave(1);
}

static uint64_t slice(const struct stub_plan *plan, unsigned n)
{
    return plan->region + (uint64_t)n * STUB_SLICE;
}

static void map_piece(struct making *m, uint64_t at, uint64_t len, int prot, uint64_t offset)
{
    /* NOREPLACE: not over the child's own image, which needs to run for a little longer. */
    long r = sys(__NR_mmap, (long)at, (long)len, prot, MAP_SHARED_ | MAP_FIXED_NOREPLACE_, m->file,
                 (long)offset);

    if (r != (long)at)
        FAIL(m, r);
}

static void map_slices(struct making *m)
{
    for (unsigned i = 0; i < m->plan->threads; i++) {
        uint64_t at = slice(m->plan, i), file = STUB_FILE_SLICES + (uint64_t)i * STUB_FILE_SLICE;

        map_piece(m, at, STUB_CODE_SIZE, PROT_R | PROT_X, STUB_FILE_CODE);
        map_piece(m, at + STUB_COMMANDS_AT, STUB_COMMANDS_SIZE, PROT_R, file);
        map_piece(m, at + STUB_STACK_AT, STUB_STACK_SIZE, PROT_R | PROT_W,
                  file + STUB_COMMANDS_SIZE);
    }
}

/* All signals blocked in the handler: a frame written there would show the secret that it carries. */
static void take_signals(struct making *m)
{
    const int all[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, (int)m->plan->kick};
    struct {
        uint64_t handler, flags, restorer, mask;
    } action = {m->plan->region, SA_SIGINFO | SA_ONSTACK | SA_RESTORER, m->plan->region, ~0ull};

    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        long r = SYS4(__NR_rt_sigaction, all[i], &action, 0, 8);

        if (r)
            FAIL(m, r);
    }
}

/* What each thread does for itself. Returns its listener. */
static int prepare_thread(struct making *m, unsigned n)
{
    const long listen = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    uint64_t stack = slice(m->plan, n) + STUB_STACK_AT;
    struct {
        uint64_t sp;
        int flags;
        uint64_t size;
    } alt = {stack, 0, STUB_STACK_SIZE};
    const struct stub_filters *f = (const struct stub_filters *)stack;
    long r = SYS2(__NR_sigaltstack, &alt, 0);

    if (r)
        FAIL(m, r);
    if (m->plan->tsc_faulting) /* where that is refused the probe has seen it */
        SYS2(__NR_prctl, PR_SET_TSC, PR_TSC_SIGSEGV);
    /* A filter with a listener lets nothing else be said about it here; the strict one comes last.
     * Neither asks for mitigations of speculation: nothing is in this process but its program. */
    r = SYS3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, listen | WAIT_KILLABLE, &f->listen);
    if (r == -EINVAL_) /* before Linux 5.19 */
        r = SYS3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, listen, &f->listen);
    if (r < 0)
        FAIL(m, r);
    return (int)r;
}

/* Into the slice, never to return. From here on system calls elsewhere are signals before the filter is
 * asked: Linux lets the calls of its own probes (uretprobe, uprobe) through any filter. Before 5.11
 * there is no such thing, nor are there those calls. */
__attribute__((noreturn)) static void enter(const struct stub_plan *plan, unsigned n)
{
    uint64_t at = slice(plan, n), stack = at + STUB_STACK_AT;
    struct stub_filters *own = (struct stub_filters *)stack;
    struct stub_filters *shared = (struct stub_filters *)(slice(plan, 0) + STUB_STACK_AT);
    uint64_t to = at + (n ? plan->begin : plan->first);

    SYS5(__NR_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, plan->region,
         plan->region_size, 0);

    register uint64_t low __asm__("r12") = plan->region;
    register uint64_t high __asm__("r13") = plan->region + plan->region_size;
    register uint64_t high_len __asm__("r14") = plan->address_end - high;
    register uint64_t filter __asm__("r15") = (uint64_t)&own->rule;

    __asm__ volatile("jmp *%0"
                     :
                     : "a"(to), "b"(&shared->arrived), "r"(low), "r"(high), "r"(high_len),
                       "r"(filter)
                     : "memory");
    __builtin_unreachable();
}

__attribute__((noreturn, used)) static void thread_main(struct thread_arg *arg)
{
    struct making *m = arg->making;

    m->listener[arg->index] = prepare_thread(m, arg->index);
    __atomic_add_fetch(&m->started, 1, __ATOMIC_SEQ_CST);
    enter(m->plan, arg->index);
}

static void start_thread(struct making *m, struct thread_arg *arg)
{
    const long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    long stack = sys(__NR_mmap, 0, 0x4000, PROT_R | PROT_W, MAP_PRIVATE_ | MAP_ANONYMOUS_, -1, 0);
    register long none10 __asm__("r10") = 0, none8 __asm__("r8") = 0;
    long r;

    if (stack < 0 && stack > -4096)
        FAIL(m, stack);
    stack += 0x4000;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %[arg], %%rdi\n\t"
                     "call thread_main\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(r)
                     : "a"(__NR_clone), "D"(flags), "S"(stack), "d"(0), "r"(none10), "r"(none8),
                       [arg] "b"(arg)
                     : "rcx", "r11", "memory");
    if (r < 0)
        FAIL(m, r);
}

static void limit(int what, uint64_t value)
{
    struct {
        uint64_t now, most;
    } l = {value, value};

    SYS4(__NR_prlimit64, 0, what, &l, 0);
}

static void close_all_but(struct making *m)
{
    long r = SYS1(__NR_close, 0); /* the parent's socket */

    if (!r)
        r = SYS3(__NR_close_range, STUB_FD_RAM_RO + 1, ~0u, 0);
    if (r)
        FAIL(m, r);
}

/* In a process of its own. parent is its parent's pid, as it sees it. */
__attribute__((noreturn)) static void become_stub(int file, int socket, long parent)
{
    struct making m = {.file = file, .socket = socket};
    struct thread_arg arg[MAX_FDS];
    struct stub_plan *plan;
    long r = sys(__NR_mmap, 0, STUB_FILE_PLAN_SIZE, PROT_R | PROT_W, MAP_SHARED_, file,
                 STUB_FILE_PLAN);

    if (r < 0 && r > -4096)
        FAIL(&m, r);
    m.plan = plan = (struct stub_plan *)r;
    SYS2(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL);
    if (SYS0(__NR_getppid) != parent)
        leave(1);
    SYS2(__NR_prctl, PR_SET_NAME, plan->name);
    map_slices(&m);
    take_signals(&m);
    if (plan->cpuid_faulting && SYS2(__NR_arch_prctl, ARCH_CPUID_SET, 0) == 0)
        plan->cpuid_faulting = 2;
    struct stub_filters *shared = (struct stub_filters *)(slice(plan, 0) + STUB_STACK_AT);

    for (unsigned i = 1; i < plan->threads; i++) {
        arg[i] = (struct thread_arg){&m, i};
        start_thread(&m, &arg[i]);
    }
    m.listener[0] = prepare_thread(&m, 0);
    while (__atomic_load_n(&m.started, __ATOMIC_SEQ_CST) < plan->threads - 1 ||
           __atomic_load_n(&shared->arrived, __ATOMIC_SEQ_CST) < plan->threads - 1)
        SYS0(__NR_sched_yield);
    /* It has all the processes that it will ever have. */
    limit(RLIMIT_NPROC, 0);
    r = answer(socket, 0, 0, m.listener, plan->threads);
    if (r < 0)
        leave(1);
    close_all_but(&m);
    enter(plan, 0);
}

/* ---- the parent ---- */

static int make(int file, int socket, int *pidfd)
{
    long self = SYS0(__NR_getpid);
    long pid = SYS5(__NR_clone, CLONE_PIDFD | SIGCHLD, 0, pidfd, 0, 0);

    if (pid == 0)
        become_stub(file, socket, self);
    return (int)pid;
}

static int reap(int pid, int *status)
{
    long r;

    do
        r = SYS4(__NR_wait4, pid, status, WALL_, 0);
    while (r == -EINTR_);
    return r < 0 ? (int)r : 0;
}

/* Into an empty file system that nobody else sees. Needs namespaces, else nothing happens. */
static int hide_files(void)
{
    static const char *const places[] = {"/proc", "/tmp", "/dev"};
    unsigned i = 0;

    if (SYS5(__NR_mount, 0, "/", 0, MS_REC_ | MS_PRIVATE_, 0))
        return 0;
    while (SYS5(__NR_mount, "none", places[i], "tmpfs", 0, "size=4k"))
        if (++i == sizeof(places) / sizeof(places[0]))
            return 0;
    if (SYS1(__NR_chdir, places[i]) || SYS2(__NR_pivot_root, ".", ".") ||
        SYS2(__NR_umount2, ".", MNT_DETACH_) || SYS1(__NR_chdir, "/"))
        return 0;
    return CHILD_START_SANDBOX;
}

/* What stubs inherit. */
static int give_up_rights(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    int hidden = hide_files();

    SYS2(__NR_capset, &head, none);
    limit(RLIMIT_CORE, 0);
    /* Nobody of our user is to read or change a stub by /proc or ptrace. */
    SYS2(__NR_prctl, PR_SET_DUMPABLE, 0);
    return hidden;
}

static int start(int *fd, unsigned fds)
{
    /* They come as 1 and 2, since nothing else is open; but say so rather than trust it. */
    if (fds != 2 || fd[0] != STUB_FD_RAM || fd[1] != STUB_FD_RAM_RO)
        return -9; /* EBADF */
    return give_up_rights();
}

static void serve(int socket)
{
    struct child_request q;
    int fd[2], pidfd, result, status;
    unsigned fds;

    for (;;) {
        fds = 2;
        if (receive(socket, &q, sizeof(q), fd, &fds) != sizeof(q))
            return;
        status = 0;
        pidfd = -1;
        switch (q.op) {
        case CHILD_START:
            result = start(fd, fds);
            break;
        case CHILD_MAKE:
            result = fds == 2 ? make(fd[0], fd[1], &pidfd) : -9;
            for (unsigned i = 0; i < fds; i++)
                SYS1(__NR_close, fd[i]);
            break;
        case CHILD_REAP:
            result = reap(q.pid, &status);
            break;
        default:
            return;
        }
        if (answer(socket, result, status, &pidfd, pidfd >= 0) < 0)
            return;
        if (pidfd >= 0)
            SYS1(__NR_close, pidfd);
    }
}

__attribute__((noreturn, used)) static void child_main(void)
{
    struct {
        uint64_t handler, flags, restorer, mask;
    } ordinary = {0};
    uint64_t none = 0;

    SYS4(__NR_rt_sigprocmask, SIG_SETMASK, &none, 0, 8);
    SYS4(__NR_rt_sigaction, SIGCHLD, &ordinary, 0, 8);
    SYS2(__NR_prctl, PR_SET_NAME, "vz-stubs");
    /* Away from the terminal: what is typed there is not for stubs. */
    SYS0(__NR_setsid);
    if (SYS5(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        SYS3(__NR_close_range, 1, ~0u, 0) == 0)
        serve(0);
    leave(0);
}

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    and $-16, %rsp\n"
        "    call child_main\n"
        "    ud2\n");
