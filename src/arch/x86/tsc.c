/* SPDX-License-Identifier: MIT */
#include "arch/x86/tsc.h"

static bool is_near(uint64_t a, uint64_t b, uint64_t distance)
{
    return a - b < distance || b - a < distance;
}

uint64_t tsc_settle(const struct tsc_first *first, uint64_t tsc, uint64_t offset)
{
    uint64_t second = (uint64_t)first->khz * 1000;

    if (is_near(offset, first->offset, second) ||
        (first->together && is_near(tsc, first->tsc, second)))
        return first->offset;
    return offset;
}
