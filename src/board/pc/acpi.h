/* SPDX-License-Identifier: MIT */
/* ACPI tables (ACPI 6.4 chapter 5): how a kernel learns about the board. They are built in one piece, of
 * which the RSDP is the first, for some address; whoever puts them elsewhere has the list of what to
 * change. */
#ifndef VZ_BOARD_PC_ACPI_H
#define VZ_BOARD_PC_ACPI_H

#include "base/compiler.h"
#include "mem/mem.h"

struct board_options;

#define ACPI_RSDP_LEN     36u
#define ACPI_POINTERS_MAX 16u
#define ACPI_SUMS_MAX     8u

/* size bytes at offset at are the address of something in the tables. */
struct acpi_pointer {
    uint32_t at;
    uint8_t size;
};

/* The byte at offset at makes the sum of the len bytes from start on 0. */
struct acpi_sum {
    uint32_t at, start, len;
};

/* Of the RSDP itself: its pointer and its sums are not in these lists. */
struct acpi_tables {
    uint8_t *data;
    size_t len;
    struct acpi_pointer pointer[ACPI_POINTERS_MAX];
    unsigned pointer_count;
    struct acpi_sum sum[ACPI_SUMS_MAX];
    unsigned sum_count;
    gpa_t base;
};
#define ACPI_RSDP_POINTER_AT 24u /* the XSDT's address, 8 bytes */

/* As they are at base, a multiple of 64. 0 or -errno. acpi_tables_fini() in any case. */
int acpi_build(struct acpi_tables *ret, gpa_t base, const struct board_options *options,
               unsigned phys_bits) must_check;
void acpi_tables_fini(struct acpi_tables *t);

/* Put them where kernels that are not told look for the RSDP. 0 or -errno. */
int acpi_write_tables(struct mem *mem, const struct board_options *options, unsigned phys_bits,
                      gpa_t *ret_rsdp) must_check;

#endif
