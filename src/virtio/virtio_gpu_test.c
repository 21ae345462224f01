/* SPDX-License-Identifier: MIT */
#include "virtio/virtio_gpu.h"

#include <linux/virtio_gpu.h>
#include <unistd.h>

#include "fake_virtio_driver.h"
#include "unit.h"

#define FEATURES (BIT(VIRTIO_GPU_F_EDID) | BIT(VIRTIO_GPU_F_RESOURCE_BLOB))
#define OK       VIRTIO_GPU_RESP_OK_NODATA
#define COMMAND  0x3f0000u /* where the test writes commands, and gets answers */
#define ANSWER   0x3f8000u
#define PIXELS   FV_DATA
#define PIECES   0x700000u

struct rig {
    struct fv v;
    struct display *display;
    struct display_view *view;
    struct display_update update;
};

static void set_up(struct rig *r)
{
    const struct display_options o = {.scanouts = 2, .size = {{64, 32}, {40, 30}}, .memory_max = MIB};
    struct virtio_gpu_options gpu;

    ck_assert_int_eq(display_new(&o, &r->display, NULL), 0);
    gpu.display = r->display;
    fv_create(&r->v, &virtio_gpu_ops, &gpu);
    ck_assert_int_eq(display_view_new(r->display, 0, &r->view, NULL), 0);
}

static void begin(struct rig *r)
{
    set_up(r);
    fv_start(&r->v, FEATURES, 16);
}

static void end(struct rig *r)
{
    fv_destroy(&r->v);
    display_view_free(r->view);
    display_unref(r->display);
}

/* A command of len bytes there and back: what it was answered with. */
static uint32_t send(struct rig *r, const void *command, size_t len)
{
    const struct fv_buf buf[2] = {{COMMAND, (uint32_t)len, false}, {ANSWER, 4096, true}};
    struct virtio_gpu_ctrl_hdr h;

    memcpy(fv_at(&r->v, COMMAND), command, len);
    memset(fv_at(&r->v, ANSWER), 0xee, sizeof(h));
    ck_assert_uint_ge(fv_request(&r->v, 0, buf, 2), sizeof(h));
    memcpy(&h, fv_at(&r->v, ANSWER), sizeof(h));
    return h.type;
}

#define SEND(r, type_, command, ...)                                                               \
    send(r, &(struct virtio_gpu_##command){.hdr.type = VIRTIO_GPU_CMD_##type_, __VA_ARGS__},       \
         sizeof(struct virtio_gpu_##command))

static uint32_t create(struct rig *r, uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
    return SEND(r, RESOURCE_CREATE_2D, resource_create_2d, .resource_id = id, .format = format,
                .width = width, .height = height);
}

/* Pieces of memory behind a command. */
static uint32_t send_with(struct rig *r, const void *command, size_t size,
                          const struct virtio_gpu_mem_entry *e, unsigned count)
{
    uint8_t all[4096];

    memcpy(all, command, size);
    memcpy(all + size, e, count * sizeof(*e));
    return send(r, all, size + count * sizeof(*e));
}

static uint32_t attach(struct rig *r, uint32_t id, const struct virtio_gpu_mem_entry *e, unsigned count)
{
    const struct virtio_gpu_resource_attach_backing c = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, .resource_id = id, .nr_entries = count};

    return send_with(r, &c, sizeof(c), e, count);
}

static uint32_t attach_one(struct rig *r, uint32_t id, uint64_t gpa, uint32_t len)
{
    return attach(r, id, &(struct virtio_gpu_mem_entry){.addr = gpa, .length = len}, 1);
}

static uint32_t show(struct rig *r, uint32_t scanout, uint32_t id, struct virtio_gpu_rect rect)
{
    return SEND(r, SET_SCANOUT, set_scanout, .r = rect, .scanout_id = scanout, .resource_id = id);
}

static uint32_t transfer(struct rig *r, uint32_t id, uint64_t offset, struct virtio_gpu_rect rect)
{
    return SEND(r, TRANSFER_TO_HOST_2D, transfer_to_host_2d, .r = rect, .offset = offset,
                .resource_id = id);
}

static uint32_t flush(struct rig *r, uint32_t id, struct virtio_gpu_rect rect)
{
    return SEND(r, RESOURCE_FLUSH, resource_flush, .r = rect, .resource_id = id);
}

static uint32_t create_blob(struct rig *r, uint32_t id, uint64_t size,
                            const struct virtio_gpu_mem_entry *e, unsigned count)
{
    const struct virtio_gpu_resource_create_blob c = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, .resource_id = id, .size = size,
        .blob_mem = VIRTIO_GPU_BLOB_MEM_GUEST, .nr_entries = count};

    return send_with(r, &c, sizeof(c), e, count);
}

/* Every pixel another one, in ours: 0x00RRGGBB. */
static uint32_t pixel(unsigned x, unsigned y)
{
    return (x * 37 + y * 91 + 5) * 2654435761u & 0xffffff;
}

/* As it lies in memory, in a format of the specification. */
static void put_pixel(uint8_t *at, uint32_t format, uint32_t rgb)
{
    static const struct {
        uint32_t format;
        char order[5];
    } orders[] = {{1, "BGRA"}, {2, "BGRX"}, {3, "ARGB"}, {4, "XRGB"},
                  {67, "RGBA"}, {68, "XBGR"}, {121, "ABGR"}, {134, "RGBX"}};

    for (unsigned i = 0; i < ARRAY_SIZE(orders); i++) {
        for (unsigned k = 0; orders[i].format == format && k < 4; k++) {
            switch (orders[i].order[k]) {
            case 'R': at[k] = (uint8_t)(rgb >> 16); break;
            case 'G': at[k] = (uint8_t)(rgb >> 8); break;
            case 'B': at[k] = (uint8_t)rgb; break;
            default: at[k] = 0x5a; break;
            }
        }
    }
}

static void draw(struct rig *r, uint64_t gpa, uint32_t stride, uint32_t format, unsigned width,
                 unsigned height)
{
    for (unsigned y = 0; y < height; y++) {
        for (unsigned x = 0; x < width; x++)
            put_pixel((uint8_t *)fv_at(&r->v, gpa + y * stride) + 4 * x, format, pixel(x, y));
    }
}

static uint32_t seen(const struct display_update *u, unsigned x, unsigned y)
{
    uint32_t v;

    memcpy(&v, u->pixels + (size_t)y * u->stride + 4 * x, 4);
    return v & 0xffffff;
}

/* The view has what was drawn, from (x0, y0) of it on. */
static void check_picture(struct rig *r, unsigned x0, unsigned y0, unsigned width, unsigned height)
{
    display_view_update(r->view, &r->update);
    ck_assert(r->update.shown);
    ck_assert_uint_eq(r->update.size.width, width);
    ck_assert_uint_eq(r->update.size.height, height);
    for (unsigned y = 0; y < height; y++) {
        for (unsigned x = 0; x < width; x++)
            ck_assert_uint_eq(seen(&r->update, x, y), pixel(x0 + x, y0 + y));
    }
}

static const struct virtio_gpu_rect whole = {0, 0, 64, 32};

/* A resource of 64 x 32 with memory at PIXELS, shown. */
static void show_picture(struct rig *r, uint32_t id)
{
    ck_assert_uint_eq(create(r, id, 2, 64, 32), OK);
    ck_assert_uint_eq(attach_one(r, id, PIXELS, 64 * 32 * 4), OK);
    ck_assert_uint_eq(show(r, 0, id, whole), OK);
    draw(r, PIXELS, 256, 2, 64, 32);
}

/* ---- Pictures ------------------------------------------------------------------------------- */

START_TEST(pictures_of_every_format_are_seen)
{
    static const uint32_t formats[] = {1, 2, 3, 4, 67, 68, 121, 134};
    struct rig r;

    begin(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        ck_assert_uint_eq(create(&r, i + 1, formats[i], 64, 32), OK);
        ck_assert_uint_eq(attach_one(&r, i + 1, PIXELS, 64 * 32 * 4), OK);
        draw(&r, PIXELS, 256, formats[i], 64, 32);
        ck_assert_uint_eq(transfer(&r, i + 1, 0, whole), OK);
        ck_assert_uint_eq(show(&r, 0, i + 1, whole), OK);
        ck_assert_uint_eq(flush(&r, i + 1, whole), OK);
        check_picture(&r, 0, 0, 64, 32);
    }
    ck_assert_uint_ne(create(&r, 99, 5, 64, 32), OK);
    end(&r);
}
END_TEST

START_TEST(only_what_was_transferred_changes)
{
    const struct virtio_gpu_rect part = {10, 4, 20, 7};
    struct rig r;

    begin(&r);
    show_picture(&r, 1);
    ck_assert_uint_eq(transfer(&r, 1, 4 * 256 + 40, part), OK);
    ck_assert_uint_eq(flush(&r, 1, part), OK);
    display_view_update(r.view, &r.update);
    ck_assert_uint_eq(seen(&r.update, 10, 4), pixel(10, 4));
    ck_assert_uint_eq(seen(&r.update, 29, 10), pixel(29, 10));
    ck_assert_uint_eq(seen(&r.update, 9, 4), 0);
    ck_assert_uint_eq(seen(&r.update, 30, 10), 0);
    ck_assert_uint_eq(seen(&r.update, 10, 11), 0);
    ck_assert_uint_eq(flush(&r, 1, part), OK);
    ck_assert(display_view_update(r.view, &r.update));
    ck_assert_uint_eq(r.update.damage.count, 1);
    ck_assert_uint_eq(r.update.damage.rect[0].x, 10);
    ck_assert_uint_eq(r.update.damage.rect[0].height, 7);
    end(&r);
}
END_TEST

START_TEST(memory_in_pieces_of_any_length_is_one)
{
    static const uint32_t lens[] = {6, 1, 1, 250, 3, 4096 + 2, 2, 500, 4000};
    struct virtio_gpu_mem_entry e[ARRAY_SIZE(lens)];
    uint64_t at = PIECES;
    uint32_t off = 0;
    struct rig r;

    begin(&r);
    draw(&r, PIXELS, 256, 4, 64, 32);
    for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
        uint32_t have = off < 8192 ? MIN(lens[i], 8192 - off) : 0;

        e[i] = (struct virtio_gpu_mem_entry){.addr = at, .length = lens[i]};
        memcpy(fv_at(&r.v, at), fv_at(&r.v, PIXELS + off), have);
        off += lens[i];
        at += lens[i] + (i & 1 ? 4096 : 0); /* some are neighbours */
    }
    ck_assert_uint_ge(off, 8192);
    ck_assert_uint_eq(create(&r, 1, 4, 64, 32), OK);
    ck_assert_uint_eq(attach(&r, 1, e, ARRAY_SIZE(lens)), OK);
    ck_assert_uint_eq(transfer(&r, 1, 0, whole), OK);
    ck_assert_uint_eq(show(&r, 0, 1, whole), OK);
    check_picture(&r, 0, 0, 64, 32);
    end(&r);
}
END_TEST

START_TEST(scanouts_show_parts_of_one_resource)
{
    struct rig r;
    struct display_size size;

    begin(&r);
    show_picture(&r, 1);
    ck_assert_uint_eq(transfer(&r, 1, 0, whole), OK);
    ck_assert_uint_eq(show(&r, 0, 1, (struct virtio_gpu_rect){16, 8, 30, 20}), OK);
    ck_assert_uint_eq(show(&r, 1, 1, (struct virtio_gpu_rect){0, 0, 16, 8}), OK);
    ck_assert_uint_eq(flush(&r, 1, whole), OK);
    check_picture(&r, 16, 8, 30, 20);
    ck_assert_uint_eq(flush(&r, 1, (struct virtio_gpu_rect){0, 0, 17, 9}), OK);
    ck_assert(display_view_update(r.view, &r.update));
    ck_assert_uint_eq(r.update.damage.rect[0].width, 1);
    ck_assert(display_shown(r.display, 1, &size));
    ck_assert_uint_eq(size.width, 16);
    ck_assert_uint_eq(show(&r, 0, 0, whole), OK);
    display_view_update(r.view, &r.update);
    ck_assert(!r.update.shown);
    end(&r);
}
END_TEST

START_TEST(what_fails_leaves_the_picture)
{
    struct rig r;

    begin(&r);
    show_picture(&r, 1);
    ck_assert_uint_eq(transfer(&r, 1, 0, whole), OK);
    ck_assert_uint_eq(show(&r, 0, 2, whole), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    ck_assert_uint_eq(show(&r, 2, 1, whole), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
    ck_assert_uint_eq(show(&r, 0, 1, (struct virtio_gpu_rect){1, 0, 64, 32}),
                      VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
    ck_assert_uint_eq(show(&r, 0, 1, (struct virtio_gpu_rect){0, 0, 0, 0}),
                      VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
    check_picture(&r, 0, 0, 64, 32);
    end(&r);
}
END_TEST

START_TEST(a_resource_that_is_gone_is_not_shown)
{
    struct rig r;

    begin(&r);
    show_picture(&r, 1);
    ck_assert_uint_eq(SEND(&r, RESOURCE_UNREF, resource_unref, .resource_id = 1), OK);
    ck_assert_uint_eq(SEND(&r, RESOURCE_UNREF, resource_unref, .resource_id = 1),
                      VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    display_view_update(r.view, &r.update);
    ck_assert(!r.update.shown);
    end(&r);
}
END_TEST

/* ---- Blobs ---------------------------------------------------------------------------------- */

static uint32_t show_blob(struct rig *r, uint32_t id, struct virtio_gpu_rect rect, uint32_t stride,
                          uint32_t offset)
{
    return SEND(r, SET_SCANOUT_BLOB, set_scanout_blob, .r = rect, .scanout_id = 0, .resource_id = id,
                .width = 64, .height = 32, .format = 67, .strides = {stride}, .offsets = {offset});
}

START_TEST(blobs_are_seen_when_they_are_flushed)
{
    const struct virtio_gpu_mem_entry e[2] = {{.addr = PIXELS, .length = 4096},
                                              {.addr = PIXELS + 8192, .length = 32768}};
    struct rig r;

    begin(&r);
    draw(&r, PIECES, 300, 67, 64, 32); /* 300 bytes a row, 40 in front */
    memcpy(fv_at(&r.v, PIXELS + 40), fv_at(&r.v, PIECES), 4096 - 40);
    memcpy(fv_at(&r.v, PIXELS + 8192), fv_at(&r.v, PIECES + 4096 - 40), 9600 - 4096 + 40);
    ck_assert_uint_eq(create_blob(&r, 1, 36864, e, 2), OK);
    ck_assert_uint_eq(show_blob(&r, 1, (struct virtio_gpu_rect){3, 2, 60, 30}, 300, 40), OK);
    check_picture(&r, 3, 2, 60, 30);
    ck_assert_uint_eq(transfer(&r, 1, 0, whole), OK); /* is nothing */
    put_pixel(fv_at(&r.v, PIXELS + 40 + 2 * 300 + 3 * 4), 67, 0x123456);
    ck_assert_uint_eq(flush(&r, 1, (struct virtio_gpu_rect){3, 2, 1, 1}), OK);
    ck_assert(display_view_update(r.view, &r.update));
    ck_assert_uint_eq(seen(&r.update, 0, 0), 0x123456);
    ck_assert_uint_eq(r.update.damage.rect[0].width, 1);
    end(&r);
}
END_TEST

/* The first pixel of the last update's picture, as it lies in the memory of all pictures. */
static uint32_t first_in_memory(const struct rig *r, const struct display_view *any)
{
    uint64_t size;
    uint32_t v;

    ck_assert_int_eq(pread(display_view_memory(any, &size), &v, 4, (off_t)r->update.offset), 4);
    return v & 0xffffff;
}

START_TEST(a_blob_that_nobody_sees_is_copied_for_who_comes)
{
    const struct virtio_gpu_mem_entry e = {.addr = PIXELS, .length = 8192};
    struct display_view *other;
    struct display_size size;
    struct rig r;

    begin(&r);
    ck_assert_int_eq(display_view_new(r.display, 1, &other, NULL), 0);
    draw(&r, PIXELS, 256, 67, 64, 32);
    ck_assert_uint_eq(create_blob(&r, 1, 8192, &e, 1), OK);
    ck_assert_uint_eq(show_blob(&r, 1, whole, 256, 0), OK);
    for (unsigned i = 0; i < 2; i++) {
        check_picture(&r, 0, 0, 64, 32);
        display_view_free(r.view);
        put_pixel(fv_at(&r.v, PIXELS), 67, 0x123456);
        ck_assert_uint_eq(flush(&r, 1, whole), OK);
        ck_assert_uint_eq(first_in_memory(&r, other), pixel(0, 0));
        ck_assert(display_shown(r.display, 0, &size) && size.width == 64);
        ck_assert_int_eq(display_view_new(r.display, 0, &r.view, NULL), 0);
        virtio_gpu_watched(r.v.dev);
        ck_assert_uint_eq(first_in_memory(&r, other), 0x123456);
        ck_assert(display_view_update(r.view, &r.update));
        put_pixel(fv_at(&r.v, PIXELS), 67, pixel(0, 0)); /* from then on it is as it is flushed */
        ck_assert_uint_eq(first_in_memory(&r, other), 0x123456);
        ck_assert_uint_eq(flush(&r, 1, (struct virtio_gpu_rect){0, 0, 1, 1}), OK);
    }
    check_picture(&r, 0, 0, 64, 32);
    display_view_free(other);
    end(&r);
}
END_TEST

/* A blob with a picture, which is shown and has been seen. */
static void begin_with_blob(struct rig *r)
{
    const struct virtio_gpu_mem_entry e = {.addr = PIXELS, .length = 8192};

    begin(r);
    draw(r, PIXELS, 256, 67, 64, 32);
    ck_assert_uint_eq(create_blob(r, 1, 8192, &e, 1), OK);
    ck_assert_uint_eq(show_blob(r, 1, whole, 256, 0), OK);
    check_picture(r, 0, 0, 64, 32);
}

/* The first pixel is drawn and flushed. What lies in the display's memory then? */
static uint32_t flush_pixel(struct rig *r, uint32_t rgb)
{
    put_pixel(fv_at(&r->v, PIXELS), 67, rgb);
    ck_assert_uint_eq(flush(r, 1, (struct virtio_gpu_rect){0, 0, 1, 1}), OK);
    return first_in_memory(r, r->view);
}

/* What is flushed is copied for a viewer that waits; what comes before it has taken that, at the next flush after that, or
 * a little later. */
START_TEST(a_guest_that_is_faster_than_its_viewers_has_pictures_dropped)
{
    struct display_view *other;
    struct rig r;

    begin_with_blob(&r);
    ck_assert_uint_eq(flush_pixel(&r, 1), 1);
    ck_assert_uint_eq(flush_pixel(&r, 2), 1);
    ck_assert_uint_eq(flush_pixel(&r, 3), 1);
    ck_assert_uint_eq(show_blob(&r, 1, whole, 256, 0), OK); /* nor is the next page */
    ck_assert_uint_eq(first_in_memory(&r, r.view), 1);
    ck_assert_int_eq(display_view_new(r.display, 0, &other, NULL), 0); /* who comes does not wait for others */
    virtio_gpu_watched(r.v.dev);
    ck_assert_uint_eq(first_in_memory(&r, r.view), 3);
    ck_assert_uint_eq(flush_pixel(&r, 4), 3);
    display_view_free(other);
    ck_assert(display_view_update(r.view, &r.update)); /* with the next flush */
    ck_assert_uint_eq(flush_pixel(&r, 5), 5);
    ck_assert_uint_eq(flush_pixel(&r, 6), 5);
    fv_turn(&r.v);
    fake_loop_fire(r.v.m.loop);
    ck_assert_uint_eq(first_in_memory(&r, r.view), 5);
    ck_assert(display_view_update(r.view, &r.update)); /* none comes */
    fv_turn(&r.v);
    ck_assert(!display_view_update(r.view, &r.update));
    ck_assert(fake_loop_fire(r.v.m.loop));
    ck_assert(display_view_update(r.view, &r.update));
    ck_assert_uint_eq(seen(&r.update, 0, 0), 6);
    ck_assert_uint_eq(r.update.damage.rect[0].width, 1);
    ck_assert_uint_eq(flush_pixel(&r, 7), 7);
    ck_assert_uint_eq(flush_pixel(&r, 8), 7);
    fv_destroy(&r.v); /* the last picture is there to be seen */
    ck_assert_uint_eq(first_in_memory(&r, r.view), 8);
    ck_assert(display_view_update(r.view, &r.update));
    display_view_free(r.view);
    display_unref(r.display);
}
END_TEST

/* What a guest says has changed is looked at: a viewer is told of the tiles that have, and of nothing else. */
START_TEST(only_what_differs_is_told)
{
    const struct virtio_gpu_mem_entry e[2] = {{.addr = PIXELS, .length = 4096 + 2}, {.addr = PIXELS + 8192, .length = 28672}};
    const struct virtio_gpu_rect all = {0, 0, 128, 64};
    struct rig r;

    begin(&r);
    ck_assert_uint_eq(create_blob(&r, 1, 128 * 64 * 4, e, 2), OK);
    ck_assert_uint_eq(SEND(&r, SET_SCANOUT_BLOB, set_scanout_blob, .r = all, .resource_id = 1, .width = 128, .height = 64,
                           .format = 67, .strides = {512}), OK);
    ck_assert(display_view_update(r.view, &r.update));
    put_pixel(fv_at(&r.v, PIXELS + 512 + 4 * 80), 67, 0x123456);
    ck_assert_uint_eq(flush(&r, 1, all), OK);
    ck_assert(display_view_update(r.view, &r.update));
    ck_assert_uint_eq(r.update.damage.count, 1);
    ck_assert_uint_eq(r.update.damage.rect[0].x, 64);
    ck_assert_uint_eq(r.update.damage.rect[0].width, 64);
    ck_assert_uint_eq(seen(&r.update, 80, 1), 0x123456);
    put_pixel(fv_at(&r.v, PIXELS + 4096), 67, 0x654321); /* which lies in both pieces */
    memcpy(fv_at(&r.v, PIXELS + 8192), fv_at(&r.v, PIXELS + 4096 + 2), 2);
    ck_assert_uint_eq(flush(&r, 1, all), OK);
    ck_assert(display_view_update(r.view, &r.update));
    ck_assert_uint_eq(r.update.damage.rect[0].x, 0);
    ck_assert_uint_eq(seen(&r.update, 0, 8), 0x654321);
    end(&r);
}
END_TEST

/* Else a guest that flushes what is the same would have all of it compared each time. What comes meanwhile is seen later. */
START_TEST(what_does_not_change_is_not_looked_at_again_and_again)
{
    struct rig r;

    begin_with_blob(&r);
    ck_assert_uint_eq(flush(&r, 1, whole), OK);
    ck_assert(!display_view_update(r.view, &r.update));
    ck_assert_uint_eq(flush_pixel(&r, 1), pixel(0, 0));
    ck_assert_uint_eq(flush_pixel(&r, 2), pixel(0, 0));
    ck_assert(fake_loop_fire(r.v.m.loop));
    ck_assert(display_view_update(r.view, &r.update));
    ck_assert_uint_eq(seen(&r.update, 0, 0), 2);
    ck_assert_uint_eq(flush_pixel(&r, 3), 3);
    end(&r);
}
END_TEST

static void on_quiet(void *arg)
{
    *(bool *)arg = true;
}

/* Nothing turns the loop from then on. */
START_TEST(a_paused_guests_last_picture_is_seen)
{
    bool quiet = false;
    struct rig r;

    begin_with_blob(&r);
    ck_assert_uint_eq(flush_pixel(&r, 1), 1);
    ck_assert(display_view_update(r.view, &r.update));
    ck_assert_uint_eq(flush_pixel(&r, 2), 2);
    ck_assert_uint_eq(flush_pixel(&r, 3), 2);
    virtio_quiesce(r.v.dev, on_quiet, &quiet);
    ck_assert(quiet);
    ck_assert(display_view_update(r.view, &r.update));
    ck_assert_uint_eq(seen(&r.update, 0, 0), 3);
    virtio_resume(r.v.dev);
    fv_turn(&r.v);
    ck_assert_uint_eq(flush_pixel(&r, 4), 4);
    end(&r);
}
END_TEST

/* When the loop is to wake up; 0: it is not. */
static uint64_t next_time(const struct loop *loop)
{
    uint64_t first = 0;

    for (unsigned i = 0; i < FAKE_LOOP_MAX; i++) {
        const struct loop_timer *t = loop->timer[i];

        if (t && t->armed && (!first || t->deadline_ns < first))
            first = t->deadline_ns;
    }
    return first;
}

START_TEST(a_viewer_of_another_scanout_holds_up_nobody)
{
    const struct virtio_gpu_mem_entry e = {.addr = PIXELS, .length = 8192};
    struct display_view *other;
    struct display_update update;
    struct rig r;
    uint64_t due;

    begin(&r);
    draw(&r, PIXELS, 256, 67, 64, 32);
    ck_assert_int_eq(display_view_new(r.display, 1, &other, NULL), 0);
    ck_assert_uint_eq(create_blob(&r, 1, 8192, &e, 1), OK);
    ck_assert_uint_eq(show_blob(&r, 1, whole, 256, 0), OK);
    ck_assert_uint_eq(SEND(&r, SET_SCANOUT_BLOB, set_scanout_blob, .r = whole, .scanout_id = 1, .resource_id = 1,
                           .width = 64, .height = 32, .format = 67, .strides = {256}), OK);
    check_picture(&r, 0, 0, 64, 32);
    ck_assert(display_view_update(other, &update));
    ck_assert_uint_eq(flush_pixel(&r, 1), 1);
    ck_assert_uint_eq(flush_pixel(&r, 2), 1);
    ck_assert(display_view_update(r.view, &r.update));
    fv_turn(&r.v);
    due = next_time(r.v.m.loop);
    ck_assert_uint_gt(due, 0);
    ck_assert(display_view_update(other, &update)); /* later */
    fv_turn(&r.v);
    ck_assert_uint_eq(next_time(r.v.m.loop), due);
    ck_assert(fake_loop_fire(r.v.m.loop));
    ck_assert_uint_eq(first_in_memory(&r, r.view), 2);
    ck_assert_uint_eq(flush_pixel(&r, 3), 2); /* it has that still to take */
    ck_assert(display_view_update(r.view, &r.update));
    fv_turn(&r.v);
    ck_assert_uint_gt(next_time(r.v.m.loop), due);
    display_view_free(other);
    end(&r);
}
END_TEST

START_TEST(blobs_do_not_reach_beyond_themselves)
{
    const struct virtio_gpu_mem_entry e = {.addr = PIXELS, .length = 8192};
    struct rig r;

    begin(&r);
    ck_assert_uint_ne(create_blob(&r, 1, 8193, &e, 1), OK);
    ck_assert_uint_ne(create_blob(&r, 1, 0, &e, 1), OK);
    ck_assert_uint_ne(create_blob(&r, 1, UINT64_MAX, &e, 1), OK);
    ck_assert_uint_eq(create_blob(&r, 1, 8192, &e, 1), OK);
    ck_assert_uint_eq(show_blob(&r, 1, whole, 256, 0), OK);
    ck_assert_uint_ne(show_blob(&r, 1, whole, 256, 1), OK);
    ck_assert_uint_ne(show_blob(&r, 1, whole, 257, 0), OK);
    ck_assert_uint_ne(show_blob(&r, 1, whole, UINT32_MAX, 0), OK);
    ck_assert_uint_ne(show_blob(&r, 1, whole, 256, UINT32_MAX), OK);
    ck_assert_uint_ne(show_blob(&r, 1, (struct virtio_gpu_rect){0, 0, 65, 1}, 0, 0), OK);
    ck_assert_uint_ne(show_blob(&r, 1, (struct virtio_gpu_rect){UINT32_MAX, 0, 1, 1}, 0, 0), OK);
    ck_assert_uint_eq(show(&r, 0, 1, whole), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
    end(&r);
}
END_TEST

/* ---- Sizes ---------------------------------------------------------------------------------- */

static void get_info(struct rig *r, struct virtio_gpu_resp_display_info *ret)
{
    ck_assert_uint_eq(send(r, &(struct virtio_gpu_ctrl_hdr){.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO},
                           sizeof(struct virtio_gpu_ctrl_hdr)), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
    memcpy(ret, fv_at(&r->v, ANSWER), sizeof(*ret));
}

static uint32_t events(struct rig *r)
{
    return (uint32_t)fake_read(&r->v.m, FV_CONFIG, 4);
}

static void clear_events(struct rig *r)
{
    fake_write(&r->v.m, FV_CONFIG + 4, 4, VIRTIO_GPU_EVENT_DISPLAY);
    fv_turn(&r->v);
}

START_TEST(the_guest_learns_what_the_host_wants)
{
    struct virtio_gpu_resp_display_info info;
    const struct virtio_gpu_resp_edid *edid;
    struct rig r;

    begin(&r);
    ck_assert_uint_eq(fake_read(&r.v.m, FV_CONFIG + 8, 4), 2);
    get_info(&r, &info);
    ck_assert_uint_eq(info.pmodes[0].r.width, 64);
    ck_assert_uint_eq(info.pmodes[1].r.x, 64);
    ck_assert_uint_eq(info.pmodes[1].enabled, 1);
    ck_assert_uint_eq(info.pmodes[2].enabled, 0);
    show_picture(&r, 1); /* the picture's size does not matter */
    virtio_gpu_set_wish(r.v.dev, 0, (struct display_size){1234, 567});
    ck_assert_uint_eq(events(&r), VIRTIO_GPU_EVENT_DISPLAY);
    ck_assert_uint_eq(SEND(&r, GET_EDID, cmd_get_edid, .scanout = 0), VIRTIO_GPU_RESP_OK_EDID);
    edid = fv_at(&r.v, ANSWER);
    ck_assert_uint_eq(edid->edid[54 + 2] | (edid->edid[54 + 4] & 0xf0) << 4, 1234);
    ck_assert_uint_eq(SEND(&r, GET_EDID, cmd_get_edid, .scanout = 2),
                      VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
    get_info(&r, &info);
    ck_assert_uint_eq(info.pmodes[0].r.height, 567);
    clear_events(&r);
    ck_assert_uint_eq(events(&r), 0);
    end(&r);
}
END_TEST

START_TEST(a_wish_before_there_is_a_driver_does_not_hide_later_ones)
{
    struct virtio_gpu_resp_display_info info;
    struct rig r;

    set_up(&r);
    virtio_gpu_set_wish(r.v.dev, 0, (struct display_size){100, 100});
    fv_start(&r.v, FEATURES, 16);
    ck_assert_uint_eq(events(&r), 0);
    get_info(&r, &info);
    ck_assert_uint_eq(info.pmodes[0].r.width, 100);
    virtio_gpu_set_wish(r.v.dev, 0, (struct display_size){200, 200});
    ck_assert_uint_eq(events(&r), VIRTIO_GPU_EVENT_DISPLAY);
    end(&r);
}
END_TEST

START_TEST(a_wish_between_asking_and_clearing_is_not_lost)
{
    struct virtio_gpu_resp_display_info info;
    struct rig r;

    begin(&r);
    virtio_gpu_set_wish(r.v.dev, 0, (struct display_size){100, 100});
    get_info(&r, &info);
    virtio_gpu_set_wish(r.v.dev, 0, (struct display_size){200, 200});
    clear_events(&r);
    ck_assert_uint_eq(events(&r), VIRTIO_GPU_EVENT_DISPLAY);
    get_info(&r, &info);
    ck_assert_uint_eq(info.pmodes[0].r.width, 200);
    clear_events(&r);
    ck_assert_uint_eq(events(&r), 0);
    end(&r);
}
END_TEST

/* ---- Cursors -------------------------------------------------------------------------------- */

static void cursor(struct rig *r, uint32_t type, const struct virtio_gpu_update_cursor *c)
{
    const struct fv_buf buf = {COMMAND, sizeof(*c), false};
    struct virtio_gpu_update_cursor u = *c;

    u.hdr.type = type;
    memcpy(fv_at(&r->v, COMMAND), &u, sizeof(u));
    ck_assert_uint_eq(fv_request(&r->v, 1, &buf, 1), 0);
}

START_TEST(cursors_move_and_hide)
{
    struct display_cursor c;
    struct rig r;

    begin(&r);
    show_picture(&r, 1);
    ck_assert_uint_eq(create(&r, 2, 1, 64, 64), OK);
    cursor(&r, VIRTIO_GPU_CMD_UPDATE_CURSOR,
           &(struct virtio_gpu_update_cursor){.pos = {.x = (uint32_t)-5, .y = 6}, .resource_id = 2,
                                              .hot_x = 63, .hot_y = 64});
    display_view_update(r.view, &r.update);
    display_view_cursor(r.view, &c);
    ck_assert(c.visible && r.update.cursor_changed);
    ck_assert_int_eq(c.x, -5);
    ck_assert_uint_eq(c.width, 64);
    ck_assert_uint_eq(c.hot_x, 63);
    ck_assert_uint_eq(c.hot_y, 63); /* inside */
    cursor(&r, VIRTIO_GPU_CMD_MOVE_CURSOR,
           &(struct virtio_gpu_update_cursor){.pos = {.x = 8, .y = 9}, .resource_id = 77});
    display_view_update(r.view, &r.update);
    display_view_cursor(r.view, &c);
    ck_assert(c.visible && c.x == 8);
    cursor(&r, VIRTIO_GPU_CMD_UPDATE_CURSOR, &(struct virtio_gpu_update_cursor){.resource_id = 0});
    display_view_update(r.view, &r.update);
    display_view_cursor(r.view, &c);
    ck_assert(!c.visible);
    cursor(&r, VIRTIO_GPU_CMD_UPDATE_CURSOR,
           &(struct virtio_gpu_update_cursor){.pos.scanout_id = 16, .resource_id = 2});
    ck_assert_uint_eq(create(&r, 3, 1, 65, 64), OK); /* too large for one */
    cursor(&r, VIRTIO_GPU_CMD_UPDATE_CURSOR, &(struct virtio_gpu_update_cursor){.resource_id = 3});
    display_view_update(r.view, &r.update);
    display_view_cursor(r.view, &c);
    ck_assert(!c.visible);
    end(&r);
}
END_TEST

/* ---- Hostile -------------------------------------------------------------------------------- */

START_TEST(every_command_is_answered)
{
    const struct fv_buf none[2] = {{COMMAND, 7, false}, {ANSWER, 24, true}};
    struct virtio_gpu_ctrl_hdr h = {.flags = VIRTIO_GPU_FLAG_FENCE, .fence_id = 1234567, .ctx_id = 9};
    struct rig r;

    begin(&r);
    for (uint32_t type = 0; type < 0x1300; type++) {
        h.type = type;
        ck_assert_uint_ge(send(&r, &h, sizeof(h)), 0x1100);
        ck_assert_mem_eq((uint8_t *)fv_at(&r.v, ANSWER) + 4, (uint8_t *)&h + 4, 16); /* its fence */
    }
    ck_assert_uint_eq(fv_request(&r.v, 0, none, 2), 24);
    ck_assert_uint_eq(fv_request(&r.v, 0, none, 1), 0); /* no room for an answer */
    ck_assert(!fv_is_broken(&r.v));
    end(&r);
}
END_TEST

START_TEST(commands_of_features_that_were_not_accepted_do_not_exist)
{
    struct rig r;

    set_up(&r);
    fv_start(&r.v, 0, 16);
    ck_assert_uint_eq(SEND(&r, GET_EDID, cmd_get_edid, .scanout = 0), VIRTIO_GPU_RESP_ERR_UNSPEC);
    ck_assert_uint_eq(create_blob(&r, 1, 4096, &(struct virtio_gpu_mem_entry){.addr = PIXELS, .length = 4096}, 1),
                      VIRTIO_GPU_RESP_ERR_UNSPEC);
    end(&r);
}
END_TEST

START_TEST(sizes_and_places_that_do_not_fit_are_refused)
{
    static const struct virtio_gpu_rect bad[] = {
        {0, 0, 65, 32}, {0, 0, 64, 33}, {UINT32_MAX, 0, 1, 1}, {1, 0, UINT32_MAX, 1}, {0, 0, 0, 1},
        {64, 0, 1, 1}, {0, UINT32_MAX, 64, UINT32_MAX}};
    struct rig r;

    begin(&r);
    ck_assert_uint_ne(create(&r, 0, 1, 1, 1), OK);
    ck_assert_uint_ne(create(&r, 1, 1, 0, 1), OK);
    ck_assert_uint_ne(create(&r, 1, 1, 16385, 1), OK);
    ck_assert_uint_ne(create(&r, 1, 1, 0x80000001, 0x80000001), OK);
    ck_assert_uint_eq(create(&r, 1, 1, 16384, 16384), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
    ck_assert_uint_eq(create(&r, 1, 1, 64, 32), OK);
    ck_assert_uint_ne(create(&r, 1, 1, 64, 32), OK);
    ck_assert_uint_eq(transfer(&r, 1, 0, whole), VIRTIO_GPU_RESP_ERR_UNSPEC); /* no memory yet */
    ck_assert_uint_eq(attach_one(&r, 1, PIXELS, 8192), OK);
    ck_assert_uint_ne(attach_one(&r, 1, PIXELS, 8192), OK);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        ck_assert_uint_eq(transfer(&r, 1, 0, bad[i]), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
        ck_assert_uint_eq(flush(&r, 1, bad[i]), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
    }
    ck_assert_uint_ne(transfer(&r, 1, 1, whole), OK);
    ck_assert_uint_ne(transfer(&r, 1, UINT64_MAX, whole), OK);
    ck_assert_uint_ne(transfer(&r, 1, UINT64_MAX - 8191, whole), OK);
    ck_assert_uint_eq(transfer(&r, 1, 0, whole), OK);
    ck_assert_uint_eq(SEND(&r, RESOURCE_DETACH_BACKING, resource_detach_backing, .resource_id = 1), OK);
    ck_assert_uint_ne(transfer(&r, 1, 0, whole), OK);
    end(&r);
}
END_TEST

START_TEST(memory_that_is_not_there_is_refused)
{
    static const struct virtio_gpu_mem_entry bad[] = {
        {.addr = FV_RAM - 8, .length = 16}, {.addr = UINT64_MAX, .length = 1},
        {.addr = UINT64_MAX - 15, .length = 32}, {.addr = PIXELS, .length = UINT32_MAX}};
    const struct virtio_gpu_resource_attach_backing many = {
        .hdr.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, .resource_id = 1, .nr_entries = UINT32_MAX};
    struct rig r;

    begin(&r);
    ck_assert_uint_eq(create(&r, 1, 1, 64, 32), OK);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct virtio_gpu_mem_entry two[2] = {{.addr = PIXELS, .length = 4096}, bad[i]};

        ck_assert_uint_eq(attach(&r, 1, two, 2), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
        ck_assert_uint_ne(create_blob(&r, 2, 4096, two, 2), OK);
    }
    ck_assert_uint_ne(send(&r, &many, sizeof(many)), OK);
    ck_assert_uint_eq(attach_one(&r, 1, PIXELS, 8192), OK);
    end(&r);
}
END_TEST

START_TEST(what_a_guest_can_take_is_bounded)
{
    uint32_t id = 1;
    struct rig r;

    begin(&r);
    while (create(&r, id, 1, 128, 128) == OK)
        id++;
    ck_assert_uint_eq(id - 1, MIB / 65536);
    for (uint32_t i = 1; i < id; i++)
        ck_assert_uint_eq(SEND(&r, RESOURCE_UNREF, resource_unref, .resource_id = i), OK);
    for (id = 1; create_blob(&r, id, 1, &(struct virtio_gpu_mem_entry){.addr = PIXELS, .length = 1}, 1) == OK;)
        id++;
    ck_assert_uint_eq(id - 1, GPU_RESOURCES_MAX);
    end(&r);
}
END_TEST

START_TEST(it_survives_what_no_driver_should_do)
{
    struct rig r;

    set_up(&r);
    fv_hostile(&r.v, FEATURES);
    end(&r);
}
END_TEST

/* ---- Reset, and state ----------------------------------------------------------------------- */

START_TEST(a_reset_lets_go_of_everything)
{
    struct rig r;

    begin(&r);
    for (unsigned i = 0; i < 50; i++) {
        for (uint32_t id = 2; id < 10; id++)
            ck_assert_uint_eq(create(&r, id, 1, 100, 100), OK);
        show_picture(&r, 1);
        virtio_gpu_set_wish(r.v.dev, 0, (struct display_size){64 + i, 64});
        display_view_update(r.view, &r.update);
        ck_assert(r.update.shown);
        fv_start(&r.v, FEATURES, 16);
        display_view_update(r.view, &r.update);
        ck_assert(!r.update.shown);
        ck_assert_uint_eq(events(&r), 0);
    }
    end(&r);
}
END_TEST

START_TEST(the_picture_survives_a_move)
{
    struct rig r, to;
    struct display_cursor c;

    begin(&r);
    set_up(&to);
    show_picture(&r, 1);
    ck_assert_uint_eq(transfer(&r, 1, 0, whole), OK);
    ck_assert_uint_eq(create(&r, 2, 1, 64, 64), OK);
    cursor(&r, VIRTIO_GPU_CMD_UPDATE_CURSOR,
           &(struct virtio_gpu_update_cursor){.pos = {.x = 4, .y = 6}, .resource_id = 2, .hot_x = 3});
    virtio_gpu_set_wish(r.v.dev, 1, (struct display_size){300, 200});
    memset(fv_at(&r.v, PIXELS), 0x55, 8192); /* drawn, but not transferred yet */
    fv_move(&r.v, &to.v);
    fv_turn(&to.v);
    check_picture(&to, 0, 0, 64, 32);
    display_view_cursor(to.view, &c);
    ck_assert(c.visible && c.x == 4 && c.hot_x == 3);
    ck_assert_uint_eq(display_wish(to.display, 1).width, 300);
    ck_assert_uint_eq(events(&to), VIRTIO_GPU_EVENT_DISPLAY);
    ck_assert_uint_eq(transfer(&to, 1, 0, whole), OK);
    ck_assert_uint_eq(flush(&to, 1, whole), OK);
    display_view_update(to.view, &to.update);
    ck_assert_uint_eq(seen(&to.update, 5, 5), 0x555555);
    end(&r);
    end(&to);
}
END_TEST

START_TEST(a_blob_survives_a_move)
{
    const struct virtio_gpu_mem_entry e = {.addr = PIXELS, .length = 8192};
    struct rig r, to;

    begin(&r);
    set_up(&to);
    draw(&r, PIXELS, 256, 67, 64, 32);
    ck_assert_uint_eq(create_blob(&r, 1, 8192, &e, 1), OK);
    ck_assert_uint_eq(show_blob(&r, 1, whole, 256, 0), OK);
    fv_move(&r.v, &to.v);
    fv_turn(&to.v);
    check_picture(&to, 0, 0, 64, 32);
    end(&r);
    end(&to);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, pictures_of_every_format_are_seen);
    UNIT_TEST(s, only_what_was_transferred_changes);
    UNIT_TEST(s, memory_in_pieces_of_any_length_is_one);
    UNIT_TEST(s, scanouts_show_parts_of_one_resource);
    UNIT_TEST(s, what_fails_leaves_the_picture);
    UNIT_TEST(s, a_resource_that_is_gone_is_not_shown);
    UNIT_TEST(s, blobs_are_seen_when_they_are_flushed);
    UNIT_TEST(s, a_blob_that_nobody_sees_is_copied_for_who_comes);
    UNIT_TEST(s, a_guest_that_is_faster_than_its_viewers_has_pictures_dropped);
    UNIT_TEST(s, only_what_differs_is_told);
    UNIT_TEST(s, what_does_not_change_is_not_looked_at_again_and_again);
    UNIT_TEST(s, a_paused_guests_last_picture_is_seen);
    UNIT_TEST(s, a_viewer_of_another_scanout_holds_up_nobody);
    UNIT_TEST(s, blobs_do_not_reach_beyond_themselves);
    UNIT_TEST(s, the_guest_learns_what_the_host_wants);
    UNIT_TEST(s, a_wish_before_there_is_a_driver_does_not_hide_later_ones);
    UNIT_TEST(s, a_wish_between_asking_and_clearing_is_not_lost);
    UNIT_TEST(s, cursors_move_and_hide);
    UNIT_TEST(s, every_command_is_answered);
    UNIT_TEST(s, commands_of_features_that_were_not_accepted_do_not_exist);
    UNIT_TEST(s, sizes_and_places_that_do_not_fit_are_refused);
    UNIT_TEST(s, memory_that_is_not_there_is_refused);
    UNIT_TEST(s, what_a_guest_can_take_is_bounded);
    UNIT_TEST(s, it_survives_what_no_driver_should_do);
    UNIT_TEST(s, a_reset_lets_go_of_everything);
    UNIT_TEST(s, the_picture_survives_a_move);
    UNIT_TEST(s, a_blob_survives_a_move);
}

UNIT_TEST_MAIN("virtio_gpu", add_tests)
