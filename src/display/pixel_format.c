/* SPDX-License-Identifier: MIT */
#include "display/pixel_format.h"

#include <string.h>

/* Loops that compilers make vector code of. */
#define COPY(name, expression)                                                                     \
    static void name(uint8_t *dst, const uint8_t *src, size_t count)                               \
    {                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                       \
            uint32_t v;                                                                            \
                                                                                                   \
            memcpy(&v, src + 4 * i, 4);                                                            \
            v = (expression);                                                                      \
            memcpy(dst + 4 * i, &v, 4);                                                            \
        }                                                                                          \
    }

COPY(copy_argb, __builtin_bswap32(v))
COPY(copy_rgba, (v & 0xff00ff00) | (v >> 16 & 0xff) | (v & 0xff) << 16)
COPY(copy_abgr, v >> 8 | v << 24)

static void copy_bgra(uint8_t *dst, const uint8_t *src, size_t count)
{
    memcpy(dst, src, 4 * count);
}

void pixels_copy(uint8_t *dst, const uint8_t *src, size_t count, enum pixel_order order)
{
    static void (*const copy[])(uint8_t *dst, const uint8_t *src, size_t count) = {
        [PIXEL_BGRA] = copy_bgra, [PIXEL_ARGB] = copy_argb, [PIXEL_RGBA] = copy_rgba,
        [PIXEL_ABGR] = copy_abgr};

    if (count)
        copy[order](dst, src, count);
}
