/* SPDX-License-Identifier: MIT */
/* How much a machine may be given: what a configuration is checked against, and what the board can
 * carry out. */
#ifndef VZ_CONFIG_LIMITS_H
#define VZ_CONFIG_LIMITS_H

#include "base/compiler.h"

#define RAM_SIZE_MIN (2 * MIB)
#define RAM_SIZE_MAX (UINT64_C(1) << 40)

/* Windows of shared directories: a power of two each, and so much in all. Each 2 MiB may be a mapping or two of this
 * process, of which Linux lets it have 65530. */
#define DAX_SIZE_MIN  (16 * MIB)
#define DAX_SIZE_MAX  (16 * GIB)
#define DAX_SIZES_MAX (16 * GIB)

/* PCI devices of the configuration, each with a slot of its own; the board's own have the others. */
#define PCI_DEVICES_MAX 30u

#endif
