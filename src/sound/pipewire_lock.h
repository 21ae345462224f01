/* SPDX-License-Identifier: MIT */
/* The library, where a machine has a sandbox: what it would load when a guest first plays is loaded while files can be
 * opened, and the thread that it makes locks itself as our own threads do. */
#ifndef VZ_SOUND_PIPEWIRE_LOCK_H
#define VZ_SOUND_PIPEWIRE_LOCK_H

#include "sound/pipewire_library.h"

/* In the thread that turns the library's loop; without a policy for its threads (base/thread.h) nothing is done. 0 or
 * -errno with err. */
int pipewire_lock(struct pw_context *context, struct pw_core *core, struct vz_error *err) must_check;

#endif
