/* SPDX-License-Identifier: MIT */
/* Unix sockets that listen at a path of the file system. */
#ifndef VZ_BASE_UNIX_SOCKET_H
#define VZ_BASE_UNIX_SOCKET_H

#include "base/compiler.h"

/* Is there, at path, a socket that nobody listens on: left behind by a process that was killed? */
bool unix_socket_is_stale(const char *path);

/* A stream socket that listens at path and does not block; a stale socket there is replaced. Once
 * done, path is the caller's to unlink. Returns the descriptor, or -errno: -ENAMETOOLONG,
 * -EADDRINUSE (something else is there), ... */
int unix_socket_listen(const char *path, int backlog) must_check;

#endif
