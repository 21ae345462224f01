/* SPDX-License-Identifier: MIT */
/* What a graphics device shows, and who looks at it.
 *
 * A display has scanouts (monitors, as the guest sees it). The device draws into images, says which
 * part of which image a scanout shows, and tells what has changed there. Viewers look at one scanout
 * each; any number of them. An image lies in one file in memory that all images of a display share, so
 * another process maps that once, and finds each picture by its offset.
 *
 * A pixel is 4 bytes, blue first: little-endian 0x00RRGGBB; the highest byte means nothing, but in
 * cursors, where it is alpha.
 *
 * Nobody waits for anybody. The device draws into an image that is shown while viewers read it: a
 * viewer that has to know asks display_view_is_whole() after it has read, and is told of the change in
 * any case. Damage that a viewer has not taken is joined, and it is woken once for it; without a viewer
 * or a change nobody is woken.
 *
 * Threads: the device's functions on the machine's loop thread, or while that does not run; the
 * viewers' on any thread, one at a time for each viewer. */
#ifndef VZ_DISPLAY_DISPLAY_H
#define VZ_DISPLAY_DISPLAY_H

#include "base/compiler.h"
#include "display/damage.h"

struct display;
struct display_view;
struct vz_error;

#define DISPLAY_SCANOUTS_MAX 16u
#define DISPLAY_SIDE_MAX     16384u /* pixels, of an image */
#define DISPLAY_CURSOR_SIDE  64u

struct display_size {
    uint32_t width, height; /* pixels */
};

struct display_cursor {
    bool visible;
    int32_t x, y;                /* of its upper left corner, in the scanout; may lie outside */
    uint32_t hot_x, hot_y;       /* the pixel that points, in the image */
    uint32_t width, height;      /* up to DISPLAY_CURSOR_SIDE */
    uint32_t pixels[DISPLAY_CURSOR_SIDE * DISPLAY_CURSOR_SIDE]; /* 0xAARRGGBB, premultiplied; width a row */
};

struct display_options {
    unsigned scanouts;                              /* 1 to DISPLAY_SCANOUTS_MAX */
    struct display_size size[DISPLAY_SCANOUTS_MAX]; /* at first */
    uint64_t memory_max;                            /* bytes of all images together */
    /* Optional; loop thread. The size of what a scanout shows is about to change (because the host
     * wants that, or the guest has), and then has changed, or will not. */
    void (*reconfigured)(void *arg, unsigned scanout, bool done);
    void *arg;
};

/* A reference. 0 or -errno with err. */
int display_new(const struct display_options *options, struct display **ret,
                struct vz_error *err) must_check;
struct display *display_ref(struct display *d);
void display_unref(struct display *d); /* NULL is fine; any thread */

unsigned display_scanouts(const struct display *d);
/* The size that the host wants. Any thread. */
struct display_size display_wish(struct display *d, unsigned scanout);
/* What it shows now, any thread; false: nothing, and ret is the wish. */
bool display_shown(struct display *d, unsigned scanout, struct display_size *ret);

/* ---- For the device ------------------------------------------------------------------------- */

struct display_image;

/* An image of zeros, width * 4 bytes a row; the caller's reference. NULL: there is no room for it in
 * memory_max. width and height: 1 to DISPLAY_SIDE_MAX. */
struct display_image *display_image_new(struct display *d, uint32_t width, uint32_t height);
void display_image_unref(struct display_image *image); /* NULL is fine; any thread */
uint8_t *display_image_pixels(struct display_image *image);

/* Around all drawing into an image. */
void display_image_begin(struct display_image *image);
void display_image_end(struct display_image *image);

/* From now on the scanout shows rect of image (inside it); a reference is taken. NULL: nothing. */
void display_show(struct display *d, unsigned scanout, struct display_image *image,
                  const struct display_rect *rect);
/* Does anybody look? It begins on the device's thread, and may end at any time. */
bool display_is_watched(struct display *d, unsigned scanout);
/* Would a viewer take what changes now? No: all have yet to take an earlier change; once, as soon as one does, the call
 * that display_call_when_taken() has set is made. */
bool display_is_awaited(struct display *d, unsigned scanout);
/* fn: any thread, under the display's lock, so it calls nothing of the display's. NULL: no more, from now on. */
void display_call_when_taken(struct display *d, void (*fn)(void *arg, unsigned scanout), void *arg);
/* What has changed, in pixels of the scanout; parts outside are left out. */
void display_damage(struct display *d, unsigned scanout, const struct display_rect *rect);
void display_set_cursor(struct display *d, unsigned scanout, const struct display_cursor *cursor);
void display_move_cursor(struct display *d, unsigned scanout, int32_t x, int32_t y);
/* The host wants another size. followed: there is a driver that may follow. */
void display_set_wish(struct display *d, unsigned scanout, struct display_size size, bool followed);
/* The driver is gone: nothing is shown. */
void display_clear(struct display *d);
/* The machine has ended: nothing will come any more, and viewers are told. */
void display_end(struct display *d);

/* ---- For viewers ---------------------------------------------------------------------------- */

struct display_update {
    bool ended;                /* the machine has; what is shown stays the last picture */
    bool resized;              /* the size is another one than at the last update */
    bool cursor_changed;       /* how it looks; or whether it is visible */
    bool cursor_moved;
    bool shown;                /* is there a picture? If not, pixels is NULL and the size is the wish */
    struct display_size size;
    const uint8_t *pixels;     /* stays mapped until the next update of this viewer */
    uint32_t stride;           /* bytes from row to row */
    uint64_t offset;           /* of pixels in the file */
    struct damage damage;      /* since the last update; all of it at first, and when it is another image */
};

/* A viewer of a scanout; it keeps the display alive. All is damaged at first. 0 or -errno with err. On the thread of the
 * device, which is to be told. */
int display_view_new(struct display *d, unsigned scanout, struct display_view **ret,
                     struct vz_error *err) must_check;
void display_view_free(struct display_view *view); /* NULL is fine */

/* Readable while there is something to take. For poll() only. */
int display_view_fd(const struct display_view *view);
/* The file in memory, to be mapped read-only, and its size. */
int display_view_memory(const struct display_view *view, uint64_t *ret_size);

/* Take what there is. False: nothing has changed; ret is filled in all the same. */
bool display_view_update(struct display_view *view, struct display_update *ret);
/* When display_end() was called, whether the view has been told or not; 0: it was not. */
uint64_t display_view_ended_ns(const struct display_view *view);
/* Has nobody drawn into the picture since the update? */
bool display_view_is_whole(const struct display_view *view);
void display_view_cursor(const struct display_view *view, struct display_cursor *ret);

#endif
