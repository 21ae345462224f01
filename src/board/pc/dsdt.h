/* SPDX-License-Identifier: MIT */
/* The DSDT's body: what ACPI's other tables cannot say about the board. */
#ifndef VZ_BOARD_PC_DSDT_H
#define VZ_BOARD_PC_DSDT_H

#include "board/pc/aml.h"

struct board_options;

void dsdt_write(struct aml *a, const struct board_options *options, unsigned phys_bits);

#endif
