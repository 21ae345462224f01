/* SPDX-License-Identifier: MIT */
/* Counters. A layer has one list of them, LAYER_COUNTERS(X), which makes the struct and the function
 * that tells them, LAYER_stats_tell(); objects count for themselves, or into sums of the machine's
 * that lie elsewhere and outlive them. */
#ifndef VZ_BASE_STATS_H
#define VZ_BASE_STATS_H

#include <stdatomic.h>

#include "base/compiler.h"

/* name is a static string, "layer.counter". */
typedef void stats_fn(void *arg, const char *name, uint64_t value);

#define STATS_FIELD(name) _Atomic uint64_t name;

/* Add to a field of a sum, if there is a sum. Any thread. */
#define STATS_ADD(sum, field, n)                                                                   \
    do {                                                                                           \
        if (sum)                                                                                   \
            atomic_fetch_add_explicit(&(sum)->field, n, memory_order_relaxed);                     \
    } while (0)

/* The body of a layer's function: fn and arg are its parameters, s the struct. */
#define STATS_TELL_IN(layer, name) fn(arg, layer "." #name, atomic_load(&s->name));

#endif
