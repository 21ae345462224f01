/* SPDX-License-Identifier: MIT */
/* Making a machine like another one. */
#ifndef VZ_TOOLS_CLONE_H
#define VZ_TOOLS_CLONE_H

#include <stdint.h>

#include "bundle/bundle.h"

/* Fill a draft with what from has: all files that its configuration names and that lie in its folder, and
 * the configuration with a new identity. Files outside stay where they are; one that both machines would
 * write is refused. from is locked for both uses; unless full, its own disks may become layers
 * (qcow2) on files that are not written any more. progress as in copy.h. -1 and err, and from is as
 * good as before. */
int clone_fill(struct bundle *from, struct bundle *to, bool full,
               bool (*progress)(void *arg, uint64_t done, uint64_t total), void *arg, struct vz_error *err);

#endif
