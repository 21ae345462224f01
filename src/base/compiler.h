/* SPDX-License-Identifier: MIT */
/* What the compiler can do for us, under one spelling. Included by everything. */
#ifndef VZ_BASE_COMPILER_H
#define VZ_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define must_check   __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define noinline     __attribute__((__noinline__))
#define always_inline inline __attribute__((__always_inline__))
#define cold         __attribute__((__cold__, __noinline__))
#define likely(x)    __builtin_expect(!!(x), 1)
#define unlikely(x)  __builtin_expect(!!(x), 0)

#define BIT(n)        (UINT64_C(1) << (n))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define MIN(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) min_a_ = (a);                                                                \
        __typeof__(b) min_b_ = (b);                                                                \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define MAX(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) max_a_ = (a);                                                                \
        __typeof__(b) max_b_ = (b);                                                                \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

/* True in builds whose run-time library instruments memory accesses with calls of its own. */
#if defined(VZ_SANITIZED)
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VZ_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define VZ_SANITIZED 1
#endif
#endif
#ifndef VZ_SANITIZED
#define VZ_SANITIZED 0
#endif

/* True where the compiler calls functions behind our back that may use vector registers: those of
 * a sanitizer, and memcpy() and memset(), which Clang cannot be told to leave alone. */
#ifdef __clang__
#define VZ_HIDDEN_CALLS 1
#else
#define VZ_HIDDEN_CALLS VZ_SANITIZED
#endif

#endif
