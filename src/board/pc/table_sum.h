/* SPDX-License-Identifier: MIT */
/* Checksums of the tables that firmware leaves (ACPI, SMBIOS): all bytes of one add up to 0. */
#ifndef VZ_BOARD_PC_TABLE_SUM_H
#define VZ_BOARD_PC_TABLE_SUM_H

#include "base/compiler.h"

/* Set the byte at `at` of p[len] so. */
static inline void table_sum_set(uint8_t *p, size_t len, size_t at)
{
    uint8_t sum = 0;

    p[at] = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    p[at] = (uint8_t)-sum;
}

#endif
