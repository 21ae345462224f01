/* SPDX-License-Identifier: MIT */
/* The GPU device from the inside: the queues and events (virtio_gpu.c), commands (gpu_commands.c),
 * scanouts and cursors (gpu_scanout.c), resources (gpu_resource.c). */
#ifndef VZ_VIRTIO_GPU_IMPL_H
#define VZ_VIRTIO_GPU_IMPL_H

#include <linux/virtio_gpu.h>
#include <stdatomic.h>

#include "display/renewal.h"
#include "virtio/virtio_gpu.h"

/* What is not copying takes as long as copying so many bytes: a command, and a piece of memory that is found. */
#define GPU_COMMAND_COST 4096u
#define GPU_ENTRY_COST   1024u

/* A piece of guest memory. Neighbours are one. */
struct gpu_entry {
    uint64_t gpa, len;
    /* Found again after a load. */
    uint64_t at; /* in the resource's bytes */
    const uint8_t *host;
};

struct gpu_resource {
    uint32_t id;
    bool blob;              /* guest memory without a format; else it has all that follows */
    uint32_t format, width, height;
    uint64_t size;          /* bytes, of a blob */
    struct gpu_entry *entry;
    uint32_t entries;
    uint64_t backing;       /* bytes of all entries; 0: none is attached */
    struct display_image *image; /* NULL: blob */
    struct state_blob pixels; /* the image's, or what was loaded until there is one */
};

struct gpu_scanout {
    struct display_size wish;
    uint32_t resource;      /* 0: shows nothing */
    struct display_rect rect;
    /* Of a blob: how the guest's pixels lie in it. */
    uint32_t format, stride, offset;
    struct display_image *frame; /* NULL: no blob is shown */
    bool fresh;             /* the frame has not been shown yet */
    bool stale;             /* the frame is yet to be copied as a whole, and shown: when it is flushed, or looked at */
    struct damage owed;     /* of the frame: flushed, and not copied yet, since no viewer waits */
    uint64_t due_ns;        /* a viewer waits for it, and has it by then; 0: none does, nor is it resting */
    bool resting;           /* until due_ns it is not looked whether what was flushed differs */
    struct display_cursor cursor;
    uint32_t cursor_resource;
};

struct gpu {
    struct virtio_dev dev;
    struct display *display;
    unsigned scanouts;
    struct gpu_scanout scanout[VIRTIO_GPU_MAX_SCANOUTS];
    bool wish_untold;   /* a wish has changed since the guest last asked for all of them */
    bool clear_events;  /* the guest has cleared EVENT_DISPLAY, which is yet to be looked at */
    struct gpu_resource *resource;
    uint32_t resources;
    uint64_t entries;   /* of all resources */
    uint64_t copied;    /* bytes in this turn, or what took as long */
    struct loop_work taken;  /* a viewer has taken a picture, and there is a later one, */
    atomic_uint took;        /* of these scanouts, */
    struct loop_timer *late; /* which is copied when the first is due */
};

/* ---- gpu_resource.c: functions that can fail return a response (VIRTIO_GPU_RESP_*) ----------- */

extern const struct state_field gpu_resource_state[];
const struct pixel_format *gpu_format(uint32_t format); /* NULL: there is none of that number */
struct gpu_resource *gpu_find(struct gpu *g, uint32_t id); /* until resources come or go */
uint32_t gpu_create_2d(struct gpu *g, const struct virtio_gpu_resource_create_2d *c);
/* Take count entries of the chain from off on. */
uint32_t gpu_create_blob(struct gpu *g, const struct virtio_gpu_resource_create_blob *c,
                         const struct virtq_chain *chain);
uint32_t gpu_attach(struct gpu *g, struct gpu_resource *r, uint32_t count,
                    const struct virtq_chain *chain, size_t off);
void gpu_detach(struct gpu *g, struct gpu_resource *r);
void gpu_resource_destroy(struct gpu *g, struct gpu_resource *r);
void gpu_resources_clear(struct gpu *g);
/* From the resource's memory, where row y of rect begins at offset + y * stride, into dst. All of it is
 * inside; see gpu_backing_holds(). */
void gpu_copy_rows(struct gpu *g, const struct gpu_resource *r, uint64_t offset, uint64_t stride,
                   uint32_t width, uint32_t height, uint8_t *dst, size_t dst_stride,
                   enum pixel_order order);
/* The same over what lies at dst: where that differs is added to ret. rect: of dst, in the scanout's pixels. */
void gpu_renew_rows(struct gpu *g, const struct gpu_resource *r, uint64_t offset, uint64_t stride,
                    const struct display_rect *rect, uint8_t *dst, size_t dst_stride, enum pixel_order order,
                    struct damage *ret);
/* Are those bytes there? */
bool gpu_backing_holds(const struct gpu_resource *r, uint64_t offset, uint64_t stride, uint32_t width,
                       uint32_t height);
uint32_t gpu_transfer(struct gpu *g, const struct virtio_gpu_transfer_to_host_2d *c);
int gpu_resources_loaded(struct gpu *g, struct vz_error *err);

/* ---- virtio_gpu.c: on the loop's thread, or with the machine still --------------------------- */

/* Of one of the scanouts due_ns has changed. */
void gpu_arm_late(struct gpu *g);

/* ---- gpu_scanout.c -------------------------------------------------------------------------- */

extern const struct state_field gpu_scanout_state[];
uint32_t gpu_set_scanout(struct gpu *g, const struct virtio_gpu_set_scanout *c);
uint32_t gpu_set_scanout_blob(struct gpu *g, const struct virtio_gpu_set_scanout_blob *c);
uint32_t gpu_flush(struct gpu *g, const struct virtio_gpu_resource_flush *c);
/* Copy and show what SET_SCANOUT_BLOB has left for a flush that has not come, and what nobody has looked at before. */
void gpu_scanouts_refresh(struct gpu *g);
/* Copy what was flushed while no viewer waited: if one does now, or for whoever comes to the last picture. */
void gpu_scanouts_settle(struct gpu *g, bool is_last);
/* No scanout shows the resource any more. */
void gpu_scanouts_forget(struct gpu *g, uint32_t resource);
void gpu_scanouts_clear(struct gpu *g);
void gpu_update_cursor(struct gpu *g, const struct virtio_gpu_update_cursor *c);
int gpu_scanouts_loaded(struct gpu *g, struct vz_error *err);

/* ---- gpu_commands.c ------------------------------------------------------------------------- */

/* Do what the control queue's chain says and answer it. */
void gpu_command(struct gpu *g, struct virtq_chain *c);

#endif
