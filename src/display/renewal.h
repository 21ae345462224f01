/* SPDX-License-Identifier: MIT */
/* Pixels that are copied over those of the picture before: by tiles, of which those that are the same are only read. So
 * who looks is told of what differs, whatever the guest says has changed. */
#ifndef VZ_DISPLAY_RENEWAL_H
#define VZ_DISPLAY_RENEWAL_H

#include "display/damage.h"
#include "display/display.h"
#include "display/pixel_format.h"

#define RENEWAL_TILE 64u /* pixels a side */

/* A band of tiles beside each other; all false at first. */
struct renewal {
    bool differs[DISPLAY_SIDE_MAX / RENEWAL_TILE];
};

/* count pixels of one row go over dst's, which lie in the picture from x on; x + count is DISPLAY_SIDE_MAX at most. */
void renewal_put(struct renewal *n, uint32_t x, uint8_t *dst, const uint8_t *src, uint64_t count,
                 enum pixel_order order);

/* All rows of the band have been put: rect, of those tiles' height at most. Where it differs is added to ret, and n is as
 * at first. */
void renewal_end(struct renewal *n, const struct display_rect *rect, struct damage *ret);

#endif
