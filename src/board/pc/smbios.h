/* SPDX-License-Identifier: MIT */
/* SMBIOS 3.0 tables (DSP0134): who the machine is. */
#ifndef VZ_BOARD_PC_SMBIOS_H
#define VZ_BOARD_PC_SMBIOS_H

#include "base/compiler.h"
#include "mem/mem.h"

struct board_options;

#define SMBIOS_ENTRY_LEN  24u
#define SMBIOS_ENTRY2_LEN 31u
#define SMBIOS_TABLES_MAX 4096u

struct smbios {
    uint8_t entry[SMBIOS_ENTRY_LEN];   /* the entry point, */
    uint8_t entry2[SMBIOS_ENTRY2_LEN]; /* that of versions before 3.0, which base must be below 4 GiB for, */
    uint8_t data[SMBIOS_TABLES_MAX];   /* and what they point to */
    size_t len;                        /* of data */
    size_t start;                      /* of the last structure */
    uint16_t count, largest;           /* of structures, and bytes */
};

/* With data at address base. */
void smbios_build(struct smbios *ret, const struct board_options *options, gpa_t base);

/* Put them where kernels look for the entry point. 0 or -errno. */
int smbios_write_tables(struct mem *mem, const struct board_options *options) must_check;

#endif
