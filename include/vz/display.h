/* SPDX-License-Identifier: MIT */
/* A graphics device and its displays: what a machine has, and while it runs, how large its displays are and what
 * they show. Apple's: VZVirtioGraphicsDeviceConfiguration, VZVirtioGraphicsScanoutConfiguration,
 * VZGraphicsDisplay, VZGraphicsDisplayObserver (whose calls are in struct vz_machine_delegate).
 *
 * A display is one monitor of a graphics device, and counted from 0 as its scanout in the configuration. */
#ifndef VZ_DISPLAY_H
#define VZ_DISPLAY_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vz_machine;

/* ---- Configuration -------------------------------------------------------------------------- */

#define VZ_SCANOUTS_MAX     16
#define VZ_DISPLAY_SIDE_MIN 64    /* pixels */
#define VZ_DISPLAY_SIDE_MAX 16384

VZ_DECLARE_COUNTED(graphics_device);

struct vz_graphics_scanout { /* start from VZ_GRAPHICS_SCANOUT_INIT */
    size_t size;
    uint32_t width, height; /* pixels, VZ_DISPLAY_SIDE_MIN to _MAX: what the guest is offered at first */
};
#define VZ_GRAPHICS_SCANOUT_INIT                                                                   \
    VZ_INIT_(struct vz_graphics_scanout, VZ_SET_(width, 1280) VZ_SET_(height, 800))

struct vz_virtio_graphics_options { /* start from VZ_VIRTIO_GRAPHICS_OPTIONS_INIT */
    size_t size;
    const struct vz_graphics_scanout *scanouts; /* of this many; copied. NULL: one of 1280 x 800 */
    unsigned scanout_count;                     /* up to VZ_SCANOUTS_MAX */
};
#define VZ_VIRTIO_GRAPHICS_OPTIONS_INIT VZ_INIT_(struct vz_virtio_graphics_options, )

/**
 * Describe a virtio GPU, in two dimensions. The guest's drawings take memory of the host besides the guest's own:
 * up to 256 MiB, and 64 MiB more for each scanout but the first.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size, too many scanouts) or
 * VZ_ERROR_NO_MEMORY. Sizes are checked by vz_config_validate(). Since 0.4. */
VZ_PUBLIC struct vz_graphics_device *
vz_virtio_graphics_device_new(const struct vz_virtio_graphics_options *options, struct vz_error *err);

/* ---- Displays of a machine ------------------------------------------------------------------ */

struct vz_display_state { /* start from VZ_DISPLAY_STATE_INIT */
    size_t size;
    uint32_t width, height; /* pixels: of the picture there is, or that the guest is asked for */
    uint32_t wanted_width, wanted_height; /* what the guest is asked for */
    bool shown;             /* does the guest show anything? */
};
#define VZ_DISPLAY_STATE_INIT VZ_INIT_(struct vz_display_state, )

/**
 * How large a display of a live machine is now.
 * Returns 0; or -1 with VZ_ERROR_DEVICE_NOT_FOUND, VZ_ERROR_INVALID_STATE (not live) or VZ_ERROR_INVALID (a struct
 * of an unknown size). Any thread. Since 0.4. */
VZ_PUBLIC int vz_machine_display_state(struct vz_machine *machine, unsigned device, unsigned display,
                                       struct vz_display_state *ret, struct vz_error *err);

/**
 * Ask the guest of a live machine for another size of a display. It is told at once, and follows when and if it likes;
 * the delegate hears of the beginning and of the end. Until the machine stops. Sizes out of range are moved into it.
 * Returns 0; or -1 with VZ_ERROR_DEVICE_NOT_FOUND or VZ_ERROR_INVALID_STATE (not live). Any thread. Since 0.4. */
VZ_PUBLIC int vz_machine_reconfigure_display(struct vz_machine *machine, unsigned device,
                                             unsigned display, uint32_t width, uint32_t height,
                                             struct vz_error *err);

/* ---- Looking at a display ------------------------------------------------------------------- */

/* Somebody who looks at one display. Any number of them; nobody waits for anybody, and while the screen is still,
 * nothing happens. Threads: any, one at a time for each view. */
struct vz_display_view;

/**
 * Look at a display of a live machine.
 * Returns a view, to be freed also when the machine has ended; or NULL with VZ_ERROR_DEVICE_NOT_FOUND,
 * VZ_ERROR_INVALID_STATE (not live), VZ_ERROR_NO_MEMORY or VZ_ERROR_IO (no descriptor). Since 0.4. */
VZ_PUBLIC struct vz_display_view *vz_display_view_new(struct vz_machine *machine, unsigned device,
                                                      unsigned display, struct vz_error *err);
/* What vz_display_view_update() gave is gone then. NULL is fine. Since 0.4. */
VZ_PUBLIC void vz_display_view_free(struct vz_display_view *view);

/* Readable while there is something for vz_display_view_update(), as there is at first. The view's, for poll() only.
 * Since 0.4. */
VZ_PUBLIC int vz_display_view_fd(const struct vz_display_view *view);

/* The file in memory in which all pictures of the graphics device lie, to be mapped (PROT_READ, MAP_SHARED) or given
 * to another process; it does not change. The view's. *ret_size: its bytes. Since 0.4. */
VZ_PUBLIC int vz_display_view_memory(const struct vz_display_view *view, uint64_t *ret_size);

#define VZ_DAMAGE_MAX 16

struct vz_display_rect {
    uint32_t x, y, width, height;
};

/* What there is to see. A pixel has 4 bytes: blue, green, red, and one that means nothing. */
struct vz_display_update { /* start from VZ_DISPLAY_UPDATE_INIT */
    size_t size;
    uint32_t width, height; /* pixels */
    uint32_t stride;        /* bytes from row to row */
    const uint8_t *pixels;  /* of this picture, until the next update of this view, and as long as that; the guest may
                               draw on meanwhile. NULL: the guest shows nothing */
    uint64_t offset;        /* of them in vz_display_view_memory() */
    struct vz_display_rect damage[VZ_DAMAGE_MAX]; /* what has changed since the last update; everything at first, */
    unsigned damage_count;                        /* and when the guest shows another picture */
    bool resized;           /* the size is another one than before */
    bool ended;             /* the machine has stopped: nothing will come any more */
    bool cursor_changed;    /* see vz_display_view_cursor() */
    bool cursor_moved;
};
#define VZ_DISPLAY_UPDATE_INIT VZ_INIT_(struct vz_display_update, )

/**
 * Take what has changed. Never waits.
 * Returns 1; 0 when nothing has changed, and ret says what there is; or -1 with VZ_ERROR_INVALID (a struct of an unknown
 * size). Since 0.4. */
VZ_PUBLIC int vz_display_view_update(struct vz_display_view *view, struct vz_display_update *ret,
                                     struct vz_error *err);

/* Has the guest drawn nothing into the picture since the update? Who has copied pixels and hears false may have parts of
 * two pictures; the descriptor tells when the next one is there. Since 0.4. */
VZ_PUBLIC bool vz_display_view_is_whole(const struct vz_display_view *view);

#define VZ_CURSOR_SIDE_MAX 64

struct vz_display_cursor { /* start from VZ_DISPLAY_CURSOR_INIT */
    size_t size;
    bool visible;
    int32_t x, y;           /* of its upper left corner, on the display; may lie outside of it */
    uint32_t hot_x, hot_y;  /* the pixel that points, from there */
    uint32_t width, height; /* up to VZ_CURSOR_SIDE_MAX */
    const uint32_t *pixels; /* 0xAARRGGBB, premultiplied, width a row; until the next update of this view */
};
#define VZ_DISPLAY_CURSOR_INIT VZ_INIT_(struct vz_display_cursor, )

/* The pointer as the guest has it drawn beside the picture, as of the last update. Returns 0, or -1 with
 * VZ_ERROR_INVALID (a struct of an unknown size). Since 0.4. */
VZ_PUBLIC int vz_display_view_cursor(const struct vz_display_view *view, struct vz_display_cursor *ret,
                                     struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
