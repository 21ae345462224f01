/* SPDX-License-Identifier: MIT */
/* Starting the parent of stubs, and talking to it; see stub_child.h. Its program is data of ours,
 * so it is there wherever the library is. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pidfd.h"
#include "base/program_file.h"
#include "stub/stub_impl.h"

extern const uint8_t stub_child_image[], stub_child_image_end[];

#define ANSWER_TIMEOUT_MS 10000

#define NAMESPACES (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

/* ---- starting it ---- */

struct launch {
    int image, socket;
    char uid_map[32]; /* what a user namespace is told */
    size_t uid_map_len; /* 0: there is none */
    int error; /* what exec said: the child shares our memory until then */
};

/* In the child, which has our memory and our thread's errno, while this thread waits. Plain system
 * calls: what sanitizers put around libc's would take it for a thread of ours. */
__attribute__((no_sanitize("address", "thread", "undefined"), noreturn)) static void
launch_main(struct launch *l)
{
    static char *const argv[] = {(char *)"vz-stubs", NULL}, *const envp[] = {NULL};

    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (l->uid_map_len) {
        /* Root there, or exec would take what is needed to empty the file system; it gives that up
         * itself then. Without it there is more to see and as little to do. */
        int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/uid_map", O_WRONLY | O_CLOEXEC, 0);

        if (fd >= 0)
            syscall(SYS_write, fd, l->uid_map, l->uid_map_len);
    }
    if (syscall(SYS_dup2, l->socket, 0) == 0)
        syscall(SYS_execveat, l->image, "", argv, envp, AT_EMPTY_PATH);
    l->error = errno;
    for (;;)
        syscall(SYS_exit_group, 127);
}

/* clone(), without what libc and sanitizers do around it: they would take the child for a fork. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static pid_t
launch_clone(struct launch *l, char *stack_end, int namespaces)
{
    register long none10 __asm__("r10") = 0, none8 __asm__("r8") = 0;
    register void (*main_at)(struct launch *) __asm__("r12") = launch_main;
    long r;

    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%rbx, %%rdi\n\t"
                     "call *%%r12\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(r)
                     : "a"(SYS_clone), "D"(CLONE_VM | CLONE_VFORK | SIGCHLD | (long)namespaces),
                       "S"(stack_end), "d"(0), "r"(none10), "r"(none8), "b"(l), "r"(main_at)
                     : "rcx", "r11", "memory");
    return (pid_t)r;
}

static pid_t launch(struct launch *l, int namespaces)
{
    enum { STACK = 64 * 1024 };
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigset_t all, old;
    pid_t pid;

    if (stack == MAP_FAILED)
        return -errno;
    /* No handler of the program's may run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    l->error = 0;
    l->uid_map_len = 0;
    if (namespaces & CLONE_NEWUSER)
        l->uid_map_len = (size_t)snprintf(l->uid_map, sizeof(l->uid_map), "0 %u 1",
                                          (unsigned)geteuid());
    pid = launch_clone(l, stack + STACK, namespaces);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    munmap(stack, STACK);
    if (pid > 0 && l->error) {
        waitpid(pid, NULL, 0);
        pid = -l->error;
    }
    return pid;
}

/* With empty namespaces, where they can be had: by a user namespace, or by privilege. */
static pid_t launch_any(struct launch *l)
{
    static const int ways[] = {CLONE_NEWUSER | NAMESPACES, NAMESPACES, 0};
    pid_t pid = -EPERM;

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        pid = launch(l, ways[i]);
        if (pid > 0)
            break;
    }
    return pid;
}

int parent_start(struct stub_parent *p, int ram, int ram_ro, char why[160])
{
    const struct child_request q = {.op = CHILD_START};
    const int fd[2] = {ram, ram_ro};
    struct child_answer a;
    struct launch l;
    int pair[2], r;

    *p = (struct stub_parent){.socket = -1, .pidfd = -ESRCH};
    l.image = program_file("vz-stub", stub_child_image, (size_t)(stub_child_image_end - stub_child_image));
    if (l.image < 0) {
        snprintf(why, 160, "no memory file that can be executed: %s", strerror(-l.image));
        return l.image;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        r = -errno;
        snprintf(why, 160, "no pair of sockets: %s", strerror(-r));
        close(l.image);
        return r;
    }
    l.socket = pair[1];
    p->pid = launch_any(&l);
    close(l.image);
    close(pair[1]);
    p->socket = pair[0];
    if (p->pid < 0) {
        r = p->pid;
        p->pid = 0;
        snprintf(why, 160, "the parent of stubs cannot be started: %s", strerror(-r));
        parent_end(p);
        return r;
    }
    p->pidfd = pidfd_of(p->pid);
    r = parent_ask(p, &q, fd, 2, &a, NULL);
    if (r == 0 && a.result < 0)
        r = a.result;
    if (r < 0) {
        snprintf(why, 160, "the parent of stubs does not answer: %s", strerror(-r));
        parent_end(p);
        return r;
    }
    p->sandbox = a.result & CHILD_START_SANDBOX;
    return 0;
}

void parent_end(struct stub_parent *p)
{
    if (p->socket >= 0)
        close(p->socket);
    p->socket = -1;
    if (p->pid > 0) {
        /* By a descriptor, where there are such: who may signal this one child need not be let signal others. */
        if (p->pidfd < 0 && p->pidfd != -ESRCH)
            kill(p->pid, SIGKILL);
        else
            syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
        pidfd_reap(p->pidfd, p->pid);
    }
    p->pid = 0;
    p->pidfd = -ESRCH;
}

/* ---- talking to it ---- */

static int send_fds(int socket, const void *data, size_t len, const int *fd, unsigned fds)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)data, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (fds) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
        control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(fds * sizeof(int)),
                                        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), fd, fds * sizeof(int));
    }
    do
        n = sendmsg(socket, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len ? 0 : -EIO;
}

/* How many of the message's descriptors there are; those beyond max are closed. */
static unsigned take_fds(struct msghdr *msg, int *fd, unsigned max)
{
    unsigned got = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int one;

            memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof(one));
            if (got < max)
                fd[got++] = one;
            else
                close(one);
        }
    }
    return got;
}

int child_receive(int socket, int timeout_ms, struct child_answer *ret, int *fd, unsigned fds)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(STUB_THREADS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {ret, sizeof(*ret)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    struct pollfd poll_fd = {.fd = socket, .events = POLLIN};
    unsigned got;
    ssize_t n;
    int r;

    do
        r = poll(&poll_fd, 1, timeout_ms);
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        return r ? -errno : -ETIMEDOUT;
    n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    if (n != (ssize_t)sizeof(*ret))
        return -EIO;
    got = take_fds(&msg, fd, fds);
    if (ret->result >= 0 && got != fds) {
        while (got)
            close(fd[--got]);
        return -EPROTO;
    }
    return 0;
}

int parent_ask(struct stub_parent *p, const struct child_request *q, const int *fd, unsigned fds,
               struct child_answer *ret, int *got)
{
    int r = p->socket < 0 ? -EIO : send_fds(p->socket, q, sizeof(*q), fd, fds);

    return r ? r : child_receive(p->socket, ANSWER_TIMEOUT_MS, ret, got, got ? 1 : 0);
}
