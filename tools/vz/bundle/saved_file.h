/* SPDX-License-Identifier: MIT */
/* The file from which a machine that is off goes on: its own (BUNDLE_STATE), or a link of one that others go on from,
 * too (BUNDLE_COPY). The latter counts for nothing in a folder that a loss of power caught before it was on stable
 * storage (settle.h): it may be one that the machine has gone on from already, and its disks are others since. */
#ifndef VZ_TOOLS_SAVED_FILE_H
#define VZ_TOOLS_SAVED_FILE_H

#include "bundle/bundle.h"

/* Its name; NULL: it would boot. */
const char *saved_file(const struct bundle *b);

/* The machine is about to go on from it, and there is none any more, also after a crash. -1 and err. */
int saved_file_use_up(const struct bundle *b, struct vz_error *err);

/* Whatever there is of them is gone, also after a crash. -1 and err. */
int saved_file_drop(const struct bundle *b, struct vz_error *err);

#endif
