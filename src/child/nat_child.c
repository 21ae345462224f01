/* SPDX-License-Identifier: MIT */
/* The program of a process that has a machine's NATs: see nat_child.h. */
#include "child/nat_child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "base/log.h"
#include "base/pass_fd.h"
#include "loop/loop.h"
#include "net/slirp_library.h"
#include "sandbox/sandbox.h"
#include "sandbox/sandbox_calls.h"
#include "sandbox/sandbox_world.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* Its loop's watch uses them as long as it lives. */
static struct nat_child self;
static struct sandbox sandbox;

/* ---- Open, then lock ------------------------------------------------------------------------ */

/* What is made from here on knows that there will be a lock. */
static int prepare(const struct nat_wire_start *start)
{
    const struct sandbox_options o = {.mode = start->logs ? SANDBOX_LOG : SANDBOX_ON,
                                      .process = !start->logs,
                                      .is_child = true,
                                      .features = SANDBOX_NET,
                                      .uid = start->uid,
                                      .gid = start->gid};
    int r = sandbox_init(&sandbox, &o, NULL);

    if (!r)
        thread_set_policy(&sandbox.policy);
    return r;
}

int nat_child_lock(struct nat_child *c)
{
    char text[80];

    if (!c->start.locks)
        return 0;
    if (!c->start.logs)
        c->world |= sandbox_world_empty(~(unsigned)SANDBOX_OWN_NETWORK);
    sandbox_world_text(c->world, text);
    log_info("NAT is in a process of its own, with namespaces of its own of: %s", text);
    return thread_enter(THREAD_NAT);
}

/* ---- Questions ------------------------------------------------------------------------------ */

static void on_question(void *arg, unsigned events)
{
    static struct nat_question q;
    struct child_answer a;
    struct iovec iov[] = {{&a, sizeof(a)}, {&q.u.flows, 0}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    int fd;
    ssize_t n = pass_fd_receive(CHILD_SOCKET, &q, sizeof(q), &fd, MSG_DONTWAIT);

    if (n == -EAGAIN)
        return;
    if (n <= 0)
        _exit(0);
    iov[1].iov_len = nat_orders_carry_out(&self, &q, (size_t)n, fd, &a);
    if (sendmsg(CHILD_SOCKET, &msg, MSG_NOSIGNAL) < 0)
        _exit(0);
}

/* ---- Beginning ------------------------------------------------------------------------------ */

/* The other process, which has no life of its own: it dies with the first one. */
static _Noreturn void serve(int names)
{
    struct loop_fd *watch;

    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (dup2(STDERR_FILENO, CHILD_LIFE) < 0) /* what a library prints goes there, if anywhere */
        close(CHILD_LIFE);
    self.names = names;
    if ((self.start.locks && prepare(&self.start) < 0) || loop_create(&self.loop) < 0 ||
        loop_fd_add(self.loop, CHILD_SOCKET, LOOP_READ, on_question, NULL, &watch) < 0)
        _exit(1);
    loop_run(self.loop);
    _exit(0);
}

static bool receive_start(void)
{
    struct nat_question q;
    int fd;
    ssize_t n = pass_fd_receive(CHILD_SOCKET, &q, sizeof(q), &fd, 0);

    if (n != (ssize_t)NAT_QUESTION_LEN(start) || q.op != NAT_OP_START)
        return false;
    self.start = q.u.start;
    return nat_wire_get(self.start.resolv_conf, sizeof(self.start.resolv_conf)) != NULL;
}

/* A sanitizer watches over a process' files and memory from within it. */
static void begin_world(void)
{
    if (self.start.locks && !self.start.logs)
        self.world = sandbox_world_begin(true);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* the rights of a user namespace have taken it back */
}

int main(void)
{
    int names[2];
    pid_t pid;

    prctl(PR_SET_NAME, "vz-nat", 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0);
    if (!receive_start())
        return 1;
    if (VZ_SANITIZED)
        self.start.locks = false;
    if (slirp_library_load(NULL) < 0)
        log_debug("whoever needs libslirp is told then"); /* with the reason */
    begin_world();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, names) < 0)
        return 1;
    pid = fork();
    if (pid < 0)
        return 1;
    if (pid == 0) {
        close(names[0]);
        serve(names[1]);
    }
    close(names[1]);
    close(CHILD_SOCKET);
    nat_names_serve(&self.start, names[0]);
}
