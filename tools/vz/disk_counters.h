/* SPDX-License-Identifier: MIT */
/* What each disk of a machine has done, as counters by name: "disk0.reads". */
#ifndef VZ_TOOLS_DISK_COUNTERS_H
#define VZ_TOOLS_DISK_COUNTERS_H

#include <vz/machine.h>

/* Call fn for each; the names are good during the call. What never happened has no times. */
void disk_counters(struct vz_machine *m, vz_machine_stats_fn *fn, void *arg);

#endif
