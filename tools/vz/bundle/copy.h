/* SPDX-License-Identifier: MIT */
/* Copies of files of a machine's folder. */
#ifndef VZ_TOOLS_COPY_H
#define VZ_TOOLS_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include <vz/error.h>

/* Copy a file, by sharing its blocks where the file system can (then it costs nothing), else what is not a
 * hole. The new one is on stable storage. Names are relative to the folders' descriptors. progress may be
 * NULL; where it returns false, and after other failures, nothing is left of the new one.
 * -1 and err: VZ_ERROR_CANCELLED, VZ_ERROR_IO, VZ_ERROR_OUT_OF_DISK_SPACE. */
int copy_file(int from_folder, const char *from, int to_folder, const char *to,
              bool (*progress)(void *arg, uint64_t done, uint64_t total), void *arg,
              struct vz_error *err);

/* Have it share the other one's blocks; false: this file system cannot, and nothing is there. */
bool copy_by_reflink(int from_folder, const char *from, int to_folder, const char *to);

#endif
