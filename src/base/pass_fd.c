/* SPDX-License-Identifier: MIT */
#include "base/pass_fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

ssize_t pass_fd_send(int socket, const void *data, size_t len, int fd, int flags)
{
    union control control = {
        .head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (fd >= 0) {
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
    }
    do
        n = sendmsg(socket, &msg, MSG_NOSIGNAL | flags);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int take_fd(struct msghdr *msg)
{
    struct cmsghdr *head = CMSG_FIRSTHDR(msg);
    int fd = -1;

    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
        head->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(head), sizeof(fd));
    return fd;
}

ssize_t pass_fd_receive(int socket, void *data, size_t size, int *ret_fd, int flags)
{
    union control control;
    struct iovec iov = {data, size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                         .msg_controllen = CMSG_LEN(sizeof(int))}; /* with its padding it would take two */
    ssize_t n;

    do
        n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC | flags);
    while (n < 0 && errno == EINTR);
    *ret_fd = n < 0 ? -1 : take_fd(&msg);
    return n < 0 ? -errno : n;
}
