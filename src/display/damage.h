/* SPDX-License-Identifier: MIT */
/* Rectangles of pixels that have changed, bounded in number: where there are too many, neighbours are
 * joined, so what is said is never less than what has changed, and seldom much more. */
#ifndef VZ_DISPLAY_DAMAGE_H
#define VZ_DISPLAY_DAMAGE_H

#include "base/compiler.h"

#define DAMAGE_RECTS_MAX 16u

struct display_rect {
    uint32_t x, y, width, height;
};

struct damage {
    unsigned count;
    struct display_rect rect[DAMAGE_RECTS_MAX]; /* none is empty; they may overlap */
};

/* An empty rect is no damage. */
void damage_add(struct damage *d, const struct display_rect *rect);

/* What two have in common; false: nothing. Sums that do not fit 32 bits are right. */
bool display_rect_intersect(const struct display_rect *a, const struct display_rect *b,
                            struct display_rect *ret);

/* Does it lie inside [0, width) x [0, height), and is it not empty? */
bool display_rect_fits(const struct display_rect *r, uint32_t width, uint32_t height);

#endif
