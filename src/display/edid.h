/* SPDX-License-Identifier: MIT */
/* What a monitor says of itself (VESA E-EDID 1.4; DisplayID 1.3 for what that cannot say). */
#ifndef VZ_DISPLAY_EDID_H
#define VZ_DISPLAY_EDID_H

#include "base/compiler.h"

#define EDID_SIZE 256u /* the base block and one extension */

/* A monitor whose best mode is width x height at 60 Hz, number tells it from others of its kind.
 * width and height: 1 to 16384. */
void edid_make(uint32_t width, uint32_t height, unsigned number, uint8_t ret[EDID_SIZE]);

#endif
