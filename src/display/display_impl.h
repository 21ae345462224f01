/* SPDX-License-Identifier: MIT */
/* A display from the inside: its memory (display_memory.c), what is shown (display.c), viewers
 * (display_view.c). */
#ifndef VZ_DISPLAY_DISPLAY_IMPL_H
#define VZ_DISPLAY_DISPLAY_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "display/display.h"

/* Constant but for the counts. */
struct display_image {
    atomic_uint refs;
    atomic_uint writes; /* odd: somebody draws */
    struct display_memory *memory;
    uint64_t offset, len; /* in the file, whole pages */
    uint32_t width, height;
    uint8_t *pixels;
    TAILQ_ENTRY(display_image) link; /* memory->lock */
};

/* One file for all images; counted, since images live as long as somebody looks at them. */
struct display_memory {
    atomic_uint refs;
    int fd, fd_ro; /* the same file; what others are given cannot be written through */
    uint64_t size;
    uint8_t *base;
    pthread_mutex_t lock; /* a leaf */
    TAILQ_HEAD(, display_image) images; /* by offset */
};

int display_memory_new(uint64_t size, struct display_memory **ret, struct vz_error *err) must_check;
void display_memory_unref(struct display_memory *m);
struct display_image *display_memory_image(struct display_memory *m, uint32_t width, uint32_t height);
struct display_image *display_image_ref(struct display_image *image); /* NULL gives NULL */

/* Under the display's lock. */
struct display_scanout {
    struct display_size wish;
    struct display_image *image; /* NULL: nothing is shown */
    struct display_rect rect;    /* of it */
    struct display_cursor cursor;
    bool changing;               /* reconfigured() has told of a beginning */
    bool late;                   /* taken() is to be called when a viewer takes something */
    LIST_HEAD(, display_view) views;
};

struct display {
    atomic_uint refs;
    struct display_options options; /* constant */
    struct display_memory *memory;  /* constant */
    pthread_mutex_t lock;           /* over all scanouts and what views have to take; a leaf but for memory's */
    uint64_t ended_ns; /* 0: it has not */
    void (*taken)(void *arg, unsigned scanout); /* NULL: nobody wants to know */
    void *taken_arg;
    struct display_scanout scanout[DISPLAY_SCANOUTS_MAX];
};

/* What waits for a viewer. Under the display's lock. */
struct display_pending {
    bool any, image, cursor, moved, ended;
    struct damage damage;
};

struct display_view {
    struct display *display; /* constant, as the next two */
    struct display_scanout *scanout;
    int fd;
    LIST_ENTRY(display_view) link;  /* the display's lock, as the next */
    struct display_pending pending;
    /* The viewer's. */
    struct display_image *image; /* of the last update */
    unsigned writes;             /* of it, then */
    bool seen;
    struct display_size size;
    struct display_cursor cursor;
};

/* Wake it. */
void display_view_tell_locked(struct display_view *v);
/* The size of what a scanout shows, or is to show. */
struct display_size display_scanout_size_locked(const struct display_scanout *s);

#endif
