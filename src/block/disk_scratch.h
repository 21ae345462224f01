/* SPDX-License-Identifier: MIT */
/* Files that end with the process. */
#ifndef VZ_BLOCK_DISK_SCRATCH_H
#define VZ_BLOCK_DISK_SCRATCH_H

#include "base/compiler.h"

struct vz_error;

/* An empty file without a name, for reading and writing, in the folder that TMPDIR names, else in
 * /var/tmp: on a disk, not in memory. Its descriptor, or -errno with err filled in. */
int disk_scratch_file(struct vz_error *err) must_check;

#endif
