/* SPDX-License-Identifier: MIT */
/* What a backend of sound/ is, for sound_core.c and the backends only. */
#ifndef VZ_SOUND_SOUND_BACKEND_H
#define VZ_SOUND_SOUND_BACKEND_H

#include <pthread.h>

#include "sound/sound.h"
#include "sound/sound_ring.h"

struct loop_timer;

/* All on the loop thread, or while the loop does not run, with the lock not held. */
struct sound_ops {
    const char *name;
    /* Optional. As in sound.h; s->params are the new ones, and the ring is there. */
    int (*prepare)(struct sound *s);
    int (*start)(struct sound *s);
    void (*stop)(struct sound *s);
    /* So many frames' time has passed by the clock: move them, by sound_give() or sound_take(). Called
     * while it runs and is clocked. */
    void (*pass)(struct sound *s, uint64_t frames);
    uint32_t (*latency)(const struct sound *s); /* optional, bytes */
    /* Optional. Let go of all; s is freed by who calls it. */
    void (*close)(struct sound *s);
};

/* At the start of a backend's struct. A host with a thread of its own (PipeWire's) moves samples in that
 * thread, under the lock, while it runs and is not clocked; it says host_moved in any case. It never waits for
 * the lock. All else is the loop thread's. */
struct sound {
    const struct sound_ops *ops;
    struct loop *loop;
    enum sound_direction direction;
    struct sound_caps caps;
    void (*moved)(void *arg);
    void *moved_arg;
    struct loop_timer *timer;
    uint64_t since_ns; /* CLOCK_MONOTONIC: from this time on frames are counted */
    uint64_t passed;   /* of them, those that have been moved */
    _Atomic bool host_moved; /* set by the host's thread, cleared when it was seen */

    pthread_mutex_t lock; /* a leaf; changed under it by the loop thread: */
    struct sound_params params;
    unsigned frame_bytes; /* 0: not prepared */
    struct sound_ring ring; /* where it is; what goes through needs no lock */
    bool running;
    bool clocked; /* by CLOCK_MONOTONIC: the host has no clock, or stands still */
};

/* Make a backend's struct of size bytes. NULL without memory, with err. */
void *sound_backend_new(const struct sound_ops *ops, size_t size, struct loop *loop,
                        enum sound_direction direction, struct vz_error *err);

/* Output: the next frames out of the ring, and silence for what is not there. to NULL: nobody hears it. */
void sound_take(struct sound *s, void *to, uint64_t frames);
/* Input: frames into the ring, as many as have room. data NULL: silence. */
void sound_give(struct sound *s, const void *data, uint64_t frames);
#endif
