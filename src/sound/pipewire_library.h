/* SPDX-License-Identifier: MIT */
/* libpipewire, loaded when the first machine with the host's sound is opened: see block/nbd_library.h for
 * why it is not linked. */
#ifndef VZ_SOUND_PIPEWIRE_LIBRARY_H
#define VZ_SOUND_PIPEWIRE_LIBRARY_H

#include <pipewire/pipewire.h>

#include "base/compiler.h"
#include "base/error.h"

/* What is used of it, without the pw_ before. */
#define PIPEWIRE_FUNCTIONS(X)                                                                        \
    X(context_connect) X(context_destroy) X(context_get_data_loop) X(context_new) X(core_disconnect) \
    X(data_loop_invoke) X(init) X(loop_destroy)                                                     \
    X(loop_new) X(properties_new) X(properties_setf) X(stream_add_listener) X(stream_connect)       \
    X(stream_dequeue_buffer) X(stream_destroy) X(stream_flush) X(stream_get_time_n) X(stream_new)    \
    X(stream_queue_buffer) X(stream_set_active)

struct pipewire_library {
#define X(name) __typeof__(pw_##name) *name;
    PIPEWIRE_FUNCTIONS(X)
#undef X
};

/* All of it NULL before pipewire_library_load() returned 0, the same for ever after. */
extern struct pipewire_library libpipewire;

/* See late_library_load(). */
int pipewire_library_load(struct vz_error *err) must_check;

#endif
