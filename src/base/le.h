/* SPDX-License-Identifier: MIT */
/* Little-endian values at any address. The host is little-endian x86-64; memcpy keeps alignment
 * and aliasing honest, and compiles to one move. */
#ifndef VZ_BASE_LE_H
#define VZ_BASE_LE_H

#include <string.h>

#include "base/compiler.h"

#define DEFINE_LE(bits)                                                                            \
    static inline uint##bits##_t load_le##bits(const void *p)                                      \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        memcpy(&v, p, sizeof(v));                                                                  \
        return v;                                                                                  \
    }                                                                                              \
    static inline void store_le##bits(void *p, uint##bits##_t v)                                   \
    {                                                                                              \
        memcpy(p, &v, sizeof(v));                                                                  \
    }

DEFINE_LE(16)
DEFINE_LE(32)
DEFINE_LE(64)

#undef DEFINE_LE

#endif
