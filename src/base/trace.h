/* SPDX-License-Identifier: MIT */
/* What the layers do, one line an event, for whoever looks for a fault. VZ_TRACE=block,net (or
 * "all") in the environment switches layers on when a machine is made; lines go to standard error:
 *
 *   vz: 12.345678 block raw:3a40 read 4096+512
 *
 * seconds of CLOCK_MONOTONIC, the layer, the object (its kind, and a number that tells it from others
 * of its kind), the event. Events are for people: what they say may change.
 *
 * An object keeps the mask from when it was made (trace_mask()), so that a layer that is off costs a
 * test of a bit, and nothing is shared between machines. */
#ifndef VZ_BASE_TRACE_H
#define VZ_BASE_TRACE_H

#include "base/compiler.h"

#define TRACE_LAYERS(X) X(block) X(char) X(chipset) X(irq) X(machine) X(net) X(nvme) X(pci) X(usb) X(virtio)

#define TRACE_BIT_(layer) TRACE_BIT_##layer,
enum trace_layer { TRACE_LAYERS(TRACE_BIT_) TRACE_LAYER_COUNT };
#undef TRACE_BIT_

/* A bit per enum trace_layer, of a list of names. *ret_unknown is the first name that is none (its
 * length in *ret_len), or NULL. list NULL: nothing. Pure. */
uint32_t trace_parse(const char *list, const char **ret_unknown, size_t *ret_len);

/* What VZ_TRACE says. */
uint32_t trace_mask(void);
/* Warn if it has a name that is no layer's. */
void trace_check(void);

/* Any thread: one write to standard error. Cut at 512 bytes. */
void trace_line(enum trace_layer layer, const char *kind, const void *object, const char *fmt, ...)
    printf_like(4, 5);

#define TRACES(mask, layer) __builtin_expect(!!((mask) & (1u << TRACE_BIT_##layer)), 0)

/* The arguments are evaluated only when the layer is on. */
#define TRACE(mask, layer, kind, object, ...)                                                      \
    do {                                                                                           \
        if (TRACES(mask, layer))                                                                   \
            trace_line(TRACE_BIT_##layer, kind, object, __VA_ARGS__);                              \
    } while (0)

#endif
