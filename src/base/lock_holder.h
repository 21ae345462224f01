/* SPDX-License-Identifier: MIT */
/* Who has a file locked, for messages. */
#ifndef VZ_BASE_LOCK_HOLDER_H
#define VZ_BASE_LOCK_HOLDER_H

#include "base/compiler.h"

#define LOCK_HOLDER_MAX 64u

/* "qemu-img (process 1234)" of a process that holds a lock on what is open as fd, by another
 * descriptor; false where none is seen: other users' processes are not. */
bool lock_holder(int fd, char ret[LOCK_HOLDER_MAX]);

#endif
