/* SPDX-License-Identifier: MIT */
/* What the GPU's scanouts show, and their cursors. Sections of VIRTIO 1.2 in brackets.
 *
 * A 2D resource's image is shown as it is. A blob has none: a scanout that shows one has a frame, into which
 * is copied what is flushed, while somebody looks, and as often as that takes it: a guest that flushes more often has
 * the pictures between dropped. What does not differ from the frame is not written, and no viewer is told of it. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "virtio/gpu_impl.h"

static struct display_rect rect_of(const struct virtio_gpu_rect *r)
{
    return (struct display_rect){le32toh(r->x), le32toh(r->y), le32toh(r->width), le32toh(r->height)};
}

/* ---- Showing [5.7.6.8] ---------------------------------------------------------------------- */

static void drop_frame(struct gpu_scanout *s)
{
    display_image_unref(s->frame);
    s->frame = NULL;
    s->stale = false;
    s->owed.count = 0;
}

static void show_nothing(struct gpu *g, unsigned i)
{
    struct gpu_scanout *s = &g->scanout[i];

    display_show(g->display, i, NULL, NULL);
    drop_frame(s);
    s->resource = 0;
}

void gpu_scanouts_forget(struct gpu *g, uint32_t resource)
{
    for (unsigned i = 0; i < g->scanouts; i++) {
        if (g->scanout[i].resource == resource)
            show_nothing(g, i);
    }
}

static void show_image(struct gpu *g, unsigned i, const struct gpu_resource *r,
                       const struct display_rect *rect)
{
    struct gpu_scanout *s = &g->scanout[i];

    display_show(g->display, i, r->image, rect);
    drop_frame(s);
    s->resource = r->id;
    s->rect = *rect;
}

uint32_t gpu_set_scanout(struct gpu *g, const struct virtio_gpu_set_scanout *c)
{
    uint32_t i = le32toh(c->scanout_id), id = le32toh(c->resource_id);
    const struct display_rect rect = rect_of(&c->r);
    const struct gpu_resource *r = gpu_find(g, id);

    if (i >= g->scanouts)
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    if (id && (!r || r->blob))
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (r && !display_rect_fits(&rect, r->width, r->height))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    if (r)
        show_image(g, i, r, &rect);
    else
        show_nothing(g, i);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---- Blobs ---------------------------------------------------------------------------------- */

#define REST_NS 16000000u /* a guest that flushes what has not changed is looked at no more often */

/* Where a pixel of a scanout lies in the resource that it shows. */
static uint64_t place(const struct gpu_scanout *s, uint32_t x, uint32_t y)
{
    return s->offset + ((uint64_t)s->rect.y + y) * s->stride + ((uint64_t)s->rect.x + x) * 4;
}

/* A frame that nobody has seen yet gets all of it. */
static void fill(struct gpu *g, struct gpu_scanout *s)
{
    display_image_begin(s->frame);
    gpu_copy_rows(g, gpu_find(g, s->resource), place(s, 0, 0), s->stride, s->rect.width, s->rect.height,
                  display_image_pixels(s->frame), (size_t)s->rect.width * 4, gpu_format(s->format)->order);
    display_image_end(s->frame);
}

/* Of the part of a frame that is owed, what differs. */
static void renew(struct gpu *g, struct gpu_scanout *s, const struct display_rect *part, struct damage *differs)
{
    size_t row = (size_t)s->rect.width * 4;

    display_image_begin(s->frame);
    gpu_renew_rows(g, gpu_find(g, s->resource), place(s, part->x, part->y), s->stride, part,
                   display_image_pixels(s->frame) + part->y * row + (size_t)part->x * 4, row,
                   gpu_format(s->format)->order, differs);
    display_image_end(s->frame);
}

/* There was nothing new. What comes meanwhile is looked at when the timer says so. */
static void rest(struct gpu *g, struct gpu_scanout *s)
{
    s->resting = true;
    s->due_ns = clock_mono_ns() + REST_NS;
    gpu_arm_late(g);
}

/* Copy what is owed, if a viewer waits. Else it would only be exchanged for something later: the display says when a
 * viewer has taken what it has been told of, and it is copied with the flush that comes next, or a little later. */
static void settle(struct gpu *g, unsigned i, bool is_last)
{
    struct gpu_scanout *s = &g->scanout[i];
    struct damage differs = {0};

    if (!s->owed.count || ((s->resting || !display_is_awaited(g->display, i)) && !is_last))
        return;
    for (unsigned n = 0; n < s->owed.count; n++)
        renew(g, s, &s->owed.rect[n], &differs);
    for (unsigned n = 0; n < differs.count; n++)
        display_damage(g->display, i, &differs.rect[n]);
    s->owed.count = 0;
    s->due_ns = 0;
    if (!differs.count && !is_last)
        rest(g, s);
}

void gpu_scanouts_settle(struct gpu *g, bool is_last)
{
    for (unsigned i = 0; i < g->scanouts; i++)
        settle(g, i, is_last);
}

/* Show the frame. What nobody sees is not copied: it stays stale. */
static void refresh(struct gpu *g, unsigned i)
{
    struct gpu_scanout *s = &g->scanout[i];
    const struct display_rect all = {0, 0, s->rect.width, s->rect.height};

    s->stale = !display_is_watched(g->display, i);
    s->owed.count = 0;
    if (!s->stale && s->fresh)
        fill(g, s); /* before it is shown */
    else if (!s->stale)
        damage_add(&s->owed, &all);
    s->fresh = false;
    display_show(g->display, i, s->frame, &all);
    settle(g, i, false);
}

void gpu_scanouts_refresh(struct gpu *g)
{
    for (unsigned i = 0; i < g->scanouts; i++) {
        if (g->scanout[i].stale)
            refresh(g, i);
    }
}

/* Does all that a scanout shows of a blob lie in it? */
static bool blob_fits(const struct gpu_resource *r, const struct gpu_scanout *s)
{
    uint64_t at = s->offset + (uint64_t)s->rect.y * s->stride + (uint64_t)s->rect.x * 4;

    return gpu_backing_holds(r, at, s->stride, s->rect.width, s->rect.height);
}

/* The frame of before, where it has the size. NULL: no memory. */
static struct display_image *frame_for(struct gpu *g, const struct gpu_scanout *before,
                                       const struct display_rect *rect)
{
    if (before->frame && before->rect.width == rect->width && before->rect.height == rect->height)
        return before->frame;
    return display_image_new(g->display, rect->width, rect->height);
}

uint32_t gpu_set_scanout_blob(struct gpu *g, const struct virtio_gpu_set_scanout_blob *c)
{
    uint32_t i = le32toh(c->scanout_id), id = le32toh(c->resource_id);
    const struct gpu_resource *r = gpu_find(g, id);
    struct gpu_scanout *s, is;

    if (i >= g->scanouts)
        return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
    s = &g->scanout[i];
    if (!id) {
        show_nothing(g, i);
        return VIRTIO_GPU_RESP_OK_NODATA;
    }
    if (!r || !r->blob)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    is = *s;
    is.resource = id;
    is.rect = rect_of(&c->r);
    is.format = le32toh(c->format);
    is.stride = le32toh(c->strides[0]);
    is.offset = le32toh(c->offsets[0]);
    if (!gpu_format(is.format) || is.rect.width > DISPLAY_SIDE_MAX || is.rect.height > DISPLAY_SIDE_MAX ||
        !display_rect_fits(&is.rect, le32toh(c->width), le32toh(c->height)) || !blob_fits(r, &is))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    is.frame = frame_for(g, s, &is.rect);
    if (!is.frame)
        return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
    is.fresh = s->fresh || is.frame != s->frame;
    if (is.frame != s->frame)
        display_image_unref(s->frame);
    is.stale = true;
    is.owed.count = 0;
    *s = is;
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---- Flushing ------------------------------------------------------------------------------- */

/* A scanout shows part of the resource, and of that some was flushed. */
static void flush_scanout(struct gpu *g, unsigned i, const struct gpu_resource *r,
                          const struct display_rect *flushed)
{
    struct gpu_scanout *s = &g->scanout[i];
    struct display_rect part;

    s->stale = s->stale || (r->blob && !display_is_watched(g->display, i));
    if (s->stale) {
        refresh(g, i);
        return;
    }
    if (!display_rect_intersect(flushed, &s->rect, &part))
        return;
    part.x -= s->rect.x;
    part.y -= s->rect.y;
    if (!r->blob) {
        display_damage(g->display, i, &part);
        return;
    }
    damage_add(&s->owed, &part);
    settle(g, i, false);
}

uint32_t gpu_flush(struct gpu *g, const struct virtio_gpu_resource_flush *c)
{
    const struct gpu_resource *r = gpu_find(g, le32toh(c->resource_id));
    const struct display_rect rect = rect_of(&c->r);

    if (!r)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (!r->blob && !display_rect_fits(&rect, r->width, r->height))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    for (unsigned i = 0; i < g->scanouts; i++) {
        if (g->scanout[i].resource == r->id)
            flush_scanout(g, i, r, &rect);
    }
    return VIRTIO_GPU_RESP_OK_NODATA;
}

void gpu_scanouts_clear(struct gpu *g)
{
    for (unsigned i = 0; i < g->scanouts; i++) {
        show_nothing(g, i);
        g->scanout[i].cursor.visible = false;
        g->scanout[i].cursor_resource = 0;
    }
    display_clear(g->display);
}

/* ---- Cursors [5.7.6.10] --------------------------------------------------------------------- */

/* A format without alpha has cursors without holes. */
static void make_opaque(struct display_cursor *cursor)
{
    for (size_t i = 0; i < (size_t)cursor->width * cursor->height; i++)
        cursor->pixels[i] |= 0xff000000;
}

/* False: the resource is none that a cursor can be. */
static bool read_cursor(struct gpu *g, const struct gpu_resource *r, struct display_cursor *cursor)
{
    const uint64_t row = DISPLAY_CURSOR_SIDE * 4;

    cursor->width = r->blob ? DISPLAY_CURSOR_SIDE : r->width;
    cursor->height = r->blob ? DISPLAY_CURSOR_SIDE : r->height;
    if (cursor->width > DISPLAY_CURSOR_SIDE || cursor->height > DISPLAY_CURSOR_SIDE)
        return false;
    if (!r->blob)
        memcpy(cursor->pixels, r->pixels.data, (size_t)cursor->width * cursor->height * 4);
    else if (gpu_backing_holds(r, 0, row, DISPLAY_CURSOR_SIDE, DISPLAY_CURSOR_SIDE))
        gpu_copy_rows(g, r, 0, row, DISPLAY_CURSOR_SIDE, DISPLAY_CURSOR_SIDE,
                      (uint8_t *)cursor->pixels, row, PIXEL_BGRA);
    else
        return false;
    if (!r->blob && !gpu_format(r->format)->alpha)
        make_opaque(cursor);
    return true;
}

void gpu_update_cursor(struct gpu *g, const struct virtio_gpu_update_cursor *c)
{
    uint32_t i = le32toh(c->pos.scanout_id), id = le32toh(c->resource_id);
    const struct gpu_resource *r = gpu_find(g, id);
    struct display_cursor *cursor;

    if (i >= g->scanouts)
        return;
    cursor = &g->scanout[i].cursor;
    cursor->x = (int32_t)le32toh(c->pos.x);
    cursor->y = (int32_t)le32toh(c->pos.y);
    if (le32toh(c->hdr.type) == VIRTIO_GPU_CMD_MOVE_CURSOR) {
        display_move_cursor(g->display, i, cursor->x, cursor->y);
        return;
    }
    cursor->visible = r && read_cursor(g, r, cursor);
    if (cursor->visible) {
        cursor->hot_x = MIN(le32toh(c->hot_x), cursor->width - 1);
        cursor->hot_y = MIN(le32toh(c->hot_y), cursor->height - 1);
    }
    display_set_cursor(g->display, i, cursor);
}

/* ---- State ---------------------------------------------------------------------------------- */

static const struct state_field size_state[] = {
    STATE_UINT_MAX(struct display_size, width, DISPLAY_SIDE_MAX),
    STATE_UINT_MAX(struct display_size, height, DISPLAY_SIDE_MAX), STATE_END};
static const struct state_field rect_state[] = {
    STATE_UINT(struct display_rect, x), STATE_UINT(struct display_rect, y),
    STATE_UINT(struct display_rect, width), STATE_UINT(struct display_rect, height), STATE_END};
static const struct state_field cursor_state[] = {
    STATE_BOOL(struct display_cursor, visible),
    STATE_UINT(struct display_cursor, x),
    STATE_UINT(struct display_cursor, y),
    STATE_UINT_MAX(struct display_cursor, width, DISPLAY_CURSOR_SIDE),
    STATE_UINT_MAX(struct display_cursor, height, DISPLAY_CURSOR_SIDE),
    STATE_UINT_MAX(struct display_cursor, hot_x, DISPLAY_CURSOR_SIDE - 1),
    STATE_UINT_MAX(struct display_cursor, hot_y, DISPLAY_CURSOR_SIDE - 1),
    STATE_ARRAY(struct display_cursor, pixels),
    STATE_END,
};

const struct state_field gpu_scanout_state[] = {
    STATE_STRUCT(struct gpu_scanout, wish, size_state),
    STATE_UINT(struct gpu_scanout, resource),
    STATE_STRUCT(struct gpu_scanout, rect, rect_state),
    STATE_UINT(struct gpu_scanout, format),
    STATE_UINT(struct gpu_scanout, stride),
    STATE_UINT(struct gpu_scanout, offset),
    STATE_STRUCT(struct gpu_scanout, cursor, cursor_state),
    STATE_END,
};

static bool load_blob(struct gpu *g, unsigned i, const struct gpu_resource *r)
{
    struct gpu_scanout *s = &g->scanout[i];

    if (!gpu_format(s->format) || !s->rect.width || !s->rect.height || s->rect.width > DISPLAY_SIDE_MAX ||
        s->rect.height > DISPLAY_SIDE_MAX || !blob_fits(r, s))
        return false;
    s->frame = display_image_new(g->display, s->rect.width, s->rect.height);
    s->fresh = true;
    if (s->frame)
        refresh(g, i);
    return s->frame != NULL;
}

static bool load_scanout(struct gpu *g, unsigned i)
{
    struct gpu_scanout *s = &g->scanout[i];
    const struct gpu_resource *r = gpu_find(g, s->resource);

    if (!s->wish.width || !s->wish.height || (s->resource && !r))
        return false;
    display_set_wish(g->display, i, s->wish, false);
    display_set_cursor(g->display, i, &s->cursor);
    if (!r)
        return true;
    if (r->blob)
        return load_blob(g, i, r);
    if (!display_rect_fits(&s->rect, r->width, r->height))
        return false;
    display_show(g->display, i, r->image, &s->rect);
    return true;
}

int gpu_scanouts_loaded(struct gpu *g, struct vz_error *err)
{
    for (unsigned i = 0; i < g->scanouts; i++) {
        if (!load_scanout(g, i))
            return error_set(err, EINVAL, VZ_ERROR_INVALID,
                             "virtio-gpu: scanout %u shows what it cannot", i);
    }
    return 0;
}
