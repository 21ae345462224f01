/* SPDX-License-Identifier: MIT */
/* Which backend runs the CPUs. */
#ifndef VZ_HV_ACCEL_H
#define VZ_HV_ACCEL_H

#include "base/compiler.h"

struct hv_ops;
struct vz_error;

/* The backend called name, or with "auto" the first that works here. 0 or -errno, with *err
 * (VZ_ERROR_INVALID: no such name, VZ_ERROR_UNSUPPORTED: it does not work here). */
int accel_find(const char *name, const struct hv_ops **ret, struct vz_error *err) must_check;

/* The same for a machine that is going to run. One that is named was probed when the configuration
 * was validated, and is not again. The log says it when "auto" passes over one that a person could
 * have by doing something, as it is full, in use or not permitted. */
int accel_choose(const char *name, const struct hv_ops **ret, struct vz_error *err) must_check;

/* The backend called name, not probed. 0 or -EINVAL, with *err. */
int accel_named(const char *name, const struct hv_ops **ret, struct vz_error *err) must_check;

#endif
