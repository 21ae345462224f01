/* SPDX-License-Identifier: MIT */
/* Resources of the GPU: pictures and pieces of guest memory, with what they are copied from. Sections of
 * VIRTIO 1.2 in brackets. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "virtio/gpu_impl.h"

/* Of one image: those of a saved state are as large as a display's memory at most. */
#define PIXELS_MAX (4 * (uint64_t)DISPLAY_SIDE_MAX * DISPLAY_SIDE_MAX)

/* ---- Formats [5.7.6.8] ---------------------------------------------------------------------- */

const struct pixel_format *gpu_format(uint32_t format)
{
    static const struct {
        uint32_t number;
        struct pixel_format format;
    } formats[] = {
        {VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, {PIXEL_BGRA, true}},
        {VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, {PIXEL_BGRA, false}},
        {VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM, {PIXEL_ARGB, true}},
        {VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM, {PIXEL_ARGB, false}},
        {VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM, {PIXEL_RGBA, true}},
        {VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM, {PIXEL_ABGR, false}},
        {VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM, {PIXEL_ABGR, true}},
        {VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM, {PIXEL_RGBA, false}},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        if (formats[i].number == format)
            return &formats[i].format;
    }
    return NULL;
}

/* ---- The list ------------------------------------------------------------------------------- */

struct gpu_resource *gpu_find(struct gpu *g, uint32_t id)
{
    for (uint32_t i = 0; id && i < g->resources; i++) {
        if (g->resource[i].id == id)
            return &g->resource[i];
    }
    return NULL;
}

static uint32_t no_memory(const char *what)
{
    log_once(LOG_WARN, "virtio-gpu: the guest wants more %s than it may have", what);
    return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
}

static bool append(struct gpu *g, const struct gpu_resource *r)
{
    struct gpu_resource *list = g->resources < GPU_RESOURCES_MAX
                                    ? realloc(g->resource, (g->resources + 1) * sizeof(*list))
                                    : NULL;

    if (!list)
        return false;
    g->resource = list;
    list[g->resources++] = *r;
    return true;
}

static void free_contents(struct gpu *g, struct gpu_resource *r)
{
    gpu_detach(g, r);
    if (!r->image)
        free(r->pixels.data);
    display_image_unref(r->image);
}

void gpu_resource_destroy(struct gpu *g, struct gpu_resource *r)
{
    free_contents(g, r);
    *r = g->resource[--g->resources];
}

void gpu_resources_clear(struct gpu *g)
{
    while (g->resources)
        gpu_resource_destroy(g, &g->resource[g->resources - 1]);
    free(g->resource);
    g->resource = NULL;
}

/* ---- Guest memory [5.7.6.8: ATTACH_BACKING] -------------------------------------------------- */

/* What is counted is what is kept, so no more is. */
static void give_back_rest(struct gpu_resource *r)
{
    struct gpu_entry *fewer = realloc(r->entry, ((size_t)r->entries + 1) * sizeof(*fewer));

    if (fewer)
        r->entry = fewer;
}

/* Entries that are RAM; false: one is not. Neighbours in both address spaces become one. */
static bool find_entries(struct gpu *g, struct gpu_resource *r)
{
    uint32_t kept = 0;

    r->backing = 0;
    for (uint32_t i = 0; i < r->entries; i++) {
        struct gpu_entry e = r->entry[i], *last = kept ? &r->entry[kept - 1] : NULL;

        if (!e.len)
            continue;
        e.host = mem_ptr(g->dev.mem, e.gpa, e.len, MEM_READ);
        e.at = r->backing;
        if (!e.host || !add_u64(r->backing, e.len, &r->backing))
            return false;
        if (last && last->gpa + last->len == e.gpa && last->host + last->len == e.host)
            last->len += e.len;
        else
            r->entry[kept++] = e;
    }
    r->entries = kept;
    if (r->entry)
        give_back_rest(r);
    return true;
}

static uint32_t read_entries(struct gpu *g, struct gpu_resource *r, uint32_t count,
                             const struct virtq_chain *chain, size_t off)
{
    struct virtio_gpu_mem_entry e;

    r->entry = calloc((size_t)count + 1, sizeof(*r->entry));
    if (!r->entry)
        return no_memory("memory");
    for (r->entries = 0; r->entries < count; r->entries++) {
        if (virtq_read(chain, off + r->entries * sizeof(e), &e, sizeof(e)) < sizeof(e))
            return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
        r->entry[r->entries] = (struct gpu_entry){.gpa = le64toh(e.addr), .len = le32toh(e.length)};
    }
    return find_entries(g, r) ? VIRTIO_GPU_RESP_OK_NODATA : VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
}

static void drop_entries(struct gpu_resource *r)
{
    free(r->entry);
    r->entry = NULL;
    r->entries = 0;
    r->backing = 0;
}

uint32_t gpu_attach(struct gpu *g, struct gpu_resource *r, uint32_t count,
                    const struct virtq_chain *chain, size_t off)
{
    uint32_t response;

    if (r->entry)
        return VIRTIO_GPU_RESP_ERR_UNSPEC; /* it has some [5.7.6.8] */
    if (count > GPU_RESOURCE_ENTRIES_MAX || count > GPU_ENTRIES_MAX - g->entries)
        return no_memory("pieces of memory");
    if (chain->out_len < off || (chain->out_len - off) / sizeof(struct virtio_gpu_mem_entry) < count)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    g->copied += (uint64_t)count * GPU_ENTRY_COST;
    response = read_entries(g, r, count, chain, off);
    if (response != VIRTIO_GPU_RESP_OK_NODATA)
        drop_entries(r);
    g->entries += r->entries;
    return response;
}

void gpu_detach(struct gpu *g, struct gpu_resource *r)
{
    g->entries -= r->entries;
    drop_entries(r);
}

/* ---- Making them ---------------------------------------------------------------------------- */

static uint32_t may_create(struct gpu *g, uint32_t id)
{
    if (!id || gpu_find(g, id))
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    return g->resources < GPU_RESOURCES_MAX ? VIRTIO_GPU_RESP_OK_NODATA : no_memory("resources");
}

static bool size_is_good(uint32_t width, uint32_t height)
{
    return width && height && width <= DISPLAY_SIDE_MAX && height <= DISPLAY_SIDE_MAX;
}

static uint32_t make_image(struct gpu *g, struct gpu_resource *r)
{
    r->image = display_image_new(g->display, r->width, r->height);
    if (!r->image)
        return no_memory("memory for pictures");
    r->pixels = (struct state_blob){display_image_pixels(r->image), (uint64_t)r->width * r->height * 4};
    return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_create_2d(struct gpu *g, const struct virtio_gpu_resource_create_2d *c)
{
    struct gpu_resource r = {.id = le32toh(c->resource_id), .format = le32toh(c->format),
                             .width = le32toh(c->width), .height = le32toh(c->height)};
    uint32_t response = may_create(g, r.id);

    if (response != VIRTIO_GPU_RESP_OK_NODATA)
        return response;
    if (!gpu_format(r.format) || !size_is_good(r.width, r.height))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    response = make_image(g, &r);
    if (response == VIRTIO_GPU_RESP_OK_NODATA && !append(g, &r)) {
        display_image_unref(r.image);
        return no_memory("resources");
    }
    return response;
}

uint32_t gpu_create_blob(struct gpu *g, const struct virtio_gpu_resource_create_blob *c,
                         const struct virtq_chain *chain)
{
    struct gpu_resource r = {.id = le32toh(c->resource_id), .blob = true, .size = le64toh(c->size)};
    uint32_t response = may_create(g, r.id);

    if (response != VIRTIO_GPU_RESP_OK_NODATA)
        return response;
    /* We have no memory of our own to offer [5.7.6.8]. */
    if (le32toh(c->blob_mem) != VIRTIO_GPU_BLOB_MEM_GUEST || !r.size)
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    response = gpu_attach(g, &r, le32toh(c->nr_entries), chain, sizeof(*c));
    if (response != VIRTIO_GPU_RESP_OK_NODATA)
        return response;
    if (r.backing < r.size)
        response = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    else if (!append(g, &r))
        response = no_memory("resources");
    if (response != VIRTIO_GPU_RESP_OK_NODATA)
        gpu_detach(g, &r);
    return response;
}

/* ---- Copying -------------------------------------------------------------------------------- */

bool gpu_backing_holds(const struct gpu_resource *r, uint64_t offset, uint64_t stride, uint32_t width,
                       uint32_t height)
{
    uint64_t rows, end, size = r->blob ? MIN(r->size, r->backing) : r->backing;

    return mul_u64(stride, height - 1, &rows) && add_u64(offset, rows, &end) &&
           add_u64(end, (uint64_t)width * 4, &end) && end <= size;
}

/* The entry that has byte at. */
static uint32_t entry_at(const struct gpu_resource *r, uint64_t at)
{
    uint32_t low = 0, high = r->entries;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (r->entry[middle].at <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Where pixels go. */
struct target {
    enum pixel_order order;
    struct renewal *renewal; /* NULL: whatever is there is written over */
};

static void put(const struct target *t, uint32_t x, uint8_t *dst, const uint8_t *src, uint64_t count)
{
    if (t->renewal)
        renewal_put(t->renewal, x, dst, src, count, t->order);
    else
        pixels_copy(dst, src, count, t->order);
}

/* A pixel that lies in two pieces, or more. */
static void copy_split(const struct gpu_resource *r, uint32_t i, uint64_t at, const struct target *t, uint32_t x,
                       uint8_t *dst)
{
    uint8_t pixel[4];

    for (unsigned n = 0; n < 4; n++, at++) {
        while (at >= r->entry[i].at + r->entry[i].len)
            i++;
        pixel[n] = r->entry[i].host[at - r->entry[i].at];
    }
    put(t, x, dst, pixel, 1);
}

/* count pixels from byte at on; x: where the row begins in the picture, which matters to what is renewed alone. */
static void copy_row(const struct gpu_resource *r, uint64_t at, uint64_t count, const struct target *t, uint32_t x,
                     uint8_t *dst)
{
    uint32_t i = entry_at(r, at);

    while (count) {
        const struct gpu_entry *e = &r->entry[i];
        uint64_t off = at - e->at, n = off < e->len ? MIN(count, (e->len - off) / 4) : 0;

        if (n) {
            put(t, x, dst, e->host + off, n);
        } else if (off < e->len) {
            n = 1;
            copy_split(r, i, at, t, x, dst);
        } else {
            i++;
            continue;
        }
        at += 4 * n;
        x += (uint32_t)n;
        dst += 4 * n;
        count -= n;
    }
}

void gpu_copy_rows(struct gpu *g, const struct gpu_resource *r, uint64_t offset, uint64_t stride,
                   uint32_t width, uint32_t height, uint8_t *dst, size_t dst_stride,
                   enum pixel_order order)
{
    const struct target t = {.order = order};

    g->copied += (uint64_t)width * height * 4;
    if (stride == (uint64_t)width * 4 && dst_stride == stride) {
        copy_row(r, offset, (uint64_t)width * height, &t, 0, dst);
        return;
    }
    for (uint32_t y = 0; y < height; y++)
        copy_row(r, offset + y * stride, width, &t, 0, dst + y * dst_stride);
}

void gpu_renew_rows(struct gpu *g, const struct gpu_resource *r, uint64_t offset, uint64_t stride,
                    const struct display_rect *rect, uint8_t *dst, size_t dst_stride, enum pixel_order order,
                    struct damage *ret)
{
    struct renewal renewal = {0};
    const struct target t = {.order = order, .renewal = &renewal};

    g->copied += (uint64_t)rect->width * rect->height * 4;
    for (uint32_t y = 0; y < rect->height; y += RENEWAL_TILE) {
        const uint32_t height = MIN(RENEWAL_TILE, rect->height - y);

        for (uint32_t n = y; n < y + height; n++)
            copy_row(r, offset + n * stride, rect->width, &t, rect->x, dst + n * dst_stride);
        renewal_end(&renewal, &(struct display_rect){rect->x, rect->y + y, rect->width, height}, ret);
    }
}

/* [5.7.6.8: TRANSFER_TO_HOST_2D]. Of a blob nothing is transferred: it is read when it is flushed. */
uint32_t gpu_transfer(struct gpu *g, const struct virtio_gpu_transfer_to_host_2d *c)
{
    struct gpu_resource *r = gpu_find(g, le32toh(c->resource_id));
    const struct display_rect rect = {le32toh(c->r.x), le32toh(c->r.y), le32toh(c->r.width),
                                      le32toh(c->r.height)};
    uint64_t stride;

    if (!r)
        return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (r->blob)
        return VIRTIO_GPU_RESP_OK_NODATA;
    if (!r->backing)
        return VIRTIO_GPU_RESP_ERR_UNSPEC;
    stride = (uint64_t)r->width * 4;
    if (!display_rect_fits(&rect, r->width, r->height) ||
        !gpu_backing_holds(r, le64toh(c->offset), stride, rect.width, rect.height))
        return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
    display_image_begin(r->image);
    gpu_copy_rows(g, r, le64toh(c->offset), stride, rect.width, rect.height,
                  r->pixels.data + rect.y * stride + (uint64_t)rect.x * 4, stride, gpu_format(r->format)->order);
    display_image_end(r->image);
    return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---- State ---------------------------------------------------------------------------------- */

static const struct state_field entry_state[] = {
    STATE_UINT(struct gpu_entry, gpa), STATE_UINT(struct gpu_entry, len), STATE_END};

const struct state_field gpu_resource_state[] = {
    STATE_UINT(struct gpu_resource, id),
    STATE_BOOL(struct gpu_resource, blob),
    STATE_UINT(struct gpu_resource, format),
    STATE_UINT(struct gpu_resource, width),
    STATE_UINT(struct gpu_resource, height),
    STATE_UINT(struct gpu_resource, size),
    STATE_LIST(struct gpu_resource, entry, entries, GPU_RESOURCE_ENTRIES_MAX, entry_state),
    STATE_BLOB(struct gpu_resource, pixels, PIXELS_MAX),
    STATE_END,
};

/* What was loaded goes into an image; until that is there, it is the resource's own. */
static bool load_image(struct gpu *g, struct gpu_resource *r)
{
    struct state_blob loaded = r->pixels;

    if (!gpu_format(r->format) || !size_is_good(r->width, r->height) ||
        loaded.len != (uint64_t)r->width * r->height * 4 || make_image(g, r) != VIRTIO_GPU_RESP_OK_NODATA)
        return false;
    memcpy(r->pixels.data, loaded.data, loaded.len);
    free(loaded.data);
    return true;
}

static bool load_resource(struct gpu *g, struct gpu_resource *r)
{
    for (uint32_t i = 0; &g->resource[i] < r; i++) {
        if (g->resource[i].id == r->id)
            return false;
    }
    if (!r->id || !find_entries(g, r) || (r->blob && (!r->size || r->backing < r->size)))
        return false;
    return r->blob ? !r->pixels.len : load_image(g, r);
}

int gpu_resources_loaded(struct gpu *g, struct vz_error *err)
{
    bool good = true;

    g->entries = 0;
    for (uint32_t i = 0; i < g->resources; i++) {
        good = good && load_resource(g, &g->resource[i]);
        g->entries += g->resource[i].entries;
    }
    if (!good || g->entries > GPU_ENTRIES_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "virtio-gpu: a resource that there cannot be");
    return 0;
}
