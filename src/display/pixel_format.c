/* SPDX-License-Identifier: MIT */
#include "display/pixel_format.h"

#include <string.h>

/* Loops that compilers make vector code of. */
#define ORDER(name, expression)                                                                    \
    static void copy_##name(uint8_t *dst, const uint8_t *src, size_t count)                        \
    {                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                       \
            uint32_t v;                                                                            \
                                                                                                   \
            memcpy(&v, src + 4 * i, 4);                                                            \
            v = (expression);                                                                      \
            memcpy(dst + 4 * i, &v, 4);                                                            \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static bool differ_##name(const uint8_t *dst, const uint8_t *src, size_t count)                \
    {                                                                                              \
        uint32_t differs = 0;                                                                      \
                                                                                                   \
        for (size_t i = 0; i < count; i++) {                                                       \
            uint32_t v, before;                                                                    \
                                                                                                   \
            memcpy(&v, src + 4 * i, 4);                                                            \
            memcpy(&before, dst + 4 * i, 4);                                                       \
            differs |= before ^ (expression);                                                      \
        }                                                                                          \
        return differs;                                                                            \
    }

ORDER(argb, __builtin_bswap32(v))
ORDER(rgba, (v & 0xff00ff00) | (v >> 16 & 0xff) | (v & 0xff) << 16)
ORDER(abgr, v >> 8 | v << 24)

static void copy_bgra(uint8_t *dst, const uint8_t *src, size_t count)
{
    memcpy(dst, src, 4 * count);
}

static bool differ_bgra(const uint8_t *dst, const uint8_t *src, size_t count)
{
    return memcmp(dst, src, 4 * count) != 0;
}

void pixels_copy(uint8_t *dst, const uint8_t *src, size_t count, enum pixel_order order)
{
    static void (*const copy[])(uint8_t *dst, const uint8_t *src, size_t count) = {
        [PIXEL_BGRA] = copy_bgra, [PIXEL_ARGB] = copy_argb, [PIXEL_RGBA] = copy_rgba,
        [PIXEL_ABGR] = copy_abgr};

    if (count)
        copy[order](dst, src, count);
}

bool pixels_differ(const uint8_t *dst, const uint8_t *src, size_t count, enum pixel_order order)
{
    static bool (*const differ[])(const uint8_t *dst, const uint8_t *src, size_t count) = {
        [PIXEL_BGRA] = differ_bgra, [PIXEL_ARGB] = differ_argb, [PIXEL_RGBA] = differ_rgba,
        [PIXEL_ABGR] = differ_abgr};

    return count && differ[order](dst, src, count);
}
