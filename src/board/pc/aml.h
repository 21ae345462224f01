/* SPDX-License-Identifier: MIT */
/* A tiny writer of ACPI Machine Language (ACPI 6.4 chapter 20) into a buffer of fixed size: just
 * what dsdt.c needs. Packages nest by aml_begin()/aml_end(), which fill in the lengths. */
#ifndef VZ_BOARD_PC_AML_H
#define VZ_BOARD_PC_AML_H

#include "base/compiler.h"

struct aml {
    uint8_t *data;
    size_t capacity, len;
    bool failed; /* it did not fit: everything later is a no-op */
};

void aml_bytes(struct aml *a, const void *data, size_t len);
void aml_byte(struct aml *a, uint8_t v);

/* Terms. name: up to four characters, an optional leading \, or "\\_SB_.PCI0" with dots. */
void aml_name_string(struct aml *a, const char *name);
void aml_int(struct aml *a, uint64_t v);
void aml_string(struct aml *a, const char *s);
void aml_eisa_id(struct aml *a, const char *id); /* "PNP0A08" */
void aml_name(struct aml *a, const char *name);  /* Name (name, the term that follows) */
void aml_name_int(struct aml *a, const char *name, uint64_t v);

/* Things with a length; aml_end() takes what aml_begin_x() returned. */
size_t aml_begin_scope(struct aml *a, const char *name);
size_t aml_begin_device(struct aml *a, const char *name);
size_t aml_begin_package(struct aml *a, uint8_t count);
size_t aml_begin_method(struct aml *a, const char *name); /* without arguments */
void aml_end(struct aml *a, size_t start);
void aml_notify(struct aml *a, const char *device, uint8_t value);

/* A resource template: Buffer { descriptors }. */
struct aml_resources {
    size_t start, size_at;
};
struct aml_resources aml_begin_resources(struct aml *a);
void aml_end_resources(struct aml *a, struct aml_resources r);
void aml_io(struct aml *a, uint16_t base, uint8_t len);
void aml_irq(struct aml *a, unsigned irq); /* edge, active high, exclusive */
void aml_memory32_fixed(struct aml *a, uint32_t base, uint32_t len);
void aml_bus_numbers(struct aml *a, uint16_t first, uint16_t last);
void aml_io_window(struct aml *a, uint16_t first, uint16_t last);
void aml_memory32_window(struct aml *a, uint32_t first, uint32_t last);
void aml_memory64_window(struct aml *a, uint64_t first, uint64_t last);

#endif
