/* SPDX-License-Identifier: MIT */
/* What list, inspect and ip tell of a machine. */
#ifndef VZ_TOOLS_MACHINE_REPORT_H
#define VZ_TOOLS_MACHINE_REPORT_H

#include <stdint.h>

#include <jansson.h>

#include "bundle/bundle.h"

/* An object, docs/machines.md lists its members; never NULL but without memory. What is wrong with a
 * machine is its member "problem". */
json_t *machine_report(const struct bundle *b);

/* The first address of the guest in a report, or NULL. */
const char *machine_report_address(const json_t *report);

/* "1.2G", "640M": at most 8 characters. */
const char *human_size(uint64_t bytes, char buffer[16]);
/* "45s", "12m", "3h", "5d" */
const char *human_time(double seconds, char buffer[16]);

#endif
