/* SPDX-License-Identifier: MIT */
#ifndef VZ_TOOLS_SEND_FD_H
#define VZ_TOOLS_SEND_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* One send() to a socket, with MSG_NOSIGNAL besides flags. fd goes along, and stays the caller's; -1: none does. */
ssize_t send_with_fd(int to, const void *data, size_t len, int fd, int flags);

/* One recvmsg(). *ret_fd: what came along, closed on exec; -1: nothing did. */
ssize_t receive_with_fd(int from, void *data, size_t size, int flags, int *ret_fd);

/* Is a descriptor that has come a file in memory, of which no call waits for anybody? Others may be of a file system whose
 * server answers when it likes. -1 is none. */
bool fd_is_memory(int fd);
/* Close one that has come, without waiting for such a server: a thread of its own does. When 32 of those wait already, it
 * stays open. -1 is fine. */
void close_received(int fd);

#endif
