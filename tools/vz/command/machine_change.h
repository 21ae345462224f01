/* SPDX-License-Identifier: MIT */
/* Changing the configuration in a machine's folder. */
#ifndef VZ_TOOLS_MACHINE_CHANGE_H
#define VZ_TOOLS_MACHINE_CHANGE_H

#include "command/machine_command.h"

struct vz_config;

/* What a command does to a configuration: returns a new one, or NULL and err. */
typedef struct vz_config *machine_change_fn(const struct vz_config *old, const struct args *a,
                                            struct vz_error *err);

/* Lock, load, change, check, store: all or nothing. The machine may run; it does not hear of it.
 * False and err. */
bool machine_change(struct bundle *b, const struct args *a, machine_change_fn *fn,
                    struct vz_error *err);

#endif
