/* SPDX-License-Identifier: MIT */
/* Folders that are not there yet, or not any more. A machine's folder is made under a name that nobody
 * looks at (".NAME.vz.XXXXXX", beside its place) and renamed when it is whole, and renamed so before it
 * is removed. So whenever a process dies, a machine is there or it is not. What it leaves is known by
 * its name, and by nobody holding its lock: draft_sweep(). */
#ifndef VZ_TOOLS_DRAFT_H
#define VZ_TOOLS_DRAFT_H

#include "bundle/bundle.h"

/* Make an empty folder for a machine that is to be called so (a name or a path), locked. Its name and path
 * are those it will have. -1 and err where that is taken, or it cannot be made. Sweeps first. */
int draft_begin(const char *machine, struct bundle *ret, struct vz_error *err);
/* Without the sweep: one more in the same place. */
int draft_begin_another(const char *machine, struct bundle *ret, struct vz_error *err);

/* It is whole: put it on stable storage and in its place. -1 and err, also if the place has been taken
 * meanwhile; it is a draft still then. */
int draft_publish(struct bundle *b, struct vz_error *err);

/* Several in one place, count of them and at least one; *ret_published of them are machines, the first ones. soon: they are
 * started next, which sees to stable storage (settle.h). */
int draft_publish_all(struct bundle *b, unsigned count, bool soon, unsigned *ret_published, struct vz_error *err);

/* Remove it, and bundle_close(). */
void draft_abandon(struct bundle *b);

/* Remove a machine, which the caller has locked (BUNDLE_RUN), and bundle_close(). -1 and err, and it is
 * there as before. */
int bundle_remove(struct bundle *b, struct vz_error *err);

/* Give it another name or place on the same file system; the caller has locked it. */
int bundle_move(struct bundle *b, const char *to, struct vz_error *err);

#endif
