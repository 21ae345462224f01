/* SPDX-License-Identifier: MIT */
/* A thread of a stub hands over by a system call that its filter turns into a notification: who waits
 * for one here is woken on the same processor, and the thread sleeps until it is answered. What the
 * notification says comes from the kernel. */
#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#include "stub/stub_impl.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS   _IOW('!', 4, uint64_t)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP BIT(0)
#endif

bool hand_over_prepare(int listener)
{
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0;
}

/* 1: there is one; 0: not in this time; -EIO: nobody is left who could. Before Linux 6.11 a listener
 * hears of its thread's end only when that is reaped, so the process is looked at as well. */
static int look(struct stub_thread *t, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = t->listener, .events = POLLIN},
                          {.fd = t->stub->pidfd, .events = POLLIN}};
    int r;

    do
        r = poll(p, 2, timeout_ms);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    return p[1].revents ? -EIO : p[0].revents & POLLIN ? 1 : p[0].revents ? -EIO : 0;
}

int hand_over_wait(struct stub_thread *t, int timeout_ms, struct stub_word *ret)
{
    /* Before Linux 6.11 this wait does not end when the stub dies either. */
    bool first_look = timeout_ms >= 0 || !t->stub->host->recv_ends;
    union {
        struct seccomp_notif notif;
        char room[128]; /* kernels may come to say more */
    } u;

    for (;;) {
        int r = first_look ? look(t, timeout_ms) : 1;

        if (r <= 0)
            return r ? r : -ETIMEDOUT;
        memset(&u, 0, sizeof(u));
        if (ioctl(t->listener, SECCOMP_IOCTL_NOTIF_RECV, &u) == 0)
            break;
        if (errno == EINTR)
            continue;
        if (errno != ENOENT)
            return -errno;
        /* The one that there was has been killed, or stopped before we saw it: look. */
        r = look(t, 0);
        if (r < 0)
            return r;
    }
    *ret = (struct stub_word){.id = u.notif.id, .ip = u.notif.data.instruction_pointer,
                              .nr = u.notif.data.nr, .tid = (int)u.notif.pid};
    for (unsigned i = 0; i < 6; i++)
        ret->arg[i] = u.notif.data.args[i];
    return 0;
}

int hand_over_answer(struct stub_thread *t, uint64_t id, uint64_t value)
{
    struct seccomp_notif_resp resp = {.id = id, .val = (int64_t)value};
    int r;

    do
        r = ioctl(t->listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}
