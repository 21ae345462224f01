/* SPDX-License-Identifier: MIT */
/* One writer, or any number of readers, of a file. */
#ifndef VZ_BASE_FILE_LOCK_H
#define VZ_BASE_FILE_LOCK_H

#include "base/compiler.h"

struct vz_error;

/* Lock what is open as fd for as long as its open file description lives: others may read it, or, for
 * a writer, nobody may use it. name: for messages. Waits 0.4 s for a process that is just ending. 0;
 * or -EBUSY, VZ_ERROR_INVALID, with the holder named where that can be known. */
int file_lock(int fd, bool read_only, const char *name, struct vz_error *err) must_check;

#endif
