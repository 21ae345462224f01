/* SPDX-License-Identifier: MIT */
/* Formats of pixels that guests draw in, all of 4 bytes, and the way to ours (display.h). */
#ifndef VZ_DISPLAY_PIXEL_FORMAT_H
#define VZ_DISPLAY_PIXEL_FORMAT_H

#include "base/compiler.h"

/* Where the bytes of a pixel are, in memory. */
enum pixel_order { PIXEL_BGRA, PIXEL_ARGB, PIXEL_RGBA, PIXEL_ABGR };

struct pixel_format {
    enum pixel_order order;
    bool alpha; /* else the byte in its place means nothing */
};

/* count pixels; dst and src do not overlap, and may have any alignment. */
void pixels_copy(uint8_t *dst, const uint8_t *src, size_t count, enum pixel_order order);

/* Would pixels_copy() change what lies at dst? */
bool pixels_differ(const uint8_t *dst, const uint8_t *src, size_t count, enum pixel_order order);

#endif
