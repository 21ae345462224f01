/* SPDX-License-Identifier: MIT */
/* What a backend of char/ is, for char.c and the backends only. */
#ifndef VZ_CHAR_CHAR_BACKEND_H
#define VZ_CHAR_CHAR_BACKEND_H

#include <pthread.h>
#include <sys/types.h>

#include "char/char.h"
#include "loop/loop.h"

/* All on the loop thread, except where the loop does not run. */
struct char_ops {
    const char *name;
    /* Write some of data without blocking. Returns how many bytes, or -EAGAIN: call again after
     * char_backend_writable(); other -errno: the host end is dead. */
    ssize_t (*write)(struct char_dev *c, const uint8_t *data, size_t len);
    /* Does the client want input now? Optional: NULL for a backend that has none. */
    void (*want_input)(struct char_dev *c, bool wanted);
    /* Wait for the host to take more, for char_drain(). 0 or -ETIMEDOUT. */
    int (*wait)(struct char_dev *c, int timeout_ms);
    /* The guest's program opened or closed its end. Optional. */
    void (*guest_opened)(struct char_dev *c, bool open);
    /* Let go of descriptors and loop handlers: no call comes after that. Optional. */
    void (*close)(struct char_dev *c);
};

struct char_dev {
    const struct char_ops *ops;
    struct loop *loop;
    uint32_t trace;                   /* base/trace.h; constant */
    const char *path;                 /* constant; NULL: none */
    bool no_peer;                     /* loop thread */
    char *name;                       /* constant; NULL: as ops say */
    struct char_stats *sum;           /* constant; NULL: nobody counts */
    _Atomic unsigned *lost;           /* constant; NULL: nobody counts */
    const struct char_client *client; /* loop thread */
    void *client_arg;
    struct loop_work flush_work, input_work;
    pthread_mutex_t lock; /* for all that follows; a leaf: nothing is called under it */
    uint8_t buffer[CHAR_BUFFER_SIZE];
    size_t head, used;    /* bytes waiting for the host: used of them from head on, in a ring */
    bool starved;         /* a short write; writable() is owed */
    bool dead;            /* the host end failed: output is dropped */
};

/* c lies at the start of its backend's struct, which char_destroy() frees. */
int char_backend_init(struct char_dev *c, const struct char_ops *ops, struct loop *loop);

/* The host takes output again. Loop thread. */
void char_backend_writable(struct char_dev *c);

/* How many bytes the client takes now; then hand it that many at most. Loop thread. */
size_t char_backend_room(struct char_dev *c);
void char_backend_receive(struct char_dev *c, const uint8_t *data, size_t len);

/* A peer came or went. Loop thread. */
void char_backend_opened(struct char_dev *c, bool open);

#endif
