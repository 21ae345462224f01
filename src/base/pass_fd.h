/* SPDX-License-Identifier: MIT */
/* Messages by sockets of this host, with a descriptor or without one. */
#ifndef VZ_BASE_PASS_FD_H
#define VZ_BASE_PASS_FD_H

#include <sys/types.h>

#include "base/compiler.h"

/* One message, or bytes of a stream. fd goes along and stays the caller's; -1: none does. flags are sendmsg()'s, and
 * MSG_NOSIGNAL besides. How many bytes went, or -errno, but not -EINTR. */
ssize_t pass_fd_send(int socket, const void *data, size_t len, int fd, int flags) must_check;

/* *ret_fd: what came along, closed on exec; -1: nothing did. flags are recvmsg()'s. How many bytes came (with MSG_TRUNC,
 * how many there were), 0: the end; or -errno, but not -EINTR. */
ssize_t pass_fd_receive(int socket, void *data, size_t size, int *ret_fd, int flags) must_check;

#endif
