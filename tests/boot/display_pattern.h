/* SPDX-License-Identifier: MIT */
/* What the guest of tests/boot/test_display.py draws, and what the host expects to see. */
#ifndef VZ_TESTS_DISPLAY_PATTERN_H
#define VZ_TESTS_DISPLAY_PATTERN_H

#include <stdint.h>

/* 0x00RRGGBB: no two neighbours alike, nor two seeds. */
static inline uint32_t pattern(uint32_t seed, uint32_t x, uint32_t y)
{
    return (x * 73u + y * 151u + seed * 7919u + 1) * 2654435761u >> 8;
}

#endif
