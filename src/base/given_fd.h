/* SPDX-License-Identifier: MIT */
/* Descriptors that somebody else has given us. Their files may lie on a file system whose server answers when it likes,
 * or never: each call that asks it, close() among them, waits for it. */
#ifndef VZ_BASE_GIVEN_FD_H
#define VZ_BASE_GIVEN_FD_H

#include "base/compiler.h"

/* Is it a file in memory (memfd_create()), of which no call waits for anybody? -1 is none. */
bool given_fd_is_memory(int fd) must_check;

/* Close it without waiting: what is no file in memory is closed by a thread of its own. When 32 of those wait already,
 * it stays open. -1 is fine. */
void given_fd_close(int fd);

#endif
