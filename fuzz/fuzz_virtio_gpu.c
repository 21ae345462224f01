/* SPDX-License-Identifier: MIT */
/* A hostile driver of the GPU: the input is a list of commands, twelve bytes each. Whatever happens, what is shown
 * lies inside the display's memory, and every command with room for an answer gets one. */
#include <linux/virtio_gpu.h>
#include <string.h>

#include "no_check.h"

#include "fake_virtio_driver.h"
#include "fuzz.h"
#include "virtio/virtio_gpu.h"

#define STEP    12u
#define MEMORY  (2 * MIB)
#define COMMAND (FV_DATA + 0x100000)
#define ANSWER  (FV_DATA + 0x120000)

struct rig {
    struct fv v;
    struct display *display;
    struct display_view *view;
};

static void set_up(struct rig *r)
{
    const struct display_options o = {.scanouts = 3, .size = {{64, 48}, {100, 100}, {1, 1}},
                                      .memory_max = MEMORY};
    struct virtio_gpu_options gpu;

    memset(r, 0, sizeof(*r));
    require(!display_new(&o, &r->display, NULL), "no display");
    gpu.display = r->display;
    fv_create(&r->v, &virtio_gpu_ops, &gpu);
    fv_start(&r->v, BIT(VIRTIO_GPU_F_EDID) | BIT(VIRTIO_GPU_F_RESOURCE_BLOB), 16);
    require(!display_view_new(r->display, 0, &r->view, NULL), "no view");
}

static uint32_t number(uint8_t b)
{
    static const uint32_t edge[] = {0, 1, 2, 4, 63, 64, 65, 100, 4096, 16384, 16385, 0x40000000,
                                    0x7fffffff, 0x80000000, UINT32_MAX - 3, UINT32_MAX};

    return b < 0xf0 ? b : edge[b & 15];
}

/* Words of the command's body, whatever it is, from the step's bytes. */
static size_t fill(struct rig *r, const uint8_t *d)
{
    static const uint32_t types[] = {
        VIRTIO_GPU_CMD_GET_DISPLAY_INFO, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, VIRTIO_GPU_CMD_RESOURCE_UNREF,
        VIRTIO_GPU_CMD_SET_SCANOUT, VIRTIO_GPU_CMD_RESOURCE_FLUSH, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
        VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING,
        VIRTIO_GPU_CMD_GET_EDID, VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
        VIRTIO_GPU_CMD_UPDATE_CURSOR, VIRTIO_GPU_CMD_MOVE_CURSOR, 0};
    uint32_t w[32] = {0};

    w[0] = types[d[0] % ARRAY_SIZE(types)];
    for (unsigned i = 0; i < 11; i++)
        w[6 + i] = number(d[1 + i]);
    switch (w[0]) { /* what has a meaning only in other places */
    case VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING:
        w[7] = number(d[2]);
        w[8] = FV_DATA + (d[3] & 15u) * 4096u;
        w[10] = number(d[4]) * 64;
        w[12] = d[5] > 250 ? FV_RAM - 16 : FV_DATA;
        w[14] = number(d[6]);
        break;
    case VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB:
        w[7] = d[2] < 200 ? VIRTIO_GPU_BLOB_MEM_GUEST : d[2];
        w[9] = d[3] < 200 ? 1 : number(d[3]);
        w[10] = w[11] = 0;
        w[12] = number(d[4]) * 64;
        w[13] = d[5] > 250;
        w[14] = FV_DATA;
        w[16] = number(d[6]) * 64;
        break;
    case VIRTIO_GPU_CMD_SET_SCANOUT_BLOB:
        w[14] = d[8] < 200 ? 67 : d[8];
        w[16] = number(d[9]) * 4;
        w[20] = number(d[10]);
        break;
    default:
        break;
    }
    memcpy(fv_at(&r->v, COMMAND), w, sizeof(w));
    return d[11] & 0x80 ? d[11] & 0x7f : sizeof(w);
}

/* Reading all of the picture finds a fault in where it is said to be. */
static void look(struct rig *r)
{
    struct display_update u;
    volatile uint32_t sum = 0;

    display_view_update(r->view, &u);
    if (!u.shown)
        return;
    require(u.offset + (uint64_t)u.stride * (u.size.height - 1) + u.size.width * 4 <= MEMORY,
            "a picture outside of the memory");
    for (uint32_t y = 0; y < u.size.height; y++)
        sum += u.pixels[(size_t)y * u.stride] + u.pixels[(size_t)y * u.stride + u.size.width * 4 - 1];
    (void)sum;
}

static void step(struct rig *r, const uint8_t *d)
{
    bool cursor = d[0] >= 0xc0;
    struct fv_buf buf[2] = {{COMMAND, (uint32_t)fill(r, d), false}, {ANSWER, 2048, true}};
    struct vring_used_elem e;

    buf[0].len = MAX(buf[0].len, 1u);
    fv_add(&r->v, cursor, buf, 2);
    fv_kick(&r->v, cursor);
    require(fv_used(&r->v, cursor, &e) && e.len >= sizeof(struct virtio_gpu_ctrl_hdr),
            "a command without an answer");
    if (d[11] == 1)
        virtio_gpu_set_wish(r->v.dev, d[10] % 3, (struct display_size){d[9] + 1u, d[8] + 1u});
    if (d[11] == 2)
        fake_write(&r->v.m, FV_CONFIG + 4, 4, d[10]);
    look(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig r; /* large; made anew each time */

    set_up(&r);
    for (size_t at = 0; at + STEP <= size && at < 100 * STEP; at += STEP)
        step(&r, data + at);
    fv_wr(&r.v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&r.v);
    require(fv_status(&r.v) == 0, "a reset does not end");
    fv_destroy(&r.v);
    display_view_free(r.view);
    display_unref(r.display);
    return 0;
}

/* In a step: the index of a command's type, and its words. */
size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    static const uint8_t picture[][STEP] = {
        {1, 1, 2, 64, 32}, {6, 1, 1, 0, 128}, {5, 0, 0, 64, 32, 0, 0, 1}, {3, 0, 0, 64, 32, 0, 1},
        {4, 0, 0, 64, 32, 1}, {1, 2, 1, 64, 64}, {11, 0, 3, 4, 0, 2, 1, 1}, {12, 0, 9, 9},
        {8, 0}, {0}, {2, 1}};
    static const uint8_t blob[][STEP] = {
        {9, 1, 1, 1, 200, 0, 200}, {10, 0, 0, 60, 30, 0, 1, 64, 67, 64, 0}, {4, 0, 0, 60, 30, 1},
        {3, 0, 0, 64, 32, 0, 0}, {7, 1}, {2, 1}};
    const uint8_t *const seeds[] = {&picture[0][0], &blob[0][0]};
    const size_t sizes[] = {sizeof(picture), sizeof(blob)};

    if (index >= ARRAY_SIZE(seeds) || room < sizes[index])
        return 0;
    memcpy(ret, seeds[index], sizes[index]);
    return sizes[index];
}
