/* SPDX-License-Identifier: MIT */
/* Linux's KMS for guests' programs, by system calls alone: the first card's first display, dumb buffers, and the
 * pattern of display_pattern.h. What fails ends the program, with "failed WHAT" on standard output. */
#ifndef VZ_TESTS_KMS_H
#define VZ_TESTS_KMS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <libdrm/drm.h>
#include <libdrm/drm_fourcc.h>
#include <libdrm/drm_mode.h>

#include "../display_pattern.h"

struct buffer {
    uint32_t width, height, pitch, handle, fb;
    uint64_t size;
    uint32_t *pixels;
};

static int card;
static uint32_t connector, crtc;

static inline void need(int ok, const char *what)
{
    if (ok)
        return;
    printf("failed %s: %s\n", what, strerror(errno));
    exit(1);
}

static inline void call(unsigned long request, void *arg, const char *what)
{
    int r;

    do {
        r = ioctl(card, request, arg);
    } while (r < 0 && (errno == EINTR || errno == EAGAIN));
    need(r == 0, what);
}

/* ---- The card ------------------------------------------------------------------------------- */

static inline void find_outputs(void)
{
    uint32_t crtcs[16] = {0}, connectors[16] = {0};
    struct drm_mode_card_res r = {.crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = 16,
                                  .connector_id_ptr = (uintptr_t)connectors, .count_connectors = 16};

    call(DRM_IOCTL_MODE_GETRESOURCES, &r, "resources");
    need(crtcs[0] && connectors[0], "a connector");
    crtc = crtcs[0];
    connector = connectors[0];
}

/* The best mode, as the monitor says now. */
static inline struct drm_mode_modeinfo best_mode(void)
{
    static struct drm_mode_modeinfo modes[128];
    struct drm_mode_get_connector c = {.connector_id = connector};

    call(DRM_IOCTL_MODE_GETCONNECTOR, &c, "probing the connector");
    c = (struct drm_mode_get_connector){.connector_id = connector, .modes_ptr = (uintptr_t)modes,
                                        .count_modes = c.count_modes < 128 ? c.count_modes : 128};
    call(DRM_IOCTL_MODE_GETCONNECTOR, &c, "connector");
    for (unsigned i = 0; i < c.count_modes && i < 128; i++) {
        if (modes[i].type & DRM_MODE_TYPE_PREFERRED)
            return modes[i];
    }
    need(c.count_modes > 0, "a mode");
    return modes[0];
}

static inline struct buffer make(uint32_t width, uint32_t height, uint32_t format)
{
    struct drm_mode_create_dumb d = {.width = width, .height = height, .bpp = 32};
    struct drm_mode_map_dumb map = {0};
    struct drm_mode_fb_cmd2 fb = {.width = width, .height = height, .pixel_format = format};
    struct buffer b = {.width = width, .height = height};

    call(DRM_IOCTL_MODE_CREATE_DUMB, &d, "a dumb buffer");
    map.handle = fb.handles[0] = b.handle = d.handle;
    fb.pitches[0] = b.pitch = d.pitch;
    b.size = d.size;
    call(DRM_IOCTL_MODE_MAP_DUMB, &map, "mapping it");
    b.pixels = mmap(NULL, b.size, PROT_READ | PROT_WRITE, MAP_SHARED, card, (off_t)map.offset);
    need(b.pixels != MAP_FAILED, "mmap");
    call(DRM_IOCTL_MODE_ADDFB2, &fb, "a framebuffer");
    b.fb = fb.fb_id;
    return b;
}

static inline void drop(struct buffer *b)
{
    struct drm_mode_destroy_dumb d = {.handle = b->handle};

    munmap(b->pixels, b->size);
    call(DRM_IOCTL_MODE_RMFB, &b->fb, "removing a framebuffer");
    call(DRM_IOCTL_MODE_DESTROY_DUMB, &d, "destroying a buffer");
}

static inline void draw(struct buffer *b, uint32_t seed, uint32_t from, uint32_t to)
{
    for (uint32_t y = from; y < to; y++) {
        for (uint32_t x = 0; x < b->width; x++)
            b->pixels[y * (b->pitch / 4) + x] = pattern(seed, x, y);
    }
}

static inline void dirty(const struct buffer *b, uint32_t from, uint32_t to)
{
    struct drm_clip_rect rect = {.x1 = 0, .y1 = (uint16_t)from, .x2 = (uint16_t)b->width, .y2 = (uint16_t)to};
    struct drm_mode_fb_dirty_cmd d = {.fb_id = b->fb, .num_clips = 1, .clips_ptr = (uintptr_t)&rect};

    call(DRM_IOCTL_MODE_DIRTYFB, &d, "flushing");
}

static inline void show(const struct buffer *b, const struct drm_mode_modeinfo *mode)
{
    struct drm_mode_crtc c = {.crtc_id = crtc, .fb_id = b->fb, .set_connectors_ptr = (uintptr_t)&connector,
                              .count_connectors = 1, .mode = *mode, .mode_valid = 1};

    call(DRM_IOCTL_MODE_SETCRTC, &c, "setting a mode");
}

#endif
