/* SPDX-License-Identifier: MIT */
/* Each snapshot, and each fork of a running machine, puts a layer on its disks, and no disk may have more than so
 * many of them. So from some number on what is below the topmost layer, which nobody writes any more, becomes one
 * image: it is read through all of them into a new file, which takes the place of the uppermost of them by one
 * rename. Both read the same, so it does not matter when that happens, nor to whom: a machine that runs, snapshots,
 * forks' links and other layers on it go on, and after a crash it is the old or the new. */
#ifndef VZ_TOOLS_FLATTEN_H
#define VZ_TOOLS_FLATTEN_H

#include "bundle/bundle.h"

#define FLATTEN_LAYERS_MAX 62u /* of what gets a layer: a disk has 64 at most, and one of them may be thrown away */

/* Before a layer is put on: where there would soon be no room for another one, do it here and now. Whoever does not
 * hold the lock for changes may call this. What goes wrong is said, and no more than that: there is room until there
 * is none. */
void flatten_where_full(const struct bundle *b);

/* After that: where it is time, have it done by a process of its own, which nobody waits for, and which comes last.
 * What goes wrong is tried again the next time. The caller has one thread. */
void flatten_behind(const struct bundle *b);

#endif
