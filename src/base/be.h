/* SPDX-License-Identifier: MIT */
/* Big-endian values at any address: network headers, tables of disk images. The sister of le.h. */
#ifndef VZ_BASE_BE_H
#define VZ_BASE_BE_H

#include <string.h>

#include "base/compiler.h"

static inline uint16_t load_be16(const void *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return __builtin_bswap16(v);
}

static inline uint32_t load_be32(const void *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}

static inline uint64_t load_be64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return __builtin_bswap64(v);
}

/* The low 16 bits of v: sums and lengths come as wider integers. */
static inline void store_be16(void *p, uint32_t v)
{
    uint16_t swapped = __builtin_bswap16((uint16_t)v);

    memcpy(p, &swapped, sizeof(swapped));
}

static inline void store_be32(void *p, uint32_t v)
{
    uint32_t swapped = __builtin_bswap32(v);

    memcpy(p, &swapped, sizeof(swapped));
}

static inline void store_be64(void *p, uint64_t v)
{
    uint64_t swapped = __builtin_bswap64(v);

    memcpy(p, &swapped, sizeof(swapped));
}

#endif
