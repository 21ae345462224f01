/* SPDX-License-Identifier: MIT */
#include "control/send_fd.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAITING_MAX 32u /* threads that close something */

static atomic_uint waiting;

ssize_t send_with_fd(int to, const void *data, size_t len, int fd, int flags)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } u = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        memcpy(CMSG_DATA(&u.header), &fd, sizeof(fd));
        m.msg_control = &u;
        m.msg_controllen = sizeof(u);
    }
    return sendmsg(to, &m, MSG_NOSIGNAL | flags);
}

ssize_t receive_with_fd(int from, void *data, size_t size, int flags, int *ret_fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } u;
    struct iovec iov = {data, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u,
                       .msg_controllen = CMSG_LEN(sizeof(int))}; /* with its padding it would take two */
    ssize_t n = recvmsg(from, &m, MSG_CMSG_CLOEXEC | flags);
    struct cmsghdr *h = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL;

    *ret_fd = -1;
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(h), sizeof(*ret_fd));
    return n;
}

bool fd_is_memory(int fd)
{
    return fd >= 0 && fcntl(fd, F_GET_SEALS) >= 0;
}

static void *close_it(void *arg)
{
    close((int)(intptr_t)arg);
    atomic_fetch_sub(&waiting, 1);
    return NULL;
}

void close_received(int fd)
{
    pthread_t thread;

    if (fd < 0)
        return;
    if (fd_is_memory(fd)) {
        close(fd);
        return;
    }
    if (atomic_fetch_add(&waiting, 1) < WAITING_MAX &&
        pthread_create(&thread, NULL, close_it, (void *)(intptr_t)fd) == 0)
        pthread_detach(thread);
    else
        atomic_fetch_sub(&waiting, 1);
}
